//! The README's first command does what the README shows.

use std::process::Command;

use crate::support::tools;

#[test]
fn the_tour_prints_what_the_readme_shows() {
    let home = tempfile::tempdir().unwrap();
    let mut tour = Command::new("bash");
    tour.arg(tools::root().join("testdata/tour.sh"))
        .env("XPOST", env!("CARGO_BIN_EXE_xpost"))
        .env("TOUR_DIR", home.path().join("tour"))
        .env_remove("SOURCE_DATE_EPOCH");
    let printed = tools::stdout(&mut tour);
    let readme = std::fs::read_to_string(tools::root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```console\n").expect("the block is there");
    let (block, _) = rest.split_once("```").expect("the block ends");
    let mut lines = printed.lines();
    for shown in block.lines() {
        assert!(
            lines.any(|line| line == shown),
            "the README shows a line that was not printed, or not there: {shown}\n--- printed:\n{printed}"
        );
    }
}
