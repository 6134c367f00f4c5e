// SPDX-License-Identifier: Apache-2.0
// Random programs with sequences planted at random offsets, the original and the repaired one executed side by side in
// a child: they fault at the same instruction or leave to the same place, with the same registers and memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <set>

#include "repair_random.h"
#include "seed.h"

namespace
{

constexpr uint64_t kArena = UINT64_C(6) << 30, kPage = 4096;
constexpr uint64_t kArithmetic = 0x8d5, kDirection = 0x400, kRedZone = 128;
constexpr int kSteps = 200;

using Memory = std::map<uint64_t, Bytes>; // pages that are not all zeros

enum End { kLeft, kFault, kEndless, kStrange };

struct Result {
	End end = kStrange;
	int signal = 0;
	uint64_t rip = 0; // where it went; the instruction at fault, of the original
	user_regs_struct regs = {};
	user_fpregs_struct fp = {};
	Memory memory;
	std::set<uint64_t> ran; // instructions of the original
};

// A child that stands still, with memory that both have; what it executes, and from what state, is decided here.
class Executor
{
      public:
	uint64_t code, stack, data;

	Executor()
	{
		fd_ = memfd_create("arena", MFD_CLOEXEC);
		EXPECT_EQ(ftruncate(fd_, kArena), 0);
		start_ = static_cast<uint8_t *>(mmap(nullptr, kArena, PROT_READ | PROT_WRITE | PROT_EXEC,
						     MAP_SHARED | MAP_NORESERVE, fd_, 0));
		EXPECT_NE(static_cast<void *>(start_), MAP_FAILED);
		uint64_t at = reinterpret_cast<uint64_t>(start_);
		code = at + (UINT64_C(3) << 30);
		stack = at + (UINT64_C(256) << 20);
		data = code + (UINT64_C(8) << 20);
		child_ = fork();
		if (child_ == 0) {
			ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
			raise(SIGSTOP);
			_exit(0);
		}
		int status;
		EXPECT_EQ(waitpid(child_, &status, 0), child_);
		EXPECT_TRUE(WIFSTOPPED(status));
		EXPECT_EQ(ptrace(PTRACE_SETOPTIONS, child_, nullptr, PTRACE_O_EXITKILL), 0);
		EXPECT_EQ(ptrace(PTRACE_GETREGS, child_, nullptr, &regs_), 0);
		EXPECT_EQ(ptrace(PTRACE_GETFPREGS, child_, nullptr, &fp_), 0);
	}
	~Executor()
	{
		kill(child_, SIGKILL);
		waitpid(child_, nullptr, 0);
		munmap(start_, kArena);
		close(fd_);
	}
	Executor(const Executor &) = delete;
	Executor &operator=(const Executor &) = delete;

	void put(uint64_t at, const uint8_t *bytes, size_t len) { memcpy(reinterpret_cast<void *>(at), bytes, len); }

	// Registers and memory from seed. disturb: what a signal may write over, below the red zone, is, before each step.
	Result run(const Bytes &bytes, const repair *plan, uint64_t seed, bool disturb)
	{
		std::mt19937_64 random(seed);
		Result r;
		prepare(bytes, plan, random, &r);
		for (int step = 0;; step++) {
			const uint64_t site = site_of(r.regs.rip, bytes.size(), plan);
			if (site == 0) {
				r.end = kLeft;
				r.rip = r.regs.rip;
				break;
			}
			r.ran.insert(site);
			if (r.regs.rsp - stack > kStack - kMargin || r.regs.rsp - stack < kMargin || step >= kSteps * (plan ? 20 : 1)) {
				r.end = kEndless; // or with a stack that no signal could use
				break;
			}
			if (disturb) {
				memset(reinterpret_cast<void *>(r.regs.rsp - kRedZone - 512), 0xa5, 512);
			}
			int status;
			EXPECT_EQ(ptrace(PTRACE_SINGLESTEP, child_, nullptr, nullptr), 0);
			EXPECT_EQ(waitpid(child_, &status, 0), child_);
			if (!WIFSTOPPED(status)) {
				ADD_FAILURE() << "the child ended";
				break;
			}
			EXPECT_EQ(ptrace(PTRACE_GETREGS, child_, nullptr, &r.regs), 0);
			if (WSTOPSIG(status) != SIGTRAP) {
				r.end = kFault;
				r.signal = WSTOPSIG(status);
				r.rip = site_of(r.regs.rip, bytes.size(), plan);
				break;
			}
		}
		EXPECT_EQ(ptrace(PTRACE_GETFPREGS, child_, nullptr, &r.fp), 0);
		take_memory(&r, plan);
		return r;
	}

      private:
	static constexpr uint64_t kStack = UINT64_C(64) << 10, kMargin = UINT64_C(8) << 10;
	uint8_t *start_;
	int fd_;
	pid_t child_;
	user_regs_struct regs_;
	user_fpregs_struct fp_;

	// The instruction of the original that rip is in; 0: outside.
	uint64_t site_of(uint64_t rip, size_t len, const repair *plan) const
	{
		if (rip - code < len) {
			return rip;
		}
		for (size_t i = 0; plan != nullptr && i < plan->ntrampolines; i++) {
			if (rip - plan->trampolines[i].vaddr < plan->trampolines[i].len) {
				return plan->trampolines[i].site;
			}
		}
		return 0;
	}

	void prepare(const Bytes &bytes, const repair *plan, std::mt19937_64 &random, Result *r)
	{
		fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kArena);
		put(code, bytes.data(), bytes.size());
		for (size_t i = 0; plan != nullptr && i < plan->ntrampolines; i++) {
			put(plan->trampolines[i].vaddr, plan->trampolines[i].code, plan->trampolines[i].len);
		}
		for (uint64_t i = 0; i < 2 * kPage; i += 8) {
			*reinterpret_cast<uint64_t *>(data + i) = random();
			*reinterpret_cast<uint64_t *>(stack + kStack / 2 - kPage + i) = random();
		}
		r->regs = regs_;
		unsigned long long *const general[] = {
			&r->regs.rax, &r->regs.rcx, &r->regs.rdx, &r->regs.rbx, &r->regs.rbp, &r->regs.rsi, &r->regs.rdi, &r->regs.r8,
			&r->regs.r9,  &r->regs.r10, &r->regs.r11, &r->regs.r12, &r->regs.r13, &r->regs.r14, &r->regs.r15};
		for (unsigned long long *reg : general) {
			const uint64_t kind = random() % 8, value = random();
			*reg = kind < 5 ? data + kPage + value % 512 : kind < 7 ? value % 16 : value;
		}
		r->regs.rsp = stack + kStack / 2;
		r->regs.rip = code;
		r->regs.eflags = 0x202 | (random() & kArithmetic);
		r->regs.orig_rax = ~0ULL;
		r->regs.fs_base = r->regs.gs_base = 0; // what is relative to them is nowhere
		user_fpregs_struct fp = fp_;
		for (auto &word : fp.xmm_space) {
			word = static_cast<unsigned>(random());
		}
		EXPECT_EQ(ptrace(PTRACE_SETREGS, child_, nullptr, &r->regs), 0);
		EXPECT_EQ(ptrace(PTRACE_SETFPREGS, child_, nullptr, &fp), 0);
	}

	// All but code and trampolines.
	void take_memory(Result *r, const repair *plan)
	{
		for (off_t at = 0; (at = lseek(fd_, at, SEEK_DATA)) >= 0;) {
			off_t end = lseek(fd_, at, SEEK_HOLE);
			for (; at < end; at += kPage) {
				const uint64_t page = reinterpret_cast<uint64_t>(start_) + static_cast<uint64_t>(at);
				bool ours = page == code;
				for (size_t i = 0; plan != nullptr && i < plan->ntrampolines; i++) {
					const repair_trampoline &t = plan->trampolines[i];
					ours = ours || page == (t.vaddr & ~(kPage - 1)) || page == ((t.vaddr + t.len) & ~(kPage - 1));
				}
				Bytes bytes(reinterpret_cast<uint8_t *>(page), reinterpret_cast<uint8_t *>(page) + kPage);
				if (!ours && std::any_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b != 0; })) {
					r->memory[page] = bytes;
				}
			}
		}
	}
};

// What is on the stack below the red zone does not count.
Memory above_red_zone(Memory memory, uint64_t rsp)
{
	for (auto &[page, bytes] : memory) {
		for (uint64_t i = 0; i < kPage && rsp - page < UINT64_C(64) << 10 && page + i < rsp - kRedZone; i++) {
			bytes[i] = 0;
		}
	}
	for (auto at = memory.begin(); at != memory.end();) {
		const bool zeros = std::all_of(at->second.begin(), at->second.end(), [](uint8_t b) { return b == 0; });
		at = zeros ? memory.erase(at) : std::next(at);
	}
	return memory;
}

// What both must have: nothing of it is a matter of timing, nor lies where a signal may write.
std::string difference(const Result &a, const Result &b)
{
	char text[160];
	// An address that is not canonical: SIGBUS when it is computed from rsp or rbp, else SIGSEGV (repair.h).
	const bool elsewhere = a.signal == SIGBUS && b.signal == SIGSEGV;
	if (a.end != b.end || (a.signal != b.signal && !elsewhere) || a.rip != b.rip) {
		snprintf(text, sizeof(text), "the one ends so: %d, signal %d, at %lx; the other %d, %d, at %lx", a.end, a.signal,
			 static_cast<unsigned long>(a.rip), b.end, b.signal, static_cast<unsigned long>(b.rip));
		return text;
	}
	const uint64_t rsp = std::max(a.regs.rsp, b.regs.rsp);
	if (above_red_zone(a.memory, rsp) != above_red_zone(b.memory, rsp)) {
		return "memory differs";
	}
	if (a.end == kFault) {
		return ""; // in a trampoline registers can be those that it needs
	}
	user_regs_struct x = a.regs, y = b.regs;
	x.eflags &= kArithmetic | kDirection;
	y.eflags &= kArithmetic | kDirection;
	x.orig_rax = y.orig_rax = 0;
	if (x.eflags != y.eflags) {
		return "flags differ";
	}
	if (memcmp(&x, &y, sizeof(x)) != 0) {
		return "registers differ";
	}
	return memcmp(a.fp.xmm_space, b.fp.xmm_space, sizeof(a.fp.xmm_space)) != 0 ? "xmm registers differ" : "";
}

// Does it do what no compiler's code does, and what a repair without a control-flow graph relies upon: a branch into an
// instruction, code that reads itself, padding that is executed, a system call?
bool unlike_compiled_code(const Planted &p)
{
	for (size_t start : p.starts) {
		insn in;
		if (!insn_decode(&in, p.code.data() + start, p.code.size() - start)) {
			return true;
		}
		const unsigned len = in.relative ? in.imm_len : in.disp_len, off = in.relative ? in.imm_off : in.disp_off;
		int32_t rel = 0;
		if (in.map == 0 && (in.opcode == 0xcc || in.opcode == 0xcd || in.opcode == 0xf1 || in.opcode == 0x9d)) {
			return true;
		}
		if (in.map == 1 && (in.opcode == 0x05 || in.opcode == 0x34)) {
			return true;
		}
		if ((!in.relative && !in.rip_relative) || len > 4) {
			continue;
		}
		memcpy(&rel, p.code.data() + start + off, len);
		rel = len == 1 ? static_cast<int8_t>(rel) : len == 2 ? static_cast<int16_t>(rel) : rel;
		const int64_t target = static_cast<int64_t>(start + in.len) + rel;
		const bool inside = target > -64 && target < static_cast<int64_t>(kPage);
		const bool start_of_one =
			std::binary_search(p.starts.begin(), p.starts.end(), static_cast<size_t>(target));
		if (inside && (in.rip_relative || !start_of_one)) {
			return true;
		}
	}
	return false;
}

// A program has no data where the runtime puts trampolines; here a random one may.
bool uses_trampolines(const Result &original, const repair &plan)
{
	for (size_t i = 0; i < plan.ntrampolines; i++) {
		const repair_trampoline &t = plan.trampolines[i];
		for (uint64_t at : {t.vaddr, t.vaddr + t.len - 1}) {
			if (original.memory.count(at & ~(kPage - 1)) != 0) {
				return true;
			}
		}
	}
	return false;
}

} // namespace

TEST(RepairProgram, DoesWhatTheOriginalDid)
{
	const unsigned seed = static_cast<unsigned>(lych_seed());
	const int rounds = lych_long() ? 50000 : 1500;
	std::mt19937 random(seed);
	Executor executor;
	size_t compared = 0, through_repaired = 0, kinds[REPAIR_KIND_COUNT] = {};
	for (int round = 0; round < rounds && !HasFailure(); round++) {
		Planted p = random_code(random, 2 + random() % 12);
		p.code.insert(p.code.end(), 16, 0x90);
		p.decode();
		const uint64_t state = random();
		if (unlike_compiled_code(p)) {
			continue;
		}
		World w(executor.code, p.code);
		w.options.areas[0] = {executor.code + 0x1000000, executor.code + 0x7f000000};
		w.options.areas[1] = {executor.code - 0x7f000000, executor.code - 0x1000000};
		std::map<uint64_t, repair_kind> repaired; // by instruction
		for (const hit &h : w.hits(p.code)) {
			lych_placement placement;
			uint64_t insn_vaddr;
			if (p.place(h, executor.code, &placement, &insn_vaddr)) {
				repair_outcome o = w.plan_placed(h, placement, insn_vaddr);
				for (size_t i = 0; i < o.nedits; i++) {
					auto holder = std::upper_bound(p.starts.begin(), p.starts.end(),
								       o.edits[i].vaddr - executor.code);
					repaired[executor.code + *(holder - 1)] = o.kind;
				}
			}
		}
		if (repaired.empty()) {
			continue;
		}
		Result original = executor.run(p.code, nullptr, state, false);
		Result disturbed = executor.run(p.code, nullptr, state, true);
		if (original.end == kEndless || difference(original, disturbed) != "") {
			continue; // it reads a clock, or below the red zone
		}
		if (uses_trampolines(original, w.plan)) {
			continue;
		}
		bool meant = false, executed = false;
		for (const auto &[insn, kind] : repaired) {
			// These are not to do what the original did.
			meant = meant || ((kind == REPAIR_TRAPPED || kind == REPAIR_CHECKED) && original.ran.count(insn));
			executed = executed || original.ran.count(insn);
		}
		if (meant) {
			continue;
		}
		Result after = executor.run(w.repaired(), &w.plan, state, false);
		EXPECT_EQ(difference(original, after), "") << to_hex(p.code.data(), p.code.size()) << ", round " << round
							    << ", LYCH_SEED=" << seed;
		compared++;
		through_repaired += executed;
		for (const auto &[insn, kind] : repaired) {
			kinds[kind] += original.ran.count(insn);
		}
	}
	printf("%zu programs compared, %zu of them through a repaired instruction\n", compared, through_repaired);
	for (repair_kind kind : {REPAIR_REENCODED, REPAIR_RETARGETED, REPAIR_REBASED, REPAIR_SPLIT, REPAIR_MOVED}) {
		printf("%s %zu\n", repair_kind_name(kind), kinds[kind]);
		EXPECT_GT(kinds[kind], 0u) << repair_kind_name(kind);
	}
	EXPECT_GT(through_repaired, static_cast<size_t>(rounds) / 10);
}

// Other registers, other memory, another place to go to, a fault elsewhere.
TEST(RepairProgram, ThatDoesSomethingElseIsNoticed)
{
	Executor executor;
	const char *const pairs[][2] = {{"01ef 90", "01fd 90"}, {"8903 90", "8803 90"}, {"eb02 9090", "eb03 9090"},
					{"0f0b 90", "900f0b"}, {"4801d8 90", "4901d8 90"}, {"0f58c1 90", "0f59c1 90"}};
	for (const auto &pair : pairs) {
		Bytes one = hex(pair[0]), other = hex(pair[1]);
		int noticed = 0;
		for (uint64_t state = 0; state < 8; state++) {
			Result a = executor.run(one, nullptr, state, false), b = executor.run(other, nullptr, state, false);
			noticed += difference(a, b) != "";
			EXPECT_EQ(difference(a, executor.run(one, nullptr, state, true)), "") << pair[0];
		}
		EXPECT_GT(noticed, 0) << pair[0];
	}
}
