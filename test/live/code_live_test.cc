// SPDX-License-Identifier: Apache-2.0
// lych_init and the code of the process (G3, G4): what is repaired, what is refused, and that nothing is lost on the way. Each
// case is a process of its own. Here with the mprotect backend, which repairs when asked to; in the PKU machine with keys.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <lychgate/scan.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <seccomp.h>

#include "in_child.h"

using testing::HasSubstr;
using testing::IsEmpty;

namespace
{

constexpr size_t page = 4096;

struct Item {
	std::string path, symbol, what, done, why;
	uint64_t address, offset;
};

std::vector<Item> items;

void on_code(const struct lych_code_item *item, void *)
{
	items.push_back({item->path, item->symbol, item->what, item->done, item->why, item->address, item->offset});
}

int start(enum lych_code code = LYCH_CODE_REPAIR)
{
	struct lych_init_opts opts = {};
	opts.size = sizeof(opts);
	opts.backend = getenv("LYCH_REQUIRE_PKU") != nullptr ? LYCH_PKU : LYCH_MPROTECT;
	opts.code = code;
	opts.on_code = on_code;
	items.clear();
	return lych_init(&opts);
}

std::vector<Item> left()
{
	std::vector<Item> out;
	for (const Item &item : items) {
		if (item.done == "left") {
			out.push_back(item);
		}
	}
	return out;
}

// Anonymous memory that holds bytes at off of its first page and is executable; breakpoints around them.
uint8_t *plant(const std::vector<uint8_t> &bytes, size_t off = 64, size_t pages = 1)
{
	void *at = mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT_NE(at, MAP_FAILED);
	memset(at, 0xcc, pages * page);
	memcpy(static_cast<uint8_t *>(at) + off, bytes.data(), bytes.size());
	EXPECT_EQ(mprotect(at, pages * page, PROT_READ | PROT_EXEC), 0);
	return static_cast<uint8_t *>(at) + off;
}

// int f(int a, int b): what libnettle's rol and add do, with a stray WRPKRU between the two.
const std::vector<uint8_t> nettle = {0x55,                   // push %rbp
				     0x41, 0x57,             // push %r15
				     0x89, 0xf5,             // mov %esi,%ebp
				     0x41, 0x89, 0xff,       // mov %edi,%r15d
				     0x41, 0xc1, 0xc7, 0x0f, // rol $0xf,%r15d
				     0x01, 0xef,             // add %ebp,%edi
				     0x44, 0x01, 0xff,       // add %r15d,%edi
				     0x89, 0xf8,             // mov %edi,%eax
				     0x41, 0x5f,             // pop %r15
				     0x5d,                   // pop %rbp
				     0xc3};                  // ret
constexpr size_t nettle_stray = 11;

using two_ints = int (*)(int, int);

int nettle_in_c(int a, int b)
{
	unsigned int x = static_cast<unsigned int>(a);
	return static_cast<int>(x + static_cast<unsigned int>(b) + (x << 15 | x >> 17));
}

// wrgsbase %eax; ret: nothing is known that could take its place.
const std::vector<uint8_t> on_purpose = {0xf3, 0x0f, 0xae, 0xd8, 0xc3};

bool memory_holds(const uint8_t *at, const std::vector<uint8_t> &bytes)
{
	return memcmp(at, bytes.data(), bytes.size()) == 0;
}

std::string maps()
{
	std::ifstream in("/proc/self/maps");
	return {std::istreambuf_iterator<char>(in), {}};
}

uint64_t strays_of_this_process()
{
	struct lych_scan_opts opts = LYCH_SCAN_OPTS_INIT;
	struct lych_scan_stats stats = {};
	opts.classes = LYCH_POLICY_HOST;
	EXPECT_EQ(lych_scan_process(getpid(), &opts, &stats), 0);
	uint64_t strays = 0;
	for (int cls = 0; cls < LYCH_CLASS_COUNT; cls++) {
		strays += stats.count[LYCH_VERDICT_STRAY][cls] + stats.count[LYCH_VERDICT_RUNTIME][cls];
	}
	return strays;
}

bool refuse_call(int nr)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	bool done = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), nr, 0) == 0 && seccomp_load(filter) == 0;
	seccomp_release(filter);
	return done;
}

bool deny_write_then_execute()
{
	return prctl(65 /* PR_SET_MDWE, Linux 6.3 */, 1, 0, 0, 0) == 0;
}

} // namespace

TEST(CodeAtStart, HoldsNothingThatWritesPkruAfterwards)
{
	in_child([] {
		EXPECT_GT(strays_of_this_process(), 0u) << "the control: glibc has some";
		ASSERT_EQ(start(), 0) << lych_why();
		EXPECT_THAT(left(), IsEmpty());
		EXPECT_GE(items.size(), 3u);
		EXPECT_EQ(strays_of_this_process(), 0u);
	});
}

TEST(CodeAtStart, OfGlibcIsRepairedInEveryMode)
{
	for (enum lych_code mode : {LYCH_CODE_REPAIR, LYCH_CODE_REFUSE, LYCH_CODE_REPORT}) {
		in_child([mode] {
			ASSERT_EQ(start(mode), 0) << lych_why();
			size_t pkey_set = 0, xrstor = 0;
			for (const Item &item : items) {
				pkey_set += item.symbol == "pkey_set" && item.what == "wrpkru" && item.done == "replaced";
				xrstor += item.what == "xrstor" && item.done == "check-added";
			}
			EXPECT_EQ(pkey_set, 1u);
			EXPECT_GE(xrstor, 2u);
			EXPECT_EQ(strays_of_this_process(), 0u);
		});
	}
}

TEST(CodeAtStart, GoesOnDoingWhatItDidWithTheStrayAway)
{
	in_child([] {
		uint8_t *code = plant(nettle);
		auto fn = reinterpret_cast<two_ints>(code);
		for (int a : {0, 1, -5, 0x12345678}) {
			EXPECT_EQ(fn(a, 77), nettle_in_c(a, 77)) << "the control";
		}
		ASSERT_EQ(start(), 0) << lych_why();
		EXPECT_FALSE(memory_holds(code, nettle));
		EXPECT_FALSE(memory_holds(code + nettle_stray, {0x0f, 0x01, 0xef}));
		for (int a : {0, 1, -5, 0x12345678}) {
			EXPECT_EQ(fn(a, 77), nettle_in_c(a, 77));
		}
		bool told = false;
		for (const Item &item : items) {
			told = told || (item.address == reinterpret_cast<uint64_t>(code) + nettle_stray && item.done == "re-encoded");
		}
		EXPECT_TRUE(told);
	});
}

TEST(CodeAtStart, IsSwappedUnderRunningThreads)
{
	in_child([] {
		auto fn = reinterpret_cast<two_ints>(plant(nettle));
		std::atomic<bool> stop{false};
		std::atomic<uint64_t> calls{0}, wrong{0};
		std::vector<std::thread> threads;
		for (int i = 0; i < 3; i++) {
			threads.emplace_back([&, i] {
				for (int a = i; !stop; a += 3) {
					wrong += fn(a, i) != nettle_in_c(a, i);
					calls++;
				}
			});
		}
		while (calls < 1000) {
			std::this_thread::yield();
		}
		ASSERT_EQ(start(), 0) << lych_why();
		uint64_t before = calls;
		while (calls < before + 1000) {
			std::this_thread::yield();
		}
		stop = true;
		for (std::thread &thread : threads) {
			thread.join();
		}
		EXPECT_EQ(wrong, 0u);
	});
}

TEST(CodeAtStart, ThatCannotBeRepairedIsNamedAndNothingIsChanged)
{
	in_child([] {
		uint8_t *stray = plant(on_purpose), *other = plant(nettle);
		EXPECT_EQ(start(), -ENOEXEC);
		EXPECT_THAT(lych_why(), HasSubstr("wrgsbase"));
		EXPECT_THAT(lych_why(), HasSubstr("[anonymous]+0x"));
		EXPECT_EQ(left().size(), 1u);
		EXPECT_TRUE(memory_holds(stray, on_purpose));
		EXPECT_TRUE(memory_holds(other, nettle));
		EXPECT_EQ(maps().find("memfd:lychgate"), std::string::npos);
	});
}

TEST(CodeAtStart, OfAFileThatCannotBeRepairedIsNamedWithTheCommandThatHelps)
{
	in_child([] {
		char path[] = "/tmp/lychgate_code_XXXXXX";
		int fd = mkstemp(path);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(pwrite(fd, on_purpose.data(), on_purpose.size(), 0x1234), static_cast<ssize_t>(on_purpose.size()));
		ASSERT_NE(mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0x1000), MAP_FAILED);
		EXPECT_EQ(start(), -ENOEXEC);
		EXPECT_THAT(lych_why(), HasSubstr(std::string(path + 5) + "+0x1234: wrgsbase: "));
		EXPECT_THAT(lych_why(), HasSubstr("`lychgate repair --plan --policy host " + std::string(path) + "`"));
		unlink(path);
	});
}

TEST(CodeAtStart, ThatCannotBeRepairedIsOnlyToldInReportMode)
{
	in_child([] {
		uint8_t *stray = plant(on_purpose), *other = plant(nettle);
		ASSERT_EQ(start(LYCH_CODE_REPORT), 0) << lych_why();
		EXPECT_EQ(left().size(), 1u);
		EXPECT_TRUE(memory_holds(stray, on_purpose));
		EXPECT_FALSE(memory_holds(other, nettle)) << "what can be repaired is";
		EXPECT_EQ(strays_of_this_process(), 1u);
	});
}

TEST(CodeAtStart, StraysAreRefusedUnrepairedInRefuseMode)
{
	in_child([] {
		uint8_t *stray = plant(nettle);
		EXPECT_EQ(start(LYCH_CODE_REFUSE), -ENOEXEC);
		EXPECT_THAT(lych_why(), HasSubstr("nothing but glibc's own"));
		EXPECT_TRUE(memory_holds(stray, nettle));
		EXPECT_EQ(left().size(), 1u);
		EXPECT_EQ(start(LYCH_CODE_REPAIR), 0) << "the control: " << lych_why();
	});
}

TEST(CodeAtStart, WritableAndExecutableIsRefused)
{
	in_child([] {
		void *at = mmap(nullptr, page, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(at, MAP_FAILED);
		EXPECT_EQ(start(), -ENOEXEC);
		EXPECT_THAT(lych_why(), HasSubstr("writable and executable"));
		EXPECT_EQ(start(LYCH_CODE_REPORT), 0) << lych_why();
		ASSERT_EQ(left().size(), 1u);
		EXPECT_EQ(left()[0].what, "writable");
	});
}

TEST(CodeAtStart, WithAWritableAliasIsRefused)
{
	in_child([] {
		int fd = memfd_create("jit", 0);
		ASSERT_EQ(ftruncate(fd, page), 0);
		ASSERT_NE(mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0), MAP_FAILED);
		void *alias = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(alias, MAP_FAILED);
		EXPECT_EQ(start(), -ENOEXEC);
		EXPECT_THAT(lych_why(), HasSubstr("a second time, writable and shared"));
		munmap(alias, page);
		EXPECT_EQ(start(), 0) << "the control: " << lych_why();
	});
}

// Whoever has the file open for writing changes it after it was looked at; of a copy nothing changes.
TEST(CodeAtStart, OfAFileThatCanBeWrittenIsCopied)
{
	in_child([] {
		int fd = memfd_create("library", 0);
		const uint8_t ret = 0xc3, trap = 0xcc;
		ASSERT_EQ(ftruncate(fd, page), 0);
		ASSERT_EQ(pwrite(fd, &ret, 1, 0), 1);
		auto *code = static_cast<uint8_t *>(mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0));
		ASSERT_NE(code, MAP_FAILED);
		EXPECT_EQ(*code, ret);
		ASSERT_EQ(pwrite(fd, &trap, 1, 0), 1);
		EXPECT_EQ(*code, trap) << "the control";
		ASSERT_EQ(start(), 0) << lych_why();
		ASSERT_EQ(pwrite(fd, &ret, 1, 0), 1);
		EXPECT_EQ(*code, trap);
	});
}

TEST(CodeAtStart, ThatCannotBeReadIsRefused)
{
	in_child([] {
		ASSERT_NE(mmap(nullptr, page, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MAP_FAILED);
		EXPECT_EQ(start(), -ENOEXEC);
		EXPECT_THAT(lych_why(), HasSubstr("cannot be read"));
	});
}

TEST(CodeAtStart, BehindTheEndOfAFileIsRefusedAndNotTouched)
{
	in_child([] {
		int fd = memfd_create("short", 0);
		ASSERT_EQ(ftruncate(fd, page), 0);
		ASSERT_NE(mmap(nullptr, 2 * page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0), MAP_FAILED);
		EXPECT_EQ(start(), -ENOEXEC);
		EXPECT_THAT(lych_why(), HasSubstr("shorter than the mapping"));
	});
}

// Two mappings of different files: 0F 01 ends the first, EF begins the second.
TEST(CodeAtStart, IsLookedAtAcrossTheBordersOfMappings)
{
	in_child([] {
		auto *at = static_cast<uint8_t *>(
			mmap(nullptr, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		for (int i = 0; i < 2; i++) {
			int fd = memfd_create("half", 0);
			const uint8_t bytes[] = {0x0f, 0x01, 0xef};
			ASSERT_EQ(ftruncate(fd, page), 0);
			ASSERT_GT(pwrite(fd, i == 0 ? bytes : bytes + 2, i == 0 ? 2 : 1, i == 0 ? page - 2 : 0), 0);
			ASSERT_EQ(mmap(at + static_cast<size_t>(i) * page, page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED,
				       fd, 0),
				  at + static_cast<size_t>(i) * page);
		}
		EXPECT_EQ(start(), -ENOEXEC);
		ASSERT_EQ(left().size(), 1u);
		EXPECT_EQ(left()[0].address, reinterpret_cast<uint64_t>(at) + page - 2);
		munmap(at + page, page);
		EXPECT_EQ(start(), 0) << "the control: " << lych_why();
	});
}

TEST(CodeAtStart, IsRepairedWhereWrittenMemoryMayNotBecomeExecutable)
{
	in_child([] {
		uint8_t *code = plant(nettle);
		if (!deny_write_then_execute()) {
			return; // before 6.3
		}
		void *written = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		EXPECT_NE(mprotect(written, page, PROT_READ | PROT_EXEC), 0) << "the control";
		ASSERT_EQ(start(), 0) << lych_why();
		EXPECT_FALSE(memory_holds(code, nettle));
		EXPECT_EQ(reinterpret_cast<two_ints>(code)(5, 6), nettle_in_c(5, 6));
	});
}

TEST(CodeAtStart, IsRepairedWhereThereAreNoFilesInMemory)
{
	in_child([] {
		uint8_t *code = plant(nettle);
		ASSERT_TRUE(refuse_call(SCMP_SYS(memfd_create)));
		EXPECT_EQ(memfd_create("x", 0), -1) << "the control";
		ASSERT_EQ(start(), 0) << lych_why();
		EXPECT_EQ(maps().find("memfd:lychgate"), std::string::npos);
		EXPECT_FALSE(memory_holds(code, nettle));
		EXPECT_EQ(reinterpret_cast<two_ints>(code)(5, 6), nettle_in_c(5, 6));
		if (geteuid() != 0) { // else all is copied, and our own gates are in memory that has no file and so no list
			EXPECT_EQ(strays_of_this_process(), 0u);
		}
	});
}

TEST(CodeAtStart, IsRefusedWhereNothingMayBecomeExecutable)
{
	in_child([] {
		uint8_t *code = plant(nettle);
		ASSERT_TRUE(refuse_call(SCMP_SYS(memfd_create)));
		if (!deny_write_then_execute()) {
			return;
		}
		EXPECT_EQ(start(), -EOPNOTSUPP);
		EXPECT_THAT(lych_why(), HasSubstr("sandbox"));
		EXPECT_TRUE(memory_holds(code, nettle));
	});
}

TEST(CodeAtStart, IsPlannedByAChildOfWhichTheProgramHearsNothing)
{
	static std::atomic<int> heard;
	in_child([] {
		signal(SIGCHLD, [](int) { heard++; });
		ASSERT_EQ(start(), 0) << lych_why();
		EXPECT_EQ(heard, 0);
		EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
		EXPECT_EQ(errno, ECHILD);
	});
}

// A lock of malloc that another thread holds while the child is made must not be waited for.
TEST(CodeAtStart, IsRepairedWhileThreadsAllocate)
{
	in_child([] {
		std::atomic<bool> stop{false};
		std::vector<std::thread> threads;
		for (int i = 0; i < 3; i++) {
			threads.emplace_back([&stop] {
				while (!stop) {
					free(malloc(100000));
				}
			});
		}
		EXPECT_EQ(start(), 0) << lych_why();
		stop = true;
		for (std::thread &thread : threads) {
			thread.join();
		}
	});
}

// What is loaded while lych_init looks is looked at, too, or the start is refused.
TEST(CodeAtStart, IsRepairedWhileThreadsLoadAndUnload)
{
	in_child([] {
		std::atomic<bool> stop{false};
		std::atomic<int> loaded{0};
		std::thread loader([&] {
			while (!stop) {
				void *library = dlopen("libutil.so.1", RTLD_NOW);
				if (library != nullptr) {
					dlclose(library);
				}
				loaded++;
			}
		});
		while (loaded < 10) {
			std::this_thread::yield();
		}
		int rc = start();
		stop = true;
		loader.join();
		EXPECT_TRUE(rc == 0 || rc == -EAGAIN) << rc << lych_why();
		if (rc == 0) {
			EXPECT_EQ(strays_of_this_process(), 0u);
		}
	});
}

TEST(CodeAtStart, IsLeftAloneWithoutKeysUnlessAskedFor)
{
	in_child([] {
		uint8_t *code = plant(nettle);
		bool keys = getenv("LYCH_REQUIRE_PKU") != nullptr;
		ASSERT_EQ(start(LYCH_CODE_AUTO), 0) << lych_why();
		EXPECT_EQ(memory_holds(code, nettle), !keys);
		EXPECT_EQ(items.empty(), !keys);
	});
}
