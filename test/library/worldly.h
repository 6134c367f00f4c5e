/* SPDX-License-Identifier: Apache-2.0 */
/* What worldly.so has for the tests of the world inside: what programs ask of their C library and loader. */
#ifndef LYCH_TEST_LIBRARY_WORLDLY_H
#define LYCH_TEST_LIBRARY_WORLDLY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

int world_add(int a, int b);
/* fn(n) of the library at path, which is closed again; -1: there is none, -2: it has no such function. */
int world_load(const char *path, const char *fn, int n);
const char *world_last_error(void); /* what dlerror said then; "" nothing */
/* How much of out was written, or -errno. */
long world_convert(const char *to, const char *from, const char *in, size_t bytes, char *out, size_t room);
int world_set_locale(const char *name); /* 0, or -1 */
int world_characters(const char *text); /* of which it consists, in this locale; -1: it is none */
int world_user(unsigned uid, char *name, size_t room); /* 0, or -1 */
/* 0 and the first address of IPv4, or what getaddrinfo says. */
int world_address(const char *name, int numeric, uint32_t *out);

/* What a call does not survive. */
void world_copy_text(const char *text); /* to 16 bytes */
void world_assert(int it);
void world_exit_at_once(int status);
void world_exhaust_by_new(void);
void world_free_twice(void);

/* How many blocks there were before malloc had no more; -errno if it was not ENOMEM. All are freed. */
long world_until_null(size_t bytes);
long world_until_no_mapping(size_t bytes); /* the same by mmap */
long world_until_no_break(size_t bytes);   /* the same by sbrk */
int world_process(void); /* fork: 0, or -errno */
long world_map_runnable(const char *path, size_t bytes); /* of a file, from its beginning: where, or -errno */
long world_until_no_file(const char *path); /* how many could be opened; -errno if it was not EMFILE; all are closed */
/* How many threads there could be; -error if it was not EAGAIN. Of these one ends, and another one begins: else -1. */
long world_until_no_thread(void);

int world_version_1(void);
int world_version_2(void); /* world_version@WORLD_1 gives 1, world_version@@WORLD_2 gives 2 */
int world_version(void);
int world_chosen(int n);   /* 3 * n: an IFUNC */
char *world_text_up_to_the_end(void); /* a page of text without an end, behind which there is nothing */

uint64_t *world_got(void); /* an entry of its global offset table */
void world_write(uint64_t *at);
uint64_t world_read(const uint64_t *at);
uint64_t world_guard(void);
/* n threads have a thread-local object and a value of a key: 100 for each destructor of the former, 1 of the latter. */
int world_destructors(int n);
/* What of waiting does not do what POSIX says of it, as a set of bits in the order of worldly.cc. */
int world_waits(void);
int world_touch(void); /* the calling thread has both */
int world_touched_and_gone(void); /* the same sum of those that have ended since it was asked last */
/*
 * Each of told is 1 as soon as it has run: what atexit was given, the destructor of a global object, the library's, its last
 * instruction. Which is not reached where never is not 0. 0, or what atexit says.
 */
int world_tell_of_the_end(int *told, int never);

/* openmp.so */
long openmp_sum(int threads, long n);
int openmp_threads(int threads); /* how many there really are */
void openmp_abort(int threads);  /* the last of them */

/* part.so */
int part_triple(int n);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_TEST_LIBRARY_WORLDLY_H */
