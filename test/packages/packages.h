// SPDX-License-Identifier: Apache-2.0
// Which packages of Debian there is a program for. packages.sh fetches them.
#ifndef LYCH_TEST_PACKAGES_H
#define LYCH_TEST_PACKAGES_H

#include <cstddef>
#include <ostream>

struct Package {
	const char *name, *package;
	const char *library; // below usr/lib
	const char *program; // test/packages/PROGRAM.c
	const char *language;
	size_t executed; // so many repaired instructions at least must be executed
};

inline void PrintTo(const Package &package, std::ostream *out)
{
	*out << package.package;
}

#define LIBRARY(file) "x86_64-linux-gnu/" file

inline const Package kPackages[] = {
	{"Nettle", "libnettle8", LIBRARY("libnettle.so.8"), "nettle", "C", 2},
	{"Primesieve", "libprimesieve11", LIBRARY("libprimesieve.so.11"), "primesieve", "C++", 1},
	{"Mcrypt", "libmcrypt4", LIBRARY("libmcrypt.so.4"), "mcrypt", "C", 1},
	{"Gnat", "libgnat-12", LIBRARY("libgnat-12.so"), "gnat", "Ada", 1},
	{"Flame", "libflame1", LIBRARY("libflame.so.1"), "flame", "C", 1},
	{"Qt", "libqt5core5a", LIBRARY("libQt5Core.so.5"), "qt", "C++", 1},
	{"Spatialite", "libspatialite7", LIBRARY("libspatialite.so.7"), "spatialite", "C", 2},
	{"Rsb", "librsb0", LIBRARY("librsb.so.0"), "rsb", "C", 1},
	{"SvtAv1", "libsvtav1enc1", LIBRARY("libSvtAv1Enc.so.1"), "svtav1", "C", 1},
	{"Lief", "liblief0", LIBRARY("libLIEF.so.0"), "lief", "C++", 1},
	{"Ngspice", "libngspice0", LIBRARY("libngspice.so.0"), "ngspice", "C", 1},
	{"Cvc5", "libcvc5-1", LIBRARY("libcvc5.so.1"), "cvc5", "C++", 0},
	{"Getfem", "libgetfem5", LIBRARY("libgetfem.so.5"), "getfem", "C++", 1},
};

// Fetched for --long only.
inline const Package kLargePackage = {"Torch", "libtorch1.13", LIBRARY("libtorch_python.so.1.13"), "torch", "C++", 1};

#undef LIBRARY

#endif
