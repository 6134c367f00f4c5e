/* SPDX-License-Identifier: Apache-2.0 */
/* The steps lych_init takes, each of which can be made to fail, and a machine to run on. */
#ifndef INIT_FAKE_H
#define INIT_FAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "detect.h"

#ifdef __cplusplus
extern "C" {
#endif

extern char fake_log[1024];         /* names of the steps, "-name" undone, each with a space behind */
void fake_fail(const char *name, int err);
extern struct machine fake_machine; /* what detect_machine finds; all works until it is changed */
extern struct machine fake_good(void);
size_t fake_monitor_bytes(void);    /* not yet given back */

/* What lych_init has left in the root page. */
struct fake_root {
	unsigned int scrub, backend, frame_bytes, xsave_pkru, frames_whole, kick, ready, report_host_faults;
	unsigned long cookie, ids;
	bool monitor, fork_copy, lock_works, sealed, zero;
	void *on_fault_ctx;
};
struct fake_root fake_look(void);

#ifdef __cplusplus
}
#endif
#endif
