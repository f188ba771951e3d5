//! Listening, and the way of one request: noted, perhaps spoilt, checked, answered.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::body::{Body, Manner};
use super::graph::{Graph, JSON, envelope};
use super::links::{self, Links};
use super::pictures;
use super::record::{Host, RecordedRequest, Recorder, locked};
use super::script::{Fault, Script};
use super::world::World;
use super::{Sandbox, TILES_PATH};
use streetflow::geo::TileId;

/// What all connections share.
pub(super) struct State {
    pub(super) world: Arc<World>,
    pub(super) url: String,
    pub(super) links: std::sync::Mutex<Links>,
    pub(super) latency: Duration,
    pub(super) recorder: Arc<Recorder>,
    pub(super) script: Script,
    /// Every picture, if they are all to be the same.
    pub(super) one_picture: Option<Bytes>,
    pub(super) gone_fails_batch: bool,
    pub(super) connections: AtomicU64,
    /// A permit for each picture that may be drawn at once.
    pub(super) drawing: Arc<Semaphore>,
}

/// Pictures drawn at once, whatever the number of cores: one of 2048 pixels takes up to 30 MB while it is encoded.
const MAX_DRAWING: usize = 8;

/// One picture a core: more at once take memory and are not done any sooner.
pub(super) fn drawing() -> Arc<Semaphore> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(cores.min(MAX_DRAWING)))
}

/// An answer before it is sent.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Answer {
    fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: body.into() }
    }

    fn graph((status, body): (u16, String)) -> Self {
        let mut answer = Self::new(status, JSON, body);
        let usage = "{\"call_count\":1,\"total_cputime\":1,\"total_time\":1}";
        answer.headers.push(("x-app-usage".to_owned(), usage.to_owned()));
        answer
    }

    fn error(status: u16, code: i32, message: &str) -> Self {
        Self::graph((status, envelope(code, None, message)))
    }
}

/// Accepts connections until it is dropped; then they end with it.
pub(super) async fn listen(listener: TcpListener, images: bool, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, images, Arc::clone(&state)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, images: bool, state: Arc<State>) {
    let number = state.connections.fetch_add(1, Ordering::SeqCst);
    // Answers are small and a client waits for each.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request: Request<Incoming>| {
        let (state, asked) = (Arc::clone(&state), read(&request, images, number));
        async move { answer(state, asked).await }
    });
    // A connection that breaks is the client's business, or the script's.
    drop(Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
}

fn read(request: &Request<Incoming>, images: bool, connection: u64) -> RecordedRequest {
    let path = request.uri().path().to_owned();
    let host = match path.starts_with(TILES_PATH) {
        _ if images => Host::Images,
        true => Host::Tiles,
        false => Host::Graph,
    };
    RecordedRequest {
        host,
        connection,
        version: format!("{:?}", request.version()),
        path,
        query: request.uri().query().unwrap_or_default().to_owned(),
        authorization: authorization(request.headers()),
        status: None,
        at: Duration::ZERO,
        in_flight: 0,
    }
}

fn authorization(headers: &HeaderMap) -> Option<String> {
    headers.get("authorization").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

async fn answer(state: Arc<State>, mut asked: RecordedRequest) -> io::Result<Response<Body>> {
    let under_way = state.recorder.begin(&mut asked);
    let fault = state.script.fault(&asked);
    if !state.latency.is_zero() {
        sleep(state.latency).await;
    }
    if let Some(Fault::Delay(pause)) = &fault {
        sleep(*pause).await;
    }
    if let Some(Fault::Reset) = fault {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let mut manner = Manner::Whole;
    let answer = if let Some(answer) = fault.as_ref().and_then(|fault| instead(fault, &asked, &state.url)) {
        answer
    } else {
        let mut answer = honest(&state, &asked, fault.as_ref()).await;
        match fault {
            Some(Fault::Truncate(bytes)) => manner = Manner::Cut(bytes),
            Some(Fault::TruncateSilently(bytes)) => answer.body.truncate(bytes),
            Some(Fault::Stall) => manner = Manner::Never,
            Some(Fault::Trickle(bytes_per_second)) => manner = Manner::Trickle(bytes_per_second),
            _ => {}
        }
        answer
    };
    under_way.answered(answer.status);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::new(answer.body, manner, under_way)).map_err(io::Error::other)
}

/// The answer of a fault that does not need the true one.
fn instead(fault: &Fault, asked: &RecordedRequest, url: &str) -> Option<Answer> {
    const LOGIN: &str = "<!DOCTYPE html><html><body>Log in to Mapillary</body></html>";
    Some(match fault {
        Fault::Status { status, headers, body } => {
            Answer { status: *status, headers: headers.clone(), body: body.clone().into() }
        }
        Fault::Redirect => {
            let next = match asked.query.as_str() {
                "" => format!("{url}{}", asked.path),
                query => format!("{url}{}?{query}", asked.path),
            };
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            let location = format!("https://www.mapillary.com/login/?next={next}");
            Answer { status: 302, headers: vec![("location".to_owned(), location)], body: Bytes::new() }
        }
        Fault::Html => Answer::new(200, "text/html; charset=utf-8", LOGIN),
        Fault::BatchFails(_) => Answer::error(500, 2, "Service temporarily unavailable"),
        Fault::Quota { .. } => Answer::error(403, 4, "Application request limit reached"),
        Fault::TooBig => Answer::error(
            500,
            1,
            "Please reduce the amount of data you're asking for, then retry your request",
        ),
        Fault::EmptyData if asked.host == Host::Graph => {
            let is_list = asked.path.contains("image");
            Answer::graph((200, if is_list { "{\"data\":[]}" } else { "{}" }.to_owned()))
        }
        Fault::Empty | Fault::EmptyData => Answer { status: 200, headers: Vec::new(), body: Bytes::new() },
        _ => return None,
    })
}

/// The true answer, but for ids that the fault leaves out.
async fn honest(state: &Arc<State>, asked: &RecordedRequest, fault: Option<&Fault>) -> Answer {
    match asked.host {
        Host::Tiles => match tile_refusal(asked) {
            Some(refusal) => refusal,
            None => tile(state, asked).await,
        },
        Host::Graph => graph_refusal(asked).unwrap_or_else(|| {
            let missing = if let Some(Fault::MissingIds(ids)) = fault { ids.as_slice() } else { &[] };
            let (links, gone_fails_batch) = (locked(&state.links).clone(), state.gone_fails_batch);
            let graph =
                Graph { world: &state.world, links: &links, url: &state.url, gone_fails_batch, missing };
            Answer::graph(graph.answer(asked))
        }),
        Host::Images => picture(state, asked).await,
    }
}

/// The tile host takes the token in the query only.
fn tile_refusal(asked: &RecordedRequest) -> Option<Answer> {
    match asked.param("access_token").as_deref() {
        _ if asked.authorization.is_some() => Some(Answer::error(403, 190, "Invalid OAuth 2.0 Access Token")),
        Some(Sandbox::TOKEN) => None,
        Some(_) => Some(Answer::error(403, 190, "Error validating application")),
        None => Some(Answer::error(401, 190, "Invalid OAuth 2.0 Access Token")),
    }
}

/// The Graph takes it either way, and its refusals differ by the way.
fn graph_refusal(asked: &RecordedRequest) -> Option<Answer> {
    let query = asked.param("access_token");
    let header = asked.authorization.as_deref();
    let bare = |value: &str| value.split_once(' ').map_or(value, |(_, token)| token).to_owned();
    let (token, unknown) = match (header.map(bare), query) {
        (Some(token), _) => (token, 401),
        (None, Some(token)) => (token, 400),
        (None, None) => return Some(Answer::error(500, 190, "Invalid OAuth 2.0 Access Token")),
    };
    if token == Sandbox::TOKEN {
        None
    } else if token.starts_with("MLY|") && token.matches('|').count() == 2 {
        Some(Answer::error(unknown, 190, "Error validating application"))
    } else {
        Some(Answer::error(401, 190, "Failed to decode"))
    }
}

async fn tile(state: &Arc<State>, asked: &RecordedRequest) -> Answer {
    let Some(tile) = tile_id(&asked.path) else {
        return Answer::new(404, "text/plain", "no such tile");
    };
    let world = Arc::clone(&state.world);
    let bytes = tokio::task::spawn_blocking(move || world.tile(tile)).await.unwrap_or_default();
    Answer::new(200, "application/x-protobuf", bytes)
}

fn tile_id(path: &str) -> Option<TileId> {
    let mut parts = path.strip_prefix(TILES_PATH)?.trim_end_matches('/').split('/');
    let z = parts.next()?.parse().ok().filter(|z| *z <= 14)?;
    let mut index = || parts.next()?.parse().ok().filter(|index| *index < 1_u32 << z);
    Some(TileId { z, x: index()?, y: index()? }).filter(|_| parts.next().is_none())
}

async fn picture(state: &Arc<State>, asked: &RecordedRequest) -> Answer {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (image, size) = match links::read(&asked.path, &asked.query, now) {
        Ok(wanted) => wanted,
        Err(refusal) => return Answer::new(403, "text/plain", refusal),
    };
    let is_there = state.world.image(&image.to_string()).is_some_and(|shot| !shot.is_gone());
    if !is_there {
        return Answer::new(404, "text/plain", "not found");
    }
    if let Some(picture) = &state.one_picture {
        return Answer::new(200, "image/jpeg", picture.clone());
    }
    // A client that leaves while it waits takes its place in the queue with it.
    let permit = Arc::clone(&state.drawing).acquire_owned().await;
    let world = Arc::clone(&state.world);
    // An original takes tens of milliseconds to draw; other requests must not wait for it.
    let draw = move || {
        let _permit = permit;
        world.image(&image.to_string()).map(|shot| pictures::picture(&shot, size))
    };
    let jpeg = tokio::task::spawn_blocking(draw).await.ok().flatten().unwrap_or_default();
    Answer::new(200, "image/jpeg", jpeg)
}
