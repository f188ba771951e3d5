//! Flags to a query of the library, and a query from a file to flags.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::values::{AreaFile, Time};
use super::{AreaArgs, FetchArgs, FilterArgs, FoundPlace};
use streetflow::places::NOMINATIM_URL;
use streetflow::stages::Dates;
use streetflow::{Bbox, Error, ErrorKind, Query, Result};

/// The flags that are fields of a query, which `--query` replaces.
pub(crate) const QUERY_FLAGS: [&str; 30] = [
    "bbox",
    "area",
    "around",
    "radius",
    "place",
    "place_url",
    "user",
    "org_id",
    "exclude_owner",
    "sequences",
    "images",
    "features",
    "from",
    "to",
    "pano",
    "flat",
    "min_quality",
    "heading",
    "make",
    "model",
    "every",
    "limit",
    "clip",
    "fields",
    "batch_size",
    "min_zoom",
    "max_zoom",
    "lines_only",
    "thorough",
    "exhaustive",
];

/// The largest query file in bytes: the borders of a continent fit.
const MAX_QUERY_LEN: u64 = 128 << 20;

/// Reads the query of a file: a query, a report, or a plan.
pub(crate) fn read_query(path: &Path) -> Result<Query> {
    let reject = |error: std::io::Error| {
        Error::new(ErrorKind::Usage, "read the query")
            .with_subject(path.display().to_string())
            .with_source(error)
    };
    let mut text = String::new();
    File::open(path).map_err(reject)?.take(MAX_QUERY_LEN + 1).read_to_string(&mut text).map_err(reject)?;
    if text.len() as u64 > MAX_QUERY_LEN {
        return Err(reject(std::io::Error::other("it is larger than 128 MiB")));
    }
    let query = Query::from_json(&text).and_then(checked).map_err(|error| {
        let hint = error.hint().unwrap_or("see `Query` in the reference").to_owned();
        Error::new(ErrorKind::Usage, "read the query")
            .with_subject(path.display().to_string())
            .with_source(error.chain())
            .with_hint(hint)
    })?;
    Ok(query)
}

/// Rejects a query with fields that contradict each other. A place is found later, and the sandbox has an area.
fn checked(query: Query) -> Result<Query> {
    let has_place_to_find = query.place.is_some() && query.area.is_none();
    let has_start = query.selected_area()?.is_some()
        || query.user.is_some()
        || query.sequences.is_some()
        || query.starts_from_images();
    if has_start && !has_place_to_find {
        query.check()?;
    }
    Ok(query)
}

impl AreaArgs {
    /// Sets the fields of a query. `default` is the area if the flags name none.
    pub(crate) fn fill(&self, query: &mut Query, default: Option<Bbox>) {
        match (&self.area, self.found_place.get(), self.around) {
            (Some(file), ..) => query.area = Some(file.area.clone()),
            (None, Some(found), _) => {
                query.area = Some(found.area.clone());
                query.place.clone_from(&self.place);
                query.place_url = (self.place_url != NOMINATIM_URL).then(|| self.place_url.clone());
            }
            (None, None, Some(centre)) => {
                query.around = Some(centre);
                query.radius = self.radius;
            }
            _ => query.bbox = self.bbox.or(default.filter(|_| self.user.is_none())),
        }
        query.user.clone_from(&self.user);
        query.org_id.clone_from(&self.org_id);
        query.exclude_owner.clone_from(&self.exclude_owner);
        (query.min_zoom, query.max_zoom) = (self.min_zoom, self.max_zoom);
        (query.lines_only, query.thorough, query.exhaustive) =
            (self.lines_only, self.thorough, self.exhaustive);
    }

    /// Takes area, owners and walk from the query of a file.
    pub(crate) fn apply(&mut self, query: &Query, path: &Path) {
        self.bbox = query.bbox;
        (self.around, self.radius) = (query.around, query.radius);
        self.place.clone_from(&query.place);
        if let Some(url) = &query.place_url {
            self.place_url.clone_from(url);
        }
        if let Some(area) = query.area.clone() {
            match &query.place {
                Some(_) => drop(self.found_place.set(FoundPlace { area, file: None })),
                None => {
                    self.area = Some(AreaFile { path: path.to_owned(), area, notes: Vec::new() });
                }
            }
        }
        self.user.clone_from(&query.user);
        self.org_id.clone_from(&query.org_id);
        self.exclude_owner.clone_from(&query.exclude_owner);
        (self.min_zoom, self.max_zoom) = (query.min_zoom, query.max_zoom);
        (self.lines_only, self.thorough, self.exhaustive) =
            (query.lines_only, query.thorough, query.exhaustive);
    }
}

impl FilterArgs {
    /// Sets the fields of a query.
    pub(crate) fn fill(&self, query: &mut Query) {
        query.from = self.from.as_ref().map(|time| time.text.clone());
        query.to = self.to.as_ref().map(|time| time.text.clone());
        (query.pano, query.flat) = (self.pano, self.flat);
        query.min_quality = self.min_quality;
        query.heading = self.heading;
        query.make.clone_from(&self.make);
        query.model.clone_from(&self.model);
        query.every = self.every;
        query.limit = self.limit;
    }

    /// Takes the filters from the query of a file.
    pub(crate) fn apply(&mut self, query: &Query) -> Result<()> {
        let time = |text: &Option<String>, read: fn(&str) -> Result<i64>| {
            let time = |text: &String| Result::Ok(Time { text: text.clone(), millis: read(text)? });
            text.as_ref().map(time).transpose()
        };
        self.from = time(&query.from, Dates::first)?;
        self.to = time(&query.to, Dates::last)?;
        (self.pano, self.flat) = (query.pano, query.flat);
        self.min_quality = query.min_quality;
        self.heading = query.heading;
        self.make.clone_from(&query.make);
        self.model.clone_from(&query.model);
        self.every = query.every;
        self.limit = query.limit;
        Ok(())
    }
}

impl FetchArgs {
    /// Sets the fields of a query.
    pub(crate) fn fill(&self, query: &mut Query) {
        query.fields = self.fields.clone();
        query.batch_size = self.batch_size.into();
    }

    /// Takes the fields from the query of a file.
    pub(crate) fn apply(&mut self, query: &Query) {
        self.fields = query.fields.clone();
        self.batch_size = u16::try_from(query.batch_size).unwrap_or(u16::MAX);
    }
}
