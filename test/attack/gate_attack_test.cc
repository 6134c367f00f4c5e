/* SPDX-License-Identifier: Apache-2.0 */
// G2: the gate is given stack pointers, indices, jumps and callers that it does not expect.
#include "attack.h"

#include <setjmp.h>
#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

extern "C" {
extern char lych_call_returns_pku[] __attribute__((visibility("hidden")));
extern char lych_callback_returns_pku[] __attribute__((visibility("hidden")));
long host_function(long a, long b, long c, long d, long e, long f, long g, long h);
void host_plain(void);
long call_back(long (*fn)(long, long, long, long, long, long, long, long), volatile long *eighth);
// A return, but for its instruction.
long returns_by_hand(const void *to);
long nested(long (*fn)(void));
long host_nested(void);
struct words {
	long word[64];
};
long host_words(struct words by_value);
}
using eight = long (*)(long, long, long, long, long, long, long, long);
LYCH_CALLBACK(host_function, long, (long, long, long, long, long, long, long, long));
LYCH_CALLBACK(host_plain, void, (void));
LYCH_CALLBACK(host_nested, long, (void));
LYCH_CALLBACK(host_words, long, (struct words));
LYCH_BIND(domain, returns_by_hand, long, (const void *));
LYCH_BIND(domain, nested, long, (long (*)(void)));
LYCH_BIND(victim, nested, long, (long (*)(void)));
LYCH_BIND(other, attack_do, long, (attack_fn, struct prey *));

namespace
{

int called;
std::function<long()> in_nested;

} // namespace

extern "C" long host_function(long a, long b, long c, long d, long e, long f, long g, long h)
{
	volatile long *again = &h; // a stack argument, read twice with time between
	long first = *again;
	for (volatile int i = 0; i < 2000; i++) {
	}
	called++;
	return first == *again ? a + b + c + d + e + f + g : -1;
}
extern "C" void host_plain(void)
{
	called++;
}
extern "C" long host_words(struct words)
{
	return ++called;
}
__asm__(".text\n"
	"returns_by_hand:\n"
	"	pop %rcx\n"
	"	mov $7, %eax\n"
	"	jmp *%rdi\n");
extern "C" long host_nested(void)
{
	return in_nested();
}
extern "C" long nested(long (*fn)(void))
{
	return fn() + 1;
}

namespace
{

class Gate : public OfEachKind
{
};

// ---- callbacks with a stack pointer of the domain's choice

long GoesWithStack(prey *p)
{
	return attack_stack(reinterpret_cast<void *>(p->more[0]), reinterpret_cast<void (*)(void)>(p->more[1]));
}

constexpr uint64_t kReserved = 256, kStack = 256 * 1024; // above the first frame (gate/memory/stack.c), and of the whole

// Its first frame is in the last page. After a reset it is another stack.
uint64_t TopOfItsStack()
{
	Ended ended = Attack([](prey *p) -> long {
		p->more[0] = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
		return 0;
	});
	EXPECT_EQ(ended.rc, 0);
	return (target->more[0] & ~4095ull) + 4096;
}

TEST_P(Gate, TakesNoCallbackWithAStackPointerThatIsNotInTheDomainsStack)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		void (*plain)(void) = nullptr;
		ASSERT_EQ(lych_callback(&plain, domain, host_plain, nullptr), 0);
		static uint64_t program[1024];
		uint64_t here = 0;
		inside state;
		Ended ended = {};
		inside_look(&state);
		uint64_t stacks[] = {0, 8, 511, 512, ~0ull, ~7ull, ~511ull, 1ull << 47, 1ull << 63,
				     reinterpret_cast<uint64_t>(&program[512]), reinterpret_cast<uint64_t>(&here),
				     reinterpret_cast<uint64_t>(victims) + 2048, reinterpret_cast<uint64_t>(closed) + 2048,
				     state.area + 2048, state.records + 2048, state.sig_stack, state.altstack + 4096,
				     reinterpret_cast<uint64_t>(target->own) + 8192};
		for (uint64_t rsp : stacks) {
			called = 0;
			target->more[0] = rsp;
			target->more[1] = reinterpret_cast<uint64_t>(plain);
			ended = Attack(GoesWithStack);
			EXPECT_EQ(ended.rc, -EFAULT) << std::hex << rsp;
			EXPECT_EQ(called, 0) << std::hex << rsp;
			ExpectFault(LYCH_FAULT_GATE);
			Anew();
		}
		// its own, from its end: with room for the host's call below, and not in what waits above
		static const struct {
			uint64_t below_the_end;
			bool taken; // the control; where it returns to then is another matter
		} rows[] = {{kStack + 64 * 1024, false}, {kStack + 4096, false}, {kStack - 504, false}, {kStack - 512, true},
			    {kReserved, true}, {kReserved - 8, false}, {0, false}, {0 - 4096ull, false}, {0 - 64 * 1024ull, false}};
		for (auto &row : rows) {
			const uint64_t top = TopOfItsStack();
			called = 0;
			target->more[0] = top - row.below_the_end;
			target->more[1] = reinterpret_cast<uint64_t>(plain);
			EXPECT_EQ(Attack(GoesWithStack).rc, -EFAULT) << row.below_the_end;
			EXPECT_EQ(called, row.taken) << row.below_the_end;
			if (!row.taken) {
				ExpectFault(LYCH_FAULT_GATE);
			}
			Anew();
		}
		// the control: the same code with its own stack, a little below
		target->more[0] = 0;
		target->more[1] = reinterpret_cast<uint64_t>(plain);
		ended = Attack([](prey *p) -> long {
			alignas(16) char room[4096];
			*reinterpret_cast<void **>(room + 2048) = nullptr;
			void *back;
			long rc;
			__asm__ volatile("lea 1f(%%rip), %0\n mov %0, %2\n mov %%rsp, %%rbx\n lea %2, %%rsp\n jmp *%3\n1: mov %%rbx, "
					 "%%rsp\n mov $1, %1"
					 : "=&r"(back), "=&r"(rc), "+m"(*reinterpret_cast<void **>(room + 2048))
					 : "r"(p->more[1])
					 : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
			return rc;
		});
		EXPECT_EQ(ended.rc, 0);
		EXPECT_EQ(called, 1);
	});
}

// Words of arguments are read above it, by the host: so they must be in the domain's stack, too, and not in the page that
// nobody can touch, or in whatever is behind it.
TEST_P(Gate, TakesNoCallbackWhoseArgumentsAreAboveTheDomainsStack)
{
	IN_A_CHILD({
		long (*fn)(struct words) = nullptr;
		ASSERT_TRUE(Start(GetParam()));
		ASSERT_EQ(lych_callback(&fn, domain, host_words, nullptr), 0);
		const uint64_t last = 8 + sizeof(words); // below the end of the stack: the arguments just fit
		for (uint64_t below : {kReserved, last - 16, last - 8, last}) {
			const uint64_t top = TopOfItsStack();
			called = 0;
			target->more[0] = top - below;
			target->more[1] = reinterpret_cast<uint64_t>(fn);
			Ended ended = Attack(GoesWithStack);
			EXPECT_EQ(called, below == last ? 1 : 0) << "the control: those that just fit are taken; " << below;
			EXPECT_EQ(ended.rc, -EFAULT); // it does not return to where it was called from
			if (below != last) {
				ExpectFault(LYCH_FAULT_GATE);
			}
			Anew();
		}
	});
}

long CallsFromItsFrame(prey *p)
{
	p->more[2] = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
	return reinterpret_cast<long (*)(void)>(p->more[3])();
}

// A stack pointer in frames of the same domain that wait: what is called from there would go over them.
TEST_P(Gate, TakesNoCallbackWithAStackPointerInFramesThatWait)
{
	IN_A_CHILD({
		static void (*plain)(void) = nullptr;
		long (*fn)(void) = nullptr;
		static int inner;
		ASSERT_TRUE(Start(GetParam()));
		ASSERT_EQ(lych_callback(&plain, domain, host_plain, nullptr), 0);
		ASSERT_EQ(lych_callback(&fn, domain, host_nested, nullptr), 0);
		in_nested = []() -> long {
			target->more[0] = target->more[2];
			target->more[1] = reinterpret_cast<uint64_t>(plain);
			inner = LYCH_CALL(domain, nullptr, attack_do, GoesWithStack, target);
			return 0;
		};
		target->more[3] = reinterpret_cast<uint64_t>(fn);
		EXPECT_EQ(Attack(CallsFromItsFrame).rc, -ECANCELED);
		EXPECT_EQ(inner, -EFAULT);
		ExpectFault(LYCH_FAULT_GATE);
		EXPECT_EQ(called, 0);
		Anew();
		// the control: from a frame of the inner call's own
		in_nested = []() -> long {
			target->more[1] = reinterpret_cast<uint64_t>(plain);
			attack_fn from_here = [](prey *p) -> long {
				reinterpret_cast<void (*)(void)>(p->more[1])();
				return 1;
			};
			inner = LYCH_CALL(domain, nullptr, attack_do, from_here, target);
			return 0;
		};
		target->more[3] = reinterpret_cast<uint64_t>(fn);
		EXPECT_EQ(Attack(CallsFromItsFrame).rc, 0);
		EXPECT_EQ(inner, 0);
		EXPECT_EQ(called, 1);
	});
}

// ---- which callback

long CallsAt(prey *p)
{
	reinterpret_cast<void (*)(void)>(p->more[0])();
	return 0;
}

// The gate behind the thunks, with a number in r11.
long CallsWithNumber(prey *p)
{
	auto thunk = reinterpret_cast<unsigned char *>(p->more[0]); // endbr64; mov imm32, r11d; jmp
	long gate = lng(thunk) + 4 + 6 + 5;
	int32_t distance;
	memcpy(&distance, thunk + 4 + 6 + 1, 4);
	if (thunk[10] == 0xeb) {
		gate = lng(thunk) + 12 + static_cast<signed char>(thunk[11]);
	} else {
		gate += distance;
	}
	__asm__ volatile("mov %0, %%r11\n call *%1" ::"r"(p->more[1]), "r"(gate)
			 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	return 0;
}

TEST_P(Gate, TakesNoCallbackThatIsNotRegistered)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		void (*plain)(void) = nullptr, (*gone)(void) = nullptr, (*others)(void) = nullptr, (*more)(void) = nullptr;
		ASSERT_EQ(lych_callback(&plain, domain, host_plain, nullptr), 0);
		ASSERT_EQ(lych_callback(&gone, domain, host_plain, nullptr), 0);
		for (int i = 0; i < 3; i++) { // numbers that domain has none of
			ASSERT_EQ(lych_callback(&more, victim, host_plain, nullptr), 0);
		}
		others = more;
		ASSERT_EQ(lych_callback_free(domain, gone), 0);
		uint64_t thunk = reinterpret_cast<uint64_t>(plain);
		for (uint64_t at : {reinterpret_cast<uint64_t>(gone), reinterpret_cast<uint64_t>(others), thunk + 63 * 16,
				    thunk + 64 * 16, thunk + 255 * 16}) {
			called = 0;
			target->more[0] = at;
			EXPECT_EQ(Attack(CallsAt).rc, -EFAULT) << (at - thunk) / 16;
			ExpectFault(LYCH_FAULT_GATE);
			EXPECT_EQ(called, 0);
			Anew();
		}
		for (uint64_t number : {1ull, 64ull, 255ull, 256ull, 0x7fffffffull, 0x80000000ull, 0xffffffffull, 0x08000000ull,
					0xfffffffeull}) {
			called = 0;
			target->more[0] = thunk;
			target->more[1] = number;
			EXPECT_EQ(Attack(CallsWithNumber).rc, -EFAULT) << number;
			ExpectFault(LYCH_FAULT_GATE);
			EXPECT_EQ(called, 0);
			Anew();
		}
		// the controls
		target->more[0] = thunk;
		EXPECT_EQ(Attack(CallsAt).rc, 0);
		EXPECT_EQ(called, 1);
		target->more[0] = thunk;
		target->more[1] = 0;
		EXPECT_EQ(Attack(CallsWithNumber).rc, 0);
		EXPECT_EQ(called, 2);
	});
}

// ---- arguments that change while they are looked at

long CallsUntilTold(prey *p)
{
	auto fn = reinterpret_cast<eight>(p->more[0]);
	for (int i = 0; i < 3000; i++) {
		// the eighth word lies at rsp + 8: its address is known to the other thread by this frame's
		if (fn(1, 2, 3, 4, 5, 6, 7, 8) != 28) {
			__atomic_store_n(&p->more[3], 1, __ATOMIC_SEQ_CST);
			return -1;
		}
	}
	__atomic_store_n(&p->more[3], 1, __ATOMIC_SEQ_CST);
	return 0;
}

long RewritesStacks(prey *p)
{
	auto *words = reinterpret_cast<volatile long *>(p->more[1]);
	for (long i = 0; __atomic_load_n(&p->more[3], __ATOMIC_SEQ_CST) == 0; i++) {
		for (int at = 0; at < 64; at++) {
			if (words[at] >= 7 && words[at] <= 0x7000) { // arguments and what it wrote, no addresses
				words[at] = words[at] == 7 ? 7 : 8 + (i & 0xff);
			}
		}
	}
	return 0;
}

long ReadsTwice(prey *p) // the control: what is not copied changes between two reads
{
	auto *word = reinterpret_cast<volatile long *>(&p->more[2]);
	for (;;) {
		long first = *word;
		for (volatile int i = 0; i < 2000; i++) {
		}
		if (first != *word) {
			return 1;
		}
	}
}

TEST_P(Gate, ReadsStackArgumentsOnce)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		eight fn = nullptr;
		ASSERT_EQ(lych_callback(&fn, domain, host_function, nullptr), 0);
		target->more[0] = reinterpret_cast<uint64_t>(fn);
		Ended ended = Attack([](prey *p) -> long {
			p->more[1] = (reinterpret_cast<uint64_t>(__builtin_frame_address(0)) & ~15ull) - 400;
			return 0;
		});
		ASSERT_EQ(ended.rc, 0);
		std::thread second([] {
			long result = -1;
			EXPECT_EQ(LYCH_CALL(domain, &result, attack_do, RewritesStacks, target), 0);
		});
		ended = Attack(CallsUntilTold);
		second.join();
		EXPECT_EQ(ended.rc, 0);
		EXPECT_EQ(ended.result, 0) << "an argument was another when it was read again";
		EXPECT_EQ(called, 3000);
		std::atomic<bool> over{false};
		std::thread writer([&] {
			while (!over) {
				__atomic_add_fetch(&target->more[2], 1, __ATOMIC_SEQ_CST);
			}
		});
		EXPECT_EQ(ReadsTwice(target), 1);
		over = true;
		writer.join();
	});
}

// ---- returns of the other kind

struct Jumped {
	int rc;
};

int JumpTo(const void *at)
{
	auto *frame = reinterpret_cast<jump *>(target->own + 4096);
	memset(frame, 0, sizeof(*frame));
	model_loot = reinterpret_cast<loot *>(target->own);
	model_loot->read = closed;
	model_loot->taken = 0;
	frame->rip = reinterpret_cast<uint64_t>(at);
	frame->rflags = 0x202;
	frame->gpr[0] = 0x777;
	frame->rsp = reinterpret_cast<uint64_t>(target->own) + 12288;
	for (size_t i = 8192; i < kOwn; i += 8) {
		uint64_t landed = reinterpret_cast<uint64_t>(&model_landed);
		memcpy(target->own + i, &landed, 8);
	}
	inside before, after;
	inside_look(&before);
	int rc = LYCH_CALL(domain, LYCH_NOTHING, model_jump, frame);
	inside_look(&after);
	EXPECT_STREQ(inside_differences(&before, &after), "");
	EXPECT_NE(model_loot->taken, kSecret);
	return rc;
}

TEST_P(Gate, ReturnsOfTheOtherKindAreNotTaken)
{
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		// from a call to where callbacks return: it begins with a read of the monitor's page
		EXPECT_EQ(JumpTo(lych_callback_returns_pku), -EFAULT);
		ExpectFault(LYCH_FAULT_KEY, "monitor");
		Anew();
		// to where calls return, with a stack on which none began
		EXPECT_EQ(JumpTo(lych_call_returns_pku), -EFAULT);
		ExpectFault(LYCH_FAULT_GATE);
		Anew();
		// the control: with that of its call it may go there, from anywhere: it is its return
		long result = 0;
		EXPECT_EQ(LYCH_CALL(domain, &result, returns_by_hand, lych_call_returns_pku), 0);
		EXPECT_EQ(result, 7);
		// in a domain that was called by the host from a callback the same ends the inner call, and that only
		long (*fn)(void) = nullptr;
		ASSERT_EQ(lych_callback(&fn, domain, host_nested, nullptr), 0);
		lych_domain *outer = domain, *inner = nullptr;
		ASSERT_EQ(lych_domain_new(&inner, nullptr), 0);
		prey *outer_target = target;
		in_nested = [&]() -> long {
			domain = inner;
			bool armed = Arm();
			long seven = 0;
			int rc = armed ? LYCH_CALL(domain, &seven, returns_by_hand, lych_call_returns_pku) : 99;
			EXPECT_EQ(rc, 0);
			EXPECT_EQ(seven, 7);
			EXPECT_EQ(JumpTo(lych_callback_returns_pku), -EFAULT);
			ExpectFault(LYCH_FAULT_KEY, "monitor");
			domain = outer;
			target = outer_target;
			return 41;
		};
		ASSERT_EQ(LYCH_CALL(domain, &result, nested, fn), 0);
		EXPECT_EQ(result, 42);
	});
}

// To every WRPKRU itself, with what the attacker would like PKRU to be, and all other registers leading to where it takes the secret.
TEST_P(Gate, EverySiteComparesWhatIsInForce)
{
	std::vector<uint64_t> sites;
	auto *text = reinterpret_cast<const unsigned char *>(inside_gate_text());
	for (uint64_t i = 0; i + 2 < inside_gate_text_end() - inside_gate_text(); i++) {
		if (text[i] == 0x0f && text[i + 1] == 0x01 && text[i + 2] == 0xef) {
			sites.push_back(inside_gate_text() + i);
		}
	}
	ASSERT_GE(sites.size(), 7u);
	IN_A_CHILD({
		ASSERT_TRUE(Start(GetParam()));
		inside before, after;
		inside_look(&before);
		uint32_t own = inside_view_of(domain), host = ~before.not_host;
		auto jump_to = [&](uint64_t at, uint32_t wanted, uint64_t rsp, const void *reads) {
			auto *frame = reinterpret_cast<jump *>(target->own + 4096);
			memset(frame, 0, sizeof(*frame));
			for (uint64_t &reg : frame->gpr) {
				reg = reinterpret_cast<uint64_t>(&model_landed);
			}
			frame->gpr[0] = wanted;
			frame->gpr[1] = frame->gpr[2] = 0;
			frame->gpr[5] = reinterpret_cast<uint64_t>(target->own) + 8192;
			frame->rip = at;
			frame->rflags = 0x202;
			frame->rsp = rsp != 0 ? rsp : reinterpret_cast<uint64_t>(target->own) + 12288;
			for (size_t i = 8192; i < kOwn; i += 8) {
				uint64_t landed = reinterpret_cast<uint64_t>(&model_landed);
				memcpy(target->own + i, &landed, 8);
			}
			model_loot = reinterpret_cast<loot *>(target->own);
			memset(model_loot, 0, sizeof(*model_loot));
			model_loot->read = reads;
			model_loot->write = target->own + 256;
			int rc = LYCH_CALL(domain, LYCH_NOTHING, model_jump, frame);
			uint64_t taken = model_loot->taken;
			inside_look(&after);
			EXPECT_STREQ(inside_differences(&before, &after), "") << std::hex << at - inside_gate_text() << ", " << wanted;
			if (rc != 0) {
				EXPECT_EQ(rc, -EFAULT);
				Anew();
			}
			return taken;
		};
		for (uint64_t at : sites) {
			for (uint32_t wanted : {0u, host, own, ~host, own & ~(3u << 2 * lych_region_key(region)), 0x55555554u}) {
				if (On61() && (wanted & 3) != 0) {
					continue; // whoever has no ordinary memory there cannot be interrupted: the process ends
				}
				for (uint64_t rsp : {uint64_t{0}, before.altstack + before.altstack_bytes - 512}) {
					EXPECT_NE(jump_to(at, wanted, rsp, closed), kSecret)
						<< std::hex << "gate text + " << at - inside_gate_text() << ", " << wanted;
				}
			}
		}
		// the control: the same, to where all these registers lead, with memory it may read
		uint64_t *mine = reinterpret_cast<uint64_t *>(target->own + 512);
		*mine = kSecret;
		EXPECT_EQ(jump_to(reinterpret_cast<uint64_t>(&model_landed), own, 0, mine), kSecret);
	});
}

// Host code that comes where only calls return, or to a thunk that is a domain's: nothing of a domain is run with its rights.
jmp_buf to_the_outer;

TEST_P(Gate, HostCodeAtThePlacesOfTheOtherKindTraps)
{
	static const struct {
		const char *name;
		std::function<long()> in_callback;
	} rows[] = {
		{"to where calls return", []() -> long {
			 __asm__ volatile("xor %%eax, %%eax\n xor %%ecx, %%ecx\n xor %%edx, %%edx\n jmp *%0" ::"r"(lych_call_returns_pku)
					  : "rax", "rcx", "rdx");
			 return 0;
		 }},
		{"to a thunk of the domain", []() -> long {
			 reinterpret_cast<void (*)(void)>(target->more[0])();
			 return 0;
		 }},
		// the record on top is the inner callback's, which is not this one's
		{"out of the callback of an inner call", []() -> long {
			 if (setjmp(to_the_outer) == 0) {
				 in_nested = []() -> long { longjmp(to_the_outer, 1); };
				 long result = 0;
				 long (*fn)(void) = nullptr;
				 if (lych_callback(&fn, victim, host_nested, nullptr) == 0 && LYCH_CALL(victim, &result, nested, fn) == 0) {
					 _exit(3);
				 }
			 }
			 return 41;
		 }},
	};
	for (auto &row : rows) {
		int status = ChildStatus([&] {
			long (*fn)(void) = nullptr;
			long result = 0;
			if (!Start(GetParam()) || lych_callback(&fn, domain, host_nested, nullptr) != 0) {
				_exit(2);
			}
			target->more[0] = reinterpret_cast<uint64_t>(fn);
			in_nested = row.in_callback;
			(void)!LYCH_CALL(domain, &result, nested, fn);
			_exit(1);
		});
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGILL) << row.name << ": " << status;
	}
	// the control: the same callback, that returns
	IN_A_CHILD({
		long (*fn)(void) = nullptr;
		long result = 0;
		ASSERT_TRUE(Start(GetParam()));
		ASSERT_EQ(lych_callback(&fn, domain, host_nested, nullptr), 0);
		in_nested = [] { return 41L; };
		EXPECT_EQ(LYCH_CALL(domain, &result, nested, fn), 0);
		EXPECT_EQ(result, 42);
	});
	// and with no call at all
	int status = ChildStatus([] {
		void (*plain)(void) = nullptr;
		if (Start() && lych_callback(&plain, domain, host_plain, nullptr) == 0) {
			plain();
		}
	});
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGILL) << status;
	// where callbacks return, with the record on top that waits there, which is none of a callback
	status = ChildStatus([] {
		inside state;
		if (Start()) {
			inside_look(&state);
			__asm__ volatile("mov %0, %%rbp\n xor %%eax, %%eax\n xor %%edx, %%edx\n jmp *%1" ::"r"(state.records),
					 "r"(lych_callback_returns_pku)
					 : "rax", "rdx");
		}
	});
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGILL) << status;
}

// ---- the library's own functions, from inside

TEST_P(Gate, FunctionsOfTheLibraryGiveADomainNothing)
{
	static const struct {
		const char *name;
		attack_fn attack;
	} rows[] = {
		{"lych_alloc", [](prey *p) { return lych_alloc(reinterpret_cast<lych_domain *>(p->more[0]), 8) == nullptr ? 0L : 1L; }},
		{"lych_free", [](prey *p) { return lych_free(reinterpret_cast<lych_domain *>(p->more[0]), p->secret) == 0 ? 1L : 0L; }},
		{"lych_domain_free",
		 [](prey *p) { return lych_domain_free(reinterpret_cast<lych_domain *>(p->more[0])) == 0 ? 1L : 0L; }},
		{"lych_domain_reset",
		 [](prey *p) { return lych_domain_reset(reinterpret_cast<lych_domain *>(p->more[0])) == 0 ? 1L : 0L; }},
		{"lych_domain_cancel",
		 [](prey *p) { return lych_domain_cancel(reinterpret_cast<lych_domain *>(p->more[0])) == 0 ? 1L : 0L; }},
		{"lych_domain_new",
		 [](prey *p) { return lych_domain_new(reinterpret_cast<lych_domain **>(p->own), nullptr) == 0 ? 1L : 0L; }},
		{"lych_domain_allow",
		 [](prey *p) {
			 return lych_domain_allow(reinterpret_cast<lych_domain *>(p->more[1]), SYS_getcpu) == 0 ? 1L : 0L;
		 }},
		{"lych_scope_open",
		 [](prey *p) {
			 lych_scope scope = {};
			 void *at = lych_scope_open(&scope, reinterpret_cast<lych_region *>(p->more[2]), true);
			 if (at != nullptr) {
				 p->taken = *p->secret;
			 }
			 return at != nullptr ? 1L : 0L;
		 }},
		{"lych_region_free",
		 [](prey *p) { return lych_region_free(reinterpret_cast<lych_region *>(p->more[2])) == 0 ? 1L : 0L; }},
		{"lych_copy_out",
		 [](prey *p) {
			 return lych_copy_out(reinterpret_cast<lych_domain *>(p->more[0]), &p->taken, reinterpret_cast<void *>(p->more[3]), 8) == 0
					? 1L
					: 0L;
		 }},
		{"lych_gate",
		 [](prey *p) {
			 lych_domain *other = reinterpret_cast<lych_domain *>(p->more[0]);
			 long result = 0;
			 attack_fn take = [](prey *q) -> long { return static_cast<long>(*q->secret); };
			 return LYCH_CALL(other, &result, attack_do, take, p) == 0 ? 1L : 0L;
		 }},
		{"lych_callback_new",
		 [](prey *p) {
			 void (*fn)(void) = nullptr;
			 return lych_callback(&fn, reinterpret_cast<lych_domain *>(p->more[1]), host_plain, nullptr) == 0 ? 1L : 0L;
		 }},
		{"lych_attach", [](prey *p) { return lych_attach() == 0 && (p->taken = *p->secret) != 0 ? 1L : 0L; }},
		{"lych_verify", [](prey *) { return lych_verify(nullptr, nullptr) == 0 ? 1L : 0L; }},
	};
	for (auto &row : rows) {
		IN_A_CHILD({
			SCOPED_TRACE(row.name);
			ASSERT_TRUE(Start(GetParam()));
			auto aim = [] {
				target->more[0] = reinterpret_cast<uint64_t>(victim);
				target->more[1] = reinterpret_cast<uint64_t>(domain);
				target->more[2] = reinterpret_cast<uint64_t>(region);
				target->more[3] = reinterpret_cast<uint64_t>(victims);
			};
			aim();
			Ended ended = Attack(row.attack, 5000);
			EXPECT_TRUE(ended.rc == -EFAULT || (ended.rc == 0 && ended.result == 0))
				<< "status " << ended.rc << ", result " << ended.result;
			if (ended.rc == -EFAULT) {
				ExpectFault(LYCH_FAULT_KEY);
			}
			EXPECT_NE(target->taken, kSecret);
			Anew();
			EXPECT_EQ(lych_verify([](const char *line, void *) { ADD_FAILURE() << line; }, nullptr), 0);
			EXPECT_NE(lych_alloc(victim, 8), nullptr) << "the victim lives";
			// the control: for the host it does what it is for, but for what would take the ground away
			aim();
			if (strcmp(row.name, "lych_free") == 0) {
				target->secret = static_cast<uint64_t *>(lych_alloc(victim, 8));
			}
			if (strcmp(row.name, "lych_gate") == 0) {
				target = static_cast<prey *>(lych_copy_in(victim, target, sizeof(*target)));
				target->secret = victims;
			}
			if (strcmp(row.name, "lych_attach") == 0) {
				target->secret = victims;
			}
			EXPECT_EQ(row.attack(target), 1) << "the control";
		});
	}
}

OF_EACH_KIND(Gate);

} // namespace
