/* SPDX-License-Identifier: Apache-2.0 */
// No C++ exception, no forced unwinding and no longjmp of a domain's crosses a gate. One thrown in a domain ends the call as std::terminate
// does there; one that would leave a callback ends the process, before anything of the domain is run with the host's
// rights. With keys where there are some, else with the mprotect backend; each in a child, which may end.
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace
{

// What the child saw.
struct Seen {
	int status, kind, caught, cleaned, after, inner, result, landed;
};

Seen *seen;
lych_domain *domain;

struct Cleanup {
	~Cleanup()
	{
		seen->cleaned++;
	}
};

void Start()
{
	lych_init_opts opts = {};
	int key = pkey_alloc(0, 0);

	opts.size = sizeof(opts);
	opts.backend = key >= 0 || getenv("LYCH_REQUIRE_PKU") != nullptr ? LYCH_PKU : LYCH_MPROTECT;
	pkey_free(key);
	if (lych_init(&opts) != 0 || lych_domain_new(&domain, nullptr) != 0) {
		fprintf(stderr, "%s\n", lych_why());
		_exit(98);
	}
}

// Runs code in a child; its wait status.
template <typename Code> int Child(Code code)
{
	void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = -1;

	seen = new (page) Seen{};
	pid_t pid = fork();
	if (pid == 0) {
		Start();
		code();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

int Throws(int value)
{
	Cleanup cleanup;
	throw value;
}

int ThrowsAndCatches(int value)
{
	try {
		throw std::runtime_error("inside");
	} catch (const std::exception &) {
		return value + 1;
	}
}

int EndsItsThread(int value)
{
	Cleanup cleanup;
	pthread_exit(nullptr);
	return value;
}

// In a domain: would catch whatever the host throws.
int CatchesWhatComes(int (*back)(int))
{
	Cleanup cleanup;
	try {
		return back(1);
	} catch (...) {
		seen->caught++;
		return -1;
	}
}

int CallbackThrows(int value)
{
	throw value;
}

int CallbackThrowsAndCatches(int value)
{
	try {
		return Throws(value);
	} catch (int got) {
		return got + 10;
	}
}

int CallbackEndsItsThread(int value)
{
	pthread_exit(nullptr);
	return value;
}

// What png_error and its like do: back to who has set the mark, over whatever was called since.
void *mark[5];

__attribute__((noinline, noipa)) int GoesToTheMark(int value)
{
	if (value != 0) {
		__builtin_longjmp(mark, 1);
	}
	return 1;
}

__attribute__((noinline, noipa)) int SetsTheMark(int (*back)(int), int value)
{
	if (__builtin_setjmp(mark) == 0) {
		return back(value);
	}
	seen->landed++;
	return 77;
}

LYCH_BIND(domain, GoesToTheMark, int, (int));
LYCH_BIND(domain, SetsTheMark, int, (int (*)(int), int));
LYCH_BIND(domain, Throws, int, (int));
LYCH_BIND(domain, ThrowsAndCatches, int, (int));
LYCH_BIND(domain, EndsItsThread, int, (int));
LYCH_BIND(domain, CatchesWhatComes, int, (int (*)(int)));
int CallbackGoesToTheMark(int value)
{
	seen->result = 5;
	seen->inner = LYCH_CALL(domain, &seen->result, GoesToTheMark, value);
	return 3;
}

LYCH_CALLBACK(CallbackGoesToTheMark, int, (int));
LYCH_CALLBACK(CallbackThrows, int, (int));
LYCH_CALLBACK(CallbackThrowsAndCatches, int, (int));
LYCH_CALLBACK(CallbackEndsItsThread, int, (int));

// The host goes on: what the next call says.
void After()
{
	int sum = 0;

	seen->kind = lych_fault(domain)->kind;
	if (lych_domain_reset(domain) == 0 && LYCH_CALL(domain, &sum, ThrowsAndCatches, 41) == 0) {
		seen->after = sum;
	}
}

} // namespace

TEST(Exceptions, ThrownInADomainEndTheCallAndNobodyCatchesThem)
{
	int status = Child([] {
		try {
			seen->status = LYCH_CALL(domain, nullptr, Throws, 5);
		} catch (...) {
			seen->caught++;
		}
		After();
	});

	EXPECT_EQ(status, 0);
	EXPECT_EQ(seen->status, -EFAULT);
	EXPECT_EQ(seen->kind, LYCH_FAULT_ABORT);
	EXPECT_EQ(seen->caught, 0);
	EXPECT_EQ(seen->cleaned, 0);
	EXPECT_EQ(seen->after, 42);
}

TEST(Exceptions, ThrownAndCaughtOnOneSideOfAGateAreNobodysBusiness)
{
	int status = Child([] {
		int (*back)(int), sum = 0;
		seen->status = LYCH_CALL(domain, &seen->after, ThrowsAndCatches, 41);
		if (lych_callback(&back, domain, CallbackThrowsAndCatches, nullptr) != 0 ||
		    LYCH_CALL(domain, &sum, CatchesWhatComes, back) != 0 || sum != 11) {
			_exit(1);
		}
	});

	EXPECT_EQ(status, 0);
	EXPECT_EQ(seen->status, 0);
	EXPECT_EQ(seen->after, 42);
	EXPECT_EQ(seen->caught, 0);
	EXPECT_EQ(seen->cleaned, 2);
}

TEST(Exceptions, ThatWouldLeaveACallbackEndTheProcessBeforeTheDomainSeesThem)
{
	int status = Child([] {
		int (*back)(int);
		if (lych_callback(&back, domain, CallbackThrows, nullptr) != 0) {
			_exit(1);
		}
		seen->status = LYCH_CALL(domain, nullptr, CatchesWhatComes, back);
	});

	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << "status " << status;
	EXPECT_EQ(seen->caught, 0);
	EXPECT_EQ(seen->cleaned, 0);
}

TEST(Exceptions, AThreadThatEndsItselfInADomainEndsTheCall)
{
	int status = Child([] {
		seen->status = LYCH_CALL(domain, nullptr, EndsItsThread, 5);
		After();
	});

	EXPECT_EQ(status, 0);
	EXPECT_EQ(seen->status, -EFAULT);
	EXPECT_EQ(seen->kind, LYCH_FAULT_ABORT);
	EXPECT_EQ(seen->after, 42);
}

TEST(Exceptions, AThreadThatEndsItselfInACallbackEndsTheProcess)
{
	int status = Child([] {
		int (*back)(int);
		if (lych_callback(&back, domain, CallbackEndsItsThread, nullptr) != 0) {
			_exit(1);
		}
		seen->status = LYCH_CALL(domain, nullptr, CatchesWhatComes, back);
	});

	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << "status " << status;
	EXPECT_EQ(seen->caught, 0);
	EXPECT_EQ(seen->cleaned, 0);
}

// Below the call that was left another one returns: its value is not taken for what the upper one has returned.
TEST(Longjmps, OfADomainOverACallbackEndTheCallThatIsLeft)
{
	for (int value : {0, 1}) {
		int status = Child([value] {
			int (*back)(int);
			if (lych_callback(&back, domain, CallbackGoesToTheMark, nullptr) != 0) {
				_exit(1);
			}
			seen->caught = 9;
			seen->status = LYCH_CALL(domain, &seen->caught, SetsTheMark, back, value);
			After();
		});

		EXPECT_EQ(status, 0);
		EXPECT_EQ(seen->landed, value);
		EXPECT_EQ(seen->inner, value == 0 ? 0 : -EFAULT);
		EXPECT_EQ(seen->result, value == 0 ? 1 : 5);
		EXPECT_EQ(seen->status, value == 0 ? 0 : -ECANCELED);
		EXPECT_EQ(seen->caught, value == 0 ? 3 : 9);
		EXPECT_EQ(seen->kind, value == 0 ? LYCH_FAULT_NONE : LYCH_FAULT_GATE);
		EXPECT_EQ(seen->after, 42) << "a reset, and it works";
	}
}
