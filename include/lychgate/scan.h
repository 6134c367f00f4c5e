/* SPDX-License-Identifier: Apache-2.0 */
/*
 * liblychscan: find every byte sequence in executable memory that could write PKRU.
 *
 * Finding needs no disassembler: a sequence counts at any byte offset, whatever precedes it,
 * because an attacker who can jump enters where he likes. Disassembly only explains a finding.
 *
 * There is no global state. Every function is thread-safe as long as two threads do not share a
 * callback context that is not; none is async-signal-safe, except where a declaration says so.
 * The library neither prints nor exits nor changes signal handling, and it never maps what it
 * reads: a file that shrinks meanwhile gives an error, not SIGBUS.
 */
#ifndef LYCHGATE_SCAN_H
#define LYCHGATE_SCAN_H

#include <sys/types.h>

#include <lychgate/base.h>
#include <lychgate/error.h>

LYCH_BEGIN_DECLS

/* ---- what is looked for ------------------------------------------------------------------- */

/*
 * The classes of sequence. Encodings: Intel SDM Vol. 2 (WRPKRU, XRSTOR, ENCLU, WRFSBASE, SYSCALL,
 * SYSENTER, INT n) and the APX architecture specification (REX2 = D5, payload bit 7 selects
 * opcode map 1, so that these forms contain no 0F byte).
 */
enum lych_class {
	LYCH_WRPKRU,      /* 0F 01 EF */
	LYCH_WRPKRU_REX2, /* D5 [80-FF] 01 EF */
	LYCH_XRSTOR,      /* 0F AE /5 with a memory operand: XRSTOR, and XRSTOR64 with REX.W */
	LYCH_ENCLU,       /* 0F 01 D7, D5 [80-FF] 01 D7: leaving an enclave clears PKRU */
	LYCH_WRFSBASE,    /* F3 [prefixes] 0F AE [D0-D7], F3 D5 [80-FF] AE [D0-D7] */
	LYCH_WRGSBASE,    /* F3 [prefixes] 0F AE [D8-DF], F3 D5 [80-FF] AE [D8-DF] */
	LYCH_SYSCALL,     /* 0F 05, D5 [80-FF] 05 */
	LYCH_SYSENTER,    /* 0F 34 */
	LYCH_INT80,       /* CD 80 */
	LYCH_CLASS_COUNT
};

#define LYCH_CLASS_BIT(c) (UINT32_C(1) << (c))
#define LYCH_ALL_CLASSES (LYCH_CLASS_BIT(LYCH_CLASS_COUNT) - 1)

/* What writes PKRU. */
#define LYCH_POLICY_PKRU                                                                         \
	(LYCH_CLASS_BIT(LYCH_WRPKRU) | LYCH_CLASS_BIT(LYCH_WRPKRU_REX2) | LYCH_CLASS_BIT(LYCH_XRSTOR))
/* A program that loads the runtime: the gates also trust the gs base. */
#define LYCH_POLICY_HOST (LYCH_POLICY_PKRU | LYCH_CLASS_BIT(LYCH_WRGSBASE))
/* Code that a domain will run. */
#define LYCH_POLICY_DOMAIN                                                                       \
	(LYCH_POLICY_HOST | LYCH_CLASS_BIT(LYCH_WRFSBASE) | LYCH_CLASS_BIT(LYCH_ENCLU))

/* The longest sequence in bytes: an x86 instruction has at most 15 (SDM Vol. 2, 2.3.11). */
#define LYCH_SEQUENCE_MAX 15

/* ---- what is said about it ---------------------------------------------------------------- */

/* Where the sequence stands with regard to the instructions a compiler put there. */
enum lych_placement {
	LYCH_PLACE_INSTRUCTION, /* it is an instruction of its own, put there on purpose */
	LYCH_PLACE_INSIDE,      /* within one other instruction; first_part and last_part say where */
	LYCH_PLACE_SPANNING,    /* across two or more instructions */
	LYCH_PLACE_DATA,        /* in data that shares a page with code, or in executable data */
	LYCH_PLACE_UNDECIDED,   /* could not be told; why says why */
	LYCH_PLACE_COUNT
};

/* The part of an instruction that a byte belongs to. */
enum lych_part {
	LYCH_PART_NONE,
	LYCH_PART_PREFIX, /* legacy prefix, REX, REX2, VEX, EVEX, XOP */
	LYCH_PART_OPCODE,
	LYCH_PART_MODRM,  /* ModRM or SIB */
	LYCH_PART_DISP,   /* displacement, also moffs */
	LYCH_PART_RIPREL, /* RIP-relative displacement */
	LYCH_PART_IMM,    /* immediate */
	LYCH_PART_REL,    /* relative branch target */
	LYCH_PART_COUNT
};

enum lych_verdict {
	/* Nothing makes it safe. The literature calls it an unsafe occurrence. */
	LYCH_VERDICT_STRAY,
	/*
	 * glibc's own pkey_set or lazy-binding resolver, identified by the code around it. The
	 * Lychgate runtime neutralises it; without the runtime it is as dangerous as a stray.
	 */
	LYCH_VERDICT_RUNTIME,
	/* An XRSTOR that a check of EAX bit 9 follows at once, which no jump can leave out. */
	LYCH_VERDICT_CHECKED,
	/* A call gate of Lychgate: listed in its ELF note, bytes equal, PKRU compared after it. */
	LYCH_VERDICT_GATE,
	LYCH_VERDICT_COUNT
};

/* Names as they stand in reports and on the command line, static strings; NULL when out of range.
 * Async-signal-safe. */
LYCH_API const char *lych_class_name(enum lych_class cls);
LYCH_API const char *lych_placement_name(enum lych_placement placement);
LYCH_API const char *lych_part_name(enum lych_part part);
LYCH_API const char *lych_verdict_name(enum lych_verdict verdict);

/*
 * lych_classes_parse reads a comma-separated list of class names ("wrpkru,xrstor") or policy names
 * ("pkru", "host", "domain", "all") into *out. Returns 0, or -EINVAL and leaves *out alone.
 */
LYCH_API LYCH_MUST_CHECK int lych_classes_parse(uint32_t *out, const char *list);

#define LYCH_NO_OFFSET UINT64_MAX
#define LYCH_INSN_TEXT 160

/* One instruction near a finding. */
struct lych_insn {
	uint64_t vaddr;
	uint8_t bytes[LYCH_SEQUENCE_MAX];
	uint8_t len;
	bool hit;                  /* holds a byte of the sequence */
	char text[LYCH_INSN_TEXT]; /* Intel syntax, "(bad)" where nothing decodes; never empty */
};

#define LYCH_BUILD_ID_MAX 32

/*
 * One finding. All memory belongs to the library and is valid only until the callback returns.
 * Strings are never NULL; what is not known is "". Strings that come from the scanned file (section,
 * symbol, member) are hostile: at most 255 bytes, with control characters replaced by '?'.
 */
struct lych_finding {
	const char *path;   /* name given by the caller; for a process the mapping's name */
	const char *member; /* archive member, or "" */
	uint64_t vaddr;     /* of the first byte: link-time address in a file, real one in a process */
	uint64_t off;       /* of the first byte in the file (in the archive), or LYCH_NO_OFFSET */

	enum lych_class cls;
	enum lych_placement placement;
	enum lych_part first_part; /* with LYCH_PLACE_INSIDE: what the first ... */
	enum lych_part last_part;  /* ... and last byte belong to; else LYCH_PART_NONE */
	enum lych_verdict verdict;
	const char *why;    /* reason for an undecided placement and for the verdict, one clause */

	uint8_t bytes[LYCH_SEQUENCE_MAX];
	uint8_t nbytes;

	const char *section;
	const char *symbol;   /* nearest at or below the address */
	uint64_t symbol_off;  /* address minus symbol */
	uint64_t symbol_size; /* 0: not known; at or below symbol_off: the symbol ends before the address */
	uint8_t build_id[LYCH_BUILD_ID_MAX];
	uint8_t build_id_len; /* 0: none */

	const struct lych_insn *insns; /* around the finding, ascending */
	size_t ninsns;
};

enum lych_severity { LYCH_DIAG_NOTE, LYCH_DIAG_WARNING, LYCH_DIAG_ERROR };

/*
 * Something the user should know that is not a finding. An ERROR means that not everything in that
 * file could be scanned; the rest was. A WARNING means that what will run is not what was scanned
 * (text relocations, a segment that is writable and executable).
 */
struct lych_diag {
	enum lych_severity severity;
	int err;            /* negative errno value of error.h, 0 for notes */
	const char *path;
	const char *member; /* or "" */
	const char *message;
};

#define LYCH_SCAN_RAW 0x1u       /* no file format: all bytes are code, first one at raw_vaddr */
#define LYCH_SCAN_BYTES_ONLY 0x2u /* find, do not explain: placement undecided, no instructions */
/*
 * Accept no gate: for code that a domain will run. Who writes the file writes its note, so a note
 * means something only in code the host trusts.
 */
#define LYCH_SCAN_NO_GATES 0x4u

struct lych_scan_opts {
	size_t size; /* sizeof(struct lych_scan_opts): set by LYCH_SCAN_OPTS_INIT */
	uint32_t classes; /* set of LYCH_CLASS_BIT; 0: LYCH_POLICY_PKRU */
	uint32_t flags;
	uint64_t raw_vaddr;  /* with LYCH_SCAN_RAW */
	uint64_t max_bytes;  /* refuse files larger than this with -EFBIG; 0: no limit */
	uint32_t timeout_ms; /* for one call; 0: none */

	/*
	 * Called for each finding in ascending order of address within an image, from the calling
	 * thread. A return value other than 0 ends the scan with -ECANCELED. May be NULL.
	 */
	int (*finding)(void *ctx, const struct lych_finding *finding);
	/* Called for each diagnostic. May be NULL. */
	void (*diag)(void *ctx, const struct lych_diag *diag);
	void *ctx;
	/* Called now and then, with how many more bytes of executable memory were looked at. May be NULL. */
	void (*progress)(void *ctx, uint64_t bytes);
};

#define LYCH_SCAN_OPTS_INIT                                                                      \
	{                                                                                        \
		sizeof(struct lych_scan_opts), 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL             \
	}

/* Filled (added to, so that several scans can share one) by every scan, also a failed one. */
struct lych_scan_stats {
	uint64_t images;     /* ELF images, raw files, buffers, or executable mappings */
	uint64_t exec_bytes; /* bytes looked at */
	uint64_t count[LYCH_VERDICT_COUNT][LYCH_CLASS_COUNT];
};

/*
 * lych_scan_buffer scans len bytes at buf as flat code that will run at opts->raw_vaddr.
 * opts may be NULL; stats may be NULL. buf stays the caller's and is not written.
 *
 * Returns 0 when everything was scanned, findings or not, else -EINVAL, -ENOMEM, -ECANCELED,
 * -ETIMEDOUT.
 */
LYCH_API LYCH_MUST_CHECK int lych_scan_buffer(const void *buf, size_t len,
					      const struct lych_scan_opts *opts,
					      struct lych_scan_stats *stats);

/*
 * lych_scan_fd scans an open file: ELF64 x86-64 of any type, a static archive, or with
 * LYCH_SCAN_RAW flat code. fd must allow pread; its offset is not used (for a sparse file it is moved
 * to find the holes, and put back); it stays the caller's. name is what reports call the file.
 *
 * Returns 0 when everything was scanned, findings or not; else the first of -EINVAL, -ENOMEM,
 * -ENOTSUP, -ENOEXEC, -EPROTOTYPE, -ELIBBAD, -EBADMSG, -ENODATA, -ESTALE, -EFBIG, -ETIMEDOUT, -EIO,
 * -EISDIR, -ECANCELED that was met. What could be scanned nevertheless was, and each reason went to
 * opts->diag.
 */
LYCH_API LYCH_MUST_CHECK int lych_scan_fd(int fd, const char *name,
					  const struct lych_scan_opts *opts,
					  struct lych_scan_stats *stats);

/*
 * lych_scan_file opens path (O_NONBLOCK, never a device or FIFO) and scans it as lych_scan_fd does.
 * Also returns -ENOENT, -EACCES, -ELOOP.
 */
LYCH_API LYCH_MUST_CHECK int lych_scan_file(const char *path, const struct lych_scan_opts *opts,
					    struct lych_scan_stats *stats);

/*
 * lych_scan_process scans every executable mapping of a live process as it is in memory: files,
 * deleted files, anonymous memory, the vDSO; adjacent mappings joined. The process is not stopped:
 * what changes while it is read is reported as far as it can be noticed. Needs the right to read
 * /proc/PID/mem (ptrace access mode PTRACE_MODE_ATTACH_FSCREDS, ptrace(2)). Not scanned, and said
 * in a note: the vsyscall page, whose code the kernel emulates.
 *
 * Returns as lych_scan_fd; also -ENOENT (no such process), -EACCES, -ESRCH (it ended meanwhile).
 */
LYCH_API LYCH_MUST_CHECK int lych_scan_process(pid_t pid, const struct lych_scan_opts *opts,
					       struct lych_scan_stats *stats);

/*
 * lych_scan_explain looks at one place: it decodes around the address vaddr of the file (or, with
 * LYCH_SCAN_RAW, of flat code) and calls opts->finding for each sequence of opts->classes (0: all
 * classes) that holds that address or, when there is none, once with nbytes 0, verdict STRAY
 * and the instructions around it. Returns as lych_scan_file; -EINVAL when vaddr is not in executable
 * memory of the file.
 */
LYCH_API LYCH_MUST_CHECK int lych_scan_explain(const char *path, uint64_t vaddr,
					       const struct lych_scan_opts *opts);

/* ---- what ld.so would load ---------------------------------------------------------------- */

struct lych_deps_opts {
	size_t size;              /* sizeof(struct lych_deps_opts): set by LYCH_DEPS_OPTS_INIT */
	const char *library_path; /* searched like LD_LIBRARY_PATH; NULL: none. The environment's
				   * value is never used: whoever sets it could hide a library. */
	void (*diag)(void *ctx, const struct lych_diag *diag); /* a library not found, and so on */
	void *ctx;
};

#define LYCH_DEPS_OPTS_INIT                                                                      \
	{                                                                                        \
		sizeof(struct lych_deps_opts), NULL, NULL, NULL                                  \
	}

/*
 * lych_deps calls found for exe, its program interpreter, and every shared object that glibc's
 * ld.so would load for it, each once, breadth first as ld.so does: DT_RPATH, DT_RUNPATH, $ORIGIN,
 * $LIB, $PLATFORM, glibc-hwcaps directories of this CPU, ld.so.cache, default directories
 * (ld.so(8)). needed is the name the parent asked for (path itself for exe). Strings are valid until
 * the callback returns. What dlopen would load is not known and not listed.
 *
 * Returns 0; -ENODATA when a library was not found (each in opts->diag; the rest was listed);
 * -ECANCELED when found returned other than 0; or an error of lych_scan_file about exe.
 */
LYCH_API LYCH_MUST_CHECK int lych_deps(const char *exe, const struct lych_deps_opts *opts,
				       int (*found)(void *ctx, const char *path, const char *needed),
				       void *ctx);

/* Version of the library that is loaded, "0.1.0", and of the Capstone it uses, "4.0". Static. */
LYCH_API const char *lych_scan_version(void);
LYCH_API const char *lych_scan_capstone_version(void);

LYCH_END_DECLS

#endif /* LYCHGATE_SCAN_H */
