//! The lock object of a folder: one run at a time, across machines.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutMode, UpdateVersion};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::Bucket;
use crate::error::{Error, ErrorKind, Result};

/// Name of the object.
const NAME: &str = ".streetflow.lock";

/// How long a lock lasts without renewal.
const LIFETIME: Duration = Duration::from_mins(2);

/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(30);

/// Maximum length of a lock object in bytes.
const MAX_LEN: u64 = 1 << 16;

/// Attempts to take a lock that changes meanwhile.
const MAX_ATTEMPTS: u32 = 3;

/// The run that has a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockOwner {
    /// Name of the machine.
    pub host: String,
    /// Id of the process.
    pub process: u32,
    /// Directory with the responses of the run, on that machine.
    pub state_dir: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Content {
    streetflow_lock: u32,
    owner: LockOwner,
    /// Distinguishes locks with the same content, which would have the same e-tag.
    nonce: u64,
    /// Milliseconds since 1970. 0 after the run has ended.
    expires: u64,
    /// Whether responses of an unfinished run are in the state directory.
    unfinished: bool,
}

/// A lock on a folder of a bucket, renewed until it is released.
#[derive(Debug)]
pub struct BucketLock {
    shared: Arc<Shared>,
    renewal: AbortOnDropHandle<()>,
    /// The owner of an earlier run that did not finish.
    earlier: Option<LockOwner>,
}

#[derive(Debug)]
struct Shared {
    bucket: Bucket,
    key: Key,
    owner: LockOwner,
    version: Mutex<UpdateVersion>,
}

impl BucketLock {
    /// Takes the lock of a folder.
    ///
    /// A lock of a run with the same host and state directory is taken over: the caller must hold a local lock on that
    /// directory, so that run has ended. A lock of another run that has not expired is a usage error. `lost` is called if
    /// another run takes the lock over; from then on, nothing can be written to the bucket.
    pub async fn take(
        bucket: &Bucket,
        owner: LockOwner,
        lost: impl FnOnce(Error) + Send + 'static,
    ) -> Result<Self> {
        let key = bucket.key(NAME);
        for _ in 0..MAX_ATTEMPTS {
            let found = read(bucket, &key).await?;
            let mode = match &found {
                None => PutMode::Create,
                Some((content, version)) => {
                    let is_same =
                        content.owner.host == owner.host && content.owner.state_dir == owner.state_dir;
                    if !is_same && content.expires > now_ms() {
                        return Err(busy(bucket, content));
                    }
                    PutMode::Update(version.clone())
                }
            };
            let content = Content::new(&owner, LIFETIME, true);
            match bucket.put_with(&key, content.bytes(), mode).await {
                Ok(put) => {
                    let earlier =
                        found.filter(|(content, _)| content.unfinished).map(|(content, _)| content.owner);
                    let version = Mutex::new(put.into());
                    let shared = Arc::new(Shared { bucket: bucket.clone(), key, owner, version });
                    let renewal = AbortOnDropHandle::new(tokio::spawn(renew(Arc::clone(&shared), lost)));
                    return Ok(Self { shared, renewal, earlier });
                }
                // Another run was faster.
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                }
                Err(error) => return Err(bucket.error("write the lock", &key, error)),
            }
        }
        Err(Error::new(ErrorKind::Usage, "lock the folder")
            .with_subject(bucket.url())
            .with_source("other runs take its lock at the same time")
            .with_hint("choose another folder, or run the same command again"))
    }

    /// The owner of the run before, if it did not finish.
    pub fn earlier(&self) -> Option<&LockOwner> {
        self.earlier.as_ref()
    }

    /// Releases the lock. With `unfinished`, the next run learns where the responses of this run are.
    pub async fn release(self, unfinished: bool) -> Result<()> {
        let Self { shared, renewal, .. } = self;
        drop(renewal);
        if shared.bucket.inner.revoked.get().is_some() {
            return Ok(()); // It belongs to another run.
        }
        let mut version = shared.version.lock().await;
        let bucket = &shared.bucket;
        let released = if unfinished {
            let content = Content::new(&shared.owner, Duration::ZERO, true);
            let put = bucket.put_with(&shared.key, content.bytes(), PutMode::Update(version.clone())).await;
            put.map(|put| *version = put.into())
        } else {
            bucket.store().delete(&shared.key).await
        };
        released.map_err(|error| bucket.error("release the lock", &shared.key, error))
    }
}

/// Renews a lock until another run has taken it.
async fn renew(shared: Arc<Shared>, lost: impl FnOnce(Error)) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let mut version = shared.version.lock().await;
        let content = Content::new(&shared.owner, LIFETIME, true);
        let put =
            shared.bucket.put_with(&shared.key, content.bytes(), PutMode::Update(version.clone())).await;
        match put {
            Ok(put) => *version = put.into(),
            Err(object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) => {
                // A renewal whose response was lost has changed the version too.
                let found = read(&shared.bucket, &shared.key).await;
                if let Ok(Some((content, found))) = &found
                    && content.owner == shared.owner
                {
                    *version = found.clone();
                    continue;
                }
                let who = match found {
                    Ok(Some((content, _))) => format!("another run took over: {}", content.owner.text()),
                    _ => "the lock was removed".to_owned(),
                };
                shared.bucket.inner.revoked.set(who).ok();
                if let Err(error) = shared.bucket.check_lock(&shared.key) {
                    lost(error);
                }
                return;
            }
            // The store may be unreachable for a while. Writing fails then, too.
            Err(_) => {}
        }
    }
}

async fn read(bucket: &Bucket, key: &Key) -> Result<Option<(Content, UpdateVersion)>> {
    let failed = |error| bucket.error("read the lock", key, error);
    let found = match bucket.store().get(key).await {
        Ok(found) => found,
        Err(error) if super::error::is_missing_object(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
    let len = found.meta.size;
    let bytes = if len > MAX_LEN { Bytes::new() } else { found.bytes().await.map_err(failed)? };
    match serde_json::from_slice(&bytes) {
        Ok(content) => Ok(Some((content, version))),
        Err(_) => Err(Error::new(ErrorKind::Usage, "lock the folder")
            .with_subject(bucket.url_of(key))
            .with_source("the object exists and was not written by streetflow")
            .with_hint("remove it, or choose another folder")),
    }
}

fn busy(bucket: &Bucket, content: &Content) -> Error {
    let left = content.expires.saturating_sub(now_ms()).div_ceil(1000);
    Error::new(ErrorKind::Usage, "use the folder")
        .with_subject(bucket.url())
        .with_source(format!("another streetflow is running in it: {}", content.owner.text()))
        .with_hint(format!(
            "wait until it ends, or choose another folder with `--output`; if it was killed, its lock expires in {left} s"
        ))
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

impl LockOwner {
    fn text(&self) -> String {
        format!("process {} on {}", self.process, self.host)
    }
}

impl Content {
    fn new(owner: &LockOwner, lifetime: Duration, unfinished: bool) -> Self {
        let lifetime = u64::try_from(lifetime.as_millis()).unwrap_or_default();
        let expires = if lifetime == 0 { 0 } else { now_ms().saturating_add(lifetime) };
        Self { streetflow_lock: 1, owner: owner.clone(), nonce: fastrand::u64(..), expires, unfinished }
    }

    fn bytes(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }
}
