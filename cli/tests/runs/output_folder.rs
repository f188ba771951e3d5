//! Existing content of an output folder: foreign files, folders, links, leftovers.

use std::fs;
use std::path::Path;

use streetflow_sandbox::{Host, Sandbox};

use crate::support::{names, read, run};

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_foreign_file_is_an_error_before_any_request_and_stays() {
    let sandbox = Sandbox::start().await.unwrap();
    let file: fn(&Path) = |path| fs::write(path, "name,age\nme,7\n").unwrap();
    let folder: fn(&Path) = |path| fs::create_dir(path).unwrap();
    for (name, make, why) in [
        ("gone.csv", file, "not written by streetflow"),
        ("failures.csv", file, "not written by streetflow"),
        ("report.json", file, "not written by streetflow"),
        ("gone.csv", folder, "a folder has that name"),
        ("failures.csv", folder, "a folder has that name"),
        ("report.json", folder, "a folder has that name"),
        ("seq_dataset.parquet", folder, "a folder has that name"),
        ("img_meta_dataset.csv", folder, "a folder has that name"),
    ] {
        let base = tempfile::tempdir().unwrap();
        let outputs = base.path().join("outputs");
        fs::create_dir(&outputs).unwrap();
        make(&outputs.join(name));
        let formats = if cfg!(feature = "parquet") { "--format=csv,parquet" } else { "--format=csv" };
        if name.ends_with("parquet") && !cfg!(feature = "parquet") {
            continue;
        }
        let (exit, stderr) = run(&sandbox, base.path(), ["crawl", NICOSIA, formats]).await;
        assert_eq!(exit, 1, "{name}: {stderr}");
        assert!(stderr.contains(&format!("`outputs/{name}`")) && stderr.contains(why), "{stderr}");
        assert!(stderr.contains("move it away") && stderr.contains("`--output`"), "{stderr}");
        assert_eq!(names(&outputs), [name], "{stderr}");
        if outputs.join(name).is_file() {
            assert_eq!(read(&outputs, name), "name,age\nme,7\n");
        }
    }
    assert!(sandbox.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_the_name_of_a_picture_fails_only_that_picture() {
    let sandbox = Sandbox::builder().picture_bytes(900).start().await.unwrap();
    let base = tempfile::tempdir().unwrap();
    run(&sandbox, base.path(), ["crawl", NICOSIA]).await;
    let outputs = base.path().join("outputs");
    let pictures = outputs.join("downloaded_images");
    let all = names(&pictures);
    let (spoilt, id) = (pictures.join(&all[3]), all[3].strip_suffix("_256.jpg").unwrap());
    fs::remove_file(&spoilt).unwrap();
    fs::create_dir(&spoilt).unwrap();
    sandbox.clear_requests();
    for args in [&["download"][..], &["download", "--check-existing"]] {
        let (exit, stderr) = run(&sandbox, base.path(), args.iter().copied()).await;
        assert_eq!(exit, 3, "{args:?}: {stderr}");
        assert!(stderr.contains(&format!("{} already exist", all.len() - 1)), "{stderr}");
        let failures = read(&outputs, "failures.csv");
        assert_eq!(failures.lines().count(), 2, "{failures}");
        assert!(failures.contains(&format!("download,{id},")), "{failures}");
    }
    // Pictures that the server does not have are requested each time.
    assert!(sandbox.requests_to(Host::Images).iter().all(|request| request.status == Some(404)));
    fs::remove_dir(&spoilt).unwrap();
    let (exit, stderr) = run(&sandbox, base.path(), ["download"]).await;
    assert_eq!((exit, names(&pictures)), (0, all.clone()), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_killed_runs_are_removed_and_foreign_hidden_files_stay() {
    let sandbox = Sandbox::start().await.unwrap();
    let base = tempfile::tempdir().unwrap();
    let outputs = base.path().join("outputs");
    fs::create_dir(&outputs).unwrap();
    for name in ["gone.csv", "failures.csv", "report.json", "img_dataset.csv", "seq_dataset.geojson"] {
        fs::write(outputs.join(format!(".{name}.a1B2c3.partial")), "half").unwrap();
    }
    fs::write(outputs.join(".mine.partial"), "mine").unwrap();
    let (exit, stderr) = run(&sandbox, base.path(), ["sequences", NICOSIA]).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(names(&outputs), [".mine.partial", "report.json", "seq_dataset.csv"]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_folder_is_reported_and_links_are_not_followed() {
    use std::os::unix::fs::symlink;
    use streetflow_sandbox::{Fault, Rule};

    let sandbox = Sandbox::start().await.unwrap();
    let base = tempfile::tempdir().unwrap();
    let (outputs, elsewhere) = (base.path().join("outputs"), base.path().join("elsewhere"));
    fs::create_dir_all(elsewhere.join("deep")).unwrap();
    fs::write(elsewhere.join("precious"), "keep").unwrap();
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(503, "")));
    let words = ["crawl", NICOSIA, "--no-download", "--attempts=1"];
    let (exit, stderr) = run(&sandbox, base.path(), words).await;
    assert_eq!(exit, 1, "{stderr}");
    sandbox.clear_rules();
    sandbox.clear_requests();
    let hidden = outputs.join(".streetflow");
    let own = hidden.join(&names(&hidden)[0]);
    let rerun = async |restart: bool| {
        run(&sandbox, base.path(), words.into_iter().chain(restart.then_some("--restart"))).await
    };
    let untouched = || names(&elsewhere) == ["deep", "precious"];

    // In the response store: a folder, then a link.
    let index = own.join("index");
    for link in [false, true] {
        fs::remove_file(&index).ok();
        let made = if link { symlink(elsewhere.join("precious"), &index) } else { fs::create_dir(&index) };
        made.unwrap();
        let (exit, stderr) = rerun(false).await;
        assert_eq!(exit, 1, "{stderr}");
        assert!(stderr.contains("/index`") && stderr.contains("hint:"), "{stderr}");
        fs::remove_dir(&index).ok();
    }
    assert!(untouched() && sandbox.requests().is_empty());

    // The response store is a link, which is always rejected. `--restart` removes a file.
    fs::remove_dir_all(&own).unwrap();
    symlink(&elsewhere, &own).unwrap();
    for restart in [false, true] {
        let (exit, stderr) = rerun(restart).await;
        assert!(exit == 1 && stderr.contains("it is a link"), "{stderr}");
        assert!(stderr.contains(&*own.file_name().unwrap().to_string_lossy()), "{stderr}");
    }
    fs::remove_file(&own).unwrap();
    fs::write(&own, "a file").unwrap();
    let (exit, stderr) = rerun(false).await;
    assert!(exit == 1 && stderr.contains("`--restart`"), "{stderr}");

    // The state folder itself is a link, or a file.
    fs::remove_dir_all(&hidden).unwrap();
    symlink(&elsewhere, &hidden).unwrap();
    for restart in [false, true] {
        let (exit, stderr) = rerun(restart).await;
        assert!(exit == 1 && stderr.contains("`outputs/.streetflow`\n  caused by: it is a link"), "{stderr}");
    }
    fs::remove_file(&hidden).unwrap();
    fs::write(&hidden, "a file").unwrap();
    let (exit, stderr) = rerun(true).await;
    assert!(
        exit == 1 && stderr.contains("`outputs/.streetflow`") && stderr.contains("remove it"),
        "{stderr}"
    );
    assert_eq!(fs::read(&hidden).unwrap(), b"a file");
    assert!(untouched() && names(&elsewhere.join("deep")).is_empty());
    assert!(sandbox.requests().is_empty());

    // After that, `--restart` removes a file in the place of the response store.
    fs::remove_file(&hidden).unwrap();
    fs::create_dir(&hidden).unwrap();
    fs::write(&own, "a file").unwrap();
    let (exit, stderr) = rerun(true).await;
    assert_eq!(exit, 0, "{stderr}");
}
