#!/usr/bin/env bash
# Fuzzes for a bounded time: every target of fuzz/ at once, for a minute or the seconds given. A target that finds
# something fails the run and leaves its input below target/fuzz/TARGET; the program named beside it runs it again.
#
#   tests/fuzz.sh [SECONDS] [TARGET…]
#   tests/fuzz.sh replay [TARGET…]      fuzz/corpus alone: what a check needs, which must not depend on chance
#   tests/fuzz.sh merge [TARGET…]       adds to fuzz/corpus what earlier runs found that reaches something new
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

what=${1:-60}
shift $(($# > 0))
targets=("$@")
(($# > 0)) || targets=(parse split compressed)
out=$PWD/target/fuzz

# What cargo-fuzz hands to a nightly compiler, in the flags that stable has: libFuzzer's coverage, no sanitizer, for
# which safe Rust has little use. With --target, build scripts go without.
flags=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg=fuzzing)

main() {
    local host target failed=0 work pids=()
    host=$(rustc -vV | sed -n 's/^host: //p')
    # The same versions of everything that xpost has; cargo adds what is only for fuzzing.
    cp Cargo.lock fuzz/Cargo.lock
    CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && printf '%s' "${flags[*]}") \
        cargo build --quiet --release --manifest-path fuzz/Cargo.toml --target "$host" --target-dir "$out/build"
    for target in "${targets[@]}"; do
        mkdir -p "$out/$target/corpus" "$out/$target/seeds" "fuzz/corpus/$target"
        "seeds_of_$target" "$out/$target/seeds"
        local kept=$PWD/fuzz/corpus/$target found=$out/$target/corpus seeds=$out/$target/seeds
        case $what in
            replay) work=(-runs=0 "$kept") ;;
            merge) work=(-set_cover_merge=1 -use_counters=0 "$kept" "$found" "$seeds") ;;
            *) work=("-max_total_time=$what" "$found" "$kept" "$seeds") ;;
        esac
        RUST_BACKTRACE=0 "$out/build/$host/release/$target" -max_len=65536 -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$out/$target/" \
            "${work[@]}" >"$out/$target/log" 2>&1 &
        pids+=($!)
    done
    for target in "${!targets[@]}"; do
        if wait "${pids[$target]}"; then
            printf 'fuzz: %s: %s\n' "${targets[$target]}" "$(tail -n 1 "$out/${targets[$target]}/log")"
        else
            failed=1
            tail -n 40 "$out/${targets[$target]}/log" >&2
            printf 'fuzz: %s found something: %s\n' "${targets[$target]}" "$out/${targets[$target]}" >&2
        fi
    done
    return "$failed"
}

# Programs of one function, for several machines and forms of debug information: a few kilobytes each.
seeds_of_parse() {
    local source='int cents; void _start(void) { cents = 859; }' machine form
    for machine in '' aarch64-linux-gnu- i686-linux-gnu- s390x-linux-gnu-; do
        for form in -gz=none -gz=zlib -gz=zlib-gnu; do
            "${machine}gcc" -x c -g "-ffile-prefix-map=$PWD=." -Os -nostdlib -static -Wl,--build-id -Wl,-z,noseparate-code "$form" \
                -o "$1/${machine}seed$form" - <<<"$source"
        done
    done
}

seeds_of_split() {
    seeds_of_parse "$1"
}

# A byte that says which class and order; then a header, and a stream that is whole.
seeds_of_compressed() {
    local stream
    stream=$(printf 'debug information %.0s' {1..40} | "$PWD/.tools/python/bin/python" -c \
        'import sys, zlib; sys.stdout.write("".join("\\x%02x" % b for b in zlib.compress(sys.stdin.buffer.read())))')
    printf '%b' "\\x00\\x01\\0\\0\\0\\0\\0\\0\\0\\xd0\\x02\\0\\0\\0\\0\\0\\0\\x01\\0\\0\\0\\0\\0\\0\\0$stream" >"$1/flagged"
    printf '%b' "\\x04ZLIB\\0\\0\\0\\0\\0\\0\\x02\\xd0$stream" >"$1/named"
}

main
