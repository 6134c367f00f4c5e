// SPDX-License-Identifier: Apache-2.0
// Sockets of a library domain whose policy is net-client.
#include "fake_library.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <thread>

namespace
{

template <typename... Args> long Call(long nr, Args... args)
{
	uint64_t arg[6] = {(uint64_t)args...};
	return fake_call_end(nullptr, nr, arg);
}

// A server of the process's, on the loopback interface.
class Sockets : public testing::Test
{
      protected:
	int server = -1;
	struct sockaddr_in address = {};

	void SetUp() override
	{
		char why[200] = "";
		ASSERT_EQ(fake_library_new("net-client", nullptr, 64, why, sizeof(why)), 0) << why;
	}
	void TearDown() override
	{
		close(server);
		fake_library_free();
	}
	void Serve(int type)
	{
		socklen_t bytes = sizeof(address);
		server = socket(AF_INET, type | SOCK_CLOEXEC, 0);
		address.sin_family = AF_INET;
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		ASSERT_EQ(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
		ASSERT_EQ(getsockname(server, (struct sockaddr *)&address, &bytes), 0);
		if (type == SOCK_STREAM) {
			ASSERT_EQ(listen(server, 5), 0);
		}
		memcpy(At(4096), &address, sizeof(address));
	}
	static char *At(size_t at)
	{
		return fake_arena() + at;
	}
	// sendmsg or recvmsg with one piece
	static struct msghdr *Message(char *data, size_t bytes)
	{
		auto *msg = reinterpret_cast<struct msghdr *>(At(8192));
		auto *iov = reinterpret_cast<struct iovec *>(At(8192 + 512));
		memset(msg, 0, sizeof(*msg));
		*iov = {data, bytes};
		msg->msg_iov = iov;
		msg->msg_iovlen = 1;
		return msg;
	}
};

TEST_F(Sockets, StreamsConnectSendAndReceive)
{
	Serve(SOCK_STREAM);
	ASSERT_EQ(Call(SYS_socket, AF_INET, SOCK_STREAM, 0), 3);
	ASSERT_EQ(Call(SYS_connect, 3, At(4096), sizeof(address)), 0);
	int peer = accept(server, nullptr, nullptr);
	ASSERT_GE(peer, 0);
	strcpy(At(0), "request");
	EXPECT_EQ(Call(SYS_sendto, 3, At(0), 7, 0, 0, 0), 7);
	char got[64] = "";
	EXPECT_EQ(read(peer, got, sizeof(got)), 7);
	EXPECT_STREQ(got, "request");
	EXPECT_EQ(Call(SYS_recvfrom, 3, At(0), 64, MSG_DONTWAIT, 0, 0), -EAGAIN);
	fake_interrupt(true);
	EXPECT_EQ(Call(SYS_recvfrom, 3, At(0), 64, 0, 0, 0), -EINTR) << "it waits until the call is to end";
	EXPECT_EQ(Call(SYS_read, 3, At(0), 64), -EINTR);
	fake_interrupt(false);
	std::thread late([&] {
		while (fake_asked() == 0) {
			usleep(1000);
		}
		EXPECT_EQ(write(peer, "ans", 3), 3);
		usleep(20000);
		EXPECT_EQ(write(peer, "wer", 3), 3);
	});
	EXPECT_EQ(Call(SYS_recvfrom, 3, At(0), 6, MSG_WAITALL, 0, 0), 6);
	late.join();
	EXPECT_EQ(std::string(At(0), 6), "answer");
	auto *bytes = reinterpret_cast<socklen_t *>(At(512));
	*bytes = sizeof(address);
	EXPECT_EQ(Call(SYS_getpeername, 3, At(1024), bytes), 0);
	EXPECT_EQ(memcmp(At(1024), &address, 8), 0);
	*bytes = 4;
	EXPECT_EQ(Call(SYS_getsockopt, 3, SOL_SOCKET, SO_TYPE, At(0), bytes), 0);
	EXPECT_EQ(At(0)[0], SOCK_STREAM);
	memset(At(0), 1, 4);
	EXPECT_EQ(Call(SYS_setsockopt, 3, IPPROTO_TCP, TCP_NODELAY, At(0), 4), 0);
	EXPECT_EQ(Call(SYS_shutdown, 3, SHUT_WR), 0);
	EXPECT_EQ(read(peer, got, sizeof(got)), 0);
	close(peer);
	EXPECT_EQ(Call(SYS_write, 3, At(0), 8), -EPIPE) << "and no SIGPIPE";
	EXPECT_EQ(fake_refused_all(), 0u);
}

TEST_F(Sockets, DatagramsComeWithTheirSender)
{
	Serve(SOCK_DGRAM);
	ASSERT_EQ(Call(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 3);
	EXPECT_EQ(Call(SYS_fcntl, 3, F_GETFD), FD_CLOEXEC);
	strcpy(At(0), "question");
	struct msghdr *msg = Message(At(0), 8);
	msg->msg_name = At(4096);
	msg->msg_namelen = sizeof(address);
	EXPECT_EQ(Call(SYS_sendmsg, 3, msg, MSG_NOSIGNAL), 8);
	struct sockaddr_in from;
	socklen_t from_bytes = sizeof(from);
	char got[64];
	ASSERT_EQ(recvfrom(server, got, sizeof(got), 0, (struct sockaddr *)&from, &from_bytes), 8);
	EXPECT_EQ(Call(SYS_recvmsg, 3, msg, 0), -EAGAIN);
	ASSERT_EQ(sendto(server, "reply", 5, 0, (struct sockaddr *)&from, from_bytes), 5);
	msg = Message(At(0), 64);
	msg->msg_name = At(2048);
	msg->msg_namelen = 128;
	msg->msg_control = At(3000);
	msg->msg_controllen = 100;
	EXPECT_EQ(Call(SYS_recvmsg, 3, msg, 0), 5);
	EXPECT_EQ(msg->msg_namelen, sizeof(address));
	EXPECT_EQ(memcmp(At(2048), &address, 8), 0);
	EXPECT_EQ(msg->msg_controllen, 0u);
	// several at once
	auto *many = reinterpret_cast<struct mmsghdr *>(At(16384));
	auto *iov = reinterpret_cast<struct iovec *>(At(20000));
	memset(many, 0, 2 * sizeof(*many));
	for (int i = 0; i < 2; i++) {
		iov[i] = {At(0), (size_t)i + 1};
		many[i].msg_hdr.msg_iov = &iov[i];
		many[i].msg_hdr.msg_iovlen = 1;
		many[i].msg_hdr.msg_name = At(4096);
		many[i].msg_hdr.msg_namelen = sizeof(address);
	}
	EXPECT_EQ(Call(SYS_sendmmsg, 3, many, 2, 0), 2);
	EXPECT_EQ(many[1].msg_len, 2u);
	EXPECT_EQ(Call(SYS_connect, 3, At(4096), sizeof(address)), 0);
	ASSERT_EQ(sendto(server, "a", 1, 0, (struct sockaddr *)&from, from_bytes), 1);
	ASSERT_EQ(sendto(server, "b", 1, 0, (struct sockaddr *)&from, from_bytes), 1);
	many[0].msg_hdr.msg_name = many[1].msg_hdr.msg_name = nullptr;
	EXPECT_EQ(Call(SYS_recvmmsg, 3, many, 2, 0, 0), 2);
}

TEST_F(Sockets, OfOtherKindsAreRefused)
{
	const int families[] = {AF_UNIX, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG, 0, -1};
	for (int family : families) {
		EXPECT_EQ(Call(SYS_socket, family, SOCK_STREAM, 0), -EAFNOSUPPORT) << family;
	}
	EXPECT_EQ(Call(SYS_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP), -EPROTONOSUPPORT);
	EXPECT_EQ(Call(SYS_socket, AF_INET, SOCK_DGRAM, IPPROTO_ICMP), -EPROTONOSUPPORT);
	EXPECT_EQ(Call(SYS_socket, AF_INET6, SOCK_SEQPACKET, 0), -EPROTONOSUPPORT);
	EXPECT_EQ(fake_refused(SYS_socket), 10u);
	ASSERT_EQ(Call(SYS_socket, AF_INET, SOCK_STREAM, 0), 3);
	for (long nr : {SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_socketpair}) {
		EXPECT_EQ(Call(nr, 3, At(4096), 16), -EPERM);
	}
	auto *name = reinterpret_cast<struct sockaddr_un *>(At(0));
	name->sun_family = AF_UNIX;
	strcpy(name->sun_path, "/run/dbus/system_bus_socket");
	EXPECT_EQ(Call(SYS_connect, 3, At(0), sizeof(*name)), -EAFNOSUPPORT);
	EXPECT_EQ(Call(SYS_connect, 1, At(4096), 16), -ENOTSOCK);
	EXPECT_EQ(Call(SYS_connect, 50, At(4096), 16), -EBADF);
	for (int option : {SO_ATTACH_FILTER, SO_ZEROCOPY, SO_BINDTODEVICE, SO_PASSCRED, SO_MARK, SO_PEEK_OFF}) {
		EXPECT_EQ(Call(SYS_setsockopt, 3, SOL_SOCKET, option, At(0), 4), -ENOPROTOOPT) << option;
	}
	EXPECT_EQ(Call(SYS_setsockopt, 3, IPPROTO_TCP, TCP_ULP, At(0), 4), -ENOPROTOOPT);
	EXPECT_EQ(Call(SYS_sendto, 3, At(0), 4, MSG_ZEROCOPY, 0, 0), -EOPNOTSUPP);
	EXPECT_EQ(Call(SYS_sendto, 3, At(0), 4, MSG_FASTOPEN, At(4096), 16), -EOPNOTSUPP);
}

TEST_F(Sockets, NoDescriptorGoesThroughOne)
{
	Serve(SOCK_DGRAM);
	ASSERT_EQ(Call(SYS_socket, AF_INET, SOCK_DGRAM, 0), 3);
	struct msghdr *msg = Message(At(0), 8);
	msg->msg_name = At(4096);
	msg->msg_namelen = sizeof(address);
	auto *control = reinterpret_cast<struct cmsghdr *>(At(3000));
	control->cmsg_len = CMSG_LEN(4);
	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(4);
	EXPECT_EQ(Call(SYS_sendmsg, 3, msg, 0), -EPERM);
	EXPECT_EQ(fake_refused(SYS_sendmsg), 1u);
}

TEST_F(Sockets, PointersOutsideAreRefusedAtEveryDepth)
{
	Serve(SOCK_DGRAM);
	ASSERT_EQ(Call(SYS_socket, AF_INET, SOCK_DGRAM, 0), 3);
	ASSERT_EQ(Call(SYS_connect, 3, At(4096), sizeof(address)), 0);
	static char mine[256];
	char *const bad[] = {mine, fake_arena() - 8, fake_arena_end() - 4, fake_arena_end(), (char *)8};
	for (char *at : bad) {
		EXPECT_EQ(Call(SYS_connect, 3, at, 16), -EFAULT);
		EXPECT_EQ(Call(SYS_sendto, 3, at, 8, 0, 0, 0), -EFAULT);
		EXPECT_EQ(Call(SYS_sendto, 3, At(0), 8, 0, at, 16), -EFAULT);
		EXPECT_EQ(Call(SYS_recvfrom, 3, at, 8, MSG_DONTWAIT, 0, 0), -EFAULT);
		EXPECT_EQ(Call(SYS_sendmsg, 3, at, 0), -EFAULT);
		EXPECT_EQ(Call(SYS_recvmsg, 3, at, MSG_DONTWAIT), -EFAULT);
		EXPECT_EQ(Call(SYS_sendmmsg, 3, at, 1, 0), -EFAULT);
		EXPECT_EQ(Call(SYS_getsockname, 3, At(0), at), -EFAULT);
		EXPECT_EQ(Call(SYS_setsockopt, 3, SOL_SOCKET, SO_KEEPALIVE, at, 4 + 4 * (at == fake_arena_end() - 4)), -EFAULT);
		EXPECT_EQ(Call(SYS_getsockopt, 3, SOL_SOCKET, SO_TYPE, At(0), at), -EFAULT);
		struct msghdr *msg = Message(at, 8);
		EXPECT_EQ(Call(SYS_sendmsg, 3, msg, 0), -EFAULT) << "the data";
		EXPECT_EQ(Call(SYS_recvmsg, 3, msg, MSG_DONTWAIT), -EFAULT);
		msg = Message(At(0), 8);
		msg->msg_iov = reinterpret_cast<struct iovec *>(at);
		EXPECT_EQ(Call(SYS_sendmsg, 3, msg, 0), -EFAULT) << "the vector";
		msg = Message(At(0), 8);
		msg->msg_name = at;
		msg->msg_namelen = 16;
		EXPECT_EQ(Call(SYS_sendmsg, 3, msg, 0), -EFAULT) << "the address";
		memset(At(0), 0, 16);
		*reinterpret_cast<socklen_t *>(At(512)) = 16;
		EXPECT_EQ(Call(SYS_getpeername, 3, at, At(512)), -EFAULT);
	}
	for (char c : mine) {
		ASSERT_EQ(c, 0);
	}
	EXPECT_EQ(Call(SYS_sendto, 3, At(0), 8, 0, 0, 0), 8) << "the control";
}

TEST_F(Sockets, ARefusedConnectionIsToldAndPollSeesIt)
{
	Serve(SOCK_STREAM);
	close(server);
	server = -1;
	ASSERT_EQ(Call(SYS_socket, AF_INET, SOCK_STREAM, 0), 3);
	EXPECT_EQ(Call(SYS_connect, 3, At(4096), sizeof(address)), -ECONNREFUSED);
	ASSERT_EQ(Call(SYS_socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), 4);
	long rc = Call(SYS_connect, 4, At(4096), sizeof(address));
	EXPECT_TRUE(rc == -EINPROGRESS || rc == -ECONNREFUSED);
	auto *polled = reinterpret_cast<struct pollfd *>(At(0));
	*polled = {4, POLLOUT, 0};
	EXPECT_EQ(Call(SYS_poll, polled, 1, 10000), 1);
	EXPECT_TRUE(polled->revents & POLLHUP);
}

TEST(SocketsOfAPureDomain, AreNotThere)
{
	char why[200] = "";
	ASSERT_EQ(fake_library_new("pure", nullptr, 64, why, sizeof(why)), 0) << why;
	EXPECT_EQ(Call(SYS_socket, AF_INET, SOCK_STREAM, 0), -EPERM);
	EXPECT_EQ(Call(SYS_connect, 1, fake_arena(), 16), -EPERM);
	EXPECT_EQ(fake_refused_all(), 2u);
	fake_library_free();
}

} // namespace
