/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "walk.h"

/*
 * Names held of all directories on the way down together. A larger directory is listed in several
 * passes, each of which takes the next names in order; a parent that must give up its list is
 * listed again from where it was.
 */
#define NAMES_MAX ((size_t)8 << 20)

/* Directories kept open on the way down; others are opened again through "..". */
#define OPEN_MAX 32

#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif
#ifndef FUSE_CTL_MAGIC
#define FUSE_CTL_MAGIC 0x65735543
#endif
#ifndef CONFIGFS_MAGIC
#define CONFIGFS_MAGIC 0x62656570
#endif

struct frame {
	struct walk_dir *dir; /* NULL: closed to save descriptors */
	dev_t dev;
	ino_t ino;
	size_t path_len; /* of this directory's own path */
	char *names;     /* of each entry: its d_type as a byte, its name, NUL */
	size_t names_len;
	size_t names_cap;
	uint32_t *index; /* where entries begin, sorted by name */
	size_t n;
	size_t index_cap;
	size_t pos;  /* next entry */
	char *last;  /* last name done with, when the list was given up; NULL: begin at the first */
	bool listed; /* names hold what comes next */
	bool more;   /* names were left for another pass */
};

struct walk {
	const struct walk_ops *ops;
	void *ctx;
	struct frame *frames;
	size_t depth;
	size_t frames_cap;
	size_t names_bytes; /* of all frames */
	size_t open;
	char *path; /* of the entry being looked at */
	size_t path_len;
	size_t path_cap;
};

struct walk_dir *walk_dir_get(struct walk_dir *dir)
{
	atomic_fetch_add(&dir->refs, 1);
	return dir;
}

void walk_dir_put(struct walk_dir *dir)
{
	if (dir != NULL && atomic_fetch_sub(&dir->refs, 1) == 1) {
		close(dir->fd);
		free(dir);
	}
}

/* Takes fd over, also on failure. */
static struct walk_dir *walk_dir_new(int fd)
{
	struct walk_dir *dir = malloc(sizeof(*dir));

	if (dir == NULL) {
		close(fd);
		return NULL;
	}
	dir->fd = fd;
	atomic_init(&dir->refs, 1);
	return dir;
}

static bool pseudo_filesystem(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) != 0) {
		return false;
	}
	switch ((unsigned long)fs.f_type) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case SELINUX_MAGIC:
	case SMACK_MAGIC:
	case BPF_FS_MAGIC:
	case PSTOREFS_MAGIC:
	case EFIVARFS_MAGIC:
	case DEVPTS_SUPER_MAGIC:
	case BINFMTFS_MAGIC:
	case NSFS_MAGIC:
	case MQUEUE_MAGIC:
	case FUSE_CTL_MAGIC:
	case CONFIGFS_MAGIC:
		return true;
	default:
		return false;
	}
}

/* ---- the list of one directory -------------------------------------------------------------- */

static const char *entry_name(const struct frame *frame, size_t i)
{
	return frame->names + frame->index[i] + 1;
}

static void frame_drop_names(struct walk *walk, struct frame *frame)
{
	walk->names_bytes -= frame->names_cap;
	free(frame->names);
	free(frame->index);
	frame->names = NULL;
	frame->index = NULL;
	frame->names_len = frame->names_cap = frame->n = frame->index_cap = frame->pos = 0;
	frame->listed = false;
}

/* Gives the list up; frame_list will go on behind the entry before pos. */
static int frame_suspend(struct walk *walk, struct frame *frame)
{
	if (!frame->listed) {
		return 0;
	}
	if (frame->pos > 0) {
		char *last = strdup(entry_name(frame, frame->pos - 1));

		if (last == NULL) {
			return -ENOMEM;
		}
		free(frame->last);
		frame->last = last;
	}
	frame_drop_names(walk, frame);
	return 0;
}

static int frame_add(struct walk *walk, struct frame *frame, unsigned char type, const char *name)
{
	size_t len = strlen(name) + 1;

	if (frame->names_len + 1 + len > frame->names_cap) {
		size_t cap = frame->names_cap == 0 ? 1024 : frame->names_cap * 2;
		char *names;

		while (cap < frame->names_len + 1 + len) {
			cap *= 2;
		}
		names = realloc(frame->names, cap);
		if (names == NULL) {
			return -ENOMEM;
		}
		frame->names = names;
		walk->names_bytes += cap - frame->names_cap;
		frame->names_cap = cap;
	}
	if (frame->n == frame->index_cap) {
		size_t cap = frame->index_cap == 0 ? 32 : frame->index_cap * 2;
		uint32_t *index = reallocarray(frame->index, cap, sizeof(*index));

		if (index == NULL) {
			return -ENOMEM;
		}
		frame->index = index;
		frame->index_cap = cap;
	}
	frame->index[frame->n++] = (uint32_t)frame->names_len;
	frame->names[frame->names_len] = (char)type;
	memcpy(frame->names + frame->names_len + 1, name, len);
	frame->names_len += 1 + len;
	return 0;
}

static int compare_entries(const void *a, const void *b, void *names)
{
	return strcmp((char *)names + *(const uint32_t *)a + 1,
		      (char *)names + *(const uint32_t *)b + 1);
}

static void frame_sort(struct frame *frame)
{
	if (frame->n > 1) {
		qsort_r(frame->index, frame->n, sizeof(*frame->index), compare_entries,
			frame->names);
	}
}

/* Too many names: leaves the upper half for another pass. */
static int frame_halve(struct walk *walk, struct frame *frame)
{
	struct frame kept = {0};

	frame_sort(frame);
	for (size_t i = 0; i < frame->n / 2; i++) {
		int rc = frame_add(walk, &kept, (unsigned char)frame->names[frame->index[i]],
				   entry_name(frame, i));

		if (rc != 0) {
			frame_drop_names(walk, &kept);
			return rc;
		}
	}
	frame_drop_names(walk, frame);
	frame->names = kept.names;
	frame->names_len = kept.names_len;
	frame->names_cap = kept.names_cap;
	frame->index = kept.index;
	frame->index_cap = kept.index_cap;
	frame->n = kept.n;
	frame->more = true;
	return 0;
}

/* Fills the list with the entries behind frame->last. A negative errno value when it cannot be
 * read. */
static int frame_list(struct walk *walk, struct frame *frame)
{
	char *bound = NULL; /* last name kept once the list was halved */
	int fd = openat(frame->dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int rc = 0;

	if (stream == NULL) {
		rc = -errno;
		if (fd >= 0) {
			close(fd);
		}
		return rc;
	}
	frame->more = false;
	while (errno = 0, (entry = readdir(stream)) != NULL) {
		const char *name = entry->d_name;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    (frame->last != NULL && strcmp(name, frame->last) <= 0)) {
			continue;
		}
		if (bound != NULL && strcmp(name, bound) > 0) {
			continue;
		}
		rc = frame_add(walk, frame, entry->d_type, name);
		if (rc == 0 && frame->names_len > NAMES_MAX && frame->n > 1) {
			rc = frame_halve(walk, frame);
			free(bound);
			bound = rc == 0 ? strdup(entry_name(frame, frame->n - 1)) : NULL;
			rc = rc == 0 && bound == NULL ? -ENOMEM : rc;
		}
		if (rc != 0) {
			break;
		}
	}
	if (rc == 0 && errno != 0) {
		rc = -errno; /* what was read before is still looked at */
	}
	closedir(stream);
	free(bound);
	frame_sort(frame);
	frame->pos = 0;
	frame->listed = true;
	return rc;
}

/* ---- down and up ---------------------------------------------------------------------------- */

static int path_set(struct walk *walk, size_t len, const char *name)
{
	size_t name_len = strlen(name);
	bool slash = len > 0 && walk->path[len - 1] != '/';

	if (len + 1 + name_len + 1 > walk->path_cap) {
		size_t cap = (len + name_len + 2) * 2;
		char *path = realloc(walk->path, cap);

		if (path == NULL) {
			return -ENOMEM;
		}
		walk->path = path;
		walk->path_cap = cap;
	}
	if (slash) {
		walk->path[len++] = '/';
	}
	memcpy(walk->path + len, name, name_len + 1);
	walk->path_len = len + name_len;
	return 0;
}

static void frame_close(struct walk *walk, struct frame *frame)
{
	if (frame->dir != NULL) {
		walk_dir_put(frame->dir);
		frame->dir = NULL;
		walk->open--;
	}
}

/* Takes fd over. The directory's path is walk->path. */
static int push(struct walk *walk, int fd, const struct stat *st)
{
	struct frame *frame;
	int rc;

	if (walk->depth == walk->frames_cap) {
		size_t cap = walk->frames_cap == 0 ? 16 : walk->frames_cap * 2;
		struct frame *frames = reallocarray(walk->frames, cap, sizeof(*frames));

		if (frames == NULL) {
			close(fd);
			return -ENOMEM;
		}
		walk->frames = frames;
		walk->frames_cap = cap;
	}
	/* The root stays open: from there it goes on when directories are moved meanwhile. */
	if (walk->open >= OPEN_MAX) {
		frame_close(walk, &walk->frames[walk->depth - OPEN_MAX + 1]);
	}
	if (walk->names_bytes > NAMES_MAX / 2) {
		for (size_t i = 0; i < walk->depth; i++) {
			rc = frame_suspend(walk, &walk->frames[i]);
			if (rc != 0) {
				close(fd);
				return rc;
			}
		}
	}
	frame = &walk->frames[walk->depth];
	*frame = (struct frame){
		.dir = walk_dir_new(fd),
		.dev = st->st_dev,
		.ino = st->st_ino,
		.path_len = walk->path_len,
	};
	if (frame->dir == NULL) {
		return -ENOMEM;
	}
	walk->open++;
	walk->depth++;
	return 0;
}

static void pop(struct walk *walk)
{
	struct frame *frame = &walk->frames[walk->depth - 1];

	frame_close(walk, frame);
	frame_drop_names(walk, frame);
	free(frame->last);
	walk->depth--;
}

/* Goes back to the parent, which may have to be opened again. */
static int ascend(struct walk *walk)
{
	struct frame *child = &walk->frames[walk->depth - 1];
	struct frame *parent = walk->depth > 1 ? child - 1 : NULL;
	struct stat st;
	int fd;

	if (parent != NULL && parent->dir == NULL) {
		fd = openat(child->dir->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 &&
		    (fstat(fd, &st) != 0 || st.st_dev != parent->dev || st.st_ino != parent->ino)) {
			close(fd);
			fd = -1;
		}
		if (fd >= 0) {
			parent->dir = walk_dir_new(fd);
			if (parent->dir == NULL) {
				return -ENOMEM;
			}
			walk->open++;
		}
	}
	pop(walk);
	/* What was moved away meanwhile cannot be gone on with, nor what lies above it, up to the
	 * root. */
	while (walk->depth > 0 && walk->frames[walk->depth - 1].dir == NULL) {
		walk->path[walk->frames[walk->depth - 1].path_len] = '\0';
		walk->ops->event(walk->ctx, WALK_ERROR, walk->path, -ESTALE);
		pop(walk);
	}
	return 0;
}

static int descend(struct walk *walk, const struct frame *parent, const char *name)
{
	int fd = openat(parent->dir->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		int err = -errno;
		enum walk_event event = WALK_ERROR;

		if (fd >= 0) {
			close(fd);
		}
		if (err == -ENOENT) {
			event = WALK_VANISHED;
		} else if (err == -ELOOP || err == -ENOTDIR) {
			event = WALK_IRREGULAR; /* replaced since it was listed */
		}
		walk->ops->event(walk->ctx, event, walk->path, err);
		return 0;
	}
	if (st.st_dev != parent->dev && pseudo_filesystem(fd)) {
		walk->ops->event(walk->ctx, WALK_PSEUDO, walk->path, 0);
		close(fd);
		return 0;
	}
	if (walk->path_len >= WALK_PATH_MAX) {
		walk->ops->event(walk->ctx, WALK_ERROR, walk->path, -ENAMETOOLONG);
		close(fd);
		return 0;
	}
	return push(walk, fd, &st);
}

static int entry_type(const struct walk *walk, const struct frame *frame, unsigned char type,
		      const char *name)
{
	struct stat st;

	if (type != DT_UNKNOWN) {
		return type;
	}
	if (fstatat(frame->dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		walk->ops->event(walk->ctx, errno == ENOENT ? WALK_VANISHED : WALK_ERROR,
				 walk->path, -errno);
		return -1;
	}
	return IFTODT(st.st_mode);
}

static int step(struct walk *walk)
{
	struct frame *frame = &walk->frames[walk->depth - 1];
	const char *name;
	int rc;

	if (!frame->listed) {
		rc = frame_list(walk, frame);
		if (rc == -ENOMEM) {
			return rc;
		}
		if (rc != 0) {
			walk->path[frame->path_len] = '\0';
			walk->ops->event(walk->ctx, WALK_ERROR, walk->path, rc);
		}
	}
	if (frame->pos == frame->n) {
		return frame->more ? frame_suspend(walk, frame) : ascend(walk);
	}
	name = entry_name(frame, frame->pos);
	rc = path_set(walk, frame->path_len, name);
	if (rc != 0) {
		return rc;
	}
	name = walk->path + walk->path_len - strlen(name); /* outlives the list */
	frame->pos++;
	if (walk->ops->excluded(walk->ctx, walk->path, name)) {
		return 0;
	}
	switch (entry_type(walk, frame, (unsigned char)frame->names[frame->index[frame->pos - 1]],
			   name)) {
	case -1:
		return 0;
	case DT_REG:
		return walk->ops->file(walk->ctx, frame->dir, walk->path, strlen(name));
	case DT_DIR:
		return descend(walk, frame, name);
	default:
		walk->ops->event(walk->ctx, WALK_IRREGULAR, walk->path, 0);
		return 0;
	}
}

int walk_tree(const char *root, const struct walk_ops *ops, void *ctx)
{
	struct walk walk = {.ops = ops, .ctx = ctx};
	struct stat st;
	int rc;
	int fd;

	rc = path_set(&walk, 0, root);
	if (rc != 0) {
		return rc;
	}
	fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		ops->event(ctx, WALK_ERROR, root, -errno);
		if (fd >= 0) {
			close(fd);
		}
		goto out;
	}
	rc = push(&walk, fd, &st);
	while (rc == 0 && walk.depth > 0) {
		rc = step(&walk);
	}
out:
	while (walk.depth > 0) {
		pop(&walk);
	}
	free(walk.frames);
	free(walk.path);
	return rc;
}
