// SPDX-License-Identifier: Apache-2.0
// The layout decoder: a table with a name per row, and agreement with Zydis over the code of this machine's
// libraries and over random bytes.
#include <Zydis/Zydis.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <elf.h>
#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "hex.h"

extern "C" {
#include "insn.h"
}

namespace {

// ---- the table -----------------------------------------------------------------------------

struct Row {
	const char *name;
	const char *code;
	const char *parts; // one letter per byte: p prefix, o opcode, m ModRM/SIB, d disp, r RIP-relative, i imm, b
			   // branch; "" invalid
};

std::ostream &operator<<(std::ostream &os, const Row &row)
{
	return os << row.code;
}

char letter_of(enum lych_part part)
{
	switch (part) {
	case LYCH_PART_PREFIX: return 'p';
	case LYCH_PART_OPCODE: return 'o';
	case LYCH_PART_MODRM: return 'm';
	case LYCH_PART_DISP: return 'd';
	case LYCH_PART_RIPREL: return 'r';
	case LYCH_PART_IMM: return 'i';
	case LYCH_PART_REL: return 'b';
	default: return '?';
	}
}

std::string parts_of(const std::vector<uint8_t> &code)
{
	struct insn in;
	std::string parts;
	if (!insn_decode(&in, code.data(), code.size())) {
		return "";
	}
	for (size_t i = 0; i < in.len; i++) {
		parts += letter_of(insn_part(&in, i));
	}
	return parts;
}

class Layout : public testing::TestWithParam<Row> {};

TEST_P(Layout, IsAsTheTableSays)
{
	std::vector<uint8_t> code = hex(GetParam().code);
	EXPECT_EQ(parts_of(code), GetParam().parts);
}

TEST_P(Layout, NeedsAllItsBytes)
{
	std::vector<uint8_t> code = hex(GetParam().code);
	size_t whole = strlen(GetParam().parts);
	for (size_t len = 0; len < whole; len++) {
		// exactly len bytes, so that a sanitizer sees a read beyond them
		std::vector<uint8_t> cut(code.begin(), code.begin() + len);
		cut.shrink_to_fit();
		struct insn in;
		EXPECT_FALSE(insn_decode(&in, cut.data(), cut.size())) << len;
	}
}

const Row rows[] = {
	{"Ret", "c3", "o"},
	{"AddEbpEdi", "01 ef", "om"},
	{"MovAbs", "48 b8 01 02 03 04 05 06 07 08", "poiiiiiiii"},
	{"MovImm32", "b8 01 02 03 04", "oiiii"},
	{"MovImm16", "66 b8 01 02", "poii"},
	{"RexWBeats66", "66 48 81 c0 01 02 03 04", "ppomiiii"},
	{"RexBefore66IsIgnored", "48 66 b8 01 02", "ppoii"},
	{"Moffs64", "a1 01 02 03 04 05 06 07 08", "odddddddd"},
	{"Moffs32", "67 a1 01 02 03 04", "podddd"},
	{"PushImm16", "66 68 01 02", "poii"},
	{"Enter", "c8 01 02 03", "oiii"},
	{"RetImm", "c2 01 02", "oii"},
	{"CallRel32", "e8 00 0f 01 ef", "obbbb"},
	{"CallRel32With66IsStillRel32", "66 e8 00 00 00 00", "pobbbb"},
	{"JmpRel8", "eb 0f", "ob"},
	{"JzRel32", "0f 84 01 02 03 04", "oobbbb"},
	{"Jrcxz67", "67 e3 01", "pob"},
	{"Xbegin", "c7 f8 01 02 03 04", "ombbbb"},
	{"Xbegin66", "66 c7 f8 01 02", "pombb"},
	{"Xabort", "c6 f8 01", "omi"},
	{"TestF6", "f6 00 11", "omi"},
	{"TestF6Alias", "f6 08 11", "omi"},
	{"NotF6", "f6 10", "om"},
	{"TestF7", "f7 c0 00 02 00 00", "omiiii"},
	{"TestF7Word", "66 f7 c0 00 02", "pomii"},
	{"NegF7", "f7 d8", "om"},
	{"Sib", "8b 04 8b", "omm"},
	{"SibNoBase", "8b 04 25 01 02 03 04", "ommdddd"},
	{"SibDisp8", "8b 44 24 08", "ommd"},
	{"Disp32", "8b 80 01 02 03 04", "omdddd"},
	{"RipRelative", "8b 05 01 02 03 04", "omrrrr"},
	{"RipRelativeAndImm", "81 05 01 02 03 04 05 06 07 08", "omrrrriiii"},
	{"RipRelativeWith67", "67 8b 05 01 02 03 04", "pomrrrr"},
	{"ImulImm8", "6b c0 0f", "omi"},
	{"MovCrIgnoresMod", "0f 20 04", "oom"},
	{"Bswap", "0f c8", "oo"},
	{"Wrpkru", "0f 01 ef", "oom"},
	{"Wrpkru66", "66 0f 01 ef", "poom"},
	{"Stui", "f3 0f 01 ef", "poom"},
	{"WrpkruRex2", "d5 80 01 ef", "ppom"},
	{"WrpkruRex2HighPayload", "d5 ff 01 ef", "ppom"},
	{"Rex2Map0", "d5 08 01 ef", "ppom"},
	{"Xrstor", "0f ae 6c 24 40", "oommd"},
	{"Xrstor64RipRelative", "48 0f ae 2d 01 02 03 04", "poomrrrr"},
	{"Lfence", "0f ae e8", "oom"},
	{"Incsspd", "f3 0f ae e8", "poom"},
	{"Wrfsbase", "f3 48 0f ae d0", "ppoom"},
	{"WrfsbaseRex2", "f3 d5 88 ae d0", "pppom"},
	{"Pshufb", "0f 38 00 c1", "ooom"},
	{"Palignr", "66 0f 3a 0f c1 08", "pooomi"},
	{"Now3d", "0f 0f c1 9e", "oomi"},
	{"Ud0HasModrm", "0f ff 05 01 02 03 04", "oomrrrr"},
	{"Ud1HasModrm", "0f b9 40 01", "oomd"},
	{"Ud2", "0f 0b", "oo"},
	{"Extrq", "66 0f 78 c0 01 02", "poomii"},
	{"Insertq", "f2 0f 78 c1 01 02", "poomii"},
	{"Vmread", "0f 78 c1", "oom"},
	{"Vzeroupper", "c5 f8 77", "ppo"},
	{"Vex2", "c5 f8 58 44 24 10", "ppommd"},
	{"Vex3Imm", "c4 e3 7d 0f c1 04", "pppomi"},
	{"VexIs4", "c4 e3 71 4a c2 30", "pppomi"},
	{"Evex", "62 f1 7c 48 58 05 01 02 03 04", "ppppomrrrr"},
	{"EvexImm", "62 f3 7d 48 0f 40 01 04", "ppppomdi"},
	{"EvexApxAddImm", "62 f4 7c 08 81 c0 01 02 03 04", "ppppomiiii"},
	{"EvexApxAddImm16", "62 f4 7d 08 81 c0 01 02", "ppppomii"},
	{"EvexApxMap4IsNoWrpkru", "62 f4 7c 08 01 ef", "ppppom"},
	{"XopImm8", "8f e8 78 c0 c1 03", "pppomi"},
	{"XopBextrImm32", "8f ea 78 10 c1 01 02 03 04", "pppomiiii"},
	{"PopIsNotXop", "8f 00", "om"},
	{"JmpAbs", "d5 00 a1 01 02 03 04 05 06 07 08", "ppoiiiiiiii"},
	{"FifteenBytes", "2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 05 01 02 03 04", "ppppppppppoiiii"},
	{"SixteenBytesAreTooMany", "2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 05 01 02 03 04", ""},
	{"LockXadd", "f0 0f c1 07", "poom"},
	{"LockMov", "f0 89 07", ""},
	{"LockAddRegister", "f0 01 ef", ""},
	{"RexThenRex2", "48 d5 80 01 ef", ""},
	{"RexThenVex", "48 c5 f8 58 c0", ""},
	{"OpsizeThenEvex", "66 62 f1 7c 48 58 c0", ""},
	{"Rex2Xrstor", "d5 80 ae 28", ""},
	{"Rex2Jcc", "d5 80 84 01 02 03 04", ""},
	{"Rex2Escape", "d5 00 0f 01 ef", ""},
	{"VexMap1Xrstor", "c5 f8 ae 28", "ppom"},
	{"VexMap1Wrpkru", "c5 f8 01 ef", ""},
	{"EvexMap1Wrpkru", "62 f1 7c 08 01 ef", ""},
	{"LeaRegister", "8d c0", ""},
	{"MovToCs", "8e c8", ""},
	{"FarCallRegister", "ff d8", ""},
	{"GroupFfSeven", "ff ff", ""},
	{"PopcntWithoutF3", "0f b8 c1", ""},
	{"PopcntWithF3", "f3 0f b8 c1", "poom"},
	{"Rdfsbase", "f3 0f ae c0", "poom"},
	{"RdfsbaseWithoutF3", "0f ae c0", ""},
	{"Endbr64", "f3 0f 1e fa", "poom"},
};

std::string row_name(const testing::TestParamInfo<Row> &info)
{
	return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Insn, Layout, testing::ValuesIn(rows), row_name);

class InvalidIn64Bit : public testing::TestWithParam<int> {};

TEST_P(InvalidIn64Bit, OneByteOpcode)
{
	std::vector<uint8_t> code(20, 0);
	code[0] = static_cast<uint8_t>(GetParam());
	EXPECT_EQ(parts_of(code), "");
	code.insert(code.begin(), 0x48); // nor with REX
	EXPECT_EQ(parts_of(code), "");
}

INSTANTIATE_TEST_SUITE_P(Insn, InvalidIn64Bit,
			 testing::Values(0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60,
					 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xd6, 0xea));

class InvalidIn0f : public testing::TestWithParam<int> {};

TEST_P(InvalidIn0f, TwoByteOpcode)
{
	std::vector<uint8_t> code(20, 0);
	code[0] = 0x0f;
	code[1] = static_cast<uint8_t>(GetParam());
	EXPECT_EQ(parts_of(code), "");
}

INSTANTIATE_TEST_SUITE_P(Insn, InvalidIn0f,
			 testing::Values(0x04, 0x0a, 0x0c, 0x24, 0x25, 0x26, 0x27, 0x36, 0x39, 0x3b, 0x3c, 0x3d,
					 0x3e, 0x3f, 0x7a, 0x7b));

TEST(Insn, FailureLeavesTheResultAlone)
{
	struct insn in;
	memset(&in, 0x5a, sizeof(in));
	const uint8_t bad[] = {0x06};
	EXPECT_FALSE(insn_decode(&in, bad, sizeof(bad)));
	EXPECT_EQ(in.len, 0x5a);
}

// ---- agreement with Zydis ------------------------------------------------------------------

class Agreement {
public:
	Agreement()
	{
		ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	}

	// Compares at code and returns by how much to go on.
	size_t compare(const uint8_t *code, size_t len)
	{
		ZydisDecodedInstruction theirs;
		struct insn ours;
		bool our_ok = insn_decode(&ours, code, len);
		ZyanStatus status = ZydisDecoderDecodeInstruction(&decoder_, nullptr, code, len, &theirs);

		if (ZYAN_SUCCESS(status)) {
			both++;
			if (!our_ok) {
				const char *reason = why_not_ours(theirs);
				if (reason != nullptr) {
					rejected[reason]++;
					return theirs.length;
				}
				fail("Zydis decodes, we do not", code, theirs.length);
				return theirs.length;
			}
			check(ours, theirs, code);
			return ours.len;
		}
		if (our_ok) {
			const char *reason = why_not_theirs(ours, status);
			if (reason == nullptr) {
				fail("we decode, Zydis does not", code, ours.len);
				return ours.len;
			}
			accepted[reason]++;
			accepted_total++;
			return ours.len;
		}
		return 1;
	}

	uint64_t both = 0, accepted_total = 0, failures = 0;
	std::map<std::string, uint64_t> accepted, rejected; // by reason

private:
	void fail(const std::string &what, const uint8_t *code, size_t len)
	{
		if (failures++ < 20) {
			ADD_FAILURE() << what << ": " << hex_of(code, len);
		}
	}

	void check(const struct insn &o, const ZydisDecodedInstruction &z, const uint8_t *code)
	{
		unsigned imm_bytes = 0, imm_off = 0;
		for (const auto &imm : z.raw.imm) {
			if (imm.size != 0) {
				imm_off = imm_off == 0 ? imm.offset : imm_off;
				imm_bytes += imm.size / 8;
			}
		}
		unsigned disp_bytes = z.raw.disp.size / 8;
		bool modrm = (z.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
		bool sib = (z.attributes & ZYDIS_ATTRIB_HAS_SIB) != 0;
		bool is_3dnow = z.encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW;
		// Zydis does not count the opcode suffix of 3DNow! as an immediate
		if (is_3dnow && imm_bytes == 0) {
			imm_bytes = o.imm_len;
			imm_off = o.imm_off;
		}
		if (o.len != z.length || o.disp_len != disp_bytes ||
		    (disp_bytes != 0 && o.disp_off != z.raw.disp.offset) || o.imm_len != imm_bytes ||
		    (imm_bytes != 0 && o.imm_off != imm_off) || o.has_modrm != modrm ||
		    (modrm && o.modrm_off != z.raw.modrm.offset) || (o.sib_len != 0) != sib) {
			fail(std::string("layout of ") + ZydisMnemonicGetString(z.mnemonic), code, z.length);
		}
		if (!is_3dnow && o.opcode != z.opcode) {
			fail("opcode", code, z.length);
		}
	}

	// What Zydis decodes and we do not, on purpose.
	static const char *why_not_ours(const ZydisDecodedInstruction &z)
	{
		if (z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && z.opcode_map == ZYDIS_OPCODE_MAP_0F &&
		    (z.opcode == 0x84 || z.opcode == 0x85 || z.opcode == 0xb8 || z.opcode == 0xbc ||
		     z.opcode == 0xbd)) {
			return "Knights Corner only (JKZD, JKNZD, VEX forms of POPCNT and TZCNT)";
		}
		return nullptr;
	}

	// What we decode and Zydis does not, on purpose (insn.h): each is #UD for a reason beyond the opcode, or
	// newer than Zydis 4.0. nullptr: nothing excuses it.
	static const char *why_not_theirs(const struct insn &o, ZyanStatus status)
	{
		if (o.encoding == INSN_REX2) {
			return "REX2, newer than Zydis 4.0";
		}
		if (o.encoding == INSN_EVEX && (o.map == 4 || o.map == 7)) {
			return "EVEX map 4 or 7 (APX), newer than Zydis 4.0";
		}
		if (o.encoding == INSN_VEX || o.encoding == INSN_EVEX || o.encoding == INSN_XOP) {
			return "a VEX, EVEX or XOP payload with which the opcode is #UD";
		}
		if (status == ZYDIS_STATUS_BAD_REGISTER) {
			return "a register that does not exist";
		}
		if (status == ZYDIS_STATUS_ILLEGAL_LOCK) {
			bool cr = o.map == 1 && (o.opcode == 0x20 || o.opcode == 0x22);
			bool ours = o.map == 1 && (o.opcode == 0x01 || o.opcode == 0xae);
			return cr ? "LOCK MOV CR, an AMD form" : ours ? "LOCK before WRPKRU or XRSTOR" : nullptr;
		}
		if (o.map != 0 && status == ZYDIS_STATUS_DECODING_ERROR) {
			return "0F maps: a mandatory prefix or ModRM with which the opcode is #UD";
		}
		return nullptr;
	}

	ZydisDecoder decoder_;
};

void print(const char *where, const Agreement &a)
{
	printf("%s: %llu compared, %llu only ours\n", where, static_cast<unsigned long long>(a.both),
	       static_cast<unsigned long long>(a.accepted_total));
	for (const auto &reason : a.accepted) {
		printf("    ours, not theirs: %8llu %s\n", static_cast<unsigned long long>(reason.second),
		       reason.first.c_str());
	}
	for (const auto &reason : a.rejected) {
		printf("    theirs, not ours: %8llu %s\n", static_cast<unsigned long long>(reason.second),
		       reason.first.c_str());
	}
}

TEST(InsnAgreesWithZydis, OnRandomBytes)
{
	const uint32_t seed = 20240611;
	printf("seed %u\n", seed);
	std::mt19937 random(seed);
	Agreement a;
	uint8_t code[24];
	for (int i = 0; i < 3000000; i++) {
		for (uint8_t &b : code) {
			b = static_cast<uint8_t>(random());
		}
		// a third each: anything, 0F maps behind a prefix or two, vector prefixes
		if (i % 3 == 1) {
			static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0x48, 0x41, 0x67, 0xf0, 0x2e};
			size_t at = 0;
			for (unsigned n = random() % 3; n > 0; n--) {
				code[at++] = prefixes[random() % sizeof(prefixes)];
			}
			code[at++] = 0x0f;
			unsigned escape = random() % 4;
			if (escape < 2) {
				code[at] = escape == 0 ? 0x38 : 0x3a;
			}
		} else if (i % 3 == 2) {
			static const uint8_t prefixes[] = {0xc4, 0xc5, 0x62, 0x8f, 0x62};
			code[0] = prefixes[random() % sizeof(prefixes)];
			if (code[0] == 0xc4) {
				code[1] = static_cast<uint8_t>((code[1] & 0xe0) | (1 + random() % 3));
			} else if (code[0] == 0x8f) {
				code[1] = static_cast<uint8_t>((code[1] & 0xe0) | (8 + random() % 3));
			} else if (code[0] == 0x62) {
				code[1] = static_cast<uint8_t>((code[1] & 0xf0) | (1 + random() % 6));
				code[2] |= 4;
			}
		}
		a.compare(code, sizeof(code));
	}
	print("random bytes", a);
	EXPECT_EQ(a.failures, 0u);
	EXPECT_GT(a.both, 1000000u);
	// most of the bytes were made to look like vector instructions, of which many payloads are #UD
	EXPECT_LT(a.accepted_total, a.both / 3);
}

// The executable PT_LOAD bytes that lie in a section .text, at most limit of them.
std::vector<uint8_t> text_of(const std::string &path, size_t limit)
{
	std::vector<uint8_t> text;
	int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return text;
	}
	Elf64_Ehdr eh;
	if (pread(fd, &eh, sizeof(eh), 0) == static_cast<ssize_t>(sizeof(eh)) &&
	    memcmp(eh.e_ident, ELFMAG, SELFMAG) == 0 && eh.e_shentsize == sizeof(Elf64_Shdr)) {
		std::vector<Elf64_Shdr> shdrs(eh.e_shnum);
		size_t bytes = shdrs.size() * sizeof(Elf64_Shdr);
		if (pread(fd, shdrs.data(), bytes, static_cast<off_t>(eh.e_shoff)) == static_cast<ssize_t>(bytes)) {
			for (const Elf64_Shdr &sh : shdrs) {
				if ((sh.sh_flags & SHF_EXECINSTR) && sh.sh_type == SHT_PROGBITS &&
				    sh.sh_size > text.size()) {
					text.resize(std::min<size_t>(sh.sh_size, limit));
					ssize_t got =
						pread(fd, text.data(), text.size(), static_cast<off_t>(sh.sh_offset));
					text.resize(got > 0 ? static_cast<size_t>(got) : 0);
				}
			}
		}
	}
	close(fd);
	return text;
}

TEST(InsnAgreesWithZydis, OnTheCodeOfThisMachinesLibraries)
{
	const std::string dir = "/usr/lib/x86_64-linux-gnu/";
	const struct {
		std::string path;
		size_t limit;
	} files[] = {
		{dir + "libc.so.6", 4 << 20},           {dir + "libcrypto.so.3", 6 << 20},
		{dir + "libLLVM-14.so.1", 4 << 20},     {dir + "libgnat-12.so", 4 << 20},
		{dir + "libstdc++.so.6", 2 << 20},      {dir + "libm.so.6", 1 << 20},
		{dir + "libavcodec.so.59", 4 << 20},    {dir + "libdav1d.so.6", 2 << 20},
		{dir + "libx265.so.199", 4 << 20},      {dir + "libgmp.so.10", 1 << 20},
		{dir + "libnettle.so.8", 1 << 20},      {"/proc/self/exe", 1 << 20},
	};
	Agreement a;
	size_t bytes = 0;
	for (const auto &file : files) {
		std::vector<uint8_t> text = text_of(file.path, file.limit);
		bytes += text.size();
		for (size_t at = 0; at < text.size() && text.size() - at >= LYCH_SEQUENCE_MAX;) {
			at += a.compare(text.data() + at, text.size() - at);
		}
	}
	printf("%zu bytes\n", bytes);
	print("libraries", a);
	EXPECT_EQ(a.failures, 0u);
	EXPECT_GT(a.both, 200000u);
	// in tables between functions, where both decode what is no code
	EXPECT_LT(a.accepted_total, a.both / 2000);
}

} // namespace
