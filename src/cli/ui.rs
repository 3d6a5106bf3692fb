//! What a person or a script sees: results on stdout, everything else on stderr.
//!
//! Names come from files and registries, so text is escaped before it is shown: a symbol cannot move the
//! cursor, and cannot give a CI runner a command (`::add-mask::` at the start of a line).

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::failure::{Exit, Failure};

/// How to talk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ui {
    /// Results as JSON.
    pub(super) json: bool,
    /// Nothing but results and failures.
    pub(super) quiet: bool,
}

impl Ui {
    /// Prints the result: `value` with its schema where JSON was asked for, else `text`.
    ///
    /// A closed pipe is no error: whoever reads has what it wanted.
    pub(super) fn result(&self, command: &str, value: Value, text: &str) -> Result<(), Failure> {
        if self.json { print(&self.document(command, value)) } else { print(text) }
    }

    /// The document that [`Ui::result`] prints where JSON was asked for.
    pub(super) fn document(&self, command: &str, value: Value) -> String {
        pretty(command, value, [("ok", json!(true))])
    }

    /// The result where it is a file's bytes, all of which have to arrive. A terminal is no place for them.
    pub(super) fn binary(
        &self,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let stdout = io::stdout();
        let written = if stdout.is_terminal() {
            Err(io::Error::other("it is a terminal, and this is a binary"))
        } else {
            let mut out = io::BufWriter::with_capacity(1 << 16, stdout.lock());
            fill(&mut out).and_then(|()| out.flush())
        };
        written.map_err(|error| Failure::new(Exit::Failed, "cannot write to stdout", &error))
    }

    /// A report, safe already, beside a result that is none.
    pub(super) fn aside(&self, text: &str) {
        for line in text.lines().filter(|_| !self.quiet) {
            say(line);
        }
    }

    /// A remark that is not the result.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            say(&safe(text));
        }
    }

    /// Something that the user will want to put right.
    pub(super) fn warn(&self, text: &str) {
        self.warner()(text);
    }

    /// [`Ui::warn`], for those who know nothing of it.
    pub(super) fn warner(&self) -> fn(&str) {
        if self.quiet { |_| {} } else { |text| say(&format!("warning: {}", safe(text))) }
    }

    /// Says why the command failed, on stderr, and as JSON on stdout where that was asked for.
    pub(super) fn failure(&self, command: &str, failure: &Failure) {
        say(&format!("xpost: {}", safe(&failure.doing)));
        for reason in &failure.reasons {
            say(&format!("  {}", safe(reason)));
        }
        if let Some(hint) = &failure.hint {
            say(&format!("hint: {}", safe(hint)));
        }
        if self.json {
            let message =
                [std::slice::from_ref(&failure.doing), &failure.reasons].concat().join(": ");
            let error =
                json!({ "exit": failure.exit as u8, "message": message, "hint": failure.hint });
            let value = failure.receipt.clone().unwrap_or_else(|| json!({}));
            // The exit code says that it failed, whether or not anybody reads this.
            let _ = print(&pretty(command, value, [("ok", json!(false)), ("error", error)]));
        }
    }

    /// Room for progress bars, on a terminal alone.
    pub(super) fn bars(&self) -> MultiProgress {
        let target =
            if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        MultiProgress::with_draw_target(target)
    }
}

/// A progress bar over bytes.
pub(super) fn bar(label: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{msg:24!} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::hidden().with_style(style).with_message(safe(label).into_owned())
}

/// The document that a command prints: its value, the schema that says how to read it, and how it ended.
fn pretty<const N: usize>(command: &str, mut value: Value, end: [(&str, Value); N]) -> String {
    if let Some(map) = value.as_object_mut() {
        map.insert("schema".to_owned(), json!(format!("xpost/{command}/v1")));
        map.extend(end.map(|(key, value)| (key.to_owned(), value)));
    }
    let mut text = serde_json::to_string_pretty(&value).expect("values have a JSON form");
    text.push('\n');
    text
}

/// One line on stderr. That nobody reads it any more is no failure, and no panic.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, "cannot write to stdout", &error))
        }
        _ => Ok(()),
    }
}

/// Foreign text, fit to be shown: control characters escaped, those that change the direction of writing as well, and
/// nothing that a CI runner obeys. Runners look for `::` at the start of a line, and for `##[` anywhere in it.
pub(super) fn safe(text: &str) -> Cow<'_, str> {
    let obeyed = text.trim_start().starts_with("::");
    if text.contains("##[") {
        return Cow::Owned(safe(&text.replace("##[", "##\\[")).into_owned());
    }
    if !obeyed && !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    if obeyed {
        shown.push('\\');
    }
    for char in text.chars() {
        if is_unseen(char) { shown.extend(char.escape_default()) } else { shown.push(char) }
    }
    Cow::Owned(shown)
}

/// Whether a character moves others without being seen (Unicode, UAX #9, 2: explicit and implicit directional
/// formatting), or is no character for people at all.
fn is_unseen(char: char) -> bool {
    let directs = matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    // The line and paragraph separators begin a line where a runner looks for commands.
    char.is_control() || directs || matches!(char, '\u{2028}' | '\u{2029}')
}

/// So many of them: `1 manifest`, `2 manifests`.
pub(super) fn count(count: usize, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// A size for people: `512 B`, `1.5 KiB`, `2.63 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ if value < 10.0 => format!("{value:.2} {unit}"),
        _ => format!("{value:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_gives_no_commands() {
        assert_eq!(safe("plain ünïcode"), "plain ünïcode");
        assert_eq!(safe("a\x1b[31mb\nc"), "a\\u{1b}[31mb\\nc");
        assert_eq!(safe("gpj\u{202e}.exe\u{2028}::x"), "gpj\\u{202e}.exe\\u{2028}::x");
        assert_eq!(safe(" ::add-mask::x"), "\\ ::add-mask::x");
        assert_eq!(safe("a ##[group]\n"), "a ##\\[group]\\n");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            [size(0), size(1023), size(1536), size(60 << 20)],
            ["0 B", "1023 B", "1.50 KiB", "60.0 MiB"]
        );
    }
}
