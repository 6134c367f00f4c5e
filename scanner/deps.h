/* SPDX-License-Identifier: Apache-2.0 */
/* lych_deps with the system it looks at given, so that tests can give another. */
#ifndef LYCH_DEPS_H
#define LYCH_DEPS_H

#include "ldso.h"

struct deps_system {
	const char *cache;   /* /etc/ld.so.cache */
	const char *preload; /* /etc/ld.so.preload */
	const char *ldso;    /* the ld.so that is asked where a file names none */
	struct ldso_cpu cpu;
};

struct deps_system deps_system_of_host(void);

LYCH_MUST_CHECK int deps_list(const char *exe, const struct lych_deps_opts *opts,
			      const struct deps_system *system,
			      int (*found)(void *ctx, const char *path, const char *needed),
			      void *ctx);

#endif /* LYCH_DEPS_H */
