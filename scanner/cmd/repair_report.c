/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "repair_report.h"

/* ---- text ------------------------------------------------------------------------------------ */

/* A trampoline below an image that is linked at 0 has a negative address. */
static void put_address(struct buf *out, uint64_t vaddr)
{
	int64_t value = (int64_t)vaddr;

	buf_printf(out, value < 0 ? "-0x%" PRIx64 : "0x%" PRIx64, value < 0 ? 0 - vaddr : vaddr);
}

static void put_name(struct buf *out, const struct lych_finding *f)
{
	buf_name(out, f->path);
	if (f->member[0] != '\0') {
		buf_str(out, "(");
		buf_name(out, f->member);
		buf_str(out, ")");
	}
}

static void put_lines(struct buf *out, char sign, const struct repair_text *text)
{
	for (size_t i = 0; i < text->n; i++) {
		const struct lych_insn *insn = &text->insns[i];

		buf_printf(out, "  %c ", sign);
		put_address(out, insn->vaddr);
		buf_str(out, "  ");
		buf_bytes(out, insn->bytes, insn->len);
		buf_printf(out, "%*s  ", 3 * (insn->len < 8 ? 8 - insn->len : 0), "");
		buf_name(out, insn->text);
		buf_str(out, "\n");
	}
}

void repair_text_item(struct buf *out, const struct repair_item *item)
{
	const struct lych_finding *f = item->finding;
	const struct repair_outcome *o = item->outcome;

	put_name(out, f);
	buf_printf(out, ":0x%" PRIx64 ": %s %s: %s", f->vaddr, repair_kind_name(o->kind), lych_class_name(f->cls),
		   lych_placement_name(f->placement));
	if (o->route == REPAIR_HOP || o->route == REPAIR_PUN) {
		buf_printf(out, " (by a %s)", repair_route_name(o->route));
	}
	if (item->why[0] != '\0') {
		buf_str(out, ": ");
		buf_name(out, item->why);
	}
	if (o->kind == REPAIR_NO_EXEC) {
		buf_printf(out, ": pages 0x%" PRIx64 "-0x%" PRIx64, o->page_start, o->page_end);
	}
	buf_str(out, "\n");
	for (size_t i = 0; i < o->nedits; i++) {
		put_lines(out, '-', &item->before[i]);
		put_lines(out, '+', &item->after[i]);
	}
	put_lines(out, '>', &item->trampoline);
}

/* ---- JSON lines ------------------------------------------------------------------------------ */

static json_t *address(uint64_t vaddr)
{
	struct buf text = {0};

	put_address(&text, vaddr);
	return json_buf(&text);
}

static json_t *texts(const struct repair_text *text)
{
	json_t *list = json_array();

	for (size_t i = 0; i < text->n; i++) {
		json_array_append_new(list, json_text(text->insns[i].text, NULL));
	}
	return list;
}

static json_t *edits(const struct repair_item *item)
{
	json_t *list = json_array();

	for (size_t i = 0; i < item->outcome->nedits; i++) {
		const struct repair_edit *e = &item->outcome->edits[i];
		json_t *object = json_object();

		json_put(object, "vaddr", address(e->vaddr));
		json_put(object, "old", json_bytes(e->old_bytes, e->len));
		json_put(object, "new", json_bytes(e->new_bytes, e->len));
		json_put(object, "before", texts(&item->before[i]));
		json_put(object, "after", texts(&item->after[i]));
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *trampoline(const struct repair_item *item)
{
	const struct repair_trampoline *t = &item->outcome->trampoline;
	json_t *object = json_object(), *fixups = json_array();

	json_put(object, "vaddr", address(t->vaddr));
	json_put(object, "site", address(t->site));
	json_put(object, "code", json_bytes(t->code, t->len));
	json_put(object, "text", texts(&item->trampoline));
	for (size_t i = 0; i < t->nfixups; i++) {
		json_t *fixup = json_object();

		json_put(fixup, "at", json_integer(t->fixups[i].at));
		json_put(fixup, "end", json_integer(t->fixups[i].end));
		json_put(fixup, "target", address(t->fixups[i].target));
		json_array_append_new(fixups, fixup);
	}
	json_put(object, "fixups", fixups);
	return object;
}

void repair_json_record(struct buf *out, json_t *object)
{
	json_add(out, object);
	buf_str(out, "\n");
}

void repair_json_item(struct buf *out, const struct repair_item *item)
{
	const struct lych_finding *f = item->finding;
	const struct repair_outcome *o = item->outcome;
	json_t *object = json_pack("{s:s}", "type", "repair");
	bool exact;

	json_put(object, "file", json_text(f->path, &exact));
	if (!exact) {
		json_put(object, "file_bytes", json_text_bytes(f->path));
	}
	json_put(object, "member", json_text(f->member, NULL));
	json_put(object, "vaddr", json_hex(f->vaddr));
	json_put(object, "class", json_string(lych_class_name(f->cls)));
	json_put(object, "placement", json_string(lych_placement_name(f->placement)));
	json_put(object, "section", json_text(f->section, NULL));
	json_put(object, "symbol", json_text(f->symbol, NULL));
	json_put(object, "kind", json_string(repair_kind_name(o->kind)));
	json_put(object, "route", json_string(repair_route_name(o->route)));
	json_put(object, "why", json_text(item->why, NULL));
	json_put(object, "edits", edits(item));
	if (o->has_trampoline) {
		json_put(object, "trampoline", trampoline(item));
	}
	if (o->kind == REPAIR_NO_EXEC) {
		json_put(object, "page_start", json_hex(o->page_start));
		json_put(object, "page_end", json_hex(o->page_end));
	}
	repair_json_record(out, object);
}
