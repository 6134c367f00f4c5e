/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sweep.h"

#define VOTE_NEAR 32
#define VOTE_STEP 8
/* x86 code decoded from a wrong offset falls in step within a few instructions: room for that. */
#define VOTE_SETTLE 64

/* ---- reading ------------------------------------------------------------------------------- */

/* Bytes at vaddr; *len: how many, at least LYCH_SEQUENCE_MAX unless the memory ends before. */
static const uint8_t *window_at(struct window *w, uint64_t vaddr, size_t *len)
{
	uint64_t off = vaddr - w->base;

	if (w->len == 0 || vaddr < w->base || off >= w->len || w->len - off < LYCH_SEQUENCE_MAX) {
		w->base = vaddr;
		w->len = w->code->read(w->code->ctx, vaddr, w->bytes, sizeof(w->bytes));
		if (w->len != 0 && w->len < LYCH_SEQUENCE_MAX) {
			w->len += w->code->read(w->code->ctx, vaddr + w->len, w->bytes + w->len,
						sizeof(w->bytes) - w->len);
		}
		off = 0;
	}
	*len = w->len - off;
	return w->bytes + off;
}

bool window_decode(struct window *w, struct insn *in, uint64_t vaddr, uint64_t end,
			  const uint8_t **bytes)
{
	size_t len;

	*bytes = window_at(w, vaddr, &len);
	if (len > end - vaddr) {
		len = end - vaddr;
	}
	*w->spent += 4; /* as long as instructions are on average */
	return insn_decode(in, *bytes, len);
}

/* ---- what compilers do not emit ------------------------------------------------------------ */

bool implausible(const struct insn *in, const uint8_t *bytes)
{
	static const uint8_t one_byte[] = {
		0x6c, 0x6d, 0x6e, 0x6f,       /* INS, OUTS */
		0x8e, 0xc8, 0xca, 0xcb,       /* MOV Sreg, ENTER, RETF */
		0xcd, 0xcf, 0xd7, 0xe0, 0xe1, /* INT, IRET, XLAT, LOOPNE, LOOPE */
		0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, /* IN, OUT */
		0xf1, 0xf5, 0xfa, 0xfb,       /* INT1, CMC, CLI, STI */
	};
	static const uint8_t two_byte[] = {
		0x00, 0x02, 0x06, 0x07, 0x08, 0x09, 0x0e, 0x0f, /* SLDT.., LAR, CLTS, SYSRET, INVD.., 3DNow! */
		0x20, 0x21, 0x22, 0x23, 0x30, 0x32, 0x33, 0x35, 0x37, /* MOV CR and DR, MSRs, SYSEXIT, GETSEC */
		0x78, 0x79, 0xa0, 0xa1, 0xa8, 0xa9, 0xaa, 0xa6, 0xa7, /* VMREAD.., PUSH FS.., RSM, PadLock */
		0xb2, 0xb4, 0xb5,                               /* LSS, LFS, LGS */
	};

	if (in->encoding != INSN_LEGACY) {
		return false;
	}
	if (in->map == 1) {
		return memchr(two_byte, in->opcode, sizeof(two_byte)) != NULL;
	}
	if (in->map != 0) {
		return false;
	}
	if (in->opcode == 0xff) {
		unsigned reg = in->modrm >> 3 & 7;

		return reg == 3 || reg == 5; /* far */
	}
	if (in->opcode == 0xcd && bytes[in->imm_off] == 0x80) {
		return false; /* a system call */
	}
	if (in->opcode == 0x00 && in->modrm == 0x00) {
		return true;
	}
	if (in->opcode >= 0xa0 && in->opcode <= 0xa3 && in->disp_len == 8) {
		int64_t address;

		/* MOV to and from memory at an absolute address: is it one that 4-level paging has? */
		memcpy(&address, bytes + in->disp_off, sizeof(address));
		return address >> 47 != 0 && address >> 47 != -1;
	}
	return memchr(one_byte, in->opcode, sizeof(one_byte)) != NULL;
}

/* Would an instruction at vaddr decode if the memory did not end within it? */
static bool cut_off(struct window *w, uint64_t vaddr)
{
	uint8_t padded[LYCH_SEQUENCE_MAX] = {0};
	const uint8_t *bytes;
	struct insn in;
	size_t len;

	bytes = window_at(w, vaddr, &len);
	if (len >= sizeof(padded)) {
		return false;
	}
	memcpy(padded, bytes, len);
	return insn_decode(&in, padded, sizeof(padded)) && in.len > len;
}

bool clean(struct window *w, uint64_t from, uint64_t to, uint64_t end)
{
	while (from < to) {
		const uint8_t *bytes;
		struct insn in;

		if (!window_decode(w, &in, from, end, &bytes)) {
			return cut_off(w, from);
		}
		if (implausible(&in, bytes)) {
			return false;
		}
		from += in.len;
	}
	return true;
}

/* ---- decoding from an anchor --------------------------------------------------------------- */

/* Moves code_start over padding behind the function before, and pad_from down over that before the next. */
static void trim_padding(struct window *w, struct place_sweep *s, uint64_t hit)
{
	uint8_t tail[64];
	size_t len;

	for (const uint8_t *b = window_at(w, s->code_start, &len);
	     s->code_start < hit && len != 0 && (*b == 0x00 || *b == 0xcc);
	     b = window_at(w, s->code_start, &len)) {
		s->code_start++;
		*w->spent += 1;
	}
	while (s->pad_from > hit && s->pad_from - hit <= SWEEP_MAX) {
		size_t n = s->pad_from - hit < sizeof(tail) ? s->pad_from - hit : sizeof(tail);

		if (!code_bytes(w->code, s->pad_from - n, tail, n)) {
			return;
		}
		*w->spent += n;
		while (n > 0 && (tail[n - 1] == 0x00 || tail[n - 1] == 0xcc)) {
			n--;
			s->pad_from--;
		}
		if (n > 0) {
			return;
		}
	}
}

static void trail_push(struct place_sweep *s, uint64_t vaddr)
{
	if (s->ntrail == 3) {
		memmove(s->trail, s->trail + 1, 2 * sizeof(s->trail[0]));
		s->ntrail--;
	}
	s->trail[s->ntrail++] = vaddr;
}

void sweep(struct window *w, struct place_sweep *s, const struct anchor *a, uint64_t target, uint64_t mark)
{
	if (!s->known || s->start != a->start || s->end != a->end || s->at > target) {
		*s = (struct place_sweep){.known = true, .start = a->start, .end = a->end,
					  .code_start = a->start, .pad_from = a->end};
		if (!a->sure) {
			trim_padding(w, s, target);
		}
		s->at = s->code_start;
	}
	while (!s->broken) {
		const uint8_t *bytes;
		struct insn in;

		if (!window_decode(w, &in, s->at, a->end, &bytes)) {
			s->broken = true;
			return;
		}
		if (mark > s->at && mark - s->at < in.len) {
			s->missed_symbol = true;
		}
		if (target - s->at < in.len) {
			return;
		}
		trail_push(s, s->at);
		s->at += in.len;
	}
}

bool tail_exact(struct window *w, struct place_sweep *s)
{
	uint64_t at = s->at;

	if (s->tail_known) {
		return s->tail_exact;
	}
	s->tail_known = true;
	while (at < s->pad_from) {
		const uint8_t *bytes;
		struct insn in;

		if (at - s->at > SWEEP_MAX || !window_decode(w, &in, at, s->end, &bytes)) {
			return false;
		}
		at += in.len;
	}
	s->tail_exact = true;
	return true;
}

/* ---- decoding from everywhere -------------------------------------------------------------- */

/* The instruction that holds target when decoding starts at from; what does not decode is passed over. */
static uint64_t boundary_from(struct window *w, uint64_t from, uint64_t target)
{
	for (;;) {
		const uint8_t *bytes;
		struct insn in;
		unsigned len = window_decode(w, &in, from, UINT64_MAX, &bytes) ? in.len : 1;

		if (target - from < len) {
			return from;
		}
		from += len;
	}
}

bool vote(struct window *w, uint64_t *boundary, uint64_t *settled, uint64_t low, uint64_t target)
{
	uint64_t votes[(VOTE_FAR - VOTE_NEAR) / VOTE_STEP + 1], starts[(VOTE_FAR - VOTE_NEAR) / VOTE_STEP + 1];
	size_t n = 0, agree = 0, best = 0;

	for (uint64_t back = VOTE_FAR; back >= VOTE_NEAR; back -= VOTE_STEP) {
		if (target - low >= back) {
			starts[n] = target - back;
			votes[n] = boundary_from(w, starts[n], target);
			n++;
		}
	}
	for (size_t i = 0; i < n; i++) {
		size_t same = 0;

		for (size_t j = 0; j < n; j++) {
			same += votes[j] == votes[i];
		}
		if (same > agree) {
			agree = same;
			best = i; /* the first, so the one that starts farthest away */
		}
	}
	if (n < 8 || agree * 10 < n * 9) {
		return false;
	}
	*boundary = votes[best];
	*settled = boundary_from(w, starts[best], starts[best] + VOTE_SETTLE);
	return *settled <= votes[best] && clean(w, *settled, target + NEIGHBOURHOOD, UINT64_MAX);
}

uint64_t memory_start(const struct code *code, uint64_t vaddr)
{
	uint8_t bytes[VOTE_FAR];
	uint64_t back = vaddr < VOTE_FAR ? vaddr : VOTE_FAR;

	if (back == VOTE_FAR && code_bytes(code, vaddr - VOTE_FAR, bytes, VOTE_FAR)) {
		return vaddr - VOTE_FAR;
	}
	for (uint64_t i = 1; i <= back; i++) {
		if (!code_bytes(code, vaddr - i, bytes, 1)) {
			return vaddr - i + 1;
		}
	}
	return vaddr - back;
}
