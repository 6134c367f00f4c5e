// SPDX-License-Identifier: Apache-2.0
#include "worldly.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <iconv.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#undef NDEBUG
#include <cassert>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#define PAGE 4096

namespace
{

char last_error[256];

void *volatile kept;

struct Gate {
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
	long leave = 0; // so many may end
};

void *waits(void *arg)
{
	auto *gate = static_cast<Gate *>(arg);

	pthread_mutex_lock(&gate->lock);
	while (gate->leave == 0) {
		pthread_cond_wait(&gate->changed, &gate->lock);
	}
	pthread_mutex_unlock(&gate->lock);
	return arg;
}

int ended;

struct Counts {
	int value = 1;
	~Counts()
	{
		__atomic_fetch_add(&ended, 100 * value, __ATOMIC_SEQ_CST);
	}
};

thread_local Counts counts;

void ends(void *value)
{
	__atomic_fetch_add(&ended, *static_cast<int *>(value), __ATOMIC_SEQ_CST);
}

void *has_both(void *arg)
{
	static int one = 1;

	counts.value = 1; // now there is one
	pthread_setspecific(*static_cast<pthread_key_t *>(arg), &one);
	return nullptr;
}

} // namespace

int world_add(int a, int b)
{
	return a + b;
}

int world_load(const char *path, const char *fn, int n)
{
	void *library = dlopen(path, RTLD_NOW);

	last_error[0] = '\0';
	if (library == nullptr) {
		snprintf(last_error, sizeof(last_error), "%s", dlerror());
		return -1;
	}
	auto call = reinterpret_cast<int (*)(int)>(dlsym(library, fn));
	if (call == nullptr) {
		snprintf(last_error, sizeof(last_error), "%s", dlerror());
		dlclose(library);
		return -2;
	}
	int result = call(n);
	return dlclose(library) == 0 ? result : -3;
}

const char *world_last_error()
{
	return last_error;
}

long world_convert(const char *to, const char *from, const char *in, size_t bytes, char *out,
		   size_t room)
{
	iconv_t cd = iconv_open(to, from);
	char *next = out, *rest = const_cast<char *>(in);
	size_t left = room;

	if (cd == reinterpret_cast<iconv_t>(-1)) {
		return -errno;
	}
	long rc = iconv(cd, &rest, &bytes, &next, &left) == static_cast<size_t>(-1) ? -errno
										    : next - out;
	iconv_close(cd);
	return rc;
}

int world_set_locale(const char *name)
{
	return setlocale(LC_ALL, name) != nullptr ? 0 : -1;
}

int world_characters(const char *text)
{
	return static_cast<int>(mbstowcs(nullptr, text, 0));
}

int world_user(unsigned uid, char *name, size_t room)
{
	struct passwd *user = getpwuid(uid);

	if (user == nullptr) {
		return -1;
	}
	snprintf(name, room, "%s", user->pw_name);
	return 0;
}

int world_address(const char *name, int numeric, uint32_t *out)
{
	struct addrinfo *list = nullptr, hints = {};

	hints.ai_family = AF_INET;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = numeric ? AI_NUMERICHOST : 0;
	int rc = getaddrinfo(name, nullptr, &hints, &list);
	if (rc == 0) {
		*out = ntohl(
			reinterpret_cast<struct sockaddr_in *>(list->ai_addr)->sin_addr.s_addr);
		freeaddrinfo(list);
	}
	return rc;
}

void world_copy_text(const char *text)
{
	char small[16];

	strcpy(small, text); // __strcpy_chk, as it is compiled with _FORTIFY_SOURCE
	kept = small;
	__asm__ volatile("" : : "r"(small) : "memory");
}

void world_assert(int it)
{
	assert(it != 0);
}

void world_exit_at_once(int status)
{
	_exit(status);
}

void world_exhaust_by_new()
{
	for (;;) {
		kept = new char[1 << 20];
	}
}

void world_free_twice()
{
	void *block = malloc(100);

	kept = block;
	free(kept);
	free(kept);
}

long world_until_null(size_t bytes)
{
	void **list = nullptr;
	long n = 0;

	for (;; n++) {
		auto *block = static_cast<void **>(malloc(bytes));
		if (block == nullptr) {
			break;
		}
		*block = list;
		list = block;
	}
	int err = errno;
	while (list != nullptr) {
		auto *next = static_cast<void **>(*list);
		free(list);
		list = next;
	}
	return err == ENOMEM ? n : -err;
}

long world_until_no_mapping(size_t bytes)
{
	void **list = nullptr;
	long n = 0;

	for (;; n++) {
		void *at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);
		if (at == MAP_FAILED) {
			break;
		}
		*static_cast<void **>(at) = list;
		list = static_cast<void **>(at);
	}
	int err = errno;
	while (list != nullptr) {
		auto *next = static_cast<void **>(*list);
		munmap(list, bytes);
		list = next;
	}
	return err == ENOMEM ? n : -err;
}

long world_until_no_break(size_t bytes)
{
	long n = 0;

	while (sbrk(static_cast<intptr_t>(bytes)) != reinterpret_cast<void *>(-1)) {
		n++;
	}
	int err = errno;
	sbrk(-static_cast<intptr_t>(bytes) * n);
	return err == ENOMEM ? n : -err;
}

int world_process()
{
	pid_t child = fork();

	if (child == 0) {
		_exit(0);
	}
	return child > 0 ? 0 : -errno;
}

long world_map_runnable(const char *path, size_t bytes)
{
	int fd = open(path, O_RDONLY);
	void *at = mmap(nullptr, bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	int err = errno;

	close(fd);
	return at == MAP_FAILED ? -err : static_cast<long>(reinterpret_cast<uintptr_t>(at));
}

long world_until_no_file(const char *path)
{
	int fds[1024], n = 0;

	while (n < 1024 && (fds[n] = open(path, O_RDONLY)) >= 0) {
		n++;
	}
	int err = errno;
	for (int i = 0; i < n; i++) {
		close(fds[i]);
	}
	return err == EMFILE ? n : -err;
}

long world_until_no_thread()
{
	Gate first, others;
	pthread_t ids[64];
	int n = 0, rc = 0;
	long result;

	while (n < 64 &&
	       (rc = pthread_create(&ids[n], nullptr, waits, n == 0 ? &first : &others)) == 0) {
		n++;
	}
	result = rc == EAGAIN ? n : -rc;
	// now and again there is room as soon as one has ended
	for (int i = 0; n > 0 && i < 50 && result > 0; i++) {
		pthread_mutex_lock(&first.lock);
		first.leave = 1;
		pthread_cond_signal(&first.changed);
		pthread_mutex_unlock(&first.lock);
		pthread_join(ids[0], nullptr);
		first.leave = 0;
		if (pthread_create(&ids[0], nullptr, waits, &first) != 0) {
			ids[0] = ids[--n];
			result = -1;
		}
	}
	for (Gate *gate : {&first, &others}) {
		pthread_mutex_lock(&gate->lock);
		gate->leave = 1;
		pthread_cond_broadcast(&gate->changed);
		pthread_mutex_unlock(&gate->lock);
	}
	for (int i = 0; i < n; i++) {
		pthread_join(ids[i], nullptr);
	}
	return result;
}

int world_version_1()
{
	return 1;
}

int world_version_2()
{
	return 2;
}

__asm__(".symver world_version_1, world_version@WORLD_1\n"
	".symver world_version_2, world_version@@WORLD_2");

static int threefold(int n)
{
	return 3 * n;
}

extern "C" __attribute__((used)) int (*world_choose(void))(int)
{
	return threefold;
}

int world_chosen(int n) __attribute__((ifunc("world_choose")));

char *world_text_up_to_the_end()
{
	auto *at = static_cast<char *>(mmap(nullptr, 3 * PAGE, PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	memset(at, 'x', 3 * PAGE);
	munmap(at + PAGE, 2 * PAGE);
	return at;
}

uint64_t *world_got()
{
	uint64_t *at;

	// of a function that is called by way of it
	__asm__("lea malloc@GOTPCREL(%%rip), %0" : "=r"(at));
	return at;
}

void world_write(uint64_t *at)
{
	*static_cast<volatile uint64_t *>(at) = 0x5a5a;
}

uint64_t world_read(const uint64_t *at)
{
	return *static_cast<const volatile uint64_t *>(at);
}

uint64_t world_guard()
{
	uint64_t guard;

	__asm__ volatile("mov %%fs:0x28, %0" : "=r"(guard));
	return guard;
}

int world_destructors(int n)
{
	pthread_key_t key;
	pthread_t id;

	ended = 0;
	if (pthread_key_create(&key, ends) != 0) {
		return -1;
	}
	for (int i = 0; i < n; i++) {
		if (pthread_create(&id, nullptr, has_both, &key) != 0 ||
		    pthread_join(id, nullptr) != 0) {
			return -1;
		}
	}
	pthread_key_delete(key);
	return ended;
}

namespace
{

struct Meeting {
	pthread_barrier_t all;
	pthread_rwlock_t shared;
	sem_t one;
	pthread_spinlock_t spin;
	int before, sums[3];
};

void *meets(void *arg)
{
	auto *m = static_cast<Meeting *>(arg);

	__atomic_fetch_add(&m->before, 1, __ATOMIC_SEQ_CST);
	pthread_barrier_wait(&m->all);
	for (int i = 0; i < 100; i++) {
		// each keeps others out of its sum
		pthread_rwlock_wrlock(&m->shared);
		m->sums[0]++;
		pthread_rwlock_unlock(&m->shared);
		sem_wait(&m->one);
		m->sums[1]++;
		sem_post(&m->one);
		pthread_spin_lock(&m->spin);
		m->sums[2]++;
		pthread_spin_unlock(&m->spin);
		pthread_barrier_wait(&m->all);
	}
	pthread_exit(reinterpret_cast<void *>(intptr_t{__atomic_load_n(&m->before, __ATOMIC_SEQ_CST)}));
}

struct timespec soon(clockid_t clock)
{
	struct timespec at;

	clock_gettime(clock, &at);
	at.tv_nsec += 2000000;
	at.tv_sec += at.tv_nsec / 1000000000;
	at.tv_nsec %= 1000000000;
	return at;
}

bool is_over(clockid_t clock, const struct timespec &at)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec > at.tv_sec || (now.tv_sec == at.tv_sec && now.tv_nsec >= at.tv_nsec);
}

} // namespace

int world_waits()
{
	int wrong = 0, bit = 0;
	auto expect = [&](bool holds) { wrong |= holds ? 0 : 1 << bit; bit++; };
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct timespec at;

	for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
		pthread_cond_t cond;
		pthread_condattr_t attr;
		pthread_condattr_init(&attr);
		pthread_condattr_setclock(&attr, clock);
		pthread_cond_init(&cond, &attr);
		pthread_mutex_lock(&lock);
		at = soon(clock);
		expect(pthread_cond_timedwait(&cond, &lock, &at) == ETIMEDOUT && is_over(clock, at));
		at = soon(clock);
		expect(pthread_mutex_clocklock(&lock, clock, &at) == ETIMEDOUT && is_over(clock, at));
		pthread_mutex_unlock(&lock);
	}
	sem_t none;
	sem_init(&none, 0, 0);
	at = soon(CLOCK_REALTIME);
	expect(sem_timedwait(&none, &at) == -1 && errno == ETIMEDOUT && is_over(CLOCK_REALTIME, at));
	pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
	pthread_rwlock_rdlock(&rwlock);
	at = soon(CLOCK_REALTIME);
	expect(pthread_rwlock_timedwrlock(&rwlock, &at) == ETIMEDOUT && is_over(CLOCK_REALTIME, at));

	// one that waits, and then ends
	Gate gate;
	pthread_t waiting;
	void *result = nullptr;
	expect(pthread_create(&waiting, nullptr, waits, &gate) == 0);
	at = soon(CLOCK_REALTIME);
	expect(pthread_timedjoin_np(waiting, &result, &at) == ETIMEDOUT);
	pthread_mutex_lock(&gate.lock);
	gate.leave = 1;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
	expect(pthread_join(waiting, &result) == 0 && result == &gate);

	Meeting m = {};
	pthread_t ids[4];
	pthread_barrier_init(&m.all, nullptr, 4);
	pthread_rwlock_init(&m.shared, nullptr);
	sem_init(&m.one, 0, 1);
	pthread_spin_init(&m.spin, PTHREAD_PROCESS_PRIVATE);
	for (pthread_t &id : ids) {
		pthread_create(&id, nullptr, meets, &m);
	}
	for (pthread_t &id : ids) {
		expect(pthread_join(id, &result) == 0 && reinterpret_cast<intptr_t>(result) == 4);
	}
	for (int sum : m.sums) {
		expect(sum == 400);
	}
	return wrong;
}

int world_touch()
{
	static pthread_key_t key;
	static const int made = pthread_key_create(&key, ends);

	has_both(&key);
	return made;
}

int world_touched_and_gone()
{
	return __atomic_exchange_n(&ended, 0, __ATOMIC_SEQ_CST);
}

namespace
{

int *tell_of_the_end, never_ends;

void exits()
{
	tell_of_the_end[0] = 1;
}

struct Tells {
	~Tells()
	{
		if (tell_of_the_end != nullptr) {
			tell_of_the_end[1] = 1;
		}
	}
} tells;

__attribute__((destructor)) void is_closed()
{
	if (tell_of_the_end != nullptr) {
		tell_of_the_end[2] = 1;
		while (*const_cast<volatile int *>(&never_ends) != 0) {
		}
		tell_of_the_end[3] = 1;
	}
}

} // namespace

int world_tell_of_the_end(int *told, int never)
{
	tell_of_the_end = told;
	never_ends = never;
	return atexit(exits);
}
