// SPDX-License-Identifier: Apache-2.0
// The media server's page in Chromium: with the server in the PKU machine, and on this machine without isolation.
#include "browser.h"
#include "files.h"
#include "http.h"
#include "program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>

namespace
{

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Page : public testing::Test
{
      protected:
	void SetUp() override
	{
		if (!Browser::installed()) {
			const char *why = "THE PAGE IS NOT TESTED: there is no chromedriver here; ./dev setup installs chromium and chromium-driver";
			// Where everything is installed that a test wants, nothing is left out.
			if (getenv("CI") != nullptr) {
				FAIL() << why;
			}
			GTEST_SKIP() << why;
		}
		char name[] = "/tmp/media_page_test.XXXXXX";
		ASSERT_NE(mkdtemp(name), nullptr);
		folder = name;
		ASSERT_TRUE(browser.start()) << browser.why();
	}
	void TearDown() override
	{
		if (!folder.empty()) {
			for (const char *name : {"/tone.ogg", "/picture.webp", "/named.ogg"}) {
				unlink((folder + name).c_str());
			}
			rmdir(folder.c_str());
		}
	}
	std::string file(const std::string &name, const std::string &bytes)
	{
		std::ofstream(folder + "/" + name, std::ios::binary) << bytes;
		return folder + "/" + name;
	}
	void look(int port)
	{
		ASSERT_TRUE(browser.open("http://127.0.0.1:" + std::to_string(port) + "/")) << browser.why();
		ASSERT_TRUE(browser.comes("return document.getElementById('isolation').dataset.backend !== undefined", "true"))
			<< browser.why();
	}
	std::string text(const std::string &id) { return browser.run("return document.getElementById('" + id + "').innerText"); }
	// Sends a file by one of the buttons and waits for what the page says of it.
	std::string send(const std::string &path, const std::string &button)
	{
		std::string rows = browser.run("return document.querySelectorAll('#requests tbody tr').length");
		EXPECT_TRUE(browser.run("document.getElementById('upload').reset()") == "null") << browser.why();
		EXPECT_TRUE(browser.type("#file", path)) << browser.why();
		EXPECT_TRUE(browser.click("#" + button)) << browser.why();
		return answer(rows);
	}
	std::string answer(const std::string &rows)
	{
		EXPECT_TRUE(browser.comes("return /^[0-9]/.test(document.getElementById('answer').innerText)", "true")) << browser.why();
		// Its line comes by itself.
		EXPECT_TRUE(browser.comes("return document.querySelectorAll('#requests tbody tr').length > " + rows, "true")) << browser.why();
		return text("answer");
	}
	std::string newest(int cell)
	{
		return browser.run("return document.querySelector('#requests tbody tr').cells[" + std::to_string(cell) + "].innerText");
	}
	Browser browser;
	std::string folder;
};

} // namespace

TEST_F(Page, SaysLoudlyThatNothingIsIsolated)
{
	Program server;
	int port = start_server(server, {"--backend", "none"}, "LYCH_REQUIRE_PKU");
	ASSERT_NE(port, 0) << server.said();
	ASSERT_NO_FATAL_FAILURE(look(port));
	EXPECT_EQ(text("isolation"), "LYCH_NONE: no isolation. A hostile file owns this process.");
	EXPECT_EQ(browser.run("return getComputedStyle(document.getElementById('isolation')).backgroundColor"), "rgb(204, 0, 0)");
	EXPECT_THAT(send(file("tone.ogg", vorbis_file()), "inspect"), AllOf(HasSubstr("200 "), HasSubstr("TITLE=a tone")));
	EXPECT_THAT(send(file("picture.webp", webp_file(64, 32)), "thumbnail"), HasSubstr("200 image/png"));
	EXPECT_TRUE(browser.comes("const p = document.getElementById('picture'); return p.hidden ? '' : p.naturalWidth + 'x' + p.naturalHeight",
				  "64x32"))
		<< browser.why();
	// One server, one page: what it shows when the server is gone.
	server.end(SIGKILL);
	EXPECT_TRUE(browser.comes("return document.getElementById('isolation').innerText", "The server does not answer.")) << browser.why();
}

TEST_F(Page, ShowsWhatAFileSaysOfItselfAsText)
{
	Program server;
	std::string named = vorbis_file();
	size_t at = named.find("TITLE=a tone");
	ASSERT_NE(at, std::string::npos);
	named.replace(at, 12, "<b id=x>hi</");
	int port = start_server(server, {"--backend", "none"}, "LYCH_REQUIRE_PKU");
	ASSERT_NE(port, 0) << server.said();
	ASSERT_NO_FATAL_FAILURE(look(port));
	EXPECT_THAT(send(file("named.ogg", named), "inspect"), HasSubstr("<b id=x>hi</"));
	EXPECT_EQ(newest(6), "<b id=x>hi</");
	EXPECT_EQ(browser.run("return document.getElementById('x') === null"), "true");
}

TEST_F(Page, ShowsTheFaultThatTheServerInThePkuMachineSurvived)
{
	Program machine;
	int port = free_port();
	std::vector<std::string> words = {LYCH_DEV, "vm", "--timeout", "600", "--forward", std::to_string(port)};
	for (const char *library : {"png16.so.16", "turbojpeg.so.0", "webp.so.7", "gif.so.7", "stb.so.0"}) {
		words.insert(words.end(), {"--with", std::string("/usr/lib/x86_64-linux-gnu/lib") + library});
	}
	words.insert(words.end(), {"--", MEDIA_SERVER, "--listen", "0.0.0.0", "--deadline", "60000", "--port", std::to_string(port)});
	ASSERT_TRUE(machine.start(words));
	ASSERT_TRUE(machine.wait_for("listening at ", 240)) << machine.said();
	ASSERT_NO_FATAL_FAILURE(look(port));
	EXPECT_THAT(text("isolation"), AllOf(HasSubstr("in a library domain of its own (backend pku)"), HasSubstr("secret is untouched")));
	EXPECT_EQ(browser.run("return document.getElementById('isolation').className"), "");
	const std::string tone = file("tone.ogg", vorbis_file()), isolation = text("isolation");
	EXPECT_THAT(send(tone, "thumbnail"), HasSubstr("200 image/png"));

	std::string rows = browser.run("return document.querySelectorAll('#requests tbody tr').length");
	browser.run("document.getElementById('answer').innerText = ''");
	ASSERT_TRUE(browser.click("#attack")) << browser.why();
	EXPECT_THAT(answer(rows), AllOf(HasSubstr("422 "), HasSubstr("libstb.so.0: abort")));
	EXPECT_EQ(newest(5), "fault");
	EXPECT_TRUE(browser.comes("return document.querySelectorAll('#reports pre').length", "1")) << browser.why();
	EXPECT_THAT(text("reports"), HasSubstr("abort in domain \"vorbis\", called as stb_vorbis_open_memory"));

	EXPECT_THAT(send(tone, "wav"), HasSubstr("200 audio/wav, 8864 bytes"));
	EXPECT_EQ(newest(5), "done");
	// The same process, with the same secret.
	EXPECT_EQ(text("isolation"), isolation);
	EXPECT_TRUE(browser.picture(MEDIA_PICTURE)) << browser.why();
}
