/* SPDX-License-Identifier: Apache-2.0 */
/* What all forms of output share: names, totals, the table of --summary. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

static const char *const standing_names[STANDING_COUNT] = {
	[STANDING_FAILS] = "fails",
	[STANDING_KNOWN] = "known",
	[STANDING_REPORTED] = "reported",
	[STANDING_ACCEPTED] = "accepted",
};

static const char *const skip_names[SKIP_COUNT] = {
	[SKIP_NOT_CODE] = "not_code",   [SKIP_FOREIGN] = "foreign", [SKIP_CORE] = "core",
	[SKIP_IRREGULAR] = "irregular", [SKIP_PSEUDO] = "pseudo",   [SKIP_EXCLUDED] = "excluded",
	[SKIP_VANISHED] = "vanished",
};

static const char *const class_titles[LYCH_CLASS_COUNT] = {
	[LYCH_WRPKRU] = "WRPKRU",     [LYCH_WRPKRU_REX2] = "REX2 WRPKRU",
	[LYCH_XRSTOR] = "XRSTOR",     [LYCH_ENCLU] = "ENCLU",
	[LYCH_WRFSBASE] = "WRFSBASE", [LYCH_WRGSBASE] = "WRGSBASE",
	[LYCH_SYSCALL] = "SYSCALL",   [LYCH_SYSENTER] = "SYSENTER",
	[LYCH_INT80] = "INT 80h",
};

const char *standing_name(enum standing standing)
{
	return standing_names[standing];
}

const char *skip_name(enum skip skip)
{
	return skip_names[skip];
}

const char *class_title(enum lych_class cls)
{
	return class_titles[cls];
}

/* ---- results -------------------------------------------------------------------------------- */

void result_free(struct result *result)
{
	buf_free(&result->out);
	buf_free(&result->err);
	buf_free(&result->notes);
	buf_free(&result->keys);
}

bool result_failed(const struct result *result)
{
	return result->out.failed || result->err.failed || result->notes.failed ||
	       result->keys.failed;
}

size_t result_bytes(const struct result *result)
{
	return result->out.cap + result->err.cap + result->notes.cap + result->keys.cap;
}

void tally_add(struct tally *sum, const struct tally *add)
{
	uint64_t findings = 0;

	sum->stats.images += add->stats.images;
	sum->stats.exec_bytes += add->stats.exec_bytes;
	sum->files += add->files;
	sum->processes += add->processes;
	sum->unreadable += add->unreadable;
	sum->nameless += add->nameless;
	for (size_t i = 0; i < SKIP_COUNT; i++) {
		sum->skipped[i] += add->skipped[i];
	}
	for (size_t i = 0; i < STANDING_COUNT; i++) {
		sum->findings[i] += add->findings[i];
		findings += add->findings[i];
	}
	if (findings == 0) {
		return;
	}
	for (size_t s = 0; s < STANDING_COUNT; s++) {
		for (size_t c = 0; c < LYCH_CLASS_COUNT; c++) {
			for (size_t v = 0; v < LYCH_VERDICT_COUNT; v++) {
				for (size_t p = 0; p < LYCH_PLACE_COUNT; p++) {
					sum->count[s][c][v][p] += add->count[s][c][v][p];
				}
			}
		}
	}
}

int report_write(struct buf *out)
{
	int rc = out->failed ? -ENOMEM : out->len == 0 ? 0 : cmd_write(out->data, out->len);

	out->len = 0;
	return rc;
}

/* ---- text ----------------------------------------------------------------------------------- */

void symbol_text(struct buf *buf, const struct lych_finding *finding, const char *before)
{
	bool ended = finding->symbol_size != 0 && finding->symbol_size <= finding->symbol_off;

	if (finding->symbol[0] != '\0') {
		buf_printf(buf, "%s%s ", before, ended ? "after" : "in");
		buf_name(buf, finding->symbol);
		buf_printf(buf, "+0x%" PRIx64, finding->symbol_off);
	}
}

void placement_text(struct buf *buf, const struct lych_finding *finding)
{
	buf_str(buf, lych_placement_name(finding->placement));
	if (finding->first_part != LYCH_PART_NONE) {
		buf_printf(buf, " %s", lych_part_name(finding->first_part));
		if (finding->last_part != finding->first_part &&
		    finding->last_part != LYCH_PART_NONE) {
			buf_printf(buf, " to %s", lych_part_name(finding->last_part));
		}
	}
}

void hit_disassembly(struct buf *buf, const struct lych_finding *finding)
{
	const char *separator = "";

	for (size_t i = 0; i < finding->ninsns; i++) {
		if (finding->insns[i].hit) {
			buf_str(buf, separator);
			buf_name(buf, finding->insns[i].text);
			separator = " | ";
		}
	}
}

void finding_name(struct buf *buf, const char *path, const char *member, pid_t pid)
{
	if (pid != 0) {
		buf_printf(buf, "pid %ld", (long)pid);
		/* What the library calls a process as a whole says no more. */
		if (path[0] == '\0' || strncmp(path, "process ", strlen("process ")) == 0) {
			return;
		}
		buf_str(buf, " ");
	}
	buf_name(buf, path);
	if (member[0] != '\0') {
		buf_str(buf, "(");
		buf_name(buf, member);
		buf_str(buf, ")");
	}
}

void byte_count(struct buf *buf, uint64_t bytes)
{
	static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 999.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1000;
		unit++;
	}
	buf_printf(buf, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

static void skip_sentence(struct buf *buf, const struct tally *total)
{
	static const char *const what[SKIP_COUNT] = {
		[SKIP_NOT_CODE] = "not machine code",
		[SKIP_FOREIGN] = "for other machines",
		[SKIP_CORE] = "core files",
		[SKIP_IRREGULAR] = "links, devices and other special files",
		[SKIP_PSEUDO] = "pseudo file systems",
		[SKIP_EXCLUDED] = "excluded",
		[SKIP_VANISHED] = "vanished meanwhile",
	};
	const char *separator = "\nlychgate: passed over: ";

	for (size_t i = 0; i < SKIP_COUNT; i++) {
		if (total->skipped[i] != 0) {
			buf_printf(buf, "%s%" PRIu64 " %s", separator, total->skipped[i], what[i]);
			separator = ", ";
		}
	}
}

void tally_sentence(struct buf *buf, const struct tally *total, bool verbose)
{
	uint64_t fails = total->findings[STANDING_FAILS];
	const char *separator = " (";

	if (total->files != 0 || total->processes == 0) {
		buf_printf(buf, "%" PRIu64 " %s%s", total->files,
			   total->files == 1 ? "file" : "files",
			   total->processes != 0 ? " and " : "");
	}
	if (total->processes != 0) {
		buf_printf(buf, "%" PRIu64 " %s", total->processes,
			   total->processes == 1 ? "process" : "processes");
	}
	buf_str(buf, " scanned, ");
	byte_count(buf, total->stats.exec_bytes);
	buf_str(buf, " of code: ");
	if (fails == 0) {
		buf_str(buf, "nothing that fails");
	} else {
		buf_printf(buf, "%" PRIu64 " %s", fails,
			   fails == 1 ? "finding fails" : "findings fail");
	}
	for (size_t v = 0; v < LYCH_VERDICT_COUNT && fails != 0; v++) {
		uint64_t n = 0;

		for (size_t c = 0; c < LYCH_CLASS_COUNT; c++) {
			for (size_t p = 0; p < LYCH_PLACE_COUNT; p++) {
				n += total->count[STANDING_FAILS][c][v][p];
			}
		}
		if (n != 0) {
			buf_printf(buf, "%s%" PRIu64 " %s", separator, n,
				   lych_verdict_name((enum lych_verdict)v));
			separator = ", ";
		}
	}
	if (fails != 0) {
		buf_str(buf, ")");
	}
	for (size_t s = STANDING_KNOWN; s < STANDING_COUNT; s++) {
		if (total->findings[s] != 0) {
			buf_printf(buf, ", %" PRIu64 " %s", total->findings[s], standing_names[s]);
		}
	}
	if (total->unreadable != 0) {
		buf_printf(buf, "; %" PRIu64 " could not be read completely", total->unreadable);
	}
	if (verbose) {
		skip_sentence(buf, total);
	} else if (total->skipped[SKIP_FOREIGN] + total->skipped[SKIP_CORE] != 0) {
		buf_printf(buf, "; %" PRIu64 " for other machines or core files passed over",
			   total->skipped[SKIP_FOREIGN] + total->skipped[SKIP_CORE]);
	}
}

void tally_table(struct buf *buf, const struct tally *total)
{
	uint64_t sum[STANDING_COUNT] = {0};

	buf_printf(buf, "%-12s %-16s %-12s %9s %9s %9s %9s\n", "class", "verdict", "placement",
		   "fails", "known", "reported", "accepted");
	for (size_t c = 0; c < LYCH_CLASS_COUNT; c++) {
		for (size_t v = 0; v < LYCH_VERDICT_COUNT; v++) {
			for (size_t p = 0; p < LYCH_PLACE_COUNT; p++) {
				uint64_t any = 0;

				for (size_t s = 0; s < STANDING_COUNT; s++) {
					any += total->count[s][c][v][p];
					sum[s] += total->count[s][c][v][p];
				}
				if (any == 0) {
					continue;
				}
				buf_printf(buf, "%-12s %-16s %-12s",
					   lych_class_name((enum lych_class)c),
					   lych_verdict_name((enum lych_verdict)v),
					   lych_placement_name((enum lych_placement)p));
				for (size_t s = 0; s < STANDING_COUNT; s++) {
					buf_printf(buf, " %9" PRIu32, total->count[s][c][v][p]);
				}
				buf_str(buf, "\n");
			}
		}
	}
	buf_printf(buf, "%-42s", "total");
	for (size_t s = 0; s < STANDING_COUNT; s++) {
		buf_printf(buf, " %9" PRIu64, sum[s]);
	}
	buf_printf(buf,
		   "\nfiles %" PRIu64 ", processes %" PRIu64 ", images %" PRIu64
		   ", bytes of code %" PRIu64 ", unreadable %" PRIu64 "\n",
		   total->files, total->processes, total->stats.images, total->stats.exec_bytes,
		   total->unreadable);
	buf_str(buf, "passed over:");
	for (size_t i = 0; i < SKIP_COUNT; i++) {
		buf_printf(buf, "%s %s %" PRIu64, i == 0 ? "" : ",", skip_names[i],
			   total->skipped[i]);
	}
	buf_str(buf, "\n");
}
