/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librsb0: the rows and columns of a sparse matrix are scaled, by a kernel that is chosen by type, format, symmetry and
 * transposition. One of the calls of kernels holds it.
 */
#include "program.h"

enum { N = 12, SCALE_ROWS = 0x40, SCALE_COLUMNS = 0x80 };
/* Of the flags those that choose between kernels: half a word for an index, compressed rows, coordinates. */
enum { HALFWORDS = 0x2, ROWS = 0x80, COORDINATES = 0x100, SYMMETRIC = 0x400000, HERMITIAN = 0x800000 };

static int size_of(char type)
{
	return type == 'S' ? 4 : type == 'Z' ? 16 : 8;
}

static void put(void *values, char type, int at, double value)
{
	if (type == 'S') {
		((float *)values)[at] = (float)value;
	} else if (type == 'D') {
		((double *)values)[at] = value;
	} else if (type == 'C') {
		((float *)values)[2 * at] = (float)value;
	} else {
		((double *)values)[2 * at] = value;
	}
}

static double get(const void *values, char type, int at)
{
	return type == 'S'   ? (double)((const float *)values)[at]
	       : type == 'D' ? ((const double *)values)[at]
	       : type == 'C' ? (double)((const float *)values)[2 * at]
			     : ((const double *)values)[2 * at];
}

static void scale(void *library, char type, int flags, int operation)
{
	void *(*make)(const void *, const int *, const int *, int, char, int, int, int, int, int, int *) =
		symbol(library, "rsb_mtx_alloc_from_coo_const");
	int (*update)(void *, int, const void *) = symbol(library, "rsb_mtx_upd_vals");
	int (*get_coo)(const void *, void *, int *, int *, int) = symbol(library, "rsb_mtx_get_coo");
	void *(*forget)(void *) = symbol(library, "rsb_mtx_free");
	uint64_t values[2 * N * N] = {0}, factors[2 * N] = {0};
	double matrix[N][N] = {{0}}, factor[N];
	int rows[N * N], columns[N * N], n = 0, err = 0;
	bool right = true;
	void *mtx;

	for (int i = 0; i < N; i++) {
		factor[i] = (double)(1 + random_number() % 16);
		put(factors, type, i, factor[i]);
		for (int j = 0; j <= i; j++) {
			if (j == i || random_number() % 3 == 0) {
				matrix[i][j] = (double)(1 + random_number() % 64);
				put(values, type, n, matrix[i][j]);
				rows[n] = i;
				columns[n++] = j;
			}
		}
	}
	mtx = make(values, rows, columns, n, type, N, N, 1, 1, flags, &err);
	if (mtx == NULL) {
		return; /* there is no such matrix */
	}
	err = update(mtx, operation, factors);
	answer(&err, sizeof(err));
	if (err == 0 && get_coo(mtx, values, rows, columns, 0) == 0) {
		for (int i = 0; i < n; i++) {
			double expected = matrix[rows[i]][columns[i]] * factor[operation == SCALE_ROWS ? rows[i] : columns[i]];

			right = right && get(values, type, i) == expected;
		}
		/* Of others it is the library's business what scaling means; their values are compared all the same. */
		if ((type == 'S' || type == 'D') && (flags & (SYMMETRIC | HERMITIAN)) == 0) {
			known_number("each value is scaled", right, 1);
		}
		answer(values, (size_t)(n * size_of(type)));
		answer(rows, (size_t)n * sizeof(*rows));
	}
	forget(mtx);
}

static void calls(void *library)
{
	int (*init)(void *) = symbol(library, "rsb_lib_init");
	int (*leave)(void *) = symbol(library, "rsb_lib_exit");
	static const int formats[] = {COORDINATES, COORDINATES | HALFWORDS, ROWS, ROWS | HALFWORDS};
	static const int symmetries[] = {0, SYMMETRIC, HERMITIAN};

	if (init(NULL) != 0) {
		unexpected("rsb_lib_init");
	}
	for (int i = 0; i < 5 * 4 * 4 * 3 * 2; i++) {
		scale(library, "SDCZ"[i % 4], formats[i / 4 % 4] | symmetries[i / 16 % 3],
		      i / 48 % 2 == 0 ? SCALE_ROWS : SCALE_COLUMNS);
	}
	leave(NULL);
}

const struct program program = {.calls = calls};
