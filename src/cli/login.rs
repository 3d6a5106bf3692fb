//! `xpost login` and `xpost logout`: credentials for a registry, kept where docker, oras and podman look for them.

use serde_json::json;

use super::environment;
use super::failure::{Exit, Failure};
use super::store::{self, Reach};
use super::ui::{Ui, safe};
use crate::oci::credentials::{self, Credentials};
use crate::oci::{self, Host};

/// Keep a user's password or token for a registry
///
/// The registry is asked whether it accepts them before anything is kept. They go to the helper that the docker
/// configuration names (credHelpers, credsStore), else into that file, where docker, oras and crane find them as well;
/// REGISTRY_AUTH_FILE names another file.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost login ghcr.io --username me --password-stdin < token
  xpost login localhost:5000 --username me --password-stdin < password")]
pub(super) struct Login {
    /// The registry
    #[arg(value_name = "HOST[:PORT]")]
    host: Host,
    #[command(flatten)]
    reach: Reach,
}

/// Forget what is kept for a registry
#[derive(clap::Args)]
pub(super) struct Logout {
    /// The registry
    #[arg(value_name = "HOST[:PORT]")]
    host: Host,
}

pub(super) fn login(args: &Login, ui: Ui) -> Result<(), Failure> {
    let host = &args.host;
    let explain = |error: oci::Error| {
        let mut failure = store::failure(format!("cannot log in to {host}"), &error);
        // That is what was just tried.
        failure.hint.take_if(|_| failure.exit == Exit::Authentication);
        failure
    };
    let Some(Credentials::Basic { username, password }) = args.reach.given()? else {
        return Err(Failure::plain(Exit::Usage, format!("cannot log in to {host}"))
            .because("nothing says who")
            .hint("xpost login HOST --username NAME --password-stdin < FILE"));
    };
    let given = Credentials::Basic { username: username.clone(), password: password.clone() };
    let asked = oci::check_login(host, args.reach.plain(), given, args.reach.http()?);
    if !asked.map_err(explain)? {
        ui.warn(&format!("{host} lets everybody in: whether the password is right is not known"));
    }
    // From here they are good.
    let files = environment::credential_files();
    let file = files.first().cloned().unwrap_or_default();
    let keeper = credentials::keep(&file, host, &username, &password).map_err(explain)?;
    let keeper = keeper.to_string();
    let value = json!({ "registry": host.as_str(), "username": username, "kept": keeper });
    ui.result(
        "login",
        value,
        &format!("{host}: logged in as {}, kept in {}\n", safe(&username), safe(&keeper)),
    )
}

pub(super) fn logout(args: &Logout, ui: Ui) -> Result<(), Failure> {
    let host = &args.host;
    let explain = |error: oci::Error| store::failure(format!("cannot log out of {host}"), &error);
    let mut from = Vec::new();
    for file in environment::credential_files() {
        let forgotten = credentials::forget(&file, host).map_err(explain)?;
        from.extend(forgotten.map(|keeper| keeper.to_string()));
    }
    if from.is_empty() {
        return Err(Failure::plain(Exit::NotFound, format!("cannot log out of {host}"))
            .because("nothing is kept for it"));
    }
    let text = format!("{host}: forgotten in {}\n", safe(&from.join(", ")));
    ui.result("logout", json!({ "registry": host.as_str(), "forgotten": from }), &text)
}
