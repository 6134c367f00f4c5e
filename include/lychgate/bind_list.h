/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the macros of <lychgate/gate.h> turn a list of types into other lists. Nothing here is for users.
 *
 * A list is what stands between the parentheses of (types...): (void), or 1 to 16 entries. An entry is a type, or what
 * LYCH_STRUCT makes of one: (type, letters). No C type starts with a parenthesis, so the two can be told apart.
 */
#ifndef LYCHGATE_BIND_LIST_H
#define LYCHGATE_BIND_LIST_H

#define LYCH_I_CAT(a, b) LYCH_I_CAT_(a, b)
#define LYCH_I_CAT_(a, b) a##b
#define LYCH_I_CAT3(a, b, c) LYCH_I_CAT3_(a, b, c)
#define LYCH_I_CAT3_(a, b, c) a##b##c
#define LYCH_I_CAT4(a, b, c, d) LYCH_I_CAT4_(a, b, c, d)
#define LYCH_I_CAT4_(a, b, c, d) a##b##c##d
#define LYCH_I_STRING(x) LYCH_I_STRING_(x)
#define LYCH_I_STRING_(x) #x
#define LYCH_I_OPEN(...) __VA_ARGS__ /* LYCH_I_OPEN (a, b): a, b */
#define LYCH_I_FIRST(a, ...) a
#define LYCH_I_LETTERS(a, b) b
#define LYCH_I_NOTHING()
#define LYCH_I_COMMA(...) ,

/* How many arguments: 1 to 16; more give TOO_MANY, and so an error that says it. */
#define LYCH_I_COUNT(...) LYCH_I_PICK(__VA_ARGS__, TOO_MANY, TOO_MANY, TOO_MANY, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, \
				      4, 3, 2, 1, ~)
#define LYCH_I_PICK(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, n, ...) n
/* 1 when there is more than one argument (of at most 19). */
#define LYCH_I_MANY(...) LYCH_I_PICK(__VA_ARGS__, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, ~)

#define LYCH_I_IF(condition, yes, no) LYCH_I_CAT(LYCH_I_IF_, condition)(yes, no)
#define LYCH_I_IF_1(yes, no) LYCH_I_OPEN yes
#define LYCH_I_IF_0(yes, no) LYCH_I_OPEN no

/* 1 when x starts with a parenthesis. */
#define LYCH_I_IS_PAREN(x) LYCH_I_MANY(LYCH_I_COMMA x)
/* 1 when the entry is void, or nothing at all; "void *" and "void (*)(int)" are not. */
#define LYCH_I_IS_VOID(entry) LYCH_I_CAT(LYCH_I_IS_VOID_, LYCH_I_IS_PAREN(entry))(entry)
#define LYCH_I_IS_VOID_1(entry) 0
#define LYCH_I_IS_VOID_0(entry) LYCH_I_IS_VOID_2(LYCH_I_PROBE_##entry, ~, ~)
#define LYCH_I_PROBE_ ,
#define LYCH_I_PROBE_void ,
/* first: nothing when the word was void; rest: what came behind it. */
#define LYCH_I_IS_VOID_2(...) LYCH_I_IS_VOID_3(__VA_ARGS__)
#define LYCH_I_IS_VOID_3(first, rest, ...) \
	LYCH_I_CAT(LYCH_I_BOTH_, LYCH_I_CAT(LYCH_I_IS_EMPTY(first), LYCH_I_IS_EMPTY(rest)))
#define LYCH_I_BOTH_11 1
#define LYCH_I_BOTH_10 0
#define LYCH_I_BOTH_01 0
#define LYCH_I_BOTH_00 0
#define LYCH_I_IS_EMPTY(x) LYCH_I_CAT(LYCH_I_IS_EMPTY_, LYCH_I_IS_PAREN(x))(x)
#define LYCH_I_IS_EMPTY_1(x) 0
#define LYCH_I_IS_EMPTY_0(x) LYCH_I_MANY(LYCH_I_COMMA x ())

/* Number of entries: 0 for (void). */
#define LYCH_I_LENGTH(...) LYCH_I_LENGTH_(LYCH_I_COUNT(__VA_ARGS__), __VA_ARGS__)
#define LYCH_I_LENGTH_(n, ...) LYCH_I_CAT(LYCH_I_LENGTH_, LYCH_I_MANY(__VA_ARGS__))(n, __VA_ARGS__)
#define LYCH_I_LENGTH_1(n, ...) n
#define LYCH_I_LENGTH_0(n, entry) LYCH_I_CAT(LYCH_I_LENGTH_VOID_, LYCH_I_IS_VOID(entry))
#define LYCH_I_LENGTH_VOID_1 0
#define LYCH_I_LENGTH_VOID_0 1

/* The two lists as one, each of which may be (void). */
#define LYCH_I_JOIN(a, b) \
	LYCH_I_CAT(LYCH_I_JOIN_, LYCH_I_CAT(LYCH_I_ANY(LYCH_I_LENGTH a), LYCH_I_ANY(LYCH_I_LENGTH b)))(a, b)
#define LYCH_I_ANY(n) LYCH_I_CAT(LYCH_I_ANY_, n)
#define LYCH_I_ANY_0 0
#define LYCH_I_ANY_1 1
#define LYCH_I_ANY_2 1
#define LYCH_I_ANY_3 1
#define LYCH_I_ANY_4 1
#define LYCH_I_ANY_5 1
#define LYCH_I_ANY_6 1
#define LYCH_I_ANY_7 1
#define LYCH_I_ANY_8 1
#define LYCH_I_ANY_9 1
#define LYCH_I_ANY_10 1
#define LYCH_I_ANY_11 1
#define LYCH_I_ANY_12 1
#define LYCH_I_ANY_13 1
#define LYCH_I_ANY_14 1
#define LYCH_I_ANY_15 1
#define LYCH_I_ANY_16 1
#define LYCH_I_JOIN_00(a, b) (void)
#define LYCH_I_JOIN_01(a, b) b
#define LYCH_I_JOIN_10(a, b) a
#define LYCH_I_JOIN_11(a, b) (LYCH_I_OPEN a, LYCH_I_OPEN b)

/* LYCH_I_MAP(m, x, separator, list): m(x, 0, entry) separator() m(x, 1, entry)... */
#define LYCH_I_MAP(m, x, s, list) LYCH_I_MAP_(LYCH_I_LENGTH list, m, x, s, LYCH_I_OPEN list)
#define LYCH_I_MAP_(n, m, x, s, ...) LYCH_I_CAT(LYCH_I_MAP_, n)(m, x, s, __VA_ARGS__)
#define LYCH_I_MAP_0(m, x, s, ...)
#define LYCH_I_MAP_1(m, x, s, a) m(x, 0, a)
#define LYCH_I_MAP_2(m, x, s, a0, a1) \
	LYCH_I_MAP_1(m, x, s, a0) s() m(x, 1, a1)
#define LYCH_I_MAP_3(m, x, s, a0, a1, a2) \
	LYCH_I_MAP_2(m, x, s, a0, a1) s() m(x, 2, a2)
#define LYCH_I_MAP_4(m, x, s, a0, a1, a2, a3) \
	LYCH_I_MAP_3(m, x, s, a0, a1, a2) s() m(x, 3, a3)
#define LYCH_I_MAP_5(m, x, s, a0, a1, a2, a3, a4) \
	LYCH_I_MAP_4(m, x, s, a0, a1, a2, a3) s() m(x, 4, a4)
#define LYCH_I_MAP_6(m, x, s, a0, a1, a2, a3, a4, a5) \
	LYCH_I_MAP_5(m, x, s, a0, a1, a2, a3, a4) s() m(x, 5, a5)
#define LYCH_I_MAP_7(m, x, s, a0, a1, a2, a3, a4, a5, a6) \
	LYCH_I_MAP_6(m, x, s, a0, a1, a2, a3, a4, a5) s() m(x, 6, a6)
#define LYCH_I_MAP_8(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7) \
	LYCH_I_MAP_7(m, x, s, a0, a1, a2, a3, a4, a5, a6) s() m(x, 7, a7)
#define LYCH_I_MAP_9(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8) \
	LYCH_I_MAP_8(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7) s() m(x, 8, a8)
#define LYCH_I_MAP_10(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9) \
	LYCH_I_MAP_9(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8) s() m(x, 9, a9)
#define LYCH_I_MAP_11(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10) \
	LYCH_I_MAP_10(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9) s() m(x, 10, a10)
#define LYCH_I_MAP_12(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11) \
	LYCH_I_MAP_11(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10) s() m(x, 11, a11)
#define LYCH_I_MAP_13(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12) \
	LYCH_I_MAP_12(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11) s() m(x, 12, a12)
#define LYCH_I_MAP_14(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13) \
	LYCH_I_MAP_13(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12) s() m(x, 13, a13)
#define LYCH_I_MAP_15(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14) \
	LYCH_I_MAP_14(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13) s() m(x, 14, a14)
#define LYCH_I_MAP_16(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15) \
	LYCH_I_MAP_15(m, x, s, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14) s() m(x, 15, a15)

#define LYCH_I_NEXT_0 1
#define LYCH_I_NEXT_1 2
#define LYCH_I_NEXT_2 3
#define LYCH_I_NEXT_3 4
#define LYCH_I_NEXT_4 5
#define LYCH_I_NEXT_5 6
#define LYCH_I_NEXT_6 7
#define LYCH_I_NEXT_7 8
#define LYCH_I_NEXT_8 9
#define LYCH_I_NEXT_9 10
#define LYCH_I_NEXT_10 11
#define LYCH_I_NEXT_11 12
#define LYCH_I_NEXT_12 13
#define LYCH_I_NEXT_13 14
#define LYCH_I_NEXT_14 15
#define LYCH_I_NEXT_15 16

#endif /* LYCHGATE_BIND_LIST_H */
