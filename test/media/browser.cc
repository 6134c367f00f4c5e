// SPDX-License-Identifier: Apache-2.0
#include "browser.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "http.h"

static const char kDriver[] = "/usr/bin/chromedriver";

static std::string quoted(const std::string &text)
{
	Json value(json_stringn(text.data(), text.size()), json_decref);
	char *out = json_dumps(value.get(), JSON_ENCODE_ANY);
	std::string copy = out != nullptr ? out : "\"\"";
	free(out);
	return copy;
}

bool Browser::installed() { return access(kDriver, X_OK) == 0; }

Browser::~Browser()
{
	if (!session_.empty()) {
		call("DELETE", "", "");
	}
	driver_.end(SIGTERM);
	std::error_code ignored;
	if (!folder_.empty()) {
		std::filesystem::remove_all(folder_, ignored);
	}
}

std::string Browser::call(const std::string &method, const std::string &path, const std::string &body)
{
	Answer answer = http(port_, method, "/session" + session_ + path, body);
	Json json = json_of(answer.body);
	const json_t *value = json_object_get(json.get(), "value");

	failed_ = answer.status != 200 || value == nullptr;
	if (failed_) {
		why_ = method + " " + path + ": " + std::to_string(answer.status) + " " + answer.body.substr(0, 600) + driver_.said();
		return "";
	}
	if (json_is_string(value)) {
		return json_string_value(value);
	}
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	std::string out = text != nullptr ? text : "";
	free(text);
	return out;
}

bool Browser::start()
{
	char folder[] = "/tmp/media_page.XXXXXX";

	if (mkdtemp(folder) == nullptr) {
		why_ = "no folder";
		return false;
	}
	folder_ = folder;
	if (!driver_.start({kDriver, "--port=0"}) || !driver_.wait_for("started successfully on port ", 120)) {
		why_ = "chromedriver: " + driver_.said();
		return false;
	}
	port_ = atoi(driver_.said().c_str() + driver_.said().find("successfully on port ") + 21);
	// The sandbox needs what neither root nor a container has; the page is our own. /dev/shm is small in containers.
	std::string made = call("POST", "",
				"{\"capabilities\":{\"alwaysMatch\":{\"browserName\":\"chrome\",\"goog:chromeOptions\":{\"args\":"
				"[\"--headless=new\",\"--no-sandbox\",\"--disable-gpu\",\"--disable-dev-shm-usage\",\"--no-first-run\","
				"\"--disable-background-networking\",\"--window-size=1200,1400\",\"--user-data-dir=" +
					folder_ + "\"]}}}}");
	session_ = failed_ ? "" : "/" + json_at(json_of(made).get(), "sessionId");
	return !failed_;
}

bool Browser::open(const std::string &url)
{
	call("POST", "/url", "{\"url\":" + quoted(url) + "}");
	return !failed_;
}

std::string Browser::run(const std::string &script)
{
	return call("POST", "/execute/sync", "{\"script\":" + quoted(script) + ",\"args\":[]}");
}

bool Browser::comes(const std::string &script, const std::string &expected, int seconds)
{
	std::string last;
	for (auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds); std::chrono::steady_clock::now() < end;) {
		last = run(script);
		if (!failed_ && last == expected) {
			return true;
		}
		std::this_thread::sleep_for(std::chrono::milliseconds(100));
	}
	if (!failed_) {
		why_ = script + ": " + last;
	}
	return false;
}

std::string Browser::element(const std::string &selector)
{
	std::string found = call("POST", "/element", "{\"using\":\"css selector\",\"value\":" + quoted(selector) + "}");
	return json_at(json_of(found).get(), "element-6066-11e4-a52e-4f735466cecf"); // the key that the standard gives
}

bool Browser::click(const std::string &selector)
{
	std::string id = element(selector);
	if (!failed_) {
		call("POST", "/element/" + id + "/click", "{}");
	}
	return !failed_;
}

bool Browser::type(const std::string &selector, const std::string &text)
{
	std::string id = element(selector);
	if (!failed_) {
		call("POST", "/element/" + id + "/value", "{\"text\":" + quoted(text) + "}");
	}
	return !failed_;
}

bool Browser::picture(const std::string &path)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const std::string text = call("GET", "/screenshot", "");
	std::ofstream out(path, std::ios::binary);
	unsigned int bits = 0, have = 0;
	for (char c : text) {
		const char *at = c != '\0' ? strchr(letters, c) : nullptr;
		if (at == nullptr) {
			break;
		}
		bits = bits << 6 | static_cast<unsigned int>(at - letters);
		have += 6;
		if (have >= 8) {
			have -= 8;
			out.put(static_cast<char>(bits >> have));
		}
	}
	return !failed_ && out.good();
}
