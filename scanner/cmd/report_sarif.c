/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SARIF 2.1.0. Results are written as they come; notifications, which are another array of the same
 * object, wait in a temporary file.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "report.h"

/* Paths in the report are relative to the directory that is scanned from: what code hosts want. */
#define BASE_ID "%SRCROOT%"

static void add_uri(struct buf *buf, const char *path)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";

	for (; *path != '\0'; path++) {
		if (strchr(plain, *path) != NULL) {
			buf_add(buf, path, 1);
		} else {
			buf_printf(buf, "%%%02X", (unsigned char)*path);
		}
	}
}

/* Without "." and empty parts; false when it has ".." and so means what the file system says. */
static bool plain_path(struct buf *out, const char *path)
{
	size_t len;

	if (*path == '/') {
		buf_str(out, "/");
	}
	for (; *path != '\0'; path += len) {
		len = strcspn(path, "/");
		if (len == 2 && path[0] == '.' && path[1] == '.') {
			return false;
		}
		if (len > 0 && !(len == 1 && path[0] == '.')) {
			if (out->len > 0 && out->data[out->len - 1] != '/') {
				buf_str(out, "/");
			}
			buf_add(out, path, len);
		}
		len += strspn(path + len, "/");
	}
	return true;
}

static json_t *artifact(const char *path, pid_t pid)
{
	struct buf plain = {0};
	struct buf uri = {0};
	json_t *object = json_object();
	char *real = NULL;

	if (pid != 0 && path[0] != '/') {
		buf_printf(&uri, "file:///proc/%ld/mem", (long)pid);
		json_put(object, "description", json_pack("{s:o}", "text", json_text(path, NULL)));
	} else {
		if (!plain_path(&plain, path)) {
			real = realpath(path, NULL);
			plain.len = 0;
			buf_str(&plain, real != NULL ? real : path);
		}
		buf_add(&plain, "", 1);
		if (plain.failed) {
			uri.failed = true;
		} else if (plain.data[0] == '/') {
			buf_str(&uri, "file://");
			add_uri(&uri, plain.data);
		} else {
			add_uri(&uri, plain.data);
			json_put(object, "uriBaseId", json_string(BASE_ID));
		}
	}
	json_put(object, "uri", json_buf(&uri));
	buf_free(&plain);
	free(real);
	return object;
}

static json_t *text_message(struct buf *text)
{
	return json_pack("{s:o}", "text", json_buf(text));
}

/* ---- what is said before any result --------------------------------------------------------- */

static json_t *rule(enum lych_class cls)
{
	const char *title = class_title(cls);
	struct buf name = {0};
	struct buf short_text = {0};
	struct buf help = {0};
	json_t *object = json_object();

	json_put(object, "id", json_string(rule_id(cls)));
	buf_str(&name, "Stray");
	for (const char *c = title; *c != '\0'; c++) {
		if (*c != ' ') {
			/* "REX2 WRPKRU" as Rex2Wrpkru */
			bool first = c == title || c[-1] == ' ';

			buf_printf(&name, "%c",
				   !first && *c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
		}
	}
	json_put(object, "name", json_buf(&name));
	buf_printf(&short_text, "Stray %s (unsafe occurrence) in executable memory.", title);
	json_put(object, "shortDescription", text_message(&short_text));
	json_put(object, "fullDescription", json_pack("{s:s}", "text", advice_danger(cls)));
	buf_printf(&help,
		   "%s\n\nThe bytes count at any offset, in the middle of instructions as well, "
		   "because an attacker who can jump enters where he likes. `lychgate explain "
		   "FILE:ADDRESS` shows the instructions around a finding and how to remove it.",
		   advice_danger(cls));
	json_put(object, "help",
		 json_pack("{s:s%, s:s%}", "text", help.data, help.len, "markdown", help.data,
			   help.len));
	buf_free(&help);
	json_put(object, "defaultConfiguration", json_pack("{s:s}", "level", "error"));
	json_put(object, "properties",
		 json_pack("{s:[s, s], s:s, s:s}", "tags", "security", "protection-keys",
			   "security-severity", cls <= LYCH_XRSTOR ? "8.0" : "5.0", "precision",
			   "very-high"));
	return object;
}

static json_t *directory_uri(const char *path)
{
	struct buf uri = {0};

	buf_str(&uri, "file://");
	add_uri(&uri, path);
	if (path[strlen(path) - 1] != '/') {
		buf_str(&uri, "/");
	}
	return json_pack("{s:o}", "uri", json_buf(&uri));
}

static void begin(struct report *report, struct buf *out)
{
	json_t *driver = json_pack("{s:s, s:s, s:s, s:s}", "name", "lychgate", "fullName",
				   "Lychgate scanner for protection-key writes", "version",
				   LYCH_VERSION_STRING, "semanticVersion", LYCH_VERSION_STRING);
	json_t *rules = json_array();

	for (size_t i = 0; i < LYCH_CLASS_COUNT; i++) {
		json_array_append_new(rules, rule((enum lych_class)i));
	}
	json_put(driver, "rules", rules);
	buf_str(out, "{\"$schema\":\"https://json.schemastore.org/"
		     "sarif-2.1.0.json\",\"version\":\"2.1.0\","
		     "\"runs\":[{\"tool\":");
	json_add(out, json_pack("{s:o}", "driver", driver));
	if (report->cwd != NULL) {
		buf_str(out, ",\"originalUriBaseIds\":");
		json_add(out, json_pack("{s:o}", BASE_ID, directory_uri(report->cwd)));
	}
	buf_str(out, ",\"columnKind\":\"utf16CodeUnits\",\"results\":[\n");
}

/* ---- results -------------------------------------------------------------------------------- */

static json_t *message(const struct lych_finding *f)
{
	struct buf text = {0};

	buf_printf(&text, "%s %s%s at address 0x%" PRIx64 ": ",
		   f->verdict == LYCH_VERDICT_STRAY     ? "Stray"
		   : f->verdict == LYCH_VERDICT_RUNTIME ? "Runtime-handled"
		   : f->verdict == LYCH_VERDICT_CHECKED ? "Checked"
							: "Gate",
		   class_title(f->cls),
		   f->verdict == LYCH_VERDICT_STRAY ? " (unsafe occurrence)" : "", f->vaddr);
	placement_text(&text, f);
	buf_str(&text, ", bytes ");
	buf_bytes(&text, f->bytes, f->nbytes);
	buf_str(&text, "; ");
	hit_disassembly(&text, f);
	symbol_text(&text, f, ", ");
	if (f->member[0] != '\0') {
		buf_str(&text, ", archive member ");
		buf_name(&text, f->member);
	}
	buf_printf(&text, ". Verdict: %s", advice_verdict(f->verdict));
	if (f->why[0] != '\0') {
		buf_str(&text, " (");
		buf_name(&text, f->why);
		buf_str(&text, ")");
	}
	buf_str(&text, ".");
	return text_message(&text);
}

static json_t *location(const struct hit *hit)
{
	const struct lych_finding *f = hit->finding;
	json_t *physical = json_pack("{s:o}", "artifactLocation", artifact(f->path, hit->pid));
	json_t *object;

	if (f->off <= INT64_MAX) {
		json_put(physical, "region",
			 json_pack("{s:I, s:i}", "byteOffset", (json_int_t)f->off, "byteLength",
				   f->nbytes));
	}
	if (f->vaddr <= INT64_MAX) {
		json_put(physical, "address",
			 json_pack("{s:I, s:i, s:s}", "absoluteAddress", (json_int_t)f->vaddr,
				   "length", f->nbytes, "kind", "instruction"));
	}
	object = json_pack("{s:o}", "physicalLocation", physical);
	if (f->symbol[0] != '\0') {
		json_put(object, "logicalLocations",
			 json_pack("[{s:o, s:s}]", "fullyQualifiedName", json_text(f->symbol, NULL),
				   "kind", "function"));
	}
	return object;
}

static void finding(const struct report *report, struct result *result, const struct hit *hit)
{
	const struct lych_finding *f = hit->finding;
	bool counts = hit->standing == STANDING_FAILS || hit->standing == STANDING_KNOWN;
	json_t *object = json_pack("{s:s, s:i, s:s}", "ruleId", rule_id(f->cls), "ruleIndex",
				   (int)f->cls, "level", counts ? "error" : "note");
	struct buf placement = {0};
	json_t *properties = json_object();

	(void)report;
	json_put(object, "message", message(f));
	json_put(object, "locations", json_pack("[o]", location(hit)));
	if (hit->key[0] != '\0') {
		json_put(object, "partialFingerprints",
			 json_pack("{s:o}", "lychgate/v1", json_text(hit->key, NULL)));
	}
	if (hit->standing == STANDING_KNOWN) {
		json_put(object, "suppressions",
			 json_pack("[{s:s, s:s}]", "kind", "external", "justification",
				   "listed in the baseline"));
	}
	json_put(properties, "status", json_string(standing_name(hit->standing)));
	json_put(properties, "verdict", json_string(lych_verdict_name(f->verdict)));
	placement_text(&placement, f);
	json_put(properties, "placement", json_buf(&placement));
	json_put(properties, "vaddr", json_hex(f->vaddr));
	json_put(properties, "section", json_text(f->section, NULL));
	json_put(properties, "member", json_text(f->member, NULL));
	json_put(properties, "buildId", json_bytes(f->build_id, f->build_id_len));
	json_put(object, "properties", properties);
	buf_str(&result->out, ",\n");
	json_add(&result->out, object);
}

static void diag(const struct report *report, struct result *result, const struct lych_diag *d)
{
	static const char *const levels[] = {
		[LYCH_DIAG_NOTE] = "note",
		[LYCH_DIAG_WARNING] = "warning",
		[LYCH_DIAG_ERROR] = "error",
	};
	struct buf text = {0};

	(void)report;
	if (d->member[0] != '\0') {
		buf_str(&text, "Archive member ");
		buf_name(&text, d->member);
		buf_str(&text, ": ");
	}
	buf_name(&text, d->message);
	buf_str(&result->notes, ",\n");
	json_add(&result->notes,
		 json_pack("{s:s, s:o, s:[{s:{s:o}}]}", "level", levels[d->severity], "message",
			   text_message(&text), "locations", "physicalLocation", "artifactLocation",
			   artifact(d->path, result->pid)));
}

static void end(struct report *report, struct buf *out, const struct tally *total, int exit_code)
{
	bool complete = exit_code <= EXIT_FINDINGS &&
			(total->unreadable == 0 || report->opts->skip_unreadable);
	char chunk[8192];
	size_t n;

	buf_printf(out, "\n],\"invocations\":[{\"executionSuccessful\":%s,\"exitCode\":%d",
		   complete ? "true" : "false", exit_code);
	if (report->cwd != NULL) {
		buf_str(out, ",\"workingDirectory\":");
		json_add(out, directory_uri(report->cwd));
	}
	buf_str(out, ",\"toolExecutionNotifications\":[");
	if (report->notes != NULL) {
		rewind(report->notes);
		fgetc(report->notes); /* the comma before the first */
		while ((n = fread(chunk, 1, sizeof(chunk), report->notes)) > 0) {
			buf_add(out, chunk, n);
			report_write(out);
		}
		out->failed = out->failed || ferror(report->notes);
	}
	buf_printf(out,
		   "]}],\"properties\":{\"files\":%" PRIu64 ",\"processes\":%" PRIu64
		   ",\"images\":%" PRIu64 ",\"execBytes\":%" PRIu64 ",\"unreadable\":%" PRIu64
		   "}}]}\n",
		   total->files, total->processes, total->stats.images, total->stats.exec_bytes,
		   total->unreadable);
}

const struct report_ops report_sarif = {
	.begin = begin,
	.finding = finding,
	.diag = diag,
	.end = end,
	.separator = ",",
};
