// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" // in C a function may share its name with a struct
extern "C" {
#include "process.h"
}
#pragma GCC diagnostic pop

namespace
{

constexpr uint8_t wrpkru[] = {0x0f, 0x01, 0xef};
constexpr size_t page = 4096;

// A child that runs prepare, tells what it returned, and then waits to be ended.
class Child
{
      public:
	explicit Child(const std::function<void *()> &prepare)
	{
		int fds[2];

		if (pipe(fds) != 0) {
			abort();
		}
		pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			void *result = prepare();
			if (write(fds[1], &result, sizeof(result)) != sizeof(result)) {
				_exit(1);
			}
			for (;;) {
				pause();
			}
		}
		close(fds[1]);
		if (read(fds[0], &address, sizeof(address)) != sizeof(address)) {
			address = MAP_FAILED;
		}
		close(fds[0]);
	}
	~Child()
	{
		end();
	}
	void kill_only()
	{
		siginfo_t info;

		kill(pid, SIGKILL);
		waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
	}
	void end()
	{
		if (pid > 0) {
			kill(pid, SIGKILL);
			waitpid(pid, nullptr, 0);
			pid = -1;
		}
	}
	uint64_t at() const
	{
		return reinterpret_cast<uint64_t>(address);
	}

	pid_t pid = -1;
	void *address = MAP_FAILED;
};

class Opened
{
      public:
	explicit Opened(pid_t pid)
	{
		rc = process_open(&p, pid);
	}
	~Opened()
	{
		if (rc == 0) {
			process_close(&p);
		}
	}
	const process_mapping *find(uint64_t vaddr) const
	{
		for (size_t i = 0; i < p.count; i++) {
			if (p.items[i].start <= vaddr && vaddr < p.items[i].end) {
				return &p.items[i];
			}
		}
		return nullptr;
	}
	const process_mapping *find(process_kind kind) const
	{
		for (size_t i = 0; i < p.count; i++) {
			if (p.items[i].kind == kind) {
				return &p.items[i];
			}
		}
		return nullptr;
	}
	std::vector<uint8_t> bytes(uint64_t vaddr, size_t len) const
	{
		std::vector<uint8_t> buf(len);
		source src = process_source(&p);

		if (source_read(&src, vaddr, buf.data(), len) != 0) {
			buf.clear();
		}
		return buf;
	}

	process p;
	int rc;
};

const std::vector<uint8_t> planted(wrpkru, wrpkru + sizeof(wrpkru));

void *map_anonymous(size_t pages, int prot, void *where = nullptr)
{
	return mmap(where, pages * page, prot, MAP_PRIVATE | MAP_ANONYMOUS | (where ? MAP_FIXED : 0), -1, 0);
}

TEST(Process, AnonymousExecutablePageIsListedAndReadAsItIs)
{
	Child child([] {
		auto *mem = static_cast<uint8_t *>(map_anonymous(1, PROT_READ | PROT_WRITE | PROT_EXEC));
		memcpy(mem + 100, wrpkru, sizeof(wrpkru));
		return mem;
	});
	Opened process(child.pid);

	ASSERT_EQ(process.rc, 0);
	const process_mapping *m = process.find(child.at());
	ASSERT_NE(m, nullptr);
	EXPECT_EQ(m->kind, PROCESS_ANON);
	EXPECT_TRUE(m->writable);
	EXPECT_FALSE(m->shared);
	EXPECT_STREQ(process_path(&process.p, m), "");
	EXPECT_EQ(process.bytes(child.at() + 100, 3), planted);
	EXPECT_LT(process_open_backing(&process.p, m), 0);
}

TEST(Process, ExecuteOnlyMemoryIsReadNevertheless)
{
	Child child([] {
		auto *mem = static_cast<uint8_t *>(map_anonymous(1, PROT_READ | PROT_WRITE));
		memcpy(mem, wrpkru, sizeof(wrpkru));
		mprotect(mem, page, PROT_EXEC);
		return mem;
	});
	Opened process(child.pid);

	ASSERT_EQ(process.rc, 0);
	ASSERT_NE(process.find(child.at()), nullptr);
	EXPECT_FALSE(process.find(child.at())->readable);
	EXPECT_EQ(process.bytes(child.at(), 3), planted);
}

TEST(Process, MemoryThatIsNotExecutableIsNotListed)
{
	Child child([] { return map_anonymous(1, PROT_READ | PROT_WRITE); });
	Opened process(child.pid);

	ASSERT_EQ(process.rc, 0);
	EXPECT_EQ(process.find(child.at()), nullptr);
}

TEST(Process, AdjacentMappingsOfDifferentKindsJoinAndReadAcrossTheBorder)
{
	Child child([] {
		auto *mem = static_cast<uint8_t *>(map_anonymous(4, PROT_NONE));
		int fd = memfd_create("second", 0);
		uint8_t code[page] = {0x01, 0xef};

		map_anonymous(1, PROT_READ | PROT_WRITE | PROT_EXEC, mem + page);
		mem[2 * page - 1] = 0x0f;
		if (write(fd, code, sizeof(code)) == sizeof(code)) {
			mmap(mem + 2 * page, page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
		}
		return mem + page;
	});
	Opened process(child.pid);

	ASSERT_EQ(process.rc, 0);
	const process_mapping *first = process.find(child.at());
	const process_mapping *second = process.find(child.at() + page);
	ASSERT_NE(first, nullptr);
	ASSERT_EQ(second, first + 1);
	EXPECT_FALSE(first->joins);
	EXPECT_TRUE(second->joins);
	EXPECT_EQ(first->kind, PROCESS_ANON);
	EXPECT_EQ(second->kind, PROCESS_DELETED);
	EXPECT_STREQ(process_path(&process.p, second), "/memfd:second");
	EXPECT_EQ(process.bytes(child.at() + page - 1, 3), planted);
}

TEST(Process, DeletedFileIsNamedReadAndOpenedThroughTheKernel)
{
	char path[] = "/tmp/lych process test XXXXXX";
	int fd = mkstemp(path);
	std::vector<uint8_t> code(2 * page);

	ASSERT_GE(fd, 0);
	memcpy(&code[page + 7], wrpkru, sizeof(wrpkru));
	ASSERT_EQ(write(fd, code.data(), code.size()), static_cast<ssize_t>(code.size()));
	Child child([&] {
		void *mem = mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, page);
		unlink(path);
		return mem;
	});
	close(fd);
	Opened process(child.pid);

	ASSERT_EQ(process.rc, 0);
	const process_mapping *m = process.find(child.at());
	ASSERT_NE(m, nullptr);
	EXPECT_EQ(m->kind, PROCESS_DELETED);
	EXPECT_EQ(m->off, page);
	EXPECT_STREQ(process_path(&process.p, m), path);
	EXPECT_EQ(process.bytes(child.at() + 7, 3), planted);

	int backing = process_open_backing(&process.p, m);
	if (backing == -ENOENT && geteuid() != 0) {
		GTEST_SKIP() << "map_files needs CAP_CHECKPOINT_RESTORE";
	}
	ASSERT_GE(backing, 0);
	uint8_t back[3];
	EXPECT_EQ(pread(backing, back, 3, page + 7), 3);
	EXPECT_EQ(memcmp(back, wrpkru, 3), 0);
	close(backing);
}

TEST(Process, AnotherFileUnderTheSameNameIsNotTakenForTheMappedOne)
{
	char path[] = "/tmp/lych-process-test-XXXXXX";
	int fd = mkstemp(path);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(ftruncate(fd, page), 0);
	Child child([&] { return mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0); });
	Opened process(child.pid);
	ASSERT_EQ(process.rc, 0);
	process_mapping m = *process.find(child.at());
	EXPECT_EQ(m.kind, PROCESS_FILE);
	// Without map_files, as an unprivileged user: the range is not one of the process.
	m.end += page;
	int backing = process_open_backing(&process.p, &m);
	EXPECT_GE(backing, 0) << "the path still leads to the file";
	close(backing);

	std::string other = std::string(path) + ".other";
	close(open(other.c_str(), O_CREAT | O_WRONLY, 0600));
	ASSERT_EQ(rename(other.c_str(), path), 0);
	EXPECT_EQ(process_open_backing(&process.p, &m), -ENOENT);
	unlink(path);
	close(fd);
}

TEST(Process, VdsoIsFoundAndIsElf)
{
	Child child([] { return nullptr; });
	Opened process(child.pid);

	ASSERT_EQ(process.rc, 0);
	const process_mapping *vdso = process.find(PROCESS_VDSO);
	ASSERT_NE(vdso, nullptr);
	EXPECT_EQ(process.bytes(vdso->start, 4), (std::vector<uint8_t>{0x7f, 'E', 'L', 'F'}));
}

TEST(Process, VsyscallIsToldApartWhereThereIsOne)
{
	Opened process(getpid());

	ASSERT_EQ(process.rc, 0);
	const process_mapping *last = &process.p.items[process.p.count - 1];
	if (strcmp(process_path(&process.p, last), "[vsyscall]") != 0) {
		GTEST_SKIP() << "this kernel shows no vsyscall page";
	}
	EXPECT_EQ(last->kind, PROCESS_VSYSCALL);
	EXPECT_FALSE(last->joins);
	source src = process_source(&process.p);
	uint8_t byte;
	size_t got;
	EXPECT_EQ(source_read_some(&src, last->start, &byte, 1, &got), last->readable ? 0 : -EIO);
}

TEST(Process, PagesBehindTheEndOfTheFileGiveAnErrorAndTheOthersTheirBytes)
{
	Child child([] {
		int fd = memfd_create("short", 0);
		uint8_t code[page];

		memset(code, 0x0f, sizeof(code));
		if (write(fd, code, sizeof(code)) != sizeof(code)) {
			_exit(1);
		}
		return mmap(nullptr, 2 * page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	});
	Opened process(child.pid);
	ASSERT_EQ(process.rc, 0);
	ASSERT_NE(process.find(child.at()), nullptr);
	source src = process_source(&process.p);
	std::vector<uint8_t> buf(2 * page);
	size_t got = 0;

	EXPECT_EQ(source_read_some(&src, child.at(), buf.data(), buf.size(), &got), -EIO);
	EXPECT_EQ(got, page);
	EXPECT_EQ(buf[page - 1], 0x0f);
	EXPECT_EQ(process_gone(&process.p), 0);
}

TEST(Process, UntouchedAnonymousMemoryIsPassedOver)
{
	constexpr uint64_t size = UINT64_C(1) << 38; // 256 GiB: could not be read
	constexpr uint64_t touched = (UINT64_C(1) << 37) + 5 * page;
	Child child([] {
		auto *mem = static_cast<uint8_t *>(mmap(nullptr, size, PROT_READ | PROT_WRITE | PROT_EXEC,
							MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
		if (mem != MAP_FAILED) {
			madvise(mem, size, MADV_NOHUGEPAGE);
			memcpy(mem + touched + 9, wrpkru, sizeof(wrpkru));
			mem[touched + page] = 1;
			mem[size - 1] = 1;
		}
		return mem;
	});
	if (child.address == MAP_FAILED) {
		GTEST_SKIP() << "no address space for it";
	}
	Opened process(child.pid);
	ASSERT_EQ(process.rc, 0);
	const process_mapping *m = process.find(child.at());
	ASSERT_NE(m, nullptr);
	uint64_t start, end;

	ASSERT_TRUE(process_next_data(&process.p, m, -1, m->start, &start, &end));
	EXPECT_EQ(start, child.at() + touched);
	EXPECT_EQ(end, child.at() + touched + 2 * page);
	EXPECT_EQ(process.bytes(start + 9, 3), planted);
	ASSERT_TRUE(process_next_data(&process.p, m, -1, start + 9, &start, &end));
	EXPECT_EQ(start, child.at() + touched + 9);
	ASSERT_TRUE(process_next_data(&process.p, m, -1, end, &start, &end));
	EXPECT_EQ(start, child.at() + size - page);
	EXPECT_EQ(end, child.at() + size);
	EXPECT_FALSE(process_next_data(&process.p, m, -1, end, &start, &end));
}

TEST(Process, HolesOfAFileArePassedOverUnlessTheProcessWroteThere)
{
	constexpr uint64_t size = UINT64_C(1) << 40; // a terabyte that must not come into being
	Child child([] {
		int fd = memfd_create("sparse", 0);
		if (ftruncate(fd, size) != 0 || pwrite(fd, wrpkru, 3, 1 << 30) != 3) {
			return MAP_FAILED;
		}
		void *mem = mmap(nullptr, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
		if (mem != MAP_FAILED) {
			memcpy(static_cast<uint8_t *>(mem) + (1 << 29), wrpkru, 3);
		}
		return mem;
	});
	if (child.address == MAP_FAILED) {
		GTEST_SKIP() << "no address space for it";
	}
	Opened process(child.pid);
	ASSERT_EQ(process.rc, 0);
	const process_mapping *m = process.find(child.at());
	ASSERT_NE(m, nullptr);
	int backing = process_open_backing(&process.p, m);
	if (backing < 0 && geteuid() != 0) {
		GTEST_SKIP() << "map_files needs CAP_CHECKPOINT_RESTORE";
	}
	ASSERT_GE(backing, 0);
	uint64_t start, end;

	ASSERT_TRUE(process_next_data(&process.p, m, backing, 0, &start, &end));
	EXPECT_EQ(start, m->start + (1 << 29));
	EXPECT_EQ(end, start + page);
	EXPECT_EQ(process.bytes(start, 3), planted);
	ASSERT_TRUE(process_next_data(&process.p, m, backing, end, &start, &end));
	EXPECT_EQ(start, m->start + (1 << 30));
	EXPECT_EQ(process.bytes(start, 3), planted);
	EXPECT_FALSE(process_next_data(&process.p, m, backing, end, &start, &end));
	EXPECT_TRUE(process_next_data(&process.p, m, -1, 0, &start, &end));
	EXPECT_EQ(end - start, size);
	close(backing);
}

TEST(Process, MappingsOfFilesCountInFull)
{
	Opened process(getpid());
	ASSERT_EQ(process.rc, 0);
	const process_mapping *m = process.find(reinterpret_cast<uint64_t>(&process_open));
	ASSERT_NE(m, nullptr);
	uint64_t start, end;

	ASSERT_TRUE(process_next_data(&process.p, m, -1, 0, &start, &end));
	EXPECT_EQ(start, m->start);
	EXPECT_EQ(end, m->end);
}

TEST(Process, ManyMappingsAreListedInOrder)
{
	constexpr size_t pairs = 15000; // within vm.max_map_count
	Child child([] {
		auto *mem = static_cast<uint8_t *>(map_anonymous(2 * pairs, PROT_READ));
		for (size_t i = 0; i < pairs; i++) {
			if (mprotect(mem + 2 * i * page, page, PROT_READ | PROT_EXEC) != 0) {
				return MAP_FAILED;
			}
		}
		return static_cast<void *>(mem);
	});
	ASSERT_NE(child.address, MAP_FAILED);
	Opened process(child.pid);
	ASSERT_EQ(process.rc, 0);
	size_t found = 0;

	EXPECT_FALSE(process.p.malformed);
	EXPECT_FALSE(process.p.too_many);
	for (size_t i = 0; i < process.p.count; i++) {
		const process_mapping &m = process.p.items[i];

		ASSERT_TRUE(i == 0 || m.start >= process.p.items[i - 1].end);
		if (m.start >= child.at() && m.start < child.at() + 2 * pairs * page) {
			EXPECT_EQ((m.start - child.at()) % (2 * page), 0u);
			EXPECT_EQ(m.end - m.start, page);
			EXPECT_FALSE(m.joins);
			found++;
		}
	}
	EXPECT_EQ(found, pairs);
}

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

TEST(Process, BiasOfThisProgramAgreesWithItsOwnHeaders)
{
	Opened process(getpid());
	ASSERT_EQ(process.rc, 0);
	uint64_t here = reinterpret_cast<uint64_t>(&process_open);
	const process_mapping *m = process.find(here);
	ASSERT_NE(m, nullptr);
	int fd = process_open_backing(&process.p, m);
	ASSERT_GE(fd, 0);
	elf e = {};
	std::vector<Elf64_Phdr> phdrs;
	ASSERT_EQ(pread(fd, &e.ehdr, sizeof(e.ehdr), 0), static_cast<ssize_t>(sizeof(e.ehdr)));
	phdrs.resize(e.ehdr.e_phnum);
	ASSERT_EQ(pread(fd, phdrs.data(), phdrs.size() * sizeof(Elf64_Phdr), static_cast<off_t>(e.ehdr.e_phoff)),
		  static_cast<ssize_t>(phdrs.size() * sizeof(Elf64_Phdr)));
	e.phdrs = phdrs.data();
	e.nphdrs = phdrs.size();
	uint64_t bias = 0;
	ASSERT_TRUE(process_bias(&e, m, &bias));
	for (const Elf64_Phdr &ph : phdrs) {
		if (ph.p_type == PT_LOAD && ph.p_vaddr <= here - bias && here - bias < ph.p_vaddr + ph.p_memsz) {
			uint8_t in_file[16];
			ASSERT_EQ(pread(fd, in_file, 16, static_cast<off_t>(here - bias - ph.p_vaddr + ph.p_offset)), 16);
			EXPECT_EQ(memcmp(in_file, reinterpret_cast<void *>(here), 16), 0);
			EXPECT_TRUE(ph.p_flags & PF_X);
		}
	}
	close(fd);
}

} // namespace
