// SPDX-License-Identifier: Apache-2.0
// Runs what hostile.so has in a library domain, and without protection. Each in a child of its own that starts the runtime itself: a
// child that dies or hangs fails the test.
#ifndef LYCH_TEST_LIBRARY_ATTACK_H
#define LYCH_TEST_LIBRARY_ATTACK_H

#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "hostile.h"
#include "inside.h"
#include "library_bounds.h"
#include "needs_pku.h"

LYCH_SYM(domain, hostile_do, long, (attack_fn, struct prey *));
LYCH_SYM(domain, hostile_syscall, long, (long, long, long, long, long, long, long));
LYCH_SYM(domain, hostile_read, uint64_t, (const volatile uint64_t *));
LYCH_SYM(domain, hostile_write, void, (volatile uint64_t *));

constexpr unsigned kCallMs = 30000;
constexpr int kHangs = 100000; // in ms at least

template <typename Code> int ChildStatus(Code code)
{
	fflush(nullptr);
	pid_t child = fork();
	if (child == 0) {
		setpgid(0, 0); // what it sends to everybody stays there
		code();
		fflush(nullptr);
		_exit(::testing::Test::HasFailure() ? 1 : 0);
	}
	int status = -1;
	pid_t ended = 0;
	for (int i = 0; i < kHangs && (ended = waitpid(child, &status, __WALL | WNOHANG)) == 0; i++) {
		usleep(1000);
	}
	if (ended == 0) {
		ADD_FAILURE() << "it hangs";
		kill(-child, SIGKILL);
		kill(child, SIGKILL);
		ended = waitpid(child, &status, __WALL);
	}
	EXPECT_EQ(ended, child);
	return status;
}

inline std::string Ending(int status)
{
	return WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit status " + std::to_string(WEXITSTATUS(status));
}

#define IN_A_CHILD(...)                                              \
	do {                                                         \
		int status_ = ChildStatus([&] __VA_ARGS__);          \
		EXPECT_EQ(status_, 0) << Ending(status_);            \
	} while (0)

// What of the host must stay as it is: in both worlds.
class World
{
public:
	lych_domain *domain = nullptr, *victim = nullptr;
	prey *target = nullptr; // in memory of the attacker's
	uint64_t *secret = nullptr, *other = nullptr;
	uint32_t *words = nullptr;
	char base[48] = "/tmp/lych-attack-XXXXXX";

	// With the runtime, in the child.
	bool Start(attack_policy policy = POLICY_PURE, const char *library = LYCH_HOSTILE)
	{
		lych_library_opts opts = {};
		std::string text, work;

		if (!Common(false)) {
			return false;
		}
		work = std::string(base) + "/work";
		text = policy == POLICY_PURE   ? "pure"
		       : policy == POLICY_WORK ? "allow write " + work
					       : "net-client\nfiles-ro:/\nallow write " + work;
		opts.size = sizeof(opts);
		opts.policy = text.c_str();
		if (lych_init(nullptr) != 0 || lych_domain_new(&victim, nullptr) != 0 || lych_open(&domain, library, &opts) != 0) {
			ADD_FAILURE() << lych_why();
			return false;
		}
		other = static_cast<uint64_t *>(lych_alloc_aligned(victim, 4096, 4096));
		memset(other, 0, 4096);
		*other = PREY_SECRET;
		return Arm();
	}

	// The attacker's memory, anew after a reset.
	bool Arm()
	{
		inside state;

		target = static_cast<prey *>(lych_calloc(domain, 1, sizeof(*target)));
		char *own = static_cast<char *>(lych_alloc_aligned(domain, 4096, PREY_OWN));
		if (target == nullptr || own == nullptr) {
			ADD_FAILURE() << "no memory in the domain";
			return false;
		}
		memset(own, 0, PREY_OWN);
		Fill(own);
		inside_look(&state);
		target->gate = reinterpret_cast<char *>(state.area);
		target->monitor = target->gate + 4096;
		target->other = other;
		target->key = 0;
		target->other_key = lych_domain_key(victim);
		target->low = reinterpret_cast<char *>(library_start(domain));
		target->high = reinterpret_cast<char *>(library_end(domain));
		return true;
	}

	// Without it. keyed: the secret has a key that is denied.
	bool Bare(bool keyed)
	{
		if (!Common(true)) {
			return false;
		}
		target = new prey{};
		other = static_cast<uint64_t *>(Page());
		*other = PREY_SECRET;
		char *around = static_cast<char *>(mmap(nullptr, 160 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		char *own = around + 32 * 4096;
		if (mprotect(own, 96 * 4096, PROT_READ | PROT_WRITE) != 0 || munmap(own + 96 * 4096, 32 * 4096) != 0) {
			return false;
		}
		Fill(own);
		target->low = own;
		target->high = own + 96 * 4096;
		target->gate = static_cast<char *>(Page());
		target->monitor = static_cast<char *>(Page());
		target->other = other;
		target->other_key = target->key = 0;
		if (keyed) {
			target->key = pkey_alloc(0, 0);
			EXPECT_GT(target->key, 0);
			EXPECT_EQ(pkey_mprotect(secret, 4096, PROT_READ | PROT_WRITE, target->key), 0);
			EXPECT_EQ(pkey_set(target->key, PKEY_DISABLE_ACCESS), 0);
		}
		return true;
	}

	// The attack inside; what must hold whatever it did.
	int Attack(const char *symbol, long *result, unsigned timeout_ms = kCallMs)
	{
		void *fn = nullptr;
		inside before, after;

		EXPECT_EQ(lych_symbol(domain, &fn, symbol, nullptr), 0) << symbol << ": " << lych_why();
		inside_look(&before);
		int rc = LYCH_CALL_TIMEOUT(domain, timeout_ms, result, hostile_do, reinterpret_cast<attack_fn>(fn), target);
		inside_look(&after);
		EXPECT_STREQ(inside_differences(&before, &after), "") << "the host is not as it was";
		Check();
		return rc;
	}

	void Check()
	{
		EXPECT_EQ(*secret, PREY_SECRET);
		EXPECT_EQ(*other, PREY_SECRET);
		for (int i = 1; i < 512; i++) {
			ASSERT_EQ(secret[i], 0u) << i;
			ASSERT_EQ(other[i], 0u) << i;
		}
		for (int i = 0; i < PREY_WORDS; i++) {
			ASSERT_EQ(words[4 * i], static_cast<uint32_t>(tid_ + i)) << i;
		}
		EXPECT_EQ(signals, 0) << "a signal has reached the host";
		struct stat now;
		uint64_t in_file = 0;
		EXPECT_EQ(fstat(fd_, &now), 0) << "the host's file is closed";
		EXPECT_EQ(now.st_ino, inode_);
		EXPECT_EQ(pread(fd_, &in_file, 8, 0), 8);
		EXPECT_EQ(in_file, PREY_SECRET) << "the host's file has changed";
		EXPECT_EQ(lseek(fd_, 0, SEEK_CUR), 0);
		EXPECT_EQ(fstat(dir_, &now), 0);
		EXPECT_EQ(access(File().c_str(), R_OK), 0);
		if (domain == nullptr) {
			return;
		}
		EXPECT_NE(target->taken, PREY_SECRET) << "it has the secret";
		EXPECT_EQ(memmem(target->own, PREY_OWN, secret, sizeof(*secret)), nullptr) << "it has the secret";
		EXPECT_EQ(lych_verify([](const char *line, void *) { fprintf(stderr, "%s\n", line); }, nullptr), 0);
	}

	// After a fault: the domain works again, and so does the host.
	void Anew()
	{
		long result = 0;

		ASSERT_EQ(lych_domain_reset(domain), 0) << lych_why();
		ASSERT_TRUE(Arm());
		EXPECT_EQ(Attack("attack_nothing", &result), 0);
		EXPECT_EQ(result, ATTACK_DONE);
	}

	std::string File() const
	{
		return std::string(base) + "/secret";
	}
	~World()
	{
		stop_ = true;
		if (thread_.joinable()) {
			thread_.join();
		}
		if (domain != nullptr) {
			EXPECT_EQ(lych_domain_free(domain), 0) << lych_why();
		}
	}

	static inline std::atomic<int> signals{0};

private:
	static void *Page()
	{
		return mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}

	bool Common(bool bare)
	{
		tid_ = static_cast<int>(syscall(SYS_gettid));
		secret = static_cast<uint64_t *>(Page());
		words = static_cast<uint32_t *>(bare ? mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
						     : Page());
		*secret = PREY_SECRET;
		for (int i = 0; i < PREY_WORDS; i++) {
			words[4 * i] = static_cast<uint32_t>(tid_ + i);
		}
		if (mkdtemp(base) == nullptr || mkdir((std::string(base) + "/work").c_str(), 0700) != 0) {
			ADD_FAILURE() << base << ": " << strerror(errno);
			return false;
		}
		struct stat st;
		fd_ = open(File().c_str(), O_RDWR | O_CREAT, 0600);
		dir_ = open(base, O_RDONLY | O_DIRECTORY);
		EXPECT_EQ(pwrite(fd_, secret, 8, 0), 8);
		EXPECT_EQ(fstat(fd_, &st), 0);
		inode_ = st.st_ino;
		struct sigaction action = {};
		action.sa_handler = [](int) { signals++; };
		for (int signal : {SIGURG, SIGUSR1, SIGUSR2, SIGALRM, SIGIO, SIGPIPE, SIGCHLD, SIGRTMIN + 3}) {
			sigaction(signal, &action, nullptr);
		}
		thread_ = std::thread([this] {
			other_tid_ = static_cast<int>(syscall(SYS_gettid));
			while (!stop_) {
				usleep(2000);
			}
		});
		while (other_tid_ == 0) {
			usleep(1000);
		}
		return true;
	}

	void Fill(char *own)
	{
		target->secret = secret;
		target->words = words;
		target->own = own;
		target->pid = getpid();
		target->tid = tid_;
		target->other_tid = other_tid_;
		target->fd = fd_;
		target->dir = dir_;
		snprintf(target->work, sizeof(target->work), "%s/work", base);
		snprintf(target->file, sizeof(target->file), "%s/secret", base);
		target->host_pkey_set = reinterpret_cast<void *>(dlsym(RTLD_NEXT, "pkey_set"));
		target->host_syscall = library_host_syscall();
	}

	int tid_ = 0, fd_ = -1, dir_ = -1;
	ino_t inode_ = 0;
	std::atomic<int> other_tid_{0};
	std::atomic<bool> stop_{false};
	std::thread thread_;
};

// A function of hostile.so, in the program itself.
inline void *WithoutProtection(const char *symbol)
{
	void *hostile = dlopen(LYCH_HOSTILE, RTLD_NOW | RTLD_LOCAL);

	EXPECT_NE(hostile, nullptr) << dlerror();
	return hostile != nullptr ? dlsym(hostile, symbol) : nullptr;
}

// Library domains are there; on a kernel before 6.12 they are refused, which is what is asked for.
class LibraryAttack : public NeedsPku
{
protected:
	void SetUp() override
	{
		NeedsPku::SetUp();
		if (IsSkipped() || HasFatalFailure() || KernelWritesFramesWhole()) {
			return;
		}
		IN_A_CHILD({
			lych_domain *none = nullptr;
			ASSERT_EQ(lych_init(nullptr), 0) << lych_why();
			EXPECT_EQ(lych_open(&none, LYCH_HOSTILE, nullptr), -EOPNOTSUPP);
			EXPECT_EQ(none, nullptr);
		});
		GTEST_SKIP() << "library domains are refused before Linux 6.12";
	}
};

#endif
