// SPDX-License-Identifier: Apache-2.0
// Faults of domains end their calls and say what happened; faults of the host are the host's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <pthread.h>
#include <seccomp.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "inside.h"
#include "live.h"

#ifndef SEGV_PKUERR
#define SEGV_PKUERR 4
#endif

extern "C" {
[[noreturn]] void __chk_fail(void);
using back_fn = long (*)(long);
using do_fn = long (*)(long);
long fault_do(do_fn fn, long arg);
long fault_through(back_fn back, long arg);
long fault_back(long what);
void fault_nothing(void);
}

namespace
{

lych_domain *domain, *other, *vault;
lych_region *region;
back_fn back;
std::atomic<int> told, arrived;
struct lych_fault last_told;
long back_result;
volatile long *volatile nowhere = reinterpret_cast<volatile long *>(16);
sigjmp_buf away;

} // namespace

extern "C" long fault_do(do_fn fn, long arg)
{
	return fn(arg) + 1;
}
extern "C" long fault_through(back_fn back_to, long arg)
{
	return back_to(arg) + 1;
}
extern "C" void fault_nothing(void)
{
}
LYCH_BIND(other, fault_nothing, void, (void));
extern "C" long fault_back(long what)
{
	switch (what) {
	case 1:
		return lych_domain_reset(domain);
	case 2:
		return lych_domain_free(domain);
	case 3: // the host faults in its own code
		return nowhere[0];
	case 4: // a call with a deadline sooner than that of the one it is in
		if (LYCH_CALL_TIMEOUT(other, 3600 * 1000, LYCH_NOTHING, fault_nothing) != 0) {
			return -1;
		}
		return inside_timer_ms();
	default:
		return back_result;
	}
}

LYCH_BIND(domain, fault_through, long, (back_fn, long));
LYCH_BIND(domain, fault_do, long, (do_fn, long));
LYCH_CALLBACK(fault_back, long, (long));

namespace
{

long Nothing(long n)
{
	return n;
}
__attribute__((noipa)) long Touch(long at)
{
	return *reinterpret_cast<volatile long *>(at);
}
__attribute__((noipa)) long Write(long at)
{
	*reinterpret_cast<volatile long *>(at) = 1;
	return 0;
}
__attribute__((noipa)) long Jump(long at)
{
	return reinterpret_cast<long (*)()>(at)();
}
long WriteGate(long)
{
	__asm__ volatile("movb $0, %%gs:0" ::: "memory");
	return 0;
}
__attribute__((noipa)) long Undefined(long)
{
	__asm__ volatile("ud2");
	return 0;
}
__attribute__((noipa)) long Trap(long)
{
	__asm__ volatile("int3");
	return 0;
}
__attribute__((noipa)) long Divide(long n)
{
	volatile long zero = 0;
	return n / zero;
}
__attribute__((noinline)) long Deep(long n)
{
	volatile char room[4096];
	room[0] = 1;
	return n == 0 ? 0 : Deep(n - 1) + room[0];
}
long Abort(long)
{
	abort();
}
// Writes over what lies behind, up to the canary and beyond.
__attribute__((noipa)) long Smashed(long bytes)
{
	volatile char room[8];
	for (long i = 0; i < bytes; i++) {
		const_cast<volatile char *>(room)[i] = 'A';
	}
	return room[0];
}
long Fortified(long)
{
	__chk_fail();
}
long Exit(long code)
{
	_exit(static_cast<int>(code));
}
long Spin(long)
{
	arrived++;
	for (;;) {
		__asm__ volatile("pause");
	}
}

void Told(const struct lych_fault *fault, void *)
{
	last_told = *fault;
	told++;
}

class Faults : public ::testing::Test {
protected:
	void SetUp() override
	{
		lych_init_opts opts = {};
		opts.on_fault = Told;
		opts.report_host_faults = true;
		ASSERT_EQ(live_start(opts), 0) << lych_why();
		if (domain == nullptr) {
			domain = live_domain("faulty");
			other = live_domain("other");
			vault = live_vault();
			ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);
		}
		ASSERT_EQ(lych_domain_reset(domain), 0);
		if (back == nullptr) {
			ASSERT_EQ(lych_callback(&back, domain, fault_back, nullptr), 0);
		}
		told = arrived = 0;
		back_result = 0;
	}
	void TearDown() override
	{
		inside now;
		signal(SIGSEGV, SIG_DFL);
		signal(SIGUSR1, SIG_DFL);
		inside_look(&now);
		EXPECT_EQ(now.level, 0u);
		EXPECT_EQ(now.top, 0u);
		EXPECT_EQ(now.selector, 0u);
		EXPECT_EQ(now.pkru, ~now.not_host);
	}
	static int Do(do_fn fn, long arg = 0)
	{
		long result = -77;
		int rc = LYCH_CALL(domain, &result, fault_do, fn, arg);
		EXPECT_EQ(result, rc == 0 ? result : -77); // not written
		return rc;
	}
	// The fault ends the call, is told once, and poisons until reset.
	static struct lych_fault Fault(do_fn fn, lych_fault_kind kind, long arg = 0)
	{
		told = 0;
		EXPECT_EQ(lych_domain_reset(domain), 0);
		uint64_t before = lych_fault(domain)->count;
		EXPECT_EQ(Do(fn, arg), -EFAULT);
		struct lych_fault fault = *lych_fault(domain);
		EXPECT_STREQ(lych_fault_kind_name(fault.kind), lych_fault_kind_name(kind));
		EXPECT_EQ(fault.count, before + 1);
		EXPECT_STREQ(fault.domain, "faulty");
		EXPECT_STREQ(fault.function, "fault_do");
		EXPECT_EQ(fault.tid, static_cast<int>(syscall(SYS_gettid)));
		EXPECT_EQ(told, 1);
		EXPECT_EQ(last_told.kind, kind);
		EXPECT_EQ(Do(Nothing), -EOWNERDEAD);
		EXPECT_EQ(told, 1);
		EXPECT_EQ(lych_domain_reset(domain), 0);
		EXPECT_EQ(Do(Nothing), 0);
		EXPECT_EQ(lych_fault(domain)->kind, kind); // still there
		return fault;
	}
};

TEST_F(Faults, OfKeysNameTheOwnerOfWhatWasTouched)
{
	if (!live_keys()) {
		GTEST_SKIP() << "no keys";
	}
	// no vaults before 6.12
	void *in_other = lych_alloc(other, 64), *in_vault = vault != nullptr ? lych_alloc(vault, 64) : nullptr;
	ASSERT_NE(in_other, nullptr);
	ASSERT_EQ(in_vault != nullptr, vault != nullptr);
	const struct {
		do_fn fn;
		void *at;
		int key;
		const char *owner;
		lych_access access;
	} rows[] = {
		{Touch, in_other, lych_domain_key(other), "other", LYCH_ACCESS_READ},
		{Write, in_other, lych_domain_key(other), "other", LYCH_ACCESS_WRITE},
		{Touch, in_vault, vault != nullptr ? lych_domain_key(vault) : -1, "vault", LYCH_ACCESS_READ},
		{Write, lych_region_address(region), lych_region_key(region), "region", LYCH_ACCESS_WRITE},
		{Touch, domain, -1, "monitor", LYCH_ACCESS_READ}, // a domain's description
	};
	for (const auto &row : rows) {
		if (row.at == nullptr) {
			continue;
		}
		struct lych_fault fault = Fault(row.fn, LYCH_FAULT_KEY, reinterpret_cast<long>(row.at));
		EXPECT_EQ(fault.address, reinterpret_cast<uint64_t>(row.at)) << row.owner;
		EXPECT_EQ(fault.access, row.access) << row.owner;
		EXPECT_EQ(fault.signal, SIGSEGV);
		EXPECT_EQ(fault.code, SEGV_PKUERR);
		EXPECT_EQ(std::string(fault.owner).substr(0, strlen(row.owner)), row.owner);
		EXPECT_EQ(std::string(fault.mapping).substr(0, 4), "rw-p") << row.owner;
		EXPECT_NE(fault.rip, 0u);
		EXPECT_GE(fault.nframes, 2) << row.owner;
		if (row.key >= 0) {
			EXPECT_EQ(fault.key, row.key) << row.owner;
		}
	}
	struct lych_fault gate = Fault(WriteGate, LYCH_FAULT_KEY);
	EXPECT_STREQ(gate.owner, "gate");
	EXPECT_EQ(gate.access, LYCH_ACCESS_WRITE);
	EXPECT_EQ(lych_free(other, in_other), 0);
	if (vault != nullptr) {
		EXPECT_EQ(lych_free(vault, in_vault), 0);
	}
}

TEST_F(Faults, OfEachKindEndTheCall)
{
	EXPECT_EQ(Fault(Touch, LYCH_FAULT_SEGV, 0x1000).access, LYCH_ACCESS_READ);
	EXPECT_EQ(Fault(Write, LYCH_FAULT_SEGV, 0x1008).address, 0x1008u);
	EXPECT_EQ(Fault(Jump, LYCH_FAULT_SEGV, 0x1010).access, LYCH_ACCESS_EXEC);
	EXPECT_EQ(Fault(Undefined, LYCH_FAULT_ILL).signal, SIGILL);
	EXPECT_EQ(Fault(Trap, LYCH_FAULT_TRAP).signal, SIGTRAP);
	EXPECT_EQ(Fault(Divide, LYCH_FAULT_FPE, 3).signal, SIGFPE);
	EXPECT_EQ(Fault(Deep, LYCH_FAULT_STACK, 100000).signal, SIGSEGV);
	Fault(Abort, LYCH_FAULT_ABORT);
	EXPECT_EQ(Do(Smashed, 8), 0) << "the control: as much as there is room for";
	Fault(Smashed, LYCH_FAULT_ABORT, 40);
	Fault(Fortified, LYCH_FAULT_ABORT);
	Fault(Exit, LYCH_FAULT_EXIT, 3);
	FILE *file = tmpfile();
	void *at = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fileno(file), 0);
	EXPECT_EQ(Fault(Touch, LYCH_FAULT_BUS, reinterpret_cast<long>(at)).address, reinterpret_cast<uint64_t>(at));
	munmap(at, 4096);
	fclose(file);
}

TEST_F(Faults, OfAForgedGateEndTheCall)
{
	// an entry of the table of callbacks that nobody registered
	Fault(reinterpret_cast<do_fn>(reinterpret_cast<char *>(back) + 16 * 60), LYCH_FAULT_GATE);
	// where a site ends whose value is not in force
	Fault(Jump, LYCH_FAULT_GATE, static_cast<long>(inside_trap()));
}

TEST_F(Faults, OfADeadlineEndTheCall)
{
	long result = -1;
	EXPECT_EQ(LYCH_CALL_TIMEOUT(domain, 20, &result, fault_do, Spin, 0), -ETIMEDOUT);
	EXPECT_EQ(lych_fault(domain)->kind, LYCH_FAULT_DEADLINE);
	EXPECT_EQ(lych_fault(domain)->signal, 0);
	EXPECT_EQ(lych_fault(domain)->address, 0u);
	EXPECT_NE(lych_fault(domain)->rip, 0u);
	EXPECT_GE(lych_fault(domain)->nframes, 1);
	EXPECT_EQ(Do(Nothing), -EOWNERDEAD);
}

TEST_F(Faults, CancelTheCallsOfOtherThreads)
{
	for (bool fault : {true, false}) {
		std::vector<std::thread> threads;
		ASSERT_EQ(lych_domain_reset(domain), 0);
		arrived = 0;
		for (int i = 0; i < 3; i++) {
			threads.emplace_back([] { EXPECT_EQ(Do(Spin), -ECANCELED); });
		}
		while (arrived < 3) {
			std::this_thread::yield();
		}
		if (fault) {
			EXPECT_EQ(Do(Undefined), -EFAULT);
		} else {
			EXPECT_EQ(lych_domain_cancel(domain), 0);
		}
		for (std::thread &t : threads) {
			t.join();
		}
		EXPECT_EQ(lych_fault(domain)->kind, fault ? LYCH_FAULT_ILL : LYCH_FAULT_CANCELED);
		EXPECT_EQ(Do(Nothing), fault ? -EOWNERDEAD : 0);
	}
}

TEST_F(Faults, LeaveTheDomainToWhoIsOutsideOfIt)
{
	long result = -1;
	for (long what : {1, 2}) {
		EXPECT_EQ(LYCH_CALL(domain, &result, fault_through, back, what), 0);
		EXPECT_EQ(result, -EBUSY + 1);
	}
	EXPECT_EQ(Do(Undefined), -EFAULT);
	EXPECT_EQ(lych_domain_reset(domain), 0);
	lych_domain *own = live_domain("own");
	EXPECT_EQ(lych_domain_free(own), 0);
}

TEST_F(Faults, KeepOutAThreadThatWasNeverInside)
{
	ASSERT_EQ(Do(Undefined), -EFAULT);
	std::thread([] { EXPECT_EQ(Do(Nothing), -EOWNERDEAD); }).join();
	EXPECT_EQ(lych_fault(domain)->kind, LYCH_FAULT_ILL);
}

TEST_F(Faults, OfTwoThreadsAtOnceEndBothCalls)
{
	for (int round = 0; round < 200; round++) {
		std::atomic<int> ready{0}, faulted{0}, wrong{0};
		ASSERT_EQ(lych_domain_reset(domain), 0);
		std::vector<std::thread> threads;
		for (int i = 0; i < 3; i++) {
			threads.emplace_back([&, i] {
				ready++;
				while (ready < 3) {
					std::this_thread::yield();
				}
				int rc = Do(i % 2 == 0 ? Undefined : Touch, 24);
				faulted += rc == -EFAULT;
				wrong += rc != -EFAULT && rc != -ECANCELED && rc != -EOWNERDEAD;
			});
		}
		for (std::thread &t : threads) {
			t.join();
		}
		ASSERT_EQ(wrong, 0);
		ASSERT_GE(faulted, 1);
		const struct lych_fault *fault = lych_fault(domain);
		ASSERT_TRUE((fault->kind == LYCH_FAULT_ILL && fault->signal == SIGILL) ||
			    (fault->kind == LYCH_FAULT_SEGV && fault->address == 24))
				<< lych_fault_kind_name(fault->kind) << " at " << fault->address;
		ASSERT_EQ(Do(Nothing), -EOWNERDEAD);
	}
}

TEST_F(Faults, InARowLeaveNothing)
{
	inside before, after;
	inside_look(&before);
	for (int i = 0; i < (live_keys() ? 300 : 2000); i++) {
		ASSERT_EQ(Do(i % 2 == 0 ? Undefined : Touch, 8), -EFAULT);
		ASSERT_EQ(lych_domain_reset(domain), 0);
	}
	inside_look(&after);
	EXPECT_STREQ(inside_differences(&before, &after), "");
}

TEST_F(Faults, ArePrintedForPeople)
{
	int fds[2];
	char text[4096] = "";
	struct lych_fault fault = Fault(Write, LYCH_FAULT_SEGV, 0x2008);
	ASSERT_EQ(pipe(fds), 0);
	ASSERT_EQ(lych_fault_print(&fault, fds[1]), 0);
	close(fds[1]);
	ASSERT_GT(read(fds[0], text, sizeof(text) - 1), 0);
	close(fds[0]);
	EXPECT_THAT(text,
		    ::testing::HasSubstr("lychgate: segmentation fault in domain \"faulty\", called as fault_do"));
	EXPECT_THAT(text, ::testing::HasSubstr("write to 0x2008"));
	EXPECT_THAT(text, ::testing::ContainsRegex("rip [0-9a-f]+  flags [0-9a-f]+  fault_live_test.0x[0-9a-f]+"));
	EXPECT_THAT(text, ::testing::ContainsRegex("#0  0x[0-9a-f]+  fault_live_test.0x[0-9a-f]+"));
	EXPECT_EQ(lych_fault_print(&fault, -1), -EIO);
}

std::string Printed(const struct lych_fault &fault)
{
	int fds[2];
	char text[4096] = "";

	EXPECT_EQ(pipe(fds), 0);
	EXPECT_EQ(lych_fault_print(&fault, fds[1]), 0);
	close(fds[1]);
	EXPECT_GT(read(fds[0], text, sizeof(text) - 1), 0);
	close(fds[0]);
	return text;
}

constexpr long kHour = 3600 * 1000;

long TimedNothing(long n)
{
	long result = 0;
	EXPECT_EQ(LYCH_CALL_TIMEOUT(domain, kHour, &result, fault_do, Nothing, n), 0);
	return result;
}

// It counts from when the arguments are there: calls in these have deadlines of their own, and end before.
TEST_F(Faults, OfADeadlineAreNotLateForAnotherOneInTheArguments)
{
	long result = 77;
	EXPECT_EQ(LYCH_CALL_TIMEOUT(domain, 20, &result, fault_do, Spin, TimedNothing(TimedNothing(1))), -ETIMEDOUT);
	EXPECT_EQ(result, 77);
	EXPECT_EQ(lych_fault(domain)->kind, LYCH_FAULT_DEADLINE);
	EXPECT_EQ(lych_domain_reset(domain), 0);
}

// A kick of a call that is over would end the host's waiting with EINTR.
TEST_F(Faults, OfADeadlineDoNotComeWhenTheCallIsOver)
{
	long result = 0;
	inside_disarm();
	EXPECT_EQ(TimedNothing(1), 2);
	EXPECT_EQ(inside_timer_ms(), -1);
	EXPECT_EQ(LYCH_CALL_TIMEOUT(domain, kHour, &result, fault_do, Undefined, 0), -EFAULT);
	EXPECT_EQ(inside_timer_ms(), -1);
	EXPECT_EQ(LYCH_CALL_TIMEOUT(domain, kHour, &result, fault_do, Nothing, 0), -EOWNERDEAD);
	EXPECT_EQ(inside_timer_ms(), -1);
	EXPECT_EQ(lych_domain_reset(domain), 0);
	// one that is still there
	EXPECT_EQ(lych_callback(&back, domain, fault_back, nullptr), 0);
	EXPECT_EQ(LYCH_CALL_TIMEOUT(domain, 24 * kHour, &result, fault_through, back, 4), 0);
	EXPECT_GT(result, 23 * kHour) << "the timer in the callback, after a call there";
	EXPECT_LE(result, 24 * kHour + 1);
	EXPECT_EQ(inside_timer_ms(), -1);
}

// A thread may stand for long between the moment a deadline is counted from and the gate.
TEST_F(Faults, OfADeadlineThatPassedLongBeforeTheCallEndIt)
{
	for (long ms : {0L, 1L, 3000L}) {
		uint64_t deadline = lych_deadline_in(0, nullptr);
		const struct timespec nap = {ms / 1000, ms % 1000 * 1000000};
		struct timespec rest = nap;
		long result = 77;

		while (nanosleep(&rest, &rest) != 0) {
		}
		EXPECT_EQ(LYCH_I_CALL(domain, deadline, &result, fault_do, Spin, 0), -ETIMEDOUT) << ms;
		EXPECT_EQ(result, 77);
		if (lych_fault(domain)->kind == LYCH_FAULT_DEADLINE) {
			EXPECT_EQ(lych_domain_reset(domain), 0);
		}
	}
}

// A handler takes the thread away that reports, by siglongjmp: here the one for a system call that a report needs.
TEST_F(Faults, OfAnyThreadAreToldAfterAReportThatNobodyEnded)
{
	pid_t child = fork();
	if (child == 0) {
		std::atomic<int> step{0};
		std::thread second([&] {
			while (step == 0) {
			}
			long result = 0;
			EXPECT_EQ(LYCH_CALL(domain, &result, fault_do, Undefined, 0), -EFAULT);
			EXPECT_EQ(lych_fault(domain)->kind, LYCH_FAULT_ILL);
			EXPECT_EQ(lych_fault(domain)->tid, static_cast<int>(syscall(SYS_gettid)));
		});
		struct sigaction action = {};
		action.sa_handler = [](int) { siglongjmp(away, 1); };
		sigaction(SIGSYS, &action, nullptr);
		scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
		EXPECT_EQ(seccomp_rule_add(filter, SCMP_ACT_TRAP, SCMP_SYS(openat), 0), 0);
		EXPECT_EQ(seccomp_load(filter), 0);
		if (sigsetjmp(away, 1) == 0) {
			long result = 0;
			int rc = LYCH_CALL(domain, &result, fault_do, Touch, 16);
			ADD_FAILURE() << "the report was written, and the call gave " << rc;
		}
		EXPECT_EQ(lych_domain_reset(domain), 0);
		step = 1;
		second.join();
		_exit(HasFailure() ? 1 : 0);
	}
	int status = -1;
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
}

// What a pure domain does that calls a library's function for the first time.
TEST_F(Faults, OfTheLoaderAreToldHowToBeAvoided)
{
	struct lych_fault fault = {};

	fault.kind = LYCH_FAULT_KEY;
	fault.access = LYCH_ACCESS_WRITE;
	fault.address = 0x1000;
	fault.rip = getauxval(AT_BASE) + 0x2000;
	EXPECT_THAT(Printed(fault), ::testing::HasSubstr("link with -z now"));
	fault.key = 3;
	EXPECT_THAT(Printed(fault), ::testing::Not(::testing::HasSubstr("link with")));
	fault.key = 0;
	fault.rip = (uint64_t)(uintptr_t)Printed;
	EXPECT_THAT(Printed(fault), ::testing::Not(::testing::HasSubstr("link with")));
}

// ---- the host's ----------------------------------------------------------------------------------

TEST_F(Faults, OfTheHostEndItAsIfWeWereNotThere)
{
	long result = 0;
	EXPECT_EXIT(Touch(16), ::testing::KilledBySignal(SIGSEGV),
		    "lychgate: signal 11 in the host, at instruction 0x.*, address 0x10");
	EXPECT_EXIT(Undefined(0), ::testing::KilledBySignal(SIGILL), "signal 4 in the host");
	EXPECT_EXIT(abort(), ::testing::KilledBySignal(SIGABRT), ::testing::StrEq("")) << "no fault";
	EXPECT_EXIT(
		{
			if (LYCH_CALL(domain, &result, fault_through, back, 3) != 0) {
				_exit(3);
			}
		},
		::testing::KilledBySignal(SIGSEGV), "address 0x10");
	EXPECT_EXIT(
		{
			signal(SIGUSR1, [](int) { Touch(32); });
			raise(SIGUSR1);
		},
		::testing::KilledBySignal(SIGSEGV), "address 0x20");
}

volatile uint64_t seen_rip, seen_address;
volatile int seen_code, seen_level;
void Leave(int, siginfo_t *info, void *context)
{
	inside now;
	inside_look(&now);
	seen_rip = static_cast<uint64_t>(static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP]);
	seen_address = reinterpret_cast<uint64_t>(info->si_addr);
	seen_code = info->si_code;
	seen_level = static_cast<int>(now.level);
	siglongjmp(away, 1);
}

TEST_F(Faults, OfTheHostAreItsHandlers)
{
	struct sigaction action = {};
	action.sa_sigaction = Leave;
	action.sa_flags = SA_SIGINFO;
	ASSERT_EQ(sigaction(SIGSEGV, &action, nullptr), 0);
	if (sigsetjmp(away, 1) == 0) {
		Touch(16);
	}
	EXPECT_EQ(seen_address, 16u);
	EXPECT_GE(seen_rip, reinterpret_cast<uint64_t>(Touch));
	EXPECT_LT(seen_rip, reinterpret_cast<uint64_t>(Touch) + 32);
	// in a handler
	signal(SIGUSR1, [](int) { Touch(40); });
	if (sigsetjmp(away, 1) == 0) {
		raise(SIGUSR1);
	}
	EXPECT_EQ(seen_address, 40u);
	EXPECT_EQ(seen_level, 2);
	if (live_keys()) { // memory of a region is closed for the host, too
		auto at = reinterpret_cast<long>(lych_region_address(region));
		if (sigsetjmp(away, 1) == 0) {
			Touch(at);
		}
		EXPECT_EQ(seen_code, SEGV_PKUERR);
		EXPECT_EQ(seen_address, static_cast<uint64_t>(at));
	}
	// above a call
	long result = -1;
	if (sigsetjmp(away, 1) == 0) {
		(void)!LYCH_CALL(domain, &result, fault_through, back, 3);
	}
	EXPECT_EQ(seen_address, 16u);
	EXPECT_EQ(Do(Nothing), 0);
	EXPECT_EQ(told, 0);
	EXPECT_EQ(lych_domain_reset(domain), 0); // which nobody is inside of
}

} // namespace
