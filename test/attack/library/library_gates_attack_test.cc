// SPDX-License-Identifier: Apache-2.0
// G2, G6: from a library domain into the middle of gates, with stack pointers of its choice; signals in the middle of its calls.
#include "library_attack.h"

#include <sys/time.h>

#include <algorithm>
#include <random>

extern "C" {
long gates_callback(long a);
void hostile_jump(void *to, long rax, void *rdi, void *rsi, void *rsp);
void hostile_wild(void *rsp);
}
LYCH_CALLBACK(gates_callback, long, (long));
LYCH_SYM(domain, hostile_jump, void, (void *, long, void *, void *, void *));
LYCH_SYM(domain, hostile_wild, void, (void *));

static int called;

extern "C" long gates_callback(long a)
{
	called++;
	return a + 1;
}

namespace
{

class Gates : public LibraryAttack
{
};

void Still(World *w, const inside &before, int rc)
{
	inside after;

	inside_look(&after);
	EXPECT_STREQ(inside_differences(&before, &after), "");
	EXPECT_EQ(*w->secret, PREY_SECRET);
	EXPECT_EQ(*w->other, PREY_SECRET);
	ASSERT_EQ(memcmp(w->secret + 1, w->other + 1, 4088), 0);
	EXPECT_TRUE(rc == 0 || rc == -EFAULT || rc == -ECANCELED || rc == -ETIMEDOUT) << rc;
	if (rc != 0) {
		ASSERT_EQ(lych_domain_reset(w->domain), 0) << lych_why();
		ASSERT_TRUE(w->Arm());
	}
}

TEST_F(Gates, AreOfNoUseToWhoJumpsIntoThem)
{
	IN_A_CHILD({
		World w;
		inside before;
		ASSERT_TRUE(w.Start());
		lych_domain *domain = w.domain;
		inside_look(&before);
		std::vector<uint64_t> places = {inside_entry(), inside_resume(), inside_follow(), inside_trap()};
		for (uint64_t at = inside_entry(); at < inside_entry() + 200; at += 3) {
			places.push_back(at);
		}
		for (uint64_t at = inside_resume(); at < inside_resume_end(); at += 3) {
			places.push_back(at);
		}
		std::mt19937 random(5);
		for (int i = 0; i < 200; i++) {
			places.push_back(inside_gate_text() + random() % (inside_gate_text_end() - inside_gate_text()));
		}
		for (int i = 0; i < 96; i += 2) {
			places.push_back(reinterpret_cast<uint64_t>(w.target->host_pkey_set) + i);
		}
		for (uint64_t at : places) {
			SCOPED_TRACE(at - inside_gate_text());
			int rc = LYCH_CALL_TIMEOUT(domain, 2000, LYCH_NOTHING, hostile_jump, reinterpret_cast<void *>(at), 0,
						   w.secret, w.target->own, nullptr);
			Still(&w, before, rc);
			if (HasFatalFailure()) {
				return;
			}
		}
		w.Check();
	});
}

TEST_F(Gates, AndTheKernelWriteNothingWhereTheStackPointerPoints)
{
	IN_A_CHILD({
		World w;
		inside before;
		ASSERT_TRUE(w.Start());
		lych_domain *domain = w.domain;
		inside_look(&before);
		for (uint64_t at : {reinterpret_cast<uint64_t>(w.secret), reinterpret_cast<uint64_t>(w.secret) + 4096,
				    reinterpret_cast<uint64_t>(w.other) + 2048, reinterpret_cast<uint64_t>(w.words) + 4000,
				    before.area + 4096, before.area + 64, before.records + 512, before.altstack + before.altstack_bytes,
				    before.altstack + 4096, before.sig_stack, before.sig_rsp, uint64_t{0}, ~uint64_t{7},
				    uint64_t{1} << 47, reinterpret_cast<uint64_t>(inside_root_page()) + 2048}) {
			SCOPED_TRACE(at);
			int rc = LYCH_CALL_TIMEOUT(domain, 5000, LYCH_NOTHING, hostile_wild, reinterpret_cast<void *>(at));
			EXPECT_EQ(rc, -EFAULT);
			Still(&w, before, rc);
			if (HasFatalFailure()) {
				return;
			}
		}
		w.Check();
	});
	// the control: without an alternate stack of the runtime's the kernel writes it there, whatever the key
	auto *page = static_cast<uint64_t *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	ChildStatus([page] {
		auto wild = reinterpret_cast<void (*)(void *)>(WithoutProtection("hostile_wild"));
		int key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
		struct sigaction action = {};
		action.sa_handler = [](int) {};
		sigaction(SIGILL, &action, nullptr);
		if (pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, key) == 0) {
			wild(page + 512);
		}
	});
	EXPECT_TRUE(std::any_of(page, page + 512, [](uint64_t word) { return word != 0; }));
	munmap(page, 4096);
}

// Its own threads run on stacks that it may unmap.
TEST_F(Gates, TakeNoCallbackOnAStackThatIsNotThere)
{
	IN_A_CHILD({
		World w;
		long (*fn)(long) = nullptr;
		inside state;
		ASSERT_TRUE(w.Start());
		inside_look(&state);
		ASSERT_EQ(lych_callback(&fn, w.domain, gates_callback, nullptr), 0);
		for (uint64_t stack : {uint64_t{1}, uint64_t{2}, uint64_t{3}, reinterpret_cast<uint64_t>(w.secret) + 2048,
				       state.area + 2048, state.altstack + 4096, reinterpret_cast<uint64_t>(w.target->low) + 8,
				       reinterpret_cast<uint64_t>(w.target->high) - 8, reinterpret_cast<uint64_t>(w.target->high) + 4096,
				       uint64_t{8}, ~uint64_t{7}}) {
			SCOPED_TRACE(stack);
			long result = 0;
			called = 0;
			w.target->more[0] = stack;
			w.target->more[1] = reinterpret_cast<uint64_t>(fn);
			int rc = w.Attack("attack_calls_back_from_a_thread", &result);
			EXPECT_TRUE(rc == -ECANCELED || rc == -EFAULT) << rc;
			w.Anew();
			ASSERT_EQ(lych_callback(&fn, w.domain, gates_callback, nullptr), 0);
		}
		w.Check();
	});
}

// Signals of the host's timer in the middle of whatever the domain does; what it sees and what it has is not changed.
TEST_F(Gates, AndEmulatedCallsStandAStormOfSignals)
{
	IN_A_CHILD({
		World w;
		ASSERT_TRUE(w.Start());
		static std::atomic<int> storm;
		storm = 0;
		struct sigaction action = {};
		action.sa_handler = [](int) { storm++; };
		sigaction(SIGALRM, &action, nullptr);
		itimerval often = {{0, 500}, {0, 500}};
		setitimer(ITIMER_REAL, &often, nullptr);
		lych_domain *domain = w.domain;
		for (int i = 0; i < 2000 || (storm < 50 && i < 100000); i++) {
			long result = 0;
			long nr = i % 3 == 0 ? SYS_getpid : i % 3 == 1 ? SYS_process_vm_readv : SYS_clock_gettime;
			ASSERT_EQ(LYCH_CALL_TIMEOUT(domain, kCallMs, &result, hostile_syscall, nr,
						    1, reinterpret_cast<long>(i % 3 == 2 ? static_cast<void *>(w.secret) : w.target->own),
						    0, 0, 0, 0),
				  0);
			ASSERT_EQ(result, i % 3 == 0 ? getpid() : i % 3 == 1 ? -EPERM : -EFAULT) << i;
		}
		often = {};
		setitimer(ITIMER_REAL, &often, nullptr);
		EXPECT_GE(storm, 50);
		w.Check();
	});
}

} // namespace
