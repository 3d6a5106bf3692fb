#!/usr/bin/env bash
# The whole road in one command, on two committed programs and without a network: builds xpost, then slims, lists,
# signs, publishes into an OCI layout directory, verifies and pulls. Needs Rust; installs a C compiler where none is.
# XPOST names an xpost that is built already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

main() {
    local xpost=${XPOST:-} root=$PWD work
    if [[ -z $xpost ]]; then
        compiler
        cargo build --release --locked
        xpost=${CARGO_TARGET_DIR:-$root/target}/release/xpost
    fi
    xpost=$(realpath "$xpost")
    work=${TOUR_DIR:-$root/target/tour}
    rm -rf "$work"
    mkdir -p "$work"
    cd "$work"
    cp -r "$root/testdata/bin/amd64" "$root/testdata/bin/arm64" .

    run slim --keep-symbol main amd64/tally arm64/tally
    run sbom
    run sign --generate-key release.key
    run sign --key release.key --annotation org.opencontainers.image.version=1.0.0
    run push oci:release:v1
    run verify oci:release:v1 --key release.pub --require-version 1.0.0
    run pull oci:release:v1 --platform linux/amd64 -o site --debug --key release.pub
    printf '\nAll of it lies in %s. Next:\n' "$work"
    printf '  xpost slim --keep-symbol main YOUR-BINARY      # built with debug information, not stripped\n'
    printf '  xpost push ghcr.io/YOU/YOUR-APP:v1\n'
}

# Shows a command and runs it.
run() {
    printf '\n$ xpost %s\n' "$*"
    "$xpost" --quiet "$@"
}

# Rust links with the system's C compiler, and a few dependencies are C.
compiler() {
    if command -v cc >/dev/null; then
        return
    fi
    local install=(apt-get -qq install -y --no-install-recommends gcc libc6-dev)
    if command -v apt-get >/dev/null && ((EUID == 0)); then
        apt-get -qq update
        "${install[@]}" >/dev/null
    elif command -v apt-get >/dev/null && command -v sudo >/dev/null; then
        sudo apt-get -qq update
        sudo "${install[@]}" >/dev/null
    else
        echo 'tour: Rust needs a C compiler to link with, and there is no cc: install gcc or clang' >&2
        return 1
    fi
}

main
