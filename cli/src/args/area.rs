//! What is to be crawled: flags into an area and owners.

use crate::args::AreaArgs;
use crate::terminal::format::path_text;
use crate::terminal::printer::{Tone, Voice};
use streetflow::geo::Area;
use streetflow::{Bbox, Error, ErrorKind, OwnerId, Result};

impl AreaArgs {
    /// The area that the flags name, if they do; `default` is that of the sandbox.
    pub(crate) fn place(&self, default: Option<Bbox>) -> Result<Option<Area>> {
        if let Some(file) = &self.area {
            return Ok(Some(file.area.clone()));
        }
        if let (Some(place), Some(metres)) = (self.around, self.radius) {
            return Area::around(place, metres).map(Some);
        }
        // All of a user's images lie somewhere.
        Ok(self.bbox.or(default.filter(|_| self.user.is_none())).map(Area::from))
    }

    /// Warns of what else there is to know about the file of the area.
    pub(crate) fn warn(&self, voice: &Voice) {
        if let Some(file) = &self.area {
            for note in &file.notes {
                voice.say(Tone::Warning, &format!("the area {}: {note}", path_text(&file.path)));
            }
        }
    }

    /// Whether no area is named but a user.
    pub(crate) fn is_user_alone(&self) -> bool {
        self.user.is_some() && self.bbox.is_none() && self.area.is_none() && self.around.is_none()
    }

    /// The flags as one would say them again.
    pub(crate) fn words(&self, default: Option<Bbox>) -> Vec<String> {
        let mut words = Vec::new();
        match (&self.area, self.around, self.radius) {
            (Some(file), ..) => words.push(format!("--area {}", file.path.display())),
            (None, Some(place), Some(metres)) => {
                words.push(format!("--around {},{} --radius {metres}", place.lon, place.lat));
            }
            _ if self.is_user_alone() => {}
            _ => words.extend(self.bbox.or(default).map(|bbox| format!("--bbox {bbox}"))),
        }
        words.extend(self.owner_words());
        if self.is_user_alone() {
            return words;
        }
        words.push(format!("--min-zoom {} --max-zoom {}", self.min_zoom, self.max_zoom));
        words.extend(self.exhaustive.then(|| "--exhaustive".to_owned()));
        words
    }

    /// Owners that no tile leaves out, where none is asked, or their ids are rounded there and might be another's.
    pub(crate) fn not_in_tiles(&self, asks_tiles: bool) -> Vec<OwnerId> {
        let exact = |owner: &&OwnerId| owner.as_str().parse::<u64>().is_ok_and(|id| id < 1 << 53);
        self.exclude_owner.iter().filter(|owner| !asks_tiles || !exact(owner)).cloned().collect()
    }

    fn owner_words(&self) -> impl Iterator<Item = String> {
        let owned = self.org_id.iter().map(|owner| format!("--org-id {owner}"));
        let user = self.user.iter().map(|name| format!("--user '{name}'"));
        user.chain(owned).chain(self.exclude_owner.iter().map(|owner| format!("--exclude-owner {owner}")))
    }

    /// What tells this area and its owners from others, for the answers that an unfinished run keeps.
    pub(crate) fn key(&self) -> Result<String> {
        let place = self.place(None)?.map_or_else(|| "no area".to_owned(), |area| area.key());
        let owners: Vec<_> = self.owner_words().collect();
        Ok(format!("{place} {}", owners.join(" ")))
    }

    /// Whatever is wrong with the words themselves.
    pub(crate) fn check(&self, is_sandbox: bool) -> Result<()> {
        if self.place(None)?.is_none() && self.user.is_none() && !is_sandbox {
            return Err(no_box());
        }
        if let Some(both) = self.org_id.iter().find(|owner| self.exclude_owner.contains(owner)) {
            return Err(Error::new(ErrorKind::Usage, "choose the owners")
                .with_subject(both.as_str())
                .with_source("`--org-id` and `--exclude-owner` both name it")
                .with_hint("leave one of them out"));
        }
        if self.min_zoom > self.max_zoom {
            let why = format!("`--min-zoom {}` is deeper than `--max-zoom {}`", self.min_zoom, self.max_zoom);
            return Err(Error::new(ErrorKind::Usage, "choose the tile levels").with_source(why));
        }
        Ok(())
    }
}

/// There is nothing to crawl.
pub(crate) fn no_box() -> Error {
    Error::new(ErrorKind::Usage, "choose the area").with_source("no box was given").with_hint(
        "give one with `--bbox W,S,E,N`, such as `--bbox 32.19,34.52,34.18,35.49`, or polygons with `--area FILE`, or `--around LON,LAT --radius M`",
    )
}
