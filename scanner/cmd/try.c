/* SPDX-License-Identifier: Apache-2.0 */
/* lychgate try: does this library work in a library domain, and what does it need there? */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "json.h"
#include "try.h"

enum { OPT_SEARCH = 0x100, OPT_POLICY, OPT_POLICY_FILE, OPT_FORMAT, OPT_TIMEOUT };

#define TIMEOUT_DEFAULT 60
#define POLICY_MAX (64 << 10)   /* bytes of a file */
#define RECORDS_MAX (64 << 20)  /* bytes, of what is one page for any library that there is */
#define SAID_MAX 4096

static const struct argp_option option_table[] = {
	{"search", OPT_SEARCH, "DIR", 0, "look for libraries here before the system's directories (may be repeated)", 0},
	{"policy", OPT_POLICY, "NAME", 0, "what its system calls may do: pure (default), files-ro:PATH, net-client, ...", 0},
	{"policy-file", OPT_POLICY_FILE, "FILE", 0, "the same as text, lychgate-policy(5)", 0},
	{"timeout", OPT_TIMEOUT, "SECONDS", 0, "give up after so long (60)", 0},
	{"format", OPT_FORMAT, "FORMAT", 0, "text (default) or jsonl", 0},
	{0},
};

static const char args_doc[] = "LIBRARY...";

static const char doc[] =
	"Open a library in a library domain, as lych_open does, and say what it needs there: what it loads, code that had to be "
	"repaired or was refused, system calls made and refused, memory, threads. Constructors run, inside the domain."
	"\vA name without a slash is looked for as dlopen does. Nothing of the library's can harm this command or what it "
	"prints; it needs protection keys and Linux 6.12 (lychgate doctor).\n\n"
	"Exit status: 0 every library opens; 1 one does not; 2 wrong usage, or a file that could not be read; 3 this machine "
	"cannot do it; 4 internal error. More: man lychgate-try";

struct run {
	const char **libraries;
	size_t nlibraries;
	struct buf search; /* with its NUL, when there is any */
	char *policy_text;
	struct try_options options;
	unsigned int timeout_s;
	bool jsonl;
};

/* ---- command line ---------------------------------------------------------------------------- */

/* The whole file, terminated. NULL: it was told. */
static char *read_policy(const char *path)
{
	char *text = malloc(POLICY_MAX + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t have = 0;
	ssize_t n = 1;

	while (text != NULL && fd >= 0 && n > 0 && have < POLICY_MAX) {
		n = read(fd, text + have, POLICY_MAX - have);
		have += n > 0 ? (size_t)n : 0;
		n = n < 0 && errno == EINTR ? 1 : n;
	}
	if (text == NULL || fd < 0 || n < 0) {
		cmd_error("%s: %s", path, cmd_strerror(text == NULL ? ENOMEM : errno));
	} else if (n > 0 || memchr(text, '\0', have) != NULL) {
		cmd_error("%s: this is no policy: it is too long, or holds NUL", path);
		n = -1;
	}
	if (fd >= 0) {
		close(fd);
	}
	if (text != NULL && (fd < 0 || n < 0)) {
		free(text);
		return NULL;
	}
	if (text != NULL) {
		text[have] = '\0';
	}
	return text;
}

static void parse_timeout(struct run *run, const char *arg, struct argp_state *state)
{
	char *end;
	long seconds = strtol(arg, &end, 10);

	if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || seconds < 1 || seconds > 86400) {
		argp_error(state, "--timeout: `%s' is not a number of seconds from 1 to 86400", arg);
	}
	run->timeout_s = (unsigned int)seconds;
}

static void add_search(struct run *run, const char *arg, struct argp_state *state)
{
	if (arg[0] == '\0' || strchr(arg, ':') != NULL) {
		argp_error(state, "--search: `%s' is not one directory", arg);
	}
	if (run->search.len > 0) {
		run->search.data[run->search.len - 1] = ':';
	}
	buf_add(&run->search, arg, strlen(arg) + 1);
	if (run->search.failed) {
		argp_failure(state, EXIT_INTERNAL, 0, "out of memory");
	}
	run->options.search = run->search.data;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct run *run = state->input;

	switch (key) {
	case OPT_SEARCH:
		add_search(run, arg, state);
		return 0;
	case OPT_POLICY:
	case OPT_POLICY_FILE:
		if (run->options.policy != NULL) {
			argp_error(state, "--policy and --policy-file are one, and given once");
		}
		if (key == OPT_POLICY_FILE) {
			run->policy_text = read_policy(arg);
			if (run->policy_text == NULL) {
				exit(EXIT_USAGE);
			}
		}
		run->options.policy = key == OPT_POLICY ? arg : run->policy_text;
		return 0;
	case OPT_TIMEOUT:
		parse_timeout(run, arg, state);
		return 0;
	case OPT_FORMAT:
		run->jsonl = strcmp(arg, "jsonl") == 0;
		if (!run->jsonl && strcmp(arg, "text") != 0) {
			argp_error(state, "--format is text or jsonl, not `%s'", arg);
		}
		return 0;
	case ARGP_KEY_ARG:
		if (arg[0] == '\0') {
			argp_error(state, "a LIBRARY is empty");
		}
		run->libraries[run->nlibraries++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (run->nlibraries == 0) {
			argp_error(state, "nothing to try: give a LIBRARY");
		}
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- the child ------------------------------------------------------------------------------- */

struct child {
	pid_t pid;
	int records, said; /* to read from */
};

/* 0 or -errno. */
static int start(struct child *out, const char *library, const struct try_options *options)
{
	int records[2], said[2], parent = getpid();
	const struct rlimit none = {0, 0};

	if (pipe2(records, O_CLOEXEC) != 0) {
		return -errno;
	}
	if (pipe2(said, O_CLOEXEC) != 0) {
		close(records[0]);
		close(records[1]);
		return -EMFILE;
	}
	fflush(stdout);
	out->pid = fork();
	if (out->pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		/* What it says is not ours, and could steer a terminal. */
		if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
		    dup2(said[1], STDERR_FILENO) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
			_exit(1);
		}
		setrlimit(RLIMIT_CORE, &none);
		close(records[0]);
		close(said[0]);
		try_open(library, options, records[1]);
	}
	close(records[1]);
	close(said[1]);
	out->records = records[0];
	out->said = said[0];
	if (out->pid < 0) {
		close(records[0]);
		close(said[0]);
		return -EAGAIN;
	}
	return 0;
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* false: there is no more. What is beyond max is dropped. */
static bool drain(int fd, struct buf *to, size_t max)
{
	char chunk[4096];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n > 0 && to->len < max) {
		buf_add(to, chunk, (size_t)n < max - to->len ? (size_t)n : max - to->len);
	}
	return n > 0 || (n < 0 && errno == EINTR);
}

/* Until both have ended. false: it took too long. */
static bool listen_to(const struct child *child, struct buf *records, struct buf *said, unsigned int timeout_s)
{
	struct pollfd fds[2] = {{.fd = child->records, .events = POLLIN}, {.fd = child->said, .events = POLLIN}};
	long end = now_ms() + 1000L * timeout_s;

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		long left = end - now_ms();

		if (left <= 0) {
			return false;
		}
		if (poll(fds, 2, (int)left) < 0) {
			continue;
		}
		if (fds[0].fd >= 0 && fds[0].revents != 0 && !drain(fds[0].fd, records, RECORDS_MAX)) {
			fds[0].fd = -1;
		}
		if (fds[1].fd >= 0 && fds[1].revents != 0 && !drain(fds[1].fd, said, SAID_MAX)) {
			fds[1].fd = -1;
		}
	}
	return true;
}

static int parse_records(struct trial *trial, const struct buf *text)
{
	const char *at = text->data, *end = text->data + text->len;
	const char *newline;

	trial->records = json_array();
	for (; at < end && (newline = memchr(at, '\n', (size_t)(end - at))) != NULL; at = newline + 1) {
		json_t *record = json_loadb(at, (size_t)(newline - at), 0, NULL);

		if (record != NULL && json_array_append_new(trial->records, record) != 0) {
			return -ENOMEM;
		}
	}
	return trial->records == NULL || text->failed ? -ENOMEM : 0;
}

/* From the result, or from what stands for one: how the process ended. */
static void conclude(struct trial *trial, bool in_time, int status)
{
	size_t n = json_array_size(trial->records);
	const json_t *last = n > 0 ? json_array_get(trial->records, n - 1) : NULL;
	const char *type = json_string_value(json_object_get(last, "type"));

	trial->error = trial->reason = "";
	if (type != NULL && strcmp(type, "result") == 0) {
		const char *error = json_string_value(json_object_get(last, "error"));
		const char *reason = json_string_value(json_object_get(last, "reason"));

		trial->opens = json_is_true(json_object_get(last, "opens"));
		trial->error = error != NULL ? error : "";
		trial->reason = reason != NULL ? reason : "";
	} else if (!in_time) {
		trial->error = "ETIMEDOUT";
		trial->reason = "it takes longer than --timeout allows";
	} else {
		trial->error = "ECHILD";
		trial->reason = WIFSIGNALED(status) ? "the process that tried it was ended by a signal"
						    : "the process that tried it ended without a word";
	}
}

/* 0, or -errno: it could not be tried. */
static int try_one(struct trial *trial, const struct run *run, const char *path)
{
	struct child child = {.pid = -1, .records = -1, .said = -1};
	struct buf records = {0};
	int rc = start(&child, path, &run->options), status = 0;
	bool in_time;

	if (rc != 0) {
		return rc;
	}
	in_time = listen_to(&child, &records, &trial->said, run->timeout_s);
	if (!in_time) {
		kill(child.pid, SIGKILL);
	}
	while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
	}
	close(child.records);
	close(child.said);
	rc = parse_records(trial, &records);
	buf_free(&records);
	conclude(trial, in_time, status);
	return rc;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static int exit_code_of(const struct trial *trial)
{
	if (trial->opens) {
		return EXIT_CLEAN;
	}
	if (strcmp(trial->error, "platform") == 0) {
		return EXIT_PLATFORM;
	}
	if (strcmp(trial->error, "EINVAL") == 0) {
		return EXIT_USAGE;
	}
	return strcmp(trial->error, "ENOMEM") == 0 || strcmp(trial->error, "ECHILD") == 0 ? EXIT_INTERNAL : EXIT_FINDINGS;
}

static int print_header(void)
{
	struct buf line = {0};
	int rc;

	json_add(&line, json_pack("{s:s, s:s, s:s, s:s}", "type", "header", "schema", "lychgate-try/1", "tool", "lychgate",
				  "version", LYCH_VERSION_STRING));
	buf_str(&line, "\n");
	rc = line.failed ? -ENOMEM : cmd_write(line.data, line.len);
	buf_free(&line);
	return rc;
}

/* An exit code. */
static int try_and_print(const struct run *run, const char *library)
{
	struct trial trial = {.library = library};
	struct buf out = {0};
	char *path = strchr(library, '/') != NULL ? realpath(library, NULL) : strdup(library);
	int rc;

	if (path == NULL) {
		cmd_error("%s: %s", library, cmd_strerror(errno));
		return EXIT_USAGE;
	}
	rc = try_one(&trial, run, path);
	if (rc == 0 && run->jsonl) {
		try_print_json(&out, &trial);
	} else if (rc == 0) {
		try_print_text(&out, &trial);
	}
	rc = rc == 0 && out.failed ? -ENOMEM : rc;
	if (rc != 0) {
		cmd_error("%s: it could not be tried: %s", library, cmd_strerror(rc));
		rc = EXIT_INTERNAL;
	} else {
		rc = cmd_write(out.data, out.len) != 0 ? EXIT_INTERNAL : exit_code_of(&trial);
	}
	json_decref(trial.records);
	buf_free(&trial.said);
	buf_free(&out);
	free(path);
	return rc;
}

/* Of two exit codes the one that says more: our own failures and the machine's first, then what does not open. */
static int worse(int a, int b)
{
	static const int rank[] = {[EXIT_CLEAN] = 0, [EXIT_USAGE] = 1, [EXIT_FINDINGS] = 2, [EXIT_PLATFORM] = 3, [EXIT_INTERNAL] = 4};

	return rank[a] > rank[b] ? a : b;
}

int cmd_try(int argc, char **argv)
{
	static const struct argp argp = {option_table, parse_option, args_doc, doc, NULL, NULL, NULL};
	struct run run = {.timeout_s = TIMEOUT_DEFAULT};
	int status = EXIT_CLEAN;

	run.libraries = calloc((size_t)argc, sizeof(*run.libraries));
	if (run.libraries == NULL || argp_parse(&argp, argc, argv, 0, NULL, &run) != 0) {
		free(run.libraries);
		return EXIT_INTERNAL;
	}
	if (run.jsonl && print_header() != 0) {
		status = EXIT_INTERNAL;
	}
	for (size_t i = 0; i < run.nlibraries && status != EXIT_INTERNAL && status != EXIT_PLATFORM; i++) {
		status = worse(status, try_and_print(&run, run.libraries[i]));
	}
	free(run.libraries);
	free(run.policy_text);
	buf_free(&run.search);
	return status;
}
