//! Values that appear after the columns of the output were decided.

use futures::StreamExt;

use streetflow::sources::RecordStream;
use streetflow::{Column, Error, ErrorKind, Format, Kind, Record, Value};

/// Rejects a record with a value that has no column in the output: it appeared after the header was decided.
pub(super) fn reject_new_columns<T: Record>(
    chosen: &[&'static Column<T>],
    format: Format,
) -> impl FnOnce(RecordStream<T>) -> RecordStream<T> + use<T> {
    let has_column = |column: &Column<T>| {
        // `id` is another name of the image id, and a format with a geometry always contains the coordinates.
        let is_written_elsewhere = column.name == "id"
            || (format.has_geometry() && ["lon", "lat"].contains(&column.name))
            || column.field.is_none();
        is_written_elsewhere || chosen.iter().any(|chosen| chosen.name == column.name)
    };
    let rest: Vec<&Column<T>> = T::COLUMNS.iter().filter(|column| !has_column(column)).collect();
    let mut row = 0_u64;
    move |records| {
        let checked = records.map(move |record| {
            row += 1;
            let record = record?;
            match rest.iter().find(|column| (column.get)(&record) != Value::Null) {
                None => Ok(record),
                Some(stray) => Err(Error::new(ErrorKind::Usage, "convert")
                    .with_source(format!(
                        "record {row} has {}, which earlier records do not have",
                        if stray.kind == Kind::Longitude {
                            "coordinates".to_owned()
                        } else {
                            format!("`{}`", stray.name)
                        }
                    ))
                    .with_hint("list all fields with `--fields`")),
            }
        });
        checked.boxed()
    }
}
