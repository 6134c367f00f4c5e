/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "pattern.h"

/*
 * Bytes are read in windows small enough for the second-level cache. A window starts with the last
 * CARRY bytes of the one before it, so that a sequence across the border is seen whole, once.
 */
#define WINDOW_BYTES (256u * 1024)
#define CARRY (LYCH_SEQUENCE_MAX - 1u)

/* So many findings between two looks at the clock. */
#define TIME_STEP 1024u

/* Instructions shown before and after a finding, and the most that a sequence can touch. */
#define CONTEXT_INSNS 3u
#define INSNS_MAX (2 * CONTEXT_INSNS + LYCH_SEQUENCE_MAX)

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool opts_are_valid(const struct lych_scan_opts *opts)
{
	const uint8_t *bytes = (const uint8_t *)opts;

	/* More than a page is not a newer version but an uninitialised struct. */
	if (opts->size > 4096 || opts->size < offsetof(struct lych_scan_opts, classes) + sizeof(opts->classes)) {
		return false;
	}
	/* A caller newer than this library may only pass options that say "default". */
	for (size_t i = sizeof(*opts); i < opts->size; i++) {
		if (bytes[i] != 0) {
			return false;
		}
	}
	return true;
}

int scan_begin(struct scan *scan, const struct lych_scan_opts *opts, struct lych_scan_stats *stats,
	       struct lych_scan_stats *scratch)
{
	const uint32_t known_flags = LYCH_SCAN_RAW | LYCH_SCAN_BYTES_ONLY | LYCH_SCAN_NO_GATES;

	memset(scan, 0, sizeof(*scan));
	memset(scratch, 0, sizeof(*scratch));
	scan->stats = stats != NULL ? stats : scratch;
	if (opts != NULL) {
		if (!opts_are_valid(opts)) {
			return -EINVAL;
		}
		memcpy(&scan->opts, opts,
		       opts->size < sizeof(scan->opts) ? opts->size : sizeof(scan->opts));
	}
	if ((scan->opts.classes & ~LYCH_ALL_CLASSES) != 0 || (scan->opts.flags & ~known_flags) != 0) {
		return -EINVAL;
	}
	if (scan->opts.classes == 0) {
		scan->opts.classes = LYCH_POLICY_PKRU;
	}
	if (scan->opts.timeout_ms != 0) {
		scan->deadline_ns = now_ns() + scan->opts.timeout_ms * UINT64_C(1000000);
	}
	scan->window = malloc(CARRY + WINDOW_BYTES);
	return scan->window != NULL ? 0 : -ENOMEM;
}

int scan_end(struct scan *scan, int rc)
{
	decoder_free(scan->decoder);
	free(scan->window);
	scan->decoder = NULL;
	scan->window = NULL;
	return rc != 0 ? rc : scan->first_error;
}

void scan_diag(struct scan *scan, enum lych_severity severity, int err, const char *path,
	       const char *member, const char *fmt, ...)
{
	char message[512];
	struct lych_diag diag = {
		.severity = severity, .err = err, .path = path, .member = member, .message = message};
	va_list args;

	if (severity == LYCH_DIAG_ERROR && scan->first_error == 0) {
		scan->first_error = err;
	}
	if (scan->opts.diag == NULL) {
		return;
	}
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	scan->opts.diag(scan->opts.ctx, &diag);
}

/* ---- addresses ---------------------------------------------------------------------------- */

static const struct range *range_of(const struct image *image, uint64_t vaddr)
{
	size_t low = 0, high = image->nranges;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (image->ranges[mid].vaddr <= vaddr) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	if (low == 0 || vaddr - image->ranges[low - 1].vaddr >= image->ranges[low - 1].len) {
		return NULL;
	}
	return &image->ranges[low - 1];
}

static struct origin *origin_of(const struct image *image, uint64_t vaddr)
{
	size_t low = 0, high = image->norigins;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (image->origins[mid].vaddr <= vaddr) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	return &image->origins[low > 0 ? low - 1 : 0];
}

/* How many bytes at vaddr, in the range, will run as they are read. */
static uint64_t settled_bytes(const struct image *image, const struct range *range, uint64_t vaddr)
{
	const struct elf *elf = origin_of(image, vaddr)->elf;

	if (range->writable) {
		return 0;
	}
	return image->live || elf == NULL ? UINT64_MAX : elf_settled(elf, vaddr);
}

static size_t read_ranges(const struct image *image, uint64_t vaddr, void *buf, size_t len, bool settled)
{
	const struct range *range = range_of(image, vaddr);
	const struct range *end = image->ranges + image->nranges;
	size_t done = 0;

	while (range != NULL && done < len) {
		uint64_t skip = vaddr + done - range->vaddr;
		uint64_t want = range->len - skip;
		size_t got;

		want = want < len - done ? want : len - done;
		if (settled && want > settled_bytes(image, range, vaddr + done)) {
			want = settled_bytes(image, range, vaddr + done);
			len = done + want;
		}
		if (source_read_some(image->src, range->off + skip, (uint8_t *)buf + done, (size_t)want,
				     &got) != 0 ||
		    got < want) {
			return done + got;
		}
		done += got;
		range++;
		if (range == end || !range->joins) {
			break;
		}
	}
	return done;
}

size_t image_read(void *image, uint64_t vaddr, void *buf, size_t len)
{
	return read_ranges(image, vaddr, buf, len, false);
}

/* The same for what a verdict may stand on: bytes that nobody changes between this scan and their use. */
static size_t read_settled(void *ctx, uint64_t vaddr, void *buf, size_t len)
{
	return read_ranges(ctx, vaddr, buf, len, true);
}

/*
 * Prefixes before an instruction are part of it when they are entered: can one of those before vaddr be
 * written later?
 */
static bool prefix_can_change(struct image *image, uint64_t vaddr)
{
	uint8_t byte;

	for (uint64_t i = 1; i < LYCH_SEQUENCE_MAX && i <= vaddr; i++) {
		if (image_read(image, vaddr - i, &byte, 1) != 0 && read_settled(image, vaddr - i, &byte, 1) == 0) {
			return true;
		}
	}
	return false;
}

/* ---- one finding -------------------------------------------------------------------------- */

static void add_insn(struct scan *scan, const struct code *code, uint64_t vaddr, const struct hit *hit,
		     struct lych_insn *insn)
{
	uint8_t bytes[LYCH_SEQUENCE_MAX];
	size_t len = code->read(code->ctx, vaddr, bytes, sizeof(bytes));

	if (len == 0) {
		insn->len = 0;
		return;
	}
	decoder_insn(scan->decoder, bytes, len, vaddr, insn);
	insn->hit = vaddr < hit->vaddr + hit->len && vaddr + insn->len > hit->vaddr;
}

/* The instructions before the finding, those that hold it, and some after it. */
static size_t collect_insns(struct scan *scan, const struct code *code, const struct hit *hit,
			    const struct placement *placement, struct lych_insn insns[INSNS_MAX])
{
	uint64_t vaddr = placement->insn_vaddr;
	size_t count = 0, after = 0;

	for (size_t i = 0; i < placement->nbefore; i++) {
		add_insn(scan, code, placement->before[i], hit, &insns[count]);
		count += insns[count].len != 0;
	}
	while (count < INSNS_MAX && after < CONTEXT_INSNS) {
		add_insn(scan, code, vaddr, hit, &insns[count]);
		if (insns[count].len == 0) {
			break;
		}
		vaddr += insns[count].len;
		count++;
		after += vaddr >= hit->vaddr + hit->len;
	}
	return count;
}

static int report_hit(struct scan *scan, struct image *image, const struct hit *hit)
{
	struct origin *origin = origin_of(image, hit->vaddr);
	const struct code code = {.read = image_read, .ctx = image};
	struct placement placement = {.placement = LYCH_PLACE_UNDECIDED, .why = "not asked for"};
	struct lych_insn insns[INSNS_MAX];
	struct lych_finding finding = {.section = "", .symbol = ""};
	struct elf_where where;
	const char *why = "";
	bool known;

	if (image->explain != NULL) {
		image->explain(image->ctx, origin);
	}
	memset(&where, 0, sizeof(where));
	if (hit->len > 0) {
		const struct code settled = {.read = read_settled, .ctx = image};
		bool gates = (scan->opts.flags & LYCH_SCAN_NO_GATES) == 0;
		uint8_t byte;

		finding.verdict =
			verdict_of(hit, origin->sites, gates ? origin->nsites : 0, &settled, &why);
		if (finding.verdict == LYCH_VERDICT_CHECKED && prefix_can_change(image, hit->core)) {
			finding.verdict = LYCH_VERDICT_STRAY;
			why = "EAX bit 9 is checked after it, but a prefix can be written before it";
		}
		if ((hit->cls == LYCH_WRPKRU || hit->cls == LYCH_XRSTOR) &&
		    !code_bytes(&settled, hit->core, &byte, 1)) {
			why = "writable, relocated or zeroed when loaded: no check behind it counts";
		}
		scan->stats->count[finding.verdict][hit->cls]++;
	}
	if (scan->opts.finding == NULL) {
		return 0;
	}
	finding.nbytes = hit->len;
	code.read(code.ctx, hit->vaddr, finding.bytes, hit->len);
	if ((scan->opts.flags & LYCH_SCAN_BYTES_ONLY) == 0) {
		if (scan->decoder == NULL && decoder_new(&scan->decoder) != 0) {
			return -ENOMEM;
		}
		known = origin->elf != NULL;
		if (known) {
			elf_where_at(origin->elf, origin->bias, hit->vaddr, &where);
		}
		place_hit_memo(&placement, &scan->memo, hit, known ? &where : NULL, &code);
		finding.ninsns = collect_insns(scan, &code, hit, &placement, insns);
	}
	finding.path = origin->path;
	finding.member = origin->member;
	finding.vaddr = hit->vaddr;
	finding.off = origin->off == LYCH_NO_OFFSET ? LYCH_NO_OFFSET
						    : origin->off + (hit->vaddr - origin->vaddr);
	finding.cls = hit->cls;
	finding.placement = placement.placement;
	finding.first_part = placement.first_part;
	finding.last_part = placement.last_part;
	finding.why = placement.placement == LYCH_PLACE_UNDECIDED || *why == '\0' ? placement.why : why;
	if (where.in_section) {
		finding.section = where.section;
	}
	if (where.has_symbol) {
		finding.symbol = where.symbol;
		finding.symbol_off = hit->vaddr - where.symbol_start;
		finding.symbol_size = where.symbol_size;
	}
	if (origin->elf != NULL) {
		finding.build_id_len = origin->elf->build_id_len;
		memcpy(finding.build_id, origin->elf->build_id, sizeof(finding.build_id));
	}
	finding.insns = insns;
	return scan->opts.finding(scan->opts.ctx, &finding) != 0 ? -ECANCELED : 0;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static int check_time(struct scan *scan, const char *path, const char *member)
{
	if (scan->deadline_ns == 0 || now_ns() <= scan->deadline_ns) {
		return 0;
	}
	scan_diag(scan, LYCH_DIAG_ERROR, -ETIMEDOUT, path, member,
		  "time limit reached after %llu bytes of executable memory",
		  (unsigned long long)scan->stats->exec_bytes);
	return -ETIMEDOUT;
}

struct window {
	struct scan *scan;
	struct image *image;
	uint64_t vaddr;  /* of the window's first byte */
	size_t seen;     /* bytes that the window before it showed already */
	bool only_at;    /* report only sequences that hold the address at */
	uint64_t at;
	size_t reported;
};

static int window_hit(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	struct window *window = ctx;
	struct hit hit = {.vaddr = window->vaddr + off,
			  .core = window->vaddr + core,
			  .len = (uint8_t)len,
			  .cls = cls};

	if (off + len <= window->seen) {
		return 0;
	}
	if (window->only_at && (window->at < hit.vaddr || window->at >= hit.vaddr + len)) {
		return 0;
	}
	/* Each costs some microseconds, and a window can be full of them. */
	if (window->reported++ % TIME_STEP == TIME_STEP - 1) {
		const struct origin *origin = origin_of(window->image, hit.vaddr);
		int rc = check_time(window->scan, origin->path, origin->member);

		if (rc != 0) {
			return rc;
		}
	}
	return report_hit(window->scan, window->image, &hit);
}

/* Scans bytes [start, start + len) of one range. *carry holds how many bytes of what lies right before them are in
 * the window; it is updated for what follows. */
static int scan_stretch(struct scan *scan, struct image *image, const struct range *range,
			uint64_t start, uint64_t len, size_t *carry)
{
	struct window window = {.scan = scan, .image = image};
	const char *path = origin_of(image, range->vaddr)->path;
	const char *member = origin_of(image, range->vaddr)->member;
	uint64_t done = 0, lost = 0;
	int lost_err = 0;

	while (done < len) {
		size_t want = len - done < WINDOW_BYTES ? (size_t)(len - done) : WINDOW_BYTES;
		size_t got, keep;
		int rc = source_read_some(image->src, range->off + start + done, scan->window + *carry,
					  want, &got);

		if (got > 0) {
			int ended;

			window.vaddr = range->vaddr + start + done - *carry;
			window.seen = *carry;
			scan->stats->exec_bytes += got;
			ended = pattern_scan(scan->window, *carry + got, scan->opts.classes, window_hit,
					     &window);
			if (ended != 0) {
				return ended;
			}
			keep = *carry + got < CARRY ? *carry + got : CARRY;
			memmove(scan->window, scan->window + *carry + got - keep, keep);
			*carry = keep;
			done += got;
			if (scan->opts.progress != NULL) {
				scan->opts.progress(scan->opts.ctx, got);
			}
		}
		if (got < want) {
			uint64_t next = range->off + start + done;

			*carry = 0;
			if (image->live && (rc == -ESRCH || (rc == 0 && got == 0))) {
				return -ESRCH;
			}
			lost_err = rc != 0 ? rc : -ESTALE;
			if (!image->live) {
				scan_diag(scan, LYCH_DIAG_ERROR, lost_err, path, member,
					  "%s: bytes from offset 0x%llx on could not be read",
					  lych_strerror(lost_err), (unsigned long long)next);
				return 0;
			}
			/* A page of a process that is not there (a file cut short): the next may be. */
			next = (next | (RANGE_PAGE - 1)) + 1 - (range->off + start + done);
			next = next < len - done ? next : len - done;
			lost += next;
			done += next;
		}
		rc = check_time(scan, path, member);
		if (rc != 0) {
			return rc;
		}
	}
	if (lost > 0) {
		/* Nothing runs there now, but a file can grow, and a device has its own bytes. */
		scan_diag(scan, LYCH_DIAG_ERROR, lost_err, path, member,
			  "%llu bytes of the mapping at 0x%llx could not be read",
			  (unsigned long long)lost, (unsigned long long)range->vaddr);
	}
	return 0;
}

static int scan_range(struct scan *scan, struct image *image, const struct range *range, size_t *carry)
{
	uint64_t end_of_range = range->vaddr + range->len; /* 0 when it ends with the address space */
	uint64_t at = range->vaddr;
	uint64_t start, end;

	if (image->next_data == NULL) {
		return scan_stretch(scan, image, range, 0, range->len, carry);
	}
	while (at != end_of_range && image->next_data(image->ctx, range, at, &start, &end)) {
		int rc;

		if (start != at) {
			*carry = 0;
		}
		rc = scan_stretch(scan, image, range, start - range->vaddr, end - start, carry);
		if (rc == 0 && start == end) {
			const struct origin *origin = origin_of(image, range->vaddr);

			rc = check_time(scan, origin->path, origin->member);
		}
		if (rc != 0) {
			return rc;
		}
		at = end;
	}
	if (at != end_of_range) {
		*carry = 0;
	}
	return 0;
}

int scan_image(struct scan *scan, struct image *image)
{
	size_t carry = 0;

	memset(&scan->memo, 0, sizeof(scan->memo));
	for (size_t i = 0; i < image->nranges; i++) {
		int rc;

		if (!image->ranges[i].joins) {
			carry = 0;
		}
		rc = scan_range(scan, image, &image->ranges[i], &carry);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

int scan_image_at(struct scan *scan, struct image *image, uint64_t vaddr)
{
	uint8_t bytes[CARRY + LYCH_SEQUENCE_MAX];
	struct window window = {.scan = scan, .image = image, .only_at = true, .at = vaddr};
	uint64_t start = vaddr;
	size_t len;
	int rc;

	if (range_of(image, vaddr) == NULL) {
		return -EINVAL;
	}
	/* As far back as a sequence can reach, as long as memory is joined there. */
	while (vaddr - start < CARRY && start > 0 && range_of(image, start - 1) != NULL) {
		const struct range *range = range_of(image, start);

		if (range->vaddr == start && !range->joins) {
			break;
		}
		start--;
	}
	len = image_read(image, start, bytes, (size_t)(vaddr - start) + LYCH_SEQUENCE_MAX);
	if (len <= vaddr - start) {
		return -EIO;
	}
	window.vaddr = start;
	rc = pattern_scan(bytes, len, scan->opts.classes, window_hit, &window);
	if (rc == 0 && window.reported == 0) {
		struct hit none = {.vaddr = vaddr, .core = vaddr, .len = 0};

		rc = report_hit(scan, image, &none);
	}
	return rc;
}

/* ---- gate sites ----------------------------------------------------------------------------- */

struct site_list {
	struct site *items;
	size_t count;
	int err;
};

static int collect_sites(void *ctx, const char *owner, size_t owner_len, uint32_t type,
			 const uint8_t *desc, size_t desc_len, uint64_t desc_vaddr)
{
	struct site_list *list = ctx;

	if (type != LYCH_NOTE_SITES || owner_len != strlen(LYCH_NOTE_OWNER) ||
	    memcmp(owner, LYCH_NOTE_OWNER, owner_len) != 0) {
		return 0;
	}
	if (list->items == NULL) {
		list->items = malloc(SITE_MAX * sizeof(*list->items));
	}
	if (list->items == NULL) {
		list->err = -ENOMEM;
		return 1;
	}
	list->count += site_parse(list->items + list->count, SITE_MAX - list->count, desc, desc_len,
				  desc_vaddr);
	return list->count == SITE_MAX; /* more than any file of ours has: the rest is not believed */
}

int scan_sites(struct site **out, size_t *count, const struct elf *elf, uint64_t bias)
{
	struct site_list list = {0};

	(void)elf_notes(elf, collect_sites, &list);
	if (list.err != 0) {
		free(list.items);
		return list.err;
	}
	for (size_t i = 0; i < list.count; i++) {
		list.items[i].vaddr += bias;
	}
	*out = list.items;
	*count = list.count;
	return 0;
}
