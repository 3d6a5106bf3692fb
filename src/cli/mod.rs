//! The command line: one file a subcommand. Nothing above knows it.
//!
//! Here and only here are the environment read, the clock, the terminal and the exit code.

mod attach;
mod coherent;
mod copy;
mod delete;
mod discover;
mod environment;
mod failure;
mod files;
mod load_identity;
mod login;
mod published;
mod pull;
mod push;
mod restore;
mod sbom;
mod shell;
mod sign;
mod slim;
mod store;
mod truth;
mod ui;
mod verify;
mod whole;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use failure::{Exit, Failure};
use ui::Ui;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  usage
  3  a check said no (no such symbol, occupied tag, stale signature)
  4  verification failed (bad, missing or foreign signature)
  5  not found (reference, platform, tag, file)
  6  authentication
  7  network, worth a retry
  8  damaged or unsupported input";

/// Slim a static binary, keep its crashes readable in gdb, sign it and publish it.
///
/// xpost strips what is not needed from the binary that a build produced, moves the debug information into a
/// file that debuggers find by build-id, lists what is inside, signs all of it and pushes it to any OCI registry.
#[derive(Parser)]
#[command(name = "xpost", version, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

#[derive(Args, Clone)]
struct Global {
    /// Print the result as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Print nothing but the result and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// The release directory
    #[arg(long, global = true, value_name = "DIR", default_value = "xpost-out")]
    release_dir: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    Slim(slim::Args),
    Restore(restore::Args),
    Sbom(sbom::Args),
    Sign(sign::Args),
    Push(push::Args),
    Verify(verify::Args),
    Pull(pull::Args),
    Copy(copy::Args),
    Attach(attach::Args),
    Discover(discover::Args),
    Delete(delete::Args),
    Login(login::Login),
    Logout(login::Logout),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_to_run(&error),
    };
    let ui = Ui { json: cli.global.json, quiet: cli.global.quiet };
    if let Err(error) = crate::fs::remove_on_signals() {
        ui.warn(&format!("a signal would leave unfinished files behind: {error}"));
    }
    let (name, outcome) = cli.command.run(&cli.global, ui);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            ui.failure(name, &failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Help and versions are what was asked for; everything else is a usage error, in JSON too where that was asked for.
fn not_to_run(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let given = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if !given("--json") {
        let _ = error.print();
        return ExitCode::from(Exit::Usage as u8);
    }
    let text = error.to_string();
    // What is missing or wrong stands in lines of its own, and behind an empty one how it is used.
    let said: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let failure = Failure::plain(Exit::Usage, said.join(" ").trim_start_matches("error: "));
    let command = Cli::command();
    let name = command.get_subcommands().map(clap::Command::get_name).find(|name| given(name));
    let ui = Ui { json: true, quiet: false };
    ui.failure(name.unwrap_or("usage"), &failure.hint("xpost --help"));
    ExitCode::from(Exit::Usage as u8)
}

impl Command {
    fn run(self, global: &Global, ui: Ui) -> (&'static str, Result<(), Failure>) {
        match self {
            Self::Slim(args) => ("slim", slim::run(&args, global, ui)),
            Self::Restore(args) => ("restore", restore::run(&args, ui)),
            Self::Sbom(args) => ("sbom", sbom::run(&args, global, ui)),
            Self::Sign(args) => ("sign", sign::run(&args, global, ui)),
            Self::Push(args) => ("push", push::run(&args, global, ui)),
            Self::Verify(args) => (args.name(), verify::run(&args, ui)),
            Self::Pull(args) => ("pull", pull::run(&args, ui)),
            Self::Copy(args) => ("copy", copy::run(&args, ui)),
            Self::Attach(args) => ("attach", attach::run(&args, ui)),
            Self::Discover(args) => ("discover", discover::run(&args, ui)),
            Self::Delete(args) => ("delete", delete::run(&args, ui)),
            Self::Login(args) => ("login", login::login(&args, ui)),
            Self::Logout(args) => ("logout", login::logout(&args, ui)),
            Self::Completions(args) => ("completions", shell::completions(&args, ui)),
            Self::Man(args) => ("man", shell::man(&args, ui)),
        }
    }
}

/// The definition of the command line, for completions and manual pages.
fn command() -> clap::Command {
    Cli::command()
}
