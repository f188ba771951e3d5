//! Tables as users and other tools write them.

use futures::{StreamExt, TryStreamExt};
use streetflow::{
    CsvSource, ErrorKind, GeoJsonSource, Image, LonLat, Metadata, Record, Result, Sequence, Source,
    TableSource,
};

async fn rows<T: Record>(text: &str) -> Vec<Result<T>> {
    match CsvSource::<T>::new("a text", std::io::Cursor::new(text.to_owned())) {
        Ok(source) => source.stream().collect().await,
        Err(error) => vec![Err(error)],
    }
}

#[tokio::test]
async fn order_extra_columns_bom_crlf_and_quotes_do_not_matter() {
    let text = "\u{feff}note,img_id,\"seq_id\"\r\n\"a,\nb\",\"26774514888887982\",-qe-JIXxphhaeodoDQNWvM\r\n,1,x\r\n";
    let images: Vec<Image> = rows(text).await.into_iter().collect::<Result<_>>().unwrap();
    assert_eq!(images[0].img_id.as_str(), "26774514888887982");
    assert_eq!(images[0].seq_id.as_str(), "-qe-JIXxphhaeodoDQNWvM");
    assert_eq!(images.len(), 2);
}

/// A reader that returns a few bytes at a time, like a pipe.
struct SmallReads(std::io::Cursor<Vec<u8>>, usize);

impl std::io::Read for SmallReads {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.1.min(buffer.len());
        self.0.read(&mut buffer[..len])
    }
}

#[tokio::test]
async fn a_byte_order_mark_can_arrive_in_several_reads() {
    for size in 1..6 {
        let text = "\u{feff}seq_id,img_id\r\na,1\r\nb,2\r\n";
        let drops = SmallReads(std::io::Cursor::new(text.as_bytes().to_vec()), size);
        let images: Vec<Image> =
            CsvSource::new("a pipe", drops).unwrap().stream().try_collect().await.unwrap();
        assert_eq!(images.len(), 2, "{size} bytes at a time");
    }
}

#[tokio::test]
async fn a_table_without_the_key_column_is_rejected_by_name() {
    for text in ["img_id,id\n1,2\n", "", "\n\n", "seq\nabc\n"] {
        let error = rows::<Image>(text).await.pop().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{text:?}");
        assert!(error.chain().contains("`seq_id`") && error.chain().contains("a text"), "{}", error.chain());
    }
    let error = rows::<Image>("seq_id,img_id,img_id\na,1,2\n").await.pop().unwrap().unwrap_err();
    assert!(error.chain().contains("`img_id` twice"), "{}", error.chain());
}

#[tokio::test]
async fn a_table_with_a_bad_first_row_is_rejected() {
    for (text, why) in [
        ("seq_id,img_id,width\na,1\n", "line 2 has 2 cells, the header names 3"),
        ("seq_id,img_id\na,1.463e15\n", "loses digits"),
        ("seq_id,img_id\na,1463097064038568.0\n", "loses digits"),
        ("seq_id,img_id\na,../../etc/passwd\n", "line 2, column `img_id`"),
        ("seq_id,img_id\n,1\n", "column `seq_id`: ``: it is empty"),
    ] {
        let items = rows::<Image>(text).await;
        let error = items[0].as_ref().unwrap_err();
        assert_eq!((error.kind(), items.len()), (ErrorKind::Usage, 1), "{text:?}");
        assert!(error.chain().contains(why), "{}", error.chain());
    }
}

#[tokio::test]
async fn a_later_bad_row_is_named_and_skipped() {
    let items = rows::<Metadata>("img_id,width\n1,10\n2,wide\n3\n4,40\n").await;
    let chains: Vec<_> = items.iter().map(|item| item.as_ref().err().map(streetflow::Error::chain)).collect();
    assert!(
        chains[1].as_ref().unwrap().contains("line 3, column `width`: `wide`: it is not a 32-bit integer"),
        "{chains:?}"
    );
    assert!(chains[2].as_ref().unwrap().contains("line 4 has 1 cells"), "{chains:?}");
    assert_eq!(items[3].as_ref().unwrap().width, Some(40));
    assert!(items[1..3].iter().all(|item| item.as_ref().unwrap_err().kind() == ErrorKind::Malformed));
}

#[tokio::test]
async fn a_table_with_only_a_header_is_empty() {
    assert!(rows::<Sequence>("org_id,seq_id\n").await.is_empty());
    assert!(rows::<Sequence>("seq_id").await.is_empty());
}

#[tokio::test]
async fn a_missing_file_and_a_folder_are_errors_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("none.csv"), folder.path().to_owned()] {
        let error = CsvSource::<Image>::open(&path).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(error.subject(), Some(path.display().to_string().as_str()));
    }
}

#[tokio::test]
async fn a_million_rows_stream_in_constant_memory() {
    let rows = (0..1_000_000).map(|n| format!("{n},a\n"));
    let text = Lines { rows, rest: Vec::new(), header: Some("img_id,seq_id\n") };
    let count =
        CsvSource::<Image>::new("rows", text).unwrap().stream().try_fold(0, |n, _| async move { Ok(n + 1) });
    assert_eq!(count.await.unwrap(), 1_000_000);
}

/// A reader that generates rows on demand.
struct Lines<I> {
    rows: I,
    rest: Vec<u8>,
    header: Option<&'static str>,
}

impl<I: Iterator<Item = String>> std::io::Read for Lines<I> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() {
            let next = self.header.take().map(str::to_owned).or_else(|| self.rows.next());
            self.rest = next.unwrap_or_default().into_bytes();
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }
}

#[tokio::test]
async fn an_unclosed_quote_is_an_error_in_bounded_memory() {
    let endless = std::io::Read::chain(
        "seq_id,img_id\n\"a".as_bytes(),
        Lines { rows: std::iter::repeat("x,y\n".to_owned()), rest: Vec::new(), header: None },
    );
    let items: Vec<Result<Image>> = CsvSource::new("endless", endless).unwrap().stream().collect().await;
    assert!(items[0].as_ref().unwrap_err().chain().contains("16 MiB"), "{items:?}");
}

#[tokio::test]
async fn a_longitude_without_a_latitude_is_reported() {
    let rows: Vec<Result<Metadata>> = rows("img_id,lon,lat\n0,,\n1,33.5,\n2,33.5,35.1\n3,,35.1\n").await;
    let places: Vec<_> = rows.iter().map(|row| row.as_ref().ok().map(|row| row.geometry.is_some())).collect();
    assert_eq!(places, [Some(false), None, Some(true), None]);
    assert!(rows[1].as_ref().unwrap_err().chain().contains("line 3: it has only one coordinate"));
}

#[tokio::test]
async fn a_csv_file_that_ends_in_a_quote_or_repeats_its_header_is_reported() {
    let text = format!("img_id,make\n1,a\n2,\"GoPro\n{}", "3,b\n".repeat(100));
    let items: Vec<Result<Metadata>> = rows(&text).await;
    let error = items.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.chain().contains("unclosed quote"), "{}", error.chain());
    let fine: Vec<Result<Metadata>> = rows("img_id,make\n1,\"a \"\"b\"\"\nc\"\n").await;
    assert!(fine[0].is_ok() && fine.len() == 1);
    let twice: Vec<Result<Sequence>> = rows("org_id,seq_id\n1,a\norg_id,seq_id\n2,b\n").await;
    assert!(twice[1].as_ref().unwrap_err().chain().contains("line 3 repeats the header"));
    assert!(twice[2].is_ok());
}

#[tokio::test]
async fn missing_values_times_and_ids_of_other_tools_are_read_or_reported() {
    let good =
        "img_id,width,captured_at,altitude\n1,NaN,2023-12-10 11:43:46+00:00,nan\n2,2560.0,1.702208626e12,1\n";
    let images: Vec<Metadata> = rows(good).await.into_iter().collect::<Result<_>>().unwrap();
    assert_eq!((images[0].width, images[0].altitude), (None, None));
    assert_eq!(images[0].captured_at, Some(1_702_208_626_000));
    assert_eq!((images[1].width, images[1].captured_at), (Some(2560), Some(1_702_208_626_000)));
    for (text, why) in [
        ("img_id\nNaN\n", "loses digits"),
        ("img_id\ninf\n", "loses digits"),
        ("img_id,mesh_id\n1,1.849498309688165e+16\n", "loses digits"),
        ("img_id,altitude\n1,inf\n", "not a finite number"),
        ("img_id,captured_at\n1,yesterday\n", "2023-12-10T11:43:46Z"),
        ("img_id;width\n1;2\n", "no column `img_id`"),
    ] {
        let error = rows::<Metadata>(text).await.pop().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.chain().contains(why), "{}", error.chain());
    }
}

#[tokio::test]
async fn a_geometry_sets_the_coordinates_unless_it_is_a_copy() {
    let feature = |more: &str| {
        format!(
            r#"{{"type":"Feature","id":"1","geometry":{{"type":"Point","coordinates":[33.5,35.0]}},"properties":{{{more}}}}}"#
        )
    };
    let here = Some(LonLat { lon: 33.5, lat: 35.0 });
    for (more, original) in [
        ("", here),
        (r#""lon":null,"lat":null"#, here),
        (r#""lon":1.0,"lat":2.0"#, Some(LonLat { lon: 1.0, lat: 2.0 })),
        (r#""lon":null,"lat":null,"computed_lon":33.5,"computed_lat":35.0"#, None),
    ] {
        let image = features(&feature(more)).await.remove(0).unwrap();
        assert_eq!(image.geometry, original, "{more}");
    }
}

async fn features(text: &str) -> Vec<Result<Metadata>> {
    match GeoJsonSource::lines("a text", std::io::Cursor::new(text.to_owned())) {
        Ok(source) => source.stream().collect().await,
        Err(error) => vec![Err(error)],
    }
}

#[tokio::test]
async fn features_of_other_tools_are_read() {
    let text = concat!(
        r#"{"type":"Feature","id":26774514888887982,"geometry":{"type":"Point","coordinates":[33.5,35.0,12.5]},"properties":null,"bbox":[1,2,3,4]}"#,
        "\r\n",
        r#"{"type":"Feature","properties":{"img_id":2,"width":"2560","is_pano":1,"camera_parameters":"[0.5,1]","captured_at":1.500000000e12,"colour":{"a":[1]}},"geometry":null}"#,
        "\n",
        r#"{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"img_id":"3","lon":33.5,"lat":35}}"#,
    );
    let images: Vec<Metadata> = features(text).await.into_iter().collect::<Result<_>>().unwrap();
    let here = Some(LonLat { lon: 33.5, lat: 35.0 });
    assert_eq!((images[0].img_id.as_str(), images[0].geometry), ("26774514888887982", here));
    assert_eq!((images[1].img_id.as_str(), images[1].width), ("2", Some(2560)));
    assert_eq!((images[1].is_pano, images[1].captured_at), (Some(true), Some(1_500_000_000_000)));
    assert_eq!(images[1].camera_parameters, Some(vec![0.5, 1.0]));
    assert_eq!(images[2].geometry, here, "own columns have priority over the geometry");
}

#[tokio::test]
async fn a_bad_feature_is_named_and_skipped() {
    let good = r#"{"type":"Feature","id":"1","geometry":null,"properties":{}}"#;
    for (bad, why) in [
        (r#"{"type":"Feature","id":1.463e15,"geometry":null,"properties":{}}"#, "loses digits"),
        (r#"{"type":"Feature","geometry":null,"properties":{"img_id":1463097064038568.0}}"#, "loses digits"),
        (
            r#"{"type":"Feature","geometry":null,"properties":{"img_id":"../../x"}}"#,
            "column `img_id`: `../../x`",
        ),
        (r#"{"type":"Feature","geometry":null,"properties":{"width":1}}"#, "`img_id`"),
        (
            r#"{"type":"Feature","id":"2","geometry":null,"properties":{"width":"wide"}}"#,
            "column `width`: `wide`",
        ),
        (
            r#"{"type":"Feature","id":"2","geometry":null,"properties":{"width":3000000000}}"#,
            "32-bit integer",
        ),
        (
            r#"{"type":"Feature","id":"2","geometry":{"type":"LineString","coordinates":[[1,2],[3,4]]},"properties":{}}"#,
            "a Point",
        ),
        (r#"{"type":"Point","coordinates":[1,2]}"#, "feature 2"),
        (r#"{"type":"Feature","id":"2","geometry":nul"#, "feature 2"),
        ("\u{1b}[31m{", "feature 2"),
        ("[[[[[[", "feature 2"),
    ] {
        let items = features(&format!("{good}\n{bad}\n{good}\n")).await;
        assert_eq!(items.len(), 3, "{bad}");
        let error = items[1].as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        let chain = error.chain();
        assert!(chain.contains("feature 2") && chain.contains(why), "{chain}");
        assert!(!chain.contains('\u{1b}') && chain.len() < 500, "{chain}");
        // An error at the top level is an error of the whole file.
        let error = features(&format!("{bad}\n{good}\n")).await.remove(0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{bad}");
    }
    let deep = format!("{good}\n{}\n", "[".repeat(100_000));
    assert!(features(&deep).await[1].is_err());
}

#[tokio::test]
async fn a_feature_with_a_top_level_id_still_needs_the_other_properties() {
    let feature = |properties: &str| {
        format!(r#"{{"type":"Feature","id":"1","geometry":null,"properties":{properties}}}"#)
    };
    let text = format!("{}\n{}\n", feature(r#"{"seq_id":"a"}"#), feature("{}"));
    let lines = GeoJsonSource::<Image>::lines("a text", std::io::Cursor::new(text)).unwrap();
    let items: Vec<_> = lines.stream().collect().await;
    assert_eq!(items[0].as_ref().unwrap().seq_id.as_str(), "a");
    let error = items[1].as_ref().unwrap_err();
    assert!(error.chain().contains("feature 2: it has no property `seq_id`"), "{}", error.chain());
}

#[tokio::test]
async fn the_file_extension_sets_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let feature = r#"{"type":"Feature","id":"1","geometry":null,"properties":{}}"#;
    for (name, text) in [
        ("a.csv", "img_id\n1\n".to_owned()),
        ("a.GeoJSON", format!(r#"{{"type":"FeatureCollection","features":[{feature}]}}"#)),
        ("a.json", format!(r#"{{"features":[{feature}],"type":"FeatureCollection"}}"#)),
        ("a.geojsonl", format!("{feature}\n")),
        ("a.ndjson", format!("\u{1e}{feature}\n")),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let images: Vec<Metadata> = TableSource::open(&path).unwrap().stream().try_collect().await.unwrap();
        assert_eq!(images[0].img_id.as_str(), "1", "{name}");
    }
    let error = TableSource::<Metadata>::open(folder.path().join("a.xlsx")).err().unwrap();
    assert!(error.chain().contains("a.xlsx") && error.chain().contains(".parquet"), "{}", error.chain());
}
