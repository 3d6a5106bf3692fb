//! The programs that tests call: in `.tools/bin` of this checkout, else on the PATH, else a panic with the command that
//! installs them. A missing tool is never skipped.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The directory that holds `Cargo.toml`.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The path of a program that `tests/setup.sh` installs.
pub fn path(name: &str) -> PathBuf {
    let own = root().join(".tools/bin").join(name);
    if own.exists() {
        return own;
    }
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!(
                "{name} is not installed: neither {} nor the PATH has it; run: bash tests/check.sh setup",
                own.display()
            )
        })
}

/// Holds CycloneDX files against the official schema, with the validator of `tests/tools/python.in`.
pub fn check_cyclonedx(files: &[&Path]) {
    let python = root().join(".tools/python/bin/python");
    assert!(python.exists(), "{} does not exist; run: bash tests/check.sh setup", python.display());
    stdout(Command::new(python).arg(root().join("tests/tools/check_cyclonedx.py")).args(files));
}

/// A command of an installed tool. It takes nothing from the person who runs the tests: another home, no docker
/// configuration, one language.
pub fn tool(name: &str, home: &Path) -> Command {
    let mut command = Command::new(path(name));
    command
        .env("HOME", home)
        .env("DOCKER_CONFIG", home.join(".docker"))
        .env("XDG_CONFIG_HOME", home.join(".config"))
        .env("XDG_CACHE_HOME", home.join(".cache"))
        .env("LC_ALL", "C.UTF-8")
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("REGISTRY_AUTH_FILE")
        .env_remove("DEBUGINFOD_URLS");
    command
}

/// Standard output of a command that has to succeed; a panic shows the command and both streams.
pub fn stdout(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{}", said(command, &output));
    String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Both streams of a command that has to fail.
pub fn failure(command: &mut Command) -> String {
    let output = output(command);
    assert!(!output.status.success(), "this was to fail\n{}", said(command, &output));
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What a command left, whichever way it ended. One that does not end is a failure, and not a run that waits forever.
pub fn output(command: &mut Command) -> Output {
    let limit = Duration::from_secs(30 * 60);
    within(limit, command)
        .unwrap_or_else(|| panic!("{command:?} was still running after {limit:?}"))
}

/// What a command left if it ended in time; else it is killed with all that it started.
pub fn within(limit: Duration, command: &mut Command) -> Option<Output> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let kill = format!("kill -KILL -- -{}", child.id());
    let (ended, end) = mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        let late = end.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
        if late {
            Command::new("sh").args(["-c", &kill]).status().unwrap();
        }
        late
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    (!guard.join().unwrap()).then_some(output)
}

/// A command and what came of it, for the message of a failed assertion.
pub fn said(command: &Command, output: &Output) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    format!(
        "{}\n{}\n--- standard output\n{}\n--- standard error\n{}",
        words.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
