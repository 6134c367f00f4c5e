/* SPDX-License-Identifier: Apache-2.0 */
/* Thread-local storage of a library that is opened late, by TLS descriptors. */
#ifndef LYCH_TEST_TLS_H
#define LYCH_TEST_TLS_H

/* 8 KiB: more than the room that is kept for libraries that come late. */
#define TLS_NUMBERS 1024
#define TLS_FIRST 41

#ifndef __ASSEMBLER__
struct trial;
/* Exported: tls_trial, where tls_assembly is, asked with all registers set; */
typedef long *tls_trial_fn(struct trial *trial);
/* tls_count, one more than the last time, from TLS_FIRST on; */
typedef long tls_count_fn(void);
/* tls_keep, a + b, kept in registers across an access; */
typedef double tls_keep_fn(double a, double b);
/* tls_numbers, TLS_NUMBERS of them: [i] is i when 0 < i < 8, else 0. */
typedef long *tls_numbers_fn(void);
#endif

#endif /* LYCH_TEST_TLS_H */
