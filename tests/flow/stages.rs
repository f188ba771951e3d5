//! Listing and fetching: order, gaps, what is gone, how often is asked.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use streetflow::{
    Client, Error, ErrorKind, FetchMetadata, Fields, Image, ImageId, ListImages, Metadata, Record, Result,
    SequenceId, Stage,
};
use streetflow_sandbox::{Fault, Host, RecordedRequest, Rule, Sandbox};

use crate::support::{builder, client, failure, image, sequence};

/// The images of the first sequences of the world, gone ones left out.
fn present(sandbox: &Sandbox, count: usize) -> Vec<Image> {
    let world = sandbox.world();
    let drives = world.sequences().iter().filter(|drive| !drive.is_gone());
    let images = drives.flat_map(|drive| {
        let ids = world.images_of(drive).filter(|shot| !shot.is_gone()).map(|shot| shot.id());
        ids.map(|id| Image {
            seq_id: SequenceId::new(drive.id()).unwrap(),
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

/// How often each image was answered, singly or in a batch.
fn answers(asked: &[RecordedRequest]) -> HashMap<String, usize> {
    let mut answers = HashMap::new();
    for one in asked.iter().filter(|asked| asked.status == Some(200)) {
        let single = one.path.trim_start_matches('/').to_owned();
        for id in if one.ids().is_empty() { vec![single] } else { one.ids() } {
            *answers.entry(id).or_insert(0) += 1;
        }
    }
    answers
}

#[tokio::test]
async fn images_come_in_capture_order_sequence_by_sequence() {
    let sandbox = Sandbox::start().await.unwrap();
    // The first sequence's answer comes last.
    let first = sandbox.world().sequences()[0].id().to_owned();
    sandbox.script(
        Rule::on(Host::Graph).query("sequence_id", &first).fault(Fault::Delay(Duration::from_millis(200))),
    );
    let drives = &sandbox.world().sequences()[..20];
    let expected: Vec<String> = drives
        .iter()
        .filter(|drive| !drive.is_gone())
        .flat_map(|drive| sandbox.world().images_of(drive))
        .map(|shot| shot.id())
        .collect();
    let sequences: Vec<_> = drives.iter().map(|drive| Ok(sequence(drive))).collect();
    let listed: Vec<Result<Image>> =
        ListImages::new(&client(&sandbox)).apply(stream::iter(sequences).boxed()).collect().await;
    let good: Vec<_> = listed.iter().flatten().map(|image| image.img_id.to_string()).collect();
    assert_eq!(good, expected);
}

#[tokio::test]
async fn a_sequence_that_exists_no_longer_is_one_gone_error_at_the_end() {
    let sandbox = Sandbox::start().await.unwrap();
    let world = sandbox.world();
    let gone = world.sequences().iter().find(|drive| drive.is_gone()).unwrap();
    let there = world.sequences().iter().find(|drive| !drive.is_gone() && drive.image_count() > 1).unwrap();
    let sequences = vec![Ok(sequence(there)), Ok(sequence(gone)), Err(failure("x")), Ok(sequence(there))];
    let listed: Vec<Result<Image>> =
        ListImages::new(&client(&sandbox)).apply(stream::iter(sequences).boxed()).collect().await;
    let count = there.image_count() as usize;
    assert_eq!(listed.len(), 2 * count + 2);
    assert_eq!(listed[count].as_ref().unwrap_err().subject(), Some("x"), "errors pass in place");
    let error = listed[2 * count + 1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Gone, Some(gone.id())));
}

#[tokio::test]
async fn rows_stand_in_input_order_and_nothing_is_asked_twice() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = present(&sandbox, 1234);
    let records = fetch(&client(&sandbox), images.iter().cloned().map(Ok)).await;
    assert_eq!(ids(&records), images.iter().map(|image| image.img_id.as_str()).collect::<Vec<_>>());
    let asked = sandbox.requests_to(Host::Graph);
    assert_eq!(asked.len(), 1234_usize.div_ceil(50));
    assert!(answers(&asked).values().all(|times| *times == 1));
}

#[tokio::test]
async fn every_field_arrives_as_the_graph_says_it() {
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
        let json = sandbox.json(record.img_id.as_str(), &fields.to_string()).unwrap();
        let said: serde_json::Value = serde_json::from_str(&json).unwrap();
        let made = ["attribution", "page_url"];
        let columns = Metadata::COLUMNS.iter().filter(|column| !made.contains(&column.name));
        for column in columns.filter(|column| column.field.is_some()) {
            let field = column.field.unwrap();
            let value = match column.name {
                "lon" | "computed_lon" => said[field]["coordinates"][0].clone(),
                "lat" | "computed_lat" => said[field]["coordinates"][1].clone(),
                name if name == field => said[field].clone(),
                name => said[field][name.strip_prefix(field).unwrap().trim_start_matches('_')].clone(),
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
            let got = (column.get)(record).to_string();
            let numbers = |text: &str| serde_json::from_str::<Vec<f64>>(text).ok();
            let same = numbers(&got).is_some() && numbers(&got) == numbers(&expected)
                || match (got.parse::<f64>(), expected.parse::<f64>()) {
                    (Ok(got), Ok(expected)) => got.to_bits() == expected.to_bits(),
                    _ => got == expected,
                };
            assert!(same, "{}: {got} is not {expected}", column.name);
        }
    }
    assert!(records.iter().any(|record| record.img_id.as_str().parse::<u64>().unwrap() > 1 << 53));
}

#[tokio::test]
async fn an_image_that_an_answer_lacks_is_asked_for_alone_and_only_that_one() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = present(&sandbox, 120);
    let missing = vec![images[3].img_id.to_string(), images[77].img_id.to_string()];
    sandbox.script(Rule::on(Host::Graph).fault(Fault::MissingIds(missing.clone())));
    let records = fetch(&client(&sandbox), images.iter().cloned().map(Ok)).await;
    assert_eq!(ids(&records), images.iter().map(|image| image.img_id.as_str()).collect::<Vec<_>>());
    let singles: HashSet<_> = sandbox
        .requests_to(Host::Graph)
        .into_iter()
        .filter(|asked| asked.ids().is_empty())
        .map(|asked| asked.path)
        .collect();
    assert_eq!(singles, missing.iter().map(|id| format!("/{id}")).collect());
    assert_eq!(sandbox.requests_to(Host::Graph).len(), 3 + 2);
}

#[tokio::test]
async fn gone_images_are_told_in_place_whether_left_out_or_spoiling_the_batch() {
    for spoils in [false, true] {
        let sandbox = Sandbox::builder().gone_fails_batch(spoils).start().await.unwrap();
        let world = sandbox.world();
        let drives = world.sequences().iter().filter(|drive| !drive.is_gone());
        let shots: Vec<_> = drives.flat_map(|drive| world.images_of(drive)).collect();
        let at: Vec<_> =
            shots.iter().enumerate().filter(|(_, shot)| shot.is_gone()).map(|(at, _)| at).collect();
        assert_eq!(at.len(), 3);
        let records = fetch(&client(&sandbox), shots.iter().map(|shot| Ok(image(&shot.id())))).await;
        for (place, (record, shot)) in records.iter().zip(&shots).enumerate() {
            match record {
                Ok(record) => assert_eq!(record.img_id.as_str(), shot.id()),
                Err(error) => {
                    assert!(at.contains(&place), "{error:?}");
                    assert_eq!(error.kind(), ErrorKind::Gone);
                    assert!(error.subject().unwrap().starts_with(&shot.id()));
                }
            }
        }
        assert_eq!(records.iter().filter(|record| record.is_err()).count(), 3);
        let repeated: Vec<_> =
            answers(&sandbox.requests_to(Host::Graph)).into_iter().filter(|(_, times)| *times > 1).collect();
        assert!(repeated.is_empty() || !spoils, "asked again: {repeated:?}");
    }
}

#[tokio::test]
async fn an_image_that_makes_batches_fail_costs_a_short_search_and_nobody_else() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = present(&sandbox, 150);
    let poison = images[60].img_id.to_string();
    sandbox.script(Rule::on(Host::Graph).fault(Fault::BatchFails(poison)));
    let client = builder(&sandbox).max_attempts(2).build().unwrap();
    let records = fetch(&client, images.iter().cloned().map(Ok)).await;
    assert_eq!(ids(&records).len(), 150);
    let asked = sandbox.requests_to(Host::Graph);
    assert!(asked.len() < 40, "{} requests", asked.len());
    assert!(answers(&asked).values().all(|times| *times == 1));
}

#[tokio::test]
async fn an_outage_does_not_become_a_storm() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.script(Rule::on(Host::Graph).fault(Fault::graph_error(
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
async fn errors_pass_unchanged_and_in_place_and_cost_no_room_in_a_batch() {
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
async fn an_image_named_twice_in_a_batch_is_asked_for_once() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut images = present(&sandbox, 20);
    images.push(images[3].clone());
    let records = fetch(&client(&sandbox), images.into_iter().map(Ok)).await;
    assert_eq!((ids(&records)[20], sandbox.requests().len()), (ids(&records)[3], 1));
}

#[tokio::test]
async fn heavy_fields_are_asked_for_singly() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = present(&sandbox, 10);
    let stage = FetchMetadata::new(&client(&sandbox)).fields(&"sfm_cluster,width".parse().unwrap());
    let records: Vec<Metadata> = stage
        .apply(stream::iter(images.into_iter().map(Ok).collect::<Vec<_>>()).boxed())
        .try_collect()
        .await
        .unwrap();
    assert!(records.iter().all(|record| record.width.is_some()));
    assert!(sandbox.requests().iter().all(|asked| asked.ids().is_empty()));
}

#[tokio::test]
async fn a_refused_token_is_fatal_at_once() {
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
async fn an_answer_about_nothing_is_no_record() {
    let sandbox = Sandbox::start().await.unwrap();
    let image = present(&sandbox, 1).remove(0);
    sandbox.script(Rule::on(Host::Graph).times(1).fault(Fault::status(200, "{}")));
    let client = builder(&sandbox).max_attempts(1).build().unwrap();
    let error = client.image(&image, &Fields::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(client.images(&[], &Fields::default()).await.unwrap().is_empty());
    assert_eq!(
        client.images(&vec![image; 51], &Fields::default()).await.unwrap_err().kind(),
        ErrorKind::Usage
    );
}
