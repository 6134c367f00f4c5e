/* SPDX-License-Identifier: Apache-2.0 */
/* Processes and threads, and what the kernel writes when one ends. */
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "inner.h"

#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS)

/* hostile.S. The child calls fn(arg) on its stack, and ends. */
long hostile_clone(long flags, void *stack, void *parent_tid, void *child_tid, void *fs, long (*fn)(void *), void *arg);

static void *fs_base(void)
{
	void *fs;

	__asm__ volatile("mov %%fs:0, %0" : "=r"(fs));
	return fs;
}

static long sets(void *at)
{
	__atomic_store_n((long *)at, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static void waits(int ms)
{
	struct {
		long s, ns;
	} pause = {0, 1000000};

	for (int i = 0; i < ms; i++) {
		raw(SYS_nanosleep, L(&pause), 0);
	}
}

static char *own_stack(struct prey *p)
{
	return p->own + PREY_OWN - 4096;
}

/* A thread with these flags, and time for it to end: what clone gave. */
static long thread(struct prey *p, long flags, void *parent_tid, void *child_tid)
{
	long rc = hostile_clone(THREAD | flags, own_stack(p), parent_tid, child_tid, fs_base(), sets, &p->more[1]);

	for (int i = 0; rc > 0 && i < 2000 && __atomic_load_n(&p->more[1], __ATOMIC_SEQ_CST) == 0; i++) {
		waits(1);
	}
	waits(50);
	return rc;
}

long attack_fork(struct prey *p)
{
	long rc = raw(SYS_fork);

	(void)p;
	if (rc == 0) {
		raw(SYS_exit_group, 0);
	}
	return rc > 0 ? ATTACK_DONE : rc;
}

long attack_vfork(struct prey *p)
{
	long rc = hostile_clone(CLONE_VM | CLONE_VFORK | SIGCHLD, own_stack(p), NULL, NULL, NULL, sets, &p->more[0]);

	rc = rc < 0 ? raw(SYS_vfork) : rc;
	if (rc == 0) {
		raw(SYS_exit_group, 0);
	}
	return rc > 0 ? ATTACK_DONE : rc;
}

long attack_clone_with_odd_flags(struct prey *p)
{
	static const long flags[] = {
		0, SIGCHLD, CLONE_VM | SIGCHLD, CLONE_VM, CLONE_VM | CLONE_SIGHAND, CLONE_VM | CLONE_FILES | SIGCHLD,
		THREAD & ~CLONE_SETTLS, THREAD & ~CLONE_FILES, THREAD & ~CLONE_FS, THREAD | CLONE_PTRACE, THREAD | CLONE_UNTRACED,
		THREAD | CLONE_VFORK, THREAD | CLONE_IO, SIGCHLD | CLONE_PARENT, SIGCHLD | CLONE_NEWUSER, SIGCHLD | CLONE_NEWPID,
		SIGCHLD | CLONE_NEWNS, SIGCHLD | CLONE_PIDFD, THREAD | (1L << 32), THREAD | (1L << 33), CLONE_VM | CLONE_SETTLS | SIGCHLD,
	};
	long best = -EPERM;

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		long rc = hostile_clone(flags[i], own_stack(p), &p->more[2], &p->more[3], fs_base(), sets, &p->more[0]);
		best = rc > 0 ? ATTACK_DONE : best;
		if (best == ATTACK_DONE) {
			break;
		}
	}
	return __atomic_load_n(&p->more[0], __ATOMIC_SEQ_CST) != 0 ? ATTACK_DONE : best;
}

long attack_clone3(struct prey *p)
{
	struct clone_args args;

	(void)p;
	memset(&args, 0, sizeof(args));
	args.exit_signal = SIGCHLD;
	long rc = raw(SYS_clone3, L(&args), sizeof(args));
	if (rc == 0) {
		raw(SYS_exit_group, 0);
	}
	return rc > 0 ? ATTACK_DONE : rc;
}

/* Only the control can look whether it worked; inside the host does. The kernel writes when the thread ends, which takes its time. */
static long changed(struct prey *p, long rc)
{
	for (int i = 0; i < 30000 && p->low == p->own && *(volatile uint64_t *)p->secret == PREY_SECRET; i++) {
		waits(1);
	}
	return p->low == p->own && *(volatile uint64_t *)p->secret != PREY_SECRET ? ATTACK_DONE : rc < 0 ? rc : 0;
}

long attack_clone_tells_the_host(struct prey *p)
{
	return changed(p, thread(p, CLONE_PARENT_SETTID, p->secret, NULL));
}

long attack_clone_tells_the_host_from_the_child(struct prey *p)
{
	return changed(p, thread(p, CLONE_CHILD_SETTID, NULL, p->secret));
}

long attack_clone_clears_the_host(struct prey *p)
{
	return changed(p, thread(p, CLONE_CHILD_CLEARTID, NULL, p->secret));
}

static void *sets_tid_address(void *arg)
{
	struct prey *p = arg;

	/* not by pthread_exit, which waits for nothing then */
	raw(SYS_set_tid_address, L(p->secret));
	__atomic_store_n(&p->more[1], 1, __ATOMIC_SEQ_CST);
	raw(SYS_exit, 0);
	return NULL;
}

static void *sets_robust_list(void *arg)
{
	struct prey *p = arg;
	struct entry {
		struct entry *next;
		long unused;
	} *entries = (void *)p->own;
	struct {
		struct entry *next;
		long offset;
		struct entry *pending;
	} *head = (void *)(p->own + 8192);

	/* One word of them holds this thread's number. */
	for (int i = 0; i < PREY_WORDS; i++) {
		entries[i].next = i + 1 < PREY_WORDS ? &entries[i + 1] : (struct entry *)head;
	}
	head->next = entries;
	head->offset = L(p->words) - L(entries);
	head->pending = NULL;
	raw(SYS_set_robust_list, L(head), 24);
	__atomic_store_n(&p->more[1], 1, __ATOMIC_SEQ_CST);
	raw(SYS_exit, 0);
	return NULL;
}

static long by_a_thread(struct prey *p, void *(*fn)(void *))
{
	pthread_t id;
	int rc = pthread_create(&id, NULL, fn, p);

	if (rc != 0) {
		return -rc;
	}
	for (int i = 0; i < 2000 && __atomic_load_n(&p->more[1], __ATOMIC_SEQ_CST) == 0; i++) {
		waits(1);
	}
	waits(50);
	return 0;
}

long attack_set_tid_address(struct prey *p)
{
	return changed(p, by_a_thread(p, sets_tid_address));
}

long attack_robust_list(struct prey *p)
{
	long rc = by_a_thread(p, sets_robust_list);

	for (int k = 0; k < 30000 && p->low == p->own; k++) {
		for (int i = 0; i < PREY_WORDS; i++) {
			if (*(volatile uint32_t *)&p->words[4 * i] & 0x40000000) { /* FUTEX_OWNER_DIED */
				return ATTACK_DONE;
			}
		}
		waits(1);
	}
	return rc;
}

long attack_rseq(struct prey *p)
{
	extern const ptrdiff_t __rseq_offset;
	extern const unsigned int __rseq_size;

	if (__rseq_size != 0) {
		raw(SYS_rseq, L(fs_base()) + __rseq_offset, 32, 1, 0x53053053);
	}
	return done_if(raw(SYS_rseq, L(p->secret + 4), 32, 0, 0x53053053));
}

long attack_clone_onto_no_stack(struct prey *p)
{
	long none = raw(SYS_mmap, 0, 16 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long read = raw(SYS_mmap, 0, 16 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *const stacks[] = {(void *)(none + 8 * 4096), (void *)(read + 8 * 4096), (void *)&sets, p->secret + 256,
				p->gate + 2048, p->monitor + 2048, p->high, p->low + 64};
	long rc = -EPERM;

	for (unsigned i = 0; i < sizeof(stacks) / sizeof(stacks[0]); i++) {
		rc = hostile_clone(THREAD, stacks[i], NULL, NULL, fs_base(), sets, &p->more[1]);
		waits(20);
	}
	return rc < 0 ? rc : 0;
}

static void *loops(void *arg)
{
	while (__atomic_load_n(&((struct prey *)arg)->more[5], __ATOMIC_SEQ_CST) == 0) {
		waits(5);
	}
	return arg;
}

long attack_threads_without_end(struct prey *p)
{
	pthread_t id[64];
	int n = 0;

	/* The limit of the domain is 16. */
	while (n < 64 && pthread_create(&id[n], NULL, loops, p) == 0) {
		n++;
	}
	p->more[5] = 1;
	for (int i = 0; i < n; i++) {
		pthread_join(id[i], NULL);
	}
	return n > 16 ? ATTACK_DONE : -EAGAIN;
}

long attack_execve(struct prey *p)
{
	const char *const argv[] = {"sh", "-c", "exit 33", NULL}, *const envp[] = {NULL};
	long fd, rc = raw(SYS_execve, L("/bin/sh"), L(argv), L(envp));

	(void)p;
	fd = raw(SYS_open, L("/bin/sh"), O_RDONLY);
	raw(SYS_execveat, fd, L(""), L(argv), L(envp), 0x1000);
	raw(SYS_execveat, -100, L("/bin/sh"), L(argv), L(envp), 0);
	return rc;
}

static void *exits(void *arg)
{
	(void)arg;
	raw(SYS_exit_group, 33);
	return NULL;
}

long attack_exit_group_of_a_thread(struct prey *p)
{
	by_a_thread(p, exits);
	waits(1000);
	return 0;
}

long attack_exit_group(struct prey *p)
{
	(void)p;
	return raw(SYS_exit_group, 33);
}

static void *exits_later(void *arg)
{
	waits(100);
	return exits(arg);
}

/* The process lives as long as one of its threads does. */
long attack_exit_of_the_thread(struct prey *p)
{
	pthread_t id;

	if (p->low == p->own) {
		pthread_create(&id, NULL, exits_later, p);
	}
	return raw(SYS_exit, 0);
}
