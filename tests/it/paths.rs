//! What others publish in directories: files below them, and directories that oras packed.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::release::refused;
use crate::support::server::{Kind, Server};
use crate::support::tools;
use crate::support::xpost::{Xpost, xpost};

fn oras(at: &Xpost, arguments: &[&str]) {
    tools::stdout(tools::tool("oras", at.home()).current_dir(at.home()).args(arguments));
}

/// Two directories with the same names, kinds, modes, links and contents.
fn same(at: &Xpost, one: &str, other: &str) {
    let list = |root: &str| {
        let mut find = Command::new("find");
        let find = find.current_dir(at.path(root)).args([".", "-printf", "%P %y %m %l\n"]);
        let mut lines: Vec<_> = tools::stdout(find).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(list(one), list(other));
    tools::stdout(Command::new("diff").current_dir(at.home()).args([
        "-r",
        "--no-dereference",
        one,
        other,
    ]));
}

#[test]
fn what_oras_pushed_from_directories_is_pulled_as_oras_pulls_it() {
    let (at, server) = (xpost(), Server::start(Kind::Distribution));
    at.put("sub/file.txt", "file");
    at.put("sub/deep/run", "#!/bin/sh\n");
    at.put("other/sub/file.txt", "other");
    at.put("plain/a/b.txt", "b");
    std::fs::create_dir_all(at.path("sub/deep/empty")).unwrap();
    std::fs::set_permissions(at.path("sub/deep/run"), std::fs::Permissions::from_mode(0o755))
        .unwrap();
    at.put("sub/private/key", "key");
    at.put("sub/private/shared", "shared");
    for (path, mode) in [("private", 0o700), ("private/key", 0o600), ("file.txt", 0o640)] {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(at.path("sub").join(path), mode).unwrap();
    }
    symlink("deep/run", at.path("sub/link")).unwrap();
    symlink("../file.txt", at.path("sub/deep/up")).unwrap();
    symlink("deep/", at.path("sub/slash")).unwrap();
    symlink("./", at.path("sub/dot")).unwrap();
    let reference = format!("{}/org/files:v1", server.localhost());
    oras(&at, &["push", "--plain-http", &reference, "sub", "other/", "plain/a/b.txt:text/plain"]);
    oras(&at, &["pull", "--plain-http", "-o", "theirs", &reference]);
    let pulled = at.run(["pull", &reference, "-o", "ours", "--json"]).succeeds().json();
    same(&at, "ours", "theirs");
    let files = pulled["files"].as_array().unwrap();
    let paths: Vec<_> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"ours/sub/deep/run") && paths.contains(&"ours/plain/a/b.txt"));
    assert_eq!(files.len(), 6, "{pulled}");
    // A second time over what is there, and not through somebody's link.
    at.put("ours/sub/file.txt", "changed");
    at.run(["pull", &reference, "-o", "ours"]).succeeds();
    same(&at, "ours", "theirs");
    // The directory itself, as `oras push REF .` has it: what is in it lies side by side with other files.
    let here = format!("{}/org/here:v1", server.localhost());
    std::fs::set_permissions(at.path("sub"), std::fs::Permissions::from_mode(0o750)).unwrap();
    let mut push = tools::tool("oras", at.home());
    tools::stdout(push.current_dir(at.path("sub")).args(["push", "--plain-http", &here, "."]));
    at.run(["pull", &here, "-o", "here"]).succeeds();
    same(&at, "here", "sub");
    // What is there and cannot give way is seen before anything changes.
    for (script, said) in [
        ("rm sub/link; mkdir sub/link", "ours/sub/link"),
        ("rm -r sub/deep/empty; echo > sub/deep/empty", "it is no directory"),
        ("rm sub/file.txt; mkdir sub/file.txt", "it is a directory"),
    ] {
        std::fs::remove_dir_all(at.path("ours")).unwrap();
        at.run(["pull", &reference, "-o", "ours"]).succeeds();
        let mut shell = Command::new("bash");
        let script = format!("cd ours; echo changed > other/sub/file.txt; {script}");
        tools::stdout(shell.current_dir(at.home()).args(["-euc", &script]));
        at.run(["pull", &reference, "-o", "ours"]).exits(1, &[said]);
        assert_eq!(at.read("ours/other/sub/file.txt"), b"changed\n");
    }
    for link in ["sub", "sub/deep", "plain/a"] {
        std::fs::remove_dir_all(at.path("ours")).unwrap();
        std::fs::create_dir_all(at.path("ours").join(link).parent().unwrap()).unwrap();
        std::fs::create_dir_all(at.path("outside")).unwrap();
        symlink(at.path("outside"), at.path("ours").join(link)).unwrap();
        let said = [link, "is a symbolic link"];
        at.run(["pull", &reference, "-o", "ours"]).exits(1, &said);
        std::fs::remove_file(at.path("ours").join(link)).unwrap();
        std::fs::create_dir_all(at.path("ours")).unwrap();
    }
    assert_eq!(std::fs::read_dir(at.path("outside")).unwrap().count(), 0);
}

/// A layout with one file under a title of one's own, as a packed directory if that is wanted.
fn layout(at: &Xpost, titles: &[(&str, &str)], more: &Value) {
    let _ = std::fs::remove_dir_all(at.path("lay"));
    let mut notes = json!({});
    for (file, title) in titles {
        notes[file] = more.clone();
        notes[file]["org.opencontainers.image.title"] = json!(title);
    }
    at.put("notes.json", notes.to_string());
    let files = titles.iter().map(|(file, _)| *file);
    let push = ["push", "--oci-layout", "--annotation-file", "notes.json", "lay:v1"];
    oras(at, &push.into_iter().chain(files).collect::<Vec<_>>());
}

#[test]
fn titles_lead_nowhere_else_and_none_takes_another_s_place() {
    let at = xpost();
    at.put("one", "1");
    at.put("two", "2");
    for (titles, said) in [
        (["../x", "y"], "it leads to another directory"),
        (["/etc/x", "y"], "it leads to another directory"),
        (["a/../../x", "y"], "it leads to another directory"),
        (["a//x", "y"], "it is empty"),
        (["a/CON", "y"], "it is a device of Windows"),
        (["C:/x", "y"], "characters that Windows does not take"),
        ([r"a\x", "y"], "it leads to another directory"),
        (["a/\u{1b}x", "y"], "it has control characters"),
        (["App", "app"], "on systems where case does not count"),
        (["a/x", "A/X"], "on systems where case does not count"),
        (["a", "a/x"], "\"a\" is a file"),
        (["a/x", "a"], "there are files in a directory of that name"),
    ] {
        layout(&at, &[("one", titles[0]), ("two", titles[1])], &json!({}));
        refused(&at, &["pull", "oci:lay:v1", "-o", "site"], 8, &["is no file name", said]);
    }
    layout(&at, &[("one", "debug/.build-id/ab/cdef.debug"), ("two", "y")], &json!({}));
    let said = ["debug files go into a directory of that name"];
    refused(&at, &["pull", "oci:lay:v1", "-o", "site", "--debug"], 8, &said);
    layout(&at, &[("one", "a/x"), ("two", "A/y")], &json!({}));
    at.run(["pull", "oci:lay:v1", "-o", "site"]).succeeds();
    assert_eq!((at.read("site/a/x"), at.read("site/A/y")), (b"1".to_vec(), b"2".to_vec()));
    at.put("App", "1");
    at.put("dir/app", "2");
    let both = ["push", "oci:both:v1", "App", "dir/app"];
    refused(&at, &both, 2, &["on systems where case does not count"]);
}

/// Packs with GNU tar, in a directory that it first fills by a script.
fn packed(at: &Xpost, script: &str) {
    std::fs::create_dir_all(at.path("in/d")).unwrap();
    let mut shell = Command::new("bash");
    tools::stdout(shell.current_dir(at.path("in")).args(["-euc", script]));
    std::fs::rename(at.path("in/p.tgz"), at.path("p.tgz")).unwrap();
    std::fs::remove_dir_all(at.path("in")).unwrap();
}

#[test]
fn a_packed_directory_holds_nothing_that_leads_out_of_it_or_grows_without_end() {
    let at = xpost();
    let unpack = json!({ "io.deis.oras.content.unpack": "true" });
    at.put("secret", "secret");
    for (script, said) in [
        ("echo x > x; tar czPf p.tgz d --transform 's,^x$,d/../../x,' x", "another directory"),
        ("echo x > x; tar czPf p.tgz d --transform 's,^x$,/tmp/x,' x", "it does not lie in d"),
        ("echo x > x; tar czf p.tgz d x", "it does not lie in d"),
        ("echo x > dx; tar czf p.tgz dx", "it does not lie in d"),
        ("ln -s ../secret d/l; tar czf p.tgz d", "it links to \"../secret\""),
        ("ln -s /etc d/l; tar czf p.tgz d", "it links to \"/etc\""),
        ("mkdir d/e; ln -s .. d/e/u; ln -s e/u/../../secret d/l; tar czf p.tgz d", "it links to"),
        (
            "ln -s . d/l; tar cf p d; rm d/l; mkdir d/l; echo x > d/l/x; tar rf p d/l/x; gzip -c p > p.tgz",
            "\"d/l\" is a file",
        ),
        ("echo x > d/x; ln d/x d/y; tar czf p.tgz d", "neither a file"),
        ("mkfifo d/x; tar czf p.tgz d", "neither a file"),
        (r"echo x > d/$'\xe9t\xe9'; tar czf p.tgz d", "its name is not UTF-8"),
        (r"ln -s $'\xe9t\xe9' d/l; tar czf p.tgz d", "what it links to is not UTF-8"),
        ("echo x > d/x; echo y > d/X; tar czf p.tgz d", "case does not count"),
        ("echo x > d/nul; tar czf p.tgz d", "device of Windows"),
        ("truncate -s 100M d/zeros; tar czf p.tgz d", "it grows to more than"),
        (
            "head -c 90000 /dev/urandom > d/x; tar cz d | head -c 70000 > p.tgz",
            "it does not unpack",
        ),
        ("echo text > p.tgz", "it does not unpack"),
        ("head -c 3000 /dev/urandom | gzip > p.tgz", "wrong checksum"),
    ] {
        packed(&at, script);
        layout(&at, &[("p.tgz", "d")], &unpack);
        let ran =
            refused(&at, &["pull", "oci:lay:v1", "-o", "site"], 8, &["packed directory d", said]);
        assert!(!at.path("site").exists(), "{script}: {ran:?}");
    }
    packed(&at, "echo x > d/x; tar czf p.tgz d");
    let other = json!({
        "io.deis.oras.content.unpack": "true",
        "io.deis.oras.content.digest": format!("sha256:{}", "0".repeat(64)),
    });
    layout(&at, &[("p.tgz", "d")], &other);
    refused(&at, &["pull", "oci:lay:v1", "-o", "site"], 8, &["the digest should be sha256:0000"]);
    packed(&at, "echo x > One; tar czf p.tgz One");
    at.put("one", "1");
    let mut notes = json!({ "p.tgz": unpack.clone() });
    notes["p.tgz"]["org.opencontainers.image.title"] = json!(".");
    std::fs::remove_dir_all(at.path("lay")).unwrap();
    at.put("notes.json", notes.to_string());
    let push = ["push", "--oci-layout", "--annotation-file", "notes.json", "lay:v1"];
    oras(&at, &[&push[..], &["p.tgz", "one"]].concat());
    refused(
        &at,
        &["pull", "oci:lay:v1", "-o", "site"],
        8,
        &["\"One\"", "it is \"one\" on systems"],
    );
    packed(&at, "echo x > d/x; tar czf p.tgz d");
    // What is not to be unpacked stays a file.
    layout(&at, &[("p.tgz", "d.tgz")], &json!({}));
    at.run(["pull", "oci:lay:v1", "-o", "site"]).succeeds();
    assert_eq!(at.read("site/d.tgz"), at.read("p.tgz"));
    assert_eq!(at.read("secret"), b"secret");
}
