/* SPDX-License-Identifier: Apache-2.0 */
/* What hostile code would like to know, and tests tell it. */
#ifndef LYCH_TEST_LIBRARY_BOUNDS_H
#define LYCH_TEST_LIBRARY_BOUNDS_H

#include <lychgate/lychgate.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

uint64_t library_start(const struct lych_domain *domain);
uint64_t library_end(const struct lych_domain *domain);
/* "syscall; ret" in the C library of the program; NULL: there is none. */
void *library_host_syscall(void);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_TEST_LIBRARY_BOUNDS_H */
