//! Unreachable hosts: an immediate error with the fix, instead of hours of retries. Also hosts behind SOCKS proxies
//! and with certificates of a private authority.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use streetflow_sandbox::{Host, Sandbox};

use crate::support::{command, command_on, names, output, read, with};

/// Upper limit for a run. Retries would take hours.
const MAX_DURATION: Duration = Duration::from_mins(1);

const NICOSIA: &str = "--bbox=33.3,35.15,33.4,35.2";

const TOKEN: &str = "MLY|1234567890123456|0123456789abcdef0123456789abcdef";

fn certificates(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/tls").join(name)
}

/// Returns a folder with a table of this many sequences.
fn with_sequences(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("outputs")).unwrap();
    let rows: Vec<String> = (0..count).map(|number| format!("SWxf3IwpsCM9GKBaet{number:04}\n")).collect();
    std::fs::write(folder.path().join("outputs/seq_dataset.csv"), format!("seq_id\n{}", rows.concat()))
        .unwrap();
    folder
}

fn images(folder: &Path, graph: &str) -> Command {
    let mut command = with(command(folder), ["images"]);
    for name in ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name);
    }
    command.env("MAPILLARY_TOKEN", TOKEN).env("MAPILLARY_GRAPH_URL", graph);
    command
}

async fn run_promptly(command: Command) -> (i32, String) {
    let started = Instant::now();
    let (exit, stderr) = output(command).await;
    assert!(started.elapsed() < MAX_DURATION, "{:?}: {stderr}", started.elapsed());
    assert!(!stderr.contains("0123456789abcdef"), "{stderr}");
    (exit, stderr)
}

/// Handles every connection in its own thread until the test ends. Returns the port.
fn serve(answer: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || answer(stream).ok());
        }
    });
    port
}

/// Reads the head of a request.
fn head(stream: &mut impl Read) -> io::Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Starts a Graph API over TLS in which each sequence has two images.
fn graph_over_tls(certificate: &str) -> u16 {
    let chain =
        CertificateDer::pem_file_iter(certificates(certificate)).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(certificates("host.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    serve(move |mut socket| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = Stream::new(&mut connection, &mut socket);
        loop {
            head(&mut stream)?;
            let body = r#"{"data":[{"id":"11"},{"id":"12"}]}"#;
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )?;
            stream.flush()?;
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_certificate_is_an_immediate_error_and_a_private_authority_can_be_configured() {
    let folder = with_sequences(300);
    let system = certificates("host.pem");
    let authority = certificates("ca.pem");
    for (certificate, file, hint) in [
        ("host.pem", &system, "set SSL_CERT_FILE"),
        ("expired.pem", &authority, "check the date of this machine"),
        ("other_name.pem", &authority, "its certificate is for another name"),
        (
            "host.pem",
            &folder.path().join("none.pem"),
            "no certificate in PEM format was found in SSL_CERT_FILE",
        ),
    ] {
        let graph = format!("https://localhost:{}", graph_over_tls(certificate));
        let mut untrusting = images(folder.path(), &graph);
        // Without a configured file, the certificates of this machine are used.
        untrusting.env("SSL_CERT_FILE", file);
        let (exit, stderr) = run_promptly(untrusting).await;
        assert_eq!(exit, 1, "{certificate}: {stderr}");
        assert!(stderr.contains(hint), "{certificate}: {stderr}");
        assert_eq!(
            names(&folder.path().join("outputs")).iter().filter(|name| *name == "img_dataset.csv").count(),
            0
        );
    }
    let graph = format!("https://localhost:{}", graph_over_tls("host.pem"));
    let mut trusting = images(folder.path(), &graph);
    trusting.env("SSL_CERT_FILE", &authority);
    let (exit, stderr) = run_promptly(trusting).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(read(folder.path(), "outputs/img_dataset.csv").lines().count(), 601, "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_tls_or_without_listener_ends_the_run_quickly() {
    let plain =
        serve(|mut stream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"));
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let cases = [
        (format!("https://localhost:{plain}"), "its URL begins with `http:`"),
        (format!("http://127.0.0.1:{closed}"), "check the network connection and the URL of the host"),
        ("http://no-such-host.invalid".to_owned(), "network connection"),
    ];
    for (graph, hint) in cases {
        let folder = with_sequences(300);
        let (exit, stderr) = run_promptly(images(folder.path(), &graph)).await;
        assert_eq!(exit, 1, "{graph}: {stderr}");
        assert!(stderr.contains(hint), "{graph}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_certificates_are_needed_if_all_hosts_use_plain_http() {
    let folder = tempfile::tempdir().unwrap();
    let mut embedded =
        with(command(folder.path()), ["crawl", "--sandbox", NICOSIA, "--quality=256", "--yes"]);
    embedded.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
    let (exit, stderr) = output(embedded).await;
    assert!(exit == 0 && !stderr.contains("ertificate"), "{stderr}");

    let sandbox = Sandbox::start().await.unwrap();
    let mut served = with(command_on(&sandbox, folder.path()), ["sequences", NICOSIA, "--output=served"]);
    served.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
    let (exit, stderr) = output(served).await;
    assert!(exit == 0 && !stderr.contains("ertificate"), "{stderr}");
}

/// Starts a SOCKS5 server that connects every host to one port. Counts the connections to the name `graph.test`.
fn socks(target: u16, named: Arc<AtomicU32>, password: Option<&'static str>) -> u16 {
    serve(move |mut client| {
        let mut byte = [0; 2];
        client.read_exact(&mut byte)?;
        let mut methods = vec![0; byte[1].into()];
        client.read_exact(&mut methods)?;
        let method = if password.is_some() { 2 } else { 0 };
        if !methods.contains(&method) {
            return client.write_all(&[5, 0xff]);
        }
        client.write_all(&[5, method])?;
        if let Some(password) = password {
            let mut version = [0];
            client.read_exact(&mut version)?;
            let mut text = || -> io::Result<Vec<u8>> {
                let mut length = [0];
                client.read_exact(&mut length)?;
                let mut text = vec![0; length[0].into()];
                client.read_exact(&mut text).map(|()| text)
            };
            let (_name, given) = (text()?, text()?);
            if given != password.as_bytes() {
                return client.write_all(&[1, 1]);
            }
            client.write_all(&[1, 0])?;
        }
        let mut request = [0; 4];
        client.read_exact(&mut request)?;
        let name = if request[3] == 3 {
            let mut length = [0];
            client.read_exact(&mut length)?;
            let mut name = vec![0; length[0].into()];
            client.read_exact(&mut name)?;
            String::from_utf8_lossy(&name).into_owned()
        } else {
            let mut address = [0; 4];
            client.read_exact(&mut address)?;
            std::net::Ipv4Addr::from(address).to_string()
        };
        let mut port = [0; 2];
        client.read_exact(&mut port)?;
        if name == "graph.test" {
            named.fetch_add(1, Ordering::Relaxed);
        }
        let server = TcpStream::connect(("127.0.0.1", target).to_socket_addrs()?.next().unwrap())?;
        client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;
        let (mut up, mut down) = (client.try_clone()?, server.try_clone()?);
        let (mut server, mut client) = (server, client);
        thread::spawn(move || {
            io::copy(&mut up, &mut server).ok();
            server.shutdown(Shutdown::Write).ok();
        });
        io::copy(&mut down, &mut client)?;
        client.shutdown(Shutdown::Write)
    })
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_requests_go_through_a_socks_proxy() {
    let sandbox = Sandbox::builder().image_base("http://graph.test").start().await.unwrap();
    let graph = format!("http://graph.test:{}", port_of(sandbox.graph_url()));
    let named = Arc::new(AtomicU32::new(0));
    let open = socks(port_of(sandbox.graph_url()), Arc::clone(&named), None);
    let closed = socks(port_of(sandbox.graph_url()), Arc::clone(&named), Some("pass-word"));
    let run = |proxy: String, output: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = with(command_on(&sandbox, folder.path()), ["images", "--output", output]);
        command.env("ALL_PROXY", proxy).env("MAPILLARY_GRAPH_URL", &graph);
        std::fs::create_dir(folder.path().join(output)).unwrap();
        let sequence =
            sandbox.mock_data().sequences().iter().find(|sequence| !sequence.is_gone()).unwrap().id();
        std::fs::write(folder.path().join(output).join("seq_dataset.csv"), format!("seq_id\n{sequence}\n"))
            .unwrap();
        async move {
            let ended = run_promptly(command).await;
            drop(folder);
            ended
        }
    };
    let (exit, stderr) = run(format!("socks5h://127.0.0.1:{open}"), "a").await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(named.load(Ordering::Relaxed) > 0, "the proxy resolves the name");
    let (exit, stderr) = run(format!("socks5h://me:pass-word@127.0.0.1:{closed}"), "b").await;
    assert_eq!(exit, 0, "{stderr}");
    for proxy in
        [format!("socks5h://me:wrong-word@127.0.0.1:{closed}"), format!("socks5h://127.0.0.1:{closed}")]
    {
        let (exit, stderr) = run(proxy, "c").await;
        assert_eq!(exit, 1, "{stderr}");
        assert!(
            stderr.contains("the proxy requires authentication") && stderr.contains("ALL_PROXY"),
            "{stderr}"
        );
        assert!(!stderr.contains("wrong-word"), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_and_pictures_use_socks_too_and_local_names_are_resolved_locally() {
    let sandbox = Sandbox::start().await.unwrap();
    let connections = Arc::new(AtomicU32::new(0));
    // Loopback addresses are requested directly, so Graph API and tiles have host names here.
    let count = Arc::clone(&connections);
    let proxy = socks(port_of(sandbox.images_url()), Arc::new(AtomicU32::new(0)), None);
    let counting = serve(move |client| {
        count.fetch_add(1, Ordering::Relaxed);
        let server = TcpStream::connect(("127.0.0.1", proxy))?;
        let (mut up, mut down) = (client.try_clone()?, server.try_clone()?);
        let (mut server, mut client) = (server, client);
        thread::spawn(move || {
            io::copy(&mut up, &mut server).ok();
            server.shutdown(Shutdown::Write).ok();
        });
        io::copy(&mut down, &mut client)?;
        client.shutdown(Shutdown::Write)
    });
    let folder = tempfile::tempdir().unwrap();
    let reply = ["crawl", NICOSIA, "--quality=256", "--yes"];
    let mut through = with(command_on(&sandbox, folder.path()), reply);
    through.env("ALL_PROXY", format!("socks5://127.0.0.1:{counting}"));
    let (exit, stderr) = run_promptly(through).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(connections.load(Ordering::Relaxed) > 0, "pictures go through the proxy");
    connections.store(0, Ordering::Relaxed);
    let mut direct = with(command_on(&sandbox, folder.path()), reply);
    direct.args(["--output=direct"]);
    direct.env("ALL_PROXY", format!("socks5://127.0.0.1:{counting}")).env("NO_PROXY", "127.0.0.1");
    let (exit, stderr) = run_promptly(direct).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(connections.load(Ordering::Relaxed), 0, "NO_PROXY");
    assert!(!sandbox.requests_to(Host::Tiles).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsupported_proxy_is_rejected_at_the_start_without_showing_its_password() {
    for (name, value) in [
        ("ALL_PROXY", "socks4://me:pass-word@127.0.0.1:1080"),
        ("https_proxy", "ftp://me:pass-word@127.0.0.1:21"),
        ("HTTP_PROXY", "pass-word is this"),
        ("all_proxy", "http://me:pass@word@host:1"),
    ] {
        let folder = with_sequences(1);
        let mut command = images(folder.path(), "http://graph.test");
        command.env(name, value);
        let (exit, stderr) = run_promptly(command).await;
        assert_eq!(exit, 2, "{name}: {stderr}");
        assert!(stderr.contains(name) && stderr.contains("socks5h"), "{stderr}");
        assert!(!stderr.contains("pass-word") && !stderr.contains("pass@word"), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_requires_a_password_is_an_immediate_error() {
    let attempts = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&attempts);
    let proxy = serve(move |mut stream| {
        head(&mut stream)?;
        count.fetch_add(1, Ordering::Relaxed);
        stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n")
    });
    for (graph, name) in [("http://graph.test", "HTTP_PROXY"), ("https://graph.test", "HTTPS_PROXY")] {
        let folder = with_sequences(300);
        let mut command = images(folder.path(), graph);
        command.env(name, format!("http://me:pass-word@127.0.0.1:{proxy}"));
        let (exit, stderr) = run_promptly(command).await;
        assert_eq!(exit, 1, "{graph}: {stderr}");
        assert!(stderr.contains("the proxy requires authentication") && stderr.contains(name), "{stderr}");
        assert!(!stderr.contains("pass-word"), "{stderr}");
    }
    let attempts = attempts.load(Ordering::Relaxed);
    assert!(attempts <= 2 * 64, "no request is repeated: {attempts}");
}
