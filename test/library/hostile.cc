// SPDX-License-Identifier: Apache-2.0
// A library that attacks the runtime from inside its domain: hostile_test.cc says what for.
#include "hostile.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

constexpr size_t kPage = 4096;

void nap()
{
	const timespec ms = {0, 1000000};

	nanosleep(&ms, nullptr);
}

struct Jump {
	void (*callback)();
	int prot;
	uint64_t rsp;
};

void *jump(void *arg)
{
	auto *j = static_cast<Jump *>(arg);
	auto *at = static_cast<char *>(mmap(nullptr, 16 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char *rsp = at + 8 * kPage;

	if (at == MAP_FAILED || at > reinterpret_cast<char *>(&j)) {
		return nullptr;
	}
	/* pushed before it is protected: where the callback returns to, and the caller's rsp */
	memset(at, 0, 16 * kPage);
	mprotect(at, 16 * kPage, j->prot);
	if ((j->prot & PROT_WRITE) != 0) {
		__asm__ volatile("mov %%rsp, 8(%[rsp])\n\t"
				 "lea 1f(%%rip), %%rax\n\t"
				 "mov %%rax, (%[rsp])\n\t"
				 "mov %[rsp], %%rsp\n\t"
				 "jmp *%[callback]\n"
				 "1:\tmov (%%rsp), %%rsp"
				 :
				 : [rsp] "r"(rsp), [callback] "r"(j->callback)
				 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	} else {
		__asm__ volatile("mov %[rsp], %%rsp\n\tjmp *%[callback]" : : [rsp] "r"(rsp), [callback] "r"(j->callback) : "memory");
	}
	return j;
}

std::atomic<int> leaving, go_on, hit;

void wait_at_exit()
{
	leaving = 1;
	while (go_on == 0) {
		nap();
	}
}

void (*callback_of_spawn)();

int spawn_hangs(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)
{
	hit = 1;
	for (;;) {
		__asm__ volatile("pause");
	}
}

int spawn_calls_back(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)
{
	callback_of_spawn();
	return EAGAIN;
}

/* Where the stub's relocation of pthread_create was stored. */
void **slot_of_pthread_create()
{
	auto *map = static_cast<link_map *>(dlopen(nullptr, RTLD_NOW));
	const ElfW(Rela) *rela = nullptr;
	const ElfW(Sym) *symbols = nullptr;
	const char *strings = nullptr;
	size_t bytes = 0;

	for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++) {
		const auto at = d->d_un.d_ptr < map->l_addr ? map->l_addr + d->d_un.d_ptr : d->d_un.d_ptr;

		rela = d->d_tag == DT_RELA ? reinterpret_cast<const ElfW(Rela) *>(at) : rela;
		symbols = d->d_tag == DT_SYMTAB ? reinterpret_cast<const ElfW(Sym) *>(at) : symbols;
		strings = d->d_tag == DT_STRTAB ? reinterpret_cast<const char *>(at) : strings;
		bytes = d->d_tag == DT_RELASZ ? d->d_un.d_val : bytes;
	}
	for (size_t i = 0; i < bytes / sizeof(*rela); i++) {
		const char *name = strings + symbols[ELF64_R_SYM(rela[i].r_info)].st_name;

		if (strcmp(name, "pthread_create") == 0) {
			return reinterpret_cast<void **>(map->l_addr + rela[i].r_offset);
		}
	}
	return nullptr;
}

int replace_spawn(void *by)
{
	void **slot = slot_of_pthread_create();

	if (slot == nullptr) {
		return 1;
	}
	if (mprotect(reinterpret_cast<void *>(reinterpret_cast<uintptr_t>(slot) & ~(kPage - 1)), kPage, PROT_READ | PROT_WRITE) != 0) {
		return 2;
	}
	*slot = by;
	return 0;
}

std::atomic<bool> stop;

void *sleep_until_stop(void *)
{
	while (!stop) {
		nap();
	}
	return nullptr;
}

} // namespace

int hostile_jump_to_callback(void (*callback)(), int prot)
{
	Jump j = {callback, prot, 0};
	pthread_t thread;
	void *result = nullptr;

	return pthread_create(&thread, nullptr, jump, &j) == 0 && pthread_join(thread, &result) == 0 && result == &j;
}

long hostile_eight(long a, long b, long c, long d, long e, long f, long g, long h)
{
	return a + b + c + d + e + f + g + h;
}

int hostile_fill(int n)
{
	volatile char room[32768];

	for (size_t i = 0; i < sizeof(room); i++) {
		room[i] = static_cast<char>(n);
	}
	hit++;
	return room[n % 32768];
}

int hostile_sleep_with_locals(void)
{
	volatile char mine[8192];
	int wrong = 0;

	hit = 0;
	for (size_t i = 0; i < sizeof(mine); i++) {
		mine[i] = 0x11;
	}
	while (hit < 20) {
		nap();
	}
	for (size_t i = 0; i < sizeof(mine); i++) {
		wrong += mine[i] != 0x11;
	}
	return wrong;
}

int hostile_wait_at_exit(void)
{
	return atexit(wait_at_exit);
}

int hostile_exit_while_leaving(void)
{
	while (leaving == 0) {
		nap();
	}
	syscall(SYS_exit_group, 0);
	return 1;
}

int hostile_spawn_hangs(void)
{
	hit = 0;
	return replace_spawn(reinterpret_cast<void *>(spawn_hangs));
}

int hostile_spawn_calls_back(void (*callback)())
{
	callback_of_spawn = callback;
	return replace_spawn(reinterpret_cast<void *>(spawn_calls_back));
}

int hostile_hit(void)
{
	return hit;
}

int hostile_threads_stay(int n)
{
	pthread_t thread;
	int made = 0;

	stop = false;
	while (made < n && pthread_create(&thread, nullptr, sleep_until_stop, nullptr) == 0) {
		pthread_detach(thread);
		made++;
	}
	return made;
}

void *hostile_code_room(void)
{
	void *at = mmap(nullptr, 16 * kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(at, 16 * kPage);
	stop = false;
	return at;
}

int hostile_map_code(void *at, int rounds)
{
	int done = 0;

	for (int i = 0; i < rounds; i++) {
		done += mmap(at, kPage, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at;
	}
	stop = true;
	return done;
}

int hostile_unmap_meanwhile(void *at)
{
	int done = 0;

	while (!stop) {
		done += munmap(at, kPage) == 0;
	}
	return done;
}

int hostile_unmap(void *at)
{
	return munmap(at, kPage);
}

int hostile_make_thread(void)
{
	pthread_t thread;

	stop = true;
	return pthread_create(&thread, nullptr, sleep_until_stop, nullptr) == 0 ? pthread_join(thread, nullptr) : -1;
}

/* Its constant holds the bytes of WRPKRU. */
int hostile_stray(void)
{
	int value;

	__asm__("movl $0x00ef010f, %0" : "=r"(value));
	return value;
}

static uint64_t fs_base()
{
	uint64_t at;

	__asm__ volatile("rdfsbase %0" : "=r"(at));
	return at;
}

long hostile_step(long (*callback)(long), long a)
{
	uint64_t mine = fs_base();
	long result = callback(a);

	return fs_base() == mine ? result + 1 : -1;
}

uint64_t hostile_fs(void)
{
	return fs_base();
}

void hostile_linger(void)
{
	for (volatile int i = 0; i < 50; i++) {
	}
}

long hostile_pipe(int n)
{
	static thread_local int ends[2] = {-1, -1};
	unsigned char bytes[256], back[256] = {};
	long sum = 0;

	if (ends[0] < 0 && pipe2(ends, O_CLOEXEC) != 0) {
		return -errno;
	}
	for (int i = 0; i < n; i++) {
		bytes[i] = static_cast<unsigned char>(i + 1);
	}
	if (write(ends[1], bytes, static_cast<size_t>(n)) != n || read(ends[0], back, static_cast<size_t>(n)) != n) {
		return -errno;
	}
	for (int i = 0; i < n; i++) {
		sum += back[i];
	}
	return sum;
}

namespace {

long call(long nr, uint64_t a, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0, uint64_t e = 0)
{
	long rc;
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;

	__asm__ volatile("syscall" : "=a"(rc) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return rc;
}

} // namespace

int hostile_wrong_call(uint64_t host)
{
	constexpr long kInside = 0x0c796368;
	constexpr uint64_t kThread = 0x90f00;
	static char stack[65536];
	uint64_t top = reinterpret_cast<uint64_t>(stack) + 65536, mine = fs_base();
	const struct {
		long nr;
		uint64_t arg[5];
		long want;
	} calls[] = {
		{kInside, {2, mine}, -EPERM},
		{kInside, {2, host}, -EPERM},
		{kInside, {3}, -EPERM},
		{kInside, {4, mine}, -EPERM},
		{kInside, {77}, -ENOSYS},
		{SYS_arch_prctl, {0x1002, 0}, -EPERM},
		{SYS_arch_prctl, {0x1002, host}, -EPERM},
		{SYS_arch_prctl, {0x1002, uint64_t{1} << 63}, -EPERM},
		{SYS_arch_prctl, {0x1002, ~uint64_t{0}}, -EPERM},
		{SYS_arch_prctl, {0x1003, host}, -EFAULT},
		{SYS_arch_prctl, {0x1001, mine}, -EINVAL},
		{SYS_clone, {SIGCHLD}, -EPERM},
		{SYS_clone, {0x4100, top}, -EPERM},
		{SYS_clone, {kThread & ~uint64_t{0x80000}, top, 0, 0, mine}, -EPERM},
		{SYS_clone, {kThread | 0x10000000, top, 0, 0, mine}, -EPERM},
		{SYS_clone, {kThread | uint64_t{1} << 40, top, 0, 0, mine}, -EPERM},
		{SYS_clone, {kThread, 0, 0, 0, mine}, -EINVAL},
		{SYS_clone, {kThread, 100, 0, 0, mine}, -EINVAL},
		{SYS_clone, {kThread, host, 0, 0, mine}, -EINVAL},
		{SYS_clone, {kThread, top, 0, 0, host}, -EINVAL},
		{SYS_clone, {kThread, top, 0, 0, uint64_t{1} << 63}, -EINVAL},
		{SYS_clone, {kThread, top, 0, 0, ~uint64_t{0} - 8}, -EINVAL},
		{SYS_clone, {kThread | 0x100000, top, host, 0, mine}, -EFAULT},
		{SYS_clone, {kThread | 0x1000000, top, 0, host, mine}, -EFAULT},
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const auto &c = calls[i];

		if (call(c.nr, c.arg[0], c.arg[1], c.arg[2], c.arg[3], c.arg[4]) != c.want || fs_base() != mine) {
			return static_cast<int>(i) + 1;
		}
	}
	/* cleared when the thread ends */
	call(SYS_set_tid_address, host);
	return 0;
}

static void *end_with_word(void *host)
{
	call(SYS_set_tid_address, reinterpret_cast<uint64_t>(host));
	return nullptr;
}

int hostile_thread_with_word(uint64_t host)
{
	pthread_t thread;

	/* Nobody hears of its end. */
	return pthread_create(&thread, nullptr, end_with_word, reinterpret_cast<void *>(host)) == 0 ? pthread_detach(thread) : -1;
}
