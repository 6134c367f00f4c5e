// SPDX-License-Identifier: Apache-2.0
// Programs of Debian 12 and 13 as they are: what their C library and ld.so do with instructions
// that could write PKRU goes on working when the runtime has taken these away. Each case starts a
// program (program.h) that makes one check: with the C library of this system or with Debian 13's,
// which is unpacked beside; bound lazily or at once; and, as the control that shows that the check
// itself is right, without the runtime.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ostream>
#include <string>
#include <vector>

extern char **environ;

namespace
{

const int kPatienceSeconds = 280;

struct Setting {
	std::string name;
	bool debian13, repaired;
	std::vector<std::string> env;
};

void PrintTo(const Setting &setting, std::ostream *out)
{
	*out << setting.name;
}

std::string NameOf(const ::testing::TestParamInfo<Setting> &info)
{
	return info.param.name;
}

std::string Folder()
{
	std::string program = USERSPACE_PROGRAM;
	return program.substr(0, program.rfind('/') + 1);
}

#ifdef LYCH_DEBIAN13
const std::vector<bool> kDebian13 = {false, true};
#define LIBRARIES13 LYCH_DEBIAN13 "/usr/lib/x86_64-linux-gnu"
#else
const std::vector<bool> kDebian13 = {false};
#define LIBRARIES13 ""
#endif

// What the environment says, with a name for it.
using Way = std::pair<std::string, std::vector<std::string>>;
const Way kLazy = {"Lazy", {}};
const Way kNow = {"Now", {"LD_BIND_NOW=1"}};
const Way kXsave = {"LazyByXsave", {"GLIBC_TUNABLES=glibc.cpu.hwcaps=-XSAVEC"}};
const Way kAuditBind = {"Audited", {"LD_AUDIT=" + Folder() + "libuserspace_audit.so"}};
const Way kAuditEnter = {"AuditedCalls", {"LD_AUDIT=" + Folder() + "libuserspace_audit_enter.so"}};

// Every combination of a C library and these ways to start, with the runtime and without.
std::vector<Setting> Settings(const std::vector<Way> &ways, const std::vector<bool> &repaired = {false, true})
{
	std::vector<Setting> settings;

	for (bool debian13 : kDebian13) {
		for (const auto &[name, env] : ways) {
			for (bool repair : repaired) {
				const char *libc = debian13 ? "Debian13" : "System";
				settings.push_back({libc + name + (repair ? "Repaired" : "AsItWas"), debian13, repair, env});
			}
		}
	}
	return settings;
}

class Userspace : public ::testing::TestWithParam<Setting> {
protected:
	void Run(const char *check)
	{
		const Setting &setting = GetParam();
		std::vector<std::string> words, argv;

		if (setting.debian13) {
			words = {LIBRARIES13 "/ld-linux-x86-64.so.2", "--library-path",
				 LIBRARIES13};
		}
		words.push_back(USERSPACE_PROGRAM);
		argv = words;
		for (const std::string &word : words) {
			argv.insert(argv.end(), {"--again", word});
		}
		if (setting.debian13) {
			argv.insert(argv.end(), {"--libc", LIBRARIES13});
		}
		if (setting.repaired) {
			argv.push_back("--repair");
		}
		argv.push_back(check);
		Judge(Wait(Start(argv)));
	}

private:
	static std::vector<char *> Pointers(std::vector<std::string> &words)
	{
		std::vector<char *> pointers;
		for (std::string &word : words) {
			pointers.push_back(word.data());
		}
		pointers.push_back(nullptr);
		return pointers;
	}

	static pid_t Start(std::vector<std::string> argv)
	{
		std::vector<std::string> env = GetParam().env;
		pid_t pid = -1;

		for (char **variable = environ; *variable != nullptr; variable++) {
			if (strncmp(*variable, "LD_", 3) != 0) {
				env.emplace_back(*variable);
			}
		}
		EXPECT_EQ(posix_spawn(&pid, argv[0].c_str(), nullptr, nullptr,
				      Pointers(argv).data(), Pointers(env).data()),
			  0);
		return pid;
	}

	// Its wait status; -1 when it took too long.
	static int Wait(pid_t pid)
	{
		const struct timespec pause = {0, 5000000};
		const time_t deadline = time(nullptr) + kPatienceSeconds;
		int status = -1;

		while (waitpid(pid, &status, WNOHANG) == 0) {
			if (time(nullptr) > deadline) {
				kill(pid, SIGKILL);
				waitpid(pid, &status, 0);
				return -1;
			}
			nanosleep(&pause, nullptr);
		}
		return status;
	}

	static void Judge(int status)
	{
		ASSERT_NE(status, -1) << "no end after " << kPatienceSeconds << " seconds";
		ASSERT_FALSE(WIFSIGNALED(status)) << strsignal(WTERMSIG(status));
		if (WEXITSTATUS(status) == 77) {
			ASSERT_EQ(getenv("LYCH_REQUIRE_PKU"), nullptr);
			GTEST_SKIP() << "cannot be checked here";
		}
		EXPECT_EQ(WEXITSTATUS(status), 0);
	}
};

class Start : public Userspace {};       // lazily and at once
class Restore : public Userspace {};     // where it matters how registers are kept
class Audit : public Userspace {};       // with an audit library
class Keys : public Userspace {};        // with glibc's own pkey_set
class WithRuntime : public Userspace {}; // what there is only with the runtime

INSTANTIATE_TEST_SUITE_P(Userspace, Start, ::testing::ValuesIn(Settings({kLazy, kNow})), NameOf);
INSTANTIATE_TEST_SUITE_P(
	Userspace, Restore,
	::testing::ValuesIn(Settings({kLazy, kNow, kXsave, kAuditBind, kAuditEnter})), NameOf);
INSTANTIATE_TEST_SUITE_P(Userspace, Audit, ::testing::ValuesIn(Settings({kAuditBind, kAuditEnter})),
			 NameOf);
INSTANTIATE_TEST_SUITE_P(Userspace, Keys, ::testing::ValuesIn(Settings({kLazy, kNow})), NameOf);
INSTANTIATE_TEST_SUITE_P(Userspace, WithRuntime,
			 ::testing::ValuesIn(Settings({kLazy, kNow, kAuditBind, kAuditEnter},
						      {true})),
			 NameOf);

} // namespace

TEST_P(Restore, KeepsAllRegistersOfALazilyBoundCall)
{
	Run("registers");
}

TEST_P(Restore, KeepsThemWhenTheFunctionIsChosenAsItIsBound)
{
	Run("chosen");
}

TEST_P(Restore, KeepsThemWithASignalAtEachInstruction)
{
	Run("step");
}

TEST_P(Restore, KeepsThemInAnAccessToThreadLocalStorage)
{
	Run("tls");
}

TEST_P(Restore, KeepsThemInSuchAnAccessWithASignalAtEachInstruction)
{
	Run("step_tls");
}

TEST_P(Start, LazilyBoundCallsHaveTheirVectorArguments)
{
	Run("values");
}

TEST_P(Start, LibrariesThatAreOpenedLateWork)
{
	Run("late");
}

TEST_P(Start, ThreadsBindAtTheSameTime)
{
	Run("threads");
}

TEST_P(Start, ThreadsBindWhileTheRuntimeStarts)
{
	Run("during");
}

TEST_P(Start, SignalsComeAllTheTime)
{
	Run("storm");
}

TEST_P(Start, ThreadsFirstAccessTheirStorageAtTheSameTime)
{
	Run("tls_threads");
}

TEST_P(Start, ExceptionsFindTheirHandlers)
{
	Run("exceptions");
}

TEST_P(Start, ConstructorsThrow)
{
	Run("constructors");
}

TEST_P(Start, ThreadsAreCanceled)
{
	Run("cancel");
}

TEST_P(Start, ProcessesAreStarted)
{
	Run("processes");
}

TEST_P(Keys, OfTheProgramAreSet)
{
	Run("pkeys");
}

TEST_P(Start, TimeIsProfiled)
{
	Run("profil");
}

TEST_P(Start, NothingIsLeftThatWritesKeys)
{
	Run("inside");
}

TEST_P(Audit, SeesAndChangesWhatIsBound)
{
	Run("audit");
}

TEST_P(Audit, LazilyBoundCallsHaveTheirVectorArguments)
{
	Run("values");
}

TEST_P(Audit, LibrariesThatAreOpenedLateWork)
{
	Run("late");
}

TEST_P(Audit, ThreadsBindAtTheSameTime)
{
	Run("threads");
}

TEST_P(Audit, ThreadsBindWhileTheRuntimeStarts)
{
	Run("during");
}

TEST_P(Audit, SignalsComeAllTheTime)
{
	Run("storm");
}

TEST_P(Audit, ExceptionsFindTheirHandlers)
{
	Run("exceptions");
}

TEST_P(Audit, NothingIsLeftThatWritesKeys)
{
	Run("inside");
}

TEST_P(WithRuntime, CodeInADomainBindsItsCalls)
{
	Run("domain");
}
