/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe_child.h"

/* Every probe takes microseconds; under emulation on a busy machine, milliseconds. */
#define CHILD_TIMEOUT_MS 5000

void child_errno(struct area *area)
{
	area->end.err = errno;
	area->end.kind = OUTCOME_ERRNO;
}

void child_ok(struct area *area, long value)
{
	area->end.value = value;
	area->end.kind = OUTCOME_OK;
}

void child_wrong(struct area *area)
{
	area->end.kind = OUTCOME_WRONG;
}

void child_step(struct area *area, int step)
{
	/* volatile: must be in memory before the access that may kill us */
	*(volatile int *)&area->end.step = step;
}

/*
 * Makes the child harmless: it leaves no core file, does not outlive us, has its signals as by
 * default whatever we inherited. What of this is refused does no harm to the experiment.
 */
static void prepare(void)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGSYS, SIGTRAP, SIGUSR1};
	struct rlimit none = {0, 0};
	sigset_t empty;

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
		signal(fatal[i], SIG_DFL);
	}
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000L + t.tv_nsec / 1000000;
}

/* Waits until the other end of the pipe is closed, which the child's death does. */
static bool wait_for_end(int fd)
{
	long deadline = now_ms() + CHILD_TIMEOUT_MS;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		long left = deadline - now_ms();
		if (left <= 0) {
			return false;
		}
		int n = poll(&p, 1, (int)left);
		if (n > 0) {
			return true;
		}
		if (n < 0 && errno != EINTR) {
			return false;
		}
	}
}

static void reap(struct area *area, pid_t pid, bool in_time)
{
	pid_t got;
	int status;

	if (!in_time) {
		kill(pid, SIGKILL);
	}
	do {
		got = waitpid(pid, &status, 0);
	} while (got < 0 && errno == EINTR);

	if (!in_time) {
		area->end.kind = OUTCOME_TIMEOUT;
	} else if (got != pid) {
		area->end.kind = OUTCOME_UNKNOWN;
	} else if (WIFSIGNALED(status)) {
		area->end.kind = OUTCOME_KILLED;
		area->end.sig = WTERMSIG(status);
	} else if (WEXITSTATUS(status) != 0) {
		area->end.kind = OUTCOME_WRONG;
		area->end.value = WEXITSTATUS(status);
	}
}

void child_run(struct area *area, void (*fn)(struct area *))
{
	struct sigaction reapable = {.sa_handler = SIG_DFL}, before;
	int fds[2];
	struct area *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	*area = (struct area){0};
	if (shared == MAP_FAILED) {
		return;
	}
	if (pipe2(fds, O_CLOEXEC) != 0) {
		goto unmap;
	}
	/* with SIGCHLD ignored, as some parents leave it to us, nobody learns how a child ended */
	sigaction(SIGCHLD, &reapable, &before);

	pid_t pid = fork();
	if (pid == 0) {
		close(fds[0]);
		prepare();
		fn(shared);
		_exit(0);
	}
	close(fds[1]);
	if (pid > 0) {
		bool in_time = wait_for_end(fds[0]);
		reap(shared, pid, in_time);
		*area = *shared;
	}
	close(fds[0]);
	sigaction(SIGCHLD, &before, NULL);
unmap:
	munmap(shared, sizeof(*shared));
}

struct outcome child_outcome(void (*fn)(struct area *))
{
	struct area area;

	child_run(&area, fn);
	return area.end;
}
