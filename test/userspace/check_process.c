/* SPDX-License-Identifier: Apache-2.0 */
/* What else glibc does with code of its own: ends threads, starts processes, sets keys, counts
 * where time is spent. */
#include "program.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- threads that end early ---- */

static atomic_int cleaned;

static void cleanup(void *arg)
{
	atomic_fetch_add(&cleaned, (int)(intptr_t)arg);
}

static void *waits(void *arg)
{
	pthread_cleanup_push(cleanup, (void *)1);
	for (;;) {
		if (arg == NULL) {
			pause();
		} else {
			pthread_testcancel();
		}
	}
	pthread_cleanup_pop(0);
	return NULL;
}

static void *runs_for_ever(void *arg)
{
	(void)arg;
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	pthread_cleanup_push(cleanup, (void *)1);
	for (;;) {
		__asm__ volatile("" ::: "memory");
	}
	pthread_cleanup_pop(0);
	return NULL;
}

static void *exits(void *arg)
{
	pthread_cleanup_push(cleanup, (void *)1);
	pthread_exit(arg);
	pthread_cleanup_pop(0);
	return NULL;
}

void check_cancel(void)
{
	static void *(*const bodies[])(void *) = {waits, waits, runs_for_ever, exits};
	static void *const args[] = {NULL, (void *)1, NULL, (void *)5};

	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 4; i++) {
			pthread_t thread;
			void *result = NULL;

			CHECK(pthread_create(&thread, NULL, bodies[i], args[i]) == 0);
			if (bodies[i] != exits) {
				if (round % 2 == 1) {
					usleep(1000);
				}
				CHECK(pthread_cancel(thread) == 0);
			}
			CHECK(pthread_join(thread, &result) == 0);
			CHECK(result == (bodies[i] == exits ? (void *)5 : PTHREAD_CANCELED));
		}
	}
	/* One that was canceled before it ran has nothing to clean up. */
	CHECK(atomic_load(&cleaned) >= 8 && atomic_load(&cleaned) <= 32);
}

/* ---- processes ---- */

static void expect_end(pid_t pid, int code)
{
	int status = -1;

	CHECK(pid > 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != code) {
		fail("a child ended with status %#x instead of exit code %d", (unsigned int)status,
		     code);
	}
}

extern char **environ;

static pid_t by_vfork(char **argv)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execv(argv[0], argv);
		_exit(45);
	}
	return pid;
}

static atomic_int interrupted;

static void on_interrupt(int number)
{
	(void)number;
	atomic_fetch_add(&interrupted, 1);
}

void check_processes(void)
{
	struct sigaction action = {.sa_handler = on_interrupt};
	char *argv[18] = {NULL};
	pid_t pid;

	CHECK(sigaction(SIGINT, &action, NULL) == 0 && sigaction(SIGQUIT, &action, NULL) == 0);
	for (int i = 0; i < program.again_name; i++) {
		argv[i] = program.again[i];
	}
	argv[program.again_name] = (char *)"nothing";
	for (int round = 0; round < 3; round++) {
		pid = fork();
		if (pid == 0) {
			/* A child goes on binding. */
			check_registers();
			check_late();
			_exit(44);
		}
		expect_end(pid, 44);
		expect_end(by_vfork(argv), 0);
		argv[0][0] ^= 1;
		expect_end(by_vfork(argv), 45);
		argv[0][0] ^= 1;
		CHECK(posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) == 0);
		expect_end(pid, 0);
		if (access("/bin/sh", X_OK) == 0) {
			CHECK(system("exit 7") == 7 << 8);
		}
		/* system() has had these ignored, behind the runtime's back, and put back. */
		CHECK(raise(SIGINT) == 0 && raise(SIGQUIT) == 0 &&
		      atomic_load(&interrupted) == 2 * (round + 1));
	}
	check_registers();
}

/* ---- keys ---- */

/* What the kernel may do with memory is what the thread may. */
static bool writable(void *page)
{
	int fds[2], rc;

	CHECK(pipe(fds) == 0);
	CHECK(write(fds[1], "x", 1) == 1);
	rc = (int)read(fds[0], page, 1);
	CHECK(rc == 1 || errno == EFAULT);
	close(fds[0]);
	close(fds[1]);
	return rc == 1;
}

static bool readable(const void *page)
{
	int fds[2], rc;

	CHECK(pipe(fds) == 0);
	rc = (int)write(fds[1], page, 1);
	CHECK(rc == 1 || errno == EFAULT);
	close(fds[0]);
	close(fds[1]);
	return rc == 1;
}

typedef int set_fn(int key, unsigned int rights);

static void use_key(set_fn *set, void *page, int key)
{
	CHECK(set(key, 0) == 0 && pkey_get(key) == 0);
	CHECK(readable(page) && writable(page));
	*(volatile char *)page = 1;
	CHECK(set(key, PKEY_DISABLE_WRITE) == 0 && pkey_get(key) == PKEY_DISABLE_WRITE);
	CHECK(readable(page) && !writable(page));
	CHECK(set(key, PKEY_DISABLE_ACCESS) == 0 && pkey_get(key) == PKEY_DISABLE_ACCESS);
	CHECK(!readable(page) && !writable(page));
	CHECK(set(key, 3) == 0 && pkey_get(key) == 3);
	errno = 0;
	CHECK(set(-1, 0) == -1 && errno == EINVAL);
	errno = 0;
	CHECK(set(key, 4) == -1 && errno == EINVAL);
	errno = 0;
	CHECK(set(16, 0) == -1 && errno == EINVAL);
	CHECK(set(key, 0) == 0);
}

void check_pkeys(void)
{
	int key = pkey_alloc(0, PKEY_DISABLE_WRITE);
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *libc = dlopen("libc.so.6", RTLD_LAZY);
	set_fn *of_libc;

	if (key < 0) {
		skip("no protection keys here: pkey_alloc: %s", strerror(errno));
	}
	CHECK(page != MAP_FAILED && libc != NULL);
	*(void **)&of_libc = symbol_of(libc, "pkey_set");
	CHECK(pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, key) == 0);
	CHECK(readable(page) && !writable(page));
	/* The one that this program is bound to, and the one of the C library. */
	use_key(pkey_set, page, key);
	use_key(of_libc, page, key);
	CHECK(munmap(page, 4096) == 0);
	CHECK(pkey_free(key) == 0);
	errno = 0;
	CHECK(pkey_free(key) == -1 && errno == EINVAL);
}

/* ---- profil ---- */

#define BUCKETS 64

__attribute__((noinline, aligned(4096))) static void spins(void)
{
	for (int i = 0; i < 100000; i++) {
		__asm__ volatile("" ::: "memory");
	}
}

static volatile unsigned short counts[BUCKETS];

static unsigned int counted(void)
{
	unsigned int sum = 0;

	for (int i = 0; i < BUCKETS; i++) {
		sum += counts[i];
	}
	return sum;
}

/* As a program does that was compiled with -pg: a bucket for each two bytes. Its signals have a
 * handler of glibc's. */
void prepare_profil(void)
{
	CHECK(profil((unsigned short *)counts, sizeof(counts), (size_t)spins, 65536) == 0);
	while (counted() < 2) {
		spins();
	}
}

void check_profil(void)
{
	unsigned short *volatile none = NULL;

	for (unsigned int before = counted(); counted() < before + 3;) {
		spins();
	}
	check_registers();
	CHECK(profil(none, 0, 0, 0) == 0);
	check_chosen();
}
