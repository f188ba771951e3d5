//! Results belong to the image whose id they carry, whatever an answer leaves out, doubles, adds or reorders, and
//! wherever in a halved batch a part fails for good.

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
use streetflow_sandbox::World;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{image, names};

/// How a stand-in answers requests for images: each answer is chosen by chance, from a seed.
struct Chance {
    random: fastrand::Rng,
    /// One answer in so many ends the run.
    fatal: u32,
    url: String,
}

const GONE: &str = r#"{"error":{"message":"Unsupported get request","code":100,"error_subcode":33}}"#;
const TOKEN: &str = r#"{"error":{"message":"Invalid OAuth 2.0 Access Token","code":190}}"#;
const REDUCE: &str = r#"{"error":{"message":"Please reduce the amount of data","code":1}}"#;
const TROUBLE: &str = r#"{"error":{"message":"Service temporarily unavailable","code":2}}"#;

impl Chance {
    /// What the stand-in knows of an image; `make` and the URL tell which one it is.
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

    /// Images in any order, of which some are missing, doubled, foreign or contradict their key.
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

/// Serves the Graph and the pictures of a [`Chance`] until it is dropped.
async fn serve(
    seed: u64,
    fatal: u32,
    jpeg: Arc<Vec<u8>>,
) -> (String, tokio_util::task::AbortOnDropHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let chance = Chance { random: fastrand::Rng::with_seed(seed), fatal, url: url.clone() };
    let chance = Arc::new(Mutex::new(chance));
    let accept = async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(connection(stream, Arc::clone(&chance), Arc::clone(&jpeg)));
        }
    };
    (url, tokio_util::task::AbortOnDropHandle::new(tokio::spawn(accept)))
}

async fn connection(stream: TcpStream, chance: Arc<Mutex<Chance>>, jpeg: Arc<Vec<u8>>) {
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
            (200, marked(&jpeg, id))
        } else {
            let (status, body) = chance.lock().unwrap().answer(path);
            (status, body.into_bytes())
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all(&[head.as_bytes(), &body].concat()).await.is_err() {
            return;
        }
    }
}

/// A picture with an id in a comment segment.
fn marked(jpeg: &[u8], id: &str) -> Vec<u8> {
    let comment = format!("picture of {id};");
    let length = u16::try_from(comment.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xfe], &length, comment.as_bytes(), &jpeg[2..]].concat()
}

fn client(url: &str, told: Arc<Mutex<Vec<String>>>) -> Client {
    let observer = move |event: &Event<'_>| {
        if let Event::Failed { error, .. } = event {
            told.lock().unwrap().push(error.chain());
        }
    };
    let builder = Client::builder().token(Token::new("MLY|1|a").unwrap()).graph_url(url).tiles_url(url);
    let builder = builder.max_attempts(2).initial_backoff(Duration::from_millis(1)).trust_gone();
    builder.observer(Arc::new(observer)).build().unwrap()
}

/// Rows of a table, of which some name the same image.
fn rows(count: usize, seed: u64) -> Vec<Image> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut rows: Vec<Image> = (0..count).map(|number| image(&(1000 + number).to_string())).collect();
    for _ in 0..random.usize(0..4) {
        let again = rows[random.usize(0..rows.len())].clone();
        rows.insert(random.usize(0..=rows.len()), again);
    }
    rows
}

const NOT_REQUESTED: &str = "use an image that was not requested";

async fn metadata_belongs_to_its_row(seed: u64, count: usize, fatal: u32) {
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
    assert_eq!(expected.next(), None, "every row has its item");
}

async fn pictures_belong_to_their_name(seed: u64, count: usize, fatal: u32, folder: &Path) {
    let jpeg = World::cyprus().picture(&first_picture(), Some(256)).unwrap();
    let (url, _serving) = serve(seed, fatal, Arc::new(jpeg)).await;
    let ended = |row: Image| Metadata {
        img_id: row.img_id,
        thumb_256_url: Some(format!("{url}/picture/0?oe=1")),
        ..Metadata::default()
    };
    // Each once: of two rows for one file the second finds it there, or not, by chance.
    let images: Vec<Metadata> = rows(count, seed).into_iter().map(ended).collect();
    let images: BTreeMap<ImageId, Metadata> =
        images.into_iter().map(|one| (one.img_id.clone(), one)).collect();
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = ImageSink::new(&client(&url, Arc::clone(&told)), folder);
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
    let told = told.lock().unwrap();
    let unrequested = told.iter().filter(|error| error.contains(NOT_REQUESTED)).count();
    assert_eq!((told.len() - unrequested) as u64, written.failed);
}

fn first_picture() -> String {
    let world = World::cyprus();
    let drive = world.sequences().iter().find(|drive| !drive.is_gone()).unwrap();
    world.images_of(drive).find(|shot| shot.has_picture() && !shot.is_gone()).unwrap().id()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_answer_gives_a_row_the_metadata_of_another(seed: u64, count in 2..120_usize, fatal in 0..12_u32) {
        run(metadata_belongs_to_its_row(seed, count, fatal.saturating_sub(6)));
    }

    #[test]
    fn no_answer_gives_a_picture_the_name_of_another(seed: u64, count in 2..60_usize, fatal in 0..24_u32) {
        let folder = tempfile::tempdir().unwrap();
        run(pictures_belong_to_their_name(seed, count, fatal, folder.path()));
    }
}
