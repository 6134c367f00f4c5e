/* SPDX-License-Identifier: Apache-2.0 */
/* JSON lines, schema lychgate-scan/1, described in SCHEMA.md. */
#include <string.h>

#include "json.h"
#include "report.h"

static void record(struct buf *out, json_t *object)
{
	json_add(out, object);
	buf_str(out, "\n");
}

static json_t *class_list(uint32_t classes)
{
	json_t *list = json_array();

	for (size_t i = 0; i < LYCH_CLASS_COUNT; i++) {
		if ((classes & LYCH_CLASS_BIT(i)) != 0) {
			json_array_append_new(list,
					      json_string(lych_class_name((enum lych_class)i)));
		}
	}
	return list;
}

static void begin(struct report *report, struct buf *out)
{
	json_t *object =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", "header", "schema",
			  "lychgate-scan/1", "tool", "lychgate", "version", LYCH_VERSION_STRING,
			  "library", lych_scan_version(), "capstone", lych_scan_capstone_version());

	json_put(object, "classes", class_list(report->opts->classes));
	json_put(object, "fail_on", class_list(report->opts->fail_on));
	json_put(object, "assume_runtime", json_boolean(report->opts->assume_runtime));
	json_put(object, "accept_gates",
		 json_boolean((report->opts->flags & LYCH_SCAN_NO_GATES) == 0));
	record(out, object);
}

static void put_file(json_t *object, const char *path, const char *member, pid_t pid)
{
	bool exact;

	json_put(object, "file", json_text(path, &exact));
	if (!exact) {
		json_put(object, "file_bytes", json_text_bytes(path));
	}
	if (member != NULL && member[0] != '\0') {
		json_put(object, "member", json_text(member, NULL));
	}
	if (pid != 0) {
		json_put(object, "pid", json_integer(pid));
	}
}

static json_t *instructions(const struct lych_finding *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->ninsns; i++) {
		const struct lych_insn *insn = &f->insns[i];
		json_t *object = json_object();

		json_put(object, "vaddr", json_hex(insn->vaddr));
		json_put(object, "bytes", json_bytes(insn->bytes, insn->len));
		json_put(object, "text", json_text(insn->text, NULL));
		json_put(object, "hit", json_boolean(insn->hit));
		json_array_append_new(list, object);
	}
	return list;
}

static void finding(const struct report *report, struct result *result, const struct hit *hit)
{
	const struct lych_finding *f = hit->finding;
	json_t *object = json_pack("{s:s}", "type", "finding");

	(void)report;
	put_file(object, f->path, f->member, hit->pid);
	json_put(object, "vaddr", json_hex(f->vaddr));
	json_put(object, "offset", f->off == LYCH_NO_OFFSET ? json_null() : json_hex(f->off));
	json_put(object, "class", json_string(lych_class_name(f->cls)));
	json_put(object, "verdict", json_string(lych_verdict_name(f->verdict)));
	json_put(object, "status", json_string(standing_name(hit->standing)));
	json_put(object, "placement", json_string(lych_placement_name(f->placement)));
	if (f->first_part != LYCH_PART_NONE) {
		json_put(object, "first_part", json_string(lych_part_name(f->first_part)));
		json_put(object, "last_part", json_string(lych_part_name(f->last_part)));
	}
	json_put(object, "why", json_text(f->why, NULL));
	json_put(object, "bytes", json_bytes(f->bytes, f->nbytes));
	json_put(object, "section", json_text(f->section, NULL));
	if (f->symbol[0] != '\0') {
		json_put(object, "symbol", json_text(f->symbol, NULL));
		json_put(object, "symbol_offset", json_hex(f->symbol_off));
		json_put(object, "symbol_size", json_hex(f->symbol_size));
	}
	json_put(object, "build_id", json_bytes(f->build_id, f->build_id_len));
	json_put(object, "id", json_text(hit->key, NULL));
	json_put(object, "instructions", instructions(f));
	record(&result->out, object);
}

static void diag(const struct report *report, struct result *result, const struct lych_diag *d)
{
	static const char *const severities[] = {
		[LYCH_DIAG_NOTE] = "note",
		[LYCH_DIAG_WARNING] = "warning",
		[LYCH_DIAG_ERROR] = "error",
	};
	json_t *object =
		json_pack("{s:s, s:s}", "type", "diagnostic", "severity", severities[d->severity]);

	(void)report;
	put_file(object, d->path, d->member, result->pid);
	json_put(object, "message", json_text(d->message, NULL));
	json_put(object, "error", json_text(d->err == 0 ? "" : strerrorname_np(-d->err), NULL));
	record(&result->out, object);
}

static void file(const struct report *report, struct result *result, const char *path, int status)
{
	json_t *object = json_pack("{s:s}", "type", "file");

	(void)report;
	put_file(object, path, NULL, result->pid);
	json_put(object, "complete", json_boolean(status == 0));
	json_put(object, "images", json_integer((json_int_t)result->tally.stats.images));
	json_put(object, "exec_bytes", json_integer((json_int_t)result->tally.stats.exec_bytes));
	record(&result->out, object);
}

static json_t *counts(const struct tally *total)
{
	json_t *list = json_array();

	for (size_t s = 0; s < STANDING_COUNT; s++) {
		for (size_t c = 0; c < LYCH_CLASS_COUNT; c++) {
			for (size_t v = 0; v < LYCH_VERDICT_COUNT; v++) {
				for (size_t p = 0; p < LYCH_PLACE_COUNT; p++) {
					if (total->count[s][c][v][p] == 0) {
						continue;
					}
					json_array_append_new(
						list,
						json_pack(
							"{s:s, s:s, s:s, s:s, s:I}", "class",
							lych_class_name((enum lych_class)c),
							"verdict",
							lych_verdict_name((enum lych_verdict)v),
							"placement",
							lych_placement_name((enum lych_placement)p),
							"status", standing_name((enum standing)s),
							"count",
							(json_int_t)total->count[s][c][v][p]));
				}
			}
		}
	}
	return list;
}

static void end(struct report *report, struct buf *out, const struct tally *total, int exit_code)
{
	json_t *object = json_pack(
		"{s:s, s:i, s:I, s:I, s:I, s:I, s:I}", "type", "summary", "exit_code", exit_code,
		"files", (json_int_t)total->files, "processes", (json_int_t)total->processes,
		"images", (json_int_t)total->stats.images, "exec_bytes",
		(json_int_t)total->stats.exec_bytes, "unreadable", (json_int_t)total->unreadable);
	json_t *skipped = json_object();

	(void)report;
	for (size_t i = 0; i < STANDING_COUNT; i++) {
		json_put(object, standing_name((enum standing)i),
			 json_integer((json_int_t)total->findings[i]));
	}
	for (size_t i = 0; i < SKIP_COUNT; i++) {
		json_put(skipped, skip_name((enum skip)i),
			 json_integer((json_int_t)total->skipped[i]));
	}
	json_put(object, "passed_over", skipped);
	json_put(object, "counts", counts(total));
	record(out, object);
}

const struct report_ops report_jsonl = {
	.begin = begin,
	.finding = finding,
	.diag = diag,
	.file = file,
	.end = end,
	.separator = "",
};
