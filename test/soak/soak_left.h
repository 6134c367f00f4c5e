/* SPDX-License-Identifier: Apache-2.0 */
// Of soak.cc: what a process holds, counted and compared.
#ifndef LYCH_TEST_SOAK_LEFT_H
#define LYCH_TEST_SOAK_LEFT_H

#include <dirent.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include <lychgate/lychgate.h>

#include "inside.h"

namespace
{

unsigned Lines(const char *path)
{
	FILE *file = fopen(path, "re");
	unsigned lines = 0;
	int c;

	while (file != nullptr && (c = getc(file)) != EOF) {
		lines += c == '\n';
	}
	if (file != nullptr) {
		fclose(file);
	}
	return lines;
}

// Each timer has a line "ID: N"; no such file without CONFIG_CHECKPOINT_RESTORE.
unsigned Timers()
{
	FILE *file = fopen("/proc/self/timers", "re");
	char line[256];
	unsigned count = 0;

	while (file != nullptr && fgets(line, sizeof(line), file) != nullptr) {
		count += strncmp(line, "ID:", 3) == 0;
	}
	if (file != nullptr) {
		fclose(file);
	}
	return count;
}

unsigned Entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned count = 0;

	while (dir != nullptr && readdir(dir) != nullptr) {
		count++;
	}
	if (dir != nullptr) {
		closedir(dir);
	}
	return count;
}

long ResidentKiB()
{
	FILE *file = fopen("/proc/self/statm", "re");
	long size = 0, resident = 0;

	if (file == nullptr || fscanf(file, "%ld %ld", &size, &resident) != 2) {
		ADD_FAILURE() << "/proc/self/statm";
	}
	if (file != nullptr) {
		fclose(file);
	}
	return resident * 4;
}

// How many domains can be had.
unsigned FreeKeys()
{
	std::vector<lych_domain *> all;
	lych_domain *one;

	while (lych_domain_new(&one, nullptr) == 0) {
		all.push_back(one);
	}
	for (lych_domain *each : all) {
		EXPECT_EQ(lych_domain_free(each), 0);
	}
	return (unsigned)all.size();
}

struct Left {
	unsigned maps, descriptors, timers, tasks, keys, attached, monitor_kib;
	long resident;
};

Left Look()
{
	Left left = {};

	left.keys = FreeKeys();
	left.maps = Lines("/proc/self/maps");
	left.descriptors = Entries("/proc/self/fd");
	left.timers = Timers();
	left.tasks = Entries("/proc/self/task");
	left.attached = inside_threads();
	left.monitor_kib = (unsigned)(inside_monitor_bytes() / 1024);
	left.resident = ResidentKiB();
	return left;
}

void Print(const char *when, const Left &left)
{
	printf("%s: %u mappings, %ld KiB resident, %u KiB of the monitor, %u descriptors, %u timers, %u tasks, %u "
	       "attached, %u keys free\n",
	       when, left.maps, left.resident, left.monitor_kib, left.descriptors, left.timers, left.tasks,
	       left.attached, left.keys);
	fflush(stdout);
}

// Nothing that grows with what was done. What the allocator of the C library and its cache of stacks keep does not.
void ExpectFlat(const Left &before, const Left &after)
{
	EXPECT_LE(after.maps, before.maps + 24);
	EXPECT_LE(after.resident, before.resident + 4096);
	EXPECT_LE(after.monitor_kib, before.monitor_kib + 1024); // an area or two more, if threads have overlapped more
	EXPECT_EQ(after.descriptors, before.descriptors);
	EXPECT_EQ(after.timers, before.timers);
	EXPECT_EQ(after.tasks, before.tasks);
	EXPECT_EQ(after.attached, before.attached);
	EXPECT_EQ(after.keys, before.keys);
}

void SayDifference(const char *line, void *)
{
	ADD_FAILURE() << "lych_verify: " << line;
}

} // namespace

#endif // LYCH_TEST_SOAK_LEFT_H
