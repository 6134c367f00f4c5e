// SPDX-License-Identifier: Apache-2.0
// The pure part of `lychgate doctor`, first half: what text and registers mean.
#include <cstring>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "cmd/probe.h"

namespace
{

template <class T> std::string row_name(const ::testing::TestParamInfo<T> &info)
{
	return info.param.name;
}

// ---- kernel versions ----------------------------------------------------------------------------

struct KernelRow {
	const char *name, *release, *version, *signature;
	tri sound, frames;
};

class KernelVersion : public ::testing::TestWithParam<KernelRow>
{
};

TEST_P(KernelVersion, DecidesWhetherKeysAreSoundAndFramesHaveFullRights)
{
	const KernelRow &row = GetParam();
	kernel_version v = kernel_version_parse(row.release, row.version, row.signature);
	EXPECT_EQ(kernel_pku_sound(&v), row.sound);
	EXPECT_EQ(kernel_at_least(&v, 6, 12), row.frames);
}

const KernelRow kernel_rows[] = {
	{"Linux4_8", "4.8.0", "", nullptr, TRI_NO, TRI_NO},
	{"Linux4_19_300", "4.19.300", "", nullptr, TRI_NO, TRI_NO},
	{"Linux5_4_181", "5.4.181", "#1 SMP", nullptr, TRI_NO, TRI_NO},
	{"Linux5_4_182", "5.4.182", "#1 SMP", nullptr, TRI_YES, TRI_NO},
	{"Linux5_10_102", "5.10.102", "#1 SMP", nullptr, TRI_NO, TRI_NO},
	{"Linux5_10_103", "5.10.103", "#1 SMP", nullptr, TRI_YES, TRI_NO},
	{"Linux5_11_22", "5.11.22", "#1 SMP", nullptr, TRI_NO, TRI_NO},
	{"Linux5_12", "5.12.0", "#1 SMP", nullptr, TRI_NO, TRI_NO},
	{"Linux5_12ReleaseCandidate", "5.12.0-rc3", "#1 SMP", nullptr, TRI_NO, TRI_NO},
	{"Linux5_13", "5.13.0", "#1 SMP", nullptr, TRI_YES, TRI_NO},
	{"Linux6_1", "6.1.0-50-cloud-amd64", "#1 SMP Debian 6.1.176-1", nullptr, TRI_YES, TRI_NO},
	{"Linux6_9", "6.9.12", "#1 SMP", nullptr, TRI_YES, TRI_NO},
	{"Linux6_12", "6.12", "#1 SMP", nullptr, TRI_YES, TRI_YES},
	{"Linux6_12WithSuffix", "6.12.95+deb12-cloud-amd64", "#1 SMP", nullptr, TRI_YES, TRI_YES},
	{"Linux7_0", "7.0.1", "#1 SMP", nullptr, TRI_YES, TRI_YES},
	{"Debian11BeforeTheFix", "5.10.0-11-amd64", "#1 SMP Debian 5.10.92-1 (2022-01-18)", nullptr,
		TRI_NO, TRI_NO},
	{"Debian11AfterTheFix", "5.10.0-30-amd64", "#1 SMP Debian 5.10.218-1 (2024-06-01)", nullptr,
		TRI_YES, TRI_NO},
	{"UbuntuBeforeTheFix", "5.4.0-100-generic", "#113-Ubuntu SMP Thu Feb 3 18:43:29 UTC 2022",
		"Ubuntu 5.4.0-100.113-generic 5.4.166", TRI_NO, TRI_NO},
	{"UbuntuAfterTheFix", "5.4.0-150-generic", "#167-Ubuntu SMP Mon May 15 17:35:05 UTC 2023",
		"Ubuntu 5.4.0-150.167-generic 5.4.233", TRI_YES, TRI_NO},
	{"UbuntuWithoutSignature", "5.4.0-150-generic",
		"#167-Ubuntu SMP Mon May 15 17:35:05 UTC 2023", nullptr, TRI_UNKNOWN, TRI_NO},
	{"RedHat8", "4.18.0-553.el8_10.x86_64", "#1 SMP Fri May 10 15:19:13 EDT 2024", nullptr,
		TRI_UNKNOWN, TRI_NO},
	{"RedHat9IsNewEnough", "5.14.0-427.el9.x86_64", "#1 SMP", nullptr, TRI_YES, TRI_NO},
	{"AmazonKeepsTheTrueNumber", "5.10.102-99.473.amzn2.x86_64", "#1 SMP", nullptr, TRI_NO,
		TRI_NO},
	{"OtherVersionInTheTextIsNotTheKernels", "5.10.0-11-amd64",
		"#1 SMP gcc 10.2.1 of 2022.01.18", nullptr, TRI_UNKNOWN, TRI_NO},
	{"GVisorsFixedNumber", "4.4.0", "#1 SMP Sun Jan 10 15:06:54 PST 2016", nullptr, TRI_NO,
		TRI_NO},
	{"Empty", "", "", nullptr, TRI_UNKNOWN, TRI_UNKNOWN},
	{"NoNumber", "rolling", "", nullptr, TRI_UNKNOWN, TRI_UNKNOWN},
	{"OnlyMajor", "6", "", nullptr, TRI_UNKNOWN, TRI_UNKNOWN},
	{"HugeNumber", "99999999999999999999.1", "", nullptr, TRI_UNKNOWN, TRI_UNKNOWN},
};
INSTANTIATE_TEST_SUITE_P(
	Kernels, KernelVersion, ::testing::ValuesIn(kernel_rows), row_name<KernelRow>);

struct CmdlineRow {
	const char *name, *cmdline, *found;
};

class Cmdline : public ::testing::TestWithParam<CmdlineRow>
{
};

TEST_P(Cmdline, TellsWhatSwitchesKeysOff)
{
	EXPECT_STREQ(cmdline_disables_pku(GetParam().cmdline), GetParam().found);
}

const CmdlineRow cmdline_rows[] = {
	{"Nopku", "console=ttyS0 nopku quiet\n", "nopku"},
	{"NopkuLast", "quiet nopku", "nopku"},
	{"None", "console=ttyS0 quiet\n", nullptr},
	{"Empty", "", nullptr},
	{"PartOfAWord", "nopkus=1 xnopku foo=nopku", nullptr},
	{"ForInit", "quiet -- nopku", nullptr},
	{"ClearByName", "clearcpuid=umip,pku quiet", "clearcpuid=pku"},
	{"ClearByNumber", "clearcpuid=515", "clearcpuid=pku"},
	{"ClearOspke", "clearcpuid=ospke", "clearcpuid=ospke"},
	{"ClearOspkeByNumber", "clearcpuid=1,516 x", "clearcpuid=ospke"},
	{"ClearOther", "clearcpuid=umip,5150 pku", nullptr},
};
INSTANTIATE_TEST_SUITE_P(Lines, Cmdline, ::testing::ValuesIn(cmdline_rows), row_name<CmdlineRow>);

// ---- CPUID --------------------------------------------------------------------------------------

cpuid_raw registers(const std::function<void(cpuid_raw &)> &change)
{
	cpuid_raw raw = {};
	raw.max_leaf = 0x20;
	raw.leaf7_max_subleaf = 2;
	change(raw);
	return raw;
}

struct CpuRow {
	const char *name;
	std::function<void(cpuid_raw &)> set;
	std::function<bool(const cpu &)> get;
};

class CpuBit : public ::testing::TestWithParam<CpuRow>
{
};

TEST_P(CpuBit, IsReadAndNoOtherIs)
{
	cpu none = {}, with = {};
	cpuid_raw zero = registers([](cpuid_raw &) {});
	cpuid_raw raw = registers(GetParam().set);
	cpu_decode(&none, &zero);
	cpu_decode(&with, &raw);
	EXPECT_FALSE(GetParam().get(none));
	EXPECT_TRUE(GetParam().get(with));
	int seen = with.pku + with.ospke + with.xsave_pkru + with.apx + with.uintr + with.sgx +
		   with.shstk + with.amx + with.fsgsbase + with.under_hypervisor;
	EXPECT_EQ(seen, 1);
}

const CpuRow cpu_rows[] = {
	{"Pku", [](cpuid_raw &r) { r.leaf7_ecx = 1u << 3; }, [](const cpu &c) { return c.pku; }},
	{"Ospke", [](cpuid_raw &r) { r.leaf7_ecx = 1u << 4; },
		[](const cpu &c) { return c.ospke; }},
	{"ShadowStack", [](cpuid_raw &r) { r.leaf7_ecx = 1u << 7; },
		[](const cpu &c) { return c.shstk; }},
	{"Fsgsbase", [](cpuid_raw &r) { r.leaf7_ebx = 1u << 0; },
		[](const cpu &c) { return c.fsgsbase; }},
	{"Sgx", [](cpuid_raw &r) { r.leaf7_ebx = 1u << 2; }, [](const cpu &c) { return c.sgx; }},
	{"Uintr", [](cpuid_raw &r) { r.leaf7_edx = 1u << 5; },
		[](const cpu &c) { return c.uintr; }},
	{"Amx", [](cpuid_raw &r) { r.leaf7_edx = 1u << 24; }, [](const cpu &c) { return c.amx; }},
	{"Apx", [](cpuid_raw &r) { r.leaf7_1_edx = 1u << 21; },
		[](const cpu &c) { return c.apx && !c.apx_on; }},
	{"ApxSwitchedOn",
		[](cpuid_raw &r) {
			r.leaf7_1_edx = 1u << 21;
			r.xcr0 = UINT64_C(1) << 19;
		},
		[](const cpu &c) { return c.apx && c.apx_on; }},
	{"XsavePkru",
		[](cpuid_raw &r) {
			r.xcr0 = 1u << 9;
			r.xstate9_eax = 8;
			r.xstate9_ebx = 2688;
		},
		[](const cpu &c) {
			return c.xsave_pkru && c.xsave_pkru_size == 8 &&
			       c.xsave_pkru_offset == 2688;
		}},
	{"Hypervisor", [](cpuid_raw &r) { r.leaf1_ecx = 1u << 31; },
		[](const cpu &c) { return c.under_hypervisor; }},
};
INSTANTIATE_TEST_SUITE_P(Bits, CpuBit, ::testing::ValuesIn(cpu_rows), row_name<CpuRow>);

TEST(Cpu, LeavesBeyondTheLastOneMeanNothing)
{
	cpu c = {};
	cpuid_raw raw = registers([](cpuid_raw &r) {
		r.max_leaf = 6;
		r.leaf7_ebx = r.leaf7_ecx = r.leaf7_edx = r.leaf7_1_edx = ~0u;
	});
	cpu_decode(&c, &raw);
	EXPECT_FALSE(c.pku || c.ospke || c.fsgsbase || c.sgx || c.uintr || c.amx || c.apx);

	raw.max_leaf = 7;
	raw.leaf7_max_subleaf = 0;
	cpu_decode(&c, &raw);
	EXPECT_TRUE(c.pku);
	EXPECT_FALSE(c.apx);
}

TEST(Cpu, NamesBecomePrintable)
{
	cpu c = {};
	cpuid_raw raw = registers([](cpuid_raw &r) {
		memcpy(r.vendor, "GenuineIntel", 12);
		memcpy(r.brand, "  Brand \xff\x01 of forty-eight characters, all taken!!!", 48);
		r.leaf1_ecx = 1u << 31;
		memcpy(r.hypervisor, "KVMKVMKVM\0\0\0", 12);
	});
	cpu_decode(&c, &raw);
	EXPECT_STREQ(c.vendor, "GenuineIntel");
	EXPECT_EQ(std::string(c.brand).rfind("Brand ?? of", 0), 0u) << c.brand;
	EXPECT_STREQ(c.hypervisor, "KVMKVMKVM");
}

// ---- /proc --------------------------------------------------------------------------------------

TEST(Maps, VsyscallModesAreToldApart)
{
	struct {
		const char *line;
		vsyscall mode;
	} rows[] = {
		{"ffffffffff600000-ffffffffff601000 r-xp 00000000 00:00 0                  [vsyscall]\n",
			VSYSCALL_EMULATE},
		{"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n",
			VSYSCALL_XONLY},
		{"7ffd1d5c5000-7ffd1d5e6000 rw-p 00000000 00:00 0                          [stack]\n",
			VSYSCALL_NONE},
		{"not a line of maps [vsyscall]\n", VSYSCALL_UNKNOWN},
		{"ffffffffff600000-ffffffffff601000 r\n", VSYSCALL_UNKNOWN},
		{"", VSYSCALL_UNKNOWN},
	};
	for (const auto &row : rows) {
		maps_facts maps = {};
		maps_line(&maps, row.line);
		EXPECT_EQ(maps.vsyscall, row.mode) << row.line;
	}
}

TEST(Maps, ExecuteOnlyMappingsAreCountedWithoutVsyscall)
{
	maps_facts maps = {};
	maps_line(&maps, "5583c000-5583d000 r-xp 00001000 fe:01 1234 /usr/bin/cat\n");
	maps_line(&maps, "7f0000000000-7f0000001000 --xp 00000000 00:00 0 \n");
	maps_line(&maps, "7f0000001000-7f0000002000 -wxp 00000000 00:00 0 \n");
	maps_line(&maps, "7f0000002000-7f0000003000 ---p 00000000 00:00 0 \n");
	maps_line(&maps, "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n");
	EXPECT_EQ(maps.readable, TRI_YES);
	EXPECT_EQ(maps.exec_only, 2u);
	EXPECT_EQ(maps.vsyscall, VSYSCALL_XONLY);
}

TEST(Smaps, TheKeyIsThatOfTheMappingAskedFor)
{
	const char *lines[] = {
		"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n",
		"ProtectionKey:         5\n",
		"7f0000001000-7f0000003000 rw-p 00000000 00:00 0 \n",
		"Size:                  8 kB\n",
		"ProtectionKey:         3\n",
		"7f0000003000-7f0000004000 rw-p 00000000 00:00 0 \n",
		"ProtectionKey:         7\n",
	};
	struct {
		uint64_t addr;
		int key;
	} rows[] = {{0x7f0000000fff, 5}, {0x7f0000001000, 3}, {0x7f0000002fff, 3},
		{0x7f0000003000, 7}, {0x7f0000004000, SMAPS_SHOWS_NONE}};
	for (const auto &row : rows) {
		smaps_search s = {row.addr, false, SMAPS_SHOWS_NONE};
		for (const char *line : lines) {
			smaps_line(&s, line);
		}
		EXPECT_EQ(s.key, row.key) << std::hex << row.addr;
	}
}

TEST(Status, FieldsAreFoundAtTheStartOfALineOnly)
{
	const char *text =
		"Name:\tSeccomp: 7\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\nOdd:\tx\n";
	EXPECT_EQ(status_number(text, "Seccomp:"), 2);
	EXPECT_EQ(status_number(text, "Seccomp_filters:"), 3);
	EXPECT_EQ(status_number(text, "NoNewPrivs:"), 1);
	EXPECT_EQ(status_number(text, "Absent:"), NUMBER_ABSENT);
	EXPECT_EQ(status_number(text, "Odd:"), NUMBER_UNKNOWN);
	EXPECT_EQ(status_number("", "Seccomp:"), NUMBER_ABSENT);
}

// ---- containers ---------------------------------------------------------------------------------

struct ContainerRow {
	const char *name;
	container_signs signs;
	const char *expected;
};

container_signs signs(const std::function<void(container_signs &)> &change)
{
	container_signs s = {};
	s.release = "6.1.0-50-amd64";
	s.version = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1";
	change(s);
	return s;
}

class Container : public ::testing::TestWithParam<ContainerRow>
{
};

TEST_P(Container, IsRecognised)
{
	EXPECT_STREQ(container_name(&GetParam().signs), GetParam().expected);
}

const ContainerRow container_rows[] = {
	{"Nothing", signs([](container_signs &) {}), nullptr},
	{"NothingReadable", container_signs{}, nullptr},
	{"HostCgroup", signs([](container_signs &s) { s.cgroup = "0::/init.scope\n"; }), nullptr},
	{"DockerFile", signs([](container_signs &s) { s.dockerenv = true; }), "Docker"},
	{"DockerCgroup1",
		signs([](container_signs &s) { s.cgroup = "12:memory:/docker/0123abcd\n"; }),
		"Docker"},
	{"DockerSystemdCgroup", signs([](container_signs &s) {
		 s.cgroup = "0::/system.slice/docker-0123.scope\n";
	 }),
		"Docker"},
	{"Kubernetes", signs([](container_signs &s) { s.cgroup = "0::/kubepods.slice/x\n"; }),
		"Kubernetes"},
	{"KubernetesByService",
		signs([](container_signs &s) { s.kubernetes = s.dockerenv = true; }), "Kubernetes"},
	{"PodmanFile", signs([](container_signs &s) { s.containerenv = ""; }), "Podman"},
	{"PodmanEnviron", signs([](container_signs &s) {
		 s.environ1 = "TERM=xterm\ncontainer=podman\nHOME=/\n";
	 }),
		"Podman"},
	{"PodmanCgroup",
		signs([](container_signs &s) { s.cgroup = "0::/machine.slice/libpod-01.scope\n"; }),
		"Podman"},
	{"LxcEnviron", signs([](container_signs &s) { s.environ1 = "container=lxc\n"; }), "LXC"},
	{"LxcCgroup",
		signs([](container_signs &s) { s.cgroup = "0::/lxc.payload.web/init.scope\n"; }),
		"LXC"},
	{"Nspawn", signs([](container_signs &s) { s.environ1 = "container=systemd-nspawn\n"; }),
		"systemd-nspawn"},
	{"EnvironIsNotMatchedInside", signs([](container_signs &s) {
		 s.environ1 = "my_container=lxc\ncontainer=lxcx\n";
	 }),
		nullptr},
	{"GVisor", signs([](container_signs &s) {
		 s.release = "4.4.0";
		 s.version = "#1 SMP Sun Jan 10 15:06:54 PST 2016";
		 s.dockerenv = true;
	 }),
		CONTAINER_GVISOR},
	{"Wsl1", signs([](container_signs &s) { s.release = "4.4.0-19041-Microsoft"; }),
		CONTAINER_WSL1},
	{"Wsl2",
		signs([](container_signs &s) { s.release = "5.15.153.1-microsoft-standard-WSL2"; }),
		"WSL 2"},
};
INSTANTIATE_TEST_SUITE_P(
	Signs, Container, ::testing::ValuesIn(container_rows), row_name<ContainerRow>);

} // namespace
