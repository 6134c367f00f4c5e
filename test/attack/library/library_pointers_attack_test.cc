// SPDX-License-Identifier: Apache-2.0
// G1, G5: every call that is answered, each of its pointers, each address that is not the domain's. It is told EFAULT, and nothing has
// been written there, or read from there.
#include "library_attack.h"

#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include <algorithm>

namespace
{

constexpr long kRoom = -1000; // stands for memory of the domain: kRoom - 256 * n is the nth piece of it
constexpr long kFile = -501, kSocket = -502, kDir = -503, kPipe = -504;
constexpr long kSelf = -505; // a socket that sends to itself: there is something to receive
constexpr long kAsOwn = 1;

long Piece(int n)
{
	return kRoom - 256 * n;
}

struct Row {
	const char *name;
	long nr;
	int pointer; // which argument
	long arg[6];
	bool in;     // the kernel reads there; otherwise it writes
	long bytes;  // that are looked at: an end of the arena may come in between
	long told = -EFAULT; // or, where nothing is looked at, kAsOwn: the same as with memory of its own
};

// arg[pointer] is what takes its place in the control: memory of its own, with which the call must be answered otherwise.
const Row kRows[] = {
	{"read", SYS_read, 1, {kFile, Piece(0), 8}, false, 8},
	{"pread64", SYS_pread64, 1, {kFile, Piece(0), 8, 0}, false, 8},
	{"readv", SYS_readv, 1, {kFile, Piece(0), 1}, true, 16},
	{"preadv", SYS_preadv, 1, {kFile, Piece(0), 1, 0}, true, 16},
	{"write", SYS_write, 1, {kFile, Piece(0), 8}, true, 8},
	{"write to standard error", SYS_write, 1, {2, Piece(0), 1}, true, 1},
	{"pwrite64", SYS_pwrite64, 1, {kFile, Piece(0), 8, 0}, true, 8},
	{"writev", SYS_writev, 1, {kFile, Piece(0), 1}, true, 16},
	{"writev to standard error", SYS_writev, 1, {2, Piece(0), 1}, true, 16},
	{"pwritev", SYS_pwritev, 1, {kFile, Piece(0), 1, 0}, true, 16},
	{"open", SYS_open, 0, {Piece(1), 0}, true, 2},
	{"creat", SYS_creat, 0, {Piece(1), 0600}, true, 2},
	{"openat", SYS_openat, 1, {-100, Piece(1), 0}, true, 2},
	{"openat2, the path", SYS_openat2, 1, {-100, Piece(1), Piece(17), 24}, true, 2},
	{"openat2, how", SYS_openat2, 2, {-100, Piece(1), Piece(17), 24}, true, 24},
	{"stat, the path", SYS_stat, 0, {Piece(1), Piece(0)}, true, 2},
	{"stat, the result", SYS_stat, 1, {Piece(1), Piece(0)}, false, 144},
	{"lstat, the path", SYS_lstat, 0, {Piece(1), Piece(0)}, true, 2},
	{"lstat, the result", SYS_lstat, 1, {Piece(1), Piece(0)}, false, 144},
	{"fstat", SYS_fstat, 1, {kFile, Piece(0)}, false, 144},
	{"fstat of what is made up", SYS_fstat, 1, {0, Piece(0)}, false, 144},
	{"newfstatat, the path", SYS_newfstatat, 1, {-100, Piece(1), Piece(0), 0}, true, 2},
	{"newfstatat, the result", SYS_newfstatat, 2, {-100, Piece(1), Piece(0), 0}, false, 144},
	{"statx, the path", SYS_statx, 1, {-100, Piece(1), 0, 0x7ff, Piece(0)}, true, 2},
	{"statx, the result", SYS_statx, 4, {-100, Piece(1), 0, 0x7ff, Piece(0)}, false, 256},
	{"access", SYS_access, 0, {Piece(1), 0}, true, 2},
	{"faccessat", SYS_faccessat, 1, {-100, Piece(1), 0}, true, 2},
	{"faccessat2", SYS_faccessat2, 1, {-100, Piece(1), 0, 0}, true, 2},
	{"readlink, the path", SYS_readlink, 0, {Piece(1), Piece(0), 64}, true, 2},
	{"readlinkat, the path", SYS_readlinkat, 1, {-100, Piece(1), Piece(0), 64}, true, 2},
	{"readlink, the result", SYS_readlink, 1, {Piece(22), Piece(0), 64}, false, 4},
	{"readlinkat, the result", SYS_readlinkat, 2, {-100, Piece(22), Piece(0), 64}, false, 4},
	{"unlink", SYS_unlink, 0, {Piece(2)}, true, 2},
	{"unlinkat", SYS_unlinkat, 1, {-100, Piece(2), 0}, true, 2},
	{"rmdir", SYS_rmdir, 0, {Piece(2)}, true, 2},
	{"mkdir", SYS_mkdir, 0, {Piece(2), 0700}, true, 2},
	{"mkdirat", SYS_mkdirat, 1, {-100, Piece(2), 0700}, true, 2},
	{"rename, from", SYS_rename, 0, {Piece(2), Piece(2)}, true, 2},
	{"rename, to", SYS_rename, 1, {Piece(1), Piece(1)}, true, 2},
	{"renameat, from", SYS_renameat, 1, {-100, Piece(2), -100, Piece(2)}, true, 2},
	{"renameat, to", SYS_renameat, 3, {-100, Piece(1), -100, Piece(1)}, true, 2},
	{"renameat2, from", SYS_renameat2, 1, {-100, Piece(2), -100, Piece(2), 0}, true, 2},
	{"renameat2, to", SYS_renameat2, 3, {-100, Piece(1), -100, Piece(1), 0}, true, 2},
	{"truncate", SYS_truncate, 0, {Piece(1), 8}, true, 2},
	{"utimensat, the times", SYS_utimensat, 2, {kFile, 0, Piece(20), 0}, true, 32},
	{"utimensat, the path", SYS_utimensat, 1, {kFile, Piece(1), Piece(20), 0}, true, 2, kAsOwn}, // there must be none
	{"getcwd", SYS_getcwd, 0, {Piece(0), 64}, false, 2},
	{"getdents64", SYS_getdents64, 1, {kDir, Piece(0), 256}, false, 256},
	{"ioctl FIONREAD", SYS_ioctl, 2, {kPipe, 0x541b, Piece(0)}, false, 4},
	{"ioctl FIONBIO", SYS_ioctl, 2, {kPipe, 0x5421, Piece(0)}, true, 4},
	{"fcntl F_SETLK", SYS_fcntl, 2, {kFile, F_SETLK, Piece(3)}, true, 32},
	{"fcntl F_GETLK", SYS_fcntl, 2, {kFile, F_GETLK, Piece(3)}, true, 32},
	{"pipe", SYS_pipe, 0, {Piece(0)}, false, 8},
	{"pipe2", SYS_pipe2, 0, {Piece(0), 0}, false, 8},
	{"poll", SYS_poll, 0, {Piece(4), 1, 0}, true, 8},
	{"ppoll, the list", SYS_ppoll, 0, {Piece(4), 1, Piece(5), 0, 8}, true, 8},
	{"ppoll, the time", SYS_ppoll, 2, {Piece(4), 1, Piece(5), 0, 8}, true, 16},
	{"ppoll, the mask", SYS_ppoll, 3, {Piece(4), 1, Piece(5), Piece(0), 8}, true, 8, kAsOwn}, // no signals inside
	{"select, to read", SYS_select, 1, {64, Piece(6), 0, 0, Piece(5)}, true, 8},
	{"select, to write", SYS_select, 2, {64, 0, Piece(6), 0, Piece(5)}, true, 8},
	{"select, other", SYS_select, 3, {64, 0, 0, Piece(6), Piece(5)}, true, 8},
	{"select, the time", SYS_select, 4, {0, 0, 0, 0, Piece(5)}, true, 16},
	{"pselect6, to read", SYS_pselect6, 1, {64, Piece(6), 0, 0, Piece(5), 0}, true, 8},
	{"pselect6, to write", SYS_pselect6, 2, {64, 0, Piece(6), 0, Piece(5), 0}, true, 8},
	{"pselect6, other", SYS_pselect6, 3, {64, 0, 0, Piece(6), Piece(5), 0}, true, 8},
	{"pselect6, the time", SYS_pselect6, 4, {0, 0, 0, 0, Piece(5), 0}, true, 16},
	{"pselect6, the mask", SYS_pselect6, 5, {0, 0, 0, 0, Piece(5), Piece(0)}, true, 16, kAsOwn},
	{"clock_gettime", SYS_clock_gettime, 1, {0, Piece(0)}, false, 16},
	{"clock_getres", SYS_clock_getres, 1, {0, Piece(0)}, false, 16},
	{"gettimeofday", SYS_gettimeofday, 0, {Piece(0), 0}, false, 16},
	{"gettimeofday, the zone", SYS_gettimeofday, 1, {0, Piece(0)}, false, 8},
	{"time", SYS_time, 0, {Piece(0)}, false, 8},
	{"nanosleep", SYS_nanosleep, 0, {Piece(5), 0}, true, 16},
	{"clock_nanosleep", SYS_clock_nanosleep, 2, {1, 0, Piece(5), 0}, true, 16},
	// the rest is stored when the sleep is cut short; here it is not
	{"nanosleep, the rest", SYS_nanosleep, 1, {Piece(5), Piece(0)}, false, 16, kAsOwn},
	{"clock_nanosleep, the rest", SYS_clock_nanosleep, 3, {1, 0, Piece(5), Piece(0)}, false, 16, kAsOwn},
	{"futex wait, the word", SYS_futex, 0, {Piece(0), FUTEX_WAIT_PRIVATE, 1, Piece(5)}, true, 4},
	{"futex wait, the time", SYS_futex, 3, {Piece(0), FUTEX_WAIT_PRIVATE, 0, Piece(5)}, true, 16},
	{"futex wake", SYS_futex, 0, {Piece(0), FUTEX_WAKE_PRIVATE, 1}, true, 4},
	{"futex, the second word", SYS_futex, 4, {Piece(0), FUTEX_WAKE_PRIVATE, 1, 0, Piece(0)}, true, 4, kAsOwn},
	{"set_robust_list", SYS_set_robust_list, 0, {Piece(0), 24}, true, 24, kAsOwn}, // is never looked at
	{"set_tid_address", SYS_set_tid_address, 0, {Piece(0)}, false, 4, kAsOwn}, // forgotten unless its own
	{"getrandom", SYS_getrandom, 0, {Piece(0), 64, 0}, false, 64},
	{"getrandom of much", SYS_getrandom, 0, {Piece(0), 2048, 0}, false, 2048},
	{"uname", SYS_uname, 0, {Piece(0)}, false, 390},
	{"sysinfo", SYS_sysinfo, 0, {Piece(0)}, false, 112},
	{"times", SYS_times, 0, {Piece(0)}, false, 32},
	{"getrusage", SYS_getrusage, 1, {0, Piece(0)}, false, 144},
	{"getrlimit", SYS_getrlimit, 1, {3, Piece(0)}, false, 16},
	{"prlimit64", SYS_prlimit64, 3, {0, 3, 0, Piece(0)}, false, 16},
	{"prlimit64, the new", SYS_prlimit64, 2, {0, 3, Piece(0), 0}, true, 16, kAsOwn}, // none is set
	{"getcpu", SYS_getcpu, 0, {Piece(0), 0, 0}, false, 4},
	{"getcpu, the node", SYS_getcpu, 1, {0, Piece(0), 0}, false, 4},
	{"getcpu, the cache", SYS_getcpu, 2, {0, 0, Piece(0)}, false, 4, kAsOwn}, // of kernels before 2.6.24
	{"sched_getaffinity", SYS_sched_getaffinity, 2, {0, 128, Piece(0)}, false, 8},
	{"sched_getparam", SYS_sched_getparam, 1, {0, Piece(0)}, false, 4},
	{"prctl PR_SET_NAME", SYS_prctl, 1, {15, Piece(1)}, true, 1},
	{"prctl PR_GET_NAME", SYS_prctl, 1, {16, Piece(0)}, false, 16},
	{"rt_sigaction, the new", SYS_rt_sigaction, 1, {10, Piece(7), 0, 8}, true, 32},
	{"rt_sigaction, the old", SYS_rt_sigaction, 2, {10, 0, Piece(0), 8}, false, 32},
	{"rt_sigprocmask, the new", SYS_rt_sigprocmask, 1, {0, Piece(7), 0, 8}, true, 8},
	{"rt_sigprocmask, the old", SYS_rt_sigprocmask, 2, {0, 0, Piece(0), 8}, false, 8},
	{"rt_sigpending", SYS_rt_sigpending, 0, {Piece(0), 8}, false, 8},
	{"sigaltstack, the new", SYS_sigaltstack, 0, {Piece(8), 0}, true, 24},
	{"sigaltstack, the old", SYS_sigaltstack, 1, {0, Piece(0)}, false, 24},
	{"arch_prctl ARCH_GET_FS", SYS_arch_prctl, 1, {0x1003, Piece(0)}, false, 8},
	{"mincore, the vector", SYS_mincore, 2, {Piece(16), 4096, Piece(0)}, false, 1},
	{"connect", SYS_connect, 1, {kSocket, Piece(9), 16}, true, 16},
	{"getsockname", SYS_getsockname, 1, {kSocket, Piece(0), Piece(10)}, false, 16},
	{"getsockname, the length", SYS_getsockname, 2, {kSocket, Piece(0), Piece(10)}, true, 4},
	{"getpeername", SYS_getpeername, 1, {kSelf, Piece(0), Piece(10)}, false, 16},
	{"getpeername, the length", SYS_getpeername, 2, {kSelf, Piece(0), Piece(10)}, true, 4},
	{"setsockopt", SYS_setsockopt, 3, {kSocket, SOL_SOCKET, SO_KEEPALIVE, Piece(10), 4}, true, 4},
	{"getsockopt", SYS_getsockopt, 3, {kSocket, SOL_SOCKET, SO_TYPE, Piece(0), Piece(10)}, false, 4},
	{"getsockopt, the length", SYS_getsockopt, 4, {kSocket, SOL_SOCKET, SO_TYPE, Piece(0), Piece(10)}, true, 4},
	{"sendto", SYS_sendto, 1, {kSocket, Piece(0), 8, MSG_DONTWAIT, Piece(9), 16}, true, 8},
	{"sendto, the address", SYS_sendto, 4, {kSocket, Piece(0), 8, MSG_DONTWAIT, Piece(9), 16}, true, 16},
	{"recvfrom", SYS_recvfrom, 1, {kSocket, Piece(0), 8, MSG_DONTWAIT, 0, 0}, false, 8},
	{"recvfrom, the address", SYS_recvfrom, 4, {kSelf, Piece(0), 8, MSG_DONTWAIT, Piece(9), Piece(10)}, false, 4},
	{"recvfrom, the length", SYS_recvfrom, 5, {kSelf, Piece(0), 8, MSG_DONTWAIT, Piece(9), Piece(10)}, true, 4},
	{"sendmsg", SYS_sendmsg, 1, {kSocket, Piece(11), MSG_DONTWAIT}, true, 56},
	{"recvmsg", SYS_recvmsg, 1, {kSocket, Piece(12), MSG_DONTWAIT}, true, 56},
	{"sendmmsg", SYS_sendmmsg, 1, {kSocket, Piece(11), 1, MSG_DONTWAIT}, true, 64},
	{"recvmmsg", SYS_recvmmsg, 1, {kSocket, Piece(12), 1, MSG_DONTWAIT, 0}, true, 64},
	{"recvmmsg, the time", SYS_recvmmsg, 4, {kSelf, Piece(12), 1, MSG_DONTWAIT, Piece(5)}, true, 16, kAsOwn}, // waits for none
};

// ---- are these all? What policies can allow, and the arguments of each that are pointers.

constexpr unsigned A = 1, B = 2, C = 4, D = 8, E = 16, F = 32;
constexpr unsigned kNumbers = 0;   // no pointers
constexpr unsigned kPlaces = 0;    // addresses of mappings: hostile_mappings.c
constexpr unsigned kThreads = 0;   // where numbers of threads are stored: hostile_threads.c

const struct {
	const char *name;
	unsigned pointers;
} kTaken[] = {
	{"read", B}, {"write", B}, {"open", A}, {"close", kNumbers}, {"stat", A | B}, {"fstat", B}, {"lstat", A | B}, {"poll", A},
	{"lseek", kNumbers}, {"mmap", kPlaces}, {"mprotect", kPlaces}, {"munmap", kPlaces}, {"brk", kPlaces}, {"rt_sigaction", B | C},
	{"rt_sigprocmask", B | C}, {"ioctl", C}, {"pread64", B}, {"pwrite64", B}, {"readv", B}, {"writev", B}, {"access", A}, {"pipe", A},
	{"select", B | C | D | E}, {"sched_yield", kNumbers}, {"mremap", kPlaces}, {"msync", kPlaces}, {"mincore", kPlaces | C},
	{"madvise", kPlaces}, {"dup", kNumbers}, {"dup2", kNumbers}, {"nanosleep", A | B}, {"getpid", kNumbers}, {"socket", kNumbers},
	{"connect", B}, {"sendto", B | E}, {"recvfrom", B | E | F}, {"sendmsg", B}, {"recvmsg", B}, {"shutdown", kNumbers},
	{"getsockname", B | C}, {"getpeername", B | C}, {"setsockopt", D}, {"getsockopt", D | E}, {"clone", kThreads}, {"exit", kNumbers},
	{"kill", kNumbers}, {"uname", A}, {"fcntl", C}, {"flock", kNumbers}, {"fsync", kNumbers}, {"fdatasync", kNumbers}, {"truncate", A},
	{"ftruncate", kNumbers}, {"getcwd", A}, {"rename", A | B}, {"mkdir", A}, {"rmdir", A}, {"creat", A}, {"unlink", A},
	{"readlink", A | B}, {"fchmod", kNumbers}, {"umask", kNumbers}, {"gettimeofday", A | B}, {"getrlimit", B}, {"getrusage", B},
	{"sysinfo", A}, {"times", A}, {"getuid", kNumbers}, {"getgid", kNumbers}, {"geteuid", kNumbers}, {"getegid", kNumbers},
	{"getppid", kNumbers}, {"getpgrp", kNumbers}, {"rt_sigpending", A}, {"sigaltstack", A | B}, {"sched_getparam", B},
	{"sched_getscheduler", kNumbers}, {"sched_get_priority_max", kNumbers}, {"sched_get_priority_min", kNumbers}, {"mlock", kPlaces},
	{"munlock", kPlaces}, {"prctl", B}, {"arch_prctl", B}, {"gettid", kNumbers}, {"tkill", kNumbers}, {"time", A},
	{"futex", A | D | E}, {"sched_getaffinity", C}, {"getdents64", B}, {"set_tid_address", A}, {"fadvise64", kNumbers},
	{"clock_gettime", B}, {"clock_getres", B}, {"clock_nanosleep", C | D}, {"exit_group", kNumbers}, {"tgkill", kNumbers},
	{"openat", B}, {"mkdirat", B}, {"newfstatat", B | C}, {"unlinkat", B}, {"renameat", B | D}, {"readlinkat", B | C}, {"faccessat", B},
	{"pselect6", B | C | D | E | F}, {"ppoll", A | C | D}, {"set_robust_list", A}, {"utimensat", B | C}, {"eventfd", kNumbers},
	{"fallocate", kNumbers}, {"eventfd2", kNumbers}, {"dup3", kNumbers}, {"pipe2", A}, {"preadv", B}, {"pwritev", B},
	{"recvmmsg", B | E}, {"prlimit64", C | D}, {"sendmmsg", B}, {"getcpu", A | B | C}, {"renameat2", B | D}, {"getrandom", A},
	{"statx", B | E}, {"openat2", B | C}, {"faccessat2", B},
};

TEST(PointersOfCalls, ThatAPolicyCanAllowAllHaveARow)
{
	enum { ALWAYS, LOCAL, NET, GONE, NEVER };
	const struct {
		long nr;
		const char *name;
		int is;
	} calls[] = {
#define CALL(number, call_name, call_class) {number, #call_name, call_class},
#include "system_calls.inc"
#undef CALL
	};
	size_t answered = 0;

	for (const auto &call : calls) {
		const auto *taken = std::find_if(std::begin(kTaken), std::end(kTaken),
						 [&](const auto &t) { return strcmp(t.name, call.name) == 0; });
		unsigned rows = 0;
		for (const Row &row : kRows) {
			rows |= row.nr == call.nr ? 1u << row.pointer : 0;
		}
		if (call.is == GONE || call.is == NEVER) {
			EXPECT_TRUE(taken == std::end(kTaken) && rows == 0) << call.name << " is never answered";
			continue;
		}
		answered++;
		if (taken == std::end(kTaken)) {
			ADD_FAILURE() << "which arguments of " << call.name << " are pointers?";
			continue;
		}
		EXPECT_EQ(rows, taken->pointers) << call.name << ": a pointer without a row, or a row that is none's";
	}
	EXPECT_EQ(answered, std::size(kTaken));
}

class Pointers : public LibraryAttack
{
};

struct Inside {
	World w;
	char *room = nullptr;
	char *shared = nullptr; // one page to read, and one to write
	long file = -1, sock = -1, dir = -1, self = -1, two[2] = {-1, -1};

	long Call(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0)
	{
		long result = -1;
		lych_domain *domain = w.domain;
		EXPECT_EQ(LYCH_CALL_TIMEOUT(domain, kCallMs, &result, hostile_syscall, nr, a, b, c, d, e, f), 0) << nr;
		return result;
	}
	template <typename T> T *At(int n)
	{
		return reinterpret_cast<T *>(room + 256 * n);
	}
	// What the pieces hold, again before each call.
	void Lay()
	{
		memset(room, 0, 3 * 4096);
		*At<iovec>(0) = {At<char>(1), 1};
		snprintf(At<char>(1), 256, "%s/desk/file", w.base);
		snprintf(At<char>(2), 256, "%s/desk/none/none", w.base);
		*At<struct flock>(3) = {F_RDLCK, SEEK_SET, 0, 0, 0};
		*At<pollfd>(4) = {static_cast<int>(two[0]), POLLIN, 0};
		*At<timespec>(5) = {0, 1000};
		At<sockaddr_in>(9)->sin_family = AF_INET;
		At<sockaddr_in>(9)->sin_port = htons(9);
		At<sockaddr_in>(9)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		*At<int>(10) = 4;
		for (int n : {11, 12}) {
			*At<msghdr>(n) = {};
			At<msghdr>(n)->msg_iov = At<iovec>(13);
			At<msghdr>(n)->msg_iovlen = 1;
		}
		At<msghdr>(11)->msg_name = At<char>(9);
		At<msghdr>(11)->msg_namelen = 16;
		*At<iovec>(13) = {At<char>(14), 8};
		snprintf(At<char>(22), 256, "%s/desk/link", w.base);
	}
	// Sends itself a datagram, and waits until it is there. A socket that connects has a port, and keeps it.
	void SendItself()
	{
		Lay();
		ASSERT_EQ(Call(SYS_sendto, self, reinterpret_cast<long>(At<char>(14)), 8, 0, 0, 0), 8);
		*At<pollfd>(4) = {static_cast<int>(self), POLLIN, 0};
		ASSERT_EQ(Call(SYS_poll, reinterpret_cast<long>(At<char>(4)), 1, 10000), 1);
	}
	bool OpenSelf()
	{
		long address = reinterpret_cast<long>(At<char>(9)), length = reinterpret_cast<long>(At<char>(10));

		self = Call(SYS_socket, AF_INET, SOCK_DGRAM, 0);
		Lay();
		EXPECT_EQ(Call(SYS_connect, self, address, 16), 0);
		*At<int>(10) = 16;
		EXPECT_EQ(Call(SYS_getsockname, self, address, length), 0);
		EXPECT_NE(At<sockaddr_in>(9)->sin_port, htons(9));
		EXPECT_EQ(Call(SYS_connect, self, address, 16), 0);
		return self >= 3;
	}
	bool Open()
	{
		int *numbers;

		if (!w.Start(POLICY_MOST)) {
			return false;
		}
		room = w.target->own;
		Lay();
		file = Call(SYS_open, reinterpret_cast<long>(At<char>(1)), O_RDWR | O_CREAT, 0600);
		snprintf(At<char>(15), 256, "%s/desk", w.base);
		dir = Call(SYS_open, reinterpret_cast<long>(At<char>(15)), O_RDONLY | O_DIRECTORY);
		sock = Call(SYS_socket, AF_INET, SOCK_DGRAM, 0);
		EXPECT_EQ(Call(SYS_pipe, reinterpret_cast<long>(room + 8192)), 0);
		numbers = reinterpret_cast<int *>(room + 8192);
		two[0] = numbers[0];
		two[1] = numbers[1];
		EXPECT_GE(file, 3);
		EXPECT_GE(dir, 3);
		EXPECT_GE(sock, 3);
		EXPECT_TRUE(OpenSelf());
		EXPECT_EQ(symlink("file", (std::string(w.base) + "/desk/link").c_str()), 0);
		shared = static_cast<char *>(mmap(nullptr, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		memset(shared, 0x31, 4 * 4096);
		EXPECT_EQ(lych_share(w.domain, shared + 4096, 4096, LYCH_SHARE_READ), 0) << lych_why();
		EXPECT_EQ(lych_share(w.domain, shared + 2 * 4096, 4096, LYCH_SHARE_WRITE), 0) << lych_why();
		return true;
	}
	long With(const Row &row, long pointer)
	{
		long arg[6];

		if (row.arg[0] == kSelf) {
			SendItself();
		}
		Lay();
		for (int i = 0; i < 6; i++) {
			arg[i] = row.arg[i] <= kRoom	 ? reinterpret_cast<long>(room) + (kRoom - row.arg[i])
				 : row.arg[i] == kFile	 ? file
				 : row.arg[i] == kSocket ? sock
				 : row.arg[i] == kDir	 ? dir
				 : row.arg[i] == kPipe	 ? two[0]
				 : row.arg[i] == kSelf	 ? self
							 : row.arg[i];
		}
		if (pointer != 0) {
			arg[row.pointer] = pointer;
		}
		return Call(row.nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	}
};

TEST_F(Pointers, OfEveryCallToWhatIsNotTheDomainsAreRefused)
{
	IN_A_CHILD({
		Inside in;
		inside state;
		ASSERT_TRUE(in.Open());
		const prey *p = in.w.target;
		inside_look(&state);
		std::vector<uint64_t> bad = {
			reinterpret_cast<uint64_t>(p->secret),
			reinterpret_cast<uint64_t>(p->other),
			reinterpret_cast<uint64_t>(p->gate),
			reinterpret_cast<uint64_t>(p->monitor),
			state.altstack + 1024,
			reinterpret_cast<uint64_t>(inside_root_page()),
			reinterpret_cast<uint64_t>(p->host_syscall),
			reinterpret_cast<uint64_t>(&state),
			reinterpret_cast<uint64_t>(p->low) - 4096,
			reinterpret_cast<uint64_t>(p->high),
			8,
			1ull << 47,
			0xffff800000000000ull,
			0ull - 4096,
			0ull - 8,
			// may be read, or written, and is not the domain's
			reinterpret_cast<uint64_t>(in.shared) + 4096,
			reinterpret_cast<uint64_t>(in.shared) + 2 * 4096,
		};
		for (const Row &row : kRows) {
			SCOPED_TRACE(row.name);
			// the control: of its own it is not refused
			long own = in.With(row, 0);
			EXPECT_NE(own, -EFAULT);
			EXPECT_NE(own, -ENOSYS);
			if (row.told == -EFAULT) {
				EXPECT_NE(own, -EPERM);
			}
			for (uint64_t at : bad) {
				long rc = in.With(row, static_cast<long>(at));
				EXPECT_EQ(rc, row.told == kAsOwn ? own : row.told) << std::hex << at;
				EXPECT_EQ(memmem(in.room, PREY_OWN, p->secret, 8), nullptr);
			}
			// begins in its own, ends behind it
			for (uint64_t end : {reinterpret_cast<uint64_t>(p->high)}) {
				if (row.bytes > 1 && row.told == -EFAULT) {
					EXPECT_EQ(in.With(row, static_cast<long>(end - 1)), -EFAULT);
				}
			}
			EXPECT_EQ(*p->secret, PREY_SECRET);
			ASSERT_EQ(std::count(in.shared, in.shared + 4 * 4096, 0x31), 4 * 4096);
			ASSERT_EQ(memcmp(in.w.other, in.w.secret, 4096), 0);
		}
		in.w.Check();
	});
}

// A vector inside whose pieces lie elsewhere; messages whose parts do.
TEST_F(Pointers, WithinWhatTheDomainGivesAreLookedAt)
{
	IN_A_CHILD({
		Inside in;
		ASSERT_TRUE(in.Open());
		const prey *p = in.w.target;
		for (void *at : {static_cast<void *>(p->secret), static_cast<void *>(p->gate), static_cast<void *>(p->other),
				 static_cast<void *>(p->high - 4), static_cast<void *>(p->low - 4), static_cast<void *>(in.shared + 4096), static_cast<void *>(in.shared + 2 * 4096)}) {
			for (long nr : {SYS_readv, SYS_writev, SYS_preadv, SYS_pwritev}) {
				for (long fd : {in.file, 2l, 0l, in.two[1], in.sock}) {
					in.Lay();
					auto *iov = in.At<iovec>(20);
					iov[0] = {in.At<char>(21), 0};
					iov[1] = {at, 8};
					long rc = in.Call(nr, fd, reinterpret_cast<long>(iov), 2, 0);
					EXPECT_EQ(rc, -EFAULT) << nr << " " << fd;
				}
			}
			in.Lay();
			in.At<iovec>(13)->iov_base = at;
			EXPECT_EQ(in.Call(SYS_sendmsg, in.sock, reinterpret_cast<long>(in.At<char>(11)), MSG_DONTWAIT), -EFAULT);
			EXPECT_EQ(in.Call(SYS_recvmsg, in.sock, reinterpret_cast<long>(in.At<char>(12)), MSG_DONTWAIT), -EFAULT);
			in.Lay();
			in.At<msghdr>(11)->msg_name = at;
			EXPECT_EQ(in.Call(SYS_sendmsg, in.sock, reinterpret_cast<long>(in.At<char>(11)), MSG_DONTWAIT), -EFAULT);
			// where received ones come from; and of errors what is told with them
			in.SendItself();
			in.Lay();
			in.At<msghdr>(12)->msg_name = at;
			in.At<msghdr>(12)->msg_namelen = 16;
			EXPECT_EQ(in.Call(SYS_recvmsg, in.self, reinterpret_cast<long>(in.At<char>(12)), MSG_DONTWAIT), -EFAULT);
			in.Lay();
			EXPECT_EQ(in.Call(SYS_setsockopt, in.sock, IPPROTO_IP, IP_RECVERR, reinterpret_cast<long>(in.At<char>(10)), 4), 0);
			EXPECT_EQ(in.Call(SYS_connect, in.sock, reinterpret_cast<long>(in.At<char>(9)), 16), 0);
			long rc = -EAGAIN;
			for (int i = 0; i < 10000 && rc == -EAGAIN; i++) {
				in.Lay();
				in.Call(SYS_sendto, in.sock, reinterpret_cast<long>(in.At<char>(14)), 8, MSG_DONTWAIT, 0, 0);
				in.At<msghdr>(12)->msg_control = at;
				in.At<msghdr>(12)->msg_controllen = 256;
				rc = in.Call(SYS_recvmsg, in.sock, reinterpret_cast<long>(in.At<char>(12)), MSG_ERRQUEUE | MSG_DONTWAIT);
			}
			EXPECT_EQ(rc, -EFAULT);
			in.Lay();
			in.At<msghdr>(11)->msg_control = at;
			in.At<msghdr>(11)->msg_controllen = 64;
			EXPECT_LT(in.Call(SYS_sendmsg, in.sock, reinterpret_cast<long>(in.At<char>(11)), MSG_DONTWAIT), 0);
		}
		in.w.Check();
	});
}

// The control of both: without protection the kernel writes there, and reads from there.
TEST_F(Pointers, WouldReachTheSecretWithoutProtection)
{
	int status = ChildStatus([] {
		World *w = new World;
		uint64_t taken = 0;
		int two[2];
		auto call = reinterpret_cast<long (*)(long, long, long, long, long, long, long)>(WithoutProtection("hostile_syscall"));
		if (call == nullptr || !w->Bare(false) || pipe(two) != 0) {
			_exit(2);
		}
		const long at = reinterpret_cast<long>(w->secret);
		bool read = call(SYS_write, two[1], at, 8, 0, 0, 0) == 8 && ::read(two[0], &taken, 8) == 8 && taken == PREY_SECRET;
		bool written = call(SYS_clock_gettime, 0, at, 0, 0, 0, 0) == 0 && *w->secret != PREY_SECRET;
		_exit(read && written ? 0 : 3);
	});
	EXPECT_EQ(status, 0) << Ending(status);
}

} // namespace
