/* SPDX-License-Identifier: Apache-2.0 */
/* An arena of a domain of the real runtime, without a loader or anybody inside: for C++, which library.h is not. */
#ifndef LYCH_TEST_ARENA_WORLD_H
#define LYCH_TEST_ARENA_WORLD_H

#include <lychgate/lychgate.h>

#include "arena.h"
#include "snapshot.h"

LYCH_BEGIN_DECLS

/* NULL: *rc is what arena_new said. bytes and limit as for arena_new. */
struct library *arena_world_new(struct lych_domain *d, uint64_t bytes, uint64_t limit, int *rc);
void arena_world_free(struct library *l);
/* lych_verify and fork know it. */
void arena_world_known(struct library *l, bool known);

uint64_t arena_world_start(const struct library *l);
uint64_t arena_world_end(const struct library *l);
const struct space *arena_world_space(const struct library *l);
int arena_world_key(const struct library *l);
/* Has the runtime given the domain up? */
bool arena_world_poisoned(const struct library *l);
/* The arena's lock, as a thread that is stopped in between. */
void arena_world_freeze(struct library *l);
/* What the door does: this content, finished, in one step, with key and rights. 0 or -errno. */
long arena_world_door(struct library *l, uint64_t at, const void *content, uint64_t bytes);

/* library.h */
long inside_read(const struct library *l, void *to, uint64_t at, uint64_t bytes);
long inside_write(const struct library *l, uint64_t at, const void *from, uint64_t bytes);
long inside_text(const struct library *l, char *to, uint64_t at, size_t max);

LYCH_END_DECLS

#endif /* LYCH_TEST_ARENA_WORLD_H */
