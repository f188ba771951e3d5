//! Tables with shapes that can't be used: each costs its row only.

use futures::StreamExt;
use futures::executor::block_on;
use streetflow::record::Polygons;
use streetflow::{Detection, ErrorKind, Format, ImageId, Result, Source, TableSource};

use crate::support::tables::{all_of, write};

fn triangle(x: f64) -> Polygons {
    Polygons::from(vec![vec![vec![[x, 0.0], [0.5, 0.0], [0.5, 0.5]]]])
}

/// Asserts that the first and the last of three rows are read, and returns the error about the other one.
fn error_of_second(rows: &[Result<Detection>]) -> String {
    let [Ok(first), Err(error), Ok(last)] = rows else { panic!("{rows:?}") };
    assert_eq!((&first.polygons, &last.polygons), (&Some(triangle(0.25)), &Some(triangle(0.25))));
    assert_eq!(error.kind(), ErrorKind::Malformed);
    error.chain()
}

#[test]
fn a_coordinate_that_is_no_finite_number_costs_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let row = |(number, x): (u32, f64)| {
        let id = |id: u32| ImageId::new(&id.to_string()).unwrap();
        let named = Detection { img_id: id(1), detection_id: id(number), ..Detection::default() };
        named.with_polygons(Some(triangle(x)))
    };
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let rows: Vec<_> = [(7, 0.25), (8, number), (9, 0.25)].map(row).to_vec();
        let path = folder.path().join("table.parquet");
        write(&path, Format::from_path(&path).unwrap(), &all_of::<Detection>(), &rows);
        let read: Vec<_> = block_on(TableSource::open(&path).unwrap().stream().collect());
        let error = error_of_second(&read);
        assert!(error.contains("row 2") && error.contains("not a finite number"), "{error}");
    }
}

#[test]
fn a_cell_that_is_no_list_of_polygons_costs_its_row() {
    let good = "[[[[0.25,0],[0.5,0],[0.5,0.5]]]]";
    let many_rings = format!("[[{}[]]]", "[],".repeat(200_000));
    for bad in [
        "[[[[NaN,0],[0.5,0],[0.5,0.5]]]]",
        "[[[[1e999,0],[0.5,0],[0.5,0.5]]]]",
        "[[[[0.25],[0.5,0],[0.5,0.5]]]]",
        "[[[[0.25,0],[0.5,0],[0.5,null]]]]",
        "[[[[0.25,0],[0.5,0]",
        "{\"type\":\"Polygon\"}",
        &"[".repeat(100_000),
        &many_rings,
    ] {
        let cell = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let text =
            format!("img_id,detection_id,polygons\n1,7,{0}\n1,8,{1}\n1,9,{0}\n", cell(good), cell(bad));
        let source =
            TableSource::<Detection>::read("a text", std::io::Cursor::new(text), Format::Csv).unwrap();
        let error = error_of_second(&block_on(source.stream().collect::<Vec<_>>()));
        assert!(error.contains("line 3") && error.contains("polygons"), "{error}");
        assert!(error.len() < 500, "{} bytes", error.len());
    }
}
