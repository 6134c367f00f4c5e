/* SPDX-License-Identifier: Apache-2.0 */
/* Between signal.c and signal_thread.c. */
#ifndef LYCH_SIGNAL_LEVELS_H
#define LYCH_SIGNAL_LEVELS_H

#include "signal.h"

#define LEVELS_START 128 /* behind struct signal_state */
#define SS_AUTODISARM_BIT (1u << 31)

static inline struct signal_state *state_of(const struct thread *t)
{
	return (struct signal_state *)t->levels;
}

/* index <= nlevels: there is one more than handlers may use. */
static inline struct signal_level *level_at(const struct thread *t, uint32_t index)
{
	return (struct signal_level *)(t->levels + LEVELS_START + index * state_of(t)->level_bytes);
}

LYCH_HIDDEN size_t level_frame_bytes(void); /* room for the copy of a frame */
LYCH_HIDDEN void signals_arm(struct thread *t); /* the kernel's alternate stack is ours again */
/* mask: the kernel's, of the host. When it shows that handlers of the six were left, their share of host_mask goes. */
LYCH_HIDDEN void signals_notice_left(struct thread *t, uint64_t mask);
/* No level is free: those whose handler seems to have been left, by what it blocked, are. */
LYCH_HIDDEN void signals_reclaim_suspects(struct thread *t, uint64_t mask);
/* The first half of signals_reclaim: rsp is the host's, also while a domain runs. */
LYCH_HIDDEN void signals_reclaim_levels(struct thread *t, uint64_t rsp);
LYCH_HIDDEN void signals_raise_pending(struct thread *t); /* those of the six the host does not block any more */

#endif /* LYCH_SIGNAL_LEVELS_H */
