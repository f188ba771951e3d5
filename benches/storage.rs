//! Files by this crate and by the local store of `object_store`: one table of 64 MiB, and pictures of 20 kB.
//!
//! Both give a file its name at the end. Tables are synced with their folder; pictures are not, because the image sink
//! syncs all of them every 15 seconds.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::unwrap_used, reason = "a bench")]

mod support;

use std::io::Write;
use std::path::Path;

use object_store::local::LocalFileSystem;
use object_store::{ObjectStoreExt, PutPayload};
use streetflow::atomic_file::temporary;
use streetflow::storage::{Destination, LocalFile};
use support::{Args, Cost, best};
use tokio::runtime::Runtime;

const CHUNK_SIZE: usize = 1 << 16;
const PART_LEN: usize = 16 << 20;
const PICTURE_LEN: usize = 20_000;

fn table_by_us(folder: &Path, len: usize) {
    let chunk = vec![b'x'; CHUNK_SIZE];
    let mut file = LocalFile::new(folder.join("table.csv")).create().unwrap();
    (0..len / CHUNK_SIZE).for_each(|_| file.write_all(&chunk).unwrap());
    file.commit().unwrap();
}

/// As a bucket: parts that are filled, then sent.
fn table_by_store(runtime: &Runtime, folder: &Path, len: usize) {
    let store = LocalFileSystem::new_with_prefix(folder).unwrap().with_fsync(true);
    let chunk = vec![b'x'; CHUNK_SIZE];
    runtime.block_on(async {
        let mut upload = store.put_multipart(&"table.csv".into()).await.unwrap();
        for _ in 0..len / PART_LEN {
            let mut part = Vec::with_capacity(PART_LEN);
            (0..PART_LEN / CHUNK_SIZE).for_each(|_| part.extend_from_slice(&chunk));
            upload.put_part(PutPayload::from(part)).await.unwrap();
        }
        upload.complete().await.unwrap();
    });
}

fn pictures_by_us(folder: &Path, count: usize) {
    let picture = vec![b'x'; PICTURE_LEN];
    for number in 0..count {
        let name = format!("{number}_256.jpg");
        let mut file = temporary(folder, &name).unwrap();
        file.write_all(&picture).unwrap();
        file.persist(folder.join(name)).unwrap();
    }
}

fn pictures_by_store(runtime: &Runtime, folder: &Path, count: usize) {
    let store = LocalFileSystem::new_with_prefix(folder).unwrap();
    let picture = bytes::Bytes::from(vec![b'x'; PICTURE_LEN]);
    runtime.block_on(async {
        for number in 0..count {
            let key = format!("{number}_256.jpg").into();
            store.put(&key, PutPayload::from_bytes(picture.clone())).await.unwrap();
        }
    });
}

fn main() {
    let args = Args::read();
    let (len, count) = (args.size(64 << 20).next_multiple_of(PART_LEN), args.size(1000));
    let runtime = Runtime::new().unwrap();
    let run = |write: &dyn Fn(&Path)| {
        best(&args, || {
            let folder = tempfile::tempdir_in(args.folder.as_deref().unwrap_or(Path::new("."))).unwrap();
            write(folder.path());
        })
    };
    println!("| Work | CPU ms | Wall ms |\n|---|--:|--:|");
    let tell = |what: &str, cost: Cost| {
        println!("| {what} | {:.1} | {:.1} |", cost.cpu.as_secs_f64() * 1e3, cost.wall.as_secs_f64() * 1e3);
    };
    tell("table, streetflow", run(&|folder| table_by_us(folder, len)));
    tell("table, object_store", run(&|folder| table_by_store(&runtime, folder, len)));
    tell("pictures, streetflow", run(&|folder| pictures_by_us(folder, count)));
    tell("pictures, object_store", run(&|folder| pictures_by_store(&runtime, folder, count)));
}
