// SPDX-License-Identifier: Apache-2.0
// System calls made by code in a library domain, by the C library that runs there: what they are answered.
#include <fcntl.h>
#include <linux/futex.h>
#include <lychgate/library.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "live.h"

namespace
{

class LibraryCalls : public testing::Test
{
      protected:
	lych_domain *domain = nullptr;
	void *syscall_inside = nullptr, *errno_inside = nullptr;
	char *room = nullptr; // memory of the domain
	static constexpr size_t kRoom = 8192;

	static bool Possible()
	{
		struct utsname u;
		uname(&u);
		return live_keys() && (atoi(u.release) > 6 || (atoi(u.release) == 6 && atoi(u.release + 2) >= 12));
	}
	void SetUp() override
	{
		ASSERT_EQ(live_start(), 0) << lych_why();
		if (!Possible()) {
			lych_library_opts opts = {};
			opts.size = sizeof(opts);
			EXPECT_EQ(lych_open(&domain, "libm.so.6", &opts), -EOPNOTSUPP);
			GTEST_SKIP() << lych_why();
		}
	}
	void TearDown() override
	{
		if (domain != nullptr) {
			EXPECT_EQ(lych_domain_free(domain), 0) << lych_why();
		}
	}
	void Open(const std::string &policy)
	{
		lych_library_opts opts = {};
		opts.size = sizeof(opts);
		opts.policy = policy.c_str();
		ASSERT_EQ(lych_open(&domain, "libm.so.6", &opts), 0) << lych_why();
		Find();
	}
	void Find()
	{
		ASSERT_EQ(lych_symbol(domain, &syscall_inside, "syscall", nullptr), 0) << lych_why();
		ASSERT_EQ(lych_symbol(domain, &errno_inside, "__errno_location", nullptr), 0) << lych_why();
		room = static_cast<char *>(lych_calloc(domain, 1, kRoom));
		ASSERT_NE(room, nullptr);
	}
	// Any function inside, of six integers: its status.
	int Gate(void *fn, long *result, const uint64_t (&arg)[6], uint64_t deadline_ns = 0)
	{
		struct lych_binding binding = {};
		binding.fn = reinterpret_cast<void (*)(void)>(fn);
		binding.skip = 0x10;
		binding.ngpr = 6;
		binding.align = 4;
		binding.name = "inside";
		int status = 0;
		struct lych_hidden hidden = LYCH_I_HIDDEN(domain, &binding, &status, deadline_ns);
		using fn_type = long (*)(struct lych_hidden, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
		long r = reinterpret_cast<fn_type>(lych_gate)(hidden, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
		if (status == 0) {
			*result = r;
		}
		return status;
	}
	// A system call with at most five arguments: its result, or -errno.
	template <typename... Args> long Call(long nr, Args... args)
	{
		const uint64_t arg[6] = {(uint64_t)nr, (uint64_t)args...};
		long result = -1, at = 0;
		int status = Gate(syscall_inside, &result, arg);
		EXPECT_EQ(status, 0) << nr;
		if (status == 0 && result == -1) {
			EXPECT_EQ(Gate(errno_inside, &at, {}), 0);
			return -*reinterpret_cast<int *>(at);
		}
		return result;
	}
	const char *Put(const std::string &text, size_t at = 4096)
	{
		return strcpy(room + at, text.c_str());
	}
};

TEST_F(LibraryCalls, OrdinaryOnesAreAnswered)
{
	Open("pure");
	EXPECT_EQ(Call(SYS_getpid), getpid());
	EXPECT_EQ(Call(SYS_sched_yield), 0);
	EXPECT_EQ(Call(SYS_clock_gettime, CLOCK_MONOTONIC, room), 0);
	EXPECT_GT(reinterpret_cast<timespec *>(room)->tv_sec, 0);
	EXPECT_EQ(Call(SYS_getrandom, room, 100, 0), 100);
	EXPECT_EQ(Call(SYS_getrandom, room, 5000, 0), 5000) << "by the kernel, into memory of the domain";
	*reinterpret_cast<timespec *>(room) = {0, 1000};
	EXPECT_EQ(Call(SYS_nanosleep, room, 0), 0);
	EXPECT_EQ(Call(SYS_write, 1, room, 10), 10);
	EXPECT_EQ(Call(SYS_read, 0, room, 10), 0);
	EXPECT_EQ(Call(SYS_futex, room, FUTEX_WAKE_PRIVATE, 1), 0);
}

TEST_F(LibraryCalls, PointersToWhatIsNotTheDomainsAreRefused)
{
	Open("files-ro:/tmp\nnet-client");
	static char mine[256] = "untouched";
	std::ofstream("/tmp/lych-calls-file") << "contents of the file";
	long fd = Call(SYS_open, Put("/tmp/lych-calls-file"), O_RDONLY);
	ASSERT_GE(fd, 3);
	EXPECT_EQ(Call(SYS_pread64, fd, room, 8, 0), 8);
	EXPECT_EQ(std::string(room, 8), "contents");
	long sock = Call(SYS_socket, AF_INET, SOCK_DGRAM, 0);
	ASSERT_GE(sock, 0);
	void *const own_stack = &fd, *const heap = malloc(100);
	void *gs = nullptr;
	asm("rdgsbase %0" : "=r"(gs));
	const std::vector<void *> bad = {mine, own_stack, heap, gs, (char *)gs + 4096, (void *)lych_gate, nullptr, (void *)-8L};
	for (void *at : bad) {
		EXPECT_EQ(Call(SYS_read, fd, at, 8), -EFAULT) << at;
		EXPECT_EQ(Call(SYS_pread64, fd, at, 8, 0), -EFAULT) << at;
		EXPECT_EQ(Call(SYS_write, 2, at, 8), -EFAULT) << at;
		EXPECT_EQ(Call(SYS_sendto, sock, at, 8, 0, 0), -EFAULT) << at;
		EXPECT_EQ(Call(SYS_recvfrom, sock, at, 8, MSG_DONTWAIT, 0), -EFAULT) << at;
		EXPECT_EQ(Call(SYS_fstat, fd, at), -EFAULT) << at;
		EXPECT_EQ(Call(SYS_getrandom, at, 8, 0), -EFAULT) << at;
		EXPECT_EQ(Call(SYS_getrandom, at, 1000, 0), -EFAULT) << at;
		EXPECT_EQ(Call(SYS_uname, at), -EFAULT) << at;
		EXPECT_EQ(Call(SYS_clock_gettime, 0, at), -EFAULT) << at;
		EXPECT_EQ(Call(SYS_open, at, O_RDONLY), -EFAULT) << at;
		EXPECT_EQ(Call(SYS_futex, at, FUTEX_WAIT_PRIVATE, 0, 0), -EFAULT) << at;
		EXPECT_EQ(Call(SYS_poll, at, 1, 0), -EFAULT) << at;
		auto *iov = reinterpret_cast<struct iovec *>(room);
		iov[0] = {room + 512, 4};
		iov[1] = {at, 8};
		EXPECT_EQ(Call(SYS_readv, fd, iov, 2), -EFAULT) << at;
	}
	EXPECT_STREQ(mine, "untouched");
	free(heap);
	unlink("/tmp/lych-calls-file");
}

TEST_F(LibraryCalls, ThoseThatCouldUndoTheProtectionAreRefused)
{
	Open("report\nnet-client");
	for (long nr : {SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_io_uring_setup, SYS_userfaultfd, SYS_bpf,
			SYS_perf_event_open, SYS_seccomp, SYS_pkey_mprotect, SYS_pkey_alloc, SYS_pkey_free, SYS_modify_ldt,
			SYS_personality, SYS_execve, SYS_fork, SYS_vfork, SYS_shmget, SYS_memfd_create, SYS_mount,
			SYS_rt_sigreturn, SYS_setrlimit, SYS_remap_file_pages, SYS_set_thread_area}) {
		EXPECT_EQ(Call(nr), -EPERM) << nr;
	}
	EXPECT_EQ(Call(SYS_prctl, PR_SET_DUMPABLE, 1), -EPERM);
	EXPECT_EQ(Call(SYS_prctl, 59 /* PR_SET_SYSCALL_USER_DISPATCH */, 0, 0, 0, 0), -EPERM);
	EXPECT_EQ(Call(SYS_kill, getppid(), 0), -EPERM);
	EXPECT_EQ(Call(SYS_open, Put("/proc/self/mem"), O_RDWR), -EACCES);
	EXPECT_EQ(Call(SYS_open, Put("/proc/self/environ"), O_RDONLY), -EACCES);
	EXPECT_EQ(Call(SYS_rseq, room, 32, 0, 0), -ENOSYS);
	EXPECT_EQ(Call(SYS_clone3, room, 88), -ENOSYS);
	EXPECT_EQ(Call(SYS_epoll_create1, 0), -ENOSYS) << "who asks has poll";
	EXPECT_EQ(Call(SYS_futex, room, FUTEX_LOCK_PI_PRIVATE, 0, 0), -ENOSYS);
	EXPECT_EQ(Call(SYS_chdir, room), -EPERM);
	struct lych_refusal list[64];
	EXPECT_GE(lych_refused(domain, list, 64), 23u);
}

TEST_F(LibraryCalls, FilesAreThoseOfThePolicyAndNumbersTheDomainsOwn)
{
	std::ofstream("/tmp/lych-calls-file") << "contents";
	Open("allow read /tmp/lych-calls-file");
	int mine = open("/tmp/lych-calls-file", O_RDWR);
	ASSERT_GE(mine, 0);
	EXPECT_EQ(Call(SYS_write, mine < 3 ? 50 : mine, room, 1), -EBADF) << "not the process's";
	long fd = Call(SYS_openat, AT_FDCWD, Put("/tmp/lych-calls-file"), O_RDONLY);
	EXPECT_EQ(fd, 3);
	EXPECT_EQ(Call(SYS_read, fd, room, 100), 8);
	EXPECT_EQ(Call(SYS_openat, AT_FDCWD, Put("/tmp/lych-calls-file"), O_RDWR), -EACCES);
	EXPECT_EQ(Call(SYS_openat, AT_FDCWD, Put("/etc/passwd"), O_RDONLY), -EACCES);
	EXPECT_EQ(Call(SYS_close, fd), 0);
	close(mine);
	unlink("/tmp/lych-calls-file");
}

TEST_F(LibraryCalls, AClientReachesItsServer)
{
	Open("net-client");
	struct sockaddr_in address = {};
	socklen_t bytes = sizeof(address);
	int server = socket(AF_INET, SOCK_STREAM, 0);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ASSERT_EQ(bind(server, reinterpret_cast<struct sockaddr *>(&address), sizeof(address)), 0);
	ASSERT_EQ(listen(server, 1), 0);
	ASSERT_EQ(getsockname(server, reinterpret_cast<struct sockaddr *>(&address), &bytes), 0);
	std::thread answers([&] {
		char got[8] = "";
		int peer = accept(server, nullptr, nullptr);
		EXPECT_EQ(read(peer, got, 7), 7);
		EXPECT_STREQ(got, "request");
		EXPECT_EQ(write(peer, "answer", 6), 6);
		close(peer);
	});
	long client = Call(SYS_socket, AF_INET, SOCK_STREAM, 0);
	ASSERT_GE(client, 3);
	memcpy(room, &address, sizeof(address));
	EXPECT_EQ(Call(SYS_connect, client, room, sizeof(address)), 0);
	EXPECT_EQ(Call(SYS_write, client, Put("request"), 7), 7);
	EXPECT_EQ(Call(SYS_recvfrom, client, room, 6, MSG_WAITALL, 0), 6);
	EXPECT_EQ(std::string(room, 6), "answer");
	answers.join();
	EXPECT_EQ(Call(SYS_socket, AF_UNIX, SOCK_STREAM, 0), -EAFNOSUPPORT);
	EXPECT_EQ(Call(SYS_listen, client, 1), -EPERM);
	close(server);
}

TEST_F(LibraryCalls, AReportRunIsTheNextOnesPolicy)
{
	std::ofstream("/tmp/lych-calls-file") << "contents";
	Open("report");
	EXPECT_EQ(Call(SYS_open, Put("/tmp/lych-calls-file"), O_RDONLY), 3);
	EXPECT_EQ(Call(SYS_eventfd2, 0, 0), 4);
	EXPECT_EQ(lych_domain_allow(domain, SYS_uname), -EINVAL);
	char text[2000];
	ASSERT_LT(lych_policy_text(domain, text, sizeof(text)), sizeof(text));
	EXPECT_NE(std::string(text).find("\nallow read /tmp/lych-calls-file\n"), std::string::npos) << text;
	EXPECT_NE(std::string(text).find("\nallow call eventfd2\n"), std::string::npos) << text;
	ASSERT_EQ(lych_domain_free(domain), 0);
	domain = nullptr;
	Open(text);
	EXPECT_EQ(Call(SYS_open, Put("/tmp/lych-calls-file"), O_RDONLY), 3);
	EXPECT_EQ(Call(SYS_open, Put("/tmp/lych-calls-other"), O_RDONLY), -EACCES);
	EXPECT_EQ(Call(SYS_eventfd2, 0, 0), 4);
	EXPECT_EQ(lych_refused(domain, nullptr, 0), 1u);
	EXPECT_EQ(lych_policy_text(nullptr, text, 1), 0u);
	unlink("/tmp/lych-calls-file");
}

// Each waits for ever.
TEST_F(LibraryCalls, ThatWaitEndWithTheDeadlineOfTheCall)
{
	Open("allow call pipe2");
	uint64_t before;
	for (int round = 0; round < 4; round++) {
		ASSERT_EQ(Call(SYS_pipe2, room, 0), 0) << round;
		int end = *reinterpret_cast<int *>(room);
		memset(room, 0, 64);
		reinterpret_cast<timespec *>(room + 128)->tv_sec = 100000;
		const uint64_t calls[4][6] = {
			{SYS_futex, (uint64_t)room, FUTEX_WAIT_PRIVATE, 0, 0},
			{SYS_nanosleep, (uint64_t)room + 128, 0},
			{SYS_read, (uint64_t)end, (uint64_t)room, 8},
			{SYS_poll, (uint64_t)room, 0, (uint64_t)-1},
		};
		long result;
		int rc = Gate(syscall_inside, &result, calls[round], lych_deadline_in(50, &before));
		lych_deadline_over(before);
		EXPECT_EQ(rc, -ETIMEDOUT) << round;
		ASSERT_EQ(lych_domain_reset(domain), 0) << lych_why();
		Find();
		EXPECT_EQ(Call(SYS_close, end), -EBADF) << "what was open is closed by the reset";
	}
}

TEST_F(LibraryCalls, ThatWaitEndWhenTheCallIsCanceledAndTheDomainIsPoisoned)
{
	Open("pure");
	for (int round = 0; round < 3; round++) {
		EXPECT_EQ(lych_domain_cancel(domain), 0) << "nobody is inside";
		ASSERT_EQ(Call(SYS_getpid), getpid());
		std::atomic<int> status{1};
		std::thread waiter([&] {
			const uint64_t arg[6] = {SYS_futex, (uint64_t)room, FUTEX_WAIT_PRIVATE, 0, 0};
			long result;
			status = Gate(syscall_inside, &result, arg);
		});
		while (status == 1) {
			EXPECT_EQ(lych_domain_cancel(domain), 0);
			sched_yield();
		}
		waiter.join();
		EXPECT_EQ(status, -ECANCELED);
		const uint64_t arg[6] = {SYS_getpid};
		long result;
		EXPECT_EQ(Gate(syscall_inside, &result, arg), -EOWNERDEAD) << "locks could be held";
		EXPECT_EQ(lych_fault(domain)->kind, LYCH_FAULT_CANCELED);
		ASSERT_EQ(lych_domain_reset(domain), 0);
		Find();
	}
	EXPECT_EQ(Call(SYS_getpid), getpid());
}

} // namespace
