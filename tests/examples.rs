//! The examples run, and README shows the first of them word for word.

use std::path::{Path, PathBuf};
use std::process::Command;

use streetflow_sandbox::Sandbox;

use crate::support::names;

/// Where cargo puts examples: beside the folder of this test.
fn example(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let built = here.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    built.with_extension(std::env::consts::EXE_EXTENSION)
}

async fn run(sandbox: &Sandbox, folder: &Path, name: &str) -> String {
    let mut command = Command::new(example(name));
    command
        .current_dir(folder)
        .env("MAPILLARY_TOKEN", Sandbox::TOKEN)
        .env("MAPILLARY_GRAPH_URL", sandbox.graph_url())
        .env("MAPILLARY_TILES_URL", sandbox.tiles_url());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_runs() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let said = run(&sandbox, folder.path(), "crawl_to_csv").await;
    assert!(said.contains(" images, ") && said.contains(" gone, 0 failed"), "{said}");
    assert_eq!(
        names(&folder.path().join("outputs")),
        ["img_dataset.csv", "img_meta_dataset.csv", "seq_dataset.csv"]
    );

    let said = run(&sandbox, folder.path(), "csv_to_images").await;
    let pictures = names(&folder.path().join("outputs/downloaded_images")).len();
    assert!(said.starts_with(&format!("{pictures} downloaded")), "{said}");

    #[cfg(feature = "parquet")]
    {
        let said = run(&sandbox, folder.path(), "bbox_to_geoparquet").await;
        assert!(said.contains("images in outputs/images.parquet, 0 failed"), "{said}");
        assert!(!said.contains("\n0 of them"), "{said}");
    }

    let said = run(&sandbox, folder.path(), "own_sink").await;
    assert!(said.contains("north: ") && said.contains("south: "), "{said}");

    let ids: Vec<_> = sandbox.world().sequences().iter().take(3).map(|drive| drive.id().to_owned()).collect();
    std::fs::write(folder.path().join("sequences.txt"), ids.join("\n")).unwrap();
    let said = run(&sandbox, folder.path(), "own_source").await;
    assert!(said.contains("images of the listed sequences"), "{said}");
}

#[test]
fn readme_shows_the_first_example_word_for_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(root.join("examples/crawl_to_csv.rs")).unwrap();
    let program = example.split_once("\nuse ").map(|(_, rest)| format!("use {rest}")).unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    assert!(
        readme.contains(program.trim()),
        "README.md does not hold the program of examples/crawl_to_csv.rs"
    );
}
