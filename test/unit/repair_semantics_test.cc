// SPDX-License-Identifier: Apache-2.0
// The original and the repaired instruction, run one after the other in a child process from the same random registers,
// flags and memory: they must leave the same behind, also when a signal arrives after each instruction. And of each
// instruction of a trampoline what is said for unwinding is true: where the program's registers are meanwhile.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <random>

#include "repair_world.h"
#include "seed.h"

extern "C" {
#include "repair_cfi.h"
}

struct State {
	uint64_t gpr[16];
	uint64_t flags, pad;
	uint8_t xmm[16][16];
};

// Loads the state, runs entry on the state's own stack, and stores the state when that comes to repair_exit.
extern "C" void repair_run(State *state, const void *entry);
extern "C" void repair_exit();
extern "C" void repair_exit_end();

asm(R"(
	.local run_state, run_entry, run_rsp, run_rdi
	.comm run_state, 8, 8
	.comm run_entry, 8, 8
	.comm run_rsp, 8, 8
	.comm run_rdi, 8, 8
	.text
	.globl repair_run, repair_exit, repair_exit_end
	.type repair_run, @function
repair_run:
	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
	mov %rdi, run_state(%rip)
	mov %rsi, run_entry(%rip)
	mov %rsp, run_rsp(%rip)
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movdqu 144 + 16 * \n(%rdi), %xmm\n
	.endr
	pushq 128(%rdi)
	popfq
	mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx
	mov 32(%rdi), %rsp; mov 40(%rdi), %rbp; mov 48(%rdi), %rsi
	mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11
	mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15
	mov 56(%rdi), %rdi
	jmp *run_entry(%rip)
repair_exit:
	mov %rdi, run_rdi(%rip)
	mov run_state(%rip), %rdi
	mov %rax, 0(%rdi); mov %rcx, 8(%rdi); mov %rdx, 16(%rdi); mov %rbx, 24(%rdi)
	mov %rsp, 32(%rdi); mov %rbp, 40(%rdi); mov %rsi, 48(%rdi)
	mov %r8, 64(%rdi); mov %r9, 72(%rdi); mov %r10, 80(%rdi); mov %r11, 88(%rdi)
	mov %r12, 96(%rdi); mov %r13, 104(%rdi); mov %r14, 112(%rdi); mov %r15, 120(%rdi)
	mov run_rdi(%rip), %rax
	mov %rax, 56(%rdi)
	mov run_rsp(%rip), %rsp
	pushfq
	popq 128(%rdi)
	pushq $0x202
	popfq
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movdqu %xmm\n, 144 + 16 * \n(%rdi)
	.endr
	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
	ret
repair_exit_end:
	.size repair_run, . - repair_run
)");

namespace
{

constexpr uint64_t kArithmetic = 0x8d5, kTrap = 0x100, kFixed = 0x202;
constexpr size_t kRedZone = 128, kStackWindow = 512, kDataWindow = 256;

// Nowhere else; to a branch's target; to where a pointer in memory says. kXsave: the operand is a state to restore.
enum Leads { kOn, kTarget, kPointer, kXsave };

struct Case {
	const char *name;
	const char *code;
	repair_kind kind;
	Leads leads;
	size_t which; // of the instructions: the one with the memory operand or the branch
};

std::ostream &operator<<(std::ostream &os, const Case &c)
{
	return os << c.code;
}

// All in one mapping, so that distances fit: the code in the middle, trampolines around it, a stack of its own.
struct Arena {
	uint8_t *start;
	uint64_t code, stack, data, marker;

	Arena()
	{
		const size_t size = UINT64_C(6) << 30;
		start = static_cast<uint8_t *>(mmap(nullptr, size, PROT_READ | PROT_WRITE | PROT_EXEC,
						    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
		uint64_t at = reinterpret_cast<uint64_t>(start);
		code = at + (UINT64_C(3) << 30);
		stack = at + (UINT64_C(256) << 20);
		data = code + (UINT64_C(8) << 20);
		marker = code - 0x1000;
	}
};

uint8_t *pointer(uint64_t at)
{
	return reinterpret_cast<uint8_t *>(at);
}

void put(uint64_t at, const void *bytes, size_t n)
{
	memcpy(pointer(at), bytes, n);
}

Bytes jump_out()
{
	Bytes out = hex("ff2500000000");
	uint64_t exit = reinterpret_cast<uint64_t>(&repair_exit);
	out.insert(out.end(), reinterpret_cast<uint8_t *>(&exit), reinterpret_cast<uint8_t *>(&exit) + 8);
	return out;
}

// Says that it was reached, and goes out or back.
void put_stub(const Arena &a, uint64_t at, bool call)
{
	Bytes stub = hex("c70500000000 01000000");
	int32_t rel = static_cast<int32_t>(a.marker - (at + 10));
	memcpy(stub.data() + 2, &rel, 4);
	Bytes end = call ? hex("c3") : jump_out();
	stub.insert(stub.end(), end.begin(), end.end());
	put(at, stub.data(), stub.size());
}

struct Shared {
	char message[512];
	uint64_t state;
};

using Registers = std::array<uint64_t, 16>; // numbered as in ModRM

// What traps in a trampoline show, in the child.
struct Watch {
	const repair *plan;
	uint64_t base; // of the original code ...
	const Bytes *code;
	const repair_trampoline *entered; // the one whose instruction was reached last ...
	Registers at_site;                // ... with these registers
	Registers done[REPAIR_CODE_BYTES];  // unwound where the instruction is done
	size_t ndone;
	char message[256];
	size_t compared;
} watch;

// Registers that the instruction fills and that may hold a part of it before it is done.
unsigned half_filled(const repair_trampoline &t)
{
	spot s = {};
	operand op;
	s.vaddr = t.site;
	const size_t off = t.site - watch.base;
	if (off >= watch.code->size() || !insn_decode(&s.in, watch.code->data() + off, watch.code->size() - off)) {
		return 0;
	}
	memcpy(s.bytes, watch.code->data() + off, s.in.len);
	const uint8_t opcode = s.in.opcode;
	if (s.in.encoding != INSN_LEGACY || s.in.map > 1) {
		return 0;
	}
	if (s.in.map == 0 && ((opcode & 0xf8) == 0xb8 || (opcode == 0xc7 && s.in.modrm >= 0xc0))) {
		return 1u << (opcode == 0xc7 ? operand_rm(&s) : (opcode & 7u) | (s.in.rex & 1u) << 3);
	}
	const bool fills = s.in.map == 0 ? opcode == 0x8b || opcode == 0x8d || opcode == 0x63
					 : (opcode | 9) == 0xbf && (opcode & 6) == 6;
	if (!fills || !operand_memory(&op, &s) || (op.base == operand_reg(&s) && op.index == NO_REG)) {
		return 0;
	}
	return 1u << operand_reg(&s);
}

void watch_compare(const Registers &unwound, const Registers &real, unsigned except, const char *when)
{
	watch.compared++;
	for (size_t i = 0; i < 16 && watch.message[0] == '\0'; i++) {
		if (unwound[i] != real[i] && (except >> i & 1) == 0) {
			snprintf(watch.message, sizeof(watch.message), "%s, register %zu unwinds to %lx, it was %lx", when, i,
				 static_cast<unsigned long>(unwound[i]), static_cast<unsigned long>(real[i]));
		}
	}
}

// rip and registers before an instruction.
void watch_trap(uint64_t rip, const Registers &now)
{
	for (size_t i = 0; i < watch.plan->ntrampolines; i++) {
		const repair_trampoline &t = watch.plan->trampolines[i];
		if (rip == t.site) {
			watch.entered = &t;
			watch.at_site = now;
			watch.ndone = 0;
		}
		if (rip == t.resume && watch.entered == &t) {
			for (size_t k = 0; k < watch.ndone; k++) {
				watch_compare(watch.done[k], now, 0, "behind the instruction");
			}
			watch.ndone = 0;
		}
		if (rip - t.vaddr >= t.len || watch.entered != &t) {
			continue;
		}
		const repair_step *step;
		const uint64_t leads = repair_step_at(&t, rip - t.vaddr, &step);
		Registers unwound = now;
		unwound[RSP] += step->rsp_down;
		for (size_t k = 0; k < step->nheld; k++) {
			const uint64_t by = static_cast<uint64_t>(static_cast<int64_t>(step->held[k].by));
			uint64_t saved = now[step->held[k].reg] + by;
			if (step->held[k].saved) { // rsp may be anything
				memcpy(&saved, reinterpret_cast<void *>(now[RSP] + by), sizeof(saved));
			}
			unwound[step->held[k].reg] = saved;
		}
		if (leads == t.site) {
			watch_compare(unwound, watch.at_site, half_filled(t), "before the instruction");
		} else if (watch.ndone < REPAIR_CODE_BYTES) {
			watch.done[watch.ndone++] = unwound;
		}
	}
}

struct Trial {
	const Case &c;
	Arena arena;
	std::mt19937_64 random;
	Bytes original, repaired;
	spot insn = {}; // with the operand
	bool has_op = false;
	operand op = {};
	uint64_t stub = 0, fixed_address = 0;

	Trial(const Case &test, uint64_t seed) : c(test), random(seed) {}

	bool call() const
	{
		return insn.in.map == 0 && (insn.in.opcode == 0xe8 || (insn.in.opcode == 0xff && (insn.in.modrm >> 3 & 7) == 2));
	}

	// An address that is in the instruction: what it holds decides where that is.
	bool absolute() const
	{
		return insn.in.disp_len == 8 || (has_op && op.base == NO_REG && op.index == NO_REG);
	}

	// Plans, and puts what is needed into the arena.
	repair_outcome prepare(World &w)
	{
		original = w.bytes;
		uint64_t at = w.base;
		for (size_t i = 0; i <= c.which; i++) {
			insn.vaddr = at;
			EXPECT_TRUE(insn_decode(&insn.in, original.data() + (at - w.base), original.size() - (at - w.base)));
			at += insn.in.len;
		}
		memcpy(insn.bytes, original.data() + (insn.vaddr - w.base), insn.in.len);
		has_op = operand_memory(&op, &insn);
		w.options.areas[0] = {arena.code + 0x1000000, arena.code + 0x7f000000};
		w.options.areas[1] = {arena.code - 0x7f000000, arena.code - 0x1000000};
		repair_outcome o = w.plan_hit(w.hits(original).at(0));
		repaired = w.repaired();
		watch.plan = &w.plan;
		watch.base = w.base;
		watch.code = &original;
		for (size_t i = 0; i < w.plan.ntrampolines; i++) {
			put(w.plan.trampolines[i].vaddr, w.plan.trampolines[i].code, w.plan.trampolines[i].len);
		}
		int32_t rel = 0;
		if (insn.in.relative || insn.in.rip_relative) {
			unsigned off = insn.in.relative ? insn.in.imm_off : insn.in.disp_off;
			unsigned len = insn.in.relative ? insn.in.imm_len : insn.in.disp_len;
			memcpy(&rel, insn.bytes + off, len);
			rel = len == 1 ? static_cast<int8_t>(rel) : rel;
			fixed_address = insn.vaddr + insn.in.len + static_cast<uint64_t>(static_cast<int64_t>(rel));
		}
		if (absolute()) {
			memcpy(&fixed_address, insn.bytes + insn.in.disp_off, insn.in.disp_len);
			void *page = pointer((fixed_address & ~UINT64_C(4095)) - 4096);
			EXPECT_EQ(mmap(page, 3 * 4096, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), page);
		}
		stub = c.leads == kTarget ? fixed_address : arena.data + 0x10000;
		if (c.leads == kTarget || c.leads == kPointer) {
			put_stub(arena, stub, call());
		}
		return o;
	}

	// Registers so that the operand is at address; returns where it is really.
	uint64_t aim(State &s)
	{
		if (insn.in.rip_relative || absolute()) {
			return fixed_address;
		}
		if (!has_op) {
			return arena.data;
		}
		uint64_t address = arena.data + random() % 4096;
		const bool aligned = insn.in.map == 3 || c.leads == kXsave ||
				     (insn.in.map == 1 && (insn.in.opcode == 0x58 || insn.in.opcode == 0x29));
		address &= aligned ? ~UINT64_C(63) : UINT64_MAX;
		const uint64_t disp = static_cast<uint64_t>(static_cast<int64_t>(op.disp));
		if (op.base == NO_REG && op.index != NO_REG) {
			address -= (address - disp) % (1u << op.scale);
			s.gpr[op.index] = (address - disp) >> op.scale;
		} else if (op.base == op.index) {
			address -= (address - disp) % (1 + (1u << op.scale));
			s.gpr[op.base] = (address - disp) / (1 + (1u << op.scale));
		} else {
			uint64_t index = 0;
			if (op.index != NO_REG) {
				s.gpr[op.index] = random() % 256;
				index = s.gpr[op.index] << op.scale;
			}
			if (op.base == RSP) {
				return s.gpr[RSP] + index + disp;
			}
			s.gpr[op.base] = address - index - disp;
		}
		return address;
	}

	struct Memory {
		uint8_t stack[kStackWindow + kRedZone];
		uint8_t data[2 * kDataWindow];
	};

	// Below the red zone anything may change: of an operand on the stack only what is above it counts.
	uint64_t data_window(uint64_t address) const
	{
		return has_op && op.base == RSP ? address - 8 : address - kDataWindow;
	}

	void load(const Memory &m, uint64_t rsp, uint64_t address)
	{
		put(rsp - kRedZone, m.stack, sizeof(m.stack));
		put(data_window(address), m.data, sizeof(m.data));
		if (c.leads == kXsave) {
			alignas(64) static uint8_t area[4096];
			asm volatile("xsave %0" : "+m"(area) : "a"(3), "d"(0));
			memcpy(area + 160, m.data, 256); // the xmm registers
			put(address, area, 576);
		}
		if (c.leads == kPointer) {
			put(address, &stub, sizeof(stub));
		}
		memset(pointer(arena.marker), 0, 8);
		memset(pointer(arena.data + 0x20000 - 64), 0x7b, 128);
		memset(pointer(arena.data + 0x21000 - 64), 0x7b, 128);
	}

	Memory store(uint64_t rsp, uint64_t address)
	{
		Memory m;
		memcpy(m.stack, pointer(rsp - kRedZone), sizeof(m.stack));
		memcpy(m.data, pointer(data_window(address)), sizeof(m.data));
		return m;
	}

	template <typename T> void fill(T &value)
	{
		auto *bytes = reinterpret_cast<uint8_t *>(&value);
		for (size_t i = 0; i < sizeof(T); i++) {
			bytes[i] = static_cast<uint8_t>(random());
		}
	}

	// One state through both; a text where they differ.
	std::string one(bool traps)
	{
		State before, first, second;
		Memory memory;
		uint64_t marks[2];
		fill(before);
		fill(memory);
		for (auto &xmm : before.xmm) { // numbers, not what is a NaN in another way each time
			for (size_t i = 0; i < 16; i += 4) {
				float f = static_cast<float>(static_cast<int32_t>(random()));
				memcpy(xmm + i, &f, 4);
			}
		}
		if (random() % 4 == 0) { // small numbers make zeros, carries and taken branches likelier
			for (auto &r : before.gpr) {
				r %= 3;
			}
		}
		before.flags = (before.flags & (kArithmetic | 0x400)) | kFixed;
		before.gpr[RSP] = arena.stack + (random() % 256) * 8;
		// what other instructions of the case use
		before.gpr[RDI] = arena.data + 0x20000;
		before.gpr[RCX] = c.leads == kTarget && insn.in.opcode == 0xe3 && random() % 2 ? 0 : arena.data + 0x21000;
		if (c.leads == kXsave) {
			before.gpr[RSP] &= ~UINT64_C(63);
			before.gpr[RAX] = 3;
			before.gpr[RDX] = 0;
		}
		uint64_t address = aim(before), rsp = before.gpr[RSP];

		first = second = before;
		put(arena.code, original.data(), original.size());
		load(memory, rsp, address);
		repair_run(&first, pointer(arena.code));
		Memory after_first = store(rsp, address);
		memcpy(&marks[0], pointer(arena.marker), 8);

		put(arena.code, repaired.data(), repaired.size());
		load(memory, rsp, address);
		second.flags |= traps ? kTrap : 0;
		repair_run(&second, pointer(arena.code));
		Memory after_second = store(rsp, address);
		memcpy(&marks[1], pointer(arena.marker), 8);

		first.flags &= kArithmetic | 0x400;
		second.flags &= kArithmetic | 0x400;
		first.pad = second.pad = 0;
		if (memcmp(&first, &second, sizeof(first)) != 0) {
			for (size_t i = 0; i < 16; i++) {
				if (first.gpr[i] != second.gpr[i]) {
					char text[96];
					snprintf(text, sizeof(text), "register %zu is %lx, was %lx", i,
						 static_cast<unsigned long>(second.gpr[i]),
						 static_cast<unsigned long>(first.gpr[i]));
					return text;
				}
			}
			return first.flags != second.flags ? "flags differ" : "xmm registers differ";
		}
		if (memcmp(&after_first, &after_second, sizeof(after_first)) != 0) {
			return memcmp(after_first.stack, after_second.stack, sizeof(after_first.stack)) ? "the stack differs"
													: "memory differs";
		}
		if (watch.message[0] != '\0') {
			return watch.message;
		}
		return marks[0] == marks[1] ? "" : "they lead to different places";
	}
};

volatile uint64_t signals;

// Writes over all that a handler may: its own frame, below the red zone of what was interrupted.
void on_trap(int, siginfo_t *, void *context)
{
	auto *uc = static_cast<ucontext_t *>(context);
	volatile uint8_t below[512];
	for (auto &byte : below) {
		byte = 0xa5;
	}
	signals = signals + 1;
	static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				      REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
	uint64_t rip = static_cast<uint64_t>(uc->uc_mcontext.gregs[REG_RIP]);
	Registers now;
	for (size_t i = 0; i < 16; i++) {
		now[i] = static_cast<uint64_t>(uc->uc_mcontext.gregs[order[i]]);
	}
	watch_trap(rip, now);
	if (rip >= reinterpret_cast<uint64_t>(&repair_exit) && rip < reinterpret_cast<uint64_t>(&repair_exit_end)) {
		uc->uc_mcontext.gregs[REG_EFL] &= ~static_cast<greg_t>(kTrap);
	}
}

// In the child: 0, or 1 and a message.
int run_states(Trial &trial, Shared *shared, uint64_t count)
{
	struct sigaction action = {};
	action.sa_sigaction = on_trap;
	action.sa_flags = SA_SIGINFO;
	sigaction(SIGTRAP, &action, nullptr);
	for (shared->state = 0; shared->state < count; shared->state++) {
		std::string why = trial.one(shared->state % 16 == 0);
		if (!why.empty()) {
			snprintf(shared->message, sizeof(shared->message), "%s", why.c_str());
			return 1;
		}
	}
	if (watch.compared == 0 && watch.plan->ntrampolines > 0) {
		snprintf(shared->message, sizeof(shared->message), "no signal arrived in the trampoline");
		return 1;
	}
	if (signals == 0) {
		snprintf(shared->message, sizeof(shared->message), "no signal arrived");
		return 1;
	}
	return 0;
}

} // namespace

namespace
{

bool runs_here(const insn &in)
{
	return (in.encoding != INSN_EVEX || __builtin_cpu_supports("avx512f")) &&
	       (in.encoding != INSN_VEX || (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")));
}

// Runs the case in a child. kind REPAIR_KIND_COUNT: any that is no refusal; returns whether it was repaired.
bool run_case(const Case &c, uint64_t states, uint64_t seed)
{
	Trial trial(c, seed);
	Bytes code = hex(c.code), out = jump_out();
	if (static_cast<void *>(trial.arena.start) == MAP_FAILED) {
		ADD_FAILURE() << "no address space";
		return false;
	}
	code.insert(code.end(), out.begin(), out.end());
	World w(trial.arena.code, code);
	repair_outcome o = trial.prepare(w);
	bool repaired = o.kind != REPAIR_REFUSED;
	EXPECT_EQ(w.check(), nullptr) << w.check();
	if (c.kind != REPAIR_KIND_COUNT) {
		EXPECT_STREQ(repair_kind_name(o.kind), repair_kind_name(c.kind)) << o.why;
		repaired = o.kind == c.kind;
	}
	if (repaired && runs_here(trial.insn.in)) {
		auto *shared = static_cast<Shared *>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
							  MAP_SHARED | MAP_ANONYMOUS, -1, 0));
		pid_t child = fork();
		if (child == 0) {
			_exit(run_states(trial, shared, states));
		}
		int status = 0;
		EXPECT_EQ(waitpid(child, &status, 0), child);
		EXPECT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status) << " in state "
					       << shared->state;
		EXPECT_EQ(WEXITSTATUS(status), 0) << shared->message << " in state " << shared->state;
		munmap(shared, sizeof(Shared));
	}
	if (trial.absolute()) {
		munmap(pointer((trial.fixed_address & ~UINT64_C(4095)) - 4096), 3 * 4096);
	}
	munmap(trial.arena.start, UINT64_C(6) << 30);
	return repaired;
}

} // namespace

class RepairSemantics : public testing::TestWithParam<Case>
{
};

TEST_P(RepairSemantics, AreThoseOfTheOriginal)
{
	const uint64_t seed = lych_seed();
	SCOPED_TRACE("LYCH_SEED=" + std::to_string(seed));
	run_case(GetParam(), lych_long() ? 10000 : 300, seed);
}

// Instructions with any registers, sizes and operands, and a displacement or immediate that holds a sequence.
TEST(RepairSemanticsOfAnything, AreThoseOfTheOriginal)
{
	struct Form {
		const char *opcode;
		unsigned imm; // bytes; 4: may hold the sequence itself
		bool group, bytes; // ModRM.reg is a part of the opcode; its registers are bytes
		unsigned regs;     // a set of values of ModRM.reg, where it is one
	};
	static const Form forms[] = {
		{"00", 0, false, true, 0}, {"01", 0, false, false, 0}, {"02", 0, false, true, 0}, {"03", 0, false, false, 0},
		{"11", 0, false, false, 0}, {"1b", 0, false, false, 0}, {"21", 0, false, false, 0}, {"2b", 0, false, false, 0},
		{"30", 0, false, true, 0}, {"39", 0, false, false, 0}, {"3b", 0, false, false, 0}, {"63", 0, false, false, 0},
		{"69", 4, false, false, 0}, {"6b", 1, false, false, 0}, {"80", 1, true, true, 0xff}, {"81", 4, true, false, 0xff},
		{"83", 1, true, false, 0xff}, {"84", 0, false, true, 0}, {"85", 0, false, false, 0}, {"86", 0, false, true, 0},
		{"87", 0, false, false, 0}, {"88", 0, false, true, 0}, {"89", 0, false, false, 0}, {"8a", 0, false, true, 0},
		{"8b", 0, false, false, 0}, {"8d", 0, false, false, 0}, {"c1", 1, true, false, 0xff}, {"c6", 1, true, true, 1},
		{"c7", 4, true, false, 1}, {"d1", 0, true, false, 0xff}, {"f6", 1, true, true, 1}, {"f7", 4, true, false, 1},
		{"f7", 0, true, false, 0x0c}, {"fe", 0, true, true, 3}, {"ff", 0, true, false, 3}, {"0f44", 0, false, false, 0},
		{"0faf", 0, false, false, 0}, {"0fb6", 0, false, false, 0}, {"0fbf", 0, false, false, 0}, {"0f92", 0, true, true, 1},
		{"0fba", 1, true, false, 0xf0}, {"0fc1", 0, false, false, 0}, {"0f10", 0, false, false, 0},
		// VEX: c4, then map, then L and pp, then the opcode; R, X, B, W and vvvv are any where that makes sense
		{"c4017858", 0, false, false, 0}, {"c4027af7", 0, false, false, 0}, {"c40278f2", 0, false, false, 0},
		{"c4037bf0", 1, false, false, 0}, {"c403790f", 1, false, false, 0}, {"c4017a6f", 0, false, false, 0},
		{"0f58", 0, false, false, 0}, {"0f29", 0, false, false, 0}, {"0fa4", 1, false, false, 0}, {"0f38f0", 0, false, false, 0},
	};
	const uint64_t seed = lych_seed();
	std::mt19937_64 random(seed);
	int repaired = 0, rounds = lych_long() ? 20000 : 250;
	for (int round = 0; round < rounds && !HasFailure(); round++) {
		const Form &form = forms[random() % (sizeof(forms) / sizeof(forms[0]))];
		const bool aligned = strcmp(form.opcode, "0f29") == 0 || strcmp(form.opcode, "0f58") == 0;
		Bytes code, opcode = hex(form.opcode);
		if (opcode[0] == 0xc4) {
			const uint8_t op = opcode[3];
			opcode[1] |= static_cast<uint8_t>(random() << 5);
			if (op == 0x58 || op == 0xf7 || op == 0xf2 || op == 0x0f) {
				opcode[2] ^= static_cast<uint8_t>(random() % 16 << 3); // vvvv
			}
			if (op == 0xf7 || op == 0xf2 || op == 0xf0) {
				opcode[2] |= static_cast<uint8_t>(random() << 7); // W
			}
		} else if (random() % 3 != 0) {
			code.push_back(static_cast<uint8_t>(0x40 | random() % 16));
		}
		code.insert(code.end(), opcode.begin(), opcode.end());
		unsigned reg = static_cast<unsigned>(random() % 8);
		while (form.group && (form.regs >> reg & 1) == 0) {
			reg = static_cast<unsigned>(random() % 8);
		}
		unsigned rm = static_cast<unsigned>(random() % 8);
		bool in_imm = form.imm == 4 && random() % 2;
		code.push_back(static_cast<uint8_t>((in_imm && random() % 2 ? 3 : 2) << 6 | reg << 3 | rm));
		bool memory = code.back() < 0xc0;
		if (memory && rm == 4) {
			code.push_back(static_cast<uint8_t>(random()));
		}
		const char *const sequences[] = {"0fae2800", "0f01ef00", "000fae28", "0fae6c00", "0f01efff"};
		Bytes sequence = hex(sequences[random() % 5]), other = hex("10000000");
		if (memory) {
			const Bytes &disp = in_imm ? other : sequence;
			code.insert(code.end(), disp.begin(), disp.end());
		}
		for (unsigned i = 0; i < form.imm; i++) {
			code.push_back(in_imm ? sequence[i] : static_cast<uint8_t>(random() % 128));
		}
		spot at = {};
		memcpy(at.bytes, code.data(), code.size());
		ASSERT_TRUE(insn_decode(&at.in, code.data(), code.size())) << to_hex(code.data(), code.size());
		operand op = {};
		bool has_op = operand_memory(&op, &at);
		// A stack pointer that is anywhere cannot take a signal, and some addresses cannot be aligned.
		if ((at.in.encoding == INSN_VEX && operand_vvvv(&at) == RSP) ||
		    (operand_reg_is_general(&at) && !form.bytes && operand_reg(&at) == RSP) ||
		    (!memory && operand_rm(&at) == RSP) || (form.bytes && at.in.rex != 0 && operand_reg(&at) == RSP) ||
		    (aligned && has_op && (op.base == RSP || op.base == op.index))) {
			continue;
		}
		std::string text = to_hex(code.data(), code.size());
		Case c = {"", text.c_str(), REPAIR_KIND_COUNT, kOn, 0};
		SCOPED_TRACE(text + ", round " + std::to_string(round) + ", LYCH_SEED=" + std::to_string(seed));
		bool done = run_case(c, 32, random());
		EXPECT_TRUE(done) << "refused";
		repaired += done;
	}
	EXPECT_GT(repaired, rounds / 2);
}

const Case kCases[] = {
#include "repair_cases.inc"
};

INSTANTIATE_TEST_SUITE_P(Classes, RepairSemantics, testing::ValuesIn(kCases),
			 [](const auto &test) { return std::string(test.param.name); });
