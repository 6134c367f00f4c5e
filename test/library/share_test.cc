// SPDX-License-Identifier: Apache-2.0
// Pages of the host that a library may use: lych_share. What is theirs before and after is asked of the kernel.
#include <gtest/gtest.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <lychgate/lychgate.h>

#include "inside.h"
#include "library_live.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

LYCH_SYM(in, inside_peek, int, (const volatile unsigned char *));
LYCH_SYM(in, inside_poke, void, (volatile unsigned char *));
LYCH_SYM(in, inside_sum_to, void, (const unsigned char *, size_t, long *));
LYCH_SYM(in, inside_syscall, long, (long, long, long, long, long, long, long));

namespace {

constexpr size_t kPage = 4096;
alignas(kPage) unsigned char of_the_program[kPage];

// "key rights" of the page, as "0 rw-"; "none".
std::string PageOf(const void *at)
{
	auto address = reinterpret_cast<uint64_t>(at);
	std::ifstream smaps("/proc/self/smaps");
	std::string line, rights;

	while (std::getline(smaps, line)) {
		unsigned long from, to;
		char perms[8];
		int key;
		if (sscanf(line.c_str(), "%lx-%lx %7s", &from, &to, perms) == 3) {
			rights = address >= from && address < to ? std::string(perms, 3) : "";
		} else if (!rights.empty() && sscanf(line.c_str(), "ProtectionKey: %d", &key) == 1) {
			return std::to_string(key) + " " + rights;
		}
	}
	return "none";
}

class Share : public LibraryDomain {
protected:
	void TearDown() override
	{
		LibraryDomain::TearDown();
		for (auto &m : maps_) {
			munmap(m.first, m.second);
		}
	}

	unsigned char *Map(size_t pages, int prot = PROT_READ | PROT_WRITE, int flags = MAP_PRIVATE | MAP_ANONYMOUS)
	{
		// a page without rights on both ends: nothing merges with it
		void *all = mmap(nullptr, (pages + 2) * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		auto *at = static_cast<unsigned char *>(all) + kPage;
		EXPECT_NE(mmap(at, pages * kPage, prot, flags | MAP_FIXED, -1, 0), MAP_FAILED);
		maps_.emplace_back(all, (pages + 2) * kPage);
		return at;
	}

	static std::string Shared(lych_domain *in, const char *rights)
	{
		return std::to_string(lych_domain_key(in)) + " " + rights;
	}

	static void ExpectAllIsAsTheLedgerSays()
	{
		EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
	}

	static Fault Write(unsigned char *at)
	{
		return FaultOf([at] { *static_cast<volatile unsigned char *>(at) = 1; });
	}

private:
	std::vector<std::pair<void *, size_t>> maps_;
};

TEST_F(Share, ToWriteIsWrittenByBoth)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	unsigned char *at = Map(4);
	int n = 0;

	at[kPage] = 7;
	EXPECT_EQ(LYCH_CALL(in, &n, inside_peek, at + kPage), -EFAULT) << "the control: it is the host's";
	EXPECT_EQ(lych_fault(in)->key, 0);
	ASSERT_EQ(lych_domain_reset(in), 0);
	ASSERT_EQ(lych_share(in, at + kPage, 2 * kPage, LYCH_SHARE_WRITE), 0) << lych_why();
	EXPECT_EQ(PageOf(at), "0 rw-");
	EXPECT_EQ(PageOf(at + kPage), Shared(in, "rw-"));
	EXPECT_EQ(PageOf(at + 2 * kPage), Shared(in, "rw-"));
	EXPECT_EQ(PageOf(at + 3 * kPage), "0 rw-");
	ExpectAllIsAsTheLedgerSays();
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at + kPage), 0);
	EXPECT_EQ(n, 7);
	ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_poke, at + 3 * kPage - 1), 0);
	EXPECT_EQ(at[3 * kPage - 1], 0x5a);
	at[2 * kPage] = 9;
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at + 2 * kPage), 0);
	EXPECT_EQ(n, 9);
	// nothing of it is the domain's memory
	EXPECT_EQ(lych_verify_range(in, at + kPage, 1), -EFAULT);
	EXPECT_EQ(lych_copy_out(in, &n, at + kPage, 1), -EFAULT);
	// and nothing beside it is shared
	for (unsigned char *beside : {at + kPage - 1, at + 3 * kPage}) {
		EXPECT_EQ(LYCH_CALL(in, &n, inside_peek, beside), -EFAULT);
		EXPECT_EQ(lych_fault(in)->key, 0);
		ASSERT_EQ(lych_domain_reset(in), 0);
	}
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at + kPage), 0) << "a reset keeps it";
	EXPECT_EQ(lych_unshare(in, at), -EINVAL);
	EXPECT_EQ(lych_unshare(in, at + 2 * kPage), -EINVAL);
	ASSERT_EQ(lych_unshare(in, at + kPage), 0);
	EXPECT_EQ(lych_unshare(in, at + kPage), -EINVAL);
	EXPECT_EQ(PageOf(at + kPage), "0 rw-");
	EXPECT_EQ(PageOf(at + 2 * kPage), "0 rw-");
	EXPECT_EQ(LYCH_CALL(in, &n, inside_peek, at + kPage), -EFAULT);
	EXPECT_EQ(lych_fault(in)->key, 0);
	ExpectAllIsAsTheLedgerSays();
}

TEST_F(Share, ToReadIsReadOnlyForTheHostToo)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	unsigned char *at = Map(2);
	int two[2], n = 0;
	char byte = 'b';

	at[0] = 7;
	ASSERT_EQ(pipe(two), 0);
	ASSERT_EQ(write(two[1], &byte, 1), 1);
	EXPECT_EQ(Write(at).signal, 0) << "the control";
	ASSERT_EQ(lych_share(in, at, kPage, LYCH_SHARE_READ), 0) << lych_why();
	EXPECT_EQ(PageOf(at), Shared(in, "r--"));
	ExpectAllIsAsTheLedgerSays();
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at), 0);
	EXPECT_EQ(n, 7);
	EXPECT_EQ(at[0], 7);
	Fault fault = Write(at);
	EXPECT_EQ(fault.signal, SIGSEGV);
	EXPECT_EQ(fault.code, SEGV_ACCERR) << "not a matter of keys";
	EXPECT_EQ(fault.address, at);
	EXPECT_EQ(read(two[0], at, 1), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_poke, at), -EFAULT);
	EXPECT_EQ(lych_fault(in)->kind, LYCH_FAULT_SEGV);
	EXPECT_EQ(lych_fault(in)->access, LYCH_ACCESS_WRITE);
	EXPECT_EQ(lych_fault(in)->address, reinterpret_cast<uint64_t>(at));
	EXPECT_EQ(at[0], 7);
	ASSERT_EQ(lych_domain_reset(in), 0);
	ASSERT_EQ(lych_unshare(in, at), 0);
	EXPECT_EQ(PageOf(at), "0 rw-");
	EXPECT_EQ(read(two[0], at, 1), 1);
	EXPECT_EQ(at[0], 'b');
	EXPECT_EQ(Write(at).signal, 0);
	close(two[0]);
	close(two[1]);
}

// Each of the pieces has its own rights back; a file's pages are pages as others, as long as nobody else maps them.
TEST_F(Share, OfPagesWithDifferentRightsGivesEachItsOwnBack)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	unsigned char *at = Map(4);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), n = 0;

	ASSERT_NE(mmap(at + 2 * kPage, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0), MAP_FAILED);
	close(fd);
	ASSERT_EQ(mprotect(at, kPage, PROT_READ), 0);
	EXPECT_EQ(lych_share(in, at, 4 * kPage, LYCH_SHARE_WRITE), -EFAULT) << "the first one the host cannot write itself";
	EXPECT_EQ(PageOf(at), "0 r--");
	EXPECT_EQ(PageOf(at + kPage), "0 rw-");
	ASSERT_EQ(lych_share(in, at, 4 * kPage, LYCH_SHARE_READ), 0) << lych_why();
	for (size_t i = 0; i < 4; i++) {
		EXPECT_EQ(PageOf(at + i * kPage), Shared(in, "r--")) << i;
		ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at + i * kPage + 1), 0) << i;
		EXPECT_EQ(n, i == 2 ? 'E' : 0);
	}
	ExpectAllIsAsTheLedgerSays();
	ASSERT_EQ(lych_unshare(in, at), 0);
	EXPECT_EQ(PageOf(at), "0 r--");
	for (size_t i = 1; i < 4; i++) {
		EXPECT_EQ(PageOf(at + i * kPage), "0 rw-") << i;
	}
	ASSERT_EQ(lych_share(in, at + 2 * kPage, kPage, LYCH_SHARE_WRITE), 0) << lych_why();
	ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_poke, at + 2 * kPage), 0);
	EXPECT_EQ(at[2 * kPage], 0x5a);
	ExpectAllIsAsTheLedgerSays();
}

TEST_F(Share, BesideAnotherOneEndsByItself)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	unsigned char *at = Map(3);
	int n = 0;

	for (size_t i = 0; i < 3; i++) {
		ASSERT_EQ(lych_share(in, at + i * kPage, kPage, LYCH_SHARE_WRITE), 0);
	}
	ASSERT_EQ(lych_unshare(in, at + kPage), 0);
	EXPECT_EQ(PageOf(at), Shared(in, "rw-"));
	EXPECT_EQ(PageOf(at + kPage), "0 rw-");
	EXPECT_EQ(PageOf(at + 2 * kPage), Shared(in, "rw-"));
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at), 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at + 2 * kPage), 0);
	ExpectAllIsAsTheLedgerSays();
}

TEST_F(Share, IsRefusedForWhatIsNotTheHostsToGive)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	lych_domain *other = OpenInside(), *image = nullptr;
	struct lych_region *region = nullptr;
	lych_library_opts opts = {};
	int key = pkey_alloc(0, 0), n = 0;
	unsigned char *ours = Map(4), *again = Map(2), *hole = Map(3), *mine = Map(1);
	unsigned char here;
	std::atomic<unsigned char *> stack{nullptr};
	std::atomic<bool> over{false};
	std::thread thread([&stack, &over] {
		unsigned char byte = 0;
		(void)!lych_attach();
		stack = &byte;
		while (!over) {
			usleep(1000);
		}
	});
	while (stack == nullptr) {
		usleep(1000);
	}
	auto page = [](const volatile void *p) { return reinterpret_cast<unsigned char *>(reinterpret_cast<uint64_t>(p) & -kPage); };

	opts.size = sizeof(opts);
	opts.vault = true;
	lych_domain *vault = OpenInside(&opts);
	ASSERT_EQ(lych_domain_new(&image, nullptr), 0);
	ASSERT_EQ(lych_region_new(&region, kPage, nullptr), 0);
	ASSERT_GT(key, 0);
	ASSERT_EQ(pkey_mprotect(mine, kPage, PROT_READ | PROT_WRITE, key), 0);
	ASSERT_EQ(munmap(hole + kPage, kPage), 0);
	ASSERT_EQ(mprotect(ours + 3 * kPage, kPage, PROT_READ | PROT_EXEC), 0);
	ASSERT_EQ(lych_share(in, again, kPage, LYCH_SHARE_READ), 0) << lych_why();

	const struct {
		const char *what;
		lych_domain *domain;
		void *pages;
		size_t bytes;
		int how, rc;
	} rows[] = {
		{"no domain", nullptr, ours, kPage, LYCH_SHARE_READ, -EINVAL},
		{"an in-image domain", image, ours, kPage, LYCH_SHARE_READ, -EINVAL},
		{"a vault", vault, ours, kPage, LYCH_SHARE_READ, -EACCES},
		{"neither", in, ours, kPage, 0, -EINVAL},
		{"both", in, ours, kPage, 3, -EINVAL},
		{"not a page's start", in, ours + 8, kPage, LYCH_SHARE_READ, -EINVAL},
		{"not whole pages", in, ours, kPage - 1, LYCH_SHARE_READ, -EINVAL},
		{"nothing", in, ours, 0, LYCH_SHARE_READ, -EINVAL},
		{"NULL", in, nullptr, kPage, LYCH_SHARE_READ, -EINVAL},
		{"what wraps", in, ours, -kPage, LYCH_SHARE_READ, -EINVAL},
		{"a hole", in, hole, 3 * kPage, LYCH_SHARE_READ, -EFAULT},
		{"its end is not mapped", in, hole, 2 * kPage, LYCH_SHARE_READ, -EFAULT},
		{"its start is not mapped", in, hole + kPage, 2 * kPage, LYCH_SHARE_READ, -EFAULT},
		{"nothing is mapped", in, hole + kPage, kPage, LYCH_SHARE_READ, -EFAULT},
		{"no rights", in, Map(1, PROT_NONE), kPage, LYCH_SHARE_READ, -EFAULT},
		{"the host cannot write", in, Map(1, PROT_READ), kPage, LYCH_SHARE_WRITE, -EFAULT},
		{"code at its end", in, ours, 4 * kPage, LYCH_SHARE_READ, -EINVAL},
		{"a shared mapping", in, Map(1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS), kPage, LYCH_SHARE_READ, -EINVAL},
		{"a key of the host's", in, mine, kPage, LYCH_SHARE_READ, -EINVAL},
		{"a region", in, lych_region_address(region), kPage, LYCH_SHARE_READ, -EINVAL},
		{"its own memory", in, page(lych_alloc(in, 1)), kPage, LYCH_SHARE_READ, -EINVAL},
		{"another one's memory", in, page(lych_alloc(other, 1)), kPage, LYCH_SHARE_READ, -EINVAL},
		{"the same again", in, again, kPage, LYCH_SHARE_READ, -EBUSY},
		{"a part of it again", in, again, 2 * kPage, LYCH_SHARE_WRITE, -EBUSY},
		{"what another one has", other, again, kPage, LYCH_SHARE_READ, -EINVAL},
		{"the stack", in, page(&here), kPage, LYCH_SHARE_WRITE, -EINVAL},
		{"what the kernel has put on the stack", in, page(reinterpret_cast<void *>(getauxval(AT_RANDOM))), kPage, LYCH_SHARE_WRITE, -EINVAL},
		{"another thread's stack", in, page(stack), kPage, LYCH_SHARE_WRITE, -EINVAL},
		{"a part of it below", in, page(stack) - 16 * kPage, kPage, LYCH_SHARE_WRITE, -EINVAL},
		{"thread-local storage", in, page(&errno), kPage, LYCH_SHARE_WRITE, -EINVAL},
		{"variables of the C library", in, page(dlsym(RTLD_DEFAULT, "_IO_2_1_stdout_")), kPage, LYCH_SHARE_WRITE, -EINVAL},
		{"variables of the runtime", in, page(dlsym(RTLD_DEFAULT, "lych_gate")), kPage, LYCH_SHARE_READ, -EINVAL},
	};
	for (const auto &row : rows) {
		SCOPED_TRACE(row.what);
		EXPECT_EQ(lych_share(row.domain, row.pages, row.bytes, row.how), row.rc);
		EXPECT_NE(lych_why()[0], '\0');
		ExpectAllIsAsTheLedgerSays();
		EXPECT_EQ(PageOf(ours), "0 rw-");
		EXPECT_EQ(PageOf(ours + 3 * kPage), "0 r-x");
		EXPECT_EQ(PageOf(hole), "0 rw-");
	}
	EXPECT_EQ(lych_unshare(nullptr, ours), -EINVAL);
	EXPECT_EQ(lych_unshare(in, nullptr), -EINVAL);
	EXPECT_EQ(lych_unshare(in, ours), -EINVAL);
	EXPECT_EQ(lych_unshare(image, ours), -EINVAL);
	EXPECT_EQ(lych_unshare(other, again), -EINVAL);
	// the control: pages as these, and variables of the program's own, can be had
	EXPECT_EQ(lych_share(in, ours, 3 * kPage, LYCH_SHARE_WRITE), 0) << lych_why();
	EXPECT_EQ(lych_share(in, of_the_program, kPage, LYCH_SHARE_READ), 0) << lych_why();
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, of_the_program), 0);
	auto *block = static_cast<unsigned char *>(aligned_alloc(kPage, 4 * kPage));
	EXPECT_EQ(lych_share(in, block, 4 * kPage, LYCH_SHARE_WRITE), 0) << lych_why();
	ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_poke, block), 0);
	EXPECT_EQ(lych_unshare(in, block), 0);
	free(block);
	over = true;
	thread.join();
	EXPECT_EQ(lych_region_free(region), 0);
	EXPECT_EQ(lych_domain_free(image), 0);
	EXPECT_EQ(lych_unshare(in, of_the_program), 0);
	EXPECT_EQ(PageOf(of_the_program), "0 rw-");
	munmap(mine, kPage);
	pkey_free(key);
}

// The kernel refuses the last of three mappings: the first two are as they were.
TEST_F(Share, ThatFailsInTheMiddleLeavesNothing)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	for (int how : {LYCH_SHARE_READ, LYCH_SHARE_WRITE}) {
		auto *at = static_cast<unsigned char *>(
			mmap(nullptr, 4 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		int n = 0;
		ASSERT_EQ(madvise(at + kPage, kPage, MADV_DONTFORK), 0) << "a mapping of its own";
		if (syscall(SYS_mseal, at + 2 * kPage, kPage, 0) != 0) {
			GTEST_SKIP() << "no mseal";
		}
		EXPECT_EQ(lych_share(in, at, 3 * kPage, how), -ENOMEM);
		for (int i = 0; i < 4; i++) {
			EXPECT_EQ(PageOf(at + static_cast<size_t>(i) * kPage), "0 rw-") << i;
		}
		ExpectAllIsAsTheLedgerSays();
		EXPECT_EQ(lych_unshare(in, at), -EINVAL);
		ASSERT_EQ(lych_share(in, at, 2 * kPage, how), 0) << "the control: " << lych_why();
		ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at), 0);
		ASSERT_EQ(lych_unshare(in, at), 0);
	}
}

TEST_F(Share, EndsWithTheDomain)
{
	unsigned char *at = Map(4);

	for (bool faulted : {false, true}) {
		lych_domain *in = OpenInside();
		ASSERT_NE(in, nullptr);
		ASSERT_EQ(lych_share(in, at, kPage, LYCH_SHARE_READ), 0);
		ASSERT_EQ(lych_share(in, at + 2 * kPage, 2 * kPage, LYCH_SHARE_WRITE), 0);
		if (faulted) {
			ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_poke, at), -EFAULT);
		}
		ASSERT_EQ(Close(in), 0);
		for (size_t i = 0; i < 4; i++) {
			EXPECT_EQ(PageOf(at + i * kPage), "0 rw-") << i;
		}
		memset(at, 1, 4 * kPage);
	}
	ExpectAllIsAsTheLedgerSays();
}

// What the host does to its own pages is its own affair; what is there afterwards is not touched, and no key stays.
TEST_F(Share, OfPagesThatTheHostUnmapsMovesOrProtectsEnds)
{
	for (bool close : {false, true}) {
		lych_domain *in = OpenInside();
		ASSERT_NE(in, nullptr);
		unsigned char *at = Map(5), *to = Map(1), *last = Map(1);
		ASSERT_EQ(lych_share(in, at, 5 * kPage, LYCH_SHARE_WRITE), 0);
		// the second is unmapped, and somebody maps there what nobody may write; the third is gone
		ASSERT_EQ(munmap(at + kPage, 2 * kPage), 0);
		ASSERT_EQ(mmap(at + kPage, kPage, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), at + kPage);
		// the fourth is moved, the fifth closed
		at[3 * kPage] = 8;
		ASSERT_EQ(mremap(at + 3 * kPage, kPage, kPage, MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
		ASSERT_EQ(mprotect(at + 4 * kPage, kPage, PROT_NONE), 0);
		EXPECT_EQ(PageOf(to), Shared(in, "rw-"));
		EXPECT_EQ(PageOf(at + kPage), "0 r-x");
		ASSERT_EQ(lych_share(in, last, kPage, LYCH_SHARE_READ), 0);
		if (close) {
			ASSERT_EQ(Close(in), 0);
			EXPECT_EQ(PageOf(last), "0 rw-");
		} else {
			ASSERT_EQ(lych_unshare(in, at), 0);
			EXPECT_EQ(PageOf(last), Shared(in, "r--")) << "of another share";
		}
		EXPECT_EQ(PageOf(at), "0 rw-");
		EXPECT_EQ(PageOf(at + kPage), "0 r-x");
		EXPECT_EQ(PageOf(to), "0 rw-");
		EXPECT_EQ(to[0], 8);
		EXPECT_EQ(PageOf(at + 4 * kPage), "0 ---");
		ExpectAllIsAsTheLedgerSays();
	}
}

TEST_F(Share, HasEndsOfItsOwnInAForkedChild)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	unsigned char *at = Map(2);
	int status = -1;

	ASSERT_EQ(lych_share(in, at, kPage, LYCH_SHARE_WRITE), 0);
	ASSERT_EQ(lych_share(in, at + kPage, kPage, LYCH_SHARE_READ), 0);
	pid_t child = fork();
	if (child == 0) {
		int n = 0;
		at[0] = 3;
		bool right = PageOf(at) == Shared(in, "rw-") && LYCH_CALL(in, &n, inside_peek, at) == 0 && n == 3;
		right = right && lych_unshare(in, at) == 0 && PageOf(at) == "0 rw-" && PageOf(at + kPage) == Shared(in, "r--");
		right = right && LYCH_CALL(in, &n, inside_peek, at) == -EFAULT;
		right = right && lych_domain_free(in) == 0 && PageOf(at + kPage) == "0 rw-" && lych_verify(PrintLine, nullptr) == 0;
		_exit(right ? 0 : 3);
	}
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(at[0], 0);
	EXPECT_EQ(PageOf(at), Shared(in, "rw-"));
	EXPECT_EQ(PageOf(at + kPage), Shared(in, "r--"));
}

// G1, G8: what code inside may ask for of its own memory it may not of this.
TEST_F(Share, IsNotTheDomainsToMapOrProtect)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	unsigned char *host = Map(4);
	const long pages = 4;
	long own = 0, rc = 0;

	memset(host, 0x31, 4 * kPage);
	ASSERT_EQ(LYCH_CALL(in, &own, inside_syscall, SYS_mmap, 0, 16 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 0);
	ASSERT_GT(own, 0);
	ASSERT_EQ(lych_share(in, host, 2 * kPage, LYCH_SHARE_READ), 0);
	ASSERT_EQ(lych_share(in, host + 2 * kPage, 2 * kPage, LYCH_SHARE_WRITE), 0);
	const long bytes = pages * static_cast<long>(kPage), away = own + 8 * static_cast<long>(kPage);
	const int rw = PROT_READ | PROT_WRITE, fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, move = MREMAP_MAYMOVE | MREMAP_FIXED;
	// arg[0] is replaced: by pages of its own for the control, then by those of the host
	const struct {
		const char *what;
		long nr, arg[6];
		int which;
	} rows[] = {
		{"mprotect", SYS_mprotect, {0, bytes, rw}, 0},
		{"mprotect none", SYS_mprotect, {0, bytes, PROT_NONE}, 0},
		{"pkey_mprotect", SYS_pkey_mprotect, {0, bytes, rw, -1}, 0},
		{"madvise", SYS_madvise, {0, bytes, MADV_DONTNEED}, 0},
		{"madvise free", SYS_madvise, {0, bytes, MADV_FREE}, 0},
		{"madvise remove", SYS_madvise, {0, bytes, MADV_REMOVE}, 0},
		{"msync", SYS_msync, {0, bytes, MS_SYNC}, 0},
		{"mincore", SYS_mincore, {0, bytes, away}, 0},
		{"mlock", SYS_mlock, {0, bytes}, 0},
		{"munlock", SYS_munlock, {0, bytes}, 0},
		{"mmap over it", SYS_mmap, {0, bytes, rw, fixed, -1, 0}, 0},
		{"mmap over it, without", SYS_mmap, {0, bytes, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0}, 0},
		{"mremap in place", SYS_mremap, {0, bytes, bytes / 2, 0}, 0},
		{"mremap away", SYS_mremap, {0, bytes, bytes, move, away}, 0},
		{"mremap over it", SYS_mremap, {away, bytes, bytes, move, 0}, 4},
		{"munmap", SYS_munmap, {0, bytes}, 0},
		{"brk", SYS_brk, {0}, 0},
		{"remap_file_pages", SYS_remap_file_pages, {0, bytes, 0, 0, 0}, 0},
		{"process_madvise", 440, {-1, 0, 1, MADV_COLD, 0}, 1},
		{"mseal", SYS_mseal, {0, bytes, 0}, 0},
		{"futex", SYS_futex, {0, 1, 1}, 0},
		{"set_robust_list", SYS_set_robust_list, {0, 8}, 0},
		{"set_tid_address", SYS_set_tid_address, {0}, 0},
		{"arch_prctl fs", SYS_arch_prctl, {0x1002, 0}, 1},
	};
	for (const auto &row : rows) {
		SCOPED_TRACE(row.what);
		for (long at : {reinterpret_cast<long>(host), reinterpret_cast<long>(host + 2 * kPage)}) {
			long arg[6];
			memcpy(arg, row.arg, sizeof(arg));
			arg[row.which] = at;
			ASSERT_EQ(LYCH_CALL(in, &rc, inside_syscall, row.nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]), 0);
			if (row.nr == SYS_brk) {
				EXPECT_NE(rc, at);
			} else if (row.nr != SYS_set_tid_address) {
				EXPECT_LT(rc, 0);
			}
		}
		for (size_t i = 0; i < 4; i++) {
			EXPECT_EQ(PageOf(host + i * kPage), Shared(in, i < 2 ? "r--" : "rw-")) << i;
			EXPECT_EQ(host[i * kPage + 100], 0x31) << i;
		}
	}
	// the control: what is the domain's own it may do all that with
	for (long i : {0, 3, 10, 15}) {
		long arg[6];
		memcpy(arg, rows[i].arg, sizeof(arg));
		arg[rows[i].which] = own;
		ASSERT_EQ(LYCH_CALL(in, &rc, inside_syscall, rows[i].nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]), 0);
		EXPECT_GE(rc, 0) << rows[i].what;
	}
	ExpectAllIsAsTheLedgerSays();
}

// They have no right to the domain's key, until they touch what has it.
TEST_F(Share, IsReachedByThreadsThatAreOlderThanTheDomain)
{
	unsigned char *at = Map(1);
	std::atomic<int> step{0}, got{-1};
	std::atomic<long> told{1};
	int two[2];
	ASSERT_EQ(pipe(two), 0);
	std::thread older([&] {
		while (step < 1) {
			usleep(1000);
		}
		told = write(two[1], at, 1) == 1 ? 1 : -errno; /* the kernel's hand, before anything attaches it */
		got = *static_cast<volatile unsigned char *>(at);
		told = told * 1000 + (write(two[1], at, 1) == 1 ? 1 : -errno);
		step = 2;
		while (step < 3) {
			usleep(1000);
		}
		*static_cast<volatile unsigned char *>(at) = 6;
	});
	lych_domain *in = OpenInside();
	int n = 0;
	at[0] = 5;
	if (in != nullptr) {
		EXPECT_EQ(lych_share(in, at, kPage, LYCH_SHARE_WRITE), 0) << lych_why();
	}
	step = 1;
	while (step < 2) {
		usleep(1000);
	}
	EXPECT_EQ(got, 5);
	EXPECT_EQ(told, -EFAULT * 1000 + 1) << "as library.h says";
	step = 3;
	older.join();
	ASSERT_NE(in, nullptr);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at), 0);
	EXPECT_EQ(n, 6);
	close(two[0]);
	close(two[1]);
}

TEST_F(Share, BeginsAndEndsWhileTheLibraryRuns)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	unsigned char *at = Map(2), *held = Map(1);
	std::atomic<bool> over{false};
	std::atomic<int> wrong{0}, calls{0};
	auto *sum = static_cast<long *>(lych_calloc(in, 1, sizeof(long)));

	memset(held, 1, kPage);
	ASSERT_EQ(lych_share(in, held, kPage, LYCH_SHARE_WRITE), 0);
	std::thread caller([in, held, sum, &over, &wrong, &calls] {
		while (!over) {
			long is = 0;
			wrong += LYCH_CALL(in, LYCH_NOTHING, inside_sum_to, held, kPage, sum) != 0 ||
				 lych_copy_out(in, &is, sum, sizeof(is)) != 0 || is != static_cast<long>(kPage);
			calls++;
		}
	});
	while (calls < 2) { // it has a stack there
		usleep(1000);
	}
	size_t before = 0, after = 0;
	auto mappings = [] {
		std::ifstream maps("/proc/self/maps");
		std::string line;
		size_t lines = 0;
		while (std::getline(maps, line)) {
			lines++;
		}
		return lines;
	};
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(lych_share(in, at, 2 * kPage, i % 2 == 0 ? LYCH_SHARE_READ : LYCH_SHARE_WRITE), 0) << lych_why();
		ASSERT_EQ(lych_unshare(in, at), 0);
		(i == 0 ? before : after) = mappings();
	}
	over = true;
	caller.join();
	EXPECT_EQ(wrong, 0);
	EXPECT_EQ(after, before);
	EXPECT_EQ(PageOf(at), "0 rw-");
	ExpectAllIsAsTheLedgerSays();
}

// Each mapping that it is of is written down; and as many as the host makes of them later are found again.
TEST_F(Share, IsOfSoManyMappingsAndEndsWithMore)
{
	constexpr size_t kPages = 1200;
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	unsigned char *at = Map(kPages);
	int n = 0;

	for (size_t i = 0; i < kPages; i += 2) {
		ASSERT_EQ(mprotect(at + i * kPage, kPage, PROT_READ), 0);
	}
	EXPECT_EQ(lych_share(in, at, kPages * kPage, LYCH_SHARE_READ), -ENOMEM);
	EXPECT_EQ(PageOf(at), "0 r--");
	EXPECT_EQ(PageOf(at + kPage), "0 rw-");
	ASSERT_EQ(lych_share(in, at, 300 * kPage, LYCH_SHARE_READ), 0) << lych_why();
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at + 299 * kPage), 0);
	ASSERT_EQ(lych_unshare(in, at), 0);
	EXPECT_EQ(PageOf(at + 298 * kPage), "0 r--");
	EXPECT_EQ(PageOf(at + 299 * kPage), "0 rw-");
	for (bool close : {false, true}) {
		ASSERT_EQ(mprotect(at, kPages * kPage, PROT_READ | PROT_WRITE), 0);
		ASSERT_EQ(lych_share(in, at, kPages * kPage, LYCH_SHARE_WRITE), 0) << lych_why();
		for (size_t i = 0; i < kPages; i += 2) {
			ASSERT_EQ(mprotect(at + i * kPage, kPage, PROT_READ), 0);
		}
		ASSERT_EQ(close ? Close(in) : lych_unshare(in, at), 0);
		for (size_t i : {0, 1, 500, 1001, 1198, 1199}) {
			EXPECT_EQ(PageOf(at + i * kPage), i % 2 == 0 ? "0 r--" : "0 rw-") << i;
		}
		ExpectAllIsAsTheLedgerSays();
	}
}

} // namespace
