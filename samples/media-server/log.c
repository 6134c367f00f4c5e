/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REQUESTS 40
#define REPORTS 8

struct request {
	uint64_t id;
	const char *path, *format;
	size_t bytes;
	unsigned int status;
	enum media_end end;
	char text[160], why[192];
};

struct report {
	uint64_t request;
	const char *format;
	char *text;
};

static struct request requests[REQUESTS];
static struct report reports[REPORTS];
static uint64_t nrequests, nreports, ends[MEDIA_FAILED + 1];
static time_t started;

void log_begin(void)
{
	started = time(NULL);
}

uint64_t log_request(const char *path, size_t bytes, unsigned int status, const struct media_result *result)
{
	struct request *r = &requests[nrequests++ % REQUESTS];

	*r = (struct request){nrequests, path, result->format, bytes, status, result->end, "", ""};
	memcpy(r->text, result->text, sizeof(r->text));
	memcpy(r->why, result->why, sizeof(r->why));
	ends[result->end]++;
	if (result->report != NULL) {
		struct report *p = &reports[nreports++ % REPORTS];

		free(p->text);
		*p = (struct report){nrequests, result->format, strdup(result->report)};
	}
	return nrequests;
}

static json_t *state_of_requests(void)
{
	json_t *list = json_array();

	for (uint64_t i = nrequests; i > 0 && i + REQUESTS > nrequests; i--) {
		const struct request *r = &requests[(i - 1) % REQUESTS];
		(void)json_array_append_new(list, json_pack("{sI ss ss* sI si ss ss ss}", "id", (json_int_t)r->id, "path", r->path,
							    "format", r->format, "bytes", (json_int_t)r->bytes, "status", (int)r->status,
							    "end", media_end_name(r->end), "text", r->text, "why", r->why));
	}
	return list;
}

static json_t *state_of_reports(void)
{
	json_t *list = json_array();

	for (uint64_t i = nreports; i > 0 && i + REPORTS > nreports; i--) {
		const struct report *r = &reports[(i - 1) % REPORTS];
		(void)json_array_append_new(list, json_pack("{sI ss ss*}", "request", (json_int_t)r->request, "format", r->format, "text",
							    r->text));
	}
	return list;
}

json_t *log_state(const struct log_about *about)
{
	json_t *counts = json_object();

	for (int i = 0; i <= MEDIA_FAILED; i++) {
		(void)json_object_set_new(counts, media_end_name((enum media_end)i), json_integer((json_int_t)ends[i]));
	}
	(void)json_object_set_new(counts, "requests", json_integer((json_int_t)nrequests));
	(void)json_object_set_new(counts, "reports", json_integer((json_int_t)nreports));
	(void)json_object_set_new(counts, "resets", json_integer((json_int_t)media_resets()));
	return json_pack("{ss ss sb si sI ss si si so so so}", "backend", lych_backend_name(), "way", media_way_name(about->way),
			 "isolated", (int)(about->way == MEDIA_DOMAIN), "pid", (int)getpid(), "started", (json_int_t)started, "secret",
			 about->secret_untouched ? "untouched" : "CHANGED", "deadline_ms", (int)about->deadline_ms, "reset_every",
			 (int)about->reset_every, "counts", counts, "requests", state_of_requests(), "reports", state_of_reports());
}
