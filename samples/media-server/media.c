/* SPDX-License-Identifier: Apache-2.0 */
/* Which library reads an upload, what came of it, and when a domain becomes what it was in the beginning. */
#include "media.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "decode.h"

struct library {
	const char *format, *soname;
	int (*begin)(struct lych_domain *domain);
	int (*read)(struct job *job);
	struct lych_domain *domain;
	uint32_t uploads; /* that it took part in since it was reset */
	bool spoilt;      /* it must be reset before it is used again */
};

enum { PNG, JPEG, WEBP, GIF, VORBIS, LIBRARIES };

static struct library libraries[LIBRARIES] = {
	[PNG] = {"png", "libpng16.so.16", png_begin, png_read, NULL, 0, false},
	[JPEG] = {"jpeg", "libturbojpeg.so.0", jpeg_begin, jpeg_read, NULL, 0, false},
	[WEBP] = {"webp", "libwebp.so.7", webp_begin, webp_read, NULL, 0, false},
	[GIF] = {"gif", "libgif.so.7", gif_begin, gif_read, NULL, 0, false},
	[VORBIS] = {"vorbis", "libstb.so.0", vorbis_begin, vorbis_read, NULL, 0, false},
};
static struct media_opts how;
static uint64_t resets;

static struct library *library_for(const uint8_t *file, size_t bytes)
{
	if (bytes >= 8 && memcmp(file, "\x89PNG\r\n\x1a\n", 8) == 0) {
		return &libraries[PNG];
	}
	if (bytes >= 3 && memcmp(file, "\xff\xd8\xff", 3) == 0) {
		return &libraries[JPEG];
	}
	if (bytes >= 12 && memcmp(file, "RIFF", 4) == 0 && memcmp(file + 8, "WEBP", 4) == 0) {
		return &libraries[WEBP];
	}
	if (bytes >= 6 && (memcmp(file, "GIF87a", 6) == 0 || memcmp(file, "GIF89a", 6) == 0)) {
		return &libraries[GIF];
	}
	return bytes >= 4 && memcmp(file, "OggS", 4) == 0 ? &libraries[VORBIS] : NULL;
}

int media_start(const struct media_opts *opts)
{
	enum lych_backend backend = opts->way == MEDIA_DOMAIN ? LYCH_PKU : LYCH_NONE;
	int rc = lych_init(LYCH_OPTS(struct lych_init_opts, .backend = backend));

	how = *opts;
	for (unsigned int i = 0; rc == 0 && i < LIBRARIES; i++) {
		struct library *l = &libraries[i];
		/* Decoders need memory and nothing else. No threads: what the host has copied nobody changes meanwhile, and no
		 * call is made when none is in progress. */
		rc = lych_open(&l->domain, l->soname,
			       LYCH_OPTS(struct lych_library_opts, .name = l->format, .heap_bytes = (size_t)256 << 20, .policy = "pure",
					 .threads = UINT32_MAX, .callbacks = 4));
		rc = rc != 0 ? rc : l->begin(l->domain);
	}
	return rc;
}

int media_stop(void)
{
	int failed = 0;

	for (unsigned int i = 0; i < LIBRARIES; i++) {
		int rc = lych_domain_free(libraries[i].domain);

		failed = failed != 0 ? failed : rc;
		libraries[i].domain = NULL;
	}
	return failed;
}

struct lych_domain *media_domain(const char *format)
{
	for (unsigned int i = 0; i < LIBRARIES; i++) {
		if (strcmp(libraries[i].format, format) == 0) {
			return libraries[i].domain;
		}
	}
	return NULL;
}

uint64_t media_resets(void)
{
	return resets;
}

static int ready(struct library *l)
{
	if (l->spoilt) {
		int rc = lych_domain_reset(l->domain);

		if (rc != 0) {
			return rc;
		}
		l->spoilt = false;
		l->uploads = 0;
		resets++;
	}
	l->uploads++;
	return 0;
}

/* What the runtime tells about the last fault: as text, with the names of functions as long as the domain is as it was. */
static char *report_of(struct lych_domain *domain)
{
	int fd = memfd_create("report", MFD_CLOEXEC);
	char *text = NULL;
	off_t bytes = 0;

	if (fd < 0) {
		return NULL;
	}
	if (lych_fault_print(lych_fault(domain), fd) == 0) {
		bytes = lseek(fd, 0, SEEK_CUR);
		text = bytes > 0 && bytes < 1 << 20 ? calloc(1, (size_t)bytes + 1) : NULL;
	}
	if (text != NULL && pread(fd, text, (size_t)bytes, 0) != bytes) {
		free(text);
		text = NULL;
	}
	(void)close(fd);
	return text;
}

/* rc of a decoder as the end of an upload. */
static void judge(struct job *job, struct library *l, int rc)
{
	struct media_result *r = job->result;

	switch (rc) {
	case 0:
		r->end = MEDIA_DONE;
		return;
	case -EBADMSG:
	case -EFBIG:
		r->end = MEDIA_REFUSED;
		return;
	case -ETIMEDOUT:
		r->end = MEDIA_LATE;
		(void)snprintf(r->why, sizeof(r->why), "%s was not ready in %u ms", l->soname, how.deadline_ms);
		r->report = report_of(l->domain);
		break;
	case -EFAULT:
		r->end = MEDIA_FAULT;
		(void)snprintf(r->why, sizeof(r->why), "%s: %s", l->soname, lych_fault_kind_name(lych_fault(l->domain)->kind));
		r->report = report_of(l->domain);
		break;
	case -EPROTO:
		r->end = MEDIA_FAULT;
		(void)snprintf(r->why, sizeof(r->why), "%s gave back what cannot be", l->soname);
		break;
	default:
		r->end = MEDIA_FAILED;
		(void)snprintf(r->why, sizeof(r->why), "%s: %s", l->soname, lych_strerror(rc));
	}
	l->spoilt = true;
}

/* Nothing that an upload did is there when as many have been as the options say: not all that goes wrong is noticed. */
static void after(struct library *l)
{
	if (how.way == MEDIA_DOMAIN && how.reset_every != 0 && l->uploads >= how.reset_every) {
		l->spoilt = true;
	}
	if (how.way != MEDIA_DOMAIN) {
		l->spoilt = false; /* there is nothing to go back to */
	} else if (l->spoilt && lych_domain_reset(l->domain) == 0) {
		l->spoilt = false;
		l->uploads = 0;
		resets++;
	}
}

static void perform(struct library *l, const uint8_t *file, size_t bytes, enum media_wish wish, struct media_result *result)
{
	struct library *png = &libraries[PNG];
	struct job job = {.domain = l->domain, .file = file, .bytes = bytes, .wish = wish, .result = result};
	struct timespec t;
	struct library *writer = NULL;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	job.ends_ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec + (uint64_t)how.deadline_ms * 1000000;
	int rc = ready(l);
	judge(&job, l, rc != 0 ? rc : l->read(&job));
	job_free_blocks(&job);
	if (result->end == MEDIA_DONE && job.picture != NULL) {
		writer = l != png ? png : NULL;
		job.domain = png->domain;
		rc = writer != NULL ? ready(writer) : 0;
		judge(&job, png, rc != 0 ? rc : png_write(&job));
	}
	free(job.picture);
	after(l);
	if (writer != NULL) {
		after(writer);
	}
}

/* ---- a child for each upload ---------------------------------------------------------------------------------------- */

/* What a child hands over. It may have been taken over: nothing of it is believed. */
struct wire {
	uint32_t end, width, height, rate, channels;
	uint64_t frames, out_bytes;
	char text[160], why[192];
};

#define WIRE_OUT_MAX ((uint64_t)44 + 2 * MEDIA_SAMPLES)

static bool write_all(int fd, const void *from, size_t bytes)
{
	for (size_t n = 0; n < bytes;) {
		ssize_t put = write(fd, (const char *)from + n, bytes - n);
		if (put <= 0) {
			return false;
		}
		n += (size_t)put;
	}
	return true;
}

static bool read_all(int fd, void *to, size_t bytes)
{
	for (size_t n = 0; n < bytes;) {
		ssize_t got = read(fd, (char *)to + n, bytes - n);
		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got <= 0) {
			return false;
		}
		n += (size_t)got;
	}
	return true;
}

static void __attribute__((noreturn)) child(int fd, struct library *l, const uint8_t *file, size_t bytes, enum media_wish wish)
{
	struct itimerval time = {.it_value = {how.deadline_ms / 1000, how.deadline_ms % 1000 * 1000}};
	struct media_result r = {0};
	struct wire wire = {0};

	(void)signal(SIGALRM, SIG_DFL);
	(void)setitimer(ITIMER_REAL, &time, NULL);
	perform(l, file, bytes, wish, &r);
	wire = (struct wire){r.end, r.width, r.height, r.rate, r.channels, r.frames, r.out_bytes, "", ""};
	memcpy(wire.text, r.text, sizeof(wire.text));
	memcpy(wire.why, r.why, sizeof(wire.why));
	_exit(!write_all(fd, &wire, sizeof(wire)) || !write_all(fd, r.out, r.out_bytes));
}

static bool receive(int fd, struct media_result *r)
{
	struct wire w;

	if (!read_all(fd, &w, sizeof(w)) || w.end > MEDIA_FAILED || w.out_bytes > WIRE_OUT_MAX) {
		return false;
	}
	if (w.out_bytes != 0) {
		r->out = malloc(w.out_bytes);
		r->out_bytes = w.out_bytes;
		if (r->out == NULL || !read_all(fd, r->out, w.out_bytes)) {
			free(r->out);
			r->out = NULL;
			r->out_bytes = 0;
			return false;
		}
	}
	r->end = w.end;
	r->width = w.width;
	r->height = w.height;
	r->rate = w.rate;
	r->channels = w.channels;
	r->frames = w.frames;
	job_print(r->text, sizeof(r->text), w.text, sizeof(w.text));
	job_print(r->why, sizeof(r->why), w.why, sizeof(w.why));
	return true;
}

static void perform_in_child(struct library *l, const uint8_t *file, size_t bytes, enum media_wish wish, struct media_result *r)
{
	int ends[2] = {-1, -1}, status = 0;
	bool received = false;
	pid_t pid = pipe(ends) == 0 ? fork() : -1;

	if (pid == 0) {
		child(ends[1], l, file, bytes, wish);
	}
	if (pid > 0) {
		(void)close(ends[1]);
		received = receive(ends[0], r);
		(void)close(ends[0]);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
		}
	}
	if (!received) {
		r->end = MEDIA_FAILED;
		(void)snprintf(r->why, sizeof(r->why), "no answer from a child");
		if (pid > 0 && WIFSIGNALED(status)) {
			r->end = WTERMSIG(status) == SIGALRM ? MEDIA_LATE : MEDIA_FAULT;
			(void)snprintf(r->why, sizeof(r->why), "a child ended by signal %d", WTERMSIG(status));
		}
	}
}

/* ---------------------------------------------------------------------------------------------------------------------- */

void media_do(const uint8_t *file, size_t bytes, enum media_wish wish, struct media_result *result)
{
	struct library *l = library_for(file, bytes);

	memset(result, 0, sizeof(*result));
	if (l == NULL || (wish == MEDIA_SOUND && l != &libraries[VORBIS])) {
		result->end = MEDIA_UNKNOWN;
		(void)snprintf(result->why, sizeof(result->why), "%s",
			       l == NULL ? "not a PNG, JPEG, WebP, GIF or Ogg file" : "not a sound");
		return;
	}
	result->format = l->format;
	if (how.way == MEDIA_FORK) {
		perform_in_child(l, file, bytes, wish, result);
	} else {
		perform(l, file, bytes, wish, result);
	}
	if (result->end != MEDIA_DONE) {
		free(result->out);
		result->out = NULL;
		result->out_bytes = 0;
	}
}

void media_forget(struct media_result *result)
{
	free(result->report);
	free(result->out);
	memset(result, 0, sizeof(*result));
}

const char *media_way_name(enum media_way way)
{
	return way == MEDIA_DOMAIN ? "domain" : way == MEDIA_FORK ? "fork" : "none";
}

const char *media_end_name(enum media_end end)
{
	static const char *const names[] = {"done", "unknown", "refused", "fault", "late", "failed"};

	return names[end];
}
