// SPDX-License-Identifier: Apache-2.0
// The start of a library domain: loader and stub work with this system's C library, and with another one, in plain
// memory and without any isolation (loader_world.h). That they are isolated is what test/live looks at.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "in_child.h"
extern "C" {
#include "loader_world.h"
}

extern char **environ;

namespace
{

using ::testing::HasSubstr;

#ifdef LYCH_DEBIAN13
const bool kDebian13 = true;
#define LIBRARIES13 LYCH_DEBIAN13 "/usr/lib/x86_64-linux-gnu"
#else
const bool kDebian13 = false;
#define LIBRARIES13 ""
#endif
const char *const kLibrary = LOADER_LIBRARY;
const char *const kPlusPlus = LOADER_PLUS_PLUS;

struct Loaded {
	int err = -1;
	std::string why;
};

class Loader : public ::testing::TestWithParam<std::string> {
protected:
	lych_library_opts Opts() const
	{
		lych_library_opts opts = {};

		opts.size = sizeof(opts);
		if (GetParam() == "Debian13") {
			opts.loader = LIBRARIES13 "/ld-linux-x86-64.so.2";
			opts.search = LIBRARIES13;
		}
		return opts;
	}
	// In a child that has a domain.
	void Inside(const std::function<void()> &fn) const
	{
		in_child([&] {
			const lych_library_opts opts = Opts();

			ASSERT_EQ(world_begin(), 0);
			ASSERT_EQ(world_start(&opts, "tested"), 0) << lych_why();
			ASSERT_EQ(world.how, WORLD_PRIVATE) << world.value;
			ASSERT_EQ(world.value, uint64_t{INSIDE_READY});
			ASSERT_EQ(world.table.bytes, sizeof(world.table));
			fn();
		});
	}
	static uint64_t On(uint64_t fs, uint64_t fn, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0)
	{
		return world_call(fs, fn, a, b, c, 0);
	}
	static uint64_t Call(uint64_t fn, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0)
	{
		return On(world.main_fs, fn, a, b, c);
	}
	static uint64_t At(const void *p)
	{
		return reinterpret_cast<uint64_t>(p);
	}
	static Loaded Load(const char *path)
	{
		Loaded loaded;
		char why[256] = "untouched";

		loaded.err = static_cast<int>(Call(world.table.load, At(path), At(why), sizeof(why)));
		EXPECT_EQ(world.how, WORLD_RETURNED) << world.value;
		loaded.why = why;
		return loaded;
	}
	static uint64_t Symbol(const char *name, const char *version = nullptr)
	{
		uint64_t at = Call(world.table.symbol, At(name), At(version));

		EXPECT_EQ(world.how, WORLD_RETURNED);
		return at;
	}
	static void Need(const char *path)
	{
		const Loaded loaded = Load(path);

		ASSERT_EQ(loaded.err, 0) << loaded.why;
	}
	// Returns its fs base.
	static uint64_t Spawn()
	{
		int rc = static_cast<int>(Call(world.table.spawn));

		EXPECT_EQ(world.how, WORLD_RETURNED);
		EXPECT_EQ(rc, 0);
		EXPECT_TRUE(world.cloned);
		world_begin_thread();
		EXPECT_EQ(world.how, WORLD_PRIVATE) << world.value;
		EXPECT_EQ(world.value, uint64_t{INSIDE_PARK});
		return world.thread_fs;
	}
	static void Finish(uint64_t fs)
	{
		On(fs, world.table.finish);
		EXPECT_EQ(world.how, WORLD_THREAD_EXIT) << world.value;
	}
};

std::vector<std::string> Systems()
{
	return kDebian13 ? std::vector<std::string>{"System", "Debian13"} : std::vector<std::string>{"System"};
}
INSTANTIATE_TEST_SUITE_P(C, Loader, ::testing::ValuesIn(Systems()), [](const auto &row) { return row.param; });

TEST_P(Loader, StartsALibraryOfTheSystem)
{
	Inside([] {
		char hello[] = "hello";

		Need("libz.so.1");
		const uint64_t crc32 = Symbol("crc32");
		ASSERT_NE(crc32, 0u);
		EXPECT_EQ(Call(crc32, 0, At(hello), 5), 0x3610a686u);
		EXPECT_TRUE(crc32 < world.low || crc32 >= world.end) << "plain mmap is anywhere";
	});
}

TEST_P(Loader, BringsACLibraryOfItsOwn)
{
	Inside([] {
		auto version = Symbol("gnu_get_libc_version");

		ASSERT_NE(version, 0u);
		const char *text = reinterpret_cast<const char *>(Call(version));
		if (GetParam() == "Debian13") {
			EXPECT_STREQ(text, "2.41");
		}
		EXPECT_NE(Symbol("malloc"), reinterpret_cast<uint64_t>(&malloc));
		const uint64_t block = Call(Symbol("malloc"), 1000);
		EXPECT_NE(block, 0u);
		Call(Symbol("free"), block);
		EXPECT_EQ(world.how, WORLD_RETURNED);
	});
}

TEST_P(Loader, HasLoadedNothingWithTheHostsHelp)
{
	Inside([] {
		EXPECT_EQ(world.code, 2u) << "code of ld.so and of the stub";
		EXPECT_GT(world.code_of_file, 100000u);
		EXPECT_EQ(world.code_of_none, 0u);
		EXPECT_GT(world.calls, 10u);
		EXPECT_GT(world.of[SYS_openat], 0u);
		EXPECT_GT(world.of[SYS_mmap], 0u);
		EXPECT_EQ(world.of[SYS_rseq], 0u) << "GLIBC_TUNABLES";
		EXPECT_EQ(world.of[SYS_readlink], 0u);
		EXPECT_EQ(world.scratch, 0u);
	});
}

TEST_P(Loader, SaysWhatIsMissing)
{
	Inside([] {
		Loaded none = Load("libno-such-library.so.9");
		EXPECT_EQ(none.err, ENOENT);
		EXPECT_THAT(none.why, HasSubstr("libno-such-library.so.9"));

		Loaded text = Load("/proc/self/cmdline");
		EXPECT_EQ(text.err, ENOEXEC) << text.why;
		EXPECT_THAT(text.why, HasSubstr("/proc/self/cmdline"));

		Loaded needs = Load(LOADER_NEEDY);
		EXPECT_EQ(needs.err, ENOENT);
		EXPECT_THAT(needs.why, HasSubstr("library_needed"));
		Need(kLibrary);
		Need(LOADER_NEEDY); // what one offers others can use

		EXPECT_EQ(Load("libz.so.1").err, 0) << "the control";
		EXPECT_EQ(Load("libz.so.1").why, "");
	});
}

TEST_P(Loader, CutsTheReasonToTheRoomThereIs)
{
	Inside([] {
		char why[16];

		memset(why, '#', sizeof(why));
		EXPECT_EQ(static_cast<int>(Call(world.table.load, At("libno.so"), At(why), 6)), ENOENT);
		EXPECT_STREQ(why, "libno");
		EXPECT_EQ(why[6], '#');
		memset(why, '#', sizeof(why));
		EXPECT_EQ(static_cast<int>(Call(world.table.load, At("libno.so"), At(why), 0)), ENOENT);
		EXPECT_EQ(why[0], '#');
	});
}

TEST_P(Loader, FindsWhatLibrariesOffer)
{
	Inside([] {
		Need(kLibrary);
		Need("libz.so.1");
		auto data = reinterpret_cast<const int *>(Symbol("library_constructed"));
		ASSERT_NE(data, nullptr);
		EXPECT_EQ(*data, 42) << "its constructor";
		EXPECT_EQ(Call(Symbol("library_chosen")), 7u) << "what an IFUNC chose";
		EXPECT_EQ(Symbol("no_such_symbol"), 0u);
		EXPECT_NE(Symbol("memcpy", "GLIBC_2.2.5"), 0u);
		EXPECT_NE(Symbol("memcpy", "GLIBC_2.2.5"), Symbol("memcpy", "GLIBC_2.14"));
		EXPECT_EQ(Symbol("memcpy", "GLIBC_9.9"), 0u);
		EXPECT_EQ(Symbol("rseq_no_symbol", "GLIBC_2.35"), 0u);
		auto size = reinterpret_cast<const unsigned *>(Symbol("__rseq_size"));
		ASSERT_NE(size, nullptr);
		char to[8] = {};
		Call(Symbol("memcpy"), At(to), At("copied"), 7);
		EXPECT_STREQ(to, "copied");
	});
}

TEST_P(Loader, FindsWhatALibraryHasItselfBeforeWhatTheCLibraryHas)
{
	Inside([] {
		for (int i = 0; i < 300; i++) { // which needs the C library, too
			Need("libz.so.1");
		}
		EXPECT_NE(Symbol("getopt"), 0u) << "the C library's";
		const uint64_t of_c = Symbol("getopt");
		Need(kLibrary);
		EXPECT_NE(Symbol("getopt"), of_c);
		EXPECT_EQ(Call(Symbol("getopt")), 12345u);
		EXPECT_EQ(Symbol("getopt", "GLIBC_2.2.5"), of_c);
	});
}

TEST_P(Loader, LoadsOnceWhatIsLoadedTwice)
{
	Inside([] {
		Need(kLibrary);
		const uint64_t first = Symbol("library_constructed");
		Need(kLibrary);
		EXPECT_EQ(Symbol("library_constructed"), first);
		EXPECT_EQ(*reinterpret_cast<int *>(first), 42);
	});
}

TEST_P(Loader, RunsCPlusPlus)
{
	Inside([] {
		Need(kPlusPlus);
		EXPECT_EQ(Call(Symbol("plus_throw"), 0), 55u);
		EXPECT_EQ(world.how, WORLD_RETURNED);
		EXPECT_EQ(Call(Symbol("plus_stream"), 31337), 31337u);
	});
}

TEST_P(Loader, GivesEachThreadItsData)
{
	Inside([] {
		Need(kLibrary);
		const uint64_t count = Symbol("library_count"), of_errno = Symbol("library_errno");
		EXPECT_EQ(Call(count), 42u);
		const uint64_t one = Spawn(), two = Spawn();
		EXPECT_NE(one, two);
		EXPECT_NE(one, world.main_fs);
		EXPECT_EQ(On(one, count), 42u);
		EXPECT_EQ(On(one, count), 43u);
		EXPECT_EQ(On(two, count), 42u);
		EXPECT_EQ(Call(count), 43u);
		On(one, of_errno, 5);
		On(two, of_errno, 6);
		EXPECT_EQ(On(one, of_errno), 5u);
		EXPECT_EQ(On(two, of_errno), 6u);
	});
}

TEST_P(Loader, RunsDestructorsOfAThreadThatEnds)
{
	Inside([] {
		long left = 0, ended = 0, plus = 0;

		Need(kLibrary);
		Need(kPlusPlus);
		const uint64_t one = Spawn(), two = Spawn();
		EXPECT_EQ(static_cast<int>(On(one, Symbol("library_tell"), At(&left), At(&ended))), 0);
		On(one, Symbol("plus_tell"), At(&plus));
		On(two, Symbol("plus_tell"), At(&plus));
		EXPECT_EQ(ended, 0);
		Finish(one);
		EXPECT_EQ(ended, 2);
		EXPECT_EQ(plus, 1);
		EXPECT_EQ(left, 0);
		Finish(two);
		EXPECT_EQ(plus, 2);
		EXPECT_EQ(Call(Symbol("library_count")), 42u);
	});
}

TEST_P(Loader, UsesTheMemoryOfThreadsAgain)
{
	Inside([] {
		Need(kLibrary);
		Finish(Spawn());
		const unsigned before = world.of[SYS_mmap];
		std::set<uint64_t> seen;
		for (int i = 0; i < 50; i++) {
			const uint64_t fs = Spawn();
			EXPECT_EQ(On(fs, Symbol("library_count")), 42u);
			seen.insert(fs);
			Finish(fs);
		}
		EXPECT_EQ(seen.size(), 1u);
		EXPECT_LT(world.of[SYS_mmap] - before, 5u);
	});
}

TEST_P(Loader, FinishesNothingThatHasNotParked)
{
	Inside([] {
		Call(world.table.finish);
		EXPECT_EQ(world.how, WORLD_RETURNED);
	});
}

TEST_P(Loader, LeavesByTheDestructors)
{
	Inside([] {
		long left = 0, ended = 0;

		Need(kLibrary);
		EXPECT_EQ(static_cast<int>(Call(Symbol("library_tell"), At(&left), At(&ended))), 0);
		Call(world.table.leave);
		EXPECT_EQ(world.how, WORLD_EXIT);
		EXPECT_EQ(world.value, 0u);
		EXPECT_EQ(left, 1);
	});
}

TEST_P(Loader, TellsNothingOfTheHost)
{
	ASSERT_EQ(setenv("LYCH_SECRET", "of the host", 1), 0);
	Inside([] {
		std::vector<std::string> all, want = {"GLIBC_TUNABLES=glibc.pthread.rseq=0", "LD_BIND_NOW=1"};

		Need(kLibrary);
		const uint64_t environment = Symbol("library_environment"), auxv = Symbol("library_auxv");
		for (unsigned i = 0;; i++) {
			const char *text = reinterpret_cast<const char *>(Call(environment, i));
			if (text == nullptr) {
				break;
			}
			all.push_back(text);
		}
		if (GetParam() == "Debian13") {
			want.push_back("LD_LIBRARY_PATH=" LIBRARIES13);
		}
		EXPECT_EQ(all, want);
		EXPECT_EQ(Call(auxv, AT_SYSINFO_EHDR), 0u);
		EXPECT_EQ(Call(auxv, AT_SECURE), 0u);
		EXPECT_EQ(Call(auxv, AT_PAGESZ), 4096u);
		EXPECT_EQ(Call(auxv, AT_BASE), world.start.loader);
		EXPECT_EQ(Call(auxv, AT_HWCAP), getauxval(AT_HWCAP));
		EXPECT_NE(memcmp(reinterpret_cast<void *>(Call(auxv, AT_RANDOM)),
				 reinterpret_cast<void *>(getauxval(AT_RANDOM)), 16), 0);
		EXPECT_STREQ(reinterpret_cast<const char *>(Call(auxv, AT_EXECFN)), "tested");
		EXPECT_STREQ(*reinterpret_cast<char **>(Symbol("program_invocation_name")), "tested");
		auto stack_end = reinterpret_cast<uint64_t *>(Symbol("__libc_stack_end"));
		EXPECT_GE(*stack_end, world.start.stack);
		EXPECT_LT(*stack_end, world.start.stack_end);
	});
}

TEST_P(Loader, SaysWhereEverythingIs)
{
	Inside([] {
		const loader_start &s = world.start;

		for (uint64_t at : {s.loader, s.stub, s.stack}) {
			EXPECT_EQ(at % 4096, 0u);
			EXPECT_GE(at, world.low);
		}
		for (uint64_t end : {s.loader_end, s.stub_end, s.stack_end}) {
			EXPECT_EQ(end % 4096, 0u);
			EXPECT_LE(end, world.end);
		}
		EXPECT_TRUE(s.enter > s.stub && s.enter < s.stub_end);
		EXPECT_TRUE(s.start >= s.stack && s.start + sizeof(inside_start) <= s.stack_end);
		for (uint64_t fn : {world.table.load, world.table.symbol, world.table.spawn, world.table.finish,
				    world.table.leave}) {
			EXPECT_TRUE(fn > s.stub && fn < s.stub_end);
		}
		ASSERT_EQ(world.nplaces, 4u) << "two files, the stack, and that of calls";
		EXPECT_EQ(world.places[2].at, s.stack - 4096) << "with a page";
		EXPECT_EQ(world.places[2].at + world.places[2].bytes, s.stack_end);
		int pipes[2];
		ASSERT_EQ(pipe(pipes), 0);
		EXPECT_EQ(write(pipes[1], reinterpret_cast<void *>(s.stack), 1), 1) << "the control";
		EXPECT_EQ(write(pipes[1], reinterpret_cast<void *>(s.stack - 1), 1), -1) << "that is not mapped";
		EXPECT_EQ(errno, EFAULT);
	});
}

TEST_P(Loader, GivesEverythingBackWhereverItFails)
{
	in_child([this] {
		const lych_library_opts opts = Opts();
		loader_start start;
		int rc = -1, failed = 0;

		for (int i = 0; i < 100 && rc != 0; i++) {
			ASSERT_EQ(world_begin(), 0);
			world.mapped = 0;
			world.fail_after = i;
			rc = loader_begin(&start, &world.ops, &opts, "tested");
			EXPECT_TRUE(rc == 0 || rc == -ENOMEM || rc == -EOVERFLOW) << rc;
			EXPECT_EQ(world.scratch, 0u) << i;
			failed += rc != 0;
			munmap(reinterpret_cast<void *>(world.low), world.end - world.low);
		}
		EXPECT_EQ(rc, 0);
		EXPECT_GT(failed, 15);
	});
}

// ---- what is refused ----

int BeginWith(const char *loader, const char *search = nullptr)
{
	lych_library_opts opts = {};
	loader_start start;

	opts.size = sizeof(opts);
	opts.loader = loader;
	opts.search = search;
	EXPECT_EQ(world_begin(), 0);
	int rc = loader_begin(&start, &world.ops, &opts, "tested");
	EXPECT_EQ(world.scratch, 0u);
	munmap(reinterpret_cast<void *>(world.low), world.end - world.low);
	return rc;
}

TEST(LoaderFiles, ThatAreNoLoadersAreRefused)
{
	in_child([] {
		EXPECT_EQ(BeginWith(nullptr), 0) << "the control";
		EXPECT_EQ(BeginWith("/no/such/loader"), -ENOENT);
		EXPECT_THAT(lych_why(), HasSubstr("/no/such/loader"));
		EXPECT_EQ(BeginWith("/"), -EISDIR);
		EXPECT_EQ(BeginWith("/dev/zero"), -ENOTSUP);
		EXPECT_EQ(BeginWith("/bin/sh"), -ENOEXEC);
		EXPECT_THAT(lych_why(), HasSubstr("program"));
		EXPECT_EQ(BeginWith("/etc/passwd"), -ENOEXEC);
		EXPECT_THAT(lych_why(), HasSubstr("not an ELF file"));
		// Says 0 bytes and has more.
		EXPECT_EQ(BeginWith("/proc/self/maps"), -ESTALE);
	});
}

TEST(LoaderFiles, AreNotLookedForWhereNobodyMeantIt)
{
	in_child([] {
		EXPECT_EQ(BeginWith(nullptr, "/usr/lib:/lib"), 0) << "the control";
		EXPECT_EQ(BeginWith(nullptr, "/usr/lib:"), -EINVAL);
		EXPECT_EQ(BeginWith(nullptr, "/usr/lib:$ORIGIN"), -EINVAL);
		EXPECT_THAT(lych_why(), HasSubstr("$"));
		EXPECT_EQ(BeginWith(nullptr, std::string(5000, 'a').c_str()), -E2BIG);
	});
}

TEST(LoaderStub, NeedsNothingNewerThanTheOldestCLibrary)
{
	const std::string stub(reinterpret_cast<const char *>(lych_stub), static_cast<size_t>(lych_stub_end - lych_stub));
	std::set<std::string> versions;

	for (size_t at = stub.find("GLIBC_"); at != std::string::npos; at = stub.find("GLIBC_", at + 1)) {
		versions.insert(stub.c_str() + at);
	}
	EXPECT_EQ(versions, (std::set<std::string>{"GLIBC_2.2.5", "GLIBC_2.34"}));
}

TEST(LoaderStub, HasNothingOfWhatTheRestIsBuiltWith)
{
	const std::string stub(reinterpret_cast<const char *>(lych_stub), static_cast<size_t>(lych_stub_end - lych_stub));

	for (const char *name : {"__stack_chk_fail", "__asan", "__tsan", "__ubsan", "__sanitizer", "__gcov", "_chk",
				 "libgcc"}) {
		EXPECT_EQ(stub.find(name), std::string::npos) << name;
	}
	EXPECT_NE(stub.find("dlopen"), std::string::npos) << "the control";
}

} // namespace
