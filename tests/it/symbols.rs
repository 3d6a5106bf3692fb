//! `xpost slim`: which symbols stay.

use crate::support::elf::{Builder, symbol};
use crate::support::law::{self, Halves};
use crate::support::xpost::{Xpost, xpost};
use crate::support::{corpus, tools};

/// A directory with a corpus program called `app` in it.
fn with(name: &str) -> Xpost {
    let xpost = xpost();
    std::fs::copy(corpus::path(name), xpost.path("app")).unwrap();
    xpost
}

/// Slims `app` with these flags, holds the outcome against the laws; the names of the symbols that stayed, sorted.
#[track_caller]
fn kept(xpost: &Xpost, flags: &[&str]) -> Vec<String> {
    xpost.run([&["slim", "-o", "slim"], flags, &["app"]].concat()).succeeds();
    let (input, slim) = (xpost.read("app"), xpost.read("slim"));
    let elf = xpost::elf::Elf::parse(&slim).unwrap();
    let names = law::symbols(&elf).into_iter().map(|symbol| String::from_utf8(symbol.0).unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    law::hold(&Halves { input, slim, debug: Some(xpost.read("slim.debug")) });
    names
}

/// The rule that `--explain` shows for each symbol that stays.
fn rules(xpost: &Xpost, flags: &[&str]) -> Vec<(String, String)> {
    let fates = fates(xpost, flags).into_iter();
    let stays = fates.filter(|(_, fate, _)| matches!(fate.as_str(), "keep" | "both"));
    stays.map(|(name, _, rule)| (name, rule)).collect()
}

/// Name, fate and rule of each symbol.
fn fates(xpost: &Xpost, flags: &[&str]) -> Vec<(String, String, String)> {
    let ran = xpost.run([&["slim", "--json", "--explain", "-o", "slim"], flags, &["app"]].concat());
    let json = ran.succeeds().json();
    let rows = json["files"][0]["symbolFates"].as_array().unwrap().clone();
    let total = &json["files"][0]["symbols"]["total"];
    assert_eq!(rows.len() as u64, total.as_u64().unwrap(), "every symbol has a fate");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let row =
        |row: &serde_json::Value| (text(&row["name"]), text(&row["fate"]), text(&row["rule"]));
    rows.iter().map(row).collect()
}

#[test]
fn a_list_of_symbols_keeps_what_it_names() {
    let xpost = with("c-musl");
    xpost.put("list", "# what gdb wants\n\n  main  # the entry\nexit\r\n");
    xpost.put("more", "strlen");
    assert_eq!(kept(&xpost, &["--keep-symbols", "list"]), ["exit", "main"]);
    let both = ["--keep-symbols", "list", "--keep-symbols", "more", "-K", "main"];
    assert_eq!(kept(&xpost, &both), ["exit", "main", "strlen"]);
    let mut rules = rules(&xpost, &both);
    rules.sort();
    let row = |name: &str, rule: &str| (name.to_owned(), rule.to_owned());
    let expected = [
        row("exit", "--keep-symbols list:4 exit"),
        row("main", "-K main"),
        row("strlen", "--keep-symbols more:1 strlen"),
    ];
    assert_eq!(rules, expected);
    xpost.put("list", "main\nmian\n");
    xpost.run(["slim", "--keep-symbols", "list", "app"]).exits(3, &["\"mian\"", "main"]);
    xpost.run(["slim", "--keep-symbols", "none", "app"]).exits(5, &["cannot read none"]);
    xpost.put("list", b"ma\xffin\n");
    xpost.run(["slim", "--keep-symbols", "list", "app"]).exits(2, &["cannot read list"]);
}

#[test]
fn a_long_list_of_strangers_is_one_short_message() {
    let xpost = with("c-musl");
    let names: Vec<_> = (0..5000).map(|index| format!("stranger_{index}")).collect();
    xpost.put("list", names.join("\n"));
    let ran = xpost.run(["slim", "--keep-symbols", "list", "app"]);
    let ran = ran.exits(3, &["\"stranger_0\"", "and 4980 more"]);
    assert!(ran.stderr.len() < 2000, "{ran:?}");
}

#[test]
fn all_symbols_stay_but_those_that_were_named() {
    let xpost = with("c-musl");
    let all = kept(&xpost, &["-g"]);
    assert_eq!(kept(&xpost, &["--keep-symtab"]), all);
    assert_eq!(kept(&xpost, &["-g", "--keep-symtab"]), all);
    let without: Vec<_> = all.iter().filter(|name| *name != "main").cloned().collect();
    assert!(without.len() < all.len());
    assert_eq!(kept(&xpost, &["-g", "-N", "main"]), without);
    assert_eq!(kept(&xpost, &["--keep-symtab", "--strip-symbol", "main"]), without);
    // Where a symbol is asked for both ways, it stays.
    assert_eq!(kept(&xpost, &["-g", "-N", "main", "-N", "exit", "-K", "exit"]), without);
    let rules = rules(&xpost, &["--keep-symtab", "-N", "main", "-N", "exit", "-K", "exit"]);
    for (name, rule) in rules {
        assert_eq!(rule, if name == "exit" { "-K exit" } else { "--keep-symtab" }, "{name}");
    }
    xpost.run(["slim", "-N", "main", "app"]).exits(2, &["-N main", "--keep-symtab"]);
    xpost.run(["slim", "-K", "exit", "-N", "main", "app"]).exits(2, &["-N main"]);
    xpost.run(["slim", "--keep-symtab", "-s", "app"]).exits(2, &[]);
    xpost.run(["slim", "-g", "-N", "mian", "app"]).exits(3, &["\"mian\"", "main"]);
}

#[test]
fn a_symbol_that_leaves_has_a_rule_too() {
    let xpost = with("c-musl");
    let of = |flags: &[&str], name: &str| {
        let fates = fates(&xpost, flags);
        fates.into_iter().find(|row| row.0 == name).map(|(_, fate, rule)| (fate, rule)).unwrap()
    };
    let is = |fate: &str, rule: &str| (fate.to_owned(), rule.to_owned());
    assert_eq!(of(&[], "main"), is("debug", "symbols"));
    assert_eq!(of(&["-K", "exit"], "main"), is("debug", "symbols"));
    assert_eq!(of(&["-K", "exit"], "exit"), is("both", "-K exit"));
    assert_eq!(of(&["-g", "-N", "main"], "main"), is("debug", "-N main"));
    assert_eq!(of(&["--no-debug-file"], "main"), is("drop", "symbols"));
    assert_eq!(of(&["--no-debug-file", "-K", "main"], "main"), is("keep", "-K main"));
    // People see those that leave as a number for each rule.
    let ran = xpost.run(["slim", "--explain", "-g", "-N", "main", "-o", "slim", "app"]).succeeds();
    let line = ran.stdout.lines().find(|line| line.ends_with("  -N main")).unwrap();
    assert!(line.trim_start().starts_with("1 symbols ") && line.contains(" debug "), "{line}");
}

#[test]
fn a_missing_symbol_is_a_warning_where_that_is_allowed() {
    let xpost = with("c-musl");
    let ran = xpost.run(["slim", "--allow-missing", "-K", "mian", "-K", "exit", "app"]);
    ran.exits(0, &["no symbol \"mian\" (did you mean", "main"]);
    let nm = xpost.path("xpost-out/linux-amd64/app");
    let seen = tools::stdout(std::process::Command::new(tools::path("nm")).arg(nm));
    assert_eq!(seen.lines().count(), 1, "{seen}");
    let mut builder = Builder::usual();
    builder.symbols.clear();
    xpost.put("app", builder.build());
    let ran = xpost.run(["slim", "--allow-missing", "-K", "main", "-o", "slim", "app"]);
    ran.exits(0, &["no symbol \"main\""]);
}

#[test]
fn a_symbol_asked_for_by_name_does_not_leave_in_silence_with_its_section() {
    let xpost = xpost();
    let mut builder = Builder::usual();
    builder.symbols.push(symbol("inside", ".debug_info"));
    xpost.put("app", builder.build());
    let slim = |flags: &[&str]| xpost.run([&["slim", "-o", "slim"], flags, &["app"]].concat());
    slim(&["-K", "inside"]).exits(3, &["\"inside\" is defined in .debug_info"]);
    slim(&["-g"]).succeeds();
}

#[test]
fn a_name_that_exists_is_no_pattern_and_any_other_may_be_one() {
    let xpost = with("go");
    let all = kept(&xpost, &["-g"]);
    let odd = all.iter().find(|name| name.contains('[') && name.contains(']')).unwrap();
    assert_eq!(kept(&xpost, &["-K", odd]), [odd.as_str()]);
    assert_eq!(kept(&xpost, &["-K", &format!("={odd}")]), [odd.as_str()]);
    let tally: Vec<_> = all.iter().filter(|name| name.starts_with("main.tally")).cloned().collect();
    assert!(tally.len() > 1, "{tally:?}");
    assert_eq!(kept(&xpost, &["-K", "main.tally*"]), tally);
    assert_eq!(kept(&xpost, &["-w", "-K", "main.[t-t]all?*"]), tally);
    let rules = rules(&xpost, &["-K", "main.main", "-K", "main.[mt]a*"]);
    for (name, rule) in rules {
        let expected = if name == "main.main" { "-K main.main" } else { "-K main.[mt]a*" };
        assert_eq!(rule, expected, "{name}");
    }
    xpost.run(["slim", "-K", "=main.*", "app"]).exits(3, &["\"=main.*\""]);
    xpost
        .run(["slim", "-K", "main.talyAll*", "app"])
        .exits(3, &["\"main.talyAll*\" (did you mean"]);
    xpost.run(["slim", "-K", "main.*", "-K", "nobody.*", "app"]).exits(3, &["\"nobody.*\""]);
    xpost.run(["slim", "--allow-missing", "-K", "nobody.*", "app"]).exits(0, &["\"nobody.*\""]);
}

#[test]
fn what_is_negated_is_spared_wherever_it_stands() {
    let xpost = with("go");
    let all = kept(&xpost, &["-K", "main.*"]);
    let but: Vec<_> = all.iter().filter(|name| *name != "main.main").cloned().collect();
    assert!(but.len() < all.len());
    assert_eq!(kept(&xpost, &["-K", "main.*", "-K", "!main.main"]), but);
    assert_eq!(kept(&xpost, &["-K", "!main.m??n", "-K", "main.*"]), but);
    xpost.put("list", "main.*\n!=main.main\n");
    assert_eq!(kept(&xpost, &["--keep-symbols", "list"]), but);
    let everything = kept(&xpost, &["-g"]);
    let without = everything.iter().filter(|name| !but.contains(name)).cloned().collect::<Vec<_>>();
    assert_eq!(kept(&xpost, &["-g", "-N", "main.*", "-N", "!main.main"]), without);
    xpost.run(["slim", "-K", "!main.main", "app"]).exits(2, &["-K !main.main spares nothing"]);
    xpost.run(["slim", "-K", "main.*", "-K", "!mian.main", "app"]).exits(3, &["\"!mian.main\""]);
}

#[test]
fn demangled_names_are_names() {
    let rust = with("rust-gnu-static");
    let main = kept(&rust, &["-K", "tally::main"]);
    assert!(main.len() == 1 && main[0].starts_with("_ZN5tally4main17h"), "{main:?}");
    assert_eq!(kept(&rust, &["-K", &main[0]]), main);
    assert_eq!(kept(&rust, &["-K", "tally::m?in"]), main);
    // Of the two mangling schemes of Rust the standard library has one, the program the other.
    let short = kept(&rust, &["-K", "*__rust_*_short_backtrace*"]);
    assert!(short.iter().any(|name| name.starts_with("_R")), "{short:?}");
    assert!(short.iter().any(|name| name.starts_with("_ZN")), "{short:?}");
    rust.run(["slim", "-K", "tally::mian", "app"]).exits(3, &["did you mean tally::main"]);

    let cxx = with("cxx-static");
    let constructors = kept(&cxx, &["-K", "std::domain_error::domain_error(char const*)"]);
    assert_eq!(constructors, ["_ZNSt12domain_errorC1EPKc", "_ZNSt12domain_errorC2EPKc"]);
    let more = kept(&cxx, &["-K", "std::domain_error::domain_error"]);
    assert!(constructors.iter().all(|name| more.contains(name)), "{more:?}");
    assert!(more.len() > constructors.len(), "{more:?}");
}

#[test]
fn a_regular_expression_is_matched_with_both_names() {
    let xpost = with("rust-gnu-static");
    let main = kept(&xpost, &["-K", "tally::main"]);
    assert_eq!(kept(&xpost, &["--keep-symbol-regex", "^tally::main$"]), main);
    assert_eq!(kept(&xpost, &["--keep-symbol-regex", "^_ZN5tally4main17h[0-9a-f]{16}E$"]), main);
    assert_eq!(kept(&xpost, &["--keep-symbol-regex", "ally::m", "-K", "!*::m[!a]*"]), main);
    let rules = rules(&xpost, &["--keep-symbol-regex", "^tally::main$"]);
    assert_eq!(rules[0].1, "--keep-symbol-regex ^tally::main$");
    let slim = |regex| xpost.run(["slim", "--keep-symbol-regex", regex, "app"]);
    slim("^nobody$").exits(3, &["\"^nobody$\""]);
    slim("(").exits(2, &["cannot read --keep-symbol-regex (", "unclosed group"]);
    slim("((a{900}){900}){900}").exits(2, &["cannot read", "size limit"]);
}

#[test]
fn a_stripped_rust_program_lists_its_frames_with_the_preset_alone() {
    let xpost = with("rust-gnu-static");
    // What it says of a crash, with the slim file alone in a directory: the debug file would tell all.
    let crash = |flags: &[&str]| {
        let arguments = [&["slim", "-o", "alone/app", "--no-debug-file"], flags, &["app"]].concat();
        xpost.run(arguments).succeeds();
        let mut command = std::process::Command::new(xpost.path("alone/app"));
        let output = tools::output(command.arg("crash").env("RUST_BACKTRACE", "1"));
        String::from_utf8(output.stderr).unwrap()
    };
    let frames =
        |said: &str| said.lines().filter(|line| line.trim_start().starts_with("4: ")).count();
    for without in [&[][..], &["-K", "*ledger*"]] {
        let said = crash(without);
        assert!(said.contains("stack backtrace:") && frames(&said) == 0, "{said}");
    }
    let said = crash(&["--keep-preset", "rust"]);
    assert_eq!(frames(&said), 1, "{said}");
    let said = crash(&["--keep-preset", "rust", "-K", "*ledger*"]);
    assert!(frames(&said) == 1 && said.contains("ledger::"), "{said}");
    let rules = rules(&xpost, &["--keep-preset", "rust"]);
    assert!(rules.len() >= 2, "{rules:?}");
    for (name, rule) in rules {
        assert!(name.contains("_short_backtrace") && rule == "--keep-preset rust", "{name} {rule}");
    }
}

#[test]
fn presets_keep_what_is_looked_up_and_say_where_that_is_nothing() {
    assert_eq!(kept(&with("go"), &["--keep-preset", "go"]), ["go:func.*"]);
    let glibc = with("c-glibc-static");
    let names = kept(&glibc, &["--keep-preset", "c"]);
    for name in ["malloc", "_dl_stack_used", "__nptl_nthreads"] {
        assert!(names.iter().any(|kept| kept == name), "{name}: {names:?}");
    }
    let functions = kept(&glibc, &["--keep-preset", "bpf", "-K", "!mal*"]);
    assert!(functions.contains(&"main".to_owned()) && !functions.contains(&"malloc".to_owned()));
    assert!(!functions.contains(&"_dl_stack_used".to_owned()), "it is data");
    // A part of a preset is not there (musl has no libthread_db), or all of it: neither is an error.
    let mut builder = Builder::usual();
    builder.symbols.push(symbol("malloc", ".text"));
    let musl = xpost();
    musl.put("app", builder.build());
    assert_eq!(kept(&musl, &["--keep-preset", "c"]), ["malloc"]);
    let said = glibc.run(["slim", "--keep-preset", "rust", "--keep-preset", "c", "app"]);
    said.exits(0, &["app has none of the symbols of --keep-preset rust"]);
    glibc.run(["slim", "--keep-preset", "cobol", "app"]).exits(2, &["possible values"]);
    // As with GNU strip, who keeps all may name some as well; they have to be there.
    assert_eq!(kept(&glibc, &["-g", "-K", "main"]), kept(&glibc, &["-g"]));
    glibc.run(["slim", "-g", "-K", "mian", "app"]).exits(3, &["did you mean main?"]);
}
