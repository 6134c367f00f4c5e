// SPDX-License-Identifier: Apache-2.0
// Files of a library domain: numbers, what is read and written by them, and what a reset makes of them.
#include "answer_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace
{

TEST_F(Files, NumbersAreTheDomainsOwn)
{
	Open("files-ro:" + dir, 5);
	unsigned int before = fake_descriptors();
	int mine = open("/dev/null", O_RDONLY);
	ASSERT_GE(mine, 3);
	EXPECT_EQ(Call(SYS_fcntl, mine, F_GETFD), -EBADF) << "the process has it, the domain does not";
	EXPECT_EQ(Call(SYS_close, mine), -EBADF);
	EXPECT_EQ(fcntl(mine, F_GETFD), 0);
	close(mine);
	for (int i = 3; i < 8; i++) {
		EXPECT_EQ(Get(dir + "/file"), i);
	}
	EXPECT_EQ(Get(dir + "/file"), -EMFILE);
	EXPECT_EQ(Call(SYS_dup, 3), -EMFILE);
	EXPECT_EQ(fake_descriptors(), before + 5) << "and nothing is left of those that failed";
	EXPECT_EQ(Call(SYS_close, 5), 0);
	EXPECT_EQ(Call(SYS_close, 5), -EBADF);
	EXPECT_EQ(Call(SYS_dup, 3), 5);
	EXPECT_EQ(fake_descriptors(), before + 4);
	EXPECT_EQ(Call(SYS_dup2, 3, 99), -EBADF);
	EXPECT_EQ(Call(SYS_dup2, 3, -1), -EBADF);
	EXPECT_EQ(Call(SYS_dup2, 4, 6), 6);
	EXPECT_EQ(Call(SYS_dup2, 6, 6), 6);
	EXPECT_EQ(Call(SYS_dup3, 6, 6, 0), -EINVAL);
	EXPECT_EQ(Call(SYS_dup3, 3, 7, O_CLOEXEC), 7);
	EXPECT_EQ(Call(SYS_fcntl, 7, F_GETFD), FD_CLOEXEC);
	EXPECT_EQ(Call(SYS_fcntl, 7, F_SETFD, 0), 0);
	EXPECT_EQ(Call(SYS_fcntl, 7, F_GETFD), 0);
	EXPECT_EQ(Call(SYS_lseek, 3, 2, SEEK_SET), 2);
	EXPECT_EQ(Contents(7), "ntents") << "a duplicate is the same open file";
	EXPECT_EQ(Call(SYS_fcntl, 3, F_DUPFD, 100), -EINVAL);
	EXPECT_EQ(Call(SYS_fcntl, 3, F_SETOWN, 1), -EINVAL);
	EXPECT_EQ(Call(SYS_fcntl, 3, F_NOTIFY, 1), -EINVAL);
	fake_library_free();
	EXPECT_LT(fake_descriptors(), before) << "all is closed, the roots, too";
}

TEST_F(Files, InTheProcessTheyAreHighAndClosedAtExec)
{
	Open("files-ro:" + dir);
	ASSERT_EQ(Get(dir + "/file"), 3);
	ASSERT_EQ(Call(SYS_mmap, 0, 4096, 1, MAP_PRIVATE, 3, 0), 4096);
	EXPECT_EQ(fcntl((int)fake_memory()->real_fd, F_GETFD), FD_CLOEXEC);
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	EXPECT_GE((uint64_t)fake_memory()->real_fd, limit.rlim_cur >= 2048 ? 1024 : limit.rlim_cur / 2);
}

TEST_F(Files, StandardOnesAreNotTheProcesss)
{
	Open("pure");
	EXPECT_EQ(Contents(0), "");
	EXPECT_EQ(Call(SYS_write, 1, fake_arena(), 10), 10) << "and goes nowhere";
	EXPECT_EQ(Call(SYS_read, 2, fake_arena(), 10), -EBADF);
	EXPECT_EQ(Call(SYS_ioctl, 1, TCGETS, fake_arena()), -ENOTTY);
	EXPECT_EQ(Call(SYS_lseek, 2, 0, SEEK_CUR), -ESPIPE);
	EXPECT_EQ(Call(SYS_write, 1, (uint64_t)&errno, 10), -EFAULT);
	// standard error is the process's
	int pipes[2], saved = dup(2);
	ASSERT_EQ(pipe(pipes), 0);
	dup2(pipes[1], 2);
	strcpy(fake_arena(), "to the user");
	long n = Call(SYS_write, 2, fake_arena(), 11);
	auto *iov = reinterpret_cast<iovec *>(fake_arena() + 512);
	iov[0] = {fake_arena(), 0};
	iov[1] = {fake_arena(), 2};
	iov[2] = {fake_arena() + 3, 3};
	long more = Call(SYS_writev, 2, iov, 3);
	char all[32] = "";
	EXPECT_EQ(read(pipes[0], all, sizeof(all) - 1), 16) << "the last words of the C library are one call in many pieces";
	EXPECT_STREQ(all, "to the usertothe");
	close(pipes[0]);
	long broken = Call(SYS_write, 2, fake_arena(), 11); // no SIGPIPE: it would end this program
	dup2(saved, 2);
	EXPECT_EQ(n, 11);
	EXPECT_EQ(more, 5);
	EXPECT_EQ(broken, -EPIPE);
	close(pipes[1]);
	close(saved);
	EXPECT_EQ(Call(SYS_close, 0), 0);
	EXPECT_EQ(Call(SYS_close, 2), 0);
	EXPECT_EQ(Call(SYS_write, 2, fake_arena(), 11), -EBADF);
}

TEST_F(Files, BuffersAreInTheArenaWhollyOrNothingIsDone)
{
	Open("allow write " + dir);
	long fd = Get(dir + "/file", O_RDWR);
	char *const start = fake_arena(), *const end = fake_arena_end();
	static char mine[64] = "mine";
	for (char *at : {mine, start - 1, start - 64, end - 7, end, (char *)8}) {
		EXPECT_EQ(Call(SYS_read, fd, at, 8), -EFAULT) << (void *)at;
		EXPECT_EQ(Call(SYS_pread64, fd, at, 8, 0), -EFAULT);
		EXPECT_EQ(Call(SYS_write, fd, at, 8), -EFAULT);
		EXPECT_EQ(Call(SYS_pwrite64, fd, at, 8, 0), -EFAULT);
		auto *iov = reinterpret_cast<iovec *>(start);
		iov[0] = {start + 64, 1};
		iov[1] = {at, 8};
		for (long nr : {SYS_readv, SYS_writev, SYS_preadv, SYS_pwritev}) {
			EXPECT_EQ(Call(nr, fd, iov, 2, 0), -EFAULT) << "one bad piece";
			EXPECT_EQ(Call(nr, fd, at, 1, 0), -EFAULT) << "the vector itself";
		}
	}
	EXPECT_EQ(Call(SYS_read, fd, end - 8192, 8), -EFAULT) << "read-only inside";
	EXPECT_EQ(Call(SYS_read, fd, start, UINT64_MAX), -EFAULT);
	EXPECT_EQ(Call(SYS_readv, fd, start, -1), -EINVAL);
	EXPECT_EQ(Call(SYS_getdents64, Get(dir, O_RDONLY | O_DIRECTORY), mine, 64), -EFAULT);
	EXPECT_STREQ(mine, "mine");
	EXPECT_EQ(Read(dir + "/file"), "contents");
	EXPECT_EQ(Call(SYS_read, fd, end - 8192 - 8, 8), 8) << "the control";
	EXPECT_EQ(Call(SYS_read, fd, 0, 0), 0);
}

TEST_F(Files, VectorsAreReadAndWritten)
{
	Open("allow write " + dir);
	long fd = Get(dir + "/file", O_RDWR);
	auto *iov = reinterpret_cast<iovec *>(fake_arena());
	char *a = fake_arena() + 1024, *b = fake_arena() + 2048;
	iov[0] = {a, 3};
	iov[1] = {(void *)1, 0};
	iov[2] = {b, 100};
	EXPECT_EQ(Call(SYS_readv, fd, iov, 3), 8);
	EXPECT_EQ(std::string(a, 3) + std::string(b, 5), "contents");
	strcpy(a, "CON");
	EXPECT_EQ(Call(SYS_pwritev, fd, iov, 1, 0, 0), 3);
	EXPECT_EQ(Read(dir + "/file"), "CONtents");
}

TEST_F(Files, StatsTellWhatTheKernelTells)
{
	Open("files-ro:" + dir);
	auto *st = reinterpret_cast<struct stat *>(fake_arena());
	auto *stx = reinterpret_cast<struct statx *>(fake_arena() + 512);
	struct stat real;
	ASSERT_EQ(stat((dir + "/file").c_str(), &real), 0);
	long fd = Get(dir + "/file");
	EXPECT_EQ(Call(SYS_fstat, fd, st), 0);
	EXPECT_EQ(st->st_ino, real.st_ino);
	EXPECT_EQ(Call(SYS_newfstatat, fd, Path(""), st, AT_EMPTY_PATH), 0);
	EXPECT_EQ(st->st_size, 8);
	EXPECT_EQ(Call(SYS_newfstatat, AT_FDCWD, Path(dir + "/link"), st, AT_SYMLINK_NOFOLLOW), 0);
	EXPECT_TRUE(S_ISLNK(st->st_mode));
	EXPECT_EQ(Call(SYS_statx, AT_FDCWD, Path(dir + "/link"), 0, STATX_BASIC_STATS, stx), 0);
	EXPECT_EQ(stx->stx_ino, real.st_ino);
	EXPECT_EQ(Call(SYS_statx, 1, Path(""), AT_EMPTY_PATH, STATX_BASIC_STATS, stx), 0);
	EXPECT_TRUE(S_ISCHR(stx->stx_mode));
	EXPECT_EQ(Call(SYS_fstat, 0, st), 0);
	EXPECT_TRUE(S_ISCHR(st->st_mode));
	EXPECT_EQ(Call(SYS_access, Path(dir + "/file"), R_OK), 0);
	EXPECT_EQ(Call(SYS_faccessat2, AT_FDCWD, Path(dir + "/none"), F_OK, AT_EACCESS), -ENOENT);
	EXPECT_EQ(Call(SYS_readlink, Path(dir + "/file"), st, 100), -EINVAL);
	EXPECT_EQ(Call(SYS_readlink, Path(dir + "/link"), st, 2), 2);
	EXPECT_EQ(memcmp(st, "fi", 2), 0);
	EXPECT_EQ(Call(SYS_getcwd, fake_arena(), 1), -ERANGE);
}

TEST_F(Files, DirectoriesAreListedAndGoneOnFrom)
{
	Open("files-ro:" + dir);
	long fd = Get(dir, O_RDONLY | O_DIRECTORY);
	ASSERT_EQ(fd, 3);
	long n = Call(SYS_getdents64, fd, fake_arena(), 1024);
	EXPECT_GT(n, 0);
	EXPECT_NE(std::string(fake_arena(), (size_t)n).find("within"), std::string::npos);
	EXPECT_EQ(Call(SYS_openat, fd, Path("sub/deep"), O_RDONLY), 4);
	EXPECT_EQ(Call(SYS_openat, fd, Path("../secret"), O_RDONLY), -EACCES);
	EXPECT_EQ(Call(SYS_openat, fd, Path("out"), O_RDONLY), -EACCES);
	EXPECT_EQ(Call(SYS_openat, 4, Path("x"), O_RDONLY), -ENOTDIR);
	EXPECT_EQ(Call(SYS_openat, 77, Path("x"), O_RDONLY), -EBADF);
	EXPECT_EQ(Call(SYS_openat, 77, Path(dir + "/file"), O_RDONLY), 5) << "an absolute path needs none";
	auto *how = reinterpret_cast<struct open_how *>(fake_arena());
	*how = {O_RDONLY, 0, 0};
	EXPECT_EQ(Call(SYS_openat2, fd, Path("file"), how, sizeof(*how)), 6);
	*how = {O_RDONLY, 0, RESOLVE_IN_ROOT};
	EXPECT_EQ(Call(SYS_openat2, fd, Path("file"), how, sizeof(*how)), -EINVAL);
	EXPECT_EQ(Call(SYS_open, Path(dir + "/file/"), O_RDONLY), -ENOTDIR);
}

TEST_F(Files, WhatIsUsedStaysOpenThoughItsNumberIsClosed)
{
	Open("allow call pipe2");
	auto *ends = reinterpret_cast<int *>(fake_arena());
	ASSERT_EQ(Call(SYS_pipe2, ends, 0), 0);
	EXPECT_EQ(ends[0], 3);
	EXPECT_EQ(ends[1], 4);
	long got = -1;
	std::thread reader([&] { got = Call(SYS_read, 3, fake_arena() + 64, 10); });
	while (fake_asked() == 0) { // it waits
		usleep(1000);
	}
	unsigned int before = fake_descriptors();
	EXPECT_EQ(Call(SYS_close, 3), 0);
	EXPECT_EQ(fake_descriptors(), before) << "the reader has it";
	strcpy(fake_arena() + 128, "late");
	EXPECT_EQ(Call(SYS_write, 4, fake_arena() + 128, 4), 4);
	reader.join();
	EXPECT_EQ(got, 4);
	EXPECT_EQ(fake_descriptors(), before - 1);
	EXPECT_EQ(Call(SYS_write, 4, fake_arena() + 128, 4), -EPIPE) << "and no SIGPIPE";
}

TEST_F(Files, ManyThreadsOpenAndCloseWithoutLosingAny)
{
	Open("files-ro:" + dir, 8);
	unsigned int before = fake_descriptors();
	strcpy(fake_arena() + 4096, (dir + "/file").c_str());
	std::vector<std::thread> threads;
	for (int i = 0; i < 4; i++) {
		threads.emplace_back([i] {
			for (int k = 0; k < 2000; k++) {
				long fd = Call(SYS_openat, AT_FDCWD, fake_arena() + 4096, O_RDONLY, 0);
				if (fd >= 0) {
					Call(SYS_read, fd, fake_arena() + 8192 + 64 * i, 8);
				}
				Call(SYS_dup2, 3 + k % 8, 3 + k % 5);
				Call(SYS_close, 3 + k % 8); // whoever's it is
				if (fd >= 0) {
					Call(SYS_close, fd);
				}
			}
		});
	}
	for (std::thread &t : threads) {
		t.join();
	}
	for (int fd = 3; fd < 11; fd++) {
		Call(SYS_close, fd);
	}
	EXPECT_EQ(fake_descriptors(), before);
}

// A second thread of the domain changes a vector between the check and the use: where there is nothing in between.
TEST_F(Files, AVectorThatChangesMeanwhileIsUsedAsItWasChecked)
{
	Open("files-ro:" + dir);
	long fd = Get(dir + "/file");
	int own = open((dir + "/file").c_str(), O_RDONLY | O_CLOEXEC);
	static char mine[64];
	auto *iov = reinterpret_cast<struct iovec *>(fake_arena());
	std::atomic<void *> &base = *reinterpret_cast<std::atomic<void *> *>(&iov[0].iov_base);
	iov[0] = {fake_arena() + 512, 8};
	std::atomic<bool> stop{false};
	std::thread racer([&] {
		while (!stop) {
			base = mine;
			base = fake_arena() + 512;
		}
	});
	bool read_it = false, refused = false;
	for (int i = 0; i < 2000000 && !(i > 20000 && read_it && refused); i++) {
		long n = Call(SYS_preadv, fd, iov, 1, 0, 0);
		ASSERT_TRUE(n == 8 || n == -EFAULT) << n;
		read_it = read_it || n == 8;
		refused = refused || n == -EFAULT;
		ASSERT_EQ(mine[0], 0);
	}
	EXPECT_TRUE(read_it && refused) << "both were there to be seen";
	for (int i = 0; i < 2000000 && mine[0] == 0; i++) {
		ASSERT_EQ(preadv(own, iov, 1, 0), 8);
	}
	stop = true;
	racer.join();
	EXPECT_STREQ(mine, "contents") << "the control: as the kernel takes it";
	memset(mine, 0, sizeof(mine));
	close(own);
}

TEST_F(Files, AreAsBeforeAfterAReset)
{
	Open("files-ro:" + dir);
	ASSERT_EQ(Get(dir + "/file"), 3);
	ASSERT_EQ(Get(dir + "/file"), 4);
	Call(SYS_lseek, 3, 2, SEEK_SET);
	unsigned int before = fake_descriptors();
	fake_snapshot();
	for (int round = 0; round < 3; round++) {
		EXPECT_EQ(Contents(3), "ntents");
		Call(SYS_close, 4);
		EXPECT_EQ(Get(dir + "/sub/deep"), 4);
		EXPECT_EQ(Get(dir + "/sub/deep"), 5);
		Call(SYS_dup2, 4, 1);
		fake_restore();
		EXPECT_EQ(fake_descriptors(), before);
		EXPECT_EQ(Contents(4), "contents");
		EXPECT_EQ(Contents(5), "error -9");
		EXPECT_EQ(Contents(1), "");
	}
	fake_snapshot();
	EXPECT_EQ(fake_descriptors(), before);
}

// What a library was made to leave there would be read by the library that begins anew.
TEST_F(Files, ThatWereEmptyAreSoAgainAfterAReset)
{
	Open("allow write " + dir + "\nallow call pipe2 eventfd2");
	auto *at = reinterpret_cast<int *>(fake_arena());
	auto *value = reinterpret_cast<uint64_t *>(fake_arena() + 64);
	ASSERT_EQ(Call(SYS_pipe2, at, O_NONBLOCK), 0);          // 3, 4
	ASSERT_EQ(Call(SYS_eventfd2, 0, O_NONBLOCK), 5);
	ASSERT_EQ(Call(SYS_eventfd2, 0, O_NONBLOCK | 1), 6);    // a semaphore
	ASSERT_EQ(Call(SYS_pipe2, at, O_NONBLOCK), 0);          // 7, 8
	ASSERT_EQ(Call(SYS_write, 8, Path("kept"), 4), 4);
	ASSERT_EQ(Get(dir + "/file", O_RDWR), 9);
	unsigned int before = fake_descriptors();
	fake_snapshot();
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 40; i++) {
			Call(SYS_write, 4, fake_arena() + 8192, 4096); // until it is full
		}
		*value = ~uint64_t{0} - 16;
		EXPECT_EQ(Call(SYS_write, 5, value, 8), 8);
		EXPECT_EQ(Call(SYS_write, 6, value, 8), 8);
		EXPECT_EQ(Call(SYS_fcntl, 9, F_SETFL, O_APPEND | O_NONBLOCK), 0);
		EXPECT_EQ(Call(SYS_fcntl, 3, F_SETFL, 0), 0);
		fake_restore();
		EXPECT_EQ(fake_descriptors(), before);
		EXPECT_EQ(Call(SYS_read, 3, fake_arena() + 8192, 4096), -EAGAIN) << "and does not wait";
		EXPECT_EQ(Call(SYS_read, 5, value, 8), -EAGAIN);
		EXPECT_EQ(Call(SYS_read, 6, value, 8), -EAGAIN);
		EXPECT_EQ(Call(SYS_fcntl, 9, F_GETFL), O_RDWR | 0100000);
		*value = 2;
		EXPECT_EQ(Call(SYS_write, 6, value, 8), 8);
		EXPECT_EQ(Call(SYS_read, 6, value, 8), 8);
		EXPECT_EQ(*value, 1U) << "a semaphore as before";
	}
	EXPECT_EQ(Call(SYS_read, 7, fake_arena() + 8192, 4096), 4) << "what the constructors left there is theirs";
	EXPECT_EQ(Call(SYS_write, 4, Path("more"), 4), 4) << "its ends belong together";
	EXPECT_EQ(Call(SYS_read, 3, fake_arena() + 8192, 4096), 4);

	// In a child of fork they are the parent's, too.
	EXPECT_EQ(Call(SYS_write, 4, Path("parent"), 6), 6);
	pid_t child = fork();
	if (child == 0) {
		fake_restore();
		_exit(Call(SYS_read, 3, fake_arena() + 8192, 4096) == -EAGAIN ? 0 : 1);
	}
	int status = -1;
	waitpid(child, &status, 0);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(Call(SYS_read, 3, fake_arena() + 8192, 4096), 6);
}

// The kernel reads and writes 2 GiB of a file whatever signal comes.
TEST_F(Files, AreReadAndWrittenInPiecesBetweenWhichACallCanEnd)
{
	constexpr long kBytes = 700 << 10, kPiece = 256 << 10;
	Open("allow write " + dir + "\nfiles-ro:/dev/zero");
	char *large = fake_arena() + 8192;
	std::string all(kBytes, '\0');
	for (long i = 0; i < kBytes; i++) {
		all[i] = static_cast<char>(i ^ i >> 8 ^ i >> 16);
	}
	ASSERT_EQ(Get(dir + "/large", O_RDWR | O_CREAT, 0600), 3);
	ASSERT_EQ(Get("/dev/zero"), 4);
	memcpy(large, all.data(), kBytes);
	EXPECT_EQ(Call(SYS_write, 3, large, kBytes), kBytes);
	EXPECT_EQ(Read(dir + "/large"), all);
	EXPECT_EQ(Call(SYS_pwrite64, 3, large, kBytes, 1), kBytes);
	EXPECT_EQ(Read(dir + "/large"), all.substr(0, 1) + all);
	EXPECT_EQ(Call(SYS_lseek, 3, 0, SEEK_CUR), kBytes) << "where the first one has left it";
	memset(large, 0, kBytes);
	EXPECT_EQ(Call(SYS_pread64, 3, large, kBytes + 100, 1), kBytes) << "to the end of the file";
	EXPECT_EQ(memcmp(large, all.data(), kBytes), 0);
	EXPECT_EQ(Call(SYS_pread64, 3, large, kBytes, -1), -EINVAL);
	EXPECT_EQ(Call(SYS_read, 4, large, kBytes), kBytes);
	EXPECT_EQ(large[kBytes - 1], 0);

	auto *iov = reinterpret_cast<iovec *>(fake_arena());
	iov[0] = {large, 300 << 10};
	iov[1] = {large + (300 << 10), kBytes - (300 << 10)};
	EXPECT_EQ(Call(SYS_preadv, 3, iov, 2, 1), kBytes);
	EXPECT_EQ(memcmp(large, all.data(), kBytes), 0);
	EXPECT_EQ(Call(SYS_pwritev, 3, iov, 2, 0), kBytes);
	EXPECT_EQ(Read(dir + "/large"), all + all.substr(kBytes - 1));

	fake_interrupt(true);
	EXPECT_EQ(Call(SYS_pread64, 3, large, kBytes, 0), kPiece);
	EXPECT_EQ(Call(SYS_pwrite64, 3, large, kBytes, 0), kPiece);
	EXPECT_EQ(Call(SYS_preadv, 3, iov, 2, 0), kPiece);
	EXPECT_EQ(Call(SYS_read, 4, large, kBytes), kPiece);
	fake_interrupt(false);
}

TEST_F(Files, LocksAreTheDomainsAndNotTheProcesss)
{
	Open("allow write " + dir);
	long fd = Get(dir + "/file", O_RDWR);
	int mine = open((dir + "/file").c_str(), O_RDWR);
	struct flock lock = {};
	lock.l_type = F_WRLCK;
	ASSERT_EQ(fcntl(mine, F_SETLK, &lock), 0);
	memcpy(fake_arena(), &lock, sizeof(lock));
	EXPECT_EQ(Call(SYS_fcntl, fd, F_SETLK, fake_arena()), -EAGAIN) << "as of another process";
	fake_interrupt(true);
	EXPECT_EQ(Call(SYS_fcntl, fd, F_SETLKW, fake_arena()), -EINTR);
	fake_interrupt(false);
	close(mine);
	EXPECT_EQ(Call(SYS_fcntl, fd, F_SETLK, fake_arena()), 0);
	EXPECT_EQ(Call(SYS_flock, fd, LOCK_EX | LOCK_NB), 0);
	EXPECT_EQ(Call(SYS_fcntl, fd, F_SETLK, 8), -EFAULT);
}

TEST_F(Files, PipesAndEventsWaitAsTheDomainWantsIt)
{
	Open("allow call pipe pipe2 eventfd2");
	auto *ends = reinterpret_cast<int *>(fake_arena());
	ASSERT_EQ(Call(SYS_pipe2, ends, O_NONBLOCK | O_CLOEXEC), 0);
	EXPECT_EQ(Call(SYS_fcntl, 3, F_GETFD), FD_CLOEXEC);
	EXPECT_EQ(Call(SYS_fcntl, 3, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	EXPECT_EQ(Call(SYS_read, 3, fake_arena(), 8), -EAGAIN);
	int off = 0;
	memcpy(fake_arena(), &off, 4);
	EXPECT_EQ(Call(SYS_ioctl, 3, FIONBIO, fake_arena()), 0);
	EXPECT_EQ(Call(SYS_fcntl, 3, F_GETFL) & O_NONBLOCK, 0);
	fake_interrupt(true);
	EXPECT_EQ(Call(SYS_read, 3, fake_arena(), 8), -EINTR) << "it waits, until the call is to end";
	fake_interrupt(false);
	EXPECT_EQ(Call(SYS_fcntl, 3, F_SETFL, O_NONBLOCK | O_APPEND), 0);
	EXPECT_EQ(Call(SYS_read, 3, fake_arena(), 8), -EAGAIN);
	EXPECT_EQ(Call(SYS_eventfd2, 3, 0), 5);
	EXPECT_EQ(Call(SYS_read, 5, fake_arena(), 8), 8);
	EXPECT_EQ(fake_arena()[0], 3);
	EXPECT_EQ(Call(SYS_write, 4, fake_arena(), 6), 6);
	EXPECT_EQ(Call(SYS_ioctl, 3, FIONREAD, fake_arena()), 0);
	EXPECT_EQ(fake_arena()[0], 6);
	EXPECT_EQ(Call(SYS_ioctl, 3, FIONREAD, 8), -EFAULT);
	EXPECT_EQ(Call(SYS_ioctl, 3, TIOCSTI, fake_arena()), -ENOTTY);
	EXPECT_EQ(fake_refused(SYS_ioctl), 1u);
	unsigned int before = fake_descriptors();
	EXPECT_EQ(Call(SYS_pipe2, 8, 0), -EFAULT);
	EXPECT_EQ(fake_descriptors(), before);
}

TEST_F(Files, PollAndSelectSeeTheDomainsNumbers)
{
	Open("allow call pipe2");
	auto *ends = reinterpret_cast<int *>(fake_arena());
	ASSERT_EQ(Call(SYS_pipe2, ends, 0), 0);
	auto *polled = reinterpret_cast<struct pollfd *>(fake_arena() + 64);
	polled[0] = {3, POLLIN, 0};
	polled[1] = {4, POLLOUT, 0};
	polled[2] = {-1, POLLIN, 9};
	polled[3] = {50, POLLIN, 0};
	polled[4] = {1, POLLOUT, 0};
	EXPECT_EQ(Call(SYS_poll, polled, 5, -1), 3);
	EXPECT_EQ(polled[0].revents, 0);
	EXPECT_EQ(polled[1].revents, POLLOUT);
	EXPECT_EQ(polled[2].revents, 0);
	EXPECT_EQ(polled[3].revents, POLLNVAL);
	EXPECT_EQ(polled[4].revents, POLLOUT);
	EXPECT_EQ(Call(SYS_poll, polled, 1, 5), 0);
	EXPECT_EQ(Call(SYS_poll, polled, 1000, 0), -EINVAL);
	EXPECT_EQ(Call(SYS_poll, fake_arena() - 8, 1, 0), -EFAULT);
	EXPECT_EQ(Call(SYS_write, 4, fake_arena(), 1), 1);
	auto *sets = reinterpret_cast<fd_set *>(fake_arena() + 1024);
	memset(sets, 0, 2 * sizeof(fd_set));
	FD_SET(3, &sets[0]);
	FD_SET(4, &sets[0]);
	FD_SET(4, &sets[1]);
	EXPECT_EQ(Call(SYS_select, 64, &sets[0], &sets[1], 0, 0), 2);
	EXPECT_TRUE(FD_ISSET(3, &sets[0]));
	EXPECT_FALSE(FD_ISSET(4, &sets[0]));
	EXPECT_TRUE(FD_ISSET(4, &sets[1]));
	FD_SET(60, &sets[0]);
	EXPECT_EQ(Call(SYS_select, 64, &sets[0], 0, 0, 0), -EBADF);
	EXPECT_EQ(Call(SYS_select, 2000, &sets[0], 0, 0, 0), -EINVAL);
}

} // namespace
