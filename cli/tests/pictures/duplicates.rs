//! An image in several rows of a table gives one file and is counted once.

use std::fs;

use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::accounting::{number, report};
use crate::support::pictures::{BOX, PICTURES, run_ok};
use crate::support::{names, read, run};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_in_three_rows_gives_one_picture() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run_ok(&sandbox, folder.path(), &format!("crawl {BOX} --no-download")).await;
    let outputs = folder.path().join("outputs");
    let table = read(&outputs, "img_meta_dataset.csv");
    let mut lines = table.lines();
    let head = lines.next().unwrap();
    let url = head.split(',').position(|name| name == "thumb_256_url").unwrap();
    let rows: Vec<&str> =
        lines.filter(|row| row.split(',').nth(url).is_some_and(|url| !url.is_empty())).take(40).collect();
    assert_eq!(rows.len(), 40);
    // A URL of a host that is not allowed.
    let other = |row: &str| row.replace("127.0.0.1", "pictures.example.org");
    let tripled = |row: &&str| [(*row).to_owned(), other(row), (*row).to_owned()];
    let together: Vec<_> = rows.iter().flat_map(tripled).collect();
    let apart: Vec<_> =
        [0, 1, 2].iter().flat_map(|at| rows.iter().map(move |row| tripled(row)[*at].clone())).collect();
    let first_fails: Vec<_> =
        rows.iter().flat_map(|row| [other(row), (*row).to_owned(), (*row).to_owned()]).collect();
    for (what, rows, args) in [
        ("together", &together, "--concurrency=1"),
        ("together", &together, "--concurrency=64"),
        ("apart", &apart, "--concurrency=3"),
        ("apart", &apart, "--concurrency=64"),
        ("the first one fails", &first_fails, "--concurrency=16"),
    ] {
        fs::write(outputs.join("img_meta_dataset.csv"), format!("{head}\n{}\n", rows.join("\n"))).unwrap();
        fs::remove_dir_all(folder.path().join(PICTURES)).ok();
        sandbox.clear_requests();
        let (exit, stderr) = run(&sandbox, folder.path(), ["download", "--attempts=1", args]).await;
        let report = report(&outputs);
        let step = &report["steps"]["download"];
        let count = |name: &str| number(&step[name]);
        assert_eq!(names(&folder.path().join(PICTURES)).len(), 40, "{what} {args}: {stderr}");
        assert_eq!((count("inputs"), count("rows")), (120, 40), "{what} {args}: {stderr}");
        assert_eq!(count("already_exists") + count("failed"), 80, "{what} {args}: {stderr}");
        if what == "the first one fails" {
            assert_eq!((exit, count("failed")), (3, 40), "{stderr}");
        } else {
            assert_eq!((exit, count("failed")), (0, 0), "{what} {args}: {stderr}");
            assert_eq!(sandbox.requests_to(Host::Images).len(), 40, "{what} {args}");
            assert!(stderr.contains("40 downloaded") && stderr.contains("80 already exist"), "{stderr}");
        }
    }
    // A picture that always fails is a failure of each of its rows, which request it one after the other.
    sandbox.add_rule(Rule::on(Host::Images).fault(Fault::Html));
    fs::remove_dir_all(folder.path().join(PICTURES)).unwrap();
    fs::write(outputs.join("img_meta_dataset.csv"), format!("{head}\n{0}\n{0}\n", rows[0])).unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), ["download", "--attempts=1"]).await;
    assert_eq!(exit, 3, "{stderr}");
    assert!(stderr.contains("2 failed"), "{stderr}");
}
