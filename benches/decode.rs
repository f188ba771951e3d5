//! Decoding of tables, tiles and responses into records.
//!
//! Tables are read from files in the page cache, tiles and responses from memory. See README.md in this folder.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::cast_possible_truncation)]
#![allow(clippy::unwrap_used, reason = "a bench")]

mod support;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::Command;

use futures::TryStreamExt;
use futures::executor::block_on;
use streetflow::sinks::{Layout, encoder_for};
use streetflow::sources::fuzzing::sequences;
use streetflow::{Detection, Format, Image, ImageId, Metadata, SequenceId, Source, TableSource};
use streetflow_sandbox::{MockData, Sandbox};
use support::{Args, Cost, best, table, tile};

/// Environment variable with the path of a real tile of zoom 14.
const REAL_TILE: &str = "STREETFLOW_BENCH_TILE";

/// Nested responses of images to records, and to a Parquet file.
const DECODED: &str = "decode detections";
const TO_PARQUET: &str = "decode detections to parquet";

/// Number of times that a response is decoded per round.
const REPEATS: usize = 200;

fn main() {
    let args = Args::read();
    if let Some(path) = &args.peak {
        return peak(&args, path);
    }
    let scratch = tempfile::tempdir().unwrap();
    let folder = args.folder.clone().unwrap_or_else(|| scratch.path().to_owned());
    args.print_header("items");
    tables(&args, &folder);
    needed(&args, &folder);
    tiles(&args, &folder);
    if args.selects(DECODED) || args.selects(TO_PARQUET) {
        tokio::runtime::Runtime::new().unwrap().block_on(detections(&args, &folder));
    }
    if args.selects("decode response") {
        tokio::runtime::Runtime::new().unwrap().block_on(responses(&args, &folder));
    }
}

fn tables(args: &Args, folder: &Path) {
    for (shape, rows, fields) in [("500k x 10", 500_000, table::WIDE), ("200k x 4", 200_000, table::NARROW)] {
        let formats: Vec<_> =
            Format::ALL.iter().map(|format| (*format, format!("decode {} {shape}", format.name()))).collect();
        let wanted: Vec<_> = formats.into_iter().filter(|(_, work)| args.selects(work)).collect();
        if wanted.is_empty() {
            continue;
        }
        let records = table::records(args.size(rows));
        for (format, work) in wanted {
            let path = folder.join(format!("{}.{}", shape.replace(' ', "-"), format.name()));
            let out = BufWriter::new(File::create(&path).unwrap());
            let layout = Layout::default().fields(&fields.parse().unwrap());
            let mut encoder = encoder_for(Box::new(out), format, &layout).unwrap();
            encoder.encode(&records).unwrap();
            encoder.finish().unwrap();
            let cost = best(args, || {
                let source = TableSource::<Metadata>::open_as(&path, format).unwrap();
                let count =
                    block_on(source.stream().try_fold(0, |count, _| async move { Ok(count + 1) })).unwrap();
                assert_eq!(count, records.len());
            });
            args.print(&work, records.len(), cost, Some(path.metadata().unwrap().len()));
        }
    }
}

/// The columns that `download --quality 256` reads besides the image id.
const OF_A_DOWNLOAD: [&str; 5] =
    ["seq_id", "captured_at", "creator_username", "attribution", "thumb_256_url"];

/// Reads a table of thirty columns as a whole, and the columns of a download only.
fn needed(args: &Args, folder: &Path) {
    let fields = "captured_at,compass_angle,computed_compass_angle,altitude,computed_altitude,geometry,\
        computed_geometry,computed_rotation,atomic_scale,camera_type,camera_parameters,make,model,exif_orientation,\
        width,height,is_pano,quality_score,creator,organization,thumb_256_url,thumb_1024_url,thumb_2048_url,merge_cc,\
        sfm_cluster";
    for format in [Format::Csv, Format::Parquet] {
        let work = |columns: &str| format!("read {columns} of 30 columns, {}", format.name());
        if !args.selects(&work("5")) && !args.selects(&work("30")) {
            continue;
        }
        let records = table::full_records(args.size(200_000));
        let path = folder.join("needed").with_extension(format.extension());
        let out = BufWriter::new(File::create(&path).unwrap());
        let layout = Layout::default().fields(&fields.parse().unwrap());
        let mut encoder = encoder_for(Box::new(out), format, &layout).unwrap();
        encoder.encode(&records).unwrap();
        encoder.finish().unwrap();
        for only in [false, true] {
            let cost = best(args, || {
                let table = TableSource::<Metadata>::open_as(&path, format).unwrap();
                let table = if only { table.only(&OF_A_DOWNLOAD) } else { table };
                let count =
                    block_on(table.stream().try_fold(0, |count, _| async move { Ok(count + 1) })).unwrap();
                assert_eq!(count, records.len());
            });
            let work = work(if only { "5" } else { "30" });
            args.print(&work, records.len(), cost, Some(path.metadata().unwrap().len()));
        }
    }
}

fn tiles(args: &Args, folder: &Path) {
    let mut all = vec![("decode tile synthetic", tile::tile(args.size(190_000) as u64))];
    if let Some(path) = std::env::var_os(REAL_TILE) {
        all.push(("decode tile real", std::fs::read(path).unwrap()));
    }
    let everywhere = "-180,-85,180,85".parse().unwrap();
    for (work, bytes) in all {
        if !args.selects(work) {
            continue;
        }
        let path = folder.join(work.replace(' ', "-")).with_extension("mvt");
        std::fs::write(&path, &bytes).unwrap();
        let features =
            streetflow::sources::tile_layers(&bytes).unwrap().iter().map(|layer| layer.features).sum();
        let cost = best(args, || sequences(&bytes, tile::TILE, &everywhere, Some(&tile::owner())).unwrap());
        args.print(work, features, cost, Some(bytes.len() as u64));
        if !args.json {
            let itself = std::env::current_exe().unwrap();
            let peak = Command::new(itself).arg("--peak").arg(&path).output().unwrap();
            print!("{}", String::from_utf8(peak.stdout).unwrap());
        }
    }
}

/// Prints the peak memory of decoding a tile, without the tile itself, in a fresh process.
fn peak(args: &Args, path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let everywhere = "-180,-85,180,85".parse().unwrap();
    let peak = peak_memory(|| sequences(&bytes, tile::TILE, &everywhere, Some(&tile::owner())).unwrap());
    match peak {
        Some(peak) if args.json => println!("{{\"bytes\":{},\"peak\":{peak}}}", bytes.len()),
        Some(peak) => println!(
            "  peak memory {:.2} times the size of the tile, without the tile",
            peak as f64 / bytes.len() as f64
        ),
        None => println!("  peak memory is not available on this system"),
    }
}

/// Returns the growth of the process during the work in bytes. `None` if the system does not report it.
fn peak_memory<T>(work: impl FnOnce() -> T) -> Option<u64> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    let before = memory("VmRSS:")?;
    drop(work());
    memory("VmHWM:")?.checked_sub(before)
}

fn memory(line: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|found| found.strip_prefix(line))?.trim().split(' ').next()?;
    Some(kilobytes.parse::<u64>().ok()? * 1024)
}

/// Decodes a response of fifty images with the default fields of a crawl.
async fn responses(args: &Args, folder: &Path) {
    let sandbox = Sandbox::builder().mock_data(MockData::with_image_count(2000, 1)).start().await.unwrap();
    let data = sandbox.mock_data();
    let fields = "id,captured_at,compass_angle,thumb_256_url,width";
    let images =
        data.sequences().iter().flat_map(|sequence| sequence.images().map(move |image| (sequence, image)));
    let known = images.filter_map(|(sequence, image)| {
        let seq_id = SequenceId::new(sequence.id()).unwrap();
        Some((
            Image { seq_id, img_id: ImageId::new(&image.id()).unwrap() },
            sandbox.image_json(&image.id(), fields)?,
        ))
    });
    let known: Vec<_> = known.take(50).collect();
    let (images, each): (Vec<_>, Vec<_>) = known.into_iter().unzip();
    let entries: Vec<_> =
        images.iter().zip(&each).map(|(image, json)| format!("\"{}\":{json}", image.img_id)).collect();
    let body = format!("{{{}}}", entries.join(","));
    std::fs::write(folder.join("decode-response.json"), &body).unwrap();
    let cost: Cost = best(args, || {
        for _ in 0..REPEATS {
            let found = streetflow::client::fuzzing::batch(&images, body.as_bytes()).unwrap();
            assert!(found.len() == 50 && found[49].as_ref().is_some_and(|found| found.width.is_some()));
        }
    });
    args.print("decode response", 50 * REPEATS, cost, Some((body.len() * REPEATS) as u64));
}

/// Decodes nested responses of twenty images with their detections, and encodes them as Parquet. Writes them for peers,
/// one per line.
async fn detections(args: &Args, folder: &Path) {
    let sandbox = Sandbox::builder().mock_data(MockData::with_image_count(2000, 1)).start().await.unwrap();
    let fields = "id,width,height,exif_orientation,geometry,computed_geometry,detections.id,detections.value,\
                  detections.created_at,detections.geometry";
    let data = sandbox.mock_data();
    let images = data.sequences().iter().flat_map(streetflow_sandbox::MockSequence::images);
    let images = images.filter(|image| !image.detections().is_empty()).take(400);
    let known: Vec<_> = images
        .filter_map(|image| Some((ImageId::new(&image.id()).ok()?, sandbox.image_json(&image.id(), fields)?)))
        .collect();
    let responses: Vec<_> = known
        .chunks(20)
        .map(|batch| {
            let entries: Vec<_> = batch.iter().map(|(id, json)| format!("\"{id}\":{json}")).collect();
            let ids: Vec<_> = batch.iter().map(|(id, _)| id.clone()).collect();
            (ids, format!("{{{}}}", entries.join(",")))
        })
        .collect();
    let lines = responses.iter().fold(String::new(), |lines, (_, body)| lines + body + "\n");
    std::fs::write(folder.join("decode-detections.jsonl"), lines).unwrap();
    let decode = |(ids, body): &(Vec<ImageId>, String)| {
        streetflow::client::fuzzing::detections(ids, body.as_bytes()).unwrap()
    };
    let each: usize = responses.iter().map(|response| decode(response).len()).sum();
    let rounds = (args.size(1_000_000) / each).max(1);
    let path = folder.join("detections.parquet");
    let format = Format::ALL.iter().find(|format| format.name() == "parquet").copied().unwrap();
    if args.selects(DECODED) {
        let cost = best(args, || {
            for _ in 0..rounds {
                assert_eq!(responses.iter().map(|response| decode(response).len()).sum::<usize>(), each);
            }
        });
        let bytes: usize = responses.iter().map(|(_, body)| body.len()).sum();
        args.print(DECODED, rounds * each, cost, Some((bytes * rounds) as u64));
    }
    if args.selects(TO_PARQUET) {
        let cost = best(args, || {
            let out = BufWriter::new(File::create(&path).unwrap());
            let mut encoder = encoder_for::<Detection>(Box::new(out), format, &Layout::default()).unwrap();
            for _ in 0..rounds {
                for response in &responses {
                    encoder.encode(&decode(response)).unwrap();
                }
            }
            encoder.finish().unwrap();
        });
        args.print(TO_PARQUET, rounds * each, cost, Some(path.metadata().unwrap().len()));
    }
}
