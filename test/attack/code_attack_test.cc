// SPDX-License-Identifier: Apache-2.0
// Code in a domain jumps to the WRPKRU and XRSTOR that libraries hold (G3): glibc's own, one that nobody put there, and the
// XRSTOR in the trampolines that the repair has made. The controls are the same jumps without the runtime, and to what
// LYCH_CODE_REPORT has left.
#include <dlfcn.h>
#include <sys/auxv.h>

#include <fstream>
#include <vector>

#include "attack.h"

namespace
{

constexpr int kPkeySetWrpkru = 0x32; // behind its entry, as the scanner knows it

class Code : public OfEachKind
{
};

uint64_t Wrpkru()
{
	return reinterpret_cast<uint64_t>(dlsym(RTLD_NEXT, "pkey_set")) + kPkeySetWrpkru;
}

// XRSTORs of ld.so's lazy binding: 0f ae 6c 24 40, and what reads registers back behind it.
std::vector<uint64_t> Xrstors()
{
	static const uint8_t bytes[] = {0x0f, 0xae, 0x6c, 0x24, 0x40, 0x4c, 0x8b, 0x4c, 0x24, 0x30};
	std::vector<uint64_t> found;
	std::ifstream maps("/proc/self/maps");

	for (std::string line; std::getline(maps, line);) {
		unsigned long start, end;
		char perms[8];
		if (line.find("/ld-linux") == std::string::npos ||
		    sscanf(line.c_str(), "%lx-%lx %4s", &start, &end, perms) != 3 || perms[2] != 'x') {
			continue;
		}
		auto *at = reinterpret_cast<const uint8_t *>(start), *stop = reinterpret_cast<const uint8_t *>(end);
		while ((at = static_cast<const uint8_t *>(
				memmem(at, static_cast<size_t>(stop - at), bytes, sizeof(bytes)))) != nullptr) {
			found.push_back(reinterpret_cast<uint64_t>(at++));
		}
	}
	return found;
}

// The XRSTOR of the trampoline that the code at site jumps to now; 0: there is none.
uint64_t InTrampoline(uint64_t site)
{
	auto *code = reinterpret_cast<const uint8_t *>(site);
	int32_t rel;
	if (*code != 0xe9) {
		return 0;
	}
	memcpy(&rel, code + 1, sizeof(rel));
	auto *trampoline = reinterpret_cast<const uint8_t *>(site + 5 + static_cast<uint64_t>(static_cast<int64_t>(rel)));
	auto *xrstor = static_cast<const uint8_t *>(memmem(trampoline, 64, "\x0f\xae\xac\x24", 4));
	return reinterpret_cast<uint64_t>(xrstor);
}

// A page with bytes at its offset 64, executable.
uint8_t *Plant(const std::vector<uint8_t> &bytes, uint8_t around)
{
	auto *at = static_cast<uint8_t *>(
		mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	memset(at, around, 4096);
	memcpy(at + 64, bytes.data(), bytes.size());
	EXPECT_EQ(mprotect(at, 4096, PROT_READ | PROT_EXEC), 0);
	return at + 64;
}

const std::vector<uint8_t> kNettle = {0x41, 0xc1, 0xc7, 0x0f, 0x01, 0xef, 0xc3}; // rol $0xf,%r15d; add %ebp,%edi; ret
// xrstor 0x40(%esp), and what follows it in ld.so. Nobody repairs it with its prefix; who jumps there leaves that out.
const std::vector<uint8_t> kPrefixed = {0x67, 0x0f, 0xae, 0x6c, 0x24, 0x40, 0x48, 0x89, 0xdc, 0x48, 0x8b,
					0x1c, 0x24, 0x48, 0x83, 0xc4, 0x18, 0x41, 0xff, 0xe3};

long Take(prey *p)
{
	p->taken = *const_cast<volatile uint64_t *>(p->secret);
	return 1;
}

long JumpsToWrpkru(prey *p)
{
	uint32_t eax = 0;
	__asm__ volatile("call *%[at]"
			 : "+a"(eax)
			 : [at] "r"(p->more[0]), "c"(0), "d"(0), "S"(0), "r"(p->more[0])
			 : "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	return Take(p);
}

// The save area is zero: with bit 9 of EAX an XRSTOR opens everything.
long JumpsToXrstor(prey *p)
{
	attack_xrstor(reinterpret_cast<void *>(p->more[0]), p->own + p->more[1], p->own);
	return Take(p);
}

} // namespace

TEST_P(Code, OfGlibcThatWritesPkruEndsADomainThatJumpsThere)
{
	IN_A_CHILD({
		uint64_t wrpkru = Wrpkru();
		ASSERT_TRUE(Start(GetParam()));
		target->more[0] = wrpkru;
		EXPECT_EQ(Attack(JumpsToWrpkru).rc, -EFAULT);
		ExpectFault(LYCH_FAULT_ILL);
		EXPECT_EQ(target->taken, 0u);
		Anew();
	});
	IN_A_CHILD({
		prey *p = Bare();
		p->more[0] = Wrpkru();
		EXPECT_EQ(JumpsToWrpkru(p), 1) << "the control";
		EXPECT_EQ(p->taken, kSecret);
	});
}

TEST_P(Code, OfLazyBindingThatRestoresPkruEndsADomainThatJumpsThere)
{
	const std::vector<uint64_t> xrstors = Xrstors();

	ASSERT_GE(xrstors.size(), 2u);
	for (uint64_t xrstor : xrstors) {
		IN_A_CHILD({
			ASSERT_TRUE(Start(GetParam()));
			target->more[0] = xrstor;
			// room for what the trampoline keeps below rsp
			target->more[1] = 8192;
			EXPECT_EQ(Attack(JumpsToXrstor).rc, -EFAULT);
			ExpectFault(LYCH_FAULT_ILL);
			EXPECT_EQ(target->taken, 0u);
			Anew();
		});
		IN_A_CHILD({
			prey *p = Bare();
			p->more[0] = xrstor;
			p->more[1] = 8192;
			EXPECT_EQ(JumpsToXrstor(p), 1) << "the control";
			EXPECT_EQ(p->taken, kSecret);
		});
	}
}

// To the XRSTOR itself, past all that leads up to it: the check is behind it.
TEST_P(Code, OfTrampolinesEndsADomainThatJumpsIntoIt)
{
	const std::vector<uint64_t> xrstors = Xrstors();

	for (uint64_t xrstor : xrstors) {
		IN_A_CHILD({
			ASSERT_TRUE(Start(GetParam()));
			uint64_t inside = InTrampoline(xrstor);
			uint32_t disp;
			ASSERT_NE(inside, 0u);
			memcpy(&disp, reinterpret_cast<void *>(inside + 4), sizeof(disp));
			target->more[0] = inside;
			// what it loads lies at rsp + disp, in multiples of 64
			target->more[1] = 8192 - disp;
			EXPECT_EQ(Attack(JumpsToXrstor).rc, -EFAULT);
			ExpectFault(LYCH_FAULT_ILL);
			EXPECT_EQ(target->taken, 0u);
			Anew();
		});
	}
}

TEST_P(Code, ThatNobodyMeantIsGoneWhenADomainJumpsThere)
{
	const int stray = 3;

	IN_A_CHILD({
		uint8_t *code = Plant(kNettle, 0xcc);
		ASSERT_TRUE(Start(GetParam()));
		target->more[0] = reinterpret_cast<uint64_t>(code) + stray;
		EXPECT_EQ(Attack(JumpsToWrpkru).rc, -EFAULT);
		EXPECT_EQ(target->taken, 0u);
		Anew();
	});
	IN_A_CHILD({
		prey *p = Bare();
		p->more[0] = reinterpret_cast<uint64_t>(Plant(kNettle, 0xcc)) + stray;
		EXPECT_EQ(JumpsToWrpkru(p), 1) << "the control";
		EXPECT_EQ(p->taken, kSecret);
	});
}

// What LYCH_CODE_REPORT starts with although it cannot be repaired undoes everything, as its contract says: the control
// of this whole file in a process with the runtime. By default the process is refused.
TEST_P(Code, ThatIsLeftOpensEverythingAndIsThereforeRefusedByDefault)
{
	IN_A_CHILD({
		lych_init_opts opts = {};
		uint8_t *code = Plant(kPrefixed, 0xcc);

		EXPECT_EQ(lych_init(nullptr), -ENOEXEC);
		opts.size = sizeof(opts);
		opts.code = LYCH_CODE_REPORT;
		ASSERT_TRUE(Start(GetParam(), &opts));
		target->more[0] = reinterpret_cast<uint64_t>(code) + 1;
		target->more[1] = 8192;
		EXPECT_EQ(Attack(JumpsToXrstor).rc, 0);
		EXPECT_EQ(target->taken, kSecret);
	});
}

OF_EACH_KIND(Code);
