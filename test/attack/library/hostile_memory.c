/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of others: by instructions, and by system calls that reach it, change it, or make a second address of it. */
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "inner.h"

#define PAGE 4096L
#define RW (PROT_READ | PROT_WRITE)

long attack_nothing(struct prey *p)
{
	(void)p;
	return ATTACK_DONE;
}

long hostile_do(attack_fn attack, struct prey *p)
{
	return attack(p);
}

long hostile_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	return raw6(nr, a, b, c, d, e, f);
}

uint64_t hostile_read(const volatile uint64_t *at)
{
	return *at;
}

void hostile_write(volatile uint64_t *at)
{
	*at = 0x666;
}

/* ---- by instructions ------------------------------------------------------------------------------------------------ */

long attack_reads_a_page_of_the_host(struct prey *p)
{
	return took(p);
}

long attack_writes_a_page_of_the_host(struct prey *p)
{
	*(volatile uint64_t *)p->secret = 0x666;
	return ATTACK_DONE;
}

/* Where the host has a copy of the secret. */
static long takes(struct prey *p, const volatile uint64_t *at)
{
	p->taken = *at;
	return p->taken == PREY_SECRET ? ATTACK_DONE : -ENODATA;
}

static long overwrites(volatile uint64_t *at)
{
	*at = 0x666;
	return ATTACK_DONE;
}

long attack_reads_the_hosts_heap(struct prey *p)
{
	return takes(p, p->heap);
}

long attack_writes_the_hosts_heap(struct prey *p)
{
	return overwrites(p->heap);
}

long attack_reads_the_hosts_stack(struct prey *p)
{
	return takes(p, p->stack);
}

long attack_writes_the_hosts_stack(struct prey *p)
{
	return overwrites(p->stack);
}

long attack_reads_the_hosts_globals(struct prey *p)
{
	return takes(p, p->global);
}

long attack_writes_the_hosts_globals(struct prey *p)
{
	return overwrites(p->global);
}

long attack_reads_the_hosts_tls(struct prey *p)
{
	return takes(p, p->tls);
}

long attack_writes_the_hosts_tls(struct prey *p)
{
	return overwrites(p->tls);
}

long attack_reads_another_domain(struct prey *p)
{
	p->taken = *(volatile uint64_t *)p->other;
	return ATTACK_DONE;
}

long attack_writes_another_domain(struct prey *p)
{
	*(volatile uint64_t *)p->other = 0x666;
	return ATTACK_DONE;
}

long attack_reads_the_monitor(struct prey *p)
{
	p->taken = *(volatile uint64_t *)p->monitor;
	return ATTACK_DONE;
}

long attack_writes_the_monitor(struct prey *p)
{
	return overwrites((volatile uint64_t *)p->monitor);
}

long attack_writes_the_gate_page(struct prey *p)
{
	for (long i = 0; i < PAGE; i++) {
		((volatile char *)p->gate)[i] = 0;
	}
	return ATTACK_DONE;
}

/* ---- by the kernel, which heeds no keys ------------------------------------------------------------------------------ */

long attack_process_vm_readv(struct prey *p)
{
	struct iovec local = {p->own, 8}, remote = {p->secret, 8};
	long rc = raw(SYS_process_vm_readv, p->pid, L(&local), 1, L(&remote), 1, 0);

	return rc < 0 ? rc : took_in_own(p);
}

long attack_process_vm_writev(struct prey *p)
{
	struct iovec local = {p->own, 8}, remote = {p->secret, 8};

	return done_if(raw(SYS_process_vm_writev, p->pid, L(&local), 1, L(&remote), 1, 0));
}

long attack_process_madvise(struct prey *p)
{
	struct iovec what = {p->secret, PAGE};
	long fd = raw(SYS_pidfd_open, p->pid, 0);
	long rc = raw(SYS_process_madvise, fd, L(&what), 1, MADV_COLD, 0);

	return fd < 0 ? fd : done_if(rc);
}

/* Reads and writes the secret by the file. */
static long by_mem(struct prey *p, long fd)
{
	long rc = raw(SYS_pread64, fd, L(p->own), 8, L(p->secret));

	if (rc == 8 && took_in_own(p) == ATTACK_DONE) {
		return ATTACK_DONE;
	}
	rc = raw(SYS_pwrite64, fd, L(p->own), 8, L(p->secret));
	return rc == 8 ? ATTACK_DONE : rc < 0 ? rc : -ENODATA;
}

static long open_each(struct prey *p, const char *const *names, long (*then)(struct prey *p, long fd))
{
	char path[256];
	long worst = -ENOENT;

	for (; *names != NULL; names++) {
		for (int flags = O_RDONLY; flags <= O_RDWR; flags++) {
			snprintf(path, sizeof(path), *names, p->pid, p->tid);
			long fd = raw(SYS_open, L(path), flags);
			long rc = fd < 0 ? fd : then(p, fd);

			if (rc == ATTACK_DONE) {
				return rc;
			}
			worst = rc;
		}
	}
	return worst;
}

long attack_proc_self_mem(struct prey *p)
{
	static const char *const names[] = {
		"/proc/self/mem",
		"/proc/thread-self/mem",
		"/proc/%d/mem",
		"/proc/%d/task/%d/mem",
		"/proc/self/task/%2$d/mem",
		"//proc//self///mem",
		"/proc/./self/../self/mem",
		"/tmp/../proc/self/mem",
		"../proc/self/mem",
		"proc/self/mem",
		"/proc/self/root/proc/self/mem",
		"/proc/self/cwd/../../../../proc/self/mem",
		"/proc/self/task/../mem",
		"/proc/self/mem/",
		"/proc/self/fd/../mem",
		"/proc/self/map_files/../mem",
		"/dev/fd/../mem",
		"/dev/stdin/../../mem",
		NULL,
	};
	return open_each(p, names, by_mem);
}

long attack_proc_self_mem_by_openat(struct prey *p)
{
	static const char *const steps[] = {"/", "proc", "self", "mem"};
	long fd = -100; /* AT_FDCWD */

	for (int i = 0; i < 4; i++) {
		fd = raw(SYS_openat, fd, L(steps[i]), i == 3 ? O_RDWR : i == 0 ? O_RDONLY | O_DIRECTORY : O_PATH);
		if (fd < 0 && i > 0 && i < 3) {
			fd = raw(SYS_openat, fd, L(steps[i]), O_RDONLY | O_DIRECTORY);
		}
		if (fd < 0) {
			return fd;
		}
	}
	return by_mem(p, fd);
}

static long any_byte(struct prey *p, long fd)
{
	long rc = raw(SYS_read, fd, L(p->own), 1);

	return rc > 0 ? ATTACK_DONE : rc < 0 ? rc : -ENODATA;
}

long attack_proc_self_maps(struct prey *p)
{
	static const char *const names[] = {
		"/proc/self/maps",      "/proc/%d/maps",         "/proc/self/smaps",      "/proc/thread-self/maps",
		"/proc/self/environ",   "/proc/self/auxv",       "/proc/self/pagemap",    "/proc/self/stat",
		"/proc/self/syscall",   "/proc/self/task/%2$d/stat", "/proc/self/cmdline", "/proc/self/status",
		"/proc/self/exe",       NULL,
	};
	return open_each(p, names, any_byte);
}

static long opened(struct prey *p, long fd)
{
	(void)p;
	return done_if(fd);
}

long attack_dev_mem(struct prey *p)
{
	static const char *const names[] = {"/dev/mem", "/dev/kmem", "/dev/port", "/dev/sgx_enclave", "/dev/sgx/enclave",
					    "/dev/userfaultfd", "/dev/kvm", NULL};

	return open_each(p, names, opened);
}

long attack_ptrace_traceme(struct prey *p)
{
	(void)p;
	return done_if(raw(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0));
}

long attack_ptrace_seize(struct prey *p)
{
	(void)p;
	return done_if(raw(SYS_ptrace, PTRACE_SEIZE, raw(SYS_getppid), 0, 0));
}

long attack_userfaultfd(struct prey *p)
{
	(void)p;
	return done_if(raw(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
}

long attack_io_uring(struct prey *p)
{
	memset(p->own, 0, 256);
	return done_if(raw(425, 4, L(p->own)));
}

long attack_aio(struct prey *p)
{
	memset(p->own, 0, 64);
	return done_if(raw(SYS_io_setup, 4, L(p->own)));
}

long attack_msg_zerocopy(struct prey *p)
{
	int one = 1;
	long fd = raw(SYS_socket, AF_INET, SOCK_STREAM, 0);

	(void)p;
	return fd < 0 ? fd : done_if(raw(SYS_setsockopt, fd, SOL_SOCKET, 60 /* SO_ZEROCOPY */, L(&one), sizeof(one)));
}

long attack_vmsplice(struct prey *p)
{
	int two[2];
	struct iovec what = {p->secret, 8};
	long rc = raw(SYS_pipe2, L(two), O_NONBLOCK);

	if (rc < 0) {
		return rc;
	}
	rc = raw(SYS_vmsplice, two[1], L(&what), 1, 0);
	if (rc < 0) {
		return rc;
	}
	rc = raw(SYS_read, two[0], L(p->own), 8);
	return rc < 0 ? rc : took_in_own(p);
}

/* ---- keys -------------------------------------------------------------------------------------------------------------- */

long attack_pkey_mprotect_of_the_secret(struct prey *p)
{
	long rc = raw(SYS_pkey_mprotect, L(p->secret), PAGE, RW, 0);

	return rc < 0 ? rc : took(p);
}

long attack_pkey_mprotect_of_its_own(struct prey *p)
{
	long best = -EPERM;

	for (int key = 0; key < 16; key++) {
		long rc = raw(SYS_pkey_mprotect, L(p->own), PAGE, RW, key);
		best = rc >= 0 ? ATTACK_DONE : best;
	}
	return best;
}

long attack_pkey_free_and_alloc(struct prey *p)
{
	long rc = raw(SYS_pkey_free, p->key);

	rc = rc == 0 ? raw(SYS_pkey_alloc, 0, 0) : rc;
	return rc < 0 ? rc : rc != p->key ? -ENOKEY : took(p);
}

long attack_pkey_alloc(struct prey *p)
{
	(void)p;
	return done_if(raw(SYS_pkey_alloc, 0, 0));
}

long attack_mseal(struct prey *p)
{
	return done_if(raw(462, L(p->secret), PAGE, 0));
}

long attack_mlockall(struct prey *p)
{
	(void)p;
	return done_if(raw(SYS_mlockall, MCL_CURRENT));
}

long attack_remap_file_pages(struct prey *p)
{
	return done_if(raw(SYS_remap_file_pages, L(p->words), PAGE, 0, 0, 0));
}

long attack_move_pages(struct prey *p)
{
	void *pages[1] = {p->secret};
	int status = 0;

	return done_if(raw(SYS_move_pages, 0, 1, L(pages), 0, L(&status), 0));
}

long attack_mincore_of_the_secret(struct prey *p)
{
	return done_if(raw(SYS_mincore, L(p->secret), PAGE, L(p->own)));
}

/* ---- words -------------------------------------------------------------------------------------------------------------- */

long attack_futex_wake_op(struct prey *p)
{
	/* add 1 to the second word */
	int op = FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0);
	long rc = -EPERM;

	for (int flag = 0; flag <= FUTEX_PRIVATE_FLAG; flag += FUTEX_PRIVATE_FLAG) {
		rc = raw(SYS_futex, L(p->own), FUTEX_WAKE_OP | flag, 1, 1, L(p->secret), op);
		if (rc >= 0) {
			return ATTACK_DONE;
		}
	}
	return rc;
}

long attack_futex_lock_pi(struct prey *p)
{
	/* a word of zeros in the page of the secret */
	long rc = raw(SYS_futex, L(p->secret + 8), FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, 0, 0, 0, 0);

	rc = rc < 0 ? raw(SYS_futex, L(p->secret + 8), FUTEX_TRYLOCK_PI, 0, 0, 0, 0) : rc;
	return done_if(rc);
}

long attack_futex_requeue(struct prey *p)
{
	return done_if(raw(SYS_futex, L(p->secret), FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 1, 1, L(p->own),
			   (uint32_t)PREY_SECRET));
}

/* ---- the rest ----------------------------------------------------------------------------------------------------------- */

long attack_pidfd_getfd(struct prey *p)
{
	long pidfd = raw(SYS_pidfd_open, p->pid, 0), fd = pidfd < 0 ? pidfd : raw(438, pidfd, p->fd, 0);
	long rc = fd < 0 ? fd : raw(SYS_pread64, fd, L(p->own), 8, 0);

	return rc < 0 ? rc : took_in_own(p);
}

long attack_perf_event(struct prey *p)
{
	struct perf_event_attr attr;

	(void)p;
	memset(&attr, 0, sizeof(attr));
	attr.type = PERF_TYPE_SOFTWARE;
	attr.size = sizeof(attr);
	attr.config = PERF_COUNT_SW_CPU_CLOCK;
	attr.sample_type = PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER;
	attr.sample_regs_user = 1;
	attr.sample_stack_user = 4096;
	return done_if(raw(SYS_perf_event_open, L(&attr), 0, -1, -1, 0));
}

long attack_bpf(struct prey *p)
{
	memset(p->own, 0, 128);
	((uint32_t *)p->own)[0] = 2; /* an array of one word */
	((uint32_t *)p->own)[1] = 4;
	((uint32_t *)p->own)[2] = 4;
	((uint32_t *)p->own)[3] = 1;
	return done_if(raw(SYS_bpf, 0, L(p->own), 72));
}

long attack_core_dump(struct prey *p)
{
	(void)p;
	raw(SYS_kill, p->pid, SIGQUIT);
	return -ENODATA;
}
