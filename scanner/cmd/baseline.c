/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "baseline.h"
#include "cmd.h"

#define HEADER "# lychgate baseline 1"
#define BYTES_MAX ((size_t)16 << 20)

struct baseline {
	const char *path;
	bool exists;
	dev_t dev;
	ino_t ino;
	mode_t mode;
	struct buf text;   /* of the file, NUL after each key */
	const char **keys; /* sorted */
	size_t nkeys;
	struct buf lines; /* collected */
};

void baseline_key(struct buf *out, const struct lych_finding *f)
{
	if (f->off == LYCH_NO_OFFSET) {
		return;
	}
	buf_printf(out, "%s 0x%" PRIx64 " ", lych_class_name(f->cls), f->off);
	if (f->build_id_len != 0) {
		buf_str(out, "build-id:");
		buf_hex(out, f->build_id, f->build_id_len);
	} else {
		buf_str(out, "path:");
		buf_name(out, f->path);
	}
	if (f->member[0] != '\0') {
		buf_str(out, "(");
		buf_name(out, f->member);
		buf_str(out, ")");
	}
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* CLASS 0xOFFSET build-id:... or path:... */
static bool valid_key(const char *key)
{
	size_t len = strcspn(key, " ");
	const char *p = key + len;
	uint64_t offset;
	char number[24];
	bool known = false;

	for (size_t i = 0; i < LYCH_CLASS_COUNT; i++) {
		const char *name = lych_class_name((enum lych_class)i);

		known = known || (strlen(name) == len && memcmp(name, key, len) == 0);
	}
	if (!known || strncmp(p, " 0x", 3) != 0) {
		return false;
	}
	p += 3;
	len = strcspn(p, " ");
	if (len >= sizeof(number)) {
		return false;
	}
	memcpy(number, p, len);
	number[len] = '\0';
	if (cmd_address_parse(&offset, number) != 0 || p[len] != ' ') {
		return false;
	}
	p += len + 1;
	return (strncmp(p, "build-id:", 9) == 0 && p[9] != '\0') ||
	       (strncmp(p, "path:", 5) == 0 && p[5] != '\0');
}

static int parse(struct baseline *baseline)
{
	char *line = baseline->text.data;
	size_t number = 1;

	/* An empty file, as mktemp leaves it, is an empty baseline. */
	if (line == NULL) {
		return 0;
	}
	buf_add(&baseline->text, "", 1);
	if (baseline->text.failed) {
		return -ENOMEM;
	}
	line = baseline->text.data;
	if (strlen(line) + 1 != baseline->text.len || strncmp(line, HEADER, strlen(HEADER)) != 0 ||
	    strchr("\r\n", line[strlen(HEADER)]) == NULL) {
		cmd_error("%s: not a baseline: it does not begin with `%s'", baseline->path,
			  HEADER);
		return -EBADMSG;
	}
	for (size_t lines = 1; *line != '\0'; number++) {
		size_t len = strcspn(line, "\n");
		char *next = line + len + (line[len] == '\n');

		line[len] = '\0';
		line[strcspn(line, "\t\r")] = '\0';
		if (line[0] != '#' && line[0] != '\0') {
			if (!valid_key(line)) {
				cmd_error("%s:%zu: not a line of a baseline", baseline->path,
					  number);
				return -EBADMSG;
			}
			if (baseline->nkeys + 1 == lines) {
				const char **keys =
					reallocarray(baseline->keys, lines * 2, sizeof(*keys));

				if (keys == NULL) {
					return -ENOMEM;
				}
				baseline->keys = keys;
				lines *= 2;
			}
			baseline->keys[baseline->nkeys++] = line;
		}
		line = next;
	}
	if (baseline->nkeys > 1) {
		qsort(baseline->keys, baseline->nkeys, sizeof(*baseline->keys), compare_keys);
	}
	return 0;
}

static int read_file(struct baseline *baseline, bool may_be_missing)
{
	/* O_NONBLOCK: a FIFO must not make us wait for somebody to write it. */
	int fd = open(baseline->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char chunk[16384];
	struct stat st;
	ssize_t n = -1;
	int rc = 0;

	if (fd < 0) {
		return errno == ENOENT && may_be_missing ? 0 : -errno;
	}
	if (fstat(fd, &st) != 0) {
		rc = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		rc = S_ISDIR(st.st_mode) ? -EISDIR : -ENOTSUP;
	} else {
		baseline->exists = true;
		baseline->dev = st.st_dev;
		baseline->ino = st.st_ino;
		baseline->mode = st.st_mode;
	}
	while (rc == 0 && (n = read(fd, chunk, sizeof(chunk))) > 0) {
		buf_add(&baseline->text, chunk, (size_t)n);
		if (baseline->text.failed) {
			rc = -ENOMEM;
		} else if (baseline->text.len > BYTES_MAX) {
			rc = -EFBIG;
		}
	}
	if (rc == 0 && n < 0) {
		rc = -errno;
	}
	close(fd);
	return rc;
}

int baseline_load(struct baseline **out, const char *path, bool may_be_missing)
{
	struct baseline *baseline = calloc(1, sizeof(*baseline));
	int rc;

	*out = NULL;
	if (baseline == NULL) {
		return -ENOMEM;
	}
	baseline->path = path;
	rc = read_file(baseline, may_be_missing);
	if (rc != 0) {
		cmd_error("baseline %s: %s", path, cmd_strerror(rc));
	} else {
		rc = parse(baseline);
	}
	if (rc != 0) {
		baseline_free(baseline);
		return rc;
	}
	*out = baseline;
	return 0;
}

void baseline_free(struct baseline *baseline)
{
	if (baseline != NULL) {
		buf_free(&baseline->text);
		buf_free(&baseline->lines);
		free(baseline->keys);
		free(baseline);
	}
}

bool baseline_knows(const struct baseline *baseline, const char *key)
{
	return key[0] != '\0' && baseline->nkeys != 0 &&
	       bsearch(&key, baseline->keys, baseline->nkeys, sizeof(*baseline->keys),
		       compare_keys) != NULL;
}

bool baseline_is(const struct baseline *baseline, const struct stat *st)
{
	return baseline->exists && baseline->dev == st->st_dev && baseline->ino == st->st_ino;
}

int baseline_collect(struct baseline *baseline, const struct buf *lines)
{
	if (baseline->lines.len + lines->len > BYTES_MAX) {
		return -EFBIG;
	}
	buf_add(&baseline->lines, lines->data, lines->len);
	return baseline->lines.failed ? -ENOMEM : 0;
}

/* Sorted and without repetitions, so that two baselines can be compared line by line. */
static int write_lines(struct baseline *baseline, FILE *file, size_t *count)
{
	char *text = baseline->lines.data;
	const char **lines;
	const char *before = NULL;
	size_t n = 0;

	*count = 0;
	fprintf(file,
		"%s\n# class, file offset and identity of findings that lychgate scan need not "
		"fail for\n",
		HEADER);
	for (size_t i = 0; i < baseline->lines.len; i++) {
		n += text[i] == '\n';
	}
	lines = calloc(n + 1, sizeof(*lines));
	if (lines == NULL) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		char *end = strchr(text, '\n');

		*end = '\0';
		lines[i] = text;
		text = end + 1;
	}
	qsort(lines, n, sizeof(*lines), compare_keys);
	for (size_t i = 0; i < n; i++) {
		size_t len = strcspn(lines[i], "\t");

		/* The same library under two names is one finding. */
		if (before == NULL || strcspn(before, "\t") != len ||
		    memcmp(before, lines[i], len) != 0) {
			fprintf(file, "%s\n", lines[i]);
			(*count)++;
		}
		before = lines[i];
	}
	free(lines);
	return 0;
}

static mode_t new_file_mode(const struct baseline *baseline)
{
	mode_t mask = umask(0);

	umask(mask);
	return baseline->exists ? baseline->mode & 0777 : 0666 & ~mask;
}

int baseline_write(struct baseline *baseline, size_t *count)
{
	char *target = realpath(baseline->path, NULL); /* the file, not a link that leads to it */
	const char *path = target != NULL ? target : baseline->path;
	char *temporary = NULL;
	FILE *file = NULL;
	int rc = 0;
	int fd = -1;

	if (baseline->exists && !S_ISREG(baseline->mode)) {
		rc = -ENOTSUP;
		goto out;
	}
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
		temporary = NULL;
		rc = -ENOMEM;
		goto out;
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (file == NULL) {
		rc = -errno;
		if (fd >= 0) {
			close(fd);
			unlink(temporary);
		}
		goto out;
	}
	rc = write_lines(baseline, file, count);
	if (rc == 0 &&
	    (fchmod(fd, new_file_mode(baseline)) != 0 || fflush(file) != 0 || fsync(fd) != 0)) {
		rc = -errno;
	}
	if (fclose(file) != 0 && rc == 0) {
		rc = -errno;
	}
	if (rc == 0 && rename(temporary, path) != 0) {
		rc = -errno;
	}
	if (rc != 0) {
		unlink(temporary);
	}
out:
	free(temporary);
	free(target);
	return rc;
}
