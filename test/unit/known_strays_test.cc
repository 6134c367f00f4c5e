// SPDX-License-Identifier: Apache-2.0
// Findings in Debian's own packages, exactly, wherever the installed file has that build-id.
#include <gtest/gtest.h>
#include <lychgate/scan.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace
{

struct Known {
	const char *name, *path, *build_id;
	std::vector<std::string> findings;
};

struct Seen {
	std::string build_id;
	std::vector<std::string> findings;
};

int see(void *ctx, const lych_finding *f)
{
	auto *seen = static_cast<Seen *>(ctx);
	char text[64];
	std::string insns;
	seen->build_id.clear();
	for (size_t i = 0; i < f->build_id_len; i++) {
		snprintf(text, sizeof(text), "%02x", f->build_id[i]);
		seen->build_id += text;
	}
	for (size_t i = 0; i < f->ninsns; i++) {
		if (f->insns[i].hit) {
			insns += insns.empty() ? "" : " | ";
			insns += f->insns[i].text;
		}
	}
	snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(f->vaddr));
	seen->findings.push_back(std::string(text) + " " + lych_verdict_name(f->verdict) + " " +
				 lych_class_name(f->cls) + " " + lych_placement_name(f->placement) + " " +
				 lych_part_name(f->first_part) + ": " + insns);
	return 0;
}

const Known kKnown[] = {
	{"Libnettle",
	 "/usr/lib/x86_64-linux-gnu/libnettle.so.8.6",
	 "df9d509c9055db57df09603aab0fc4c66ad2837c",
	 {"0x27a71 stray wrpkru spanning none: rol r15d, 0xf | add edi, ebp",
	  "0x27dd9 stray wrpkru spanning none: rol r14d, 0xf | add edi, ebp"}},
	{"Libgnat",
	 "/usr/lib/x86_64-linux-gnu/libgnat-12.so",
	 "918a605584a06871a68ee1f054b2afbb585f646f",
	 {"0x24d86d stray wrpkru inside relative-branch: call 0x13d980"}},
	{"Libc",
	 "/usr/lib/x86_64-linux-gnu/libc.so.6",
	 "93ac61ec5a8eb1396f9fbd350e3169a558528a40",
	 {"0x109352 runtime-handled wrpkru instruction none: wrpkru"}},
	{"DynamicLoader",
	 "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
	 "7ebc65e52f2bbea498b4040fa92f7238377aaba9",
	 {"0x12254 runtime-handled xrstor instruction none: xrstor ptr [rsp + 0x40]",
	  "0x12314 runtime-handled xrstor instruction none: xrstor ptr [rsp + 0x40]"}},
};

} // namespace

class KnownStrays : public testing::TestWithParam<Known>
{
};

TEST_P(KnownStrays, AreFoundExactly)
{
	Seen seen;
	lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	if (access(GetParam().path, R_OK) != 0) {
		GTEST_SKIP() << GetParam().path << " is not installed";
	}
	opts.finding = see;
	opts.ctx = &seen;
	ASSERT_EQ(lych_scan_file(GetParam().path, &opts, nullptr), 0);
	if (seen.build_id != GetParam().build_id) {
		GTEST_SKIP() << GetParam().path << " has build-id " << seen.build_id << ", another version";
	}
	EXPECT_EQ(seen.findings, GetParam().findings);
}

INSTANTIATE_TEST_SUITE_P(Debian12, KnownStrays, testing::ValuesIn(kKnown),
			 [](const auto &test) { return std::string(test.param.name); });
