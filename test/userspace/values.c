/* SPDX-License-Identifier: Apache-2.0 */
#include "values.h"

#include <stdarg.h>

#define DEFINE(n)                                                                                  \
	double value_doubles_##n(double a, double b, double c, double d, double e, double f,       \
				 double g, double h, double i, double j)                           \
	{                                                                                          \
		return n + a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i +     \
		       10 * j;                                                                     \
	}                                                                                          \
	float value_floats_##n(float a, int b, float c, long d, float e, float f, float g,         \
			       float h, float i, float j)                                          \
	{                                                                                          \
		return n + a + 2 * (float)b + 3 * c + 4 * (float)d + 5 * e + 6 * f + 7 * g +       \
		       8 * h + 9 * i + 10 * j;                                                     \
	}                                                                                          \
	v4 value_xmm_##n(v4 a, v4 b, v4 c, v4 d, v4 e, v4 f, v4 g, v4 h, v4 i)                     \
	{                                                                                          \
		return (float)n + a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h +      \
		       9 * i;                                                                      \
	}                                                                                          \
	__attribute__((target("avx")))                                                             \
	v8 value_ymm_##n(v8 a, v8 b, v8 c, v8 d, v8 e, v8 f, v8 g, v8 h, v8 i)                     \
	{                                                                                          \
		return (float)n + a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h +      \
		       9 * i;                                                                      \
	}                                                                                          \
	__attribute__((target("avx512f")))                                                         \
	v16 value_zmm_##n(v16 a, v16 b, v16 c, v16 d, v16 e, v16 f, v16 g, v16 h, v16 i)           \
	{                                                                                          \
		return (float)n + a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h +      \
		       9 * i;                                                                      \
	}                                                                                          \
	long double value_long_double_##n(long double a, double b, long double c)                  \
	{                                                                                          \
		return n + a + 2 * b + 3 * c;                                                      \
	}                                                                                          \
	_Float128 value_float128_##n(_Float128 a, _Float64 b, _Float128 c)                         \
	{                                                                                          \
		return n + a + 2 * (_Float128)b + 3 * c;                                           \
	}                                                                                          \
	_Float32 value_float32_##n(_Float32 a, _Float64x b, _Float32 c)                            \
	{                                                                                          \
		return n + a + 2 * (_Float32)b + 3 * c;                                            \
	}                                                                                          \
	_Complex double value_complex_##n(_Complex double a, _Complex float b)                     \
	{                                                                                          \
		return n + a * b;                                                                  \
	}                                                                                          \
	struct mixed value_mixed_##n(struct mixed a, double b, struct mixed c)                     \
	{                                                                                          \
		return (struct mixed){n + a.real + 2 * b + 3 * c.real, n + a.whole + 2 * c.whole}; \
	}                                                                                          \
	double value_variadic_##n(int count, ...)                                                  \
	{                                                                                          \
		double sum = n;                                                                    \
		va_list ap;                                                                        \
		va_start(ap, count);                                                               \
		for (int i = 0; i < count; i++) {                                                  \
			sum += (i + 1) * va_arg(ap, double);                                       \
		}                                                                                  \
		va_end(ap);                                                                        \
		return sum;                                                                        \
	}

DEFINE(0)
DEFINE(1)
DEFINE(2)
DEFINE(3)
DEFINE(4)
DEFINE(5)
DEFINE(6)
DEFINE(7)
