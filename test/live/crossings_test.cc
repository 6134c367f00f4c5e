// SPDX-License-Identifier: Apache-2.0
// How often PKRU is written on the way through a gate: seen by single-stepping, one WRPKRU after the other. The fewest
// there can be, as each costs more than the rest of a call.
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <sys/mman.h>

#include <cstring>

#include "live.h"
#include "single_step.h"

namespace
{

lych_domain *domain;
lych_region *region;
void (*back)();
volatile int seen;

} // namespace

extern "C" {
__attribute__((noinline, noclone)) int crossings_leaf(int n)
{
	return n + 1;
}
__attribute__((noinline, noclone)) long crossings_many(long a, long b, long c, long d, long e, long f, long g, double h)
{
	return a + b + c + d + e + f + g + static_cast<long>(h);
}
__attribute__((noinline, noclone)) int crossings_calls(void (*fn)())
{
	fn();
	return 2;
}
__attribute__((noinline, noclone)) void crossings_callback()
{
	seen = seen + 1;
}
}
LYCH_BIND(domain, crossings_leaf, int, (int));
LYCH_BIND(domain, crossings_many, long, (long, long, long, long, long, long, long, double));
LYCH_BIND(domain, crossings_calls, int, (void (*)()));
LYCH_CALLBACK(crossings_callback, void, (void));

namespace
{

void Plain(void *)
{
	int got = 0;
	if (LYCH_CALL(domain, &got, crossings_leaf, 41) != 0 || got != 42) {
		_exit(1);
	}
}

void Many(void *)
{
	long got = 0;
	if (LYCH_CALL(domain, &got, crossings_many, 1, 2, 3, 4, 5, 6, 7, 8.0) != 0 || got != 36) {
		_exit(1);
	}
}

void Callback(void *)
{
	int got = 0;
	if (LYCH_CALL(domain, &got, crossings_calls, back) != 0 || got != 2) {
		_exit(1);
	}
}

void Scope(void *)
{
	LYCH_WRITE(int, at, region) {
		*at = 1;
	}
}

void Bare(void *)
{
	seen = crossings_leaf(1);
}

// Twice: what is done once for each thread is no part of it.
struct Body {
	void (*fn)(void *);
};
void SteppedBody(void *at)
{
	auto *body = static_cast<Body *>(at);
	lych_region_opts opts = {};

	opts.size = sizeof(opts);
	if (live_start() != 0) {
		_exit(2);
	}
	domain = live_domain("domain");
	if (domain == nullptr || lych_region_new(&region, 4096, &opts) != 0 ||
	    lych_callback(&back, domain, crossings_callback, nullptr) != 0) {
		_exit(3);
	}
	body->fn(nullptr);
	STEP_BEGIN();
	body->fn(nullptr);
	STEP_END();
}

int CountWrpkru(const struct step *step, void *count)
{
	*static_cast<int *>(count) += memcmp(step->bytes, "\x0f\x01\xef", 3) == 0;
	return 0;
}

// Of one run of fn.
int Wrpkrus(void (*fn)(void *))
{
	Body body = {fn};
	int count = 0;

	EXPECT_GT(step_child(SteppedBody, &body, CountWrpkru, &count), 0);
	return count;
}

class Crossings : public ::testing::Test {
protected:
	// Without keys there is nothing to write, which shows that it is the gate's sites that are counted.
	static int With(int keys)
	{
		int key = pkey_alloc(0, 0);
		if (key >= 0) {
			pkey_free(key);
		}
		return key >= 0 ? keys : 0;
	}
};

TEST_F(Crossings, ACallWritesPkruTwice)
{
	EXPECT_EQ(Wrpkrus(Plain), With(2));
	EXPECT_EQ(Wrpkrus(Many), With(2));
	EXPECT_EQ(Wrpkrus(Bare), 0) << "the control";
}

TEST_F(Crossings, ACallbackWritesPkruTwiceMore)
{
	EXPECT_EQ(Wrpkrus(Callback), With(4));
}

TEST_F(Crossings, AScopeWritesPkruTwice)
{
	EXPECT_EQ(Wrpkrus(Scope), With(2));
}

} // namespace
