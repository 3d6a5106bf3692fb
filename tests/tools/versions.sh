# shellcheck shell=bash disable=SC2034
# Every version that tests/setup.sh installs stands in this directory: here, and in python.txt, go.txt and go-old.txt, which
# hold the hashes of what the .in files ask for (made by: uv pip compile --universal --python-version 3.11
# --generate-hashes --no-annotate --no-header tests/tools/python.in -o tests/tools/python.txt).

# Debian or Ubuntu packages, at the version the system has.
apt_packages=(
    gcc g++ libc6-dev binutils git ca-certificates
    musl-tools
    lld mold patchelf bolt-16
    gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross
    gcc-i686-linux-gnu libc6-dev-i386-cross
    gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross
    gcc-riscv64-linux-gnu libc6-dev-riscv64-cross
    gcc-s390x-linux-gnu libc6-dev-s390x-cross
    qemu-user-static
    gdb gdb-multiarch elfutils lldb valgrind
    attr libcap2-bin unzip zip
    skopeo podman apache2-utils
    jq shellcheck
)

# Packages, and the programs that are taken out of them into .tools: installing them would start a service, one of which
# listens on all interfaces.
unpacked_packages=(
    "docker-registry docker-registry"
    "containerd containerd ctr"
)

# The oldest Go that builds all of go_tools; an older or missing one is replaced by go.in's, below .tools.
go_minimum=1.26.7

# Rust's standard library for programs of the corpus, from rustup.
rust_targets=(x86_64-unknown-linux-musl)

go_tools=(
    github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
    oras.land/oras/cmd/oras@v1.3.6
    github.com/google/go-containerregistry/cmd/crane@v0.22.1
    github.com/regclient/regclient/cmd/regctl@v0.11.7
    github.com/distribution/distribution/v3/cmd/registry@v3.1.2
)

cargo_tools=(
    cargo-auditable@0.7.7
    cargo-deny@0.20.2
)

# Commands of the Python packages that are called by name.
python_commands=(act check-jsonschema typos zizmor)
