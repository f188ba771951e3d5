//! The built command, as a person uses it.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use streetflow::sandbox::{Asked, Fault, Host, Rule, Sandbox, World};

use crate::support::{command, command_on, names, output};

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

fn with<'a>(mut command: Command, args: impl IntoIterator<Item = &'a str>) -> Command {
    command.args(args);
    command
}

async fn run<'a>(sandbox: &Sandbox, folder: &Path, args: impl IntoIterator<Item = &'a str>) -> (i32, String) {
    output(with(command_on(sandbox, folder), args)).await
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

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
            "downloaded_images",
            "gone.csv",
            "img_dataset.csv",
            "img_meta_dataset.csv",
            "report.json",
            "seq_dataset.csv"
        ]
    );
    for table in ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"] {
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
    assert!(said.contains(&format!("0 downloaded (0 B), {count} already there")), "{said}");
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
    assert!(sandbox.most_in_flight(Host::Images) >= 8, "{}", sandbox.most_in_flight(Host::Images));
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
    assert!(said.contains("ruled out") && said.contains("`--exhaustive`"), "{said}");
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
fn some_pictures(asked: &Asked) -> bool {
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
async fn bad_usage_is_told_in_one_message_with_exit_2_and_leaves_nothing() {
    let sandbox = Sandbox::start().await.unwrap();
    let table = "seq_id,img_id\nabc,1\n";
    let metadata = "seq_id,img_id,captured_at,thumb_256_url\nabc,1,2,https://x/y.jpg\n";
    let cases: [(&[&str], &str, &[&str]); 13] = [
        (&["sequences"], "", &["no box was given", "--bbox"]),
        (&["sequences", "--bbox=35,33,34,36"], "", &["--bbox", "wider than half the world"]),
        (&["sequences", "--bbox=33,36,34,35"], "", &["--bbox", "swapped"]),
        (&["sequences", "--bbox=33,35,33,36"], "", &["--bbox", "empty"]),
        (&["sequences", NICOSIA, "--max-zoom=5"], "", &["--max-zoom", "6..=14"]),
        (&["sequences", NICOSIA, "--min-zoom=14", "--max-zoom=12"], "", &["`--min-zoom 14`"]),
        (&["crawl", NICOSIA, "--fields=colour"], "", &["--fields", "colour", "compass_angle, "]),
        (&["metadata", "--batch-size=51"], table, &["--batch-size", "1..=50"]),
        (&["metadata", "-i", "none.csv"], table, &["`none.csv`"]),
        (&["metadata"], table, &["`outputs/img_dataset.csv`", "run the step before", "--input"]),
        (&["images", "-i", "table.csv"], "id,img_id\n1,2\n", &["`table.csv`", "no column `seq_id`"]),
        (
            &["download", "-i", "table.csv", "--quality=1024"],
            metadata,
            &[
                "`table.csv`",
                "no column `thumb_1024_url`",
                "streetflow metadata --fields captured_at,thumb_256_url,thumb_1024_url",
            ],
        ),
        (&["download", "--quality=512"], metadata, &["--quality", "256, 1024, 2048 or original"]),
    ];
    for (args, input, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("table.csv"), input).unwrap();
        let (exit, said) = run(&sandbox, folder.path(), args.iter().copied()).await;
        assert_eq!(exit, 2, "{args:?}: {said}");
        assert_eq!(said.matches("error:").count(), 1, "{said}");
        for part in expected {
            assert!(said.contains(part), "{args:?} lacks {part}: {said}");
        }
        assert_eq!(names(folder.path()), ["table.csv"], "{args:?}");
    }
    assert!(sandbox.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_looked_for_checked_and_never_shown() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut none = with(command_on(&sandbox, folder.path()), ["sequences", NICOSIA]);
    none.env_remove("MAPILLARY_TOKEN");
    let (exit, said) = output(none).await;
    assert_eq!(exit, 2, "{said}");
    assert!(said.contains("MAPILLARY_TOKEN") && said.contains("hint: "), "{said}");

    let wrong = "MLY|9999999999999999|ffffffffffffffffffffffffffffffff";
    let mut refused = with(command_on(&sandbox, folder.path()), ["crawl", NICOSIA, "-v"]);
    refused.env("MAPILLARY_TOKEN", wrong);
    let (exit, said) = output(refused).await;
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("the token was refused") && !said.contains("ffffffff"), "{said}");
    assert_eq!(names(&folder.path().join("outputs")), ["downloaded_images", "report.json"]);
    assert_eq!(names(&folder.path().join("outputs/downloaded_images")), Vec::<String>::new());

    fs::write(folder.path().join("token"), format!("  {}\n", Sandbox::TOKEN)).unwrap();
    let mut from_file =
        with(command_on(&sandbox, folder.path()), ["sequences", NICOSIA, "--token-file=token"]);
    from_file.env_remove("MAPILLARY_TOKEN");
    let (exit, said) = output(from_file).await;
    assert_eq!(exit, 0, "{said}");
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
async fn an_output_that_cannot_be_written_is_told_before_any_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("outputs"), "a file").unwrap();
    let (exit, said) = run(&sandbox, folder.path(), ["sequences", NICOSIA]).await;
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("error: failed to use the folder `outputs`"), "{said}");
    assert!(sandbox.requests().is_empty());
}

/// Starts a slow crawl and sends a signal when pictures arrive.
#[cfg(unix)]
async fn interrupted(sandbox: &Sandbox, folder: &Path, signal: &str) -> (i32, String) {
    sandbox.script(Rule::on(Host::Images).fault(Fault::Delay(Duration::from_millis(400))));
    let command = with(command_on(sandbox, folder), ["crawl", NICOSIA, "--concurrency=4"]);
    signalled(command, &folder.join("outputs/downloaded_images"), signal).await
}

/// Runs a command, sends a signal when a picture is there, and gives exit code and words.
#[cfg(unix)]
async fn signalled(mut command: Command, pictures: &Path, signal: &str) -> (i32, String) {
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    crate::support::eventually("pictures arrive", || {
        names(pictures).iter().any(|name| !name.starts_with('.'))
    })
    .await;
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    let started = Instant::now();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?} to end", started.elapsed());
    (ended.status.code().unwrap_or(-1), String::from_utf8(ended.stderr).unwrap())
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_well_with_valid_shorter_files() {
    for signal in ["-INT", "-TERM"] {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (exit, said) = interrupted(&sandbox, folder.path(), signal).await;
        assert_eq!(exit, 130, "{said}");
        assert!(said.contains("stopping") && said.contains("stopped early"), "{said}");
        let outputs = folder.path().join("outputs");
        for table in ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"] {
            assert!(read(&outputs, table).ends_with('\n'), "{table}");
        }
        assert!(names(&outputs.join("downloaded_images")).iter().all(|name| name.ends_with("_256.jpg")));
        sandbox.clear_script();
        let (exit, said) = run(&sandbox, folder.path(), ["crawl", NICOSIA]).await;
        assert_eq!(exit, 0, "{said}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_when_only_pictures_are_left_is_no_success() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&sandbox, folder.path(), ["crawl", NICOSIA, "--no-download"]).await;
    sandbox.script(Rule::on(Host::Images).skip(3).fault(Fault::Delay(Duration::from_secs(30))));
    // All rows of the table are under way at once, so the table is at its end.
    let command = with(command_on(&sandbox, folder.path()), ["download", "--concurrency=1000"]);
    let (exit, said) = signalled(command, &folder.path().join("outputs/downloaded_images"), "-INT").await;
    assert_eq!(exit, 130, "{said}");
    assert!(said.contains("stopped early"), "{said}");
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

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_no_half_file_and_the_next_run_sweeps_up() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    interrupted(&sandbox, folder.path(), "-KILL").await;
    let outputs = folder.path().join("outputs");
    let visible =
        |folder: &Path| names(folder).into_iter().filter(|name| !name.starts_with('.')).collect::<Vec<_>>();
    assert_eq!(visible(&outputs), ["downloaded_images"]);
    for name in visible(&outputs.join("downloaded_images")) {
        let truth = sandbox.world().picture(name.strip_suffix("_256.jpg").unwrap(), Some(256)).unwrap();
        assert!(fs::read(outputs.join("downloaded_images").join(name)).unwrap() == truth);
    }
    sandbox.clear_script();
    let (exit, said) = run(&sandbox, folder.path(), ["crawl", NICOSIA]).await;
    assert_eq!(exit, 0, "{said}");
    let hidden = |folder: &Path| names(folder).into_iter().any(|name| name.starts_with('.'));
    assert!(!hidden(&outputs) && !hidden(&outputs.join("downloaded_images")));
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
