//! Tests of the mock server through a plain socket.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Fault, Host, MockData, MockSequence, Rule, Sandbox};

mod derived;

/// A received response: status line and headers in lower case, and the received part of the body.
struct Received {
    head: String,
    body: Vec<u8>,
}

impl Received {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("valid JSON")
    }
}

/// Sends a request on a new connection and reads until the connection is closed.
async fn get(url: &str, header: &str) -> io::Result<Received> {
    let (host, target) = url["http://".len()..].split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).await?;
    let request = format!("GET /{target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Received {
        head: String::from_utf8_lossy(&bytes[..end]).to_lowercase(),
        body: bytes.split_off(end + 4),
    })
}

/// Sends a request with a valid token to the Graph API.
async fn get_graph(sandbox: &Sandbox, target: &str) -> Received {
    let header = format!("authorization: OAuth {}\r\n", Sandbox::TOKEN);
    get(&format!("{}{target}", sandbox.graph_url()), &header).await.expect("a response")
}

async fn start() -> Sandbox {
    Sandbox::start().await.expect("ports are free")
}

fn tile_path(sandbox: &Sandbox, image: &str, token: &str) -> String {
    let at = sandbox.mock_data().image(image).expect("it exists").coordinates();
    let tile = streetflow::geo::TileId::containing(at, 14);
    format!("{}/maps/vtp/mly1_public/2/{tile}?access_token={token}", sandbox.tiles_url())
}

#[test]
fn cyprus_matches_its_documentation() {
    let data = MockData::cyprus();
    let (mut owners, mut users) = (BTreeMap::new(), BTreeMap::new());
    for sequence in data.sequences() {
        *owners.entry(sequence.organization().unwrap_or("none")).or_insert(0) += 1;
        *users.entry(sequence.username()).or_insert(0) += 1;
    }
    let count = |test: &dyn Fn(&MockSequence) -> bool| {
        data.sequences().iter().filter(|sequence| test(sequence)).count()
    };
    let images: Vec<_> = data.sequences().iter().flat_map(MockSequence::images).collect();
    let single_gone = images.iter().filter(|image| image.is_gone() && !image.sequence.is_gone()).count();
    let big = images.iter().filter(|image| image.number() > 1 << 53 && image.number() % 2 == 1).count();
    let pictureless = images.iter().filter(|image| !image.has_picture()).count();
    let panos = images.iter().filter(|image| image.sequence.is_pano()).count();
    assert_eq!((data.sequences().len(), images.len(), panos), (90, 2_609, 446));
    let organizations =
        [(MockData::ORGANIZATION, 26), ("315540227849163", 5), ("592317404886571", 4), ("none", 55)];
    assert_eq!(owners, BTreeMap::from(organizations));
    let names = [
        ("", 1),
        ("andreas_k", 19),
        ("eleni.maps", 15),
        (MockData::USER, 25),
        ("murat-cy", 14),
        ("walker1977", 16),
    ];
    assert_eq!(users, BTreeMap::from(names));
    assert_eq!((big, pictureless), (162, 7));
    assert_eq!(single_gone, 3);
    assert_eq!(count(&|sequence| sequence.is_gone()), 1);
    assert_eq!(count(&|sequence| sequence.image_count() == 1), 5);
    assert!(count(&|sequence| sequence.id().starts_with('-')) >= 2);
    assert!(data.sequences().iter().all(|sequence| sequence.id().len() == 22));
}

#[tokio::test]
async fn tiles_accept_the_token_only_in_the_query() {
    let sandbox = start().await;
    let image = sandbox.mock_data().sequences()[0].image(0).id();
    let token: String = url::form_urlencoded::byte_serialize(Sandbox::TOKEN.as_bytes()).collect();
    let good = tile_path(&sandbox, &image, &token);
    let tile = get(&good, "").await.expect("a response");
    assert_eq!(tile.status(), 200);
    assert!(tile.head.contains("application/x-protobuf"));
    assert!(tile.body.windows(5).any(|name| name == b"image"));
    assert_eq!(get(&good, "authorization: OAuth x\r\n").await.expect("a response").status(), 403);
    assert_eq!(get(&tile_path(&sandbox, &image, "x"), "").await.expect("a response").status(), 403);
    assert_eq!(get(&good[..good.find('?').expect("a query")], "").await.expect("a response").status(), 401);
    let requests = sandbox.requests_to(Host::Tiles);
    assert_eq!(
        requests.iter().map(|request| request.status).collect::<Vec<_>>(),
        [200, 403, 403, 401].map(Some)
    );
    assert_eq!(requests[0].param("access_token").as_deref(), Some(Sandbox::TOKEN));
    assert_eq!((sandbox.max_in_flight(Host::Tiles), sandbox.connections(Host::Tiles)), (1, 4));
}

#[tokio::test]
async fn a_sequence_leads_to_its_pictures() {
    let sandbox = start().await;
    let sequence = &sandbox.mock_data().sequences()[0];
    let listed = get_graph(&sandbox, &format!("/image_ids?sequence_id={}", sequence.id())).await.json();
    let ids: Vec<_> = sequence.images().map(|image| image.id()).collect();
    let listed: Vec<_> =
        listed["data"].as_array().expect("a list").iter().map(|row| row["id"].clone()).collect();
    assert_eq!(listed, ids, "in capture order, including the deleted one");

    let batch = get_graph(
        &sandbox,
        &format!("/?ids={},{},{}&fields=thumb_256_url,creator{{id}}", ids[0], ids[3], ids[1]),
    )
    .await;
    let keys = |text: &str| ids.iter().filter(|id| text.contains(&format!("\"{id}\":"))).count();
    assert_eq!((batch.status(), keys(batch.text())), (200, 2), "without the deleted one");
    assert!(batch.text().find(&ids[1]) < batch.text().find(&ids[0]), "in another order");
    assert!(batch.text().contains(r"http:\/\/127.0.0.1"));

    let alone = get_graph(&sandbox, &format!("/{}?fields=thumb_256_url,creator{{id}}", ids[0])).await;
    assert_eq!(alone.text(), sandbox.image_json(&ids[0], "thumb_256_url,creator{id}").expect("it exists"));
    let url = alone.json()["thumb_256_url"].as_str().expect("a URL").to_owned();
    let picture = get(&url, "").await.expect("a response");
    assert_eq!(picture.body, sandbox.mock_data().picture(&ids[0], Some(256)).expect("a picture"));
    assert!(picture.head.contains("image/jpeg") && picture.head.contains("content-length"));
    let bad = get(&url.replace("s256x", "s512x"), "").await.expect("a response");
    assert_eq!((bad.status(), bad.text()), (403, "URL signature mismatch"));
    sandbox.expire_urls_at(1);
    let url = get_graph(&sandbox, &format!("/{}?fields=thumb_256_url", ids[0])).await.json();
    let old = get(url["thumb_256_url"].as_str().expect("a URL"), "").await.expect("a response");
    assert_eq!((old.status(), old.text()), (403, "URL signature expired"));
}

#[tokio::test]
async fn errors_match_those_of_the_real_graph_api() {
    let sandbox = start().await;
    let gone = sandbox.mock_data().sequences()[0].image(3).id();
    for (target, header, status, code, subcode) in [
        ("/1?fields=id".to_owned(), String::new(), 500, 190, None),
        ("/1".to_owned(), "authorization: OAuth nonsense\r\n".to_owned(), 401, 190, None),
        ("/1".to_owned(), "authorization: OAuth MLY|1|2\r\n".to_owned(), 401, 190, None),
        ("/1?access_token=MLY%7C1%7C2".to_owned(), String::new(), 400, 190, None),
        (format!("/{gone}"), format!("authorization: Bearer {}\r\n", Sandbox::TOKEN), 400, 100, Some(33)),
        (
            format!("/{gone}?fields=license"),
            format!("authorization: OAuth {}\r\n", Sandbox::TOKEN),
            400,
            100,
            Some(33),
        ),
        (
            "/?ids=1&fields=license".to_owned(),
            format!("authorization: OAuth {}\r\n", Sandbox::TOKEN),
            400,
            100,
            None,
        ),
        (
            format!("/?ids={}", ["1"; 51].join(",")),
            format!("authorization: OAuth {}\r\n", Sandbox::TOKEN),
            400,
            100,
            None,
        ),
        (
            "/images?bbox=33,34,34,35".to_owned(),
            format!("authorization: OAuth {}\r\n", Sandbox::TOKEN),
            400,
            100,
            None,
        ),
    ] {
        let response = get(&format!("{}{target}", sandbox.graph_url()), &header).await.expect("a response");
        let error = &response.json()["error"];
        assert_eq!((response.status(), error["code"].as_i64()), (status, Some(code)), "{target} {header}");
        assert_eq!(error.get("error_subcode").and_then(serde_json::Value::as_i64), subcode, "{target}");
    }
    assert_eq!(get_graph(&sandbox, "/image_ids?sequence_id=none").await.text(), r#"{"data":[]}"#);
    let organization = get_graph(&sandbox, &format!("/{}?fields=name", MockData::ORGANIZATION)).await;
    assert_eq!(organization.json()["name"], "Open Streets Cyprus");
}

#[tokio::test]
async fn images_of_a_user_are_paged_newest_first() {
    let sandbox = start().await;
    let mut target =
        format!("/images?creator_username={}&fields=captured_at,license&limit=200", MockData::USER);
    let (mut seen, mut last) = (std::collections::HashSet::new(), i64::MAX);
    loop {
        let page = get_graph(&sandbox, &target).await.json();
        for row in page["data"].as_array().expect("rows") {
            let at = row["captured_at"].as_i64().expect("a time");
            assert!(at <= last && seen.insert(row["id"].to_string()));
            last = at;
        }
        let Some(next) = page["paging"]["next"].as_str() else { break };
        assert!(!next.contains("MLY"));
        target = next.strip_prefix(sandbox.graph_url()).expect("the same host").to_owned();
    }
    let mine = sandbox
        .mock_data()
        .sequences()
        .iter()
        .filter(|sequence| sequence.username() == MockData::USER && !sequence.is_gone());
    let existing = mine.flat_map(MockSequence::images).filter(|image| !image.is_gone()).count();
    assert_eq!(seen.len(), existing);
}

#[tokio::test]
async fn each_fault_changes_the_response_as_documented() {
    let sandbox = start().await;
    let sequence = &sandbox.mock_data().sequences()[0];
    let target = format!("{}/image_ids?sequence_id={}", sandbox.graph_url(), sequence.id());
    let header = format!("authorization: OAuth {}\r\n", Sandbox::TOKEN);
    let full = get(&target, &header).await.expect("a response").body;
    for (fault, status, length) in [
        (Fault::Truncate(10), 200, 10),
        (Fault::Truncate(0), 200, 0),
        (Fault::TruncateSilently(10), 200, 10),
        (Fault::Trickle(100_000), 200, full.len()),
        (Fault::Delay(Duration::from_millis(1)), 200, full.len()),
        (Fault::Empty, 200, 0),
        (Fault::EmptyData, 200, r#"{"data":[]}"#.len()),
        (Fault::status(429, "wait").header("retry-after", "1"), 429, 4),
    ] {
        sandbox.add_rule(Rule::on(Host::Graph).path("/image_ids").times(1).fault(fault.clone()));
        let response = get(&target, &header).await.expect("a response");
        assert_eq!((response.status(), response.body.len()), (status, length), "{fault:?}");
        let promised = if matches!(fault, Fault::Truncate(_)) { full.len() } else { length };
        assert!(response.head.contains(&format!("content-length: {promised}")), "{fault:?}");
    }
    sandbox.add_rule(Rule::on(Host::Graph).times(1).fault(Fault::Reset));
    assert!(get(&target, &header).await.is_err());
    sandbox.add_rule(Rule::on(Host::Graph).times(1).fault(Fault::Stall));
    let stalled = tokio::time::timeout(Duration::from_millis(50), get(&target, &header)).await;
    assert!(stalled.is_err());
    sandbox.add_rule(Rule::on(Host::Graph).times(1).fault(Fault::Redirect));
    let redirected =
        get(&format!("{}/?access_token=MLY%7C1", sandbox.graph_url()), "").await.expect("a response");
    assert!(redirected.status() == 302 && redirected.head.contains("access_token%3dmly%257c1"));
    assert_eq!(get(&target, &header).await.expect("a response").body, full);
}

#[tokio::test]
async fn dropping_the_sandbox_stops_it() {
    let sandbox = start().await;
    let url = format!("{}/", sandbox.graph_url());
    assert!(get(&url, "").await.is_ok());
    drop(sandbox);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(get(&url, "").await.is_err());
}

#[tokio::test]
async fn batches_can_omit_an_id_or_fail_for_it() {
    let sandbox = Sandbox::builder().gone_fails_batch(true).start().await.expect("ports are free");
    let ids: Vec<_> = sandbox.mock_data().sequences()[0].images().map(|image| image.id()).collect();
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::BatchFails(ids[1].clone())));
    sandbox.add_rule(Rule::on(Host::Graph).times(1).fault(Fault::MissingIds(vec![ids[0].clone()])));
    let batch = |indices: &[usize]| {
        let batch: Vec<_> = indices.iter().map(|index| ids[*index].as_str()).collect();
        format!("/?ids={}", batch.join(","))
    };
    for (target, status, rows) in [
        (batch(&[0]), 200, 1),
        (batch(&[1]), 200, 1),
        (batch(&[0, 1]), 500, 1),
        (batch(&[0, 2]), 200, 1),
        (batch(&[0, 2]), 200, 2),
        (batch(&[2, 3]), 400, 1),
    ] {
        let response = get_graph(&sandbox, &target).await;
        assert_eq!(
            (response.status(), response.json().as_object().map(serde_json::Map::len)),
            (status, Some(rows)),
            "{target}"
        );
    }
}
