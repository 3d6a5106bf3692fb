"""Pushes and pulls the same files with several clients in turn, and prints a Markdown table: medians, ratios to xpost, memory.

Called by registry.sh. Every push goes to a repository of its own, so that nothing is there already. In the round that is not
counted each client is held against its work: what it pushed has to be there, and what it pulled has to be what was pushed.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

from measure import run

MEDIA = "application/octet-stream"


def push_files(xpost, host, repository, files, _layout, _digests):
    """The commands of each client that publish the files."""
    reference = f"{host}/{repository}:v1"
    names = [f"{os.path.basename(path)}:{MEDIA}" for path in files]
    clients = {
        "xpost": [[xpost, "push", "--quiet", reference, *names]],
        "oras": [["oras", "push", "--plain-http", "--no-tty", reference, *names]],
    }
    if len(files) == 1:
        # What it takes to hash a file, and then to send it; the program hashes as fast as this processor can.
        clients["openssl, curl"] = [["bash", "-c", CURL_PUSH, "curl", host, repository, files[0]]]
    return clients


def push_layout(xpost, host, repository, files, layout, digests):
    """The commands of each client that publish a layout, whose digests are known: xpost holds the bytes against them, the others do not."""
    reference = f"{host}/{repository}:v1"
    clients = {
        "xpost": [[xpost, "copy", "--quiet", f"oci:{layout}:v1", reference]],
        "oras": [["oras", "cp", "--no-tty", "--from-oci-layout", f"{layout}:v1", "--to-plain-http", reference]],
        "crane": [["crane", "push", layout, reference]],
    }
    if len(files) == 1:
        # The bytes of the blob and nothing else: the floor.
        clients["curl"] = [["bash", "-c", CURL_PUSH, "curl", host, repository, files[0], digests[0]]]
    return clients


CURL_PUSH = """
set -euo pipefail
digest=${4:-sha256:$(openssl dgst -sha256 -r "$3" | cut -d' ' -f1)}
place=$(curl -sSf -X POST -D - -o /dev/null "http://$1/v2/$2/blobs/uploads/" | tr -d '\\r' | sed -n 's/^location: //Ip')
curl -sSf -o /dev/null -H 'Content-Type: application/octet-stream' -T "$3" "$place&digest=$digest"
"""


def pull(xpost, host, source, out, digests):
    """The commands of each client that fetch the files."""
    reference = f"{host}/{source}:v1"
    clients = {
        "xpost": [[xpost, "pull", "--quiet", reference, "-o", out]],
        "oras": [["oras", "pull", "--plain-http", "--no-tty", reference, "-o", out]],
        "crane": [["crane", "pull", "--format=oci", reference, out]],
    }
    if len(digests) == 1:
        # The bytes, which it does not hash: the floor.
        clients["curl"] = [["curl", "-sSf", "-L", "-o", out, f"http://{host}/v2/{source}/blobs/{digests[0]}"]]
    return clients


def registry(work):
    """A registry on a free port: its process and its address."""
    config, log = os.path.join(work, "registry.yml"), os.path.join(work, "registry.log")
    storage = {"filesystem": {"rootdirectory": os.path.join(work, "storage")}, "delete": {"enabled": True}}
    text = {"version": 0.1, "log": {"level": "info"}, "http": {"addr": "127.0.0.1:0"}, "storage": storage}
    with open(config, "w", encoding="utf-8") as out:
        json.dump(text, out)
    with open(log, "wb") as out:
        environment = {"OTEL_TRACES_EXPORTER": "none", "HOME": work}
        process = subprocess.Popen(["registry", "serve", config], stdout=out, stderr=out, env=environment | PATHS)
    for _ in range(300):
        with open(log, encoding="utf-8") as said:
            found = re.search(r"listening on 127\.0\.0\.1:(\d+)", said.read())
        if found:
            # oras takes the name alone for a registry without TLS.
            return process, f"localhost:{found[1]}"
        time.sleep(0.1)
    process.kill()
    sys.exit("registry: it does not listen")


PATHS = {"PATH": os.environ["PATH"]}


def inputs(work, count, size):
    """Files of random bytes; the same number of bytes never twice the same."""
    directory = os.path.join(work, f"files-{count}")
    os.mkdir(directory)
    paths = [os.path.join(directory, f"f{number:04}") for number in range(count)]
    for path in paths:
        with open(path, "wb") as out:
            # In pieces: the memory of this process would count as that of the clients that it starts.
            for start in range(0, size, 1 << 20):
                out.write(os.urandom(min(1 << 20, size - start)))
    return directory, paths


def digests_of(paths):
    """By another program: the memory of this one would count as that of the clients that it starts."""
    lines = subprocess.run(["openssl", "dgst", "-sha256", "-r", *paths], check=True, capture_output=True, text=True).stdout
    return ["sha256:" + line.split()[0] for line in lines.splitlines()]


def expect_pushed(client, host, repository, digests):
    """What was pushed is in that repository."""
    urls = [f"http://{host}/v2/{repository}/blobs/{digest}" for digest in digests]
    asked = subprocess.run(["curl", "-sSf", "--fail-early", "-I", *urls], check=False, stdout=subprocess.DEVNULL)
    if asked.returncode != 0:
        sys.exit(f"registry: {client} did not push all of {len(digests)} blobs")


def expect_pulled(client, out, digests):
    """What was pulled is what was pushed."""
    found = [os.path.join(where, name) for where, _, names in os.walk(out) for name in names] or [out]
    missing = set(digests) - set(digests_of(found))
    if missing:
        sys.exit(f"registry: {client} did not pull {len(missing)} of {len(digests)} files")


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.remove(path)


def measure(options, host, count, size):
    """Prints the rows of all works on so many files of this size."""
    directory, files = inputs(options.work, count, size)
    os.chdir(directory)
    layout, source = os.path.join(options.work, f"layout-{count}"), f"source-{count}"
    names = [f"{os.path.basename(path)}:{MEDIA}" for path in files]
    subprocess.run(["oras", "push", "--no-tty", "--oci-layout", f"{layout}:v1", *names], check=True, stdout=subprocess.DEVNULL)
    copy = ["oras", "cp", "--no-tty", "--from-oci-layout", f"{layout}:v1", "--to-plain-http", f"{host}/{source}:v1"]
    subprocess.run(copy, check=True, stdout=subprocess.DEVNULL)
    digests = digests_of(files)
    log, out = os.path.join(options.work, "log"), os.path.join(options.work, "out")

    def rounds(work, commands, expect):
        taken = {}
        # The round before the first warms up, and shows whether the work is done.
        for number in range(-1, options.rounds):
            for client in commands(""):
                repository = re.sub("[^a-z0-9]+", "-", f"{work} {count} {client} {number + 1}")
                seen = run(commands(repository)[client], [], log)
                if seen is None:
                    with open(log, encoding="utf-8", errors="replace") as errors:
                        sys.exit(f"registry: {client}, {work}: {errors.read()}")
                if number < 0:
                    expect(client, repository)
                else:
                    taken.setdefault(client, []).append(seen)
                remove(out)
        medians = {client: [statistics.median(column) for column in zip(*seen)] for client, seen in taken.items()}
        base = medians["xpost"]
        for client, (wall, cpu, memory) in medians.items():
            print(f"| {work}, {count:,} × {size:,} | {client} | {wall * 1000:.0f} | {wall / base[0]:.2f} | {cpu * 1000:.0f} "
                  f"| {memory / 2**20:.1f} |", flush=True)

    for work, of in (("push files", push_files), ("push a layout", push_layout)):
        rounds(work, lambda repository, of=of: of(options.xpost, host, repository, files, layout, digests),
               lambda client, repository: expect_pushed(client, host, repository, digests))
    rounds("pull", lambda _: pull(options.xpost, host, source, out, digests),
           lambda client, _: expect_pulled(client, out, digests))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--work", required=True, help="an empty directory in memory")
    parser.add_argument("--xpost", required=True)
    options = parser.parse_args()
    # Nobody is logged in, and no proxy is asked.
    os.environ["DOCKER_CONFIG"] = os.path.join(options.work, "docker")
    process, host = registry(options.work)
    try:
        print(f"{os.cpu_count()} processors, {options.rounds} rounds after one that is not counted\n")
        print("| work | client | wall ms | ÷ xpost | CPU ms | peak MiB |\n|---|---|--:|--:|--:|--:|")
        measure(options, host, 1, 300_000_000)
        measure(options, host, 1000, 10_000)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
