// SPDX-License-Identifier: Apache-2.0
// G1, G5, G6: random system calls with random arguments from inside a library domain, of several threads (hostile_fuzz.c). Whatever
// they are told, the secret is neither read nor written, the host has what it had, and the runtime answers. LYCH_LONG: ten minutes.
#include "library_attack.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <chrono>
#include <cinttypes>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "fuzz.h"
#include "seed.h"

namespace
{

constexpr int kRounds = 24;
constexpr unsigned kRoundMs = 1500;
constexpr long kCalls = 1500; // of each thread in a round

class MediatorFuzz : public LibraryAttack
{
};

std::vector<std::string> Lines(const char *path)
{
	std::vector<std::string> lines;
	std::ifstream in(path);

	for (std::string line; std::getline(in, line);) {
		lines.push_back(line);
	}
	return lines;
}

std::string Target(const std::string &path)
{
	char to[512];
	ssize_t n = readlink(path.c_str(), to, sizeof(to));

	return n < 0 ? "" : std::string(to, static_cast<size_t>(n));
}

struct Mapping {
	uint64_t start, end;
	std::string what; // rights, key, file
};

// What the host has, and no domain may change.
struct Ledger {
	std::map<std::string, std::string> lines;
	std::vector<Mapping> mappings; // in order
	std::string &operator[](const std::string &name)
	{
		return lines[name];
	}
};

void Descriptors(Ledger *all)
{
	DIR *dir = opendir("/proc/self/fd");

	for (dirent *e; dir != nullptr && (e = readdir(dir)) != nullptr;) {
		int fd = atoi(e->d_name);
		if (e->d_name[0] != '.' && fd != dirfd(dir)) {
			std::string what = Target(std::string("/proc/self/fd/") + e->d_name);
			what += " " + std::to_string(fcntl(fd, F_GETFD)) + " " + std::to_string(fcntl(fd, F_GETFL));
			what += what[0] == '/' ? " at " + std::to_string(lseek(fd, 0, SEEK_CUR)) : "";
			(*all)["descriptor " + std::to_string(fd)] = what;
		}
	}
	if (dir != nullptr) {
		closedir(dir);
	}
}

// Those of the host. What libraries inside have is between low and high, and is theirs; the program's heap grows and shrinks.
void Mappings(Ledger *all, uint64_t low, uint64_t high)
{
	Mapping now = {};

	for (const std::string &line : Lines("/proc/self/smaps")) {
		char rights[8];
		uint64_t start = 0, end = 0;
		int path = 0;
		if (sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s %n", &start, &end, rights, &path) == 3) {
			now.start = start;
			now.end = end;
			now.what = std::string(rights) + " " + line.substr(std::min(static_cast<size_t>(path), line.size()));
		} else if (line.rfind("ProtectionKey:", 0) == 0 && (now.end <= low || now.start >= high) &&
			   now.what.find("[heap]") == std::string::npos) {
			now.what += " key" + line.substr(line.rfind(' '));
			all->mappings.push_back(now);
		}
	}
}

void Process(Ledger *all)
{
	for (const std::string &line : Lines("/proc/thread-self/status")) {
		for (const char *of : {"Sig", "Shd", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups", "Cap", "Umask", "TracerPid", "Cpus_allowed:"}) {
			if (line.rfind(of, 0) == 0 && line.rfind("SigQ", 0) != 0) {
				(*all)[line.substr(0, line.find(':'))] = line.substr(line.find(':'));
			}
		}
	}
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		rlimit limit = {};
		getrlimit(static_cast<__rlimit_resource>(i), &limit);
		(*all)["limit " + std::to_string(i)] = std::to_string(limit.rlim_cur) + " " + std::to_string(limit.rlim_max);
	}
	for (int i = 1; i < 65; i++) {
		uint64_t action[4] = {};
		syscall(SYS_rt_sigaction, i, nullptr, action, 8);
		(*all)["signal " + std::to_string(i)] = std::to_string(action[0]) + " " + std::to_string(action[1]) + " " +
							std::to_string(action[2]) + " " + std::to_string(action[3]);
	}
	for (int i = 0; i < 3; i++) {
		itimerval timer = {};
		getitimer(static_cast<__itimer_which>(i), &timer);
		(*all)["timer " + std::to_string(i)] = std::to_string(timer.it_value.tv_sec + timer.it_value.tv_usec);
	}
	(*all)["directory"] = Target("/proc/self/cwd");
	(*all)["root"] = Target("/proc/self/root");
	(*all)["dumpable"] = std::to_string(prctl(PR_GET_DUMPABLE));
	(*all)["subreaper and pdeathsig"] = [] {
		int reaper = 0, signal = 0;
		prctl(PR_GET_CHILD_SUBREAPER, &reaper);
		prctl(PR_GET_PDEATHSIG, &signal);
		return std::to_string(reaper) + " " + std::to_string(signal);
	}();
	(*all)["personality"] = std::to_string(syscall(SYS_personality, 0xffffffffUL));
	(*all)["nice"] = std::to_string(getpriority(PRIO_PROCESS, 0));
	(*all)["class"] = std::to_string(syscall(SYS_sched_getscheduler, 0));
	(*all)["tsc"] = [] {
		int how = 0;
		prctl(PR_GET_TSC, &how);
		return std::to_string(how);
	}();
	(*all)["name"] = [] {
		char name[17] = "";
		prctl(PR_GET_NAME, name);
		return std::string(name);
	}();
}

Ledger Take(uint64_t low, uint64_t high)
{
	Ledger all;

	Descriptors(&all);
	Mappings(&all, low, high);
	Process(&all);
	return all;
}

// Every byte of what the host had mapped must be mapped in the same way; new mappings are its own. What it only reserves, and what has
// another key, the runtime takes and gives back: that it is as it should be lych_verify looks at.
std::string Differences(const std::vector<Mapping> &before, const std::vector<Mapping> &after)
{
	std::ostringstream out;
	auto now = after.begin();

	for (const Mapping &m : before) {
		if (m.what.compare(0, 3, "---") == 0 || m.what.substr(m.what.rfind(' ')) != " 0") {
			continue;
		}
		for (uint64_t at = m.start; at < m.end;) {
			while (now != after.end() && now->end <= at) {
				now++;
			}
			bool there = now != after.end() && now->start <= at;
			if (!there || now->what != m.what) {
				out << "mapping " << std::hex << at << " of " << m.start << "-" << m.end << ": was " << m.what << ", is "
				    << (there ? now->what : "not there") << "\n";
				break;
			}
			at = now->end;
		}
	}
	return out.str();
}

// What was there and is not, or is another one; new descriptors.
std::string Differences(const Ledger &before, const Ledger &after)
{
	std::string out = Differences(before.mappings, after.mappings);

	for (const auto &[name, what] : before.lines) {
		auto now = after.lines.find(name);
		if (now == after.lines.end() || now->second != what) {
			out += name + ": was " + what + ", is " + (now == after.lines.end() ? "not there" : now->second) + "\n";
		}
	}
	for (const auto &[name, what] : after.lines) {
		if (before.lines.count(name) == 0) {
			out += name + ": new, " + what + "\n";
		}
	}
	return out;
}

std::string Was(const Ledger &ledger, const std::string &name)
{
	return ledger.lines.at(name);
}

// Is it anywhere the domain can read? The pages of it that are there.
bool Holds(uint64_t low, uint64_t high, uint64_t secret)
{
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC), pages = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	std::vector<uint64_t> present(4096), page(512);
	bool found = false;

	for (const std::string &line : Lines("/proc/self/maps")) {
		uint64_t start = 0, end = 0;
		char reads = '-';
		if (sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %c", &start, &end, &reads) != 3 || reads != 'r' || start < low ||
		    end > high) {
			continue;
		}
		for (uint64_t at = start; at < end && !found; at += present.size() * 4096) {
			ssize_t n = pread(pages, present.data(), std::min((end - at) / 4096, uint64_t{present.size()}) * 8,
					  static_cast<off_t>(at / 4096 * 8));
			for (ssize_t i = 0; i < n / 8 && !found; i++) {
				found = (present[static_cast<size_t>(i)] >> 62) != 0 &&
					pread(mem, page.data(), 4096, static_cast<off_t>(at + 4096 * static_cast<uint64_t>(i))) == 4096 &&
					memmem(page.data(), 4096, &secret, 8) != nullptr;
			}
		}
	}
	close(mem);
	close(pages);
	return found;
}

struct Totals {
	long rounds = 0, made = 0, answered = 0, ended = 0, late = 0;
};

// One round, and a look at everything.
void Round(World *w, const Ledger &before, uint64_t low, uint64_t high, uint64_t seed, uint64_t sum, const std::vector<uint64_t> &heap,
	   Totals *totals)
{
	auto *f = reinterpret_cast<fuzz *>(w->target->own);
	void *fn = nullptr;
	long result = 0;
	inside then, now;
	uint64_t mark = (seed * 0x9e3779b97f4a7c15) | 1; // hostile.so knows the usual one

	ASSERT_EQ(lych_symbol(w->domain, &fn, "attack_fuzz", nullptr), 0) << lych_why();
	lych_domain *domain = w->domain;
	*f = {};
	f->seed = seed;
	f->threads = 1 + static_cast<long>(seed % FUZZ_THREADS);
	f->calls = kCalls;
	f->waits = seed % 8 == 7;
	*w->secret = *w->other = mark;
	inside_look(&then);
	int rc = LYCH_CALL_TIMEOUT(domain, kRoundMs, &result, hostile_do, reinterpret_cast<attack_fn>(fn), w->target);
	inside_look(&now);
	ASSERT_STREQ(inside_differences(&then, &now), "");
	EXPECT_TRUE(rc == 0 || rc == -EFAULT || rc == -ETIMEDOUT || rc == -ECANCELED) << rc;
	totals->rounds++;
	if (f->made <= f->threads * kCalls && f->answered <= f->made) { // where nothing was written over
		totals->made += f->made;
		totals->answered += f->answered;
	}
	totals->ended += rc == -EFAULT || rc == -ECANCELED;
	totals->late += rc == -ETIMEDOUT;
	for (int i = 0; getenv("LYCH_FUZZ_TALK") != nullptr && i < f->threads; i++) {
		printf("%d: thread %d made %ld of all %ld\n", rc, i, f->last[i], f->made);
	}
	static const std::set<long> copying = {SYS_read,   SYS_write,	 SYS_pread64,	SYS_pwrite64, SYS_sendto,
					       SYS_recvfrom, SYS_getdents64, SYS_getrandom, SYS_getcwd};
	if (copying.count(f->copied[0]) != 0 && f->copied[7] > 0 && f->copied[7] < 65536) {
		ADD_FAILURE() << "call " << f->copied[0] << "(" << std::hex << f->copied[1] << ", " << f->copied[2] << ", " << f->copied[3]
			      << ") gave " << f->copied[7] << " by memory of others";
	}
	EXPECT_FALSE(Holds(low, high, mark)) << "it has the secret";
	EXPECT_EQ(*w->secret, mark);
	EXPECT_EQ(*w->other, mark);
	*w->secret = *w->other = PREY_SECRET;
	// Calls may have closed, unmapped and filled all the domain has: what a call then meets is its own affair, after a reset all is there.
	ASSERT_EQ(lych_domain_reset(w->domain), 0) << lych_why();
	ASSERT_EQ(Differences(before, Take(low, high)), "");
	uint64_t is = 0;
	for (uint64_t word : heap) {
		is = is * 31 + word;
	}
	EXPECT_EQ(is, sum) << "memory of the host has changed";
	ASSERT_TRUE(w->Arm());
	EXPECT_EQ(w->Attack("attack_nothing", &result), 0);
	EXPECT_EQ(result, ATTACK_DONE);
	EXPECT_EQ(LYCH_CALL_TIMEOUT(domain, kCallMs, &result, hostile_syscall, SYS_getpid, 0, 0, 0, 0, 0, 0), 0);
	EXPECT_EQ(result, getpid());
}

void Fuzz(attack_policy policy, uint64_t seed, int rounds, double seconds)
{
	World w;
	auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
	std::vector<uint64_t> heap(1 << 16);
	std::mt19937_64 random(seed);
	uint64_t sum = 0;
	Totals totals;

	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, STDERR_FILENO); // it may write there
	close(null);
	ASSERT_TRUE(w.Start(policy));
	for (uint64_t &word : heap) {
		word = random();
		sum = sum * 31 + word;
	}
	uint64_t low = library_start(w.domain), high = library_end(w.domain);
	Take(low, high);
	const Ledger before = Take(low, high);
	for (int i = 0; (rounds != 0 ? i < rounds : std::chrono::steady_clock::now() < end) && !::testing::Test::HasFailure(); i++) {
		SCOPED_TRACE("LYCH_SEED=" + std::to_string(seed) + ", round " + std::to_string(i));
		Round(&w, before, low, high, random(), sum, heap, &totals);
	}
	printf("LYCH_SEED=%" PRIu64 ", %s: %ld rounds, %ld calls, of which %ld did something; %ld ended by a fault, %ld by their deadline\n",
	       seed, policy == POLICY_PURE     ? "pure"
	       : policy == POLICY_WORK   ? "a directory"
	       : policy == POLICY_REPORT ? "all that a policy can allow, and a report"
					 : "all that a policy can allow", totals.rounds,
	       totals.made, totals.answered, totals.ended, totals.late);
	EXPECT_GT(totals.made, totals.rounds);
	EXPECT_GT(totals.answered, 0);
	w.Check();
}

class MediatorFuzzOf : public MediatorFuzz, public ::testing::WithParamInterface<attack_policy>
{
};

TEST_P(MediatorFuzzOf, LeavesTheHostAsItIs)
{
	const bool longer = getenv("LYCH_LONG") != nullptr && getenv("LYCH_LONG")[0] != '\0';
	const char *seconds = getenv("LYCH_MEDIATOR_FUZZ_SECONDS");
	const uint64_t seed = lych_seed();

	printf("LYCH_SEED=%" PRIu64 "\n", seed);
	int status = ChildStatus(
		[&] {
			if (seconds != nullptr || longer) {
				Fuzz(GetParam(), seed, 0, seconds != nullptr ? atof(seconds) : 150);
			} else {
				Fuzz(GetParam(), seed, GetParam() == POLICY_MOST ? kRounds : kRounds / 3, 0);
			}
		},
		seconds != nullptr ? 1000 * (100 + static_cast<int>(atof(seconds))) : longer ? 400000 : kHangs);
	EXPECT_EQ(status, 0) << Ending(status);
}

// The control: what a domain must not do, done by the host, is seen.
TEST_F(MediatorFuzz, SeesWhatADomainMustNotDo)
{
	IN_A_CHILD({
		World w;
		ASSERT_TRUE(w.Start());
		uint64_t low = library_start(w.domain), high = library_end(w.domain), mark = 0x1234567890abcdef;
		void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		int key = pkey_alloc(0, 0), file = memfd_create("file", MFD_CLOEXEC);
		rlimit limit = {};
		getrlimit(RLIMIT_CORE, &limit);
		rlimit less = {0, limit.rlim_max};
		less.rlim_cur = limit.rlim_cur == 0 ? 4096 : 0;
		struct sigaction ignore = {}, old = {};
		ignore.sa_handler = SIG_IGN;
		sigset_t none, urg;
		sigemptyset(&none);
		sigemptyset(&urg);
		sigaddset(&urg, SIGURG);
		Take(low, high);
		const Ledger before = Take(low, high);
		ASSERT_EQ(Differences(before, Take(low, high)), "");
		struct Change {
			const char *what;
			std::function<void()> make, undo;
		};
		const Change changes[] = {
			{"descriptor 200: new", [&] { dup2(file, 200); }, [&] { close(200); }},
			{" at 5", [&] { lseek(file, 5, SEEK_SET); }, [&] { lseek(file, 0, SEEK_SET); }},
			{" key ", [&] { pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, key); },
			 [&] { pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, 0); }},
			{"mapping", [&] { mprotect(page, 4096, PROT_READ); }, [&] { mprotect(page, 4096, PROT_READ | PROT_WRITE); }},
			{"limit 4", [&] { setrlimit(RLIMIT_CORE, &less); }, [&] { setrlimit(RLIMIT_CORE, &limit); }},
			{"signal 10", [&] { sigaction(SIGUSR1, &ignore, &old); }, [&] { sigaction(SIGUSR1, &old, nullptr); }},
			{"SigBlk", [&] { sigprocmask(SIG_BLOCK, &urg, nullptr); }, [&] { sigprocmask(SIG_UNBLOCK, &urg, nullptr); }},
			{"Umask", [&] { umask(077); }, [&] { umask(022); }},
			{"directory", [&] { EXPECT_EQ(chdir("/proc"), 0); }, [&] { EXPECT_EQ(chdir(Was(before, "directory").c_str()), 0); }},
			{"dumpable", [&] { prctl(PR_SET_DUMPABLE, 0); }, [&] { prctl(PR_SET_DUMPABLE, 1); }},
			{"name", [&] { prctl(PR_SET_NAME, "other"); }, [&] { prctl(PR_SET_NAME, Was(before, "name").c_str()); }},
			{"nice", [&] { setpriority(PRIO_PROCESS, 0, 1); }, [&] { setpriority(PRIO_PROCESS, 0, 0); }},
		};
		umask(022);
		for (const Change &change : changes) {
			change.make();
			EXPECT_THAT(Differences(before, Take(low, high)), ::testing::HasSubstr(change.what));
			change.undo();
			EXPECT_EQ(Differences(before, Take(low, high)), "") << change.what;
		}
		EXPECT_FALSE(Holds(low, high, mark));
		w.target->more[7] = mark;
		EXPECT_TRUE(Holds(low, high, mark));
		w.target->more[7] = 0;
	});
}

INSTANTIATE_TEST_SUITE_P(Policy, MediatorFuzzOf, ::testing::Values(POLICY_MOST, POLICY_WORK, POLICY_PURE, POLICY_REPORT), [](const auto &one) {
	return one.param == POLICY_PURE ? "Pure" : one.param == POLICY_WORK ? "Directory" : one.param == POLICY_REPORT ? "Report" : "Most";
});

} // namespace
