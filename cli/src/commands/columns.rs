//! Which fields and columns pictures are made of.

use crate::args::PictureArgs;
use streetflow::sinks::Exif;
use streetflow::{Fields, Metadata, Record, TableSource};

/// The fields that pictures need besides their URL: those that go into them, and the one that names their folder.
pub(crate) fn needed(args: &PictureArgs) -> Vec<&'static str> {
    let exif = if args.exif.applies_to(args.quality) { &Exif::FIELDS[..] } else { &[] };
    let layout = args.layout.needs().filter(|column| *column != "seq_id");
    exif.iter().copied().chain(layout).collect()
}

/// The columns of a table that a download of pictures reads besides the id.
pub(crate) fn read_columns(args: &PictureArgs) -> Vec<&'static str> {
    let needed = needed(args);
    let carried = Metadata::COLUMNS
        .iter()
        .filter(|column| column.field.is_some_and(|field| needed.contains(&field)))
        // Pictures name their author, and no number.
        .filter(|column| column.name != "creator_id");
    // The capture time is the file's time too, and authors are named beside the pictures.
    let always = ["seq_id", "captured_at", "creator_username", "attribution", args.quality.field()];
    always.into_iter().chain(carried.map(|column| column.name)).collect()
}

/// What pictures can't carry because the table does not have it.
pub(crate) fn lacking(args: &PictureArgs, source: &TableSource<Metadata>) -> Option<String> {
    let geometry = source.geometry().map(|_| "geometry");
    let has = Fields::from_columns(source.header().iter().map(String::as_str).chain(geometry));
    let wanted = Exif::FIELDS.iter().filter(|_| args.exif.applies_to(args.quality));
    // The picture itself tells its size.
    let lacking: Vec<_> = wanted
        .copied()
        .filter(|field| !["width", "height"].contains(field) && !has.names().contains(field))
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let whole = lacking.iter().try_fold(has, |fields, field| fields.with(field)).ok()?;
    Some(format!(
        "the table has no {}, so pictures go without; `streetflow metadata --fields {whole}` fetches a table that has all",
        lacking.join(", ")
    ))
}
