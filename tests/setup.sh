#!/usr/bin/env bash
# Installs what the checks and tests need, on Debian or Ubuntu with Rust: packages with apt-get (as root, or by sudo),
# everything else below .tools in this checkout, at the versions that tests/tools/ pins. What is there already is left
# alone, so a second run takes a second or two. A step that fails fails the run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=tests/tools/versions.sh
source tests/tools/versions.sh

tools=$PWD/.tools
mkdir -p "$tools/bin" "$tools/stamps"

main() {
    timed "apt packages" install_apt_packages
    local unpacked
    for unpacked in "${unpacked_packages[@]}"; do
        # Several words on purpose: the package and its programs.
        # shellcheck disable=SC2086
        timed "${unpacked%% *}" install_unpacked $unpacked
    done
    timed "python tools" install_python_tools
    timed "go" install_go
    timed "old go" install_go_old
    timed "rust targets" install_rust_targets
    local tool
    for tool in "${go_tools[@]}"; do
        timed "${tool##*/}" install_go_tool "$tool"
    done
    timed "test servers" build_test_servers
    for tool in "${cargo_tools[@]}"; do
        timed "$tool" install_cargo_tool "$tool"
    done
}

install_apt_packages() {
    local missing=() package
    # Debian has perf in one package, Ubuntu one for each kernel.
    command -v perf >/dev/null || apt_packages+=("$(perf_package)")
    for package in "${apt_packages[@]}"; do
        installed "$package" || missing+=("$package")
    done
    # A Python of the system's own cannot make a virtual environment without this package.
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        missing+=(python3 python3-venv)
    fi
    if ((${#missing[@]} == 0)); then
        return
    fi
    command -v apt-get >/dev/null || fail "these packages are missing and there is no apt-get to install them: ${missing[*]}"
    retry as_root apt-get -qq update
    retry as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
}

perf_package() {
    # shellcheck source=/dev/null
    case $(source /etc/os-release && printf '%s' "$ID") in
    ubuntu) printf 'linux-tools-%s\n' "$(uname -r)" ;;
    *) printf 'linux-perf\n' ;;
    esac
}

# PACKAGE PROGRAM…
install_unpacked() {
    local package=$1 program missing=()
    shift
    for program in "$@"; do
        [[ -x $tools/bin/$program ]] || missing+=("$program")
    done
    if ((${#missing[@]} == 0)); then
        return
    fi
    # A run that was stopped may have left its own.
    rm -rf "$tools/$package".*
    local work
    work=$(mktemp -d "$tools/$package.XXXXXX")
    # The package lists may be empty on a machine where nothing else was missing.
    [[ -n $(apt-cache madison "$package" 2>/dev/null) ]] || retry as_root apt-get -qq update
    (cd "$work" && retry apt-get -qq -o APT::Sandbox::User=root download "$package")
    dpkg-deb --extract "$work"/*.deb "$work/unpacked"
    for program in "${missing[@]}"; do
        put "$work/unpacked/usr/bin/$program"
    done
    rm -rf "$work"
}

install_python_tools() {
    local wanted
    # Commands of a virtual environment name its place, so a checkout that moved needs another.
    wanted="$(sha256sum <tests/tools/python.txt) in $PWD"
    if ! stamped python "$wanted" "$tools/python/bin/python"; then
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
            fail "python3 is $(python3 -V 2>&1), and 3.11 or newer is needed"
        rm -rf "$tools/python"
        python3 -m venv "$tools/python"
        retry "$tools/python/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r tests/tools/python.txt
        stamp python "$wanted"
    fi
    local command
    for command in "${python_commands[@]}"; do
        ln -sfn "../python/bin/$command" "$tools/bin/$command"
    done
}

install_go() {
    export GOBIN=$tools/bin GOTOOLCHAIN=local GOFLAGS='' GOWORK=off
    local version
    version=$(go env GOVERSION 2>/dev/null || true)
    if ! at_least "${version#go}" "$go_minimum"; then
        install_go_into go
        ln -sfn ../go/bin/go "$tools/bin/go"
        PATH=$tools/go/bin:$PATH
        version=$(go env GOVERSION)
        at_least "${version#go}" "$go_minimum" || fail "tests/tools/go.txt gives $version, and $go_minimum is needed"
    fi
}

# For the corpus alone: until 1.22 Go put the section names among the loaded bytes.
install_go_old() {
    install_go_into go-old
}

# NAME: the Go of tests/tools/NAME.txt, into .tools/NAME.
install_go_into() {
    local wanted
    # As above: its commands name their place.
    wanted="$(sha256sum <"tests/tools/$1.txt") in $PWD"
    if ! stamped "$1" "$wanted" "$tools/$1/bin/go"; then
        rm -rf "${tools:?}/$1"
        python3 -m venv "$tools/$1"
        retry "$tools/$1/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "tests/tools/$1.txt"
        stamp "$1" "$wanted"
    fi
}

install_rust_targets() {
    local target
    for target in "${rust_targets[@]}"; do
        if [[ ! -d $(rustc --print sysroot)/lib/rustlib/$target/lib ]]; then
            command -v rustup >/dev/null || fail "Rust's standard library for $target is missing and there is no rustup to install it"
            retry rustup --quiet target add "$target"
        fi
    done
}

# PACKAGE@VERSION; the program's own record of its module's version says whether it is the right one.
install_go_tool() {
    local package=${1%@*} version=${1##*@} program
    program=$tools/bin/${package##*/}
    if [[ -x $program ]] && go version -m "$program" | awk -v path="$package" -v version="$version" '
        $1 == "path" { path_found = $2 } $1 == "mod" { version_found = $3 }
        END { exit !(path_found == path && version_found == version) }'; then
        return
    fi
    retry quiet_go install -trimpath -ldflags='-s -w' "$1"
}

build_test_servers() {
    local wanted
    wanted=$(cat tests/servers/*.go tests/servers/go.* | sha256sum)
    if ! stamped test-servers "$wanted" "$tools/bin/test-servers"; then
        retry quiet_go build -C tests/servers -trimpath -ldflags='-s -w' -o "$tools/bin/test-servers" .
        stamp test-servers "$wanted"
    fi
}

# NAME@VERSION. Only the answers of these programs are wanted, not their speed: built quickly rather than well.
install_cargo_tool() {
    local name=${1%@*}
    if stamped "$name" "$1" "$tools/bin/$name"; then
        return
    fi
    retry env CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_PROFILE_RELEASE_DEBUG=false cargo install --quiet --locked --force --root "$tools" "$1"
    stamp "$name" "$1"
}

# --- small things ---

timed() {
    local what=$1 start=$SECONDS
    shift
    "$@"
    if ((SECONDS - start > 1)); then
        printf 'setup: %s: %d s\n' "$what" "$((SECONDS - start))"
    fi
}

# Five tries, for commands that need the network.
retry() {
    local try
    for try in 1 2 3 4 5; do
        if "$@"; then
            return
        fi
        printf 'setup: try %d of 5 failed: %s\n' "$try" "$*" >&2
        sleep "$((try * 3))"
    done
    fail "cannot run: $*"
}

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

# Go names every module that it downloads, hundreds of them.
quiet_go() {
    go "$@" 2> >(sed '/^go: downloading /d' >&2)
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root or sudo: $*"
    fi
}

installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

at_least() {
    [[ -n $1 && $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]
}

# A program appears in .tools/bin whole or not at all.
put() {
    install -m 755 "$1" "$tools/bin/.$(basename "$1")"
    mv -f "$tools/bin/.$(basename "$1")" "$tools/bin/$(basename "$1")"
}

# A stamp says from what a program was made; it is written when the program is there.
stamp() {
    printf '%s\n' "$2" >"$tools/stamps/$1"
}

stamped() {
    [[ -e $3 && -f $tools/stamps/$1 && $(<"$tools/stamps/$1") == "$2" ]]
}

main
