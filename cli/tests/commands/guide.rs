//! The commands of docs/guide.md run and write the files that it lists. Its programs are doctests.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::command;

/// A task of the guide: its title, its commands, and the listed files.
struct Task {
    title: String,
    commands: String,
    files: Vec<String>,
}

fn tasks() -> Vec<Task> {
    let guide = crate::support::repository().join("docs/guide.md");
    let guide = fs::read_to_string(guide).unwrap();
    let tasks = guide.split("\n## ").skip(1).map(|text| {
        let title = text.lines().next().unwrap().to_owned();
        let (commands, rest) = text
            .split_once("```sh\n")
            .and_then(|(_, rest)| rest.split_once("```\n\n"))
            .unwrap_or_else(|| panic!("no commands: {title}"));
        let written = rest.lines().next().and_then(|line| line.strip_prefix("Written: "));
        let written = written.unwrap_or_else(|| panic!("no word of files behind the commands: {title}"));
        let files = written.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Task { title, commands: commands.to_owned(), files }
    });
    tasks.collect()
}

/// Returns a shell that finds the built command by name, without environment variables that affect it.
fn shell(folder: &Path, commands: &str) -> Command {
    let built = command(folder);
    let bin = Path::new(built.get_program()).parent().unwrap().to_owned();
    let mut shell = Command::new("sh");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path))).unwrap();
    shell.args(["-euc", commands]).current_dir(folder);
    for (name, _) in built.get_envs() {
        shell.env_remove(name);
    }
    shell.env("PATH", path);
    shell
}

/// Returns whether the path is a non-empty file, or a folder with such a file at any depth.
fn has_content(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.any(|entry| has_content(&entry.unwrap().path())),
        Err(_) => fs::metadata(path).is_ok_and(|file| file.len() > 0),
    }
}

#[test]
fn the_commands_of_the_guide_run_unchanged_and_write_the_listed_files() {
    let tasks = tasks();
    assert!(tasks.len() >= 14);
    for Task { title, commands, files } in tasks {
        let folder = tempfile::tempdir().unwrap();
        let output = shell(folder.path(), &commands).output().unwrap();
        assert!(output.status.success(), "{title}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!files.is_empty(), "{title}");
        for file in files {
            assert!(has_content(&folder.path().join(&file)), "{title}: {file}");
        }
    }
}

#[test]
fn every_task_of_the_guide_has_a_tested_program() {
    let guide = fs::read_to_string(crate::support::repository().join("docs/guide.md")).unwrap();
    for task in guide.split("\n## ").skip(1) {
        assert!(task.contains("```rust\n"), "{}", task.lines().next().unwrap());
    }
    assert!(!guide.contains("no_run") && !guide.contains("```rust,ignore"));
}
