//! `convert`, and the formats of the other commands.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use streetflow::Format;
use streetflow_sandbox::Sandbox;

use crate::support::{command, command_on, names, output};

const ALL: &str = "csv,parquet,geojson,geojsonseq";
const BOX: &str = "32.40,35.02,32.44,35.05";

/// Runs the command with arguments and standard input. Returns exit code, stdout and stderr.
fn run(folder: &Path, args: &str, input: &[u8]) -> (i32, Vec<u8>, String) {
    let mut command = command(folder);
    command.args(args.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that rejects its arguments does not read its input.
    child.stdin.take().unwrap().write_all(input).ok();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code().unwrap_or(-1), stdout, String::from_utf8(stderr).unwrap())
}

fn run_ok(folder: &Path, args: &str) -> String {
    let (code, _, stderr) = run(folder, args, b"");
    assert_eq!(code, 0, "{args}: {stderr}");
    stderr
}

fn run_rejected(folder: &Path, args: &str) -> String {
    let (code, wrote, stderr) = run(folder, args, b"");
    assert_eq!((code, wrote.len()), (2, 0), "{args}: {stderr}");
    stderr
}

/// Writes the tables of a small crawl in all formats.
fn write_tables(folder: &Path, output: &str, more: &str) {
    let fields = streetflow::Fields::known().join(",");
    run_ok(
        folder,
        &format!(
            "crawl --sandbox --bbox {BOX} --no-download --fields {fields} --format {ALL} -o {output}{more}"
        ),
    );
}

#[test]
fn the_bytes_of_all_tables_are_the_same_in_every_run_and_at_any_concurrency() {
    let folder = tempfile::tempdir().unwrap();
    write_tables(folder.path(), "first", " --concurrency 1");
    write_tables(folder.path(), "second", " --concurrency 64");
    write_tables(folder.path(), "third", " --concurrency 64");
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
async fn several_formats_need_no_more_requests_and_csv_keeps_the_requested_columns() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut counts = Vec::new();
    for format in ["csv", ALL] {
        let before = sandbox.requests().len();
        let mut command = command_on(&sandbox, folder.path());
        let args =
            format!("crawl --bbox {BOX} --no-download --tile-rate 100000 --format {format} -o {format}");
        command.args(args.split(' '));
        let (code, stderr) = output(command).await;
        assert_eq!(code, 0, "{stderr}");
        counts.push(sandbox.requests().len() - before);
    }
    assert_eq!(counts[0], counts[1]);
    let header = |output: &str| {
        let text = fs::read_to_string(folder.path().join(output).join("img_meta_dataset.csv")).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    assert_eq!(header("csv"), "seq_id,img_id,captured_at,compass_angle,thumb_256_url,width");
    assert_eq!(header("csv"), header(ALL));
    let features = fs::read_to_string(folder.path().join(ALL).join("img_meta_dataset.geojsonl")).unwrap();
    assert!(features.contains("\"type\":\"Point\""), "the geometry was requested anyway");
}

#[test]
fn any_format_converts_to_any_other_and_back() {
    let folder = tempfile::tempdir().unwrap();
    write_tables(folder.path(), "outputs", "");
    for table in ["seq_dataset", "img_dataset", "img_meta_dataset"] {
        for from in Format::ALL {
            for to in Format::ALL {
                let source = format!("outputs/{table}.{}", from.extension());
                let target = format!("{}-{table}.{}", from.name(), to.extension());
                let stderr = run_ok(folder.path(), &format!("convert {source} {target}"));
                assert!(!stderr.contains("dropped"), "{stderr}");
            }
        }
        // The result does not depend on the source format, except for the order of columns and for metadata that
        // only Parquet has.
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
fn each_step_reads_every_format_of_the_previous_step() {
    for format in ["parquet", "geojson", "geojsonseq", "csv,parquet"] {
        let folder = tempfile::tempdir().unwrap();
        run_ok(folder.path(), &format!("sequences --sandbox --bbox {BOX} --format {format}"));
        run_ok(folder.path(), &format!("images --sandbox --format {format}"));
        run_ok(folder.path(), &format!("metadata --sandbox --format {format}"));
        let stderr = run_ok(folder.path(), "download --sandbox");
        assert!(stderr.contains("downloaded") && !stderr.contains("failed"), "{stderr}");
        assert!(!names(&folder.path().join("outputs/downloaded_images")).is_empty());
    }
}

#[test]
fn two_possible_inputs_are_rejected_by_name() {
    let folder = tempfile::tempdir().unwrap();
    run_ok(folder.path(), &format!("sequences --sandbox --bbox {BOX} --format csv"));
    run_ok(folder.path(), &format!("sequences --sandbox --bbox {BOX} --format parquet"));
    let stderr = run_rejected(folder.path(), "images --sandbox");
    assert!(stderr.contains("`outputs/seq_dataset.csv` and `outputs/seq_dataset.parquet`"), "{stderr}");
    assert!(stderr.contains("--input"), "{stderr}");
    run_ok(folder.path(), "images --sandbox --input outputs/seq_dataset.parquet");
    run_ok(folder.path(), "images --sandbox --input-format csv");
}

#[test]
fn standard_input_and_output_carry_text_formats() {
    let folder = tempfile::tempdir().unwrap();
    let csv = b"seq_id,img_id\nabc,1\nabc,2\n";
    let (code, features, stderr) = run(folder.path(), "convert - - --format geojsonseq", csv);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(std::str::from_utf8(&features).unwrap().lines().count(), 2);
    let (code, back, _) = run(folder.path(), "convert - - --input-format geojsonseq", &features);
    assert_eq!((code, back.as_slice()), (0, csv.as_slice()));
    let (code, _, stderr) = run(folder.path(), "convert - table.parquet", csv);
    assert_eq!(code, 0, "{stderr}");
    let (code, back, _) = run(folder.path(), "convert table.parquet -", b"");
    assert_eq!((code, back.as_slice()), (0, csv.as_slice()));
    for args in ["convert table.parquet - --format parquet", "convert - out.csv --input-format parquet"] {
        let stderr = run_rejected(folder.path(), args);
        assert!(stderr.contains("hint:") && stderr.contains("file"), "{stderr}");
    }
    let stderr = run_rejected(folder.path(), "convert table.parquet table");
    assert!(stderr.contains("--format"), "{stderr}");
}

#[test]
fn a_table_is_converted_completely_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("bad.csv"), "img_id,width\n1,2560\n2,wide\n3,2560\n").unwrap();
    let (code, _, stderr) = run(folder.path(), "convert bad.csv out.parquet", b"");
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("bad.csv") && stderr.contains("line 3, column `width`: `wide`"), "{stderr}");
    fs::write(path("float.csv"), "img_id,width\n1.463e15,2560\n").unwrap();
    assert!(run_rejected(folder.path(), "convert float.csv out.parquet").contains("loses digits"));
    fs::write(path("cut.geojson"), r#"{"type":"FeatureCollection","features":[{"type":"Feature","id":"1""#)
        .unwrap();
    assert!(run_rejected(folder.path(), "convert cut.geojson out.csv").contains("truncated"));
    fs::write(path("other.csv"), "a,b\n1,2\n").unwrap();
    assert!(run_rejected(folder.path(), "convert other.csv out.csv").contains("no column `img_id`"));
    let late = format!("{{\"type\":\"FeatureCollection\",\"features\":[]}}{}", "{}");
    fs::write(path("two.geojson"), late).unwrap();
    assert!(run_rejected(folder.path(), "convert two.geojson out.csv").contains("two files"));
    fs::remove_file(path("two.geojson")).unwrap();
    assert!(run_rejected(folder.path(), "convert nothing.csv out.csv").contains("nothing.csv"));
    assert_eq!(names(folder.path()), ["bad.csv", "cut.geojson", "float.csv", "other.csv"]);
}

#[test]
fn unknown_columns_are_reported_and_late_columns_are_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("in.csv"), "img_id,note,width\n1,x,2560\n").unwrap();
    let stderr = run_ok(folder.path(), "convert in.csv out.geojsonl");
    assert!(stderr.contains("dropped: column `note`"), "{stderr}");
    assert!(stderr.contains("converted 1 record into `out.geojsonl`"), "{stderr}");
    let feature = |id: usize, more: &str| {
        format!(r#"{{"type":"Feature","id":"{id}","geometry":null,"properties":{{{more}}}}}"#)
    };
    let mut features: Vec<String> = (0..1500).map(|id| feature(id, "")).collect();
    features.push(feature(1500, r#""width":2560"#));
    fs::write(path("late.geojsonl"), features.join("\n")).unwrap();
    let stderr = run_rejected(folder.path(), "convert late.geojsonl out.csv");
    assert!(stderr.contains("record 1501 has `width`") && stderr.contains("--fields"), "{stderr}");
    run_ok(folder.path(), "convert late.geojsonl out.csv --fields width");
    assert!(fs::read_to_string(path("out.csv")).unwrap().ends_with(",1500,2560\n"));
}

#[test]
fn flags_without_effect_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.csv"), "img_id,width\n1,2560\n").unwrap();
    for (args, flag) in [
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
        let stderr = run_rejected(folder.path(), args);
        assert!(stderr.contains(flag), "{args}: {stderr}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_a_pipe_gets_the_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("in.csv"), "seq_id,img_id\nabc,1\n").unwrap();
    fs::write(path("real.csv"), "old").unwrap();
    std::os::unix::fs::symlink("real.csv", path("link.csv")).unwrap();
    run_ok(folder.path(), "convert in.csv link.csv");
    assert!(fs::symlink_metadata(path("link.csv")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(path("real.csv")).unwrap(), "seq_id,img_id\nabc,1\n");
    let mut shell = std::process::Command::new("bash");
    let binary = env!("CARGO_BIN_EXE_streetflow");
    shell.args(["-c", &format!("mkfifo f.csv; cat f.csv > got & {binary} convert in.csv f.csv; wait")]);
    assert!(shell.current_dir(folder.path()).status().unwrap().success());
    assert_eq!(fs::read_to_string(path("got")).unwrap(), "seq_id,img_id\nabc,1\n");
    assert!(!path("f.csv").is_file(), "still a pipe");
}

/// An interrupt works also during a read of standard input.
#[cfg(unix)]
#[test]
fn an_interrupt_ends_a_conversion_that_waits_for_input() {
    let folder = tempfile::tempdir().unwrap();
    for args in ["convert - out.csv", "images --sandbox -i -"] {
        let mut command = command(folder.path());
        command.args(args.split(' ')).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let kept_open = child.stdin.take();
        std::thread::sleep(std::time::Duration::from_millis(700));
        let signal = ["-TERM", &child.id().to_string()].map(str::to_owned);
        assert!(std::process::Command::new("kill").args(signal).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{args}");
        drop(kept_open);
    }
}

/// Converts tables with any values, and without some columns, from format to format.
#[test]
fn a_table_round_trips_through_any_chain_of_conversions() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let odd = crate::support::odd_metadata();
    for (number, fields) in
        ["", "captured_at,width", "computed_geometry,make", "detections,geometry,merge_cc"]
            .into_iter()
            .enumerate()
    {
        for records in [vec![], vec![crate::support::metadata_record("1"), odd.clone()]] {
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
                run_ok(folder.path(), &format!("convert {last} {next}{place}"));
                let back: Vec<streetflow::Metadata> = crate::support::tables::read(&path(&next), *format);
                assert_eq!(back, expected, "table {number} as {next}");
                last = next;
            }
        }
    }
}

#[test]
fn coordinates_out_of_range_are_a_bad_row_in_every_format_and_the_bounds_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let feature = |id: u64, place: &str| {
        format!(
            r#"{{"type":"Feature","id":"{id}","geometry":{{"type":"Point","coordinates":{place}}},"properties":{{}}}}"#
        )
    };
    for bad in ["[500,100]", "[180.001,0]", "[0,-90.5]"] {
        let text = format!("{}\n{}\n", feature(728_019_821_979_741, "[180,-90]"), feature(2, bad));
        fs::write(folder.path().join("in.geojsonl"), text).unwrap();
        let stderr = run_rejected(folder.path(), "convert in.geojsonl out.csv");
        assert!(stderr.contains("in.geojsonl") && stderr.contains("coordinates are invalid"), "{stderr}");
    }
    let rows = "img_id,lon,lat,computed_lon,computed_lat\n1,-180,90,180,-90\n";
    fs::write(folder.path().join("good.csv"), rows).unwrap();
    run_ok(folder.path(), "convert good.csv good.parquet");
    run_ok(folder.path(), "convert good.parquet again.csv");
    fs::write(folder.path().join("bad.csv"), format!("{rows}2,33,35,33,-91\n")).unwrap();
    let stderr = run_rejected(folder.path(), "convert bad.csv out.parquet");
    assert!(stderr.contains("line 3") && stderr.contains("coordinates are invalid"), "{stderr}");
    assert!(!folder.path().join("out.csv").exists() && !folder.path().join("out.parquet").exists());
}
