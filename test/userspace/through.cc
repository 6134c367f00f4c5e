// SPDX-License-Identifier: Apache-2.0
#include <exception>
#include <stdexcept>

#include "throws.h"

void through_plain(int value, double weight)
{
	Counted counted;

	throws_thrown(value, weight);
}

int through_catching(int value)
{
	Counted counted;

	try {
		throws_more(value);
	} catch (const Thrown &thrown) {
		return thrown.value + throws_nothing(1);
	}
	return -1;
}

void through_again(int value)
{
	Counted outer;

	try {
		Counted inner;
		through_plain(value, 2);
	} catch (Thrown &thrown) {
		thrown.value++;
		throw;
	}
}

void through_nested(const char *inner, const char *outer)
{
	try {
		throws_standard(inner);
	} catch (...) {
		std::throw_with_nested(std::logic_error(outer));
	}
}

void through_noexcept(int value) noexcept
{
	through_plain(value, 1);
}
