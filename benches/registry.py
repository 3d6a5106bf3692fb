"""Pushes and pulls the same files with several clients in turn, and prints a Markdown table: medians, ratios to xpost, memory.

Called by registry.sh. Every push goes to a repository of its own, so that nothing is there already.
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
TOOLS = ["xpost", "curl", "oras", "crane"]


def push(tool, xpost, host, repository, files, layout):
    """The commands that publish the files, or none where the tool is not one for that."""
    reference = f"{host}/{repository}:v1"
    names = [f"{os.path.basename(path)}:{MEDIA}" for path in files]
    if tool == "xpost":
        return [[xpost, "push", "--quiet", reference, *names]]
    if tool == "oras":
        return [["oras", "push", "--plain-http", "--no-tty", reference, *names]]
    if tool == "crane":
        return [["crane", "push", layout, reference]]
    # curl sends the bytes of a blob and nothing else: the floor.
    return [["bash", "-c", CURL_PUSH, "curl", host, repository, *files]] if len(files) == 1 else []


CURL_PUSH = """
set -euo pipefail
place=$(curl -sSf -X POST -D - -o /dev/null "http://$1/v2/$2/blobs/uploads/" | tr -d '\\r' | sed -n 's/^location: //Ip')
curl -sSf -o /dev/null -H 'Content-Type: application/octet-stream' -T "$3" "$place&digest=sha256:$(sha256sum < "$3" | cut -d' ' -f1)"
"""


def pull(tool, xpost, host, repository, digests, out):
    reference = f"{host}/{repository}:v1"
    if tool == "xpost":
        return [[xpost, "pull", "--quiet", reference, "-o", out]]
    if tool == "oras":
        return [["oras", "pull", "--plain-http", "--no-tty", reference, "-o", out]]
    if tool == "crane":
        return [["crane", "pull", "--format=oci", reference, out]]
    if len(digests) != 1:
        return []
    return [["curl", "-sSf", "-L", "-o", out, f"http://{host}/v2/{repository}/blobs/{digests[0]}"]]


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


def measure(options, host, count, size):
    directory, files = inputs(options.work, count, size)
    os.chdir(directory)
    layout = os.path.join(options.work, f"layout-{count}")
    names = [f"{os.path.basename(path)}:{MEDIA}" for path in files]
    subprocess.run(["oras", "push", "--no-tty", "--oci-layout", f"{layout}:v1", *names], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["oras", "cp", "--no-tty", "--from-oci-layout", f"{layout}:v1", "--to-plain-http", f"{host}/source-{count}:v1"],
                   check=True, stdout=subprocess.DEVNULL)
    manifest = subprocess.run(["crane", "manifest", f"{host}/source-{count}:v1"], check=True, capture_output=True).stdout
    digests = [layer["digest"] for layer in json.loads(manifest)["layers"]]
    log, out = os.path.join(options.work, "log"), os.path.join(options.work, "out")
    for verb in ("push", "pull"):
        taken = {tool: [] for tool in TOOLS}
        # The round before the first warms up.
        for number in range(-1, options.rounds):
            for tool in TOOLS:
                repository = f"{verb}-{count}-{tool}-{number}".replace("--", "-x")
                if verb == "push":
                    pipeline = push(tool, options.xpost, host, repository, files, layout)
                else:
                    pipeline = pull(tool, options.xpost, host, f"source-{count}", digests, out)
                if not pipeline:
                    continue
                seen = run(pipeline, [], log)
                if seen is None:
                    with open(log, encoding="utf-8", errors="replace") as errors:
                        sys.exit(f"registry: {tool} {verb}: {errors.read()}")
                if number >= 0:
                    taken[tool].append(seen)
                if os.path.isdir(out):
                    shutil.rmtree(out)
                elif os.path.exists(out):
                    os.remove(out)
        medians = {tool: [statistics.median(column) for column in zip(*seen)] for tool, seen in taken.items() if seen}
        base = medians["xpost"]
        for tool, (wall, cpu, memory) in medians.items():
            print(f"| {verb} {count:,} × {size:,} | {tool} | {wall * 1000:.0f} | {wall / base[0]:.2f} | {cpu * 1000:.0f} "
                  f"| {memory / 2**20:.1f} |", flush=True)


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
        print("| work | client | wall ms | ÷ xpost | CPU ms | peak MiB |\n|---|---|---|---|---|---|")
        measure(options, host, 1, 300_000_000)
        measure(options, host, 1000, 10_000)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
