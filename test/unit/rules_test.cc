// SPDX-License-Identifier: Apache-2.0 Policies of library domains, lychgate-policy(5): what is understood, what is
// refused with its line, what is printed.
#include <gmock/gmock.h>
#include <seccomp.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "rules.h"

using testing::HasSubstr;

namespace
{

struct Parsed {
	std::unique_ptr<struct rules> rules = std::make_unique<struct rules>();
	int rc;
	char why[200] = "";

	explicit Parsed(const char *text)
	{
		rc = rules_parse(rules.get(), text, why, sizeof(why));
	}
	enum rules_answer Of(long nr)
	{
		int err;
		return rules_decide(rules.get(), nr, &err);
	}
	std::string Print()
	{
		std::string out(rules_print(rules.get(), nullptr, 0), '?');
		EXPECT_EQ(rules_print(rules.get(), &out[0], out.size() + 1), out.size());
		return out;
	}
};

std::string Normal(const char *base, const char *path)
{
	char out[RULES_PATH_BYTES];
	return rules_normal(out, base, path) == 0 ? out : "too long";
}

TEST(Rules, DefaultIsPure)
{
	for (const char *text : {(const char *)nullptr, "", "pure", "  pure \r\n", "# nothing\n\n\t# at all", "preset pure"}) {
		Parsed p(text);
		ASSERT_EQ(p.rc, 0) << p.why;
		EXPECT_EQ(p.Of(SYS_mmap), RULES_ANSWER);
		EXPECT_EQ(p.Of(SYS_getrandom), RULES_ANSWER);
		EXPECT_EQ(p.Of(SYS_socket), RULES_REFUSE);
		EXPECT_EQ(p.Of(SYS_pipe2), RULES_REFUSE);
		EXPECT_EQ(p.rules->npaths, 0u);
		EXPECT_FALSE(p.rules->report);
	}
}

TEST(Rules, WhatCouldUndoTheProtectionIsAllowedByNoPolicy)
{
	for (const char *name :
	     {"ptrace", "process_vm_readv", "process_vm_writev", "io_uring_setup", "io_uring_enter", "io_uring_register",
	      "userfaultfd", "bpf", "perf_event_open", "seccomp", "pkey_mprotect", "pkey_alloc", "pkey_free", "modify_ldt",
	      "personality", "execve", "execveat", "fork", "vfork", "clone3", "shmat", "shmget", "memfd_create", "mount",
	      "rt_sigreturn", "rt_sigqueueinfo", "remap_file_pages", "mseal", "kexec_load", "init_module", "open_by_handle_at",
	      "pidfd_getfd", "pidfd_open", "setrlimit", "chroot", "unshare", "setns", "timer_create",
	      "process_madvise", "move_pages", "vmsplice", "rseq", "mlockall", "setuid", "iopl", "ioperm"}) {
		Parsed p((std::string("allow read /tmp\nallow call ") + name).c_str());
		EXPECT_EQ(p.rc, -EINVAL) << name;
		EXPECT_THAT(p.why, HasSubstr("line 2: ")) << name;
		EXPECT_EQ(Parsed((std::string("report\ndeny call ") + name).c_str()).rc, 0) << name;
	}
	Parsed report("report\nnet-client");
	for (long nr : {SYS_ptrace, SYS_io_uring_setup, SYS_pkey_alloc, SYS_execve, SYS_rt_sigreturn}) {
		int err = 0;
		EXPECT_EQ(rules_decide(report.rules.get(), nr, &err), RULES_REFUSE) << nr;
		EXPECT_EQ(err, EPERM);
	}
	EXPECT_EQ(report.Of(SYS_clone3), RULES_GONE);
	int err = 0;
	for (long nr : {400L, 511L, 512L, 100000L, -1L, LONG_MIN, LONG_MAX}) {
		EXPECT_EQ(rules_decide(report.rules.get(), nr, &err), RULES_REFUSE) << nr;
		EXPECT_EQ(err, ENOSYS);
	}
}

TEST(Rules, PresetsAndLinesAddUp)
{
	Parsed p("# a decoder that looks names up\n"
		 "preset net-client\n"
		 "files-ro:/usr/share/zoneinfo:/etc/ssl\n"
		 "\n"
		 "allow write /var/tmp/with blank \n"
		 "allow read /usr//share/./x/\n"
		 "deny call socket nanosleep\n"
		 "allow call nanosleep\n"
		 "report");
	ASSERT_EQ(p.rc, 0) << p.why;
	EXPECT_EQ(p.Of(SYS_connect), RULES_ANSWER);
	EXPECT_EQ(p.Of(SYS_pipe2), RULES_ANSWER);
	EXPECT_EQ(p.Of(SYS_socket), RULES_REFUSE) << "denied by name: in a report run, too";
	EXPECT_EQ(p.Of(SYS_nanosleep), RULES_ANSWER) << "the last line counts";
	EXPECT_TRUE(p.rules->report);
	EXPECT_TRUE(p.rules->net_files);
	ASSERT_EQ(p.rules->npaths, 4u);
	EXPECT_STREQ(p.rules->text + p.rules->paths[0].at, "/usr/share/zoneinfo");
	EXPECT_STREQ(p.rules->text + p.rules->paths[2].at, "/var/tmp/with blank");
	EXPECT_TRUE(p.rules->paths[2].write);
	EXPECT_STREQ(p.rules->text + p.rules->paths[3].at, "/usr/share/x");
	EXPECT_FALSE(p.rules->paths[3].write);
}

TEST(Rules, ErrorsNameTheLine)
{
	const std::string long_path = "allow read /" + std::string(2000, 'x');
	std::string many;
	for (int i = 0; i < RULES_PATHS + 1; i++) {
		many += "allow read /" + std::to_string(i) + "\n";
	}
	const struct {
		std::string text, why;
	} cases[] = {
		{"pure\nnonsense", "line 2: nonsense is not known"},
		{"pure nonsense", "line 1: pure nonsense is not known"},
		{"preset", "line 1: the name of a preset is missing"},
		{"preset pur", "line 1: pur is not known"},
		{"files-ro", "line 1: a path is missing: files-ro:PATH"},
		{"\n\nallow", "line 3: allow what?"},
		{"allow everything", "line 1: everything: allow read, allow write or allow call"},
		{"deny read /x", "line 1: read: deny call"},
		{"allow read", "line 1: a path is missing"},
		{"allow read etc", "line 1: etc: a path begins with /"},
		{"allow read /a/../b", "line 1: /a/../b: a path may not hold .."},
		{"allow read /a\x01", "line 1: a path holds a control character"},
		{"allow read /a /", "line 1: a path ends with a blank"},
		{long_path, "line 1: a path is too long"},
		{many, "line " + std::to_string(RULES_PATHS + 1) + ": there are too many paths"},
		{"allow call", "line 1: the name of a system call is missing"},
		{"allow call mmap opne", "line 1: opne is not a system call"},
		{"allow call ptrace", "line 1: ptrace: no policy can allow that"},
		{"files-ro:", "line 1: a path is missing"},
		{"files-ro:/a:", "line 1: a path is missing"},
		{"files-ro:/a:b", "line 1: b: a path begins with /"},
		{"report all", "line 1: report stands alone"},
		{"allow read /proc", "line 1: /proc: no policy can allow that"},
		{"allow read /proc/self/mem", "line 1: /proc/self/mem: no policy can allow that"},
		{"allow read /proc//self/maps", "line 1: /proc//self/maps: no policy can allow that"},
		{"allow read /dev/mem", "line 1: /dev/mem: no policy can allow that"},
		{"files-ro:/dev", "line 1: /dev: no policy can allow that"},
		{"allow write /proc/cpuinfo", "line 1: /proc/cpuinfo: no policy can allow that"},
		{"allow write /sys/kernel", "line 1: /sys/kernel: no policy can allow that"},
	};
	for (const auto &c : cases) {
		Parsed p(c.text.c_str());
		EXPECT_EQ(p.rc, -EINVAL) << c.text;
		EXPECT_EQ(std::string(p.why), c.why);
	}
	EXPECT_EQ(Parsed("allow read /proc/cpuinfo\nallow read /sys/devices/system/cpu\nallow write /dev/null").rc, 0);
	EXPECT_EQ(Parsed(std::string(70000, '\n').c_str()).rc, -EINVAL);
}

TEST(Rules, WhyIsCutToItsRoom)
{
	struct rules r;
	char why[8];
	memset(why, 'x', sizeof(why));
	EXPECT_EQ(rules_parse(&r, "nonsense", why, sizeof(why)), -EINVAL);
	EXPECT_STREQ(why, "line 1:");
}

void Learn(Parsed &p, const char *path, const char *real = nullptr, bool passing = false)
{
	rules_learn_path(p.rules.get(), path, real != nullptr ? real : path, passing);
}

TEST(Rules, WhatIsPrintedDecidesTheSame)
{
	Parsed p("net-client\nallow write /tmp/x\nallow read /y\ndeny call nanosleep");
	ASSERT_EQ(p.rc, 0);
	Learn(p, "/learned");
	Learn(p, "/learned");
	Learn(p, "/y");
	Learn(p, "/bad\nallow call connect");
	Learn(p, ("/" + std::string(300, 'x')).c_str());
	std::string text = p.Print();
	Parsed again(text.c_str());
	ASSERT_EQ(again.rc, 0) << again.why << "\n" << text;
	EXPECT_EQ(memcmp(p.rules->allowed, again.rules->allowed, sizeof(p.rules->allowed)), 0);
	EXPECT_THAT(text, HasSubstr("\nallow write /tmp/x\nallow read /y\nallow read /etc/resolv.conf\n"));
	EXPECT_THAT(text, HasSubstr("\nallow read /learned\n"));
	EXPECT_EQ(text.find("learned"), text.rfind("learned")) << "once";
	EXPECT_EQ(text.find("bad"), std::string::npos) << "no line can be made by a file's name";
	EXPECT_EQ(text, again.Print());
	char small[5];
	EXPECT_EQ(rules_print(p.rules.get(), small, sizeof(small)), text.size());
	EXPECT_STREQ(small, "pure");
}

TEST(Rules, WhatADirectoryAllowsIsNotLearnedAgain)
{
	Parsed p("report");
	Learn(p, "/usr/share/x/early");
	Learn(p, "/usr/share/x");
	Learn(p, "/usr/share/x/late/one");
	Learn(p, "/usr/share/xyz");
	EXPECT_EQ(p.Print(), "pure\nallow read /usr/share/x\nallow read /usr/share/xyz\n");
}

TEST(Rules, ALinkOutOfADirectoryIsLearned)
{
	Parsed p("report");
	Learn(p, "/lib/py", "/usr/lib/py");
	Learn(p, "/lib/py/a", "/usr/lib/py/a");
	Learn(p, "/lib/py/site.py", "/etc/py/site.py");
	EXPECT_EQ(p.Print(), "pure\nallow read /lib/py\nallow read /lib/py/site.py\n");
	// two links to one file, which then is opened by its own name, too
	Learn(p, "/lib/py/also.py", "/etc/py/site.py");
	EXPECT_EQ(p.Print(), "pure\nallow read /lib/py\nallow read /lib/py/site.py\nallow read /lib/py/also.py\n");
	Learn(p, "/etc/py/site.py");
	EXPECT_EQ(p.Print(), "pure\nallow read /lib/py\nallow read /etc/py/site.py\n");
}

TEST(Rules, ADirectoryThatWasPassedOnTheWayIsNotAllowedWithAllThatIsInIt)
{
	Parsed p("report\nallow read /srv/data");
	Learn(p, "/", nullptr, true);
	Learn(p, "/usr", nullptr, true);
	Learn(p, "/usr/share", nullptr, true);
	Learn(p, "/usr/share/file");
	Learn(p, "/srv", nullptr, true);
	Learn(p, "/opt", nullptr, true);
	Learn(p, "/listed", nullptr, true);
	Learn(p, "/listed/file");
	EXPECT_EQ(p.Print(), "pure\nallow read /srv/data\nallow read /usr/share/file\nallow read /opt\nallow read /listed/file\n")
		<< "only what nothing else leads to";
	Learn(p, "/listed"); // and then it was opened
	EXPECT_EQ(p.Print(), "pure\nallow read /srv/data\nallow read /usr/share/file\nallow read /opt\nallow read /listed\n");
}

TEST(Rules, WhatIsPrintedHasNoMoreThanAPolicyMayHaveAndSaysSo)
{
	std::string own;
	for (int i = 0; i < RULES_PATHS / 2; i++) {
		own += "allow read /own/" + std::to_string(i) + "\n";
	}
	Parsed p(("net-client\nreport\n" + own).c_str());
	ASSERT_EQ(p.rc, 0) << p.why;
	EXPECT_EQ(p.Print().find('#'), std::string::npos);
	for (int i = 0; i < RULES_LEARNED; i++) {
		Learn(p, ("/learned/" + std::string(200, 'x') + std::to_string(i)).c_str());
	}
	std::string text = p.Print();
	EXPECT_THAT(text, HasSubstr("\n# More files were read than there is room for here"));
	Parsed again(text.c_str());
	ASSERT_EQ(again.rc, 0) << again.why << "\n" << text;
	EXPECT_EQ(again.rules->npaths, static_cast<uint32_t>(RULES_PATHS));

	Parsed alone("report");
	for (int i = 0; i < RULES_PATHS; i++) {
		Learn(alone, ("/learned/" + std::string(200, 'x') + std::to_string(i)).c_str());
	}
	text = alone.Print();
	EXPECT_EQ(text.find('#'), std::string::npos) << "all of these have room";
	Parsed all(text.c_str());
	ASSERT_EQ(all.rc, 0) << all.why;
	EXPECT_EQ(all.rules->npaths, static_cast<uint32_t>(RULES_PATHS));
	Learn(alone, "/one/more");
	EXPECT_THAT(alone.Print(), HasSubstr("\n# More files"));
	Learn(alone, "/learned");
	EXPECT_EQ(alone.Print(), "pure\nallow read /one/more\nallow read /learned\n") << "in the place of all of them";

	Parsed full("report");
	for (int i = 0; i < RULES_LEARNED + 1; i++) {
		Learn(full, ("/f" + std::to_string(i)).c_str());
	}
	EXPECT_THAT(full.Print(), HasSubstr("\n# More files"));
}

TEST(Rules, LearnedCallsArePrinted)
{
	Parsed p("report");
	EXPECT_EQ(p.Of(SYS_socket), RULES_LEARN);
	rules_learn_call(p.rules.get(), SYS_socket);
	rules_learn_call(p.rules.get(), -1);
	rules_learn_call(p.rules.get(), 1L << 40);
	EXPECT_EQ(p.Print(), "pure\nallow call socket\n");
}

TEST(Rules, PathsAreMadeNormalAsText)
{
	EXPECT_EQ(Normal("/", "/a/b"), "/a/b");
	EXPECT_EQ(Normal("/", "//a/./b//../c/"), "/a/c");
	EXPECT_EQ(Normal("/", "/../../a"), "/a");
	EXPECT_EQ(Normal("/", "/.."), "/");
	EXPECT_EQ(Normal("/", "a"), "/a");
	EXPECT_EQ(Normal("/x/y", "../a"), "/x/a");
	EXPECT_EQ(Normal("/x", "."), "/x");
	EXPECT_EQ(Normal("/x", "/a"), "/a");
	EXPECT_EQ(Normal("/x", "..."), "/x/...");
	EXPECT_EQ(Normal("/x", ".hidden"), "/x/.hidden");
	EXPECT_EQ(Normal("/", ("/" + std::string(RULES_PATH_BYTES - 2, 'x')).c_str()).size(), RULES_PATH_BYTES - 1u);
	EXPECT_EQ(Normal("/", ("/" + std::string(RULES_PATH_BYTES - 1, 'x')).c_str()), "too long");
	EXPECT_EQ(Normal(("/" + std::string(RULES_PATH_BYTES - 2, 'x')).c_str(), "y"), "too long");
}

TEST(Rules, BeneathIsByWholeComponents)
{
	const char *rest;
	EXPECT_TRUE(rules_beneath("/a/b/c", "/a", &rest));
	EXPECT_STREQ(rest, "b/c");
	EXPECT_TRUE(rules_beneath("/a", "/a", &rest));
	EXPECT_STREQ(rest, "");
	EXPECT_TRUE(rules_beneath("/a", "/", &rest));
	EXPECT_STREQ(rest, "a");
	EXPECT_FALSE(rules_beneath("/ab", "/a", &rest));
	EXPECT_FALSE(rules_beneath("/", "/a", &rest));
	EXPECT_TRUE(rules_special_path("/proc"));
	EXPECT_FALSE(rules_special_path("/process"));
}

TEST(Rules, TheManPageShowsWhatIsUnderstood)
{
	std::ifstream in(LYCH_SOURCE_DIR "/scanner/cmd/man/lychgate-policy.5");
	const std::string page(std::istreambuf_iterator<char>(in), {});
	int examples = 0;
	for (size_t at = 0; (at = page.find("\n.Bd -literal", at)) != std::string::npos; examples++) {
		at = page.find('\n', at + 1) + 1;
		Parsed p(page.substr(at, page.find(".Ed", at) - at).c_str());
		EXPECT_EQ(p.rc, 0) << p.why;
	}
	EXPECT_GE(examples, 2);
	for (const char *word : {"cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version"}) {
		EXPECT_THAT(page, HasSubstr(word));
		EXPECT_FALSE(rules_never_path((std::string("/proc/") + word).c_str(), false));
	}
	for (const char *word : {"full", "null", "random", "urandom", "zero"}) {
		EXPECT_FALSE(rules_never_path((std::string("/dev/") + word).c_str(), true));
	}
	for (size_t i = 0; rules_net_files[i] != nullptr; i++) {
		EXPECT_THAT(page, HasSubstr(rules_net_files[i] + strlen("/etc/")));
	}
}

TEST(Rules, NamesAreThoseOfLibseccomp)
{
	int named = 0;
	for (long nr = 0; nr < 512; nr++) {
		char *theirs = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, (int)nr);
		const char *ours = rules_call_name(nr);
		if (theirs != nullptr) {
			EXPECT_STREQ(ours, theirs) << nr;
		}
		if (ours != nullptr) {
			EXPECT_EQ(rules_call_number(ours, strlen(ours)), nr);
			named++;
		}
		free(theirs);
	}
	EXPECT_GT(named, 370);
	EXPECT_EQ(rules_call_name(-1), nullptr);
	EXPECT_EQ(rules_call_number("mmap2", 5), -1);
	EXPECT_EQ(rules_call_number("mmap", 3), -1);
}

} // namespace
