/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One finding per line, for people and for grep:
 *
 *	file:vaddr: verdict class: placement: bytes  ; disassembly  in symbol+0x10
 */
#include <inttypes.h>

#include "report.h"

static void begin(struct report *report, struct buf *out)
{
	(void)report;
	(void)out;
}

static const char *standing_color(enum standing standing)
{
	switch (standing) {
	case STANDING_FAILS:
		return CMD_RED;
	case STANDING_KNOWN:
	case STANDING_REPORTED:
		return CMD_YELLOW;
	default:
		return CMD_GREEN;
	}
}

static void details(struct buf *out, const struct lych_finding *f)
{
	buf_str(out, "\t");
	if (f->section[0] != '\0') {
		buf_str(out, "section ");
		buf_name(out, f->section);
		buf_str(out, ", ");
	}
	if (f->off != LYCH_NO_OFFSET) {
		buf_printf(out, "file offset 0x%" PRIx64 ", ", f->off);
	}
	if (f->build_id_len != 0) {
		buf_str(out, "build-id ");
		buf_hex(out, f->build_id, f->build_id_len);
	} else {
		buf_str(out, "no build-id");
	}
	if (f->why[0] != '\0') {
		buf_str(out, ": ");
		buf_name(out, f->why);
	}
	buf_str(out, "\n");
}

static void finding(const struct report *report, struct result *result, const struct hit *hit)
{
	const struct lych_finding *f = hit->finding;
	struct buf *out = &result->out;
	const char *reset = report->color ? CMD_RESET : "";

	buf_str(out, report->color ? CMD_BOLD : "");
	finding_name(out, f->path, f->member, hit->pid);
	buf_printf(out, "%s:0x%" PRIx64 ": %s%s %s%s: ", reset, f->vaddr,
		   report->color ? standing_color(hit->standing) : "",
		   lych_verdict_name(f->verdict), lych_class_name(f->cls), reset);
	placement_text(out, f);
	buf_str(out, ": ");
	buf_bytes(out, f->bytes, f->nbytes);
	buf_printf(out, "%s  ; ", report->color ? CMD_DIM : "");
	hit_disassembly(out, f);
	buf_str(out, reset);
	symbol_text(out, f, "  ");
	if (hit->standing == STANDING_KNOWN || hit->standing == STANDING_REPORTED ||
	    (hit->standing == STANDING_ACCEPTED && f->verdict == LYCH_VERDICT_RUNTIME)) {
		buf_printf(out, "  [%s]", standing_name(hit->standing));
	}
	buf_str(out, "\n");
	if (report->opts->verbose) {
		details(out, f);
	}
}

static void end(struct report *report, struct buf *out, const struct tally *total, int exit_code)
{
	(void)exit_code;
	if (report->opts->summary) {
		buf_str(out, report->any ? "\n" : "");
		tally_table(out, total);
	}
}

const struct report_ops report_text = {
	.begin = begin,
	.finding = finding,
	.end = end,
	.separator = "",
};
