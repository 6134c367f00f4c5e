/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole file through lych_scan_fd, as ELF, archive or flat code. Properties: what is found does not depend
 * on whether it is explained; every finding's bytes are the file's; addresses ascend within an image; the
 * statistics count what was reported. The last byte of the input chooses the options.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <lychgate/scan.h>

#define FOUND_MAX 4096

struct seen {
	const uint8_t *data;
	size_t size;
	size_t count;
	struct {
		uint64_t vaddr, off;
		enum lych_class cls;
		enum lych_verdict verdict;
	} found[FOUND_MAX];
};

#define CHECK(condition)                                                                         \
	do {                                                                                     \
		if (!(condition)) {                                                              \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);          \
			abort();                                                                 \
		}                                                                                \
	} while (0)

static int see(void *ctx, const struct lych_finding *f)
{
	struct seen *seen = ctx;

	CHECK(f->nbytes >= 2 && f->nbytes <= LYCH_SEQUENCE_MAX);
	CHECK(f->off < seen->size && f->nbytes <= seen->size);
	/* Across segments the bytes need not stand together in the file; the first always stands there. */
	CHECK(seen->data[f->off] == f->bytes[0]);
	CHECK(f->why != NULL && f->path != NULL && f->member != NULL && f->symbol != NULL);
	CHECK((f->placement == LYCH_PLACE_INSIDE) == (f->first_part != LYCH_PART_NONE));
	for (size_t i = 0; i < f->ninsns; i++) {
		CHECK(f->insns[i].len > 0 && f->insns[i].text[0] != '\0');
		CHECK(i == 0 || f->insns[i].vaddr == f->insns[i - 1].vaddr + f->insns[i - 1].len);
	}
	if (seen->count < FOUND_MAX) {
		seen->found[seen->count].vaddr = f->vaddr;
		seen->found[seen->count].off = f->off;
		seen->found[seen->count].cls = f->cls;
		seen->found[seen->count].verdict = f->verdict;
	}
	seen->count++;
	return seen->count > FOUND_MAX;
}

static int scan(int fd, struct seen *seen, uint8_t choice, uint32_t more_flags)
{
	struct lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	struct lych_scan_stats stats;
	uint64_t counted = 0;
	int rc;

	memset(&stats, 0, sizeof(stats));
	opts.classes = (choice & 2) != 0 ? LYCH_ALL_CLASSES : LYCH_POLICY_DOMAIN;
	opts.flags = more_flags | ((choice & 1) != 0 ? LYCH_SCAN_RAW : 0) |
		     ((choice & 4) != 0 ? LYCH_SCAN_NO_GATES : 0);
	opts.finding = see;
	opts.ctx = seen;
	seen->count = 0;
	rc = lych_scan_fd(fd, "input", &opts, &stats);
	for (int v = 0; v < LYCH_VERDICT_COUNT; v++) {
		for (int c = 0; c < LYCH_CLASS_COUNT; c++) {
			counted += stats.count[v][c];
		}
	}
	CHECK(counted == seen->count);
	CHECK((choice & 4) == 0 || stats.count[LYCH_VERDICT_GATE][LYCH_WRPKRU] == 0);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct seen explained, bare;
	static int fd = -1;
	uint8_t choice;
	int rc;

	if (size < 2 || size > 1 << 20) {
		return 0;
	}
	choice = data[--size];
	if (fd < 0) {
		fd = memfd_create("scan_fuzz", MFD_CLOEXEC);
		CHECK(fd >= 0);
	}
	CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	explained.data = bare.data = data;
	explained.size = bare.size = size;
	rc = scan(fd, &explained, choice, 0);
	CHECK(scan(fd, &bare, choice, LYCH_SCAN_BYTES_ONLY) == rc);
	CHECK(explained.count == bare.count);
	for (size_t i = 0; i < bare.count && i < FOUND_MAX; i++) {
		CHECK(memcmp(&explained.found[i], &bare.found[i], sizeof(bare.found[i])) == 0);
	}
	return 0;
}
