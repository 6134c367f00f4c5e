/* SPDX-License-Identifier: Apache-2.0 */
// AMX: the host's tiles are not there in a domain, nor behind a callback (G1). The PKU machine has none; a processor
// that has them need not have keys.
#include <asm/prctl.h>
#include <gtest/gtest.h>
#include <lychgate/lychgate.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "live.h"

#ifndef ARCH_REQ_XCOMP_PERM
#define ARCH_REQ_XCOMP_PERM 0x1023
#endif
#define XFEATURE_XTILEDATA 18

namespace
{

constexpr uint8_t kSecret = 0x5e;

// 64 bytes, as LDTILECFG wants them: palette 1, eight tiles of 16 rows of 64 bytes.
struct alignas(64) Configuration {
	uint8_t palette, start_row, reserved[14];
	uint16_t row_bytes[16];
	uint8_t rows[16];
};

struct alignas(64) Tile {
	uint8_t bytes[16][64];
};

struct Seen {
	Configuration configuration; // as STTILECFG tells it: zeros when there is none
	Tile tile;                   // with the same configuration loaded again, what is in the first
};

lych_domain *domain;
void (*back)(void);

} // namespace

extern "C" {
__attribute__((noinline)) static void tiles_configure(const Configuration *c)
{
	__asm__ volatile("ldtilecfg (%0)" : : "r"(c) : "memory");
}
__attribute__((noinline)) static void tiles_stored(Configuration *c)
{
	__asm__ volatile("sttilecfg (%0)" : : "r"(c) : "memory");
}
__attribute__((noinline)) static void tiles_load(const Tile *t)
{
	__asm__ volatile("tileloadd (%0, %1), %%tmm0" : : "r"(t), "r"(64l) : "memory");
}
__attribute__((noinline)) static void tiles_store(Tile *t)
{
	__asm__ volatile("tilestored %%tmm0, (%0, %1)" : : "r"(t), "r"(64l) : "memory");
}
__attribute__((noinline)) static void tiles_release(void)
{
	__asm__ volatile("tilerelease"); // tilerelease
}
static Configuration eight_tiles(void)
{
	Configuration c = {};
	c.palette = 1;
	for (int i = 0; i < 8; i++) {
		c.row_bytes[i] = 64;
		c.rows[i] = 16;
	}
	return c;
}
static void tiles_fill(void)
{
	static Configuration c = eight_tiles();
	static Tile secret;
	memset(&secret, kSecret, sizeof(secret));
	tiles_configure(&c);
	tiles_load(&secret);
}
// In the domain. LDTILECFG clears the tiles: they can be looked at only where STTILECFG says that there are some.
static void tiles_look(Seen *seen)
{
	tiles_stored(&seen->configuration);
	if (seen->configuration.palette != 0) {
		tiles_store(&seen->tile);
	}
}
static void tiles_look_with_words(Seen *seen, long, long, long, long, long, long, double)
{
	tiles_look(seen);
}
static void tiles_look_behind(Seen *seen, void (*callback)(void))
{
	callback();
	tiles_look(seen);
}
}
LYCH_BIND(domain, tiles_look, void, (Seen *));
LYCH_BIND(domain, tiles_look_with_words, void, (Seen *, long, long, long, long, long, long, double));
LYCH_BIND(domain, tiles_look_behind, void, (Seen *, void (*)(void)));
LYCH_CALLBACK(tiles_fill, void, (void));

namespace
{

class Tiles : public ::testing::Test {
protected:
	void SetUp() override
	{
		if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) != 0) {
			GTEST_SKIP() << "no AMX here: " << strerror(errno);
		}
		ASSERT_EQ(live_start(), 0) << lych_why();
		if (domain == nullptr) {
			domain = live_domain("domain");
			ASSERT_EQ(lych_callback(&back, domain, tiles_fill, nullptr), 0);
		}
		seen = static_cast<Seen *>(lych_alloc_aligned(domain, 64, sizeof(*seen)));
		ASSERT_NE(seen, nullptr);
		memset(seen, 0xee, sizeof(*seen));
	}
	void TearDown() override
	{
		if (seen != nullptr) {
			tiles_release();
			EXPECT_EQ(lych_free(domain, seen), 0);
		}
	}
	void ExpectNothing()
	{
		static const Configuration none = {};
		EXPECT_EQ(memcmp(&seen->configuration, &none, sizeof(none)), 0);
		EXPECT_EQ(seen->tile.bytes[0][0], 0xee) << "a tile of the host's";
	}
	Seen *seen = nullptr;
};

// The control: without a gate the tile is there.
TEST_F(Tiles, AreThereWithoutAGate)
{
	tiles_fill();
	tiles_look(seen);
	EXPECT_EQ(seen->configuration.palette, 1);
	EXPECT_EQ(seen->tile.bytes[15][63], kSecret);
}

TEST_F(Tiles, OfTheHostAreNotThereInADomain)
{
	for (int i = 0; i < 2; i++) { // the first one makes the stack, by the slow way
		tiles_fill();
		ASSERT_EQ(LYCH_CALL(domain, LYCH_NOTHING, tiles_look, seen), 0);
		ExpectNothing();
	}
	tiles_fill();
	ASSERT_EQ(LYCH_CALL(domain, LYCH_NOTHING, tiles_look_with_words, seen, 1, 2, 3, 4, 5, 6, 7.0), 0);
	ExpectNothing();
}

TEST_F(Tiles, OfACallbackAreNotThereBehindIt)
{
	ASSERT_EQ(LYCH_CALL(domain, LYCH_NOTHING, tiles_look_behind, seen, back), 0);
	ExpectNothing();
}

} // namespace
