// SPDX-License-Identifier: Apache-2.0
// Library domains: a library of the system, and one of our own, opened, called, broken and reset.
#include <gtest/gtest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <lychgate/lychgate.h>

#include "inside.h"
#include "library_live.h"

extern "C" {
unsigned long crc32(unsigned long crc, const unsigned char *buf, unsigned int len);
int compress(unsigned char *dst, unsigned long *dst_len, const unsigned char *src, unsigned long src_len);
int uncompress(unsigned char *dst, unsigned long *dst_len, const unsigned char *src, unsigned long src_len);
LYCH_SYM(z, crc32, unsigned long, (unsigned long, const unsigned char *, unsigned int));
LYCH_SYM(z, compress, int, (unsigned char *, unsigned long *, const unsigned char *, unsigned long));
LYCH_SYM(z, uncompress, int, (unsigned char *, unsigned long *, const unsigned char *, unsigned long));
}

LYCH_SYM(in, inside_add, int, (int, int));
LYCH_SYM(in, inside_mean, double, (double, double, int));
LYCH_SYM(in, inside_count, int, (void));
LYCH_SYM(in, inside_next_value, int, (void));
LYCH_SYM(in, inside_allocate, long, (size_t));
LYCH_SYM(in, inside_text, char *, (const char *));
using Step = int (*)(int);
LYCH_SYM(in, inside_apply, int, (Step, int));
LYCH_SYM(in, inside_errno_of_open, int, (const char *));
LYCH_SYM(in, inside_thread_sum, long, (int, int));
LYCH_SYM(in, inside_meet, int, (int));
LYCH_SYM(in, inside_cpp, int, (int));
LYCH_SYM(in, inside_peek, int, (const volatile unsigned char *));
LYCH_SYM(in, inside_poke, void, (volatile unsigned char *));
LYCH_SYM(in, inside_abort, void, (void));
LYCH_SYM(in, inside_exit, void, (int));
LYCH_SYM(in, inside_recurse, int, (int));
LYCH_SYM(in, inside_loop, void, (void));
LYCH_SYM(in, inside_loop_without_signals, void, (void));
LYCH_SYM(in, inside_throw, void, (void));
LYCH_SYM(in, inside_divide, int, (int, int));
LYCH_SYM(in, inside_smash, void, (size_t));
LYCH_SYM(in, inside_syscall, long, (long, long, long, long, long, long, long));
LYCH_SYM(other, inside_peek, int, (const volatile unsigned char *));

static int twice(int n)
{
	return 2 * n + *static_cast<int *>(lych_callback_ctx());
}
LYCH_CALLBACK(twice, int, (int));

namespace {

using Library = LibraryDomain;

TEST_F(Library, OfTheSystemIsOpenedAndComputes)
{
	lych_domain *z = Open("libz.so.1");
	ASSERT_NE(z, nullptr);
	void *text = lych_copy_in(z, "hello", 5);
	unsigned long crc = 0;
	ASSERT_EQ(LYCH_CALL(z, &crc, crc32, 0, static_cast<unsigned char *>(text), 5), 0);
	EXPECT_EQ(crc, 0x3610a686u);

	std::string before(30000, 'a');
	auto *src = static_cast<unsigned char *>(lych_copy_in(z, before.data(), before.size()));
	auto *packed = static_cast<unsigned char *>(lych_alloc(z, 20000));
	auto *length = static_cast<unsigned long *>(lych_alloc(z, sizeof(unsigned long)));
	int result = -1;
	*length = 20000;
	ASSERT_EQ(LYCH_CALL(z, &result, compress, packed, length, src, before.size()), 0);
	EXPECT_EQ(result, 0);
	EXPECT_LT(*length, 100u);
	unsigned long packed_length = *length;
	auto *back = static_cast<unsigned char *>(lych_alloc(z, before.size()));
	*length = before.size();
	ASSERT_EQ(LYCH_CALL(z, &result, uncompress, back, length, packed, packed_length), 0);
	EXPECT_EQ(result, 0);
	std::string after(before.size(), '\0');
	ASSERT_EQ(lych_copy_out(z, &after[0], back, after.size()), 0);
	EXPECT_EQ(after, before);
}

TEST_F(Library, HasAHeapStdioThreadLocalStorageAndConstructorsOfItsOwn)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	int n = 0;
	double mean = 0;
	long sum = 0;
	char *text = nullptr;

	ASSERT_EQ(LYCH_CALL(in, &n, inside_add, 40, 2), 0);
	EXPECT_EQ(n, 42);
	ASSERT_EQ(LYCH_CALL(in, &mean, inside_mean, 1.5, 2.5, 2), 0);
	EXPECT_EQ(mean, 2.0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_next_value), 0);
	EXPECT_EQ(n, 42);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_count), 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_count), 0);
	EXPECT_EQ(n, 2);
	ASSERT_EQ(LYCH_CALL(in, &sum, inside_allocate, size_t{1} << 20), 0);
	EXPECT_EQ(sum, 256);
	ASSERT_EQ(LYCH_CALL(in, &text, inside_text, lych_strdup(in, "gate")), 0);
	char *copy = nullptr;
	ASSERT_EQ(lych_strndup_out(in, &copy, text, 100), 0);
	EXPECT_STREQ(copy, "hello, gate: 0.500");
	free(copy);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_cpp, 10), 0);
	EXPECT_EQ(n, 10);
}

TEST_F(Library, CallsBackIntoTheHost)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	int add = 1, sum = 0;
	int (*fn)(int) = nullptr;

	ASSERT_EQ(lych_callback(&fn, in, twice, &add), 0);
	ASSERT_EQ(LYCH_CALL(in, &sum, inside_apply, fn, 10), 0);
	EXPECT_EQ(sum, 100);
}

TEST_F(Library, ThreadsOfTheHostHaveThreadLocalStorageEach)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	std::atomic<int> wrong{0};
	std::vector<std::thread> threads;

	for (int i = 0; i < 8; i++) {
		threads.emplace_back([in, &wrong] {
			for (int k = 1; k <= 20; k++) {
				int n = 0;
				if (LYCH_CALL(in, &n, inside_count) != 0 || n != k) {
					wrong++;
				}
			}
		});
	}
	for (auto &t : threads) {
		t.join();
	}
	EXPECT_EQ(wrong, 0);
}

TEST_F(Library, HasSixtyFourThreadsOfTheHostInsideAtOnce)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	std::atomic<int> wrong{0};
	std::vector<std::thread> threads;

	for (int i = 0; i < 64; i++) {
		threads.emplace_back([in, i, &wrong] {
			int n = 0;
			for (int k = 0; k < i % 4; k++) {
				wrong += LYCH_CALL(in, &n, inside_count) != 0;
			}
			// none gets out before all are in; and what is thread-local is each one's own
			if (LYCH_CALL_TIMEOUT(in, 60000, &n, inside_meet, 64) != 0 || n != i % 4) {
				wrong++;
			}
		});
	}
	for (auto &t : threads) {
		t.join();
	}
	EXPECT_EQ(wrong, 0);
	// they have ended inside, too, and that was no fault
	int n = 0;
	EXPECT_EQ(LYCH_CALL(in, &n, inside_add, 40, 2), 0);
	EXPECT_EQ(n, 42);
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
}

TEST_F(Library, MakesThreadsOfItsOwn)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	long sum = 0;

	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(LYCH_CALL(in, &sum, inside_thread_sum, 4, 100), 0);
		EXPECT_EQ(sum, 4 * 5050);
	}
}

TEST_F(Library, CannotReadOrWriteTheHost)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	static unsigned char secret[16] = "secret";
	int n = 0;

	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, secret), -EFAULT);
	const struct lych_fault *f = lych_fault(in);
	EXPECT_EQ(f->kind, LYCH_FAULT_KEY);
	EXPECT_EQ(f->key, 0);
	EXPECT_EQ(f->access, LYCH_ACCESS_READ);
	EXPECT_EQ(f->address, reinterpret_cast<uint64_t>(secret));
	EXPECT_EQ(LYCH_CALL(in, &n, inside_add, 1, 1), -EOWNERDEAD);
	ASSERT_EQ(lych_domain_reset(in), 0);
	ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_poke, secret), -EFAULT);
	EXPECT_EQ(lych_fault(in)->access, LYCH_ACCESS_WRITE);
	EXPECT_EQ(memcmp(secret, "secret", 7), 0);
}

TEST_F(Library, IsAsGoodAsNewAfterAReset)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	int n = 0;

	for (int round = 0; round < 5; round++) {
		ASSERT_EQ(LYCH_CALL(in, &n, inside_next_value), 0) << round;
		EXPECT_EQ(n, 42) << round;
		ASSERT_EQ(LYCH_CALL(in, &n, inside_count), 0);
		EXPECT_EQ(n, 1) << round;
		ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_abort), -EFAULT);
		EXPECT_EQ(lych_fault(in)->kind, LYCH_FAULT_ABORT);
		ASSERT_EQ(lych_domain_reset(in), 0) << round;
	}
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
}

struct Ending {
	const char *name;
	int status;
	lych_fault_kind kind;
	const char *function; // of the library, on the way there
	int (*call)(lych_domain *in);
};

class Endings : public Library, public ::testing::WithParamInterface<Ending> {};

TEST_P(Endings, EndTheCallAndNothingElse)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	int n = 0;

	EXPECT_EQ(GetParam().call(in), GetParam().status);
	EXPECT_EQ(lych_fault_kind_name(lych_fault(in)->kind), lych_fault_kind_name(GetParam().kind));
	EXPECT_NE(Way(in).find(std::string(GetParam().function) + "+0x"), std::string::npos) << Way(in);
	ASSERT_EQ(lych_domain_reset(in), 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_add, 40, 2), 0);
	EXPECT_EQ(n, 42);
}

INSTANTIATE_TEST_SUITE_P(
	Library, Endings,
	::testing::Values(
		Ending{"Abort", -EFAULT, LYCH_FAULT_ABORT, "inside_abort",
		       [](lych_domain *in) { return LYCH_CALL(in, LYCH_NOTHING, inside_abort); }},
		Ending{"Exit", -EFAULT, LYCH_FAULT_EXIT, "inside_exit",
		       [](lych_domain *in) { return LYCH_CALL(in, LYCH_NOTHING, inside_exit, 3); }},
		Ending{"Recursion", -EFAULT, LYCH_FAULT_STACK, "inside_recurse",
		       [](lych_domain *in) { return LYCH_CALL(in, nullptr, inside_recurse, 0); }},
		Ending{"AnExceptionThatNobodyCatches", -EFAULT, LYCH_FAULT_ABORT, "inside_throw",
		       [](lych_domain *in) { return LYCH_CALL(in, LYCH_NOTHING, inside_throw); }},
		Ending{"Division", -EFAULT, LYCH_FAULT_FPE, "inside_divide",
		       [](lych_domain *in) { return LYCH_CALL(in, nullptr, inside_divide, 1, 0); }},
		Ending{"ASmashedStack", -EFAULT, LYCH_FAULT_ABORT, "inside_smash",
		       [](lych_domain *in) { return LYCH_CALL(in, LYCH_NOTHING, inside_smash, 64); }},
		Ending{"ALoop", -ETIMEDOUT, LYCH_FAULT_DEADLINE, "inside_loop",
		       [](lych_domain *in) { return LYCH_CALL_TIMEOUT(in, 50, LYCH_NOTHING, inside_loop); }},
		Ending{"ALoopWithAllSignalsBlocked", -ETIMEDOUT, LYCH_FAULT_DEADLINE, "inside_loop_without_signals",
		       [](lych_domain *in) { return LYCH_CALL_TIMEOUT(in, 50, LYCH_NOTHING, inside_loop_without_signals); }}),
	[](const auto &test) { return std::string(test.param.name); });

TEST_F(Library, HasNoFilesUnlessItsPolicySaysSo)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	int n = 0;

	ASSERT_EQ(LYCH_CALL(in, &n, inside_errno_of_open, lych_strdup(in, "/proc/self/mem")), 0);
	EXPECT_NE(n, 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_errno_of_open, lych_strdup(in, "/etc/passwd")), 0);
	EXPECT_NE(n, 0);
}

TEST_F(Library, IsFoundByAPathFromTheWorkingDirectory)
{
	std::string path = LYCH_INSIDE, folder = path.substr(0, path.rfind('/'));
	char before[4096];
	int n = 0;

	ASSERT_NE(getcwd(before, sizeof(before)), nullptr);
	ASSERT_EQ(chdir(folder.c_str()), 0);
	lych_domain *in = Open("./inside.so");
	ASSERT_EQ(chdir(before), 0);
	ASSERT_NE(in, nullptr);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_add, 40, 2), 0);
	EXPECT_EQ(n, 42);
	// another one, by its path and by its name, into the same domain
	ASSERT_EQ(lych_load(in, "libz.so.1"), 0) << lych_why();
	ASSERT_EQ(lych_load(in, path.c_str()), 0) << lych_why();
	void *at = nullptr;
	EXPECT_EQ(lych_symbol(in, &at, "crc32", nullptr), 0);
	EXPECT_EQ(lych_symbol(in, &at, "crc33", nullptr), -ENOENT);
	EXPECT_EQ(at, nullptr);
}

/* ld.so.cache with one library in it; only where there is none. */
class OneInCache {
public:
	OneInCache(const std::string &soname, const std::string &path)
	{
		struct {
			char magic[20];
			uint32_t count, text_bytes;
			uint8_t flags, pad[3];
			uint32_t extension, unused[3];
			int32_t entry_flags;
			uint32_t name, path, version;
			uint64_t capabilities;
		} head = {{}, 1, 0, 2, {}, 0, {}, 0x303, 72, 0, 0, 0};
		static_assert(sizeof(head) == 72, "as glibc has it");
		memcpy(head.magic, "glibc-ld.so.cache1.1", sizeof(head.magic));
		std::string text = soname + '\0' + path + '\0';
		head.path = static_cast<uint32_t>(72 + soname.size() + 1);
		head.text_bytes = static_cast<uint32_t>(text.size());
		text.insert(0, reinterpret_cast<const char *>(&head), sizeof(head));
		int fd = open("/etc/ld.so.cache", O_WRONLY | O_CREAT | O_EXCL, 0644);
		made_ = fd >= 0;
		if (made_) {
			made_ = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
			close(fd);
		}
	}
	~OneInCache()
	{
		if (made_) {
			unlink("/etc/ld.so.cache");
		}
	}
	bool made() const { return made_; }

private:
	bool made_;
};

TEST_F(Library, IsFoundInADirectoryThatOnlyTheCacheOfTheSystemNames)
{
	char dir[] = "/tmp/cacheXXXXXX";
	ASSERT_NE(mkdtemp(dir), nullptr);
	const std::string file = std::string(dir) + "/libonlyincache.so.1";
	std::ifstream from(LYCH_INSIDE, std::ios::binary);
	std::ofstream(file, std::ios::binary) << from.rdbuf();
	lych_domain *in = nullptr;
	int n = 0;

	EXPECT_EQ(lych_open(&in, "libonlyincache.so.1", nullptr), -ENOENT);
	{
		OneInCache cache("libonlyincache.so.1", file);
		if (!cache.made()) {
			unlink(file.c_str());
			rmdir(dir);
			GTEST_SKIP() << "there is one, or it cannot be written";
		}
		in = Open("libonlyincache.so.1");
		ASSERT_NE(in, nullptr);
		ASSERT_EQ(LYCH_CALL(in, &n, inside_add, 1, 2), 0);
		EXPECT_EQ(n, 3);
		ASSERT_EQ(LYCH_CALL(in, &n, inside_errno_of_open, lych_strdup(in, file.c_str())), 0);
		EXPECT_EQ(n, EACCES) << "only while libraries are loaded";
	}
	unlink(file.c_str());
	rmdir(dir);
}

TEST_F(Library, ThatIsNotThereIsToldByName)
{
	lych_domain *none = nullptr;

	EXPECT_EQ(lych_open(&none, "libnobodyhasit.so.7", nullptr), -ENOENT);
	EXPECT_EQ(none, nullptr);
	EXPECT_NE(std::string(lych_why()).find("libnobodyhasit.so.7"), std::string::npos) << lych_why();
}

TEST_F(Library, OpenedAndClosedLeavesNothing)
{
	for (int i = 0; i < 20; i++) {
		lych_domain *in = OpenInside();
		ASSERT_NE(in, nullptr) << i << ": " << lych_why();
		int n = 0;
		ASSERT_EQ(LYCH_CALL(in, &n, inside_add, i, 2), 0);
		EXPECT_EQ(n, i + 2);
		ASSERT_EQ(Close(in), 0);
	}
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
}

struct Meanwhile {
	lych_domain *in;
	struct lych_region *region;
	int said;
};

} // namespace

static int asks_for_more(int n)
{
	auto *m = static_cast<Meanwhile *>(lych_callback_ctx());

	m->said = lych_region_grant(m->region, m->in, LYCH_GRANT_WRITE);
	return n;
}
LYCH_CALLBACK(asks_for_more, int, (int));

static jmp_buf away;
static int jumps_away(int)
{
	longjmp(away, 1);
}
LYCH_CALLBACK(jumps_away, int, (int));

namespace {

TEST_F(Library, ReadsAndWritesARegionAsItIsGranted)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	lych_domain *other = OpenInside();
	struct lych_region *region = nullptr;
	ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);
	auto *at = static_cast<unsigned char *>(lych_region_address(region));
	LYCH_WRITE(unsigned char, byte, region)
	{
		*byte = 7;
	}
	int n = 0, sum = 0;

	EXPECT_EQ(lych_region_grant(region, in, LYCH_GRANT_READ), 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at), 0);
	EXPECT_EQ(n, 7);
	EXPECT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_poke, at), -EFAULT);
	EXPECT_EQ(lych_fault(in)->key, lych_region_key(region));
	EXPECT_EQ(lych_fault(in)->access, LYCH_ACCESS_WRITE);
	EXPECT_EQ(LYCH_CALL(other, &n, inside_peek, at), -EFAULT) << "it is granted to one";
	ASSERT_EQ(lych_domain_reset(in), 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at), 0) << "a reset keeps it";
	EXPECT_EQ(lych_region_grant(region, in, LYCH_GRANT_WRITE), 0);
	ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, inside_poke, at), 0);
	LYCH_READ(unsigned char, byte, region)
	{
		EXPECT_EQ(*byte, 0x5a);
	}
	// not while somebody is inside, whose view stays as it is
	EXPECT_EQ(lych_region_grant(region, in, LYCH_GRANT_NONE), 0);
	Meanwhile m = {in, region, 1};
	int (*fn)(int) = nullptr;
	ASSERT_EQ(lych_callback(&fn, in, asks_for_more, &m), 0);
	ASSERT_EQ(LYCH_CALL(in, &sum, inside_apply, fn, 1), 0);
	EXPECT_EQ(m.said, -EBUSY);
	EXPECT_EQ(LYCH_CALL(in, &n, inside_peek, at), -EFAULT);
	EXPECT_EQ(lych_region_grant(nullptr, in, LYCH_GRANT_READ), -EINVAL);
	EXPECT_EQ(lych_region_grant(region, nullptr, LYCH_GRANT_READ), -EINVAL);
	EXPECT_EQ(lych_region_grant(region, in, static_cast<lych_grant>(3)), -EINVAL);
	// it ends with the domain, and its key with it
	EXPECT_EQ(lych_region_grant(region, other, LYCH_GRANT_WRITE), 0);
	EXPECT_EQ(lych_region_free(region), -EBUSY);
	ASSERT_EQ(Close(other), 0);
	EXPECT_EQ(lych_region_free(region), 0);
}

/* One thread calls all the time, others for the first time; what is granted changes until both have often met. */
TEST_F(Library, LetsCallsWaitThatBeginWhileWhatIsGrantedChanges)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	struct lych_region *region = nullptr;
	ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);
	std::atomic<bool> enough{false};
	std::atomic<int> calls{0}, failed{0};
	auto call = [&] {
		int n = 0;
		int rc = LYCH_CALL(in, &n, inside_add, 1, 2);
		calls++;
		failed += rc != 0 || n != 3;
		EXPECT_EQ(rc, 0);
	};
	std::thread often([&] {
		while (!enough && failed == 0) {
			call();
			sched_yield();
		}
	});
	std::thread newcomers([&] {
		while (!enough && failed == 0) {
			std::thread(call).join();
		}
	});

	for (int granted = 0, busy = 0; (granted < 100 || calls < 1000) && failed == 0;) {
		int rc = lych_region_grant(region, in, granted % 2 == 0 ? LYCH_GRANT_READ : LYCH_GRANT_NONE);
		granted += rc == 0;
		busy += rc != 0;
		EXPECT_TRUE(rc == 0 || rc == -EBUSY) << rc;
		failed += (rc != 0 && rc != -EBUSY) || busy == 10000000;
	}
	enough = true;
	often.join();
	newcomers.join();
	EXPECT_EQ(failed, 0);
	EXPECT_EQ(Close(in), 0);
	EXPECT_EQ(lych_region_free(region), 0);
}

TEST_F(Library, GrantsNoRegionThatWasFreed)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	struct lych_region *region = nullptr;
	ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);
	ASSERT_EQ(lych_region_free(region), 0);
	EXPECT_EQ(lych_region_grant(region, in, LYCH_GRANT_READ), -EINVAL) << "its key may be somebody else's";
}

TEST_F(Library, IsNotInsideACallThatWasLeftByLongjmpForGrantsAndLoads)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	struct lych_region *region = nullptr;
	ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);
	auto *at = static_cast<unsigned char *>(lych_region_address(region));
	int (*fn)(int) = nullptr;
	ASSERT_EQ(lych_callback(&fn, in, jumps_away, nullptr), 0);
	int n = 1, sum = 0;

	if (setjmp(away) == 0) {
		(void)!LYCH_CALL(in, &sum, inside_apply, fn, 1);
		FAIL() << "it has come back";
	}
	EXPECT_EQ(lych_region_grant(region, in, LYCH_GRANT_READ), 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_peek, at), 0);
	EXPECT_EQ(n, 0);
	if (setjmp(away) == 0) {
		(void)!LYCH_CALL(in, &sum, inside_apply, fn, 1);
		FAIL() << "it has come back";
	}
	EXPECT_EQ(lych_load(in, LYCH_INSIDE), 0) << lych_why();
	ASSERT_EQ(Close(in), 0);
	EXPECT_EQ(lych_region_free(region), 0);
}

TEST_F(Library, CannotGiveARegionToSystemCalls)
{
	lych_domain *in = OpenInside();
	ASSERT_NE(in, nullptr);
	struct lych_region *region = nullptr;
	ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);
	auto at = reinterpret_cast<long>(lych_region_address(region));
	long n = 0;

	ASSERT_EQ(lych_region_grant(region, in, LYCH_GRANT_WRITE), 0);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_syscall, SYS_getrandom, at, 100, 0, 0, 0, 0), 0);
	EXPECT_EQ(n, -EFAULT);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_syscall, SYS_munmap, at, 4096, 0, 0, 0, 0), 0);
	EXPECT_EQ(n, -EINVAL);
	ASSERT_EQ(LYCH_CALL(in, &n, inside_syscall, SYS_mprotect, at, 4096, PROT_NONE, 0, 0, 0), 0);
	EXPECT_LT(n, 0);
	EXPECT_EQ(lych_region_grant(region, in, LYCH_GRANT_NONE), 0);
	EXPECT_EQ(lych_region_free(region), 0);
}

} // namespace
