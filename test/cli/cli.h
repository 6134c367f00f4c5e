// SPDX-License-Identifier: Apache-2.0
// Runs the real command and looks at what a user sees: exit code, standard output, standard error.
#ifndef LYCH_TEST_CLI_H
#define LYCH_TEST_CLI_H

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <jansson.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

// A sanitizer's own memory is not the command's.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

struct Outcome {
	int exit_code = -1; // -1: ended by a signal
	int signal = 0;
	long max_rss_kib = 0;
	std::string out;
	std::string err;
};

// So that a failed expectation shows what the command said.
std::ostream &operator<<(std::ostream &stream, const Outcome &run);

struct RunOptions {
	std::string cwd;                                          // "": the test's own
	std::string input;                                        // standard input
	std::vector<std::pair<std::string, std::string>> environ; // added
	std::string output;           // standard output goes to this file
	bool no_dac_override = false; // root reads everything; without this capability it does not
	bool no_proc = false; // /proc is empty; where that cannot be had the exit code is kCannot
	bool out_is_pty = false;
	bool err_is_pty = false;
	double hold_input_s = 0; // standard input stays open so long
	bool ignore_sigpipe = false;
	bool closed_pipe = false; // standard output is a pipe that nobody reads
	std::vector<int> closed;  // of descriptors 0 to 2: not open at all
};

inline constexpr int kCannot = 125;

inline RunOptions output_to(const std::string &path)
{
	RunOptions options;
	options.output = path;
	return options;
}

// lychgate ARGS...; NO_COLOR and TERM are unset unless given.
Outcome lychgate(const std::vector<std::string> &args, const RunOptions &options = {});

// A temporary directory that goes away, read-only parts and all.
class Tree
{
      public:
	Tree();
	~Tree();
	Tree(const Tree &) = delete;
	Tree &operator=(const Tree &) = delete;

	std::string path(const std::string &name = "") const;
	// Makes parent directories as well; returns the path.
	std::string file(const std::string &name, const std::vector<uint8_t> &data) const;
	std::string text(const std::string &name, const std::string &data) const;
	std::string dir(const std::string &name) const;
	// A symbolic link.
	std::string link(const std::string &name, const std::string &target) const;

      private:
	std::string root_;
};

std::string read_text(const std::string &path);
std::vector<std::string> lines_of(const std::string &text);
size_t count_of(const std::string &text, const std::string &part);

// An ELF shared object whose code, at address and offset 0x1000, is this. build_id may be empty.
std::vector<uint8_t> elf_with(const std::vector<uint8_t> &code,
			      const std::vector<uint8_t> &build_id = {});

// xor eax,eax; wrpkru; ret: a finding at 0x1002
std::vector<uint8_t> stray_code();
std::vector<uint8_t> clean_code();

constexpr uint64_t kStrayAddress = 0x1002;

// JSON, freed by itself.
using Json = std::unique_ptr<json_t, decltype(&json_decref)>;
Json parse_json(const std::string &text);
// "runs/0/results/1/ruleId"; NULL when there is no such thing.
json_t *at(const json_t *value, const std::string &path);
inline json_t *at(const Json &value, const std::string &path)
{
	return at(value.get(), path);
}
std::string string_at(const json_t *value, const std::string &path);
inline std::string string_at(const Json &value, const std::string &path)
{
	return string_at(value.get(), path);
}
// Records of a jsonl report of that type, "" for all.
std::vector<Json> records(const std::string &text, const std::string &type = "");

#endif
