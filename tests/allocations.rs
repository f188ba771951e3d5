//! Allocations of the hot paths, counted because times depend on the machine.
//!
//! A separate binary, because a process has one global allocator. The bounds allow allocations shared by many
//! records, but not one more per record.
#![allow(unsafe_code, reason = "a counting allocator needs it; all calls go to the system allocator")]
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::cast_possible_truncation)]
#![allow(clippy::print_stdout, reason = "figures, visible with --nocapture")]

#[path = "../benches/support/table.rs"]
#[allow(dead_code, reason = "benches use the rest")]
mod table;
#[path = "../benches/support/tile.rs"]
mod tile;

use std::alloc::{GlobalAlloc, Layout as AllocLayout, System};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::TryStreamExt;
use futures::executor::block_on;
use streetflow::sinks::{Layout, encoder_for};
use streetflow::sources::fuzzing::sequences;
use streetflow::{Format, Image, ImageId, Metadata, SequenceId, Source, TableSource};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is passed unchanged to the system allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: AllocLayout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller upholds the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: AllocLayout) {
        // SAFETY: the caller upholds the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: AllocLayout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller upholds the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Locks out other tests: their allocations would be counted too.
fn lock() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the number of allocations per item, by all threads.
fn per_item(few: usize, work: impl Fn(usize)) -> f64 {
    let allocations = |items| {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        work(items);
        (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64
    };
    allocations(few); // Allocations at the first use.
    (allocations(3 * few) - allocations(few)) / (2 * few) as f64
}

fn layout() -> Layout {
    Layout::default().fields(&table::WIDE.parse().unwrap())
}

fn encoded(records: &[Metadata], format: Format) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut encoder = encoder_for(Box::new(file.reopen().unwrap()), format, &layout()).unwrap();
    encoder.encode(records).unwrap();
    encoder.finish().unwrap();
    std::fs::read(file.path()).unwrap()
}

#[test]
fn writing_a_record_allocates_nothing() {
    let _alone = lock();
    let records = table::records(6000);
    for format in Format::ALL {
        let each = per_item(2000, |count| {
            let mut encoder = encoder_for(Box::new(std::io::sink()), *format, &layout()).unwrap();
            records[..count].chunks(1024).for_each(|batch| encoder.encode(batch).unwrap());
            encoder.finish().unwrap();
        });
        println!("encode {}: {each:.3} a record", format.name());
        assert!(each < 0.5, "{}: {each}", format.name());
    }
}

#[test]
fn reading_a_record_allocates_only_its_long_texts() {
    let _alone = lock();
    let records = table::records(6000);
    for format in Format::ALL {
        // Two texts per record. GeoJSON is parsed into values first.
        let max = match format.name() {
            "geojson" | "geojsonseq" => 25.5,
            _ => 2.5,
        };
        let files = [2000, 6000].map(|count| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&encoded(&records[..count], *format)).unwrap();
            (count, file)
        });
        let each = per_item(2000, |count| {
            let (_, file) = files.iter().find(|(records, _)| *records == count).unwrap();
            let source = TableSource::<Metadata>::open_as(file.path(), *format).unwrap();
            let read = block_on(source.stream().try_fold(0, |read, _| async move { Ok(read + 1) })).unwrap();
            assert_eq!(read, count);
        });
        println!("decode {}: {each:.3} a record", format.name());
        assert!(each < max, "{}: {each}", format.name());
    }
}

#[test]
fn reading_a_feature_of_a_tile_allocates_nothing() {
    let _alone = lock();
    let everywhere = "-180,-85,180,85".parse().unwrap();
    let tiles = [2000, 6000].map(|count| (count, tile::tile(count as u64)));
    let each = per_item(2000, |count| {
        let (_, bytes) = tiles.iter().find(|(features, _)| *features == count).unwrap();
        let found = sequences(bytes, tile::TILE, &everywhere, Some(&tile::owner())).unwrap();
        assert!(!found.is_empty());
    });
    println!("decode tile: {each:.3} a feature");
    assert!(each < 0.5, "{each}");
}

#[test]
fn reading_an_image_of_a_response_allocates_little_more_than_its_texts() {
    let _alone = lock();
    let answer = |count: usize| {
        let (mut images, mut body) = (Vec::new(), String::new());
        for (index, record) in table::records(count).iter().enumerate() {
            let id = (1_000_000_000_000_000 + index).to_string();
            let url = record.thumb_256_url.as_deref().unwrap();
            let comma = if index > 0 { "," } else { "" };
            write!(
                body,
                "{comma}\"{id}\":{{\"captured_at\":1702208626123,\"compass_angle\":184.43365478516,\
                 \"thumb_256_url\":\"{url}\",\"width\":4032,\"id\":\"{id}\"}}"
            )
            .unwrap();
            let seq_id = SequenceId::new("OtUBS2gd0HrkNqTDa8Ezxh").unwrap();
            images.push(Image { seq_id, img_id: ImageId::new(&id).unwrap() });
        }
        (count, images, format!("{{{body}}}"))
    };
    let answers = [16, 48].map(answer);
    let each = per_item(16, |count| {
        let (_, images, body) = answers.iter().find(|(images, ..)| *images == count).unwrap();
        let found = streetflow::client::fuzzing::batch(images, body.as_bytes()).unwrap();
        assert!(found.iter().flatten().all(|image| image.thumb_256_url.is_some()));
        assert_eq!(found.len(), count);
    });
    println!("decode answer: {each:.3} an image");
    assert!(each < 3.5, "{each}");
}

#[test]
fn reading_a_detection_allocates_only_its_texts_and_its_shape() {
    let _alone = lock();
    let sign = "GjgKBm1weS1vchIYEgIAABgDIhAJ4iDyJhq8AQAApAG7AQAPGgR0eXBlIgkKB3BvbHlnb24ogCB4AQ==";
    let image = ImageId::new("728019821979741").unwrap();
    let response = |count: usize| {
        let detection = |index: usize| {
            format!(
                "{{\"id\":\"{}\",\"value\":\"regulatory--stop--g1\",\"geometry\":\"{sign}\",\
                 \"created_at\":\"2021-05-20T20:21:14+0000\"}}",
                2_000_000_000_000_000 + index
            )
        };
        let list = (0..count).map(detection).collect::<Vec<_>>().join(",");
        (count, format!("{{\"{image}\":{{\"id\":\"{image}\",\"detections\":{{\"data\":[{list}]}}}}}}"))
    };
    let responses = [1000, 3000].map(response);
    let each = per_item(1000, |count| {
        let (_, body) = responses.iter().find(|(detections, _)| *detections == count).unwrap();
        let found =
            streetflow::client::fuzzing::detections(std::slice::from_ref(&image), body.as_bytes()).unwrap();
        assert!(found.len() == count && found.iter().all(|detection| detection.area.is_some()));
    });
    println!("decode detection: {each:.3} a detection");
    // The class, the shape as text, and its vertices.
    assert!(each < 3.5, "{each}");
}
