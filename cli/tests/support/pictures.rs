//! Helpers for tests of downloaded pictures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use exif::{In, Reader, Tag, Value};
use streetflow_sandbox::{Host, Sandbox};

use super::{read, run};

pub(crate) const BOX: &str = "--bbox 33.33,35.15,33.39,35.19";
pub(crate) const PICTURES: &str = "outputs/downloaded_images";

pub(crate) async fn run_ok(sandbox: &Sandbox, folder: &Path, args: &str) -> String {
    sandbox.clear_requests();
    let (exit, stderr) = run(sandbox, folder, args.split_whitespace()).await;
    assert_eq!(exit, 0, "{args}: {stderr}");
    stderr
}

/// Returns the rows of the metadata table as maps from column to value.
pub(crate) fn rows(folder: &Path) -> Vec<BTreeMap<String, String>> {
    let text = read(folder, "outputs/img_meta_dataset.csv");
    let mut table = csv::Reader::from_reader(text.as_bytes());
    table.deserialize().map(|row| row.unwrap()).collect()
}

pub(crate) fn read_exif(picture: &[u8]) -> exif::Exif {
    Reader::new().read_from_container(&mut std::io::Cursor::new(picture)).unwrap()
}

pub(crate) fn text(exif: &exif::Exif, tag: Tag) -> String {
    match exif.get_field(tag, In::PRIMARY).map(|field| &field.value) {
        Some(Value::Ascii(texts)) => String::from_utf8(texts.concat()).unwrap(),
        Some(other) => panic!("{tag} is {other:?}"),
        None => String::new(),
    }
}

/// Returns the fields of all Graph API requests.
pub(crate) fn requested_fields(sandbox: &Sandbox) -> BTreeSet<String> {
    let requests = sandbox.requests_to(Host::Graph);
    let fields = requests.iter().filter_map(|request| request.param("fields"));
    fields.flat_map(|fields| fields.split(',').map(str::to_owned).collect::<Vec<_>>()).collect()
}
