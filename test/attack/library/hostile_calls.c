/* SPDX-License-Identifier: Apache-2.0 */
/* System calls against the process: its signals, descriptors, limits, paths. */
#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "inner.h"

/* ---- seccomp, prctl, arch_prctl ------------------------------------------------------------------------------------------ */

/* pkey_mprotect says that it has done what it has not. */
static struct sock_filter pretends[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pkey_mprotect, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

/* There are no pages that begin at 1. */
static long pretended(long rc)
{
	return rc < 0 ? rc : raw(SYS_pkey_mprotect, 1, 4096, PROT_READ, 0) == 0 ? ATTACK_DONE : -ENODATA;
}

long attack_seccomp_filter(struct prey *p)
{
	struct sock_fprog program = {sizeof(pretends) / sizeof(pretends[0]), pretends};

	(void)p;
	raw(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return pretended(raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, L(&program)));
}

long attack_seccomp_by_prctl(struct prey *p)
{
	struct sock_fprog program = {sizeof(pretends) / sizeof(pretends[0]), pretends};
	long rc = raw(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

	(void)p;
	return rc < 0 ? rc : pretended(raw(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, L(&program), 0, 0));
}

long attack_dispatch_off(struct prey *p)
{
	(void)p;
	return done_if(raw(SYS_prctl, 59, 0, 0, 0, 0));
}

long attack_dispatch_elsewhere(struct prey *p)
{
	p->own[0] = 0;
	return done_if(raw(SYS_prctl, 59, 1, 0, -1, L(p->own)));
}

long attack_prctl_dumpable(struct prey *p)
{
	(void)p;
	return done_if(raw(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0));
}

long attack_prctl_mm(struct prey *p)
{
	long rc = -EPERM;

	for (int what = 1; what <= 15; what++) { /* PR_SET_MM_START_CODE to PR_SET_MM_MAP_SIZE */
		rc = raw(SYS_prctl, PR_SET_MM, what, L(p->own), 0, 0);
		if (rc >= 0) {
			return ATTACK_DONE;
		}
	}
	return rc;
}

long attack_prctl_tsc(struct prey *p)
{
	(void)p;
	return done_if(raw(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0));
}

long attack_prctl_pdeathsig(struct prey *p)
{
	(void)p;
	return done_if(raw(SYS_prctl, PR_SET_PDEATHSIG, SIGURG, 0, 0, 0));
}

long attack_prctl_mdwe(struct prey *p)
{
	(void)p;
	return done_if(raw(SYS_prctl, 65, 1, 0, 0, 0));
}

long attack_prctl_others(struct prey *p)
{
	long best = -EPERM;

	(void)p;
	for (int what = 0; what < 80 && best != ATTACK_DONE; what++) {
		/* its own name, and whether it is dumpable, are nobody else's */
		if (what == PR_SET_NAME || what == PR_GET_NAME || what == PR_GET_DUMPABLE) {
			continue;
		}
		best = raw(SYS_prctl, what, 1, 0, 0, 0) >= 0 ? ATTACK_DONE : best;
	}
	return best;
}

long attack_arch_prctl_gs(struct prey *p)
{
	return done_if(raw(SYS_arch_prctl, ARCH_SET_GS, L(p->own)));
}

long attack_arch_prctl_fs_of_the_host(struct prey *p)
{
	unsigned long fs = 0;
	long places[] = {L(p->secret), L(p->gate), 0, 4096, L(p->high) - 8, L(p->low) - 8, 1L << 47, 1L << 62, -4096};
	long best = -EPERM;

	__asm__ volatile("mov %%fs:0, %0" : "=r"(fs));
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		long rc = raw(SYS_arch_prctl, ARCH_SET_FS, places[i]);
		if (rc >= 0) {
			raw(SYS_arch_prctl, ARCH_SET_FS, fs);
			best = ATTACK_DONE;
		}
	}
	return best;
}

long attack_arch_prctl_others(struct prey *p)
{
	static const int what[] = {0x1004, 0x1012, 0x1022, 0x1023, 0x2001, 0x2003, 0x4001, 0x5001, 0x5003, 0x5005};
	long best = -EPERM;

	for (unsigned i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		best = raw(SYS_arch_prctl, what[i], L(p->own)) >= 0 ? ATTACK_DONE : best;
	}
	return best;
}

long attack_modify_ldt(struct prey *p)
{
	struct {
		unsigned entry, base, limit, flags;
	} *d = (void *)p->own;

	d->entry = 0;
	d->base = 0;
	d->limit = 0xfffff;
	d->flags = 0x51;
	return done_if(raw(SYS_modify_ldt, 0x11, L(d), sizeof(*d)));
}

long attack_set_thread_area(struct prey *p)
{
	long rc = raw(SYS_set_thread_area, L(p->own));

	rc = rc < 0 ? raw(SYS_iopl, 3) : rc;
	rc = rc < 0 ? raw(SYS_ioperm, 0x80, 1, 1) : rc;
	return done_if(rc);
}

long attack_personality(struct prey *p)
{
	(void)p;
	return done_if(raw(SYS_personality, 0x0400000 | 0x0040000));
}

/* ---- signals ---------------------------------------------------------------------------------------------------------------- */

static struct prey *volatile handled_for;
static volatile long handled;

static void handler(int sig)
{
	(void)sig;
	handled = 1;
	if (handled_for != NULL) {
		handled_for->taken = *handled_for->other; /* which has key 0 without protection */
		raw(SYS_exit_group, 0);
	}
}

extern char hostile_restorer[];

struct kernel_action {
	void (*handler)(int);
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

static long handle(int sig, unsigned long flags)
{
	struct kernel_action action = {handler, 0x04000000 | flags, hostile_restorer, 0};

	return raw(SYS_rt_sigaction, sig, L(&action), 0, 8);
}

long attack_sigaction(struct prey *p)
{
	handled = 0;
	long rc = handle(SIGURG, 0);
	rc = rc < 0 ? rc : raw(SYS_tgkill, p->pid, raw(SYS_gettid), SIGURG);
	return handled ? ATTACK_DONE : rc;
}

long attack_sigaction_of_a_fault(struct prey *p)
{
	handled_for = p;
	handle(SIGSEGV, SA_NODEFER);
	hostile_read(p->secret);
	return 0;
}

long attack_sigaltstack_in_the_host(struct prey *p)
{
	stack_t stack = {.ss_sp = (char *)p->words, .ss_size = 4096};
	long rc = raw(SYS_sigaltstack, L(&stack), 0);

	if (rc == 0) {
		rc = handle(SIGURG, SA_ONSTACK);
		raw(SYS_tgkill, p->pid, raw(SYS_gettid), SIGURG);
	}
	if (handled) {
		return ATTACK_DONE;
	}
	return (long)hostile_read(p->secret);
}

long attack_sigreturn(struct prey *p)
{
	long hostile_sigreturn(void *, void *);
	void hostile_returned(void);
	/* A frame as the kernel writes it: return address, ucontext. No floating-point state: then all rights are as at the start. */
	struct {
		void *back;
		ucontext_t uc;
	} *frame = (void *)p->own;

	memset(frame, 0, sizeof(*frame));
	frame->uc.uc_flags = 6;
	frame->uc.uc_mcontext.gregs[REG_RIP] = L(hostile_returned);
	frame->uc.uc_mcontext.gregs[REG_EFL] = 0x202;
	frame->uc.uc_mcontext.gregs[REG_CSGSFS] = 0x002b000000000033;
	return hostile_sigreturn(frame, p);
}

long attack_sigprocmask(struct prey *p)
{
	unsigned long all = ~0UL, is = 0;

	(void)p;
	raw(SYS_rt_sigprocmask, SIG_SETMASK, L(&all), 0, 8);
	raw(SYS_rt_sigprocmask, SIG_SETMASK, 0, L(&is), 8);
	return is & (1UL << (SIGURG - 1)) ? ATTACK_DONE : -ENODATA;
}

long attack_kill_the_host(struct prey *p)
{
	const int sig = SIGURG;
	siginfo_t info;
	long rc, best = -EPERM;

	memset(&info, 0, sizeof(info));
	info.si_signo = sig;
	info.si_code = SI_QUEUE;
	info.si_pid = p->pid;
	long pidfd = raw(SYS_pidfd_open, p->pid, 0);
	const long calls[][5] = {
		{SYS_kill, p->pid, sig},
		{SYS_kill, 0, sig},
		{SYS_tkill, p->tid, sig},
		{SYS_tkill, p->other_tid, sig},
		{SYS_tgkill, p->pid, p->tid, sig},
		{SYS_tgkill, p->pid, p->other_tid, sig},
		{SYS_tgkill, -1, p->other_tid, sig},
		{SYS_rt_sigqueueinfo, p->pid, sig, L(&info)},
		{SYS_rt_tgsigqueueinfo, p->pid, p->other_tid, sig, L(&info)},
		{SYS_rt_tgsigqueueinfo, p->pid, p->tid, sig, L(&info)},
		{SYS_pidfd_send_signal, pidfd, sig, 0, 0},
		{SYS_tgkill, p->pid, p->other_tid, SIGRTMIN + 3}, /* a deadly one ends the call */
	};
	for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		rc = raw(calls[i][0], calls[i][1], calls[i][2], calls[i][3], calls[i][4]);
		best = rc >= 0 ? ATTACK_DONE : best;
	}
	return best;
}

long attack_timers(struct prey *p)
{
	struct itimerval soon = {.it_value = {.tv_usec = 1000}};
	struct sigevent event;
	int id = 0;
	long best = -EPERM;

	(void)p;
	memset(&event, 0, sizeof(event));
	event.sigev_notify = SIGEV_SIGNAL;
	event.sigev_signo = SIGURG;
	for (int which = 0; which < 3; which++) {
		best = raw(SYS_setitimer, which, L(&soon), 0) >= 0 ? ATTACK_DONE : best;
	}
	best = raw(SYS_timer_create, CLOCK_MONOTONIC, L(&event), L(&id)) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_alarm, 1) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_timerfd_create, CLOCK_MONOTONIC, 0) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_signalfd4, -1, L(&soon), 8, 0) >= 0 ? ATTACK_DONE : best;
	return best;
}

long attack_sigio(struct prey *p)
{
	int two[2] = {-1, -1};
	char path[96];
	long best = -EPERM;

	raw(SYS_pipe2, L(two), 0);
	best = raw(SYS_fcntl, two[0], F_SETOWN, p->pid) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_fcntl, two[0], F_SETSIG, SIGURG) >= 0 ? ATTACK_DONE : best;
	snprintf(path, sizeof(path), "%s/lease", p->work);
	long fd = raw(SYS_open, L(path), O_CREAT | O_RDWR, 0600);
	best = raw(SYS_fcntl, fd, F_SETLEASE, F_WRLCK) >= 0 ? ATTACK_DONE : best;
	long dir = raw(SYS_open, L(p->work), O_RDONLY | O_DIRECTORY);
	best = raw(SYS_fcntl, dir, F_NOTIFY, DN_CREATE | DN_MULTISHOT) >= 0 ? ATTACK_DONE : best;
	raw(SYS_fcntl, two[0], F_SETFL, O_ASYNC | O_NONBLOCK);
	best = (raw(SYS_fcntl, two[0], F_GETFL, 0) & O_ASYNC) != 0 ? ATTACK_DONE : best;
	int on = 1;
	raw(SYS_ioctl, two[0], 0x5452 /* FIOASYNC */, L(&on));
	raw(SYS_write, two[1], L("x"), 1);
	snprintf(path, sizeof(path), "%s/other", p->work);
	raw(SYS_open, L(path), O_CREAT | O_RDWR, 0600);
	return best;
}

/* ---- the process ---------------------------------------------------------------------------------------------------------------- */

long attack_limits(struct prey *p)
{
	long best = -EPERM;

	for (int what = 0; what < 16; what++) {
		if (what == RLIMIT_CORE || what == RLIMIT_NOFILE || what == RLIMIT_CPU || what == RLIMIT_MEMLOCK) {
			/* No time at all would kill the process at the next tick, before it can tell. */
			rlim_t least = what == RLIMIT_CPU ? 100000 : 0;
			struct rlimit less = {least, least};

			best = raw(SYS_setrlimit, what, L(&less)) >= 0 ? ATTACK_DONE : best;
			best = raw(SYS_prlimit64, p->pid, what, L(&less), 0) >= 0 ? ATTACK_DONE : best;
			best = raw(SYS_prlimit64, 0, what, L(&less), L(p->own)) >= 0 ? ATTACK_DONE : best;
		}
	}
	return best;
}

long attack_scheduling(struct prey *p)
{
	unsigned long one = 1;
	int low = 0;
	long best = -EPERM;

	best = raw(SYS_sched_setaffinity, 0, 8, L(&one)) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_sched_setaffinity, p->other_tid, 8, L(&one)) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_sched_setscheduler, p->other_tid, SCHED_IDLE, L(&low)) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_setpriority, PRIO_PROCESS, 0, 19) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_ioprio_set, 1, 0, 0x6000) >= 0 ? ATTACK_DONE : best;
	return best;
}

long attack_process(struct prey *p)
{
	long best = -EPERM;

	best = raw(SYS_chdir, L("/")) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_fchdir, p->dir) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_setsid) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_setpgid, 0, 0) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_unshare, CLONE_FILES) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_unshare, CLONE_NEWUSER) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_chroot, L(p->work)) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_setns, p->fd, 0) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_setgid, 65534) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_setuid, 65534) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_setresuid, 65534, 65534, 65534) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_setgroups, 0, 0) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_capset, L(p->own), L(p->own)) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_membarrier, 16, 0, 0) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_landlock_create_ruleset, 0, 0, 1) >= 0 ? ATTACK_DONE : best;
	best = raw(SYS_keyctl, 0, -3, 1, 0, 0) >= 0 ? ATTACK_DONE : best;
	return best;
}

/* ---- descriptors ------------------------------------------------------------------------------------------------------------------ */

long attack_host_descriptors(struct prey *p)
{
	long rc = -EBADF;

	for (int fd = 3; fd < 2048; fd++) {
		rc = raw(SYS_pread64, fd, L(p->own), 8, 0);
		if (rc == 8 && took_in_own(p) == ATTACK_DONE) {
			return ATTACK_DONE;
		}
	}
	rc = raw(SYS_fstat, p->fd, L(p->own));
	rc = rc < 0 ? raw(SYS_pwrite64, p->fd, L(p->own), 8, 0) : rc;
	return done_if(rc);
}

long attack_closes_the_hosts_descriptors(struct prey *p)
{
	long rc = raw(SYS_close_range, p->fd, p->fd, 0), best = -EBADF;

	if (rc >= 0) {
		return ATTACK_DONE;
	}
	for (int fd = 3; fd < 2048; fd++) {
		best = raw(SYS_close, fd) >= 0 ? ATTACK_DONE : best;
	}
	return best;
}

long attack_dup_onto_the_hosts(struct prey *p)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/own", p->work);
	long fd = raw(SYS_open, L(path), O_CREAT | O_RDWR, 0600);
	if (fd < 0) {
		return fd;
	}
	raw(SYS_pwrite64, fd, L("mine"), 4, 0);
	/* Its own numbers are its own: it can put what it likes there, and the host's stays what it is, which the host looks at. */
	raw(SYS_dup2, fd, p->fd);
	raw(SYS_dup3, fd, p->dir, O_CLOEXEC);
	raw(SYS_fcntl, fd, F_DUPFD, p->fd);
	raw(SYS_ftruncate, p->fd, 0);
	raw(SYS_pwrite64, p->fd, L("mine too"), 8, 0);
	p->more[0] = (uint64_t)raw(SYS_openat, p->dir, L("secret"), O_RDONLY);
	raw(SYS_pread64, p->fd, L(p->own), 8, 0);
	return p->low == p->own && memcmp(p->own, "mine too", 8) == 0 ? ATTACK_DONE : -EBADF;
}

long attack_host_directory(struct prey *p)
{
	long fd = raw(SYS_openat, p->dir, L("secret"), O_RDONLY);
	long rc = fd < 0 ? fd : raw(SYS_read, fd, L(p->own), 8);

	return rc < 0 ? rc : took_in_own(p);
}

long attack_dev_fd(struct prey *p)
{
	static const char *const names[] = {"/dev/fd/%d", "/proc/self/fd/%d", "/proc/thread-self/fd/%d", "/dev/stdin/../fd/%d",
					    "/proc/self/fdinfo/%d", NULL};
	char path[96];
	long rc = -ENOENT;

	for (int i = 0; names[i] != NULL; i++) {
		snprintf(path, sizeof(path), names[i], p->fd);
		rc = raw(SYS_open, L(path), O_RDONLY);
		if (rc >= 0) {
			return ATTACK_DONE;
		}
	}
	return rc;
}

long attack_scm_rights(struct prey *p)
{
	int two[2];
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {p->own, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	long rc = raw(SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, L(two));

	if (rc < 0) {
		/* what it has: a socket of the internet */
		two[1] = (int)raw(SYS_socket, AF_INET, SOCK_DGRAM, 0);
	}
	memset(control, 0, sizeof(control));
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &p->fd, sizeof(int));
	return done_if(raw(SYS_sendmsg, two[1], L(&msg), 0));
}

long attack_unix_sockets(struct prey *p)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	long fd = raw(SYS_socket, AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0) {
		fd = raw(SYS_socket, AF_INET, SOCK_STREAM, 0);
	}
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket", p->work);
	long rc = raw(SYS_bind, fd, L(&name), sizeof(name));
	return rc < 0 ? rc : done_if(raw(SYS_listen, fd, 1));
}

long attack_listens(struct prey *p)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	long fd = raw(SYS_socket, AF_INET, SOCK_STREAM, 0);
	long rc = fd < 0 ? fd : raw(SYS_bind, fd, L(&any), sizeof(any));

	(void)p;
	rc = raw(SYS_listen, fd, 1);
	return done_if(rc);
}

long attack_raw_sockets(struct prey *p)
{
	static const int families[] = {AF_PACKET, AF_NETLINK, AF_ALG, AF_VSOCK, AF_UNIX, AF_BLUETOOTH, AF_KEY, AF_XDP};
	long best = -EPERM;

	(void)p;
	for (unsigned i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++) {
			best = raw(SYS_socket, families[i], type, 0) >= 0 ? ATTACK_DONE : best;
		}
	}
	best = raw(SYS_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0 ? ATTACK_DONE : best;
	return best;
}
