//! A registry that is not to be trusted: it stands before a real one and does to its answers what a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What was asked: `GET /v2/app/manifests/v1`.
pub type Asked = str;

/// What becomes of the answer of the real registry; the number counts the requests from 1.
pub type Fault = dyn Fn(usize, &Asked, Vec<u8>) -> Vec<u8> + Send + Sync;

/// A server on this machine. It is a proxy as well: whatever host it is asked for, it asks the one it stands before.
#[derive(Debug)]
pub struct Faulty {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Faulty {
    /// Stands before `host` (`127.0.0.1:PORT`).
    pub fn before(
        host: &str,
        fault: impl Fn(usize, &Asked, Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(AtomicUsize::new(0));
        let (counter, host) = (Arc::clone(&asked), host.to_owned());
        let fault: Arc<Fault> = Arc::new(fault);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (counter, host, fault) =
                    (Arc::clone(&counter), host.clone(), Arc::clone(&fault));
                std::thread::spawn(move || {
                    let Some((asked, request)) = read_request(&client) else { return };
                    let count = counter.fetch_add(1, Ordering::Relaxed) + 1;
                    if asked.starts_with("CONNECT ") {
                        return tunnel(&host, client);
                    }
                    let answer = forward(&host, &request).unwrap_or_default();
                    let _ = (&client).write_all(&fault(count, &asked, answer));
                });
            }
        });
        Self { address, asked }
    }

    /// `127.0.0.1:PORT/REPOSITORY`.
    pub fn reference(&self, repository: &str) -> String {
        format!("{}/{repository}", self.address)
    }

    /// As a proxy.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests there were.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// An answer of one's own.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The head of an answer with its last line, and the body.
pub fn split(answer: &[u8]) -> (&[u8], &[u8]) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    answer.split_at(end.map_or(answer.len(), |end| end + 4))
}

/// The answer with another body, and the length of that.
pub fn with_body(answer: &[u8], body: &[u8]) -> Vec<u8> {
    let head = String::from_utf8_lossy(split(answer).0).into_owned();
    let lines: Vec<String> = head
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| match line.to_ascii_lowercase().starts_with("content-length:") {
            true => format!("Content-Length: {}", body.len()),
            false => line.to_owned(),
        })
        .collect();
    [format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes(), body].concat()
}

/// The request as it came, but for one connection each.
fn read_request(client: &TcpStream) -> Option<(String, Vec<u8>)> {
    client.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let mut reader = BufReader::new(client);
    let (mut request, mut length, mut asked) = (Vec::new(), 0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if asked.is_empty() {
            asked = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        }
        if line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
        if !name.eq_ignore_ascii_case("connection") {
            request.extend_from_slice(line.as_bytes());
        }
    }
    request.extend_from_slice(b"Connection: close\r\n\r\n");
    let head = request.len();
    request.resize(head + length, 0);
    reader.read_exact(&mut request[head..]).ok()?;
    Some((asked, request))
}

fn forward(host: &str, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(host)?;
    server.write_all(request)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}

/// What a proxy does for TLS: it sees nothing of it.
fn tunnel(host: &str, mut client: TcpStream) {
    let Ok(mut server) = TcpStream::connect(host) else { return };
    let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    let (Ok(mut to_client), Ok(mut from_server)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
    let _ = std::io::copy(&mut client, &mut server);
}
