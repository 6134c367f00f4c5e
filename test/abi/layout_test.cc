// SPDX-License-Identifier: Apache-2.0
// What bindings say, against tables worked out by hand from the System V AMD64 ABI.
#include <gtest/gtest.h>

#include <climits>

#include "../../gate/core/gate_asm.h"
#include "abi.h"

extern "C" {

struct three {
	int a, b, c;
};
struct pair {
	long a, b;
};
struct mixed {
	double x;
	long n;
};
struct big {
	long a[3];
};
struct aligned {
	long double x;
	int n;
};
__extension__ typedef __int128 wide;
typedef float v4 __attribute__((vector_size(16)));
enum small { SMALL_ONE = 1 };

// Never called: only their types count.
int nothing(void);
void one(char);
long six(int, long, void *, char, short, bool);
int seven(int, int, int, int, int, int, int);
int hole(int, int, int, int, int, int, int, long double, int);
int both_or_none(int, int, int, int, int, struct pair, int);
int wide_or_none(int, int, int, int, int, wide, int, int);
double nine(double, double, double, double, double, double, double, double, double);
float mixture(float, int, double, v4, long double, small);
struct big make(int, struct big);
int half(struct three, float);
struct mixed order(struct mixed, struct mixed);
long double extended(long double);
v4 vector(v4);
void sixteen_aligned(int, struct aligned, int, struct aligned);
void references(int &, const char *&&);
int noexcept_function(int) noexcept;
}

#define THREE LYCH_STRUCT(struct three, II)
#define PAIR LYCH_STRUCT(struct pair, II)
#define MIXED LYCH_STRUCT(struct mixed, SI)

LYCH_BIND(d, nothing, int, (void));
LYCH_BIND(d, one, void, (char));
LYCH_BIND(d, six, long, (int, long, void *, char, short, bool));
LYCH_BIND(d, seven, int, (int, int, int, int, int, int, int));
LYCH_BIND(d, hole, int, (int, int, int, int, int, int, int, long double, int));
LYCH_BIND(d, both_or_none, int, (int, int, int, int, int, PAIR, int));
#if !defined(__clang__) || __clang_major__ >= 18
LYCH_BIND(d, wide_or_none, int, (int, int, int, int, int, wide, int, int));
#endif
LYCH_BIND(d, nine, double, (double, double, double, double, double, double, double, double, double));
LYCH_BIND(d, mixture, float, (float, int, double, v4, long double, small));
LYCH_BIND(d, make, struct big, (int, struct big));
LYCH_BIND(d, half, int, (THREE, float));
LYCH_BIND(d, order, MIXED, (MIXED, MIXED));
LYCH_BIND(d, extended, long double, (long double));
LYCH_BIND(d, vector, v4, (v4));
LYCH_BIND(d, sixteen_aligned, void, (int, struct aligned, int, struct aligned));
LYCH_BIND(d, references, void, (int &, const char *&&));
LYCH_BIND(d, noexcept_function, int, (int));
LYCH_BIND_VARIADIC(d, print_two, printf, int, (const char *), (double, long));
LYCH_BIND_VARIADIC(d, print_none, printf, int, (const char *), (void));
LYCH_BIND_POINTER(d, six, long, (int, long, void *, char, short, bool), LONG_MIN);
LYCH_BIND_POINTER(d, mixture, float, (float, int, double, v4, long double, small), -1);

namespace {

struct Row {
	const char *name;
	const lych_binding *binding;
	unsigned ngpr, nvec, words, narrow, widths, result, skip, extra;
};

constexpr unsigned kW = BINDX_WORDS, kV = BINDX_VECTORS, kN = BINDX_NARROW, kR = BINDX_RESULT, kA = BINDX_VARIADIC;

const Row kRows[] = {
	{"NoArgument", &lych_binding_d_nothing, 0, 0, 0, 0, 0, RESULT_GPR, 0, 0},
	{"OneNarrowIsWidened", &lych_binding_d_one, 1, 0, 0, 0, 0, RESULT_GPR, 2, 0},
	{"SixIntegers", &lych_binding_d_six, 6, 0, 0, 0, 0, RESULT_GPR, 16, 0},
	{"SeventhOnTheStack", &lych_binding_d_seven, 6, 0, 1, 0, 0, RESULT_GPR, 16, kW},
	{"LongDoubleLeavesAHole", &lych_binding_d_hole, 6, 0, 5, 0, 0, RESULT_GPR, 16, kW},
	{"StructBothOrNoneAndTheNextFillsUp", &lych_binding_d_both_or_none, 6, 0, 2, 0, 0, RESULT_GPR, 16, kW},
#if !defined(__clang__) || __clang_major__ >= 18
	{"Int128BothOrNoneAndTheNextFillsUp", &lych_binding_d_wide_or_none, 6, 0, 3, 0, 0, RESULT_GPR, 16, kW},
#endif
	{"NinthDoubleOnTheStack", &lych_binding_d_nine, 0, 8, 1, 0, 0x33333333, RESULT_XMM, 0, kW | kV | kR},
	{"Mixture", &lych_binding_d_mixture, 2, 3, 2, 0, 0x432, RESULT_XMM, 4, kW | kV | kR},
	{"ResultInMemoryTakesTheFirstRegister", &lych_binding_d_make, 2, 0, 3, 0, 0, RESULT_GPR, 4, kW},
	{"TailOfAStructIsNarrow", &lych_binding_d_half, 2, 1, 0, 2, 2, RESULT_GPR, 4, kV | kN},
	{"EightbytesOfBothKinds", &lych_binding_d_order, 2, 2, 0, 0, 0x33, RESULT_XMM, 4, kV | kR},
	{"LongDouble", &lych_binding_d_extended, 0, 0, 2, 0, 0, RESULT_ST0, 0, kW | kR},
	{"Vector", &lych_binding_d_vector, 0, 1, 0, 0, 4, RESULT_XMM, 0, kV | kR},
	{"StructsAlignedTo16", &lych_binding_d_sixteen_aligned, 2, 0, 8, 0, 0, RESULT_GPR, 4, kW},
	{"References", &lych_binding_d_references, 2, 0, 0, 0, 0, RESULT_GPR, 4, 0},
	{"Noexcept", &lych_binding_d_noexcept_function, 1, 0, 0, 0, 0, RESULT_GPR, 2, 0},
	{"Variadic", &lych_binding_d_print_two, 2, 1, 0, 0, 3, RESULT_GPR, 4, kV | kA},
	{"VariadicWithoutMore", &lych_binding_d_print_none, 1, 0, 0, 0, 0, RESULT_GPR, 2, kA},
	{"PointerKeepsNarrowRegisters", &lych_binding_d_six_pointer, 6, 0, 0, 0x39, 0, RESULT_GPR, 16, kN},
	{"PointerOfAMixture", &lych_binding_d_mixture_pointer, 2, 3, 2, 3, 0x432, RESULT_XMM, 4, kW | kV | kR | kN},
};

void PrintTo(const Row &row, std::ostream *out)
{
	*out << row.name;
}

class Layout : public testing::TestWithParam<Row> {};

} // namespace

TEST_P(Layout, IsThatOfTheAbi)
{
	const Row &row = GetParam();
	const lych_binding &b = *row.binding;

	EXPECT_EQ(b.ngpr, row.ngpr);
	EXPECT_EQ(b.nvec, row.nvec);
	EXPECT_EQ(b.words, row.words);
	EXPECT_EQ(b.narrow, row.narrow);
	EXPECT_EQ(b.widths, row.widths);
	EXPECT_EQ(b.result, row.result);
	EXPECT_EQ(b.skip, row.skip);
	EXPECT_EQ(b.extra, row.extra);
	EXPECT_EQ(b.align, 4);
	EXPECT_NE(b.fn, nullptr);
}

INSTANTIATE_TEST_SUITE_P(All, Layout, testing::ValuesIn(kRows),
			 [](const testing::TestParamInfo<Row> &row) { return std::string(row.param.name); });

// Bindings name functions, so they have to be somewhere.
extern "C" {
int nothing(void) { return 0; }
void one(char) {}
long six(int, long, void *, char, short, bool) { return 0; }
int seven(int, int, int, int, int, int, int) { return 0; }
int hole(int, int, int, int, int, int, int, long double, int) { return 0; }
int both_or_none(int, int, int, int, int, struct pair, int) { return 0; }
int wide_or_none(int, int, int, int, int, wide, int, int) { return 0; }
double nine(double, double, double, double, double, double, double, double, double) { return 0; }
float mixture(float, int, double, v4, long double, small) { return 0; }
struct big make(int, struct big b) { return b; }
int half(struct three, float) { return 0; }
struct mixed order(struct mixed a, struct mixed) { return a; }
long double extended(long double x) { return x; }
v4 vector(v4 v) { return v; }
void sixteen_aligned(int, struct aligned, int, struct aligned) {}
void references(int &, const char *&&) {}
int noexcept_function(int n) noexcept { return n; }
}
