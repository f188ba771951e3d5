//! Cuts a GeoJSON file into its features, each as the bytes that it is written in.
//!
//! Only brackets and strings are understood here, so that a feature that is no
//! good costs itself and nothing else, and memory holds one at a time.

use std::io::{self, BufRead};

use super::super::MAX_ROW_LEN;
use crate::geo::crs::{CONVERT, Crs, unsupported};

/// The record separator of RFC 8142.
const RS: u8 = 0x1e;

/// Why there is no next feature.
#[derive(Debug)]
pub(super) enum Broken {
    /// Reading failed.
    Io(io::Error),
    /// The text is not what it should be.
    Text(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn broken(why: impl Into<String>) -> Broken {
    Broken::Text(why.into())
}

/// The features of a feature collection or of a sequence, one after the other.
pub(super) struct Split<R> {
    bytes: Bytes<R>,
    form: Form,
}

enum Form {
    Collection(Part),
    /// A feature a line; with RS before the first, from RS to RS.
    Sequence {
        separator: Option<u8>,
    },
}

/// Where in a collection the next byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Start,
    FirstFeature,
    NextFeature,
    End,
}

impl<R: BufRead> Split<R> {
    pub(super) fn collection(from: R) -> Self {
        Self { bytes: Bytes(from), form: Form::Collection(Part::Start) }
    }

    pub(super) fn sequence(from: R) -> Self {
        Self { bytes: Bytes(from), form: Form::Sequence { separator: None } }
    }

    /// The next feature's text, or whatever stands in its place; `None` at a good end.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        match &mut self.form {
            Form::Collection(part) => in_collection(&mut self.bytes, part),
            Form::Sequence { separator } => in_sequence(&mut self.bytes, separator),
        }
    }
}

fn in_sequence<R: BufRead>(
    bytes: &mut Bytes<R>,
    separator: &mut Option<u8>,
) -> Result<Option<Vec<u8>>, Broken> {
    loop {
        let Some(first) = bytes.begin()? else { return Ok(None) };
        let separator = *separator.get_or_insert(if first == RS { RS } else { b'\n' });
        if first == separator {
            bytes.take();
            continue;
        }
        let mut text = Vec::new();
        bytes.until(separator, &mut text)?;
        return Ok(Some(text));
    }
}

fn in_collection<R: BufRead>(bytes: &mut Bytes<R>, part: &mut Part) -> Result<Option<Vec<u8>>, Broken> {
    if *part == Part::Start {
        match bytes.begin()? {
            None => return Err(broken("it is empty")),
            Some(b'{') => bytes.take(),
            Some(_) => return Err(broken("it does not begin with `{`, as a feature collection does")),
        }
        if !to_features(bytes)? {
            return Err(broken("it has no list of `features`"));
        }
        *part = Part::FirstFeature;
    }
    if *part == Part::End {
        return Ok(None);
    }
    match (bytes.need()?, *part) {
        (b']', _) => {
            bytes.take();
            *part = Part::End;
            while let Some(name) = member(bytes)? {
                if name == b"\"features\"" {
                    return Err(broken("it has two lists of `features`"));
                }
                other_member(bytes, &name)?;
            }
            if bytes.begin()?.is_some() {
                return Err(broken(
                    "something follows after the end of the collection: is it two files in one?",
                ));
            }
            return Ok(None);
        }
        (b',', Part::NextFeature) => bytes.take(),
        (_, Part::FirstFeature) => {}
        (other, _) => {
            return Err(broken(format!("`{}` stands where a comma or `]` should", char::from(other))));
        }
    }
    *part = Part::NextFeature;
    bytes.need()?;
    let mut text = Vec::new();
    bytes.value(Some(&mut text))?;
    if text.is_empty() {
        return Err(broken("a feature is lacking between two commas"));
    }
    Ok(Some(text))
}

/// Goes through the members of a collection up to the first feature; false if there is no such list.
fn to_features<R: BufRead>(bytes: &mut Bytes<R>) -> Result<bool, Broken> {
    while let Some(name) = member(bytes)? {
        match name.as_slice() {
            b"\"features\"" => {
                if bytes.need()? != b'[' {
                    return Err(broken("its `features` are no list"));
                }
                bytes.take();
                return Ok(true);
            }
            b"\"type\"" => {
                let mut kind = Vec::new();
                bytes.value(Some(&mut kind))?;
                if kind == b"\"Feature\"" {
                    return Err(broken(
                        "it begins with a single feature: if it has one a line, say `--input-format geojsonseq`",
                    ));
                }
            }
            name => other_member(bytes, name)?,
        }
    }
    Ok(false)
}

/// A member of a collection that is not its features: only `crs` says something.
fn other_member<R: BufRead>(bytes: &mut Bytes<R>, name: &[u8]) -> Result<(), Broken> {
    if name != b"\"crs\"" {
        return bytes.value(None);
    }
    let mut crs = Vec::new();
    bytes.value(Some(&mut crs))?;
    // Text that is no JSON is in no system that is known.
    let crs =
        serde_json::from_slice(&crs).unwrap_or_else(|_| String::from_utf8_lossy(&crs).into_owned().into());
    match Crs::from_geojson(&crs) {
        Crs::Wgs84 => Ok(()),
        Crs::Near(name) | Crs::Other(name) => Err(broken(format!("{}: {CONVERT}", unsupported(&name)))),
    }
}

/// Reads a member's name and the colon behind it; `None` at the end of the object.
fn member<R: BufRead>(bytes: &mut Bytes<R>) -> Result<Option<Vec<u8>>, Broken> {
    if bytes.need()? == b',' {
        bytes.take();
    }
    match bytes.need()? {
        b'}' => {
            bytes.take();
            return Ok(None);
        }
        b'"' => {}
        other => return Err(broken(format!("`{}` stands where a member's name should", char::from(other)))),
    }
    let mut name = Vec::new();
    bytes.value(Some(&mut name))?;
    if bytes.need()? != b':' {
        return Err(broken("a member has no value"));
    }
    bytes.take();
    bytes.need()?;
    Ok(Some(name))
}

/// What is left to read.
struct Bytes<R>(R);

impl<R: BufRead> Bytes<R> {
    /// The next byte that is no white space or byte order mark; it stays. `None` at the end.
    fn begin(&mut self) -> Result<Option<u8>, Broken> {
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

    /// The same inside a collection, which has an end of its own.
    fn need(&mut self) -> Result<u8, Broken> {
        self.begin()?.ok_or_else(|| broken("it ends in the middle: the file is not whole"))
    }

    fn take(&mut self) {
        self.0.consume(1);
    }

    /// Reads up to a separator or the end, and leaves the separator behind.
    fn until(&mut self, separator: u8, text: &mut Vec<u8>) -> Result<(), Broken> {
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

    /// Reads one JSON value by its brackets and quotes, and keeps its text if asked to.
    fn value(&mut self, mut text: Option<&mut Vec<u8>>) -> Result<(), Broken> {
        let (mut depth, mut quoted, mut escaped, mut begun) = (0_usize, false, false, false);
        loop {
            let buffer = self.0.fill_buf()?;
            if buffer.is_empty() {
                return Err(broken("it ends in the middle: the file is not whole"));
            }
            // How much of the buffer belongs to the value, and whether the value ends there.
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
                    // The end of a number or a word, which does not belong to it.
                    b'}' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => {
                        (part, whole) = (index, true);
                        break;
                    }
                    _ => {}
                }
                begun = true;
            }
            if let Some(text) = &mut text {
                keep(text, &buffer[..part])?;
            }
            self.0.consume(part);
            if whole {
                debug_assert!(begun || part == 0);
                return Ok(());
            }
        }
    }
}

fn keep(text: &mut Vec<u8>, part: &[u8]) -> Result<(), Broken> {
    if text.len() + part.len() > MAX_ROW_LEN {
        return Err(broken("a feature is longer than 16 MiB"));
    }
    text.extend_from_slice(part);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a few bytes at a time, so that every seam of the buffer is met.
    fn split(text: &str, buffer: usize, sequence: bool) -> Result<Vec<String>, Broken> {
        let reader = io::BufReader::with_capacity(buffer, text.as_bytes());
        let mut split = if sequence { Split::sequence(reader) } else { Split::collection(reader) };
        let mut features = Vec::new();
        while let Some(feature) = split.next()? {
            features.push(String::from_utf8(feature).expect("UTF-8"));
        }
        Ok(features)
    }

    #[test]
    fn a_collection_is_cut_at_its_features_wherever_the_buffer_ends() {
        let text = "\u{feff}{ \"bbox\":[1,2,3,4], \"name\" : \"a\\\"],[\", \"features\": [ {\"a\":\"}]\\\\\"} , 5,{\"b\":[{}]}\n], \"x\":{\"features\":[1]} }\n";
        for buffer in 1..40 {
            let features = split(text, buffer, false).expect("a collection");
            assert_eq!(features, ["{\"a\":\"}]\\\\\"}", "5", "{\"b\":[{}]}"], "{buffer}");
        }
        assert!(split(r#"{"type":"FeatureCollection","features":[]}"#, 64, false).expect("empty").is_empty());
    }

    #[test]
    fn a_sequence_is_cut_at_its_lines_or_at_rs() {
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
    fn a_file_that_was_cut_short_is_told_at_every_byte() {
        let text = r#"{"type":"FeatureCollection","features":[{"a":1},{"b":[2]}],"x":1}"#;
        assert_eq!(split(text, 64, false).expect("whole").len(), 2);
        for end in 1..text.len() {
            assert!(split(&text[..end], 64, false).is_err(), "{}", &text[..end]);
        }
    }

    #[test]
    fn what_is_no_collection_is_refused_with_the_reason() {
        let why = |text: &str| match split(text, 64, false) {
            Err(Broken::Text(why)) => why,
            other => panic!("{text}: {other:?}"),
        };
        assert!(why("").contains("empty") && why(" \n").contains("empty"));
        assert!(why("[]").contains("does not begin"));
        assert!(why("{}").contains("no list of `features`"));
        assert!(why(r#"{"features":{}}"#).contains("no list"));
        assert!(why(r#"{"type":"Feature","id":1}"#).contains("--input-format geojsonseq"));
        assert!(why(r#"{"features":[{} {}]}"#).contains("comma"));
        assert!(why(r#"{"features":[,{}]}"#).contains("lacking"));
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
