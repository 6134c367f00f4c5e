// SPDX-License-Identifier: Apache-2.0
// G5 on paper: what of all calls there are a domain may make.
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <ctime>
#include <initializer_list>
#include <set>
#include <string>
#include <vector>

extern "C" {
#include "policy.h"
}

namespace
{

constexpr struct policy_self SELF = {1000, 1001};

struct mediated make(long nr, std::initializer_list<uint64_t> args = {})
{
	struct mediated call = {};
	size_t i = 0;
	call.nr = nr;
	call.arch = AUDIT_ARCH_X86_64;
	for (uint64_t arg : args) {
		call.arg[i++] = arg;
	}
	return call;
}

struct policy_decision decide(const struct mediated &call, const uint64_t *open = nullptr)
{
	return policy_decide(&call, &SELF, open);
}

int refusal(const struct mediated &call, const uint64_t *open = nullptr)
{
	struct policy_decision decision = decide(call, open);
	return decision.action == POLICY_REFUSE ? decision.err : 0;
}

// What a domain has by default, written down a second time.
const std::set<long> DEFAULT = {
	SYS_write,  SYS_writev,  SYS_brk,     SYS_rt_sigprocmask, SYS_sched_yield, SYS_getpid, SYS_gettid, SYS_getuid,
	SYS_geteuid, SYS_getgid, SYS_getegid, SYS_exit,	   SYS_exit_group,  SYS_kill,	  SYS_tkill,  SYS_tgkill,
	SYS_gettimeofday, SYS_time, SYS_clock_gettime, SYS_clock_getres, SYS_getrandom, SYS_futex};
const std::set<long> OPENABLE = {SYS_nanosleep, SYS_clock_nanosleep, SYS_getrusage, SYS_sysinfo,
				 SYS_uname,	SYS_times,	     SYS_getcpu};

const uint64_t VALUES[] = {0, 1, 2, 8, 1000, 1001, 0x80, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000002,
			   0x7fffffffffff, 0x8000000000000000, UINT64_MAX};

} // namespace

TEST(Policy, AllowsNothingOutsideOfTheTableWhateverTheArguments)
{
	const uint64_t everything[POLICY_WORDS] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
						   UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	for (long nr = -600; nr <= 600; nr++) {
		if (DEFAULT.count(nr)) {
			continue;
		}
		for (uint64_t first : VALUES) {
			for (uint64_t second : VALUES) {
				struct mediated call = make(nr, {first, second, first, second, first, second});
				EXPECT_NE(refusal(call), 0) << nr;
				if (!OPENABLE.count(nr)) {
					EXPECT_NE(refusal(call, everything), 0) << nr;
				}
			}
		}
	}
}

TEST(Policy, RefusesHostileNumbers)
{
	for (long nr : {LONG_MIN, LONG_MIN + 1, -1L, 512L, 1L << 29, 1L << 32, (1L << 32) + SYS_write, LONG_MAX,
			static_cast<long>(0xffffffff00000001)}) {
		const uint64_t everything[POLICY_WORDS] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
							   UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
		EXPECT_NE(refusal(make(nr, {2, 0, 0}), everything), 0) << nr;
	}
}

TEST(Policy, IsNotTheSameNumberOfAnotherArchitecture)
{
	for (long nr = 0; nr <= 600; nr++) {
		struct mediated call = make(nr, {2});
		call.arch = AUDIT_ARCH_I386;
		EXPECT_EQ(refusal(call), EPERM) << nr;
		EXPECT_TRUE(policy_foreign(&call));
		call.arch = 0;
		EXPECT_EQ(refusal(call), EPERM) << nr;
		call = make(nr | 0x40000000, {2}); // x32
		EXPECT_EQ(refusal(call), EPERM) << nr;
		EXPECT_TRUE(policy_foreign(&call));
	}
	struct mediated inside = make(LYCH_SYS_INSIDE);
	EXPECT_FALSE(policy_foreign(&inside)) << "else the floor would kill a host that asks";
	inside.arch = AUDIT_ARCH_I386;
	EXPECT_EQ(refusal(inside), EPERM);
}

TEST(Policy, SaysUnknownOnlyOfNumbersThatNoKernelHas)
{
	EXPECT_EQ(refusal(make(SYS_openat)), EPERM);
	EXPECT_EQ(refusal(make(435 /* clone3 */)), EPERM);
	EXPECT_EQ(refusal(make(462 /* mseal */)), EPERM);
	EXPECT_EQ(refusal(make(335)), ENOSYS);
	EXPECT_EQ(refusal(make(600)), ENOSYS);
	EXPECT_EQ(refusal(make(-1)), ENOSYS);
}

// Ways around protection keys that are system calls, one group a row.
struct Group {
	const char *name;
	std::vector<long> calls;
};
class Bypass : public testing::TestWithParam<Group>
{
};
TEST_P(Bypass, IsForbidden)
{
	const uint64_t everything[POLICY_WORDS] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
						   UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	for (long nr : GetParam().calls) {
		EXPECT_EQ(refusal(make(nr)), EPERM) << nr;
		EXPECT_EQ(refusal(make(nr, {2, 2, 2, 2, 2, 2}), everything), EPERM) << nr;
		EXPECT_FALSE(policy_openable(nr)) << nr;
	}
}
INSTANTIATE_TEST_SUITE_P(
	All, Bypass,
	testing::Values(
		Group{"ForgedSignalReturn", {SYS_rt_sigreturn}},
		Group{"SignalHandlers", {SYS_rt_sigaction, SYS_sigaltstack}}, Group{"Rseq", {SYS_rseq}},
		Group{"Keys", {SYS_pkey_alloc, SYS_pkey_free, SYS_pkey_mprotect}},
		Group{"Protection", {SYS_mprotect, SYS_personality}},
		Group{"Mappings", {SYS_mmap, SYS_munmap, SYS_mremap, SYS_remap_file_pages, SYS_mlock, SYS_munlock}},
		Group{"Madvise", {SYS_madvise, 440 /* process_madvise */}},
		Group{"OtherMemory",
		      {SYS_process_vm_readv, SYS_process_vm_writev, SYS_ptrace, SYS_kcmp, 434 /* pidfd_open */,
		       438 /* pidfd_getfd */}},
		Group{"Files",
		      {SYS_open, SYS_openat, 437 /* openat2 */, SYS_creat, SYS_read, SYS_pread64, SYS_pwrite64}},
		Group{"IoUring", {425, 426, 427}}, Group{"Userfaultfd", {SYS_userfaultfd}},
		Group{"Aliases", {SYS_memfd_create, SYS_shmget, SYS_shmat, 447 /* memfd_secret */}},
		Group{"Filters", {SYS_seccomp, SYS_prctl, 446 /* landlock_restrict_self */}},
		Group{"Segments", {SYS_arch_prctl, SYS_modify_ldt, SYS_set_thread_area}},
		Group{"ExitWrites", {SYS_set_robust_list, SYS_set_tid_address}},
		Group{"Tasks", {SYS_clone, SYS_fork, SYS_vfork, 435, SYS_execve, SYS_execveat}},
		Group{"Sampling", {SYS_perf_event_open, SYS_bpf}},
		Group{"Timers",
		      {SYS_timer_create, SYS_setitimer, SYS_alarm, SYS_timerfd_create, SYS_rt_sigqueueinfo,
		       SYS_rt_tgsigqueueinfo, 424 /* pidfd_send_signal */}},
		Group{"Descriptors",
		      {SYS_close, SYS_dup2, SYS_dup3, SYS_fcntl, SYS_ioctl, SYS_setrlimit, SYS_prlimit64, SYS_unshare,
		       SYS_chdir, SYS_socket, SYS_connect, SYS_sendmsg}}),
	[](const auto &group) { return std::string(group.param.name); });

TEST(Policy, OpensWhatWasAllowedAndNothingElse)
{
	for (long nr : OPENABLE) {
		uint64_t open[POLICY_WORDS] = {};
		struct mediated call = make(nr);
		EXPECT_TRUE(policy_openable(nr));
		EXPECT_EQ(refusal(call, open), EPERM) << nr;
		open[nr / 64] |= 1ull << (nr % 64);
		EXPECT_EQ(refusal(call, open), 0) << nr;
		for (long other : OPENABLE) {
			EXPECT_EQ(refusal(make(other), open) == 0, other == nr) << nr << " " << other;
		}
	}
	for (long nr = -10; nr < 600; nr++) {
		EXPECT_EQ(policy_openable(nr), OPENABLE.count(nr) == 1) << nr;
	}
}

TEST(Policy, WritesToStandardErrorOnly)
{
	for (long nr : {SYS_write, SYS_writev}) {
		EXPECT_EQ(refusal(make(nr, {2, 0x1000, 1})), 0);
		for (uint64_t fd : {0ul, 1ul, 3ul, 0xfffffffful, 0x200000000ul}) {
			EXPECT_EQ(refusal(make(nr, {fd, 0x1000, 1})), EPERM) << fd;
		}
	}
}

TEST(Policy, ReadsClocksOfNobodyElse)
{
	for (uint64_t id = 0; id <= 11; id++) {
		EXPECT_EQ(refusal(make(SYS_clock_gettime, {id})), 0) << id;
	}
	// CLOCK_PROCESS_CPUTIME of a pid, of a descriptor
	for (uint64_t id : {12ul, 0xfffffffful, 0xffffffffffffffa8ul, 0x80000000ul}) {
		EXPECT_EQ(refusal(make(SYS_clock_gettime, {id})), EINVAL) << id;
		EXPECT_EQ(refusal(make(SYS_clock_getres, {id})), EINVAL) << id;
	}
}

TEST(Policy, WaitsAndWakesOnPrivateFutexesOnly)
{
	for (int cmd = 0; cmd < 128; cmd++) {
		bool fine = cmd == FUTEX_WAIT || cmd == FUTEX_WAKE || cmd == FUTEX_WAIT_BITSET ||
			    cmd == FUTEX_WAKE_BITSET;
		uint64_t op = static_cast<uint64_t>(cmd);
		EXPECT_EQ(refusal(make(SYS_futex, {0, op})), EPERM) << cmd;
		EXPECT_EQ(refusal(make(SYS_futex, {0, op | FUTEX_PRIVATE_FLAG})), fine ? 0 : EPERM) << cmd;
		EXPECT_EQ(refusal(make(SYS_futex, {0, op | FUTEX_PRIVATE_FLAG | 0x10000})), EPERM) << cmd;
	}
}

TEST(Policy, ADeadlySignalToItselfEndsTheCall)
{
	const uint64_t pid = 1000, tid = 1001;
	for (int sig : {SIGABRT, SIGKILL, SIGSEGV, SIGTERM, SIGUSR1, SIGSYS, 34, 64}) {
		uint64_t s = static_cast<uint64_t>(sig);
		for (auto &call :
		     {make(SYS_tgkill, {pid, tid, s}), make(SYS_tkill, {tid, s}), make(SYS_kill, {pid, s})}) {
			EXPECT_EQ(decide(call).action, POLICY_ABORT) << sig;
			EXPECT_EQ(decide(call).err, sig);
		}
	}
	EXPECT_EQ(decide(make(SYS_kill, {pid, 0})).action, POLICY_ZERO);
	EXPECT_EQ(refusal(make(SYS_kill, {pid, 65})), EINVAL);
	EXPECT_EQ(refusal(make(SYS_kill, {pid, 0xffffffff})), EINVAL);
}

TEST(Policy, NoSignalReachesAnybodyElse)
{
	const uint64_t pid = 1000, tid = 1001;
	for (int sig = -1; sig <= 65; sig++) {
		uint64_t s = static_cast<uint64_t>(sig);
		EXPECT_EQ(refusal(make(SYS_kill, {0, s})), EPERM);
		EXPECT_EQ(refusal(make(SYS_kill, {UINT64_MAX, s})), EPERM);
		EXPECT_EQ(refusal(make(SYS_kill, {-pid, s})), EPERM) << "the process group";
		EXPECT_EQ(refusal(make(SYS_kill, {1, s})), EPERM);
		EXPECT_EQ(refusal(make(SYS_tkill, {pid, s})), EPERM) << "another thread";
		EXPECT_EQ(refusal(make(SYS_tgkill, {pid, pid, s})), EPERM);
		EXPECT_EQ(refusal(make(SYS_tgkill, {tid, tid, s})), EPERM);
		EXPECT_EQ(refusal(make(SYS_tgkill, {UINT64_MAX, tid, s})), EPERM);
	}
	// what stops a process, or is the C library's or ours, is not sent at all
	for (uint64_t sig : {SIGSTOP, SIGTSTP, SIGCONT, SIGCHLD, 32, 33}) {
		EXPECT_EQ(refusal(make(SYS_kill, {pid, sig})), EPERM) << sig;
	}
}

TEST(Policy, SignalMasksArePretended)
{
	EXPECT_EQ(decide(make(SYS_rt_sigprocmask, {1, 0x1000, 0, 8})).action, POLICY_MASK);
	EXPECT_EQ(refusal(make(SYS_rt_sigprocmask, {1, 0x1000, 0, 16})), EINVAL);
	EXPECT_EQ(refusal(make(SYS_rt_sigprocmask, {3, 0x1000, 0, 8})), EINVAL);
	EXPECT_EQ(decide(make(SYS_rt_sigprocmask, {99, 0, 0x1000, 8})).action, POLICY_MASK)
		<< "how does not matter then";
}

TEST(Policy, SleepsForATimeAndNotUntilOne)
{
	uint64_t open[POLICY_WORDS] = {};
	open[SYS_clock_nanosleep / 64] |= 1ull << (SYS_clock_nanosleep % 64);
	EXPECT_EQ(refusal(make(SYS_clock_nanosleep, {CLOCK_MONOTONIC, 0}), open), 0);
	EXPECT_EQ(refusal(make(SYS_clock_nanosleep, {CLOCK_MONOTONIC, 1}), open), EINVAL);
	EXPECT_EQ(refusal(make(SYS_clock_nanosleep, {9, 0}), open), EINVAL);
}

TEST(Policy, TheHeapsOwnCallHasTwoForms)
{
	EXPECT_EQ(decide(make(LYCH_SYS_INSIDE, {INSIDE_ALLOC})).action, POLICY_INSIDE);
	EXPECT_EQ(decide(make(LYCH_SYS_INSIDE, {INSIDE_FREE})).action, POLICY_INSIDE);
	EXPECT_EQ(refusal(make(LYCH_SYS_INSIDE, {2})), EINVAL);
	EXPECT_EQ(refusal(make(LYCH_SYS_INSIDE, {UINT64_MAX})), EINVAL);
}
