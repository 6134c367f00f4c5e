// SPDX-License-Identifier: Apache-2.0
// System calls of a library domain are made with its rights: the kernel refuses what the domain itself could not touch, also where
// the runtime's own look at the address would have let it pass. Here a page of the domain's heap gets the host's key.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>

#include <lychgate/lychgate.h>

#include "inside.h"
#include "library_live.h"

LYCH_SYM(in, inside_syscall, long, (long, long, long, long, long, long, long));

namespace {

class Rights : public LibraryDomain {
protected:
	long Raw(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0)
	{
		long result = 0;
		int rc = LYCH_CALL(in, &result, inside_syscall, nr, a, b, c, d, e, f);

		EXPECT_EQ(rc, 0) << lych_fault_kind_name(lych_fault(in)->kind);
		return result;
	}

	// A page of the domain's, wholly: of three there is one.
	void *Page()
	{
		auto at = reinterpret_cast<uintptr_t>(lych_alloc(in, 3 * 4096));

		return reinterpret_cast<void *>((at + 4095) & ~4095ul);
	}

	lych_domain *in = nullptr;
};

struct Row {
	const char *name;
	std::function<long()> call;
};

TEST_F(Rights, OfTheDomainAreWhatTheKernelHasForItsSystemCalls)
{
	char folder[] = "/tmp/lych-rights-XXXXXX";
	ASSERT_NE(mkdtemp(folder), nullptr);
	std::string file = std::string(folder) + "/file";
	std::ofstream(file) << "sixteen bytes and more of them";
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	sockaddr_in host = {};
	host.sin_family = AF_INET;
	host.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	socklen_t bytes = sizeof(host);
	ASSERT_EQ(bind(udp, reinterpret_cast<sockaddr *>(&host), sizeof(host)), 0);
	ASSERT_EQ(getsockname(udp, reinterpret_cast<sockaddr *>(&host), &bytes), 0);

	std::string policy = "files-ro:" + std::string(folder) + "\nnet-client";
	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	opts.policy = policy.c_str();
	in = OpenInside(&opts);
	ASSERT_NE(in, nullptr);

	void *page = Page();
	auto at = reinterpret_cast<long>(page);
	auto own = reinterpret_cast<long>(lych_alloc(in, 4096));
	auto path = reinterpret_cast<long>(lych_strdup(in, file.c_str()));
	auto dir = reinterpret_cast<long>(lych_strdup(in, folder));
	auto address = reinterpret_cast<long>(lych_copy_in(in, &host, sizeof(host)));
	ASSERT_EQ(Raw(SYS_pipe2, own, O_NONBLOCK), 0);
	int ends[2];
	ASSERT_EQ(lych_copy_out(in, ends, reinterpret_cast<void *>(own), sizeof(ends)), 0);
	long fd = Raw(SYS_openat, AT_FDCWD, path, O_RDONLY), folder_fd = Raw(SYS_openat, AT_FDCWD, dir, O_RDONLY | O_DIRECTORY);
	ASSERT_GE(fd, 0);
	ASSERT_GE(folder_fd, 0);
	long sock = Raw(SYS_socket, AF_INET, SOCK_DGRAM, 0);
	ASSERT_GE(sock, 0);
	ASSERT_EQ(Raw(SYS_connect, sock, address, sizeof(host)), 0);
	sockaddr_in peer = {};
	auto theirs = reinterpret_cast<long>(lych_alloc(in, 128));
	ASSERT_EQ(Raw(SYS_getsockname, sock, theirs, reinterpret_cast<long>(lych_copy_in(in, &bytes, sizeof(bytes)))), 0);
	ASSERT_EQ(lych_copy_out(in, &peer, reinterpret_cast<void *>(theirs), sizeof(peer)), 0);
	iovec one = {page, 8};
	auto vector = reinterpret_cast<long>(lych_copy_in(in, &one, sizeof(one)));

	const Row rows[] = {
		{"write", [&] { return Raw(SYS_write, ends[1], at, 8); }},
		{"writev", [&] { return Raw(SYS_writev, ends[1], vector, 1); }},
		{"read", [&] { Raw(SYS_write, ends[1], own, 8); return Raw(SYS_read, ends[0], at, 8); }},
		{"readv", [&] { Raw(SYS_write, ends[1], own, 8); return Raw(SYS_readv, ends[0], vector, 1); }},
		{"pread64", [&] { return Raw(SYS_pread64, fd, at, 8, 0); }},
		{"preadv", [&] { return Raw(SYS_preadv, fd, vector, 1, 0); }},
		{"getdents64", [&] { Raw(SYS_lseek, folder_fd, 0, SEEK_SET); return Raw(SYS_getdents64, folder_fd, at, 1024); }},
		{"fstat", [&] { return Raw(SYS_fstat, fd, at); }},
		{"getrandom", [&] { return Raw(SYS_getrandom, at, 16, 0); }},
		{"getrandom, much", [&] { return Raw(SYS_getrandom, at, 4096, 0); }},
		{"clock_gettime", [&] { return Raw(SYS_clock_gettime, CLOCK_REALTIME, at); }},
		{"clock_getres", [&] { return Raw(SYS_clock_getres, CLOCK_REALTIME, at); }},
		{"sendto", [&] { return Raw(SYS_sendto, sock, at, 8, 0); }},
		{"recvfrom",
		 [&] {
			 sendto(udp, "twelve bytes", 12, 0, reinterpret_cast<sockaddr *>(&peer), sizeof(peer));
			 return Raw(SYS_recvfrom, sock, at, 8, 0);
		 }},
	};
	for (const Row &row : rows) {
		EXPECT_GE(row.call(), 0) << "the control: " << row.name;
	}
	memset(page, 0x5a, 4096);
	ASSERT_EQ(syscall(SYS_pkey_mprotect, page, 4096, PROT_READ | PROT_WRITE, 0), 0);
	for (const Row &row : rows) {
		EXPECT_EQ(row.call(), -EFAULT) << row.name;
	}
	for (int i = 0; i < 4096; i++) {
		ASSERT_EQ(static_cast<unsigned char *>(page)[i], 0x5a) << i;
	}
	close(udp);
	EXPECT_EQ(unlink(file.c_str()), 0);
	EXPECT_EQ(rmdir(folder), 0);
}

} // namespace
