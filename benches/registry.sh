#!/usr/bin/env bash
# Measures pushes and pulls beside curl, oras and crane, through a real registry on 127.0.0.1 with its storage in memory:
#
#   benches/registry.sh                     300 MB in one blob, and 1,000 small files
#   ROUNDS=9 benches/registry.sh            instead of 5 rounds
#   XPOST=PROGRAM benches/registry.sh       this xpost instead of the one it builds
#
# It needs python3, curl, openssl and what tests/setup.sh installs. Progress goes to standard error, the table (Markdown) to standard output.
set -euo pipefail
[[ -z ${XPOST:-} ]] || XPOST=$(realpath "$XPOST")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

built=$PWD/target/bench
if [[ -z ${XPOST:-} ]]; then
    CARGO_PROFILE_RELEASE_DEBUG=2 cargo build --quiet --release --locked --target-dir "$built"
    XPOST=$built/release/xpost
fi
memory=/dev/shm
[[ -d $memory && -w $memory ]] || memory=${TMPDIR:-/tmp}
work=$(mktemp -d "$memory/xpost-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
PATH=$PWD/.tools/bin:$PATH python3 benches/registry.py --rounds "${ROUNDS:-5}" --work "$work" --xpost "$XPOST"
