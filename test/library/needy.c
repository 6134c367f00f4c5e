/* SPDX-License-Identifier: Apache-2.0 */
/* Libraries with a constructor that needs something: NEEDS_... says which one this is. For `lychgate try`. */
#include <pthread.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/socket.h>

#define HIDDEN __attribute__((noinline, noipa))

#ifdef NEEDS_CALLS
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void *wait_forever(void *arg)
{
	pthread_mutex_lock(&held);
	return arg;
}

__attribute__((constructor)) static void needy_construct(void)
{
	pthread_t thread;

	pthread_mutex_lock(&held);
	for (int i = 0; i < 3; i++) {
		if (socket(AF_INET, SOCK_STREAM, 0) >= 0) {
			fprintf(stderr, "a socket\n");
		}
	}
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	if (pthread_create(&thread, NULL, wait_forever, NULL) != 0) {
		fprintf(stderr, "no thread\n");
	}
	fprintf(stderr, "\033[2Jneedy\n");
}
#endif

#ifdef NEEDS_NULL
void needy_write(volatile int *at);
HIDDEN void needy_write(volatile int *at)
{
	*at = 1;
}

__attribute__((constructor)) static void needy_construct(void)
{
	needy_write(NULL);
}
#endif

#ifdef NEEDS_TIME
__attribute__((constructor)) static void needy_construct(void)
{
	for (volatile int i = 0;; i++) {
	}
}
#endif
