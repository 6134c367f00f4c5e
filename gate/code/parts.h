/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of gate/code/ share. */
#ifndef LYCH_CODE_PARTS_H
#define LYCH_CODE_PARTS_H

#include "../../scanner/repair.h"
#include "code.h"

#define CODE_PAGE UINT64_C(4096)
#define page_down(at) ((at) & ~(CODE_PAGE - 1))
#define page_up(at) (((at) + CODE_PAGE - 1) & ~(CODE_PAGE - 1))

/* ---- arena.c --------------------------------------------------------------------------------------------------- */

/* There is one arena. From arena_begin to arena_end, where other threads may want it, too. Not for handlers of signals. */
/* false: over said so meanwhile (code.h). */
bool arena_lock(bool (*over)(const void *ctx), const void *ctx);
void arena_unlock(void);

/*
 * Memory for one lych_code_start or lych_code_admit and its child, which goes on in its copy of it: no lock that another
 * thread might hold is needed, and nothing of the program's heap is touched. Given back as a whole. -ENOMEM.
 */
int arena_begin(void);
void arena_end(void);
/* Zeroed, 16-byte aligned; NULL: full. Never given back alone. */
void *arena_take(size_t bytes);
/* All that is left, from where the next arena_take would be: for text whose length is not known before it is read. */
void *arena_rest(size_t *bytes);

/* ---- maps.c ---------------------------------------------------------------------------------------------------- */

struct code_map {
	uint64_t start, end, off, dev, inode;
	bool readable, writable, executable, shared;
	bool deleted; /* also memfd */
	bool left;    /* not looked at, and told */
	const char *path; /* in the arena; "" when anonymous */
	/* Of code that is not there yet: what will be at start, and the whole file it is of. NULL: it is there, and so is its file. */
	const uint8_t *content;
	const void *file;
	size_t file_bytes;
};

struct code_maps {
	struct code_map *items; /* all mappings, ascending */
	size_t count;
};

/* Reads /proc/self/maps into the arena. 0, -ENOMEM, -EOPNOTSUPP (no /proc, or a line that is none). */
int maps_read(struct code_maps *maps);
/* The first mapping that ends above vaddr; maps->count: none. */
size_t maps_from(const struct code_maps *maps, uint64_t vaddr);
/* Is it code to look at? Not the vsyscall page, which the kernel emulates, nor what was left. */
bool map_is_code(const struct code_map *map);

/* struct code's read (place.h) over executable memory as it is now, or will be, with a struct code_maps as context. */
size_t maps_code(void *maps, uint64_t vaddr, void *buf, size_t len);

#define CODE_CHUNK ((size_t)64 << 10)

/* Copies memory that may not be ours to read, or not be there. False: not all of it is mapped so that its owner could. */
bool code_fetch(void *to, uint64_t at, size_t bytes);
/* Is that what is there? chunk: CODE_CHUNK bytes to be used. */
bool code_holds(uint64_t at, const uint8_t *content, size_t bytes, void *chunk);

/* ---- look.c ---------------------------------------------------------------------------------------------------- */

struct code_hit {
	struct hit hit;
	size_t map;
	enum lych_verdict verdict;
};

/* As many as a group of trampolines can have (unwind.c). */
#define CODE_HITS_MAX 65535u

struct code_hits {
	struct code_hit *items; /* in the order of their opcodes; gates of ours and checked ones are not among them */
	struct hit *accepted;   /* but among these */
	size_t count, naccepted, room; /* of each */
};

/* Room for what is found, in the arena. -ENOMEM. */
int hits_begin(struct code_hits *hits, size_t room);

/*
 * Adds what stands in executable memory. Only our own gates count as gates, whatever other files say of theirs. look_at: in
 * [start, end), which is executable memory without a break. 0, -E2BIG (hits->room).
 */
int look_at_all(struct code_hits *hits, const struct code_maps *maps, uint32_t classes);
int look_at(struct code_hits *hits, const struct code_maps *maps, uint64_t start, uint64_t end, uint32_t classes);

/* ---- plan.c ---------------------------------------------------------------------------------------------------- */

/* As a planner makes for one sequence at most; trampolines, and pages that lose the right to execute: one. */
#define PLAN_EDITS_EACH 3

/* About one sequence. Written by the child: hostile. */
struct plan_item {
	uint8_t kind; /* enum repair_kind */
	char symbol[128];
	uint64_t into;
	char why[160];
};

/* What the child answers, in memory it shares with its parent: hostile, and copied before it is looked at. */
struct plan_answer {
	int32_t rc; /* of the planner: 0 or -errno; above 0 before it has ended */
	uint32_t nedits, ntrampolines, nno_exec;
	/* then items[hits], edits[3 * hits], trampolines[hits], no_exec[hits] */
};

struct plan {
	const struct code_maps *maps;
	const struct code_hits *hits;
	struct repair_options options;
	bool (*over)(const void *ctx); /* as in code.h */
	const void *over_ctx;
	/* the answer, copied */
	struct plan_item *items; /* one for each hit */
	struct repair_edit *edits;
	struct repair_trampoline *trampolines;
	struct repair_area *no_exec;
	size_t nedits, ntrampolines, nno_exec;
};

/* Plans in a child. 0, -ENOMEM, -EINTR (plan->over), -EOPNOTSUPP (no child, or it died: lych_why). */
int plan_make(struct plan *plan);

/* ---- start.c --------------------------------------------------------------------------------------------------- */

/* Is any of them not one of glibc's own? */
bool hits_have_strays(const struct code_hits *hits);

/* Says to lych_why that it was left; policy: of the command that says more. */
void why_left(const struct lych_code_item *item, const char *policy);

/* ---- carry.c --------------------------------------------------------------------------------------------------- */

struct run {
	uint64_t start, end;
};

/* Pages of trampolines from the one of trampoline i on that lie together; *next: the first one behind. */
struct run trampoline_run(const struct plan *plan, size_t i, size_t *next);

/* Is the sequence gone when the plan, which was checked, is carried out? */
bool plan_covers(const struct plan *plan, const struct hit *hit);

/*
 * Carries out a plan that was checked, copies code that this process could write, and looks at all code again. 0;
 * -EAGAIN: a place was taken, or executable memory has come meanwhile that nobody has looked at; -ENOEXEC: there are
 * sequences that were not there, or not such; -ENOMEM, -EOPNOTSUPP. Failing later than with the first page leaves what was changed, which does
 * what it did.
 */
int carry_out(const struct plan *plan);

/* ---- memo.c ---------------------------------------------------------------------------------------------------- */

/* The answer for plan->hits of copy, in the arena, if it is known: not to be believed any more than a child's. */
bool memo_find(const struct lych_code_copy *copy, const uint8_t *content, struct plan *plan);
/*
 * For a plan that is to be kept: it is made of memo_file, as what may change meanwhile would be kept for something else. NULL: no
 * memory, no file. Ends with memo_end; plan: what was made and checked, of the same hits, NULL: nothing.
 */
struct memo_plan *memo_begin(const struct lych_code_copy *copy, const uint8_t *content, size_t hits);
const void *memo_file(const struct memo_plan *m);
void memo_end(struct lych_code_memo *memo, struct memo_plan *m, const struct plan *plan);

/* ---- areas.c --------------------------------------------------------------------------------------------------- */

/* Where trampolines for the code of hits may be: free, near, and in nobody's way. */
void areas_choose(struct repair_options *options, const struct code_maps *maps, const struct code_hits *hits);

/* ---- door.c ---------------------------------------------------------------------------------------------------- */

/*
 * Executable memory at [at, at + bytes) that holds content, page-aligned; what was mapped there is replaced at once, so that
 * another thread runs the old or the new. With fresh nothing may be mapped there. name and off are for /proc/PID/maps: the
 * file it was made from, and where in it.
 * 0, -EEXIST (fresh), -ENOMEM, -EOPNOTSUPP: refused both ways (lych_why).
 */
int door_open(uint64_t at, const void *content, size_t bytes, bool fresh, const char *name, uint64_t off);
/*
 * The same for code of a domain, under its key (-1: none): executable only in the parts, which ascend and do not touch; what
 * is between them is readable. What comes has its key, and is not executable, before it is there; where the kernel lets
 * nothing become executable later, it has key 0 for a moment. 0, or -ENOMEM, -EOPNOTSUPP (lych_why): nothing was changed, or
 * nobody has access to [at, at + bytes) any more.
 */
int door_put(uint64_t at, const void *content, size_t bytes, int key, const struct repair_area *parts, size_t nparts,
	     const char *name, uint64_t off);
/* Nobody's access to what door_put has put there is left; the addresses stay taken, under the key. */
void door_withdraw(uint64_t at, size_t bytes, int key);
/* What door_open made with fresh. */
void door_close(uint64_t at, size_t bytes);
/* [start, end) is not executable any more. 0, -ENOMEM (too many mappings). */
int door_shut(uint64_t start, uint64_t end);
/* Every thread of the process goes on with the code that is there now. */
void door_settle(void);

#endif /* LYCH_CODE_PARTS_H */
