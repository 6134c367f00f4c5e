/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a directory tree by descriptors: what a path means cannot change half-way, depth is not
 * limited by PATH_MAX or the stack, and memory not by the number of files.
 */
#ifndef LYCHGATE_CMD_WALK_H
#define LYCHGATE_CMD_WALK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* An open directory. Whoever keeps one beyond a callback takes a reference. */
struct walk_dir {
	int fd;
	atomic_uint refs;
};

struct walk_dir *walk_dir_get(struct walk_dir *dir);
void walk_dir_put(struct walk_dir *dir); /* dir may be NULL */

enum walk_event {
	WALK_IRREGULAR, /* a symbolic link, device, FIFO or socket, passed over */
	WALK_VANISHED,  /* went away between listing and looking */
	WALK_PSEUDO,    /* /proc, /sys and the like, passed over */
	WALK_ERROR,     /* could not be read: err says why */
};

struct walk_ops {
	/*
	 * A regular file: path as shown, whose last name_len bytes are the name in dir. Returns 0,
	 * or anything else to end the walk.
	 */
	int (*file)(void *ctx, struct walk_dir *dir, const char *path, size_t name_len);
	/* Something that is not scanned. err is a negative errno value or 0. */
	void (*event)(void *ctx, enum walk_event event, const char *path, int err);
	/* Whether to leave out a file or directory. */
	bool (*excluded)(void *ctx, const char *path, const char *name);
};

/* The longest path that is followed, in bytes: 32 times what the kernel takes in one call. */
#define WALK_PATH_MAX 131072

/*
 * walk_tree calls ops->file for every regular file below the directory root, sorted by name (bytes)
 * within each directory, a subdirectory's files in its place. Symbolic links are not followed,
 * except root itself. Pseudo file systems are not entered, except when root is in one.
 *
 * Returns 0, what ops->file returned, or -ENOMEM. Errors of single files and directories, root
 * included, go to ops->event.
 */
int walk_tree(const char *root, const struct walk_ops *ops, void *ctx);

#endif /* LYCHGATE_CMD_WALK_H */
