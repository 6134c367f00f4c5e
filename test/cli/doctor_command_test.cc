// SPDX-License-Identifier: Apache-2.0
// `lychgate doctor` as a user runs it: streams, exit codes, JSON, and under policies that forbid things.
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <jansson.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

namespace
{

struct Result {
	int status = -1; // exit status, or 128 + signal
	std::string out, err;
};

// Exit status of a child whose setup says that this machine cannot do it.
constexpr int kSetupImpossible = 99;

using Setup = std::function<bool()>;

Result doctor(std::vector<std::string> args, const Setup &setup = nullptr,
	const char *stdout_path = nullptr)
{
	int out[2], err[2];
	EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
	EXPECT_EQ(pipe2(err, O_CLOEXEC), 0);
	args.insert(args.begin(), {LYCHGATE_COMMAND, "doctor"});
	std::vector<char *> argv;
	for (std::string &arg : args) {
		argv.push_back(arg.data());
	}
	argv.push_back(nullptr);

	pid_t pid = fork();
	if (pid == 0) {
		dup2(stdout_path != nullptr ? open(stdout_path, O_WRONLY) : out[1], 1);
		dup2(err[1], 2);
		unsetenv("NO_COLOR");
		if (setup && !setup()) {
			_exit(kSetupImpossible);
		}
		execv(argv[0], argv.data());
		_exit(98);
	}
	close(out[1]);
	close(err[1]);
	Result run;
	pollfd fds[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
	std::string *texts[2] = {&run.out, &run.err};
	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		poll(fds, 2, -1);
		for (int i = 0; i < 2; i++) {
			char buf[4096];
			if (fds[i].revents == 0) {
				continue;
			}
			ssize_t n = read(fds[i].fd, buf, sizeof(buf));
			if (n <= 0) {
				close(fds[i].fd);
				fds[i].fd = -1;
			} else {
				texts[i]->append(buf, static_cast<size_t>(n));
			}
		}
	}
	int status = 0;
	EXPECT_EQ(waitpid(pid, &status, 0), pid);
	run.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return run;
}

struct Check {
	std::string status, fact, advice;
};

// What --json said, in C++.
struct Diagnosis {
	bool keys_work = false;
	std::string reason_layer, reason;
	std::vector<std::string> layers; // of all refusals
	std::vector<std::string> order;  // of the checks
	std::map<std::string, Check> checks;
	std::map<std::string, bool> possible;
};

std::string text_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	EXPECT_TRUE(json_is_string(value) || json_is_null(value)) << key;
	return json_is_string(value) ? json_string_value(value) : "";
}

void parse(Diagnosis *d, const std::string &text)
{
	json_error_t error;
	std::unique_ptr<json_t, void (*)(json_t *)> root(
		json_loads(text.c_str(), JSON_REJECT_DUPLICATES, &error), json_decref);
	ASSERT_NE(root, nullptr) << error.text << "\n" << text;
	EXPECT_EQ(text_of(root.get(), "schema"), "lychgate-doctor/1");
	EXPECT_NE(text_of(root.get(), "version"), "");

	size_t i;
	json_t *one;
	json_array_foreach(json_object_get(root.get(), "checks"), i, one)
	{
		std::string id = text_of(one, "id");
		EXPECT_EQ(json_object_size(one), 4u) << id;
		EXPECT_EQ(d->checks.count(id), 0u) << id;
		d->order.push_back(id);
		d->checks[id] = {
			text_of(one, "status"), text_of(one, "fact"), text_of(one, "advice")};
		EXPECT_THAT(d->checks[id].status, AnyOf("ok", "no", "warn", "info"));
	}
	const json_t *verdict = json_object_get(root.get(), "verdict");
	ASSERT_TRUE(json_is_boolean(json_object_get(verdict, "keys_work")));
	d->keys_work = json_is_true(json_object_get(verdict, "keys_work"));
	d->reason_layer = text_of(verdict, "reason_layer");
	d->reason = text_of(verdict, "reason");
	json_array_foreach(json_object_get(verdict, "refusals"), i, one)
	{
		d->layers.push_back(text_of(one, "layer"));
		EXPECT_NE(text_of(one, "reason"), "");
	}
	json_array_foreach(json_object_get(root.get(), "runtime"), i, one)
	{
		d->possible[text_of(one, "id")] = json_is_true(json_object_get(one, "possible"));
	}
}

Diagnosis diagnose(const Setup &setup = nullptr, Result *run_out = nullptr)
{
	Result run = doctor({"--json"}, setup);
	Diagnosis d;
	if (run_out != nullptr) {
		*run_out = run;
	}
	if (run.status == kSetupImpossible) {
		return d;
	}
	parse(&d, run.out);
	EXPECT_THAT(run.err, IsEmpty());
	EXPECT_EQ(run.status, d.keys_work ? 0 : 3);
	EXPECT_EQ(d.reason_layer.empty(), d.keys_work);
	EXPECT_EQ(d.layers.empty(), d.keys_work);
	return d;
}

bool cpuinfo_has(const std::string &flag)
{
	std::ifstream file("/proc/cpuinfo");
	for (std::string line; std::getline(file, line);) {
		if (line.rfind("flags", 0) == 0) {
			return (line + " ").find(" " + flag + " ") != std::string::npos;
		}
	}
	return false;
}

// Installs a filter that answers the system calls listed with action, and lets all others pass.
Setup filter(std::vector<int> calls, uint32_t action)
{
	return [calls, action] {
		std::vector<sock_filter> code = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
		for (int nr : calls) {
			code.push_back(BPF_JUMP(
				BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(nr), 0, 1));
			code.push_back(BPF_STMT(BPF_RET | BPF_K, action));
		}
		code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
		sock_fprog prog = {static_cast<unsigned short>(code.size()), code.data()};
		return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
	};
}

constexpr int kMseal = 462, kLandlockCreateRuleset = 444;

// ---- the verdict --------------------------------------------------------------------------------

TEST(Doctor, AgreesWithCpuinfo)
{
	Diagnosis d = diagnose();
	EXPECT_EQ(d.checks["cpu.ospke"].status, cpuinfo_has("ospke") ? "ok" : "no");
	if (cpuinfo_has("pku")) {
		EXPECT_EQ(d.checks["cpu.pku"].status, "ok");
	} else {
		// the CPU has none, or the kernel was told to forget them and hides the flag
		EXPECT_FALSE(d.keys_work);
		EXPECT_EQ(d.reason_layer, d.checks["cpu.pku"].status == "ok" ? "kernel" : "cpu");
	}
	EXPECT_TRUE(d.possible["mprotect_backend"]);
	EXPECT_EQ(d.possible.size(), 3u);
}

TEST(Doctor, SelftestPassesWhereKeysAreRequired)
{
	const char *required = getenv("LYCH_REQUIRE_PKU");
	if (!cpuinfo_has("ospke") && (required == nullptr || std::string(required) != "1")) {
		GTEST_SKIP() << "no protection keys here: /proc/cpuinfo has no flag ospke";
	}
	Diagnosis d = diagnose();
	EXPECT_TRUE(d.keys_work) << d.reason;
	EXPECT_EQ(d.checks["selftest"].status, "ok") << d.checks["selftest"].fact;
	EXPECT_THAT(d.checks["selftest"].fact, HasSubstr("SEGV_PKUERR"));
	EXPECT_EQ(d.checks["keys.free"].status, "ok");
	// with keys it is tried, never taken from the version
	EXPECT_THAT(d.checks["kernel.signal_frames"].fact, HasSubstr("(tried)"));
	const char *kernel = getenv("LYCH_VM_KERNEL");
	if (kernel != nullptr) {
		bool new_frames = std::string(kernel) != "6.1";
		EXPECT_EQ(d.checks["kernel.signal_frames"].status, new_frames ? "ok" : "warn");
		EXPECT_EQ(d.possible["in_image_domains"], true);
		EXPECT_EQ(d.possible["library_domains"], new_frames);
	}
}

// ---- policies that forbid -----------------------------------------------------------------------

struct PolicyRow {
	const char *name;
	uint32_t action;
	const char *fact; // of keys.alloc
};

class SeccompPolicy : public ::testing::TestWithParam<PolicyRow>
{
};

TEST_P(SeccompPolicy, ThatForbidsKeysIsNamed)
{
	bool keys_without = diagnose().keys_work;
	Diagnosis d = diagnose(
		filter({SYS_pkey_alloc, SYS_pkey_free, SYS_pkey_mprotect}, GetParam().action));
	EXPECT_FALSE(d.keys_work);
	EXPECT_THAT(d.layers, ::testing::Contains("seccomp"));
	if (keys_without) {
		EXPECT_EQ(d.reason_layer, "seccomp");
		EXPECT_EQ(d.layers.size(), 1u);
	}
	EXPECT_EQ(d.checks["sandbox.seccomp"].status, "no");
	EXPECT_THAT(d.checks["sandbox.seccomp"].advice, HasSubstr("seccomp profile"));
	EXPECT_EQ(d.checks["keys.alloc"].status, "no");
	EXPECT_THAT(d.checks["keys.alloc"].fact, HasSubstr(GetParam().fact));
}

const PolicyRow policies[] = {
	{"SaysEperm", SECCOMP_RET_ERRNO | EPERM, "EPERM"},
	{"SaysEnosys", SECCOMP_RET_ERRNO | ENOSYS, "ENOSYS"},
	{"KillsTheProcess", SECCOMP_RET_KILL_PROCESS, "killed by SIGSYS"},
	{"KillsTheThread", SECCOMP_RET_KILL_THREAD, "killed by SIGSYS"},
	{"Traps", SECCOMP_RET_TRAP, "killed by SIGSYS"},
};
INSTANTIATE_TEST_SUITE_P(Filters, SeccompPolicy, ::testing::ValuesIn(policies),
	[](const auto &row) { return row.param.name; });

TEST(Doctor, TaggingForbiddenAloneIsNamedWhereKeysWork)
{
	if (!cpuinfo_has("ospke")) {
		GTEST_SKIP() << "no protection keys here: pkey_alloc fails before";
	}
	Diagnosis d = diagnose(filter({SYS_pkey_mprotect}, SECCOMP_RET_ERRNO | EPERM));
	EXPECT_EQ(d.reason_layer, "seccomp");
	EXPECT_THAT(d.reason, HasSubstr("pkey_mprotect"));
}

TEST(Doctor, PolicyThatKillsOtherProbesDoesNotEndTheExamination)
{
	Diagnosis before = diagnose();
	Diagnosis d =
		diagnose(filter({kMseal, kLandlockCreateRuleset, SYS_memfd_create, SYS_personality},
			SECCOMP_RET_KILL_PROCESS));
	EXPECT_EQ(d.keys_work, before.keys_work);
	EXPECT_EQ(d.order, before.order);
	for (const char *id : {"kernel.mseal", "kernel.memfd_exec", "kernel.landlock"}) {
		EXPECT_THAT(d.checks[id].fact, HasSubstr("a seccomp policy forbids it")) << id;
	}
	EXPECT_EQ(
		d.checks["kernel.exec_memory"].status, before.checks["kernel.exec_memory"].status);
}

TEST(Doctor, ProbeThatHangsIsGivenUp)
{
	Result run;
	Diagnosis d = diagnose(
		[] {
			// a supervisor that never answers: the call waits for ever
			sock_filter code[] = {
				BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
				BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kMseal, 0, 1),
				BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
				BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
			};
			sock_fprog prog = {4, code};
			if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
				return false;
			}
			long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
			return fd >= 0 && fcntl(static_cast<int>(fd), F_SETFD, 0) == 0;
		},
		&run);
	if (run.status == kSetupImpossible) {
		GTEST_SKIP() << "seccomp user notification cannot be set up here";
	}
	EXPECT_THAT(d.checks["kernel.mseal"].fact, HasSubstr("no answer in time"));
	EXPECT_EQ(d.checks.count("selftest"), 1u) << "the examination goes on";
}

TEST(Doctor, SeesThatGlibcWasToldNotToRegisterRseq)
{
	if (diagnose().checks["libc.rseq"].status != "info") {
		GTEST_SKIP() << "glibc does not register rseq here anyway";
	}
	Diagnosis d =
		diagnose([] { return setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1) == 0; });
	EXPECT_EQ(d.checks["libc.rseq"].status, "ok");
}

TEST(Doctor, InheritedSignalSettingsMakeNoDifference)
{
	Diagnosis plain = diagnose();
	Diagnosis odd = diagnose([] {
		sigset_t all;
		sigfillset(&all);
		signal(SIGCHLD, SIG_IGN);
		signal(SIGSEGV, SIG_IGN);
		signal(SIGSYS, SIG_IGN);
		return sigprocmask(SIG_SETMASK, &all, nullptr) == 0;
	});
	EXPECT_EQ(odd.keys_work, plain.keys_work);
	ASSERT_EQ(odd.order, plain.order);
	for (const std::string &id : plain.order) {
		EXPECT_EQ(odd.checks[id].status, plain.checks[id].status) << id;
		if (id != "process.gs") {
			EXPECT_EQ(odd.checks[id].fact, plain.checks[id].fact) << id;
		}
	}
}

TEST(Doctor, WorksWithoutProc)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	GTEST_SKIP() << "the sanitizer's own start-up reads /proc";
#endif
	Diagnosis with = diagnose();
	Result run;
	Diagnosis without = diagnose(
		[] {
			int rc = unshare(CLONE_NEWNS);
			if (rc != 0) {
				rc = unshare(CLONE_NEWUSER | CLONE_NEWNS);
			}
			return rc == 0 &&
			       mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
			       mount("none", "/proc", "tmpfs", 0, nullptr) == 0;
		},
		&run);
	if (run.status == kSetupImpossible) {
		GTEST_SKIP() << "a mount namespace cannot be made here";
	}
	EXPECT_EQ(without.keys_work, with.keys_work);
	EXPECT_EQ(without.reason_layer, with.reason_layer);
	EXPECT_EQ(without.order, with.order);
	for (const char *id : {"sandbox.seccomp", "kernel.vsyscall", "kernel.perf"}) {
		EXPECT_THAT(without.checks[id].fact, HasSubstr("unknown: /proc is not mounted"))
			<< id;
	}
}

TEST(Doctor, LeavesNoProcessBehind)
{
	ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	doctor({"-q"});
	EXPECT_EQ(waitpid(-1, nullptr, 0), -1);
	EXPECT_EQ(errno, ECHILD);
	prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

TEST(Doctor, LeavesNoCoreFileBehind)
{
	char dir[] = "/tmp/lychgate-doctor.XXXXXX";
	ASSERT_NE(mkdtemp(dir), nullptr);
	std::string path = dir;
	doctor({"-q"}, [path] {
		// a policy that kills probes, in a folder where a core file could be written
		return chdir(path.c_str()) == 0 &&
		       filter({SYS_pkey_alloc, kMseal}, SECCOMP_RET_KILL_PROCESS)();
	});
	EXPECT_EQ(rmdir(dir), 0) << "not empty";
}

// ---- streams and options ------------------------------------------------------------------------

std::vector<std::string> lines_of(const std::string &text)
{
	std::vector<std::string> lines;
	std::istringstream in(text);
	for (std::string line; std::getline(in, line);) {
		lines.push_back(line);
	}
	return lines;
}

TEST(DoctorText, HasOneLinePerCheckAndThenTheVerdict)
{
	Diagnosis d = diagnose();
	Result run = doctor({"-v"});
	std::vector<std::string> lines = lines_of(run.out);
	ASSERT_GT(lines.size(), d.order.size());
	for (size_t i = 0; i < d.order.size(); i++) {
		const Check &check = d.checks[d.order[i]];
		std::string begin = "[" + check.status + "]";
		begin.append(7 - begin.size(), ' ');
		EXPECT_EQ(lines[i].rfind(begin + d.order[i] + ": ", 0), 0u) << lines[i];
		if (!check.advice.empty()) {
			EXPECT_THAT(lines[i], HasSubstr(" -> " + check.advice));
		}
	}
	const std::string &verdict = lines[d.order.size()];
	if (d.keys_work) {
		EXPECT_EQ(verdict, "Protection keys work here.");
	} else {
		EXPECT_EQ(verdict.rfind("Protection keys do not work here, because " +
						d.reason_layer + ": ",
				  0),
			0u)
			<< verdict;
	}
	EXPECT_THAT(run.err, IsEmpty());
	EXPECT_EQ(run.status, d.keys_work ? 0 : 3);
}

TEST(DoctorText, HidesWhatNeedsNoAttentionUnlessAsked)
{
	Result plain = doctor({}), verbose = doctor({"-v"});
	EXPECT_THAT(plain.out, Not(HasSubstr("[info]")));
	EXPECT_THAT(plain.out, HasSubstr("more facts that need no attention: -v)"));
	EXPECT_THAT(verbose.out, HasSubstr("[info]"));
	EXPECT_EQ(plain.status, verbose.status);
}

TEST(DoctorText, QuietIsTheVerdictAlone)
{
	Result run = doctor({"-q"});
	EXPECT_EQ(run.out.rfind("Protection keys ", 0), 0u) << run.out;
	EXPECT_THAT(run.out, Not(HasSubstr("[ok]")));
	EXPECT_LE(lines_of(run.out).size(), 4u);
	EXPECT_THAT(run.status, AnyOf(0, 3));
}

TEST(DoctorText, IsColouredOnRequestOnly)
{
	EXPECT_THAT(doctor({}).out, Not(HasSubstr("\033")));
	EXPECT_THAT(doctor({"--color=auto"}).out, Not(HasSubstr("\033")));
	EXPECT_THAT(doctor({"--color=never"}).out, Not(HasSubstr("\033")));
	EXPECT_THAT(doctor({"--color=always"}).out, HasSubstr("\033["));
	EXPECT_THAT(doctor({"--color=always", "--json"}).out, Not(HasSubstr("\033")));
}

TEST(DoctorUsage, WrongUsageIsExitStatus2WithNothingOnStdout)
{
	for (const char *arg : {"--color=sometimes", "--nonsense", "argument"}) {
		Result run = doctor({arg});
		EXPECT_EQ(run.status, 2) << arg;
		EXPECT_THAT(run.out, IsEmpty()) << arg;
		EXPECT_THAT(run.err, HasSubstr("lychgate doctor: ")) << arg;
	}
}

TEST(DoctorUsage, HelpExplainsOptionsAndExitStatus)
{
	Result run = doctor({"--help"});
	EXPECT_EQ(run.status, 0);
	EXPECT_THAT(run.err, IsEmpty());
	for (const char *part :
		{"--json", "--quiet", "--verbose", "--color", "Exit status", "SEGV_PKUERR"}) {
		EXPECT_THAT(run.out, HasSubstr(part));
	}
}

TEST(DoctorUsage, OutputThatCannotBeWrittenIsExitStatus4)
{
	for (const char *arg : {"--json", "-v", "-q"}) {
		Result run = doctor({arg}, nullptr, "/dev/full");
		EXPECT_EQ(run.status, 4) << arg;
		EXPECT_THAT(run.err, HasSubstr("could not be written")) << arg;
	}
}

} // namespace
