/* SPDX-License-Identifier: Apache-2.0 */
/* Calls by a compiler, each the first of its function, with the answers that are known. */
#include "program.h"
#include "values.h"

/* What 1, 2, 3 ... as arguments give: the sum of the squares, and n. */
#define SQUARES_9 285
#define SQUARES_10 385

#define FIRST_CALL(name, call)                                      \
	do {                                                        \
		CHECK(slot_unbound(slot_of(name)) == !program.now); \
		call;                                               \
		if (!program.audited) {                             \
			CHECK(!slot_unbound(slot_of(name)));        \
		}                                                   \
	} while (0)

static v4 make4(float x)
{
	return (v4){x, 2 * x, 3 * x, 4 * x};
}

static __attribute__((target("avx"))) v8 make8(float x)
{
	return (v8){x, 2 * x, 3 * x, 4 * x, 5 * x, 6 * x, 7 * x, 8 * x};
}

static __attribute__((target("avx512f"))) v16 make16(float x)
{
	return (v16){x,     2 * x,  3 * x,  4 * x,  5 * x,  6 * x,  7 * x,  8 * x,
		     9 * x, 10 * x, 11 * x, 12 * x, 13 * x, 14 * x, 15 * x, 16 * x};
}

#define SAME(type, count, got, n)                                                       \
	do {                                                                            \
		type same_got = (got);                                                  \
		for (int lane = 0; lane < (count); lane++) {                            \
			CHECK(same_got[lane] == (float)(SQUARES_9 * (lane + 1) + (n))); \
		}                                                                       \
	} while (0)

#define CHECK_OF(n)                                                                                \
	static __attribute__((target("avx"))) void ymm_##n(void)                                   \
	{                                                                                          \
		FIRST_CALL("value_ymm_" #n,                                                        \
			   SAME(v8, 8,                                                             \
				value_ymm_##n(make8(1), make8(2), make8(3), make8(4), make8(5),    \
					      make8(6), make8(7), make8(8), make8(9)),             \
				n));                                                               \
	}                                                                                          \
	static __attribute__((target("avx512f"))) void zmm_##n(void)                               \
	{                                                                                          \
		FIRST_CALL("value_zmm_" #n, SAME(v16, 16,                                          \
						 value_zmm_##n(make16(1), make16(2), make16(3),    \
							       make16(4), make16(5), make16(6),    \
							       make16(7), make16(8), make16(9)),   \
						 n));                                              \
	}                                                                                          \
	static void others_##n(void)                                                               \
	{                                                                                          \
		struct mixed mixed = {0, 0};                                                       \
		FIRST_CALL("value_doubles_" #n, CHECK(value_doubles_##n(1, 2, 3, 4, 5, 6, 7, 8, 9, \
									10) == SQUARES_10 + n));   \
		FIRST_CALL("value_floats_" #n, CHECK(value_floats_##n(1, 2, 3, 4, 5, 6, 7, 8, 9,   \
								      10) == SQUARES_10 + n));     \
		FIRST_CALL("value_xmm_" #n,                                                        \
			   SAME(v4, 4,                                                             \
				value_xmm_##n(make4(1), make4(2), make4(3), make4(4), make4(5),    \
					      make4(6), make4(7), make4(8), make4(9)),             \
				n));                                                               \
		FIRST_CALL("value_long_double_" #n,                                                \
			   CHECK(value_long_double_##n(0x1p-40L, 2, 0x1p20L) ==                    \
				 n + 4 + 0x3p20L + 0x1p-40L));                                     \
		FIRST_CALL("value_float128_" #n,                                                   \
			   CHECK(value_float128_##n((_Float128)0x1p-80L, 2, (_Float128)0x1p20L) == \
				 n + 4 + (_Float128)0x3p20L + (_Float128)0x1p-80L));               \
		FIRST_CALL("value_float32_" #n, CHECK(value_float32_##n(1, 2, 3) == 14 + n));      \
		FIRST_CALL("value_complex_" #n,                                                    \
			   CHECK(value_complex_##n(1.0 + 2.0i, 3.0f + 4.0fi) == n - 5.0 + 10.0i)); \
		FIRST_CALL("value_mixed_" #n, mixed = value_mixed_##n((struct mixed){1, 1}, 2,     \
								      (struct mixed){3, 3}));      \
		CHECK(mixed.real == 14 + n && mixed.whole == 7 + n);                               \
		FIRST_CALL("value_variadic_" #n,                                                   \
			   CHECK(value_variadic_##n(10, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0,    \
						    9.0, 10.0) == SQUARES_10 + n));                \
	}                                                                                          \
	static void values_##n(void)                                                               \
	{                                                                                          \
		others_##n();                                                                      \
		if (__builtin_cpu_supports("avx")) {                                               \
			ymm_##n();                                                                 \
		}                                                                                  \
		if (__builtin_cpu_supports("avx512f")) {                                           \
			zmm_##n();                                                                 \
		}                                                                                  \
	}

CHECK_OF(0)
CHECK_OF(1)
CHECK_OF(2)
CHECK_OF(3)
CHECK_OF(4)
CHECK_OF(5)
CHECK_OF(6)
CHECK_OF(7)

void check_values(void)
{
	values_0();
	values_1();
	values_2();
	values_3();
	values_4();
	values_5();
	values_6();
	values_7();
}
