/* SPDX-License-Identifier: Apache-2.0 */
// G1 and G7: code in a domain reads and writes what is not its own, writes over all that is its own, and never returns.
#include "attack.h"

#include <sched.h>
#include <signal.h>
#include <sys/time.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <string>
#include <thread>

extern "C" {
// A page of the program's own, not of any key.
alignas(4096) uint64_t ordinary[512];
long recurse(volatile char *above);
void spin(void);
void spin_deaf(void);
}

namespace
{

long Read(prey *p)
{
	p->taken = *p->secret;
	return 0;
}

long Write(prey *p)
{
	*reinterpret_cast<volatile uint64_t *>(p->secret) = 0x666;
	return 0;
}

class Memory : public NeedsPku, public ::testing::WithParamInterface<lych_kind>
{
protected:
	// Nobody but owner reads (and writes) what is at at.
	static void Denied(void *at, attack_fn attack, const char *owner, lych_access access)
	{
		target->secret = static_cast<uint64_t *>(at);
		Ended ended = Attack(attack);
		EXPECT_EQ(ended.rc, -EFAULT) << owner;
		ExpectFault(LYCH_FAULT_KEY, owner);
		EXPECT_EQ(lych_fault(domain)->access, access) << owner;
		EXPECT_EQ(lych_fault(domain)->address, reinterpret_cast<uint64_t>(at)) << owner;
		EXPECT_EQ(ended.result, 12345);
		EXPECT_NE(target->taken, kSecret);
		Anew();
	}
	static void Allowed(void *at, attack_fn attack)
	{
		target->secret = static_cast<uint64_t *>(at);
		Ended ended = Attack(attack);
		EXPECT_EQ(ended.rc, 0);
		EXPECT_EQ(ended.result, 0);
	}
};

TEST_P(Memory, OfOthersIsNeitherReadNorWritten)
{
	if (On61() && GetParam() == LYCH_KIND_PURE) {
		IN_A_CHILD({ ExpectNotMade(GetParam()); });
		return;
	}
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		inside state;
		inside_look(&state);
		struct {
			void *at;
			const char *owner;
		} rows[] = {
			{victims, lych_domain_name(victim)},
			{reinterpret_cast<void *>(state.area + 4096), "monitor"},
			{reinterpret_cast<void *>(state.records), "monitor"},
			{reinterpret_cast<void *>(state.sig_stack - 64), "monitor"},
		};
		if (!On61()) {
			lych_domain *vault = nullptr;
			lych_domain_opts opts = {};
			opts.size = sizeof(opts);
			opts.kind = LYCH_KIND_VAULT;
			opts.name = "vault";
			ASSERT_EQ(lych_domain_new(&vault, &opts), 0) << lych_why();
			void *kept = lych_alloc(vault, 64);
			Denied(kept, Read, "vault", LYCH_ACCESS_READ);
			Denied(kept, Write, "vault", LYCH_ACCESS_WRITE);
		}
		for (auto &row : rows) {
			Denied(row.at, Read, row.owner, LYCH_ACCESS_READ);
			Denied(row.at, Write, row.owner, LYCH_ACCESS_WRITE);
		}
		// what decides: which function a pointer or a callback leads to, who has which key, what a signal does
		for (const inside_table *table = inside_tables(domain); table->name != nullptr; table++) {
			SCOPED_TRACE(table->name);
			ASSERT_NE(table->at, nullptr);
			Denied(table->at, Read, "monitor", LYCH_ACCESS_READ);
			Denied(table->at, Write, "monitor", LYCH_ACCESS_WRITE);
		}
		if (!On61()) { // where frames of signals are written
			Denied(reinterpret_cast<void *>(state.altstack + 64), Read, "monitor", LYCH_ACCESS_READ);
			Denied(reinterpret_cast<void *>(state.sig_rsp), Write, "monitor", LYCH_ACCESS_WRITE);
		}
		// of another thread, too, and its gate page
		std::atomic<int> phase{0};
		inside others;
		std::thread other([&] {
			EXPECT_EQ(lych_attach(), 0);
			inside_look(&others);
			phase = 1;
			while (phase != 2) {
				sched_yield();
			}
		});
		while (phase != 1) {
			sched_yield();
		}
		Denied(reinterpret_cast<void *>(others.records), Read, "monitor", LYCH_ACCESS_READ);
		Denied(reinterpret_cast<void *>(others.records), Write, "monitor", LYCH_ACCESS_WRITE);
		Denied(reinterpret_cast<void *>(others.area), Write, "gate", LYCH_ACCESS_WRITE);
		phase = 2;
		other.join();
		// the gate page is read by everybody, and written by none
		Denied(reinterpret_cast<void *>(state.area), Write, "gate", LYCH_ACCESS_WRITE);
		Allowed(reinterpret_cast<void *>(state.area), Read);
		// the controls: the same code with memory of its own, and of the host where the host calls it
		Allowed(target->own, Write);
		Allowed(target->own, Read);
		EXPECT_EQ(target->taken, 0x666u);
		target->secret = victims;
		EXPECT_EQ(Read(target), 0);
		EXPECT_EQ(target->taken, kSecret);
		target->taken = 0;
	});
}

TEST_P(Memory, OfARegionIsTheHostsAloneEvenWhileItIsOpenThere)
{
	if (On61() && GetParam() == LYCH_KIND_PURE) {
		IN_A_CHILD({ ExpectNotMade(GetParam()); });
		return;
	}
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		for (attack_fn attack : {attack_fn(Read), attack_fn(Write)}) {
			Ended ended = Attack(attack);
			EXPECT_EQ(ended.rc, -EFAULT);
			ExpectFault(LYCH_FAULT_KEY);
			EXPECT_EQ(lych_fault(domain)->key, lych_region_key(region));
			Anew();
			LYCH_WRITE(uint64_t, secret, region)
			{
				EXPECT_EQ(attack == Read ? Read(target) : 0, 0);
				EXPECT_EQ(target->taken, attack == Read ? kSecret : 0) << "the control: in a scope, no gate";
				target->taken = 0;
				ended = Attack(attack);
				EXPECT_EQ(ended.rc, -EFAULT);
				EXPECT_EQ(lych_fault(domain)->key, lych_region_key(region));
				EXPECT_NE(target->taken, kSecret);
				EXPECT_EQ(*secret, kSecret);
			}
			Anew();
		}
	});
}

// The host's ordinary memory is as the kind says: these are the limits, and the controls of one another.
TEST_P(Memory, OfTheHostIsAsTheKindSays)
{
	if (On61() && GetParam() == LYCH_KIND_PURE) {
		IN_A_CHILD({ ExpectNotMade(GetParam()); });
		return;
	}
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		ordinary[0] = 1;
		Allowed(ordinary, Read);
		EXPECT_EQ(target->taken, 1u) << "no kind keeps the host's secrets";
		if (GetParam() == LYCH_KIND_CONTAIN) {
			Allowed(ordinary, Write);
			EXPECT_EQ(ordinary[0], 0x666u) << "not for hostile code";
		} else {
			Denied(ordinary, Write, "host", LYCH_ACCESS_WRITE);
			EXPECT_EQ(ordinary[0], 1u);
		}
	});
}

extern "C" void others_key(void);
LYCH_CALLBACK(others_key, void, (void));
int key_of_others, rights_in_callback;
extern "C" void others_key(void)
{
	rights_in_callback = pkey_get(key_of_others);
}

// Somebody else in the program has a key, too: no domain has a right to it, and the host's is behind each gate what it was
// before it, whatever it was.
TEST_P(Memory, OfAKeyThatOthersHaveIsClosedInADomainAndAsItWasBehindIt)
{
	if (On61() && GetParam() == LYCH_KIND_PURE) {
		IN_A_CHILD({ ExpectNotMade(GetParam()); });
		return;
	}
	for (bool before : {true, false}) {
		IN_A_CHILD({
			void (*fn)(void) = nullptr;
			key_of_others = before ? pkey_alloc(0, 0) : 0;
			ASSERT_TRUE(Start(GetParam()));
			key_of_others = before ? key_of_others : pkey_alloc(0, 0);
			ASSERT_GT(key_of_others, 0);
			ASSERT_EQ(lych_callback(&fn, domain, others_key, nullptr), 0);
			auto *page = static_cast<uint64_t *>(
				mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
			*page = kSecret;
			ASSERT_EQ(pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, key_of_others), 0);
			for (int rights : {0, PKEY_DISABLE_WRITE, PKEY_DISABLE_ACCESS}) {
				ASSERT_EQ(pkey_set(key_of_others, static_cast<unsigned>(rights)), 0);
				for (attack_fn attack : {attack_fn(Read), attack_fn(Write)}) {
					target->secret = page;
					EXPECT_EQ(Attack(attack).rc, -EFAULT);
					EXPECT_EQ(lych_fault(domain)->key, key_of_others);
					EXPECT_NE(target->taken, kSecret);
					EXPECT_EQ(pkey_get(key_of_others), rights) << "behind a fault";
					Anew();
				}
				target->secret = reinterpret_cast<uint64_t *>(target->own);
				Allowed(target->own, Read);
				EXPECT_EQ(pkey_get(key_of_others), rights) << "behind a call";
				target->more[0] = reinterpret_cast<uint64_t>(fn);
				rights_in_callback = -1;
				EXPECT_EQ(Attack([](prey *p) -> long {
						  reinterpret_cast<void (*)(void)>(p->more[0])();
						  return 0;
					  }).rc,
					  0);
				EXPECT_GE(rights_in_callback, 0);
				EXPECT_EQ(pkey_get(key_of_others), rights) << "behind a callback";
			}
			ASSERT_EQ(pkey_set(key_of_others, 0), 0);
			EXPECT_EQ(*page, kSecret) << "the control: the host reads it";
		});
	}
}

INSTANTIATE_TEST_SUITE_P(Kinds, Memory, ::testing::Values(LYCH_KIND_CONTAIN, LYCH_KIND_PURE), [](const auto &one) {
	return std::string(one.param == LYCH_KIND_CONTAIN ? "Contain" : "Pure");
});

// ---- its own heap

long Overwrite(prey *p)
{
	// the whole heap: from the page of its own back to where it faults is not known, so all that it was told of
	auto *from = reinterpret_cast<char *>(p->more[0]);
	for (char *at = from; at < from + p->more[1]; at++) {
		if (at < reinterpret_cast<char *>(p) || at >= reinterpret_cast<char *>(p + 1)) {
			*at = static_cast<char>(0xff);
		}
	}
	return 0;
}

TEST_F(NeedsPku, ADomainThatOverwritesItsHeapDoesNotMisleadTheAllocator)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start());
		char *low = target->own;
		char *high = low;
		void *blocks[64];
		for (void *&block : blocks) {
			block = lych_alloc(domain, 100);
			low = std::min(low, static_cast<char *>(block));
			high = std::max(high, static_cast<char *>(block) + 100);
		}
		for (int i = 0; i < 64; i += 2) {
			ASSERT_EQ(lych_free(domain, blocks[i]), 0);
		}
		target->more[0] = reinterpret_cast<uint64_t>(low);
		target->more[1] = static_cast<uint64_t>(high - low);
		Ended ended = Attack(Overwrite);
		EXPECT_EQ(ended.rc, 0);
		for (int i = 0; i < 64; i += 2) {
			EXPECT_EQ(lych_free(domain, blocks[i]), -EINVAL) << "free already";
		}
		for (int i = 0; i < 64; i += 2) {
			blocks[i] = lych_alloc(domain, 100);
			ASSERT_NE(blocks[i], nullptr);
			ASSERT_EQ(lych_verify_range(domain, blocks[i], 100), 0);
			EXPECT_EQ(*static_cast<uint64_t *>(blocks[i]), 0u) << "zeroed";
		}
		std::sort(blocks, blocks + 64);
		for (int i = 1; i < 64; i++) {
			EXPECT_GE(static_cast<char *>(blocks[i]) - static_cast<char *>(blocks[i - 1]), 100) << "over another";
		}
		for (void *block : blocks) {
			EXPECT_EQ(lych_free(domain, block), 0);
		}
		EXPECT_EQ(lych_free(domain, victims), -EINVAL);
		EXPECT_EQ(lych_free(domain, target->own + 16), -EINVAL);
	});
	// the control: an allocator whose books lie beside the blocks
	int status = ChildStatus([] {
		char *volatile block = static_cast<char *>(malloc(60000)), *volatile next = static_cast<char *>(malloc(60000));
		prey p = {};
		p.more[0] = reinterpret_cast<uint64_t>(static_cast<char *>(block));
		p.more[1] = static_cast<uint64_t>(next - block);
		close(2);
		Overwrite(&p);
		free(next);
	});
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << status;
}

// ---- it does not return

} // namespace

extern "C" __attribute__((noinline)) long recurse(volatile char *above)
{
	volatile char here[512];
	here[0] = 0;
	return here[0] != 1 || above == here ? recurse(here) + here[0] : 0; // never
}
extern "C" void spin(void)
{
	for (;;) {
		__asm__ volatile("");
	}
}
// With all signals blocked, as far as it is told.
extern "C" void spin_deaf(void)
{
	uint64_t all = ~0ull;
	if (raw(SYS_rt_sigprocmask, SIG_SETMASK, lng(&all), 0, 8) == 0) {
		spin();
	}
}

namespace
{

TEST_F(NeedsPku, AnOverflowOfTheStackEndsTheCall)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start());
		Ended ended = Attack([](prey *) -> long { return recurse(nullptr); });
		EXPECT_EQ(ended.rc, -EFAULT);
		ExpectFault(LYCH_FAULT_STACK);
		EXPECT_EQ(lych_fault(domain)->signal, SIGSEGV);
		Anew();
	});
	// the control
	int status = ChildStatus([] { printf("%ld", recurse(nullptr)); });
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << status;
}

TEST_F(NeedsPku, ADomainThatDoesNotReturnEndsAtItsDeadlineWhateverItBlocks)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start());
		for (attack_fn attack : {attack_fn([](prey *) -> long { spin(); return 0; }),
					 attack_fn([](prey *) -> long { spin_deaf(); return 0; })}) {
			Ended ended = Attack(attack, 100);
			EXPECT_EQ(ended.rc, -ETIMEDOUT);
			ExpectFault(LYCH_FAULT_DEADLINE);
			Anew();
		}
	});
	// the control: whoever blocks all signals hears of no timer. It ends by the one that nobody blocks.
	IN_A_CHILD({
		pid_t child = fork();
		if (child == 0) {
			uint64_t all = ~0ull;
			struct itimerval soon = {{0, 1000}, {0, 1000}};
			raw(SYS_rt_sigprocmask, SIG_SETMASK, lng(&all), 0, 8);
			setitimer(ITIMER_REAL, &soon, nullptr);
			spin_deaf();
		}
		usleep(50000);
		EXPECT_EQ(waitpid(child, nullptr, WNOHANG), 0);
		kill(child, SIGKILL);
		EXPECT_EQ(WTERMSIG(WaitStatus(child)), SIGKILL);
	});
}

// ---- what it returns

extern "C" bool hostile_bool(void);
extern "C" unsigned char hostile_byte(void);
extern "C" int hostile_int(void);
extern "C" const void *hostile_pointer(uint64_t which);
__asm__(".globl hostile_bool, hostile_byte, hostile_int, hostile_pointer\n"
	"hostile_bool: endbr64; movabs $0x0202020202020202, %rax; ret\n"
	"hostile_byte: endbr64; movabs $0x0202020202020302, %rax; ret\n"
	"hostile_int: endbr64; movabs $0x6666666680000001, %rax; ret\n"
	"hostile_pointer: endbr64; mov %rdi, %rax; ret\n");
LYCH_BIND(domain, hostile_bool, bool, (void));
LYCH_BIND(domain, hostile_byte, unsigned char, (void));
LYCH_BIND(domain, hostile_int, int, (void));
LYCH_BIND(domain, hostile_pointer, const void *, (uint64_t));

TEST_F(NeedsPku, ResultsHaveTheRangeOfTheirTypeAndPointersAreChecked)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start());
		alignas(8) bool truth = false;
		unsigned char byte = 0;
		struct {
			int value, beside;
		} number = {0, 77};
		ASSERT_EQ(LYCH_CALL(domain, &truth, hostile_bool), 0);
		memcpy(&byte, &truth, 1);
		EXPECT_EQ(byte, 1) << "a bool is 0 or 1";
		unsigned raw_bool; // the control: the same function without a gate
		__asm__ volatile("call hostile_bool" : "=a"(raw_bool)::"rcx", "rdx", "memory");
		EXPECT_EQ(raw_bool & 0xff, 2u);
		ASSERT_EQ(LYCH_CALL(domain, &byte, hostile_byte), 0);
		EXPECT_EQ(byte, 2);
		ASSERT_EQ(LYCH_CALL(domain, &number.value, hostile_int), 0);
		EXPECT_EQ(number.value, INT_MIN + 1);
		EXPECT_EQ(number.beside, 77);

		char copy[64] = "untouched", *text = nullptr;
		lych_domain *d = domain;
		char *own = target->own;
		auto returned = [&](const void *at) {
			const void *result = nullptr;
			EXPECT_EQ(LYCH_CALL(domain, &result, hostile_pointer, reinterpret_cast<uint64_t>(at)), 0);
			return result;
		};
		inside state;
		inside_look(&state);
		for (const void *at : {static_cast<const void *>(victims), static_cast<const void *>(closed),
				       static_cast<const void *>(ordinary), static_cast<const void *>(copy),
				       reinterpret_cast<const void *>(state.area), reinterpret_cast<const void *>(state.area + 4096),
				       reinterpret_cast<const void *>(8), reinterpret_cast<const void *>(-8L),
				       reinterpret_cast<const void *>(1ull << 63), static_cast<const void *>(own - (1 << 24)),
				       static_cast<const void *>(nullptr)}) {
			const void *result = returned(at);
			EXPECT_EQ(result, at);
			EXPECT_EQ(lych_verify_range(d, result, 16), -EFAULT) << at;
			EXPECT_EQ(lych_copy_out(d, copy, result, 16), -EFAULT) << at;
			EXPECT_EQ(lych_strndup_out(d, &text, static_cast<const char *>(result), 16), -EFAULT) << at;
			EXPECT_STREQ(copy, "untouched");
		}
		for (size_t bytes : {size_t{1} << 30, SIZE_MAX, SIZE_MAX - 4096, static_cast<size_t>(-reinterpret_cast<intptr_t>(own))}) {
			EXPECT_EQ(lych_verify_range(d, own, bytes), -EFAULT) << bytes;
			EXPECT_EQ(lych_copy_out(d, copy, own, bytes), -EFAULT) << bytes;
		}
		memset(own, 'a', 64);
		EXPECT_EQ(lych_strndup_out(d, &text, own, 32), -E2BIG);
		// the control
		EXPECT_EQ(lych_copy_out(d, copy, returned(own), 16), 0);
		EXPECT_EQ(memcmp(copy, own, 16), 0);
	});
}

} // namespace
