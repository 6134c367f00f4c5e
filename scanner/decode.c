/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __has_include(<capstone.h>)
#include <capstone.h> /* pkg-config names the directory itself in some versions ... */
#else
#include <capstone/capstone.h> /* ... and the one above in others */
#endif

#include "decode.h"
#include "insn.h"

#define BAD "(bad)"

struct decoder {
	csh capstone;
	cs_insn *insn; /* its layout differs between 4 and 5: only the library allocates it */
};

int decoder_new(struct decoder **out)
{
	struct decoder *d = calloc(1, sizeof(*d));

	*out = NULL;
	if (d == NULL) {
		return -ENOMEM;
	}
	/* The other errors of cs_open are of a library built without x86, or of a wrong argument. */
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &d->capstone) != CS_ERR_OK) {
		free(d);
		return -ENOMEM;
	}
	d->insn = cs_malloc(d->capstone);
	if (d->insn == NULL) {
		cs_close(&d->capstone);
		free(d);
		return -ENOMEM;
	}
	*out = d;
	return 0;
}

void decoder_free(struct decoder *decoder)
{
	if (decoder == NULL) {
		return;
	}
	cs_free(decoder->insn, 1);
	cs_close(&decoder->capstone);
	free(decoder);
}

/* cs_version gives numbers only, and a library must not keep a buffer to print them into. */
const char *lych_scan_capstone_version(void)
{
	static const char *const known[][3] = {
		{"4.0", "4.1", "4.2"}, {"5.0", "5.1", "5.2"}, {"6.0", "6.1", "6.2"}};
	int major = 0, minor = 0;

	(void)cs_version(&major, &minor);
	if (major < 4 || major > 6 || minor < 0 || minor > 2) {
		return "unknown";
	}
	return known[major - 4][minor];
}

/* ---- our own hand -------------------------------------------------------------------------- */

enum mandatory { NO_PREFIX, P66, PF3, PF2 };

/* The prefix that takes part in the choice of the opcode: F2 and F3 win over 66. */
static enum mandatory mandatory_of(const struct insn *in)
{
	return in->rep_f3 ? PF3 : in->rep_f2 ? PF2 : in->opsize_66 ? P66 : NO_PREFIX;
}

static const char *const low_names[] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};

/* The general register in ModRM.rm. payload is REX2's, 0 without. */
static void print_register(char *out, size_t size, const struct insn *in, uint8_t payload)
{
	unsigned reg = in->modrm & 7;
	bool umonitor = (in->modrm >> 3 & 7) == 6 && in->rep_f3; /* takes an address */
	bool wide = ((in->encoding == INSN_REX2 ? payload : in->rex) & 8) || (umonitor && !in->addrsize_67);

	if (in->encoding == INSN_REX2) {
		reg |= (payload & 1u) << 3 | (payload & 0x10u);
	} else {
		reg |= (in->rex & 1u) << 3;
	}
	if (reg < 8) {
		(void)snprintf(out, size, "%c%s", wide ? 'r' : 'e', low_names[reg]);
	} else {
		(void)snprintf(out, size, "r%u%s", reg, wide ? "" : "d");
	}
}

/* 0F 01 with a register form; NULL: leave it to Capstone */
static const char *text_of_0f01(const struct insn *in)
{
	enum mandatory prefix = mandatory_of(in);

	switch (in->modrm) {
	case 0xef:
		return prefix == NO_PREFIX && !in->lock_f0 ? "wrpkru" : prefix == PF3 ? "stui" : BAD;
	case 0xee:
		return prefix == NO_PREFIX ? "rdpkru" : prefix == PF3 ? "clui" : BAD;
	case 0xed:
		return prefix == PF3 ? "testui" : BAD;
	case 0xec:
		return prefix == PF3 ? "uiret" : BAD;
	case 0xd7:
		return prefix == NO_PREFIX ? "enclu" : BAD;
	default:
		return NULL;
	}
}

/* 0F AE with a register; *with_register: it is named behind the mnemonic. */
static const char *text_of_0fae_register(const struct insn *in, bool *with_register)
{
	static const char *const base[] = {"rdfsbase", "rdgsbase", "wrfsbase", "wrgsbase"};
	unsigned reg = in->modrm >> 3 & 7;
	enum mandatory prefix = mandatory_of(in);

	*with_register = true;
	if (reg < 4) {
		return prefix == PF3 ? base[reg] : BAD;
	}
	if (reg == 5 && prefix == PF3) {
		bool wide = in->rex & 8;

		return wide ? "incsspq" : "incsspd";
	}
	if (reg == 6 && prefix != NO_PREFIX) {
		return prefix == PF3 ? "umonitor" : prefix == PF2 ? "umwait" : "tpause";
	}
	if (reg == 4) {
		return prefix == PF3 ? "ptwrite" : BAD;
	}
	*with_register = false;
	if (prefix != NO_PREFIX) {
		return BAD;
	}
	return reg == 5 ? "lfence" : reg == 6 ? "mfence" : "sfence";
}

/* 0F AE with memory: only what Capstone takes for something else or refuses; NULL otherwise. */
static const char *text_of_0fae_memory(const struct insn *in)
{
	unsigned reg = in->modrm >> 3 & 7;
	enum mandatory prefix = mandatory_of(in);

	if (prefix == NO_PREFIX) {
		return NULL;
	}
	if (prefix == P66 && (reg == 6 || reg == 7)) {
		return NULL; /* CLWB, CLFLUSHOPT */
	}
	if (prefix == PF3 && reg == 4) {
		return "ptwrite";
	}
	if (prefix == PF3 && reg == 6) {
		return "clrssbsy";
	}
	return BAD; /* among them XRSTOR with 66, F2 or F3 */
}

static const char *text_of_rex2_syscall(const struct insn *in)
{
	return in->opcode == 0x05 ? "syscall" : NULL;
}

/*
 * Writes the text of what Capstone 4.0.2 or 5.0.7 cannot decode or gets wrong, or what they write
 * differently. Returns false for everything else.
 */
static bool own_text(const struct insn *in, const uint8_t *code, uint64_t vaddr, char *out, size_t size)
{
	bool legacy_or_rex2 = in->encoding == INSN_LEGACY || in->encoding == INSN_REX2;
	uint8_t payload = in->encoding == INSN_REX2 ? code[in->opcode_off - 1] : 0;
	const char *rex2 = in->encoding == INSN_REX2 ? "{rex2} " : "";
	const char *text = NULL;
	bool with_register = false;
	char reg[8] = "";

	if (in->map == 1 && legacy_or_rex2) {
		if (in->opcode == 0x01 && in->modrm >= 0xc0) {
			text = text_of_0f01(in);
		} else if (in->opcode == 0xae && in->modrm >= 0xc0) {
			text = text_of_0fae_register(in, &with_register);
		} else if (in->opcode == 0xae) {
			text = text_of_0fae_memory(in);
		} else if (in->encoding == INSN_REX2) {
			text = text_of_rex2_syscall(in);
		}
	}
	if (text != NULL && strcmp(text, BAD) == 0) {
		(void)snprintf(out, size, "%s", BAD);
		return true;
	}
	if (text != NULL) {
		if (with_register) {
			print_register(reg, sizeof(reg), in, payload);
		}
		(void)snprintf(out, size, "%s%s%s%s", rex2, text, with_register ? " " : "", reg);
		return true;
	}
	if (in->encoding != INSN_LEGACY || in->map != 0) {
		return false;
	}
	if (in->opcode == 0xc3 && in->rep_f3) {
		(void)snprintf(out, size, "repz ret");
		return true;
	}
	if ((in->opcode == 0xe8 || in->opcode == 0xe9) && in->opsize_66 && !in->rep_f2) {
		int32_t rel;

		memcpy(&rel, code + in->imm_off, sizeof(rel));
		(void)snprintf(out, size, "%s 0x%" PRIx64, in->opcode == 0xe8 ? "call" : "jmp",
			       vaddr + in->len + (uint64_t)(int64_t)rel);
		return true;
	}
	if (in->opcode > 0x90 && in->opcode <= 0x97 && in->rex == 0 && in->opcode_off == 0) {
		(void)snprintf(out, size, "xchg eax, e%s", low_names[in->opcode & 7]);
		return true;
	}
	return false;
}

/*
 * Capstone's text with the differences between the versions taken out: 4 writes "ymm17 , ymm1"; 5 writes
 * the immediate of MOV r/m64, imm32 as 64 bits without sign, 4 with a sign.
 */
static void copy_text(const struct insn *in, const uint8_t *code, const cs_insn *from, char *out, size_t size)
{
	const char *operands = from->op_str;
	size_t at = 0;
	int32_t imm;
	char *last;

	for (const char *c = from->mnemonic; *c != '\0' && at + 2 < size; c++) {
		out[at++] = *c;
	}
	if (operands[0] != '\0') {
		out[at++] = ' ';
	}
	for (const char *c = operands; *c != '\0' && at + 1 < size; c++) {
		if (c[0] != ' ' || c[1] != ',') {
			out[at++] = *c;
		}
	}
	out[at] = '\0';
	last = strrchr(out, ',');
	if (in->encoding == INSN_LEGACY && in->map == 0 && in->opcode == 0xc7 && (in->rex & 8) && last != NULL) {
		memcpy(&imm, code + in->imm_off, sizeof(imm));
		if (imm < 0) {
			(void)snprintf(last, size - (size_t)(last - out), imm < -9 ? ", -0x%" PRIx64 : ", -%" PRId64,
				       -(int64_t)imm);
		}
	}
}

void decoder_insn(struct decoder *decoder, const uint8_t *code, size_t len, uint64_t vaddr,
		  struct lych_insn *out)
{
	const uint8_t *at = code;
	size_t left;
	uint64_t address = vaddr;
	struct insn in;

	memset(out, 0, sizeof(*out));
	out->vaddr = vaddr;
	if (!insn_decode(&in, code, len)) {
		out->len = 1;
		out->bytes[0] = code[0];
		(void)snprintf(out->text, sizeof(out->text), "%s", BAD);
		return;
	}
	out->len = in.len;
	memcpy(out->bytes, code, in.len);
	if (own_text(&in, code, vaddr, out->text, sizeof(out->text))) {
		return;
	}
	left = in.len;
	if (cs_disasm_iter(decoder->capstone, &at, &left, &address, decoder->insn) && left == 0 &&
	    decoder->insn->mnemonic[0] != '\0') {
		copy_text(&in, code, decoder->insn, out->text, sizeof(out->text));
	} else {
		(void)snprintf(out->text, sizeof(out->text), "%s", BAD);
	}
}
