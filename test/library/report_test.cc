// SPDX-License-Identifier: Apache-2.0
// What is told of a fault in a library domain: the way to it, with names, whatever the library did to mislead.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <lychgate/lychgate.h>

#include "broken.h"
#include "library_live.h"

LYCH_SYM(broken, broken_abort, void, (void));
LYCH_SYM(broken, broken_null, int, (int));
using Jump = void (*)();
LYCH_SYM(broken, broken_jump, int, (Jump));
using Step = int (*)(int);
LYCH_SYM(broken, broken_apply, int, (Step, int));
LYCH_SYM(broken, broken_in_qsort, int, (void));
LYCH_SYM(broken, broken_thread, int, (int));
LYCH_SYM(broken, broken_recurse, int, (int));
LYCH_SYM(broken, broken_tables, int, (int));
LYCH_SYM(broken, broken_frame_pointer, int, (int));
LYCH_SYM(broken, broken_memory, int, (int));
LYCH_SYM(broken, broken_names, int, (void));

static int again(int n)
{
	auto *broken = static_cast<lych_domain *>(lych_callback_ctx());
	int result = 0;

	return n == 0 ? 0 : LYCH_CALL(broken, &result, broken_null, n);
}
LYCH_CALLBACK(again, int, (int));

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;

class Reports : public LibraryDomain {
protected:
	lych_domain *OpenBroken()
	{
		return Open(LYCH_BROKEN);
	}

	static std::vector<std::string> Frames(lych_domain *d)
	{
		const struct lych_fault *f = lych_fault(d);
		std::vector<std::string> out;

		for (int i = 0; i < f->nframes; i++) {
			char text[512];
			int rc = lych_fault_where(f, i, text, sizeof(text));
			out.emplace_back(rc == 0 ? text : "-");
		}
		return out;
	}

	static std::string Printed(lych_domain *d)
	{
		char text[16384] = "";
		FILE *file = tmpfile();

		EXPECT_EQ(lych_fault_print(lych_fault(d), fileno(file)), 0);
		rewind(file);
		text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
		fclose(file);
		return text;
	}
};

// "name+0x12 in file (0x1234)"
auto In(const char *name, const char *file)
{
	return MatchesRegex(std::string(name) + "[+]0x[0-9a-f]+ in " + file + " [(]0x[0-9a-f]+[)]");
}

TEST_F(Reports, OfAbortNameTheLibraryAndTheCLibraryBelowIt)
{
	lych_domain *broken = OpenBroken();
	ASSERT_NE(broken, nullptr);
	ASSERT_EQ(LYCH_CALL(broken, LYCH_NOTHING, broken_abort), -EFAULT);
	EXPECT_EQ(lych_fault(broken)->kind, LYCH_FAULT_ABORT);
	EXPECT_STREQ(lych_fault(broken)->function, "broken_abort");
	// The first is a function of the C library's own, which has no name.
	EXPECT_THAT(Frames(broken), ElementsAre(MatchesRegex("libc.so.6[+]0x[0-9a-f]+"), In("raise", "libc.so.6"),
						In("abort", "libc.so.6"), In("broken_abort", "broken.so")));
	EXPECT_THAT(Printed(broken), HasSubstr(" in broken.so (0x"));
	ASSERT_EQ(lych_domain_reset(broken), 0);
	EXPECT_THAT(Frames(broken), SizeIs(4)) << "a reset changes no address";
	EXPECT_THAT(Frames(broken)[3], In("broken_abort", "broken.so"));
}

TEST_F(Reports, NameWhatIsNotExportedByTheFileOnDisk)
{
	lych_domain *broken = OpenBroken();
	ASSERT_NE(broken, nullptr);
	ASSERT_EQ(LYCH_CALL(broken, nullptr, broken_null, 2), -EFAULT);
	EXPECT_EQ(lych_fault(broken)->kind, LYCH_FAULT_SEGV);
	EXPECT_THAT(Frames(broken), ElementsAre(In(".*not_exported.*", "broken.so"), In("broken_null", "broken.so"),
						In("broken_null", "broken.so"), In("broken_null", "broken.so")));
}

TEST_F(Reports, OfACallToNowhereNameTheCaller)
{
	lych_domain *broken = OpenBroken();
	ASSERT_NE(broken, nullptr);
	ASSERT_EQ(LYCH_CALL(broken, nullptr, broken_jump, nullptr), -EFAULT);
	EXPECT_THAT(Frames(broken), ElementsAre("-", In("broken_jump", "broken.so")));
	EXPECT_THAT(Printed(broken), HasSubstr("\n  jump to 0x0\n"));
	EXPECT_THAT(Printed(broken), HasSubstr("\n  rip 0000000000000000  flags ")) << "registers are told";
}

TEST_F(Reports, OfAWriteThroughNullSaySo)
{
	lych_domain *broken = OpenBroken();
	ASSERT_NE(broken, nullptr);
	ASSERT_EQ(LYCH_CALL(broken, nullptr, broken_null, 0), -EFAULT);
	EXPECT_THAT(Printed(broken), HasSubstr("\n  write to 0x0\n"));
	ASSERT_EQ(lych_domain_reset(broken), 0);
	ASSERT_EQ(LYCH_CALL(broken, LYCH_NOTHING, broken_abort), -EFAULT);
	EXPECT_THAT(Printed(broken), Not(HasSubstr("0x0\n"))) << "has no address";
}

TEST_F(Reports, SayThatThereWasNoMoreMemory)
{
	lych_library_opts opts = {};
	opts.size = sizeof(opts);
	opts.heap_bytes = 8 << 20;
	lych_domain *broken = Open(LYCH_BROKEN, &opts);
	ASSERT_NE(broken, nullptr);
	const lych_fault_kind kinds[] = {LYCH_FAULT_ABORT, LYCH_FAULT_SEGV};

	for (int how = 0; how < 2; how++) {
		ASSERT_EQ(LYCH_CALL(broken, nullptr, broken_memory, how), -EFAULT);
		const struct lych_fault *f = lych_fault(broken);
		EXPECT_EQ(f->kind, kinds[how]) << "nobody is prepared for it: an exception that nobody catches, a null pointer";
		EXPECT_GE(f->no_memory, 1u);
		EXPECT_GE(f->no_memory_bytes, 100000u);
		EXPECT_THAT(Printed(broken), HasSubstr("\n  memory refused to it (heap_bytes): "));
		ASSERT_EQ(lych_domain_reset(broken), 0);
		ASSERT_EQ(LYCH_CALL(broken, LYCH_NOTHING, broken_abort), -EFAULT);
		EXPECT_EQ(lych_fault(broken)->no_memory, 0u) << "a reset has brought it back";
		EXPECT_THAT(Printed(broken), Not(HasSubstr("memory refused")));
		ASSERT_EQ(lych_domain_reset(broken), 0);
	}
}

TEST_F(Reports, GoThroughOtherLibraries)
{
	lych_domain *broken = OpenBroken();
	ASSERT_NE(broken, nullptr);
	ASSERT_EQ(LYCH_CALL(broken, nullptr, broken_in_qsort), -EFAULT);
	auto frames = Frames(broken);
	ASSERT_GE(frames.size(), 4u);
	EXPECT_THAT(frames[0], In(".*not_exported.*", "broken.so"));
	EXPECT_THAT(frames[1], In(".*compare.*", "broken.so"));
	EXPECT_THAT(frames, ::testing::Contains(In("qsort(_r)?", "libc.so.6")));
	EXPECT_THAT(frames.back(), In("broken_in_qsort", "broken.so"));
}

TEST_F(Reports, EndWhereTheHostHasCalledEvenBelowACallback)
{
	lych_domain *broken = OpenBroken();
	ASSERT_NE(broken, nullptr);
	Step fn = nullptr;
	ASSERT_EQ(lych_callback(&fn, broken, again, broken), 0);
	ASSERT_EQ(LYCH_CALL(broken, nullptr, broken_apply, fn, 0), -EFAULT) << "in the outer one, after the callback";
	EXPECT_THAT(Frames(broken), ElementsAre(In(".*not_exported.*", "broken.so"), In("broken_apply", "broken.so")));
	EXPECT_STREQ(lych_fault(broken)->function, "broken_apply");
	ASSERT_EQ(lych_domain_reset(broken), 0);
	EXPECT_NE(LYCH_CALL(broken, nullptr, broken_apply, fn, 1), 0) << "in the inner one";
	EXPECT_THAT(Frames(broken), ElementsAre(In(".*not_exported.*", "broken.so"), In("broken_null", "broken.so"),
						In("broken_null", "broken.so")));
	EXPECT_STREQ(lych_fault(broken)->function, "broken_null");
}

TEST_F(Reports, OfAThreadOfTheDomainsOwnAreTheSame)
{
	lych_domain *broken = OpenBroken();
	ASSERT_NE(broken, nullptr);
	EXPECT_NE(LYCH_CALL(broken, nullptr, broken_thread, 0), 0);
	ASSERT_EQ(lych_domain_reset(broken), 0); // the thread has ended
	EXPECT_EQ(lych_fault(broken)->kind, LYCH_FAULT_ABORT);
	auto frames = Frames(broken);
	ASSERT_GE(frames.size(), 5u);
	EXPECT_THAT(frames[2], In("abort", "libc.so.6"));
	EXPECT_THAT(frames[3], In("broken_abort", "broken.so"));
	EXPECT_THAT(frames[4], In(".*thread_main.*", "broken.so"));
}

TEST_F(Reports, OfAStackThatOverflowsHaveAsManyFramesAsThereIsRoomFor)
{
	lych_domain *broken = OpenBroken();
	ASSERT_NE(broken, nullptr);
	ASSERT_EQ(LYCH_CALL(broken, nullptr, broken_recurse, 0), -EFAULT);
	EXPECT_EQ(lych_fault(broken)->kind, LYCH_FAULT_STACK);
	EXPECT_THAT(Frames(broken), SizeIs(LYCH_FAULT_FRAMES));
	EXPECT_THAT(Frames(broken), ::testing::Each(In("broken_recurse", "broken.so")));
	ASSERT_EQ(lych_domain_reset(broken), 0);
	EXPECT_NE(LYCH_CALL(broken, nullptr, broken_thread, 1), 0);
	ASSERT_EQ(lych_domain_reset(broken), 0);
	EXPECT_EQ(lych_fault_kind_name(lych_fault(broken)->kind), lych_fault_kind_name(LYCH_FAULT_STACK)) << "of its own thread";
	EXPECT_THAT(Frames(broken), ::testing::Each(In("broken_recurse", "broken.so")));
}

TEST_F(Reports, AreNotLedAstrayByTablesThatTheLibraryHasSpoiled)
{
	lych_domain *broken = OpenBroken();
	ASSERT_NE(broken, nullptr);
	for (int how = 0; how < 60; how++) {
		ASSERT_EQ(LYCH_CALL(broken, nullptr, broken_tables, how), -EFAULT) << how;
		EXPECT_EQ(lych_fault(broken)->kind, LYCH_FAULT_SEGV) << how;
		auto frames = Frames(broken);
		ASSERT_GE(frames.size(), 1u);
		ASSERT_LE(frames.size(), size_t{LYCH_FAULT_FRAMES});
		EXPECT_THAT(frames[0], In(".*not_exported.*", "broken.so")) << how;
		Printed(broken);
		ASSERT_EQ(lych_domain_reset(broken), 0) << how;
	}
	ASSERT_EQ(LYCH_CALL(broken, nullptr, broken_null, 0), -EFAULT);
	EXPECT_THAT(Frames(broken), SizeIs(2)) << "a reset has brought them back";
}

TEST_F(Reports, EndWhereFramesLeadInACircleOrNowhere)
{
	lych_domain *broken = OpenBroken();
	ASSERT_NE(broken, nullptr);
	for (int how = 0; how < 4; how++) {
		ASSERT_EQ(LYCH_CALL(broken, nullptr, broken_frame_pointer, how), -EFAULT) << how;
		auto frames = Frames(broken);
		ASSERT_GE(frames.size(), 1u) << how;
		ASSERT_LE(frames.size(), 3u) << how;
		EXPECT_THAT(frames[0], In("broken_frame_pointer", "broken.so")) << how;
		ASSERT_EQ(lych_domain_reset(broken), 0) << how;
	}
}

TEST_F(Reports, HaveNamesOnlyThatCanBePrinted)
{
	lych_domain *broken = OpenBroken();
	ASSERT_NE(broken, nullptr);
	ASSERT_EQ(LYCH_CALL(broken, nullptr, broken_names), -EFAULT);
	EXPECT_THAT(Frames(broken), SizeIs(3));
	EXPECT_THAT(Printed(broken), Not(HasSubstr("\033")));
}

TEST_F(Reports, HaveNoNamesOfADomainThatIsGone)
{
	lych_domain *broken = OpenBroken();
	ASSERT_NE(broken, nullptr);
	ASSERT_EQ(LYCH_CALL(broken, nullptr, broken_null, 0), -EFAULT);
	struct lych_fault copy = *lych_fault(broken);
	char text[64] = "x";
	EXPECT_EQ(lych_fault_where(&copy, 0, text, sizeof(text)), 0);
	EXPECT_EQ(lych_fault_where(&copy, 7, text, sizeof(text)), -ENOENT);
	EXPECT_STREQ(text, "");
	EXPECT_EQ(lych_fault_where(&copy, -1, text, sizeof(text)), -ENOENT);
	ASSERT_EQ(Close(broken), 0);
	EXPECT_EQ(lych_fault_where(&copy, 0, text, sizeof(text)), -ENOENT);
}

struct Told {
	std::vector<std::string> files;
	std::vector<std::string> code;
	int opened = 1;
	size_t calls = 0;
	bool there = false;
};

lych_library_opts Telling(Told *told)
{
	lych_library_opts opts = {};

	opts.size = sizeof(opts);
	opts.tell_ctx = told;
	opts.on_file = [](const char *path, uint64_t bytes, void *ctx) {
		EXPECT_GT(bytes, 0u);
		static_cast<Told *>(ctx)->files.emplace_back(path);
	};
	opts.on_code = [](const lych_code_item *item, void *ctx) {
		static_cast<Told *>(ctx)->code.push_back(std::string(item->what) + " " + item->done);
	};
	opts.on_opened = [](lych_domain *domain, int status, void *ctx) {
		auto *t = static_cast<Told *>(ctx);
		struct lych_usage usage;

		t->opened = status;
		t->there = lych_library_usage(domain, &usage) == 0;
		for (uint32_t made : usage.calls) {
			t->calls += made;
		}
	};
	return opts;
}

TEST_F(Reports, OfOpeningSayWhatItTakes)
{
	Told told;
	lych_library_opts opts = Telling(&told);
	lych_domain *broken = Open(LYCH_BROKEN, &opts);
	ASSERT_NE(broken, nullptr);
	EXPECT_EQ(told.opened, 0);
	EXPECT_GT(told.calls, 20u);
	ASSERT_GE(told.files.size(), 4u);
	EXPECT_THAT(told.files, ::testing::Contains(LYCH_BROKEN));
	EXPECT_THAT(told.code, ::testing::Contains("wrpkru trapped")) << "glibc's pkey_set";

	struct lych_usage before, after;
	ASSERT_EQ(lych_library_usage(broken, &before), 0);
	EXPECT_GT(before.code_bytes, 1u << 20);
	EXPECT_GT(before.mapped_bytes, before.code_bytes);
	EXPECT_GE(before.limit_bytes, before.used_bytes);
	EXPECT_EQ(before.threads_made, 0u);
	EXPECT_NE(LYCH_CALL(broken, nullptr, broken_thread, 0), 0);
	ASSERT_EQ(lych_domain_reset(broken), 0);
	ASSERT_EQ(lych_library_usage(broken, &after), 0);
	EXPECT_EQ(after.threads_made, 1u);
	EXPECT_EQ(after.threads, 0u);
	EXPECT_GT(after.calls[SYS_clone3] + after.calls[SYS_clone], before.calls[SYS_clone3] + before.calls[SYS_clone]);
	EXPECT_EQ(lych_library_usage(nullptr, &after), -EINVAL);
}

TEST_F(Reports, OfALibraryThatDoesNotOpenAreMadeWhileItsDomainIsThere)
{
	Told told;
	lych_library_opts opts = Telling(&told);
	lych_domain *none = nullptr;

	EXPECT_EQ(lych_open(&none, "libnobodyhasit.so.7", &opts), -ENOENT);
	EXPECT_EQ(told.opened, -ENOENT);
	EXPECT_TRUE(told.there);
	EXPECT_GT(told.calls, 20u);
	EXPECT_STREQ(lych_call_name(0), "read");
	EXPECT_EQ(lych_call_name(100000), nullptr);
	EXPECT_TRUE(lych_call_allowable(0));
	EXPECT_TRUE(lych_call_allowable(41)) << "socket: as a policy says";
	EXPECT_FALSE(lych_call_allowable(101)) << "ptrace";
	EXPECT_FALSE(lych_call_allowable(100000));
	EXPECT_FALSE(lych_call_allowable(-1));
}

} // namespace
