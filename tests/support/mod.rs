//! Shared helpers of the tests of the library and of the command.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod tables;

use std::path::Path;
use std::time::Duration;

use streetflow::{
    Client, ClientBuilder, Error, ErrorKind, Image, ImageId, Kind, Metadata, Record, Sequence, SequenceId,
    Token, Value,
};
use streetflow_sandbox::{MockSequence, Sandbox};

/// Returns the builder of a client for the mock server, with short backoff.
pub(crate) fn builder(sandbox: &Sandbox) -> ClientBuilder {
    Client::builder()
        .token(Token::new(Sandbox::TOKEN).unwrap())
        .graph_url(sandbox.graph_url())
        .tiles_url(sandbox.tiles_url())
        .initial_backoff(Duration::from_millis(2))
}

pub(crate) fn client(sandbox: &Sandbox) -> Client {
    builder(sandbox).build().unwrap()
}

pub(crate) fn sequence_record(sequence: &MockSequence) -> Sequence {
    Sequence { org_id: None, seq_id: SequenceId::new(sequence.id()).unwrap() }
}

pub(crate) fn image_record(id: &str) -> Image {
    Image { seq_id: SequenceId::new("SWxf3IwpsCM9GKBaetvkAy").unwrap(), img_id: ImageId::new(id).unwrap() }
}

pub(crate) fn image_records(count: u64) -> impl Iterator<Item = Image> {
    (0..count).map(|number| image_record(&(1_000_000_000_000_000 + number).to_string()))
}

pub(crate) fn metadata_record(id: &str) -> Metadata {
    Metadata { img_id: ImageId::new(id).unwrap(), ..Metadata::default() }
}

/// Text with characters that formats must escape.
pub(crate) const ODD_TEXT: &str = "Ünï, \"quoted\"\nand\r\nbroken; 日本\t'=1+1";

/// Returns a record with an unusual value in every column.
pub(crate) fn odd_metadata() -> Metadata {
    let mut record = metadata_record("26774514888887982");
    for column in Metadata::COLUMNS.iter().filter(|column| column.field.is_some()) {
        let value = match column.kind {
            Kind::Text => Value::Text(ODD_TEXT.into()),
            Kind::Integer => Value::Integer(i32::MIN),
            Kind::Time => Value::Time(i64::MIN),
            Kind::Float | Kind::Longitude | Kind::Latitude => Value::Float(-1.234_567_890_123_456_7e-300),
            Kind::Bool => Value::Bool(false),
            Kind::Floats => Value::Floats(vec![0.1, -0.0, 1e300].into()),
            Kind::Texts => Value::Texts(vec![ODD_TEXT.to_owned(), String::new()].into()),
            kind => panic!("a new kind: {kind:?}"),
        };
        (column.set)(&mut record, value).unwrap();
    }
    record
}

/// Returns an error of a record.
pub(crate) fn failure(name: &str) -> Error {
    Error::new(ErrorKind::Malformed, "read").with_subject(name)
}

/// Returns the sorted names in a folder. Empty if the folder does not exist.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Waits until a condition holds that other threads or tasks cause.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}
