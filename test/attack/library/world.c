/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inside.h"
#include "library_bounds.h"

#define PAGE 4096
#ifndef SEGV_PKUERR
#define SEGV_PKUERR 4
#endif

LYCH_SYM(domain, hostile_do, long, (attack_fn, struct prey *));

int world_signals;
static uint64_t global;
static __thread uint64_t local;

static __attribute__((format(printf, 2, 3))) bool tell(struct world *w, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	w->tell(text, w->ctx);
	return false;
}

static bool expect(struct world *w, bool holds, const char *otherwise)
{
	return holds || tell(w, "%s", otherwise);
}

/* ---- what there is ------------------------------------------------------------------------------------------------------ */

static void on_signal(int sig)
{
	(void)sig;
	__atomic_add_fetch(&world_signals, 1, __ATOMIC_SEQ_CST);
}

static void *idles(void *arg)
{
	struct world *w = arg;

	__atomic_store_n(&w->other_tid, (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&w->stop, __ATOMIC_SEQ_CST)) {
		usleep(2000);
	}
	return NULL;
}

static void *a_page(int how)
{
	void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static void file_of(const struct world *w, char *path, size_t bytes)
{
	snprintf(path, bytes, "%s/secret", w->base);
}

static bool files(struct world *w)
{
	char path[64];
	struct stat st;

	if (w->base[0] == '\0') {
		strcpy(w->base, "/tmp/lych-attack-XXXXXX");
		if (mkdtemp(w->base) == NULL) {
			return tell(w, "/tmp: %s", strerror(errno));
		}
	}
	snprintf(path, sizeof(path), "%s/desk", w->base);
	if (mkdir(path, 0700) != 0) {
		return tell(w, "%s: %s", path, strerror(errno));
	}
	file_of(w, path, sizeof(path));
	w->fd = open(path, O_RDWR | O_CREAT, 0600);
	w->dir = open(w->base, O_RDONLY | O_DIRECTORY);
	if (w->fd < 0 || w->dir < 0 || pwrite(w->fd, w->secret, 8, 0) != 8 || fstat(w->fd, &st) != 0) {
		return tell(w, "%s: %s", path, strerror(errno));
	}
	w->inode = st.st_ino;
	return true;
}

static bool common(struct world *w, bool bare)
{
	static const char *const told[][2] = {{"LYCH_ATTACK_PASSWORD", "hunter2"},
					      {"LD_PRELOAD", "/tmp/lych-attack.so"},
					      {"LD_AUDIT", "/tmp/lych-attack.so"},
					      {"LD_LIBRARY_PATH", "/tmp"},
					      {"GLIBC_TUNABLES", "glibc.pthread.rseq=1"}};
	const int heard[] = {SIGURG, SIGUSR1, SIGUSR2, SIGALRM, SIGIO, SIGPIPE, SIGCHLD, SIGRTMIN + 3};
	struct sigaction action;

	w->fd = w->dir = -1;
	w->tid = (int)syscall(SYS_gettid);
	w->secret = a_page(MAP_PRIVATE);
	w->words = a_page(bare ? MAP_SHARED : MAP_PRIVATE);
	w->heap = malloc(64);
	if (w->secret == NULL || w->words == NULL || w->heap == NULL) {
		return tell(w, "no memory");
	}
	*w->heap = w->stack = global = local = PREY_SECRET;
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		setenv(told[i][0], told[i][1], 1);
	}
	*w->secret = PREY_SECRET;
	for (int i = 0; i < PREY_WORDS; i++) {
		w->words[4 * i] = (uint32_t)(w->tid + i);
	}
	if (!files(w)) {
		return false;
	}
	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	for (size_t i = 0; i < sizeof(heard) / sizeof(heard[0]); i++) {
		sigaction(heard[i], &action, NULL);
	}
	if (pthread_create(&w->thread, NULL, idles, w) != 0) {
		return tell(w, "no thread");
	}
	w->has_thread = true;
	while (__atomic_load_n(&w->other_tid, __ATOMIC_SEQ_CST) == 0) {
		usleep(1000);
	}
	return true;
}

static void fill(struct world *w, char *own)
{
	struct prey *t = w->target;

	t->secret = w->secret;
	t->words = w->words;
	t->heap = w->heap;
	t->stack = &w->stack;
	t->global = &global;
	t->tls = &local;
	t->own = own;
	t->pid = getpid();
	t->tid = w->tid;
	t->other_tid = w->other_tid;
	t->fd = w->fd;
	t->dir = w->dir;
	snprintf(t->work, sizeof(t->work), "%s/desk", w->base);
	snprintf(t->file, sizeof(t->file), "%s/secret", w->base);
	t->host_pkey_set = dlsym(RTLD_NEXT, "pkey_set");
	t->host_syscall = library_host_syscall();
}

bool world_arm(struct world *w)
{
	struct inside state;
	char *own;

	w->target = lych_calloc(w->domain, 1, sizeof(*w->target));
	own = lych_alloc_aligned(w->domain, PAGE, PREY_OWN);
	if (w->target == NULL || own == NULL) {
		return tell(w, "no memory in the domain");
	}
	memset(own, 0, PREY_OWN);
	fill(w, own);
	if (w->none) {
		w->target->low = w->target->own;
		w->target->high = w->target->own + PREY_OWN;
		w->target->gate = a_page(MAP_PRIVATE);
		w->target->monitor = a_page(MAP_PRIVATE);
		w->target->other = w->other;
		return w->target->gate != NULL && w->target->monitor != NULL;
	}
	inside_look(&state);
	w->target->gate = (char *)(uintptr_t)state.area;
	w->target->monitor = w->target->gate + PAGE;
	w->target->other = w->other;
	w->target->key = 0;
	w->target->other_key = lych_domain_key(w->victim);
	w->target->gate_site = memmem((void *)(uintptr_t)inside_gate_text(), inside_gate_text_end() - inside_gate_text(), "\x0f\x01\xef", 3);
	w->target->signal_entry = (void *)(uintptr_t)inside_entry();
	w->target->resume = (void *)(uintptr_t)inside_resume();
	w->target->low = (char *)(uintptr_t)library_start(w->domain);
	w->target->high = (char *)(uintptr_t)library_end(w->domain);
	return true;
}

bool world_start(struct world *w, enum attack_policy policy, const char *library)
{
	struct lych_init_opts init = {.size = sizeof(init), .backend = w->none ? LYCH_NONE : LYCH_PKU};
	struct lych_library_opts opts;
	char text[256];

	if (!common(w, false)) {
		return false;
	}
	if (policy == POLICY_PURE) {
		strcpy(text, "pure");
	} else {
		snprintf(text, sizeof(text), "%sallow write %s/desk", policy == POLICY_WORK ? "" : policy == POLICY_MOST ? "net-client\nfiles-ro:/\n" : "report\nnet-client\nfiles-ro:/\n", w->base);
	}
	memset(&opts, 0, sizeof(opts));
	opts.size = sizeof(opts);
	opts.policy = text;
	if (lych_init(&init) != 0 || lych_domain_new(&w->victim, NULL) != 0 || lych_open(&w->domain, library, &opts) != 0) {
		return tell(w, "%s", lych_why());
	}
	w->other = lych_alloc_aligned(w->victim, PAGE, PAGE);
	if (w->other == NULL) {
		return tell(w, "no memory in the other domain");
	}
	memset(w->other, 0, PAGE);
	*w->other = PREY_SECRET;
	return world_arm(w);
}

bool world_bare(struct world *w, bool keyed)
{
	char *around, *own;

	if (!common(w, true)) {
		return false;
	}
	w->target = calloc(1, sizeof(*w->target));
	w->other = a_page(MAP_PRIVATE);
	around = mmap(NULL, 160 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	own = around + 32 * PAGE;
	if (w->target == NULL || w->other == NULL || around == MAP_FAILED || mprotect(own, 96 * PAGE, PROT_READ | PROT_WRITE) != 0 ||
	    munmap(own + 96 * PAGE, 32 * PAGE) != 0) {
		return tell(w, "no memory");
	}
	*w->other = PREY_SECRET;
	fill(w, own);
	w->target->low = own;
	w->target->high = own + 96 * PAGE;
	w->target->gate = a_page(MAP_PRIVATE);
	w->target->monitor = a_page(MAP_PRIVATE);
	w->target->other = w->other;
	if (keyed) {
		w->target->key = pkey_alloc(0, 0);
		if (w->target->key <= 0 || pkey_mprotect(w->secret, PAGE, PROT_READ | PROT_WRITE, w->target->key) != 0 ||
		    pkey_set(w->target->key, PKEY_DISABLE_ACCESS) != 0) {
			return tell(w, "no key for the secret: %s", strerror(errno));
		}
	}
	return true;
}

void world_end(struct world *w)
{
	__atomic_store_n(&w->stop, 1, __ATOMIC_SEQ_CST);
	if (w->has_thread) {
		pthread_join(w->thread, NULL);
		w->has_thread = false;
	}
	if (w->domain != NULL && lych_domain_free(w->domain) != 0) {
		tell(w, "the domain cannot be closed: %s", lych_why());
	}
	w->domain = NULL;
}

/* ---- is it still there? -------------------------------------------------------------------------------------------------- */

static void on_verify(const char *line, void *ctx)
{
	tell(ctx, "%s", line);
}

static void check_files(struct world *w)
{
	struct stat now;
	uint64_t in_file = 0;
	char path[64];

	file_of(w, path, sizeof(path));
	if (expect(w, fstat(w->fd, &now) == 0, "the host's file is closed")) {
		expect(w, now.st_ino == w->inode, "the host's descriptor is of another file");
		expect(w, pread(w->fd, &in_file, 8, 0) == 8 && in_file == PREY_SECRET, "the host's file has changed");
		expect(w, lseek(w->fd, 0, SEEK_CUR) == 0, "the place in the host's file has changed");
	}
	expect(w, fstat(w->dir, &now) == 0 && S_ISDIR(now.st_mode), "the host's directory is closed");
	expect(w, access(path, R_OK) == 0, "the host's file is not where it was");
}

void world_check(struct world *w)
{
	bool zeros = true, words = true;

	for (int i = 1; i < PAGE / 8; i++) {
		zeros = zeros && w->secret[i] == 0 && w->other[i] == 0;
	}
	for (int i = 0; i < PREY_WORDS; i++) {
		words = words && w->words[4 * i] == (uint32_t)(w->tid + i);
	}
	words = words && *w->heap == PREY_SECRET && w->stack == PREY_SECRET && global == PREY_SECRET && local == PREY_SECRET;
	expect(w, *w->secret == PREY_SECRET && *w->other == PREY_SECRET && zeros && words, "memory of others has changed");
	expect(w, __atomic_load_n(&world_signals, __ATOMIC_SEQ_CST) == 0, "a signal has reached the host");
	check_files(w);
	if (w->domain == NULL) {
		return;
	}
	expect(w, w->target->taken != PREY_SECRET && memmem(w->target->own, PREY_OWN, w->secret, 8) == NULL, "it has the secret");
	expect(w, lych_verify(on_verify, w) == 0, "the runtime's records are not right");
}

int world_attack(struct world *w, const char *symbol, long *result, unsigned int timeout_ms)
{
	struct lych_domain *domain = w->domain;
	struct inside before, after;
	const char *differs;
	void *fn = NULL;
	int rc = lych_symbol(domain, &fn, symbol, NULL);

	if (rc != 0) {
		tell(w, "%s: %s", symbol, lych_why());
		return rc;
	}
	if (!w->none) {
		inside_look(&before);
	}
	rc = LYCH_CALL_TIMEOUT(domain, timeout_ms, result, hostile_do, (attack_fn)(uintptr_t)fn, w->target);
	if (!w->none) {
		inside_look(&after);
		differs = inside_differences(&before, &after);
		if (differs[0] != '\0') {
			tell(w, "the host is not as it was: %s", differs);
		}
	}
	world_check(w);
	return rc;
}

/* It does what it is asked. */
static void works(struct world *w)
{
	long result = 0;
	int rc = world_attack(w, "attack_nothing", &result, WORLD_CALL_MS);

	if (rc != 0 || result != ATTACK_DONE) {
		tell(w, "the domain works no more: %s", lych_strerror(rc));
	}
}

void world_anew(struct world *w)
{
	if (lych_domain_reset(w->domain) != 0) {
		tell(w, "the domain cannot be reset: %s", lych_why());
	} else if (world_arm(w)) {
		works(w);
	}
}

/* ---- attacks of the list -------------------------------------------------------------------------------------------------- */

static const char *ending(const struct world *w, int rc)
{
	return rc == 0 ? "no fault" : lych_fault_kind_name(lych_fault(w->domain)->kind);
}

static void as_it_should(const struct attack *a, struct world *w, int rc, long result)
{
	if (rc == 0 && result == ATTACK_CANNOT) {
		tell(w, "what it begins with, and may do, does not work");
		return;
	}
	if (rc == 0 && result > 0) {
		tell(w, "it says that it had its effect");
		return;
	}
	/* A fault of another thread inside ends this one's call, too. */
	if (rc != 0 && rc != -EFAULT && !(rc == -ECANCELED && a->end == END_ANY)) {
		tell(w, "its call ended otherwise than by a fault: %s", lych_strerror(rc));
		return;
	}
	switch (a->end) {
	case END_REFUSED:
	case END_EFAULT:
		if (rc != 0 || result >= 0 || (a->end == END_EFAULT && result != -EFAULT)) {
			tell(w, "it should have been refused, and ended with %s", rc != 0 ? ending(w, rc) : strerrordesc_np((int)-result));
		}
		break;
	case END_KEY:
	case END_FAULT:
		if (rc != -EFAULT || (a->end == END_KEY && (lych_fault(w->domain)->kind != LYCH_FAULT_KEY ||
								   lych_fault(w->domain)->code != SEGV_PKUERR))) {
			tell(w, "it should have ended with a fault%s, and ended with %s", a->end == END_KEY ? " of a key" : "",
			     ending(w, rc));
		}
		break;
	case END_ANY:
		break;
	}
}

struct counted {
	world_tell tell;
	void *ctx;
	int complaints;
};

static void count(const char *text, void *ctx)
{
	struct counted *c = ctx;

	c->complaints++;
	c->tell(text, c->ctx);
}

bool attack_inside(const struct attack *a, struct world *w, const char *library, bool *here)
{
	struct counted counted = {w->tell, w->ctx, 0};
	long result = 0;
	int rc;

	w->tell = count;
	w->ctx = &counted;
	*here = world_start(w, a->policy, library);
	if (*here) {
		rc = world_attack(w, a->symbol, &result, WORLD_CALL_MS);
		as_it_should(a, w, rc, result);
		if (rc != 0) {
			world_anew(w);
		} else {
			works(w);
		}
	}
	world_end(w);
	w->tell = counted.tell;
	w->ctx = counted.ctx;
	return *here && counted.complaints == 0;
}

int attack_bare(const struct attack *a, struct world *w, const char *library)
{
	void *hostile = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	attack_fn fn = hostile != NULL ? (attack_fn)(uintptr_t)dlsym(hostile, a->symbol) : NULL;
	long result;

	if (fn == NULL) {
		tell(w, "%s", dlerror());
		return BARE_CANNOT;
	}
	if (!world_bare(w, a->control != CONTROL_PLAIN)) {
		return BARE_CANNOT;
	}
	result = fn(w->target);
	if (result < 0) {
		tell(w, "%s", strerrordesc_np((int)-result));
	}
	return result == ATTACK_DONE ? BARE_DONE : BARE_NOTHING;
}
