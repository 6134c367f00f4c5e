/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server does with an upload: find out what it is, and let the library for it read it, each in a library domain of
 * its own. Not thread-safe: one upload at a time.
 */
#ifndef MEDIA_H
#define MEDIA_H

#include <lychgate/lychgate.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum media_way {
	MEDIA_DOMAIN, /* each library in a domain */
	MEDIA_NONE,   /* LYCH_NONE: the libraries are called directly, in the server itself */
	MEDIA_FORK,   /* the same, in a child for each upload */
};

enum media_wish {
	MEDIA_INSPECT, /* what it is */
	MEDIA_PICTURE, /* PNG, at most MEDIA_EDGE wide and high: of a picture, or of the wave of a sound */
	MEDIA_SOUND,   /* WAV, of a sound */
};

#define MEDIA_EDGE 128
#define MEDIA_PIXELS (16u << 20)  /* the most that a picture may have */
#define MEDIA_SAMPLES (16u << 20) /* and a sound, of all channels */

enum media_end {
	MEDIA_DONE,
	MEDIA_UNKNOWN, /* no format that is known here, or one that cannot become what was wished for */
	MEDIA_REFUSED, /* the library says that it is broken, or it is too large */
	MEDIA_FAULT,   /* the library did what it must not, or gave back what cannot be */
	MEDIA_LATE,    /* it was not ready in time */
	MEDIA_FAILED,  /* something of the server's own */
};

struct media_result {
	enum media_end end;
	const char *format;          /* "png"; NULL: unknown */
	uint32_t width, height;      /* of a picture */
	uint32_t rate, channels;     /* of a sound */
	uint64_t frames;             /* samples of each channel; 0: not counted */
	char text[160];              /* what the file says about itself: printable ASCII */
	char why[192];               /* why it is not MEDIA_DONE: printable ASCII */
	char *report;                /* MEDIA_FAULT, MEDIA_LATE: what the runtime tells; malloc'ed, or NULL */
	uint8_t *out;                /* the PNG or WAV; malloc'ed, or NULL */
	size_t out_bytes;
};

struct media_opts {
	enum media_way way;
	uint32_t deadline_ms; /* for all calls of an upload together */
	uint32_t reset_every; /* a domain is reset after so many uploads it took part in; 0: when it faulted only */
};

/* media_start starts the runtime and opens the libraries. 0, or -errno with a reason in lych_why(). */
int media_start(const struct media_opts *opts);
/* Fills *result, which the caller ends with media_forget. file is the server's own memory. */
void media_do(const uint8_t *file, size_t bytes, enum media_wish wish, struct media_result *result);
void media_forget(struct media_result *result);
/* How often a domain was reset since media_start. */
uint64_t media_resets(void);
/* The domain that reads "png" and so on; NULL: there is none. */
struct lych_domain *media_domain(const char *format);
/* Closes the libraries. 0, or the first error of lych_domain_free. */
int media_stop(void);

/* "domain", "none", "fork"; "done", "unknown", ... */
const char *media_way_name(enum media_way way);
const char *media_end_name(enum media_end end);

#ifdef __cplusplus
}
#endif

#endif
