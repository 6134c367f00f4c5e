// SPDX-License-Identifier: Apache-2.0
// What is believed of a plan for code of a library domain (G3, G4): nothing. The planner's child is real, and its answer is changed
// before the parent looks at it. And what happens when memory changes that the caller should have kept as it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>

#include <linux/filter.h>
#include <linux/seccomp.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
extern "C" {
#include "code_fake.h"
}
#pragma GCC diagnostic pop

#include "code_copy.h"
#include "in_child.h"

using testing::HasSubstr;

namespace
{

// mov $0xef010f,%eax; ret: repaired with a trampoline. Then NOPs, with ud2 at 256.
Bytes some_code()
{
	Bytes out(2 * kPage, 0x90);
	const uint8_t mov[] = {0xb8, 0x0f, 0x01, 0xef, 0x00, 0xc3};
	memcpy(out.data() + 64, mov, sizeof(mov));
	memcpy(out.data() + 256, "\x0f\x0b", 2);
	return out;
}

Copy *copy;

void add_edit(struct plan *plan, uint64_t vaddr, const char *old_bytes, const char *new_bytes, uint8_t len)
{
	size_t i = 0;
	while (i < plan->nedits && plan->edits[i].vaddr < vaddr) {
		i++;
	}
	memmove(&plan->edits[i + 1], &plan->edits[i], (plan->nedits - i) * sizeof(plan->edits[0]));
	plan->nedits++;
	plan->edits[i] = {};
	plan->edits[i].vaddr = vaddr;
	plan->edits[i].len = len;
	memcpy(plan->edits[i].old_bytes, old_bytes, len);
	memcpy(plan->edits[i].new_bytes, new_bytes, len);
}

void move_trampoline(struct plan *plan, uint64_t to)
{
	struct repair_trampoline *t = &plan->trampolines[0];
	for (size_t i = 0; i < t->nfixups; i++) {
		auto rel = static_cast<int32_t>(t->fixups[i].target - (to + t->fixups[i].end));
		memcpy(t->code + t->fixups[i].at, &rel, sizeof(rel));
	}
	auto rel = static_cast<int32_t>(to - (plan->edits[0].vaddr + 5));
	ASSERT_EQ(plan->edits[0].new_bytes[0], 0xe9);
	memcpy(plan->edits[0].new_bytes + 1, &rel, sizeof(rel));
	t->vaddr = to;
}

struct Lie {
	const char *name;
	void (*lie)(struct plan *plan);
	int rc;
	const char *why;
};

const Lie lies[] = {
	{"an edit that writes a sequence",
	 [](struct plan *plan) { add_edit(plan, copy->arg.at + 1024, "\x90\x90\x90", "\x0f\x01\xef", 3); }, -EOPNOTSUPP, "wrong at"},
	{"an edit of the code before it",
	 [](struct plan *plan) { add_edit(plan, copy->arg.at - 8, "\x90", "\xcc", 1); }, -EOPNOTSUPP, "not in the copy"},
	{"an edit of the code behind it",
	 [](struct plan *plan) { add_edit(plan, copy->arg.at + 2 * kPage + 8, "\xcc", "\x90", 1); }, -EOPNOTSUPP, "not in the copy"},
	{"an edit across its end",
	 [](struct plan *plan) { add_edit(plan, copy->arg.at + 2 * kPage - 1, "\x90\xc3", "\xcc\xc3", 2); }, -EOPNOTSUPP,
	 "not in the copy"},
	{"an edit of the kernel's memory",
	 [](struct plan *plan) { plan->edits[0].vaddr = ~uint64_t{0} - 2; }, -EOPNOTSUPP, "wrong at"},
	{"an edit that is longer than it may be",
	 [](struct plan *plan) { plan->edits[0].len = 255; }, -EOPNOTSUPP, "too long"},
	{"an edit of code that is other code",
	 [](struct plan *plan) { plan->edits[0].old_bytes[0] ^= 1; }, -EOPNOTSUPP, "not what the edit says"},
	{"no edits", [](struct plan *plan) { plan->nedits = plan->ntrampolines = 0; }, -ENOEXEC, "wrpkru"},
	{"a trampoline before the room",
	 [](struct plan *plan) { move_trampoline(plan, copy->arg.room - 256); }, -EOPNOTSUPP, "wrong at"},
	{"a trampoline behind the room",
	 [](struct plan *plan) { move_trampoline(plan, copy->arg.room + copy->arg.room_bytes); }, -EOPNOTSUPP, "wrong at"},
	{"a trampoline in the copy",
	 [](struct plan *plan) { move_trampoline(plan, copy->arg.at + 512); }, -EOPNOTSUPP, "wrong at"},
	{"a trampoline at the room's very start",
	 [](struct plan *plan) { move_trampoline(plan, copy->arg.room); }, -EOPNOTSUPP, "at the edge"},
	{"a trampoline at the room's very end",
	 [](struct plan *plan) { move_trampoline(plan, copy->arg.room + copy->arg.room_bytes - plan->trampolines[0].len); },
	 -EOPNOTSUPP, "at the edge"},
	{"a trampoline with a sequence in it",
	 [](struct plan *plan) { memcpy(plan->trampolines[0].code, "\x0f\x01\xef\x90\x90", 5); }, -EOPNOTSUPP, "wrong at"},
	{"a trampoline that leads to the host",
	 [](struct plan *plan) {
		 struct repair_trampoline *t = &plan->trampolines[0];
		 t->absolute = reinterpret_cast<uint64_t>(&lych_code_admit);
		 memcpy(t->code, "\xff\x25\0\0\0\0", 6);
		 memcpy(t->code + 6, &t->absolute, 8);
		 t->len = 14;
	 },
	 -EOPNOTSUPP, "nobody allowed"},
	{"execute rights taken from the code before it",
	 [](struct plan *plan) {
		 plan->no_exec[0] = {copy->arg.at - kPage, copy->arg.at};
		 plan->nno_exec = 1;
	 },
	 -EOPNOTSUPP, "not in the copy"},
	{"execute rights taken from everything",
	 [](struct plan *plan) {
		 plan->no_exec[0] = {0x1000, uint64_t{1} << 47};
		 plan->nno_exec = 1;
	 },
	 -EOPNOTSUPP, "wrong at"},
};

void with_copy(const Bytes &content, void (*then)())
{
	in_child([&content, then] {
		Copy one(content);
		copy = &one;
		one.plant_before(Bytes(64, 0x90));
		one.plant_behind({0xc3});
		fake_why[0] = '\0';
		then();
	});
}

const char *perms_at(uint64_t at)
{
	static std::string perms;
	auto seen = mappings_in(at, at + kPage);
	perms = seen.empty() ? "" : seen[0].perms;
	return perms.c_str();
}

} // namespace

TEST(Admitting, CarriesOutAPlanThatIsRight)
{
	with_copy(some_code(), [] {
		EXPECT_EQ(copy->admit(), 0) << fake_why;
		EXPECT_STREQ(perms_at(copy->arg.at), "r-xp");
		EXPECT_EQ(reinterpret_cast<int (*)()>(copy->at(64))(), 0xef010f);
	});
}

TEST(Admitting, BelievesNothing)
{
	for (const Lie &lie : lies) {
		SCOPED_TRACE(lie.name);
		static const Lie *now;
		now = &lie;
		with_copy(some_code(), [] {
			fake_lie = now->lie;
			EXPECT_EQ(copy->admit(), now->rc);
			EXPECT_THAT(fake_why, HasSubstr(now->why));
			EXPECT_STREQ(perms_at(copy->arg.at), "---p") << "nothing is changed";
			EXPECT_STREQ(perms_at(copy->arg.room), "---p");
			EXPECT_EQ(copy->at(0)[-8], 0x90);
			fake_lie = nullptr;
			EXPECT_EQ(copy->admit(), 0) << "and the truth is believed afterwards: " << fake_why;
		});
	}
}

// A sequence that was harmless for what stood behind it, until an edit that nobody wants changed that.
TEST(Admitting, SeesWhatAChangeElsewhereMakesOfASequence)
{
	Bytes content = some_code();
	// xrstor (%rax); test $0x200,%eax; jne to ud2
	const uint8_t checked[] = {0x0f, 0xae, 0x28, 0xa9, 0x00, 0x02, 0x00, 0x00, 0x75, 256 - 128 - 10};
	memcpy(content.data() + 128, checked, sizeof(checked));
	with_copy(content, [] {
		fake_lie = [](struct plan *plan) { add_edit(plan, copy->arg.at + 256, "\x0f\x0b", "\x90\x90", 2); };
		EXPECT_EQ(copy->admit(), -ENOEXEC);
		EXPECT_THAT(fake_why, HasSubstr("after its repair"));
		EXPECT_STREQ(perms_at(copy->arg.at), "---p");
		fake_lie = nullptr;
		EXPECT_EQ(copy->admit(), 0) << "the control: " << fake_why;
		EXPECT_EQ(copy->told.size(), 1u);
	});
}

// What is admitted is what was looked at, whatever becomes of what it was made from.
TEST(Admitting, TakesItsCopyOnce)
{
	with_copy(some_code(), [] {
		fake_lie = [](struct plan *) {
			memcpy(const_cast<void *>(copy->arg.content), "\x0f\x01\xef", 3);
		};
		ASSERT_EQ(copy->admit(), 0) << fake_why;
		EXPECT_EQ(copy->at()[0], 0x90);
	});
}

TEST(Admitting, ReadsTheCodeWhereItIsToldHow)
{
	with_copy(some_code(), [] {
		static int rc;
		copy->arg.content = nullptr;
		copy->arg.read_ctx = copy;
		copy->arg.read = [](void *to, size_t bytes, void *ctx) {
			const Bytes &code = static_cast<Copy *>(ctx)->original();
			EXPECT_EQ(bytes, code.size());
			memcpy(to, code.data(), bytes);
			return rc;
		};
		rc = -EIO;
		EXPECT_EQ(copy->admit(), -EIO);
		EXPECT_STREQ(perms_at(copy->arg.at), "---p");
		rc = 0;
		EXPECT_EQ(copy->admit(), 0) << fake_why;
		EXPECT_EQ(reinterpret_cast<int (*)()>(copy->at(64))(), 0xef010f);
	});
}

// Seconds of planning. The child is gone, and what comes next is as if nothing had been.
TEST(Admitting, GivesUpWhenItIsOverWhileAPlanIsMade)
{
	Bytes content(4 << 20, 0x90);
	for (size_t at = 7; at + 3 <= content.size(); at += 128) {
		memcpy(content.data() + at, "\x0f\x01\xef", 3);
	}
	in_child([&content] {
		static int asked;
		Copy many(content), few(some_code());
		many.arg.over = [](const void *) { return ++asked > 0; };
		EXPECT_EQ(many.admit(), -EINTR) << fake_why;
		EXPECT_EQ(asked, 1);
		EXPECT_STREQ(perms_at(many.arg.at), "---p");
		EXPECT_EQ(waitpid(-1, nullptr, __WALL | WNOHANG), -1) << "there is a child";
		EXPECT_EQ(errno, ECHILD);
		few.arg.over = [](const void *) { return false; };
		EXPECT_EQ(few.admit(), 0) << "the control: " << fake_why;
		EXPECT_EQ(reinterpret_cast<int (*)()>(few.at(64))(), 0xef010f);
	});
}

TEST(Admitting, GivesUpWhenItIsOverWhileOthersAreAtIt)
{
	with_copy(some_code(), [] {
		static int asked;
		static Copy *other;
		Copy second(some_code());
		other = &second;
		second.arg.over = [](const void *) { return ++asked == 3; };
		fake_lie = [](struct plan *) {
			EXPECT_EQ(lych_code_admit(&other->arg), -EINTR);
			EXPECT_STREQ(perms_at(other->arg.at), "---p");
		};
		EXPECT_EQ(copy->admit(), 0) << fake_why;
		EXPECT_EQ(asked, 3);
		fake_lie = nullptr;
		EXPECT_EQ(second.admit(), 0) << "the control: " << fake_why;
	});
}

TEST(Admitting, TakesBackWhatIsNextToCodeThatCameMeanwhile)
{
	in_child([] {
		Copy one(some_code());
		copy = &one;
		fake_lie = [](struct plan *) { copy->plant_behind({0x01, 0xef}); };
		EXPECT_EQ(one.admit(), -EAGAIN);
		EXPECT_STREQ(perms_at(one.arg.at), "---p");
		EXPECT_STREQ(perms_at(one.arg.room), "---p");
		EXPECT_EQ(one.arg.room_used, 0u);
		fake_lie = nullptr;
		EXPECT_EQ(one.admit(), 0) << "the control: " << fake_why;
	});
}

TEST(Admitting, NeedsAChildOnlyWhereThereAreSequences)
{
	static int plans;
	fake_lie = [](struct plan *) { plans++; };
	Copy without(Bytes(64, 0x90)), with(some_code());
	EXPECT_EQ(without.admit(), 0);
	EXPECT_EQ(plans, 0);
	EXPECT_EQ(with.admit(), 0);
	EXPECT_EQ(plans, 1);
	fake_lie = nullptr;
}

TEST(Admitting, GoesWithoutFilesWhereNoneMayBeWritten)
{
	with_copy(some_code(), [] {
		struct rlimit none = {0, RLIM_INFINITY};
		ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
		int rc = copy->admit();
		none.rlim_cur = RLIM_INFINITY;
		setrlimit(RLIMIT_FSIZE, &none);
		EXPECT_EQ(rc, 0) << fake_why;
		EXPECT_STREQ(perms_at(copy->arg.at), "r-xp");
		EXPECT_EQ(reinterpret_cast<int (*)()>(copy->at(64))(), 0xef010f);
	});
}

// The domain goes on without the code, and nobody else's memory gets to its addresses.
TEST(Admitting, LeavesNothingBehindWhereTheKernelRefuses)
{
	for (unsigned int nr : {static_cast<unsigned int>(SYS_mremap), static_cast<unsigned int>(SYS_mprotect)}) {
		static unsigned int call;
		call = nr;
		with_copy(some_code(), [] {
			// mprotect with PROT_EXEC, and every mremap
			struct sock_filter refuse[] = {
				BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
				BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4),
				BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mremap, 2, 0),
				BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
				BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
				BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
				BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
			};
			struct sock_fprog prog = {sizeof(refuse) / sizeof(refuse[0]), refuse};
			ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
			ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0);
			EXPECT_EQ(copy->admit(), -EOPNOTSUPP);
			EXPECT_THAT(fake_why, HasSubstr("sandbox: "));
			EXPECT_STREQ(perms_at(copy->arg.at), "---p");
			EXPECT_STREQ(perms_at(copy->arg.room), "---p");
		});
	}
}

// ---- plans that are kept ---------------------------------------------------------------------------------------------

namespace
{

int plans, taken;
struct lych_code_memo kept;

void count_plans()
{
	plans = 0;
	fake_lie = [](struct plan *) { plans++; };
	kept = {};
	kept.take = [](size_t bytes) {
		taken++;
		return calloc(1, bytes);
	};
	kept.give = [](void *at, size_t) {
		taken--;
		free(at);
	};
}

// The file is the code, and something behind it.
struct Kept {
	explicit Kept(const Bytes &content, size_t room = Copy::kRoom) : file(content), copy(content, -1, room)
	{
		file.resize(content.size() + 100, 7);
		describe();
	}
	void describe()
	{
		copy.arg.file = file.data();
		copy.arg.file_bytes = file.size();
		copy.arg.memo = &kept;
	}
	Bytes file;
	Copy copy;
};

} // namespace

TEST(Admitting, PlansOnceForTheSameCode)
{
	in_child([] {
		count_plans();
		Kept first(some_code()), second(some_code());
		ASSERT_EQ(first.copy.admit(), 0) << fake_why;
		ASSERT_EQ(second.copy.admit(), 0) << fake_why;
		EXPECT_EQ(plans, 1);
		ASSERT_EQ(second.copy.told.size(), 1u);
		EXPECT_EQ(second.copy.told[0].done, first.copy.told[0].done);
		EXPECT_EQ(second.copy.told[0].address - second.copy.arg.at, first.copy.told[0].address - first.copy.arg.at);
		EXPECT_EQ(reinterpret_cast<int (*)()>(first.copy.at(64))(), 0xef010f);
		EXPECT_EQ(reinterpret_cast<int (*)()>(second.copy.at(64))(), 0xef010f);
		EXPECT_NE(second.copy.arg.room_used, 0u) << "by a trampoline of its own";
	});
}

TEST(Admitting, PlansAgainForWhatIsNotQuiteTheSame)
{
	in_child([] {
		count_plans();
		Bytes other_code = some_code();
		other_code[1000] = 0xcc;
		Kept first(some_code()), code(other_code), file(some_code()), longer(some_code()), room(some_code(), Copy::kRoom / 2),
			classes(some_code()), before(some_code()), behind(some_code());
		ASSERT_EQ(first.copy.admit(), 0) << fake_why;
		int expected = 1;
		file.file.back() ^= 1;
		longer.file.push_back(0);
		longer.describe();
		classes.copy.arg.classes &= ~LYCH_CLASS_BIT(LYCH_WRGSBASE);
		before.copy.plant_before({0x90});
		behind.copy.plant_behind({0x90});
		for (Kept *one : {&code, &file, &longer, &room, &classes, &before, &behind}) {
			ASSERT_EQ(one->copy.admit(), 0) << fake_why;
			EXPECT_EQ(plans, ++expected);
			EXPECT_EQ(reinterpret_cast<int (*)()>(one->copy.at(64))(), 0xef010f);
		}
	});
}

// What was planned of a file that somebody changes meanwhile is not kept for the file that it is not of.
TEST(Admitting, KeepsAPlanForWhatItWasMadeOf)
{
	in_child([] {
		count_plans();
		static Bytes *changing;
		Kept first(some_code()), second(some_code()), third(some_code());
		changing = &first.file;
		fake_lie = [](struct plan *plan) {
			plans++;
			changing->back() ^= 1;
			EXPECT_NE(plan->maps->items[0].file, changing->data()) << "nobody else writes what it is made of";
		};
		ASSERT_EQ(first.copy.admit(), 0) << fake_why;
		second.file = first.file;
		second.describe();
		fake_lie = [](struct plan *) { plans++; };
		ASSERT_EQ(second.copy.admit(), 0) << fake_why;
		EXPECT_EQ(plans, 2) << "it is the file as it was before";
		ASSERT_EQ(third.copy.admit(), 0) << fake_why;
		EXPECT_EQ(plans, 2);
	});
}

TEST(Admitting, BelievesNoPlanThatWasKept)
{
	in_child([] {
		count_plans();
		Kept first(some_code()), second(some_code());
		ASSERT_EQ(first.copy.admit(), 0) << fake_why;
		// The edit of the first byte of mov: somebody has written to what is kept.
		auto *bytes = reinterpret_cast<uint8_t *>(kept.first);
		const uint8_t mov[] = {0xb8, 0x0f, 0x01, 0xef, 0x00, 0xe9};
		auto *old = static_cast<uint8_t *>(memmem(bytes, 64 << 10, mov, 5));
		ASSERT_NE(old, nullptr);
		old[4] ^= 1;
		EXPECT_EQ(second.copy.admit(), -EOPNOTSUPP);
		EXPECT_THAT(fake_why, HasSubstr("not what the edit says"));
		EXPECT_EQ(plans, 1);
		old[4] ^= 1;
		EXPECT_EQ(second.copy.admit(), 0) << "the control: " << fake_why;
	});
}

TEST(Admitting, KeepsNoPlanThatWasRefusedAndNotAllThereAre)
{
	in_child([] {
		count_plans();
		Kept one(some_code());
		fake_lie = [](struct plan *plan) { plan->edits[0].old_bytes[0] ^= 1; };
		EXPECT_EQ(one.copy.admit(), -EOPNOTSUPP);
		EXPECT_EQ(kept.first, nullptr);
		EXPECT_EQ(taken, 0);
		fake_lie = nullptr;
		for (int i = 0; i < 12; i++) {
			Kept big(some_code());
			big.file.resize(8 << 20, static_cast<uint8_t>(i));
			big.describe();
			ASSERT_EQ(big.copy.admit(), 0) << fake_why;
		}
		EXPECT_GT(taken, 1);
		EXPECT_LT(taken, 12);
	});
}
