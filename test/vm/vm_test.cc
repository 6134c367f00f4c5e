/* SPDX-License-Identifier: Apache-2.0 */
// `./dev vm` as a user runs it: what comes back, byte for byte, and what each way to fail looks like.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

extern char **environ;

namespace
{

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

const int PANIC = 120, HANG = 121, NO_RESULT = 122, NOT_STARTED = 123;

struct Result {
	int code;
	std::string out, err;
};

std::string Contents(const fs::path &path)
{
	std::ostringstream text;
	text << std::ifstream(path, std::ios::binary).rdbuf();
	return text.str();
}

class Vm : public ::testing::Test {
protected:
	void SetUp() override
	{
		char name[] = "/tmp/vm_test.XXXXXX";
		ASSERT_NE(mkdtemp(name), nullptr);
		folder = name;
	}

	void TearDown() override
	{
		fs::remove_all(folder);
	}

	pid_t Start(std::vector<std::string> arguments)
	{
		std::vector<char *> argv;
		posix_spawn_file_actions_t files;
		pid_t pid = -1;

		arguments.insert(arguments.begin(), {LYCH_DEV, "vm"});
		for (std::string &argument : arguments) {
			argv.push_back(argument.data());
		}
		argv.push_back(nullptr);
		posix_spawn_file_actions_init(&files);
		posix_spawn_file_actions_addopen(&files, 1, (folder / "out").c_str(), O_WRONLY | O_CREAT | O_TRUNC,
						 0600);
		posix_spawn_file_actions_addopen(&files, 2, (folder / "err").c_str(), O_WRONLY | O_CREAT | O_TRUNC,
						 0600);
		EXPECT_EQ(posix_spawn(&pid, argv[0], &files, nullptr, argv.data(), environ), 0);
		posix_spawn_file_actions_destroy(&files);
		return pid;
	}

	Result Finish(pid_t pid)
	{
		int status = 0;

		EXPECT_EQ(waitpid(pid, &status, 0), pid);
		EXPECT_TRUE(WIFEXITED(status));
		return {WEXITSTATUS(status), Contents(folder / "out"), Contents(folder / "err")};
	}

	Result Run(const std::vector<std::string> &arguments)
	{
		return Finish(Start(arguments));
	}

	Result Shell(const std::string &script)
	{
		return Run({"--", "/bin/sh", "-c", script});
	}

	fs::path folder;
};

TEST_F(Vm, ExitCodeOfTheProgramComesBack)
{
	Result result = Shell("exit 37");
	EXPECT_EQ(result.code, 37);
	EXPECT_EQ(result.out, "");
	EXPECT_EQ(result.err, "");
}

TEST_F(Vm, StreamsComeBackApart)
{
	Result result = Shell("echo one; echo two >&2; echo three; echo four >&2");
	EXPECT_EQ(result.code, 0);
	EXPECT_EQ(result.out, "one\nthree\n");
	EXPECT_EQ(result.err, "two\nfour\n");
}

TEST_F(Vm, EveryByteComesBackAsItWasWritten)
{
	std::string bytes;
	std::mt19937 random(1);
	for (int i = 0; i < 256; i++) {
		bytes += static_cast<char>(i);
	}
	bytes += "\r\n\n\r\x03\x04\x11\x13";
	while (bytes.size() < 200000) {
		bytes += static_cast<char>(random());
	}
	std::ofstream(folder / "bytes", std::ios::binary) << bytes;
	std::string name = (folder / "bytes").string();

	Result result = Run({"--with", name, "--", "/bin/sh", "-c", "cat " + name + "; cat " + name + " >&2"});
	EXPECT_EQ(result.code, 0);
	EXPECT_TRUE(result.out == bytes) << result.out.size() << " bytes";
	EXPECT_TRUE(result.err == bytes) << result.err.size() << " bytes";
}

TEST_F(Vm, ArgumentsArriveAsTheyWereGiven)
{
	Result result = Run({"--", "/bin/sh", "-c", "printf '[%s]' \"$@\"", "sh", "a  b", "", "--", "$HOME", "\\n",
			     "it's", "two\nlines"});
	EXPECT_EQ(result.code, 0);
	EXPECT_EQ(result.out, "[a  b][][--][$HOME][\\n][it's][two\nlines]");
}

TEST_F(Vm, EnvironmentIsWhatWasAskedForAndNothingOfThisMachine)
{
	setenv("LYCH_VM_TEST_SECRET", "1", 1);
	Result result = Run({"--env", "GREETING=good day", "--", "/bin/sh", "-c", "env"});
	EXPECT_THAT(result.out, HasSubstr("GREETING=good day\n"));
	EXPECT_THAT(result.out, HasSubstr("LYCH_REQUIRE_PKU=1\n"));
	EXPECT_THAT(result.out, Not(HasSubstr("LYCH_VM_TEST_SECRET")));
}

TEST_F(Vm, SignalThatEndedTheProgramIsItsExitCode)
{
	Result result = Shell("kill -SEGV $$");
	EXPECT_EQ(result.code, 128 + SIGSEGV);
}

TEST_F(Vm, ProcessesLeftBehindDoNotHoldTheMachine)
{
	Result result = Shell("sleep 1000 & echo done");
	EXPECT_EQ(result.code, 0);
	EXPECT_EQ(result.out, "done\n");
}

TEST_F(Vm, PanicHasItsOwnCodeAndShowsTheConsole)
{
	Result result = Shell("echo before; sleep 1; echo c >/proc/sysrq-trigger");
	EXPECT_EQ(result.code, PANIC);
	EXPECT_EQ(result.out, "before\n");
	EXPECT_THAT(result.err, HasSubstr("the guest's kernel panicked"));
	EXPECT_THAT(result.err, HasSubstr("sysrq_handle_crash"));
}

TEST_F(Vm, HangHasItsOwnCode)
{
	Result result = Run({"--timeout", "20", "--", "/bin/sh", "-c", "echo before; sleep 1000"});
	EXPECT_EQ(result.code, HANG);
	EXPECT_EQ(result.out, "before\n");
	EXPECT_THAT(result.err, HasSubstr("no end after 20 seconds"));
	EXPECT_THAT(result.err, HasSubstr("Run /init as init process"));
}

TEST_F(Vm, SwitchingTheMachineOffIsAMissingResult)
{
	Result result = Shell("poweroff -f");
	EXPECT_EQ(result.code, NO_RESULT);
	EXPECT_THAT(result.err, HasSubstr("without a result"));
}

TEST_F(Vm, MissingProgramIsSaidBeforeAnythingStarts)
{
	Result result = Run({"--", "/no/such/program"});
	EXPECT_EQ(result.code, NOT_STARTED);
	EXPECT_THAT(result.err, HasSubstr("/no/such/program: no such program"));
}

TEST_F(Vm, WrongUsageIsSaid)
{
	EXPECT_EQ(Run({"--cpus", "0", "--", "/bin/true"}).code, NOT_STARTED);
	EXPECT_EQ(Run({"--kernel", "5.4", "--", "/bin/true"}).code, NOT_STARTED);
	EXPECT_EQ(Run({"--frob", "--", "/bin/true"}).code, NOT_STARTED);
	EXPECT_EQ(Run({"--icount", "--cpus", "2", "--", "/bin/true"}).code, NOT_STARTED);
	EXPECT_EQ(Run({}).code, NOT_STARTED);
}

TEST_F(Vm, ProgramRunsAsRootOrAsTheUnprivilegedUser)
{
	EXPECT_EQ(Shell("id -u").out, "0\n");
	EXPECT_EQ(Run({"--user", "--", "/bin/sh", "-c", "id -u; id -g; id -G; touch /root/x || echo denied"}).out,
		  "1000\n1000\n1000\ndenied\n");
}

TEST_F(Vm, GuestHasWhatProgramsExpect)
{
	Result result = Shell("hostname; cat /sys/class/net/lo/flags; : >/tmp/x && : >/dev/shm/y && echo written; "
			      "echo /proc/self/status; pwd; echo x >/dev/stdout");
	EXPECT_EQ(result.code, 0) << result.err;
	EXPECT_THAT(result.out, HasSubstr("lychgate-vm\n0x9\nwritten\n"));
	EXPECT_THAT(result.out, HasSubstr(fs::current_path().string() + "\nx\n"));
}

TEST_F(Vm, BothKernelsAreThere)
{
	EXPECT_EQ(Run({"--kernel", "6.1", "--", "/bin/sh", "-c", "uname -r"}).out.rfind("6.1.", 0), 0u);
	EXPECT_EQ(Run({"--kernel", "6.12", "--", "/bin/sh", "-c", "uname -r"}).out.rfind("6.12.", 0), 0u);
}

TEST_F(Vm, KeysCanBeMaskedOff)
{
	const char *script = "grep -c -w pku /proc/cpuinfo; nproc; echo ${LYCH_REQUIRE_PKU:-no}";
	EXPECT_EQ(Run({"--cpus", "2", "--", "/bin/sh", "-c", script}).out, "2\n2\n1\n");
	EXPECT_EQ(Run({"--no-pku", "--", "/bin/sh", "-c", script}).out, "0\n1\nno\n");
}

TEST_F(Vm, KernelAndProcessorAreToldMoreWhenAsked)
{
	const char *script = "grep -o 'lych=[12] lych2' /proc/cmdline; grep -m 1 -o Genuine.* /proc/cpuinfo";
	EXPECT_EQ(Run({"--boot", "lych=1 lych2", "--cpu", "vendor=GenuineIntel", "--", "/bin/sh", "-c", script}).out,
		  "lych=1 lych2\nGenuineIntel\n");
	EXPECT_EQ(Run({"--", "/bin/sh", "-c", script}).out, "");
}

TEST_F(Vm, InstructionCountingGivesTheSameTicksEachTime)
{
	unsigned long long ticks[3];
	Result first = Run({"--icount", "--", LYCH_COUNT_TICKS});
	Result second = Run({"--icount", "--", LYCH_COUNT_TICKS});

	ASSERT_EQ(sscanf(first.out.c_str(), "%llu %llu %llu", &ticks[0], &ticks[1], &ticks[2]), 3) << first.err;
	EXPECT_EQ(ticks[0], ticks[1]);
	EXPECT_EQ(ticks[1], ticks[2]);
	// A thousand rounds of a handful of instructions, and nothing like the gigahertz of a clock.
	EXPECT_GT(ticks[1], 3000u);
	EXPECT_LT(ticks[1], 20000u);
	EXPECT_EQ(first.out, second.out);
}

TEST_F(Vm, LargeFilesAndFoldersComeByTheDisk)
{
	fs::path large = folder / "large file", tree = folder / "tree";
	std::string bytes(24 << 20, 'x');
	fs::create_directories(tree / "below");
	std::ofstream(tree / "below" / "leaf") << "leaf\n";
	std::ofstream(large, std::ios::binary) << bytes << "end";

	Result result = Run({"--with", large.string(), "--with", tree.string(), "--", "/bin/sh", "-c",
			     "wc -c <\"$1\"; tail -c 3 \"$1\"; echo; cat \"$2/below/leaf\"; df -T \"$2\" | tail -n 1",
			     "sh", large.string(), tree.string()});
	EXPECT_EQ(result.code, 0) << result.err;
	EXPECT_THAT(result.out, HasSubstr(std::to_string(bytes.size() + 3) + "\nend\nleaf\n"));
	EXPECT_THAT(result.out, HasSubstr("ext4"));
}

TEST_F(Vm, ProgramIsReachedThroughALinkWithTheLibrariesItNeeds)
{
	fs::path link = folder / "link";
	fs::create_symlink(LYCH_COUNT_TICKS, link);
	Result result = Run({"--", link.string()});
	EXPECT_EQ(result.code, 0) << result.err;
	EXPECT_THAT(result.out, Not(HasSubstr("0 0 0")));
}

// Connects to 127.0.0.1:port again and again, until something answers.
std::string AskPort(int port)
{
	for (int attempt = 0; attempt < 600; attempt++) {
		char answer[64];
		struct sockaddr_in address = {};
		address.sin_family = AF_INET;
		address.sin_port = htons(static_cast<uint16_t>(port));
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		ssize_t got = 0;
		if (connect(fd, reinterpret_cast<struct sockaddr *>(&address), sizeof address) == 0) {
			got = read(fd, answer, sizeof answer);
		}
		close(fd);
		if (got > 0) {
			return std::string(answer, static_cast<size_t>(got));
		}
		std::this_thread::sleep_for(std::chrono::milliseconds(100));
	}
	return "nobody answered";
}

TEST_F(Vm, ForwardedPortReachesTheGuest)
{
	struct sockaddr_in address = {};
	socklen_t size = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ASSERT_EQ(bind(fd, reinterpret_cast<struct sockaddr *>(&address), sizeof address), 0);
	ASSERT_EQ(getsockname(fd, reinterpret_cast<struct sockaddr *>(&address), &size), 0);
	close(fd);
	std::string port = std::to_string(ntohs(address.sin_port));

	for (const char *kernel : {"6.1", "6.12"}) {
		pid_t pid = Start({"--kernel", kernel, "--timeout", "60", "--forward", port, "--", "/bin/sh", "-c",
				   "echo from the guest | nc -l -p " + port});
		EXPECT_EQ(AskPort(ntohs(address.sin_port)), "from the guest\n") << kernel;
		EXPECT_EQ(Finish(pid).code, 0) << kernel;
	}
}

TEST_F(Vm, ConsoleIsKeptWhereAsked)
{
	std::string log = (folder / "console").string();
	EXPECT_EQ(Run({"--keep-log", log, "--", "/bin/sh", "-c", "echo marked >/dev/kmsg"}).code, 0);
	EXPECT_THAT(Contents(log), HasSubstr("Linux version 6.12."));
	EXPECT_THAT(Contents(log), HasSubstr("marked"));
}

TEST_F(Vm, HelpNamesEveryExitCode)
{
	Result result = Run({"--help"});
	EXPECT_EQ(result.code, 0);
	for (int code : {PANIC, HANG, NO_RESULT, NOT_STARTED}) {
		EXPECT_THAT(result.out, HasSubstr(std::to_string(code)));
	}
}

} // namespace
