//! Fields that contradict each other.

use super::Query;
use super::id_list::table_format;
use crate::error::{Error, ErrorKind, Result};
use crate::stages::Filter;

impl Query {
    /// Rejects fields that contradict each other, values out of range, and a missing start. The error names the field.
    ///
    /// The flows check the query first.
    pub fn check(&self) -> Result<()> {
        let given = |fields: &[(&'static str, bool)]| -> Vec<&'static str> {
            fields.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name).collect()
        };
        let starts = given(&[
            ("bbox", self.bbox.is_some()),
            ("area", self.area.is_some() && self.place.is_none()),
            ("around", self.around.is_some()),
            ("place", self.place.is_some()),
            ("sequences", self.sequences.is_some()),
            ("images", self.images.is_some()),
            ("features", self.features.is_some()),
        ]);
        if let [first, second, ..] = starts[..] {
            return Err(reject(second, format!("it excludes `{first}`"), "give only one of them"));
        }
        if self.around.is_some() != self.radius.is_some() {
            let (field, other) =
                if self.around.is_some() { ("around", "radius") } else { ("radius", "around") };
            return Err(reject(field, format!("it needs `{other}`"), "give both"));
        }
        if self.place.is_some() && self.area.is_none() {
            let hint = "call `find_place` first";
            return Err(reject("place", "its area is not known yet".to_owned(), hint));
        }
        if starts.is_empty() && self.user.is_none() {
            return Err(Self::missing_area());
        }
        self.check_ids()?;
        self.check_owners()?;
        let modes = given(&[
            ("lines_only", self.lines_only),
            ("thorough", self.thorough),
            ("exhaustive", self.exhaustive),
        ]);
        if let [first, second, ..] = modes[..] {
            return Err(reject(second, format!("it excludes `{first}`"), "give only one of them"));
        }
        if self.pano && self.flat {
            return Err(reject("flat", "it excludes `pano`".to_owned(), "give only one of them"));
        }
        if self.min_zoom > self.max_zoom {
            let why = format!("{} is deeper than `max_zoom` {}", self.min_zoom, self.max_zoom);
            return Err(reject("min_zoom", why, "give the coarser level as `min_zoom`"));
        }
        if self.limit == Some(0) {
            return Err(reject("limit", "it is 0".to_owned(), "give at least 1, or leave it out"));
        }
        let named = |field: &'static str| {
            move |error: Error| {
                Error::new(ErrorKind::Usage, "use the query field")
                    .with_subject(field)
                    .with_source(error.chain())
            }
        };
        self.min_quality.map(Filter::min_quality).transpose().map_err(named("min_quality"))?;
        self.every.map(Filter::every).transpose().map_err(named("every"))?;
        self.dates().map_err(named("from"))?;
        self.selected_area().map_err(named("around"))?;
        self.features.as_deref().map(table_format).transpose().map_err(named("features"))?;
        self.selection().map(drop)
    }

    /// A list of ids excludes what selects sequences.
    fn check_ids(&self) -> Result<()> {
        let Some(start) =
            [("sequences", &self.sequences), ("images", &self.images), ("features", &self.features)]
                .into_iter()
                .find_map(|(name, list)| list.as_ref().map(|_| name))
        else {
            return Ok(());
        };
        let others = [
            ("user", self.user.is_some()),
            ("org_id", !self.org_id.is_empty()),
            ("clip", self.clip),
            ("lines_only", self.lines_only),
            ("thorough", self.thorough),
            ("exhaustive", self.exhaustive),
        ];
        match others.into_iter().find(|(_, is_set)| *is_set) {
            Some((name, _)) => Err(reject(
                name,
                format!("it does not apply to a query that starts from `{start}`"),
                "remove it",
            )),
            None => Ok(()),
        }
    }

    fn check_owners(&self) -> Result<()> {
        if self.user.is_some() && !self.org_id.is_empty() {
            return Err(reject("org_id", "it excludes `user`".to_owned(), "give only one of them"));
        }
        match self.org_id.iter().find(|owner| self.exclude_owner.contains(owner)) {
            Some(both) => {
                let why = format!("`org_id` and `exclude_owner` both contain {both}");
                Err(reject("exclude_owner", why, "remove it from one of them"))
            }
            None => Ok(()),
        }
    }

    /// The error of a query that starts from nothing.
    pub(super) fn missing_area() -> Error {
        Error::new(ErrorKind::Usage, "choose the area").with_source("the query has no area").with_hint(
            "set `bbox`, `area`, `around` and `radius`, or `place`; or start from a `user`, `sequences`, `images` or `features`",
        )
    }
}

fn reject(field: &'static str, why: String, hint: &'static str) -> Error {
    Error::new(ErrorKind::Usage, "use the query field").with_subject(field).with_source(why).with_hint(hint)
}
