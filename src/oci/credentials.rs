//! Who asks: credentials as they were given, and as `docker login`, `podman login` and `xpost login` keep them.
//!
//! In goes a host and a repository, out come [`Credentials`]. A configuration names credentials by host (docker) or by
//! host and the beginning of a repository's name (podman), or it names a helper that keeps them: the program
//! `docker-credential-NAME`, which is asked on its standard input (docker-credential-helpers, "Development").
//! What a login writes leaves everything else in the file as it was.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::helper;
use super::host::Host;
use super::{Error, Repository};
use crate::fs::{self, Mode};

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular.
    Anonymous,
    /// A user with a password or an access token.
    Basic {
        /// The name.
        username: String,
        /// The secret.
        password: String,
    },
    /// A refresh token, as credential helpers hand them out.
    IdentityToken(String),
}

/// Without the secrets.
impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => out.write_str("Anonymous"),
            Self::Basic { username, .. } => write!(out, "Basic({username:?})"),
            Self::IdentityToken(_) => out.write_str("IdentityToken"),
        }
    }
}

/// Where credentials may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// These, whoever asks.
    Given(Credentials),
    /// A configuration of docker's or podman's, which need not exist.
    File(PathBuf),
    /// These, and for this host alone: a token of the environment is meant for one registry.
    For(Host, Credentials),
}

/// Where credentials come from, should a registry ask for some: the first source that has any for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Login(pub Vec<Source>);

impl Login {
    /// These credentials.
    pub fn of(credentials: Credentials) -> Self {
        Self(vec![Source::Given(credentials)])
    }

    /// The credentials for a repository, or for a host as such; [`Credentials::Anonymous`] where no source has any.
    ///
    /// # Errors
    /// [`Error::Credentials`] where there are some that cannot be used.
    pub fn credentials(&self, host: &Host, name: Option<&str>) -> Result<Credentials, Error> {
        for source in &self.0 {
            let found = match source {
                Source::Given(credentials) => Some(credentials.clone()),
                Source::File(file) => Config::read(file, host)?.credentials(name)?,
                Source::For(other, credentials) => (other == host).then(|| credentials.clone()),
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        Ok(Credentials::Anonymous)
    }

    /// The credentials for a repository.
    ///
    /// # Errors
    /// Those of [`Login::credentials`].
    pub fn of_repository(&self, repository: &Repository) -> Result<Credentials, Error> {
        self.credentials(repository.host(), Some(repository.name()))
    }
}

/// Where credentials are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// In this file, readable by the owner alone.
    File(PathBuf),
    /// With this program.
    Helper(String),
}

impl fmt::Display for Keeper {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.display().fmt(out),
            Self::Helper(helper) => out.write_str(helper),
        }
    }
}

/// Keeps a user's password for a host: with the helper that the configuration names, else in the configuration.
///
/// # Errors
/// [`Error::Credentials`], and a file that cannot be written.
pub fn keep(file: &Path, host: &Host, username: &str, password: &str) -> Result<Keeper, Error> {
    let mut config = Config::read(file, host)?;
    let entry = match config.helper().or_else(|| config.store()) {
        Some(helper) => {
            let secret = json!({ "ServerURL": host.credentials_key(), "Username": username, "Secret": password });
            config.ask(&helper, "store", &secret.to_string())?;
            // Says that there is something to log out of, as docker does.
            config.entries().insert(host.credentials_key().to_owned(), json!({}));
            Keeper::Helper(program(&helper))
        }
        None => {
            let line = json!({ "auth": STANDARD.encode(format!("{username}:{password}")) });
            config.entries().insert(host.credentials_key().to_owned(), line);
            Keeper::File(file.to_owned())
        }
    };
    config.write()?;
    Ok(entry)
}

/// Forgets what is kept for a host; says where something was.
///
/// # Errors
/// [`Error::Credentials`], and a file that cannot be written.
pub fn forget(file: &Path, host: &Host) -> Result<Option<Keeper>, Error> {
    let mut config = Config::read(file, host)?;
    let mut found = None;
    if let Some(helper) = config.helper().or_else(|| config.store())
        && config.of_helper(&helper)?.is_some()
    {
        config.ask(&helper, "erase", host.credentials_key())?;
        found = Some(Keeper::Helper(program(&helper)));
    }
    let entries = config.entries();
    let before = entries.len();
    entries.retain(|key, _| !is_key_of(key, host));
    if entries.len() < before {
        config.write()?;
        found = found.or(Some(Keeper::File(file.to_owned())));
    }
    Ok(found)
}

/// A configuration with thousands of registries is smaller.
const MAX_CONFIG: u64 = 4 << 20;

/// What `docker-credential-*` say for a host they do not know (docker-credential-helpers, credentials/error.go).
const NOT_KNOWN: &str = "credentials not found";

/// A configuration, as one host sees it.
struct Config<'a> {
    file: &'a Path,
    host: &'a Host,
    document: Map<String, Value>,
}

impl<'a> Config<'a> {
    /// An absent file is an empty configuration.
    fn read(file: &'a Path, host: &'a Host) -> Result<Self, Error> {
        let empty = Self { file, host, document: Map::new() };
        let bytes = match fs::read_small(file, MAX_CONFIG) {
            Err(error) if error.is_not_found() => return Ok(empty),
            bytes => bytes?,
        };
        // podman leaves an empty file behind.
        if bytes.is_empty() {
            return Ok(empty);
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(document)) => Ok(Self { document, ..empty }),
            Ok(_) => Err(empty.problem("it is no configuration of docker's: no JSON object")),
            Err(error) => Err(empty.problem(&format!("it is no JSON: {error}"))),
        }
    }

    fn write(&self) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(&self.document);
        let mut bytes = bytes.expect("maps have text keys, and a vector takes all");
        bytes.push(b'\n');
        // A configuration that is a link, as in many people's dotfiles, stays one.
        Ok(fs::write(&fs::resolve(self.file), Mode::Secret, &bytes)?)
    }

    fn problem(&self, reason: &str) -> Error {
        let reason = format!("{}: {reason}", self.file.display());
        Error::Credentials { registry: self.host.to_string(), reason }
    }

    /// The helper for this host alone.
    fn helper(&self) -> Option<String> {
        let helpers = self.document.get("credHelpers")?.as_object()?;
        let helper =
            helpers.get(self.host.credentials_key()).or_else(|| helpers.get(self.host.as_str()));
        helper?.as_str().filter(|helper| !helper.is_empty()).map(str::to_owned)
    }

    /// The helper for all hosts that have none of their own.
    fn store(&self) -> Option<String> {
        let store = self.document.get("credsStore")?.as_str();
        store.filter(|helper| !helper.is_empty()).map(str::to_owned)
    }

    fn entries(&mut self) -> &mut Map<String, Value> {
        let auths = self.document.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        auths.as_object_mut().expect("it was made one")
    }

    fn credentials(&self, name: Option<&str>) -> Result<Option<Credentials>, Error> {
        if let Some(helper) = self.helper() {
            return self.of_helper(&helper);
        }
        if let Some(found) = self.of_entry(name)? {
            return Ok(Some(found));
        }
        self.store().map_or(Ok(None), |store| self.of_helper(&store))
    }

    /// What the file itself holds, by the longest name that fits.
    fn of_entry(&self, name: Option<&str>) -> Result<Option<Credentials>, Error> {
        let Some(auths) = self.document.get("auths").and_then(Value::as_object) else {
            return Ok(None);
        };
        let mut path = name.unwrap_or_default();
        let mut entry = None;
        while entry.is_none() && !path.is_empty() {
            entry = auths.get(&format!("{}/{path}", self.host));
            path = path.rsplit_once('/').map_or("", |(above, _)| above);
        }
        let of_host = || auths.iter().find(|(key, _)| is_key_of(key, self.host));
        let entry = entry.or_else(|| auths.get(self.host.credentials_key()));
        let Some(entry) = entry.or_else(|| of_host().map(|(_, entry)| entry)) else {
            return Ok(None);
        };
        let text =
            |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credentials::IdentityToken(token.to_owned())));
        }
        let basic = |(username, password): (&str, &str)| Credentials::Basic {
            username: username.to_owned(),
            password: password.to_owned(),
        };
        match text("auth") {
            None => Ok(text("username").zip(text("password")).map(basic)),
            Some(auth) => {
                let line = engine().decode(auth).ok().and_then(|line| String::from_utf8(line).ok());
                // docker pads short ones with zeros.
                let line = line.as_deref().map(|line| line.trim_end_matches('\0'));
                let pair = line.and_then(|line| line.split_once(':'));
                let problem = || self.problem("\"auth\" is not the base64 of NAME:PASSWORD");
                pair.map(basic).map(Some).ok_or_else(problem)
            }
        }
    }

    fn of_helper(&self, helper: &str) -> Result<Option<Credentials>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            username: String,
            secret: String,
        }
        let Some(answer) = self.ask(helper, "get", self.host.credentials_key())? else {
            return Ok(None);
        };
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|_| self.problem(&format!("{} answers something else", program(helper))))?;
        Ok(Some(match answer.username.as_str() {
            "<token>" => Credentials::IdentityToken(answer.secret),
            _ => Credentials::Basic { username: answer.username, password: answer.secret },
        }))
    }

    /// What a helper answers; nothing where it does not know the host. What else it prints is not shown: it may hold
    /// a secret.
    fn ask(&self, helper: &str, verb: &str, input: &str) -> Result<Option<Vec<u8>>, Error> {
        let failed = |reason: &dyn fmt::Display| {
            self.problem(&format!("{} {verb}: {reason}", program(helper)))
        };
        let asked = helper::ask(&program(helper), verb, input, helper::PATIENCE);
        let (status, said) = asked.map_err(|error| failed(&error))?;
        if status.success() {
            return Ok(Some(said));
        }
        let not_known = String::from_utf8_lossy(&said).contains(NOT_KNOWN);
        if not_known { Ok(None) } else { Err(failed(&status)) }
    }
}

fn program(helper: &str) -> String {
    format!("docker-credential-{helper}")
}

/// Base64 as docker writes it, and as people write it who leave out the padding.
fn engine() -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&base64::alphabet::STANDARD, config)
}

/// Whether a key of `auths` is the host's: as it is, or as the URL of an API that docker made of it.
fn is_key_of(key: &str, host: &Host) -> bool {
    let bare = key.trim_start_matches("https://").trim_start_matches("http://");
    let bare = bare.trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    bare.parse::<Host>().is_ok_and(|other| other.api() == host.api())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> Credentials {
        Credentials::Basic { username: "u".to_owned(), password: "p:w".to_owned() }
    }

    fn of_config(config: &str, reference: &str) -> Result<Credentials, Error> {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("config.json");
        fs::write(&file, Mode::Secret, config.as_bytes()).expect("written");
        of(&Login(vec![Source::File(file)]), reference)
    }

    fn of(login: &Login, reference: &str) -> Result<Credentials, Error> {
        let reference: crate::oci::Reference = reference.parse().expect("a reference");
        let crate::oci::Location::Registry(repository) = reference.location else {
            panic!("a registry")
        };
        login.of_repository(&repository)
    }

    #[test]
    fn a_docker_configuration_says_who_we_are() {
        let config = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpwOnc="},"a.example":{"identitytoken":"t"},
            "https://c.example/v2/":{"auth":"dTpwOnc"},"d.example":{},"e.example":{"username":"u","password":"p:w"}}}"#;
        let token = Credentials::IdentityToken("t".to_owned());
        for (reference, expected) in [
            ("docker.io/app", user()),
            ("registry-1.docker.io/app", user()),
            ("a.example/app", token),
            ("b.example/app", Credentials::Anonymous),
            ("c.example/app", user()),
            ("d.example/app", Credentials::Anonymous),
            ("e.example/app", user()),
        ] {
            assert_eq!(of_config(config, reference).ok(), Some(expected), "{reference}");
        }
        let none = Login(vec![Source::File("/nowhere/config.json".into())]);
        assert_eq!(of(&none, "a.example/app").ok(), Some(Credentials::Anonymous));
    }

    #[test]
    fn podman_keeps_them_by_repository_as_well() {
        let config =
            r#"{"auths":{"a.example/org":{"auth":"dTpwOnc="},"a.example":{"auth":"aG9zdDp4"}}}"#;
        assert_eq!(of_config(config, "a.example/org/app").ok(), Some(user()));
        assert_eq!(of_config(config, "a.example/org").ok(), Some(user()));
        let host = Credentials::Basic { username: "host".to_owned(), password: "x".to_owned() };
        assert_eq!(of_config(config, "a.example/organ/app").ok(), Some(host));
    }

    #[test]
    fn the_first_source_that_has_any_decides_and_a_token_is_for_its_host_alone() {
        let github = Credentials::Basic { username: "x".to_owned(), password: "t".to_owned() };
        let ghcr: Host = "ghcr.io".parse().expect("a host");
        let login = Login(vec![
            Source::File("/nowhere/config.json".into()),
            Source::For(ghcr, github.clone()),
        ]);
        assert_eq!(of(&login, "ghcr.io/org/app").ok(), Some(github));
        for other in ["ghcr.io.example/app", "ghcr.io:444/app", "docker.io/app", "localhost/app"] {
            assert_eq!(of(&login, other).ok(), Some(Credentials::Anonymous), "{other}");
        }
    }

    #[test]
    fn a_broken_configuration_is_not_taken_for_none() {
        for broken in [
            "{",
            "[]",
            r#"{"auths":{"a.example":{"auth":"!"}}}"#,
            r#"{"credsStore":"no-such-helper"}"#,
        ] {
            let error = of_config(broken, "a.example/app").expect_err(broken);
            assert!(matches!(error, Error::Credentials { .. }), "{error}");
        }
    }

    #[test]
    fn a_login_changes_its_own_entry_and_nothing_else() {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join(".docker/config.json");
        let host: Host = "a.example".parse().expect("a host");
        assert_eq!(forget(&file, &host).expect("nothing"), None);
        assert!(!fs::exists(&file));
        let text = r#"{"auths":{"b.example":{"auth":"dTpwOnc="}},"proxies":{"x":1}}"#;
        fs::write(&file, Mode::Data, text.as_bytes()).expect("written");
        let kept = keep(&file, &host, "u", "p:w").expect("kept");
        assert_eq!(kept, Keeper::File(file.clone()));
        let login = Login(vec![Source::File(file.clone())]);
        assert_eq!(of(&login, "a.example/app").ok(), Some(user()));
        assert_eq!(forget(&file, &host).expect("forgotten"), Some(Keeper::File(file.clone())));
        let left: Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
        assert_eq!(left, serde_json::from_str::<Value>(text).expect("JSON"));
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", user()), r#"Basic("u")"#);
    }
}
