// SPDX-License-Identifier: Apache-2.0
// What is planned for each class of stray: the bytes before, the kind of repair, and what stands there afterwards.
#include "repair_world.h"

namespace
{

constexpr uint64_t kBase = 0x10000000000;

struct Row {
	const char *name;
	const char *code; // decoded from its first byte; the first sequence in it is the one
	repair_kind kind;
	repair_route route;
	const char *after; // each edit, then the trampoline; addresses are relative to the code
};

std::ostream &operator<<(std::ostream &os, const Row &row)
{
	return os << row.code;
}

// 0x10001000010 is code+0x1000010: texts do not depend on where the world is.
std::string relative(std::string text)
{
	std::string out;
	for (size_t at; (at = text.find("0x100")) != std::string::npos;) {
		size_t end = at + 2;
		while (end < text.size() && isxdigit(text[end])) {
			end++;
		}
		uint64_t value = strtoull(text.c_str() + at, nullptr, 16);
		char buf[32];
		if (end - at >= 13) {
			snprintf(buf, sizeof(buf), "code+0x%llx", static_cast<unsigned long long>(value - kBase));
			out += text.substr(0, at) + buf;
		} else {
			out += text.substr(0, end);
		}
		text = text.substr(end);
	}
	return out + text;
}

std::string describe(const World &w, const repair_outcome &o)
{
	std::string out;
	for (size_t i = 0; i < o.nedits; i++) {
		const repair_edit &e = o.edits[i];
		char at[32];
		snprintf(at, sizeof(at), "+%llx: ", static_cast<unsigned long long>(e.vaddr - w.base));
		out += (i ? " | " : "") + std::string(at) + w.text(e.vaddr, e.new_bytes, e.len);
	}
	if (o.has_trampoline) {
		out += " => " + w.text(o.trampoline.vaddr, o.trampoline.code, o.trampoline.len);
	}
	return relative(out);
}

} // namespace

class RepairTable : public testing::TestWithParam<Row>
{
};

TEST_P(RepairTable, IsPlannedSo)
{
	const Row &row = GetParam();
	World w(kBase, hex(row.code));
	auto hits = w.hits(w.bytes);
	ASSERT_FALSE(hits.empty());
	repair_outcome o = w.plan_hit(hits[0]);
	EXPECT_STREQ(repair_kind_name(o.kind), repair_kind_name(row.kind)) << o.why;
	EXPECT_STREQ(repair_route_name(o.route), repair_route_name(row.route));
	EXPECT_EQ(o.kind == REPAIR_REFUSED ? o.why : describe(w, o), row.after);
	EXPECT_EQ(w.check(), nullptr) << w.check();
	if (o.kind != REPAIR_REFUSED) {
		EXPECT_LT(w.hits(w.repaired()).size(), hits.size());
	}
}

const Row kRows[] = {
#include "repair_rows.inc"
};

INSTANTIATE_TEST_SUITE_P(Classes, RepairTable, testing::ValuesIn(kRows),
			 [](const auto &test) { return std::string(test.param.name); });

// rol $15,%r15d; add %ebp,%edi: the sequence lies in both. A jump in place of the first one borrows a byte of the other.
TEST(RepairOfAPart, ChangesOnlyThatPart)
{
	const struct {
		uint64_t start, end;
		bool done;
	} parts[] = {{0, 5, true}, {0, 4, false}, {4, 16, true}, {0, 16, true}, {1, 5, false}, {6, 16, false}};
	for (const auto &part : parts) {
		SCOPED_TRACE(part.start);
		World w(kBase, hex("41 c1 c7 0f 01 ef 44 01 ff 89 f8 c3 cc cc cc cc"));
		w.options.only = {kBase + part.start, kBase + part.end};
		auto hits = w.hits(w.bytes);
		ASSERT_EQ(hits.size(), 1u);
		repair_outcome o = w.plan_hit(hits[0]);
		EXPECT_EQ(o.kind != REPAIR_REFUSED, part.done) << o.why;
		EXPECT_EQ(w.check(), nullptr) << w.check();
		for (size_t i = 0; i < o.nedits; i++) {
			EXPECT_GE(o.edits[i].vaddr, w.options.only.start);
			EXPECT_LE(o.edits[i].vaddr + o.edits[i].len, w.options.only.end);
		}
		EXPECT_EQ(w.hits(w.repaired()).empty(), part.done);
	}
}

// mov ax, 0xae0f | sub ch, dl | call: an XRSTOR across the first two, a WRPKRU with REX2 across the last two. sub's other
// encoding ends the second, but makes another XRSTOR, with another operand, of the first: the call is led elsewhere instead.
TEST(Repair, DoesNotChangeASequenceThatStays)
{
	const char behind[] = "28d5 e801ef0000 c3";
	World alone(kBase, hex(std::string("66b80f00") + behind));
	auto hits = alone.hits(alone.bytes);
	ASSERT_EQ(hits.size(), 1u);
	EXPECT_EQ(alone.plan_hit(hits[0]).kind, REPAIR_REENCODED);
	EXPECT_EQ(to_hex(alone.repaired().data() + 4, 2), "2a ea");

	World w(kBase, hex(std::string("66b80fae") + behind));
	hits = w.hits(w.bytes);
	ASSERT_EQ(hits.size(), 2u);
	ASSERT_EQ(w.plan_placed(hits[0], LYCH_PLACE_UNDECIDED, 0).kind, REPAIR_REFUSED);
	repair_outcome o = w.plan_hit(hits[1]);
	EXPECT_EQ(o.kind, REPAIR_RETARGETED) << o.why;
	EXPECT_EQ(w.check(), nullptr) << w.check();
	const Bytes after = w.repaired();
	EXPECT_EQ(to_hex(after.data() + 2, 3), "0f ae 28");
	ASSERT_EQ(w.hits(after).size(), 1u);
	EXPECT_EQ(w.hits(after)[0].core, hits[0].core);
}

// What takes the place of an instruction in a trampoline can be longer than it: with many prefixes longer than the 15 bytes
// that the CPU takes.
TEST(Repair, MakesNoInstructionThatIsTooLong)
{
	const char *const codes[] = {"0fae28",         "0fae2d11223344",   "8b830fae2800",         "89830fae2800",
				     "8b440f01ef",     "c7830fae280011223344", "81830fae280011223344", "81c10fae2800",
				     "69830fae280011223344", "ff930fae2800",     "c5f858830fae2800",   "ffa30fae2800"};
	int repaired = 0, refused = 0;
	for (const char *code : codes) {
		const Bytes insn = hex(code);
		for (size_t prefixes = 0; prefixes + insn.size() <= 15; prefixes++) {
			Bytes bytes(prefixes, 0x36);
			bytes.insert(bytes.end(), insn.begin(), insn.end());
			bytes.insert(bytes.end(), 8, 0x90);
			World w(kBase, bytes);
			auto hits = w.hits(w.bytes);
			if (hits.empty()) {
				continue;
			}
			(w.plan_hit(hits[0]).kind == REPAIR_REFUSED ? refused : repaired)++;
			EXPECT_EQ(w.check(), nullptr) << code << " behind " << prefixes << " prefixes: " << w.check();
		}
	}
	EXPECT_GT(repaired, 50);
	EXPECT_GT(refused, 0);
}
