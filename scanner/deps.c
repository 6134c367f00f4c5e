/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ld.so would load, by its own rules (ld.so(8); glibc's elf/dl-load.c, dl-deps.c, rtld.c), without
 * running anything. The order is that of loading. Libraries of DT_FILTER and DT_AUXILIARY come where they
 * are named, as if they were needed; ld.so puts them before the file that names them.
 *
 * Whatever the files say, there are at most MAX_OBJECTS of them, MAX_LOOKUPS names to look for, MAX_PROBES
 * looks into the file system, and MAX_BYTES of memory.
 */
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "deps_walk.h"
#include "file.h"

#define MAX_PRELOAD (64u * 1024)

LYCH_PRINTF(4, 5)
static void say(const struct walk *w, enum lych_severity severity, int err, const char *format, ...)
{
	char message[1024];
	struct lych_diag diag = {
		.severity = severity, .err = err, .path = w->exe, .member = "", .message = message};
	va_list args;

	if (w->opts == NULL || w->opts->diag == NULL) {
		return;
	}
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	w->opts->diag(w->opts->ctx, &diag);
}

#define SHOWN_MAX 256

static uint32_t hash_of(const char *text)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *text != '\0'; text++) {
		hash = (hash ^ (uint8_t)*text) * 16777619u;
	}
	return hash;
}

/* ---- objects ------------------------------------------------------------------------------ */

static bool find_name(const struct walk *w, const char *text, uint32_t *object)
{
	uint32_t hash = hash_of(text);

	for (size_t i = 0; i < w->nnames; i++) {
		if (w->names[i].hash == hash && strcmp(w->names[i].text, text) == 0) {
			*object = w->names[i].object;
			return true;
		}
	}
	return false;
}

static int add_name(struct walk *w, uint32_t object, const char *text)
{
	uint32_t known;
	int rc;

	if (find_name(w, text, &known)) {
		return 0;
	}
	rc = deps_charge(w, strlen(text) + 2 * sizeof(struct name));
	if (rc != 0) {
		return rc;
	}
	if ((w->nnames & (w->nnames - 1)) == 0) {
		size_t room = w->nnames == 0 ? 1 : w->nnames * 2;
		struct name *grown = realloc(w->names, room * sizeof(*grown));

		if (grown == NULL) {
			return -ENOMEM;
		}
		w->names = grown;
	}
	w->names[w->nnames] = (struct name){hash_of(text), object, strdup(text)};
	if (w->names[w->nnames].text == NULL) {
		return -ENOMEM;
	}
	w->nnames++;
	return 0;
}

/* The directory of path, which need not be absolute, for $ORIGIN. */
static char *origin_of(const char *path)
{
	char cwd[PATH_MAX], full[2 * PATH_MAX + 2];
	char *slash;

	if (path[0] != '/' && getcwd(cwd, sizeof(cwd)) != NULL) {
		snprintf(full, sizeof(full), "%s/%s", cwd, path);
	} else {
		snprintf(full, sizeof(full), "%s", path);
	}
	slash = strrchr(full, '/');
	if (slash == NULL) {
		return strdup(".");
	}
	slash[slash == full] = '\0';
	return strdup(full);
}

/* Adds an object and takes over *needs, also when it fails. */
static int add_object(struct walk *w, const char *path, const struct stat *st, struct needs *needs, uint32_t loader,
		      uint32_t *out)
{
	struct object *object;
	int rc = deps_charge(w, needs->bytes + 2 * (sizeof(*object) + strlen(path)));

	if (w->nobjects == MAX_OBJECTS) {
		w->exhausted = true;
		rc = -EFBIG;
	}
	if (rc == 0 && (w->nobjects & (w->nobjects - 1)) == 0) {
		size_t room = w->nobjects == 0 ? 1 : w->nobjects * 2;
		struct object *grown = realloc(w->objects, room * sizeof(*grown));

		rc = grown == NULL ? -ENOMEM : 0;
		w->objects = grown == NULL ? w->objects : grown;
	}
	if (rc != 0) {
		needs_free(needs);
		return rc;
	}
	*out = (uint32_t)w->nobjects;
	object = &w->objects[w->nobjects++];
	*object = (struct object){
		.path = strdup(path),
		.origin = origin_of(path),
		.needs = *needs,
		.loader = loader,
		.dev = st->st_dev,
		.ino = st->st_ino,
	};
	if (object->path == NULL || object->origin == NULL) {
		return -ENOMEM;
	}
	return object->needs.soname != NULL ? add_name(w, *out, object->needs.soname) : 0;
}

static int report(const struct walk *w, const char *path, const char *needed)
{
	return w->found(w->ctx, path, needed) != 0 ? -ECANCELED : 0;
}

static void say_missing(struct walk *w, const char *name, uint32_t loader, const struct candidate *c,
			bool preloaded)
{
	char shown[SHOWN_MAX], by[SHOWN_MAX];

	file_clean_name(shown, sizeof(shown), name);
	file_clean_name(by, sizeof(by), preloaded ? w->system->preload : w->objects[loader].path);
	say(w, preloaded ? LYCH_DIAG_WARNING : LYCH_DIAG_ERROR, -ENODATA, "%s, needed by %s, was not found%s", shown, by,
	    c->foreign ? ": only for another machine" : "");
	w->incomplete |= !preloaded;
}

/*
 * Looks for what loader calls name and adds it when it is new. What is not found or not to be loaded is said;
 * only what ends the walk is returned: -ECANCELED, -ENOMEM, -EFBIG.
 */
static int need(struct walk *w, uint32_t loader, const char *raw, enum need_kind kind, bool preloaded)
{
	struct ldso_tokens tokens = deps_tokens(w, &w->objects[loader]);
	struct candidate c = {.loaded = false};
	const char *why = "";
	char *name = NULL;
	uint32_t object;
	int rc;

	if (w->lookups == 0) {
		w->exhausted = true;
		return -EFBIG;
	}
	w->lookups--;
	rc = ldso_expand(&name, raw, &tokens);
	if (rc == -ENOMEM) {
		return rc;
	}
	if (rc == 0 && (find_name(w, name, &object) || name[0] == '\0')) {
		goto out;
	}
	rc = rc == 0 ? deps_search(w, &c, loader, name, &why) : -ENOENT;
	if (rc == 0 && c.loaded) {
		rc = add_name(w, c.object, name);
	} else if (rc == 0) {
		rc = add_object(w, c.path, &c.st, &c.needs, loader, &object);
		rc = rc == 0 ? add_name(w, object, name) : rc;
		rc = rc == 0 ? add_name(w, object, c.path) : rc;
		rc = rc == 0 ? report(w, c.path, name) : rc;
	} else if (rc == -ENOENT) {
		rc = 0;
		if (kind != NEED_AUXILIARY) {
			say_missing(w, name != NULL ? name : raw, loader, &c, preloaded);
		}
	} else if (rc != -ENOMEM && !w->exhausted) {
		char shown[SHOWN_MAX];

		/* ld.so would stop here. */
		file_clean_name(shown, sizeof(shown), name);
		say(w, LYCH_DIAG_ERROR, rc, "%s cannot be loaded: %s", shown, why[0] != '\0' ? why : lych_strerror(rc));
		w->incomplete = true;
		rc = 0;
	}
out:
	free(name);
	return rc;
}

/* ---- the program -------------------------------------------------------------------------- */

/* /etc/ld.so.preload: names between white space and colons, comments from # to the end of the line. */
static int add_preloaded(struct walk *w)
{
	char text[MAX_PRELOAD + 1];
	struct source src;
	size_t len = 0;
	char *p, *save;
	int fd = file_open(AT_FDCWD, w->system->preload, NULL);
	int rc = 0;

	if (fd < 0) {
		return fd == -ENOMEM ? fd : 0;
	}
	src = source_from_fd(fd, 0, MAX_PRELOAD);
	if (source_read_some(&src, 0, text, MAX_PRELOAD, &len) != 0) {
		len = 0;
	}
	close(fd);
	text[len] = '\0';
	for (p = text; (p = strchr(p, '#')) != NULL;) {
		while (*p != '\0' && *p != '\n') {
			*p++ = ' ';
		}
	}
	for (p = strtok_r(text, ": \t\n", &save); p != NULL && rc == 0; p = strtok_r(NULL, ": \t\n", &save)) {
		rc = need(w, 0, p, NEED_LIBRARY, true);
	}
	return rc;
}

static int add_interpreter(struct walk *w)
{
	const char *path = w->objects[0].needs.interp;
	struct candidate c = {.loaded = false};
	const char *why = "";
	struct source src;
	uint32_t object;
	int fd, rc;

	/* What a library is loaded by is not known; the rules are those of the system's ld.so. */
	fd = file_open(AT_FDCWD, path != NULL ? path : w->system->ldso, &c.st);
	if (fd < 0) {
		src = source_from_memory(NULL, 0);
	} else {
		src = source_from_fd(fd, 0, (uint64_t)c.st.st_size);
	}
	rc = ldso_recognise(&w->ldso, &src);
	if (rc != 0 || path == NULL) {
		goto out;
	}
	rc = fd < 0 ? fd : needs_read(&c.needs, &src, &why);
	if (rc == 0) {
		/* Nobody loads what an interpreter needs but itself, and glibc's needs nothing. */
		bool glibc = c.needs.soname != NULL && strcmp(c.needs.soname, "ld-linux-x86-64.so.2") == 0;
		bool needing = c.needs.count > 0;

		needs_free_items(&c.needs);
		rc = add_object(w, path, &c.st, &c.needs, NOBODY, &object);
		rc = rc == 0 ? add_name(w, object, path) : rc;
		rc = rc == 0 ? report(w, path, path) : rc;
		if (!glibc || needing) {
			say(w, LYCH_DIAG_WARNING, 0,
			    "the program interpreter is not glibc's ld.so: it may load other files than listed");
		}
	} else if (rc != -ENOMEM) {
		char shown[SHOWN_MAX];

		file_clean_name(shown, sizeof(shown), path);
		say(w, LYCH_DIAG_ERROR, rc == -ENOENT ? -ENODATA : rc, "the program interpreter %s cannot be loaded: %s",
		    shown, why[0] != '\0' ? why : lych_strerror(rc));
		w->incomplete = true;
		rc = 0;
	}
out:
	if (fd >= 0) {
		close(fd);
	}
	return rc;
}

static int add_program(struct walk *w)
{
	struct needs needs;
	const char *why = "";
	char *real;
	struct source src;
	struct stat st;
	uint32_t object;
	int fd = file_open(AT_FDCWD, w->exe, &st);
	int rc;

	if (fd < 0) {
		say(w, LYCH_DIAG_ERROR, fd, "%s", lych_strerror(fd));
		return fd;
	}
	src = source_from_fd(fd, 0, (uint64_t)st.st_size);
	rc = needs_read(&needs, &src, &why);
	if (rc != 0) {
		say(w, LYCH_DIAG_ERROR, rc, "%s", why[0] != '\0' ? why : lych_strerror(rc));
		goto out;
	}
	/* $ORIGIN of a program is where its file really is: ld.so asks /proc/self/exe. */
	real = realpath(w->exe, NULL);
	if (real == NULL) {
		needs_free(&needs);
		rc = file_error(errno);
		goto out;
	}
	rc = add_object(w, real, &st, &needs, NOBODY, &object);
	free(real);
	if (rc == 0 && w->objects[0].needs.type == ET_REL) {
		say(w, LYCH_DIAG_NOTE, 0, "a relocatable object: nothing is loaded for it");
	}
	if (rc == 0 && ((st.st_mode & (S_ISUID | S_ISGID)) != 0 ||
			fgetxattr(fd, "security.capability", NULL, 0) > 0)) {
		say(w, LYCH_DIAG_NOTE, 0,
		    "runs with raised privileges: ld.so then ignores LD_LIBRARY_PATH and $ORIGIN outside of trusted "
		    "directories, which is not followed here");
	}
	if (rc == 0 && w->objects[0].needs.audit) {
		say(w, LYCH_DIAG_WARNING, 0,
		    "DT_AUDIT names libraries that ld.so loads into a namespace of their own: they are not listed");
	}
	rc = rc == 0 ? report(w, w->exe, w->exe) : rc;
out:
	close(fd);
	return rc;
}

/* The directories that hold for every object. Needs the program and the kind of ld.so. */
static int add_directories(struct walk *w)
{
	const struct ldso_cpu *cpu = &w->system->cpu;
	int rc;

	ldso_subdirs_of(&w->subdirs, &w->ldso, cpu);
	/* Bits of the cache's entries before 2.37: x86_64 is 1, avx512_1 2; haswell 50, xeon_phi 51. */
	w->cache_cpu = (struct ldcache_cpu){
		.level = w->ldso.named ? cpu->level : 0,
		.legacy = w->ldso.legacy,
		.hwcaps = cpu->avx512_1 ? 6 : 2,
		.platform = strcmp(cpu->platform, "haswell") == 0    ? UINT64_C(1) << 50
			    : strcmp(cpu->platform, "xeon_phi") == 0 ? UINT64_C(1) << 51
								     : 0,
	};
	rc = ldcache_open(&w->cache, w->system->cache);
	if (rc == 0 && w->opts != NULL) {
		rc = deps_parse_dirs(w, &w->library_path, w->opts->library_path, ":;", &w->objects[0]);
	}
	for (size_t i = 0; rc == 0 && w->ldso.system_dirs[i] != NULL; i++) {
		rc = ldso_dirs_add(&w->system_dirs, w->ldso.system_dirs[i], ":", NULL, &w->subdirs, &w->probes,
				   MAX_BYTES);
	}
	return rc;
}

static int add_libraries(struct walk *w)
{
	int rc = add_preloaded(w);

	/* Breadth first: what is found goes to the end of the list that is walked. */
	for (size_t i = 0; rc == 0 && i < w->nobjects; i++) {
		for (size_t n = 0; rc == 0 && n < w->objects[i].needs.count; n++) {
			/* The list of objects moves while it grows; the items stay where they are. */
			const struct need *item = &w->objects[i].needs.items[n];

			rc = need(w, (uint32_t)i, item->name, item->kind, false);
		}
		needs_free_items(&w->objects[i].needs);
	}
	return rc;
}

static void free_walk(struct walk *w)
{
	for (size_t i = 0; i < w->nobjects; i++) {
		struct object *object = &w->objects[i];

		free(object->path);
		free(object->origin);
		needs_free(&object->needs);
		ldso_dirs_free(&object->rpath);
		ldso_dirs_free(&object->runpath);
	}
	for (size_t i = 0; i < w->nnames; i++) {
		free(w->names[i].text);
	}
	free(w->objects);
	free(w->names);
	ldcache_close(&w->cache);
	ldso_dirs_free(&w->library_path);
	ldso_dirs_free(&w->system_dirs);
}

struct deps_system deps_system_of_host(void)
{
	return (struct deps_system){
		.cache = "/etc/ld.so.cache",
		.preload = "/etc/ld.so.preload",
		.ldso = "/lib64/ld-linux-x86-64.so.2",
		.cpu = ldso_cpu_of_host(),
	};
}

int deps_list(const char *exe, const struct lych_deps_opts *opts, const struct deps_system *system,
	      int (*found)(void *ctx, const char *path, const char *needed), void *ctx)
{
	struct walk w = {
		.exe = exe,
		.opts = opts,
		.system = system,
		.found = found,
		.ctx = ctx,
		.probes = MAX_PROBES,
		.lookups = MAX_LOOKUPS,
	};
	int rc;

	if (exe == NULL || found == NULL || (opts != NULL && opts->size < sizeof(*opts))) {
		return -EINVAL;
	}
	rc = add_program(&w);
	if (rc == 0 && w.objects[0].needs.interp == NULL && w.objects[0].needs.count == 0) {
		goto out; /* static: no ld.so comes into it */
	}
	rc = rc == 0 ? add_interpreter(&w) : rc;
	rc = rc == 0 ? add_directories(&w) : rc;
	rc = rc == 0 ? add_libraries(&w) : rc;
	if (w.exhausted) {
		say(&w, LYCH_DIAG_ERROR, rc, "more libraries or directories to search than any program has");
	}
out:
	free_walk(&w);
	return rc == 0 && w.incomplete ? -ENODATA : rc;
}

int lych_deps(const char *exe, const struct lych_deps_opts *opts,
	      int (*found)(void *ctx, const char *path, const char *needed), void *ctx)
{
	struct deps_system system = deps_system_of_host();

	return deps_list(exe, opts, &system, found, ctx);
}
