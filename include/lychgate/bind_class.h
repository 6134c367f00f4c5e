/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the macros of <lychgate/gate.h> learn what System V AMD64 does with a type. Nothing here is for users.
 *
 * The spec of a type is an int:
 *	bits 0-1    integer registers it takes            bit 14      it goes on the stack (class MEMORY, x87)
 *	bits 2-3    vector registers it takes             bits 15-16  alignment there: 0 a word, 1 two, 2 more
 *	bits 4-5    which of its integer registers carry  bit 17      what clang splits, not in a struct
 *	            32 bits or less                       bits 18-28  words it takes there
 *	bits 6-9    log2 of the bytes in the first        bits 29-30  as a result: 1 st0, 2 st0 and st1,
 *	bits 10-13  and second vector register                        3 the first eightbyte is the vector one
 * or a negative number: why it cannot be passed.
 *
 * Where the arguments so far have led is an int, too:
 *	bits 0-2    integer registers used                bits 13-23  stack words used
 *	bits 3-6    vector registers used                 bit 24      something on the stack is aligned to more than 16
 *	bits 7-12   which integer registers carry 32      bit 25      too many stack words
 *	            bits or less                          bit 26      it is on the stack, where clang is wrong
 */
#ifndef LYCHGATE_BIND_CLASS_H
#define LYCHGATE_BIND_CLASS_H

#include <lychgate/base.h>

#define LYCH_I_UNDECLARED (-1)
#define LYCH_I_BAD_SIZE (-2)
#define LYCH_I_UNSUPPORTED (-3)
#define LYCH_I_NO_AVX (-4)
#define LYCH_I_NONTRIVIAL (-5)

#define LYCH_I_MEMORY (1 << 14)
#define LYCH_I_SPLIT (1 << 17)
/* clang puts one half into the last register and the other on the stack, where the ABI puts all of it on the stack. */
#if defined(__clang__) && __clang_major__ < 18
#define LYCH_I_INT128 LYCH_I_SPLIT
#else
#define LYCH_I_INT128 0
#endif
#ifdef __clang__
#define LYCH_I_COMPLEX LYCH_I_SPLIT /* double _Complex; seen with 14 */
#else
#define LYCH_I_COMPLEX 0
#endif
#define LYCH_I_RESULT_ST0 (1 << 29)
#define LYCH_I_RESULT_ST1 (2 << 29)
#define LYCH_I_RESULT_SI (3 << 29)
#define LYCH_I_RESULT_FORM(c) ((c) >> 29 & 3)
#define LYCH_I_WORDS(z, al) (((al) <= 8 ? 0 : (al) == 16 ? 1 : 2) << 15 | ((z) > 16376 ? 2047 : ((z) + 7) / 8) << 18)
#define LYCH_I_LOG(z) ((z) <= 4 ? 2 : (z) <= 8 ? 3 : (z) <= 16 ? 4 : (z) <= 32 ? 5 : 6)
/* Of z bytes aligned to al: one letter for each eightbyte, I integer, S vector; V one whole vector. */
#define LYCH_I_I(z, al) (1 | ((z) <= 4) << 4 | LYCH_I_WORDS(z, al))
#define LYCH_I_II(z, al) (2 | ((z) <= 12) << 5 | LYCH_I_WORDS(z, al))
#define LYCH_I_S(z, al) (1 << 2 | LYCH_I_LOG(z) << 6 | LYCH_I_WORDS(z, al))
#define LYCH_I_SS(z, al) (2 << 2 | 3 << 6 | LYCH_I_LOG((z) - 8) << 10 | LYCH_I_WORDS(z, al))
#define LYCH_I_IS(z, al) (1 | 1 << 2 | LYCH_I_LOG((z) - 8) << 6 | LYCH_I_WORDS(z, al))
#define LYCH_I_SI(z, al) (1 | 1 << 2 | ((z) <= 12) << 4 | 3 << 6 | LYCH_I_RESULT_SI | LYCH_I_WORDS(z, al))
#define LYCH_I_M(z, al) (LYCH_I_MEMORY | LYCH_I_WORDS(z, al))
/* Without AVX the compiler passes wide vectors in memory, which no callee compiled with AVX expects. */
#ifdef __AVX__
#define LYCH_I_V32 LYCH_I_S(32, 32)
#else
#define LYCH_I_V32 LYCH_I_NO_AVX
#endif
#ifdef __AVX512F__
#define LYCH_I_V64 LYCH_I_S(64, 64)
#else
#define LYCH_I_V64 LYCH_I_NO_AVX
#endif
#define LYCH_I_V(z) ((z) == 16 ? LYCH_I_S(16, 16) : (z) == 32 ? LYCH_I_V32 : (z) == 64 ? LYCH_I_V64 : LYCH_I_BAD_SIZE)

/* What the letters of LYCH_STRUCT say, when the size allows it. */
#define LYCH_I_IN(z, low, high, spec) ((z) >= (low) && (z) <= (high) ? (spec) : LYCH_I_BAD_SIZE)
#define LYCH_I_DECLARED_I(z, al) LYCH_I_IN(z, 1, 8, LYCH_I_I(z, al))
#define LYCH_I_DECLARED_S(z, al) LYCH_I_IN(z, 4, 8, LYCH_I_S(z, al))
#define LYCH_I_DECLARED_II(z, al) LYCH_I_IN(z, 9, 16, LYCH_I_II(z, al))
#define LYCH_I_DECLARED_SS(z, al) LYCH_I_IN(z, 12, 16, LYCH_I_SS(z, al))
#define LYCH_I_DECLARED_IS(z, al) LYCH_I_IN(z, 12, 16, LYCH_I_IS(z, al))
#define LYCH_I_DECLARED_SI(z, al) LYCH_I_IN(z, 9, 16, LYCH_I_SI(z, al))
#define LYCH_I_DECLARED_V(z, al) LYCH_I_V(z)
#define LYCH_I_DECLARED_X(z, al) LYCH_I_IN(z, 16, 16, LYCH_I_M(z, 16) | LYCH_I_RESULT_ST0)
#define LYCH_I_DECLARED_M(z, al) LYCH_I_IN(z, 1, 0x7ffffff0, LYCH_I_M(z, al))

/* The next state, and the widths of the vector registers so far: 4 bits each. */
#define LYCH_I_FITS(s, c) \
	(!((c) & LYCH_I_MEMORY) && ((s) & 7) + ((c) & 3) <= 6 && ((s) >> 3 & 15) + ((c) >> 2 & 3) <= 8)
#define LYCH_I_STEP(s, c) \
	((c) < 0 ? (s) : LYCH_I_FITS(s, c) ? LYCH_I_STEP_REGISTERS(s, c) : LYCH_I_STEP_STACK(s, c))
#define LYCH_I_STEP_REGISTERS(s, c) \
	(((s) + ((c) & 3) + (((c) >> 2 & 3) << 3)) | ((c) >> 4 & 3) << (7 + ((s) & 7)))
#define LYCH_I_STEP_STACK(s, c) \
	(((s) & ~(2047 << 13)) | (LYCH_I_STEP_WORDS(s, c) & 2047) << 13 | ((c) >> 15 & 2) << 23 | \
	 (LYCH_I_STEP_WORDS(s, c) > 2046) << 25 | ((c) >> 17 & 1) << 26)
#define LYCH_I_STEP_WORDS(s, c) (((((s) >> 13 & 2047) + ((c) >> 15 & 1)) & ~((c) >> 15 & 1)) + ((c) >> 18 & 2047))
#define LYCH_I_STEP_WIDTHS(x, s, c) \
	((c) > 0 && ((c) >> 2 & 3) && LYCH_I_FITS(s, c) ? (x) | ((c) >> 6 & 255) << 4 * ((s) >> 3 & 7) : (x))
#define LYCH_I_OVERALIGNED (1 << 24)
#define LYCH_I_OVERFLOW (1 << 25)
#define LYCH_I_SPLIT_ON_STACK (1 << 26)

/* RESULT_* of gate_asm.h. */
#define LYCH_I_RESULT(c) \
	(LYCH_I_RESULT_FORM(c) == 1 ? 4 : LYCH_I_RESULT_FORM(c) == 2 ? 5 : !((c) >> 2 & 3) ? 0 : \
	 ((c) >> 6 & 15) == 5 ? 2 : ((c) >> 6 & 15) == 6 ? 3 : 1)
/* The caller passes a pointer to where the result goes. */
#define LYCH_I_RESULT_IN_MEMORY(c) (((c) & LYCH_I_MEMORY) && !LYCH_I_RESULT_FORM(c))

/* Which bits of rax, rdx, xmm0 and xmm1 are a result of z bytes. */
#define LYCH_I_RESULT_BITS(c, z) \
	LYCH_I_RESULT_FORM(c) == 1 || LYCH_I_RESULT_FORM(c) == 2 ? 0 : \
	!((c) & 3) ? 0 : LYCH_I_RESULT_FORM(c) == 3 ? LYCH_I_BITS((z) - 8) : \
	((c) & 3) == 2 || ((c) >> 2 & 3) ? LYCH_I_BITS(8) : LYCH_I_BITS(z), \
	((c) & 3) == 2 ? LYCH_I_BITS((z) - 8) : 0, \
	!((c) >> 2 & 3) ? 0 : LYCH_I_RESULT_FORM(c) == 3 || ((c) >> 2 & 3) == 2 ? LYCH_I_BITS(8) : \
	((c) & 3) ? LYCH_I_BITS((z) - 8) : LYCH_I_BITS(z), \
	((c) >> 2 & 3) == 2 ? LYCH_I_BITS((z) - 8) : 0
#define LYCH_I_BITS(bytes) ((bytes) >= 8 ? ~(uint64_t)0 : ((uint64_t)1 << 8 * ((bytes) & 7)) - 1)

#ifdef __cplusplus
#include <type_traits>

namespace lych_detail {

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;
__extension__ typedef float __complex__ complex_float;
__extension__ typedef double __complex__ complex_double;
__extension__ typedef long double __complex__ complex_long_double;

template <class T> constexpr bool is_int128 = std::is_same<T, int128>::value || std::is_same<T, uint128>::value;
template <class T> constexpr bool is_record = std::is_class<T>::value || std::is_union<T>::value;

/* Passed by value, and not by a pointer to a copy that a constructor made. */
template <class T> constexpr bool is_trivial =
	!is_record<T> || (std::is_trivially_copyable<T>::value && !std::is_empty<T>::value);

template <class Q> constexpr int spec()
{
	using T = std::remove_cv_t<Q>;
	if constexpr (std::is_reference<T>::value || std::is_pointer<T>::value || std::is_null_pointer<T>::value) {
		return LYCH_I_I(8, 8);
	} else if constexpr (is_record<T>) {
		return !is_trivial<T> ? LYCH_I_NONTRIVIAL
		       : sizeof(T) > 16 && alignof(T) <= 16 ? LYCH_I_M(int(sizeof(T)), int(alignof(T)))
							    : LYCH_I_UNDECLARED;
	} else if constexpr (is_int128<T>) {
		return LYCH_I_II(16, 16) | LYCH_I_INT128;
	} else if constexpr (std::is_integral<T>::value || std::is_enum<T>::value) {
		return LYCH_I_I(int(sizeof(T)), 8);
	} else if constexpr (std::is_same<T, float>::value || std::is_same<T, double>::value) {
		return LYCH_I_S(int(sizeof(T)), 8);
	} else if constexpr (std::is_same<T, long double>::value) {
		return LYCH_I_M(16, 16) | LYCH_I_RESULT_ST0;
	} else if constexpr (std::is_same<T, complex_float>::value) {
		return LYCH_I_S(8, 8);
	} else if constexpr (std::is_same<T, complex_double>::value) {
		return LYCH_I_SS(16, 8) | LYCH_I_COMPLEX;
	} else if constexpr (std::is_same<T, complex_long_double>::value) {
		return LYCH_I_M(32, 16) | LYCH_I_RESULT_ST1;
	} else if constexpr (std::is_member_pointer<T>::value || std::is_array<T>::value || sizeof(T) < 16) {
		return LYCH_I_UNSUPPORTED;
	} else {
		return LYCH_I_V(sizeof(T)); /* vectors, __float128 */
	}
}

/* Integers of less than 64 bits travel as 64. low: from where their value is taken when they come back. */
template <class T, class = void> struct wire_of {
	using wire = T;
	using low = T;
};
template <class T> struct wire_of<T, std::enable_if_t<std::is_enum<T>::value>> : wire_of<std::underlying_type_t<T>> {
};
template <class T> struct wire_of<T, std::enable_if_t<std::is_integral<T>::value && !is_int128<T>>> {
	using wire = std::conditional_t<std::is_signed<T>::value, long, unsigned long>;
	using low = std::conditional_t<std::is_same<T, bool>::value, unsigned char, wire>;
};
template <class T> using wire = typename wire_of<std::remove_cv_t<T>>::wire;
template <class T> using low = typename wire_of<std::remove_cv_t<T>>::low;

/* noexcept is part of a function's type, and no part of how it is called. */
template <class F> std::true_type same_function(F *);
template <class F> std::false_type same_function(...);

template <class T> constexpr bool promoted =
	!std::is_same<T, float>::value &&
	(!(std::is_integral<T>::value || std::is_enum<T>::value) || sizeof(T) >= sizeof(int));

} // namespace lych_detail

#define LYCH_I_ASSERT(condition, message) static_assert(condition, message)
#define LYCH_I_SAME_FUNCTION(fn, type) (decltype(::lych_detail::same_function<type>(fn))::value)
#define LYCH_I_WIRE_OF(T) ::lych_detail::wire<T>
#define LYCH_I_LOW_OF(T) ::lych_detail::low<T>
#define LYCH_I_PROMOTED(T) (::lych_detail::promoted<T>)
#define LYCH_I_UP(T, value) static_cast<::lych_detail::wire<T>>(value)
#define LYCH_I_DOWN(T, value) static_cast<std::remove_cv_t<T>>(value)
#define LYCH_I_ALIGNOF(T) alignof(T)
/* Enumerators that follow need: nothing. */
#define LYCH_I_MEASURE(id, i, T)
#define LYCH_I_SPEC(id, i, T) ::lych_detail::spec<T>()
#define LYCH_I_SPEC_STRUCT(id, i, T, letters) \
	(!::lych_detail::is_trivial<T> ? LYCH_I_NONTRIVIAL : \
	 LYCH_I_CAT(LYCH_I_DECLARED_, letters)(int(sizeof(T)), int(alignof(T))))

#else /* C */

/* A T, not evaluated. */
#define LYCH_I_A(T) (*(T *)0)
#define LYCH_I_ASSERT(condition, message) _Static_assert(condition, message)
#define LYCH_I_SAME_FUNCTION(fn, type) __builtin_types_compatible_p(__typeof__(fn), type)
#define LYCH_I_WIRE_OF(T) \
	__typeof__(_Generic(LYCH_I_A(T), _Bool: 0ul, char: 0l, signed char: 0l, unsigned char: 0ul, short: 0l, \
			    unsigned short: 0ul, int: 0l, unsigned int: 0ul, default: LYCH_I_A(T)))
#define LYCH_I_LOW_OF(T) \
	__typeof__(_Generic(LYCH_I_A(T), _Bool: (unsigned char)0, char: 0l, signed char: 0l, unsigned char: 0ul, \
			    short: 0l, unsigned short: 0ul, int: 0l, unsigned int: 0ul, default: LYCH_I_A(T)))
#define LYCH_I_PROMOTED(T) \
	_Generic(LYCH_I_A(T), _Bool: 0, char: 0, signed char: 0, unsigned char: 0, short: 0, unsigned short: 0, \
		 float: 0, default: 1)
#define LYCH_I_UP(T, value) (value)
#define LYCH_I_DOWN(T, value) (value)
#define LYCH_I_ALIGNOF(T) _Alignof(T)
/* Enumerators that follow need: kind, size, alignment, whether it is long double. */
#define LYCH_I_MEASURE(id, i, T) \
	lych_k##i##_##id = __builtin_classify_type(LYCH_I_A(T)), lych_z##i##_##id = (int)sizeof(T), \
	lych_a##i##_##id = (int)_Alignof(T), \
	lych_l##i##_##id = _Generic(LYCH_I_A(T), long double: 1, long double _Complex: 1, default: 0),
#define LYCH_I_SPEC(id, i, T) LYCH_I_SPEC_OF(lych_k##i##_##id, lych_z##i##_##id, lych_a##i##_##id, lych_l##i##_##id)
#define LYCH_I_SPEC_STRUCT(id, i, T, letters) \
	LYCH_I_CAT(LYCH_I_DECLARED_, letters)(lych_z##i##_##id, lych_a##i##_##id)
/* Kinds of __builtin_classify_type: 1-6 integers, pointers; 8 real; 9 complex; 12 struct; 13 union; 18 _BitInt. */
#define LYCH_I_SPEC_OF(k, z, al, ld) \
	((k) == 12 || (k) == 13 ? ((z) > 16 && (al) <= 16 ? LYCH_I_M(z, al) : LYCH_I_UNDECLARED) : \
	 (k) > 0 && (k) < 7 ? ((z) <= 8 ? LYCH_I_I(z, 8) : \
			       (z) == 16 ? LYCH_I_II(z, 16) | LYCH_I_INT128 : LYCH_I_UNSUPPORTED) : \
	 (k) == 8 ? ((ld) ? LYCH_I_M(16, 16) | LYCH_I_RESULT_ST0 : (z) <= 8 ? LYCH_I_S(z, 8) : LYCH_I_V(z)) : \
	 (k) == 9 ? ((ld) ? LYCH_I_M(32, 16) | LYCH_I_RESULT_ST1 : (z) == 16 ? LYCH_I_SS(16, 8) | LYCH_I_COMPLEX : \
		     (z) <= 8 ? LYCH_I_S(z, 8) : LYCH_I_UNSUPPORTED) : \
	 (k) == 18 || (z) < 16 ? LYCH_I_UNSUPPORTED : LYCH_I_V(z))

#endif

#endif /* LYCHGATE_BIND_CLASS_H */
