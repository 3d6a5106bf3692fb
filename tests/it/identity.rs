//! New build-ids in place of old ones.

use serde_json::{Value, json};

use xpost::elf::Elf;

use crate::build_id::{c, command, shows, slim, slimmed, strips};
use crate::support::corpus::get;
use crate::support::tools;
use crate::support::xpost::Xpost;

/// What `--build-id rewrite` makes of a file.
fn rewritten(xpost: &Xpost, from: &str, to: &str) -> Value {
    let ran = xpost.run(["slim", "--json", "--build-id", "rewrite", "-o", to, from]);
    ran.succeeds().json()["files"][0].clone()
}

#[test]
fn a_new_id_is_the_same_however_often_it_is_asked_for() {
    for name in ["c-musl", "go", "c-nobuildid", "c-musl-nobuildid", "go-arm"] {
        let (xpost, old) = slimmed(get(name), &["--build-id", "keep"]);
        let first = rewritten(&xpost, "input", "slim");
        let id = first["buildId"].as_str().unwrap();
        assert_ne!(first["buildId"], old["buildId"], "{name}");
        shows(&xpost, get(name), id);
        strips(&xpost, get(name), id);
        // Of the input again, of what came of it, and of what another tool stripped.
        assert_eq!(rewritten(&xpost, "input", "other")["buildId"], first["buildId"], "{name}");
        let again = rewritten(&xpost, "slim", "again");
        assert_eq!(again["buildId"], first["buildId"], "{name}");
        assert_eq!(again["identity"]["methods"], json!([]), "{name}");
        assert!(xpost.read("again") == xpost.read("slim"), "{name}");
        if get(name).emulator().is_some() {
            continue;
        }
        let strip = ["-o", "stripped", "input"];
        tools::stdout(command("strip").args(strip).current_dir(xpost.home()));
        assert_eq!(rewritten(&xpost, "stripped", "other")["buildId"], first["buildId"], "{name}");
    }
}

#[test]
fn a_new_id_outside_the_first_page_is_no_obstacle_to_restoring() {
    let xpost = c("musl-gcc", &["-static-pie", "-fPIE"]);
    let inject = ["slim", "--build-id=inject=unloaded", "--keep-symtab", "-o", "noted", "input"];
    xpost.run(inject).succeeds();
    let mut bytes = xpost.read("noted");
    let elf = Elf::parse(&bytes).unwrap();
    let at = elf.section_named(b".note.gnu.build-id").unwrap().range().end as usize - 20;
    assert!(at > 4096, "the note is behind the first page");
    bytes[at..at + 20].fill(0xab);
    xpost.put("noted", &bytes);
    let as_it_is = ["--compress-debug-sections=none", "--no-merge-strings"];
    let rewrite = ["slim", "--build-id", "rewrite", "-o", "slim", "noted"];
    xpost.run([&rewrite[..], &as_it_is].concat()).succeeds();
    let said = xpost.run(["restore", "slim", "slim.debug", "-o", "restored"]).succeeds();
    assert!(said.stdout.contains("by contents"), "{said:?}");
}
