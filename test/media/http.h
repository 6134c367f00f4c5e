// SPDX-License-Identifier: Apache-2.0
// A client that is as small as tests need: one request, one connection.
#ifndef LYCH_MEDIA_HTTP_H
#define LYCH_MEDIA_HTTP_H

#include <jansson.h>

#include <memory>
#include <string>

struct Answer {
	int status = 0; // 0: none came
	std::string type, body;
};

// To 127.0.0.1. seconds: after so long without a byte there is no answer.
Answer http(int port, const std::string &method, const std::string &path, const std::string &body = "", int seconds = 120);

using Json = std::unique_ptr<json_t, void (*)(json_t *)>;
// What text holds; a null where it is no JSON.
Json json_of(const std::string &text);
// A member of a member ..., "a.b.0": "" where there is none. Numbers and booleans as text.
std::string json_at(const json_t *value, const std::string &path);

// A port of 127.0.0.1 that nobody listens at.
int free_port();

#endif
