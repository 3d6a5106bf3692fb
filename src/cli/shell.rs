//! `xpost completions` and `xpost man`: what a shell and `man` need, made from the definition of the command line.

use std::path::{Path, PathBuf};

use clap_complete::Shell;
use serde_json::json;

use super::failure::{Exit, Failure};
use super::ui::Ui;
use crate::fs::{self, Mode};

/// Print a completion script
///
/// For bash: xpost completions bash > /etc/bash_completion.d/xpost
#[derive(clap::Args)]
pub(super) struct Completions {
    /// For which shell
    shell: Shell,
}

/// Write manual pages, one for each command
#[derive(clap::Args)]
pub(super) struct Man {
    /// Where they go
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn completions(args: &Completions, ui: Ui) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "xpost", &mut script);
    let script = String::from_utf8_lossy(&script);
    ui.result("completions", json!({ "shell": args.shell.to_string(), "script": script }), &script)
}

pub(super) fn man(args: &Man, ui: Ui) -> Result<(), Failure> {
    let mut command = super::command();
    command.build();
    let pages = std::iter::once(&command)
        .chain(command.get_subcommands().filter(|command| command.get_name() != "help"));
    let mut paths = Vec::new();
    for command in pages {
        let path = page(command, &args.directory)?;
        paths.push(path.display().to_string());
    }
    let text: String = paths.iter().map(|path| format!("{path}\n")).collect();
    ui.result("man", json!({ "pages": paths }), &text)
}

fn page(command: &clap::Command, directory: &Path) -> Result<PathBuf, Failure> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut bytes = Vec::new();
    let page = clap_mangen::Man::new(command.clone());
    page.render(&mut bytes).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot make the page of {name}"), &error)
    })?;
    let path = directory.join(format!("{name}.1"));
    fs::write(&path, Mode::Data, &bytes)?;
    Ok(path)
}
