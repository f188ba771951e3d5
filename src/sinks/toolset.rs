//! The table of detections of the Python toolset.

use std::io::{self, Write};

use super::Encoder;
use crate::model::Detection;

/// The header of the toolset's table.
const HEADER: [&str; 7] = [
    "img_id",
    "width",
    "height",
    "detections.id",
    "detections.value",
    "detections.geometry",
    "decoded_geometry",
];

/// Encodes detections as `get_detections.py` of the Python toolset does: its columns, and CRLF line ends.
///
/// `decoded_geometry` is a Python list of pixels of the original: only the first ring, y up, rounded down, with the first
/// vertex repeated. It is empty if there is no shape or no size.
///
/// ```
/// use streetflow::{Detection, Encoder, sinks::ToolsetEncoder};
///
/// let mut bytes = Vec::new();
/// Box::new(ToolsetEncoder::new(&mut bytes)?).finish()?;
/// let header = "img_id,width,height,detections.id,detections.value,detections.geometry,decoded_geometry\r\n";
/// assert_eq!(String::from_utf8(bytes).unwrap(), header);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ToolsetEncoder<W: Write> {
    rows: csv::Writer<W>,
}

impl<W: Write> ToolsetEncoder<W> {
    /// Creates an encoder and writes the header.
    pub fn new(out: W) -> io::Result<Self> {
        let mut rows = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
        rows.write_record(HEADER)?;
        Ok(Self { rows })
    }
}

impl<W: Write + Send> Encoder<Detection> for ToolsetEncoder<W> {
    fn encode(&mut self, batch: &[Detection]) -> io::Result<()> {
        for detection in batch {
            let number = |number: Option<i32>| number.map(|number| number.to_string()).unwrap_or_default();
            self.rows.write_record([
                detection.img_id.as_str(),
                &number(detection.width),
                &number(detection.height),
                detection.detection_id.as_str(),
                detection.value.as_deref().unwrap_or_default(),
                detection.geometry.as_deref().unwrap_or_default(),
                &pixels(detection).unwrap_or_default(),
            ])?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.rows.flush()
    }
}

/// The first ring in pixels, as a Python list of lists.
#[expect(clippy::cast_possible_truncation, reason = "pixels of a picture")]
fn pixels(detection: &Detection) -> Option<String> {
    let (width, height) = (f64::from(detection.width?), f64::from(detection.height?));
    let ring = detection.polygons.as_ref()?.iter().next()?.outline();
    let vertex = |[x, y]: &[f64; 2]| format!("[{}, {}]", (x * width) as i64, ((1.0 - y) * height) as i64);
    let vertices: Vec<_> = ring.iter().chain(ring.first()).map(vertex).collect();
    Some(format!("[{}]", vertices.join(", ")))
}
