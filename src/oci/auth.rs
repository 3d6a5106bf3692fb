//! From a registry's challenge to the `Authorization` it wants; the requests are somebody else's.
//!
//! In comes a `401` with its `WWW-Authenticate`, out comes the next [`Step`]: send this, or fetch a token there first.
//! (OCI has no text on this; the protocol is Docker's, distribution/docs/spec/auth/token.md.) The rule that matters: a
//! password goes to the registry, or to the token server that the registry names over an equally safe connection.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::credentials::Credentials;
use crate::http::{self, Url};

/// What a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password with every request (RFC 7617).
    Basic,
    /// A token from somewhere (RFC 6750).
    Bearer {
        /// Where tokens are.
        realm: String,
        /// How the registry calls itself there.
        service: Option<String>,
        /// What the token has to allow.
        scope: Option<String>,
    },
}

/// The challenges of a `WWW-Authenticate` header that we understand (RFC 9110, 11.6.1).
pub fn challenges(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some((word, after)) = token(rest.trim_start_matches([' ', '\t', ','])) {
        let mut parameters = Vec::new();
        rest = after;
        while let Some((name, value, after)) = parameter(rest.trim_start_matches([' ', '\t', ',']))
        {
            parameters.push((name.to_ascii_lowercase(), value));
            rest = after;
        }
        let take = |name: &str| {
            parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
        };
        if word.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if word.eq_ignore_ascii_case("bearer")
            && let Some(realm) = take("realm")
        {
            found.push(Challenge::Bearer { realm, service: take("service"), scope: take("scope") });
        }
    }
    found
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |character: char| {
        character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
    };
    let end = text.find(|character| !is_token(character)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = token(text)?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, rest) = token(rest)?;
        return Some((name, value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return Some((name, value, quoted.get(position + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// What to do about a challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask again with this `Authorization`.
    Authorize(String),
    /// Fetch a token first.
    FetchToken(TokenRequest),
}

/// A request for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Where.
    pub url: Url,
    /// Who asks.
    pub authorization: Option<String>,
    /// The body of a POST; without one it is a GET.
    pub form: Option<String>,
}

/// Why there is no answer to a challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// These credentials are not what it takes, as a sentence.
    Credentials(&'static str),
    /// Nobody could answer it, whatever the credentials: what is wrong with it.
    Challenge(String),
}

/// The answer to a `401`.
///
/// `scopes` are what we are about to do; a token is asked for all of them at once, because a registry wants to see one
/// token for both sides of a mount. `api` is where the registry is: its token server is no place to which it could not
/// redirect either.
///
/// # Errors
/// Why there is none.
pub fn answer(
    challenges: &[Challenge],
    credentials: &Credentials,
    scopes: &[String],
    api: &Url,
) -> Result<Step, Unanswered> {
    let bearer = challenges.iter().find_map(|challenge| match challenge {
        Challenge::Bearer { realm, service, scope } => Some((realm, service, scope)),
        Challenge::Basic => None,
    });
    if let Some((realm, service, asked)) = bearer {
        let bad = |reason: String| Unanswered::Challenge(format!("its token server {reason}"));
        let mut url: Url = realm.parse().map_err(|_| bad("has no valid URL".to_owned()))?;
        http::may_lead(api, &url)
            .map_err(|reason| bad(format!("leads {reason}, {}", http::shown(&url))))?;
        // The scope that the registry asks for can be narrower than what we are about to do, or about another thing.
        let ours = |asked: &&str| scopes.iter().any(|scope| resource(scope) == resource(asked));
        let asked = asked.as_deref().filter(|asked| !ours(asked));
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).chain(asked).collect();
        return Ok(Step::FetchToken(token_request(
            &mut url,
            service.as_deref(),
            &scopes,
            credentials,
        )));
    }
    if !challenges.contains(&Challenge::Basic) {
        return Err(Unanswered::Challenge(
            "it asks for credentials, and not in one of the ways that registries have (Basic, Bearer)"
                .to_owned(),
        ));
    }
    match credentials {
        Credentials::Basic { username, password } => Ok(Step::Authorize(basic(username, password))),
        Credentials::IdentityToken(_) => {
            Err(Unanswered::Credentials("it wants a password, and there is only a token"))
        }
        Credentials::Anonymous => {
            Err(Unanswered::Credentials("it wants a password, and there is none"))
        }
    }
}

/// `repository:name` of `repository:name:pull`.
fn resource(scope: &str) -> &str {
    scope.rsplit_once(':').map_or(scope, |(resource, _)| resource)
}

fn token_request(
    url: &mut Url,
    service: Option<&str>,
    scopes: &[&str],
    credentials: &Credentials,
) -> TokenRequest {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    pairs.extend(service.map(|service| ("service", service)));
    if let Credentials::IdentityToken(token) = credentials {
        // distribution/docs/spec/auth/oauth.md
        let scope = scopes.join(" ");
        pairs.extend([
            ("grant_type", "refresh_token"),
            ("client_id", "xpost"),
            ("refresh_token", token),
        ]);
        pairs.push(("scope", &scope));
        let mut form = url.clone();
        form.set_query(None);
        let form = form
            .query_pairs_mut()
            .extend_pairs(pairs)
            .finish()
            .query()
            .unwrap_or_default()
            .to_owned();
        return TokenRequest { url: url.clone(), authorization: None, form: Some(form) };
    }
    pairs.extend(scopes.iter().map(|scope| ("scope", *scope)));
    url.query_pairs_mut().extend_pairs(pairs);
    let authorization = match credentials {
        Credentials::Basic { username, password } => Some(basic(username, password)),
        _ => None,
    };
    TokenRequest { url: url.clone(), authorization, form: None }
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

/// The `Authorization` in a token server's answer; `None` for an answer without a usable token.
pub fn authorization_of(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let Answer { token, access_token } = serde_json::from_slice(body).ok()?;
    let token = [token, access_token].into_iter().flatten().find(|token| !token.is_empty())?;
    token.bytes().all(|byte| byte.is_ascii_graphic()).then(|| format!("Bearer {token}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: &str = concat!(
        r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io","#,
        r#"scope="repository:library/alpine:pull",error="insufficient_scope""#
    );
    const API: &str = "https://registry.docker.io/v2/";
    const SCOPE: &str = "repository:library/alpine:pull,push";

    fn user() -> Credentials {
        Credentials::Basic { username: "u".to_owned(), password: "p:w".to_owned() }
    }

    fn step(header: &str, credentials: &Credentials) -> Result<Step, Unanswered> {
        answer(&challenges(header), credentials, &[SCOPE.to_owned()], &url(API))
    }

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    fn request(header: &str, credentials: &Credentials) -> TokenRequest {
        match step(header, credentials).expect("a step") {
            Step::FetchToken(request) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn challenges_are_read_as_the_rfc_writes_them() {
        assert_eq!(challenges(r#"Basic realm="a, Bearer b=\"c\"""#), [Challenge::Basic]);
        assert_eq!(challenges("Negotiate, Basic"), [Challenge::Basic]);
        assert_eq!(challenges(r#"bEARER  REALM = x , Basic realm="y""#).len(), 2);
        for bad in [
            "",
            ",,,",
            "\"",
            "Bearer",
            "Bearer realm",
            r#"Bearer realm="x"#,
            "=",
            "é",
            "Bearer service=x",
        ] {
            assert_eq!(challenges(bad), [], "{bad}");
        }
    }

    #[test]
    fn a_token_is_asked_for_what_we_are_about_to_do() {
        let anonymous = request(HUB, &Credentials::Anonymous);
        assert_eq!(
            anonymous.url.as_str(),
            concat!(
                "https://auth.docker.io/token?service=registry.docker.io",
                "&scope=repository%3Alibrary%2Falpine%3Apull%2Cpush"
            )
        );
        assert_eq!(anonymous.authorization, None);
        assert_eq!(request(HUB, &user()).authorization.as_deref(), Some("Basic dTpwOnc="));
    }

    #[test]
    fn one_token_is_asked_for_both_sides_of_a_mount() {
        let scopes = [SCOPE.to_owned(), "repository:other:pull".to_owned()];
        let step = answer(&challenges(HUB), &user(), &scopes, &url(API)).expect("a step");
        let Step::FetchToken(request) = step else { panic!("{step:?}") };
        assert_eq!(request.url.as_str().matches("scope=").count(), 2, "{}", request.url);
    }

    #[test]
    fn an_identity_token_is_posted_and_not_shown_in_a_url() {
        let request = request(HUB, &Credentials::IdentityToken("s&cret".to_owned()));
        assert!(!request.url.as_str().contains("cret"));
        assert!(request.form.is_some_and(|form| form.contains("refresh_token=s%26cret")));
    }

    #[test]
    fn a_password_never_leaves_tls() {
        let plain = r#"Bearer realm="http://auth.example/token""#;
        assert!(step(plain, &user()).is_err());
        let from = |api: &str, header: &str| answer(&challenges(header), &user(), &[], &url(api));
        assert!(from("http://plain.example/v2/", plain).is_ok());
        assert!(from("http://plain.example/v2/", r#"Bearer realm="file:///etc/passwd""#).is_err());
        // A server of this machine is asked by nobody from elsewhere.
        let inwards = r#"Bearer realm="http://127.0.0.1:8080/token""#;
        assert!(from("http://plain.example/v2/", inwards).is_err());
        assert!(from("http://localhost:5000/v2/", inwards).is_ok());
    }

    #[test]
    fn without_a_password_basic_has_no_answer() {
        assert_eq!(step("Basic", &user()), Ok(Step::Authorize("Basic dTpwOnc=".to_owned())));
        assert!(step("Basic", &Credentials::Anonymous).is_err());
        assert!(step("Negotiate", &user()).is_err());
    }

    #[test]
    fn a_token_that_could_break_a_header_is_none() {
        assert_eq!(authorization_of(br#"{"token":"abc"}"#).as_deref(), Some("Bearer abc"));
        assert_eq!(
            authorization_of(br#"{"access_token":"abc","expires_in":60}"#).as_deref(),
            Some("Bearer abc")
        );
        for bad in [r#"{}"#, r#"{"token":""}"#, r#"{"token":"a\r\nb"}"#, "<html>", "[]"] {
            assert_eq!(authorization_of(bad.as_bytes()), None, "{bad}");
        }
    }
}
