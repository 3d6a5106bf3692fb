//! What the environment says. Nothing else reads it.
#![expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]

use std::env;
use std::path::PathBuf;

use super::failure::{Exit, Failure};
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

/// The file in which `docker login` and its like keep credentials.
pub(super) fn docker_config() -> PathBuf {
    let directory = match env::var_os("DOCKER_CONFIG") {
        Some(directory) if !directory.is_empty() => PathBuf::from(directory),
        _ => env::home_dir().unwrap_or_default().join(".docker"),
    };
    directory.join("config.json")
}
