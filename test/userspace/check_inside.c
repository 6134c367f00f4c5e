/* SPDX-License-Identifier: Apache-2.0 */
/* What writes PKRU in this process, before and after the start of the runtime. */
#include "program.h"

#include <lychgate/scan.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLACES 256

struct place {
	uint64_t address;
	uint8_t bytes[16];
	enum lych_class cls;
	enum lych_verdict verdict;
	char path[256];
};

static struct places {
	struct place of[PLACES];
	int count, by_verdict[LYCH_VERDICT_COUNT];
} before, after;

static int remember(void *ctx, const struct lych_finding *finding)
{
	struct places *places = ctx;
	struct place *place = &places->of[places->count];

	CHECK(places->count < PLACES);
	place->address = finding->vaddr;
	place->cls = finding->cls;
	place->verdict = finding->verdict;
	memcpy(place->bytes, (const void *)(uintptr_t)finding->vaddr, 3);
	snprintf(place->path, sizeof(place->path), "%s", finding->path);
	places->count++;
	places->by_verdict[finding->verdict]++;
	printf("%s %#lx: %s: %s (%s)\n", finding->path, finding->vaddr,
	       lych_class_name(finding->cls), lych_verdict_name(finding->verdict), finding->why);
	return 0;
}

static void told(void *ctx, const struct lych_diag *diag)
{
	(void)ctx;
	if (diag->severity == LYCH_DIAG_ERROR) {
		fail("%s: %s", diag->path, diag->message);
	}
}

static void scan(struct places *places)
{
	struct lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	int rc;

	opts.classes = LYCH_POLICY_HOST;
	opts.finding = remember;
	opts.diag = told;
	opts.ctx = places;
	memset(places, 0, sizeof(*places));
	rc = lych_scan_process(getpid(), &opts, NULL);
	if (rc != 0) {
		fail("lych_scan_process: %s", strerror(-rc));
	}
}

static int count(const struct places *places, const char *name, enum lych_class cls)
{
	int found = 0;

	for (int i = 0; i < places->count; i++) {
		const char *file = strrchr(places->of[i].path, '/');

		found += file != NULL && strcmp(file + 1, name) == 0 && places->of[i].cls == cls;
	}
	return found;
}

void prepare_inside(void)
{
	printf("before:\n");
	scan(&before);
	/* As Debian 12 and 13 have it. Two C libraries, where an audit library has its own. */
	CHECK(count(&before, "ld-linux-x86-64.so.2", LYCH_XRSTOR) == (libc_minor() >= 41 ? 4 : 2));
	CHECK(count(&before, "libc.so.6", LYCH_WRPKRU) == (getenv("LD_AUDIT") != NULL ? 2 : 1));
}

void check_inside(void)
{
	int changed = 0, checked = before.by_verdict[LYCH_VERDICT_CHECKED];

	printf("after:\n");
	scan(&after);
	for (int i = 0; i < before.count; i++) {
		const struct place *place = &before.of[i];

		if (place->verdict == LYCH_VERDICT_GATE || place->verdict == LYCH_VERDICT_CHECKED) {
			continue;
		}
		if (memcmp((const void *)(uintptr_t)place->address, place->bytes, 3) != 0) {
			changed++;
		} else if (program.repaired) {
			fail("%s: the bytes at %#lx are as they were", place->path, place->address);
		}
	}
	if (!program.repaired) {
		CHECK(changed == 0 && after.count == before.count);
		return;
	}
	CHECK(after.by_verdict[LYCH_VERDICT_STRAY] == 0 &&
	      after.by_verdict[LYCH_VERDICT_RUNTIME] == 0);
	CHECK(after.by_verdict[LYCH_VERDICT_CHECKED] ==
	      checked + count(&before, "ld-linux-x86-64.so.2", LYCH_XRSTOR));
	CHECK(after.by_verdict[LYCH_VERDICT_GATE] > 0);
	check_registers();
}
