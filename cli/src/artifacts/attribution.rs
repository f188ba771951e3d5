//! `ATTRIBUTION.txt`: what the licence of the pictures asks, and whom to name.
//!
//! A run with pictures writes it anew, with the authors of its images and those that it named before; so words that
//! somebody adds to it are lost, but for a file that does not begin as ours does, which is left alone.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;

use crate::artifacts::report::{MOVE_IT, NOT_OURS};
use crate::terminal::format::grouped;
use streetflow::atomic_file::{commit, is_file, output_error, temporary_beside};
use streetflow::model::shown_name;
use streetflow::{Flow, Metadata, RecordStream, Result, Written};

const NAME: &str = "ATTRIBUTION.txt";

/// How a file of ours begins.
const BEGINS: &str = "Pictures from Mapillary: what their licence asks\n";

const REST: &str = "\
================================================

The pictures in this folder are from Mapillary. Its default licence is
Creative Commons Attribution-ShareAlike 4.0 (CC BY-SA 4.0):

  https://creativecommons.org/licenses/by-sa/4.0/

Where you show a picture or pass it on, name its author and Mapillary, link to
the image and to the licence, say whether you changed it, and give what you
made of it under the same licence. Such as:

  © <username> / Mapillary, CC BY-SA 4.0
  https://www.mapillary.com/app/?pKey=<img_id>

<img_id> is the number before the `_` in the name of a picture. Its page names
its author. The columns `attribution` and `page_url` of a table hold both lines
(`--fields attribution,page_url`), and pictures written with `--exif` carry them.

Mapillary's API does not state the licence of each image.

";

/// So many authors are named at the most.
const MOST_AUTHORS: usize = 1000;

/// A file of ours is not longer.
const LONGEST: u64 = 1 << 20;

const HEADING: &str = "Authors of pictures in this folder";
const AND_MORE: &str = "and others, whom the pages of their images name";
const ITEM: &str = "- ";

/// The file in an output folder, and the authors of the pictures of a run.
#[derive(Clone)]
pub(crate) struct Attribution {
    path: PathBuf,
    authors: Arc<Mutex<Authors>>,
}

#[derive(Default)]
struct Authors {
    names: BTreeSet<String>,
    /// There are others.
    more: bool,
}

impl Authors {
    fn add(&mut self, name: &str) {
        if self.names.contains(name) {
            return;
        }
        if self.names.len() < MOST_AUTHORS {
            self.names.insert(name.to_owned());
        } else {
            self.more = true;
        }
    }
}

impl Attribution {
    pub(crate) fn new(output: &Path) -> Self {
        Self { path: output.join(NAME), authors: Arc::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a file of somebody else: better to learn it now than after a day of crawling.
    pub(crate) fn check(&self) -> Result<()> {
        let refused = |error| output_error("write the file", &self.path, error).with_hint(MOVE_IT);
        self.earlier().map(drop).map_err(refused)
    }

    fn authors(&self) -> MutexGuard<'_, Authors> {
        self.authors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the names of the authors from the images that pass.
    pub(crate) fn listen(&self, flow: Flow<Metadata>) -> Flow<Metadata> {
        let (file, mut last) = (self.clone(), None);
        let listen = move |image: &Result<Metadata>| {
            let Ok(image) = image else { return };
            // Neighbours mostly have one author.
            if image.creator_username.is_some() && image.creator_username != last {
                last.clone_from(&image.creator_username);
                if let Some(name) = last.as_deref().and_then(shown_name) {
                    file.authors().add(&name);
                }
            }
        };
        flow.then(move |images: RecordStream<Metadata>| images.inspect(listen).boxed())
    }

    /// Writes the file, if it is not as it should be already.
    pub(crate) fn write(&self) -> Result<Written> {
        let failed = |error| output_error("write the file", &self.path, error);
        let found = self.earlier().map_err(failed)?;
        let mut authors = self.authors();
        if let Some(found) = &found {
            let names = found.split_once(HEADING).map_or("", |(_, names)| names);
            names.lines().filter_map(|line| line.strip_prefix(ITEM)).for_each(|name| authors.add(name));
            authors.more |= names.lines().any(|line| line == AND_MORE);
        }
        let text = text(&authors);
        if found.as_ref() != Some(&text) {
            let write = || {
                let mut file = temporary_beside(&self.path)?;
                file.write_all(text.as_bytes())?;
                commit(file, &self.path)
            };
            write().map_err(failed)?;
        }
        let mut written = Written::default();
        written.records = authors.names.len() as u64;
        written.bytes = text.len() as u64;
        written.paths = vec![self.path.clone()];
        Ok(written)
    }

    /// The file that is there; an error if it is not ours.
    fn earlier(&self) -> io::Result<Option<String>> {
        if !is_file(&self.path)? && fs::symlink_metadata(&self.path).is_err() {
            return Ok(None);
        }
        let mut text = Vec::new();
        File::open(&self.path)?.take(LONGEST).read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        if text.is_empty() || text.starts_with(BEGINS) {
            Ok(Some(text))
        } else {
            Err(io::Error::other(NOT_OURS))
        }
    }
}

fn text(authors: &Authors) -> String {
    let mut text = [BEGINS, REST].concat();
    if authors.names.is_empty() {
        text.push_str("The authors were not asked for; `--fields creator` or `--exif always` does.\n");
        return text;
    }
    write!(text, "{HEADING} ({}):\n\n", grouped(authors.names.len() as u64)).unwrap_or_default();
    for name in &authors.names {
        writeln!(text, "{ITEM}{name}").unwrap_or_default();
    }
    if authors.more {
        write!(text, "\n{AND_MORE}\n").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path, names: impl IntoIterator<Item = String>) -> String {
        let file = Attribution::new(folder);
        names.into_iter().for_each(|name| file.authors().add(&name));
        file.write().expect("written");
        fs::read_to_string(folder.join(NAME)).expect("a file")
    }

    #[test]
    fn authors_of_earlier_runs_stay_named_and_nobody_is_named_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = |names: [&str; 2]| names.map(str::to_owned);
        assert!(written(folder.path(), []).contains("were not asked for"));
        written(folder.path(), names(["maria", "Åsa - of - Ö"]));
        let text = written(folder.path(), names(["eleni", "maria"]));
        assert!(text.ends_with("in this folder (3):\n\n- eleni\n- maria\n- Åsa - of - Ö\n"), "{text}");
        assert_eq!(written(folder.path(), []), text);
    }

    #[test]
    fn however_many_authors_there_are_the_file_is_bounded_and_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = written(folder.path(), (0..5000).map(|number| format!("author {number}")));
        assert_eq!(text.lines().filter(|line| line.starts_with(ITEM)).count(), MOST_AUTHORS);
        assert!(text.ends_with(&format!("\n{AND_MORE}\n")), "{text}");
        assert_eq!(written(folder.path(), []), text, "it stays known that there are others");
    }

    #[test]
    fn a_file_of_somebody_else_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        fs::write(&path, "Thanks to my mother.\n").expect("written");
        let file = Attribution::new(folder.path());
        for error in [file.check().expect_err("not ours"), file.write().expect_err("not ours")] {
            assert!(error.chain().contains("not ours"), "{}", error.chain());
        }
        assert_eq!(fs::read_to_string(&path).expect("a file"), "Thanks to my mother.\n");
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        file.check().expect_err("a folder");
    }
}
