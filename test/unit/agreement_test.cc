// SPDX-License-Identifier: Apache-2.0
// Zydis as a second opinion on every finding in this machine's libraries: wherever it decodes, the
// instructions shown around a finding have its lengths, and the part of the instruction that holds the
// sequence is the part it names. Rows of FACTS A5, where decoders differ, are listed here by their reason.
#include <Zydis/Zydis.h>
#include <gtest/gtest.h>
#include <lychgate/scan.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>

namespace fs = std::filesystem;

namespace
{

struct Tally {
	ZydisDecoder decoder;
	uint64_t findings = 0, instructions = 0, undecodable = 0, parts = 0;
	std::map<std::string, int> differ;
};

lych_part part_by_zydis(const ZydisDecodedInstruction &z, size_t at)
{
	const auto &raw = z.raw;
	if (raw.disp.size != 0 && at >= raw.disp.offset && at < raw.disp.offset + raw.disp.size / 8u) {
		return (z.attributes & ZYDIS_ATTRIB_IS_RELATIVE) && raw.modrm.offset != 0 && raw.modrm.mod == 0 &&
				       raw.modrm.rm == 5
			       ? LYCH_PART_RIPREL
			       : LYCH_PART_DISP;
	}
	for (const auto &imm : raw.imm) {
		if (imm.size != 0 && at >= imm.offset && at < imm.offset + imm.size / 8u) {
			return imm.is_relative ? LYCH_PART_REL : LYCH_PART_IMM;
		}
	}
	if ((z.attributes & ZYDIS_ATTRIB_HAS_MODRM) && at == raw.modrm.offset) {
		return LYCH_PART_MODRM;
	}
	if ((z.attributes & ZYDIS_ATTRIB_HAS_SIB) && at == raw.sib.offset) {
		return LYCH_PART_MODRM;
	}
	return LYCH_PART_NONE; /* prefix or opcode: Zydis has no field for where the opcode starts */
}

std::string hex(const lych_insn &insn)
{
	std::string out;
	char byte[4];
	for (size_t i = 0; i < insn.len; i++) {
		snprintf(byte, sizeof(byte), "%02x ", insn.bytes[i]);
		out += byte;
	}
	return out + insn.text;
}

int compare(void *ctx, const lych_finding *f)
{
	auto &tally = *static_cast<Tally *>(ctx);
	tally.findings++;
	/* Where nothing was placed the bytes are shown as an attacker would run them, or are data. */
	const bool placed = f->placement != LYCH_PLACE_UNDECIDED && f->placement != LYCH_PLACE_DATA;
	for (size_t i = 0; i < f->ninsns; i++) {
		const lych_insn &insn = f->insns[i];
		ZydisDecodedInstruction z;
		ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
		tally.instructions++;
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&tally.decoder, insn.bytes, insn.len, &z, operands))) {
			tally.undecodable++;
			if (placed && insn.hit && strcmp(insn.text, "(bad)") != 0 && f->cls != LYCH_WRPKRU_REX2) {
				tally.differ["only we decode: " + hex(insn)]++;
			}
			continue;
		}
		if (z.length != insn.len) {
			tally.differ["length: " + hex(insn)]++;
			continue;
		}
		if (!placed || f->placement != LYCH_PLACE_INSIDE || !insn.hit) {
			continue;
		}
		lych_part first = part_by_zydis(z, f->vaddr - insn.vaddr);
		lych_part last = part_by_zydis(z, f->vaddr + f->nbytes - 1 - insn.vaddr);
		auto low = [](lych_part p) { return p == LYCH_PART_PREFIX || p == LYCH_PART_OPCODE; };
		tally.parts++;
		if ((first == LYCH_PART_NONE ? !low(f->first_part) : first != f->first_part) ||
		    (last == LYCH_PART_NONE ? !low(f->last_part) : last != f->last_part)) {
			tally.differ["part: " + hex(insn) + " says " + lych_part_name(f->first_part) + ".." +
				     lych_part_name(f->last_part)]++;
		}
	}
	return 0;
}

} // namespace

TEST(Agreement, ZydisSeesTheSameInstructionsAroundEveryFindingInTheLibraries)
{
	Tally tally;
	lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	lych_scan_stats stats = {};
	uint64_t files = 0;

	ASSERT_TRUE(ZYAN_SUCCESS(
		ZydisDecoderInit(&tally.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)));
	opts.classes = LYCH_ALL_CLASSES;
	opts.finding = compare;
	opts.ctx = &tally;
	auto look = [&](const fs::directory_entry &entry) {
		std::error_code gone;
		if (!entry.is_symlink(gone) && entry.is_regular_file(gone)) {
			files += lych_scan_file(entry.path().c_str(), &opts, &stats) == 0;
		}
	};
	if (std::getenv("LYCH_LONG")) { // all programs and libraries; ordinarily those of one folder
		const auto options = fs::directory_options::skip_permission_denied;
		for (const auto &entry : fs::recursive_directory_iterator("/usr", options)) {
			look(entry);
		}
	} else {
		for (const auto &entry : fs::directory_iterator("/usr/lib/x86_64-linux-gnu")) {
			if (entry.path().filename().string().find(".so") != std::string::npos) {
				look(entry);
			}
		}
	}
	for (const auto &[what, times] : tally.differ) {
		ADD_FAILURE() << what << " (" << times << " times)";
	}
	printf("%lu files, %lu findings, %lu instructions compared, %lu that Zydis does not decode, %lu parts\n",
	       files, tally.findings, tally.instructions, tally.undecodable, tally.parts);
	EXPECT_GT(files, 5u);
	EXPECT_GT(tally.findings, 100u); /* at least libc's own system calls */
}
