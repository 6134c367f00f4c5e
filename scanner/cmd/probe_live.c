/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Experiments that change a process, each in a child of its own. None of them executes WRPKRU: that
 * instruction must not be in this command. pkey_alloc sets the rights of the key it gives,
 * and that is enough.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe_child.h"

/* Newer than the headers of the systems this is built on. */
#define NR_LANDLOCK_CREATE_RULESET 444
#define NR_MSEAL 462
#define DOCTOR_LANDLOCK_VERSION_FLAG 1U
#define DOCTOR_PR_SET_SUD 59
#define DOCTOR_SUD_ON 1
#define DOCTOR_SUD_ALLOW 0
#define DOCTOR_SUD_BLOCK 1
#define DOCTOR_SYS_USER_DISPATCH 2 /* si_code */
#define DOCTOR_PR_SET_MDWE 65
#define DOCTOR_PR_GET_MDWE 66
#define DOCTOR_MDWE_REFUSE_EXEC_GAIN 1
#define DOCTOR_MFD_NOEXEC_SEAL 0x8U
#define DOCTOR_ARCH_GET_GS 0x1004
#define DOCTOR_ARCH_SHSTK_STATUS 0x5005

/* mov $42,%eax; ret */
static const unsigned char code_42[] = {0xb8, 42, 0, 0, 0, 0xc3};

static void *map_page(size_t size, int prot)
{
	return mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Runs the six bytes above at p. */
static int call_code(void *p)
{
	int (*fn)(void);

	memcpy(&fn, &p, sizeof(fn));
	return fn();
}

/* ---- the CPU -------------------------------------------------------------------------------- */

static uint64_t xgetbv0(void)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

static void probe_cpuid(struct area *area)
{
	struct cpuid_raw *raw = &area->cpuid;
	uint32_t a, b, c, d;

	__cpuid(0, raw->max_leaf, raw->vendor[0], raw->vendor[2], raw->vendor[1]);
	__cpuid(1, a, b, raw->leaf1_ecx, d);
	if (raw->leaf1_ecx & (1U << 27)) {
		raw->xcr0 = xgetbv0();
	}
	if (raw->leaf1_ecx & (1U << 31)) {
		__cpuid(0x40000000, a, raw->hypervisor[0], raw->hypervisor[1], raw->hypervisor[2]);
	}
	if (raw->max_leaf >= 7) {
		__cpuid_count(7, 0, raw->leaf7_max_subleaf, raw->leaf7_ebx, raw->leaf7_ecx,
			      raw->leaf7_edx);
		if (raw->leaf7_max_subleaf >= 1) {
			__cpuid_count(7, 1, a, b, c, raw->leaf7_1_edx);
		}
	}
	if (raw->max_leaf >= 0xd) {
		__cpuid_count(0xd, 9, raw->xstate9_eax, raw->xstate9_ebx, c, d);
	}
	__cpuid(0x80000000, a, b, c, d);
	if (a >= 0x80000004) {
		for (unsigned i = 0; i < 3; i++) {
			uint32_t *brand = &raw->brand[4 * i];
			__cpuid(0x80000002 + i, brand[0], brand[1], brand[2], brand[3]);
		}
	}
	child_ok(area, 0);
}

void live_cpuid(struct outcome *end, struct cpuid_raw *raw)
{
	struct area area;

	child_run(&area, probe_cpuid);
	*end = area.end;
	*raw = area.cpuid;
}

/* ---- Syscall User Dispatch ------------------------------------------------------------------ */

static volatile char sud_selector;
static volatile sig_atomic_t sud_dispatched;

static void on_sud(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	sud_selector = DOCTOR_SUD_ALLOW; /* before anything else: rt_sigreturn is dispatched, too */
	sud_dispatched =
		info->si_code == DOCTOR_SYS_USER_DISPATCH && info->si_syscall == SYS_getppid;
}

static void probe_sud(struct area *area)
{
	struct sigaction sa = {.sa_sigaction = on_sud, .sa_flags = SA_SIGINFO};

	sigaction(SIGSYS, &sa, NULL);
	sud_selector = DOCTOR_SUD_ALLOW;
	if (prctl(DOCTOR_PR_SET_SUD, DOCTOR_SUD_ON, 0L, 0L, &sud_selector) != 0) {
		child_errno(area);
		return;
	}
	sud_selector = DOCTOR_SUD_BLOCK;
	syscall(SYS_getppid);
	sud_selector = DOCTOR_SUD_ALLOW;
	if (sud_dispatched) {
		child_ok(area, 0);
	} else {
		child_wrong(area);
	}
}

struct outcome live_sud(void)
{
	return child_outcome(probe_sud);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void probe_mseal(struct area *area)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = map_page(size, PROT_READ);

	if (page == MAP_FAILED || syscall(NR_MSEAL, page, size, 0UL) != 0) {
		child_errno(area);
	} else if (munmap(page, size) == 0 || errno != EPERM) {
		child_wrong(area);
	} else {
		child_ok(area, 0);
	}
}

struct outcome live_mseal(void)
{
	return child_outcome(probe_mseal);
}

static void probe_exec_memory(struct area *area)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = map_page(size, PROT_READ | PROT_WRITE);

	if (page == MAP_FAILED) {
		child_errno(area);
		return;
	}
	memcpy(page, code_42, sizeof(code_42));
	if (mprotect(page, size, PROT_READ | PROT_EXEC) != 0) {
		child_errno(area);
	} else if (call_code(page) == 42) {
		child_ok(area, 0);
	} else {
		child_wrong(area);
	}
}

struct outcome live_exec_memory(void)
{
	return child_outcome(probe_exec_memory);
}

static void probe_memfd_exec(struct area *area)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("lychgate-doctor", flags | DOCTOR_MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) { /* before 6.3 */
		fd = memfd_create("lychgate-doctor", flags);
	}
	if (fd < 0 || ftruncate(fd, (off_t)size) != 0 ||
	    write(fd, code_42, sizeof(code_42)) != (ssize_t)sizeof(code_42) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
		child_errno(area);
		return;
	}
	void *page = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (page == MAP_FAILED) {
		child_errno(area);
	} else if (call_code(page) == 42) {
		child_ok(area, 0);
	} else {
		child_wrong(area);
	}
}

struct outcome live_memfd_exec(void)
{
	return child_outcome(probe_memfd_exec);
}

static void probe_mdwe(struct area *area)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);

	if (prctl(DOCTOR_PR_SET_MDWE, DOCTOR_MDWE_REFUSE_EXEC_GAIN, 0L, 0L, 0L) != 0) {
		child_errno(area);
		return;
	}
	void *page = map_page(size, PROT_READ | PROT_WRITE);
	if (page == MAP_FAILED) {
		child_errno(area);
	} else if (mprotect(page, size, PROT_READ | PROT_EXEC) == 0) {
		child_wrong(area);
	} else {
		child_ok(area, 0);
	}
}

struct outcome live_mdwe(void)
{
	return child_outcome(probe_mdwe);
}

/* ---- what only has to be asked -------------------------------------------------------------- */

static void answer(struct area *area, long value)
{
	if (value < 0) {
		child_errno(area);
	} else {
		child_ok(area, value);
	}
}

static void probe_mdwe_state(struct area *area)
{
	answer(area, prctl(DOCTOR_PR_GET_MDWE, 0L, 0L, 0L, 0L));
}

static void probe_landlock(struct area *area)
{
	answer(area, syscall(NR_LANDLOCK_CREATE_RULESET, NULL, 0UL, DOCTOR_LANDLOCK_VERSION_FLAG));
}

static void probe_personality(struct area *area)
{
	answer(area, personality(0xffffffff));
}

static void probe_shstk(struct area *area)
{
	unsigned long features = 0;
	long rc = syscall(SYS_arch_prctl, DOCTOR_ARCH_SHSTK_STATUS, &features);

	answer(area, rc < 0 ? rc : (long)features);
}

static void probe_gs(struct area *area)
{
	unsigned long base = 0;

	if (syscall(SYS_arch_prctl, DOCTOR_ARCH_GET_GS, &base) != 0) {
		child_errno(area);
	} else {
		child_ok(area, (long)base);
	}
}

static void probe_seccomp_install(struct area *area)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {.len = 1, .filter = &allow};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0) {
		child_errno(area);
	} else {
		child_ok(area, 0);
	}
}

struct outcome live_mdwe_state(void)
{
	return child_outcome(probe_mdwe_state);
}

struct outcome live_landlock(void)
{
	return child_outcome(probe_landlock);
}

struct outcome live_personality(void)
{
	return child_outcome(probe_personality);
}

struct outcome live_shstk(void)
{
	return child_outcome(probe_shstk);
}

struct outcome live_gs(void)
{
	return child_outcome(probe_gs);
}

struct outcome live_seccomp_install(void)
{
	return child_outcome(probe_seccomp_install);
}
