/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs of the command `lychgate` share. Each verb is one function, in files that begin
 * with its name; it gets argv with argv[0] = "lychgate VERB", so that argp and getopt name it in
 * messages, and returns one of the exit codes below. It may leave stdout buffered: main closes it
 * with cmd_close_stdout.
 */
#ifndef LYCHGATE_CMD_H
#define LYCHGATE_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <lychgate/base.h>

/* Exit codes, the same for every verb and every format. */
enum {
	EXIT_CLEAN = 0,    /* nothing found; protection keys work */
	EXIT_FINDINGS = 1, /* findings that fail, also when some files could not be read */
	EXIT_USAGE = 2,    /* wrong usage; no finding that fails, but a file could not be read */
	EXIT_PLATFORM = 3, /* this machine cannot do it */
	EXIT_INTERNAL = 4, /* our own failure: output could not be written, out of memory */
};

int cmd_scan(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_repair(int argc, char **argv);
int cmd_try(int argc, char **argv);
int cmd_attack(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* ---- colour --------------------------------------------------------------------------------- */

enum cmd_color_mode { CMD_COLOR_AUTO, CMD_COLOR_ALWAYS, CMD_COLOR_NEVER };

/* Reads the argument of --color ("auto", "always", "never"; NULL means always). 0 or -EINVAL. */
int cmd_color_parse(enum cmd_color_mode *out, const char *arg);

/*
 * Whether to colour what goes to fd. With CMD_COLOR_AUTO: fd is a terminal, TERM is not "dumb", and
 * NO_COLOR (no-color.org) is unset or empty. CMD_COLOR_ALWAYS overrides NO_COLOR.
 */
bool cmd_color_enabled(int fd, enum cmd_color_mode mode);

#define CMD_RED "\033[1;31m"
#define CMD_GREEN "\033[32m"
#define CMD_YELLOW "\033[33m"
#define CMD_CYAN "\033[36m"
#define CMD_BOLD "\033[1m"
#define CMD_DIM "\033[2m"
#define CMD_RESET "\033[0m"

/* ---- messages and output -------------------------------------------------------------------- */

/*
 * "lychgate: ", the message and a newline on stderr; names in it as they are, since what could steer
 * a terminal is made visible here (buf_name). Not while a scan runs: what it says goes
 * through its report, so that it comes in order and does not run into the progress bar.
 */
void cmd_error(const char *fmt, ...) LYCH_PRINTF(1, 2);

/* What an errno value means, negative or positive: also one outside the library's closed list. */
const char *cmd_strerror(int err);

/* Reads an address, hexadecimal with or without 0x, nothing before or behind. 0 or -EINVAL. */
int cmd_address_parse(uint64_t *out, const char *text);

/* For argp's --version: the versions of the command, the library and its disassembler. */
struct argp_state;
void cmd_version(FILE *out, struct argp_state *state);

/* Writes to stdout at once and remembers why that failed, for cmd_close_stdout. 0 or -EIO. */
int cmd_write(const void *data, size_t len);

/*
 * Flushes and closes stdout and returns status, or says on stderr why output was lost (a full disk,
 * a closed pipe) and returns EXIT_INTERNAL. Called once, by main, after the verb returned.
 *
 * SIGPIPE keeps its default action: `lychgate scan / | head` ends by the signal as filters do.
 */
int cmd_close_stdout(int status);

#endif /* LYCHGATE_CMD_H */
