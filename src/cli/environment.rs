//! What the environment says. Nothing else reads it.
#![expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]

use std::env;
use std::path::PathBuf;

use super::failure::{Exit, Failure};
use crate::oci::Mirror;
use crate::sbom::Timestamp;

/// The time that documents state, where a reproducible build gives one.
pub(super) fn source_date_epoch() -> Result<Option<Timestamp>, Failure> {
    match env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(None),
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => text.parse().map(Some).map_err(|error| {
            Failure::new(
                Exit::Usage,
                "cannot use the environment variable SOURCE_DATE_EPOCH",
                &error,
            )
        }),
    }
}

/// The files in which `docker login`, `podman login` and `xpost login` keep credentials, those that count most first:
/// the one that `REGISTRY_AUTH_FILE` names and no other (containers-auth.json(5)), else docker's, then podman's.
pub(super) fn credential_files() -> Vec<PathBuf> {
    if let Some(file) = path("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let home = env::home_dir().unwrap_or_default();
    let docker = path("DOCKER_CONFIG").unwrap_or_else(|| home.join(".docker"));
    let config = path("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
    let podman = path("XDG_RUNTIME_DIR").into_iter().chain([config]);
    let podman = podman.map(|directory| directory.join("containers/auth.json"));
    [docker.join("config.json")].into_iter().chain(podman).collect()
}

/// The user and the token of a GitHub workflow, which are meant for ghcr.io.
pub(super) fn github_token() -> Option<(String, String)> {
    let text = |name| env::var(name).ok().filter(|text| !text.is_empty());
    let user = || text("GITHUB_ACTOR").unwrap_or_else(|| "x-access-token".to_owned());
    text("GITHUB_TOKEN").map(|token| (user(), token))
}

/// The mirrors of `XPOST_MIRRORS`.
pub(super) fn mirrors() -> Result<Vec<Mirror>, Failure> {
    let text = env::var("XPOST_MIRRORS").unwrap_or_default();
    text.split_whitespace()
        .map(|mirror| {
            mirror.parse().map_err(|reason: String| {
                Failure::plain(Exit::Usage, "cannot use the environment variable XPOST_MIRRORS")
                    .because(reason)
            })
        })
        .collect()
}

fn path(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}
