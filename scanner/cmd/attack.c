/* SPDX-License-Identifier: Apache-2.0 */
/* lychgate attack: what library domains stop, tried on this machine. */
#include <argp.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attack.h"
#include "cmd.h"
#include "json.h"

enum { OPT_LIST = 0x100, OPT_JSON, OPT_FORMAT, OPT_TIMEOUT, OPT_AS_ROOT };

#define TIMEOUT_DEFAULT 120

static const struct argp_option option_table[] = {
	{"list", OPT_LIST, NULL, 0, "say which there are, and make none", 0},
	{"format", OPT_FORMAT, "FORMAT", 0, "text (default), jsonl or markdown", 0},
	{"json", OPT_JSON, NULL, 0, "the same as --format jsonl", 0},
	{"timeout", OPT_TIMEOUT, "SECONDS", 0, "an attack that takes longer is not stopped (120)", 0},
	{"as-root", OPT_AS_ROOT, NULL, 0, "root may run it: in a machine that nobody needs", 0},
	{NULL, 'j', "N", 0, "processes at a time (default: one for each core this process may use)", 0},
	{0},
};

static const char args_doc[] = "[NAME|GROUP...]";

static const char doc[] =
	"Attack this machine's library domains from inside, and say of each attack whether it was stopped. Each is made a second time "
	"without protection, as its control: where that has no effect the row says so, for then it proves nothing."
	"\vGroups: memory, calls, code, time; design, which nothing stops. Without a name all are made. It needs protection keys and Linux "
	"6.12 (lychgate doctor); --list does not. Nothing outside of the attacking processes and a folder in /tmp is harmed, but by root.\n\n"
	"Exit status: 0 all were stopped, but for those that nothing stops by design; 1 one was not; 2 wrong usage; 3 this machine cannot "
	"do it; 4 internal error. More: man lychgate-attack";

enum format { TEXT, JSONL, MARKDOWN };

struct run {
	struct attack_row *rows;
	size_t nrows;
	const struct not_stopped **design;
	size_t ndesign;
	size_t stopped, controls;
	enum format format;
	unsigned int timeout_s, jobs;
	bool list, as_root, any;
};

/* ---- which ---------------------------------------------------------------------------------------------------------------- */

static void add_attack(struct run *run, const struct attack *a)
{
	for (size_t i = 0; i < run->nrows; i++) {
		if (run->rows[i].attack == a) {
			return;
		}
	}
	run->rows[run->nrows++].attack = a;
}

static void add_design(struct run *run, const struct not_stopped *d)
{
	for (size_t i = 0; i < run->ndesign; i++) {
		if (run->design[i] == d) {
			return;
		}
	}
	run->design[run->ndesign++] = d;
}

/* All of that name or group; NULL: all there are. Whether there is any. */
static bool add(struct run *run, const char *name)
{
	bool found = false;

	for (const struct attack *a = attacks; a->name != NULL; a++) {
		if (name == NULL || strcmp(a->name, name) == 0 || strcmp(a->group, name) == 0) {
			add_attack(run, a);
			found = true;
		}
	}
	for (const struct not_stopped *d = not_stopped; d->name != NULL; d++) {
		if (name == NULL || strcmp(d->name, name) == 0 || strcmp("design", name) == 0) {
			add_design(run, d);
			found = true;
		}
	}
	return found;
}

static int make_room(struct run *run)
{
	size_t n = 0, m = 0;

	while (attacks[n].name != NULL) {
		n++;
	}
	while (not_stopped[m].name != NULL) {
		m++;
	}
	run->rows = calloc(n, sizeof(*run->rows));
	run->design = calloc(m, sizeof(*run->design));
	return run->rows == NULL || run->design == NULL ? -ENOMEM : 0;
}

/* ---- command line ------------------------------------------------------------------------------------------------------------ */

static unsigned int parse_number(const char *option, const char *arg, unsigned int most, struct argp_state *state)
{
	char *end;
	unsigned long n = strtoul(arg, &end, 10);

	if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || n < 1 || n > most) {
		argp_error(state, "%s: `%s' is not a number from 1 to %u", option, arg, most);
	}
	return (unsigned int)n;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct run *run = state->input;

	switch (key) {
	case OPT_LIST:
		run->list = true;
		return 0;
	case OPT_JSON:
		run->format = JSONL;
		return 0;
	case OPT_FORMAT:
		if (strcmp(arg, "text") != 0 && strcmp(arg, "jsonl") != 0 && strcmp(arg, "markdown") != 0) {
			argp_error(state, "--format is text, jsonl or markdown, not `%s'", arg);
		}
		run->format = arg[0] == 't' ? TEXT : arg[0] == 'j' ? JSONL : MARKDOWN;
		return 0;
	case OPT_TIMEOUT:
		run->timeout_s = parse_number("--timeout", arg, 86400, state);
		return 0;
	case OPT_AS_ROOT:
		run->as_root = true;
		return 0;
	case 'j':
		run->jobs = parse_number("-j", arg, ATTACK_JOBS_MAX, state);
		return 0;
	case ARGP_KEY_ARG:
		run->any = true;
		if (!add(run, arg)) {
			argp_error(state, "there is no attack and no group `%s' (lychgate attack --list)", arg);
		}
		return 0;
	case ARGP_KEY_END:
		if (!run->any) {
			add(run, NULL);
		}
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- what is said --------------------------------------------------------------------------------------------------------------- */

static int put(struct buf *out)
{
	int rc = out->failed ? -ENOMEM : cmd_write(out->data, out->len);

	buf_free(out);
	return rc;
}

static int put_json(json_t *object)
{
	struct buf out = {0};

	json_add(&out, object);
	buf_str(&out, "\n");
	return put(&out);
}

/* A cell of a table. */
static void cell(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		buf_printf(out, *text == '|' || *text == '*' || *text == '_' ? "\\%c" : "%c", *text);
	}
}

static int put_row(const struct run *run, const struct attack *a, const struct attack_row *row)
{
	struct buf out = {0};
	json_t *object;

	switch (run->format) {
	case TEXT:
		buf_printf(&out, "%-36s ", a->name);
		if (row != NULL) {
			buf_printf(&out, "%-12s %-5s control: %-6s", row->stopped ? "stopped" : "not stopped", a->guarantee,
				   row->control ? "works" : "none");
		} else {
			buf_printf(&out, "%-7s %-5s", a->group, a->guarantee);
		}
		buf_printf(&out, " %s\n", a->tries);
		if (row != NULL && !row->stopped) {
			buf_printf(&out, "    not stopped: %s\n", row->why);
		}
		if (row != NULL && !row->control) {
			buf_printf(&out, "    no control: %s\n", row->why_not);
		}
		return put(&out);
	case MARKDOWN:
		buf_printf(&out, "| %s | `%s` | ", a->group, a->name);
		cell(&out, a->tries);
		buf_printf(&out, " | %s | ", a->guarantee);
		if (row != NULL) {
			buf_str(&out, row->stopped ? "stopped | " : "**not stopped**: ");
			if (!row->stopped) {
				cell(&out, row->why);
				buf_str(&out, " | ");
			}
			buf_str(&out, row->control ? "works |\n" : "none: ");
			if (!row->control) {
				cell(&out, row->why_not);
				buf_str(&out, " |\n");
			}
		} else {
			buf_str(&out, " | |\n");
		}
		return put(&out);
	case JSONL:
		break;
	}
	object = json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "attack", "group", a->group, "name", a->name, "tries", a->tries,
			   "guarantee", a->guarantee);
	if (row != NULL) {
		json_put(object, "result", json_string(row->stopped ? "stopped" : "not stopped"));
		json_put(object, "why", json_text(row->why, NULL));
		json_put(object, "control", json_string(row->control ? "works" : "none"));
		json_put(object, "why_no_control", json_text(row->why_not, NULL));
	}
	return put_json(object);
}

static int put_design(const struct run *run, const struct not_stopped *d)
{
	struct buf out = {0};

	switch (run->format) {
	case TEXT:
		if (run->list) {
			buf_printf(&out, "%-36s design  none  %s\n", d->name, d->tries);
		} else {
			buf_printf(&out, "%-36s not stopped (by design) none  %s\n    %s\n", d->name, d->tries, d->why);
		}
		return put(&out);
	case MARKDOWN:
		buf_printf(&out, "| design | `%s` | ", d->name);
		cell(&out, d->tries);
		buf_str(&out, " | none | ");
		if (!run->list) {
			buf_str(&out, "**not stopped** (by design): ");
			cell(&out, d->why);
		}
		buf_str(&out, " | |\n");
		return put(&out);
	case JSONL:
		break;
	}
	return put_json(json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "type", "attack", "group", "design", "name", d->name, "tries",
				  d->tries, "guarantee", "none", "result", "not stopped (by design)", "why", d->why));
}

static int put_header(const struct run *run)
{
	struct buf out = {0};

	if (run->format == JSONL) {
		return put_json(json_pack("{s:s, s:s, s:s, s:s}", "type", "header", "schema", "lychgate-attack/1", "tool", "lychgate",
					  "version", LYCH_VERSION_STRING));
	}
	if (run->format == MARKDOWN) {
		buf_str(&out, "| group | attack | what it tries | guarantee | result | control |\n|---|---|---|---|---|---|\n");
		return put(&out);
	}
	return 0;
}

static int put_summary(const struct run *run, int status)
{
	struct buf out = {0};

	if (run->list || run->format == MARKDOWN) {
		return 0;
	}
	if (run->format == JSONL) {
		return put_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:i}", "type", "summary", "attacks", (json_int_t)run->nrows,
					  "stopped", (json_int_t)run->stopped, "not_stopped", (json_int_t)(run->nrows - run->stopped),
					  "controls", (json_int_t)run->controls, "by_design", (json_int_t)run->ndesign, "exit_code",
					  status));
	}
	buf_printf(&out, "%zu attacks: %zu stopped, %zu not stopped; %zu have a control that works here. %zu that nothing stops, by design\n",
		   run->nrows, run->stopped, run->nrows - run->stopped, run->controls, run->ndesign);
	return put(&out);
}

/* ---- the verb --------------------------------------------------------------------------------------------------------------------- */

static int on_row(const struct attack_row *row, void *ctx)
{
	struct run *run = ctx;

	run->stopped += row->stopped;
	run->controls += row->control;
	return put_row(run, row->attack, row);
}

static int list_them(const struct run *run)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < run->nrows; i++) {
		rc = put_row(run, run->rows[i].attack, NULL);
	}
	return rc;
}

/* An exit code. */
static int make_them(struct run *run)
{
	struct attack_paths paths;
	char why[512];
	int rc = run->nrows == 0 ? 0 : attack_find(&paths);

	if (rc != 0) {
		cmd_error("%s: %s: this installation lacks it", paths.program, cmd_strerror(rc));
		return EXIT_INTERNAL;
	}
	rc = run->nrows == 0 ? EXIT_CLEAN : attack_probe(&paths, why, sizeof(why));
	if (rc != EXIT_CLEAN) {
		cmd_error("%s: %s", rc == EXIT_PLATFORM ? "there are no library domains here" : "no attack can be made", why);
		return rc;
	}
	if (put_header(run) != 0) {
		return EXIT_INTERNAL;
	}
	rc = run->nrows == 0 ? 0 : attack_run(&paths, run->rows, run->nrows, run->jobs, run->timeout_s, on_row, run);
	if (rc != 0) {
		cmd_error("not all attacks could be made: %s", cmd_strerror(rc));
		return EXIT_INTERNAL;
	}
	return run->stopped == run->nrows ? EXIT_CLEAN : EXIT_FINDINGS;
}

static unsigned int usable_cores(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return n < 1 ? 1 : n > ATTACK_JOBS_MAX ? ATTACK_JOBS_MAX : (unsigned int)n;
}

int cmd_attack(int argc, char **argv)
{
	static const struct argp argp = {option_table, parse_option, args_doc, doc, NULL, NULL, NULL};
	struct run run = {.timeout_s = TIMEOUT_DEFAULT};
	int status;

	if (make_room(&run) != 0 || argp_parse(&argp, argc, argv, 0, NULL, &run) != 0) {
		free(run.rows);
		free(run.design);
		return EXIT_INTERNAL;
	}
	run.jobs = run.jobs != 0 ? run.jobs : usable_cores();
	if (run.list) {
		status = put_header(&run) != 0 || list_them(&run) != 0 ? EXIT_INTERNAL : EXIT_CLEAN;
	} else if (geteuid() == 0 && !run.as_root && run.nrows != 0) {
		cmd_error("each attack is made without protection, too, and as root some change the machine (mount, bpf, setrlimit): "
			  "run it as somebody else, or with --as-root in a machine that nobody needs");
		status = EXIT_USAGE;
	} else {
		status = make_them(&run);
	}
	for (size_t i = 0; (status == EXIT_CLEAN || status == EXIT_FINDINGS) && i < run.ndesign; i++) {
		if (put_design(&run, run.design[i]) != 0) {
			status = EXIT_INTERNAL;
		}
	}
	if ((status == EXIT_CLEAN || status == EXIT_FINDINGS) && put_summary(&run, status) != 0) {
		status = EXIT_INTERNAL;
	}
	free(run.rows);
	free(run.design);
	return status;
}
