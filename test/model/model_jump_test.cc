/* SPDX-License-Identifier: Apache-2.0 */
// The model check, first half: code in a domain jumps to every instruction of the gate, with the registers, stack
// pointers and flags an attacker would choose. Whatever happens, these hold afterwards: the call has ended with an
// error or the domain went on with its own rights; it has not read the region, the monitor or another domain's heap;
// the host has its registers, rights, selector and records back.
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "inside.h"
#include "model.h"
#include "needs_pku.h"
#include "seed.h"

loot *model_loot;

LYCH_BIND(attacker, model_jump, void, (jump *));

namespace
{

constexpr uint64_t kSecret = 0x5ec2e75ec2e75ec2;

struct Variant {
	const char *name;
	uint64_t rsp;    // 0: a stack of its own
	uint64_t rax;    // what it would like PKRU to be
	uint64_t flags;  // added
	bool null_gs;
	bool x87 = false; // an exception is pending
};

struct World {
	lych_domain *attacker = nullptr, *victim = nullptr;
	lych_region *region = nullptr;
	uint64_t *victims = nullptr;
	char *own = nullptr;
	jump *frame = nullptr;
};

World *Build(lych_kind kind)
{
	static World w;
	lych_domain_opts opts = {};

	if (lych_init(nullptr) != 0) {
		fprintf(stderr, "lych_init: %s\n", lych_why());
		return nullptr;
	}
	opts.size = sizeof(opts);
	opts.kind = kind;
	if (lych_domain_new(&w.attacker, &opts) != 0 || lych_domain_new(&w.victim, nullptr) != 0 ||
	    lych_region_new(&w.region, 4096, nullptr) != 0) {
		fprintf(stderr, "domains: %s\n", lych_why());
		return nullptr;
	}
	w.victims = static_cast<uint64_t *>(lych_alloc(w.victim, 64));
	*w.victims = kSecret;
	LYCH_WRITE(uint64_t, secret, w.region)
	{
		*secret = kSecret;
	}
	return &w;
}

// Everything of the attacker's lies in its own heap, made new after each reset.
void Arm(World &w)
{
	constexpr size_t kBytes = 16384;

	w.own = static_cast<char *>(lych_alloc_aligned(w.attacker, 4096, kBytes));
	ASSERT_NE(w.own, nullptr);
	w.frame = reinterpret_cast<jump *>(w.own);
	model_loot = reinterpret_cast<loot *>(w.own + 512);
	for (size_t i = 1024; i < kBytes; i += 8) {
		*reinterpret_cast<uint64_t *>(w.own + i) = reinterpret_cast<uint64_t>(&model_landed);
	}
}

std::string Attack(World &w, uint64_t target, const Variant &variant, const void *prize)
{
	inside before, after;
	int rc;

	inside_look(&before);
	memset(w.frame, 0, sizeof(*w.frame));
	for (uint64_t &reg : w.frame->gpr) {
		reg = reinterpret_cast<uint64_t>(&model_landed);
	}
	w.frame->gpr[0] = variant.rax;
	w.frame->gpr[1] = w.frame->gpr[2] = 0;
	w.frame->gpr[5] = reinterpret_cast<uint64_t>(w.own + 8192);
	w.frame->gpr[7] = reinterpret_cast<uint64_t>(w.own + 4096);
	w.frame->rip = target;
	w.frame->rflags = 0x202 | variant.flags;
	w.frame->rsp = variant.rsp != 0 ? variant.rsp : reinterpret_cast<uint64_t>(w.own + 12288);
	w.frame->null_gs = variant.null_gs;
	w.frame->x87 = variant.x87;
	model_loot->read = prize;
	model_loot->write = reinterpret_cast<void *>(before.area);
	model_loot->taken = 0;
	lych_domain *attacker = w.attacker;
	rc = LYCH_CALL_TIMEOUT(attacker, 2000, LYCH_NOTHING, model_jump, w.frame);
	inside_look(&after);
	std::string text = inside_differences(&before, &after);
	if (model_loot->taken == kSecret) {
		text += " the secret was taken;";
	}
	loot result = *model_loot;
	if (rc != 0) {
		EXPECT_EQ(lych_domain_reset(w.attacker), 0);
		Arm(w);
		*model_loot = result;
	}
	return text;
}

// What a child tells: it may die, and then this is all that is left.
struct Report {
	uint64_t at;
	uint64_t attacks, landings, ended;
	bool frames_whole;
	char variant[64];
	char text[1024];
};

Report *SharedReport()
{
	void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? nullptr : new (page) Report{};
}

std::vector<Variant> Variants(const World &w, lych_kind kind, bool null_gs)
{
	inside a;
	inside_look(&a);
	uint64_t domain = inside_view_of(w.attacker);
	uint64_t host = static_cast<uint32_t>(~a.not_host);

	if (null_gs) {
		return {{"null gs, PKRU 0", 0, 0, 0, true},
			{"null gs, rsp in the alternate stack", a.altstack + 4096, 0, 0, true},
			{"null gs, own view", 0, domain, 0, true}};
	}
	// A contained domain may write the host's stack, and then the host is not what it was: that is its kind.
	uint64_t rsp = kind == LYCH_KIND_PURE ? (reinterpret_cast<uint64_t>(&a) & ~15ull) - 512 : 0;
	return {
		{"host view, rsp on the host's stack", rsp, host, 0, false},
		{"PKRU 0", 0, 0, 0, false},
		{"own view", 0, domain, 0, false},
		{"host view", 0, host, 0, false},
		{"complement of the host view", 0, static_cast<uint32_t>(~host), 0, false},
		{"host view, rsp in the gate page", a.area + 2048, host, 0, false},
		{"host view, rsp among the records", a.records + 640, host, 0, false},
		{"PKRU 0, rsp on the monitor's stack", a.sig_stack - 256, 0, 0, false},
		{"PKRU 0, rsp in the alternate stack", a.altstack + a.altstack_bytes - 512, 0, 0, false},
		{"PKRU 0, rsp where a frame would be",
		 a.sig_rsp != 0 ? a.sig_rsp : a.altstack + a.altstack_bytes - 4096, 0, 0, false},
		{"PKRU 0, rsp null", 8, 0, 0, false},
		{"host view, TF", 0, host, 0x100, false},
		{"PKRU 0, TF", 0, 0, 0x100, false},
		{"host view, AC", 0, host, 0x40000, false},
		{"PKRU 0, DF and NT", 0, 0, 0x4400, false},
		{"host view, x87 exception", 0, host, 0, false, true},
		{"PKRU 0, x87 exception", 0, 0, 0, false, true},
	};
}

// Every stride. byte of [from, to): a child, so that an end of the process is seen, and stands for its own address.
void AttackRange(lych_kind kind, uint64_t from, uint64_t to, uint64_t stride, bool null_gs, Report *report)
{
	World *w = Build(kind);
	inside now;

	inside_look(&now);
	report->frames_whole = now.frames_whole;
	if (w == nullptr) {
		_exit(3);
	}
	Arm(*w);
	const void *prizes[] = {lych_region_address(w->region), w->victims};
	for (uint64_t at = from; at < to; at += stride) {
		for (const Variant &variant : Variants(*w, kind, null_gs)) {
			report->at = at;
			snprintf(report->variant, sizeof(report->variant), "%s", variant.name);
			std::string text = Attack(*w, at, variant, prizes[at % 2]);
			report->attacks++;
			report->landings += model_loot->landings;
			if (!text.empty()) {
				snprintf(report->text, sizeof(report->text), "%s", text.c_str());
				_exit(2);
			}
		}
	}
	_exit(0);
}

class ModelJump : public NeedsPku, public ::testing::WithParamInterface<lych_kind> {};

std::string Where(const Report &r)
{
	char text[160];
	snprintf(text, sizeof(text), "gate text + %#lx, %s:",
		 r.at - inside_gate_text(), r.variant);
	return text;
}

// Every byte with LYCH_LONG=1; else one of every stride bytes, beginning at one that LYCH_SEED chooses.
uint64_t Stride(uint64_t sampled)
{
	return getenv("LYCH_LONG") != nullptr ? 1 : sampled;
}

uint64_t First(uint64_t stride)
{
	const uint64_t number = lych_seed();

	printf("every %lu. byte, LYCH_SEED=%lu\n", stride, number);
	return number % stride;
}

// Before 6.12 the kernel writes a signal frame with the rights of whoever it interrupts. Code that has jumped to a
// WRPKRU with nonsense in eax may have none to ordinary memory: then there is no frame, and the process ends. A null
// gs ends it there, too. From 6.12 on nothing may.
bool MayEnd(const Report &report, int status, bool null_gs)
{
	return !report.frames_whole && WIFSIGNALED(status) &&
	       (WTERMSIG(status) == SIGSEGV || (null_gs && WTERMSIG(status) == SIGILL));
}

void CheckEveryByte(lych_kind kind, bool null_gs)
{
	// The same gate on each kernel: where there are no pure domains half as many.
	uint64_t stride = Stride(null_gs ? 41 : KernelWritesFramesWhole() ? 11 : 22), step = 20 * stride;
	const char *first = getenv("LYCH_JUMP_FIRST"); // offset of the first byte, to look at one again
	uint64_t from = inside_gate_text() + (first != nullptr ? strtoull(first, nullptr, 0) : First(stride));
	uint64_t to = inside_gate_text_end();
	uint64_t attacks = 0, deaths = 0;
	Report *report = SharedReport();

	ASSERT_NE(report, nullptr);
	for (uint64_t at = from; at < to;) {
		uint64_t end = at + step < to ? at + step : to;
		if (inside_gate_thunks(at) && inside_gate_thunks(end - 1)) {
			at = end;
			continue;
		}
		*report = Report{};
		pid_t child = fork();
		if (child == 0) {
			AttackRange(kind, at, end, stride, null_gs, report);
		}
		int status = 0;
		ASSERT_EQ(waitpid(child, &status, 0), child);
		attacks += report->attacks;
		at = end;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
			continue;
		}
		if (WIFEXITED(status) && WEXITSTATUS(status) == 3 && kind == LYCH_KIND_PURE && !report->frames_whole) {
			GTEST_SKIP() << "no pure domains on this kernel";
		}
		at = report->at + stride;
		if (MayEnd(*report, status, null_gs)) {
			deaths++;
			continue;
		}
		ADD_FAILURE() << Where(*report)
			      << (WIFSIGNALED(status) ? std::string(" the process died of ") +
								 strsignal(WTERMSIG(status))
						       : std::string(report->text));
	}
	printf("%lu attacks, %lu ended the process\n", attacks, deaths);
	// A range without text, or children that do nothing, would be found sound, too.
	EXPECT_GT((attacks + deaths) * stride, (to - from) / 8);
}

// Each child does 20 addresses, so that what an attack leaves behind meets the next one, too.
TEST_P(ModelJump, NoByteOfTheGateGivesAJumperMoreThanItHad)
{
	CheckEveryByte(GetParam(), false);
}

TEST_P(ModelJump, NorWithoutGsBase)
{
	CheckEveryByte(GetParam(), true);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ModelJump, ::testing::Values(LYCH_KIND_CONTAIN, LYCH_KIND_PURE),
			 [](const auto &row) {
				 return std::string(row.param == LYCH_KIND_PURE ? "Pure" : "Contain");
			 });

// The control: the attacker's means work. With the region's key granted the same landing takes the secret.
TEST_F(NeedsPku, TheSameAttackerTakesTheSecretWhereItMay)
{
	Report *report = SharedReport();
	pid_t child = fork();

	ASSERT_NE(report, nullptr);
	if (child == 0) {
		World *w = Build(LYCH_KIND_CONTAIN);
		if (w == nullptr) {
			_exit(3);
		}
		Arm(*w);
		uint64_t *mine = reinterpret_cast<uint64_t *>(w->own + 900);
		*mine = kSecret;
		Attack(*w, reinterpret_cast<uint64_t>(&model_landed), {"landing", 0, 0, 0, false}, mine);
		report->attacks = model_loot->taken == kSecret;
		_exit(0);
	}
	int status = 0;
	waitpid(child, &status, 0);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(report->attacks, 1u);
}

} // namespace
