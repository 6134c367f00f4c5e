// SPDX-License-Identifier: Apache-2.0
// RE2, a C++ library with libstdc++ below it: objects in the domain's memory, functions by their mangled names.
#include "world.h"

extern "C" {
struct StringPiece {
	const char *data;
	size_t size;
};
// RE2::RE2(const char *), ~RE2(), Match, GlobalReplace; std::string's constructor and destructor.
void _ZN3re23RE2C1EPKc(void *, const char *);
void _ZN3re23RE2D1Ev(void *);
bool _ZNK3re23RE25MatchERKNS_11StringPieceEmmNS0_6AnchorEPS1_i(const void *, const StringPiece *, size_t, size_t, int, StringPiece *,
								  int);
int _ZN3re23RE213GlobalReplaceEPNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEERKS0_RKNS_11StringPieceE(void *, const void *,
													     const StringPiece *);
void _ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEC1EPKcRKS3_(void *, const char *, const void *);
void _ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEED1Ev(void *);
}

void work_re2(World &w)
{
	const int unanchored = 0, anchored = 2;
	StringPiece *text = w.one<StringPiece>(), *groups = w.array<StringPiece>(5);
	w.load("libstdc++.so.6");
	auto set = [&](const std::string &s) {
		text->data = w.text(s);
		text->size = s.size();
	};
	auto match = [&](void *re, int anchor, int n) {
		return CALL(_ZNK3re23RE25MatchERKNS_11StringPieceEmmNS0_6AnchorEPS1_i, w, re, text, 0, text->size, anchor, groups, n);
	};
	auto group = [&](int i) { return std::string(groups[i].data, groups[i].size); };

	void *mail = w.bytes(256); // a RE2 has fewer
	CALL(_ZN3re23RE2C1EPKc, w, mail, w.text("(\\w+)@((?:\\w+\\.)+)(org|net)"));
	set("write to someone@lists.example.org, or not");
	w.check(match(mail, unanchored, 4), "a match");
	w.check(group(0) == "someone@lists.example.org" && group(1) == "someone" && group(2) == "lists.example." && group(3) == "org",
		"its groups");
	w.check(!match(mail, anchored, 1), "not all of it");

	// std::string in the domain's memory, 32 bytes; 60 characters live on its heap.
	void *string = w.bytes(32);
	const std::string addresses = "one@a.org, two@b.net, three@c.d.org and no more of them here";
	CALL(_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEC1EPKcRKS3_, w, string, w.text(addresses), w.bytes(1));
	StringPiece *rewrite = w.one<StringPiece>();
	rewrite->data = w.text("<\\1 at \\3>");
	rewrite->size = 10;
	w.check(CALL(_ZN3re23RE213GlobalReplaceEPNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEERKS0_RKNS_11StringPieceE, w, string, mail,
		     rewrite) == 3,
		"three are replaced");
	std::string out(member<char *>(string, 0), member<size_t>(string, 8));
	w.note("replaced", out);
	w.check(out == "<one at org>, <two at net>, <three at org> and no more of them here", "with what is known");
	CALL(_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEED1Ev, w, string);

	// What makes others take for ever.
	void *slow = w.bytes(256);
	CALL(_ZN3re23RE2C1EPKc, w, slow, w.text("^(a+)+$"));
	set(std::string(5000, 'a') + "c");
	w.check(!match(slow, unanchored, 1), "no match, soon");
	void *letters = w.bytes(256);
	CALL(_ZN3re23RE2C1EPKc, w, letters, w.text("\\p{Greek}+|(?i)\xc3\xa4rger"));
	set("\xc3\x84RGER");
	w.check(match(letters, anchored, 1), "letters of Unicode");
	for (void *re : {mail, slow, letters}) {
		CALL(_ZN3re23RE2D1Ev, w, re);
	}
}

Load load_re2(World &w)
{
	std::string text = sample_text(1 << 20);
	for (size_t at = 500; at + 100 < text.size(); at += 2000) {
		text.replace(at, 27, " someone@lists.example.org ");
	}
	StringPiece *in = w.one<StringPiece>(), *groups = w.array<StringPiece>(5);
	in->data = w.text(text);
	in->size = text.size();
	long *counts = w.array<long>(2);
	void *re = w.bytes(256);
	CALL(_ZN3re23RE2C1EPKc, w, re, w.text("(?:some|any)one@((?:[a-z]+\\.)+)(org|net)"));
	auto match = FUNCTION(w, _ZNK3re23RE25MatchERKNS_11StringPieceEmmNS0_6AnchorEPS1_i);
	return {[=] {
			counts[0] = counts[1] = 0;
			for (size_t at = 0; match(re, in, at, in->size, 0, groups, 4);) {
				at = static_cast<size_t>(groups[0].data - in->data) + groups[0].size;
				counts[0]++;
				counts[1] += static_cast<long>(groups[1].data - in->data);
			}
		},
		[=, &w] {
			w.note("matches", counts[0]);
			w.note("where", counts[1]);
		}};
}
