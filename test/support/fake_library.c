/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../../gate/core/keys.h"
#include "../../gate/library/calls.h"
#include "../../gate/library/files.h"
#include "../../gate/library/rules.h"
#include "../../gate/memory/memory.h"

#include "../../gate/core/asm.h"
#include "fake_library.h"

#define CALLS 512

static struct library library;
static struct lych_domain domain;
static struct rules rules;
static struct thread *self;
static char *whole;
static _Atomic unsigned int refused[CALLS], refused_all, asked;
static _Atomic bool interrupt;
static struct fake_memory_call memory;
static long memory_says = 4096;

/* ---- the runtime's -------------------------------------------------------------------------- */

long lych_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	int before = errno;
	long result = syscall(nr, a, b, c, d, e, f);

	if (result == -1) {
		result = -errno;
		errno = before;
	}
	return result;
}

long view_call(const long call[7])
{
	return lych_syscall(call[0], call[1], call[2], call[3], call[4], call[5], call[6]);
}

void *monitor_alloc(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at != MAP_FAILED ? at : NULL;
}

void monitor_free(void *at, size_t bytes)
{
	if (at != NULL) {
		munmap(at, bytes);
	}
}

uint32_t vault_open(const struct lych_domain *d)
{
	(void)d;
	return 0;
}

void vault_close(const struct lych_domain *d, uint32_t before)
{
	(void)d;
	(void)before;
}

void mediator_no_memory(struct lych_domain *d, uint64_t bytes)
{
	atomic_store(&d->no_memory_bytes, bytes);
	atomic_fetch_add(&d->no_memory, 1);
}

void mediator_refused(struct lych_domain *d, const struct mediated *call)
{
	(void)d;
	refused_all++;
	if (call->nr >= 0 && call->nr < CALLS) {
		refused[call->nr]++;
	}
}

bool answer_interrupted(struct library *l, struct thread *t)
{
	(void)l;
	(void)t;
	asked++;
	return interrupt;
}

int context_tid(struct library *l, const struct thread *t)
{
	(void)l;
	(void)t;
	return (int)syscall(SYS_gettid);
}

/* ---- library.h ------------------------------------------------------------------------------ */

long inside_read(const struct library *l, void *to, uint64_t at, uint64_t bytes)
{
	struct iovec local = {to, bytes}, remote = {(void *)(uintptr_t)at, bytes};

	if (!library_holds(l, at, bytes)) {
		return -EFAULT;
	}
	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)bytes ? 0 : -EFAULT;
}

long inside_write(const struct library *l, uint64_t at, const void *from, uint64_t bytes)
{
	struct iovec local = {(void *)(uintptr_t)from, bytes}, remote = {(void *)(uintptr_t)at, bytes};

	if (!library_holds(l, at, bytes)) {
		return -EFAULT;
	}
	return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)bytes ? 0 : -EFAULT;
}

long inside_text(const struct library *l, char *to, uint64_t at, size_t max)
{
	for (size_t i = 0; i < max; i++) {
		if (inside_read(l, to + i, at + i, 1) != 0) {
			return -EFAULT;
		}
		if (to[i] == '\0') {
			return (long)i;
		}
	}
	return -ENAMETOOLONG;
}

/* ---- arena.h: only written down --------------------------------------------------------------- */

static long told(const char *name, uint64_t a, uint64_t b, uint64_t c, uint64_t d, long fd, uint64_t e)
{
	struct stat st = {0};

	memory = (struct fake_memory_call){name, {a, b, c, d, e}, fd, 0};
	if (fd >= 0 && fstat(fd, &st) == 0) {
		memory.ino = st.st_ino;
	}
	return memory_says;
}

void fake_memory_says(long result)
{
	memory_says = result;
}

uint64_t fake_no_memory(uint64_t *bytes)
{
	*bytes = atomic_load(&domain.no_memory_bytes);
	return atomic_exchange(&domain.no_memory, 0);
}

long arena_mmap(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot, uint64_t flags, long fd, uint64_t offset)
{
	(void)l;
	return told("mmap", at, bytes, prot, flags, fd, offset);
}

long library_code(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot, uint64_t flags, long fd,
		  uint64_t offset)
{
	(void)l;
	return told("code", at, bytes, prot, flags, fd, offset);
}

long arena_mremap(struct library *l, uint64_t at, uint64_t old_bytes, uint64_t new_bytes, uint64_t flags,
		  uint64_t new_at)
{
	(void)l;
	return told("mremap", at, old_bytes, new_bytes, flags, -1, new_at);
}

#define TOLD_3(name)                                                                               \
	long arena_##name(struct library *l, uint64_t a, uint64_t b, uint64_t c)                   \
	{                                                                                          \
		(void)l;                                                                           \
		return told(#name, a, b, c, 0, -1, 0);                                             \
	}
#define TOLD_2(name)                                                                               \
	long arena_##name(struct library *l, uint64_t a, uint64_t b)                               \
	{                                                                                          \
		(void)l;                                                                           \
		return told(#name, a, b, 0, 0, -1, 0);                                             \
	}
TOLD_2(munmap)
TOLD_3(mprotect)
TOLD_3(madvise)
TOLD_3(mincore)
TOLD_3(msync)
TOLD_2(mlock)
TOLD_2(munlock)

long arena_brk(struct library *l, uint64_t at)
{
	(void)l;
	return told("brk", at, 0, 0, 0, -1, 0);
}

/* ---- fake_library.h ------------------------------------------------------------------------- */

int fake_library_new(const char *policy, const char *search, unsigned int fds, char *why, size_t why_bytes)
{
	if (whole == NULL) {
		/* page of ours, the arena, page of ours */
		whole = mmap(NULL, FAKE_ARENA_BYTES + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		self = calloc(1, sizeof(*self));
		if (whole == MAP_FAILED || self == NULL) {
			abort();
		}
	}
	library = (struct library){.domain = &domain,
				   .start = (uintptr_t)whole + 4096,
				   .end = (uintptr_t)whole + 4096 + FAKE_ARENA_BYTES,
				   .rules = &rules};
	memset(fake_arena(), 0, FAKE_ARENA_BYTES - 8192);
	mprotect(fake_arena_end() - 4096, 4096, PROT_NONE);
	mprotect(fake_arena_end() - 8192, 4096, PROT_READ);
	memset((void *)refused, 0, sizeof(refused));
	refused_all = asked = 0;
	interrupt = false;
	int rc = rules_parse(&rules, policy, why, why_bytes);
	return rc == 0 ? files_new(&library, fds, search, why, why_bytes) : rc;
}

void fake_library_free(void)
{
	files_free(&library);
}

char *fake_arena(void)
{
	return whole + 4096;
}

char *fake_arena_end(void)
{
	return fake_arena() + FAKE_ARENA_BYTES;
}

static struct mediated made(long nr, const uint64_t arg[6])
{
	struct mediated call = {.nr = nr, .arch = AUDIT_ARCH_X86_64};

	memcpy(call.arg, arg, sizeof(call.arg));
	return call;
}

long fake_call_end(enum fake_end *end, long nr, const uint64_t arg[6])
{
	const struct mediated call = made(nr, arg);
	long result = 0x5a5a5a5a;
	enum mediated_end how = calls_answer(&library, self, &call, &result);

	if (end != NULL) {
		*end = how == MEDIATED_RESULT ? FAKE_RESULT
		       : how == MEDIATED_EXIT ? FAKE_EXIT
		       : how == MEDIATED_ABORT ? FAKE_ABORT
					       : FAKE_OTHER;
	}
	return result;
}

bool fake_call_quick(long nr, const uint64_t arg[6], long *result)
{
	const struct mediated call = made(nr, arg);

	return calls_quick(&library, self, &call, result);
}

long fake_call_foreign(long nr)
{
	const struct mediated call = {.nr = nr, .arch = AUDIT_ARCH_I386};
	long result = 0x5a5a5a5a;

	(void)calls_answer(&library, self, &call, &result);
	return result;
}

unsigned int fake_refused(long nr)
{
	return refused[nr];
}

unsigned int fake_refused_all(void)
{
	return refused_all;
}

void fake_loading(bool on)
{
	files_loading(&library, on);
}

void fake_snapshot(void)
{
	files_snapshot(&library);
}

void fake_restore(void)
{
	files_restore(&library);
}

void fake_interrupt(bool on)
{
	interrupt = on;
}

unsigned int fake_asked(void)
{
	return asked;
}

size_t fake_learned(char *out, size_t bytes)
{
	return rules_print(&rules, out, bytes);
}

const struct fake_memory_call *fake_memory(void)
{
	return &memory;
}

unsigned int fake_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (dir != NULL && readdir(dir) != NULL) {
		n++;
	}
	closedir(dir);
	return n - 3;
}
