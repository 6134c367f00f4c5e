/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attacks from inside a library domain: what hostile.so has, and what it is given. hostile.so is a library as any other: it is never
 * linked with the runtime, and the same code is loaded with dlopen into a program without protection as the control of each attack.
 */
#ifndef LYCH_TEST_ATTACK_HOSTILE_H
#define LYCH_TEST_ATTACK_HOSTILE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PREY_OWN (16 * 4096UL)
#define PREY_WORDS 256 /* 16 bytes each */
#define PREY_SECRET 0x5ec2e75ec2e75ec2UL

/* In memory of the attacker's. */
struct prey {
	uint64_t *secret;   /* begins a page of the host's, which holds it and zeros */
	char *gate;         /* a page that may be read and not written: the gate page of this thread */
	char *monitor;      /* the page behind it */
	uint64_t *other;    /* as secret, another domain's */
	uint64_t *heap, *stack, *global, *tls; /* of the host's, each holds the secret */
	uint32_t *words;    /* a page of the host's: at 16 * i the number tid + i */
	char *own;          /* PREY_OWN bytes of the attacker's, which begin a page */
	char *low, *high;   /* of the attacker's address space, or what stands for it */
	void *host_syscall; /* "syscall; ret" in the host's C library */
	void *host_pkey_set;
	void *gate_site, *signal_entry, *resume; /* in code of the runtime: a WRPKRU, and the two that a domain never calls. NULL without it */
	uint64_t taken;     /* what the attack has read of the secret */
	uint64_t more[8];
	int key;            /* of the secret */
	int other_key;
	int pid, tid, other_tid; /* of this thread, and of another one of the host's */
	int fd;             /* of the host's: a file that holds the secret, opened for reading and writing */
	int dir;            /* of the host's: the directory of that file */
	char work[64];      /* a directory the attacker may write to */
	char file[64];      /* the host's file, beside work */
};

/* An attack: ATTACK_DONE when it had its effect, as far as the attacker can tell; otherwise what it was told, 0 or -errno. */
typedef long (*attack_fn)(struct prey *p);
#define ATTACK_DONE 0x600d
#define ATTACK_CANNOT 0xbad /* what it begins with, and everybody may do, did not work */

/* How it ends inside. */
enum attack_end {
	END_REFUSED,  /* it is told so, and returns */
	END_EFAULT,   /* the same, with -EFAULT */
	END_KEY,      /* the call ends with the fault of a key */
	END_FAULT,    /* the call ends with some fault */
	END_ANY,      /* either */
};

/* The same code without protection. */
enum attack_control {
	CONTROL_DONE,    /* has its effect. The secret has a key, which is denied */
	CONTROL_PLAIN,   /* has its effect. The secret has no key: a program as any other */
	CONTROL_EXITS,   /* ends the process, with status 33 */
	CONTROL_KILLED,  /* ends the process, by a signal */
};

/* Policy of the domain. */
enum attack_policy {
	POLICY_PURE,
	POLICY_WORK, /* it may read and write work */
	POLICY_MOST, /* it may read everything, write work, and use the network: all that a policy can allow */
	POLICY_REPORT, /* the same, and what is not named is allowed and learned where that does no harm */
};

struct attack {
	const char *group, *name, *guarantee, *tries;
	const char *symbol; /* in hostile.so: attack_NAME */
	enum attack_end end;
	enum attack_control control;
	enum attack_policy policy;
	const char *lacks; /* where the control has no effect; NULL: it has everywhere */
};

/* What is not stopped, by design. */
struct not_stopped {
	const char *name, *tries, *why;
};

/* All of them; the last one has no name. */
extern const struct attack attacks[];
extern const struct not_stopped not_stopped[];

/* What a process exits with that runs an attack without protection. */
#define BARE_DONE 0
#define BARE_CANNOT 2
#define BARE_NOTHING 3
#define BARE_EXITS 33 /* the attack's own */

/* Says the status of waitpid that it had its effect? And where it had not, is that as it may be? */
bool attack_had_effect(const struct attack *a, int status);
bool attack_may_lack(const struct attack *a, int status);

/* A jump of the attacker's, in its memory: hostile_land of hostile.S knows where what is. */
struct landing {
	uint64_t to;
	uint64_t *stack, words; /* that are made to lead back */
	uint64_t rsp, rax, rcx, rdx, rdi, rsi, r10, r8, r9;
	const uint64_t *prize;  /* what it reads when it is back */
	uint64_t landings, told, taken; /* how often it was; rax then; what the prize was */
	uint64_t rbx;           /* 0: as those that are not here */
};
void hostile_land(struct landing *landing);

long hostile_syscall(long nr, long a, long b, long c, long d, long e, long f);
long hostile_do(attack_fn attack, struct prey *p);
uint64_t hostile_read(const volatile uint64_t *at);
void hostile_write(volatile uint64_t *at);
long attack_nothing(struct prey *p); /* ATTACK_DONE */

#ifdef __cplusplus
}
#endif

#endif /* LYCH_TEST_ATTACK_HOSTILE_H */
