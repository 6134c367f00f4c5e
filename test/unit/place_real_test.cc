// SPDX-License-Identifier: Apache-2.0
// Placements in the libraries of this machine: strays that are known by name, and whether decoding without any
// anchor agrees with decoding from unwind information.
#include <gtest/gtest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>
#include <string>

#include "code_memory.h"

namespace {

class Image {
public:
	explicit Image(const std::string &path)
	{
		struct stat st;
		const char *why;
		int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			return;
		}
		if (fstat(fd, &st) == 0) {
			bytes_.resize(static_cast<size_t>(st.st_size));
			if (pread(fd, bytes_.data(), bytes_.size(), 0) == st.st_size) {
				struct source src = source_from_memory(bytes_.data(), bytes_.size());
				open_ = elf_open(&elf_, &src, &why) == 0;
			}
		}
		close(fd);
	}
	~Image()
	{
		if (open_) {
			elf_close(&elf_);
		}
	}
	Image(const Image &) = delete;
	Image &operator=(const Image &) = delete;

	bool is_open() const
	{
		return open_;
	}
	std::string build_id() const
	{
		std::string text;
		for (char c : hex_of(elf_.build_id, elf_.build_id_len)) {
			if (c != ' ') {
				text += c;
			}
		}
		return text;
	}
	struct elf_where where(uint64_t vaddr)
	{
		struct elf_where answer;
		(elf_where)(&elf_, vaddr, &answer);
		return answer;
	}
	struct code code()
	{
		return {read, &elf_};
	}
	struct placement place(uint64_t vaddr, enum lych_class cls, bool with_anchors = true)
	{
		struct hit hit = make_hit(vaddr, cls);
		struct elf_where known = where(vaddr);
		struct code memory = code();
		struct placement placement;
		place_hit(&placement, &hit, with_anchors ? &known : nullptr, &memory);
		return placement;
	}
	// The executable segment, by address.
	void text(uint64_t *start, uint64_t *end) const
	{
		*start = *end = 0;
		for (size_t i = 0; i < elf_.nphdrs; i++) {
			const Elf64_Phdr &ph = elf_.phdrs[i];
			if (ph.p_type == PT_LOAD && (ph.p_flags & PF_X) && ph.p_filesz > *end - *start) {
				*start = ph.p_vaddr;
				*end = ph.p_vaddr + ph.p_filesz;
			}
		}
	}

private:
	static size_t read(void *ctx, uint64_t vaddr, void *buf, size_t len)
	{
		return elf_read_vaddr(static_cast<struct elf *>(ctx), vaddr, buf, len);
	}

	std::vector<uint8_t> bytes_;
	struct elf elf_ = {};
	bool open_ = false;
};

const std::string lib = "/usr/lib/x86_64-linux-gnu/";

struct Stray {
	const char *name;
	const char *file;
	const char *build_id;
	uint64_t vaddr;
	enum lych_class cls;
	enum lych_placement placement;
	enum lych_part part;
};

std::ostream &operator<<(std::ostream &os, const Stray &stray)
{
	return os << stray.file;
}

class NamedStray : public testing::TestWithParam<Stray> {};

TEST_P(NamedStray, IsPlacedRightly)
{
	Image image(lib + GetParam().file);
	if (!image.is_open()) {
		GTEST_SKIP() << GetParam().file << " is not installed";
	}
	if (image.build_id() != GetParam().build_id) {
		GTEST_SKIP() << GetParam().file << " is another build: " << image.build_id();
	}
	struct placement placement = image.place(GetParam().vaddr, GetParam().cls);
	EXPECT_EQ(placement.placement, GetParam().placement) << placement.why;
	EXPECT_EQ(placement.first_part, GetParam().part);
	EXPECT_EQ(placement.last_part, GetParam().part);
	EXPECT_STREQ(placement.why, "");

	// and no anchor is needed to see it
	struct placement blind = image.place(GetParam().vaddr, GetParam().cls, false);
	EXPECT_EQ(blind.placement, placement.placement);
	EXPECT_EQ(blind.insn_vaddr, placement.insn_vaddr);
}

const Stray strays[] = {
	// rol $0xf,%r15d and add %ebp,%edi
	{"NettleSha3First", "libnettle.so.8.6", "df9d509c9055db57df09603aab0fc4c66ad2837c", 0x27a71, LYCH_WRPKRU,
	 LYCH_PLACE_SPANNING, LYCH_PART_NONE},
	{"NettleSha3Second", "libnettle.so.8.6", "df9d509c9055db57df09603aab0fc4c66ad2837c", 0x27dd9, LYCH_WRPKRU,
	 LYCH_PLACE_SPANNING, LYCH_PART_NONE},
	// call rel32
	{"Gnat", "libgnat-12.so", "918a605584a06871a68ee1f054b2afbb585f646f", 0x24d86d, LYCH_WRPKRU,
	 LYCH_PLACE_INSIDE, LYCH_PART_REL},
};

INSTANTIATE_TEST_SUITE_P(Place, NamedStray, testing::ValuesIn(strays),
			 [](const auto &row) { return std::string(row.param.name); });

TEST(NamedStrays, LibcryptoCallRel32)
{
	Image image(lib + "libcrypto.so.3");
	uint8_t bytes[3] = {};
	struct code code = image.code();
	if (!image.is_open() || !code_bytes(&code, 0x1de66d, bytes, sizeof(bytes)) || bytes[0] != 0x0f ||
	    !((bytes[1] == 0x01 && bytes[2] == 0xef) || bytes[1] == 0xae)) {
		GTEST_SKIP() << "libcrypto.so.3 is not that of libssl3 3.0.22-1~deb12u2";
	}
	struct placement placement = image.place(0x1de66d, bytes[1] == 0x01 ? LYCH_WRPKRU : LYCH_XRSTOR);
	EXPECT_EQ(placement.placement, LYCH_PLACE_INSIDE) << placement.why;
	EXPECT_EQ(placement.first_part, LYCH_PART_REL);
}

class Blind : public testing::TestWithParam<const char *> {};

// Unwind information is written by the compiler and so is the truth; memory without any must be placed the same or
// be undecided.
TEST_P(Blind, DecodingAgreesWithUnwindInformation)
{
	Image image(lib + GetParam());
	if (!image.is_open()) {
		GTEST_SKIP() << GetParam() << " is not installed";
	}
	const uint32_t seed = 11;
	std::mt19937_64 random(seed);
	uint64_t start, end;
	image.text(&start, &end);
	ASSERT_LT(start, end);
	int compared = 0, wrong = 0, undecided = 0, unplaced = 0;
	for (int i = 0; i < 4000; i++) {
		uint64_t vaddr = start + random() % (end - start);
		struct elf_where where = image.where(vaddr);
		if (!where.in_fde) {
			continue;
		}
		// the bytes there are no sequence, but they stand somewhere all the same
		struct placement truth = image.place(vaddr, LYCH_WRPKRU);
		unplaced += truth.placement == LYCH_PLACE_UNDECIDED;
		struct placement blind = image.place(vaddr, LYCH_WRPKRU, false);
		compared++;
		if (blind.placement == LYCH_PLACE_UNDECIDED) {
			undecided++;
		} else if (blind.insn_vaddr != truth.insn_vaddr || blind.placement != truth.placement ||
			   blind.first_part != truth.first_part || blind.last_part != truth.last_part) {
			wrong++;
		}
	}
	printf("%s: %d places (seed %u): %d undecided, %d wrong without anchors; %d undecided with them\n", GetParam(),
	       compared, seed, undecided, wrong, unplaced);
	EXPECT_GT(compared, 100);
	EXPECT_LE(wrong, compared / 200);
	EXPECT_LE(undecided, compared / 20);
	EXPECT_LE(unplaced, compared / 1000);
}

INSTANTIATE_TEST_SUITE_P(Place, Blind,
			 testing::Values("libc.so.6", "libcrypto.so.3", "libstdc++.so.6", "libm.so.6", "libgnat-12.so",
					 "libnettle.so.8.6", "ld-linux-x86-64.so.2"));

} // namespace
