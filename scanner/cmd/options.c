/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <lychgate/scan.h>

#include "options.h"

enum {
	OPT_RAW = 0x100,
	OPT_BASE,
	OPT_FILES_FROM,
	OPT_DEPS,
	OPT_LIBRARY_PATH,
	OPT_PID,
	OPT_POLICY,
	OPT_FIND,
	OPT_ASSUME_RUNTIME,
	OPT_FAIL_ON,
	OPT_FORMAT,
	OPT_SUMMARY,
	OPT_BASELINE,
	OPT_UPDATE_BASELINE,
	OPT_EXCLUDE,
	OPT_MAX_SIZE,
	OPT_TIMEOUT,
	OPT_SKIP_UNREADABLE,
	OPT_COLOR,
	OPT_NO_PROGRESS,
};

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "What to scan:", 1},
	{"raw", OPT_RAW, NULL, 0, "files are flat code without headers", 1},
	{"base", OPT_BASE, "ADDR", 0, "with --raw: address of the first byte (hexadecimal)", 1},
	{"files-from", OPT_FILES_FROM, "FILE", 0,
	 "also scan the files listed in FILE (- is standard input), one a line, or NUL separated",
	 1},
	{"null", '0', NULL, 0, "names in --files-from end with NUL, whatever they hold", 1},
	{"deps", OPT_DEPS, "EXE", 0,
	 "scan EXE and all that ld.so would load for it (may be repeated)", 1},
	{"library-path", OPT_LIBRARY_PATH, "DIRS", 0,
	 "with --deps: search these first, as LD_LIBRARY_PATH", 1},
	{"pid", OPT_PID, "N", 0, "scan the executable memory of process N (may be repeated)", 1},
	{"exclude", OPT_EXCLUDE, "GLOB", 0,
	 "pass over files and directories whose path or last name matches (may be repeated)", 1},
	{"max-size", OPT_MAX_SIZE, "N[KMGT]", 0, "refuse larger files", 1},
	{"timeout", OPT_TIMEOUT, "SECONDS", 0, "give up on a file after so long", 1},
	{NULL, 0, NULL, 0, "What to look for, and what fails:", 2},
	{"policy", OPT_POLICY, "NAME", 0,
	 "pkru (what writes PKRU; default), host (and WRGSBASE: a program that loads the runtime) "
	 "or domain (and WRFSBASE, ENCLU: code that a domain will run; call gates count as stray)",
	 2},
	{"find", OPT_FIND, "CLASS,...", 0,
	 "instead of --policy: wrpkru, wrpkru-rex2, xrstor, enclu, wrfsbase, wrgsbase, syscall, "
	 "sysenter, int80, or all",
	 2},
	{"assume-runtime", OPT_ASSUME_RUNTIME, NULL, 0,
	 "accept what the Lychgate runtime neutralises when it starts (glibc's own sequences)", 2},
	{"fail-on", OPT_FAIL_ON, "CLASS,...", 0, "only these fail; they are searched for as well",
	 2},
	{"baseline", OPT_BASELINE, "FILE", 0, "findings listed in FILE are known and do not fail",
	 2},
	{"update-baseline", OPT_UPDATE_BASELINE, NULL, 0,
	 "write what fails now to the --baseline file", 2},
	{"skip-unreadable", OPT_SKIP_UNREADABLE, NULL, 0,
	 "a file that cannot be read is no reason for exit status 2", 2},
	{NULL, 0, NULL, 0, "Output:", 3},
	{"format", OPT_FORMAT, "FORMAT", 0, "text (default), jsonl or sarif", 3},
	{"summary", OPT_SUMMARY, NULL, 0,
	 "a table by class, verdict and placement after the findings", 3},
	{"quiet", 'q', NULL, 0,
	 "text: no findings; no totals, notes and warnings on standard error", 3},
	{"verbose", 'v', NULL, 0, "section, offset, build-id and reason of each finding; notes", 3},
	{"color", OPT_COLOR, "WHEN", OPTION_ARG_OPTIONAL, "auto (default), always or never", 3},
	{"colour", OPT_COLOR, NULL, OPTION_ALIAS | OPTION_HIDDEN, NULL, 3},
	{"no-progress", OPT_NO_PROGRESS, NULL, 0, "no progress bar", 3},
	{NULL, 'j', "N", 0, "threads (default: one for each core this process may use)", 3},
	{0},
};

static const char args_doc[] = "PATH...\n--deps EXE\n--pid N\n--files-from FILE";

static const char doc[] =
	"Find every byte sequence in executable memory that could write PKRU: in ELF files, static "
	"archives, whole directories and live processes."
	"\vA finding is `stray' (the literature's \"unsafe occurrence\"), `runtime-handled', "
	"`checked' or `gate'; the first two fail the scan.\n\n"
	"Exit status: 0 clean; 1 findings that fail, also when some files could not be read; 2 "
	"wrong usage, or nothing that fails but a file that could not be read; 3 this machine "
	"cannot do it; 4 internal error. More: man lychgate-scan";

struct parse {
	struct scan_options *out;
	bool base_given;
	bool policy_given;
	bool find_given;
	bool no_gates;
	bool oom;
};

static void add(struct parse *parse, struct strings *list, const char *item)
{
	/* Grows by doubling at powers of two: a shell's glob may give a million. */
	if ((list->n & (list->n - 1)) == 0) {
		const char **v = reallocarray(list->v, list->n == 0 ? 1 : list->n * 2, sizeof(*v));

		if (v == NULL) {
			parse->oom = true;
			return;
		}
		list->v = v;
	}
	list->v[list->n++] = item;
}

/* A decimal number within [least, most], nothing before or behind. */
static int number(uint64_t *out, const char *text, uint64_t least, uint64_t most, char **end)
{
	if (text[0] < '0' || text[0] > '9') {
		return -EINVAL;
	}
	errno = 0;
	*out = strtoull(text, end, 10);
	return errno != 0 || *out < least || *out > most ? -EINVAL : 0;
}

static int whole_number(uint64_t *out, const char *text, uint64_t least, uint64_t most)
{
	char *end;

	return number(out, text, least, most, &end) != 0 || *end != '\0' ? -EINVAL : 0;
}

static int parse_size(uint64_t *out, const char *text)
{
	static const char units[] = "KMGT";
	const char *unit;
	unsigned shift = 0;
	char *end;

	if (number(out, text, 1, INT64_MAX, &end) != 0) {
		return -EINVAL;
	}
	if (*end != '\0') {
		unit = strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end);
		if (unit == NULL || end[1] != '\0') {
			return -EINVAL;
		}
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (*out > (uint64_t)INT64_MAX >> shift) {
		return -EINVAL;
	}
	*out <<= shift;
	return 0;
}

/* Seconds with up to three decimals that count; a day is longer than any sensible limit. */
static int parse_timeout(uint32_t *out, const char *text)
{
	uint64_t seconds;
	uint64_t ms = 0;
	unsigned scale = 100;
	char *end;

	if (number(&seconds, text, 0, 86400, &end) != 0) {
		return -EINVAL;
	}
	if (*end == '.') {
		end++;
		if (*end == '\0') {
			return -EINVAL;
		}
		for (; *end >= '0' && *end <= '9'; end++) {
			ms += (unsigned)(*end - '0') * scale;
			scale /= 10;
		}
	}
	if (*end != '\0' || seconds * 1000 + ms == 0) {
		return -EINVAL;
	}
	*out = (uint32_t)(seconds * 1000 + ms);
	return 0;
}

static void parse_policy(struct parse *parse, const char *arg, struct argp_state *state)
{
	if (parse->policy_given) {
		argp_error(state, "--policy is given twice");
	}
	parse->policy_given = true;
	if (strcmp(arg, "pkru") == 0) {
		parse->out->classes = LYCH_POLICY_PKRU;
	} else if (strcmp(arg, "host") == 0) {
		parse->out->classes = LYCH_POLICY_HOST;
	} else if (strcmp(arg, "domain") == 0) {
		parse->out->classes = LYCH_POLICY_DOMAIN;
		parse->no_gates = true;
	} else {
		argp_error(state, "--policy is pkru, host or domain, not `%s'", arg);
	}
}

static void parse_classes(uint32_t *set, const char *option, const char *arg,
			  struct argp_state *state)
{
	uint32_t classes;

	if (lych_classes_parse(&classes, arg) != 0) {
		argp_error(state,
			   "%s: no such class in `%s'; classes are wrpkru, wrpkru-rex2, xrstor, "
			   "enclu, wrfsbase, wrgsbase, syscall, sysenter, int80, all",
			   option, arg);
	} else {
		*set |= classes;
	}
}

static void parse_format(struct scan_options *out, const char *arg, struct argp_state *state)
{
	if (strcmp(arg, "text") == 0) {
		out->format = FORMAT_TEXT;
	} else if (strcmp(arg, "jsonl") == 0) {
		out->format = FORMAT_JSONL;
	} else if (strcmp(arg, "sarif") == 0) {
		out->format = FORMAT_SARIF;
	} else {
		argp_error(state, "--format is text, jsonl or sarif, not `%s'", arg);
	}
}

static void parse_pid(struct parse *parse, const char *arg, struct argp_state *state)
{
	struct scan_options *out = parse->out;
	uint64_t pid;
	pid_t *pids;

	if (whole_number(&pid, arg, 1, INT_MAX) != 0) {
		argp_error(state, "--pid: `%s' is not a process id", arg);
		return;
	}
	pids = reallocarray(out->pids, out->npids + 1, sizeof(*pids));
	if (pids == NULL) {
		parse->oom = true;
		return;
	}
	out->pids = pids;
	out->pids[out->npids++] = (pid_t)pid;
}

static void check_together(const struct parse *parse, struct argp_state *state)
{
	const struct scan_options *out = parse->out;
	bool raw = (out->flags & LYCH_SCAN_RAW) != 0;

	if (out->paths.n + out->lists.n + out->deps.n + out->npids == 0) {
		argp_error(state, "nothing to scan: give a PATH, --deps, --pid or --files-from");
	} else if (raw && out->npids > 0) {
		argp_error(state, "--raw is for files, it cannot be used with --pid");
	} else if (raw && out->deps.n > 0) {
		argp_error(state,
			   "--raw files have no dependencies, it cannot be used with --deps");
	} else if (parse->base_given && !raw) {
		argp_error(state, "--base needs --raw: an ELF file has addresses of its own");
	} else if (parse->policy_given && parse->find_given) {
		argp_error(state, "--policy and --find both say what to look for: give one");
	} else if (out->update_baseline && out->baseline == NULL) {
		argp_error(state, "--update-baseline needs --baseline FILE");
	} else if (out->library_path != NULL && out->deps.n == 0) {
		argp_error(state, "--library-path needs --deps");
	} else if (out->null_separated && out->lists.n == 0) {
		argp_error(state, "-0 needs --files-from");
	} else if (out->quiet && out->verbose) {
		argp_error(state, "-q and -v contradict each other");
	}
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct parse *parse = state->input;
	struct scan_options *out = parse->out;
	uint64_t n;

	switch (key) {
	case OPT_RAW:
		out->flags |= LYCH_SCAN_RAW;
		break;
	case OPT_BASE:
		if (cmd_address_parse(&out->base, arg) != 0) {
			argp_error(state, "--base: `%s' is not a hexadecimal address", arg);
		}
		parse->base_given = true;
		break;
	case OPT_FILES_FROM:
		add(parse, &out->lists, arg);
		break;
	case '0':
		out->null_separated = true;
		break;
	case OPT_DEPS:
		add(parse, &out->deps, arg);
		break;
	case OPT_LIBRARY_PATH:
		if (out->library_path != NULL) {
			argp_error(state,
				   "--library-path is given twice: separate directories by colons");
		}
		out->library_path = arg;
		break;
	case OPT_PID:
		parse_pid(parse, arg, state);
		break;
	case OPT_EXCLUDE:
		add(parse, &out->excludes, arg);
		break;
	case OPT_MAX_SIZE:
		if (parse_size(&out->max_bytes, arg) != 0) {
			argp_error(state, "--max-size: `%s' is not a size such as 500M", arg);
		}
		break;
	case OPT_TIMEOUT:
		if (parse_timeout(&out->timeout_ms, arg) != 0) {
			argp_error(state,
				   "--timeout: `%s' is not a time between 0.001 and 86400 seconds",
				   arg);
		}
		break;
	case OPT_POLICY:
		parse_policy(parse, arg, state);
		break;
	case OPT_FIND:
		parse_classes(&out->classes, "--find", arg, state);
		parse->find_given = true;
		break;
	case OPT_FAIL_ON:
		parse_classes(&out->fail_on, "--fail-on", arg, state);
		break;
	case OPT_ASSUME_RUNTIME:
		out->assume_runtime = true;
		break;
	case OPT_BASELINE:
		if (out->baseline != NULL) {
			argp_error(state, "--baseline is given twice");
		}
		out->baseline = arg;
		break;
	case OPT_UPDATE_BASELINE:
		out->update_baseline = true;
		break;
	case OPT_SKIP_UNREADABLE:
		out->skip_unreadable = true;
		break;
	case OPT_FORMAT:
		parse_format(out, arg, state);
		break;
	case OPT_SUMMARY:
		out->summary = true;
		break;
	case 'q':
		out->quiet = true;
		break;
	case 'v':
		out->verbose = true;
		break;
	case OPT_COLOR:
		if (cmd_color_parse(&out->color, arg) != 0) {
			argp_error(state, "--color is auto, always or never, not `%s'", arg);
		}
		break;
	case OPT_NO_PROGRESS:
		out->no_progress = true;
		break;
	case 'j':
		if (whole_number(&n, arg, 1, SCAN_THREADS_MAX) != 0) {
			argp_error(state, "-j: `%s' is not a number of threads from 1 to %d", arg,
				   SCAN_THREADS_MAX);
		} else {
			out->threads = (unsigned)n;
		}
		break;
	case ARGP_KEY_ARG:
		if (arg[0] == '\0') {
			argp_error(state, "a PATH is empty");
		}
		add(parse, &out->paths, arg);
		break;
	case ARGP_KEY_END:
		check_together(parse, state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return parse->oom ? ENOMEM : 0;
}

/* Not the number of cores online: taskset and container limits count. */
static unsigned usable_cores(void)
{
	cpu_set_t set;
	int n;

	/* It fails on machines with more cores than a cpu_set_t has bits. */
	n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : SCAN_THREADS_MAX;
	return n < 1 ? 1 : n > SCAN_THREADS_MAX ? SCAN_THREADS_MAX : (unsigned)n;
}

int scan_options_parse(struct scan_options *out, int argc, char **argv)
{
	static const struct argp argp = {options, parse_option, args_doc, doc, NULL, NULL, NULL};
	struct parse parse = {.out = out};

	*out = (struct scan_options){.format = FORMAT_TEXT};
	if (argp_parse(&argp, argc, argv, 0, NULL, &parse) != 0) {
		return -ENOMEM;
	}
	if (out->classes == 0) {
		out->classes = LYCH_POLICY_PKRU;
	}
	if (out->fail_on == 0) {
		out->fail_on = out->classes;
	}
	out->classes |= out->fail_on;
	if (parse.no_gates) {
		out->flags |= LYCH_SCAN_NO_GATES;
	}
	if (out->threads == 0) {
		out->threads = usable_cores();
	}
	return 0;
}

void scan_options_free(struct scan_options *opts)
{
	free(opts->pids);
	free(opts->paths.v);
	free(opts->lists.v);
	free(opts->deps.v);
	free(opts->excludes.v);
}
