/* SPDX-License-Identifier: Apache-2.0 */
/* What an instruction's fields name: registers, memory operand, and what it uses beyond them. */
#include <string.h>

#include "repair_parts.h"

#define LOW8 0xffu
#define SET(reg) (1u << (reg))

/* The byte of VEX or EVEX that is n bytes before the opcode. */
static uint8_t prefix_byte(const struct spot *spot, unsigned n)
{
	return spot->bytes[spot->in.opcode_off - n];
}

static bool vex_short(const struct spot *spot)
{
	return spot->in.encoding == INSN_VEX && prefix_byte(spot, 2) == 0xc5;
}

/* The byte with R, X, B of VEX (inverted there); 0xff where it is that of the short form. */
static uint8_t vex_rxb(const struct spot *spot)
{
	switch (spot->in.encoding) {
	case INSN_VEX:
		return vex_short(spot) ? (uint8_t)(prefix_byte(spot, 1) | 0x7f) : prefix_byte(spot, 2);
	case INSN_EVEX:
		return prefix_byte(spot, 3);
	default:
		return prefix_byte(spot, 2); /* XOP */
	}
}

/* Bits R, X, B as 4, 2, 1, like REX's. */
static unsigned rxb(const struct spot *spot)
{
	if (spot->in.encoding == INSN_LEGACY) {
		return spot->in.rex & 7u;
	}
	return (unsigned)(uint8_t)~vex_rxb(spot) >> 5;
}

unsigned operand_reg(const struct spot *spot)
{
	return (spot->in.modrm >> 3 & 7u) | (rxb(spot) & 4) << 1;
}

unsigned operand_rm(const struct spot *spot)
{
	return (spot->in.modrm & 7u) | (rxb(spot) & 1) << 3;
}

unsigned operand_vvvv(const struct spot *spot)
{
	switch (spot->in.encoding) {
	case INSN_VEX:
	case INSN_XOP:
		return (unsigned)(uint8_t)~prefix_byte(spot, 1) >> 3 & 15;
	case INSN_EVEX:
		return (unsigned)(uint8_t)~prefix_byte(spot, 2) >> 3 & 15;
	default:
		return 0;
	}
}

bool operand_wide(const struct spot *spot)
{
	switch (spot->in.encoding) {
	case INSN_LEGACY:
		return (spot->in.rex & 8) != 0;
	case INSN_EVEX:
		return prefix_byte(spot, 2) >> 7;
	default:
		return !vex_short(spot) && prefix_byte(spot, 1) >> 7;
	}
}

bool operand_reg_is_general(const struct spot *spot)
{
	const struct insn *in = &spot->in;
	bool vector = in->encoding == INSN_VEX || in->encoding == INSN_EVEX;

	if (!in->has_modrm || (in->encoding != INSN_LEGACY && !vector)) {
		return true;
	}
	if (in->map == 2 || in->map == 3) {
		return in->opcode >= 0xf0; /* MOVBE, CRC32, ADX, BMI, RORX */
	}
	if (vector) {
		return in->map != 1 || in->opcode == 0x2c || in->opcode == 0x2d || in->opcode == 0x50 ||
		       (in->opcode & 0xf0) == 0x90;
	}
	if (in->map == 0) {
		switch (in->opcode) {
		case 0x80: case 0x81: case 0x83: case 0x8c: case 0x8e: case 0x8f: case 0xc0: case 0xc1: case 0xc6:
		case 0xc7: case 0xd0 ... 0xd3: case 0xd8 ... 0xdf: case 0xf6: case 0xf7: case 0xfe: case 0xff:
			return false;
		default:
			return true;
		}
	}
	switch (in->opcode) {
	case 0x0d: case 0x10 ... 0x19: case 0x1f: case 0x28 ... 0x2b: case 0x2e: case 0x2f: case 0x51 ... 0x7f:
	case 0x90 ... 0x9f: case 0xae: case 0xba: case 0xc2: case 0xc4: case 0xc6: case 0xd0 ... 0xd6:
	case 0xd8 ... 0xf6: case 0xf8 ... 0xfe:
		return false;
	default:
		return true;
	}
}

/* Gathers and scatters: the index is a vector. */
static bool is_vsib(const struct insn *in)
{
	if (in->map != 2 || (in->encoding != INSN_VEX && in->encoding != INSN_EVEX)) {
		return false;
	}
	return (in->opcode >= 0x90 && in->opcode <= 0x93) || (in->opcode >= 0xa0 && in->opcode <= 0xa3) ||
	       in->opcode == 0xc6 || in->opcode == 0xc7;
}

/* AMX loads and stores, and MPX: the index means something else. */
static bool odd_index(const struct insn *in)
{
	return (in->encoding == INSN_VEX && in->map == 2 && (in->opcode & 0xf0) == 0x40) ||
	       (in->encoding == INSN_LEGACY && in->map == 1 && (in->opcode == 0x1a || in->opcode == 0x1b));
}

bool operand_memory(struct operand *out, const struct spot *spot)
{
	const struct insn *in = &spot->in;
	unsigned mod = in->modrm >> 6, bits = rxb(spot);

	if (!in->has_modrm || mod == 3 || in->rip_relative || in->addrsize_67 || is_vsib(in) || odd_index(in) ||
	    in->encoding == INSN_REX2 || in->encoding == INSN_XOP) {
		return false;
	}
	/* EVEX: disp8 counts in units of the operand's size; bits of APX give other registers */
	if (in->encoding == INSN_EVEX &&
	    (mod == 1 || (prefix_byte(spot, 3) & 8) != 0 || (prefix_byte(spot, 2) & 4) == 0)) {
		return false;
	}
	*out = (struct operand){.base = (uint8_t)((in->modrm & 7u) | (bits & 1) << 3), .index = NO_REG};
	if (in->sib_len != 0) {
		uint8_t sib = spot->bytes[in->modrm_off + 1u];

		out->base = (uint8_t)((sib & 7u) | (bits & 1) << 3);
		out->index = (uint8_t)((sib >> 3 & 7u) | (bits & 2) << 2);
		out->scale = sib >> 6;
		if (out->index == RSP) {
			out->index = NO_REG;
		}
		if (mod == 0 && (sib & 7) == 5) {
			out->base = NO_REG;
		}
	}
	if (in->disp_len == 1) {
		out->disp = (int8_t)spot->bytes[in->disp_off];
	} else if (in->disp_len == 4) {
		memcpy(&out->disp, spot->bytes + in->disp_off, sizeof(out->disp));
	}
	return true;
}

static unsigned implicit_one_byte(const struct insn *in)
{
	unsigned reg = in->modrm >> 3 & 7;

	if (in->opcode < 0x40 && (in->opcode & 7) < 4) {
		return 0;
	}
	switch (in->opcode) {
	case 0x63: case 0x69: case 0x6b: case 0x80: case 0x81: case 0x83: case 0x84: case 0x85: case 0x86:
	case 0x87: case 0x88: case 0x89: case 0x8a: case 0x8b: case 0x8d: case 0xc0: case 0xc1: case 0xd0:
	case 0xd1:
		return 0;
	case 0xc6: case 0xc7:
		return in->modrm >= 0xf8 ? LOW8 : 0; /* XABORT, XBEGIN */
	case 0xd2: case 0xd3:
		return SET(RCX);
	case 0xd8 ... 0xdf:
		return in->modrm < 0xc0 ? 0 : SET(RAX); /* FNSTSW AX */
	case 0xf6: case 0xf7:
		return reg < 4 ? 0 : SET(RAX) | SET(RDX);
	case 0xfe:
		return 0;
	case 0xff:
		return reg < 2 ? 0 : reg == 4 ? 0 : SET(RSP); /* INC, DEC, JMP; CALL, PUSH */
	default:
		return LOW8;
	}
}

static unsigned implicit_two_byte(const struct insn *in)
{
	switch (in->opcode) {
	case 0x0d: case 0x10 ... 0x19: case 0x1f: case 0x28 ... 0x2f: case 0x40 ... 0x76: case 0x7c ... 0x7f:
	case 0x90 ... 0x9f: case 0xa3: case 0xa4: case 0xab: case 0xac: case 0xaf: case 0xb3: case 0xb6:
	case 0xb7: case 0xb8: case 0xba: case 0xbb: case 0xbc: case 0xbd: case 0xbe: case 0xbf: case 0xc0:
	case 0xc1: case 0xc2: case 0xc3: case 0xc4: case 0xc5: case 0xc6: case 0xd0 ... 0xf6: case 0xf8 ... 0xfe:
		return 0;
	case 0xa5: case 0xad:
		return SET(RCX);
	case 0xb0: case 0xb1:
		return SET(RAX);
	default:
		return LOW8;
	}
}

unsigned operand_implicit(const struct spot *spot)
{
	const struct insn *in = &spot->in;
	bool vector = in->encoding == INSN_VEX || in->encoding == INSN_EVEX;

	if (in->encoding == INSN_LEGACY && in->map == 0) {
		return implicit_one_byte(in);
	}
	if (in->encoding == INSN_LEGACY && in->map == 1) {
		return implicit_two_byte(in);
	}
	if (in->map == 3 && in->opcode >= 0x60 && in->opcode <= 0x63) {
		return SET(RAX) | SET(RDX) | SET(RCX); /* PCMPESTRI and its kin */
	}
	if (in->map == 2 && in->opcode == 0xf6) {
		return SET(RDX); /* MULX; ADCX and ADOX need none */
	}
	if ((in->encoding == INSN_LEGACY || vector) && (in->map == 2 || in->map == 3 || (vector && in->map == 1))) {
		return in->map == 2 && in->encoding == INSN_LEGACY && in->opcode >= 0x80 && in->opcode < 0xf0 &&
				       in->opcode < 0xc8
			       ? LOW8
			       : 0;
	}
	return LOW8;
}
