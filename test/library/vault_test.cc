// SPDX-License-Identifier: Apache-2.0
// Libraries that are vaults: what the host puts in it can use, and not take out again. Beside each attempt stands the same one on
// a library that is none.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <lychgate/lychgate.h>

#include "hostile.h"
#include "inside.h"
#include "library_live.h"
#include "starts.h"

extern "C" {
unsigned long crc32(unsigned long crc, const unsigned char *buf, unsigned int len);
int compress(unsigned char *dst, unsigned long *dst_len, const unsigned char *src, unsigned long src_len);
int uncompress(unsigned char *dst, unsigned long *dst_len, const unsigned char *src, unsigned long src_len);
}
LYCH_SYM(in, crc32, unsigned long, (unsigned long, const unsigned char *, unsigned int));
LYCH_SYM(in, starts_ask, int, (void));
LYCH_SYM(in, starts_sum, long, (int));
LYCH_SYM(in, starts_wrong, int, (void));
LYCH_SYM(plain, crc32, unsigned long, (unsigned long, const unsigned char *, unsigned int));
LYCH_SYM(in, compress, int, (unsigned char *, unsigned long *, const unsigned char *, unsigned long));
LYCH_SYM(in, uncompress, int, (unsigned char *, unsigned long *, const unsigned char *, unsigned long));
LYCH_SYM(in, inside_add, int, (int, int));
LYCH_SYM(in, inside_count, int, (void));
LYCH_SYM(in, inside_allocate, long, (size_t));
LYCH_SYM(in, inside_text, char *, (const char *));
using Step = int (*)(int);
LYCH_SYM(in, inside_apply, int, (Step, int));
LYCH_SYM(in, inside_thread_sum, long, (int, int));
LYCH_SYM(in, inside_sum_to, void, (const unsigned char *, size_t, long *));
LYCH_SYM(in, inside_large_of, struct inside_large, (long));
LYCH_SYM(plain, inside_large_of, struct inside_large, (long));
LYCH_SYM(in, inside_peek, int, (const volatile unsigned char *));
LYCH_SYM(in, inside_poke, void, (volatile unsigned char *));
LYCH_SYM(in, inside_abort, void, (void));
LYCH_SYM(in, inside_recurse, int, (int));
LYCH_SYM(in, inside_loop, void, (void));
LYCH_SYM(in, inside_syscall, long, (long, long, long, long, long, long, long));
using Plain = void (*)();
LYCH_SYM(the_domain, hostile_jump_to_callback, int, (Plain, int));
LYCH_SYM(the_domain, hostile_eight, long, (long, long, long, long, long, long, long, long));

namespace {

lych_domain *the_domain;
std::atomic<int> called;
int status_of_nested;

} // namespace

static int twice(int n)
{
	return 2 * n + *static_cast<int *>(lych_callback_ctx());
}
LYCH_CALLBACK(twice, int, (int));

static void takes_words(long, long, long, long, long, long, long, long)
{
}
LYCH_CALLBACK(takes_words, void, (long, long, long, long, long, long, long, long));

static void calls_in(void)
{
	long sum = 0;

	called++;
	status_of_nested = LYCH_CALL(the_domain, &sum, hostile_eight, 1, 2, 3, 4, 5, 6, 7, 8);
	if (status_of_nested == 0 && sum != 36) {
		status_of_nested = -EILSEQ;
	}
}
LYCH_CALLBACK(calls_in, void, (void));

namespace {

class LibraryVault : public LibraryDomain {
protected:
	lych_domain *OpenVault(const char *library, std::vector<const char *> functions)
	{
		lych_library_opts opts = {};

		opts.size = sizeof(opts);
		opts.vault = true;
		lych_domain *in = Open(library, &opts);
		for (const char *name : functions) {
			Allow(in, name);
		}
		return in;
	}

	static void Allow(lych_domain *in, const char *name)
	{
		void *at = nullptr;

		ASSERT_EQ(lych_symbol(in, &at, name, nullptr), 0) << name << ": " << lych_why();
		ASSERT_EQ(lych_vault_allow(in, reinterpret_cast<Plain>(at)), 0);
	}

	// What the host gets when it reads a byte there.
	static Fault Read(const void *at)
	{
		return FaultOf([at] { (void)*static_cast<const volatile char *>(at); });
	}

	// The same by the kernel's hand.
	static long Write(const void *at)
	{
		int fds[2];

		if (pipe(fds) != 0) {
			return -1;
		}
		long n = write(fds[1], at, 1) == 1 ? 1 : -errno;
		close(fds[0]);
		close(fds[1]);
		return n;
	}
};

TEST_F(LibraryVault, ComputesAndGivesItsResultInRegisters)
{
	lych_domain *in = OpenVault("libz.so.1", {"crc32", "compress", "uncompress"});
	ASSERT_NE(in, nullptr);
	const std::string secret(10000, 's');
	auto *src = static_cast<unsigned char *>(lych_copy_in(in, secret.data(), secret.size()));
	auto *packed = static_cast<unsigned char *>(lych_alloc(in, 20000)), *back = static_cast<unsigned char *>(lych_alloc(in, 10000));
	const unsigned long room[2] = {20000, 10000};
	auto *lengths = static_cast<unsigned long *>(lych_copy_in(in, room, sizeof(room)));
	unsigned long sum = 0, again = 0;
	int rc = -1;

	ASSERT_EQ(LYCH_CALL(in, &sum, crc32, 0, src, 10000), 0);
	EXPECT_NE(sum, 0u);
	ASSERT_EQ(LYCH_CALL(in, &rc, compress, packed, &lengths[0], src, 10000), 0);
	EXPECT_EQ(rc, 0);
	ASSERT_EQ(LYCH_CALL(in, &rc, uncompress, back, &lengths[1], packed, 20000), 0);
	EXPECT_EQ(rc, 0);
	ASSERT_EQ(LYCH_CALL(in, &again, crc32, 0, back, 10000), 0);
	EXPECT_EQ(again, sum);
	// the control: a library as any other says the same
	lych_domain *plain = Open("libz.so.1");
	auto *same = static_cast<unsigned char *>(lych_copy_in(plain, secret.data(), secret.size()));
	ASSERT_EQ(LYCH_CALL(plain, &again, crc32, 0, same, 10000), 0);
	EXPECT_EQ(again, sum);
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
}

TEST_F(LibraryVault, IsNotReadByTheHost)
{
	for (bool vault : {true, false}) {
		lych_domain *in = vault ? OpenVault(LYCH_INSIDE, {"inside_text", "inside_peek"}) : OpenInside();
		ASSERT_NE(in, nullptr);
		auto *name = static_cast<char *>(lych_strdup(in, "secret"));
		char *text = nullptr, *copy = nullptr, byte = 'x';
		void *value = nullptr;
		int first = 0;

		ASSERT_EQ(LYCH_CALL(in, &text, inside_text, name), 0);
		ASSERT_EQ(lych_symbol(in, &value, "inside_value", nullptr), 0);
		ASSERT_EQ(LYCH_CALL(in, &first, inside_peek, reinterpret_cast<unsigned char *>(name)), 0);
		EXPECT_EQ(first, 's') << "it reads it itself";
		// what the host put there, what the library's own malloc gave, its data
		for (const void *at : {static_cast<const void *>(name), static_cast<const void *>(text), static_cast<const void *>(value)}) {
			Fault fault = Read(at);
			if (vault) {
				EXPECT_TRUE(IsPkuFault(fault, lych_domain_key(in)));
				EXPECT_EQ(Write(at), -EFAULT);
			} else {
				EXPECT_EQ(fault.signal, 0) << "the control";
				EXPECT_EQ(Write(at), 1) << "the control";
			}
			EXPECT_EQ(lych_verify_range(in, at, 1), 0);
			EXPECT_EQ(lych_copy_out(in, &byte, at, 1), vault ? -EACCES : 0);
			EXPECT_EQ(lych_strndup_out(in, &copy, static_cast<const char *>(at), 100), vault ? -EACCES : 0);
			free(copy);
		}
		EXPECT_EQ(byte == 'x', vault);
		EXPECT_EQ(lych_free(in, name), 0);
	}
}

// A bug of the host that reads behind a block, up to what lies next to it, reads no further than that.
TEST_F(LibraryVault, StopsAnOverreadOfTheHost)
{
	for (bool vault : {true, false}) {
		lych_domain *in = vault ? OpenVault(LYCH_INSIDE, {}) : OpenInside();
		ASSERT_NE(in, nullptr);
		auto *block = static_cast<char *>(lych_copy_in(in, "key material", 13));
		const char *host = "short";
		std::atomic<size_t> length{static_cast<size_t>(block - host) + 13};
		// as heartbeat did it: so many bytes as the request says
		Fault fault = FaultOf([host, block, &length] {
			char out[13];
			memcpy(out, host + (block - host), 13);
			_exit(memcmp(out, "key material", 13) == 0 && length > 13 ? 0 : 3);
		});
		if (vault) {
			EXPECT_TRUE(IsPkuFault(fault, lych_domain_key(in)));
		} else {
			EXPECT_EQ(fault.signal, 0) << "the control";
		}
	}
}

TEST_F(LibraryVault, MayReadNothingOfTheHostEither)
{
	lych_domain *in = OpenVault(LYCH_INSIDE, {"inside_peek", "inside_poke", "inside_add"});
	ASSERT_NE(in, nullptr);
	static unsigned char secret[16] = "secret";
	int n = 0;

	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, secret), -EFAULT);
	EXPECT_EQ(lych_fault(in)->kind, LYCH_FAULT_KEY);
	EXPECT_EQ(lych_fault(in)->key, 0);
	ASSERT_EQ(lych_domain_reset(in), 0);
	ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_poke, secret), -EFAULT);
	EXPECT_EQ(memcmp(secret, "secret", 7), 0);
	ASSERT_EQ(lych_domain_reset(in), 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_add, 40, 2), 0);
	EXPECT_EQ(n, 42);
}

TEST_F(LibraryVault, IsEnteredAtAllowedFunctionsOnly)
{
	lych_domain *in = OpenVault(LYCH_INSIDE, {});
	ASSERT_NE(in, nullptr);
	int n = 0;

	EXPECT_EQ(LYCH_CALL(in, &n, inside_add, 40, 2), -EACCES);
	Allow(in, "inside_add");
	EXPECT_EQ(LYCH_CALL(in, &n, inside_add, 40, 2), 0);
	EXPECT_EQ(n, 42);
	EXPECT_EQ(LYCH_CALL(in, &n, inside_count), -EACCES);
	// as many as there may be beside what the runtime calls itself
	for (uint64_t i = 1; i < 511; i++) {
		ASSERT_EQ(lych_vault_allow(in, reinterpret_cast<Plain>(i)), 0) << i;
	}
	EXPECT_EQ(lych_vault_allow(in, reinterpret_cast<Plain>(511)), -ENOMEM);
	EXPECT_EQ(lych_domain_reset(in), 0);
	std::thread([in] {
		int m = 0;
		EXPECT_EQ(LYCH_CALL(in, &m, inside_add, 1, 2), 0) << "it gets thread-local storage of its own";
		EXPECT_EQ(m, 3);
	}).join();
	// the control: without it there is no such table
	EXPECT_EQ(lych_vault_allow(OpenInside(), reinterpret_cast<Plain>(1)), -EINVAL);
}

TEST_F(LibraryVault, TakesArgumentsOnItsStackAndGivesNothingInMemory)
{
	lych_domain *in = OpenVault(LYCH_INSIDE, {"inside_syscall", "inside_large_of", "inside_apply"});
	ASSERT_NE(in, nullptr);
	struct inside_large large = {};
	long pid = 0;
	int add = 1, sum = 0;
	int (*fn)(int) = nullptr;
	void (*words)(long, long, long, long, long, long, long, long) = nullptr;

	ASSERT_EQ(LYCH_CALL(in, &pid, inside_syscall, SYS_getpid, 0, 0, 0, 0, 0, 0), 0);
	EXPECT_EQ(pid, getpid());
	EXPECT_EQ(LYCH_CALL(in, &large, inside_large_of, 10), -EACCES);
	EXPECT_EQ(large.words[7], 0);
	lych_domain *plain = OpenInside();
	EXPECT_EQ(LYCH_CALL(plain, &large, inside_large_of, 10), 0) << "the control";
	EXPECT_EQ(large.words[7], 17);
	ASSERT_EQ(lych_callback(&fn, in, twice, &add), 0);
	ASSERT_EQ(LYCH_CALL(in, &sum, inside_apply, fn, 10), 0);
	EXPECT_EQ(sum, 100);
	EXPECT_EQ(lych_callback(&words, in, takes_words, nullptr), -EOPNOTSUPP);
}

// System calls are answered with the host's rights, which are none here, unless the runtime opens it for them.
TEST_F(LibraryVault, HasItsSystemCallsAnsweredInItsOwnMemory)
{
	lych_domain *in = OpenVault(LYCH_INSIDE, {});
	ASSERT_NE(in, nullptr);
	Allow(in, "inside_syscall");
	Allow(in, "inside_thread_sum");
	Allow(in, "inside_allocate");
	Allow(in, "inside_count");
	auto *room = static_cast<char *>(lych_calloc(in, 1, 8192));
	auto at = reinterpret_cast<long>(room);
	const timespec nap = {0, 1000000};
	auto nap_at = reinterpret_cast<long>(lych_copy_in(in, &nap, sizeof(nap)));
	const iovec vector[2] = {{lych_strdup(in, "a vault "), 8}, {lych_strdup(in, "says so\n"), 8}};
	auto vector_at = reinterpret_cast<long>(lych_copy_in(in, vector, sizeof(vector)));
	long n = 0;

	ASSERT_EQ(LYCH_CALL(in, &n, inside_syscall, SYS_getrandom, at, 100, 0, 0, 0, 0), 0);
	EXPECT_EQ(n, 100);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_syscall, SYS_getrandom, at, 5000, 0, 0, 0, 0), 0);
	EXPECT_EQ(n, 5000);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_syscall, SYS_clock_gettime, CLOCK_MONOTONIC, at, 0, 0, 0, 0), 0);
	EXPECT_EQ(n, 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_syscall, SYS_uname, at, 0, 0, 0, 0, 0), 0);
	EXPECT_EQ(n, 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_syscall, SYS_nanosleep, nap_at, 0, 0, 0, 0, 0), 0);
	EXPECT_EQ(n, 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_syscall, SYS_write, 2, reinterpret_cast<long>(vector[0].iov_base), 8, 0, 0, 0), 0);
	EXPECT_EQ(n, 8);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_syscall, SYS_writev, 2, vector_at, 2, 0, 0, 0), 0);
	EXPECT_EQ(n, 16);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_syscall, SYS_mmap, 0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 0);
	EXPECT_GT(n, 0);
	EXPECT_TRUE(IsPkuFault(Read(reinterpret_cast<void *>(n)), lych_domain_key(in)));
	ASSERT_EQ(LYCH_CALL(in, &n, inside_syscall, SYS_madvise, n, 1 << 20, MADV_DONTNEED, 0, 0, 0), 0);
	EXPECT_EQ(n, 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_allocate, size_t{1} << 20), 0);
	EXPECT_EQ(n, 256);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_thread_sum, 4, 100), 0);
	EXPECT_EQ(n, 4 * 5050);
	std::atomic<int> wrong{0};
	std::vector<std::thread> threads;
	for (int i = 0; i < 4; i++) {
		threads.emplace_back([in, &wrong] {
			for (int k = 1; k <= 20; k++) {
				int c = 0;
				wrong += LYCH_CALL(in, &c, inside_count) != 0 || c != k;
			}
		});
	}
	for (auto &t : threads) {
		t.join();
	}
	EXPECT_EQ(wrong, 0);
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
}

TEST_F(LibraryVault, TellsOfAFaultTheWayAndNoContents)
{
	for (bool vault : {true, false}) {
		lych_domain *in = vault ? OpenVault(LYCH_INSIDE, {"inside_poke", "inside_abort", "inside_recurse", "inside_loop", "inside_add"})
					: OpenInside();
		ASSERT_NE(in, nullptr);
		static unsigned char mine[16];
		char where[256];
		bool any = false;
		int n = 0;

		ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_poke, mine), -EFAULT);
		const struct lych_fault *fault = lych_fault(in);
		EXPECT_EQ(fault->kind, LYCH_FAULT_KEY);
		EXPECT_EQ(fault->address, reinterpret_cast<uint64_t>(mine));
		ASSERT_GE(fault->nframes, 1);
		EXPECT_EQ(lych_fault_where(fault, 0, where, sizeof(where)), 0);
		EXPECT_NE(std::string(where).find("inside_poke"), std::string::npos) << where;
		for (uint64_t reg : fault->gpr) {
			any = any || reg != 0;
		}
		EXPECT_EQ(any || fault->rsp != 0 || fault->rflags != 0, !vault);
		ASSERT_EQ(lych_domain_reset(in), 0);

		ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_abort), -EFAULT);
		EXPECT_EQ(fault->kind, LYCH_FAULT_ABORT);
		std::string way;
		for (int i = 0; i < fault->nframes; i++) {
			(void)!lych_fault_where(fault, i, where, sizeof(where));
			way += std::string(where) + "\n";
		}
		EXPECT_NE(way.find("abort"), std::string::npos) << way;
		EXPECT_NE(way.find("inside_abort"), std::string::npos) << way;
		ASSERT_EQ(lych_domain_reset(in), 0);
		ASSERT_EQ(LYCH_CALL(in, nullptr, inside_recurse, 0), -EFAULT);
		EXPECT_EQ(fault->kind, LYCH_FAULT_STACK);
		ASSERT_EQ(lych_domain_reset(in), 0);
		ASSERT_EQ(LYCH_CALL_TIMEOUT(in, 50, LYCH_NOTHING, inside_loop), -ETIMEDOUT);
		EXPECT_EQ(fault->kind, LYCH_FAULT_DEADLINE);
		ASSERT_EQ(lych_domain_reset(in), 0);
		ASSERT_EQ(LYCH_CALL(in, &n, inside_add, 40, 2), 0);
		EXPECT_EQ(n, 42);
		EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
	}
}

// Of each page: what its mapping's flags are in smaps.
std::string FlagsOf(const void *at)
{
	auto address = reinterpret_cast<uint64_t>(at);
	std::ifstream smaps("/proc/self/smaps");
	std::string line;
	bool here = false;

	while (std::getline(smaps, line)) {
		unsigned long from, to;
		if (sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) {
			here = address >= from && address < to;
		} else if (here && line.rfind("VmFlags:", 0) == 0) {
			return line + " ";
		}
	}
	return "";
}

TEST_F(LibraryVault, IsInNoCoreFile)
{
	for (bool vault : {true, false}) {
		lych_domain *in = vault ? OpenVault(LYCH_INSIDE, {"inside_text", "inside_syscall"}) : OpenInside();
		ASSERT_NE(in, nullptr);
		for (int round = 0; round < 2; round++) {
			char *text = nullptr;
			void *value = nullptr;
			long mapped = 0;

			ASSERT_EQ(LYCH_CALL(in, &text, inside_text, lych_strdup(in, "secret")), 0);
			ASSERT_EQ(lych_symbol(in, &value, "inside_value", nullptr), 0);
			ASSERT_EQ(LYCH_CALL(in, &mapped, inside_syscall, SYS_mmap, 0, 1 << 20, PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
				  0);
			ASSERT_EQ(LYCH_CALL(in, &mapped, inside_syscall, SYS_mremap, mapped, 1 << 20, 1 << 22, MREMAP_MAYMOVE, 0, 0), 0);
			for (const void *at : {static_cast<void *>(text), value, reinterpret_cast<void *>(mapped)}) {
				EXPECT_EQ(FlagsOf(at).find(" dd ") != std::string::npos, vault) << FlagsOf(at) << round;
			}
			EXPECT_NE(FlagsOf(lych_strdup(in, "x")).find(" dd "), std::string::npos);
			ASSERT_EQ(lych_domain_reset(in), 0);
		}
	}
}

TEST_F(LibraryVault, IsEmptyAfterAReset)
{
	lych_domain *in = OpenVault(LYCH_INSIDE, {"inside_peek", "inside_sum_to"});
	ASSERT_NE(in, nullptr);
	unsigned char secret[4096];
	int n = 0;
	memset(secret, 0x77, sizeof(secret));
	auto *at = static_cast<unsigned char *>(lych_copy_in(in, secret, sizeof(secret)));

	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at + 100), 0);
	EXPECT_EQ(n, 0x77);
	ASSERT_EQ(lych_domain_reset(in), 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at + 100), 0);
	EXPECT_EQ(n, 0);
	EXPECT_TRUE(IsPkuFault(Read(at), lych_domain_key(in)));
}

TEST_F(LibraryVault, SaysWhyItDoesNotOpenAndLaterLoadsMore)
{
	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	opts.vault = true;
	lych_domain *none = nullptr;
	unsigned long sum = 0;

	EXPECT_EQ(lych_open(&none, "libnobodyhasit.so.7", &opts), -ENOENT);
	EXPECT_EQ(none, nullptr);
	EXPECT_NE(std::string(lych_why()).find("cannot open"), std::string::npos) << lych_why();
	lych_domain *in = OpenVault(LYCH_INSIDE, {});
	ASSERT_NE(in, nullptr);
	EXPECT_EQ(lych_load(in, "libnobodyhasit.so.7"), -ENOENT);
	EXPECT_NE(std::string(lych_why()).find("libnobodyhasit.so.7"), std::string::npos) << lych_why();
	EXPECT_EQ(std::string(lych_why()).find("cannot open"), std::string::npos) << "its own words: " << lych_why();
	ASSERT_EQ(lych_load(in, "libz.so.1"), 0) << lych_why();
	Allow(in, "crc32");
	ASSERT_EQ(LYCH_CALL(in, &sum, crc32, 0, static_cast<unsigned char *>(lych_calloc(in, 1, 10)), 10), 0);
	EXPECT_EQ(sum, 0xe38a6876u);
}

TEST_F(LibraryVault, WithLockedAndWipedMemoryIsTheSame)
{
	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	opts.vault = opts.zero_on_free = opts.lock_memory = true;
	opts.heap_bytes = 1 << 20;
	lych_domain *in = Open(LYCH_INSIDE, &opts);
	ASSERT_NE(in, nullptr);
	Allow(in, "inside_peek");
	auto *at = static_cast<unsigned char *>(lych_copy_in(in, "secret", 7));
	int n = 0;

	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at), 0);
	EXPECT_EQ(n, 's');
	EXPECT_EQ(lych_free(in, at), 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at), 0);
	EXPECT_EQ(n, 0);
	EXPECT_EQ(lych_domain_reset(in), 0);
	at = static_cast<unsigned char *>(lych_realloc(in, lych_copy_in(in, "secret", 7), 100000));
	ASSERT_NE(at, nullptr);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at + 1), 0);
	EXPECT_EQ(n, 'e');
}

// The place for arguments on the stack of a thread of the library's own is the library's word.
TEST_F(LibraryVault, CannotHaveTheHostWriteArgumentsWhereNothingIs)
{
	for (int prot : {PROT_READ | PROT_WRITE, PROT_NONE, PROT_READ}) {
		the_domain = OpenVault(LYCH_HOSTILE, {"hostile_jump_to_callback", "hostile_eight"});
		ASSERT_NE(the_domain, nullptr);
		void (*fn)(void) = nullptr;
		long sum = 0;

		ASSERT_EQ(LYCH_CALL(the_domain, &sum, hostile_eight, 1, 2, 3, 4, 5, 6, 7, 8), 0);
		called = 0;
		ASSERT_EQ(lych_callback(&fn, the_domain, calls_in, nullptr), 0);
		int rc = LYCH_CALL(the_domain, nullptr, hostile_jump_to_callback, fn, prot);
		EXPECT_EQ(called, 1);
		if ((prot & PROT_WRITE) != 0) {
			EXPECT_EQ(rc, 0) << "the control";
			EXPECT_EQ(status_of_nested, 0);
			continue;
		}
		EXPECT_TRUE(rc == -EFAULT || rc == -ECANCELED) << rc;
		EXPECT_EQ(status_of_nested, -EXFULL);
		ASSERT_EQ(lych_domain_reset(the_domain), 0);
		ASSERT_EQ(LYCH_CALL(the_domain, &sum, hostile_eight, 1, 2, 3, 4, 5, 6, 7, 8), 0);
		EXPECT_EQ(sum, 36);
	}
}

// ---- regions --------------------------------------------------------------------------------------------------------

TEST_F(LibraryVault, WritesItsResultToARegionThatIsGrantedToIt)
{
	lych_domain *in = OpenVault(LYCH_INSIDE, {"inside_sum_to"});
	ASSERT_NE(in, nullptr);
	struct lych_region *region = nullptr;
	ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);
	auto *out = static_cast<long *>(lych_region_address(region));
	unsigned char secret[100];
	memset(secret, 3, sizeof(secret));
	auto *at = static_cast<unsigned char *>(lych_copy_in(in, secret, sizeof(secret)));
	auto total = [region]() -> long {
		LYCH_READ(long, sum, region)
		{
			return *sum;
		}
		return -1;
	};

	EXPECT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_sum_to, at, 100, out), -EFAULT) << "the control: not granted yet";
	EXPECT_EQ(lych_fault(in)->kind, LYCH_FAULT_KEY);
	EXPECT_EQ(lych_fault(in)->key, lych_region_key(region));
	ASSERT_EQ(lych_region_grant(region, in, LYCH_GRANT_WRITE), 0) << "as it has faulted, too";
	ASSERT_EQ(lych_domain_reset(in), 0);
	at = static_cast<unsigned char *>(lych_copy_in(in, secret, sizeof(secret)));
	ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_sum_to, at, 100, out), 0);
	EXPECT_EQ(total(), 300);
	EXPECT_TRUE(IsPkuFault(Read(out), lych_region_key(region))) << "closed for the host";
	EXPECT_TRUE(IsPkuFault(Read(at), lych_domain_key(in)));
	EXPECT_EQ(lych_region_free(region), -EBUSY);
	ASSERT_EQ(lych_region_grant(region, in, LYCH_GRANT_NONE), 0);
	EXPECT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_sum_to, at, 50, out), -EFAULT);
	EXPECT_EQ(total(), 300);
	EXPECT_EQ(lych_region_free(region), 0);
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
}

// Threads that its constructors began are brought back; a region is granted to them, too, while they run.
TEST_F(LibraryVault, HasThreadsOfItsOwnAfterAResetAndAfterAGrant)
{
	lych_domain *in = OpenVault(LYCH_STARTS, {"starts_ask", "starts_sum", "starts_wrong"});
	ASSERT_NE(in, nullptr);
	struct lych_region *region = nullptr;
	ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);

	for (int round = 0; round < 3; round++) {
		long sum = 0;
		int n = 0;

		ASSERT_EQ(lych_region_grant(region, in, round % 2 == 0 ? LYCH_GRANT_WRITE : LYCH_GRANT_NONE), 0) << round;
		ASSERT_EQ(LYCH_CALL(in, &n, starts_ask), 0) << lych_fault_kind_name(lych_fault(in)->kind);
		ASSERT_EQ(LYCH_CALL(in, &sum, starts_sum, 200), 0);
		EXPECT_EQ(sum, 20100);
		ASSERT_EQ(LYCH_CALL(in, &n, starts_wrong), 0);
		EXPECT_EQ(n, 0);
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	}
	ASSERT_EQ(lych_region_grant(region, in, LYCH_GRANT_NONE), 0);
	EXPECT_EQ(lych_region_free(region), 0);
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
}

} // namespace
