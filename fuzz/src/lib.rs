//! What the fuzz targets have in common: reading to the end, and what must hold of whatever came out.

use std::error::Error as _;
use std::fmt::Debug;
use std::io::{self, Read};
use std::path::{Component, Path};

use futures::StreamExt;
use streetflow::sinks::{CsvEncoder, GeoJsonEncoder, GeoJsonForm, Layout};
use streetflow::{CsvSource, Encoder, Error, Fields, GeoJsonSource, Record, Result, Source, Value};

/// Bytes that come a few at a time, so that every seam of a reader's buffer is met.
pub struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    size: usize,
}

impl Pieces {
    pub fn new(bytes: &[u8], size: usize) -> Self {
        Self { bytes: bytes.to_vec(), at: 0, size }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.bytes[self.at..];
        let len = left.len().min(buffer.len()).min(self.size);
        buffer[..len].copy_from_slice(&left[..len]);
        self.at += len;
        Ok(len)
    }
}

/// Reads a table to its end: its records, and all that came as text.
///
/// # Panics
///
/// If something follows after a fatal error, or an error's text is not fit to be shown.
pub fn read<T: Record + Debug>(source: Result<impl Source<Item = T>>) -> (Vec<T>, Vec<String>) {
    let items: Vec<Result<T>> = match source {
        Ok(source) => futures::executor::block_on(source.stream().collect()),
        Err(error) => vec![Err(error)],
    };
    if let Some(fatal) = items.iter().position(|item| item.as_ref().is_err_and(Error::is_fatal)) {
        assert_eq!(fatal + 1, items.len(), "something follows after a fatal error");
    }
    let texts = items.iter().map(|item| match item {
        Ok(record) => bits(record).join("|"),
        Err(error) => shown(error),
    });
    let texts = texts.collect();
    (items.into_iter().filter_map(Result::ok).collect(), texts)
}

/// An error as a person sees it: some lines, nothing that a terminal would obey.
pub fn shown(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(because) = cause {
        text = format!("{text}: {because}");
        cause = because.source();
    }
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.chars().count() < 4000, "{} characters", text.chars().count());
    text
}

/// What is accepted as an id goes into a path and a query as it is.
pub fn is_safe(id: &str) {
    assert!((1..=64).contains(&id.len()), "{id:?}");
    assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{id:?}");
    let parts: Vec<_> = Path::new(id).components().collect();
    assert_eq!(parts, [Component::Normal(id.as_ref())]);
}

/// The bits of all values: two zeros that differ in their sign are equal, but not the same.
pub fn bits<T: Record>(record: &T) -> Vec<String> {
    T::COLUMNS.iter().map(|column| format!("{:?}", (column.get)(record))).collect()
}

/// All fields that are known.
pub fn all() -> Fields {
    Fields::known().join(",").parse().expect("they are known")
}

/// Writes records as CSV and reads them back equal, to the bit.
pub fn csv_keeps<T: Record + PartialEq + Debug>(records: &[T]) {
    // Its row would be taken for a second header.
    let is_header =
        |record: &T| T::COLUMNS.iter().all(|column| (column.get)(record) == Value::Text(column.name.into()));
    let records: Vec<T> = records.iter().filter(|record| !is_header(record)).cloned().collect();
    let mut bytes = Shared::default();
    let mut encoder = Box::new(CsvEncoder::new(bytes.clone(), &all()).expect("a header"));
    encoder.encode(&records).expect("rows");
    encoder.finish().expect("an end");
    same(&records, read(CsvSource::new("written", io::Cursor::new(bytes.take()))));
}

/// Writes records as GeoJSON and reads them back equal, to the bit.
pub fn geojson_keeps<T: Record + PartialEq + Debug>(records: &[T], lines: bool) {
    let mut bytes = Shared::default();
    let form = if lines { GeoJsonForm::Lines } else { GeoJsonForm::Collection };
    let layout = Layout::default().fields(&all());
    let mut encoder = Box::new(GeoJsonEncoder::new(bytes.clone(), form, &layout).expect("a beginning"));
    encoder.encode(records).expect("features");
    encoder.finish().expect("an end");
    let from = io::Cursor::new(bytes.take());
    let source =
        if lines { GeoJsonSource::lines("written", from) } else { GeoJsonSource::new("written", from) };
    same(records, read(source));
}

fn same<T: Record + PartialEq + Debug>(records: &[T], (back, texts): (Vec<T>, Vec<String>)) {
    assert_eq!(texts.len(), records.len(), "{texts:?}\n{records:?}");
    assert_eq!(back, records, "{texts:?}");
    let written: Vec<_> = records.iter().map(|record| bits(record).join("|")).collect();
    assert_eq!(texts, written);
}

/// A place to write to that outlives the encoder.
#[derive(Default, Clone)]
struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Shared {
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().expect("nobody panicked"))
    }
}

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
