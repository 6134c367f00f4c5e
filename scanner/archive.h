/* SPDX-License-Identifier: Apache-2.0 */
/* Static archives (ar: GNU and BSD long names, thin ones refused) read member by member. */
#ifndef LYCH_ARCHIVE_H
#define LYCH_ARCHIVE_H

#include "source.h"

struct archive_member {
	char name[256]; /* cleaned for reports */
	uint64_t off;   /* of the contents in the archive */
	uint64_t size;
};

/* "!<arch>\n" or "!<thin>\n" at the begin of a file. */
bool archive_identify(const uint8_t *head, size_t len);

/*
 * archive_each calls fn for each member that is not a symbol or name table (an ELF file never is
 * one). Returns 0, what fn returned when not 0, or -EBADMSG (broken header; *why a static clause, members before it
 * were given), -ENODATA (truncated: the last member is given clipped), -ENOTSUP (thin archive), -ESTALE,
 * -EIO.
 */
LYCH_MUST_CHECK int archive_each(const struct source *src, const char **why,
				 int (*fn)(void *ctx, const struct archive_member *member),
				 void *ctx);

#endif /* LYCH_ARCHIVE_H */
