//! Syncs pictures to disk.

#[cfg(target_os = "linux")]
use std::fs::File;
#[cfg(target_os = "linux")]
use std::io;
#[cfg(target_os = "linux")]
use std::path::Path;

/// The files to sync. On Linux, one call syncs the whole file system.
#[cfg(target_os = "linux")]
pub(super) struct Disk(File);

#[cfg(target_os = "linux")]
impl Disk {
    /// Opens a handle for the whole run, because the system reports each error once per handle.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        File::open(folder).map(Self)
    }

    #[expect(clippy::unused_self, reason = "other systems want to know")]
    pub(super) fn add(&self, _: &Path) {}

    pub(super) fn sync(&self, _: &Path) -> io::Result<()> {
        crate::file_system::sync_all(&self.0)
    }
}

/// The files to sync, one by one: on other systems, the call for the whole file system does not wait for the disk.
#[cfg(not(target_os = "linux"))]
pub(super) use self::per_file::PerFile as Disk;

#[cfg(any(test, not(target_os = "linux")))]
pub(super) mod per_file {
    use std::collections::BTreeSet;
    use std::fs::File;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::Mutex;

    use crate::file_system::{sync_file, sync_folder};
    use crate::sync::lock;

    #[derive(Default)]
    pub(crate) struct PerFile(Mutex<Vec<PathBuf>>);

    impl PerFile {
        #[expect(clippy::unnecessary_wraps, reason = "the other way to do it can fail")]
        pub(crate) fn open(_: &Path) -> io::Result<Self> {
            Ok(Self::default())
        }

        pub(crate) fn add(&self, picture: &Path) {
            lock(&self.0).push(picture.to_owned());
        }

        pub(crate) fn sync(&self, folder: &Path) -> io::Result<()> {
            let written = std::mem::take(&mut *lock(&self.0));
            let mut folders = BTreeSet::from([folder]);
            for picture in &written {
                // A new folder also has an entry in its parent.
                folders.extend(picture.ancestors().skip(1).take_while(|above| above.starts_with(folder)));
                match File::options().write(true).open(picture) {
                    Ok(file) => sync_file(&file, picture)?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            folders.into_iter().try_for_each(sync_folder)
        }
    }
}
