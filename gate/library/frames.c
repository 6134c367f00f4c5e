/* SPDX-License-Identifier: Apache-2.0 */
#include "frames.h"

#include <string.h>

#define HEADER_VERSION 1
#define ENC_OMIT 0xff
#define ENC_FORM 0x0f
#define ENC_PCREL 0x10
#define ENC_PCREL_SDATA4 0x1b
#define ENC_UDATA4 0x03
#define ENC_DATAREL_SDATA4 0x3b
/* Bytes of one entry of the table; what is behind them is not looked at, and an end where that would matter. */
#define ENTRY_BYTES 4096
#define REMEMBERED 8
#define EXPRESSION_DEPTH 16

/* ---- bytes, as they were read ---------------------------------------------------------------------------------------- */

struct bytes {
	const uint8_t *at, *end;
	uint64_t address; /* of at */
	bool short_of;    /* something was read that is not there: all of it counts for nothing */
};

static uint64_t take(struct bytes *b, size_t n)
{
	uint64_t value = 0;

	if ((size_t)(b->end - b->at) < n) {
		b->short_of = true;
		b->address += (size_t)(b->end - b->at);
		b->at = b->end;
		return 0;
	}
	memcpy(&value, b->at, n);
	b->at += n;
	b->address += n;
	return value;
}

static int64_t take_signed(struct bytes *b, size_t n)
{
	unsigned int unused = 64 - 8 * (unsigned int)n;

	return (int64_t)(take(b, n) << unused) >> unused;
}

static uint64_t take_leb(struct bytes *b, bool is_signed)
{
	uint64_t value = 0, byte;
	unsigned int shift = 0;

	do {
		byte = take(b, 1);
		value |= shift < 64 ? (byte & 0x7f) << shift : 0;
		shift += 7;
	} while ((byte & 0x80) != 0 && shift < 70);
	if (is_signed && (byte & 0x40) != 0 && shift < 64) {
		value |= ~(uint64_t)0 << shift;
	}
	return value;
}

static uint64_t uleb(struct bytes *b)
{
	return take_leb(b, false);
}

static uint64_t sleb(struct bytes *b)
{
	return take_leb(b, true);
}

/* The next n of them, and behind it. */
static struct bytes part(struct bytes *b, uint64_t n)
{
	struct bytes p = *b;

	if (n > (size_t)(b->end - b->at)) {
		n = (size_t)(b->end - b->at);
		b->short_of = true;
	}
	p.end = p.at + n;
	b->at += n;
	b->address += n;
	return p;
}

/* base: of those relative to where they are. */
static uint64_t encoded(struct bytes *b, uint8_t enc, bool base)
{
	uint64_t at = b->address, value;

	switch (enc & ENC_FORM) {
	case 0x0: /* absolute */
	case 0x4: /* udata8 */
	case 0xc: /* sdata8 */
		value = take(b, 8);
		break;
	case 0x2: /* udata2 */
		value = take(b, 2);
		break;
	case 0x3: /* udata4 */
		value = take(b, 4);
		break;
	case 0xa: /* sdata2 */
		value = (uint64_t)take_signed(b, 2);
		break;
	case 0xb: /* sdata4 */
		value = (uint64_t)take_signed(b, 4);
		break;
	default:
		b->short_of = true;
		return 0;
	}
	return base && (enc & 0x70) == ENC_PCREL ? value + at : value;
}

/* ---- finding the entry ----------------------------------------------------------------------------------------------- */

struct table_header {
	uint8_t version, frame_enc, count_enc, table_enc;
	int32_t frame;
	uint32_t count;
};

struct table_entry {
	int32_t start, entry;
};

/* The entry of the last function that starts at or before pc: its address. */
static bool find(const struct frames_memory *m, uint64_t header, uint64_t pc, uint64_t *entry)
{
	struct table_header h;
	struct table_entry e, best = {0};
	uint32_t low = 0, high;
	bool found = false;

	if (!m->read(m->ctx, &h, header, sizeof(h)) || h.version != HEADER_VERSION || h.frame_enc != ENC_PCREL_SDATA4 ||
	    h.count_enc != ENC_UDATA4 || h.table_enc != ENC_DATAREL_SDATA4) {
		return false;
	}
	high = h.count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (!m->read(m->ctx, &e, header + sizeof(h) + (uint64_t)mid * sizeof(e), sizeof(e))) {
			return false;
		}
		if (header + (uint64_t)(int64_t)e.start <= pc) {
			best = e;
			found = true;
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	*entry = header + (uint64_t)(int64_t)best.entry;
	return found;
}

/* A record of .eh_frame at an address: what is behind its length, as much as there is room for. */
static bool read_record(const struct frames_memory *m, uint64_t at, uint8_t buffer[ENTRY_BYTES], struct bytes *out)
{
	uint32_t length;

	if (!m->read(m->ctx, &length, at, sizeof(length)) || length < 4 || length == UINT32_MAX) {
		return false;
	}
	at += sizeof(length);
	length = length < ENTRY_BYTES ? length : ENTRY_BYTES;
	*out = (struct bytes){.at = buffer, .end = buffer + length, .address = at};
	return m->read(m->ctx, buffer, at, length);
}

struct common {
	uint64_t code_align, data_align;
	uint8_t enc;     /* of addresses of code */
	bool augmented;  /* with a length */
	bool signal;
	struct bytes rules;
};

static bool read_common(struct common *c, const struct frames_memory *m, uint64_t at, uint8_t buffer[ENTRY_BYTES])
{
	struct bytes b, augmentation;
	char letters[8] = "";
	size_t n = 0;
	uint8_t version;

	*c = (struct common){0};
	if (!read_record(m, at, buffer, &b) || take(&b, 4) != 0) {
		return false;
	}
	version = (uint8_t)take(&b, 1);
	do {
		letters[n] = (char)take(&b, 1);
	} while (letters[n] != '\0' && ++n < sizeof(letters));
	if ((version != 1 && version != 3) || n == sizeof(letters)) {
		return false;
	}
	c->code_align = uleb(&b);
	c->data_align = sleb(&b);
	if ((version == 1 ? take(&b, 1) : uleb(&b)) != FRAMES_RIP) {
		return false;
	}
	if (letters[0] != 'z') {
		c->rules = b;
		return letters[0] == '\0' && !b.short_of;
	}
	c->augmented = true;
	augmentation = part(&b, uleb(&b));
	for (size_t i = 1; letters[i] != '\0'; i++) {
		uint8_t enc;

		switch (letters[i]) {
		case 'R':
			c->enc = (uint8_t)take(&augmentation, 1);
			break;
		case 'L':
			take(&augmentation, 1);
			break;
		case 'P':
			enc = (uint8_t)take(&augmentation, 1);
			if (enc != ENC_OMIT) {
				encoded(&augmentation, enc, false);
			}
			break;
		case 'S':
			c->signal = true;
			break;
		default:
			return false;
		}
	}
	c->rules = b;
	return !b.short_of && !augmentation.short_of && (c->enc & 0x70) <= ENC_PCREL && (c->enc & 0x80) == 0;
}

/* ---- rules ----------------------------------------------------------------------------------------------------------- */

enum rule_kind {
	RULE_SAME, /* also of what is lost: nobody looks at it */
	RULE_UNDEFINED,
	RULE_AT,      /* in memory at CFA + value */
	RULE_IS,      /* CFA + value */
	RULE_REGISTER,
	RULE_AT_EXPRESSION,
	RULE_IS_EXPRESSION,
};

struct rule {
	enum rule_kind kind;
	uint64_t value;
	struct bytes expression;
};

struct rules {
	struct rule cfa; /* RULE_REGISTER: reg + value; else RULE_IS_EXPRESSION */
	uint64_t cfa_register;
	struct rule reg[FRAMES_REGISTERS];
};

static void set(struct rules *r, uint64_t reg, enum rule_kind kind, uint64_t value)
{
	if (reg < FRAMES_REGISTERS) {
		r->reg[reg] = (struct rule){.kind = kind, .value = value};
	}
}

static void set_expression(struct rule *rule, enum rule_kind kind, struct bytes *b)
{
	rule->kind = kind;
	rule->expression = part(b, uleb(b));
}

static void set_cfa(struct rules *r, uint64_t reg, uint64_t value)
{
	r->cfa = (struct rule){.kind = RULE_REGISTER, .value = value};
	r->cfa_register = reg;
}

/* One instruction that sets rules. false: an unknown one. */
static bool set_rule(struct rules *r, const struct rules *initial, const struct common *c, uint8_t op, struct bytes *b)
{
	uint64_t reg = op & 0x3f;
	struct rule unused;

	switch (op & 0xc0) {
	case 0x80: /* offset */
		set(r, reg, RULE_AT, uleb(b) * c->data_align);
		return true;
	case 0xc0: /* restore */
		if (reg < FRAMES_REGISTERS) {
			r->reg[reg] = initial->reg[reg];
		}
		return true;
	default:
		break;
	}
	reg = op == 0x00 || op == 0x0e || op == 0x0f || op == 0x13 || op == 0x2e ? 0 : uleb(b);
	switch (op) {
	case 0x00: /* nop */
		return true;
	case 0x05: /* offset_extended */
		set(r, reg, RULE_AT, uleb(b) * c->data_align);
		return true;
	case 0x06: /* restore_extended */
		if (reg < FRAMES_REGISTERS) {
			r->reg[reg] = initial->reg[reg];
		}
		return true;
	case 0x07: /* undefined */
		set(r, reg, RULE_UNDEFINED, 0);
		return true;
	case 0x08: /* same_value */
		set(r, reg, RULE_SAME, 0);
		return true;
	case 0x09: /* register */
		set(r, reg, RULE_REGISTER, uleb(b));
		return true;
	case 0x0c: /* def_cfa */
		set_cfa(r, reg, uleb(b));
		return true;
	case 0x0d: /* def_cfa_register */
		set_cfa(r, reg, r->cfa.value);
		return true;
	case 0x0e: /* def_cfa_offset */
		set_cfa(r, r->cfa_register, uleb(b));
		return true;
	case 0x0f: /* def_cfa_expression */
		set_expression(&r->cfa, RULE_IS_EXPRESSION, b);
		return true;
	case 0x10: /* expression */
		set_expression(reg < FRAMES_REGISTERS ? &r->reg[reg] : &unused, RULE_AT_EXPRESSION, b);
		return true;
	case 0x11: /* offset_extended_sf */
		set(r, reg, RULE_AT, sleb(b) * c->data_align);
		return true;
	case 0x12: /* def_cfa_sf */
		set_cfa(r, reg, sleb(b) * c->data_align);
		return true;
	case 0x13: /* def_cfa_offset_sf */
		set_cfa(r, r->cfa_register, sleb(b) * c->data_align);
		return true;
	case 0x14: /* val_offset */
		set(r, reg, RULE_IS, uleb(b) * c->data_align);
		return true;
	case 0x15: /* val_offset_sf */
		set(r, reg, RULE_IS, sleb(b) * c->data_align);
		return true;
	case 0x16: /* val_expression */
		set_expression(reg < FRAMES_REGISTERS ? &r->reg[reg] : &unused, RULE_IS_EXPRESSION, b);
		return true;
	case 0x2e: /* GNU_args_size */
		uleb(b);
		return true;
	default:
		return false;
	}
}

/* As far as pc, of the code from start on. */
static bool run(struct rules *r, const struct rules *initial, const struct common *c, struct bytes b, uint64_t start, uint64_t pc)
{
	struct rules kept[REMEMBERED];
	size_t nkept = 0;

	while (b.at < b.end) {
		uint8_t op = (uint8_t)take(&b, 1);

		if ((op & 0xc0) == 0x40) { /* advance_loc */
			start += (op & 0x3f) * c->code_align;
		} else if (op == 0x01) { /* set_loc */
			start = encoded(&b, c->enc, true);
		} else if (op >= 0x02 && op <= 0x04) { /* advance_loc1, 2, 4 */
			start += take(&b, (size_t)1 << (op - 2)) * c->code_align;
		} else if (op == 0x0a) { /* remember_state */
			if (nkept == REMEMBERED) {
				return false;
			}
			kept[nkept++] = *r;
		} else if (op == 0x0b) { /* restore_state */
			if (nkept == 0) {
				return false;
			}
			*r = kept[--nkept];
		} else if (!set_rule(r, initial, c, op, &b)) {
			return false;
		}
		if (start > pc) {
			return !b.short_of;
		}
	}
	return !b.short_of;
}

/* ---- values ---------------------------------------------------------------------------------------------------------- */

struct stack {
	uint64_t at[EXPRESSION_DEPTH];
	size_t n;
	bool bad;
};

static void push(struct stack *s, uint64_t value)
{
	if (s->n == EXPRESSION_DEPTH) {
		s->bad = true;
		return;
	}
	s->at[s->n++] = value;
}

static uint64_t pop(struct stack *s)
{
	if (s->n == 0) {
		s->bad = true;
		return 0;
	}
	return s->at[--s->n];
}

/* What takes two. */
static bool binary(struct stack *s, uint8_t op)
{
	uint64_t b = pop(s), a = pop(s);

	switch (op) {
	case 0x1a:
		push(s, a & b);
		return true;
	case 0x1c:
		push(s, a - b);
		return true;
	case 0x1e:
		push(s, a * b);
		return true;
	case 0x21:
		push(s, a | b);
		return true;
	case 0x22:
		push(s, a + b);
		return true;
	case 0x24:
		push(s, b < 64 ? a << b : 0);
		return true;
	case 0x25:
		push(s, b < 64 ? a >> b : 0);
		return true;
	case 0x27:
		push(s, a ^ b);
		return true;
	case 0x29:
		push(s, a == b);
		return true;
	case 0x2a:
		push(s, (int64_t)a >= (int64_t)b);
		return true;
	case 0x2b:
		push(s, (int64_t)a > (int64_t)b);
		return true;
	case 0x2c:
		push(s, (int64_t)a <= (int64_t)b);
		return true;
	case 0x2d:
		push(s, (int64_t)a < (int64_t)b);
		return true;
	case 0x2e:
		push(s, a != b);
		return true;
	default:
		return false;
	}
}

static bool constant(struct stack *s, uint8_t op, struct bytes *b)
{
	static const uint8_t width[8] = {1, 1, 2, 2, 4, 4, 8, 8};

	if (op >= 0x30 && op <= 0x4f) { /* lit */
		push(s, op - 0x30u);
	} else if (op >= 0x08 && op <= 0x0f) { /* const1u, const1s, ... */
		push(s, (op & 1) != 0 ? (uint64_t)take_signed(b, width[op - 8]) : take(b, width[op - 8]));
	} else if (op == 0x10) {
		push(s, uleb(b));
	} else if (op == 0x11) {
		push(s, sleb(b));
	} else {
		return false;
	}
	return true;
}

/* Those that compilers and linkers use; no branches, so that it ends. */
static bool evaluate(const struct frames *f, const struct frames_memory *m, struct bytes b, const uint64_t *cfa, uint64_t *out)
{
	struct stack s = {.n = 0};

	if (cfa != NULL) {
		push(&s, *cfa);
	}
	while (b.at < b.end && !s.bad && !b.short_of) {
		uint8_t op = (uint8_t)take(&b, 1);
		uint64_t value;

		if (op >= 0x70 && op < 0x70 + FRAMES_REGISTERS) { /* breg */
			push(&s, f->reg[op - 0x70] + sleb(&b));
		} else if (op == 0x06) { /* deref */
			if (!m->read(m->ctx, &value, pop(&s), sizeof(value))) {
				return false;
			}
			push(&s, value);
		} else if (op == 0x12) { /* dup */
			value = pop(&s);
			push(&s, value);
			push(&s, value);
		} else if (op == 0x13) { /* drop */
			pop(&s);
		} else if (op == 0x23) { /* plus_uconst */
			push(&s, pop(&s) + uleb(&b));
		} else if (!constant(&s, op, &b) && !binary(&s, op)) {
			return false;
		}
	}
	*out = pop(&s);
	return !s.bad && !b.short_of;
}

static bool value_of(const struct frames *f, const struct frames_memory *m, const struct rule *rule, uint64_t cfa, uint64_t same,
		     uint64_t *out)
{
	uint64_t at = cfa + rule->value;

	switch (rule->kind) {
	case RULE_SAME:
		*out = same;
		return true;
	case RULE_IS:
		*out = at;
		return true;
	case RULE_AT:
		return m->read(m->ctx, out, at, sizeof(*out));
	case RULE_REGISTER:
		*out = rule->value < FRAMES_REGISTERS ? f->reg[rule->value] : 0;
		return rule->value < FRAMES_REGISTERS;
	case RULE_IS_EXPRESSION:
		return evaluate(f, m, rule->expression, &cfa, out);
	case RULE_AT_EXPRESSION:
		return evaluate(f, m, rule->expression, &cfa, &at) && m->read(m->ctx, out, at, sizeof(*out));
	case RULE_UNDEFINED:
		break;
	}
	return false;
}

static bool apply(struct frames *f, const struct frames_memory *m, const struct rules *r)
{
	struct frames next = *f;
	uint64_t cfa;

	if (r->cfa.kind == RULE_IS_EXPRESSION) {
		if (!evaluate(f, m, r->cfa.expression, NULL, &cfa)) {
			return false;
		}
	} else if (r->cfa_register < FRAMES_REGISTERS) {
		cfa = f->reg[r->cfa_register] + r->cfa.value;
	} else {
		return false;
	}
	next.reg[FRAMES_RSP] = cfa;
	for (size_t i = 0; i < FRAMES_REGISTERS; i++) {
		bool plain = r->reg[i].kind == RULE_SAME || r->reg[i].kind == RULE_UNDEFINED;

		/* Without an address to return to it ends; any other register may be lost. */
		if (i == FRAMES_RIP ? r->reg[i].kind == RULE_SAME || !value_of(f, m, &r->reg[i], cfa, 0, &next.reg[i])
				    : !plain && !value_of(f, m, &r->reg[i], cfa, f->reg[i], &next.reg[i])) {
			return false;
		}
	}
	*f = next;
	return true;
}

bool frames_step(struct frames *frames, const struct frames_memory *memory, uint64_t header)
{
	uint64_t pc = frames->reg[FRAMES_RIP] - (frames->exact ? 0 : 1), at, start, bytes;
	uint8_t entry[ENTRY_BYTES], common[ENTRY_BYTES];
	struct rules initial = {.cfa = {.kind = RULE_REGISTER}, .cfa_register = FRAMES_REGISTERS}, rules;
	struct common c;
	struct bytes b;
	uint64_t to_common;

	if (!find(memory, header, pc, &at) || !read_record(memory, at, entry, &b)) {
		return false;
	}
	to_common = take(&b, 4);
	if (to_common == 0 || !read_common(&c, memory, at + 4 - to_common, common)) {
		return false;
	}
	start = encoded(&b, c.enc, true);
	bytes = encoded(&b, c.enc, false);
	if (c.augmented) {
		part(&b, uleb(&b));
	}
	if (b.short_of || pc < start || pc - start >= bytes || !run(&initial, &initial, &c, c.rules, start, UINT64_MAX)) {
		return false;
	}
	rules = initial;
	if (!run(&rules, &initial, &c, b, start, pc) || !apply(frames, memory, &rules)) {
		return false;
	}
	frames->exact = c.signal;
	return true;
}
