/* SPDX-License-Identifier: Apache-2.0 */
/* The child of `lychgate try`: the only part of the command that starts the runtime. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <lychgate/fault.h>
#include <lychgate/library.h>
#include <lychgate/policy.h>

#include "cmd.h"
#include "json.h"
#include "try.h"

#define REFUSALS 64
#define FAULT_BYTES 16384

/* Takes record. Whoever reads it sees what is missing: there is no result then. */
static void send_record(int fd, json_t *record)
{
	struct buf line = {0};
	size_t done = 0;

	json_add(&line, record);
	buf_str(&line, "\n");
	while (!line.failed && done < line.len) {
		ssize_t n = write(fd, line.data + done, line.len - done);

		if (n <= 0 && errno != EINTR) {
			break;
		}
		done += n > 0 ? (size_t)n : 0;
	}
	buf_free(&line);
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static void on_file(const char *path, uint64_t bytes, void *ctx)
{
	send_record(*(int *)ctx, json_pack("{s:s, s:o, s:o}", "type", "file", "path", json_text(path, NULL), "code_bytes",
					   number(bytes)));
}

static void on_code(const struct lych_code_item *item, void *ctx)
{
	json_t *record = json_pack("{s:s, s:o, s:o, s:s}", "type", "code", "file", json_text(item->path, NULL), "offset",
				   json_hex(item->offset), "class", item->what);

	json_put(record, "symbol", json_text(item->symbol, NULL));
	if (item->symbol[0] != '\0') {
		json_put(record, "symbol_offset", json_hex(item->into));
	}
	json_put(record, "done", json_text(item->done, NULL));
	json_put(record, "why", json_text(item->why, NULL));
	send_record(*(int *)ctx, record);
}

static void send_calls(struct lych_domain *domain, const struct lych_usage *usage, int fd)
{
	struct lych_refusal refused[REFUSALS];
	size_t n = lych_refused(domain, refused, REFUSALS);

	n = n < REFUSALS ? n : REFUSALS;
	for (long nr = 0; nr < LYCH_USAGE_CALLS; nr++) {
		const char *name = lych_call_name(nr);
		uint64_t times = 0;

		for (size_t i = 0; i < n; i++) {
			times += refused[i].nr == nr && !refused[i].foreign ? refused[i].count : 0;
		}
		if (usage->calls[nr] != 0) {
			send_record(fd, json_pack("{s:s, s:s, s:I, s:o, s:o, s:b}", "type", "call", "name",
						  name != NULL ? name : "", "number", (json_int_t)nr, "made",
						  number(usage->calls[nr]), "refused", number(times), "allowable",
						  lych_call_allowable(nr)));
		}
	}
	/* What is no call of this architecture. */
	for (size_t i = 0; i < n; i++) {
		if (refused[i].foreign || refused[i].nr < 0 || refused[i].nr >= LYCH_USAGE_CALLS) {
			send_record(fd, json_pack("{s:s, s:s, s:I, s:o, s:o, s:b}", "type", "call", "name",
						  refused[i].foreign ? "of another architecture" : "", "number",
						  (json_int_t)refused[i].nr, "made", number(refused[i].count), "refused",
						  number(refused[i].count), "allowable", false));
		}
	}
}

static void send_usage(const struct lych_usage *u, int fd)
{
	send_record(fd, json_pack("{s:s, s:o, s:o, s:o, s:o, s:I, s:I}", "type", "usage", "mapped_bytes", number(u->mapped_bytes),
				  "code_bytes", number(u->code_bytes), "used_bytes", number(u->used_bytes), "limit_bytes",
				  number(u->limit_bytes), "threads", (json_int_t)u->threads, "threads_made",
				  (json_int_t)u->threads_made));
}

static void send_fault(const struct lych_fault *fault, int fd)
{
	char text[FAULT_BYTES];
	int file = memfd_create("fault", MFD_CLOEXEC);
	ssize_t n = -1;

	if (file >= 0 && lych_fault_print(fault, file) == 0) {
		n = pread(file, text, sizeof(text) - 1, 0);
	}
	if (n > 0) {
		text[n] = '\0';
		send_record(fd, json_pack("{s:s, s:o}", "type", "fault", "text", json_text(text, NULL)));
	}
	if (file >= 0) {
		close(file);
	}
}

static void on_opened(struct lych_domain *domain, int status, void *ctx)
{
	const struct lych_fault *fault = lych_fault(domain);
	struct lych_usage usage;
	int fd = *(int *)ctx;

	if (lych_library_usage(domain, &usage) == 0) {
		send_calls(domain, &usage, fd);
		send_usage(&usage, fd);
	}
	if (status != 0 && fault->kind != LYCH_FAULT_NONE) {
		send_fault(fault, fd);
	}
}

static _Noreturn void end(int fd, int rc, const char *error)
{
	const char *reason = rc != 0 ? lych_why() : "";
	json_t *record = json_pack("{s:s, s:b}", "type", "result", "opens", rc == 0);

	if (rc != 0) {
		json_put(record, "error", json_string(error != NULL ? error : strerrorname_np(-rc)));
		json_put(record, "reason", json_text(reason[0] != '\0' ? reason : lych_strerror(rc), NULL));
	}
	send_record(fd, record);
	/* Nothing of the parent's is flushed, and nothing of the library's runs. */
	_exit(0);
}

void try_open(const char *library, const struct try_options *options, int fd)
{
	struct lych_init_opts init = {.size = sizeof(init), .backend = LYCH_PKU};
	struct lych_library_opts opts = {.size = sizeof(opts),
					 .open_timeout_ms = UINT_MAX, /* --timeout is for everything */
					 .policy = options->policy,
					 .search = options->search,
					 .on_file = on_file,
					 .on_code = on_code,
					 .on_opened = on_opened,
					 .tell_ctx = &fd};
	struct lych_domain *domain = NULL;
	int rc = lych_init(&init);

	if (rc != 0) {
		end(fd, rc, "platform");
	}
	rc = lych_open(&domain, library, &opts);
	end(fd, rc, rc == -EOPNOTSUPP || rc == -ENOSPC ? "platform" : NULL);
}
