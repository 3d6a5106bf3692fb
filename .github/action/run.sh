#!/usr/bin/env bash
# The steps of action.yml: run.sh get|slim|sign|push. Inputs come as INPUT_*, what the runner says as GITHUB_* and RUNNER_*.
#
# A file rather than text in action.yml: shellcheck reads it, and one `fail` and one reader of xpost's JSON serve all steps.
# It makes do with bash 3.2, sed and awk, which every runner and container image has; jq and python3 not everyone.
# Foreign text (names of files, what xpost says of them) never starts a line of the log, where a runner obeys commands.
set -euo pipefail

# Where xpost leaves the release, and looks for it.
out=xpost-out
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

main() {
    case ${1-} in
        get | slim | sign | push) "$1" ;;
        *) fail 2 "run.sh: one of get, slim, sign, push" ;;
    esac
}

# Looks at the inputs, then puts an xpost in place: a build takes minutes, and a misspelled path should not cost them.
get() {
    [[ ${RUNNER_OS-} != Windows ]] || fail 1 "this action is for Linux and macOS runners"
    local line any=
    while IFS= read -r line; do
        [[ -n $line ]] || continue
        any=yes
        [[ -e $line ]] || fail 5 "files: there is no file $line (paths start at the workspace, one a line)"
    done <<<"$INPUT_FILES"
    if [[ -z $any && -n ${INPUT_KEEP_SYMBOLS//[[:space:]]/} ]]; then
        fail 2 "keep-symbols is for slimming, and there are no files to slim"
    fi
    if [[ -z $any && ! -d $out ]]; then
        fail 5 "files is empty, and there is no $out that an earlier job or step has filled"
    fi
    if [[ $INPUT_PUSH == *[$'\r\n']* ]]; then
        fail 2 "push: one reference, in one line"
    fi
    [[ $INPUT_OVERWRITE == true || $INPUT_OVERWRITE == false ]] || fail 2 "overwrite: true or false"

    local program
    if [[ -n $INPUT_XPOST_PATH ]]; then
        program=$(absolute "$INPUT_XPOST_PATH")
        [[ -f $program && -x $program ]] || fail 5 "xpost-path: $INPUT_XPOST_PATH is not a program"
    else
        build
    fi
    "$program" --version
    output path "$program"
}

# Builds xpost from the action's own sources, into $program.
build() {
    command -v cargo >/dev/null ||
        fail 1 "there is no cargo on this runner to build xpost with: install Rust before, or give xpost-path"
    # A directory of its own below the job's target directory: a cache of that holds it too, and a project that builds a
    # program called xpost keeps it.
    local target
    target=$(absolute "${CARGO_TARGET_DIR:-$GITHUB_ACTION_PATH/target}")/action
    (
        # The job's own settings (.cargo/config.toml and rust-toolchain.toml of the workspace, flags, targets) are meant
        # for what the job builds.
        unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET
        cd "$GITHUB_ACTION_PATH" &&
            cargo build --locked --release --bin xpost --target-dir "$target"
    ) || fail 1 "cannot build xpost; cargo's reason stands above"
    program=$target/release/xpost
}

# Slims what was given and lists what is in the release.
slim() {
    local line files=() symbols=()
    while IFS= read -r line; do
        [[ -z $line ]] || files+=("$line")
    done <<<"$INPUT_FILES"
    while IFS= read -r line; do
        [[ -z $line ]] || symbols+=("--keep-symbol=$line")
    done <<<"$INPUT_KEEP_SYMBOLS"
    if ((${#files[@]})); then
        # bash 3.2 takes an empty array for an unset variable.
        ask slim ${symbols[@]+"${symbols[@]}"} -- "${files[@]}"
        sizes log
        {
            printf '### xpost: slimmed\n\n'
            sizes summary
            printf '\n'
        } >>"$GITHUB_STEP_SUMMARY"
    fi
    ask sbom
    sed -n 's/^ *"path": "\(.*\)",\{0,1\}$/listed \1/p' <<<"$json"
}

# Signs the release with the key, which is in a file for as long as that takes.
sign() {
    # A shell that was told to trace would print it.
    set +x
    key=$(mktemp "${RUNNER_TEMP:?}/xpost-key.XXXXXXXX") # mode 0600
    trap 'rm -f -- "$key"' EXIT
    printf '%s\n' "$INPUT_KEY" >"$key"
    unset INPUT_KEY
    annotations
    ask sign --key "$key" ${annotations[@]+"${annotations[@]}"}
    sed -n 's/^ *"manifest": "\(.*\)",\{0,1\}$/signed \1/p' <<<"$json"
}

# Publishes the release.
push() {
    local signed=yes
    if [[ ! -e $out/index.sigstore.json ]]; then
        signed=
        # A signature covers the annotations: what is signed got them then.
        annotations
    fi
    local overwrite=()
    [[ $INPUT_OVERWRITE == false ]] || overwrite=(--overwrite)
    ask push ${annotations[@]+"${annotations[@]}"} ${overwrite[@]+"${overwrite[@]}"} -- "$INPUT_PUSH"
    local digest reference
    digest=$(field '  ' digest)
    reference=$(field '  ' reference)
    [[ $digest == sha256:* && $reference == *"@$digest" ]] || fail 1 "xpost push gives no digest: this is a bug"
    output digest "$digest"
    output reference "$reference"
    [[ -n $signed ]] || remark warning "published without a signature: no key was given"
    published "$reference" "$signed" >>"$GITHUB_STEP_SUMMARY"
}

# What to do with a published release, as the job's summary.
published() {
    local reference=$1 signed=$2 key='' name
    printf '### xpost: published%s\n\n' "${signed:+ and signed}"
    # What goes into a code block must not end it, nor surprise whoever pastes it into a shell.
    if [[ $reference == *[!A-Za-z0-9._:/@-]* ]]; then
        return
    fi
    printf '%s\n\n~~~sh\n' "$reference"
    if [[ -n $signed ]]; then
        key=' --key release.pub'
        printf 'xpost verify %s%s\n' "$reference" "$key"
    fi
    printf 'xpost pull %s%s --debug -o site\n' "$reference" "$key"
    for name in "$out"/*/*.debug; do
        name=${name##*/}
        name=${name%.debug}
        if [[ $name != *[!A-Za-z0-9._-]* ]]; then
            printf "gdb -iex 'set debug-file-directory site/debug' site/%s core\n" "$name"
            break
        fi
    done
    printf '~~~\n\n'
}

# The annotations that the CI environment knows, as options.
annotations=()
annotations() {
    if [[ ${GITHUB_REF_TYPE-} == tag && -n ${GITHUB_REF_NAME-} ]]; then
        annotations+=(--annotation "org.opencontainers.image.version=$GITHUB_REF_NAME")
    fi
    if [[ -n ${GITHUB_SHA-} ]]; then
        annotations+=(--annotation "org.opencontainers.image.revision=$GITHUB_SHA")
    fi
    if [[ -n ${GITHUB_REPOSITORY-} ]]; then
        annotations+=(--annotation "org.opencontainers.image.source=${GITHUB_SERVER_URL:-https://github.com}/$GITHUB_REPOSITORY")
    fi
}

# Runs xpost for its JSON, into $json. What it says to people is in the log; why it failed is an annotation as well.
ask() {
    local status=0
    json=$("$XPOST" --json "$@") || status=$?
    if ((status)); then
        local message hint
        message=$(field '    ' message)
        hint=$(field '    ' hint)
        fail "$status" "${message:-xpost $1 failed with exit code $status, and its reason stands above}${hint:+ (hint: $hint)}"
    fi
}

# A text of $json by its indentation and key; in what xpost prints the two make it unique. Quotes and backslashes lose
# their escapes, control characters keep theirs: none gets through.
field() {
    sed -n "/^$1\"$2\": \"\(.*\)\",\{0,1\}\$/ { s//\1/; s/\\\\\([\"\\\\]\)/\1/g; p; }" <<<"$json"
}

# The sizes of what `xpost slim` made, for the log or the summary.
sizes() {
    LC_ALL=C awk -v form="$1" -f "$here/sizes.awk" <<<"$json"
}

# An output of this step. A value of several lines could set others.
output() {
    [[ $2 != *[$'\r\n']* ]] || fail 2 "$1: a line end is not allowed here"
    printf '%s=%s\n' "$1" "$2" >>"$GITHUB_OUTPUT"
}

absolute() {
    case $1 in
        /*) printf '%s' "$1" ;;
        *) printf '%s/%s' "$PWD" "$1" ;;
    esac
}

# Ends the step with an exit code and a sentence.
fail() {
    remark error "$2"
    exit "$1"
}

# A remark of a level on the page of the run, in one line whatever it quotes.
remark() {
    local text=$2
    text=${text//\%/%25}
    text=${text//$'\r'/%0D}
    text=${text//$'\n'/%0A}
    printf '::%s title=xpost::%s\n' "$1" "$text"
}

main "$@"
