/* SPDX-License-Identifier: Apache-2.0 */
/* Random system calls with random arguments, of several threads that change each other's: mediator_fuzz_test.cc looks at the host. */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/uio.h>

#include "fuzz.h"
#include "inner.h"

#define PAGE 4096L
#define REGION 64 /* pages of a thread, which are mapped, protected and unmapped at random */

struct fuzzer {
	struct prey *p;
	struct fuzz *f;
	uint64_t state;
	char *room;    /* pages of this thread, for arguments */
	long region;
	long calls, which;
};

/* splitmix64 */
static uint64_t next(struct fuzzer *z)
{
	uint64_t x = z->state += 0x9e3779b97f4a7c15UL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9UL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebUL;
	return x ^ (x >> 31);
}

static unsigned below(struct fuzzer *z, unsigned n)
{
	return (unsigned)(next(z) >> 33) % n;
}

/* ---- arguments ---------------------------------------------------------------------------------------------------------- */

/* Somewhere about at: on it, shortly before, at the end of its page. */
static long about(struct fuzzer *z, const void *at)
{
	static const short by[] = {0, 0, 0, 8, 16, 64, 512, 2048, 4080, 4088, 4095, -1, -4, -8, -16, -64};

	return L(at) + by[below(z, sizeof(by) / sizeof(by[0]))];
}

/* Of another owner: never the domain's. */
static long foreign(struct fuzzer *z)
{
	switch (below(z, 8)) {
	case 0:
		return about(z, z->p->gate);
	case 1:
		return about(z, z->p->monitor);
	case 2:
		return about(z, z->p->other);
	case 3:
		return about(z, z->p->words);
	case 4:
		return L(z->p->high) + below(z, 4096);
	default:
		return L(z->p->secret) + 8 * below(z, 16);
	}
}

static long own(struct fuzzer *z)
{
	return L(z->room) + 64 * below(z, FUZZ_ROOM / 64);
}

static long pointer(struct fuzzer *z)
{
	switch (below(z, 24)) {
	case 0:
	case 1:
	case 2:
		return foreign(z);
	case 3:
		return about(z, z->p->low);
	case 4:
		return about(z, z->p->high);
	case 5:
		return 0;
	case 6:
		return (long)next(z);
	case 7:
		return (1L << 47) - below(z, 64);
	case 8:
		return -(long)below(z, 8192);
	case 9:
		return about(z, z->room);
	case 10:
		return about(z, &pointer);
	case 11:
		return about(z, __builtin_frame_address(0));
	case 12:
		return z->region + below(z, REGION * PAGE);
	default:
		return own(z);
	}
}

static long size(struct fuzzer *z)
{
	static const long sizes[] = {0, 1, 2, 4, 7, 8, 16, 24, 32, 64, 128, 4095, 4096, 4097, 8192, 65536, 1L << 20, 1L << 31, (1L << 31) - 4096,
				     1L << 32, 1L << 47, 1L << 62, 0x7fffffffffffffffL, -1, -8, -4096};

	return below(z, 3) != 0 ? (long)below(z, 512) : sizes[below(z, sizeof(sizes) / sizeof(sizes[0]))];
}

static long number(struct fuzzer *z)
{
	switch (below(z, 8)) {
	case 0:
		return (long)next(z);
	case 1:
		return 1L << below(z, 64);
	case 2:
		return -(long)below(z, 4100);
	case 3:
		return size(z);
	case 4:
		return (1L << below(z, 32)) | (1L << below(z, 32)) | (1L << below(z, 12));
	default:
		return below(z, 32);
	}
}

static long descriptor(struct fuzzer *z)
{
	switch (below(z, 16)) {
	case 0:
		return z->p->fd;
	case 1:
		return z->p->dir;
	case 2:
		return -100;
	case 3:
		return number(z);
	case 4:
		return below(z, 1024);
	default:
		return below(z, 40);
	}
}

static long path(struct fuzzer *z, long at)
{
	static const char *const names[] = {"%s/a",	   "%s/b",	      "%s/c/d",		 "%s",	       "%s/../secret", "/",   "/etc", ".", "..",
					    "/proc/self/mem", "/proc/self/fd/0", "/proc/self/maps", "/dev/null", "/tmp",	    "a",   "",
					    "/dev/urandom",   "%s/a/..",	      "/proc/self/root", "%s/./b",    "//%s//a",	    "%s/e/"};
	char *to = (char *)at;

	snprintf(to, 200, names[below(z, sizeof(names) / sizeof(names[0]))], z->p->work);
	return at;
}

/* Structures of all kinds, true and false; another thread writes over them at any moment. */
static long filled(struct fuzzer *z, char kind)
{
	long at = own(z);
	long *words = (long *)at;

	if (at + 256 > L(z->room) + FUZZ_ROOM) {
		at -= 256;
		words = (long *)at;
	}
	switch (kind) {
	case 's':
		return path(z, at);
	case 'v': /* of iovec */
		for (int i = 0; i < 8; i += 2) {
			words[i] = below(z, 4) == 0 ? foreign(z) : pointer(z);
			words[i + 1] = below(z, 2) ? below(z, 64) : size(z);
		}
		break;
	case 't': /* a time: none is long, but where calls may wait */
		words[0] = z->f->waits && below(z, 4) == 0 ? number(z) : 0;
		words[1] = below(z, 8) == 0 ? number(z) : below(z, 1000);
		break;
	case 'h': /* of a message */
		for (int i = 0; i < 7; i++) {
			words[i] = i & 1 ? below(z, 64) : pointer(z);
		}
		break;
	case 'o': /* of pollfd */
		for (int i = 0; i < 8; i++) {
			words[i] = (long)((uint64_t)(uint32_t)descriptor(z) | (next(z) << 32));
		}
		break;
	case 'q': { /* an address */
		struct sockaddr_in *in = (void *)at;
		in->sin_family = below(z, 8) == 0 ? (unsigned short)next(z) : AF_INET;
		in->sin_port = (unsigned short)next(z);
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		break;
	}
	default:
		for (int i = 0; i < 8; i++) {
			words[i] = below(z, 2) ? number(z) : pointer(z);
		}
		break;
	}
	return at;
}

/* Most in the thread's own region; few where its libraries, its stacks and its heap are, of which it dies. */
static long place(struct fuzzer *z)
{
	switch (below(z, 48)) {
	case 0:
		return L(z->p->low) + (long)(next(z) % (uint64_t)(z->p->high - z->p->low)) / PAGE * PAGE;
	case 1:
		return foreign(z) & -PAGE;
	case 2:
		return L(z->p->high) - PAGE * below(z, 4);
	case 3:
		return L(z->p->low) - PAGE * below(z, 4);
	case 4:
		return (long)next(z);
	default:
		return z->region + PAGE * below(z, REGION);
	}
}

static long extent(struct fuzzer *z)
{
	return below(z, 24) == 0 ? size(z) : PAGE * (1 + below(z, 8));
}

/*
 * What calls take: f descriptor, p pointer, s path, v vector, t time, h message, o poll list, q address, x any structure, n size,
 * i number, a place in memory, e extent, r rights, m flags of mmap, g signal, z 0, k flags with O_NONBLOCK, w futex operation.
 */
static const struct known {
	short nr;
	const char *takes;
} known[] = {
	{SYS_read, "fpn"}, {SYS_write, "fpn"}, {SYS_pread64, "fpni"}, {SYS_pwrite64, "fpni"}, {SYS_readv, "fvi"}, {SYS_writev, "fvi"},
	{SYS_preadv, "fviii"}, {SYS_pwritev, "fviii"}, {SYS_preadv2, "fviiii"}, {SYS_pwritev2, "fviiii"}, {SYS_open, "ski"}, {SYS_openat, "fski"},
	{SYS_openat2, "fsxn"}, {SYS_creat, "si"}, {SYS_close, "f"}, {SYS_stat, "sp"}, {SYS_lstat, "sp"}, {SYS_fstat, "fp"},
	{SYS_newfstatat, "fspi"}, {SYS_statx, "fsiip"}, {SYS_poll, "oiz"}, {SYS_ppoll, "oitpi"}, {SYS_select, "ixxxt"}, {SYS_pselect6, "ixxxtx"},
	{SYS_lseek, "fii"}, {SYS_mmap, "aermfz"}, {SYS_mmap, "aermfe"}, {SYS_mmap, "zerm"}, {SYS_mprotect, "aer"}, {SYS_munmap, "ae"},
	{SYS_mremap, "aeeia"}, {SYS_madvise, "aei"}, {SYS_msync, "aei"}, {SYS_mincore, "aep"}, {SYS_mlock, "ae"}, {SYS_munlock, "ae"},
	{SYS_brk, "a"}, {SYS_rt_sigaction, "gxpi"}, {SYS_rt_sigprocmask, "ixpi"}, {SYS_rt_sigpending, "pi"}, {SYS_sigaltstack, "xp"},
	{SYS_ioctl, "fip"}, {SYS_access, "si"}, {SYS_faccessat, "fsi"}, {SYS_faccessat2, "fsii"}, {SYS_pipe2, "pk"}, {SYS_dup, "f"},
	{SYS_dup2, "ff"}, {SYS_dup3, "ffi"}, {SYS_fcntl, "fip"}, {SYS_fcntl, "fii"}, {SYS_nanosleep, "tp"}, {SYS_clock_nanosleep, "iztp"},
	{SYS_socket, "iii"}, {SYS_connect, "fqn"}, {SYS_sendto, "fpniqn"}, {SYS_recvfrom, "fpnipp"}, {SYS_sendmsg, "fhi"}, {SYS_recvmsg, "fhi"},
	{SYS_sendmmsg, "fxii"}, {SYS_recvmmsg, "fxiit"}, {SYS_shutdown, "fi"}, {SYS_getsockname, "fpp"}, {SYS_getpeername, "fpp"},
	{SYS_setsockopt, "fiipn"}, {SYS_getsockopt, "fiipp"}, {SYS_flock, "fi"}, {SYS_fsync, "f"}, {SYS_truncate, "si"}, {SYS_ftruncate, "fi"},
	{SYS_getcwd, "pn"}, {SYS_rename, "ss"}, {SYS_renameat, "fsfs"}, {SYS_renameat2, "fsfsi"}, {SYS_mkdir, "si"}, {SYS_mkdirat, "fsi"},
	{SYS_rmdir, "s"}, {SYS_unlink, "s"}, {SYS_unlinkat, "fsi"}, {SYS_readlink, "spn"}, {SYS_readlinkat, "fspn"}, {SYS_fchmod, "fi"},
	{SYS_umask, "i"}, {SYS_gettimeofday, "pp"}, {SYS_time, "p"}, {SYS_clock_gettime, "ip"}, {SYS_clock_getres, "ip"}, {SYS_getrlimit, "ip"},
	{SYS_prlimit64, "iixp"}, {SYS_getrusage, "ip"}, {SYS_sysinfo, "p"}, {SYS_times, "p"}, {SYS_uname, "p"}, {SYS_prctl, "iiiii"},
	{SYS_prctl, "ipiii"}, {SYS_arch_prctl, "ip"}, {SYS_futex, "pwitpi"}, {SYS_futex, "pwiipi"}, {SYS_set_robust_list, "pn"},
	{SYS_get_robust_list, "ipp"}, {SYS_getrandom, "pni"}, {SYS_getdents64, "fpn"}, {SYS_sched_getaffinity, "inp"}, {SYS_getcpu, "ppp"},
	{SYS_sched_getparam, "ip"}, {SYS_kill, "ig"}, {SYS_tgkill, "iig"}, {SYS_tkill, "ig"}, {SYS_rseq, "piii"}, {SYS_membarrier, "iii"},
	{SYS_fallocate, "fiii"}, {SYS_close_range, "iii"}, {SYS_copy_file_range, "fpfpni"}, {SYS_eventfd2, "ik"}, {SYS_epoll_create1, "i"},
	{SYS_epoll_ctl, "fifx"}, {SYS_epoll_wait, "fpiz"}, {SYS_epoll_pwait, "fpizpi"}, {SYS_process_vm_readv, "ivivii"},
	{SYS_process_vm_writev, "ivivii"}, {SYS_ptrace, "iipp"}, {SYS_pkey_mprotect, "aeri"}, {SYS_pkey_alloc, "ii"}, {SYS_pkey_free, "i"},
	{SYS_clone3, "xn"}, {SYS_set_thread_area, "x"}, {SYS_vmsplice, "fvii"}, {SYS_splice, "fpfpni"}, {SYS_tee, "ffni"},
	{SYS_signalfd4, "fxik"}, {SYS_timerfd_create, "ik"}, {SYS_memfd_create, "pi"}, {SYS_userfaultfd, "i"}, {SYS_seccomp, "iix"},
	{SYS_setitimer, "ixp"}, {SYS_timer_create, "ixp"}, {SYS_setrlimit, "ix"}, {SYS_sched_setaffinity, "inx"}, {SYS_execve, "sxx"},
};

/* A thread of the host waits for ever in these, or the fuzzer ends; they are made seldom. */
static const short seldom[] = {SYS_exit, SYS_exit_group, SYS_pause, SYS_rt_sigsuspend, SYS_wait4, SYS_waitid, SYS_clone, SYS_vfork, SYS_fork,
			       SYS_rt_sigreturn, SYS_rt_sigtimedwait, SYS_accept, SYS_accept4, SYS_kill, SYS_tkill, SYS_tgkill, SYS_pipe,
			       SYS_arch_prctl, SYS_epoll_pwait2};

static int is_seldom(long nr)
{
	for (unsigned i = 0; i < sizeof(seldom) / sizeof(seldom[0]); i++) {
		if (seldom[i] == nr) {
			return 1;
		}
	}
	return 0;
}

static long argument(struct fuzzer *z, char kind)
{
	switch (kind) {
	case 'f':
		return descriptor(z);
	case 'p':
		return pointer(z);
	case 's': case 'v': case 't': case 'h': case 'o': case 'q': case 'x':
		return below(z, 8) == 0 ? pointer(z) : filled(z, kind);
	case 'n':
		return size(z);
	case 'a':
		return place(z);
	case 'e':
		return extent(z);
	case 'r':
		return below(z, 8) == 0 ? number(z) : below(z, 8);
	case 'm':
		return below(z, 8) == 0 ? number(z) : MAP_PRIVATE | (below(z, 4) ? MAP_ANONYMOUS : 0) | (below(z, 3) ? MAP_FIXED : 0);
	case 'g':
		return below(z, 4) == 0 ? number(z) : SIGURG;
	case 'k':
		return number(z) | O_NONBLOCK;
	case 'w': /* WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, UNLOCK_PI, TRYLOCK_PI and, with a time, WAIT; private or not */
		return (z->f->waits ? below(z, 16) : 1 + 2 * below(z, 4)) | (below(z, 2) << 7);
	case 'z':
		return 0;
	default:
		return number(z);
	}
}

/* What would have copied from or to memory that is not the domain's, and says that it has. */
static int has_copied(struct fuzzer *z, long nr, const long *arg, long rc)
{
	long at, bytes;

	switch (nr) {
	case SYS_read: case SYS_write: case SYS_pread64: case SYS_pwrite64: case SYS_sendto: case SYS_recvfrom: case SYS_getdents64:
		at = arg[1];
		bytes = arg[2];
		break;
	case SYS_getrandom: case SYS_getcwd:
		at = arg[0];
		bytes = arg[1];
		break;
	default:
		return 0;
	}
	return rc > 0 && bytes > 0 && ((at >= L(z->p->secret) && at < L(z->p->secret) + PAGE) ||
				      (at >= L(z->p->other) && at < L(z->p->other) + PAGE) ||
				      (at >= L(z->p->gate) && at < L(z->p->gate) + 2 * PAGE));
}

static void once(struct fuzzer *z)
{
	long arg[6], nr, rc;
	unsigned which = below(z, 16);

	for (int i = 0; i < 6; i++) {
		arg[i] = below(z, 2) ? pointer(z) : number(z);
	}
	if (which != 0) {
		const struct known *k = &known[below(z, sizeof(known) / sizeof(known[0]))];

		nr = k->nr;
		for (int i = 0; k->takes[i] != '\0'; i++) {
			arg[i] = argument(z, k->takes[i]);
		}
	} else {
		nr = below(z, 16) == 0 ? number(z) : below(z, 480);
	}
	if (is_seldom((int)nr) && below(z, 256) != 0) {
		return;
	}
	z->f->last[z->which] = nr;
	rc = raw6(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	__atomic_add_fetch(&z->f->made, 1, __ATOMIC_RELAXED);
	if (rc >= 0 || rc < -4095) {
		__atomic_add_fetch(&z->f->answered, 1, __ATOMIC_RELAXED);
	}
	if (has_copied(z, nr, arg, rc)) {
		z->f->copied[0] = nr;
		memcpy(&z->f->copied[1], arg, sizeof(arg));
		z->f->copied[7] = rc;
	}
}

static void *fuzzes(void *arg)
{
	struct fuzzer z = *(struct fuzzer *)arg;

	z.region = raw(SYS_mmap, 0, REGION * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (long i = 0; i < z.calls; i++) {
		once(&z);
	}
	z.f->last[z.which] = -1;
	return NULL;
}

/* own holds a struct fuzz, and room for the arguments of all threads, which share it. */
long attack_fuzz(struct prey *p)
{
	struct fuzz *f = (void *)p->own;
	struct prey prey = *p; /* which calls may write over */
	struct fuzzer z[FUZZ_THREADS];
	pthread_t id[FUZZ_THREADS];
	long made = 0;

	for (long i = 0; i < f->threads && i < FUZZ_THREADS; i++) {
		z[i] = (struct fuzzer){.p = &prey, .f = f, .state = f->seed * FUZZ_THREADS + (uint64_t)i,
				       .room = p->own + PAGE, .calls = f->calls, .which = i};
		if (i > 0 && pthread_create(&id[made], NULL, fuzzes, &z[i]) == 0) {
			made++;
		}
	}
	fuzzes(&z[0]);
	for (long i = 0; i < made; i++) {
		pthread_join(id[i], NULL);
	}
	return ATTACK_DONE;
}
