//! Runs that end in their middle, by a signal or a full disk: what they leave is whole or nothing, and the next one goes on.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use xpost::digest::Digest;

use crate::support::faulty::{Faulty, split};
use crate::support::release::{self, push};
use crate::support::server::{Kind, Server};
use crate::support::tools;
use crate::support::xpost::{Ran, Xpost};

/// Long, because two cores may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn unfinished(at: &Xpost) -> Vec<String> {
    at.list().into_iter().filter(|name| name.ends_with(".tmp")).collect()
}

fn send(signal: &str, child: &Child) {
    tools::stdout(Command::new("kill").arg(signal).arg(child.id().to_string()));
}

/// A registry whose blobs break off in their middle, again and again.
fn breaking(server: &Server) -> Faulty {
    Faulty::before(&server.host(), |_, asked, mut answer| {
        if asked.starts_with("GET") && asked.contains("/blobs/") {
            answer.truncate(split(&answer).0.len() + split(&answer).1.len() / 2);
        }
        answer
    })
}

/// Started, and in the middle of a file.
fn begun(at: &Xpost, mut command: Command) -> Child {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("no file is begun", || !unfinished(at).is_empty());
    child
}

#[test]
fn a_signal_leaves_nothing_half_done() {
    let (server, at) = (Server::start(Kind::Distribution), release::small());
    push(&at, &server.reference("app:v1"));
    let faulty = breaking(&server);
    let reference = faulty.reference("app:v1");
    let before = at.list();
    let signals = [("-INT", 2), ("-TERM", 15), ("-HUP", 1)];
    let commands: [&[&str]; 3] = [
        &["pull", &reference, "--debug", "-o", "new/site"],
        &["copy", &reference, "oci:lay:v1"],
        &["copy", &reference, "oci-archive:app.tar:v1"],
    ];
    for ((signal, number), arguments) in signals.into_iter().zip(commands) {
        let mut child = begun(&at, at.command(arguments));
        send(signal, &child);
        assert_eq!(child.wait().unwrap().signal(), Some(number), "{arguments:?}");
        assert_eq!(unfinished(&at), [""; 0], "{arguments:?}");
        for name in at.list().iter().filter(|name| !before.contains(name)) {
            let of_layout = ["lay/oci-layout", "lay/index.json"].contains(&name.as_str());
            let is_directory = name.ends_with('/') && !name.starts_with("new");
            assert!(of_layout || is_directory || is_whole(&at, name), "{name}");
        }
    }
    // Where the signal is to be ignored, it is.
    let mut ignoring = Command::new("bash");
    ignoring.current_dir(at.home()).args(["-c", "trap '' INT; exec \"$0\" \"$@\""]);
    ignoring.arg(env!("CARGO_BIN_EXE_xpost")).args(["pull", &reference, "-o", "other"]);
    let mut child = begun(&at, ignoring);
    send("-INT", &child);
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none());
    send("-TERM", &child);
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    assert_eq!(unfinished(&at), [""; 0]);
}

/// Whether a file is a blob of a layout with the digest that its name says.
fn is_whole(at: &Xpost, name: &str) -> bool {
    let hex = name.rsplit('/').next().unwrap();
    name.contains("/blobs/sha256/") && Digest::of(&at.read(name)).hex() == hex
}

#[test]
fn what_a_killed_run_left_goes_a_day_later() {
    let (server, at) = (Server::start(Kind::Distribution), release::small());
    push(&at, &server.reference("app:v1"));
    let faulty = breaking(&server);
    let mut child = begun(&at, at.command(["copy", &faulty.reference("app:v1"), "oci:lay:v1"]));
    // In the middle of a blob, and not of the two files that make a layout.
    until("no blob is begun", || unfinished(&at).iter().any(|name| name.contains("/sha256/")));
    child.kill().unwrap();
    child.wait().unwrap();
    let left = unfinished(&at);
    assert!(!left.is_empty());
    let copy = |tag: &str| {
        at.run(["copy", &server.reference("app:v1"), &format!("oci:lay:{tag}")]).succeeds();
        at.run(["verify", &format!("oci:lay:{tag}"), "--key", "release.pub"]).succeeds();
    };
    copy("v1");
    assert_eq!(unfinished(&at), left);
    for name in &left {
        let file = std::fs::File::options().write(true).open(at.path(name)).unwrap();
        let then = file.metadata().unwrap().modified().unwrap();
        file.set_modified(then - Duration::from_secs(25 * 60 * 60)).unwrap();
    }
    // Looked for where something is written, and nothing is here.
    copy("v1");
    std::fs::remove_file(a_blob(&at)).unwrap();
    copy("v1");
    assert_eq!(unfinished(&at), [""; 0]);
}

fn a_blob(at: &Xpost) -> PathBuf {
    let name = at.list().into_iter().find(|name| {
        name.contains("/sha256/") && name.len() > 70 && at.read(name).starts_with(b"\x7fELF")
    });
    at.path(name.expect("a layout has blobs"))
}

#[test]
fn a_full_disk_is_said_with_the_file_and_leaves_whole_blobs_alone() {
    let (server, at) = (Server::start(Kind::Distribution), release::small());
    let reference = server.reference("app:v1");
    push(&at, &reference);
    // No file may be larger than 4 KiB; what a write beyond that is told stands in for "no space left".
    let limited = |arguments: &[&str]| {
        let mut command = Command::new("bash");
        let script = "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\"";
        command.current_dir(at.home()).args(["-c", script]);
        command.env("DOCKER_CONFIG", at.path(".docker"));
        command.arg(env!("CARGO_BIN_EXE_xpost")).args(arguments);
        Ran::of(&tools::output(&mut command))
    };
    let said = |path: &str| ["cannot write ".to_owned() + path, "File too large".to_owned()];
    let full = |arguments: &[&str], path: &str| {
        let ran = limited(arguments);
        let said = said(path);
        ran.exits(1, &said.iter().map(String::as_str).collect::<Vec<_>>())
    };
    full(&["pull", &reference, "-o", "site"], "site/app");
    assert!(!at.path("site").exists());
    full(&["copy", &reference, "oci-archive:app.tar:v1"], "app.tar");
    assert!(!at.path("app.tar").exists());
    full(&["copy", &reference, "oci:lay:v1"], "lay/blobs/sha256/");
    full(&["push", "oci:own:v1"], "own/blobs/sha256/");
    assert_eq!(unfinished(&at), [""; 0]);
    let blobs: Vec<_> = at.list().into_iter().filter(|name| name.contains("/sha256/")).collect();
    assert!(blobs.iter().any(|name| name.starts_with("lay/") && !name.ends_with('/')), "{blobs:?}");
    assert!(blobs.iter().all(|name| name.ends_with('/') || is_whole(&at, name)), "{blobs:?}");
    release::refused(&at, &["verify", "oci:lay:v1", "--key", "release.pub"], 5, &["has no tag v1"]);
    // With room it goes on.
    at.run(["copy", &reference, "oci:lay:v1"]).succeeds();
    at.run(["verify", "oci:lay:v1", "--key", "release.pub"]).succeeds();
}
