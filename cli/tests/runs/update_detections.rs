//! `crawl --update --detections`: detections come from the earlier table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use streetflow_sandbox::{Fault, Host, RecordedRequest, Rule, Sandbox};

use super::update::{FEW, change_table, changes, outputs, report, tables};
use crate::support::accounting::run;
use crate::support::{command_on, eventually, read};

/// The file of images without detections.
const EMPTY: &str = "img_detections_dataset_none.csv";

/// All requests for detections.
fn detection_requests(sandbox: &Sandbox) -> Vec<RecordedRequest> {
    let mut requests = sandbox.requests_to(Host::Graph);
    requests.retain(|request| request.param("fields").is_some_and(|fields| fields.contains("detections.")));
    requests
}

/// The ids of the images of all requests for detections.
fn detections_requested(sandbox: &Sandbox) -> BTreeSet<String> {
    let ids = detection_requests(sandbox).into_iter().flat_map(|request| {
        match request.path.trim_start_matches('/') {
            "" => request.ids(),
            single => vec![single.to_owned()],
        }
    });
    ids.collect()
}

/// The rows of the table of detections by image, and the images in order.
fn detections(folder: &Path) -> Vec<(String, String)> {
    let text = read(&outputs(folder), "img_detections_dataset.csv");
    text.lines().skip(1).map(|row| (row.split(',').next().unwrap().to_owned(), row.to_owned())).collect()
}

/// The images of the file of images without detections, by reason.
fn empty_images(folder: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut images = BTreeMap::new();
    for row in read(&outputs(folder), EMPTY).lines().skip(1) {
        let [image, reason, at] = row.split(',').collect::<Vec<_>>()[..] else { panic!("{row}") };
        assert!(at.ends_with('Z') && at.starts_with("20"), "{row}");
        let images: &mut BTreeSet<String> = images.entry(reason.to_owned()).or_default();
        assert!(images.insert(image.to_owned()), "{row}");
    }
    images
}

/// The findings of the step.
fn finding(folder: &Path, name: &str) -> u64 {
    report(folder)["steps"]["detections"]["findings"][name].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_requests_the_detections_of_images_that_were_not_processed_only() {
    let sandbox = Sandbox::start().await.unwrap();
    for format in ["csv", "parquet", "geojson", "csv,geojsonseq"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let crawl = format!("{FEW} --detections --format={format}");
        let (exit, stderr) = run(&sandbox, folder, &crawl).await;
        assert_eq!(exit, 0, "{stderr}");
        let (before, empty) = (tables(folder), empty_images(folder));
        let file = read(&outputs(folder), EMPTY);
        let images = report(folder)["steps"]["detections"]["inputs"].as_u64().unwrap();
        let counts = ["no_detections", "not_processed"].map(|name| finding(folder, name));
        assert_eq!(counts, ["no_detections", "not_processed"].map(|name| empty[name].len() as u64));
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        for update in ["--update", "--update --recheck-detections=1d"] {
            sandbox.clear_requests();
            let (exit, stderr) = run(&sandbox, folder, &format!("{crawl} {update}")).await;
            assert_eq!(exit, 0, "{format}: {stderr}");
            assert!(detections_requested(&sandbox) == empty["not_processed"], "{format}");
            // Known images do not make batches smaller.
            let requests = detection_requests(&sandbox).len() as u64;
            assert!(requests <= counts[1].div_ceil(20) + images.div_ceil(320), "{requests}");
            assert_eq!(finding(folder, "known") + counts[1], images, "{format}");
            assert_eq!(["no_detections", "not_processed"].map(|name| finding(folder, name)), counts);
            assert!(stderr.contains(" images from the earlier run"), "{stderr}");
            assert!(tables(folder) == before && empty_images(folder) == empty, "{format}");
            assert!(!outputs(folder).join(".streetflow").exists());
        }
        // Images that were not requested keep their time.
        let year = &file.split(",no_detections,").nth(1).unwrap()[..4];
        let old = file.replace(&format!(",no_detections,{year}"), ",no_detections,2001");
        fs::write(outputs(folder).join(EMPTY), &old).unwrap();
        for (age, asks_again) in
            [("", false), (" --recheck-detections=90000d", false), (" --recheck-detections=300d", true)]
        {
            sandbox.clear_requests();
            let (exit, stderr) = run(&sandbox, folder, &format!("{crawl} --update{age}")).await;
            assert_eq!(exit, 0, "{format}: {stderr}");
            let requested = detections_requested(&sandbox).len() as u64;
            assert_eq!(requested, counts[1] + if asks_again { counts[0] } else { 0 }, "{format}{age}");
            assert_eq!(
                read(&outputs(folder), EMPTY).contains("detections,2001"),
                !asks_again,
                "{format}{age}"
            );
            assert!(tables(folder) == before && empty_images(folder) == empty, "{format}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn detections_of_a_table_are_updated_and_gone_images_stay_gone() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let go = async |args: &str| {
        sandbox.clear_requests();
        let (exit, stderr) = run(&sandbox, folder, args).await;
        assert_eq!(exit, 0, "{args}: {stderr}");
        detections_requested(&sandbox)
    };
    go("sequences --bbox=33.33,35.15,33.39,35.19").await;
    go("images").await;
    let detections = "detections --detections-to-keep=object--* --min-detection-area=0.1";
    let all = go(detections).await;
    let (before, empty) = (tables(folder), empty_images(folder));
    let gone = read(&outputs(folder), "gone.csv");
    assert!(empty.keys().eq(["gone", "no_detections", "none_kept", "not_processed"]), "{empty:?}");
    assert_eq!(finding(folder, "none_kept"), empty["none_kept"].len() as u64);
    // A second run of the step requests all, an update only what may have changed.
    assert!(go(detections).await == all);
    assert!(go(&format!("{detections} --update")).await == empty["not_processed"]);
    assert!(tables(folder) == before && empty_images(folder) == empty);
    let images =
        |file: &str| file.lines().map(|row| row.split(',').nth(1).unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(images(&read(&outputs(folder), "gone.csv")), images(&gone));
    let step = &report(folder)["steps"]["detections"];
    assert_eq!(step["gone"], empty["gone"].len());
    // New rows of the input are requested, and rows of other images go.
    let table = read(&outputs(folder), "img_dataset.csv");
    let lines: Vec<_> = table.lines().collect();
    fs::write(outputs(folder).join("img_dataset.csv"), lines[..200].join("\n") + "\n").unwrap();
    let some = go(&format!("{detections} --update")).await;
    assert!(some.is_subset(&empty["not_processed"]) && some.len() < empty["not_processed"].len());
    fs::write(outputs(folder).join("img_dataset.csv"), &table).unwrap();
    let rest = go(&format!("{detections} --update")).await;
    assert!(rest.len() >= lines.len() - 200 && rest.len() < all.len(), "{}", rest.len());
    assert!(tables(folder) == before && empty_images(folder) == empty);
    // With other filters, images of which none was kept may have rows.
    assert!(go("detections --detections-to-keep=object--* --update").await == all);
    assert!(empty_images(folder)["none_kept"].len() < empty["none_kept"].len());
    assert!(go("detections --detections-to-keep=object--* --update").await == empty["not_processed"]);
    // Without the file, images without rows are requested; a file of another program is not replaced.
    fs::remove_file(outputs(folder).join(EMPTY)).unwrap();
    let more = go("detections --detections-to-keep=object--* --update").await;
    assert_eq!(more.len(), empty_images(folder).values().map(BTreeSet::len).sum::<usize>());
    fs::write(outputs(folder).join(EMPTY), "mine\n").unwrap();
    let (exit, stderr) = run(&sandbox, folder, "detections --update").await;
    assert!(exit == 1 && stderr.contains("not written by streetflow"), "{exit} {stderr}");
    assert_eq!(read(&outputs(folder), EMPTY), "mine\n");
    let (exit, stderr) = run(&sandbox, folder, "detections --recheck-detections=30d").await;
    assert!(exit == 2 && stderr.contains("--update"), "{exit} {stderr}");
    let (exit, stderr) = run(&sandbox, folder, "detections --img-out-file=img_detections_dataset_none").await;
    assert!(exit == 2 && stderr.contains("two files cannot have the same name"), "{exit} {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_images_get_their_detections_and_rows_of_gone_images_go() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let go = async |args: &str| run(&sandbox, folder.path(), args).await;
    let crawl = format!("{FEW} --detections --detections-to-keep=object--*");
    let (exit, stderr) = go(&crawl).await;
    assert_eq!(exit, 0, "{stderr}");
    let full = read(&outputs(folder.path()), "img_detections_dataset.csv");
    let new = change_table(folder.path(), 40, &["5"]);
    let list = outputs(folder.path()).join(EMPTY);
    let text = fs::read_to_string(&list).unwrap();
    let old = text.lines().filter(|row| !new.contains(row.split(',').next().unwrap()));
    fs::write(&list, old.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    // A row of an old image is changed by hand, and stays. The rows of new images are absent, a gone one has a row.
    let (header, rows) = full.split_once('\n').unwrap();
    let image = |row: &str| row.split(',').next().unwrap().to_owned();
    let mut kept: Vec<_> = rows.lines().filter(|row| !new.contains(&image(row))).map(str::to_owned).collect();
    let changed = kept[3].replacen("object--", "object--mine--", 1);
    kept[3].clone_from(&changed);
    kept.push(kept[0].replacen(&image(&kept[0]), "5", 1));
    fs::write(
        outputs(folder.path()).join("img_detections_dataset.csv"),
        format!("{header}\n{}\n", kept.join("\n")),
    )
    .unwrap();
    sandbox.clear_requests();
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::Delay(Duration::from_millis(2))));
    let update = format!("{crawl} --update");
    // A killed update compares with the same tables.
    let mut child = command_on(&sandbox, folder.path()).args(update.split(' ')).arg("-q").spawn().unwrap();
    eventually("detections are requested", || !detections_requested(&sandbox).is_empty()).await;
    child.kill().ok();
    child.wait().unwrap();
    let (exit, stderr) = go(&update).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(new.is_subset(&detections_requested(&sandbox)));
    let after = detections(folder.path());
    assert!(after.iter().all(|(image, _)| image != "5"));
    assert!(after.iter().any(|(_, row)| *row == changed));
    let expected: BTreeSet<_> = full.lines().skip(1).map(str::to_owned).collect();
    let found: BTreeSet<_> =
        after.iter().map(|(_, row)| row.replacen("object--mine--", "object--", 1)).collect();
    assert!(found == expected && after.len() == expected.len(), "{} {}", found.len(), expected.len());
    assert_eq!(changes(folder.path(), "gone"), ["5".to_owned()].into());
    assert!(!outputs(folder.path()).join(".streetflow").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn detections_are_all_requested_if_the_earlier_table_does_not_serve() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let go = async |args: &str| {
        sandbox.clear_requests();
        let (exit, stderr) = run(&sandbox, folder.path(), args).await;
        assert_eq!(exit, 0, "{args}: {stderr}");
        (detections_requested(&sandbox).len(), stderr)
    };
    let (none, _) = go(FEW).await;
    assert_eq!(none, 0);
    let (all, stderr) =
        go(&format!("{FEW} --update --detections --image-detections-fields=value,area")).await;
    assert!(all > 500 && stderr.contains("no earlier table of detections"), "{all}: {stderr}");
    let (some, stderr) = go(&format!("{FEW} --update --detections --image-detections-fields=area")).await;
    assert!(some < 400 && !stderr.contains("are requested"), "{some}: {stderr}");
    // The table has now only the areas.
    let (more, stderr) =
        go(&format!("{FEW} --update --detections --image-detections-fields=value,area")).await;
    assert!(more == all && stderr.contains("has no `value`"), "{more}: {stderr}");
    let values = format!("{FEW} --update --detections --detections-to-keep=object--* --yes");
    let (more, stderr) = go(&values).await;
    assert!(more == all && stderr.contains("other filters"), "{more}: {stderr}");
    // A row that can't be read may be one of several of its image.
    let path = outputs(folder.path()).join("img_detections_dataset.csv");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{good}7,no id,object--car\n")).unwrap();
    let (more, stderr) = go(&values.replace(" --yes", "")).await;
    assert!(more == all && stderr.contains("the detections of all images are requested"), "{more}: {stderr}");
    assert!(fs::read_to_string(&path).unwrap() == good);
    // The table of the Python toolset has all that it needs.
    let toolset = values.replace(" --yes", " --toolset-columns");
    let first = go(&toolset).await.0;
    let table = read(&outputs(folder.path()), "img_detections_dataset.csv");
    let second = go(&toolset).await.0;
    assert!(first < all && second == first, "{first} {second}");
    assert!(
        table.starts_with("img_id,width,")
            && read(&outputs(folder.path()), "img_detections_dataset.csv") == table
    );
}

/// The tables of detections of all formats.
#[cfg(unix)]
fn detection_tables(folder: &Path) -> Vec<(String, Vec<u8>)> {
    tables(folder).into_iter().filter(|(name, _)| name.contains("detections")).collect()
}

/// Runs a command, and stops it when detections are requested. Other requests are fast, so all metadata is there.
#[cfg(unix)]
async fn run_and_stop(sandbox: &Sandbox, folder: &Path, args: &str) -> Option<i32> {
    sandbox.clear_requests();
    let is_slow = |request: &RecordedRequest| {
        request.param("fields").is_some_and(|fields| fields.contains("detections."))
    };
    sandbox.add_rule(Rule::when(is_slow).fault(Fault::Delay(Duration::from_millis(100))));
    let mut child = command_on(sandbox, folder).args(args.split(' ')).arg("-q").spawn().unwrap();
    eventually("detections are requested", || detection_requests(sandbox).len() > 4).await;
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    sandbox.clear_rules();
    status.code()
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_that_is_stopped_while_detections_are_left_is_not_complete() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let crawl = format!("{FEW} --detections --concurrency=2");
    assert_eq!(run_and_stop(&sandbox, folder.path(), &crawl).await, Some(130));
    let report = report(folder.path());
    assert_eq!(report["outcome"], "stopped");
    assert!(report["steps"]["detections"]["not_reached"].as_u64().unwrap() > 0, "{report:#}");
    let some = detection_tables(folder.path());
    // An update takes the rows of the table, and the other images are requested.
    let (exit, stderr) = run(&sandbox, folder.path(), &format!("{crawl} --update")).await;
    assert_eq!(exit, 0, "{stderr}");
    let fresh = tempfile::tempdir().unwrap();
    let (exit, stderr) = run(&sandbox, fresh.path(), &crawl).await;
    assert_eq!(exit, 0, "{stderr}");
    let all = detection_tables(fresh.path());
    assert!(detection_tables(folder.path()) == all && some != all);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_update_keeps_the_table_of_detections() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let crawl = format!("{FEW} --detections --format=csv,parquet --concurrency=2");
    let (exit, stderr) = run(&sandbox, folder.path(), &crawl).await;
    assert_eq!(exit, 0, "{stderr}");
    fs::remove_file(outputs(folder.path()).join(EMPTY)).unwrap();
    let before = detection_tables(folder.path());
    let update = format!("{crawl} --update");
    assert_eq!(run_and_stop(&sandbox, folder.path(), &update).await, Some(130));
    assert!(detection_tables(folder.path()) == before);
    let (exit, stderr) = run(&sandbox, folder.path(), &update).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(detection_tables(folder.path()) == before);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_update_with_more_fields_after_one_that_did_not_finish_has_their_values() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let go = async |args: &str| run(&sandbox, folder.path(), args).await;
    let narrow = format!("{FEW} --detections --image-detections-fields=value");
    let wide = narrow.replace("=value", "=value,area");
    let (exit, stderr) = go(&wide).await;
    assert_eq!(exit, 0, "{stderr}");
    let full = read(&outputs(folder.path()), "img_detections_dataset.csv");
    let (exit, stderr) = go(&narrow).await;
    assert_eq!(exit, 0, "{stderr}");
    // The copy of the narrow table stays for the next run, as after a kill.
    let bad = empty_images(folder.path())["not_processed"].first().unwrap().clone();
    let failing = bad.clone();
    sandbox.add_rule(
        Rule::when(move |request| {
            request.param("fields").is_some_and(|fields| fields.contains("detections."))
                && (request.ids().contains(&failing) || request.path == format!("/{failing}"))
        })
        .fault(Fault::status(500, "x")),
    );
    let (exit, stderr) = go(&format!("{narrow} --update --attempts=1")).await;
    assert_eq!(exit, 3, "{stderr}");
    let (exit, stderr) = go(&format!("{wide} --attempts=1")).await;
    assert_eq!(exit, 3, "{stderr}");
    sandbox.clear_rules();
    let (exit, stderr) = go(&format!("{wide} --update")).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(read(&outputs(folder.path()), "img_detections_dataset.csv") == full);
}
