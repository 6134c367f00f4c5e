// SPDX-License-Identifier: Apache-2.0
// One door to PROT_EXEC (G4): in a running process nothing but gate/code/door.c asks for it. unit/exec_door_source_test looks
// at the source.
#include <elfutils/libdwfl.h>
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <map>
#include <string>

#include "code_copy.h"

extern "C" {
static int add(int a, int b)
{
	return a + b;
}
static int fault(int a)
{
	return *reinterpret_cast<volatile int *>(static_cast<intptr_t>(a));
}
LYCH_BIND(door, add, int, (int, int));
LYCH_BIND(door, fault, int, (int));
}

namespace
{

// Code of a library domain, with a sequence in it that needs a trampoline; with a key where there are any.
bool admit_code()
{
	int key = getenv("LYCH_REQUIRE_PKU") != nullptr ? pkey_alloc(0, 0) : -1;
	Copy copy({0xb8, 0x0f, 0x01, 0xef, 0x00, 0xc3}, key); // mov $0xef010f,%eax; ret
	return copy.admit() == 0 && copy.arg.room_used != 0;
}

// All that the runtime does with memory: code repaired and admitted, domains, regions, calls, faults, resets, callbacks, threads.
void use_the_runtime()
{
	struct lych_init_opts opts = {};
	struct lych_domain *door = nullptr;
	struct lych_region *region = nullptr;
	int sum = 0;

	opts.size = sizeof(opts);
	opts.backend = getenv("LYCH_REQUIRE_PKU") != nullptr ? LYCH_PKU : LYCH_MPROTECT;
	opts.code = LYCH_CODE_REPAIR;
	if (lych_init(&opts) != 0 || lych_domain_new(&door, nullptr) != 0 || LYCH_CALL(door, &sum, add, 1, 2) != 0 ||
	    sum != 3 || LYCH_CALL(door, &sum, fault, 8) != -EFAULT || lych_domain_reset(door) != 0 ||
	    lych_region_new(&region, 4096, nullptr) != 0 || lych_region_free(region) != 0 ||
	    lych_domain_free(door) != 0 || !admit_code()) {
		_exit(1);
	}
}

void ask_elsewhere()
{
	void *at = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	_exit(mprotect(at, 4096, PROT_READ | PROT_EXEC) != 0);
}

bool asks_for_exec(const user_regs_struct &regs)
{
	switch (regs.orig_rax) {
	case SYS_mmap:
	case SYS_mprotect:
	case SYS_pkey_mprotect:
		return (regs.rdx & PROT_EXEC) != 0;
	case SYS_shmat:
		return (regs.rdx & 0100000 /* SHM_EXEC */) != 0;
	case SYS_personality:
		return regs.rdi != 0xffffffff;
	default:
		return false;
	}
}

// Source file of the code at address, here and so in a child that was forked from here; "?" where there is none.
std::string source_of(uint64_t address)
{
	static char *no_debuginfo;
	static const Dwfl_Callbacks callbacks = {dwfl_linux_proc_find_elf, dwfl_standard_find_debuginfo, nullptr,
						 &no_debuginfo};
	std::string source = "?";
	Dwfl *dwfl = dwfl_begin(&callbacks);
	dwfl_report_begin(dwfl);
	if (dwfl_linux_proc_report(dwfl, getpid()) == 0 && dwfl_report_end(dwfl, nullptr, nullptr) == 0) {
		Dwfl_Line *line = dwfl_getsrc(dwfl, address);
		int number;
		const char *name = line != nullptr ? dwfl_lineinfo(line, nullptr, &number, nullptr, nullptr, nullptr) : nullptr;
		source = name != nullptr ? name : "?";
	}
	dwfl_end(dwfl);
	return source;
}

// Runs fn in a child and notes who asks: the source file of who called the function with the system call in it.
std::map<std::string, int> askers(void (*fn)())
{
	std::map<std::string, int> out;
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
		raise(SIGSTOP);
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	bool entry = true;
	for (long sig = 0;;) {
		ptrace(PTRACE_SYSCALL, pid, nullptr, sig);
		if (waitpid(pid, &status, 0) != pid || WIFEXITED(status) || WIFSIGNALED(status)) {
			break;
		}
		sig = WSTOPSIG(status);
		if (sig != (SIGTRAP | 0x80)) {
			continue;
		}
		sig = 0;
		user_regs_struct regs = {};
		ptrace(PTRACE_GETREGS, pid, nullptr, &regs);
		if (entry && asks_for_exec(regs)) {
			auto back = static_cast<uint64_t>(ptrace(PTRACE_PEEKDATA, pid, regs.rsp, nullptr));
			out[source_of(back - 1)]++;
		}
		entry = !entry;
	}
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
	return out;
}

bool ends_with(const std::string &text, const std::string &end)
{
	return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

} // namespace

TEST(TheDoor, IsTheOnlyThingThatAsksForExecutableMemory)
{
	std::map<std::string, int> seen = askers(use_the_runtime);
	EXPECT_GE(seen.size(), 1u);
	for (const auto &[source, count] : seen) {
		EXPECT_TRUE(ends_with(source, "gate/code/door.c")) << source << ", " << count << " times";
	}
	seen = askers(ask_elsewhere);
	ASSERT_EQ(seen.size(), 1u) << "the control";
	EXPECT_FALSE(ends_with(seen.begin()->first, "gate/code/door.c"));
}
