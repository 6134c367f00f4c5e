// SPDX-License-Identifier: Apache-2.0
#include "throws.h"

#include <stdexcept>

Thrown::~Thrown() = default;
ThrownMore::~ThrownMore() = default;

int Counted::alive;

Counted::Counted()
{
	alive++;
}

Counted::~Counted()
{
	alive--;
}

MadeInParts::Part::Part(int value)
{
	if (value != 0) {
		throws_thrown(value, 0.5);
	}
}

MadeInParts::MadeInParts(int value) : second(value)
{
}

void throws_thrown(int value, double weight)
{
	Thrown thrown;

	thrown.value = value;
	thrown.weight = weight;
	throw thrown;
}

void throws_more(int value)
{
	ThrownMore more;

	more.value = value;
	more.weight = 1;
	throw more;
}

int throws_nothing(int value)
{
	return value + 1;
}

void throws_standard(const char *what)
{
	throw std::runtime_error(what);
}
