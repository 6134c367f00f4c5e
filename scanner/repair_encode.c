/* SPDX-License-Identifier: Apache-2.0 */
/* The same instruction in other bytes of the same length (SDM Vol. 2, chapter 2 and appendix B). */
#include <string.h>

#include "repair_parts.h"

#define REX_R 4u
#define REX_X 2u
#define REX_B 1u

struct variants {
	uint8_t (*out)[LYCH_SEQUENCE_MAX];
	size_t n;
};

static uint8_t *add(struct variants *v, const struct spot *spot)
{
	uint8_t *bytes;

	if (v->n == ENCODINGS_MAX) {
		return NULL;
	}
	bytes = v->out[v->n++];
	memcpy(bytes, spot->bytes, spot->in.len);
	return bytes;
}

/* Where the REX byte that counts is; only with in->rex != 0. */
static size_t rex_at(const struct insn *in)
{
	return in->opcode_off - 1u;
}

static uint8_t swap_bits(uint8_t byte, unsigned a, unsigned b)
{
	bool has_a = (byte & a) != 0, has_b = (byte & b) != 0;

	byte = (uint8_t)(byte & ~(a | b));
	return (uint8_t)(byte | (has_a ? b : 0) | (has_b ? a : 0));
}

static uint8_t swap_modrm(uint8_t modrm)
{
	return (uint8_t)((modrm & 0xc0) | (modrm & 7) << 3 | (modrm >> 3 & 7));
}

/* ---- register operands in the other order -------------------------------------------------- */

/* By what the opcode changes when destination and source change places; 0xff: that does not exist. */
#define NO_TWIN 0xff

static uint8_t legacy_twin(const struct insn *in)
{
	if (in->map == 0) {
		/* ADD OR ADC SBB AND SUB XOR CMP r/m,r and r,r/m; MOV */
		if ((in->opcode < 0x40 && (in->opcode & 7) < 4) || (in->opcode >= 0x88 && in->opcode <= 0x8b)) {
			return 2;
		}
		/* TEST and XCHG do not tell their operands apart */
		return in->opcode >= 0x84 && in->opcode <= 0x87 ? 0 : NO_TWIN;
	}
	if (in->map != 1 || in->lock_f0) {
		return NO_TWIN;
	}
	switch (in->opcode) {
	case 0x10: case 0x11: /* MOVUPS MOVUPD MOVSS MOVSD */
	case 0x28: case 0x29: /* MOVAPS MOVAPD */
		return in->opcode < 0x20 || (!in->rep_f2 && !in->rep_f3) ? 1 : NO_TWIN;
	case 0x6f: case 0x7f: /* MOVQ (MMX) MOVDQA MOVDQU */
		return in->rep_f2 ? NO_TWIN : 0x10;
	default:
		return NO_TWIN;
	}
}

static uint8_t vex_twin(const struct spot *spot)
{
	const struct insn *in = &spot->in;
	unsigned pp = spot->bytes[in->opcode_off - 1u] & 3;

	if (in->map != 1) {
		return NO_TWIN;
	}
	switch (in->opcode) {
	case 0x10: case 0x11:
		return pp < 2 ? 1 : NO_TWIN;
	case 0x28: case 0x29:
		return pp < 2 ? 1 : NO_TWIN;
	case 0x6f: case 0x7f:
		return pp == 1 || pp == 2 ? 0x10 : NO_TWIN;
	default:
		return NO_TWIN;
	}
}

static void other_direction(struct variants *v, const struct spot *spot)
{
	const struct insn *in = &spot->in;
	size_t opcode = in->opcode_off + in->opcode_len - 1u;
	uint8_t twin;
	uint8_t *bytes;

	if (!in->has_modrm || in->modrm < 0xc0) {
		return;
	}
	switch (in->encoding) {
	case INSN_LEGACY:
	case INSN_REX2:
		twin = legacy_twin(in);
		break;
	case INSN_VEX:
		twin = vex_twin(spot);
		break;
	default:
		twin = NO_TWIN;
		break;
	}
	if (twin == NO_TWIN) {
		return;
	}
	if (in->encoding == INSN_VEX && in->opcode_off >= 2 && spot->bytes[in->opcode_off - 2u] == 0xc5 &&
	    (spot->bytes[in->opcode_off - 1u] & 0x80) == 0) {
		return; /* two bytes of VEX have no room for a fourth bit of rm */
	}
	bytes = add(v, spot);
	if (bytes == NULL) {
		return;
	}
	bytes[opcode] ^= twin;
	bytes[in->modrm_off] = swap_modrm(in->modrm);
	if (in->encoding == INSN_VEX) {
		if (spot->bytes[in->opcode_off - 2u] != 0xc5) {
			bytes[in->opcode_off - 2u] = swap_bits(bytes[in->opcode_off - 2u], 0x80, 0x20);
		}
	} else if (in->encoding == INSN_REX2) {
		/* M0 R4 X4 B4 W R3 X3 B3 */
		uint8_t *payload = &bytes[in->opcode_off - 1u];

		*payload = swap_bits(swap_bits(*payload, 0x40, 0x10), REX_R, REX_B);
	} else if (in->rex != 0) {
		bytes[rex_at(in)] = swap_bits(in->rex, REX_R, REX_B);
	}
}

/* ---- SIB ------------------------------------------------------------------------------------- */

static void other_sib(struct variants *v, const struct spot *spot)
{
	const struct insn *in = &spot->in;
	size_t at = in->modrm_off + 1u;
	uint8_t sib, base, index;
	uint8_t *bytes;

	if (in->encoding != INSN_LEGACY || in->sib_len == 0) {
		return;
	}
	sib = spot->bytes[at];
	base = sib & 7;
	index = sib >> 3 & 7;
	if (index == 4 && (in->rex & REX_X) == 0) {
		/* there is no index: it does not matter by what it is multiplied */
		for (unsigned scale = 0; scale < 4; scale++) {
			if (scale != sib >> 6 && (bytes = add(v, spot)) != NULL) {
				bytes[at] = (uint8_t)(scale << 6 | (sib & 0x3f));
			}
		}
		return;
	}
	/* base + index is index + base; not with RSP, which is no index, and not where 101 means "no base" */
	if (sib >> 6 != 0 || (base == 4 && (in->rex & REX_B) == 0) ||
	    (in->modrm >> 6 == 0 && (base == 5 || index == 5))) {
		return;
	}
	bytes = add(v, spot);
	if (bytes != NULL) {
		bytes[at] = (uint8_t)(base << 3 | index);
		if (in->rex != 0) {
			bytes[rex_at(in)] = swap_bits(in->rex, REX_X, REX_B);
		}
	}
}

/* ---- prefixes and NOPs ----------------------------------------------------------------------- */

/* CS, SS, DS and ES mean nothing in 64-bit mode except before branches (hints, NOTRACK). */
static void other_segment(struct variants *v, const struct spot *spot)
{
	static const uint8_t others[] = {0x3e, 0x26, 0x36, 0x2e};
	const struct insn *in = &spot->in;
	bool branch = in->relative || (in->map == 0 && in->opcode == 0xff) ||
		      (in->map == 0 && (in->opcode & 0xf6) == 0xc2);

	if (branch || in->encoding == INSN_EVEX) {
		return;
	}
	for (size_t i = 0; i < in->opcode_off; i++) {
		uint8_t b = spot->bytes[i];

		if (b != 0x2e && b != 0x36 && b != 0x3e && b != 0x26) {
			if (in->encoding != INSN_LEGACY) {
				return; /* from here on it may be the payload of VEX */
			}
			continue;
		}
		for (size_t k = 0; k < sizeof(others); k++) {
			uint8_t *bytes = others[k] != b ? add(v, spot) : NULL;

			if (bytes != NULL) {
				bytes[i] = others[k];
			}
		}
	}
}

bool repair_is_nop(const struct insn *in, const uint8_t *bytes)
{
	if (in->encoding != INSN_LEGACY || in->lock_f0 || in->rep_f2 || in->rep_f3) {
		return false; /* F3 90 is PAUSE; F3 0F 1F and others may get a meaning */
	}
	if (in->map == 0) {
		return in->opcode == 0x90 && (in->rex & REX_B) == 0 && bytes[in->opcode_off] == 0x90;
	}
	return in->map == 1 && in->opcode == 0x1f && (in->modrm >> 3 & 7) == 0;
}

static void other_nop(struct variants *v, const struct spot *spot)
{
	static const uint8_t nops[10][9] = {
		[1] = {0x90},
		[2] = {0x66, 0x90},
		[3] = {0x0f, 0x1f, 0x00},
		[4] = {0x0f, 0x1f, 0x40, 0x00},
		[5] = {0x0f, 0x1f, 0x44, 0x00, 0x00},
		[6] = {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
		[7] = {0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
		[8] = {0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
		[9] = {0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
	};
	size_t len = spot->in.len, extra = len > 9 ? len - 9 : 0;
	uint8_t *bytes;

	if (!repair_is_nop(&spot->in, spot->bytes)) {
		return;
	}
	bytes = add(v, spot);
	if (bytes != NULL) {
		memset(bytes, 0x66, extra);
		memcpy(bytes + extra, nops[len - extra], len - extra);
	}
}

size_t repair_encodings(uint8_t out[ENCODINGS_MAX][LYCH_SEQUENCE_MAX], const struct spot *spot)
{
	struct variants v = {out, 0};

	other_direction(&v, spot);
	other_sib(&v, spot);
	other_nop(&v, spot);
	other_segment(&v, spot);
	return v.n;
}
