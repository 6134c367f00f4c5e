#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# consumer.sh BUILD SOURCE WORK: install below WORK, then build the sample of SOURCE against what was
# installed, with pkg-config and with find_package, and run both.
set -eu
build=$1 source=$2 work=$3
rm -rf "$work"
mkdir -p "$work"
cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
pc=$(dirname "$(find "$work/prefix" -name lychscan.pc)")
lib=$(dirname "$pc")
# shellcheck disable=SC2046
cc -std=c11 -o "$work/by-pkg-config" "$source/samples/refuse-plugin/refuse.c" \
	$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs lychscan)
cat >"$work/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project(consumer C)
find_package(lychgate 0.1 REQUIRED)
add_executable(by-find-package $source/samples/refuse-plugin/refuse.c)
target_link_libraries(by-find-package PRIVATE lychgate::lychscan)
END
cmake -G Ninja -S "$work" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/cmake.log"
cmake --build "$work/build" >>"$work/cmake.log"
for program in "$work/by-pkg-config" "$work/build/by-find-package"; do
	LD_LIBRARY_PATH=$lib "$program" "$program" | grep -qx 'may be loaded'
	if LD_LIBRARY_PATH=$lib "$program" /nonexistent; then
		echo "$program: a missing file was no error" >&2
		exit 1
	fi
done
# The installed command finds what attacks: it says whether that can be done here, not that something is missing.
code=0
LD_LIBRARY_PATH=$lib "$work/prefix/bin/lychgate" attack --as-root sigreturn >"$work/attack" 2>&1 || code=$?
if [ "$code" -ne 0 ] && [ "$code" -ne 3 ]; then
	cat "$work/attack" >&2
	exit 1
fi
