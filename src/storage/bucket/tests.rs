//! Buckets in memory.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::memory::InMemory;
use tokio::task::spawn_blocking;

use super::*;
use crate::storage::Destination;

const PART_LEN: usize = 4 << 20;

fn bucket() -> Bucket {
    let inner = Inner {
        store: Box::new(InMemory::new()),
        root: "s3://streets".to_owned(),
        secrets: Vec::new(),
        part_len: PART_LEN,
        uploaded: AtomicU64::new(0),
        revoked: OnceLock::new(),
    };
    Bucket { inner: Arc::new(inner), folder: Key::from("n") }
}

async fn names(bucket: &Bucket) -> Vec<String> {
    bucket.list().map_ok(|object| object.name).try_collect().await.expect("listed")
}

/// Writes this many bytes, and commits or drops the file.
async fn write(bucket: &Bucket, name: &str, len: usize, commit: bool) -> std::io::Result<()> {
    let target = bucket.target(name);
    let write = move || {
        let mut file = target.create()?;
        let chunk: Vec<u8> = (0..=250).cycle().take(1 << 20).collect();
        let mut left = len;
        while left > 0 {
            let part = left.min(chunk.len());
            file.write_all(&chunk[..part])?;
            left -= part;
        }
        file.flush()?;
        if commit { file.commit() } else { Ok(()) }
    };
    spawn_blocking(write).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_any_length_appears_at_the_commit_and_a_dropped_one_never() {
    let bucket = bucket();
    // None, less than a part, exactly one, and several.
    for len in [0, 1, PART_LEN, 2 * PART_LEN + 7] {
        let before = bucket.uploaded();
        write(&bucket, "x/table.csv", len, false).await.expect("dropped");
        assert!(names(&bucket).await.is_empty(), "{len}");
        let dropped = bucket.uploaded() - before;
        write(&bucket, "x/table.csv", len, true).await.expect("committed");
        assert_eq!(bucket.uploaded() - before - dropped, len as u64);
        assert_eq!(names(&bucket).await, ["x/table.csv"]);
        let content = bucket.get("x/table.csv", 1 << 30).await.expect("read").expect("an object");
        assert_eq!(content.len(), len);
        let expected = |at: usize| u8::try_from(at % (1 << 20) % 251).expect("small");
        assert!(content.iter().enumerate().all(|(at, byte)| *byte == expected(at)), "{len}");
        bucket.get("x/table.csv", 0).await.map(|found| assert!(len == 0 && found.is_some())).ok();
        bucket.delete("x/table.csv").await.expect("removed");
    }
    assert_eq!(bucket.get("x/table.csv", 10).await.expect("no object"), None);
    bucket.delete("x/table.csv").await.expect("nothing to remove");
}

#[tokio::test]
async fn a_folder_lists_its_objects_and_not_those_of_others() {
    let bucket = bucket();
    for name in ["a.csv", "pictures/1_256.jpg"] {
        bucket.put(name, Bytes::from_static(b"x")).await.expect("written");
    }
    let other = Bucket { folder: Key::from("nn"), ..bucket.clone() };
    other.put("b.csv", Bytes::from_static(b"x")).await.expect("written");
    assert_eq!(names(&bucket).await, ["a.csv", "pictures/1_256.jpg"]);
    let flat = bucket.list_folder().await.expect("listed");
    assert_eq!(flat.iter().map(|object| object.name.as_str()).collect::<Vec<_>>(), ["a.csv"]);
    assert_eq!(names(&bucket.join("pictures")).await, ["1_256.jpg"]);
    assert!(bucket.has_objects().await && !bucket.join("none").has_objects().await);
}

fn owner(host: &str) -> LockOwner {
    LockOwner { host: host.to_owned(), process: 1, state_dir: "/state".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn one_run_has_the_lock_and_a_run_that_lost_it_writes_nothing() {
    let bucket = bucket();
    let losses = Arc::new(AtomicUsize::new(0));
    let lost = |losses: &Arc<AtomicUsize>| {
        let losses = Arc::clone(losses);
        move |_| {
            losses.fetch_add(1, Ordering::Relaxed);
        }
    };
    let first = BucketLock::take(&bucket, owner("a"), lost(&losses)).await.expect("taken");
    assert!(first.earlier().is_none());
    let error = BucketLock::take(&bucket, owner("b"), |_| ()).await.expect_err("busy");
    assert_eq!(error.kind(), ErrorKind::Usage);
    // It is renewed for as long as the run lasts.
    tokio::time::sleep(std::time::Duration::from_mins(10)).await;
    BucketLock::take(&bucket, owner("b"), |_| ()).await.expect_err("renewed");
    // Another run has replaced it.
    bucket
        .store()
        .put(&bucket.key(".streetflow.lock"), PutPayload::from_static(b"{}"))
        .await
        .expect("replaced");
    tokio::time::sleep(std::time::Duration::from_secs(31)).await;
    assert_eq!(losses.load(Ordering::Relaxed), 1);
    let error = bucket.put("report.json", Bytes::new()).await.expect_err("lost");
    assert!(error.chain().contains("lock") && error.hint().is_some(), "{}", error.chain());
    first.release(false).await.expect("it is not ours");
    assert_eq!(names(&bucket).await, [".streetflow.lock"]);
}

#[tokio::test]
async fn the_next_run_learns_where_the_responses_of_an_unfinished_one_are() {
    let bucket = bucket();
    let first = BucketLock::take(&bucket, owner("a"), |_| ()).await.expect("taken");
    first.release(true).await.expect("released");
    let second = BucketLock::take(&bucket, owner("b"), |_| ()).await.expect("taken");
    assert_eq!(second.earlier(), Some(&owner("a")));
    // A run on the same machine with the same state directory replaces it at once.
    let third = BucketLock::take(&bucket, owner("b"), |_| ()).await.expect("taken over");
    third.release(false).await.expect("released");
    assert!(names(&bucket).await.is_empty());
    let fourth = BucketLock::take(&bucket, owner("c"), |_| ()).await.expect("taken");
    assert!(fourth.earlier().is_none());
}
