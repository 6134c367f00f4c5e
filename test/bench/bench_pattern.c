/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matcher against a loop that only reads and sums the same bytes, and against searches with
 * memchr. The bytes are the executable segments of the machine's own libraries, laid one behind the
 * other. All contestants run in turn, round after round; medians and ratios are printed.
 *
 *	bench_pattern [MEGABYTES [ROUNDS [FILE_OR_DIRECTORY...]]]
 */
#include <fts.h>
#include <immintrin.h>

#include "bench_common.h"
#include "pattern.h"

#define ROUNDS_MAX 101
#define IN_CACHE ((size_t)256 << 10) /* as much as a scan of a file has in hand at once */

struct corpus {
	uint8_t *bytes;
	size_t len, max;
	size_t files;
};

static volatile uint64_t sink;

/* ---- contestants: each returns how many sequences of classes it found, or 0 --------------- */

static int count_hit(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	(void)off, (void)core, (void)len, (void)cls;
	++*(size_t *)ctx;
	return 0;
}

#define SCAN_WITH(name, impl)                                                        \
	static size_t name(const uint8_t *buf, size_t len, uint32_t classes)         \
	{                                                                            \
		size_t count = 0;                                                    \
                                                                                     \
		(void)pattern_scan_with(impl, buf, len, classes, count_hit, &count); \
		return count;                                                        \
	}

SCAN_WITH(scan_plain, PATTERN_PLAIN)
SCAN_WITH(scan_sse2, PATTERN_SSE2)
SCAN_WITH(scan_avx2, PATTERN_AVX2)
SCAN_WITH(scan_avx512, PATTERN_AVX512)

static size_t scan_chosen(const uint8_t *buf, size_t len, uint32_t classes)
{
	size_t count = 0;

	(void)pattern_scan(buf, len, classes, count_hit, &count);
	return count;
}

static const uint8_t *find_byte(const uint8_t *from, const uint8_t *end, int byte)
{
	const uint8_t *at = from < end ? memchr(from, byte, (size_t)(end - from)) : NULL;

	return at != NULL ? at : end;
}

/* The same rules with the C library's vector search: the cores of policy pkru are 0F and D5. */
static size_t scan_memchr(const uint8_t *buf, size_t len, uint32_t classes)
{
	const uint8_t *end = buf + len;
	const uint8_t *next_0f = find_byte(buf, end, 0x0f);
	const uint8_t *next_d5 = find_byte(buf, end, 0xd5);
	size_t count = 0;

	while (next_0f < end || next_d5 < end) {
		const uint8_t *at;
		size_t off, seq_len;
		enum lych_class cls;

		if (next_0f < next_d5) {
			at = next_0f;
			next_0f = find_byte(at + 1, end, 0x0f);
		} else {
			at = next_d5;
			next_d5 = find_byte(at + 1, end, 0xd5);
		}
		count += pattern_at(buf, len, (size_t)(at - buf), classes, &off, &seq_len, &cls);
	}
	return count;
}

/* The usual scanner: only 0F, so it cannot see the REX2 form. Faster than the rules allow. */
static size_t scan_memchr_0f(const uint8_t *buf, size_t len, uint32_t classes)
{
	const uint8_t *end = buf + len;
	size_t count = 0;

	for (const uint8_t *at = find_byte(buf, end, 0x0f); at < end;
	     at = find_byte(at + 1, end, 0x0f)) {
		size_t off, seq_len;
		enum lych_class cls;

		count += pattern_at(buf, len, (size_t)(at - buf), classes, &off, &seq_len, &cls);
	}
	return count;
}

/*
 * Reads and sums, four accumulators so that the sum itself is never what takes the time. The
 * matcher prefetches; so a second form does the same, else it would not be clear what is gained by
 * what.
 */
#define SUM_WITH(name, isa, vec, load, add, zero, ahead)                                         \
	static __attribute__((target(isa))) size_t name(const uint8_t *buf, size_t len,          \
							uint32_t classes)                        \
	{                                                                                        \
		vec a = zero(), b = zero(), c = zero(), d = zero();                              \
		uint64_t lanes[sizeof(vec) / 8];                                                 \
		uint64_t sum = 0;                                                                \
		size_t i = 0;                                                                    \
                                                                                                 \
		(void)classes;                                                                   \
		for (; i + 4 * sizeof(vec) <= len; i += 4 * sizeof(vec)) {                       \
			for (size_t k = 0; (ahead) != 0 && k < 4 * sizeof(vec); k += 64) {       \
				__builtin_prefetch(                                              \
					(const void *)((uintptr_t)buf + i + k + (ahead)), 0, 2); \
			}                                                                        \
			a = add(a, load((const void *)(buf + i)));                               \
			b = add(b, load((const void *)(buf + i + sizeof(vec))));                 \
			c = add(c, load((const void *)(buf + i + 2 * sizeof(vec))));             \
			d = add(d, load((const void *)(buf + i + 3 * sizeof(vec))));             \
		}                                                                                \
		a = add(add(a, b), add(c, d));                                                   \
		memcpy(lanes, &a, sizeof(a));                                                    \
		for (size_t k = 0; k < sizeof(lanes) / 8; k++) {                                 \
			sum += lanes[k];                                                         \
		}                                                                                \
		for (; i < len; i++) {                                                           \
			sum += buf[i];                                                           \
		}                                                                                \
		sink = sum;                                                                      \
		return 0;                                                                        \
	}

#define SUMS(name, isa, vec, load, add, zero)              \
	SUM_WITH(sum_##name, isa, vec, load, add, zero, 0) \
	SUM_WITH(sum_##name##_prefetch, isa, vec, load, add, zero, 4096)

SUMS(sse2, "sse2", __m128i, _mm_loadu_si128, _mm_add_epi64, _mm_setzero_si128)
SUMS(avx2, "avx2", __m256i, _mm256_loadu_si256, _mm256_add_epi64, _mm256_setzero_si256)
SUMS(avx512, "avx512f", __m512i, _mm512_loadu_si512, _mm512_add_epi64, _mm512_setzero_si512)

/* Left to the compiler, as it vectorises it for any x86-64 (the build asks for -O3 here). */
static size_t sum_plain(const uint8_t *buf, size_t len, uint32_t classes)
{
	uint64_t sum = 0;

	(void)classes;
	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t word;

		memcpy(&word, buf + i, sizeof(word));
		sum += word;
	}
	sink = sum;
	return 0;
}

enum {
	SUM_PLAIN,
	SUM_SSE2,
	SUM_AVX2,
	SUM_AVX512,
	AHEAD_SSE2,
	AHEAD_AVX2,
	AHEAD_AVX512,
	MEMCHR,
	MEMCHR_0F,
	PLAIN,
	SSE2,
	AVX2,
	AVX512,
	CHOSEN
};

static const struct contestant {
	const char *name;
	size_t (*run)(const uint8_t *buf, size_t len, uint32_t classes);
	enum pattern_impl needs;
} contestants[] = {
	[SUM_PLAIN] = {"sum, plain C", sum_plain, PATTERN_PLAIN},
	[SUM_SSE2] = {"sum, SSE2", sum_sse2, PATTERN_SSE2},
	[SUM_AVX2] = {"sum, AVX2", sum_avx2, PATTERN_AVX2},
	[SUM_AVX512] = {"sum, AVX-512", sum_avx512, PATTERN_AVX512},
	[AHEAD_SSE2] = {"sum, SSE2, prefetch", sum_sse2_prefetch, PATTERN_SSE2},
	[AHEAD_AVX2] = {"sum, AVX2, prefetch", sum_avx2_prefetch, PATTERN_AVX2},
	[AHEAD_AVX512] = {"sum, AVX-512, prefetch", sum_avx512_prefetch, PATTERN_AVX512},
	[MEMCHR] = {"memchr 0F and D5", scan_memchr, PATTERN_PLAIN},
	[MEMCHR_0F] = {"memchr 0F only", scan_memchr_0f, PATTERN_PLAIN},
	[PLAIN] = {"matcher, plain C", scan_plain, PATTERN_PLAIN},
	[SSE2] = {"matcher, SSE2", scan_sse2, PATTERN_SSE2},
	[AVX2] = {"matcher, AVX2", scan_avx2, PATTERN_AVX2},
	[AVX512] = {"matcher, AVX-512", scan_avx512, PATTERN_AVX512},
	[CHOSEN] = {"matcher as chosen", scan_chosen, PATTERN_PLAIN},
};

#define CONTESTANTS (sizeof(contestants) / sizeof(contestants[0]))

/* ---- the bytes ---------------------------------------------------------------------------- */

static void add_file(struct corpus *corpus, const char *path)
{
	struct exec_file file;
	unsigned index = 0;
	const uint8_t *at;
	size_t len;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		return;
	}
	if (exec_file_map(&file, fd)) {
		corpus->files++;
		while (exec_file_next(&file, &index, &at, &len)) {
			if (len > corpus->max - corpus->len) {
				len = corpus->max - corpus->len;
			}
			memcpy(corpus->bytes + corpus->len, at, len);
			corpus->len += len;
		}
		exec_file_unmap(&file);
	}
	(void)close(fd);
}

static int by_size_falling(const FTSENT **a, const FTSENT **b)
{
	off_t x = (*a)->fts_info == FTS_F ? (*a)->fts_statp->st_size : 0;
	off_t y = (*b)->fts_info == FTS_F ? (*b)->fts_statp->st_size : 0;

	return x != y ? (x < y) - (x > y) : strcmp((*a)->fts_name, (*b)->fts_name);
}

/* The largest files of each directory first. */
static void add_tree(struct corpus *corpus, char *path)
{
	char *paths[] = {path, NULL};
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, by_size_falling);
	FTSENT *entry;

	while (tree != NULL && corpus->len < corpus->max && (entry = fts_read(tree)) != NULL) {
		if (entry->fts_info == FTS_F && entry->fts_statp->st_size > 0) {
			add_file(corpus, entry->fts_accpath);
		}
	}
	if (tree != NULL) {
		(void)fts_close(tree);
	}
}

/* ---- the contest --------------------------------------------------------------------------- */

/*
 * Every contestant reads buf[0..len) repeat times in each round. Returns whether all matchers found
 * the same number of sequences.
 */
static bool measure(const char *title, const uint8_t *buf, size_t len, size_t repeat,
		    uint32_t classes, unsigned rounds)
{
	static double speed[CONTESTANTS][ROUNDS_MAX];
	double median[CONTESTANTS] = {0};
	size_t found[CONTESTANTS] = {0};
	/* Larger sets would need more searches; memchr is timed where it is at its best. */
	bool with_memchr = classes == LYCH_POLICY_PKRU;
	bool agree = true;

	memset(speed, 0, sizeof(speed));
	for (unsigned round = 0; round < rounds; round++) {
		for (size_t c = 0; c < CONTESTANTS; c++) {
			double start;

			if (!pattern_impl_usable(contestants[c].needs) ||
			    ((c == MEMCHR || c == MEMCHR_0F) && !with_memchr)) {
				continue;
			}
			start = seconds_now();
			for (size_t k = 0; k < repeat; k++) {
				found[c] = contestants[c].run(buf, len, classes);
			}
			speed[c][round] = (double)(len * repeat) / (seconds_now() - start) * 1e-9;
		}
	}
	for (size_t c = 0; c < CONTESTANTS; c++) {
		median[c] = median_of(speed[c], rounds);
	}
	printf("\n%s\n%24s GB/s median (low-high)   sequences\n", title, "");
	for (size_t c = 0; c < CONTESTANTS; c++) {
		if (median[c] == 0) {
			continue;
		}
		printf("  %-22s %19.2f (%5.2f-%5.2f)", contestants[c].name, median[c], speed[c][0],
		       speed[c][rounds - 1]);
		if (c >= MEMCHR) {
			printf(" %10zu", found[c]);
		}
		printf("\n");
		/* All but the one that cannot see the REX2 form must agree. */
		if (c >= MEMCHR && c != MEMCHR_0F && found[c] != found[PLAIN]) {
			printf("bench_pattern: %s found %zu sequences, the plain loop %zu\n",
			       contestants[c].name, found[c], found[PLAIN]);
			agree = false;
		}
	}
	printf("  ratios                    to the sum   to the sum with prefetch\n");
	for (size_t c = SSE2; c <= CHOSEN; c++) {
		size_t width =
			(c == CHOSEN ? SSE2 + (size_t)pattern_impl_best() - PATTERN_SSE2 : c) -
			SSE2;

		if (median[c] > 0) {
			printf("  %-22s %13.2f %26.2f\n", contestants[c].name,
			       median[c] / median[SUM_SSE2 + width],
			       median[c] / median[AHEAD_SSE2 + width]);
		}
	}
	if (with_memchr) {
		printf("  %s / memchr 0F and D5: %.2f; / memchr 0F only: %.2f\n",
		       contestants[CHOSEN].name, median[CHOSEN] / median[MEMCHR],
		       median[CHOSEN] / median[MEMCHR_0F]);
	}
	return agree;
}

int main(int argc, char **argv)
{
	char *default_paths[] = {(char[]){"/usr/lib/x86_64-linux-gnu"}, (char[]){"/usr/lib"}, NULL};
	struct corpus corpus = {.max = (size_t)(argc > 1 ? atoi(argv[1]) : 128) << 20};
	bool agree;
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 15;

	if (rounds == 0 || rounds > ROUNDS_MAX || corpus.max == 0) {
		(void)fprintf(stderr,
			      "usage: bench_pattern [MEGABYTES [ROUNDS (1 to %d) [PATH...]]]\n",
			      ROUNDS_MAX);
		return 2;
	}
	corpus.bytes = malloc(corpus.max);
	if (corpus.bytes == NULL) {
		perror("bench_pattern");
		return 1;
	}
	for (char **path = argc > 3 ? argv + 3 : default_paths; *path != NULL; path++) {
		add_tree(&corpus, *path);
	}
	print_machine(stdout);
	printf("machine code: %.1f MB out of %zu files, one core, %u rounds in turn; chosen: %s\n",
	       (double)corpus.len * 1e-6, corpus.files, rounds,
	       pattern_impl_name(pattern_impl_best()));
	if (corpus.len < (size_t)100 * 1000 * 1000) {
		printf("NOTE: less than 100 MB, so caches flatter every number\n");
	}
	agree = measure("policy pkru, from memory", corpus.bytes, corpus.len, 1, LYCH_POLICY_PKRU,
			rounds);
	agree &= measure("policy domain, from memory", corpus.bytes, corpus.len, 1,
			 LYCH_POLICY_DOMAIN, rounds);
	agree &= measure("all classes, from memory", corpus.bytes, corpus.len, 1, LYCH_ALL_CLASSES,
			 rounds);
	if (corpus.len > 2 * IN_CACHE) {
		agree &= measure("policy pkru, 256 KiB again and again: from cache",
				 corpus.bytes + corpus.len / 2, IN_CACHE, 64, LYCH_POLICY_PKRU,
				 rounds);
	}
	free(corpus.bytes);
	return agree ? 0 : 1;
}
