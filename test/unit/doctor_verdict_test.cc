// SPDX-License-Identifier: Apache-2.0
// The pure part of `lychgate doctor`, second half: from facts to lines and a verdict.
#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmd/probe.h"

using ::testing::HasSubstr;
using ::testing::Not;

namespace
{

template <class T> std::string row_name(const ::testing::TestParamInfo<T> &info)
{
	return info.param.name;
}

outcome ended(outcome_kind kind, int err = 0, int sig = 0, int step = 0, long value = 0)
{
	outcome o = {};
	o.kind = kind;
	o.err = err;
	o.sig = sig;
	o.step = step;
	o.value = value;
	return o;
}

outcome refused(int err)
{
	return ended(OUTCOME_ERRNO, err);
}

outcome killed(int sig)
{
	return ended(OUTCOME_KILLED, 0, sig);
}

// A machine on which all is well.
facts good()
{
	facts f = {};
	const outcome ok = ended(OUTCOME_OK);
	f.proc_mounted = true;
	f.cpuid = ok;
	f.cpu.pku = f.cpu.ospke = f.cpu.xsave_pkru = true;
	strcpy(f.cpu.vendor, "GenuineIntel");
	f.sgx_device = TRI_NO;
	f.shstk = ok;
	f.hwcap_fsgsbase = TRI_YES;
	strcpy(f.release, "6.12.5");
	f.kernel = kernel_version_parse("6.12.5", "", nullptr);
	f.cmdline_readable = TRI_YES;
	f.sud = f.frames = f.mseal = f.mdwe = f.mdwe_state = f.memfd_exec = ok;
	f.landlock = ended(OUTCOME_OK, 0, 0, 0, 6);
	f.exec_memory = f.personality = f.seccomp_install = f.gs = ok;
	f.maps.readable = TRI_YES;
	f.maps.vsyscall = VSYSCALL_NONE;
	f.keys = ended(OUTCOME_OK, ENOSPC, 0, 0, 15);
	f.selftest.end = ended(OUTCOME_OK, 0, 0, SELFTEST_DONE);
	f.selftest.key = f.selftest.smaps_key = f.selftest.fault_key = 1;
	f.selftest.faulted = f.selftest.fault_addr_right = true;
	f.selftest.fault_code = SEGV_PKUERR;
	f.rseq = TRI_YES;
	strcpy(f.libc_version, "2.36");
	return f;
}

// pkey_alloc fails: both probes see it.
void alloc_fails(facts &f, const outcome &how)
{
	f.keys = how;
	f.selftest.end = how;
	f.selftest.end.step = SELFTEST_ALLOC;
	f.selftest.faulted = false;
	f.selftest.key = -1;
}

report judged(const facts &f)
{
	report r = {};
	judge_checks(&r, &f);
	judge_verdict(&r, &f);
	return r;
}

const check *find_check(const report &r, const char *id)
{
	for (size_t i = 0; i < r.nchecks; i++) {
		if (strcmp(r.checks[i].id, id) == 0) {
			return &r.checks[i];
		}
	}
	return nullptr;
}

struct RefusalRow {
	const char *name;
	std::function<void(facts &)> spoil;
	std::vector<std::string> layers; // all that refuse, in order
	const char *reason, *advice;     // of the first, a part of each
};

class Refusal : public ::testing::TestWithParam<RefusalRow>
{
};

TEST_P(Refusal, NamesTheLayerAndTheWayOut)
{
	facts f = good();
	GetParam().spoil(f);
	report r = judged(f);
	EXPECT_FALSE(r.keys_work);
	std::vector<std::string> layers;
	for (size_t i = 0; i < r.nrefusals; i++) {
		layers.push_back(r.refusals[i].layer);
	}
	ASSERT_EQ(layers, GetParam().layers);
	EXPECT_THAT(r.refusals[0].reason, HasSubstr(GetParam().reason));
	EXPECT_THAT(r.refusals[0].advice, HasSubstr(GetParam().advice));
	for (size_t i = 0; i < r.noffers; i++) {
		bool needs_keys = strcmp(r.offers[i].id, "mprotect_backend") != 0;
		EXPECT_STREQ(r.offers[i].missing, needs_keys ? "protection keys" : "");
	}
}

const RefusalRow refusal_rows[] = {
	{"CpuWithoutKeys",
		[](facts &f) {
			f.cpu.pku = f.cpu.ospke = false;
			alloc_fails(f, refused(EINVAL));
		},
		{"cpu"}, "no protection keys", "another machine"},
	{"HypervisorHidesThem",
		[](facts &f) {
			f.cpu.pku = f.cpu.ospke = false;
			f.cpu.under_hypervisor = true;
			alloc_fails(f, refused(ENOSPC));
		},
		{"cpu"}, "virtual machine", "CPU model"},
	{"Nopku",
		[](facts &f) {
			f.cpu.ospke = false;
			f.nopku = "nopku";
			alloc_fails(f, refused(EINVAL));
		},
		{"kernel"}, "\"nopku\"", "command line"},
	{"KernelWithoutConfig",
		[](facts &f) {
			f.cpu.ospke = false;
			alloc_fails(f, refused(ENOSYS));
		},
		{"kernel"}, "has not switched them on", "CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS"},
	{"KernelMixesThreadsUp",
		[](facts &f) { f.kernel = kernel_version_parse("5.10.102", "", nullptr); },
		{"kernel"}, "another's rights", "5.13"},
	{"SeccompSaysEperm", [](facts &f) { alloc_fails(f, refused(EPERM)); }, {"seccomp"}, "EPERM",
		"seccomp profile"},
	{"SeccompSaysEnosys",
		[](facts &f) {
			f.seccomp_mode = 2;
			alloc_fails(f, refused(ENOSYS));
		},
		{"seccomp"}, "ENOSYS", "seccomp profile"},
	{"SeccompKills", [](facts &f) { alloc_fails(f, killed(SIGSYS)); }, {"seccomp"},
		"killed by SIGSYS", "seccomp profile"},
	{"SeccompForbidsTaggingAlone",
		[](facts &f) {
			f.selftest.end = refused(EPERM);
			f.selftest.end.step = SELFTEST_TAG;
		},
		{"seccomp"}, "pkey_mprotect: refused with EPERM", "pkey_mprotect"},
	{"CpuAndSeccomp",
		[](facts &f) {
			f.cpu.pku = f.cpu.ospke = false;
			alloc_fails(f, refused(EPERM));
		},
		{"cpu", "seccomp"}, "no protection keys", "another machine"},
	{"GVisor",
		[](facts &f) {
			f.container = CONTAINER_GVISOR;
			f.kernel = kernel_version_parse("4.4.0", "", nullptr);
			alloc_fails(f, refused(ENOSYS));
		},
		{"sandbox"}, "gVisor", "runc"},
	{"CpuAndWsl1",
		[](facts &f) {
			f.cpu.pku = f.cpu.ospke = false;
			f.container = CONTAINER_WSL1;
			alloc_fails(f, refused(ENOSYS));
		},
		{"cpu", "sandbox"}, "no protection keys", "another machine"},
	{"OldKernelWithoutTheCall", [](facts &f) { alloc_fails(f, refused(ENOSYS)); }, {"kernel"},
		"ENOSYS", "4.9"},
	{"AllKeysTaken", [](facts &f) { alloc_fails(f, refused(ENOSPC)); }, {"keys"}, "taken",
		"preload"},
	{"CpuidTrapsAndKeysFail",
		[](facts &f) {
			f.cpuid = killed(SIGSEGV);
			f.cpu = cpu{};
			alloc_fails(f, refused(EINVAL));
		},
		{"kernel"}, "EINVAL", "try"},
	{"ProbeHangs", [](facts &f) { alloc_fails(f, ended(OUTCOME_TIMEOUT)); }, {"self-test"},
		"no answer", "try"},
	{"NoChildProcess", [](facts &f) { f.selftest.end = ended(OUTCOME_UNKNOWN); }, {"self-test"},
		"no child", "report it"},
	{"FaultOfAnotherKind", [](facts &f) { f.selftest.fault_code = SEGV_MAPERR; }, {"self-test"},
		"SEGV_MAPERR (1), not as SEGV_PKUERR", "report it"},
	{"FaultWithAnotherKey", [](facts &f) { f.selftest.fault_key = 9; }, {"self-test"},
		"key 9, not key 1", "report it"},
	{"FaultAtAnotherAddress", [](facts &f) { f.selftest.fault_addr_right = false; },
		{"self-test"}, "another address", "report it"},
	{"SmapsShowsAnotherKey", [](facts &f) { f.selftest.smaps_key = 0; }, {"self-test"},
		"smaps shows key 0", "report it"},
	{"SmapsShowsNone", [](facts &f) { f.selftest.smaps_key = SMAPS_SHOWS_NONE; }, {"self-test"},
		"smaps shows no key", "report it"},
	{"WriteIsNotStopped",
		[](facts &f) {
			f.selftest.end = ended(OUTCOME_WRONG, 0, 0, SELFTEST_WRITE);
			f.selftest.faulted = false;
		},
		{"self-test"}, "was not stopped", "report it"},
	{"ReadIsStopped",
		[](facts &f) { f.selftest.end = ended(OUTCOME_WRONG, 0, 0, SELFTEST_READ); },
		{"self-test"}, "could not be read", "report it"},
	{"PageStaysProtected",
		[](facts &f) { f.selftest.end = ended(OUTCOME_WRONG, 0, 0, SELFTEST_RETAG, 1); },
		{"self-test"}, "stayed protected", "report it"},
	{"TestCrashes",
		[](facts &f) {
			f.selftest.end = killed(SIGSEGV);
			f.selftest.end.step = SELFTEST_WRITE;
		},
		{"self-test"}, "writing to the tagged page: killed by SIGSEGV", "report it"},
};
INSTANTIATE_TEST_SUITE_P(Layers, Refusal, ::testing::ValuesIn(refusal_rows), row_name<RefusalRow>);

struct WorksRow {
	const char *name;
	std::function<void(facts &)> change;
	const char *in_image, *library; // what is missing, a part; "" nothing
};

class Works : public ::testing::TestWithParam<WorksRow>
{
};

TEST_P(Works, AndSaysWhatTheRuntimeLacks)
{
	facts f = good();
	GetParam().change(f);
	report r = judged(f);
	EXPECT_TRUE(r.keys_work);
	EXPECT_EQ(r.nrefusals, 0u);
	ASSERT_EQ(r.noffers, 3u);
	const char *expected[] = {GetParam().in_image, GetParam().library, ""};
	for (size_t i = 0; i < 3; i++) {
		EXPECT_EQ(r.offers[i].missing[0] == '\0', expected[i][0] == '\0')
			<< r.offers[i].missing;
		EXPECT_THAT(r.offers[i].missing, HasSubstr(expected[i]));
	}
}

const WorksRow works_rows[] = {
	{"Everything", [](facts &) {}, "", ""},
	{"SmapsUnreadable", [](facts &f) { f.selftest.smaps_key = SMAPS_UNREADABLE; }, "", ""},
	{"CpuidTraps",
		[](facts &f) {
			f.cpuid = killed(SIGSEGV);
			f.cpu = cpu{};
		},
		"", ""},
	{"FramesWithFewRights", [](facts &f) { f.frames = ended(OUTCOME_WRONG); }, "", "6.12"},
	{"FramesUntriedOnANewKernel", [](facts &f) { f.frames = ended(OUTCOME_UNKNOWN); }, "", ""},
	{"FramesUntriedOnAnOldKernel",
		[](facts &f) {
			f.frames = ended(OUTCOME_UNKNOWN);
			f.kernel = kernel_version_parse("6.11.0", "", nullptr);
		},
		"", "6.12"},
	{"NoDispatch", [](facts &f) { f.sud = refused(EINVAL); }, "Syscall User Dispatch",
		"Syscall User Dispatch"},
	{"NoSeccomp", [](facts &f) { f.seccomp_install = refused(EINVAL); }, "seccomp", "seccomp"},
	{"GsTaken", [](facts &f) { f.gs.value = 0x1000; }, "gs base", "gs base"},
	{"NoFsgsbase", [](facts &f) { f.hwcap_fsgsbase = TRI_NO; }, "FSGSBASE", "FSGSBASE"},
	{"TwoKeysLeft", [](facts &f) { f.keys.value = 2; }, "three free keys", "three free keys"},
	{"ThreeKeysLeft", [](facts &f) { f.keys.value = 3; }, "", ""},
	{"Kernel5_10Mended",
		[](facts &f) {
			f.kernel = kernel_version_parse("5.10.103", "", nullptr);
			f.frames = ended(OUTCOME_WRONG);
		},
		"5.13", "5.13"},
	{"ExecmemDenied", [](facts &f) { f.exec_memory = refused(EACCES); }, "", "executable"},
	{"ShadowStacksInUse", [](facts &f) { f.shstk.value = 1; }, "", "shadow stacks"},
};
INSTANTIATE_TEST_SUITE_P(Machines, Works, ::testing::ValuesIn(works_rows), row_name<WorksRow>);

// ---- single checks ------------------------------------------------------------------------------

struct CheckRow {
	const char *name;
	std::function<void(facts &)> change;
	const char *id;
	check_status status;
	const char *fact, *advice;
};

class Check : public ::testing::TestWithParam<CheckRow>
{
};

TEST_P(Check, SaysSo)
{
	facts f = good();
	GetParam().change(f);
	report r = judged(f);
	const check *c = find_check(r, GetParam().id);
	ASSERT_NE(c, nullptr);
	EXPECT_EQ(c->status, GetParam().status);
	EXPECT_THAT(c->fact, HasSubstr(GetParam().fact));
	EXPECT_THAT(c->advice, HasSubstr(GetParam().advice));
}

const CheckRow check_rows[] = {
	{"Apx", [](facts &f) { f.cpu.apx = f.cpu.apx_on = true; }, "cpu.apx", CHECK_INFO, "REX2",
		""},
	{"SgxDevice", [](facts &f) { f.sgx_device = TRI_YES; }, "cpu.sgx", CHECK_WARN,
		"opens every key", "/dev/sgx_enclave"},
	{"ShadowStack", [](facts &f) { f.shstk.value = 1; }, "cpu.shadow_stack", CHECK_WARN,
		"in use", "x86_shstk=off"},
	{"DistributionKernel",
		[](facts &f) { f.kernel = kernel_version_parse("4.18.0-553.el8", "", nullptr); },
		"kernel.version", CHECK_WARN, "cannot tell", "ask your distribution"},
	{"NoVersion", [](facts &f) { f.kernel = kernel_version{}; }, "kernel.version", CHECK_WARN,
		"no version", ""},
	{"SudKilledBySeccomp", [](facts &f) { f.sud = killed(SIGSYS); }, "kernel.sud", CHECK_WARN,
		"a seccomp policy forbids it", ""},
	{"SudRefusedBySeccomp", [](facts &f) { f.sud = refused(EPERM); }, "kernel.sud", CHECK_WARN,
		"EPERM", "seccomp"},
	{"SudTooOld", [](facts &f) { f.sud = refused(EINVAL); }, "kernel.sud", CHECK_WARN, "EINVAL",
		"5.11"},
	{"SudWithoutEffect", [](facts &f) { f.sud = ended(OUTCOME_WRONG); }, "kernel.sud",
		CHECK_WARN, "without effect", ""},
	{"FramesTried", [](facts &) {}, "kernel.signal_frames", CHECK_OK, "(tried)", ""},
	{"FramesByVersion", [](facts &f) { f.frames = refused(ENOSPC); }, "kernel.signal_frames",
		CHECK_OK, "by version, not tried", ""},
	{"MsealAbsent", [](facts &f) { f.mseal = refused(ENOSYS); }, "kernel.mseal", CHECK_WARN,
		"ENOSYS", "6.10"},
	{"Execmem", [](facts &f) { f.exec_memory = refused(EACCES); }, "kernel.exec_memory",
		CHECK_WARN, "EACCES", "execmem"},
	{"MdweIsOn", [](facts &f) { f.mdwe_state.value = 1; }, "kernel.mdwe_state", CHECK_WARN,
		"on for this process", "MemoryDenyWriteExecute"},
	{"NoLandlock", [](facts &f) { f.landlock = refused(EOPNOTSUPP); }, "kernel.landlock",
		CHECK_INFO, "no Landlock", "lsm="},
	{"MemfdNoexec2", [](facts &f) { f.memfd_noexec = 2; }, "kernel.memfd_noexec", CHECK_INFO,
		"2:", ""},
	{"NoProc", [](facts &f) { f.memfd_noexec = NUMBER_UNKNOWN; }, "kernel.memfd_noexec",
		CHECK_INFO, "unknown: /proc", ""},
	{"VsyscallEmulate", [](facts &f) { f.maps.vsyscall = VSYSCALL_EMULATE; }, "kernel.vsyscall",
		CHECK_WARN, "readable", "vsyscall=xonly"},
	{"ReadImpliesExec", [](facts &f) { f.personality.value = 0x0400000; }, "kernel.personality",
		CHECK_WARN, "READ_IMPLIES_EXEC", "setarch"},
	{"PtraceScope", [](facts &f) { f.ptrace_scope = 3; }, "kernel.yama", CHECK_INFO,
		"no process", ""},
	{"StrangePtraceScope", [](facts &f) { f.ptrace_scope = 17; }, "kernel.yama", CHECK_INFO,
		"any process", ""},
	{"Docker", [](facts &f) { f.container = "Docker"; }, "sandbox.container", CHECK_INFO,
		"Docker", ""},
	{"FilterThatLetsKeysPass",
		[](facts &f) {
			f.seccomp_mode = 2;
			f.seccomp_filters = 3;
		},
		"sandbox.seccomp", CHECK_INFO, "3 seccomp filter", ""},
	{"SelinuxEnforces", [](facts &f) { f.selinux_enforce = 1; }, "sandbox.selinux", CHECK_INFO,
		"enforcing", ""},
	{"FewKeys", [](facts &f) { f.keys.value = 2; }, "keys.free", CHECK_WARN, "2 of 15", "V8"},
	{"ErrnoMisleads",
		[](facts &f) {
			f.cpu.pku = f.cpu.ospke = false;
			alloc_fails(f, refused(ENOSPC));
		},
		"keys.alloc", CHECK_NO, "ENOSPC", "EINVAL, then ENOSPC"},
	{"ExecOnly", [](facts &f) { f.maps.exec_only = 2; }, "keys.exec_only", CHECK_INFO,
		"2 execute-only", ""},
	{"OldGlibc", [](facts &f) { f.rseq = TRI_NO; }, "libc.rseq", CHECK_OK, "not registered",
		""},
	{"Rseq", [](facts &) {}, "libc.rseq", CHECK_INFO, "rseq", "glibc.pthread.rseq=0"},
	{"NotGlibc", [](facts &f) { f.libc_version[0] = '\0'; }, "libc.version", CHECK_WARN,
		"not glibc", ""},
	{"GsInUse", [](facts &f) { f.gs.value = 0x7f00; }, "process.gs", CHECK_WARN, "0x7f00",
		"preloaded"},
	{"Preload", [](facts &f) { f.preload_env = true; }, "process.preload", CHECK_INFO,
		"LD_PRELOAD", "scan"},
	{"SelftestPasses", [](facts &) {}, "selftest", CHECK_OK, "SEGV_PKUERR with key 1", ""},
};
INSTANTIATE_TEST_SUITE_P(Lines, Check, ::testing::ValuesIn(check_rows), row_name<CheckRow>);

TEST(Checks, IdsAreUniqueAndOfStableForm)
{
	facts f = good();
	f.mdwe_state.value = 1; // the only line that is not always there
	report r = judged(f);
	std::set<std::string> ids;
	for (size_t i = 0; i < r.nchecks; i++) {
		std::string id = r.checks[i].id;
		EXPECT_TRUE(ids.insert(id).second) << id;
		EXPECT_EQ(id.find_first_not_of("abcdefghijklmnopqrstuvwxyz_."), std::string::npos)
			<< id;
	}
	EXPECT_LT(r.nchecks, size_t{CHECKS_MAX}) << "full: a check may have been dropped";
}

TEST(Checks, NothingKnownIsNoCrashAndNoClaim)
{
	facts f = {};
	f.memfd_noexec = f.io_uring_disabled = f.perf_event_paranoid = f.ptrace_scope =
		NUMBER_UNKNOWN;
	f.seccomp_mode = f.seccomp_filters = f.no_new_privs = f.selinux_enforce = NUMBER_UNKNOWN;
	report r = judged(f);
	EXPECT_FALSE(r.keys_work);
	EXPECT_GE(r.nrefusals, 1u);
	for (const char *id :
		{"kernel.memfd_noexec", "kernel.vsyscall", "sandbox.seccomp", "keys.exec_only"}) {
		const check *c = find_check(r, id);
		ASSERT_NE(c, nullptr) << id;
		EXPECT_THAT(c->fact, HasSubstr("unknown")) << id;
	}
}

TEST(Checks, TextsFitAndNeverEndInTheMiddle)
{
	for (const RefusalRow &row : refusal_rows) {
		facts f = good();
		row.spoil(f);
		report r = judged(f);
		for (size_t i = 0; i < r.nchecks; i++) {
			EXPECT_LT(strlen(r.checks[i].fact), sizeof(r.checks[i].fact) - 1)
				<< r.checks[i].id;
			EXPECT_LT(strlen(r.checks[i].advice), sizeof(r.checks[i].advice) - 1)
				<< r.checks[i].id;
			EXPECT_STRNE(r.checks[i].fact, "") << r.checks[i].id;
			EXPECT_THAT(r.checks[i].fact, Not(HasSubstr("\n")));
		}
		for (size_t i = 0; i < r.nrefusals; i++) {
			EXPECT_LT(strlen(r.refusals[i].reason), sizeof(r.refusals[i].reason) - 1);
			EXPECT_STRNE(r.refusals[i].reason, "");
			EXPECT_STRNE(r.refusals[i].advice, "");
		}
	}
}

TEST(Checks, EveryNoSaysWhatToDoSomewhere)
{
	// The first refusal's check carries the advice; that is where a reader looks.
	facts f = good();
	f.cpu.pku = f.cpu.ospke = false;
	alloc_fails(f, refused(EINVAL));
	report r = judged(f);
	EXPECT_STRNE(find_check(r, "cpu.pku")->advice, "");
	EXPECT_STREQ(r.refusals[0].advice, find_check(r, "cpu.pku")->advice);
	EXPECT_STREQ(r.refusals[0].reason, find_check(r, "cpu.pku")->fact);
}

} // namespace
