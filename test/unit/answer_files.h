// SPDX-License-Identifier: Apache-2.0
// Files of a library domain over a fake arena: a tree of them, and calls about them.
#ifndef LYCH_TEST_UNIT_ANSWER_FILES_H
#define LYCH_TEST_UNIT_ANSWER_FILES_H

#include "fake_library.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

namespace fs = std::filesystem;

template <typename... Args> long Call(long nr, Args... args)
{
	uint64_t arg[6] = {(uint64_t)args...};
	return fake_call_end(nullptr, nr, arg);
}

// A tree: dir/{file,sub/deep}, link -> file, out -> ../secret, and secret beside it.
class Files : public testing::Test
{
      protected:
	std::string root, dir;

	void SetUp() override
	{
		char name[] = "/tmp/lych-files-XXXXXX";
		ASSERT_NE(mkdtemp(name), nullptr);
		root = fs::canonical(name);
		dir = root + "/dir";
		fs::create_directories(dir + "/sub");
		Write(dir + "/file", "contents");
		Write(dir + "/sub/deep", "deep");
		Write(root + "/secret", "secret");
		fs::create_symlink("file", dir + "/link");
		fs::create_symlink("../secret", dir + "/out");
		fs::create_symlink(root + "/secret", dir + "/absolute");
		fs::create_symlink(dir + "/sub", dir + "/within");
	}
	void TearDown() override
	{
		fake_library_free();
		fs::remove_all(root);
	}
	void Open(const std::string &policy, unsigned int fds = 64, const char *search = nullptr)
	{
		char why[200] = "";
		ASSERT_EQ(fake_library_new(policy.c_str(), search, fds, why, sizeof(why)), 0) << why;
	}
	static void Write(const std::string &path, const std::string &text)
	{
		std::ofstream(path) << text;
	}
	static std::string Read(const std::string &path)
	{
		std::ifstream in(path);
		return std::string(std::istreambuf_iterator<char>(in), {});
	}
	// Where a path is put; further ones behind it.
	static const char *Path(const std::string &path, size_t at = 0)
	{
		return strcpy(fake_arena() + 4096 + at, path.c_str());
	}
	static long Get(const std::string &path, int flags = O_RDONLY, int mode = 0)
	{
		return Call(SYS_openat, AT_FDCWD, Path(path), flags, mode);
	}
	static std::string Contents(long fd)
	{
		long n = Call(SYS_read, fd, fake_arena(), 4096);
		return n < 0 ? "error " + std::to_string(n) : std::string(fake_arena(), (size_t)n);
	}
};

#endif // LYCH_TEST_UNIT_ANSWER_FILES_H
