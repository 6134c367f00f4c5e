// SPDX-License-Identifier: Apache-2.0
// G1, G7: what answers a library domain's calls costs the host neither what was on its stack, nor time and memory that the domain
// chooses.
#include "library_attack.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>

namespace
{

class Costs : public LibraryAttack
{
};

// A page of the domain's memory, where a test puts what its calls point at.
struct Room {
	sockaddr_storage address;
	linger closing;
	int number;
	iovec piece;
	msghdr message;
	char name[128], data[64], control[256];
};

// Whoever makes the calls: the domain, or the process without it.
using Caller = std::function<long(long nr, std::array<long, 6> arg)>;

class Inside : public World
{
public:
	bool Open()
	{
		if (!Start(POLICY_MOST)) {
			return false;
		}
		at = static_cast<Room *>(lych_calloc(domain, 1, sizeof(Room)));
		return at != nullptr;
	}
	long Call(long nr, std::array<long, 6> arg = {})
	{
		long result = -EPERM;

		EXPECT_EQ(LYCH_CALL(domain, &result, hostile_syscall, nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]), 0);
		return result;
	}
	Caller Calls()
	{
		return [this](long nr, std::array<long, 6> arg) { return Call(nr, arg); };
	}
	Room *at = nullptr;
};

long Plain(long nr, std::array<long, 6> arg)
{
	long rc = syscall(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);

	return rc == -1 ? -errno : rc;
}

long Of(const void *at)
{
	return reinterpret_cast<long>(at);
}

// ---- a close that waits --------------------------------------------------------------------------------------------------

// It takes connections, and nothing of what is sent.
class Listener
{
public:
	Listener() : fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
	{
		socklen_t bytes = sizeof(address);
		int small = 4096;

		address.sin_family = AF_INET;
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
		EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)), 0) << strerror(errno);
		EXPECT_EQ(listen(fd, 8), 0);
		EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr *>(&address), &bytes), 0);
	}
	~Listener()
	{
		close(fd);
	}
	sockaddr_in address{};

private:
	int fd;
};

// A socket that has sent more than is taken. *asked: what SO_LINGER for so many seconds was told.
long Stuffed(const Caller &call, Room *at, const Listener &listener, int seconds, long *asked)
{
	long fd = call(SYS_socket, {AF_INET, SOCK_STREAM, 0});
	long sent = 1;

	memcpy(&at->address, &listener.address, sizeof(listener.address));
	at->closing = {1, seconds};
	*asked = call(SYS_setsockopt, {fd, SOL_SOCKET, SO_LINGER, Of(&at->closing), sizeof(at->closing)});
	EXPECT_EQ(call(SYS_connect, {fd, Of(&at->address), sizeof(listener.address)}), 0);
	for (int i = 0; i < 1000000 && sent > 0; i++) {
		sent = call(SYS_sendto, {fd, Of(at), sizeof(*at), MSG_DONTWAIT, 0, 0});
	}
	EXPECT_EQ(sent, -EAGAIN);
	return fd;
}

TEST_F(Costs, SocketsThatAreClosedKeepNobodyWaiting)
{
	IN_A_CHILD({
		Inside w;
		Listener listener;
		long asked = 0;
		ASSERT_TRUE(w.Open());
		const Caller call = w.Calls();

		// A day. By the domain itself, by a reset, and, in the end, when the domain is freed.
		long fd = Stuffed(call, w.at, listener, 86400, &asked);
		EXPECT_EQ(asked, -ENOPROTOOPT);
		EXPECT_EQ(w.Call(SYS_close, {fd}), 0);
		Stuffed(call, w.at, listener, -1, &asked);
		EXPECT_EQ(asked, -ENOPROTOOPT);
		ASSERT_EQ(lych_domain_reset(w.domain), 0);
		w.at = static_cast<Room *>(lych_calloc(w.domain, 1, sizeof(Room)));
		ASSERT_TRUE(w.at != nullptr && w.Arm());
		Stuffed(call, w.at, listener, 1, &asked);
		EXPECT_EQ(asked, -ENOPROTOOPT);
		// What waits for nobody is as it was: everything is thrown away.
		Stuffed(call, w.at, listener, 0, &asked);
		EXPECT_EQ(asked, 0);
		w.Check();
	});
}

TEST_F(Costs, SocketsThatAreClosedKeepAProcessWithoutProtectionWaiting)
{
	Room room{};
	Listener listener;
	long asked = -1;
	long fd = Stuffed(Plain, &room, listener, 2, &asked);
	timespec before;
	timespec after;

	ASSERT_EQ(asked, 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	close(static_cast<int>(fd));
	clock_gettime(CLOCK_MONOTONIC, &after);
	EXPECT_GE(after.tv_sec - before.tv_sec, 1);
}

// ---- the host's stack ----------------------------------------------------------------------------------------------------

constexpr unsigned char kPaint = 0xc5;

// What a function that is called next finds on the stack.
__attribute__((noinline)) void Paint()
{
	volatile unsigned char stack[48 << 10];

	memset(const_cast<unsigned char *>(stack), kPaint, sizeof(stack));
	__asm__ volatile("" : : "r"(stack) : "memory");
}

// Has the error of a datagram that nobody takes received: control data with a gap behind it, of which the kernel writes nothing.
void ReceiveAnError(const Caller &call, Room *at)
{
	long fd = call(SYS_socket, {AF_INET6, SOCK_DGRAM, 0});
	auto *to = reinterpret_cast<sockaddr_in6 *>(&at->address);
	auto *waits = reinterpret_cast<pollfd *>(at->data);
	// Of a port that is nobody's: it was just given back.
	int other = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sockaddr_in6 free{};
	socklen_t bytes = sizeof(free);

	free.sin6_family = AF_INET6;
	free.sin6_addr = in6addr_loopback;
	ASSERT_EQ(bind(other, reinterpret_cast<sockaddr *>(&free), sizeof(free)), 0) << strerror(errno);
	ASSERT_EQ(getsockname(other, reinterpret_cast<sockaddr *>(&free), &bytes), 0);
	close(other);
	*to = free;
	at->number = 1;
	ASSERT_EQ(call(SYS_setsockopt, {fd, IPPROTO_IPV6, IPV6_RECVERR, Of(&at->number), sizeof(at->number)}), 0);
	ASSERT_EQ(call(SYS_connect, {fd, Of(to), sizeof(*to)}), 0);
	ASSERT_EQ(call(SYS_sendto, {fd, Of(at->name), 8, 0, 0, 0}), 8);
	*waits = {static_cast<int>(fd), 0, 0}; // POLLERR is always looked for
	ASSERT_EQ(call(SYS_poll, {Of(waits), 1, kHangs}), 1);
	at->piece = {at->data, sizeof(at->data)};
	at->message = {};
	at->message.msg_name = at->name;
	at->message.msg_namelen = sizeof(at->name);
	at->message.msg_iov = &at->piece;
	at->message.msg_iovlen = 1;
	at->message.msg_control = at->control;
	at->message.msg_controllen = sizeof(at->control);
	Paint();
	ASSERT_EQ(call(SYS_recvmsg, {fd, Of(&at->message), MSG_ERRQUEUE | MSG_DONTWAIT}), 8);
}

size_t Painted(const Room *at)
{
	return static_cast<size_t>(std::count(at->control, at->control + sizeof(at->control), static_cast<char>(kPaint)));
}

TEST_F(Costs, ControlDataHasNothingOfTheHostsStackInIt)
{
	IN_A_CHILD({
		Inside w;
		ASSERT_TRUE(w.Open());
		ReceiveAnError(w.Calls(), w.at);
		EXPECT_GT(w.at->message.msg_controllen, sizeof(cmsghdr));
		EXPECT_EQ(Painted(w.at), 0U);
		w.Check();
	});
}

TEST_F(Costs, ControlDataHasGapsThatTheKernelLeavesAsTheyAre)
{
	Room room{};

	memset(room.control, kPaint, sizeof(room.control));
	ReceiveAnError(Plain, &room);
	ASSERT_GT(room.message.msg_controllen, sizeof(cmsghdr));
	memset(room.control + room.message.msg_controllen, 0, sizeof(room.control) - room.message.msg_controllen);
	EXPECT_GT(Painted(&room), 0U);
}

// ---- memory --------------------------------------------------------------------------------------------------------------

long MostMemory() // in KiB, that the process ever had
{
	std::ifstream status("/proc/self/status");
	std::string word;
	long kib = -1;

	while (status >> word) {
		if (word == "VmHWM:") {
			status >> kib;
		}
	}
	return kib;
}

TEST_F(Costs, CodeTakesAsMuchMemoryForManyThreadsAsForOne)
{
	constexpr long kBytes = 64L << 20;

	IN_A_CHILD({
		Inside w;
		std::vector<std::thread> threads;
		std::atomic<int> ready{0};
		long before;
		ASSERT_TRUE(w.Start());
		long code = w.Call(SYS_mmap, {0, kBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0});
		ASSERT_GT(code, 0) << strerror(static_cast<int>(-code));
		before = MostMemory();
		ASSERT_GT(before, 0);
		for (int i = 0; i < 6; i++) {
			threads.emplace_back([&] {
				w.Call(SYS_getpid); // from now on it has its place inside
				for (ready++; ready < 6;) {
				}
				w.Call(SYS_mprotect, {code, kBytes, PROT_READ | PROT_EXEC});
			});
		}
		for (std::thread &thread : threads) {
			thread.join();
		}
		// It is code now. A copy to be looked at, and what came of it.
		EXPECT_EQ(w.Call(SYS_mprotect, {code, kBytes, PROT_READ | PROT_EXEC}), 0);
		EXPECT_LT(MostMemory() - before, 3 * kBytes / 1024);
		w.Check();
	});
}

// ---- time ----------------------------------------------------------------------------------------------------------------

// Sequences as many as are planned for at all: a child of the host's is to find out what to do about each.
TEST_F(Costs, PlansForItsCodeEndWithTheCall)
{
	constexpr long kBytes = 8L << 20;

	IN_A_CHILD({
		Inside w;
		rusage spent;
		long result = 0;
		ASSERT_TRUE(w.Start());
		long code = w.Call(SYS_mmap, {0, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0});
		ASSERT_GT(code, 0) << strerror(static_cast<int>(-code));
		lych_domain *domain = w.domain;
		auto *bytes = reinterpret_cast<unsigned char *>(code);
		memset(bytes, 0x90, kBytes);
		for (int i = 0; i < 60000; i++) {
			memcpy(bytes + i * (kBytes / 60000) + 7, "\x0f\x01\xef", 3);
		}
		EXPECT_EQ(LYCH_CALL_TIMEOUT(domain, 200, &result, hostile_syscall, SYS_mprotect, code, kBytes, PROT_READ | PROT_EXEC, 0, 0, 0),
			  -ETIMEDOUT);
		ASSERT_EQ(getrusage(RUSAGE_CHILDREN, &spent), 0);
		EXPECT_LT(spent.ru_utime.tv_sec, 20);
		w.Anew();
	});
}

} // namespace
