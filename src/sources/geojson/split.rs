//! Splits a GeoJSON file into the bytes of its features.
//!
//! Only brackets and strings are parsed here, so that an invalid feature affects no other, and memory holds one feature
//! at a time.

use std::io::{self, BufRead};

use crate::geo::crs::{CONVERT, Crs, unsupported};
use crate::sources::MAX_ROW_LEN;

/// The record separator of RFC 8142.
const RS: u8 = 0x1e;

/// Why the next feature can't be read.
#[derive(Debug)]
pub(super) enum SplitError {
    /// Reading failed.
    Io(io::Error),
    /// The text is invalid.
    Text(String),
}

impl From<io::Error> for SplitError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn split_error(why: impl Into<String>) -> SplitError {
    SplitError::Text(why.into())
}

/// The features of a feature collection or of a sequence, one after another.
pub(super) struct Splitter<R> {
    bytes: Bytes<R>,
    form: Form,
}

enum Form {
    Collection(Part),
    /// One feature per line; after a leading RS, features separated by RS.
    Sequence {
        separator: Option<u8>,
    },
}

/// The position in a collection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Start,
    FirstFeature,
    NextFeature,
    End,
}

impl<R: BufRead> Splitter<R> {
    pub(super) fn collection(from: R) -> Self {
        Self { bytes: Bytes(from), form: Form::Collection(Part::Start) }
    }

    pub(super) fn sequence(from: R) -> Self {
        Self { bytes: Bytes(from), form: Form::Sequence { separator: None } }
    }

    /// The text of the next feature, even if it is invalid; `None` at the regular end.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, SplitError> {
        match &mut self.form {
            Form::Collection(part) => in_collection(&mut self.bytes, part),
            Form::Sequence { separator } => in_sequence(&mut self.bytes, separator),
        }
    }
}

fn in_sequence<R: BufRead>(
    bytes: &mut Bytes<R>,
    separator: &mut Option<u8>,
) -> Result<Option<Vec<u8>>, SplitError> {
    loop {
        let Some(first) = bytes.begin()? else { return Ok(None) };
        let separator = *separator.get_or_insert(if first == RS { RS } else { b'\n' });
        if first == separator {
            bytes.consume_byte();
            continue;
        }
        let mut text = Vec::new();
        bytes.until(separator, &mut text)?;
        return Ok(Some(text));
    }
}

fn in_collection<R: BufRead>(bytes: &mut Bytes<R>, part: &mut Part) -> Result<Option<Vec<u8>>, SplitError> {
    if *part == Part::Start {
        match bytes.begin()? {
            None => return Err(split_error("it is empty")),
            Some(b'{') => bytes.consume_byte(),
            Some(_) => return Err(split_error("it does not begin with `{`, as a feature collection does")),
        }
        if !to_features(bytes)? {
            return Err(split_error("it has no list of `features`"));
        }
        *part = Part::FirstFeature;
    }
    if *part == Part::End {
        return Ok(None);
    }
    match (bytes.need()?, *part) {
        (b']', _) => {
            bytes.consume_byte();
            *part = Part::End;
            while let Some(name) = member(bytes)? {
                if name == b"\"features\"" {
                    return Err(split_error("it has two lists of `features`"));
                }
                other_member(bytes, &name)?;
            }
            if bytes.begin()?.is_some() {
                return Err(split_error(
                    "there is more text after the end of the collection: is it two files in one?",
                ));
            }
            return Ok(None);
        }
        (b',', Part::NextFeature) => bytes.consume_byte(),
        (_, Part::FirstFeature) => {}
        (other, _) => {
            return Err(split_error(format!("expected a comma or `]`, found `{}`", char::from(other))));
        }
    }
    *part = Part::NextFeature;
    bytes.need()?;
    let mut text = Vec::new();
    bytes.value(Some(&mut text))?;
    if text.is_empty() {
        return Err(split_error("a feature is missing between two commas"));
    }
    Ok(Some(text))
}

/// Skips the members before the first feature; returns false if there is no list of features.
fn to_features<R: BufRead>(bytes: &mut Bytes<R>) -> Result<bool, SplitError> {
    while let Some(name) = member(bytes)? {
        match name.as_slice() {
            b"\"features\"" => {
                if bytes.need()? != b'[' {
                    return Err(split_error("its `features` are not a list"));
                }
                bytes.consume_byte();
                return Ok(true);
            }
            b"\"type\"" => {
                let mut kind = Vec::new();
                bytes.value(Some(&mut kind))?;
                if kind == b"\"Feature\"" {
                    return Err(split_error(
                        "it begins with a single feature: for one feature per line, use `--input-format geojsonseq`",
                    ));
                }
            }
            name => other_member(bytes, name)?,
        }
    }
    Ok(false)
}

/// Skips a member of a collection; checks it if it is `crs`.
fn other_member<R: BufRead>(bytes: &mut Bytes<R>, name: &[u8]) -> Result<(), SplitError> {
    if name != b"\"crs\"" {
        return bytes.value(None);
    }
    let mut crs = Vec::new();
    bytes.value(Some(&mut crs))?;
    // Invalid JSON counts as an unknown system.
    let crs =
        serde_json::from_slice(&crs).unwrap_or_else(|_| String::from_utf8_lossy(&crs).into_owned().into());
    match Crs::from_geojson(&crs) {
        Crs::Wgs84 => Ok(()),
        Crs::Near(name) | Crs::Other(name) => Err(split_error(format!("{}: {CONVERT}", unsupported(&name)))),
    }
}

/// Reads a member's name and the colon; `None` at the end of the object.
fn member<R: BufRead>(bytes: &mut Bytes<R>) -> Result<Option<Vec<u8>>, SplitError> {
    if bytes.need()? == b',' {
        bytes.consume_byte();
    }
    match bytes.need()? {
        b'}' => {
            bytes.consume_byte();
            return Ok(None);
        }
        b'"' => {}
        other => return Err(split_error(format!("expected a member name, found `{}`", char::from(other)))),
    }
    let mut name = Vec::new();
    bytes.value(Some(&mut name))?;
    if bytes.need()? != b':' {
        return Err(split_error("a member has no value"));
    }
    bytes.consume_byte();
    bytes.need()?;
    Ok(Some(name))
}

/// The bytes left to read.
struct Bytes<R>(R);

impl<R: BufRead> Bytes<R> {
    /// Peeks at the next byte that is not white space or a byte order mark; `None` at the end.
    fn begin(&mut self) -> Result<Option<u8>, SplitError> {
        loop {
            let buffer = self.0.fill_buf()?;
            let Some(first) = buffer.first() else { return Ok(None) };
            match buffer.iter().position(|byte| !b" \t\r\n\xef\xbb\xbf".contains(byte)) {
                Some(0) => return Ok(Some(*first)),
                Some(blank) => self.0.consume(blank),
                None => {
                    let blank = buffer.len();
                    self.0.consume(blank);
                }
            }
        }
    }

    /// Like `begin`, where the end of the file is an error.
    fn need(&mut self) -> Result<u8, SplitError> {
        self.begin()?.ok_or_else(|| split_error("the file is truncated"))
    }

    fn consume_byte(&mut self) {
        self.0.consume(1);
    }

    /// Reads up to a separator, which is skipped, or to the end.
    fn until(&mut self, separator: u8, text: &mut Vec<u8>) -> Result<(), SplitError> {
        loop {
            let buffer = self.0.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let end = memchr::memchr(separator, buffer);
            let part = end.unwrap_or(buffer.len());
            keep(text, &buffer[..part])?;
            self.0.consume(end.map_or(part, |end| end + 1));
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// Skips one JSON value by its brackets and quotes; appends its text to `text`.
    fn value(&mut self, mut text: Option<&mut Vec<u8>>) -> Result<(), SplitError> {
        let (mut depth, mut quoted, mut escaped, mut started) = (0_usize, false, false, false);
        loop {
            let buffer = self.0.fill_buf()?;
            if buffer.is_empty() {
                return Err(split_error("the file is truncated"));
            }
            // Length of the value in this buffer, and whether it ends there.
            let (mut part, mut whole) = (buffer.len(), false);
            for (index, byte) in buffer.iter().enumerate() {
                if quoted {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => quoted = false,
                        _ => continue,
                    }
                    if !quoted && depth == 0 {
                        (part, whole) = (index + 1, true);
                        break;
                    }
                    continue;
                }
                match byte {
                    b'"' => quoted = true,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' if depth > 0 => {
                        depth -= 1;
                        if depth == 0 {
                            (part, whole) = (index + 1, true);
                            break;
                        }
                    }
                    // A delimiter ends a number or a literal and is not a part of it.
                    b'}' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => {
                        (part, whole) = (index, true);
                        break;
                    }
                    _ => {}
                }
                started = true;
            }
            if let Some(text) = &mut text {
                keep(text, &buffer[..part])?;
            }
            self.0.consume(part);
            if whole {
                debug_assert!(started || part == 0);
                return Ok(());
            }
        }
    }
}

fn keep(text: &mut Vec<u8>, part: &[u8]) -> Result<(), SplitError> {
    if text.len() + part.len() > MAX_ROW_LEN {
        return Err(split_error("a feature is longer than 16 MiB"));
    }
    text.extend_from_slice(part);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses a small buffer, so that values cross its boundary at every byte.
    fn split(text: &str, buffer: usize, sequence: bool) -> Result<Vec<String>, SplitError> {
        let reader = io::BufReader::with_capacity(buffer, text.as_bytes());
        let mut split = if sequence { Splitter::sequence(reader) } else { Splitter::collection(reader) };
        let mut features = Vec::new();
        while let Some(feature) = split.next()? {
            features.push(String::from_utf8(feature).expect("UTF-8"));
        }
        Ok(features)
    }

    #[test]
    fn a_collection_is_split_at_its_features_wherever_the_buffer_ends() {
        let text = "\u{feff}{ \"bbox\":[1,2,3,4], \"name\" : \"a\\\"],[\", \"features\": [ {\"a\":\"}]\\\\\"} , 5,{\"b\":[{}]}\n], \"x\":{\"features\":[1]} }\n";
        for buffer in 1..40 {
            let features = split(text, buffer, false).expect("a collection");
            assert_eq!(features, ["{\"a\":\"}]\\\\\"}", "5", "{\"b\":[{}]}"], "{buffer}");
        }
        assert!(split(r#"{"type":"FeatureCollection","features":[]}"#, 64, false).expect("empty").is_empty());
    }

    #[test]
    fn a_sequence_is_split_at_lines_or_at_rs() {
        for buffer in 1..20 {
            assert_eq!(
                split("{\"a\":1}\n\r\n {\"b\"\n", buffer, true).expect("lines"),
                ["{\"a\":1}", "{\"b\""]
            );
            let records = split("\u{1e}{\"a\":\n1}\n\u{1e}\u{1e}{\"b\":2}", buffer, true).expect("records");
            assert_eq!(records, ["{\"a\":\n1}\n", "{\"b\":2}"]);
        }
        assert!(split("", 9, true).expect("empty").is_empty());
    }

    #[test]
    fn a_truncated_file_is_reported_at_every_byte() {
        let text = r#"{"type":"FeatureCollection","features":[{"a":1},{"b":[2]}],"x":1}"#;
        assert_eq!(split(text, 64, false).expect("whole").len(), 2);
        for end in 1..text.len() {
            assert!(split(&text[..end], 64, false).is_err(), "{}", &text[..end]);
        }
    }

    #[test]
    fn an_invalid_collection_is_rejected_with_the_reason() {
        let why = |text: &str| match split(text, 64, false) {
            Err(SplitError::Text(why)) => why,
            other => panic!("{text}: {other:?}"),
        };
        assert!(why("").contains("empty") && why(" \n").contains("empty"));
        assert!(why("[]").contains("does not begin"));
        assert!(why("{}").contains("no list of `features`"));
        assert!(why(r#"{"features":{}}"#).contains("not a list"));
        assert!(why(r#"{"type":"Feature","id":1}"#).contains("--input-format geojsonseq"));
        assert!(why(r#"{"features":[{} {}]}"#).contains("comma"));
        assert!(why(r#"{"features":[,{}]}"#).contains("missing"));
        assert!(why(r#"{"features":[]} {"features":[{}]}"#).contains("two files"));
        assert!(why(r#"{"features":[],"features":[{}]}"#).contains("two lists"));
        let crs =
            r#"{"crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::3857"}},"features":[]}"#;
        assert!(why(crs).contains("EPSG::3857"));
        assert!(why(&crs.replace("3857", "43260")).contains("EPSG::43260"));
        assert!(split(&crs.replace("EPSG::3857", "OGC:1.3:CRS84"), 64, false).is_ok());
        let behind = r#"{"features":[],"crs":{"type":"name","properties":{"name":"EPSG:2154"}}}"#;
        assert!(why(behind).contains("EPSG:2154"));
        let endless = format!(r#"{{"features":["{}"#, "x".repeat(MAX_ROW_LEN + 1));
        assert!(why(&endless).contains("16 MiB"));
    }
}
