//! A tile host with synthetic lines, on loopback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use streetflow::{Client, TileId, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::tiles::{Line, Maker, tile};

pub(crate) struct Server {
    url: String,
    requests: Arc<Mutex<Vec<TileId>>>,
    listener_task: AbortHandle,
}

struct State {
    lines: Vec<Line>,
    maker: Maker,
    /// Maximum response time. Each response takes a random part of it.
    latency: Duration,
    requests: Arc<Mutex<Vec<TileId>>>,
}

impl Server {
    pub(crate) async fn start(lines: Vec<Line>, maker: Maker, latency: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<TileId>>>::default();
        let state = Arc::new(State { lines, maker, latency, requests: Arc::clone(&requests) });
        let listener_task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
        });
        Self { url, requests, listener_task: listener_task.abort_handle() }
    }

    pub(crate) fn client(&self, concurrency: usize) -> Client {
        let token = Token::new("MLY|1234567890123456|0123456789abcdef0123456789abcdef").unwrap();
        let builder = Client::builder().token(token).graph_url(&self.url).tiles_url(&self.url);
        builder.concurrency(concurrency).build().unwrap()
    }

    /// Returns the tiles requested since the last call.
    pub(crate) fn take_requests(&self) -> Vec<TileId> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listener_task.abort();
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) -> Option<()> {
    let mut request = Vec::new();
    loop {
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.ok()?);
        }
        let text = String::from_utf8(std::mem::take(&mut request)).ok()?;
        let path = text.split(' ').nth(1)?.split('?').next()?;
        let mut numbers = path.rsplit('/').map(|number| number.parse::<u32>().ok());
        let (y, x, z) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let requested = TileId { z: u8::try_from(z).ok()?, x, y };
        state.requests.lock().unwrap().push(requested);
        if !state.latency.is_zero() {
            tokio::time::sleep(state.latency.mul_f64(fastrand::f64())).await;
        }
        let body = tile(&state.lines, state.maker, requested);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
    }
}
