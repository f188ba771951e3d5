//! Tables and areas as spreadsheets, R, pandas and GIS programs write them.

use std::fs;
use std::path::Path;

use futures::StreamExt;
use streetflow::{CsvSource, ErrorKind, Format, Metadata, Record, Result, Source, TableSource};
use streetflow_sandbox::{Host, Sandbox};

use crate::support::{command_on, names, output, read, with};

const SEQUENCE: &str = "Oc3C5rvqk0rClfLG_NemqT";

async fn rows<T: Record>(text: &str) -> Vec<Result<T>> {
    let text = std::io::Cursor::new(text.to_owned());
    match CsvSource::new("a text", text) {
        Ok(source) => source.stream().collect().await,
        Err(error) => vec![Err(error)],
    }
}

fn message<T>(item: &Result<T>) -> String {
    item.as_ref().err().map(streetflow::Error::chain).unwrap_or_default()
}

/// Runs a command with the mock server. Also returns the number of requests.
async fn run(sandbox: &Sandbox, folder: &Path, args: &str) -> (i32, String, usize) {
    sandbox.clear_requests();
    let (exit, stderr) = output(with(command_on(sandbox, folder), args.split(' '))).await;
    let requests = [Host::Graph, Host::Tiles, Host::Images].map(|host| sandbox.requests_to(host).len());
    (exit, stderr, requests.iter().sum())
}

/// Returns ids of 16 digits.
fn whole_ids(count: u64) -> Vec<String> {
    (0..count).map(|number| (8_158_403_553_001_729 + number * 7).to_string()).collect()
}

/// Returns the same ids after rounding by a spreadsheet.
fn rounded_ids(count: u64) -> Vec<String> {
    (0..count).map(|number| format!("{}0", 815_840_355_300_172 + number)).collect()
}

fn table(ids: &[String]) -> String {
    let rows: Vec<_> = ids.iter().map(|id| format!("{SEQUENCE},{id}\n")).collect();
    format!("seq_id,img_id\n{}", rows.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_rounded_ids_is_rejected_before_any_request_in_every_step_and_format() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ids = rounded_ids(40);
    let urls: Vec<_> = ids.iter().map(|id| format!("{id},http://127.0.0.1:9/x.jpg\n")).collect();
    fs::write(path.join("ids.csv"), table(&ids)).unwrap();
    fs::write(path.join("list.txt"), ids.join("\n")).unwrap();
    fs::write(path.join("pictures.csv"), format!("img_id,thumb_256_url\n{}", urls.concat())).unwrap();
    for ending in ["geojson", "geojsonl", "parquet"] {
        if cfg!(feature = "parquet") || ending != "parquet" {
            let (exit, stderr, _) = run(&sandbox, path, &format!("convert ids.csv ids.{ending}")).await;
            assert_eq!(exit, 0, "{stderr}");
            assert!(stderr.contains("warning: the table `ids.csv`: of 40 image ids"), "{stderr}");
        }
    }
    let inline = format!("crawl --no-download --images={}", ids[..4].join(","));
    for args in [
        "metadata --input=ids.csv",
        "metadata --input=ids.geojson",
        "metadata --input=ids.geojsonl",
        #[cfg(feature = "parquet")]
        "metadata --input=ids.parquet",
        "crawl --no-download --images=ids.csv",
        "crawl --no-download --images=list.txt",
        "download --exif=always --input=pictures.csv",
        &inline,
    ] {
        let (exit, stderr, requests) = run(&sandbox, path, args).await;
        assert_eq!((exit, requests), (2, 0), "{args}: {stderr}");
        assert!(stderr.contains("spreadsheet") && stderr.contains("`8158403553001720`"), "{args}: {stderr}");
        assert!(stderr.contains("hint:") && stderr.contains("as text"), "{args}: {stderr}");
        assert!(!path.join("outputs/img_meta_dataset.csv").exists(), "{args}");
    }
}

#[tokio::test]
async fn rounded_ids_are_distinguished_from_exact_ones() {
    let refused = async |ids: &[String]| {
        let rows = rows::<Metadata>(&table(ids)).await;
        let refused = rows.iter().find_map(|row| row.as_ref().err().filter(|error| error.is_fatal()));
        (refused.is_some(), rows.len())
    };
    let with = |mut ids: Vec<String>, more: Vec<String>| {
        ids.extend(more);
        ids
    };
    // Ids of 15 digits are exact, and shorter ones can end in zeros.
    let short = |count: u64| (0..count).map(|n| format!("{}00", 2_000_000_000_000 + n)).collect::<Vec<_>>();
    for ids in [
        rounded_ids(3),
        rounded_ids(5000),
        vec!["26774514888887900".into(), "26774514888887800".into()],
        with(rounded_ids(95), whole_ids(5)),
        with(whole_ids(5), rounded_ids(95)),
        with(short(500), rounded_ids(10)),
        // In exponent notation.
        with(whole_ids(1), (0..30).map(|n| format!("8.{n:05}E+15")).collect()),
    ] {
        assert_eq!(refused(&ids).await, (true, 1), "{} ids such as {}", ids.len(), ids[0]);
    }
    for ids in [
        rounded_ids(1),
        whole_ids(5000),
        short(5000),
        with(whole_ids(50), rounded_ids(1)),
        with(whole_ids(20), rounded_ids(20)),
        // One in ten exact ids ends in a zero.
        (0..5000).map(|n| (8_158_403_553_001_729_u64 + n).to_string()).collect(),
    ] {
        assert_eq!(refused(&ids).await, (false, ids.len()), "{} ids such as {}", ids.len(), ids[0]);
    }
    // If rounded ids appear late, earlier rows are already passed on, and the table ends there.
    let late = with(short(20_000), rounded_ids(50));
    let (is_refused, passed) = refused(&late).await;
    assert!(is_refused && (20_000..20_010).contains(&passed), "{passed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_id_that_can_be_rounded_gives_a_warning() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let known: Vec<_> = {
        let data = sandbox.mock_data();
        let sequence = data.sequences().iter().find(|sequence| !sequence.is_gone()).unwrap();
        sequence.images().map(|image| image.id()).take(30).collect()
    };
    let mut ids = known.clone();
    ids.insert(7, "9158403553001720".to_owned());
    fs::write(folder.path().join("ids.csv"), table(&ids)).unwrap();
    let (exit, stderr, _) = run(&sandbox, folder.path(), "metadata --trust-gone --input=ids.csv").await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(
        stderr.contains("warning: the table `ids.csv`") && stderr.contains("`9158403553001720`"),
        "{stderr}"
    );
    assert_eq!(stderr.matches("spreadsheet").count(), 1, "{stderr}");
    let outputs = folder.path().join("outputs");
    assert!(read(&outputs, "img_meta_dataset.csv").lines().count() > known.len() / 2);
}

#[tokio::test]
async fn empty_rows_are_skipped_and_line_numbers_match_an_editor() {
    let text = "\r\n,,\r\nimg_id,make,width\r\n\r\n,,\r\n1,\"two\r\nlines\",10\r\n,,\r\n\"\",\" \",\r\n2,x,wide\r\n,,,,,,\r\n3,\"a\n\n\nb\",1e9\r\n4,y,40\r\n,,\r\n";
    for text in
        [text.to_owned(), text.replace("\r\n", "\n"), text.replace("\r\n", "\r"), format!("\u{feff}{text}")]
    {
        let rows = rows::<Metadata>(&text).await;
        let ids: Vec<_> = rows.iter().flatten().map(|row| row.img_id.as_str()).collect();
        assert_eq!(ids, ["1", "4"], "{text:?}");
        let stderr: Vec<_> = rows.iter().map(message).filter(|stderr| !stderr.is_empty()).collect();
        assert_eq!(stderr.len(), 2, "{stderr:?}");
        assert!(stderr[0].contains(": line 10, column `width`: `wide`"), "{stderr:?}");
        assert!(stderr[1].contains(": line 12, column `width`: `1e9`"), "{stderr:?}");
    }
    // The first non-empty row decides whether the table is valid.
    let first = rows::<Metadata>("img_id,width\n,\n\n1,wide\n2,10\n").await;
    assert_eq!((first.len(), first[0].as_ref().unwrap_err().kind()), (1, ErrorKind::Usage));
    assert!(message(&first[0]).contains("line 4"), "{}", message(&first[0]));
}

#[tokio::test]
async fn a_quote_in_a_cell_is_a_character_and_an_unclosed_one_is_reported() {
    let text = "img_id,make,model\n1,5\" lens,a\n2,b,\"two\nlines\"\n3,c,4\" x 6\" \"\n4,d,\"e\n\n f\"\n";
    let found = rows::<Metadata>(text).await;
    let makes: Vec<_> = found.iter().map(|row| row.as_ref().unwrap().make.as_deref().unwrap()).collect();
    assert_eq!(makes, ["5\" lens", "b", "c", "d"]);
    // The rows inside an unclosed quote are reported.
    let open = rows::<Metadata>("img_id,make\n1,a\n2,\"b\n3,c\n4,d\",e\n5,e\n").await;
    let stderr: Vec<_> = open.iter().map(message).collect();
    assert!(
        stderr[1].contains("line 3") && stderr[1].contains("line 5: is a quote not closed?"),
        "{stderr:?}"
    );
    assert_eq!(open.last().unwrap().as_ref().unwrap().img_id.as_str(), "5");
    let never = rows::<Metadata>("img_id,make\n1,a\n2,\"b\n3,c\n").await;
    assert!(never[0].is_ok() && never.len() == 2, "{}", never.len());
    assert!(message(&never[1]).contains("line 3: the row has an unclosed quote"), "{}", message(&never[1]));
}

#[tokio::test]
async fn impossible_times_and_rounded_numbers_are_bad_rows_in_every_format() {
    let bad = [
        "2023-02-31T00:00:00Z",
        "2023-02-29 12:00:00",
        "2023-13-01T00:00:00Z",
        "2023-01-01T25:00:00Z",
        "1.71959E+12",
    ];
    let good =
        ["1719594028000", "1.719594028E+12", "2024-02-29T00:00:00Z", "NA", "N/A", "\\N", "NULL", "null", ""];
    let all: Vec<_> = good.iter().chain(&bad).collect();
    let csv: Vec<_> = all.iter().enumerate().map(|(n, at)| format!("{n},{at}\n")).collect();
    let quoted = |at: &str| serde_json::to_string(at).unwrap();
    let lines: Vec<_> = (all.iter().enumerate())
        .map(|(n, at)| {
            let at = if at.contains("E+12") { (**at).to_owned() } else { quoted(at) };
            format!("{{\"type\":\"Feature\",\"geometry\":null,\"properties\":{{\"img_id\":\"{n}\",\"captured_at\":{at}}}}}\n")
        })
        .collect();
    for (format, text) in
        [(Format::Csv, format!("img_id,captured_at\n{}", csv.concat())), (Format::GeoJsonSeq, lines.concat())]
    {
        let source = TableSource::<Metadata>::read("a text", std::io::Cursor::new(text), format).unwrap();
        let rows: Vec<_> = source.stream().collect().await;
        assert_eq!(rows.len(), all.len());
        for (row, at) in rows.iter().zip(&all) {
            assert_eq!(row.is_ok(), good.contains(at), "{format} {at}: {}", message(row));
        }
        let times: Vec<_> = rows.iter().flatten().map(|row| row.captured_at).collect();
        let seconds = Some(1_719_594_028_000);
        assert_eq!(times[..4], [seconds, seconds, Some(1_709_164_800_000), None], "{format}");
        assert!(message(&rows[good.len()]).contains("no such day"), "{}", message(&rows[good.len()]));
        assert!(message(rows.last().unwrap()).contains("exponent"), "{}", message(rows.last().unwrap()));
    }
}

#[tokio::test]
async fn words_for_missing_values_are_missing_in_all_but_text_columns() {
    let text = "img_id,seq_id,width,altitude,is_pano,lon,lat,computed_rotation,creator_id,creator_username\n\
        1,abc,NA,N/A,\\N,NULL,null,NaN,NA,NA\n2,NA,n/a,NULL,None,NA,NA,null,\\N,NULL\n3,abc,-,-,-,-,-,-,-,-\n\
        4,abc,NB,1,1,1,1,[1],1,x\n5,abc,1,1,1,1,NA,[1],1,x\nNA,abc,1,1,1,1,1,[1],1,x\n";
    let rows = rows::<Metadata>(text).await;
    for row in &rows[..3] {
        let row = row.as_ref().unwrap();
        let is_empty =
            row.width.is_none() && row.altitude.is_none() && row.is_pano.is_none() && row.geometry.is_none();
        assert!(is_empty && row.computed_rotation.is_none() && row.creator_id.is_none(), "{row:?}");
    }
    let names: Vec<_> =
        rows[..3].iter().map(|row| row.as_ref().unwrap().creator_username.clone().unwrap()).collect();
    assert_eq!(names, ["NA", "NULL", "-"], "user names can be such words");
    assert_eq!(rows[1].as_ref().unwrap().seq_id.as_str(), "NA");
    assert!(message(&rows[3]).contains("`NB`: it is not a 32-bit integer"), "{}", message(&rows[3]));
    assert!(message(&rows[4]).contains("only one coordinate"), "{}", message(&rows[4]));
    assert!(
        message(&rows[5]).contains("column `img_id`: `NA`: such an id has only decimal digits"),
        "{}",
        message(&rows[5])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_value_in_an_unused_column_fails_no_row() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let first = "crawl --bbox=33.33,35.15,33.39,35.19 --no-download --fields=thumb_256_url,width,captured_at --limit=4";
    let (exit, stderr, _) = run(&sandbox, path, first).await;
    assert_eq!(exit, 0, "{stderr}");
    let outputs = path.join("outputs");
    let spoil = |text: &str, columns: &str, cells: &str| {
        let mut lines = text.lines();
        let header = format!("{},{columns}\n", lines.next().unwrap());
        lines.fold(header, |text, line| text + line + "," + cells + "\n")
    };
    let images = read(&outputs, "img_meta_dataset.csv").replace("width", "width_of_old");
    fs::write(
        path.join("images.csv"),
        spoil(&images, "width,altitude,lon,lat,creator_id", "wide,high,1,,1e9"),
    )
    .unwrap();
    fs::write(
        path.join("sequences.csv"),
        spoil(&read(&outputs, "seq_dataset.csv").replace("org_id", "org"), "org_id", "x"),
    )
    .unwrap();
    for (args, count) in [
        ("download --input=images.csv -o pictures", 4),
        ("metadata --input=images.csv -o meta --fields=width", 4),
        ("crawl --images=images.csv --no-download -o again --fields=width", 4),
        ("images --input=sequences.csv -o listed", 0),
        ("crawl --sequences=sequences.csv --no-download -o crawled --limit=3 --fields=width", 0),
    ] {
        let (exit, stderr, _) = run(&sandbox, path, args).await;
        assert_eq!(exit, 0, "{args}: {stderr}");
        assert!(count == 0 || stderr.contains('4'), "{args}: {stderr}");
        assert!(!stderr.contains("failed"), "{args}: {stderr}");
    }
    assert_eq!(
        names(&path.join("pictures/downloaded_images"))
            .iter()
            .filter(|name| name.ends_with("_256.jpg"))
            .count(),
        4
    );
    // Columns for EXIF data are used, and `convert` uses all columns.
    for args in ["download --input=images.csv -o others --exif=always", "convert images.csv images.geojson"] {
        let (exit, stderr, _) = run(&sandbox, path, args).await;
        assert!(exit == 2 && stderr.contains("line 2, column"), "{args}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_area_warns_of_ignored_parts_and_of_assumed_wgs_84_coordinates() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let area = r#"{"type":"FeatureCollection","crs":{"type":"name","properties":{"name":"EPSG:4269"}},"features":[
        {"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[33.36,35.17]}},
        {"type":"Feature","properties":{},"geometry":{"type":"Polygon","coordinates":[[[33.33,35.15],[33.39,35.15],[33.39,35.19],[33.33,35.19],[33.33,35.15]]]}}]}"#;
    fs::write(path.join("area.geojson"), area).unwrap();
    let (exit, stderr, _) = run(&sandbox, path, "sequences --area=area.geojson").await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(
        stderr.contains("warning: the area `area.geojson`: ignored besides its polygons: 1 Point"),
        "{stderr}"
    );
    assert!(stderr.contains("`EPSG:4269`, treated as WGS 84"), "{stderr}");
    let box_of_it = "sequences --bbox=33.33,35.15,33.39,35.19 -o box";
    assert_eq!(run(&sandbox, path, box_of_it).await.0, 0);
    let found = |folder: &str| read(&path.join(folder), "seq_dataset.csv");
    assert_eq!(found("outputs"), found("box"));
    fs::write(path.join("metres.geojson"), area.replace("4269", "25832")).unwrap();
    fs::write(path.join("point.geojson"), r#"{"type":"Point","coordinates":[33.36,35.17]}"#).unwrap();
    for (file, said_of_it, hint) in [
        (
            "metres.geojson",
            "`EPSG:25832`, not in longitude and latitude on WGS 84",
            "ogr2ogr -t_srs EPSG:4326",
        ),
        ("point.geojson", "only 1 Point", "--around 33.36,35.17 --radius"),
    ] {
        let (exit, stderr, requests) = run(&sandbox, path, &format!("sequences --area={file}")).await;
        assert_eq!((exit, requests), (2, 0), "{stderr}");
        assert!(stderr.contains(said_of_it) && stderr.contains(hint), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_that_do_not_exist_are_usage_errors_for_both_ends() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for flag in ["from", "to"] {
        for text in [
            "2023-02-31",
            "2023-02-29T00:00:00Z",
            "2023-13-01",
            "2023-06-01T25:00:00Z",
            "2023-06-01T00:00:61Z",
        ] {
            let args = format!("crawl --no-download --bbox=33.33,35.15,33.39,35.19 --{flag}={text}");
            let (exit, stderr, requests) = run(&sandbox, folder.path(), &args).await;
            assert_eq!((exit, requests), (2, 0), "{args}: {stderr}");
            assert!(stderr.contains(text) && stderr.contains("no such day or time of day"), "{stderr}");
        }
    }
}

/// The library lets other programs continue reading.
#[tokio::test]
async fn a_custom_id_check_is_called_and_can_accept_the_table() {
    use std::sync::{Arc, Mutex};
    use streetflow::sources::IdCheck;

    let message = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&message);
    let check = IdCheck::warn(move |text| tell.lock().unwrap().push(text.to_owned()));
    let text = std::io::Cursor::new(table(&rounded_ids(600)));
    let source =
        TableSource::<Metadata>::read("a text", text, Format::Csv).unwrap().on_rounded_ids(check.keep());
    let kept = source.stream().filter(|row| std::future::ready(row.is_ok())).count().await;
    assert_eq!(kept, 600);
    let message = message.lock().unwrap();
    assert!(message.len() == 1 && message[0].contains("of 600 image ids"), "{message:?}");
}

#[cfg(feature = "parquet")]
#[tokio::test]
async fn times_cannot_be_32_bit_floats() {
    use std::sync::Arc;

    use parquet::arrow::ArrowWriter;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let columns: [(&str, arrow_array::ArrayRef); 3] = [
        ("img_id", Arc::new(arrow_array::StringArray::from(vec!["1", "2"]))),
        ("captured_at", Arc::new(arrow_array::Float32Array::from(vec![None, Some(1.719_594_e12)]))),
        ("width", Arc::new(arrow_array::Float32Array::from(vec![Some(2560.0), None]))),
    ];
    let batch = arrow_array::RecordBatch::try_from_iter_with_nullable(
        columns.map(|(name, array)| (name, array, true)),
    );
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let rows: Vec<_> = TableSource::<Metadata>::open(&path).unwrap().stream().collect().await;
    assert_eq!(rows[0].as_ref().unwrap().width, Some(2560));
    assert!(message(&rows[1]).contains("32-bit float"), "{}", message(&rows[1]));
}
