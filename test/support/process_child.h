// SPDX-License-Identifier: Apache-2.0
// Child processes with mappings of a test's choice, and processes opened for scanning.
#ifndef LYCH_TEST_PROCESS_CHILD_H
#define LYCH_TEST_PROCESS_CHILD_H

#include <gtest/gtest.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" // in C a function may share its name with a struct
extern "C" {
#include "process.h"
}
#pragma GCC diagnostic pop

constexpr uint8_t wrpkru[] = {0x0f, 0x01, 0xef};
constexpr size_t page = 4096;

// A child that runs prepare, tells what it returned, and then waits to be ended.
class Child
{
      public:
	explicit Child(const std::function<void *()> &prepare)
	{
		int fds[2];

		if (pipe(fds) != 0) {
			abort();
		}
		pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			void *result = prepare();
			if (write(fds[1], &result, sizeof(result)) != sizeof(result)) {
				_exit(1);
			}
			for (;;) {
				pause();
			}
		}
		close(fds[1]);
		if (read(fds[0], &address, sizeof(address)) != sizeof(address)) {
			address = MAP_FAILED;
		}
		close(fds[0]);
	}
	~Child()
	{
		end();
	}
	void kill_only()
	{
		siginfo_t info;

		kill(pid, SIGKILL);
		waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
	}
	void end()
	{
		if (pid > 0) {
			kill(pid, SIGKILL);
			waitpid(pid, nullptr, 0);
			pid = -1;
		}
	}
	uint64_t at() const
	{
		return reinterpret_cast<uint64_t>(address);
	}

	pid_t pid = -1;
	void *address = MAP_FAILED;
};

class Opened
{
      public:
	explicit Opened(pid_t pid)
	{
		rc = process_open(&p, pid);
	}
	~Opened()
	{
		if (rc == 0) {
			process_close(&p);
		}
	}
	const process_mapping *find(uint64_t vaddr) const
	{
		for (size_t i = 0; i < p.count; i++) {
			if (p.items[i].start <= vaddr && vaddr < p.items[i].end) {
				return &p.items[i];
			}
		}
		return nullptr;
	}
	const process_mapping *find(process_kind kind) const
	{
		for (size_t i = 0; i < p.count; i++) {
			if (p.items[i].kind == kind) {
				return &p.items[i];
			}
		}
		return nullptr;
	}
	std::vector<uint8_t> bytes(uint64_t vaddr, size_t len) const
	{
		std::vector<uint8_t> buf(len);
		source src = process_source(&p);

		if (source_read(&src, vaddr, buf.data(), len) != 0) {
			buf.clear();
		}
		return buf;
	}

	process p;
	int rc;
};

const std::vector<uint8_t> planted(wrpkru, wrpkru + sizeof(wrpkru));

inline void *map_anonymous(size_t pages, int prot, void *where = nullptr)
{
	return mmap(where, pages * page, prot, MAP_PRIVATE | MAP_ANONYMOUS | (where ? MAP_FIXED : 0), -1, 0);
}

#endif // LYCH_TEST_PROCESS_CHILD_H
