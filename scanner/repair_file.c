/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "pattern.h"
#include "repair_check.h"
#include "repair_file.h"
#include "repair_know.h"

#define PAGE RANGE_PAGE
/* Room that a linker's neighbours and a heap that grows from the end of a fixed program get. */
#define APART (UINT64_C(64) << 20)
#define LOWEST UINT64_C(0x10000) /* vm.mmap_min_addr */
#define REACH (UINT64_C(0x7ff) << 20)
/* Findings in one image that are planned; a file can consist of them. */
#define STRAYS_MAX 65536u
/* The result is read in pieces of this, each with the end of the one before. */
#define PIECE (UINT64_C(256) << 10)
#define CARRY (LYCH_SEQUENCE_MAX - 1u)

/* A sequence that was met in the image. */
struct met {
	uint64_t core;
	enum lych_class cls;
	enum repair_where where;
	bool planned, executes; /* executes: its pages keep the right to */
	bool left;              /* the copy still has it */
};

struct job {
	const struct repair_file_opts *opts;
	struct repair_stats *stats;
	struct image *image;
	struct code code;
	struct repair repair;
	bool begun;
	struct decoder *decoder;
	int err; /* what ended the scan, of our own */
	uint64_t strays, kept; /* sequences met, and those that will still be there */
	struct met *met;
	size_t nmet, met_room;
	struct repair_item item;
};

/* ---- where trampolines can be ---------------------------------------------------------------- */

/* The addresses that the image takes up. */
static void extent(const struct image *image, uint64_t *start, uint64_t *end)
{
	const struct elf *elf = image->origins[0].elf;

	*start = *end = 0;
	if (elf != NULL && elf->nloads > 0) {
		*start = elf->loads[0].start;
		*end = elf->loads[elf->nloads - 1].end;
	} else if (image->nranges > 0) {
		const struct range *last = &image->ranges[image->nranges - 1];

		*start = image->ranges[0].vaddr;
		*end = last->vaddr + last->len;
	}
}

/*
 * A program with fixed addresses: below it first, since behind it the heap grows. Anything else can be loaded where
 * there is room on both sides; its link-time addresses may begin at 0, and those below are then negative.
 */
static void choose_areas(struct repair_options *options, const struct image *image)
{
	const struct elf *elf = image->origins[0].elf;
	bool fixed = elf != NULL && elf->ehdr.e_type == ET_EXEC;
	uint64_t start, end;
	struct repair_area below, above;

	extent(image, &start, &end);
	start &= ~(PAGE - 1);
	end = (end + PAGE - 1) & ~(PAGE - 1);
	below = (struct repair_area){start - REACH, start - PAGE};
	above = (struct repair_area){end + (fixed ? APART : PAGE), end + REACH};
	if (fixed && start < REACH + LOWEST) {
		below.start = LOWEST;
	} else if (start < REACH) {
		below.end = UINT64_MAX & ~(PAGE - 1); /* all that is below 0 */
	}
	if (below.start < below.end) {
		options->areas[options->nareas++] = below;
	}
	if (above.start < above.end && above.start > end) {
		options->areas[options->nareas++] = above;
	}
	if (!fixed && options->nareas == 2) {
		options->areas[0] = above;
		options->areas[1] = below;
	}
}

static int image_begin(void *ctx, struct scan *scan, struct image *image)
{
	struct job *job = ctx;
	struct repair_options options = {.classes = scan->opts.classes, .leave_data = job->opts->leave_data};
	int rc;

	job->image = image;
	job->code = (struct code){image_read, image};
	job->strays = job->kept = 0;
	job->nmet = 0;
	choose_areas(&options, image);
	rc = repair_begin(&job->repair, &job->code, &options);
	job->begun = rc == 0;
	return rc;
}

/* ---- the result --------------------------------------------------------------------------------------------- */

struct rest {
	struct job *job;
	uint64_t vaddr; /* of the piece's first byte */
	size_t seen;    /* bytes that the piece before showed already */
	uint64_t count;
};

static int compare_met(const void *a, const void *b)
{
	const struct met *left = a, *right = b;

	if (left->core != right->core) {
		return left->core < right->core ? -1 : 1;
	}
	return left->cls < right->cls ? -1 : left->cls > right->cls;
}

static int count_rest(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	struct rest *rest = ctx;
	struct met key = {.core = rest->vaddr + core, .cls = cls}, *met;

	if (off + len <= rest->seen) {
		return 0;
	}
	rest->count++;
	met = bsearch(&key, rest->job->met, rest->job->nmet, sizeof(key), compare_met);
	if (met != NULL) {
		met->left = true;
	}
	return 0;
}

/* Scans all of the image as it will be: how many sequences are left, refused and accepted ones included? */
static int scan_result(struct job *job, const struct image *image, uint64_t *left)
{
	uint8_t *piece = malloc(CARRY + PIECE);
	struct rest rest = {.job = job};
	size_t carry = 0;

	if (piece == NULL) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < image->nranges; i++) {
		const struct range *range = &image->ranges[i];

		carry = range->joins ? carry : 0;
		for (uint64_t done = 0; done < range->len;) {
			uint64_t want = range->len - done < PIECE ? range->len - done : PIECE;
			size_t got = repair_read(&job->repair, range->vaddr + done, piece + carry, (size_t)want), keep;

			if (got == 0) {
				carry = 0;
				break; /* said when it was scanned */
			}
			rest.seen = carry;
			rest.vaddr = range->vaddr + done - carry;
			(void)pattern_scan(piece, carry + got, job->repair.options.classes, count_rest, &rest);
			keep = carry + got < CARRY ? carry + got : CARRY;
			memmove(piece, piece + carry + got - keep, keep);
			carry = keep;
			done += got;
		}
	}
	free(piece);
	*left = rest.count;
	return 0;
}

static void tally(const struct job *job)
{
	for (size_t i = 0; i < job->nmet; i++) {
		const struct met *met = &job->met[i];
		struct repair_tally *row = &job->stats->table[met->where][met->cls];

		row->planned += met->planned;
		row->clean += met->planned && (!met->left || !met->executes);
	}
}

static int image_end(void *ctx, struct scan *scan, struct image *image)
{
	struct job *job = ctx;
	struct repair_plan plan = repair_plan_of(&job->repair);
	const struct origin *origin = &image->origins[0];
	uint64_t at, left = job->kept;
	const char *why = repair_check(&plan, &job->code, &at);
	int rc = 0;

	if (job->nmet > 0) {
		qsort(job->met, job->nmet, sizeof(*job->met), compare_met);
		rc = scan_result(job, image, &left);
	}
	tally(job);
	if (why != NULL) {
		scan_diag(scan, LYCH_DIAG_ERROR, -EBADMSG, origin->path, origin->member,
			  "the plan is wrong at 0x%llx: %s", (unsigned long long)at, why);
	}
	if (left != job->kept) {
		scan_diag(scan, LYCH_DIAG_ERROR, -EBADMSG, origin->path, origin->member,
			  "the plan is wrong: %llu sequences are left, not %llu", (unsigned long long)left,
			  (unsigned long long)job->kept);
	}
	job->stats->wrong += why != NULL || left != job->kept;
	job->stats->edits += job->repair.nedits;
	job->stats->trampolines += job->repair.ntrampolines;
	for (size_t i = 0; i < job->repair.ntrampolines; i++) {
		job->stats->trampoline_bytes += job->repair.trampolines[i].len;
	}
	for (size_t i = 0; i < job->repair.nno_exec; i++) {
		job->stats->no_exec_pages += (job->repair.no_exec[i].end - job->repair.no_exec[i].start) / PAGE;
	}
	repair_end(&job->repair);
	job->begun = false;
	job->err = rc;
	return rc;
}

/* ---- what is known about a place ------------------------------------------------------------- */

/* What the user said about the address, where the placement is undecided. */
static void believe(struct repair_stray *stray, const struct job *job)
{
	uint8_t bytes[LYCH_SEQUENCE_MAX];
	struct insn in;

	for (size_t i = 0; i < job->opts->ntold; i++) {
		uint64_t told = job->opts->told[i];
		size_t got;

		if (told > stray->hit.vaddr || stray->hit.vaddr - told >= LYCH_SEQUENCE_MAX) {
			continue;
		}
		got = job->code.read(job->code.ctx, told, bytes, sizeof(bytes));
		if (!insn_decode(&in, bytes, got) || told + in.len <= stray->hit.vaddr) {
			continue;
		}
		stray->insn_vaddr = told;
		stray->placement = told + in.len >= stray->hit.vaddr + stray->hit.len ? LYCH_PLACE_INSIDE
										     : LYCH_PLACE_SPANNING;
	}
}

static uint64_t core_of(const struct lych_finding *f, uint32_t classes)
{
	size_t off, len;
	enum lych_class cls;

	for (size_t core = 0; core < f->nbytes; core++) {
		if (pattern_at(f->bytes, f->nbytes, core, classes, &off, &len, &cls) && cls == f->cls && off == 0) {
			return f->vaddr + core;
		}
	}
	return f->vaddr;
}

static struct repair_stray stray_of(const struct job *job, const struct lych_finding *f, uint64_t core)
{
	struct elf *elf = job->image->origins[0].elf;
	struct repair_stray stray = {.placement = f->placement, .verdict = f->verdict, .insn_vaddr = f->vaddr,
				     .why = f->why, .pages_hold_code = true};

	stray.hit = (struct hit){.vaddr = f->vaddr, .core = core, .len = f->nbytes, .cls = f->cls};
	for (size_t i = 0; i < f->ninsns; i++) {
		if (f->insns[i].hit) {
			stray.insn_vaddr = f->insns[i].vaddr;
			break;
		}
	}
	if (stray.placement == LYCH_PLACE_UNDECIDED) {
		believe(&stray, job);
	}
	if (elf != NULL) {
		repair_know(&stray, elf, 0);
	}
	return stray;
}

/* ---- one finding ----------------------------------------------------------------------------- */

static void text_of(struct job *job, struct repair_text *text, uint64_t vaddr, const uint8_t *bytes, size_t len)
{
	text->n = 0;
	while (len > 0 && text->n < REPAIR_TEXTS_MAX) {
		struct lych_insn *insn = &text->insns[text->n++];

		decoder_insn(job->decoder, bytes, len, vaddr, insn);
		insn->hit = false;
		vaddr += insn->len;
		bytes += insn->len;
		len -= insn->len;
	}
}

static void write_texts(struct job *job, const struct repair_outcome *outcome)
{
	struct repair_item *item = &job->item;

	for (size_t i = 0; i < outcome->nedits; i++) {
		const struct repair_edit *e = &outcome->edits[i];
		size_t old_len = e->len;

		/* What a punned jump borrows stays what it is: the start of the next instruction. */
		if (outcome->route == REPAIR_PUN) {
			old_len = (size_t)(outcome->trampoline.resume - outcome->trampoline.site);
		}
		text_of(job, &item->before[i], e->vaddr, e->old_bytes, old_len);
		text_of(job, &item->after[i], e->vaddr, e->new_bytes, e->len);
	}
	item->trampoline.n = 0;
	if (outcome->has_trampoline) {
		const struct repair_trampoline *t = &outcome->trampoline;

		text_of(job, &item->trampoline, t->vaddr, t->code, t->len - (t->absolute != 0 ? 8u : 0u));
	}
}

/* For the table; what was refused because there is too much of it is only counted. */
static int remember(struct job *job, const struct lych_finding *f, uint64_t core, enum repair_kind kind)
{
	struct met met = {.core = core, .cls = f->cls, .executes = kind != REPAIR_NO_EXEC};

	if (kind == REPAIR_ACCEPTED || kind == REPAIR_NOT_LOADED) {
		return 0;
	}
	met.where = f->placement == LYCH_PLACE_DATA	   ? REPAIR_IN_DATA
		    : f->placement == LYCH_PLACE_UNDECIDED ? REPAIR_IN_UNDECIDED
							   : REPAIR_IN_CODE;
	met.planned = kind != REPAIR_REFUSED && kind != REPAIR_LEFT;
	job->stats->table[met.where][met.cls].found++;
	if (job->nmet >= STRAYS_MAX) {
		return 0;
	}
	if (job->nmet == job->met_room) {
		size_t room = job->met_room == 0 ? 64 : job->met_room * 2;
		struct met *more = reallocarray(job->met, room, sizeof(*more));

		if (more == NULL) {
			return -ENOMEM;
		}
		job->met = more;
		job->met_room = room;
	}
	job->met[job->nmet++] = met;
	return 0;
}

static int on_finding(void *ctx, const struct lych_finding *f)
{
	struct job *job = ctx;
	const struct elf *elf = job->image->origins[0].elf;
	struct repair_outcome outcome = {.why = ""};
	struct repair_stray stray;
	uint64_t core = core_of(f, job->repair.options.classes);

	if (job->decoder == NULL && decoder_new(&job->decoder) != 0) {
		job->err = -ENOMEM;
		return job->err;
	}
	if (elf != NULL && elf->ehdr.e_type == ET_REL) {
		outcome.kind = REPAIR_NOT_LOADED;
	} else if (job->strays++ >= STRAYS_MAX) {
		outcome = (struct repair_outcome){.kind = REPAIR_REFUSED, .why = "too many sequences in one file"};
	} else {
		stray = stray_of(job, f, core);
		job->err = repair_add(&job->repair, &stray, &outcome);
		if (job->err != 0) {
			return job->err;
		}
	}
	job->err = remember(job, f, core, outcome.kind);
	if (job->err != 0) {
		return job->err;
	}
	job->stats->kinds[outcome.kind][f->cls]++;
	switch (outcome.kind) {
	case REPAIR_REFUSED:
	case REPAIR_ACCEPTED:
	case REPAIR_NO_EXEC:
	case REPAIR_LEFT:
	case REPAIR_NOT_LOADED:
		job->kept++;
		break;
	default:
		break;
	}
	if (job->opts->planned == NULL) {
		return 0;
	}
	job->item.finding = f;
	job->item.outcome = &outcome;
	job->item.why = outcome.why;
	write_texts(job, &outcome);
	return job->opts->planned(job->opts->ctx, &job->item);
}

static void on_diag(void *ctx, const struct lych_diag *diag)
{
	struct job *job = ctx;

	if (job->opts->diag != NULL) {
		job->opts->diag(job->opts->ctx, diag);
	}
}

int repair_fd(int fd, const char *name, const struct repair_file_opts *opts, struct repair_stats *stats)
{
	struct lych_scan_opts lib = LYCH_SCAN_OPTS_INIT;
	struct job *job = calloc(1, sizeof(*job));
	struct lych_scan_stats scratch;
	struct scan scan;
	int rc;

	if (job == NULL) {
		return -ENOMEM;
	}
	job->opts = opts;
	job->stats = stats;
	lib.classes = opts->classes;
	lib.flags = opts->flags;
	lib.raw_vaddr = opts->raw_vaddr;
	lib.max_bytes = opts->max_bytes;
	lib.finding = on_finding;
	lib.diag = on_diag;
	lib.ctx = job;
	rc = scan_begin(&scan, &lib, &stats->scan, &scratch);
	if (rc == 0) {
		scan.image_begin = image_begin;
		scan.image_end = image_end;
		rc = fd < 0 || name == NULL ? -EINVAL : scan_open_file(&scan, fd, name, NULL);
	}
	rc = scan_end(&scan, rc);
	rc = job->err != 0 ? job->err : rc;
	if (job->begun) {
		repair_end(&job->repair);
	}
	decoder_free(job->decoder);
	free(job->met);
	free(job);
	return rc;
}
