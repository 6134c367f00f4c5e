// SPDX-License-Identifier: Apache-2.0
// Small assembly files, linked and scanned; the report is compared line by line with a file.
//
// Directives in comments of the .s file:
//   # cc: FLAGS        how it is linked (default: -shared); @ stands for the folder of the cases
//   # find: CLASSES    default pkru
//   # no-gates         as code for a domain is scanned
//   # strip            remove all symbols
//   # no-sections      remove the section headers
#include <lychgate/scan.h>

#include "golden.h"

namespace
{

int say_finding(void *ctx, const lych_finding *f)
{
	auto &out = *static_cast<std::string *>(ctx);
	char text[512];
	std::snprintf(text, sizeof(text), "0x%llx %s %s %s", static_cast<unsigned long long>(f->vaddr),
		      lych_verdict_name(f->verdict), lych_class_name(f->cls), lych_placement_name(f->placement));
	out += text;
	if (f->placement == LYCH_PLACE_INSIDE) {
		out += std::string(" ") + lych_part_name(f->first_part) + ".." + lych_part_name(f->last_part);
	}
	std::snprintf(text, sizeof(text), " off=0x%llx %s %s+0x%llx\n", static_cast<unsigned long long>(f->off),
		      *f->section ? f->section : "-", *f->symbol ? f->symbol : "-",
		      static_cast<unsigned long long>(f->symbol_off));
	out += text;
	out += "  bytes";
	for (size_t i = 0; i < f->nbytes; i++) {
		std::snprintf(text, sizeof(text), " %02x", f->bytes[i]);
		out += text;
	}
	out += "\n";
	if (*f->why) {
		out += std::string("  why ") + f->why + "\n";
	}
	for (size_t i = 0; i < f->ninsns; i++) {
		std::snprintf(text, sizeof(text), "  %c 0x%llx %s\n", f->insns[i].hit ? '>' : ' ',
			      static_cast<unsigned long long>(f->insns[i].vaddr), f->insns[i].text);
		out += text;
	}
	return 0;
}

void say_diag(void *ctx, const lych_diag *d)
{
	static const char *const names[] = {"note", "warning", "error"};
	*static_cast<std::string *>(ctx) += std::string(names[d->severity]) + ": " + d->message + "\n";
}

std::string scan(const fs::path &file, const Case &c)
{
	std::string out;
	lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	EXPECT_EQ(lych_classes_parse(&opts.classes, c.find.c_str()), 0);
	opts.flags = c.no_gates ? LYCH_SCAN_NO_GATES : 0;
	opts.finding = say_finding;
	opts.diag = say_diag;
	opts.ctx = &out;
	int rc = lych_scan_file(file.c_str(), &opts, nullptr);
	out += rc == 0 ? "ok\n" : std::string(lych_strerror(rc)) + "\n";
	return out;
}

} // namespace

class Golden : public testing::TestWithParam<std::string>
{
};

TEST_P(Golden, ReportIsAsWritten)
{
	const fs::path expect = fs::path(GOLDEN_CASES) / (GetParam() + ".expect");
	const Case c = read_directives(fs::path(GOLDEN_CASES) / (GetParam() + ".s"));
	const fs::path built = build_case(GetParam(), c);
	ASSERT_FALSE(HasFailure());
	const std::string got = scan(built, c);
	if (rebase()) {
		std::ofstream(expect) << got;
	}
	EXPECT_EQ(got, slurp(expect)) << "the report of " << GetParam()
				      << ".s changed; LYCH_GOLDEN_REBASE=1 writes it anew";
	fs::remove(built);
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden, testing::ValuesIn(cases_with(".expect")),
			 [](const auto &test) { return test_name(test.param); });
