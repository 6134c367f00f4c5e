// SPDX-License-Identifier: Apache-2.0
// A library whose constructor starts a thread, which works for it ever after.
#include <pthread.h>

#include <atomic>
#include <ctime>

namespace {

std::atomic<int> asked, done;

void *work(void *)
{
	const timespec ms = {0, 1000000};

	for (;;) {
		done.store(asked);
		nanosleep(&ms, nullptr);
	}
}

__attribute__((constructor)) void start()
{
	pthread_t thread;

	if (pthread_create(&thread, nullptr, work, nullptr) == 0) {
		pthread_detach(thread);
	}
}

} // namespace

/* Until the thread has answered, but for 2 seconds at most. */
extern "C" int starts_ask(void)
{
	const timespec ms = {0, 1000000};
	int n = ++asked;

	for (int i = 0; i < 2000 && done != n; i++) {
		nanosleep(&ms, nullptr);
	}
	return done == n ? n : -1;
}
