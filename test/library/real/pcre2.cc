// SPDX-License-Identifier: Apache-2.0
// PCRE2: matches, replacements, callouts to the host, a limit; its compiler of machine code is refused memory and says so.
#include "world.h"

extern "C" {
struct pcre2_code_8;
struct pcre2_match_data_8;
struct pcre2_match_context_8;
pcre2_code_8 *pcre2_compile_8(const uint8_t *, size_t, uint32_t, int *, size_t *, void *);
pcre2_match_data_8 *pcre2_match_data_create_from_pattern_8(const pcre2_code_8 *, void *);
int pcre2_match_8(const pcre2_code_8 *, const uint8_t *, size_t, size_t, uint32_t, pcre2_match_data_8 *, pcre2_match_context_8 *);
size_t *pcre2_get_ovector_pointer_8(pcre2_match_data_8 *);
int pcre2_substitute_8(const pcre2_code_8 *, const uint8_t *, size_t, size_t, uint32_t, pcre2_match_data_8 *,
		       pcre2_match_context_8 *, const uint8_t *, size_t, uint8_t *, size_t *);
pcre2_match_context_8 *pcre2_match_context_create_8(void *);
int pcre2_set_callout_8(pcre2_match_context_8 *, int (*)(void *, void *), void *);
int pcre2_set_match_limit_8(pcre2_match_context_8 *, uint32_t);
int pcre2_get_error_message_8(int, uint8_t *, size_t);
int pcre2_jit_compile_8(pcre2_code_8 *, uint32_t);
void pcre2_code_free_8(pcre2_code_8 *);
}

namespace
{

int callouts;
int callout(void *, void *)
{
	callouts++;
	return 0;
}
LYCH_CALLBACK(callout, int, (void *, void *));

} // namespace

void work_pcre2(World &w)
{
	const uint32_t utf = 0x80000, ucp = 0x20000, global = 0x100;
	int *error = w.one<int>();
	size_t *offset = w.one<size_t>();
	uint8_t *out = w.array<uint8_t>(4096);
	auto bytes = [&](const std::string &s) { return reinterpret_cast<uint8_t *>(w.text(s)); };
	auto compile = [&](const std::string &pattern) {
		pcre2_code_8 *code = CALL(pcre2_compile_8, w, bytes(pattern), pattern.size(), utf | ucp, error, offset, nullptr);
		w.check(code != nullptr, pattern.c_str());
		return code;
	};

	pcre2_code_8 *date = compile("(?<year>\\d{4})-(?<month>\\d\\d)-(\\d\\d)(?C1)");
	pcre2_match_data_8 *data = CALL(pcre2_match_data_create_from_pattern_8, w, date, nullptr);
	const std::string text = "on 2026-11-22 and 1999-12-31";
	pcre2_match_context_8 *context = CALL(pcre2_match_context_create_8, w, nullptr);
	callouts = 0;
	CALL(pcre2_set_callout_8, w, context, CALLBACK(w, callout), nullptr);
	w.check(CALL(pcre2_match_8, w, date, bytes(text), text.size(), 0, 0, data, context) == 4, "three groups");
	size_t *v = CALL(pcre2_get_ovector_pointer_8, w, data);
	w.check(v[0] == 3 && v[1] == 13 && v[2] == 3 && v[3] == 7 && v[4] == 8 && v[5] == 10, "where");
	w.check(callouts == 1, "a callout");
	*offset = 4096;
	w.check(CALL(pcre2_substitute_8, w, date, bytes(text), text.size(), 0, global, data, nullptr, bytes("$3.$2.$1"), 8, out, offset) == 2,
		"two are replaced");
	w.check(strcmp(reinterpret_cast<char *>(out), "on 22.11.2026 and 31.12.1999") == 0, "with what is known");
	CALL(pcre2_code_free_8, w, date);

	pcre2_code_8 *word = compile("\\b(\\p{Lu}\\w*)\\b(?=.*\\1$)");
	const std::string unicode = "der \xc3\x84rger und der \xc3\x84rger";
	data = CALL(pcre2_match_data_create_from_pattern_8, w, word, nullptr);
	w.check(CALL(pcre2_match_8, w, word, bytes(unicode), unicode.size(), 0, 0, data, nullptr) == 2, "letters of Unicode, a look ahead");
	w.check(CALL(pcre2_get_ovector_pointer_8, w, data)[0] == 4, "where");

	pcre2_code_8 *slow = compile("^(a+)+$");
	data = CALL(pcre2_match_data_create_from_pattern_8, w, slow, nullptr);
	CALL(pcre2_set_match_limit_8, w, context, 2000);
	w.check(CALL(pcre2_match_8, w, slow, bytes("aaaaaaaaaaaaaaaaaaaaaaaaac"), 26, 0, 0, data, context) == -47, "a limit ends it");
	w.check(CALL(pcre2_compile_8, w, bytes("(a"), 2, 0, error, offset, nullptr) == nullptr, "what is none is refused");
	CALL(pcre2_get_error_message_8, w, *error, out, 4096);
	w.note("error", reinterpret_cast<char *>(out));
	// Machine code made at run time could be anything: no such memory is given inside, and matching goes on without.
	int rc = CALL(pcre2_jit_compile_8, w, slow, 1);
	w.check(w.domain() == nullptr ? rc == 0 : rc != 0, "what compiles to machine code is refused inside");
	pcre2_code_8 *plain = compile("(\\w+)@(\\w+)\\.org");
	(void)CALL(pcre2_jit_compile_8, w, plain, 1);
	data = CALL(pcre2_match_data_create_from_pattern_8, w, plain, nullptr);
	w.check(CALL(pcre2_match_8, w, plain, bytes("to someone@example.org."), 23, 0, 0, data, nullptr) == 3, "and matches the same");
}

Load load_pcre2(World &w)
{
	std::string text = sample_text(1 << 20);
	for (size_t at = 500; at + 100 < text.size(); at += 2000) {
		text.replace(at, 27, " someone@lists.example.org ");
	}
	const uint8_t *in = reinterpret_cast<uint8_t *>(w.text(text));
	const size_t bytes = text.size();
	const std::string pattern = "(?:some|any)one@((?:[a-z]+\\.)+)(org|net)";
	int *error = w.one<int>();
	size_t *offset = w.one<size_t>();
	long *counts = w.array<long>(2);
	pcre2_code_8 *code = CALL(pcre2_compile_8, w, reinterpret_cast<uint8_t *>(w.text(pattern)), pattern.size(), 0, error, offset, nullptr);
	w.check(code != nullptr, "pcre2_compile");
	pcre2_match_data_8 *data = CALL(pcre2_match_data_create_from_pattern_8, w, code, nullptr);
	const size_t *v = CALL(pcre2_get_ovector_pointer_8, w, data);
	auto match = FUNCTION(w, pcre2_match_8);
	return {[=] {
			counts[0] = counts[1] = 0;
			for (size_t at = 0; match(code, in, bytes, at, 0, data, nullptr) > 0; at = v[1]) {
				counts[0]++;
				counts[1] += static_cast<long>(v[0]);
			}
		},
		[=, &w] {
			w.note("matches", counts[0]);
			w.note("where", counts[1]);
		}};
}
