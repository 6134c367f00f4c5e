/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <lychgate/scan.h>

static int show(void *ctx, const struct lych_finding *f)
{
	(void)ctx;
	printf("0x%jx: %s %s: %s in %s\n", (uintmax_t)f->vaddr, lych_verdict_name(f->verdict),
	       lych_class_name(f->cls), lych_placement_name(f->placement), f->section);
	return 0;
}

int main(int argc, char **argv)
{
	struct lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	struct lych_scan_stats stats = {0};

	opts.finding = show;
	int rc = argc == 2 ? lych_scan_file(argv[1], &opts, &stats) : -EINVAL;
	if (rc != 0) {
		printf("not scanned: %s\n", lych_strerror(rc));
		return 2;
	}
	uint64_t strays = 0;
	for (int c = 0; c < LYCH_CLASS_COUNT; c++) {
		strays += stats.count[LYCH_VERDICT_STRAY][c];
	}
	puts(strays > 0 ? "refused" : "may be loaded");
	return strays > 0;
}
