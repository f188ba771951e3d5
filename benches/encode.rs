//! Records per second into each format, and bytes per record.
//!
//! One thread encodes into a file in the page cache. See README.md in this folder.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::cast_possible_truncation)]
#![allow(clippy::unwrap_used, reason = "a bench")]

mod support;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use streetflow::sinks::{Compression, Layout, encoder_for};
use streetflow::{Format, Metadata};
use support::{Args, Cost, best, table};

/// Number of records that a sink encodes at a time.
const BATCH: usize = 1024;

fn main() {
    let args = Args::read();
    let scratch = tempfile::tempdir().unwrap();
    let folder = args.folder.clone().unwrap_or_else(|| scratch.path().to_owned());
    let records = table::records(args.size(500_000));
    let narrow = &records[..args.size(200_000)];
    args.print_header("rows");
    for (shape, rows, fields) in
        [("500k x 10", &records[..], table::WIDE), ("200k x 4", narrow, table::NARROW)]
    {
        let layout = Layout::default().fields(&fields.parse().unwrap());
        for format in Format::ALL {
            let work = format!("encode {} {shape}", format.name());
            if args.selects(&work) {
                let path = folder.join(format!("{}.{}", shape.replace(' ', "-"), format.name()));
                let (cost, bytes) = encode(&args, rows, &path, *format, &layout);
                args.print(&work, rows.len(), cost, Some(bytes));
            }
        }
    }
    compressions(&args, &records, &folder);
}

/// Measures time and size of each compression of Parquet.
fn compressions(args: &Args, records: &[Metadata], folder: &Path) {
    let Ok(parquet) = "parquet".parse::<Format>() else { return };
    let levels = [1, 2, 3, 6, 15].map(Compression::Zstd);
    for compression in [Compression::None, Compression::Snappy].into_iter().chain(levels) {
        let work = format!("encode parquet {compression}");
        if args.selects(&work) {
            let layout = Layout::default().fields(&table::WIDE.parse().unwrap()).compression(compression);
            let (cost, bytes) = encode(args, records, &folder.join("compressed.parquet"), parquet, &layout);
            args.print(&work, records.len(), cost, Some(bytes));
        }
    }
}

fn encode(args: &Args, records: &[Metadata], path: &Path, format: Format, layout: &Layout) -> (Cost, u64) {
    let cost = best(args, || {
        let out = BufWriter::with_capacity(1 << 16, File::create(path).unwrap());
        let mut encoder = encoder_for(Box::new(out), format, layout).unwrap();
        for batch in records.chunks(BATCH) {
            encoder.encode(batch).unwrap();
        }
        encoder.finish().unwrap();
    });
    (cost, path.metadata().unwrap().len())
}
