//! Build-ids at a price: the methods that are done by name alone, and new ids in place of old ones.

use std::process::Command;

use serde_json::{Value, json};

use xpost::elf::Elf;

use crate::build_id::{c, command, shows, slim, slimmed, strips};
use crate::support::corpus::{Binary, get};
use crate::support::tools;
use crate::support::xpost::Xpost;

/// Injects by a method that is named, and holds the outcome against all that can see a build-id.
fn by_name(binary: Binary, input: Option<Xpost>, method: &str) -> (Xpost, String) {
    let wish = format!("--build-id=inject={method}");
    let (xpost, json) = match input {
        Some(input) => slim(input, &[&wish]),
        None => slimmed(binary, &[&wish]),
    };
    assert_eq!(json["identity"]["methods"], json!([method]), "{json}");
    assert_eq!(json["identity"]["inCores"], true, "{json}");
    let id = json["buildId"].as_str().unwrap().to_owned();
    shows(&xpost, binary, &id);
    let again = xpost.run(["slim", "--json", "-o", "again", "slim"]).exits(0, &["slim already"]);
    assert_eq!(again.json()["files"][0]["identity"]["methods"], json!([]));
    (xpost, id)
}

#[test]
fn an_abi_tag_can_be_given_up_for_a_shorter_id() {
    let binary = get("c-glibc-static");
    for flags in [
        ["-static", "-Wl,-z,separate-code"],
        ["-static", "-Wl,-z,noseparate-code"],
        ["-static-pie", "-fPIE"],
        ["-static", "-fuse-ld=lld"],
        ["-static", "-fuse-ld=mold"],
    ] {
        let (xpost, id) = by_name(binary, Some(c("gcc", &flags)), "abitag-overwrite");
        assert_eq!(id.len(), 32, "16 bytes, as long as what the tag said");
        strips(&xpost, binary, &id);
        let said = tools::stdout(command("readelf").arg("-nW").arg(xpost.path("input")));
        assert!(said.contains("ABI: 3.2.0"), "{said}");
        let said = tools::stdout(command("readelf").arg("-nW").arg(xpost.path("slim")));
        assert!(!said.contains("ABI: 3.2.0"), "the tag is lost: {said}");
        // No section and no byte is new, so the input comes back.
        assert!(xpost.read("slim").len() < xpost.read("input").len());
        let split = ["--compress-debug-sections=none", "--no-merge-strings"];
        let split = [&["slim", "-o", "slim", "--build-id=inject=abitag-overwrite"], &split[..]];
        xpost.run([&split.concat()[..], &["input"]].concat()).succeeds();
        xpost.run(["restore", "slim", "slim.debug", "-o", "restored"]).succeeds();
        assert!(xpost.read("restored") == xpost.read("input"), "{flags:?}");
    }
}

#[test]
fn program_headers_can_move_to_where_there_is_room_for_one_more() {
    let glibc = by_name(get("c-nobuildid"), None, "move-phdrs");
    let musl = c("musl-gcc", &["-static-pie", "-fPIE"]);
    let musl = by_name(get("c-musl"), Some(musl), "move-phdrs");
    for (xpost, _) in [glibc, musl] {
        let said = tools::stdout(command("eu-readelf").arg("-l").arg(xpost.path("slim")));
        assert!(said.contains("NOTE"), "{said}");
        let ran = xpost.run(["slim", "--build-id=inject=move-phdrs", "-o", "said", "input"]);
        let ran = ran.succeeds();
        assert!(ran.stdout.contains("GNU strip and objcopy would now break the file"), "{ran:?}");
        xpost.run(["verify", "--load-identity", "said", "said.debug", "input"]).succeeds();
        // Which binutils 2.40 does: it puts sections where it takes the program headers to be.
        let strip = ["-o", "stripped", "slim"];
        tools::output(command("strip").args(strip).current_dir(xpost.home()));
        tools::failure(&mut Command::new(xpost.path("stripped")));
    }
}

#[test]
fn what_is_asked_for_by_name_is_refused_where_it_cannot_be_done() {
    let musl = c("musl-gcc", &["-static"]);
    let ran = musl.run(["slim", "--build-id=inject=abitag-overwrite", "-o", "no", "input"]);
    ran.exits(3, &["abitag-overwrite cannot be done: its layout leaves no room for it"]);
    let packed = c("gcc", &["-static", "-Wl,-z,noseparate-code"]);
    let ran = packed.run(["slim", "--build-id=inject=move-phdrs", "-o", "no", "input"]);
    ran.exits(3, &["move-phdrs cannot be done: its layout leaves no room for it"]);
}

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
