/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../gate/core/asm.h"
#include "../../gate/core/keys.h"
#include "../../gate/core/signal.h"
#include "../../gate/core/thread.h"
#include "../../gate/memory/domain_memory.h"

#include "fake_runtime.h"

#define LEDGER_MAX 1024

union lych_root_page lych_root_page;
__thread struct area *lych_tls;

static struct {
	uint64_t at, bytes;
	int key, prot;
} ledger[LEDGER_MAX];
static bool taken[KEYS];
static bool has_keys;
static int fail_after = -1;
static int refuse_attach;
static const int *watch;
static int watched;
static _Atomic size_t areas;
static pthread_key_t end_of_thread;
static __thread uint32_t soft_pkru = VIEW_DENY_ALL & ~VIEW_BITS(0);

static void die(const char *what)
{
	perror(what);
	abort();
}

static bool fails(void)
{
	return fail_after >= 0 && fail_after-- == 0;
}

/* ---- domains: there is nobody who could be granted anything ------------------------------------ */

unsigned int signals_forget_left(uint64_t rsp)
{
	(void)rsp;
	return 0;
}

int domain_grant(struct lych_domain *domain, const struct lych_region *region, enum rights rights)
{
	(void)domain, (void)region, (void)rights;
	abort();
}

bool domains_have(int key)
{
	(void)key;
	return false;
}

/* ---- system calls, PKRU --------------------------------------------------------------------- */

long lych_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	int before = errno;
	long result = syscall(nr, a, b, c, d, e, f);

	if (result == -1) {
		result = -errno;
		errno = before;
	}
	return result;
}

uint32_t lych_pkru_read_pku(void)
{
	uint32_t pkru = 0;

	if (!has_keys) {
		return soft_pkru;
	}
	for (int key = 0; key < KEYS; key++) {
		pkru |= (uint32_t)pkey_get(key) << (2 * key);
	}
	return pkru;
}

uint32_t lych_pkru_update_pku(uint32_t clear, uint32_t set)
{
	uint32_t before = lych_pkru_read_pku();
	uint32_t after = (before & ~clear) | set;

	soft_pkru = after;
	for (int key = 1; has_keys && key < KEYS; key++) {
		if ((before ^ after) & VIEW_BITS(key)) {
			pkey_set(key, after >> (2 * key) & 3);
		}
	}
	return before;
}

uint32_t fake_pkru(void)
{
	return lych_pkru_read_pku();
}

/* ---- keys, ledger, monitor memory ----------------------------------------------------------- */

int keys_take(int *key, enum key_owner owner, const char *name)
{
	(void)name;
	for (int i = 1; i < KEYS; i++) {
		int got = i;

		if (has_keys) {
			got = pkey_alloc(0, owner == OWNER_DOMAIN ? 0 : PKEY_DISABLE_ACCESS);
			if (got < 0) {
				return -ENOSPC;
			}
		}
		if (!taken[got]) {
			taken[got] = true;
			*key = got;
			return 0;
		}
	}
	return -ENOSPC;
}

void keys_give_back(int key)
{
	if (!taken[key]) {
		die("keys_give_back of a free key");
	}
	for (size_t i = 0; i < LEDGER_MAX; i++) {
		if (ledger[i].bytes != 0 && ledger[i].key == key) {
			die("keys_give_back of a key with memory");
		}
	}
	taken[key] = false;
	if (has_keys) {
		pkey_free(key);
	}
}

int fake_keys_held(void)
{
	int held = 0;

	for (int i = 1; i < KEYS; i++) {
		held += taken[i];
	}
	return held;
}

static int entry_of(const void *at)
{
	for (int i = 0; i < LEDGER_MAX; i++) {
		if ((uint64_t)(uintptr_t)at - ledger[i].at < ledger[i].bytes) {
			return i;
		}
	}
	return -1;
}

static int protect(void *at, size_t bytes, int key, int prot)
{
	if (fails()) {
		return -ENOMEM;
	}
	if (has_keys && ROOT.backend == LYCH_PKU) {
		return pkey_mprotect(at, bytes, prot, key) == 0 ? 0 : -errno;
	}
	return mprotect(at, bytes, prot) == 0 ? 0 : -errno;
}

int ledger_add(void *at, size_t bytes, int key, int prot)
{
	if (protect(at, bytes, key, prot) != 0) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < LEDGER_MAX; i++) {
		if (ledger[i].bytes == 0) {
			ledger[i].at = (uintptr_t)at;
			ledger[i].bytes = bytes;
			ledger[i].key = key;
			ledger[i].prot = prot;
			return 0;
		}
	}
	return -ENOMEM;
}

int ledger_change(void *at, size_t bytes, int prot)
{
	int i = entry_of(at);

	if (i < 0 || ledger[i].at != (uintptr_t)at || ledger[i].bytes != bytes) {
		die("ledger_change of another range");
	}
	if (protect(at, bytes, ledger[i].key, prot) != 0) {
		return -ENOMEM;
	}
	ledger[i].prot = prot;
	return 0;
}

void ledger_remove(void *at, size_t bytes)
{
	int i = entry_of(at);

	if (i < 0 || ledger[i].at != (uintptr_t)at || ledger[i].bytes != bytes) {
		die("ledger_remove of another range");
	}
	if (watch != NULL && entry_of(watch) == i) {
		uint32_t before = lych_pkru_update_pku(VIEW_BITS(ledger[i].key), 0);

		watched = *watch;
		watch = NULL;
		lych_pkru_update_pku(VIEW_BITS(ledger[i].key), before & VIEW_BITS(ledger[i].key));
	}
	ledger[i].bytes = 0;
	munmap(at, bytes);
}

int fake_ledger_key(const void *at)
{
	int i = entry_of(at);

	return i < 0 ? -1 : ledger[i].key;
}

int fake_ledger_prot(const void *at)
{
	int i = entry_of(at);

	return i < 0 ? -1 : ledger[i].prot;
}

size_t fake_ledger_ranges(void)
{
	size_t ranges = 0;

	for (size_t i = 0; i < LEDGER_MAX; i++) {
		ranges += ledger[i].bytes != 0;
	}
	return ranges;
}

void fake_watch(const int *at)
{
	watch = at;
}

int fake_watched(void)
{
	return watched;
}

void fake_fail_after(int calls)
{
	fail_after = calls;
}

void *monitor_alloc(size_t bytes)
{
	void *at = fails() ? MAP_FAILED
			   : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

void monitor_free(void *at, size_t bytes)
{
	munmap(at, bytes);
}

/* ---- threads -------------------------------------------------------------------------------- */

struct thread *thread_attached(void)
{
	return lych_tls == NULL ? NULL : &lych_tls->thread;
}

int thread_self(struct thread **out)
{
	if (lych_tls == NULL) {
		if (refuse_attach != 0) {
			return refuse_attach;
		}
		lych_tls = (struct area *)(uintptr_t)(ROOT.arena + (areas++ << AREA_SHIFT));
		lych_tls->thread.area = lych_tls;
		lych_pkru_update_pku(0, 0);
		pthread_setspecific(end_of_thread, lych_tls);
	}
	*out = &lych_tls->thread;
	return 0;
}

void fake_refuse_attach(int err)
{
	refuse_attach = err;
}

static void thread_ends(void *area)
{
	struct area *a = area;

	pthread_mutex_lock(&ROOT.monitor->lock);
	memory_stacks_of_thread_free(&a->thread);
	pthread_mutex_unlock(&ROOT.monitor->lock);
	lych_tls = NULL;
}

void fake_detach(void)
{
	if (lych_tls != NULL) {
		pthread_setspecific(end_of_thread, NULL);
		thread_ends(lych_tls);
	}
}

static void before_fork(void)
{
	pthread_mutex_lock(&ROOT.monitor->lock);
	memory_fork_prepare();
}

static void after_fork_parent(void)
{
	memory_fork_parent();
	pthread_mutex_unlock(&ROOT.monitor->lock);
}

static void after_fork_child(void)
{
	memory_fork_child(thread_attached());
	pthread_mutex_unlock(&ROOT.monitor->lock);
}

void fake_start(enum lych_backend backend)
{
	size_t bytes = (size_t)THREADS_MAX << AREA_SHIFT;
	char *arena;
	int key;

	if (ROOT.ready) {
		return;
	}
	key = backend == LYCH_PKU ? pkey_alloc(0, 0) : -1;
	has_keys = key > 0;
	if (has_keys) {
		pkey_free(key);
	}
	arena = mmap(NULL, bytes + AREA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		     0);
	if (arena == MAP_FAILED) {
		die("mmap");
	}
	ROOT.arena = ((uint64_t)(uintptr_t)arena + AREA_SIZE - 1) & ~(uint64_t)(AREA_SIZE - 1);
	ROOT.arena_bytes = bytes;
	ROOT.backend = backend;
	ROOT.monitor = monitor_alloc(sizeof(*ROOT.monitor));
	pthread_mutex_init(&ROOT.monitor->lock, NULL);
	ROOT.monitor->ids = 2;
	pthread_key_create(&end_of_thread, thread_ends);
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
	ROOT.ready = 1;
}

bool fake_has_keys(void)
{
	return has_keys;
}

/* ---- domains -------------------------------------------------------------------------------- */

static int domain_start(struct lych_domain *d, const struct lych_domain_opts *opts)
{
	bool vault = opts != NULL && opts->kind == LYCH_KIND_VAULT;
	int key;
	int err = keys_take(&key, vault ? OWNER_VAULT : OWNER_DOMAIN, "");

	if (err != 0) {
		return err;
	}
	d->key = (uint32_t)key;
	d->kind = opts == NULL ? LYCH_KIND_CONTAIN : (uint32_t)opts->kind;
	err = memory_new(d, opts);
	if (err != 0) {
		keys_give_back(key);
		return err;
	}
	d->id = ROOT.monitor->ids;
	ROOT.monitor->ids += 2;
	d->state = DOMAIN_READY;
	return 0;
}

struct lych_domain *fake_domain_new(const struct lych_domain_opts *opts, int *err)
{
	struct lych_domain *d = NULL;
	int result = -ENOSPC;

	pthread_mutex_lock(&ROOT.monitor->lock);
	for (size_t i = 0; i < DOMAINS_MAX && d == NULL; i++) {
		d = ROOT.monitor->domains[i].state == DOMAIN_FREE ? &ROOT.monitor->domains[i] : NULL;
	}
	if (d != NULL) {
		result = domain_start(d, opts);
	}
	pthread_mutex_unlock(&ROOT.monitor->lock);
	if (err != NULL) {
		*err = result;
	}
	return result == 0 ? d : NULL;
}

void fake_domain_free(struct lych_domain *d)
{
	pthread_mutex_lock(&ROOT.monitor->lock);
	memory_free(d);
	keys_give_back((int)d->key);
	d->state = DOMAIN_FREE;
	d->id = 0;
	pthread_mutex_unlock(&ROOT.monitor->lock);
}

int fake_domain_reset(struct lych_domain *d)
{
	int err;

	pthread_mutex_lock(&ROOT.monitor->lock);
	d->id = 0;
	err = memory_reset(d);
	if (err == 0) {
		d->id = ROOT.monitor->ids;
		ROOT.monitor->ids += 2;
	}
	pthread_mutex_unlock(&ROOT.monitor->lock);
	return err;
}

void fake_domain_poison(struct lych_domain *d)
{
	d->id = 0;
}

int fake_stack_new(struct lych_domain *d, struct fake_stack *out)
{
	struct thread *t;
	struct slot *slot;
	int err = thread_self(&t);

	if (err != 0) {
		return err;
	}
	pthread_mutex_lock(&ROOT.monitor->lock);
	err = memory_stack_new(d, t);
	pthread_mutex_unlock(&ROOT.monitor->lock);
	slot = &t->slots[d->key];
	*out = (struct fake_stack){slot->sp, slot->low, slot->top, slot->id, d->id,
				   (uintptr_t)memory_resume_block(d, t)};
	return err;
}

bool fake_is_stack_guard(struct lych_domain *d, uint64_t at)
{
	return memory_is_stack_guard(d, at);
}

void fake_heap_lock(struct lych_domain *d)
{
	if (!heap_lock(d->memory)) {
		die("the heap's lock");
	}
}

void fake_heap_unlock(struct lych_domain *d)
{
	heap_unlock(d->memory);
}
