//! Help and manual pages, and the flags mentioned in README.md and the guide.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::{command, names, with};

/// Returns the output of a command in a terminal of 80 columns.
fn printed(folder: &Path, args: &[&str]) -> String {
    let output = with(command(folder), args.iter().copied()).env("COLUMNS", "80").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the commands listed in the help.
fn commands(folder: &Path) -> Vec<String> {
    let help = printed(folder, &["-h"]);
    let list = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = list
        .lines()
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Returns all long flags in a text. Classes such as `nature--vegetation` are none.
fn flags(text: &str) -> BTreeSet<String> {
    let is_inside =
        |before: &str| before.ends_with(|c: char| c == '-' || c == '|' || c.is_ascii_alphanumeric());
    let starts = text.match_indices("--").filter(|(at, _)| !is_inside(&text[..*at]));
    let names = starts.map(|(at, _)| {
        let rest = &text[at..];
        rest[..rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len())].to_owned()
    });
    names.filter(|name| name.len() > 3).collect()
}

#[test]
fn help_fits_80_columns_ends_with_examples_and_has_a_short_form() {
    let folder = tempfile::tempdir().unwrap();
    let commands = commands(folder.path());
    assert!(commands.len() >= 11 && commands[0] == "crawl", "{commands:?}");
    for name in commands {
        let (short, long) =
            (printed(folder.path(), &[&name, "-h"]), printed(folder.path(), &[&name, "--help"]));
        for line in short.lines().chain(long.lines()) {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
        assert!(short.lines().count() < 70, "{name}: {} lines", short.lines().count());
        assert!(short.contains("\nExamples:\n  ") && long.contains("\nExamples:\n  "), "{name}");
        let lacking = flags(&short).difference(&flags(&long)).cloned().collect::<Vec<_>>();
        assert!(lacking.is_empty(), "{name}: only the short help has {lacking:?}");
    }
}

#[test]
fn every_command_has_a_manual_page_that_describes_every_flag() {
    let folder = tempfile::tempdir().unwrap();
    printed(folder.path(), &["man", "pages"]);
    let mut expected: Vec<_> =
        commands(folder.path()).iter().map(|name| format!("streetflow-{name}.1")).collect();
    expected.push("streetflow.1".to_owned());
    expected.sort();
    assert_eq!(names(&folder.path().join("pages")), expected);
    for page in expected {
        let text = fs::read_to_string(folder.path().join("pages").join(&page)).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let tags = (0..lines.len()).filter(|at| lines[*at] == ".TP");
        for at in tags {
            let word = lines.get(at + 2).copied().unwrap_or_default();
            assert!(!word.is_empty() && !word.starts_with('.'), "{page}: {}", lines[at + 1]);
        }
    }
    let one = printed(folder.path(), &["man"]);
    assert!(one == fs::read_to_string(folder.path().join("pages/streetflow.1")).unwrap());
}

#[test]
fn readme_and_guide_mention_only_existing_flags() {
    let folder = tempfile::tempdir().unwrap();
    let mut known = flags(&printed(folder.path(), &["--help"]));
    for name in commands(folder.path()) {
        known.extend(flags(&printed(folder.path(), &[&name, "--help"])));
    }
    // Flags of cargo.
    known.extend(["--release", "--locked", "--path", "--open"].map(str::to_owned));
    let root = crate::support::repository();
    for document in ["README.md", "docs/guide.md", "docs/reference.md"] {
        let ids_in_log = flags(&fs::read_to_string(root.join(document)).unwrap());
        let unknown: Vec<_> = ids_in_log.difference(&known).collect();
        assert!(ids_in_log.len() > 10 && unknown.is_empty(), "{document}: {unknown:?}");
    }
}
