//! References of the command line → open stores, and what goes on in them → progress.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;

use super::environment;
use super::failure::{Exit, Failure};
use super::ui::{self, Ui};
use crate::digest::Digest;
use crate::fs;
use crate::http;
use crate::oci::credentials::{Credentials, Login, Source};
use crate::oci::store::Access;
use crate::oci::{
    self, Connection, Error, Event, Host, Kind, Location, Mirror, Node, Plain, Reference, State,
    Store,
};

/// How to reach a registry.
#[derive(clap::Args, Debug, Clone)]
pub(super) struct Reach {
    /// Speak http without TLS to the registry of REF and to no other, or (=false) https to one of this machine as well
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    plain_http: Option<bool>,
    /// Open no socket, whatever the references say
    #[arg(long)]
    offline: bool,
    /// Trust the certificate authorities of this PEM file as well
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Read PLACE before the registry: HOST[/NAME]=PLACE, with http:// before PLACE where it has no TLS. XPOST_MIRRORS holds
    /// more of them, with spaces between
    #[arg(long = "mirror", value_name = "HOST=PLACE")]
    mirrors: Vec<Mirror>,
    /// Who asks, instead of whom `xpost login` made known
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    username: Option<String>,
    /// Read the password or token of --username from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
}

/// A password is shorter, a token as well.
const MAX_PASSWORD: u64 = 64 << 10;

impl Reach {
    /// The connection that the options and the environment describe. What the command line says of who asks, and of http, is
    /// for the registry of `about`, and for no other that the command may go to.
    pub(super) fn connection(&self, about: &Reference, ui: Ui) -> Result<Connection, Failure> {
        let mut login = known();
        if let (Location::Registry(repository), Some(given)) = (&about.location, self.given()?) {
            login.0.insert(0, Source::For(repository.host().clone(), given));
        }
        let mirrors = self.mirrors.iter().cloned().chain(environment::mirrors()?).collect();
        let plain = plain_of(about, self.plain_http).into_iter().collect();
        let http = self.http()?;
        Ok(Connection { plain, login, mirrors, warn: ui.warner(), http })
    }

    pub(super) fn plain(&self) -> Plain {
        self.plain_http.map_or(Plain::Loopback, spoken)
    }

    pub(super) fn http(&self) -> Result<http::Options, Failure> {
        let authorities = self.ca_file.as_deref().map(|file| fs::read_small(file, MAX_CA_FILE));
        let network = if self.offline { http::Network::Off } else { http::Network::Any };
        let authorities = authorities.transpose()?;
        Ok(http::Options { authorities, network, ..http::Options::default() })
    }

    /// The credentials that the command line names; standard input can be read once.
    pub(super) fn given(&self) -> Result<Option<Credentials>, Failure> {
        let Some(username) = self.username.clone() else { return Ok(None) };
        // RFC 7617, 2: what comes behind the first one is the password.
        if username.contains(':') {
            return Err(Failure::plain(Exit::Usage, "cannot use the user name")
                .because("it has a ':', which ends a user name wherever it is sent"));
        }
        let unusable =
            |reason: &str| Failure::plain(Exit::Usage, "cannot use the password").because(reason);
        let password = String::from_utf8(fs::read_stdin(MAX_PASSWORD)?)
            .map_err(|_| unusable("it is not UTF-8"))?;
        // What `echo` and editors add is no part of it.
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        if password.is_empty() {
            return Err(unusable("standard input is empty"));
        }
        Ok(Some(Credentials::Basic { username, password }))
    }
}

/// What an option says of the registry of a reference.
pub(super) fn plain_of(reference: &Reference, said: Option<bool>) -> Option<(Host, Plain)> {
    match (&reference.location, said) {
        (Location::Registry(repository), Some(said)) => {
            Some((repository.host().clone(), spoken(said)))
        }
        _ => None,
    }
}

fn spoken(is_plain: bool) -> Plain {
    if is_plain { Plain::Always } else { Plain::Never }
}

/// A bundle of all authorities of a system is a quarter of this.
const MAX_CA_FILE: u64 = 1 << 20;

/// Whom files and the environment make known.
fn known() -> Login {
    let mut sources: Vec<Source> =
        environment::credential_files().into_iter().map(Source::File).collect();
    if let (Some((username, password)), Ok(ghcr)) = (environment::github_token(), "ghcr.io".parse())
    {
        sources.push(Source::For(ghcr, Credentials::Basic { username, password }));
    }
    Login(sources)
}

/// Opens the store that a reference names.
pub(super) fn open(
    reference: &Reference,
    access: Access,
    reach: &Reach,
    ui: Ui,
) -> Result<Box<dyn Store>, Failure> {
    open_with(reference, access, &reach.connection(reference, ui)?)
}

/// The same over a connection that the command has already.
pub(super) fn open_with(
    reference: &Reference,
    access: Access,
    connection: &Connection,
) -> Result<Box<dyn Store>, Failure> {
    oci::open(&reference.location, access, connection)
        .map_err(|error| failure(format!("cannot open {reference}"), &error))
}

/// A reference, looked up: from here everything goes by digest.
pub(super) struct Named {
    pub(super) store: Box<dyn Store>,
    /// The manifest that the reference names.
    pub(super) root: Node,
}

impl Named {
    /// Opens the store and looks the reference up; `verb` says what for, as in `cannot VERB REF`.
    pub(super) fn find(
        reference: &Reference,
        access: Access,
        reach: &Reach,
        verb: &str,
        ui: Ui,
    ) -> Result<Self, Failure> {
        let store = open(reference, access, reach, ui)?;
        let root = oci::resolve(store.as_ref(), &reference.target);
        let root = root.map_err(|error| failure(format!("cannot {verb} {reference}"), &error))?;
        Ok(Self { store, root })
    }

    /// The reference that always names the same: `ghcr.io/org/app@sha256:…`.
    pub(super) fn by_digest(&self) -> String {
        format!("{}@{}", self.store.name(), self.root.descriptor.digest)
    }
}

/// A failure of a store, with its exit code and what to do.
pub(super) fn failure(doing: impl Into<String>, error: &Error) -> Failure {
    let exit = match error.kind() {
        Kind::Usage => Exit::Usage,
        Kind::Refused => Exit::Refused,
        Kind::NotFound => Exit::NotFound,
        Kind::Authentication => Exit::Authentication,
        Kind::Network => Exit::Network,
        Kind::Damaged => Exit::Damaged,
        Kind::Other => Exit::Failed,
    };
    let failure = Failure::new(exit, doing, error);
    match (error, exit) {
        (Error::Occupied { .. }, _) => {
            failure.hint("choose another tag, or move this one with --overwrite")
        }
        (Error::NoPlatform { .. }, _) => failure.hint("choose one with --platform"),
        (Error::OtherContents { .. }, _) => failure.hint("name one that is empty or new"),
        (Error::NoDeletion { what: "tags", .. }, _) => failure.hint(
            "here a tag goes only with what it names: name that by its digest, and it goes under all its tags",
        ),
        (Error::NoDeletion { .. }, _) => failure.hint(
            "where it is your registry, allow it (distribution: REGISTRY_STORAGE_DELETE_ENABLED=true); others have a page \
             or an API of their own for it",
        ),
        (Error::Changed { .. }, _) => failure.hint("run it again: both are in it then"),
        (Error::NoTag { .. }, _) => failure.hint("add a tag (:v1) or a digest (@sha256:…)"),
        (Error::Credentials { .. }, _) => failure
            .hint("put that right, or do without it: --username NAME --password-stdin"),
        (Error::Elsewhere { .. }, _) => failure.hint(
            "logging in does not help there: links of that kind go stale, so try again; else a proxy or a clock may be in the way",
        ),
        (Error::Unauthorized { who: Some(who), .. }, _) => failure.hint(format!(
            "{who} may not be allowed to, or the password may be an old one: xpost login HOST makes another known",
        )),
        (_, Exit::Authentication) => failure
            .hint("log in first: xpost login HOST (docker, oras and podman login do as well)"),
        (_, Exit::Network) => failure.hint("this may pass: try again"),
        _ => failure,
    }
}

/// Shows blobs as they pass, several at once: bars on a terminal, else a line for each.
pub(super) fn progress(ui: Ui, verb: &'static str) -> impl Fn(Event<'_>) + Sync {
    let bars = ui.bars();
    let passing: Mutex<BTreeMap<Digest, ProgressBar>> = Mutex::default();
    move |event| {
        let mut passing = passing.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Begin { digest, name, size } => {
                let bar = passing.entry(digest).or_insert_with(|| bars.add(ui::bar(name)));
                bar.set_length(size);
                bar.set_position(0);
            }
            Event::Passed { digest, bytes } => {
                passing.get(&digest).inspect(|bar| bar.set_position(bytes));
            }
            Event::End { digest, name, state } => {
                let bar = passing.remove(&digest);
                let size = bar.as_ref().and_then(ProgressBar::length).unwrap_or_default();
                bar.iter().for_each(|bar| {
                    bar.finish_and_clear();
                    bars.remove(bar);
                });
                bars.suspend(|| match state {
                    State::Uploaded => ui.note(&format!("{verb} {name} ({})", ui::size(size))),
                    State::Mounted => ui.note(&format!("taken over by the registry: {name}")),
                    State::Present => ui.note(&format!("there already: {name}")),
                });
            }
            Event::Manifest { .. } | Event::Checking | Event::Tagged { .. } => {}
        }
    }
}
