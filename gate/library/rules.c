/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rules.h"

#define TEXT_MAX 65536
#define BITS 64
#define CALLS (RULES_WORDS * BITS)

enum call_class { CLASS_NONE, CLASS_ALWAYS, CLASS_LOCAL, CLASS_NET, CLASS_GONE, CLASS_NEVER };

static const struct {
	const char *name;
	uint8_t class;
} calls[CALLS] = {
#define CALL(number, call_name, call_class) [number] = {#call_name, CLASS_##call_class},
#include "system_calls.inc"
#undef CALL
};

const char *const rules_net_files[] = {
	"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/services", "/etc/protocols",
	"/etc/gai.conf", NULL,
};

/* About the machine, the same for every process. */
static const char *const proc_files[] = {
	"/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/uptime", "/proc/version",
	"/proc/filesystems", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/osrelease",
};
static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};

/* ---- calls ---------------------------------------------------------------------------------- */

static enum call_class class_of(long nr)
{
	return nr >= 0 && nr < CALLS ? (enum call_class)calls[nr].class : CLASS_NONE;
}

const char *rules_call_name(long nr)
{
	return nr >= 0 && nr < CALLS ? calls[nr].name : NULL;
}

long rules_call_number(const char *name, size_t bytes)
{
	for (long nr = 0; nr < CALLS; nr++) {
		const char *is = calls[nr].name;
		if (is != NULL && strlen(is) == bytes && memcmp(is, name, bytes) == 0) {
			return nr;
		}
	}
	return -1;
}

static bool has(const uint64_t *set, long nr)
{
	return __atomic_load_n(&set[nr / BITS], __ATOMIC_RELAXED) >> (nr % BITS) & 1;
}

static void put(uint64_t *set, long nr, bool in)
{
	uint64_t bit = 1ULL << (nr % BITS);

	set[nr / BITS] = in ? set[nr / BITS] | bit : set[nr / BITS] & ~bit;
}

bool rules_call_allowable(long nr)
{
	enum call_class class = class_of(nr);

	return class != CLASS_NONE && class != CLASS_GONE && class != CLASS_NEVER;
}

enum rules_answer rules_decide(const struct rules *r, long nr, int *err)
{
	enum call_class class = class_of(nr);

	*err = ENOSYS;
	switch (class) {
	case CLASS_NONE:
		return RULES_REFUSE;
	case CLASS_GONE:
		return RULES_GONE;
	case CLASS_NEVER:
		break;
	default:
		if (has(r->allowed, nr)) {
			return RULES_ANSWER;
		}
		if (r->report && !has(r->denied, nr)) {
			return RULES_LEARN;
		}
	}
	*err = EPERM;
	return RULES_REFUSE;
}

void rules_learn_call(struct rules *r, long nr)
{
	if (class_of(nr) != CLASS_NONE) {
		__atomic_fetch_or(&r->learned[nr / BITS], 1ULL << (nr % BITS), __ATOMIC_RELAXED);
	}
}

/* ---- paths ---------------------------------------------------------------------------------- */

int rules_normal(char out[RULES_PATH_BYTES], const char *base, const char *path)
{
	size_t used = 0;

	if (path[0] != '/') {
		used = strlen(base);
		if (used >= RULES_PATH_BYTES) {
			return -ENAMETOOLONG;
		}
		memcpy(out, base, used);
		used = used == 1 ? 0 : used; /* "/" */
	}
	for (const char *at = path; *at != '\0';) {
		size_t bytes = strcspn(at, "/");
		if (bytes == 2 && at[0] == '.' && at[1] == '.') {
			while (used > 0 && out[--used] != '/') {
			}
		} else if (bytes > 1 || (bytes == 1 && at[0] != '.')) {
			if (bytes + 1 >= RULES_PATH_BYTES - used) {
				return -ENAMETOOLONG;
			}
			out[used++] = '/';
			memcpy(out + used, at, bytes);
			used += bytes;
		}
		at += bytes + (at[bytes] == '/');
	}
	if (used == 0) {
		out[used++] = '/';
	}
	out[used] = '\0';
	return 0;
}

bool rules_beneath(const char *path, const char *dir, const char **rest)
{
	size_t bytes = strlen(dir);

	if (bytes == 1) { /* "/" */
		*rest = path + 1;
		return path[0] == '/';
	}
	if (strncmp(path, dir, bytes) != 0 || (path[bytes] != '\0' && path[bytes] != '/')) {
		return false;
	}
	*rest = path + bytes + (path[bytes] == '/');
	return true;
}

static bool is_one_of(const char *path, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(path, list[i]) == 0) {
			return true;
		}
	}
	return false;
}

bool rules_special_path(const char *path)
{
	const char *rest;

	return rules_beneath(path, "/proc", &rest) || rules_beneath(path, "/sys", &rest) ||
	       rules_beneath(path, "/dev", &rest);
}

bool rules_never_path(const char *path, bool write)
{
	const char *rest;

	if (rules_beneath(path, "/proc", &rest)) {
		return write || !is_one_of(path, proc_files, sizeof(proc_files) / sizeof(proc_files[0]));
	}
	if (rules_beneath(path, "/dev", &rest)) {
		return !is_one_of(path, devices, sizeof(devices) / sizeof(devices[0]));
	}
	return write && rules_beneath(path, "/sys", &rest);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

bool rules_can_be_written(const char *path)
{
	size_t bytes = strlen(path);

	for (size_t i = 0; i < bytes; i++) {
		if ((unsigned char)path[i] < ' ' || path[i] == 0x7f) {
			return false;
		}
	}
	return bytes > 0 && path[0] == '/' && !is_blank(path[bytes - 1]);
}

/* ---- text in -------------------------------------------------------------------------------- */

struct parser {
	struct rules *r;
	unsigned int line;
	char *why;
	size_t why_bytes;
};

/* A word of the text: not ended by a NUL. */
struct word {
	const char *at;
	size_t bytes;
};

__attribute__((format(printf, 2, 3))) static int wrong(struct parser *p, const char *format, ...)
{
	va_list args;
	int n = snprintf(p->why, p->why_bytes, "line %u: ", p->line);

	if (n > 0 && (size_t)n < p->why_bytes) {
		va_start(args, format);
		vsnprintf(p->why + n, p->why_bytes - (size_t)n, format, args);
		va_end(args);
	}
	return -EINVAL;
}

/* For messages: a word as it is printed, cut. */
#define SHOWN(w) (int)((w).bytes < 60 ? (w).bytes : 60), (w).at

static bool is(struct word w, const char *text)
{
	return strlen(text) == w.bytes && memcmp(text, w.at, w.bytes) == 0;
}

static struct word next(struct word *line)
{
	while (line->bytes > 0 && is_blank(line->at[0])) {
		line->at++;
		line->bytes--;
	}
	struct word w = {line->at, 0};
	while (w.bytes < line->bytes && !is_blank(w.at[w.bytes])) {
		w.bytes++;
	}
	line->at += w.bytes;
	line->bytes -= w.bytes;
	return w;
}

/* What is left of the line, without blanks around it. */
static struct word remainder_of(struct word line)
{
	while (line.bytes > 0 && is_blank(line.at[0])) {
		line.at++;
		line.bytes--;
	}
	while (line.bytes > 0 && is_blank(line.at[line.bytes - 1])) {
		line.bytes--;
	}
	return line;
}

static void allow_class(struct rules *r, enum call_class class)
{
	for (long nr = 0; nr < CALLS; nr++) {
		if (class_of(nr) == class) {
			put(r->allowed, nr, true);
			put(r->denied, nr, false);
		}
	}
}

static bool has_dots(const char *path)
{
	for (const char *at = path; *at != '\0';) {
		size_t bytes = strcspn(at, "/");
		if (bytes == 2 && at[0] == '.' && at[1] == '.') {
			return true;
		}
		at += bytes + (at[bytes] == '/');
	}
	return false;
}

static int add_path(struct parser *p, struct word w, bool write)
{
	struct rules *r = p->r;
	char given[RULES_PATH_BYTES], path[RULES_PATH_BYTES];

	if (w.bytes == 0) {
		return wrong(p, "a path is missing");
	}
	if (w.bytes >= sizeof(given)) {
		return wrong(p, "a path is too long");
	}
	memcpy(given, w.at, w.bytes);
	given[w.bytes] = '\0';
	if (given[0] != '/') {
		return wrong(p, "%.*s: a path begins with /", SHOWN(w));
	}
	if (!rules_can_be_written(given)) {
		return wrong(p, "a path holds a control character");
	}
	if (has_dots(given)) {
		return wrong(p, "%.*s: a path may not hold ..", SHOWN(w));
	}
	if (rules_normal(path, "/", given) != 0) {
		return wrong(p, "a path is too long");
	}
	if (!rules_can_be_written(path)) {
		return wrong(p, "a path ends with a blank");
	}
	if (rules_never_path(path, write)) {
		return wrong(p, "%.*s: no policy can allow that", SHOWN(w));
	}
	size_t bytes = strlen(path);
	for (uint32_t i = 0; i < r->npaths; i++) {
		if (strcmp(r->text + r->paths[i].at, path) == 0) {
			r->paths[i].write = r->paths[i].write || write;
			return 0;
		}
	}
	if (r->npaths == RULES_PATHS || bytes + 1 > RULES_TEXT - r->text_bytes) {
		return wrong(p, "there are too many paths");
	}
	memcpy(r->text + r->text_bytes, path, bytes + 1);
	r->paths[r->npaths++] = (struct rules_path){.at = r->text_bytes, .bytes = (uint32_t)bytes, .write = write};
	r->text_bytes += (uint32_t)bytes + 1;
	return 0;
}

static int add_calls(struct parser *p, struct word line, bool allow)
{
	struct word w = next(&line);

	if (w.bytes == 0) {
		return wrong(p, "the name of a system call is missing");
	}
	for (; w.bytes > 0; w = next(&line)) {
		long nr = rules_call_number(w.at, w.bytes);
		if (nr < 0) {
			return wrong(p, "%.*s is not a system call", SHOWN(w));
		}
		enum call_class class = class_of(nr);
		bool possible = class != CLASS_NEVER && class != CLASS_GONE;
		if (allow && !possible) {
			return wrong(p, "%.*s: no policy can allow that", SHOWN(w));
		}
		if (possible) {
			put(p->r->allowed, nr, allow);
			put(p->r->denied, nr, !allow);
		}
	}
	return 0;
}

/* -ENOENT: there is none of that name. */
static int preset(struct parser *p, struct word w)
{
	static const char files[] = "files-ro:";
	const size_t front = sizeof(files) - 1;

	if (is(w, "pure")) {
		return 0;
	}
	if (is(w, "net-client")) {
		allow_class(p->r, CLASS_NET);
		allow_class(p->r, CLASS_LOCAL);
		p->r->net_files = true;
		return 0;
	}
	if (is(w, "files-ro")) {
		return wrong(p, "a path is missing: files-ro:PATH");
	}
	if (w.bytes < front || memcmp(w.at, files, front) != 0) {
		return -ENOENT;
	}
	w.at += front;
	w.bytes -= front;
	for (;;) {
		const char *colon = w.bytes > 0 ? memchr(w.at, ':', w.bytes) : NULL;
		struct word one = {w.at, colon != NULL ? (size_t)(colon - w.at) : w.bytes};
		int rc = add_path(p, one, false);
		if (rc != 0 || colon == NULL) {
			return rc;
		}
		w.bytes -= one.bytes + 1;
		w.at = colon + 1;
	}
}

static int parse_allow(struct parser *p, struct word line, bool allow)
{
	struct word w = next(&line);

	if (is(w, "call")) {
		return add_calls(p, line, allow);
	}
	if (allow && (is(w, "read") || is(w, "write"))) {
		return add_path(p, remainder_of(line), is(w, "write"));
	}
	if (w.bytes == 0) {
		return wrong(p, "allow what?");
	}
	return wrong(p, "%.*s: %s", SHOWN(w), allow ? "allow read, allow write or allow call" : "deny call");
}

static int parse_line(struct parser *p, struct word line)
{
	struct word whole = remainder_of(line), w = next(&line);
	int rc;

	if (w.bytes == 0 || w.at[0] == '#') {
		return 0;
	}
	if (is(w, "allow") || is(w, "deny")) {
		return parse_allow(p, line, is(w, "allow"));
	}
	if (is(w, "report")) {
		p->r->report = true;
		return next(&line).bytes == 0 ? 0 : wrong(p, "report stands alone");
	}
	if (is(w, "preset")) {
		whole = remainder_of(line);
		if (whole.bytes == 0) {
			return wrong(p, "the name of a preset is missing");
		}
	}
	rc = preset(p, whole); /* its name alone will do */
	return rc == -ENOENT ? wrong(p, "%.*s is not known", SHOWN(whole)) : rc;
}

int rules_parse(struct rules *out, const char *text, char *why, size_t why_bytes)
{
	struct parser p = {.r = out, .line = 1, .why = why, .why_bytes = why_bytes};

	memset(out, 0, sizeof(*out));
	allow_class(out, CLASS_ALWAYS);
	text = text == NULL ? "pure" : text;
	size_t left = strnlen(text, TEXT_MAX + 1);
	if (left > TEXT_MAX) {
		return wrong(&p, "the policy is longer than %d bytes", TEXT_MAX);
	}
	for (;; p.line++) {
		const char *end = memchr(text, '\n', left);
		struct word line = {text, end != NULL ? (size_t)(end - text) : left};
		int rc = parse_line(&p, line);
		if (rc != 0 || end == NULL) {
			return rc;
		}
		text += line.bytes + 1;
		left -= line.bytes + 1;
	}
}

/* ---- text out ------------------------------------------------------------------------------- */

struct printer {
	char *out;
	size_t bytes, used;
};

static void say(struct printer *p, const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n && p->used + i + 1 < p->bytes; i++) {
		p->out[p->used + i] = text[i];
	}
	p->used += n;
	if (p->bytes > 0) {
		p->out[p->used < p->bytes ? p->used : p->bytes - 1] = '\0';
	}
}

static void say_line(struct printer *p, const char *what, const char *rest)
{
	say(p, what);
	say(p, rest);
	say(p, "\n");
}

static bool is_named(const struct rules *r, const char *path)
{
	for (uint32_t i = 0; i < r->npaths; i++) {
		if (strcmp(r->text + r->paths[i].at, path) == 0) {
			return true;
		}
	}
	return false;
}

/* As many as a policy has room for. */
static void say_learned(struct printer *p, const struct rules *r, uint32_t paths)
{
	size_t bytes = r->text_bytes;
	bool all = !__atomic_load_n(&r->learned_more, __ATOMIC_RELAXED);

	for (size_t i = 0; i < RULES_LEARNED; i++) {
		const char *path = r->learned_paths[i].path;
		if (!rules_is_learned(r, i) || is_named(r, path)) {
			continue;
		}
		bytes += strlen(path) + 1;
		if (paths == RULES_PATHS || bytes > RULES_TEXT) {
			all = false;
			break;
		}
		say_line(p, "allow read ", path);
		paths++;
	}
	if (!all) {
		say(p, "# More files were read than there is room for here: allow their directories, and run it again.\n");
	}
}

size_t rules_print(const struct rules *r, char *out, size_t bytes)
{
	struct printer p = {out, bytes, 0};
	uint32_t paths = r->npaths;

	say(&p, "pure\n");
	for (uint32_t i = 0; i < r->npaths; i++) {
		say_line(&p, r->paths[i].write ? "allow write " : "allow read ", r->text + r->paths[i].at);
	}
	for (size_t i = 0; r->net_files && rules_net_files[i] != NULL; i++) {
		if (!is_named(r, rules_net_files[i])) {
			say_line(&p, "allow read ", rules_net_files[i]);
			paths++;
		}
	}
	say_learned(&p, r, paths);
	for (long nr = 0; nr < CALLS; nr++) {
		enum call_class class = class_of(nr);
		if (class == CLASS_ALWAYS && !has(r->allowed, nr)) {
			say_line(&p, "deny call ", calls[nr].name);
		} else if ((class == CLASS_LOCAL || class == CLASS_NET) &&
			   (has(r->allowed, nr) || has(r->learned, nr))) {
			say_line(&p, "allow call ", calls[nr].name);
		}
	}
	return p.used;
}
