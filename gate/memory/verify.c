/* SPDX-License-Identifier: Apache-2.0 */
/* lych_verify: the ledger against the kernel. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../core/asm.h"
#include "../core/keys.h"
#include "../core/thread.h"
#include "../library/arena.h"
#include "smaps.h"

/* Differences are kept until the ledger is let go: the caller's function may use the library. More than these are
 * only counted. */
#define KEPT_MAX 4096

struct findings {
	struct difference *kept;
	size_t count;
};

static void keep(const struct difference *difference, void *ctx)
{
	struct findings *f = ctx;

	if (f->count < KEPT_MAX) {
		f->kept[f->count] = *difference;
	}
	f->count++;
}

static int read_all(int fd, struct smaps_parser *parser)
{
	char text[4096];

	for (;;) {
		long got = sys3(SYS_read, fd, text, sizeof(text));
		int rc;

		if (got == -EINTR) {
			continue;
		}
		if (got <= 0) {
			return got < 0 ? -ENOENT : smaps_end(parser);
		}
		rc = smaps_feed(parser, text, (size_t)got);
		if (rc != 0) {
			return rc;
		}
	}
}

/* While the ledger stands still. What was wrong goes to f. */
static int compare_with_kernel(int fd, struct findings *f)
{
	struct smaps_check check = {
		.has_keys = ROOT.backend == LYCH_PKU,
		.our_keys = keys_ours(),
		.found = keep,
		.ctx = f,
	};
	struct smaps_parser parser;
	int rc;

	check.ranges = ledger_ranges(&check.count);
	smaps_begin(&parser, smaps_check_mapping, &check);
	rc = read_all(fd, &parser);
	if (rc == 0) {
		smaps_check_end(&check);
	}
	return rc;
}

static void tell(const struct difference *d, void (*fn)(const char *line, void *ctx), void *ctx)
{
	char owner[64], want_owner[64], line[DIFFERENCE_TEXT];

	keys_owner_name(d->key, owner, sizeof(owner));
	keys_owner_name(d->want_key, want_owner, sizeof(want_owner));
	fn(difference_text(d, owner, want_owner, line), ctx);
}

int lych_verify(void (*fn)(const char *line, void *ctx), void *ctx)
{
	struct findings f = {0};
	struct thread *self;
	int fd, rc;

	if (NONE != NULL) {
		return 0;
	}
	rc = thread_self(&self);
	if (rc != 0) {
		return rc;
	}
	f.kept = mmap(NULL, KEPT_MAX * sizeof(*f.kept), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f.kept == MAP_FAILED) {
		return -ENOMEM;
	}
	fd = (int)sys4(SYS_openat, AT_FDCWD, "/proc/self/smaps", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0) {
		rc = -ENOENT;
		goto out;
	}
	/* Pages of arenas are without their key for a moment whenever their code maps something. */
	monitor_lock();
	arenas_freeze();
	ledger_freeze();
	rc = compare_with_kernel(fd, &f);
	ledger_thaw();
	arenas_thaw();
	monitor_unlock();
	sys1(SYS_close, fd);
	if (rc != 0) {
		goto out;
	}
	for (size_t i = 0; fn != NULL && i < f.count && i < KEPT_MAX; i++) {
		tell(&f.kept[i], fn, ctx);
	}
	rc = f.count > INT32_MAX ? INT32_MAX : (int)f.count;
out:
	munmap(f.kept, KEPT_MAX * sizeof(*f.kept));
	return rc;
}
