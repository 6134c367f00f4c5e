/* SPDX-License-Identifier: Apache-2.0 */
/* What deps.c (the walk over all files) and deps_search.c (the search for one name) share. */
#ifndef LYCH_DEPS_WALK_H
#define LYCH_DEPS_WALK_H

#include <limits.h>
#include <sys/stat.h>

#include "deps.h"
#include "ldcache.h"
#include "needs.h"

#define MAX_OBJECTS 4096u
#define MAX_LOOKUPS 65536u
#define MAX_PROBES 1000000u
#define MAX_BYTES (24u << 20)
#define NOBODY UINT32_MAX

struct object {
	char *path, *origin; /* owned */
	struct needs needs;
	struct ldso_dirs rpath, runpath;
	bool rpath_known, runpath_known;
	uint32_t loader; /* index, NOBODY for the program and its interpreter */
	dev_t dev;
	ino_t ino;
};

/* A name that an object answers to. */
struct name {
	uint32_t hash, object;
	char *text; /* owned */
};

struct walk {
	const char *exe;
	const struct lych_deps_opts *opts;
	const struct deps_system *system;
	int (*found)(void *ctx, const char *path, const char *needed);
	void *ctx;

	struct object *objects; /* owned; [0] is the program */
	size_t nobjects;
	struct name *names; /* owned */
	size_t nnames;

	struct ldso ldso;
	struct ldso_subdirs subdirs;
	struct ldcache cache;
	struct ldcache_cpu cache_cpu;
	struct ldso_dirs library_path, system_dirs;

	size_t bytes, probes, lookups;
	bool exhausted;  /* one of the limits was reached: the walk ends with -EFBIG */
	bool incomplete; /* something was not found */
};

/* What a search came to. */
struct candidate {
	char path[PATH_MAX];
	bool loaded;     /* it is objects[object] already */
	uint32_t object;
	struct stat st;
	struct needs needs;
	bool foreign;    /* libraries of another machine were passed over */
};

/* Counts memory. Returns 0 or -EFBIG. */
LYCH_MUST_CHECK int deps_charge(struct walk *w, size_t bytes);

/* What tokens stand for in what object says. */
struct ldso_tokens deps_tokens(const struct walk *w, const struct object *object);

/* Parses a list of directories that object, or the user for it, gives; NULL and "" are none. */
LYCH_MUST_CHECK int deps_parse_dirs(struct walk *w, struct ldso_dirs *dirs, const char *list,
				    const char *separators, const struct object *object);

/*
 * Searches for the name that objects[loader] needs, tokens expanded. Returns 0 with *c filled (c->needs is the
 * caller's unless c->loaded), -ENOENT when there is none, -EFBIG with w->exhausted, -ENOMEM, or, with *why a
 * static clause, what is wrong with the file at which ld.so would give up.
 */
LYCH_MUST_CHECK int deps_search(struct walk *w, struct candidate *c, uint32_t loader, const char *name,
				const char **why);

#endif /* LYCH_DEPS_WALK_H */
