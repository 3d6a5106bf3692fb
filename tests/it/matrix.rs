//! Servers × foreign programs, both ways: the table in `docs/registries.md` is what happened here.

use serde_json::Value;

use crate::support::release::{self, push};
use crate::support::server::{Auth, Kind, PASSWORD, Server, login};
use crate::support::tools;
use crate::support::xpost::Xpost;

const SERVERS: [(&str, Kind, Auth); 8] = [
    ("distribution 3.1", Kind::Distribution, Auth::Open),
    ("distribution 3.1, password", Kind::Distribution, Auth::Basic),
    ("distribution 3.1, token", Kind::Distribution, Auth::Token),
    ("distribution 2.8", Kind::DockerRegistry, Auth::Open),
    ("distribution 2.8, password", Kind::DockerRegistry, Auth::Basic),
    ("distribution 2.8, token", Kind::DockerRegistry, Auth::Token),
    ("ociserver (referrers API)", Kind::Cuelabs, Auth::Open),
    ("go-containerregistry (referrers API)", Kind::Ggcr, Auth::Open),
];

const PROGRAMS: [&str; 4] = ["oras", "crane", "regctl", "skopeo"];

/// What came through: all, or the platforms' files without what refers to them.
const ALL: &str = "all";
const FILES: &str = "files";

fn run(at: &Xpost, program: &str, arguments: &[&str]) {
    tools::stdout(tools::tool(program, at.home()).current_dir(at.home()).args(arguments));
}

/// Copies with a foreign program, from where it can read to where it can write.
fn copy(at: &Xpost, program: &str, host: &str, from: &str, to: &str) {
    let registry = |reference: &str| reference.starts_with(host);
    let layout = |reference: &str| reference.strip_prefix("oci:").map(str::to_owned);
    match program {
        "oras" => {
            let mut arguments = vec!["cp".to_owned(), "-r".to_owned()];
            for (side, reference) in [("from", from), ("to", to)] {
                let word = if registry(reference) { "plain-http" } else { "oci-layout" };
                arguments.push(format!("--{side}-{word}"));
            }
            arguments.extend(
                [from, to].map(|reference| layout(reference).unwrap_or(reference.to_owned())),
            );
            run(at, "oras", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        }
        "crane" => match (layout(from), layout(to)) {
            (Some(from), _) => {
                let directory = from.rsplit_once(':').unwrap().0.to_owned();
                run(at, "crane", &["push", "--index", &directory, to]);
            }
            (_, Some(to)) => {
                let directory = to.rsplit_once(':').unwrap().0.to_owned();
                run(at, "crane", &["pull", "--format", "oci", from, &directory]);
            }
            _ => run(at, "crane", &["copy", from, to]),
        },
        "regctl" => {
            let name = |reference: &str| match layout(reference) {
                Some(layout) => format!("ocidir://{layout}"),
                None => reference.to_owned(),
            };
            let host = format!("reg={host},tls=disabled");
            let copy = ["image", "copy", "--referrers", &name(from), &name(to)];
            run(at, "regctl", &[&["--host", &host], &copy[..]].concat());
        }
        _ => {
            let name = |reference: &str| match registry(reference) {
                true => format!("docker://{reference}"),
                false => reference.to_owned(),
            };
            let copy = ["copy", "-q", "-a", "--src-tls-verify=false", "--dest-tls-verify=false"];
            run(at, "skopeo", &[&copy[..], &[&name(from), &name(to)]].concat());
        }
    }
}

/// How much of the release is there, by what xpost finds.
fn arrived(at: &Xpost, reference: &str, digest: &str) -> &'static str {
    let pulled = at.run(["pull", reference, "-o", "site", "--json"]).succeeds().json();
    assert_eq!(pulled["digest"], digest, "{reference}");
    assert_eq!(at.read("site/app"), at.read("xpost-out/linux-amd64/app"));
    let verified = at.run(["verify", reference, "--key", "release.pub"]);
    if verified.exit == 0 {
        assert!(!verified.stdout.contains("not there"), "{verified:?}");
        return ALL;
    }
    verified.exits(4, &["is not signed"]);
    FILES
}

/// One cell: what the program makes of what xpost pushed, and xpost of what the program pushed.
fn cell(at: &Xpost, program: &str, host: &str, digest: &str) -> String {
    let pushed = format!("{host}/org/app:v1");
    let (down, up) = (format!("oci:{program}:v1"), format!("{host}/{program}/app:v1"));
    copy(at, program, host, &pushed, &down);
    // crane notes no tag in a layout.
    let down = if program == "crane" { format!("oci:crane@{digest}") } else { down };
    let theirs = arrived(at, &down, digest);
    // crane pushes all that a layout's index.json names; so of one with a single entry.
    let source = if program == "crane" { "oci:single:v1" } else { "oci:lay:v1" };
    copy(at, program, host, source, &up);
    let up = if program == "crane" { unwrapped(at, &up) } else { up };
    let ours = arrived(at, &up, digest);
    assert_eq!(theirs, ours, "{program}");
    theirs.to_owned()
}

/// `crane push --index` pushes index.json itself: the release is in it.
fn unwrapped(at: &Xpost, reference: &str) -> String {
    let mut crane = tools::tool("crane", at.home());
    let manifest = tools::stdout(crane.current_dir(at.home()).args(["manifest", reference]));
    let index: Value = serde_json::from_str(&manifest).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    format!("{}@{digest}", reference.rsplit_once(':').unwrap().0)
}

#[test]
fn the_table_of_servers_and_programs_is_what_happens() {
    let mut table =
        format!("| server | xpost | {} |\n|---|{}\n", PROGRAMS.join(" | "), "---|".repeat(5));
    let rows: Vec<String> = std::thread::scope(|scope| {
        let row = |(name, kind, auth)| scope.spawn(move || row(name, kind, auth));
        let rows: Vec<_> = SERVERS.into_iter().map(row).collect();
        rows.into_iter().map(|row| row.join().unwrap()).collect()
    });
    table.extend(rows);
    let path = tools::root().join("docs/registries.md");
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page.contains(&table), "docs/registries.md has another table than:\n{table}");
}

fn row(name: &str, kind: Kind, auth: Auth) -> String {
    let (at, server) = (release::small(), Server::start_with(kind, auth));
    let host = server.localhost();
    if auth != Auth::Open {
        at.put(".docker/config.json", login(&host, PASSWORD));
    }
    let reference = format!("{host}/org/app:v1");
    let digest = push(&at, &reference);
    push(&at, "oci:lay:v1");
    at.run(["push", "--no-debug", "oci:single:v1"]).succeeds();
    single(&at);
    at.run(["copy", &reference, &format!("{host}/xpost/app:v1")]).succeeds();
    let own = arrived(&at, &format!("{host}/xpost/app:v1"), &digest);
    let cells: Vec<String> =
        PROGRAMS.iter().map(|program| cell(&at, program, &host, &digest)).collect();
    format!("| {name} | {own} | {} |\n", cells.join(" | "))
}

/// Leaves of a layout's index.json the release alone.
fn single(at: &Xpost) {
    let mut index: Value = serde_json::from_slice(&at.read("single/index.json")).unwrap();
    let entries = index["manifests"].as_array_mut().unwrap();
    entries.retain(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == "v1");
    at.put("single/index.json", index.to_string());
}
