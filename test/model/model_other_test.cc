/* SPDX-License-Identifier: Apache-2.0 */
// The model check, third part: while a thread stands at an instruction of the gate, another one cancels, resets or poisons
// the domain that it calls, or gives a key that it has rights to another owner; or the thread's own deadline passes there.
// A parent stops the thread at one instruction of a round, at the next one in the next round, and so on. A round goes through a
// call with stack arguments, a callback, a region's scope, a typed pointer into the same domain, a handler of the host
// that interrupts the domain, and a system call of the domain. What came of each is judged by what was so at that instruction.
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdarg>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "inside.h"
#include "live.h"
#include "stopped.h"

extern "C" {
using callback_fn = long (*)(long, long, long, long, long, long, long, long);
long other_outer(callback_fn callback, long a, long b, long c, long d, long e, long f, long g);
long other_inner(long a);
void other_finish(void);
void other_fault(void);
long other_host(long a, long b, long c, long d, long e, long f, long g, long h);
}

namespace
{

enum Action { NOTHING, CANCEL, RETAG, POISON, RESET, DEADLINE, GIVE_BACK };
constexpr long kSentinel = 0x5e471e1, kResult = 36 * 2 + 1, kPointerFailed = -77;
constexpr uint64_t kWrite = 0xa11ce;

// Between the parent, which stops the victim, and the two threads of the child.
struct Shared {
	std::atomic<uint32_t> round;    // the victim's
	std::atomic<uint32_t> ordered;  // the round in which the other thread is to act
	std::atomic<uint32_t> looked;   // it has seen what was so when it began,
	std::atomic<uint32_t> acted;    // and is done
	std::atomic<uint32_t> ended;    // the victim's call has ended
	uint32_t finished;              // the last round whose call the domain has done everything for
	uint32_t was_finished;          // what the other thread saw
	uint32_t calls;                 // of the victim in the domain, on record
	int victim, other;              // thread ids
	int rc, other_rc;
	long result, pointer;
	uint64_t handled, closed;       // keys that were open before, and were not any more
	uint64_t margin_ms;
	bool keys;
	std::atomic<uint64_t> wrong;
	char text[512];
};
Shared *shared;

lych_domain *called, *spare;
lych_region *region, *next_owner;
callback_fn callback;
long (*pointer)(long);
uint64_t victim_area;

__attribute__((format(printf, 1, 2))) void Wrong(const char *format, ...)
{
	va_list args;

	if (shared->wrong++ == 0) {
		va_start(args, format);
		vsnprintf(shared->text, sizeof(shared->text), format, args);
		va_end(args);
	}
}

void WaitUntil(std::atomic<uint32_t> &word, uint32_t value)
{
	for (uint32_t now; (now = word) != value;) {
		syscall(SYS_futex, &word, FUTEX_WAIT, now, nullptr, nullptr, 0);
	}
}

void Tell(std::atomic<uint32_t> &word, uint32_t value)
{
	word = value;
	syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

} // namespace

extern "C" __attribute__((noinline)) void other_finish(void)
{
	*const_cast<volatile uint32_t *>(&shared->finished) = shared->round;
}
// Returns back(a, b, c, d, e, f, g, 8) + 1 after a system call. Both times it goes out with the flags AC, NT and DF set and
// another thread pointer, which the gate sets right where no stack and no TLS of the host's is there yet.
__asm__(".text\n"
	".globl other_outer\n"
	".type other_outer, @function\n"
	"other_outer:\n"
	"	push	%rbx\n"
	"	mov	%rdi, %rax\n"
	"	mov	%rsi, %rdi\n"
	"	mov	%rdx, %rsi\n"
	"	mov	%rcx, %rdx\n"
	"	mov	%r8, %rcx\n"
	"	mov	%r9, %r8\n"
	"	mov	16(%rsp), %r9\n"
	"	mov	24(%rsp), %r10\n"
	"	pushq	$8\n"
	"	push	%r10\n"
	"	wrfsbase %rsp\n"
	"	pushq	$0x44402\n"
	"	popfq\n"
	"	call	*%rax\n"
	"	add	$16, %rsp\n"
	"	lea	1(%rax), %rbx\n"
	"	mov	$39, %eax\n" // getpid
	"	syscall\n"
	"	call	other_finish\n"
	"	mov	%rbx, %rax\n"
	"	wrfsbase %rsp\n"
	"	pop	%rbx\n"
	"	pushq	$0x44402\n"
	"	popfq\n"
	"	ret\n"
	".size other_outer, . - other_outer\n");

extern "C" __attribute__((noinline)) long other_inner(long a)
{
	return a * 2;
}
extern "C" __attribute__((noinline)) void other_fault(void)
{
	__asm__ volatile("ud2");
}

LYCH_BIND(called, other_outer, long, (callback_fn, long, long, long, long, long, long, long));
LYCH_BIND(called, other_inner, long, (long));
LYCH_BIND(called, other_fault, void, (void));
LYCH_BIND_POINTER(called, other_inner, long, (long), kPointerFailed);
LYCH_CALLBACK(other_host, long, (long, long, long, long, long, long, long, long));

extern "C" __attribute__((noinline)) long other_host(long a, long b, long c, long d, long e, long f, long g, long h)
{
	uint64_t read = 0;
	LYCH_READ(uint64_t, word, region)
	{
		read = *word;
	}
	if (read != kWrite) {
		Wrong("the region holds %#" PRIx64, read);
	}
	shared->pointer = pointer(a + b + c + d + e + f + g + h);
	return shared->pointer;
}

namespace
{

void Handler(int)
{
	shared->handled++;
}

// ---- the other thread ---------------------------------------------------------------------------------

int Act(Action action)
{
	int rc = 0;

	switch (action) {
	case CANCEL:
		return lych_domain_cancel(called);
	case RESET:
		return lych_domain_reset(called);
	case POISON:
		rc = LYCH_CALL(called, LYCH_NOTHING, other_fault);
		return rc == -EFAULT ? 0 : rc;
	case RETAG:
	case GIVE_BACK:
		rc = lych_domain_free(spare);
		spare = nullptr;
		return rc != 0 || action == GIVE_BACK ? rc : lych_region_new(&next_owner, 4096, nullptr);
	default:
		return 0;
	}
}

void *Other(void *action)
{
	int rc = lych_attach();

	if (rc != 0) {
		Wrong("the other thread cannot attach: %d", rc);
	}
	shared->other = static_cast<int>(syscall(SYS_gettid));
	for (uint32_t round = 0;;) {
		for (uint32_t before = round; (round = shared->ordered) == before;) {
			syscall(SYS_futex, &shared->ordered, FUTEX_WAIT, before, nullptr, nullptr, 0);
		}
		shared->was_finished = shared->finished == round;
		shared->calls = inside_calls(victim_area, called);
		Tell(shared->looked, round);
		shared->other_rc = Act(*static_cast<Action *>(action));
		Tell(shared->acted, round);
	}
	return nullptr;
}

// ---- the victim ----------------------------------------------------------------------------------------

// After a key has had another owner: no right to it is left, neither in force nor kept.
void LookForRights(inside *before, inside *after, int key)
{
	const uint32_t bits = 3u << (2 * key);

	if (next_owner != nullptr && lych_region_key(next_owner) != (live_keys() ? key : -1)) {
		Wrong("the key %d was not the next one to be taken: %d", key, lych_region_key(next_owner));
	}
	shared->closed += inside_rights(before->pkru, key) && inside_rights(~before->not_host, key);
	if (live_keys() && (inside_rights(after->pkru, key) || inside_rights(~after->not_host, key) ||
			    inside_rights(~after->not_caller, key))) {
		Wrong("a right to key %d is left: PKRU %#x, not_host %#x, not_caller %#x", key, after->pkru, after->not_host,
		      after->not_caller);
	}
	before->pkru |= bits;
	before->not_host &= ~bits;
	after->pkru |= bits;
	after->not_host &= ~bits;
}

void AsItWas(Action action)
{
	int rc = 0;

	if (spare == nullptr) {
		rc = lych_region_free(next_owner);
		next_owner = nullptr;
		rc = rc != 0 ? rc : lych_domain_new(&spare, nullptr);
	}
	if (rc != 0) {
		Wrong("making the spare domain again: %d", rc);
	}
	// A canceled domain needs no reset; now and then it gets one nevertheless.
	if (action == POISON || shared->rc == -ETIMEDOUT || shared->round % 16 == 0) {
		rc = lych_domain_reset(called);
		if (rc != 0) {
			Wrong("reset: %d", rc);
		}
	}
	long result = 0;
	rc = LYCH_CALL(called, &result, other_inner, 21);
	if (rc != 0 || result != 42) {
		Wrong("the next call: status %d, result %ld", rc, result);
	}
	if (shared->round % 32 == 1 && (rc = lych_verify(nullptr, nullptr)) != 0) {
		Wrong("lych_verify: %d", rc);
	}
}

// Stops before and after the call: the parent passes these on.
void Stop()
{
	syscall(SYS_tgkill, getpid(), shared->victim, SIGSTOP);
}

void Round(Action action)
{
	inside before, after;
	long result = kSentinel;
	uint32_t round = ++shared->round;
	int key = inside_key_of(spare);

	inside_look(&before);
	inside_disarm();
	uint64_t deadline = action == DEADLINE ? lych_deadline_in(shared->margin_ms, nullptr) : 0;
	Stop();
	int rc = LYCH_I_CALL(called, deadline, &result, other_outer, callback, 1, 2, 3, 4, 5, 6, 7);
	shared->rc = rc;
	shared->result = result;
	shared->ended = round;
	Stop();
	WaitUntil(shared->acted, round);
	inside_look(&after);
	if (spare == nullptr) {
		LookForRights(&before, &after, key);
	}
	before.hostile_flags = after.hostile_flags = 0; // the parent's trap flag may show
	if (inside_differences(&before, &after)[0] != '\0') {
		Wrong("after the call: %s", inside_differences(&before, &after));
	}
	AsItWas(action);
}

[[noreturn]] void Child(Action action)
{
	pthread_t other;
	int rc = live_start();

	if (rc != 0 || (rc = lych_domain_new(&called, nullptr)) != 0 || (rc = lych_domain_new(&spare, nullptr)) != 0 ||
	    (rc = lych_region_new(&region, 4096, nullptr)) != 0 ||
	    (rc = lych_callback(&callback, called, other_host, nullptr)) != 0 ||
	    (rc = LYCH_POINTER(&pointer, called, other_inner)) != 0) {
		fprintf(stderr, "lychgate: %d %s\n", rc, lych_why());
		_exit(3);
	}
	LYCH_WRITE(uint64_t, word, region)
	{
		*word = kWrite;
	}
	struct sigaction handler = {};
	handler.sa_handler = Handler;
	sigaction(SIGUSR1, &handler, nullptr);
	inside me;
	inside_look(&me);
	victim_area = me.area;
	shared->keys = live_keys();
	shared->victim = static_cast<int>(syscall(SYS_gettid));
	if (pthread_create(&other, nullptr, Other, &action) != 0) {
		_exit(3);
	}
	AsItWas(NOTHING); // has its stack from then on
	ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
	while (shared->wrong == 0) {
		Round(action);
	}
	_exit(2);
}

// ---- the parent ----------------------------------------------------------------------------------------

struct Tally {
	size_t places, pushed, unpushed, finished, settled, stepped;
	std::map<int, uint64_t> statuses;
};

class ModelOther : public ::testing::TestWithParam<Action>, public Stopped {
protected:
	void SetUp() override
	{
		void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(page, MAP_FAILED);
		shared = new (page) Shared{};
		shared->margin_ms = 100000;
		Prepare();
		interrupt_at = reinterpret_cast<uint64_t>(other_inner);
		child = fork();
		if (child == 0) {
			Child(GetParam());
		}
	}

	void TearDown() override
	{
		alarm(0);
		kill(child, SIGKILL);
		waitpid(child, nullptr, 0);
	}

	std::string Reason() override
	{
		return "victim " + Line(shared->victim, "syscall", "") + ", other " + Line(shared->other, "syscall", "") + ", " +
		       shared->text;
	}

	bool Kicked()
	{
		return strtoull(Line(shared->victim, "status", "SigPnd:").c_str(), nullptr, 16) >> (kKick - 1) & 1;
	}

	uint64_t OthersPauses()
	{
		return strtoull(Line(shared->other, "status", "voluntary_ctxt_switches:").c_str(), nullptr, 10);
	}

	// The other thread, while the victim stands there: until it is done, or has sent the kick. false: it waits otherwise,
	// for a lock that the victim holds or for a record that is only being made.
	bool Act()
	{
		Tell(shared->ordered, shared->round);
		WaitUntil(shared->looked, shared->round);
		return Settle();
	}

	bool Settle()
	{
		const uint32_t round = shared->round;
		const uint64_t pauses = OthersPauses();
		for (int locked = 0; locked < 3 && (GetParam() == DEADLINE || OthersPauses() < pauses + 8);) {
			if (Kicked() || (shared->acted == round && GetParam() != DEADLINE)) {
				return true;
			}
			usleep(100);
			locked += shared->acted != round && !Line(shared->other, "syscall", std::to_string(SYS_futex) + " ").empty();
		}
		return Kicked() || shared->acted == round;
	}

	// "" when the call ended as it must, with what was so when the other thread began.
	std::string Judge(bool settled)
	{
		const bool in = shared->calls != 0, finished = shared->was_finished != 0;
		const int rc = shared->rc;
		bool fine = rc == 0;

		switch (GetParam()) {
		case CANCEL:
			fine = rc == (in ? -ECANCELED : 0);
			break;
		case RESET:
			fine = rc == (in ? -ECANCELED : 0);
			break;
		case POISON:
			fine = (in && rc == -ECANCELED) || rc == -EOWNERDEAD;
			break;
		case DEADLINE:
			fine = rc == -ETIMEDOUT || (!in && rc == 0);
			break;
		default:
			break;
		}
		if (finished || !settled) {
			fine = fine || rc == 0 || ((in || !settled) && rc == -ECANCELED) || (in && rc == -ETIMEDOUT);
		}
		if (rc == 0 ? shared->result != kResult || shared->pointer != kResult - 1 : shared->result != kSentinel) {
			return "result " + std::to_string(shared->result) + " with status " + std::to_string(rc);
		}
		if (shared->other_rc != 0) {
			return "the other thread got " + std::to_string(shared->other_rc);
		}
		return fine ? "" : "status " + std::to_string(rc) + ", calls on record " + std::to_string(shared->calls) +
					   (finished ? ", finished" : "");
	}

	std::vector<int> Expected()
	{
		switch (GetParam()) {
		case CANCEL:
		case RESET:
			return {0, -ECANCELED};
		case POISON:
			return {-ECANCELED, -EOWNERDEAD};
		case DEADLINE:
			return {-ETIMEDOUT};
		default:
			return {0};
		}
	}

	std::string Finish(const Place &place, bool settled);
	void Record();
	bool Skip();

	std::vector<Place> places; // of a round
	uint64_t run_ms = 20, stepped_ms = 0; // how long the deadline has to wait for the victim to get there
	Tally tally = {};
};

std::string At(const Place &p)
{
	char text[64];
	snprintf(text, sizeof(text), "place %u, gate text + %#" PRIx64, p.index, p.rip - inside_gate_text());
	return text;
}

// To the beginning of the next round: "" or what was wrong in this one.
std::string ModelOther::Finish(const Place &place, bool settled)
{
	while (shared->ended != shared->round) {
		if (!ToStop(0)) {
			return "gone";
		}
	}
	if (!ToStop(0)) {
		return "gone";
	}
	(shared->was_finished ? tally.finished : shared->calls != 0 ? tally.pushed : tally.unpushed)++;
	tally.statuses[shared->rc]++;
	tally.settled += settled;
	tally.places++;
	std::string wrong = shared->wrong != 0 ? shared->text : Judge(settled);
	if (getenv("LYCH_OTHER_TRACE") != nullptr) {
		printf("%s: calls %u, finished %u, settled %d: %d %s\n", At(place).c_str(), shared->calls,
		       shared->was_finished, settled, shared->rc, wrong.c_str());
	}
	return wrong;
}

// The round goes on without the other thread; the victim is before its next one.
bool ModelOther::Skip()
{
	shared->acted = shared->round.load();
	while (shared->ended != shared->round) {
		if (!ToStop(pending)) {
			return false;
		}
		pending = 0;
	}
	return ToStop(0);
}

void ModelOther::Record()
{
	using Clock = std::chrono::steady_clock;
	int status = 0;

	ASSERT_EQ(Wait(&status), SIGSTOP);
	shared->acted = shared->round.load();
	Clock::time_point begin = Clock::now();
	places = Step();
	auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
	stepped_ms = 100 + 2 * static_cast<uint64_t>(took.count());
	ASSERT_EQ(shared->ended, shared->round) << shared->text;
	ASSERT_EQ(shared->handled, 1u);
	shared->margin_ms = run_ms;
	ASSERT_TRUE(ToStop(0));
}

TEST_P(ModelOther, ThreadActsWhileOneStandsAtAnyInstructionOfTheGate)
{
	size_t stride = getenv("LYCH_LONG") != nullptr ? 1 : 5;
	const char *first = getenv("LYCH_OTHER_FIRST"); // place to begin at, to look at one again

	ASSERT_NO_FATAL_FAILURE(Record());
	for (size_t i = first != nullptr ? strtoul(first, nullptr, 0) : 0; i < places.size();) {
		Reached reached = Reach(places[i]);
		uint64_t *margin = &run_ms;
		if (reached == NEVER) {
			// Stepped, with the trap flag set, it goes another way at a few places.
			margin = &stepped_ms;
			shared->margin_ms = stepped_ms;
			ASSERT_TRUE(Skip()) << At(places[i]);
			reached = Step(places[i].index).size() == places[i].index + 1 ? THERE : pending != 0 ? EARLY : NEVER;
			tally.stepped++;
		}
		ASSERT_NE(reached, GONE) << At(places[i]);
		*margin *= reached == EARLY ? 2 : 1; // a deadline that passed too soon
		shared->margin_ms = run_ms;
		if (reached == THERE) {
			ASSERT_EQ(Finish(places[i], Act()), "") << At(places[i]);
		} else {
			ASSERT_TRUE(Skip()) << At(places[i]);
		}
		ASSERT_EQ(shared->wrong, 0u) << At(places[i]) << ": " << shared->text;
		i += reached == EARLY ? 0 : stride;
	}
	printf("%zu of %zu places, %lu with a call on record, %lu before, %lu when all was done; %lu stepped to, %lu with the "
	       "lock held;", tally.places, places.size(), tally.pushed, tally.unpushed, tally.finished, tally.stepped,
	       tally.places - tally.settled);
	for (const auto &[rc, count] : tally.statuses) {
		printf(" %s %lu", rc == 0 ? "0" : strerrorname_np(-rc), count);
	}
	printf("\n");
	// A check that meets nobody would be content, too.
	EXPECT_GT(tally.places * stride, places.size() * 9 / 10);
	EXPECT_GT(places.size(), 300u);
	if (first == nullptr) {
		EXPECT_GT(tally.pushed, tally.places / 2);
		EXPECT_GT(tally.unpushed, 0u);
		EXPECT_GT(tally.finished, 0u);
		for (int expected : Expected()) {
			EXPECT_GT(tally.statuses[expected], 0u) << expected;
		}
	}
	if (shared->keys) {
		EXPECT_GE(tally.settled, tally.places * 9 / 10);
		EXPECT_EQ(shared->closed, GetParam() == RETAG ? tally.places : 0);
	}
}

// It says that it has lost the right once it has, and not before: else the other thread goes on with its key's next owner
// while the right is still in the frame that the victim is about to return from.
class ModelFollow : public ModelOther {};

TEST_P(ModelFollow, ThreadGoesOnWhileOneStandsAtAnyInstructionOfLosingTheRight)
{
	unsigned int stride = getenv("LYCH_LONG") != nullptr ? 1 : 3;
	bool within = true;

	ASSERT_NO_FATAL_FAILURE(Record());
	const Place &place = places[10]; // in the call, before it notes its caller's rights: what is left would stay
	for (unsigned int steps = 0; within; steps += stride) {
		ASSERT_EQ(Reach(place), THERE) << At(place);
		ASSERT_TRUE(Act());
		ASSERT_EQ(RunTo(inside_follow(), 1, 0), EARLY);
		ASSERT_EQ(RunTo(inside_follow(), 1, kKick), THERE);
		for (unsigned int step = 0; within && step < steps; step++) {
			ASSERT_EQ(Go(PTRACE_SINGLESTEP, 0), SIGTRAP);
			within = Regs().rip != inside_follow_end();
		}
		GoTo(Regs().rip);
		ASSERT_EQ(Finish(place, Settle()), "") << steps << " instructions from the beginning";
	}
	printf("%zu places\n", tally.places);
	EXPECT_GT(tally.places * stride, 50u);
}

INSTANTIATE_TEST_SUITE_P(Another, ModelFollow, ::testing::Values(GIVE_BACK));

std::string NameOf(const ::testing::TestParamInfo<Action> &row)
{
	const char *names[] = {"", "Cancels", "GivesAKeyToAnother", "Poisons", "Resets", "DeadlinePasses"};
	return names[row.param];
}

INSTANTIATE_TEST_SUITE_P(Another, ModelOther, ::testing::Values(CANCEL, RETAG, POISON, RESET, DEADLINE), NameOf);

} // namespace
