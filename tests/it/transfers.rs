//! How bytes get to a registry and back: mounted, through a proxy, over TLS with an authority of one's own.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::faulty::{self, Faulty, answer};
use crate::support::release::{self, push};
use crate::support::server::{Auth, Kind, PASSWORD, Server, login};
use crate::support::tools;
use crate::support::xpost::{Ran, Xpost};

#[test]
fn a_copy_within_a_registry_sends_no_blob() {
    for (kind, auth) in [(Kind::Distribution, Auth::Token), (Kind::DockerRegistry, Auth::Basic)] {
        let (server, at) = (Server::start_with(kind, auth), release::small());
        let host = server.localhost();
        at.put(".docker/config.json", login(&host, PASSWORD));
        let digest = push(&at, &format!("{host}/from:v1"));
        let (from, to) = (format!("{host}/from:v1"), format!("{host}/org/to:v1"));
        let copied = at.run(["copy", &from, &to, "--json"]).succeeds().json();
        assert_eq!(copied["digest"], digest, "{copied}");
        let blobs = copied["receipt"]["blobs"].as_array().unwrap();
        assert!(blobs.iter().all(|blob| blob["state"] == "mounted"), "{copied}");
        assert!(blobs.len() > 5, "{copied}");
        at.run(["verify", &to, "--key", "release.pub"]).succeeds();
    }
}

/// With variables of the environment.
fn run(at: &Xpost, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = at.command(arguments);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    Ran::of(&tools::output(command.envs(environment.iter().copied())))
}

#[test]
fn a_proxy_is_used_where_the_environment_names_one() {
    let (server, at) = (Server::start(Kind::Distribution), release::small());
    let proxy = Faulty::before(&server.host(), |_, _, answer| answer);
    let reference = "registry.test:5000/app:v1";
    let through = [("http_proxy", proxy.url())];
    let through: Vec<(&str, &str)> = through.iter().map(|(n, url)| (*n, url.as_str())).collect();
    run(&at, &["push", reference, "--plain-http"], &through).succeeds();
    assert!(proxy.asked() > 10);
    let asked = proxy.asked();
    let past = [through.as_slice(), &[("no_proxy", "registry.test")]].concat();
    run(&at, &["pull", reference, "--plain-http"], &past).exits(7, &["registry.test"]);
    // A registry of this machine is not reached by way of another.
    run(&at, &["pull", &server.reference("app:v1"), "-o", "site"], &through).succeeds();
    assert_eq!(proxy.asked(), asked);
}

#[test]
fn an_authority_of_ones_own_is_trusted_where_it_is_named() {
    let at = release::small();
    let certify = |name: &str, more: &[&str]| {
        let (key, file) = (format!("{name}.key"), format!("{name}.pem"));
        let mut openssl = tools::tool("openssl", at.home());
        openssl.current_dir(at.home()).args(["req", "-x509", "-newkey", "ec", "-nodes"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]);
        openssl.args(["-subj", &format!("/CN={name}"), "-keyout", &key, "-out", &file]);
        tools::stdout(openssl.args(more));
    };
    certify("authority", &[]);
    let of = ["-CA", "authority.pem", "-CAkey", "authority.key"];
    let name = ["-addext", "subjectAltName=DNS:registry.test"];
    let end = ["-addext", "basicConstraints=critical,CA:FALSE"];
    certify("tls", &[of.as_slice(), &name, &end].concat());
    let server = Server::start_with_tls(&at.path("tls.pem"), &at.path("tls.key"));
    let proxy = Faulty::before(&server.host(), |_, _, answer| answer);
    let (reference, url) = ("registry.test/app:v1", proxy.url());
    let through = [("https_proxy", url.as_str())];
    run(&at, &["push", reference], &through).exits(1, &["no trusted TLS connection", "--ca-file"]);
    run(&at, &["push", reference, "--ca-file", "authority.pem"], &through).succeeds();
    run(&at, &["pull", reference, "--ca-file", "authority.pem", "-o", "site"], &through).succeeds();
    run(&at, &["push", reference, "--ca-file", "release.pub"], &through)
        .exits(1, &["holds no PEM certificate"]);
}

#[test]
fn a_certificate_that_signed_itself_is_trusted_where_it_is_named_as_others_do() {
    let at = release::small();
    let certify = |name: &str, addresses: &str| {
        let mut openssl = tools::tool("openssl", at.home());
        openssl.current_dir(at.home()).args(["req", "-x509", "-newkey", "ec", "-nodes"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2", "-addext"]);
        openssl.arg(format!("subjectAltName={addresses}")).args(["-subj", "/CN=registry"]);
        let (key, file) = (format!("{name}.key"), format!("{name}.pem"));
        tools::stdout(openssl.args(["-keyout", &key, "-out", &file]));
    };
    certify("ours", "DNS:localhost,IP:127.0.0.1");
    certify("other", "DNS:localhost,IP:127.0.0.1");
    certify("misnamed", "DNS:registry.test");
    let mut openssl = tools::tool("openssl", at.home());
    let text =
        tools::stdout(openssl.args(["x509", "-noout", "-text", "-in"]).arg(at.path("ours.pem")));
    assert!(text.contains("CA:TRUE"), "{text}");
    let start = |name: &str| {
        let (pem, key) = (at.path(format!("{name}.pem")), at.path(format!("{name}.key")));
        Server::start_with_tls(&pem, &key)
    };
    let server = start("ours");
    let reference = format!("{}/app:v1", server.localhost());
    let with = |file: &'static str| ["push", &reference, "--plain-http=false", "--ca-file", file];
    at.run(with("ours.pem")).succeeds();
    let pulled = ["pull", &reference, "--plain-http=false", "--ca-file", "ours.pem", "-o", "site"];
    at.run(pulled).succeeds();
    let oras = |arguments: &[&str]| {
        let mut oras = tools::tool("oras", at.home());
        oras.current_dir(at.home()).args(arguments).args(["--ca-file", "ours.pem"]);
        tools::stdout(&mut oras)
    };
    oras(&["manifest", "fetch", "--plain-http=false", &reference]);
    // Another one, also of that name, is another one.
    at.run(with("other.pem")).exits(1, &["no trusted TLS connection"]);
    at.run(["push", &reference, "--plain-http=false"])
        .exits(1, &["--ca-file FILE for one whose certificate signed itself"]);
    let misnamed = start("misnamed");
    let there = format!("{}/app:v1", misnamed.localhost());
    at.run(["push", &there, "--plain-http=false", "--ca-file", "misnamed.pem"])
        .exits(1, &["no trusted TLS connection", "not valid for name"]);
    // Whoever speaks the wrong language hears which.
    for arguments in [["push", &reference], ["verify", &reference], ["login", &server.localhost()]]
    {
        let mut command = at.command(arguments);
        match arguments[0] {
            "verify" => command.args(["--key", "release.pub"]),
            "login" => command.args(["--username", "u", "--password-stdin"]),
            _ => &mut command,
        };
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(b"p");
        let said = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains("a server for https (--plain-http=false"), "{arguments:?} {said}");
    }
    let plain = Server::start(Kind::Distribution);
    at.run(["push", &plain.reference("app:v1"), "--plain-http=false"])
        .exits(1, &["no trusted TLS connection", "--plain-http for a registry without TLS"]);
}

#[test]
fn a_mirror_is_read_before_its_registry_and_lacks_nothing_with_it() {
    let (server, mirror) = (Server::start(Kind::Distribution), Server::start(Kind::DockerRegistry));
    let (at, reference) = (release::small(), server.reference("org/app:v1"));
    push(&at, &reference);
    // It leaves behind what refers to the release.
    let mut crane = tools::tool("crane", at.home());
    tools::stdout(crane.args(["copy", &reference, &mirror.reference("cache/org/app:v1")]));
    let option = format!("{}={}/cache", server.host(), mirror.host());
    let verify = ["verify", &reference, "--key", "release.pub", "--mirror", &option];
    run(&at, &verify, &[]).succeeds();
    run(&at, &["pull", &reference, "-o", "site", "--mirror", &option], &[]).succeeds();
    let blob = |server: &Server| server.log().matches("GET /v2/").count();
    assert!(blob(&mirror) > 0, "{}", mirror.log());

    drop(server);
    let everywhere = [("XPOST_MIRRORS", option.as_str())];
    run(&at, &["pull", &reference, "-o", "alone"], &everywhere).succeeds();
    run(&at, &["pull", &reference, "-o", "none"], &[]).exits(7, &["cannot pull"]);
    run(&at, &verify, &[]).exits(7, &["cannot verify"]);
    run(&at, &["pull", &reference], &[("XPOST_MIRRORS", "x")]).exits(2, &["HOST[/NAME]"]);
    // What is written goes to the registry itself.
    run(&at, &["push", &reference], &everywhere).exits(7, &["cannot push"]);
}

#[test]
fn a_mirror_that_is_down_holds_nobody_up_twice() {
    let (server, at) = (Server::start(Kind::Distribution), release::small());
    let reference = server.reference("org/app:v1");
    push(&at, &reference);
    let down = Faulty::before(&server.host(), |_, _, _| answer("503 Service Unavailable", "", b""));
    let option = format!("{}={}", server.host(), down.url().trim_start_matches("http://"));
    let copied = at.run(["copy", &reference, "oci:lay:v1", "--mirror", &option]).succeeds();
    at.run(["verify", "oci:lay:v1", "--complete"]).succeeds();
    assert!((1..=2).contains(&down.asked()), "asked {} times", down.asked());
    let warning = format!("warning: the mirror {} is not used: ", down.reference("org/app"));
    assert_eq!(copied.stderr.matches(&warning).count(), 1, "{copied:?}");
    at.run(["pull", &reference, "-o", "site", "--mirror", &option, "--quiet"]).succeeds();
}

#[test]
fn what_a_mirror_gives_wrong_comes_from_the_registry() {
    let (server, at) = (Server::start(Kind::Distribution), release::small());
    let reference = server.reference("org/app:v1");
    push(&at, &reference);
    let plain = |_: &[u8]| answer("200 OK", "", b"{}");
    let page = |_: &[u8]| answer("200 OK", "Content-Type: text/html\r\n", b"<html>");
    let changed = |answer: &[u8]| {
        let mut body = faulty::split(answer).1.to_vec();
        body.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
        faulty::with_body(answer, &body)
    };
    let short = |answer: &[u8]| faulty::with_body(answer, &faulty::split(answer).1[1..]);
    let long = |answer: &[u8]| faulty::with_body(answer, &[faulty::split(answer).1, b"x"].concat());
    // The connection breaks, and again.
    let cut = |answer: &[u8]| answer[..answer.len() - 1].to_vec();
    let denied = |_: &[u8]| answer("403 Forbidden", "", b"");
    let circle = |_: &[u8]| answer("307 Temporary Redirect", "Location: /v2/\r\n", b"");
    type Fault = fn(&[u8]) -> Vec<u8>;
    let faults: [Fault; 8] = [plain, page, changed, short, long, cut, denied, circle];
    at.run(["copy", &reference, "oci:right:v1"]).succeeds();
    let under = |name: &str| -> Vec<_> {
        let files = at.list().into_iter().filter(|file| !file.ends_with('/'));
        files
            .filter_map(|file| Some((file.strip_prefix(name)?.to_owned(), at.read(&file))))
            .collect()
    };
    let right = under("right/");
    for (count, fault) in faults.into_iter().enumerate() {
        for what in ["/blobs/", "/manifests/"] {
            let mirror = Faulty::before(&server.host(), move |_, asked, answer| {
                let twisted = asked.starts_with("GET") && asked.contains(what);
                if twisted { fault(&answer) } else { answer }
            });
            let option =
                format!("{}={}", server.host(), mirror.url().trim_start_matches("http://"));
            let lay = format!("lay{count}{}", what.len());
            let to = format!("oci:{lay}:v1");
            let copied = at.run(["copy", &reference, &to, "--mirror", &option]).succeeds();
            assert!(copied.stderr.contains("the mirror 127.0.0.1:"), "{count} {what} {copied:?}");
            assert!(under(&format!("{lay}/")) == right, "{count} {what}");
            let site = format!("site{lay}");
            let pull = ["pull", &reference, "--debug", "-o", &site, "--mirror", &option];
            at.run(pull.into_iter().chain(["--key", "release.pub"])).succeeds();
            at.run(["verify", &reference, "--platforms", "--mirror", &option]).succeeds();
        }
    }
    assert!(!at.list().iter().any(|name| name.ends_with(".tmp")), "{:?}", at.list());
}

#[test]
fn what_hangs_together_is_asked_for_once_and_several_at_a_time() {
    let (server, at) = (Server::start(Kind::Distribution), release::small());
    push(&at, &server.reference("app:v1"));
    let (lists, now, most) = (Mutex::default(), AtomicUsize::new(0), AtomicUsize::new(0));
    let seen = Arc::new((lists, now, most));
    let kept = Arc::clone(&seen);
    let faulty = Faulty::before(&server.host(), move |_, asked, answer| {
        let (lists, now, most): &(Mutex<Vec<String>>, AtomicUsize, AtomicUsize) = &kept;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(50));
        now.fetch_sub(1, Ordering::SeqCst);
        if asked.contains("/referrers/") || asked.contains("/manifests/sha256-") {
            lists.lock().unwrap().push(asked.to_owned());
        }
        answer
    });
    at.run(["verify", "--complete", &faulty.reference("app:v1")]).succeeds();
    let (lists, _, most) = &*seen;
    let mut lists = lists.lock().unwrap().clone();
    let all = lists.len();
    lists.sort();
    lists.dedup();
    assert!(all > 20 && lists.len() == all, "{all} questions, {} of them different", lists.len());
    assert!(most.load(Ordering::SeqCst) > 2, "{most:?} at a time");
}

#[test]
fn a_registry_elsewhere_leads_nobody_to_servers_of_this_machine() {
    let (server, at) = (Server::start(Kind::Distribution), release::small());
    push(&at, &server.reference("app:v1"));
    // It answers whoever asks: nobody shall.
    let inner = Faulty::before(&server.host(), |_, _, answer| answer);
    let at_inner = format!("{}/x", inner.url());
    let reference = "registry.test:5000/app:v1";
    let pull = ["pull", reference, "--plain-http", "-o", "site"];
    let push = ["push", reference, "--plain-http", "--overwrite"];
    let token = format!("WWW-Authenticate: Bearer realm=\"{at_inner}\",service=\"x\"\r\n");
    let location = format!("Location: {at_inner}\r\n");
    for (verb, path, status, header, command, exit, said) in [
        ("GET", "/blobs/", "307 Temporary Redirect", &location, &pull[..], 1, "to this machine"),
        ("GET", "/manifests/", "302 Found", &location, &pull[..], 1, "to this machine"),
        ("POST", "/uploads/", "202 Accepted", &location, &push[..], 8, "to this machine"),
        ("GET", "/manifests/", "401 Unauthorized", &token, &pull[..], 8, "to this machine"),
    ] {
        let header = header.clone();
        let mean = Faulty::before(&server.host(), move |_, asked, real| {
            let is_meant = asked.starts_with(verb) && asked.contains(path);
            // Nothing is there yet, where it is pushed to.
            let is_new = verb == "POST" && asked.starts_with("HEAD");
            match is_meant {
                true => answer(status, &header, b""),
                false if is_new => answer("404 Not Found", "", b""),
                false => real,
            }
        });
        run(&at, command, &[("http_proxy", &mean.url())]).exits(exit, &[said]);
        assert!(mean.asked() > 0 && !at.path("site").exists());
    }
    assert_eq!(inner.asked(), 0);
}

#[test]
fn http_in_clear_goes_to_the_registries_that_it_was_said_of_and_to_no_other() {
    let (server, at) = (Server::start(Kind::Distribution), release::small());
    push(&at, &server.reference("org/app:v1"));
    let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let hosts = Arc::clone(&seen);
    // It stands for all hosts, and sees nothing of https.
    let proxy = Faulty::before(&server.host(), move |_, asked, real| {
        hosts.lock().unwrap().extend(asked.split('/').nth(2).map(str::to_owned));
        real
    });
    let url = proxy.url();
    let through = |arguments: &[&str]| {
        let environment =
            [("http_proxy", url.as_str()), ("https_proxy", &url), ("GITHUB_TOKEN", "secret")];
        let ran = run(&at, arguments, &environment);
        let hosts: Vec<String> = std::mem::take(&mut *seen.lock().unwrap()).into_iter().collect();
        (ran, hosts.join(" "))
    };
    let copy = ["copy", "from.test/org/app:v1", "to.test/org/copy:v1"];
    for half in ["--plain-http", "--to-plain-http", "--from-plain-http"] {
        let (ran, clear) = through(&[copy.as_slice(), &[half]].concat());
        ran.exits(1, &["no trusted TLS connection"]);
        let meant = if half == "--from-plain-http" { "from.test" } else { "" };
        assert_eq!(clear, meant, "{half}");
    }
    let (ran, clear) =
        through(&[copy.as_slice(), &["--from-plain-http", "--to-plain-http"]].concat());
    ran.succeeds();
    assert_eq!(clear, "from.test to.test");

    let pull = ["pull", "--plain-http", "reg.test/org/app:v1", "--mirror"];
    let (ran, clear) = through(&[pull.as_slice(), &["reg.test=near.test", "-o", "one"]].concat());
    let warning = ran.succeeds().stderr;
    assert!(warning.contains("the mirror near.test/org/app is not used"), "{warning}");
    assert_eq!(clear, "reg.test");
    let near = ["reg.test=http://near.test", "-o", "two"];
    let (ran, clear) = through(&[pull.as_slice(), &near].concat());
    ran.succeeds();
    assert!(clear.contains("near.test"), "{clear}");

    // Tokens of the environment are for it, and it has TLS.
    for arguments in [
        ["pull", "ghcr.io/org/app:v1", "--plain-http"],
        ["pull", "reg.test/org/app:v1", "--mirror=reg.test=http://ghcr.io"],
    ] {
        let (ran, clear) = through(&arguments);
        ran.exits(2, &["ghcr.io is a registry, and one with TLS"]);
        assert_eq!(clear, "");
    }
}

#[test]
fn a_registry_that_lost_something_is_not_complete_because_a_mirror_has_it() {
    let (server, at) = (Server::start(Kind::Distribution), release::small());
    push(&at, &server.reference("app:v1"));
    let mirror = Faulty::before(&server.host(), |_, _, answer| answer);
    let lost = Faulty::before(&server.host(), |_, asked, real| {
        match asked.starts_with("HEAD") && asked.contains("/blobs/") {
            true => answer("404 Not Found", "", b""),
            false => real,
        }
    });
    let of = |faulty: &Faulty| faulty.url().trim_start_matches("http://").to_owned();
    let option = format!("{}={}", of(&lost), of(&mirror));
    let reference = lost.reference("app:v1");
    let verify = ["verify", &reference, "--complete"];
    let said = ["is not complete", "is not there"];
    run(&at, &[verify.as_slice(), &["--mirror", &option]].concat(), &[]).exits(3, &said);
    run(&at, &verify, &[("XPOST_MIRRORS", &option)]).exits(3, &said);
    assert_eq!(mirror.asked(), 0);
}
