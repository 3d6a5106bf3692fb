//! What faulty and hostile registries get, told by a server that does as each test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Access, Plain, Registry};
use crate::digest::Digest;
use crate::http::{self, Patience};
use crate::oci::credentials::{Credentials, Login};
use crate::oci::manifest::{Descriptor, Index, MAX_MANIFEST, Manifest, Node, media};
use crate::oci::store::{self, Store};
use crate::oci::{Error, Kind, Location, Reference, Tag};

mod deletion;
mod upload;

/// A server on this machine that keeps every request and answers as it is told.
struct Server {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[derive(Debug, Clone)]
struct Seen {
    line: String,
    headers: String,
    body: Vec<u8>,
}

impl Seen {
    fn has(&self, header: &str) -> bool {
        self.headers.contains(&format!("\n{}:", header.to_ascii_lowercase()))
    }

    /// The server, by the name that the client has for it.
    fn host(&self) -> &str {
        let mut lines = self.headers.lines();
        lines.find_map(|line| line.strip_prefix("host: ")).unwrap_or_default()
    }
}

impl Server {
    /// `answer` gets the number of the request and the request, and gives the raw answer.
    fn start(answer: impl Fn(usize, &Seen) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(request) = read_request(&stream) else { continue };
                let count = {
                    let mut kept = kept.lock().expect("not poisoned");
                    kept.push(request.clone());
                    kept.len()
                };
                let _ = (&stream).write_all(&answer(count, &request));
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    fn registry(&self) -> Registry {
        self.registry_as(Credentials::Anonymous)
    }

    fn registry_as(&self, credentials: Credentials) -> Registry {
        self.registry_of("app", credentials)
    }

    fn registry_of(&self, name: &str, credentials: Credentials) -> Registry {
        let options = impatient(3, Duration::from_secs(5), Duration::from_millis(500));
        open(&format!("{}/{name}", self.address), credentials, options)
    }
}

/// Options with so many attempts, which end together after `total`, and each after `silence`.
fn impatient(attempts: u32, total: Duration, silence: Duration) -> http::Options {
    let patience = Patience { attempts, first_delay: Duration::from_millis(1), total };
    http::Options { idle_timeout: silence, patience, ..http::Options::default() }
}

fn open(reference: &str, credentials: Credentials, options: http::Options) -> Registry {
    let reference: Reference = reference.parse().expect("a reference");
    let Location::Registry(repository) = reference.location else { panic!("a registry") };
    Registry::open(&repository, Access::Write, Plain::Loopback, Login::of(credentials), options)
        .expect("a client")
}

fn read_request(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut headers, mut length) = (String::new(), String::from("\n"), 0);
    reader.read_line(&mut line).ok()?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
        headers.push_str(&format!("{}:{value}", name.to_ascii_lowercase()));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { line: line.trim().to_owned(), headers, body })
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn index(node: &Node) -> Vec<u8> {
    answer("200 OK", &format!("Content-Type: {}\r\n", media::INDEX), &node.bytes)
}

fn release() -> Node {
    Index::new(Some(media::RELEASE), Vec::new()).to_node()
}

fn v1() -> Tag {
    Tag::new("v1").expect("a tag")
}

fn blob(bytes: &[u8]) -> Descriptor {
    Descriptor::new(media::BINARY_ELF, Digest::of(bytes), bytes.len() as u64)
}

fn fetch(registry: &Registry, blob: &Descriptor) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    store::fetch(registry, blob, &mut out, &|_| {}).map(|()| out)
}

#[test]
fn a_busy_registry_is_asked_again_when_it_says() {
    let server = Server::start(|count, _| match count {
        1 => answer("429 Too Many Requests", "Retry-After: 1\r\n", b""),
        2 => answer("503 Service Unavailable", "", b""),
        _ => index(&release()),
    });
    let begun = Instant::now();
    assert_eq!(server.registry().tagged(&v1()).expect("an answer"), Some(release()));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn what_cannot_heal_is_not_tried_again_and_what_does_not_is_a_network_error() {
    let server = Server::start(|_, _| answer("400 Bad Request", "", b""));
    assert_eq!(server.registry().tagged(&v1()).expect_err("refused").kind(), Kind::Other);
    assert_eq!(server.seen().len(), 1);

    let server = Server::start(|_, _| answer("502 Bad Gateway", "", b""));
    assert_eq!(server.registry().tagged(&v1()).expect_err("refused").kind(), Kind::Network);
    assert_eq!(server.seen().len(), 3);

    let server =
        Server::start(|_, _| answer("429 Too Many Requests", "Retry-After: 86400\r\n", b""));
    assert_eq!(server.registry().tagged(&v1()).expect_err("refused").kind(), Kind::Network);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_silent_registry_is_left() {
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(3));
        Vec::new()
    });
    let begun = Instant::now();
    assert_eq!(server.registry().tagged(&v1()).expect_err("silence").kind(), Kind::Network);
    assert!(begun.elapsed() < Duration::from_secs(3));
}

/// Has its connections taken by the system, says `first` on each, and nothing more.
fn silent_after(first: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming().flatten() {
            read_request(&stream);
            let _ = (&stream).write_all(first);
            kept.push(stream);
        }
    });
    address
}

#[test]
fn all_attempts_at_a_silent_registry_end_together() {
    let options = impatient(100, Duration::from_secs(1), Duration::from_millis(300));
    let bytes = b"0123456789";
    let put = |registry: &Registry| {
        registry.put_blob(&blob(bytes), &|| Ok(store::Verified::new(&bytes[..], &blob(bytes))))
    };
    type Ask<'a> = &'a dyn Fn(&Registry) -> Result<(), Error>;
    let place = b"HTTP/1.1 202 Accepted\r\nLocation: /up\r\nContent-Length: 0\r\n\r\n";
    let part = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0";
    let challenge: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\
        WWW-Authenticate: Basic realm=x\r\nContent-Length: 10\r\n\r\n";
    let asks: [(&[u8], Ask<'_>); 6] = [
        (b"", &|registry| registry.tagged(&v1()).map(drop)),
        (b"", &|registry| fetch(registry, &blob(bytes)).map(drop)),
        (b"", &put),
        (place, &put),
        (part, &|registry| fetch(registry, &blob(bytes)).map(drop)),
        (challenge, &|registry| registry.put_manifest(&release())),
    ];
    for (first, ask) in asks {
        let registry = open(&format!("{}/app", silent_after(first)), user(), options.clone());
        let begun = Instant::now();
        let error = ask(&registry).expect_err("silence");
        let (first, took) = (String::from_utf8_lossy(first), begun.elapsed());
        assert!(took < Duration::from_millis(2500), "{first}: {took:?}");
        assert!(first.contains("401") || error.kind() == Kind::Network, "{first}: {error}");
    }
}

#[test]
fn a_registry_that_lets_an_answer_drip_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                read_request(&stream);
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
                let mut drop: &[u8] = head;
                while (&stream).write_all(drop).is_ok() {
                    drop = b" ";
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    let server = Server { address, seen: Arc::default() };
    let begun = Instant::now();
    let error = server.registry().tagged(&v1()).expect_err("it drips");
    assert_eq!(error.kind(), Kind::Network, "{error}");
    let large = Descriptor::new("", Digest::of(b""), 1_000_000);
    let error = fetch(&server.registry(), &large).expect_err("it drips");
    assert_eq!(error.kind(), Kind::Network, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let bytes = b"0123456789";
    let server = Server::start(move |count, _| match count {
        1 => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123".to_vec(),
        2 => answer("206 Partial Content", "Content-Range: bytes 4-9/10\r\n", b"456789"),
        _ => answer("500 Server Error", "", b""),
    });
    assert_eq!(fetch(&server.registry(), &blob(bytes)).expect("the blob"), bytes);
    assert!(server.seen()[1].headers.contains("range: bytes=4-"));

    // And where the registry has no ranges.
    let server = Server::start(move |count, _| match count {
        1 => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123".to_vec(),
        _ => answer("200 OK", "", bytes),
    });
    assert_eq!(fetch(&server.registry(), &blob(bytes)).expect("the blob"), bytes);
}

#[test]
fn a_download_that_always_breaks_is_a_network_error() {
    let server =
        Server::start(|_, _| b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123".to_vec());
    let error = fetch(&server.registry(), &blob(b"0123456789")).expect_err("truncated");
    assert_eq!(error.kind(), Kind::Network, "{error}");
    assert_eq!(server.seen().len(), 3);
}

/// Serves answers that are cut, each at another byte, and then whole.
fn cut(of: impl Fn(&Seen) -> Vec<u8> + Send + 'static) -> Server {
    Server::start(move |count, request| {
        let mut answer = of(request);
        if count % 2 == 1 {
            answer.truncate(count / 2 % answer.len());
        }
        answer
    })
}

#[test]
fn an_answer_that_is_cut_at_any_byte_is_asked_for_again() {
    let server = cut(|_| index(&release()));
    let registry = server.registry();
    for _ in 0..index(&release()).len() {
        assert_eq!(registry.tagged(&v1()).expect("an answer"), Some(release()));
    }
    let bytes = b"0123456789";
    let server = cut(|_| answer("200 OK", "", b"0123456789"));
    let registry = server.registry();
    for _ in 0..answer("200 OK", "", bytes).len() {
        assert_eq!(fetch(&registry, &blob(bytes)).expect("the blob"), bytes);
    }
    let server = cut(|_| answer("201 Created", "", b""));
    let registry = server.registry();
    for _ in 0..answer("201 Created", "", b"").len() {
        registry.put_manifest(&release()).expect("put");
    }
}

#[test]
fn other_bytes_than_asked_for_are_damage() {
    let server = Server::start(|_, _| answer("200 OK", "", b"9876543210"));
    let error = fetch(&server.registry(), &blob(b"0123456789")).expect_err("other bytes");
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");

    let server = Server::start(|_, _| answer("200 OK", "", b"0123"));
    let error = fetch(&server.registry(), &blob(b"0123456789")).expect_err("too few");
    assert!(matches!(error, Error::WrongSize { found: 4, .. }), "{error}");

    let server = Server::start(|_, _| index(&release()));
    let error = server.registry().manifest(&Digest::of(b"other")).expect_err("another");
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");

    let lie = format!("Docker-Content-Digest: {}\r\n", Digest::of(b"other"));
    let server = Server::start(move |_, _| answer("200 OK", &lie, &release().bytes));
    let error = server.registry().tagged(&v1()).expect_err("another than it says");
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
}

#[test]
fn a_web_page_is_no_manifest() {
    let page = b"<html>log in to this network</html>";
    let server =
        Server::start(|_, _| answer("200 OK", "Content-Type: text/html; charset=utf-8\r\n", page));
    let error = server.registry().tagged(&v1()).expect_err("a page");
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.to_string().contains("is this a registry?"), "{error}");
    // Where referrers are asked for, it means that there is no such API, and no list either.
    assert!(server.registry().ask_api(&Digest::of(b""), None).expect("an answer").is_none());
}

#[test]
fn a_manifest_without_end_is_left_at_its_limit() {
    let server = Server::start(|_, _| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        bytes.resize(bytes.len() + 2 * MAX_MANIFEST as usize, b' ');
        bytes
    });
    let error = server.registry().tagged(&v1()).expect_err("too large");
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
}

fn user() -> Credentials {
    Credentials::Basic { username: "alice".to_owned(), password: "secret".to_owned() }
}

#[test]
fn credentials_are_shown_once_and_never_again_and_again() {
    let server = Server::start(|_, _| {
        answer("401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\n", b"")
    });
    let error = server.registry_as(user()).tagged(&v1()).expect_err("refused");
    assert_eq!(error.kind(), Kind::Authentication);
    assert!(
        error.to_string().contains("as alice") && !error.to_string().contains("secret"),
        "{error}"
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert!(!seen[0].has("authorization") && seen[1].has("authorization"));

    let server = Server::start(|_, _| {
        answer("401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\n", b"")
    });
    let error = server.registry().tagged(&v1()).expect_err("refused");
    assert_eq!(error.kind(), Kind::Authentication);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_token_is_fetched_once_and_used_until_it_is_refused() {
    let server = Server::start(|_, request| {
        let at = request.host();
        let challenge =
            format!("WWW-Authenticate: Bearer realm=\"http://{at}/token\",service=\"s\"\r\n");
        if request.line.starts_with("GET /token?service=s&scope=repository%3Aapp%3Apull%2Cpush ") {
            answer("200 OK", "", br#"{"token":"abc"}"#)
        } else if request.headers.contains("authorization: Bearer abc") {
            index(&release())
        } else {
            answer("401 Unauthorized", &challenge, b"")
        }
    });
    let registry = server.registry_as(user());
    for _ in 0..3 {
        registry.tagged(&v1()).expect("an answer");
    }
    assert_eq!(server.seen().len(), 5);
}

#[test]
fn wrong_credentials_at_the_token_server_are_an_authentication_error() {
    let server = Server::start(|_, request| {
        let at = request.host();
        answer(
            "401 Unauthorized",
            &format!("WWW-Authenticate: Bearer realm=\"http://{at}/token\"\r\n"),
            b"",
        )
    });
    let error = server.registry_as(user()).tagged(&v1()).expect_err("refused");
    assert_eq!(error.kind(), Kind::Authentication, "{error}");
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn who_refuses_is_who_is_named() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let other = Server::start(move |_, _| {
            answer(
                status,
                "Content-Type: text/html\r\nWWW-Authenticate: Basic realm=x\r\n",
                b"<html>",
            )
        });
        let there = other.address.clone();
        let location = format!("Location: http://{there}/blob?secret=x\r\n");
        let server = Server::start(move |_, _| answer("307 Temporary Redirect", &location, b""));
        let error = fetch(&server.registry_as(user()), &blob(b"0123456789")).expect_err("refused");
        assert!(matches!(error, Error::Elsewhere { .. }), "{error}");
        let Error::Elsewhere { source, .. } = &error else { return };
        let said = source.to_string();
        assert!(said.starts_with(&format!("GET http://{there}/blob: ")), "{said}");
        assert!(said.contains("a web page") && !said.contains("secret"), "{said}");
    }
}

#[test]
fn a_realm_may_be_in_any_language() {
    let server = Server::start(|_, request| match request.has("authorization") {
        true => index(&release()),
        false => answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"für uns\"\r\n", b""),
    });
    assert_eq!(server.registry_as(user()).tagged(&v1()).expect("an answer"), Some(release()));
}

#[test]
fn a_login_page_in_place_of_a_token_is_no_matter_of_credentials() {
    let server = Server::start(|_, request| {
        let challenge =
            format!("WWW-Authenticate: Bearer realm=\"http://{}/token\"\r\n", request.host());
        match request.line.contains("/token") {
            true => answer("200 OK", "Content-Type: text/html\r\n", b"<html>"),
            false => answer("401 Unauthorized", &challenge, b""),
        }
    });
    let error = server.registry_as(user()).tagged(&v1()).expect_err("a page");
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    assert!(error.to_string().contains("/token"), "{error}");
}

#[test]
fn a_challenge_that_nobody_could_answer_is_no_matter_of_credentials() {
    for (headers, said) in [
        ("Content-Type: text/html\r\n", "is this a registry?"),
        ("", "not in one of the ways"),
        ("WWW-Authenticate: Negotiate\r\n", "not in one of the ways"),
        ("WWW-Authenticate: Bearer realm=\"file:///etc/x\"\r\n", "another protocol, file:/etc/x"),
        ("WWW-Authenticate: Bearer realm=\"//\"\r\n", "its token server has no valid URL"),
    ] {
        let server = Server::start(move |_, _| answer("401 Unauthorized", headers, b"<html>"));
        let error = server.registry_as(user()).tagged(&v1()).expect_err("refused");
        assert_eq!(error.kind(), Kind::Damaged, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn a_redirect_to_another_host_does_not_take_the_credentials_along() {
    let other = Server::start(|_, _| answer("200 OK", "", b"0123456789"));
    let location = format!("Location: http://{}/elsewhere\r\n", other.address);
    let server = Server::start(move |_, request| {
        if request.has("authorization") {
            answer("307 Temporary Redirect", &location, b"")
        } else {
            answer("401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\n", b"")
        }
    });
    let bytes = fetch(&server.registry_as(user()), &blob(b"0123456789")).expect("the blob");
    assert_eq!(bytes, b"0123456789");
    assert!(!other.seen()[0].has("authorization"));
}

#[test]
fn who_a_redirect_leads_to_is_not_told_who_we_are() {
    let thief = Server::start(|_, _| answer("200 OK", "", br#"{"token":"t"}"#));
    let challenge =
        format!("WWW-Authenticate: Bearer realm=\"http://{}/token\"\r\n", thief.address);
    let other = Server::start(move |_, _| answer("401 Unauthorized", &challenge, b""));
    let location = format!("Location: http://{}/elsewhere\r\n", other.address);
    let server = Server::start(move |_, _| answer("307 Temporary Redirect", &location, b""));
    let error = fetch(&server.registry_as(user()), &blob(b"0123456789")).expect_err("refused");
    assert_eq!(error.kind(), Kind::Authentication, "{error}");
    assert!(thief.seen().is_empty(), "{:?}", thief.seen());
}

#[test]
fn a_redirect_in_circles_ends() {
    let server =
        Server::start(|_, _| answer("307 Temporary Redirect", "Location: /v2/app/x\r\n", b""));
    let error = fetch(&server.registry(), &blob(b"x")).expect_err("a circle");
    assert_eq!(error.kind(), Kind::Other, "{error}");
    assert!(server.seen().len() < 10);
}

#[test]
fn a_registry_that_stores_something_else_is_found_out() {
    let lie = format!("Docker-Content-Digest: {}\r\n", Digest::of(b"other"));
    let server = Server::start(move |_, _| answer("201 Created", &lie, b""));
    let error = server.registry().put_manifest(&release()).expect_err("something else");
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
}

fn entry(text: &str) -> Descriptor {
    let mut manifest = Manifest::new(media::BUNDLE, Vec::new());
    manifest.annotations.insert("x".to_owned(), text.to_owned());
    manifest.to_node().descriptor
}

#[test]
fn a_listing_is_read_page_by_page_wherever_it_leads_without_credentials() {
    let page = |text: &str, link: &str| {
        let list = Index::new(None, vec![entry(text)]).to_node();
        answer("200 OK", &format!("Content-Type: {}\r\n{link}", media::INDEX), &list.bytes)
    };
    let other = Server::start(move |_, _| page("3", ""));
    let last = format!("Link: <http://{}/x?page=3>; rel=\"next\"\r\n", other.address);
    let server = Server::start(move |_, request| {
        let first = "Link: </v2/app/tags?a,b>; rel=first\r\nLink: <x?page=2>; rel=\"next\"\r\n";
        match request {
            Seen { line, .. } if line.contains("page=2") => page("2", &last),
            request if request.has("authorization") => page("1", first),
            _ => answer("401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\n", b""),
        }
    });
    let found = server.registry_as(user()).listed(&Digest::of(b""), None).expect("a listing");
    assert_eq!(found, [entry("1"), entry("2"), entry("3")]);
    assert!(!other.seen()[0].has("authorization"));
}

#[test]
fn a_list_that_cannot_be_read_to_its_end_is_no_list() {
    let pages: [&[u8]; 3] = [b"", b"{}", br#"{"manifests":{}}"#];
    for page in pages {
        let index = format!("Content-Type: {}\r\n", media::INDEX);
        let server = Server::start(move |_, _| answer("200 OK", &index, page));
        let error = server.registry().listed(&Digest::of(b""), None).expect_err("no list");
        assert_eq!(error.kind(), Kind::Damaged, "{error}");
    }
    let index = format!("Content-Type: {}\r\nLink: <file:///x>;rel=next\r\n", media::INDEX);
    let server = Server::start(move |_, _| answer("200 OK", &index, &release().bytes));
    let error = server.registry().listed(&Digest::of(b""), None).expect_err("it leads away");
    assert!(error.to_string().contains("its Link leads to another protocol"), "{error}");
}

#[test]
fn a_listing_is_filtered_where_that_leaves_anything() {
    let server = Server::start(|_, request| {
        let wanted = request.line.contains("?artifactType=good");
        let entries = match request.line.contains("artifactType=") && !wanted {
            true => Vec::new(),
            false if wanted => vec![entry("good")],
            false => vec![entry("good"), entry("bad")],
        };
        let list = Index::new(None, entries).to_node();
        let applied =
            if request.line.contains('?') { "OCI-Filters-Applied: artifactType\r\n" } else { "" };
        answer("200 OK", &format!("Content-Type: {}\r\n{applied}", media::INDEX), &list.bytes)
    });
    let listed = |wanted| server.registry().listed(&Digest::of(b""), wanted).expect("a listing");
    assert_eq!(listed(Some("good")), [entry("good")]);
    assert_eq!(server.seen().len(), 1);
    assert_eq!(listed(Some("mistaken")), [entry("good"), entry("bad")]);
    assert_eq!(listed(None).len(), 2);
}

#[test]
fn a_listing_without_end_is_left() {
    let server = Server::start(|count, _| {
        let link = format!("Link: </v2/app/referrers/x?page={count}>; rel=\"next\"\r\n");
        let list = Index::new(None, vec![entry("1")]).to_node();
        answer("200 OK", &format!("Content-Type: {}\r\n{link}", media::INDEX), &list.bytes)
    });
    let error = server.registry().listed(&Digest::of(b""), None).expect_err("without end");
    assert!(error.to_string().ends_with("more than 100 pages"), "{error}");
    assert!(server.seen().len() <= super::referrers::MAX_PAGES);
}

#[test]
fn the_fallback_list_is_written_until_our_entries_are_in() {
    let kept: Mutex<(usize, Option<Vec<u8>>)> = Mutex::new((0, None));
    let server = Server::start(move |_, request| {
        let (puts, list) = &mut *kept.lock().expect("not poisoned");
        let is_list = request.line.contains("/manifests/sha256-");
        match (request.line.split(' ').next(), is_list, &list) {
            (Some("PUT"), ..) => {
                *puts += 1;
                let theirs = Index::new(None, vec![entry("theirs")]).to_node().bytes;
                // Somebody is quicker the first time, and quicker still the second.
                match puts {
                    1 => {
                        *list = Some(theirs);
                        answer("412 Precondition Failed", "", b"")
                    }
                    2 => answer("201 Created", "", b""),
                    _ => {
                        *list = Some(request.body.clone());
                        answer("201 Created", "", b"")
                    }
                }
            }
            (_, true, Some(bytes)) => answer(
                "200 OK",
                &format!("ETag: \"1\"\r\nContent-Type: {}\r\n", media::INDEX),
                bytes,
            ),
            _ => answer("404 Not Found", "", b""),
        }
    });
    let registry = server.registry();
    let subject = Digest::of(b"subject");
    let tag = registry.list(&subject, &[entry("1"), entry("2")]).expect("written");
    assert_eq!(tag, Some(Tag::fallback(&subject)));
    assert_eq!(
        registry.listed(&subject, None).expect("listed"),
        [entry("theirs"), entry("1"), entry("2")]
    );
    let puts: Vec<Seen> =
        server.seen().into_iter().filter(|seen| seen.line.starts_with("PUT")).collect();
    assert_eq!(puts.len(), 3);
    assert!(!puts[0].has("if-match") && puts[1].headers.contains("if-match: \"1\""));
}
