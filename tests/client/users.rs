//! The listing of a user: empty pages, pages that are too much, images without a creator.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use streetflow::{Client, ErrorKind, Result, Sequence, Source, UserSource};
use streetflow_sandbox::{Fault, Host, RecordedRequest, Rule, Sandbox, World};

use crate::support::builder;

async fn big() -> Sandbox {
    Sandbox::builder().world(World::of_size(20_000, 5)).start().await.unwrap()
}

fn quick(sandbox: &Sandbox) -> Client {
    builder(sandbox).initial_backoff(Duration::from_millis(1)).max_attempts(2).build().unwrap()
}

fn is_search(asked: &RecordedRequest) -> bool {
    asked.host == Host::Graph && asked.path.ends_with("/images")
}

fn truth(sandbox: &Sandbox) -> BTreeSet<String> {
    let theirs = sandbox.world().sequences().iter().filter(|drive| drive.creator() == World::USER_ID);
    theirs.map(|drive| drive.id().to_owned()).collect()
}

async fn listed(sandbox: &Sandbox) -> Vec<Result<Sequence>> {
    UserSource::named(&quick(sandbox), World::USER).stream().collect().await
}

async fn complete(sandbox: &Sandbox, what: &str) {
    let found: Vec<_> =
        listed(sandbox).await.into_iter().map(|item| item.unwrap().seq_id.to_string()).collect();
    assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), truth(sandbox), "{what}");
    assert_eq!(found.len(), truth(sandbox).len(), "{what}: each once");
}

#[tokio::test]
async fn an_empty_page_in_an_outage_does_not_end_the_listing() {
    let sandbox = big().await;
    for (skip, times) in [(0, 1), (0, 4), (1, 1), (2, 5), (3, 2)] {
        sandbox.clear_script();
        sandbox.script(Rule::when(is_search).skip(skip).times(times).fault(Fault::EmptyData));
        complete(&sandbox, &format!("{times} after {skip}")).await;
    }
}

#[tokio::test]
async fn an_empty_page_with_a_next_one_is_followed_and_not_for_ever() {
    let sandbox = big().await;
    let first = format!(
        r#"{{"data":[],"paging":{{"next":"{}/v1.0/images?creator_username={}&fields=id,sequence,creator&limit=1000"}}}}"#,
        sandbox.graph_url(),
        World::USER
    );
    // The address of the next page has another path, so that only the first one is empty.
    sandbox.script(Rule::on(Host::Graph).path("/images").fault(Fault::status(200, &first)));
    complete(&sandbox, "an empty first page").await;

    sandbox.clear_script();
    let more = std::sync::atomic::AtomicU64::new(0);
    sandbox.script(
        Rule::when(move |asked| {
            is_search(asked) && more.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 1000
        })
        .fault(Fault::Reset),
    );
    let circle =
        format!(r#"{{"data":[],"paging":{{"next":"{}/v1.0/images?after=1"}}}}"#, sandbox.graph_url());
    sandbox.script(Rule::when(is_search).fault(Fault::status(200, &circle)));
    let found = listed(&sandbox).await;
    let error = found[0].as_ref().unwrap_err();
    assert!(found.len() == 1 && error.chain().contains("never end"), "{found:?}");
}

#[tokio::test]
async fn a_user_without_images_is_believed_after_several_answers() {
    let sandbox = big().await;
    let client = quick(&sandbox);
    let found: Result<Vec<Sequence>> = UserSource::named(&client, "nobody").stream().try_collect().await;
    assert_eq!(found.unwrap_err().kind(), ErrorKind::Usage);
    assert!(sandbox.requests().len() > 4, "{}", sandbox.requests().len());
    sandbox.script(Rule::when(is_search).times(4).fault(Fault::EmptyData));
    assert_eq!(client.user_id(World::USER).await.unwrap().as_str(), World::USER_ID);
}

#[tokio::test]
async fn pages_get_smaller_where_the_api_asks_for_less() {
    let sandbox = big().await;
    for most in [250, 50] {
        sandbox.clear_script();
        sandbox.clear_requests();
        let limit =
            |asked: &RecordedRequest| asked.param("limit").and_then(|limit| limit.parse::<u32>().ok());
        sandbox.script(
            Rule::when(move |asked| is_search(asked) && limit(asked).is_none_or(|limit| limit > most))
                .fault(Fault::TooBig),
        );
        complete(&sandbox, &format!("at most {most}")).await;
    }
}

#[tokio::test]
async fn where_small_pages_are_too_much_stretches_of_time_are_asked_for() {
    let sandbox = big().await;
    let year =
        |asked: &RecordedRequest, name: &str| asked.param(name).and_then(|at| at[..4].parse::<i32>().ok());
    let is_long = move |asked: &RecordedRequest| {
        let (from, to) = (year(asked, "start_captured_at"), year(asked, "end_captured_at"));
        // Any range that may hold images of two years, but not what lies outside of all.
        match (from, to) {
            (Some(from), Some(to)) => to - from > 1 && from < 2100,
            (Some(from), None) => from < 2020,
            _ => to.is_none_or(|to| to > 2004),
        }
    };
    sandbox.script(Rule::when(move |asked| is_search(asked) && is_long(asked)).fault(Fault::TooBig));
    complete(&sandbox, "two years at most").await;
    // A search that is always too much is one named failure, and comes to an end.
    sandbox.clear_script();
    let client = quick(&sandbox);
    let day =
        streetflow::stages::Dates::parse(Some("2021-06-01T00:00:00Z"), Some("2021-06-01T00:02:00Z")).unwrap();
    sandbox.script(Rule::when(is_search).fault(Fault::TooBig));
    let found: Vec<_> = UserSource::named(&client, World::USER).captured(day).stream().collect().await;
    assert!((1..=4).contains(&found.len()), "{found:?}");
    assert!(found.iter().all(|item| item.as_ref().is_err_and(|error| error.kind() == ErrorKind::TooLarge)));
}

#[tokio::test]
async fn the_id_of_a_user_comes_from_the_first_image_that_names_it() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = quick(&sandbox);
    let body = r#"{"data":[{"id":"1","sequence":"abc"},{"id":"2","sequence":"abc","creator":null},
        {"id":"3","creator":{"username":"me"}},{"id":"4","sequence":"abc","creator":{"id":"77"}}]}"#;
    sandbox.script(Rule::when(is_search).fault(Fault::status(200, body)));
    assert_eq!(client.user_id("me").await.unwrap().as_str(), "77");
    assert!(sandbox.requests()[0].param("limit").unwrap().parse::<u32>().unwrap() > 3);
    sandbox.clear_script();
    let body = r#"{"data":[{"id":"1","sequence":"abc"}]}"#;
    sandbox.script(Rule::when(is_search).fault(Fault::status(200, body)));
    let error = client.user_id("me").await.unwrap_err();
    assert!(error.chain().contains("names its creator"), "{}", error.chain());
    sandbox.clear_script();
    sandbox.script(Rule::when(|asked| asked.param("limit").as_deref() == Some("20")).fault(Fault::TooBig));
    assert_eq!(client.user_id(World::USER).await.unwrap().as_str(), World::USER_ID);
}
