/* SPDX-License-Identifier: Apache-2.0 */
/* The root page, and the proof that the assembly's offsets are those of the C structs. */
#include <errno.h>
#include <stddef.h>

#include "asm.h"

union lych_root_page lych_root_page __attribute__((aligned(LYCH_PAGE)));
__thread struct area *lych_tls;
__thread struct none_thread *lych_none_tls;

#define CHECK(type, member, offset)                                                     \
	_Static_assert(offsetof(type, member) == (offset), #type "." #member " is not " \
									     "at " #offset)

CHECK(struct gate_page, selector, GATE_SELECTOR);
CHECK(struct gate_page, not_view, GATE_NOT_VIEW);
CHECK(struct gate_page, not_caller, GATE_NOT_CALLER);
CHECK(struct gate_page, not_host, GATE_NOT_HOST);
CHECK(struct gate_page, not_want, GATE_NOT_WANT);
CHECK(struct gate_page, self, GATE_SELF);
CHECK(struct gate_page, magic, GATE_MAGIC);
CHECK(struct gate_page, soft_pkru, GATE_SOFT);
CHECK(struct gate_page, self_soft, GATE_SELF_SOFT);

_Static_assert(offsetof(struct area, thread) == MON, "");
CHECK(struct area, thread.top, MON_TOP);
CHECK(struct area, thread.limit, MON_LIMIT);
CHECK(struct area, thread.host_fs, MON_HOST_FS);
CHECK(struct area, thread.scratch, MON_SCRATCH);
CHECK(struct area, thread.sig_stack, MON_SIG_STACK);
CHECK(struct area, thread.sig_rsp, MON_SIG_RSP);
CHECK(struct area, thread.area_end, MON_AREA_END);
CHECK(struct area, thread.slots, MON_SLOTS);
CHECK(struct area, thread.tid, MON_TID);
CHECK(struct area, thread.altstack, MON_ALTSTACK);
CHECK(struct area, thread.altstack_bytes, MON_ALTSTACK_BYTES);
CHECK(struct area, thread.records, MON_RECORDS);
CHECK(struct slot, sp, SLOT_SP);
CHECK(struct slot, id, SLOT_ID);
CHECK(struct slot, low, SLOT_LOW);
CHECK(struct slot, top, SLOT_TOP);
CHECK(struct slot, fs, SLOT_FS);
_Static_assert(sizeof(struct slot) == SLOT_SIZE, "");
_Static_assert(sizeof(struct thread) == 3 * LYCH_PAGE, "three monitor pages");

CHECK(struct record, kind, REC_KIND);
CHECK(struct record, flags, REC_FLAGS);
CHECK(struct record, domain, REC_DOMAIN);
CHECK(struct record, binding, REC_BINDING);
CHECK(struct record, status, REC_STATUS);
CHECK(struct record, rsp, REC_RSP);
CHECK(struct record, rbx, REC_RBX);
CHECK(struct record, rbp, REC_RBP);
CHECK(struct record, r12, REC_R12);
CHECK(struct record, r13, REC_R13);
CHECK(struct record, r14, REC_R14);
CHECK(struct record, r15, REC_R15);
CHECK(struct record, fs, REC_FS);
CHECK(struct record, not_view, REC_VIEWS);
CHECK(struct record, not_caller, REC_VIEWS + 4);
CHECK(struct record, mxcsr, REC_MXCSR);
CHECK(struct record, fcw, REC_FCW);
CHECK(struct record, fsw, REC_FSW);
CHECK(struct record, slot_sp, REC_SLOT_SP);
CHECK(struct record, call_id, REC_CALL_ID);
CHECK(struct record, fenv, REC_FENV);
CHECK(struct record, st0, REC_ST0);
CHECK(struct record, deadline_ns, REC_DEADLINE);
CHECK(struct record, cancel, REC_CANCEL);
CHECK(struct record, args_off, REC_ARGS_OFF);
CHECK(struct record, callback, REC_THUNK);
CHECK(struct record, st1, REC_ST1);
_Static_assert(sizeof(struct record) == REC_SIZE, "");

CHECK(struct lych_domain, id, DOM_ID);
CHECK(struct lych_domain, slot, DOM_SLOT);
CHECK(struct lych_domain, not_view, DOM_NOT_VIEW);
CHECK(struct lych_domain, callbacks, DOM_CALLBACKS);
CHECK(struct lych_domain, ncallbacks, DOM_NCALLBACKS);
CHECK(struct lych_domain, key, DOM_KEY);

CHECK(struct lych_callback_entry, fn, CB_FN);
CHECK(struct lych_callback_entry, binding, CB_BINDING);
CHECK(struct lych_callback_entry, ctx, CB_CTX);
_Static_assert(sizeof(struct lych_callback_entry) == CB_SIZE, "");

CHECK(struct lych_binding, fn, BIND_FN);
CHECK(struct lych_binding, extra, BIND_EXTRA);
CHECK(struct lych_binding, skip, BIND_SKIP);
CHECK(struct lych_binding, ngpr, BIND_NGPR);
CHECK(struct lych_binding, nvec, BIND_NVEC);
CHECK(struct lych_binding, result, BIND_RESULT);
CHECK(struct lych_binding, words, BIND_WORDS);
CHECK(struct lych_binding, narrow, BIND_NARROW);
CHECK(struct lych_binding, align, BIND_ALIGN);
CHECK(struct lych_binding, widths, BIND_WIDTHS);
CHECK(struct lych_binding, values, BIND_VALUES);
CHECK(struct lych_binding, width, BIND_WIDTH);

CHECK(struct lych_hidden, callee, HIDDEN_DOMAIN - 8);
_Static_assert(HIDDEN_BINDING == HIDDEN_DOMAIN + 8 && HIDDEN_DEADLINE == HIDDEN_STATUS + 8, "");
CHECK(struct lych_hidden, caller, HIDDEN_STATUS - 8);
_Static_assert(sizeof(struct lych_hidden) == HIDDEN_SIZE, "");

CHECK(struct lych_root, scrub, ROOT_SCRUB);
CHECK(struct lych_root, backend, ROOT_BACKEND);
CHECK(struct lych_root, arena, ROOT_ARENA);
CHECK(struct lych_root, arena_bytes, ROOT_ARENA_SIZE);
CHECK(struct lych_root, host_view, ROOT_HOST_VIEW);
CHECK(struct lych_root, thunks, ROOT_THUNKS);
CHECK(struct lych_root, stacks, ROOT_STACKS);
CHECK(struct lych_root, stacks_bytes, ROOT_STACKS_SIZE);
CHECK(struct lych_root, restorer, ROOT_RESTORER);
CHECK(struct lych_root, none_callbacks, ROOT_NONE_CALLBACKS);
CHECK(struct lych_root, none_attach, ROOT_NONE_ATTACH);
_Static_assert(LYCH_MPROTECT == BACKEND_MPROTECT && LYCH_NONE == BACKEND_NONE, "");
CHECK(struct none_thread, used, NT_USED);
CHECK(struct none_thread, entries, NT_ENTRIES);
CHECK(struct none_entry, level, NE_LEVEL);
CHECK(struct none_entry, domain, NE_DOMAIN);
CHECK(struct none_entry, callback, NE_CALLBACK);
_Static_assert(sizeof(struct none_entry) == NE_SIZE && NT_COUNT == 2 * LYCH_DEPTH, "");
_Static_assert(EXFULL == NONE_EXFULL, "");
CHECK(struct thunk, domain, THUNK_DOMAIN);
CHECK(struct thunk, binding, THUNK_BINDING);
_Static_assert(sizeof(struct thunk) == THUNK_SIZE, "");
CHECK(struct handler_run, handler, RUN_HANDLER);
CHECK(struct handler_run, sig, RUN_SIG);
CHECK(struct handler_run, info, RUN_INFO);
CHECK(struct handler_run, context, RUN_CONTEXT);
CHECK(struct handler_run, rsp, RUN_RSP);
CHECK(struct handler_run, mask, RUN_MASK);

/* ---- tables of the assembly: distances from their own fields, so that they need no relocation
 * ------ */

extern LYCH_HIDDEN const struct gate_stretch {
	int32_t start, end, target;
	uint32_t rsp_from;
} __start_lych_windows[], __stop_lych_windows[], __start_lych_restarts[], __stop_lych_restarts[];

static uint64_t at(const int32_t *distance)
{
	return (uint64_t)(uintptr_t)distance + (uint64_t)(int64_t)*distance;
}

static bool find(const struct gate_stretch *s, const struct gate_stretch *end, uint64_t rip,
		 uint64_t *target, unsigned int *rsp_from)
{
	for (; s < end; s++) {
		if (rip >= at(&s->start) && rip < at(&s->end)) {
			*target = at(&s->target);
			*rsp_from = s->rsp_from;
			return true;
		}
	}
	return false;
}

bool gate_window_find(uint64_t rip, uint64_t *target, unsigned int *rsp_from)
{
	return find(__start_lych_windows, __stop_lych_windows, rip, target, rsp_from);
}

bool gate_restart_find(uint64_t rip, uint64_t *target)
{
	unsigned int rsp_from;

	return find(__start_lych_restarts, __stop_lych_restarts, rip, target, &rsp_from);
}

bool gate_holds(uint64_t rip)
{
	return (rip >= (uint64_t)lych_gate_text && rip < (uint64_t)lych_gate_text_end) ||
	       (rip >= (uint64_t)lych_gate_soft && rip < (uint64_t)lych_gate_soft_text_end);
}

bool gate_is_trap(uint64_t rip)
{
	return (rip >= (uintptr_t)lych_traps && rip < (uintptr_t)lych_traps_end) ||
	       (rip >= (uintptr_t)lych_traps_soft && rip < (uintptr_t)lych_traps_soft_end);
}
