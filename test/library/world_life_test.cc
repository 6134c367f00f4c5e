// SPDX-License-Identifier: Apache-2.0
// The world inside a library domain: its limits, what it begins with, and how it ends.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "world_live.h"

LYCH_SYM(in, world_copy_text, void, (const char *));
LYCH_SYM(in, world_assert, void, (int));
LYCH_SYM(in, world_exit_at_once, void, (int));
LYCH_SYM(in, world_exhaust_by_new, void, (void));
LYCH_SYM(in, world_free_twice, void, (void));
LYCH_SYM(in, world_until_null, long, (size_t));
LYCH_SYM(in, world_until_no_mapping, long, (size_t));
LYCH_SYM(in, world_until_no_break, long, (size_t));
LYCH_SYM(in, world_until_no_file, long, (const char *));
LYCH_SYM(in, world_until_no_thread, long, (void));
LYCH_SYM(in, world_version, int, (void));
LYCH_SYM_VERSION(one, world_version, "WORLD_1", int, (void));
LYCH_SYM_VERSION(two, world_version, "WORLD_2", int, (void));
LYCH_SYM_VERSION(three, world_version, "WORLD_3", int, (void));
LYCH_SYM_VERSION(one, memcpy, "GLIBC_2.2.5", void *, (void *, const void *, size_t));
LYCH_SYM_VERSION(two, memcpy, "GLIBC_2.14", void *, (void *, const void *, size_t));
LYCH_SYM_VERSION(three, memcpy, "GLIBC_2.15", void *, (void *, const void *, size_t));
LYCH_SYM(in, world_chosen, int, (int));
LYCH_SYM(in, world_text_up_to_the_end, char *, (void));
LYCH_SYM(in, world_got, uint64_t *, (void));
LYCH_SYM(in, world_write, void, (uint64_t *));
LYCH_SYM(in, world_read, uint64_t, (const uint64_t *));
LYCH_SYM(in, world_guard, uint64_t, (void));
LYCH_SYM(in, world_destructors, int, (int));
LYCH_SYM(in, getauxval, unsigned long, (unsigned long));
LYCH_SYM(in, world_waits, int, (void));
LYCH_SYM(in, world_touch, int, (void));
LYCH_SYM(in, world_touched_and_gone, int, (void));
LYCH_SYM(in, world_tell_of_the_end, int, (int *, int));

namespace
{

struct Ending {
	const char *name;
	lych_fault_kind kind;
	const char *function; // of the library, on the way there
	int (*call)(lych_domain *in);
};

class WorldEndings : public World, public ::testing::WithParamInterface<Ending>
{
};

TEST_P(WorldEndings, EndTheCallAndNothingElse)
{
	lych_domain *in = OpenWorld();
	ASSERT_NE(in, nullptr);

	for (int round = 0; round < 2; round++) {
		Works(in);
		EXPECT_EQ(GetParam().call(in), -EFAULT);
		EXPECT_STREQ(lych_fault_kind_name(lych_fault(in)->kind),
			     lych_fault_kind_name(GetParam().kind));
		EXPECT_NE(Way(in).find(std::string(GetParam().function) + "+0x"), std::string::npos)
			<< Way(in);
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	}
	Works(in);
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
}

INSTANTIATE_TEST_SUITE_P(
	World, WorldEndings,
	::testing::Values(
		Ending{"AStringTooLongForItsBuffer", LYCH_FAULT_ABORT, "world_copy_text",
		       [](lych_domain *in) {
			       int rc = LYCH_CALL(in, LYCH_NOTHING, world_copy_text,
						  lych_strdup(in, "it has room"));
			       return rc != 0 ? rc
					      : LYCH_CALL(in, LYCH_NOTHING, world_copy_text,
							  lych_strdup(in, "it has room no more"));
		       }},
		Ending{"AnAssertionThatDoesNotHold", LYCH_FAULT_ABORT, "world_assert",
		       [](lych_domain *in) {
			       int rc = LYCH_CALL(in, LYCH_NOTHING, world_assert, 1);
			       return rc != 0 ? rc : LYCH_CALL(in, LYCH_NOTHING, world_assert, 0);
		       }},
		Ending{"ExitAtOnce", LYCH_FAULT_EXIT, "world_exit_at_once",
		       [](lych_domain *in) {
			       return LYCH_CALL(in, LYCH_NOTHING, world_exit_at_once, 3);
		       }},
		Ending{"NoMemoryForNew", LYCH_FAULT_ABORT, "world_exhaust_by_new",
		       [](lych_domain *in) {
			       return LYCH_CALL(in, LYCH_NOTHING, world_exhaust_by_new);
		       }},
		Ending{"ABlockFreedTwice", LYCH_FAULT_ABORT, "world_free_twice",
		       [](lych_domain *in) {
			       return LYCH_CALL(in, LYCH_NOTHING, world_free_twice);
		       }}),
	[](const auto &test) { return std::string(test.param.name); });

TEST_F(World, HasAsMuchMemoryAsItsLimitSaysAndGoesOnWhenThatIsUsedUp)
{
	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	opts.heap_bytes = 16 << 20;
	lych_domain *in = Open(LYCH_WORLDLY, &opts);
	ASSERT_NE(in, nullptr);
	const long part = 64 << 10, most = (16 << 20) / part;
	struct lych_usage usage = {};

	// malloc last: the C library does not give back what it had for threads
	for (int round = 0; round < 3; round++) {
		long n = 0;
		ASSERT_EQ(LYCH_CALL(in, &n, world_until_no_mapping, part), 0);
		EXPECT_LE(n, most) << round;
		EXPECT_GE(n, most / 2) << round;
		ASSERT_EQ(LYCH_CALL(in, &n, world_until_no_break, part), 0);
		EXPECT_LE(n, most) << round;
		EXPECT_GE(n, most / 2) << round;
		Works(in);
	}
	EXPECT_EQ(lych_library_usage(in, &usage), 0);
	EXPECT_EQ(usage.limit_bytes, opts.heap_bytes);
	EXPECT_LE(usage.used_bytes, usage.limit_bytes / 4) << "all of it has been given back";
	for (int round = 0; round < 3; round++) {
		long n = 0;
		ASSERT_EQ(LYCH_CALL(in, &n, world_until_null, part), 0);
		EXPECT_LE(n, most) << round;
		EXPECT_GE(n, most / 4) << round;
		Works(in);
	}
	EXPECT_EQ(lych_library_usage(in, &usage), 0);
	EXPECT_LE(usage.used_bytes, usage.limit_bytes);
}

TEST_F(World, ThatHasUsedUpItsMemoryIsSeenByWhatItHas)
{
	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	opts.heap_bytes = 16 << 20;
	lych_domain *in = Open(LYCH_WORLDLY, &opts);
	ASSERT_NE(in, nullptr);
	struct lych_usage usage = {};

	ASSERT_EQ(lych_library_usage(in, &usage), 0);
	EXPECT_LT(usage.used_bytes, usage.limit_bytes / 4);
	ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, world_exhaust_by_new), -EFAULT);
	ASSERT_EQ(lych_library_usage(in, &usage), 0);
	EXPECT_EQ(usage.limit_bytes, opts.heap_bytes);
	// the next block of a megabyte would be too large
	EXPECT_GT(usage.used_bytes, usage.limit_bytes - (3 << 20));
	ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	ASSERT_EQ(lych_library_usage(in, &usage), 0);
	EXPECT_LT(usage.used_bytes, usage.limit_bytes / 4);
}

TEST_F(World, HasAsManyFilesAsItsLimitSays)
{
	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	opts.policy = "files-ro:/etc/passwd";
	opts.fds = 8;
	lych_domain *in = Open(LYCH_WORLDLY, &opts);
	ASSERT_NE(in, nullptr);
	long first = 0, n = 0;

	ASSERT_EQ(LYCH_CALL(in, &first, world_until_no_file, lych_strdup(in, "/etc/passwd")), 0);
	EXPECT_EQ(first, 8);
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(LYCH_CALL(in, &n, world_until_no_file, lych_strdup(in, "/etc/passwd")),
			  0);
		EXPECT_EQ(n, first) << "they have been closed";
	}
}

TEST_F(World, HasAsManyThreadsAsItsLimitSays)
{
	for (unsigned threads : {1u, 3u, UINT_MAX}) {
		lych_library_opts opts = {};
		opts.size = sizeof(opts);
		opts.threads = threads;
		lych_domain *in = Open(LYCH_WORLDLY, &opts);
		ASSERT_NE(in, nullptr);

		for (int round = 0; round < 2; round++) {
			long n = -1;
			ASSERT_EQ(LYCH_CALL(in, &n, world_until_no_thread), 0);
			EXPECT_EQ(n, threads == UINT_MAX ? 0 : threads) << round;
		}
		struct lych_usage usage = {};
		EXPECT_EQ(lych_library_usage(in, &usage), 0);
		EXPECT_EQ(usage.threads, 0u);
		EXPECT_EQ(usage.threads_made, threads == UINT_MAX ? 0 : 2 * (threads + 50));
	}
}

TEST_F(World, HasSymbolsByVersion)
{
	lych_domain *in = OpenWorld();
	ASSERT_NE(in, nullptr);
	lych_domain *one = in, *two = in, *three = in;
	void *at = nullptr, *other = nullptr;
	int n = 0;

	ASSERT_EQ(LYCH_CALL(one, &n, world_version), 0);
	EXPECT_EQ(n, 1);
	ASSERT_EQ(LYCH_CALL(two, &n, world_version), 0);
	EXPECT_EQ(n, 2);
	ASSERT_EQ(LYCH_CALL(in, &n, world_version), 0);
	EXPECT_EQ(n, 2) << "the default one";
	EXPECT_EQ(LYCH_CALL(three, &n, world_version), -ENOENT);

	ASSERT_EQ(lych_symbol(in, &at, "world_version", "WORLD_1"), 0);
	ASSERT_EQ(lych_symbol(in, &other, "world_version", "WORLD_2"), 0);
	EXPECT_NE(at, other);
	ASSERT_EQ(lych_symbol(in, &at, "world_version", nullptr), 0);
	EXPECT_EQ(at, other);
	EXPECT_EQ(lych_symbol(in, &at, "world_version", "WORLD_3"), -ENOENT);
	EXPECT_EQ(at, nullptr);

	ASSERT_EQ(lych_load(in, "libz.so.1"), 0) << lych_why();
	EXPECT_EQ(lych_symbol(in, &at, "deflateTune", "ZLIB_1.2.2.3"), 0);
	EXPECT_EQ(lych_symbol(in, &other, "deflateTune", nullptr), 0);
	EXPECT_EQ(at, other);
	EXPECT_EQ(lych_symbol(in, &at, "deflateTune", "ZLIB_1.2.2"), -ENOENT);
}

TEST_F(World, HasWhatAnIfuncChose)
{
	lych_domain *in = OpenWorld();
	ASSERT_NE(in, nullptr);
	lych_domain *one = in, *two = in, *three = in;
	auto *to = static_cast<char *>(lych_calloc(in, 1, 16));
	void *from = lych_copy_in(in, "seven!\nand more", 16), *result = nullptr;
	int n = 0;

	ASSERT_EQ(LYCH_CALL(in, &n, world_chosen, 14), 0);
	EXPECT_EQ(n, 42);
	// memcpy is one, in both of its versions
	ASSERT_EQ(LYCH_CALL(one, &result, memcpy, to, from, 7), 0);
	EXPECT_EQ(result, to);
	EXPECT_EQ(memcmp(to, "seven!\n\0", 8), 0);
	ASSERT_EQ(LYCH_CALL(two, &result, memcpy, to, from, 16), 0);
	EXPECT_EQ(result, to);
	EXPECT_EQ(memcmp(to, "seven!\nand more", 16), 0);
	EXPECT_EQ(LYCH_CALL(three, &result, memcpy, to, from, 16), -ENOENT);
}

TEST_F(World, IsAllThatIsCopiedOutOrTo)
{
	lych_domain *in = OpenWorld();
	lych_domain *other = OpenWorld();
	ASSERT_NE(in, nullptr);
	ASSERT_NE(other, nullptr);
	auto *own = static_cast<char *>(lych_copy_in(in, "its own", 8));
	char *copy = nullptr, byte = 'b', on_stack[8] = "host's";
	static char global[8] = "host's";

	ASSERT_EQ(lych_strndup_out(in, &copy, own, 8), 0);
	EXPECT_STREQ(copy, "its own");
	free(copy);
	EXPECT_EQ(lych_strndup_out(in, &copy, own, 7), -E2BIG);
	EXPECT_EQ(copy, nullptr);
	char *heap = strdup("host's");
	const void *const foreign[] = {on_stack,
				       global,
				       heap,
				       lych_copy_in(other, "another's", 10),
				       reinterpret_cast<const void *>(&lych_symbol),
				       nullptr,
				       reinterpret_cast<const void *>(UINTPTR_MAX),
				       reinterpret_cast<const void *>(uintptr_t{1} << 63)};
	for (const void *at : foreign) {
		EXPECT_EQ(lych_verify_range(in, at, 1), -EFAULT) << at;
		EXPECT_EQ(lych_copy_out(in, &byte, at, 1), -EFAULT) << at;
		EXPECT_EQ(lych_copy_to(in, const_cast<void *>(at), "z", 1), -EFAULT) << at;
		EXPECT_EQ(lych_strndup_out(in, &copy, static_cast<const char *>(at), 8), -EFAULT)
			<< at;
		EXPECT_EQ(copy, nullptr);
	}
	EXPECT_EQ(byte, 'b');
	free(heap);

	// The longest range that begins at own, and one that is longer by a byte; and what wraps
	// around.
	size_t good = 1, bad = SIZE_MAX / 2;
	EXPECT_EQ(lych_verify_range(in, own, bad), -EFAULT);
	while (bad - good > 1) {
		size_t half = good + (bad - good) / 2;
		(lych_verify_range(in, own, half) == 0 ? good : bad) = half;
	}
	ASSERT_EQ(lych_verify_range(in, own, good), 0);
	EXPECT_EQ(lych_verify_range(in, own + good, 1), -EFAULT);
	EXPECT_EQ(lych_verify_range(in, own + good - 1, 2), -EFAULT);
	char two[2] = {'t', 'w'};
	EXPECT_EQ(lych_copy_out(in, two, own + good - 1, 2), -EFAULT);
	EXPECT_EQ(std::string(two, 2), "tw");
	EXPECT_EQ(lych_verify_range(in, own, SIZE_MAX), -EFAULT);
	EXPECT_EQ(lych_verify_range(in, own, ~reinterpret_cast<uintptr_t>(own) + 2), -EFAULT);
	EXPECT_EQ(lych_copy_out(in, two, own, SIZE_MAX - 1), -EFAULT);
	EXPECT_EQ(std::string(two, 2), "tw");

	// a text that has no end before its memory has
	char *text = nullptr, page[4097] = "";
	ASSERT_EQ(LYCH_CALL(in, &text, world_text_up_to_the_end), 0);
	EXPECT_EQ(lych_strndup_out(in, &copy, text, 4096), -E2BIG);
	EXPECT_EQ(lych_strndup_out(in, &copy, text, 8192), -EFAULT);
	EXPECT_EQ(copy, nullptr);
	EXPECT_EQ(lych_copy_out(in, page, text, 4097), -EFAULT);
	EXPECT_EQ(page[4096], '\0');
	EXPECT_EQ(lych_copy_out(in, page, text, 4096), 0);
	EXPECT_EQ(page[4095], 'x');

	// written to: what may be written there, and no hole is a fault of the host
	void *code = nullptr;
	ASSERT_EQ(lych_symbol(in, &code, "world_text_up_to_the_end", nullptr), 0);
	EXPECT_EQ(lych_copy_to(in, text, "lych", 4), 0);
	EXPECT_EQ(memcmp(text, "lychx", 5), 0);
	EXPECT_EQ(lych_copy_to(in, text, page, 4097), -EFAULT);
	EXPECT_EQ(lych_copy_to(in, text + 4096, page, 1), -EFAULT);
	ASSERT_EQ(lych_copy_out(in, &byte, code, 1), 0);
	EXPECT_EQ(lych_copy_to(in, code, "z", 1), -EFAULT);
	ASSERT_EQ(lych_copy_out(in, page, code, 1), 0);
	EXPECT_EQ(page[0], byte);
	EXPECT_EQ(lych_copy_to(in, own, "written", 8), 0);
	EXPECT_STREQ(own, "written");
	Works(in);
}

TEST_F(World, HasReadOnlyRelocations)
{
	lych_domain *in = OpenWorld();
	ASSERT_NE(in, nullptr);
	uint64_t *got = nullptr, word = 0;
	auto *own = static_cast<uint64_t *>(lych_calloc(in, 1, sizeof(uint64_t)));
	void *at = nullptr;

	ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, world_write, own), 0);
	EXPECT_EQ(*own, 0x5a5au);
	ASSERT_EQ(LYCH_CALL(in, &got, world_got), 0);
	ASSERT_EQ(LYCH_CALL(in, &word, world_read, got), 0);
	ASSERT_EQ(lych_symbol(in, &at, "malloc", nullptr), 0);
	EXPECT_EQ(word, reinterpret_cast<uint64_t>(at));
	for (int round = 0; round < 2; round++) {
		ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, world_write, got), -EFAULT);
		EXPECT_STREQ(lych_fault_kind_name(lych_fault(in)->kind),
			     lych_fault_kind_name(LYCH_FAULT_SEGV));
		EXPECT_EQ(lych_fault(in)->access, LYCH_ACCESS_WRITE);
		EXPECT_EQ(lych_fault(in)->address, reinterpret_cast<uint64_t>(got));
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	}
	ASSERT_EQ(LYCH_CALL(in, &word, world_read, got), 0);
	EXPECT_EQ(word, reinterpret_cast<uint64_t>(at));
}

TEST_F(World, HasAStackGuardOfItsOwn)
{
	lych_domain *in = OpenWorld();
	ASSERT_NE(in, nullptr);
	uint64_t host, first = 0, second = 0, again = 0;

	__asm__ volatile("mov %%fs:0x28, %0" : "=r"(host));
	ASSERT_EQ(LYCH_CALL(in, &first, world_guard), 0);
	ASSERT_EQ(LYCH_CALL(in, &again, world_guard), 0);
	in = OpenWorld();
	ASSERT_NE(in, nullptr);
	ASSERT_EQ(LYCH_CALL(in, &second, world_guard), 0);
	EXPECT_NE(first, 0u);
	EXPECT_NE(second, 0u);
	EXPECT_EQ(first & 0xff, 0u) << "a string ends there";
	EXPECT_EQ(first, again);
	EXPECT_NE(first, second);
	EXPECT_NE(first, host);
	EXPECT_NE(second, host);
}

// What the kernel gives a program at its start it has of the runtime: no vDSO, whose data is the host's, random bytes and
// addresses of its own, and nothing that the kernel writes to when it switches threads.
TEST_F(World, BeginsWithWhatIsItsOwn)
{
	std::string host(reinterpret_cast<char *>(getauxval(AT_RANDOM)), 16), random[2];
	void *malloc_at[2] = {};

	ASSERT_NE(getauxval(AT_SYSINFO_EHDR), 0u) << "the control: the host has one";
	for (int i = 0; i < 2; i++) {
		lych_domain *in = OpenWorld();
		ASSERT_NE(in, nullptr);
		unsigned long value = 1;
		void *at = nullptr;
		char bytes[16];

		ASSERT_EQ(LYCH_CALL(in, &value, getauxval, AT_SYSINFO_EHDR), 0);
		EXPECT_EQ(value, 0u);
		ASSERT_EQ(LYCH_CALL(in, &value, getauxval, AT_RANDOM), 0);
		ASSERT_EQ(lych_copy_out(in, bytes, reinterpret_cast<void *>(value), 16), 0);
		random[i].assign(bytes, 16);
		ASSERT_EQ(lych_symbol(in, &at, "__rseq_size", nullptr), 0);
		EXPECT_EQ(*static_cast<unsigned *>(at), 0u);
		ASSERT_EQ(lych_symbol(in, &malloc_at[i], "malloc", nullptr), 0);
		EXPECT_GT(reinterpret_cast<uintptr_t>(malloc_at[i]), uintptr_t{1} << 32);
		EXPECT_NE(malloc_at[i], dlsym(RTLD_DEFAULT, "malloc"));
		ASSERT_EQ(Close(in), 0); // what it had can be had again
	}
	EXPECT_NE(random[0], host);
	EXPECT_NE(random[1], host);
	EXPECT_NE(random[0], random[1]);
	EXPECT_NE(malloc_at[0], malloc_at[1]);
}

TEST_F(World, HasWhatThreadsWaitForAndMeetBy)
{
	lych_domain *in = OpenWorld();
	ASSERT_NE(in, nullptr);
	int wrong = -1;

	for (int round = 0; round < 2; round++) {
		ASSERT_EQ(LYCH_CALL(in, &wrong, world_waits), 0);
		EXPECT_EQ(wrong, 0) << std::hex << wrong;
	}
	struct lych_usage usage = {};
	EXPECT_EQ(lych_library_usage(in, &usage), 0);
	EXPECT_EQ(usage.threads, 0u);
	EXPECT_EQ(usage.threads_made, 10u);
}

TEST_F(World, RunsDestructorsOfThreadsThatEnd)
{
	lych_domain *in = OpenWorld();
	ASSERT_NE(in, nullptr);
	int n = 0;

	for (int round = 0; round < 2; round++) {
		ASSERT_EQ(LYCH_CALL(in, &n, world_destructors, 5), 0);
		EXPECT_EQ(n, 505);
	}
}

TEST_F(World, RunsDestructorsOfThreadsOfTheHostThatEnd)
{
	lych_domain *in = OpenWorld();
	ASSERT_NE(in, nullptr);
	std::atomic<int> wrong{0};
	int n = 0;

	for (int round = 0; round < 2; round++) {
		std::vector<std::thread> threads;
		for (int i = 0; i < 5; i++) {
			threads.emplace_back([in, &wrong] {
				wrong += LYCH_CALL(in, nullptr, world_touch) != 0;
			});
		}
		for (auto &t : threads) {
			t.join();
		}
		EXPECT_EQ(wrong, 0);
		ASSERT_EQ(LYCH_CALL(in, &n, world_touched_and_gone), 0);
		EXPECT_EQ(n, 505);
	}
}

// It tells by a page of the host's that is shared with it. They have a second, which a busy machine may not give them: then it
// is opened again.
TEST_F(World, RunsDestructorsWhenItIsClosed)
{
	auto *told = static_cast<int *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
					     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	ASSERT_NE(told, MAP_FAILED);
	enum { ENDS, NEVER_ENDS, HAS_FAULTED };
	for (int how : {ENDS, NEVER_ENDS, HAS_FAULTED}) {
		const int each = how == HAS_FAULTED ? 0 : 1, last = how == ENDS;
		for (int i = 0; i == 0 || (i < 20 && (told[2] != each || told[3] != last)); i++) {
			lych_domain *in = OpenWorld();
			ASSERT_NE(in, nullptr);
			int n = -1;

			memset(told, 0, 4 * sizeof(*told));
			ASSERT_EQ(lych_share(in, told, 4096, LYCH_SHARE_WRITE), 0) << lych_why();
			ASSERT_EQ(LYCH_CALL(in, &n, world_tell_of_the_end, told, how == NEVER_ENDS),
				  0);
			ASSERT_EQ(n, 0);
			ASSERT_EQ(told[0] + told[1] + told[2], 0) << "before";
			if (how == HAS_FAULTED) {
				ASSERT_EQ(LYCH_CALL(in, LYCH_NOTHING, world_assert, 0), -EFAULT);
			}
			ASSERT_EQ(Close(in), 0) << lych_why();
		}
		EXPECT_EQ(told[0], each) << how << ", by atexit";
		EXPECT_EQ(told[1], each) << how << ", of an object";
		EXPECT_EQ(told[2], each) << how << ", of the library";
		EXPECT_EQ(told[3], last) << how << ", it has come to its end";
	}
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
	munmap(told, 4096);
}

} // namespace

#ifdef LYCH_OPENMP

LYCH_SYM(in, openmp_sum, long, (int, long));
LYCH_SYM(in, openmp_threads, int, (int));
LYCH_SYM(in, openmp_abort, void, (int));

namespace
{

TEST_F(World, HasOpenmp)
{
	lych_domain *in = Open(LYCH_OPENMP);
	ASSERT_NE(in, nullptr);

	for (int round = 0; round < 3; round++) {
		long sum = 0;
		int n = 0;
		ASSERT_EQ(LYCH_CALL(in, &sum, openmp_sum, 2, 10000), 0) << round;
		EXPECT_EQ(sum, 50005000) << round;
		ASSERT_EQ(LYCH_CALL(in, &n, openmp_threads, 2), 0) << round;
		EXPECT_EQ(n, 2) << round;
		// a thread of its pool, and in the second round the host's
		EXPECT_NE(LYCH_CALL(in, LYCH_NOTHING, openmp_abort, 2 - round % 2), 0) << round;
		EXPECT_STREQ(lych_fault_kind_name(lych_fault(in)->kind),
			     lych_fault_kind_name(LYCH_FAULT_ABORT))
			<< round;
		ASSERT_EQ(lych_domain_reset(in), 0) << lych_why();
	}
	EXPECT_EQ(lych_verify(PrintLine, nullptr), 0);
}

} // namespace

#endif
