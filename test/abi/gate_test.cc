// SPDX-License-Identifier: Apache-2.0
// Calls, typed pointers and callbacks through the gate itself, in C++ (cases_test.cc has C's).
#include <gtest/gtest.h>

#include <climits>
#include <vector>

#include "fixture.h"

struct lych_domain *domain;

// A function pointer of another type, without the compiler's opinion.
template <class To, class From> static To as(From fn)
{
	return reinterpret_cast<To>(reinterpret_cast<void (*)()>(fn));
}

extern "C" {

// What a hostile or careless callee leaves in the rest of its result register.
__asm__(".text\n"
	"hostile_bool: mov $0xffffff02, %eax\n ret\n"
	"hostile_zero: mov $0xffffff00, %eax\n ret\n"
	"hostile_short: movabs $0x7fff8000fffe, %rax\n ret\n");
bool hostile_bool(void);
bool hostile_zero(void);
short hostile_short(void);

static int add(int a, int b)
{
	return a + b;
}

static bool on_domain_stack(void)
{
	return fixture_on_stack(abi_domain(), __builtin_frame_address(0));
}

static void set(int *at, int value)
{
	*at = value;
}

struct point {
	double x, y;
};
struct mixed {
	double x;
	long n;
};
struct big {
	long a[6];
};

static struct point turn(struct point p)
{
	return point{p.y, p.x};
}

static struct mixed mix(double x, short n)
{
	return mixed{x, n};
}

static struct big grow(struct big b, int n)
{
	for (long &value : b.a) {
		value += n;
	}
	return b;
}

static long double third(long double x)
{
	return x / 3;
}

// Notes its registers first (checker.S).
__asm__("registers: call abi_probe\n .long real_registers - .\n");
unsigned long registers(int a, unsigned char b, long c);
__attribute__((used)) static unsigned long real_registers(int a, unsigned char b, long c)
{
	return static_cast<unsigned long>(a + b + c);
}

enum class Colour : short { Red = -3, Green = 4 };
static Colour colour(Colour c, int &by_reference)
{
	by_reference++;
	return c == Colour::Red ? Colour::Green : Colour::Red;
}

static int call_back(int (*fn)(int, bool, signed char), int n)
{
	return fn(n, true, -1) + 1;
}

// As a hostile domain calls it: garbage above every argument.
static int call_back_with_garbage(int (*fn)(int, bool, signed char))
{
	return as<int (*)(unsigned long, unsigned long, unsigned long)>(fn)(0xdeadbeef00000005, 0xdeadbeefdeadbe02,
									    0xdeadbeefdeadbe80);
}

static double call_many(double (*fn)(long, long, long, long, long, long, long, double, long double, point))
{
	return fn(1, 2, 3, 4, 5, 6, 7, 8.5, 9.25L, point{10, 11});
}
}

#define POINT LYCH_STRUCT(struct point, SS)
#define MIXED LYCH_STRUCT(struct mixed, SI)
LYCH_BIND(domain, hostile_bool, bool, (void));
LYCH_BIND(domain, hostile_zero, bool, (void));
LYCH_BIND(domain, hostile_short, short, (void));
LYCH_BIND(domain, add, int, (int, int));
LYCH_BIND(domain, on_domain_stack, bool, (void));
LYCH_BIND(domain, fixture_deadline, uint64_t, (void));
LYCH_BIND(domain, set, void, (int *, int));
LYCH_BIND(domain, turn, POINT, (POINT));
LYCH_BIND(domain, grow, struct big, (struct big, int));
LYCH_BIND(domain, colour, Colour, (Colour, int &));
LYCH_BIND(domain, call_back, int, (int (*)(int, bool, signed char), int));
LYCH_BIND(domain, call_back_with_garbage, int, (int (*)(int, bool, signed char)));
LYCH_BIND(domain, call_many, double,
	  (double (*)(long, long, long, long, long, long, long, double, long double, point)));
LYCH_BIND_VARIADIC(domain, format, snprintf, int, (char *, size_t, const char *), (int, double, const char *, double));

LYCH_BIND_POINTER(domain, add, int, (int, int), INT_MIN);
LYCH_BIND_POINTER(domain, turn, POINT, (POINT), {-1, -2});
LYCH_BIND_POINTER(domain, mix, MIXED, (double, short), {-1.5, -2});
LYCH_BIND_POINTER(domain, third, long double, (long double), -3.25L);
LYCH_BIND_POINTER(domain, set, void, (int *, int), LYCH_NOTHING);
LYCH_BIND_POINTER(domain, hostile_short, short, (void), -7);
LYCH_BIND_POINTER(domain, registers, unsigned long, (int, unsigned char, long), 0);

static void *seen_ctx;
static int seen[3];
static unsigned seen_depth;

static int host(int n, bool yes, signed char c)
{
	seen_ctx = lych_callback_ctx();
	seen[0] = n;
	seen[1] = yes;
	seen[2] = c;
	seen_depth = fixture_depth();
	return n * 2;
}
LYCH_CALLBACK(host, int, (int, bool, signed char));

static double host_many(long a, long b, long c, long d, long e, long f, long g, double h, long double i, point p)
{
	return static_cast<double>(a + b * 10 + c * 100 + d + e + f + g * 1000) + h + static_cast<double>(i) +
	       p.x * p.y;
}
LYCH_CALLBACK(host_many, double, (long, long, long, long, long, long, long, double, long double, POINT));

static int host_nests(int n, bool, signed char)
{
	int inner = 0;

	// and the context is the outer callback's again once the inner call is over
	EXPECT_EQ(LYCH_CALL(domain, &inner, add, n, 100), 0);
	seen_ctx = lych_callback_ctx();
	return inner;
}
LYCH_CALLBACK(host_nests, int, (int, bool, signed char));

class Gate : public testing::Test {
protected:
	void SetUp() override
	{
		domain = abi_domain();
	}
	void TearDown() override
	{
		EXPECT_EQ(fixture_depth(), 0u) << "a record was left";
	}
};

TEST_F(Gate, CallReturnsZeroAndTheResult)
{
	int n = 0;

	EXPECT_EQ(LYCH_CALL(domain, &n, add, 40, 2), 0);
	EXPECT_EQ(n, 42);
	EXPECT_EQ(LYCH_CALL(domain, NULL, add, 40, 2), 0);
}

TEST_F(Gate, FunctionRunsOnTheDomainsStack)
{
	bool there = false;

	EXPECT_EQ(LYCH_CALL(domain, &there, on_domain_stack), 0);
	EXPECT_TRUE(there);
	EXPECT_FALSE(on_domain_stack());
}

TEST_F(Gate, FunctionOfNothingReturnsNothing)
{
	int n = 0;

	EXPECT_EQ(LYCH_CALL(domain, LYCH_NOTHING, set, &n, 7), 0);
	EXPECT_EQ(n, 7);
}

TEST_F(Gate, NoDomainIsRefused)
{
	int n = 5;

	domain = nullptr;
	EXPECT_EQ(LYCH_CALL(domain, &n, add, 1, 2), -EINVAL);
	EXPECT_EQ(n, 5);
}

TEST_F(Gate, FailedCallLeavesTheResultAlone)
{
	int n = 5;

	fixture_exhaust(true);
	EXPECT_EQ(LYCH_CALL(domain, &n, add, 1, 2), -EXFULL);
	fixture_exhaust(false);
	EXPECT_EQ(n, 5);
}

TEST_F(Gate, HostileResultsAreBroughtIntoTheirRange)
{
	bool yes = false, no = true;
	short n = 0;

	EXPECT_EQ(LYCH_CALL(domain, &yes, hostile_bool), 0);
	unsigned char byte;
	memcpy(&byte, &yes, 1);
	EXPECT_EQ(byte, 1);
	EXPECT_EQ(LYCH_CALL(domain, &no, hostile_zero), 0);
	memcpy(&byte, &no, 1);
	EXPECT_EQ(byte, 0);
	EXPECT_EQ(LYCH_CALL(domain, &n, hostile_short), 0);
	EXPECT_EQ(n, -2);
}

TEST_F(Gate, StructsReferencesAndEnumClassesPass)
{
	struct point p = {};
	struct big b = {{1, 2, 3, 4, 5, 6}};
	Colour c = Colour::Green;
	int n = 1;

	EXPECT_EQ(LYCH_CALL(domain, &p, turn, (point{1, 2})), 0);
	EXPECT_EQ(p.x, 2);
	EXPECT_EQ(p.y, 1);
	EXPECT_EQ(LYCH_CALL(domain, &b, grow, b, 10), 0);
	EXPECT_EQ(b.a[0], 11);
	EXPECT_EQ(b.a[5], 16);
	EXPECT_EQ(LYCH_CALL(domain, &c, colour, Colour::Red, n), 0);
	EXPECT_EQ(c, Colour::Green);
	EXPECT_EQ(n, 2);
}

TEST_F(Gate, VariadicCallTellsHowManyVectorsThereAre)
{
	char text[64] = "";
	int n = 0;

	EXPECT_EQ(LYCH_CALL(domain, &n, format, text, sizeof(text), "%d %g %s %g", 3, 1.5, "x", 2.25), 0);
	EXPECT_STREQ(text, "3 1.5 x 2.25");
	EXPECT_EQ(n, 12);
}

TEST_F(Gate, DeadlineIsInTheRecord)
{
	uint64_t deadline = 0;

	EXPECT_EQ(LYCH_CALL_TIMEOUT(domain, 60000, &deadline, fixture_deadline), 0);
	EXPECT_EQ(deadline, 60000000000u);
	EXPECT_EQ(LYCH_CALL(domain, &deadline, fixture_deadline), 0);
	EXPECT_EQ(deadline, 0u);
}

TEST_F(Gate, TypedPointersAreCalledLikeTheFunction)
{
	int (*padd)(int, int);
	point (*pturn)(point);
	mixed (*pmix)(double, short);
	long double (*pthird)(long double);
	void (*pset)(int *, int);
	int n = 0;

	ASSERT_EQ(LYCH_POINTER(&padd, domain, add), 0);
	ASSERT_EQ(LYCH_POINTER(&pturn, domain, turn), 0);
	ASSERT_EQ(LYCH_POINTER(&pmix, domain, mix), 0);
	ASSERT_EQ(LYCH_POINTER(&pthird, domain, third), 0);
	ASSERT_EQ(LYCH_POINTER(&pset, domain, set), 0);
	EXPECT_EQ(padd(1, -3), -2);
	EXPECT_EQ(pturn(point{1, 2}).x, 2);
	EXPECT_EQ(pmix(2.5, -4).n, -4);
	EXPECT_EQ(pmix(2.5, -4).x, 2.5);
	EXPECT_EQ(pthird(7.5L), 2.5L);
	pset(&n, 9);
	EXPECT_EQ(n, 9);

	// and give the value their binding names where they cannot
	fixture_exhaust(true);
	EXPECT_EQ(padd(1, -3), INT_MIN);
	EXPECT_EQ(pturn(point{1, 2}).x, -1);
	EXPECT_EQ(pturn(point{1, 2}).y, -2);
	EXPECT_EQ(pmix(2.5, -4).x, -1.5);
	EXPECT_EQ(pmix(2.5, -4).n, -2);
	EXPECT_EQ(pthird(7.5L), -3.25L);
	pset(&n, 10);
	fixture_exhaust(false);
	EXPECT_EQ(n, 9);

	EXPECT_EQ(lych_pointer_free(reinterpret_cast<void (*)()>(padd)), 0);
	EXPECT_EQ(lych_pointer_free(reinterpret_cast<void (*)()>(padd)), -EINVAL);
	EXPECT_EQ(lych_pointer_free(nullptr), 0);
	EXPECT_EQ(lych_pointer_free(reinterpret_cast<void (*)()>(add)), -EINVAL);
	fixture_domain_gone(domain);
	EXPECT_EQ(lych_pointer_free(reinterpret_cast<void (*)()>(pset)), -EINVAL);
}

TEST_F(Gate, FaultValueOfANarrowTypeIsExtended)
{
	short (*p)(void);

	ASSERT_EQ(LYCH_POINTER(&p, domain, hostile_short), 0);
	fixture_exhaust(true);
	EXPECT_EQ(as<long (*)(void)>(p)(), -7);
	fixture_exhaust(false);
	fixture_domain_gone(domain);
}

TEST_F(Gate, ThereAreAThousandPointersAndNoMore)
{
	std::vector<int (*)(int, int)> all;
	int (*p)(int, int);
	int rc;

	while ((rc = LYCH_POINTER(&p, domain, add)) == 0) {
		all.push_back(p);
	}
	EXPECT_EQ(rc, -ENOSPC);
	EXPECT_EQ(p, nullptr);
	EXPECT_EQ(all.size(), 1024u);
	EXPECT_EQ(all.front()(1, 2), 3);
	EXPECT_EQ(all.back()(1, 2), 3);
	EXPECT_EQ(lych_pointer_free(reinterpret_cast<void (*)()>(all[77])), 0);
	EXPECT_EQ(LYCH_POINTER(&p, domain, add), 0);
	EXPECT_EQ(p, all[77]);

	struct lych_domain *const mine = domain;
	domain = fixture_other_domain();
	EXPECT_EQ(LYCH_POINTER(&p, domain, add), -ENOSPC);
	fixture_domain_gone(domain); // has none: mine stay
	EXPECT_EQ(LYCH_POINTER(&p, domain, add), -ENOSPC);
	fixture_domain_gone(mine);
	EXPECT_EQ(LYCH_POINTER(&p, domain, add), 0);
	EXPECT_EQ(p(4, 5), 9);
	fixture_domain_gone(domain);
}

TEST_F(Gate, NarrowArgumentsOfATypedPointerCarryNothingElse)
{
	const struct lych_binding &b = lych_binding_domain_registers_pointer;

	EXPECT_EQ(b.narrow, 3);
	EXPECT_EQ(b.ngpr, 3);
	EXPECT_EQ(b.extra, 4u);

	unsigned long (*p)(int, unsigned char, long);
	ASSERT_EQ(LYCH_POINTER(&p, domain, registers), 0);
	as<unsigned long (*)(unsigned long, unsigned long, unsigned long)>(p)(0xdeadbeef00000001, 0xdeadbeef00000002,
									    0xdeadbeef00000003);
	EXPECT_EQ(abi_entry.args[0], 1u);
	EXPECT_EQ(abi_entry.args[1], 2u);
	EXPECT_EQ(abi_entry.args[2], 0xdeadbeef00000003u);
	fixture_domain_gone(domain);
}

TEST_F(Gate, CallbackGetsItsArgumentsAndItsContext)
{
	int (*p)(int, bool, signed char);
	int n = 0, ctx = 0;

	EXPECT_EQ(lych_callback_ctx(), nullptr);
	ASSERT_EQ(lych_callback(&p, domain, host, &ctx), 0);
	EXPECT_EQ(LYCH_CALL(domain, &n, call_back, p, 21), 0);
	EXPECT_EQ(n, 43);
	EXPECT_EQ(seen[0], 21);
	EXPECT_EQ(seen[1], 1);
	EXPECT_EQ(seen[2], -1);
	EXPECT_EQ(seen_ctx, &ctx);
	EXPECT_EQ(seen_depth, 2u);
	EXPECT_EQ(lych_callback_ctx(), nullptr);
	EXPECT_EQ(lych_callback_free(domain, reinterpret_cast<void (*)()>(p)), 0);
	EXPECT_EQ(lych_callback_free(domain, reinterpret_cast<void (*)()>(p)), -EINVAL);
}

TEST_F(Gate, CallbacksArgumentsAreBroughtIntoTheirRange)
{
	int (*p)(int, bool, signed char);
	int n = 0;

	ASSERT_EQ(lych_callback(&p, domain, host, nullptr), 0);
	EXPECT_EQ(LYCH_CALL(domain, &n, call_back_with_garbage, p), 0);
	EXPECT_EQ(n, 10);
	EXPECT_EQ(seen[0], 5);
	EXPECT_EQ(seen[1], 1);
	EXPECT_EQ(seen[2], -128);
	EXPECT_EQ(lych_callback_free(domain, reinterpret_cast<void (*)()>(p)), 0);
}

TEST_F(Gate, CallbackGetsStackWordsAndVectors)
{
	double (*p)(long, long, long, long, long, long, long, double, long double, point);
	double x = 0;

	ASSERT_EQ(lych_callback(&p, domain, host_many, nullptr), 0);
	EXPECT_EQ(LYCH_CALL(domain, &x, call_many, p), 0);
	EXPECT_EQ(x, host_many(1, 2, 3, 4, 5, 6, 7, 8.5, 9.25L, point{10, 11}));
	EXPECT_EQ(lych_callback_free(domain, reinterpret_cast<void (*)()>(p)), 0);
}

TEST_F(Gate, CallbackMayCallTheDomainAgain)
{
	int (*p)(int, bool, signed char);
	int n = 0, ctx = 0;

	ASSERT_EQ(lych_callback(&p, domain, host_nests, &ctx), 0);
	EXPECT_EQ(LYCH_CALL(domain, &n, call_back, p, 5), 0);
	EXPECT_EQ(n, 106);
	EXPECT_EQ(seen_ctx, &ctx);
	EXPECT_EQ(lych_callback_free(domain, reinterpret_cast<void (*)()>(p)), 0);
}

TEST_F(Gate, CallbacksAreCountedPerDomain)
{
	int (*p)(int, bool, signed char), (*other)(int, bool, signed char);
	std::vector<int (*)(int, bool, signed char)> all;

	while (lych_callback(&p, domain, host, nullptr) == 0) {
		all.push_back(p);
	}
	EXPECT_EQ(all.size(), 8u);
	EXPECT_EQ(lych_callback(&p, domain, host, nullptr), -ENOSPC);
	EXPECT_EQ(p, nullptr);
	ASSERT_EQ(lych_callback(&other, fixture_other_domain(), host, nullptr), 0);
	EXPECT_EQ(lych_callback_free(fixture_other_domain(), reinterpret_cast<void (*)()>(all[1])), -EINVAL);
	EXPECT_EQ(lych_callback_free(fixture_other_domain(), reinterpret_cast<void (*)()>(other)), 0);
	for (auto *each : all) {
		EXPECT_EQ(lych_callback_free(domain, reinterpret_cast<void (*)()>(each)), 0);
	}
}
