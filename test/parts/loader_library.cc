// SPDX-License-Identifier: Apache-2.0
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#define SHOWN extern "C" __attribute__((visibility("default")))

namespace
{
const std::vector<std::string> words = {"constructed", "before", "main"};

struct Counted {
	long *at = nullptr;
	~Counted()
	{
		if (at != nullptr) {
			(*at)++;
		}
	}
};
thread_local Counted counted;
}

SHOWN int plus_throw(int depth)
{
	try {
		if (depth > 3) {
			throw std::runtime_error(words[0]);
		}
		return plus_throw(depth + 1);
	} catch (const std::runtime_error &e) {
		return std::string(e.what()) == "constructed" ? 55 : 0;
	}
}

SHOWN int plus_stream(int value)
{
	std::ostringstream out;
	int back = 0;

	out << value;
	std::istringstream(out.str()) >> back;
	return back;
}

SHOWN void plus_tell(long *at)
{
	counted.at = at;
}
