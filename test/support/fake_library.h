/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What surrounds the answers to a library domain's system calls (gate/library/calls.h), made small: a plain mapping
 * as arena, no keys, no contexts, one domain. For C++, which cannot read the runtime's own headers.
 */
#ifndef LYCH_TEST_FAKE_LIBRARY_H
#define LYCH_TEST_FAKE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FAKE_ARENA_BYTES (1UL << 20)

/* policy as lych_open has it; 0, or the errors of rules_parse and files_new with why. */
int fake_library_new(const char *policy, const char *search, unsigned int fds, char *why, size_t why_bytes);
void fake_library_free(void);

/*
 * All of the arena is readable and writable but its last page, which is not mapped, and the one before, which is
 * read-only. It has mappings of ours directly before and behind it.
 */
char *fake_arena(void);
char *fake_arena_end(void);

enum fake_end { FAKE_RESULT, FAKE_EXIT, FAKE_ABORT, FAKE_OTHER };
/* calls_answer; *end may be NULL. */
long fake_call_end(enum fake_end *end, long nr, const uint64_t arg[6]);
/* calls_quick: false, it is none of those. */
bool fake_call_quick(long nr, const uint64_t arg[6], long *result);
/* As made by another architecture's instruction. */
long fake_call_foreign(long nr);

/* What calls about memory are answered; 4096 at first. */
void fake_memory_says(long result);
/* What mediator_no_memory was told since this was asked, and of how many bytes last. */
uint64_t fake_no_memory(uint64_t *bytes);

/* What mediator_refused was told of nr, and of all. */
unsigned int fake_refused(long nr);
unsigned int fake_refused_all(void);

void fake_loading(bool on);
void fake_snapshot(void);
void fake_restore(void);
/* answer_interrupted says that. */
void fake_interrupt(bool on);
/* How often it was asked. */
unsigned int fake_asked(void);
/* The policy that a report run would print. */
size_t fake_learned(char *out, size_t bytes);

/* The last call of arena_* or library_code: its name, and what it was told. */
struct fake_memory_call {
	const char *name;
	uint64_t arg[6];
	long real_fd;
	uint64_t ino; /* of real_fd, when it is one */
};
const struct fake_memory_call *fake_memory(void);

/* Open descriptors of this process. */
unsigned int fake_descriptors(void);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_TEST_FAKE_LIBRARY_H */
