// SPDX-License-Identifier: Apache-2.0
// Files of a library domain: paths, and the ways out that are refused.
#include "answer_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>

namespace
{

TEST_F(Files, OfAPureDomainAreNotThere)
{
	Open("pure");
	EXPECT_EQ(Get(dir + "/file"), -EACCES);
	EXPECT_EQ(Get("/etc/passwd"), -EACCES);
	EXPECT_EQ(Get("/proc/self/mem", O_RDWR), -EACCES);
	EXPECT_EQ(Call(SYS_stat, Path("/etc/passwd"), fake_arena()), -EACCES);
	EXPECT_EQ(Call(SYS_access, Path("/etc/passwd"), R_OK), -EACCES);
	EXPECT_EQ(fake_refused(SYS_openat), 3u);
}

TEST_F(Files, BeneathAnAllowedDirectoryAreRead)
{
	Open("files-ro:" + dir);
	long fd = Get(dir + "/file");
	EXPECT_EQ(fd, 3) << "the lowest free number";
	EXPECT_EQ(Contents(fd), "contents");
	EXPECT_EQ(Get(dir + "/link"), 4);
	EXPECT_EQ(Contents(4), "contents");
	EXPECT_EQ(Get(dir + "/sub/../file"), 5);
	EXPECT_EQ(Get(dir + "//./sub/deep"), 6);
	EXPECT_EQ(Contents(6), "deep");
	EXPECT_EQ(Get(dir + "/within/deep"), 7) << "an absolute link that leads to an allowed place";
	EXPECT_EQ(Contents(7), "deep");
	EXPECT_EQ(Get(dir + "/nothing"), -ENOENT);
	EXPECT_EQ(fake_refused_all(), 0u);
}

TEST_F(Files, OutsideOfItAreRefusedWhateverTheSpelling)
{
	Open("files-ro:" + dir);
	const std::string secret = root + "/secret";
	for (const std::string &path :
	     {secret, dir + "/../secret", dir + "/out", dir + "/absolute", dir + "/sub/../../secret", dir + "/sub/../out",
	      dir + "x", std::string("/"), std::string("/proc/self/environ"), std::string("/proc/self/root") + dir + "/file",
	      std::string("/proc/self/cwd"), std::string("/dev/fd/0"), std::string("/proc/self/fd/0"), std::string("etc/passwd"),
	      std::string("../etc/passwd"), std::string("/sys/kernel/notes"), std::string("/dev/mem")}) {
		EXPECT_EQ(Get(path), -EACCES) << path;
		EXPECT_EQ(Get(path, O_RDONLY | O_NOFOLLOW) >= 0, false) << path;
		long rc = Call(SYS_open, Path(path), O_RDONLY);
		EXPECT_EQ(rc, -EACCES) << path;
	}
	EXPECT_EQ(Call(SYS_stat, Path(dir + "/out"), fake_arena()), -EACCES);
	EXPECT_EQ(Call(SYS_lstat, Path(dir + "/out"), fake_arena()), 0) << "the link itself is in there";
	EXPECT_EQ(Call(SYS_readlink, Path(dir + "/out"), fake_arena(), 100), 9);
	EXPECT_EQ(Call(SYS_truncate, Path(dir + "/out"), 0), -EACCES);
	EXPECT_EQ(Get(""), -ENOENT);
	EXPECT_EQ(Get(std::string(2000, 'x')), -ENAMETOOLONG);
	EXPECT_EQ(Call(SYS_openat, AT_FDCWD, root.c_str(), O_RDONLY), -EFAULT) << "a path of the host's";
	EXPECT_EQ(Read(secret), "secret");
}

TEST_F(Files, OfADirectoryThatLeadsElsewhereAreFoundByBothItsNames)
{
	fs::create_symlink(dir, root + "/alias");
	Open("files-ro:" + root + "/alias");
	EXPECT_EQ(Get(root + "/alias/file"), 3);
	EXPECT_EQ(Get(dir + "/file"), 4);
	EXPECT_EQ(Get(root + "/alias/../secret"), -EACCES);
}

TEST_F(Files, OneFileCanBeAllowedAlone)
{
	Open("allow read " + dir + "/file");
	EXPECT_EQ(Get(dir + "/file"), 3);
	EXPECT_EQ(Get(dir + "/file/x"), -EACCES);
	EXPECT_EQ(Get(dir + "/sub/deep"), -EACCES);
	EXPECT_EQ(Get(dir), -EACCES);
	EXPECT_EQ(Call(SYS_stat, Path(dir), fake_arena()), 0) << "what leads there may be looked at, as realpath does";
	EXPECT_EQ(Call(SYS_stat, Path(root + "/secret"), fake_arena()), -EACCES);
}

TEST_F(Files, AllowedForReadingAreNotWritten)
{
	Open("files-ro:" + dir);
	for (int flags : {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_RDONLY | O_CREAT, O_WRONLY | O_APPEND}) {
		EXPECT_EQ(Get(dir + "/file", flags, 0600), -EACCES) << flags;
	}
	EXPECT_EQ(Get(dir, O_RDWR | O_TMPFILE, 0600), -EINVAL);
	EXPECT_EQ(Get(dir + "/file", O_PATH), -EINVAL);
	EXPECT_EQ(Call(SYS_unlink, Path(dir + "/file")), -EACCES);
	EXPECT_EQ(Call(SYS_mkdir, Path(dir + "/new"), 0700), -EACCES);
	EXPECT_EQ(Call(SYS_rename, Path(dir + "/file"), Path(dir + "/new", 1500)), -EACCES);
	EXPECT_EQ(Call(SYS_truncate, Path(dir + "/file"), 0), -EACCES);
	EXPECT_EQ(Call(SYS_access, Path(dir + "/file"), W_OK), -EACCES);
	long fd = Get(dir + "/file");
	EXPECT_EQ(Call(SYS_write, fd, fake_arena(), 1), -EBADF);
	EXPECT_EQ(Call(SYS_ftruncate, fd, 0), -EINVAL);
	EXPECT_EQ(Read(dir + "/file"), "contents");
}

TEST_F(Files, AllowedForWritingAreMadeChangedAndTakenAway)
{
	Open("allow write " + dir);
	Call(SYS_umask, 077);
	EXPECT_EQ(Call(SYS_umask, 077), 077);
	long fd = Get(dir + "/new", O_RDWR | O_CREAT | O_EXCL, 04777);
	ASSERT_EQ(fd, 3);
	strcpy(fake_arena(), "hello");
	EXPECT_EQ(Call(SYS_write, fd, fake_arena(), 5), 5);
	EXPECT_EQ(Call(SYS_pwrite64, fd, fake_arena(), 1, 9), 1);
	EXPECT_EQ(Call(SYS_ftruncate, fd, 7), 0);
	EXPECT_EQ(Call(SYS_lseek, fd, 0, SEEK_SET), 0);
	EXPECT_EQ(Contents(fd), std::string("hello\0\0", 7));
	EXPECT_EQ(Call(SYS_fsync, fd), 0);
	struct stat st;
	ASSERT_EQ(stat((dir + "/new").c_str(), &st), 0);
	EXPECT_EQ(st.st_mode & 07777, 0700u) << "no set-user-id bit, and its own umask";
	EXPECT_EQ(Get(dir + "/new", O_RDWR | O_CREAT | O_EXCL, 0600), -EEXIST);
	EXPECT_EQ(Get(dir + "/out", O_RDWR | O_CREAT | O_EXCL, 0600), -EEXIST);
	EXPECT_EQ(Get(dir + "/out", O_RDWR | O_CREAT, 0600), -EACCES);
	EXPECT_EQ(Call(SYS_mkdir, Path(dir + "/more"), 0777), 0);
	EXPECT_EQ(Call(SYS_rename, Path(dir + "/new"), Path(dir + "/more/old", 1500)), 0);
	EXPECT_EQ(Call(SYS_rename, Path(dir + "/more/old"), Path(root + "/gone", 1500)), -EACCES);
	EXPECT_EQ(Call(SYS_rename, Path(root + "/secret"), Path(dir + "/mine", 1500)), -EACCES);
	EXPECT_EQ(Call(SYS_unlink, Path(dir + "/more/old")), 0);
	EXPECT_EQ(Call(SYS_rmdir, Path(dir + "/more")), 0);
	EXPECT_EQ(Call(SYS_unlink, Path(dir + "/out")), 0) << "the link, not what it names";
	EXPECT_EQ(Read(root + "/secret"), "secret");
	EXPECT_EQ(Call(SYS_unlinkat, AT_FDCWD, Path(dir + "/sub/.."), AT_REMOVEDIR), -EACCES);
}

TEST_F(Files, RightsAndTimesAreThoseOfWhoMayWrite)
{
	Open("allow write " + dir + "\nallow read " + dir + "/sub");
	long fd = Get(dir + "/file", O_WRONLY), other = Get(dir + "/sub/deep");
	EXPECT_EQ(Call(SYS_fchmod, fd, 06711), 0);
	auto *times = reinterpret_cast<struct timespec *>(fake_arena());
	times[0] = {1000, 0};
	times[1] = {2000, 5};
	EXPECT_EQ(Call(SYS_utimensat, fd, 0, times, 0), 0);
	struct stat st;
	ASSERT_EQ(stat((dir + "/file").c_str(), &st), 0);
	EXPECT_EQ(st.st_mode & 07777, 0711u);
	EXPECT_EQ(st.st_mtim.tv_sec, 2000);
	EXPECT_EQ(Call(SYS_fchmod, other, 0777), -EPERM);
	EXPECT_EQ(Call(SYS_utimensat, other, 0, times, 0), -EPERM);
	EXPECT_EQ(Call(SYS_utimensat, fd, Path(root + "/secret"), times, 0), -EINVAL);
	EXPECT_EQ(Call(SYS_utimensat, fd, 0, &errno, 0), -EFAULT);
	EXPECT_EQ(Call(SYS_fchmod, 1, 0777), -EINVAL);
}

TEST_F(Files, TheLongestNameDecides)
{
	Open("allow write " + dir + "\nallow read " + dir + "/sub");
	EXPECT_EQ(Get(dir + "/sub/deep", O_RDWR), -EACCES);
	EXPECT_EQ(Get(dir + "/file", O_RDWR), 3);
}

TEST_F(Files, SpecialTreesAreNotReachedThroughWhatIsAboveThem)
{
	fs::create_symlink("/proc/self/environ", dir + "/environ");
	Open("files-ro:/");
	EXPECT_EQ(Get(root + "/secret"), 3) << "the control";
	for (const char *path : {"/proc/self/environ", "/proc/version", "/sys/kernel/notes", "/dev/null", "/dev/shm", "/../proc/version"}) {
		EXPECT_EQ(Get(path), -EACCES) << path;
	}
	EXPECT_EQ(Get(dir + "/environ"), -EACCES);
	EXPECT_EQ(Get(root + "/secret", O_RDWR), -EACCES);
}

TEST_F(Files, DevicesOfMemoryCanBeAllowed)
{
	Open("files-ro:/dev/zero:/dev/urandom");
	EXPECT_EQ(Get("/dev/zero"), 3);
	EXPECT_EQ(Contents(3).size(), 4096u);
	EXPECT_EQ(Get("/dev/null"), -EACCES);
	EXPECT_EQ(Call(SYS_mmap, 0, 4096, 1, MAP_PRIVATE, 3, 0), -ENODEV);
}

TEST_F(Files, FifosAndSocketsAreRefusedAndNobodyWaitsForThem)
{
	ASSERT_EQ(mkfifo((dir + "/fifo").c_str(), 0600), 0);
	Open("allow write " + dir);
	EXPECT_EQ(Get(dir + "/fifo"), -EACCES);
	EXPECT_EQ(Get(dir + "/fifo", O_RDWR), -EACCES);
	EXPECT_EQ(Call(SYS_openat, AT_FDCWD, Path(dir + "/fifo"), O_RDWR | O_CREAT | O_EXCL, 0600), -EEXIST);
}

// The host reads from it, and waits for somebody who writes.
TEST_F(Files, FifosThatAreRefusedAreNotOpenedEither)
{
	const std::string fifo = dir + "/fifo";
	ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
	pollfd reader = {open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC), POLLIN, 0};
	ASSERT_GE(reader.fd, 0);
	fs::create_symlink("fifo", dir + "/to-fifo");
	Open("allow write " + dir);
	for (const char *name : {"/fifo", "/to-fifo"}) {
		for (int flags : {O_WRONLY, O_RDWR, O_WRONLY | O_CREAT, O_WRONLY | O_TRUNC, O_RDONLY}) {
			EXPECT_EQ(Get(dir + name, flags), -EACCES) << flags;
		}
		EXPECT_EQ(Call(SYS_truncate, Path(dir + name), 0), -EACCES);
	}
	EXPECT_EQ(poll(&reader, 1, 0), 0) << "somebody has written, and gone";
	close(open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
	EXPECT_EQ(poll(&reader, 1, 0), 1) << "the control";
	EXPECT_EQ(reader.revents, POLLHUP);
	close(reader.fd);
}

TEST_F(Files, LibrariesAreReadWhileALoaderIsAtWork)
{
	fs::create_directories(root + "/search");
	Write(root + "/search/lib.so", "library");
	Open("pure", 64, (root + "/search:").c_str());
	EXPECT_EQ(Get("/etc/ld.so.cache"), -EACCES) << "the control";
	EXPECT_EQ(Get(root + "/search/lib.so"), -EACCES);
	fake_loading(true);
	unsigned int told = fake_refused_all();
	EXPECT_EQ(Call(SYS_access, Path("/etc/ld.so.preload"), R_OK), -ENOENT);
	EXPECT_EQ(fake_refused_all(), told) << "every loader asks that";
	EXPECT_EQ(Get("/etc/ld.so.cache", O_RDONLY | O_CLOEXEC), 3);
	EXPECT_EQ(Get("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY | O_CLOEXEC), 4);
	EXPECT_EQ(Get("/lib64/ld-linux-x86-64.so.2"), 5) << "through absolute links";
	EXPECT_EQ(Get(root + "/search/lib.so"), 6);
	EXPECT_EQ(Get(root + "/secret"), -ENOENT);
	EXPECT_EQ(Get("/lib/x86_64-linux-gnu/libc.so.6", O_RDWR), -ENOENT);
	EXPECT_EQ(Get("/etc/passwd"), -ENOENT);
	ASSERT_EQ(Call(SYS_mmap, 0, 8192, 5, MAP_PRIVATE, 4, 4096), 4096);
	struct stat st;
	ASSERT_EQ(stat("/lib/x86_64-linux-gnu/libc.so.6", &st), 0);
	EXPECT_STREQ(fake_memory()->name, "code");
	EXPECT_EQ(fake_memory()->ino, st.st_ino);
	EXPECT_EQ(fake_memory()->arg[4], 4096u);
	fake_loading(false);
	EXPECT_EQ(Get("/etc/ld.so.cache"), -EACCES);
}

TEST_F(Files, WhatTheCLibraryLooksAtOutOfHabitIsNotTold)
{
	Open("pure");
	bool there = access("/sys/devices/system/cpu/online", R_OK) == 0;
	long fd = Get("/sys/devices/system/cpu/online");
	EXPECT_EQ(fd, there ? 3 : -ENOENT) << "how many processors there are";
	if (there) {
		EXPECT_EQ(Contents(fd), Read("/sys/devices/system/cpu/online"));
		EXPECT_EQ(Get("/sys/devices/system/cpu/online", O_RDWR), -ENOENT);
	}
	EXPECT_EQ(Get("/sys/devices/system/cpu"), -ENOENT);
	EXPECT_EQ(Get("/proc/stat"), -ENOENT);
	EXPECT_EQ(fake_refused_all(), 0u);
	EXPECT_EQ(Get("/sys/devices/system/cpu/cpu0/online"), -EACCES);
	EXPECT_EQ(fake_refused_all(), 1u);
	fake_library_free();
	Open("allow read /proc/stat");
	EXPECT_EQ(Get("/proc/stat"), 3) << "where it is allowed it is there";
}

TEST_F(Files, LinksThatChangeMeanwhileLeadToAllowedOnesOnly)
{
	Open("files-ro:" + dir);
	std::atomic<bool> stop{false};
	fs::create_directories(root + "/other");
	Write(root + "/other/deep", "secret");
	std::thread racer([&] {
		const std::string a = dir + "/race", b = dir + "/race.next";
		for (int i = 0; !stop; i++) {
			unlink(b.c_str());
			switch (i % 4) {
			case 0:
				(void)!symlink((root + "/other").c_str(), b.c_str());
				break;
			case 1:
				(void)!symlink("sub", b.c_str());
				break;
			case 2:
				(void)!symlink("../other", b.c_str());
				break;
			default:
				mkdir(b.c_str(), 0700);
				Write(b + "/deep", "deep");
				break;
			}
			if (rename(b.c_str(), a.c_str()) != 0) {
				std::error_code ignored;
				fs::remove_all(a, ignored);
				(void)!rename(b.c_str(), a.c_str());
			}
		}
	});
	// Six thousand times, and on until it was reached: on a busy machine the other thread may not have had its turn.
	int reached = 0;
	for (int i = 0; i < 6000 || (reached == 0 && i < 10000000); i++) {
		long fd = Get(dir + "/race/deep");
		if (fd >= 0) {
			std::string is = Contents(fd);
			EXPECT_TRUE(is == "deep" || is.empty()) << is;
			reached++;
			Call(SYS_close, fd);
		}
	}
	stop = true;
	racer.join();
	EXPECT_GT(reached, 0) << "the control: it is reached at times";
}

TEST_F(Files, AReportRunReadsWhatItIsAskedForAndSaysSo)
{
	Open("report");
	EXPECT_EQ(Get(dir + "/out"), 3);
	EXPECT_EQ(Get(dir + "/file", O_RDWR), -EACCES) << "writing is not safe to try";
	EXPECT_EQ(Get("/proc/self/environ"), -EACCES);
	fs::create_symlink("/proc/self/environ", dir + "/environ");
	EXPECT_EQ(Get(dir + "/environ"), -EACCES);
	EXPECT_EQ(Call(SYS_pipe2, fake_arena(), 0), 0);
	EXPECT_EQ(Call(SYS_ptrace, 0), -EPERM);
	char text[4096];
	fake_learned(text, sizeof(text));
	EXPECT_EQ(std::string(text), "pure\nallow read " + dir + "/out\nallow call pipe2\n");
	fake_library_free();
	Open(text);
	EXPECT_EQ(Get(dir + "/out"), 3) << "what was printed allows it";
	EXPECT_EQ(Get(dir + "/file"), -EACCES);
}

TEST_F(Files, AReportRunLearnsWhatWasOpenedAndNotTheWayThere)
{
	fs::create_symlink(dir + "/out", dir + "/way");
	Open("report");
	EXPECT_EQ(Call(SYS_access, Path("/"), R_OK), 0);
	EXPECT_EQ(Call(SYS_access, Path(root), R_OK), 0);
	EXPECT_EQ(Call(SYS_access, Path(dir), R_OK), 0);
	EXPECT_EQ(Get(dir + "/way"), 3);
	char text[4096];
	fake_learned(text, sizeof(text));
	EXPECT_EQ(std::string(text), "pure\nallow read " + dir + "/way\n");
	fake_library_free();
	Open(text);
	EXPECT_EQ(Call(SYS_access, Path("/"), R_OK), 0);
	EXPECT_EQ(Call(SYS_access, Path(dir), R_OK), 0);
	EXPECT_EQ(Get(dir + "/way"), 3);
	EXPECT_EQ(Get(dir + "/file"), -EACCES);
}

TEST_F(Files, APolicyThatLeadsToProcIsRefused)
{
	fs::create_symlink("/proc/self", root + "/self");
	char why[200] = "";
	EXPECT_EQ(fake_library_new(("files-ro:" + root + "/self").c_str(), nullptr, 64, why, sizeof(why)), -EINVAL);
	EXPECT_NE(std::string(why).find("no policy can allow"), std::string::npos) << why;
	EXPECT_EQ(fake_library_new("pure", "relative", 64, why, sizeof(why)), -EINVAL);
}

} // namespace
