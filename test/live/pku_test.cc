/* SPDX-License-Identifier: Apache-2.0 */
// What the other live tests take for granted: this machine has keys, they do what the manual says, and it
// runs the kernel that was asked for.
#include "needs_pku.h"

#include <sys/utsname.h>

#include <vector>

namespace
{

class KeyedPage : public NeedsPku {
protected:
	void SetUp() override
	{
		NeedsPku::SetUp();
		if (HasFatalFailure() || IsSkipped()) {
			return;
		}
		memory = static_cast<volatile char *>(
			mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		ASSERT_NE(memory, MAP_FAILED);
	}

	void TearDown() override
	{
		if (key > 0) {
			munmap(const_cast<char *>(memory), 4096);
			pkey_free(key);
		}
	}

	void TagWith(unsigned int rights)
	{
		key = pkey_alloc(0, rights);
		ASSERT_GT(key, 0);
		ASSERT_EQ(pkey_mprotect(const_cast<char *>(memory), 4096, PROT_READ | PROT_WRITE, key), 0);
	}

	volatile char *memory = nullptr;
	int key = 0;
};

TEST_F(KeyedPage, WriteFaultsWithTheKeyOfThePageWhereWritesAreDenied)
{
	TagWith(PKEY_DISABLE_WRITE);
	EXPECT_PKU_FAULT(key, { memory[7] = 1; });
}

TEST_F(KeyedPage, FaultNamesTheAddress)
{
	TagWith(PKEY_DISABLE_WRITE);
	Fault fault = FaultOf([this] { memory[7] = 1; });
	EXPECT_EQ(fault.address, const_cast<char *>(memory) + 7);
}

TEST_F(KeyedPage, ReadIsAllowedWhereOnlyWritesAreDenied)
{
	TagWith(PKEY_DISABLE_WRITE);
	EXPECT_EQ(FaultOf([this] { (void)memory[7]; }).signal, 0);
}

TEST_F(KeyedPage, ReadFaultsWhereAllAccessIsDenied)
{
	TagWith(PKEY_DISABLE_ACCESS);
	EXPECT_PKU_FAULT(key, { (void)memory[7]; });
}

// The control: without rights taken away the same write goes through, so the faults above are the key's.
TEST_F(KeyedPage, WriteIsAllowedWhereNothingIsDenied)
{
	TagWith(0);
	EXPECT_EQ(FaultOf([this] { memory[7] = 1; }).signal, 0);
}

// The expectation itself must be able to fail: any other fault is not one of a key.
TEST_F(KeyedPage, FaultOfPlainProtectionIsNotTakenForOneOfAKey)
{
	TagWith(0);
	ASSERT_EQ(mprotect(const_cast<char *>(memory), 4096, PROT_READ), 0);
	Fault fault = FaultOf([this] { memory[7] = 1; });
	EXPECT_EQ(fault.signal, SIGSEGV);
	EXPECT_FALSE(IsPkuFault(fault, key));
}

TEST_F(NeedsPku, FifteenKeysCanBeAllocated)
{
	std::vector<int> keys;
	int key;

	while ((key = pkey_alloc(0, 0)) >= 0) {
		keys.push_back(key);
	}
	EXPECT_EQ(errno, ENOSPC);
	EXPECT_EQ(keys.size(), 15u);
	for (int each : keys) {
		pkey_free(each);
	}
}

TEST(Machine, RunsTheKernelThatWasAskedFor)
{
	const char *asked = getenv("LYCH_VM_KERNEL");
	struct utsname name;

	if (asked == nullptr) {
		GTEST_SKIP() << "not in the PKU machine";
	}
	ASSERT_EQ(uname(&name), 0);
	EXPECT_EQ(std::string(name.release).rfind(std::string(asked) + ".", 0), 0u) << name.release;
}

} // namespace
