/* SPDX-License-Identifier: Apache-2.0 */
// G1: memory of others by way of the kernel that no system call is needed for: emulated instructions, the vsyscall page, core
// files. And by instructions that reach memory in other ways than a load.
#include "attack.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

namespace
{

class Reach : public OfEachKind
{
};

// ---- instructions: at the secret and, as the control, at memory of its own

struct Row {
	const char *name;
	attack_fn attack;
	bool kernel; // emulates it, and says SEGV when it may not write there
};

#define AT(code) [](prey *p) -> long { __asm__ volatile(code ::"D"(p->secret) : "rax", "rcx", "rdx", "memory", "cc"); return 0; }
#define ON_STACK(code)                                                                                             \
	[](prey *p) -> long {                                                                                       \
		__asm__ volatile("mov %%rsp, %%rbx\n lea 256(%0), %%rsp\n lea 2f(%%rip), %%rdx\n" code                    \
				 "\n2: mov %%rbx, %%rsp" ::"D"(p->secret)                                                    \
				 : "rax", "rbx", "rcx", "rdx", "memory", "cc");                                               \
		return 0;                                                                                           \
	}

const Row kRows[] = {
	{"mov", AT("mov %%rdi, (%%rdi)"), false},
	{"lock xadd", AT("mov $1, %%eax\n lock xadd %%rax, (%%rdi)"), false},
	{"cmpxchg16b", AT("xor %%eax, %%eax\n lock cmpxchg16b (%%rdi)"), false},
	{"bts", AT("lock btsq $3, (%%rdi)"), false},
	{"movnti", AT("movnti %%rdi, (%%rdi)"), false},
	{"maskmovdqu", AT("pcmpeqb %%xmm0, %%xmm0\n maskmovdqu %%xmm0, %%xmm0"), false},
	{"vmaskmovps", AT("vpcmpeqd %%ymm0, %%ymm0, %%ymm0\n vmaskmovps %%ymm0, %%ymm0, (%%rdi)\n vzeroupper"), false},
	{"rep stosq", AT("mov $4, %%ecx\n xor %%eax, %%eax\n rep stosq"), false},
	{"fxsave", AT("fxsave64 (%%rdi)"), false},
	{"fnstenv", AT("fnstenv (%%rdi)"), false},
	{"fistp", AT("fld1\n fistpq (%%rdi)"), false},
	{"xsave", AT("xor %%edx, %%edx\n mov $3, %%eax\n xsave64 (%%rdi)"), false},
	{"stmxcsr", AT("stmxcsr (%%rdi)"), false},
	{"sgdt", AT("sgdt (%%rdi)"), true},
	{"sidt", AT("sidt (%%rdi)"), true},
	{"smsw", AT("smsw (%%rdi)"), true},
	{"push", ON_STACK("push %%rbx\n pop %%rbx"), false},
	{"call", ON_STACK("call 1f\n1: pop %%rax"), false},
	{"enter", ON_STACK("push %%rbp\n pop %%rbp\n mov %%rbp, %%rcx\n enter $8, $0\n mov %%rcx, %%rbp"), false},
	{"pop", ON_STACK("pop %%rax"), false},
	{"ret", ON_STACK("mov %%rdx, (%%rsp)\n ret"), false},
	{"popfq", ON_STACK("pushq $2\n popfq"), false},
	{"gather", AT("vpcmpeqd %%ymm1, %%ymm1, %%ymm1\n vpxor %%ymm2, %%ymm2, %%ymm2\n"
		      "vpgatherdd %%ymm1, (%%rdi,%%ymm2,1), %%ymm0\n vzeroupper"),
	 false},
	{"movsq", AT("mov %%rdi, %%rsi\n movsq"), false},
	{"xlat", AT("push %%rbx\n mov %%rdi, %%rbx\n xor %%eax, %%eax\n xlat\n pop %%rbx"), false},
	{"fxrstor", AT("fxrstor64 (%%rdi)"), false},
};

TEST_P(Reach, ByAnyInstructionIsDenied)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		for (const Row &row : kRows) {
			SCOPED_TRACE(row.name);
			target->secret = victims;
			Ended ended = Attack(row.attack);
			EXPECT_EQ(ended.rc, -EFAULT);
			const struct lych_fault *fault = lych_fault(domain);
			if (row.kernel && fault->kind == LYCH_FAULT_SEGV) {
				EXPECT_EQ(fault->signal, SIGSEGV);
			} else {
				ExpectFault(LYCH_FAULT_KEY, lych_domain_name(victim));
			}
			for (uint64_t one : fault->gpr) {
				EXPECT_NE(one, kSecret);
			}
			for (int i = 1; i < 512; i++) {
				ASSERT_EQ(victims[i], 0u);
			}
			Anew();
			// the control: the same at its own
			memset(target->own, 0, 4096);
			const uint32_t mxcsr = 0x1f80;
			memcpy(target->own + 24, &mxcsr, 4);
			target->secret = reinterpret_cast<uint64_t *>(target->own);
			ended = Attack(row.attack);
			EXPECT_EQ(ended.rc, 0);
			if (ended.rc != 0) {
				Anew();
			}
		}
	});
}

OF_EACH_KIND(Reach);

// ---- the vsyscall page: without dispatch, by the kernel

// The same world as Start's, where there are no keys, too.
bool StartAnywhere(bool dump)
{
	lych_init_opts opts = {};
	lych_region_opts wanted = {};
	int key = pkey_alloc(0, 0);

	opts.size = sizeof(opts);
	opts.backend = key >= 0 || getenv("LYCH_REQUIRE_PKU") != nullptr ? LYCH_PKU : LYCH_MPROTECT;
	pkey_free(key);
	wanted.size = sizeof(wanted);
	wanted.dump = dump;
	if (lych_init(&opts) != 0 || lych_domain_new(&domain, nullptr) != 0 || lych_region_new(&region, 4096, &wanted) != 0) {
		ADD_FAILURE() << lych_why();
		return false;
	}
	closed = static_cast<uint64_t *>(lych_region_address(region));
	return Arm();
}

bool HasVsyscallPage()
{
	std::ifstream maps("/proc/self/maps");
	std::string line;

	while (std::getline(maps, line)) {
		if (line.find("[vsyscall]") != std::string::npos) {
			return true;
		}
	}
	return false;
}

long AsksTime(prey *p)
{
	return reinterpret_cast<long (*)(long *)>(0xffffffffff600400)(reinterpret_cast<long *>(p->secret));
}

long AsksTimeOfDay(prey *p)
{
	return reinterpret_cast<long (*)(void *, void *)>(0xffffffffff600000)(p->secret, nullptr);
}

long AsksCpu(prey *p)
{
	return reinterpret_cast<long (*)(void *, void *, void *)>(0xffffffffff600800)(p->secret, nullptr, nullptr);
}

TEST(Vsyscall, WritesWhereTheDomainMayAndNowhereElse)
{
	if (!HasVsyscallPage()) {
		GTEST_SKIP() << "this kernel has no vsyscall page";
	}
	for (attack_fn attack : {AsksTime, AsksTimeOfDay, AsksCpu}) {
		IN_A_CHILD({
			ASSERT_TRUE(StartAnywhere(false));
			long result = 0;
			target->secret = closed;
			EXPECT_EQ(LYCH_CALL(domain, &result, attack_do, attack, target), -EFAULT);
			EXPECT_EQ(lych_fault(domain)->signal, SIGSEGV);
			EXPECT_EQ(RegionHolds(), 0u);
			ASSERT_EQ(lych_domain_reset(domain), 0);
			ASSERT_TRUE(Arm());
			// the control: where it may
			target->secret = reinterpret_cast<uint64_t *>(target->own);
			*target->secret = ~0ull;
			EXPECT_EQ(LYCH_CALL(domain, &result, attack_do, attack, target), 0);
			EXPECT_NE(*target->secret, ~0ull);
		});
	}
}

// ---- core files

// What is looked for stands nowhere else: it is made byte by byte where it is to lie.
constexpr size_t kPattern = 64;
unsigned char PatternByte(unsigned salt, size_t i)
{
	return static_cast<unsigned char>((i * 167 + 13) * (salt * 2654435761u + 97) >> 5 ^ i);
}

__attribute__((noinline)) void WritePattern(void *to, unsigned salt)
{
	for (size_t i = 0; i < kPattern; i++) {
		static_cast<volatile unsigned char *>(to)[i] = PatternByte(salt, i);
	}
}

long WritesPattern(prey *p)
{
	WritePattern(p->secret, static_cast<unsigned>(p->more[0]));
	return 0;
}

enum Salt : unsigned { ORDINARY = 1, REGION, HEAP, STACK, RECORDS };

// In the child: fills, and dies with the region open.
void DiesWithAPattern(bool dump)
{
	struct rlimit most = {RLIM_INFINITY, RLIM_INFINITY};
	static char ordinary[kPattern];

	setrlimit(RLIMIT_CORE, &most);
	if (!StartAnywhere(dump)) {
		_exit(90);
	}
	WritePattern(ordinary, ORDINARY);
	WritePattern(target->own, HEAP);
	attack_fn on_stack = [](prey *p) -> long {
		char here[kPattern];
		p->secret = reinterpret_cast<uint64_t *>(here);
		p->more[0] = STACK;
		return WritesPattern(p);
	};
	long result = 0;
	if (LYCH_CALL(domain, &result, attack_do, on_stack, target) != 0) {
		_exit(91);
	}
	inside state;
	inside_look(&state);
	WritePattern(reinterpret_cast<void *>(state.sig_stack - 4096), RECORDS);
	LYCH_WRITE(char, open, region)
	{
		WritePattern(open, REGION);
		__builtin_trap();
	}
}

bool Holds(const std::string &core, unsigned salt)
{
	std::string pattern;
	for (size_t i = 0; i < kPattern; i++) {
		pattern.push_back(static_cast<char>(PatternByte(salt, i)));
	}
	return core.find(pattern) != std::string::npos;
}

// What the kernel leaves in an empty folder.
std::string CoreOf(bool dump, int *status)
{
	char folder[] = "/tmp/attack-core-XXXXXX", before[4096];
	std::string text;

	if (mkdtemp(folder) == nullptr || getcwd(before, sizeof(before)) == nullptr || chdir(folder) != 0) {
		ADD_FAILURE() << strerror(errno);
		return text;
	}
	*status = ChildStatus([dump] { DiesWithAPattern(dump); });
	std::ifstream file("core", std::ios::binary);
	if (file) {
		std::stringstream all;
		all << file.rdbuf();
		text = all.str();
		unlink("core");
	}
	EXPECT_EQ(chdir(before), 0);
	rmdir(folder);
	return text;
}

TEST(CoreFile, HoldsNothingOfRegionsHeapsStacksAndTheMonitor)
{
	std::ifstream setting("/proc/sys/kernel/core_pattern"), with_pid("/proc/sys/kernel/core_uses_pid");
	std::string pattern;
	int pid = 0, status = 0;

	std::getline(setting, pattern);
	with_pid >> pid;
	if (pattern != "core" || pid != 0) {
		GTEST_SKIP() << "core files go elsewhere here: " << pattern;
	}
	std::string core = CoreOf(false, &status);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGILL) << status;
	if (core.empty()) {
		GTEST_SKIP() << "no core file is written here";
	}
	EXPECT_TRUE(Holds(core, ORDINARY)) << "the control: ordinary memory is in it";
	EXPECT_FALSE(Holds(core, REGION)) << "though it was open";
	EXPECT_FALSE(Holds(core, HEAP));
	EXPECT_FALSE(Holds(core, STACK));
	EXPECT_FALSE(Holds(core, RECORDS));
	core = CoreOf(true, &status);
	EXPECT_TRUE(Holds(core, REGION)) << "the control: who asks for it has it";
	EXPECT_FALSE(Holds(core, HEAP));
}

} // namespace
