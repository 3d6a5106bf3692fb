#!/usr/bin/env bash
# Builds the corpus: the small programs of testdata/src with real toolchains, one file each, into target/corpus (or the
# directory given). A file is built again only when its sources, its recipe or its compiler changed.
#
#   testdata/build.sh [DIRECTORY]   the corpus; tests/setup.sh installs the compilers
#   testdata/build.sh --bin         the two programs that are committed below testdata/bin
#
# testdata/README.md says what each one is for.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PWD/.tools/bin:$PATH

sources=$PWD/testdata/src
# Paths of this checkout appear in no binary; sources are where a debugger is told they are.
c_flags=(-g -O0 "-ffile-prefix-map=$sources=/corpus")
go_flags=(-trimpath -buildvcs=false "-gcflags=-N -l")

corpus() {
    mkdir -p "$1/.stamps"
    out=$(cd "$1" && pwd)

    c c-glibc-static gcc -static
    c c-static-pie gcc -static-pie -fPIE
    c c-dynamic gcc
    c c-compressed gcc -static -gz=zlib
    c c-nobuildid gcc -static -Wl,--build-id=none
    c c-musl musl-gcc -static -Wl,--build-id
    c c-musl-nobuildid musl-gcc -static -Wl,--build-id=none
    c c-musl-dynamic musl-gcc -Wl,--build-id
    c c-arm64-static aarch64-linux-gnu-gcc -static
    made c-shared c/rates.c gcc "${c_flags[@]}" -O1 -fPIC -shared -Wl,-soname,librates.so.1 rates.c -o @OUT@

    made cxx-static cxx g++ "${c_flags[@]}" -static tally.cpp -o @OUT@
    made cxx-arm64 cxx aarch64-linux-gnu-g++ "${c_flags[@]}" -static tally.cpp -o @OUT@

    go_program go amd64
    go_program go-arm64 arm64
    go_program go-arm arm GOARM=7
    go_program go-mips mips GOMIPS=softfloat
    go_program go-s390x s390x

    rust_program rust-gnu-static cargo
    rust_program rust-auditable cargo auditable
}

bin() {
    out=$PWD/testdata/bin
    mkdir -p "$out/.stamps" "$out/amd64" "$out/arm64"
    c amd64/tally musl-gcc -static -Wl,--build-id
    c arm64/tally aarch64-linux-gnu-gcc -static
    rm -r "$out/.stamps"
}

# NAME COMPILER FLAG…
c() {
    local name=$1 compiler=$2
    shift 2
    made "$name" c/tally.c "$compiler" "${c_flags[@]}" "$@" tally.c -o @OUT@
}

# NAME GOARCH VARIABLE=VALUE…
go_program() {
    local name=$1 architecture=$2
    shift 2
    made "$name" go env GOTOOLCHAIN=local GOFLAGS= GOWORK=off CGO_ENABLED=0 GOOS=linux GOARCH="$architecture" "$@" \
        go build "${go_flags[@]}" -o @OUT@ .
}

# NAME CARGO…
rust_program() {
    local name=$1 host
    shift
    host=$(rustc -vV | sed -n 's/^host: //p')
    made "$name" rust rust_build "$name" "$host" @OUT@ "$@"
}

rust_build() {
    local name=$1 host=$2 program=$3 work
    shift 3
    work=$out/.build/$name
    CARGO_ENCODED_RUSTFLAGS=$(printf -- '-Ctarget-feature=+crt-static\x1f--remap-path-prefix=%s=/corpus\x1f--remap-path-prefix=%s=/cargo' \
        "$sources" "${CARGO_HOME:-$HOME/.cargo}") \
        "$@" build --quiet --locked --target "$host" --target-dir "$work"
    cp "$work/$host/debug/tally" "$program"
}

# NAME SOURCE COMMAND…: runs the command in the source's directory, with @OUT@ as the file to make.
made() {
    local name=$1 source=$sources/$2 directory start=$SECONDS key
    shift 2
    directory=$source
    [[ -d $source ]] || directory=$(dirname "$source")
    key=$(recipe "$source" "$@")
    local stamp=$out/.stamps/${name//\//-}
    if [[ -f $out/$name && -f $stamp && $(<"$stamp") == "$key" ]]; then
        return
    fi
    (cd "$directory" && "${@//@OUT@/$out/$name.part}") ||
        { printf 'corpus: cannot build %s\n' "$name" >&2; exit 1; }
    mv -f "$out/$name.part" "$out/$name"
    printf '%s\n' "$key" >"$stamp"
    printf 'corpus: %s: %d bytes, %d s\n' "$name" "$(stat -c %s "$out/$name")" "$((SECONDS - start))"
}

# What a file is made from: the sources, the command, the compilers.
recipe() {
    local source=$1
    shift
    {
        find "$source" -type f -print0 | sort -z | xargs -0 sha256sum
        printf '%s\n' "$*" "$compilers"
        declare -f rust_build
    } | sha256sum
}

compilers=$(
    for compiler in gcc g++ aarch64-linux-gnu-gcc aarch64-linux-gnu-g++; do "$compiler" --version | head -n 1; done
    go version
    rustc --version
    cargo auditable --version
)

case ${1:-} in
--bin) bin ;;
-*) printf 'usage: %s [DIRECTORY] or --bin\n' "$0" >&2; exit 2 ;;
*) corpus "${1:-target/corpus}" ;;
esac
