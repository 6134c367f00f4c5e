/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common archive format: "!<arch>\n", then for each member a header of 60 bytes and its
 * contents, padded to an even offset. Long names: GNU and System V keep them in a member "//"
 * ("/123" is an offset into it), BSD puts them before the contents ("#1/20"), whose size counts
 * them. One read (two with a long name) per member.
 *
 * A symbol or name table is one only before the first other member, where linkers look for it: a
 * later member that bears such a name is a member. So is an ELF file, whatever it is called: linkers
 * take one member for a symbol table and may read a second one as an object.
 */
#include <ar.h>
#include <string.h>

#include "archive.h"
#include "elf.h"

#define THIN_MAGIC "!<thin>\n"
#define NAME_BYTES 255

struct reader {
	const struct source *src;
	bool seen_member;
	uint64_t names_off, names_size; /* the table "//" */
};

bool archive_identify(const uint8_t *head, size_t len)
{
	return len >= SARMAG &&
	       (memcmp(head, ARMAG, SARMAG) == 0 || memcmp(head, THIN_MAGIC, SARMAG) == 0);
}

/* A decimal number padded with spaces, as the header's fields are. */
static bool parse_number(const char *text, size_t len, uint64_t *out)
{
	uint64_t value = 0;
	size_t digits = 0;

	while (digits < len && text[digits] >= '0' && text[digits] <= '9') {
		value = value * 10 + (uint64_t)(text[digits] - '0'); /* at most 15 digits */
		digits++;
	}
	for (size_t i = digits; i < len; i++) {
		if (text[i] != ' ') {
			return false;
		}
	}
	*out = value;
	return digits > 0;
}

static size_t trimmed(const char *text, size_t len)
{
	while (len > 0 && text[len - 1] == ' ') {
		len--;
	}
	return len;
}

static bool is_table_name(const char *name, size_t len)
{
	static const char *const names[] = {"/",
					    "/SYM64/",
					    "__.SYMDEF",
					    "__.SYMDEF SORTED",
					    "__.SYMDEF_64",
					    "__.SYMDEF_64 SORTED"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
			return true;
		}
	}
	return false;
}

/* An entry of the table "//" ends with "/\n" (GNU), "\n" or NUL (others). */
static int gnu_name(const struct reader *r, uint64_t at, char *text, size_t *len)
{
	size_t n = 0;
	int rc;

	*len = 0;
	if (at >= r->names_size) {
		return 0;
	}
	rc = source_read_some(r->src, r->names_off + at, text,
			      r->names_size - at < NAME_BYTES ? r->names_size - at : NAME_BYTES,
			      len);
	while (n < *len && text[n] != '\n' && text[n] != '\0') {
		n++;
	}
	*len = n > 0 && text[n - 1] == '/' ? n - 1 : n;
	return rc;
}

/*
 * Finds the member's name and takes a BSD name off its contents. *table: it is a symbol or name
 * table. A name that cannot be found is no reason not to look at the contents.
 */
static int read_name(struct reader *r, const struct ar_hdr *hdr, struct archive_member *member,
		     bool *table)
{
	char text[NAME_BYTES];
	size_t field = trimmed(hdr->ar_name, sizeof(hdr->ar_name));
	size_t len = field;
	uint64_t number;
	int rc = 0;

	memcpy(text, hdr->ar_name, sizeof(hdr->ar_name));
	*table = false;
	if (field > 3 && memcmp(text, "#1/", 3) == 0 &&
	    parse_number(text + 3, field - 3, &number)) {
		if (number > member->size) {
			return -EBADMSG;
		}
		rc = source_read_some(r->src, member->off, text,
				      number < NAME_BYTES ? number : NAME_BYTES, &len);
		len = strnlen(text, len);
		member->off += number;
		member->size -= number;
		*table = !r->seen_member && is_table_name(text, len);
	} else if (!r->seen_member && is_table_name(text, len)) {
		*table = true;
	} else if (!r->seen_member && len == 2 && memcmp(text, "//", 2) == 0) {
		*table = true;
		r->names_off = member->off;
		r->names_size = member->size;
	} else if (len > 1 && text[0] == '/' && parse_number(text + 1, len - 1, &number)) {
		rc = gnu_name(r, number, text, &len);
	} else if (len > 1 && text[len - 1] == '/' && text[0] != '/') {
		len--;
	}
	elf_clean_string(member->name, sizeof(member->name), text, len);
	return rc;
}

static bool is_elf(const struct source *src, const struct archive_member *member)
{
	uint8_t head[SELFMAG];

	return member->size >= sizeof(head) && source_read(src, member->off, head, sizeof(head)) == 0 &&
	       elf_identify(head, sizeof(head)) != ELF_KIND_NONE;
}

int archive_each(const struct source *src, const char **why,
		 int (*fn)(void *ctx, const struct archive_member *member), void *ctx)
{
	struct reader r = {.src = src};
	char magic[SARMAG];
	uint64_t off = SARMAG;
	int rc;

	*why = "";
	rc = source_read(src, 0, magic, sizeof(magic));
	if (rc != 0) {
		*why = rc == -ENODATA ? "the file ends within the archive's first line" : "";
		return rc;
	}
	if (memcmp(magic, THIN_MAGIC, SARMAG) == 0) {
		*why = "a thin archive: its members are files of their own";
		return -ENOTSUP;
	}
	if (memcmp(magic, ARMAG, SARMAG) != 0) {
		*why = "not an archive";
		return -EBADMSG;
	}
	while (off < src->size) {
		struct archive_member member = {.name = ""};
		struct ar_hdr hdr;
		uint64_t size;
		bool clipped;
		bool table;

		rc = source_read(src, off, &hdr, sizeof(hdr));
		if (rc != 0) {
			*why = rc == -ENODATA ? "the archive ends within the header of a member"
					      : "";
			return rc;
		}
		if (memcmp(hdr.ar_fmag, ARFMAG, sizeof(hdr.ar_fmag)) != 0 ||
		    !parse_number(hdr.ar_size, sizeof(hdr.ar_size), &size)) {
			*why = "the header of a member is broken";
			return -EBADMSG;
		}
		off += sizeof(hdr);
		clipped = size > src->size - off;
		member.off = off;
		member.size = clipped ? src->size - off : size;
		rc = read_name(&r, &hdr, &member, &table);
		if (rc != 0) {
			*why = rc == -EBADMSG ? "the name of a member is longer than the member"
					      : "";
			return rc;
		}
		if (!table || is_elf(src, &member)) {
			r.seen_member = true;
			rc = fn(ctx, &member);
			if (rc != 0) {
				return rc;
			}
		}
		if (clipped) {
			*why = "the archive ends within a member";
			return -ENODATA;
		}
		off += size + (size & 1);
	}
	return 0;
}
