// SPDX-License-Identifier: Apache-2.0
// Control and status words of SSE and x87 across the gate, by every way back: the callee starts with the default whatever its
// caller had, flags included, and the caller gets back what it had, whatever the callee leaves.
#include <gtest/gtest.h>
#include <x86intrin.h>

#include "check.h"
#include "fixture.h"

static struct lych_domain *to;

struct modes {
	unsigned int mxcsr;
	unsigned short fcw, fsw;
};

static inline struct modes modes_now()
{
	struct modes m;

	__asm__ volatile("stmxcsr %0\n fnstcw %1\n fnstsw %2" : "=m"(m.mxcsr), "=m"(m.fcw), "=m"(m.fsw));
	return m;
}

static struct modes found;
static unsigned int leaves; // MXCSR the callee leaves
static int leaves_x87; // 1: a control word, exception flags, registers in use; 2: registers in use; 3: exception flags

/* Exceptions that have happened and are masked: nobody is told, but the flags are there. */
static inline void raise_flags()
{
	__asm__ volatile("fld1\n fldz\n fdivrp\n fstp %st(0)");
}

static void note_and_leave()
{
	static const unsigned short odd = 0x0f7f;

	found = modes_now();
	_mm_setcsr(leaves);
	if (leaves_x87 == 2) {
		__asm__ volatile("movq %mm0, %mm0");
	} else if (leaves_x87 == 3) {
		raise_flags();
	} else if (leaves_x87 == 1) {
		__asm__ volatile("fldcw %0\n fldz\n fld1\n fdivp\n fld1\n fldz\n fdivrp\n movq %%mm0, %%mm0" ::"m"(odd));
	}
}

extern "C" {
static int gives_int(int n)
{
	note_and_leave();
	return n;
}
static double gives_double(double x)
{
	note_and_leave();
	return x;
}
static long double gives_long_double(long double x)
{
	note_and_leave();
	if (leaves_x87 != 0) {
		__asm__ volatile("emms");
	}
	return x;
}
static void calls_back(void (*fn)(void))
{
	note_and_leave();
	fn();
}
static struct modes in_callback, after_callback;
static int in_use; // a bit for each x87 register that is, in the callback
static bool host_leaves_flags;
static void note_in_callback()
{
	alignas(16) unsigned char image[512];

	in_callback = modes_now();
	__asm__ volatile("fxsave %0" : "=m"(image));
	in_use = image[4];
	_mm_setcsr(0x1fbf);
	if (host_leaves_flags) {
		raise_flags();
	}
}
static void host_notes(void)
{
	note_in_callback();
}
static double host_gives_double(void)
{
	note_in_callback();
	return 6.5;
}
static long double host_gives_long_double(void)
{
	note_in_callback();
	return 6.25L;
}
static void leave_modes()
{
	_mm_setcsr(leaves);
	if (leaves_x87 == 2) {
		__asm__ volatile("movq %mm0, %mm0");
	} else if (leaves_x87 == 3) {
		raise_flags();
	}
}
static void calls_and_looks(void (*fn)(void))
{
	leave_modes();
	fn();
	after_callback = modes_now();
}
static bool calls_for_double(double (*fn)(void))
{
	leave_modes();
	double x = fn();
	after_callback = modes_now();
	return x == 6.5;
}
static bool calls_for_long_double(long double (*fn)(void))
{
	leave_modes();
	long double x = fn();
	after_callback = modes_now();
	return x == 6.25L;
}
/* Its result with another register in use below, nothing masked, and an exception that is raised by the next instruction
 * that waits. */
long double disorderly(long double x);
__asm__(".text\n"
	".globl disorderly\n"
	".type disorderly, @function\n"
	"disorderly:\n"
	"	fld1\n"
	"	fldz\n"
	"	fdivrp\n"
	"	fstp	%st(0)\n"
	"	fld1\n"
	"	fldt	8(%rsp)\n"
	"	pushq	$0x340\n"
	"	fldcw	(%rsp)\n"
	"	pop	%rax\n"
	"	ret\n"
	".size disorderly, . - disorderly\n");
}

LYCH_BIND(to, gives_int, int, (int));
LYCH_BIND(to, gives_double, double, (double));
LYCH_BIND(to, gives_long_double, long double, (long double));
LYCH_BIND(to, calls_back, void, (void (*)(void)));
LYCH_BIND(to, calls_and_looks, void, (void (*)(void)));
LYCH_BIND(to, calls_for_double, bool, (double (*)(void)));
LYCH_BIND(to, calls_for_long_double, bool, (long double (*)(void)));
LYCH_BIND(to, disorderly, long double, (long double));
LYCH_BIND_POINTER(to, gives_int, int, (int), -1);
LYCH_BIND_POINTER(to, gives_double, double, (double), -1);
LYCH_CALLBACK(host_notes, void, (void));
LYCH_CALLBACK(host_gives_double, double, (void));
LYCH_CALLBACK(host_gives_long_double, long double, (void));

namespace
{

const unsigned int kMxcsr[] = {0x1f80, 0x1fa0, 0x1fbf, 0x7f80, 0x9fa1};

struct Way {
	const char *name;
	bool (*call)();
};

int (*pint)(int);
double (*pdouble)(double);
void (*back)(void);

const Way kWays[] = {
	{"int", [] {
		 int n = 0;
		 return LYCH_CALL(to, &n, gives_int, 5) == 0 && n == 5;
	 }},
	{"double", [] {
		 double x = 0;
		 return LYCH_CALL(to, &x, gives_double, 5.5) == 0 && x == 5.5;
	 }},
	{"long double", [] {
		 long double x = 0;
		 return LYCH_CALL(to, &x, gives_long_double, 5.25L) == 0 && x == 5.25L;
	 }},
	{"pointer", [] { return pint(7) == 7; }},
	{"pointer, double", [] { return pdouble(7.5) == 7.5; }},
	{"with a callback", [] { return LYCH_CALL(to, LYCH_NOTHING, calls_back, back) == 0; }},
};

} // namespace

TEST(Modes, OfTheCallerComeBackAndThoseOfTheCalleeStartAtTheDefault)
{
	to = abi_domain();
	ASSERT_EQ(LYCH_POINTER(&pint, to, gives_int), 0);
	ASSERT_EQ(LYCH_POINTER(&pdouble, to, gives_double), 0);
	ASSERT_EQ(lych_callback(&back, to, host_notes, NULL), 0);
	for (const Way &way : kWays) {
		for (unsigned int mxcsr : kMxcsr) {
			for (unsigned short fcw : {0x37f, 0x27f, 0xf7f}) {
				for (int i = 0; i < 40; i++) {
					leaves = kMxcsr[i % 5];
					leaves_x87 = i / 5 % 4;
					_mm_setcsr(mxcsr);
					__asm__ volatile("fldcw %0" ::"m"(fcw));
					if (i >= 20) {
						raise_flags();
					}
					struct modes before = modes_now();
					bool right = way.call();
					struct modes after = modes_now();
					// nothing may be left in the x87 registers: eight fit
					__asm__ volatile(".rept 8\n fld1\n .endr\n .rept 8\n fstp %st(0)\n .endr");
					struct modes then = modes_now();
					__asm__ volatile("fninit");
					_mm_setcsr(0x1f80);
					SCOPED_TRACE(testing::Message() << way.name << std::hex << ", MXCSR " << mxcsr << ", leaves "
									<< leaves << ", FCW " << fcw << ", x87 " << leaves_x87);
					EXPECT_TRUE(right);
					EXPECT_EQ(found.mxcsr, 0x1f80u);
					EXPECT_EQ(found.fcw, 0x37f);
					EXPECT_EQ(found.fsw, 0);
					EXPECT_EQ(after.mxcsr, mxcsr);
					EXPECT_EQ(after.fcw, fcw);
					EXPECT_EQ(before.fsw & 0x44, i >= 20 ? 4 : 0) << "the control";
					EXPECT_EQ(after.fsw & 0xff, before.fsw & 0xff);
					EXPECT_EQ(then.fsw & 0x40, 0) << "the x87 stack was not empty";
				}
			}
		}
	}
}

TEST(Modes, OfACallbackAreItsHostsAndItLeavesTheDomainsAlone)
{
	double (*gives_it)(void) = NULL;
	long double (*gives_long)(void) = NULL;

	to = abi_domain();
	ASSERT_EQ(lych_callback(&back, to, host_notes, NULL), 0);
	ASSERT_EQ(lych_callback(&gives_it, to, host_gives_double, NULL), 0);
	ASSERT_EQ(lych_callback(&gives_long, to, host_gives_long_double, NULL), 0);
	for (unsigned int mxcsr : kMxcsr) {
		for (unsigned int domains : kMxcsr) {
			for (int i = 0; i < 24; i++) {
				bool right = true;
				int rc = -1;
				leaves = domains;
				leaves_x87 = i % 4;
				host_leaves_flags = i / 4 % 2 == 1;
				_mm_setcsr(mxcsr);
				if (i < 8) {
					rc = LYCH_CALL(to, LYCH_NOTHING, calls_and_looks, back);
				} else if (i < 16) {
					rc = LYCH_CALL(to, &right, calls_for_double, gives_it);
				} else {
					rc = LYCH_CALL(to, &right, calls_for_long_double, gives_long);
				}
				struct modes after = modes_now();
				_mm_setcsr(0x1f80);
				SCOPED_TRACE(i);
				EXPECT_EQ(rc, 0);
				EXPECT_TRUE(right);
				EXPECT_EQ(in_callback.mxcsr, mxcsr);
				EXPECT_EQ(in_callback.fcw, 0x37f);
				EXPECT_EQ(in_callback.fsw, 0) << "the domain's flags";
				EXPECT_EQ(in_use, 0) << "x87 registers of the domain's";
				EXPECT_EQ(after_callback.mxcsr, domains);
				EXPECT_EQ(after_callback.fsw & 0xff, 0) << "the host's flags";
				EXPECT_EQ(after.mxcsr, mxcsr);
				EXPECT_EQ(after.fcw, 0x37f);
				EXPECT_EQ(after.fsw & 0xff, 0);
			}
		}
	}
	host_leaves_flags = false;
	leaves_x87 = 0;
}

TEST(Modes, OfACalleeThatGivesALongDoubleInDisorderRaiseNothingInTheHost)
{
	to = abi_domain();
	for (int i = 0; i < 3; i++) {
		long double x = 0;
		ASSERT_EQ(LYCH_CALL(to, &x, disorderly, 5.75L), 0);
		struct modes after = modes_now();
		__asm__ volatile("fwait\n .rept 8\n fld1\n .endr\n .rept 8\n fstp %st(0)\n .endr");
		struct modes then = modes_now();
		__asm__ volatile("fninit");
		EXPECT_EQ(x, 5.75L);
		EXPECT_EQ(after.fcw, 0x37f);
		EXPECT_EQ(after.fsw & 0xff, 0);
		EXPECT_EQ(then.fsw & 0x40, 0) << "the x87 stack was not empty";
	}
}

// Alignment checks, a nested task, the direction: as the ABI wants them, on both sides.
TEST(Modes, OfFlagsThatTheHostShouldNotHaveAreNotTheCallees)
{
	std::mt19937_64 rng(1);
	abi_regs in;
	abi_raw raw = {};
	lych_binding b = {};
	int status = 0;
	unsigned long after = 0;

	checker::fill(&in, rng);
	b.fn = abi_callee;
	b.align = 4;
	raw.domain = abi_domain();
	raw.binding = &b;
	raw.status = &status;
	raw.in = &in;
	for (unsigned long flags : {0x40000ul, 0x4000ul, 0x400ul, 0x44400ul}) {
		memset(&abi_entry, 0x5a, sizeof(abi_entry));
		__asm__ volatile("mov %%rsp, %%rbx\n lea -256(%%rsp), %%rsp\n and $-16, %%rsp\n"
				 "push %2\n popfq\n call abi_raw_call\n pushfq\n pop %0\n"
				 "push $2\n popfq\n mov %%rbx, %%rsp\n fninit"
				 : "=&r"(after)
				 : "D"(&raw), "r"(flags | 2)
				 : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1");
		EXPECT_EQ(status, 0);
		EXPECT_EQ(abi_entry.flags & checker::kHostileFlags, 0u) << std::hex << flags;
		EXPECT_EQ(after & checker::kHostileFlags, 0u) << std::hex << flags;
	}
}
