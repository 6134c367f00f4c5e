// SPDX-License-Identifier: Apache-2.0
// What is believed of a plan that somebody hostile may have made: nothing (G3). The planner's child is real, and its answer is
// changed before the parent looks at it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
extern "C" {
#include "code_fake.h"
}
#pragma GCC diagnostic pop

#include "in_child.h"

using testing::HasSubstr;
using testing::Not;

namespace
{

constexpr size_t page = 4096;

int start()
{
	fake_why[0] = '\0';
	return lych_code_start(LYCH_CODE_REPAIR, LYCH_POLICY_HOST, nullptr, nullptr);
}

// Executable memory with a stray between two instructions, as in libnettle.
const uint8_t stray[] = {0x41, 0xc1, 0xc7, 0x0f, 0x01, 0xef, 0xc3};

uint8_t *plant()
{
	auto *at = static_cast<uint8_t *>(
		mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	memset(at, 0xcc, page);
	memcpy(at + 64, stray, sizeof(stray));
	EXPECT_EQ(mprotect(at, page, PROT_READ | PROT_EXEC), 0);
	return at + 64;
}

// xrstor (%rax); test $0x200,%eax; jne to the ud2 on the next page, where a stray is to be repaired.
uint8_t *plant_checked()
{
	const uint8_t checked[] = {0x0f, 0xae, 0x28, 0xa9, 0x00, 0x02, 0x00, 0x00, 0x0f, 0x85};
	auto *at = static_cast<uint8_t *>(
		mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	memset(at, 0xcc, 2 * page);
	memcpy(at + 64, checked, sizeof(checked));
	const int32_t rel = page + 32 - (64 + sizeof(checked) + 4);
	memcpy(at + 64 + sizeof(checked), &rel, sizeof(rel));
	memcpy(at + page + 32, "\x0f\x0b", 2);
	memcpy(at + page + 64, stray, sizeof(stray));
	EXPECT_EQ(mprotect(at, 2 * page, PROT_READ | PROT_EXEC), 0);
	return at + page + 64;
}

uint8_t *planted;

struct repair_edit *edit_of(struct plan *plan, const uint8_t *at)
{
	for (size_t i = 0; i < plan->nedits; i++) {
		auto vaddr = reinterpret_cast<uint64_t>(at);
		if (plan->edits[i].vaddr <= vaddr + sizeof(stray) && plan->edits[i].vaddr + plan->edits[i].len > vaddr) {
			return &plan->edits[i];
		}
	}
	return nullptr;
}

struct Lie {
	const char *name;
	void (*lie)(struct plan *plan);
	int rc;
	const char *why;
};

const Lie lies[] = {
	{"an edit that writes a sequence",
	 [](struct plan *plan) {
		 struct repair_edit *e = edit_of(plan, planted);
		 memcpy(e->new_bytes, "\x0f\x01\xef", 3);
	 },
	 -EOPNOTSUPP, "wrong at"},
	{"an edit that is longer than it may be",
	 [](struct plan *plan) { edit_of(plan, planted)->len = 255; }, -EOPNOTSUPP, "too long"},
	{"an edit of memory that is no code",
	 [](struct plan *plan) {
		 static uint8_t data[16] = {0x90};
		 plan->edits[plan->nedits - 1].vaddr = reinterpret_cast<uint64_t>(data);
	 },
	 -EOPNOTSUPP, "wrong at"},
	{"an edit of the kernel's memory",
	 [](struct plan *plan) { plan->edits[plan->nedits - 1].vaddr = ~uint64_t{0} - 2; }, -EOPNOTSUPP, "wrong at"},
	{"an edit of code that is other code",
	 [](struct plan *plan) { edit_of(plan, planted)->old_bytes[0] ^= 1; }, -EOPNOTSUPP, "not what the edit says"},
	{"edits out of order",
	 [](struct plan *plan) { std::swap(plan->edits[0], plan->edits[plan->nedits - 1]); }, -EOPNOTSUPP, "out of order"},
	{"a jump to where the child likes",
	 [](struct plan *plan) {
		 struct repair_edit *e = edit_of(plan, planted);
		 e->new_bytes[0] = 0xeb;
		 e->new_bytes[1] = 0x40;
	 },
	 -EOPNOTSUPP, "wrong at"},
	{"an edit of code that has nothing to do with a sequence",
	 [](struct plan *plan) {
		 struct repair_edit *e = edit_of(plan, planted) + 1;
		 memmove(e + 1, e, static_cast<size_t>(plan->edits + plan->nedits++ - e) * sizeof(*e));
		 *e = {};
		 e->vaddr = reinterpret_cast<uint64_t>(planted) + 1024;
		 e->len = 1;
		 e->old_bytes[0] = 0xcc;
		 e->new_bytes[0] = 0x90;
	 },
	 -EOPNOTSUPP, "far from every sequence"},
	{"an edit that is left out",
	 [](struct plan *plan) {
		 struct repair_edit *e = edit_of(plan, planted);
		 memmove(e, e + 1, static_cast<size_t>(plan->edits + --plan->nedits - e) * sizeof(*e));
	 },
	 -ENOEXEC, "wrpkru"},
	{"a trampoline over code",
	 [](struct plan *plan) {
		 plan->trampolines[0].vaddr = reinterpret_cast<uint64_t>(&getpid) & ~uint64_t{15};
		 plan->options.areas[0] = {plan->trampolines[0].vaddr & ~uint64_t{4095},
					   (plan->trampolines[0].vaddr & ~uint64_t{4095}) + 4096};
	 },
	 -EOPNOTSUPP, "wrong at"},
	{"a trampoline outside of the areas",
	 [](struct plan *plan) { plan->trampolines[plan->ntrampolines - 1].vaddr = 1; }, -EOPNOTSUPP, "wrong at"},
	{"a trampoline with a sequence in it",
	 [](struct plan *plan) { memcpy(plan->trampolines[0].code, "\x0f\x01\xef\x90\x90", 5); }, -EOPNOTSUPP, "wrong at"},
	{"a trampoline whose check is gone",
	 [](struct plan *plan) {
		 for (size_t i = 0; i < plan->ntrampolines; i++) {
			 struct repair_trampoline *t = &plan->trampolines[i];
			 for (size_t k = 0; k + 2 < t->len; k++) {
				 // what follows the XRSTOR (with a disp32 off rsp)
				 if (memcmp(t->code + k, "\x0f\xae", 2) == 0 && k + 13 < t->len) {
					 memset(t->code + k + 8, 0x90, 5);
				 }
			 }
		 }
	 },
	 -EOPNOTSUPP, "wrong at"},
	{"a trampoline that leads elsewhere",
	 [](struct plan *plan) {
		 struct repair_trampoline *t = &plan->trampolines[0];
		 t->code[t->len - 1] ^= 0x10;
		 t->resume ^= 0x10;
	 },
	 -EOPNOTSUPP, "wrong at"},
	{"a trampoline longer than it may be",
	 [](struct plan *plan) { plan->trampolines[0].len = 255; }, -EOPNOTSUPP, "wrong at"},
	{"execute rights taken from pages without a sequence",
	 [](struct plan *plan) {
		 uint64_t at = reinterpret_cast<uint64_t>(&in_child) & ~uint64_t{4095};
		 plan->no_exec[0] = {at, at + 4096};
		 plan->nno_exec = 1;
	 },
	 -EOPNOTSUPP, "hold no sequence"},
	{"execute rights taken from everything",
	 [](struct plan *plan) {
		 plan->no_exec[0] = {0x1000, uint64_t{1} << 47};
		 plan->nno_exec = 1;
	 },
	 -EOPNOTSUPP, "wrong at"},
	{"code that was changed meanwhile",
	 [](struct plan *) {
		 auto *at = reinterpret_cast<uint8_t *>(reinterpret_cast<uint64_t>(planted) & ~uint64_t{4095});
		 EXPECT_EQ(mprotect(at, page, PROT_READ | PROT_WRITE), 0);
		 planted[5] = 0xee;
		 EXPECT_EQ(mprotect(at, page, PROT_READ | PROT_EXEC), 0);
	 },
	 -EOPNOTSUPP, "not what the edit says"},
};

// A filter that lets one call fail with EPERM, or does with it what it is told.
bool refuse_call(unsigned int nr, unsigned int how = SECCOMP_RET_ERRNO | EPERM)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, how),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

} // namespace

TEST(CodeStart, CarriesOutAPlanThatIsRight)
{
	in_child([] {
		planted = plant();
		EXPECT_EQ(start(), 0) << fake_why;
		EXPECT_NE(memcmp(planted, stray, sizeof(stray)), 0);
	});
}

TEST(CodeStart, BelievesNothing)
{
	for (const Lie &lie : lies) {
		SCOPED_TRACE(lie.name);
		in_child([&lie] {
			planted = plant();
			fake_lie = lie.lie;
			EXPECT_EQ(start(), lie.rc);
			EXPECT_THAT(fake_why, HasSubstr(lie.why));
			fake_lie = nullptr;
			if (planted[5] == stray[5]) {
				EXPECT_EQ(memcmp(planted, stray, sizeof(stray)), 0) << "nothing is changed";
				EXPECT_EQ(start(), 0) << "and the truth is believed afterwards: " << fake_why;
			}
		});
	}
}

TEST(CodeStart, PlansAgainWhenAPlaceForTrampolinesIsTakenMeanwhile)
{
	in_child([] {
		static int taken;
		fake_lie = [](struct plan *plan) {
			auto at = reinterpret_cast<void *>(plan->trampolines[0].vaddr & ~uint64_t{4095});
			if (taken++ < 2) {
				EXPECT_EQ(mmap(at, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), at);
			}
		};
		EXPECT_EQ(start(), 0) << fake_why;
		EXPECT_EQ(taken, 3);
	});
}

// The next that anybody maps goes where trampolines are to go.
TEST(CodeStart, StandsInNobodysWayItself)
{
	in_child([] {
		static int plans;
		fake_lie = [](struct plan *plan) {
			bool found = false;
			plans++;
			for (int n = 0; n < 1000000 && !found; n++) {
				void *at = mmap(nullptr, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
				for (size_t i = 0; i < plan->ntrampolines; i++) {
					found |= (plan->trampolines[i].vaddr & ~uint64_t{4095}) == reinterpret_cast<uint64_t>(at);
				}
				if (found) {
					munmap(at, page);
				}
			}
			EXPECT_TRUE(found);
		};
		EXPECT_EQ(start(), 0) << fake_why;
		EXPECT_EQ(plans, 1);
	});
}

TEST(CodeStart, GivesUpWhenPlacesAreTakenAllTheTime)
{
	in_child([] {
		fake_lie = [](struct plan *plan) {
			auto at = reinterpret_cast<void *>(plan->trampolines[0].vaddr & ~uint64_t{4095});
			EXPECT_EQ(mmap(at, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), at);
		};
		EXPECT_EQ(start(), -EAGAIN);
	});
}

// What makes a sequence harmless may be far from it, on a page with none.
TEST(CodeStart, SeesWhatAChangeElsewhereMakesOfASequence)
{
	in_child([] {
		planted = plant_checked();
		fake_lie = [](struct plan *plan) {
			struct repair_edit *e = edit_of(plan, planted);
			memmove(e + 1, e, static_cast<size_t>(plan->edits + plan->nedits++ - e) * sizeof(*e));
			*e = {};
			e->vaddr = reinterpret_cast<uint64_t>(planted) - 32;
			e->len = 2;
			memcpy(e->old_bytes, "\x0f\x0b", 2);
			memcpy(e->new_bytes, "\x90\x90", 2);
		};
		EXPECT_EQ(start(), -ENOEXEC);
		EXPECT_THAT(fake_why, HasSubstr("after its repair"));
	});
	in_child([] {
		planted = plant_checked();
		EXPECT_EQ(start(), 0) << "the control: " << fake_why;
	});
}

// Executable memory that comes while a plan is made is looked at, too.
TEST(CodeStart, LooksAtWhatCameMeanwhile)
{
	in_child([] {
		fake_lie = [](struct plan *) {
			if (planted == nullptr) {
				planted = plant();
			}
		};
		EXPECT_EQ(start(), 0) << fake_why;
		EXPECT_NE(memcmp(planted, stray, sizeof(stray)), 0);
	});
}

TEST(CodeStart, DoesNotPlanWithAChildThatCannotBeConfined)
{
	for (unsigned int nr : {static_cast<unsigned int>(SYS_seccomp), static_cast<unsigned int>(SYS_clone)}) {
		in_child([nr] {
			planted = plant();
			ASSERT_TRUE(refuse_call(nr));
			EXPECT_EQ(start(), -EOPNOTSUPP);
			EXPECT_THAT(fake_why, HasSubstr("sandbox: "));
			EXPECT_EQ(memcmp(planted, stray, sizeof(stray)), 0);
		});
	}
}

// Of a process that may write no files the kernel ends the one that tries.
TEST(CodeStart, GoesWithoutFilesWhereNoneMayBeWritten)
{
	in_child([] {
		struct rlimit before;
		ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
		struct rlimit none = {0, before.rlim_max};
		planted = plant();
		ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
		int rc = start();
		sigset_t pending;
		sigpending(&pending);
		setrlimit(RLIMIT_FSIZE, &before);
		EXPECT_EQ(rc, 0) << fake_why;
		EXPECT_NE(memcmp(planted, stray, sizeof(stray)), 0);
		EXPECT_EQ(sigismember(&pending, SIGXFSZ), 0);
	});
}

// A program that locks all its memory has what it maps at once.
TEST(CodeStart, NeedsLittleMemoryWhereAllIsLocked)
{
	in_child([] {
		planted = plant();
		if (mlockall(MCL_FUTURE) != 0) {
			return;
		}
		EXPECT_EQ(start(), 0) << fake_why;
		struct rusage used;
		ASSERT_EQ(getrusage(RUSAGE_SELF, &used), 0);
		EXPECT_LT(used.ru_maxrss, 256 << 10) << "KB";
	});
}

TEST(CodeStart, LooksAtCodeThatNobodyLists)
{
	in_child([] {
		planted = plant();
		fake_lists_nothing = true;
		EXPECT_EQ(start(), 0) << fake_why;
		EXPECT_NE(memcmp(planted, stray, sizeof(stray)), 0);
	});
}

TEST(CodeStart, SaysSoWhenItsChildIsKilledForASystemCall)
{
	in_child([] {
		planted = plant();
		ASSERT_TRUE(refuse_call(SYS_prlimit64, SECCOMP_RET_KILL_PROCESS));
		EXPECT_EQ(start(), -EOPNOTSUPP);
		EXPECT_THAT(fake_why, HasSubstr("sandbox: "));
	});
}

// The kernel knows a probe by the file of the page that its breakpoint is in.
TEST(CodeStart, CopiesNoProbes)
{
	char name[] = "/tmp/code_start_test.XXXXXX";
	int file = mkstemp(name), probe = -1;
	uint32_t type = 0;
	std::ifstream("/sys/bus/event_source/devices/uprobe/type") >> type;
	std::string bytes(page, '\x90');
	bytes.replace(64, 6, "\xb8\x07\0\0\0\xc3", 6); // mov $7,%eax; ret
	ASSERT_EQ(write(file, bytes.data(), page), static_cast<ssize_t>(page));
	if (type != 0) {
		struct perf_event_attr attr = {};
		attr.size = sizeof(attr);
		attr.type = type;
		attr.config1 = reinterpret_cast<uint64_t>(name);
		attr.config2 = 64;
		probe = static_cast<int>(syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0));
	}
	if (probe >= 0) {
		in_child([file] {
			void *at = mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
			ASSERT_NE(at, MAP_FAILED);
			auto code = reinterpret_cast<uint64_t>(at) + 64;
			EXPECT_EQ(*reinterpret_cast<uint8_t *>(code), 0xcc);
			EXPECT_EQ(start(), 0) << fake_why;
			EXPECT_EQ(reinterpret_cast<int (*)()>(code)(), 7);
		});
	}
	close(file);
	unlink(name);
	if (probe < 0) {
		GTEST_SKIP() << "no uprobes here";
	}
}

// The name of a copy says which file it is of. The end of a path that is too long could be another's.
TEST(CodeStart, CallsNoCopyByTheEndOfAPath)
{
	char dir[] = "/tmp/code_start_test.XXXXXX";
	ASSERT_NE(mkdtemp(dir), nullptr);
	std::string end = "/" + std::string(189, 'f'), name = dir + end, bytes(page, '\x90');
	int file = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0700);
	EXPECT_EQ(write(file, bytes.data(), page), static_cast<ssize_t>(page));
	in_child([file, &end] {
		ASSERT_NE(mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0), MAP_FAILED);
		EXPECT_EQ(start(), 0) << fake_why;
		std::ifstream in("/proc/self/maps");
		std::string maps{std::istreambuf_iterator<char>(in), {}};
		EXPECT_THAT(maps, HasSubstr("/memfd:lychgate:..."));
		EXPECT_THAT(maps, Not(HasSubstr("/memfd:lychgate:" + end)));
	});
	close(file);
	unlink(name.c_str());
	rmdir(dir);
}

TEST(CodeStart, SaysSoWithoutProc)
{
	in_child([] {
		ASSERT_TRUE(refuse_call(SYS_openat));
		EXPECT_EQ(start(), -EOPNOTSUPP);
		EXPECT_THAT(fake_why, HasSubstr("/proc"));
	});
}
