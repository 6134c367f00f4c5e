/* SPDX-License-Identifier: Apache-2.0 */
#include <cpuid.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "detect.h"

/* Newer than the headers of some systems this is built on. */
#define AUX_MINSIGSTKSZ 51
#define HWCAP2_FSGSBASE_BIT 2UL
#define ARCH_GET_GS_NR 0x1004
#define ARCH_SHSTK_STATUS_NR 0x5005
#define SYS_USER_DISPATCH_CODE 2
#define SA_RESTORER_FLAG 0x04000000UL

#define BIT(word, n) (((word) >> (n)) & 1)

/* Every experiment takes microseconds; under emulation on a busy machine, milliseconds. */
#define TRIAL_SECONDS 20
#define TRIAL_STACK (256 * 1024)

static void read_cpuid(struct cpuid_words *raw)
{
	uint32_t a, b, c, d;

	*raw = (struct cpuid_words){0};
	__cpuid(0, raw->max_leaf, b, c, d);
	__cpuid(1, a, b, raw->leaf1_ecx, d);
	if (BIT(raw->leaf1_ecx, 27)) {
		uint32_t lo, hi;
		__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
		raw->xcr0 = (uint64_t)hi << 32 | lo;
	}
	if (raw->max_leaf >= 7) {
		__cpuid_count(7, 0, a, raw->leaf7_ebx, raw->leaf7_ecx, raw->leaf7_edx);
	}
	if (raw->max_leaf >= 0xd) {
		__cpuid_count(0xd, 0, a, raw->xstate0_ebx, c, d);
		__cpuid_count(0xd, 9, raw->xstate9_eax, raw->xstate9_ebx, c, d);
	}
}

/* ---- experiments, each in a child of its own ------------------------------------------------ */

/*
 * All calls of the children go past libc, whose sigaction may be our own and whose pkey_alloc a filter does not see
 * otherwise. syscall() is a wrapper without state.
 */
struct kernel_sigaction {
	uint64_t handler, flags, restorer, mask;
};

static void handle(int sig, void (*handler)(int, siginfo_t *, void *), uint64_t flags)
{
	/* No handler of ours returns, but without a restorer the kernel writes no frame. */
	struct kernel_sigaction act = {
		.handler = (uint64_t)(uintptr_t)handler,
		.flags = flags | SA_SIGINFO | SA_RESTORER_FLAG,
		.restorer = (uint64_t)(uintptr_t)lych_detect_exit,
	};

	syscall(SYS_rt_sigaction, sig, &act, NULL, sizeof(act.mask));
}

static void ended(struct trial *t, enum trial_end end, int err)
{
	t->err = err;
	t->end = end;
}

static void step(struct trial *t, int number)
{
	*(volatile int *)&t->step = number; /* in memory before what may kill us */
}

/*
 * Makes the child harmless: no core file, does not outlive us, signals as by default whatever the program has
 * installed. What of this is refused does no harm to the experiment.
 */
static void prepare(void)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGSYS, SIGTRAP, SIGUSR1, SIGALRM};
	struct kernel_sigaction dfl = {0};
	struct rlimit none = {0, 0};
	uint64_t empty = 0;

	syscall(SYS_prlimit64, 0, RLIMIT_CORE, &none, NULL);
	syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
		syscall(SYS_rt_sigaction, fatal[i], &dfl, NULL, sizeof(dfl.mask));
	}
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &empty, NULL, sizeof(empty));
	syscall(SYS_alarm, TRIAL_SECONDS);
}

/*
 * Runs fn in a child. The child has no exit signal, so that the program's SIGCHLD handler and its wait() never
 * hear of it, and comes from a bare clone, so that no fork handler of the program runs.
 */
static struct trial run(void (*fn)(struct trial *))
{
	struct trial result = {0};
	uint64_t all = ~0ULL, before;
	int status = 0;
	struct trial *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED) {
		return result;
	}
	/* no handler of the program may run in the child */
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	pid_t pid = (pid_t)syscall(SYS_clone, 0UL, NULL, NULL, NULL, 0UL);
	if (pid == 0) {
		prepare();
		fn(shared);
		for (;;) {
			syscall(SYS_exit_group, 0);
		}
	}
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	if (pid > 0) {
		pid_t got;
		do {
			got = (pid_t)syscall(SYS_wait4, pid, &status, __WALL, NULL);
		} while (got < 0 && errno == EINTR);
		if (got == pid) {
			result = *shared;
			if (WIFSIGNALED(status)) {
				ended(&result, TRIAL_KILLED, WTERMSIG(status));
			} else if (WEXITSTATUS(status) != 0) {
				ended(&result, TRIAL_WRONG, WEXITSTATUS(status));
			}
		}
	}
	munmap(shared, sizeof(*shared));
	return result;
}

static volatile char selector;

static void on_dispatch(int sig, siginfo_t *info, void *context)
{
	bool right = info->si_code == SYS_USER_DISPATCH_CODE && info->si_syscall == SYS_getppid;

	(void)sig;
	(void)context;
	selector = SELECTOR_ALLOW; /* before any call of our own */
	syscall(SYS_exit_group, right ? DETECT_EXIT : 1);
}

static void try_dispatch(struct trial *t)
{
	handle(SIGSYS, on_dispatch, 0);
	selector = SELECTOR_ALLOW;
	if (syscall(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0UL, 0UL, &selector) != 0) {
		ended(t, TRIAL_ERRNO, errno);
		return;
	}
	selector = SELECTOR_BLOCK;
	syscall(SYS_getppid);
	selector = SELECTOR_ALLOW;
	ended(t, TRIAL_WRONG, 0);
}

static void try_filter(struct trial *t)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {.len = 1, .filter = &allow};

	if (syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog) != 0) {
		ended(t, TRIAL_ERRNO, errno);
	} else {
		ended(t, TRIAL_OK, 0);
	}
}

static void *map_pages(size_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int tag(void *at, size_t bytes, long key)
{
	return (int)syscall(SYS_pkey_mprotect, at, bytes, PROT_READ | PROT_WRITE, key);
}

/* The kernel reads the page for us, with our rights: EFAULT where they end. */
static void try_keys(struct trial *t)
{
	int fds[2];
	char *page = map_pages(LYCH_PAGE);

	step(t, KEYS_SETUP);
	if (page == MAP_FAILED || syscall(SYS_pipe2, fds, 0) != 0) {
		ended(t, TRIAL_ERRNO, errno);
		return;
	}
	*page = 'a';
	step(t, KEYS_ALLOC);
	long key = syscall(SYS_pkey_alloc, 0UL, (unsigned long)PKEY_DISABLE_ACCESS);
	if (key < 0) {
		ended(t, TRIAL_ERRNO, errno);
		return;
	}
	step(t, KEYS_TAG);
	if (tag(page, LYCH_PAGE, key) != 0) {
		ended(t, TRIAL_ERRNO, errno);
		return;
	}
	step(t, KEYS_DENIED);
	if (syscall(SYS_write, fds[1], page, 1UL) != -1 || errno != EFAULT) {
		ended(t, TRIAL_WRONG, 0);
		return;
	}
	/* The same page and key once more, but open: pkey_alloc with no rights taken away says so in PKRU. */
	step(t, KEYS_ALLOWED);
	if (tag(page, LYCH_PAGE, 0) != 0 || syscall(SYS_pkey_free, key) != 0) {
		ended(t, TRIAL_ERRNO, errno);
		return;
	}
	key = syscall(SYS_pkey_alloc, 0UL, 0UL);
	if (key < 0 || tag(page, LYCH_PAGE, key) != 0) {
		ended(t, TRIAL_ERRNO, errno);
	} else if (syscall(SYS_write, fds[1], page, 1UL) != 1) {
		ended(t, TRIAL_WRONG, 0);
	} else {
		ended(t, TRIAL_OK, 0);
	}
}

enum { FRAMES_SETUP = 1, FRAMES_RAISE };

/*
 * A signal whose alternate stack the interrupted code has no right to. From 6.12 on the handler runs; before, the
 * kernel cannot write the frame and ends the process with SIGSEGV. With key 0 it must run everywhere.
 */
static void frame_on(struct trial *t, bool keyed)
{
	step(t, FRAMES_SETUP);
	char *stack = map_pages(TRIAL_STACK);
	stack_t ss = {.ss_sp = stack, .ss_size = TRIAL_STACK};
	long key = keyed ? syscall(SYS_pkey_alloc, 0UL, (unsigned long)PKEY_DISABLE_ACCESS) : 0;
	if (stack == MAP_FAILED || syscall(SYS_sigaltstack, &ss, NULL) != 0 || key < 0 ||
	    (keyed && tag(stack, TRIAL_STACK, key) != 0)) {
		ended(t, TRIAL_ERRNO, errno);
		return;
	}
	handle(SIGUSR1, lych_detect_exit, SA_ONSTACK);
	step(t, FRAMES_RAISE);
	syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), SIGUSR1);
	ended(t, TRIAL_ERRNO, errno); /* no signal came at all */
}

static void try_frames_control(struct trial *t)
{
	frame_on(t, false);
}

static void try_frames(struct trial *t)
{
	frame_on(t, true);
}

/* The handler's exit status is the success of these; SIGSEGV at the last step is a clear no. */
static struct trial by_exit(struct trial t, int last)
{
	if (t.end == TRIAL_WRONG && t.err == DETECT_EXIT) {
		t.end = TRIAL_OK;
	} else if (t.end == TRIAL_KILLED && t.err == SIGSEGV && t.step == last) {
		t.end = TRIAL_WRONG;
	}
	return t;
}

static uint32_t frame_bytes(const struct cpu_traits *cpu)
{
	unsigned long told = getauxval(AUX_MINSIGSTKSZ); /* from 5.14 on */

	/* else: the red zone, struct sigframe of signal.h, the image and its alignment */
	return told != 0 ? (uint32_t)told : 128 + 1024 + 64 + (cpu->xsave_bytes != 0 ? cpu->xsave_bytes : 4096);
}

void detect_machine(struct machine *out)
{
	struct cpuid_words raw;
	unsigned long features = 0, gs = 0;

	*out = (struct machine){0};
	read_cpuid(&raw);
	detect_decode(&out->cpu, &raw);
	out->fsgsbase = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT;
	out->frame_bytes = frame_bytes(&out->cpu);
	out->shadow_stack = syscall(SYS_arch_prctl, ARCH_SHSTK_STATUS_NR, &features) == 0 && (features & 1);
	if (syscall(SYS_arch_prctl, ARCH_GET_GS_NR, &gs) == 0) {
		out->gs = gs;
	}
	out->dispatch = by_exit(run(try_dispatch), -1);
	out->filter = run(try_filter);
	if (out->cpu.ospke) {
		out->keys = run(try_keys);
		struct trial control = by_exit(run(try_frames_control), -1);
		if (control.end == TRIAL_OK) {
			out->frames = by_exit(run(try_frames), FRAMES_RAISE);
		}
	}
}
