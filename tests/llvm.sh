#!/usr/bin/env bash
# Runs the inputs of LLVM's own llvm-objcopy tests through xpost slim: odd ELF files, written down as YAML. xpost may
# split one or refuse it with a documented exit code; it may not panic, hang, or write what readelf cannot read.
#
#   tests/llvm.sh [DIRECTORY]    downloads 140 MB of Debian's source package the first time, into target/llvm
#
# Not a part of tests/check.sh, because of that download. Needs Debian with llvm (yaml2obj) and binutils, and a built
# xpost (target/debug/xpost, or what XPOST names).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

package=llvm-toolchain-16
work=${1:-target/llvm}
xpost=$(realpath "${XPOST:-target/debug/xpost}")

main() {
    mkdir -p "$work"
    cd "$work"
    [[ -d ELF ]] || fetch
    rm -rf objects refusals
    mkdir objects
    local test document made=0 split=0 refused=0 wrong=0 exit
    while read -r test; do
        for ((document = 1; document <= $(grep -c '!ELF$' "$test"); document++)); do
            local object=objects/${test//\//-}.$document
            # Some need macros that only their test defines.
            yaml2obj --docnum="$document" "$test" -o "$object" 2>/dev/null || continue
            made=$((made + 1))
            exit=0
            timeout 60 "$xpost" slim --quiet -o "$object.slim" "$object" >"$object.log" 2>&1 || exit=$?
            case $exit in
            0)
                split=$((split + 1))
                readable "$object" || { wrong=$((wrong + 1)); printf 'llvm: %s: what was written cannot be read\n' "$object"; }
                ;;
            3 | 8)
                refused=$((refused + 1))
                printf '%s: %s\n' "$object" "$(sed -n 's/^  //p' "$object.log")" >>refusals
                ;;
            *)
                wrong=$((wrong + 1))
                printf 'llvm: %s: exit %d: %s\n' "$object" "$exit" "$(tail -n 3 "$object.log")"
                ;;
            esac
        done
    done < <(grep -rl --include='*.test' --include='*.yaml' --include='*.s' '!ELF$' ELF | sort)
    printf 'llvm: %d files: %d split, %d refused, %d wrong\n' "$made" "$split" "$refused" "$wrong"
    ((made > 200 && wrong == 0))
}

# readelf finds no more to complain of than in the input.
readable() {
    local before after
    before=$(readelf --wide --all "$1" 2>&1 >/dev/null | wc -l)
    after=$(readelf --wide --all "$1.slim" 2>&1 >/dev/null | wc -l)
    ((after <= before))
}

fetch() {
    local options archive
    mkdir -p apt/lists/partial apt/cache/archives/partial
    printf 'deb-src http://deb.debian.org/debian bookworm main\n' >apt/sources.list
    options=(-qq -o "Dir::Etc::sourcelist=$PWD/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$PWD/apt/lists" -o "Dir::Cache=$PWD/apt/cache" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update
    apt-get "${options[@]}" source --download-only "$package"
    archive=$(compgen -G "$package*.orig.tar.xz")
    tar --extract --file "$archive" --strip-components=5 --wildcards '*/llvm/test/tools/llvm-objcopy/ELF'
    rm -rf apt "${package}"_*
}

main
