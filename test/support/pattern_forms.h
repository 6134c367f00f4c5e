// SPDX-License-Identifier: Apache-2.0
//
// For the tests of the matcher: hits as values, and a second definition of what a sequence is.
#ifndef LYCH_TEST_PATTERN_FORMS_H
#define LYCH_TEST_PATTERN_FORMS_H

#include <gtest/gtest.h>

#include <bitset>
#include <iomanip>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

extern "C" {
#include "pattern.h"
}

using Bytes = std::vector<uint8_t>;

struct Hit {
	size_t off, core, len;
	lych_class cls;

	bool operator==(const Hit &o) const
	{
		return off == o.off && core == o.core && len == o.len && cls == o.cls;
	}
};

inline std::ostream &operator<<(std::ostream &os, const Hit &h)
{
	return os << lych_class_name(h.cls) << " at " << h.off << "+" << h.len << " core " << h.core;
}

inline std::string hex(const Bytes &bytes)
{
	std::ostringstream os;
	for (uint8_t b : bytes) {
		os << std::hex << std::setw(2) << std::setfill('0') << unsigned(b) << ' ';
	}
	return os.str();
}

inline int keep(void *ctx, size_t off, size_t core, size_t len, lych_class cls)
{
	static_cast<std::vector<Hit> *>(ctx)->push_back({off, core, len, cls});
	return 0;
}

inline std::vector<Hit> scan(pattern_impl impl, const uint8_t *buf, size_t len, uint32_t classes)
{
	std::vector<Hit> hits;
	EXPECT_EQ(pattern_scan_with(impl, buf, len, classes, keep, &hits), 0);
	return hits;
}

inline std::vector<Hit> scan(pattern_impl impl, const Bytes &bytes, uint32_t classes)
{
	return scan(impl, bytes.data(), bytes.size(), classes);
}

inline std::vector<pattern_impl> usable_impls()
{
	std::vector<pattern_impl> impls;
	for (int i = 0; i < PATTERN_IMPL_COUNT; i++) {
		if (pattern_impl_usable(static_cast<pattern_impl>(i))) {
			impls.push_back(static_cast<pattern_impl>(i));
		}
	}
	return impls;
}

// "0f ae 28" as bytes.
inline Bytes bytes_of(const std::string &text)
{
	std::istringstream in(text);
	Bytes out;
	unsigned value;
	while (in >> std::hex >> value) {
		out.push_back(static_cast<uint8_t>(value));
	}
	return out;
}

// ---- a second definition: every form spelt out as a list of sets of bytes -------------------------

using Set = std::bitset<256>;

struct Form {
	lych_class cls;
	size_t core;
	std::vector<Set> bytes;
};

// "28-2f,68" as a set.
inline Set set_of(const std::string &text)
{
	std::istringstream in(text);
	std::string range;
	Set set;
	while (std::getline(in, range, ',')) {
		size_t dash = range.find('-');
		unsigned low = std::stoul(range, nullptr, 16);
		unsigned high = dash == range.npos ? low : std::stoul(range.substr(dash + 1), nullptr, 16);
		for (unsigned b = low; b <= high; b++) {
			set.set(b);
		}
	}
	return set;
}

inline void add_form(std::vector<Form> &forms, lych_class cls, size_t core, const std::string &text)
{
	std::istringstream in(text);
	std::string token;
	Form form{cls, core, {}};
	while (in >> token) {
		form.bytes.push_back(set_of(token));
	}
	forms.push_back(form);
}

inline std::vector<Form> all_forms()
{
	const std::string prefix = "66,67,f2,f3,f0,2e,36,3e,26,64,65,40-4f ";
	std::vector<Form> forms;

	add_form(forms, LYCH_WRPKRU, 0, "0f 01 ef");
	add_form(forms, LYCH_WRPKRU_REX2, 0, "d5 80-ff 01 ef");
	add_form(forms, LYCH_XRSTOR, 0, "0f ae 28-2f,68-6f,a8-af");
	add_form(forms, LYCH_ENCLU, 0, "0f 01 d7");
	add_form(forms, LYCH_ENCLU, 0, "d5 80-ff 01 d7");
	add_form(forms, LYCH_SYSCALL, 0, "0f 05");
	add_form(forms, LYCH_SYSCALL, 0, "d5 80-ff 05");
	add_form(forms, LYCH_SYSENTER, 0, "0f 34");
	add_form(forms, LYCH_INT80, 0, "cd 80");
	std::string run = "f3 ";
	for (size_t n = 1; n + 3 <= 15; n++, run += prefix) {
		add_form(forms, LYCH_WRFSBASE, n, run + "0f ae d0-d7");
		add_form(forms, LYCH_WRGSBASE, n, run + "0f ae d8-df");
		if (n + 4 <= 15) {
			add_form(forms, LYCH_WRFSBASE, n, run + "d5 80-ff ae d0-d7");
			add_form(forms, LYCH_WRGSBASE, n, run + "d5 80-ff ae d8-df");
		}
	}
	return forms;
}

// Tries every form at every start. Of several starts with one core the last, the nearest F3, stays.
inline std::vector<Hit> hits_by_forms(const Bytes &bytes, uint32_t classes)
{
	static const std::vector<Form> forms = all_forms();
	std::map<size_t, Hit> by_core;

	for (size_t start = 0; start < bytes.size(); start++) {
		for (const Form &form : forms) {
			size_t len = form.bytes.size(), i = 0;

			if (len > bytes.size() - start) {
				continue;
			}
			while (i < len && form.bytes[i][bytes[start + i]]) {
				i++;
			}
			if (i < len) {
				continue;
			}
			auto known = by_core.find(start + form.core);
			if (known != by_core.end() && known->second.cls != form.cls) {
				ADD_FAILURE() << "two classes for one core: " << hex(bytes);
			}
			by_core[start + form.core] = {start, start + form.core, len, form.cls};
		}
	}
	std::vector<Hit> hits;
	for (const auto &entry : by_core) {
		if (classes & LYCH_CLASS_BIT(entry.second.cls)) {
			hits.push_back(entry.second);
		}
	}
	return hits;
}

inline Bytes random_bytes(std::mt19937_64 &random, const Bytes &alphabet, size_t len)
{
	Bytes out(len);
	for (uint8_t &b : out) {
		b = alphabet[random() % alphabet.size()];
	}
	return out;
}

// Alphabets: the fewer bytes, the denser the sequences and the halves of sequences.
inline std::vector<Bytes> alphabets()
{
	std::vector<Bytes> out = {
		bytes_of("0f 01 ef ae d5 80 ff 28 d0 d8 d7 f3 48 66 05 34 cd 90 c0 68 a8 6f"),
		bytes_of("0f 01 ef"),
		bytes_of("0f ae 28 01 ef d5 80"),
		bytes_of("f3 0f ae d0 d8 48 66 d5 80"),
		bytes_of("f3 d5 ae d5 80 d0"),
		bytes_of("d5 80 ff 01 ef d7 05 34"),
		bytes_of("0f 05 34 cd 80 d5"),
		bytes_of("01 ef"),
		bytes_of("0f ae"),
	};
	Bytes every(256);
	for (unsigned b = 0; b < 256; b++) {
		every[b] = uint8_t(b);
	}
	out.push_back(every);
	return out;
}

#endif // LYCH_TEST_PATTERN_FORMS_H
