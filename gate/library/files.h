/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a library domain: its own descriptor numbers, paths beneath what the policy allows, sockets.
 *
 * Numbers. The domain sees its own table, lowest free number first; 0 and 1 are like /dev/null, 2 takes what is
 * written for the process's standard error. What stands behind a number is closed at exec and has a high number in
 * the process. A thread that uses a file holds it: closed meanwhile, it stays open until the last one is done, so a
 * number that the process uses for something else next is never reached.
 *
 * Paths are made normal as text ("..", "."; the working directory is /, always), and have to be beneath a root: a
 * directory or file of the policy, opened once, when the domain is. From there the kernel goes on without following
 * any link (openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS). Where there is one, it is read, and what it says
 * is a new path, from the beginning: whoever changes links meanwhile can choose which allowed file is reached, and no
 * other one.
 */
#ifndef LYCH_FILES_H
#define LYCH_FILES_H

#include "library.h"
#include "mediator.h"

/*
 * l->rules is there. fds: how many more than 0, 1 and 2 may be open. search: directories, separated by colons, or
 * NULL. Uses libc. 0, -ENOMEM, or -EINVAL with why: a path of the policy leads where none may. Paths that are not
 * there are left out: they are not there for the domain either.
 */
LYCH_HIDDEN int files_new(struct library *l, unsigned int fds, const char *search, char *why, size_t why_bytes);
/* Nobody is inside. l->files may be NULL. */
LYCH_HIDDEN void files_free(struct library *l);

/*
 * While it is on, files that a dynamic loader needs may be read: ld.so.cache, the system's directories of libraries,
 * and those of search. Of all threads. Each on has its off: it is on until the last one.
 */
LYCH_HIDDEN void files_loading(struct library *l, bool on);
/* In a child of fork: what threads of the parent were loading nobody loads. inside: the calling thread has a call in l's domain. */
LYCH_HIDDEN void files_fork_child(struct library *l, bool inside);

/*
 * Keeps what is open, and makes it so again: nobody is inside. Files are where they were; what was written stays. Pipes and event
 * descriptors that had nothing in them have nothing in them again; those that had are as they are found.
 */
LYCH_HIDDEN void files_snapshot(struct library *l);
LYCH_HIDDEN void files_restore(struct library *l);

/* A call about files or sockets, answered; false: it is none. In calls_answer. */
LYCH_HIDDEN bool files_call(struct library *l, struct thread *t, const struct mediated *call, long *result);

/*
 * For mmap: what stands behind fd, a regular file, held. NULL: -EBADF, or -EACCES or -ENODEV, in *err. Who holds a
 * file gives it back with file_drop.
 */
struct file;
LYCH_HIDDEN struct file *file_hold(struct library *l, uint64_t fd);
LYCH_HIDDEN void file_drop(struct library *l, struct file *f);
/* The process's number for a regular file; -ENODEV for anything else. */
LYCH_HIDDEN int file_real(const struct file *f);

/* Most numbers there can be: RLIMIT_NOFILE. */
LYCH_HIDDEN unsigned int files_limit(const struct library *l);
LYCH_HIDDEN unsigned int files_umask(struct library *l, unsigned int mask);

#endif /* LYCH_FILES_H */
