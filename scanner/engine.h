/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine every kind of scan goes through: executable ranges in, findings out. What differs between
 * a file, a buffer and a process is who fills struct image.
 */
#ifndef LYCH_ENGINE_H
#define LYCH_ENGINE_H

#include "decode.h"
#include "place.h"
#include "range.h"

/* What the bytes from vaddr on (up to the next origin) belong to. */
struct origin {
	uint64_t vaddr;
	uint64_t off;      /* in the file the user knows, of the byte at vaddr; or LYCH_NO_OFFSET */
	const char *path, *member;
	struct elf *elf;   /* explains addresses; NULL: nothing is known */
	uint64_t bias;     /* address in the image minus address in elf */
	struct site *sites; /* owned by who made the image; addresses are those of the image */
	size_t nsites;
};

struct image {
	const struct source *src;
	const struct range *ranges; /* ascending; off is in src */
	size_t nranges;
	struct origin *origins; /* ascending, the first at or below the first range */
	size_t norigins;
	bool live; /* a process: pages that cannot be read are passed over, the rest goes on */
	/*
	 * Finds the first stretch [*start, *end) of addresses in the range at or above from that can hold
	 * anything but zeros (no sequence has a zero byte); false when there is none. The stretch can be
	 * empty: there is none below it. NULL: all can.
	 */
	bool (*next_data)(void *ctx, const struct range *range, uint64_t from, uint64_t *start,
			  uint64_t *end);
	/* Fills elf, bias and sites of an origin before its first use. May be NULL. */
	void (*explain)(void *ctx, struct origin *origin);
	void *ctx;
};

struct scan {
	struct lych_scan_opts opts;
	struct lych_scan_stats *stats;
	uint64_t deadline_ns;    /* CLOCK_MONOTONIC; 0: none */
	struct decoder *decoder; /* made at the first finding */
	struct place_memo memo;  /* of the image that is scanned */
	uint8_t *window;
	int first_error; /* of those that let the scan go on */
	/* Called before and after an image is scanned, with opts.ctx. Not 0 ends the scan. May be NULL. */
	int (*image_begin)(void *ctx, struct scan *scan, struct image *image);
	int (*image_end)(void *ctx, struct scan *scan, struct image *image);
};

/* The image's executable bytes by address, across joined ranges: struct code's read, with a struct image as context. */
size_t image_read(void *image, uint64_t vaddr, void *buf, size_t len);

/* Checks and copies opts (NULL: defaults). stats may be NULL: scratch is used. 0, -EINVAL, -ENOMEM. */
LYCH_MUST_CHECK int scan_begin(struct scan *scan, const struct lych_scan_opts *opts,
			       struct lych_scan_stats *stats, struct lych_scan_stats *scratch);
/* Frees and gives what the public function returns: rc when the scan ended early, else the first error. */
LYCH_MUST_CHECK int scan_end(struct scan *scan, int rc);

/* Tells the caller; an error is remembered as the result of a scan that went on. */
void scan_diag(struct scan *scan, enum lych_severity severity, int err, const char *path,
	       const char *member, const char *fmt, ...) LYCH_PRINTF(6, 7);

/*
 * Scans all ranges. 0 or what ends the scan: -ECANCELED, -ETIMEDOUT, -ENOMEM, -ESRCH (a live image that is
 * gone). Bytes that cannot be read are diagnosed and passed over.
 */
LYCH_MUST_CHECK int scan_image(struct scan *scan, struct image *image);

/* Scans only what surrounds one address, and reports it even when nothing is found. -EINVAL: not executable. */
LYCH_MUST_CHECK int scan_image_at(struct scan *scan, struct image *image, uint64_t vaddr);

/*
 * Scans an open file (scan.c): all of it, or with only_vaddr what surrounds one address. Returns 0 also where
 * something could not be read, which is then the scan's first error; or what ended the scan.
 */
LYCH_MUST_CHECK int scan_open_file(struct scan *scan, int fd, const char *name, const uint64_t *only_vaddr);

/* Collects the gate sites of elf's note, with bias added. *out is owned by the caller (free). 0 or -ENOMEM. */
LYCH_MUST_CHECK int scan_sites(struct site **out, size_t *count, const struct elf *elf, uint64_t bias);

#endif /* LYCH_ENGINE_H */
