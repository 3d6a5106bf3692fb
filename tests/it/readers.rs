//! Readers other than gdb find the debug file and say with it what they say of the original: lldb, valgrind, perf.

use std::fs;

use crate::oracle::{command, split};
use crate::support::corpus::{busy, get};
use crate::support::tools;
use crate::support::xpost::{Xpost, xpost};

/// Static, position-independent, with an interpreter, C++, Rust, other linkers.
const READ: [&str; 8] = [
    "c-glibc-static",
    "c-static-pie",
    "c-dynamic",
    "c-compressed",
    "c-lld",
    "c-mold",
    "cxx-static",
    "rust-musl",
];

/// The program under one name, first the original and then the slim file, whose debug file lies beside it.
fn both(xpost: &Xpost, say: impl Fn() -> String) -> (String, String) {
    let put = |from: &str| {
        fs::rename(xpost.path(from), xpost.path("app")).unwrap();
        say()
    };
    (put("input"), put("slim"))
}

#[test]
fn lldb_says_of_slim_and_debug_file_what_it_says_of_the_original() {
    for name in READ {
        let binary = get(name);
        let xpost = split(binary, &["--build-id-tree", "tree"]);
        let paths =
            format!("settings set target.debug-file-search-paths {}", xpost.path("tree").display());
        let say = || {
            let mut lldb = tools::tool("lldb", xpost.home());
            lldb.current_dir(xpost.home()).args(["--no-lldbinit", "--batch", "-O", &paths]);
            for one in [&format!("breakpoint set -y {}", binary.stop()), "run", "bt"] {
                lldb.args(["-o", one]);
            }
            let said = tools::stdout(lldb.args(["-o", "frame variable", "app"]));
            let lines = said.lines().filter(|line| !line.starts_with("Process "));
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        let (original, slim) = both(&xpost, say);
        assert!(original.contains("next = ") && original.contains("frame #3"), "{original}");
        assert_eq!(slim, original, "{name}");
    }
}

#[test]
fn valgrind_names_functions_and_lines_from_the_debug_file() {
    // Where .debug_frame is in both files, which musl's need, valgrind 3.19 takes the debug file for damaged.
    for name in READ.into_iter().filter(|name| !name.contains("musl")) {
        let xpost = split(get(name), &[]);
        let say = || {
            let mut valgrind = command("valgrind");
            valgrind.args(["--tool=memcheck", "--vgdb=no", "./app", "crash"]);
            let output = tools::output(valgrind.current_dir(xpost.home()));
            let said = String::from_utf8(output.stderr).unwrap();
            // Each line begins with the number of the process.
            let lines = said.lines().map(|line| line.splitn(3, "==").last().unwrap_or_default());
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        let (original, slim) = both(&xpost, say);
        assert!(original.contains("tally_all"), "{original}");
        assert_eq!(slim, original, "{name}");
    }
}

#[test]
fn perf_resolves_the_right_function_from_the_debug_file() {
    for name in ["c-burn", "c-burn-pie"] {
        for form in ["none", "zlib", "zstd"] {
            let xpost = xpost();
            fs::copy(busy(name), xpost.path("app")).unwrap();
            let flag = format!("--compress-debug-sections={form}");
            xpost.run(["slim", "-q", "-o", "slim", &flag, "app"]).succeeds();
            let perf = |arguments: &[&str]| {
                let mut perf = tools::tool("perf", xpost.home());
                tools::output(perf.current_dir(xpost.home()).args(arguments))
            };
            // Not every machine counts cycles; all have this clock.
            let record = ["record", "-q", "-e", "cpu-clock:u", "-o", "data", "./slim"];
            let recorded = perf(&record);
            if !recorded.status.success() {
                // The kernel may refuse; that the debug file's program headers are the input's, which is what perf
                // computes with, is a law that every other test holds it to.
                eprintln!("!!!!! NOT CHECKED: perf cannot record here: {recorded:?} !!!!!");
                return;
            }
            let report = || {
                let output = perf(&["report", "-i", "data", "--stdio", "--sort", "symbol"]);
                String::from_utf8(output.stdout).unwrap()
            };
            let first = |report: String| {
                let row = report.lines().find(|line| line.contains('%')).map(str::to_owned);
                row.unwrap_or_else(|| panic!("{report}"))
            };
            assert!(first(report()).contains("hot_leaf"), "{name} {form}: {}", report());
            // What it says without the debug file shows that the test can fail.
            fs::remove_file(xpost.path("slim.debug")).unwrap();
            fs::remove_dir_all(xpost.path(".debug")).unwrap();
            assert!(!first(report()).contains("hot_leaf"), "{name} {form}: {}", report());
        }
    }
}
