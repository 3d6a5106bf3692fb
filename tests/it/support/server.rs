//! Real registries on 127.0.0.1, each on a free port, with its storage in a directory of its own; killed when dropped.
//!
//! A server takes port 0 and says in its log which one it got, so two tests never fight for a port. Where a test fails,
//! the log of its servers is printed.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::tools;

/// Who may use a server that asks: see [`Auth`].
pub const USER: &str = "alice";
/// That user's password.
pub const PASSWORD: &str = "secret";
/// An identity token that stands for that user at the token issuer.
pub const IDENTITY_TOKEN: &str = "refresh-me";

/// What `docker login` writes for [`USER`].
pub fn login(host: &str, password: &str) -> String {
    let line = STANDARD.encode(format!("{USER}:{password}"));
    serde_json::json!({"auths": {host: {"auth": line}}}).to_string()
}

/// A server program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// distribution 3: no referrers API, like ghcr.io.
    Distribution,
    /// distribution 2.8 of Debian: no referrers API; refuses an index whose children are missing.
    DockerRegistry,
    /// cuelabs' ociserver: a right referrers API, but no `OCI-Subject` header.
    Cuelabs,
    /// go-containerregistry's: a referrers API that gives the config's media type as artifactType.
    Ggcr,
}

/// All of them.
pub const ALL: [Kind; 4] = [Kind::Distribution, Kind::DockerRegistry, Kind::Cuelabs, Kind::Ggcr];

/// What a server wants to know before it answers. Only [`Kind::Distribution`] and [`Kind::DockerRegistry`] can ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Nothing.
    Open,
    /// [`USER`] and [`PASSWORD`] with each request.
    Basic,
    /// A bearer token: anybody may pull, [`USER`] may do everything.
    Token,
    /// The same, with tokens that are refused after so many seconds.
    TokenFor(i64),
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: Process,
    tokens: Option<Process>,
    directory: TempDir,
}

impl Server {
    /// Starts a server that everybody may use.
    pub fn start(kind: Kind) -> Self {
        Self::start_with(kind, Auth::Open)
    }

    /// Starts a distribution that speaks TLS, with this certificate and its key.
    pub fn start_with_tls(certificate: &Path, key: &Path) -> Self {
        let directory = directory();
        let (mut command, tokens) = distribution("registry", directory.path(), Auth::Open);
        command.env("REGISTRY_HTTP_TLS_CERTIFICATE", certificate);
        command.env("REGISTRY_HTTP_TLS_KEY", key);
        let process = Process::start(command, &directory.path().join("log"));
        Self { process, tokens, directory }
    }

    /// Starts a distribution, of either age, that deletes nothing, as it is if nobody says otherwise.
    pub fn start_without_deletion(kind: Kind) -> Self {
        let directory = directory();
        let program = if kind == Kind::Distribution { "registry" } else { "docker-registry" };
        let (mut command, tokens) = distribution(program, directory.path(), Auth::Open);
        command.env("REGISTRY_STORAGE_DELETE_ENABLED", "false");
        let process = Process::start(command, &directory.path().join("log"));
        process.wait_for_answer();
        Self { process, tokens, directory }
    }

    /// Starts a server and waits until it answers.
    pub fn start_with(kind: Kind, auth: Auth) -> Self {
        let directory = directory();
        let (command, tokens) = match kind {
            Kind::Cuelabs | Kind::Ggcr => {
                assert_eq!(auth, Auth::Open, "{kind:?} has no authentication");
                (
                    test_server(if kind == Kind::Cuelabs {
                        "referrers-cuelabs"
                    } else {
                        "referrers-ggcr"
                    }),
                    None,
                )
            }
            Kind::Distribution => distribution("registry", directory.path(), auth),
            Kind::DockerRegistry => distribution("docker-registry", directory.path(), auth),
        };
        let process = Process::start(command, &directory.path().join("log"));
        let server = Self { process, tokens, directory };
        server.process.wait_for_answer();
        server
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.process.address.to_string()
    }

    /// `localhost:PORT`: the one name for which every client takes plain http.
    pub fn localhost(&self) -> String {
        format!("localhost:{}", self.process.address.port())
    }

    /// `127.0.0.1:PORT/REPOSITORY`, where the repository may carry a tag or a digest.
    pub fn reference(&self, repository: &str) -> String {
        format!("{}/{repository}", self.host())
    }

    /// What the server wrote so far: its requests among it.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// What the token issuer wrote so far: one line a request, `METHOD URI STATUS`.
    pub fn token_log(&self) -> String {
        self.tokens.as_ref().expect("this server was started with Auth::Token").log()
    }

    /// Where a distribution keeps its blobs and manifests; for tests that damage one.
    pub fn storage(&self) -> std::path::PathBuf {
        self.directory.path().join("storage")
    }
}

fn directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("xpost-registry-")
        .tempdir()
        .expect("a temporary directory can be made")
}

/// A distribution of either age, and its token issuer where it needs one.
fn distribution(program: &str, directory: &Path, auth: Auth) -> (Command, Option<Process>) {
    let mut config = format!(
        "version: 0.1\nlog: {{level: info, formatter: text}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n\
         storage: {{filesystem: {{rootdirectory: {:?}}}, delete: {{enabled: true}}}}\n",
        directory.join("storage")
    );
    let mut tokens = None;
    match auth {
        Auth::Open => {}
        Auth::Basic => {
            let file = directory.join("htpasswd");
            let line =
                tools::stdout(Command::new(tools::path("htpasswd")).args(["-Bbn", USER, PASSWORD]));
            std::fs::write(&file, line).expect("the password file can be written");
            config += &format!("auth: {{htpasswd: {{realm: xpost-tests, path: {file:?}}}}}\n");
        }
        Auth::Token | Auth::TokenFor(_) => {
            let certificate = directory.join("tokens.pem");
            // Registries take a token for a minute longer than it says (distribution, registry/auth/token/token.go, Leeway).
            let lifetime = if let Auth::TokenFor(seconds) = auth { seconds - 60 } else { 60 };
            let mut command = test_server("tokens");
            command.args([
                "-user",
                USER,
                "-password",
                PASSWORD,
                "-refresh-token",
                IDENTITY_TOKEN,
                "-certificate",
            ]);
            command.arg(&certificate).arg("-lifetime").arg(format!("{lifetime}s"));
            let issuer = Process::start(command, &directory.join("tokens.log"));
            // Called localhost, because go-containerregistry refuses a realm that is an address of this machine, and oras
            // one that has not the registry's own name: so a registry that wants tokens is called localhost, too.
            config += &format!(
                "auth: {{token: {{realm: \"http://localhost:{}/token\", service: xpost-registry, issuer: xpost-tests, \
                 rootcertbundle: {certificate:?}}}}}\n",
                issuer.address.port()
            );
            tokens = Some(issuer);
        }
    }
    let file = directory.join("config.yml");
    std::fs::write(&file, config).expect("the configuration can be written");
    let mut command = Command::new(tools::path(program));
    // A registry takes options from REGISTRY_* too, and distribution 3 sends traces unless it is told not to.
    command.env_clear().env("OTEL_TRACES_EXPORTER", "none").arg("serve").arg(file);
    (command, tokens)
}

fn test_server(kind: &str) -> Command {
    let mut command = Command::new(tools::path("test-servers"));
    command.arg(kind);
    command
}

/// A process that listens, and its log.
#[derive(Debug)]
struct Process {
    child: Child,
    address: SocketAddr,
    log: std::path::PathBuf,
}

/// Long, because two cores may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

impl Process {
    fn start(mut command: Command, log: &Path) -> Self {
        let file = File::create(log).expect("the log can be made");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the log can be shared"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        // From here the process is killed, whatever goes wrong.
        let mut process =
            Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), log: log.to_owned() };
        let deadline = Instant::now() + PATIENCE;
        process.address = loop {
            if let Some(address) = address_in(&process.log()) {
                break address;
            }
            if let Some(status) = process.child.try_wait().expect("a child can be asked") {
                panic!("{command:?} stopped: {status}");
            }
            assert!(Instant::now() < deadline, "{command:?} says no address within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(process.address.ip().is_loopback(), "{command:?} listens on {}", process.address);
        process
    }

    /// Listening is not answering: a registry has to open its storage first.
    fn wait_for_answer(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !answers(self.address) {
            assert!(
                Instant::now() < deadline,
                "{} does not answer within {PATIENCE:?}",
                self.address
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        std::fs::read(&self.log).map_or_else(
            |error| error.to_string(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // By its own id, and then waited for, so that none is left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- the last lines of {} ({})\n{}",
                self.log.display(),
                self.address,
                last_lines(&self.log())
            );
        }
    }
}

/// What a reader of a failed test wants: requests and complaints, without what a registry says of each that went well.
fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().filter(|line| !line.contains("level=info")).collect();
    let lines = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
    lines.iter().map(|line| line.chars().take(400).chain(['\n']).collect::<String>()).collect()
}

/// The address in `… listening on 127.0.0.1:PORT…`.
fn address_in(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("listening on ")?;
    // A line that is not whole yet may hold half a port.
    let end = rest.find(|character: char| {
        !(character.is_ascii_digit() || character == '.' || character == ':')
    })?;
    rest.get(..end)?.parse().ok()
}

/// Whether a registry answers at all: 200, or 401 where it wants to know who asks.
fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<[u8; 12]> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(
            format!("GET /v2/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
        )?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status)
    };
    ask().is_ok_and(|status| status.ends_with(b"200") || status.ends_with(b"401"))
}
