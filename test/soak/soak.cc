// SPDX-License-Identifier: Apache-2.0
// The whole runtime under everything at once: threads that come and go call domains that are made, faulted, canceled,
// reset and freed, with callbacks, regions and heaps, while signals arrive whose handlers call domains, too. Every
// result is checked, and at the end nothing may be left. Then: faults in a row leave nothing.
//
//	soak [--threads=N] [--domains=N] [--calls=N] [--faults=PERMILLE] [--row=N] [--seed=N] [--patience=SECONDS]
//	     [gtest's options]
//
// LYCH_LONG=1 is for hours; in the PKU machine (LYCH_VM=1) numbers are smaller, as it is emulated. The seed is
// printed, and LYCH_SEED repeats it; the order in which threads meet is not its to choose.
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

#include <lychgate/lychgate.h>

#include "inside.h"
#include "live.h"
#include "seed.h"
#include "soak_guests.h"
#include "soak_left.h"
#include "soak_steps.h"
#include "soak_world.h"

namespace
{

// ---- signals -------------------------------------------------------------------------------------

void OnSignal(int, siginfo_t *, void *)
{
	int saved = errno;
	Worker *self = worker;

	Count(HANDLED);
	// The library may hold a lock wherever else it was interrupted: calls are not async-signal-safe.
	if (self != nullptr && (self->calm || inside_interrupted_domain()) && !self->in_handler) {
		lych_domain *d = of_handlers;
		long n = 0;

		self->in_handler = 1;
		int rc = LYCH_CALL(d, &n, f8, 1, 2, 3, 4, 5, 6, 7, 8);
		Count(CALLS);
		Count(HANDLER_CALLS);
		if (rc != 0 || n != 204) {
			Say("a call by a handler: status %d, result %ld", rc, n);
		} else {
			Count(OK);
		}
		if (self->life != nullptr && self->life->kind != LYCH_KIND_VAULT) {
			Before before(self->life);
			d = self->life->domain;
			if (Ended(before, LYCH_CALL(d, &n, f2, 30, 6), "the same domain by a handler")) {
				Expect(n == 42, "the same domain by a handler");
			}
		}
		self->in_handler = 0;
	}
	errno = saved;
}

void OnFault(const struct lych_fault *, void *)
{
	reported++;
}

// ---- threads -------------------------------------------------------------------------------------

// What must be the same before and after each step. Rights to keys of other domains come and go meanwhile.
void ExpectSame(inside before, const inside &after)
{
	before.pkru = after.pkru;
	before.not_want = after.not_want;
	before.not_host = after.not_host;
	const char *differences = inside_differences(&before, &after);
	if (differences[0] != '\0') {
		Say("after %s: %s", worker->doing, differences);
	}
	for (lych_region *region : regions) {
		int key = lych_region_key(region);
		if (key >= 0 && inside_rights(after.pkru, key)) {
			Say("after %s: region left open", worker->doing);
		}
	}
}

struct Lane {
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_t thread{};
	bool alive = false;
	Worker self;
	std::atomic<uint64_t> steps{0};
};

void Stint(Lane &lane)
{
	Random &random = lane.self.random;
	uint64_t steps = 100 + random.Below(settings.machine ? 400 : 2000);
	std::vector<char> stack(64 << 10);
	stack_t alt = {};
	inside before;

	worker = &lane.self;
	if (random.Once(2)) {
		alt.ss_sp = stack.data();
		alt.ss_size = stack.size();
		sigaltstack(&alt, nullptr);
	}
	if (random.Once(2)) {
		EXPECT_EQ(lych_attach(), 0);
	}
	sigset_t none;
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, nullptr);
	pthread_mutex_lock(&lane.lock);
	lane.thread = pthread_self();
	lane.alive = true;
	pthread_mutex_unlock(&lane.lock);
	Count(STINTS);
	while (steps-- > 0 && !stop) {
		unsigned index = (unsigned)random.Below(places.size());

		if (counters[CALLS] >= budget) {
			break;
		}
		lane.steps++;
		EXPECT_EQ(lych_attach(), 0);
		inside_look(&before);
		if (random.Once(200)) {
			Close(index);
		}
		Life *life = Pin(index);
		if (life == nullptr) {
			// Seldom: making domains costs more than calling them.
			if (random.Once(32)) {
				Open(index, random);
			}
		} else {
			if (life->dirty && random.Once(2)) {
				Meddling meddling(life);
				Clean(life);
			}
			if (random.Once(500)) {
				Spin(life, random);
			} else {
				Step(life, random);
			}
			Unpin(life);
		}
		inside after;
		inside_look(&after);
		ExpectSame(before, after);
	}
	pthread_mutex_lock(&lane.lock);
	lane.alive = false;
	pthread_mutex_unlock(&lane.lock);
	worker->doing = "ending";
	alt.ss_flags = SS_DISABLE;
	sigaltstack(&alt, nullptr);
	worker = nullptr;
}

void *StintMain(void *arg)
{
	Stint(*static_cast<Lane *>(arg));
	return nullptr;
}

// One thread after the other.
void RunLane(Lane &lane)
{
	while (!stop && counters[CALLS] < budget) {
		pthread_t thread;
		if (pthread_create(&thread, nullptr, StintMain, &lane) != 0) {
			Say("pthread_create");
			return;
		}
		pthread_join(thread, nullptr);
	}
}

// A signal for one of them, a thousand times a second.
void Disturb(std::vector<Lane> &lanes, const std::atomic<bool> &ended)
{
	const struct timespec pause = {0, 1000000};

	for (size_t i = 0; !ended; i++) {
		Lane &lane = lanes[i % lanes.size()];
		pthread_mutex_lock(&lane.lock);
		if (lane.alive) {
			pthread_kill(lane.thread, i % 2 == 0 ? SIGUSR1 : SIGUSR2);
		}
		pthread_mutex_unlock(&lane.lock);
		nanosleep(&pause, nullptr);
	}
}

// Nothing has moved for minutes: say where everybody is.
[[noreturn]] void Hang(const std::vector<Lane> &lanes)
{
	printf("nothing moves:\n");
	for (const Lane &lane : lanes) {
		printf("  lane %u, step %llu: %s\n", lane.self.lane, (unsigned long long)lane.steps, lane.self.doing);
	}
	fflush(stdout);
	abort();
}

void RunPhase(std::vector<Lane> &lanes, uint64_t calls)
{
	std::atomic<bool> ended{false};
	std::atomic<unsigned> running{0};
	std::vector<std::thread> threads;
	const itimerval every = {{0, 1000}, {0, 1000}}, never = {};
	uint64_t last = 0, seconds = 0, still = 0;

	budget = calls;
	running = (unsigned)lanes.size();
	for (Lane &lane : lanes) {
		threads.emplace_back([&lane, &running] {
			RunLane(lane);
			running--;
		});
	}
	std::thread disturber([&lanes, &ended] { Disturb(lanes, ended); });
	EXPECT_EQ(setitimer(ITIMER_REAL, &every, nullptr), 0);
	while (running > 0) {
		const struct timespec pause = {0, 100000000};
		nanosleep(&pause, nullptr);
		if (++seconds % 50 == 0) {
			uint64_t now = counters[CALLS];
			for (const Lane &lane : lanes) {
				now += lane.steps;
			}
			EXPECT_EQ(lych_verify(SayDifference, nullptr), 0);
			still = now == last ? still + 1 : 0;
			last = now;
			if (still * 5 >= settings.patience) {
				Hang(lanes);
			}
		}
		if (errors > 0) {
			stop = true;
		}
	}
	EXPECT_EQ(setitimer(ITIMER_REAL, &never, nullptr), 0);
	ended = true;
	disturber.join();
	for (std::thread &thread : threads) {
		thread.join();
	}
	// Those that are left go.
	Worker self;
	worker = &self;
	for (unsigned i = 0; i < places.size(); i++) {
		Close(i);
	}
	worker = nullptr;
}

class Soak : public testing::Test
{
protected:
	static void SetUpTestSuite()
	{
		lych_init_opts opts = {};
		struct sigaction action = {};
		sigset_t ours;
		opts.on_fault = OnFault;
		ASSERT_EQ(live_start(opts), 0) << lych_why();
		action.sa_sigaction = OnSignal;
		action.sa_flags = SA_SIGINFO | SA_RESTART;
		sigaction(SIGALRM, &action, nullptr);
		sigaction(SIGUSR2, &action, nullptr);
		action.sa_flags |= SA_ONSTACK;
		sigaction(SIGUSR1, &action, nullptr);
		// Only the workers take them.
		sigemptyset(&ours);
		for (int signal : {SIGALRM, SIGUSR1, SIGUSR2}) {
			sigaddset(&ours, signal);
		}
		pthread_sigmask(SIG_BLOCK, &ours, nullptr);
		printf("backend %s, seed %llu, %u threads, %u domains, %llu calls, %u faults in 1000 steps, %llu "
		       "faults in a row\n",
		       lych_backend_name(), (unsigned long long)settings.seed, settings.threads, settings.domains,
		       (unsigned long long)settings.calls, settings.faults, (unsigned long long)settings.row);
		FILE *file = tmpfile();
		ASSERT_NE(file, nullptr);
		past_the_end = (char *)mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
		fclose(file);
		ASSERT_EQ(lych_region_new(&closed_region, 4096, nullptr), 0);
	}
};

TEST_F(Soak, FaultsInARowLeaveNothing)
{
	Left before = {};
	lych_domain *d;
	inside first, last;

	ASSERT_EQ(lych_domain_new(&d, nullptr), 0);
	inside_look(&first);
	for (uint64_t i = 0; i < settings.row; i++) {
		const int how = (int)(i % ROW);
		volatile char *where = how == BUS ? past_the_end : (volatile char *)lych_region_address(closed_region);
		long n = 11;
		int started = 0, all = 0;

		if (i == settings.row / 10) {
			before = Look();
			Print("after a tenth", before);
		}
		// The last kind is a deadline that has passed when the call begins or passes while it spins.
		if (how == DEADLINE) {
			ASSERT_EQ(LYCH_CALL_TIMEOUT(d, 0, LYCH_NOTHING, spin, &started, &all), -ETIMEDOUT);
		} else {
			ASSERT_EQ(LYCH_CALL(d, &n, stumble, how, where), -EFAULT) << how;
		}
		ASSERT_EQ(n, 11);
		// One that has passed before the domain was entered has done it no harm.
		if (how != DEADLINE || started) {
			ASSERT_EQ(LYCH_CALL(d, &n, f0), -EOWNERDEAD) << how;
		}
		// Now and then another one instead of the same made new.
		if (i % 16 == 0) {
			ASSERT_EQ(lych_domain_free(d), 0);
			ASSERT_EQ(lych_domain_new(&d, nullptr), 0);
		} else {
			ASSERT_EQ(lych_domain_reset(d), 0);
		}
		ASSERT_EQ(LYCH_CALL(d, &n, f0), 0);
		ASSERT_EQ(n, 42);
	}
	inside_look(&last);
	EXPECT_STREQ(inside_differences(&first, &last), "");
	const Left after = Look();
	Print("at the end", after);
	ExpectFlat(before, after);
	EXPECT_EQ(lych_verify(SayDifference, nullptr), 0);
	EXPECT_EQ(lych_domain_free(d), 0);
}

TEST_F(Soak, ResultsAreRightCountsBalanceAndNothingIsLeft)
{
	std::vector<Lane> lanes(settings.threads);
	inside before, after;

	places = std::vector<Place>(settings.domains);
	for (lych_region *&region : regions) {
		ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);
	}
	ASSERT_EQ(lych_domain_new(&of_handlers, nullptr), 0);
	for (unsigned i = 0; i < lanes.size(); i++) {
		lanes[i].self.lane = i;
		lanes[i].self.random.state =
			(settings.seed + 1) * 0x9e3779b97f4a7c15ull + (i + 1) * 0xd1342543de82ef95ull;
	}
	inside_look(&before);
	RunPhase(lanes, settings.calls / 8);
	const Left early = Look();
	Print("after an eighth", early);
	RunPhase(lanes, settings.calls / 2);
	const Left middle = Look();
	Print("in the middle", middle);
	RunPhase(lanes, settings.calls);
	const Left late = Look();
	Print("at the end", late);
	inside_look(&after);
	EXPECT_STREQ(inside_differences(&before, &after), "");
	for (int i = 0; i < COUNTERS; i++) {
		printf("%s%llu %s", i == 0 ? "" : ", ", (unsigned long long)counters[i], counter_names[i]);
	}
	printf(", %llu reported\n", (unsigned long long)reported);
	ExpectFlat(early, late);
	ExpectFlat(middle, late);
	EXPECT_EQ(counters[CALLS], counters[OK] + counters[FAULTED] + counters[CANCELED] + counters[TIMED_OUT] +
					   counters[DEAD] + counters[FULL]);
	EXPECT_EQ(counters[NEW], counters[FREED]);
	EXPECT_EQ(errors, 0u);
	// It has done what it is for.
	for (Counter one : {OK, FAULTED, CANCELED, CALLBACKS, NO_KEY, RESET, REGIONS, HANDLED, HANDLER_CALLS}) {
		EXPECT_GT(counters[one], 0u) << counter_names[one];
	}
	EXPECT_EQ(lych_verify(SayDifference, nullptr), 0);
	EXPECT_EQ(lych_domain_free(of_handlers), 0);
	for (lych_region *region : regions) {
		EXPECT_EQ(lych_region_free(region), 0);
	}
}

bool Option(const char *argument, const char *name, uint64_t *value)
{
	size_t length = strlen(name);

	if (strncmp(argument, name, length) != 0) {
		return false;
	}
	*value = strtoull(argument + length, nullptr, 10);
	return true;
}

} // namespace

// A host function that domains call back: works a while, and calls again.
extern "C" long soak_called(long depth, long value)
{
	auto *life = static_cast<Life *>(lych_callback_ctx());
	lych_domain *d = life->domain;
	Random &random = worker->random;
	const char *doing = worker->doing;

	Count(CALLBACKS);
	worker->depth++;
	if (random.Once(4)) {
		worker->calm = 1;
		for (volatile unsigned i = 0; i < 3000; i++) {
		}
		worker->calm = 0;
	}
	if (depth > 0 && worker->depth < 6) {
		if (random.Once(2)) {
			Before before(life);
			long n = -1;
			int rc = LYCH_CALL(d, &n, call_back, life->callback, depth - 1, value);
			if (Ended(before, rc, "call_back again")) {
				Expect(n == value + 2, "call_back again");
			}
		} else {
			Life *other = Pin((unsigned)random.Below(places.size()));
			if (other != nullptr) {
				Step(other, random);
				Unpin(other);
			}
		}
	}
	if (random.Once(300)) {
		Cancel(life);
	}
	worker->depth--;
	worker->doing = doing;
	return value + 1;
}

int main(int argc, char **argv)
{
	const bool wants_long = getenv("LYCH_LONG") != nullptr;
	uint64_t threads = settings.threads, domains = settings.domains, faults = settings.faults;

	settings.machine = getenv("LYCH_VM") != nullptr;
	settings.calls = wants_long ? settings.machine ? 200000 : 10000000 : settings.machine ? 2000 : 20000;
	settings.row = wants_long ? 1000000 : settings.machine ? 2000 : 20000;
	settings.seed = lych_seed();
	testing::InitGoogleTest(&argc, argv);
	for (int i = 1; i < argc; i++) {
		if (!Option(argv[i], "--threads=", &threads) && !Option(argv[i], "--domains=", &domains) &&
		    !Option(argv[i], "--calls=", &settings.calls) && !Option(argv[i], "--faults=", &faults) &&
		    !Option(argv[i], "--row=", &settings.row) &&
		    !Option(argv[i], "--patience=", &settings.patience) &&
		    !Option(argv[i], "--seed=", &settings.seed)) {
			fprintf(stderr, "soak: unknown option %s\n", argv[i]);
			return 2;
		}
	}
	settings.threads = (unsigned)threads;
	settings.domains = (unsigned)domains;
	settings.faults = (unsigned)faults;
	setvbuf(stdout, nullptr, _IOLBF, 0);
	return RUN_ALL_TESTS();
}
