/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans how code is changed so that a sequence that would write PKRU is no longer in it, while the code goes on
 * doing what it did. Pure: bytes and addresses in, a list of edits and trampolines out; it never runs what it
 * reads, and whatever the bytes are, the plan is either sound or a refusal. Nothing is shared between
 * two struct repair, so threads may plan at the same time.
 *
 * No control-flow graph is used. What is relied upon: where the instruction starts that holds the sequence
 * (place.h), and that jumps lead to the first byte of an instruction. So an edit changes the bytes of one
 * instruction, and never takes the next one with it.
 *
 * What differs afterwards: memory below the red zone; and an access relative to rsp or rbp whose address is not
 * canonical may end by SIGSEGV where it ended by SIGBUS, as another register holds the address.
 *
 * Nobody needs to trust the planner: repair_check (repair_check.h) looks at a plan without knowing how it came
 * about, and a scan of the result decides.
 */
#ifndef LYCH_REPAIR_H
#define LYCH_REPAIR_H

#include "place.h"

/* What is done about one sequence. */
enum repair_kind {
	REPAIR_REFUSED,
	REPAIR_ACCEPTED,   /* checked or a gate: nothing to do */
	REPAIR_GONE,       /* the repair of another one took it away */
	REPAIR_REENCODED,  /* same instruction, same length, other bytes */
	REPAIR_RETARGETED, /* a relative branch goes to a jump that goes on to the target */
	REPAIR_REBASED,    /* moved to a trampoline, where its RIP-relative displacement is another */
	REPAIR_CALLED,     /* a call through memory became a call of a jump through memory */
	REPAIR_SPLIT,      /* immediate or displacement built in two steps in a trampoline */
	REPAIR_MOVED,      /* one of several instructions moved to a trampoline */
	REPAIR_CHECKED,    /* XRSTOR moved to a trampoline, a check of EAX bit 9 right behind it */
	REPAIR_TRAPPED,    /* WRPKRU became ud2 */
	REPAIR_REPLACED,   /* glibc's pkey_set: ud2, and its entry leads to another function */
	REPAIR_NO_EXEC,    /* its pages hold no code: they lose the right to execute */
	REPAIR_LEFT,       /* data among code that the caller chose to leave */
	REPAIR_NOT_LOADED, /* in an object file, which nobody runs as it is (repair_file.h) */
	REPAIR_KIND_COUNT
};

/* How an instruction's address leads to its trampoline. */
enum repair_route {
	REPAIR_IN_PLACE, /* no trampoline */
	REPAIR_JUMP,     /* five bytes of jump or call fit into the instruction */
	REPAIR_HOP,      /* a two-byte jump to a jump in padding nearby */
	REPAIR_PUN,      /* the jump's last bytes are the next instruction's first ones, unchanged */
};

/* Names as they stand in reports; NULL when out of range. */
const char *repair_kind_name(enum repair_kind kind);
const char *repair_route_name(enum repair_route route);

/* The longest edit: an instruction, or a punned jump that borrows from what follows. */
#define REPAIR_EDIT_BYTES 20
#define REPAIR_CODE_BYTES 160
#define REPAIR_FIXUPS 8
#define REPAIR_STEPS 16

struct repair_edit {
	uint64_t vaddr;
	uint8_t len;
	uint8_t old_bytes[REPAIR_EDIT_BYTES];
	uint8_t new_bytes[REPAIR_EDIT_BYTES]; /* as many; the first and last may equal the old ones */
};

/* Four bytes at code[at] that say how far target is from code[end]. */
struct repair_fixup {
	uint8_t at, end;
	uint64_t target;
};

/* A general register (numbered as in ModRM) whose value, as the program knows it, is meanwhile elsewhere. */
struct repair_held {
	uint8_t reg;
	uint8_t saved; /* 1: the value is on the stack, at rsp + by; 0: it is what the register holds, and by more */
	int32_t by;
};

/*
 * For unwinding: from code[off] on, up to the next step, all is as it was before the original instruction (behind it,
 * with after set), but rsp is rsp_down bytes lower, and the first nheld registers in held have their values elsewhere.
 * Registers that the instruction itself writes may hold anything until it is done.
 */
struct repair_step {
	uint8_t off;
	uint8_t after; /* 0 or 1 */
	uint8_t nheld;
	uint32_t rsp_down;
	struct repair_held held[2];
};

struct repair_trampoline {
	uint64_t vaddr;
	uint64_t site;   /* of the instruction it stands for ... */
	uint64_t resume; /* ... and of the one behind that */
	uint64_t absolute; /* an address that the last 8 bytes of code hold; 0: they hold none */
	uint8_t len, nfixups, nsteps;
	uint8_t code[REPAIR_CODE_BYTES];
	struct repair_fixup fixups[REPAIR_FIXUPS];
	struct repair_step steps[REPAIR_STEPS];
};

/*
 * Addresses where trampolines may be put: not mapped by anything else. In order of preference. Addresses count
 * modulo 2^64, so that link-time addresses below 0 can be said.
 */
struct repair_area {
	uint64_t start, end;
};

#define REPAIR_AREAS 16

struct repair_options {
	uint32_t classes; /* set of LYCH_CLASS_BIT: neither edits nor trampolines may hold any of them */
	struct repair_area areas[REPAIR_AREAS];
	size_t nareas;
	uint64_t pkey_set; /* what glibc's pkey_set becomes; 0: its WRPKRU traps, that is all */
	bool leave_data;   /* sequences in data that shares a page with code are left */
	struct repair_area only; /* the code that may be changed; what is around it is only read. All zeros: all of it */
};

/* A sequence and what is known about the place. */
struct repair_stray {
	struct hit hit;
	enum lych_placement placement;
	enum lych_verdict verdict;
	uint64_t insn_vaddr; /* of the instruction that holds the first byte; not for data and undecided */
	const char *why;     /* why it is undecided */
	bool pages_hold_code; /* false: known for sure that no page it touches holds code */
	uint64_t code_start; /* an address at or below insn_vaddr where instructions start for sure; 0: none */
	/*
	 * What lies between functions, before and behind the one with the stray: [0].end is its start and [1].start
	 * its end. All zeros: not known.
	 */
	struct repair_area gaps[2];
};

struct repair_outcome {
	enum repair_kind kind;
	enum repair_route route;
	const char *why;        /* static; of a refusal, "" otherwise */
	size_t nedits;          /* that were made for it */
	struct repair_edit edits[3];
	bool has_trampoline;
	struct repair_trampoline trampoline;
	uint64_t page_start, page_end; /* REPAIR_NO_EXEC */
};

/* A plan. Set up with repair_begin; what it holds belongs to it until repair_end. */
struct repair {
	struct repair_options options;
	const struct code *code;
	struct repair_edit *edits; /* ascending, disjoint */
	size_t nedits;
	struct repair_trampoline *trampolines; /* ascending, disjoint, at least one byte apart */
	size_t ntrampolines;
	struct repair_area *no_exec; /* ascending, disjoint */
	size_t nno_exec;
	uint64_t cursor[REPAIR_AREAS]; /* where the next trampoline of an area is tried first */
	uint64_t work; /* instructions and placements looked at: what hostile code can cost is bounded */
};

/* code must stay readable and unchanged, options is copied. Returns 0, or -EINVAL: an area that is none. */
LYCH_MUST_CHECK int repair_begin(struct repair *r, const struct code *code, const struct repair_options *options);
void repair_end(struct repair *r);

/*
 * Plans the repair of one stray, on top of what was planned before, and says in *out what it is. Returns 0, also for a
 * refusal, or -ENOMEM: nothing was added. All strays of a plan together take some seconds at most, whatever
 * the code is; what is left then is refused.
 */
LYCH_MUST_CHECK int repair_add(struct repair *r, const struct repair_stray *stray, struct repair_outcome *out);

/*
 * Bytes at vaddr as they will be when the plan is carried out, trampolines included (what is between them reads as
 * int3): struct code's read, with a struct repair as context.
 */
size_t repair_read(void *repair, uint64_t vaddr, void *buf, size_t len);

#endif /* LYCH_REPAIR_H */
