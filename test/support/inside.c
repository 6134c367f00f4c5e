/* SPDX-License-Identifier: Apache-2.0 */
#include "inside.h"

#include <asm/prctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <x86intrin.h>

#include "asm.h"
#include "keys.h"
#include "ranges.h"
#include "signal_context.h"
#include "signal_levels.h"
#include "thread.h"

extern LYCH_HIDDEN const char lych_gate_soft[], lych_gate_soft_text_end[];

void inside_look(struct inside *s)
{
	struct area *a = lych_tls;
	bool pku = ROOT.backend == LYCH_PKU;
	uint16_t fcw;

	memset(s, 0, sizeof(*s));
	s->fs = (uint64_t)__builtin_thread_pointer();
	sys2(SYS_arch_prctl, ARCH_GET_GS, &s->gs);
	s->mxcsr = _mm_getcsr();
	__asm__ volatile("fnstcw %0" : "=m"(fcw));
	s->fcw = fcw;
	s->hostile_flags = __readeflags() & FLAGS_HOSTILE;
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &s->kernel_mask, 8);
	if (a == NULL) {
		return;
	}
	s->area = (uint64_t)a;
	s->pkru = pku ? lych_pkru_read_pku() : lych_pkru_read_soft();
	s->not_want = a->gate.not_want;
	s->not_host = a->gate.not_host;
	s->not_caller = a->gate.not_caller;
	s->not_view = a->gate.not_view;
	s->selector = a->gate.selector;
	s->top = (uint64_t)(a->thread.top - a->thread.records);
	s->level = a->thread.level;
	s->altstack = a->thread.altstack;
	s->altstack_bytes = a->thread.altstack_bytes;
	s->sig_rsp = a->thread.sig_rsp;
	s->sig_stack = a->thread.sig_stack;
	s->records = (uint64_t)a->thread.records;
	s->page_sound = a->gate.magic == GATE_MAGIC_VALUE && (pku ? a->gate.self : a->gate.self_soft) == (uint64_t)a;
	s->frames_whole = ROOT.frames_whole;
}

const char *inside_differences(const struct inside *x, const struct inside *y)
{
	static char text[1024];
	size_t len = 0;

	text[0] = '\0';
#define COMPARE(member) \
	do { \
		if (x->member != y->member && len < sizeof(text) - 80) { \
			len += (size_t)snprintf(text + len, 80, #member " was %#llx, is %#llx; ", \
						(unsigned long long)x->member, (unsigned long long)y->member); \
		} \
	} while (0)
	COMPARE(area);
	COMPARE(gs);
	COMPARE(fs);
	COMPARE(pkru);
	COMPARE(not_want);
	COMPARE(not_host);
	COMPARE(selector);
	COMPARE(top);
	COMPARE(level);
	COMPARE(altstack);
	COMPARE(sig_rsp);
	COMPARE(mxcsr);
	COMPARE(fcw);
	COMPARE(hostile_flags);
	COMPARE(kernel_mask);
	COMPARE(page_sound);
	return text;
}

bool inside_interrupted_domain(void)
{
	struct thread *t = thread_attached();

	return t != NULL && t->level > 0 && level_at(t, t->level - 1)->domain_context;
}

unsigned int inside_threads(void)
{
	unsigned int count = 0;

	for (size_t i = 0; i < THREADS_MAX; i++) {
		count += atomic_load(&ROOT.monitor->threads[i]) != NULL;
	}
	return count;
}

unsigned int inside_calls(uint64_t area, const struct lych_domain *domain)
{
	const struct thread *t = &((const struct area *)area)->thread;
	unsigned int count = 0;

	for (const struct record *r = &t->records[1]; r <= t->top; r++) {
		count += r->kind == KIND_CALL && r->domain == domain;
	}
	return count;
}

uint64_t inside_monitor_bytes(void)
{
	uint64_t bytes = 0;
	size_t count;

	ledger_freeze();
	const struct key_range *ranges = ledger_ranges(&count);
	for (size_t i = 0; i < count; i++) {
		bytes += ranges[i].key == (int)ROOT.monitor_key ? ranges[i].end - ranges[i].at : 0;
	}
	ledger_thaw();
	return bytes;
}

const struct inside_table *inside_tables(const struct lych_domain *domain)
{
	static struct inside_table tables[10];

	tables[0] = (struct inside_table){"thunks", ROOT.thunks};
	tables[1] = (struct inside_table){"callbacks", domain->callbacks};
	tables[2] = (struct inside_table){"domains", ROOT.monitor->domains};
	tables[3] = (struct inside_table){"keys", ROOT.monitor->keys};
	tables[4] = (struct inside_table){"ledger", ROOT.monitor->ledger};
	tables[5] = (struct inside_table){"handlers", ROOT.monitor->handlers};
	tables[6] = (struct inside_table){"threads", (void *)ROOT.monitor->threads};
	tables[7] = (struct inside_table){"policy", domain->policy};
	tables[8] = (struct inside_table){"memory", domain->memory};
	return tables;
}

uint32_t inside_view_of(const struct lych_domain *domain)
{
	return ~domain->not_view;
}

int inside_key_of(const struct lych_domain *domain)
{
	return (int)domain->key;
}

bool inside_rights(uint32_t pkru, int key)
{
	return view_rights(pkru, key) != RIGHTS_NONE;
}

uint32_t inside_keys(void)
{
	return keys_ours();
}

void inside_lock(void)
{
	pthread_mutex_lock(&ROOT.monitor->lock);
}

void inside_unlock(void)
{
	pthread_mutex_unlock(&ROOT.monitor->lock);
}

bool inside_attaching(int tid)
{
	for (size_t i = 0; i < ATTACHING_MAX; i++) {
		if (atomic_load(&ROOT.monitor->attaching[i]) == tid) {
			return true;
		}
	}
	return false;
}

int inside_new_owner(int key)
{
	int next = 0, rc;

	keys_give_back(key);
	rc = keys_take(&next, OWNER_REGION, "next");
	return rc == 0 ? next : rc;
}

uint64_t inside_gate_text(void)
{
	return (uint64_t)lych_gate_text;
}

uint64_t inside_gate_text_end(void)
{
	return (uint64_t)lych_gate_text_end;
}

uint64_t inside_view_call(void)
{
	return (uint64_t)lych_view_call;
}

bool inside_gate_thunks(uint64_t at)
{
	uint64_t pointers = (uint64_t)lych_pointer_thunks, callbacks = (uint64_t)lych_callback_thunks_pku;

	return (at >= pointers + 32 && at < pointers + (uint64_t)16 * LYCH_THUNKS) ||
	       (at >= callbacks + 32 && at < callbacks + (uint64_t)16 * LYCH_CALLBACK_THUNKS);
}

uint64_t inside_follow(void)
{
	return (uint64_t)signal_follow;
}

uint64_t inside_follow_end(void)
{
	return (uint64_t)deadlines_follow;
}

void inside_disarm(void)
{
	thread_timer(thread_attached(), 0);
}

int64_t inside_timer_ms(void)
{
	struct itimerspec left = {0};

	sys2(SYS_timer_gettime, thread_attached()->timer, &left);
	return left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0
		       ? -1
		       : (int64_t)left.it_value.tv_sec * 1000 + left.it_value.tv_nsec / 1000000;
}

bool inside_in_gate(uint64_t at)
{
	return (at >= (uint64_t)lych_gate_text && at < (uint64_t)lych_gate_text_end) ||
	       (at >= (uint64_t)lych_gate_soft && at < (uint64_t)lych_gate_soft_text_end);
}

bool inside_in_entry(uint64_t at)
{
	return (at >= (uint64_t)lych_signal_entry_pku && at < (uint64_t)lych_signal_entry_end_pku) ||
	       (at >= (uint64_t)lych_signal_entry_soft && at < (uint64_t)lych_signal_entry_end_soft);
}

uint64_t inside_resume(void)
{
	return (uint64_t)lych_resume_pku;
}

uint64_t inside_resume_end(void)
{
	return (uint64_t)lych_resume_pku_end;
}

uint64_t inside_entry(void)
{
	return (uint64_t)lych_signal_entry_pku;
}

void *inside_root_page(void)
{
	return &lych_root_page;
}

uint64_t inside_trap(void)
{
	return (uint64_t)lych_traps;
}
