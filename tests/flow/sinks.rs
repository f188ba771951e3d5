//! What every sink must do, whatever it writes: one macro line a sink.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt, TryStreamExt, stream};
use streetflow::sinks::{Layout, encoder_for, sink_for};
use streetflow::{
    CsvSink, ErrorKind, Fields, FileSink, Flow, Format, GeoJsonSeqSink, GeoJsonSink, Metadata, RecordStream,
    Result, Sink, Source, TableSource, Written,
};

use crate::support::{eventually, failure, image_records, metadata_record, names, odd_metadata};

fn all_fields() -> Fields {
    Fields::known().join(",").parse().unwrap()
}

/// A record with an odd value in every column, and one with none but the key.
fn odd_records() -> Vec<Metadata> {
    vec![odd_metadata(), metadata_record("1")]
}

fn many() -> impl Iterator<Item = Metadata> {
    image_records(100_000).map(|image| Metadata { img_id: image.img_id, ..Metadata::default() })
}

async fn drain(
    sink: impl Sink<Metadata>,
    records: impl IntoIterator<Item = Result<Metadata>>,
) -> Result<u64> {
    let records: Vec<_> = records.into_iter().collect();
    Ok(Box::new(sink).drain(stream::iter(records).boxed()).await?.records)
}

async fn read(path: &Path, format: Format) -> Vec<Metadata> {
    TableSource::open_as(path, format).unwrap().stream().try_collect().await.unwrap()
}

macro_rules! conforms {
    ($name:ident, $format:ident, $sink:expr) => {
        mod $name {
            use super::*;

            const FORMAT: Format = Format::$format;

            fn sink(path: &Path) -> impl Sink<Metadata> + 'static {
                let make: fn(&Path) -> _ = $sink;
                make(path)
            }

            #[tokio::test]
            async fn an_empty_input_gives_a_valid_file() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("new/folder/table");
                assert_eq!(drain(sink(&path), []).await.unwrap(), 0);
                assert_eq!(read(&path, FORMAT).await, []);
                assert_eq!(names(path.parent().unwrap()), ["table"]);
            }

            #[tokio::test]
            async fn odd_values_and_none_come_back_equal() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("table");
                assert_eq!(drain(sink(&path), odd_records().into_iter().map(Ok)).await.unwrap(), 2);
                assert_eq!(read(&path, FORMAT).await, odd_records());
            }

            #[tokio::test]
            async fn a_hundred_thousand_records_come_back_in_order_and_the_same_every_time() {
                let folder = tempfile::tempdir().unwrap();
                let (first, second) = (folder.path().join("first"), folder.path().join("second"));
                for path in [&first, &second] {
                    assert_eq!(drain(sink(path), many().map(Ok)).await.unwrap(), 100_000);
                }
                let ids = |records: Vec<Metadata>| {
                    records.into_iter().map(|record| record.img_id).collect::<Vec<_>>()
                };
                assert_eq!(ids(read(&first, FORMAT).await), ids(many().collect()));
                assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
            }

            #[tokio::test]
            async fn an_error_in_the_middle_leaves_the_old_file_and_comes_back() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("table");
                fs::write(&path, "old").unwrap();
                let records =
                    many().take(5000).map(Ok).chain([Err(failure("row 5001"))]).chain(many().take(9).map(Ok));
                let error = drain(sink(&path), records).await.unwrap_err();
                assert_eq!((error.kind(), error.subject()), (ErrorKind::Malformed, Some("row 5001")));
                assert_eq!(fs::read(&path).unwrap(), b"old");
                eventually("nothing else is left", || names(folder.path()) == ["table"]).await;
            }

            #[tokio::test]
            async fn dropped_half_way_it_leaves_nothing() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("table");
                let endless = stream::iter(many().take(5000).map(Ok)).chain(stream::pending()).boxed();
                let draining = Box::new(sink(&path)).drain(endless);
                let dropped = tokio::time::timeout(std::time::Duration::from_millis(200), draining).await;
                assert!(dropped.is_err(), "it waits for more");
                eventually("nothing is left", || names(folder.path()).is_empty()).await;
            }

            #[tokio::test]
            async fn a_flow_that_is_stopped_leaves_a_valid_shorter_file() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("table");
                let endless = stream::iter(many().take(3000).map(Ok)).chain(stream::pending());
                let soon = tokio::time::sleep(std::time::Duration::from_secs(2));
                let report = Flow::from(endless).until(soon).into_sink(sink(&path)).await.unwrap();
                assert!(report.stopped);
                assert_eq!((report.records, read(&path, FORMAT).await.len()), (3000, 3000));
            }

            #[tokio::test]
            async fn a_folder_that_cannot_be_written_to_is_an_output_error_without_any_reading() {
                let folder = tempfile::tempdir().unwrap();
                fs::write(folder.path().join("file"), "no folder").unwrap();
                let polled = Arc::new(AtomicUsize::new(0));
                let counter = Arc::clone(&polled);
                let records = stream::iter(many().map(Ok)).inspect(move |_| {
                    counter.fetch_add(1, Ordering::Relaxed);
                });
                let error = Box::new(sink(&folder.path().join("file/table")))
                    .drain(records.boxed())
                    .await
                    .unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Io);
                assert!(error.chain().contains("file/table"), "{}", error.chain());
                assert!(polled.load(Ordering::Relaxed) < 2000, "it stopped early");
            }
        }
    };
}

conforms!(csv, Csv, |path| CsvSink::create(path).fields(&all_fields()));
conforms!(geojson, GeoJson, |path| GeoJsonSink::create(path).fields(&all_fields()));
conforms!(geojson_best, GeoJson, |path| GeoJsonSink::create(path)
    .fields(&all_fields())
    .geometry(streetflow::GeometryChoice::Best));
conforms!(geojsonseq, GeoJsonSeq, |path| GeoJsonSeqSink::create(path).fields(&all_fields()));
conforms!(geojsonseq_rs, GeoJsonSeq, |path| {
    GeoJsonSeqSink::create(path).fields(&all_fields()).record_separators()
});
conforms!(by_format, GeoJsonSeq, |path| sink_for(path, FORMAT, &Layout::default().fields(&all_fields())));

#[cfg(feature = "parquet")]
mod parquet {
    use streetflow::{GeometryChoice, ParquetSink};

    use super::*;

    conforms!(original, Parquet, |path| ParquetSink::create(path).fields(&all_fields()));
    conforms!(computed, Parquet, |path| ParquetSink::create(path)
        .fields(&all_fields())
        .geometry(GeometryChoice::Computed));
    conforms!(native, Parquet, |path| ParquetSink::create(path).fields(&all_fields()).native_geometry());
}

#[tokio::test]
async fn a_sink_that_fails_leaves_nothing_of_a_tap() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
    let flow = Flow::from(stream::iter(many().map(Ok))).tap(CsvSink::create(&good));
    let error = flow.into_sink(full_disk_after(&bad, 50_000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    eventually("nothing is left", || names(folder.path()).is_empty()).await;
}

/// A sink that stops after one record.
struct One;

#[streetflow::async_trait]
impl Sink<Metadata> for One {
    async fn drain(self: Box<Self>, mut records: RecordStream<Metadata>) -> Result<Written> {
        records.try_next().await?;
        Ok(Written::default())
    }
}

#[tokio::test]
async fn a_flow_continues_after_a_tap_has_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let flow = Flow::from(stream::iter(many().map(Ok))).tap(One);
    let report = flow.into_sink(CsvSink::create(folder.path().join("table"))).await.unwrap();
    assert_eq!(report.records, 100_000);
}

/// A disk that has room for so many bytes.
struct Disk<W> {
    inner: W,
    room: usize,
}

impl<W: Write> Write for Disk<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.room = self.room.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn full_disk_after(path: &Path, room: usize) -> impl Sink<Metadata> + 'static {
    full_disk(path, room, Format::Csv)
}

fn full_disk(path: &Path, room: usize, format: Format) -> impl Sink<Metadata> + 'static {
    FileSink::create(path, move |inner| {
        encoder_for::<Metadata>(Box::new(Disk { inner, room }), format, &Layout::default())
    })
}

#[tokio::test]
async fn a_full_disk_is_an_output_error_with_advice_and_leaves_nothing() {
    for (format, room) in Format::ALL.iter().flat_map(|format| [(format, 0), (format, 50_000)]) {
        let folder = tempfile::tempdir().unwrap();
        let sink = full_disk(&folder.path().join("table"), room, *format);
        let error = drain(sink, many().map(Ok)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{format}");
        assert!(error.hint().unwrap_or_default().contains("free some space"), "{format}: {}", error.chain());
        eventually("nothing is left", || names(folder.path()).is_empty()).await;
    }
}

#[tokio::test]
async fn streamed_bytes_equal_encoded_bytes() {
    for format in [Format::Csv, Format::GeoJson, Format::GeoJsonSeq] {
        for count in [0, 1, 2, 5] {
            let folder = tempfile::tempdir().unwrap();
            let (path, single) = (folder.path().join("table"), folder.path().join("single"));
            let records: Vec<_> = odd_records().into_iter().cycle().take(count).collect();
            let layout = Layout::default().fields(&all_fields());
            drain(sink_for(&path, format, &layout), records.iter().cloned().map(Ok)).await.unwrap();
            let out = Box::new(fs::File::create(&single).unwrap());
            let mut encoder = encoder_for(out, format, &layout).unwrap();
            for record in &records {
                encoder.encode(std::slice::from_ref(record)).unwrap();
            }
            encoder.finish().unwrap();
            assert!(fs::read(&path).unwrap() == fs::read(&single).unwrap(), "{count} records of {format}");
        }
    }
}

#[tokio::test]
async fn what_a_killed_process_left_is_swept_away_and_what_a_living_one_writes_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (dead, alive) =
        (folder.path().join(".table.DeadAb.partial"), folder.path().join(".table.Alive0.partial"));
    fs::write(&dead, "half").unwrap();
    // No name that this program gives, so no file of its own.
    fs::write(folder.path().join(".table.mine.partial"), "thesis").unwrap();
    let held = fs::File::create(&alive).unwrap();
    held.lock().unwrap();
    drain(CsvSink::create(folder.path().join("table")), []).await.unwrap();
    assert_eq!(names(folder.path()), [".table.Alive0.partial", ".table.mine.partial", "table"]);
}
