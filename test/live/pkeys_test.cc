// SPDX-License-Identifier: Apache-2.0
// The program's own protection keys beside the runtime's: pkey_set, pkey_alloc and pkey_free do what <sys/mman.h> says,
// what a thread chooses holds wherever its code runs, and nothing of the runtime's can be chosen.
#include <asm/prctl.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <thread>

#include "inside.h"
#include "live.h"
#include "needs_pku.h"

namespace
{

constexpr unsigned kOpen = 0, kNoAccess = PKEY_DISABLE_ACCESS, kNoWrite = PKEY_DISABLE_WRITE, kNeither = 3;
constexpr unsigned kAll[] = {kOpen, kNoAccess, kNoWrite, kNeither};

lych_domain *domain;
lych_region *region;
std::function<void()> in_callback, in_handler;
sigjmp_buf away;

} // namespace

extern "C" {
typedef void (*back_fn)(void);
long pkeys_leaf(long n);
long pkeys_through(back_fn back);
long pkeys_raise(long signal);
long pkeys_crash(long at);
void pkeys_back(void);
}
extern "C" __attribute__((noinline)) long pkeys_leaf(long n)
{
	return n + 1;
}
extern "C" __attribute__((noinline)) long pkeys_through(back_fn back)
{
	back();
	return 7;
}
// Waits in the domain until a handler has run.
static volatile int handled;
extern "C" __attribute__((noinline)) long pkeys_raise(long before)
{
	while (handled == before) {
		__asm__ volatile("pause");
	}
	return 8;
}
extern "C" __attribute__((noinline)) long pkeys_crash(long at)
{
	return *reinterpret_cast<volatile long *>(at);
}
LYCH_BIND(domain, pkeys_leaf, long, (long));
LYCH_BIND(domain, pkeys_through, long, (back_fn));
LYCH_BIND(domain, pkeys_raise, long, (long));
LYCH_BIND(domain, pkeys_crash, long, (long));
LYCH_CALLBACK(pkeys_back, void, (void));
extern "C" void pkeys_back(void)
{
	in_callback();
}

namespace
{

back_fn back;

void Call()
{
	long got = 0;
	ASSERT_EQ(LYCH_CALL(domain, &got, pkeys_leaf, 41), 0);
	ASSERT_EQ(got, 42);
}

void Through(std::function<void()> inner)
{
	std::function<void()> outer = in_callback;
	long got = 0;
	in_callback = inner;
	EXPECT_EQ(LYCH_CALL(domain, &got, pkeys_through, back), 0);
	EXPECT_EQ(got, 7);
	in_callback = outer;
}

void OnSignal(int, siginfo_t *, void *)
{
	in_handler();
	handled = handled + 1;
}

// With inner as its handler, in the host or while a domain runs.
void Signal(bool domain_runs, std::function<void()> inner)
{
	struct sigaction action = {};

	in_handler = inner;
	action.sa_sigaction = OnSignal;
	action.sa_flags = SA_SIGINFO;
	ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
	if (!domain_runs) {
		raise(SIGUSR1);
		return;
	}
	pthread_t self = pthread_self();
	int before = handled;
	std::atomic<bool> stop{false};
	// it may come anywhere on the way, so it comes until it came in the domain
	static volatile bool in_domain;
	in_domain = false;
	in_handler = [&] {
		if (inside_interrupted_domain()) {
			in_domain = true;
			inner();
		}
	};
	std::thread sender([&] {
		while (!stop) {
			pthread_kill(self, SIGUSR1);
			usleep(1000);
		}
	});
	for (long got = 0; !in_domain; before = handled) {
		ASSERT_EQ(LYCH_CALL(domain, &got, pkeys_raise, before), 0);
	}
	stop = true;
	sender.join();
}

class HostsPkeys : public NeedsPku
{
protected:
	int key = -1;
	char *page = nullptr;

	void SetUp() override
	{
		NeedsPku::SetUp();
		if (IsSkipped() || HasFatalFailure()) {
			return;
		}
		ASSERT_EQ(live_start(), 0) << lych_why();
		if (domain == nullptr) {
			domain = live_domain("pkeys");
			ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);
			ASSERT_EQ(lych_callback(&back, domain, pkeys_back, nullptr), 0);
		}
		key = pkey_alloc(0, kNoAccess);
		ASSERT_GT(key, 0);
		page = static_cast<char *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		ASSERT_NE(static_cast<void *>(page), MAP_FAILED);
		ASSERT_EQ(pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, key), 0);
	}
	void TearDown() override
	{
		if (key > 0) {
			munmap(page, 4096);
			pkey_set(key, kNoAccess);
			EXPECT_EQ(pkey_free(key), 0);
		}
	}
	// Of the calling thread: PKRU and what its callbacks and handlers will have are the same.
	void ExpectRights(unsigned rights, const char *where)
	{
		inside now;
		inside_look(&now);
		EXPECT_EQ(pkey_get(key), static_cast<int>(rights)) << where;
		if (now.area != 0) {
			EXPECT_EQ(~now.not_host >> 2 * key & 3, rights) << where << ": in callbacks";
		}
		EXPECT_EQ(now.not_want, 0u);
	}
};

// ---- before the runtime is there

// By its name this suite runs first.
TEST_F(NeedsPku, BeforeTheStartKeysAreGlibcsOwn)
{
	ASSERT_STREQ(lych_backend_name(), "") << "run alone or first";
	int key = pkey_alloc(0, kNoWrite);
	ASSERT_GT(key, 0);
	EXPECT_EQ(pkey_get(key), static_cast<int>(kNoWrite));
	for (unsigned rights : kAll) {
		EXPECT_EQ(pkey_set(key, rights), 0);
		EXPECT_EQ(pkey_get(key), static_cast<int>(rights));
	}
	EXPECT_EQ(pkey_set(16, 0), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(pkey_free(key), 0);
	EXPECT_EQ(pkey_free(key), -1);
	EXPECT_EQ(errno, EINVAL);
}

// The code was repaired when the start failed, and stays so.
TEST_F(NeedsPku, AfterAStartThatFailedKeysAreTheHostsAlone)
{
	ASSERT_STREQ(lych_backend_name(), "") << "run alone or first";
	pid_t child = fork();
	if (child == 0) {
		lych_init_opts opts = {};
		opts.size = sizeof(opts);
		opts.backend = LYCH_PKU;
		opts.max_keys = 1;
		EXPECT_EQ(lych_init(&opts), -ENOSPC) << lych_why();
		auto *glibcs = reinterpret_cast<int (*)(int, unsigned)>(dlsym(RTLD_NEXT, "pkey_set"));
		EXPECT_EQ(*reinterpret_cast<uint8_t *>(glibcs), 0xeb) << "the control: it was repaired";
		int key = pkey_alloc(0, kNoWrite);
		uint64_t gs = 1;
		EXPECT_GT(key, 0);
		int (*const both[])(int, unsigned) = {pkey_set, glibcs};
		for (auto *set : both) {
			for (unsigned rights : kAll) {
				EXPECT_EQ(set(key, rights), 0);
				EXPECT_EQ(pkey_get(key), static_cast<int>(rights));
			}
			EXPECT_EQ(set(16, 0), -1);
			EXPECT_EQ(set(key, 4), -1);
			EXPECT_EQ(errno, EINVAL);
		}
		EXPECT_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs), 0);
		EXPECT_EQ(gs, 0u);
		EXPECT_EQ(pkey_free(key), 0);
		_exit(HasFailure() ? 1 : 0);
	}
	int status = -1;
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
}

// ---- the contracts

TEST_F(HostsPkeys, AreSetAndReadBack)
{
	for (unsigned from : kAll) {
		for (unsigned to : kAll) {
			EXPECT_EQ(pkey_set(key, from), 0);
			EXPECT_EQ(pkey_set(key, to), 0);
			ExpectRights(to, "set");
		}
	}
	EXPECT_EQ(pkey_set(key, kOpen), 0);
	*page = 1;
	EXPECT_EQ(pkey_set(key, kNoWrite), 0);
	EXPECT_EQ(*page, 1);
	EXPECT_PKU_FAULT(key, { *page = 2; });
	EXPECT_EQ(pkey_set(key, kNoAccess), 0);
	EXPECT_PKU_FAULT(key, { (void)*const_cast<volatile char *>(page); });
}

// Who has found glibc's function by itself, or was linked before the runtime, comes to the same.
TEST_F(HostsPkeys, AreSetByGlibcsFunctionToo)
{
	auto *glibcs = reinterpret_cast<int (*)(int, unsigned)>(dlsym(RTLD_NEXT, "pkey_set"));
	ASSERT_NE(glibcs, nullptr);
	ASSERT_NE(reinterpret_cast<void *>(glibcs), reinterpret_cast<void *>(&pkey_set));
	for (unsigned rights : kAll) {
		EXPECT_EQ(glibcs(key, rights), 0);
		ExpectRights(rights, "set");
		Through([&] {
			ExpectRights(rights, "in a callback");
			EXPECT_EQ(glibcs(key, ~rights & 3), 0);
		});
		ExpectRights(~rights & 3, "set in a callback");
	}
	errno = 0;
	EXPECT_EQ(glibcs(lych_region_key(region), kOpen), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(glibcs(-1, kOpen), -1);
	std::thread([&] {
		EXPECT_EQ(glibcs(key, kNoWrite), 0);
		EXPECT_EQ(pkey_get(key), static_cast<int>(kNoWrite));
	}).join();
}

TEST_F(HostsPkeys, RefuseWhatIsOutOfRange)
{
	struct {
		int key;
		unsigned rights;
	} wrong[] = {{-1, 0}, {16, 0}, {INT32_MAX, 0}, {INT32_MIN, 0}, {key, 4}, {key, ~0u}};
	for (auto &one : wrong) {
		errno = 0;
		EXPECT_EQ(pkey_set(one.key, one.rights), -1) << one.key << ", " << one.rights;
		EXPECT_EQ(errno, EINVAL);
	}
	errno = 4711;
	EXPECT_EQ(pkey_set(key, kOpen), 0);
	EXPECT_EQ(errno, 4711) << "untouched";
	EXPECT_EQ(pkey_alloc(1, 0), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(pkey_alloc(0, 4), -1);
	EXPECT_EQ(errno, EINVAL);
	for (int none : {-1, 16, INT32_MAX}) {
		EXPECT_EQ(pkey_free(none), -1);
		EXPECT_EQ(errno, EINVAL);
	}
}

TEST_F(HostsPkeys, AreAllocatedWithTheRightsAskedFor)
{
	int first = key;
	for (unsigned rights : kAll) {
		key = pkey_alloc(0, rights);
		ASSERT_GT(key, 0);
		ExpectRights(rights, "allocated");
		Call();
		Through([&] { ExpectRights(rights, "in a callback"); });
		EXPECT_EQ(pkey_free(key), 0);
	}
	key = first;
	// until there is none
	int more[16], count = 0;
	while ((more[count] = pkey_alloc(0, kOpen)) > 0) {
		EXPECT_EQ(inside_keys() >> more[count] & 1, 0u);
		ASSERT_LT(++count, 16);
	}
	EXPECT_EQ(errno, ENOSPC);
	for (int i = 0; i < count; i++) {
		EXPECT_EQ(pkey_free(more[i]), 0);
	}
}

TEST_F(HostsPkeys, KeyZeroStaysOpen)
{
	EXPECT_EQ(pkey_set(0, kOpen), 0);
	for (unsigned rights : {kNoAccess, kNoWrite, kNeither}) {
		EXPECT_EQ(pkey_set(0, rights), -1);
		EXPECT_EQ(errno, EINVAL);
	}
	EXPECT_EQ(pkey_free(0), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(pkey_get(0), static_cast<int>(kOpen));
}

TEST_F(HostsPkeys, AreNotTheRuntimes)
{
	inside before, after;
	const uint32_t keys = inside_keys();

	ASSERT_GE(__builtin_popcount(keys), 4) << "monitor, gate, domain, region";
	LYCH_WRITE(char, open, region)
	{
		inside_look(&before);
		for (int ours = 1; ours < 16; ours++) {
			if ((keys >> ours & 1) == 0) {
				continue;
			}
			for (unsigned rights : kAll) {
				EXPECT_EQ(pkey_set(ours, rights), -1) << ours;
				EXPECT_EQ(errno, EINVAL);
			}
			EXPECT_EQ(pkey_free(ours), -1);
			EXPECT_EQ(errno, EINVAL);
		}
		inside_look(&after);
		EXPECT_STREQ(inside_differences(&before, &after), "");
		*open = 1;
	}
	EXPECT_EQ(inside_keys(), keys);
	EXPECT_EQ(lych_verify(nullptr, nullptr), 0);
	Call();
}

// Somebody has freed a key of the runtime's by a bare system call: nobody gets it.
TEST_F(HostsPkeys, AreNotThoseThatWereFreedUnderTheRuntime)
{
	int regions = lych_region_key(region);
	ASSERT_EQ(syscall(SYS_pkey_free, regions), 0);
	int more[16], count = 0;
	while ((more[count] = pkey_alloc(0, kOpen)) > 0) {
		EXPECT_NE(more[count], regions);
		ASSERT_LT(++count, 16);
	}
	EXPECT_EQ(pkey_get(regions), static_cast<int>(kNoAccess));
	LYCH_WRITE(char, open, region)
	{
		*open = 2;
	}
	for (int i = 0; i < count; i++) {
		EXPECT_EQ(pkey_free(more[i]), 0);
	}
	EXPECT_EQ(syscall(SYS_pkey_free, regions), 0) << "the control: it was allocated again, for its owner";
	EXPECT_EQ(syscall(SYS_pkey_alloc, 0L, static_cast<long>(kNoAccess)), regions);
}

// ---- where code of the host runs

TEST_F(HostsPkeys, HoldInCallsAndCallbacks)
{
	for (unsigned rights : kAll) {
		EXPECT_EQ(pkey_set(key, rights), 0);
		Call();
		ExpectRights(rights, "after a call");
		Through([&] {
			ExpectRights(rights, "in a callback");
			Call();
			ExpectRights(rights, "after a call in it");
		});
		ExpectRights(rights, "after a callback");
	}
}

TEST_F(HostsPkeys, ChosenInACallbackHoldAfterTheCall)
{
	for (unsigned rights : kAll) {
		EXPECT_EQ(pkey_set(key, ~rights & 3), 0);
		Through([&] {
			EXPECT_EQ(pkey_set(key, rights), 0);
			ExpectRights(rights, "in the callback");
			Call();
			ExpectRights(rights, "after a call in it");
		});
		ExpectRights(rights, "after the call");
		// two calls below
		EXPECT_EQ(pkey_set(key, ~rights & 3), 0);
		Through([&] {
			Through([&] { EXPECT_EQ(pkey_set(key, rights), 0); });
			ExpectRights(rights, "in the outer callback");
		});
		ExpectRights(rights, "after the outer call");
		// a call that does not end well has the same way back
		EXPECT_EQ(pkey_set(key, ~rights & 3), 0);
		Through([&] {
			long got;
			EXPECT_EQ(pkey_set(key, rights), 0);
			EXPECT_EQ(LYCH_CALL(domain, &got, pkeys_leaf, 1), 0);
		});
		ExpectRights(rights, "again");
	}
}

TEST_F(HostsPkeys, HoldAfterAFault)
{
	lych_domain *whole = domain;
	domain = live_domain("crashing");
	for (unsigned rights : kAll) {
		long got;
		EXPECT_EQ(pkey_set(key, rights), 0);
		EXPECT_EQ(LYCH_CALL(domain, &got, pkeys_crash, 16), -EFAULT);
		ExpectRights(rights, "after the fault");
		ASSERT_EQ(lych_domain_reset(domain), 0);
	}
	EXPECT_EQ(lych_domain_free(domain), 0);
	domain = whole;
}

TEST_F(HostsPkeys, OpenRegionsStayAsTheyAreAndClosedInCallbacks)
{
	LYCH_WRITE(char, open, region)
	{
		EXPECT_EQ(pkey_set(key, kOpen), 0);
		*open = 3;
		Through([&] {
			EXPECT_EQ(pkey_set(key, kNoWrite), 0);
			EXPECT_EQ(pkey_get(lych_region_key(region)), static_cast<int>(kNoAccess));
		});
		*open = 4;
		ExpectRights(kNoWrite, "with a region open");
	}
	EXPECT_EQ(pkey_get(lych_region_key(region)), static_cast<int>(kNoAccess));
	ExpectRights(kNoWrite, "with the region closed");
}

TEST_F(HostsPkeys, HoldInHandlersAndWhatTheseChooseEndsWithThem)
{
	for (bool domain_runs : {false, true}) {
		for (unsigned rights : kAll) {
			const unsigned other = ~rights & 3;
			EXPECT_EQ(pkey_set(key, rights), 0);
			Signal(domain_runs, [&] {
				ExpectRights(rights, "in a handler");
				EXPECT_EQ(pkey_set(key, other), 0);
				ExpectRights(other, "chosen there");
				Through([&] {
					ExpectRights(other, "in a callback above it");
					EXPECT_EQ(pkey_set(key, rights), 0);
				});
				ExpectRights(rights, "chosen there");
				EXPECT_EQ(pkey_set(key, other), 0);
				Call();
				ExpectRights(other, "after a call in the handler");
			});
			ExpectRights(rights, domain_runs ? "after it, in the domain" : "after it");
			Call();
			Through([&] { ExpectRights(rights, "in a callback after it"); });
		}
	}
}

TEST_F(HostsPkeys, AHandlerInACallbackChangesNothingOfIt)
{
	EXPECT_EQ(pkey_set(key, kOpen), 0);
	Through([&] {
		EXPECT_EQ(pkey_set(key, kNoWrite), 0);
		Signal(false, [&] {
			ExpectRights(kNoWrite, "in the handler");
			EXPECT_EQ(pkey_set(key, kNeither), 0);
		});
		ExpectRights(kNoWrite, "in the callback");
	});
	ExpectRights(kNoWrite, "after the call");
}

// As without the runtime: siglongjmp does not restore PKRU.
TEST_F(HostsPkeys, ChosenInAHandlerThatIsLeftStay)
{
	EXPECT_EQ(pkey_set(key, kNoAccess), 0);
	if (sigsetjmp(away, 1) == 0) {
		Signal(false, [&] {
			EXPECT_EQ(pkey_set(key, kNoWrite), 0);
			siglongjmp(away, 1);
		});
		FAIL() << "the handler was not left";
	}
	ExpectRights(kNoWrite, "after it");
	// the handler's record is still there
	Through([&] { EXPECT_EQ(pkey_set(key, kNeither), 0); });
	ExpectRights(kNeither, "after a callback");
	EXPECT_EQ(pkey_set(key, kOpen), 0);
	ExpectRights(kOpen, "chosen anew");
}

// ---- tasks

TEST_F(HostsPkeys, HoldInTheChildOfAForkAndAreItsOwnThere)
{
	EXPECT_EQ(pkey_set(key, kNoWrite), 0);
	pid_t child = fork();
	if (child == 0) {
		ExpectRights(kNoWrite, "in the child");
		EXPECT_EQ(pkey_set(key, kOpen), 0);
		*page = 9;
		Call();
		Through([&] { ExpectRights(kOpen, "in its callback"); });
		ExpectRights(kOpen, "after its call");
		EXPECT_EQ(pkey_set(lych_region_key(region), kOpen), -1);
		EXPECT_EQ(errno, EINVAL);
		int mine = pkey_alloc(0, kOpen);
		EXPECT_GT(mine, 0);
		EXPECT_EQ(pkey_free(mine), 0);
		_exit(HasFailure() ? 1 : 0);
	}
	int status = -1;
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
	ExpectRights(kNoWrite, "in the parent");
}

// No fork handler has run: the area is empty.
TEST_F(HostsPkeys, WorkInAChildThatNobodyHasSeen)
{
	EXPECT_EQ(pkey_set(key, kNoWrite), 0);
	pid_t child = _Fork();
	if (child == 0) {
		bool good = pkey_get(key) == static_cast<int>(kNoWrite) && pkey_set(key, kOpen) == 0 &&
			    pkey_get(key) == static_cast<int>(kOpen);
		*page = 9;
		good = good && pkey_set(lych_region_key(region), kOpen) == -1 && errno == EINVAL;
		_exit(good ? 0 : 1);
	}
	int status = -1;
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
}

// A thread that uses no gate needs none for its keys: it is not attached by them.
TEST_F(HostsPkeys, WorkInAThreadThatIsNotAttached)
{
	EXPECT_EQ(pkey_set(key, kNoWrite), 0);
	const unsigned attached = inside_threads();
	const int regions = lych_region_key(region);
	std::thread([&] {
		ExpectRights(kNoWrite, "as its creator's");
		for (unsigned rights : kAll) {
			EXPECT_EQ(pkey_set(key, rights), 0);
			EXPECT_EQ(pkey_get(key), static_cast<int>(rights));
		}
		EXPECT_EQ(pkey_set(key, kOpen), 0);
		*page = 5;
		for (unsigned rights : kAll) {
			EXPECT_EQ(pkey_set(regions, rights), -1);
			EXPECT_EQ(errno, EINVAL);
			EXPECT_EQ(pkey_get(regions), static_cast<int>(kNoAccess));
		}
		EXPECT_EQ(pkey_free(regions), -1);
		EXPECT_EQ(errno, EINVAL);
		EXPECT_EQ(pkey_set(0, kNoAccess), -1);
		int mine = pkey_alloc(0, kNoWrite);
		EXPECT_GT(mine, 0);
		EXPECT_EQ(pkey_get(mine), static_cast<int>(kNoWrite));
		EXPECT_EQ(pkey_free(mine), 0);
		// in a handler, with everything blocked as well
		Signal(false, [&] {
			EXPECT_EQ(pkey_set(key, kNoWrite), 0);
			EXPECT_EQ(pkey_get(key), static_cast<int>(kNoWrite));
		});
		EXPECT_EQ(pkey_get(key), static_cast<int>(kOpen)) << "undone by the kernel";
		sigset_t all, now;
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, nullptr);
		EXPECT_EQ(pkey_set(key, kNoAccess), 0);
		pthread_sigmask(SIG_SETMASK, nullptr, &now);
		EXPECT_EQ(sigismember(&now, SIGILL), 1);
		EXPECT_EQ(pkey_get(key), static_cast<int>(kNoAccess));
	}).join();
	EXPECT_EQ(inside_threads(), attached);
}

TEST_F(HostsPkeys, StayWhenAThreadAttaches)
{
	for (unsigned rights : kAll) {
		std::thread([&] {
			EXPECT_EQ(pkey_set(key, rights), 0);
			Call();
			ExpectRights(rights, "attached");
			Through([&] { ExpectRights(rights, "in a callback"); });
		}).join();
	}
	// of one that is freed nothing is left
	std::thread([&] {
		int gone = pkey_alloc(0, kOpen);
		EXPECT_EQ(pkey_free(gone), 0);
		EXPECT_EQ(pkey_get(gone), static_cast<int>(kOpen)) << "the control: the kernel leaves it";
		Call();
		EXPECT_EQ(pkey_get(gone), static_cast<int>(kNoAccess));
	}).join();
}

TEST_F(HostsPkeys, OfOneThreadAreNotAnothers)
{
	std::atomic<int> step{0};
	EXPECT_EQ(pkey_set(key, kOpen), 0);
	std::thread other([&] {
		Call();
		EXPECT_EQ(pkey_set(key, kNoWrite), 0);
		step = 1;
		while (step != 2) {
		}
		Call();
		ExpectRights(kNoWrite, "in the other thread");
	});
	while (step != 1) {
	}
	ExpectRights(kOpen, "here");
	EXPECT_EQ(pkey_set(key, kNeither), 0);
	step = 2;
	other.join();
	ExpectRights(kNeither, "here");
}

// ---- keys that change hands

TEST_F(HostsPkeys, FreedAreTakenByTheRuntimeWithoutAnyRightLeft)
{
	int count = 0;
	// all that are left, so that the runtime gets the one that is freed
	int others[16];
	while ((others[count] = pkey_alloc(0, kNoAccess)) > 0) {
		ASSERT_LT(++count, 16);
	}
	int freed = others[--count];
	std::atomic<int> step{0};
	std::thread attached([&] {
		Call();
		EXPECT_EQ(pkey_set(freed, kOpen), 0);
		step++;
		while (step < 3) {
		}
		EXPECT_EQ(pkey_get(freed), static_cast<int>(kNoAccess));
		EXPECT_EQ(pkey_set(freed, kOpen), -1);
		Through([&] { EXPECT_EQ(pkey_get(freed), static_cast<int>(kNoAccess)); });
	});
	std::thread stranger([&] {
		EXPECT_EQ(pkey_set(freed, kOpen), 0);
		step++;
		while (step < 3) {
		}
		EXPECT_EQ(pkey_get(freed), static_cast<int>(kNoAccess));
		EXPECT_EQ(pkey_set(freed, kOpen), -1);
	});
	EXPECT_EQ(pkey_set(freed, kOpen), 0);
	while (step < 2) {
	}
	EXPECT_EQ(pkey_free(freed), 0);
	lych_region *taken = nullptr;
	ASSERT_EQ(lych_region_new(&taken, 4096, nullptr), 0) << lych_why();
	EXPECT_EQ(lych_region_key(taken), freed);
	step++;
	attached.join();
	stranger.join();
	EXPECT_EQ(pkey_get(freed), static_cast<int>(kNoAccess));
	EXPECT_EQ(pkey_set(freed, kOpen), -1);
	EXPECT_EQ(errno, EINVAL);
	// and back
	EXPECT_EQ(lych_region_free(taken), 0);
	int again = pkey_alloc(0, kNoWrite);
	EXPECT_EQ(again, freed);
	EXPECT_EQ(pkey_set(again, kOpen), 0);
	EXPECT_EQ(pkey_get(again), static_cast<int>(kOpen));
	EXPECT_EQ(pkey_free(again), 0);
	while (count > 0) {
		EXPECT_EQ(pkey_free(others[--count]), 0);
	}
}

// Threads that set a key all the time, right or wrong, never have one while it is a region's.
TEST_F(HostsPkeys, AreNeverARegionsWhoeverSetsThemMeanwhile)
{
	std::atomic<int> owned{0};
	std::atomic<bool> stop{false};
	std::atomic<unsigned> set{0}, refused{0}, looked{0}, wrong{0};
	auto sets = [&](bool attach) {
		if (attach) {
			Call();
		}
		while (!stop) {
			for (int k = 1; k < 16; k++) {
				int before = owned;
				int rc = pkey_set(k, kOpen);
				int rights = pkey_get(k);
				if (before == k && owned == k) {
					looked++;
					wrong += rights != static_cast<int>(kNoAccess) || rc == 0;
				}
				(rc == 0 ? set : refused)++;
			}
		}
	};
	std::thread first([&] { sets(true); }), second([&] { sets(false); });
	for (int i = 0; i < 30 || ((looked == 0 || set == 0) && i < 3000); i++) {
		lych_region *one = nullptr;
		ASSERT_EQ(lych_region_new(&one, 4096, nullptr), 0) << lych_why();
		owned = lych_region_key(one);
		LYCH_WRITE(char, open, one)
		{
			*open = 1;
		}
		unsigned before = looked;
		for (int spin = 0; looked == before && spin < 100; spin++) {
			usleep(100);
		}
		owned = 0;
		ASSERT_EQ(lych_region_free(one), 0);
	}
	stop = true;
	first.join();
	second.join();
	printf("%u set, %u refused, %u looked at\n", set.load(), refused.load(), looked.load());
	EXPECT_EQ(wrong, 0u);
	EXPECT_GT(looked, 0u);
	EXPECT_GT(set, 0u);
}

} // namespace
