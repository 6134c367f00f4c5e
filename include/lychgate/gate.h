/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls across a gate: bindings, calls, typed pointers, callbacks. C11 or C++17, with gcc or clang.
 *
 *	LYCH_BIND(parser, parse, int, (const char *, size_t));     // at file scope
 *
 *	int use(struct lych_domain *parser, const char *text)
 *	{
 *		int n;
 *		int rc = LYCH_CALL(parser, &n, parse, text, strlen(text));
 *		if (rc != 0) {
 *			return rc; // parser has faulted; n was not written
 *		}
 *		...
 *
 * Types are named as the function declares them, at most 16. Names of the C standard, typedefs, pointers, pointers to
 * functions, enums, vectors (__m128; __m256 and __m512 where the file is compiled for AVX and AVX-512), __int128, long
 * double, complex and references are fine. A type must not begin with "::" and a comma in it needs a typedef. A
 * function without parameters has the list (void); one that returns nothing has ret void, by that name.
 *
 * What is not possible, and does not compile: arguments that lie on the stack aligned to more than 16 bytes (__m256
 * beyond the eighth vector), C++ classes that are not trivially copyable, or have no members. Types of the library
 * that are passed by value are LYCH_STRUCT's matter.
 *
 * What the domain gets to see besides the values: padding inside of a struct passed by value, behind one on the stack
 * whose size is no multiple of 8, and between arguments on the stack, is passed on as the caller left it. The unused
 * parts of registers are cleared. A pointer is passed as it is: what it points to must lie in memory of the domain.
 *
 * No C++ exception and no pthread_exit crosses a gate. In a domain one that nobody there catches ends the call with
 * -EFAULT (LYCH_FAULT_ABORT); one that would leave a callback ends the process (std::terminate), and so does
 * canceling a thread inside of a callback. No longjmp of the domain's does either: where a callback calls what reports
 * errors so (png_error, lua_error), to a setjmp of before the callback, that call ends with -EFAULT (LYCH_FAULT_GATE)
 * when the outer one returns, and that one then with -ECANCELED. A callback reports an error by what it returns.
 */
#ifndef LYCHGATE_GATE_H
#define LYCHGATE_GATE_H

#include <lychgate/bind_detail.h>
#include <lychgate/domain.h>
#include <lychgate/fault.h>

LYCH_BEGIN_DECLS

/*
 * What the gate has to know of a signature. Made by LYCH_BIND at compile time; offsets are part of the
 * assembly (gate/core/gate_asm.h, which says what each field means).
 */
struct lych_binding {
	void (*fn)(void);
	uint32_t extra;
	uint8_t skip;
	uint8_t ngpr;
	uint8_t nvec;
	uint8_t result;
	uint16_t words;
	uint8_t narrow;
	uint8_t align;
	uint32_t widths;
	uint64_t values[4];
	const char *name;
	uint32_t result_spec; /* bind_class.h */
	uint8_t width;
};

/*
 * First argument of the call as the compiler sees it: passed in memory, so it displaces no register. Made of vectors,
 * as compilers copy it in pieces of 16 bytes: of four words that had just been written each piece would wait for two.
 */
typedef uint64_t lych_two_words __attribute__((vector_size(16)));
struct lych_hidden {
	lych_two_words callee; /* struct lych_domain *, const struct lych_binding * */
	lych_two_words caller; /* int *status; CLOCK_MONOTONIC ns until which it may take, 0: for ever */
};
#define LYCH_I_HIDDEN(domain, binding, status, deadline_ns) \
	{ \
		{ (uint64_t)(uintptr_t)(domain), (uint64_t)(uintptr_t)(binding) }, \
		{ (uint64_t)(uintptr_t)(status), (deadline_ns) } \
	}

/* The gate. Never called but through the macros of this header. */
LYCH_API void lych_gate(void);

/* What functions that return nothing return: the result argument of their calls is LYCH_NOTHING. */
enum lych_nothing { LYCH_I_NO_VALUE };
#define LYCH_NOTHING NULL

/* How deep calls out of callbacks of calls may be nested on a thread, counting calls. */
#define LYCH_DEPTH 21

/*
 * LYCH_BIND(domain, fn, ret, (types...)); at file scope: fn, which returns ret, may be called in a domain that is named
 * domain where it is called. fn is a function that has been declared, not a pointer to one. Does not compile when fn is
 * declared with other types.
 *
 * LYCH_CALL(domain, result, fn, args...) calls it: arguments are converted as in a call of fn, the result is stored in
 * *result when the call has succeeded, else *result is not touched. result may be NULL. It must be looked at: 0 or
 *	-EINVAL      domain is NULL
 *	-EFAULT      fn faulted, or ended otherwise than by returning: lych_fault(domain) says how
 *	-ETIMEDOUT   its deadline passed
 *	-ECANCELED   lych_domain_cancel, _reset or _free ended it; or another call of this domain faulted meanwhile,
 *	             one of another thread or one made out of a callback
 *	-EOWNERDEAD  the domain has faulted before
 *	-EXFULL      calls are nested too deep: the thread is inside LYCH_DEPTH calls that are in callbacks
 *	-ENOMEM      no stack or no buffer for the result could be had
 *	-EACCES      domain is a vault, and fn not registered (lych_vault_allow), or its result returned in memory
 *	others       as lych_attach
 * LYCH_CALL_TIMEOUT is the same, and ends the call when timeout_ms milliseconds have passed since its arguments were
 * evaluated.
 *
 * Whatever the domain returns is hostile: a bool is 0 or 1 and an integer has its type's range, no more is promised.
 * A struct (or other result) that the ABI returns in memory is written by the domain to a block of its heap, copied,
 * and freed: that costs as much as lych_alloc, lych_copy_out and lych_free for each call, and -ENOMEM is possible.
 * Where another thread resets the domain when the call has returned and its result has not been fetched, that is
 * -ECANCELED. It must not free the domain then: fetching, unlike the call itself, is not waited for.
 *
 * Thread-safe. Not async-signal-safe.
 */
#define LYCH_BIND(domain, fn, ret, types) LYCH_I_BIND_(LYCH_I_CAT3(domain, _, fn), fn, ret, types)
#define LYCH_I_BIND_(id, fn, ret, types) LYCH_I_BIND(id, fn, ret, types)

#define LYCH_CALL(domain, result, ...) LYCH_I_CALL(domain, 0, result, __VA_ARGS__)
#define LYCH_CALL_TIMEOUT(domain, timeout_ms, result, ...) \
	LYCH_I_CALL(domain, LYCH_I_TIMEOUT(timeout_ms), result, __VA_ARGS__)
/* What a call takes for its deadline: 0, none; with the top bit, milliseconds from when it begins; else CLOCK_MONOTONIC
 * ns. */
#define LYCH_I_TIMEOUT(ms) ((uint64_t)1 << 63 | (uint64_t)(ms))
#define LYCH_I_IS_TIMEOUT(deadline) ((deadline) >> 63)
#define LYCH_I_TIMEOUT_MS(deadline) ((deadline) & INT64_MAX)
#define LYCH_I_CALL(domain, deadline, result, ...) \
	LYCH_I_CAT(LYCH_I_CALL_, LYCH_I_MANY(__VA_ARGS__))(domain, deadline, result, __VA_ARGS__)
#define LYCH_I_CALL_0(domain, deadline, result, fn) LYCH_I_CAT4(lych_call_, domain, _, fn)(domain, deadline, result)
#define LYCH_I_CALL_1(domain, deadline, result, fn, ...) \
	LYCH_I_CAT4(lych_call_, domain, _, fn)(domain, deadline, result, __VA_ARGS__)

/*
 * lych_deadline_in: CLOCK_MONOTONIC in timeout_ms milliseconds, in nanoseconds; never 0. The thread's timer fires then,
 * or at an earlier deadline of a call it is in. lych_deadline_over: that call is over, and the timer is set to the next
 * one there is; before is what lych_deadline_in has stored (it may be NULL): the deadline of a call that a handler
 * interrupted before the gate knew of it. Thread-safe, async-signal-safe.
 */
LYCH_API uint64_t lych_deadline_in(uint64_t timeout_ms, uint64_t *before);
LYCH_API void lych_deadline_over(uint64_t before);

/*
 * LYCH_STRUCT(type, letters) stands for type in a list of types, or as ret, where a struct or union is passed by value
 * that is not larger than 16 bytes. C cannot look into it, so the letters say what its eightbytes (its first 8 bytes,
 * its second 8) are: S when there are only float and double in it, else I.
 *	I S     up to 8 bytes                              II SS IS SI   up to 16 bytes
 *	V       a vector and nothing else (of any size)    X             a long double and nothing else
 *	M       packed, with a member that is not aligned: on the stack, as everything larger than 16 bytes
 * Wrong letters that fit the size compile, and pass garbage: #define POINT LYCH_STRUCT(struct point, SS) once.
 */
#define LYCH_STRUCT(type, letters) (type, letters)

/*
 * LYCH_BIND_VARIADIC(domain, name, fn, ret, (fixed types...), (types of this use...)); binds one use of a variadic
 * function: LYCH_CALL(domain, result, name, args...). Types of the use are promoted ones: double, not float.
 */
#define LYCH_BIND_VARIADIC(domain, name, fn, ret, fixed, use) \
	LYCH_I_BIND_VARIADIC_(LYCH_I_CAT3(domain, _, name), fn, ret, fixed, use, LYCH_I_JOIN(fixed, use))
#define LYCH_I_BIND_VARIADIC_(id, fn, ret, fixed, use, all) LYCH_I_BIND_VARIADIC(id, fn, ret, fixed, use, all)

/*
 * Typed pointers: for code that wants a function pointer and knows nothing of statuses.
 *
 * LYCH_BIND_POINTER(domain, fn, ret, (types...), value); at file scope, beside or without a LYCH_BIND of the same
 * function. value is what a call returns that does not succeed: choose one that fn cannot return. It initialises a
 * static object of type ret (in C a constant; {1, 2} for a struct). LYCH_NOTHING for void.
 *
 * rc = LYCH_POINTER(&pointer, domain, fn) makes a pointer of exactly fn's type, which may be called like fn until
 * lych_pointer_free or lych_domain_free: a call after that traps. It names the domain for good, so it may be handed to
 * libraries. Results must fit in rax and rdx, or 64 bits each of xmm0 and xmm1, or be a long double, else the binding
 * does not compile. An integer of less than 64 bits that lies on the stack is passed with the rest of its word.
 * on_fault and lych_fault tell of failures.
 *
 * Returns 0, or
 *	-EINVAL   domain is NULL
 *	-ENOSPC   1024 pointers are in use
 *	others   as lych_attach
 * On failure *pointer is NULL. Thread-safe. Not async-signal-safe.
 */
#define LYCH_BIND_POINTER(domain, fn, ret, types, ...) \
	LYCH_I_BIND_POINTER_(LYCH_I_CAT4(domain, _, fn, _pointer), fn, ret, types, __VA_ARGS__)
#define LYCH_I_BIND_POINTER_(id, fn, ret, types, ...) LYCH_I_BIND_POINTER(id, fn, ret, types, __VA_ARGS__)
#define LYCH_POINTER(out, domain, fn) LYCH_I_POINTER_(LYCH_I_CAT4(domain, _, fn, _pointer), out, domain)
#define LYCH_I_POINTER_(id, out, domain) LYCH_I_CAT(lych_pointer_, id)(out, domain)

/* What LYCH_POINTER stands on: value has bytes bytes of the result's type, and is copied. */
LYCH_API LYCH_MUST_CHECK int lych_pointer_new(void (**out)(void), struct lych_domain *domain,
					      const struct lych_binding *binding, const void *value, size_t bytes);
/* Ends a pointer of LYCH_POINTER, cast to this type. 0 (also for NULL), or -EINVAL: it is no such pointer, or not any
 * more. Calls through it that run go on. Thread-safe. */
LYCH_API int lych_pointer_free(void (*pointer)(void));

/*
 * Callbacks: functions of the host that a domain may call.
 *
 * LYCH_CALLBACK(fn, ret, (types...)); at file scope. ret must not be returned in memory.
 *
 * rc = lych_callback(&pointer, domain, fn, ctx) registers it in domain, and gives the pointer of fn's type that code in
 * this domain calls; nobody else can. Arguments come from the domain, and are hostile: integers are brought into the
 * range of their types, pointers may point anywhere (lych_verify_range, lych_copy_out). fn runs with the host's
 * rights and regions closed. ctx is what lych_callback_ctx() gives while fn runs.
 *
 * Returns 0, or
 *	-EINVAL   domain is NULL
 *	-ENOSPC   as many callbacks are registered as the domain was made for (lych_domain_opts)
 *	-EOPNOTSUPP  domain is a vault, and arguments lie on the stack: the host cannot read a vault's
 *	others   as lych_attach
 * On failure *pointer is NULL. Thread-safe. Not async-signal-safe.
 */
#define LYCH_CALLBACK(fn, ret, types) LYCH_I_CALLBACK_(LYCH_I_CAT(fn, _callback), fn, ret, types)
#define LYCH_I_CALLBACK_(id, fn, ret, types) LYCH_I_CALLBACK(id, fn, ret, types)
#define lych_callback(out, domain, fn, ctx) LYCH_I_CAT3(lych_callback_, fn, _callback)(out, domain, ctx)

LYCH_API LYCH_MUST_CHECK int lych_callback_new(void (**out)(void), struct lych_domain *domain,
					       const struct lych_binding *binding, void *ctx);
/* Ends a callback, its pointer cast to this type. 0 (also for NULL), or -EINVAL: it is not registered in domain. Called
 * from then on it ends the domain's call with -EFAULT; one that runs goes on. Thread-safe. */
LYCH_API int lych_callback_free(struct lych_domain *domain, void (*pointer)(void));
/* ctx of the callback that the calling thread runs (the innermost); NULL outside of callbacks. */
LYCH_API void *lych_callback_ctx(void);

LYCH_END_DECLS

#endif /* LYCHGATE_GATE_H */
