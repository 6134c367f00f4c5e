// SPDX-License-Identifier: Apache-2.0
// The functions that deal with signals do what glibc's do: the same long sequence of calls is made with glibc's own,
// with ours before lych_init, and with ours behind it; each line that is written down must be the same. And what was
// installed before lych_init is there behind it.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <lychgate/lychgate.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "live.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" // most of them are obsolete, and still there

extern "C" __sighandler_t bsd_signal(int sig, __sighandler_t handler); // no header has it any more

namespace
{

// sigaltstack is not among them: LiveSignals.OnstackAreHandledOnTheHostsAlternateStack
#define SIGNAL_FUNCTIONS(X) \
	X(sigaction) \
	X(signal) \
	X(bsd_signal) \
	X(ssignal) \
	X(sysv_signal) \
	X(__sysv_signal) \
	X(sigset) \
	X(sighold) \
	X(sigrelse) \
	X(sigignore) \
	X(siginterrupt) \
	X(sigblock) \
	X(sigsetmask) \
	X(siggetmask) \
	X(sigprocmask) \
	X(pthread_sigmask)

struct Functions {
#define MEMBER(name) decltype(&::name) name##_;
	SIGNAL_FUNCTIONS(MEMBER)
#undef MEMBER
};

Functions Ours()
{
	Functions f;
#define OURS(name) f.name##_ = ::name;
	SIGNAL_FUNCTIONS(OURS)
#undef OURS
	return f;
}

Functions Glibcs()
{
	Functions f;
#define GLIBCS(name) f.name##_ = reinterpret_cast<decltype(&::name)>(dlsym(RTLD_NEXT, #name));
	SIGNAL_FUNCTIONS(GLIBCS)
#undef GLIBCS
	return f;
}

volatile sig_atomic_t ran;
void First(int)
{
	ran = ran + 1;
}
void Second(int)
{
	ran = ran + 100;
}
void Info(int, siginfo_t *info, void *)
{
	ran = ran + (info->si_pid == getpid() ? 1000 : 0);
}
volatile sig_atomic_t deep;
void Nests(int sig)
{
	deep = deep + 1;
	if (deep < 3) {
		raise(sig);
	}
	ran = ran + 1;
}

const char *Name(__sighandler_t handler)
{
	return handler == SIG_DFL    ? "SIG_DFL"
	       : handler == SIG_IGN  ? "SIG_IGN"
	       : handler == SIG_ERR  ? "SIG_ERR"
	       : handler == SIG_HOLD ? "SIG_HOLD"
	       : handler == First    ? "First"
	       : handler == Second   ? "Second"
	       : handler == Nests    ? "Nests"
				     : "?";
}

// One run: what the functions return, and what is so afterwards.
class Transcript
{
public:
	explicit Transcript(const Functions &functions, int sig) : f_(functions), sig_(sig) {}
	std::string text() const { return text_.str(); }

	template <typename Call> void returns(const char *what, Call call)
	{
		errno = 0;
		auto value = call();
		int err = errno;
		text_ << what << ": ";
		if constexpr (std::is_same_v<decltype(value), __sighandler_t>) {
			text_ << Name(value);
			err = value == SIG_ERR ? err : 0;
		} else {
			text_ << std::hex << value << std::dec;
			err = value == -1 ? err : 0;
		}
		text_ << " errno " << err;
		state();
	}
	void raised(const char *what)
	{
		raise(sig_);
		text_ << what << ", raised:";
		state();
	}

private:
	void state()
	{
		struct sigaction now = {};
		sigset_t mask, pending;
		f_.sigaction_(sig_, nullptr, &now);
		sigemptyset(&mask);
		f_.sigprocmask_(SIG_BLOCK, nullptr, &mask);
		sigpending(&pending);
		text_ << " | " << Name(now.sa_handler) << " flags " << std::hex
		      << (now.sa_flags & ~0x04000000 /* SA_RESTORER */) << std::dec << " masks itself "
		      << sigismember(&now.sa_mask, sig_) << " blocked " << sigismember(&mask, sig_)
		      << " pending " << sigismember(&pending, sig_) << " ran " << ran << "\n";
	}

	const Functions &f_;
	int sig_;
	std::ostringstream text_;
};

using Installs = __sighandler_t (*)(int, __sighandler_t);

std::string Sequence(const Functions &f, int sig)
{
	Transcript t(f, sig);
	auto bit = static_cast<int>(1u << (sig - 1));

	ran = 0;
	t.returns("sigset", [&] { return f.sigset_(sig, First); });
	t.raised("sigset");
	t.returns("sigset(SIG_HOLD)", [&] { return f.sigset_(sig, SIG_HOLD); });
	t.raised("sigset(SIG_HOLD)");
	t.returns("sigset(SIG_HOLD) again", [&] { return f.sigset_(sig, SIG_HOLD); });
	t.returns("sigset to another", [&] { return f.sigset_(sig, Second); });
	t.returns("sighold", [&] { return f.sighold_(sig); });
	t.raised("sighold");
	t.returns("sigrelse", [&] { return f.sigrelse_(sig); });
	t.returns("sigignore", [&] { return f.sigignore_(sig); });
	t.raised("sigignore");
	for (Installs one_shot : std::initializer_list<Installs>{f.sysv_signal_, f.__sysv_signal_}) {
		t.returns("sysv_signal", [&] { return one_shot(sig, First); });
		t.raised("sysv_signal");
	}
	for (Installs lasting : std::initializer_list<Installs>{f.bsd_signal_, f.ssignal_, f.signal_}) {
		t.returns("bsd_signal, ssignal, signal", [&] { return lasting(sig, First); });
		t.raised("bsd_signal, ssignal, signal");
		t.returns("to another", [&] { return lasting(sig, Second); });
	}
	for (int interrupt : {1, 0}) {
		t.returns("siginterrupt", [&] { return f.siginterrupt_(sig, interrupt); });
		t.returns("signal behind siginterrupt", [&] { return f.signal_(sig, First); });
		t.raised("siginterrupt");
	}
	t.returns("sigblock", [&] { return f.sigblock_(bit); });
	t.raised("sigblock");
	t.returns("siggetmask", [&] { return f.siggetmask_(); });
	t.returns("sigsetmask", [&] { return f.sigsetmask_(0); });
	t.returns("siggetmask", [&] { return f.siggetmask_(); });

	struct sigaction action = {}, before = {};
	action.sa_sigaction = Info;
	action.sa_flags = SA_SIGINFO;
	t.returns("sigaction", [&] { return f.sigaction_(sig, &action, &before); });
	t.raised("sigaction");
	t.returns("signal behind sigaction", [&] { return f.signal_(sig, First); });

	sigset_t set, none, all, old;
	sigemptyset(&none);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigfillset(&all);
	t.returns("pthread_sigmask", [&] { return f.pthread_sigmask_(SIG_BLOCK, &set, &old); });
	t.raised("pthread_sigmask");
	t.returns("sigsuspend", [&] { return sigsuspend(&none); });
	t.raised("behind sigsuspend");
	const timespec second = {1, 0};
	t.returns("ppoll", [&] { return ppoll(nullptr, 0, &second, &none); });
	t.raised("behind ppoll");
	t.returns("pthread_sigmask", [&] { return f.pthread_sigmask_(SIG_UNBLOCK, &set, nullptr); });
	t.returns("all", [&] { return f.sigprocmask_(SIG_SETMASK, &all, nullptr); });
	f.sigprocmask_(SIG_SETMASK, &none, &old);
	for (int which : {SIGSEGV, SIGSYS, SIGTRAP, SIGKILL, SIGSTOP, 32, 33, 34, 64}) {
		t.returns("is of all", [&] { return sigismember(&old, which); });
	}

	// what is refused
	for (int wrong : {-1, 0, 65, SIGKILL, SIGSTOP, 32, 33}) {
		t.returns("sigaction of none", [&] { return f.sigaction_(wrong, &action, nullptr); });
		t.returns("signal of none", [&] { return f.signal_(wrong, First); });
		t.returns("sysv_signal of none", [&] { return f.sysv_signal_(wrong, First); });
		t.returns("sigset of none", [&] { return f.sigset_(wrong, First); });
		t.returns("sigignore of none", [&] { return f.sigignore_(wrong); });
		t.returns("siginterrupt of none", [&] { return f.siginterrupt_(wrong, 1); });
	}
	for (int wrong : {-1, 0, 65}) {
		t.returns("sighold of none", [&] { return f.sighold_(wrong); });
		t.returns("sigrelse of none", [&] { return f.sigrelse_(wrong); });
	}
	t.returns("signal to SIG_ERR", [&] { return f.signal_(sig, SIG_ERR); });
	t.returns("sigprocmask of no such way", [&] { return f.sigprocmask_(77, &set, nullptr); });
	t.returns("pthread_sigmask of no such way", [&] { return f.pthread_sigmask_(77, &set, nullptr); });

	// once, and then the default
	action.sa_handler = Nests;
	action.sa_flags = static_cast<int>(SA_NODEFER | SA_RESETHAND);
	t.returns("sigaction", [&] { return f.sigaction_(sig, &action, nullptr); });
	t.returns("of a child", [] {
		int status = 0;
		pid_t child = fork();
		if (child == 0) {
			raise(SIGUSR1);
			_exit(3);
		}
		waitpid(child, &status, 0);
		return status;
	});
	action.sa_flags = SA_NODEFER;
	t.returns("sigaction", [&] { return f.sigaction_(sig, &action, nullptr); });
	t.raised("nested");
	return t.text();
}

// What body returns in a child of its own: lych_init is not taken back.
std::string InAChild(bool runtime, const std::function<std::string()> &body)
{
	std::string text;
	int fds[2];
	EXPECT_EQ(pipe(fds), 0);
	pid_t child = fork();
	if (child == 0) {
		alarm(300);
		std::string all = runtime && live_start() != 0 ? std::string("lych_init: ") + lych_why() : body();
		size_t done = 0;
		while (done < all.size()) {
			ssize_t n = write(fds[1], all.data() + done, all.size() - done);
			if (n <= 0) {
				_exit(2);
			}
			done += static_cast<size_t>(n);
		}
		_exit(0);
	}
	close(fds[1]);
	char part[4096];
	for (ssize_t n; (n = read(fds[0], part, sizeof(part))) > 0;) {
		text.append(part, static_cast<size_t>(n));
	}
	close(fds[0]);
	int status = -1;
	EXPECT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0) << text;
	return text;
}

std::vector<std::string> Lines(const std::string &text)
{
	std::istringstream in(text);
	std::vector<std::string> lines;
	for (std::string line; std::getline(in, line);) {
		lines.push_back(line);
	}
	return lines;
}

TEST(SignalFunctions, AreOursAndNotGlibcs)
{
	Functions ours = Ours(), glibcs = Glibcs();
#define EACH(name) \
	EXPECT_NE(glibcs.name##_, nullptr) << #name; \
	EXPECT_NE(ours.name##_, glibcs.name##_) << #name;
	SIGNAL_FUNCTIONS(EACH)
#undef EACH
}

TEST(SignalFunctions, DoWhatGlibcsDo)
{
	auto glibcs = Lines(InAChild(false, [] { return Sequence(Glibcs(), SIGUSR1); }));
	ASSERT_GT(glibcs.size(), 100u);
	EXPECT_THAT(glibcs, ::testing::Contains(::testing::HasSubstr(
				    "sigset, raised: | First flags 0 masks itself 0 blocked 0 pending 0 ran 1")));
	for (bool runtime : {false, true}) {
		auto ours = Lines(InAChild(runtime, [] { return Sequence(Ours(), SIGUSR1); }));
		ASSERT_EQ(ours.size(), glibcs.size());
		for (size_t i = 0; i < ours.size(); i++) {
			EXPECT_EQ(ours[i], glibcs[i]) << (runtime ? "behind" : "before") << " lych_init, line " << i;
		}
	}
}

// One of the six that the runtime needs, blocked and sent: what sigpending, sigtimedwait and signalfd say of it.
std::string Blocked(const Functions &f, int sig)
{
	std::ostringstream text;
	struct sigaction action = {};
	sigset_t set, pending;
	siginfo_t info;
	const timespec soon = {0, 1000000};
	signalfd_siginfo told = {};

	action.sa_handler = First;
	ran = 0;
	f.sigaction_(sig, &action, nullptr);
	sigemptyset(&set);
	sigaddset(&set, sig);
	f.sigprocmask_(SIG_BLOCK, &set, nullptr);
	int fd = signalfd(-1, &set, SFD_NONBLOCK);
	kill(getpid(), sig);
	sigpending(&pending);
	text << "ran " << ran << " pending " << sigismember(&pending, sig) << " taken "
	     << (sigtimedwait(&set, &info, &soon) == sig);
	raise(sig);
	text << " read " << (read(fd, &told, sizeof(told)) == sizeof(told));
	text << " ran " << ran;
	f.sigprocmask_(SIG_UNBLOCK, &set, nullptr);
	text << " then " << ran;
	return text.str();
}

// SECURITY.md: the kernel does not know that they are blocked. The handler waits all the same.
TEST(SignalFunctions, HoldTheSixBackButCannotHandThemOut)
{
	const char *const handed_out = "ran 0 pending 1 taken 1 read 1 ran 0 then 0";

	for (int sig : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS}) {
		EXPECT_EQ(InAChild(false, [sig] { return Blocked(Glibcs(), sig); }), handed_out);
		EXPECT_EQ(InAChild(true, [sig] { return Blocked(Ours(), sig); }),
			  "ran 0 pending 0 taken 0 read 0 ran 0 then 1")
				<< strsignal(sig);
	}
	EXPECT_EQ(InAChild(true, [] { return Blocked(Ours(), SIGUSR1); }), handed_out);
}

// ---- from before lych_init -----------------------------------------------------------------------

char main_stack[65536], old_stack[65536];
volatile sig_atomic_t on_main_stack, on_old_stack, masked;
std::atomic<int> stage, inside;

void Placed(int, siginfo_t *, void *)
{
	char here;
	sigset_t now;
	sigemptyset(&now);
	sigprocmask(SIG_BLOCK, nullptr, &now);
	masked = sigismember(&now, SIGHUP) == 1 && sigismember(&now, SIGTERM) == 0;
	on_main_stack = &here >= main_stack && &here < main_stack + sizeof(main_stack);
	on_old_stack = &here >= old_stack && &here < old_stack + sizeof(old_stack);
	ran = ran + 1;
}

std::string HandledHere()
{
	std::ostringstream text;
	stack_t stack = {};
	ran = on_main_stack = on_old_stack = masked = 0;
	raise(SIGUSR1);
	sigaltstack(nullptr, &stack);
	text << "ran " << ran << " on main's " << on_main_stack << " on the thread's " << on_old_stack << " masked "
	     << masked << " stack "
	     << (stack.ss_sp == main_stack ? "main's" : stack.ss_sp == old_stack ? "the thread's" : "?") << " size "
	     << stack.ss_size << " flags " << stack.ss_flags << "\n";
	return text.str();
}

void Stage(int value)
{
	stage = value;
	while (stage == value) {
		std::this_thread::yield();
	}
}

// In a domain, until the handler has run.
extern "C" long functions_wait(long n)
{
	inside = 1;
	while (ran == 0) {
		__asm__ volatile("pause");
	}
	return n + 1;
}
LYCH_BIND(domain, functions_wait, long, (long));

// The same text with and without the runtime, unless a signal that comes while a domain runs finds something else.
std::string Before(bool runtime)
{
	std::ostringstream text;
	std::string old_text[2];
	struct sigaction action = {}, now = {};
	stack_t stack = {};

	stack.ss_sp = main_stack;
	stack.ss_size = sizeof(main_stack);
	sigaltstack(&stack, nullptr);
	action.sa_sigaction = Placed;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sigaddset(&action.sa_mask, SIGHUP);
	sigaction(SIGUSR1, &action, nullptr);
	signal(SIGUSR2, SIG_IGN);
	stage = 0;
	std::thread old([&old_text] {
		stack_t own = {};
		own.ss_sp = old_stack;
		own.ss_size = sizeof(old_stack);
		sigaltstack(&own, nullptr);
		Stage(1);
		old_text[0] = HandledHere();
		int rc = lych_backend_name()[0] != '\0' ? lych_attach() : 0;
		old_text[1] = rc == 0 ? HandledHere() : "not attached";
		stage = 3;
	});
	while (stage != 1) {
		std::this_thread::yield();
	}
	int rc = runtime ? live_start() : 0;
	text << "lych_init " << rc << "\n" << HandledHere();
	sigaction(SIGUSR1, nullptr, &now);
	text << "same handler " << (now.sa_sigaction == Placed) << " flags " << std::hex
	     << (now.sa_flags & ~0x04000000) << std::dec << " mask " << sigismember(&now.sa_mask, SIGHUP)
	     << sigismember(&now.sa_mask, SIGTERM) << "\n";
	sigaction(SIGUSR2, nullptr, &now);
	raise(SIGUSR2);
	text << "SIGUSR2 is " << Name(now.sa_handler) << "\n";
	stage = 2;
	old.join();
	text << old_text[0] << old_text[1];
	if (runtime) {
		lych_domain *domain = live_domain("domain");
		pid_t tid = static_cast<pid_t>(syscall(SYS_gettid));
		long result = 0;
		ran = on_main_stack = inside = 0;
		std::thread sender([tid] {
			while (inside == 0) {
				std::this_thread::yield();
			}
			syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
		});
		rc = LYCH_CALL(domain, &result, functions_wait, 41);
		sender.join();
		if (rc != 0 || result != 42 || ran != 1 || on_main_stack != 1 || masked != 1) {
			text << "in a domain: " << rc << " " << result << " ran " << ran << " on main's "
			     << on_main_stack << "\n";
		}
	}
	return text.str();
}

TEST(SignalFunctions, FindHandlersAndStacksFromBeforeLychInit)
{
	std::string without = InAChild(false, [] { return Before(false); });
	EXPECT_EQ(InAChild(false, [] { return Before(true); }), without);
	EXPECT_THAT(without, ::testing::HasSubstr("ran 1 on main's 1 on the thread's 0 masked 1 "
						  "stack main's size 65536 flags 0\n"));
	EXPECT_THAT(without, ::testing::HasSubstr("ran 1 on main's 0 on the thread's 1 masked 1 "
						  "stack the thread's size 65536 flags 0\n"));
	EXPECT_THAT(without, ::testing::HasSubstr("same handler 1 flags 18000004 mask 10\nSIGUSR2 is SIG_IGN\n"));
}

void Runs(int)
{
	ran = ran + 1;
}

// system() ignores two signals meanwhile, and puts back what it found in the kernel, by itself.
std::string AroundSystem()
{
	std::ostringstream text;

	signal(SIGINT, Runs);
	signal(SIGQUIT, Runs);
	for (int round = 0; round < 2; round++) {
		ran = 0;
		text << "exit code " << WEXITSTATUS(system("exit 3"));
		raise(SIGINT);
		raise(SIGQUIT);
		text << " ran " << ran << "\n";
	}
	return text.str();
}

TEST(SignalFunctions, FindTheirHandlersAgainWhenSystemHasPutThemBack)
{
	EXPECT_EQ(InAChild(false, AroundSystem), "exit code 3 ran 2\nexit code 3 ran 2\n");
	EXPECT_EQ(InAChild(true, AroundSystem), "exit code 3 ran 2\nexit code 3 ran 2\n");
}

volatile sig_atomic_t reached;
std::string Interrupted();

_Unwind_Reason_Code Frame(_Unwind_Context *context, void *)
{
	void *function = _Unwind_FindEnclosingFunction(reinterpret_cast<void *>(_Unwind_GetIP(context) - 1));

	if (function == reinterpret_cast<void *>(Interrupted)) {
		reached = reached + 1;
	}
	return _URC_NO_REASON;
}

void Walks(int)
{
	_Unwind_Backtrace(Frame, nullptr);
}

__attribute__((noinline)) std::string Interrupted()
{
	signal(SIGUSR1, Walks);
	raise(SIGUSR1);
	return "reached " + std::to_string(reached);
}

TEST(SignalFunctions, LetTheStackBelowAHandlerBeUnwound)
{
	EXPECT_EQ(InAChild(false, Interrupted), "reached 1");
	EXPECT_EQ(InAChild(true, Interrupted), "reached 1");
}

} // namespace
