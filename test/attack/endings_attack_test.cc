/* SPDX-License-Identifier: Apache-2.0 */
// G7: a domain ends what is not its own to end: the process, the thread, the host's frames. The call ends, and nothing else.
#include "attack.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>

#include <atomic>

// What is shared with children that may end in any way.
struct told {
	uint64_t handlers, pkru, taken, landed;
	int rc, kind;
};

extern "C" {
told *tell;
uint64_t *escape_reads; // where whoever escapes looks
uint64_t escape_took;
volatile long escaped;
}

namespace
{

class Endings : public OfEachKind
{
protected:
	void SetUp() override
	{
		OfEachKind::SetUp();
		void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(page, MAP_FAILED);
		tell = new (page) told{};
	}
};

uint32_t ReadPkru()
{
	uint32_t eax, edx;
	__asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(eax), "=d"(edx) : "c"(0));
	return eax;
}

// Ends by a function of libc, or by a system call of its own.
struct Row {
	const char *name;
	attack_fn attack;
	lych_fault_kind kind;
	bool writes;   // the function writes memory of libc's first, which is the host's
	int control;   // wait status without a gate
};

constexpr int kThreadOnly = -1;

const Row kRows[] = {
	{"exit", [](prey *) -> long { exit(3); }, LYCH_FAULT_EXIT, true, 3 << 8},
	{"quick_exit", [](prey *) -> long { quick_exit(4); }, LYCH_FAULT_EXIT, true, 4 << 8},
	{"_exit", [](prey *) -> long { _exit(5); }, LYCH_FAULT_EXIT, false, 5 << 8},
	{"end of the thread", [](prey *) { return raw(SYS_exit, 6); }, LYCH_FAULT_EXIT, false, 6 << 8},
	{"abort", [](prey *) -> long { abort(); }, LYCH_FAULT_ABORT, true, SIGABRT},
	{"SIGKILL to itself", [](prey *p) { return raw(SYS_kill, p->pid, SIGKILL); }, LYCH_FAULT_ABORT, false, SIGKILL},
	{"SIGSEGV to itself", [](prey *p) { return raw(SYS_tgkill, p->pid, p->tid, SIGSEGV); }, LYCH_FAULT_ABORT, false, SIGSEGV},
	{"SIGTERM to itself", [](prey *p) { return raw(SYS_tkill, p->tid, SIGTERM); }, LYCH_FAULT_ABORT, false, SIGTERM},
	{"a trap", [](prey *) -> long { __builtin_trap(); }, LYCH_FAULT_ILL, false, SIGILL},
	{"pthread_exit", [](prey *) -> long { pthread_exit(nullptr); }, LYCH_FAULT_ABORT, true, kThreadOnly},
};

// Whatever ends the process ends the call. exit runs the program's own functions for that, with the rights of the domain: so
// nothing is asked of the test framework here, whose statics may be gone.
TEST_P(Endings, OfTheProcessAreTheCalls)
{
	for (const Row &row : kRows) {
		SCOPED_TRACE(row.name);
		*tell = told{};
		int status = ChildStatus([&] {
			if (!Start(GetParam())) {
				_exit(90);
			}
			inside before, after;
			uint32_t view = inside_view_of(domain);
			atexit([] {
				tell->handlers++;
				tell->pkru = ReadPkru();
			});
			inside_look(&before);
			tell->rc = LYCH_CALL(domain, nullptr, attack_do, row.attack, target);
			tell->kind = lych_fault(domain)->kind;
			inside_look(&after);
			bool host = strcmp(inside_differences(&before, &after), "") == 0 && RegionHolds() == kSecret;
			bool owner = strcmp(lych_fault(domain)->owner, "host") == 0;
			bool rights = tell->handlers == 0 || tell->pkru == view;
			int again = LYCH_CALL(domain, nullptr, attack_do, [](prey *) { return 1L; }, target);
			long works = 0;
			bool reset = lych_domain_reset(domain) == 0 && Arm() &&
				     LYCH_CALL(domain, &works, attack_do, [](prey *) { return 42L; }, target) == 0 && works == 42;
			_exit(!host ? 91 : !rights ? 92 : again != -EOWNERDEAD ? 93 : !reset ? 94 : owner ? 41 : 40);
		});
		EXPECT_TRUE(WIFEXITED(status)) << status;
		EXPECT_EQ(WEXITSTATUS(status), Pure() && row.writes ? 41 : 40);
		EXPECT_EQ(tell->rc, -EFAULT);
		EXPECT_STREQ(lych_fault_kind_name(static_cast<lych_fault_kind>(tell->kind)),
			     lych_fault_kind_name(Pure() && row.writes ? LYCH_FAULT_KEY : row.kind));
		if (row.attack == kRows[0].attack) {
			EXPECT_EQ(tell->handlers, Pure() ? 0u : 1u) << "the program's own, in the domain";
		}
		// the control
		status = ChildStatus([&] {
			prey self = {};
			self.pid = getpid();
			self.tid = static_cast<int>(raw(SYS_gettid));
			if (row.control == kThreadOnly) {
				static attack_fn attack;
				pthread_t thread;
				attack = row.attack;
				pthread_create(&thread, nullptr, [](void *p) -> void * {
					attack(static_cast<prey *>(p));
					_exit(98);
				}, &self);
				pthread_join(thread, nullptr);
			} else {
				(void)row.attack(&self);
			}
			_exit(99);
		});
		EXPECT_EQ(status & ~0x80, row.control == kThreadOnly ? 99 << 8 : row.control) << "the control";
	}
}

// ---- frames of the host, by libc's own functions

jmp_buf host_buffer;
sigjmp_buf host_sigbuffer;
ucontext_t host_context;

void *host_words[5];

long JumpsOutBare(prey *)
{
	__builtin_longjmp(host_words, 1);
}

long JumpsOut(prey *)
{
	longjmp(host_buffer, 1);
}

long JumpsOutWithAMask(prey *)
{
	siglongjmp(host_sigbuffer, 1);
}

long SetsContext(prey *)
{
	setcontext(&host_context);
	return 7;
}

// In the frame of the host and on its stack, which is not touched: whoever comes here reads, and faults if it may not.
#define LAND()                                                                                                     \
	__asm__ volatile("mov escape_reads@GOTPCREL(%%rip), %%rax\n mov (%%rax), %%rax\n mov (%%rax), %%rax\n"      \
			 "mov escape_took@GOTPCREL(%%rip), %%rcx\n mov %%rax, (%%rcx)" ::                          \
				 : "rax", "rcx", "memory")

enum Way { BUILTIN, LONGJMP, SIGLONGJMP, SETCONTEXT }; // libc's three write where a pure domain cannot

// gate: through it; else the same function is called as it is.
__attribute__((noinline)) int Escape(Way way, bool gate)
{
	int rc = 12345;
	escaped = 0;
	sigset_t all;
	sigfillset(&all);
	if (way == SIGLONGJMP) { // what it is to set the mask to
		sigset_t mine;
		pthread_sigmask(SIG_SETMASK, &all, &mine);
		if (sigsetjmp(host_sigbuffer, 1) != 0) {
			LAND();
			escaped = 1;
			return 1;
		}
		pthread_sigmask(SIG_SETMASK, &mine, nullptr);
	}
	if (way == BUILTIN && __builtin_setjmp(host_words) != 0) {
		LAND();
		escaped = 1;
		return 1;
	}
	if (way == LONGJMP && setjmp(host_buffer) != 0) {
		LAND();
		escaped = 1;
		return 1;
	}
	if (way == SETCONTEXT) {
		static volatile bool second;
		second = false;
		if (getcontext(&host_context) != 0) {
			return 99;
		}
		if (second) {
			LAND();
			escaped = 1;
			return 1;
		}
		sigfillset(&host_context.uc_sigmask);
		second = true;
	}
	attack_fn attack = way == BUILTIN ? JumpsOutBare : way == LONGJMP ? JumpsOut : way == SIGLONGJMP ? JumpsOutWithAMask : SetsContext;
	rc = gate ? LYCH_CALL(domain, nullptr, attack_do, attack, target) : static_cast<int>(attack(target));
	return rc;
}

TEST_P(Endings, AWayIntoTheHostsFramesGivesNoRights)
{
	for (Way way : {BUILTIN, LONGJMP, SIGLONGJMP, SETCONTEXT}) {
		IN_A_CHILD({
			ASSERT_TRUE(Start(GetParam()));
			inside before, after;
			escape_reads = closed;
			inside_look(&before);
			EXPECT_EQ(Escape(way, true), -EFAULT) << way;
			inside_look(&after);
			EXPECT_STREQ(inside_differences(&before, &after), "");
			EXPECT_EQ(escaped, 0);
			EXPECT_NE(escape_took, kSecret);
			ExpectFault(LYCH_FAULT_KEY);
			EXPECT_EQ(lych_fault(domain)->key, Pure() && way != BUILTIN ? 0 : lych_region_key(region))
				<< "it came to the host's frame, with its own rights";
			Anew();
		});
		// the control: no gate, and the host may read
		IN_A_CHILD({
			uint64_t secret = kSecret;
			escape_reads = &secret;
			EXPECT_EQ(Escape(way, false), 1) << way;
			EXPECT_EQ(escaped, 1);
			EXPECT_EQ(escape_took, kSecret);
		});
	}
}

// ---- a thread that is to end

long SaysAndWaits(prey *p)
{
	__atomic_store_n(&p->more[0], 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&p->more[1], __ATOMIC_SEQ_CST) == 0) {
		__asm__ volatile("pause");
	}
	return 0;
}

struct canceled {
	int type;
	bool gate;
	std::atomic<int> rc{777};
	std::atomic<int> cleaned{0};
};

void *IsCanceled(void *at)
{
	auto *c = static_cast<canceled *>(at);
	int old;
	pthread_setcanceltype(c->type, &old);
	pthread_cleanup_push([](void *to) { static_cast<canceled *>(to)->cleaned++; }, c);
	c->rc = c->gate ? LYCH_CALL(domain, nullptr, attack_do, SaysAndWaits, target) : static_cast<int>(SaysAndWaits(target));
	pthread_testcancel();
	pthread_cleanup_pop(0);
	return nullptr;
}

// Deferred, the call goes on and the thread ends behind it. At once, the thread ends where the domain was interrupted, as the
// host's handler would do it; what its call left does not keep the domain from being freed.
TEST_P(Endings, CancelingAThreadThatIsInsideEndsTheThread)
{
	for (int type : {PTHREAD_CANCEL_DEFERRED, PTHREAD_CANCEL_ASYNCHRONOUS}) {
		for (bool gate : {true, false}) {
			int status = ChildStatus([&] {
				static prey plain;
				target = &plain;
				if (gate) {
					ASSERT_TRUE(Start(GetParam()));
				}
				canceled c;
				c.type = type;
				c.gate = gate;
				pthread_t thread;
				void *result = nullptr;
				ASSERT_EQ(pthread_create(&thread, nullptr, IsCanceled, &c), 0);
				while (__atomic_load_n(&target->more[0], __ATOMIC_SEQ_CST) == 0) {
					sched_yield();
				}
				EXPECT_EQ(pthread_cancel(thread), 0);
				if (type == PTHREAD_CANCEL_DEFERRED) {
					__atomic_store_n(&target->more[1], 1, __ATOMIC_SEQ_CST);
				}
				EXPECT_EQ(pthread_join(thread, &result), 0);
				EXPECT_EQ(result, PTHREAD_CANCELED);
				EXPECT_EQ(c.rc, type == PTHREAD_CANCEL_DEFERRED ? 0 : 777);
				if (gate) {
					EXPECT_EQ(RegionHolds(), kSecret);
					long works = 0;
					EXPECT_EQ(LYCH_CALL(domain, &works, attack_do, [](prey *) { return 42L; }, target), 0);
					EXPECT_EQ(works, 42);
					EXPECT_EQ(lych_domain_free(domain), 0);
				}
			});
			EXPECT_EQ(status, 0) << (type == PTHREAD_CANCEL_DEFERRED ? "deferred" : "at once") << ", " << gate << ": "
					     << (WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit status");
		}
	}
}

OF_EACH_KIND(Endings);

} // namespace
