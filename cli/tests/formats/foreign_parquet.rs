//! Parquet files of other programs, and damaged files.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int64Array, LargeStringArray,
    ListArray, RecordBatch, StringArray, StringViewArray, StructArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow_schema::{DataType, Field};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use streetflow::{
    ErrorKind, Flow, Format, Image, LonLat, Metadata, ParquetSink, ParquetSource, Result, Source,
};

use crate::support::{metadata_record, odd_metadata};

/// Writes columns like another program, with its geometry metadata.
fn table(path: &Path, columns: Vec<(&str, ArrayRef)>, geo: Option<&str>) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let notes = geo.map(|geo| vec![KeyValue::new("geo".to_owned(), geo.to_owned())]);
    let properties = WriterProperties::builder().set_key_value_metadata(notes).build();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

async fn read(path: &Path) -> Result<Vec<Metadata>> {
    ParquetSource::open(path)?.stream().try_collect().await
}

fn wkb(lon: f64, lat: f64) -> Vec<u8> {
    let mut bytes = vec![1, 1, 0, 0, 0];
    bytes.extend(lon.to_le_bytes());
    bytes.extend(lat.to_le_bytes());
    bytes
}

const HERE: LonLat = LonLat { lon: 33.5, lat: 35.0 };

#[tokio::test]
async fn text_of_every_type_and_integers_are_ids() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let sequences: DictionaryArray<Int32Type> = ["abc", "abc", "-x"].into_iter().collect();
    let ids: [ArrayRef; 5] = [
        Arc::new(LargeStringArray::from(vec!["1", "26774514888887982", "3"])),
        Arc::new(StringViewArray::from(vec!["1", "26774514888887982", "3"])),
        Arc::new(Int64Array::from(vec![1, 26_774_514_888_887_982, 3])),
        Arc::new(UInt64Array::from(vec![1, 26_774_514_888_887_982, 3])),
        Arc::new(BinaryArray::from(vec![b"1".as_slice(), b"26774514888887982", b"3"])),
    ];
    for id in ids {
        let kind = id.data_type().clone();
        let note: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true]));
        table(&path, vec![("note", note), ("img_id", id), ("seq_id", Arc::new(sequences.clone()))], None);
        let images: Vec<Image> = ParquetSource::open(&path).unwrap().stream().try_collect().await.unwrap();
        let ids: Vec<_> = images.iter().map(|image| (image.seq_id.as_str(), image.img_id.as_str())).collect();
        assert_eq!(ids, [("abc", "1"), ("abc", "26774514888887982"), ("-x", "3")], "{kind}");
    }
}

#[tokio::test]
async fn numbers_times_and_lists_of_other_types_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), Some(2)])]);
    table(
        &path,
        vec![
            ("img_id", Arc::new(StringArray::from(vec!["1"]))),
            ("captured_at", Arc::new(TimestampMicrosecondArray::from(vec![1_702_208_626_123_999]))),
            ("width", Arc::new(Float64Array::from(vec![2560.0]))),
            ("height", Arc::new(Int64Array::from(vec![1920]))),
            ("compass_angle", Arc::new(Int64Array::from(vec![180]))),
            ("is_pano", Arc::new(Int64Array::from(vec![1]))),
            ("camera_parameters", Arc::new(list)),
            ("computed_rotation", Arc::new(StringArray::from(vec!["[0.5,1e-5]"]))),
            ("lon", Arc::new(Float64Array::from(vec![33.5]))),
            ("lat", Arc::new(StringArray::from(vec!["35.0"]))),
        ],
        None,
    );
    let expected = Metadata {
        captured_at: Some(1_702_208_626_123),
        width: Some(2560),
        height: Some(1920),
        compass_angle: Some(180.0),
        is_pano: Some(true),
        camera_parameters: Some(vec![1.0, 2.0]),
        computed_rotation: Some(vec![0.5, 1e-5]),
        geometry: Some(HERE),
        ..metadata_record("1")
    };
    assert_eq!(read(&path).await.unwrap(), [expected]);
}

#[tokio::test]
async fn a_geoparquet_file_with_another_column_and_covering_gives_its_points() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["1", "2"]));
    let points: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(&wkb(33.5, 35.0)), None]));
    let half = |degrees| Arc::new(Float64Array::from(vec![Some(degrees), None])) as ArrayRef;
    let pair: ArrayRef = Arc::new(StructArray::from(vec![
        (Arc::new(Field::new("x", DataType::Float64, true)), half(33.5)),
        (Arc::new(Field::new("y", DataType::Float64, true)), half(35.0)),
    ]));
    let geo = r#"{"version":"1.1.0","primary_column":"geom","columns":{"geom":{"encoding":"WKB","geometry_types":[],
        "crs":{"name":"WGS 84","id":{"authority":"EPSG","code":4326}},
        "covering":{"bbox":{"xmin":["extent","west"],"ymin":["extent","south"],"xmax":["extent","east"],"ymax":["extent","north"]}}}}}"#;
    for (name, points, geo) in
        [("geom", &points, Some(geo)), ("geom", &pair, Some(geo)), ("geometry", &points, None)]
    {
        let extent = Arc::clone(&pair);
        table(&path, vec![("extent", extent), (name, Arc::clone(points)), ("img_id", Arc::clone(&ids))], geo);
        let places: Vec<_> = read(&path).await.unwrap().into_iter().map(|image| image.geometry).collect();
        assert_eq!(places, [Some(HERE), None], "{name}");
    }
    let metres = geo.replace("\"EPSG\",\"code\":4326", "\"EPSG\",\"code\":3857");
    table(&path, vec![("geom", Arc::clone(&points)), ("img_id", Arc::clone(&ids))], Some(&metres));
    let error = read(&path).await.unwrap_err();
    assert!(error.chain().contains("not in WGS 84"), "{}", error.chain());
    // A line cannot be the geometry of an image.
    let mut line = wkb(33.5, 35.0);
    line[1] = 2;
    let lines: ArrayRef = Arc::new(BinaryArray::from(vec![line.as_slice(), &line]));
    table(&path, vec![("geometry", lines), ("img_id", ids)], None);
    let error = read(&path).await.unwrap_err();
    assert!(error.chain().contains("row 1: its geometry is not a point"), "{}", error.chain());
}

#[tokio::test]
async fn a_float_id_is_rejected_with_row_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    table(&path, vec![("img_id", Arc::new(Float64Array::from(vec![1.463e15])))], None);
    let error = read(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.chain().contains("row 1, column `img_id`: `1463000000000000.0`"), "{}", error.chain());
    assert!(error.chain().contains("loses digits"), "{}", error.chain());
    // A later bad row is skipped.
    let ids = StringArray::from(vec![Some("1"), Some("1.2e+16"), None, Some("4")]);
    table(&path, vec![("img_id", Arc::new(ids))], None);
    let items: Vec<Result<Metadata>> = ParquetSource::open(&path).unwrap().stream().collect().await;
    let message = |index: usize| items[index].as_ref().unwrap_err().chain();
    assert!(message(1).contains("row 2") && message(1).contains("loses digits"), "{}", message(1));
    assert!(message(2).contains("row 3, column `img_id`: ``: it is empty"), "{}", message(2));
    assert_eq!(items[3].as_ref().unwrap().img_id.as_str(), "4");
}

#[tokio::test]
async fn a_file_that_is_no_parquet_is_rejected_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.parquet");
    let whole = folder.path().join("whole.parquet");
    write(&whole, 10).await;
    let whole = fs::read(&whole).unwrap();
    for bytes in
        [&b""[..], b"PAR1", b"seq_id,img_id\nabc,1\n", &whole[..whole.len() / 2], &whole[..whole.len() - 1]]
    {
        fs::write(&path, bytes).unwrap();
        let error = read(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let chain = error.chain();
        assert!(chain.contains("table.parquet") && chain.contains("not a complete Parquet file"), "{chain}");
    }
    let error = read(folder.path()).await.unwrap_err();
    assert!(error.chain().contains("directory"), "{}", error.chain());
    table(&path, vec![("id", Arc::new(Int64Array::from(vec![1])))], None);
    let error = read(&path).await.unwrap_err();
    assert!(error.chain().contains("no column `img_id`, only `id`"), "{}", error.chain());
}

async fn write(path: &Path, records: usize) {
    let records = (0..records).map(|number| {
        let mut record = odd_metadata();
        record.img_id = streetflow::ImageId::new(&number.to_string()).unwrap();
        Ok(record)
    });
    let fields = streetflow::Fields::known().join(",").parse().unwrap();
    let sink = ParquetSink::create(path).fields(&fields);
    Flow::from(futures::stream::iter(records)).into_sink(sink).await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_never_read_as_a_shorter_one() {
    let folder = tempfile::tempdir().unwrap();
    let (path, damaged) = (folder.path().join("whole"), folder.path().join("damaged"));
    write(&path, 300).await;
    let whole = fs::read(&path).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    // Panics of the decoder are caught; their messages would hide those of the test.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut refused = 0;
    for _ in 0..1000 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        fs::write(&damaged, bytes).unwrap();
        let Ok(source) = ParquetSource::<Metadata>::open(&damaged) else {
            refused += 1;
            continue;
        };
        let items: Vec<_> = source.stream().collect().await;
        let failed = items.iter().any(Result::is_err);
        refused += usize::from(failed);
        assert!(failed || items.len() == 300, "{} records, and not a word", items.len());
    }
    std::panic::set_hook(hook);
    assert!(refused > 100, "{refused}");
}

#[test]
fn parquet_from_a_pipe_is_rejected_with_a_hint() {
    let source = streetflow::TableSource::<Image>::read("standard input", std::io::empty(), Format::Parquet);
    let error = source.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.hint().unwrap().contains("file"), "{}", error.chain());
}

#[tokio::test]
async fn a_geometry_column_of_another_name_is_converted_and_gzip_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("foreign.parquet");
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["1", "2"]));
    let sequences: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let points: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(&wkb(33.5, 35.0)), None]));
    let geo = r#"{"version":"1.1.0","primary_column":"geom","columns":{"geom":{"encoding":"WKB","geometry_types":[]}}}"#;
    let columns = vec![("seq_id", sequences), ("img_id", ids), ("geom", points)];
    table(&path, columns, Some(geo));
    let convert = |input: &str, output: &str| {
        let mut command = crate::support::command(folder.path());
        let stderr = command.args(["convert", input, output]).output().unwrap();
        (stderr.status.code(), String::from_utf8(stderr.stderr).unwrap())
    };
    for output in ["out.csv", "out.geojson"] {
        let (code, stderr) = convert("foreign.parquet", output);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(!stderr.contains("dropped"), "{stderr}");
    }
    let text = fs::read_to_string(folder.path().join("out.csv")).unwrap();
    assert_eq!(text, "seq_id,img_id,lon,lat\na,1,33.5,35\nb,2,,\n");
    // A column that only has the name of a geometry is reported and dropped.
    fs::write(folder.path().join("wkt.csv"), "img_id,geometry\n1,POINT (33 35)\n").unwrap();
    let (code, stderr) = convert("wkt.csv", "out.geojson");
    assert!(code == Some(0) && stderr.contains("dropped: column `geometry`"), "{stderr}");
    let (code, stderr) = convert("wkt.csv", "out.parquet");
    assert!(code == Some(0) && stderr.contains("dropped: column `geometry`"), "{stderr}");

    let batch =
        RecordBatch::try_from_iter([("img_id", Arc::new(Int64Array::from(vec![7])) as ArrayRef)]).unwrap();
    for codec in [Compression::GZIP(GzipLevel::default()), Compression::LZ4_RAW, Compression::SNAPPY] {
        let properties = WriterProperties::builder().set_compression(codec).build();
        let file = File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        assert_eq!(read(&path).await.unwrap()[0].img_id.as_str(), "7", "{codec:?}");
    }
}

#[tokio::test]
async fn nan_is_a_missing_value_and_a_missing_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    let nan: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN]));
    let columns = vec![
        ("img_id", Arc::clone(&ids)),
        ("make", Arc::clone(&nan)),
        ("width", Arc::clone(&nan)),
        ("altitude", Arc::clone(&nan)),
    ];
    table(&path, columns, None);
    assert_eq!(read(&path).await.unwrap(), [metadata_record("1")]);
    table(&path, vec![("img_id", nan)], None);
    let error = read(&path).await.unwrap_err();
    assert!(error.chain().contains("it is empty"), "{}", error.chain());
}
