// SPDX-License-Identifier: Apache-2.0
// What Debian's libraries cost in library domains, in instructions, the kernel's included: for the PKU machine under
// instruction counting (./dev bench libraries), where rdtsc counts what is retired; on other machines it is nothing to go by.
// The work is that of test/library/real: the same source calls the library directly, by dlopen in a process that knows of no
// domain, and inside. A round is counted when some have gone before it, so that caches, heaps and tables are as they stay.
//
//	bench_libraries FOLDER [NAME]...	tables in Markdown; FOLDER: where the libraries are (test/library/real/libraries.sh)
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "table.h"

extern char **environ;

namespace
{

const int kWarm = 3, kCounted = 5;

unsigned long faults()
{
	rusage u = {};
	getrusage(RUSAGE_SELF, &u);
	return static_cast<unsigned long>(u.ru_minflt);
}

using Calls = std::map<std::string, unsigned long>; // system calls, by name

// Those made between two looks.
Calls made(const lych_usage &before, const lych_usage &after)
{
	Calls out;
	for (long nr = 0; nr < LYCH_USAGE_CALLS; nr++) {
		const char *name = lych_call_name(nr);
		if (after.calls[nr] != before.calls[nr]) {
			out[name != nullptr ? name : std::to_string(nr)] = after.calls[nr] - before.calls[nr];
		}
	}
	return out;
}

struct Counts {
	std::string error, notes; // "": it went well; what the work came to
	unsigned long open = 0, round = 0, least = 0, most = 0, calls = 0, callbacks = 0, faults = 0;
	unsigned long used = 0, mapped = 0, code = 0;
	Calls opening, in_round;
};

// The most first. base: not those.
std::string named(const Calls &calls, const Calls &base)
{
	std::vector<std::pair<unsigned long, std::string>> list;
	std::string out;
	for (const auto &[name, n] : calls) {
		auto of_each = base.find(name);
		unsigned long rest = n - (of_each != base.end() ? of_each->second : 0);
		if (rest != 0) {
			list.emplace_back(rest, name);
		}
	}
	std::sort(list.begin(), list.end(),
		  [](const auto &a, const auto &b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
	for (const auto &[n, name] : list) {
		out += (out.empty() ? "" : ", ") + name + " " + std::to_string(n);
	}
	return out.empty() ? "none" : out;
}

// In a process of its own.
Counts count(const RealLibrary &library, const char *folder)
{
	Counts c;
	lych_usage nothing = {}, opened = {}, before = {}, after = {};
	try {
		std::string search = std::string(folder) + "/lib";
		lych_library_opts opts = {};
		opts.size = sizeof(opts);
		opts.search = search.c_str();
		opts.heap_bytes = size_t(1) << 30; // as in real_test.cc
		bool inside = folder[0] != '\0';
		if (inside && lych_init(nullptr) != 0) {
			throw std::runtime_error(lych_why());
		}
		uint64_t start = __rdtsc();
		std::unique_ptr<World> world = inside ? inside_world(library.soname, &opts) : direct_world(library.soname);
		c.open = __rdtsc() - start;
		auto usage = [&](lych_usage *out) { return inside ? lych_library_usage(world->domain(), out) : 0; };
		world->check(usage(&opened) == 0, "lych_library_usage");
		Load load = library.load(*world);
		load.round();
		load.result();
		const std::string first = world->notes();
		for (int i = 1; i < kWarm; i++) {
			load.round();
		}
		std::vector<unsigned long> rounds;
		for (int i = 0; i < kCounted; i++) {
			world->check(usage(&before) == 0, "lych_library_usage");
			unsigned long calls = world->calls, callbacks = load_callbacks, faulted = faults();
			start = __rdtsc();
			load.round();
			rounds.push_back(__rdtsc() - start);
			c.faults = faults() - faulted;
			c.calls = world->calls - calls;
			c.callbacks = load_callbacks - callbacks;
			world->check(usage(&after) == 0, "lych_library_usage");
		}
		std::sort(rounds.begin(), rounds.end());
		c.least = rounds.front();
		c.most = rounds.back();
		c.round = rounds[kCounted / 2];
		load.result();
		world->check(world->notes() == first + first, "a round does not come to what the first has come to");
		c.notes = std::to_string(hash_of(world->notes().data(), world->notes().size()));
		c.used = opened.used_bytes;
		c.mapped = opened.mapped_bytes;
		c.code = opened.code_bytes;
		c.opening = made(nothing, opened);
		c.in_round = made(before, after);
	} catch (const std::exception &e) {
		c.error = std::string("! ") + e.what();
		std::replace(c.error.begin(), c.error.end(), '\n', ' ');
	}
	return c;
}

// One line each, in the order of this list.
template <class C, class F> void each_field(C &c, F field)
{
	field(c.error);
	field(c.notes);
	for (auto *n : {&c.open, &c.round, &c.least, &c.most, &c.calls, &c.callbacks, &c.faults, &c.used, &c.mapped, &c.code}) {
		field(*n);
	}
	field(c.opening);
	field(c.in_round);
}

std::ostream &operator<<(std::ostream &out, const Calls &calls)
{
	for (const auto &[name, n] : calls) {
		out << name << " " << n << " ";
	}
	return out;
}

void tell(const Counts &c)
{
	std::ostringstream out;
	each_field(c, [&](const auto &value) { out << value << "\n"; });
	fputs(out.str().c_str(), stdout);
}

void parse(std::istream &in, std::string &value) { std::getline(in, value); }
void parse(std::istream &in, unsigned long &value)
{
	std::string line;
	std::getline(in, line);
	value = strtoul(line.c_str(), nullptr, 10);
}

void parse(std::istream &in, Calls &value)
{
	std::string line, name;
	unsigned long n;
	std::getline(in, line);
	std::istringstream words(line);
	while (words >> name >> n) {
		value[name] = n;
	}
}

// What a process of this program with these arguments tells.
Counts asked(const char *library, const std::string &folder, bool inside)
{
	std::string setting = "LD_LIBRARY_PATH=" + folder + "/lib", text;
	std::string words[] = {"bench_libraries", "--count", library, inside ? folder : ""};
	std::vector<char *> argv, env;
	posix_spawn_file_actions_t actions;
	int pipes[2], status = -1;
	pid_t pid;
	char buffer[4096];
	for (std::string &word : words) {
		argv.push_back(word.data());
	}
	argv.push_back(nullptr);
	for (char **e = environ; *e != nullptr; e++) {
		env.push_back(*e);
	}
	if (!inside) {
		env.push_back(setting.data());
	}
	env.push_back(nullptr);
	if (pipe(pipes) != 0) {
		perror("bench_libraries: pipe");
		exit(1);
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
	posix_spawn_file_actions_addclose(&actions, pipes[0]);
	posix_spawn_file_actions_addclose(&actions, pipes[1]);
	int rc = posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, argv.data(), env.data());
	posix_spawn_file_actions_destroy(&actions);
	close(pipes[1]);
	for (ssize_t n; rc == 0 && (n = read(pipes[0], buffer, sizeof(buffer))) > 0;) {
		text.append(buffer, static_cast<size_t>(n));
	}
	close(pipes[0]);
	Counts c;
	if (rc != 0 || waitpid(pid, &status, 0) != pid || status != 0) {
		c.error = "! it ended with status " + std::to_string(status);
		return c;
	}
	std::istringstream in(text);
	each_field(c, [&](auto &value) { parse(in, value); });
	return c;
}

// Of the package that is named first, as its authors call it.
std::string version_of(const RealLibrary &library, const std::string &folder)
{
	std::ifstream list(folder + "/list");
	std::string package, version, first = std::string(library.packages).substr(0, std::string(library.packages).find(' '));
	while (list >> package >> version) {
		if (package == first) {
			version.erase(0, version.find(':') == std::string::npos ? 0 : version.find(':') + 1);
			version.erase(std::min(version.size(), version.find_first_of("-+")));
			return version.substr(0, version.find(".dfsg"));
		}
	}
	return "?";
}

std::string millions(unsigned long n)
{
	char text[40];
	snprintf(text, sizeof(text), "%.2f", static_cast<double>(n) / 1e6);
	return text;
}

std::string mebibytes(unsigned long n)
{
	char text[40];
	snprintf(text, sizeof(text), "%.1f", static_cast<double>(n) / (1 << 20));
	return text;
}

// A round that is not like the others is told from one that is: by more than 2 in 100.
std::string steady(const Counts &c) { return c.most - c.least > c.least / 50 ? "~" : ""; }

struct Row {
	const RealLibrary *library;
	Counts direct, inside;
};

// What was asked of each of them, at least.
Calls of_each(const std::vector<Row> &rows)
{
	Calls out = rows.empty() ? Calls() : rows.front().inside.opening;
	for (const Row &row : rows) {
		for (auto i = out.begin(); i != out.end();) {
			auto here = row.inside.opening.find(i->first);
			i->second = here != row.inside.opening.end() ? std::min(i->second, here->second) : 0;
			i = i->second != 0 ? std::next(i) : out.erase(i);
		}
	}
	return out;
}

void work_table(const std::vector<Row> &rows, const std::string &folder)
{
	printf("| library | a round of work | calls, callbacks | directly | inside | ratio | its system calls inside |\n"
	       "|---|---|--:|--:|--:|--:|---|\n");
	for (const auto &[library, direct, inside] : rows) {
		printf("| %s %s | %s | %lu, %lu | %s%s | %s%s | %.2f | %s |\n", library->name, version_of(*library, folder).c_str(),
		       library->counted, inside.calls, inside.callbacks, steady(direct).c_str(), millions(direct.round).c_str(),
		       steady(inside).c_str(), millions(inside.round).c_str(),
		       static_cast<double>(inside.round) / static_cast<double>(direct.round), named(inside.in_round, {}).c_str());
	}
}

void opening_table(const std::vector<Row> &rows)
{
	Calls base = of_each(rows);
	printf("\n| library | `dlopen` | `lych_open` | used, MiB | mapped | code | system calls beside those of each |\n"
	       "|---|--:|--:|--:|--:|--:|---|\n");
	for (const auto &[library, direct, inside] : rows) {
		printf("| %s | %s | %s | %s | %s | %s | %s |\n", library->name, millions(direct.open).c_str(),
		       millions(inside.open).c_str(), mebibytes(inside.used).c_str(), mebibytes(inside.mapped).c_str(),
		       mebibytes(inside.code).c_str(),
		       named(inside.opening, base).c_str());
	}
	printf("\nSystem calls of each opening: %s.\n", named(base, {}).c_str());
}

// So that no opening waits for the disk.
void read_all(const std::string &folder)
{
	std::vector<char> chunk(1 << 20);
	for (const auto &entry : std::filesystem::directory_iterator(folder + "/lib")) {
		std::ifstream file(entry.path(), std::ios::binary);
		while (file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()))) {
		}
	}
}

int tables(const std::string &folder, const std::vector<std::string> &names)
{
	std::vector<Row> rows;
	int failed = 0;
	read_all(folder);
	for (const RealLibrary &library : kRealLibraries) {
		if (!names.empty() && std::find(names.begin(), names.end(), library.name) == names.end()) {
			continue;
		}
		Row row = {&library, asked(library.name, folder, false), asked(library.name, folder, true)};
		const auto &[of, direct, inside] = row;
		std::string error = !direct.error.empty() ? "directly: " + direct.error : "";
		if (error.empty() && !inside.error.empty()) {
			error = "inside: " + inside.error;
		} else if (error.empty() && direct.notes != inside.notes) {
			error = "it computes something else inside";
		}
		if (!error.empty()) {
			fprintf(stderr, "bench_libraries: %s: %s\n", of->name, error.c_str());
			failed = 1;
			continue;
		}
		fprintf(stderr, "%s: rounds of %lu to %lu, inside %lu to %lu; page faults %lu, inside %lu\n", of->name, direct.least,
			direct.most, inside.least, inside.most, direct.faults, inside.faults);
		rows.push_back(row);
	}
	utsname name = {};
	uname(&name);
	printf("Linux %s; millions of instructions; the middle one of %d rounds, after %d that are not counted.\n\n", name.release,
	       kCounted, kWarm);
	work_table(rows, folder);
	opening_table(rows);
	return failed;
}

} // namespace

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "--count") == 0) {
		for (const RealLibrary &library : kRealLibraries) {
			if (strcmp(library.name, argv[2]) == 0) {
				// Whether a heap lies so that huge pages fit is chance, and they are as dear as what is counted.
				prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
				tell(count(library, argv[3]));
				// What the libraries would do at their end is not asked for.
				fflush(stdout);
				_exit(0);
			}
		}
		return 1;
	}
	if (argc < 2) {
		fprintf(stderr, "usage: bench_libraries FOLDER [NAME]...\n");
		return 2;
	}
	return tables(argv[1], std::vector<std::string>(argv + 2, argv + argc));
}
