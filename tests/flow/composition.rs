//! Flows: error policies, taps, and ways to end.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use streetflow::{
    CsvSink, Error, ErrorKind, Flow, Image, OnError, RecordStream, Report, Result, Sink, Step, Tally,
    Written, async_trait,
};

use crate::support::{eventually, failure, image_record, image_records, names};

/// A sink that counts all records.
struct Count;

#[async_trait]
impl Sink<Image> for Count {
    async fn drain(self: Box<Self>, records: RecordStream<Image>) -> Result<Written> {
        let mut written = Written::default();
        written.records = records.try_fold(0, |count, _| async move { Ok(count + 1) }).await?;
        Ok(written)
    }
}

fn numbered(count: u64) -> impl futures::Stream<Item = Result<Image>> + Send + 'static {
    stream::iter(image_records(count).map(Ok).collect::<Vec<_>>())
}

fn with_failures() -> impl futures::Stream<Item = Result<Image>> + Send + 'static {
    let gone = Error::new(ErrorKind::Gone, "fetch").with_subject("2");
    stream::iter(vec![Ok(image_record("1")), Err(gone), Err(failure("3")), Ok(image_record("4"))])
}

#[tokio::test]
async fn gone_records_are_counted_and_failures_stop_the_flow_unless_skipped() {
    let error = Flow::from(with_failures()).into_sink(Count).await.unwrap_err();
    assert_eq!(error.subject(), Some("3"));
    let report = Flow::from(with_failures()).on_error(OnError::Skip).into_sink(Count).await.unwrap();
    assert_eq!((report.records, report.gone, report.failed), (2, 1, 1));
}

#[tokio::test]
async fn a_fatal_error_is_not_skipped() {
    let fatal = stream::iter(vec![Ok(image_record("1")), Err(Error::new(ErrorKind::Auth, "ask"))]);
    let error = Flow::from(fatal).on_error(OnError::Skip).into_sink(Count).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn filter_take_and_dedup_pass_errors_through() {
    let doubled = numbered(10)
        .flat_map(|item| stream::iter([Ok(item.unwrap()), Err(failure("x"))]))
        .chain(numbered(10));
    let report = Flow::from(doubled)
        .dedup_by(|image: &Image| image.img_id.clone())
        .filter(|image| !image.img_id.as_str().ends_with('0'))
        .take(5)
        .on_error(OnError::Skip)
        .into_sink(Count)
        .await
        .unwrap();
    assert_eq!((report.records, report.failed), (5, 5), "errors pass through and do not count as taken");
}

#[tokio::test]
async fn observers_get_each_record_and_each_failure_once() {
    let tally = Arc::new(Tally::default());
    let report = Flow::from(with_failures())
        .observe(Step::IMAGES, tally.clone())
        .then(|records: RecordStream<Image>| records)
        .observe(Step::new("again"), tally.clone())
        .on_error(OnError::Skip)
        .into_sink(Count)
        .await
        .unwrap();
    assert_eq!((tally.records(), tally.gone(), tally.failed()), (4, 1, 1));
    assert_eq!(report.records, 2);
}

#[tokio::test]
async fn a_tap_gets_every_record_and_commits_with_the_flow() {
    for count in [0, 1, 255, 256, 257, 5000] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tap.csv");
        let report = Flow::from(numbered(count)).tap(CsvSink::create(&path)).into_sink(Count).await.unwrap();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count() as u64;
        assert_eq!((lines, report.records, report.taps[0].records), (count + 1, count, count));
    }
}

#[tokio::test]
async fn a_tap_gets_no_errors_but_the_flow_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tap.csv");
    let flow = Flow::from(with_failures()).tap(CsvSink::create(&path)).on_error(OnError::Skip);
    let report = flow.into_sink(Count).await.unwrap();
    assert_eq!((report.taps[0].records, report.failed, report.gone), (2, 1, 1));
}

/// A stage that prefetches, like the stages that send requests.
fn read_ahead(records: RecordStream<Image>) -> RecordStream<Image> {
    records.map(|item| async { item }).buffered(1000).boxed()
}

#[tokio::test]
async fn a_failed_flow_aborts_its_taps_even_near_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let failing = numbered(500).chain(stream::iter([Err(Error::new(ErrorKind::Blocked, "ask"))]));
    let flow = Flow::from(failing).tap(CsvSink::create(folder.path().join("tap.csv"))).then(read_ahead);
    assert_eq!(flow.on_error(OnError::Skip).into_sink(Count).await.unwrap_err().kind(), ErrorKind::Blocked);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn the_error_of_a_tap_is_the_error_of_the_flow() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let tap = CsvSink::create(folder.path().join("file/tap.csv"));
    let endless = numbered(5000).chain(stream::pending());
    let error = Flow::from(endless).tap(tap).into_sink(Count).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[tokio::test]
async fn a_stopped_flow_commits_its_taps_to_the_last_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tap.csv");
    let endless = numbered(1000).chain(stream::pending());
    let stop = tokio::time::sleep(Duration::from_secs(2));
    let report = Flow::from(endless).tap(CsvSink::create(&path)).until(stop).into_sink(Count).await.unwrap();
    assert!(report.stopped);
    assert_eq!((report.records, report.taps[0].records), (1000, 1000));
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1001);
}

#[tokio::test]
async fn a_dropped_flow_aborts_its_taps() {
    let folder = tempfile::tempdir().unwrap();
    let endless = numbered(1000).chain(stream::pending());
    let running = Flow::from(endless).tap(CsvSink::create(folder.path().join("tap.csv"))).into_sink(Count);
    assert!(tokio::time::timeout(Duration::from_millis(200), running).await.is_err());
    eventually("nothing is left", || names(folder.path()).is_empty()).await;
}

#[tokio::test]
async fn a_flow_is_a_stream_and_commits_its_taps_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tap.csv");
    let flow = Flow::from(numbered(300)).tap(CsvSink::create(&path));
    let records: Vec<Image> = flow.try_collect().await.unwrap();
    assert_eq!((records.len(), std::fs::read_to_string(&path).unwrap().lines().count()), (300, 301));
}

#[tokio::test]
async fn a_flow_as_a_stream_aborts_its_taps_after_a_fatal_error() {
    let folder = tempfile::tempdir().unwrap();
    let failing = numbered(500).chain(stream::iter([Err(Error::new(ErrorKind::Blocked, "ask"))]));
    let items: Vec<_> =
        Flow::from(failing).tap(CsvSink::create(folder.path().join("tap.csv"))).collect().await;
    assert_eq!(items.len(), 501);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn interrupted_records_after_a_signal_are_no_failures() {
    // The record in progress ends as interrupted, like a request of a stopped client.
    let (signal, received) = tokio::sync::oneshot::channel();
    let mut signal = Some(signal);
    let echo = stream::poll_fn(move |_| {
        signal.take().unwrap().send(()).unwrap();
        std::task::Poll::Ready(Some(Err(Error::new(ErrorKind::Interrupted, "ask"))))
    });
    let flow = Flow::from(numbered(5).chain(echo)).until(async { received.await.unwrap() });
    let report = flow.into_sink(Count).await.unwrap();
    assert_eq!((report.records, report.stopped), (5, true));
}

#[tokio::test(start_paused = true)]
async fn a_signal_ends_a_flow_only_when_it_fires() {
    let slow = numbered(1000).then(|item| async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        item
    });
    let started = tokio::time::Instant::now();
    let flow = Flow::from(slow).until(tokio::time::sleep(Duration::from_secs(95)));
    let report: Report = flow.into_sink(Count).await.unwrap();
    assert_eq!((report.records, report.stopped), (9, true));
    assert_eq!(started.elapsed().as_secs(), 95);
    let whole = Flow::from(numbered(10)).until(std::future::pending()).into_sink(Count).await.unwrap();
    assert_eq!((whole.records, whole.stopped), (10, false));
}

#[test]
fn public_types_are_send_and_sync() {
    fn send<T: Send>() {}
    fn sync<T: Send + Sync + Clone>() {}
    send::<Flow<Image>>();
    send::<Error>();
    sync::<streetflow::Client>();
    sync::<streetflow::TileSource>();
    sync::<streetflow::ImageSink>();
    sync::<Report>();
}
