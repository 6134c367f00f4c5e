// SPDX-License-Identifier: Apache-2.0
// Exceptions of C++, through frames whose calls were bound a moment ago.
#include <cstring>
#include <dlfcn.h>
#include <exception>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "program.h"
#include "throws.h"

namespace
{

int PlainValue(int value, double weight)
{
	try {
		Counted counted;
		through_plain(value, weight);
	} catch (const Thrown &thrown) {
		CHECK(std::uncaught_exceptions() == 0);
		return thrown.weight == weight ? thrown.value : -2;
	}
	return -1;
}

void CheckNested()
{
	try {
		through_nested("inner", "outer");
		fail("nothing was thrown");
	} catch (const std::logic_error &outer) {
		CHECK(std::string(outer.what()) == "outer");
		try {
			std::rethrow_if_nested(outer);
			fail("nothing is nested");
		} catch (const std::runtime_error &inner) {
			CHECK(std::string(inner.what()) == "inner");
		}
	}
}

void CheckTakenToAnotherThread()
{
	std::exception_ptr taken;

	std::thread([&taken] {
		try {
			throws_more(6);
		} catch (...) {
			taken = std::current_exception();
		}
	}).join();
	try {
		std::rethrow_exception(taken);
	} catch (const ThrownMore &more) {
		CHECK(more.value == 6);
		return;
	}
	fail("nothing arrived");
}

void CheckNoexcept()
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		std::set_terminate([] { _exit(33); });
		through_noexcept(1);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 33);
}

} // namespace

void check_exceptions()
{
	int caught = 0;

	for (int round = 0; round < 3; round++) {
		CHECK(PlainValue(5, 2.5) == 5);
		CHECK(through_catching(7) == 9);
		try {
			through_again(10);
		} catch (const Thrown &thrown) {
			caught = thrown.value;
		}
		CHECK(caught == 11);
		CheckNested();
	}
	CheckTakenToAnotherThread();
	CheckNoexcept();
	CHECK(Counted::alive == 0);

	std::vector<std::thread> threads;
	for (int i = 0; i < 8; i++) {
		threads.emplace_back([i] {
			for (int round = 0; round < 100; round++) {
				try {
					throws_standard("each");
				} catch (const std::exception &each) {
					CHECK(strcmp(each.what(), "each") == 0);
				}
				CHECK(throws_nothing(i) == i + 1);
			}
		});
	}
	for (std::thread &thread : threads) {
		thread.join();
	}
}

void check_constructors()
{
	for (int value = 3; value >= 0; value--) {
		int caught = 0;
		try {
			MadeInParts parts(value);
			CHECK(Counted::alive == 3);
		} catch (const Thrown &thrown) {
			caught = thrown.value;
		}
		CHECK(caught == value);
		CHECK(Counted::alive == 0);
	}
	for (int round = 0; round < 10; round++) {
		void *library = open_library("libuserspace_constructs.so");
		int (*constructs_caught)();

		*reinterpret_cast<void **>(&constructs_caught) =
			symbol_of(library, "constructs_caught");
		CHECK(constructs_caught() == 30 + 11);
		CHECK(dlclose(library) == 0);
	}
	CHECK(Counted::alive == 0);
}
