/* SPDX-License-Identifier: Apache-2.0 */
/* Where ld.so looks for one name, in its order (glibc's elf/dl-load.c). */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "deps_walk.h"
#include "file.h"

int deps_charge(struct walk *w, size_t bytes)
{
	if (bytes > MAX_BYTES - w->bytes) {
		w->exhausted = true;
		return -EFBIG;
	}
	w->bytes += bytes;
	return 0;
}

struct ldso_tokens deps_tokens(const struct walk *w, const struct object *object)
{
	return (struct ldso_tokens){object->origin, w->ldso.lib, w->system->cpu.platform};
}

/*
 * Looks whether w would be content with the file at path. Returns 0 and fills *c, -ENOENT when ld.so would pass it
 * over, another error of the closed list with *why when it would give up.
 */
static int try_file(struct walk *w, struct candidate *c, const char *path, const char **why)
{
	struct source src;
	int fd, rc;

	if (w->probes == 0) {
		w->exhausted = true;
		return -EFBIG;
	}
	w->probes--;
	fd = file_open(AT_FDCWD, path, &c->st);
	if (fd < 0) {
		return fd == -ENOMEM ? fd : -ENOENT;
	}
	for (size_t i = 0; i < w->nobjects; i++) {
		if (w->objects[i].ino == c->st.st_ino && w->objects[i].dev == c->st.st_dev) {
			c->loaded = true;
			c->object = (uint32_t)i;
			close(fd);
			return 0;
		}
	}
	src = source_from_fd(fd, 0, (uint64_t)c->st.st_size);
	rc = needs_read(&c->needs, &src, why);
	close(fd);
	if (rc == -EPROTOTYPE) {
		c->foreign = true;
		return -ENOENT;
	}
	if (rc == 0 && c->needs.type != ET_DYN && c->needs.type != ET_EXEC) {
		*why = "a relocatable object is not a library";
		needs_free(&c->needs);
		rc = -EBADMSG;
	}
	if (rc == 0) {
		snprintf(c->path, sizeof(c->path), "%s", path);
	}
	return rc;
}

static int try_dirs(struct walk *w, struct candidate *c, const struct ldso_dirs *dirs, const char *name,
		    const char **why)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < dirs->count; i++) {
		int len = snprintf(path, sizeof(path), "%s%s", dirs->items[i], name);
		int rc;

		if (len < 0 || (size_t)len >= sizeof(path)) {
			continue;
		}
		rc = try_file(w, c, path, why);
		if (rc != -ENOENT) {
			return rc;
		}
	}
	return -ENOENT;
}

int deps_parse_dirs(struct walk *w, struct ldso_dirs *dirs, const char *list, const char *separators,
		      const struct object *object)
{
	struct ldso_tokens tokens = deps_tokens(w, object);
	int rc;

	if (list == NULL || list[0] == '\0') {
		return 0;
	}
	rc = ldso_dirs_add(dirs, list, separators, &tokens, &w->subdirs, &w->probes, MAX_BYTES - w->bytes);
	w->exhausted |= rc == -EFBIG;
	return rc == 0 ? deps_charge(w, dirs->bytes) : rc;
}

static int try_rpath(struct walk *w, struct candidate *c, struct object *object, const char *name, const char **why)
{
	if (!object->rpath_known) {
		int rc = deps_parse_dirs(w, &object->rpath, object->needs.rpath, ":", object);

		if (rc != 0) {
			return rc;
		}
		object->rpath_known = true;
	}
	return try_dirs(w, c, &object->rpath, name, why);
}

static int try_runpath(struct walk *w, struct candidate *c, struct object *object, const char *name,
		       const char **why)
{
	if (!object->runpath_known) {
		int rc = deps_parse_dirs(w, &object->runpath, object->needs.runpath, ":", object);

		if (rc != 0) {
			return rc;
		}
		object->runpath_known = true;
	}
	return try_dirs(w, c, &object->runpath, name, why);
}

/* RPATHs: of the loader, of what loaded it and on up, of the program; none when the loader has a RUNPATH. */
static int try_rpaths(struct walk *w, struct candidate *c, uint32_t loader, const char *name, const char **why)
{
	bool program_done = false;
	int rc = -ENOENT;

	if (w->objects[loader].needs.runpath != NULL) {
		return -ENOENT;
	}
	for (uint32_t at = loader; at != NOBODY && rc == -ENOENT; at = w->objects[at].loader) {
		rc = try_rpath(w, c, &w->objects[at], name, why);
		program_done |= at == 0;
	}
	return rc == -ENOENT && !program_done ? try_rpath(w, c, &w->objects[0], name, why) : rc;
}

static int try_cache(struct walk *w, struct candidate *c, uint32_t loader, const char *name, const char **why)
{
	const char *path = ldcache_find(&w->cache, name, &w->cache_cpu);

	if (path == NULL) {
		return -ENOENT;
	}
	for (size_t i = 0; w->objects[loader].needs.nodeflib && w->ldso.system_dirs[i] != NULL; i++) {
		if (strncmp(path, w->ldso.system_dirs[i], strlen(w->ldso.system_dirs[i])) == 0) {
			return -ENOENT;
		}
	}
	return try_file(w, c, path, why);
}

int deps_search(struct walk *w, struct candidate *c, uint32_t loader, const char *name, const char **why)
{
	int rc;

	if (strchr(name, '/') != NULL) {
		return try_file(w, c, name, why);
	}
	rc = try_rpaths(w, c, loader, name, why);
	if (rc == -ENOENT) {
		rc = try_dirs(w, c, &w->library_path, name, why);
	}
	if (rc == -ENOENT) {
		rc = try_runpath(w, c, &w->objects[loader], name, why);
	}
	if (rc == -ENOENT) {
		rc = try_cache(w, c, loader, name, why);
	}
	if (rc == -ENOENT && !w->objects[loader].needs.nodeflib) {
		rc = try_dirs(w, c, &w->system_dirs, name, why);
	}
	return rc;
}
