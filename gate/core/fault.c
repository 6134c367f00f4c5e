/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened in a domain. What is cheap is noted inside lych_signal (fault_note); the mapping and the backtrace are
 * made when the call is over, on the caller's stack (lych_gate_failed).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "../library/library.h"
#include "../memory/memory.h"
#include "fault_slot.h"
#include "handlers.h"
#include "keys.h"
#include "sigframe.h"
#include "thread.h"

#ifndef SEGV_PKUERR
#define SEGV_PKUERR 4
#endif
#define TRAP_PAGE_FAULT 14
#define ERR_WRITE 2u
#define ERR_FETCH 16u

static struct fault_slot *slot_of(const struct lych_domain *domain)
{
	return &ROOT.monitor->handlers->faults[domain - ROOT.monitor->domains];
}

static void copy_text(char *to, size_t bytes, const char *from)
{
	size_t i = 0;

	for (; from != NULL && from[i] != '\0' && i + 1 < bytes; i++) {
		to[i] = from[i];
	}
	to[i] = '\0';
}

void fault_clear(struct lych_domain *domain)
{
	struct fault_slot *slot = slot_of(domain);

	memset(&slot->fault, 0, sizeof(slot->fault));
	memset(slot->secret_gpr, 0, sizeof(slot->secret_gpr));
	slot->fault.key = -1;
	atomic_store(&slot->reporter, 0);
	domain->fault = slot;
}

void fault_no_reporter(struct lych_domain *domain)
{
	struct fault_slot *slot = slot_of(domain);

	memset(slot->secret_gpr, 0, sizeof(slot->secret_gpr));
	atomic_store(&slot->reporter, 0);
}

static enum lych_access access_of(const struct kernel_sigcontext *mc)
{
	if (mc->trapno != TRAP_PAGE_FAULT) {
		return LYCH_ACCESS_UNKNOWN;
	}
	if ((mc->err & ERR_FETCH) != 0) {
		return LYCH_ACCESS_EXEC;
	}
	return (mc->err & ERR_WRITE) != 0 ? LYCH_ACCESS_WRITE : LYCH_ACCESS_READ;
}

void fault_classify(struct lych_fault *out, struct lych_domain *domain, const struct sigframe *frame)
{
	const siginfo_t *info = &frame->info;

	out->signal = info->si_signo;
	out->code = info->si_code;
	out->key = -1;
	out->access = LYCH_ACCESS_UNKNOWN;
	out->address = (uint64_t)info->si_addr;
	switch (info->si_signo) {
	case SIGSEGV:
		out->access = access_of(&frame->uc.mc);
		out->kind = LYCH_FAULT_SEGV;
		if (info->si_code == SEGV_PKUERR) {
			out->kind = LYCH_FAULT_KEY;
			out->key = (int)info->si_pkey;
		} else if (ROOT.backend == LYCH_MPROTECT && info->si_code == SEGV_ACCERR) {
			out->key = ledger_key_of(info->si_addr);
			out->kind = out->key >= 0 ? LYCH_FAULT_KEY : LYCH_FAULT_SEGV;
		}
		if (memory_is_stack_guard(domain, out->address) ||
		    (domain->library != NULL && library_is_stack_guard(domain->library, out->address, frame->uc.mc.rsp))) {
			out->kind = LYCH_FAULT_STACK;
		}
		break;
	case SIGBUS:
		out->access = access_of(&frame->uc.mc);
		out->kind = LYCH_FAULT_BUS;
		break;
	case SIGILL:
		out->kind = LYCH_FAULT_ILL;
		break;
	case SIGFPE:
		out->kind = LYCH_FAULT_FPE;
		break;
	case SIGTRAP:
		out->kind = LYCH_FAULT_TRAP;
		break;
	default: /* SIGSYS of the floor: it asked for what no policy allows */
		out->kind = LYCH_FAULT_ABORT;
		out->address = 0;
		break;
	}
}

/* Those of a vault stay with it, but for rip: for the way there through a library they are kept until it has been found. */
static void fault_registers(struct fault_slot *slot, const struct lych_domain *domain, const struct sigframe *frame)
{
	struct lych_fault *out = &slot->fault;
	const struct kernel_sigcontext *mc = &frame->uc.mc;
	const uint64_t gpr[16] = {mc->rax, mc->rbx, mc->rcx, mc->rdx, mc->rsi, mc->rdi, mc->rbp, mc->rsp,
				  mc->r8,  mc->r9,  mc->r10, mc->r11, mc->r12, mc->r13, mc->r14, mc->r15};

	out->rip = mc->rip;
	if (domain->kind == LYCH_KIND_VAULT) {
		if (domain->library != NULL) {
			memcpy(slot->secret_gpr, gpr, sizeof(gpr));
		}
		return;
	}
	out->rsp = mc->rsp;
	out->rflags = mc->rflags;
	memcpy(out->gpr, gpr, sizeof(gpr));
}

void fault_note(struct area *area, const struct sigframe *frame, enum lych_fault_kind kind)
{
	struct record *call = area->thread.top;
	struct lych_domain *domain = call->domain;
	struct fault_slot *slot = slot_of(domain);
	int tid = atomic_load(&area->thread.tid);
	int nobody = 0;
	struct lych_fault *fault = &slot->fault;

	__atomic_fetch_add(&fault->count, 1, __ATOMIC_RELAXED);
	if (!atomic_compare_exchange_strong(&slot->reporter, &nobody, tid) && nobody != tid) {
		return;
	}
	memset(fault, 0, offsetof(struct lych_fault, count));
	memset(slot->secret_gpr, 0, sizeof(slot->secret_gpr));
	fault->key = -1;
	fault->tid = tid;
	copy_text(fault->domain, sizeof(fault->domain), domain->name);
	copy_text(fault->function, sizeof(fault->function), call->binding != NULL ? call->binding->name : "");
	fault->refused = atomic_load(&domain->refused);
	if (fault->refused != 0) {
		uint64_t last = atomic_load(&domain->last_refused);
		fault->last_refused = (int32_t)(uint32_t)last;
		fault->last_foreign = (last & REFUSED_FOREIGN) != 0;
	}
	fault->no_memory = atomic_load(&domain->no_memory);
	fault->no_memory_bytes = atomic_load(&domain->no_memory_bytes);
	if (frame != NULL) {
		fault_registers(slot, domain, frame);
	}
	/* Of the others the signal is the kick, or none. */
	if (frame != NULL && kind != LYCH_FAULT_DEADLINE && kind != LYCH_FAULT_CANCELED) {
		fault_classify(fault, domain, frame);
	}
	if (kind != LYCH_FAULT_NONE) {
		fault->kind = kind;
	}
	if (kind == LYCH_FAULT_EXIT || kind == LYCH_FAULT_ABORT) {
		fault->address = 0; /* of the system call's instruction: rip says that */
	}
	if (fault->key >= 0) {
		keys_owner_name(fault->key, fault->owner, sizeof(fault->owner));
	}
}

/* ---- after the call ---------------------------------------------------------------------------- */

bool fault_mapping_line(const char *line, uint64_t address, char *out, size_t bytes)
{
	char *end;
	uint64_t from = strtoull(line, &end, 16);
	uint64_t to;
	size_t i = 0;

	if (end == line || *end != '-') {
		return false;
	}
	line = end + 1;
	to = strtoull(line, &end, 16);
	if (end == line || *end != ' ' || address < from || address >= to) {
		return false;
	}
	for (line = end + 1; line[i] != '\0' && line[i] != '\n' && i + 1 < bytes; i++) {
		out[i] = line[i];
	}
	out[i] = '\0';
	return true;
}

bool fault_mapping_of(uint64_t address, char *out, size_t bytes)
{
	char text[4096 + 512]; /* one line with the longest path, and a bit */
	size_t have = 0;
	long fd = sys4(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0) {
		return false;
	}
	for (;;) {
		long got = sys3(SYS_read, fd, text + have, sizeof(text) - 1 - have);
		char *line = text;
		char *newline;

		if (got == -EINTR) {
			continue;
		}
		if (got <= 0) {
			break;
		}
		have += (size_t)got;
		text[have] = '\0';
		while ((newline = strchr(line, '\n')) != NULL) {
			if (fault_mapping_line(line, address, out, bytes)) {
				sys1(SYS_close, fd);
				return true;
			}
			line = newline + 1;
		}
		have -= (size_t)(line - text);
		memmove(text, line, have);
		if (have == sizeof(text) - 1) {
			have = 0; /* no line of maps is that long */
		}
	}
	sys1(SYS_close, fd);
	return false;
}

struct whose {
	struct lych_domain *domain;
	struct thread *thread;
};

static bool is_of_domain(void *ctx, uint64_t at, uint64_t bytes)
{
	struct whose *whose = ctx;

	return memory_contains(whose->domain, whose->thread, at, bytes);
}

/* Of what this thread has noted: what takes time. Of the others, who may still be inside, one may count his own. */
static void report(struct fault_slot *slot, struct lych_domain *domain, struct lych_fault *fault)
{
	struct whose whose = {domain, &lych_tls->thread};

	memcpy(fault, &slot->fault, offsetof(struct lych_fault, count));
	if (fault->address != 0) {
		(void)fault_mapping_of(fault->address, fault->mapping, sizeof(fault->mapping));
	}
	if (slot->secret_gpr[7] != 0) {
		memcpy(fault->gpr, slot->secret_gpr, sizeof(fault->gpr));
		explicit_bzero(slot->secret_gpr, sizeof(slot->secret_gpr));
		library_backtrace(domain->library, fault);
		explicit_bzero(fault->gpr, sizeof(fault->gpr));
	} else if (fault->gpr[7] != 0 && domain->library != NULL) {
		library_backtrace(domain->library, fault);
	} else if (fault->gpr[7] != 0) {
		fault_backtrace(fault, is_of_domain, &whose);
	}
	memcpy(slot->fault.mapping, fault->mapping, sizeof(fault->mapping));
	memcpy(slot->fault.frames, fault->frames, sizeof(fault->frames));
	slot->fault.nframes = fault->nframes;
	fault->count = __atomic_load_n(&slot->fault.count, __ATOMIC_RELAXED);
	atomic_store(&slot->reporter, 0);
}

int lych_gate_failed(struct lych_domain *domain, int status)
{
	struct thread *t = &lych_tls->thread;
	struct fault_slot *slot = slot_of(domain);
	/* else another thread reports what has ended it */
	bool mine = atomic_load(&slot->reporter) == atomic_load(&t->tid);
	struct lych_fault fault;
	int saved = errno;

	if (mine) {
		report(slot, domain, &fault);
	}
	/* Whoever waits for this call may go on: from here on the domain may be gone. */
	__atomic_store_n(&t->top, t->top - 1, __ATOMIC_SEQ_CST);
	if (mine && ROOT.on_fault != NULL) {
		ROOT.on_fault(&fault, ROOT.on_fault_ctx);
	}
	errno = saved;
	return status;
}

const struct lych_fault *lych_fault(struct lych_domain *domain)
{
	static const struct lych_fault none = {.key = -1};
	struct thread *self;

	/* The slot is in monitor memory: the caller needs the host's rights, which attaching gives. */
	return domain != NULL && thread_self(&self) == 0 ? &slot_of(domain)->fault : &none;
}
