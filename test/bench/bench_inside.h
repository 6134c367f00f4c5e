/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LYCH_BENCH_INSIDE_H
#define LYCH_BENCH_INSIDE_H

void bench_empty(void);
/* n times; what the last one gave. */
long bench_system_calls(long nr, long a, long b, long n);
void bench_abort(void);

#endif /* LYCH_BENCH_INSIDE_H */
