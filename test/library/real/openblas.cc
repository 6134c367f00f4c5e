// SPDX-License-Identifier: Apache-2.0
// OpenBLAS: matrices of whole numbers, which come out exact in any order, with two threads; LAPACK, from Fortran.
#include "world.h"

extern "C" {
void openblas_set_num_threads(int);
int openblas_get_num_threads(void);
double cblas_ddot(int, const double *, int, const double *, int);
float cblas_snrm2(int, const float *, int);
void cblas_dgemm(int, int, int, int, int, int, double, const double *, int, const double *, int, double, double *, int);
void dgesv_(const int *, const int *, double *, const int *, int *, double *, const int *, int *);
double ddot_(const int *, const double *, const int *, const double *, const int *);
}

void work_openblas(World &w)
{
	const int n = 192, row_major = 101, plain = 111;
	std::vector<double> x(n * n), y(n * n), z(n * n);
	for (int i = 0; i < n * n; i++) {
		x[static_cast<size_t>(i)] = i * 7 % 13 - 6;
		y[static_cast<size_t>(i)] = i * 5 % 11 - 5;
	}
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < n; k++) {
			for (size_t j = 0; j < n; j++) {
				z[i * n + j] += x[i * n + k] * y[k * n + j];
			}
		}
	}
	double *a = w.copy(x), *b = w.copy(y), *c = w.array<double>(n * n);
	w.check(CALL(cblas_ddot, w, 3, w.copy(std::vector<double>{1, 2, 3}), 1, w.copy(std::vector<double>{4, 5, 6}), 1) == 32, "ddot");
	w.check(CALL(cblas_snrm2, w, 2, w.copy(std::vector<float>{3, 4}), 1) == 5.f, "snrm2");
	for (int threads : {1, 2}) {
		CALL(openblas_set_num_threads, w, threads);
		w.check(CALL(openblas_get_num_threads, w) == threads, "openblas_set_num_threads");
		memset(c, 0, sizeof(double) * n * n);
		CALL(cblas_dgemm, w, row_major, plain, plain, n, n, n, 1.0, a, n, b, n, 0.0, c, n);
		w.check(memcmp(c, z.data(), sizeof(double) * n * n) == 0, "dgemm");
	}
	w.note("product", c, sizeof(double) * n * n);

	// 2x + y = 5, x + 3y = 10: x = 1, y = 3. By columns.
	int *two = w.one<int>(), *one = w.one<int>(), *pivots = w.array<int>(2), *info = w.one<int>();
	double *m = w.copy(std::vector<double>{2, 1, 1, 3}), *r = w.copy(std::vector<double>{5, 10});
	*two = 2;
	*one = 1;
	CALL(dgesv_, w, two, one, m, two, pivots, r, two, info);
	w.check(*info == 0 && r[0] > 0.999999 && r[0] < 1.000001 && r[1] > 2.999999 && r[1] < 3.000001, "dgesv");
	m = w.copy(std::vector<double>{1, 2, 2, 4});
	CALL(dgesv_, w, two, one, m, two, pivots, r, two, info);
	w.check(*info == 2, "a singular one is told of");
	w.check(CALL(ddot_, w, two, a, one, a, one) == x[0] * x[0] + x[1] * x[1], "from Fortran");
}

Load load_openblas(World &w)
{
	const int n = 200, row_major = 101, plain = 111;
	std::vector<double> x(n * n);
	for (int i = 0; i < n * n; i++) {
		x[static_cast<size_t>(i)] = i * 7 % 13 - 6;
	}
	double *a = w.copy(x), *b = w.copy(x), *c = w.array<double>(n * n);
	CALL(openblas_set_num_threads, w, 2);
	auto multiply = FUNCTION(w, cblas_dgemm);
	return {[=] { multiply(row_major, plain, plain, n, n, n, 1.0, a, n, b, n, 0.0, c, n); },
		[=, &w] { w.note("product", c, sizeof(double) * n * n); }};
}
