/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkey_set, pkey_alloc and pkey_free for the host's own keys, as <sys/mman.h> has them, with these in addition:
 *
 *	the runtime's keys	are refused with EINVAL, by pkey_set and by pkey_free
 *	key 0			pkey_set with rights 0 does nothing, with others it is EINVAL, as is pkey_free: nothing of
 *				the program could run without it, nor the gate
 *	keys nobody has		can be set, as with glibc: before the runtime takes one, every thread loses it
 *
 * What a thread chooses holds in its callbacks and signal handlers, too, and after calls into domains. What a handler
 * chooses is undone when it returns, as the kernel has it: rt_sigreturn sets PKRU as it was.
 *
 * pkey_get is glibc's: it reads, and that is all. Keys allocated by a bare system call are nobody's to the runtime: a
 * thread that attaches after it was given rights to one loses them.
 */
#include <asm/prctl.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "asm.h"
#include "keys.h"
#include "signal.h"
#include "signal_levels.h"
#include "thread.h"

#define EXPORTED __attribute__((visibility("default")))
#define RIGHTS_MOST 3u
/* Into the frame of who called the exported function. */
#define CALLERS_RSP ((uint64_t)__builtin_frame_address(0) + 16)

EXPORTED int pkey_set(int key, unsigned int rights);
EXPORTED int pkey_alloc(unsigned int flags, unsigned int rights);
EXPORTED int pkey_free(int key);

static int failed(long rc)
{
	if (rc < 0) {
		errno = (int)-rc;
		return -1;
	}
	return (int)rc;
}

/* ---- without the runtime ---------------------------------------------------------------------- */

typedef int set_fn(int, unsigned int);

#define LOOK_BYTES 64 /* of glibc's: its WRPKRU is among them */

#pragma weak dlsym /* a program linked wholly statically has neither it nor glibc's pkey_set */

static set_fn *glibc_pkey_set;
static uint8_t glibc_code[LOOK_BYTES];

/* Early, before anybody changes it; and dlsym is not async-signal-safe. */
__attribute__((constructor(102))) static void find_glibc(void)
{
	set_fn *found = NULL;

	if (glibc_pkey_set == NULL && dlsym != NULL) {
		*(void **)&found = dlsym(RTLD_NEXT, "pkey_set");
	}
	if (found != NULL) {
		memcpy(glibc_code, (const void *)(uintptr_t)found, sizeof(glibc_code));
		glibc_pkey_set = found;
	}
}

/* Not once code was repaired: then it leads here, or traps. */
static bool glibc_is_whole(void)
{
	return glibc_pkey_set != NULL &&
	       memcmp(glibc_code, (const void *)(uintptr_t)glibc_pkey_set, sizeof(glibc_code)) == 0;
}

/*
 * By the site, which wants a gate page: one on the stack. No domain runs on this thread, nor on any before lych_init has
 * succeeded. A handler in between finds another gs base than it had; that it is restored it does not see.
 */
static int set_alone(int key, unsigned int rights)
{
	struct gate_page page = {0};
	uint64_t gs = 0;

	if (key < 0 || key >= KEYS || rights > RIGHTS_MOST || (keys_ours_seen() & VIEW_BITS(key)) != 0) {
		return -EINVAL;
	}
	if (sys2(SYS_arch_prctl, ARCH_GET_GS, &gs) != 0 || sys2(SYS_arch_prctl, ARCH_SET_GS, &page) != 0) {
		return -ENOSYS;
	}
	(void)lych_pkru_update_pku(VIEW_BITS(key), rights << 2 * key);
	sys2(SYS_arch_prctl, ARCH_SET_GS, gs);
	return 0;
}

static int set_plain(int key, unsigned int rights)
{
	if (glibc_is_whole()) {
		return glibc_pkey_set(key, rights);
	}
	return failed(set_alone(key, rights));
}

/* The keys are all the host's, and the site that writes PKRU is there; but glibc's needs no thread to be attached. */
static int set_without_keys(struct thread *t, int key, unsigned int rights)
{
	if (ROOT.xsave_pkru == 0) {
		return -ENOSYS; /* no such register */
	}
	if (t == NULL) {
		return strangers_choose(VIEW_BITS(key), rights << 2 * key);
	}
	(void)lych_pkru_update_pku(VIEW_BITS(key), rights << 2 * key);
	return 0;
}

/* ---- with it ---------------------------------------------------------------------------------- */

/*
 * In a callback: the calls below end with the caller's view of when they were made, and there it is to hold, too. Of what a
 * handler of the host has interrupted that is not true: of the calls below it nothing is changed.
 */
static void follow_in_records(struct thread *t, uint32_t clear, uint32_t set)
{
	const struct record *base = t->level > 0 ? level_at(t, t->level - 1)->top : &t->records[0];
	struct gate_page *gate = &area_of_thread(t)->gate;
	bool above = false;

	for (struct record *r = &t->records[1]; r <= t->top; r++) {
		if (r <= base || r->kind != KIND_CALL) {
			continue;
		}
		/* It holds what was there before it: the view of the call below. */
		if (above) {
			r->not_caller = (r->not_caller | clear) & ~set;
		}
		above = true;
	}
	if (above) {
		gate->not_caller = (gate->not_caller | clear) & ~set;
	}
}

static int choose(struct thread *t, uint32_t clear, uint32_t set, uint64_t rsp)
{
	const _Atomic uint32_t *ours = keys_ours_bits();
	uint64_t all = ~0ull, mask;
	int64_t rc;

	if (t->level == 0 && t->top == &t->records[0]) {
		return lych_pkru_choose_pku(clear, set, ours) < 0 ? -EINVAL : 0;
	}
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(mask));
	signals_reclaim(t, rsp);
	rc = lych_pkru_choose_pku(clear, set, ours);
	if (rc >= 0) {
		follow_in_records(t, clear, set);
	}
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	return rc < 0 ? -EINVAL : 0;
}

/* Rights are in range, key is not 0. -errno. */
static int set_rights(int key, unsigned int rights, uint64_t rsp)
{
	struct thread *t = thread_here();
	uint32_t clear = VIEW_BITS(key), set = rights << 2 * key;

	if (!is_pku()) {
		return set_without_keys(t, key, rights);
	}
	return t != NULL ? choose(t, clear, set, rsp) : strangers_choose(clear, set);
}

static int set_checked(int key, unsigned int rights, uint64_t rsp)
{
	if (ROOT.ready == 0 || (!is_pku() && glibc_is_whole())) {
		return set_plain(key, rights);
	}
	if (key < 0 || key >= KEYS || rights > RIGHTS_MOST || (key == 0 && rights != 0)) {
		return failed(-EINVAL);
	}
	return key == 0 ? 0 : failed(set_rights(key, rights, rsp));
}

/* ---- allocating ------------------------------------------------------------------------------- */

/* Of the runtime's keys the kernel was told otherwise by somebody's bare system call. */
static bool is_ours(const struct thread *t, int key)
{
	uint32_t ours = t != NULL ? atomic_load(keys_ours_bits()) : keys_ours_seen();

	return (ours & VIEW_BITS(key)) != 0;
}

/*
 * The kernel denies the new key in PKRU and no more, so that what the host asked for is set like everything that it
 * chooses. It may be one that somebody has freed under the runtime: that stays with its owner, with the rights this thread had.
 */
static long alloc_checked(unsigned int flags, unsigned int rights, uint64_t rsp)
{
	unsigned int denied = rights <= RIGHTS_MOST ? PKEY_DISABLE_ACCESS : rights;

	for (;;) {
		struct thread *t = thread_here();
		uint32_t before = t != NULL ? lych_pkru_read_pku() : 0;
		long key = sys2(SYS_pkey_alloc, flags, denied);

		if (key <= 0 || key >= KEYS) {
			return key;
		}
		if (key == (long)ROOT.monitor_key || key == (long)ROOT.gate_key) {
			__builtin_trap(); /* any page of theirs could be on it by now */
		}
		if (!is_ours(t, (int)key)) {
			int rc;

			keys_host_takes((int)key);
			rc = set_rights((int)key, rights, rsp);
			return rc == 0 ? key : rc;
		}
		if (t != NULL) {
			(void)lych_pkru_update_pku(VIEW_BITS(key), before & VIEW_BITS(key));
		}
	}
}

/* In a domain these are the system calls, and the mediator decides. */
static bool plain(void)
{
	return ROOT.ready == 0 || !is_pku() || (lych_tls != NULL && lych_tls->gate.selector == SELECTOR_BLOCK);
}

static long free_checked(int key)
{
	bool valid = key > 0 && key < KEYS;

	if (key == 0 || (valid && is_ours(thread_here(), key))) {
		return -EINVAL;
	}
	/* First nobody's: afterwards another thread may have it already. */
	if (valid) {
		keys_host_frees(key);
	}
	return sys1(SYS_pkey_free, key);
}

/* ---- exported --------------------------------------------------------------------------------- */

int lych_pkey_set(int key, unsigned int rights)
{
	return set_checked(key, rights, CALLERS_RSP);
}

int lych_pkey_alloc(unsigned int flags, unsigned int rights)
{
	return failed(plain() ? sys2(SYS_pkey_alloc, flags, rights) : alloc_checked(flags, rights, CALLERS_RSP));
}

int lych_pkey_free(int key)
{
	return failed(plain() ? sys1(SYS_pkey_free, key) : free_checked(key));
}

int pkey_set(int key, unsigned int rights)
{
	return set_checked(key, rights, CALLERS_RSP);
}

int pkey_alloc(unsigned int flags, unsigned int rights)
{
	return failed(plain() ? sys2(SYS_pkey_alloc, flags, rights) : alloc_checked(flags, rights, CALLERS_RSP));
}

int pkey_free(int key)
{
	return lych_pkey_free(key);
}
