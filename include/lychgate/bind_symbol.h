/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the macros of <lychgate/library.h> expand to. Nothing here is for users. As bind_detail.h, but the binding comes
 * from lych_symbol_binding, and fn is never evaluated: the program needs its declaration only.
 */
#ifndef LYCHGATE_BIND_SYMBOL_H
#define LYCHGATE_BIND_SYMBOL_H

#include <lychgate/gate.h>

#define LYCH_I_SYM_REF(id, variadic, symbol, version) \
	static const struct lych_symbol_ref lych_ref_##id __attribute__((unused)) = { \
		LYCH_I_BINDING_VALUE(0, id, variadic, symbol, (0, 0, 0, 0)), version \
	};

#define LYCH_I_SYM_FIND(id) \
	(const struct lych_binding *lych_found = lych_symbol_binding(lych_d, &lych_ref_##id, &lych_status); \
	 if (!lych_found) { return lych_status; })

#define LYCH_I_SYM(id, fn, version, ret, list) \
	LYCH_I_QUIET \
	LYCH_I_SIGNATURE(id, WIRE, ret, list); \
	LYCH_I_FUNCTION_TYPE(lych_f_##id, ret, list); \
	LYCH_I_SYM_REF(id, 0, LYCH_I_STRING(fn), version) \
	LYCH_I_CALLER(id, LYCH_I_SYM_FIND(id), lych_found, ret, list) \
	LYCH_I_LOUD \
	LYCH_I_ASSERT(LYCH_I_SAME_FUNCTION(fn, lych_f_##id), \
		      "lychgate: the types of this binding are not those the function is declared with")

#define LYCH_I_SYM_VARIADIC(id, fn, ret, fixed, use, all) \
	LYCH_I_QUIET \
	LYCH_I_SIGNATURE(id, WIRE, ret, all); \
	typedef LYCH_I_RETURN_TYPE(ret) lych_f_##id(LYCH_I_MAP(LYCH_I_TYPE_OF, ~, LYCH_I_COMMA, fixed), ...); \
	LYCH_I_SYM_REF(id, 16, LYCH_I_STRING(fn), NULL) \
	LYCH_I_CALLER(id, LYCH_I_SYM_FIND(id), lych_found, ret, all) \
	LYCH_I_MAP(LYCH_I_ASSERT_PROMOTED, ~, LYCH_I_NOTHING, use) \
	LYCH_I_LOUD \
	LYCH_I_ASSERT(LYCH_I_SAME_FUNCTION(fn, lych_f_##id), \
		      "lychgate: the types of this binding are not those the function is declared with")

#define LYCH_I_SYM_POINTER(id, fn, ret, list, ...) \
	LYCH_I_QUIET \
	LYCH_I_SIGNATURE(id, PLAIN, ret, list); \
	LYCH_I_FUNCTION_TYPE(lych_f_##id, ret, list); \
	LYCH_I_SYM_REF(id, 0, LYCH_I_STRING(fn), NULL) \
	LYCH_I_POINTER_MAKER(id, \
			     (int lych_status = 0; \
			      const struct lych_binding *lych_found = \
				      lych_d ? lych_symbol_binding(lych_d, &lych_ref_##id, &lych_status) : NULL; \
			      *lych_out = NULL; \
			      if (!lych_found) { return lych_d ? lych_status : -EINVAL; }), \
			     lych_found, ret, __VA_ARGS__) \
	LYCH_I_LOUD \
	LYCH_I_ASSERT(LYCH_I_SAME_FUNCTION(fn, lych_f_##id), \
		      "lychgate: the types of this binding are not those the function is declared with")

#endif /* LYCHGATE_BIND_SYMBOL_H */
