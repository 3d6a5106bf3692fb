//! Other people's programs judge what xpost makes: gdb, elfutils, binutils, Go, and the kernel that runs it.

use std::collections::BTreeSet;
use std::fs::{self, FileTimes};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use xpost::elf::Elf;

use crate::support::corpus::{ALL, Binary, Language, get};
use crate::support::tools;
use crate::support::xpost::{Xpost, xpost};

/// Splits a corpus binary into `slim` and `slim.debug`.
pub fn split(binary: Binary, flags: &[&str]) -> Xpost {
    let xpost = xpost();
    fs::copy(binary.path(), xpost.path("input")).unwrap();
    let arguments = [&["slim", "-q", "-o", "slim"], flags, &["input"]].concat();
    xpost.run(arguments).succeeds();
    xpost
}

pub fn command(name: &str) -> Command {
    let mut command = Command::new(tools::path(name));
    command.env("LC_ALL", "C.UTF-8").env_remove("DEBUGINFOD_URLS");
    command
}

#[test]
fn a_slim_program_runs_as_before() {
    for binary in ALL.iter().filter(|binary| binary.runs()) {
        let xpost = split(*binary, &[]);
        let printed = tools::stdout(&mut binary.command(&xpost.path("slim")));
        assert_eq!(printed, binary.prints(), "{}", binary.name);
        let crash = |file: &Path| {
            let output = tools::output(binary.command(file).arg("crash"));
            (output.status, output.stdout)
        };
        if binary.emulator().is_none() {
            assert_eq!(crash(&xpost.path("slim")), crash(&xpost.path("input")), "{}", binary.name);
        }
    }
}

#[test]
fn a_slim_library_still_gives_its_functions() {
    let xpost = split(get("c-shared"), &[]);
    let nm = |name| tools::stdout(command("nm").arg("-D").arg(xpost.path(name)));
    assert_eq!(nm("slim"), nm("input"));
}

/// A program at a path that stays the same, whatever stands there, and what a debugger says of it.
struct Bench {
    home: tempfile::TempDir,
    binary: Binary,
    made: SystemTime,
}

impl Bench {
    fn new(binary: Binary) -> Self {
        let bench = Self { home: tempfile::tempdir().unwrap(), binary, made: SystemTime::now() };
        if let Some(package) = binary.dwp() {
            bench.put("app.dwp", &package);
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Puts a file there, younger than the sources and older than any core: gdb looks.
    fn put(&self, name: &str, from: &Path) {
        fs::copy(from, self.path(name))
            .unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        let file = fs::File::options().write(true).open(self.path(name)).unwrap();
        file.set_times(FileTimes::new().set_modified(self.made)).unwrap();
    }

    /// What gdb says, numbers of processes aside.
    fn transcript(&self, gdb: &str, tree: &Path, commands: &[&str], files: &[&str]) -> String {
        said(&tools::output(&mut self.gdb(gdb, tree, commands, files)))
    }

    /// What gdb says where `app` stops in the emulator of its machine; none where the two wait for each other.
    fn transcript_in_emulator(&self, tree: &Path) -> Option<String> {
        let socket = self.path("socket");
        let _ = fs::remove_file(&socket);
        let mut emulator = Command::new(tools::path(self.binary.emulator().unwrap()));
        emulator.arg("-g").arg(&socket).arg(self.path("app"));
        emulator.stdin(Stdio::null()).stdout(Stdio::null());
        let mut emulator = emulator.spawn().unwrap();
        for _ in 0..200 {
            if socket.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let stop = format!("break {}", self.binary.stop());
        let commands =
            ["target remote socket", &stop, "continue", "bt", "info locals", "list", "kill"];
        let mut gdb = self.gdb("gdb-multiarch", tree, &commands, &["app"]);
        let output = tools::within(Duration::from_secs(120), &mut gdb);
        let _ = emulator.kill();
        emulator.wait().unwrap();
        output.as_ref().map(said)
    }

    fn gdb(&self, gdb: &str, tree: &Path, commands: &[&str], files: &[&str]) -> Command {
        // gdb 13 looks for the package beside the debug file and then in this directory, by the program's name.
        if let Some(package) = self.binary.dwp().filter(|_| tree.exists()) {
            fs::copy(package, tree.join("app.dwp")).unwrap();
        }
        let mut gdb = tools::tool(gdb, self.home.path());
        // Where Go puts a value depends on the processor that its code happens to run on.
        gdb.env("GOMAXPROCS", "1");
        gdb.current_dir(self.home.path()).args(["-nx", "-batch", "-d"]);
        gdb.arg(self.binary.source_directory()).arg("-iex");
        gdb.arg(format!("set debug-file-directory {}", tree.display()));
        for command in commands {
            gdb.args(["-ex", command]);
        }
        gdb.args(files);
        gdb
    }
}

/// Both streams of gdb in comparable form.
fn said(output: &Output) -> String {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    comparable(&String::from_utf8_lossy(&said))
}

/// What gdb said without what differs from one run to the next: numbers of processes, when Go starts a thread and which
/// one runs main, and which of the two files a script's name stands in.
fn comparable(said: &str) -> String {
    let mut text = String::new();
    for line in said.lines() {
        if line.starts_with("[New ") || line.starts_with("[Switching to ") {
            continue;
        }
        if line.starts_with("of file ") {
            text.push_str("of file F");
        } else {
            // The columns are as wide as those numbers are.
            let mut words = line.split_whitespace().peekable();
            while let Some(word) = words.next() {
                text.push_str(word);
                let next = words.peek().copied().unwrap_or_default();
                if ["process", "LWP", "(LWP", "Thread"].contains(&word)
                    && next.starts_with(|char: char| char.is_ascii_digit())
                {
                    let next = words.next().unwrap_or_default();
                    text.push_str(" N");
                    text.push_str(next.trim_start_matches(|char: char| char.is_ascii_digit()));
                }
                text.push(' ');
            }
        }
        text.push('\n');
    }
    text
}

fn debuggable() -> impl Iterator<Item = Binary> {
    ALL.iter().copied().filter(|binary| binary.runs() && binary.emulator().is_none())
}

#[test]
fn gdb_says_of_slim_and_debug_file_what_it_says_of_the_original() {
    for binary in debuggable() {
        let (bench, xpost) = (Bench::new(binary), split(binary, &["--build-id-tree", "tree"]));
        let stop = format!("break {}", binary.stop());
        let commands = [stop.as_str(), "run", "bt", "info locals", "up", "info locals", "list"];
        let (tree, nowhere) = (xpost.path("tree"), xpost.path("nowhere"));
        bench.put("app", &xpost.path("input"));
        let original = bench.transcript("gdb", &nowhere, &commands, &["app"]);
        assert!(original.contains("next = ") && original.contains("\n#3 "), "{original}");

        bench.put("app", &xpost.path("slim"));
        if !binary.name.ends_with("nobuildid") {
            let by_id = bench.transcript("gdb", &tree, &commands, &["app"]);
            assert_eq!(by_id, original, "{}: found by build-id", binary.name);
        }
        // Beside the program, by the link's name.
        bench.put("slim.debug", &xpost.path("slim.debug"));
        let by_link = bench.transcript("gdb", &nowhere, &commands, &["app"]);
        assert_eq!(by_link, original, "{}: found by link", binary.name);
    }
}

#[test]
fn gdb_without_the_debug_file_shows_that_the_test_can_fail() {
    let binary = get("c-glibc-static");
    let (bench, xpost) = (Bench::new(binary), split(binary, &[]));
    bench.put("app", &xpost.path("slim"));
    let said = bench.transcript("gdb", &xpost.path("nowhere"), &["info line main"], &["app"]);
    assert!(!said.contains("tally.c"), "{said}");
}

#[test]
fn every_compression_is_read_by_gdb() {
    for form in ["none", "zstd", "zlib"] {
        let binary = get("cxx-static");
        let flag = format!("--compress-debug-sections={form}");
        let xpost = split(binary, &[&flag, "--build-id-tree", "tree"]);
        let bench = Bench::new(binary);
        let stop = format!("break {}", binary.stop());
        let commands = [stop.as_str(), "run", "bt", "info locals", "list"];
        bench.put("app", &xpost.path("input"));
        let original = bench.transcript("gdb", &xpost.path("nowhere"), &commands, &["app"]);
        bench.put("app", &xpost.path("slim"));
        let slim = bench.transcript("gdb", &xpost.path("tree"), &commands, &["app"]);
        assert_eq!(slim, original, "{form}");
    }
}

#[test]
fn gdb_says_of_a_slim_program_s_core_what_it_says_of_the_original_s() {
    for binary in debuggable() {
        let (bench, xpost) = (Bench::new(binary), split(binary, &["--build-id-tree", "tree"]));
        // Each with its own core: gdb places a position-independent program by its program headers, and the slim file's
        // may have been repaired.
        let transcript = |tree: &Path| {
            let stop = format!("break {}", binary.stop());
            let commands = [stop.as_str(), "run", "generate-core-file core"];
            let made = bench.transcript("gdb", tree, &commands, &["app"]);
            assert!(bench.path("core").exists(), "{made}");
            let commands = match binary.language {
                // Where Go's other threads are is chance.
                Language::Go => &["bt", "info locals"][..],
                _ => &["bt", "info locals", "info threads"],
            };
            let said = bench.transcript("gdb", tree, commands, &["app", "core"]);
            fs::remove_file(bench.path("core")).unwrap();
            said
        };
        bench.put("app", &xpost.path("input"));
        let original = transcript(&xpost.path("nowhere"));
        assert!(original.contains("next = ") && original.contains("\n#3 "), "{original}");
        bench.put("app", &xpost.path("slim"));
        if binary.name.ends_with("nobuildid") {
            bench.put("slim.debug", &xpost.path("slim.debug"));
        }
        assert_eq!(transcript(&xpost.path("tree")), original, "{}", binary.name);
    }
}

#[test]
fn gdb_finds_both_files_of_a_core_alone_in_the_build_id_tree() {
    // Static programs that are not position-independent: of others gdb takes the vdso's build-id, and Go's lies under no
    // PT_NOTE, where gdb looks.
    for name in ["c-glibc-static", "cxx-static", "c-musl"] {
        let binary = get(name);
        let (bench, xpost) = (Bench::new(binary), split(binary, &["--build-id-tree", "tree"]));
        bench.put("app", &xpost.path("input"));
        let stop = format!("break {}", binary.stop());
        let commands = [stop.as_str(), "run", "generate-core-file core"];
        bench.transcript("gdb", &xpost.path("nowhere"), &commands, &["app"]);
        fs::remove_file(bench.path("app")).unwrap();
        let said =
            bench.transcript("gdb", &xpost.path("tree"), &["bt", "info locals"], &["-c", "core"]);
        assert!(said.contains("next = ") && said.contains("\n#3 "), "{name}: {said}");
    }
}

#[test]
fn gdb_says_the_same_of_a_foreign_program_in_an_emulator() {
    for name in ["c-arm64-static", "c-ppc64le", "c-riscv64", "c-s390x", "go-arm64"] {
        let binary = get(name);
        let (bench, xpost) = (Bench::new(binary), split(binary, &["--build-id-tree", "tree"]));
        // The emulator's stub loses the stop of one of Go's threads now and then, and all wait for each other.
        let transcript = |tree: &Path| {
            let said = (0..3).find_map(|_| bench.transcript_in_emulator(tree));
            said.unwrap_or_else(|| panic!("{name}: gdb and the emulator waited for each other"))
        };
        bench.put("app", &xpost.path("input"));
        let original = transcript(&xpost.path("nowhere"));
        assert!(original.contains("next = ") && original.contains("\n#3 "), "{original}");
        bench.put("app", &xpost.path("slim"));
        assert_eq!(transcript(&xpost.path("tree")), original, "{name}");
    }
}

/// GNU strip or objcopy for a binary's machine, where Debian's default set has one.
fn gnu(binary: Binary, tool: &str) -> Option<Command> {
    let prefix = match binary.architecture {
        "amd64" => "",
        "arm64" => "aarch64-linux-gnu-",
        "386" => "i686-linux-gnu-",
        "ppc64le" => "powerpc64le-linux-gnu-",
        "riscv64" => "riscv64-linux-gnu-",
        "s390x" => "s390x-linux-gnu-",
        _ => return None,
    };
    Some(command(&format!("{prefix}{tool}")))
}

/// What eu-elflint finds wrong, without the numbers of sections, symbols and relocations, which differ.
fn complaints(file: &Path, flags: &[&str]) -> BTreeSet<String> {
    let output = tools::output(command("eu-elflint").arg("--gnu-ld").args(flags).arg(file));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = said.lines().filter(|line| *line != "No errors");
    lines
        .map(|line| {
            line.chars().filter(|char| !char.is_ascii_digit() && *char != ' ').collect::<String>()
        })
        .collect()
}

#[test]
fn elflint_finds_nothing_that_gnu_s_output_does_not_have() {
    for &binary in ALL {
        let xpost = split(binary, &[]);
        let mut known = complaints(&xpost.path("input"), &[]);
        let mut known_of_debug = complaints(&xpost.path("input"), &["-d"]);
        known_of_debug.extend(known.iter().cloned());
        // Where reloc-note moved the note of the ABI, this symbol, which nothing reads, says where it was.
        known_of_debug
            .insert("section[]'.symtab':symbol(__abi_tag):st_valueoutofbounds".to_owned());
        if let (Some(mut strip), Some(mut objcopy)) = (gnu(binary, "strip"), gnu(binary, "objcopy"))
        {
            let (stripped, debug) = (xpost.path("stripped"), xpost.path("debug"));
            tools::stdout(strip.arg("-s").arg("-o").arg(&stripped).arg(binary.path()));
            tools::stdout(objcopy.arg("--only-keep-debug").arg(binary.path()).arg(&debug));
            known.extend(complaints(&stripped, &[]));
            known_of_debug.extend(complaints(&debug, &["-d"]));
        }
        let new = &complaints(&xpost.path("slim"), &[]) - &known;
        assert!(new.is_empty(), "{}: {new:#?}", binary.name);
        let new = &complaints(&xpost.path("slim.debug"), &["-d"]) - &known_of_debug;
        assert!(new.is_empty(), "{}: debug file: {new:#?}", binary.name);
    }
}

/// Puts back what no pair can give back: `sh_link` of `.rela.plt`, and offsets of sections without bytes.
fn put_back(original: &[u8], restored: &mut [u8]) {
    let (old, new) = (Elf::parse(original).unwrap(), restored.to_vec());
    let new = Elf::parse(&new).unwrap();
    for (before, after) in old.sections().iter().zip(new.sections()) {
        let (offset, link) = if old.is_64() { (24..32, 40..44) } else { (16..20, 24..28) };
        let field = match before.kind {
            object::elf::SHT_NOBITS => offset,
            _ if before.name == b".rela.plt" || before.name == b".rel.plt" => link,
            _ => continue,
        };
        let at = |elf: &Elf<'_>, id: u32| {
            elf.sections_range().start + u64::from(id) * elf.section_header_size()
        };
        let (from, to) = (at(&old, before.id.0) as usize, at(&new, after.id.0) as usize);
        restored[to + field.start..to + field.end]
            .copy_from_slice(&original[from + field.start..from + field.end]);
    }
}

#[test]
fn unstrip_gives_the_original_back_where_it_does_so_for_its_own_pair() {
    let mut compared = 0;
    for &binary in ALL {
        let input = fs::read(binary.path()).unwrap();
        let compressed = Elf::parse(&input).unwrap().sections().iter().any(|s| s.is_compressed());
        let form = if compressed { "zlib" } else { "none" };
        let form = format!("--compress-debug-sections={form}");
        let xpost = split(binary, &[&form, "--build-id", "keep"]);
        let restore = |slim: &str, debug: &str, to: &str| {
            let mut unstrip = command("eu-unstrip");
            unstrip.args([xpost.path(slim), xpost.path(debug)]).arg("-o").arg(xpost.path(to));
            tools::output(&mut unstrip).status.success()
        };
        let equal = |other: &str| {
            let files = [xpost.path("input"), xpost.path(other)];
            tools::output(command("eu-elfcmp").args(files))
        };
        let mut strip = command("eu-strip");
        strip.arg("-f").arg(xpost.path("theirs.debug")).arg("-o").arg(xpost.path("theirs"));
        let theirs = tools::output(strip.arg(xpost.path("input"))).status.success()
            && restore("theirs", "theirs.debug", "theirs.whole")
            && equal("theirs.whole").status.success();
        if !theirs {
            continue;
        }
        assert!(restore("slim", "slim.debug", "whole"), "{}", binary.name);
        let mut whole = xpost.read("whole");
        put_back(&input, &mut whole);
        fs::write(xpost.path("whole"), whole).unwrap();
        let said = equal("whole");
        assert!(said.status.success(), "{}: {said:?}", binary.name);
        compared += 1;
    }
    assert!(compared >= 8, "eu-strip's own pairs are restored for {compared} binaries only");
}

#[test]
fn readelf_shows_one_build_id_in_all_files() {
    for &binary in ALL {
        let xpost = split(binary, &[]);
        let id = |name| {
            let said = tools::stdout(command("readelf").arg("-n").arg(xpost.path(name)));
            let lines = said.lines().filter(|line| line.contains("Build ID"));
            lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>()
        };
        let (input, slim) = (id("input"), id("slim"));
        assert_eq!(slim.len(), 1, "{}", binary.name);
        assert_eq!(id("slim.debug"), slim, "{}", binary.name);
        assert_eq!(input.is_empty(), binary.name.ends_with("nobuildid"));
        assert!(input.is_empty() || input == slim, "{}", binary.name);
    }
}

#[test]
fn go_still_tells_what_a_slim_program_was_built_from() {
    for binary in ALL.iter().filter(|binary| binary.language == Language::Go) {
        let xpost = split(*binary, &[]);
        let modules = |name| {
            let said = tools::stdout(command("go").args(["version", "-m"]).arg(xpost.path(name)));
            said.split_once('\n').map(|(_, modules)| modules.to_owned()).unwrap()
        };
        assert!(modules("slim").contains("\tdep\t"));
        assert_eq!(modules("slim"), modules("input"), "{}", binary.name);
    }
}

#[test]
fn a_slim_file_is_no_larger_than_gnu_strip_s() {
    for &binary in ALL {
        let Some(mut strip) = gnu(binary, "strip") else { continue };
        // A build-id that is put in costs a section header, which nobody's strip has to pay.
        let xpost = split(binary, &["--no-debug-file", "--build-id", "keep"]);
        tools::stdout(strip.arg("-s").arg("-o").arg(xpost.path("theirs")).arg(binary.path()));
        let (ours, theirs) = (xpost.read("slim"), xpost.read("theirs").len() as u64);
        let elf = Elf::parse(&ours).unwrap();
        // Kept by rule: what unwinds code that .eh_frame does not describe; its header, its name, what aligns
        // it (to 16) and the headers (to 8).
        let frames = elf.section_named(b".debug_frame").map_or(0, |frames| {
            frames.size + elf.section_header_size() + frames.name.len() as u64 + 1 + 24
        });
        let ours = ours.len() as u64;
        assert!(ours <= theirs + frames, "{}: {ours}, theirs {theirs}, {frames}", binary.name);
    }
}

#[test]
fn a_stripped_file_never_grows() {
    for &binary in ALL {
        for flag in ["-s", "-g"] {
            let Some(mut strip) = gnu(binary, "strip") else { continue };
            let xpost = xpost();
            let stripped = xpost.path("app");
            tools::stdout(strip.arg(flag).arg("-o").arg(&stripped).arg(binary.path()));
            // (A build-id that is put in costs a section header.)
            xpost.run(["slim", "--build-id", "keep", "-o", "slim", "app"]).succeeds();
            let (after, before) = (xpost.read("slim").len(), xpost.read("app").len());
            assert!(after <= before, "{} {flag}: {before} to {after}", binary.name);
        }
    }
}
