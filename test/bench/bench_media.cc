// SPDX-License-Identifier: Apache-2.0
// What a request to samples/media-server costs, in instructions, kernel and client included: for the PKU machine under instruction
// counting (./dev bench media), where rdtsc counts what is retired. Each library in a domain, a child for each upload, no isolation.
#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

#include <algorithm>
#include <string>
#include <vector>

#include "files.h"
#include "http.h"
#include "program.h"

namespace
{

const unsigned int kRuns = 5;

struct Request {
	const char *what, *path;
	std::string file;
};

struct Way {
	const char *what;
	std::vector<std::string> options;
};

uint64_t once(int port, const std::string &path, const std::string &file, int status)
{
	uint64_t start = __rdtsc();
	Answer answer = http(port, "POST", path, file);
	uint64_t n = __rdtsc() - start;
	if (answer.status != status) {
		fprintf(stderr, "bench_media: %s: %d %s\n", path.c_str(), answer.status, answer.body.c_str());
		exit(1);
	}
	return n;
}

uint64_t least(int port, const std::string &path, const std::string &file, int status)
{
	uint64_t best = UINT64_MAX;
	for (unsigned int i = 0; i < kRuns; i++) {
		best = std::min(best, once(port, path, file, status));
	}
	return best;
}

} // namespace

int main()
{
	const std::vector<Request> requests = {
		{"/inspect, JPEG of 64 x 64", "/inspect", jpeg_file(64, 64)},
		{"/thumbnail, PNG of 640 x 480", "/thumbnail", png_file(640, 480)},
		{"/thumbnail, JPEG of 640 x 480", "/thumbnail", jpeg_file(640, 480)},
		{"/thumbnail, WebP of 640 x 480", "/thumbnail", webp_file(640, 480)},
		{"/thumbnail, GIF of 640 x 480", "/thumbnail", gif_file(640, 480)},
		{"/wav, Vorbis of 0.2 seconds", "/wav", vorbis_file()},
	};
	const std::vector<Way> ways = {
		{"no isolation", {"--unprotected"}},
		{"a child for each upload", {"--fork"}},
		{"domains, reset after a fault only", {"--reset-every", "0"}},
		{"domains, reset after each upload", {"--reset-every", "1"}},
	};
	std::vector<std::vector<uint64_t>> cost(ways.size());
	std::vector<uint64_t> alone(requests.size());

	for (size_t w = 0; w < ways.size(); w++) {
		Program server;
		// Compared is what one asks for by name: the machine's demand for keys is not for that.
		int port = start_server(server, ways[w].options, w < 2 ? "LYCH_REQUIRE_PKU" : nullptr);
		if (port == 0) {
			fprintf(stderr, "bench_media: %s\n", server.said().c_str());
			return 1;
		}
		for (size_t r = 0; r < requests.size(); r++) {
			if (w == 0) {
				alone[r] = least(port, "/elsewhere", requests[r].file, 404);
			}
			cost[w].push_back(least(port, requests[r].path, requests[r].file, 200));
		}
	}
	printf("%-32s %12s", "request, thousands of instructions", "HTTP alone");
	for (const Way &way : ways) {
		printf(" | %33s", way.what);
	}
	printf("\n");
	for (size_t r = 0; r < requests.size(); r++) {
		printf("%-34s %12llu", requests[r].what, static_cast<unsigned long long>(alone[r] / 1000));
		for (size_t w = 0; w < ways.size(); w++) {
			printf(" | %21llu (%4.2f times)", static_cast<unsigned long long>(cost[w][r] / 1000),
			       static_cast<double>(cost[w][r]) / static_cast<double>(cost[0][r]));
		}
		printf("\n");
	}
	return 0;
}
