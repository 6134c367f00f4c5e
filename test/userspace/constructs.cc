// SPDX-License-Identifier: Apache-2.0
// Opened late: what it constructs then throws, and is caught, before dlopen returns.
#include "throws.h"

namespace
{

struct Constructs {
	int caught = 0;
	Constructs()
	{
		try {
			MadeInParts parts(30);
		} catch (const Thrown &thrown) {
			caught = thrown.value;
		}
		caught += through_catching(9);
	}
} constructs;

} // namespace

extern "C" SHOWN int constructs_caught()
{
	return constructs.caught;
}
