//! Fetching detections: order, halved batches, pages, states of images, resuming.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, stream};
use streetflow::client::{KnownRecordsWriter, ResponseStore};
use streetflow::observe::Event;
use streetflow::{
    Client, Detection, ErrorKind, FetchDetections, Image, ImageId, Observer, Result, SequenceId, Stage, Step,
};
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{builder, client, failure, image_record};

/// Counts findings and finished images.
#[derive(Default)]
struct Findings(std::sync::Mutex<std::collections::BTreeMap<&'static str, u64>>);

impl Findings {
    fn get(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).copied().unwrap_or_default()
    }
}

impl Observer for Findings {
    fn on_event(&self, event: &Event<'_>) {
        let (name, count) = match event {
            Event::Finding { step: Step::DETECTIONS, name, count, .. } => (*name, *count),
            Event::InputDone { step: Step::DETECTIONS } => ("done", 1),
            Event::Filtered { step: Step::DETECTIONS, by } => (*by, 1),
            _ => return,
        };
        *self.0.lock().unwrap().entry(name).or_default() += count;
    }
}

/// The existing images of the first sequences of the mock data.
fn images(sandbox: &Sandbox, count: usize) -> Vec<Image> {
    let sequences = sandbox.mock_data().sequences().iter().filter(|sequence| !sequence.is_gone());
    let images = sequences.flat_map(|sequence| {
        let images = sequence.images().filter(|image| !image.is_gone());
        images.map(|image| Image {
            seq_id: SequenceId::new(sequence.id()).unwrap(),
            img_id: ImageId::new(&image.id()).unwrap(),
        })
    });
    images.take(count).collect()
}

/// The ids of the detections that the mock data has of some images, in order.
fn expected(sandbox: &Sandbox, images: &[Image]) -> Vec<String> {
    let of = |image: &Image| sandbox.mock_data().image(image.img_id.as_str()).unwrap().detections();
    images.iter().flat_map(of).map(|detection| detection.id()).collect()
}

async fn run(stage: FetchDetections, images: Vec<Result<Image>>) -> Vec<Result<Detection>> {
    stage.apply(stream::iter(images).boxed()).collect().await
}

async fn fetch(client: &Client, images: &[Image]) -> Vec<Result<Detection>> {
    run(FetchDetections::new(client), images.iter().cloned().map(Ok).collect()).await
}

fn ids(records: &[Result<Detection>]) -> Vec<String> {
    records.iter().flatten().map(|record| record.detection_id.to_string()).collect()
}

#[tokio::test]
async fn detections_are_in_the_order_of_the_images_and_twenty_images_are_one_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = images(&sandbox, 105);
    let found = fetch(&client(&sandbox), &images).await;
    assert!(!found.is_empty() && found.iter().all(Result::is_ok));
    assert_eq!(ids(&found), expected(&sandbox, &images));
    assert_eq!(sandbox.requests_to(Host::Graph).len(), 6);
}

#[tokio::test]
async fn shapes_and_sizes_are_those_of_the_mock_data() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = images(&sandbox, 60);
    let found = fetch(&client(&sandbox), &images).await;
    let mut compared = 0;
    for record in found.iter().flatten() {
        let (image, mock) = sandbox.mock_data().detection(record.detection_id.as_str()).unwrap();
        assert_eq!(record.img_id.as_str(), image.id());
        assert_eq!(record.value.as_deref(), Some(mock.value()));
        let at = image.coordinates();
        let place = record.image_geometry.unwrap();
        assert!((place.lon - at.lon).abs() < 1e-6 && (place.lat - at.lat).abs() < 1e-6);
        if let Some(polygons) = record.polygons.as_ref().filter(|_| !mock.polygons().is_empty()) {
            assert_eq!(record.parts, Some(i32::try_from(mock.polygons().len()).unwrap()));
            let [left, top, right, bottom] = polygons.bounds().unwrap();
            assert!((0.0..=1.0).contains(&left) && right <= 1.0 && top >= 0.0 && bottom <= 1.0);
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}

#[tokio::test]
async fn images_without_detections_unprocessed_ones_and_gone_ones_are_told_apart() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut images = images(&sandbox, 400);
    let gone = sandbox.mock_data().sequences().iter().flat_map(streetflow_sandbox::MockSequence::images);
    let gone = gone.into_iter().find(streetflow_sandbox::MockImage::is_gone).unwrap().id();
    images.insert(7, image_record(&gone));
    let observer = Arc::new(Findings::default());
    let client = builder(&sandbox).observer(Arc::clone(&observer) as _).build().unwrap();
    let found = fetch(&client, &images).await;
    let mut errors = found.iter().filter_map(|record| record.as_ref().err());
    assert_eq!(errors.next().map(streetflow::Error::kind), Some(ErrorKind::Gone));
    assert!(errors.next().is_none());
    images.remove(7);
    let mock = |image: &Image| sandbox.mock_data().image(image.img_id.as_str()).unwrap();
    let count = |is: &dyn Fn(&Image) -> bool| images.iter().filter(|image| is(image)).count() as u64;
    let unprocessed = count(&|image| !mock(image).is_processed());
    let none = count(&|image| mock(image).is_processed() && mock(image).detections().is_empty());
    assert!(unprocessed > 0 && none > 0);
    assert_eq!((observer.get("not_processed"), observer.get("no_detections")), (unprocessed, none));
    assert_eq!(observer.get("done"), 400, "every image that exists is done, also those without a record");
}

#[tokio::test]
async fn a_refused_batch_is_halved_down_to_the_image_that_causes_it() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = images(&sandbox, 20);
    let poisoned = images[13].img_id.to_string();
    let bad = poisoned.clone();
    sandbox.add_rule(
        Rule::when(move |request| request.ids().contains(&bad) || request.path.ends_with(&format!("/{bad}")))
            .fault(Fault::status(
                500,
                r#"{"error":{"message":"Please reduce the amount of data","code":1}}"#,
            )),
    );
    let found = fetch(&client(&sandbox), &images).await;
    let errors: Vec<_> = found.iter().filter_map(|record| record.as_ref().err()).collect();
    let [error] = errors[..] else { panic!("{errors:?}") };
    assert_eq!((error.kind(), error.subject()), (ErrorKind::TooLarge, Some(&*poisoned)));
    let others: Vec<Image> =
        images.iter().filter(|image| image.img_id.as_str() != poisoned).cloned().collect();
    assert_eq!(ids(&found), expected(&sandbox, &others));
    // 20, two of 10, two of 5, then 3 and 2, and so on: every batch is half of the one before.
    let mut sizes: Vec<_> = sandbox.requests_to(Host::Graph).iter().map(|one| one.ids().len()).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.dedup();
    assert_eq!(sizes[..3], [20, 10, 5]);
}

#[tokio::test]
async fn an_image_that_a_response_lacks_is_requested_alone_and_errors_stay_in_place() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = images(&sandbox, 4);
    let unknown = image_record("99999999999999999");
    let input = vec![Ok(images[0].clone()), Err(failure("x")), Ok(unknown.clone()), Ok(images[1].clone())];
    let found = run(FetchDetections::new(&client(&sandbox)), input).await;
    let errors: Vec<_> = found.iter().filter_map(|record| record.as_ref().err()).collect();
    assert_eq!(errors.len(), 2);
    assert_eq!(errors[0].subject(), Some("x"));
    assert_eq!(errors[1].kind(), ErrorKind::Gone);
    assert_eq!(ids(&found), expected(&sandbox, &images[..2]));
}

#[tokio::test]
async fn further_pages_are_followed_and_a_link_to_another_host_is_refused() {
    let sandbox = Sandbox::builder().detections_per_page(2).start().await.unwrap();
    let images = images(&sandbox, 20);
    let found = fetch(&client(&sandbox), &images).await;
    assert_eq!(ids(&found), expected(&sandbox, &images));
    let pages = sandbox.requests_to(Host::Graph).len() - 1;
    assert!(pages > 3, "{pages}");

    let sandbox = Sandbox::start().await.unwrap();
    let id = images[0].img_id.as_str();
    let body = format!(
        r#"{{"id":"{id}","detections":{{"data":[{{"id":"7"}}],"paging":{{"next":"https://example.com/{id}/detections"}}}}}}"#
    );
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(200, &body)));
    let client = builder(&sandbox).max_attempts(1).build().unwrap();
    let found = fetch(&client, &images[..1]).await;
    let error = found[0].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.chain().contains("another host"), "{}", error.chain());
}

#[tokio::test]
async fn a_link_to_a_next_page_may_be_a_path() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = images(&sandbox, 1);
    let id = images[0].img_id.as_str();
    let body = format!(
        r#"{{"id":"{id}","detections":{{"data":[{{"id":"7"}}],"paging":{{"next":"/{id}/detections?after=x&access_token=y"}}}}}}"#
    );
    let page = Rule::on(Host::Graph)
        .path(&format!("/{id}/detections"))
        .fault(Fault::status(200, r#"{"data":[{"id":"8"}]}"#));
    sandbox.add_rule(page);
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(200, &body)));
    let found = fetch(&client(&sandbox), &images).await;
    let ids: Vec<_> = found.iter().map(|row| row.as_ref().unwrap().detection_id.as_str()).collect();
    assert_eq!(ids, ["7", "8"]);
    let last = sandbox.requests_to(Host::Graph).pop().unwrap();
    assert_eq!((last.param("after").as_deref(), last.param("access_token")), (Some("x"), None));
}

#[tokio::test]
async fn pages_that_link_to_themselves_end_with_an_error() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = images(&sandbox, 1);
    let id = images[0].img_id.as_str();
    let next = format!("{}/{id}/detections?after=x", sandbox.graph_url());
    let body = format!(
        r#"{{"id":"{id}","data":[{{"id":"8"}}],"paging":{{"next":"{next}"}},"detections":{{"data":[{{"id":"7"}}],"paging":{{"next":"{next}"}}}}}}"#
    );
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(200, &body)));
    let found = fetch(&client(&sandbox), &images).await;
    assert!(found[0].as_ref().unwrap_err().chain().contains("do not end"));
    assert_eq!(sandbox.requests_to(Host::Graph).len(), 2);
}

#[tokio::test]
async fn an_image_with_a_missing_page_or_too_many_detections_fails_and_is_not_gone() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = images(&sandbox, 1);
    let id = images[0].img_id.as_str();
    let list = |from: u32, next: &str| {
        let rows: Vec<_> = (from..from + 4_000).map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
        format!(r#"{{"data":[{}],"paging":{{"next":"/{id}/detections?after={next}"}}}}"#, rows.join(","))
    };
    let first = format!(r#"{{"id":"{id}","detections":{}}}"#, list(1, "4000"));
    let missing = Fault::graph_error(400, 100, Some(33), "Unsupported get request. Object does not exist");
    for (second, third, why) in [
        (missing, Fault::Reset, "fetch the next page"),
        (
            Fault::status(200, &list(4_001, "8000")),
            Fault::status(200, &list(8_001, "12000")),
            "more than 10,000 detections",
        ),
    ] {
        sandbox.clear_rules();
        let page = |after| Rule::on(Host::Graph).path(&format!("/{id}/detections")).query("after", after);
        sandbox.add_rule(page("4000").fault(second));
        sandbox.add_rule(page("8000").fault(third));
        sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(200, &first)));
        let client = builder(&sandbox).max_attempts(1).build().unwrap();
        let found = fetch(&client, &images).await;
        let [Err(error)] = &found[..] else { panic!("{} rows", found.len()) };
        assert_eq!((error.kind(), error.subject()), (ErrorKind::Malformed, Some(id)), "{}", error.chain());
        assert!(error.chain().contains(why), "{}", error.chain());
    }
}

#[tokio::test]
async fn filters_count_what_they_drop() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = images(&sandbox, 60);
    let observer = Arc::new(Findings::default());
    let client = builder(&sandbox).observer(Arc::clone(&observer) as _).build().unwrap();
    let stage = FetchDetections::new(&client).values(&"object--*".parse().unwrap()).min_area(0.001);
    let found = run(stage, images.iter().cloned().map(Ok).collect()).await;
    for record in found.iter().map(|record| record.as_ref().unwrap()) {
        assert!(record.value.as_ref().unwrap().starts_with("object--") && record.area.unwrap() >= 0.001);
    }
    let all = expected(&sandbox, &images).len() as u64;
    assert!(observer.get("values") > 0);
    assert_eq!(found.len() as u64 + observer.get("values") + observer.get("min_area"), all);
}

#[tokio::test]
async fn stored_responses_are_not_requested_again() {
    let sandbox = Sandbox::builder().detections_per_page(3).start().await.unwrap();
    let images = images(&sandbox, 45);
    let folder = tempfile::tempdir().unwrap();
    let mut results = Vec::new();
    for _ in 0..2 {
        let store = ResponseStore::open(folder.path().join("store"), "a query").unwrap();
        let client = builder(&sandbox).response_store(&store).build().unwrap();
        results.push(ids(&fetch(&client, &images).await));
    }
    assert_eq!(results[0], results[1]);
    let sent: Vec<_> =
        sandbox.requests_to(Host::Graph).iter().map(|one| format!("{}?{}", one.path, one.query)).collect();
    assert_eq!(sent.iter().collect::<HashSet<_>>().len(), sent.len(), "nothing is requested twice");
}

#[tokio::test]
async fn detections_of_an_earlier_table_are_not_requested_and_keep_their_place() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = images(&sandbox, 60);
    let findings = Arc::new(Findings::default());
    let client = builder(&sandbox).observer(Arc::clone(&findings) as _).build().unwrap();
    let all = fetch(&client, &images).await;
    // The earlier table has every third image, with a class of its own, which no filter drops. The image of the first
    // rows is in the table twice.
    let folder = tempfile::tempdir().unwrap();
    let fields = streetflow::FieldList::default();
    let mut writer = KnownRecordsWriter::create(folder.path().join("known"), &fields).unwrap();
    let is_known = |id: &ImageId| images.iter().step_by(3).any(|image| image.img_id == *id);
    for record in all.iter().flatten().filter(|record| is_known(&record.img_id)) {
        writer.add(&Detection { value: Some("mine".to_owned()), area: None, ..record.clone() }).unwrap();
    }
    let first = all.iter().flatten().find(|record| is_known(&record.img_id)).unwrap().img_id.clone();
    let again = all.iter().flatten().filter(|record| record.img_id == first);
    let again = again.map(|record| Detection { value: Some("mine".to_owned()), ..record.clone() });
    again.for_each(|record| writer.add(&record).unwrap());
    let known = writer.finish().unwrap();
    assert!(known.len() > 5 && known.len() <= 21);
    sandbox.clear_requests();
    let stage = FetchDetections::new(&client).known(&known).values(&"*".parse().unwrap()).min_area(0.0);
    let found = run(stage, images.iter().cloned().map(Ok).collect()).await;
    assert_eq!(ids(&found), ids(&all));
    for record in found.iter().flatten() {
        assert_eq!(record.value.as_deref() == Some("mine"), is_known(&record.img_id), "{record:?}");
    }
    let requested: HashSet<_> =
        sandbox.requests_to(Host::Graph).iter().flat_map(streetflow_sandbox::RecordedRequest::ids).collect();
    let known_images = (known.len() as u64 - 1, images.len() + 1 - known.len());
    assert_eq!((findings.get("known"), requested.len()), known_images);
    assert!(found.iter().flatten().any(|record| !requested.contains(record.img_id.as_str())));
    // An image twice, and filters that would drop it: they have passed what the table has.
    sandbox.clear_requests();
    let image = images.iter().step_by(3).find(|image| !expected(&sandbox, &[(*image).clone()]).is_empty());
    let image = image.unwrap().clone();
    let stage = FetchDetections::new(&client).known(&known).values(&"nothing--*".parse().unwrap());
    let twice = run(stage, vec![Ok(image.clone()), Ok(image.clone())]).await;
    let once = expected(&sandbox, std::slice::from_ref(&image));
    assert_eq!(ids(&twice), [once.clone(), once].concat());
    assert!(sandbox.requests().is_empty());
}
