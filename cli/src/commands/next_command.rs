//! Command lines that continue from the output of a command.

use crate::args::{NetworkArgs, OutputArgs, TableArgs};
use crate::job::table_path;
use crate::terminal::shell::quoted;
use streetflow::{Fields, Format, Quality, Step};

/// The command of the step after `step`, which reads the table that `step` wrote.
pub(super) fn after(step: Step, files: &OutputArgs, network: &NetworkArgs, tables: &TableArgs) -> String {
    let names = &files.names;
    let (command, name_flag) = match step {
        Step::SEQUENCES => ("images", flag("seq-out-file", &names.seq_out_file, "seq_dataset")),
        _ => ("metadata", flag("img-out-file", &names.img_out_file, "img_dataset")),
    };
    let input = names.table(step).and_then(|table| input(files, tables, table));
    command_line(command, [input, name_flag, output(files), sandbox(network)])
}

/// The download of the pictures in a table of metadata. `None` if the fields contain no picture URL.
pub(super) fn download(
    files: &OutputArgs,
    network: &NetworkArgs,
    tables: &TableArgs,
    fields: &Fields,
) -> Option<String> {
    let has_url = |quality: &Quality| fields.names().iter().any(|name| *name == quality.field());
    let quality = Quality::ALL.into_iter().find(has_url)?;
    let quality = (quality != Quality::default()).then(|| format!("--quality {quality}"));
    let table = &files.names.img_meta_out_file;
    let name_flag = flag("img-meta-out-file", table, "img_meta_dataset");
    let input = input(files, tables, table);
    Some(command_line("download", [quality, input, name_flag, output(files), sandbox(network)]))
}

pub(super) fn command_line<const N: usize>(command: &str, args: [Option<String>; N]) -> String {
    let args = args.into_iter().flatten();
    [format!("streetflow {command}")].into_iter().chain(args).collect::<Vec<_>>().join(" ")
}

/// `--input`, if a table of an earlier run in another format would make the choice ambiguous.
fn input(files: &OutputArgs, tables: &TableArgs, table: &str) -> Option<String> {
    let path = |format: &Format| table_path(&files.shown(), table, *format);
    let is_ambiguous =
        Format::ALL.iter().filter(|format| !tables.format.contains(format)).any(|one| path(one).exists());
    let first = tables.format.first().filter(|_| is_ambiguous)?;
    Some(format!("--input {}", quoted(&path(first).display().to_string())))
}

pub(super) fn output(files: &OutputArgs) -> Option<String> {
    flag("output", &files.shown().display().to_string(), "outputs")
}

pub(super) fn sandbox(network: &NetworkArgs) -> Option<String> {
    network.sandbox.then(|| "--sandbox".to_owned())
}

fn flag(name: &str, value: &str, default: &str) -> Option<String> {
    (value != default).then(|| format!("--{name} {}", quoted(value)))
}
