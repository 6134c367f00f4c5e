/* SPDX-License-Identifier: Apache-2.0 */
/* Between context.c and own_threads.c: the threads of a library domain. */
#ifndef LYCH_CONTEXT_PARTS_H
#define LYCH_CONTEXT_PARTS_H

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
/* With monitor->lock: self, the caller, gets a stack, and calls run with that fs base. As memory_stack_new. */
LYCH_HIDDEN int context_slot_take(struct library *l, struct thread *self, uint64_t fs);

#endif /* LYCH_CONTEXT_PARTS_H */
