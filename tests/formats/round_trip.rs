//! Round trips of all record types in all formats, and the golden files.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use streetflow::record::Polygons;
use streetflow::{
    Detection, FeatureId, FeatureKind, Format, GeometryChoice, Image, ImageId, Kind, MapFeature, Metadata,
    OwnerId, Record, Sequence, SequenceId, Value,
};

use crate::support::tables::{all, all_of, bits, read, write};
use crate::support::{ODD_TEXT, image_record, metadata_record, odd_metadata};

/// Values for one column, one of each kind. The kind of the column selects one.
type Cell = (bool, String, f64, i32, i64, bool, Vec<f64>, Vec<String>);

fn number() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    NORMAL | SUBNORMAL | ZERO | POSITIVE | NEGATIVE
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(ODD_TEXT.to_owned()), "(?s).{1,12}", "[0-9.e+-]{1,9}", Just("null".to_owned())]
}

fn cell() -> impl Strategy<Value = Cell> {
    let numbers = proptest::collection::vec(number(), 0..4);
    let texts = proptest::collection::vec(text(), 0..3);
    (any::<bool>(), text(), number(), any::<i32>(), any::<i64>(), any::<bool>(), numbers, texts)
}

/// Generates a table: for each row its id and a cell for every column.
fn table(columns: usize) -> impl Strategy<Value = Vec<(u64, String, Vec<Cell>)>> {
    let row = (0..10_u64.pow(17), "[A-Za-z0-9_-]{1,22}", proptest::collection::vec(cell(), columns));
    proptest::collection::vec(row, 0..4)
}

/// Makes polygons of any form, with empty lists at all levels.
fn polygons(numbers: &[f64], seed: i32) -> Polygons {
    let ring: Vec<[f64; 2]> = numbers.iter().map(|number| [*number, 0.5]).collect();
    let rings = vec![ring; seed.rem_euclid(3) as usize];
    Polygons::from(vec![rings; seed.rem_euclid(5) as usize])
}

fn record<T: Record>((id, sequence, cells): (u64, String, Vec<Cell>)) -> T {
    let mut record = T::default();
    // A point needs both coordinates.
    let mut has_longitude = false;
    for (column, (given, text, number, integer, time, boolean, numbers, texts)) in
        T::COLUMNS.iter().zip(cells)
    {
        let given = if column.kind == Kind::Latitude { has_longitude } else { given };
        has_longitude = given;
        let value = match (column.name, column.kind) {
            ("img_id", _) => Value::Text(id.to_string().into()),
            ("detection_id", _) => Value::Text(integer.unsigned_abs().to_string().into()),
            ("feature_id", _) => Value::Text(id.to_string().into()),
            ("kind", _) if given => {
                let other = if T::NAME == MapFeature::NAME { "object" } else { "segment" };
                Value::Text(if boolean { "sign" } else { other }.into())
            }
            ("seq_id", _) => Value::Text(sequence.clone().into()),
            _ if !given => continue,
            (name, Kind::Text) if name.ends_with("_id") => Value::Text(id.to_string().into()),
            (_, Kind::Text) => Value::Text(text.into()),
            (_, Kind::Integer) => Value::Integer(integer),
            (_, Kind::Time) => Value::Time(time),
            (_, Kind::Bool) => Value::Bool(boolean),
            (_, Kind::Floats) => Value::Floats(numbers.into()),
            (_, Kind::Texts) => Value::Texts(texts.into()),
            (_, Kind::Polygons) => Value::Polygons(Cow::Owned(polygons(&numbers, integer))),
            // Coordinates out of range are invalid.
            (_, Kind::Longitude) => Value::Float(number % 180.0),
            (_, Kind::Latitude) => Value::Float(number % 90.0),
            _ => Value::Float(number),
        };
        (column.set)(&mut record, value).unwrap();
    }
    record
}

/// Writes and reads records in every format, each time with the result of the previous format.
fn check_round_trip<T: Record + PartialEq + std::fmt::Debug>(
    rows: Vec<(u64, String, Vec<Cell>)>,
    place: GeometryChoice,
) {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<T> = rows.into_iter().map(record).collect();
    let mut last = records.clone();
    for format in Format::ALL.iter().chain(Format::ALL.iter().rev()) {
        let path = folder.path().join("table");
        write(&path, *format, &all_of::<T>().geometry(place), &last);
        last = read(&path, *format);
        assert_eq!(last, records, "{format}");
        let (actual, expected): (Vec<_>, Vec<_>) =
            (last.iter().map(bits).collect(), records.iter().map(bits).collect());
        assert_eq!(actual, expected, "{format}");
    }
    #[cfg(feature = "arrow")]
    {
        let batch = streetflow::arrow::batch(&records, &all_of::<T>().geometry(place)).unwrap();
        let back = streetflow::arrow::records::<T>(&batch).unwrap();
        let bits = |records: &[T]| records.iter().map(bits).collect::<Vec<_>>();
        assert_eq!((bits(&back), &back), (bits(&records), &records));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]

    #[test]
    fn metadata_round_trips_bit_for_bit_in_every_format(
        rows in table(Metadata::COLUMNS.len()),
        place in prop_oneof![Just(GeometryChoice::Original), Just(GeometryChoice::Computed), Just(GeometryChoice::Best)],
    ) {
        check_round_trip::<Metadata>(rows, place);
    }

    #[test]
    fn images_round_trip_in_every_format(rows in table(Image::COLUMNS.len())) {
        check_round_trip::<Image>(rows, GeometryChoice::Original);
    }

    #[test]
    fn detections_round_trip_bit_for_bit_in_every_format(
        rows in table(Detection::COLUMNS.len()),
        place in prop_oneof![Just(GeometryChoice::Original), Just(GeometryChoice::Computed), Just(GeometryChoice::Best)],
    ) {
        check_round_trip::<Detection>(rows, place);
    }

    #[test]
    fn map_features_round_trip_bit_for_bit_in_every_format(rows in table(MapFeature::COLUMNS.len())) {
        check_round_trip::<MapFeature>(rows, GeometryChoice::Original);
    }

    #[test]
    fn sequences_round_trip_in_every_format(rows in table(Sequence::COLUMNS.len())) {
        check_round_trip::<Sequence>(rows, GeometryChoice::Original);
    }
}

#[test]
fn nan_and_empty_text_are_missing_values_in_every_format() {
    let mut odd = metadata_record("1");
    odd.compass_angle = Some(f64::NAN);
    odd.altitude = Some(f64::INFINITY);
    odd.camera_parameters = Some(vec![1.0, f64::NAN]);
    odd.make = Some(String::new());
    odd.geometry = Some(streetflow::LonLat { lon: 33.0, lat: f64::NAN });
    let folder = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let path = folder.path().join("table");
        write(&path, *format, &all(), std::slice::from_ref(&odd));
        let back: Vec<Metadata> = read(&path, *format);
        let expected = vec![metadata_record("1")];
        assert_eq!(back, expected, "{format}");
    }
}

fn golden(name: &str, format: Format) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/golden");
    folder.join(format!("{name}.{}", format.extension()))
}

/// Asserts that the files did not change by accident, because other programs read them. `BLESS=1` rewrites them.
fn check_golden<T: Record + PartialEq + std::fmt::Debug>(name: &str, records: &[T]) {
    let folder = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let (path, golden) = (folder.path().join("table"), golden(name, *format));
        write(&path, *format, &all_of::<T>().note("query", "golden"), records);
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(golden.parent().unwrap()).unwrap();
            fs::copy(&path, &golden).unwrap();
        }
        let same = fs::read(&path).unwrap() == fs::read(&golden).unwrap();
        assert!(same, "`{}` would be written otherwise today", golden.display());
        assert_eq!(read::<T>(&golden, *format), records, "{format}");
    }
}

#[test]
fn the_golden_files_are_unchanged() {
    let sequence = |org_id: Option<&str>| Sequence {
        org_id: org_id.map(|id| OwnerId::new(id).unwrap()),
        seq_id: SequenceId::new("-qe-JIXxphhaeodoDQNWvM").unwrap(),
    };
    check_golden("seq_dataset", &[sequence(Some("803468386961584")), sequence(None)]);
    check_golden("img_dataset", &[image_record("728019821979741"), image_record("26774514888887982")]);
    let plain = Metadata {
        geometry: Some(streetflow::LonLat { lon: 33.041_782_1, lat: 34.684_566_590_1 }),
        captured_at: Some(1_702_208_626_000),
        compass_angle: Some(184.433_654_785_16),
        altitude: Some(4_294_967_281.0),
        camera_parameters: Some(Vec::new()),
        merge_cc: Some(4.546_427_159_383e18),
        ..metadata_record("728019821979741")
    };
    let bare = Detection {
        img_id: ImageId::new("728019821979741").unwrap(),
        detection_id: ImageId::new("26774514888887982").unwrap(),
        ..Detection::default()
    };
    let ring = |from: f64, to: f64| vec![[from, from], [to, from], [to, to], [from, to]];
    let whole = Detection {
        value: Some("nature--vegetation".to_owned()),
        created_at: Some(1_621_542_074_000),
        width: Some(4000),
        height: Some(3000),
        exif_orientation: Some(6),
        geometry: Some("GgA/+==".to_owned()),
        image_geometry: Some(streetflow::LonLat { lon: 33.041_782_1, lat: 34.684_566_590_1 }),
        ..bare.clone()
    };
    let shape = Polygons::from(vec![vec![ring(0.0, 0.5), ring(0.125, 0.25)], vec![ring(0.75, 1.0)]]);
    check_golden("img_detections_dataset", &[whole.with_polygons(Some(shape)), bare]);
    let unplaced = MapFeature {
        feature_id: FeatureId::new("26774514888887982").unwrap(),
        value: Some("object--support--utility-pole".to_owned()),
        kind: Some(FeatureKind::Object),
        n_images: Some(0),
        image_ids: Some(Vec::new()),
        ..MapFeature::default()
    };
    let sign = MapFeature {
        feature_id: FeatureId::new("728019821979741").unwrap(),
        value: Some("regulatory--stop--g1".to_owned()),
        kind: Some(FeatureKind::Sign),
        geometry: Some(streetflow::LonLat { lon: -83.417_193_328_459, lat: 42.5 }),
        first_seen_at: Some(1_621_542_074_123),
        last_seen_at: Some(1_702_208_626_000),
        object_type: Some("trafficsign".to_owned()),
        aligned_direction: Some(184.433_654_785_16),
        n_images: Some(2),
        image_ids: Some(vec!["26774514888887982".to_owned(), "1".to_owned()]),
    };
    check_golden("map_features", &[sign, unplaced]);
    check_golden("img_meta_dataset", &[plain, odd_metadata(), metadata_record("1")]);
}

#[test]
fn geojson_follows_rfc_7946() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    write(&path, Format::GeoJson, &all(), &[odd_metadata(), metadata_record("1")]);
    let collection: geojson::FeatureCollection = fs::read_to_string(&path).unwrap().parse().unwrap();
    assert_eq!(collection.foreign_members, None, "no crs and no other members unknown to the RFC");
    let names: Vec<Vec<&String>> = collection
        .features
        .iter()
        .map(|feature| feature.properties.as_ref().unwrap().keys().collect())
        .collect();
    assert_eq!(names[0], names[1], "a missing value is null");
    assert!(!names[0].contains(&&"lon".to_owned()) && names[0].contains(&&"computed_lon".to_owned()));
    let last = &collection.features[1];
    assert_eq!(last.id, Some(geojson::feature::Id::String("1".to_owned())));
    assert!(last.geometry.is_none());
    // Line-delimited: LF, and RS only on request.
    write(&path, Format::GeoJsonSeq, &all(), &[metadata_record("1"), metadata_record("2")]);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches('\n').count(), 2);
    assert!(text.ends_with("}\n") && !text.contains('\r') && !text.contains('\u{1e}'));
    write(
        &path,
        Format::GeoJsonSeq,
        &all().record_separators(),
        &[metadata_record("1"), metadata_record("2")],
    );
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        text.replace("{\"type\":\"Feature\"", "\u{1e}{\"type\":\"Feature\"")
    );
}

#[test]
fn a_table_of_detections_is_no_geoparquet_unless_the_place_of_the_image_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let detection = Detection {
        img_id: ImageId::new("1").unwrap(),
        detection_id: ImageId::new("2").unwrap(),
        geometry: Some("GgA=".to_owned()),
        image_geometry: Some(streetflow::LonLat { lon: 33.0, lat: 35.0 }),
        ..Detection::default()
    };
    let layout = streetflow::sinks::Layout::default();
    write(&path, Format::GeoJsonSeq, &layout, std::slice::from_ref(&detection));
    let feature = fs::read_to_string(&path).unwrap();
    let point = r#"{"type":"Feature","id":"2","geometry":{"type":"Point","coordinates":[33.0,35.0]},"#;
    assert!(feature.starts_with(point) && feature.contains(r#""geometry":"GgA=""#), "{feature}");
    assert_eq!(read::<Detection>(&path, Format::GeoJsonSeq), std::slice::from_ref(&detection));
    if let Some(parquet) = Format::ALL.iter().find(|format| format.name() == "parquet") {
        write(&path, *parquet, &layout, std::slice::from_ref(&detection));
        let back = read::<Detection>(&path, *parquet);
        assert_eq!(back, [Detection { image_geometry: None, ..detection.clone() }]);
        assert!(!fs::read(&path).unwrap().windows(14).any(|bytes| bytes == b"primary_column"));
        write(&path, *parquet, &all_of::<Detection>(), std::slice::from_ref(&detection));
        assert_eq!(read::<Detection>(&path, *parquet), [detection]);
        let bytes = fs::read(&path).unwrap();
        let key = br#""primary_column":"image_geometry""#;
        assert!(bytes.windows(key.len()).any(|bytes| bytes == key));
    }
}
