/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to a fault, by libunwind as if the domain were another process.
 *
 * Registers and stack are hostile, and so is each address made of them. Every read goes through read_bytes: of the
 * domain's memory, of what the loader mapped for a loaded object and did not make writable, or of our own tables of
 * trampolines, and even then through the kernel, which says so when there is nothing. Whatever the tables and stacks
 * hold, the worst is a short or a wrong list.
 */
#include <elf.h>
#include <libunwind.h>
#include <link.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "../code/code.h"
#include "asm.h"
#include "fault_slot.h"

/* libunwind's, made for who brings the tables from elsewhere; not in its headers. */
extern int _Ux86_64_dwarf_search_unwind_table(unw_addr_space_t as, unw_word_t ip, unw_dyn_info_t *info,
					      unw_proc_info_t *proc, int need_unwind_info, void *arg);

#define HEADER_VERSION 1
#define ENC_PCREL_SDATA4 0x1b
#define ENC_UDATA4 0x03
#define ENC_DATAREL_SDATA4 0x3b
/* Each read is a system call: enough for 32 frames of ordinary code, and an end to anything else. */
#define MOST_READS 20000

struct walk {
	struct lych_fault *fault;
	bool (*contains)(void *ctx, uint64_t at, uint64_t bytes);
	void *ctx;
	unsigned int reads;
	struct lych_code_unwind trampolines; /* that the present frame is among */
};

struct object {
	uint64_t at;             /* looked for */
	uint64_t low, high;      /* of the segment that holds it */
	uint64_t header;         /* PT_GNU_EH_FRAME */
	bool found;
	bool code; /* an executable segment; else any that is not writable */
};

static int find_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct object *o = ctx;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uint64_t low = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_GNU_EH_FRAME) {
			o->header = low;
		}
		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_W) == 0 && (!o->code || (ph->p_flags & PF_X) != 0) &&
		    o->at >= low && o->at - low < ph->p_memsz) {
			o->found = true;
			o->low = low;
			o->high = low + ph->p_memsz;
		}
	}
	if (!o->found) {
		o->header = 0;
	}
	return o->found;
}

static bool of_an_object(uint64_t at, size_t bytes)
{
	struct object o = {.at = at};

	dl_iterate_phdr(find_object, &o);
	return o.found && o.high - at >= bytes;
}

static bool of_trampolines(const struct walk *w, uint64_t at, size_t bytes)
{
	const struct lych_code_unwind *t = &w->trampolines;

	return at >= t->memory && at - t->memory <= t->memory_bytes && t->memory_bytes - (at - t->memory) >= bytes;
}

static bool read_bytes(struct walk *w, uint64_t at, void *to, size_t bytes)
{
	struct iovec local = {to, bytes};
	struct iovec remote = {(void *)at, bytes};

	if (++w->reads > MOST_READS || at + bytes < at ||
	    (!w->contains(w->ctx, at, bytes) && !of_trampolines(w, at, bytes) && !of_an_object(at, bytes))) {
		return false;
	}
	return sys6(SYS_process_vm_readv, sys0(SYS_getpid), (long)&local, 1, (long)&remote, 1, 0) == (long)bytes;
}

static int access_mem(unw_addr_space_t as, unw_word_t at, unw_word_t *value, int write, void *arg)
{
	(void)as;
	*value = write ? *value : 0;
	return !write && read_bytes(arg, at, value, sizeof(*value)) ? 0 : -UNW_EINVAL;
}

static int access_reg(unw_addr_space_t as, unw_regnum_t reg, unw_word_t *value, int write, void *arg)
{
	/* rax rdx rcx rbx rsi rdi rbp rsp, as DWARF counts, to those of struct lych_fault */
	static const uint8_t low[8] = {0, 3, 2, 1, 4, 5, 6, 7};
	struct walk *w = arg;

	(void)as;
	if (write || reg < 0 || reg > UNW_X86_64_RIP) {
		return -UNW_EBADREG;
	}
	*value = reg == UNW_X86_64_RIP ? w->fault->rip : w->fault->gpr[reg < 8 ? low[reg] : reg];
	return 0;
}

static int access_fpreg(unw_addr_space_t as, unw_regnum_t reg, unw_fpreg_t *value, int write, void *arg)
{
	(void)as, (void)reg, (void)value, (void)write, (void)arg;
	return -UNW_EBADREG;
}

static int no_resume(unw_addr_space_t as, unw_cursor_t *cursor, void *arg)
{
	(void)as, (void)cursor, (void)arg;
	return -UNW_EINVAL;
}

static int no_dyn_info(unw_addr_space_t as, unw_word_t *at, void *arg)
{
	(void)as, (void)at, (void)arg;
	return -UNW_ENOINFO;
}

static int no_name(unw_addr_space_t as, unw_word_t at, char *name, size_t bytes, unw_word_t *off, void *arg)
{
	(void)as, (void)at, (void)name, (void)bytes, (void)off, (void)arg;
	return -UNW_ENOINFO;
}

static void put_unwind_info(unw_addr_space_t as, unw_proc_info_t *proc, void *arg)
{
	(void)as, (void)proc, (void)arg;
}

static int find_proc_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *proc, int need_unwind_info, void *arg)
{
	struct walk *w = arg;
	struct object o = {.at = ip, .code = true};
	unw_dyn_info_t info = {0};
	struct {
		uint8_t version, frame_enc, count_enc, table_enc;
		int32_t frame;
		uint32_t count;
	} header;

	w->trampolines = (struct lych_code_unwind){0};
	if (lych_code_unwind_of(ip, &w->trampolines)) {
		info.format = UNW_INFO_FORMAT_IP_OFFSET;
		info.start_ip = w->trampolines.start;
		info.end_ip = w->trampolines.end;
		info.u.rti.segbase = w->trampolines.frame;
		info.u.rti.table_data = w->trampolines.table;
		info.u.rti.table_len = w->trampolines.entries;
		return _Ux86_64_dwarf_search_unwind_table(as, ip, &info, proc, need_unwind_info, arg);
	}
	dl_iterate_phdr(find_object, &o);
	if (!o.found || o.header == 0 || !read_bytes(w, o.header, &header, sizeof(header)) ||
	    header.version != HEADER_VERSION || header.frame_enc != ENC_PCREL_SDATA4 ||
	    header.count_enc != ENC_UDATA4 || header.table_enc != ENC_DATAREL_SDATA4) {
		return -UNW_ENOINFO;
	}
	info.format = UNW_INFO_FORMAT_REMOTE_TABLE;
	info.start_ip = o.low;
	info.end_ip = o.high;
	info.u.rti.segbase = o.header;
	info.u.rti.table_data = o.header + sizeof(header);
	info.u.rti.table_len = (uint64_t)header.count * 8 / sizeof(unw_word_t);
	return _Ux86_64_dwarf_search_unwind_table(as, ip, &info, proc, need_unwind_info, arg);
}

void fault_backtrace(struct lych_fault *fault, bool (*contains)(void *ctx, uint64_t at, uint64_t bytes), void *ctx)
{
	unw_accessors_t accessors = {.find_proc_info = find_proc_info,
				     .put_unwind_info = put_unwind_info,
				     .get_dyn_info_list_addr = no_dyn_info,
				     .access_mem = access_mem,
				     .access_reg = access_reg,
				     .access_fpreg = access_fpreg,
				     .resume = no_resume,
				     .get_proc_name = no_name};
	struct walk walk = {.fault = fault, .contains = contains, .ctx = ctx};
	unw_addr_space_t as = unw_create_addr_space(&accessors, 0);
	unw_cursor_t cursor;
	unw_word_t sp_before = 0;
	bool told = false; /* of the frame, by the trampoline before it */

	fault->nframes = 0;
	if (as == NULL) {
		return;
	}
	unw_set_caching_policy(as, UNW_CACHE_NONE);
	if (unw_init_remote(&cursor, as, &walk) == 0) {
		do {
			unw_word_t ip = 0;
			unw_word_t sp = 0;
			uint64_t site;

			if (unw_get_reg(&cursor, UNW_REG_IP, &ip) != 0 || unw_get_reg(&cursor, UNW_REG_SP, &sp) != 0) {
				break;
			}
			if (told) {
				told = false;
				sp_before = sp;
				continue;
			}
			/* In the gate the domain's stack has ended. A stack that does not go on upwards is a loop. */
			if (ip == 0 || (ip >= (uint64_t)lych_gate_text && ip < (uint64_t)lych_gate_text_end) ||
			    (fault->nframes > 0 && sp <= sp_before)) {
				break;
			}
			/* From a trampoline it goes on with the function whose instruction was moved, at that one. */
			told = lych_code_site_of(ip, &site);
			sp_before = sp;
			fault->frames[fault->nframes++] = told ? site : ip;
		} while (fault->nframes < LYCH_FAULT_FRAMES && unw_step(&cursor) > 0);
	}
	unw_destroy_addr_space(as);
}
