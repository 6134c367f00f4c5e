/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lychgate try: a library is opened in a library domain, by a child process that may come to any end; what it finds comes back as
 * one JSON object a line, and is printed by the parent.
 */
#ifndef LYCHGATE_CMD_TRY_H
#define LYCHGATE_CMD_TRY_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "buf.h"

/*
 * Records, by "type":
 *	file    path, code_bytes: code of it was mapped
 *	code    file, offset, class, symbol, symbol_offset, done, why: a sequence in it (struct lych_code_item)
 *	call    name, number, made, refused
 *	usage   mapped_bytes, code_bytes, used_bytes, limit_bytes, threads, threads_made
 *	fault   text: lines of lych_fault_print
 *	result  opens, error, reason; the last one. error is the name of an errno, or "platform"
 */
struct try_options {
	const char *search; /* as lych_library_opts.search; NULL */
	const char *policy; /* as lych_library_opts.policy; NULL */
};

/* In the child: opens library, writes records to fd, and ends the process. */
_Noreturn void try_open(const char *library, const struct try_options *options, int fd);

/* What is known of one library. */
struct trial {
	const char *library;
	json_t *records; /* array, what the child sent */
	struct buf said; /* by the library, to its standard error: hostile */
	bool opens;
	const char *error, *reason; /* of the result; "" when it opens. In records, or static */
};

/* As text for people, and as JSON lines; both write to out. */
void try_print_text(struct buf *out, const struct trial *trial);
void try_print_json(struct buf *out, const struct trial *trial);

#endif /* LYCHGATE_CMD_TRY_H */
