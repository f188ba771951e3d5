//! A stand-in for S3 and Google Cloud Storage with one bucket in memory, and faults on demand.
//!
//! It knows what `object_store` sends: PUT with `If-None-Match`, `If-Match` and `x-goog-if-generation-match`, GET, HEAD,
//! DELETE, lists, and uploads in parts. It checks no signature.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Credentials that no output may contain.
pub(crate) const KEY_ID: &str = "AKIDSTANDIN123456";
pub(crate) const SECRET: &str = "s3cretOfTheStandIn/0987654321";

/// A fault: the answer to requests with this method and this text in path or query.
pub(crate) struct Fault {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) times: usize,
    pub(crate) answer: Answer,
}

#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// A status and the code of an error.
    Error(u16, &'static str),
    /// The connection is closed in the middle of the request.
    Cut,
    /// The request is executed, and the connection is closed before the response.
    Lost,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, (Vec<u8>, u64)>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    version: u64,
    requests: Vec<String>,
    faults: VecDeque<Fault>,
}

#[derive(Clone)]
pub(crate) struct Bucket {
    url: String,
    state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    path: String,
    /// Path and query.
    target: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

type Response = (u16, Vec<(&'static str, String)>, Vec<u8>);

impl Bucket {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bucket = Self { url, state: Arc::default() };
        let serving = bucket.clone();
        // Ends with the test process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let bucket = serving.clone();
                std::thread::spawn(move || bucket.serve(&stream));
            }
        });
        bucket
    }

    /// Sets the environment of a command to this stand-in, and its state directory.
    pub(crate) fn configure(&self, command: &mut Command, state: &std::path::Path) {
        command
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("XDG_STATE_HOME", state)
            .env("NO_PROXY", "127.0.0.1");
    }

    /// As `configure`, for URLs of Google Cloud Storage.
    pub(crate) fn configure_google(&self, command: &mut Command, state: &std::path::Path) {
        let account = format!(
            r#"{{"gcs_base_url":"{}","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}}"#,
            self.url
        );
        command
            .env("GOOGLE_SERVICE_ACCOUNT_KEY", account)
            .env("GOOGLE_ALLOW_HTTP", "true")
            .env("XDG_STATE_HOME", state)
            .env("NO_PROXY", "127.0.0.1");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.state().faults.push_back(fault);
    }

    pub(crate) fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// The objects with their contents, without the lock.
    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let all = state.objects.iter().filter(|(key, _)| !key.ends_with(".streetflow.lock"));
        all.map(|(key, (content, _))| (key.clone(), content.clone())).collect()
    }

    /// The keys of uploads that were neither completed nor aborted.
    pub(crate) fn uploads(&self) -> Vec<String> {
        self.state().uploads.keys().cloned().collect()
    }

    pub(crate) fn put(&self, key: &str, content: &[u8]) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        state.objects.insert(key.to_owned(), (content.to_owned(), version));
    }

    pub(crate) fn remove(&self, key: &str) {
        self.state().objects.remove(key);
    }

    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read_request(&mut reader) {
            let Some((status, headers, body)) = self.answer(&request) else { return };
            let mut head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                head.extend([name, ": ", &value, "\r\n"]);
            }
            let mut out = stream;
            let body = if request.method == "HEAD" { &[][..] } else { &body };
            if out
                .write_all(head.as_bytes())
                .and_then(|()| out.write_all(b"\r\n"))
                .and_then(|()| out.write_all(body))
                .is_err()
            {
                return;
            }
        }
    }

    fn answer(&self, request: &Request) -> Option<Response> {
        let mut state = self.state();
        state.requests.push(format!("{} {}", request.method, request.path));
        let fault = state.faults.iter_mut().find(|fault| {
            fault.times > 0 && fault.method == request.method && request.target.contains(fault.path)
        });
        let mut is_lost = false;
        if let Some(fault) = fault {
            fault.times -= 1;
            match fault.answer {
                Answer::Cut => return None,
                Answer::Error(status, code) => return Some(error(status, code)),
                Answer::Lost => is_lost = true,
            }
        }
        // The path is `/bucket/key`.
        let (bucket, key) = request.path[1..].split_once('/').unwrap_or((&request.path[1..], ""));
        if bucket != "streets" {
            return Some(error(404, "NoSuchBucket"));
        }
        let response = state.answer(request, key);
        (!is_lost).then_some(response)
    }
}

impl State {
    fn answer(&mut self, request: &Request, key: &str) -> Response {
        let query = |name: &str| request.query.get(name).cloned();
        match (request.method.as_str(), query("uploadId")) {
            ("GET", _) if key.is_empty() => self.list(request),
            ("POST", None) if request.query.contains_key("delete") => {
                let body = String::from_utf8_lossy(&request.body).into_owned();
                let mut deleted = String::new();
                for key in body.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()) {
                    self.objects.remove(key);
                    deleted.extend(["<Deleted><Key>", key, "</Key></Deleted>"]);
                }
                ok(format!("<DeleteResult>{deleted}</DeleteResult>"))
            }
            ("POST", None) => {
                self.version += 1;
                let id = format!("{}-{key}", self.version).replace('/', "_");
                self.uploads.insert(id.clone(), BTreeMap::new());
                ok(format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ))
            }
            ("PUT", Some(id)) => {
                let part = query("partNumber").and_then(|number| number.parse().ok()).unwrap_or(0);
                match self.uploads.get_mut(&id) {
                    Some(parts) => drop(parts.insert(part, request.body.clone())),
                    None => return error(404, "NoSuchUpload"),
                }
                (200, vec![("etag", format!("\"part-{part}\""))], Vec::new())
            }
            ("POST", Some(id)) => match self.uploads.remove(&id) {
                Some(parts) => {
                    let version = self.insert(key, parts.into_values().flatten().collect());
                    ok(format!(
                        "<CompleteMultipartUploadResult><ETag>\"{version}\"</ETag></CompleteMultipartUploadResult>"
                    ))
                }
                None => error(404, "NoSuchUpload"),
            },
            ("DELETE", Some(id)) => {
                self.uploads.remove(&id);
                (204, Vec::new(), Vec::new())
            }
            ("PUT", None) => {
                let current = self.objects.get(key).map(|(_, version)| format!("\"{version}\""));
                let header = |name: &str| request.headers.get(name);
                if header("if-none-match").is_some() && current.is_some() {
                    return error(412, "PreconditionFailed");
                }
                if header("if-match").is_some_and(|tag| Some(tag) != current.as_ref()) {
                    return error(412, "PreconditionFailed");
                }
                let generation = header("x-goog-if-generation-match").and_then(|text| text.parse().ok());
                let existing = self.objects.get(key).map_or(0, |(_, version)| *version);
                if generation.is_some_and(|expected: u64| expected != existing) {
                    return error(412, "PreconditionFailed");
                }
                let version = self.insert(key, request.body.clone());
                (200, headers(version), Vec::new())
            }
            ("GET" | "HEAD", _) => match self.objects.get(key) {
                Some((content, version)) => (200, headers(*version), content.clone()),
                None => error(404, "NoSuchKey"),
            },
            ("DELETE", None) => {
                self.objects.remove(key);
                (204, Vec::new(), Vec::new())
            }
            _ => error(405, "MethodNotAllowed"),
        }
    }

    fn insert(&mut self, key: &str, content: Vec<u8>) -> u64 {
        self.version += 1;
        self.objects.insert(key.to_owned(), (content, self.version));
        self.version
    }

    /// Lists everything below a prefix in one page, with `delimiter` without folders below.
    fn list(&self, request: &Request) -> Response {
        let prefix = request.query.get("prefix").cloned().unwrap_or_default();
        let is_flat = request.query.contains_key("delimiter");
        let mut xml = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
        let mut folders = BTreeSet::new();
        for (key, (content, version)) in self.objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            if let Some((folder, _)) = key[prefix.len()..].split_once('/').filter(|_| is_flat) {
                folders.insert(folder);
            } else {
                let len = content.len();
                xml.extend([format!(
                    "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"{version}\"</ETag><Size>{len}</Size></Contents>"
                )]);
            }
        }
        for folder in folders {
            xml.extend([format!("<CommonPrefixes><Prefix>{prefix}{folder}/</Prefix></CommonPrefixes>")]);
        }
        ok(xml + "</ListBucketResult>")
    }
}

fn headers(version: u64) -> Vec<(&'static str, String)> {
    vec![
        ("etag", format!("\"{version}\"")),
        ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT".to_owned()),
        ("x-goog-generation", version.to_string()),
    ]
}

fn ok(xml: String) -> Response {
    (200, Vec::new(), xml.into_bytes())
}

/// As S3 does, the body repeats parts of the request.
fn error(status: u16, code: &str) -> Response {
    let xml = format!(
        "<Error><Code>{code}</Code><Message>scripted</Message><AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId><StringToSign>{SECRET}</StringToSign></Error>"
    );
    (status, Vec::new(), xml.into_bytes())
}

/// A text without percent-encoding. No name in the tests has a reserved character but `/`.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap();
        decoded.push(char::from(byte));
        decoded.push_str(&part[2..]);
    }
    decoded
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let len = headers.get("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    let target = decoded(&target);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    };
    let query = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
    let path = path.to_owned();
    Some(Request { method, path, target, query, headers, body })
}
