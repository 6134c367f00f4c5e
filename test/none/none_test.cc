// SPDX-License-Identifier: Apache-2.0
// LYCH_NONE: calls, callbacks, libraries; and what it leaves alone.
#include "none.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unwind.h>
#ifdef __linux__
#include <asm/prctl.h>
#include <sys/syscall.h>
#endif

#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "guest.h"

extern "C" int sym_c_calls(struct lych_domain *guest, char *out, size_t bytes);
// Of zlib and libc, whose headers need not be there, or declare them otherwise.
extern "C" unsigned long crc32(unsigned long, const unsigned char *, unsigned int);
extern "C" int compress(unsigned char *, unsigned long *, const unsigned char *, unsigned long);
extern "C" int uncompress(unsigned char *, unsigned long *, const unsigned char *, unsigned long);

using compare_fn = int (*)(const void *, const void *);
LYCH_SYM(z, crc32, unsigned long, (unsigned long, const unsigned char *, unsigned int));
LYCH_SYM(z, compress, int, (unsigned char *, unsigned long *, const unsigned char *, unsigned long));
LYCH_SYM(z, uncompress, int, (unsigned char *, unsigned long *, const unsigned char *, unsigned long));
LYCH_SYM(c, qsort, void, (void *, size_t, size_t, compare_fn));
LYCH_SYM_VERSION(other_c, qsort, "GLIBC_2.2.5", void, (void *, size_t, size_t, compare_fn));
LYCH_SYM_VERSION(wrong_c, qsort, "GLIBC_1.0", void, (void *, size_t, size_t, compare_fn));
LYCH_SYM(guest, sum0, long, (void));
LYCH_SYM(guest, sum1, long, (long));
LYCH_SYM(guest, sum6, long, (long, int, short, signed char, unsigned char, unsigned int));
LYCH_SYM(guest, sum10, long, (int, int, int, int, int, int, int, short, signed char, long));
LYCH_SYM(guest, mixed, double, (double, long, float, long double, double, double, double, double, double, double, int));
LYCH_SYM(guest, half, long double, (long double));
LYCH_SYM(guest, swap, LYCH_STRUCT(pair, SS), (LYCH_STRUCT(pair, SS)));
LYCH_SYM(guest, grow, big, (big, int));
LYCH_SYM(guest, is_odd, bool, (int));
LYCH_SYM(guest, call_back, int, (int (*)(int), int));
using wide_fn = double (*)(long, double, pair, int, int, int, int, short, long double);
LYCH_SYM(guest, call_back_wide, double, (wide_fn, double));
LYCH_SYM(guest, allocate_inside, void *, (unsigned long));
LYCH_SYM(guest, free_inside, void, (void *));
LYCH_SYM(guest, overflow, int, (char *, int));
LYCH_SYM(guest, throw_and_catch, int, (int));
LYCH_SYM(guest, throw_out, void, (void));
LYCH_SYM(guest, nowhere, int, (int));
LYCH_SYM_VARIADIC(guest, total3, total, double, (int), (double, double, double));
LYCH_SYM_POINTER(guest, half, long double, (long double), -1);
LYCH_SYM_POINTER(guest, call_back, int, (int (*)(int), int), -1);

namespace
{

class None : public NoneStarted {
protected:
	lych_domain *guest = nullptr;

	void SetUp() override
	{
		guest = Open(NONE_GUEST);
		ASSERT_NE(guest, nullptr);
	}
	void TearDown() override
	{
		EXPECT_EQ(lych_domain_free(guest), 0);
	}
};

class NoneDeath : public None {};
class NonePlanted : public None {};

int Descending(const void *a, const void *b)
{
	++*static_cast<int *>(lych_callback_ctx());
	return *static_cast<const int *>(b) - *static_cast<const int *>(a);
}
LYCH_CALLBACK(Descending, int, (const void *, const void *));

int PlusTen(int n)
{
	return n + 10;
}
LYCH_CALLBACK(PlusTen, int, (int));

double Wide(long a, double b, pair c, int d, int e, int f, int g, short h, long double i)
{
	return static_cast<double>(a) + b + c.first + 2 * c.second + d + e + f + g + h + static_cast<double>(i);
}
LYCH_CALLBACK(Wide, double, (long, double, LYCH_STRUCT(pair, SS), int, int, int, int, short, long double));

std::function<int(int)> in_callback;
int Any(int n)
{
	return in_callback(n);
}
LYCH_CALLBACK(Any, int, (int));

std::string Maps(bool code_only)
{
	std::ifstream in("/proc/self/maps");
	std::string all, line;

	while (std::getline(in, line)) {
		if (!code_only || line.find("xp ") != std::string::npos) {
			all += line + "\n";
		}
	}
	return all;
}

std::string Status(const char *field)
{
	std::ifstream in("/proc/self/status");
	std::string line;

	while (std::getline(in, line)) {
		if (line.rfind(field, 0) == 0) {
			return line;
		}
	}
	return "";
}

unsigned long GsBase()
{
	unsigned long base = ~0ul;

	syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
	return base;
}

struct KernelAction {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

std::string Handlers()
{
	std::string all;

	for (int sig = 1; sig <= 64; sig++) {
		KernelAction action = {};
		char line[128];

		syscall(SYS_rt_sigaction, sig, nullptr, &action, 8);
		snprintf(line, sizeof(line), "%d %p %lx %lx\n", sig, action.handler, action.flags,
			 static_cast<unsigned long>(action.mask));
		all += line;
	}
	return all;
}

int InChild(const std::function<void()> &fn)
{
	int status = -1;

	fflush(nullptr);
	pid_t pid = fork();
	if (pid == 0) {
		fn();
		fflush(nullptr);
		_exit(testing::Test::HasFailure() ? 1 : 0);
	}
	waitpid(pid, &status, 0);
	return status;
}

} // namespace

// ---- before anything is started: by its name this suite comes first

TEST(NoneAloneFirst, LeavesSignalsGsBaseMappingsOfCodeAndFiltersAlone)
{
	EXPECT_EQ(InChild([] {
			  const std::string handlers = Handlers(), code = Maps(true), filters = Status("Seccomp:"),
					    privileges = Status("NoNewPrivs:"), blocked = Status("SigBlk:");
			  const unsigned long gs = GsBase();

			  ASSERT_EQ(StartNone(), 0) << lych_why();
			  EXPECT_STREQ(lych_backend_name(), "none");
			  ASSERT_EQ(lych_attach(), 0);
			  {
				  lych_domain *d = nullptr;
				  int *block;

				  ASSERT_EQ(lych_domain_new(&d, nullptr), 0);
				  block = static_cast<int *>(lych_calloc(d, 4, sizeof(int)));
				  ASSERT_NE(block, nullptr);
				  EXPECT_EQ(Maps(true), code);
				  EXPECT_EQ(lych_domain_free(d), 0);
			  }
			  EXPECT_EQ(Handlers(), handlers);
			  EXPECT_EQ(GsBase(), gs);
			  EXPECT_EQ(Status("Seccomp:"), filters);
			  EXPECT_EQ(Status("NoNewPrivs:"), privileges);
			  EXPECT_EQ(Status("SigBlk:"), blocked);
			  // the control: what these look at does change
			  struct sigaction action = {};
			  action.sa_handler = [](int) {};
			  sigaction(SIGUSR1, &action, nullptr);
			  EXPECT_NE(Handlers(), handlers);
			  void *more = dlopen("libz.so.1", RTLD_NOW);
			  EXPECT_NE(Maps(true), code);
			  dlclose(more);
		  }),
		  0);
}

TEST(NoneAloneFirst, IsNeverPickedByItself)
{
	EXPECT_EQ(InChild([] {
			  lych_init_opts opts = {};

			  opts.size = sizeof(opts);
			  if (lych_init(&opts) != 0) {
				  EXPECT_STREQ(lych_backend_name(), "");
			  } else {
				  EXPECT_STRNE(lych_backend_name(), "none");
			  }
		  }),
		  0);
}

TEST(NoneAloneFirst, IsRefusedWherePkuIsDemanded)
{
	EXPECT_EQ(InChild([] {
			  setenv("LYCH_REQUIRE_PKU", "1", 1);
			  EXPECT_EQ(StartNone(true), -EOPNOTSUPP);
			  EXPECT_NE(strstr(lych_why(), "LYCH_REQUIRE_PKU"), nullptr) << lych_why();
			  EXPECT_STREQ(lych_backend_name(), "");
			  lych_domain *d = nullptr;
			  EXPECT_EQ(lych_open(&d, "libz.so.1", nullptr), -ENOSYS);
			  EXPECT_EQ(StartNone(), 0);
			  EXPECT_EQ(StartNone(), -EALREADY);
		  }),
		  0);
}

// ---- calls

TEST_F(None, CallsPassEveryArgumentAndResult)
{
	const big ones = {{1, 2, 3, 4, 5, 6, 7, 8, 9}};
	big grown = {};
	pair swapped = {};
	long n = 0;
	double d = 0;
	long double l = 0;
	bool odd = false;

	ASSERT_EQ(LYCH_CALL(guest, &n, sum0), 0);
	EXPECT_EQ(n, 7);
	ASSERT_EQ(LYCH_CALL(guest, &n, sum1, -5), 0);
	EXPECT_EQ(n, -5);
	ASSERT_EQ(LYCH_CALL(guest, &n, sum6, 1L << 40, -2, -3, -4, 250, 4000000000u), 0);
	EXPECT_EQ(n, (1L << 40) - 9 + 250 + 4000000000);
	ASSERT_EQ(LYCH_CALL(guest, &n, sum10, 1, 2, 3, 4, 5, 6, 7, -8, -9, 10), 0);
	EXPECT_EQ(n, 1 + 4 + 9 + 16 + 25 + 36 + 49 - 64 - 81 + 100);
	ASSERT_EQ(LYCH_CALL(guest, &d, mixed, 0.5, 2, 0.25f, 4.0L, 1, 2, 3, 4, 5, 6, -7), 0);
	EXPECT_EQ(d, 0.5 + 2 + 0.25 + 4 + 1 + 2 + 3 + 4 + 5 + 12 - 7);
	ASSERT_EQ(LYCH_CALL(guest, &l, half, 3.0L), 0);
	EXPECT_EQ(l, 1.5L);
	ASSERT_EQ(LYCH_CALL(guest, &swapped, swap, pair{1, 2}), 0);
	EXPECT_EQ(swapped.first, 2);
	EXPECT_EQ(swapped.second, 1);
	ASSERT_EQ(LYCH_CALL(guest, &grown, grow, ones, 10), 0);
	EXPECT_EQ(grown.a[0], 11);
	EXPECT_EQ(grown.a[8], 19);
	ASSERT_EQ(LYCH_CALL(guest, &odd, is_odd, 3), 0);
	EXPECT_TRUE(odd);
	ASSERT_EQ(LYCH_CALL(guest, &d, total3, 3, 0.5, 0.25, 1), 0);
	EXPECT_EQ(d, 1.75);
	ASSERT_EQ(LYCH_CALL_TIMEOUT(guest, 0, &n, sum1, 4), 0) << "a deadline ends nothing";
	EXPECT_EQ(n, 4);
	EXPECT_EQ(LYCH_CALL(guest, nullptr, sum0), 0);
}

TEST_F(None, CallsFromC)
{
	char text[256];

	ASSERT_EQ(sym_c_calls(guest, text, sizeof(text)), 0);
	EXPECT_STREQ(text, "95 2.5 1.5 11 19 1 0.75 2.5 -2");
}

TEST_F(None, TypedPointersAreCalledLikeTheFunction)
{
	long double (*half_of)(long double) = nullptr;
	int (*call)(int (*)(int), int) = nullptr;

	ASSERT_EQ(LYCH_POINTER(&half_of, guest, half), 0);
	EXPECT_EQ(half_of(9), 4.5L);
	ASSERT_EQ(LYCH_POINTER(&call, guest, call_back), 0);
	EXPECT_EQ(call(PlusTen, 1), 12);
	EXPECT_EQ(lych_pointer_free(reinterpret_cast<void (*)()>(call)), 0);
	EXPECT_EQ(lych_pointer_free(reinterpret_cast<void (*)()>(call)), -EINVAL);
	EXPECT_EQ(lych_pointer_free(reinterpret_cast<void (*)()>(PlusTen)), -EINVAL);
}

// ---- callbacks

TEST_F(None, QsortCallsBackWithItsContext)
{
	lych_domain *c = Open("libc.so.6");
	int calls = 0;
	compare_fn compare = nullptr;

	ASSERT_NE(c, nullptr);
	int *numbers = static_cast<int *>(lych_calloc(c, 5, sizeof(int)));
	for (int i = 0; i < 5; i++) {
		numbers[i] = i * 7 % 5;
	}
	ASSERT_EQ(lych_callback(&compare, c, Descending, &calls), 0);
	ASSERT_EQ(LYCH_CALL(c, LYCH_NOTHING, qsort, numbers, 5, sizeof(int), compare), 0);
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(numbers[i], 4 - i);
	}
	EXPECT_GE(calls, 4);
	EXPECT_EQ(lych_callback_ctx(), nullptr);
	lych_domain *other_c = c, *wrong_c = c;
	EXPECT_EQ(LYCH_SYM_FIND(c, qsort), 0);
	EXPECT_EQ(LYCH_SYM_FIND(other_c, qsort), 0);
	EXPECT_EQ(LYCH_SYM_FIND(wrong_c, qsort), -ENOENT);
	EXPECT_EQ(LYCH_CALL(other_c, LYCH_NOTHING, qsort, numbers, 5, sizeof(int), compare), 0);
	EXPECT_EQ(LYCH_CALL(wrong_c, LYCH_NOTHING, qsort, numbers, 5, sizeof(int), compare), -ENOENT);
	EXPECT_EQ(lych_callback_free(c, reinterpret_cast<void (*)()>(compare)), 0);
	EXPECT_EQ(lych_callback_free(c, reinterpret_cast<void (*)()>(compare)), -EINVAL);
	EXPECT_EQ(lych_domain_free(c), 0);
}

TEST_F(None, CallbacksGetWhatLiesOnTheStack)
{
	double (*wide)(long, double, pair, int, int, int, int, short, long double) = nullptr;
	double d = 0;

	ASSERT_EQ(lych_callback(&wide, guest, Wide, nullptr), 0);
	ASSERT_EQ(LYCH_CALL(guest, &d, call_back_wide, wide, 0.5), 0);
	EXPECT_EQ(d, 2 * (1 + 0.5 + 2 + 6 + 4 + 5 + 6 + 7 - 8 + 9.5));
}

TEST_F(None, CallsNestDownToTheDepthThatOthersHave)
{
	int (*any)(int) = nullptr, deepest = 0, status = 0, n = 0;

	ASSERT_EQ(lych_callback(&any, guest, Any, &deepest), 0);
	in_callback = [&](int level) {
		int inner = 0, before = deepest;

		EXPECT_EQ(lych_callback_ctx(), &deepest);
		EXPECT_EQ(lych_domain_free(guest), -EBUSY);
		EXPECT_EQ(lych_domain_reset(guest), -EBUSY);
		deepest = level;
		status = LYCH_CALL(guest, &inner, call_back, any, level + 1);
		EXPECT_EQ(lych_callback_ctx(), &deepest);
		EXPECT_GE(deepest, before);
		return status == 0 ? inner : 0;
	};
	ASSERT_EQ(LYCH_CALL(guest, &n, call_back, any, 1), 0);
	EXPECT_EQ(deepest, LYCH_DEPTH);
	EXPECT_EQ(n, LYCH_DEPTH);
	EXPECT_EQ(status, 0) << "the innermost was -EXFULL, those around it succeeded";
	EXPECT_EQ(lych_callback_ctx(), nullptr);
}

TEST_F(None, TheInnermostCallIsRefusedWhereItIsTooDeep)
{
	int (*any)(int) = nullptr, n = 0;
	std::vector<int> statuses;

	ASSERT_EQ(lych_callback(&any, guest, Any, nullptr), 0);
	in_callback = [&](int level) {
		int inner = 0;

		statuses.push_back(LYCH_CALL(guest, &inner, call_back, any, level + 1));
		return inner;
	};
	ASSERT_EQ(LYCH_CALL(guest, &n, call_back, any, 1), 0);
	ASSERT_EQ(statuses.size(), static_cast<size_t>(LYCH_DEPTH));
	EXPECT_EQ(statuses[0], -EXFULL);
	EXPECT_EQ(statuses[1], 0);
}

namespace
{

void LeaveByLongjmp(lych_domain *guest, lych_domain *other)
{
	static jmp_buf back;
	static volatile int rounds;
	int (*any)(int) = nullptr;
	volatile int n = 0;

	ASSERT_EQ(lych_callback(&any, guest, Any, nullptr), 0);
	in_callback = [&](int) -> int { longjmp(back, 1); };
	rounds = 0;
	if (setjmp(back) != 0) {
		rounds = rounds + 1;
	}
	if (rounds < 100) {
		int r = 0;
		EXPECT_NE(LYCH_CALL(guest, &r, call_back, any, 1), 0) << "not reached, or -EXFULL";
	}
	EXPECT_EQ(rounds, 100);
	EXPECT_EQ(lych_callback_ctx(), nullptr);
	EXPECT_EQ(lych_domain_reset(other), 0);
	EXPECT_EQ(lych_domain_free(other), 0);
	EXPECT_EQ(lych_domain_reset(guest), -EOPNOTSUPP) << "not -EBUSY";
	// one that goes to a callback in the middle
	in_callback = [&](int level) -> int {
		int r = 0;
		if (level == 3) {
			longjmp(back, 1);
		}
		if (level == 1) {
			rounds = 0;
			if (setjmp(back) == 0) {
				EXPECT_EQ(LYCH_CALL(guest, &r, call_back, any, 2), 0);
			}
			n = n + 1;
			return 5;
		}
		EXPECT_EQ(LYCH_CALL(guest, &r, call_back, any, level + 1), 0);
		return r;
	};
	int r = 0;
	ASSERT_EQ(LYCH_CALL(guest, &r, call_back, any, 1), 0);
	EXPECT_EQ(r, 6);
	EXPECT_EQ(n, 1);
}

} // namespace

TEST_F(None, CallsThatLongjmpLeftAreForgotten)
{
	lych_domain *const other = New();

	// In a thread of its own: what is left when a frame has ended is seen only when one is called from above it.
	std::thread([&] { LeaveByLongjmp(guest, other); }).join();
}

TEST_F(None, EveryThreadHasCallsOfItsOwn)
{
	std::vector<std::thread> threads;
	std::atomic<int> right{0};
	static thread_local int mine;
	static int (*const own)(int) = [](int n) { return n + mine; };

	for (int t = 0; t < 8; t++) {
		threads.emplace_back([&, t] {
			mine = t;
			for (int i = 0; i < 500; i++) {
				int n = 0;
				right += LYCH_CALL(guest, &n, call_back, own, i) == 0 && n == i + t + 1;
			}
		});
	}
	for (std::thread &t : threads) {
		t.join();
	}
	EXPECT_EQ(right, 8 * 500);
}

TEST_F(None, UnwindersFindTheCallerOutOfACallback)
{
	static int frames;
	static bool found;
	int (*any)(int) = nullptr, n = 0;
	static void *function = nullptr;

	function = _Unwind_FindEnclosingFunction(__builtin_extract_return_addr(__builtin_return_address(0)));
	ASSERT_NE(function, nullptr);
	ASSERT_EQ(lych_callback(&any, guest, Any, nullptr), 0);
	in_callback = [](int) {
		frames = 0;
		_Unwind_Backtrace(
			[](_Unwind_Context *c, void *) {
				void *at = _Unwind_FindEnclosingFunction(reinterpret_cast<void *>(_Unwind_GetIP(c) - 1));
				found = found || at == function;
				return ++frames < 100 ? _URC_NO_REASON : _URC_END_OF_STACK;
			},
			nullptr);
		return 0;
	};
	found = false;
	ASSERT_EQ(LYCH_CALL(guest, &n, call_back, any, 1), 0);
	EXPECT_TRUE(found) << frames;
	EXPECT_LT(frames, 100);
}

TEST_F(None, ExceptionsInsideOfACallOrACallbackAreCaught)
{
	int (*any)(int) = nullptr, n = 0;

	ASSERT_EQ(LYCH_CALL(guest, &n, throw_and_catch, 4), 0);
	EXPECT_EQ(n, -4);
	ASSERT_EQ(lych_callback(&any, guest, Any, nullptr), 0);
	in_callback = [](int x) {
		try {
			throw x;
		} catch (int y) {
			return -y;
		}
	};
	ASSERT_EQ(LYCH_CALL(guest, &n, call_back, any, 4), 0);
	EXPECT_EQ(n, -3);
}

TEST_F(NoneDeath, ExceptionsThatWouldCrossAGateEndTheProcess)
{
	int (*any)(int) = nullptr;

	ASSERT_EQ(lych_callback(&any, guest, Any, nullptr), 0);
	in_callback = [](int) -> int { throw 5; };
	EXPECT_DEATH(_exit(LYCH_CALL(guest, LYCH_NOTHING, throw_out)), "terminate");
	EXPECT_DEATH(
		{
			try {
				int n = 0;
				_exit(LYCH_CALL(guest, &n, call_back, any, 1));
			} catch (int) {
				_exit(0);
			}
		},
		"terminate");
}

TEST_F(NoneDeath, CallbacksAndPointersThatWereFreedTrap)
{
	int (*any)(int) = nullptr;
	long double (*half_of)(long double) = nullptr;

	ASSERT_EQ(lych_callback(&any, guest, Any, nullptr), 0);
	ASSERT_EQ(lych_callback_free(guest, reinterpret_cast<void (*)()>(any)), 0);
	EXPECT_DEATH(any(1), "");
	ASSERT_EQ(LYCH_POINTER(&half_of, guest, half), 0);
	ASSERT_EQ(lych_pointer_free(reinterpret_cast<void (*)()>(half_of)), 0);
	EXPECT_DEATH(half_of(1), "");
}

// ---- libraries

TEST_F(None, ZlibCompresses)
{
	lych_domain *z = Open("libz.so.1");
	const char text[] = "nine nine nine nine nine nine nine";
	unsigned char squeezed[200], again[200] = "";
	unsigned long bytes = sizeof(squeezed), back = sizeof(again), crc = 0;
	int n = -1;

	ASSERT_NE(z, nullptr);
	const unsigned char *in = static_cast<unsigned char *>(lych_copy_in(z, text, sizeof(text)));
	ASSERT_EQ(LYCH_CALL(z, &crc, crc32, 0, in, 9), 0);
	EXPECT_EQ(crc, 0xa524d03cu) << std::hex << crc;
	ASSERT_EQ(LYCH_CALL(z, &n, compress, squeezed, &bytes, in, sizeof(text)), 0);
	ASSERT_EQ(n, 0);
	ASSERT_EQ(LYCH_CALL(z, &n, uncompress, again, &back, squeezed, bytes), 0);
	EXPECT_EQ(n, 0);
	EXPECT_STREQ(reinterpret_cast<char *>(again), text);
	EXPECT_STREQ(lych_domain_name(z), "libz.so.1");
	EXPECT_EQ(lych_domain_free(z), 0);
}

TEST_F(None, SymbolsAreFoundByNameAndVersion)
{
	void *at = nullptr;
	int n = 11;

	ASSERT_EQ(lych_symbol(guest, &at, "guest_number", nullptr), 0);
	EXPECT_EQ(*static_cast<long *>(at), 42);
	EXPECT_EQ(lych_symbol(guest, &at, "no_such_thing", nullptr), -ENOENT);
	EXPECT_EQ(at, nullptr);
	EXPECT_NE(strstr(lych_why(), "no_such_thing"), nullptr) << lych_why();
	EXPECT_EQ(LYCH_CALL(guest, &n, nowhere, 1), -ENOENT);
	EXPECT_EQ(n, 11);
	EXPECT_EQ(lych_symbol(guest, &at, nullptr, nullptr), -EINVAL);
	EXPECT_EQ(lych_symbol(nullptr, &at, "sum0", nullptr), -EINVAL);
	lych_domain *plain = New();
	EXPECT_EQ(lych_symbol(plain, &at, "sum0", nullptr), -EINVAL);
	EXPECT_EQ(lych_load(plain, "libz.so.1"), -EINVAL);
	lych_domain *const opened = guest;
	long double (*half_of)(long double) = nullptr;
	guest = plain;
	EXPECT_EQ(LYCH_CALL(guest, nullptr, sum0), -EINVAL);
	guest = nullptr;
	EXPECT_EQ(LYCH_CALL(guest, nullptr, sum0), -EINVAL);
	EXPECT_EQ(LYCH_POINTER(&half_of, guest, half), -EINVAL);
	EXPECT_EQ(half_of, nullptr);
	guest = opened;
	EXPECT_EQ(lych_domain_free(plain), 0);
}

TEST_F(None, ALibraryIsLoadedOnceAndClosedWithItsDomain)
{
	lych_domain *z = Open("libz.so.1");
	void *at = nullptr;

	ASSERT_NE(z, nullptr);
	EXPECT_EQ(lych_symbol(z, &at, "deflate", nullptr), 0);
	EXPECT_EQ(lych_load(z, "libm.so.6"), 0);
	EXPECT_EQ(lych_load(z, "libm.so.6"), 0);
	EXPECT_EQ(lych_symbol(z, &at, "cbrt", nullptr), 0);
	EXPECT_EQ(lych_load(z, "no-such-library.so"), -ENOENT);
	EXPECT_NE(strstr(lych_why(), "no-such-library.so"), nullptr) << lych_why();
	EXPECT_EQ(lych_domain_free(z), 0);
	EXPECT_EQ(dlopen(NONE_APART "/libnone_needs.so", RTLD_NOW | RTLD_NOLOAD), nullptr);
}

TEST_F(None, DirectoriesOfSearchAreForTheLibraryAndWhatItNeeds)
{
	lych_library_opts opts = {};
	lych_domain *d = nullptr;
	void *at = nullptr;

	opts.size = sizeof(opts);
	EXPECT_EQ(lych_open(&d, "libnone_needs.so", &opts), -ENOENT);
	EXPECT_EQ(d, nullptr);
	opts.search = "/nowhere:" NONE_APART;
	opts.name = "apart";
	ASSERT_EQ(lych_open(&d, "libnone_needs.so", &opts), 0) << lych_why();
	ASSERT_EQ(lych_symbol(d, &at, "needs", nullptr), 0);
	EXPECT_EQ(reinterpret_cast<int (*)()>(at)(), 6);
	EXPECT_STREQ(lych_domain_name(d), "apart");
	EXPECT_EQ(lych_domain_free(d), 0);
}

TEST_F(None, SharesAndGrantsLookAtTheirArguments)
{
	lych_domain *z = Open("libz.so.1"), *vault = nullptr, *image = nullptr;
	lych_library_opts opts = {};
	struct lych_region *region = nullptr;
	auto *pages = static_cast<char *>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	ASSERT_NE(z, nullptr);
	opts.size = sizeof(opts);
	opts.vault = true;
	ASSERT_EQ(lych_open(&vault, "libz.so.1", &opts), 0);
	ASSERT_EQ(lych_domain_new(&image, nullptr), 0);
	EXPECT_EQ(lych_share(z, pages, 8192, LYCH_SHARE_READ), 0);
	*pages = 1; // nothing is closed
	EXPECT_EQ(lych_unshare(z, pages), 0);
	EXPECT_EQ(lych_share(z, pages, 8192, LYCH_SHARE_WRITE), 0);
	EXPECT_EQ(lych_share(z, pages + 1, 4096, LYCH_SHARE_WRITE), -EINVAL);
	EXPECT_EQ(lych_share(z, pages, 4095, LYCH_SHARE_WRITE), -EINVAL);
	EXPECT_EQ(lych_share(z, pages, 4096, 0), -EINVAL);
	EXPECT_EQ(lych_share(nullptr, pages, 4096, LYCH_SHARE_WRITE), -EINVAL);
	EXPECT_EQ(lych_share(image, pages, 4096, LYCH_SHARE_WRITE), -EINVAL) << "no library";
	EXPECT_EQ(lych_share(vault, pages, 4096, LYCH_SHARE_WRITE), -EACCES);
	EXPECT_EQ(lych_unshare(image, pages), -EINVAL);
	EXPECT_EQ(lych_unshare(z, nullptr), -EINVAL);
	ASSERT_EQ(lych_region_new(&region, 4096, nullptr), 0);
	EXPECT_EQ(lych_region_grant(region, vault, LYCH_GRANT_WRITE), 0);
	EXPECT_EQ(lych_region_grant(region, vault, static_cast<lych_grant>(3)), -EINVAL);
	EXPECT_EQ(lych_region_grant(nullptr, vault, LYCH_GRANT_READ), -EINVAL);
	EXPECT_EQ(lych_region_grant(region, nullptr, LYCH_GRANT_READ), -EINVAL);
	EXPECT_EQ(lych_region_free(region), 0);
	EXPECT_EQ(lych_copy_out(vault, pages, lych_strdup(vault, "x"), 1), -EACCES) << "as where there is isolation";
	EXPECT_EQ(lych_domain_free(image), 0);
	EXPECT_EQ(lych_domain_free(vault), 0);
	EXPECT_EQ(lych_domain_free(z), 0);
	munmap(pages, 8192);
}

TEST_F(None, WhatIsNoLibraryIsRefused)
{
	lych_library_opts opts = {};
	lych_domain *d = guest;

	EXPECT_EQ(lych_open(&d, "/etc/passwd", nullptr), -ENOEXEC);
	EXPECT_EQ(d, nullptr);
	EXPECT_EQ(lych_open(&d, "/nowhere/lib.so", nullptr), -ENOENT);
	EXPECT_EQ(lych_open(&d, nullptr, nullptr), -EINVAL);
	EXPECT_EQ(lych_open(nullptr, "libz.so.1", nullptr), -EINVAL);
	EXPECT_EQ(lych_open(&d, "libz.so.1", &opts), -EINVAL) << "size is 0";
	opts.size = sizeof(opts);
	opts.callbacks = 257;
	EXPECT_EQ(lych_open(&d, "libz.so.1", &opts), -EINVAL);
}

TEST_F(None, CodeInsideAllocatesFromItsDomain)
{
	void *block = nullptr;

	EXPECT_EQ(lych_inside_alloc(1), nullptr);
	EXPECT_EQ(errno, EPERM);
	ASSERT_EQ(LYCH_CALL(guest, &block, allocate_inside, 100), 0);
	ASSERT_NE(block, nullptr);
	EXPECT_EQ(static_cast<char *>(block)[99], 'i');
	EXPECT_EQ(lych_free(guest, block), 0);
	ASSERT_EQ(LYCH_CALL(guest, &block, allocate_inside, 100), 0);
	ASSERT_EQ(LYCH_CALL(guest, LYCH_NOTHING, free_inside, block), 0);
	EXPECT_EQ(lych_free(guest, block), -EINVAL);
}

TEST_F(None, ALibraryCannotBeReset)
{
	void *block = lych_alloc(guest, 10);

	EXPECT_EQ(lych_domain_reset(guest), -EOPNOTSUPP);
	EXPECT_NE(strstr(lych_why(), "none"), nullptr);
	EXPECT_EQ(lych_domain_cancel(guest), -EOPNOTSUPP);
	EXPECT_EQ(lych_free(guest, block), 0) << "nothing was changed";
}

// What sanitizers and valgrind have to find, or they have not looked (valgrind.sh).
TEST_F(NonePlanted, DISABLED_AWriteBehindABlock)
{
	char *block = static_cast<char *>(lych_alloc(guest, 10));

	EXPECT_EQ(LYCH_CALL(guest, nullptr, overflow, block, 10), 0);
}

TEST_F(NoneDeath, TheSanitizerSeesALibraryWriteBehindABlock)
{
	if (!NONE_ASAN) {
		GTEST_SKIP() << "no sanitizer";
	}
	char *block = static_cast<char *>(lych_alloc(guest, 10));
	int n = 0;

	EXPECT_EQ(LYCH_CALL(guest, &n, overflow, block, 9), 0);
	EXPECT_DEATH(_exit(LYCH_CALL(guest, &n, overflow, block, 10)), "heap-buffer-overflow");
}
