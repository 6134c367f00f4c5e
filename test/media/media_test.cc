// SPDX-License-Identifier: Apache-2.0
// The media server on any machine: what it answers, without isolation; and what happens then to programs that read the hostile file.
#include "files.h"
#include "http.h"
#include "program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostile_files.h"

namespace
{

using testing::HasSubstr;
using testing::StartsWith;

class MediaServer : public testing::Test
{
      protected:
	void SetUp() override
	{
		port = start_server(server, {"--backend", "none"}, "LYCH_REQUIRE_PKU");
		ASSERT_NE(port, 0) << server.said();
	}
	Answer post(const std::string &path, const std::string &file) { return http(port, "POST", path, file); }
	Program server;
	int port = 0;
};

std::string facts(const std::string &format, int width, int height)
{
	return "{\"end\":\"done\",\"format\":\"" + format + "\",\"width\":" + std::to_string(width) + ",\"height\":" + std::to_string(height) +
	       ",\"rate\":0,\"channels\":0,\"frames\":0,\"text\":\"\"}";
}

// Width and height of a PNG.
std::string png_size(const std::string &file)
{
	auto number = [&](size_t at) {
		unsigned int n = 0;
		for (size_t i = 0; i < 4 && at + i < file.size(); i++) {
			n = n << 8 | static_cast<uint8_t>(file[at + i]);
		}
		return std::to_string(n);
	};
	return file.compare(0, 4, "\x89PNG") == 0 ? number(16) + "x" + number(20) : "no PNG";
}

int pkeys()
{
	int key = pkey_alloc(0, 0);
	if (key >= 0) {
		pkey_free(key);
	}
	return key;
}

} // namespace

TEST_F(MediaServer, SaysWhatAFileIs)
{
	EXPECT_EQ(post("/inspect", png_file(40, 30)).body, facts("png", 40, 30));
	EXPECT_EQ(post("/inspect", jpeg_file(41, 31)).body, facts("jpeg", 41, 31));
	EXPECT_EQ(post("/inspect", webp_file(42, 32)).body, facts("webp", 42, 32));
	EXPECT_EQ(post("/inspect", gif_file(43, 33)).body, facts("gif", 43, 33));
	EXPECT_EQ(post("/inspect", vorbis_file()).body, "{\"end\":\"done\",\"format\":\"vorbis\",\"width\":0,\"height\":0,\"rate\":22050,"
							 "\"channels\":1,\"frames\":4410,\"text\":\"TITLE=a tone\"}");
}

TEST_F(MediaServer, MakesSmallPicturesOfLargeOnes)
{
	for (const std::string &file : {png_file(300, 200), jpeg_file(300, 200), webp_file(300, 200), gif_file(300, 200)}) {
		Answer answer = post("/thumbnail", file);
		EXPECT_EQ(answer.status, 200) << answer.body;
		EXPECT_EQ(answer.type, "image/png");
		EXPECT_EQ(png_size(answer.body), "128x85");
	}
	EXPECT_EQ(png_size(post("/thumbnail", png_file(1, 5)).body), "1x5");
	EXPECT_EQ(png_size(post("/thumbnail", png_file(3000, 3)).body), "128x1");
}

TEST_F(MediaServer, ASmallPictureIsThePictureItself)
{
	// What the server answers is a PNG with the same pixels, which this libpng packs as it packed the first.
	std::string file = png_file(100, 90), again = post("/thumbnail", file).body;
	EXPECT_EQ(again, file);
}

TEST_F(MediaServer, DrawsTheWaveOfASoundAndUnpacksIt)
{
	EXPECT_EQ(png_size(post("/thumbnail", vorbis_file()).body), "128x64");
	Answer wav = post("/wav", vorbis_file());
	EXPECT_EQ(wav.type, "audio/wav");
	ASSERT_EQ(wav.body.size(), 44u + 2 * 4410);
	EXPECT_EQ(wav.body.substr(0, 4) + wav.body.substr(8, 8), "RIFFWAVEfmt ");
	// 440 Hz in 0.2 seconds: 176 times through zero, give or take one at each end.
	int crossings = 0;
	for (size_t i = 46; i + 1 < wav.body.size(); i += 2) {
		int16_t before, now;
		memcpy(&before, &wav.body[i - 2], 2);
		memcpy(&now, &wav.body[i], 2);
		crossings += (before < 0) != (now < 0);
	}
	EXPECT_NEAR(crossings, 176, 3);
}

TEST_F(MediaServer, RefusesWhatItDoesNotKnow)
{
	EXPECT_EQ(post("/inspect", "just some text").status, 415);
	EXPECT_EQ(post("/inspect", "").status, 415);
	EXPECT_EQ(post("/wav", png_file(4, 4)).status, 415);
	EXPECT_EQ(post("/elsewhere", png_file(4, 4)).status, 404);
	EXPECT_EQ(http(port, "GET", "/elsewhere").status, 404);
	EXPECT_EQ(http(port, "DELETE", "/").status, 405);
	EXPECT_EQ(post("/inspect", std::string((4 << 20) + 1, 'x')).status, 413);
	EXPECT_EQ(post("/inspect", std::string(4 << 20, 'x')).status, 415);
}

TEST_F(MediaServer, SaysWhatTheLibrarySaysOfABrokenFile)
{
	for (std::string file : {png_file(40, 30), jpeg_file(40, 30), webp_file(40, 30), gif_file(40, 30), vorbis_file()}) {
		file.resize(file.size() / 3);
		Answer answer = post("/thumbnail", file);
		EXPECT_EQ(answer.status, 422) << answer.body;
		EXPECT_NE(json_at(json_of(answer.body).get(), "error"), "");
		EXPECT_EQ(json_at(json_of(answer.body).get(), "end"), "refused");
	}
	// A JPEG that says of itself that it is larger than anything that is done here.
	std::string large = jpeg_file(40, 30);
	size_t at = large.find("\xff\xc0");
	ASSERT_NE(at, std::string::npos);
	large.replace(at + 5, 4, "\xff\xdc\xff\xdc");
	EXPECT_THAT(post("/thumbnail", large).body, HasSubstr("65500 x 65500 pixels are too many"));
}

TEST_F(MediaServer, DrawsOfAGifWhatFallsOnItsCanvas)
{
	std::string file = gif_file(64, 64);
	size_t at = file.find(std::string(",\0\0\0\0", 5));
	ASSERT_NE(at, std::string::npos);
	file[at + 1] = 60; // its left edge: four columns of it are seen
	file[at + 4] = '\x7f'; // its top: 0x7f00, far below
	Answer below = post("/thumbnail", file);
	EXPECT_EQ(below.status, 200) << below.body;
	file[at + 4] = 0;
	Answer right = post("/thumbnail", file);
	EXPECT_EQ(right.status, 200) << right.body;
	EXPECT_NE(right.body, below.body);
}

TEST_F(MediaServer, TellsWhatItHasDone)
{
	post("/inspect", png_file(4, 4));
	post("/inspect", "text");
	post("/thumbnail", std::string("GIF89a"));
	Json state = json_of(http(port, "GET", "/state").body);
	EXPECT_EQ(json_at(state.get(), "backend") + json_at(state.get(), "isolated"), "nonefalse");
	EXPECT_EQ(json_at(state.get(), "secret"), "untouched");
	EXPECT_EQ(json_at(state.get(), "counts.requests") + json_at(state.get(), "counts.done") + json_at(state.get(), "counts.unknown") +
			  json_at(state.get(), "counts.refused"),
		  "3111");
	EXPECT_EQ(json_at(state.get(), "requests.0.path") + json_at(state.get(), "requests.0.end"), "/thumbnailrefused");
	EXPECT_EQ(json_at(state.get(), "requests.2.format"), "png");
}

TEST_F(MediaServer, EndsWhenItIsTold)
{
	int status = server.end(SIGTERM);
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status << server.said();
}

// The controls: what the file of CVE-2023-45681 does without a domain.
TEST(HostileVorbis, KillsAPlainProgram)
{
	char path[] = "/tmp/media_test.XXXXXX";
	int fd = mkstemp(path);
	std::string file = cve();
	Program plain, good;
	ASSERT_EQ(write(fd, file.data(), file.size()), static_cast<ssize_t>(file.size()));
	close(fd);
	ASSERT_TRUE(plain.start({MEDIA_PLAIN, path}));
	int status = plain.end(0);
	EXPECT_TRUE(WIFSIGNALED(status)) << status << plain.said();
	unlink(path);
	ASSERT_TRUE(good.start({MEDIA_PLAIN, MEDIA_TONE}));
	status = good.end(0);
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
	EXPECT_EQ(good.said(), "4410 frames, 1 channels, 22050 Hz\n");
}

TEST(HostileVorbis, KillsTheServerWhenItIsUnprotected)
{
	Program server;
	int port = start_server(server, {"--unprotected"}, "LYCH_REQUIRE_PKU");
	ASSERT_NE(port, 0) << server.said();
	EXPECT_THAT(server.said(), HasSubstr("NO ISOLATION"));
	EXPECT_EQ(http(port, "POST", "/inspect", cve()).status, 0);
	EXPECT_TRUE(WIFSIGNALED(server.end(0)));
}

TEST(HostileVorbis, KillsAChildOfAServerThatForks)
{
	Program server;
	int port = start_server(server, {"--fork"}, "LYCH_REQUIRE_PKU");
	ASSERT_NE(port, 0) << server.said();
	Answer answer = http(port, "POST", "/inspect", cve());
	EXPECT_EQ(answer.status, 422);
	EXPECT_THAT(answer.body, HasSubstr("a child ended by signal"));
	EXPECT_EQ(http(port, "POST", "/wav", vorbis_file()).body.size(), 44u + 2 * 4410);
	EXPECT_EQ(png_size(http(port, "POST", "/thumbnail", webp_file(200, 100)).body), "128x64");
	EXPECT_TRUE(server.runs());
}

TEST(HostileJpeg, IsEndedByTheTimerOfAChild)
{
	size_t bytes = 0;
	uint8_t *file = hostile_jpeg(&bytes, 1 << 20);
	std::string scans = made(file, bytes);
	Program server;
	int port = start_server(server, {"--fork", "--deadline", "3000"}, "LYCH_REQUIRE_PKU");
	ASSERT_NE(port, 0) << server.said();
	EXPECT_EQ(http(port, "POST", "/thumbnail", scans).status, 504);
	EXPECT_EQ(http(port, "POST", "/inspect", jpeg_file(8, 8)).status, 200);
}

TEST(MediaServerAlone, DoesNotStartWithoutKeysUnlessItIsAsked)
{
	if (pkeys() >= 0) {
		GTEST_SKIP() << "there are protection keys here";
	}
	Program server;
	ASSERT_TRUE(server.start({MEDIA_SERVER, "--port", "0"}));
	int status = server.end(0);
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 2) << status;
	EXPECT_THAT(server.said(), StartsWith("media-server: "));
}

TEST(MediaServerAlone, RefusesOptionsThatAreNone)
{
	for (const std::vector<std::string> &words : std::vector<std::vector<std::string>>{
		     {"--port", "65536"}, {"--backend", "mprotect"}, {"--deadline", "soon"}, {"extra"}, {"--listen", "nowhere", "--backend", "none"}}) {
		Program server;
		std::vector<std::string> all = {MEDIA_SERVER};
		all.insert(all.end(), words.begin(), words.end());
		ASSERT_TRUE(server.start(all, "LYCH_REQUIRE_PKU"));
		int status = server.end(0);
		EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 0) << words[0] << server.said();
	}
}
