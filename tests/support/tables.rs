//! Writing and reading of tables in any format.

use std::fs::File;
use std::path::Path;

use futures::TryStreamExt;
use streetflow::sinks::{Layout, encoder_for};
use streetflow::{FieldList, Format, Metadata, Record, Source, TableSource};

/// All fields of metadata.
pub(crate) fn all() -> Layout {
    all_of::<Metadata>()
}

/// All fields of a record type.
pub(crate) fn all_of<T: Record>() -> Layout {
    let columns = T::COLUMNS.iter().map(|column| column.name);
    Layout::default().fields_of::<T>(&FieldList::from_columns(columns))
}

pub(crate) fn write<T: Record>(path: &Path, format: Format, layout: &Layout, records: &[T]) {
    let mut encoder = encoder_for(Box::new(File::create(path).unwrap()), format, layout).unwrap();
    encoder.encode(records).unwrap();
    encoder.finish().unwrap();
}

pub(crate) fn read<T: Record>(path: &Path, format: Format) -> Vec<T> {
    let source = TableSource::open_as(path, format).unwrap();
    futures::executor::block_on(source.stream().try_collect()).unwrap()
}

/// Returns the exact bits of all values: `0.0` and `-0.0` are equal but differ in their bits.
pub(crate) fn bits<T: Record>(record: &T) -> Vec<String> {
    T::COLUMNS.iter().map(|column| format!("{:?}", (column.get)(record))).collect()
}

/// Asserts that records round-trip bit for bit in every format.
pub(crate) fn check_every_format<T: Record + PartialEq + std::fmt::Debug>(records: &[T]) {
    let folder = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let path = folder.path().join("table");
        write(&path, *format, &all_of::<T>(), records);
        let back: Vec<T> = read(&path, *format);
        assert_eq!(back, records, "{format}");
        assert_eq!(
            back.iter().map(bits).collect::<Vec<_>>(),
            records.iter().map(bits).collect::<Vec<_>>(),
            "{format}"
        );
    }
}
