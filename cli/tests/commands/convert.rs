//! `convert`, and the formats of the other commands, through the built binary.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use streetflow::Format;
use streetflow_sandbox::Sandbox;

use crate::support::{command, command_on, names, output};

const ALL: &str = "csv,parquet,geojson,geojsonseq";
const BOX: &str = "32.40,35.02,32.44,35.05";

/// Runs the command with words, and gives its exit code, what it wrote and what it said.
fn run(folder: &Path, words: &str, input: &[u8]) -> (i32, Vec<u8>, String) {
    let mut command = command(folder);
    command.args(words.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that refuses its arguments does not listen.
    child.stdin.take().unwrap().write_all(input).ok();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code().unwrap_or(-1), stdout, String::from_utf8(stderr).unwrap())
}

fn fine(folder: &Path, words: &str) -> String {
    let (code, _, said) = run(folder, words, b"");
    assert_eq!(code, 0, "{words}: {said}");
    said
}

fn refused(folder: &Path, words: &str) -> String {
    let (code, wrote, said) = run(folder, words, b"");
    assert_eq!((code, wrote.len()), (2, 0), "{words}: {said}");
    said
}

/// A small crawl in all formats.
fn crawled(folder: &Path, output: &str, more: &str) {
    let fields = streetflow::Fields::known().join(",");
    fine(
        folder,
        &format!(
            "crawl --sandbox --bbox {BOX} --no-download --fields {fields} --format {ALL} -o {output}{more}"
        ),
    );
}

#[test]
fn the_bytes_of_all_tables_are_the_same_every_time_and_at_any_concurrency() {
    let folder = tempfile::tempdir().unwrap();
    crawled(folder.path(), "first", " --concurrency 1");
    crawled(folder.path(), "second", " --concurrency 64");
    crawled(folder.path(), "third", " --concurrency 64");
    let mut tables = names(&folder.path().join("first"));
    tables.retain(|name| name.contains("_dataset."));
    assert_eq!(tables.len(), 12, "{tables:?}");
    for table in tables {
        let bytes = |output: &str| fs::read(folder.path().join(output).join(&table)).unwrap();
        assert!(bytes("first") == bytes("second") && bytes("second") == bytes("third"), "{table}");
        let text = String::from_utf8_lossy(&bytes("first")).into_owned();
        assert!(!text.contains(Sandbox::TOKEN), "the token in {table}");
        assert!(bytes("first").len() > 200, "{table} is empty");
    }
}

#[tokio::test]
async fn several_formats_cost_no_request_more_and_csv_keeps_the_columns_that_were_asked_for() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut asked = Vec::new();
    for format in ["csv", ALL] {
        let before = sandbox.requests().len();
        let mut command = command_on(&sandbox, folder.path());
        let words =
            format!("crawl --bbox {BOX} --no-download --tile-rate 100000 --format {format} -o {format}");
        command.args(words.split(' '));
        let (code, said) = output(command).await;
        assert_eq!(code, 0, "{said}");
        asked.push(sandbox.requests().len() - before);
    }
    assert_eq!(asked[0], asked[1]);
    let header = |output: &str| {
        let text = fs::read_to_string(folder.path().join(output).join("img_meta_dataset.csv")).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    assert_eq!(header("csv"), "seq_id,img_id,captured_at,compass_angle,thumb_256_url,width");
    assert_eq!(header("csv"), header(ALL));
    let features = fs::read_to_string(folder.path().join(ALL).join("img_meta_dataset.geojsonl")).unwrap();
    assert!(features.contains("\"type\":\"Point\""), "the place was asked for all the same");
}

#[test]
fn any_format_becomes_any_other_and_is_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    crawled(folder.path(), "outputs", "");
    for table in ["seq_dataset", "img_dataset", "img_meta_dataset"] {
        for from in Format::ALL {
            for to in Format::ALL {
                let source = format!("outputs/{table}.{}", from.extension());
                let target = format!("{}-{table}.{}", from.name(), to.extension());
                let said = fine(folder.path(), &format!("convert {source} {target}"));
                assert!(!said.contains("left out"), "{said}");
            }
        }
        // What each format became is the same whatever it came from, save for the order of columns and for what
        // only Parquet can say of itself.
        for to in [Format::GeoJson, Format::GeoJsonSeq] {
            let bytes = |from: &str| {
                fs::read(folder.path().join(format!("{from}-{table}.{}", to.extension()))).unwrap()
            };
            for from in Format::ALL {
                assert!(bytes(from.name()) == bytes("csv"), "{table} from {from} to {to}");
            }
            let original =
                fs::read(folder.path().join(format!("outputs/{table}.{}", to.extension()))).unwrap();
            assert!(bytes("csv") == original, "{table} as {to}");
        }
    }
}

#[test]
fn the_steps_read_whatever_the_step_before_wrote() {
    for format in ["parquet", "geojson", "geojsonseq", "csv,parquet"] {
        let folder = tempfile::tempdir().unwrap();
        fine(folder.path(), &format!("sequences --sandbox --bbox {BOX} --format {format}"));
        fine(folder.path(), &format!("images --sandbox --format {format}"));
        fine(folder.path(), &format!("metadata --sandbox --format {format}"));
        let said = fine(folder.path(), "download --sandbox");
        assert!(said.contains("downloaded") && !said.contains("failed"), "{said}");
        assert!(!names(&folder.path().join("outputs/downloaded_images")).is_empty());
    }
}

#[test]
fn two_candidates_of_different_age_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    fine(folder.path(), &format!("sequences --sandbox --bbox {BOX} --format csv"));
    fine(folder.path(), &format!("sequences --sandbox --bbox {BOX} --format parquet"));
    let said = refused(folder.path(), "images --sandbox");
    assert!(said.contains("`outputs/seq_dataset.csv` and `outputs/seq_dataset.parquet`"), "{said}");
    assert!(said.contains("--input"), "{said}");
    fine(folder.path(), "images --sandbox --input outputs/seq_dataset.parquet");
    fine(folder.path(), "images --sandbox --input-format csv");
}

#[test]
fn standard_input_and_output_carry_text_formats() {
    let folder = tempfile::tempdir().unwrap();
    let csv = b"seq_id,img_id\nabc,1\nabc,2\n";
    let (code, features, said) = run(folder.path(), "convert - - --format geojsonseq", csv);
    assert_eq!((code, said.as_str()), (0, ""));
    assert_eq!(std::str::from_utf8(&features).unwrap().lines().count(), 2);
    let (code, back, _) = run(folder.path(), "convert - - --input-format geojsonseq", &features);
    assert_eq!((code, back.as_slice()), (0, csv.as_slice()));
    let (code, _, said) = run(folder.path(), "convert - table.parquet", csv);
    assert_eq!(code, 0, "{said}");
    let (code, back, _) = run(folder.path(), "convert table.parquet -", b"");
    assert_eq!((code, back.as_slice()), (0, csv.as_slice()));
    for words in ["convert table.parquet - --format parquet", "convert - out.csv --input-format parquet"] {
        let said = refused(folder.path(), words);
        assert!(said.contains("hint:") && said.contains("file"), "{said}");
    }
    let said = refused(folder.path(), "convert table.parquet table");
    assert!(said.contains("--format"), "{said}");
}

#[test]
fn a_table_is_converted_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("bad.csv"), "img_id,width\n1,2560\n2,wide\n3,2560\n").unwrap();
    let (code, _, said) = run(folder.path(), "convert bad.csv out.parquet", b"");
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("bad.csv") && said.contains("line 3, column `width`: `wide`"), "{said}");
    fs::write(path("float.csv"), "img_id,width\n1.463e15,2560\n").unwrap();
    assert!(refused(folder.path(), "convert float.csv out.parquet").contains("loses digits"));
    fs::write(path("cut.geojson"), r#"{"type":"FeatureCollection","features":[{"type":"Feature","id":"1""#)
        .unwrap();
    assert!(refused(folder.path(), "convert cut.geojson out.csv").contains("truncated"));
    fs::write(path("other.csv"), "a,b\n1,2\n").unwrap();
    assert!(refused(folder.path(), "convert other.csv out.csv").contains("no column `img_id`"));
    let late = format!("{{\"type\":\"FeatureCollection\",\"features\":[]}}{}", "{}");
    fs::write(path("two.geojson"), late).unwrap();
    assert!(refused(folder.path(), "convert two.geojson out.csv").contains("two files"));
    fs::remove_file(path("two.geojson")).unwrap();
    assert!(refused(folder.path(), "convert nothing.csv out.csv").contains("nothing.csv"));
    assert_eq!(names(folder.path()), ["bad.csv", "cut.geojson", "float.csv", "other.csv"]);
}

#[test]
fn columns_that_nobody_knows_are_told_and_values_that_come_late_are_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("in.csv"), "img_id,note,width\n1,x,2560\n").unwrap();
    let said = fine(folder.path(), "convert in.csv out.geojsonl");
    assert!(said.contains("left out: column `note`"), "{said}");
    assert!(said.contains("converted 1 record into `out.geojsonl`"), "{said}");
    let feature = |id: usize, more: &str| {
        format!(r#"{{"type":"Feature","id":"{id}","geometry":null,"properties":{{{more}}}}}"#)
    };
    let mut features: Vec<String> = (0..1500).map(|id| feature(id, "")).collect();
    features.push(feature(1500, r#""width":2560"#));
    fs::write(path("late.geojsonl"), features.join("\n")).unwrap();
    let said = refused(folder.path(), "convert late.geojsonl out.csv");
    assert!(said.contains("record 1501 has `width`") && said.contains("--fields"), "{said}");
    fine(folder.path(), "convert late.geojsonl out.csv --fields width");
    assert!(fs::read_to_string(path("out.csv")).unwrap().ends_with(",1500,2560\n"));
}

#[test]
fn flags_that_would_do_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.csv"), "img_id,width\n1,2560\n").unwrap();
    for (words, flag) in [
        ("convert in.csv out.csv --compression snappy", "--compression"),
        ("convert in.csv out.parquet --rs", "--rs"),
        ("convert in.csv out.csv --geometry best", "--geometry"),
        ("convert in.csv out.geojson --native-geometry", "--native-geometry"),
        ("metadata --sandbox --geometry best", "--geometry"),
        ("sequences --sandbox --format csv,xlsx", "xlsx"),
        ("convert in.csv out.parquet --compression zstd:40", "zstd:40"),
        ("convert in.csv out.parquet --format csv", "out.parquet"),
        ("convert in.csv out.parquet --geometry best", "computed_lon"),
    ] {
        let said = refused(folder.path(), words);
        assert!(said.contains(flag), "{words}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_stays_one_and_a_pipe_gets_the_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("in.csv"), "seq_id,img_id\nabc,1\n").unwrap();
    fs::write(path("real.csv"), "old").unwrap();
    std::os::unix::fs::symlink("real.csv", path("link.csv")).unwrap();
    fine(folder.path(), "convert in.csv link.csv");
    assert!(fs::symlink_metadata(path("link.csv")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(path("real.csv")).unwrap(), "seq_id,img_id\nabc,1\n");
    let mut shell = std::process::Command::new("bash");
    let binary = env!("CARGO_BIN_EXE_streetflow");
    shell.args(["-c", &format!("mkfifo f.csv; cat f.csv > got & {binary} convert in.csv f.csv; wait")]);
    assert!(shell.current_dir(folder.path()).status().unwrap().success());
    assert_eq!(fs::read_to_string(path("got")).unwrap(), "seq_id,img_id\nabc,1\n");
    assert!(!path("f.csv").is_file(), "still a pipe");
}

/// An interrupt is heeded also while standard input keeps one waiting.
#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_while_it_waits_for_input() {
    let folder = tempfile::tempdir().unwrap();
    for words in ["convert - out.csv", "images --sandbox -i -"] {
        let mut command = command(folder.path());
        command.args(words.split(' ')).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let kept_open = child.stdin.take();
        std::thread::sleep(std::time::Duration::from_millis(700));
        let signal = ["-TERM", &child.id().to_string()].map(str::to_owned);
        assert!(std::process::Command::new("kill").args(signal).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{words}");
        drop(kept_open);
    }
}

/// Tables of any values, without some of their columns, from format to format through the command itself.
#[test]
fn a_table_comes_back_from_any_chain_of_conversions() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let odd = crate::support::odd_metadata();
    for (number, fields) in
        ["", "captured_at,width", "computed_geometry,make", "detections,geometry,merge_cc"]
            .into_iter()
            .enumerate()
    {
        for records in [vec![], vec![crate::support::metadata("1"), odd.clone()]] {
            let fields =
                if fields.is_empty() { streetflow::Fields::known().join(",") } else { fields.to_owned() };
            let layout = streetflow::sinks::Layout::default().fields(&fields.parse().unwrap());
            crate::support::tables::write(&path("0.csv"), Format::Csv, &layout, &records);
            let expected: Vec<streetflow::Metadata> =
                crate::support::tables::read(&path("0.csv"), Format::Csv);
            let mut last = "0.csv".to_owned();
            for (step, format) in
                Format::ALL.iter().rev().chain(Format::ALL).chain([&Format::Csv]).enumerate()
            {
                let next = format!("{}.{}", step + 1, format.extension());
                let place = if fields.contains("computed_geometry")
                    && step % 2 == 0
                    && format.has_geometry()
                    && !records.is_empty()
                {
                    " --geometry best"
                } else {
                    ""
                };
                fine(folder.path(), &format!("convert {last} {next}{place}"));
                let back: Vec<streetflow::Metadata> = crate::support::tables::read(&path(&next), *format);
                assert_eq!(back, expected, "table {number} as {next}");
                last = next;
            }
        }
    }
}

#[test]
fn a_place_that_is_not_on_the_globe_is_a_bad_row_in_every_format_and_the_bounds_are_places() {
    let folder = tempfile::tempdir().unwrap();
    let feature = |id: u64, place: &str| {
        format!(
            r#"{{"type":"Feature","id":"{id}","geometry":{{"type":"Point","coordinates":{place}}},"properties":{{}}}}"#
        )
    };
    for bad in ["[500,100]", "[180.001,0]", "[0,-90.5]"] {
        let text = format!("{}\n{}\n", feature(728_019_821_979_741, "[180,-90]"), feature(2, bad));
        fs::write(folder.path().join("in.geojsonl"), text).unwrap();
        let said = refused(folder.path(), "convert in.geojsonl out.csv");
        assert!(said.contains("in.geojsonl") && said.contains("coordinates are invalid"), "{said}");
    }
    let rows = "img_id,lon,lat,computed_lon,computed_lat\n1,-180,90,180,-90\n";
    fs::write(folder.path().join("good.csv"), rows).unwrap();
    fine(folder.path(), "convert good.csv good.parquet");
    fine(folder.path(), "convert good.parquet again.csv");
    fs::write(folder.path().join("bad.csv"), format!("{rows}2,33,35,33,-91\n")).unwrap();
    let said = refused(folder.path(), "convert bad.csv out.parquet");
    assert!(said.contains("line 3") && said.contains("coordinates are invalid"), "{said}");
    assert!(!folder.path().join("out.csv").exists() && !folder.path().join("out.parquet").exists());
}
