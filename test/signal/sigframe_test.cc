// SPDX-License-Identifier: Apache-2.0
// Copies of signal frames: what a hostile one can make of them, and what PKRU becomes.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <vector>

#include "harness.h"

namespace
{

constexpr uint32_t kMagic1 = 0x46505853, kMagic2 = 0x46505845;
constexpr size_t kStack = 16384, kFrameAt = 4096, kImage = 1024;
constexpr uint32_t kPkruAt = 704;

struct Sw {
	uint32_t magic1, extended;
	uint64_t xfeatures;
	uint32_t xstate;
	uint32_t padding[7];
};

class Frames : public ::testing::Test {
protected:
	void SetUp() override
	{
		memory = static_cast<uint8_t *>(mmap(nullptr, kStack + 4096, PROT_READ | PROT_WRITE,
						     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		ASSERT_NE(memory, MAP_FAILED);
		// whoever reads behind the stack is seen
		mprotect(memory + kStack, 4096, PROT_NONE);
		frame = memory + kFrameAt;
		image = frame + 512;
		memset(frame, 0x5a, frame_fixed_bytes());
		SetFpstate(reinterpret_cast<uint64_t>(image));
		sw = {kMagic1, kImage + 4, 0x2e7, kImage, {}};
		Write(image + 464, sw);
		Write<uint64_t>(image + 512, 0x7);
		Write<uint32_t>(image + kImage, kMagic2);
		to_bytes = frame_copy_bytes(4096);
		to = static_cast<uint8_t *>(aligned_alloc(64, to_bytes + 64));
	}
	void TearDown() override
	{
		munmap(memory, kStack + 4096);
		free(to);
	}
	template <typename T> void Write(uint8_t *at, T value) { memcpy(at, &value, sizeof(value)); }
	template <typename T> T Read(const uint8_t *at)
	{
		T value;
		memcpy(&value, at, sizeof(value));
		return value;
	}
	void SetFpstate(uint64_t at) { Write(frame + frame_fpstate_off(), at); }
	uint8_t *CopiedImage() { return Read<uint8_t *>(to + frame_fpstate_off()); }
	int Copy()
	{
		return frame_copy(to, to_bytes, frame, reinterpret_cast<uint64_t>(memory),
				  reinterpret_cast<uint64_t>(memory) + kStack);
	}

	uint8_t *memory = nullptr, *frame = nullptr, *image = nullptr, *to = nullptr;
	size_t to_bytes = 0;
	Sw sw = {};
};

TEST_F(Frames, OfTheKernelAreCopiedWithTheImageInsideTheCopy)
{
	ASSERT_EQ(Copy(), 0);
	EXPECT_GE(CopiedImage(), to + frame_fixed_bytes());
	EXPECT_LE(CopiedImage() + kImage + 4, to + to_bytes);
	EXPECT_EQ(reinterpret_cast<uint64_t>(CopiedImage()) % 64, 0u);
	EXPECT_EQ(Read<uint32_t>(CopiedImage() + kImage), kMagic2);
}

TEST_F(Frames, WhoseImageLiesOutsideTheStackAreRefused)
{
	for (uint64_t at :
	     {uint64_t{0}, reinterpret_cast<uint64_t>(memory) - 64, ~uint64_t{63},
	      reinterpret_cast<uint64_t>(memory) + kStack - 64, reinterpret_cast<uint64_t>(memory) + kStack,
	      reinterpret_cast<uint64_t>(image) + 8, uint64_t{1} << 63}) {
		SetFpstate(at);
		EXPECT_EQ(Copy(), -EFAULT) << std::hex << at;
	}
}

TEST_F(Frames, WhoseSizesDoNotAgreeAreRefused)
{
	struct {
		const char *what;
		uint32_t magic1, extended, xstate;
	} rows[] = {
		{"no magic number", 0, kImage + 4, kImage},
		{"larger than the room for the copy", kMagic1, 8004, 8000},
		{"beyond the end of the stack", kMagic1, kStack, kStack - 4},
		{"smaller than a header", kMagic1, 516, 512},
		{"the second size is another", kMagic1, kImage + 4, kImage + 64},
		{"sum wraps", kMagic1, 3, 0xffffffff},
		{"nothing", kMagic1, 0, 0},
		{"the largest there is", kMagic1, 0xffffffff, 0xfffffffb},
	};
	for (auto &row : rows) {
		sw.magic1 = row.magic1;
		sw.extended = row.extended;
		sw.xstate = row.xstate;
		Write(image + 464, sw);
		EXPECT_EQ(Copy(), -EFAULT) << row.what;
	}
}

TEST_F(Frames, WithoutTheSecondMagicNumberAreRefused)
{
	Write<uint32_t>(image + kImage, 0);
	EXPECT_EQ(Copy(), -EFAULT);
}

TEST_F(Frames, ThatDoNotLieWhollyOnTheStackAreRefused)
{
	uint64_t low = reinterpret_cast<uint64_t>(memory);
	EXPECT_EQ(frame_copy(to, to_bytes, memory + kStack - 100, low, low + kStack), -EFAULT);
	EXPECT_EQ(frame_copy(to, to_bytes, memory - 8, low, low + kStack), -EFAULT);
	EXPECT_EQ(frame_copy(to, to_bytes, reinterpret_cast<void *>(~uint64_t{15}), low, low + kStack), -EFAULT);
}

TEST_F(Frames, LoseWhatXrstorWouldRefuse)
{
	Write<uint64_t>(image + 512, ~uint64_t{0});     // components nobody saved
	Write<uint64_t>(image + 520, uint64_t{1} << 63); // compacted
	Write<uint64_t>(image + 560, 1);                 // reserved
	Write<uint32_t>(image + 24, 0xffffffff);         // MXCSR
	ASSERT_EQ(Copy(), 0);
	EXPECT_EQ(Read<uint64_t>(CopiedImage() + 512), 0x2e7u);
	EXPECT_EQ(Read<uint64_t>(CopiedImage() + 520), 0u);
	EXPECT_EQ(Read<uint64_t>(CopiedImage() + 560), 0u);
	EXPECT_EQ(Read<uint32_t>(CopiedImage() + 24), 0xffffu);
}

TEST_F(Frames, SayZeroForPkruInItsInitialState)
{
	Write<uint32_t>(image + kPkruAt, 0x55555554);
	ASSERT_EQ(Copy(), 0);
	EXPECT_EQ(frame_pkru(to, kPkruAt), 0u);
	frame_set_pkru(to, kPkruAt, 0x12345678);
	EXPECT_EQ(frame_pkru(to, kPkruAt), 0x12345678u);
	EXPECT_NE(Read<uint64_t>(CopiedImage() + 512) & (1 << 9), 0u);
	EXPECT_NE(Read<Sw>(CopiedImage() + 464).xfeatures & (1 << 9), 0u);
}

TEST_F(Frames, OfAMachineWithoutKeysKeepTheirImage)
{
	ASSERT_EQ(Copy(), 0);
	std::vector<uint8_t> before(CopiedImage(), CopiedImage() + kImage);
	frame_set_pkru(to, 0, 0xffffffff);
	EXPECT_EQ(memcmp(before.data(), CopiedImage(), kImage), 0);
	frame_set_pkru(to, kImage - 2, 0xffffffff); // would reach beyond the image
	EXPECT_EQ(memcmp(before.data(), CopiedImage(), kImage), 0);
}

TEST_F(Frames, WhoseImageIsResetHoldNothingOfTheDomain)
{
	memset(image + 160, 0xee, 256);
	Write<uint32_t>(image + 24, 0x9fc0);
	ASSERT_EQ(Copy(), 0);
	frame_reset_image(to);
	EXPECT_EQ(Read<uint64_t>(CopiedImage() + 512), 0u);
	EXPECT_EQ(Read<uint32_t>(CopiedImage() + 24), 0x1f80u);
	for (size_t i = 160; i < 416; i++) {
		ASSERT_EQ(CopiedImage()[i], 0) << i;
	}
}

uint64_t Bit(int sig)
{
	return uint64_t{1} << (sig - 1);
}

TEST(HandlerMask, NeverBlocksTheSynchronousSixNorTheKick)
{
	uint64_t wanted;
	uint64_t kernel = handler_mask(0, ~uint64_t{0}, SIGUSR1, 0, &wanted);
	for (int sig : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, 33}) {
		EXPECT_EQ(kernel & Bit(sig), 0u) << sig;
		EXPECT_NE(wanted & Bit(sig), 0u) << sig;
	}
	EXPECT_NE(kernel & Bit(SIGTERM), 0u);
}

TEST(HandlerMask, AddsTheSignalUnlessNodefer)
{
	uint64_t wanted;
	EXPECT_EQ(handler_mask(0, 0, SIGUSR1, Bit(SIGHUP), &wanted), Bit(SIGUSR1) | Bit(SIGHUP));
	EXPECT_EQ(handler_mask(SA_NODEFER, 0, SIGUSR1, Bit(SIGHUP), &wanted), Bit(SIGHUP));
}

} // namespace
