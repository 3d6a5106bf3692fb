//! Build-ids: where a core shows one, how it gets there, and what the kernel, elfutils, binutils and Go say of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::corpus::{ALL, Binary, Language, get};
use crate::support::law::{Halves, hold};
use crate::support::tools;
use crate::support::xpost::{Xpost, xpost};

/// Slims a corpus binary with flags; what it says as JSON.
pub(crate) fn slimmed(binary: Binary, flags: &[&str]) -> (Xpost, Value) {
    let xpost = xpost();
    fs::copy(binary.path(), xpost.path("input")).unwrap();
    slim(xpost, flags)
}

/// The same with what is there.
pub(crate) fn slim(xpost: Xpost, flags: &[&str]) -> (Xpost, Value) {
    let json = xpost.run([&["slim", "--json", "-o", "slim"], flags, &["input"]].concat());
    let json = json.succeeds().json()["files"][0].clone();
    (xpost, json)
}

/// The program of `c` in the corpus, as this compiler and these flags make it.
pub(crate) fn c(compiler: &str, flags: &[&str]) -> Xpost {
    let xpost = xpost();
    let mut compile = command(compiler);
    compile
        .args(["-g", "-Wl,--build-id=none", "tally.c", "-o"])
        .arg(xpost.path("input"))
        .args(flags);
    tools::stdout(compile.current_dir(get("c-musl").source_directory()));
    xpost
}

/// The program of `go` in the corpus, as the Go linker makes it with this flag.
pub(crate) fn go(flag: &str) -> Xpost {
    let xpost = xpost();
    let mut build = Command::new(tools::path("go"));
    build.args(["build", "-trimpath", "-buildvcs=false", &format!("-ldflags={flag}"), "-o"]);
    build.arg(xpost.path("input")).arg(".").current_dir(get("go").source_directory());
    build.envs([
        ("CGO_ENABLED", "0"),
        ("GOTOOLCHAIN", "local"),
        ("GOFLAGS", ""),
        ("GOWORK", "off"),
    ]);
    tools::stdout(&mut build);
    xpost
}

pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(tools::path(name));
    command.env("LC_ALL", "C.UTF-8").env_remove("DEBUGINFOD_URLS");
    command
}

/// What elfutils finds in a core of a program that is gone.
pub(crate) fn seen_in_a_core_alone(program: &Path) -> String {
    let home = tempfile::tempdir().unwrap();
    fs::copy(program, home.path().join("app")).unwrap();
    let core = core(home.path(), "app");
    // eu-unstrip opens the program by its name where it is still there, and the core alone is to be seen.
    fs::remove_file(home.path().join("app")).unwrap();
    tools::stdout(command("eu-unstrip").arg("-n").arg(format!("--core={}", core.display())))
}

/// What the kernel wrote when the program died, or gdb where the kernel hands cores to another program.
fn core(directory: &Path, program: &str) -> PathBuf {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let before = names(directory);
    let path = directory.join(program);
    if pattern.starts_with(['|', '/', '@']) {
        let mut waiting = Command::new(&path);
        waiting.arg("wait").current_dir(directory).stdout(Stdio::piped());
        let mut waiting = waiting.spawn().unwrap();
        std::io::Read::read_exact(waiting.stdout.as_mut().unwrap(), &mut [0; 5]).unwrap();
        let id = waiting.id().to_string();
        tools::stdout(command("gcore").args(["-o", "core", &id]).current_dir(directory));
        waiting.kill().unwrap();
        waiting.wait().unwrap();
    } else {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -c unlimited && exec \"$0\" crash"]).arg(&path);
        tools::failure(shell.current_dir(directory).env("GOTRACEBACK", "crash"));
    }
    let started = Instant::now();
    loop {
        let new = names(directory).into_iter().find(|name| !before.contains(name));
        if let Some(new) = new {
            return directory.join(new);
        }
        assert!(started.elapsed() < Duration::from_secs(20), "no core by the pattern {pattern:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Holds a slim program against all that can see its build-id: the kernel's core of it with the program gone, readelf,
/// elfutils; and it runs.
pub(crate) fn shows(xpost: &Xpost, binary: Binary, id: &str) {
    let name = binary.name;
    let (input, slim) = (xpost.read("input"), xpost.read("slim"));
    let has_debug = xpost.path("slim.debug").exists();
    hold(&Halves { input, slim, debug: has_debug.then(|| xpost.read("slim.debug")) });
    for file in ["slim", "slim.debug"].into_iter().take(1 + usize::from(has_debug)) {
        let said = tools::stdout(command("readelf").arg("-nW").arg(xpost.path(file)));
        assert!(said.contains(id), "{name} {file}: {said}");
        let said = tools::stdout(command("eu-readelf").arg("-n").arg(xpost.path(file)));
        assert!(said.contains(id), "{name} {file}: {said}");
    }
    let printed = tools::stdout(&mut binary.command(&xpost.path("slim")));
    assert_eq!(printed, binary.prints(), "{name}");
    if binary.language == Language::Go {
        let said = tools::stdout(command("go").args(["version", "-m"]).arg(xpost.path("slim")));
        assert!(said.contains("path\t"), "{name}: {said}");
    }
    if binary.emulator().is_some() {
        return;
    }
    let said = seen_in_a_core_alone(&xpost.path("slim"));
    assert!(said.contains(id), "{name}: the core alone shows {said}");
}

/// GNU strip takes a slim file, and leaves the program and its build-id as they are.
pub(crate) fn strips(xpost: &Xpost, binary: Binary, id: &str) {
    if binary.emulator().is_some() {
        return;
    }
    let name = binary.name;
    tools::stdout(command("strip").arg("-o").arg(xpost.path("stripped")).arg(xpost.path("slim")));
    let printed = tools::stdout(&mut binary.command(&xpost.path("stripped")));
    assert_eq!(printed, binary.prints(), "{name}");
    let said = tools::stdout(command("readelf").arg("-nW").arg(xpost.path("stripped")));
    assert!(said.contains(id), "{name}: {said}");
}

#[test]
fn go_s_own_build_id_is_repaired() {
    let own = |binary: &&Binary| !binary.name.ends_with("nobuildid");
    for binary in ALL.iter().filter(|binary| binary.language == Language::Go).filter(own) {
        let name = binary.name;
        let (xpost, json) = slimmed(*binary, &[]);
        assert_eq!(json["identity"]["methods"], serde_json::json!(["repair-extend"]), "{name}");
        assert_eq!(json["identity"]["inCores"], true, "{name}");
        // p_filesz and p_memsz of PT_NOTE: 0x64 became 0x88.
        let patches = json["identity"]["patches"].as_array().unwrap();
        assert_eq!(patches.len(), 2, "{name}: {json}");
        for patch in patches {
            assert_eq!((&patch["before"], &patch["after"]), (&"64".into(), &"88".into()), "{name}");
        }
        let id = json["buildId"].as_str().unwrap();
        let said = tools::stdout(command("readelf").arg("-nW").arg(xpost.path("input")));
        assert!(said.contains(id), "{name}: the linker's id stays");
        shows(&xpost, *binary, id);
        strips(&xpost, *binary, id);
        // A second run has nothing to do.
        let again =
            xpost.run(["slim", "--json", "-o", "again", "slim"]).exits(0, &["slim already"]);
        assert_eq!(
            again.json()["files"][0]["identity"]["methods"],
            serde_json::json!([]),
            "{name}"
        );
        assert!(xpost.read("again") == xpost.read("slim"), "{name}");
    }
}

#[test]
fn without_the_repair_no_core_of_a_go_program_shows_its_build_id() {
    let (xpost, json) = slimmed(get("go"), &["--build-id", "keep"]);
    assert_eq!(json["identity"]["inCores"], false);
    assert_eq!(json["identity"]["patches"], serde_json::json!([]));
    let said = seen_in_a_core_alone(&xpost.path("slim"));
    assert!(!said.contains(json["buildId"].as_str().unwrap()), "{said}");
}

#[test]
fn a_stripped_go_program_changes_by_the_repair_alone() {
    let xpost = xpost();
    let mut strip = command("strip");
    tools::stdout(strip.arg("-o").arg(xpost.path("app")).arg(get("go").path()));
    let ran = xpost.run(["slim", "--explain", "-o", "slim", "app"]);
    let ran = ran.exits(0, &["nothing leaves it; only its build-id changes"]);
    assert!(ran.stdout.contains("repair-extend: PT_NOTE covers its note now"), "{ran:?}");
    assert!(ran.stdout.contains(": 64 → 88"), "{ran:?}");
    let (before, after) = (xpost.read("app"), xpost.read("slim"));
    let changed = before.iter().zip(&after).filter(|(before, after)| before != after);
    assert_eq!((before.len(), changed.count()), (after.len(), 2));
    // With the input as output it would have to change.
    xpost.run(["slim", "-o", "app", "app"]).exits(2, &["would replace the input"]);
    xpost.run(["slim", "--in-place", "app"]).succeeds();
    assert!(xpost.read("app") == after);
    xpost.run(["slim", "--in-place", "app"]).exits(0, &["slim already"]);
    assert!(xpost.read("app") == after);
}

#[test]
fn a_stripped_program_gets_a_build_id_and_no_byte_more() {
    let inputs = [
        ("c-nobuildid", None, "reloc-note"),
        ("go-old-nobuildid", None, "extend-front"),
        ("go", Some(go("-B=none")), "extend-front"),
    ];
    for (name, input, method) in inputs {
        let xpost = input.unwrap_or_else(|| {
            let xpost = xpost();
            fs::copy(get(name).path(), xpost.path("input")).unwrap();
            xpost
        });
        let strip = ["-s", "-R", ".comment", "-o", "input", "input"];
        tools::stdout(command("strip").args(strip).current_dir(xpost.home()));
        let (xpost, json) = slim(xpost, &[]);
        assert_eq!(json["identity"]["methods"], serde_json::json!([method]), "{name}");
        let id = json["buildId"].as_str().unwrap();
        assert_eq!(xpost.read("slim").len(), xpost.read("input").len(), "{name}");
        shows(&xpost, get(name), id);
        strips(&xpost, get(name), id);
        xpost.run(["slim", "-o", "again", "slim"]).exits(0, &["slim already"]);
        assert!(xpost.read("again") == xpost.read("slim"), "{name}");
    }
}

#[test]
fn a_build_id_that_no_core_shows_is_refused_where_one_is_required() {
    let xpost = xpost();
    for (name, said) in [("go", "is not where a core shows it"), ("c-nobuildid", "has no build-id")]
    {
        fs::copy(get(name).path(), xpost.path("app")).unwrap();
        xpost.run(["slim", "--build-id", "require", "-o", "slim", "app"]).exits(3, &[said]);
        assert!(!xpost.path("slim").exists(), "{name}");
    }
    fs::copy(get("c-musl").path(), xpost.path("app")).unwrap();
    let ran = xpost.run(["slim", "--json", "--build-id", "require", "-o", "slim", "app"]);
    assert_eq!(ran.succeeds().json()["files"][0]["identity"]["methods"], serde_json::json!([]));
    xpost.run(["slim", "--build-id", "inject=repair-extend", "-o", "slim", "app"]).succeeds();
    fs::copy(get("c-nobuildid").path(), xpost.path("app")).unwrap();
    let ran = xpost.run(["slim", "--build-id", "inject=repair-extend", "-o", "no", "app"]);
    ran.exits(3, &["repair-extend cannot be done"]);
    xpost.run(["slim", "--build-id", "inject=magic", "app"]).exits(2, &["repair-extend"]);
}

/// What a binary without a build-id of this name becomes by default: which method, and the id that both files have.
fn is_injected(binary: Binary, input: Option<Xpost>, method: &str) -> (Xpost, String) {
    let name = binary.name;
    let (xpost, json) = match input {
        Some(xpost) => slim(xpost, &[]),
        None => slimmed(binary, &[]),
    };
    assert_eq!(json["identity"]["methods"], serde_json::json!([method]), "{name}: {json}");
    assert_eq!(json["identity"]["inCores"], true, "{name}");
    let id = json["buildId"].as_str().unwrap().to_owned();
    shows(&xpost, binary, &id);
    strips(&xpost, binary, &id);
    let again = xpost.run(["slim", "--json", "-o", "again", "slim"]).exits(0, &["slim already"]);
    assert_eq!(again.json()["files"][0]["identity"]["methods"], serde_json::json!([]), "{name}");
    assert!(xpost.read("again") == xpost.read("slim"), "{name}");
    (xpost, id)
}

#[test]
fn a_musl_program_gets_a_program_header_and_a_note() {
    is_injected(get("c-musl-nobuildid"), None, "append");
}

#[test]
fn a_glibc_program_gets_a_note_behind_its_abi_tag() {
    let (xpost, _) = is_injected(get("c-nobuildid"), None, "reloc-note");
    let said = tools::stdout(command("readelf").arg("-nW").arg(xpost.path("slim")));
    assert!(said.contains("OS: Linux, ABI: 3.2.0"), "the tag is there still: {said}");
    // And its symbol is where it is.
    let said = tools::stdout(command("readelf").arg("-sW").arg(xpost.path("slim.debug")));
    let symbol = said.lines().find(|line| line.ends_with(" __abi_tag")).unwrap().to_owned();
    let said = tools::stdout(command("readelf").arg("-SW").arg(xpost.path("slim.debug")));
    let section = said.lines().find(|line| line.contains(" .note.ABI-tag ")).unwrap();
    let address = section.split_whitespace().rev().nth(7).unwrap();
    assert!(symbol.contains(&format!(": {address} ")), "{symbol}\n{section}");
}

#[test]
fn the_alignment_of_mold_s_notes_is_repaired() {
    let xpost = c("gcc", &["-static", "-fuse-ld=mold", "-Wl,--build-id"]);
    let (xpost, json) = slim(xpost, &[]);
    assert_eq!(json["identity"]["methods"], serde_json::json!(["repair-align"]), "{json}");
    shows(&xpost, get("c-glibc-static"), json["buildId"].as_str().unwrap());
    strips(&xpost, get("c-glibc-static"), json["buildId"].as_str().unwrap());
}

#[test]
fn a_go_program_without_a_gnu_build_id_gets_one_beside_its_own() {
    is_injected(get("go"), Some(go("-B=none")), "extend-front");
}

#[test]
fn a_go_program_without_any_note_gets_one_where_its_section_headers_were() {
    is_injected(get("go"), Some(go("-buildid=")), "append");
}

#[test]
fn a_program_without_room_gets_a_note_that_nothing_loads_and_a_warning() {
    let xpost = c("musl-gcc", &["-static-pie", "-fPIE"]);
    let ran = xpost.run(["slim", "--json", "-o", "slim", "input"]);
    let ran = ran.exits(0, &["is not loaded (its layout leaves no room for it)", "-Wl,--build-id"]);
    let json = ran.json()["files"][0].clone();
    assert_eq!(json["identity"]["methods"], serde_json::json!(["unloaded"]));
    assert_eq!(json["identity"]["patches"], serde_json::json!([]));
    assert_eq!(json["identity"]["inCores"], false);
    let halves = |slim: &str| Halves {
        input: xpost.read("input"),
        slim: xpost.read(slim),
        debug: Some(xpost.read(format!("{slim}.debug"))),
    };
    hold(&halves("slim"));
    let id = json["buildId"].as_str().unwrap();
    for file in ["slim", "slim.debug"] {
        let said = tools::stdout(command("readelf").arg("-nW").arg(xpost.path(file)));
        assert!(said.contains(id), "{file}: {said}");
    }
    let printed = tools::stdout(&mut Command::new(xpost.path("slim")));
    assert_eq!(printed, get("c-musl").prints());
    // By name it is taken where there is room, and any other is refused where there is none.
    xpost.run(["slim", "--build-id", "inject=append", "-o", "no", "input"]).exits(3, &["no room"]);
    fs::copy(get("c-musl-nobuildid").path(), xpost.path("input")).unwrap();
    xpost.run(["slim", "--build-id", "inject=unloaded", "-o", "other", "input"]).succeeds();
    hold(&halves("other"));
    let repair = ["slim", "--build-id", "inject=repair-extend", "-o", "no", "input"];
    xpost.run(repair).exits(3, &["one that is not can be injected alone"]);
    assert!(!xpost.path("no").exists());
}
