/* SPDX-License-Identifier: Apache-2.0 */
// Threads that are not attached, where it is hard: in a handler of the host, and while keys get other owners. Who waits
// to attach is given no right that was taken from everybody meanwhile (G8), and who attaches in a handler is attached
// behind it, too.
#include "needs_pku.h"

#include <cpuid.h>
#include <lychgate/lychgate.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "inside.h"
#include "live.h"

namespace
{

// In a child, as lych_init is once for a process, and a thread that has a right too many is to end it.
template <typename Code> void InAChild(Code code)
{
	fflush(nullptr);
	pid_t child = fork();
	if (child == 0) {
		alarm(100);
		code();
		fflush(nullptr);
		_exit(::testing::Test::HasFailure() ? 1 : 0);
	}
	int status = -1;
	EXPECT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0) << "wait status";
}

uint32_t Pkru()
{
	uint32_t low = 0, high;

	if (live_keys()) {
		__asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(low), "=d"(high) : "c"(0)); // rdpkru
	}
	return low;
}

int Tid()
{
	return static_cast<int>(syscall(SYS_gettid));
}

std::atomic<int> step;

void WaitFor(int value)
{
	while (step != value) {
		sched_yield();
	}
}

void Handle(int sig, void (*handler)(int))
{
	struct sigaction action = {};
	action.sa_handler = handler;
	ASSERT_EQ(sigaction(sig, &action, nullptr), 0);
}

lych_domain *domain;
volatile long *word;

} // namespace

extern "C" {
static long stranger_add(long n)
{
	return n + 1;
}
static long stranger_asks(void)
{
	long nr = SYS_getpid;
	__asm__ volatile("syscall" : "+a"(nr) : : "rcx", "r11", "memory");
	return nr;
}
static long stranger_faults(void)
{
	__asm__ volatile("ud2");
	return 0;
}
}
LYCH_BIND(domain, stranger_add, long, (long));
LYCH_BIND(domain, stranger_asks, long, (void));
LYCH_BIND(domain, stranger_faults, long, (void));

namespace
{

// ---- in a handler of the host

// What an attached thread is: the kernel knows the monitor's stack, blocks none of what the runtime needs, and domains
// work whatever they do.
void ExpectAttached(const char *where)
{
	inside now;
	stack_t stack = {};
	long result = 0;

	SCOPED_TRACE(where);
	inside_look(&now);
	ASSERT_NE(now.area, 0u);
	ASSERT_EQ(syscall(SYS_sigaltstack, nullptr, &stack), 0);
	EXPECT_EQ(reinterpret_cast<uint64_t>(stack.ss_sp), now.altstack);
	EXPECT_EQ(stack.ss_size, now.altstack_bytes);
	for (int sig : {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, 33}) {
		EXPECT_EQ(now.kernel_mask >> (sig - 1) & 1, 0u) << strsignal(sig);
	}
	if (live_keys()) {
		EXPECT_EQ(now.pkru, static_cast<uint32_t>(~now.not_host));
	}
	EXPECT_EQ(LYCH_CALL(domain, &result, stranger_add, 41), 0);
	EXPECT_EQ(result, 42);
	EXPECT_EQ(LYCH_CALL(domain, &result, stranger_asks), 0);
	EXPECT_EQ(result, getpid());
	EXPECT_EQ(LYCH_CALL(domain, &result, stranger_faults), -EFAULT);
	EXPECT_EQ(lych_domain_reset(domain), 0);
}

sigset_t BlockedNow()
{
	sigset_t set;
	EXPECT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &set), 0);
	return set;
}

enum Age { OLDER, YOUNGER };

// A thread, older than lych_init or not, attaches in a handler: by what it does there.
void AttachesInAHandler(Age age, int deep, void (*handler)(int))
{
	InAChild([=] {
		static int levels;
		static void (*innermost)(int);
		levels = deep;
		innermost = handler;
		auto body = [] {
			sigset_t bus, set;
			WaitFor(1);
			sigemptyset(&bus);
			sigaddset(&bus, SIGBUS);
			sigaddset(&bus, SIGUSR2);
			ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &bus, nullptr), 0);
			raise(SIGUSR1);
			set = BlockedNow();
			EXPECT_EQ(sigismember(&set, SIGBUS), 1) << "as the host sees it";
			EXPECT_EQ(sigismember(&set, SIGUSR2), 1);
			EXPECT_EQ(sigismember(&set, SIGUSR1), 0);
			ExpectAttached("behind the handler");
		};
		std::thread older, younger;
		if (age == OLDER) {
			older = std::thread(body);
		}
		ASSERT_EQ(live_start(), 0) << lych_why();
		domain = live_domain("domain");
		word = static_cast<long *>(lych_alloc(domain, sizeof(long)));
		ASSERT_NE(word, nullptr);
		struct sigaction action = {};
		action.sa_flags = SA_NODEFER;
		action.sa_handler = [](int sig) {
			inside now;
			inside_look(&now);
			EXPECT_EQ(now.area, 0u) << "the control: not attached yet";
			if (--levels > 0) {
				raise(sig);
				ExpectAttached("behind the inner handler, in the outer one");
			} else {
				innermost(sig);
				ExpectAttached("in the handler");
			}
		};
		ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
		if (age == YOUNGER) {
			younger = std::thread(body);
		}
		step = 1;
		(age == OLDER ? older : younger).join();
	});
}

void Calls(int)
{
	long result = 0;
	EXPECT_EQ(LYCH_CALL(domain, &result, stranger_add, 1), 0);
}

void Touches(int)
{
	*word = 7;
}

TEST(Stranger, WhoCallsADomainInAHandlerIsAttachedBehindItToo)
{
	for (Age age : {OLDER, YOUNGER}) {
		for (int deep : {1, 2}) {
			SCOPED_TRACE(testing::Message() << (age == OLDER ? "older" : "younger") << ", " << deep << " deep");
			AttachesInAHandler(age, deep, Calls);
		}
	}
}

class StrangerWithKeys : public NeedsPku {};

// A handler has key 0 alone, however old its thread is.
TEST_F(StrangerWithKeys, WhoTouchesADomainsMemoryInAHandlerIsAttachedBehindItToo)
{
	for (Age age : {OLDER, YOUNGER}) {
		for (int deep : {1, 2}) {
			SCOPED_TRACE(testing::Message() << (age == OLDER ? "older" : "younger") << ", " << deep << " deep");
			AttachesInAHandler(age, deep, Touches);
		}
	}
}

// The key that it has keys of others for stays open to it, too.
TEST_F(StrangerWithKeys, WhoAttachesInAHandlerKeepsItsRightsToKeysOfOthers)
{
	InAChild([] {
		static int others;
		others = pkey_alloc(0, 0);
		ASSERT_GT(others, 0);
		ASSERT_EQ(live_start(), 0) << lych_why();
		domain = live_domain("domain");
		Handle(SIGUSR1, Calls);
		std::thread([] {
			EXPECT_TRUE(inside_rights(Pkru(), others)) << "the control: it has it from its creator";
			raise(SIGUSR1);
			EXPECT_TRUE(inside_rights(Pkru(), others));
		}).join();
	});
}

// What it had when the handler interrupted it, it would have again when that returns.
TEST_F(StrangerWithKeys, AKeyThatGetsAnotherOwnerDuringItsHandlerIsNotItsBehindIt)
{
	for (int deep : {0, 1, 2}) {
		SCOPED_TRACE(testing::Message() << deep << " handlers");
		InAChild([deep] {
			static lych_region *first, *next;
			static std::atomic<int> levels;
			static int key;
			ASSERT_EQ(live_start(), 0) << lych_why();
			ASSERT_EQ(lych_region_new(&first, 4096, nullptr), 0);
			key = lych_region_key(first);
			levels = deep;
			struct sigaction action = {};
			action.sa_flags = SA_NODEFER;
			action.sa_handler = [](int sig) {
				if (--levels > 0) {
					raise(sig);
				} else {
					step = 2;
					WaitFor(3);
				}
			};
			ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
			std::thread thread;
			LYCH_WRITE(long, at, first)
			{
				thread = std::thread([deep, at] {
					*at = 5; // the control: it has the right, from its creator
					EXPECT_TRUE(inside_rights(Pkru(), key));
					step = 1;
					if (deep > 0) {
						raise(SIGUSR1);
					} else {
						step = 2;
						WaitFor(3);
					}
					EXPECT_FALSE(inside_rights(Pkru(), key));
				});
				WaitFor(2);
			}
			ASSERT_EQ(lych_region_free(first), 0);
			ASSERT_EQ(lych_region_new(&next, 4096, nullptr), 0) << lych_why();
			EXPECT_EQ(lych_region_key(next), key) << "the control: the next owner has the same key";
			step = 3;
			thread.join();
		});
	}
}

// It is left by siglongjmp, time and again, and what it is left for must not be looked for.
TEST_F(StrangerWithKeys, AHandlerThatIsLeftIsNotWaitedForAndNothingIsWrittenWhereItWas)
{
	InAChild([] {
		static sigjmp_buf out;
		static lych_region *first;
		ASSERT_EQ(live_start(), 0) << lych_why();
		Handle(SIGUSR1, [](int) { siglongjmp(out, 1); });
		Handle(SIGUSR2, [](int) {
			step = 2;
			WaitFor(3);
		});
		for (int round = 0; round < 3; round++) {
			std::thread thread;
			ASSERT_EQ(lych_region_new(&first, 4096, nullptr), 0);
			int key = lych_region_key(first);
			step = 0;
			LYCH_WRITE(long, at, first)
			{
				thread = std::thread([at, key] {
					*at = 1;
					for (volatile int i = 0; i < 20; i = i + 1) {
						if (sigsetjmp(out, 1) == 0) {
							raise(SIGUSR1);
						}
					}
					char room[8192];
					memset(room, 0x5a, sizeof(room));
					__asm__ volatile("" : : "r"(room) : "memory");
					raise(SIGUSR2);
					__asm__ volatile("" : : "r"(room) : "memory");
					for (char c : room) {
						ASSERT_EQ(c, 0x5a);
					}
					EXPECT_FALSE(inside_rights(Pkru(), key));
				});
				WaitFor(2);
			}
			ASSERT_EQ(lych_region_free(first), 0);
			step = 3;
			thread.join();
		}
	});
}

// ---- on the way to being attached, while its key gets another owner

// What a thread has that was interrupted: PKRU in the frame, as CPUID says where.
uint32_t PkruOf(const ucontext_t *uc)
{
	auto *image = reinterpret_cast<const char *>(uc->uc_mcontext.fpregs);
	unsigned int bytes, at = 0, c, d;
	uint64_t present;
	uint32_t pkru = 0;

	__cpuid_count(0xd, 9, bytes, at, c, d);
	memcpy(&present, image + 512, sizeof(present));
	if ((present & 1 << 9) != 0) {
		memcpy(&pkru, image + at, sizeof(pkru));
	}
	return pkru;
}

struct Waited {
	std::atomic<int> tid{0};
	uint32_t had = 0, has = 0, in_handler = 0;
	bool attached = false;
	int rc = 1;
};
Waited waited;
sigjmp_buf out_of_fault;

enum Way { BY_FAULT, BY_CALL };

// A thread with a right to a region that was open when it was made, and none to a domain that came later. With the lock
// held it is on its way to be attached, the key gets another owner, who does not wait for it, and then it goes on.
// in_vain: it cannot be attached, as no signal may be sent.
void LosesAKeyOnItsWay(Way way, bool in_vain)
{
	InAChild([=] {
		lych_region *region = nullptr;
		std::thread thread;
		ASSERT_EQ(live_start(), 0) << lych_why();
		ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0) << lych_why();
		const int key = lych_region_key(region);
		struct sigaction action = {};
		action.sa_flags = SA_SIGINFO;
		action.sa_sigaction = [](int, siginfo_t *, void *context) {
			waited.in_handler = Pkru();
			waited.has = PkruOf(static_cast<ucontext_t *>(context));
			siglongjmp(out_of_fault, 1);
		};
		ASSERT_EQ(sigaction(SIGSEGV, &action, nullptr), 0);
		LYCH_WRITE(long, at, region)
		{
			thread = std::thread([way, at] {
				*at = 3; // the control: it has the right
				step = 1;
				WaitFor(2);
				waited.had = Pkru();
				waited.tid = Tid();
				if (way == BY_CALL) {
					waited.rc = lych_attach();
					waited.has = waited.in_handler = Pkru();
				} else if (sigsetjmp(out_of_fault, 1) == 0) {
					*word = 7;
					waited.rc = 0;
					waited.has = waited.in_handler = Pkru();
				} else {
					waited.rc = -ENOMEM;
				}
				inside now;
				inside_look(&now);
				waited.attached = now.area != 0;
				if (waited.attached) {
					EXPECT_EQ(now.pkru, static_cast<uint32_t>(~now.not_host));
					ExpectAttached("afterwards");
				}
			});
			WaitFor(1);
		}
		domain = live_domain("domain");
		word = static_cast<long *>(lych_alloc(domain, sizeof(long)));
		ASSERT_NE(word, nullptr);
		struct rlimit before = {}, none = {};
		ASSERT_EQ(getrlimit(RLIMIT_SIGPENDING, &before), 0);
		none.rlim_max = before.rlim_max;
		if (in_vain) {
			ASSERT_EQ(setrlimit(RLIMIT_SIGPENDING, &none), 0);
		}
		inside_lock();
		step = 2;
		while (waited.tid == 0 || !inside_attaching(waited.tid)) {
			sched_yield();
		}
		EXPECT_EQ(inside_new_owner(key), key);
		inside_unlock();
		thread.join();
		EXPECT_EQ(waited.rc, in_vain ? -ENOMEM : 0);
		EXPECT_EQ(waited.attached, !in_vain);
		EXPECT_TRUE(inside_rights(waited.had, key)) << "the control: it had it to the last";
		EXPECT_FALSE(inside_rights(waited.has, key));
		EXPECT_FALSE(inside_rights(waited.in_handler, key));
	});
}

TEST_F(StrangerWithKeys, OnItsWayToBeAttachedByAFaultKeepsNoKeyThatGetsAnotherOwner)
{
	LosesAKeyOnItsWay(BY_FAULT, false);
}

TEST_F(StrangerWithKeys, OnItsWayToBeAttachedKeepsNoKeyThatGetsAnotherOwner)
{
	LosesAKeyOnItsWay(BY_CALL, false);
}

TEST_F(StrangerWithKeys, ThatCannotBeAttachedKeepsNoKeyThatGotAnotherOwnerMeanwhile)
{
	LosesAKeyOnItsWay(BY_FAULT, true);
	LosesAKeyOnItsWay(BY_CALL, true);
}

// ---- the first thread of a process, which the kernel keeps in its lists when it has ended

TEST_F(StrangerWithKeys, ThatHasEndedIsNotWaitedForThoughTheProcessGoesOn)
{
	for (bool attached : {false, true}) {
		SCOPED_TRACE(attached ? "attached" : "not attached");
		InAChild([attached] {
			pthread_t second;
			if (attached) {
				ASSERT_EQ(live_start(), 0) << lych_why();
			}
			ASSERT_EQ(pthread_create(
					  &second, nullptr,
					  [](void *) -> void * {
						  lych_region *region = nullptr;
						  char state = 0;
						  while (state != 'Z') { // the control: it is still in the list
							  char line[256] = "", path[64];
							  snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
							  FILE *stat = fopen(path, "r");
							  EXPECT_NE(stat, nullptr);
							  EXPECT_NE(fgets(line, sizeof(line), stat), nullptr);
							  fclose(stat);
							  state = strrchr(line, ')')[2];
						  }
						  EXPECT_EQ(live_start(), 0) << lych_why();
						  for (int i = 0; i < 2; i++) {
							  EXPECT_EQ(lych_region_new(&region, 4096, nullptr), 0) << lych_why();
							  EXPECT_EQ(lych_region_free(region), 0);
						  }
						  domain = live_domain("domain");
						  EXPECT_EQ(lych_domain_free(domain), 0);
						  fflush(nullptr);
						  _exit(::testing::Test::HasFailure() ? 1 : 0);
					  },
					  nullptr),
				  0);
			syscall(SYS_exit, 0); // this thread alone; pthread_exit would unwind the test framework
		});
	}
}

// Many, older than the domain, touch its memory while keys come and go: each is attached with the rights of the day.
TEST_F(StrangerWithKeys, ThatAreAttachedByFaultsWhileKeysComeAndGoHaveNoRightToAnyRegion)
{
	InAChild([] {
		constexpr int kThreads = 8;
		ASSERT_EQ(live_start(), 0) << lych_why();
		for (int round = 0; round < 12; round++) {
			lych_region *open = nullptr;
			std::vector<std::thread> threads;
			std::atomic<int> begin{0}, done{0};
			std::atomic<uint32_t> rights[kThreads] = {};
			ASSERT_EQ(lych_region_new(&open, 4096, nullptr), 0) << lych_why();
			LYCH_WRITE(long, at, open)
			{
				*at = 1;
				for (int i = 0; i < kThreads; i++) {
					threads.emplace_back([&, i] {
						while (begin == 0) {
							sched_yield();
						}
						*word = i; // the domain that is there now
						done++;
						while (begin != 2) {
							sched_yield();
						}
						rights[i] = Pkru();
						inside now;
						inside_look(&now);
						EXPECT_NE(now.area, 0u);
						EXPECT_EQ(now.pkru, static_cast<uint32_t>(~now.not_host));
					});
				}
			}
			domain = live_domain("domain");
			word = static_cast<long *>(lych_alloc(domain, sizeof(long)));
			ASSERT_NE(word, nullptr);
			begin = 1;
			lych_region *regions[4] = {};
			int turns = 0;
			do {
				// the key that all of them had, and others
				if (open != nullptr) {
					EXPECT_EQ(lych_region_free(open), 0);
					open = nullptr;
				}
				lych_region *&one = regions[turns++ % 4];
				if (one != nullptr) {
					EXPECT_EQ(lych_region_free(one), 0);
				}
				ASSERT_EQ(lych_region_new(&one, 4096, nullptr), 0) << lych_why();
			} while (done != kThreads || turns < 4);
			begin = 2;
			for (std::thread &thread : threads) {
				thread.join();
			}
			for (lych_region *one : regions) {
				for (uint32_t right : rights) {
					EXPECT_FALSE(inside_rights(right, lych_region_key(one)));
				}
				EXPECT_EQ(lych_region_free(one), 0);
			}
			EXPECT_EQ(lych_domain_free(domain), 0);
			EXPECT_EQ(lych_verify([](const char *line, void *) { ADD_FAILURE() << line; }, nullptr), 0);
		}
	});
}

} // namespace
