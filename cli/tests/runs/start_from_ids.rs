//! Crawls of a user, and from ids: through the command, against the truth of the sandbox.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use streetflow_sandbox::{Fault, Host, MockSequence, Rule, Sandbox, World};

use crate::support::accounting::{check, column, number, report, run, sandbox};
use crate::support::{command_on, names, output, read};

fn of_user(world: &World) -> BTreeSet<String> {
    let theirs =
        world.sequences().iter().filter(|drive| drive.creator() == World::USER_ID && !drive.is_gone());
    theirs.map(|drive| drive.id().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_found_by_name_wherever_they_were_and_within_an_area() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let words = format!("crawl --user={} --no-download --fields=captured_at --yes", World::USER);
    let (exit, said) = run(&sandbox, folder.path(), &words).await;
    assert_eq!(exit, 0, "{said}");
    let counts = check("user", &sandbox, &outputs, 0);
    let found = column(&outputs, "seq_dataset.csv", "seq_id");
    assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), of_user(sandbox.world()));
    assert_eq!(found.len(), of_user(sandbox.world()).len(), "each once");
    assert!(column(&outputs, "seq_dataset.csv", "org_id").iter().all(|id| id == World::USER_ID));
    assert!(sandbox.requests_to(Host::Tiles).is_empty() && counts["steps"]["sequences"]["unit"] == "pages");

    // With an area, by the id that the name stands for.
    sandbox.clear_requests();
    let here = format!("{words} --bbox=33.33,35.15,33.39,35.19");
    let (exit, said) = run(&sandbox, folder.path(), &here).await;
    assert_eq!(exit, 0, "{said}");
    check("user here", &sandbox, &outputs, 0);
    let here: BTreeSet<_> = column(&outputs, "seq_dataset.csv", "seq_id").into_iter().collect();
    assert!(!here.is_empty() && here.len() < found.len() && here.is_subset(&of_user(sandbox.world())));

    // Dates narrow the search itself.
    sandbox.clear_requests();
    let (exit, said) =
        run(&sandbox, folder.path(), &format!("{words} --from=2021-01-01 --to=2021-12-31")).await;
    assert_eq!(exit, 0, "{said}");
    check("user then", &sandbox, &outputs, 0);
    let times = column(&outputs, "img_meta_dataset.csv", "captured_at");
    let year = 1_609_459_200_000..1_640_995_200_000_i64;
    assert!(!times.is_empty() && times.iter().all(|at| year.contains(&at.parse().unwrap())));
    let asked = sandbox.requests_to(Host::Graph);
    let search = asked.iter().find(|asked| asked.param("creator_username").is_some()).unwrap();
    assert_eq!(search.param("start_captured_at").as_deref(), Some("2021-01-01T00:00:00Z"));
    assert_eq!(search.param("end_captured_at").as_deref(), Some("2022-01-01T00:00:00Z"));

    let (exit, said) = run(&sandbox, folder.path(), "crawl --user=nobody --no-download -o none").await;
    assert!(exit == 2 && said.contains("`nobody`") && said.contains("app/user/NAME"), "{said}");
    assert_eq!(names(&folder.path().join("none")), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_a_user_are_followed_to_the_last_and_kept_for_the_next_run() {
    let sandbox = Sandbox::builder().world(World::of_size(20_000, 5)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let words = format!("sequences --user={} --attempts=1", World::USER);
    let pages = |sandbox: &Sandbox| {
        let asked = sandbox.requests_to(Host::Graph);
        asked.into_iter().filter(|asked| asked.path.ends_with("/images")).count()
    };
    // The third page fails, so the run can't know of the rest.
    sandbox.script(Rule::on(Host::Graph).skip(2).times(1).fault(Fault::status(503, "")));
    let (exit, said) = run(&sandbox, folder.path(), &words).await;
    assert_eq!(exit, 3, "{said}");
    let images: u32 = sandbox
        .world()
        .sequences()
        .iter()
        .filter(|drive| drive.creator() == World::USER_ID)
        .map(MockSequence::image_count)
        .sum();
    let all = images.div_ceil(1000) as usize;
    assert!(all > 3 && pages(&sandbox) == 3, "{all} pages");
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), &words).await;
    assert_eq!(exit, 0, "{said}");
    assert_eq!(pages(&sandbox), all - 2, "two were kept");
    let found: BTreeSet<_> = column(&outputs, "seq_dataset.csv", "seq_id").into_iter().collect();
    assert_eq!(found, of_user(sandbox.world()));
    assert_eq!(number(&report(&outputs)["steps"]["sequences"]["done"]), all as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_lead_elsewhere_or_in_a_circle_end_with_a_failure() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let page =
        |next: &str| format!(r#"{{"data":[{{"id":"1","sequence":"abc"}}],"paging":{{"next":"{next}"}}}}"#);
    let circle = format!("{}/images?creator_username=x&after=1", sandbox.graph_url());
    // With nothing at all, everything has failed; with a page, the rest.
    for (next, why, expected) in
        [("https://elsewhere.test/images?after=1", "another host", 1), (circle.as_str(), "never end", 3)]
    {
        sandbox.clear_script();
        sandbox.script(Rule::on(Host::Graph).path("/images").fault(Fault::status(200, &page(next))));
        let (exit, said) = run(&sandbox, folder.path(), "sequences --user=x --attempts=1 --restart").await;
        assert!(exit == expected && said.contains(why), "{next}: {exit} {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_starts_from_sequences_or_images_in_every_way_they_can_be_said() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let (exit, said) = run(
        &sandbox,
        folder.path(),
        "crawl --bbox=33.33,35.15,33.39,35.19 --no-download -o area --format=csv,geojsonseq",
    )
    .await;
    assert_eq!(exit, 0, "{said}");
    let area = folder.path().join("area");
    let whole = read(&area, "img_meta_dataset.csv");
    let sequences = column(&area, "seq_dataset.csv", "seq_id");
    fs::write(folder.path().join("list.txt"), format!("\u{feff}{}\r\n\r\n", sequences.join("\r\n"))).unwrap();
    for from in ["area/seq_dataset.csv", "list.txt", "area/seq_dataset.geojsonl", &sequences.join(",")] {
        sandbox.clear_requests();
        let (exit, said) =
            run(&sandbox, folder.path(), &format!("crawl --sequences={from} --no-download --yes")).await;
        assert_eq!(exit, 0, "{from}: {said}");
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
    let named: BTreeSet<_> = images.iter().cloned().collect();
    for from in ["images.txt", &images.join(",")] {
        let (exit, said) =
            run(&sandbox, folder.path(), &format!("crawl --images={from} --fields=width -o ids --yes")).await;
        assert_eq!(exit, 0, "{from}: {said}");
        let ids = folder.path().join("ids");
        let rows: Vec<_> =
            whole.lines().skip(1).filter(|row| named.contains(row.split(',').nth(1).unwrap())).collect();
        let pairs = |line: &str| line.splitn(3, ',').take(2).collect::<Vec<_>>().join(",");
        let table = read(&ids, "img_meta_dataset.csv");
        assert!(table.starts_with("seq_id,img_id,width,thumb_256_url\n"), "{table}");
        let found: Vec<_> = table.lines().skip(1).map(pairs).collect();
        assert_eq!(found, rows.into_iter().map(pairs).collect::<Vec<_>>(), "the API tells the sequences");
        assert_eq!(names(&ids.join("downloaded_images")).len(), found.len());
    }

    // Standard input, and a limit that leaves the rest of it alone.
    let mut piped = command_on(&sandbox, folder.path());
    let list = fs::File::open(folder.path().join("images.txt")).unwrap();
    piped.args(["crawl", "--images=-", "--no-download", "--limit=3", "-o", "piped"]).stdin(Stdio::from(list));
    let (exit, said) = output(piped).await;
    assert_eq!(exit, 0, "{said}");
    assert_eq!(column(&folder.path().join("piped"), "img_meta_dataset.csv", "img_id"), images[..3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_none_are_refused_and_what_can_t_go_together_is_told() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.txt"), "a b c\n").unwrap();
    fs::write(folder.path().join("other.csv"), "id,name\n1,2\n").unwrap();
    let before = names(folder.path());
    for (flags, expected) in [
        ("--images=12,abc", &["`abc`", "there is no file"][..]),
        ("--sequences=missing.txt", &["`missing.txt`", "there is no file"]),
        ("--sequences=,", &["there are none"]),
        ("--sequences=.", &["directory"]),
        ("--sequences=bad.txt", &["`bad.txt`", "a b c"]),
        ("--sequences=other.csv", &["no column `seq_id`"]),
        ("--sequences=abc --images=1", &["cannot be used with"]),
        ("--sequences=abc --bbox=33,35,34,36", &["cannot be used with"]),
        ("--sequences=abc --clip", &["cannot be used with"]),
        ("--images=1 --user=me", &["cannot be used with"]),
        ("--user=me --org-id=7", &["cannot be used with"]),
    ] {
        let (exit, said) = run(&sandbox, folder.path(), &format!("crawl {flags} --no-download")).await;
        assert_eq!(exit, 2, "{flags}: {said}");
        for part in expected {
            assert!(said.contains(part), "{flags} lacks {part}: {said}");
        }
    }
    assert_eq!(names(folder.path()), before);
    assert!(sandbox.requests().is_empty());
}
