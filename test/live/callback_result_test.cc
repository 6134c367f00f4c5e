/* SPDX-License-Identifier: Apache-2.0 */
// What a domain finds in the registers when a callback has returned to it: the result, and nothing else of the host's.
// result_fill leaves a secret in every register that the ABI lets a function change, those of its result included.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include <lychgate/lychgate.h>

#include "callback_result.h"
#include "inside.h"
#include "live.h"

namespace
{

struct Ints12 {
	int words[3];
};
struct Bytes9 {
	char bytes[9];
};
struct Bytes3 {
	char bytes[3];
};
struct IntDouble {
	long n;
	double x;
};
struct IntFloat {
	int n[2];
	float x;
};
struct DoubleInt {
	double x;
	int n;
};
struct FloatsInt {
	float x[2];
	int n;
};
struct Floats3 {
	float x[3];
};
typedef long vector __attribute__((vector_size(16)));
typedef __complex__ double complex_double;
typedef __complex__ long double complex_long_double;

// One function of the assembly, by many types.
#define FILLS(name, type) extern "C" type name(void) __asm__("result_fill")
FILLS(result_void, void);
FILLS(result_char, signed char);
FILLS(result_short, unsigned short);
FILLS(result_int, int);
FILLS(result_long, long);
FILLS(result_pointer, void *);
FILLS(result_int128, __int128);
FILLS(result_float, float);
FILLS(result_double, double);
FILLS(result_complex, complex_double);
FILLS(result_vector, vector);
FILLS(result_bytes3, Bytes3);
FILLS(result_bytes9, Bytes9);
FILLS(result_ints12, Ints12);
FILLS(result_int_double, IntDouble);
FILLS(result_int_float, IntFloat);
FILLS(result_double_int, DoubleInt);
FILLS(result_floats_int, FloatsInt);
FILLS(result_floats3, Floats3);
extern "C" long double result_long_double(void) __asm__("result_fill_st0");
extern "C" complex_long_double result_complex_long_double(void) __asm__("result_fill_st1");

LYCH_CALLBACK(result_void, void, (void));
LYCH_CALLBACK(result_char, signed char, (void));
LYCH_CALLBACK(result_short, unsigned short, (void));
LYCH_CALLBACK(result_int, int, (void));
LYCH_CALLBACK(result_long, long, (void));
LYCH_CALLBACK(result_pointer, void *, (void));
LYCH_CALLBACK(result_int128, __int128, (void));
LYCH_CALLBACK(result_float, float, (void));
LYCH_CALLBACK(result_double, double, (void));
LYCH_CALLBACK(result_complex, complex_double, (void));
LYCH_CALLBACK(result_vector, vector, (void));
LYCH_CALLBACK(result_bytes3, LYCH_STRUCT(Bytes3, I), (void));
LYCH_CALLBACK(result_bytes9, LYCH_STRUCT(Bytes9, II), (void));
LYCH_CALLBACK(result_ints12, LYCH_STRUCT(Ints12, II), (void));
LYCH_CALLBACK(result_int_double, LYCH_STRUCT(IntDouble, IS), (void));
LYCH_CALLBACK(result_int_float, LYCH_STRUCT(IntFloat, IS), (void));
LYCH_CALLBACK(result_double_int, LYCH_STRUCT(DoubleInt, SI), (void));
LYCH_CALLBACK(result_floats_int, LYCH_STRUCT(FloatsInt, SI), (void));
LYCH_CALLBACK(result_floats3, LYCH_STRUCT(Floats3, SS), (void));
LYCH_CALLBACK(result_long_double, long double, (void));
LYCH_CALLBACK(result_complex_long_double, complex_long_double, (void));

LYCH_BIND(domain, result_dump, void, (void (*)(void), struct result_registers *, int));

// Bytes of the result in rax, rdx, xmm0, xmm1, places of it on the x87's stack, and what rax holds of it: widened by the
// compiler, or as the function left it.
struct Row {
	const char *name;
	int (*make)(void (**)(void), lych_domain *);
	size_t rax, rdx, first, second, st;
	uint64_t in_rax;
};

#define MAKE(fn) [](void (**out)(void), lych_domain *domain) { \
	decltype(&fn) pointer = nullptr; \
	int rc = lych_callback(&pointer, domain, fn, nullptr); \
	*out = reinterpret_cast<void (*)(void)>(pointer); \
	return rc; }

const Row rows[] = {
	{"Void", MAKE(result_void), 0, 0, 0, 0, 0, RESULT_SECRET},
	{"Char", MAKE(result_char), 8, 0, 0, 0, 0, 0xffffffffffffffc2},
	{"Short", MAKE(result_short), 8, 0, 0, 0, 0, 0x5ec2},
	{"Int", MAKE(result_int), 8, 0, 0, 0, 0, 0xffffffffc2e75ec2},
	{"Long", MAKE(result_long), 8, 0, 0, 0, 0, RESULT_SECRET},
	{"Pointer", MAKE(result_pointer), 8, 0, 0, 0, 0, RESULT_SECRET},
	{"Int128", MAKE(result_int128), 8, 8, 0, 0, 0, RESULT_SECRET},
	{"Float", MAKE(result_float), 0, 0, 4, 0, 0, RESULT_SECRET},
	{"Double", MAKE(result_double), 0, 0, 8, 0, 0, RESULT_SECRET},
	{"ComplexDouble", MAKE(result_complex), 0, 0, 8, 8, 0, RESULT_SECRET},
	{"Vector", MAKE(result_vector), 0, 0, 16, 0, 0, RESULT_SECRET},
	{"ThreeBytes", MAKE(result_bytes3), 3, 0, 0, 0, 0, RESULT_SECRET},
	{"NineBytes", MAKE(result_bytes9), 8, 1, 0, 0, 0, RESULT_SECRET},
	{"ThreeInts", MAKE(result_ints12), 8, 4, 0, 0, 0, RESULT_SECRET},
	{"IntAndDouble", MAKE(result_int_double), 8, 0, 8, 0, 0, RESULT_SECRET},
	{"IntsAndFloat", MAKE(result_int_float), 8, 0, 4, 0, 0, RESULT_SECRET},
	{"DoubleAndInt", MAKE(result_double_int), 8, 0, 8, 0, 0, RESULT_SECRET}, // the struct's padding is the struct's
	{"FloatsAndInt", MAKE(result_floats_int), 4, 0, 8, 0, 0, RESULT_SECRET},
	{"ThreeFloats", MAKE(result_floats3), 0, 0, 8, 4, 0, RESULT_SECRET},
	{"LongDouble", MAKE(result_long_double), 0, 0, 0, 0, 1, RESULT_SECRET},
	{"ComplexLongDouble", MAKE(result_complex_long_double), 0, 0, 0, 0, 2, RESULT_SECRET},
	{"VectorOf32Bytes", result_callback_ymm, 0, 0, 32, 0, 0, RESULT_SECRET},
	{"VectorOf64Bytes", result_callback_zmm, 0, 0, 64, 0, 0, RESULT_SECRET},
};

lych_domain *domain;

bool Secret(const uint8_t *at, size_t bytes)
{
	const uint64_t secret = RESULT_SECRET;

	for (size_t i = 0; i < bytes; i++) {
		if (at[i] != reinterpret_cast<const uint8_t *>(&secret)[i % 8]) {
			return false;
		}
	}
	return true;
}

size_t NotZero(const void *at, size_t bytes)
{
	size_t n = 0;

	for (size_t i = 0; i < bytes; i++) {
		n += static_cast<const uint8_t *>(at)[i] != 0;
	}
	return n;
}

class CallbackResult : public testing::TestWithParam<Row>
{
protected:
	static void SetUpTestSuite()
	{

		if (domain != nullptr) {
			return; // by the other suite
		}
		ASSERT_EQ(live_start(), 0) << lych_why();
		ASSERT_EQ(lych_domain_new(&domain, nullptr), 0);
		result_level = __builtin_cpu_supports("avx512f") ? 2 : __builtin_cpu_supports("avx") ? 1 : 0;
	}

	void SetUp() override
	{
		registers = static_cast<result_registers *>(lych_alloc_aligned(domain, 64, sizeof(*registers)));
		ASSERT_NE(registers, nullptr);
	}

	void TearDown() override
	{
		EXPECT_EQ(lych_free(domain, registers), 0);
	}

	result_registers *registers = nullptr;
};

TEST_P(CallbackResult, IsAllThatTheDomainGets)
{
	const Row &row = GetParam();
	const size_t widths[] = {16, 32, 64};
	void (*callback)(void) = nullptr;

	if (row.first > widths[result_level]) {
		GTEST_SKIP() << "this CPU has no vectors of " << row.first << " bytes";
	}
	ASSERT_EQ(row.make(&callback, domain), 0);
	ASSERT_EQ(LYCH_CALL(domain, LYCH_NOTHING, result_dump, callback, registers, result_level), 0);

	const result_registers &r = *registers;
	const auto *rax = reinterpret_cast<const uint8_t *>(&r.rax), *rdx = reinterpret_cast<const uint8_t *>(&r.rdx);
	EXPECT_EQ(memcmp(rax, &row.in_rax, row.rax), 0) << std::hex << r.rax;
	EXPECT_TRUE(Secret(rdx, row.rdx) && Secret(r.vectors[0], row.first) && Secret(r.vectors[1], row.second))
		<< "the result does not arrive";
	EXPECT_EQ(NotZero(rax + row.rax, 8 - row.rax), 0u) << std::hex << r.rax;
	EXPECT_EQ(NotZero(rdx + row.rdx, 8 - row.rdx), 0u) << std::hex << r.rdx;
	EXPECT_EQ(NotZero(r.others, sizeof(r.others)), 0u);
	EXPECT_EQ(NotZero(r.masks, sizeof(r.masks)), 0u);
	EXPECT_EQ(NotZero(r.vectors[0] + row.first, 64 - row.first), 0u);
	EXPECT_EQ(NotZero(r.vectors[1] + row.second, 64 - row.second), 0u);
	EXPECT_EQ(NotZero(r.vectors[2], sizeof(r.vectors) - 2 * 64), 0u);
	// st0 to st7, 16 bytes each; the exponent of what was written as mm is not anybody's
	for (size_t i = 0; i < 8; i++) {
		EXPECT_EQ(NotZero(r.x87 + 32 + 16 * i, 8) != 0, i < row.st) << "st" << i;
	}
	ASSERT_EQ(lych_callback_free(domain, callback), 0);
}

INSTANTIATE_TEST_SUITE_P(All, CallbackResult, testing::ValuesIn(rows), [](const auto &row) { return row.param.name; });

class CallbackResultControl : public CallbackResult
{
};

// Without a gate everything is there: the function does leave its secret in every register, and the dump finds it.
TEST_F(CallbackResultControl, WithoutAGateEveryRegisterHoldsTheSecret)
{
	static result_registers r;
	const size_t widths[] = {16, 32, 64};

	result_dump(result_fill, &r, result_level);
	EXPECT_EQ(r.rax, RESULT_SECRET);
	EXPECT_EQ(r.rdx, RESULT_SECRET);
	for (uint64_t other : r.others) {
		EXPECT_EQ(other, RESULT_SECRET);
	}
	for (int i = 0; i < (result_level == 2 ? 32 : 16); i++) {
		EXPECT_TRUE(Secret(r.vectors[i], widths[result_level])) << i;
	}
	for (size_t i = 0; i < 8; i++) {
		EXPECT_TRUE(Secret(r.x87 + 32 + 16 * i, 8)) << "st" << i;
	}
}

} // namespace
