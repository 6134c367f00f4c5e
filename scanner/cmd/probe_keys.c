/* SPDX-License-Identifier: Apache-2.0 */
/* The experiments with protection keys themselves, each in a child. See probe_live.c. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe_child.h"

#define KEYS_MAX 16
#define STACK_BYTES (128 * 1024) /* a frame with AVX-512 and AMX is about 12 KiB */
#define FRAME_WRITTEN 42

/* Not through glibc: these are the calls that a filter sees, and nothing of ours may need glibc's
 * pkey_set, which holds a WRPKRU. */
static int sys_pkey_alloc(unsigned long rights)
{
	return (int)syscall(SYS_pkey_alloc, 0UL, rights);
}

static int sys_pkey_mprotect(void *addr, size_t len, int prot, int key)
{
	return (int)syscall(SYS_pkey_mprotect, addr, len, prot, key);
}

static void probe_keys(struct area *area)
{
	long count = 0;

	/* 15 on x86; the bound is against a sandbox that says yes to everything */
	while (count < KEYS_MAX && sys_pkey_alloc(0) >= 0) {
		count++;
	}
	int err = errno;
	if (count == 0) {
		child_errno(area);
	} else {
		area->end.err = err;
		child_ok(area, count);
	}
}

struct outcome live_keys(void)
{
	return child_outcome(probe_keys);
}

/* ---- the self-test -------------------------------------------------------------------------- */

static struct area *volatile test_area;
static char *volatile test_page;
static volatile size_t test_size;

/*
 * Notes the fault and takes the key off the page, so that on return the access is repeated and
 * succeeds; the kernel then restores PKRU from the frame. A second fault is fatal.
 */
static void on_fault(int sig, siginfo_t *info, void *context)
{
	struct selftest *t = &test_area->selftest;

	(void)sig;
	(void)context;
	if (t->faulted) {
		_exit(1);
	}
	t->faulted = true;
	t->fault_code = info->si_code;
	t->fault_key = info->si_code == SEGV_PKUERR ? (int)info->si_pkey : -1;
	t->fault_addr_right = info->si_addr == test_page;
	if (test_area->end.step == SELFTEST_WRITE) {
		child_step(test_area, SELFTEST_RETAG);
	}
	if (sys_pkey_mprotect(test_page, test_size, PROT_READ | PROT_WRITE, 0) != 0) {
		_exit(1);
	}
}

/* The key that smaps shows for addr, or SMAPS_*. */
static int smaps_key(const void *addr)
{
	struct smaps_search search = {.addr = (uintptr_t)addr, .key = SMAPS_SHOWS_NONE};
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];

	if (f == NULL) {
		return SMAPS_UNREADABLE;
	}
	while (search.key == SMAPS_SHOWS_NONE && fgets(line, sizeof(line), f) != NULL) {
		smaps_line(&search, line);
	}
	fclose(f);
	return search.key;
}

static void probe_selftest(struct area *area)
{
	struct selftest *t = &area->selftest;
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	test_area = area;
	test_size = (size_t)sysconf(_SC_PAGESIZE);
	t->key = -1;
	t->smaps_key = SMAPS_UNREADABLE;

	child_step(area, SELFTEST_MAP);
	char *page =
		mmap(NULL, test_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED) {
		child_errno(area);
		return;
	}
	volatile char *byte = page;
	test_page = page;
	*byte = 'a';

	child_step(area, SELFTEST_ALLOC);
	t->key = sys_pkey_alloc(PKEY_DISABLE_WRITE);
	if (t->key < 0) {
		child_errno(area);
		return;
	}
	child_step(area, SELFTEST_TAG);
	if (sys_pkey_mprotect(page, test_size, PROT_READ | PROT_WRITE, t->key) != 0) {
		child_errno(area);
		return;
	}
	child_step(area, SELFTEST_SMAPS);
	t->smaps_key = smaps_key(page);
	sigaction(SIGSEGV, &sa, NULL);

	child_step(area, SELFTEST_READ);
	if (*byte != 'a' || t->faulted) {
		child_wrong(area);
		return;
	}
	child_step(area, SELFTEST_WRITE);
	*byte = 'b';
	if (!t->faulted || *byte != 'b') {
		child_wrong(area);
		return;
	}
	child_step(area, SELFTEST_DONE);
	child_ok(area, 0);
}

void live_selftest(struct selftest *out)
{
	struct area area;

	child_run(&area, probe_selftest);
	*out = area.selftest;
	out->end = area.end;
}

/* ---- signal frames -------------------------------------------------------------------------- */

/*
 * Ends the process with status 42. In assembly, because its stack is memory that it may not
 * touch: a compiler's first push would fault.
 */
void probe_frame_written(int sig);
__asm__(".pushsection .text\n"
	".globl probe_frame_written\n"
	".hidden probe_frame_written\n"
	".type probe_frame_written, @function\n"
	"probe_frame_written:\n"
	"	endbr64\n"
	"	movl $231, %eax\n" /* exit_group */
	"	movl $42, %edi\n"
	"	syscall\n"
	"	ud2\n"
	".size probe_frame_written, .-probe_frame_written\n"
	".popsection\n");
_Static_assert(SYS_exit_group == 231 && FRAME_WRITTEN == 42, "the numbers in the assembly above");

static volatile sig_atomic_t control_came;

static void on_control(int sig)
{
	(void)sig;
	control_came = 1;
}

static void raise_with(void (*handler)(int))
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_ONSTACK};

	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
}

/*
 * Whether the kernel writes a signal frame where the interrupted code may not: an alternate stack
 * under a key that PKRU denies. From 6.12 the handler runs; before, the kernel gives up with
 * SIGSEGV.
 * First the same without the key, which must work everywhere.
 */
static void probe_frames(struct area *area)
{
	child_step(area, FRAME_SETUP);
	void *stack =
		mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t ss = {.ss_sp = stack, .ss_size = STACK_BYTES};
	if (stack == MAP_FAILED || sigaltstack(&ss, NULL) != 0) {
		child_errno(area);
		return;
	}
	int key = sys_pkey_alloc(PKEY_DISABLE_ACCESS);
	if (key < 0) {
		child_errno(area);
		return;
	}

	child_step(area, FRAME_CONTROL);
	raise_with(on_control);
	if (!control_came ||
	    sys_pkey_mprotect(stack, STACK_BYTES, PROT_READ | PROT_WRITE, key) != 0) {
		child_errno(area);
		return;
	}
	child_step(area, FRAME_KEYED);
	raise_with(probe_frame_written);
	child_errno(area); /* no signal came at all */
}

struct outcome live_frames(void)
{
	struct outcome end = child_outcome(probe_frames);

	if (end.step == FRAME_KEYED && end.kind == OUTCOME_WRONG && end.value == FRAME_WRITTEN) {
		end.kind = OUTCOME_OK;
	} else if (end.step == FRAME_KEYED && end.kind == OUTCOME_KILLED && end.sig == SIGSEGV) {
		end.kind = OUTCOME_WRONG;
	} else if (end.kind == OUTCOME_WRONG) {
		end.kind = OUTCOME_UNKNOWN;
	}
	return end;
}
