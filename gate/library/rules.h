/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies of library domains, lychgate-policy(5): text in, decisions out. Pure: no system call, no memory but what
 * is handed in, no static state.
 *
 * A struct rules is written by rules_parse, and then read by all threads of the domain; only what a report run learns
 * is written then, atomically.
 */
#ifndef LYCH_RULES_H
#define LYCH_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/hidden.h"

#ifdef __cplusplus
extern "C" {
#endif
#define RULES_PATH_BYTES 1024 /* of one path, with its NUL: also the longest that code inside may name */
#define RULES_PATHS 64
#define RULES_TEXT 16384     /* bytes of all paths, with their NULs */
#define RULES_WORDS 8        /* a bit for each call below 512 */
#define RULES_LEARNED 128 /* of which others say what some do */
#define RULES_LEARNED_BYTES 256 /* of a path, with its NUL */

struct rules_path {
	uint32_t at; /* in text: absolute, normal */
	uint32_t bytes; /* without the NUL */
	bool write;
};

/* A file or directory that a report run has allowed. */
struct rules_learned {
	uint32_t state;   /* 0 free, 1 being written, 2 there */
	uint32_t passing; /* a directory of which only was asked whether it is there: what is beneath it is not meant */
	char path[RULES_LEARNED_BYTES];
	char real[RULES_LEARNED_BYTES]; /* where it led to, without links */
};

struct rules {
	uint64_t allowed[RULES_WORDS];
	uint64_t denied[RULES_WORDS]; /* by name: not in a report run either */
	bool report;
	bool net_files; /* the small files that looking up names needs: rules_net_files */
	uint32_t npaths, text_bytes;
	struct rules_path paths[RULES_PATHS];
	char text[RULES_TEXT];
	/* What a report run allowed beyond that. */
	uint64_t learned[RULES_WORDS];
	struct rules_learned learned_paths[RULES_LEARNED];
	bool learned_more; /* there was no room for all */
};

/*
 * text NULL: "pure". *out is written wholly, or is of no use. Returns 0, or -EINVAL with why like "line 3: ...".
 * Reads text once, at most up to its NUL.
 */
LYCH_HIDDEN int rules_parse(struct rules *out, const char *text, char *why, size_t why_bytes);

enum rules_answer {
	RULES_ANSWER,
	RULES_LEARN,  /* answered because this is a report run: rules_learn_call */
	RULES_REFUSE, /* EPERM, or ENOSYS for what is no call; to be told */
	RULES_GONE,   /* ENOSYS, nobody is told */
};
LYCH_HIDDEN enum rules_answer rules_decide(const struct rules *r, long nr, int *err);

/* Async-signal-safe. A path that is too long, or that a policy could not name, is not learned. */
LYCH_HIDDEN void rules_learn_call(struct rules *r, long nr);
LYCH_HIDDEN void rules_learn_path(struct rules *r, const char *path, const char *real, bool passing);
/* Has a policy to name learned_paths[i]? Not what others say, too. */
LYCH_HIDDEN bool rules_is_learned(const struct rules *r, size_t i);
/* A path that a line of a policy can hold. */
LYCH_HIDDEN bool rules_can_be_written(const char *path);

/*
 * The policy as text that parses to the same decisions, with what was learned: a comment says so where not all of that
 * has room. As snprintf: at most bytes are
 * written, with a NUL if bytes is not 0; the length of all of it comes back.
 */
LYCH_HIDDEN size_t rules_print(const struct rules *r, char *out, size_t bytes);

/* Files that net-client may read beside its paths, up to NULL. */
LYCH_HIDDEN extern const char *const rules_net_files[];

/* "read"; NULL: none has this number. And the other way, -1. */
LYCH_HIDDEN const char *rules_call_name(long nr);
/* Is there a policy that answers it? */
LYCH_HIDDEN bool rules_call_allowable(long nr);
LYCH_HIDDEN long rules_call_number(const char *name, size_t bytes);

/*
 * path, absolute or beneath base, without empty components, "." and ".." (which are taken away as text; ".." of "/"
 * is "/"). out may be neither. -ENAMETOOLONG: not with its NUL in RULES_PATH_BYTES, of which out has so many. base is
 * absolute and normal. 0.
 */
LYCH_HIDDEN int rules_normal(char out[RULES_PATH_BYTES], const char *base, const char *path);

/* Is path dir, or beneath it? Both normal. *rest: behind it, "" or without a slash in front. */
LYCH_HIDDEN bool rules_beneath(const char *path, const char *dir, const char **rest);

/*
 * May no policy name it? Everything of other processes and of the kernel: /proc but for some files that are about the
 * machine, and of /dev all but null, zero, full, random and urandom. Normal. And: is it in one of the trees (/proc,
 * /sys, /dev) that allowing something above them does not allow?
 */
LYCH_HIDDEN bool rules_never_path(const char *path, bool write);
LYCH_HIDDEN bool rules_special_path(const char *path);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_RULES_H */
