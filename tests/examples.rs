//! The examples run, and the README contains the first of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use streetflow_sandbox::Sandbox;

use crate::support::names;

/// Returns the path of a built example, beside the folder of this test.
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
    let stdout = run(&sandbox, folder.path(), "crawl_to_csv").await;
    assert!(stdout.contains(" images, ") && stdout.contains(" gone, 0 failed"), "{stdout}");
    assert_eq!(
        names(&folder.path().join("outputs")),
        ["img_dataset.csv", "img_meta_dataset.csv", "seq_dataset.csv"]
    );

    let stdout = run(&sandbox, folder.path(), "csv_to_images").await;
    let pictures = names(&folder.path().join("outputs/downloaded_images")).len();
    assert!(stdout.starts_with(&format!("{pictures} downloaded")), "{stdout}");

    #[cfg(feature = "parquet")]
    {
        let stdout = run(&sandbox, folder.path(), "bbox_to_geoparquet").await;
        assert!(stdout.contains("images in outputs/images.parquet, 0 failed"), "{stdout}");
        assert!(!stdout.contains("\n0 of them"), "{stdout}");
    }

    let stdout = run(&sandbox, folder.path(), "own_sink").await;
    assert!(stdout.contains("north: ") && stdout.contains("south: "), "{stdout}");

    let ids: Vec<_> =
        sandbox.mock_data().sequences().iter().take(3).map(|sequence| sequence.id().to_owned()).collect();
    std::fs::write(folder.path().join("sequences.txt"), ids.join("\n")).unwrap();
    let stdout = run(&sandbox, folder.path(), "own_source").await;
    assert!(stdout.contains("images of the listed sequences"), "{stdout}");
}

#[test]
fn readme_contains_the_first_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(root.join("examples/crawl_to_csv.rs")).unwrap();
    let program = example.split_once("\nuse ").map(|(_, rest)| format!("use {rest}")).unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    assert!(
        readme.contains(program.trim()),
        "README.md does not hold the program of examples/crawl_to_csv.rs"
    );
}
