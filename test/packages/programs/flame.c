/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libflame1: zhpsv_ of LAPACK. When an argument is wrong it loads the address of its name for xerbla_: that instruction
 * holds it.
 */
#include "program.h"

static char error_name[7];
static int error_argument;

/* Instead of the library's, which prints. */
__attribute__((visibility("default"))) int xerbla_(const char *name, const int *argument);

int xerbla_(const char *name, const int *argument)
{
	memcpy(error_name, name, 6);
	error_argument = *argument;
	return 0;
}

typedef int zhpsv(const char *uplo, const int *n, const int *nrhs, double *ap, int *ipiv, double *b, const int *ldb,
		  int *info);

static void wrong_argument(zhpsv *solve, int n, int nrhs, int ldb, int expected)
{
	double ap[2] = {1, 0}, b[2] = {1, 0};
	int ipiv[1], info = 0;

	memset(error_name, 0, sizeof(error_name));
	error_argument = 0;
	solve("U", &n, &nrhs, ap, ipiv, b, &ldb, &info);
	known_answer("the name in the report", error_name, 5, "5a48505356"); /* ZHPSV */
	known_number("the argument in the report", (uint64_t)error_argument, (uint64_t)expected);
	known_number("info", (uint64_t)-info, (uint64_t)expected);
}

static void calls(void *library)
{
	zhpsv *solve = (zhpsv *)symbol(library, "zhpsv_");
	int n = 2, one = 1, ipiv[2], info;

	for (int i = 0; i < 200; i++) {
		/* the upper triangle of ((p, r + si), (r - si, q)), and what x is sent to */
		double p = 1 + (double)(random_number() % 1000), q = 1 + (double)(random_number() % 1000), r = 0.25, s = 0.5;
		double ap[6] = {p, 0, r, s, q, 0};
		double x[4] = {(double)(random_number() % 100), 1, 2, (double)(random_number() % 100)};
		double b[4] = {p * x[0] + r * x[2] - s * x[3], p * x[1] + r * x[3] + s * x[2],
			       r * x[0] + s * x[1] + q * x[2], r * x[1] - s * x[0] + q * x[3]};
		double worst = 0;

		wrong_argument(solve, -1, 1, 1, 2);
		wrong_argument(solve, 1, -1, 1, 3);
		wrong_argument(solve, 2, 1, 1, 7);
		solve("U", &n, &one, ap, ipiv, b, &n, &info);
		known_number("info of a system that is solved", (uint64_t)info, 0);
		for (int k = 0; k < 4; k++) {
			double error = b[k] - x[k];

			worst = error > worst ? error : -error > worst ? -error : worst;
		}
		known_number("the solution is right", worst < 1e-9, 1);
		answer(b, sizeof(b));
	}
}

const struct program program = {.calls = calls, .first = "libblas.so.3"};
