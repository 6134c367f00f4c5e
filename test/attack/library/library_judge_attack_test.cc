// SPDX-License-Identifier: Apache-2.0
// The control of who judges attacks: where nothing is protected none of them is stopped, and each kind of harm is told.
#include <gmock/gmock.h>

#include "library_attack.h"

namespace
{

struct Row {
	const char *attack, *told; // "": the process ends
};

void PrintTo(const Row &row, std::ostream *out)
{
	*out << row.attack;
}

const Row kRows[] = {
	{"reads_a_page_of_the_host", "it has the secret"},
	{"writes_a_page_of_the_host", "memory of others has changed"},
	{"reads_the_hosts_heap", "it has the secret"},
	{"writes_the_hosts_heap", "memory of others has changed"},
	{"writes_the_hosts_stack", "memory of others has changed"},
	{"writes_the_hosts_globals", "memory of others has changed"},
	{"writes_the_hosts_tls", "memory of others has changed"},
	{"writes_another_domain", "memory of others has changed"},
	{"process_vm_readv", "it has the secret"},
	{"process_vm_writev", "memory of others has changed"},
	{"every_call_reads_the_host", "it has the secret"},
	{"memfd", "it says that it had its effect"},
	{"robust_list", "memory of others has changed"},
	{"clone_clears_the_host", "memory of others has changed"},
	{"kill_the_host", "a signal has reached the host"},
	{"closes_the_hosts_descriptors", "the host's file is closed"},
	{"dup_onto_the_hosts", "the host's descriptor is of another file"},
	{"path_renames", "the host's file is not where it was"},
	{"path_writes", "the host's file has changed"},
	{"prctl_tsc", "it says that it had its effect"},
	{"constructor", "it says that it had its effect"},
	{"environment", "it says that it had its effect"},
	{"munmap_of_the_secret", ""},
	{"exit_group", ""},
	{"core_dump", ""},
};

class Judge : public LibraryAttack, public ::testing::WithParamInterface<Row>
{
};

TEST_P(Judge, SaysThatNothingIsStoppedWhereNothingIsProtected)
{
	const attack *a = attacks;
	// attacks close descriptors
	auto *told = static_cast<char *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));

	while (a->name != nullptr && strcmp(a->name, GetParam().attack) != 0) {
		a++;
	}
	ASSERT_NE(a->name, nullptr);
	ASSERT_NE(told, MAP_FAILED);
	int status = ChildStatus([&] {
		World *w = new World;
		bool here = false;
		w->none = true;
		w->ctx = told;
		w->tell = [](const char *text, void *page) {
			strncat(static_cast<char *>(page), text, 4000 - strlen(static_cast<char *>(page)));
		};
		// without LYCH_REQUIRE_PKU, which the machine sets
		unsetenv("LYCH_REQUIRE_PKU");
		_exit(attack_inside(a, w, LYCH_HOSTILE, &here) ? 77 : here ? 1 : 2);
	});
	const std::string text = told;
	munmap(told, 4096);
	if (GetParam().told[0] != '\0') {
		EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << Ending(status) << "\n" << text;
		EXPECT_THAT(text, ::testing::HasSubstr(GetParam().told));
	} else {
		EXPECT_FALSE(WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 2)) << Ending(status) << "\n" << text;
	}
}

INSTANTIATE_TEST_SUITE_P(Library, Judge, ::testing::ValuesIn(kRows), [](const auto &one) { return std::string(one.param.attack); });

} // namespace
