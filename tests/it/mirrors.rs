//! What of a release arrives at which registry by which tool: the table of the README, made anew.

use std::process::Command;

use crate::support::release::{self, push};
use crate::support::server::{ALL, Kind, Server};
use crate::support::tools;
use crate::support::xpost::Xpost;

const CARRIERS: [&str; 5] = [
    "`xpost copy`",
    "`oras cp -r`",
    "`regctl image copy --referrers`",
    "`crane copy`",
    "`skopeo copy -a`",
];

/// The command that carries a release from one registry to another.
fn carry(carrier: &str, at: &Xpost, from: &str, to: &str, hosts: [&str; 2]) -> Command {
    let words: Vec<&str> = carrier.trim_matches('`').split(' ').collect();
    if words[0] == "xpost" {
        return at.command([words[1], from, to]);
    }
    let mut command = tools::tool(words[0], at.home());
    match words[0] {
        "oras" => command.args(["cp", "-r", "--from-plain-http", "--to-plain-http", from, to]),
        "regctl" => {
            for host in hosts {
                command.args(["--host", &format!("reg={host},tls=disabled")]);
            }
            command.args(["image", "copy", "--referrers", from, to])
        }
        "skopeo" => command
            .args(["copy", "-a", "--src-tls-verify=false", "--dest-tls-verify=false"])
            .args([from, to].map(|reference| format!("docker://{reference}"))),
        _ => command.args([words[1], from, to]),
    };
    command
}

/// What a user finds there.
fn arrived(at: &Xpost, reference: &str, build_id: &str) -> &'static str {
    let verified = at.run(["verify", reference, "--key", "release.pub"]);
    if verified.exit == 4 {
        at.run(["pull", reference, "-o", "bare"]).succeeds();
        return "the files alone";
    }
    verified.succeeds();
    at.run(["pull", reference, "-o", "site", "--debug", "--key", "release.pub"]).succeeds();
    let tag = reference.replace(":v1", &format!(":{build_id}"));
    match at.run(["pull", &tag, "-o", "debug"]).exit {
        0 => "everything",
        _ => "all but `buildid-` tags",
    }
}

#[test]
fn the_readme_says_who_carries_what() {
    let (source, at) = (Server::start(Kind::Distribution), release::small());
    let from = format!("{}/app:v1", source.localhost());
    push(&at, &from);
    let pushed = at.run(["push", &from, "--json"]).succeeds().json();
    let build_id = pushed["receipt"]["build_id_tags"][0].as_str().unwrap();
    let servers = ALL.map(Server::start);
    let mut table =
        "| carried by | distribution 3 | distribution 2.8 | ociserver | go-containerregistry |\n\
                     |---|---|---|---|---|\n"
            .to_owned();
    for (row, carrier) in CARRIERS.iter().enumerate() {
        table += &format!("| {carrier} |");
        for server in &servers {
            let host = server.localhost();
            let to = format!("{host}/mirror{row}:v1");
            tools::stdout(&mut carry(carrier, &at, &from, &to, [&source.localhost(), &host]));
            table += &format!(" {} |", arrived(&at, &to, build_id));
        }
        table += "\n";
    }
    let readme = std::fs::read_to_string(tools::root().join("README.md")).unwrap();
    assert!(readme.contains(&table), "the README does not have this table:\n{table}");
}
