//! Crawls of a user and from ids, compared with the mock data.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use streetflow_sandbox::{Fault, Host, MockData, MockSequence, Rule, Sandbox};

use crate::support::accounting::{check, column, number, report, run, sandbox};
use crate::support::{command_on, names, output, read};

fn sequences_of_user(data: &MockData) -> BTreeSet<String> {
    let theirs = data
        .sequences()
        .iter()
        .filter(|sequence| sequence.creator() == MockData::USER_ID && !sequence.is_gone());
    theirs.map(|sequence| sequence.id().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_found_by_name_everywhere_and_within_an_area() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let args = format!("crawl --user={} --no-download --fields=captured_at --yes", MockData::USER);
    let (exit, stderr) = run(&sandbox, folder.path(), &args).await;
    assert_eq!(exit, 0, "{stderr}");
    let counts = check("user", &sandbox, &outputs, 0);
    let found = column(&outputs, "seq_dataset.csv", "seq_id");
    assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), sequences_of_user(sandbox.mock_data()));
    assert_eq!(found.len(), sequences_of_user(sandbox.mock_data()).len(), "each once");
    assert!(column(&outputs, "seq_dataset.csv", "org_id").iter().all(|id| id == MockData::USER_ID));
    assert!(sandbox.requests_to(Host::Tiles).is_empty() && counts["steps"]["sequences"]["unit"] == "pages");

    // Within an area, by the id of the user.
    sandbox.clear_requests();
    let here = format!("{args} --bbox=33.33,35.15,33.39,35.19");
    let (exit, stderr) = run(&sandbox, folder.path(), &here).await;
    assert_eq!(exit, 0, "{stderr}");
    check("user here", &sandbox, &outputs, 0);
    let here: BTreeSet<_> = column(&outputs, "seq_dataset.csv", "seq_id").into_iter().collect();
    assert!(
        !here.is_empty()
            && here.len() < found.len()
            && here.is_subset(&sequences_of_user(sandbox.mock_data()))
    );

    // Dates are parameters of the search.
    sandbox.clear_requests();
    let (exit, stderr) =
        run(&sandbox, folder.path(), &format!("{args} --from=2021-01-01 --to=2021-12-31")).await;
    assert_eq!(exit, 0, "{stderr}");
    check("user then", &sandbox, &outputs, 0);
    let times = column(&outputs, "img_meta_dataset.csv", "captured_at");
    let year = 1_609_459_200_000..1_640_995_200_000_i64;
    assert!(!times.is_empty() && times.iter().all(|at| year.contains(&at.parse().unwrap())));
    let requests = sandbox.requests_to(Host::Graph);
    let search = requests.iter().find(|request| request.param("creator_username").is_some()).unwrap();
    assert_eq!(search.param("start_captured_at").as_deref(), Some("2021-01-01T00:00:00Z"));
    assert_eq!(search.param("end_captured_at").as_deref(), Some("2022-01-01T00:00:00Z"));

    let (exit, stderr) = run(&sandbox, folder.path(), "crawl --user=nobody --no-download -o none").await;
    assert!(exit == 2 && stderr.contains("`nobody`") && stderr.contains("app/user/NAME"), "{stderr}");
    assert_eq!(names(&folder.path().join("none")), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_of_a_user_are_read_and_stored_for_the_next_run() {
    let sandbox = Sandbox::builder().mock_data(MockData::with_image_count(20_000, 5)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let args = format!("sequences --user={} --attempts=1", MockData::USER);
    let pages = |sandbox: &Sandbox| {
        let requests = sandbox.requests_to(Host::Graph);
        requests.into_iter().filter(|request| request.path.ends_with("/images")).count()
    };
    // The third page fails, so the run does not know the rest.
    sandbox.add_rule(Rule::on(Host::Graph).skip(2).times(1).fault(Fault::status(503, "")));
    let (exit, stderr) = run(&sandbox, folder.path(), &args).await;
    assert_eq!(exit, 3, "{stderr}");
    let images: u32 = sandbox
        .mock_data()
        .sequences()
        .iter()
        .filter(|sequence| sequence.creator() == MockData::USER_ID)
        .map(MockSequence::image_count)
        .sum();
    let all = images.div_ceil(1000) as usize;
    assert!(all > 3 && pages(&sandbox) == 3, "{all} pages");
    sandbox.clear_requests();
    let (exit, stderr) = run(&sandbox, folder.path(), &args).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(pages(&sandbox), all - 2, "two pages were stored");
    let found: BTreeSet<_> = column(&outputs, "seq_dataset.csv", "seq_id").into_iter().collect();
    assert_eq!(found, sequences_of_user(sandbox.mock_data()));
    assert_eq!(number(&report(&outputs)["steps"]["sequences"]["done"]), all as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_lead_elsewhere_or_in_a_circle_are_a_failure() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let page =
        |next: &str| format!(r#"{{"data":[{{"id":"1","sequence":"abc"}}],"paging":{{"next":"{next}"}}}}"#);
    let circle = format!("{}/images?creator_username=x&after=1", sandbox.graph_url());
    // Without a page, everything failed; with a page, the rest.
    for (next, why, expected) in
        [("https://elsewhere.test/images?after=1", "another host", 1), (circle.as_str(), "never end", 3)]
    {
        sandbox.clear_rules();
        sandbox.add_rule(Rule::on(Host::Graph).path("/images").fault(Fault::status(200, &page(next))));
        let (exit, stderr) = run(&sandbox, folder.path(), "sequences --user=x --attempts=1 --restart").await;
        assert!(exit == expected && stderr.contains(why), "{next}: {exit} {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_starts_from_sequences_or_images_in_every_input_form() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let (exit, stderr) = run(
        &sandbox,
        folder.path(),
        "crawl --bbox=33.33,35.15,33.39,35.19 --no-download -o area --format=csv,geojsonseq",
    )
    .await;
    assert_eq!(exit, 0, "{stderr}");
    let area = folder.path().join("area");
    let whole = read(&area, "img_meta_dataset.csv");
    let sequences = column(&area, "seq_dataset.csv", "seq_id");
    fs::write(folder.path().join("list.txt"), format!("\u{feff}{}\r\n\r\n", sequences.join("\r\n"))).unwrap();
    for from in ["area/seq_dataset.csv", "list.txt", "area/seq_dataset.geojsonl", &sequences.join(",")] {
        sandbox.clear_requests();
        let (exit, stderr) =
            run(&sandbox, folder.path(), &format!("crawl --sequences={from} --no-download --yes")).await;
        assert_eq!(exit, 0, "{from}: {stderr}");
        assert_eq!(read(&outputs, "img_meta_dataset.csv"), whole, "{from}");
        assert_eq!(
            names(&outputs),
            ["gone.csv", "img_dataset.csv", "img_meta_dataset.csv", "report.json"],
            "{from}"
        );
        assert!(sandbox.requests_to(Host::Tiles).is_empty());
    }

    let images: Vec<_> = column(&area, "img_dataset.csv", "img_id").into_iter().take(70).collect();
    fs::write(folder.path().join("images.txt"), images.join("\n")).unwrap();
    let ids_in_log: BTreeSet<_> = images.iter().cloned().collect();
    for from in ["images.txt", &images.join(",")] {
        let (exit, stderr) =
            run(&sandbox, folder.path(), &format!("crawl --images={from} --fields=width -o ids --yes")).await;
        assert_eq!(exit, 0, "{from}: {stderr}");
        let ids = folder.path().join("ids");
        let rows: Vec<_> =
            whole.lines().skip(1).filter(|row| ids_in_log.contains(row.split(',').nth(1).unwrap())).collect();
        let pairs = |line: &str| line.splitn(3, ',').take(2).collect::<Vec<_>>().join(",");
        let table = read(&ids, "img_meta_dataset.csv");
        assert!(table.starts_with("seq_id,img_id,width,thumb_256_url\n"), "{table}");
        let found: Vec<_> = table.lines().skip(1).map(pairs).collect();
        assert_eq!(
            found,
            rows.into_iter().map(pairs).collect::<Vec<_>>(),
            "the sequences are requested from the API"
        );
        assert_eq!(names(&ids.join("downloaded_images")).len(), found.len());
    }

    // Standard input, with a limit that leaves the rest unread.
    let mut piped = command_on(&sandbox, folder.path());
    let list = fs::File::open(folder.path().join("images.txt")).unwrap();
    piped.args(["crawl", "--images=-", "--no-download", "--limit=3", "-o", "piped"]).stdin(Stdio::from(list));
    let (exit, stderr) = output(piped).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(column(&folder.path().join("piped"), "img_meta_dataset.csv", "img_id"), images[..3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_ids_and_conflicting_inputs_are_rejected() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.txt"), "a b c\n").unwrap();
    fs::write(folder.path().join("other.csv"), "id,name\n1,2\n").unwrap();
    let before = names(folder.path());
    for (flags, expected) in [
        ("--images=12,abc", &["`abc`", "does not exist"][..]),
        ("--sequences=missing.txt", &["`missing.txt`", "does not exist"]),
        ("--sequences=,", &["the list is empty"]),
        ("--sequences=.", &["directory"]),
        ("--sequences=bad.txt", &["`bad.txt`", "a b c"]),
        ("--sequences=other.csv", &["no column `seq_id`"]),
        ("--sequences=abc --images=1", &["cannot be used with"]),
        ("--sequences=abc --bbox=33,35,34,36", &["cannot be used with"]),
        ("--sequences=abc --clip", &["cannot be used with"]),
        ("--images=1 --user=me", &["cannot be used with"]),
        ("--user=me --org-id=7", &["cannot be used with"]),
    ] {
        let (exit, stderr) = run(&sandbox, folder.path(), &format!("crawl {flags} --no-download")).await;
        assert_eq!(exit, 2, "{flags}: {stderr}");
        for part in expected {
            assert!(stderr.contains(part), "{flags} lacks {part}: {stderr}");
        }
    }
    assert_eq!(names(folder.path()), before);
    assert!(sandbox.requests().is_empty());
}
