// SPDX-License-Identifier: Apache-2.0
// What the runtime finds out about the machine: from canned registers, and on this one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

extern "C" {
#include "detect.h"
}

using testing::HasSubstr;
using testing::StartsWith;

namespace
{

constexpr uint32_t OSXSAVE = 1u << 27, AVX = 1u << 28, HYPERVISOR = 1u << 31;
constexpr uint32_t PKU = 1u << 3, OSPKE = 1u << 4, AVX512F = 1u << 16, AMX_TILE = 1u << 24;

// A Zen 4 machine as it comes.
struct cpuid_words zen4()
{
	struct cpuid_words raw = {};
	raw.max_leaf = 0x10;
	raw.leaf1_ecx = OSXSAVE | AVX;
	raw.leaf7_ebx = AVX512F;
	raw.leaf7_ecx = PKU | OSPKE;
	raw.xstate0_ebx = 2440;
	raw.xstate9_eax = 8;
	raw.xstate9_ebx = 2432;
	raw.xcr0 = 0x2e7;
	return raw;
}

struct cpu_traits decode(const struct cpuid_words &raw)
{
	struct cpu_traits cpu;
	detect_decode(&cpu, &raw);
	return cpu;
}

// A machine on which everything works.
struct machine good()
{
	struct machine m = {};
	m.cpu = decode(zen4());
	m.fsgsbase = true;
	m.frame_bytes = 3632;
	m.gates = (uint64_t)1 << 32;
	m.dispatch.end = m.filter.end = m.keys.end = m.frames.end = TRIAL_OK;
	return m;
}

struct answer {
	int rc;
	std::string why;
};

struct answer judge(const struct machine &m, enum lych_backend backend = LYCH_PKU)
{
	char why[512] = "unwritten";
	int rc = detect_refusal(&m, backend, why, sizeof(why));
	return {rc, why};
}

} // namespace

TEST(Decode, OspkeDecidesAndNotPku)
{
	struct cpuid_words raw = zen4();
	EXPECT_TRUE(decode(raw).ospke);
	raw.leaf7_ecx = PKU;
	EXPECT_TRUE(decode(raw).pku);
	EXPECT_FALSE(decode(raw).ospke);
}

TEST(Decode, PkruLiesWhereLeafDSaysWhenXcr0EnablesIt)
{
	struct cpuid_words raw = zen4();
	EXPECT_TRUE(decode(raw).xsave_pkru);
	EXPECT_EQ(decode(raw).xsave_pkru_at, 2432u);
	raw.xcr0 &= ~0x200ull;
	EXPECT_FALSE(decode(raw).xsave_pkru);
	raw = zen4();
	raw.xstate9_eax = 0;
	EXPECT_FALSE(decode(raw).xsave_pkru);
}

TEST(Decode, RegistersToClearAreThoseTheKernelHasEnabled)
{
	struct cpuid_words raw = zen4();
	EXPECT_EQ(decode(raw).scrub, unsigned{SCRUB_AVX512});
	raw.leaf7_edx = AMX_TILE;
	EXPECT_EQ(decode(raw).scrub, unsigned{SCRUB_AVX512}) << "AMX in the CPU, and not in XCR0";
	raw.xcr0 |= 0x60000;
	EXPECT_EQ(decode(raw).scrub, unsigned{SCRUB_AMX});
	raw.xcr0 = 0x207;
	EXPECT_EQ(decode(raw).scrub, unsigned{SCRUB_AVX}) << "AVX-512 not in XCR0";
	raw.xcr0 = 0x203;
	EXPECT_EQ(decode(raw).scrub, unsigned{SCRUB_SSE});
	raw = zen4();
	raw.leaf1_ecx = AVX;
	EXPECT_EQ(decode(raw).scrub, unsigned{SCRUB_SSE}) << "no OSXSAVE: XCR0 is not to be believed";
}

TEST(Decode, APartOfTheAvx512StateIsNotAvx512)
{
	struct cpuid_words raw = zen4();
	for (uint64_t part : {0x27ull, 0x47ull, 0x87ull, 0x67ull}) {
		raw.xcr0 = part;
		EXPECT_EQ(decode(raw).scrub, unsigned{SCRUB_AVX}) << std::hex << part;
	}
}

TEST(Refusal, OfNothingWhereEverythingWorks)
{
	EXPECT_EQ(judge(good()).rc, 0);
	EXPECT_EQ(judge(good()).why, "");
}

TEST(Refusal, NamesTheCpuTheHypervisorOrTheKernelWhenKeysAreOff)
{
	struct machine m = good();
	m.cpu.ospke = false;
	EXPECT_EQ(judge(m).rc, -EOPNOTSUPP);
	EXPECT_THAT(judge(m).why, HasSubstr("nopku"));
	m.cpu.pku = false;
	EXPECT_THAT(judge(m).why, StartsWith("CPU:"));
	m.cpu.hypervisor = true;
	EXPECT_THAT(judge(m).why, HasSubstr("hypervisor"));
	EXPECT_EQ(judge(m, LYCH_MPROTECT).rc, 0) << "mprotect needs no keys";
}

TEST(Refusal, OfMachinesWhoseErrnoMisleadsIsDecidedByOspke)
{
	// without keys, pkey_alloc says EINVAL and then ENOSPC, as if all were taken
	struct machine m = good();
	m.cpu.ospke = m.cpu.pku = false;
	m.keys = {TRIAL_ERRNO, ENOSPC, 2};
	EXPECT_EQ(judge(m).rc, -EOPNOTSUPP);
	EXPECT_THAT(judge(m).why, StartsWith("CPU:"));
}

TEST(Refusal, TellsTakenKeysFromAForbiddenCall)
{
	struct machine m = good();
	m.keys = {TRIAL_ERRNO, ENOSPC, 2};
	EXPECT_EQ(judge(m).rc, -ENOSPC);
	m.keys = {TRIAL_ERRNO, EPERM, 2};
	EXPECT_EQ(judge(m).rc, -EOPNOTSUPP);
	EXPECT_THAT(judge(m).why, HasSubstr("pkey_alloc is refused"));
	m.keys = {TRIAL_ERRNO, ENOSYS, 3};
	EXPECT_THAT(judge(m).why, HasSubstr("pkey_mprotect is refused"));
	m.keys = {TRIAL_KILLED, SIGSYS, 2};
	EXPECT_THAT(judge(m).why, StartsWith("sandbox:"));
}

TEST(Refusal, OfKeysThatProtectNothing)
{
	struct machine m = good();
	m.keys = {TRIAL_WRONG, 0, 4};
	EXPECT_EQ(judge(m).rc, -EOPNOTSUPP);
	EXPECT_THAT(judge(m).why, HasSubstr("protect nothing"));
	m.keys = {TRIAL_NOT_RUN, 0, 0};
	EXPECT_EQ(judge(m).rc, -EOPNOTSUPP) << "what could not be tried does not work";
}

TEST(Refusal, OfConflictsHoldsForBothBackends)
{
	for (enum lych_backend backend : {LYCH_PKU, LYCH_MPROTECT}) {
		struct machine m = good();
		m.fsgsbase = false;
		EXPECT_THAT(judge(m, backend).why, HasSubstr("FSGSBASE"));
		m = good();
		m.gs = 0x1000;
		EXPECT_THAT(judge(m, backend).why, HasSubstr("gs base"));
		m = good();
		m.shadow_stack = true;
		EXPECT_THAT(judge(m, backend).why, HasSubstr("shadow stack"));
		m = good();
		m.dispatch = {TRIAL_ERRNO, EINVAL, 0};
		EXPECT_THAT(judge(m, backend).why, HasSubstr("Syscall User Dispatch"));
		m = good();
		m.filter = {TRIAL_ERRNO, EINVAL, 0};
		EXPECT_THAT(judge(m, backend).why, HasSubstr("seccomp"));
		EXPECT_EQ(judge(m, backend).rc, -EOPNOTSUPP);
	}
}

TEST(Refusal, OfGatesBelowFourGigabytesIsForKeysOnly)
{
	struct machine m = good();

	ASSERT_EQ(judge(m).rc, 0);
	m.gates--;
	EXPECT_EQ(judge(m).rc, -EOPNOTSUPP);
	EXPECT_THAT(judge(m).why, HasSubstr("-pie"));
	EXPECT_EQ(judge(m, LYCH_MPROTECT).rc, 0) << "it promises nothing that 32-bit code could break";
}

TEST(Refusal, IsOneSentenceOfTheLayerAndTheWayOut)
{
	for (int end = TRIAL_NOT_RUN; end <= TRIAL_KILLED; end++) {
		for (int which = 0; which < 3; which++) {
			struct machine m = good();
			struct trial *t = which == 0 ? &m.dispatch : which == 1 ? &m.filter : &m.keys;
			*t = {static_cast<enum trial_end>(end), 1, 2};
			if (end == TRIAL_OK) {
				continue;
			}
			std::string why = judge(m).why;
			EXPECT_NE(why.find(": "), std::string::npos) << why;
			EXPECT_NE(why.find(": "), why.rfind(": ")) << why;
			EXPECT_EQ(why.find('\n'), std::string::npos) << why;
		}
	}
}

TEST(Refusal, IsCutOffAtTheBufferAndEnded)
{
	char why[16];
	struct machine m = good();
	m.gs = 1;
	EXPECT_EQ(detect_refusal(&m, LYCH_PKU, why, sizeof(why)), -EOPNOTSUPP);
	EXPECT_EQ(strlen(why), sizeof(why) - 1);
}

class ThisMachine : public testing::Test
{
protected:
	ThisMachine()
	{
		detect_machine(&m);
		m.gates = good().gates; // its caller's to say
	}
	struct machine m;
};

TEST_F(ThisMachine, HasDispatchAndFilters)
{
	EXPECT_EQ(m.dispatch.end, TRIAL_OK) << m.dispatch.err;
	EXPECT_EQ(m.filter.end, TRIAL_OK) << m.filter.err;
	EXPECT_TRUE(m.fsgsbase);
	EXPECT_EQ(m.gs, 0u);
	EXPECT_EQ(judge(m, LYCH_MPROTECT).rc, 0) << judge(m, LYCH_MPROTECT).why;
}

TEST_F(ThisMachine, FramesFitIntoWhatIsSaid)
{
	EXPECT_GT(m.frame_bytes, 1000u);
	EXPECT_LT(m.frame_bytes, 16384u);
}

TEST_F(ThisMachine, HasKeysThatWorkExactlyWhereTheKernelHasSwitchedThemOn)
{
	if (!m.cpu.ospke) {
		EXPECT_EQ(m.keys.end, TRIAL_NOT_RUN);
		EXPECT_EQ(judge(m).rc, -EOPNOTSUPP);
		ASSERT_EQ(getenv("LYCH_REQUIRE_PKU"), nullptr) << "no keys, and they were demanded";
		GTEST_SKIP() << judge(m).why;
	}
	EXPECT_EQ(m.keys.end, TRIAL_OK) << m.keys.err << " at " << m.keys.step;
	EXPECT_EQ(judge(m).rc, 0) << judge(m).why;
	EXPECT_TRUE(m.cpu.xsave_pkru);
}

TEST_F(ThisMachine, WritesWholeFramesFrom612On)
{
	struct utsname uts;
	int major = 0, minor = 0;

	if (!m.cpu.ospke) {
		GTEST_SKIP() << judge(m).why;
	}
	ASSERT_EQ(uname(&uts), 0);
	ASSERT_EQ(sscanf(uts.release, "%d.%d", &major, &minor), 2);
	bool whole = major > 6 || (major == 6 && minor >= 12);
	EXPECT_EQ(m.frames.end, whole ? TRIAL_OK : TRIAL_WRONG) << uts.release << ": " << m.frames.err;
}

static volatile sig_atomic_t children;
static void on_child(int)
{
	children = children + 1;
}

TEST(Experiments, AreNotNoticedByTheProgram)
{
	struct machine m;
	struct sigaction act = {}, before;
	sigset_t mask_before, mask_after;

	act.sa_handler = on_child;
	sigaction(SIGCHLD, &act, &before);
	sigprocmask(SIG_SETMASK, nullptr, &mask_before);
	detect_machine(&m);
	sigprocmask(SIG_SETMASK, nullptr, &mask_after);
	EXPECT_EQ(children, 0);
	EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "no child is left";
	EXPECT_EQ(memcmp(&mask_before, &mask_after, 8), 0) << "64 signals are all the kernel knows";
	sigaction(SIGCHLD, &before, nullptr);
}

TEST(Experiments, WorkWhereSigchldIsIgnored)
{
	struct machine m;
	auto before = signal(SIGCHLD, SIG_IGN);
	detect_machine(&m);
	signal(SIGCHLD, before);
	EXPECT_EQ(m.filter.end, TRIAL_OK);
}

TEST(Experiments, SayThatGsIsInUse)
{
	EXPECT_EXIT(
		{
			struct machine m;
			syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, 0x1234000UL);
			detect_machine(&m);
			exit(m.gs == 0x1234000 && judge(m).rc == -EOPNOTSUPP ? 0 : 1);
		},
		testing::ExitedWithCode(0), "");
}
