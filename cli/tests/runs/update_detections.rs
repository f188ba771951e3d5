//! `crawl --update --detections`: detections come from the earlier table.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use super::update::{FEW, change_table, changes, outputs, report, tables};
use crate::support::accounting::run;
use crate::support::{command_on, eventually, read};

/// The ids of the images of all requests for detections.
fn detections_requested(sandbox: &Sandbox) -> BTreeSet<String> {
    let requests = sandbox.requests_to(Host::Graph);
    let of_detections = requests
        .iter()
        .filter(|request| request.param("fields").is_some_and(|fields| fields.contains("detections.")));
    let ids = of_detections.flat_map(|request| match request.path.trim_start_matches('/') {
        "" => request.ids(),
        single => vec![single.to_owned()],
    });
    ids.collect()
}

/// The rows of the table of detections by image, and the images in order.
fn detections(folder: &Path) -> Vec<(String, String)> {
    let text = read(&outputs(folder), "img_detections_dataset.csv");
    text.lines().skip(1).map(|row| (row.split(',').next().unwrap().to_owned(), row.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_requests_the_detections_of_images_without_rows_only() {
    let sandbox = Sandbox::start().await.unwrap();
    for format in ["csv", "parquet", "geojson", "csv,geojsonseq"] {
        let folder = tempfile::tempdir().unwrap();
        let crawl = format!("{FEW} --detections --format={format}");
        let (exit, stderr) = run(&sandbox, folder.path(), &crawl).await;
        assert_eq!(exit, 0, "{stderr}");
        let before = tables(folder.path());
        sandbox.clear_requests();
        let (exit, stderr) = run(&sandbox, folder.path(), &format!("{crawl} --update")).await;
        assert_eq!(exit, 0, "{format}: {stderr}");
        let report = report(folder.path());
        let findings = &report["steps"]["detections"]["findings"];
        let number = |name: &str| findings[name].as_u64().unwrap_or_default();
        let (images, known) = (report["steps"]["detections"]["inputs"].as_u64().unwrap(), number("known"));
        assert!(known > 200 && stderr.contains(" images from the earlier table"), "{findings}: {stderr}");
        assert_eq!(known + number("no_detections") + number("not_processed"), images, "{findings}");
        assert_eq!(detections_requested(&sandbox).len() as u64, images - known, "{format}");
        for ((name, before), (_, after)) in before.iter().zip(tables(folder.path())) {
            assert!(*before == after, "{format}: {name}");
        }
        assert!(!outputs(folder.path()).join(".streetflow").exists());
    }
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
    assert!(more == all && stderr.contains("another query"), "{more}: {stderr}");
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
