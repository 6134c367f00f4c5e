/* SPDX-License-Identifier: Apache-2.0 */
/* The host's file, beside a directory that the attacker may write to. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "inner.h"

static long reads(struct prey *p, long dir, const char *path)
{
	long best = -ENOENT;

	for (int flags = O_RDONLY; flags <= O_RDWR; flags++) {
		long fd = raw(SYS_openat, dir, L(path), flags);
		long rc = fd < 0 ? fd : raw(SYS_read, fd, L(p->own), 8);

		if (rc == 8 && took_in_own(p) == ATTACK_DONE) {
			return ATTACK_DONE;
		}
		best = rc < 0 ? rc : best;
		if (fd >= 0) {
			raw(SYS_close, fd);
		}
	}
	return best;
}

static const char *base_of(struct prey *p)
{
	return strrchr(p->file, '/') + 1;
}

long attack_paths(struct prey *p)
{
	static const char *const shapes[] = {
		"%s",
		"%s/../secret",
		"%s/./../secret",
		"%s//..//secret",
		"%s/no/../../secret",
		"%s/no/./.././../secret",
		"/proc/self/root%s",
		"/proc/self/cwd/%s",
		"/proc/thread-self/root%s",
		"/proc/1/root%s",
		"/./%s",
		"../..%s",
		"%s/../desk/../secret",
	};
	char path[256];
	long rc = -ENOENT, worst = -ENOENT;

	snprintf(path, sizeof(path), "%s/no", p->work);
	raw(SYS_mkdir, L(path), 0700);
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		for (int k = 0; k < 2; k++) {
			snprintf(path, sizeof(path), shapes[i], k ? p->file : p->work);
			rc = reads(p, -100, path);
			if (rc == ATTACK_DONE) {
				return rc;
			}
			worst = rc < 0 ? rc : worst;
		}
	}
	/* from its own directory */
	long dir = raw(SYS_open, L(p->work), O_RDONLY | O_DIRECTORY);
	rc = reads(p, dir, "../secret");
	rc = rc == ATTACK_DONE ? rc : reads(p, dir, "no/../../secret");
	long open_how[3] = {O_RDONLY, 0, 0};
	long fd = raw(SYS_openat2, dir, L("../secret"), L(open_how), 24);
	return rc == ATTACK_DONE || fd >= 0 ? ATTACK_DONE : worst;
}

long attack_path_by_links(struct prey *p)
{
	char path[256];
	const char *const targets[] = {p->file, "../secret", "/proc/self/mem", "..", "/"};
	const char *const names[] = {"%s/link0", "%s/link1", "%s/link2", "%s/link3/secret", "%s/link4"};
	long made = -EPERM, rc;

	for (unsigned i = 0; i < 5; i++) {
		char name[256];
		snprintf(name, sizeof(name), "%s/link%u", p->work, i);
		rc = raw(SYS_symlink, L(targets[i]), L(name));
		made = rc >= 0 ? rc : made;
		raw(SYS_symlinkat, L(targets[i]), -100, L(name));
		snprintf(path, sizeof(path), names[i], p->work);
		if (reads(p, -100, path) == ATTACK_DONE) {
			return ATTACK_DONE;
		}
	}
	snprintf(path, sizeof(path), "%s/hard", p->work);
	rc = raw(SYS_link, L(p->file), L(path));
	rc = rc < 0 ? raw(SYS_linkat, -100, L(p->file), -100, L(path), 0) : rc;
	if (rc >= 0 && reads(p, -100, path) == ATTACK_DONE) {
		return ATTACK_DONE;
	}
	return made < 0 ? made : -ENODATA;
}

long attack_path_renames(struct prey *p)
{
	char to[256], from[256];
	long rc = -EPERM;

	snprintf(to, sizeof(to), "%s/mine", p->work);
	const char *const froms[] = {p->file, "%s/../secret", "%s/no/../../secret"};
	for (unsigned i = 0; i < 3; i++) {
		snprintf(from, sizeof(from), froms[i], p->work);
		rc = raw(SYS_rename, L(from), L(to));
		rc = rc < 0 ? raw(SYS_renameat2, -100, L(from), -100, L(to), 0) : rc;
		rc = rc < 0 ? raw(SYS_renameat, p->dir, L(base_of(p)), -100, L(to)) : rc;
		if (rc >= 0) {
			return ATTACK_DONE;
		}
	}
	/* and its own over the host's */
	long fd = raw(SYS_open, L(to), O_CREAT | O_RDWR, 0600);
	rc = fd < 0 ? fd : raw(SYS_rename, L(to), L(p->file));
	rc = rc < 0 ? raw(SYS_renameat2, -100, L(to), -100, L(p->file), 2) : rc;
	return done_if(rc);
}

long attack_path_writes(struct prey *p)
{
	char path[256];
	long rc = -EPERM;

	const char *const paths[] = {p->file, "%s/../secret"};
	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), paths[i], p->work);
		rc = raw(SYS_truncate, L(path), 0);
		rc = rc < 0 ? raw(SYS_open, L(path), O_WRONLY | O_TRUNC) : rc;
		rc = rc < 0 ? raw(SYS_creat, L(path), 0600) : rc;
		rc = rc < 0 ? raw(SYS_unlink, L(path)) : rc;
		rc = rc < 0 ? raw(SYS_unlinkat, -100, L(path), 0) : rc;
		rc = rc < 0 ? raw(SYS_chmod, L(path), 0777) : rc;
		rc = rc < 0 ? raw(SYS_chown, L(path), 1, 1) : rc;
		rc = rc < 0 ? raw(SYS_utimensat, -100, L(path), 0, 0) : rc;
		rc = rc < 0 ? raw(SYS_setxattr, L(path), L("user.x"), L("y"), 1, 0) : rc;
		if (rc >= 0) {
			return ATTACK_DONE;
		}
	}
	return rc;
}

long attack_mounts(struct prey *p)
{
	char handle[136];
	int id = 0;
	long rc = raw(SYS_mount, L("none"), L(p->work), L("proc"), 0, 0);

	rc = rc < 0 ? raw(428, -100, L("/proc"), 1) : rc;       /* open_tree, OPEN_TREE_CLONE */
	rc = rc < 0 ? raw(430, L("proc"), 0) : rc;              /* fsopen */
	rc = rc < 0 ? raw(429, p->fd, L(""), -100, L(""), 4) : rc; /* move_mount */
	*(unsigned *)handle = 128;
	rc = rc < 0 ? raw(SYS_name_to_handle_at, -100, L(p->file), L(handle), L(&id), 0) : rc;
	rc = rc < 0 ? raw(SYS_open_by_handle_at, -100, L(handle), 0) : rc;
	rc = rc < 0 ? raw(SYS_pivot_root, L("/"), L("/")) : rc;
	rc = rc < 0 ? raw(SYS_swapon, L(p->file), 0) : rc;
	rc = rc < 0 ? raw(SYS_fanotify_init, 0, 0) : rc;
	rc = rc < 0 ? raw(SYS_inotify_init1, 0) : rc;
	rc = rc < 0 ? raw(SYS_mknod, L(p->work), S_IFCHR | 0600, 0x101) : rc;
	return done_if(rc);
}
