//! One image in several rows of a table: one file, counted once.

use std::fs;

use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::accounting::{number, report};
use crate::support::pictures::{BOX, PICTURES, fine};
use crate::support::{names, read, run};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_in_three_rows_is_one_picture() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fine(&sandbox, folder.path(), &format!("crawl {BOX} --no-download")).await;
    let outputs = folder.path().join("outputs");
    let table = read(&outputs, "img_meta_dataset.csv");
    let mut lines = table.lines();
    let head = lines.next().unwrap();
    let url = head.split(',').position(|name| name == "thumb_256_url").unwrap();
    let rows: Vec<&str> =
        lines.filter(|row| row.split(',').nth(url).is_some_and(|url| !url.is_empty())).take(40).collect();
    assert_eq!(rows.len(), 40);
    // A URL of a host that is not asked.
    let other = |row: &str| row.replace("127.0.0.1", "pictures.example.org");
    let tripled = |row: &&str| [(*row).to_owned(), other(row), (*row).to_owned()];
    let together: Vec<_> = rows.iter().flat_map(tripled).collect();
    let apart: Vec<_> =
        [0, 1, 2].iter().flat_map(|at| rows.iter().map(move |row| tripled(row)[*at].clone())).collect();
    let first_fails: Vec<_> =
        rows.iter().flat_map(|row| [other(row), (*row).to_owned(), (*row).to_owned()]).collect();
    for (what, rows, words) in [
        ("together", &together, "--concurrency=1"),
        ("together", &together, "--concurrency=64"),
        ("apart", &apart, "--concurrency=3"),
        ("apart", &apart, "--concurrency=64"),
        ("the first one fails", &first_fails, "--concurrency=16"),
    ] {
        fs::write(outputs.join("img_meta_dataset.csv"), format!("{head}\n{}\n", rows.join("\n"))).unwrap();
        fs::remove_dir_all(folder.path().join(PICTURES)).ok();
        sandbox.clear_requests();
        let (exit, said) = run(&sandbox, folder.path(), ["download", "--attempts=1", words]).await;
        let report = report(&outputs);
        let step = &report["steps"]["download"];
        let count = |name: &str| number(&step[name]);
        assert_eq!(names(&folder.path().join(PICTURES)).len(), 40, "{what} {words}: {said}");
        assert_eq!((count("inputs"), count("rows")), (120, 40), "{what} {words}: {said}");
        assert_eq!(count("already_exists") + count("failed"), 80, "{what} {words}: {said}");
        if what == "the first one fails" {
            assert_eq!((exit, count("failed")), (3, 40), "{said}");
        } else {
            assert_eq!((exit, count("failed")), (0, 0), "{what} {words}: {said}");
            assert_eq!(sandbox.requests_to(Host::Images).len(), 40, "{what} {words}");
            assert!(said.contains("40 downloaded") && said.contains("80 already exist"), "{said}");
        }
    }
    // A picture that always fails is a failure of each of its rows, and asked for by one after the other.
    sandbox.script(Rule::on(Host::Images).fault(Fault::Html));
    fs::remove_dir_all(folder.path().join(PICTURES)).unwrap();
    fs::write(outputs.join("img_meta_dataset.csv"), format!("{head}\n{0}\n{0}\n", rows[0])).unwrap();
    let (exit, said) = run(&sandbox, folder.path(), ["download", "--attempts=1"]).await;
    assert_eq!(exit, 3, "{said}");
    assert!(said.contains("2 failed"), "{said}");
}
