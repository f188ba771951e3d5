//! GeoJSON as a feature collection or newline-delimited.

use std::io::{self, Write};

use super::table::{geometry_option, table_sink};
use super::{Encoder, Layout};
use crate::record::{Column, GeometryColumn, Record, Value, columns_with_geometry, text};

table_sink! {
    /// Writes a table as one GeoJSON feature collection (RFC 7946).
    ///
    /// Each record is a feature. Its id becomes `id`, its point becomes `geometry` (`null` if it has none), and its
    /// columns become `properties`, with `null` for missing values. Lists stay arrays; numbers read back to the same
    /// bits.
    ///
    /// ```
    /// use streetflow::{Flow, GeoJsonSink, ImageId, LonLat, Metadata, Result};
    ///
    /// # #[tokio::main] async fn main() -> Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("img_meta_dataset.geojson");
    /// let image = Metadata {
    ///     img_id: ImageId::new("728019821979741")?,
    ///     geometry: Some(LonLat { lon: 33.5, lat: 35.0 }),
    ///     ..Metadata::default()
    /// };
    /// Flow::from(futures::stream::iter([Ok(image)])).into_sink(GeoJsonSink::create(&path)).await?;
    /// let text = std::fs::read_to_string(&path).unwrap();
    /// assert!(text.contains(r#""geometry":{"type":"Point","coordinates":[33.5,35.0]}"#));
    /// # Ok(()) }
    /// ```
    GeoJsonSink, |out, layout: &Layout| GeoJsonEncoder::new(out, GeoJsonForm::Collection, layout)
}

table_sink! {
    /// Writes a table as newline-delimited GeoJSON: one feature per line, which tools can split and append.
    GeoJsonSeqSink, |out, layout: &Layout| GeoJsonEncoder::new(out, GeoJsonForm::sequence(layout), layout)
}

geometry_option!(GeoJsonSink);
geometry_option!(GeoJsonSeqSink);

impl GeoJsonSeqSink {
    /// Begins every feature with the record separator of RFC 8142, which few tools support.
    pub fn record_separators(mut self) -> Self {
        self.layout = self.layout.record_separators();
        self
    }
}

/// How features are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeoJsonForm {
    /// One feature collection.
    Collection,
    /// One feature per line.
    Lines,
    /// One feature per line with a leading record separator.
    Records,
}

impl GeoJsonForm {
    pub(super) fn sequence(layout: &Layout) -> Self {
        if layout.record_separators { Self::Records } else { Self::Lines }
    }
}

/// Bytes per write. Larger chunks do not fit into the cache with the records.
const CHUNK_SIZE: usize = 1 << 16;

/// Encodes records as GeoJSON.
pub struct GeoJsonEncoder<T: 'static, W> {
    columns: Vec<Member<T>>,
    /// The column for the id of features: the last key.
    id: Option<&'static Column<T>>,
    geometry: Option<GeometryColumn<T>>,
    form: GeoJsonForm,
    first: bool,
    /// Features that were not written yet.
    text: Vec<u8>,
    out: W,
}

/// A property with its escaped name.
struct Member<T: 'static> {
    /// Includes the leading brace or comma and the colon.
    name: Vec<u8>,
    column: &'static Column<T>,
}

impl<T: Record, W: Write> GeoJsonEncoder<T, W> {
    /// Creates an encoder and writes the start of the collection.
    pub fn new(out: W, form: GeoJsonForm, layout: &Layout) -> io::Result<Self> {
        let mut text = Vec::with_capacity(CHUNK_SIZE + CHUNK_SIZE / 8);
        if form == GeoJsonForm::Collection {
            text.extend_from_slice(b"{\"type\":\"FeatureCollection\",\"features\":[");
        }
        let (columns, geometry) = columns_with_geometry::<T>(&layout.columns::<T>(), layout.geometry);
        let id = columns.iter().rfind(|column| column.field.is_none()).copied();
        let columns = columns.into_iter().enumerate().map(Member::new).collect::<io::Result<_>>()?;
        Ok(Self { columns, id, geometry, form, first: true, text, out })
    }

    fn feature(&mut self, record: &T) -> io::Result<()> {
        let out = &mut self.text;
        out.extend_from_slice(b"{\"type\":\"Feature\"");
        if let Some(Value::Text(id)) = self.id.map(|column| (column.get)(record)) {
            out.extend_from_slice(b",\"id\":");
            text::append_json(out, &id)?;
        }
        match self.geometry.as_ref().and_then(|column| column.point(record)) {
            Some(point) => {
                out.extend_from_slice(b",\"geometry\":{\"type\":\"Point\",\"coordinates\":");
                serde_json::to_writer(&mut *out, &[point.lon, point.lat])?;
                out.extend_from_slice(b"},\"properties\":");
            }
            None => out.extend_from_slice(b",\"geometry\":null,\"properties\":"),
        }
        for member in &self.columns {
            out.extend_from_slice(&member.name);
            match (member.column.get)(record) {
                Value::Null => out.extend_from_slice(b"null"),
                Value::Text(text) => text::append_json(out, &text)?,
                Value::Integer(number) => serde_json::to_writer(&mut *out, &number)?,
                Value::Time(number) => serde_json::to_writer(&mut *out, &number)?,
                Value::Float(number) => serde_json::to_writer(&mut *out, &number)?,
                Value::Bool(truth) => serde_json::to_writer(&mut *out, &truth)?,
                Value::Floats(numbers) => serde_json::to_writer(&mut *out, &numbers)?,
                Value::Texts(texts) => serde_json::to_writer(&mut *out, &texts)?,
                Value::Polygons(polygons) => text::append_polygons(out, &polygons)?,
            }
        }
        out.extend_from_slice(if self.columns.is_empty() { b"{}}" } else { b"}}" });
        Ok(())
    }

    fn flush_chunk(&mut self) -> io::Result<()> {
        self.out.write_all(&self.text)?;
        self.text.clear();
        Ok(())
    }
}

impl<T> Member<T> {
    fn new((index, column): (usize, &'static Column<T>)) -> io::Result<Self> {
        let mut name = vec![if index == 0 { b'{' } else { b',' }];
        serde_json::to_writer(&mut name, column.name)?;
        name.push(b':');
        Ok(Self { name, column })
    }
}

impl<T: Record, W: Write + Send> Encoder<T> for GeoJsonEncoder<T, W> {
    fn encode(&mut self, batch: &[T]) -> io::Result<()> {
        for record in batch {
            match self.form {
                // Before the feature, so that no comma follows the last one.
                GeoJsonForm::Collection if self.first => self.text.push(b'\n'),
                GeoJsonForm::Collection => self.text.extend_from_slice(b",\n"),
                GeoJsonForm::Lines => {}
                GeoJsonForm::Records => self.text.push(0x1e),
            }
            self.first = false;
            self.feature(record)?;
            if self.form != GeoJsonForm::Collection {
                self.text.push(b'\n');
            }
            if self.text.len() >= CHUNK_SIZE {
                self.flush_chunk()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if self.form == GeoJsonForm::Collection {
            self.text.extend_from_slice(b"\n]}\n");
        }
        self.flush_chunk()?;
        self.out.flush()
    }
}
