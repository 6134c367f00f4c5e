/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the macros of <lychgate/gate.h> expand to. Nothing here is for users.
 *
 * Each binding has an id, made of its domain and function: names of what it defines end in it. An entry e of a list of
 * types (bind_list.h) has the number i; enumerators lych_c<i>_<id>, lych_s<i>_<id> and lych_x<i>_<id> are its spec, and
 * the state and the widths before it (bind_class.h). So what is expanded grows linearly with the list.
 */
#ifndef LYCHGATE_BIND_DETAIL_H
#define LYCHGATE_BIND_DETAIL_H

#include <stddef.h>
#include <stdint.h>

#include <lychgate/bind_class.h>
#include <lychgate/bind_list.h>

struct lych_domain;

/*
 * A result in memory. lych_result_new: as lych_alloc_aligned, and *life tells the heap of now from what a reset makes
 * of it. lych_result_end copies bytes from block to dst, unless status is not 0 or dst is NULL, and frees block; all
 * of it only while the heap is the same. It returns status where that is not 0, else 0, -ECANCELED without touching
 * dst where the domain has been reset since, -EACCES for a vault, or an error of lych_attach. Thread-safe. Not
 * async-signal-safe.
 */
LYCH_BEGIN_DECLS
LYCH_API void *lych_result_new(struct lych_domain *domain, size_t align, size_t bytes, uint64_t *life);
LYCH_API LYCH_MUST_CHECK int lych_result_end(struct lych_domain *domain, void *block, uint64_t life, int status,
					     void *dst, size_t bytes);
LYCH_END_DECLS

/* The type and the letters of an entry. */
#define LYCH_I_TYPE(e) LYCH_I_CAT(LYCH_I_TYPE_, LYCH_I_IS_PAREN(e))(e)
#define LYCH_I_TYPE_0(e) __typeof__(e)
#define LYCH_I_TYPE_1(e) __typeof__(LYCH_I_FIRST e)
/* A struct travels as it is, everything else as LYCH_I_WIRE_OF says. */
#define LYCH_I_WIRE(e) LYCH_I_CAT(LYCH_I_WIRE_, LYCH_I_IS_PAREN(e))(e)
#define LYCH_I_WIRE_0(e) LYCH_I_WIRE_OF(__typeof__(e))
#define LYCH_I_WIRE_1(e) __typeof__(LYCH_I_FIRST e)
#define LYCH_I_LOW(e) LYCH_I_CAT(LYCH_I_LOW_, LYCH_I_IS_PAREN(e))(e)
#define LYCH_I_LOW_0(e) LYCH_I_LOW_OF(__typeof__(e))
#define LYCH_I_LOW_1(e) __typeof__(LYCH_I_FIRST e)

/* Enumerators. WIRE: of what travels when the compiler widens; PLAIN: of the types as they are. */
#define LYCH_I_SPEC_WIRE(id, i, e) LYCH_I_CAT(LYCH_I_SPEC_WIRE_, LYCH_I_IS_PAREN(e))(id, i, e)
#define LYCH_I_SPEC_WIRE_0(id, i, e) \
	LYCH_I_MEASURE(id, i, LYCH_I_WIRE_0(e)) lych_c##i##_##id = LYCH_I_SPEC(id, i, LYCH_I_WIRE_0(e))
#define LYCH_I_SPEC_WIRE_1(id, i, e) LYCH_I_SPEC_PLAIN_1(id, i, e)
#define LYCH_I_SPEC_PLAIN(id, i, e) LYCH_I_CAT(LYCH_I_SPEC_PLAIN_, LYCH_I_IS_PAREN(e))(id, i, e)
#define LYCH_I_SPEC_PLAIN_0(id, i, e) \
	LYCH_I_MEASURE(id, i, __typeof__(e)) lych_c##i##_##id = LYCH_I_SPEC(id, i, __typeof__(e))
#define LYCH_I_SPEC_PLAIN_1(id, i, e) \
	LYCH_I_MEASURE(id, i, __typeof__(LYCH_I_FIRST e)) \
	lych_c##i##_##id = LYCH_I_SPEC_STRUCT(id, i, __typeof__(LYCH_I_FIRST e), LYCH_I_LETTERS e)
#define LYCH_I_ENUM_WIRE(id, i, e) LYCH_I_SPEC_WIRE(id, i, e), LYCH_I_ENUM_STEP(id, i, LYCH_I_CAT(LYCH_I_NEXT_, i)),
#define LYCH_I_ENUM_PLAIN(id, i, e) LYCH_I_SPEC_PLAIN(id, i, e), LYCH_I_ENUM_STEP(id, i, LYCH_I_CAT(LYCH_I_NEXT_, i)),
#define LYCH_I_ENUM_STEP(id, i, next) LYCH_I_ENUM_STEP_(id, i, next)
#define LYCH_I_ENUM_STEP_(id, i, next) \
	lych_s##next##_##id = LYCH_I_STEP(lych_s##i##_##id, lych_c##i##_##id), \
	lych_x##next##_##id = LYCH_I_STEP_WIDTHS(lych_x##i##_##id, lych_s##i##_##id, lych_c##i##_##id)

/* What cannot be passed does not compile, each with its reason. */
#define LYCH_I_ASSERT_PASSED(id, i, e) LYCH_I_ASSERT_SPEC(lych_c##i##_##id);
#define LYCH_I_ASSERT_SPEC(c) \
	LYCH_I_ASSERT((c) != LYCH_I_UNDECLARED, \
		      "lychgate: a struct or union of at most 16 bytes, or aligned to more than 16, is passed by " \
		      "value: say how with LYCH_STRUCT(type, letters)"); \
	LYCH_I_ASSERT((c) != LYCH_I_BAD_SIZE, \
		      "lychgate: the letters of LYCH_STRUCT do not fit the size of the type, or no vector has this " \
		      "size"); \
	LYCH_I_ASSERT((c) != LYCH_I_UNSUPPORTED, "lychgate: this type cannot be passed through a gate"); \
	LYCH_I_ASSERT((c) != LYCH_I_NO_AVX, \
		      "lychgate: vectors of 32 (64) bytes need -mavx (-mavx512f), else they are passed another way"); \
	LYCH_I_ASSERT((c) != LYCH_I_NONTRIVIAL, "lychgate: a class with a copy constructor, destructor, or without " \
						"members cannot be passed by value through a gate")

/*
 * The enumerators of a signature. how: WIRE or PLAIN. lych_r_<id>: spec of the result, 0 for void; lych_s_<id>,
 * lych_x_<id>: state and widths at the end.
 */
#define LYCH_I_SIGNATURE(id, how, ret, list) \
	enum { \
		LYCH_I_IF(LYCH_I_IS_VOID(ret), (lych_cr_##id = 0), (LYCH_I_SPEC_PLAIN(id, r, ret))), \
		lych_s0_##id = LYCH_I_RESULT_IN_MEMORY(lych_cr_##id) ? 1 : 0, \
		lych_x0_##id = 0, \
		LYCH_I_MAP(LYCH_I_CAT(LYCH_I_ENUM_, how), id, LYCH_I_NOTHING, list) \
		lych_s_##id = LYCH_I_LAST(s, LYCH_I_LENGTH list, id), \
		lych_x_##id = LYCH_I_LAST(x, LYCH_I_LENGTH list, id) \
	}; \
	LYCH_I_ASSERT_SPEC(lych_cr_##id); \
	LYCH_I_MAP(LYCH_I_ASSERT_PASSED, id, LYCH_I_NOTHING, list) \
	LYCH_I_ASSERT(!(lych_s_##id & LYCH_I_OVERALIGNED), \
		      "lychgate: an argument aligned to more than 16 bytes does not fit in registers: pass a " \
		      "pointer"); \
	LYCH_I_ASSERT(!(lych_s_##id & LYCH_I_OVERFLOW), \
		      "lychgate: more than 16 KiB of arguments by value: pass a pointer"); \
	LYCH_I_ASSERT(!(lych_s_##id & LYCH_I_SPLIT_ON_STACK), \
		      "lychgate: __int128 or double _Complex on the stack: clang breaks the ABI (the former before 18): use " \
		      "gcc, or pass a pointer")
#define LYCH_I_LAST(what, n, id) LYCH_I_CAT4(lych_##what, n, _, id)

#define LYCH_I_TYPE_OF(x, i, e) LYCH_I_TYPE(e)
#define LYCH_I_RETURN_TYPE(ret) LYCH_I_IF(LYCH_I_IS_VOID(ret), (void), (LYCH_I_TYPE(ret)))
#define LYCH_I_FUNCTION_TYPE(name, ret, list) \
	typedef LYCH_I_RETURN_TYPE(ret) name(LYCH_I_IF(LYCH_I_IS_VOID(LYCH_I_FIRST_OF list), (void), \
						       (LYCH_I_MAP(LYCH_I_TYPE_OF, ~, LYCH_I_COMMA, list))))
#define LYCH_I_FIRST_OF(...) LYCH_I_FIRST(__VA_ARGS__, ~)

/* skip: how far into the gate's register clearing code the first instruction lies that is wanted. */
#define LYCH_I_BINDING(name, function, id, variadic, list_name, values) \
	static const struct lych_binding name __attribute__((unused)) = \
		LYCH_I_BINDING_VALUE(function, id, variadic, list_name, values);
#define LYCH_I_BINDING_VALUE(function, id, variadic, list_name, values) \
	{ \
		(void (*)(void))function, \
		(uint32_t)((lych_s_##id >> 13 & 2047 ? 1 : 0) | (lych_s_##id >> 3 & 15 ? 2 : 0) | \
			   (lych_s_##id >> 7 & 63 ? 4 : 0) | (LYCH_I_RESULT(lych_cr_##id) != 0 ? 8 : 0) | (variadic)), \
		(uint8_t)(0x100d0a07040200 >> 8 * (lych_s_##id & 7) & 255), \
		(uint8_t)(lych_s_##id & 7), \
		(uint8_t)(lych_s_##id >> 3 & 15), \
		(uint8_t)LYCH_I_RESULT(lych_cr_##id), \
		(uint16_t)(lych_s_##id >> 13 & 2047), \
		(uint8_t)(lych_s_##id >> 7 & 63), \
		4, \
		(uint32_t)lych_x_##id, \
		{ LYCH_I_OPEN values }, \
		list_name, \
		(uint32_t)lych_cr_##id, \
		(uint8_t)(lych_cr_##id >> 6 & 15), \
	}

/* Parts of the function that calls. Each in front of it a comma. */
#define LYCH_I_PARAMETER(x, i, e) , LYCH_I_TYPE(e) lych_a##i
#define LYCH_I_WIRE_TYPE(x, i, e) , LYCH_I_WIRE(e)
#define LYCH_I_WIRE_ARGUMENT(x, i, e) , LYCH_I_CAT(LYCH_I_UP_, LYCH_I_IS_PAREN(e))(e, lych_a##i)
#define LYCH_I_UP_0(e, value) LYCH_I_UP(__typeof__(e), value)
#define LYCH_I_UP_1(e, value) (value)
#define LYCH_I_CALLS(ret, first_type, first, list) \
	((ret (*)(struct lych_hidden first_type LYCH_I_MAP(LYCH_I_WIRE_TYPE, ~, LYCH_I_NOTHING, list)))lych_g)( \
		lych_h first LYCH_I_MAP(LYCH_I_WIRE_ARGUMENT, ~, LYCH_I_NOTHING, list))
#define LYCH_I_RESULT_TYPE(ret) LYCH_I_IF(LYCH_I_IS_VOID(ret), (enum lych_nothing), (LYCH_I_TYPE(ret)))

/* first: statements in parentheses, before which lych_d is known not to be NULL; binding: a pointer. */
#define LYCH_I_CALLER(id, first, binding, ret, list) \
	LYCH_MUST_CHECK static inline __attribute__((unused)) int lych_call_##id( \
		struct lych_domain *lych_d, uint64_t lych_deadline, \
		LYCH_I_RESULT_TYPE(ret) *lych_result LYCH_I_MAP(LYCH_I_PARAMETER, ~, LYCH_I_NOTHING, list)) \
	{ \
		void (*lych_g)(void) = lych_gate; \
		int lych_status = 0; /* the gate writes it when the call does not end as it should */ \
		uint64_t lych_before = 0; \
		if (!lych_d) { \
			return -EINVAL; \
		} \
		LYCH_I_OPEN first \
		struct lych_hidden lych_h = LYCH_I_HIDDEN( \
			lych_d, binding, &lych_status, \
			LYCH_I_IS_TIMEOUT(lych_deadline) \
				? lych_deadline_in(LYCH_I_TIMEOUT_MS(lych_deadline), &lych_before) \
				: lych_deadline); \
		LYCH_I_IF(LYCH_I_IS_VOID(ret), (LYCH_I_CALL_FOR_NOTHING(list)), \
			  (LYCH_I_CALL_FOR_RESULT(id, ret, list))) \
		if (LYCH_I_IS_TIMEOUT(lych_deadline)) { \
			lych_deadline_over(lych_before); \
		} \
		return lych_status; \
	}
#define LYCH_I_CALL_FOR_NOTHING(list) \
	(void)lych_result; \
	LYCH_I_CALLS(void, , , list);
/* In memory: the domain cannot write to the caller's stack, so the result takes its way through the domain's heap. */
#define LYCH_I_CALL_FOR_RESULT(id, ret, list) \
	if (LYCH_I_RESULT_IN_MEMORY(lych_cr_##id)) { \
		uint64_t lych_life = 0; \
		void *lych_b = lych_result_new(lych_d, LYCH_I_ALIGNOF(LYCH_I_TYPE(ret)), sizeof(*lych_result), \
					       &lych_life); \
		if (lych_b) { \
			(void)LYCH_I_CALLS(void *, LYCH_I_COMMA() void *, LYCH_I_COMMA() lych_b, list); \
			lych_status = lych_result_end(lych_d, lych_b, lych_life, lych_status, (void *)lych_result, \
						      sizeof(*lych_result)); \
		} else { \
			lych_status = -ENOMEM; \
		} \
	} else { \
		LYCH_I_LOW(ret) lych_r = LYCH_I_CALLS(LYCH_I_WIRE(ret), , , list); \
		if (lych_status == 0 && lych_result) { \
			*lych_result = LYCH_I_CAT(LYCH_I_DOWN_, LYCH_I_IS_PAREN(ret))(ret, lych_r); \
		} \
	}
#define LYCH_I_DOWN_0(e, value) LYCH_I_DOWN(__typeof__(e), value)
#define LYCH_I_DOWN_1(e, value) (value)

/* g++ says that __m256 as an argument of a template loses its alignment: no object of it is made there. */
#if defined(__cplusplus) && defined(__GNUC__) && !defined(__clang__)
#define LYCH_I_QUIET _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wignored-attributes\"")
#define LYCH_I_LOUD _Pragma("GCC diagnostic pop")
#else
#define LYCH_I_QUIET
#define LYCH_I_LOUD
#endif

/* ---- LYCH_BIND ---- */
#define LYCH_I_BIND(id, fn, ret, list) \
	LYCH_I_QUIET \
	LYCH_I_SIGNATURE(id, WIRE, ret, list); \
	LYCH_I_FUNCTION_TYPE(lych_f_##id, ret, list); \
	LYCH_I_BINDING(lych_binding_##id, fn, id, 0, LYCH_I_STRING(fn), (0, 0, 0, 0)) \
	LYCH_I_CALLER(id, (), &lych_binding_##id, ret, list) \
	LYCH_I_LOUD \
	LYCH_I_ASSERT(LYCH_I_SAME_FUNCTION(fn, lych_f_##id), \
		      "lychgate: the types of this binding are not those the function is declared with")

/* ---- LYCH_BIND_VARIADIC ---- */
#define LYCH_I_BIND_VARIADIC(id, fn, ret, fixed, use, all) \
	LYCH_I_QUIET \
	LYCH_I_SIGNATURE(id, WIRE, ret, all); \
	typedef LYCH_I_RETURN_TYPE(ret) lych_f_##id(LYCH_I_MAP(LYCH_I_TYPE_OF, ~, LYCH_I_COMMA, fixed), ...); \
	LYCH_I_BINDING(lych_binding_##id, fn, id, 16, LYCH_I_STRING(fn), (0, 0, 0, 0)) \
	LYCH_I_CALLER(id, (), &lych_binding_##id, ret, all) \
	LYCH_I_MAP(LYCH_I_ASSERT_PROMOTED, ~, LYCH_I_NOTHING, use) \
	LYCH_I_LOUD \
	LYCH_I_ASSERT(LYCH_I_SAME_FUNCTION(fn, lych_f_##id), \
		      "lychgate: the types of this binding are not those the function is declared with")
#define LYCH_I_ASSERT_PROMOTED(x, i, e) \
	LYCH_I_ASSERT(LYCH_I_PROMOTED(LYCH_I_TYPE(e)), \
		      "lychgate: a variadic function gets double for float, and int for anything narrower");

/* ---- LYCH_BIND_POINTER ---- */
#define LYCH_I_BIND_POINTER(id, fn, ret, list, ...) \
	LYCH_I_QUIET \
	LYCH_I_SIGNATURE(id, PLAIN, ret, list); \
	LYCH_I_FUNCTION_TYPE(lych_f_##id, ret, list); \
	LYCH_I_BINDING(lych_binding_##id, fn, id, 0, LYCH_I_STRING(fn), (0, 0, 0, 0)) \
	LYCH_I_POINTER_MAKER(id, (), &lych_binding_##id, ret, __VA_ARGS__) \
	LYCH_I_LOUD \
	LYCH_I_ASSERT(LYCH_I_SAME_FUNCTION(fn, lych_f_##id), \
		      "lychgate: the types of this binding are not those the function is declared with")
#define LYCH_I_POINTER_MAKER(id, first, binding, ret, ...) \
	LYCH_I_ASSERT(!LYCH_I_RESULT_IN_MEMORY(lych_cr_##id) && LYCH_I_RESULT_FORM(lych_cr_##id) != 2 && \
			      (lych_cr_##id >> 6 & 15) <= 3, \
		      "lychgate: what a typed pointer returns must fit in rax and rdx, in 64 bits of xmm0 and xmm1 " \
		      "each, or be a long double: use LYCH_BIND and LYCH_CALL"); \
	LYCH_MUST_CHECK static inline __attribute__((unused)) int lych_pointer_##id(lych_f_##id **lych_out, \
										    struct lych_domain *lych_d) \
	{ \
		void (*lych_p)(void) = (void (*)(void))0; \
		LYCH_I_OPEN first \
		LYCH_I_IF(LYCH_I_IS_VOID(ret), \
			  (int lych_rc = lych_pointer_new(&lych_p, lych_d, binding, NULL, 0);), \
			  (static const LYCH_I_TYPE(ret) lych_value[1] = { __VA_ARGS__ }; \
			   const LYCH_I_WIRE(ret) lych_w = \
				   LYCH_I_CAT(LYCH_I_UP_, LYCH_I_IS_PAREN(ret))(ret, lych_value[0]); \
			   int lych_rc = lych_pointer_new(&lych_p, lych_d, binding, &lych_w, sizeof(lych_w));)) \
		*lych_out = (lych_f_##id *)lych_p; \
		return lych_rc; \
	}

/* ---- LYCH_CALLBACK ---- */
#define LYCH_I_CALLBACK(id, fn, ret, list) \
	LYCH_I_QUIET \
	LYCH_I_SIGNATURE(id, WIRE, ret, list); \
	LYCH_I_FUNCTION_TYPE(lych_f_##id, ret, list); \
	LYCH_I_ASSERT(!LYCH_I_RESULT_IN_MEMORY(lych_cr_##id), \
		      "lychgate: the host would write this result where the domain says: a callback cannot return " \
		      "it"); \
	static LYCH_I_IF(LYCH_I_IS_VOID(ret), (long), (LYCH_I_WIRE(ret))) lych_host_##id( \
		LYCH_I_IF(LYCH_I_IS_VOID(LYCH_I_FIRST_OF list), (void), \
			  (LYCH_I_MAP(LYCH_I_HOST_PARAMETER, ~, LYCH_I_COMMA, list)))) \
	{ \
		LYCH_I_MAP(LYCH_I_HOST_VALUE, ~, LYCH_I_NOTHING, list) \
		LYCH_I_IF(LYCH_I_IS_VOID(ret), (LYCH_I_HOST_CALL(fn, list); return 0;), \
			  (return LYCH_I_CAT(LYCH_I_UP_, LYCH_I_IS_PAREN(ret))(ret, LYCH_I_HOST_CALL(fn, list));)) \
	} \
	LYCH_I_BINDING(lych_binding_##id, lych_host_##id, id, 0, LYCH_I_STRING(fn), \
		       LYCH_I_IF(LYCH_I_IS_VOID(ret), ((0, 0, 0, 0)), \
				 ((LYCH_I_RESULT_BITS(lych_cr_##id, sizeof(LYCH_I_WIRE(ret))))))) \
	LYCH_MUST_CHECK static inline __attribute__((unused)) int lych_callback_##id( \
		lych_f_##id **lych_out, struct lych_domain *lych_d, void *lych_ctx) \
	{ \
		void (*lych_p)(void) = (void (*)(void))0; \
		int lych_rc = lych_callback_new(&lych_p, lych_d, &lych_binding_##id, lych_ctx); \
		*lych_out = (lych_f_##id *)lych_p; \
		return lych_rc; \
	} \
	LYCH_I_LOUD \
	LYCH_I_ASSERT(LYCH_I_SAME_FUNCTION(fn, lych_f_##id), \
		      "lychgate: the types of this callback are not those the function is declared with")
#define LYCH_I_HOST_PARAMETER(x, i, e) LYCH_I_WIRE(e) lych_w##i
#define LYCH_I_HOST_VALUE(x, i, e) LYCH_I_LOW(e) lych_a##i = lych_w##i;
#define LYCH_I_HOST_ARGUMENT(x, i, e) LYCH_I_CAT(LYCH_I_DOWN_, LYCH_I_IS_PAREN(e))(e, lych_a##i)
#define LYCH_I_HOST_CALL(fn, list) fn(LYCH_I_MAP(LYCH_I_HOST_ARGUMENT, ~, LYCH_I_COMMA, list))

#endif /* LYCHGATE_BIND_DETAIL_H */
