//! The built command, as a person uses it.

use std::collections::HashSet;
use std::fs;
#[cfg(unix)]
use std::process::Command;
use std::time::Duration;

use streetflow_sandbox::{Fault, Host, RecordedRequest, Rule, Sandbox, World};

use crate::support::{command, command_on, names, output, read, run, with};

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

#[tokio::test(flavor = "multi_thread")]
async fn four_steps_and_crawl_write_the_same_files() {
    let sandbox = Sandbox::start().await.unwrap();
    let (steps, crawl) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fields = "--fields=captured_at,compass_angle,creator,thumb_256_url,width";
    for args in [&["sequences", NICOSIA][..], &["images"], &["metadata", fields], &["download"]] {
        let (exit, said) = run(&sandbox, steps.path(), args.iter().copied()).await;
        assert_eq!(exit, 0, "{args:?}: {said}");
    }
    let (exit, said) = run(&sandbox, crawl.path(), ["crawl", NICOSIA, fields]).await;
    assert_eq!(exit, 0, "{said}");
    let (steps, crawl) = (steps.path().join("outputs"), crawl.path().join("outputs"));
    assert_eq!(
        names(&steps),
        [
            "ATTRIBUTION.txt",
            "downloaded_images",
            "gone.csv",
            "img_dataset.csv",
            "img_meta_dataset.csv",
            "report.json",
            "seq_dataset.csv"
        ]
    );
    for table in ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv", "ATTRIBUTION.txt"] {
        assert!(read(&steps, table) == read(&crawl, table), "{table} differs");
    }
    let pictures = names(&steps.join("downloaded_images"));
    assert!(pictures.len() > 100, "{}", pictures.len());
    assert_eq!(pictures, names(&crawl.join("downloaded_images")));
    for name in pictures {
        let id = name.strip_suffix("_256.jpg").unwrap();
        let truth = sandbox.world().picture(id, Some(256)).unwrap();
        assert!(fs::read(crawl.join("downloaded_images").join(&name)).unwrap() == truth, "{name}");
    }
    let header = read(&steps, "img_meta_dataset.csv").lines().next().unwrap().to_owned();
    assert_eq!(
        header,
        "seq_id,img_id,captured_at,compass_angle,creator_id,creator_username,thumb_256_url,width"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_download_asks_for_nothing_and_says_so() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let owner = format!("--org-id={}", World::ORGANIZATION);
    run(&sandbox, folder.path(), ["crawl", NICOSIA, &owner]).await;
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), ["download"]).await;
    assert_eq!((exit, sandbox.requests().len()), (0, 0), "{said}");
    let count = names(&folder.path().join("outputs/downloaded_images")).len();
    assert!(said.contains(&format!("0 downloaded (0 B), {count} already exist")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_come_long_before_the_last_tile() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(20)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, said) =
        run(&sandbox, folder.path(), ["crawl", "--bbox=32.19,34.52,34.18,35.49", "--exhaustive"]).await;
    assert_eq!(exit, 0, "{said}");
    let first_picture = sandbox.requests_to(Host::Images)[0].at;
    let last_tile = sandbox.requests_to(Host::Tiles).last().unwrap().at;
    assert!(first_picture < last_tile / 2, "{first_picture:?} of {last_tile:?}");
    assert!(sandbox.max_in_flight(Host::Images) >= 8, "{}", sandbox.max_in_flight(Host::Images));
}

#[tokio::test(flavor = "multi_thread")]
async fn crawl_without_pictures_and_with_a_quality_of_its_own() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, _) = run(&sandbox, folder.path(), ["crawl", NICOSIA, "--no-download", "-o", "tables"]).await;
    let written = ["gone.csv", "img_dataset.csv", "img_meta_dataset.csv", "report.json", "seq_dataset.csv"];
    assert_eq!((exit, names(&folder.path().join("tables"))), (0, written.map(str::to_owned).to_vec()));
    assert!(sandbox.requests_to(Host::Images).is_empty());
    let (exit, said) = run(
        &sandbox,
        folder.path(),
        ["crawl", NICOSIA, "--fields=width", "--quality=1024", "--org-id", World::USER_ID],
    )
    .await;
    assert_eq!(exit, 0, "{said}");
    let table = read(folder.path(), "outputs/img_meta_dataset.csv");
    assert_eq!(table.lines().next(), Some("seq_id,img_id,width,thumb_1024_url"));
    assert!(
        names(&folder.path().join("outputs/downloaded_images"))
            .iter()
            .all(|name| name.ends_with("_1024.jpg"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_sandbox_needs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let owner = format!("--org-id={}", World::ORGANIZATION);
    let (exit, said) = output(with(command(folder.path()), ["crawl", "--sandbox", &owner])).await;
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("pruned") && said.contains("`--exhaustive`"), "{said}");
    let (exit, said) = output(with(command(folder.path()), ["download", "--sandbox"])).await;
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("0 downloaded"), "a later run reads the same URLs: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_area_gives_empty_tables() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, said) = run(&sandbox, folder.path(), ["crawl", "--bbox", "-30.2,-20.1,-30.1,-20"]).await;
    assert_eq!(exit, 0, "{said}");
    assert_eq!(read(folder.path(), "outputs/seq_dataset.csv"), "org_id,seq_id\n");
    assert_eq!(read(folder.path(), "outputs/img_dataset.csv"), "seq_id,img_id\n");
}

/// A few pictures, the same in every run.
fn some_pictures(asked: &RecordedRequest) -> bool {
    asked.host == Host::Images && asked.path.bytes().map(u32::from).sum::<u32>().is_multiple_of(60)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_named_and_the_next_run_has_it() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    sandbox.script(Rule::when(some_pictures).fault(Fault::status(404, "gone")));
    let (exit, said) = run(&sandbox, folder.path(), ["crawl", NICOSIA]).await;
    assert_eq!(exit, 3, "{said}");
    let asked = sandbox.requests();
    let bad: HashSet<_> =
        asked.iter().filter(|asked| some_pictures(asked)).map(|asked| &asked.path).collect();
    assert!(
        bad.len() > 1
            && said.contains(&format!("{} failed", bad.len()))
            && said.contains("outputs/failures.csv"),
        "{said}"
    );
    let failures = read(folder.path(), "outputs/failures.csv");
    assert_eq!(failures.lines().next(), Some("step,id,reason,attempts,last_status"));
    assert!(
        failures.lines().skip(1).all(|row| row.starts_with("download,") && row.ends_with(",1,404")),
        "{failures}"
    );
    assert_eq!(failures.lines().count(), bad.len() + 1);
    sandbox.clear_script();
    let (exit, said) = run(&sandbox, folder.path(), ["download"]).await;
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains(&format!("{} downloaded", bad.len())), "{said}");
    assert!(!folder.path().join("outputs/failures.csv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_counted_and_named() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, said) =
        run(&sandbox, folder.path(), ["crawl", "--bbox=32.19,34.52,34.18,35.49", "--no-download"]).await;
    assert_eq!(exit, 0, "{said}");
    let gone = sandbox.world().sequences().iter().find(|drive| drive.is_gone()).unwrap();
    assert!(said.contains(&format!("gone at Mapillary: 1 sequence ({})", gone.id())), "{said}");
    assert!(said.contains("gone at Mapillary: 3 images (") && said.contains("`outputs/gone.csv`"), "{said}");
    let rows = read(folder.path(), "outputs/gone.csv");
    assert_eq!(rows.lines().count(), 1 + 1 + 3);
    assert!(rows.contains(&format!("\nimages,{},", gone.id())) && rows.contains(" of sequence "), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_of_the_tile_host_is_explained_with_exit_1() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    sandbox.script(Rule::on(Host::Tiles).fault(Fault::Redirect));
    let (exit, said) = run(&sandbox, folder.path(), ["sequences", "--bbox=32.19,34.52,34.18,35.49"]).await;
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("blocked this address") && said.contains("about a day"), "{said}");
    assert!(!said.contains("0123456789abcdef"), "{said}");
    assert_eq!(names(&folder.path().join("outputs")), ["report.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_which_everything_failed_leaves_the_tables_alone() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&sandbox, folder.path(), ["crawl", NICOSIA, "--no-download"]).await;
    let before = read(folder.path(), "outputs/img_dataset.csv");
    sandbox.script(Rule::on(Host::Graph).fault(Fault::status(503, "")));
    let (exit, said) = run(&sandbox, folder.path(), ["images", "--attempts=1"]).await;
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("left as they were"), "{said}");
    assert!(read(folder.path(), "outputs/img_dataset.csv") == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_could_not_try_keeps_the_failures_of_the_one_before() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    sandbox.script(Rule::when(some_pictures).fault(Fault::status(404, "")));
    run(&sandbox, folder.path(), ["crawl", NICOSIA]).await;
    sandbox.clear_script();
    let failures = read(folder.path(), "outputs/failures.csv");
    let (exit, _) = run(&sandbox, folder.path(), ["download", "-i", "typo.csv"]).await;
    assert_eq!((exit, read(folder.path(), "outputs/failures.csv")), (2, failures));
    run(&sandbox, folder.path(), ["download"]).await;
    assert!(!folder.path().join("outputs/failures.csv").exists());
    fs::write(folder.path().join("outputs/failures.csv"), "mine\n").unwrap();
    run(&sandbox, folder.path(), ["download"]).await;
    assert_eq!(read(folder.path(), "outputs/failures.csv"), "mine\n");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_read_to_its_end_once() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&sandbox, folder.path(), ["crawl", "--bbox=32.19,34.52,34.18,35.49", "--no-download"]).await;
    let rows = read(folder.path(), "outputs/img_meta_dataset.csv");
    let mut shell = Command::new("bash");
    let binary = env!("CARGO_BIN_EXE_streetflow");
    shell
        .args(["-c", &format!("{binary} metadata -o piped -i <(cat outputs/img_dataset.csv)")])
        .current_dir(folder.path());
    shell.env("MAPILLARY_TOKEN", Sandbox::TOKEN).env("MAPILLARY_GRAPH_URL", sandbox.graph_url());
    let (exit, said) = output(shell).await;
    assert_eq!(exit, 0, "{said}");
    assert!(read(folder.path(), "piped/img_meta_dataset.csv") == rows, "rows are lost: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_is_quiet_and_help_tells_the_exit_codes() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, said) = run(&sandbox, folder.path(), ["sequences", NICOSIA, "-q"]).await;
    assert_eq!((exit, said.as_str()), (0, ""));
    let help = command(folder.path()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for line in
        ["  0    done", "  3    done, but some records failed", "  130  interrupted", "MAPILLARY_TOKEN"]
    {
        assert!(help.contains(line), "{help}");
    }
    let help = command(folder.path()).args(["sequences", "--help"]).output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("MLY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_is_an_input() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let drive = sandbox.world().sequences().iter().find(|drive| !drive.is_gone()).unwrap();
    fs::write(folder.path().join("in"), format!("seq_id\n{}\n", drive.id())).unwrap();
    let mut command = with(command_on(&sandbox, folder.path()), ["images", "-i", "-"]);
    command.stdin(fs::File::open(folder.path().join("in")).unwrap());
    let (exit, said) = output(command).await;
    assert_eq!(exit, 0, "{said}");
    assert_eq!(
        read(folder.path(), "outputs/img_dataset.csv").lines().count(),
        drive.image_count() as usize + 1
    );
}
