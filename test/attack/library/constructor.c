/* SPDX-License-Identifier: Apache-2.0 */
/* A library that attacks while it is loaded. It knows nothing of where things are: what it was told is kept for the host to see. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>

#include "inner.h"
#include "stub.h"

extern char **environ;

long constructor_told[16];
long constructor_told_count;
long constructor_environment; /* bytes of it, and whether a secret of the host's is in it */
long constructor_secret;

static void tell(long rc)
{
	constructor_told[constructor_told_count++] = rc;
}

static void environment(void)
{
	for (char **e = environ; e != NULL && *e != NULL; e++) {
		constructor_environment += (long)strlen(*e);
		constructor_secret |= strstr(*e, "hunter2") != NULL;
	}
}

__attribute__((constructor)) static void first(void)
{
	long page = raw(SYS_mmap, 0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	environment();
	tell(raw(SYS_open, "/proc/self/mem", O_RDWR));
	tell(raw(SYS_open, "/proc/self/environ", O_RDONLY));
	tell(raw(SYS_open, "/etc/passwd", O_RDONLY));
	tell(raw(SYS_open, "/lib/../etc/passwd", O_RDONLY));
	tell(raw(SYS_open, "/lib/x86_64-linux-gnu/written", O_RDWR | O_CREAT, 0600));
	tell(raw(SYS_memfd_create, "two", 0));
	tell(raw(SYS_pkey_alloc, 0, 0));
	tell(raw(SYS_prctl, 59, 0, 0, 0, 0));
	tell(raw(SYS_mprotect, page, 4096, 7));
	long child = raw(SYS_fork);
	if (child == 0) {
		raw(SYS_exit_group, 0);
	}
	tell(child);
	tell(raw(SYS_kill, raw(SYS_getpid), SIGURG));
}

#ifdef CONSTRUCTOR_FAULTS
__attribute__((constructor(200))) static void faults(void)
{
	*(volatile int *)8 = 1;
}
#endif
#ifdef CONSTRUCTOR_EXITS
__attribute__((constructor(200))) static void exits(void)
{
	raw(SYS_exit_group, 0);
}
#endif
/* What only the program that loads it has to say: that it is ready, with a table of functions; that a thread waits. */
#ifdef CONSTRUCTOR_READY
__attribute__((constructor(200))) static void ready(void)
{
	struct stub_table table;
	uint64_t *words = (uint64_t *)&table;

	for (unsigned i = 1; i < sizeof(table) / sizeof(uint64_t); i++) {
		words[i] = (uint64_t)(uintptr_t)constructor_told;
	}
	table.bytes = sizeof(table);
	raw(LYCH_SYS_INSIDE, INSIDE_READY, &table);
	raw(SYS_exit_group, 0);
}
#endif
#ifdef CONSTRUCTOR_PARKS
__attribute__((constructor(200))) static void parks(void)
{
	raw(LYCH_SYS_INSIDE, INSIDE_BEGIN, 0);
	raw(LYCH_SYS_INSIDE, INSIDE_READY, 8);
	raw(LYCH_SYS_INSIDE, INSIDE_PARK, 0);
	raw(SYS_exit_group, 0);
}
#endif
