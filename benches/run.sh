#!/usr/bin/env bash
# Measures xpost beside GNU binutils, LLVM and elfutils, in whatever versions are installed, in turn and in memory:
#
#   benches/run.sh                   the five inputs that it builds
#   benches/run.sh FILE…             these ELF programs as well
#   ROUNDS=9 benches/run.sh          instead of 5 rounds
#   XPOST=PROGRAM benches/run.sh     this xpost instead of the one it builds
#
# It needs Rust, Go, python3 and binutils, and for the C++ program what tests/setup.sh installs. Progress goes to standard error,
# the tables (Markdown) to standard output. benches/README.md says what is aimed at.
set -euo pipefail
files=()
for file in "$@"; do
    files+=("$(realpath "$file")")
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=tests/tools/versions.sh
source tests/tools/versions.sh

built=$PWD/target/bench
ripgrep=ripgrep@15.2.0

main() {
    xpost_input
    rust_input
    go_input
    [[ -e target/corpus/cxx-static ]] || bash testdata/build.sh >&2
    local memory=/dev/shm
    [[ -d $memory && -w $memory ]] || memory=${TMPDIR:-/tmp}
    work=$(mktemp -d "$memory/xpost-bench.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    python3 benches/measure.py --rounds "${ROUNDS:-5}" --work "$work" --xpost "${XPOST:-$built/release/xpost}" \
        --once "$built/large" \
        "$built/bin/rg" "$built/release/xpost" "$built/crane" target/corpus/cxx-static "${files[@]}"
}

# xpost itself, which is what a Rust program with many dependencies looks like: some 280 MB. It is also the xpost that is
# measured: debug information changes no code, so this is the program of `cargo build --release`. And the same with its DWARF
# twice more, to see what memory it takes.
xpost_input() {
    CARGO_PROFILE_RELEASE_DEBUG=2 cargo build --quiet --release --locked --target-dir "$built"
    objcopy --only-keep-debug "$built/release/xpost" "$built/xpost.debug"
    objcopy --add-section ".debug_again=$built/xpost.debug" --add-section ".debug_thrice=$built/xpost.debug" \
        "$built/release/xpost" "$built/large"
}

# A smaller Rust program: some 60 MB.
rust_input() {
    CARGO_PROFILE_RELEASE_DEBUG=2 cargo install --quiet --locked --root "$built" --target-dir "$built/ripgrep" "$ripgrep" >&2
}

# One of the tests' tools, but with its debug information, which Go compresses.
go_input() {
    local tool
    for tool in "${go_tools[@]}"; do
        if [[ ${tool%@*} == */crane ]]; then
            GOBIN=$built GOTOOLCHAIN=local GOFLAGS='' GOWORK=off PATH=$PWD/.tools/bin:$PATH \
                go install -trimpath "$tool" 2> >(sed '/^go: downloading /d' >&2)
        fi
    done
}

main
