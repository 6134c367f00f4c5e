// SPDX-License-Identifier: Apache-2.0
#include "traced.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace
{

std::vector<char *> pointers(const std::vector<std::string> &strings)
{
	std::vector<char *> out;
	for (const std::string &s : strings) {
		out.push_back(const_cast<char *>(s.c_str()));
	}
	out.push_back(nullptr);
	return out;
}

pid_t wait_for(pid_t pid, int *status)
{
	pid_t got;
	do {
		got = waitpid(pid, status, __WALL);
	} while (got < 0 && errno == EINTR);
	return got;
}

} // namespace

Traced::~Traced()
{
	int status;
	if (pid_ > 0) {
		kill(pid_, SIGKILL);
		while (wait_for(pid_, &status) == pid_ && WIFSTOPPED(status)) {
		}
	}
}

bool Traced::start(const std::vector<std::string> &args, const std::vector<std::string> &environment)
{
	std::vector<char *> argv = pointers(args);
	std::vector<std::string> all = environment;
	for (char **e = environ; *e != nullptr; e++) {
		all.emplace_back(*e);
	}
	std::vector<char *> envp = pointers(all);
	pid_ = fork();
	if (pid_ == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0) {
			execve(argv[0], argv.data(), envp.data());
		}
		_exit(99);
	}
	if (pid_ < 0 || wait_for(pid_, &status_) != pid_ || !WIFSTOPPED(status_)) {
		pid_ = pid_ < 0 || WIFEXITED(status_) ? 0 : pid_;
		return false;
	}
	return ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE) == 0;
}

bool Traced::read(uint64_t at, void *buf, size_t len) const
{
	iovec local = {buf, len}, remote = {reinterpret_cast<void *>(at), len};
	return process_vm_readv(pid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(len);
}

// Through the tracer's access, which writes to a copy of a page that is private and not writable.
bool Traced::put(pid_t tid, uint64_t at, uint8_t byte) const
{
	uint64_t word_at = at & ~UINT64_C(7);
	errno = 0;
	long word = ptrace(PTRACE_PEEKTEXT, tid, word_at, nullptr);
	if (errno != 0) {
		return false;
	}
	unsigned shift = 8 * static_cast<unsigned>(at - word_at);
	uint64_t changed = (static_cast<uint64_t>(word) & ~(UINT64_C(0xff) << shift)) | static_cast<uint64_t>(byte) << shift;
	return ptrace(PTRACE_POKETEXT, tid, word_at, changed) == 0;
}

void Traced::count(uint64_t insn)
{
	Counter counter = {0, false, 0};
	if (counters_.count(insn) == 0 && read(insn, &counter.byte, 1)) {
		counter.armed = put(pid_, insn, 0xcc);
		counters_[insn] = counter;
	}
}

std::map<uint64_t, uint64_t> Traced::counts()
{
	std::map<uint64_t, uint64_t> out;
	for (auto &[at, counter] : counters_) {
		out[at] = counter.hits;
		if (counter.armed) {
			put(pid_, at, counter.byte);
		}
	}
	counters_.clear();
	return out;
}

// Lets the one thread execute what stands below the int3. Another one may come past meanwhile and is not counted.
bool Traced::step_over(pid_t tid, uint64_t at, Counter &counter, int *deliver)
{
	user_regs_struct regs;
	int status;
	counter.hits++;
	if (ptrace(PTRACE_GETREGS, tid, nullptr, &regs) != 0) {
		return false;
	}
	regs.rip = at;
	if (ptrace(PTRACE_SETREGS, tid, nullptr, &regs) != 0 || !put(tid, at, counter.byte)) {
		return false;
	}
	if (counter.hits >= kEnough) {
		counter.armed = false;
		return true;
	}
	if (ptrace(PTRACE_SINGLESTEP, tid, nullptr, nullptr) != 0 || wait_for(tid, &status) != tid || !WIFSTOPPED(status)) {
		return false;
	}
	if (WSTOPSIG(status) != SIGTRAP) {
		*deliver = WSTOPSIG(status); // came before the step
	}
	return put(tid, at, 0xcc);
}

bool Traced::run()
{
	if (ptrace(PTRACE_CONT, pid_, nullptr, nullptr) != 0) {
		return false;
	}
	for (;;) {
		int status, deliver = 0;
		user_regs_struct regs;
		pid_t tid = wait_for(-1, &status);
		if (tid < 0) {
			return false;
		}
		if (!WIFSTOPPED(status)) {
			if (tid == pid_) {
				status_ = status;
				pid_ = 0;
				return false;
			}
			continue; // a thread's end
		}
		deliver = WSTOPSIG(status);
		if (deliver == SIGTRAP && status >> 16 == 0 && ptrace(PTRACE_GETREGS, tid, nullptr, &regs) == 0) {
			auto found = counters_.find(regs.rip - 1);
			uint8_t byte = 0;
			if (found != counters_.end() && found->second.armed) {
				deliver = 0;
				if (!step_over(tid, found->first, found->second, &deliver)) {
					return false;
				}
			} else if (found != counters_.end()) {
				// It came to an int3 that was just taken away.
				regs.rip--;
				ptrace(PTRACE_SETREGS, tid, nullptr, &regs);
				deliver = 0;
			} else if (tid == pid_ && read(regs.rip - 1, &byte, 1) && byte == 0xcc) {
				status_ = status;
				return true;
			}
		} else if (status >> 16 != 0 || (deliver == SIGSTOP && tid != pid_)) {
			deliver = 0; // a new thread, or the stop with which it begins
		}
		ptrace(PTRACE_CONT, tid, nullptr, deliver);
	}
}
