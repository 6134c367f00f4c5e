/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP server that reads what others upload, with libraries that nobody wrote for hostile files. One thread: requests
 * are answered one after another.
 *
 *	POST /inspect    what the file is, as JSON
 *	POST /thumbnail  a small PNG of it: of a picture, or of the wave of a sound
 *	POST /wav        a sound as WAV
 *	GET  /           the page; /state is what it shows, as JSON
 */
#include <argp.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "hostile.h"
#include "log.h"
#include "media.h"

/* page.S */
extern const char page_html[], page_html_end[], page_js[], page_js_end[], page_css[], page_css_end[];

struct settings {
	struct media_opts media;
	unsigned long port, max_upload;
	const char *listen, *secret;
};

/* ---- a secret: what a hostile file would want ------------------------------------------------------------------------ */

#define SECRET_MAX 64
static char secret_of_data[SECRET_MAX]; /* once here, once in the heap; and once where nobody writes, to compare with */
static char *secret_of_heap;
static const char *secret_kept;

static bool secret_begin(const char *given)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	secret_of_heap = malloc(SECRET_MAX);
	if (page == MAP_FAILED || secret_of_heap == NULL || getrandom(secret_of_data, SECRET_MAX, 0) != SECRET_MAX) {
		return false;
	}
	if (given != NULL) {
		(void)snprintf(secret_of_data, SECRET_MAX, "%s", given);
	}
	memcpy(secret_of_heap, secret_of_data, SECRET_MAX);
	memcpy(page, secret_of_data, SECRET_MAX);
	secret_kept = page;
	return mprotect(page, 4096, PROT_READ) == 0;
}

static bool secret_untouched(void)
{
	return memcmp(secret_of_data, secret_kept, SECRET_MAX) == 0 && memcmp(secret_of_heap, secret_kept, SECRET_MAX) == 0;
}

/* ---- answers ----------------------------------------------------------------------------------------------------------- */

/* body goes with the response: freed, or static. */
static enum MHD_Result answer(struct MHD_Connection *c, unsigned int status, const char *type, void *body, size_t bytes,
			      enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(bytes, body, mode);
	enum MHD_Result done;

	if (response == NULL) {
		return MHD_NO;
	}
	/* What comes out of a domain is what it wanted: nobody shall take a picture for a page. */
	(void)MHD_add_response_header(response, "Content-Type", type);
	(void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	(void)MHD_add_response_header(response, "Content-Security-Policy", "default-src 'self'; img-src 'self' blob:; frame-ancestors 'none'");
	(void)MHD_add_response_header(response, "Cache-Control", "no-store");
	done = MHD_queue_response(c, status, response);
	MHD_destroy_response(response);
	return done;
}

static enum MHD_Result answer_json(struct MHD_Connection *c, unsigned int status, json_t *value)
{
	char *text = value != NULL ? json_dumps(value, JSON_COMPACT) : NULL;

	json_decref(value);
	return text != NULL ? answer(c, status, "application/json", text, strlen(text), MHD_RESPMEM_MUST_FREE) : MHD_NO;
}

static enum MHD_Result answer_error(struct MHD_Connection *c, unsigned int status, const char *why)
{
	return answer_json(c, status, json_pack("{ss}", "error", why));
}

static enum MHD_Result answer_get(struct MHD_Connection *c, const char *path, const struct settings *settings)
{
	static const struct {
		const char *path, *type, *begin, *end;
	} files[] = {
		{"/", "text/html; charset=utf-8", page_html, page_html_end},
		{"/page.js", "text/javascript; charset=utf-8", page_js, page_js_end},
		{"/page.css", "text/css; charset=utf-8", page_css, page_css_end},
	};

	if (strcmp(path, "/state") == 0) {
		struct log_about about = {settings->media.way, secret_untouched(), settings->media.deadline_ms,
					  settings->media.reset_every};
		return answer_json(c, MHD_HTTP_OK, log_state(&about));
	}
	if (strcmp(path, "/cve-2023-45681.ogg") == 0) {
		size_t bytes = 0;
		uint8_t *file = hostile_vorbis(&bytes);
		return file != NULL ? answer(c, MHD_HTTP_OK, "application/octet-stream", file, bytes, MHD_RESPMEM_MUST_FREE) : MHD_NO;
	}
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		if (strcmp(path, files[i].path) == 0) {
			return answer(c, MHD_HTTP_OK, files[i].type, (void *)(uintptr_t)files[i].begin,
				      (size_t)(files[i].end - files[i].begin), MHD_RESPMEM_PERSISTENT);
		}
	}
	return answer_error(c, MHD_HTTP_NOT_FOUND, "no such page");
}

static unsigned int status_of(enum media_end end)
{
	switch (end) {
	case MEDIA_DONE:
		return MHD_HTTP_OK;
	case MEDIA_UNKNOWN:
		return MHD_HTTP_UNSUPPORTED_MEDIA_TYPE;
	case MEDIA_REFUSED:
	case MEDIA_FAULT:
		return MHD_HTTP_UNPROCESSABLE_CONTENT;
	case MEDIA_LATE:
		return MHD_HTTP_GATEWAY_TIMEOUT;
	default:
		return MHD_HTTP_INTERNAL_SERVER_ERROR;
	}
}

static json_t *facts(const struct media_result *r)
{
	return json_pack("{ss ss* sI sI sI sI sI ss}", "end", media_end_name(r->end), "format", r->format, "width", (json_int_t)r->width,
			 "height", (json_int_t)r->height, "rate", (json_int_t)r->rate, "channels", (json_int_t)r->channels, "frames",
			 (json_int_t)r->frames, "text", r->text);
}

static const char *const uploads[] = {[MEDIA_INSPECT] = "/inspect", [MEDIA_PICTURE] = "/thumbnail", [MEDIA_SOUND] = "/wav"};

static enum MHD_Result answer_upload(struct MHD_Connection *c, enum media_wish wish, const uint8_t *file, size_t bytes)
{
	struct media_result r;
	enum MHD_Result done;

	media_do(file, bytes, wish, &r);
	unsigned int status = status_of(r.end);
	uint64_t id = log_request(uploads[wish], bytes, status, &r);
	if (r.end != MEDIA_DONE) {
		/* The report has addresses in it: it is for the page. */
		done = answer_json(c, status, json_pack("{ss ss sI}", "end", media_end_name(r.end), "error", r.why, "request", (json_int_t)id));
	} else if (wish == MEDIA_INSPECT) {
		done = answer_json(c, status, facts(&r));
	} else {
		done = answer(c, status, wish == MEDIA_SOUND ? "audio/wav" : "image/png", r.out, r.out_bytes, MHD_RESPMEM_MUST_FREE);
		r.out = NULL;
	}
	media_forget(&r);
	return done;
}

/* ---- requests ---------------------------------------------------------------------------------------------------------- */

struct upload {
	uint8_t *bytes;
	size_t count, room;
	bool too_large;
};

static void upload_add(struct upload *u, const char *data, size_t count, size_t max)
{
	if (count > max - u->count) {
		u->too_large = true;
		return;
	}
	if (u->count + count > u->room) {
		size_t room = 2 * (u->count + count);
		uint8_t *bytes = realloc(u->bytes, room);

		if (bytes == NULL) {
			u->too_large = true;
			return;
		}
		u->bytes = bytes;
		u->room = room;
	}
	memcpy(u->bytes + u->count, data, count);
	u->count += count;
}

static void ended(void *ctx, struct MHD_Connection *c, void **mine, enum MHD_RequestTerminationCode code)
{
	struct upload *u = *mine;

	(void)ctx;
	(void)c;
	(void)code;
	if (u != NULL) {
		free(u->bytes);
		free(u);
		*mine = NULL;
	}
}

/* Called with the header, then with each part of the body, then without one. */
static enum MHD_Result handle(void *ctx, struct MHD_Connection *c, const char *path, const char *method, const char *version,
			      const char *data, size_t *bytes, void **mine)
{
	const struct settings *settings = ctx;
	struct upload *u = *mine;

	(void)version;
	if (strcmp(method, "GET") == 0) {
		return answer_get(c, path, settings);
	}
	if (strcmp(method, "POST") != 0) {
		return answer_error(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and POST only");
	}
	if (u == NULL) {
		*mine = calloc(1, sizeof(*u));
		return *mine != NULL ? MHD_YES : MHD_NO;
	}
	if (*bytes != 0) {
		upload_add(u, data, *bytes, settings->max_upload);
		*bytes = 0;
		return MHD_YES;
	}
	if (u->too_large) {
		return answer_error(c, MHD_HTTP_CONTENT_TOO_LARGE, "the file is too large");
	}
	for (int wish = MEDIA_INSPECT; wish <= MEDIA_SOUND; wish++) {
		if (strcmp(path, uploads[wish]) == 0) {
			return answer_upload(c, (enum media_wish)wish, u->bytes, u->count);
		}
	}
	return answer_error(c, MHD_HTTP_NOT_FOUND, "no such page");
}

/* ---- the program ------------------------------------------------------------------------------------------------------- */

enum { OPT_BACKEND = 256, OPT_UNPROTECTED, OPT_FORK, OPT_DEADLINE, OPT_RESET, OPT_MAX, OPT_SECRET };

static const struct argp_option options[] = {
	{"port", 'p', "PORT", 0, "listen there (8080); 0: any that is free", 0},
	{"listen", 'l', "ADDRESS", 0, "at this IPv4 address (127.0.0.1)", 0},
	{"backend", OPT_BACKEND, "pku|none", 0, "each library in a domain (pku), or none of them: for developers, on any machine", 0},
	{"unprotected", OPT_UNPROTECTED, NULL, 0, "call the libraries directly, to compare: the same as --backend none", 0},
	{"fork", OPT_FORK, NULL, 0, "call them directly in a child for each upload, to compare", 0},
	{"deadline", OPT_DEADLINE, "MS", 0, "for all calls of an upload together (2000)", 0},
	{"reset-every", OPT_RESET, "N", 0, "reset a domain after so many uploads (1); 0: after a fault only", 0},
	{"max-upload", OPT_MAX, "BYTES", 0, "refuse larger ones (4194304)", 0},
	{"secret", OPT_SECRET, "TEXT", 0, "keep this in memory: what no file may come to (random)", 0},
	{NULL, 0, NULL, 0, NULL, 0},
};

static unsigned long number(const char *text, unsigned long max, struct argp_state *state)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || n > max) {
		argp_error(state, "'%s' is not a number up to %lu", text, max);
	}
	return n;
}

static error_t option(int key, char *arg, struct argp_state *state)
{
	struct settings *s = state->input;

	switch (key) {
	case 'p':
		s->port = number(arg, 65535, state);
		return 0;
	case 'l':
		s->listen = arg;
		return 0;
	case OPT_BACKEND:
		if (strcmp(arg, "pku") != 0 && strcmp(arg, "none") != 0) {
			argp_error(state, "no backend '%s'", arg);
		}
		s->media.way = strcmp(arg, "pku") == 0 ? MEDIA_DOMAIN : MEDIA_NONE;
		return 0;
	case OPT_UNPROTECTED:
		s->media.way = MEDIA_NONE;
		return 0;
	case OPT_FORK:
		s->media.way = MEDIA_FORK;
		return 0;
	case OPT_DEADLINE:
		s->media.deadline_ms = (uint32_t)number(arg, 3600000, state);
		return 0;
	case OPT_RESET:
		s->media.reset_every = (uint32_t)number(arg, UINT32_MAX - 1, state);
		return 0;
	case OPT_MAX:
		s->max_upload = number(arg, 64ul << 20, state);
		return 0;
	case OPT_SECRET:
		s->secret = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "no arguments are taken: '%s'", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static volatile sig_atomic_t stop;
static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static int serve(struct settings *settings)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)settings->port)};
	struct MHD_Daemon *daemon;

	if (inet_pton(AF_INET, settings->listen, &at.sin_addr) != 1) {
		(void)fprintf(stderr, "media-server: '%s' is not an IPv4 address\n", settings->listen);
		return 2;
	}
	daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, (uint16_t)settings->port, NULL, NULL, handle, settings,
				  MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at, MHD_OPTION_NOTIFY_COMPLETED, ended, NULL,
				  MHD_OPTION_CONNECTION_LIMIT, 64u, MHD_OPTION_CONNECTION_TIMEOUT, 30u, MHD_OPTION_END);
	if (daemon == NULL) {
		(void)fprintf(stderr, "media-server: cannot listen at %s:%lu\n", settings->listen, settings->port);
		return 1;
	}
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
	printf("listening at http://%s:%u/ (backend %s, %s)\n", settings->listen, info != NULL ? info->port : 0, lych_backend_name(),
	       settings->media.way == MEDIA_DOMAIN ? "each library in a domain"
	       : settings->media.way == MEDIA_FORK ? "a child for each upload"
						   : "NO ISOLATION");
	(void)fflush(stdout);
	while (!stop) {
		(void)MHD_run_wait(daemon, 1000);
	}
	MHD_stop_daemon(daemon);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {options, option, NULL, "A server that reads what others upload, each library in a library domain.",
					 NULL, NULL, NULL};
	struct settings settings = {.media = {MEDIA_DOMAIN, 2000, 1}, .port = 8080, .max_upload = 4u << 20, .listen = "127.0.0.1"};
	const struct sigaction on_stop = {.sa_handler = on_signal};

	if (argp_parse(&argp, argc, argv, 0, NULL, &settings) != 0) {
		return 2;
	}
	if (!secret_begin(settings.secret)) {
		perror("media-server: a secret");
		return 1;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigaction(SIGINT, &on_stop, NULL);
	(void)sigaction(SIGTERM, &on_stop, NULL);
	int rc = media_start(&settings.media);
	if (rc != 0) {
		(void)fprintf(stderr, "media-server: %s: %s\n", lych_strerror(rc), lych_why());
		return 2;
	}
	log_begin();
	rc = serve(&settings);
	return media_stop() != 0 ? 1 : rc;
}
