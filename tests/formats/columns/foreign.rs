//! Parquet tables of other programs, with random types and values.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use streetflow::arrow::arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray,
};

/// A row of a Parquet table. Most are valid.
#[derive(Debug, Clone)]
pub(super) struct Row {
    id: Option<u32>,
    make: Option<String>,
    time: Option<i64>,
    raw: Option<i64>,
    width: Option<f64>,
    angle: Option<f64>,
    point: Option<(f64, f64)>,
    half: Option<f64>,
    geometry: Option<(f64, f64)>,
    is_pano: Option<bool>,
}

pub(super) fn row() -> impl Strategy<Value = Row> {
    fn maybe<T: Clone + std::fmt::Debug>(some: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
        proptest::option::of(some)
    }
    let degrees = || prop_oneof![60 => -90.0..90.0_f64, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => Just(200.0)];
    let angle = prop_oneof![60 => 0.0..360.0_f64, 1 => Just(f64::NAN), 1 => Just(f64::NEG_INFINITY)];
    let width = prop_oneof![60 => (1..9000_i32).prop_map(f64::from), 1 => Just(0.5), 1 => Just(1e12), 1 => Just(f64::NAN)];
    let id = prop_oneof![60 => any::<u32>().prop_map(Some), 1 => Just(None)];
    let make = prop_oneof![20 => "[A-Z][a-z]{0,5}", 1 => Just(String::new()), 1 => Just("NA".to_owned()), 1 => Just("1.5".to_owned())];
    let point = || (degrees(), degrees());
    let half = prop_oneof![60 => Just(None), 1 => Just(Some(5.0))];
    let values = (maybe(make), maybe(any::<i64>()), maybe(1..9_i64), maybe(width), maybe(angle));
    (id, values, maybe(point()), half, maybe(point()), maybe(any::<bool>())).prop_map(
        |(id, (make, time, raw, width, angle), point, half, geometry, is_pano)| Row {
            id,
            make,
            time: time.map(|time| time % 4_000_000_000_000),
            raw,
            width,
            angle,
            point,
            half,
            geometry,
            is_pano,
        },
    )
}

/// Writes rows as a Parquet table. `forms` selects the type of each column, or that it is missing.
pub(super) fn write(path: &Path, rows: &[Row], forms: [u8; 10]) {
    let texts = |of: fn(&Row) -> Option<String>| -> Vec<Option<String>> { rows.iter().map(of).collect() };
    let floats =
        |of: fn(&Row) -> Option<f64>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<Float64Array>()) };
    let text_array = |texts: Vec<Option<String>>, binary: bool| -> ArrayRef {
        if binary {
            Arc::new(texts.iter().map(|text| text.as_ref().map(String::as_bytes)).collect::<BinaryArray>())
        } else {
            Arc::new(texts.into_iter().collect::<StringArray>())
        }
    };
    let ids = texts(|row| row.id.map(|id| id.to_string()));
    let times = |row: &Row| row.time;
    #[expect(clippy::cast_possible_truncation, reason = "whole numbers in range, or odd ones")]
    let whole = |row: &Row| row.width.map(|width| width as i32);
    let wkb = |(x, y): (f64, f64)| [&[1, 1, 0, 0, 0][..], &x.to_le_bytes(), &y.to_le_bytes()].concat();
    let mut columns: Vec<(&str, ArrayRef)> = vec![(
        "img_id",
        match forms[0] % 4 {
            0 => Arc::new(rows.iter().map(|row| row.id.map(i64::from)).collect::<Int64Array>()) as ArrayRef,
            1 => text_array(ids, true),
            _ => text_array(ids, false),
        },
    )];
    let seq_ids = texts(|row| Some(format!("s{}", row.id.unwrap_or(0) % 3)));
    match forms[1] % 4 {
        0 => {}
        form => columns.push(("seq_id", text_array(seq_ids, form == 1))),
    }
    let make = texts(|row| row.make.clone());
    columns.push((
        ["make", "creator_id"][usize::from(forms[2].is_multiple_of(8))],
        text_array(make, forms[2] % 4 == 1),
    ));
    let raw = || Arc::new(rows.iter().map(|row| row.raw).collect::<Int64Array>()) as ArrayRef;
    if forms[3].is_multiple_of(8) {
        columns.push(("captured_at_raw", raw()));
    }
    match forms[4] % 6 {
        0 => {}
        1 => columns.push(("captured_at", Arc::new(rows.iter().map(times).collect::<Int64Array>()))),
        2 => columns
            .push(("captured_at", Arc::new(rows.iter().map(times).collect::<TimestampMicrosecondArray>()))),
        3 => columns
            .push(("captured_at", text_array(texts(|row| row.time.map(|time| time.to_string())), false))),
        _ => columns.push((
            "captured_at",
            Arc::new(rows.iter().map(times).collect::<TimestampMillisecondArray>().with_timezone("UTC")),
        )),
    }
    if forms[3] % 8 == 1 {
        columns.push(("captured_at_raw", raw()));
    }
    match forms[5] % 3 {
        0 => {}
        1 => columns.push(("width", floats(|row| row.width))),
        _ => columns.push(("width", Arc::new(rows.iter().map(whole).collect::<Int32Array>()))),
    }
    columns.push(("compass_angle", floats(|row| row.angle)));
    if forms[6].is_multiple_of(2) {
        columns.push(("lon", floats(|row| row.point.map(|point| point.0).or(row.half))));
        columns.push(("lat", floats(|row| row.point.map(|point| point.1))));
    }
    if forms[7].is_multiple_of(2) {
        columns.push(("computed_lon", floats(|row| row.geometry.map(|point| point.0))));
        columns.push(("computed_lat", floats(|row| row.geometry.map(|point| point.1))));
    }
    if forms[8].is_multiple_of(2) {
        let points = rows.iter().map(|row| row.geometry.map(wkb));
        columns.push(("geometry", Arc::new(points.collect::<BinaryArray>())));
    }
    if forms[9].is_multiple_of(2) {
        columns.push(("is_pano", Arc::new(rows.iter().map(|row| row.is_pano).collect::<BooleanArray>())));
    }
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}
