// SPDX-License-Identifier: Apache-2.0
// One door to PROT_EXEC (G4): nothing but gate/code/door.c asks for it, in the source. live/exec_door_test looks at a process.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

// What names PROT_EXEC without asking for it (gate/library/code.c: for the table of what is where in an arena), and the
// doctor's experiments, which no library has.
TEST(TheDoorInTheSource, IsTheOnlyThingThatNamesExecutableMemory)
{
	namespace fs = std::filesystem;
	const fs::path root = LYCH_SOURCE_DIR;
	const std::vector<std::string> allowed = {"gate/code/door.c", "gate/library/code.c", "gate/memory/smaps.c",
						  "scanner/cmd/probe_live.c"};
	size_t files = 0, door = 0;

	for (const char *folder : {"gate", "scanner", "include"}) {
		for (const auto &entry : fs::recursive_directory_iterator(root / folder)) {
			const std::string extension = entry.path().extension();
			if (extension != ".c" && extension != ".h" && extension != ".S") {
				continue;
			}
			std::ifstream in(entry.path());
			const std::string name = fs::relative(entry.path(), root);
			files++;
			for (std::string line; std::getline(in, line);) {
				bool named = line.find("PROT_EXEC") != std::string::npos &&
					     line.compare(0, 2, " *") != 0;
				bool known = false;
				for (const std::string &one : allowed) {
					known = known || name == one;
				}
				EXPECT_TRUE(!named || known) << name << ": " << line;
				door += named && name == "gate/code/door.c";
			}
		}
	}
	EXPECT_GT(files, 100u);
	EXPECT_GE(door, 2u) << "the control";
}
