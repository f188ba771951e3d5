//! `ATTRIBUTION.txt`: the terms of the pictures' licence, and the authors to name.
//!
//! A run with pictures rewrites the file, with the authors of its images and those already named in the file. Other
//! text that was added to the file is lost. A file that starts differently is refused and stays unchanged.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;

use crate::artifacts::owned_file::{Mark, OwnedFile};
use crate::terminal::format::grouped;
use streetflow::model::shown_name;
use streetflow::{Flow, Metadata, RecordStream, Result, Written};

const NAME: &str = "ATTRIBUTION.txt";

/// The start of the file.
const TITLE: &str = "Pictures from Mapillary: what their licence asks\n";

const TERMS: &str = "\
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

/// Maximum number of authors that are named.
const MAX_AUTHORS: usize = 1000;

/// Maximum number of bytes that are read; a file with all authors is shorter.
const MAX_LEN: u64 = 1 << 20;

const AUTHORS_HEADING: &str = "Authors of pictures in this folder";
const MORE_AUTHORS: &str = "and others, whom the pages of their images name";
const BULLET: &str = "- ";

/// The file of an output directory, and the authors of a run.
#[derive(Clone)]
pub(crate) struct Attribution {
    file: OwnedFile,
    authors: Arc<Mutex<Authors>>,
}

#[derive(Default)]
struct Authors {
    names: BTreeSet<String>,
    /// Whether there are more authors than names.
    has_more: bool,
}

impl Authors {
    fn add(&mut self, name: &str) {
        if self.names.contains(name) {
            return;
        }
        if self.names.len() < MAX_AUTHORS {
            self.names.insert(name.to_owned());
        } else {
            self.has_more = true;
        }
    }

    /// Adds the authors that a text of this file names.
    fn add_from(&mut self, text: &str) {
        let names = text.split_once(AUTHORS_HEADING).map_or("", |(_, names)| names);
        names.lines().filter_map(|line| line.strip_prefix(BULLET)).for_each(|name| self.add(name));
        self.has_more |= names.lines().any(|line| line == MORE_AUTHORS);
    }
}

impl Attribution {
    pub(crate) fn new(output: &Path) -> Self {
        let file = OwnedFile::new(output.join(NAME), Mark::Start(TITLE), "write the attribution");
        Self { file, authors: Arc::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Fails if the file could not be written at the end of the run.
    pub(crate) fn check(&self) -> Result<()> {
        self.file.check()
    }

    fn authors(&self) -> MutexGuard<'_, Authors> {
        self.authors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Collects the authors of the images that pass.
    pub(crate) fn collect_authors(&self, flow: Flow<Metadata>) -> Flow<Metadata> {
        let (attribution, mut last) = (self.clone(), None);
        let collect = move |image: &Result<Metadata>| {
            let Ok(image) = image else { return };
            // Consecutive images mostly have the same author.
            if image.creator_username.is_some() && image.creator_username != last {
                last.clone_from(&image.creator_username);
                if let Some(name) = last.as_deref().and_then(shown_name) {
                    attribution.authors().add(&name);
                }
            }
        };
        flow.then(move |images: RecordStream<Metadata>| images.inspect(collect).boxed())
    }

    /// Writes the file, unless its content is the same already.
    pub(crate) fn write(&self) -> Result<Written> {
        let existing = self.read().map_err(|error| self.file.error(error))?;
        let mut authors = self.authors();
        if let Some(existing) = &existing {
            authors.add_from(existing);
        }
        let text = text(&authors);
        if existing.as_ref() != Some(&text) {
            self.file.write(text.as_bytes())?;
        }
        let mut written = Written::default();
        written.records = authors.names.len() as u64;
        written.bytes = text.len() as u64;
        written.paths = vec![self.path().to_owned()];
        Ok(written)
    }

    fn read(&self) -> io::Result<Option<String>> {
        let Some(file) = self.file.open_ours()? else { return Ok(None) };
        let mut text = Vec::new();
        file.take(MAX_LEN).read_to_end(&mut text)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

fn text(authors: &Authors) -> String {
    let mut text = [TITLE, TERMS].concat();
    if authors.names.is_empty() {
        text.push_str("The authors were not asked for; `--fields creator` or `--exif always` does.\n");
        return text;
    }
    write!(text, "{AUTHORS_HEADING} ({}):\n\n", grouped(authors.names.len() as u64)).unwrap_or_default();
    for name in &authors.names {
        writeln!(text, "{BULLET}{name}").unwrap_or_default();
    }
    if authors.has_more {
        write!(text, "\n{MORE_AUTHORS}\n").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn written(folder: &Path, names: impl IntoIterator<Item = String>) -> String {
        let file = Attribution::new(folder);
        names.into_iter().for_each(|name| file.authors().add(&name));
        file.write().expect("written");
        fs::read_to_string(folder.join(NAME)).expect("a file")
    }

    #[test]
    fn authors_of_earlier_runs_stay_and_each_is_named_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = |names: [&str; 2]| names.map(str::to_owned);
        assert!(written(folder.path(), []).contains("were not asked for"));
        written(folder.path(), names(["maria", "Åsa - of - Ö"]));
        let text = written(folder.path(), names(["eleni", "maria"]));
        assert!(text.ends_with("in this folder (3):\n\n- eleni\n- maria\n- Åsa - of - Ö\n"), "{text}");
        assert_eq!(written(folder.path(), []), text);
    }

    #[test]
    fn the_number_of_authors_is_bounded_and_the_file_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = written(folder.path(), (0..5000).map(|number| format!("author {number}")));
        assert_eq!(text.lines().filter(|line| line.starts_with(BULLET)).count(), MAX_AUTHORS);
        assert!(text.ends_with(&format!("\n{MORE_AUTHORS}\n")), "{text}");
        assert_eq!(written(folder.path(), []), text, "the file still says that there are more");
    }

    #[test]
    fn a_foreign_file_is_refused_and_unchanged() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        fs::write(&path, "Thanks to my mother.\n").expect("written");
        let file = Attribution::new(folder.path());
        for error in [file.check().expect_err("foreign"), file.write().expect_err("foreign")] {
            assert!(error.chain().contains("not written by streetflow"), "{}", error.chain());
        }
        assert_eq!(fs::read_to_string(&path).expect("a file"), "Thanks to my mother.\n");
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        file.check().expect_err("a folder");
    }
}
