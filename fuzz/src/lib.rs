//! Shared parts of the fuzz targets: reading tables, and checks of records and errors.

use std::error::Error as _;
use std::fmt::Debug;
use std::io::{self, Read};
use std::path::{Component, Path};

use futures::StreamExt;
use streetflow::record::Polygons;
use streetflow::sinks::{CsvEncoder, GeoJsonEncoder, GeoJsonForm, Layout};
use streetflow::{CsvSource, Encoder, Error, FieldList, GeoJsonSource, Record, Result, Source, Value};

/// A reader that returns a few bytes at a time, to test all buffer boundaries.
pub struct Chunks {
    bytes: Vec<u8>,
    at: usize,
    size: usize,
}

impl Chunks {
    pub fn new(bytes: &[u8], size: usize) -> Self {
        Self { bytes: bytes.to_vec(), at: 0, size }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.bytes[self.at..];
        let len = left.len().min(buffer.len()).min(self.size);
        buffer[..len].copy_from_slice(&left[..len]);
        self.at += len;
        Ok(len)
    }
}

/// Reads a table. Returns its records, and all records and errors as text.
///
/// # Panics
///
/// If an item follows a fatal error, or the text of an error is not printable.
pub fn read<T: Record + Debug>(source: Result<impl Source<Item = T>>) -> (Vec<T>, Vec<String>) {
    let items: Vec<Result<T>> = match source {
        Ok(source) => futures::executor::block_on(source.stream().collect()),
        Err(error) => vec![Err(error)],
    };
    if let Some(fatal) = items.iter().position(|item| item.as_ref().is_err_and(Error::is_fatal)) {
        assert_eq!(fatal + 1, items.len(), "an item follows a fatal error");
    }
    let texts = items.iter().map(|item| match item {
        Ok(record) => bits(record).join("|"),
        Err(error) => printable(error),
    });
    let texts = texts.collect();
    (items.into_iter().filter_map(Result::ok).collect(), texts)
}

/// Returns the text of an error. Asserts that it is short and has no control characters.
pub fn printable(error: &Error) -> String {
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

/// Asserts that an id needs no escaping in a path or a query.
pub fn assert_safe_id(id: &str) {
    assert!((1..=64).contains(&id.len()), "{id:?}");
    assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{id:?}");
    let parts: Vec<_> = Path::new(id).components().collect();
    assert_eq!(parts, [Component::Normal(id.as_ref())]);
}

/// Encodes bytes as base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for place in 0..4 {
            let letter = letters[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

/// Asserts that a shape is bounded and inside the picture, and comes back from JSON to the bit.
pub fn check_shape(shape: &Polygons) {
    assert!(shape.vertices().len() <= 20_000);
    assert!(shape.vertices().iter().flatten().all(|at| (0.0..=1.0).contains(at)));
    assert!(shape.iter().all(|polygon| polygon.rings().all(|ring| ring.len() >= 3)));
    assert!(shape.area() >= 0.0);
    let json = shape.to_string();
    assert_eq!(&serde_json::from_str::<Polygons>(&json).expect("JSON"), shape);
}

/// Returns the exact bits of all values: `0.0` and `-0.0` are equal but differ in their bits.
pub fn bits<T: Record>(record: &T) -> Vec<String> {
    T::COLUMNS.iter().map(|column| format!("{:?}", (column.get)(record))).collect()
}

/// Returns a layout with all known fields of a record type.
pub fn all<T: Record>() -> Layout {
    let columns = T::COLUMNS.iter().map(|column| column.name);
    Layout::default().fields_of::<T>(&FieldList::from_columns(columns))
}

/// Asserts that records round-trip bit for bit in CSV.
pub fn check_csv<T: Record + PartialEq + Debug>(records: &[T]) {
    // A row equal to the header is read as a second header.
    let is_header =
        |record: &T| T::COLUMNS.iter().all(|column| (column.get)(record) == Value::Text(column.name.into()));
    let records: Vec<T> = records.iter().filter(|record| !is_header(record)).cloned().collect();
    let mut bytes = SharedBuffer::default();
    let mut encoder = Box::new(CsvEncoder::new(bytes.clone(), &all::<T>()).expect("a header"));
    Encoder::<T>::encode(&mut *encoder, &records).expect("rows");
    Encoder::<T>::finish(encoder).expect("an end");
    assert_same(&records, read(CsvSource::new("written", io::Cursor::new(bytes.take()))));
}

/// Asserts that records round-trip bit for bit in GeoJSON.
pub fn check_geojson<T: Record + PartialEq + Debug>(records: &[T], lines: bool) {
    let mut bytes = SharedBuffer::default();
    let form = if lines { GeoJsonForm::Lines } else { GeoJsonForm::Collection };
    let layout = all::<T>();
    let mut encoder = Box::new(GeoJsonEncoder::new(bytes.clone(), form, &layout).expect("a header"));
    Encoder::<T>::encode(&mut *encoder, records).expect("features");
    Encoder::<T>::finish(encoder).expect("an end");
    let from = io::Cursor::new(bytes.take());
    let source =
        if lines { GeoJsonSource::lines("written", from) } else { GeoJsonSource::new("written", from) };
    assert_same(records, read(source));
}

fn assert_same<T: Record + PartialEq + Debug>(records: &[T], (back, texts): (Vec<T>, Vec<String>)) {
    assert_eq!(texts.len(), records.len(), "{texts:?}\n{records:?}");
    assert_eq!(back, records, "{texts:?}");
    let written: Vec<_> = records.iter().map(|record| bits(record).join("|")).collect();
    assert_eq!(texts, written);
}

/// A writer with a buffer that outlives the encoder.
#[derive(Default, Clone)]
struct SharedBuffer(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl SharedBuffer {
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().expect("not poisoned"))
    }
}

impl io::Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
