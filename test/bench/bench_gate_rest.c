/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the gate calls when something is not as it should be, for the benchmark that has the assembly alone: nothing of
 * it is ever called, and who would come here ends. By name only, whatever the arguments.
 */
#include <stdlib.h>
#include <unistd.h>

#define NOT_REACHED(name)                                                                          \
	void name(void);                                                                           \
	void name(void)                                                                            \
	{                                                                                          \
		(void)!write(STDERR_FILENO, #name "\n", sizeof(#name));                            \
		abort();                                                                           \
	}

NOT_REACHED(lych_gate_slow)
NOT_REACHED(lych_gate_too_deep)
NOT_REACHED(lych_gate_failed)
NOT_REACHED(lych_gate_leave_soft)
NOT_REACHED(lych_gate_enter_soft)
NOT_REACHED(lych_callback_refused)
NOT_REACHED(lych_signal)
NOT_REACHED(lych_signal_done)
NOT_REACHED(lych_signal_unattached)
