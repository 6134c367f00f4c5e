// SPDX-License-Identifier: Apache-2.0
// ICU, in C++ and with 30 MB of data: case, collation, words, regular expressions, numbers, conversion with the host's callback.
#include "world.h"

extern "C" {
struct UCollator;
struct UBreakIterator;
struct URegularExpression;
struct UNumberFormat;
struct UConverter;
struct UConverterFromUnicodeArgs;
using u16 = char16_t;
using from_u_callback = void (*)(const void *, UConverterFromUnicodeArgs *, const u16 *, int, int, int, int *);
u16 *u_strFromUTF8_72(u16 *, int, int *, const char *, int, int *);
char *u_strToUTF8_72(char *, int, int *, const u16 *, int, int *);
int u_strToUpper_72(u16 *, int, const u16 *, int, const char *, int *);
UCollator *ucol_open_72(const char *, int *);
int ucol_strcoll_72(const UCollator *, const u16 *, int, const u16 *, int);
void ucol_close_72(UCollator *);
UBreakIterator *ubrk_open_72(int, const char *, const u16 *, int, int *);
int ubrk_next_72(UBreakIterator *);
void ubrk_close_72(UBreakIterator *);
URegularExpression *uregex_openC_72(const char *, unsigned, void *, int *);
void uregex_setText_72(URegularExpression *, const u16 *, int, int *);
signed char uregex_find_72(URegularExpression *, int, int *);
int uregex_start_72(URegularExpression *, int, int *);
void uregex_close_72(URegularExpression *);
UNumberFormat *unum_open_72(int, const u16 *, int, const char *, void *, int *);
int unum_formatDouble_72(const UNumberFormat *, double, u16 *, int, void *, int *);
double unum_parseDouble_72(const UNumberFormat *, const u16 *, int, int *, int *);
void unum_close_72(UNumberFormat *);
UConverter *ucnv_open_72(const char *, int *);
void ucnv_setFromUCallBack_72(UConverter *, from_u_callback, const void *, from_u_callback *, const void **, int *);
int ucnv_fromUChars_72(UConverter *, char *, int, const u16 *, int, int *);
void ucnv_close_72(UConverter *);
const char *u_errorName_72(int);
void u_cleanup_72(void);
const void *unorm2_getNFDInstance_72(int *);
int unorm2_normalize_72(const void *, const u16 *, int, u16 *, int, int *);
}

namespace
{

int unmapped;
// Leaves out what the other character set does not have: the reason says that it has been dealt with when *error is 0.
void leave_out(const void *, UConverterFromUnicodeArgs *, const u16 *, int, int, int reason, int *error)
{
	if (reason <= 2) {
		unmapped++;
		*error = 0;
	}
}
LYCH_CALLBACK(leave_out, void, (const void *, UConverterFromUnicodeArgs *, const u16 *, int, int, int, int *));

} // namespace

void work_icu(World &w)
{
	int *error = w.one<int>(), *n = w.one<int>();
	u16 *a = w.array<u16>(1000), *b = w.array<u16>(1000);
	char *utf8 = w.array<char>(1000);
	w.load("libicuuc.so.72");
	auto ok = [&](const char *what) {
		if (*error > 0) {
			throw std::runtime_error(std::string(what) + ": " + CALL(u_errorName_72, w, *error));
		}
		*error = 0;
	};
	auto wide = [&](u16 *to, const std::string &s) {
		CALL(u_strFromUTF8_72, w, to, 1000, n, w.text(s), static_cast<int>(s.size()), error);
		ok("u_strFromUTF8");
		return *n;
	};
	auto narrow = [&](const u16 *from, int length) {
		CALL(u_strToUTF8_72, w, utf8, 1000, n, from, length, error);
		ok("u_strToUTF8");
		return std::string(utf8, static_cast<size_t>(*n));
	};

	int length = wide(a, "stra\xc3\x9f" "e, i");
	int upper = CALL(u_strToUpper_72, w, b, 1000, a, length, w.text("tr"), error);
	ok("u_strToUpper");
	w.check(narrow(b, upper) == "STRASSE, \xc4\xb0", "in Turkish");

	// In Swedish this letter comes after z, in German it is a kind of a.
	for (const char *language : {"de", "sv"}) {
		UCollator *c = CALL(ucol_open_72, w, w.text(language), error);
		ok("ucol_open");
		int order = CALL(ucol_strcoll_72, w, c, a, wide(a, "\xc3\xa4pple"), b, wide(b, "zebra"));
		w.check(order == (language[0] == 'd' ? -1 : 1), language);
		CALL(ucol_close_72, w, c);
	}

	length = wide(a, "Hello, wonderful world. \xe4\xbb\x8a\xe6\x97\xa5\xe3\x81\xaf\xe8\x89\xaf\xe3\x81\x84\xe5\xa4\xa9\xe6\xb0\x97");
	UBreakIterator *words = CALL(ubrk_open_72, w, 1, w.text("ja"), a, length, error);
	ok("ubrk_open");
	std::string breaks;
	for (int at; (at = CALL(ubrk_next_72, w, words)) != -1;) {
		breaks += std::to_string(at) + " ";
	}
	w.note("breaks", breaks);
	w.check(breaks.substr(0, 24) == "5 6 7 16 17 22 23 24 26 ", breaks.c_str());
	CALL(ubrk_close_72, w, words);

	URegularExpression *re = CALL(uregex_openC_72, w, w.text("\\p{Han}+\\p{Hiragana}"), 0, nullptr, error);
	ok("uregex_openC");
	CALL(uregex_setText_72, w, re, a, length, error);
	w.check(CALL(uregex_find_72, w, re, 0, error) == 1 && CALL(uregex_start_72, w, re, 0, error) == 24, "a match");
	CALL(uregex_close_72, w, re);

	UNumberFormat *f = CALL(unum_open_72, w, 1, nullptr, 0, w.text("de_DE"), nullptr, error);
	ok("unum_open");
	length = CALL(unum_formatDouble_72, w, f, 1234567.875, a, 1000, nullptr, error);
	w.check(narrow(a, length) == "1.234.567,875", "a number");
	*n = 0;
	w.check(CALL(unum_parseDouble_72, w, f, a, wide(a, "-12.345,5"), nullptr, error) == -12345.5, "is read");
	CALL(unum_close_72, w, f);

	UConverter *c = CALL(ucnv_open_72, w, w.text("ISO-8859-15"), error);
	ok("ucnv_open");
	unmapped = 0;
	CALL(ucnv_setFromUCallBack_72, w, c, CALLBACK(w, leave_out), nullptr, nullptr, nullptr, error);
	length = CALL(ucnv_fromUChars_72, w, c, utf8, 1000, a, wide(a, "10 \xe2\x82\xac \xe2\x99\xa5!"), error);
	ok("ucnv_fromUChars");
	w.check(std::string(utf8, static_cast<size_t>(length)) == "10 \xa4 !" && unmapped == 1, "converted");
	CALL(ucnv_close_72, w, c);
	CALL(u_cleanup_72, w);
}

Load load_icu(World &w)
{
	const int words = 2000, room = 16, length = 64 << 10;
	int *error = w.one<int>();
	u16 *in = w.array<u16>(length), *out = w.array<u16>(3 * length), *table = w.array<u16>(words * room);
	int32_t *lengths = w.array<int32_t>(words);
	long *counts = w.array<long>(2);
	char *language = w.text("de");
	uint32_t x = 3;
	w.load("libicuuc.so.72");
	for (int i = 0; i < length; i++) {
		x = x * 1664525 + 1013904223;
		in[i] = (x >> 28) == 0 ? static_cast<u16>(0xc0 + (x >> 8) % 0x40) : static_cast<u16>('a' + (x >> 8) % 26);
	}
	for (int i = 0; i < words; i++) {
		lengths[i] = 3 + i % 10;
		memcpy(table + i * room, in + i * 30, static_cast<size_t>(lengths[i]) * sizeof(u16));
	}
	const void *decomposed = CALL(unorm2_getNFDInstance_72, w, error);
	w.check(*error <= 0, "unorm2_getNFDInstance");
	auto open = FUNCTION(w, ucol_open_72);
	auto compare = FUNCTION(w, ucol_strcoll_72);
	auto close = FUNCTION(w, ucol_close_72);
	auto normalize = FUNCTION(w, unorm2_normalize_72);
	auto upper = FUNCTION(w, u_strToUpper_72);
	return {[=, &w] {
			counts[0] = 0;
			*error = 0;
			UCollator *c = open(language, error);
			w.check(*error <= 0, "ucol_open");
			for (int i = 1; i < words; i++) {
				counts[0] = counts[0] * 3 + compare(c, table + (i - 1) * room, lengths[i - 1], table + i * room, lengths[i]);
				counts[0] %= 1000003;
			}
			close(c);
			counts[1] = normalize(decomposed, in, length, out, 3 * length, error);
			counts[1] += upper(out, 3 * length, in, length, language, error);
			w.check(*error <= 0, "unorm2_normalize");
		},
		[=, &w] {
			w.note("order", counts[0]);
			w.note("length", counts[1]);
			w.note("upper case", out, length * sizeof(u16));
		}};
}
