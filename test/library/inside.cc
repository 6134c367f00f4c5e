// SPDX-License-Identifier: Apache-2.0
#include "inside.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

int inside_value;

namespace {

thread_local int counted;

__attribute__((constructor)) void construct()
{
	inside_value = 41;
}

struct Part {
	pthread_mutex_t *lock;
	long *sum;
	int n;
};

void *add_up(void *arg)
{
	auto *part = static_cast<Part *>(arg);

	for (int i = 1; i <= part->n; i++) {
		pthread_mutex_lock(part->lock);
		*part->sum += i;
		pthread_mutex_unlock(part->lock);
	}
	return arg;
}

} // namespace

int inside_add(int a, int b)
{
	return a + b;
}

double inside_mean(double a, double b, int n)
{
	return (a + b) / n;
}

int inside_count()
{
	return ++counted;
}

int inside_meet(int n)
{
	static int here;

	__atomic_fetch_add(&here, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&here, __ATOMIC_SEQ_CST) < n) {
		sched_yield();
	}
	return counted;
}

int inside_next_value()
{
	return ++inside_value;
}

long inside_allocate(size_t bytes)
{
	auto *at = static_cast<unsigned char *>(malloc(bytes));
	long sum = 0;

	if (at == nullptr) {
		return -1;
	}
	memset(at, 1, bytes);
	for (size_t i = 0; i < bytes; i += 4096) {
		sum += at[i];
	}
	free(at);
	return sum;
}

char *inside_text(const char *name)
{
	char *out = nullptr;

	return asprintf(&out, "hello, %s: %.3f", name, 0.5) > 0 ? out : nullptr;
}

int inside_apply(int (*fn)(int), int n)
{
	int sum = 0;

	for (int i = 0; i < n; i++) {
		sum += fn(i);
	}
	return sum;
}

int inside_sort(int *values, size_t n, int (*compare)(const void *, const void *))
{
	qsort(values, n, sizeof(*values), compare);
	return values[0];
}

int inside_errno_of_open(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0) {
		return errno;
	}
	close(fd);
	return 0;
}

long inside_thread_sum(int threads, int n)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	std::vector<pthread_t> ids(static_cast<size_t>(threads));
	long sum = 0;
	Part part = {&lock, &sum, n};

	for (auto &id : ids) {
		int rc = pthread_create(&id, nullptr, add_up, &part);
		if (rc != 0) {
			return -rc;
		}
	}
	for (auto &id : ids) {
		void *result = nullptr;
		pthread_join(id, &result);
		if (result != &part) {
			return -1;
		}
	}
	return sum;
}

struct inside_large inside_large_of(long first)
{
	struct inside_large large;

	for (long &word : large.words) {
		word = first++;
	}
	return large;
}

void inside_sum_to(const unsigned char *from, size_t bytes, long *to)
{
	long sum = 0;

	for (size_t i = 0; i < bytes; i++) {
		sum += from[i];
	}
	*to = sum;
}

int inside_cpp(int n)
{
	int caught = 0;

	for (int i = 0; i < n; i++) {
		try {
			throw std::runtime_error(std::to_string(i));
		} catch (const std::exception &e) {
			caught += e.what() == std::to_string(i) ? 1 : 0;
		}
	}
	return caught;
}

int inside_peek(const volatile unsigned char *at)
{
	return *at;
}

void inside_poke(volatile unsigned char *at)
{
	*at = 0x5a;
}

void inside_abort()
{
	abort();
}

void inside_exit(int status)
{
	exit(status);
}

int inside_recurse(int depth)
{
	volatile char room[4096];

	room[depth % 4096] = 1;
	return inside_recurse(depth + 1) + room[depth % 4096];
}

void inside_loop()
{
	for (volatile int i = 0;; i++) {
	}
}

void inside_loop_from(int *here)
{
	__atomic_store_n(here, 1, __ATOMIC_SEQ_CST);
	inside_loop();
}

void inside_loop_without_signals()
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, nullptr);
	for (volatile int i = 0;; i++) {
	}
}

void inside_throw()
{
	throw std::runtime_error("nobody catches it");
}

int inside_divide(int a, int b)
{
	return a / b;
}

void inside_smash(size_t bytes)
{
	volatile char small[16];

	for (size_t i = 0; i < bytes; i++) {
		small[i] = static_cast<char>(i);
	}
}

long inside_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	long rc;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(rc)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return rc;
}
