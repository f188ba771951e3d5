//! `--place`: the area of a place by its name, with a mock Nominatim server.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use streetflow_sandbox::Sandbox;

use crate::support::{command_on, names, output, read, with};

/// A server that sends the same status and body to every search and records the requests.
struct Nominatim {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Nominatim {
    fn start(status: u16, features: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let body =
            json!({ "type": "FeatureCollection", "licence": "ODbL", "features": features }).to_string();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                log.lock().unwrap().push(head.join("\n"));
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                )
                .ok();
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn feature(kind: &str, name: &str, geometry: &Value) -> Value {
    json!({
        "type": "Feature", "bbox": [33.33, 35.15, 33.39, 35.19], "geometry": geometry,
        "properties": {
            "osm_type": "relation", "osm_id": 7, "category": "leisure", "type": kind, "addresstype": kind,
            "display_name": name,
        },
    })
}

fn square() -> Value {
    json!({ "type": "Polygon",
        "coordinates": [[[33.33, 35.15], [33.39, 35.15], [33.39, 35.19], [33.33, 35.19], [33.33, 35.15]]] })
}

async fn sequences(sandbox: &Sandbox, folder: &Path, server: &str, place: &str) -> (i32, String) {
    let args = ["sequences", "--yes", "--place", place, "--place-url", server];
    output(with(command_on(sandbox, folder), args)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_searched_once_and_equals_its_polygon() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let features = json!([feature("city", "Nicosia, Cyprus", &square())]);
    let server = Nominatim::start(200, &features);
    for _ in 0..2 {
        let (exit, stderr) = sequences(&sandbox, folder.path(), &server.url, "Nicosia, Cyprus").await;
        assert_eq!(exit, 0, "{stderr}");
        for text in ["Nicosia, Cyprus (city)", "relation/7", "24 km²", "33.33,35.15", "© OpenStreetMap"] {
            assert!(stderr.contains(text), "{text}: {stderr}");
        }
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "the second run uses the file: {requests:?}");
    let request = requests[0].to_lowercase();
    assert!(
        request.starts_with("get /search?q=nicosia%2c+cyprus&format=geojson&polygon_geojson=1&"),
        "{request}"
    );
    assert!(request.contains("user-agent: streetflow/") && !request.contains("mly"), "{request}");
    let by_place = read(folder.path(), "outputs/seq_dataset.csv");
    assert!(by_place.lines().count() > 5);

    std::fs::write(folder.path().join("area.geojson"), square().to_string()).unwrap();
    let args = ["sequences", "--output=polygon", "--area=area.geojson"];
    let (exit, stderr) = output(with(command_on(&sandbox, folder.path()), args)).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(by_place, read(folder.path(), "polygon/seq_dataset.csv"));

    let (exit, stderr) = sequences(&sandbox, folder.path(), &server.url, "Limassol").await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(server.requests().len(), 2, "another name needs another search");
}

#[tokio::test(flavor = "multi_thread")]
async fn places_without_an_area_are_rejected_with_a_circle_as_hint() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let point = json!({ "type": "Point", "coordinates": [33.36, 35.17] });
    let cases = [
        (json!([feature("museum", "Cyprus Museum", &point)]), "--around 33.36000,35.17000 --radius METRES"),
        (json!([]), "no place with this name"),
        (json!([{ "type": "Feature" }]), "no place with this name"),
    ];
    for (features, expected) in cases {
        let server = Nominatim::start(200, &features);
        let (exit, stderr) = sequences(&sandbox, folder.path(), &server.url, "Museum").await;
        assert!(exit == 2 && stderr.contains(expected), "{exit}: {stderr}");
        assert!(names(&folder.path().join("outputs")).is_empty(), "nothing is written");
    }
    for (status, exit_code, expected) in
        [(429, 1, "rate limited"), (403, 1, "access denied"), (500, 1, "server failed")]
    {
        let server = Nominatim::start(status, &json!([]));
        let (exit, stderr) = sequences(&sandbox, folder.path(), &server.url, "X").await;
        assert!(exit == exit_code && stderr.contains(expected), "{exit}: {stderr}");
        assert_eq!(server.requests().len(), 1, "no retry");
    }
    let (exit, stderr) = sequences(&sandbox, folder.path(), "http://me:secret@127.0.0.1:1", "X").await;
    assert!(exit == 1 && !stderr.contains("secret"), "{exit}: {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_no_settlement_lists_others_and_foreign_files_stay() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let parks = json!([feature("park", "First Park", &square()), feature("park", "Second Park", &square())]);
    let server = Nominatim::start(200, &parks);
    let (exit, stderr) = sequences(&sandbox, folder.path(), &server.url, "Park").await;
    assert!(exit == 0 && stderr.contains("First Park") && stderr.contains("Second Park"), "{exit}: {stderr}");

    std::fs::write(folder.path().join("outputs/place.geojson"), "{\"type\":\"FeatureCollection\"}").unwrap();
    let (exit, stderr) = sequences(&sandbox, folder.path(), &server.url, "Park").await;
    assert!(
        exit == 1 && stderr.contains("place.geojson") && stderr.contains("not written by"),
        "{exit}: {stderr}"
    );
    assert_eq!(read(folder.path(), "outputs/place.geojson"), "{\"type\":\"FeatureCollection\"}");
}
