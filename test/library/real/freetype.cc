// SPDX-License-Identifier: Apache-2.0
// FreeType: a font of one glyph, a square of half its em, made here; its bitmap, and its outline to functions of the host's.
#include "world.h"

extern "C" {
struct FT_Outline_Funcs {
	int (*move_to)(const long *, void *);
	int (*line_to)(const long *, void *);
	int (*conic_to)(const long *, const long *, void *);
	int (*cubic_to)(const long *, const long *, const long *, void *);
	int shift;
	long delta;
};
int FT_Init_FreeType(void **);
int FT_New_Memory_Face(void *, const uint8_t *, long, long, void **);
int FT_Set_Pixel_Sizes(void *, unsigned, unsigned);
int FT_Load_Char(void *, unsigned long, int);
int FT_Outline_Decompose(void *, const FT_Outline_Funcs *, void *);
int FT_Done_FreeType(void *);
void FT_Library_Version(void *, int *, int *, int *);
}

namespace
{

std::string path;

int move(const long *to, void *)
{
	path += "M" + std::to_string(to[0]) + "," + std::to_string(to[1]);
	return 0;
}
int line(const long *to, void *)
{
	path += "L" + std::to_string(to[0]) + "," + std::to_string(to[1]);
	return 0;
}
int conic(const long *, const long *, void *) { return 1; }
int cubic(const long *, const long *, const long *, void *) { return 1; }
LYCH_CALLBACK(move, int, (const long *, void *));
LYCH_CALLBACK(line, int, (const long *, void *));
LYCH_CALLBACK(conic, int, (const long *, const long *, void *));
LYCH_CALLBACK(cubic, int, (const long *, const long *, const long *, void *));

struct Table {
	std::vector<uint8_t> bytes;
	Table &u8(int v) { return bytes.push_back(static_cast<uint8_t>(v)), *this; }
	Table &u16(int v) { return u8(v >> 8).u8(v); }
	Table &u32(uint32_t v) { return u16(static_cast<int>(v >> 16)).u16(static_cast<int>(v & 0xffff)); }
};

std::vector<uint8_t> font()
{
	std::vector<std::pair<std::string, Table>> tables;
	auto add = [&](const char *tag) -> Table & {
		tables.emplace_back(tag, Table());
		return tables.back().second;
	};
	// 'A' is glyph 1: format 4, two segments.
	add("cmap").u16(0).u16(1).u16(3).u16(1).u32(12).u16(4).u16(32).u16(0).u16(4).u16(4).u16(1).u16(0).u16('A').u16(0xffff).u16(0)
		.u16('A').u16(0xffff).u16(1 - 'A').u16(1).u16(0).u16(0);
	// One contour, four points on the curve, as words, from each to the next.
	Table &glyf = add("glyf").u16(1).u16(0).u16(0).u16(500).u16(500).u16(3).u16(0);
	for (int i = 0; i < 4; i++) {
		glyf.u8(1);
	}
	glyf.u16(0).u16(0).u16(500).u16(0).u16(0).u16(500).u16(0).u16(-500);
	add("head").u32(0x10000).u32(0).u32(0).u32(0x5f0f3cf5).u16(0).u16(1000).u32(0).u32(0).u32(0).u32(0).u16(0).u16(0).u16(500)
		.u16(500).u16(0).u16(8).u16(2).u16(1).u16(0);
	add("hhea").u32(0x10000).u16(800).u16(-200).u16(0).u16(600).u16(0).u16(0).u16(500).u16(1).u16(0).u16(0).u16(0).u16(0).u16(0)
		.u16(0).u16(0).u16(2);
	add("hmtx").u16(300).u16(0).u16(600).u16(0);
	add("loca").u32(0).u32(0).u32(34);
	add("maxp").u32(0x10000).u16(2).u16(4).u16(1).u16(0).u16(0).u16(2).u16(0).u16(0).u16(0).u16(0).u16(0).u16(0).u16(0).u16(0);

	Table out;
	uint32_t at = static_cast<uint32_t>(12 + 16 * tables.size());
	out.u32(0x10000).u16(static_cast<int>(tables.size())).u16(64).u16(2).u16(48);
	for (auto &[tag, table] : tables) {
		for (char c : tag) {
			out.u8(c);
		}
		out.u32(0).u32(at).u32(static_cast<uint32_t>(table.bytes.size()));
		at += static_cast<uint32_t>(table.bytes.size() + 3) & ~3u;
	}
	for (auto &[tag, table] : tables) {
		table.bytes.resize((table.bytes.size() + 3) & ~size_t(3));
		out.bytes.insert(out.bytes.end(), table.bytes.begin(), table.bytes.end());
	}
	return out.bytes;
}

} // namespace

void work_freetype(World &w)
{
	const int no_hinting = 2, render = 4;
	const std::vector<uint8_t> file = font();
	void **library = w.one<void *>(), **face = w.one<void *>();
	int *version = w.array<int>(3);

	w.check(CALL(FT_Init_FreeType, w, library) == 0, "FT_Init_FreeType");
	CALL(FT_Library_Version, w, *library, version, version + 1, version + 2);
	w.note("version", std::to_string(version[0]) + "." + std::to_string(version[1]));
	w.check(CALL(FT_New_Memory_Face, w, *library, w.copy(file), static_cast<long>(file.size()), 0, face) == 0, "FT_New_Memory_Face");
	w.check(member<long>(*face, 32) == 2, "two glyphs");
	w.check(CALL(FT_Set_Pixel_Sizes, w, *face, 20, 20) == 0, "FT_Set_Pixel_Sizes");
	w.check(CALL(FT_Load_Char, w, *face, 'A', no_hinting) == 0, "FT_Load_Char");
	char *slot = member<char *>(*face, 152);
	FT_Outline_Funcs *funcs = w.one<FT_Outline_Funcs>();
	funcs->move_to = CALLBACK(w, move);
	funcs->line_to = CALLBACK(w, line);
	funcs->conic_to = CALLBACK(w, conic);
	funcs->cubic_to = CALLBACK(w, cubic);
	path.clear();
	w.check(CALL(FT_Outline_Decompose, w, slot + 200, funcs, nullptr) == 0, "FT_Outline_Decompose");
	// In 64ths of a pixel: half of 20.
	w.check(path == "M0,0L0,640L640,640L640,0L0,0", path.c_str());

	w.check(CALL(FT_Load_Char, w, *face, 'A', no_hinting | render) == 0, "rendered");
	unsigned rows = member<unsigned>(slot, 152), width = member<unsigned>(slot, 156);
	w.check(rows == 10 && width == 10 && member<long>(slot, 128) == 12 * 64, "ten by ten, of twelve");
	for (unsigned y = 0; y < rows; y++) {
		for (unsigned x = 0; x < width; x++) {
			w.check(member<uint8_t *>(slot, 168)[y * static_cast<unsigned>(member<int>(slot, 160)) + x] == 255, "black");
		}
	}
	CALL(FT_Set_Pixel_Sizes, w, *face, 33, 33);
	w.check(CALL(FT_Load_Char, w, *face, 'A', render) == 0, "at another size, hinted");
	w.note("bitmap", member<uint8_t *>(slot, 168), member<unsigned>(slot, 152) * static_cast<unsigned>(member<int>(slot, 160)));
	std::vector<uint8_t> broken(file.begin(), file.begin() + 100);
	w.check(CALL(FT_New_Memory_Face, w, *library, w.copy(broken), 100, 0, face) != 0, "half a font is refused");
	w.check(CALL(FT_Done_FreeType, w, *library) == 0, "FT_Done_FreeType");
}

Load load_freetype(World &w)
{
	const int render = 4;
	const std::vector<uint8_t> bytes = font();
	uint8_t *in = w.copy(bytes);
	const long length = static_cast<long>(bytes.size());
	void **library = w.one<void *>(), **face = w.one<void *>();
	uint64_t *sum = w.one<uint64_t>();
	auto create = FUNCTION(w, FT_Init_FreeType);
	auto open = FUNCTION(w, FT_New_Memory_Face);
	auto set_size = FUNCTION(w, FT_Set_Pixel_Sizes);
	auto load = FUNCTION(w, FT_Load_Char);
	auto done = FUNCTION(w, FT_Done_FreeType);
	return {[=, &w] {
			*sum = 0;
			w.check(create(library) == 0 && open(*library, in, length, 0, face) == 0, "FT_New_Memory_Face");
			char *slot = member<char *>(*face, 152);
			for (unsigned size = 10; size < 210; size++) {
				w.check(set_size(*face, size, size) == 0 && load(*face, 'A', render) == 0, "FT_Load_Char");
				*sum += member<unsigned>(slot, 152) * static_cast<uint64_t>(member<unsigned>(slot, 156)) +
					member<uint8_t *>(slot, 168)[0];
			}
			w.check(done(*library) == 0, "FT_Done_FreeType");
		},
		[=, &w] { w.note("sum", static_cast<long>(*sum)); }};
}
