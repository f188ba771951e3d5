//! A user name and password in the URL of a mirror are sent only to the mirror.

use std::fs;
use std::path::Path;

use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::command_on;

const SECRET: &str = "hunter2-s3cret";

/// Returns all files below a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_a_url_is_never_written_or_printed() {
    let sandbox = Sandbox::start().await.unwrap();
    // The stored responses of a failed run stay, with their query.
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(500, "")));
    let with_login = |url: &str| url.replace("http://", &format!("http://me:{SECRET}@"));
    let (graph, tiles) = (with_login(sandbox.graph_url()), with_login(sandbox.tiles_url()));
    let broken = format!("http://me:{SECRET}@127.0.0.1:notaport/x");
    let no_scheme = format!("me:{SECRET}@127.0.0.1");
    let crawl = ["crawl", "--bbox=33.33,35.15,33.39,35.19", "--no-download", "--attempts=1", "-v"];
    let config = format!("graph_url = \"{graph}\"\n");
    for (args, set, exit) in [
        (vec!["--graph-url", &*graph], None, None),
        (vec!["--graph-url", &*graph, "--tiles-url", &*tiles], None, Some(1)),
        (vec!["--graph-url", &*broken], None, Some(2)),
        (vec!["--tiles-url", &*no_scheme], None, Some(2)),
        (vec!["--allow-host", &*graph], None, Some(2)),
        (vec!["--progress=json"], Some(&graph), None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for first in [&crawl[..], &["config"]] {
            let mut command = command_on(&sandbox, folder.path());
            command.args(first).args(&args);
            if let Some(set) = set {
                command.env("MAPILLARY_GRAPH_URL", set);
            }
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            let stderr = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(!stderr.contains(SECRET), "{args:?}: {stderr}");
            if let Some(exit) = exit.filter(|_| first.len() > 1) {
                assert_eq!(output.status.code(), Some(exit), "{stderr}");
            }
        }
        for (name, bytes) in files(folder.path()) {
            assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "{name}");
        }
        if exit.is_none() {
            let names: Vec<_> = files(folder.path()).into_iter().map(|(name, _)| name).collect();
            assert!(names.iter().any(|name| name.ends_with("question")), "{names:?}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("streetflow.toml"), config).unwrap();
    let mut command = command_on(&sandbox, folder.path());
    command.arg("config").env_remove("MAPILLARY_GRAPH_URL");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!stderr.contains(SECRET) && stderr.contains("127.0.0.1"), "{stderr}");
}
