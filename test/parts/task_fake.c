/* SPDX-License-Identifier: Apache-2.0 */
#include "task_fake.h"

#include <asm/prctl.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "asm.h"
#include "task.h"
#include "thread.h"

union lych_root_page lych_root_page;
const union lych_root_page lych_refused_page __attribute__((aligned(LYCH_PAGE)));
char fake_log[256];
static int self_err;
static struct area area;

void fake_ready(bool ready)
{
	ROOT.ready = ready;
	task_start();
}

void fake_unattachable(int err)
{
	self_err = err;
}

uint64_t fake_gs(void)
{
	uint64_t base = 0;

	syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
	return base;
}

uint64_t fake_refused(void)
{
	return (uintptr_t)&lych_refused_page;
}

long lych_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	long rc = syscall(nr, a, b, c, d, e, f);

	return rc == -1 ? -errno : rc;
}

int thread_self(struct thread **out)
{
	*out = self_err == 0 ? &area.thread : NULL;
	return self_err;
}

static void note(const char *what)
{
	uint64_t mask = 0;

	strcat(fake_log, what);
	syscall(SYS_rt_sigprocmask, 0, NULL, &mask, sizeof(mask));
	if ((mask | 1ULL << 8 | 1ULL << 18) != ~0ULL) { /* KILL and STOP cannot be */
		strcat(fake_log, "!");
	}
}

void threads_fork_prepare(void)
{
	note("P");
}

void threads_fork_parent(void)
{
	note("p");
}

void threads_fork_child(void)
{
	note("c");
}
