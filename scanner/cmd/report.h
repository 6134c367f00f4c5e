/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scan says, and in which form. A file is scanned by one of many threads, which puts all
 * that is said about it into a struct result; results are written one after the other in the order
 * of the input, so that the output is the same for any number of threads.
 */
#ifndef LYCHGATE_CMD_REPORT_H
#define LYCHGATE_CMD_REPORT_H

#include <sys/types.h>

#include <lychgate/scan.h>

#include "buf.h"
#include "options.h"

/* What a finding means for the result of the scan. */
enum standing {
	STANDING_FAILS,
	STANDING_KNOWN,    /* would fail, but the baseline lists it */
	STANDING_REPORTED, /* would fail, but its class is not in --fail-on */
	STANDING_ACCEPTED, /* checked, gate, or runtime-handled with --assume-runtime */
	STANDING_COUNT
};

const char *standing_name(enum standing standing);

/* Why a file was not scanned. */
enum skip {
	SKIP_NOT_CODE,  /* neither ELF nor an archive */
	SKIP_FOREIGN,   /* ELF of another machine or class */
	SKIP_CORE,      /* core file */
	SKIP_IRREGULAR, /* symbolic link, device, FIFO, socket */
	SKIP_PSEUDO,    /* pseudo file system */
	SKIP_EXCLUDED,  /* --exclude */
	SKIP_VANISHED,  /* went away meanwhile */
	SKIP_COUNT
};

const char *skip_name(enum skip skip);

struct tally {
	struct lych_scan_stats stats;
	uint64_t files;      /* scanned */
	uint64_t processes;  /* scanned */
	uint64_t unreadable; /* files and directories with an error */
	uint64_t skipped[SKIP_COUNT];
	uint64_t findings[STANDING_COUNT];
	uint64_t nameless; /* findings that fail and that no baseline can list */
	uint32_t count[STANDING_COUNT][LYCH_CLASS_COUNT][LYCH_VERDICT_COUNT][LYCH_PLACE_COUNT];
};

void tally_add(struct tally *sum, const struct tally *add);

/* All that is said about one file, process or directory. */
struct result {
	struct buf out;   /* for standard output, in the report's format */
	struct buf err;   /* for standard error: lines of text */
	struct buf notes; /* SARIF: notifications, which come behind all results */
	struct buf keys;  /* findings for --update-baseline, one a line */
	struct tally tally;
	pid_t pid; /* of the process; 0: a file */
};

void result_free(struct result *result);
bool result_failed(const struct result *result);
size_t result_bytes(const struct result *result);

/* A finding and what the command made of it. */
struct hit {
	const struct lych_finding *finding;
	enum standing standing;
	pid_t pid;       /* 0: in a file */
	const char *key; /* its identity in baselines (baseline.h), "" when it has none */
};

struct report;

/* One form of output. Functions that take a result run in many threads; the others in one. */
struct report_ops {
	void (*begin)(struct report *report, struct buf *out);
	void (*finding)(const struct report *report, struct result *result, const struct hit *hit);
	/* A diagnostic as part of the output; it was put on standard error already. May be NULL. */
	void (*diag)(const struct report *report, struct result *result,
		     const struct lych_diag *diag);
	/* A file is done; with -v only. status is 0 or a negative errno value. May be NULL. */
	void (*file)(const struct report *report, struct result *result, const char *path,
		     int status);
	/* Behind all results. */
	void (*end)(struct report *report, struct buf *out, const struct tally *total,
		    int exit_code);
	/* What stands between a result's output and the one before it, which it begins with. */
	const char *separator;
};

struct report {
	const struct report_ops *ops;
	const struct scan_options *opts;
	bool color;      /* standard output */
	const char *cwd; /* for relative URIs; NULL when unknown */
	FILE *notes;     /* SARIF: notifications so far; NULL: none */
	bool any;        /* some result was written */
};

/* Writes out to standard output and empties it. 0, -ENOMEM or -EIO. */
int report_write(struct buf *out);

extern const struct report_ops report_text;
extern const struct report_ops report_jsonl;
extern const struct report_ops report_sarif;

/* ---- what forms share ----------------------------------------------------------------------- */

/* "wrpkru" as people write it: "WRPKRU". */
const char *class_title(enum lych_class cls);
/* "inside displacement", "spanning" */
void placement_text(struct buf *buf, const struct lych_finding *finding);
/* "in NAME+0x12", or "after NAME+0x12" where the symbol ends before the finding, its function having no name
 * in the file. Nothing when there is no symbol. */
void symbol_text(struct buf *buf, const struct lych_finding *finding, const char *before);
/* The instructions that hold the sequence: "rol r15d, 0xf | add edi, ebp" */
void hit_disassembly(struct buf *buf, const struct lych_finding *finding);
/* "in.a(member.o)", "pid 17 /usr/lib/x.so": path, member and process as one name, made printable.
 */
void finding_name(struct buf *buf, const char *path, const char *member, pid_t pid);
/* "3,809 files scanned, ...": the totals in plain words. */
void tally_sentence(struct buf *buf, const struct tally *total, bool verbose);
/* --summary */
void tally_table(struct buf *buf, const struct tally *total);
/* "3.3 GB" */
void byte_count(struct buf *buf, uint64_t bytes);

/* ---- why and what to do, in plain words (advice.c) ------------------------------------------ */

const char *rule_id(enum lych_class cls);       /* "LYCH001" */
const char *advice_danger(enum lych_class cls); /* why a sequence of that class is dangerous */
void advice_remedy(struct buf *buf, const struct lych_finding *finding, const char *bullet);
const char *advice_verdict(enum lych_verdict verdict); /* what the verdict means */
const char *advice_placement(enum lych_placement placement);

#endif /* LYCHGATE_CMD_REPORT_H */
