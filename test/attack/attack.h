/* SPDX-License-Identifier: Apache-2.0 */
// What attacks have in common. Each attack runs in a child that starts the runtime itself, so that each control can run in a
// child without it. An EXPECT that fails in a child fails the test. A child that dies fails it, too: where the end of the
// process is an allowed outcome, a test says so.
#ifndef LYCH_TEST_ATTACK_H
#define LYCH_TEST_ATTACK_H

#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <lychgate/policy.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include "inside.h"
#include "model.h"
#include "needs_pku.h"

constexpr uint64_t kSecret = 0x5ec2e75ec2e75ec2;
constexpr size_t kOwn = 16 * 4096;

// What an attack is given: in memory of its own.
struct prey {
	uint64_t *secret; // begins a page: of another key, and denied
	char *gate;       // a page that may be read and not written: in a domain the gate page of this thread
	char *own;        // kOwn bytes of the attacker's
	uint64_t taken;   // what the attack has read of the secret
	int key;          // of the secret
	int pid, tid, other;
	uint64_t more[8];
};
typedef long (*attack_fn)(struct prey *);

// By an instruction of its own: no libc, no errno.
static inline __attribute__((always_inline)) long raw(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
						      long f = 0)
{
	long rc;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(rc)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return rc;
}

template <typename T> static inline long lng(T *pointer)
{
	return reinterpret_cast<long>(pointer);
}

extern "C" inline long attack_do(attack_fn attack, struct prey *prey)
{
	return attack(prey);
}
LYCH_BIND(domain, attack_do, long, (attack_fn, struct prey *));
LYCH_BIND(domain, model_jump, void, (jump *));

// In a child: the domain that attacks, and whom.
inline lych_domain *domain, *victim;
inline lych_region *region;
inline uint64_t *victims, *closed;
inline prey *target;

inline int WaitStatus(pid_t child)
{
	int status = -1;
	EXPECT_EQ(waitpid(child, &status, __WALL), child);
	return status;
}

template <typename Code> int ChildStatus(Code code)
{
	fflush(nullptr);
	pid_t child = fork();
	if (child == 0) {
		code();
		fflush(nullptr);
		_exit(::testing::Test::HasFailure() ? 1 : 0);
	}
	return WaitStatus(child);
}

// IN_A_CHILD({ ... }): it ends well, and so does the child.
#define IN_A_CHILD(...)                                                                                             \
	do {                                                                                                        \
		int status_ = ChildStatus([&] __VA_ARGS__);                                                         \
		EXPECT_EQ(status_, 0) << (WIFSIGNALED(status_) ? strsignal(WTERMSIG(status_)) : "exit status");     \
	} while (0)

// The attacker's memory, anew after a reset.
inline bool Arm()
{
	target = static_cast<prey *>(lych_alloc(domain, sizeof(*target)));
	if (target == nullptr) {
		return false;
	}
	target->own = static_cast<char *>(lych_alloc_aligned(domain, 4096, kOwn));
	inside state;
	inside_look(&state);
	target->secret = closed;
	target->key = lych_region_key(region);
	target->gate = reinterpret_cast<char *>(state.area);
	target->pid = getpid();
	target->tid = static_cast<int>(raw(SYS_gettid));
	return target->own != nullptr;
}

inline bool FramesWhole()
{
	inside state;
	inside_look(&state);
	return state.frames_whole;
}

// Before 6.12 frames of signals lie where the interrupted code can write, and neither pure domains nor vaults are made.
inline bool On61()
{
	const char *kernel = getenv("LYCH_VM_KERNEL");
	return kernel != nullptr && strcmp(kernel, "6.1") == 0;
}

inline void ExpectNotMade(lych_kind kind)
{
	lych_domain *none = nullptr;
	lych_domain_opts opts = {};

	opts.size = sizeof(opts);
	opts.kind = kind;
	ASSERT_EQ(lych_init(nullptr), 0) << lych_why();
	EXPECT_EQ(lych_domain_new(&none, &opts), -EOPNOTSUPP);
	EXPECT_STRNE(lych_why(), "");
}

// Attacks on what each in-image kind promises. Where a kind is not made that is the promise, and the attacks are skipped.
class OfEachKind : public NeedsPku, public ::testing::WithParamInterface<lych_kind>
{
protected:
	void SetUp() override
	{
		NeedsPku::SetUp();
		if (!IsSkipped() && !HasFatalFailure() && On61() && GetParam() != LYCH_KIND_CONTAIN) {
			IN_A_CHILD({ ExpectNotMade(GetParam()); });
			GTEST_SKIP() << "not made before Linux 6.12, and refused with the reason";
		}
	}
	static bool Pure()
	{
		return GetParam() == LYCH_KIND_PURE;
	}
};
#define OF_EACH_KIND(suite)                                                                                         \
	INSTANTIATE_TEST_SUITE_P(Kinds, suite, ::testing::Values(LYCH_KIND_CONTAIN, LYCH_KIND_PURE), [](const auto &one) { \
		return std::string(one.param == LYCH_KIND_PURE ? "Pure" : "Contain");                               \
	})

// In the child: the runtime, an attacker, a victim and a closed region with a secret each.
inline bool Start(lych_kind kind = LYCH_KIND_CONTAIN, const lych_init_opts *init = nullptr)
{
	lych_domain_opts opts = {};

	opts.size = sizeof(opts);
	opts.kind = kind;
	if (lych_init(init) != 0) {
		ADD_FAILURE() << lych_why();
		return false;
	}
	if (lych_domain_new(&victim, nullptr) != 0 || lych_domain_new(&domain, &opts) != 0 ||
	    lych_region_new(&region, 4096, nullptr) != 0) {
		ADD_FAILURE() << lych_why();
		return false;
	}
	victims = static_cast<uint64_t *>(lych_alloc_aligned(victim, 4096, 4096));
	closed = static_cast<uint64_t *>(lych_region_address(region));
	*victims = kSecret;
	LYCH_WRITE(uint64_t, secret, region)
	{
		*secret = kSecret;
	}
	return Arm();
}

// After an attack: what must hold whatever it did. Control for each of these is the attack's own.
inline uint64_t RegionHolds()
{
	uint64_t value = 0;
	LYCH_READ(uint64_t, secret, region)
	{
		value = *secret;
	}
	return value;
}

struct Ended {
	int rc;
	long result;
};

// Runs the attack in the domain, looks whether the host is as it was, and makes the domain anew when it has faulted.
inline Ended Attack(attack_fn attack, unsigned timeout_ms = 60000)
{
	inside before, after;
	Ended ended = {0, 12345};

	inside_look(&before);
	ended.rc = LYCH_CALL_TIMEOUT(domain, timeout_ms, &ended.result, attack_do, attack, target);
	inside_look(&after);
	EXPECT_STREQ(inside_differences(&before, &after), "") << "the host is not as it was";
	EXPECT_EQ(*victims, kSecret);
	EXPECT_EQ(RegionHolds(), kSecret);
	return ended;
}

inline void Anew()
{
	EXPECT_EQ(lych_domain_reset(domain), 0);
	EXPECT_TRUE(Arm());
	long result = 0;
	attack_fn nothing = [](struct prey *) -> long { return 42; };
	EXPECT_EQ(LYCH_CALL(domain, &result, attack_do, nothing, target), 0) << "the domain works again";
	EXPECT_EQ(result, 42);
}

// In a child without the runtime: the kernel's bare behaviour. The secret is behind a key that is denied.
inline prey *Bare()
{
	auto map = [](size_t bytes) {
		void *at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		return at == MAP_FAILED ? nullptr : static_cast<char *>(at);
	};
	prey *p = new prey{};

	p->secret = reinterpret_cast<uint64_t *>(map(4096));
	p->gate = map(4096);
	p->own = map(kOwn);
	*p->secret = kSecret;
	p->key = pkey_alloc(0, 0);
	EXPECT_GT(p->key, 0);
	EXPECT_EQ(pkey_mprotect(p->secret, 4096, PROT_READ | PROT_WRITE, p->key), 0);
	EXPECT_EQ(pkey_set(p->key, PKEY_DISABLE_ACCESS), 0);
	p->pid = getpid();
	p->tid = static_cast<int>(raw(SYS_gettid));
	return p;
}

inline void ExpectFault(lych_fault_kind kind, const char *owner = nullptr)
{
	const struct lych_fault *fault = lych_fault(domain);
	EXPECT_STREQ(lych_fault_kind_name(fault->kind), lych_fault_kind_name(kind));
	if (owner != nullptr) {
		EXPECT_STREQ(fault->owner, owner);
	}
	if (kind == LYCH_FAULT_KEY) {
		EXPECT_EQ(fault->signal, SIGSEGV);
		EXPECT_EQ(fault->code, SEGV_PKUERR);
	}
	EXPECT_LE(fault->nframes, LYCH_FAULT_FRAMES);
}

extern "C" {
// attack.S
long attack_flags(unsigned long flags, long back);          // sets rflags; back: returns with them set
long attack_flags_act(unsigned long flags, long act);       // sets rflags, acts as attack_fs, gives what they are then
long attack_segments(long selector, long act);              // the same with ds, es and fs; gives fs
long attack_sigreturn(void *frame, void *scratch);          // rt_sigreturn of a frame: -errno when refused
long attack_clone(long flags, void *stack, long (*fn)(void *), void *arg);
long attack_far(void *code, void *stack);                   // calls code in compatibility mode: eax
long attack_stack(void *rsp, void (*go)(void));             // jumps to go with another rsp
long attack_dump(void *registers, void *image);             // 16 general registers, XSAVE image (8 KiB)
long attack_fill(uint64_t value, long (*then)(void *, void *), void *a, void *b); // registers full of value, then calls
long attack_fs(uint64_t fs, long act);                      // WRFSBASE, then 0 returns, 1 UD2, 2 getpid; gives rdfsbase
long attack_gs(long selector, long act);                    // mov to gs, then as above; gives rdgsbase
long attack_x87(long act);                                  // unmasks everything, divides 0 by 0
unsigned long attack_two(void);                             // al and more = 2
long attack_wild(uint64_t rbp, uint64_t rsp);               // UD2 with these
long attack_tables(uint64_t rbx);                           // UD2 in a function whose unwind tables are hostile
long attack_tables_loop(uint64_t rbx);
long attack_xrstor(void *at, void *rsp, void *area); // to the XRSTOR at, in ld.so's resolver; 0x40(area) is what it loads
void attack_land(void);
}

#endif
