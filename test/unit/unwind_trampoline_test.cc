// SPDX-License-Identifier: Apache-2.0
// Functions of this program, repaired in memory: from each instruction of their trampolines libgcc and libunwind find
// the way to main, and exceptions that signal handlers throw there arrive where they would have arrived without it.
#include <libunwind.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <array>
#include <cstdarg>
#include <set>

#include "repair_world.h"

extern "C" {
#include "../../gate/code/code.h"
#include "../../gate/code/unwind.h"
#include "repair_cfi.h"
}

// All that is to be repaired stands in a section of its own. Each function reads or writes at p + 0xef010f, whose
// bytes in the instruction are those of WRPKRU.
#define REPAIRED __attribute__((noinline, noclone, section("repaired_text")))
#define FAR 0xef010f

struct Thrown {
	int step;
};

extern "C" {
extern const uint8_t __start_repaired_text[], __stop_repaired_text[];
// rsp says where the frame is, rbx and r12 are saved in it and used
long repaired_by_rsp(char *p);
// rbp does, and the address is built in a register that is there already
long repaired_by_rbp(char *p);
// the frame is where a pointer on the stack says, as where a function aligns its stack
long repaired_aligned(char *p);
// the base of the address is a callee's to save
long repaired_callee_saved(char *p);
// an immediate, the stack pointer, a call
long repaired_immediate(char *p);
long repaired_stack_pointer(char *p);
long repaired_call(char *p);
}

asm(R"(
	.section repaired_text, "ax", @progbits
	.macro FUNCTION name
	.globl \name
	.type \name, @function
\name:	.cfi_startproc
	endbr64
	.endm
	.macro END_FUNCTION name
	.cfi_endproc
	.size \name, . - \name
	.endm

	FUNCTION repaired_by_rsp
	push %rbx
	.cfi_adjust_cfa_offset 8
	.cfi_offset rbx, -16
	push %r12
	.cfi_adjust_cfa_offset 8
	.cfi_offset r12, -24
	sub $24, %rsp
	.cfi_adjust_cfa_offset 24
	mov $7, %ebx
	mov $8, %r12d
	mov 0xef010f(%rdi), %rax
	add $24, %rsp
	.cfi_adjust_cfa_offset -24
	pop %r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore r12
	pop %rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	ret
	END_FUNCTION repaired_by_rsp

	FUNCTION repaired_by_rbp
	push %rbp
	.cfi_adjust_cfa_offset 8
	.cfi_offset rbp, -16
	mov %rsp, %rbp
	.cfi_def_cfa_register rbp
	mov $5, %eax
	push %rax
	add %rax, 0xef010f(%rdi)
	pop %rax
	mov 0xef010f(%rdi), %rax
	leave
	.cfi_def_cfa rsp, 8
	.cfi_restore rbp
	ret
	END_FUNCTION repaired_by_rbp

	FUNCTION repaired_aligned
	lea 8(%rsp), %r10
	.cfi_def_cfa r10, 0
	and $-64, %rsp
	push -8(%r10)
	push %rbp
	mov %rsp, %rbp
	.cfi_escape 0x10, 6, 2, 0x76, 0
	push %r10
	.cfi_escape 0x0f, 3, 0x76, 0x78, 6
	mov 0xef010f(%rdi), %rax
	mov -8(%rbp), %r10
	.cfi_def_cfa r10, 0
	leave
	.cfi_restore rbp
	lea -8(%r10), %rsp
	.cfi_def_cfa rsp, 8
	ret
	END_FUNCTION repaired_aligned

	FUNCTION repaired_callee_saved
	push %rbx
	.cfi_adjust_cfa_offset 8
	.cfi_offset rbx, -16
	push %r12
	.cfi_adjust_cfa_offset 8
	.cfi_offset r12, -24
	mov %rdi, %rbx
	mov $1, %r12d
	xadd %r12, 0xef010f(%rbx)
	mov 0xef010f(%rbx), %rbx
	lea (%rbx, %r12), %rax
	pop %r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore r12
	pop %rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	ret
	END_FUNCTION repaired_callee_saved

	FUNCTION repaired_immediate
	mov (%rdi), %rax
	add $0x00ef010f, %eax
	push $0x00ef010f
	.cfi_adjust_cfa_offset 8
	pop %rdx
	.cfi_adjust_cfa_offset -8
	sub %rdx, %rax
	ret
	END_FUNCTION repaired_immediate

	FUNCTION repaired_stack_pointer
	sub $0x28ae0f, %rsp
	.cfi_adjust_cfa_offset 0x28ae0f
	mov (%rdi), %rax
	add $0x28ae0f, %rsp
	.cfi_adjust_cfa_offset -0x28ae0f
	ret
	END_FUNCTION repaired_stack_pointer

	FUNCTION repaired_call
	sub $8, %rsp
	.cfi_adjust_cfa_offset 8
	mov $3, %eax
	call *0xef010f(%rdi)
	add $8, %rsp
	.cfi_adjust_cfa_offset -8
	ret
	END_FUNCTION repaired_call

	.text
	.type repaired_callee, @function
repaired_callee:
	.cfi_startproc
	inc %eax
	ret
	.cfi_endproc
	.size repaired_callee, . - repaired_callee
)");

extern "C" const char repaired_callee[];
extern "C" const void *_Unwind_Find_FDE(void *pc, void *bases); // libgcc's

// The handlers of the instruction's own function, of its caller, and destructors in both.
static int destroyed;
struct Counts {
	~Counts() { destroyed++; }
};

REPAIRED static long catches_itself(char *p)
{
	long got = 0;
	try {
		Counts counts;
		got = *reinterpret_cast<volatile long *>(p + FAR);
	} catch (const Thrown &) {
		return -2;
	}
	return got;
}

REPAIRED static long catches_a_store(char *p, long value)
{
	try {
		*reinterpret_cast<volatile long *>(p + FAR) = value;
		*reinterpret_cast<volatile long *>(p) = value;
	} catch (const Thrown &) {
		return -2;
	}
	return value;
}

REPAIRED static long cleans_up(char *p)
{
	Counts counts;
	return *reinterpret_cast<volatile long *>(p + FAR);
}

static long never_catches(char *p)
{
	return cleans_up(p);
}

namespace
{

using LongFn = long (*)(char *);

struct Repaired {
	World w;
	char *data; // p + FAR is in the middle of it

	Repaired() : w(at(__start_repaired_text), Bytes(__start_repaired_text, __stop_repaired_text))
	{
		const uint64_t page = 4096;
		uint64_t area = (w.base & ~(page - 1)) + (UINT64_C(64) << 20);
		void *got = MAP_FAILED;
		for (int i = 0; i < 100 && got == MAP_FAILED; i++, area += UINT64_C(16) << 20) {
			got = mmap(pointer(area), 16 * page, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		}
		w.options.nareas = 1;
		w.options.areas[0] = {at(got), at(got) + 16 * page};
		for (const hit &h : w.hits(w.bytes)) {
			repair_outcome o = w.plan_hit(h);
			EXPECT_NE(o.kind, REPAIR_REFUSED) << o.why;
			EXPECT_TRUE(o.has_trampoline || o.kind == REPAIR_GONE);
		}
		EXPECT_STREQ(w.check(), nullptr);
		memset(got, 0xcc, 16 * page);
		for (size_t i = 0; i < w.plan.ntrampolines; i++) {
			memcpy(pointer(w.plan.trampolines[i].vaddr), w.plan.trampolines[i].code, w.plan.trampolines[i].len);
		}
		EXPECT_EQ(mprotect(got, 16 * page, PROT_READ | PROT_EXEC), 0);
		const uint64_t start = w.base & ~(page - 1), end = w.base + w.bytes.size();
		EXPECT_EQ(mprotect(pointer(start), end - start, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
		Bytes bytes = w.repaired();
		memcpy(pointer(w.base), bytes.data(), bytes.size());
		EXPECT_EQ(mprotect(pointer(start), end - start, PROT_READ | PROT_EXEC), 0);
		void *both = mmap(nullptr, FAR + 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		data = static_cast<char *>(both) + page;
	}

	static uint64_t at(const void *p) { return reinterpret_cast<uint64_t>(p); }
	static void *pointer(uint64_t address) { return reinterpret_cast<void *>(address); }

	const repair_trampoline *trampoline(uint64_t pc) const
	{
		for (size_t i = 0; i < w.plan.ntrampolines; i++) {
			const repair_trampoline &t = w.plan.trampolines[i];
			if (pc >= t.vaddr && pc - t.vaddr < t.len) {
				return &t;
			}
		}
		return nullptr;
	}

	void tell()
	{
		ASSERT_EQ(unwind_add(w.plan.trampolines, w.plan.ntrampolines, nullptr, nullptr), 0);
	}
};

// Repaired and told about once: what a process did cannot be undone.
Repaired &repaired()
{
	static Repaired r;
	return r;
}

// ---- stepping --------------------------------------------------------------------------------------------------

constexpr greg_t kTrap = 0x100;

__attribute__((noinline)) void trap_on()
{
	asm volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
}

__attribute__((noinline)) void trap_off()
{
	asm volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}

struct Frames {
	std::array<uint64_t, 64> ip;
	size_t n;
};

_Unwind_Reason_Code on_frame(_Unwind_Context *context, void *ctx)
{
	auto *frames = static_cast<Frames *>(ctx);
	int before = 0;
	uint64_t ip = _Unwind_GetIPInfo(context, &before);
	if (frames->n < frames->ip.size()) {
		frames->ip[frames->n++] = before ? ip : ip - 1; // what is looked up
	}
	return _URC_NO_REASON;
}

Frames by_libgcc()
{
	Frames frames = {};
	_Unwind_Backtrace(on_frame, &frames);
	return frames;
}

struct Unwound {
	uint64_t ip;
	std::array<uint64_t, 7> regs; // rsp and those that callees save
	bool operator==(const Unwound &o) const { return ip == o.ip && regs == o.regs; }
};

// The frames above the one with ip pc.
std::vector<Unwound> by_libunwind(uint64_t pc)
{
	static const unw_regnum_t regs[] = {UNW_X86_64_RSP, UNW_X86_64_RBX, UNW_X86_64_RBP, UNW_X86_64_R12,
					    UNW_X86_64_R13, UNW_X86_64_R14, UNW_X86_64_R15};
	std::vector<Unwound> out;
	unw_context_t context;
	unw_cursor_t cursor;
	bool found = false;
	unw_getcontext(&context);
	unw_init_local(&cursor, &context);
	do {
		Unwound u = {};
		unw_word_t ip = 0;
		unw_get_reg(&cursor, UNW_REG_IP, &ip);
		u.ip = ip;
		for (size_t i = 0; i < u.regs.size(); i++) {
			unw_word_t value = 0;
			unw_get_reg(&cursor, regs[i], &value);
			u.regs[i] = value;
		}
		if (found) {
			out.push_back(u);
		}
		found = found || ip == pc;
	} while (unw_step(&cursor) > 0);
	return out;
}

struct Stepping {
	bool on;
	uint64_t start, end;             // the function
	std::vector<Unwound> callers;    // as at its first instruction
	std::vector<uint64_t> callers_by_libgcc;
	size_t in_trampolines;
	std::set<uint64_t> seen; // trampolines
	int throw_at;              // the step in a trampoline at which something is thrown; 0: none
	bool only_before;          // count those where the instruction is not done
	bool cancel;               // the thread is canceled instead
	std::vector<std::string> wrong;
} stepping;

__attribute__((format(printf, 1, 2))) void complain(const char *format, ...)
{
	char text[200];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	stepping.wrong.push_back(text);
}

// From pc, which the handler interrupted, the function's frame must be next, at its site, and its callers above.
void look(uint64_t pc)
{
	const repair_trampoline *t = repaired().trampoline(pc);
	uint64_t site = pc;
	if ((t != nullptr) != lych_code_site_of(pc, &site)) {
		complain("%lx: in a trampoline or not", pc);
		return;
	}
	Frames libgcc = by_libgcc();
	size_t i = 0;
	while (i < libgcc.n && libgcc.ip[i] != pc) {
		i++;
	}
	if (t != nullptr) {
		i++;
	}
	if (i >= libgcc.n || libgcc.ip[i] != site) {
		complain("%lx: libgcc does not come to %lx", pc, site);
		return;
	}
	std::vector<uint64_t> rest(libgcc.ip.begin() + static_cast<long>(i) + 1, libgcc.ip.begin() + static_cast<long>(libgcc.n));
	std::vector<Unwound> up = by_libunwind(pc);
	if (t != nullptr) {
		if (up.empty() || up[0].ip != site) {
			complain("%lx: libunwind comes to %lx, not %lx", pc, up.empty() ? 0 : up[0].ip, site);
			return;
		}
		up.erase(up.begin());
		stepping.in_trampolines++;
		stepping.seen.insert(t->vaddr);
	} else if (stepping.callers.empty()) {
		stepping.callers = up;
		stepping.callers_by_libgcc = rest;
	}
	if (up != stepping.callers) {
		complain("%lx: libunwind finds other callers, or other registers in them", pc);
	}
	if (rest != stepping.callers_by_libgcc) {
		complain("%lx: libgcc finds other callers", pc);
	}
}

void on_step(int, siginfo_t *, void *context)
{
	auto *uc = static_cast<ucontext_t *>(context);
	uint64_t pc = static_cast<uint64_t>(uc->uc_mcontext.gregs[REG_RIP]), site = 0;
	const repair_trampoline *t = repaired().trampoline(pc);
	if (!stepping.on || (t == nullptr && (pc < stepping.start || pc >= stepping.end))) {
		return;
	}
	if (stepping.throw_at == 0) {
		look(pc);
		return;
	}
	if (t == nullptr || !lych_code_site_of(pc, &site) || (stepping.only_before && site != t->site)) {
		return;
	}
	if (++stepping.in_trampolines == static_cast<size_t>(stepping.throw_at)) {
		stepping.on = false;
		if (stepping.cancel) {
			pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
			pthread_cancel(pthread_self());
		}
		throw Thrown{stepping.throw_at};
	}
}

void on_fault(int, siginfo_t *, void *)
{
	throw Thrown{0};
}

class Trampolines : public testing::Test
{
      protected:
	void SetUp() override
	{
		uint64_t site;
		if (!lych_code_site_of(repaired().w.plan.trampolines[0].vaddr, &site)) {
			repaired().tell();
		}
		stepping = {};
		destroyed = 0;
		struct sigaction action = {};
		action.sa_flags = SA_SIGINFO | SA_NODEFER;
		action.sa_sigaction = on_step;
		sigaction(SIGTRAP, &action, &old_trap_);
		action.sa_sigaction = on_fault;
		sigaction(SIGSEGV, &action, &old_segv_);
		memset(data() + FAR - 4096, 0, 8192);
	}
	void TearDown() override
	{
		sigaction(SIGTRAP, &old_trap_, nullptr);
		sigaction(SIGSEGV, &old_segv_, nullptr);
	}
	static char *data() { return repaired().data; }

      private:
	struct sigaction old_trap_ = {}, old_segv_ = {};
};

// The control, before anybody is told: unwinders end in the trampoline, and an exception ends the program.
TEST(TrampolinesUntold, AreTheEndOfTheWay)
{
	const repair_trampoline &t = repaired().w.plan.trampolines[0];
	void *bases[3];
	uint64_t site;
	if (lych_code_site_of(t.vaddr, &site)) {
		GTEST_SKIP() << "another test of this process has told them";
	}
	EXPECT_EQ(_Unwind_Find_FDE(Repaired::pointer(t.vaddr), bases), nullptr);
	pid_t child = fork();
	if (child == 0) {
		signal(SIGSEGV, [](int) { throw Thrown{0}; });
		_exit(catches_itself(reinterpret_cast<char *>(16)) == -2 ? 0 : 1);
	}
	int status = 0;
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << status;
	repaired().tell();
	EXPECT_NE(_Unwind_Find_FDE(Repaired::pointer(t.vaddr), bases), nullptr);
	EXPECT_EQ(bases[2], Repaired::pointer(t.vaddr));
}

struct Row {
	const char *name;
	LongFn fn;
	size_t trampolines;
};

std::ostream &operator<<(std::ostream &os, const Row &row)
{
	return os << row.name;
}

const Row kRows[] = {
	{"ByRsp", repaired_by_rsp, 1},
	{"ByRbp", repaired_by_rbp, 2},
	{"Aligned", repaired_aligned, 1},
	{"CalleeSaved", repaired_callee_saved, 2},
	{"Immediate", repaired_immediate, 2},
	{"StackPointer", repaired_stack_pointer, 2},
	{"Call", repaired_call, 1},
	{"CatchesItself", catches_itself, 1},
	{"CleansUp", cleans_up, 1},
};

class EachTrampoline : public Trampolines, public testing::WithParamInterface<Row>
{
};

void prepare(char *data)
{
	const char *callee = repaired_callee;
	memcpy(data + FAR, &callee, sizeof(callee));
}

__attribute__((noinline)) long call_stepped(LongFn fn, char *p)
{
	stepping.start = reinterpret_cast<uint64_t>(fn);
	stepping.end = reinterpret_cast<uint64_t>(__stop_repaired_text);
	stepping.on = true;
	trap_on();
	long got = fn(p);
	trap_off();
	stepping.on = false;
	return got;
}

TEST_P(EachTrampoline, IsUnwoundFromEachOfItsInstructions)
{
	prepare(data());
	const long plain = GetParam().fn(data());
	prepare(data());
	EXPECT_EQ(call_stepped(GetParam().fn, data()), plain);
	for (const std::string &text : stepping.wrong) {
		ADD_FAILURE() << text;
	}
	EXPECT_GT(stepping.callers.size(), 5u) << "not as far as main";
	EXPECT_GE(stepping.in_trampolines, GetParam().trampolines);
	EXPECT_EQ(stepping.seen.size(), GetParam().trampolines);
}

// No function in between catches or cleans up, so from anywhere it must arrive here.
TEST_P(EachTrampoline, LetsAnExceptionOfAHandlerThrough)
{
	const bool cleans = GetParam().fn == cleans_up || GetParam().fn == catches_itself;
	int thrown = 0;
	for (int step = 1; step < 100; step++) {
		prepare(data());
		stepping = {};
		stepping.throw_at = step;
		stepping.only_before = cleans; // what is behind the instruction is in none of the function's tables
		long result = 0;
		try {
			result = call_stepped(GetParam().fn, data());
			trap_off();
			if (result != -2) {
				break;
			}
			EXPECT_EQ(GetParam().fn, catches_itself);
		} catch (const Thrown &t) {
			trap_off();
			EXPECT_EQ(t.step, step);
		}
		thrown++;
	}
	EXPECT_GE(thrown, 1);
	EXPECT_EQ(destroyed, cleans ? thrown + 1 : 0); // and once where nothing was thrown
}

INSTANTIATE_TEST_SUITE_P(Of, EachTrampoline, testing::ValuesIn(kRows),
			 [](const auto &test) { return std::string(test.param.name); });

// The moved instruction faults itself.
TEST_F(Trampolines, FaultAndTheFunctionItselfCatchesWhatTheHandlerThrows)
{
	char *none = reinterpret_cast<char *>(16);
	EXPECT_EQ(catches_itself(none), -2);
	EXPECT_EQ(destroyed, 1);
	EXPECT_EQ(catches_a_store(none, 1), -2);
	EXPECT_EQ(catches_itself(data()), 0);
	EXPECT_EQ(catches_a_store(data(), 9), 9);
	EXPECT_EQ(catches_itself(data()), 9);
}

TEST_F(Trampolines, FaultAndACallerCatchesAfterDestructors)
{
	bool caught = false;
	try {
		never_catches(reinterpret_cast<char *>(16));
	} catch (const Thrown &) {
		caught = true;
	}
	EXPECT_TRUE(caught);
	EXPECT_EQ(destroyed, 1);
}

void *canceled_thread(void *p)
{
	Counts counts;
	call_stepped(cleans_up, static_cast<char *>(p));
	return nullptr;
}

TEST_F(Trampolines, LetAThreadThatIsCanceledThereEndWithAllItsDestructors)
{
	for (int step = 1; step < 3; step++) {
		pthread_t thread;
		void *result = nullptr;
		stepping = {};
		stepping.throw_at = step;
		stepping.only_before = stepping.cancel = true;
		destroyed = 0;
		ASSERT_EQ(pthread_create(&thread, nullptr, canceled_thread, data()), 0);
		ASSERT_EQ(pthread_join(thread, &result), 0);
		EXPECT_EQ(result, PTHREAD_CANCELED);
		EXPECT_EQ(destroyed, 2); // in the function and in its caller
	}
}

TEST_F(Trampolines, AreRefusedInDisorder)
{
	repair_trampoline two[2] = {};
	EXPECT_EQ(unwind_add(two, 0, nullptr, nullptr), -EINVAL);
	EXPECT_EQ(unwind_add(two, 1, nullptr, nullptr), -EINVAL); // no code
	two[0].len = two[1].len = 16;
	two[0].vaddr = 0x1000;
	two[1].vaddr = 0x100f;
	EXPECT_EQ(unwind_add(two, 2, nullptr, nullptr), -EINVAL);
	two[1].vaddr = UINT64_MAX - 8;
	EXPECT_EQ(unwind_add(two, 2, nullptr, nullptr), -EINVAL);
}

} // namespace
