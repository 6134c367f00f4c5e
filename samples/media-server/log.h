/* SPDX-License-Identifier: Apache-2.0 */
/* What the page shows: the last requests, the last reports, how often what came to pass. Not thread-safe. */
#ifndef LOG_H
#define LOG_H

#include <jansson.h>

#include "media.h"

struct log_about {
	enum media_way way;
	bool secret_untouched;
	uint32_t deadline_ms, reset_every;
};

void log_begin(void);
/* path is one of the server's own. Returns the request's number. */
uint64_t log_request(const char *path, size_t bytes, unsigned int status, const struct media_result *result);
/* Everything, for the page. The caller owns it; NULL: no memory. */
json_t *log_state(const struct log_about *about);

#endif
