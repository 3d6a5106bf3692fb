//! The names that outputs have until they get their own: `.xpost-PID-N.tmp`, beside where they will be.
//!
//! Such a file is of use to nobody but the run that writes it. It goes when that fails, and when a signal ends it
//! ([`remove_on_signals`]). What a run that was killed otherwise has left goes when a later one writes beside it, a day
//! after: whether the writer lives cannot be known of another machine or container that shares the directory.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const PREFIX: &str = ".xpost-";
const SUFFIX: &str = ".tmp";

/// No run takes so long.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// What this process has made: a signal handler has nobody to ask.
static MADE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The directories that it has made, or is to make, for what is not there yet.
static DIRECTORIES: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Where this process has looked for what others left.
static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn locked(set: &Mutex<BTreeSet<PathBuf>>) -> MutexGuard<'_, BTreeSet<PathBuf>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Directories that go on a signal where they are empty, until they are given back.
pub(super) fn note(directories: &BTreeSet<PathBuf>) {
    locked(&DIRECTORIES).extend(directories.iter().cloned());
}

/// Gives back directories: they stay, or are gone.
pub(super) fn forget(directories: &BTreeSet<PathBuf>) {
    locked(&DIRECTORIES).retain(|directory| !directories.contains(directory));
}

/// While this is held no signal removes anything, and after one nobody gets it.
pub(super) fn unsignalled() -> impl Drop {
    locked(&MADE)
}

/// A file that goes when this is dropped, unless it has another name by then.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    pub(super) fn create(directory: &Path, options: &OpenOptions) -> io::Result<(Self, File)> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        // In a container every run may have the same process id, and a run that was killed leaves its file.
        loop {
            let count = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!("{PREFIX}{}-{count}{SUFFIX}", std::process::id()));
            // Held while it is made: a signal in between finds the name, or nothing is made any more.
            let mut made = locked(&MADE);
            match options.open(&path) {
                Ok(file) => {
                    made.insert(path.clone());
                    drop(made);
                    if locked(&SWEPT).insert(directory.to_owned()) {
                        // Whatever fails here, the file is there.
                        let _ = file.metadata().and_then(|now| sweep(directory, &now));
                    }
                    return Ok((Self(path), file));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing under this name any more.
        let _ = fs::remove_file(&self.0);
        locked(&MADE).remove(&self.0);
    }
}

/// Whether a name in a directory is one that a run that was killed has left there.
pub fn is_temporary(name: &str) -> bool {
    writer(name).is_some()
}

/// The process that made a file of this name.
fn writer(name: &str) -> Option<i32> {
    let (id, count) = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('-')?;
    count.parse::<u64>().ok().and(id.parse().ok())
}

/// Removes what runs that were killed have left. `now` is of a file that was made this moment: the clock of the
/// directory's file system is the one that counts.
fn sweep(directory: &Path, now: &Metadata) -> io::Result<()> {
    let now = now.modified()?;
    for entry in fs::read_dir(directory)?.flatten() {
        let name = entry.file_name();
        let Some(writer) = name.to_str().and_then(writer) else { continue };
        let written = entry.metadata().ok().filter(Metadata::is_file).map(|of| of.modified());
        let age = written.and_then(|written| now.duration_since(written.ok()?).ok());
        if age.is_some_and(|age| age > STALE) && !is_alive(writer) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

#[cfg(unix)]
fn is_alive(process: i32) -> bool {
    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};
    // Of one that belongs to somebody else it is only known that it is there.
    Pid::from_raw(process)
        .filter(|pid| pid.as_raw_nonzero().get() > 0)
        .is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

#[cfg(not(unix))]
fn is_alive(_process: i32) -> bool {
    false
}

/// From here SIGHUP, SIGINT and SIGTERM end the process as ever, and what it has not finished goes first. One that
/// it was started to ignore (`nohup`, `&` in a script) is still ignored.
///
/// # Errors
/// When the system gives no pipe or no thread.
#[cfg(unix)]
pub fn remove_on_signals() -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let ignored = ignored();
    let heeded = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| !is_in(ignored, *signal));
    let mut signals = signal_hook::iterator::Signals::new(heeded)?;
    let wait = move || {
        for signal in signals.forever() {
            // Never given back: nothing is made after this.
            let made = locked(&MADE);
            made.iter().for_each(|path| drop(fs::remove_file(path)));
            let directories = locked(&DIRECTORIES);
            directories.iter().rev().for_each(|path| drop(fs::remove_dir(path)));
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
}

/// There is nothing of the kind.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn remove_on_signals() -> io::Result<()> {
    Ok(())
}

/// The signals that this process was started to ignore, as proc_pid_status(5) has them; where there is no such file, none.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(unix)]
fn is_in(mask: u64, signal: i32) -> bool {
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or_default() & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_temporary() {
        for name in [".xpost-1-0.tmp", ".xpost-4194304-99.tmp"] {
            assert!(is_temporary(name), "{name}");
        }
        for name in ["app", ".xpost-.tmp", ".xpost-1.tmp", ".xpost-a-1.tmp", ".xpost-1-0.tmp.gz"] {
            assert!(!is_temporary(name), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_mask_has_the_first_signal_in_its_first_bit() {
        assert!(is_in(0x1, 1) && is_in(0x2, 2) && is_in(0x4000, 15));
        assert!(!is_in(0x1, 2) && !is_in(0, 15) && !is_in(u64::MAX, 0));
    }

    #[test]
    fn what_a_dead_run_left_goes_when_it_is_old() {
        let home = tempfile::tempdir().expect("a directory");
        let put = |name: String, age: u64| {
            let file = File::create(home.path().join(&name)).expect("made");
            let then = file.metadata().and_then(|of| of.modified()).expect("a time");
            file.set_modified(then - Duration::from_secs(age)).expect("set");
            name
        };
        let day = STALE.as_secs();
        // No system has so many processes.
        let dead = i32::MAX;
        put(format!(".xpost-{dead}-0.tmp"), day + 60);
        let kept = [
            put(format!(".xpost-{dead}-1.tmp"), day - 60),
            put(format!(".xpost-{}-0.tmp", std::process::id()), day + 60),
            put(".xpost-old.tmp".to_owned(), day + 60),
            put("app".to_owned(), day + 60),
        ];
        let new = put("new".to_owned(), 0);
        let now = fs::metadata(home.path().join(&new)).expect("there");
        sweep(home.path(), &now).expect("swept");
        let mut left: Vec<_> = fs::read_dir(home.path())
            .expect("listed")
            .map(|entry| entry.expect("listed").file_name().into_string().expect("a name"))
            .collect();
        left.sort();
        let mut kept = [kept.as_slice(), &[new]].concat();
        kept.sort();
        assert_eq!(left, kept);
    }
}
