// SPDX-License-Identifier: Apache-2.0
// Bindings when calls do not end well, and when domains end; with the whole runtime.
#include <gtest/gtest.h>

#include "abi.h"

extern "C" {
struct far_away {
	double x;
	long n;
};
static int stumble(volatile int *at)
{
	*at = 1;
	return 5;
}
static struct far_away stumble_far(volatile int *at)
{
	*at = 1;
	return far_away{1, 1};
}
static const unsigned int kDefault = 0x1f80;
static int stumble_in_disorder(volatile int *at)
{
	static const unsigned int mxcsr = 0x3f9f;
	static const unsigned short fcw = 0xc7f;
	__asm__ volatile("ldmxcsr %0\n fldcw %1\n fld1\n fld1" : : "m"(mxcsr), "m"(fcw));
	*at = 1;
	return 5;
}
static int quiet(int n)
{
	return n;
}
}

LYCH_BIND(d, stumble, int, (volatile int *));
LYCH_BIND(d, stumble_in_disorder, int, (volatile int *));
LYCH_BIND_POINTER(d, stumble, int, (volatile int *), -77);
LYCH_BIND_POINTER(d, stumble_far, LYCH_STRUCT(struct far_away, SI), (volatile int *), {-0.5, -3});
LYCH_BIND_POINTER(d, quiet, int, (int), -1);

class Ending : public testing::Test {
protected:
	struct lych_domain *d = nullptr;

	void SetUp() override
	{
		abi_domain(); // lych_init
		ASSERT_EQ(lych_domain_new(&d, nullptr), 0) << lych_why();
	}
	void TearDown() override
	{
		EXPECT_EQ(lych_domain_free(d), 0);
	}
};

TEST_F(Ending, FaultIsAStatusAndNoResult)
{
	int n = 11;

	EXPECT_EQ(LYCH_CALL(d, &n, stumble, nullptr), -EFAULT);
	EXPECT_EQ(n, 11);
	EXPECT_EQ(lych_fault(d)->kind, LYCH_FAULT_SEGV);
	EXPECT_STREQ(lych_fault(d)->function, "stumble");
	EXPECT_EQ(LYCH_CALL(d, &n, stumble, nullptr), -EOWNERDEAD);
	EXPECT_EQ(n, 11);
}

TEST_F(Ending, TypedPointerReturnsItsValueOnAFault)
{
	int (*p)(volatile int *);
	far_away (*far)(volatile int *);

	ASSERT_EQ(LYCH_POINTER(&p, d, stumble), 0);
	ASSERT_EQ(LYCH_POINTER(&far, d, stumble_far), 0);
	int n = 0;
	EXPECT_EQ(p(&n), 5);
	EXPECT_EQ(n, 1);
	EXPECT_EQ(p(nullptr), -77);
	EXPECT_EQ(lych_fault(d)->kind, LYCH_FAULT_SEGV);
	const far_away poisoned = far(&n); // refused now
	EXPECT_EQ(poisoned.x, -0.5);
	EXPECT_EQ(poisoned.n, -3);
	ASSERT_EQ(lych_domain_reset(d), 0);
	EXPECT_EQ(far(&n).n, 1);
	const far_away faulted = far(nullptr);
	EXPECT_EQ(faulted.x, -0.5);
	EXPECT_EQ(faulted.n, -3);
}

// What an ended call gives its caller back it has noted before, whatever the domain has made of it.
TEST_F(Ending, ACallThatFaultsGivesItsCallerBackItsModes)
{
	for (unsigned int mxcsr : {0x1f80u, 0x7fa0u, 0x9f80u}) {
		for (unsigned short fcw : {0x37f, 0x27f, 0xf7f}) {
			for (bool flags : {false, true}) {
				unsigned int left = 0;
				unsigned short control = 0, status = 0;
				int n = 0;

				__asm__ volatile("fninit\n fldcw %0\n ldmxcsr %1" : : "m"(fcw), "m"(mxcsr));
				if (flags) {
					__asm__ volatile("fld1\n fldz\n fdivrp\n fstp %st(0)");
				}
				int rc = LYCH_CALL(d, &n, stumble_in_disorder, nullptr);
				__asm__ volatile("stmxcsr %0\n fnstcw %1\n fnstsw %2\n fninit" : "=m"(left), "=m"(control), "=m"(status));
				__asm__ volatile("ldmxcsr %0" : : "m"(kDefault));
				EXPECT_EQ(rc, -EFAULT);
				EXPECT_EQ(left, mxcsr);
				EXPECT_EQ(control, fcw);
				EXPECT_EQ(status & 0x38ff, flags ? 4 : 0) << "division by zero, and nothing on the stack";
				ASSERT_EQ(lych_domain_reset(d), 0);
			}
		}
	}
}

TEST_F(Ending, TypedPointersEndWithTheirDomain)
{
	int (*p)(int);

	ASSERT_EQ(LYCH_POINTER(&p, d, quiet), 0);
	EXPECT_EQ(p(4), 4);
	ASSERT_EQ(lych_domain_free(d), 0);
	d = nullptr;
	EXPECT_EQ(lych_pointer_free(reinterpret_cast<void (*)()>(p)), -EINVAL);
}
