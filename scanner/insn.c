/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "insn.h"
#include "insn_tables.h"

/* What is still to be read; a read beyond the end fails and leaves bad set. */
struct cursor {
	const uint8_t *code;
	size_t len, at;
	bool bad;
};

static uint8_t take(struct cursor *c)
{
	if (c->at >= c->len) {
		c->bad = true;
		return 0;
	}
	return c->code[c->at++];
}

static uint8_t peek(const struct cursor *c)
{
	return c->at < c->len ? c->code[c->at] : 0;
}

static void skip(struct cursor *c, size_t n)
{
	if (n > c->len - c->at) {
		c->bad = true;
		return;
	}
	c->at += n;
}

static bool any_mandatory(const struct insn *in)
{
	return in->opsize_66 || in->rep_f2 || in->rep_f3 || in->lock_f0;
}

static void take_prefixes(struct insn *in, struct cursor *c)
{
	for (;; c->at++) {
		uint8_t b = peek(c);

		switch (b) {
		case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65:
			break;
		case 0x66:
			in->opsize_66 = true;
			break;
		case 0x67:
			in->addrsize_67 = true;
			break;
		case 0xf0:
			in->lock_f0 = true;
			break;
		/* of F2 and F3 the last one counts */
		case 0xf2:
			in->rep_f2 = true;
			in->rep_f3 = false;
			break;
		case 0xf3:
			in->rep_f3 = true;
			in->rep_f2 = false;
			break;
		default:
			if ((b & 0xf0) != 0x40) {
				return;
			}
			break;
		}
		/* REX counts only right before the opcode */
		in->rex = (b & 0xf0) == 0x40 ? b : 0;
	}
}

/* VEX, EVEX and XOP: reads up to the opcode and returns its map's letters. pp and w as encoded. */
static const char *take_vector_prefix(struct insn *in, struct cursor *c, unsigned *pp, bool *w)
{
	uint8_t first = take(c);
	uint8_t p0, p1;

	/* #UD (SDM Vol. 2, 2.3.2 to 2.3.5 and 2.7.11) */
	if (in->rex != 0 || any_mandatory(in)) {
		return NULL;
	}
	p0 = take(c);
	switch (first) {
	case 0xc5:
		in->encoding = INSN_VEX;
		in->map = 1;
		*pp = p0 & 3;
		*w = false;
		return insn_map_vex(1);
	case 0xc4:
		p1 = take(c);
		in->encoding = INSN_VEX;
		in->map = p0 & 0x1f;
		*pp = p1 & 3;
		*w = p1 >> 7;
		return insn_map_vex(in->map);
	case 0x8f:
		p1 = take(c);
		in->encoding = INSN_XOP;
		in->map = p0 & 0x1f;
		*pp = p1 & 3;
		*w = p1 >> 7;
		/* XOP.pp must be 0 (APM Vol. 3, 1.8.2) */
		return *pp == 0 ? insn_map_xop(in->map) : NULL;
	default: /* 62 */
		p1 = take(c);
		(void)take(c);
		in->encoding = INSN_EVEX;
		in->map = p0 & 7;
		*pp = p1 & 3;
		*w = p1 >> 7;
		return insn_map_evex(in->map);
	}
}

/* REX2: D5 and a payload whose bit 7 chooses map 0F. No escape byte follows. */
static const char *take_rex2(struct insn *in, struct cursor *c, bool *w)
{
	uint8_t payload;

	(void)take(c);
	payload = take(c);
	if (in->rex != 0) {
		return NULL;
	}
	in->encoding = INSN_REX2;
	in->map = payload >> 7;
	*w = payload & 8;
	return insn_map_legacy(in->map);
}

/* Opcodes that REX2 makes #UD (APX specification, 3.1.2.1). JMPABS is D5 00 A1. */
static bool rex2_allows(const struct insn *in)
{
	unsigned row = in->opcode >> 4;

	if (in->map == 0) {
		return (row != 4 && row != 7 && row != 0xa && row != 0xe) || in->opcode == 0xa1;
	}
	if (in->modrm < 0xc0 && (in->opcode == 0xae || in->opcode == 0xc7)) {
		unsigned reg = in->modrm >> 3 & 7;

		/* AE: XSAVE, XRSTOR, XSAVEOPT (with 66 CLWB); C7: XRSTORS, XSAVEC, XSAVES */
		return in->opcode == 0xae ? reg < 4 || reg == 7 || (reg == 6 && in->opsize_66)
					  : reg < 3 || reg > 5;
	}
	return row != 3 && row != 8;
}

static const char *take_opcode_prefix(struct insn *in, struct cursor *c, unsigned *pp, bool *w)
{
	uint8_t b = peek(c);
	const char *letters = insn_map_legacy(0);

	*w = in->rex & 8;
	*pp = 0;
	if (b == 0xc4 || b == 0xc5 || b == 0x62) {
		letters = take_vector_prefix(in, c, pp, w);
	} else if (b == 0x8f && c->len - c->at >= 2 && (c->code[c->at + 1] & 0x1f) >= 8) {
		letters = take_vector_prefix(in, c, pp, w);
	} else if (b == 0xd5) {
		letters = take_rex2(in, c, w);
	}
	in->opcode_off = (uint8_t)c->at;
	if (in->encoding == INSN_LEGACY && b == 0x0f) {
		(void)take(c);
		in->map = 1;
		if (peek(c) == 0x38 || peek(c) == 0x3a) {
			in->map = take(c) == 0x38 ? 2 : 3;
		}
		letters = insn_map_legacy(in->map);
	}
	return letters;
}

static void take_modrm(struct insn *in, struct cursor *c, bool always_register)
{
	unsigned mod, rm;

	in->has_modrm = true;
	in->modrm_off = (uint8_t)c->at;
	in->modrm = take(c);
	mod = in->modrm >> 6;
	rm = in->modrm & 7;
	if (mod == 3 || always_register) {
		return;
	}
	if (mod == 1) {
		in->disp_len = 1;
	} else if (mod == 2) {
		in->disp_len = 4;
	} else if (rm == 5) {
		in->disp_len = 4;
		in->rip_relative = true;
	}
	if (rm == 4) {
		uint8_t sib = take(c);

		in->sib_len = 1;
		if (mod == 0 && (sib & 7) == 5) {
			in->disp_len = 4;
		}
	}
	if (in->disp_len != 0) {
		in->disp_off = (uint8_t)c->at;
		skip(c, in->disp_len);
	}
}

/* What the letter says behind the opcode. */
static bool take_operands(struct insn *in, struct cursor *c, char letter, bool opsize16, bool w)
{
	unsigned immz = opsize16 ? 2 : 4;
	bool test = false;

	if (strchr("McIidstTxX", letter) != NULL) {
		take_modrm(in, c, letter == 'c');
		test = (in->modrm & 0x30) == 0;
	}
	switch (letter) {
	case '.': case 'M': case 'c':
		break;
	case 'b': case 'i':
		in->imm_len = 1;
		break;
	case 'w':
		in->imm_len = 2;
		break;
	case 'z': case 'I':
		in->imm_len = (uint8_t)immz;
		break;
	case 'd':
		in->imm_len = 4;
		break;
	case 'v':
		in->imm_len = w ? 8 : (uint8_t)immz;
		break;
	case 'j':
		in->imm_len = 1;
		in->relative = true;
		break;
	case 'J':
		in->imm_len = 4;
		in->relative = true;
		break;
	case 'a':
		if (in->encoding == INSN_REX2) {
			in->imm_len = 8;
			break;
		}
		in->disp_off = (uint8_t)c->at;
		in->disp_len = in->addrsize_67 ? 4 : 8;
		skip(c, in->disp_len);
		break;
	case 'e':
		in->imm_len = 3;
		break;
	case 's':
		in->imm_len = in->opsize_66 || in->rep_f2 ? 2 : 0;
		break;
	case 't':
		in->imm_len = test ? 1 : 0;
		break;
	case 'T':
		in->imm_len = test ? (uint8_t)immz : 0;
		break;
	case 'x':
		in->imm_len = 1;
		break;
	case 'X':
		in->imm_len = (uint8_t)immz;
		in->relative = in->modrm == 0xf8;
		break;
	default:
		return false;
	}
	if (in->imm_len != 0) {
		in->imm_off = (uint8_t)c->at;
		skip(c, in->imm_len);
	}
	return !c->bad;
}

/* ---- opcodes whose ModRM decides whether they are instructions at all ---------------------- */

#define REG_BIT(n) (1u << (n))
#define IN_SET(set, n) (((set) >> (n) & 1) != 0)

/* x87, D8 to DF. modrm of a memory form is its reg field alone. */
static bool x87_valid(uint8_t opcode, uint8_t modrm)
{
	/* register forms that do not exist, one bit for each ModRM C0 to FF */
	static const uint64_t undefined[8] = {
		[1] = UINT64_C(0x000080cc00fe0000),
		[2] = UINT64_C(0xfffffdff00000000),
		[3] = UINT64_C(0xff0000e000000000),
		[5] = UINT64_C(0xffff000000000000),
		[6] = UINT64_C(0x00000000fd000000),
		[7] = UINT64_C(0xff0000fe00000000),
	};
	/* memory forms that do not exist: D9 /1, DB /4 and /6, DD /5 */
	static const uint8_t no_memory[8] = {[1] = 0x02, [3] = 0x50, [5] = 0x20};
	unsigned row = opcode & 7;

	if (modrm < 0xc0) {
		return !IN_SET(no_memory[row], modrm >> 3);
	}
	return !IN_SET(undefined[row], modrm & 0x3f);
}

static bool one_byte_valid(const struct insn *in)
{
	unsigned reg = in->modrm >> 3 & 7;
	bool memory = in->modrm < 0xc0;

	switch (in->opcode) {
	case 0x8c:
		return reg < 6;
	case 0x8d:
		return memory;
	case 0x8e:
		return reg < 6 && reg != 1;
	case 0x8f:
		return reg == 0;
	case 0xc6: case 0xc7:
		return reg == 0 || in->modrm == 0xf8;
	case 0xd9: case 0xda: case 0xdb: case 0xdd: case 0xde: case 0xdf:
		return x87_valid(in->opcode, in->modrm >= 0xc0 ? in->modrm : in->modrm & 0x38);
	case 0xfe:
		return reg < 2;
	case 0xff:
		return reg != 7 && (memory || (reg != 3 && reg != 5));
	default:
		return true;
	}
}

static bool now3d_valid(uint8_t suffix)
{
	static const uint8_t known[] = {0x0c, 0x0d, 0x1c, 0x1d, 0x86, 0x87, 0x8a, 0x8e, 0x90, 0x94,
					0x96, 0x97, 0x9a, 0x9e, 0xa0, 0xa4, 0xa6, 0xa7, 0xaa, 0xae,
					0xb0, 0xb4, 0xb6, 0xb7, 0xbb, 0xbf};

	return memchr(known, suffix, sizeof(known)) != NULL;
}

static bool two_byte_valid(const struct insn *in, const uint8_t *code)
{
	unsigned reg = in->modrm >> 3 & 7;
	unsigned full_reg = reg | (in->rex & 4) << 1;
	bool memory = in->modrm < 0xc0;

	switch (in->opcode) {
	case 0x00:
		return reg < 7; /* /6 is LKGS with F2 */
	case 0x01:
		return memory ? reg != 5 || in->rep_f3 : in->modrm != 0xd2 && in->modrm != 0xd3;
	case 0x0f:
		return now3d_valid(code[in->imm_off]);
	case 0x13: case 0x17: case 0x2b: case 0xb2: case 0xb4: case 0xb5: case 0xc3: case 0xe7: case 0xf0:
		return memory;
	case 0x20: case 0x22:
		return in->encoding == INSN_REX2 || IN_SET(0x11du, full_reg);
	case 0x21: case 0x23:
		return full_reg < 8;
	case 0x50: case 0xc5: case 0xd7: case 0xf7:
		return !memory;
	case 0x71: case 0x72:
		return !memory && IN_SET(0x54u, reg);
	case 0x73:
		return !memory && IN_SET(0xccu, reg);
	case 0xa6: case 0xa7: /* VIA PadLock */
		return !memory && (in->modrm & 7) == 0 && reg < 6;
	case 0xae:
		return memory || reg >= 4 || in->rep_f3;
	case 0xb8:
		return in->rep_f3;
	case 0xba:
		return reg >= 4;
	case 0xc7:
		return memory ? IN_SET(0xfau, reg) : reg >= 6;
	default:
		return true;
	}
}

/* LOCK is #UD but before these, and before these only with memory (SDM Vol. 2, LOCK). */
static bool lock_valid(const struct insn *in)
{
	unsigned reg = in->modrm >> 3 & 7;

	if (in->map == 1 && (in->opcode == 0x20 || in->opcode == 0x22)) {
		return true; /* AMD: LOCK MOV CR0 is MOV CR8 (APM Vol. 3, MOV CRn) */
	}
	if (in->map == 1 && ((in->opcode == 0x01 && in->modrm == 0xef) ||
			     (in->opcode == 0xae && reg == 5 && in->modrm < 0xc0))) {
		return true; /* as with the other prefixes that make WRPKRU and XRSTOR #UD */
	}
	if (!in->has_modrm || in->modrm >= 0xc0) {
		return false;
	}
	if (in->map == 0) {
		switch (in->opcode) {
		case 0x00: case 0x01: case 0x08: case 0x09: case 0x10: case 0x11: case 0x18: case 0x19:
		case 0x20: case 0x21: case 0x28: case 0x29: case 0x30: case 0x31: case 0x86: case 0x87:
			return true;
		case 0x80: case 0x81: case 0x83:
			return reg != 7;
		case 0xf6: case 0xf7:
			return reg == 2 || reg == 3;
		case 0xfe: case 0xff:
			return reg < 2;
		default:
			return false;
		}
	}
	if (in->map == 1) {
		switch (in->opcode) {
		case 0xab: case 0xb0: case 0xb1: case 0xb3: case 0xbb: case 0xc0: case 0xc1:
			return true;
		case 0xba:
			return reg >= 5;
		case 0xc7:
			return reg == 1;
		default:
			return false;
		}
	}
	return false;
}

static bool legacy_valid(const struct insn *in, const uint8_t *code)
{
	if (in->map == 0 && !one_byte_valid(in)) {
		return false;
	}
	if (in->map == 1 && !two_byte_valid(in, code)) {
		return false;
	}
	if (in->encoding == INSN_REX2 && !rex2_allows(in)) {
		return false;
	}
	return !in->lock_f0 || lock_valid(in);
}

bool insn_decode(struct insn *insn, const uint8_t *code, size_t len)
{
	struct cursor c = {.code = code, .len = len < LYCH_SEQUENCE_MAX ? len : LYCH_SEQUENCE_MAX};
	struct insn in;
	const char *letters;
	unsigned pp;
	bool w, opsize16;

	memset(&in, 0, sizeof(in));
	take_prefixes(&in, &c);
	letters = take_opcode_prefix(&in, &c, &pp, &w);
	if (letters == NULL) {
		return false;
	}
	in.opcode = take(&c);
	in.opcode_len = (uint8_t)(c.at - in.opcode_off);
	if (c.bad) {
		return false;
	}
	opsize16 = (in.opsize_66 || pp == 1) && !w;
	if (!take_operands(&in, &c, letters[in.opcode], opsize16, w)) {
		return false;
	}
	if ((in.encoding == INSN_LEGACY || in.encoding == INSN_REX2) && !legacy_valid(&in, code)) {
		return false;
	}
	in.len = (uint8_t)c.at;
	*insn = in;
	return true;
}

enum lych_part insn_part(const struct insn *insn, size_t at)
{
	if (at < insn->opcode_off) {
		return LYCH_PART_PREFIX;
	}
	if (at < (size_t)insn->opcode_off + insn->opcode_len) {
		return LYCH_PART_OPCODE;
	}
	if (insn->imm_len != 0 && at >= insn->imm_off) {
		return insn->relative ? LYCH_PART_REL : LYCH_PART_IMM;
	}
	if (insn->disp_len != 0 && at >= insn->disp_off) {
		return insn->rip_relative ? LYCH_PART_RIPREL : LYCH_PART_DISP;
	}
	return LYCH_PART_MODRM;
}
