// SPDX-License-Identifier: Apache-2.0
// What programs read: JSON lines and SARIF.
#include "cli.h"

#include <sys/stat.h>
#include <unistd.h>

using testing::ContainsRegex;
using testing::HasSubstr;

static const std::vector<uint8_t> build_id(20, 0xab);

TEST(Jsonl, BeginsWithAHeaderAndEndsWithASummary)
{
	Outcome run = lychgate({"scan", "--format", "jsonl", CLI_PLANTED});
	EXPECT_EQ(run.exit_code, 1) << run;
	std::vector<Json> all = records(run.out);
	ASSERT_GE(all.size(), 4u);
	EXPECT_EQ(string_at(all.front(), "type"), "header");
	EXPECT_EQ(string_at(all.front(), "schema"), "lychgate-scan/1");
	EXPECT_EQ(string_at(all.front(), "version"), LYCH_VERSION);
	EXPECT_EQ(json_array_size(at(all.front(), "classes")), 3u);
	EXPECT_EQ(string_at(all.back(), "type"), "summary");
	EXPECT_EQ(json_integer_value(at(all.back(), "exit_code")), 1);
	EXPECT_EQ(json_integer_value(at(all.back(), "files")), 1);
	EXPECT_EQ(json_integer_value(at(all.back(), "fails")), 2);
	EXPECT_EQ(json_array_size(at(all.back(), "counts")), 2u);
	EXPECT_EQ(json_integer_value(at(all.back(), "passed_over/not_code")), 0);
}

TEST(Jsonl, FindingHasEveryField)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(stray_code(), build_id));
	std::vector<Json> found =
		records(lychgate({"scan", "--format", "jsonl", elf}).out, "finding");
	ASSERT_EQ(found.size(), 1u);
	const Json &f = found[0];
	EXPECT_EQ(string_at(f, "file"), elf);
	EXPECT_EQ(string_at(f, "vaddr"), "0x1002");
	EXPECT_EQ(string_at(f, "offset"), "0x1002");
	EXPECT_EQ(string_at(f, "class"), "wrpkru");
	EXPECT_EQ(string_at(f, "verdict"), "stray");
	EXPECT_EQ(string_at(f, "status"), "fails");
	EXPECT_EQ(string_at(f, "placement"), "instruction");
	EXPECT_EQ(string_at(f, "bytes"), "0f01ef");
	EXPECT_EQ(string_at(f, "section"), ".text");
	EXPECT_EQ(string_at(f, "build_id"), "abababababababababababababababababababab");
	EXPECT_EQ(string_at(f, "id"),
		  "wrpkru 0x1002 build-id:abababababababababababababababababababab");
	EXPECT_EQ(at(f, "file_bytes"), nullptr);
	bool hit = false;
	for (size_t i = 0; i < json_array_size(at(f, "instructions")); i++) {
		json_t *insn = json_array_get(at(f, "instructions"), i);
		if (json_is_true(at(insn, "hit"))) {
			hit = true;
			EXPECT_EQ(string_at(insn, "vaddr"), "0x1002");
			EXPECT_EQ(string_at(insn, "bytes"), "0f01ef");
			EXPECT_EQ(string_at(insn, "text"), "wrpkru");
		}
	}
	EXPECT_TRUE(hit);
}

TEST(Jsonl, PlacementInsideSaysWhichParts)
{
	std::vector<Json> found =
		records(lychgate({"scan", "--format", "jsonl", CLI_PLANTED}).out, "finding");
	size_t inside = 0;
	for (const Json &f : found) {
		if (string_at(f, "placement") == "inside") {
			inside++;
			EXPECT_EQ(string_at(f, "first_part"), "immediate");
			EXPECT_EQ(string_at(f, "last_part"), "immediate");
			EXPECT_EQ(string_at(f, "symbol"), "planted_constant");
		} else {
			EXPECT_EQ(at(f, "first_part"), nullptr);
		}
	}
	EXPECT_EQ(inside, 1u);
}

TEST(Jsonl, DiagnosticsAreRecordsAsWell)
{
	Outcome run = lychgate({"scan", "--format", "jsonl", "/nonexistent"});
	EXPECT_EQ(run.exit_code, 2) << run;
	std::vector<Json> list = records(run.out, "diagnostic");
	ASSERT_EQ(list.size(), 1u) << run;
	EXPECT_EQ(string_at(list[0], "severity"), "error");
	EXPECT_EQ(string_at(list[0], "file"), "/nonexistent");
	EXPECT_EQ(string_at(list[0], "error"), "ENOENT");
	EXPECT_THAT(run.err, HasSubstr("/nonexistent: error: ")) << "people see it, too";
	EXPECT_EQ(json_integer_value(at(records(run.out, "summary")[0], "exit_code")), 2);
	EXPECT_EQ(json_integer_value(at(records(run.out, "summary")[0], "unreadable")), 1);
}

TEST(Jsonl, VerboseAddsARecordPerFile)
{
	Tree tree;
	tree.file("d/a.so", elf_with(clean_code()));
	tree.file("d/b.so", elf_with(clean_code()));
	EXPECT_EQ(
		records(lychgate({"scan", "--format", "jsonl", tree.path("d")}).out, "file").size(),
		0u);
	std::vector<Json> files =
		records(lychgate({"scan", "-v", "--format", "jsonl", tree.path("d")}).out, "file");
	ASSERT_EQ(files.size(), 2u);
	EXPECT_EQ(string_at(files[1], "file"), tree.path("d/b.so"));
	EXPECT_TRUE(json_is_true(at(files[1], "complete")));
	EXPECT_EQ(json_integer_value(at(files[1], "images")), 1);
}

TEST(Jsonl, NamesThatAreNotUtf8StayRecoverable)
{
	Tree tree;
	std::string elf = tree.file("a\xff\n\xc3\xa9.so", elf_with(stray_code()));
	std::vector<Json> found =
		records(lychgate({"scan", "--format", "jsonl", elf}).out, "finding");
	ASSERT_EQ(found.size(), 1u);
	EXPECT_EQ(string_at(found[0], "file"), tree.path("a\\xff\n\xc3\xa9.so"));
	std::string bytes = string_at(found[0], "file_bytes");
	std::string decoded;
	for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
		decoded += static_cast<char>(std::stoi(bytes.substr(i, 2), nullptr, 16));
	}
	EXPECT_EQ(decoded, elf);
}

// U+0085 and U+2028 end lines for some readers, U+009B steers terminals, U+202E turns text around.
TEST(Formats, MachineFormatsAreAsciiWhateverTheNames)
{
	Tree tree;
	std::string elf = tree.file("a\xc2\x85\xe2\x80\xa8\xc2\x9b\xe2\x80\xae" "\xc3\xa9.so",
				    elf_with(stray_code()));
	for (const char *format : {"jsonl", "sarif"}) {
		Outcome run = lychgate({"scan", "--format", format, elf, elf + ".none"});
		EXPECT_EQ(run.exit_code, 1) << run;
		for (char c : run.out) {
			ASSERT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f)) << format << run;
		}
	}
	Outcome run = lychgate({"scan", "--format", "jsonl", elf});
	std::vector<Json> found = records(run.out, "finding");
	ASSERT_EQ(found.size(), 1u);
	EXPECT_EQ(string_at(found[0], "file"), elf) << "and nothing is lost";
}

TEST(Jsonl, AddressesBeyond63BitsSurvive)
{
	Tree tree;
	std::string raw = tree.file("code", stray_code());
	std::vector<Json> found = records(
		lychgate({"scan", "--raw", "--base", "fffffffffffff000", "--format", "jsonl", raw})
			.out,
		"finding");
	ASSERT_EQ(found.size(), 1u);
	EXPECT_EQ(string_at(found[0], "vaddr"), "0xfffffffffffff002");
}

// ---- SARIF -------------------------------------------------------------------------------------

static Json sarif(const std::vector<std::string> &args, int exit_code,
		  const RunOptions &options = {})
{
	std::vector<std::string> all = {"scan", "--format", "sarif"};
	all.insert(all.end(), args.begin(), args.end());
	Outcome run = lychgate(all, options);
	EXPECT_EQ(run.exit_code, exit_code) << run;
	return parse_json(run.out);
}

TEST(Sarif, RulesHaveStableIdsAndBothNames)
{
	Tree tree;
	Json doc = sarif({tree.file("a.so", elf_with(clean_code()))}, 0);
	EXPECT_EQ(string_at(doc, "version"), "2.1.0");
	json_t *rules = at(doc, "runs/0/tool/driver/rules");
	const char *titles[] = {"WRPKRU",   "REX2 WRPKRU", "XRSTOR",   "ENCLU",  "WRFSBASE",
				"WRGSBASE", "SYSCALL",     "SYSENTER", "INT 80h"};
	ASSERT_EQ(json_array_size(rules), 9u);
	for (size_t i = 0; i < 9; i++) {
		json_t *rule = json_array_get(rules, i);
		EXPECT_EQ(string_at(rule, "id"), "LYCH00" + std::to_string(i + 1));
		EXPECT_EQ(string_at(rule, "shortDescription/text"),
			  std::string("Stray ") + titles[i] +
				  " (unsafe occurrence) in executable memory.");
		EXPECT_GT(string_at(rule, "help/markdown").size(), 100u);
		EXPECT_GT(string_at(rule, "fullDescription/text").size(), 50u);
	}
	EXPECT_EQ(string_at(json_array_get(rules, 1), "name"), "StrayRex2Wrpkru");
	EXPECT_EQ(json_array_size(at(doc, "runs/0/results")), 0u);
	EXPECT_TRUE(json_is_array(at(doc, "runs/0/results"))) << "no results is not \"not looked\"";
	EXPECT_TRUE(json_is_true(at(doc, "runs/0/invocations/0/executionSuccessful")));
	EXPECT_EQ(json_integer_value(at(doc, "runs/0/invocations/0/exitCode")), 0);
}

TEST(Sarif, ResultHasPlaceFingerprintAndLevel)
{
	Tree tree;
	RunOptions in_tree;
	in_tree.cwd = tree.path();
	tree.file("lib dir/a#1.so", elf_with(stray_code(), build_id));
	Json doc = sarif({"./lib dir//a#1.so"}, 1, in_tree);
	json_t *result = at(doc, "runs/0/results/0");
	ASSERT_NE(result, nullptr);
	EXPECT_EQ(string_at(result, "ruleId"), "LYCH001");
	EXPECT_EQ(string_at(result, "level"), "error");
	EXPECT_THAT(string_at(result, "message/text"),
		    HasSubstr("Stray WRPKRU (unsafe occurrence) at address 0x1002"));
	json_t *place = at(result, "locations/0/physicalLocation");
	EXPECT_EQ(string_at(place, "artifactLocation/uri"), "lib%20dir/a%231.so");
	EXPECT_EQ(string_at(place, "artifactLocation/uriBaseId"), "%SRCROOT%");
	EXPECT_EQ(json_integer_value(at(place, "region/byteOffset")), 0x1002);
	EXPECT_EQ(json_integer_value(at(place, "region/byteLength")), 3);
	EXPECT_EQ(json_integer_value(at(place, "address/absoluteAddress")), 0x1002);
	EXPECT_EQ(string_at(json_object_get(at(result, "partialFingerprints"), "lychgate/v1"), ""),
		  "wrpkru 0x1002 build-id:abababababababababababababababababababab");
	char cwd[4096];
	ASSERT_NE(realpath(tree.path().c_str(), cwd), nullptr);
	EXPECT_EQ(string_at(json_object_get(at(doc, "runs/0/originalUriBaseIds"), "%SRCROOT%"),
			    "uri"),
		  std::string("file://") + cwd + "/");
}

TEST(Sarif, AbsoluteAndClimbingPathsBecomeFileUris)
{
	Tree tree;
	RunOptions options;
	options.cwd = tree.dir("sub");
	std::string elf = tree.file("a.so", elf_with(stray_code()));
	Json doc = sarif({elf, "../a.so"}, 1, options);
	char real[4096];
	ASSERT_NE(realpath(elf.c_str(), real), nullptr);
	for (const char *i : {"0", "1"}) {
		json_t *artifact =
			at(doc, std::string("runs/0/results/") + i +
					"/locations/0/physicalLocation/artifactLocation");
		EXPECT_EQ(string_at(artifact, "uri"), std::string("file://") + real);
		EXPECT_EQ(at(artifact, "uriBaseId"), nullptr);
	}
}

TEST(Sarif, SymbolIsALogicalLocation)
{
	Json doc = sarif({CLI_PLANTED}, 1);
	EXPECT_EQ(string_at(doc,
			    "runs/0/results/0/locations/0/logicalLocations/0/fullyQualifiedName"),
		  "planted_open");
}

TEST(Sarif, KnownFindingsAreSuppressedAndAcceptedOnesAreNotes)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(stray_code(), build_id));
	std::string baseline = tree.path("baseline");
	ASSERT_EQ(lychgate({"scan", "--baseline", baseline, "--update-baseline", elf}).exit_code,
		  0);
	Json doc = sarif({"--baseline", baseline, elf}, 0);
	EXPECT_EQ(string_at(doc, "runs/0/results/0/suppressions/0/kind"), "external");
	EXPECT_EQ(at(sarif({elf}, 1), "runs/0/results/0/suppressions"), nullptr);
	doc = sarif({"--fail-on", "syscall", elf}, 0);
	EXPECT_EQ(string_at(doc, "runs/0/results/0/level"), "note");
}

TEST(Sarif, DiagnosticsAreNotifications)
{
	Tree tree;
	std::string elf = tree.file("a.so", elf_with(stray_code()));
	Json doc = sarif({"/nonexistent/1", elf, "/nonexistent/2"}, 1);
	json_t *invocation = at(doc, "runs/0/invocations/0");
	ASSERT_EQ(json_array_size(at(invocation, "toolExecutionNotifications")), 2u);
	EXPECT_EQ(string_at(invocation, "toolExecutionNotifications/1/level"), "error");
	EXPECT_EQ(string_at(invocation, "toolExecutionNotifications/1/locations/0/physicalLocation/"
					"artifactLocation/uri"),
		  "file:///nonexistent/2");
	EXPECT_TRUE(json_is_false(at(invocation, "executionSuccessful")));
	EXPECT_EQ(json_integer_value(at(invocation, "exitCode")), 1);
}

TEST(Formats, AgreeOnFindingsAndExitCode)
{
	for (const std::vector<std::string> &args :
	     std::vector<std::vector<std::string>>{{CLI_PLANTED, CLI_ARCHIVE},
						   {"--fail-on", "syscall", CLI_PLANTED},
						   {"/nonexistent"}}) {
		std::vector<std::string> text = {"scan"};
		text.insert(text.end(), args.begin(), args.end());
		Outcome plain = lychgate(text);
		std::vector<std::string> jsonl = text;
		jsonl.insert(jsonl.begin() + 1, {"--format", "jsonl"});
		Outcome lines = lychgate(jsonl);
		Json doc = sarif(args, plain.exit_code);
		EXPECT_EQ(lines.exit_code, plain.exit_code);
		EXPECT_EQ(records(lines.out, "finding").size(), lines_of(plain.out).size());
		EXPECT_EQ(json_array_size(at(doc, "runs/0/results")), lines_of(plain.out).size());
		EXPECT_EQ(lines.err, plain.err);
	}
}
