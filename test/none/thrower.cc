// SPDX-License-Identifier: Apache-2.0
#include "guest.h"

#include <stdexcept>

extern "C" int throw_and_catch(int n)
{
	try {
		if (n > 0) {
			throw std::runtime_error("thrown");
		}
	} catch (const std::exception &) {
		return -n;
	}
	return n;
}

extern "C" void throw_out()
{
	throw std::runtime_error("out of the gate");
}
