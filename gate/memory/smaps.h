/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /proc/PID/smaps says about mappings, and how that differs from a list of ranges. Pure: text in pieces of any
 * length goes in, differences come out.
 *
 * A line that begins with an address is a mapping, and what follows tells about it. Names of files are at the end of
 * that line (the kernel writes a line feed in them as \012) and are not looked at: whoever picks one can put nothing
 * into the text that counts.
 */
#ifndef LYCH_SMAPS_H
#define LYCH_SMAPS_H

#include <stdbool.h>

#include "ranges.h"

#ifdef __cplusplus
extern "C" {
#endif

struct smaps_mapping {
	uint64_t at, end;
	int prot; /* PROT_* */
	int key;  /* -1: the text does not say */
	bool shared;
	bool file; /* it has an inode */
	bool special; /* a stack that grows by itself, of huge pages, or a device's */
};

/* More of a line is not needed: addresses, rights, offset, device and inode take at most 80 bytes. */
#define SMAPS_LINE 128

struct smaps_parser {
	/* Called for each mapping once all of it is known, in order of addresses. */
	void (*mapping)(const struct smaps_mapping *mapping, void *ctx);
	void *ctx;
	struct smaps_mapping now;
	bool have;
	bool failed;
	uint64_t upto; /* end of the mapping before */
	size_t length;
	char line[SMAPS_LINE];
};

LYCH_HIDDEN void smaps_begin(struct smaps_parser *parser,
			     void (*mapping)(const struct smaps_mapping *mapping, void *ctx), void *ctx);
/* 0, or -EBADMSG: the kernel does not write such text, nothing more is said about it. */
LYCH_HIDDEN int smaps_feed(struct smaps_parser *parser, const char *text, size_t bytes);
/* The last mapping. -EBADMSG also when the text ends inside a line. */
LYCH_HIDDEN int smaps_end(struct smaps_parser *parser);

enum difference_kind {
	DIFFERENCE_UNMAPPED, /* in the list, and nothing is there */
	DIFFERENCE_KEY,      /* another key than in the list */
	DIFFERENCE_PROT,     /* other rights than in the list */
	DIFFERENCE_SHARED,   /* a shared mapping: it has aliases */
	DIFFERENCE_FILE,     /* a file's pages */
	DIFFERENCE_UNKNOWN,  /* has a key of ours and is not in the list */
};

struct difference {
	uint64_t at, end;
	enum difference_kind kind;
	int key, want_key; /* what is there, and in the list */
	int prot, want_prot;
};

struct smaps_check {
	const struct key_range *ranges;
	size_t count;
	bool has_keys;     /* keys are compared (not with the mprotect backend) */
	uint32_t our_keys; /* bit k: nothing outside of the list may have key k */
	void (*found)(const struct difference *difference, void *ctx);
	void *ctx;
	size_t next;   /* the range looked at */
	uint64_t upto; /* all of it below is done */
};

/* A smaps_parser's mapping function with ctx a struct smaps_check, next and upto 0. */
LYCH_HIDDEN void smaps_check_mapping(const struct smaps_mapping *mapping, void *check);
/* After the last mapping: what is left is not there. */
LYCH_HIDDEN void smaps_check_end(struct smaps_check *check);

#define DIFFERENCE_TEXT 160
/* One line without a line feed. The names are of the owners of the two keys. Returns out. */
LYCH_HIDDEN const char *difference_text(const struct difference *difference, const char *owner,
					const char *want_owner, char out[DIFFERENCE_TEXT]);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_SMAPS_H */
