/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stub: the program that the dynamic loader of a library domain starts, inside the domain. It says that it is
 * ready, never to come back from that; what the runtime wants of it afterwards it calls through the gate. It needs
 * the C library only, and nothing of it that is newer than 2.34.
 */
#include "stub.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "../policy.h"

/* For thread-local data of what ld.so itself has loaded, and for destructors of thread-local data: the stack of a
 * thread that has parked is used for nothing else. */
#define STACK_BYTES ((size_t)64 << 10)
#define LOADED_MAX 256 /* libraries that are asked for a symbol by themselves; more are found with all that is there */

void stub_park(uint64_t *parked, long nr, long what);
_Noreturn void stub_unpark(uint64_t parked);

static void *loaded[LOADED_MAX];
static size_t nloaded;
static __thread uint64_t parked; /* of a thread that has parked; 0: of one that has not */

static bool holds(const char *text, const char *words)
{
	for (; *text != '\0'; text++) {
		size_t i = 0;

		while (words[i] != '\0' && text[i] == words[i]) {
			i++;
		}
		if (words[i] == '\0') {
			return true;
		}
	}
	return false;
}

/*
 * dlerror's text is all there is to tell one reason from another. Nobody has set a locale, and there is none in the
 * environment. Arrays of characters: pointers would be relocated, which linkers do in ways that older loaders do
 * not know.
 */
static const char of_memory[][16] = {"annot allocate", "annot create", "out of memory"};
static const char of_missing[][32] = {"cannot open shared object file", "not defined in file", "not found",
				      "undefined symbol"};

static int reason(const char *text)
{
	for (size_t i = 0; i < sizeof(of_memory) / sizeof(of_memory[0]); i++) {
		if (holds(text, of_memory[i])) {
			return ENOMEM;
		}
	}
	for (size_t i = 0; i < sizeof(of_missing) / sizeof(of_missing[0]); i++) {
		if (holds(text, of_missing[i])) {
			return ENOENT;
		}
	}
	return ENOEXEC;
}

/* Threads may load at the same time: what is being remembered is NULL for a moment, which finds nothing of its own. */
static size_t count(void)
{
	size_t n = __atomic_load_n(&nloaded, __ATOMIC_ACQUIRE);

	return n < LOADED_MAX ? n : LOADED_MAX;
}

static void remember(void *handle)
{
	size_t n = count();

	for (size_t i = 0; i < n; i++) {
		if (loaded[i] == handle) {
			return;
		}
	}
	if (n < LOADED_MAX) {
		n = __atomic_fetch_add(&nloaded, 1, __ATOMIC_ACQ_REL);
	}
	if (n < LOADED_MAX) {
		loaded[n] = handle;
	}
}

static int load(const char *path, char *why, uint64_t why_bytes)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	const char *text = "";
	int err = 0;
	uint64_t i = 0;

	if (handle == NULL) {
		text = dlerror();
		text = text != NULL ? text : "out of memory";
		err = reason(text);
	} else {
		remember(handle);
	}
	if (why_bytes != 0) {
		for (; i < why_bytes - 1 && text[i] != '\0'; i++) {
			why[i] = text[i];
		}
		why[i] = '\0';
	}
	return err;
}

static void *find(void *handle, const char *name, const char *version)
{
	return version != NULL ? dlvsym(handle, name, version) : dlsym(handle, name);
}

/* Is it the library's own, and not of one that it needs? A handle is the library's link map. */
static bool own(void *handle, void *at)
{
	Dl_info info;
	void *map = NULL;

	return dladdr1(at, &info, &map, RTLD_DL_LINKMAP) != 0 && map == handle;
}

static void *symbol(const char *name, const char *version)
{
	const size_t n = count();
	void *at;

	for (size_t i = 0; i < n; i++) {
		at = find(loaded[i], name, version);
		if (at != NULL && own(loaded[i], at)) {
			return at;
		}
	}
	for (size_t i = 0; i < n; i++) {
		at = find(loaded[i], name, version);
		if (at != NULL) {
			return at;
		}
	}
	return find(RTLD_DEFAULT, name, version);
}

static void *park(void *unused)
{
	(void)unused;
	stub_park(&parked, LYCH_SYS_INSIDE, INSIDE_PARK);
	parked = 0;
	return NULL;
}

static int spawn(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	int rc = pthread_attr_init(&attr);

	if (rc != 0) {
		return rc;
	}
	rc = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (rc == 0) {
		rc = pthread_attr_setstacksize(&attr, STACK_BYTES);
	}
	if (rc == 0) {
		rc = pthread_create(&thread, &attr, park, NULL);
	}
	(void)pthread_attr_destroy(&attr);
	return rc;
}

static void finish(void)
{
	if (parked != 0) {
		stub_unpark(parked);
	}
}

static void leave(void)
{
	exit(0);
}

/* One place, which is never given up: main does not return before the domain ends. */
static struct stub_table table;

int main(void);

int main(void)
{
	register long number __asm__("rax") = LYCH_SYS_INSIDE;

	table.bytes = sizeof(table);
	table.load = (uint64_t)(uintptr_t)load;
	table.symbol = (uint64_t)(uintptr_t)symbol;
	table.spawn = (uint64_t)(uintptr_t)spawn;
	table.finish = (uint64_t)(uintptr_t)finish;
	table.leave = (uint64_t)(uintptr_t)leave;
	__asm__ volatile("syscall" : "+r"(number) : "D"(INSIDE_READY), "S"(&table) : "rcx", "r11", "memory");
	return 1; /* nobody dispatches it */
}
