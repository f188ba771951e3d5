//! The sandbox as a client sees it, over a bare socket.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Fault, Host, Rule, Sandbox, World};

/// Status line and headers, and the body as far as it came.
struct Got {
    head: String,
    body: Vec<u8>,
}

impl Got {
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

/// Sends one request over a connection of its own and reads until that ends.
async fn get(url: &str, header: &str) -> io::Result<Got> {
    let (host, target) = url["http://".len()..].split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).await?;
    let request = format!("GET /{target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Got { head: String::from_utf8_lossy(&bytes[..end]).to_lowercase(), body: bytes.split_off(end + 4) })
}

/// Asks the Graph with the right token.
async fn ask(sandbox: &Sandbox, target: &str) -> Got {
    let header = format!("authorization: OAuth {}\r\n", Sandbox::TOKEN);
    get(&format!("{}{target}", sandbox.graph_url()), &header).await.expect("an answer")
}

async fn started() -> Sandbox {
    Sandbox::start().await.expect("ports are free")
}

fn tile_path(sandbox: &Sandbox, image: &str, token: &str) -> String {
    let place = sandbox.world().image(image).expect("it exists").place();
    let tile = streetflow::geo::TileId::containing(place, 14);
    format!("{}/maps/vtp/mly1_public/2/{tile}?access_token={token}", sandbox.tiles_url())
}

#[test]
fn cyprus_holds_what_its_documentation_says() {
    let world = World::cyprus();
    let (mut owners, mut users) = (BTreeMap::new(), BTreeMap::new());
    for drive in world.sequences() {
        *owners.entry(drive.organization().unwrap_or("none")).or_insert(0) += 1;
        *users.entry(drive.username()).or_insert(0) += 1;
    }
    let count = |test: &dyn Fn(&super::MockSequence) -> bool| {
        world.sequences().iter().filter(|drive| test(drive)).count()
    };
    let images: Vec<_> = world.sequences().iter().flat_map(|drive| world.images_of(drive)).collect();
    let single_gone = images.iter().filter(|shot| shot.is_gone() && !shot.drive.is_gone()).count();
    let big = images.iter().filter(|shot| shot.number() > 1 << 53 && shot.number() % 2 == 1).count();
    let pictureless = images.iter().filter(|shot| !shot.has_picture()).count();
    let panos = images.iter().filter(|shot| shot.drive.is_pano()).count();
    assert_eq!((world.sequences().len(), images.len(), panos), (90, 2_609, 446));
    let organizations =
        [(World::ORGANIZATION, 26), ("315540227849163", 5), ("592317404886571", 4), ("none", 55)];
    assert_eq!(owners, BTreeMap::from(organizations));
    let names = [
        ("", 1),
        ("andreas_k", 19),
        ("eleni.maps", 15),
        (World::USER, 25),
        ("murat-cy", 14),
        ("walker1977", 16),
    ];
    assert_eq!(users, BTreeMap::from(names));
    assert_eq!((big, pictureless), (162, 7));
    assert_eq!(single_gone, 3);
    assert_eq!(count(&|drive| drive.is_gone()), 1);
    assert_eq!(count(&|drive| drive.image_count() == 1), 5);
    assert!(count(&|drive| drive.id().starts_with('-')) >= 2);
    assert!(world.sequences().iter().all(|drive| drive.id().len() == 22));
}

#[tokio::test]
async fn tiles_take_the_token_in_the_query_only() {
    let sandbox = started().await;
    let image = sandbox.world().sequences()[0].shot(0).id();
    let token: String = url::form_urlencoded::byte_serialize(Sandbox::TOKEN.as_bytes()).collect();
    let good = tile_path(&sandbox, &image, &token);
    let tile = get(&good, "").await.expect("an answer");
    assert_eq!(tile.status(), 200);
    assert!(tile.head.contains("application/x-protobuf"));
    assert!(tile.body.windows(5).any(|name| name == b"image"));
    assert_eq!(get(&good, "authorization: OAuth x\r\n").await.expect("an answer").status(), 403);
    assert_eq!(get(&tile_path(&sandbox, &image, "x"), "").await.expect("an answer").status(), 403);
    assert_eq!(get(&good[..good.find('?').expect("a query")], "").await.expect("an answer").status(), 401);
    let asked = sandbox.requests_to(Host::Tiles);
    assert_eq!(asked.iter().map(|asked| asked.status).collect::<Vec<_>>(), [200, 403, 403, 401].map(Some));
    assert_eq!(asked[0].param("access_token").as_deref(), Some(Sandbox::TOKEN));
    assert_eq!((sandbox.max_in_flight(Host::Tiles), sandbox.connections(Host::Tiles)), (1, 4));
}

#[tokio::test]
async fn a_sequence_leads_to_its_pictures() {
    let sandbox = started().await;
    let drive = &sandbox.world().sequences()[0];
    let listed = ask(&sandbox, &format!("/image_ids?sequence_id={}", drive.id())).await.json();
    let ids: Vec<_> = sandbox.world().images_of(drive).map(|shot| shot.id()).collect();
    let listed: Vec<_> =
        listed["data"].as_array().expect("a list").iter().map(|row| row["id"].clone()).collect();
    assert_eq!(listed, ids, "in capture order, the gone one too");

    let batch =
        ask(&sandbox, &format!("/?ids={},{},{}&fields=thumb_256_url,creator{{id}}", ids[0], ids[3], ids[1]))
            .await;
    let keys = |text: &str| ids.iter().filter(|id| text.contains(&format!("\"{id}\":"))).count();
    assert_eq!((batch.status(), keys(batch.text())), (200, 2), "without the gone one");
    assert!(batch.text().find(&ids[1]) < batch.text().find(&ids[0]), "in another order");
    assert!(batch.text().contains(r"http:\/\/127.0.0.1"));

    let alone = ask(&sandbox, &format!("/{}?fields=thumb_256_url,creator{{id}}", ids[0])).await;
    assert_eq!(alone.text(), sandbox.json(&ids[0], "thumb_256_url,creator{id}").expect("it is there"));
    let url = alone.json()["thumb_256_url"].as_str().expect("a URL").to_owned();
    let picture = get(&url, "").await.expect("an answer");
    assert_eq!(picture.body, sandbox.world().picture(&ids[0], Some(256)).expect("a picture"));
    assert!(picture.head.contains("image/jpeg") && picture.head.contains("content-length"));
    let bad = get(&url.replace("s256x", "s512x"), "").await.expect("an answer");
    assert_eq!((bad.status(), bad.text()), (403, "URL signature mismatch"));
    sandbox.expire_urls_at(1);
    let url = ask(&sandbox, &format!("/{}?fields=thumb_256_url", ids[0])).await.json();
    let old = get(url["thumb_256_url"].as_str().expect("a URL"), "").await.expect("an answer");
    assert_eq!((old.status(), old.text()), (403, "URL signature expired"));
}

#[tokio::test]
async fn errors_of_the_graph_are_those_of_the_real_one() {
    let sandbox = started().await;
    let gone = sandbox.world().sequences()[0].shot(3).id();
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
        let got = get(&format!("{}{target}", sandbox.graph_url()), &header).await.expect("an answer");
        let error = &got.json()["error"];
        assert_eq!((got.status(), error["code"].as_i64()), (status, Some(code)), "{target} {header}");
        assert_eq!(error.get("error_subcode").and_then(serde_json::Value::as_i64), subcode, "{target}");
    }
    assert_eq!(ask(&sandbox, "/image_ids?sequence_id=none").await.text(), r#"{"data":[]}"#);
    let organization = ask(&sandbox, &format!("/{}?fields=name", World::ORGANIZATION)).await;
    assert_eq!(organization.json()["name"], "Open Streets Cyprus");
}

#[tokio::test]
async fn a_users_images_come_page_by_page_newest_first() {
    let sandbox = started().await;
    let mut target = format!("/images?creator_username={}&fields=captured_at,license&limit=200", World::USER);
    let (mut seen, mut last) = (std::collections::HashSet::new(), i64::MAX);
    loop {
        let page = ask(&sandbox, &target).await.json();
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
        .world()
        .sequences()
        .iter()
        .filter(|drive| drive.username() == World::USER && !drive.is_gone());
    let there = mine.flat_map(super::MockSequence::shots).filter(|shot| !shot.is_gone()).count();
    assert_eq!(seen.len(), there);
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let sandbox = started().await;
    let drive = &sandbox.world().sequences()[0];
    let target = format!("{}/image_ids?sequence_id={}", sandbox.graph_url(), drive.id());
    let header = format!("authorization: OAuth {}\r\n", Sandbox::TOKEN);
    let full = get(&target, &header).await.expect("an answer").body;
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
        sandbox.script(Rule::on(Host::Graph).path("/image_ids").times(1).fault(fault.clone()));
        let got = get(&target, &header).await.expect("an answer");
        assert_eq!((got.status(), got.body.len()), (status, length), "{fault:?}");
        let promised = if matches!(fault, Fault::Truncate(_)) { full.len() } else { length };
        assert!(got.head.contains(&format!("content-length: {promised}")), "{fault:?}");
    }
    sandbox.script(Rule::on(Host::Graph).times(1).fault(Fault::Reset));
    assert!(get(&target, &header).await.is_err());
    sandbox.script(Rule::on(Host::Graph).times(1).fault(Fault::Stall));
    let stalled = tokio::time::timeout(Duration::from_millis(50), get(&target, &header)).await;
    assert!(stalled.is_err());
    sandbox.script(Rule::on(Host::Graph).times(1).fault(Fault::Redirect));
    let redirected =
        get(&format!("{}/?access_token=MLY%7C1", sandbox.graph_url()), "").await.expect("an answer");
    assert!(redirected.status() == 302 && redirected.head.contains("access_token%3dmly%257c1"));
    assert_eq!(get(&target, &header).await.expect("an answer").body, full);
}

#[tokio::test]
async fn dropping_the_sandbox_stops_it() {
    let sandbox = started().await;
    let url = format!("{}/", sandbox.graph_url());
    assert!(get(&url, "").await.is_ok());
    drop(sandbox);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(get(&url, "").await.is_err());
}

#[tokio::test]
async fn batches_can_lose_or_refuse_one_of_their_ids() {
    let sandbox = Sandbox::builder().gone_fails_batch(true).start().await.expect("ports are free");
    let ids: Vec<_> =
        sandbox.world().images_of(&sandbox.world().sequences()[0]).map(|shot| shot.id()).collect();
    sandbox.script(Rule::on(Host::Graph).fault(Fault::BatchFails(ids[1].clone())));
    sandbox.script(Rule::on(Host::Graph).times(1).fault(Fault::MissingIds(vec![ids[0].clone()])));
    let batch = |some: &[usize]| {
        let some: Vec<_> = some.iter().map(|at| ids[*at].as_str()).collect();
        format!("/?ids={}", some.join(","))
    };
    for (target, status, rows) in [
        (batch(&[0]), 200, 1),
        (batch(&[1]), 200, 1),
        (batch(&[0, 1]), 500, 1),
        (batch(&[0, 2]), 200, 1),
        (batch(&[0, 2]), 200, 2),
        (batch(&[2, 3]), 400, 1),
    ] {
        let got = ask(&sandbox, &target).await;
        assert_eq!(
            (got.status(), got.json().as_object().map(serde_json::Map::len)),
            (status, Some(rows)),
            "{target}"
        );
    }
}
