//! Points as well-known binary (WKB), the encoding of GeoParquet and of Parquet's GEOMETRY.

use super::LonLat;

/// Byte order, type and two doubles.
pub(crate) const POINT_SIZE: usize = 21;

/// Little-endian byte order.
const LITTLE: u8 = 1;

/// Geometry type Point.
pub(crate) const POINT: u32 = 1;

/// Flag of PostGIS's extended WKB for a spatial reference id.
const HAS_SRID: u32 = 0x2000_0000;

/// Spatial reference id of longitude and latitude on WGS 84.
const DEGREES: u32 = 4326;

/// Encodes a point.
pub(crate) fn write(point: LonLat) -> [u8; POINT_SIZE] {
    let mut bytes = [0; POINT_SIZE];
    bytes[0] = LITTLE;
    bytes[1..5].copy_from_slice(&POINT.to_le_bytes());
    bytes[5..13].copy_from_slice(&point.lon.to_le_bytes());
    bytes[13..].copy_from_slice(&point.lat.to_le_bytes());
    bytes
}

/// Decodes a point of any flavour: either byte order, with or without height, measure or spatial reference id. An empty
/// point is `None`.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<LonLat>, &'static str> {
    const TRUNCATED: &str = "its geometry is truncated";
    let (order, rest) = bytes.split_first().ok_or("its geometry is empty")?;
    let (kind, mut rest) = rest.split_first_chunk::<4>().ok_or(TRUNCATED)?;
    let little = match order {
        0 => false,
        1 => true,
        _ => return Err("its geometry is not well-known binary"),
    };
    let kind = if little { u32::from_le_bytes(*kind) } else { u32::from_be_bytes(*kind) };
    if kind & HAS_SRID != 0 {
        let (srid, after) = rest.split_first_chunk::<4>().ok_or(TRUNCATED)?;
        let srid = if little { u32::from_le_bytes(*srid) } else { u32::from_be_bytes(*srid) };
        if ![0, DEGREES].contains(&srid) {
            return Err("its geometry is not in degrees (another coordinate system than EPSG:4326)");
        }
        rest = after;
    }
    // PostGIS uses the highest bits as flags; ISO adds thousands: 1001, 2001, 3001.
    if (kind & 0x0fff_ffff) % 1000 != POINT {
        return Err("its geometry is not a point");
    }
    let mut degrees = [0.0; 2];
    for half in &mut degrees {
        let (number, after) = rest.split_first_chunk::<8>().ok_or(TRUNCATED)?;
        *half = if little { f64::from_le_bytes(*number) } else { f64::from_be_bytes(*number) };
        rest = after;
    }
    let [lon, lat] = degrees;
    Ok((!lon.is_nan() && !lat.is_nan()).then_some(LonLat { lon, lat }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: LonLat = LonLat { lon: -33.5, lat: 35.123_456_789 };

    #[test]
    fn a_point_round_trips_to_the_bit() {
        assert_eq!(read(&write(HERE)), Ok(Some(HERE)));
    }

    #[test]
    fn other_flavours_are_decoded() {
        let of = |order: u8, kind: u32, srid: bool, more: usize| {
            let put = |out: &mut Vec<u8>, little: &[u8]| {
                let mut bytes = little.to_vec();
                if order == 0 {
                    bytes.reverse();
                }
                out.extend(bytes);
            };
            let mut out = vec![order];
            put(&mut out, &kind.to_le_bytes());
            if srid {
                put(&mut out, &DEGREES.to_le_bytes());
            }
            put(&mut out, &HERE.lon.to_le_bytes());
            put(&mut out, &HERE.lat.to_le_bytes());
            out.extend(vec![0; 8 * more]);
            read(&out)
        };
        for (kind, srid, more) in [
            (1, false, 0),
            (1001, false, 1),
            (2001, false, 1),
            (3001, false, 2),
            (0x8000_0001, false, 1),
            (0x2000_0001, true, 0),
            (0xe000_0001, true, 2),
        ] {
            for order in [0, 1] {
                assert_eq!(of(order, kind, srid, more), Ok(Some(HERE)), "{kind:x}");
            }
        }
        let mut metres = vec![1];
        metres.extend(0x2000_0001_u32.to_le_bytes());
        metres.extend(3857_u32.to_le_bytes());
        assert!(read(&metres).is_err_and(|why| why.contains("not in degrees")));
        assert_eq!(of(1, 2, false, 0), Err("its geometry is not a point"));
        assert_eq!(read(&write(LonLat { lon: f64::NAN, lat: f64::NAN })), Ok(None));
    }

    #[test]
    fn any_bytes_are_handled() {
        for end in 0..POINT_SIZE {
            assert!(read(&write(HERE)[..end]).is_err());
        }
        assert!(read(&[7; 30]).is_err());
    }
}
