/* SPDX-License-Identifier: Apache-2.0 */
/* The command: finds the verb, and what all verbs do alike. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lychgate/scan.h>

#include "buf.h"
#include "cmd.h"

static const struct verb {
	const char *name;
	char *title; /* what argp and getopt call the program */
	int (*run)(int argc, char **argv);
	const char *what;
} verbs[] = {
	{"scan", "lychgate scan", cmd_scan,
	 "find what could write PKRU in files, directories and processes"},
	{"explain", "lychgate explain", cmd_explain,
	 "look at one place: what it is and what to do about it"},
	{"repair", "lychgate repair", cmd_repair,
	 "plan how it is rewritten away, or say why not"},
	{"try", "lychgate try", cmd_try,
	 "open a library in a domain of its own and say what it needs there"},
	{"attack", "lychgate attack", cmd_attack,
	 "attack a domain from inside and say what is stopped"},
	{"doctor", "lychgate doctor", cmd_doctor,
	 "say whether protection keys work here, and if not, why"},
};

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static void print_help(FILE *out)
{
	fputs("Usage: lychgate VERB [OPTION...] ...\n"
	      "In-process isolation with x86-64 memory protection keys.\n\nVerbs:\n",
	      out);
	for (size_t i = 0; i < VERB_COUNT; i++) {
		fprintf(out, "  %-8s  %s\n", verbs[i].name, verbs[i].what);
	}
	fputs("\nOptions:\n"
	      "  --help     this text; `lychgate VERB --help' for a verb\n"
	      "  --version  versions of the command, the library and the disassembler\n\n"
	      "Exit status: 0 clean, 1 findings, 2 wrong usage or an unreadable file,\n"
	      "3 this machine cannot do it, 4 internal error.\n\n"
	      "Example: lychgate scan /usr/lib      See also: man lychgate\n",
	      out);
}

void cmd_version(FILE *out, struct argp_state *state)
{
	(void)state;
	fprintf(out, "lychgate %s\nliblychscan %s\nCapstone %s\n", LYCH_VERSION_STRING,
		lych_scan_version(), lych_scan_capstone_version());
}

void cmd_error(const char *fmt, ...)
{
	struct buf line = {0};
	char *message;
	va_list args;
	int n;

	fflush(stdout);
	va_start(args, fmt);
	n = vasprintf(&message, fmt, args);
	va_end(args);
	if (n < 0) {
		fputs("lychgate: out of memory\n", stderr);
		return;
	}
	buf_str(&line, "lychgate: ");
	buf_name(&line, message);
	buf_str(&line, "\n");
	fwrite(line.data, 1, line.len, stderr);
	buf_free(&line);
	free(message);
}

const char *cmd_strerror(int err)
{
	const char *text;

	switch (err < 0 ? -err : err) {
	case EMFILE:
	case ENFILE:
		return "too many open files";
	case EPERM:
		return lych_strerror(EACCES);
	case EFAULT: /* what these mean in the library's list is the runtime's, and here the system's */
	case EOWNERDEAD:
	case ENOSPC:
	case EALREADY:
	case EBUSY:
	case E2BIG:
	case EXFULL:
	case ENOSYS:
		return strerrordesc_np(err < 0 ? -err : err);
	default:
		text = lych_strerror(err);
		if (strcmp(text, "unknown error") == 0) {
			text = strerrordesc_np(err < 0 ? -err : err);
		}
		return text != NULL ? text : "unknown error";
	}
}

int cmd_address_parse(uint64_t *out, const char *text)
{
	char *end;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		text += 2;
	}
	/* strtoull would take a sign, white space and a second 0x. */
	if (text[0] == '\0' || text[strspn(text, "0123456789abcdefABCDEF")] != '\0') {
		return -EINVAL;
	}
	errno = 0;
	*out = strtoull(text, &end, 16);
	return errno != 0 || *end != '\0' ? -EINVAL : 0;
}

int cmd_color_parse(enum cmd_color_mode *out, const char *arg)
{
	if (arg == NULL || strcmp(arg, "always") == 0) {
		*out = CMD_COLOR_ALWAYS;
	} else if (strcmp(arg, "auto") == 0) {
		*out = CMD_COLOR_AUTO;
	} else if (strcmp(arg, "never") == 0) {
		*out = CMD_COLOR_NEVER;
	} else {
		return -EINVAL;
	}
	return 0;
}

bool cmd_color_enabled(int fd, enum cmd_color_mode mode)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if (mode != CMD_COLOR_AUTO) {
		return mode == CMD_COLOR_ALWAYS;
	}
	return (no_color == NULL || no_color[0] == '\0') && term != NULL &&
	       strcmp(term, "dumb") != 0 && isatty(fd);
}

/* errno of the first failed write to stdout: flushing later may not fail again. */
static int write_error;

int cmd_write(const void *data, size_t len)
{
	errno = 0;
	if (fwrite(data, 1, len, stdout) == len && fflush(stdout) == 0) {
		return 0;
	}
	if (write_error == 0) {
		write_error = errno != 0 ? errno : EIO;
	}
	return -EIO;
}

int cmd_close_stdout(int status)
{
	static bool closed;
	bool failed;
	int err;

	if (closed) {
		return status;
	}
	closed = true;
	errno = 0;
	failed = ferror(stdout) != 0;
	if (fclose(stdout) != 0) {
		/* Started without a stdout and nothing written to it: no output is lost. */
		failed = failed || errno != EBADF;
	}
	if (!failed) {
		return status;
	}
	err = write_error != 0 ? write_error : errno;
	fprintf(stderr, "lychgate: output could not be written: %s\n",
		err != 0 ? strerror(err) : "an earlier write failed");
	return EXIT_INTERNAL;
}

/* argp ends the process itself after --help, --version and wrong usage. */
static void close_stdout_at_exit(void)
{
	if (cmd_close_stdout(0) != 0) {
		_exit(EXIT_INTERNAL);
	}
}

/*
 * A standard stream that is closed would be taken by the next file opened, and what is meant for the
 * stream written into that: held by something that can be neither read nor written.
 */
static int hold_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/", O_PATH) != fd) {
			return -EBADF;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : NULL;

	argp_err_exit_status = EXIT_USAGE;
	argp_program_version_hook = cmd_version;
	if (hold_standard_streams() != 0 || atexit(close_stdout_at_exit) != 0) {
		return EXIT_INTERNAL;
	}
	if (verb == NULL) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(verb, "--help") == 0 || strcmp(verb, "-?") == 0 || strcmp(verb, "help") == 0) {
		print_help(stdout);
		return cmd_close_stdout(EXIT_CLEAN);
	}
	if (strcmp(verb, "--version") == 0 || strcmp(verb, "-V") == 0) {
		cmd_version(stdout, NULL);
		return cmd_close_stdout(EXIT_CLEAN);
	}
	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (strcmp(verb, verbs[i].name) == 0) {
			argv[1] = verbs[i].title;
			return cmd_close_stdout(verbs[i].run(argc - 1, argv + 1));
		}
	}
	cmd_error("unknown %s `%s'; the verbs are scan, explain, repair, try, attack and doctor (lychgate --help)",
		  verb[0] == '-' ? "option" : "verb", verb);
	return EXIT_USAGE;
}
