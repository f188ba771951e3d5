//! Listing and fetching: order, missing items, deleted items, number of requests.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use streetflow::{
    Client, Error, ErrorKind, FetchMetadata, Fields, Image, ImageId, ListImages, Metadata, Record, Result,
    SequenceId, Stage,
};
use streetflow_sandbox::{Fault, Host, RecordedRequest, Rule, Sandbox};

use crate::support::{builder, client, failure, image_record, sequence_record};

/// Returns the existing images of the first sequences of the mock data.
fn present(sandbox: &Sandbox, count: usize) -> Vec<Image> {
    let data = sandbox.mock_data();
    let sequences = data.sequences().iter().filter(|sequence| !sequence.is_gone());
    let images = sequences.flat_map(|sequence| {
        let ids = sequence.images().filter(|image| !image.is_gone()).map(|image| image.id());
        ids.map(|id| Image {
            seq_id: SequenceId::new(sequence.id()).unwrap(),
            img_id: ImageId::new(&id).unwrap(),
        })
    });
    images.take(count).collect()
}

async fn fetch(client: &Client, images: impl IntoIterator<Item = Result<Image>>) -> Vec<Result<Metadata>> {
    let images: Vec<_> = images.into_iter().collect();
    FetchMetadata::new(client).apply(stream::iter(images).boxed()).collect().await
}

fn ids(records: &[Result<Metadata>]) -> Vec<&str> {
    records.iter().map(|record| record.as_ref().unwrap().img_id.as_str()).collect()
}

/// Counts the responses with each image, alone or in a batch.
fn count_responses(requests: &[RecordedRequest]) -> HashMap<String, usize> {
    let mut count_responses = HashMap::new();
    for one in requests.iter().filter(|request| request.status == Some(200)) {
        let single = one.path.trim_start_matches('/').to_owned();
        for id in if one.ids().is_empty() { vec![single] } else { one.ids() } {
            *count_responses.entry(id).or_insert(0) += 1;
        }
    }
    count_responses
}

#[tokio::test]
async fn images_are_in_capture_order_sequence_by_sequence() {
    let sandbox = Sandbox::start().await.unwrap();
    // The response for the first sequence arrives last.
    let first = sandbox.mock_data().sequences()[0].id().to_owned();
    sandbox.add_rule(
        Rule::on(Host::Graph).query("sequence_id", &first).fault(Fault::Delay(Duration::from_millis(200))),
    );
    let sequences = &sandbox.mock_data().sequences()[..20];
    let expected: Vec<String> = sequences
        .iter()
        .filter(|sequence| !sequence.is_gone())
        .flat_map(|sequence| sequence.images())
        .map(|image| image.id())
        .collect();
    let sequences: Vec<_> = sequences.iter().map(|sequence| Ok(sequence_record(sequence))).collect();
    let listed: Vec<Result<Image>> =
        ListImages::new(&client(&sandbox)).apply(stream::iter(sequences).boxed()).collect().await;
    let good: Vec<_> = listed.iter().flatten().map(|image| image.img_id.to_string()).collect();
    assert_eq!(good, expected);
}

#[tokio::test]
async fn a_deleted_sequence_is_one_gone_error_at_the_end() {
    let sandbox = Sandbox::start().await.unwrap();
    let data = sandbox.mock_data();
    let gone = data.sequences().iter().find(|sequence| sequence.is_gone()).unwrap();
    let existing =
        data.sequences().iter().find(|sequence| !sequence.is_gone() && sequence.image_count() > 1).unwrap();
    let sequences = vec![
        Ok(sequence_record(existing)),
        Ok(sequence_record(gone)),
        Err(failure("x")),
        Ok(sequence_record(existing)),
    ];
    let listed: Vec<Result<Image>> =
        ListImages::new(&client(&sandbox)).apply(stream::iter(sequences).boxed()).collect().await;
    let count = existing.image_count() as usize;
    assert_eq!(listed.len(), 2 * count + 2);
    assert_eq!(listed[count].as_ref().unwrap_err().subject(), Some("x"), "errors pass in place");
    let error = listed[2 * count + 1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Gone, Some(gone.id())));
}

#[tokio::test]
async fn rows_are_in_input_order_and_nothing_is_requested_twice() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = present(&sandbox, 1234);
    let records = fetch(&client(&sandbox), images.iter().cloned().map(Ok)).await;
    assert_eq!(ids(&records), images.iter().map(|image| image.img_id.as_str()).collect::<Vec<_>>());
    let requests = sandbox.requests_to(Host::Graph);
    assert_eq!(requests.len(), 1234_usize.div_ceil(50));
    assert!(count_responses(&requests).values().all(|times| *times == 1));
}

#[tokio::test]
async fn every_field_equals_that_of_the_graph_api() {
    let sandbox = Sandbox::start().await.unwrap();
    let fields: Fields = Fields::known().join(",").parse().unwrap();
    let images = present(&sandbox, 30);
    let records: Vec<Metadata> = FetchMetadata::new(&client(&sandbox))
        .fields(&fields)
        .apply(stream::iter(images.iter().cloned().map(Ok).collect::<Vec<_>>()).boxed())
        .try_collect()
        .await
        .unwrap();
    for record in &records {
        let author = record.creator_username.as_deref().unwrap();
        assert_eq!(record.attribution, Some(format!("© {author} / Mapillary, CC BY-SA 4.0")));
        let page = format!("https://www.mapillary.com/app/?pKey={}", record.img_id);
        assert_eq!(record.page_url, Some(page));
        let json = sandbox.image_json(record.img_id.as_str(), &fields.to_string()).unwrap();
        let stderr: serde_json::Value = serde_json::from_str(&json).unwrap();
        let made = ["attribution", "page_url"];
        let columns = Metadata::COLUMNS.iter().filter(|column| !made.contains(&column.name));
        for column in columns.filter(|column| column.field.is_some()) {
            let field = column.field.unwrap();
            let value = match column.name {
                "lon" | "computed_lon" => stderr[field]["coordinates"][0].clone(),
                "lat" | "computed_lat" => stderr[field]["coordinates"][1].clone(),
                name if name == field => stderr[field].clone(),
                name => stderr[field][name.strip_prefix(field).unwrap().trim_start_matches('_')].clone(),
            };
            let expected = match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text,
                serde_json::Value::Object(list) => {
                    let ids: Vec<_> =
                        list["data"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
                    serde_json::to_string(&ids).unwrap()
                }
                other => other.to_string(),
            };
            let actual = (column.get)(record).to_string();
            let numbers = |text: &str| serde_json::from_str::<Vec<f64>>(text).ok();
            let same = numbers(&actual).is_some() && numbers(&actual) == numbers(&expected)
                || match (actual.parse::<f64>(), expected.parse::<f64>()) {
                    (Ok(actual), Ok(expected)) => actual.to_bits() == expected.to_bits(),
                    _ => actual == expected,
                };
            assert!(same, "{}: {actual} is not {expected}", column.name);
        }
    }
    assert!(records.iter().any(|record| record.img_id.as_str().parse::<u64>().unwrap() > 1 << 53));
}

#[tokio::test]
async fn only_an_image_missing_from_a_batch_is_requested_alone() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = present(&sandbox, 120);
    let missing = vec![images[3].img_id.to_string(), images[77].img_id.to_string()];
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::MissingIds(missing.clone())));
    let records = fetch(&client(&sandbox), images.iter().cloned().map(Ok)).await;
    assert_eq!(ids(&records), images.iter().map(|image| image.img_id.as_str()).collect::<Vec<_>>());
    let singles: HashSet<_> = sandbox
        .requests_to(Host::Graph)
        .into_iter()
        .filter(|request| request.ids().is_empty())
        .map(|request| request.path)
        .collect();
    assert_eq!(singles, missing.iter().map(|id| format!("/{id}")).collect());
    assert_eq!(sandbox.requests_to(Host::Graph).len(), 3 + 2);
}

#[tokio::test]
async fn gone_images_are_errors_in_their_place_whether_omitted_or_failing_the_batch() {
    for spoils in [false, true] {
        let sandbox = Sandbox::builder().gone_fails_batch(spoils).start().await.unwrap();
        let data = sandbox.mock_data();
        let sequences = data.sequences().iter().filter(|sequence| !sequence.is_gone());
        let images: Vec<_> = sequences.flat_map(|sequence| sequence.images()).collect();
        let at: Vec<_> =
            images.iter().enumerate().filter(|(_, image)| image.is_gone()).map(|(at, _)| at).collect();
        assert_eq!(at.len(), 3);
        let records =
            fetch(&client(&sandbox), images.iter().map(|image| Ok(image_record(&image.id())))).await;
        for (place, (record, image)) in records.iter().zip(&images).enumerate() {
            match record {
                Ok(record) => assert_eq!(record.img_id.as_str(), image.id()),
                Err(error) => {
                    assert!(at.contains(&place), "{error:?}");
                    assert_eq!(error.kind(), ErrorKind::Gone);
                    assert!(error.subject().unwrap().starts_with(&image.id()));
                }
            }
        }
        assert_eq!(records.iter().filter(|record| record.is_err()).count(), 3);
        let repeated: Vec<_> = count_responses(&sandbox.requests_to(Host::Graph))
            .into_iter()
            .filter(|(_, times)| *times > 1)
            .collect();
        assert!(repeated.is_empty() || !spoils, "requested twice: {repeated:?}");
    }
}

#[tokio::test]
async fn an_image_that_fails_its_batch_costs_few_requests_and_no_other_image() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = present(&sandbox, 150);
    let poison = images[60].img_id.to_string();
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::BatchFails(poison)));
    let client = builder(&sandbox).max_attempts(2).build().unwrap();
    let records = fetch(&client, images.iter().cloned().map(Ok)).await;
    assert_eq!(ids(&records).len(), 150);
    let requests = sandbox.requests_to(Host::Graph);
    assert!(requests.len() < 40, "{} requests", requests.len());
    assert!(count_responses(&requests).values().all(|times| *times == 1));
}

#[tokio::test]
async fn an_outage_does_not_cause_a_retry_storm() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::graph_error(
        500,
        2,
        None,
        "Service temporarily unavailable",
    )));
    let client = builder(&sandbox).max_attempts(2).build().unwrap();
    let records = fetch(&client, present(&sandbox, 50).into_iter().map(Ok)).await;
    assert_eq!(records.len(), 50);
    assert!(
        records
            .iter()
            .all(|record| record.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable))
    );
    assert!(sandbox.requests().len() <= 2 * 40, "{} requests", sandbox.requests().len());
}

#[tokio::test]
async fn errors_pass_in_order_and_take_no_place_in_a_batch() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut input: Vec<Result<Image>> = present(&sandbox, 50).into_iter().map(Ok).collect();
    input.insert(10, Err(failure("ten")));
    input.push(Err(failure("last")));
    let records = fetch(&client(&sandbox), input).await;
    let failures: Vec<_> =
        records.iter().enumerate().filter_map(|(at, r)| Some((at, r.as_ref().err()?.subject()?))).collect();
    assert_eq!(failures, [(10, "ten"), (51, "last")]);
    assert_eq!(sandbox.requests().len(), 1);
}

#[tokio::test]
async fn an_image_listed_twice_in_a_batch_is_requested_once() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut images = present(&sandbox, 20);
    images.push(images[3].clone());
    let records = fetch(&client(&sandbox), images.into_iter().map(Ok)).await;
    assert_eq!((ids(&records)[20], sandbox.requests().len()), (ids(&records)[3], 1));
}

#[tokio::test]
async fn large_fields_are_requested_one_image_at_a_time() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = present(&sandbox, 10);
    let stage = FetchMetadata::new(&client(&sandbox)).fields(&"sfm_cluster,width".parse().unwrap());
    let records: Vec<Metadata> = stage
        .apply(stream::iter(images.into_iter().map(Ok).collect::<Vec<_>>()).boxed())
        .try_collect()
        .await
        .unwrap();
    assert!(records.iter().all(|record| record.width.is_some()));
    assert!(sandbox.requests().iter().all(|request| request.ids().is_empty()));
}

#[tokio::test]
async fn a_rejected_token_is_fatal_immediately() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = builder(&sandbox).token(streetflow::Token::new("MLY|1|wrong").unwrap()).build().unwrap();
    let records = fetch(&client, present(&sandbox, 50).into_iter().map(Ok)).await;
    let error = records.into_iter().next_back().unwrap().unwrap_err();
    assert_eq!((error.kind(), sandbox.requests().len()), (ErrorKind::Auth, 1));
    assert!(Error::hint(&error).unwrap().contains("MAPILLARY_TOKEN"));
}

#[tokio::test]
async fn a_fatal_error_is_the_last_item_of_a_stage() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = builder(&sandbox).token(streetflow::Token::new("MLY|1|wrong").unwrap()).build().unwrap();
    let records = fetch(&client, present(&sandbox, 500).into_iter().map(Ok)).await;
    assert_eq!((records.len(), records[0].as_ref().unwrap_err().kind()), (1, ErrorKind::Auth));
}

#[tokio::test]
async fn an_empty_response_is_no_record() {
    let sandbox = Sandbox::start().await.unwrap();
    let image = present(&sandbox, 1).remove(0);
    sandbox.add_rule(Rule::on(Host::Graph).times(1).fault(Fault::status(200, "{}")));
    let client = builder(&sandbox).max_attempts(1).build().unwrap();
    let error = client.image(&image, &Fields::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(client.images(&[], &Fields::default()).await.unwrap().is_empty());
    assert_eq!(
        client.images(&vec![image; 51], &Fields::default()).await.unwrap_err().kind(),
        ErrorKind::Usage
    );
}
