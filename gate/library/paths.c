/* SPDX-License-Identifier: Apache-2.0 */
/* Where paths may lead, and following them (files.h). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../core/keys.h"
#include "cache_dirs.h"
#include "files_parts.h"

#define BENEATH 0x08
#define NO_SYMLINKS 0x04
#define NO_MAGICLINKS 0x02
#define LINKS 40 /* the kernel's limit, too */
#define TRIES 64 /* against somebody who renames all the time */

/* Of libraries. What /etc/alternatives holds are links, into these. */
static const char *const library_dirs[] = {
	"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64", "/etc/alternatives",
	"/etc/ld.so.cache",
};

/* How many processors there are: the C library asks, and sched_getaffinity tells everybody anyway. */
static const char *const machine_files[] = {"/sys/devices/system/cpu/online", "/sys/devices/system/cpu/possible"};

static long beneath(int dir, const char *path, uint64_t flags, uint64_t mode)
{
	struct open_how_64 how = {flags, mode, BENEATH | NO_SYMLINKS | NO_MAGICLINKS};
	long real;
	int tries = TRIES;

	do {
		real = sys4(SYS_openat2, dir, path[0] != '\0' ? path : ".", &how, sizeof(how));
	} while ((real == -EAGAIN || real == -EINTR) && tries-- > 0);
	return real;
}

/* ---- roots ---------------------------------------------------------------------------------- */

/* 0: there is no room. */
static uint32_t keep(struct files *files, const char *text)
{
	size_t bytes = strlen(text) + 1;
	uint32_t at = files->text_bytes;

	if (bytes > ROOTS_TEXT - at) {
		return 0;
	}
	memcpy(files->text + at, text, bytes);
	files->text_bytes += (uint32_t)bytes;
	return at;
}

static int root_add(struct files *files, const char *given, struct root r, char *why, size_t why_bytes)
{
	char own[PATH_MAX], dir[PATH_MAX];
	struct stat st;

	if (realpath(given, own) == NULL) {
		return 0;
	}
	if (rules_never_path(own, r.write)) {
		snprintf(why, why_bytes, "%s leads to %s, which no policy can allow", given, own);
		return -EINVAL;
	}
	if (files->nroots == ROOTS) {
		snprintf(why, why_bytes, "there are too many paths");
		return -EINVAL;
	}
	snprintf(dir, sizeof(dir), "%s", own);
	if (stat(own, &st) == 0 && !S_ISDIR(st.st_mode)) {
		char *slash = strrchr(dir, '/');
		r.name = keep(files, slash + 1);
		slash[slash == dir] = '\0';
		if (r.name == 0) {
			return -ENOMEM;
		}
	}
	r.given = keep(files, given);
	r.own = keep(files, own);
	if (r.given == 0 || r.own == 0) {
		return -ENOMEM;
	}
	r.special = rules_special_path(own);
	r.real = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r.real >= 0) {
		files->roots[files->nroots++] = r;
	}
	return 0;
}

static int search_open(struct files *files, const char *search, char *why, size_t why_bytes)
{
	const struct root loading = {.loading = true};
	char given[RULES_PATH_BYTES], one[PATH_MAX];

	while (search != NULL && search[0] != '\0') {
		size_t bytes = strcspn(search, ":");
		if (bytes > 0 && bytes < sizeof(one)) {
			memcpy(one, search, bytes);
			one[bytes] = '\0';
			if (one[0] != '/' || rules_normal(given, "/", one) != 0) {
				snprintf(why, why_bytes, "%.60s in search: not an absolute path", one);
				return -EINVAL;
			}
			int rc = root_add(files, given, loading, why, why_bytes);
			if (rc != 0) {
				return rc;
			}
		}
		search += bytes + (search[bytes] == ':');
	}
	return 0;
}

static bool is_known(const struct files *files, const char *dir)
{
	const char *rest;

	for (size_t i = 0; i < sizeof(library_dirs) / sizeof(library_dirs[0]); i++) {
		if (rules_beneath(dir, library_dirs[i], &rest)) {
			return true;
		}
	}
	for (uint32_t i = 0; i < files->nroots; i++) {
		if (files->roots[i].loading && strcmp(files->text + files->roots[i].given, dir) == 0) {
			return true;
		}
	}
	return false;
}

/* Where else the system has libraries: the loader inside reads of them in the same file. What no policy could allow stays out. */
static void cache_take(struct files *files, const uint8_t *cache, size_t bytes)
{
	const struct root loading = {.loading = true};
	char dir[CACHE_DIR_BYTES] = "", given[RULES_PATH_BYTES], why[128];
	uint32_t taken = 0;

	for (uint32_t at = 0; taken < CACHE_DIRS && cache_dir_next(cache, bytes, &at, dir);) {
		if (rules_normal(given, "/", dir) == 0 && !is_known(files, given) &&
		    root_add(files, given, loading, why, sizeof(why)) == 0) {
			taken++;
		}
	}
}

static void cache_open(struct files *files)
{
	int fd = open("/etc/ld.so.cache", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	uint8_t *cache;
	size_t got = 0;
	ssize_t n = 1;

	if (fd < 0) {
		return;
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= CACHE_BYTES &&
	    (cache = monitor_alloc((size_t)st.st_size)) != NULL) {
		while (got < (size_t)st.st_size && n > 0) {
			n = pread(fd, cache + got, (size_t)st.st_size - got, (off_t)got);
			got += n > 0 ? (size_t)n : 0;
		}
		cache_take(files, cache, got);
		monitor_free(cache, (size_t)st.st_size);
	}
	close(fd);
}

int roots_open(struct library *l, const char *search, char *why, size_t why_bytes)
{
	struct files *files = l->files;
	const struct rules *rules = l->rules;
	struct root read = {0}, loading = {.loading = true};
	int rc = 0;

	files->text_bytes = 1; /* 0 is no name */
	files->slash.real = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	files->slash.given = files->slash.own = keep(files, "/");
	for (uint32_t i = 0; rc == 0 && i < rules->npaths; i++) {
		struct root r = {.write = rules->paths[i].write};
		rc = root_add(files, rules->text + rules->paths[i].at, r, why, why_bytes);
	}
	for (size_t i = 0; rc == 0 && rules->net_files && rules_net_files[i] != NULL; i++) {
		rc = root_add(files, rules_net_files[i], read, why, why_bytes);
	}
	for (size_t i = 0; rc == 0 && i < sizeof(machine_files) / sizeof(machine_files[0]); i++) {
		rc = root_add(files, machine_files[i], read, why, why_bytes);
	}
	for (size_t i = 0; rc == 0 && i < sizeof(library_dirs) / sizeof(library_dirs[0]); i++) {
		rc = root_add(files, library_dirs[i], loading, why, why_bytes);
	}
	rc = rc == 0 ? search_open(files, search, why, why_bytes) : rc;
	if (rc == 0) {
		cache_open(files);
	}
	return rc;
}

void roots_close(struct files *files)
{
	for (uint32_t i = 0; i < files->nroots; i++) {
		sys1(SYS_close, files->roots[i].real);
	}
	if (files->text_bytes != 0 && files->slash.real >= 0) {
		sys1(SYS_close, files->slash.real);
	}
}

static bool root_holds(const struct files *files, const struct root *r, const char *path, const char **rest,
		       size_t *bytes)
{
	const char *const names[] = {files->text + r->given, files->text + r->own};

	if (rules_special_path(path) && !r->special) {
		return false;
	}
	for (int i = 0; i < 2; i++) {
		if (rules_beneath(path, names[i], rest) && (r->name == 0 || **rest == '\0')) {
			*bytes = strlen(names[i]);
			return true;
		}
	}
	return false;
}

/* The root with the longest name that holds path: a policy's, and only then one for loading. */
static const struct root *root_find(struct files *files, const char *path, const char **rest)
{
	for (int loading = 0; loading <= (atomic_load(&files->loading) != 0); loading++) {
		const struct root *best = NULL;
		size_t longest = 0;

		for (uint32_t i = 0; i < files->nroots; i++) {
			const char *behind;
			size_t bytes;

			if (files->roots[i].loading == loading &&
			    root_holds(files, &files->roots[i], path, &behind, &bytes) && bytes > longest) {
				longest = bytes;
				best = &files->roots[i];
				*rest = behind;
			}
		}
		if (best != NULL) {
			return best;
		}
	}
	return NULL;
}

/* Does path lead to a root? */
static bool leads_to_root(struct files *files, const char *path)
{
	const char *rest;
	bool loading = atomic_load(&files->loading) != 0;

	for (uint32_t i = 0; i < files->nroots; i++) {
		const struct root *r = &files->roots[i];
		if ((loading || !r->loading) && (rules_beneath(files->text + r->given, path, &rest) ||
						 rules_beneath(files->text + r->own, path, &rest))) {
			return true;
		}
	}
	return false;
}

static const struct root *root_for(const struct answer *a, const char *path, struct want *want, const char **rest)
{
	struct files *files = a->l->files;
	const struct root *r = root_find(files, path, rest);

	want->learned = false;
	if (r == NULL && want->look && leads_to_root(files, path)) {
		r = &files->slash;
		*rest = path + 1;
	}
	if (r == NULL && a->l->rules->report && !want->write && !rules_special_path(path)) {
		r = &files->slash;
		*rest = path + 1;
		want->learned = true;
	}
	return r != NULL && want->write && !r->write ? NULL : r;
}

/* ---- following ------------------------------------------------------------------------------ */

/* The first link in root/rest: path becomes where it leads to. -EAGAIN: there is none (any more). */
static long expand(struct files *files, const struct root *root, const char *rest, bool last,
		   char path[RULES_PATH_BYTES])
{
	char so_far[RULES_PATH_BYTES], name[NAME_MAX + 1], target[RULES_PATH_BYTES];
	long dir = root->real, rc = -EAGAIN;
	size_t used = strlen(files->text + root->own);

	memcpy(so_far, files->text + root->own, used + 1);
	while (*rest != '\0') {
		size_t bytes = strcspn(rest, "/");
		const char *behind = rest + bytes + (rest[bytes] == '/');
		struct stat st;

		if (bytes > NAME_MAX) {
			rc = -ENAMETOOLONG;
			break;
		}
		memcpy(name, rest, bytes);
		name[bytes] = '\0';
		long next = sys4(SYS_openat, dir, name, LOOK | O_NOFOLLOW, 0);
		if (dir != root->real) {
			sys1(SYS_close, dir);
		}
		dir = root->real;
		if (next < 0) {
			return next;
		}
		dir = next;
		rc = sys2(SYS_fstat, dir, &st);
		if (rc == 0 && S_ISLNK(st.st_mode)) {
			rc = *behind == '\0' && last ? -ELOOP
						     : sys4(SYS_readlinkat, dir, "", target, sizeof(target) - 1);
			if (rc < 0) {
				break;
			}
			target[rc] = '\0';
			/* so_far has no link in it, so ".." in a target is where the text says */
			rc = (size_t)rc == sizeof(target) - 1 ? -ENAMETOOLONG : rules_normal(path, so_far, target);
			if (rc == 0 && *behind != '\0') {
				memcpy(so_far, path, strlen(path) + 1);
				memmove(target, behind, strlen(behind) + 1);
				rc = rules_normal(path, so_far, target);
			}
			break;
		}
		if (rc != 0) {
			break;
		}
		rc = -EAGAIN;
		if (used + bytes + 2 > sizeof(so_far)) {
			rc = -ENAMETOOLONG;
			break;
		}
		so_far[used > 1 ? used++ : used - 1] = '/';
		memcpy(so_far + used, name, bytes + 1);
		used += bytes;
		rest = behind;
	}
	if (dir != root->real) {
		sys1(SYS_close, dir);
	}
	return rc;
}

/* A file of the kernel's is none, wherever it is mounted, unless the policy names it. */
static bool is_kernels(long real)
{
	struct statfs fs = {0};

	return sys2(SYS_fstatfs, real, &fs) != 0 || fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
	       fs.f_type == DEBUGFS_MAGIC || fs.f_type == TRACEFS_MAGIC || fs.f_type == SECURITYFS_MAGIC;
}

bool path_kind(long real, enum file_kind *kind)
{
	struct stat st;

	if (sys2(SYS_fstat, real, &st) != 0) {
		return false;
	}
	bool memory = S_ISCHR(st.st_mode) && major(st.st_rdev) == 1;
	unsigned int device = minor(st.st_rdev);

	*kind = S_ISDIR(st.st_mode) ? FILE_DIR : memory ? FILE_DEVICE : FILE_REGULAR;
	return S_ISDIR(st.st_mode) || S_ISREG(st.st_mode) ||
	       (memory && (device == 3 || device == 5 || (device >= 7 && device <= 9)));
}

/* Or is it only looked at, or made? */
static bool opens(uint64_t flags)
{
	return !(flags & O_PATH) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
}

/*
 * To open a fifo, or a device, does something to it: who waits at the other end goes on, and is alone again when it is closed. So
 * what will be refused is looked at before. What is not there, and what cannot be followed, the call itself says.
 */
static bool may_be_opened(const struct root *root, const char *rest)
{
	enum file_kind kind;
	long real = beneath(root->real, rest, LOOK, 0);
	bool may;

	if (real < 0) {
		return true;
	}
	may = path_kind(real, &kind) && (root->special || !is_kernels(real));
	sys1(SYS_close, real);
	return may;
}

/*
 * A refused path. While a loader looks for things they are not there; and so is what the C library looks at when
 * there is a thread or a thread's heap, and does without: nobody is told.
 */
static bool looked_for(const char *path, bool loading)
{
	static const char *const out_of_habit[] = {
		"/etc/ld.so.preload", "/proc/stat", "/proc/sys/vm/overcommit_memory", "/sys/devices/system/cpu",
		"/sys/devices/system/cpu/online", "/sys/devices/system/cpu/possible",
	};
	const char *rest;

	for (size_t i = 0; i < sizeof(out_of_habit) / sizeof(out_of_habit[0]); i++) {
		if (strcmp(path, out_of_habit[i]) == 0) {
			return true;
		}
	}
	for (size_t i = 0; loading && i < sizeof(library_dirs) / sizeof(library_dirs[0]); i++) {
		if (rules_beneath(path, library_dirs[i], &rest)) {
			return true;
		}
	}
	return false;
}

long path_refused(const struct answer *a, const char *path)
{
	bool loading = atomic_load(&a->l->files->loading) != 0;

	if (looked_for(path, loading)) {
		return -ENOENT;
	}
	mediator_refused(a->l->domain, a->call);
	return loading ? -ENOENT : -EACCES;
}

static bool is_directory(long real)
{
	struct stat st;

	return sys2(SYS_fstat, real, &st) == 0 && S_ISDIR(st.st_mode);
}

long path_follow(const struct answer *a, char path[RULES_PATH_BYTES], uint64_t flags, uint64_t mode,
		   struct want *want)
{
	struct files *files = a->l->files;
	bool learned = false;
	char asked[RULES_LEARNED_BYTES] = "";

	if (strlen(path) < sizeof(asked)) {
		memcpy(asked, path, strlen(path) + 1);
	}
	for (int links = 0; links < LINKS; links++) {
		const char *rest;
		const struct root *root = root_for(a, path, want, &rest);
		long real;

		if (root == NULL) {
			return path_refused(a, path);
		}
		learned = learned || want->learned;
		rest = root->name != 0 ? files->text + root->name : rest;
		if (opens(flags) && !may_be_opened(root, rest)) {
			return path_refused(a, path);
		}
		real = beneath(root->real, rest, flags, mode);
		if (real == -ELOOP && root->name == 0) {
			char behind[RULES_PATH_BYTES]; /* rest is a part of path */
			memcpy(behind, rest, strlen(rest) + 1);
			real = expand(files, root, behind, want->last, path);
			if (real == 0 || real == -EAGAIN) {
				continue;
			}
		}
		if (real >= 0 && !root->special && is_kernels(real)) {
			sys1(SYS_close, real);
			return path_refused(a, path);
		}
		if (real >= 0 && learned && asked[0] != '\0') {
			rules_learn_path(a->l->rules, asked, path, want->look && is_directory(real));
		}
		return real;
	}
	return -ELOOP;
}

long path_read(const struct answer *a, uint64_t dirfd, uint64_t at, char path[RULES_PATH_BYTES], bool *slash)
{
	char raw[RULES_PATH_BYTES];
	long bytes = inside_text(a->l, raw, at, sizeof(raw));

	if (bytes < 0) {
		return bytes;
	}
	if (bytes == 0) {
		return -ENOENT;
	}
	*slash = raw[bytes - 1] == '/';
	if (raw[0] == '/' || low_int(dirfd) == AT_FDCWD) {
		return rules_normal(path, "/", raw);
	}
	struct file *f = file_hold(a->l, dirfd);
	if (f == NULL) {
		return -EBADF;
	}
	long rc = f->kind != FILE_DIR	 ? -ENOTDIR
		  : f->path[0] == '\0' ? -ENAMETOOLONG
					: rules_normal(path, f->path, raw);
	file_drop(a->l, f);
	return rc;
}

long path_look(const struct answer *a, uint64_t dirfd, uint64_t at, bool last, bool write)
{
	char path[RULES_PATH_BYTES];
	bool slash;
	struct want want = {.write = write, .look = true, .last = last};
	long rc = path_read(a, dirfd, at, path, &slash);

	if (rc != 0) {
		return rc;
	}
	want.last = last && !slash;
	return path_follow(a, path, LOOK | (want.last ? O_NOFOLLOW : 0) | (slash ? O_DIRECTORY : 0), 0, &want);
}
