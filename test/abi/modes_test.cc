// SPDX-License-Identifier: Apache-2.0
// Control and status words of SSE and x87 across the gate, by every way back: the callee starts with the default whatever its
// caller had, flags included, and the caller gets back what it had, whatever the callee leaves.
#include <gtest/gtest.h>
#include <x86intrin.h>

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
static int leaves_x87; // 1: a control word, exception flags, registers in use; 2: nothing but registers in use

static void note_and_leave()
{
	static const unsigned short odd = 0x0f7f;

	found = modes_now();
	_mm_setcsr(leaves);
	if (leaves_x87 == 2) {
		__asm__ volatile("movq %mm0, %mm0");
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
static void host_notes(void)
{
	in_callback = modes_now();
	_mm_setcsr(0x1fbf);
}
static void calls_and_looks(void (*fn)(void))
{
	_mm_setcsr(leaves);
	fn();
	after_callback = modes_now();
}
}

LYCH_BIND(to, gives_int, int, (int));
LYCH_BIND(to, gives_double, double, (double));
LYCH_BIND(to, gives_long_double, long double, (long double));
LYCH_BIND(to, calls_back, void, (void (*)(void)));
LYCH_BIND(to, calls_and_looks, void, (void (*)(void)));
LYCH_BIND_POINTER(to, gives_int, int, (int), -1);
LYCH_BIND_POINTER(to, gives_double, double, (double), -1);
LYCH_CALLBACK(host_notes, void, (void));

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
				for (int i = 0; i < 15; i++) {
					leaves = kMxcsr[i % 5];
					leaves_x87 = i / 5;
					_mm_setcsr(mxcsr);
					__asm__ volatile("fldcw %0" ::"m"(fcw));
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
					EXPECT_EQ(after.fsw & 0xff, 0);
					EXPECT_EQ(then.fsw & 0x41, 0) << "the x87 stack was not empty";
				}
			}
		}
	}
}

TEST(Modes, OfACallbackAreItsHostsAndItLeavesTheDomainsAlone)
{
	to = abi_domain();
	ASSERT_EQ(lych_callback(&back, to, host_notes, NULL), 0);
	for (unsigned int mxcsr : kMxcsr) {
		for (unsigned int domains : kMxcsr) {
			leaves = domains;
			_mm_setcsr(mxcsr);
			int rc = LYCH_CALL(to, LYCH_NOTHING, calls_and_looks, back);
			unsigned int after = _mm_getcsr();
			_mm_setcsr(0x1f80);
			EXPECT_EQ(rc, 0);
			EXPECT_EQ(in_callback.mxcsr, mxcsr);
			EXPECT_EQ(after_callback.mxcsr, domains);
			EXPECT_EQ(after, mxcsr);
		}
	}
}
