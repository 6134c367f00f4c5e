/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte patterns at any alignment. No dependency, no allocation, no state but a choice of
 * implementation made once; the runtime links this file, too: it is trusted.
 */
#ifndef LYCH_PATTERN_H
#define LYCH_PATTERN_H

#include <lychgate/scan.h>

/*
 * Called for each sequence. off is the offset of its first byte, len its length, core the offset of
 * its opcode: the 0F, D5 or CD (WRFSBASE and WRGSBASE start at the nearest F3 before it, the others
 * at core). Return 0 to go on.
 */
typedef int (*pattern_fn)(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls);

enum pattern_impl { PATTERN_PLAIN, PATTERN_SSE2, PATTERN_AVX2, PATTERN_AVX512, PATTERN_IMPL_COUNT };

/*
 * pattern_scan calls fn for every sequence of the set classes that lies wholly in buf[0..len), in
 * ascending order of core; reads no byte outside. Returns 0 or what fn returned.
 */
int pattern_scan(const uint8_t *buf, size_t len, uint32_t classes, pattern_fn fn, void *ctx);

/* The same with the implementation named, for tests and benchmarks. -ENOTSUP: not on this CPU. */
int pattern_scan_with(enum pattern_impl impl, const uint8_t *buf, size_t len, uint32_t classes,
		      pattern_fn fn, void *ctx);
bool pattern_impl_usable(enum pattern_impl impl);
enum pattern_impl pattern_impl_best(void);
const char *pattern_impl_name(enum pattern_impl impl);

/*
 * pattern_at tests one core offset by the definition, reading at most the bytes of buf[0..len): the
 * specification that every implementation is tested against. Returns true and fills the rest when
 * a sequence of classes has its opcode at core.
 */
bool pattern_at(const uint8_t *buf, size_t len, size_t core, uint32_t classes, size_t *off,
		size_t *seq_len, enum lych_class *cls);

#endif /* LYCH_PATTERN_H */
