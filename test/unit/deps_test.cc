// SPDX-License-Identifier: Apache-2.0
// The oracle is the system's ld.so as ldd(1) asks it: it resolves as for a real start and runs nothing.
#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "elf_builder.h"

extern "C" {
#include "deps.h"
}

namespace
{

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char ldso_path[] = "/lib64/ld-linux-x86-64.so.2";

struct Result {
	int rc;
	std::vector<std::string> paths, names;
	std::string diags; // all messages, a line each
	int errors = 0;
};

std::string real(const std::string &path)
{
	char buf[PATH_MAX];
	return realpath(path.c_str(), buf) ? buf : path;
}

Result deps(const std::string &exe, const char *library_path = nullptr, const deps_system *system = nullptr)
{
	Result r;
	lych_deps_opts opts = {};
	auto found = [](void *ctx, const char *path, const char *needed) {
		static_cast<Result *>(ctx)->paths.push_back(path);
		static_cast<Result *>(ctx)->names.push_back(needed);
		return 0;
	};

	opts.size = sizeof(opts);
	opts.library_path = library_path;
	opts.ctx = &r;
	opts.diag = [](void *ctx, const lych_diag *d) {
		static_cast<Result *>(ctx)->diags += std::string(d->message) + "\n";
		static_cast<Result *>(ctx)->errors += d->severity == LYCH_DIAG_ERROR;
	};
	r.rc = system ? deps_list(exe.c_str(), &opts, system, found, &r) : lych_deps(exe.c_str(), &opts, found, &r);
	return r;
}

std::string output_of(const std::string &command)
{
	std::string out;
	char buf[4096];
	FILE *f = popen(command.c_str(), "r");
	size_t n;

	while (f != nullptr && (n = fread(buf, 1, sizeof(buf), f)) > 0) {
		out.append(buf, n);
	}
	if (f != nullptr) {
		pclose(f);
	}
	return out;
}

// Libraries in the order of loading, without the vDSO and ld.so itself; what was not found as "NAME missing".
std::vector<std::string> oracle(const std::string &exe, const char *library_path = nullptr)
{
	std::string command = std::string(ldso_path) + " ";
	std::vector<std::string> paths;

	if (library_path != nullptr) {
		command += std::string("--library-path '") + library_path + "' ";
	}
	std::string out = output_of("env -u LD_LIBRARY_PATH -u LD_PRELOAD LD_TRACE_LOADED_OBJECTS=1 " + command +
				    "'" + exe + "' 2>/dev/null");
	for (size_t at = 0; at < out.size();) {
		const size_t end = out.find('\n', at);
		std::string line = out.substr(at, end - at);
		const size_t arrow = line.find(" => ");
		std::string path = line.substr(arrow == std::string::npos ? 1 : arrow + 4);

		at = end + 1;
		if (path == "not found") {
			paths.push_back(line.substr(1, arrow - 1) + " missing");
		} else if (path[0] == '/' && real(path.substr(0, path.rfind(" (0x"))) != real(ldso_path)) {
			paths.push_back(real(path.substr(0, path.rfind(" (0x"))));
		}
	}
	return paths;
}

// The same of a result.
std::vector<std::string> libraries(const Result &r)
{
	std::vector<std::string> paths;

	for (size_t i = 1; i < r.paths.size(); i++) {
		if (real(r.paths[i]) != real(ldso_path)) {
			paths.push_back(real(r.paths[i]));
		}
	}
	return paths;
}

class Deps : public testing::Test
{
      protected:
	void SetUp() override
	{
		char name[] = "/tmp/lych-deps-XXXXXX";
		ASSERT_NE(mkdtemp(name), nullptr);
		dir = name;
	}
	void TearDown() override
	{
		run("rm -rf '" + dir + "'");
	}
	void run(const std::string &command)
	{
		ASSERT_EQ(system(("cd " + dir + " && " + command).c_str()), 0) << command;
	}
	// Makes path, whose soname is the last part of it, needing the files in needs, with more linker options.
	void library(const std::string &path, const std::string &needs = "", const std::string &options = "")
	{
		link("-shared -Wl,-soname," + path.substr(path.rfind('/') + 1), path, needs, options);
	}
	void program(const std::string &path, const std::string &needs = "", const std::string &options = "")
	{
		link("-pie -Wl,-e,0", path, needs, options);
	}
	void link(const std::string &how, const std::string &path, const std::string &needs, const std::string &options)
	{
		run("mkdir -p $(dirname " + path + ") && cc -nostdlib -fPIC " + how + " -o " + path +
		    " -x c /dev/null -x none -Wl,--no-as-needed -Wl,--allow-shlib-undefined " + options + " " + needs);
	}
	std::string at(const std::string &path) const
	{
		return real(dir) + "/" + path;
	}
	// Our answer is what ld.so says; returns it for a look at what that was.
	Result agree(const std::string &exe, const char *library_path = nullptr)
	{
		Result r = deps(at(exe), library_path);
		std::vector<std::string> want = oracle(at(exe), library_path);
		size_t missing = 0;

		for (auto it = want.begin(); it != want.end();) {
			if (it->size() > 8 && it->compare(it->size() - 8, 8, " missing") == 0) {
				EXPECT_THAT(r.diags, HasSubstr(it->substr(0, it->size() - 8) + ", needed by"));
				it = want.erase(it);
				missing++;
			} else {
				++it;
			}
		}
		EXPECT_EQ(libraries(r), want);
		EXPECT_EQ(r.rc, missing > 0 ? -ENODATA : 0) << r.diags;
		return r;
	}

	std::string dir;
	const std::string rpath = "-Wl,--disable-new-dtags,-rpath,";
	const std::string runpath = "-Wl,--enable-new-dtags,-rpath,";
};

TEST_F(Deps, ProgramComesFirstThenItsInterpreterThenLibrariesBreadthFirst)
{
	library("lib/libc1.so");
	library("lib/libb.so");
	library("lib/liba.so", "lib/libc1.so", runpath + "'$ORIGIN'");
	program("exe", "lib/liba.so lib/libb.so", runpath + "'$ORIGIN/lib'");
	Result r = agree("exe");

	EXPECT_THAT(r.paths,
		    ElementsAre(at("exe"), ldso_path, at("lib/liba.so"), at("lib/libb.so"), at("lib/libc1.so")));
	EXPECT_THAT(r.names, ElementsAre(at("exe"), ldso_path, "liba.so", "libb.so", "libc1.so"));
}

TEST_F(Deps, RpathOfTheProgramServesItsLibraries)
{
	library("lib/libb.so");
	library("lib/liba.so", "lib/libb.so");
	program("exe", "lib/liba.so", rpath + "'$ORIGIN/lib'");
	EXPECT_THAT(libraries(agree("exe")), ElementsAre(at("lib/liba.so"), at("lib/libb.so")));
}

TEST_F(Deps, RunpathOfTheProgramDoesNot)
{
	library("lib/libb.so");
	library("lib/liba.so", "lib/libb.so");
	program("exe", "lib/liba.so", runpath + "'$ORIGIN/lib'");
	Result r = agree("exe");
	EXPECT_THAT(libraries(r), ElementsAre(at("lib/liba.so")));
	EXPECT_EQ(r.rc, -ENODATA);
	EXPECT_THAT(r.diags, HasSubstr("libb.so, needed by " + at("lib/liba.so") + ", was not found"));
}

TEST_F(Deps, RunpathSwitchesTheRpathsOfLoadersOff)
{
	library("lib/libb.so");
	library("lib/liba.so", "lib/libb.so", runpath + "/nonexistent");
	program("exe", "lib/liba.so", rpath + "'$ORIGIN/lib'");
	EXPECT_THAT(libraries(agree("exe")), ElementsAre(at("lib/liba.so")));
}

TEST_F(Deps, RpathIsInheritedThroughTheChainOfLoaders)
{
	library("deep/libc1.so");
	library("deep/libb.so", "deep/libc1.so");
	library("lib/liba.so", "deep/libb.so", rpath + "'$ORIGIN/../deep'");
	library("lib/libz0.so", "deep/libb.so");
	program("exe", "lib/liba.so", runpath + "'$ORIGIN/lib'");
	EXPECT_THAT(libraries(agree("exe")), ElementsAre(at("lib/liba.so"), at("deep/libb.so"), at("deep/libc1.so")));
	// A library that another one loads gets nothing from it.
	program("exe2", "lib/libz0.so lib/liba.so", runpath + "'$ORIGIN/lib'");
	EXPECT_EQ(agree("exe2").rc, -ENODATA);
}

TEST_F(Deps, LibraryPathComesBehindRpathAndBeforeRunpath)
{
	for (const char *sub : {"own", "env"}) {
		library(std::string(sub) + "/liba.so");
	}
	program("with_rpath", "own/liba.so", rpath + "'$ORIGIN/own'");
	program("with_runpath", "own/liba.so", runpath + "'$ORIGIN/own'");
	const std::string env = at("env");

	EXPECT_THAT(libraries(agree("with_rpath", env.c_str())), ElementsAre(at("own/liba.so")));
	EXPECT_THAT(libraries(agree("with_runpath", env.c_str())), ElementsAre(at("env/liba.so")));
	EXPECT_THAT(libraries(agree("with_runpath")), ElementsAre(at("own/liba.so")));
	EXPECT_THAT(libraries(agree("with_runpath", ("/nonexistent;" + env + "//").c_str())),
		    ElementsAre(at("env/liba.so")));
	EXPECT_THAT(libraries(agree("with_runpath", "$ORIGIN/env")), ElementsAre(at("env/liba.so")));
}

TEST_F(Deps, EnvironmentIsNotAsked)
{
	library("own/liba.so");
	library("env/liba.so");
	program("exe", "own/liba.so", runpath + "'$ORIGIN/own'");
	setenv("LD_LIBRARY_PATH", at("env").c_str(), 1);
	Result r = deps(at("exe"));
	unsetenv("LD_LIBRARY_PATH");
	EXPECT_THAT(libraries(r), ElementsAre(at("own/liba.so")));
}

TEST_F(Deps, TokensAreReplaced)
{
	const std::string platform = ldso_cpu_of_host().platform;
	library("lib/x86_64-linux-gnu/liba.so");
	library(platform + "/libb.so");
	library("original/libc1.so");
	library("d/libd.so");
	program("exe",
		"lib/x86_64-linux-gnu/liba.so " + platform + "/libb.so original/libc1.so d/libd.so",
		runpath + "'$ORIGIN/$LIB:${ORIGIN}/${PLATFORM}:$ORIGIN/$ORIGINAL:$ORIGIN/${ORIGIN:${ORIGIN}/d'");
	run("mv original '$ORIGINAL'");
	EXPECT_EQ(libraries(agree("exe")).size(), 4u);
}

TEST_F(Deps, OriginOfAProgramIsWhereItReallyIs)
{
	library("real/liba.so");
	program("real/exe", "real/liba.so", runpath + "'$ORIGIN'");
	run("mkdir other && ln -s ../real/exe other/link");
	Result r = deps(at("other/link"));

	EXPECT_THAT(libraries(r), ElementsAre(at("real/liba.so")));
	EXPECT_EQ(r.paths[0], at("other/link")) << "the name given is the one reported";
}

TEST_F(Deps, OriginOfALibraryIsWhereItWasFound)
{
	library("real/libb.so");
	library("real/liba.so", "real/libb.so", runpath + "'$ORIGIN'");
	run("mkdir other && ln -s ../real/liba.so other/liba.so");
	program("exe", "real/liba.so", runpath + "'$ORIGIN/other'");
	EXPECT_EQ(agree("exe").rc, -ENODATA);
}

TEST_F(Deps, NamesWithASlashArePaths)
{
	run("mkdir -p d && cc -shared -nostdlib -o d/liba.so -x c /dev/null"); // without soname
	program("exe", at("d/liba.so"));
	EXPECT_THAT(libraries(agree("exe")), ElementsAre(at("d/liba.so")));
	run("rm d/liba.so");
	EXPECT_EQ(agree("exe").rc, -ENODATA);
}

TEST_F(Deps, CyclesEnd)
{
	library("lib/libb.so");
	library("lib/liba.so", "lib/libb.so", runpath + "'$ORIGIN'");
	library("lib/libb.so", "lib/liba.so", runpath + "'$ORIGIN'");
	program("exe", "lib/liba.so", runpath + "'$ORIGIN/lib'");
	EXPECT_THAT(libraries(agree("exe")), ElementsAre(at("lib/liba.so"), at("lib/libb.so")));
}

TEST_F(Deps, OneFileUnderTwoNamesIsListedOnce)
{
	library("lib/liba.so");
	library("stub/libalias.so");
	library("stub/liba.so.1");
	run("ln -s liba.so lib/libalias.so && ln lib/liba.so lib/liba.so.1");
	program("exe", "stub/libalias.so stub/liba.so.1 lib/liba.so", runpath + "'$ORIGIN/lib'");
	EXPECT_THAT(libraries(agree("exe")), ElementsAre(at("lib/liba.so")));
}

TEST_F(Deps, SonameOfALoadedLibraryAnswers)
{
	library("lib/liba.so");
	run("mkdir odd && mv lib/liba.so odd/libother.so");
	library("stub/libother.so");
	library("stub/liba.so");
	program("exe", "stub/libother.so stub/liba.so", runpath + "'$ORIGIN/odd:$ORIGIN/stub'");
	EXPECT_THAT(libraries(agree("exe")), ElementsAre(at("odd/libother.so")));
}

TEST_F(Deps, LibrariesOfAnotherClassOrMachineArePassedOver)
{
	for (const char *sub : {"class32", "aarch64", "right"}) {
		library(std::string(sub) + "/liba.so");
	}
	auto patch = [&](const char *file, long offset, char byte) {
		std::fstream f(at(file), std::ios::in | std::ios::out | std::ios::binary);
		f.seekp(offset);
		f.put(byte);
	};
	patch("class32/liba.so", EI_CLASS, ELFCLASS32);
	patch("aarch64/liba.so", 18, static_cast<char>(183));
	program("exe", "right/liba.so", runpath + "'$ORIGIN/class32:$ORIGIN/aarch64:$ORIGIN/right'");
	EXPECT_THAT(libraries(agree("exe")), ElementsAre(at("right/liba.so")));
	run("rm right/liba.so");
	EXPECT_THAT(agree("exe").diags, HasSubstr("only for another machine"));
}

TEST_F(Deps, BrokenLibraryIsAnErrorAndNotReplacedByTheNext)
{
	library("right/liba.so");
	run("mkdir broken && echo hello > broken/liba.so");
	program("exe", "right/liba.so", runpath + "'$ORIGIN/broken:$ORIGIN/right'");
	Result r = deps(at("exe"));

	EXPECT_EQ(r.rc, -ENODATA);
	EXPECT_THAT(libraries(r), IsEmpty());
	EXPECT_THAT(r.diags, HasSubstr("liba.so cannot be loaded"));
	EXPECT_THAT(oracle(at("exe")), IsEmpty()) << "ld.so stops";
}

TEST_F(Deps, DefaultDirectoriesAreNotSearchedForProgramsThatSaySo)
{
	program("exe", "-lc", "-Wl,-z,nodefaultlib");
	EXPECT_EQ(agree("exe").rc, -ENODATA);
	program("plain", "-lc");
	EXPECT_EQ(libraries(agree("plain")).size(), 1u);
}

TEST_F(Deps, FilteesAreLoadedToo)
{
	library("lib/libf.so");
	library("lib/libx.so");
	library("lib/liba.so", "", runpath + "'$ORIGIN' -Wl,-F,libf.so");
	library("lib/libb.so", "", runpath + "'$ORIGIN' -Wl,-f,libx.so -Wl,-f,libnone.so");
	program("exe", "lib/liba.so lib/libb.so", runpath + "'$ORIGIN/lib'");
	std::vector<std::string> got = libraries(deps(at("exe"))), want = oracle(at("exe"));

	// ldd names what is missing; a start does without an auxiliary library.
	want.erase(std::remove(want.begin(), want.end(), "libnone.so missing"), want.end());
	EXPECT_EQ(deps(at("exe")).rc, 0);
	EXPECT_THAT(got, ElementsAre(at("lib/liba.so"), at("lib/libb.so"), at("lib/libf.so"), at("lib/libx.so")));
	EXPECT_THAT(got, testing::UnorderedElementsAreArray(want));
}

TEST_F(Deps, SubdirectoriesForThisProcessorAreUsedAsLdSoUsesThem)
{
	// Whatever the processor and the version of glibc: the best of all is removed until none is left.
	const char *subs[] = {"glibc-hwcaps/x86-64-v4",
			      "glibc-hwcaps/x86-64-v3",
			      "glibc-hwcaps/x86-64-v2",
			      "tls/haswell/avx512_1/x86_64",
			      "tls/haswell/avx512_1",
			      "tls/haswell/x86_64",
			      "tls/haswell",
			      "tls/avx512_1/x86_64",
			      "tls/x86_64/x86_64",
			      "tls/x86_64",
			      "tls",
			      "haswell/avx512_1",
			      "haswell",
			      "avx512_1",
			      "x86_64"};
	library("lib/liba.so");
	for (const char *sub : subs) {
		run(std::string("mkdir -p lib/") + sub + " && cp lib/liba.so lib/" + sub);
	}
	program("exe", "lib/liba.so", runpath + "'$ORIGIN/lib'");
	size_t steps = 0;
	for (std::string last; last != at("lib/liba.so"); steps++) {
		Result r = agree("exe");
		ASSERT_EQ(libraries(r).size(), 1u);
		last = libraries(r)[0];
		run("rm " + last);
	}
	EXPECT_GE(steps, 1u);
}

TEST_F(Deps, SubdirectoriesFollowTheLevelOfTheProcessor)
{
	library("lib/liba.so");
	run("mkdir -p lib/glibc-hwcaps/x86-64-v2 lib/glibc-hwcaps/x86-64-v3 &&"
	    "cp lib/liba.so lib/glibc-hwcaps/x86-64-v2 && cp lib/liba.so lib/glibc-hwcaps/x86-64-v3");
	program("exe", "lib/liba.so", runpath + "'$ORIGIN/lib'");
	deps_system system = deps_system_of_host();
	const char *want[] = {"", "lib/liba.so", "lib/glibc-hwcaps/x86-64-v2/liba.so",
			      "lib/glibc-hwcaps/x86-64-v3/liba.so", "lib/glibc-hwcaps/x86-64-v3/liba.so"};
	for (unsigned level = 1; level <= 4; level++) {
		system.cpu = {level, false, "x86_64"};
		EXPECT_THAT(libraries(deps(at("exe"), nullptr, &system)), ElementsAre(at(want[level]))) << level;
	}
}

TEST_F(Deps, PreloadedLibrariesAreListed)
{
	library("lib/libb.so");
	library("lib/libp.so", "lib/libb.so", runpath + "'$ORIGIN'");
	library("lib/liba.so");
	program("exe", "lib/liba.so", runpath + "'$ORIGIN/lib'");
	run("printf '# comment " + at("lib/liba.so") + "\\n" + at("lib/libp.so") + ":libnone.so\\n' > preload");
	deps_system system = deps_system_of_host();
	const std::string preload = at("preload");
	system.preload = preload.c_str();
	Result r = deps(at("exe"), nullptr, &system);

	EXPECT_EQ(r.rc, 0) << "ld.so goes on without what cannot be preloaded";
	EXPECT_THAT(libraries(r), ElementsAre(at("lib/libp.so"), at("lib/liba.so"), at("lib/libb.so")));
	EXPECT_THAT(r.diags, HasSubstr("libnone.so, needed by " + preload));
}

TEST_F(Deps, CacheIsAskedBeforeTheDefaultDirectories)
{
	library("lib/liblych-cached.so");
	program("exe", "lib/liblych-cached.so");
	run("echo " + at("lib") + " > conf && /sbin/ldconfig -X -C cache -f conf 2>/dev/null");
	deps_system system = deps_system_of_host();
	const std::string cache = at("cache");

	EXPECT_EQ(deps(at("exe"), nullptr, &system).rc, -ENODATA);
	system.cache = cache.c_str();
	EXPECT_THAT(libraries(deps(at("exe"), nullptr, &system)), ElementsAre(at("lib/liblych-cached.so")));
	run("rm lib/liblych-cached.so");
	EXPECT_EQ(deps(at("exe"), nullptr, &system).rc, -ENODATA) << "the cache is out of date";
}

TEST_F(Deps, StaticProgramStandsAlone)
{
	link("-static -Wl,-e,0", "exe", "", "");
	Result r = deps(at("exe"));
	EXPECT_EQ(r.rc, 0);
	EXPECT_THAT(r.paths, ElementsAre(at("exe")));
	EXPECT_THAT(r.diags, IsEmpty());
}

TEST_F(Deps, LibraryByItselfIsAnsweredAsLdSoWould)
{
	library("liba.so", "-lc");
	EXPECT_EQ(libraries(agree("liba.so")).size(), 1u);
}

TEST_F(Deps, MissingOrForeignInterpreterIsSaid)
{
	program("none", "", "-Wl,--dynamic-linker,/nonexistent/ld.so");
	Result r = deps(at("none"));
	EXPECT_EQ(r.rc, -ENODATA);
	EXPECT_THAT(r.diags, HasSubstr("/nonexistent/ld.so cannot be loaded"));

	library("musl.so");
	program("other", "", "-Wl,--dynamic-linker," + at("musl.so"));
	r = deps(at("other"));
	EXPECT_EQ(r.rc, 0);
	EXPECT_THAT(r.paths, ElementsAre(at("other"), at("musl.so")));
	EXPECT_THAT(r.diags, HasSubstr("not glibc's ld.so"));
}

TEST_F(Deps, RaisedPrivilegesAreSaid)
{
	program("exe");
	run("chmod u+s exe");
	EXPECT_THAT(deps(at("exe")).diags, HasSubstr("raised privileges"));
}

TEST_F(Deps, FilesThatAreNoProgramsAreErrors)
{
	run("mkfifo fifo && mkdir d && : > empty && printf '#!/bin/sh\\n' > script && ln -s loop loop");
	EXPECT_EQ(deps(at("none")).rc, -ENOENT);
	EXPECT_EQ(deps(at("fifo")).rc, -ENOTSUP);
	EXPECT_EQ(deps("/dev/null").rc, -ENOTSUP);
	EXPECT_EQ(deps(at("d")).rc, -EISDIR);
	EXPECT_EQ(deps(at("empty")).rc, -ENOEXEC);
	EXPECT_EQ(deps(at("script")).rc, -ENOEXEC);
	EXPECT_EQ(deps(at("loop")).rc, -ELOOP);
	EXPECT_THAT(deps(at("script")).diags, HasSubstr("script"));
}

TEST_F(Deps, FifoAmongTheLibrariesDoesNotHang)
{
	library("right/liba.so");
	run("mkdir trap && mkfifo trap/liba.so");
	program("exe", "right/liba.so", runpath + "'$ORIGIN/trap:$ORIGIN/right'");
	EXPECT_THAT(libraries(deps(at("exe"))), ElementsAre(at("right/liba.so")));
}

TEST_F(Deps, CallbackEndsTheWalk)
{
	program("exe", "-lc");
	int calls = 0;
	auto stop = [](void *ctx, const char *, const char *) { return ++*static_cast<int *>(ctx) == 2 ? -1 : 0; };
	EXPECT_EQ(lych_deps(at("exe").c_str(), nullptr, stop, &calls), -ECANCELED);
	EXPECT_EQ(calls, 2);
}

TEST_F(Deps, BadArgumentsAreRefused)
{
	lych_deps_opts opts = {};
	auto found = [](void *, const char *, const char *) { return 0; };
	EXPECT_EQ(lych_deps("/bin/true", &opts, found, nullptr), -EINVAL) << "size 0";
	EXPECT_EQ(lych_deps(nullptr, nullptr, found, nullptr), -EINVAL);
	EXPECT_EQ(lych_deps("/bin/true", nullptr, nullptr, nullptr), -EINVAL);
}

// 4000 names in 6000 directories: 24 million looks, which no program needs.
TEST_F(Deps, SearchWithoutEndIsGivenUp)
{
	constexpr uint64_t strings = 0x1000, dynamic = 0x40000;
	ElfBuilder b;
	std::string text(1, '\0');
	std::vector<Elf64_Dyn> entries = {{DT_STRTAB, {strings}}, {DT_RUNPATH, {1}}};

	for (int i = 0; i < 6000; i++) {
		text += i == 0 ? "$ORIGIN/." : ":$ORIGIN/.";
	}
	text += '\0';
	for (int i = 0; i < 4000; i++) {
		entries.push_back({DT_NEEDED, {text.size()}});
		text += "lib" + std::to_string(i) + '\0';
	}
	entries.push_back({DT_NULL, {0}});
	b.section_headers = false;
	b.segment(PF_R, 0, 0, 0x100000);
	b.program_header(PT_DYNAMIC, PF_R, dynamic, dynamic, 16, 16);
	b.put(strings, text.data(), text.size());
	b.put(dynamic, entries.data(), entries.size() * sizeof(entries[0]));
	b.reserve(0x100000);
	const std::vector<uint8_t> file = b.build();
	std::ofstream(at("exe"), std::ios::binary).write(reinterpret_cast<const char *>(file.data()),
							  static_cast<std::streamsize>(file.size()));
	Result r = deps(at("exe"));

	EXPECT_EQ(r.rc, -EFBIG);
	EXPECT_THAT(r.diags, HasSubstr("than any program has"));
}

TEST(DepsOfTheSystem, AreThoseThatLdSoLists)
{
	std::vector<std::string> programs;
	DIR *dir = opendir("/usr/bin");

	ASSERT_NE(dir, nullptr);
	while (dirent *entry = readdir(dir)) {
		programs.push_back(std::string("/usr/bin/") + entry->d_name);
	}
	closedir(dir);
	std::sort(programs.begin(), programs.end());
	// Evenly over the alphabet, the same ones each time.
	const size_t step = std::max<size_t>(1, programs.size() / 300);
	size_t compared = 0;
	for (size_t i = 0; i < programs.size() && compared < 150; i += step) {
		const std::string exe = real(programs[i]);
		std::vector<std::string> want = oracle(exe);
		if (want.empty()) {
			continue; // a script, or static
		}
		Result r = deps(exe);
		EXPECT_EQ(r.rc, 0) << exe << "\n" << r.diags;
		EXPECT_EQ(libraries(r), want) << exe;
		compared++;
	}
	EXPECT_GE(compared, 30u);
}

} // namespace
