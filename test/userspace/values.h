/* SPDX-License-Identifier: Apache-2.0 */
/* Functions with arguments and results of each kind that travels in a vector or x87 register;
 * VALUES of each. */
#ifndef LYCH_TEST_VALUES_H
#define LYCH_TEST_VALUES_H

typedef float v4 __attribute__((vector_size(16)));
typedef float v8 __attribute__((vector_size(32)));
typedef float v16 __attribute__((vector_size(64)));

struct mixed {
	double real;
	long whole;
};

#define VALUES 8

#define DECLARE(n)                                                                                 \
	double value_doubles_##n(double, double, double, double, double, double, double, double,   \
				 double, double);                                                  \
	float value_floats_##n(float, int, float, long, float, float, float, float, float, float); \
	v4 value_xmm_##n(v4, v4, v4, v4, v4, v4, v4, v4, v4);                                      \
	__attribute__((target("avx"))) v8 value_ymm_##n(v8, v8, v8, v8, v8, v8, v8, v8, v8);       \
	__attribute__((target("avx512f")))                                                         \
	v16 value_zmm_##n(v16, v16, v16, v16, v16, v16, v16, v16, v16);                            \
	long double value_long_double_##n(long double, double, long double);                       \
	_Float128 value_float128_##n(_Float128, _Float64, _Float128);                              \
	_Float32 value_float32_##n(_Float32, _Float64x, _Float32);                                 \
	_Complex double value_complex_##n(_Complex double, _Complex float);                        \
	struct mixed value_mixed_##n(struct mixed, double, struct mixed);                          \
	double value_variadic_##n(int, ...);

DECLARE(0)
DECLARE(1)
DECLARE(2)
DECLARE(3)
DECLARE(4)
DECLARE(5)
DECLARE(6)
DECLARE(7)

#endif /* LYCH_TEST_VALUES_H */
