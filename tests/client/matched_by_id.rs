//! Results are assigned by image id, even if a response omits, duplicates, adds or reorders images, and wherever a
//! part of a split batch fails permanently.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, stream};
use proptest::prelude::*;
use streetflow::{
    Client, ErrorKind, Event, FetchMetadata, Image, ImageId, ImageSink, Metadata, Result, Sink, Stage, Token,
    Written,
};
use streetflow_sandbox::MockData;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{image_record, names};

/// A server with random responses to requests for images, from a seed.
struct RandomServer {
    random: fastrand::Rng,
    /// Percentage of responses with a fatal error.
    fatal: u32,
    url: String,
}

const GONE: &str = r#"{"error":{"message":"Unsupported get request","code":100,"error_subcode":33}}"#;
const TOKEN: &str = r#"{"error":{"message":"Invalid OAuth 2.0 Access Token","code":190}}"#;
const REDUCE: &str = r#"{"error":{"message":"Please reduce the amount of data","code":1}}"#;
const TROUBLE: &str = r#"{"error":{"message":"Service temporarily unavailable","code":2}}"#;

impl RandomServer {
    /// Returns the JSON of an image. `make` and the URL contain the id.
    fn record(&self, id: &str) -> String {
        format!(r#"{{"id":"{id}","make":"maker of {id}","thumb_256_url":"{}/picture/{id}"}}"#, self.url)
    }

    fn answer(&mut self, path: &str) -> (u16, String) {
        let (place, query) = path.split_once('?').unwrap();
        let ids = query.split('&').find_map(|pair| pair.strip_prefix("ids="));
        let ids: Vec<&str> = ids.map_or(vec![place.trim_start_matches('/')], |ids| ids.split(',').collect());
        if self.random.u32(0..100) < self.fatal {
            return (401, TOKEN.to_owned());
        }
        match (self.random.u32(0..10), &ids[..]) {
            (0, _) => (500, TROUBLE.to_owned()),
            (1, [_]) => (400, GONE.to_owned()),
            (2, [_]) => (200, self.record("999")),
            (3, [_]) => (200, "{}".to_owned()),
            (1 | 2, _) => (400, GONE.to_owned()),
            (3, _) => (500, REDUCE.to_owned()),
            (_, [only]) => (200, self.record(only)),
            (_, ids) => (200, self.batch(ids)),
        }
    }

    /// Returns images in any order, some of them missing, duplicate, not requested, or under a wrong key.
    fn batch(&mut self, ids: &[&str]) -> String {
        let mut entries: Vec<String> = Vec::new();
        for id in ids {
            let other = ids[self.random.usize(0..ids.len())];
            match self.random.u32(0..12) {
                0 => {}
                1 => entries.push(format!(r#""{id}":{}"#, self.record(other))),
                2 => entries.extend([*id, other].map(|of| format!(r#""{id}":{}"#, self.record(of)))),
                3 => entries.push(format!(r#""7{id}":{}"#, self.record(&format!("7{id}")))),
                4 => entries.push(format!(r#""{id}":[7]"#)),
                _ => entries.push(format!(r#""{id}":{}"#, self.record(id))),
            }
        }
        self.random.shuffle(&mut entries);
        format!("{{{}}}", entries.join(","))
    }
}

/// Serves the Graph API and the pictures of a [`RandomServer`] until the handle is dropped.
async fn serve(
    seed: u64,
    fatal: u32,
    jpeg: Arc<Vec<u8>>,
) -> (String, tokio_util::task::AbortOnDropHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = RandomServer { random: fastrand::Rng::with_seed(seed), fatal, url: url.clone() };
    let server = Arc::new(Mutex::new(server));
    let accept = async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(connection(stream, Arc::clone(&server), Arc::clone(&jpeg)));
        }
    };
    (url, tokio_util::task::AbortOnDropHandle::new(tokio::spawn(accept)))
}

async fn connection(stream: TcpStream, server: Arc<Mutex<RandomServer>>, jpeg: Arc<Vec<u8>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or_default() == 0 {
                return;
            }
        }
        let path = head.split(' ').nth(1).unwrap();
        let (status, body) = if let Some(id) = path.strip_prefix("/picture/") {
            (200, with_comment(&jpeg, id))
        } else {
            let (status, body) = server.lock().unwrap().answer(path);
            (status, body.into_bytes())
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all(&[head.as_bytes(), &body].concat()).await.is_err() {
            return;
        }
    }
}

/// Returns the picture with the id in a comment segment.
fn with_comment(jpeg: &[u8], id: &str) -> Vec<u8> {
    let comment = format!("picture of {id};");
    let length = u16::try_from(comment.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xfe], &length, comment.as_bytes(), &jpeg[2..]].concat()
}

fn client(url: &str, errors: Arc<Mutex<Vec<String>>>) -> Client {
    let observer = move |event: &Event<'_>| {
        if let Event::Failed { error, .. } = event {
            errors.lock().unwrap().push(error.chain());
        }
    };
    let builder = Client::builder().token(Token::new("MLY|1|a").unwrap()).graph_url(url).tiles_url(url);
    let builder = builder.max_attempts(2).initial_backoff(Duration::from_millis(1)).trust_gone();
    builder.observer(Arc::new(observer)).build().unwrap()
}

/// Returns rows of a table, some of them with the same image.
fn rows(count: usize, seed: u64) -> Vec<Image> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut rows: Vec<Image> = (0..count).map(|number| image_record(&(1000 + number).to_string())).collect();
    for _ in 0..random.usize(0..4) {
        let duplicate = rows[random.usize(0..rows.len())].clone();
        rows.insert(random.usize(0..=rows.len()), duplicate);
    }
    rows
}

const NOT_REQUESTED: &str = "use an image that was not requested";

async fn check_metadata(seed: u64, count: usize, fatal: u32) {
    let (url, _serving) = serve(seed, fatal, Arc::default()).await;
    let rows = rows(count, seed);
    let stage = FetchMetadata::new(&client(&url, Arc::default())).fields(&"make".parse().unwrap());
    let items: Vec<Result<Metadata>> =
        stage.apply(stream::iter(rows.clone().into_iter().map(Ok)).boxed()).collect().await;
    let ids: HashSet<&str> = rows.iter().map(|row| row.img_id.as_str()).collect();
    let mut expected = rows.iter();
    for (at, item) in items.iter().enumerate() {
        match item {
            Err(error) if error.to_string().contains(NOT_REQUESTED) => {
                assert!(!ids.contains(error.subject().unwrap_or_default()), "{error:?}");
            }
            Err(error) if error.is_fatal() => {
                assert_eq!((error.kind(), at + 1), (ErrorKind::Auth, items.len()));
                return;
            }
            Err(error) => {
                let row = expected.next().unwrap();
                assert!(error.subject().unwrap().starts_with(row.img_id.as_str()), "{row:?}: {error:?}");
            }
            Ok(record) => {
                let row = expected.next().unwrap();
                assert_eq!((&record.img_id, &record.seq_id), (&row.img_id, &row.seq_id));
                assert_eq!(record.make, Some(format!("maker of {}", row.img_id)), "seed {seed}");
            }
        }
    }
    assert_eq!(expected.next(), None, "every row has an item");
}

async fn check_pictures(seed: u64, count: usize, fatal: u32, folder: &Path) {
    let jpeg = MockData::cyprus().picture(&first_picture(), Some(256)).unwrap();
    let (url, _serving) = serve(seed, fatal, Arc::new(jpeg)).await;
    let ended = |row: Image| Metadata {
        img_id: row.img_id,
        thumb_256_url: Some(format!("{url}/picture/0?oe=1")),
        ..Metadata::default()
    };
    // Each image once: whether the second row of a file finds it existing depends on timing.
    let images: Vec<Metadata> = rows(count, seed).into_iter().map(ended).collect();
    let images: BTreeMap<ImageId, Metadata> =
        images.into_iter().map(|one| (one.img_id.clone(), one)).collect();
    let errors = Arc::new(Mutex::new(Vec::new()));
    let sink = ImageSink::new(&client(&url, Arc::clone(&errors)), folder);
    let records = stream::iter(images.clone().into_values().map(Ok)).boxed();
    let written: Written = Box::new(sink).drain(records).await.unwrap();
    assert_eq!(written.records + written.gone + written.failed, images.len() as u64);
    let files = names(folder);
    assert_eq!(files.len() as u64, written.records);
    for name in files {
        let id = name.strip_suffix("_256.jpg").unwrap();
        let bytes = std::fs::read(folder.join(&name)).unwrap();
        let mark = format!("picture of {id};");
        assert!(bytes.windows(mark.len()).any(|part| part == mark.as_bytes()), "seed {seed}: {name}");
    }
    let errors = errors.lock().unwrap();
    let unrequested = errors.iter().filter(|error| error.contains(NOT_REQUESTED)).count();
    assert_eq!((errors.len() - unrequested) as u64, written.failed);
}

fn first_picture() -> String {
    let data = MockData::cyprus();
    let sequence = data.sequences().iter().find(|sequence| !sequence.is_gone()).unwrap();
    sequence.images().find(|image| image.has_picture() && !image.is_gone()).unwrap().id()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_response_assigns_metadata_to_another_row(seed: u64, count in 2..120_usize, fatal in 0..12_u32) {
        run(check_metadata(seed, count, fatal.saturating_sub(6)));
    }

    #[test]
    fn no_response_saves_a_picture_under_another_name(seed: u64, count in 2..60_usize, fatal in 0..24_u32) {
        let folder = tempfile::tempdir().unwrap();
        run(check_pictures(seed, count, fatal, folder.path()));
    }
}
