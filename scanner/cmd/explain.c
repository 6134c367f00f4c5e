/* SPDX-License-Identifier: Apache-2.0 */
/* `lychgate explain FILE:ADDRESS`: one place, in words for somebody who has to decide about it. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lychgate/scan.h>

#include "cmd.h"
#include "report.h"

enum { OPT_RAW = 0x100, OPT_BASE, OPT_COLOR };

static const struct argp_option options[] = {
	{"raw", OPT_RAW, NULL, 0, "FILE is flat code without headers", 0},
	{"base", OPT_BASE, "ADDR", 0, "with --raw: address of the first byte (hexadecimal)", 0},
	{"color", OPT_COLOR, "WHEN", OPTION_ARG_OPTIONAL, "auto (default), always or never", 0},
	{"colour", OPT_COLOR, NULL, OPTION_ALIAS | OPTION_HIDDEN, NULL, 0},
	{0},
};

static const char doc[] = "Look at one place of a file: the bytes, the instructions around them, "
			  "why they are dangerous and what to do about it. ADDRESS is hexadecimal, "
			  "with or without 0x, as `lychgate scan' prints it."
			  "\vExit status: 0 nothing dangerous there (also a checked sequence or a "
			  "gate); 1 a stray or runtime-handled sequence; 2 wrong usage, or the "
			  "file cannot be read; 4 internal error. More: man lychgate-explain";

struct explain {
	const char *target; /* FILE:ADDRESS */
	const char *path;
	uint64_t vaddr;
	uint64_t base;
	bool raw;
	bool base_given;
	enum cmd_color_mode color_mode;
	bool color;
	bool dangerous;
	bool said_why; /* an error was reported */
	size_t count;
	struct buf out;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct explain *explain = state->input;
	char *colon;

	switch (key) {
	case OPT_RAW:
		explain->raw = true;
		break;
	case OPT_BASE:
		explain->base_given = true;
		if (cmd_address_parse(&explain->base, arg) != 0) {
			argp_error(state, "--base: `%s' is not a hexadecimal address", arg);
		}
		break;
	case OPT_COLOR:
		if (cmd_color_parse(&explain->color_mode, arg) != 0) {
			argp_error(state, "--color is auto, always or never, not `%s'", arg);
		}
		break;
	case ARGP_KEY_ARG:
		if (explain->target != NULL) {
			argp_error(state, "one place at a time");
		}
		explain->target = arg;
		/* A path may hold colons itself, an address never. Nor is it repeated in a message: argp writes
		 * control characters as they are. */
		colon = strrchr(arg, ':');
		if (colon == NULL || colon == arg) {
			argp_error(state, "the place is not of the form FILE:ADDRESS");
		} else if (cmd_address_parse(&explain->vaddr, colon + 1) != 0) {
			argp_error(state, "what follows the last colon is not a hexadecimal address");
		} else {
			*colon = '\0';
			explain->path = arg;
		}
		break;
	case ARGP_KEY_END:
		if (explain->target == NULL) {
			argp_error(state, "which place? Give FILE:ADDRESS");
		} else if (explain->base_given && !explain->raw) {
			argp_error(state,
				   "--base needs --raw: an ELF file has addresses of its own");
		}
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const char *color(const struct explain *explain, const char *code)
{
	return explain->color ? code : "";
}

static void heading(struct explain *explain, const char *text)
{
	buf_printf(&explain->out, "\n%s%s%s\n", color(explain, CMD_BOLD), text,
		   color(explain, CMD_RESET));
}

/* The instructions, those of the sequence marked, and its bytes underlined. */
static void listing(struct explain *explain, const struct lych_finding *f)
{
	struct buf *out = &explain->out;

	for (size_t i = 0; i < f->ninsns; i++) {
		const struct lych_insn *insn = &f->insns[i];
		bool here = f->nbytes == 0 && explain->vaddr - insn->vaddr < insn->len;

		buf_printf(out, "%s  %c 0x%-12" PRIx64 "  ",
			   insn->hit ? color(explain, CMD_BOLD) : "",
			   insn->hit ? '>'
			   : here    ? '-'
				     : ' ',
			   insn->vaddr);
		buf_bytes(out, insn->bytes, insn->len);
		buf_printf(out, "%*s  ", 3 * (insn->len < 10 ? 10 - insn->len : 0), "");
		buf_name(out, insn->text);
		buf_printf(out, "%s\n", insn->hit ? color(explain, CMD_RESET) : "");
		if (!insn->hit) {
			continue;
		}
		buf_printf(out, "%20s", "");
		for (size_t k = 0; k < insn->len; k++) {
			bool within = insn->vaddr + k - f->vaddr < f->nbytes;

			buf_str(out, within ? "^^" : "  ");
			buf_str(out, k + 1 < insn->len ? " " : "\n");
		}
	}
}

/* Breaks text at blanks so that lines fit, the first after first, the others after indent. */
static void paragraph(struct buf *out, const char *text, const char *first, const char *indent)
{
	size_t width = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " \n");

		if (width == 0 || width + 1 + len > 76) {
			buf_printf(out, "%s%s", width == 0 ? "" : "\n",
				   width == 0 ? first : indent);
			width = strlen(indent);
		} else {
			buf_str(out, " ");
			width++;
		}
		buf_add(out, text, len);
		width += len;
		text += len + (text[len] != '\0');
	}
	buf_str(out, "\n");
}

static void remedies(struct explain *explain, const struct lych_finding *f)
{
	struct buf lines = {0};
	char *line;
	char *next;

	advice_remedy(&lines, f, "");
	buf_add(&lines, "", 1);
	for (line = lines.data; !lines.failed && *line != '\0'; line = next) {
		next = line + strcspn(line, "\n");
		*next++ = '\0';
		paragraph(&explain->out, line, "  - ", "    ");
	}
	explain->out.failed = explain->out.failed || lines.failed;
	buf_free(&lines);
}

static void where(struct explain *explain, const struct lych_finding *f)
{
	struct buf *out = &explain->out;

	if (f->symbol[0] != '\0') {
		buf_str(out, "  function   ");
		symbol_text(out, f, "");
		buf_str(out, "\n");
	}
	if (f->section[0] != '\0') {
		buf_str(out, "  section    ");
		buf_name(out, f->section);
		buf_str(out, "\n");
	}
	if (f->off != LYCH_NO_OFFSET) {
		buf_printf(out, "  offset     0x%" PRIx64 " in the file\n", f->off);
	}
	if (f->build_id_len != 0) {
		buf_str(out, "  build-id   ");
		buf_hex(out, f->build_id, f->build_id_len);
		buf_str(out, "\n");
	}
}

static int on_finding(void *ctx, const struct lych_finding *f)
{
	struct explain *explain = ctx;
	struct buf *out = &explain->out;
	bool found = f->nbytes != 0;
	bool bad =
		found && (f->verdict == LYCH_VERDICT_STRAY || f->verdict == LYCH_VERDICT_RUNTIME);

	buf_str(out, explain->count++ != 0 ? "\n" : "");
	explain->dangerous = explain->dangerous || bad;
	buf_str(out, color(explain, CMD_BOLD));
	finding_name(out, f->path, f->member, 0);
	buf_printf(out, ":0x%" PRIx64 "%s: ", found ? f->vaddr : explain->vaddr,
		   color(explain, CMD_RESET));
	if (!found) {
		buf_str(out, "nothing here that lychgate looks for\n");
		where(explain, f);
		buf_str(out, "\n");
		listing(explain, f);
		return 0;
	}
	buf_printf(out, "%s%s %s%s\n", color(explain, bad ? CMD_RED : CMD_GREEN),
		   lych_verdict_name(f->verdict), class_title(f->cls), color(explain, CMD_RESET));
	buf_str(out, "  bytes      ");
	buf_bytes(out, f->bytes, f->nbytes);
	buf_str(out, "\n  placement  ");
	placement_text(out, f);
	buf_printf(out, ": %s\n", advice_placement(f->placement));
	buf_printf(out, "  verdict    %s: %s\n", lych_verdict_name(f->verdict),
		   advice_verdict(f->verdict));
	if (f->why[0] != '\0') {
		buf_str(out, "  because    ");
		buf_name(out, f->why);
		buf_str(out, "\n");
	}
	where(explain, f);
	buf_str(out, "\n");
	listing(explain, f);
	heading(explain, bad ? "Why it is dangerous" : "Why such bytes are dangerous elsewhere");
	paragraph(out, advice_danger(f->cls), "  ", "  ");
	if (f->placement != LYCH_PLACE_INSTRUCTION) {
		paragraph(out,
			  "The compiler never meant these bytes as an instruction, but the "
			  "processor executes whatever it is pointed at.",
			  "  ", "  ");
	}
	heading(explain, "What to do");
	remedies(explain, f);
	return 0;
}

static void on_diag(void *ctx, const struct lych_diag *diag)
{
	struct explain *explain = ctx;
	struct buf line = {0};

	if (diag->severity == LYCH_DIAG_NOTE) {
		return;
	}
	explain->said_why = explain->said_why || diag->severity == LYCH_DIAG_ERROR;
	buf_str(&line, "lychgate: ");
	finding_name(&line, diag->path, diag->member, 0);
	buf_printf(&line, ": %s: ", diag->severity == LYCH_DIAG_ERROR ? "error" : "warning");
	buf_name(&line, diag->message);
	buf_str(&line, "\n");
	fwrite(line.data, 1, line.len, stderr);
	buf_free(&line);
}

int cmd_explain(int argc, char **argv)
{
	static const struct argp argp = {options, parse_option, "FILE:ADDRESS", doc, NULL,
					 NULL,    NULL};
	struct explain explain = {0};
	struct lych_scan_opts lib = LYCH_SCAN_OPTS_INIT;
	int exit_code;
	int rc;

	if (argp_parse(&argp, argc, argv, 0, NULL, &explain) != 0) {
		return EXIT_INTERNAL;
	}
	explain.color = cmd_color_enabled(STDOUT_FILENO, explain.color_mode);
	lib.flags = explain.raw ? LYCH_SCAN_RAW : 0;
	lib.raw_vaddr = explain.base;
	lib.finding = on_finding;
	lib.diag = on_diag;
	lib.ctx = &explain;
	rc = lych_scan_explain(explain.path, explain.vaddr, &lib);
	exit_code = explain.dangerous ? EXIT_FINDINGS : EXIT_CLEAN;
	if (rc == -ENOMEM || explain.out.failed) {
		cmd_error("out of memory");
		exit_code = EXIT_INTERNAL;
	} else if (report_write(&explain.out) != 0) {
		exit_code = EXIT_INTERNAL;
	} else if (rc == -EINVAL) {
		cmd_error("0x%" PRIx64 " is not in executable memory of %s", explain.vaddr,
			  explain.path);
		exit_code = EXIT_USAGE;
	} else if (rc != 0 && explain.count == 0) {
		if (!explain.said_why) {
			cmd_error("%s: error: %s", explain.path, cmd_strerror(rc));
		}
		exit_code = EXIT_USAGE;
	}
	buf_free(&explain.out);
	return exit_code;
}
