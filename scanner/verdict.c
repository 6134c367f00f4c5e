/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is there anything after the sequence that makes it safe? Decided by the bytes from the sequence on,
 * as somebody who jumps to its first byte would run them.
 *
 * That somebody may also arrive in compatibility mode (a far jump to a 32-bit code segment, which every
 * process can make as long as the code lies below 4 GiB). So each accepted sequence of bytes must mean the
 * same there. XRSTOR's ModRM, SIB and displacement have the same length with 32-bit addressing; so have
 * TEST EAX or r/m32 with imm32, BT r/m32 with imm8, CMP EAX with imm32, NOT EAX, CMP EAX with gs:disp32 by
 * SIB, Jcc rel8 and rel32, and UD2; no REX byte (INC or DEC there) is among them. Only a 67 in front changes
 * a length: it means 16-bit addressing there, whose ModRM takes other displacements, so that the check
 * could be passed over. A 16-bit code segment would change more; it needs modify_ldt, which the runtime
 * does not let pass.
 */
#include <string.h>

#include "place.h"

bool code_bytes(const struct code *code, uint64_t vaddr, void *buf, size_t len)
{
	size_t done = 0;

	/* a reader may give less than there is */
	while (done < len) {
		size_t got = code->read(code->ctx, vaddr + done, (uint8_t *)buf + done, len - done);

		if (got == 0) {
			return false;
		}
		done += got;
	}
	return true;
}

static bool code_equals(const struct code *code, uint64_t vaddr, const uint8_t *want, size_t len)
{
	uint8_t have[128];

	return len <= sizeof(have) && code_bytes(code, vaddr, have, len) && memcmp(have, want, len) == 0;
}

static bool ud2_at(const struct code *code, uint64_t vaddr)
{
	static const uint8_t ud2[] = {0x0f, 0x0b};

	return code_equals(code, vaddr, ud2, sizeof(ud2));
}

/*
 * Is at vaddr a conditional jump of condition cc (0 to 15) or its opposite, so that UD2 is what runs next
 * whenever the condition cc holds? Either Jcc to a UD2, or Jncc over a UD2 that follows it.
 */
static bool traps_if(const struct code *code, uint64_t vaddr, uint8_t cc)
{
	uint8_t head[2];
	uint64_t next, target;
	uint8_t found;
	int32_t rel;

	if (!code_bytes(code, vaddr, head, sizeof(head))) {
		return false;
	}
	if ((head[0] & 0xf0) == 0x70) {
		found = head[0] & 0x0f;
		next = vaddr + 2;
		rel = (int8_t)head[1];
	} else if (head[0] == 0x0f && (head[1] & 0xf0) == 0x80) {
		found = head[1] & 0x0f;
		next = vaddr + 6;
		if (!code_bytes(code, vaddr + 2, &rel, sizeof(rel))) {
			return false;
		}
	} else {
		return false;
	}
	if (found == (cc ^ 1)) {
		return ud2_at(code, next);
	}
	target = next + (uint64_t)(int64_t)rel;
	/* Across a 4 GiB line the jump would lead elsewhere in compatibility mode. */
	return found == cc && next >> 32 == target >> 32 && ud2_at(code, target);
}

#define CC_CARRY 0x2
#define CC_NOT_ZERO 0x5

/* ---- XRSTOR: EAX bit 9 says whether PKRU is among what it loads ---------------------------- */

/* Does what stands at vaddr set ZF or CF by EAX bit 9 alone? *cc: the condition that holds when it is set. */
static size_t bit9_test(const struct code *code, uint64_t vaddr, uint8_t *cc)
{
	static const uint8_t test_eax[] = {0xa9, 0x00, 0x02, 0x00, 0x00};
	static const uint8_t test_rm[] = {0xf7, 0xc0, 0x00, 0x02, 0x00, 0x00};
	static const uint8_t bt[] = {0x0f, 0xba, 0xe0, 0x09};

	*cc = CC_NOT_ZERO;
	if (code_equals(code, vaddr, test_eax, sizeof(test_eax))) {
		return sizeof(test_eax);
	}
	if (code_equals(code, vaddr, test_rm, sizeof(test_rm))) {
		return sizeof(test_rm);
	}
	*cc = CC_CARRY;
	return code_equals(code, vaddr, bt, sizeof(bt)) ? sizeof(bt) : 0;
}

/* Is there a 67 among the prefix bytes right before vaddr? REX bytes count, to be on the safe side. */
static bool addrsize_before(const struct code *code, uint64_t vaddr)
{
	static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};

	for (uint64_t i = 1; i < LYCH_SEQUENCE_MAX && i <= vaddr; i++) {
		uint8_t b;

		if (!code_bytes(code, vaddr - i, &b, 1)) {
			return false;
		}
		if (b == 0x67) {
			return true;
		}
		if ((b & 0xf0) != 0x40 && memchr(prefixes, b, sizeof(prefixes)) == NULL) {
			return false;
		}
	}
	return false;
}

static enum lych_verdict xrstor_verdict(const struct hit *hit, const struct code *code, const char **why)
{
	uint8_t bytes[LYCH_SEQUENCE_MAX];
	struct insn in;
	size_t got = 0, more = 1, test_len;
	uint8_t cc;

	while (got < sizeof(bytes) && more > 0) {
		more = code->read(code->ctx, hit->core + got, bytes + got, sizeof(bytes) - got);
		got += more;
	}
	if (!insn_decode(&in, bytes, got)) {
		*why = "the executable memory ends within it";
		return LYCH_VERDICT_STRAY;
	}
	test_len = bit9_test(code, hit->core + in.len, &cc);
	if (test_len == 0) {
		*why = "loads PKRU when EAX bit 9 is set, and no check of it follows at once";
		return LYCH_VERDICT_STRAY;
	}
	if (!traps_if(code, hit->core + in.len + test_len, cc)) {
		*why = "EAX bit 9 is tested after it, but the result does not lead to ud2";
		return LYCH_VERDICT_STRAY;
	}
	if (addrsize_before(code, hit->core)) {
		*why = "EAX bit 9 is checked after it, but a prefix 67 before it hides the check in 32-bit mode";
		return LYCH_VERDICT_STRAY;
	}
	*why = "EAX bit 9 is checked right after it";
	return LYCH_VERDICT_CHECKED;
}

/* ---- WRPKRU: our gates --------------------------------------------------------------------- */

enum gate_shape { GATE_NONE, GATE_COMPARES, GATE_TRAPS };

/* Does the code at the site compare EAX as kind says (note.h), and trap when it differs? */
static enum gate_shape gate_shape_at(const struct code *code, uint64_t site, uint8_t kind)
{
	/* not %eax; cmp %gs:disp32,%eax: memory of zeros stands for "everything denied" */
	static const uint8_t cmp_gs[] = {0xf7, 0xd0, 0x65, 0x3b, 0x04, 0x25};
	static const uint8_t cmp_imm[] = {0x3d};
	bool gs = kind == LYCH_SITE_GS;

	if (!code_equals(code, site, gs ? cmp_gs : cmp_imm, gs ? sizeof(cmp_gs) : sizeof(cmp_imm))) {
		return GATE_NONE;
	}
	/* Any flat selector makes the base 0, and then there must be no memory (vm.mmap_min_addr). */
	if (gs && !code_equals(code, site + sizeof(cmp_gs) + 2, (const uint8_t[]){0, 0}, 2)) {
		return GATE_NONE;
	}
	site += (gs ? sizeof(cmp_gs) : sizeof(cmp_imm)) + 4;
	/* only the form in which the compare's jne itself leads to ud2 */
	if (code_equals(code, site, (const uint8_t[]){0x75}, 1) ||
	    code_equals(code, site, (const uint8_t[]){0x0f, 0x85}, 2)) {
		return traps_if(code, site, CC_NOT_ZERO) ? GATE_TRAPS : GATE_COMPARES;
	}
	return GATE_COMPARES;
}

static enum lych_verdict wrpkru_verdict(const struct hit *hit, const struct site *sites, size_t nsites,
					const struct code *code, const char **why)
{
	uint64_t site_vaddr = hit->vaddr + 3;

	*why = "nothing after it checks what was written";
	if (gate_shape_at(code, site_vaddr, LYCH_SITE_GS) == GATE_TRAPS ||
	    gate_shape_at(code, site_vaddr, LYCH_SITE_IMM) == GATE_TRAPS) {
		*why = "looks like a gate, but no accepted note lists it";
	}
	for (size_t i = 0; i < nsites; i++) {
		const struct site *site = &sites[i];

		if (site->vaddr != site_vaddr) {
			continue;
		}
		if (!code_equals(code, site->vaddr - site->nbefore, site->bytes,
				 (size_t)site->nbefore + site->nafter)) {
			*why = "listed in the note as a gate, but with other bytes";
			continue;
		}
		switch (gate_shape_at(code, site->vaddr, site->kind)) {
		case GATE_TRAPS:
			*why = "a call gate of Lychgate: listed in the note, PKRU compared right after it";
			return LYCH_VERDICT_GATE;
		case GATE_COMPARES:
			*why = "listed in the note as a gate, but a wrong value does not lead to ud2";
			break;
		default:
			*why = "listed in the note as a gate, but no compare of its kind follows at once";
			break;
		}
	}
	return LYCH_VERDICT_STRAY;
}

enum lych_verdict verdict_of(const struct hit *hit, const struct site *sites, size_t nsites,
			     const struct code *code, const char **why)
{
	const char *known = known_glibc(hit, code);

	if (known != NULL) {
		*why = known;
		return LYCH_VERDICT_RUNTIME;
	}
	switch (hit->cls) {
	case LYCH_WRPKRU:
		return wrpkru_verdict(hit, sites, nsites, code, why);
	case LYCH_XRSTOR:
		return xrstor_verdict(hit, code, why);
	case LYCH_WRPKRU_REX2:
		*why = "writes PKRU on processors with APX; no gate uses this encoding";
		break;
	case LYCH_ENCLU:
		*why = "enters an enclave, and leaving one by an interrupt clears PKRU";
		break;
	case LYCH_WRFSBASE:
		*why = "changes the fs base, which thread-local storage depends on";
		break;
	case LYCH_WRGSBASE:
		*why = "changes the gs base, which the gates trust";
		break;
	default:
		*why = "enters the kernel";
		break;
	}
	return LYCH_VERDICT_STRAY;
}
