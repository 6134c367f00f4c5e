/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Experiments run in a forked child with a time limit: one that is killed by a seccomp policy, that
 * crashes or that hangs is itself a result, and none can change the process that asks.
 */
#ifndef LYCHGATE_PROBE_CHILD_H
#define LYCHGATE_PROBE_CHILD_H

#include "probe.h"

/* Memory that child and parent share, so that the parent sees how far a killed child came. */
struct area {
	struct outcome end;
	union {
		struct cpuid_raw cpuid;
		struct selftest selftest;
	};
};

/*
 * child_run calls fn(area) in a child, and copies what the child left in its area to *area.
 * area->end says how it ended: what fn stored there, or OUTCOME_KILLED, OUTCOME_TIMEOUT, or
 * OUTCOME_WRONG with the exit status in value when it was not 0. area->end.step is the child's.
 */
void child_run(struct area *area, void (*fn)(struct area *));

/* For probes that need no more than an outcome. */
struct outcome child_outcome(void (*fn)(struct area *));

/* Inside a child: the result of a system call that returned -1 in errno, or something else. */
void child_errno(struct area *area);
void child_ok(struct area *area, long value);
void child_wrong(struct area *area);

/* Inside a child: notes the step that comes next, which is seen even if the child is killed. */
void child_step(struct area *area, int step);

#endif /* LYCHGATE_PROBE_CHILD_H */
