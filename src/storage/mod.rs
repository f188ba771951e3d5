//! Destinations of whole files: a file appears under its name when it is complete, or not at all.
//!
//! | Destination | While it is written | Commit |
//! |---|---|---|
//! | [`LocalFile`] | a locked temporary file beside the target | fsync, rename, fsync of the folder |
//! | object of a `Bucket` | parts of 16 MiB, invisible | completion of the upload; a short object: one request |

#[cfg(feature = "object-store")]
mod bucket;
mod local;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "object-store")]
pub use self::bucket::{Bucket, BucketLock, LockOwner, ObjectInfo, is_secret_option};
pub use self::local::LocalFile;

/// A file in progress. Only [`commit`](Self::commit) makes it visible; dropping it discards it.
///
/// Its methods block. They are called on threads that may block, never inside an asynchronous task.
pub trait PendingFile: Write + Send {
    /// Makes the file durable under its name, and replaces an earlier file of that name.
    fn commit(self: Box<Self>) -> io::Result<()>;
}

/// The name under which a file will appear.
///
/// ```
/// use std::io::Write;
/// use streetflow::storage::{Destination, LocalFile};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("numbers.txt");
/// let destination = LocalFile::new(&path);
/// let mut file = destination.create()?;
/// file.write_all(b"1 2 3")?;
/// assert!(!path.exists());
/// file.commit()?;
/// assert_eq!(std::fs::read(&path)?, b"1 2 3");
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Destination: fmt::Debug + Send + Sync {
    /// Begins the file.
    fn create(&self) -> io::Result<Box<dyn PendingFile>>;

    /// The name to show: a path, or the URL of an object.
    fn path(&self) -> &Path;
}

/// A destination of any kind. A path is a [`LocalFile`].
///
/// ```
/// use streetflow::storage::{Destination, Target};
///
/// let target = Target::from("outputs/images.csv");
/// assert_eq!(target.path(), std::path::Path::new("outputs/images.csv"));
/// ```
#[derive(Debug, Clone)]
pub struct Target(Arc<dyn Destination>);

impl Target {
    /// Wraps a destination.
    pub fn new(destination: impl Destination + 'static) -> Self {
        Self(Arc::new(destination))
    }
}

impl Destination for Target {
    fn create(&self) -> io::Result<Box<dyn PendingFile>> {
        self.0.create()
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

macro_rules! paths_are_local_files {
    ($($path:ty),*) => {$(
        impl From<$path> for Target {
            fn from(path: $path) -> Self {
                Self::new(LocalFile::new(path))
            }
        }
    )*};
}

paths_are_local_files!(&Path, PathBuf, &PathBuf, &str, String);
