//! Listing of a user's images: empty pages, pages that are too large, images without a creator.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use streetflow::{Client, ErrorKind, Result, Sequence, Source, UserSource};
use streetflow_sandbox::{Fault, Host, MockData, RecordedRequest, Rule, Sandbox};

use crate::support::builder;

async fn large_sandbox() -> Sandbox {
    Sandbox::builder().mock_data(MockData::with_image_count(20_000, 5)).start().await.unwrap()
}

fn fast_client(sandbox: &Sandbox) -> Client {
    builder(sandbox).initial_backoff(Duration::from_millis(1)).max_attempts(2).build().unwrap()
}

fn is_search(request: &RecordedRequest) -> bool {
    request.host == Host::Graph && request.path.ends_with("/images")
}

fn expected(sandbox: &Sandbox) -> BTreeSet<String> {
    let theirs =
        sandbox.mock_data().sequences().iter().filter(|sequence| sequence.creator() == MockData::USER_ID);
    theirs.map(|sequence| sequence.id().to_owned()).collect()
}

async fn listed(sandbox: &Sandbox) -> Vec<Result<Sequence>> {
    UserSource::named(&fast_client(sandbox), MockData::USER).stream().collect().await
}

async fn check_complete(sandbox: &Sandbox, what: &str) {
    let found: Vec<_> =
        listed(sandbox).await.into_iter().map(|item| item.unwrap().seq_id.to_string()).collect();
    assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), expected(sandbox), "{what}");
    assert_eq!(found.len(), expected(sandbox).len(), "{what}: each once");
}

#[tokio::test]
async fn an_empty_page_in_an_outage_does_not_end_the_listing() {
    let sandbox = large_sandbox().await;
    for (skip, times) in [(0, 1), (0, 4), (1, 1), (2, 5), (3, 2)] {
        sandbox.clear_rules();
        sandbox.add_rule(Rule::when(is_search).skip(skip).times(times).fault(Fault::EmptyData));
        check_complete(&sandbox, &format!("{times} after {skip}")).await;
    }
}

#[tokio::test]
async fn empty_pages_with_a_next_page_are_followed_a_limited_number_of_times() {
    let sandbox = large_sandbox().await;
    let first = format!(
        r#"{{"data":[],"paging":{{"next":"{}/v1.0/images?creator_username={}&fields=id,sequence,creator&limit=1000"}}}}"#,
        sandbox.graph_url(),
        MockData::USER
    );
    // The URL of the next page has another path, so only the first page is empty.
    sandbox.add_rule(Rule::on(Host::Graph).path("/images").fault(Fault::status(200, &first)));
    check_complete(&sandbox, "an empty first page").await;

    sandbox.clear_rules();
    let more = std::sync::atomic::AtomicU64::new(0);
    sandbox.add_rule(
        Rule::when(move |request| {
            is_search(request) && more.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 1000
        })
        .fault(Fault::Reset),
    );
    let circle =
        format!(r#"{{"data":[],"paging":{{"next":"{}/v1.0/images?after=1"}}}}"#, sandbox.graph_url());
    sandbox.add_rule(Rule::when(is_search).fault(Fault::status(200, &circle)));
    let found = listed(&sandbox).await;
    let error = found[0].as_ref().unwrap_err();
    assert!(found.len() == 1 && error.chain().contains("never end"), "{found:?}");
}

#[tokio::test]
async fn a_user_without_images_is_confirmed_by_several_responses() {
    let sandbox = large_sandbox().await;
    let client = fast_client(&sandbox);
    let found: Result<Vec<Sequence>> = UserSource::named(&client, "nobody").stream().try_collect().await;
    assert_eq!(found.unwrap_err().kind(), ErrorKind::Usage);
    assert!(sandbox.requests().len() > 4, "{}", sandbox.requests().len());
    sandbox.add_rule(Rule::when(is_search).times(4).fault(Fault::EmptyData));
    assert_eq!(client.user_id(MockData::USER).await.unwrap().as_str(), MockData::USER_ID);
}

#[tokio::test]
async fn pages_get_smaller_if_the_api_requests_less_data() {
    let sandbox = large_sandbox().await;
    for max in [250, 50] {
        sandbox.clear_rules();
        sandbox.clear_requests();
        let limit =
            |request: &RecordedRequest| request.param("limit").and_then(|limit| limit.parse::<u32>().ok());
        sandbox.add_rule(
            Rule::when(move |request| is_search(request) && limit(request).is_none_or(|limit| limit > max))
                .fault(Fault::TooLarge),
        );
        check_complete(&sandbox, &format!("at most {max}")).await;
    }
}

#[tokio::test]
async fn if_small_pages_are_too_large_time_ranges_are_requested() {
    let sandbox = large_sandbox().await;
    let year = |request: &RecordedRequest, name: &str| {
        request.param(name).and_then(|at| at[..4].parse::<i32>().ok())
    };
    let is_long = move |request: &RecordedRequest| {
        let (from, to) = (year(request, "start_captured_at"), year(request, "end_captured_at"));
        // Any range that can contain images of two years, but none outside of all images.
        match (from, to) {
            (Some(from), Some(to)) => to - from > 1 && from < 2100,
            (Some(from), None) => from < 2020,
            _ => to.is_none_or(|to| to > 2004),
        }
    };
    sandbox
        .add_rule(Rule::when(move |request| is_search(request) && is_long(request)).fault(Fault::TooLarge));
    check_complete(&sandbox, "two years at most").await;
    // A search that is always too large is one failure and ends.
    sandbox.clear_rules();
    let client = fast_client(&sandbox);
    let day =
        streetflow::stages::Dates::parse(Some("2021-06-01T00:00:00Z"), Some("2021-06-01T00:02:00Z")).unwrap();
    sandbox.add_rule(Rule::when(is_search).fault(Fault::TooLarge));
    let found: Vec<_> = UserSource::named(&client, MockData::USER).captured(day).stream().collect().await;
    assert!((1..=4).contains(&found.len()), "{found:?}");
    assert!(found.iter().all(|item| item.as_ref().is_err_and(|error| error.kind() == ErrorKind::TooLarge)));
}

#[tokio::test]
async fn the_id_of_a_user_comes_from_the_first_image_that_names_it() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = fast_client(&sandbox);
    let body = r#"{"data":[{"id":"1","sequence":"abc"},{"id":"2","sequence":"abc","creator":null},
        {"id":"3","creator":{"username":"me"}},{"id":"4","sequence":"abc","creator":{"id":"77"}}]}"#;
    sandbox.add_rule(Rule::when(is_search).fault(Fault::status(200, body)));
    assert_eq!(client.user_id("me").await.unwrap().as_str(), "77");
    assert!(sandbox.requests()[0].param("limit").unwrap().parse::<u32>().unwrap() > 3);
    sandbox.clear_rules();
    let body = r#"{"data":[{"id":"1","sequence":"abc"}]}"#;
    sandbox.add_rule(Rule::when(is_search).fault(Fault::status(200, body)));
    let error = client.user_id("me").await.unwrap_err();
    assert!(error.chain().contains("has a creator"), "{}", error.chain());
    sandbox.clear_rules();
    sandbox.add_rule(
        Rule::when(|request| request.param("limit").as_deref() == Some("20")).fault(Fault::TooLarge),
    );
    assert_eq!(client.user_id(MockData::USER).await.unwrap().as_str(), MockData::USER_ID);
}
