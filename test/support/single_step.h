/* SPDX-License-Identifier: Apache-2.0 */
/* A child process run one instruction at a time between two int3 of its own. C11 and C++17. */
#ifndef LYCH_TEST_SINGLE_STEP_H
#define LYCH_TEST_SINGLE_STEP_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child does stands between these. */
#define STEP_BEGIN() __asm__ volatile("int3" ::: "memory")
#define STEP_END() __asm__ volatile("int3" ::: "memory")

struct step {
	pid_t pid;
	struct user_regs_struct regs; /* before the instruction */
	uint8_t bytes[16];            /* at rip */
};

/* Returns 0 to go on. */
typedef int (*step_fn)(const struct step *step, void *ctx);

/* The child's memory, whatever keys it has. */
static inline int step_read(pid_t pid, uint64_t at, void *buf, size_t len)
{
	uint8_t *out = (uint8_t *)buf;

	for (size_t done = 0; done < len;) {
		/* PTRACE_PEEKDATA wants whole words; the first may begin before at. */
		uint64_t word_at = (at + done) & ~UINT64_C(7);
		size_t skip = (size_t)(at + done - word_at), n = 8 - skip < len - done ? 8 - skip : len - done;
		long word;

		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, pid, (void *)(uintptr_t)word_at, NULL);
		if (word == -1 && errno != 0) {
			return -errno;
		}
		memcpy(out + done, (uint8_t *)&word + skip, n);
		done += n;
	}
	return 0;
}

static inline int step_wait(pid_t pid, int *status)
{
	while (waitpid(pid, status, __WALL) != pid) {
		if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

/*
 * step_child forks, lets the child run body(ctx) up to STEP_BEGIN, and calls fn before each instruction from there
 * to STEP_END. Then the child goes on and ends. Signals that come meanwhile are delivered. What PUSHF writes does not
 * show that it is stepped: the trap flag in it is cleared.
 *
 * Returns the number of instructions, or a negative errno value: -ECHILD when the child ended first (a message on
 * stderr says how), -ECANCELED when fn did not return 0, or what ptrace said.
 */
static inline long step_child(void (*body)(void *), void *body_ctx, step_fn fn, void *ctx)
{
	struct step step;
	long count = 0;
	int status, deliver = 0, begun = 0, flags_pushed = 0, rc = 0;
	pid_t pid = fork();

	if (pid < 0) {
		return -errno;
	}
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
			_exit(99);
		}
		raise(SIGSTOP);
		body(body_ctx);
		_exit(0);
	}
	step.pid = pid;
	for (;;) {
		rc = step_wait(pid, &status);
		if (rc != 0) {
			return rc;
		}
		if (!WIFSTOPPED(status)) {
			fprintf(stderr, "stepped child: %s %d after %ld instructions\n",
				WIFEXITED(status) ? "exit code" : "signal",
				WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), count);
			return -ECHILD;
		}
		deliver = WSTOPSIG(status);
		if (deliver == SIGSTOP || deliver == SIGTRAP) {
			deliver = 0;
		}
		if (!begun && WSTOPSIG(status) != SIGTRAP) {
			ptrace(PTRACE_CONT, pid, NULL, (void *)(intptr_t)deliver);
			continue;
		}
		begun = 1; /* rip is behind the int3 */
		if (ptrace(PTRACE_GETREGS, pid, NULL, &step.regs) != 0) {
			rc = -errno;
			break;
		}
		if (flags_pushed) {
			long word = ptrace(PTRACE_PEEKDATA, pid, (void *)(uintptr_t)step.regs.rsp, NULL);

			ptrace(PTRACE_POKEDATA, pid, (void *)(uintptr_t)step.regs.rsp, (void *)(word & ~0x100L));
		}
		memset(step.bytes, 0, sizeof(step.bytes));
		if (step_read(pid, step.regs.rip, step.bytes, sizeof(step.bytes)) != 0) {
			/* byte by byte, up to where the mapping ends */
			for (size_t i = 0; i < sizeof(step.bytes); i++) {
				if (step_read(pid, step.regs.rip + i, &step.bytes[i], 1) != 0) {
					break;
				}
			}
		}
		if (step.bytes[0] == 0xcc) {
			step.regs.rip++;
			ptrace(PTRACE_SETREGS, pid, NULL, &step.regs);
			ptrace(PTRACE_DETACH, pid, NULL, NULL);
			waitpid(pid, &status, 0);
			return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? count : -ECHILD;
		}
		if (deliver == 0) {
			if (fn(&step, ctx) != 0) {
				rc = -ECANCELED;
				break;
			}
			count++;
		}
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, (void *)(intptr_t)deliver) != 0) {
			rc = -errno;
			break;
		}
		flags_pushed = deliver == 0 && step.bytes[0] == 0x9c;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, __WALL);
	return rc;
}

#endif /* LYCH_TEST_SINGLE_STEP_H */
