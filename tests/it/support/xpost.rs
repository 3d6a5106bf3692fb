//! The program under test, run in a directory of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::tools;

/// A directory, and the program in it.
pub struct Xpost {
    home: TempDir,
}

/// What a run left.
#[derive(Debug)]
pub struct Ran {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

/// In a new directory.
pub fn xpost() -> Xpost {
    Xpost { home: tempfile::tempdir().unwrap() }
}

impl Xpost {
    /// The directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A path in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.home.path().join(name)
    }

    /// Puts a file into it.
    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Reads a file in it.
    pub fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Every file and directory in it, sorted, directories with a slash.
    pub fn list(&self) -> Vec<String> {
        fn walk(root: &Path, directory: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                if path.is_dir() && !path.is_symlink() {
                    found.push(format!("{name}/"));
                    walk(root, &path, found);
                } else {
                    found.push(name);
                }
            }
        }
        let mut found = Vec::new();
        walk(self.home(), self.home(), &mut found);
        found.sort();
        found
    }

    /// The program with arguments, ready to run.
    pub fn command<I>(&self, arguments: I) -> Command
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xpost"));
        command.args(arguments).current_dir(self.home()).env_remove("SOURCE_DATE_EPOCH");
        // Nobody is logged in, whoever runs the tests.
        command.env("DOCKER_CONFIG", self.path(".docker"));
        for name in ["REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "GITHUB_TOKEN"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs it.
    pub fn run<I>(&self, arguments: I) -> Ran
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        Ran::of(&tools::output(&mut self.command(arguments)))
    }
}

impl Ran {
    /// What a finished process left.
    pub fn of(output: &Output) -> Self {
        let ran = Self {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout.clone()).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr.clone()).expect("stderr is UTF-8"),
        };
        assert!(!ran.stderr.contains("panicked at"), "a panic is a bug: {ran:?}");
        assert!(!ran.stderr.contains("a bug in xpost"), "it says so itself: {ran:?}");
        ran
    }

    /// It exited so, and said all of these on stderr.
    #[track_caller]
    pub fn exits(self, exit: i32, said: &[&str]) -> Self {
        assert_eq!(self.exit, exit, "{self:?}");
        for text in said {
            assert!(self.stderr.contains(text), "{text:?} is not in {self:?}");
        }
        self
    }

    /// It did what it was asked.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.exits(0, &[])
    }

    /// Its result, as data.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
