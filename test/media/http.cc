// SPDX-License-Identifier: Apache-2.0
#include "http.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sstream>

static sockaddr_in address(int port)
{
	sockaddr_in at = {};
	at.sin_family = AF_INET;
	at.sin_port = htons(static_cast<uint16_t>(port));
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return at;
}

Answer http(int port, const std::string &method, const std::string &path, const std::string &body, int seconds)
{
	Answer answer;
	sockaddr_in at = address(port);
	timeval patience = {seconds, 0};
	std::string out = method + " " + path + " HTTP/1.1\r\nHost: localhost:" + std::to_string(port) +
			  "\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
			  "\r\n\r\n" + body;
	std::string in;
	char buffer[65536];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, reinterpret_cast<sockaddr *>(&at), sizeof(at)) == 0) {
		for (size_t n = 0; n < out.size();) {
			ssize_t put = send(fd, out.data() + n, out.size() - n, MSG_NOSIGNAL);
			if (put <= 0) {
				break; // the answer may have come before all was read
			}
			n += static_cast<size_t>(put);
		}
		// Not every server closes when it was asked to: as much is read as it says.
		size_t want = std::string::npos;
		for (ssize_t got; in.size() < want && (got = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
			in.append(buffer, static_cast<size_t>(got));
			size_t head = in.find("\r\n\r\n");
			const char *length = head != std::string::npos ? strcasestr(in.c_str(), "\r\nContent-Length:") : nullptr;
			if (length != nullptr && length < in.c_str() + head) {
				want = head + 4 + strtoul(length + 17, nullptr, 10);
			}
		}
	}
	close(fd);
	size_t head = in.find("\r\n\r\n");
	if (in.compare(0, 9, "HTTP/1.1 ") != 0 || head == std::string::npos) {
		return answer;
	}
	answer.status = atoi(in.c_str() + 9);
	answer.body = in.substr(head + 4);
	std::istringstream lines(in.substr(0, head));
	for (std::string line; std::getline(lines, line);) {
		if (strncasecmp(line.c_str(), "Content-Type: ", 14) == 0) {
			answer.type = line.substr(14, line.find_last_not_of('\r') - 13);
		}
	}
	return answer;
}

Json json_of(const std::string &text)
{
	json_error_t error;
	return Json(json_loadb(text.data(), text.size(), JSON_DECODE_ANY, &error), json_decref);
}

std::string json_at(const json_t *value, const std::string &path)
{
	std::istringstream names(path);
	for (std::string name; value != nullptr && std::getline(names, name, '.');) {
		value = json_is_array(value) ? json_array_get(value, strtoul(name.c_str(), nullptr, 10)) : json_object_get(value, name.c_str());
	}
	if (json_is_string(value)) {
		return json_string_value(value);
	}
	if (json_is_integer(value)) {
		return std::to_string(json_integer_value(value));
	}
	return json_is_true(value) ? "true" : json_is_false(value) ? "false" : "";
}

int free_port()
{
	sockaddr_in at = address(0);
	socklen_t bytes = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;

	if (bind(fd, reinterpret_cast<sockaddr *>(&at), sizeof(at)) == 0 &&
	    getsockname(fd, reinterpret_cast<sockaddr *>(&at), &bytes) == 0) {
		port = ntohs(at.sin_port);
	}
	close(fd);
	return port;
}
