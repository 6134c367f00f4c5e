// SPDX-License-Identifier: Apache-2.0
// What `lychgate VERB` says and how it ends. LYCHGATE_COMMAND is the command.
#ifndef LYCH_TEST_SAID_H
#define LYCH_TEST_SAID_H

#include <sys/wait.h>

#include <cstdio>
#include <string>

struct Said {
	std::string out; // standard error, too
	int status;      // -1: it did not exit
};

inline Said LychgateSays(const std::string &verb, const std::string &args)
{
	Said said = {"", -1};
	char chunk[4096];
	FILE *pipe = popen((LYCHGATE_COMMAND " " + verb + " " + args + " 2>&1").c_str(), "r");

	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), pipe)) > 0;) {
		said.out.append(chunk, n);
	}
	int ended = pclose(pipe);
	said.status = WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
	return said;
}

#endif // LYCH_TEST_SAID_H
