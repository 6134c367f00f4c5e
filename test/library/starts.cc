// SPDX-License-Identifier: Apache-2.0
// Libraries whose constructor starts threads, which work for it ever after. STARTS_POOL: how many.
#include "starts.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <ctime>

#ifndef STARTS_POOL
#define STARTS_POOL 3
#endif

namespace {

std::atomic<int> asked, done, wrong, ready;

void sees(bool right)
{
	if (!right) {
		wrong++;
	}
}

/* ---- one that sleeps */

void *sleeps(void *)
{
	const timespec ms = {0, 1000000};

	for (;;) {
		done.store(asked);
		nanosleep(&ms, nullptr);
	}
}

/* ---- those that wait for work */

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t work = PTHREAD_COND_INITIALIZER, finished = PTHREAD_COND_INITIALIZER;
long posted, taken, sum, ended;
thread_local long mine = 4711;

void *works(void *arg)
{
	const long tid = syscall(SYS_gettid), number = reinterpret_cast<long>(arg);
	pthread_mutex_t checked;
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&checked, &attr);
	mine += number;
	pthread_mutex_lock(&checked);
	pthread_mutex_lock(&mutex);
	ready++;
	for (;;) {
		while (taken == posted) {
			pthread_cond_wait(&work, &mutex);
		}
		long job = ++taken;
		sum += job;
		pthread_mutex_unlock(&mutex);
		sees(syscall(SYS_gettid) == tid && mine == 4711 + number);
		// It owns it as itself, and nobody else does.
		sees(pthread_mutex_lock(&checked) == EDEADLK && pthread_mutex_unlock(&checked) == 0 &&
		     pthread_mutex_lock(&checked) == 0);
		sched_yield();
		pthread_mutex_lock(&mutex);
		ended++;
		pthread_cond_signal(&finished);
	}
}

/* ---- one that makes no system call, and has something in each register */

volatile uint64_t rounds;

void *spins(void *)
{
	static const uint64_t pattern[2] = {0x0123456789abcdef, 0xfedcba9876543210};

	ready++;
	__asm__ volatile("movdqu (%0), %%xmm0\n\t"
			 "movdqu (%0), %%xmm7\n\t"
			 "movdqu (%0), %%xmm15\n\t"
			 "mov $0x1122334455667788, %%r12\n\t"
			 "mov $0x8877665544332211, %%r11\n\t"
			 "mov $0x5a5a5a5a5a5a5a5a, %%rcx\n\t"
			 "fld1\n\t"
			 "1: incq %1\n\t"
			 "mov $0x1122334455667788, %%rax\n\t"
			 "cmp %%rax, %%r12\n\t"
			 "jne 2f\n\t"
			 "mov $0x8877665544332211, %%rax\n\t"
			 "cmp %%rax, %%r11\n\t"
			 "jne 2f\n\t"
			 "mov $0x5a5a5a5a5a5a5a5a, %%rax\n\t"
			 "cmp %%rax, %%rcx\n\t"
			 "jne 2f\n\t"
			 "movdqu (%0), %%xmm1\n\t"
			 "pcmpeqb %%xmm0, %%xmm1\n\t"
			 "movdqa %%xmm1, %%xmm2\n\t"
			 "movdqu (%0), %%xmm1\n\t"
			 "pcmpeqb %%xmm7, %%xmm1\n\t"
			 "pand %%xmm1, %%xmm2\n\t"
			 "movdqu (%0), %%xmm1\n\t"
			 "pcmpeqb %%xmm15, %%xmm1\n\t"
			 "pand %%xmm1, %%xmm2\n\t"
			 "pmovmskb %%xmm2, %%eax\n\t"
			 "cmp $0xffff, %%eax\n\t"
			 "jne 2f\n\t"
			 "fld1\n\t"
			 "fcomip %%st(1), %%st\n\t"
			 "je 1b\n\t"
			 "2:"
			 :
			 : "r"(pattern), "m"(rounds)
			 : "rax", "rcx", "r11", "r12", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm7", "xmm15");
	wrong += 1000;
	return nullptr;
}

/* ---- one that waits in the kernel for ever, and one that makes others all the time */

void *polls(void *)
{
	ready++;
	poll(nullptr, 0, -1);
	wrong += 1000;
	return nullptr;
}

std::atomic<int> made;

void *nothing(void *arg)
{
	return arg;
}

void *makes(void *)
{
	ready++;
	for (;;) {
		pthread_t thread;

		if (pthread_create(&thread, nullptr, nothing, nullptr) == 0) {
			pthread_join(thread, nullptr);
			made++;
		}
	}
}

void pause_for_ever()
{
	for (;;) {
		poll(nullptr, 0, -1);
	}
}

void begin(void *(*fn)(void *), long arg)
{
	pthread_t thread;
	int rc = pthread_create(&thread, nullptr, fn, reinterpret_cast<void *>(arg));

	sees(rc == 0);
	if (rc == 0) {
		pthread_detach(thread);
	}
}

#ifdef STARTS_MAPS
/* One that maps code, of which the host is told: it is in that system call as long as the host likes. */
constexpr size_t mapped_bytes = 4096;
void *mapped_at;
std::atomic<int> mapped_file{-1};
std::atomic<bool> mapped;

void *maps(void *)
{
	while (mapped_file < 0) {
		sched_yield();
	}
	sees(mmap(mapped_at, mapped_bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, mapped_file, 0) == mapped_at);
	mapped = true;
	for (;;) {
		poll(nullptr, 0, -1);
	}
}

/* Until the file is there: from then on the thread comes to the host, or waits there. */
void start_mapping()
{
	unsigned char pages = 0;
	Dl_info info;

	begin(maps, 0);
	mapped_at = mmap(nullptr, mapped_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(mapped_at, mapped_bytes);
	/* A lock of the loader's is this thread's as long as it loads: only here can it be asked. */
	mapped_file = dladdr(reinterpret_cast<void *>(starts_ask), &info) != 0 ? open(info.dli_fname, O_RDONLY) : -1;
	while (mincore(mapped_at, mapped_bytes, &pages) != 0) {
		sched_yield();
	}
}
#endif

#ifdef STARTS_FAULTS
void *faults(void *)
{
	starts_fault();
	return nullptr;
}
#endif

} // namespace

void starts_loop(void)
{
	for (volatile int i = 0;; i++) {
	}
}

void starts_wait(void)
{
	pause_for_ever();
}

namespace {

__attribute__((constructor)) void start()
{
#ifdef STARTS_LOOPS
	starts_loop();
#endif
#ifdef STARTS_SLOW
	const timespec half = {0, 500000000};
	nanosleep(&half, nullptr);
	return;
#endif
#ifdef STARTS_FAULTS
	begin(faults, 0);
	pause_for_ever();
#endif
#ifdef STARTS_MAPS
	start_mapping();
#endif
	begin(sleeps, 0);
	begin(spins, 0);
	begin(polls, 0);
#ifdef STARTS_MAKES
	begin(makes, 0);
#endif
	for (long i = 0; i < STARTS_POOL; i++) {
		begin(works, i);
	}
}

} // namespace

/* Until the thread has answered, but for 20 seconds at most. */
int starts_ask(void)
{
	const timespec ms = {0, 1000000};
	int n = ++asked;

	for (int i = 0; i < 20000 && done != n; i++) {
		nanosleep(&ms, nullptr);
	}
	return done == n ? n : -1;
}

long starts_sum(int jobs)
{
	pthread_mutex_lock(&mutex);
	sum = ended = 0;
	posted = jobs;
	taken = 0;
	pthread_cond_broadcast(&work);
	while (ended != jobs) {
		pthread_cond_wait(&finished, &mutex);
	}
	posted = taken = 0;
	long result = sum;
	pthread_mutex_unlock(&mutex);
	return result;
}

uint64_t starts_rounds(uint64_t more)
{
	const uint64_t before = rounds;

	while (rounds - before < more && wrong == 0) {
		sched_yield();
	}
	return rounds;
}

int starts_made(int more)
{
	const int before = made;

	while (made - before < more) {
		sched_yield();
	}
	return made;
}

int starts_mapped(void)
{
#ifdef STARTS_MAPS
	return mapped;
#else
	return 1;
#endif
}

int starts_wrong(void)
{
	return wrong;
}

void starts_fault(void)
{
	*static_cast<volatile int *>(nullptr) = 1;
}
