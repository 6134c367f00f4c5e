// SPDX-License-Identifier: Apache-2.0
// G3, G5: libraries that attack by being loaded: what their text holds, what their constructors do, what the environment says.
#include "library_attack.h"

extern "C" {
uint64_t stray(const uint64_t *secret, void *zeros);
}
LYCH_SYM(domain, stray, uint64_t, (const uint64_t *, void *));

namespace
{

struct Row {
	const char *name, *path;
	bool rights; // that is what it gains without protection
};

void PrintTo(const Row &row, std::ostream *out)
{
	*out << row.name;
}

const Row kRows[] = {
	{"Wrpkru", LYCH_STRAYS "/stray_wrpkru.so", true},
	{"WrpkruOverABorder", LYCH_STRAYS "/stray_border.so", true},
	{"Xrstor", LYCH_STRAYS "/stray_xrstor.so", true},
	{"Wrgsbase", LYCH_STRAYS "/stray_wrgsbase.so", false},
};

class Strays : public LibraryAttack, public ::testing::WithParamInterface<Row>
{
};

TEST_P(Strays, InTheTextOfALibraryAreOfNoUse)
{
	IN_A_CHILD({
		World w;
		lych_domain *domain = nullptr;
		ASSERT_TRUE(w.Start());
		int rc = lych_open(&domain, GetParam().path, nullptr);
		if (rc != 0) {
			EXPECT_EQ(rc, -ENOEXEC) << lych_why();
			EXPECT_EQ(domain, nullptr);
		} else { // it stands there no more
			uint64_t taken = 0;
			void *zeros = lych_alloc_aligned(domain, 4096, 4096);
			memset(zeros, 0, 4096);
			EXPECT_EQ(LYCH_CALL(domain, &taken, stray, w.secret, zeros), -EFAULT);
			EXPECT_NE(taken, PREY_SECRET);
			EXPECT_EQ(lych_domain_free(domain), 0);
		}
		fprintf(stderr, "%s: %s\n", GetParam().name, rc != 0 ? lych_why() : "repaired");
		w.Check();
	});
	int status = ChildStatus([] {
		World *w = new World;
		void *library = dlopen(GetParam().path, RTLD_NOW);
		auto fn = library != nullptr ? reinterpret_cast<decltype(&stray)>(dlsym(library, "stray")) : nullptr;
		if (fn == nullptr || !w->Bare(GetParam().rights)) {
			_exit(2);
		}
		void *zeros = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		_exit(fn(w->secret, zeros) == PREY_SECRET ? 0 : 3);
	});
	EXPECT_EQ(status, 0) << Ending(status);
}

INSTANTIATE_TEST_SUITE_P(Library, Strays, ::testing::ValuesIn(kRows), [](const auto &one) { return std::string(one.param.name); });

class Loaded : public LibraryAttack
{
};

const char *const kEnvironment[][2] = {{"PASSWORD", "hunter2"},
				       {"LD_PRELOAD", LYCH_STRAYS "/stray_wrpkru.so"},
				       {"LD_AUDIT", LYCH_STRAYS "/stray_wrgsbase.so"},
				       {"LD_LIBRARY_PATH", "/tmp:" LYCH_STRAYS},
				       {"LD_DEBUG", "all"},
				       {"LD_BIND_NOT", "1"},
				       {"GLIBC_TUNABLES", "glibc.malloc.check=3:glibc.pthread.rseq=1"},
				       {"MALLOC_TRACE", "/tmp/trace"}};

TEST_F(Loaded, ConstructorsAreToldWhatEverybodyIsAndSeeNoEnvironment)
{
	IN_A_CHILD({
		World w;
		lych_domain *domain = nullptr;
		for (const auto &e : kEnvironment) {
			setenv(e[0], e[1], 1);
		}
		ASSERT_TRUE(w.Start());
		std::string loaded;
		lych_library_opts opts = {};
		opts.size = sizeof(opts);
		opts.tell_ctx = &loaded;
		opts.on_file = [](const char *path, uint64_t, void *out) { *static_cast<std::string *>(out) += std::string(path) + "\n"; };
		ASSERT_EQ(lych_open(&domain, LYCH_STRAYS "/constructor.so", &opts), 0) << lych_why();
		EXPECT_NE(loaded.find("/constructor.so\n"), std::string::npos) << loaded;
		EXPECT_EQ(loaded.find("stray"), std::string::npos) << "LD_PRELOAD, LD_AUDIT: " << loaded;
		EXPECT_EQ(lych_load(domain, "stray_border.so"), -ENOENT) << "LD_LIBRARY_PATH";
		void *variables = nullptr;
		ASSERT_EQ(lych_symbol(domain, &variables, "environ", nullptr), 0);
		std::string environment;
		for (char **e = *static_cast<char ***>(variables); *e != nullptr; e++) {
			environment += std::string(*e) + "\n";
		}
		EXPECT_EQ(environment, "GLIBC_TUNABLES=glibc.pthread.rseq=0\nLD_BIND_NOW=1\n");
		void *told = nullptr, *count = nullptr, *secret = nullptr;
		ASSERT_EQ(lych_symbol(domain, &told, "constructor_told", nullptr), 0);
		ASSERT_EQ(lych_symbol(domain, &count, "constructor_told_count", nullptr), 0);
		ASSERT_EQ(lych_symbol(domain, &secret, "constructor_secret", nullptr), 0);
		EXPECT_EQ(*static_cast<long *>(count), 11);
		EXPECT_EQ(*static_cast<long *>(secret), 0) << "the host's environment is there";
		for (long i = 0; i < 11; i++) {
			EXPECT_LT(static_cast<long *>(told)[i], 0) << i;
		}
		EXPECT_EQ(lych_domain_free(domain), 0);
		w.Check();
	});
	// the control: loaded by the program itself
	int status = ChildStatus([] {
		setenv("PASSWORD", "hunter2", 1);
		signal(SIGURG, SIG_IGN);
		void *library = dlopen(LYCH_STRAYS "/constructor.so", RTLD_NOW);
		auto *told = library != nullptr ? static_cast<long *>(dlsym(library, "constructor_told")) : nullptr;
		auto *secret = library != nullptr ? static_cast<long *>(dlsym(library, "constructor_secret")) : nullptr;
		_exit(told != nullptr && told[0] >= 0 && told[6] >= 0 && told[8] == 0 && *secret == 1 ? 0 : 3);
	});
	EXPECT_EQ(status, 0) << Ending(status);
	// of its own loader: a program that is started so has it loaded
	status = ChildStatus([] {
		setenv("LD_PRELOAD", LYCH_STRAYS "/constructor_faults.so", 1);
		execl("/proc/self/exe", "loaded", "--gtest_list_tests", nullptr);
		_exit(3);
	});
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << Ending(status);
}

TEST_F(Loaded, ConstructorsThatFaultExitOrSayTheyAreReadyEndTheOpeningOnly)
{
	IN_A_CHILD({
		World w;
		ASSERT_TRUE(w.Start());
		for (const char *path : {LYCH_STRAYS "/constructor_faults.so", LYCH_STRAYS "/constructor_exits.so",
					 LYCH_STRAYS "/constructor_ready.so", LYCH_STRAYS "/constructor_parks.so"}) {
			lych_domain *none = nullptr;
			EXPECT_EQ(lych_open(&none, path, nullptr), -EFAULT) << path << ": " << lych_why();
			EXPECT_EQ(none, nullptr);
			EXPECT_STRNE(lych_why(), "");
		}
		w.Check();
		long result = 0;
		EXPECT_EQ(w.Attack("attack_nothing", &result), 0);
	});
	for (const char *path : {LYCH_STRAYS "/constructor_faults.so", LYCH_STRAYS "/constructor_exits.so"}) {
		int status = ChildStatus([path] {
			signal(SIGURG, SIG_IGN);
			dlopen(path, RTLD_NOW);
			_exit(3);
		});
		EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 3) << "the control: " << Ending(status);
	}
}

} // namespace
