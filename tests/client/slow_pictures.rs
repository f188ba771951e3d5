//! Slow downloads and redirected downloads.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, stream};
use streetflow::{Client, Event, ImageSink, Metadata, Sink, Token};
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::{builder, metadata_record, names};

/// Returns a complete JPEG of about this many bytes.
fn picture(bytes: usize) -> Vec<u8> {
    let mut jpeg = vec![0xff, 0xd8];
    while jpeg.len() < bytes {
        // A comment segment.
        jpeg.extend([0xff, 0xfe, 0x10, 0x00]);
        jpeg.extend(std::iter::repeat_n(b'x', 0x1000 - 2));
    }
    jpeg.extend([0xff, 0xc0, 0, 11, 8, 0, 16, 0, 16, 1, 1, 0x11, 0]);
    jpeg.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x12, 0x34, 0xff, 0xd9]);
    jpeg
}

/// Serves a picture in chunks of this many bytes, one per second.
async fn serve_slowly(body: Vec<u8>, piece: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let body = body.clone();
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _read = socket.read(&mut head).await?;
                let words = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: image/jpeg\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                socket.write_all(words.as_bytes()).await?;
                for piece in body.chunks(piece) {
                    socket.write_all(piece).await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                std::io::Result::Ok(())
            });
        }
    });
    format!("http://{address}/picture")
}

async fn download(client: &Client, url: String) -> (u64, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let image = Metadata { thumb_256_url: Some(url), ..metadata_record("1463097064038568") };
    let sink = Box::new(ImageSink::new(client, folder.path()));
    (sink.drain(stream::iter([Ok(image)]).boxed()).await.unwrap().records, folder)
}

fn client_of(base: &str, errors: &Arc<Mutex<Vec<String>>>) -> Client {
    let (base, errors) = (base.trim_end_matches("/picture"), Arc::clone(errors));
    Client::builder()
        .token(Token::new(Sandbox::TOKEN).unwrap())
        .graph_url(base)
        .tiles_url(base)
        .max_attempts(2)
        .observer(Arc::new(move |event: &Event<'_>| {
            if let Event::Failed { error, .. } = event {
                errors.lock().unwrap().push(format!(
                    "{} | {}",
                    error.chain(),
                    error.hint().unwrap_or_default()
                ));
            }
        }))
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_slow_but_steady_download_never_times_out() {
    let started = Instant::now();
    let url = serve_slowly(picture(2_000_000), 1500).await;
    let errors = Arc::default();
    let (records, folder) = download(&client_of(&url, &errors), url.clone()).await;
    assert_eq!(records, 1, "{:?}", errors.lock().unwrap());
    assert!(started.elapsed() > Duration::from_mins(20), "{:?}", started.elapsed());
    assert_eq!(names(folder.path()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_download_below_the_minimum_rate_fails() {
    let started = Instant::now();
    let url = serve_slowly(picture(2_000_000), 800).await;
    let errors = Arc::default();
    let (records, folder) = download(&client_of(&url, &errors), url.clone()).await;
    let errors = errors.lock().unwrap().join("\n");
    assert_eq!(records, 0);
    assert!(errors.contains("less than 1 KiB per second"), "{errors}");
    assert!(
        started.elapsed() < Duration::from_mins(4),
        "two attempts of a window each: {:?}",
        started.elapsed()
    );
    assert!(names(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfollowed_redirect_is_one_attempt_with_a_hint() {
    let sandbox = Sandbox::start().await.unwrap();
    let errors: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&errors);
    let client = builder(&sandbox)
        .observer(Arc::new(move |event: &Event<'_>| match event {
            Event::Failed { error, .. } => {
                let advice = error.hint().unwrap_or_default();
                log.lock().unwrap().push(format!("{} | {advice}", error.chain()));
            }
            Event::Retry { .. } | Event::Concurrency { .. } => {
                log.lock().unwrap().push("pushes back".to_owned());
            }
            _ => {}
        }))
        .build()
        .unwrap();
    let start = format!("{}/start", sandbox.images_url());
    for (to, requests, part) in [
        ("https://cdn.evil.example/x", 1, "pass `--allow-host cdn.evil.example`"),
        ("http://10.0.0.1:8080/x", 1, "pass `--allow-host 10.0.0.1`"),
        ("https://scontent.fbcdn.net:8443/x", 1, "must use `https:` without a port"),
        ("file:///etc/passwd", 1, "status 302"),
        ("/start", 1, "in a circle"),
        ("/start2", 2, "in a circle"),
    ] {
        sandbox.clear_rules();
        sandbox.clear_requests();
        errors.lock().unwrap().clear();
        sandbox.add_rule(Rule::on(Host::Images).fault(Fault::status(302, "").header("location", to)));
        let (records, folder) = download(&client, start.clone()).await;
        let errors = errors.lock().unwrap().join("\n");
        assert_eq!(records, 0, "{to}");
        assert!(errors.contains(part) && !errors.contains("pushes back"), "{to}: {errors}");
        assert_eq!(sandbox.requests_to(Host::Images).len(), requests, "{to}");
        assert!(names(folder.path()).is_empty());
    }
}
