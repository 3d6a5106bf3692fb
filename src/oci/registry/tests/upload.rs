//! Uploads that break, are refused as a whole, or are not needed.

use std::sync::Mutex;

use super::*;
use crate::http::Url;
use crate::oci::store::{State, Verified};

fn send(registry: &Registry, bytes: &[u8]) -> Result<(), Error> {
    registry.put_blob(&blob(bytes), &|| Ok(Verified::new(bytes, &blob(bytes))))
}

/// The answer of a registry that has taken these bytes.
fn created(bytes: &[u8]) -> Vec<u8> {
    answer("201 Created", &format!("Docker-Content-Digest: {}\r\n", Digest::of(bytes)), b"")
}

/// The verb and the path of each request, and what it says of a range.
fn steps(server: &Server) -> Vec<String> {
    let step = |seen: &Seen| {
        let mut words = seen.line.split(['?', ' ']);
        let (verb, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let range = seen.headers.lines().find_map(|line| line.strip_prefix("content-range: "));
        format!("{verb} {path} {}", range.unwrap_or_default()).trim_end().to_owned()
    };
    server.seen().iter().map(step).collect()
}

#[test]
fn an_upload_is_one_put_of_known_length_and_begins_anew_after_a_failure() {
    let server = Server::start(|count, request| match count {
        1 => answer("202 Accepted", "Location: /up?_state=a%2Fb\r\n", b""),
        2 => Vec::new(),
        // Asked how much has arrived, it does not know.
        3 | 4 => answer("404 Not Found", "", b""),
        5 => answer("202 Accepted", &format!("Location: /up2{}\r\n", "/x"), b""),
        _ => created(&request.body),
    });
    send(&server.registry(), b"0123456789").expect("sent");
    let puts: Vec<Seen> =
        server.seen().into_iter().filter(|seen| seen.line.starts_with("PUT")).collect();
    let digest = "sha256%3A84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";
    assert_eq!(puts[0].line, format!("PUT /up?_state=a%2Fb&digest={digest} HTTP/1.1"));
    assert_eq!(puts[1].line, format!("PUT /up2/x?digest={digest} HTTP/1.1"));
    assert_eq!(puts[1].body, b"0123456789");
    assert!(puts[1].has("content-length") && !puts[1].has("transfer-encoding"));
    assert!(!puts[1].has("content-range"));
}

#[test]
fn an_upload_elsewhere_does_not_take_the_credentials_along() {
    let other = Server::start(|_, request| created(&request.body));
    let location = format!("Location: http://{}/up\r\n", other.address);
    let server = Server::start(move |_, request| {
        if request.has("authorization") {
            answer("202 Accepted", &location, b"")
        } else {
            answer("401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\n", b"")
        }
    });
    send(&server.registry_as(user()), b"0123456789").expect("sent");
    assert!(!other.seen()[0].has("authorization"));
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_not_published() {
    let server = Server::start(|_, request| match request.line.starts_with("POST") {
        true => answer("202 Accepted", "Location: /up\r\n", b""),
        false => created(b"0123456789"),
    });
    for other in ["0123", "9876543210", "0123456789a"] {
        let promised = blob(b"0123456789");
        let open = || Ok(Verified::new(other.as_bytes(), &promised));
        let error = server.registry().put_blob(&promised, &open);
        assert_eq!(error.expect_err(other).kind(), Kind::Damaged, "{other}");
    }
}

#[test]
fn a_token_that_runs_out_in_the_middle_of_an_upload_is_replaced() {
    let tokens = Mutex::new(0);
    let server = Server::start(move |_, request| {
        let mut tokens = tokens.lock().expect("not poisoned");
        let at = request
            .headers
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .unwrap_or_default();
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{at}/token\"\r\n");
        let valid = request.headers.contains(&format!("authorization: Bearer t{tokens}\r"));
        if request.line.starts_with("GET /token") {
            *tokens += 1;
            answer("200 OK", "", format!(r#"{{"token":"t{tokens}"}}"#).as_bytes())
        } else if !valid {
            answer("401 Unauthorized", &challenge, b"")
        } else if request.line.starts_with("GET") {
            answer("204 No Content", "Range: 0-0\r\n", b"")
        } else if request.line.starts_with("HEAD") {
            answer("404 Not Found", "", b"")
        } else if request.line.starts_with("POST") {
            // The first token ends here, before the bytes arrive.
            *tokens += i32::from(*tokens == 1);
            answer("202 Accepted", "Location: /up\r\n", b"")
        } else {
            created(b"0123456789")
        }
    });
    send(&server.registry_as(user()), b"0123456789").expect("sent");
    let lines: Vec<String> = server
        .seen()
        .iter()
        .filter_map(|seen| seen.line.split(['?', ' ']).next().map(str::to_owned))
        .collect();
    assert_eq!(lines, ["POST", "GET", "POST", "PUT", "GET", "GET", "GET", "HEAD", "POST", "PUT"]);
}

#[test]
fn an_upload_that_breaks_goes_on_where_the_registry_says() {
    let server = Server::start(|count, _| match count {
        1 => answer("202 Accepted", "Location: /up\r\n", b""),
        2 => Vec::new(),
        3 => answer("204 No Content", "Location: /up2\r\nRange: 0-3\r\n", b""),
        4 => answer("202 Accepted", "Location: up3\r\nRange: 0-9\r\n", b""),
        _ => created(b"0123456789"),
    });
    send(&server.registry(), b"0123456789").expect("sent");
    assert_eq!(
        steps(&server),
        ["POST /v2/app/blobs/uploads/", "PUT /up", "GET /up", "PATCH /up2 4-9", "PUT /up3"]
    );
    let seen = server.seen();
    assert_eq!((seen[3].body.as_slice(), seen[4].body.len()), (&b"456789"[..], 0));
    assert!(seen[4].line.contains("digest=sha256"), "{}", seen[4].line);
}

#[test]
fn an_upload_whose_answer_was_lost_is_not_sent_again() {
    let server = Server::start(|count, _| match count {
        1 => answer("202 Accepted", "Location: /up\r\n", b""),
        2 => Vec::new(),
        3 => answer("404 Not Found", "", b""),
        _ => answer("200 OK", "", b"0123456789"),
    });
    send(&server.registry(), b"0123456789").expect("sent");
    assert_eq!(
        steps(&server)[2..4],
        [
            "GET /up",
            "HEAD /v2/app/blobs/sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"
        ]
    );
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn an_upload_whose_answers_are_cut_at_any_byte_gets_there() {
    // Each question is answered in part first, and then whole.
    let asked = Mutex::new((0, 0));
    let server = Server::start(move |_, request| {
        let (posts, puts) = &mut *asked.lock().expect("not poisoned");
        let (count, mut answer) = match request.line.split(' ').next() {
            Some("POST") => (posts, answer("202 Accepted", "Location: /up\r\n", b"")),
            Some("PUT") => (puts, created(&request.body)),
            _ => return answer("404 Not Found", "", b""),
        };
        *count += 1;
        if *count % 2 == 1 {
            answer.truncate(*count / 2 % answer.len());
        }
        answer
    });
    let registry = server.registry();
    for _ in 0..created(b"0123456789").len() {
        send(&registry, b"0123456789").expect("sent");
    }
}

#[test]
fn a_registry_that_does_not_say_what_it_took_is_asked_for_it() {
    let answering = |there: bool| {
        Server::start(move |_, request| match request.line.split(' ').next() {
            Some("POST") => answer("202 Accepted", "Location: /up\r\n", b""),
            Some("PUT") => answer("201 Created", "Docker-Content-Digest: sha512:00\r\n", b""),
            _ if there => answer("200 OK", "", b"0123456789"),
            _ => answer("404 Not Found", "", b""),
        })
    };
    send(&answering(true).registry(), b"0123456789").expect("sent");
    let error = send(&answering(false).registry(), b"0123456789").expect_err("it lost them");
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[test]
fn a_registry_that_lost_what_it_had_gets_it_again() {
    let server = Server::start(|count, _| match count {
        1 | 5 => answer("202 Accepted", "Location: /up\r\n", b""),
        2 => Vec::new(),
        3 => answer("204 No Content", "Range: 0-3\r\n", b""),
        4 => answer("404 Not Found", "", br#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#),
        _ => created(b"0123456789"),
    });
    send(&server.registry(), b"0123456789").expect("sent");
    assert_eq!(steps(&server)[3..], ["PATCH /up 4-9", "POST /v2/app/blobs/uploads/", "PUT /up"]);
}

#[test]
fn a_registry_that_refuses_a_large_body_gets_chunks_of_the_length_it_asks_for() {
    let bytes: Vec<u8> = (0..11_u32 << 20).map(|count| count as u8).collect();
    let digest = format!("Docker-Content-Digest: {}\r\n", Digest::of(&bytes));
    let server = Server::start(move |count, request| match request.line.split(' ').next() {
        Some("POST") => {
            let least = format!("OCI-Chunk-Min-Length: {}\r\n", 5 << 20);
            answer("202 Accepted", &format!("Location: /up\r\n{least}"), b"")
        }
        Some("PUT") if !request.body.is_empty() => answer("413 Too Large", "", b""),
        Some("PUT") => answer("201 Created", &digest, b""),
        // It takes less of the second chunk than it gets.
        _ if count == 5 => answer("202 Accepted", "Range: 0-6291455\r\n", b""),
        _ => answer("202 Accepted", "", b""),
    });
    send(&server.registry(), &bytes).expect("sent");
    assert_eq!(
        steps(&server)[3..],
        [
            "PATCH /up 0-5242879",
            "PATCH /up 5242880-10485759",
            "PATCH /up 6291456-11534335",
            "PUT /up"
        ]
    );
}

#[test]
fn a_registry_that_never_takes_what_it_is_sent_is_left() {
    let server = Server::start(|_, request| match request.line.split(' ').next() {
        Some("POST") => answer("202 Accepted", "Location: /up\r\n", b""),
        Some("PUT") => answer("416 Range Not Satisfiable", "", b""),
        _ => answer("202 Accepted", "Range: 0-0\r\n", b""),
    });
    let error = send(&server.registry(), b"0123456789").expect_err("never taken");
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    assert!(server.seen().len() < 20);
}

fn mount(server: &Server) -> Result<State, Error> {
    let from = server.registry_of("other", user());
    let bytes: &[u8] = b"0123456789";
    server
        .registry_as(user())
        .take_blob(&blob(bytes), &from, &|| Ok(Verified::new(bytes, &blob(bytes))))
}

#[test]
fn a_blob_of_another_repository_is_taken_over_or_sent() {
    let server = Server::start(|_, _| created(b"0123456789"));
    assert_eq!(mount(&server).expect("mounted"), State::Mounted);
    assert!(server.seen()[0].line.contains("mount=sha256"), "{:?}", server.seen());
    assert!(server.seen()[0].line.contains("&from=other "), "{:?}", server.seen());

    // 202 says: go on here.
    let server = Server::start(|count, _| match count {
        1 => answer("202 Accepted", "Location: /up\r\n", b""),
        _ => created(b"0123456789"),
    });
    assert_eq!(mount(&server).expect("sent"), State::Uploaded);
    assert_eq!(steps(&server), ["POST /v2/app/blobs/uploads/", "PUT /up"]);

    // Neither is it a reason to give up that one may not read there.
    let server = Server::start(|_, request| match request.line.split(' ').next() {
        Some("POST") if request.line.contains("mount=") => answer("403 Forbidden", "", b""),
        Some("POST") => answer("202 Accepted", "Location: /up\r\n", b""),
        _ => created(b"0123456789"),
    });
    assert_eq!(mount(&server).expect("sent"), State::Uploaded);
}

#[test]
fn a_token_for_a_mount_is_for_both_repositories() {
    let server = Server::start(|_, request| {
        let both = "scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Aother%3Apull";
        if request.line.starts_with("GET /token") {
            let token = if request.line.contains(both) { "both" } else { "one" };
            answer("200 OK", "", format!(r#"{{"token":"{token}"}}"#).as_bytes())
        } else if request.headers.contains("authorization: Bearer both") {
            created(b"0123456789")
        } else {
            let realm = format!("http://{}/token", host_of(request));
            answer(
                "401 Unauthorized",
                &format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n"),
                b"",
            )
        }
    });
    assert_eq!(mount(&server).expect("mounted"), State::Mounted);
}

fn host_of(request: &Seen) -> &str {
    request.headers.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default()
}

#[test]
fn an_upload_is_not_led_to_this_machine() {
    let asked: Url = "https://ghcr.io/v2/app/blobs/uploads/".parse().expect("a URL");
    for inwards in
        ["https://127.0.0.1/up", "https://localhost:8443/up", "http://ghcr.io/up", "file:///up"]
    {
        let error = super::super::led(&asked, "Location", inwards).expect_err(inwards);
        assert_eq!(error.kind(), Kind::Damaged, "{error}");
    }
    let led = super::super::led(&asked, "Location", "/up?_state=x").expect("a place");
    assert_eq!(led.as_str(), "https://ghcr.io/up?_state=x");
}
