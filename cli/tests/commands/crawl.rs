//! The commands in their normal use.

use std::collections::HashSet;
use std::fs;
#[cfg(unix)]
use std::process::Command;
use std::time::Duration;

use streetflow_sandbox::{Fault, Host, MockData, RecordedRequest, Rule, Sandbox};

use crate::support::{command, command_on, names, output, read, run, with};

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

#[tokio::test(flavor = "multi_thread")]
async fn four_steps_and_crawl_write_the_same_files() {
    let sandbox = Sandbox::start().await.unwrap();
    let (steps, crawl) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fields = "--fields=captured_at,compass_angle,creator,thumb_256_url,width";
    for args in [&["sequences", NICOSIA][..], &["images"], &["metadata", fields], &["download"]] {
        let (exit, stderr) = run(&sandbox, steps.path(), args.iter().copied()).await;
        assert_eq!(exit, 0, "{args:?}: {stderr}");
    }
    let (exit, stderr) = run(&sandbox, crawl.path(), ["crawl", NICOSIA, fields]).await;
    assert_eq!(exit, 0, "{stderr}");
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
        let expected = sandbox.mock_data().picture(id, Some(256)).unwrap();
        assert!(fs::read(crawl.join("downloaded_images").join(&name)).unwrap() == expected, "{name}");
    }
    let header = read(&steps, "img_meta_dataset.csv").lines().next().unwrap().to_owned();
    assert_eq!(
        header,
        "seq_id,img_id,captured_at,compass_angle,creator_id,creator_username,thumb_256_url,width"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_download_requests_nothing_and_reports_it() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let owner = format!("--org-id={}", MockData::ORGANIZATION);
    run(&sandbox, folder.path(), ["crawl", NICOSIA, &owner]).await;
    sandbox.clear_requests();
    let (exit, stderr) = run(&sandbox, folder.path(), ["download"]).await;
    assert_eq!((exit, sandbox.requests().len()), (0, 0), "{stderr}");
    let count = names(&folder.path().join("outputs/downloaded_images")).len();
    assert!(stderr.contains(&format!("0 downloaded (0 B), {count} already exist")), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_arrive_long_before_the_last_tile() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(20)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, stderr) =
        run(&sandbox, folder.path(), ["crawl", "--bbox=32.19,34.52,34.18,35.49", "--exhaustive"]).await;
    assert_eq!(exit, 0, "{stderr}");
    let first_picture = sandbox.requests_to(Host::Images)[0].at;
    let last_tile = sandbox.requests_to(Host::Tiles).last().unwrap().at;
    assert!(first_picture < last_tile / 2, "{first_picture:?} of {last_tile:?}");
    assert!(sandbox.max_in_flight(Host::Images) >= 8, "{}", sandbox.max_in_flight(Host::Images));
}

#[tokio::test(flavor = "multi_thread")]
async fn crawl_without_pictures_and_with_another_quality() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, _) = run(&sandbox, folder.path(), ["crawl", NICOSIA, "--no-download", "-o", "tables"]).await;
    let written = ["gone.csv", "img_dataset.csv", "img_meta_dataset.csv", "report.json", "seq_dataset.csv"];
    assert_eq!((exit, names(&folder.path().join("tables"))), (0, written.map(str::to_owned).to_vec()));
    assert!(sandbox.requests_to(Host::Images).is_empty());
    let (exit, stderr) = run(
        &sandbox,
        folder.path(),
        ["crawl", NICOSIA, "--fields=width", "--quality=1024", "--org-id", MockData::USER_ID],
    )
    .await;
    assert_eq!(exit, 0, "{stderr}");
    let table = read(folder.path(), "outputs/img_meta_dataset.csv");
    assert_eq!(table.lines().next(), Some("seq_id,img_id,width,thumb_1024_url"));
    assert!(
        names(&folder.path().join("outputs/downloaded_images"))
            .iter()
            .all(|name| name.ends_with("_1024.jpg"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_mock_server_needs_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let owner = format!("--org-id={}", MockData::ORGANIZATION);
    let (exit, stderr) = output(with(command(folder.path()), ["crawl", "--sandbox", &owner])).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(stderr.contains("pruned") && stderr.contains("`--exhaustive`"), "{stderr}");
    let (exit, stderr) = output(with(command(folder.path()), ["download", "--sandbox"])).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(stderr.contains("0 downloaded"), "a later run uses the same URLs: {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_area_gives_empty_tables() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), ["crawl", "--bbox", "-30.2,-20.1,-30.1,-20"]).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(read(folder.path(), "outputs/seq_dataset.csv"), "org_id,seq_id\n");
    assert_eq!(read(folder.path(), "outputs/img_dataset.csv"), "seq_id,img_id\n");
}

/// Selects a few pictures, the same in every run.
fn some_pictures(request: &RecordedRequest) -> bool {
    request.host == Host::Images && request.path.bytes().map(u32::from).sum::<u32>().is_multiple_of(60)
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_logged_and_the_next_run_completes() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    sandbox.add_rule(Rule::when(some_pictures).fault(Fault::status(404, "gone")));
    let (exit, stderr) = run(&sandbox, folder.path(), ["crawl", NICOSIA]).await;
    assert_eq!(exit, 3, "{stderr}");
    let requests = sandbox.requests();
    let bad: HashSet<_> =
        requests.iter().filter(|request| some_pictures(request)).map(|request| &request.path).collect();
    assert!(
        bad.len() > 1
            && stderr.contains(&format!("{} failed", bad.len()))
            && stderr.contains("outputs/failures.csv"),
        "{stderr}"
    );
    let failures = read(folder.path(), "outputs/failures.csv");
    assert_eq!(failures.lines().next(), Some("step,id,reason,attempts,last_status"));
    assert!(
        failures.lines().skip(1).all(|row| row.starts_with("download,") && row.ends_with(",1,404")),
        "{failures}"
    );
    assert_eq!(failures.lines().count(), bad.len() + 1);
    sandbox.clear_rules();
    let (exit, stderr) = run(&sandbox, folder.path(), ["download"]).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(stderr.contains(&format!("{} downloaded", bad.len())), "{stderr}");
    assert!(!folder.path().join("outputs/failures.csv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_items_are_counted_and_logged() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, stderr) =
        run(&sandbox, folder.path(), ["crawl", "--bbox=32.19,34.52,34.18,35.49", "--no-download"]).await;
    assert_eq!(exit, 0, "{stderr}");
    let gone = sandbox.mock_data().sequences().iter().find(|sequence| sequence.is_gone()).unwrap();
    assert!(stderr.contains(&format!("gone at Mapillary: 1 sequence ({})", gone.id())), "{stderr}");
    assert!(
        stderr.contains("gone at Mapillary: 3 images (") && stderr.contains("`outputs/gone.csv`"),
        "{stderr}"
    );
    let rows = read(folder.path(), "outputs/gone.csv");
    assert_eq!(rows.lines().count(), 1 + 1 + 3);
    assert!(rows.contains(&format!("\nimages,{},", gone.id())) && rows.contains(" of sequence "), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_of_the_tile_host_is_explained_with_exit_code_1() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    sandbox.add_rule(Rule::on(Host::Tiles).fault(Fault::Redirect));
    let (exit, stderr) = run(&sandbox, folder.path(), ["sequences", "--bbox=32.19,34.52,34.18,35.49"]).await;
    assert_eq!(exit, 1, "{stderr}");
    assert!(stderr.contains("blocked this IP address") && stderr.contains("about a day"), "{stderr}");
    assert!(!stderr.contains("0123456789abcdef"), "{stderr}");
    assert_eq!(names(&folder.path().join("outputs")), ["report.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_which_everything_failed_keeps_the_tables() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&sandbox, folder.path(), ["crawl", NICOSIA, "--no-download"]).await;
    let before = read(folder.path(), "outputs/img_dataset.csv");
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(503, "")));
    let (exit, stderr) = run(&sandbox, folder.path(), ["images", "--attempts=1"]).await;
    assert_eq!(exit, 1, "{stderr}");
    assert!(stderr.contains("unchanged"), "{stderr}");
    assert!(read(folder.path(), "outputs/img_dataset.csv") == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_early_keeps_the_failure_log() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    sandbox.add_rule(Rule::when(some_pictures).fault(Fault::status(404, "")));
    run(&sandbox, folder.path(), ["crawl", NICOSIA]).await;
    sandbox.clear_rules();
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
async fn a_pipe_is_read_once() {
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
    let (exit, stderr) = output(shell).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(read(folder.path(), "piped/img_meta_dataset.csv") == rows, "rows are lost: {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_prints_nothing_and_help_lists_the_exit_codes() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), ["sequences", NICOSIA, "-q"]).await;
    assert_eq!((exit, stderr.as_str()), (0, ""));
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
async fn standard_input_can_be_the_input() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sequence = sandbox.mock_data().sequences().iter().find(|sequence| !sequence.is_gone()).unwrap();
    fs::write(folder.path().join("in"), format!("seq_id\n{}\n", sequence.id())).unwrap();
    let mut command = with(command_on(&sandbox, folder.path()), ["images", "-i", "-"]);
    command.stdin(fs::File::open(folder.path().join("in")).unwrap());
    let (exit, stderr) = output(command).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(
        read(folder.path(), "outputs/img_dataset.csv").lines().count(),
        sequence.image_count() as usize + 1
    );
}
