// SPDX-License-Identifier: Apache-2.0
// liblief0, C++: LIEF::PE::oid_to_string has a table of names, made at the first call. What it does when there is no
// memory for one of them ends in a jump that holds it. So there is no memory, each time at another place.
#include "program.h"

#include <sys/wait.h>
#include <unistd.h>

#include <new>
#include <string>

namespace
{

bool counting;
size_t allowed; // allocations that still succeed

using Name = const char *(const std::string &);

// Tries with so many allocations; true: the table was made.
bool attempt(Name *name, const std::string &oid, size_t allocations)
{
	bool made = true;
	allowed = allocations;
	counting = true;
	try {
		name(oid);
	} catch (const std::bad_alloc &) {
		made = false;
	}
	counting = false;
	return made;
}

// How many it takes: found out in children, since a table that was made stays.
size_t needed(Name *name, const std::string &oid)
{
	size_t enough = 1;
	for (;; enough *= 2) {
		int status = 0;
		pid_t child = fork();
		if (child == 0) {
			_exit(attempt(name, oid, enough) ? 0 : 1);
		}
		if (child < 0 || waitpid(child, &status, 0) != child || enough > 1U << 20) {
			unexpected("no child");
		}
		if (status == 0) {
			return enough;
		}
	}
}

} // namespace

// Instead of the library's.
__attribute__((visibility("default"))) void *operator new(size_t size)
{
	void *memory = counting && allowed-- == 0 ? nullptr : malloc(size);
	if (memory == nullptr) {
		counting = false;
		throw std::bad_alloc();
	}
	return memory;
}

__attribute__((visibility("default"))) void operator delete(void *memory) noexcept
{
	free(memory);
}

__attribute__((visibility("default"))) void operator delete(void *memory, size_t) noexcept
{
	free(memory);
}

namespace
{

void calls(void *library)
{
	auto *name = function<Name>(library,
				    "_ZN4LIEF2PE13oid_to_stringERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE");
	static size_t enough = needed(name, "2.5.4.3");
	size_t failed = 0;
	for (size_t n = 0; n < enough / 2; n++) {
		failed += !attempt(name, "2.5.4.3", n);
	}
	known_number("how often there was no memory", failed, enough / 2);
}

} // namespace

extern "C" const struct program program = {calls, nullptr, nullptr};
