//! The HTTP server: connections, and the handling of a request.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use streetflow::geo::TileId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

mod body;
mod response;

use crate::api::graph::Graph;
use crate::api::picture_urls::{self, PictureUrls};
use crate::api::pictures;
use crate::fault::Fault;
use crate::mock_data::MockData;
use crate::request_log::{Host, RecordedRequest, RequestLog, lock};
use crate::rules::Rules;
use body::{Body, Delivery};
pub(crate) use response::TOKEN;
use response::{Response, graph_auth_error, tile_auth_error};

/// Path of the tiles, before the tileset.
const TILES_PATH: &str = "/maps/vtp/";

/// A tileset that the server serves.
#[derive(Clone, Copy)]
enum Tileset {
    Images,
    Points,
    TrafficSigns,
}

/// Maximum number of pictures drawn at once. Encoding one of 2048 pixels takes up to 30 MB.
const MAX_DRAWING: usize = 8;

/// The state that all connections share.
pub(crate) struct State {
    pub(crate) data: Arc<MockData>,
    /// Base URL of the Graph API and the tiles.
    pub(crate) url: String,
    pub(crate) picture_urls: std::sync::Mutex<PictureUrls>,
    pub(crate) latency: Duration,
    pub(crate) requests: Arc<RequestLog>,
    pub(crate) rules: Rules,
    /// The picture of every image, if they are all the same.
    pub(crate) only_picture: Option<Bytes>,
    pub(crate) gone_fails_batch: bool,
    pub(crate) connections: AtomicU64,
    /// A permit for each picture that can be drawn at once.
    pub(crate) drawing: Arc<Semaphore>,
}

/// Returns the permits for drawing: one per core, because more need memory and save no time.
pub(crate) fn drawing_permits() -> Arc<Semaphore> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(cores.min(MAX_DRAWING)))
}

/// Accepts connections until the future is dropped, which closes them.
pub(crate) async fn listen(listener: TcpListener, images: bool, state: Arc<State>) {
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
    // Responses are small, and clients wait for each of them.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request: Request<Incoming>| {
        let (state, request) = (Arc::clone(&state), recorded(&request, images, number));
        async move { handle(state, request).await }
    });
    // Errors of a connection are caused by the client or by a rule.
    drop(Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
}

/// Returns the parts of a request that are recorded.
fn recorded(request: &Request<Incoming>, images: bool, connection: u64) -> RecordedRequest {
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

/// Records a request, applies the rules, and responds.
async fn handle(state: Arc<State>, mut request: RecordedRequest) -> io::Result<hyper::Response<Body>> {
    let in_flight = state.requests.start(&mut request);
    let fault = state.rules.fault_for(&request);
    if !state.latency.is_zero() {
        sleep(state.latency).await;
    }
    if let Some(Fault::Delay(delay)) = &fault {
        sleep(*delay).await;
    }
    if let Some(Fault::Reset) = fault {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let mut delivery = Delivery::Complete;
    let replaced = fault.as_ref().and_then(|fault| Response::from_fault(fault, &request, &state.url));
    let response = if let Some(response) = replaced {
        response
    } else {
        let mut response = correct_response(&state, &request, fault.as_ref()).await;
        match fault {
            Some(Fault::Truncate(bytes)) => delivery = Delivery::Cut(bytes),
            Some(Fault::TruncateSilently(bytes)) => response.body.truncate(bytes),
            Some(Fault::Stall) => delivery = Delivery::Never,
            Some(Fault::Trickle(bytes_per_second)) => delivery = Delivery::Trickle(bytes_per_second),
            _ => {}
        }
        response
    };
    in_flight.set_status(response.status);
    let mut builder = hyper::Response::builder().status(response.status);
    for (name, value) in response.headers {
        builder = builder.header(name, value);
    }
    builder.body(Body::new(response.body, delivery, in_flight)).map_err(io::Error::other)
}

/// Returns the correct response, except for the ids of [`Fault::MissingIds`].
async fn correct_response(state: &Arc<State>, request: &RecordedRequest, fault: Option<&Fault>) -> Response {
    match request.host {
        Host::Tiles => match tile_auth_error(request) {
            Some(error) => error,
            None => tile(state, request).await,
        },
        Host::Graph => graph_auth_error(request).unwrap_or_else(|| {
            let missing = if let Some(Fault::MissingIds(ids)) = fault { ids.as_slice() } else { &[] };
            let graph = Graph {
                data: &state.data,
                picture_urls: &lock(&state.picture_urls).clone(),
                url: &state.url,
                gone_fails_batch: state.gone_fails_batch,
                missing,
            };
            Response::graph(graph.respond(request))
        }),
        Host::Images => picture(state, request).await,
    }
}

async fn tile(state: &Arc<State>, request: &RecordedRequest) -> Response {
    let Some((tileset, tile)) = parse_tile(&request.path) else {
        return Response::new(404, "text/plain", "no such tile");
    };
    let data = Arc::clone(&state.data);
    let encode = move || match tileset {
        Tileset::Images => data.tile(tile),
        Tileset::Points => data.feature_tile(tile, false),
        Tileset::TrafficSigns => data.feature_tile(tile, true),
    };
    let bytes = tokio::task::spawn_blocking(encode).await.unwrap_or_default();
    Response::new(200, "application/x-protobuf", bytes)
}

fn parse_tile(path: &str) -> Option<(Tileset, TileId)> {
    let mut parts = path.strip_prefix(TILES_PATH)?.trim_end_matches('/').split('/');
    let tileset = match parts.next()? {
        "mly1_public" => Tileset::Images,
        "mly_map_feature_point" => Tileset::Points,
        "mly_map_feature_traffic_sign" => Tileset::TrafficSigns,
        _ => return None,
    };
    parts.next().filter(|version| *version == "2")?;
    let z = parts.next()?.parse().ok().filter(|z| *z <= 14)?;
    let mut index = || parts.next()?.parse().ok().filter(|index| *index < 1_u32 << z);
    let tile = TileId { z, x: index()?, y: index()? };
    parts.next().is_none().then_some((tileset, tile))
}

async fn picture(state: &Arc<State>, request: &RecordedRequest) -> Response {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (id, size) = match picture_urls::parse(&request.path, &request.query, now) {
        Ok(parsed) => parsed,
        Err(message) => return Response::new(403, "text/plain", message),
    };
    let exists = state.data.image(&id.to_string()).is_some_and(|image| !image.is_gone());
    if !exists {
        return Response::new(404, "text/plain", "not found");
    }
    if let Some(picture) = &state.only_picture {
        return Response::new(200, "image/jpeg", picture.clone());
    }
    // If the client disconnects, the request leaves the queue.
    let permit = Arc::clone(&state.drawing).acquire_owned().await;
    let data = Arc::clone(&state.data);
    // Drawing an original takes tens of milliseconds and must not block other requests.
    let draw = move || {
        let _permit = permit;
        data.image(&id.to_string()).map(|image| pictures::draw(&image, size))
    };
    let jpeg = tokio::task::spawn_blocking(draw).await.ok().flatten().unwrap_or_default();
    Response::new(200, "image/jpeg", jpeg)
}
