//! A tile host of made-up lines on loopback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use streetflow::{Client, TileId, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::tiles::{Line, Maker, tile};

pub(crate) struct Server {
    url: String,
    asked: Arc<Mutex<Vec<TileId>>>,
    listening: AbortHandle,
}

struct World {
    lines: Vec<Line>,
    maker: Maker,
    /// The longest time that a response takes, each at random.
    latency: Duration,
    asked: Arc<Mutex<Vec<TileId>>>,
}

impl Server {
    pub(crate) async fn start(lines: Vec<Line>, maker: Maker, latency: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<TileId>>>::default();
        let world = Arc::new(World { lines, maker, latency, asked: Arc::clone(&asked) });
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&world)));
            }
        });
        Self { url, asked, listening: listening.abort_handle() }
    }

    pub(crate) fn client(&self, concurrency: usize) -> Client {
        let token = Token::new("MLY|1234567890123456|0123456789abcdef0123456789abcdef").unwrap();
        let builder = Client::builder().token(token).graph_url(&self.url).tiles_url(&self.url);
        builder.concurrency(concurrency).build().unwrap()
    }

    /// The tiles that were asked for since the last call.
    pub(crate) fn asked(&self) -> Vec<TileId> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(mut stream: TcpStream, world: Arc<World>) -> Option<()> {
    let mut request = Vec::new();
    loop {
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.ok()?);
        }
        let text = String::from_utf8(std::mem::take(&mut request)).ok()?;
        let path = text.split(' ').nth(1)?.split('?').next()?;
        let mut numbers = path.rsplit('/').map(|number| number.parse::<u32>().ok());
        let (y, x, z) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let asked = TileId { z: u8::try_from(z).ok()?, x, y };
        world.asked.lock().unwrap().push(asked);
        if !world.latency.is_zero() {
            tokio::time::sleep(world.latency.mul_f64(fastrand::f64())).await;
        }
        let body = tile(&world.lines, world.maker, asked);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
    }
}
