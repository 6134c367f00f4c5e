/* SPDX-License-Identifier: Apache-2.0 */
// G5: a domain makes the system calls by which protection keys are got around. In the domain each is refused and written
// down; without the runtime the same function does what it is for, the key being denied.
#include "attack.h"

#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

#include <vector>

namespace
{

struct Row {
	const char *name;
	long nr;          // the call that must be refused
	attack_fn attack; // what that gives, or what comes after it
	enum { SUCCEEDS, TAKES, LACKING } control; // without the runtime; LACKING: or the kernel has no such thing
};

long Took(prey *p)
{
	p->taken = *p->secret;
	return 0;
}

long SelectorDiscarded(prey *p)
{
	return raw(SYS_madvise, lng(p->gate), 4096, MADV_DONTNEED);
}

const Row kRows[] = {
	// row 8
	{"PkeyFreeAndAlloc", SYS_pkey_free,
	 [](prey *p) {
		 long rc = raw(SYS_pkey_free, p->key);
		 rc = rc == 0 ? raw(SYS_pkey_alloc, 0, 0) : rc;
		 return rc < 0 ? rc : rc != p->key ? -ENOKEY : Took(p);
	 },
	 Row::TAKES},
	{"PkeyAlloc", SYS_pkey_alloc, [](prey *) { return raw(SYS_pkey_alloc, 0, 0); }, Row::SUCCEEDS},
	// row 9
	{"PkeyMprotect", SYS_pkey_mprotect,
	 [](prey *p) {
		 long rc = raw(SYS_pkey_mprotect, lng(p->secret), 4096, PROT_READ | PROT_WRITE, 0);
		 return rc < 0 ? rc : Took(p);
	 },
	 Row::TAKES},
	{"MprotectOfTheGatePage", SYS_mprotect, [](prey *p) { return raw(SYS_mprotect, lng(p->gate), 4096, PROT_NONE); },
	 Row::SUCCEEDS},
	{"MprotectMakesCode", SYS_mprotect,
	 [](prey *p) {
		 static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; // mov $42,%eax; ret
		 memcpy(p->own, code, sizeof(code));
		 long rc = raw(SYS_mprotect, lng(p->own), 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
		 return rc < 0 ? rc : reinterpret_cast<long (*)(void)>(p->own)() == 42 ? 0L : -ENOEXEC;
	 },
	 Row::SUCCEEDS},
	// row 10
	{"Munmap", SYS_munmap, [](prey *p) { return raw(SYS_munmap, lng(p->secret), 4096); }, Row::SUCCEEDS},
	{"MmapOverIt", SYS_mmap,
	 [](prey *p) {
		 return raw(SYS_mmap, lng(p->secret), 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	 },
	 Row::SUCCEEDS},
	{"MmapOverTheGatePage", SYS_mmap,
	 [](prey *p) {
		 return raw(SYS_mmap, lng(p->gate), 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	 },
	 Row::SUCCEEDS},
	{"Mremap", SYS_mremap,
	 [](prey *p) { return raw(SYS_mremap, lng(p->secret), 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, lng(p->own)); },
	 Row::SUCCEEDS},
	// row 11
	{"MadviseDiscards", SYS_madvise, [](prey *p) { return raw(SYS_madvise, lng(p->secret), 4096, MADV_DONTNEED); },
	 Row::SUCCEEDS},
	{"MadviseOfTheSelector", SYS_madvise, SelectorDiscarded, Row::SUCCEEDS},
	// row 12
	{"ProcessVmReadv", SYS_process_vm_readv,
	 [](prey *p) {
		 struct iovec to = {&p->taken, 8}, from = {p->secret, 8};
		 return raw(SYS_process_vm_readv, p->pid, lng(&to), 1, lng(&from), 1, 0);
	 },
	 Row::TAKES},
	{"ProcessVmWritev", SYS_process_vm_writev,
	 [](prey *p) {
		 struct iovec from = {p->own, 8}, to = {p->secret, 8};
		 return raw(SYS_process_vm_writev, p->pid, lng(&from), 1, lng(&to), 1, 0);
	 },
	 Row::SUCCEEDS},
	{"PtraceMe", SYS_ptrace, [](prey *) { return raw(SYS_ptrace, 0, 0, 0, 0); }, Row::SUCCEEDS},
	{"PidfdOpen", 434, [](prey *p) { return raw(434, p->pid, 0); }, Row::SUCCEEDS},
	// row 13
	{"ProcSelfMem", SYS_open,
	 [](prey *p) {
		 long fd = raw(SYS_open, lng("/proc/self/mem"), O_RDWR);
		 return fd < 0 ? fd : raw(SYS_pread64, fd, lng(&p->taken), 8, lng(p->secret));
	 },
	 Row::TAKES},
	{"ProcSelfMemOpenat", SYS_openat,
	 [](prey *p) {
		 long fd = raw(SYS_openat, AT_FDCWD, lng("/proc/self/task/../mem"), O_RDONLY);
		 return fd < 0 ? fd : raw(SYS_pread64, fd, lng(&p->taken), 8, lng(p->secret));
	 },
	 Row::TAKES},
	// row 14
	{"IoUring", 425, [](prey *p) { memset(p->own, 0, 256); return raw(425, 4, lng(p->own)); }, Row::LACKING},
	// row 15
	{"Userfaultfd", SYS_userfaultfd, [](prey *) { return raw(SYS_userfaultfd, UFFD_USER_MODE_ONLY); }, Row::LACKING},
	// row 16
	{"MemfdAlias", SYS_memfd_create, [](prey *) { return raw(SYS_memfd_create, lng("alias"), 0); }, Row::SUCCEEDS},
	{"Shmget", SYS_shmget, [](prey *) { return raw(SYS_shmget, 0, 4096, 0600 | 01000); }, Row::LACKING},
	{"RemapFilePages", SYS_remap_file_pages, [](prey *p) { return raw(SYS_remap_file_pages, lng(p->secret), 0, 0, 0, 0); },
	 Row::LACKING},
	// row 18
	{"ReadImpliesExec", SYS_personality, [](prey *) { return raw(SYS_personality, READ_IMPLIES_EXEC); }, Row::SUCCEEDS},
	// row 21
	{"SeccompFakesSuccess", SYS_seccomp,
	 [](prey *) {
		 static sock_filter all[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
		 static sock_fprog program = {1, all};
		 long rc = raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, lng(&program));
		 return rc;
	 },
	 Row::SUCCEEDS},
	// row 22
	{"PrctlDispatchOff", SYS_prctl, [](prey *) { return raw(SYS_prctl, 59, 0, 0, 0, 0); }, Row::SUCCEEDS},
	{"PrctlSetMm", SYS_prctl,
	 [](prey *p) { return raw(SYS_prctl, PR_SET_MM, PR_SET_MM_ARG_START, lng(p->own), 0, 0); }, Row::LACKING},
	{"PrctlTsc", SYS_prctl, [](prey *) { return raw(SYS_prctl, PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0); }, Row::SUCCEEDS},
	{"PrctlMdwe", SYS_prctl, [](prey *) { return raw(SYS_prctl, 65, 1, 0, 0, 0); }, Row::LACKING},
	{"PrctlDumpable", SYS_prctl, [](prey *) { return raw(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0); }, Row::SUCCEEDS},
	{"PrctlSpeculation", SYS_prctl, [](prey *) { return raw(SYS_prctl, PR_GET_SPECULATION_CTRL, 0, 0, 0, 0); },
	 Row::LACKING},
	// row 23
	{"ArchPrctlFs", SYS_arch_prctl, [](prey *p) { return raw(SYS_arch_prctl, ARCH_GET_FS, lng(p->own)); }, Row::SUCCEEDS},
	{"ArchPrctlGs", SYS_arch_prctl, [](prey *p) { return raw(SYS_arch_prctl, ARCH_SET_GS, lng(p->own)); }, Row::SUCCEEDS},
	{"ModifyLdt", SYS_modify_ldt, [](prey *p) { return raw(SYS_modify_ldt, 0, lng(p->own), 16); }, Row::LACKING},
	{"SetThreadArea", SYS_set_thread_area, [](prey *p) { return raw(SYS_set_thread_area, lng(p->own)); }, Row::LACKING},
	{"Iopl", SYS_iopl, [](prey *) { return raw(SYS_iopl, 0); }, Row::LACKING},
	// row 24
	{"RobustList", SYS_set_robust_list, [](prey *p) { return raw(SYS_set_robust_list, lng(p->own), 24); }, Row::SUCCEEDS},
	{"TidAddress", SYS_set_tid_address, [](prey *p) { return raw(SYS_set_tid_address, lng(p->secret)); }, Row::SUCCEEDS},
	// row 25, see threads_attack_test for those that share memory
	{"Fork", SYS_fork,
	 [](prey *) {
		 long child = raw(SYS_fork);
		 if (child == 0) {
			 raw(SYS_exit_group, 0);
		 }
		 return child;
	 },
	 Row::SUCCEEDS},
	{"Clone3", 435,
	 [](prey *p) {
		 memset(p->own, 0, 88);
		 long child = raw(435, lng(p->own), 88);
		 if (child == 0) {
			 raw(SYS_exit_group, 0);
		 }
		 return child;
	 },
	 Row::SUCCEEDS},
	{"Unshare", SYS_unshare, [](prey *) { return raw(SYS_unshare, CLONE_FILES); }, Row::SUCCEEDS},
	// row 26: a file that is not there, so the control's answer is the file system's
	{"Execve", SYS_execve,
	 [](prey *) {
		 long rc = raw(SYS_execve, lng("/nowhere/at/all"), 0, 0);
		 return rc == -ENOENT ? 0 : rc;
	 },
	 Row::SUCCEEDS},
	{"Execveat", SYS_execveat,
	 [](prey *) {
		 long rc = raw(SYS_execveat, AT_FDCWD, lng("/nowhere/at/all"), 0, 0, 0);
		 return rc == -ENOENT ? 0 : rc;
	 },
	 Row::SUCCEEDS},
	// rows 3 and 6
	{"Sigaction", SYS_rt_sigaction,
	 [](prey *p) { memset(p->own, 0, 64); return raw(SYS_rt_sigaction, SIGUSR1, lng(p->own), 0, 8); }, Row::SUCCEEDS},
	{"Sigaltstack", SYS_sigaltstack,
	 [](prey *p) {
		 stack_t stack = {p->secret, 0, 65536};
		 return raw(SYS_sigaltstack, lng(&stack), 0);
	 },
	 Row::SUCCEEDS},
	// row 31
	{"PerfEventOpen", SYS_perf_event_open,
	 [](prey *p) {
		 auto *attr = reinterpret_cast<perf_event_attr *>(p->own);
		 memset(p->own, 0, sizeof(*attr));
		 attr->size = sizeof(*attr);
		 attr->type = PERF_TYPE_SOFTWARE;
		 attr->config = PERF_COUNT_SW_CPU_CLOCK;
		 attr->sample_type = PERF_SAMPLE_REGS_USER;
		 attr->sample_regs_user = 1;
		 return raw(SYS_perf_event_open, lng(attr), 0, -1, -1, 0);
	 },
	 Row::LACKING},
	{"Bpf", SYS_bpf,
	 [](prey *p) {
		 auto *attr = reinterpret_cast<bpf_attr *>(p->own);
		 memset(p->own, 0, sizeof(*attr));
		 attr->map_type = BPF_MAP_TYPE_ARRAY;
		 attr->key_size = 4;
		 attr->value_size = 8;
		 attr->max_entries = 1;
		 return raw(SYS_bpf, BPF_MAP_CREATE, lng(attr), sizeof(*attr));
	 },
	 Row::LACKING},
	// row 32
	{"KillAnother", SYS_kill, [](prey *p) { return raw(SYS_kill, p->other, 0); }, Row::SUCCEEDS},
	{"KillsTheProcessGroup", SYS_kill, [](prey *) { return raw(SYS_kill, 0, 0); }, Row::SUCCEEDS},
	{"Tgkill", SYS_tgkill, [](prey *p) { return raw(SYS_tgkill, p->other, p->other, 0); }, Row::SUCCEEDS},
	{"TimerCreate", SYS_timer_create, [](prey *p) { return raw(SYS_timer_create, CLOCK_MONOTONIC, 0, lng(p->own)); },
	 Row::SUCCEEDS},
	{"Setitimer", SYS_setitimer,
	 [](prey *) {
		 struct itimerval long_time = {{0, 0}, {100000, 0}};
		 return raw(SYS_setitimer, ITIMER_REAL, lng(&long_time), 0);
	 },
	 Row::SUCCEEDS},
	{"SigqueueTheKick", SYS_rt_sigqueueinfo,
	 [](prey *p) {
		 auto *info = reinterpret_cast<siginfo_t *>(p->own);
		 memset(p->own, 0, sizeof(*info));
		 info->si_signo = SIGURG; // ignored by default
		 info->si_code = SI_QUEUE;
		 return raw(SYS_rt_sigqueueinfo, p->pid, SIGURG, lng(info));
	 },
	 Row::SUCCEEDS},
	// row 33
	{"Close", SYS_close, [](prey *) { return raw(SYS_close, 0); }, Row::SUCCEEDS},
	{"CloseRange", 436, [](prey *) { return raw(436, 900, 1000, 0); }, Row::SUCCEEDS},
	{"Dup2", SYS_dup2, [](prey *) { return raw(SYS_dup2, 2, 900); }, Row::SUCCEEDS},
	{"Chdir", SYS_chdir, [](prey *) { return raw(SYS_chdir, lng("/")); }, Row::SUCCEEDS},
	{"Prlimit", SYS_prlimit64, [](prey *p) { return raw(SYS_prlimit64, 0, 4, 0, lng(p->own)); }, Row::SUCCEEDS},
	{"Vmsplice", SYS_pipe, [](prey *p) { return raw(SYS_pipe, lng(p->own)); }, Row::SUCCEEDS},
	{"WriteToAnotherFile", SYS_write, [](prey *p) { return raw(SYS_write, 1, lng(p->own), 0); }, Row::SUCCEEDS},
	// row 7
	{"RseqUnregister", SYS_rseq,
	 [](prey *p) {
		 uint64_t area = 0;
		 __asm__("mov %%fs:0, %0" : "=r"(area));
		 (void)area;
		 long rc = raw(SYS_rseq, lng(p->own), 32, 0, 0x53053053);
		 return rc == -EINVAL || rc == -EBUSY ? 0 : rc; // there is one already: the kernel has looked
	 },
	 Row::SUCCEEDS},
};

class SystemCall : public NeedsPku, public ::testing::WithParamInterface<Row> {
};

void Refused(const Row &row, lych_kind kind)
{
	if (!Start(kind)) {
		return;
	}
	target->other = getppid();
	Ended ended = Attack(row.attack);
	EXPECT_EQ(ended.rc, 0);
	EXPECT_EQ(ended.result, -EPERM);
	EXPECT_NE(target->taken, kSecret);
	lych_refusal list[64];
	size_t n = lych_refused(domain, list, 64), found = 0;
	for (size_t i = 0; i < n; i++) {
		found += list[i].nr == row.nr && list[i].count == 1 && !list[i].foreign;
	}
	EXPECT_EQ(found, 1u) << "written down";
	EXPECT_EQ(lych_verify([](const char *line, void *) { ADD_FAILURE() << line; }, nullptr), 0);
}

TEST_P(SystemCall, IsRefusedToADomain)
{
	IN_A_CHILD({ Refused(GetParam(), LYCH_KIND_CONTAIN); });
}

// On 6.1 a system call of a pure domain ends the process: README.md, note 1.
TEST_P(SystemCall, IsRefusedToAPureDomain)
{
	bool whole = false;
	const char *kernel = getenv("LYCH_VM_KERNEL");
	whole = kernel == nullptr || strcmp(kernel, "6.1") != 0;
	int status = ChildStatus([&] { Refused(GetParam(), LYCH_KIND_PURE); });
	if (whole) {
		EXPECT_EQ(status, 0);
	} else {
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << status;
	}
}

TEST_P(SystemCall, DoesItWithoutTheRuntime)
{
	const Row &row = GetParam();
	IN_A_CHILD({
		prey *p = Bare();
		if (row.nr == SYS_seccomp) {
			raw(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		}
		p->other = getppid();
		long rc = row.attack(p);
		if (row.control == Row::LACKING && rc < 0) {
			printf("the kernel answers %ld\n", rc);
			EXPECT_NE(rc, -EPERM) << "not what the runtime answers";
			return;
		}
		EXPECT_GE(rc, 0);
		if (row.control == Row::TAKES) {
			EXPECT_EQ(p->taken, kSecret);
		}
	});
}

INSTANTIATE_TEST_SUITE_P(Rows, SystemCall, ::testing::ValuesIn(kRows),
			 [](const auto &one) { return std::string(one.param.name); });

// Every number but those the policy answers, bare.
long Sweep(prey *p)
{
	static const short answered[] = {SYS_write, SYS_writev, SYS_brk, SYS_rt_sigprocmask, SYS_sched_yield, SYS_getpid,
					 SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_exit, SYS_exit_group,
					 SYS_gettimeofday, SYS_time, SYS_clock_gettime, SYS_clock_getres, SYS_getrandom, SYS_futex};
	for (long nr = 0; nr < 1024; nr++) {
		bool skip = false;
		for (short one : answered) {
			skip = skip || one == nr;
		}
		if (skip) {
			continue;
		}
		long rc = raw(nr, lng(p->own), lng(p->own), lng(p->own), lng(p->own), lng(p->own), lng(p->own));
		if (rc != -EPERM && rc != -ENOSYS) {
			return nr;
		}
	}
	return -1;
}

TEST_F(NeedsPku, OfAThousandNumbersNoneIsMadeThatThePolicyDoesNotName)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start());
		Ended ended = Attack(Sweep);
		EXPECT_EQ(ended.rc, 0);
		EXPECT_EQ(ended.result, -1) << "the number of a call that was made";
	});
	// the control: the kernel makes the first of them
	IN_A_CHILD({ EXPECT_EQ(Sweep(Bare()), SYS_read); });
}

} // namespace
