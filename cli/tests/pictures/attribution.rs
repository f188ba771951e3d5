//! Attribution: in pictures, in tables and in a file.

use std::collections::BTreeSet;
use std::fs;

use exif::Tag;
use streetflow_sandbox::Sandbox;

use crate::support::pictures::{BOX, PICTURES, read_exif, requested_fields, rows, run_ok, text};
use crate::support::{read, run};

#[tokio::test(flavor = "multi_thread")]
async fn any_user_name_is_shown_on_one_short_line() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run_ok(&sandbox, folder.path(), &format!("crawl {BOX} --no-download")).await;
    let rows: Vec<_> =
        rows(folder.path()).into_iter().filter(|row| !row["thumb_256_url"].is_empty()).collect();
    let long = "Ω".repeat(10_000);
    let hostile = [
        "\u{1b}]0;owned\u{7}\r\n- nobody\0",
        "</rdf:li></rdf:RDF>&amp;]]>\u{202e}",
        &long,
        "=cmd|' /C calc'!A0",
        "\u{200b}\t\n",
    ];
    let table = folder.path().join("names.csv");
    let mut out = csv::Writer::from_path(&table).unwrap();
    out.write_record(["img_id", "creator_username", "thumb_256_url"]).unwrap();
    for (row, name) in rows.iter().zip(hostile) {
        out.write_record([&row["img_id"], name, &row["thumb_256_url"]]).unwrap();
    }
    out.flush().unwrap();
    run_ok(&sandbox, folder.path(), "download -i names.csv --exif always").await;
    let cut = format!("{}…", "Ω".repeat(100));
    let shown = ["]0;owned - nobody", "</rdf:li></rdf:RDF>&amp;]]>", &cut, "=cmd|' /C calc'!A0", ""];
    for (row, name) in rows.iter().zip(shown) {
        let picture =
            fs::read(folder.path().join(PICTURES).join(format!("{}_256.jpg", row["img_id"]))).unwrap();
        let exif = read_exif(&picture);
        assert_eq!(text(&exif, Tag::Artist), name);
        let xmp = String::from_utf8_lossy(&picture);
        let (_, packet) = xmp.split_once("<?xpacket begin").unwrap();
        assert_eq!(packet.matches("</rdf:RDF>").count(), 1, "no name closes the XMP packet");
    }
    let file = read(folder.path(), "outputs/ATTRIBUTION.txt");
    let ids_in_log: BTreeSet<_> = file.lines().filter_map(|line| line.strip_prefix("- ")).collect();
    assert_eq!(ids_in_log, shown.into_iter().filter(|name| !name.is_empty()).collect());
    assert!(!file.contains(['\u{1b}', '\u{7}', '\0', '\r', '\u{202e}']) && file.len() < 3000, "{file}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_attribution_file_is_written_and_replaces_no_foreign_file() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("outputs/ATTRIBUTION.txt");
    run_ok(&sandbox, folder.path(), &format!("crawl {BOX} --no-download")).await;
    assert!(!file.exists(), "there are no pictures");
    let stderr = run_ok(&sandbox, folder.path(), "download").await;
    assert!(
        stderr.contains("ATTRIBUTION.txt")
            && read(folder.path(), "outputs/report.json").contains("ATTRIBUTION")
    );
    let bare = fs::read_to_string(&file).unwrap();
    assert!(bare.contains("https://creativecommons.org/licenses/by-sa/4.0/"));
    assert!(bare.contains("https://www.mapillary.com/app/?pKey=<img_id>"));
    run_ok(&sandbox, folder.path(), &format!("crawl {BOX} --fields creator,attribution")).await;
    let authors: BTreeSet<_> =
        rows(folder.path()).iter().map(|row| row["creator_username"].clone()).collect();
    let text = fs::read_to_string(&file).unwrap();
    let ids_in_log: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("- ")).collect();
    assert_eq!(ids_in_log, authors.iter().collect::<Vec<_>>());
    // A run without names keeps the names in the file.
    run_ok(&sandbox, folder.path(), "download -i outputs/img_meta_dataset.csv").await;
    assert_eq!(fs::read_to_string(&file).unwrap(), text);

    fs::write(&file, "Thanks to everybody.\n").unwrap();
    for words in [format!("crawl {BOX}"), "download".to_owned()] {
        sandbox.clear_requests();
        let (exit, stderr) = run(&sandbox, folder.path(), words.split_whitespace()).await;
        assert!(
            exit == 1 && stderr.contains("ATTRIBUTION.txt") && stderr.contains("not written by streetflow"),
            "{exit}: {stderr}"
        );
        assert!(sandbox.requests().is_empty(), "before the first request");
    }
    run_ok(&sandbox, folder.path(), &format!("crawl {BOX} --no-download")).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "Thanks to everybody.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn attribution_and_page_url_are_columns_in_every_format_and_in_conversions() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let formats: Vec<_> = streetflow::Format::ALL.iter().map(ToString::to_string).collect();
    let formats = formats.join(",");
    run_ok(
        &sandbox,
        folder.path(),
        &format!("crawl {BOX} --no-download --fields page_url,attribution,width --format {formats}"),
    )
    .await;
    assert!(requested_fields(&sandbox).is_superset(&["creator", "width"].map(str::to_owned).into()));
    assert!(requested_fields(&sandbox).is_disjoint(&["attribution", "page_url"].map(str::to_owned).into()));
    let table = read(folder.path(), "outputs/img_meta_dataset.csv");
    assert!(table.starts_with("seq_id,img_id,page_url,attribution,width\n"), "{}", &table[..80]);
    for row in rows(folder.path()) {
        assert_eq!(row["page_url"], format!("https://www.mapillary.com/app/?pKey={}", row["img_id"]));
        assert!(
            row["attribution"].starts_with("© ")
                && row["attribution"].ends_with(" / Mapillary, CC BY-SA 4.0")
        );
    }
    for format in streetflow::Format::ALL {
        let name = format!("outputs/img_meta_dataset.{}", format.extension());
        run_ok(
            &sandbox,
            folder.path(),
            &format!("convert {name} back.csv --fields page_url,attribution,width"),
        )
        .await;
        assert_eq!(read(folder.path(), "back.csv"), table, "{format}");
    }
    // From a table without these columns, but with those they are made of.
    run_ok(&sandbox, folder.path(), &format!("crawl {BOX} --no-download --fields creator,width")).await;
    run_ok(
        &sandbox,
        folder.path(),
        "convert outputs/img_meta_dataset.csv made.csv --fields page_url,attribution,width",
    )
    .await;
    assert_eq!(read(folder.path(), "made.csv"), table);
    // Existing columns of a table are kept.
    fs::write(folder.path().join("own.csv"), "img_id,creator_username,attribution\n7,me,\n8,me,© you\n")
        .unwrap();
    run_ok(&sandbox, folder.path(), "convert own.csv kept.csv --fields attribution").await;
    assert_eq!(
        read(folder.path(), "kept.csv"),
        "img_id,attribution\n7,\n8,© you\n"
            .replace("img_id", "seq_id,img_id")
            .replace("7,", ",7,")
            .replace("8,", ",8,")
    );
}
