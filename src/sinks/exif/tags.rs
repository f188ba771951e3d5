//! Metadata as EXIF tags.

use super::PictureMetadata;
use super::tiff::Directory::{self, Exif, Gps, Image};
use super::tiff::{Tag, Value};
use crate::geo::LonLat;

const DESCRIPTION: u16 = 0x010e;
const MAKE: u16 = 0x010f;
const MODEL: u16 = 0x0110;
const ORIENTATION: u16 = 0x0112;
const ARTIST: u16 = 0x013b;
const COPYRIGHT: u16 = 0x8298;

const RESOLUTIONS: [u16; 2] = [0x011a, 0x011b];
const RESOLUTION_UNIT: u16 = 0x0128;
const CHROMA_POSITION: u16 = 0x0213;

const VERSION: u16 = 0x9000;
const COMPONENTS: u16 = 0x9101;
const FLASHPIX: u16 = 0xa000;
const COLOR_SPACE: u16 = 0xa001;
const WIDTH: u16 = 0xa002;
const HEIGHT: u16 = 0xa003;
const TIME: u16 = 0x9003;
const TIME_OFFSET: u16 = 0x9011;
const TIME_FRACTION: u16 = 0x9291;
const UNIQUE_ID: u16 = 0xa420;

const GPS_VERSION: u16 = 0;
const LATITUDE: u16 = 2;
const LONGITUDE: u16 = 4;
const ALTITUDE_REF: u16 = 5;
const ALTITUDE: u16 = 6;
const GPS_TIME: u16 = 7;
const DIRECTION_REF: u16 = 16;
const DIRECTION: u16 = 17;
const DATUM: u16 = 18;
const GPS_DATE: u16 = 29;

/// Precision of arc seconds: 3 micrometres.
const ARC_PARTS: u32 = 10_000_000;

/// The tags for a picture with this frame size.
///
/// Coordinates, time and id always come from the record. Values that the author wrote, above all a copyright notice,
/// stay, and so does the orientation, because the picture's own is about its pixels.
pub(super) fn from_metadata(metadata: &PictureMetadata, frame: Option<(u32, u32)>) -> Vec<Tag> {
    let mut tags = Tags::default();
    tags.set_if_missing(Image, DESCRIPTION, Value::Text(metadata.description()));
    tags.texts(Image, MAKE, metadata.make.as_deref());
    tags.texts(Image, MODEL, metadata.model.as_deref());
    if let Some(orientation) = metadata.orientation_of(frame) {
        tags.set_if_missing(Image, ORIENTATION, Value::Short(orientation));
    }
    tags.texts(Image, ARTIST, metadata.author.as_deref());
    tags.texts(Image, COPYRIGHT, Some(&metadata.attribution));
    tags.set(Exif, UNIQUE_ID, Value::Text(metadata.image.clone()));
    time(&mut tags, metadata);
    gps(&mut tags, metadata);
    required(&mut tags, frame);
    tags.0
}

/// Tags that the standard requires in every picture, with neutral values.
fn required(tags: &mut Tags, frame: Option<(u32, u32)>) {
    for axis in RESOLUTIONS {
        tags.set_if_missing(Image, axis, Value::Rationals(vec![(72, 1)]));
    }
    tags.set_if_missing(Image, RESOLUTION_UNIT, Value::Short(2));
    tags.set_if_missing(Image, CHROMA_POSITION, Value::Short(1));
    tags.set_if_missing(Exif, VERSION, Value::Undefined(b"0232".to_vec()));
    tags.set_if_missing(Exif, COMPONENTS, Value::Undefined(vec![1, 2, 3, 0]));
    tags.set_if_missing(Exif, FLASHPIX, Value::Undefined(b"0100".to_vec()));
    tags.set_if_missing(Exif, COLOR_SPACE, Value::Short(1));
    if let Some((width, height)) = frame {
        tags.set_if_missing(Exif, WIDTH, Value::Long(width));
        tags.set_if_missing(Exif, HEIGHT, Value::Long(height));
    }
}

#[derive(Default)]
struct Tags(Vec<Tag>);

impl Tags {
    fn set(&mut self, directory: Directory, number: u16, value: Value) {
        self.0.push(Tag { directory, number, value, keeps_existing: false });
    }

    fn set_if_missing(&mut self, directory: Directory, number: u16, value: Value) {
        self.0.push(Tag { directory, number, value, keeps_existing: true });
    }

    fn texts(&mut self, directory: Directory, number: u16, text: Option<&str>) {
        if let Some(text) = text {
            self.set_if_missing(directory, number, Value::Text(text.to_owned()));
        }
    }
}

fn time(tags: &mut Tags, metadata: &PictureMetadata) {
    let Some(moment) = metadata.moment else { return };
    let ((year, month, day), (hour, minute, milliseconds)) = (moment.date(), moment.time());
    let seconds = milliseconds / 1000;
    let time = format!("{year:04}:{month:02}:{day:02} {hour:02}:{minute:02}:{seconds:02}");
    tags.set(Exif, TIME, Value::Text(time));
    tags.set(Exif, TIME_OFFSET, Value::Text("+00:00".to_owned()));
    tags.set(Exif, TIME_FRACTION, Value::Text(format!("{:03}", milliseconds % 1000)));
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked when the metadata were made"
)]
fn gps(tags: &mut Tags, metadata: &PictureMetadata) {
    let before = tags.0.len();
    if let Some(LonLat { lon, lat }) = metadata.coordinates {
        for (number, degrees, [below, above]) in [(LATITUDE, lat, ["S", "N"]), (LONGITUDE, lon, ["W", "E"])] {
            let side = if degrees.is_sign_negative() { below } else { above };
            tags.set(Gps, number - 1, Value::Text(side.to_owned()));
            tags.set(Gps, number, Value::Rationals(arc(degrees.abs())));
        }
        tags.set(Gps, DATUM, Value::Text("WGS-84".to_owned()));
        if let Some(moment) = metadata.moment {
            let ((year, month, day), (hour, minute, milliseconds)) = (moment.date(), moment.time());
            let time = [(hour as u32, 1), (minute as u32, 1), (milliseconds as u32, 1000)];
            tags.set(Gps, GPS_DATE, Value::Text(format!("{year:04}:{month:02}:{day:02}")));
            tags.set(Gps, GPS_TIME, Value::Rationals(time.to_vec()));
        }
    }
    if let Some(altitude) = metadata.altitude {
        let millimetres = (altitude.abs() * 1000.0).round() as u32;
        tags.set(Gps, ALTITUDE_REF, Value::Bytes(vec![u8::from(altitude < 0.0)]));
        tags.set(Gps, ALTITUDE, Value::Rationals(vec![(millimetres, 1000)]));
    }
    if let Some(heading) = metadata.heading {
        let millionths = (heading * 1e6).round() as u32 % 360_000_000;
        tags.set(Gps, DIRECTION_REF, Value::Text("T".to_owned()));
        tags.set(Gps, DIRECTION, Value::Rationals(vec![(millionths, 1_000_000)]));
    }
    if tags.0.len() > before {
        tags.set_if_missing(Gps, GPS_VERSION, Value::Bytes(vec![2, 3, 0, 0]));
    }
}

/// Degrees, minutes and seconds as fractions.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no angle is over 180 degrees")]
fn arc(degrees: f64) -> Vec<(u32, u32)> {
    let minute = 60 * u64::from(ARC_PARTS);
    let parts = (degrees * 3600.0 * f64::from(ARC_PARTS)).round() as u64;
    let minutes = parts / minute;
    vec![((minutes / 60) as u32, 1), ((minutes % 60) as u32, 1), ((parts % minute) as u32, ARC_PARTS)]
}
