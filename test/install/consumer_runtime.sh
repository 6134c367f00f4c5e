#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# consumer_runtime.sh BUILD SOURCE WORK: install below WORK, then build a sample of SOURCE against the installed
# runtime, with pkg-config, with find_package, and with the static library, and run each, with the backend that needs
# no keys.
set -eu
build=$1 source=$2 work=$3
rm -rf "$work"
mkdir -p "$work"
cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
pc=$(dirname "$(find "$work/prefix" -name lychgate.pc)")
lib=$(dirname "$pc")
export PKG_CONFIG_PATH="$pc"
sample=$source/samples/pkey-tour/tour.c
# shellcheck disable=SC2046
cc -std=gnu11 -O2 -o "$work/by-pkg-config" "$sample" $(pkg-config --cflags --libs lychgate)
# The archive by its name: without it the linker would take the shared library.
# shellcheck disable=SC2046
cc -std=gnu11 -O2 -o "$work/by-static-library" "$sample" $(pkg-config --cflags lychgate) "$lib/liblychgate.a" \
	$(pkg-config --static --libs lychgate | sed 's/-llychgate//')
cat >"$work/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project(consumer C)
find_package(lychgate 0.1 REQUIRED)
add_executable(by-find-package $sample)
target_link_libraries(by-find-package PRIVATE lychgate::lychgate)
END
cmake -G Ninja -S "$work" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/cmake.log"
cmake --build "$work/build" >>"$work/cmake.log"
# Nothing of the installed library is needed but by those that say so.
if ldd "$work/by-static-library" | grep -q liblychgate; then
	echo "by-static-library: linked with the shared library" >&2
	exit 1
fi
for program in "$work/by-pkg-config" "$work/build/by-find-package" "$work/by-static-library"; do
	if ! LD_LIBRARY_PATH=$lib "$program" mprotect >"$work/out" 2>&1 ||
		! grep -q 'the call gives: the domain faulted' "$work/out"; then
		echo "$program:" >&2
		cat "$work/out" >&2
		exit 1
	fi
done
# One of several: an application can load it by the name of its interface, which says when that changes.
soname=$(objdump -p "$lib/liblychgate.so" | awk '$1 == "SONAME" { print $2 }')
[ "$soname" = liblychgate.so.0 ] || { echo "soname is $soname" >&2; exit 1; }
