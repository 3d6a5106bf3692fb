//! Split DWARF: what is in `.dwo` files reaches the debugger as well, or it is said what is lost.

use std::fs;

use xpost::elf::Elf;

use crate::support::corpus::{self, get};
use crate::support::tools;
use crate::support::xpost::{Xpost, xpost};

/// What gdb alone finds in the `.dwp`: the value of an argument and of a local.
const FROM_DWP: [&str; 2] = ["mode=PRINT", "cents = 250"];

/// `app` with split DWARF, and its `.dwp` beside it.
fn with_dwp() -> Xpost {
    let xpost = xpost();
    fs::copy(corpus::path("c-splitdwarf"), xpost.path("app")).unwrap();
    fs::copy(get("c-splitdwarf").dwp().unwrap(), xpost.path("app.dwp")).unwrap();
    xpost
}

/// What gdb says where every local is set.
fn gdb(xpost: &Xpost, tree: &str, program: &str) -> String {
    let stop = format!("break {}", get("c-splitdwarf").stop());
    let mut gdb = tools::tool("gdb", xpost.home());
    gdb.current_dir(xpost.home()).args(["-nx", "-batch", "-iex", "set debuginfod enabled off"]);
    gdb.args(["-iex", &format!("set debug-file-directory {}", xpost.path(tree).display())]);
    gdb.args(["-ex", &stop, "-ex", "run", "-ex", "generate-core-file core"]);
    tools::stdout(gdb.args(["-ex", "bt", "-ex", "info locals", program]))
}

#[track_caller]
fn knows_everything(said: &str) {
    assert!(FROM_DWP.iter().all(|text| said.contains(text)), "{said}");
    assert!(said.contains("tally.c:42"), "{said}");
}

#[test]
fn gdb_reads_the_dwp_beside_the_slim_program() {
    let xpost = with_dwp();
    let ran = xpost.run(["slim", "app"]).succeeds();
    assert!(ran.stdout.contains("xpost-out/linux-amd64/app.dwp"), "{ran:?}");
    xpost.run(["slim", "-o", "small", "--debug-out", "far/small.debug", "app"]).succeeds();
    assert!(xpost.read("far/small.dwp") == xpost.read("app.dwp"));
    fs::remove_file(xpost.path("app.dwp")).unwrap();
    knows_everything(&gdb(&xpost, "nowhere", "xpost-out/linux-amd64/app"));
    // In place it is there already, and stays.
    let xpost = with_dwp();
    let ran = xpost.run(["slim", "--in-place", "--build-id-tree", "tree", "app"]).succeeds();
    assert!(!ran.stderr.contains("dwo"), "{ran:?}");
    knows_everything(&gdb(&xpost, "nowhere", "app"));
    fs::create_dir(xpost.path("site")).unwrap();
    fs::rename(xpost.path("app"), xpost.path("site/app")).unwrap();
    knows_everything(&gdb(&xpost, "tree", "site/app"));
}

#[test]
fn gdb_reads_the_dwp_in_a_build_id_tree_for_the_program_and_for_a_core_alone() {
    let xpost = with_dwp();
    xpost.run(["slim", "-o", "made/app", "--build-id-tree", "tree", "app"]).succeeds();
    fs::create_dir(xpost.path("site")).unwrap();
    fs::rename(xpost.path("made/app"), xpost.path("site/app")).unwrap();
    fs::remove_dir_all(xpost.path("made")).unwrap();
    knows_everything(&gdb(&xpost, "tree", "site/app"));
    fs::remove_dir_all(xpost.path("site")).unwrap();
    of_core(&xpost, "tree");
}

/// The core alone names its program by build-id.
fn of_core(xpost: &Xpost, tree: &str) {
    let mut gdb = tools::tool("gdb", xpost.home());
    gdb.current_dir(xpost.home()).args(["-nx", "-batch", "-iex", "set debuginfod enabled off"]);
    gdb.args(["-iex", &format!("set debug-file-directory {}", xpost.path(tree).display())]);
    knows_everything(&tools::stdout(gdb.args(["-ex", "bt", "-ex", "info locals", "-c", "core"])));
}

#[test]
fn a_release_publishes_and_signs_the_dwp_and_a_pull_brings_it_to_gdb() {
    let xpost = with_dwp();
    xpost.run(["slim", "app"]).succeeds();
    xpost.run(["sign", "--generate-key", "release.key"]).succeeds();
    let signed = xpost.run(["sign", "--key", "release.key"]).succeeds();
    assert!(signed.stdout.contains("3 files"), "{signed:?}");
    let dry = xpost.run(["push", "oci:lay:v1", "--dry-run"]).succeeds();
    assert!(dry.stdout.contains("dwp 3.91 KiB") || dry.stderr.contains("dwp 3.91 KiB"), "{dry:?}");
    xpost.run(["push", "oci:lay:v1"]).succeeds();
    let verified = xpost.run(["verify", "oci:lay:v1", "--key", "release.pub"]).succeeds();
    assert!(verified.stdout.contains("app.dwp"), "{verified:?}");
    assert!(!verified.stdout.contains("not signed"), "{verified:?}");
    xpost.run(["pull", "oci:lay:v1", "-o", "site", "--debug", "--key", "release.pub"]).succeeds();
    knows_everything(&gdb(&xpost, "site/debug", "site/app"));
    fs::remove_file(xpost.path("site/app")).unwrap();
    of_core(&xpost, "site/debug");
    // Signed and not there any more: somebody took it out.
    fs::remove_file(xpost.path("xpost-out/linux-amd64/app.dwp")).unwrap();
    xpost.run(["push", "oci:thin:v2"]).exits(3, &["covers app.dwp, which is not there any more"]);
}

#[test]
fn a_rebuild_takes_the_old_dwp_away_or_puts_its_own_in_its_place() {
    const DWP: &str = "xpost-out/linux-amd64/app.dwp";
    let xpost = with_dwp();
    xpost.run(["slim", "app"]).succeeds();
    // What is slim already keeps what belongs to it.
    let slim = xpost.read("xpost-out/linux-amd64/app");
    xpost.put("slim/app", slim);
    xpost.run(["slim", "slim/app"]).succeeds();
    assert!(xpost.path(DWP).exists());
    xpost.put(DWP, b"an older one");
    xpost.run(["slim", "app"]).succeeds();
    assert!(xpost.read(DWP) == xpost.read("app.dwp"));
    fs::copy(corpus::path("c-glibc-static"), xpost.path("app")).unwrap();
    xpost.run(["slim", "app"]).succeeds();
    assert!(!xpost.path(DWP).exists());
    // A foreign one is none of this release's.
    fs::copy(get("c-splitdwarf").dwp().unwrap(), xpost.path(DWP)).unwrap();
    xpost.run(["push", "oci:lay:v1"]).exits(3, &["app.dwp", "not the .dwp of app"]);
}

#[test]
fn debug_information_is_no_object_to_be_slimmed() {
    let xpost = with_dwp();
    let dwp = xpost.read("app.dwp");
    let ran = xpost.run(["slim", "--in-place", "app.dwp"]);
    ran.exits(8, &["split DWARF", "the PROGRAM.dwp beside it is carried along"]);
    assert!(xpost.read("app.dwp") == dwp);
}

#[test]
fn where_there_is_no_dwp_of_the_program_it_says_what_is_lost_and_what_to_do() {
    let slim = |xpost: &Xpost| xpost.run(["slim", "-o", "out/slim", "app"]).succeeds();
    let xpost = with_dwp();
    let dwp = xpost.read("app.dwp");
    fs::remove_file(xpost.path("app.dwp")).unwrap();
    let advice =
        "in .dwo files (1 unit), and so in no debug file; gather them with dwp -e app, and";
    slim(&xpost).exits(0, &["app has split DWARF: arguments, locals and types are", advice]);
    // The index of another build: one bit of the number of its unit.
    let mut other = dwp.clone();
    let elf = Elf::parse(&dwp).unwrap();
    let index = elf.section_named(b".debug_cu_index").unwrap();
    let at = index.data.iter().skip(16).position(|&byte| byte != 0).unwrap() + 16;
    other[index.offset as usize + at] ^= 1;
    xpost.put("app.dwp", &other);
    slim(&xpost).exits(0, &["app.dwp has none of the units of app", advice]);
    // Damaged, cut off, something else.
    let mut lying = dwp.clone();
    lying[index.offset as usize + 12..][..4].fill(0xff);
    for bytes in [&lying, &dwp[..dwp.len() / 2], b"".as_slice(), &xpost.read("app")] {
        xpost.put("app.dwp", bytes);
        slim(&xpost).exits(0, &["app.dwp cannot be used", advice]);
    }
    assert!(!xpost.path("out/slim.dwp").exists());
    // No debug file, nothing to complete; no split DWARF, nothing to carry.
    xpost.put("app.dwp", &dwp);
    xpost.run(["slim", "-o", "out/slim", "--no-debug-file", "app"]).succeeds();
    fs::copy(corpus::path("c-glibc-static"), xpost.path("app")).unwrap();
    let ran = slim(&xpost);
    assert!(!ran.stderr.contains("split DWARF"), "{ran:?}");
    assert!(!xpost.path("out/slim.dwp").exists());
}

/// Compiles `app` of these units with GCC's split DWARF.
fn compile(xpost: &Xpost, version: u8, units: &[(&str, &str)]) {
    let run = |name: &str, arguments: &[&str]| {
        tools::stdout(tools::tool(name, xpost.home()).args(arguments).current_dir(xpost.home()))
    };
    let mut objects = Vec::new();
    for (unit, text) in units {
        let (source, object) = (format!("{unit}.c"), format!("{unit}.o"));
        xpost.put(&source, text);
        let version = format!("-gdwarf-{version}");
        run("gcc", &[&version, "-gsplit-dwarf", "-c", &source, "-o", &object]);
        objects.push(object);
    }
    let objects = objects.iter().map(String::as_str);
    run("gcc", &objects.chain(["-o", "app"]).collect::<Vec<_>>());
}

#[test]
fn a_dwp_of_some_units_goes_along_and_what_it_lacks_is_said() {
    let xpost = xpost();
    compile(
        &xpost,
        4,
        &[
            ("one", "int one(void) { return 1; }"),
            ("main", "int one(void); int main(void) { return one(); }"),
        ],
    );
    tools::stdout(
        tools::tool("dwp", xpost.home())
            .args(["-o", "app.dwp", "one.dwo"])
            .current_dir(xpost.home()),
    );
    xpost.run(["slim", "app"]).exits(0, &["app.dwp lacks 1 of the 2 units of app"]);
    assert!(xpost.read("xpost-out/linux-amd64/app.dwp") == xpost.read("app.dwp"));
    xpost.run(["push", "oci:lay:v1"]).succeeds();
}

#[test]
fn units_of_version_5_are_known_by_their_headers() {
    let xpost = xpost();
    let source = xpost.put("app.rs", "fn main() {}");
    let mut rustc = tools::tool("rustc", xpost.home());
    // rustup finds its toolchains by the home of who runs the tests.
    rustc.env("HOME", std::env::var_os("HOME").unwrap_or_default()).current_dir(xpost.home());
    rustc.args(["-g", "-C", "split-debuginfo=packed", "-C", "dwarf-version=5"]).arg(source);
    tools::stdout(&mut rustc);
    let ran = xpost.run(["slim", "app"]).succeeds();
    assert!(!ran.stderr.contains(".dwp"), "{ran:?}");
    assert!(xpost.read("xpost-out/linux-amd64/app.dwp") == xpost.read("app.dwp"));
    fs::remove_file(xpost.path("app.dwp")).unwrap();
    xpost.run(["slim", "app"]).exits(0, &["llvm-dwp -e app -o app.dwp"]);
    // dwp of binutils 2.40 writes an index without a number, which no debugger can use.
    compile(&xpost, 5, &[("main", "int main(void) { return 0; }")]);
    tools::stdout(
        tools::tool("dwp", xpost.home())
            .args(["-o", "app.dwp", "main.dwo"])
            .current_dir(xpost.home()),
    );
    xpost.run(["slim", "app"]).exits(0, &["app.dwp has none of the units of app", "llvm-dwp"]);
}
