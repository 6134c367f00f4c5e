/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lychgate doctor: which layer allows or refuses protection keys, and what to do about it.
 *
 * JSON (--json): one object,
 *
 *	schema   "lychgate-doctor/1"; members may be added without a new number
 *	version  of this command
 *	checks   array of { id, status: "ok" | "no" | "warn" | "info", fact, advice }.
 *	         ids are stable; fact and advice are for people and may change; advice may be ""
 *	verdict  { keys_work: boolean,
 *	           reason_layer: null, or
 *	                "cpu" | "kernel" | "seccomp" | "sandbox" | "keys" | "self-test",
 *	           reason, advice: strings, or null,
 *	           refusals: array of { layer, reason, advice }: all layers that refuse, the
 *	                one above first }
 *	runtime  array of { id, possible: boolean, needs, missing: string or null }, where id is
 *	         "in_image_domains" | "library_domains" | "mprotect_backend"
 */
#include <argp.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "probe.h"

enum { OPT_JSON = 0x100, OPT_COLOR };

struct options {
	bool json, verbose, quiet;
	enum cmd_color_mode color;
};

static const struct argp_option option_table[] = {
	{"json", OPT_JSON, NULL, 0, "one JSON object (schema lychgate-doctor/1)", 0},
	{"quiet", 'q', NULL, 0, "the verdict only", 0},
	{"verbose", 'v', NULL, 0, "also what is only worth knowing: the [info] lines", 0},
	{"color", OPT_COLOR, "WHEN", OPTION_ARG_OPTIONAL, "auto (default), always or never", 0},
	{"colour", OPT_COLOR, NULL, OPTION_ALIAS | OPTION_HIDDEN, NULL, 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case OPT_JSON:
		o->json = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case OPT_COLOR:
		if (cmd_color_parse(&o->color, arg) != 0) {
			argp_error(state, "--color is auto, always or never, not `%s'", arg);
		}
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "this verb takes no argument: `%s'", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const char doc[] =
	"Say which layer allows or refuses memory protection keys on this machine, and what to do "
	"about it: CPU, hypervisor, kernel, container or seccomp, keys left, glibc; also what the "
	"Lychgate runtime will need beyond keys. The last check is a live test: a page is tagged "
	"with a key that denies writing, and a write must fault with SEGV_PKUERR and that key."
	"\v"
	"Each line is [ok], [no], [warn] or [info], a name, a fact and, behind an arrow, what to "
	"do. Experiments run in child processes; nothing is changed, no privilege is needed.\n"
	"\n"
	"Exit status: 0 protection keys work; 3 they do not; 2 wrong usage; 4 internal error. "
	"More: man lychgate-doctor";

/* ---- text ----------------------------------------------------------------------------------- */

static const struct {
	const char *word, *color;
} status_words[] = {
	[CHECK_OK] = {"ok", CMD_GREEN},
	[CHECK_NO] = {"no", CMD_RED},
	[CHECK_WARN] = {"warn", CMD_YELLOW},
	[CHECK_INFO] = {"info", CMD_DIM},
};

static void print_checks(const struct report *r, const struct options *o, bool color)
{
	size_t hidden = 0;

	for (size_t i = 0; i < r->nchecks; i++) {
		const struct check *c = &r->checks[i];
		const char *word = status_words[c->status].word;
		if (c->status == CHECK_INFO && !o->verbose) {
			hidden++;
			continue;
		}
		printf("%s[%s]%s%*s %s: %s", color ? status_words[c->status].color : "", word,
		       color ? CMD_RESET : "", (int)(4 - strlen(word)), "", c->id, c->fact);
		if (c->advice[0] != '\0') {
			printf(" -> %s", c->advice);
		}
		putchar('\n');
	}
	if (hidden > 0) {
		printf("(%zu more facts that need no attention: -v)\n", hidden);
	}
}

static void print_verdict(const struct report *r, bool color)
{
	printf("%sProtection keys %s here%s%s", color ? (r->keys_work ? CMD_GREEN : CMD_RED) : "",
	       r->keys_work ? "work" : "do not work", r->keys_work ? "." : ", because",
	       color ? CMD_RESET : "");
	for (size_t i = 0; i < r->nrefusals; i++) {
		const struct refusal *f = &r->refusals[i];
		printf("%s %s: %s", i == 0 ? "" : "\n  Even if that is mended,", f->layer,
		       f->reason);
		if (f->advice[0] != '\0') {
			printf(" -> %s", f->advice);
		}
	}
	putchar('\n');
}

static void print_offers(const struct report *r)
{
	printf("What the Lychgate runtime will need, and whether this machine has it:\n");
	for (size_t i = 0; i < r->noffers; i++) {
		const struct offer *o = &r->offers[i];
		bool possible = o->missing[0] == '\0';
		printf("  %-16s  %s: %s%s\n", o->name, o->needs, possible ? "yes" : "no, without ",
		       o->missing);
	}
}

/* ---- JSON ----------------------------------------------------------------------------------- */

/* jansson takes NULL for a value that could not be made and then fails: the end is checked only. */
static json_t *json_checks(const struct report *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->nchecks; i++) {
		const struct check *c = &r->checks[i];
		json_t *one = json_pack("{s:s, s:s, s:s, s:s}", "id", c->id, "status",
					status_words[c->status].word, "fact", c->fact, "advice",
					c->advice);
		if (json_array_append_new(all, one) != 0) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

static json_t *json_verdict(const struct report *r)
{
	const struct refusal *first = r->nrefusals > 0 ? &r->refusals[0] : NULL;
	json_t *all = json_array();

	for (size_t i = 0; i < r->nrefusals; i++) {
		const struct refusal *f = &r->refusals[i];
		json_t *one = json_pack("{s:s, s:s, s:s}", "layer", f->layer, "reason", f->reason,
					"advice", f->advice);
		if (json_array_append_new(all, one) != 0) {
			json_decref(all);
			return NULL;
		}
	}
	return json_pack("{s:b, s:s?, s:s?, s:s?, s:o}", "keys_work", r->keys_work, "reason_layer",
			 first != NULL ? first->layer : NULL, "reason",
			 first != NULL ? first->reason : NULL, "advice",
			 first != NULL ? first->advice : NULL, "refusals", all);
}

static json_t *json_runtime(const struct report *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->noffers; i++) {
		const struct offer *o = &r->offers[i];
		bool possible = o->missing[0] == '\0';
		json_t *one = json_pack("{s:s, s:b, s:s, s:s?}", "id", o->id, "possible", possible,
					"needs", o->needs, "missing", possible ? NULL : o->missing);
		if (json_array_append_new(all, one) != 0) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

static int print_json(const struct report *r)
{
	json_t *root = json_pack("{s:s, s:s, s:o, s:o, s:o}", "schema", "lychgate-doctor/1",
				 "version", LYCH_VERSION_STRING, "checks", json_checks(r),
				 "verdict", json_verdict(r), "runtime", json_runtime(r));
	int rc = -1;

	if (root != NULL) {
		rc = json_dumpf(root, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(root);
	}
	return rc;
}

int cmd_doctor(int argc, char **argv)
{
	static const struct argp argp = {option_table, parse_option, NULL, doc, NULL, NULL, NULL};
	struct options options = {.color = CMD_COLOR_AUTO};
	struct facts facts;
	struct report report = {0};

	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0) {
		return EXIT_USAGE;
	}

	facts_collect(&facts);
	judge_checks(&report, &facts);
	judge_verdict(&report, &facts);

	if (options.json) {
		if (print_json(&report) != 0) {
			cmd_error("doctor: the JSON could not be written");
			return EXIT_INTERNAL;
		}
	} else {
		bool color = cmd_color_enabled(STDOUT_FILENO, options.color);
		if (!options.quiet) {
			print_checks(&report, &options, color);
		}
		print_verdict(&report, color);
		if (!options.quiet) {
			print_offers(&report);
		}
	}
	return report.keys_work ? EXIT_CLEAN : EXIT_PLATFORM;
}
