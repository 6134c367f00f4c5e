// SPDX-License-Identifier: Apache-2.0
// The media server with keys: hostile files end requests, never the server, and leave nothing behind.
#include "files.h"
#include "http.h"
#include "in_child.h"
#include "media.h"
#include "needs_pku.h"
#include "program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <map>

#include "hostile_files.h"
#include "seed.h"

namespace
{

using testing::HasSubstr;

const char kSecret[] = "the-secret-of-the-media-server-4711";
// No good file takes as long, on no machine; the hostile one would take minutes in this one.
const char kDeadline[] = "10000";

std::string scans()
{
	size_t bytes = 0;
	uint8_t *file = hostile_jpeg(&bytes, 1 << 20);
	return made(file, bytes);
}

class ProtectedMediaServer : public NeedsPku
{
      protected:
	void begin(std::vector<std::string> options = {})
	{
		options.insert(options.end(), {"--deadline", kDeadline, "--secret", kSecret});
		port = start_server(server, options);
		ASSERT_NE(port, 0) << server.said();
		EXPECT_THAT(server.said(), HasSubstr("backend pku, each library in a domain"));
	}
	Answer post(const std::string &path, const std::string &file)
	{
		Answer answer = http(port, "POST", path, file);
		EXPECT_EQ(answer.body.find(kSecret), std::string::npos);
		return answer;
	}
	std::string state(const std::string &path) { return json_at(json_of(http(port, "GET", "/state").body).get(), path); }
	Program server;
	int port = 0;
};

// What is changed in a domain without anybody noticing, as an overflow changes it that hits what nobody looks at: a variable of
// its environment stands for that. Is it still there after a good upload?
LYCH_SYM(webp, setenv, int, (const char *, const char *, int));
LYCH_SYM(webp, getenv, char *, (const char *));
bool stays_after_an_upload(uint32_t reset_every)
{
	media_opts opts = {MEDIA_DOMAIN, 10000, reset_every};
	media_result result;
	const std::string file = webp_file(8, 8);
	char *value = nullptr;
	int failed = -1;

	EXPECT_EQ(media_start(&opts), 0) << lych_why();
	lych_domain *webp = media_domain("webp");
	char *name = lych_strdup(webp, "TAKEN");
	EXPECT_EQ(LYCH_CALL(webp, &failed, setenv, name, name, 1), 0);
	EXPECT_EQ(LYCH_CALL(webp, &value, getenv, name), 0);
	EXPECT_TRUE(failed == 0 && value != nullptr);
	media_do(reinterpret_cast<const uint8_t *>(file.data()), file.size(), MEDIA_INSPECT, &result);
	EXPECT_TRUE(result.end == MEDIA_DONE && result.width == 8) << result.why;
	media_forget(&result);
	name = lych_strdup(webp, "TAKEN");
	EXPECT_EQ(LYCH_CALL(webp, &value, getenv, name), 0);
	EXPECT_EQ(media_stop(), 0);
	return value != nullptr;
}

} // namespace

TEST_F(ProtectedMediaServer, KeepsNothingOfAnUploadForTheNext)
{
	in_child([] { EXPECT_FALSE(stays_after_an_upload(1)); });
}

// The control: without the reset it is there.
TEST_F(ProtectedMediaServer, KeepsWhatNobodyNoticedWhenItIsTold)
{
	in_child([] { EXPECT_TRUE(stays_after_an_upload(0)); });
}

TEST_F(ProtectedMediaServer, AnswersTheNextRequestAfterTheHostileFile)
{
	ASSERT_NO_FATAL_FAILURE(begin());
	std::string pid = state("pid"), good = post("/wav", vorbis_file()).body;
	ASSERT_EQ(good.size(), 44u + 2 * 4410);
	for (int i = 0; i < 3; i++) {
		Answer answer = post("/inspect", cve());
		EXPECT_EQ(answer.status, 422);
		EXPECT_THAT(answer.body, HasSubstr("libstb.so.0: abort"));
		EXPECT_EQ(post("/wav", vorbis_file()).body, good);
	}
	std::string report = state("reports.0.text");
	EXPECT_THAT(report, HasSubstr("abort in domain \"vorbis\", called as stb_vorbis_open_memory"));
	// The frames: out of malloc's check, by way of the function that wrote too far, to the one that was called.
	EXPECT_THAT(report, testing::ContainsRegex("abort\\+0x[0-9a-f]+ in libc"));
	EXPECT_THAT(report, testing::ContainsRegex("libstb.so.0.*stb_vorbis_open_memory\\+0x[0-9a-f]+ in libstb"));
	EXPECT_EQ(state("counts.fault"), "3");
	EXPECT_EQ(state("pid"), pid);
	EXPECT_EQ(state("secret"), "untouched");
}

TEST_F(ProtectedMediaServer, ResetsADomainAfterEachUploadAndAfterAFaultAnyway)
{
	ASSERT_NO_FATAL_FAILURE(begin({"--reset-every", "3"}));
	EXPECT_EQ(state("counts.resets"), "0");
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(state("counts.resets"), "0");
		post("/inspect", gif_file(5, 5));
	}
	EXPECT_EQ(state("counts.resets"), "1");
	post("/inspect", cve());
	EXPECT_EQ(state("counts.resets"), "2");
	// The PNG of a PNG is made in the same domain: that is one upload.
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(state("counts.resets"), "2");
		post("/thumbnail", png_file(5, 5));
	}
	EXPECT_EQ(state("counts.resets"), "3");
	server.end(SIGTERM);
	Program other;
	port = start_server(other, {"--deadline", kDeadline, "--secret", kSecret});
	ASSERT_NE(port, 0);
	post("/inspect", gif_file(5, 5));
	EXPECT_EQ(state("counts.resets"), "1");
	// Its PNG is made in another domain, which is reset, too.
	post("/thumbnail", gif_file(5, 5));
	EXPECT_EQ(state("counts.resets"), "3");
}

// A tenth of the requests hurt. Good ones are answered as they were in the beginning, until the end.
TEST_F(ProtectedMediaServer, LivesThroughMixedRequests)
{
	const unsigned int count = getenv("LYCH_LONG") != nullptr ? 10000 : 300;
	const uint64_t seed = lych_seed();
	std::mt19937_64 random(seed);
	const std::vector<std::string> files = {png_file(90, 70), jpeg_file(90, 70), webp_file(90, 70), gif_file(90, 70), vorbis_file()};
	const std::vector<std::string> paths = {"/inspect", "/thumbnail", "/wav"};
	const std::string overflow = cve(), endless = scans();
	std::map<std::pair<size_t, size_t>, Answer> first;
	std::map<int, unsigned int> damaged_ends;
	unsigned int hostile = 0, faults = 0, late = 0;

	printf("LYCH_SEED=%llu\n", static_cast<unsigned long long>(seed));
	ASSERT_NO_FATAL_FAILURE(begin());
	std::string pid = state("pid"), started = state("started");
	for (unsigned int i = 0; i < count; i++) {
		SCOPED_TRACE("request " + std::to_string(i) + ", LYCH_SEED=" + std::to_string(seed));
		server.drain();
		size_t file = random() % files.size(), path = random() % (file == 4 ? 3 : 2);
		if (i % 10 != 7) {
			Answer answer = post(paths[path], files[file]);
			ASSERT_EQ(answer.status, 200) << answer.body << server.said();
			auto known = first.emplace(std::make_pair(file, path), answer).first;
			EXPECT_EQ(answer.body, known->second.body);
			continue;
		}
		hostile++;
		if (i / 10 % 30 == 14) {
			late++;
			EXPECT_EQ(post("/thumbnail", endless).status, 504);
			EXPECT_THAT(state("reports.0.text"), HasSubstr("deadline missed in domain \"jpeg\", called as tjDecompress2"));
		} else if (i / 10 % 5 == 0) {
			faults++;
			EXPECT_EQ(post(paths[random() % 3], overflow).status, 422);
		} else {
			Answer answer = post(paths[path], damaged(files[file], random));
			damaged_ends[answer.status]++;
			EXPECT_THAT(answer.status, testing::AnyOf(200, 422, 500, 504)) << answer.body;
		}
	}
	EXPECT_EQ(state("pid"), pid);
	EXPECT_EQ(state("started"), started);
	EXPECT_EQ(state("secret"), "untouched");
	EXPECT_EQ(state("counts.requests"), std::to_string(count));
	EXPECT_GE(std::stoul(state("counts.fault")), faults);
	EXPECT_GE(std::stoul(state("counts.late")), late);
	EXPECT_GE(std::stoul(state("counts.resets")), count);
	printf("%u requests, %u of them hostile: %u overflows, %u endless; damaged ones:", count, hostile, faults, late);
	for (const auto &[status, n] : damaged_ends) {
		printf(" %u times %d", n, status);
	}
	printf("\n");
	int status = server.end(SIGTERM);
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status << server.said();
}
