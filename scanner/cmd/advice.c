/* SPDX-License-Identifier: Apache-2.0 */
/* Why a finding matters and what to do about it, in words for somebody who meets it first. */
#include "report.h"

static const char *const ids[LYCH_CLASS_COUNT] = {
	/* Stable: reports of years refer to them. A new class takes the next number. */
	[LYCH_WRPKRU] = "LYCH001",  [LYCH_WRPKRU_REX2] = "LYCH002", [LYCH_XRSTOR] = "LYCH003",
	[LYCH_ENCLU] = "LYCH004",   [LYCH_WRFSBASE] = "LYCH005",    [LYCH_WRGSBASE] = "LYCH006",
	[LYCH_SYSCALL] = "LYCH007", [LYCH_SYSENTER] = "LYCH008",    [LYCH_INT80] = "LYCH009",
};

static const char *const dangers[LYCH_CLASS_COUNT] = {
	[LYCH_WRPKRU] = "WRPKRU sets the access rights of all protection keys from EAX. Who can "
			"jump to these bytes, in the middle of an instruction as well, with a "
			"value of his choice in EAX opens every keyed page of the process.",
	[LYCH_WRPKRU_REX2] = "On processors with APX these bytes are WRPKRU with a REX2 prefix, "
			     "which sets the access rights of all protection keys from EAX. Who "
			     "can jump to them opens every keyed page of the process. On older "
			     "processors they are harmless, but the file will meet newer ones.",
	[LYCH_XRSTOR] =
		"XRSTOR loads PKRU from memory when bit 9 of EAX is set, and opens everything when "
		"that memory says that PKRU has its initial value. Who can jump to these bytes "
		"with that bit set opens every keyed page of the process.",
	[LYCH_ENCLU] =
		"ENCLU enters an SGX enclave. Leaving one by an exception clears PKRU, which opens "
		"everything, and an enclave may hold WRPKRU in pages that nobody can scan.",
	[LYCH_WRFSBASE] = "WRFSBASE moves the thread-local storage, so that code which trusts it, "
			  "the C library's included, reads values of the attacker's choice.",
	[LYCH_WRGSBASE] =
		"WRGSBASE moves the gs base, by which call gates find the record that says who may "
		"return where. With a forged record a gate hands out rights.",
	[LYCH_SYSCALL] =
		"SYSCALL reaches the kernel, which can change protection keys (pkey_mprotect) and "
		"does not obey them everywhere. Such bytes are everywhere, too: system calls are "
		"confined by mediation, not by scanning.",
	[LYCH_SYSENTER] = "SYSENTER reaches the kernel by the 32-bit entry, where filters written "
			  "for 64-bit system calls do not look.",
	[LYCH_INT80] = "INT 80h reaches the kernel by the 32-bit entry, where filters written for "
		       "64-bit system calls do not look.",
};

const char *rule_id(enum lych_class cls)
{
	return ids[cls];
}

const char *advice_danger(enum lych_class cls)
{
	return dangers[cls];
}

const char *advice_verdict(enum lych_verdict verdict)
{
	switch (verdict) {
	case LYCH_VERDICT_STRAY:
		return "nothing makes it safe (the literature calls it an unsafe occurrence)";
	case LYCH_VERDICT_RUNTIME:
		return "glibc's own; the Lychgate runtime neutralises it when it starts, without "
		       "the runtime it is as dangerous as a stray";
	case LYCH_VERDICT_CHECKED:
		return "a check follows at once that no jump can leave out";
	case LYCH_VERDICT_GATE:
		return "a call gate of Lychgate: PKRU is compared right after it";
	default:
		return "";
	}
}

const char *advice_placement(enum lych_placement placement)
{
	switch (placement) {
	case LYCH_PLACE_INSTRUCTION:
		return "an instruction of its own, put there on purpose";
	case LYCH_PLACE_INSIDE:
		return "inside another instruction";
	case LYCH_PLACE_SPANNING:
		return "across the border of two or more instructions";
	case LYCH_PLACE_DATA:
		return "in data that is executable because it shares a page or segment with code";
	default:
		return "could not be told";
	}
}

static const char *inside_remedy(enum lych_part part)
{
	switch (part) {
	case LYCH_PART_IMM:
		return "The bytes are (part of) a constant: build it in two steps, for instance by "
		       "loading its complement and inverting it.";
	case LYCH_PART_REL:
		return "The bytes are a branch distance: any change of layout removes them. Add or "
		       "take away some bytes of code between the branch and its target (an "
		       "alignment, another order of objects at link time).";
	case LYCH_PART_RIPREL:
		return "The bytes are the distance to a variable: any change of layout removes "
		       "them (an alignment, another order of objects at link time).";
	case LYCH_PART_DISP:
		return "The bytes are an offset in a structure or stack frame: another order or "
		       "size of its members, or a change of the frame, removes them.";
	default:
		return "The bytes are part of the encoding itself: other registers or another "
		       "encoding of the same instruction remove them.";
	}
}

static void remedy_stray(struct buf *buf, const struct lych_finding *f, const char *bullet)
{
	switch (f->placement) {
	case LYCH_PLACE_INSTRUCTION:
		buf_printf(buf, "%sIt is there on purpose, so find out who uses it: %s.\n", bullet,
			   f->cls == LYCH_XRSTOR
				   ? "code that saves and restores vector state"
				   : "another user of protection keys, a JIT, a runtime");
		buf_printf(buf,
			   "%sReplace it by a call to Lychgate (domains and regions), keep that "
			   "library out of the process, or run it in a process of its own.\n",
			   bullet);
		break;
	case LYCH_PLACE_INSIDE:
		buf_printf(buf, "%s%s\n", bullet, inside_remedy(f->first_part));
		break;
	case LYCH_PLACE_SPANNING:
		buf_printf(
			buf,
			"%sTwo instructions form it by chance: other registers, another encoding "
			"of one of them (03 FD for 01 EF, add) or a NOP between them removes it.\n",
			bullet);
		break;
	case LYCH_PLACE_DATA:
		buf_printf(buf,
			   "%sIt is data: keep it out of executable pages. Link with -z "
			   "separate-code, and put tables of hand-written assembly into .rodata.\n",
			   bullet);
		break;
	default:
		buf_printf(buf,
			   "%sIt could not be told what the bytes belong to. Look at them with "
			   "symbols or unwind tables present (a debug build).\n",
			   bullet);
		break;
	}
	if (f->placement != LYCH_PLACE_INSTRUCTION) {
		buf_printf(buf,
			   "%sRecompile the function with another optimisation level, compiler or "
			   "small change and scan again; report it to whoever builds the file when "
			   "that is not you.\n",
			   bullet);
	}
	buf_printf(buf,
		   "%sUntil then do not load the file into a process that relies on protection "
		   "keys, or accept it knowingly with --baseline.\n",
		   bullet);
}

void advice_remedy(struct buf *buf, const struct lych_finding *f, const char *bullet)
{
	switch (f->verdict) {
	case LYCH_VERDICT_STRAY:
		if (f->cls == LYCH_SYSCALL || f->cls == LYCH_SYSENTER || f->cls == LYCH_INT80) {
			buf_printf(
				buf,
				"%sDo not try to remove it: confine system calls (seccomp, Syscall "
				"User Dispatch), as the Lychgate runtime does for domains.\n",
				bullet);
		} else {
			remedy_stray(buf, f, bullet);
		}
		break;
	case LYCH_VERDICT_RUNTIME:
		buf_printf(buf,
			   "%sEvery process with this C library has it. Use the Lychgate runtime, "
			   "which replaces it when it starts, and scan with --assume-runtime.\n",
			   bullet);
		break;
	default:
		buf_printf(buf, "%sNothing.\n", bullet);
		break;
	}
}
