/* SPDX-License-Identifier: Apache-2.0 */
/* What libraries may have: constructors, thread-local data, functions chosen when they are loaded, destructors. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/auxv.h>

#define SHOWN __attribute__((visibility("default")))

extern char **environ;

SHOWN int library_constructed = 1;
SHOWN __thread long library_tls = 41;
static __thread char large[100000];
static pthread_key_t key;
static long *left_at, *ended_at;

__attribute__((constructor)) static void construct(void)
{
	library_constructed += 41;
}

__attribute__((destructor)) static void destruct(void)
{
	if (left_at != NULL) {
		(*left_at)++;
	}
}

static void end_thread(void *at)
{
	*(long *)at += 1 + (long)(large[0] != 0);
}

static int chosen(void)
{
	return 7;
}

static int (*choose(void))(void)
{
	return chosen;
}
SHOWN int library_chosen(void) __attribute__((ifunc("choose")));

/* The C library has one of this name, too. */
SHOWN int getopt(int argc, char *const argv[], const char *options)
{
	(void)argc;
	(void)argv;
	(void)options;
	return 12345;
}

SHOWN int library_needed(void)
{
	return 3;
}

SHOWN long library_count(void)
{
	return ++library_tls;
}

SHOWN int library_errno(int value)
{
	int before = errno;

	errno = value;
	return before;
}

/* Counted when a destructor of the library, and of the calling thread, runs. */
SHOWN int library_tell(long *left, long *ended)
{
	left_at = left;
	ended_at = ended;
	large[0] = 1;
	return (key != 0 ? 0 : pthread_key_create(&key, end_thread)) + pthread_setspecific(key, ended_at);
}

SHOWN const char *library_environment(unsigned i)
{
	return environ[i];
}

SHOWN unsigned long library_auxv(unsigned long type)
{
	errno = 0;
	return getauxval(type);
}
