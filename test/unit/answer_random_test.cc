// SPDX-License-Identifier: Apache-2.0 Random system calls with random arguments, from code in a library domain:
// whatever they are, what is not the domain's stays as it is.
#include "fake_library.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace fs = std::filesystem;

namespace
{

std::string Read(const std::string &path)
{
	std::ifstream in(path);
	return std::string(std::istreambuf_iterator<char>(in), {});
}

const std::vector<std::pair<long, const char *>> fits = {
	{SYS_openat, "dpom"},	{SYS_open, "pom"},	{SYS_read, "fbn"},	{SYS_write, "fbn"},	{SYS_pread64, "fbnn"},
	{SYS_pwrite64, "fbnn"}, {SYS_readv, "fbf"},	{SYS_writev, "fbf"},	{SYS_newfstatat, "dpb0"}, {SYS_statx, "dp0nb"},
	{SYS_access, "pf"},	{SYS_readlink, "pbn"},	{SYS_unlink, "p"},	{SYS_rename, "pp"},	{SYS_mkdir, "pm"},
	{SYS_rmdir, "p"},	{SYS_truncate, "pn"},	{SYS_ftruncate, "fn"},	{SYS_getdents64, "fbn"}, {SYS_fcntl, "fff"},
	{SYS_dup2, "ff"},	{SYS_dup, "f"},		{SYS_close, "f"},	{SYS_lseek, "fnf"},	{SYS_poll, "bf0"},
	{SYS_pipe2, "b0"},	{SYS_select, "nbbbb"},	{SYS_ioctl, "fnb"},	{SYS_mmap, "bnf0f0"},
};

class RandomCalls : public testing::TestWithParam<unsigned int>
{
      protected:
	std::mt19937_64 random;
	std::string root, dir;
	std::vector<uint64_t> pointers;
	std::vector<long> calls;
	char canary[4096];

	uint64_t Up(uint64_t n)
	{
		return random() % n;
	}
	// What a hostile caller would try: places in the arena, at its edges, the host's; numbers of descriptors;
	// sizes; bits.
	uint64_t Argument()
	{
		switch (Up(10)) {
		case 0:
		case 1:
		case 2:
			return (uint64_t)fake_arena() + Up(FAKE_ARENA_BYTES + 64) - 32;
		case 3:
			return pointers[Up(pointers.size())];
		case 4:
		case 5:
			return Up(14);
		case 6:
			return Up(1 << 14);
		case 7:
			return 1ULL << Up(64) | 1ULL << Up(64);
		case 8:
			return (uint64_t)-1 - Up(200);
		default:
			return random();
		}
	}
	// What the call is made for, so that its inner parts are reached, too: f descriptor, d directory, p path, b
	// buffer, n size, o flags of open, m mode, 0 nothing.
	uint64_t Fitting(char kind)
	{
		switch (kind) {
		case 'f':
			return Up(13);
		case 'd':
			return Up(3) != 0 ? (uint64_t)AT_FDCWD : Up(13);
		case 'p':
			return (uint64_t)fake_arena() + 4096 + 256 * Up(12);
		case 'b':
			return (uint64_t)fake_arena() + 8 * Up(FAKE_ARENA_BYTES / 8);
		case 'n':
			return Up(3000);
		case 'o':
			return Up(3) | (Up(2) ? O_CREAT : 0) | (Up(4) ? 0 : O_TRUNC) | (Up(4) ? 0 : O_DIRECTORY) | (Up(4) ? 0 : O_NOFOLLOW);
		case 'm':
			return Up(01000);
		default:
			return 0;
		}
	}
	void PutPaths()
	{
		size_t at = 4096;
		for (const std::string &path : {dir, dir + "/file", dir + "/new", dir + "/sub", dir + "/out", root + "/secret",
						dir + "/../secret", std::string("/proc/self/mem"), std::string("file"),
						std::string("../secret"), std::string("/dev/null"), std::string("")}) {
			strcpy(fake_arena() + at, path.c_str());
			at += 256;
		}
	}
	void SetUp() override
	{
		random.seed(GetParam());
		char name[] = "/tmp/lych-random-XXXXXX";
		ASSERT_NE(mkdtemp(name), nullptr);
		root = fs::canonical(name);
		dir = root + "/dir";
		fs::create_directories(dir + "/sub");
		std::ofstream(dir + "/file") << "contents";
		std::ofstream(root + "/secret") << "secret";
		fs::create_symlink("../secret", dir + "/out");
		char why[200] = "";
		const std::string policy = "allow write " + dir + "\nallow call pipe2 eventfd2 pipe eventfd\ndeny call fallocate";
		ASSERT_EQ(fake_library_new(policy.c_str(), nullptr, 10, why, sizeof(why)), 0) << why;
		memset(canary, 0x77, sizeof(canary));
		for (const char *at :
		     std::vector<const char *>{fake_arena(), fake_arena() - 1, fake_arena_end(), fake_arena_end() - 8192,
					       fake_arena_end() - 4096, canary, canary + 2048}) {
			pointers.push_back((uint64_t)at);
		}
		PutPaths();
		for (int i = 0; i < 12; i++) {
			pointers.insert(pointers.end(), 3, (uint64_t)fake_arena() + 4096 + 256 * i);
		}
		for (long nr = 0; nr < 470; nr++) {
			uint64_t none[6] = {};
			long result = 0;
			bool refused = fake_call_quick(nr, none, &result) && (result == -EPERM || result == -ENOSYS);
			// The others come often, and the refused ones now and then.
			if (!refused || nr % 16 == 0) {
				calls.push_back(nr);
			}
		}
		fake_interrupt(true); // nothing waits
	}
	void TearDown() override
	{
		fake_library_free();
		fs::remove_all(root);
	}
};

INSTANTIATE_TEST_SUITE_P(Seeds, RandomCalls, testing::Values(1, 2, 3));

TEST_P(RandomCalls, TouchNothingThatIsNotTheDomains)
{
	// A file that grows beyond this gives SIGXFSZ, which ends a program that is not asked.
	struct rlimit before, small;
	getrlimit(RLIMIT_FSIZE, &before);
	small = before;
	small.rlim_cur = 1 << 20;
	ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
	int mine[2];
	ASSERT_EQ(pipe2(mine, O_CLOEXEC | O_NONBLOCK), 0);
	ASSERT_EQ(write(mine[1], "mine", 4), 4);
	int error = dup(2), null = open("/dev/null", O_WRONLY);
	ASSERT_EQ(dup2(null, 2), 2); // what is written there is nothing to read
	const unsigned int descriptors = fake_descriptors();
	unsigned int results = 0;

	for (int i = 0; i < 60000; i++) {
		uint64_t arg[6];
		for (uint64_t &a : arg) {
			a = Argument();
		}
		long nr = calls[Up(calls.size())];
		if (i % 2 == 0) {
			const auto &fit = fits[Up(fits.size())];
			nr = fit.first;
			for (int k = 0; fit.second[k] != '\0'; k++) {
				arg[k] = Up(20) != 0 ? Fitting(fit.second[k]) : arg[k];
			}
		}
		if (i % 16 == 0) {
			PutPaths();
		}
		// structs, with pointers in them
		for (int k = 0; k < 8; k++) {
			auto *word = reinterpret_cast<uint64_t *>(fake_arena() + 8 * Up(512));
			*word = Argument();
		}
		results += fake_call_end(nullptr, nr, arg) >= 0;
		if (i % 1000 == 0) {
			for (int k = 0; k < 4096; k++) {
				ASSERT_EQ(fake_arena()[k - 4096], 0) << i;
				ASSERT_EQ(fake_arena_end()[k], 0) << i;
				ASSERT_EQ(canary[k], 0x77) << i;
			}
			ASSERT_LE(fake_descriptors(), descriptors + 13);
		}
	}
	setrlimit(RLIMIT_FSIZE, &before);
	dup2(error, 2);
	EXPECT_GT(results, 10000u) << "the control: many were answered";
	EXPECT_EQ(Read(root + "/secret"), "secret");
	unsigned int entries = 0;
	for (const auto &entry : fs::directory_iterator(root)) {
		(void)entry;
		entries++;
	}
	EXPECT_EQ(entries, 2u);
	char got[8] = "";
	EXPECT_EQ(read(mine[0], got, sizeof(got)), 4) << "nobody has read from a pipe of the process";
	EXPECT_EQ(fcntl(mine[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	close(mine[0]);
	close(mine[1]);
	close(error);
	close(null);
	for (uint64_t fd = 0; fd < 13; fd++) {
		const uint64_t arg[6] = {fd};
		fake_call_end(nullptr, SYS_close, arg);
	}
	EXPECT_EQ(fake_descriptors(), descriptors - 4);
	errno = 0;
	EXPECT_EQ(kill(getpid(), 0), 0);
}

} // namespace
