//! Parquet files as a query planner sees them: types, encodings, statistics, key-value metadata.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use futures::stream;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, parquet_to_arrow_schema};
use parquet::basic::{Compression, ConvertedType, Encoding, LogicalType, Type};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};
use parquet::file::statistics::Statistics;
use serde_json::{Value as Json, json};
use streetflow::{Flow, GeometryChoice, Image, LonLat, Metadata, ParquetSink, Result, Sink};

use crate::support::{image_records, metadata_record, odd_metadata};

async fn written<T: Send + 'static>(
    records: impl Iterator<Item = T> + Send + 'static,
    sink: impl FnOnce(&Path) -> Box<dyn Sink<T>>,
) -> ParquetMetaData {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    Flow::from(stream::iter(records.map(Ok))).into_sink(sink(&path)).await.unwrap();
    let options = ReadOptionsBuilder::new().with_page_index().build();
    let reader = SerializedFileReader::new_with_options(File::open(&path).unwrap(), options).unwrap();
    reader.metadata().clone()
}

fn all(path: &Path) -> ParquetSink {
    ParquetSink::create(path).fields(&streetflow::Fields::known().join(",").parse().unwrap())
}

fn note(file: &ParquetMetaData, key: &str) -> Option<String> {
    let notes = file.file_metadata().key_value_metadata()?;
    notes.iter().find(|note| note.key == key)?.value.clone()
}

fn geo(file: &ParquetMetaData) -> Json {
    serde_json::from_str(&note(file, "geo").unwrap()).unwrap()
}

/// Returns images along a line, so that neighbours in the table are neighbours in space.
fn along(count: u32) -> impl Iterator<Item = Metadata> + Send {
    image_records(u64::from(count)).zip(0_u32..).map(move |(image, number)| Metadata {
        seq_id: image.seq_id,
        img_id: image.img_id,
        captured_at: Some(1_700_000_000_000 + i64::from(number) * 1000),
        geometry: Some(LonLat { lon: 30.0 + 10.0 * f64::from(number) / f64::from(count), lat: 35.0 }),
        width: Some(2560),
        is_pano: Some(false),
        compass_angle: Some(f64::from(number) / 7.0),
        thumb_256_url: Some(format!(
            "https://images.test/{number}?oh=00_{}",
            number.wrapping_mul(2_654_435_761)
        )),
        ..Metadata::default()
    })
}

#[tokio::test]
async fn columns_have_widely_supported_types() {
    let file = written([odd_metadata()].into_iter(), |path| Box::new(all(path))).await;
    let schema = file.file_metadata().schema_descr();
    let leaf =
        |name: &str| schema.columns().iter().find(|leaf| leaf.path().string() == name).unwrap().clone();
    for (name, kind) in [
        ("img_id", Type::BYTE_ARRAY),
        ("captured_at", Type::INT64),
        ("captured_at_raw", Type::INT64),
        ("altitude", Type::DOUBLE),
        ("width", Type::INT32),
        ("is_pano", Type::BOOLEAN),
        ("camera_parameters.list.element", Type::DOUBLE),
        ("detections.list.element", Type::BYTE_ARRAY),
        ("geometry", Type::BYTE_ARRAY),
        ("bbox.xmin", Type::FLOAT),
    ] {
        assert_eq!(leaf(name).physical_type(), kind, "{name}");
    }
    assert_eq!(leaf("img_id").converted_type(), ConvertedType::UTF8);
    assert!(
        leaf("geometry").logical_type_ref().is_none(),
        "plain binary, because older readers do not support GEOMETRY"
    );
    let Some(LogicalType::Timestamp(timestamp)) = leaf("captured_at").logical_type_ref().cloned() else {
        panic!("no timestamp")
    };
    assert!(timestamp.is_adjusted_to_u_t_c, "UTC");
    let unsigned = |kind| {
        matches!(
            kind,
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        )
    };
    assert!(schema.columns().iter().all(|leaf| !unsigned(leaf.converted_type())), "Spark refuses those");
}

#[tokio::test]
async fn row_groups_have_statistics_a_page_index_and_useful_dictionaries() {
    let file = written(along(150_000), |path| Box::new(all(path))).await;
    let rows: Vec<_> = file.row_groups().iter().map(RowGroupMetaData::num_rows).collect();
    assert_eq!(rows, [65_536, 65_536, 18_928]);
    assert!(file.column_index().is_some() && file.offset_index().is_some());
    let group = file.row_group(0);
    let chunk =
        |name: &str| group.columns().iter().find(|chunk| chunk.column_path().string() == name).unwrap();
    for name in ["img_id", "captured_at", "thumb_256_url", "geometry", "bbox.xmin", "compass_angle"] {
        assert!(chunk(name).dictionary_page_offset().is_none(), "{name}");
    }
    for name in ["seq_id", "width", "make"] {
        assert!(chunk(name).dictionary_page_offset().is_some(), "{name}");
    }
    assert!(chunk("captured_at").encodings().any(|encoding| encoding == Encoding::DELTA_BINARY_PACKED));
    assert!(matches!(chunk("img_id").compression(), Compression::ZSTD(_)));
    assert_eq!(chunk("captured_at").statistics().and_then(Statistics::null_count_opt), Some(0));
    // One second of capture times needs less than a byte.
    assert!(chunk("captured_at").compressed_size() < 20_000, "{}", chunk("captured_at").compressed_size());
}

#[tokio::test]
async fn a_spatial_query_skips_row_groups_and_pages() {
    let file = written(along(300_000), |path| Box::new(ParquetSink::create(path))).await;
    // One hundredth of the line.
    let (west, east) = (35.0_f32, 35.1_f32);
    let edge = |group: &RowGroupMetaData, name: &str| {
        let chunk = group.columns().iter().find(|chunk| chunk.column_path().string() == name).unwrap();
        match chunk.statistics() {
            Some(Statistics::Float(floats)) => (*floats.min_opt().unwrap(), *floats.max_opt().unwrap()),
            other => panic!("no statistics that a reader could use: {other:?}"),
        }
    };
    let touched = file
        .row_groups()
        .iter()
        .filter(|group| edge(group, "bbox.xmax").1 >= west && edge(group, "bbox.xmin").0 <= east)
        .count();
    assert_eq!((touched, file.num_row_groups()), (1, 5));
    // Pages of the row group are skipped too.
    let pages = file.offset_index().unwrap()[0].last().unwrap().page_locations().len();
    assert!(pages >= 8, "{pages} pages");
}

#[tokio::test]
async fn the_geo_metadata_follows_geoparquet_1_1() {
    let file = written(along(3), |path| Box::new(ParquetSink::create(path))).await;
    let expected = json!({
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {
            "encoding": "WKB",
            "geometry_types": ["Point"],
            "bbox": [30.0, 35.0, 30.0 + 20.0 / 3.0, 35.0],
            "covering": {"bbox": {
                "xmin": ["bbox", "xmin"], "ymin": ["bbox", "ymin"],
                "xmax": ["bbox", "xmax"], "ymax": ["bbox", "ymax"],
            }},
        }},
    });
    assert_eq!(geo(&file), expected);
    let nowhere =
        written([metadata_record("1")].into_iter(), |path| Box::new(ParquetSink::create(path))).await;
    assert_eq!(geo(&nowhere)["columns"]["geometry"]["bbox"], Json::Null);
    let images =
        written(image_records(3), |path| Box::new(ParquetSink::create(path)) as Box<dyn Sink<Image>>).await;
    assert_eq!(note(&images, "geo"), None, "a table without coordinates is plain Parquet");
}

#[tokio::test]
async fn the_geometry_column_follows_the_geometry_choice() {
    let record = Metadata {
        geometry: Some(LonLat { lon: 1.0, lat: 2.0 }),
        computed_geometry: Some(LonLat { lon: 3.0, lat: 4.0 }),
        ..metadata_record("1")
    };
    for (place, bbox) in [
        (GeometryChoice::Original, json!([1.0, 2.0, 1.0, 2.0])),
        (GeometryChoice::Computed, json!([3.0, 4.0, 3.0, 4.0])),
        (GeometryChoice::Best, json!([3.0, 4.0, 3.0, 4.0])),
    ] {
        let records = [record.clone()].into_iter();
        let file = written(records, |path| Box::new(ParquetSink::create(path).geometry(place))).await;
        assert_eq!(geo(&file)["columns"]["geometry"]["bbox"], bbox, "{place}");
    }
}

#[tokio::test]
async fn a_native_geometry_has_its_type_and_a_box_per_row_group() {
    let file = written(along(70_000), |path| Box::new(ParquetSink::create(path).native_geometry())).await;
    let index =
        file.file_metadata().schema_descr().columns().iter().position(|leaf| leaf.name() == "geometry");
    let leaf = file.file_metadata().schema_descr().column(index.unwrap());
    assert!(matches!(leaf.logical_type_ref(), Some(LogicalType::Geometry(_))));
    let boxes: Vec<_> = file
        .row_groups()
        .iter()
        .map(|group| group.column(index.unwrap()).geo_statistics().unwrap().bounding_box().unwrap().clone())
        .collect();
    assert_eq!((boxes[0].get_xmin(), boxes[0].get_ymax()), (30.0, 35.0));
    assert!(boxes[0].get_xmax() < boxes[1].get_xmin());
    assert_eq!(geo(&file)["version"], "1.1.0", "the older metadata is present too");
}

#[tokio::test]
async fn the_footer_describes_the_file() -> Result<()> {
    let file = written(along(1), |path| {
        Box::new(ParquetSink::create(path).note("query", "streetflow metadata").note("licence", "CC"))
    })
    .await;
    assert_eq!(note(&file, "streetflow:version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(note(&file, "streetflow:query").as_deref(), Some("streetflow metadata"));
    assert_eq!(note(&file, "streetflow:licence").as_deref(), Some("CC"));
    Ok(())
}

/// Returns the metadata of the embedded Arrow schema.
fn embedded(file: &ParquetMetaData) -> BTreeMap<String, String> {
    // Other keys would be indistinguishable from those of the footer.
    let notes = file.file_metadata().key_value_metadata().unwrap();
    let schema = notes.iter().filter(|note| note.key == ARROW_SCHEMA_META_KEY).cloned().collect::<Vec<_>>();
    assert_eq!(schema.len(), 1, "{notes:?}");
    let schema = parquet_to_arrow_schema(file.file_metadata().schema_descr(), Some(&schema)).unwrap();
    schema.metadata().clone().into_iter().collect()
}

#[tokio::test]
async fn the_embedded_schema_repeats_the_footer() {
    let place =
        |sink: ParquetSink| sink.geometry(GeometryChoice::Best).note("licence", "CC").note("query", "a box");
    let table = written(along(300), |path| Box::new(place(all(path)))).await;
    let native = written(along(300), |path| Box::new(place(all(path)).native_geometry())).await;
    let empty = written(along(0), |path| Box::new(place(all(path)))).await;
    let images =
        written(image_records(3), |path| Box::new(ParquetSink::create(path).note("licence", "CC"))).await;
    for file in [&table, &native, &empty, &images] {
        let notes = file.file_metadata().key_value_metadata().unwrap();
        let footer: BTreeMap<_, _> = notes
            .iter()
            .filter(|note| note.key != ARROW_SCHEMA_META_KEY)
            .map(|note| (note.key.clone(), note.value.clone().unwrap()))
            .collect();
        assert_eq!(footer.len(), notes.len() - 1, "each key once");
        assert_eq!(embedded(file), footer);
    }
    assert_eq!(embedded(&table)["streetflow:geometry"], "best");
    let geo: Json = serde_json::from_str(&embedded(&table)["geo"]).unwrap();
    assert!(geo["columns"]["geometry"]["bbox"].is_array(), "known at the end only: {geo}");
    assert!(!embedded(&images).contains_key("geo") && embedded(&images).contains_key("streetflow:version"));
}
