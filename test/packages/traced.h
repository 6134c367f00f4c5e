// SPDX-License-Identifier: Apache-2.0
// A program that is traced: stops where it has an int3 of its own, and in between how often some of its instructions
// are executed, threads of it included.
#ifndef LYCH_TEST_PACKAGES_TRACED_H
#define LYCH_TEST_PACKAGES_TRACED_H

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/user.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

class Traced
{
      public:
	// An instruction that is executed so often is not counted any further.
	static constexpr uint64_t kEnough = 500;

	~Traced();
	Traced() = default;
	Traced(const Traced &) = delete;
	Traced &operator=(const Traced &) = delete;

	// False: it could not be started.
	bool start(const std::vector<std::string> &args, const std::vector<std::string> &environment);
	// Until its next own int3. False: it ended; status() says how.
	bool run();
	int status() const { return status_; }
	pid_t pid() const { return pid_; }

	// While it stands.
	bool read(uint64_t at, void *buf, size_t len) const;
	void count(uint64_t insn);
	// Ends counting; how often each was executed, kEnough at most.
	std::map<uint64_t, uint64_t> counts();

      private:
	struct Counter {
		uint8_t byte;
		bool armed;
		uint64_t hits;
	};
	pid_t pid_ = 0;
	int status_ = 0;
	std::map<uint64_t, Counter> counters_;

	bool put(pid_t tid, uint64_t at, uint8_t byte) const;
	bool step_over(pid_t tid, uint64_t at, Counter &counter, int *deliver);
};

#endif
