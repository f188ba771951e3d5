//! `<output>/.streetflow/`: what an unfinished run left for the next, and the lock that keeps two runs apart.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use streetflow::client::{ResponseStore, STORE_FILES};
use streetflow::file_system::{Lock, try_lock};
use streetflow::{Error, ErrorKind, Result};

const FOLDER: &str = ".streetflow";
const LOCK: &str = "lock";

/// The copy of what `report.json` says of the tables, while a run is at work.
const TABLES: &str = "tables.json";

const REMOVE: &str = "look at what it is, and remove it or move it away";
const RESTART: &str = "`--restart` begins anew without it; or remove it yourself";

/// Refuses what is not of the kind that we make. A link is none: it may lead anywhere, and we write and remove here.
fn expect(path: &Path, kind: impl Fn(&fs::FileType) -> bool, hint: &'static str) -> Result<()> {
    let refuse = |why: io::Error| {
        Error::new(ErrorKind::Io, "use").with_subject(path.display().to_string()).with_source(why)
    };
    // What can't be looked at can't be made either, and that is told then.
    let Ok(found) = fs::symlink_metadata(path).map(|found| found.file_type()) else { return Ok(()) };
    if kind(&found) {
        return Ok(());
    }
    let why = match found {
        found if found.is_symlink() => return Err(refuse(io::Error::other("it is a link")).with_hint(REMOVE)),
        found if found.is_dir() => "it is a folder, and not one of ours",
        _ => "it is no folder of ours",
    };
    Err(refuse(io::Error::other(why)).with_hint(hint))
}

/// Removes the answers of a step, whatever has their names; nothing behind a link, and nothing else in their folder.
fn remove(path: &Path) -> Result<()> {
    let refuse = |path: &Path, why: io::Error| {
        Error::new(ErrorKind::Io, "remove").with_subject(path.display().to_string()).with_source(why)
    };
    let found = fs::symlink_metadata(path).map_err(|why| refuse(path, why))?;
    if found.is_symlink() {
        return Err(refuse(path, io::Error::other("it is a link")).with_hint(REMOVE));
    }
    if !found.is_dir() {
        return fs::remove_file(path).map_err(|why| refuse(path, why));
    }
    for path in STORE_FILES.map(|name| path.join(name)) {
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(_) => Ok(()),
        }
        .map_err(|why| refuse(&path, why))?;
    }
    // Something of somebody else may be in it.
    fs::remove_dir(path).ok();
    Ok(())
}

/// Whether a folder below ours has answers to a step: `<step>-<checksum of the question>`, or such a one set aside.
fn has_answers(name: &str, step: &str) -> bool {
    let checksum = name.strip_prefix(step).and_then(|rest| rest.strip_prefix('-')).unwrap_or_default();
    let checksum = checksum.strip_suffix(".aside").unwrap_or(checksum);
    checksum.len() == 8 && checksum.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The lock on an output folder, and the answers that are kept in it.
pub(crate) struct Unfinished {
    folder: PathBuf,
    /// The output folder, if this run made it.
    made: Option<PathBuf>,
    lock: Option<File>,
    store: Option<ResponseStore>,
}

impl Unfinished {
    /// Takes the folder for this run; a second run at the same time is a usage error.
    pub(crate) fn lock(output: &Path) -> Result<Self> {
        let folder = output.join(FOLDER);
        let refuse = |error: io::Error| {
            Error::new(ErrorKind::Io, "use the folder")
                .with_subject(output.display().to_string())
                .with_source(error)
                .with_hint("choose another folder with `--output`, one that you may write to")
        };
        expect(&folder, fs::FileType::is_dir, REMOVE)?;
        let path = folder.join(LOCK);
        expect(&path, fs::FileType::is_file, REMOVE)?;
        let made = (!output.exists()).then(|| output.to_owned());
        for tries_left in (0..=10).rev() {
            fs::create_dir_all(&folder).map_err(refuse)?;
            let lock = match File::options().create(true).write(true).truncate(false).open(&path) {
                Ok(lock) => lock,
                // The run before has removed the folder just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries_left > 0 => continue,
                Err(error) => return Err(refuse(error)),
            };
            match try_lock(&lock, &path).map_err(refuse)? {
                // Between the two calls the run before may have ended and removed the file.
                Lock::Ours if !path.exists() => {}
                // Where a file system has no locks, nobody can tell of another run, and a person is told of that.
                Lock::Ours | Lock::Unknown => {
                    return Ok(Self { folder, made, lock: Some(lock), store: None });
                }
                // A process that was killed a moment ago may still be on its way out.
                Lock::Busy if tries_left > 0 => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Lock::Busy => {
                    return Err(Error::new(ErrorKind::Usage, "use the folder")
                        .with_subject(output.display().to_string())
                        .with_source("another streetflow is at work in it")
                        .with_hint("wait for it, or name another folder with `--output`"));
                }
            }
        }
        Err(refuse(io::Error::other("its lock comes and goes")))
    }

    /// Opens the answers of a step that are kept for a question; with `restart`, none are, nor those for others.
    ///
    /// Each question has a folder of its own, so that a crawl of days is not lost to another one in between.
    pub(crate) fn open(&mut self, step: &str, question: &str, restart: bool) -> Result<&ResponseStore> {
        let own = format!("{step}-{:08x}", crc32fast::hash(question.as_bytes()));
        if restart {
            self.folders_of(step).iter().try_for_each(|folder| remove(folder))?;
        }
        let own = self.folder.join(own);
        expect(&own, fs::FileType::is_dir, RESTART)?;
        for name in STORE_FILES {
            expect(&own.join(name), fs::FileType::is_file, RESTART)?;
        }
        Ok(self.store.insert(ResponseStore::open(own, question)?))
    }

    /// Where the origins of the tables are kept while the run is at work.
    pub(crate) fn tables(&self) -> PathBuf {
        self.folder.join(TABLES)
    }

    /// Where answers for other questions to a step lie, put there by unfinished runs.
    pub(crate) fn others(&self, step: &str, question: &str) -> Vec<PathBuf> {
        let own = format!("{step}-{:08x}", crc32fast::hash(question.as_bytes()));
        let own = self.folder.join(own);
        let mut others = self.folders_of(step);
        others.retain(|folder| *folder != own && *folder != own.with_extension("aside"));
        others
    }

    fn folders_of(&self, step: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let ours = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| has_answers(name, step))
        };
        let mut folders: Vec<_> = entries.filter(ours).collect();
        folders.sort();
        folders
    }

    /// Brings the answers to the disk; a finished run leaves none.
    pub(crate) fn close(&mut self, finished: bool) -> Result<()> {
        match self.store.take() {
            Some(store) if finished || store.holds_nothing() => store.close().and_then(|()| store.clear()),
            Some(store) => store.close(),
            None => Ok(()),
        }
    }

    /// Lets go of the folder, and removes it if nothing is in it.
    pub(crate) fn release(mut self) {
        // The report has it.
        fs::remove_file(self.tables()).ok();
        // The lock goes last, and the folder only if nothing else is in it.
        if let Some(lock) = self.lock.take() {
            fs::remove_file(self.folder.join(LOCK)).ok();
            drop(lock);
        }
        fs::remove_dir(&self.folder).ok();
        if let Some(made) = &self.made {
            fs::remove_dir(made).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_removes_answers_and_nothing_that_is_not_ours() {
        let base = tempfile::tempdir().expect("a folder");
        let mut unfinished = Unfinished::lock(base.path()).expect("locked");
        unfinished.open("crawl", "a question", false).expect("opened");
        unfinished.close(false).expect("closed");
        let hidden = base.path().join(FOLDER);
        let own = hidden.join(format!("crawl-{:08x}", crc32fast::hash(b"a question")));
        fs::create_dir_all(own.join("mine")).expect("made");
        let others = ["crawl-notes.txt", "crawl-old", "crawl-0000000g", "crawler-12345678"];
        for name in others {
            fs::write(hidden.join(name), "mine").expect("written");
        }
        fs::write(hidden.join("crawl-12345678.aside"), "a file").expect("written");
        fs::create_dir_all(hidden.join("crawl-87654321/index")).expect("made");
        unfinished.open("crawl", "a question", true).expect("opened");
        unfinished.close(true).expect("closed");
        assert!(own.join("mine").is_dir());
        assert!(others.iter().all(|name| hidden.join(name).exists()));
        assert!(!hidden.join("crawl-12345678.aside").exists() && !hidden.join("crawl-87654321").exists());
        assert_eq!(unfinished.others("crawl", "another question"), [own]);
        unfinished.release();
        assert!(!hidden.join(LOCK).exists());
    }
}
