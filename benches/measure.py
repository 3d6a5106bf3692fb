"""Runs the same work with several tools in turn, and prints Markdown tables: medians, ratios to xpost, memory, sizes.

Called by run.sh. Where a tool takes several commands for a work, their times are added and the largest memory counts.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time

# Each family and the programs that it needs.
TOOLS = {
    "xpost": [],
    "GNU": ["objcopy", "strip"],
    "LLVM": ["llvm-objcopy", "llvm-strip"],
    "elfutils": ["eu-strip", "eu-elfcompress"],
    "cp": ["cp"],
    "zstd -T2 -3": ["zstd"],
}
# LLVM chooses its level of zstd itself, 5 for now: xpost is measured beside it at 6 as well.
WORKS = ["strip only", "split, as is", "split + zlib", "split + zstd", "split + zstd, level 6"]
# Seconds of a round after which a tool is not asked again for the same work.
SLOW = 10
# Those with which a large input is tried once, for the memory.
MEMORY_WORKS = ["split, as is", "split + zstd"]


def commands(tool, work, xpost, source, slim, debug):
    """The commands of a tool for a work, or none where it is not a tool for that."""
    form, _, level = work.removeprefix("split + ").partition(", level ") if "+" in work else (None, "", "")
    split = work != "strip only"
    if level and tool not in ("xpost", "LLVM"):
        return []
    if tool == "xpost":
        # Its "as is" is the form that the input has already: sections in that form are copied.
        form = form or ("zlib" if is_compressed(source) else "none")
        rest = ["--debug-out", debug, f"--compress-debug-sections={form}"] if split else ["--no-debug-file"]
        rest += [f"--compression-level={level}"] if level else []
        return [[xpost, "slim", "--quiet", "-o", slim, *rest, source]]
    if tool in ("GNU", "LLVM"):
        objcopy, strip = TOOLS[tool]
        strip_all = [strip, "--strip-all", "-o", slim, source]
        if not split:
            return [strip_all]
        compress = [f"--compress-debug-sections={form}"] if form else []
        only_debug = [objcopy, "--only-keep-debug", *compress, source, debug]
        return [only_debug, strip_all, [objcopy, f"--add-gnu-debuglink={debug}", slim]]
    if tool == "elfutils":
        both = ["-f", debug] if split else []
        compress = [["eu-elfcompress", "-q", "-t", form, debug]] if form else []
        return [["eu-strip", *both, "-o", slim, source], *compress]
    # The floors: what any tool that reads the whole input has to spend.
    if tool == "cp" and work == "split, as is":
        return [["cp", source, slim]]
    if tool == "zstd -T2 -3" and work == "split + zstd":
        return [["zstd", "-q", "-T2", "-3", "-o", slim, source]]
    return []


def is_compressed(source):
    details = subprocess.run(["readelf", "-tW", source], capture_output=True, text=True, check=True).stdout
    return "COMPRESSED" in details


def run(pipeline, outputs, log):
    """Runs the commands: seconds by the clock and of processors, and the largest memory in bytes; None where one fails."""
    for path in outputs:
        if os.path.exists(path):
            os.remove(path)
    wall = cpu = memory = 0
    for argv in pipeline:
        with open(log, "wb") as errors:
            start = time.perf_counter()
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
            _, status, usage = os.wait4(child.pid, 0)
            wall += time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            return None
        cpu += usage.ru_utime + usage.ru_stime
        memory = max(memory, usage.ru_maxrss * 1024)
    return wall, cpu, memory


def size(path):
    return f"{os.path.getsize(path):,}" if os.path.exists(path) else ""


def measure(work, source, rounds, options, missing):
    """Prints the rows of one work on one input."""
    outputs = [os.path.join(options.work, name) for name in ("slim", "debug")]
    log = os.path.join(options.work, "log")
    pipelines = {tool: commands(tool, work, options.xpost, source, *outputs) for tool in TOOLS}
    runs, sizes, cannot = {}, {}, {}
    # The round before the first warms up, shows who can do the work, and leaves files to weigh.
    for number in range(-1, rounds):
        for tool, pipeline in pipelines.items():
            if not pipeline or tool in cannot:
                continue
            if tool in missing:
                cannot[tool] = "not installed"
                continue
            # Who takes so long is not that far from its median.
            if runs.get(tool) and runs[tool][0][0] > SLOW:
                continue
            taken = run(pipeline, outputs, log)
            if taken is None:
                with open(log, encoding="utf-8", errors="replace") as errors:
                    lines = errors.read().replace(options.work, "").splitlines() or ["failed without a word"]
                cannot[tool] = "cannot: " + lines[0]
            elif number < 0:
                sizes[tool] = [size(path) for path in outputs]
                runs[tool] = []
            else:
                runs[tool].append(taken)
    if "xpost" in cannot:
        sys.exit(f"measure: xpost {cannot['xpost']}")
    medians = {tool: [statistics.median(column) for column in zip(*taken)] for tool, taken in runs.items()}
    base = medians["xpost"]
    for tool, pipeline in pipelines.items():
        if tool in cannot:
            print(f"| {work} | {tool} | {cannot[tool]} | | | | | | |")
        elif pipeline:
            wall, cpu, memory = medians[tool]
            slim, debug = sizes[tool]
            print(
                f"| {work} | {tool} | {wall * 1000:.1f} | {wall / base[0]:.2f} | {cpu * 1000:.1f} | {cpu / base[1]:.2f} "
                f"| {memory / 2**20:.1f} | {slim} | {debug} |",
                flush=True,
            )


def version(program):
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    # LLVM's programs name themselves first.
    lines = [line.strip() for line in said.splitlines() if any(char.isdigit() for char in line)]
    return lines[0] if lines else "unknown"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--work", required=True, help="an empty directory in memory")
    parser.add_argument("--xpost", required=True)
    parser.add_argument("--once", default=[], action="append", help="an input for memory: one round, and no zlib")
    parser.add_argument("inputs", nargs="+")
    options = parser.parse_args()
    missing = {tool for tool, needed in TOOLS.items() if not all(map(shutil.which, needed))}
    for tool, needed in TOOLS.items():
        first = needed[0] if needed else options.xpost
        print(f"- {tool}: {'not installed' if tool in missing else version(first)}")
    print(f"- {os.cpu_count()} processors, {options.rounds} rounds after one that is not counted")
    for path in options.inputs + options.once:
        rounds, works = (1, MEMORY_WORKS) if path in options.once else (options.rounds, WORKS)
        name = os.path.basename(path)
        source = os.path.join(options.work, "input")
        shutil.copyfile(path, source)
        print(f"measure: {name}", file=sys.stderr)
        print(f"\n### {name}, {os.path.getsize(source):,} bytes\n")
        print("| work | tool | wall ms | ÷ xpost | CPU ms | ÷ xpost | peak MiB | slim bytes | debug bytes |")
        print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
        for work in works:
            measure(work, source, rounds, options, missing)


if __name__ == "__main__":
    main()
