// SPDX-License-Identifier: Apache-2.0
// A call of registers.h, in the memory of a domain that is to make it.
#ifndef LYCH_TEST_LIBRARY_REGISTERS_CALL_H
#define LYCH_TEST_LIBRARY_REGISTERS_CALL_H

#include <lychgate/lychgate.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "registers.h"

inline registers_call *RegistersCall(lych_domain *domain, long nr, const std::vector<long> &arg, long pattern)
{
	registers_call call = {};

	call.nr = nr;
	call.arguments = static_cast<long>(arg.size());
	std::copy(arg.begin(), arg.end(), call.arg);
	call.pattern = pattern;
	call.wrong = UINT64_MAX;
	return static_cast<registers_call *>(lych_copy_in(domain, &call, sizeof(call)));
}

#endif // LYCH_TEST_LIBRARY_REGISTERS_CALL_H
