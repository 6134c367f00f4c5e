/* SPDX-License-Identifier: Apache-2.0 */
// Threads that use no gate, but memory of a domain by a plain pointer: they attach when they first touch it, however old
// they are. The kernel gives a thread the rights its creator had, and none to keys that came later.
#include "needs_pku.h"

#include <lychgate/lychgate.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include "inside.h"

namespace
{

enum Age { OLDER_THAN_INIT, OLDER_THAN_THE_DOMAIN, YOUNGER };

struct World {
	lych_domain *domain;
	lych_region *region;
	volatile long *word;
	std::atomic<bool> ready{false};
	std::atomic<bool> own_stack{false};
	long got = 0;
	int errno_after = 0;
	unsigned long area_before = 1, area_after = 0;
	uint64_t mask_before = 0, mask_after = 0;
	double kept = 0;
};
World world;

uint64_t Mask()
{
	sigset_t set;
	uint64_t mask;

	pthread_sigmask(SIG_SETMASK, nullptr, &set);
	memcpy(&mask, &set, sizeof(mask));
	return mask;
}

void *Touch(void *)
{
	std::vector<char> stack(64 << 10);
	double x = 1;

	if (world.own_stack) {
		stack_t own = {};
		own.ss_sp = stack.data();
		own.ss_size = stack.size();
		sigaltstack(&own, nullptr);
	}
	while (!world.ready) {
		usleep(1000);
	}
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, nullptr);
	world.mask_before = Mask();
	errno = 77;
	x += 0.5;
	__asm__ volatile("" : "+x"(x)); // in a register over the fault
	world.got = *world.word;
	*world.word = 78;
	__asm__ volatile("" : "+x"(x));
	world.kept = x;
	world.errno_after = errno;
	world.mask_after = Mask();
	world.area_after = 0;
	inside look;
	inside_look(&look);
	world.area_after = look.area;
	return nullptr;
}

// In a child each, as lych_init is once in a process.
int Try(Age age, bool own_stack, bool of_a_region)
{
	pthread_t thread;

	world.own_stack = own_stack;
	if (age == OLDER_THAN_INIT) {
		pthread_create(&thread, nullptr, Touch, nullptr);
		usleep(20000);
	}
	lych_init_opts opts = {};
	opts.size = sizeof(opts);
	opts.backend = LYCH_PKU;
	if (lych_init(&opts) != 0) {
		return 10;
	}
	if (age == OLDER_THAN_THE_DOMAIN) {
		pthread_create(&thread, nullptr, Touch, nullptr);
	}
	if (lych_domain_new(&world.domain, nullptr) != 0 || lych_region_new(&world.region, 4096, nullptr) != 0) {
		return 11;
	}
	if (age == YOUNGER) {
		pthread_create(&thread, nullptr, Touch, nullptr);
	}
	world.word = static_cast<long *>(of_a_region ? lych_region_address(world.region)
						     : lych_alloc(world.domain, sizeof(long)));
	if (!of_a_region) {
		*world.word = 77;
	}
	world.ready = true;
	pthread_join(thread, nullptr);
	if (world.got != 77 || *world.word != 78) {
		return 12;
	}
	if (world.errno_after != 77 || world.kept != 1.5) {
		return 13; // the fault was to be seen
	}
	if (world.mask_after != world.mask_before) {
		return 14;
	}
	// One that had the right from its creator need not attach.
	if (age != YOUNGER && world.area_after == 0) {
		return 15;
	}
	return lych_verify(nullptr, nullptr) == 0 ? 0 : 16;
}

class UnattachedThread : public NeedsPku
{
protected:
	static int InAChild(Age age, bool own_stack = false, bool of_a_region = false)
	{
		int status = 0;
		pid_t child = fork();

		if (child == 0) {
			alarm(20);
			_exit(Try(age, own_stack, of_a_region));
		}
		EXPECT_EQ(waitpid(child, &status, 0), child);
		return status;
	}
};

TEST_F(UnattachedThread, ReadsADomainsMemoryThoughItIsOlderThanLychInit)
{
	EXPECT_EQ(InAChild(OLDER_THAN_INIT), 0);
}

TEST_F(UnattachedThread, ReadsADomainsMemoryThoughItIsOlderThanTheDomain)
{
	EXPECT_EQ(InAChild(OLDER_THAN_THE_DOMAIN), 0);
}

TEST_F(UnattachedThread, ReadsADomainsMemoryWhenItIsYounger)
{
	EXPECT_EQ(InAChild(YOUNGER), 0);
}

// Its handler would run on that stack, and there another one cannot be set.
TEST_F(UnattachedThread, WithAnAlternateStackOfItsOwnFromBeforeDoesNotAttachByAFault)
{
	int status = InAChild(OLDER_THAN_INIT, true);

	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << std::hex << status;
}

// A region is nobody's but for those who open it.
TEST_F(UnattachedThread, GetsNoRightThatTheHostDoesNotHave)
{
	for (Age age : {OLDER_THAN_INIT, OLDER_THAN_THE_DOMAIN, YOUNGER}) {
		int status = InAChild(age, false, true);

		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << age << ": " << std::hex << status;
	}
}

} // namespace
