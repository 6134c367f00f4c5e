/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that have never attached. They have whatever rights their creator had when it made them:
 * also to a region that was open just then. Before a key gets another owner they lose it, too (G8).
 *
 * They are found in /proc/self/task and told by the kick, key and place in si_uid;
 * lych_signal_unattached denies the key in the frame that it returns from, and acknowledges here,
 * in ordinary memory: the monitor's is closed to it. Such a thread never runs a domain's code, and
 * what a domain that may write ordinary memory could make of the acknowledgement, it could make of
 * the thread itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "keys.h"
#include "sigframe.h"
#include "signal.h"
#include "thread.h"

#define STRANGERS 1024
#define ROUNDS 4000 /* of half a millisecond */
#define KICK_EVERY 64
#define ASKS (1u << 30)     /* in si_uid: meant for a thread that is not attached */

static struct {
	_Atomic int tid;
	_Atomic int denied; /* the key that was lost last */
} strangers[STRANGERS];

static __thread uint32_t lost[KEYS] __attribute__((tls_model("initial-exec")));

/* Layout of the kernel's struct linux_dirent64. */
struct entry {
	uint64_t inode;
	int64_t next;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

/* The first thread of a process stays in the list when it has ended, as long as there are others, and signals can be sent
 * to it that it never gets. */
bool strangers_ended(int tid)
{
	char path[48] = "/proc/self/task/", digits[12], line[64];
	size_t at = sizeof(digits) - 1, used = strlen(path);
	long got, fd;

	digits[at] = '\0';
	for (int rest = tid; rest > 0; rest /= 10) {
		digits[--at] = (char)('0' + rest % 10);
	}
	memcpy(path + used, digits + at, sizeof(digits) - at);
	memcpy(path + used + sizeof(digits) - 1 - at, "/stat", sizeof("/stat"));
	fd = sys3(SYS_open, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0) {
		return fd == -ENOENT;
	}
	got = sys3(SYS_read, fd, line, sizeof(line));
	sys1(SYS_close, fd);
	/* TID (NAME) STATE: a name has 15 bytes at the most, and any of them. */
	while (got > 0 && line[got - 1] != ')') {
		got--;
	}
	return got > 0 && (size_t)got + 1 < sizeof(line) && (line[got + 1] == 'Z' || line[got + 1] == 'X');
}

static bool is_known(int tid)
{
	struct monitor *m = ROOT.monitor;

	for (size_t i = 0; i < THREADS_MAX; i++) {
		struct area *a = atomic_load(&m->threads[i]);
		if (a != NULL && a->thread.tid == tid) {
			return true;
		}
	}
	for (size_t i = 0; i < ATTACHING_MAX; i++) {
		if (atomic_load(&m->attaching[i]) == tid) {
			return true; /* it waits for the lock, and takes its view under it */
		}
	}
	return false;
}

static void kick(int tid, size_t place, int key)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = (int)ROOT.kick;
	info.si_code = SI_QUEUE;
	info.si_pid = (pid_t)sys0(SYS_getpid);
	info.si_uid = (uid_t)(ASKS | (uint32_t)key << 24 | (uint32_t)place);
	info.si_value.sival_ptr = (void *)(uintptr_t)ROOT.kick_cookie;
	sys4(SYS_rt_tgsigqueueinfo, info.si_pid, tid, ROOT.kick, &info);
}

/* Tasks that are in nobody's list yet get a place and a kick. How many have not answered; -1:
 * cannot be told. */
static int look(size_t *count, int key, bool again)
{
	uint64_t buffer[512];
	int self = (int)sys0(SYS_gettid), open = 0;
	int fd = (int)sys3(SYS_open, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	long got;

	if (fd < 0) {
		return -1;
	}
	while ((got = sys3(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < got;) {
			const struct entry *e = (const struct entry *)((const char *)buffer + at);
			int tid = atoi(e->name);
			size_t i = 0;
			bool asked = !again;

			at += e->bytes;
			if (tid <= 0 || tid == self || is_known(tid)) {
				continue;
			}
			while (i < *count && atomic_load(&strangers[i].tid) != tid) {
				i++;
			}
			if (i == STRANGERS) {
				got = -1;
				break;
			}
			if (i == *count) {
				atomic_store(&strangers[i].tid, tid);
				atomic_store(&strangers[i].denied, 0); /* nobody's answer to an earlier question */
				(*count)++;
				asked = false;
			}
			if (!asked && atomic_load(&strangers[i].denied) != key) {
				if (strangers_ended(tid)) {
					atomic_store(&strangers[i].denied, key);
				} else {
					kick(tid, i, key);
				}
			}
			open += atomic_load(&strangers[i].denied) != key;
		}
	}
	sys1(SYS_close, fd);
	return got < 0 ? -1 : open;
}

bool strangers_deny(int key)
{
	const struct timespec pause = {.tv_nsec = 500000};
	size_t count = 0;

	/* A stranger that has not lost it yet may make another: until a look finds nobody new. */
	for (int round = 0; round < ROUNDS; round++) {
		size_t before = count;
		int open = look(&count, key, round % KICK_EVERY == KICK_EVERY - 1);

		if (open < 0) {
			return false;
		}
		if (open == 0 && count == before) {
			return true;
		}
		sys2(SYS_nanosleep, &pause, NULL);
	}
	return false;
}

uint32_t strangers_rights(const struct kernel_ucontext *uc)
{
	const uint8_t *image = uc->mc.fpstate;
	uint32_t pkru = 0;
	uint64_t has;

	memcpy(&has, image + XSAVE_BV, sizeof(has));
	if ((has & XFEATURE_PKRU) != 0) {
		memcpy(&pkru, image + ROOT.xsave_pkru, sizeof(pkru));
	}
	return pkru;
}

void strangers_set_rights(struct kernel_ucontext *uc, uint32_t pkru)
{
	uint8_t *image = uc->mc.fpstate;
	uint64_t has, restored;

	memcpy(&has, image + XSAVE_BV, sizeof(has));
	memcpy(&restored, image + XSAVE_SW + offsetof(struct frame_sw, xfeatures), sizeof(restored));
	has |= XFEATURE_PKRU;
	restored |= XFEATURE_PKRU;
	memcpy(image + ROOT.xsave_pkru, &pkru, sizeof(pkru));
	memcpy(image + XSAVE_BV, &has, sizeof(has));
	memcpy(image + XSAVE_SW + offsetof(struct frame_sw, xfeatures), &restored, sizeof(restored));
}

/* What is asked for travels in registers: a handler in between may ask for something else, and its thread may have TLS
 * in common with another. */
static long ask(uint32_t clear, uint32_t set, bool chosen)
{
	uint64_t ill = SIGNAL_BIT(SIGILL), mask;
	long result;

	sys4(SYS_rt_sigprocmask, SIG_UNBLOCK, &ill, &mask, sizeof(mask));
	result = lych_restore_ask(clear, set, chosen);
	if ((mask & ill) != 0) {
		sys4(SYS_rt_sigprocmask, SIG_BLOCK, &ill, NULL, sizeof(mask));
	}
	return result;
}

void strangers_restore(uint32_t view)
{
	(void)ask(~0u, view, false);
}

int strangers_choose(uint32_t clear, uint32_t set)
{
	return (int)ask(clear, set, true);
}

bool strangers_asked(int sig, struct kernel_ucontext *uc)
{
	struct kernel_sigcontext *mc = &uc->mc;
	uint32_t clear = (uint32_t)mc->rdi;

	if (sig != SIGILL || mc->rip != (uint64_t)(uintptr_t)lych_restore_trap) {
		return false;
	}
	mc->rip += 2; /* ud2 */
	mc->rax = 0;
	/* All signals are blocked: who has lost a key by the kick before this finds it to be ours, who asks before that loses it. */
	if ((mc->rdx & 1) != 0 && (keys_ours_seen() & clear) != 0) {
		mc->rax = (uint64_t)-EINVAL;
		return true;
	}
	strangers_set_rights(uc, (strangers_rights(uc) & ~clear) | (uint32_t)mc->rsi);
	return true;
}

void strangers_lost(uint32_t counts[KEYS])
{
	memcpy(counts, lost, sizeof(lost));
}

void strangers_lose(uint32_t bits)
{
	for (int key = 0; key < KEYS; key++) {
		lost[key] += (bits & VIEW_AD(key)) != 0;
	}
}

uint32_t strangers_lost_since(const uint32_t counts[KEYS])
{
	uint32_t bits = 0;

	for (int key = 0; key < KEYS; key++) {
		bits |= lost[key] != counts[key] ? VIEW_AD(key) : 0;
	}
	return bits;
}

bool strangers_kicked(const siginfo_t *info, void *context)
{
	uint32_t what = (uint32_t)info->si_uid, key = what >> 24 & 15, place = what & 0xffffff;

	if (info->si_code != SI_QUEUE || (what & ASKS) == 0 || place >= STRANGERS || ROOT.xsave_pkru == 0) {
		return false;
	}
	strangers_set_rights(context, strangers_rights(context) | VIEW_AD(key));
	strangers_lose(VIEW_AD(key));
	/* One that comes late may find its place another thread's. */
	if (atomic_load(&strangers[place].tid) == (int)sys0(SYS_gettid)) {
		atomic_store(&strangers[place].denied, (int)key);
	}
	return true;
}
