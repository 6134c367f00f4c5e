// SPDX-License-Identifier: Apache-2.0
// Code of library domains (G3, G4): what is admitted is scanned, repaired, executable under its key and nothing else, and does
// what it did. In the PKU machine with a key.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <lychgate/scan.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

#include "code_copy.h"
#include "in_child.h"

using testing::HasSubstr;

namespace
{

int some_key()
{
	static int key = getenv("LYCH_REQUIRE_PKU") != nullptr ? static_cast<int>(syscall(SYS_pkey_alloc, 0, 0)) : -1;
	return key;
}

// What another scanner finds harmful in code of a domain: of liblychscan, which shares no state with the runtime.
uint64_t strays(const void *code, size_t bytes, uint64_t vaddr, uint32_t classes = LYCH_POLICY_DOMAIN)
{
	struct lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	struct lych_scan_stats stats = {};
	opts.classes = classes;
	opts.flags = LYCH_SCAN_RAW | LYCH_SCAN_NO_GATES;
	opts.raw_vaddr = vaddr;
	EXPECT_EQ(lych_scan_buffer(code, bytes, &opts, &stats), 0);
	uint64_t n = 0;
	for (int cls = 0; cls < LYCH_CLASS_COUNT; cls++) {
		n += stats.count[LYCH_VERDICT_STRAY][cls] + stats.count[LYCH_VERDICT_RUNTIME][cls];
	}
	return n;
}

uint64_t strays(const Copy &copy)
{
	uint64_t n = strays(copy.at(), copy.arg.bytes, copy.arg.at);
	return copy.arg.room_used == 0
		       ? n
		       : n + strays(reinterpret_cast<const void *>(copy.arg.room), copy.arg.room_used, copy.arg.room);
}

uint64_t strays(const Bytes &code)
{
	return strays(code.data(), code.size(), 0x10000);
}

// All of [start, end) is mapped so, and not with another key.
void expect_mapped(uint64_t start, uint64_t end, const char *perms, int key)
{
	uint64_t at = start;
	for (const Seen &seen : mappings_in(start, end)) {
		EXPECT_LE(seen.start, at);
		EXPECT_EQ(seen.perms, perms) << std::hex << seen.start;
		EXPECT_EQ(seen.key, key < 0 ? 0 : key) << std::hex << seen.start;
		at = seen.end;
	}
	EXPECT_GE(at, end);
}

const std::string libs = "/usr/lib/x86_64-linux-gnu/";

std::vector<std::string> libraries()
{
	std::vector<std::string> out;
	for (const char *name : {"ld-linux-x86-64.so.2", "libc.so.6", "libz.so.1", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6",
				 "libcrypto.so.3", "libnettle.so.8", "libpng16.so.16"}) {
		for (const std::string &folder : {libs, std::string("/lib/x86_64-linux-gnu/")}) {
			if (access((folder + name).c_str(), R_OK) == 0) {
				out.push_back(folder + name);
				break;
			}
		}
	}
#ifdef LYCH_DEBIAN13
	for (const char *name : {"ld-linux-x86-64.so.2", "libc.so.6"}) {
		if (access((LYCH_DEBIAN13 + libs + name).c_str(), R_OK) == 0) { // not in the machine
			out.push_back(LYCH_DEBIAN13 + libs + name);
		}
	}
#endif
	return out;
}

// So many bytes of NOPs with code at their end.
Bytes behind_nops(size_t n, const Bytes &code)
{
	Bytes out;
	for (size_t i = 0; i < n + code.size(); i++) {
		out.push_back(i < n ? 0x90 : code[i - n]);
	}
	return out;
}

} // namespace

TEST(AdmittedCode, OfRealLibrariesIsItselfButForItsRepair)
{
	size_t changed_files = 0;
	for (const std::string &library : libraries()) {
		SCOPED_TRACE(library);
		FileCopy file(library);
		ASSERT_FALSE(file.text.empty());
		Copy copy(file.text, some_key());
		file.describe(copy);
		ASSERT_EQ(copy.admit(), 0) << lych_why();
		EXPECT_EQ(strays(file.text) > 0, !copy.told.empty());
		EXPECT_EQ(strays(copy), 0u);
		for (const Told &told : copy.told) {
			EXPECT_NE(told.done, "left") << told.why;
			EXPECT_EQ(told.path, library);
		}
		size_t changed = 0;
		for (size_t i = 0; i < file.text.size(); i++) {
			if (copy.at()[i] != file.text[i]) {
				bool near = false;
				for (const Told &told : copy.told) {
					near = near || copy.arg.at + i + 64 - told.address < 128;
				}
				EXPECT_TRUE(near) << std::hex << i;
				changed++;
			}
		}
		EXPECT_LE(changed, 20 * copy.told.size());
		changed_files += changed > 0;
		EXPECT_EQ(copy.arg.nno_exec, 0u);
		expect_mapped(copy.arg.at, copy.arg.at + copy.arg.bytes, "r-xp", copy.arg.key);
		if (copy.arg.room_used != 0) {
			expect_mapped(copy.arg.room, copy.arg.room + copy.arg.room_used, "r-xp", copy.arg.key);
		}
		expect_mapped(copy.arg.at + copy.arg.bytes, copy.arg.at + copy.arg.bytes + kPage, "---p", copy.arg.key);
	}
	EXPECT_GE(changed_files, 2u) << "libc and ld.so hold something to repair";
}

TEST(AdmittedCode, OfGlibcTrapsAndChecks)
{
	for (const std::string &library : libraries()) {
		SCOPED_TRACE(library);
		bool libc = library.find("/libc.so.6") != std::string::npos;
		if (!libc && library.find("/ld-linux") == std::string::npos) {
			continue;
		}
		FileCopy file(library);
		for (enum lych_code mode : {LYCH_CODE_REPAIR, LYCH_CODE_REFUSE}) {
			Copy copy(file.text, some_key());
			file.describe(copy);
			copy.arg.mode = mode;
			ASSERT_EQ(copy.admit(), 0) << lych_why();
			ASSERT_FALSE(copy.told.empty());
			for (const Told &told : copy.told) {
				EXPECT_EQ(told.done, libc ? "trapped" : "check-added");
				EXPECT_EQ(told.offset, told.address - copy.arg.at + file.off);
				if (libc) {
					EXPECT_EQ(told.symbol, "pkey_set");
					EXPECT_EQ(memcmp(reinterpret_cast<void *>(told.address), "\x0f\x0b\xcc", 3), 0);
				}
			}
			EXPECT_EQ(copy.arg.room_used != 0, !libc);
		}
	}
}

// Functions that need nothing but their own code give the same results as the originals.
TEST(AdmittedCode, RunsAsTheOriginalDoes)
{
	struct Hash {
		unsigned int state[5], more[20];
	};
	using adler_fn = unsigned long (*)(unsigned long, const unsigned char *, size_t);
	using transform_fn = void (*)(Hash *, const unsigned char *);
	unsigned char data[256];
	for (size_t i = 0; i < sizeof(data); i++) {
		data[i] = static_cast<unsigned char>(i * 7);
	}
	size_t ran = 0;
	for (const auto &[name, symbol] : {std::pair("libz.so.1", "adler32_z"), std::pair("libcrypto.so.3", "RIPEMD160_Transform")}) {
		void *library = dlopen(name, RTLD_NOW);
		void *original = library != nullptr ? dlsym(library, symbol) : nullptr;
		Dl_info info;
		if (original == nullptr || dladdr(original, &info) == 0) {
			continue;
		}
		SCOPED_TRACE(name);
		FileCopy file(info.dli_fname);
		Copy copy(file.text, some_key());
		file.describe(copy);
		ASSERT_EQ(copy.admit(), 0) << lych_why();
		void *admitted = copy.at(reinterpret_cast<uint64_t>(original) - reinterpret_cast<uint64_t>(info.dli_fbase) - file.vaddr);
		if (strcmp(symbol, "adler32_z") == 0) {
			EXPECT_EQ(reinterpret_cast<adler_fn>(admitted)(1, data, sizeof(data)),
				  reinterpret_cast<adler_fn>(original)(1, data, sizeof(data)));
		} else {
			Hash a = {{1, 2, 3, 4, 5}, {}}, b = a;
			reinterpret_cast<transform_fn>(original)(&a, data);
			reinterpret_cast<transform_fn>(admitted)(&b, data);
			EXPECT_EQ(memcmp(&a, &b, sizeof(a)), 0);
			EXPECT_NE(a.state[0], 1u);
			EXPECT_FALSE(copy.told.empty()) << "its sequence is in this function";
		}
		ran++;
	}
	if (ran == 0) {
		GTEST_SKIP() << "none of the libraries is here";
	}
}

TEST(AdmittedCode, WithATrampolineRuns)
{
	Copy copy({0xb8, 0x0f, 0x01, 0xef, 0x00, 0xc3}, some_key()); // mov $0xef010f,%eax; ret
	ASSERT_EQ(copy.admit(), 0) << lych_why();
	ASSERT_EQ(copy.told.size(), 1u);
	EXPECT_EQ(copy.told[0].path, "[anonymous]");
	EXPECT_EQ(copy.told[0].done, "two-step");
	EXPECT_EQ(copy.arg.room_used, kPage);
	EXPECT_EQ(strays(copy), 0u);
	EXPECT_EQ(reinterpret_cast<int (*)()>(copy.at())(), 0xef010f);
	expect_mapped(copy.arg.room + kPage, copy.arg.room + 2 * kPage, "---p", copy.arg.key);
}

// The runtime's own gates, which this program holds with the note that lists them, are none in a domain.
TEST(AdmittedCode, HoldsNoGates)
{
	char path[256] = "";
	ASSERT_GT(readlink("/proc/self/exe", path, sizeof(path) - 1), 0);
	FileCopy file(path);
	Copy copy(file.text, some_key());
	file.describe(copy);
	EXPECT_EQ(copy.admit(), -ENOEXEC) << "the gates write the fs base, too";
	copy.arg.classes = LYCH_POLICY_PKRU;
	ASSERT_EQ(copy.admit(), 0) << lych_why();
	EXPECT_EQ(strays(copy.at(), copy.arg.bytes, copy.arg.at, LYCH_POLICY_PKRU), 0u);
	size_t trapped = 0;
	for (const Told &told : copy.told) {
		trapped += told.what == "wrpkru" && told.done == "trapped";
	}
	EXPECT_GE(trapped, 2u);
}

struct Form {
	const char *name;
	Bytes code;
	const char *what;
	const char *done; // "left": refused
};

// Each class of sequence, put there on purpose and by chance.
const Form forms[] = {
	{"wrpkru", {0x0f, 0x01, 0xef, 0xc3}, "wrpkru", "trapped"},
	{"wrpkru behind prefixes", {0x66, 0x0f, 0x01, 0xef, 0xc3}, "wrpkru", "trapped"},
	{"wrpkru in an immediate", {0xb8, 0x0f, 0x01, 0xef, 0x00, 0xc3}, "wrpkru", "two-step"},
	{"wrpkru across two", {0x41, 0xc1, 0xc7, 0x0f, 0x01, 0xef, 0xc3}, "wrpkru", "re-encoded"},
	{"wrpkru in a branch", {0xe8, 0x0f, 0x01, 0xef, 0x00, 0xc3}, "wrpkru", "retargeted"},
	{"xrstor", {0x0f, 0xae, 0x6c, 0x24, 0x40, 0xc3}, "xrstor", "check-added"},
	{"xrstor in a displacement", {0x8b, 0x87, 0x0f, 0xae, 0x28, 0x00, 0xc3}, "xrstor", "two-step"},
	{"wrfsbase", {0xf3, 0x48, 0x0f, 0xae, 0xd7, 0xc3}, "wrfsbase", "left"},
	{"wrgsbase", {0xf3, 0x48, 0x0f, 0xae, 0xdf, 0xc3}, "wrgsbase", "left"},
	{"wrgsbase in an immediate", {0x48, 0xb8, 0xf3, 0x48, 0x0f, 0xae, 0xdf, 0x00, 0x00, 0x00, 0xc3}, "wrgsbase", "two-step"},
	{"enclu", {0x0f, 0x01, 0xd7, 0xc3}, "enclu", "left"},
	{"enclu in an immediate", {0xb8, 0x0f, 0x01, 0xd7, 0x00, 0xc3}, "enclu", "two-step"},
};

TEST(AdmittedCode, OfEachClassIsMadeHarmlessOrRefused)
{
	for (const Form &form : forms) {
		SCOPED_TRACE(form.name);
		Copy copy(behind_nops(64, form.code), some_key());
		bool refused = strcmp(form.done, "left") == 0;
		EXPECT_EQ(strays(copy.original()), 1u);
		ASSERT_EQ(copy.admit(), refused ? -ENOEXEC : 0) << lych_why();
		ASSERT_EQ(copy.told.size(), 1u);
		EXPECT_EQ(copy.told[0].what, form.what);
		EXPECT_EQ(copy.told[0].done, form.done) << copy.told[0].why;
		if (refused) {
			EXPECT_THAT(lych_why(), HasSubstr(std::string(form.what) + ": "));
			expect_mapped(copy.arg.at, copy.arg.at + copy.arg.bytes, "---p", copy.arg.key);
			expect_mapped(copy.arg.room, copy.arg.room + copy.arg.room_bytes, "---p", copy.arg.key);
		} else {
			EXPECT_EQ(strays(copy), 0u);
		}
	}
}

TEST(AdmittedCode, OfAFileIsRefusedWithTheCommandThatSaysMore)
{
	Copy copy(behind_nops(0x234, {0xf3, 0x0f, 0xae, 0xd8, 0xc3}), some_key()); // wrgsbase %eax
	copy.arg.name = "/opt/lib/libbad.so";
	copy.arg.off = 0x5000;
	EXPECT_EQ(copy.admit(), -ENOEXEC);
	EXPECT_THAT(lych_why(), HasSubstr("code: libbad.so+0x5234: wrgsbase: "));
	EXPECT_THAT(lych_why(), HasSubstr("`lychgate repair --plan --policy domain /opt/lib/libbad.so`"));
}

TEST(AdmittedCode, IsOnlyRepairedWhereThatIsAllowed)
{
	Copy copy({0xb8, 0x0f, 0x01, 0xef, 0x00, 0xc3}, some_key());
	copy.arg.mode = LYCH_CODE_REFUSE;
	EXPECT_EQ(copy.admit(), -ENOEXEC);
	EXPECT_THAT(lych_why(), HasSubstr("nothing but glibc's own"));
	copy.arg.mode = LYCH_CODE_REPAIR;
	EXPECT_EQ(copy.admit(), 0) << "the control: " << lych_why();
}

TEST(AdmittedCode, NeedsRoomForItsTrampolines)
{
	Copy copy({0xb8, 0x0f, 0x01, 0xef, 0x00, 0xc3}, some_key(), 0);
	EXPECT_EQ(copy.admit(), -ENOEXEC);
	EXPECT_THAT(lych_why(), HasSubstr("no room"));
}

// ---- next to other code -----------------------------------------------------------------------------------------

TEST(AdmittedCode, MakesNoSequenceWithWhatIsBeforeIt)
{
	for (size_t split = 1; split < 3; split++) {
		const Bytes wrpkru = {0x0f, 0x01, 0xef};
		Bytes end(wrpkru.begin(), wrpkru.begin() + static_cast<ptrdiff_t>(split));
		Bytes start(wrpkru.begin() + static_cast<ptrdiff_t>(split), wrpkru.end());
		start.push_back(0xc3);
		Copy copy(start, some_key());
		EXPECT_EQ(copy.admit(), 0) << "the control, with nothing before it: " << lych_why();
		copy.plant_before(end);
		EXPECT_EQ(copy.admit(), -ENOEXEC);
		EXPECT_THAT(lych_why(), HasSubstr("wrpkru"));
		Bytes before(copy.at() - split, copy.at());
		EXPECT_EQ(before, end);
	}
}

TEST(AdmittedCode, MakesNoSequenceWithWhatIsBehindIt)
{
	for (size_t split = 1; split < 3; split++) {
		const Bytes wrpkru = {0x0f, 0x01, 0xef};
		Copy copy(behind_nops(kPage - split, Bytes(wrpkru.begin(), wrpkru.begin() + static_cast<ptrdiff_t>(split))), some_key());
		EXPECT_EQ(copy.admit(), 0) << "the control, with nothing behind it: " << lych_why();
		Bytes rest(wrpkru.begin() + static_cast<ptrdiff_t>(split), wrpkru.end());
		copy.plant_behind(rest);
		EXPECT_EQ(copy.admit(), -ENOEXEC);
		EXPECT_EQ(memcmp(copy.at(kPage), rest.data(), rest.size()), 0);
	}
}

// A vault's memory is not the host's to read.
TEST(AdmittedCode, NeedsNoRightToReadWhereItGoes)
{
	if (some_key() < 0) {
		GTEST_SKIP() << "no protection keys here";
	}
	const Bytes rol = {0x41, 0xc1, 0xc7, 0x0f};
	Copy joined({0x01, 0xef, 0x44, 0x01, 0xff, 0x89, 0xf8, 0xc3}, some_key());
	joined.plant_before(rol);
	ASSERT_EQ(pkey_set(some_key(), PKEY_DISABLE_ACCESS), 0);
	int rc = joined.admit();
	ASSERT_EQ(pkey_set(some_key(), 0), 0);
	EXPECT_EQ(rc, 0) << lych_why();
	EXPECT_EQ(joined.told.size(), 1u);
	EXPECT_EQ(strays(joined.at() - kPage, 2 * kPage, joined.arg.at - kPage), 0u);
}

// rol $15,%r15d stands in the neighbour, add %ebp,%edi in the copy, where it is written in another way.
TEST(AdmittedCode, IsRepairedWhereThatIsEnough)
{
	Copy copy({0x01, 0xef, 0x44, 0x01, 0xff, 0x89, 0xf8, 0xc3}, some_key());
	const Bytes rol = {0x41, 0xc1, 0xc7, 0x0f};
	copy.plant_before(rol);
	ASSERT_EQ(copy.admit(), 0) << lych_why();
	ASSERT_EQ(copy.told.size(), 1u);
	EXPECT_EQ(copy.told[0].done, "re-encoded");
	EXPECT_EQ(copy.told[0].address, copy.arg.at - 1);
	EXPECT_EQ(strays(copy.at() - kPage, 2 * kPage, copy.arg.at - kPage), 0u);
	EXPECT_EQ(memcmp(copy.at() - 4, rol.data(), 4), 0);
}

// Prefixes of up to fourteen bytes belong to it.
TEST(AdmittedCode, IsLookedAtWithTheLongestSequenceAroundIt)
{
	const Bytes longest = {0xf3, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x48, 0x0f, 0xae, 0xd8};
	for (size_t split = 1; split < longest.size(); split++) {
		SCOPED_TRACE(split);
		Copy copy(Bytes(longest.begin() + static_cast<ptrdiff_t>(split), longest.end()), some_key());
		copy.plant_before(Bytes(longest.begin(), longest.begin() + static_cast<ptrdiff_t>(split)));
		EXPECT_EQ(copy.admit(), -ENOEXEC);
	}
}

TEST(AdmittedCode, IsNotPutNextToWhatCannotBeLookedAt)
{
	Copy copy({0xc3}, some_key());
	void *before = reinterpret_cast<void *>(copy.arg.at - kPage);
	ASSERT_EQ(mprotect(before, kPage, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
	EXPECT_EQ(copy.admit(), -ENOEXEC);
	EXPECT_THAT(lych_why(), HasSubstr("is writable"));
	ASSERT_EQ(mprotect(before, kPage, PROT_EXEC), 0);
	int rc = copy.admit();
	EXPECT_TRUE(rc == 0 || rc == -ENOEXEC);
}

// ---- what stands on other pages ------------------------------------------------------------------------------

// A check, or the ud2 it leads to, on another page can be mapped away.
TEST(AdmittedCode, CountsNoCheckThatAnotherPageHolds)
{
	// xrstor 0x40(%rsp); test $0x200,%eax; je over ud2
	const Bytes checked = {0x0f, 0xae, 0x6c, 0x24, 0x40, 0xa9, 0x00, 0x02, 0x00, 0x00, 0x74, 0x02, 0x0f, 0x0b, 0xc3};
	for (size_t off : {size_t{0}, size_t{14}, size_t{15}, kPage - 15, kPage - 14, kPage - 13, kPage - 12, kPage - 9, kPage - 4,
			   kPage - 2, kPage - 1}) {
		SCOPED_TRACE(off);
		Bytes code(2 * kPage, 0x90);
		std::copy(checked.begin(), checked.end(), code.begin() + static_cast<ptrdiff_t>(off));
		Copy copy(code, some_key());
		EXPECT_EQ(strays(copy.original()), 0u) << "as it stands it is checked";
		ASSERT_EQ(copy.admit(), 0) << lych_why();
		bool one_page = off >= LYCH_SEQUENCE_MAX && off + 14 <= kPage;
		EXPECT_EQ(copy.told.size(), one_page ? 0u : 1u);
		EXPECT_EQ(memcmp(copy.at(), code.data(), code.size()) == 0, one_page);
		for (const Told &told : copy.told) {
			EXPECT_EQ(told.done, "check-added");
		}
	}
}

// ---- what the file says -------------------------------------------------------------------------------------------------

namespace
{

// An ELF file with a page of code, then two of data in the same segment, in the first of which a sequence stands.
Bytes with_data_in_code()
{
	Bytes file(5 * kPage);
	auto *ehdr = reinterpret_cast<Elf64_Ehdr *>(file.data());
	auto *phdr = reinterpret_cast<Elf64_Phdr *>(file.data() + sizeof(*ehdr));
	auto *shdr = reinterpret_cast<Elf64_Shdr *>(file.data() + 4 * kPage);
	memcpy(ehdr->e_ident, ELFMAG, SELFMAG);
	ehdr->e_ident[EI_CLASS] = ELFCLASS64;
	ehdr->e_ident[EI_DATA] = ELFDATA2LSB;
	ehdr->e_ident[EI_VERSION] = EV_CURRENT;
	ehdr->e_type = ET_DYN;
	ehdr->e_machine = EM_X86_64;
	ehdr->e_version = EV_CURRENT;
	ehdr->e_phoff = sizeof(*ehdr);
	ehdr->e_phentsize = sizeof(*phdr);
	ehdr->e_phnum = 1;
	ehdr->e_ehsize = sizeof(*ehdr);
	ehdr->e_shoff = 4 * kPage;
	ehdr->e_shentsize = sizeof(*shdr);
	ehdr->e_shnum = 4;
	ehdr->e_shstrndx = 3;
	*phdr = {PT_LOAD, PF_R | PF_X, kPage, kPage, kPage, 3 * kPage, 3 * kPage, kPage};
	shdr[1].sh_type = SHT_PROGBITS;
	shdr[1].sh_flags = SHF_ALLOC | SHF_EXECINSTR;
	shdr[1].sh_addr = shdr[1].sh_offset = kPage;
	shdr[1].sh_size = kPage;
	shdr[2].sh_type = SHT_PROGBITS;
	shdr[2].sh_flags = SHF_ALLOC;
	shdr[2].sh_addr = shdr[2].sh_offset = 2 * kPage;
	shdr[2].sh_size = 2 * kPage;
	shdr[3].sh_type = SHT_STRTAB;
	shdr[3].sh_offset = 0x800;
	shdr[3].sh_size = 1;
	memset(&file[kPage], 0x90, kPage);
	file[kPage] = 0xc3;
	memcpy(&file[2 * kPage + 100], "\x0f\x01\xef", 3);
	return file;
}

Bytes text_of(const Bytes &file)
{
	return {file.begin() + kPage, file.begin() + 4 * kPage};
}

} // namespace

TEST(AdmittedCode, HasPagesWithoutCodeThatAreNotExecutable)
{
	const Bytes file = with_data_in_code();
	Copy copy(text_of(file), some_key());
	EXPECT_EQ(copy.admit(), -ENOEXEC) << "the control: nobody says that it is data";
	copy.arg.name = "/opt/lib/libdata.so";
	copy.arg.off = kPage;
	copy.arg.file = file.data();
	copy.arg.file_bytes = file.size();
	ASSERT_EQ(copy.admit(), 0) << lych_why();
	ASSERT_EQ(copy.arg.nno_exec, 1u);
	EXPECT_EQ(copy.arg.no_exec[0].start, copy.arg.at + kPage);
	EXPECT_EQ(copy.arg.no_exec[0].end, copy.arg.at + 2 * kPage);
	expect_mapped(copy.arg.at, copy.arg.at + kPage, "r-xp", copy.arg.key);
	expect_mapped(copy.arg.at + kPage, copy.arg.at + 2 * kPage, "r--p", copy.arg.key);
	expect_mapped(copy.arg.at + 2 * kPage, copy.arg.at + 3 * kPage, "r-xp", copy.arg.key);
	EXPECT_EQ(memcmp(copy.at(), copy.original().data(), copy.original().size()), 0);
}

TEST(AdmittedCode, WithDataOnAPageOfCodeIsRefused)
{
	Bytes file = with_data_in_code();
	memcpy(&file[2 * kPage + 100], "\x90\x90\x90", 3);
	memcpy(&file[2 * kPage - 2], "\x0f\x01\xef", 3);
	auto *shdr = reinterpret_cast<Elf64_Shdr *>(file.data() + 4 * kPage);
	shdr[1].sh_size = 100;
	Copy copy(text_of(file), some_key());
	copy.arg.off = kPage;
	copy.arg.file = file.data();
	copy.arg.file_bytes = file.size();
	EXPECT_EQ(copy.admit(), -ENOEXEC);
	EXPECT_THAT(lych_why(), HasSubstr("data on a page that also holds code"));
}

// Whatever the headers say, in the end there is no sequence in what can be executed, or nothing is.
TEST(AdmittedCode, IsNotMadeExecutableByWhatItsFileClaims)
{
	const Bytes good = with_data_in_code();
	unsigned int seed = 1;
	size_t admitted = 0;
	for (int round = 0; round < 300; round++) {
		Bytes file = good;
		for (int n = 0; n < 1 + round % 8; n++) {
			size_t where = static_cast<size_t>(rand_r(&seed)) % 376;
			where = where < 120 ? where : 4 * kPage + where - 120;
			file[where] = static_cast<uint8_t>(rand_r(&seed));
		}
		Copy copy(text_of(good), some_key());
		copy.arg.off = kPage;
		copy.arg.file = file.data();
		copy.arg.file_bytes = round % 3 == 0 ? static_cast<size_t>(rand_r(&seed)) % file.size() : file.size();
		int rc = copy.admit();
		ASSERT_TRUE(rc == 0 || rc == -ENOEXEC) << rc << " " << lych_why();
		admitted += rc == 0;
		for (const Seen &seen : mappings_in(copy.arg.at, copy.arg.at + copy.arg.bytes)) {
			if (seen.perms[2] == 'x') {
				EXPECT_EQ(strays(reinterpret_cast<const void *>(seen.start), seen.end - seen.start, seen.start), 0u);
			}
		}
	}
	EXPECT_GT(admitted, 0u);
}

// ---- what is there ------------------------------------------------------------------------------

TEST(AdmittedCode, ReplacesWhatWasThere)
{
	Copy copy({0xb8, 0x07, 0x00, 0x00, 0x00, 0xc3}, some_key()); // mov $7,%eax; ret
	copy.plant(copy.arg.at, {0xb8, 0x05, 0x00, 0x00, 0x00, 0xc3});
	EXPECT_EQ(reinterpret_cast<int (*)()>(copy.at())(), 5);
	ASSERT_EQ(copy.admit(), 0) << lych_why();
	EXPECT_EQ(reinterpret_cast<int (*)()>(copy.at())(), 7);
	EXPECT_TRUE(copy.told.empty());
}

TEST(AdmittedCode, HasTheNameAndOffsetOfItsFile)
{
	Copy copy({0xc3}, some_key());
	copy.arg.name = "/opt/lib/libfine.so";
	copy.arg.off = 0x3000;
	ASSERT_EQ(copy.admit(), 0) << lych_why();
	auto seen = mappings_in(copy.arg.at, copy.arg.at + kPage);
	ASSERT_EQ(seen.size(), 1u);
	EXPECT_THAT(seen[0].path, HasSubstr("lychgate:/opt/lib/libfine.so"));
}

TEST(AdmittedCode, WorksWhereWrittenMemoryMayNotBecomeExecutable)
{
	in_child([] {
		if (prctl(65 /* PR_SET_MDWE, Linux 6.3 */, 1, 0, 0, 0) != 0) {
			return;
		}
		Copy copy({0xb8, 0x0f, 0x01, 0xef, 0x00, 0xc3}, some_key());
		ASSERT_EQ(copy.admit(), 0) << lych_why();
		EXPECT_EQ(reinterpret_cast<int (*)()>(copy.at())(), 0xef010f);
		expect_mapped(copy.arg.at, copy.arg.at + kPage, "r-xp", copy.arg.key);
		expect_mapped(copy.arg.room, copy.arg.room + copy.arg.room_used, "r-xp", copy.arg.key);
	});
}

TEST(AdmittedCode, ThatIsDescribedWronglyIsRefused)
{
	const auto wrong = {
		+[](struct lych_code_copy *c) { c->at += 1; },
		+[](struct lych_code_copy *c) { c->bytes = 0; },
		+[](struct lych_code_copy *c) { c->bytes = 100; },
		+[](struct lych_code_copy *c) { c->bytes = ~size_t{4095}; },
		+[](struct lych_code_copy *c) { c->at = 0xffffffffff600000; },
		+[](struct lych_code_copy *c) { c->off = 7; },
		+[](struct lych_code_copy *c) { c->room = c->at; },
		+[](struct lych_code_copy *c) { c->room_bytes = c->at - c->room + 4096; },
		+[](struct lych_code_copy *c) { c->classes = ~uint32_t{0}; },
		+[](struct lych_code_copy *c) { c->key = 16; },
		+[](struct lych_code_copy *c) { c->key = -2; },
		+[](struct lych_code_copy *c) { c->mode = LYCH_CODE_REPORT; },
		+[](struct lych_code_copy *c) { c->content = nullptr; },
	};
	for (const auto &change : wrong) {
		Copy copy({0xc3}, some_key());
		change(&copy.arg);
		EXPECT_EQ(copy.admit(), -EINVAL);
	}
	Copy taken({0xc3}, some_key());
	taken.plant(taken.arg.room, {0xc3});
	EXPECT_EQ(taken.admit(), -EINVAL);
	EXPECT_THAT(lych_why(), HasSubstr("room"));
}

// ---- at once ------------------------------------------------------------------------------

static volatile sig_atomic_t ticks;

TEST(AdmittedCode, ComesFromSeveralThreadsWhileSignalsInterrupt)
{
	struct sigaction act = {};
	act.sa_handler = [](int) { ticks = ticks + 1; };
	ASSERT_EQ(sigaction(SIGUSR1, &act, nullptr), 0); // no SA_RESTART
	std::atomic<int> left{4}, wrong{0};
	std::vector<std::thread> threads;
	for (int i = 0; i < 4; i++) {
		threads.emplace_back([&, i] {
			for (uint8_t n = 0; n < 6; n++) {
				Copy copy({0xb8, 0x0f, 0x01, 0xef, static_cast<uint8_t>(i), 0xc3}, some_key());
				wrong += copy.admit() != 0 || reinterpret_cast<int (*)()>(copy.at())() != (i << 24 | 0xef010f);
			}
			left--;
		});
	}
	while (left > 0) {
		for (std::thread &thread : threads) {
			pthread_kill(thread.native_handle(), SIGUSR1);
		}
		std::this_thread::yield();
	}
	for (std::thread &thread : threads) {
		thread.join();
	}
	EXPECT_EQ(wrong, 0);
	EXPECT_GT(ticks, 0);
}

// A thread that forks may do so while another one admits code, which the child has no such thread to end.
TEST(AdmittedCode, CanBeHadInAChildOfFork)
{
	std::atomic<bool> stop{false};
	std::thread busy([&stop] {
		while (!stop) {
			Copy copy({0xb8, 0x0f, 0x01, 0xef, 0x00, 0xc3}, some_key());
			EXPECT_EQ(copy.admit(), 0);
		}
	});
	for (int i = 0; i < 20; i++) {
		in_child([] {
			alarm(60);
			Copy copy({0xb8, 0x0f, 0x01, 0xef, 0x00, 0xc3}, some_key());
			EXPECT_EQ(copy.admit(), 0) << lych_why();
		});
	}
	stop = true;
	busy.join();
}
