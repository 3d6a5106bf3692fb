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
tools=$PWD/.tools
PATH=$tools/bin:$PATH

sources=$PWD/testdata/src
# Paths of this checkout appear in no binary; sources are where a debugger is told they are.
c_flags=(-g -O0 "-ffile-prefix-map=$sources=/corpus")
go_flags=(-trimpath -buildvcs=false "-gcflags=-N -l")

corpus() {
    mkdir -p "$1/.stamps"
    out=$(cd "$1" && pwd)
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')

    c c-glibc-static gcc -static
    c c-static-pie gcc -static-pie -fPIE
    c c-dynamic gcc
    c c-compressed gcc -static -gz=zlib
    c c-nobuildid gcc -static -Wl,--build-id=none
    c c-musl musl-gcc -static -Wl,--build-id
    c c-musl-nobuildid musl-gcc -static -Wl,--build-id=none
    c c-musl-dynamic musl-gcc -Wl,--build-id
    c c-noseparate gcc -static -Wl,-z,noseparate-code
    c c-lto gcc -static -flto
    c c-zdebug gcc -static -gz=zlib-gnu
    made c-splitdwarf c/tally.c split_dwarf c-splitdwarf @OUT@
    c c-gold gcc -static -fuse-ld=gold -Wl,--build-id
    c c-lld gcc -static -fuse-ld=lld -Wl,--build-id
    c c-mold gcc -static -fuse-ld=mold -Wl,--build-id

    c c-arm64-static aarch64-linux-gnu-gcc -static
    c c-i386 i686-linux-gnu-gcc -static
    c c-ppc64le powerpc64le-linux-gnu-gcc -static
    c c-riscv64 riscv64-linux-gnu-gcc -static
    c c-s390x s390x-linux-gnu-gcc -static
    made c-sections c/tally.c many_sections c-sections @OUT@
    made c-shared c/rates.c gcc "${c_flags[@]}" -O1 -fPIC -shared -Wl,-soname,librates.so.1 rates.c -o @OUT@
    made c-burn c/burn.c gcc "${c_flags[@]}" -O1 -static burn.c -o @OUT@
    made c-burn-pie c/burn.c gcc "${c_flags[@]}" -O1 -static-pie -fPIE burn.c -o @OUT@

    made cxx-static cxx g++ "${c_flags[@]}" -static tally.cpp -o @OUT@
    made cxx-arm64 cxx aarch64-linux-gnu-g++ "${c_flags[@]}" -static tally.cpp -o @OUT@

    go_program go amd64
    go_program go-arm64 arm64
    go_program go-arm arm GOARM=7
    go_program go-mips mips GOMIPS=softfloat
    go_program go-s390x s390x
    go_flags+=(-buildmode=pie)
    go_program go-pie amd64
    unset 'go_flags[-1]'
    PATH=$tools/go-old/bin:$PATH go_program go-old-nobuildid amd64

    c c-zig-nobuildid zig_cc -target x86_64-linux-musl
    c c-arm64-zig-nobuildid zig_cc -target aarch64-linux-musl

    rust_program rust-gnu-static "$host" cargo
    rust_program rust-auditable "$host" cargo auditable
    rust_program rust-musl x86_64-unknown-linux-musl cargo
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

# The program's DWARF lies in a .dwo that the linker never sees, and dwp packs it into NAME.dwp.
# DWARF 4, because dwp of binutils 2.40 cannot index version 5.
split_dwarf() {
    local name=$1 program=$2 source=$PWD/tally.c
    mkdir -p "$out/.build/$name"
    cd "$out/.build/$name"
    gcc "${c_flags[@]}" "-ffile-prefix-map=$PWD=/corpus/c" -gdwarf-4 -gsplit-dwarf -c "$source" -o tally.o
    gcc -static tally.o -o "$program"
    dwp -o "$out/$name.dwp" tally.dwo
}

# More sections than e_shnum can count.
many_sections() {
    local name=$1 program=$2 assembly=$out/.build/$1.s
    mkdir -p "$out/.build"
    seq 66000 | sed 's/.*/.section users.&\n.byte 1/; $a.section .note.GNU-stack' >"$assembly"
    gcc "${c_flags[@]}" -static tally.c "$assembly" -o "$program"
}

# Zig's clang, its musl, its linker. It makes its C library the first time.
zig_cc() {
    ZIG_GLOBAL_CACHE_DIR=$out/.build/zig ZIG_LOCAL_CACHE_DIR=$out/.build/zig \
        "$tools/python/bin/python" -m ziglang cc -static -fno-sanitize=undefined "$@"
}

# NAME TARGET CARGO…
rust_program() {
    local name=$1 target=$2
    shift 2
    made "$name" rust rust_build "$name" "$target" @OUT@ "$@"
}

rust_build() {
    local name=$1 target=$2 program=$3 work
    shift 3
    work=$out/.build/$name
    # Debug information is what the corpus is for, whatever the environment asks of other builds.
    CARGO_PROFILE_DEV_DEBUG=full CARGO_ENCODED_RUSTFLAGS=$(printf -- '-Ctarget-feature=+crt-static\x1f--remap-path-prefix=%s=/corpus\x1f--remap-path-prefix=%s=/cargo' \
        "$sources" "${CARGO_HOME:-$HOME/.cargo}") \
        "$@" build --quiet --locked --target "$target" --target-dir "$work"
    cp "$work/$target/debug/tally" "$program"
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
        declare -f rust_build split_dwarf many_sections zig_cc
    } | sha256sum
}

compilers=$(
    for compiler in {,aarch64-linux-gnu-,i686-linux-gnu-,powerpc64le-linux-gnu-,riscv64-linux-gnu-,s390x-linux-gnu-}gcc \
        {,aarch64-linux-gnu-}g++ ld.lld mold; do "$compiler" --version | head -n 1; done
    go version
    grep ziglang tests/tools/python.in
    cat tests/tools/go-old.in
    rustc --version
    cargo auditable --version
)

case ${1:-} in
--bin) bin ;;
-*) printf 'usage: %s [DIRECTORY] or --bin\n' "$0" >&2; exit 2 ;;
*) corpus "${1:-target/corpus}" ;;
esac
