//! Programs that keep credentials: `docker-credential-NAME`, asked on its standard input (docker-credential-helpers,
//! "Development").
//!
//! Such a program may ask a keyring, a cloud or a person, and need not come to an end: it is waited for for a minute, and
//! then it is killed, with what it started where that disturbs nobody.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::fs;

/// A person has found a password by then.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A secret is smaller.
const MAX_ANSWER: u64 = 1 << 20;

/// How often is looked whether the program has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Whether a program is in a group of its own, which can be killed as a whole. At a terminal only those in the group
/// that stands there may ask, and Ctrl-C is for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Own,
    Ours,
}

/// How a program ended, and what it said before.
///
/// # Errors
/// It cannot be run, says more than any of its kind, or does not come to an end in time.
pub(super) fn ask(
    program: &str,
    verb: &str,
    input: &str,
    patience: Duration,
) -> io::Result<(ExitStatus, Vec<u8>)> {
    let group = if fs::has_terminal() { Group::Ours } else { Group::Own };
    ask_in(group, program, verb, input, patience)
}

fn ask_in(
    group: Group,
    program: &str,
    verb: &str,
    input: &str,
    patience: Duration,
) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut command = Command::new(program);
    command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    #[cfg(unix)]
    if group == Group::Own {
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
    }
    let mut child = command.spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    // On threads of their own: either end may stand still.
    let input = input.to_owned();
    thread::spawn(move || {
        // A helper that ends without reading says why by its exit code.
        stdin.map(|mut stdin| stdin.write_all(input.as_bytes()))
    });
    let (done, answer) = mpsc::channel();
    thread::spawn(move || {
        let mut said = Vec::new();
        let read = stdout.map(|out| out.take(MAX_ANSWER + 1).read_to_end(&mut said)).transpose();
        // Nobody waits for it any more where it comes too late.
        let _ = done.send(read.map(|_| said));
    });
    let until = Instant::now() + patience;
    let ended = answer.recv_timeout(patience).map_err(|_| io::ErrorKind::TimedOut.into());
    let ended = ended.and_then(|said: io::Result<Vec<u8>>| match said? {
        said if said.len() as u64 > MAX_ANSWER => Err(io::Error::other("it says too much")),
        said => Ok((wait(&mut child, until)?, said)),
    });
    ended.map_err(|error| {
        kill(&mut child, group);
        match error.kind() {
            io::ErrorKind::TimedOut => {
                let seconds = patience.as_secs();
                io::Error::other(format!("it did not answer within {seconds} s and was killed"))
            }
            _ => error,
        }
    })
}

fn wait(child: &mut Child, until: Instant) -> io::Result<ExitStatus> {
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(status),
            None if Instant::now() >= until => return Err(io::ErrorKind::TimedOut.into()),
            None => thread::sleep(LOOK),
        }
    }
}

/// What cannot be killed has ended by itself.
fn kill(child: &mut Child, group: Group) {
    #[cfg(unix)]
    if group == Group::Own
        && let Some(leader) =
            i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// A helper in a directory of its own.
    fn helper(script: &str) -> (tempfile::TempDir, String) {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("docker-credential-test");
        fs::write(&path, fs::Mode::Executable, format!("#!/bin/sh\n{script}").as_bytes())
            .expect("written");
        let name = path.to_str().expect("a name").to_owned();
        (home, name)
    }

    #[test]
    fn a_helper_that_answers_is_not_waited_for() {
        let (_home, program) = helper("cat; echo \" $1\"; exit 3");
        let begun = Instant::now();
        let (status, said) = ask(&program, "get", "ghcr.io", PATIENCE).expect("an answer");
        assert_eq!((status.code(), said.as_slice()), (Some(3), &b"ghcr.io get\n"[..]));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_helper_that_never_ends_is_killed_with_what_it_started() {
        // One that says nothing, one whose child keeps its output open, one that closes it and goes on.
        for script in ["sleep 1000", "sleep 1000 & exit", "exec 1>&-; sleep 1000"] {
            let (home, program) = helper(&format!("echo $$ > \"$0.pid\"; {script}"));
            let begun = Instant::now();
            let patience = Duration::from_millis(500);
            let error = ask_in(Group::Own, &program, "get", "x", patience).expect_err(script);
            assert!(error.to_string().contains("did not answer within 0 s"), "{error}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{script}");
            let group =
                fs::read(&home.path().join("docker-credential-test.pid")).expect("a number");
            let group = String::from_utf8(group).expect("text").trim().parse().expect("a number");
            let group = rustix::process::Pid::from_raw(group).expect("a number");
            // What was killed needs a moment until somebody has heard of it.
            let gone = || rustix::process::test_kill_process_group(group).is_err();
            while !gone() {
                assert!(begun.elapsed() < Duration::from_secs(20), "{script}");
                thread::sleep(LOOK);
            }
        }
    }

    #[test]
    fn a_helper_that_says_too_much_or_reads_nothing_holds_nobody_up() {
        let (_home, program) = helper("exec cat /dev/zero");
        assert!(ask(&program, "get", "x", PATIENCE).is_err());
        let (_home, program) = helper("exit 0");
        let much = "x".repeat(1 << 20);
        assert!(ask(&program, "store", &much, PATIENCE).expect("it ends").0.success());
    }
}
