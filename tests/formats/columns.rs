//! Tables by columns: the same bytes, counts, warnings and errors as through records.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use parquet::arrow::ArrowWriter;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::subsequence;
use streetflow::arrow::arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray,
};
use streetflow::sinks::{Encoder, FileSink, Layout, column_encoder_for, encoder_for};
use streetflow::sources::IdCheck;
use streetflow::{
    Fields, Format, GeometryChoice, Image, MapFeature, Metadata, Record, RecordStream, Result, Sequence,
    Sink, TableSource,
};

const FIELDS: &str = "captured_at,compass_angle,geometry,width,is_pano,make,creator,thumb_1024_url,camera_parameters,detections";

/// The bytes of the file, and the number of records, or the error; and the warnings.
type Outcome = (std::result::Result<(Vec<u8>, u64), String>, Vec<String>);

/// How a table is read and written.
struct Conversion<'a> {
    from: &'a Path,
    format: Format,
    to: Format,
    choice: GeometryChoice,
    keep: bool,
}

impl Conversion<'_> {
    fn run<T: Record>(&self, by_columns: bool) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let warn = Arc::clone(&warnings);
        let check = IdCheck::warn(move |text: &str| warn.lock().unwrap().push(text.to_owned()));
        let check = if self.keep { check.keep() } else { check };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let written = runtime.block_on(self.write::<T>(&path, check, by_columns));
        let result = match written {
            Ok(records) => Ok((fs::read(&path).unwrap(), records)),
            Err(error) => {
                assert!(!path.exists());
                Err(format!("{:?}: {} {:?}", error.kind(), error.chain(), error.hint()))
            }
        };
        let warnings = if result.is_ok() { warnings.lock().unwrap().clone() } else { Vec::new() };
        (result, warnings)
    }

    async fn write<T: Record>(&self, path: &Path, check: IdCheck, by_columns: bool) -> Result<u64> {
        let fields: Fields = FIELDS.parse()?;
        let layout = Layout::default().fields(&fields).geometry(self.choice);
        let table = TableSource::<T>::open_as(self.from, self.format)?.on_rounded_ids(check);
        if by_columns {
            let encoder = column_encoder_for::<T>(self.to, &layout).unwrap();
            let Ok(blocks) = table.columns(&fields.columns()) else { panic!("{} has columns", T::NAME) };
            return write(path, blocks, encoder).await;
        }
        let to = self.to;
        write(path, table.blocks(|_| Ok(())), move |out| encoder_for::<T>(out, to, &layout)).await
    }
}

async fn write<B: Send + 'static>(
    path: &Path,
    blocks: RecordStream<Vec<B>>,
    encoder: impl FnOnce(Box<dyn std::io::Write + Send>) -> std::io::Result<Box<dyn Encoder<B>>> + Send + 'static,
) -> Result<u64> {
    Ok(Box::new(FileSink::create(path, encoder)).drain_blocks(blocks).await?.records)
}

/// Checks that both ways give the same from a table.
fn check_same<T: Record>(from: &Path, format: Format) {
    drop(same::<T>(from, format));
}

/// The same, with the outcome as Parquet.
fn same<T: Record>(from: &Path, format: Format) -> Outcome {
    let mut last = None;
    for to in [Format::Csv, Format::Parquet] {
        for choice in GeometryChoice::ALL {
            for keep in [true, false] {
                let conversion = Conversion { from, format, to, choice, keep };
                let (columns, records) = (conversion.run::<T>(true), conversion.run::<T>(false));
                assert_eq!(
                    columns,
                    records,
                    "{} as {to}, {choice}, {keep}",
                    String::from_utf8_lossy(&fs::read(from).unwrap())
                );
                last = Some(columns);
            }
        }
    }
    last.unwrap()
}

/// All columns of a table of CSV that the test knows, and a cell that is valid in each.
const COLUMNS: [(&str, &str); 17] = [
    ("img_id", "728019821979741"),
    ("seq_id", "OtUBS2gd0HrkNqTDa8Ezxh"),
    ("captured_at", "1719594028000"),
    ("compass_angle", "184.43365478516"),
    ("lon", "33.25"),
    ("lat", "35.125"),
    ("computed_lon", "33.5"),
    ("computed_lat", "-35.5"),
    ("width", "4000"),
    ("is_pano", "True"),
    ("make", "GoPro"),
    ("creator_id", "112233"),
    ("creator_username", "'=1+1"),
    ("thumb_1024_url", "https://x.example/m1?oh=00_AfB&oe=66A1B2C3"),
    ("camera_parameters", "\"[0.5,-0.25,0]\""),
    ("detections", "\"[\"\"1463368450678096\"\"]\""),
    ("note", "of another tool"),
];

/// Cells that suit no column, or only some.
fn odd_cell() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        1 => proptest::sample::select(vec![
            "NaN", "nan", "NA", "NULL", "-", "inf", "-inf", "1e400", "1.7e12", "1.71959E+12", "2560.0", "99999999999",
            "2024-02-31", "2024-02-29T12:00:00Z", "9007199254740993", "26774514888887982", "1463000000000000000",
            "1.463e15", "360", "-181", "91", "0", "-0.0", "true", "2", "'=1", "''", "[1,2]", "\"[1,null]\"", "\"[1e999]\"",
            "a/b", "\"a \"\"b\"\",\nc\"", "\"a\"b", "\"\"", " ", "\u{feff}", "9223372036854775807", "-62135596800001",
        ]).prop_map(str::to_owned),
        1 => "[0-9]{1,19}",
        1 => "-?[0-9]{1,3}\\.[0-9]{1,6}",
        1 => ".{0,5}",
    ]
}

/// The header and the rows of a table: mostly valid, with some hostile cells and rows.
fn csv_table() -> impl Strategy<Value = Vec<u8>> {
    let header = subsequence(COLUMNS.to_vec(), 1..=COLUMNS.len()).prop_shuffle();
    let row = (
        1..10_u64.pow(17),
        proptest::collection::vec((0..COLUMNS.len(), odd_cell()), 0..3),
        0..200_usize,
        0..100_u8,
    );
    let rows = proptest::collection::vec(row, 0..30);
    let all_odd = prop_oneof![4 => Just(0_usize), 2 => Just(30), 1 => Just(190)];
    let end = prop_oneof![3 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\r")];
    (header, rows, all_odd, end, any::<bool>(), 0..100_u8).prop_map(|(header, rows, odd, end, mark, last)| {
        let names: Vec<_> = header.iter().map(|(name, _)| *name).collect();
        let mut text = if mark { "\u{feff}".to_owned() } else { String::new() };
        text += &names.join(",");
        for (id, cells, chance, form) in rows {
            let mut row: Vec<String> = header
                .iter()
                .map(|(name, cell)| if *name == "img_id" { id.to_string() } else { (*cell).to_owned() })
                .collect();
            if chance < odd {
                for (index, cell) in cells {
                    let index = index % row.len();
                    row[index] = cell;
                }
            }
            text += end;
            match form {
                0 => text += &",".repeat(row.len() - 1),
                1 => text += &names.join(","),
                2 => text += &format!("{},more", row.join(",")),
                3 => text += end,
                _ => text += &row.join(","),
            }
        }
        let mut bytes = text.into_bytes();
        match last {
            0 => bytes.extend_from_slice(b"\n\"open"),
            1 => bytes.extend_from_slice(b"\n\xff\xfe"),
            _ => bytes.extend_from_slice(end.as_bytes()),
        }
        bytes
    })
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]

    #[test]
    fn a_hostile_csv_table_gives_the_same_by_columns_as_through_records(table in csv_table()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        fs::write(&path, table).unwrap();
        let (outcome, _) = same::<Metadata>(&path, Format::Csv);
        check_same::<Image>(&path, Format::Csv);
        check_same::<Sequence>(&path, Format::Csv);
        // The way back, where the table is valid.
        if let Ok((bytes, _)) = outcome {
            let copy = folder.path().join("copy");
            fs::write(&copy, bytes).unwrap();
            check_same::<Metadata>(&copy, Format::Parquet);
        }
    }

    #[test]
    fn a_foreign_parquet_table_gives_the_same_by_columns_as_through_records(
        rows in proptest::collection::vec(foreign_row(), 0..20), forms in any::<[u8; 10]>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        write_foreign(&path, &rows, forms);
        check_same::<Metadata>(&path, Format::Parquet);
        check_same::<Image>(&path, Format::Parquet);
        check_same::<Sequence>(&path, Format::Parquet);
    }
}

/// A row of a Parquet table. Most are valid.
#[derive(Debug, Clone)]
struct ForeignRow {
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

fn foreign_row() -> impl Strategy<Value = ForeignRow> {
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
        |(id, (make, time, raw, width, angle), point, half, geometry, is_pano)| ForeignRow {
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
fn write_foreign(path: &Path, rows: &[ForeignRow], forms: [u8; 10]) {
    let texts =
        |of: fn(&ForeignRow) -> Option<String>| -> Vec<Option<String>> { rows.iter().map(of).collect() };
    let floats = |of: fn(&ForeignRow) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<Float64Array>())
    };
    let text_array = |texts: Vec<Option<String>>, binary: bool| -> ArrayRef {
        if binary {
            Arc::new(texts.iter().map(|text| text.as_ref().map(String::as_bytes)).collect::<BinaryArray>())
        } else {
            Arc::new(texts.into_iter().collect::<StringArray>())
        }
    };
    let ids = texts(|row| row.id.map(|id| id.to_string()));
    let times = |row: &ForeignRow| row.time;
    #[expect(clippy::cast_possible_truncation, reason = "whole numbers in range, or odd ones")]
    let whole = |row: &ForeignRow| row.width.map(|width| width as i32);
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
    columns
        .push((["make", "creator_id"][usize::from(forms[2] % 8 == 0)], text_array(make, forms[2] % 4 == 1)));
    let raw = || Arc::new(rows.iter().map(|row| row.raw).collect::<Int64Array>()) as ArrayRef;
    if forms[3] % 8 == 0 {
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
    if forms[6] % 2 == 0 {
        columns.push(("lon", floats(|row| row.point.map(|point| point.0).or(row.half))));
        columns.push(("lat", floats(|row| row.point.map(|point| point.1))));
    }
    if forms[7] % 2 == 0 {
        columns.push(("computed_lon", floats(|row| row.geometry.map(|point| point.0))));
        columns.push(("computed_lat", floats(|row| row.geometry.map(|point| point.1))));
    }
    if forms[8] % 2 == 0 {
        let points = rows.iter().map(|row| row.geometry.map(wkb));
        columns.push(("geometry", Arc::new(points.collect::<BinaryArray>())));
    }
    if forms[9] % 2 == 0 {
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

#[test]
fn tables_of_several_blocks_are_the_same_too_whole_or_with_an_error() {
    let names: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let row = |id: usize| {
        let cells =
            COLUMNS.map(|(name, cell)| if name == "img_id" { id.to_string() } else { cell.to_owned() });
        cells.join(",") + "\n"
    };
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("table"), folder.path().join("copy"));
    for (count, bad) in
        [(0, None), (1023, None), (1024, None), (1025, None), (3000, Some(1024)), (3000, Some(2050))]
    {
        let mut rows: Vec<_> = (1..=count).map(row).collect();
        if let Some(bad) = bad {
            rows[bad] = row(7).replace("4000", "wide");
        }
        fs::write(&path, format!("{}\n{}", names.join(","), rows.concat())).unwrap();
        let (outcome, _) = same::<Metadata>(&path, Format::Csv);
        match outcome {
            Ok((bytes, records)) => {
                assert_eq!(records, count as u64);
                fs::write(&copy, bytes).unwrap();
                check_same::<Metadata>(&copy, Format::Parquet);
            }
            Err(error) => {
                let line =
                    format!("line {}, column `width`: `wide`: it is not a 32-bit integer", bad.unwrap() + 2);
                assert!(error.contains(&line), "{error}");
            }
        }
    }
}

#[test]
fn map_features_are_the_same_and_detections_have_no_independent_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    for kind in ["sign", "object", "", "Sign"] {
        let text =
            format!("feature_id,kind,lon,lat,image_ids\n1,{kind},33.5,35.5,\"[\"\"12\"\"]\"\n2,sign,,,\n");
        fs::write(&path, text).unwrap();
        check_same::<MapFeature>(&path, Format::Csv);
    }
    fs::write(&path, "img_id,detection_id\n1,2\n").unwrap();
    let table = TableSource::<streetflow::Detection>::open_as(&path, Format::Csv).unwrap();
    assert!(table.columns(&["value"]).is_err());
}

#[test]
fn rounded_ids_are_reported_as_through_records() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    for (whole, rounded) in [(0, 3000), (3000, 0), (2500, 2), (99, 2000), (10, 500)] {
        let mut rows: Vec<_> = (0..whole).map(|index| format!("26774514888{:06},a", index * 7 + 1)).collect();
        rows.extend((0..rounded).map(|index| format!("267745148{index:06}00,a")));
        fs::write(&path, format!("img_id,seq_id\n{}\n", rows.join("\n"))).unwrap();
        check_same::<Image>(&path, Format::Csv);
        rows.push("x,a".to_owned());
        fs::write(&path, format!("img_id,seq_id\n{}\n", rows.join("\n"))).unwrap();
        check_same::<Image>(&path, Format::Csv);
    }
}
