// SPDX-License-Identifier: Apache-2.0
// Chromium without a window, driven by WebDriver: JSON over HTTP, to Debian's chromedriver.
#ifndef LYCH_MEDIA_BROWSER_H
#define LYCH_MEDIA_BROWSER_H

#include <string>

#include "program.h"

class Browser
{
      public:
	// Where Debian installs it.
	static bool installed();
	~Browser();
	// Why it did not: in why().
	bool start();
	const std::string &why() const { return why_; }
	bool open(const std::string &url);
	// What a script returns, as text; why() says what it threw.
	std::string run(const std::string &script);
	// Runs it again and again until it returns expected, or seconds are over; what it returned last is in why().
	bool comes(const std::string &script, const std::string &expected, int seconds = 120);
	// As a user does, to the element that selector finds first.
	bool click(const std::string &selector);
	bool type(const std::string &selector, const std::string &text);
	// A PNG of what the page looks like, to path. False: not written.
	bool picture(const std::string &path);

      private:
	// The value of the answer as text, JSON where it is no string; failed_ says whether it was one at all.
	std::string call(const std::string &method, const std::string &path, const std::string &body);
	std::string element(const std::string &selector);
	Program driver_;
	int port_ = 0;
	bool failed_ = false;
	std::string session_, why_, folder_;
};

#endif
