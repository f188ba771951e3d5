//! Flows as streams of Arrow record batches, batches as tables, and the counts of a flow without a report.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use streetflow::arrow::arrow_array::types::Int8Type;
use streetflow::arrow::arrow_array::{
    Array, ArrayRef, BinaryArray, DictionaryArray, FixedSizeListArray, Float64Array, RecordBatch, StringArray,
};
use streetflow::arrow::arrow_schema::{ArrowError, DataType, Field, Schema};
use streetflow::arrow::{self, ArrowSource};
use streetflow::sinks::Layout;
use streetflow::stages::Filter;
use streetflow::{
    CsvSink, Error, ErrorKind, Flow, Image, LonLat, Metadata, OnError, Result, Source, TableSource,
};

use crate::support::{failure, image_record, image_records, metadata_record, odd_metadata};

fn numbered(count: u64) -> stream::Iter<std::vec::IntoIter<Result<Image>>> {
    stream::iter(image_records(count).map(Ok).collect::<Vec<_>>())
}

fn rows(batches: &[Result<RecordBatch>]) -> Vec<usize> {
    batches.iter().map(|batch| batch.as_ref().map_or(0, RecordBatch::num_rows)).collect()
}

#[tokio::test]
async fn a_batch_ends_at_its_number_of_rows_and_no_record_is_lost() {
    let batches: Vec<_> = Flow::from(numbered(20)).into_batches(&Layout::default(), 8).collect().await;
    assert_eq!(rows(&batches), [8, 8, 4]);
    let read = batches.into_iter().flat_map(|batch| arrow::records::<Image>(&batch.unwrap()).unwrap());
    assert!(read.eq(image_records(20)));
    assert!(Flow::from(numbered(0)).into_batches(&Layout::default(), 8).next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_fast_source_fills_batches_of_8192_rows_and_no_time_passes() {
    let start = tokio::time::Instant::now();
    let batches: Vec<_> =
        Flow::from(numbered(20_000)).into_batches(&Layout::default(), arrow::BATCH_ROWS).collect().await;
    assert_eq!((rows(&batches), start.elapsed()), (vec![8192, 8192, 3616], Duration::ZERO));
}

/// The deadline belongs to the first record of each batch, not to the flow.
#[tokio::test(start_paused = true)]
async fn a_source_of_a_record_every_300_ms_gives_a_batch_of_four_each_second() {
    let slow = stream::iter(image_records(10)).then(|image| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(image)
    });
    let batches: Vec<_> =
        Flow::from(slow).into_batches(&Layout::default(), arrow::BATCH_ROWS).collect().await;
    assert_eq!(rows(&batches), [4, 4, 2]);
}

/// Such a source computes its records; its stream is never pending.
#[tokio::test(start_paused = true)]
async fn a_slow_source_that_is_always_ready_does_not_hold_a_batch_back() {
    let slow = stream::iter(image_records(100).collect::<Vec<_>>().into_iter().map(|image| {
        // Paused time moves only on request.
        tokio::time::advance(Duration::from_millis(50)).now_or_never();
        Ok(image)
    }));
    let batches: Vec<_> =
        Flow::from(slow).into_batches(&Layout::default(), arrow::BATCH_ROWS).collect().await;
    assert_eq!(rows(&batches), [32, 32, 32, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_closed_a_second_after_its_first_record() {
    let slow = stream::iter(image_records(3).enumerate()).then(|(number, image)| async move {
        tokio::time::sleep(Duration::from_millis(600)).await;
        // The third one comes late.
        tokio::time::sleep(Duration::from_secs(if number == 2 { 60 } else { 0 })).await;
        Ok(image)
    });
    let start = tokio::time::Instant::now();
    let mut batches = Flow::from(slow).into_batches(&Layout::default(), 8192);
    assert_eq!(batches.try_next().await.unwrap().unwrap().num_rows(), 2);
    assert_eq!(start.elapsed().as_millis(), 1600);
    assert_eq!(batches.try_next().await.unwrap().unwrap().num_rows(), 1);
    assert!(batches.next().await.is_none());
}

#[tokio::test]
async fn large_texts_close_a_batch_early() {
    let large = stream::iter((1..=100).map(|number: u32| {
        Ok(Metadata { make: Some("x".repeat(1 << 20)), ..metadata_record(&number.to_string()) })
    }));
    let layout = Layout::default().fields(&"make".parse().unwrap());
    let batches: Vec<_> = Flow::from(large).into_batches(&layout, 8192).collect().await;
    assert_eq!(rows(&batches), [64, 36]);
}

#[tokio::test]
async fn an_error_comes_behind_the_records_before_it_and_discards_the_taps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images.csv");
    let items = vec![Ok(image_record("1")), Err(failure("2")), Ok(image_record("3"))];
    let flow = Flow::from(stream::iter(items)).tap(CsvSink::create(&path));
    let counts = flow.counts();
    let batches: Vec<_> = flow.into_batches(&Layout::default(), 8).collect().await;
    assert_eq!(rows(&batches), [1, 0]);
    assert_eq!(batches[1].as_ref().unwrap_err().subject(), Some("2"));
    assert_eq!((counts.records(), counts.failed()), (1, 1));
    assert!(!path.exists());

    let flow = Flow::from(numbered(3)).tap(CsvSink::create(&path));
    let _batches: Vec<_> = flow.into_batches(&Layout::default(), 8).try_collect().await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4);
}

#[tokio::test]
async fn counts_go_on_while_a_flow_is_read_and_are_complete_at_its_end() {
    let wide = |id: &str, width| Ok(Metadata { width: Some(width), ..metadata_record(id) });
    let gone = Error::new(ErrorKind::Gone, "fetch").with_subject("2");
    let items = [wide("1", 10), Err(gone), wide("3", 1), Err(failure("4")), wide("5", 10), wide("5", 10)];
    let flow = Flow::from(stream::iter(items))
        .then(Filter::new("wide", &["width"], |image| image.width > Some(5)))
        .dedup_by(|image: &Metadata| image.img_id.clone())
        .on_error(OnError::Skip);
    let counts = flow.counts();
    let mut batches = flow.into_batches(&Layout::default(), 1);
    assert_eq!(batches.next().await.unwrap().unwrap().num_rows(), 1);
    assert_eq!((counts.records(), counts.gone(), counts.filtered(), counts.failed()), (1, 0, 0, 0));
    assert_eq!(batches.collect::<Vec<_>>().await.len(), 1);
    assert_eq!((counts.records(), counts.gone(), counts.filtered(), counts.failed()), (2, 1, 2, 1));
    assert!(!counts.stopped());
}

#[tokio::test]
async fn a_report_has_the_filtered_records_too() {
    let folder = tempfile::tempdir().unwrap();
    let report = Flow::from(numbered(9))
        .filter(|image| image.img_id.as_str().ends_with('1'))
        .into_sink(CsvSink::create(folder.path().join("images.csv")))
        .await
        .unwrap();
    assert_eq!((report.records, report.filtered), (1, 8));
}

fn source<T: streetflow::Record>(columns: Vec<(Field, ArrayRef)>) -> Result<ArrowSource<T>> {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    // The rows are counted over all batches.
    ArrowSource::new("a frame", &schema, [Ok(batch.slice(0, 1)), Ok(batch.slice(1, batch.num_rows() - 1))])
}

fn plain(name: &str, array: impl Array + 'static) -> (Field, ArrayRef) {
    (Field::new(name, array.data_type().clone(), true), Arc::new(array))
}

#[tokio::test]
async fn dictionaries_and_points_of_other_programs_are_read() {
    let ids = StringArray::from(vec!["1", "2", "3"]);
    let makes: DictionaryArray<Int8Type> = vec![Some("GoPro"), None, Some("GoPro")].into_iter().collect();
    let halves = Float64Array::from(vec![33.0, 35.0, 33.5, 35.5, 34.0, 36.0]);
    let element = Arc::new(Field::new("xy", DataType::Float64, false));
    let points = FixedSizeListArray::new(element, 2, Arc::new(halves), None);
    let named = ("ARROW:extension:name".to_owned(), "geoarrow.point".to_owned());
    let points = (
        Field::new("position", points.data_type().clone(), true).with_metadata([named].into()),
        Arc::new(points) as ArrayRef,
    );
    let source = source::<Metadata>(vec![plain("img_id", ids), plain("make", makes), points]).unwrap();
    let images: Vec<_> = source.stream().try_collect().await.unwrap();
    assert_eq!(
        images.iter().map(|image| image.make.as_deref()).collect::<Vec<_>>(),
        [Some("GoPro"), None, Some("GoPro")]
    );
    assert_eq!(images[2].geometry, Some(LonLat { lon: 34.0, lat: 36.0 }));
}

#[tokio::test]
async fn invalid_rows_of_batches_are_errors_with_their_number() {
    let ids = StringArray::from(vec!["1", "two", "3"]);
    let widths = StringArray::from(vec!["10", "20", "wide"]);
    let frame = vec![plain("img_id", ids), plain("width", widths)];
    let table = TableSource::from(source::<Metadata>(frame).unwrap());
    let items: Vec<_> = table.stream().collect().await;
    let why = |index: usize| items[index].as_ref().unwrap_err().chain();
    assert!(why(1).contains("a frame") && why(1).contains("row 2, column `img_id`: `two`"), "{}", why(1));
    assert!(why(2).contains("row 3, column `width`: `wide`"), "{}", why(2));
    assert_eq!(items[0].as_ref().unwrap().width, Some(10));
}

#[tokio::test]
async fn a_table_without_ids_or_in_other_coordinates_is_refused() {
    let error = source::<Metadata>(vec![plain("width", Float64Array::from(vec![1.0]))]).err().unwrap();
    assert!(error.chain().contains("no column `img_id`, only `width`"), "{}", error.chain());

    let points = BinaryArray::from(vec![b"".as_slice()]);
    let metadata =
        [("ARROW:extension:name", "geoarrow.wkb"), ("ARROW:extension:metadata", r#"{"crs":"EPSG:3857"}"#)];
    let field = Field::new("geometry", DataType::Binary, true)
        .with_metadata(metadata.map(|(key, text)| (key.to_owned(), text.to_owned())).into());
    let frame = vec![plain("img_id", StringArray::from(vec!["1"])), (field, Arc::new(points) as ArrayRef)];
    let error = source::<Metadata>(frame).err().unwrap();
    assert!(error.chain().contains("its coordinates are in `EPSG:3857`"), "{}", error.chain());
}

#[tokio::test]
async fn a_failing_batch_and_rounded_ids_end_the_records() {
    let batch = arrow::batch(&[image_record("1")], &Layout::default()).unwrap();
    let lost = Err(ArrowError::ComputeError("the peer left".to_owned()));
    let source = ArrowSource::<Image>::new("a frame", &batch.schema(), [Ok(batch), lost]).unwrap();
    let items: Vec<_> = source.stream().collect().await;
    let error = items[1].as_ref().unwrap_err();
    assert!(
        error.chain().contains("after 1 rows") && error.chain().contains("the peer left"),
        "{}",
        error.chain()
    );
    assert_eq!(items.len(), 2);

    let rounded: Vec<_> = (1..9).map(|n| image_record(&format!("12345678901234{n}000"))).collect();
    let batch = arrow::batch(&rounded, &Layout::default()).unwrap();
    let error = arrow::records::<Image>(&batch).unwrap_err();
    assert!(error.chain().contains("as if a spreadsheet had rounded them"), "{}", error.chain());
}

#[test]
fn odd_values_survive_the_way_through_a_batch_without_a_runtime() {
    let layout = crate::support::tables::all();
    let flow = Flow::from(stream::iter([Ok(odd_metadata())]));
    let batch = flow.into_batches(&layout, 8).next().now_or_never().flatten().unwrap().unwrap();
    assert_eq!(batch.schema(), arrow::schema::<Metadata>(&layout));
    let field = batch.schema().field_with_name("geometry").unwrap().clone();
    assert_eq!(field.metadata()["ARROW:extension:name"], "geoarrow.wkb");
    let crs = &field.metadata()["ARROW:extension:metadata"];
    assert_eq!(crs, r#"{"crs":"OGC:CRS84","crs_type":"authority_code"}"#);
    assert!(batch.column_by_name("bbox").is_none());
    assert_eq!(arrow::records::<Metadata>(&batch).unwrap(), [odd_metadata()]);
}
