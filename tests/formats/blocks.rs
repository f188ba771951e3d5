//! Tables in blocks: the same bytes, values and errors as the stream of records; and only the needed columns.

use std::fs;
use std::path::Path;

use proptest::prelude::{Just, Strategy, prop_oneof};
use streetflow::sinks::{Layout, sink_for};
use streetflow::sources::IdCheck;
use streetflow::{Flow, Format, Image, Metadata, Record, Result, TableSource};

/// A table with these fields, and sometimes others.
const HEADER: &str =
    "img_id,seq_id,captured_at,compass_angle,lon,lat,width,is_pano,make,thumb_1024_url,camera_parameters";

fn layout() -> Layout {
    let fields = "captured_at,compass_angle,geometry,width,is_pano,make,thumb_1024_url,camera_parameters";
    Layout::default().fields(&fields.parse().unwrap())
}

/// A cell that may suit its column, or not.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just(String::new()),
        2 => "-?[0-9]{1,3}(\\.[0-9]{1,6})?",
        1 => prop_oneof![
            Just("NaN".to_owned()),
            Just("inf".to_owned()),
            Just("1.7e12".to_owned()),
            Just("\"a \"\"b\"\",\nc\"".to_owned()),
            Just("'=1+1".to_owned()),
            Just("[1,2]".to_owned()),
            Just("true".to_owned()),
            Just("2024-02-31".to_owned()),
            Just("99999999999999999".to_owned()),
            ".{0,5}",
        ],
    ]
}

/// A row: mostly valid, sometimes with odd cells, or with another number of them.
fn row() -> impl Strategy<Value = String> {
    let valid = (1..10_u64.pow(16), -180..180_i32, -90..90_i32, "[A-Za-z =,]{0,6}").prop_map(|(id, lon, lat, make)| {
        format!("{id},abc,1700000000000,{}.5,{lon}.25,{lat}.75,4000,true,\"{make}\",https://x/?a={id},\"[0.5,1]\"", id % 360)
    });
    let odd = proptest::collection::vec(cell(), 9)
        .prop_map(|cells| format!("12{},abc,{}", cells.len(), cells.join(",")));
    prop_oneof![40 => valid, 1 => odd, 1 => Just(",,,".to_owned()), 1 => Just(HEADER.to_owned())]
}

/// The result of a conversion: the bytes of the file and the number of records, or the error; and the warnings.
type Outcome = (std::result::Result<(Vec<u8>, u64), String>, Vec<String>);

fn convert<T: Record>(from: &Path, format: Format, to: Format, in_blocks: bool) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let warnings = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let warn = std::sync::Arc::clone(&warnings);
    let check = IdCheck::warn(move |text: &str| warn.lock().unwrap().push(text.to_owned())).keep();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let written: Result<u64> = runtime.block_on(async {
        let table = TableSource::<T>::open_as(from, format)?.on_rounded_ids(check);
        let sink = sink_for::<T>(&path, to, &layout());
        Ok(if in_blocks {
            sink.drain_blocks(table.blocks(|_| Ok(()))).await?.records
        } else {
            Flow::from(table).into_sink(sink).await?.records
        })
    });
    let result = match written {
        Ok(records) => Ok((fs::read(&path).unwrap(), records)),
        Err(error) => {
            assert!(!path.exists());
            Err(format!("{:?}: {} {:?}", error.kind(), error.chain(), error.hint()))
        }
    };
    let warnings = if result.is_ok() { warnings.lock().unwrap().clone() } else { Vec::new() };
    (result, warnings)
}

fn check_same<T: Record>(from: &Path, format: Format) {
    for to in Format::ALL {
        let (blocks, stream) =
            (convert::<T>(from, format, *to, true), convert::<T>(from, format, *to, false));
        assert_eq!(blocks, stream, "{format} to {to}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn a_hostile_table_gives_the_same_bytes_or_the_same_error_in_blocks_and_in_a_stream(
        rows in proptest::collection::vec(row(), 0..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        fs::write(&path, format!("{HEADER}\n{}\n", rows.join("\n"))).unwrap();
        check_same::<Metadata>(&path, Format::Csv);
        check_same::<Image>(&path, Format::Csv);
        // The way back, where the table is valid.
        for format in Format::ALL {
            let copy = folder.path().join("copy");
            if let (Ok((bytes, _)), _) = convert::<Metadata>(&path, Format::Csv, *format, true) {
                fs::write(&copy, bytes).unwrap();
                check_same::<Metadata>(&copy, *format);
            }
        }
    }
}

#[test]
fn tables_of_several_blocks_are_the_same_too_whole_or_with_an_error() {
    let row = |id: u64| {
        format!("{id},abc,1700000000000,1.5,33.25,35.75,4000,true,GoPro,https://x/?a={id},\"[0.5]\"\n")
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    for (count, bad) in
        [(1023, None), (1024, None), (1025, None), (3000, None), (3000, Some(1024)), (3000, Some(2050))]
    {
        let mut rows: Vec<_> = (1..=count).map(row).collect();
        if let Some(bad) = bad {
            rows[bad] = row(7).replace("4000", "wide");
        }
        fs::write(&path, format!("{HEADER}\n{}", rows.concat())).unwrap();
        check_same::<Metadata>(&path, Format::Csv);
    }
}

#[test]
fn a_rejected_record_comes_before_a_later_error_of_the_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    fs::write(&path, "img_id,width\n1,10\n2,20\n3,wide\n").unwrap();
    let blocks = TableSource::<Metadata>::open(&path).unwrap().blocks(|image| {
        if image.width == Some(20) { Err(crate::support::failure("refused")) } else { Ok(()) }
    });
    let items: Vec<_> = futures::executor::block_on_stream(blocks).collect();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].as_ref().unwrap_err().subject(), Some("refused"));
}

#[cfg(feature = "parquet")]
#[test]
fn a_step_decodes_only_the_bytes_of_the_columns_that_it_needs() {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    let records: Vec<Metadata> = (1..=5000_u64)
        .map(|id| {
            let mut image = crate::support::odd_metadata();
            image.img_id = streetflow::ImageId::new(&id.to_string()).unwrap();
            image.thumb_original_url = Some(format!("https://images.example/{id}"));
            image
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.parquet");
    crate::support::tables::write(&path, Format::Parquet, &crate::support::tables::all(), &records);

    // Destroys all chunks of the other columns. A reader that decodes one of them fails.
    let needed = ["seq_id", "img_id", "thumb_original_url"];
    let mut bytes = fs::read(&path).unwrap();
    let footer = SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
    let (mut read, mut all) = (0, 0);
    for chunk in
        footer.metadata().row_groups().iter().flat_map(parquet::file::metadata::RowGroupMetaData::columns)
    {
        let (begin, len) = chunk.byte_range();
        all += len;
        if needed.contains(&chunk.column_path().parts()[0].as_str()) {
            read += len;
        } else {
            bytes[usize::try_from(begin).unwrap()..usize::try_from(begin + len).unwrap()].fill(0xff);
        }
    }
    fs::write(&path, bytes).unwrap();
    assert!(read * 2 < all, "{read} of {all} bytes");
    assert!(TableSource::<Metadata>::open(&path).unwrap().blocks(|_| Ok(())).fails());
    let table = TableSource::<Metadata>::open(&path).unwrap().only(&needed);
    let images: Vec<_> = futures::executor::block_on_stream(table.blocks(|_| Ok(())))
        .flat_map(|block| block.unwrap())
        .collect();
    assert_eq!(images.len(), 5000);
    assert_eq!(images[4999].thumb_original_url.as_deref(), Some("https://images.example/5000"));
    assert_eq!(images[4999].make, None);
}

/// Whether a stream contains an error.
trait IsFailing {
    fn fails(self) -> bool;
}

impl<T: Send + 'static> IsFailing for streetflow::RecordStream<T> {
    fn fails(self) -> bool {
        futures::executor::block_on_stream(self).any(|item| item.is_err())
    }
}
