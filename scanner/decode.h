/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of instructions. The only file that includes Capstone is decode.c; what Capstone cannot decode or
 * decodes wrongly (which differs between 4 and 5) is written here by our own hand, the same with both.
 * Lengths are always those of insn.h, so that text and placement agree.
 */
#ifndef LYCH_DECODE_H
#define LYCH_DECODE_H

#include <lychgate/scan.h>

struct decoder; /* not shared between threads */

LYCH_MUST_CHECK int decoder_new(struct decoder **out); /* 0, -ENOMEM */
void decoder_free(struct decoder *decoder);            /* NULL allowed */

/*
 * decoder_insn fills *out with the instruction at code[0..len), len > 0; where none decodes, one byte "(bad)".
 * "(bad)" with more than one byte: the opcode exists, but in this form it is #UD, or neither we nor this
 * Capstone know its name.
 */
void decoder_insn(struct decoder *decoder, const uint8_t *code, size_t len, uint64_t vaddr,
		  struct lych_insn *out);

#endif /* LYCH_DECODE_H */
