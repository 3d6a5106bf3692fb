//! Where the outputs of `xpost slim` go, and what they keep of the file whose place they take.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use xpost::elf::Elf;

use crate::support::elf::Builder;
use crate::support::xpost::{Ran, Xpost, xpost};
use crate::support::{corpus, law, tools};

fn with_app() -> Xpost {
    let xpost = xpost();
    xpost.put("app", std::fs::read(corpus::committed("amd64")).unwrap());
    set_mode(&xpost.path("app"), 0o755);
    xpost
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn is_root() -> bool {
    tools::stdout(Command::new("id").arg("-u")).trim() == "0"
}

/// Capabilities, owners and setuid are given by root alone.
fn needs_root() {
    assert!(is_root(), "this test gives files away and grants capabilities: run it as root");
}

/// The program as somebody who is not root, where this is root; it has to be in reach.
fn as_nobody(xpost: &Xpost) -> Command {
    set_mode(xpost.home(), 0o777);
    let program = xpost.path("xpost");
    if !program.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_xpost"), &program).unwrap();
    }
    let mut command = Command::new(tools::path("setpriv"));
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    command.current_dir(xpost.home());
    command
}

fn capabilities(path: &Path) -> String {
    let text = tools::stdout(Command::new(tools::path("getcap")).arg(path));
    text.trim().rsplit(' ').next().unwrap_or_default().to_owned()
}

fn attribute(path: &Path, name: &str) -> Option<String> {
    let mut command = Command::new(tools::path("getfattr"));
    command.args(["--only-values", "--absolute-names", "-n", name]).arg(path);
    let output = tools::output(&mut command);
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

fn set_attribute(path: &Path, name: &str, value: &str) {
    let mut command = Command::new(tools::path("setfattr"));
    tools::stdout(command.args(["-n", name, "-v", value]).arg(path));
}

/// Runs with standard input; standard output may be no text.
fn piped(xpost: &Xpost, arguments: &[&str], input: &[u8]) -> (Vec<u8>, Ran) {
    let mut command = xpost.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeds = std::thread::spawn(move || {
        // Who refuses its flags does not read.
        let _ = stdin.write_all(&input);
    });
    let mut output = child.wait_with_output().unwrap();
    feeds.join().unwrap();
    let stdout = std::mem::take(&mut output.stdout);
    (stdout, Ran::of(&output))
}

#[test]
fn files_are_slimmed_in_their_place_with_debug_files_beside_them() {
    let xpost = with_app();
    let second = std::fs::read(corpus::committed("arm64")).unwrap();
    let inputs = [("app", xpost.read("app")), ("sub/other", second)];
    xpost.put("sub/other", &inputs[1].1);
    let ran = xpost.run(["slim", "--in-place", "app", "sub/other"]).succeeds();
    assert_eq!(xpost.list(), ["app", "app.debug", "sub/", "sub/other", "sub/other.debug"]);
    for (name, input) in inputs {
        assert!(ran.stdout.contains(&format!("{name}.debug")), "{ran:?}");
        let (slim, debug) = (xpost.read(name), Some(xpost.read(format!("{name}.debug"))));
        assert!(slim.len() < input.len());
        law::hold(&law::Halves { input, slim, debug });
    }
    let printed = tools::stdout(&mut corpus::get("c-musl").command(&xpost.path("app")));
    assert_eq!(printed, corpus::get("c-musl").prints());
}

#[test]
fn the_debug_file_of_a_file_in_its_place_goes_where_it_was_said_or_nowhere() {
    let xpost = with_app();
    xpost.run(["slim", "--in-place", "--debug-out", "kept/half", "app"]).succeeds();
    assert_eq!(xpost.list(), ["app", "kept/", "kept/half"]);
    let xpost = with_app();
    xpost
        .run(["slim", "--in-place", "--no-debug-file", "app"])
        .exits(0, &["there will be no debug file"]);
    assert_eq!(xpost.list(), ["app"]);
}

#[test]
fn what_is_slim_in_its_place_is_left_alone_with_its_debug_file() {
    let xpost = with_app();
    xpost.run(["slim", "--in-place", "-g", "app"]).succeeds();
    let (inode, debug) = (xpost.path("app").metadata().unwrap().ino(), xpost.read("app.debug"));
    let ran = xpost.run(["slim", "--in-place", "-g", "app"]).exits(0, &["slim already"]);
    assert_eq!(xpost.path("app").metadata().unwrap().ino(), inode, "{ran:?}");
    // Symbols leave now, and the debug file has them already, with more.
    let ran = xpost.run(["slim", "--in-place", "app"]).succeeds();
    assert!(ran.stdout.contains("kept: it is this build's"), "{ran:?}");
    assert!(xpost.read("app.debug") == debug, "the debug file with everything stays");
    let slim = xpost.read("app");
    let link = xpost::slim::DebugLink::of(&xpost::elf::Elf::parse(&slim).unwrap()).unwrap();
    assert_eq!(link.crc, xpost::debug::checksum(&debug));
}

#[test]
fn a_link_stays_a_link_and_its_file_becomes_slim() {
    let xpost = xpost();
    let input = std::fs::read(corpus::committed("amd64")).unwrap();
    xpost.put("real/app-1.0", &input);
    std::os::unix::fs::symlink("real/app-1.0", xpost.path("app")).unwrap();
    xpost.run(["slim", "--in-place", "app"]).succeeds();
    assert_eq!(xpost.list(), ["app", "real/", "real/app-1.0", "real/app-1.0.debug"]);
    assert_eq!(std::fs::read_link(xpost.path("app")).unwrap(), Path::new("real/app-1.0"));
    assert!(xpost.read("real/app-1.0").len() < input.len());
    xpost.run(["slim", "--in-place", "app", "real/app-1.0"]).exits(2, &["twice"]);
}

#[test]
fn another_name_of_the_file_keeps_what_it_had_and_that_is_said() {
    let xpost = with_app();
    let input = xpost.read("app");
    std::fs::hard_link(xpost.path("app"), xpost.path("other")).unwrap();
    xpost.run(["slim", "--in-place", "app"]).exits(0, &["app has 2 names (hard links)"]);
    assert!(xpost.read("other") == input && xpost.read("app").len() < input.len());
}

#[test]
fn a_file_in_its_place_keeps_owner_setuid_attributes_and_capabilities() {
    needs_root();
    let xpost = with_app();
    let path = xpost.path("app");
    std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
    set_mode(&path, 0o6751);
    set_attribute(&path, "user.origin", "made here");
    tools::stdout(Command::new(tools::path("setcap")).arg("cap_net_raw=ep").arg(&path));
    let ran = xpost.run(["slim", "--in-place", "app"]).succeeds();
    let metadata = path.metadata().unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (1234, 4321));
    assert_eq!(mode(&path), 0o6751);
    assert_eq!(attribute(&path, "user.origin").as_deref(), Some("made here"));
    assert_eq!(capabilities(&path), "cap_net_raw=ep");
    assert!(!ran.stderr.contains("does not have"), "{ran:?}");
    assert_eq!(mode(&xpost.path("app.debug")) & 0o6111, 0, "a debug file is no program");
}

#[test]
fn a_file_elsewhere_gets_attributes_but_no_foreign_owner() {
    needs_root();
    let xpost = with_app();
    let path = xpost.path("app");
    std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
    set_mode(&path, 0o4755);
    tools::stdout(Command::new(tools::path("setcap")).arg("cap_net_raw=ep").arg(&path));
    xpost.run(["slim", "-o", "out", "app"]).exits(0, &["out does not have setuid and setgid"]);
    assert_eq!(mode(&xpost.path("out")), 0o755);
    assert_eq!(xpost.path("out").metadata().unwrap().uid(), 0);
    assert_eq!(capabilities(&xpost.path("out")), "cap_net_raw=ep");
}

#[test]
fn what_may_not_be_kept_is_named() {
    needs_root();
    let xpost = with_app();
    let path = xpost.path("app");
    tools::stdout(Command::new(tools::path("setcap")).arg("cap_net_raw=ep").arg(&path));
    let ran = Ran::of(&tools::output(as_nobody(&xpost).args(["slim", "--in-place", "app"])));
    // A directory of theirs lets people replace a file that is not theirs.
    let ran = ran.exits(0, &["its owner 0:0", "security.capability", "app does not have"]);
    assert_eq!(capabilities(&path), "", "{ran:?}");
    assert_eq!(path.metadata().unwrap().uid(), 65534);

    let xpost = with_app();
    set_attribute(&xpost.path("app"), "security.ima", "0x0404aabb");
    xpost.run(["slim", "--in-place", "app"]).exits(0, &["security.ima", "as they were"]);
    assert_eq!(attribute(&xpost.path("app"), "security.ima"), None);
}

#[test]
fn dates_are_kept_where_that_was_asked_for() {
    let date = |xpost: &Xpost, name: &str| xpost.path(name).metadata().unwrap().mtime();
    for arguments in [&["--in-place"][..], &["-o", "app.slim"]] {
        let output = arguments.get(1).copied().unwrap_or("app");
        for (preserve, kept) in [(None, false), (Some("-p"), true)] {
            let xpost = with_app();
            tools::stdout(Command::new("touch").args(["-d", "@1000000000"]).arg(xpost.path("app")));
            let arguments = ["slim"].iter().chain(arguments).copied().chain(preserve);
            xpost.run(arguments.chain(["app"])).succeeds();
            assert_eq!(date(&xpost, output) == 1_000_000_000, kept, "{output} {preserve:?}");
        }
    }
}

#[test]
fn a_run_that_fails_leaves_every_file_in_its_place_as_it_was() {
    let xpost = with_app();
    let input = xpost.read("app");
    xpost.put("no-program", "text");
    xpost.run(["slim", "--in-place", "app", "no-program"]).exits(8, &["not an ELF file"]);
    xpost.run(["slim", "--in-place", "-K", "no_such_symbol", "app"]).exits(3, &["no_such_symbol"]);
    xpost.run(["slim", "--in-place", "--debug-out", "app", "app"]).exits(2, &["replace the input"]);
    xpost.run(["slim", "--in-place", "app", "./app"]).exits(2, &["twice"]);
    assert_eq!(xpost.list(), ["app", "no-program"]);
    assert!(xpost.read("app") == input);
    if is_root() {
        let mut command = as_nobody(&xpost);
        set_mode(xpost.home(), 0o755);
        Ran::of(&tools::output(command.args(["slim", "--in-place", "app"])))
            .exits(1, &["cannot write"]);
        assert!(xpost.read("app") == input);
        assert_eq!(xpost.list(), ["app", "no-program", "xpost"]);
    }
}

#[test]
fn eu_strip_s_options_lead_to_the_same_files() {
    let arguments = ["-f", "kept/half", "-o", "slim", "app"];
    let (xpost, theirs) = (with_app(), with_app());
    for home in [&xpost, &theirs] {
        std::fs::create_dir(home.path("kept")).unwrap();
    }
    xpost.run([&["slim"], &arguments[..]].concat()).succeeds();
    let mut eu_strip = tools::tool("eu-strip", theirs.home());
    tools::stdout(eu_strip.current_dir(theirs.home()).args(arguments));
    assert_eq!(xpost.list(), theirs.list());
    let info = |home: &Xpost| {
        let bytes = home.read("kept/half");
        let elf = Elf::parse(&bytes).unwrap();
        elf.contents(elf.section_named(b".debug_info").unwrap()).unwrap().into_owned()
    };
    assert!(info(&xpost) == info(&theirs));
    // Without -o it would work in place, which xpost does not do unasked.
    xpost.run(["slim", "-f", "half", "app"]).exits(2, &["--output or --in-place", "eu-strip"]);
}

#[test]
fn a_program_goes_through_pipes() {
    let xpost = with_app();
    let input = xpost.read("app");
    xpost.run(["slim", "-o", "file", "--debug-out", "file.half", "app"]).succeeds();
    let arguments = ["slim", "-o", "-", "--debug-out", "pipe.half", "-"];
    let (slim, ran) = piped(&xpost, &arguments, &input);
    let ran = ran.exits(0, &["standard output", "build-id", "pipe.half"]);
    assert!(xpost.read("pipe.half") == xpost.read("file.half"), "{ran:?}");
    law::hold(&law::Halves { input: input.clone(), slim, debug: Some(xpost.read("pipe.half")) });

    let (_, ran) = piped(&xpost, &["slim", "--name", "tally", "-"], &input);
    ran.succeeds();
    assert!(xpost.list().contains(&"xpost-out/linux-amd64/tally.debug".to_owned()));
    let (slim, ran) = piped(&xpost, &["slim", "-q", "-o", "-", "--no-debug-file", "app"], b"");
    assert!(ran.exits(0, &[]).stderr.is_empty() && slim.starts_with(b"\x7fELF"));
    let (nothing, ran) = piped(&xpost, &["slim", "-o", "-", "--no-debug-file", "-"], b"no program");
    ran.exits(8, &["cannot slim standard input"]);
    assert!(nothing.is_empty());
}

#[test]
fn a_reader_that_goes_away_gets_no_debug_file_written_for_it() {
    let xpost = with_app();
    let mut command = xpost.command(["slim", "-o", "-", "--debug-out", "half", "app"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it is there");
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "half a program is none");
    assert_eq!(xpost.list(), ["app"]);
}

#[test]
fn places_that_contradict_each_other_are_usage_errors() {
    let xpost = with_app();
    let cases: [(&[&str], &str); 10] = [
        (&["-"], "give --output or --name"),
        (&["--in-place", "-"], "give --output or --name"),
        (&["-o", "-", "app"], "--debug-out or --no-debug-file"),
        (&["-o", "-", "--no-debug-file", "--json", "app"], "takes the place of --json"),
        (&["-p", "app"], "--output or --in-place"),
        (&["-p", "-o", "out", "-"], "a file to take them from"),
        (&["--debug-out", "half", "app"], "--output or --in-place"),
        (&["--in-place", "-o", "out", "app"], "cannot be used with"),
        (&["--in-place", "--name", "x", "app"], "cannot be used with"),
        (&["--in-place", "--debug-out", "half", "app", "app"], "takes one input file"),
    ];
    for (arguments, said) in cases {
        xpost.run([&["slim"], arguments].concat()).exits(2, &[said]);
    }
    xpost.run(["slim", "-o", "app", "app"]).exits(2, &["replace the input", "--in-place"]);
    assert_eq!(xpost.list(), ["app"]);
}

#[test]
fn an_input_that_shrinks_meanwhile_is_an_error_that_leaves_nothing() {
    let mut file = Builder::usual();
    file.change(".debug_info").bytes = vec![7; 64 << 20];
    let bytes = file.build();
    let shrinks_midway = || {
        let xpost = xpost();
        let input = xpost.put("app", &bytes);
        let mut slim =
            xpost.command(["slim", "-o", "slim", "--compress-debug-sections=none", "app"]);
        let mut child = slim.stderr(Stdio::piped()).spawn().unwrap();
        // The outputs have other names until they are whole.
        while xpost.list() == ["app"] && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        std::fs::OpenOptions::new().write(true).open(&input).unwrap().set_len(4096).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        match output.status.code() {
            Some(0) => assert_eq!(xpost.list(), ["app", "slim", "slim.debug"]),
            Some(1) => assert_eq!(xpost.list(), ["app"], "{said}"),
            // None is a signal.
            code => panic!("{code:?}: {said}"),
        }
        said.contains("it was changed while it was read")
    };
    assert!((0..20).any(|_| shrinks_midway()), "no run was caught midway");
}

#[test]
fn nothing_but_a_file_makes_way_for_an_output() {
    let xpost = with_app();
    tools::stdout(Command::new("mkfifo").arg(xpost.path("pipe")));
    for flags in [["-o", "pipe", "-f", "debug"], ["-o", "slim", "-f", "pipe"]] {
        let ran = xpost.run([&["slim", "app"][..], &flags].concat());
        ran.exits(1, &["cannot write pipe", "a pipe or a device"]);
    }
    let kind = xpost.path("pipe").metadata().unwrap().file_type();
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(&kind));
    assert!(!xpost.path("slim").exists() && !xpost.path("debug").exists());
    // Nobody named this file.
    xpost.put("app.debug", b"notes");
    let before = xpost.read("app");
    let ran = xpost.run(["slim", "--in-place", "app"]);
    ran.exits(2, &["app.debug is there and is no debug file", "--debug-out"]);
    assert!(xpost.read("app.debug") == b"notes" && xpost.read("app") == before);
    xpost.run(["slim", "-o", "slim", "-f", "-", "app"]).exits(2, &["--debug-out takes a file"]);
}

#[test]
fn what_leaves_a_private_file_is_private() {
    let xpost = with_app();
    set_mode(&xpost.path("app"), 0o700);
    xpost.run(["slim", "-o", "slim", "--build-id-tree", "tree", "app"]).succeeds();
    xpost.run(["slim", "--in-place", "app"]).succeeds();
    assert_eq!(["slim", "app"].map(|name| mode(&xpost.path(name))), [0o700; 2]);
    let debug = ["slim.debug", "app.debug"].map(|name| mode(&xpost.path(name)));
    assert_eq!(debug, [0o600; 2]);
}
