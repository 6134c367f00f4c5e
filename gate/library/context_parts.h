/* SPDX-License-Identifier: Apache-2.0 */
/* Between context.c and own_threads.c: the threads of a library domain. */
#ifndef LYCH_CONTEXT_PARTS_H
#define LYCH_CONTEXT_PARTS_H

#include "../core/sigframe.h"
#include "library.h"

#define CONTEXTS 1024
#define MAIN 0
#define SPAWNER 1
#define FIRST 2
/* No thread has it: tids are below 2^22, and what a mutex notes of its owner is 30 bits. */
#define SPAWNER_TID 0x3ffffff0

enum context_use {
	CONTEXT_FREE,
	CONTEXT_HOST, /* of a thread of the host */
	CONTEXT_OWN,  /* of a thread of the domain's own */
};

/* Where a thread of the domain's own has been interrupted, and is to go on. A frame is behind it. */
struct kept {
	uint64_t fs, clear_tid, sp; /* sp: of the slot */
	int tid;
};
#define KEPT_HEADER 64
_Static_assert(sizeof(struct kept) <= KEPT_HEADER && KEPT_HEADER % FRAME_ALIGN == 0, "");

static inline struct sigframe *kept_frame(const struct kept *k)
{
	return (struct sigframe *)(void *)((char *)(uintptr_t)k + KEPT_HEADER);
}

struct inside_context {
	_Atomic uint32_t use;
	int tid;
	struct thread *_Atomic thread; /* who has it; NULL: nobody */
	uint64_t id;        /* of the domain, then */
	uint64_t fs;
	uint64_t clear_tid; /* 0: none */
	struct inside_start start;
	struct record *call;  /* that began it, while it is being begun, and for as long as an own one runs */
	bool beginning; /* start is what INSIDE_BEGIN loads */
	struct record *ending; /* the call in which its exit is no fault; NULL: there is none */
	/* Of an own one: */
	struct kept *_Atomic room;  /* to be kept in; NULL: none yet */
	struct kept *snapshot;      /* of the one who had this place when the snapshot was taken; NULL: nobody did */
	const struct kept *again;   /* what its beginning is; NULL: start */
	uint64_t spare_sp;          /* on the stack of the runtime's that its thread has */
	_Atomic bool stopped;       /* it was kept, and waits outside */
	_Atomic bool never;         /* it has registers that cannot be kept */
};

/* A clone that was not carried out. */
struct caught {
	bool is;
	uint64_t fs, clear_tid;
	struct inside_start start;
};

/* In monitor memory. */
struct contexts {
	struct thread *_Atomic making; /* who makes a context of the host's; NULL: nobody. Taken before monitor->lock */
	_Atomic uint32_t made;         /* changes when making is given back: a futex */
	struct thread *_Atomic maker;
	struct caught caught;
	_Atomic uint32_t own;   /* threads of the domain's own that run inside */
	_Atomic uint32_t alive; /* threads of the host that serve them */
	_Atomic uint32_t used;  /* none from here on has been in use since the last reset */
	_Atomic uint32_t next_tid;
	_Atomic uint32_t resting; /* own threads are to stop: a futex */
	struct inside_context at[CONTEXTS];
};

static inline struct slot *context_slot(const struct library *l, struct thread *t)
{
	return &t->slots[l->domain->key];
}

/* The one that t uses now; NULL: none. Async-signal-safe. */
LYCH_HIDDEN struct inside_context *context_of(const struct library *l, const struct thread *t);
/* A free one, which has no thread; NULL: there is none. */
LYCH_HIDDEN struct inside_context *context_claim(struct library *l, enum context_use use);
LYCH_HIDDEN void context_release(struct inside_context *x);
LYCH_HIDDEN void context_clear(struct inside_context *x); /* what of it its last owner has left */
/* With monitor->lock: self, the caller, gets a stack, and calls run with that fs base. As memory_stack_new. */
LYCH_HIDDEN int context_slot_take(struct library *l, struct thread *self, uint64_t fs);

/* own_threads.c: a thread of the host that goes on with x->again, of which own and alive count already. 0, -EAGAIN, -ENOMEM. */
LYCH_HIDDEN int own_again(struct library *l, struct inside_context *x);
/* rest.c: nobody runs any more. */
LYCH_HIDDEN void contexts_kept_free(struct library *l);
/* rest.c: with what is kept in k the frame goes on. false: it cannot. */
LYCH_HIDDEN bool kept_restore(struct sigframe *frame, const struct kept *k);
/* rest.c: x's own thread has come out. true: it was kept, and is to go in again. Waits meanwhile. */
LYCH_HIDDEN bool own_stopped(struct library *l, struct inside_context *x);
/* rest.c: x's own thread was not let in. true: while others were to rest, and it is to try again. Waits meanwhile. */
LYCH_HIDDEN bool own_not_begun(struct library *l, const struct inside_context *x);

#endif /* LYCH_CONTEXT_PARTS_H */
