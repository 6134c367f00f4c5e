#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh BINARY SEEDS WORK RUNS
#
# Without LYCH_FUZZ_SECONDS: RUNS inputs drawn from $LYCH_FUZZ_SEED (1), the same ones each time. With it: as many as there
# is time for, from $LYCH_FUZZ_SEED (random, printed) and from what was found before, which is kept in WORK/corpus.
# Crashes are left in WORK; SEEDS is only read.
set -eu
binary=$1 seeds=$2 work=$3 runs=$4
name=$(basename "$binary")
# A single input gets 20 s, all of them together 1 GiB.
limits="-timeout=20 -rss_limit_mb=1024 -print_final_stats=1"

mkdir -p "$work/corpus"
if [ -n "${LYCH_FUZZ_SECONDS:-}" ]; then
	seed=${LYCH_FUZZ_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
	echo "$name: $LYCH_FUZZ_SECONDS s, LYCH_FUZZ_SEED=$seed, crashes in $work"
	# shellcheck disable=SC2086
	exec "$binary" -seed="$seed" -max_total_time="$LYCH_FUZZ_SECONDS" $limits -artifact_prefix="$work/" "$work/corpus" "$seeds"
fi

# libFuzzer learns from what the target compares, pointers too: so addresses are not random, and of path and environment,
# which lie on the stack, nothing is of this place. It takes seeds in the order that is given, and reads nothing later.
if ! setarch "$(uname -m)" -R true; then
	echo "$name: addresses cannot be kept from being random here, so what is fuzzed would be another thing each time;" \
		"LYCH_FUZZ_SECONDS=30 does it all the same"
	exit 77
fi
seed=${LYCH_FUZZ_SEED:-1}
echo "$name: $runs inputs, LYCH_FUZZ_SEED=$seed, crashes in $work"
cd "$work"
rm -rf seeds
cp -R "$seeds" seeds
ln -sf "$binary" "$name"
list=$(find seeds -type f | LC_ALL=C sort | paste -s -d, -)
# shellcheck disable=SC2086
exec env -i PATH=/usr/bin:/bin setarch "$(uname -m)" -R "./$name" -seed="$seed" -runs="$runs" -reload=0 $limits \
	-artifact_prefix=./ -seed_inputs="$list"
