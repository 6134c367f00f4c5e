/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many mappings the kernel has of an arena. A process has about 65,000 of them, the host's among them, and what
 * is one area in our table may be many for the kernel: it does not merge what was written to while it was apart.
 */
#include <fcntl.h>
#include <sys/syscall.h>

#include "../memory/smaps.h"
#include "arena_parts.h"

#define READ_BYTES 1024 /* at a time: this runs on the monitor's stack */
#define EACH 2 /* mappings that one call makes more at most, but for those that it takes from the table's room */

struct tally {
	uint64_t start, end;
	uint32_t count;
};

static void tally_one(const struct smaps_mapping *m, void *ctx)
{
	struct tally *t = ctx;

	t->count += m->at < t->end && m->end > t->start;
}

/* false: /proc cannot be read. */
static bool count(const struct library *l, uint32_t *out)
{
	struct tally t = {l->start, l->end, 0};
	struct smaps_parser parser;
	char text[READ_BYTES];
	long fd = sys4(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0), n;
	int rc = 0;

	if (fd < 0) {
		return false;
	}
	smaps_begin(&parser, tally_one, &t);
	while (rc == 0 && (n = sys3(SYS_read, fd, text, sizeof(text))) != 0) {
		rc = n > 0 ? smaps_feed(&parser, text, (size_t)n) : n == -EINTR ? 0 : (int)n;
	}
	sys1(SYS_close, fd);
	rc = rc == 0 ? smaps_end(&parser) : rc;
	*out = t.count;
	return rc == 0;
}

bool arena_has_room(struct library *l)
{
	struct arena *a = l->arena;
	uint32_t n;

	a->changes += EACH;
	if (a->mappings + a->changes <= ARENA_MAPPINGS) {
		return true;
	}
	/* Where /proc is hidden from the program nothing says how many there are, and it could be one. */
	if (!count(l, &n)) {
		return true;
	}
	a->mappings = n;
	a->changes = EACH;
	return n + EACH <= ARENA_MAPPINGS;
}
