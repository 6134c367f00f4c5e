// SPDX-License-Identifier: Apache-2.0
// openmp.so: what a compiler makes of OpenMP, with the threads of libgomp.
#include <omp.h>

#include <cstdlib>

#include "worldly.h"

long openmp_sum(int threads, long n)
{
	long sum = 0;

#pragma omp parallel for num_threads(threads) reduction(+ : sum)
	for (long i = 1; i <= n; i++) {
		sum += i;
	}
	return sum;
}

int openmp_threads(int threads)
{
	int most = 0;

#pragma omp parallel num_threads(threads) reduction(max : most)
	most = omp_get_thread_num() + 1;
	return most;
}

void openmp_abort(int threads)
{
#pragma omp parallel num_threads(threads)
	if (omp_get_thread_num() == threads - 1) {
		abort();
	}
}
