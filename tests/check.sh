#!/usr/bin/env bash
# Checks everything; when it succeeds, a change is good. Without arguments every step, or the steps that are named:
#
#   tests/check.sh                  all of it, on a machine that has only Rust (Debian or Ubuntu; root or sudo)
#   tests/check.sh fmt clippy       these two
#
# Steps: setup corpus fmt typos shell actions clippy features fuzz doc test deny advisories
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PWD/.tools/bin:$PATH
export CARGO_NET_RETRY=5

steps=(setup corpus fmt typos shell actions clippy features fuzz doc test deny advisories)

setup() { bash tests/setup.sh; }

corpus() { bash testdata/build.sh; }

fmt() { cargo fmt --check; }

typos() { command typos --config typos.toml; }

shell() { shellcheck --external-sources .ci/run .github/action/*.sh tests/*.sh tests/tools/*.sh testdata/*.sh benches/*.sh; }

# The workflows and the action: their schemas, and what is unsafe in them.
actions() {
    check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
    if [[ -e action.yml ]]; then
        check-jsonschema --builtin-schema vendor.github-actions action.yml
    fi
    # Offline: the audits that ask the forge are for people who have a token for it.
    zizmor --offline --quiet --no-progress .
}

clippy() { cargo clippy --quiet --locked --all-targets -- -D warnings; }

# What others may build: slimming alone, and that with one thing more.
features() {
    local feature
    for feature in '' sbom sign oci net; do
        cargo clippy --quiet --locked --lib --no-default-features --features "$feature" -- -D warnings
    done
}

# What fuzzing found so far; to look for more is not for a check, which would fail by chance.
fuzz() {
    cargo fmt --check --manifest-path fuzz/Cargo.toml
    bash tests/fuzz.sh replay
}

doc() { RUSTDOCFLAGS=-Dwarnings cargo doc --quiet --locked --no-deps; }

test() { cargo test --locked; }

deny() { cargo deny --locked check --hide-inclusion-graph licenses bans sources; }

# The database of advisories is not in any package registry: it is fetched, or the copy of an earlier run is used, or it
# is said that nothing was checked. XPOST_REQUIRE_ADVISORIES makes the last one a failure.
advisories() {
    local store=${CARGO_HOME:-$HOME/.cargo}/advisory-dbs
    if timeout 300 cargo deny --locked fetch db >/dev/null 2>&1; then
        cargo deny --locked check --disable-fetch advisories
    elif compgen -G "$store/*/.git" >/dev/null; then
        echo 'advisories: the database cannot be fetched; checking against the copy of an earlier run' >&2
        cargo deny --locked check --disable-fetch advisories
    elif [[ -n ${XPOST_REQUIRE_ADVISORIES:-} ]]; then
        echo 'advisories: the RustSec database cannot be fetched and there is no copy' >&2
        return 1
    else
        echo '!!!!! ADVISORIES WERE NOT CHECKED: the RustSec database cannot be fetched here and there is no copy !!!!!'
    fi
}

main() {
    local step start
    for step in "$@"; do
        [[ " ${steps[*]} " == *" $step "* ]] || { echo "check: no step is called $step: ${steps[*]}" >&2; exit 2; }
    done
    if (($# == 0)); then
        set -- "${steps[@]}"
    fi
    for step in "$@"; do
        start=$SECONDS
        printf '== %s\n' "$step"
        # A function in a condition would run on after its first failure: each step is a shell of its own.
        ("$step")
        printf '== %s: %d s\n' "$step" "$((SECONDS - start))"
    done
}

main "$@"
