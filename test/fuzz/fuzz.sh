#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh BINARY SEEDS WORK: fuzzes for $LYCH_FUZZ_SECONDS (30) seconds with seed $LYCH_FUZZ_SEED (random, printed).
# What is found on the way is kept in WORK/corpus, crashes in WORK; SEEDS is only read.
set -eu
binary=$1 seeds=$2 work=$3
seconds=${LYCH_FUZZ_SECONDS:-30}
seed=${LYCH_FUZZ_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}

mkdir -p "$work/corpus"
echo "$(basename "$binary"): $seconds s, again with LYCH_FUZZ_SEED=$seed"
# A single input gets 20 s, all of them together 1 GiB.
exec "$binary" -seed="$seed" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 \
	-artifact_prefix="$work/" "$work/corpus" "$seeds"
