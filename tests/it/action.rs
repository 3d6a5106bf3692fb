//! `action.yml` in real workflows: act runs them on this machine, with registries on 127.0.0.1.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::server::{Kind, Server};
use crate::support::{corpus, tools};

/// One job, as the README shows it, with everything that may be given; then what is left for the assertions.
const ONE_JOB: &str = r#"
on: push
jobs:
  release:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - id: xpost
        uses: ./
        with:
          files: ${{ env.FILES }}
          keep-symbols: ${{ env.KEEP_SYMBOLS }}
          key: ${{ secrets.KEY }}
          push: ${{ env.PUSH }}
          overwrite: ${{ env.OVERWRITE || 'false' }}
          xpost-path: ${{ env.XPOST_PATH }}
      - if: always()
        shell: bash
        env:
          DIGEST: ${{ steps.xpost.outputs.digest }}
          REFERENCE: ${{ steps.xpost.outputs.reference }}
        run: |
          printf '%s' "$DIGEST" >"$RESULTS/digest"
          printf '%s' "$REFERENCE" >"$RESULTS/reference"
          find "$RUNNER_TEMP" -mindepth 1 >"$RESULTS/temp"
          find . -name 'pwned*' -o -name '*sigstore.json' >"$RESULTS/made"
"#;

/// The other shape: jobs that slim, and one that gathers what they made. The artifact actions would come from the
/// network, so a directory stands in for them; as they do, it forgets the modes.
const MATRIX: &str = r#"
on: push
jobs:
  slim:
    strategy:
      matrix:
        arch: [amd64, arm64]
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - uses: ./
        with:
          files: bin/${{ matrix.arch }}/tally
          xpost-path: ${{ env.XPOST_PATH }}
      - shell: bash
        env:
          ARCH: ${{ matrix.arch }}
        run: |
          test "$(ls xpost-out)" = "linux-$ARCH"
          cp -R xpost-out "$RESULTS/xpost-out-$ARCH"
          find "$RESULTS/xpost-out-$ARCH" -type f -exec chmod 644 {} +
  publish:
    needs: slim
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - shell: bash
        run: |
          mkdir xpost-out
          cp -R "$RESULTS"/xpost-out-*/. xpost-out
      - id: xpost
        uses: ./
        with:
          key: ${{ secrets.KEY }}
          push: ${{ env.PUSH }}
          xpost-path: ${{ env.XPOST_PATH }}
      - shell: bash
        env:
          REFERENCE: ${{ steps.xpost.outputs.reference }}
        run: printf '%s' "$REFERENCE" >"$RESULTS/reference"
"#;

#[test]
fn one_job_builds_xpost_and_publishes_all_platforms() {
    let server = Server::start(Kind::Distribution);
    let project = Project::new(ONE_JOB);
    for path in ["Cargo.toml", "Cargo.lock", "src"] {
        project.copy(path);
    }
    let revision = project.commit();
    let key = Key::new();
    let run = project.act(
        &std::env::var("PATH").unwrap(),
        Some(&key),
        &[
            ("FILES", "bin/amd64/tally\nbin/arm64/tally\n"),
            ("KEEP_SYMBOLS", "main\n"),
            // The job's own build has settings that are none of xpost's.
            ("RUSTFLAGS", "--no-such-flag"),
            ("CARGO_BUILD_TARGET", "no-such-target"),
            ("PUSH", &server.reference("org/app:v1")),
        ],
    );
    run.succeeded();

    let by_tag = server.reference("org/app:v1");
    let digest = run.left("digest");
    assert_eq!(crane(&project, &["digest", &by_tag]), digest);
    assert_eq!(run.left("reference"), server.reference(&format!("org/app@{digest}")));

    let index = crane(&project, &["manifest", &by_tag]);
    for expected in [
        r#""architecture":"amd64""#,
        r#""architecture":"arm64""#,
        r#""org.opencontainers.image.version":"v1.2.3""#,
        &format!(r#""org.opencontainers.image.revision":"{revision}""#),
        r#""org.opencontainers.image.source":"https://github.com/"#,
    ] {
        assert!(index.contains(expected), "{expected} is not in {index}");
    }
    let site = project.home.path().join("site");
    key.xpost(&["verify", "--require-version", "v1.2.3", &by_tag]);
    let site_text = site.to_str().unwrap();
    key.xpost(&["pull", "--platform", "linux/amd64", &by_tag, "--output", site_text]);
    let program = corpus::get("c-musl");
    assert_eq!(tools::stdout(&mut program.command(&site.join("tally"))), program.prints());

    let summary = run.summary();
    for (architecture, platform) in [("amd64", "linux/amd64"), ("arm64", "linux/arm64")] {
        let before = std::fs::metadata(corpus::committed(architecture)).unwrap().len();
        let before = format!("{:.1} KiB", before as f64 / 1024.0);
        let row = summary.lines().find(|line| line.contains(platform)).unwrap();
        assert!(row.starts_with("| <code>tally</code> | "), "{row}");
        assert!(row.contains(&format!(" | {before} | ")), "{before}: {row}");
        assert_eq!(row.matches("KiB").count(), 3, "{row}");
    }
    let verify = format!("xpost verify {} --key release.pub", run.left("reference"));
    assert!(summary.contains(&verify), "{summary}");
    assert!(summary.contains("site/tally core"), "{summary}");
    run.shows_nothing_of(&key);
}

#[test]
fn a_matrix_slims_and_its_last_job_signs_and_publishes() {
    let server = Server::start(Kind::DockerRegistry);
    let project = Project::new(MATRIX);
    project.commit();
    let key = Key::new();
    let run = project.act(
        &bare_path(&project),
        Some(&key),
        &[("XPOST_PATH", env!("CARGO_BIN_EXE_xpost")), ("PUSH", &server.reference("app:v1"))],
    );
    run.succeeded();

    let index = crane(&project, &["manifest", &server.reference("app:v1")]);
    for architecture in ["amd64", "arm64"] {
        assert!(index.contains(&format!(r#""architecture":"{architecture}""#)), "{index}");
        assert!(run.summary().contains(&format!("linux/{architecture}")), "{}", run.summary());
    }
    key.xpost(&["verify", &run.left("reference")]);
    run.shows_nothing_of(&key);
}

#[test]
fn without_a_key_it_publishes_unsigned_and_says_so() {
    let server = Server::start(Kind::Distribution);
    let project = Project::new(ONE_JOB);
    let revision = project.commit();
    let reference = server.reference("app:v1");
    let run = project.run(None, &[("FILES", "bin/amd64/tally"), ("PUSH", &reference)]);
    run.succeeded();
    assert!(run.log.contains("published without a signature: no key was given"), "{}", run.log);
    assert!(!run.summary().contains("--key"), "{}", run.summary());
    let index = crane(&project, &["manifest", &reference]);
    assert!(index.contains(&revision) && index.contains("v1.2.3"), "{index}");

    // The same again is no other release; another one is not put in its place.
    project.run(None, &[("FILES", "bin/amd64/tally"), ("PUSH", &reference)]).succeeded();
    project
        .run(None, &[("FILES", "bin/arm64/tally"), ("PUSH", &reference)])
        .failed(3, "is already sha256:");
    let other = [("FILES", "bin/arm64/tally"), ("PUSH", &reference), ("OVERWRITE", "true")];
    let run = project.run(None, &other);
    run.succeeded();
    assert_eq!(crane(&project, &["digest", &reference]), run.left("digest"));
}

#[test]
fn without_a_reference_nothing_is_published() {
    let project = Project::new(ONE_JOB);
    project.commit();
    let key = Key::new();
    let run = project.run(Some(&key), &[("FILES", "bin/amd64/tally")]);
    run.succeeded();
    assert_eq!(run.left("digest"), "");
    assert!(run.left("made").contains("index.sigstore.json"), "{}", run.left("made"));
    run.shows_nothing_of(&key);
}

#[test]
fn names_references_and_symbols_are_words_and_not_commands() {
    let server = Server::start(Kind::Distribution);
    let project = Project::new(ONE_JOB);
    let program = corpus::committed("amd64");
    let name = r"it's $(touch pwned1);`touch pwned2` & __b__ [x](y) @z %0A";
    let directory = project.place.join("::warning::a \"b\" | ; touch pwned3\t<!--");
    std::fs::create_dir(&directory).unwrap();
    std::fs::copy(&program, directory.join(name)).unwrap();
    // Not an option, whatever its name says.
    std::fs::copy(&program, project.place.join("-K")).unwrap();
    project.commit();
    let path = directory.strip_prefix(&project.place).unwrap().join(name);
    let path = path.to_str().unwrap();
    let reference = server.reference("app:v1");

    let run = project.run(None, &[("FILES", &format!("\n{path}\n-K\n\n")), ("PUSH", &reference)]);
    run.succeeded();
    assert_eq!(run.left("made"), "");
    let summary = run.summary();
    assert_eq!(summary.lines().filter(|line| line.contains("linux/amd64")).count(), 2);
    assert!(!summary.contains("](y)") && !summary.contains('`'), "{summary}");
    // act lets a line through as it is, or shows the command that it obeys.
    for line in run.log.lines().filter(|line| line.contains("  ::warning") || line.contains("| ::"))
    {
        assert!(line.contains("::warning title=xpost::published without"), "{line}");
    }

    let mean = format!("{reference}; touch pwned");
    let files = ("FILES", "bin/amd64/tally");
    let run = project.run(None, &[files, ("PUSH", &mean)]);
    run.failed(2, "invalid value");
    assert!(run.log.contains("not a reference"), "{}", run.log);
    assert_eq!(run.left("made"), "");
    let run = project.run(None, &[files, ("KEEP_SYMBOLS", "main; touch pwned\n$(touch pwned)")]);
    run.failed(3, "main; touch pwned");
    assert_eq!(run.left("made"), "");
    // A line is a name: this one would be two.
    let run = project.run(None, &[("FILES", "bin/amd64/tal\nly")]);
    run.failed(5, "there is no file bin/amd64/tal ");
}

#[test]
fn what_cannot_work_fails_early_with_a_sentence() {
    let project = Project::new(ONE_JOB);
    project.commit();
    let tally = ("FILES", "bin/amd64/tally");
    // These need no xpost, and there is no cargo to make one: the sentence comes first.
    let run = |env: &[(&str, &str)]| project.act(&bare_path(&project), None, env);
    run(&[("FILES", "bin/amd64/tally\nbin/amd64/tely\n")])
        .failed(5, "files: there is no file bin/amd64/tely");
    run(&[]).failed(5, "files is empty, and there is no xpost-out");
    run(&[("KEEP_SYMBOLS", "main")]).failed(2, "there are no files to slim");
    run(&[tally, ("PUSH", "localhost:1/app:v1\n::add-mask::a")])
        .failed(2, "push: one reference, in one line");
    run(&[tally, ("OVERWRITE", "yes")]).failed(2, "overwrite: true or false");
    run(&[tally]).failed(1, "there is no cargo on this runner");
    run(&[tally, ("XPOST_PATH", "bin")]).failed(5, "xpost-path: bin is not a program");

    project.run(None, &[("FILES", "action.yml")]).failed(8, "not an ELF file");
    let key = Key { text: "not a key: %0A::error::".to_owned(), ..Key::new() };
    let run = project.run(Some(&key), &[tally]);
    run.failed(8, "not a PEM file with a private key");
    run.shows_nothing_of(&key);
}

/// A git repository with the action in it, committed programs in `bin` and one workflow.
struct Project {
    place: PathBuf,
    home: TempDir,
}

impl Project {
    fn new(workflow: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("checkout");
        std::fs::create_dir_all(place.join(".github/workflows")).unwrap();
        std::fs::write(place.join(".github/workflows/test.yml"), workflow).unwrap();
        let project = Self { place, home };
        project.copy("action.yml");
        project.copy(".github/action");
        for architecture in ["amd64", "arm64"] {
            let directory = project.place.join("bin").join(architecture);
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::copy(corpus::committed(architecture), directory.join("tally")).unwrap();
        }
        project
    }

    /// Copies a file or directory of this checkout.
    fn copy(&self, path: &str) {
        let mut cp = Command::new("cp");
        tools::stdout(cp.arg("-R").arg(tools::root().join(path)).arg(self.place.join(path)));
    }

    /// Commits everything, tags it v1.2.3 and says the commit's name.
    fn commit(&self) -> String {
        let git = |words: &[&str]| {
            let mut git = tools::tool("git", self.home.path());
            git.current_dir(&self.place).env("GIT_CONFIG_NOSYSTEM", "1");
            git.args(["-c", "user.name=tests", "-c", "user.email=tests@example.com"]);
            tools::stdout(git.args(words))
        };
        git(&["init", "--quiet", "--initial-branch=main"]);
        git(&["add", "--all", "--force"]);
        git(&["commit", "--quiet", "--message=tests"]);
        git(&["tag", "v1.2.3"]);
        git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Runs the workflow with the xpost under test, on a machine that has little.
    fn run(&self, key: Option<&Key>, env: &[(&str, &str)]) -> Run {
        let own = [("XPOST_PATH", env!("CARGO_BIN_EXE_xpost"))];
        self.act(&bare_path(self), key, &[env, &own].concat())
    }

    /// Runs the workflow.
    fn act(&self, path: &str, key: Option<&Key>, env: &[(&str, &str)]) -> Run {
        let results = tempfile::tempdir().unwrap();
        let mut act = Command::new(tools::path("act"));
        // The runner's environment is act's own, and this may be a runner itself.
        act.current_dir(&self.place).env_clear().env("HOME", self.home.path()).env("PATH", path);
        act.args(["push", "--platform", "ubuntu-latest=-self-hosted", "--pull=false"]);
        // Without masks, so that a secret in the log is seen.
        act.args(["--action-offline-mode", "--no-cache-server", "--insecure-secrets"]);
        let mut set = |name: &str, value: &str| {
            act.arg("--env").arg(format!("{name}={value}"));
        };
        set("RESULTS", results.path().to_str().unwrap());
        for (name, value) in env {
            set(name, value);
        }
        // What a build needs to find: crates that are there already, the toolchain, and what the last run built.
        set("CARGO_NET_OFFLINE", "true");
        set("CARGO_TARGET_DIR", tools::root().join("target").to_str().unwrap());
        let home = std::env::var("HOME").unwrap_or_default();
        for (name, directory) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            set(name, &std::env::var(name).unwrap_or_else(|_| format!("{home}/{directory}")));
        }
        if let Ok(toolchain) = std::env::var("RUSTUP_TOOLCHAIN") {
            set("RUSTUP_TOOLCHAIN", &toolchain);
        }
        if let Some(key) = key {
            act.env("KEY", &key.text).args(["--secret", "KEY"]);
        }
        let output = tools::output(&mut act);
        Run { log: tools::said(&act, &output), success: output.status.success(), results }
    }
}

/// What a run of a workflow left.
struct Run {
    log: String,
    success: bool,
    results: TempDir,
}

impl Run {
    fn left(&self, name: &str) -> String {
        std::fs::read_to_string(self.results.path().join(name))
            .unwrap_or_else(|error| panic!("the workflow left no {name}: {error}\n{}", self.log))
    }

    /// The job summaries, which act shows in its log.
    fn summary(&self) -> String {
        let mut blocks = Vec::new();
        for after in self.log.split("Summary - ").skip(1) {
            let block: String =
                after.split_inclusive('\n').take_while(|line| !line.starts_with('[')).collect();
            // A composite action's is shown with its step and again with the action.
            if !blocks.contains(&block) {
                blocks.push(block);
            }
        }
        blocks.concat()
    }

    fn succeeded(&self) {
        assert!(self.success, "{}", self.log);
    }

    /// The step ended with this exit code and an annotation that says this.
    fn failed(&self, exit: u8, sentence: &str) {
        assert!(!self.success, "this was to fail\n{}", self.log);
        let said = self
            .log
            .lines()
            .any(|line| line.contains("::error title=xpost::") && line.contains(sentence));
        assert!(said, "no error says {sentence:?}\n{}", self.log);
        assert!(self.log.contains(&format!("exit status {exit}\n")), "not {exit}\n{}", self.log);
        assert_eq!(self.left("digest"), "");
    }

    /// No line of the key is in the log, and no file is left of it.
    fn shows_nothing_of(&self, key: &Key) {
        for line in key.text.lines() {
            assert!(!self.log.contains(line), "the key is in the log");
        }
        if self.results.path().join("temp").exists() {
            assert_eq!(self.left("temp"), "");
        }
    }
}

/// A private key as the text of a secret, and its public half in a file.
struct Key {
    text: String,
    directory: TempDir,
}

impl Key {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("release.key");
        tools::stdout(xpost().args(["sign", "--generate-key"]).arg(&file));
        Self { text: std::fs::read_to_string(&file).unwrap(), directory }
    }

    /// Runs xpost with the public half; it has to succeed.
    fn xpost(&self, words: &[&str]) -> String {
        tools::stdout(
            xpost().args(words).arg("--key").arg(self.directory.path().join("release.pub")),
        )
    }
}

fn xpost() -> Command {
    Command::new(env!("CARGO_BIN_EXE_xpost"))
}

fn crane(project: &Project, words: &[&str]) -> String {
    tools::stdout(tools::tool("crane", project.home.path()).args(words)).trim().to_owned()
}

/// A PATH with next to nothing on it: what the action makes do with, and what the workflows here call.
fn bare_path(project: &Project) -> String {
    let directory = project.home.path().join("bin");
    if !directory.exists() {
        std::fs::create_dir(&directory).unwrap();
        for name in ["awk", "dirname", "mktemp", "rm", "sed"]
            .into_iter()
            .chain(["cat", "chmod", "cp", "find", "ls", "mkdir"])
        {
            std::os::unix::fs::symlink(tools::path(name), directory.join(name)).unwrap();
        }
        patient_bash(&directory.join("bash"));
    }
    directory.to_str().unwrap().to_owned()
}

/// A bash that waits before it fails. act reads the output of a step through a terminal, and closes that as soon as the
/// step has failed, without having read all of it (act 0.2.89, `HostEnvironment.exec`): under load the last line, which says
/// why, would be lost.
fn patient_bash(path: &Path) {
    let [bash, sleep] = ["bash", "sleep"].map(|name| tools::path(name).display().to_string());
    let script =
        format!("#!{bash}\n'{bash}' \"$@\" || {{ status=$?; '{sleep}' 1; exit $status; }}\n");
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
