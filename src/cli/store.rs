//! References of the command line → open stores, and what goes on in them → progress.

use std::cell::RefCell;

use indicatif::ProgressBar;

use super::environment;
use super::failure::{Exit, Failure};
use super::ui::{self, Ui};
use crate::http;
use crate::oci::auth::Login;
use crate::oci::store::Access;
use crate::oci::{self, Connection, Error, Event, Kind, Plain, Reference, State, Store};

/// How to reach a registry.
#[derive(clap::Args, Debug, Clone, Copy)]
pub(super) struct Reach {
    /// Speak http without TLS to this registry
    #[arg(long)]
    plain_http: bool,
}

/// Opens the store that a reference names.
pub(super) fn open(
    reference: &Reference,
    access: Access,
    reach: Reach,
) -> Result<Box<dyn Store>, Failure> {
    let connection = Connection {
        plain: if reach.plain_http { Plain::Always } else { Plain::Loopback },
        login: Login::DockerConfig(environment::docker_config()),
        http: http::Options::default(),
    };
    oci::open(&reference.location, access, &connection)
        .map_err(|error| failure(format!("cannot open {reference}"), &error))
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
        (Error::Occupied { .. }, _) => failure.hint("choose another tag, or move this one with --overwrite"),
        (Error::NoPlatform { .. }, _) => failure.hint("choose one with --platform"),
        (Error::SamePlatform { .. }, _) => {
            failure.hint("publish them under two references, each from a release directory of its own (--release-dir)")
        }
        (Error::OccupiedDirectory { .. }, _) => failure.hint("name a directory that is empty or new"),
        (Error::NoTag { .. }, _) => failure.hint("add a tag (:v1) or a digest (@sha256:…)"),
        (_, Exit::Authentication) => failure.hint("log in first: docker login, oras login or podman login HOST"),
        (_, Exit::Network) => failure.hint("this may pass: try again"),
        _ => failure,
    }
}

/// Shows blobs as they pass: a bar on a terminal, else a line for each.
pub(super) fn progress(ui: Ui, verb: &'static str) -> impl Fn(Event<'_>) {
    let current = RefCell::new((ProgressBar::hidden(), 0));
    move |event| {
        let (bar, bytes) = &mut *current.borrow_mut();
        match event {
            Event::Begin { name, size } => {
                bar.finish_and_clear();
                (*bar, *bytes) = (ui.progress(name, size), size);
            }
            Event::Passed { bytes } => bar.set_position(bytes),
            Event::End { name, state } => {
                bar.finish_and_clear();
                match state {
                    State::Uploaded => ui.note(&format!("{verb} {name} ({})", ui::size(*bytes))),
                    State::Present => ui.note(&format!("there already: {name}")),
                }
            }
            Event::Manifest { .. } | Event::Checking | Event::Tagged { .. } => {}
        }
    }
}
