//! The `xpost` program: parse, run, print the error, choose the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    xpost::cli::main()
}
