/* SPDX-License-Identifier: Apache-2.0 */
/* Other instructions that make system calls, and calls of all numbers. */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "inner.h"

/* ---- other instructions ------------------------------------------------------------------------------------------------ */

static long int80(long nr, long a, long b, long c)
{
	long rc = nr;

	__asm__ volatile("int $0x80" : "+a"(rc) : "b"(a), "c"(b), "d"(c) : "r8", "r9", "r10", "r11", "memory");
	return (int)rc;
}

long attack_int80(struct prey *p)
{
	long rc = int80(20 /* getpid */, 0, 0, 0);

	return rc == p->pid ? ATTACK_DONE : rc;
}

long attack_int80_reads_the_secret(struct prey *p)
{
	long rc = int80(19 /* lseek */, p->fd, 0, 1);

	return done_if(rc);
}

long attack_x32(struct prey *p)
{
	long rc = raw(SYS_getpid | 0x40000000L);

	return rc == p->pid ? ATTACK_DONE : rc;
}

long attack_sysenter(struct prey *p)
{
	/* The kernel takes the sixth argument from the stack, which must lie below 4 GiB. */
	long low = raw(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0), rc = 252 /* exit_group */;

	low = low < 0 && low > -4096 ? (long)(uint32_t)L(p->own) : low;
	/* Where the kernel goes on from there is its own choice: it makes the call, and the process is lost. */
	__asm__ volatile("push %%rbp\n push %%rbx\n mov $33, %%ebx\n mov %[low], %%rbp\n sysenter\n nop\n pop %%rbx\n pop %%rbp"
			 : "+a"(rc)
			 : [low] "S"(low)
			 : "rcx", "rdx", "rdi", "r8", "r9", "r10", "r11", "memory");
	return -ENOSYS;
}

long attack_vsyscall_writes_the_host(struct prey *p)
{
	((long (*)(void *, void *))0xffffffffff600000)(p->secret, NULL);
	return *(volatile uint64_t *)p->secret != PREY_SECRET ? ATTACK_DONE : -ENODATA;
}

long attack_host_syscall_instruction(struct prey *p)
{
	struct iovec local = {p->own, 8}, remote = {p->secret, 8};
	long rc = SYS_process_vm_readv;
	register long r10 __asm__("r10") = L(&remote);
	register long r8 __asm__("r8") = 1;
	register long r9 __asm__("r9") = 0;

	__asm__ volatile("call *%[at]"
			 : "+a"(rc)
			 : [at] "r"(p->host_syscall), "D"((long)p->pid), "S"(&local), "d"(1L), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return rc < 0 ? rc : took_in_own(p);
}

static const short deadly[] = {SYS_exit, SYS_exit_group, SYS_pause, SYS_fork, SYS_vfork, SYS_clone, SYS_rt_sigreturn,
			       SYS_sync, SYS_reboot, SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigsuspend, SYS_setsid,
			       SYS_alarm, SYS_umask, SYS_munlockall, SYS_vhangup, SYS_sched_yield, SYS_restart_syscall,
			       SYS_close_range, SYS_personality, SYS_unshare, SYS_setfsuid, SYS_setfsgid, SYS_mlockall,
			       SYS_brk, SYS_select, SYS_pselect6, SYS_poll, SYS_ppoll, SYS_inotify_init, SYS_dup};

static int is_deadly(long nr)
{
	for (unsigned i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++) {
		if (deadly[i] == nr) {
			return 1;
		}
	}
	return 0;
}

/* Nothing that could do harm without protection: all arguments are -1. */
long attack_numbers_that_are_none(struct prey *p)
{
	static const short never[] = {SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_userfaultfd, SYS_pkey_alloc,
				      SYS_pkey_free, SYS_pkey_mprotect, SYS_seccomp, SYS_bpf, SYS_perf_event_open, SYS_kexec_load,
				      SYS_init_module, SYS_mount, SYS_setns, SYS_execve, SYS_execveat, SYS_shmat, SYS_memfd_create,
				      SYS_modify_ldt, SYS_iopl, SYS_ioperm, SYS_timer_create, SYS_setitimer, SYS_io_setup,
				      SYS_open_by_handle_at, SYS_process_madvise, SYS_pidfd_open, SYS_pidfd_getfd,
				      SYS_pidfd_send_signal, 462};
	long rc = 0;

	/* What is never answered is refused whatever the arguments. */
	for (unsigned i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		rc = raw(never[i], -1, -1, -1, -1, -1, -1);
		if (p->low != NULL && rc >= 0) {
			return ATTACK_DONE;
		}
		p->more[0] += rc != -EPERM && rc != -ENOSYS;
	}
	/* Here all numbers, and beyond: it lives. */
	for (long nr = 0; nr < 1200; nr++) {
		if (!is_deadly(nr)) {
			raw(nr, -1, -1, -1, -1, -1, -1);
			raw(nr, -1, L(p->secret), L(p->secret), L(p->secret), L(p->secret), L(p->secret));
			raw(nr, L(p->gate), L(p->gate), 4096, L(p->gate), L(p->gate), L(p->gate));
		}
	}
	return p->more[0] != 0 ? ATTACK_DONE : rc;
}

/* Looks for the secret in all of own. */
static long took_anywhere(struct prey *p)
{
	const uint64_t secret = PREY_SECRET;
	const void *at = memmem(p->own, PREY_OWN, &secret, sizeof(secret));

	if (at == NULL) {
		return -ENODATA;
	}
	memcpy(&p->taken, at, sizeof(p->taken));
	return ATTACK_DONE;
}

/* What was written to the pipe, and to the file, back to own. */
static long took_back(struct prey *p, const int *two, long file)
{
	raw(SYS_read, two[0], L(p->own + 4096), 4096);
	raw(SYS_pread64, file, L(p->own + 8192), 4096, 0);
	return took_anywhere(p);
}

long attack_every_call_reads_the_host(struct prey *p)
{
	struct iovec *iov = (void *)p->own;
	struct msghdr *msg = (void *)(p->own + 256);
	char path[96];
	int two[2] = {-1, -1};
	long rc;

	raw(SYS_pipe2, L(two), O_NONBLOCK);
	snprintf(path, sizeof(path), "%s/every", p->work);
	long file = raw(SYS_open, L(path), O_CREAT | O_RDWR, 0600), udp = raw(SYS_socket, AF_INET, SOCK_DGRAM, 0);
	*iov = (struct iovec){p->secret, 8};
	*msg = (struct msghdr){.msg_iov = iov, .msg_iovlen = 1};
	const long calls[][7] = {
		{SYS_write, two[1], L(p->secret), 8},	{SYS_pwrite64, file, L(p->secret), 8, 0}, {SYS_writev, two[1], L(iov), 1},
		{SYS_pwritev, file, L(iov), 1, 0},	{SYS_pwritev2, file, L(iov), 1, 0, 0, 0}, {SYS_sendto, udp, L(p->secret), 8},
		{SYS_sendmsg, udp, L(msg), 0},		{SYS_mkdir, L(p->secret), 0700},	  {SYS_open, L(p->secret), O_CREAT, 0600},
	};
	for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		raw6(calls[i][0], calls[i][1], calls[i][2], calls[i][3], calls[i][4], calls[i][5], calls[i][6]);
		rc = took_back(p, two, file);
		if (rc == ATTACK_DONE) {
			return rc;
		}
	}
	/* All others, and each argument: what they would write there the host looks for. */
	for (long nr = 0; nr < 470; nr++) {
		if (is_deadly(nr) || nr == SYS_close || nr == SYS_dup2 || nr == SYS_dup3 || nr == SYS_clone) {
			continue;
		}
		for (int at = 0; at < 6; at++) {
			long arg[6] = {file, L(p->own + 512), 64, L(p->own + 1024), L(p->own + 1536), L(p->own + 2048)};

			arg[at] = L(p->secret);
			raw6(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
		}
	}
	return took_back(p, two, file);
}
