/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lychgate repair --plan`: what would be changed in a file so that no sequence in it writes PKRU, and why not.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lychgate/scan.h>

#include "cmd.h"
#include "repair_report.h"
#include "walk.h"

enum {
	OPT_PLAN = 0x100,
	OPT_DEPS,
	OPT_LIBRARY_PATH,
	OPT_EXCLUDE,
	OPT_POLICY,
	OPT_RAW,
	OPT_BASE,
	OPT_INSN,
	OPT_LEAVE_DATA,
	OPT_FORMAT,
	OPT_SUMMARY,
};

static const struct argp_option options[] = {
	{"plan", OPT_PLAN, NULL, 0, "say what would be changed; nothing is", 0},
	{"deps", OPT_DEPS, "EXE", 0, "EXE and all that ld.so would load for it (may be repeated)", 0},
	{"library-path", OPT_LIBRARY_PATH, "DIRS", 0, "with --deps: search these first, as LD_LIBRARY_PATH", 0},
	{"exclude", OPT_EXCLUDE, "GLOB", 0, "pass over files and directories whose path or last name matches", 0},
	{"policy", OPT_POLICY, "NAME", 0, "pkru (default), host or domain, as for `lychgate scan'", 0},
	{"raw", OPT_RAW, NULL, 0, "files are flat code without headers", 0},
	{"base", OPT_BASE, "ADDR", 0, "with --raw: address of the first byte (hexadecimal)", 0},
	{"insn", OPT_INSN, "ADDR", 0,
	 "an instruction starts at ADDR, where the code around it does not tell (may be repeated)", 0},
	{"leave-data", OPT_LEAVE_DATA, NULL, 0, "leave sequences in data that shares a page with code", 0},
	{"format", OPT_FORMAT, "FORMAT", 0, "text (default) or jsonl", 0},
	{"summary", OPT_SUMMARY, NULL, 0, "a table by kind of repair and class at the end", 0},
	{"quiet", 'q', NULL, 0, "text: no plans; no totals and warnings on standard error", 0},
	{0},
};

static const char args_doc[] = "--plan PATH...\n--plan --deps EXE";

static const char doc[] =
	"Plan how what could write PKRU is rewritten away when the Lychgate runtime loads a file. Nothing is written."
	"\vExit status: 0 all of it can be repaired; 1 not all; 2 wrong usage, or a file that could not be read; 4 "
	"internal error. More: man lychgate-repair";

#define PLACES (LYCH_PLACE_COUNT)

struct plan {
	const char **paths, **deps, **excludes;
	size_t npaths, ndeps, nexcludes;
	const char *library_path;
	uint64_t *told;
	size_t ntold;
	struct repair_file_opts lib;
	bool planned, policy_given, base_given;
	bool jsonl, summary, quiet;

	const char *path;   /* of the file that is looked at */
	bool by_name;       /* it stands on the command line */
	bool said_why;      /* an error was reported for it */
	struct buf out;
	int status;         /* what ends the run: -ENOMEM or -EIO */
	uint64_t files, unreadable;
	uint64_t refused[PLACES], repaired[PLACES];
	struct repair_stats stats;
	void *seen; /* tree of the paths that --deps gave already */
};

/* ---- command line ---------------------------------------------------------------------------- */

static void *grown(void *items, size_t n, size_t size, struct argp_state *state)
{
	void *more = reallocarray(items, n + 1, size);

	if (more == NULL) {
		argp_failure(state, EXIT_INTERNAL, 0, "out of memory");
	}
	return more;
}

static void parse_policy(struct plan *plan, const char *arg, struct argp_state *state)
{
	plan->policy_given = true;
	plan->lib.flags &= ~LYCH_SCAN_NO_GATES;
	if (strcmp(arg, "domain") == 0) {
		plan->lib.flags |= LYCH_SCAN_NO_GATES;
	} else if (strcmp(arg, "pkru") != 0 && strcmp(arg, "host") != 0) {
		argp_error(state, "--policy is pkru, host or domain, not `%s'", arg);
	}
	if (lych_classes_parse(&plan->lib.classes, arg) != 0) {
		argp_error(state, "--policy is pkru, host or domain");
	}
}

static uint64_t parse_address(const char *option, const char *arg, struct argp_state *state)
{
	uint64_t address = 0;

	if (cmd_address_parse(&address, arg) != 0) {
		argp_error(state, "%s: `%s' is not a hexadecimal address", option, arg);
	}
	return address;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct plan *plan = state->input;

	switch (key) {
	case OPT_PLAN:
		plan->planned = true;
		break;
	case OPT_DEPS:
		plan->deps = grown(plan->deps, plan->ndeps, sizeof(*plan->deps), state);
		plan->deps[plan->ndeps++] = arg;
		break;
	case OPT_LIBRARY_PATH:
		plan->library_path = arg;
		break;
	case OPT_EXCLUDE:
		plan->excludes = grown(plan->excludes, plan->nexcludes, sizeof(*plan->excludes), state);
		plan->excludes[plan->nexcludes++] = arg;
		break;
	case OPT_POLICY:
		parse_policy(plan, arg, state);
		break;
	case OPT_RAW:
		plan->lib.flags |= LYCH_SCAN_RAW;
		break;
	case OPT_BASE:
		plan->lib.raw_vaddr = parse_address("--base", arg, state);
		plan->base_given = true;
		break;
	case OPT_INSN:
		plan->told = grown(plan->told, plan->ntold, sizeof(*plan->told), state);
		plan->told[plan->ntold++] = parse_address("--insn", arg, state);
		break;
	case OPT_LEAVE_DATA:
		plan->lib.leave_data = true;
		break;
	case OPT_FORMAT:
		plan->jsonl = strcmp(arg, "jsonl") == 0;
		if (!plan->jsonl && strcmp(arg, "text") != 0) {
			argp_error(state, "--format is text or jsonl, not `%s'", arg);
		}
		break;
	case OPT_SUMMARY:
		plan->summary = true;
		break;
	case 'q':
		plan->quiet = true;
		break;
	case ARGP_KEY_ARG:
		if (arg[0] == '\0') {
			argp_error(state, "a PATH is empty");
		}
		plan->paths = grown(plan->paths, plan->npaths, sizeof(*plan->paths), state);
		plan->paths[plan->npaths++] = arg;
		break;
	case ARGP_KEY_END:
		if (!plan->planned) {
			argp_error(state, "--plan is what this verb can do: give it");
		} else if (plan->npaths + plan->ndeps == 0) {
			argp_error(state, "nothing to plan for: give a PATH or --deps");
		} else if (plan->base_given && (plan->lib.flags & LYCH_SCAN_RAW) == 0) {
			argp_error(state, "--base needs --raw: an ELF file has addresses of its own");
		} else if (plan->library_path != NULL && plan->ndeps == 0) {
			argp_error(state, "--library-path needs --deps");
		}
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void flush(struct plan *plan)
{
	if (plan->out.failed) {
		plan->status = -ENOMEM;
	} else if (cmd_write(plan->out.data, plan->out.len) != 0) {
		plan->status = -EIO;
	}
	plan->out.len = 0;
}

static int on_planned(void *ctx, const struct repair_item *item)
{
	struct plan *plan = ctx;

	if (item->outcome->kind == REPAIR_REFUSED) {
		plan->refused[item->finding->placement]++;
	} else if (item->outcome->kind != REPAIR_ACCEPTED && item->outcome->kind != REPAIR_NOT_LOADED &&
		   item->outcome->kind != REPAIR_LEFT) {
		plan->repaired[item->finding->placement]++;
	}
	if (plan->jsonl) {
		repair_json_item(&plan->out, item);
	} else if (!plan->quiet) {
		repair_text_item(&plan->out, item);
	}
	if (plan->out.len > 0) {
		flush(plan);
	}
	return plan->status;
}

static bool not_for_us(int err)
{
	return err == -ENOEXEC || err == -EPROTOTYPE || err == -ELIBBAD;
}

static void complain(struct plan *plan, const char *path, const char *member, const char *severity,
		     const char *message)
{
	struct buf line = {0};

	buf_str(&line, "lychgate: ");
	buf_name(&line, path);
	if (member[0] != '\0') {
		buf_str(&line, "(");
		buf_name(&line, member);
		buf_str(&line, ")");
	}
	buf_printf(&line, ": %s: ", severity);
	buf_name(&line, message);
	buf_str(&line, "\n");
	fwrite(line.data, 1, line.len, stderr);
	plan->status = line.failed ? -ENOMEM : plan->status;
	buf_free(&line);
}

static void on_diag(void *ctx, const struct lych_diag *diag)
{
	struct plan *plan = ctx;

	if (diag->severity == LYCH_DIAG_ERROR && (plan->by_name || !not_for_us(diag->err))) {
		complain(plan, diag->path, diag->member, "error", diag->message);
		plan->said_why = true;
	} else if (diag->severity == LYCH_DIAG_WARNING && !plan->quiet) {
		complain(plan, diag->path, diag->member, "warning", diag->message);
	}
}

static void unreadable(struct plan *plan, const char *path, int err)
{
	plan->unreadable++;
	if (!plan->said_why) {
		complain(plan, path, "", "error", cmd_strerror(err));
	}
}

static int take_fd(struct plan *plan, int fd, const char *path)
{
	uint64_t images = plan->stats.scan.images;
	int rc;

	plan->path = path;
	rc = repair_fd(fd, path, &plan->lib, &plan->stats);
	plan->files += rc == 0 || plan->stats.scan.images != images;
	if (rc == -ENOMEM) {
		plan->status = rc;
	} else if (rc != 0 && plan->status == 0 && (plan->by_name || !not_for_us(rc))) {
		unreadable(plan, path, rc);
	}
	return plan->status;
}

static int open_and_take(struct plan *plan, int dirfd, const char *name, const char *path)
{
	struct stat st;
	int fd = openat(dirfd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | (dirfd == AT_FDCWD ? 0 : O_NOFOLLOW));

	plan->said_why = false;
	if (fd < 0) {
		unreadable(plan, path, -errno);
		return plan->status;
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		take_fd(plan, fd, path);
	} else if (plan->by_name) {
		unreadable(plan, path, -ENOTSUP);
	}
	close(fd);
	return plan->status;
}

static int walked_file(void *ctx, struct walk_dir *dir, const char *path, size_t name_len)
{
	return open_and_take(ctx, dir->fd, path + strlen(path) - name_len, path);
}

static void walked_event(void *ctx, enum walk_event event, const char *path, int err)
{
	struct plan *plan = ctx;

	if (event == WALK_ERROR) {
		plan->said_why = false;
		unreadable(plan, path, err);
	}
}

static bool walked_excluded(void *ctx, const char *path, const char *name)
{
	const struct plan *plan = ctx;

	for (size_t i = 0; i < plan->nexcludes; i++) {
		if (fnmatch(plan->excludes[i], name, 0) == 0 || fnmatch(plan->excludes[i], path, 0) == 0) {
			return true;
		}
	}
	return false;
}

static int take_path(struct plan *plan, const char *path)
{
	static const struct walk_ops ops = {walked_file, walked_event, walked_excluded};
	const char *slash = strrchr(path, '/');
	struct stat st;
	int rc;

	if (walked_excluded(plan, path, slash != NULL && slash[1] != '\0' ? slash + 1 : path)) {
		return 0;
	}
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		plan->said_why = false;
		if (!S_ISDIR(st.st_mode)) {
			unreadable(plan, path, -ENOTSUP); /* opening a device can do something */
			return plan->status;
		}
		plan->by_name = false;
		rc = walk_tree(path, &ops, plan);
		plan->status = plan->status != 0 ? plan->status : rc;
		return plan->status;
	}
	plan->by_name = true;
	return open_and_take(plan, AT_FDCWD, path, path);
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int found_dependency(void *ctx, const char *path, const char *needed)
{
	struct plan *plan = ctx;
	char *copy = strdup(path);
	char **node = copy != NULL ? tsearch(copy, &plan->seen, compare_paths) : NULL;

	(void)needed;
	if (node == NULL) {
		free(copy);
		plan->status = -ENOMEM;
		return plan->status;
	}
	if (*node != copy) {
		free(copy); /* two programs share it */
		return 0;
	}
	return take_path(plan, path);
}

static int take_deps(struct plan *plan, const char *exe)
{
	struct lych_deps_opts opts = {
		.size = sizeof(opts), .library_path = plan->library_path, .diag = on_diag, .ctx = plan};
	int rc;

	plan->by_name = true;
	plan->said_why = false;
	rc = lych_deps(exe, &opts, found_dependency, plan);
	if (rc == -ENOMEM) {
		plan->status = rc;
	} else if (rc != 0 && plan->status == 0) {
		unreadable(plan, exe, rc);
	}
	return plan->status;
}

/* ---- the end --------------------------------------------------------------------------------- */

static uint64_t sum(const uint64_t *counts, size_t n)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++) {
		total += counts[i];
	}
	return total;
}

static const char *const where_names[REPAIR_WHERE_COUNT] = {"in code", "in data", "undecided"};

static void text_row(struct buf *out, const char *where, const char *cls, const struct repair_tally *row)
{
	buf_printf(out, "%-14s %12s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 "\n", where, cls, row->found, row->planned,
		   row->clean);
}

/* Found, planned, and gone from the copy that was changed: what is in code, and apart from it the rest. */
static void text_table(struct buf *out, const struct plan *plan)
{
	buf_printf(out, "%-14s %12s %12s %12s %12s\n", "", "", "found", "planned", "clean");
	for (size_t w = 0; w < REPAIR_WHERE_COUNT; w++) {
		struct repair_tally all = {0};

		for (size_t c = 0; c < LYCH_CLASS_COUNT; c++) {
			const struct repair_tally *row = &plan->stats.table[w][c];

			if (row->found != 0) {
				text_row(out, where_names[w], lych_class_name((enum lych_class)c), row);
			}
			all.found += row->found;
			all.planned += row->planned;
			all.clean += row->clean;
		}
		text_row(out, where_names[w], "all", &all);
	}
}

static void text_summary(struct buf *out, const struct plan *plan)
{
	buf_printf(out, "%-14s", "repair");
	for (size_t c = 0; c < LYCH_CLASS_COUNT; c++) {
		if ((plan->lib.classes & LYCH_CLASS_BIT(c)) != 0) {
			buf_printf(out, " %12s", lych_class_name((enum lych_class)c));
		}
	}
	buf_str(out, "\n");
	for (size_t k = 0; k < REPAIR_KIND_COUNT; k++) {
		if (sum(plan->stats.kinds[k], LYCH_CLASS_COUNT) == 0) {
			continue;
		}
		buf_printf(out, "%-14s", repair_kind_name((enum repair_kind)k));
		for (size_t c = 0; c < LYCH_CLASS_COUNT; c++) {
			if ((plan->lib.classes & LYCH_CLASS_BIT(c)) != 0) {
				buf_printf(out, " %12" PRIu64, plan->stats.kinds[k][c]);
			}
		}
		buf_str(out, "\n");
	}
	buf_str(out, "\n");
	text_table(out, plan);
	buf_printf(out,
		   "\nedits %" PRIu64 ", trampolines %" PRIu64 " with %" PRIu64 " bytes, pages without execute %" PRIu64
		   ", wrong plans %" PRIu64 "\n",
		   plan->stats.edits, plan->stats.trampolines,
		   plan->stats.trampoline_bytes, plan->stats.no_exec_pages, plan->stats.wrong);
}

static void json_summary(struct buf *out, const struct plan *plan, int exit_code)
{
	json_t *object = json_pack("{s:s}", "type", "summary"), *counts = json_array(), *table = json_array();

	json_put(object, "exit_code", json_integer(exit_code));
	json_put(object, "files", json_integer((json_int_t)plan->files));
	json_put(object, "unreadable", json_integer((json_int_t)plan->unreadable));
	json_put(object, "edits", json_integer((json_int_t)plan->stats.edits));
	json_put(object, "trampolines", json_integer((json_int_t)plan->stats.trampolines));
	json_put(object, "trampoline_bytes", json_integer((json_int_t)plan->stats.trampoline_bytes));
	json_put(object, "no_exec_pages", json_integer((json_int_t)plan->stats.no_exec_pages));
	for (size_t k = 0; k < REPAIR_KIND_COUNT; k++) {
		for (size_t c = 0; c < LYCH_CLASS_COUNT; c++) {
			if (plan->stats.kinds[k][c] != 0) {
				json_array_append_new(
					counts, json_pack("{s:s, s:s, s:I}", "kind",
							  repair_kind_name((enum repair_kind)k), "class",
							  lych_class_name((enum lych_class)c), "count",
							  (json_int_t)plan->stats.kinds[k][c]));
			}
		}
	}
	json_put(object, "counts", counts);
	for (size_t w = 0; w < REPAIR_WHERE_COUNT; w++) {
		for (size_t c = 0; c < LYCH_CLASS_COUNT; c++) {
			const struct repair_tally *row = &plan->stats.table[w][c];

			if (row->found != 0) {
				json_array_append_new(
					table, json_pack("{s:s, s:s, s:I, s:I, s:I}", "where", where_names[w], "class",
							 lych_class_name((enum lych_class)c), "found",
							 (json_int_t)row->found, "planned", (json_int_t)row->planned,
							 "clean", (json_int_t)row->clean));
			}
		}
	}
	json_put(object, "table", table);
	repair_json_record(out, object);
}

static int finish(struct plan *plan)
{
	uint64_t refused = sum(plan->refused, PLACES), repaired = sum(plan->repaired, PLACES);
	int exit_code = refused != 0 ? EXIT_FINDINGS : plan->unreadable != 0 ? EXIT_USAGE : EXIT_CLEAN;

	if (plan->jsonl) {
		json_summary(&plan->out, plan, exit_code);
	} else if (plan->summary) {
		text_summary(&plan->out, plan);
	}
	if (plan->out.len > 0) {
		flush(plan);
	}
	if (plan->status == -ENOMEM) {
		cmd_error("out of memory");
	}
	if (plan->status != 0 || plan->stats.wrong != 0) {
		return EXIT_INTERNAL;
	}
	if (!plan->quiet) {
		cmd_error("%" PRIu64 " %s: %" PRIu64 " %s can be repaired, %" PRIu64 " cannot", plan->files,
			  plan->files == 1 ? "file" : "files", repaired, repaired == 1 ? "sequence" : "sequences",
			  refused);
	}
	return exit_code;
}

int cmd_repair(int argc, char **argv)
{
	static const struct argp argp = {options, parse_option, args_doc, doc, NULL, NULL, NULL};
	struct plan plan = {0};
	int exit_code;

	plan.lib.classes = LYCH_POLICY_PKRU;
	if (argp_parse(&argp, argc, argv, 0, NULL, &plan) != 0) {
		return EXIT_INTERNAL;
	}
	json_object_seed(0);
	plan.lib.planned = on_planned;
	plan.lib.diag = on_diag;
	plan.lib.ctx = &plan;
	plan.lib.told = plan.told;
	plan.lib.ntold = plan.ntold;
	if (plan.jsonl) {
		repair_json_record(&plan.out, json_pack("{s:s, s:s, s:s, s:s}", "type", "header", "schema", "lychgate-repair/1",
					    "tool", "lychgate", "version", LYCH_VERSION_STRING));
		flush(&plan);
	}
	for (size_t i = 0; i < plan.npaths && plan.status == 0; i++) {
		take_path(&plan, plan.paths[i]);
	}
	for (size_t i = 0; i < plan.ndeps && plan.status == 0; i++) {
		take_deps(&plan, plan.deps[i]);
	}
	exit_code = finish(&plan);
	tdestroy(plan.seen, free);
	buf_free(&plan.out);
	free(plan.paths);
	free(plan.deps);
	free(plan.excludes);
	free(plan.told);
	return exit_code;
}
