//! Decodes the shape of a detection: a vector tile with polygons, as base64.

mod base64;
#[cfg(test)]
mod tests;

use super::Reason;
use crate::protobuf::{Field, Message, Varints};
use crate::record::Polygons;

/// The name of the layer with the shape.
const LAYER: &str = "mpy-or";

/// Extent of a layer that does not state one, by the specification of vector tiles.
const DEFAULT_EXTENT: u32 = 4096;

/// Maximum length of a shape as base64. The longest known shape has 3,484 characters.
const MAX_TEXT_LEN: usize = 1 << 18;

/// Maximum features of a shape. Known shapes have up to three.
const MAX_FEATURES: u32 = 1000;

/// Maximum vertices of a shape, and so of its rings. Known shapes have up to 1,247. As JSON, this many fit into a cell of
/// a table.
const MAX_VERTICES: usize = 20_000;

/// Decodes the shapes of detections. It keeps its buffers between two shapes.
///
/// - All features and all rings count: a detection may have several parts and holes.
/// - The first ring of a feature is an outline, whatever its winding. A later ring with the same winding begins a new
///   polygon; one with the other winding is a hole.
/// - Coordinates become fractions of the picture as displayed, y down. Both 0 and 1 occur. A vertex outside the picture,
///   which no known shape has, is moved to its edge.
/// - Text and vertices are bounded: 256 KiB and 20,000.
///
/// ```
/// use streetflow::model::ShapeDecoder;
///
/// let sign = "GjgKBm1weS1vchIYEgIAABgDIhAJ4iDyJhq8AQAApAG7AQAPGgR0eXBlIgkKB3BvbHlnb24ogCB4AQ==";
/// let shape = ShapeDecoder::default().decode(sign)?;
/// assert_eq!(shape.vertices()[0], [2097.0 / 4096.0, 2489.0 / 4096.0]);
/// # Ok::<(), &'static str>(())
/// ```
#[derive(Debug, Default)]
pub struct ShapeDecoder {
    bytes: Vec<u8>,
    /// The last shape, whose memory the next one uses.
    polygons: Polygons,
}

impl ShapeDecoder {
    /// Decodes a shape. Returns the reason if it is broken; a broken shape has no parts that could be used.
    pub fn decode(&mut self, text: &str) -> Result<Polygons, Reason> {
        if text.len() > MAX_TEXT_LEN {
            return Err("it is longer than 256 KiB");
        }
        base64::decode(text, &mut self.bytes).ok_or("it is not base64")?;
        self.polygons.clear();
        let mut shape = Shape { polygons: &mut self.polygons, features: 0, rings: Rings::default() };
        for field in Message::new(&self.bytes) {
            if let (3, Field::Bytes(layer)) = field? {
                shape.read_layer(layer)?;
            }
        }
        if self.polygons.is_empty() { Err("it has no polygon") } else { Ok(self.polygons.compact()) }
    }
}

/// A shape while it is read.
struct Shape<'a> {
    polygons: &'a mut Polygons,
    features: u32,
    rings: Rings,
}

/// The rings of a feature so far.
#[derive(Default)]
struct Rings {
    count: u32,
    /// Sign of the area of the outlines; 0 before the first ring with an area.
    outline: i64,
}

impl Shape<'_> {
    fn read_layer(&mut self, layer: &[u8]) -> Result<(), Reason> {
        let (mut name, mut extent): (&[u8], _) = (&[], u64::from(DEFAULT_EXTENT));
        // The extent may follow the features.
        for field in Message::new(layer) {
            match field? {
                (1, Field::Bytes(text)) => name = text,
                (5, Field::Varint(number)) => extent = number,
                _ => {}
            }
        }
        if name != LAYER.as_bytes() {
            return Err("it has a layer with another name than `mpy-or`");
        }
        let extent = u32::try_from(extent).ok().filter(|extent| *extent > 0);
        let extent = extent.ok_or("the extent of its layer is invalid")?;
        for field in Message::new(layer) {
            if let (2, Field::Bytes(feature)) = field? {
                self.features += 1;
                if self.features > MAX_FEATURES {
                    return Err("it has more than 1,000 features");
                }
                self.read_feature(feature, extent)?;
            }
        }
        Ok(())
    }

    fn read_feature(&mut self, feature: &[u8], extent: u32) -> Result<(), Reason> {
        let mut geometry: &[u8] = &[];
        for field in Message::new(feature) {
            match field? {
                (3, Field::Varint(0 | 3)) => {}
                (3, _) => return Err("it has a feature that is not a polygon"),
                (4, Field::Bytes(commands)) => geometry = commands,
                _ => {}
            }
        }
        self.rings = Rings::default();
        self.read_rings(geometry, extent)?;
        if self.rings.count == 0 {
            return Err("it has a feature without a ring");
        }
        self.polygons.end_polygon();
        Ok(())
    }

    fn read_rings(&mut self, geometry: &[u8], extent: u32) -> Result<(), Reason> {
        const MOVE_TO: u64 = 1 << 3 | 1;
        const CLOSE_PATH: u64 = 1 << 3 | 7;
        let mut numbers = Varints::new(geometry);
        let mut ring = Ring::new(extent);
        while let Some(command) = numbers.next() {
            match command? {
                MOVE_TO if ring.vertices == 0 => self.read_vertex(&mut numbers, &mut ring)?,
                CLOSE_PATH if ring.vertices >= 3 => {
                    self.end_ring(ring.double_area());
                    ring = ring.next();
                }
                command if command & 7 == 2 && ring.vertices > 0 => {
                    let steps = command >> 3;
                    // Each vertex has at least two bytes.
                    if steps > numbers.rest_len() as u64 / 2 {
                        return Err("it is truncated");
                    }
                    for _ in 0..steps {
                        self.read_vertex(&mut numbers, &mut ring)?;
                    }
                }
                CLOSE_PATH => return Err("it has a ring with fewer than three vertices"),
                _ => return Err("its commands are not those of a polygon"),
            }
        }
        if ring.vertices == 0 { Ok(()) } else { Err("it has a ring that is not closed") }
    }

    #[inline]
    fn read_vertex(&mut self, numbers: &mut Varints<'_>, ring: &mut Ring) -> Result<(), Reason> {
        if self.polygons.vertices().len() == MAX_VERTICES {
            return Err("it has more than 20,000 vertices");
        }
        let (dx, dy) = (numbers.step()?, numbers.step()?);
        self.polygons.push_vertex(ring.add(dx, dy));
        Ok(())
    }

    /// Ends a ring, and before it the polygon if the ring begins a new one. The vertices of the ring are there already.
    fn end_ring(&mut self, double_area: i128) {
        let sign = i64::try_from(double_area.signum()).unwrap_or_default();
        let rings = &mut self.rings;
        let is_hole = rings.count > 0 && rings.outline != 0 && sign != rings.outline;
        if rings.count > 0 && !is_hole {
            self.polygons.end_polygon();
        }
        if rings.outline == 0 {
            rings.outline = sign;
        }
        rings.count += 1;
        self.polygons.end_ring();
    }
}

/// The ring that is being read. Its position continues from ring to ring within a feature.
struct Ring {
    /// Extent of the layer in units.
    extent: i64,
    /// Fraction of a unit, if it is a power of two and so exact.
    unit: Option<f64>,
    at: (i64, i64),
    first: (i64, i64),
    vertices: usize,
    /// Twice the area without the last side, positive if the ring runs clockwise with y down.
    double_area: i128,
}

impl Ring {
    fn new(extent: u32) -> Self {
        let unit = extent.is_power_of_two().then(|| 1.0 / f64::from(extent));
        Self { extent: extent.into(), unit, at: (0, 0), first: (0, 0), vertices: 0, double_area: 0 }
    }

    fn next(self) -> Self {
        Self { vertices: 0, double_area: 0, ..self }
    }

    /// Moves by a step and returns the vertex there.
    #[inline]
    fn add(&mut self, dx: i32, dy: i32) -> [f64; 2] {
        let before = self.at;
        // Cannot overflow: there are at most 20,000 steps of 32 bits.
        self.at = (before.0 + i64::from(dx), before.1 + i64::from(dy));
        if self.vertices == 0 {
            self.first = self.at;
        } else {
            self.double_area += cross(before, self.at);
        }
        self.vertices += 1;
        [self.fraction(self.at.0), self.fraction(self.at.1)]
    }

    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "clamped to 32 bits")]
    fn fraction(&self, at: i64) -> f64 {
        let at = at.clamp(0, self.extent) as f64;
        match self.unit {
            Some(unit) => at * unit,
            None => at / self.extent as f64,
        }
    }

    fn double_area(&self) -> i128 {
        self.double_area + cross(self.at, self.first)
    }
}

#[inline]
fn cross(a: (i64, i64), b: (i64, i64)) -> i128 {
    let bits = a.0.unsigned_abs() | a.1.unsigned_abs() | b.0.unsigned_abs() | b.1.unsigned_abs();
    if bits < 1 << 31 {
        // The products fit into 64 bits, as with all real coordinates.
        return i128::from(a.0 * b.1 - b.0 * a.1);
    }
    let wide = |number: i64| i128::from(number);
    wide(a.0) * wide(b.1) - wide(b.0) * wide(a.1)
}
