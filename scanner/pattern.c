/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte patterns at any alignment: the definition (pattern_at), and a search for it.
 *
 * Search: every sequence contains one of a few pairs of bytes that stand next to each other or have
 * one byte between them, and these pairs are rare in machine code. The vector loops look for the
 * pairs that the wanted classes need, nothing else; where one is found, the definition decides.
 * A loop can thus be slow when it reports too much, but it cannot report wrongly, and it misses
 * nothing as long as the table of pairs is complete.
 */
#include <errno.h>
#include <immintrin.h>

#include "pattern.h"

/* ---- the definition ----------------------------------------------------------------------- */

#define FS_AND_GS (LYCH_CLASS_BIT(LYCH_WRFSBASE) | LYCH_CLASS_BIT(LYCH_WRGSBASE))

/* Legacy prefixes and REX: all that can stand between the F3 and the opcode. */
static bool is_prefix(uint8_t byte)
{
	switch (byte) {
	case 0x26:          /* es */
	case 0x2e:          /* cs */
	case 0x36:          /* ss */
	case 0x3e:          /* ds */
	case 0x40 ... 0x4f: /* REX */
	case 0x64:          /* fs */
	case 0x65:          /* gs */
	case 0x66:          /* operand size */
	case 0x67:          /* address size */
	case 0xf0:          /* lock */
	case 0xf2:          /* repne */
	case 0xf3:          /* rep */
		return true;
	default:
		return false;
	}
}

/*
 * How far before core the nearest F3 is in the run of prefixes that ends there; 0: none within most
 * bytes. Whether the CPU takes this mix of prefixes is not asked: which of them count depends on
 * their order, and what is #UD today may not be tomorrow.
 */
static size_t nearest_f3(const uint8_t *buf, size_t core, size_t most)
{
	for (size_t back = 1; back <= most && back <= core; back++) {
		uint8_t byte = buf[core - back];

		if (byte == 0xf3) {
			return back;
		}
		if (!is_prefix(byte)) {
			return 0;
		}
	}
	return 0;
}

/*
 * At most one class can match a core: 0F, D5 and CD exclude each other, so do the opcodes after
 * them, and where classes share an opcode the sets of ModRM values are disjoint.
 */
static inline bool match(const uint8_t *buf, size_t len, size_t core, uint32_t classes, size_t *off,
			 size_t *seq_len, enum lych_class *cls)
{
	const uint8_t *at;
	size_t left = core < len ? len - core : 0;
	size_t opcode; /* where it stands in at[] */
	size_t back = 0;
	enum lych_class found;
	bool rex2;

	if (left < 2) {
		return false;
	}
	at = buf + core;
	if (at[0] == 0x0f) {
		rex2 = false;
		opcode = 1;
	} else if (at[0] == 0xd5 && at[1] >= 0x80) {
		/* The payload's bit 7 stands for the 0F: it selects the same opcode map. */
		rex2 = true;
		opcode = 2;
	} else if (at[0] == 0xcd && at[1] == 0x80) {
		found = LYCH_INT80;
		opcode = 1;
		goto found_it;
	} else {
		return false;
	}
	if (left <= opcode) {
		return false;
	}
	switch (at[opcode]) {
	case 0x05:
		found = LYCH_SYSCALL;
		goto found_it;
	case 0x34:
		if (rex2) { /* #UD: APX leaves row 3 of this map without REX2 */
			return false;
		}
		found = LYCH_SYSENTER;
		goto found_it;
	case 0x01:
	case 0xae:
		break;
	default:
		return false;
	}
	opcode++; /* with ModRM */
	if (left <= opcode) {
		return false;
	}
	if (at[opcode - 1] == 0x01) {
		if (at[opcode] == 0xef) {
			found = rex2 ? LYCH_WRPKRU_REX2 : LYCH_WRPKRU;
		} else if (at[opcode] == 0xd7) {
			found = LYCH_ENCLU;
		} else {
			return false;
		}
	} else if ((at[opcode] & 0xf0) == 0xd0) {
		found = at[opcode] < 0xd8 ? LYCH_WRFSBASE : LYCH_WRGSBASE;
		if ((classes & FS_AND_GS) == 0) {
			return false;
		}
		back = nearest_f3(buf, core, LYCH_SEQUENCE_MAX - (opcode + 1));
		if (back == 0) {
			return false;
		}
	} else {
		/* /5 with a memory operand. XSAVE and its kin cannot have REX2. */
		if (rex2 || (at[opcode] & 0x38) != 0x28 || at[opcode] >= 0xc0) {
			return false;
		}
		found = LYCH_XRSTOR;
	}
found_it:
	if ((classes & LYCH_CLASS_BIT(found)) == 0) {
		return false;
	}
	*off = core - back;
	*seq_len = back + opcode + 1;
	*cls = found;
	return true;
}

bool pattern_at(const uint8_t *buf, size_t len, size_t core, uint32_t classes, size_t *off,
		size_t *seq_len, enum lych_class *cls)
{
	return match(buf, len, core, classes, off, seq_len, cls);
}

/* ---- the search --------------------------------------------------------------------------- */

struct scan {
	const uint8_t *buf;
	size_t len;
	uint32_t classes;
	pattern_fn fn;
	void *ctx;
	size_t next; /* the first core not tested yet */
};

/* Tests the cores from scan->next to before end. Returns 0 or what the callback returned. */
static int test_cores(struct scan *scan, size_t end)
{
	size_t core = scan->next;
	int rc = 0;

	for (; core < end && rc == 0; core++) {
		size_t off, len;
		enum lych_class cls;

		if (match(scan->buf, scan->len, core, scan->classes, &off, &len, &cls)) {
			rc = scan->fn(scan->ctx, off, core, len, cls);
		}
	}
	scan->next = core;
	return rc;
}

static int scan_plain(struct scan *scan)
{
	return test_cores(scan, scan->len);
}

/*
 * The pairs: first byte, second byte, distance between them (2 where a REX2 payload is in the
 * middle), the classes whose every sequence contains one of their pairs. The core is at the pair's
 * first byte or up to PAIR_BEHIND bytes before it: 01 EF has it one before, as 0F 01 EF, or two, as
 * D5 80 01 EF.
 */
#define PAIRS(X)                                                                         \
	X(0x01, 0xef, 1, LYCH_CLASS_BIT(LYCH_WRPKRU) | LYCH_CLASS_BIT(LYCH_WRPKRU_REX2)) \
	X(0x0f, 0xae, 1, LYCH_CLASS_BIT(LYCH_XRSTOR) | FS_AND_GS)                        \
	X(0x01, 0xd7, 1, LYCH_CLASS_BIT(LYCH_ENCLU))                                     \
	X(0x0f, 0x05, 1, LYCH_CLASS_BIT(LYCH_SYSCALL))                                   \
	X(0x0f, 0x34, 1, LYCH_CLASS_BIT(LYCH_SYSENTER))                                  \
	X(0xcd, 0x80, 1, LYCH_CLASS_BIT(LYCH_INT80))                                     \
	X(0xd5, 0xae, 2, FS_AND_GS)                                                      \
	X(0xd5, 0x05, 2, LYCH_CLASS_BIT(LYCH_SYSCALL))

#define PAIR_BEHIND 2
#define PAIR_REACH 2 /* bytes read behind the last position that a vector loop looks at */

/*
 * Tests what belongs to the pairs found: bit i of mask is a first byte at base + i. Each core is
 * tested once at most and in ascending order, however dense the pairs are. Not inlined: the
 * vector loops stay small and keep their constants in registers.
 */
static __attribute__((noinline)) int test_pairs(struct scan *scan, size_t base, uint64_t mask)
{
	for (; mask != 0; mask &= mask - 1) {
		size_t first = base + (size_t)__builtin_ctzll(mask);
		int rc;

		if (first >= PAIR_BEHIND && scan->next < first - PAIR_BEHIND) {
			scan->next = first - PAIR_BEHIND;
		}
		rc = test_cores(scan, first + 1);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

/*
 * Asks for the cache lines, len bytes of them, that a loop will come to in a while. Memory that is
 * not in the cache arrives as fast as lines are on their way at once, and the CPU's own
 * prefetching, which stops at pages and may be off, asks for too few when there is much to do for
 * each line: the loop for all classes ran at a third of its speed. Prefetching never faults; behind
 * the end of the buffer it asks for what nobody will read. Into L2: that takes nothing away from
 * the lines in use.
 */
#define CACHE_LINE 64
#define PREFETCH_AHEAD 4096

static inline __attribute__((always_inline)) void prefetch(const uint8_t *at, size_t len)
{
	for (size_t line = 0; line < len; line += CACHE_LINE) {
		__builtin_prefetch((const void *)((uintptr_t)at + PREFETCH_AHEAD + line), 0, 2);
	}
}

/*
 * The loops. VEC_FOUND is what VEC_PAIR collects: a byte of ones, or a bit, for each first byte of
 * a pair. The compiler puts vzeroupper before calls and returns of functions with these targets.
 */
#define VEC_NAME sse2
#define VEC_TARGET "sse2"
#define VEC __m128i
#define VEC_FOUND __m128i
#define VEC_LOAD(at) _mm_loadu_si128((const __m128i *)(at))
#define VEC_SPLAT(byte) _mm_set1_epi8((char)(byte))
#define VEC_NONE _mm_setzero_si128()
#define VEC_PAIR(v, a, w, b) _mm_and_si128(_mm_cmpeq_epi8(v, a), _mm_cmpeq_epi8(w, b))
#define VEC_OR(x, y) _mm_or_si128(x, y)
#define VEC_MASK(found) (uint32_t)_mm_movemask_epi8(found)
#include "pattern_loop.h"

#define VEC_NAME avx2
#define VEC_TARGET "avx2"
#define VEC __m256i
#define VEC_FOUND __m256i
#define VEC_LOAD(at) _mm256_loadu_si256((const __m256i *)(at))
#define VEC_SPLAT(byte) _mm256_set1_epi8((char)(byte))
#define VEC_NONE _mm256_setzero_si256()
#define VEC_PAIR(v, a, w, b) _mm256_and_si256(_mm256_cmpeq_epi8(v, a), _mm256_cmpeq_epi8(w, b))
#define VEC_OR(x, y) _mm256_or_si256(x, y)
#define VEC_MASK(found) (uint32_t)_mm256_movemask_epi8(found)
#include "pattern_loop.h"

#define VEC_NAME avx512
#define VEC_TARGET "avx512f,avx512bw"
#define VEC __m512i
#define VEC_FOUND __mmask64
#define VEC_LOAD(at) _mm512_loadu_si512(at)
#define VEC_SPLAT(byte) _mm512_set1_epi8((char)(byte))
#define VEC_NONE 0
#define VEC_PAIR(v, a, w, b) _mm512_mask_cmpeq_epi8_mask(_mm512_cmpeq_epi8_mask(v, a), w, b)
#define VEC_OR(x, y) ((x) | (y))
#define VEC_MASK(found) (found)
#include "pattern_loop.h"

/* ---- the choice --------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int (*scan)(struct scan *scan);
} impls[PATTERN_IMPL_COUNT] = {
	[PATTERN_PLAIN] = {"plain", scan_plain},
	[PATTERN_SSE2] = {"sse2", scan_sse2},
	[PATTERN_AVX2] = {"avx2", scan_avx2},
	[PATTERN_AVX512] = {"avx512", scan_avx512},
};

/*
 * The compiler's cpuid is filled in by a constructor of its own support code, which also asks
 * (xgetbv) whether the kernel keeps the registers. __builtin_cpu_init is for callers that
 * run before constructors; afterwards it does nothing.
 */
bool pattern_impl_usable(enum pattern_impl impl)
{
	__builtin_cpu_init();
	switch (impl) {
	case PATTERN_PLAIN:
	case PATTERN_SSE2: /* part of x86-64 */
		return true;
	case PATTERN_AVX2:
		return __builtin_cpu_supports("avx2");
	case PATTERN_AVX512:
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
	default:
		return false;
	}
}

/*
 * From memory all widths are about as fast, in cache AVX-512 is 1.4 times AVX2. On the first CPUs
 * that have it (Skylake to Cascade Lake) its use lowers the clock for whatever runs next, too,
 * which costs more than it gives; VBMI2 tells the later ones, which do not (Ice Lake, Zen 4).
 */
enum pattern_impl pattern_impl_best(void)
{
	if (pattern_impl_usable(PATTERN_AVX512) && __builtin_cpu_supports("avx512vbmi2")) {
		return PATTERN_AVX512;
	}
	return pattern_impl_usable(PATTERN_AVX2) ? PATTERN_AVX2 : PATTERN_SSE2;
}

const char *pattern_impl_name(enum pattern_impl impl)
{
	return (unsigned)impl < PATTERN_IMPL_COUNT ? impls[impl].name : NULL;
}

int pattern_scan_with(enum pattern_impl impl, const uint8_t *buf, size_t len, uint32_t classes,
		      pattern_fn fn, void *ctx)
{
	struct scan scan = {
		.buf = buf, .len = len, .classes = classes, .fn = fn, .ctx = ctx, .next = 0};

	if (!pattern_impl_usable(impl)) {
		return -ENOTSUP;
	}
	return impls[impl].scan(&scan);
}

int pattern_scan(const uint8_t *buf, size_t len, uint32_t classes, pattern_fn fn, void *ctx)
{
	return pattern_scan_with(pattern_impl_best(), buf, len, classes, fn, ctx);
}
