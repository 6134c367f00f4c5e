/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments that change, steps, and registers that the runtime counts on. */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "inner.h"

#define ROUNDS 3000
/* Without protection on and on, until it was won: a busy machine may give the other thread its turn late. */
#define ROUNDS_UNTIL_WON(p) ((p)->low == (p)->own ? 100000000 : ROUNDS)

/* Another thread that changes one word, or one string, between two values until it is told to stop. */
struct flipping {
	void *volatile *word;
	void *one, *two;
	char *text;
	const char *texts[2];
	volatile int stop;
};

static void *flips(void *arg)
{
	struct flipping *f = arg;

	for (unsigned i = 0; !f->stop; i++) {
		if (f->word != NULL) {
			*f->word = i & 1 ? f->one : f->two;
		} else {
			const char *from = f->texts[i & 1];
			for (int k = 0; k < 120; k++) {
				((volatile char *)f->text)[k] = from[k];
				if (from[k] == '\0') {
					break;
				}
			}
		}
		if (i % 64 == 0) {
			sched_yield();
		}
	}
	return NULL;
}

static long race(struct prey *p, struct flipping *f, int rounds, long (*once)(struct prey *p, void *ctx), void *ctx)
{
	pthread_t thread;
	long rc = -ENODATA;

	f->stop = 0;
	if (pthread_create(&thread, NULL, flips, f) != 0) {
		return -EAGAIN;
	}
	for (int i = 0; i < rounds && rc != ATTACK_DONE; i++) {
		rc = once(p, ctx);
	}
	f->stop = 1;
	pthread_join(thread, NULL);
	return rc == ATTACK_DONE ? rc : -ENODATA;
}

static long opens(struct prey *p, void *path)
{
	long fd = raw(SYS_open, path, O_RDONLY), rc;

	if (fd < 0) {
		return fd;
	}
	rc = raw(SYS_read, fd, p->own + 4096, 8);
	raw(SYS_close, fd);
	memcpy(p->own, p->own + 4096, 8);
	return rc == 8 ? took_in_own(p) : -ENODATA;
}

long attack_path_that_changes(struct prey *p)
{
	char good[128], *path = p->own + 8192;

	snprintf(good, sizeof(good), "%s/good", p->work);
	raw(SYS_close, raw(SYS_open, good, O_CREAT | O_RDWR, 0600));
	strcpy(path, good);
	struct flipping f = {.text = path, .texts = {good, p->file}};
	return race(p, &f, ROUNDS_UNTIL_WON(p), opens, path);
}

struct by_vector {
	struct iovec *iov;
	int two[2];
	long fd;
};

/* Into a pipe, and out of it. */
static long writes(struct prey *p, void *ctx)
{
	struct by_vector *b = ctx;
	long rc = raw(SYS_writev, b->two[1], b->iov, 2);

	if (rc <= 0) {
		return rc;
	}
	memset(p->own, 0, 16);
	raw(SYS_read, b->two[0], p->own, rc);
	if (memcmp(p->own + 8, &(uint64_t){PREY_SECRET}, 8) == 0) {
		memcpy(p->own, p->own + 8, 8);
	}
	return took_in_own(p);
}

static struct iovec *vector(struct prey *p)
{
	struct iovec *iov = (void *)(p->own + 8192);

	iov[0] = (struct iovec){p->own + 4096, 8};
	iov[1] = (struct iovec){p->own + 4096, 8};
	return iov;
}

long attack_vector_that_changes(struct prey *p)
{
	struct by_vector b = {.iov = vector(p)};
	struct flipping f = {.word = &b.iov[1].iov_base, .one = p->own + 4096, .two = p->secret};
	long rc = raw(SYS_pipe2, b.two, O_NONBLOCK);

	return rc < 0 ? rc : race(p, &f, ROUNDS_UNTIL_WON(p), writes, &b);
}

static long reads(struct prey *p, void *ctx)
{
	struct by_vector *b = ctx;

	raw(SYS_preadv, b->fd, b->iov, 2, 0, 0);
	return p->low == p->own && *(volatile uint64_t *)p->secret != PREY_SECRET ? ATTACK_DONE : -ENODATA;
}

long attack_vector_that_changes_to_read(struct prey *p)
{
	char path[128];
	struct by_vector b = {.iov = vector(p)};
	struct flipping f = {.word = &b.iov[1].iov_base, .one = p->own + 4096, .two = p->secret};

	snprintf(path, sizeof(path), "%s/vector", p->work);
	b.fd = raw(SYS_open, path, O_CREAT | O_RDWR, 0600);
	raw(SYS_pwrite64, b.fd, "hostile and wrong", 16, 0);
	return b.fd < 0 ? b.fd : race(p, &f, ROUNDS_UNTIL_WON(p), reads, &b);
}

struct by_message {
	struct msghdr *msg;
	long from, to;
};

static long sends(struct prey *p, void *ctx)
{
	struct by_message *b = ctx;
	long rc = raw(SYS_sendmsg, b->from, b->msg, MSG_DONTWAIT);

	if (rc == 8) {
		memset(p->own, 0, 8);
		raw(SYS_recvfrom, b->to, p->own, 8, MSG_DONTWAIT, 0, 0);
		return took_in_own(p);
	}
	return -ENODATA;
}

/* The port of a socket that sends to a port of this machine; one that it has had before it keeps. */
static unsigned short connected(long fd, unsigned short port)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = port};
	unsigned int bytes = sizeof(name);

	if (raw(SYS_connect, fd, &name, sizeof(name)) != 0 || raw(SYS_getsockname, fd, &name, &bytes) != 0) {
		return 0;
	}
	return name.sin_port;
}

/* From one socket to another one of its own. */
long attack_message_that_changes(struct prey *p)
{
	struct msghdr *msg = (void *)(p->own + 12288);
	struct iovec *iov = vector(p);
	struct by_message b = {.msg = msg};
	struct flipping f = {.word = &iov[0].iov_base, .one = p->own + 4096, .two = p->secret};
	unsigned short to, from;

	b.from = raw(SYS_socket, AF_INET, SOCK_DGRAM, 0);
	b.to = raw(SYS_socket, AF_INET, SOCK_DGRAM, 0);
	if (b.from < 0 || b.to < 0) {
		return ATTACK_CANNOT;
	}
	to = connected(b.to, htons(9));
	from = connected(b.from, to);
	*msg = (struct msghdr){.msg_iov = iov, .msg_iovlen = 1};
	if (to == 0 || from == 0 || connected(b.to, from) != to || raw(SYS_sendmsg, b.from, msg, 0) != 8 ||
	    raw(SYS_recvfrom, b.to, p->own, 8, 0, 0, 0) != 8) {
		return ATTACK_CANNOT;
	}
	return race(p, &f, ROUNDS_UNTIL_WON(p), sends, &b);
}

static long sleeps(struct prey *p, void *ctx)
{
	(void)p;
	raw(SYS_nanosleep, ctx, 0);
	return -ENODATA;
}

long attack_time_that_changes(struct prey *p)
{
	struct timespec *ts = (void *)(p->own + 8192);
	struct flipping f = {.word = (void *volatile *)&ts->tv_nsec, .one = (void *)1000, .two = (void *)-1L};

	ts->tv_sec = 0;
	ts->tv_nsec = 1000;
	race(p, &f, ROUNDS, sleeps, ts);
	f.word = (void *volatile *)&ts->tv_sec;
	f.one = (void *)0;
	f.two = (void *)(1L << 63);
	ts->tv_nsec = 1000;
	/* Only that it comes to an end is asked. */
	return race(p, &f, ROUNDS, sleeps, ts);
}

struct going {
	long at;
	volatile int stop;
};

static void *goes(void *arg)
{
	struct going *g = arg;

	while (!g->stop) {
		raw(SYS_munmap, g->at, 64 * 4096);
		raw(SYS_mmap, g->at, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		raw(SYS_mprotect, g->at, 64 * 4096, PROT_NONE);
		raw(SYS_mprotect, g->at, 64 * 4096, PROT_READ | PROT_WRITE);
	}
	return NULL;
}

long attack_memory_that_goes(struct prey *p)
{
	struct going g = {raw(SYS_mmap, 0, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 0};
	pthread_t thread;
	char path[128];

	snprintf(path, sizeof(path), "%s/goes", p->work);
	long fd = raw(SYS_open, path, O_CREAT | O_RDWR, 0600);
	raw(SYS_ftruncate, fd, 64 * 4096);
	if (pthread_create(&thread, NULL, goes, &g) != 0) {
		return -EAGAIN;
	}
	for (int i = 0; i < 300; i++) {
		raw(SYS_pread64, fd, g.at, 64 * 4096, 0);
		raw(SYS_getrandom, g.at, 8192, 0);
		raw(SYS_pwrite64, fd, g.at, 64 * 4096, 0);
		raw(SYS_clock_gettime, 0, g.at + 4096);
		raw(SYS_open, g.at, 0);
	}
	g.stop = 1;
	pthread_join(thread, NULL);
	/* Whether the runtime stands it is for the host to see. */
	return -ENODATA;
}

/* ---- steps and registers -------------------------------------------------------------------------------------------------- */

long attack_steps_through_a_call(struct prey *p)
{
	long rc = SYS_getpid;

	(void)p;
	__asm__ volatile("pushfq\n orl $0x100, (%%rsp)\n popfq\n syscall\n nop\n" : "+a"(rc)::"rcx", "r11", "memory", "cc");
	return rc;
}

static inline void no_gs(int selector)
{
	__asm__ volatile("mov %0, %%gs" ::"r"(selector));
}

long attack_process_vm_readv(struct prey *p);

long attack_null_gs(struct prey *p)
{
	long rc;

	no_gs(0x2b);
	rc = attack_process_vm_readv(p);
	no_gs(0);
	return rc == ATTACK_DONE ? rc : attack_process_vm_readv(p);
}

long attack_null_gs_and_returns(struct prey *p)
{
	(void)p;
	no_gs(0x2b);
	return -ENODATA;
}

long attack_fault_without_gs(struct prey *p)
{
	(void)p;
	no_gs(0);
	__asm__ volatile("ud2");
	return 0;
}

/* ---- the kernel writes where rsp points --------------------------------------------------------------------------------------- */

void hostile_wild(void *rsp);
extern char hostile_exits[];

/* Without protection a signal's frame is written there, whatever its key, and then the handler ends the process. */
static long faults_with(char *rsp)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		unsigned long mask;
	} action = {hostile_exits, 0x04000000, hostile_exits, 0};

	raw(SYS_rt_sigaction, 4 /* SIGILL */, &action, 0, 8);
	hostile_wild(rsp);
	return 0;
}

long attack_fault_with_rsp_in_the_host(struct prey *p)
{
	return faults_with((char *)p->secret + 4096);
}

long attack_fault_with_rsp_in_the_gate_page(struct prey *p)
{
	return faults_with(p->gate + 4096);
}

long attack_fault_with_rsp_in_the_monitor(struct prey *p)
{
	return faults_with(p->monitor + 4096);
}

/* ---- the middle of gates ------------------------------------------------------------------------------------------------------ */

void hostile_jump(void *to, long rax, void *rdi, void *rsi, void *rsp);

/* With eax, ecx and edx 0: all rights. */
static long jumps(struct prey *p, void *to)
{
	if (to == NULL) {
		return -ENOENT;
	}
	hostile_jump(to, 0, p->secret, p->own, NULL);
	return took(p);
}

long attack_jumps_to_a_wrpkru_of_a_gate(struct prey *p)
{
	return jumps(p, p->gate_site);
}

long attack_jumps_to_the_signal_entry(struct prey *p)
{
	return jumps(p, p->signal_entry);
}

long attack_jumps_to_where_domains_resume(struct prey *p)
{
	return jumps(p, p->resume);
}

/* ---- callbacks from a thread of its own, on a stack of its choice: more[0] the stack, more[1] the callback ------------------- */

static void *calls_back(void *arg)
{
	struct prey *p = arg;

	__atomic_store_n(&p->more[2], 1, __ATOMIC_SEQ_CST);
	hostile_jump((void *)p->more[1], 0, NULL, NULL, (void *)p->more[0]);
	return NULL;
}

long attack_calls_back_from_a_thread(struct prey *p)
{
	long none = raw(SYS_mmap, 0, 32 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct timespec pause = {0, 100000000};
	pthread_t thread;

	if (p->more[0] == 1) {
		p->more[0] = (uint64_t)(none + 16 * 4096);
	} else if (p->more[0] == 2) {
		p->more[0] = (uint64_t)raw(SYS_mmap, 0, 32 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 16 * 4096;
	} else if (p->more[0] == 3) {
		p->more[0] = (uint64_t)raw(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 8;
	}
	if (pthread_create(&thread, NULL, calls_back, p) != 0) {
		return -EAGAIN;
	}
	for (int i = 0; i < 5; i++) {
		raw(SYS_nanosleep, &pause, 0);
	}
	return -ENODATA;
}
