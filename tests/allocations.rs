//! How often the hot paths ask for memory: counted, for time depends on the machine.
//!
//! A binary of its own, for an allocator is one for the process. Bounds have room for what is asked once in many
//! records, and none for one time more a record.
#![allow(
    unsafe_code,
    reason = "an allocator that counts can't be written without; it hands all on to the system's"
)]
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::cast_possible_truncation)]
#![allow(clippy::print_stdout, reason = "figures for whoever asks with --nocapture")]

#[path = "../benches/support/table.rs"]
#[allow(dead_code, reason = "benches use the rest")]
mod table;
#[path = "../benches/support/tile.rs"]
mod tile;

use std::alloc::{GlobalAlloc, Layout as Piece, System};
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
static COUNTING: Counting = Counting;

static ASKED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, piece: Piece) -> *mut u8 {
        ASKED.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(piece) }
    }

    unsafe fn dealloc(&self, place: *mut u8, piece: Piece) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(place, piece) }
    }

    unsafe fn realloc(&self, place: *mut u8, piece: Piece, size: usize) -> *mut u8 {
        ASKED.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(place, piece, size) }
    }
}

/// Held by a test from its beginning on: what others make ready would be counted too.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often memory is asked for an item more, by all threads of a work.
fn an_item(few: usize, work: impl Fn(usize)) -> f64 {
    let asked = |items| {
        let before = ASKED.load(Ordering::Relaxed);
        work(items);
        (ASKED.load(Ordering::Relaxed) - before) as f64
    };
    asked(few); // What a process makes ready once.
    (asked(3 * few) - asked(few)) / (2 * few) as f64
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
fn to_write_a_record_takes_no_memory() {
    let _alone = alone();
    let records = table::records(6000);
    for format in Format::ALL {
        let each = an_item(2000, |count| {
            let mut encoder = encoder_for(Box::new(std::io::sink()), *format, &layout()).unwrap();
            records[..count].chunks(1024).for_each(|batch| encoder.encode(batch).unwrap());
            encoder.finish().unwrap();
        });
        println!("encode {}: {each:.3} a record", format.name());
        assert!(each < 0.5, "{}: {each}", format.name());
    }
}

#[test]
fn to_read_a_record_takes_memory_for_its_long_texts_and_no_more() {
    let _alone = alone();
    let records = table::records(6000);
    for format in Format::ALL {
        // Two texts; GeoJSON is read into values first.
        let most = match format.name() {
            "geojson" | "geojsonseq" => 25.5,
            _ => 2.5,
        };
        let files = [2000, 6000].map(|count| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&encoded(&records[..count], *format)).unwrap();
            (count, file)
        });
        let each = an_item(2000, |count| {
            let (_, file) = files.iter().find(|(records, _)| *records == count).unwrap();
            let source = TableSource::<Metadata>::open_as(file.path(), *format).unwrap();
            let read = block_on(source.stream().try_fold(0, |read, _| async move { Ok(read + 1) })).unwrap();
            assert_eq!(read, count);
        });
        println!("decode {}: {each:.3} a record", format.name());
        assert!(each < most, "{}: {each}", format.name());
    }
}

#[test]
fn to_read_a_feature_of_a_tile_takes_no_memory() {
    let _alone = alone();
    let everywhere = "-180,-85,180,85".parse().unwrap();
    let tiles = [2000, 6000].map(|count| (count, tile::tile(count as u64)));
    let each = an_item(2000, |count| {
        let (_, bytes) = tiles.iter().find(|(features, _)| *features == count).unwrap();
        let found = sequences(bytes, tile::TILE, &everywhere, Some(&tile::owner())).unwrap();
        assert!(!found.is_empty());
    });
    println!("decode tile: {each:.3} a feature");
    assert!(each < 0.5, "{each}");
}

#[test]
fn to_read_an_image_of_an_answer_takes_memory_for_its_texts_and_little_more() {
    let _alone = alone();
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
    let each = an_item(16, |count| {
        let (_, images, body) = answers.iter().find(|(images, ..)| *images == count).unwrap();
        let found = streetflow::client::fuzzing::batch(images, body.as_bytes()).unwrap();
        assert!(found.iter().flatten().all(|image| image.thumb_256_url.is_some()));
        assert_eq!(found.len(), count);
    });
    println!("decode answer: {each:.3} an image");
    assert!(each < 3.5, "{each}");
}
