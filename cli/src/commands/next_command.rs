//! The command that goes on from what one has made.

use crate::args::{CrawlArgs, DownloadArgs, NetworkArgs, OutputArgs, TableArgs};
use crate::artifacts::report::quoted;
use crate::job::outputs::path_of;
use streetflow::{Fields, Format, Quality};

/// After `sequences`: their images.
pub(crate) fn images(files: &OutputArgs, network: &NetworkArgs, tables: &TableArgs) -> String {
    let named = name("seq-out-file", &files.names.seq_out_file, "seq_dataset");
    let input = input(files, tables, &files.names.seq_out_file);
    command("images", [input, named, folder(files), sandbox(network)])
}

/// After `images`: what is known of them.
pub(crate) fn metadata(files: &OutputArgs, network: &NetworkArgs, tables: &TableArgs) -> String {
    let named = name("img-out-file", &files.names.img_out_file, "img_dataset");
    let input = input(files, tables, &files.names.img_out_file);
    command("metadata", [input, named, folder(files), sandbox(network)])
}

/// After `metadata`: the pictures, of the size of which there are URLs; none if there are none.
pub(crate) fn download(
    files: &OutputArgs,
    network: &NetworkArgs,
    tables: &TableArgs,
    fields: &Fields,
) -> Option<String> {
    let has = |quality: &Quality| fields.names().iter().any(|name| *name == quality.field());
    let quality = Quality::ALL.into_iter().find(has)?;
    let quality = (quality != Quality::default()).then(|| format!("--quality {quality}"));
    let named = name("img-meta-out-file", &files.names.img_meta_out_file, "img_meta_dataset");
    let input = input(files, tables, &files.names.img_meta_out_file);
    Some(command("download", [quality, input, named, folder(files), sandbox(network)]))
}

/// Before `download`: the command that makes its table whole, with the fields it has and the URL that it lacks.
pub(crate) fn refetch(args: &DownloadArgs, header: &[String]) -> String {
    let fields = Fields::from_columns(header.iter().map(String::as_str));
    let fields = fields.with(args.pictures.quality.field()).unwrap_or_default();
    let input = args.input.input.as_ref();
    let input = input.map(|path| format!("--input {}", quoted(&path.display().to_string())));
    let fields = Some(format!("--fields {fields}"));
    command("metadata", [sandbox(&args.network), folder(&args.files), input, fields])
}

/// After `crawl`: the pictures, if they were left out, else a look at it on a map.
pub(crate) fn crawled(args: &CrawlArgs) -> Option<String> {
    if args.no_download {
        let quality = args.pictures.quality;
        let fields = if quality == Quality::default() {
            args.ask.fields.clone()
        } else {
            quality.field().parse().unwrap_or_default()
        };
        return download(&args.files, &args.network, &args.tables, &fields);
    }
    look(args)
}

/// A table that programs for maps open; none if there is one, or no place in the one that there is.
fn look(args: &CrawlArgs) -> Option<String> {
    if !args.tables.format.contains(&Format::Csv)
        || args.tables.format.iter().any(|format| format.has_geometry())
        || !args.ask.fields.names().contains(&"geometry")
    {
        return None;
    }
    let path = |format| path_of(&args.files.output, &args.files.names.img_meta_out_file, format);
    let [table, map] = [path(Format::Csv), path(Format::GeoJson)];
    let [table, map] = [table, map].map(|path| quoted(&path.display().to_string()));
    Some(format!("streetflow convert {table} {map}"))
}

fn command<const N: usize>(name: &str, words: [Option<String>; N]) -> String {
    let words = words.into_iter().flatten();
    [format!("streetflow {name}")].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// The table by its name, where one in another format, of an earlier run, would leave it open which one is meant.
fn input(files: &OutputArgs, tables: &TableArgs, table: &str) -> Option<String> {
    let path = |format: &Format| path_of(&files.output, table, *format);
    let older =
        Format::ALL.iter().filter(|format| !tables.format.contains(format)).any(|one| path(one).exists());
    let first = tables.format.first().filter(|_| older)?;
    Some(format!("--input {}", quoted(&path(first).display().to_string())))
}

fn folder(files: &OutputArgs) -> Option<String> {
    name("output", &files.output.display().to_string(), "outputs")
}

fn name(flag: &str, value: &str, default: &str) -> Option<String> {
    (value != default).then(|| format!("--{flag} {}", quoted(value)))
}

fn sandbox(network: &NetworkArgs) -> Option<String> {
    network.is_sandbox().then(|| "--sandbox".to_owned())
}
