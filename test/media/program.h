// SPDX-License-Identifier: Apache-2.0
// A program that runs beside the test: the server, the machine it is in, the browser's driver.
#ifndef LYCH_MEDIA_PROGRAM_H
#define LYCH_MEDIA_PROGRAM_H

#include <string>
#include <vector>

class Program
{
      public:
	Program() = default;
	Program(const Program &) = delete;
	Program &operator=(const Program &) = delete;
	// Ends it, if it runs.
	~Program();
	// The first word is the path. without: a variable of the environment that it does not get.
	bool start(const std::vector<std::string> &words, const char *without = nullptr);
	// Whether it writes text, on either stream, before it ends or so many seconds are over.
	bool wait_for(const std::string &text, int seconds);
	// What it has written so far, as far as it was waited for, or drained: who writes much and is not read must wait.
	const std::string &said() const { return said_; }
	void drain() { read_on(0); }
	bool runs();
	// Sends signal (0: none), waits for its end, and returns what waitpid has said; -1: it did not end, and was killed.
	int end(int signal, int seconds = 60);

      private:
	void read_on(int milliseconds);
	int pid_ = 0, out_ = -1, status_ = 0;
	std::string said_;
};

// The server, at a port of its own choice; 0: it did not start.
int start_server(Program &server, std::vector<std::string> options, const char *without = nullptr);

#endif
