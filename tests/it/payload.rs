//! Programs that carry something behind their image and read it out of their own file, and programs that were packed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::elf::Builder;
use crate::support::xpost::{Xpost, xpost};
use crate::support::{corpus, law, tools};

/// Prints what it finds behind its image: once by the eight bytes at the end of its file, which are the size, and once
/// where its section headers end, as the runtime of an AppImage does.
const SELF_READER: &str = r#"
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void show(FILE *self, long start, size_t size) {
    char text[256] = {0};
    if (size >= sizeof text || fseek(self, start, SEEK_SET) || fread(text, 1, size, self) != size) exit(1);
    puts(text);
}

int main(void) {
    FILE *self = fopen("/proc/self/exe", "rb");
    unsigned long size;
    Elf64_Ehdr header;
    if (!self || fseek(self, -8, SEEK_END) || fread(&size, 8, 1, self) != 1) return 1;
    show(self, ftell(self) - 8 - (long)size, size);
    if (fseek(self, 0, SEEK_SET) || fread(&header, sizeof header, 1, self) != 1) return 1;
    show(self, (long)header.e_shoff + header.e_shnum * header.e_shentsize, size);
    return 0;
}
"#;

/// A static program with debug information, compiled from this text.
fn compiled(at: &Xpost, text: &str) -> PathBuf {
    at.put("program.c", text);
    let program = at.path("program");
    let mut command = tools::tool("gcc", at.home());
    tools::stdout(
        command.args(["-g", "-O1", "-static", "-o"]).arg(&program).arg(at.path("program.c")),
    );
    program
}

fn append(path: &Path, payload: &[u8]) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.extend(payload);
    std::fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn a_program_that_reads_itself_from_either_end_finds_its_payload_when_slim() {
    let at = xpost();
    let program = compiled(&at, SELF_READER);
    let text = b"what it carries";
    let input = append(&program, &[&text[..], &(text.len() as u64).to_le_bytes()].concat());
    let printed = tools::stdout(&mut Command::new(&program));
    assert_eq!(printed, "what it carries\nwhat it carries\n");
    let ran = at.run(["slim", "-o", "slim", "program"]).exits(0, &["23 B of no known kind"]);
    assert!(ran.stdout.contains("of no known kind, 23 B, stays at the end"), "{ran:?}");
    assert_eq!(tools::stdout(&mut Command::new(at.path("slim"))), printed);
    let (slim, debug) = (at.read("slim"), Some(at.read("slim.debug")));
    assert!(slim.len() * 10 < input.len() * 9, "{} of {}", slim.len(), input.len());
    law::hold(&law::Halves { input, slim, debug });
}

/// A zip archive with one file in it.
fn archive(at: &Xpost) -> Vec<u8> {
    python(
        "zipfile.ZipFile(sys.argv[1], 'w').writestr('a.txt', 'carried along')",
        &at.path("a.zip"),
    );
    at.read("a.zip")
}

fn python(expression: &str, path: &Path) -> String {
    let script = format!("import sys, zipfile; print({expression})");
    tools::stdout(Command::new("python3").args(["-c", &script]).arg(path))
}

/// What unzip makes of the file in an archive.
fn unzipped(path: &Path) -> String {
    let output = tools::output(Command::new(tools::path("unzip")).arg("-p").arg(path));
    String::from_utf8(output.stdout).unwrap()
}

const READ: &str = "zipfile.ZipFile(sys.argv[1]).read('a.txt').decode()";

#[test]
fn a_zip_archive_behind_a_program_is_named_and_can_be_read() {
    let at = xpost();
    let program = at.path("program");
    std::fs::copy(corpus::path("c-glibc-static"), &program).unwrap();
    append(&program, &archive(&at));
    let ran = at.run(["slim", "-o", "slim", "program", "--json"]).succeeds().json();
    assert_eq!(ran["files"][0]["payload"]["kind"], "zip archive");
    let warnings = ran["files"][0]["warnings"].to_string();
    assert!(!warnings.contains("image"), "it is found from the end: {warnings}");
    let slim = at.path("slim");
    assert_eq!((python(READ, &slim).trim(), &*unzipped(&slim)), ("carried along", "carried along"));
    let mut command = corpus::get("c-glibc-static").command(&slim);
    assert_eq!(tools::stdout(&mut command), corpus::get("c-glibc-static").prints());
}

#[test]
fn a_zip_archive_whose_offsets_count_from_the_start_comes_with_what_puts_them_right() {
    let at = xpost();
    let program = at.path("program");
    std::fs::copy(corpus::path("c-glibc-static"), &program).unwrap();
    append(&program, &archive(&at));
    let adjust = |path: &Path| tools::stdout(Command::new(tools::path("zip")).arg("-A").arg(path));
    adjust(&program);
    at.run(["slim", "-o", "slim", "program"]).exits(0, &["count from the start", "zip -A"]);
    let slim = at.path("slim");
    assert_eq!(python(READ, &slim).trim(), "carried along", "Python works it out");
    assert_eq!(unzipped(&slim), "", "unzip does not: should it learn to, the warning can go");
    adjust(&slim);
    assert_eq!(unzipped(&slim), "carried along");
    let mut command = corpus::get("c-glibc-static").command(&slim);
    assert_eq!(tools::stdout(&mut command), corpus::get("c-glibc-static").prints());
}

#[test]
fn payloads_of_known_tools_are_named() {
    let program = std::fs::read(corpus::committed("amd64")).unwrap();
    let cases: [(&[u8], &str); 4] = [
        (b"hsqs\0\0\0\0 a file system", "squashfs file system"),
        (b"modules\n---- Bun! ----\n\x17\0\0\0\0\0\0\0", "Bun program"),
        (b"d3n0l4nd eszip d3n0l4nd\x01\x02\x03\x04\x05\x06\x07\x08", "Deno program"),
        (b"archive MEI\x0c\x0b\x0a\x0b\x0e cookie", "PyInstaller program"),
    ];
    for (payload, name) in cases {
        let at = xpost();
        at.put("app", [&program[..], payload].concat());
        let ran = at.run(["slim", "--in-place", "app"]).succeeds();
        assert!(ran.stdout.contains(name) && !ran.stderr.contains("image"), "{ran:?}");
        assert!(at.read("app").ends_with(payload), "{name}");
        let ran = at.run(["slim", "--in-place", "--explain", "app"]).exits(0, &["slim already"]);
        assert!(ran.stdout.contains(name), "{ran:?}");
    }
}

#[test]
fn a_payload_that_is_found_from_the_start_is_not_moved() {
    let mut program = std::fs::read(corpus::committed("amd64")).unwrap();
    let start = program.len() as u64;
    program.extend(b"eszip, metadata, d3n0l4nd");
    program.extend([start, start + 7, start + 9, start + 12].map(u64::to_be_bytes).concat());
    let at = xpost();
    at.put("app", &program);
    at.run(["slim", "--in-place", "app"])
        .exits(8, &["Deno program", "from the start", "compile again"]);
    assert!(at.read("app") == program);
}

#[test]
fn a_program_packed_by_upx_is_refused() {
    // UPX: checksum, mark, size, version, format; then what the loader unpacks. It has no section headers.
    let packed = |sections: bool, place: &str| {
        let mut bytes = Builder::usual().build();
        if !sections {
            bytes[40..48].fill(0);
            bytes[60..64].fill(0);
        }
        match place {
            "loader" => {
                let at = 64 + 3 * 56 + 4;
                bytes[at..at + 4].copy_from_slice(b"UPX!");
            }
            "end" => bytes.extend(b"UPX!\x0d\x16\x0e\x0a\x8d\x22\0\0"),
            _ => {}
        }
        bytes
    };
    let at = xpost();
    let refused = |bytes: Vec<u8>, said: &[&str]| {
        at.put("app", bytes);
        at.run(["slim", "app"]).exits(8, said);
    };
    refused(packed(false, "loader"), &["packed by UPX", "upx -d"]);
    refused(packed(true, "loader"), &["packed by UPX", "upx -d"]);
    refused(packed(false, "end"), &["packed by UPX", "upx -d"]);
    refused(packed(false, "nowhere"), &["no section headers"]);
    at.put("app", packed(true, "end"));
    at.run(["slim", "app"]).exits(0, &["of no known kind"]);
}
