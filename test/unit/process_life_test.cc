// SPDX-License-Identifier: Apache-2.0
// Processes that change, end, or are somebody else's while they are looked at.
#include "process_child.h"

namespace
{

// Ordered by the parent through a pipe, so that a change happens between two reads.
class Changing : public testing::Test
{
      protected:
	void run(const std::function<void(uint8_t *)> &change)
	{
		ASSERT_EQ(pipe(go), 0);
		ASSERT_EQ(pipe(done), 0);
		child = std::make_unique<Child>([&]() -> void * {
			auto *mem = static_cast<uint8_t *>(map_anonymous(4, PROT_NONE));
			map_anonymous(1, PROT_READ | PROT_EXEC, mem + page);
			pthread_t thread;
			static std::function<void()> later;
			later = [=] {
				char c;
				if (read(go[0], &c, 1) == 1) {
					change(mem);
					if (write(done[1], &c, 1) != 1) {
						_exit(1);
					}
				}
			};
			pthread_create(
				&thread, nullptr,
				[](void *) -> void * {
					later();
					return nullptr;
				},
				nullptr);
			return mem;
		});
		opened = std::make_unique<Opened>(child->pid);
		ASSERT_EQ(opened->rc, 0);
		ASSERT_EQ(process_compare(&opened->p, &changes), 0);
		EXPECT_EQ(changes.added, 0u);
		EXPECT_EQ(changes.gone, 0u);
		char c = 0;
		ASSERT_EQ(write(go[1], &c, 1), 1);
		ASSERT_EQ(read(done[0], &c, 1), 1);
		ASSERT_EQ(process_compare(&opened->p, &changes), 0);
	}
	void TearDown() override
	{
		for (int fd : {go[0], go[1], done[0], done[1]}) {
			close(fd);
		}
	}

	int go[2], done[2];
	std::unique_ptr<Child> child;
	std::unique_ptr<Opened> opened;
	process_changes changes;
};

TEST_F(Changing, NewExecutableMappingIsNoticed)
{
	run([](uint8_t *mem) { map_anonymous(1, PROT_READ | PROT_EXEC, mem + 3 * page); });
	EXPECT_EQ(changes.added, 1u);
	EXPECT_EQ(changes.gone, 0u);
	EXPECT_EQ(changes.first, child->at() + 3 * page);
}

TEST_F(Changing, VanishedExecutableMappingIsNoticed)
{
	run([](uint8_t *mem) { munmap(mem + page, page); });
	EXPECT_EQ(changes.added, 0u);
	EXPECT_EQ(changes.gone, 1u);
	EXPECT_EQ(changes.first, child->at() + page);
}

TEST_F(Changing, ReplacedExecutableMappingIsNoticed)
{
	run([](uint8_t *mem) {
		int fd = memfd_create("other", 0);
		if (ftruncate(fd, page) == 0) {
			mmap(mem + page, page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
		}
	});
	EXPECT_EQ(changes.added, 1u);
	EXPECT_EQ(changes.gone, 1u);
}

TEST_F(Changing, DataMappingsDoNotMatter)
{
	run([](uint8_t *mem) { map_anonymous(1, PROT_READ | PROT_WRITE, mem + 3 * page); });
	EXPECT_EQ(changes.added, 0u);
	EXPECT_EQ(changes.gone, 0u);
}

TEST(Process, NoSuchProcessIsSaid)
{
	pid_t pid;
	{
		Child child([] { return nullptr; });
		pid = child.pid;
	}
	EXPECT_EQ(Opened(pid).rc, -ENOENT);
	EXPECT_EQ(Opened(0).rc, -EINVAL);
	EXPECT_EQ(Opened(-1).rc, -EINVAL);
}

TEST(Process, OfAnotherUserIsRefused)
{
	if (geteuid() != 0) {
		GTEST_SKIP() << "needs two users";
	}
	Child root([] { return nullptr; });
	pid_t pid = fork();
	if (pid == 0) {
		const bool other = setgid(65534) == 0 && setuid(65534) == 0;
		_exit(other && Opened(root.pid).rc == -EACCES ? 0 : 1);
	}
	int status = -1;
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
}

TEST(Process, ZombieHasEnded)
{
	Child child([] { return nullptr; });

	child.kill_only();
	EXPECT_EQ(Opened(child.pid).rc, -ESRCH);
}

TEST(Process, EndingMeanwhileIsNoticed)
{
	Child child([] { return map_anonymous(1, PROT_READ | PROT_EXEC); });
	Opened process(child.pid);
	process_changes changes;

	ASSERT_EQ(process.rc, 0);
	EXPECT_EQ(process_gone(&process.p), 0);
	const process_mapping *m = process.find(child.at());
	ASSERT_NE(m, nullptr);
	child.end();
	EXPECT_EQ(process_gone(&process.p), -ESRCH);
	EXPECT_EQ(process_compare(&process.p, &changes), -ESRCH);
	EXPECT_TRUE(process.bytes(child.at(), 3).empty());
	EXPECT_LT(process_open_backing(&process.p, m), 0);
}

TEST(Process, AnotherProgramMeanwhileIsNoticedAndNotMixedIn)
{
	int go[2];
	ASSERT_EQ(pipe(go), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char c;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (read(go[0], &c, 1) == 1) {
			execl("/bin/sleep", "sleep", "100", nullptr);
		}
		_exit(1);
	}
	{
		Opened process(pid);
		ASSERT_EQ(process.rc, 0);
		uint64_t here = reinterpret_cast<uint64_t>(&process_open);
		EXPECT_FALSE(process.bytes(here, 3).empty());
		ASSERT_EQ(write(go[1], "", 1), 1);
		int rc = 0;
		for (int i = 0; i < 1000 && rc == 0; i++) {
			rc = process_gone(&process.p);
			usleep(10000);
		}
		EXPECT_EQ(rc, -ESTALE);
		process_changes changes;
		EXPECT_EQ(process_compare(&process.p, &changes), -ESTALE);
		EXPECT_TRUE(process.bytes(here, 3).empty());
	}
	kill(pid, SIGKILL);
	waitpid(pid, nullptr, 0);
	close(go[0]);
	close(go[1]);
}

TEST(Process, WhoseFirstThreadHasEndedIsReadThroughAnother)
{
	int fds[2];
	ASSERT_EQ(pipe(fds), 0);
	static void *mem;
	pid_t pid = fork();
	if (pid == 0) {
		pthread_t thread;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		mem = map_anonymous(1, PROT_READ | PROT_WRITE | PROT_EXEC);
		memcpy(mem, wrpkru, sizeof(wrpkru));
		pthread_create(
			&thread, nullptr,
			[](void *) -> void * {
				for (;;) {
					pause();
				}
			},
			nullptr);
		if (write(fds[1], &mem, sizeof(mem)) == sizeof(mem)) {
			syscall(SYS_exit, 0); // this thread only
		}
		_exit(1);
	}
	ASSERT_EQ(read(fds[0], &mem, sizeof(mem)), static_cast<ssize_t>(sizeof(mem)));
	std::string stat = "/proc/" + std::to_string(pid) + "/stat";
	for (int i = 0; i < 1000; i++) {
		char buf[256] = {};
		int fd = open(stat.c_str(), O_RDONLY);
		ASSERT_GT(read(fd, buf, sizeof(buf) - 1), 0);
		close(fd);
		if (strstr(buf, ") Z") != nullptr) {
			break;
		}
		usleep(10000);
	}
	{
		Opened process(pid);
		ASSERT_EQ(process.rc, 0);
		uint64_t at = reinterpret_cast<uint64_t>(mem);
		ASSERT_NE(process.find(at), nullptr);
		EXPECT_EQ(process.bytes(at, 3), planted);
		EXPECT_EQ(process_gone(&process.p), 0);
	}
	kill(pid, SIGKILL);
	waitpid(pid, nullptr, 0);
	close(fds[0]);
	close(fds[1]);
}

TEST(Process, KernelThreadHasNothingToScan)
{
	Opened process(2);

	if (process.rc == -ENOENT || process.p.count > 0) {
		GTEST_SKIP() << "process 2 is not kthreadd here";
	}
	EXPECT_EQ(process.rc, 0);
	EXPECT_EQ(process.p.count, 0u);
	EXPECT_EQ(process_gone(&process.p), 0);
	process_changes changes;
	EXPECT_EQ(process_compare(&process.p, &changes), 0);
}

} // namespace
