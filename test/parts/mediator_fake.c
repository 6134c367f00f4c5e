/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/audit.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "asm.h"
#include "keys.h"
#include "mediator.h"
#include "mediator_fake.h"
#include "memory.h"
#include "thread.h"

union lych_root_page lych_root_page;

static struct lych_domain domain;
static struct area area;
static struct record record;
static uint64_t own_at, own_bytes, keyed_page, masked;
static int keyed_with;

struct lych_domain *fake_domain(enum fake_kind kind, void *own, size_t bytes)
{
	uint32_t key0 = kind == FAKE_CONTAIN ? 0 : kind == FAKE_PURE ? VIEW_WD(0) : VIEW_AD(0);

	if (domain.policy != NULL) {
		mediator_domain_free(&domain);
	}
	memset(&domain, 0, sizeof(domain));
	memset(&record, 0, sizeof(record));
	memset(&area, 0, sizeof(area));
	ROOT.backend = LYCH_MPROTECT;
	ROOT.monitor_key = 1;
	ROOT.gate_key = 2;
	domain.id = 4;
	domain.key = 3;
	domain.not_view = ~((VIEW_DENY_ALL & ~VIEW_BITS(0) & ~VIEW_BITS(3)) | key0);
	record.kind = KIND_CALL;
	record.call_id = 4;
	record.domain = &domain;
	area.thread.top = &record;
	area.thread.tid = (int)syscall(SYS_gettid);
	own_at = (uintptr_t)own;
	own_bytes = bytes;
	keyed_page = 0;
	masked = 0;
	return mediator_domain_new(&domain) == 0 ? &domain : NULL;
}

void fake_key(const void *page, int key)
{
	keyed_page = (uintptr_t)page;
	keyed_with = key;
}

void fake_cancel(int err)
{
	record.cancel = err;
}

void fake_poison(void)
{
	domain.id = 0;
}

void fake_deadline(uint64_t ns)
{
	record.deadline_ns = ns;
}

void fake_mask(uint64_t mask)
{
	masked = mask;
}

struct fake_answer fake_call(long nr, const uint64_t arg[6])
{
	struct mediated call = {.nr = nr, .arch = AUDIT_ARCH_X86_64, .rip = 0x1234, .mask = masked};
	struct fake_answer answer = {.result = 0x55aa55aa};

	memcpy(call.arg, arg, sizeof(call.arg));
	answer.end = (int)mediator_call(&domain, &area.thread, &call, &answer.result);
	return answer;
}

struct fake_answer fake_foreign_call(long nr)
{
	struct mediated call = {.nr = nr, .arch = AUDIT_ARCH_I386, .rip = 0x1234};
	struct fake_answer answer = {.result = 0x55aa55aa};

	answer.end = (int)mediator_call(&domain, &area.thread, &call, &answer.result);
	return answer;
}

/* ---- the neighbours ------------------------------------------------------------------------- */

long lych_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	long rc = syscall(nr, a, b, c, d, e, f);

	return rc == -1 ? -errno : rc;
}

uint32_t lych_pkru_update_pku(uint32_t clear, uint32_t set)
{
	(void)clear;
	(void)set;
	__builtin_trap(); /* there are no keys in this test */
}

bool memory_contains(struct lych_domain *d, struct thread *t, uint64_t at, uint64_t bytes)
{
	(void)t;
	return d == &domain && at >= own_at && at - own_at < own_bytes && bytes <= own_bytes - (at - own_at);
}

enum rights view_rights(uint32_t view, int key)
{
	return view & VIEW_AD(key) ? RIGHTS_NONE : view & VIEW_WD(key) ? RIGHTS_READ : RIGHTS_WRITE;
}

int ledger_key_of(const void *at)
{
	uintptr_t page = (uintptr_t)at & ~(uintptr_t)(LYCH_PAGE - 1);

	if (keyed_page != 0 && page == keyed_page) {
		return keyed_with;
	}
	return page >= own_at && page < own_at + own_bytes ? 3 : -1;
}

void *monitor_alloc(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

void monitor_free(void *at, size_t bytes)
{
	munmap(at, bytes);
}

int thread_self(struct thread **out)
{
	*out = &area.thread;
	return 0;
}

void *heap_alloc(struct lych_domain *d, size_t align, size_t bytes)
{
	return d == &domain && align == 16 && bytes <= own_bytes ? (void *)(uintptr_t)own_at : NULL;
}

int heap_free(struct lych_domain *d, void *block)
{
	return d == &domain && (uintptr_t)block == own_at ? 0 : -EINVAL;
}
