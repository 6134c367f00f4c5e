/* SPDX-License-Identifier: Apache-2.0 */
/* What `lychgate try` has found, for people and for programs. */
#include <inttypes.h>
#include <string.h>

#include "json.h"
#include "try.h"

static const char *text_of(const json_t *record, const char *key)
{
	const char *text = json_string_value(json_object_get(record, key));

	return text != NULL ? text : "";
}

static uint64_t number_of(const json_t *record, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(record, key));
}

static bool is(const json_t *record, const char *type)
{
	return strcmp(text_of(record, "type"), type) == 0;
}

static void add_bytes(struct buf *out, uint64_t bytes)
{
	if (bytes < 1 << 20) {
		buf_printf(out, "%" PRIu64 " KiB", (bytes + 1023) >> 10);
	} else {
		buf_printf(out, "%" PRIu64 ".%" PRIu64 " MiB", bytes >> 20, ((bytes & ((1 << 20) - 1)) * 10) >> 20);
	}
}

/* The first line of its kind has the word, the others are below it. */
static void begin(struct buf *out, const char *word, bool *first)
{
	buf_printf(out, "  %-8s ", *first ? word : "");
	*first = false;
}

static void add_files(struct buf *out, const struct trial *t)
{
	bool first = true;
	size_t i;
	json_t *r;

	json_array_foreach(t->records, i, r) {
		if (is(r, "file")) {
			begin(out, "loads", &first);
			buf_name(out, text_of(r, "path"));
			buf_str(out, ", ");
			add_bytes(out, number_of(r, "code_bytes"));
			buf_str(out, " of code\n");
		}
	}
}

static void add_code(struct buf *out, const struct trial *t)
{
	bool first = true;
	size_t i;
	json_t *r;

	json_array_foreach(t->records, i, r) {
		const char *path = text_of(r, "file"), *slash = strrchr(path, '/');

		if (!is(r, "code")) {
			continue;
		}
		begin(out, "code", &first);
		buf_name(out, slash != NULL ? slash + 1 : path);
		buf_printf(out, ":%s: %s", text_of(r, "offset"), text_of(r, "class"));
		if (text_of(r, "symbol")[0] != '\0') {
			buf_str(out, " in ");
			buf_name(out, text_of(r, "symbol"));
			buf_printf(out, "+%s", text_of(r, "symbol_offset"));
		}
		buf_printf(out, ": %s", text_of(r, "done"));
		if (text_of(r, "why")[0] != '\0') {
			buf_str(out, ": ");
			buf_name(out, text_of(r, "why"));
		}
		buf_str(out, "\n");
	}
}

enum calls { ALL, ALLOWABLE, OTHERS };

/* "mmap 24, openat 5"; those that were made, or those that were refused. */
static void add_calls(struct buf *out, const struct trial *t, const char *word, const char *key, enum calls which)
{
	bool first = true, any = false;
	size_t i;
	json_t *r;

	json_array_foreach(t->records, i, r) {
		if (!is(r, "call") || number_of(r, key) == 0 ||
		    (which != ALL && json_is_true(json_object_get(r, "allowable")) != (which == ALLOWABLE))) {
			continue;
		}
		if (!any) {
			begin(out, word, &first);
		}
		buf_str(out, any ? ", " : "");
		any = true;
		if (text_of(r, "name")[0] != '\0') {
			buf_str(out, text_of(r, "name"));
		} else {
			buf_printf(out, "number %lld", (long long)json_integer_value(json_object_get(r, "number")));
		}
		if (number_of(r, key) > 1) {
			buf_printf(out, " (%" PRIu64 ")", number_of(r, key));
		}
	}
	buf_str(out, any ? "\n" : "");
}

static void add_usage(struct buf *out, const struct trial *t)
{
	size_t i;
	json_t *r;

	json_array_foreach(t->records, i, r) {
		if (!is(r, "usage")) {
			continue;
		}
		buf_str(out, "  memory   ");
		add_bytes(out, number_of(r, "mapped_bytes"));
		buf_str(out, " mapped, of it ");
		add_bytes(out, number_of(r, "code_bytes"));
		buf_str(out, " code; ");
		add_bytes(out, number_of(r, "used_bytes"));
		buf_str(out, " of the limit of ");
		add_bytes(out, number_of(r, "limit_bytes"));
		buf_str(out, "\n  threads  ");
		if (number_of(r, "threads_made") == 0) {
			buf_str(out, "none of its own\n");
		} else {
			buf_printf(out, "%" PRIu64 " of its own, of which %" PRIu64 " still run\n",
				   number_of(r, "threads_made"), number_of(r, "threads"));
		}
	}
}

/* Each line of a text, made harmless. */
static void add_lines(struct buf *out, const char *word, const char *text, size_t len)
{
	const char *end = text + len;
	bool first = true;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		struct buf line = {0};

		buf_add(&line, text, (size_t)((newline != NULL ? newline : end) - text));
		buf_add(&line, "", 1);
		begin(out, word, &first);
		buf_name(out, line.failed ? "" : line.data);
		buf_str(out, "\n");
		buf_free(&line);
		text = newline != NULL ? newline + 1 : end;
	}
}

static void add_fault(struct buf *out, const struct trial *t)
{
	size_t i;
	json_t *r;

	json_array_foreach(t->records, i, r) {
		if (is(r, "fault")) {
			add_lines(out, "fault", text_of(r, "text"), strlen(text_of(r, "text")));
		}
	}
}

void try_print_text(struct buf *out, const struct trial *trial)
{
	buf_name(out, trial->library);
	if (trial->opens) {
		buf_str(out, ": opens\n");
	} else {
		buf_str(out, ": does not open: ");
		buf_name(out, trial->reason);
		buf_str(out, "\n");
	}
	add_files(out, trial);
	add_code(out, trial);
	add_calls(out, trial, "calls", "made", ALL);
	add_calls(out, trial, "refused", "refused", ALLOWABLE);
	add_calls(out, trial, "lacks", "refused", OTHERS);
	add_usage(out, trial);
	add_fault(out, trial);
	add_lines(out, "says", trial->said.data, trial->said.len);
}

static void add_record(struct buf *out, const struct trial *trial, json_t *record)
{
	json_put(record, "library", json_text(trial->library, NULL));
	json_add(out, record);
	buf_str(out, "\n");
}

void try_print_json(struct buf *out, const struct trial *trial)
{
	struct buf said = {0};
	json_t *result = json_pack("{s:s, s:b}", "type", "result", "opens", trial->opens);
	size_t i;
	json_t *r;

	json_array_foreach(trial->records, i, r) {
		if (!is(r, "result")) {
			add_record(out, trial, json_deep_copy(r));
		}
	}
	if (trial->said.len > 0) {
		buf_add(&said, trial->said.data, trial->said.len);
		buf_add(&said, "", 1);
		add_record(out, trial,
			   json_pack("{s:s, s:o}", "type", "said", "text", json_text(said.failed ? "" : said.data, NULL)));
		buf_free(&said);
	}
	json_put(result, "error", json_text(trial->error, NULL));
	json_put(result, "reason", json_text(trial->reason, NULL));
	add_record(out, trial, result);
}
