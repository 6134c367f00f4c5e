// SPDX-License-Identifier: Apache-2.0
// Libraries of Debian 12 that are run in library domains, unmodified. libraries.sh reads the names of the packages out of the
// rows, so each row begins a line.
#ifndef LYCH_REAL_TABLE_H
#define LYCH_REAL_TABLE_H

#include <ostream>

#include "world.h"

struct RealLibrary {
	const char *name;
	const char *soname;
	const char *packages; // separated by blanks; those they depend on come by themselves
	void (*work)(World &);
	const char *tested;
	bool callbacks, threads; // used in the work
	Load (*load)(World &);   // what is counted (bench_libraries.cc)
	const char *counted;
};

inline std::ostream &operator<<(std::ostream &out, const RealLibrary &library) { return out << library.name; }

// clang-format off
inline const RealLibrary kRealLibraries[] = {
	{"zlib", "libz.so.1", "zlib1g", work_zlib, "one shot, as gzip in pieces, check sums, a broken stream", true, false, load_zlib, "256 KiB of text there and back"},
	{"bzip2", "libbz2.so.1.0", "libbz2-1.0", work_bzip2, "a published file, one shot, in pieces", true, false, load_bzip2, "256 KiB of text there and back"},
	{"zstd", "libzstd.so.1", "libzstd1", work_zstd, "a frame written by hand, one shot, with two threads", true, true, load_zstd, "1 MiB of text there and back"},
	{"brotli", "libbrotlienc.so.1", "libbrotli1", work_brotli, "two libraries, in pieces", true, false, load_brotli, "256 KiB of text there and back"},
	{"expat", "libexpat.so.1", "libexpat1", work_expat, "events, entities, an error with its place", true, false, load_expat, "200 KiB of XML to three handlers"},
	{"libyaml", "libyaml-0.so.2", "libyaml-0-2", work_yaml, "events, an error", true, false, load_yaml, "the events of 100 KiB"},
	{"jansson", "libjansson.so.4", "libjansson4", work_jansson, "text to values and back, a variadic function, an error", true, false, load_jansson, "200 KiB to values and back"},
	{"lua", "liblua5.4.so.0", "liblua5.4-0", work_lua, "programs, coroutines, errors, a function of the host's", true, false, load_lua, "a program: recursion, tables, sorting, patterns"},
	{"sqlite", "libsqlite3.so.0", "libsqlite3-0", work_sqlite, "a database in memory, an SQL function of the host's", true, false, load_sqlite, "2,000 statements in memory"},
	{"pcre2", "libpcre2-8.so.0", "libpcre2-8-0", work_pcre2, "matches, replacements, callouts, a limit; compiling to machine code is refused", true, false, load_pcre2, "all matches in 1 MiB"},
	{"libpng", "libpng16.so.16", "libpng16-16", work_png, "written, read in rows and as it comes, a broken check sum", true, false, load_png, "512 by 512 RGBA read"},
	{"libjpeg", "libjpeg.so.62", "libjpeg62-turbo", work_jpeg, "grey and colour, half a file", true, false, load_jpeg, "512 by 512 read"},
	{"libwebp", "libwebp.so.7", "libwebp7", work_webp, "lossless, lossy, with threads", true, true, load_webp, "512 by 512, lossy, read"},
	{"giflib", "libgif.so.7", "libgif7", work_gif, "the published first example; written and read back", true, false, load_gif, "512 by 512 read"},
	{"libtiff", "libtiff.so.6", "libtiff6", work_tiff, "LZW, Deflate and PackBits, variadic functions", true, false, load_tiff, "512 by 512 in LZW read"},
	{"freetype", "libfreetype.so.6", "libfreetype6", work_freetype, "a font of one square: its outline, its bitmap", true, false, load_freetype, "a glyph in 200 sizes"},
	{"libxml2", "libxml2.so.2", "libxml2", work_xml2, "a tree, XPath, an error, a writer of the host's", true, false, load_xml2, "200 KiB to a tree, XPath, written"},
	{"libarchive", "libarchive.so.13", "libarchive13", work_archive, "tar in gzip, xz and zstd, zip", true, false, load_archive, "20 files in tar.gz, written and read"},
	{"libsodium", "libsodium.so.23", "libsodium23", work_sodium, "published vectors of hashes and signatures, guarded memory", false, false, load_sodium, "1 MiB hashed, sealed, opened"},
	{"libcrypto", "libcrypto.so.3", "libssl3", work_crypto, "published vectors, keys made and used", true, false, load_crypto, "1 MiB hashed, and sealed with AES-GCM"},
	{"libvorbis", "libvorbis.so.0", "libvorbis0a libvorbisenc2 libvorbisfile3", work_vorbis, "encoded, and decoded by way of the host's reader", true, false, load_vorbis, "3 s decoded"},
	{"libopus", "libopus.so.0", "libopus0", work_opus, "encoded and decoded, variadic functions", false, false, load_opus, "2 s decoded"},
	{"libstb", "libstb.so.0", "libstb0", work_stb, "PNG written and read, Vorbis that libvorbis has made, noise", true, false, load_stb, "a PNG of 512 by 512 read"},
	{"re2", "libre2.so.9", "libre2-9", work_re2, "C++: matches, groups, replacements in a std::string", false, false, load_re2, "all matches in 1 MiB"},
	{"icu", "libicui18n.so.72", "libicu72", work_icu, "C++ with 30 MB of data: case, collation, words, expressions", false, false, load_icu, "2,000 words compared, 64 Ki characters decomposed, in upper case"},
	{"openblas", "libopenblas.so.0", "libopenblas0-pthread", work_openblas, "matrices with two threads, LAPACK", false, true, load_openblas, "200 by 200 multiplied, two threads"},
};
// clang-format on

#endif // LYCH_REAL_TABLE_H
