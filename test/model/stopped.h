/* SPDX-License-Identifier: Apache-2.0 */
/* A child whose main thread is stopped at an instruction by its parent, while its other threads go on. */
#ifndef LYCH_TEST_STOPPED_H
#define LYCH_TEST_STOPPED_H

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "inside.h"

// An instruction of the gate in what the child does again and again.
struct Place {
	uint64_t rip;
	bool interrupted; // the host's handler has run before
	unsigned int visit; // which time since then
	unsigned int index; // of all places in a round
};

class Stopped {
public:
	static constexpr int kKick = 33; // the signal between threads of the runtime

	virtual ~Stopped() = default;

protected:
	// Why it does not go on: the parent has waited for long, or the child ended.
	virtual std::string Reason() = 0;

	static void Prepare() // waitpid gives EINTR when it has waited for long
	{
		struct sigaction tick = {};
		tick.sa_handler = [](int) {};
		sigaction(SIGALRM, &tick, nullptr);
	}

	std::string Line(int thread, const char *file, const std::string &key)
	{
		std::ifstream in("/proc/" + std::to_string(child) + "/task/" + std::to_string(thread) + "/" + file);
		std::string line;
		while (std::getline(in, line)) {
			if (line.compare(0, key.size(), key) == 0) {
				return line.substr(key.size());
			}
		}
		return "";
	}

	struct user_regs_struct Regs()
	{
		struct user_regs_struct regs = {};
		ptrace(PTRACE_GETREGS, child, nullptr, &regs);
		return regs;
	}

	void GoTo(uint64_t rip)
	{
		struct user_regs_struct regs = Regs();
		regs.rip = rip;
		regs.eflags &= ~0x100ull; // after a popf the kernel takes its own trap flag for the child's
		ptrace(PTRACE_SETREGS, child, nullptr, &regs);
	}

	// Lets it go on with request and signal, and waits: the signal it stopped with, 0 when it is gone.
	int Go(int request, int signal)
	{
		int status = 0;
		ptrace(static_cast<__ptrace_request>(request), child, nullptr, signal);
		return Wait(&status);
	}

	int Wait(int *status)
	{
		alarm(100);
		if (waitpid(child, status, 0) != child) {
			ADD_FAILURE() << "hangs: " << Reason();
			return 0;
		}
		if (!WIFSTOPPED(*status)) {
			ADD_FAILURE() << "the child ended, status " << *status << ": " << Reason();
			return 0;
		}
		if (WSTOPSIG(*status) == SIGTRAP && inside_in_entry(Regs().rip - 1)) {
			// The trap has unblocked itself; where all signals are blocked the entry of old kernels wants it so.
			uint64_t all = ~0ull;
			ptrace(static_cast<__ptrace_request>(PTRACE_SETSIGMASK), child, sizeof(all), &all);
		}
		return WSTOPSIG(*status);
	}

	// To the next stop of its own.
	bool ToStop(int signal)
	{
		for (;;) {
			signal = Go(PTRACE_CONT, signal);
			if (signal == 0 || signal == SIGSTOP) {
				return signal != 0;
			}
			if (signal == SIGTRAP) { // of a step: it has none of its own
				GoTo(Regs().rip);
				signal = 0;
			}
		}
	}

	enum Reached { THERE, EARLY, NEVER, GONE };

	// Goes on, with signal, until it is at rip for the visit'th time. EARLY: a kick came before that.
	Reached RunTo(uint64_t rip, unsigned int visit, int signal)
	{
		void *at = reinterpret_cast<void *>(rip & ~7ull);
		unsigned int shift = 8 * (rip & 7);
		long word = ptrace(PTRACE_PEEKTEXT, child, at, nullptr);
		long planted = (word & ~(0xffl << shift)) | 0xccl << shift;
		Reached reached = NEVER;

		ptrace(PTRACE_POKETEXT, child, at, planted);
		for (;;) {
			int got = Go(PTRACE_CONT, signal);
			signal = got;
			if (got == 0 || got == SIGSTOP) {
				reached = got == 0 ? GONE : NEVER;
				break;
			}
			if (got == kKick) {
				reached = EARLY;
				break;
			}
			if (got != SIGTRAP) {
				continue;
			}
			signal = 0;
			if (Regs().rip != rip + 1) {
				GoTo(Regs().rip);
				continue;
			}
			GoTo(rip);
			if (--visit == 0) {
				reached = THERE;
				break;
			}
			ptrace(PTRACE_POKETEXT, child, at, word);
			signal = Go(PTRACE_SINGLESTEP, 0);
			if (signal == 0) {
				reached = GONE;
				break;
			}
			signal = signal == SIGTRAP ? 0 : signal; // a system call may have brought one
			GoTo(Regs().rip);
			if (signal == kKick) {
				reached = EARLY;
				break;
			}
			ptrace(PTRACE_POKETEXT, child, at, planted);
		}
		if (reached != GONE) {
			ptrace(PTRACE_POKETEXT, child, at, word);
		}
		pending = reached == EARLY ? signal : 0;
		return reached;
	}

	// One round, instruction by instruction. What is in the gate is a place. With at it ends there.
	std::vector<Place> Step(unsigned int at = ~0u)
	{
		std::vector<Place> found;
		std::map<uint64_t, unsigned int> visits;
		bool interrupted = false;
		for (int signal = 0; found.size() <= at;) {
			int next = Go(PTRACE_SINGLESTEP, signal);
			if (next == 0 || next == SIGSTOP) {
				break;
			}
			if (next == kKick) {
				pending = next;
				break;
			}
			signal = next == SIGTRAP ? 0 : next;
			uint64_t rip = Regs().rip;
			if (next == SIGTRAP && inside_in_gate(rip)) {
				found.push_back({rip, interrupted, ++visits[rip], static_cast<unsigned int>(found.size())});
			}
			if (next == SIGTRAP && !interrupted && rip == interrupt_at) {
				interrupted = true;
				visits.clear();
				signal = SIGUSR1;
			}
		}
		GoTo(Regs().rip);
		return found;
	}

	Reached Reach(const Place &place)
	{
		Reached reached = THERE;
		if (place.interrupted) {
			reached = RunTo(interrupt_at, 1, 0);
		}
		return reached == THERE ? RunTo(place.rip, place.visit, place.interrupted ? SIGUSR1 : 0) : reached;
	}

	pid_t child = -1;
	uint64_t interrupt_at = 0; // where SIGUSR1 comes, once in a round
	int pending = 0; // signal it has stopped for
};

#endif /* LYCH_TEST_STOPPED_H */
