//! Which area is crawled, and sequences of which owners.

use std::sync::OnceLock;

use clap::{Args, value_parser};

use super::values::{AreaFile, CacheAge, area_file, lon_lat, metres, non_empty, owner_id, parsed};
use crate::terminal::shell::quoted;
use streetflow::geo::{Area, MAX_ZOOM};
use streetflow::places::NOMINATIM_URL;
use streetflow::sources::FIRST_LINES;
use streetflow::{Bbox, Error, ErrorKind, LonLat, OwnerId, Result};

#[derive(Debug, Args)]
#[command(next_help_heading = "Area")]
pub(crate) struct AreaArgs {
    /// Bounding box in degrees
    ///
    /// With --sandbox the default is Cyprus.
    #[arg(long, value_name = "W,S,E,N", value_parser = parsed::<Bbox>, allow_hyphen_values = true, group = "location")]
    pub(crate) bbox: Option<Bbox>,
    /// Polygons of a GeoJSON file
    ///
    /// Only tiles and sequences that intersect the polygons are included.
    #[arg(long, value_name = "FILE", value_parser = area_file, group = "location")]
    pub(crate) area: Option<AreaFile>,
    /// Centre of a circle in degrees; needs --radius
    ///
    /// Longitude comes first.
    #[arg(long, value_name = "LON,LAT", value_parser = lon_lat, allow_hyphen_values = true, group = "location", requires = "radius")]
    pub(crate) around: Option<LonLat>,
    /// Radius of the circle in metres
    #[arg(long, value_name = "M", value_parser = metres, allow_hyphen_values = true, requires = "around")]
    pub(crate) radius: Option<f64>,
    /// Area of this place, such as "Nicosia, Cyprus"
    ///
    /// Sends one request to Nominatim, the search of OpenStreetMap. The result is in <output>/place.geojson, and the next
    /// run with the same name uses it.
    #[arg(long, value_name = "NAME", value_parser = non_empty, group = "location")]
    pub(crate) place: Option<String>,
    /// Nominatim server for --place
    #[arg(long, value_name = "URL", default_value = NOMINATIM_URL, hide_short_help = true)]
    pub(crate) place_url: String,
    /// What `place` was found to be.
    #[arg(skip)]
    pub(crate) found_place: OnceLock<FoundPlace>,
    /// Only images of this user
    ///
    /// Without an area, all images of the user.
    #[arg(long, value_name = "NAME", value_parser = non_empty, conflicts_with = "org_id")]
    pub(crate) user: Option<String>,
    /// Only sequences of these organisations or users
    ///
    /// Separate several ids with commas, or repeat the flag.
    #[arg(long, value_name = "ID,…", value_delimiter = ',', value_parser = owner_id)]
    pub(crate) org_id: Vec<OwnerId>,
    /// No sequences of these organisations or users
    ///
    /// Separate several ids with commas, or repeat the flag.
    #[arg(long, value_name = "ID,…", value_delimiter = ',', value_parser = owner_id, hide_short_help = true)]
    pub(crate) exclude_owner: Vec<OwnerId>,
    /// Coarsest tile level to request
    #[arg(long, value_name = "Z", default_value_t = 1, value_parser = value_parser!(u8).range(0..=i64::from(MAX_ZOOM)), hide_short_help = true)]
    pub(crate) min_zoom: u8,
    /// Tile level at which sequences are collected, 6 to 14; below 14 only lines count
    #[arg(long, value_name = "Z", default_value_t = MAX_ZOOM, value_parser = value_parser!(u8).range(i64::from(FIRST_LINES)..=i64::from(MAX_ZOOM)), hide_short_help = true)]
    pub(crate) max_zoom: u8,
    /// Read only level 10: few requests, for a first look
    ///
    /// Sequences without a line at that level are not found, and one near the edge of the area may be outside it.
    #[arg(long, hide_short_help = true, conflicts_with_all = ["thorough", "exhaustive"])]
    pub(crate) lines_only: bool,
    /// Read tile levels 10 to 13 one by one: more requests, but finds more very short sequences
    #[arg(long, hide_short_help = true, conflicts_with = "exhaustive")]
    pub(crate) thorough: bool,
    /// Prune no tile: many more requests, but also finds sequences without a line
    #[arg(long, hide_short_help = true)]
    pub(crate) exhaustive: bool,
    /// Maximum age of cached tiles [default: 24h for Mapillary's tile host, else 0]
    ///
    /// Such as 90m, 24h or 7d; 0 disables the cache. All runs share it, whatever their area and owner. It uses up to
    /// 2 GiB in the user's cache directory (or STREETFLOW_CACHE_DIR), and --restart does not clear it.
    #[arg(long, value_name = "AGE", hide_short_help = true)]
    pub(crate) tile_cache_age: Option<CacheAge>,
}

/// The result of a search for a place.
#[derive(Debug, Clone)]
pub(crate) struct FoundPlace {
    pub(crate) area: Area,
    /// The content of `place.geojson`, unless the area is from a query.
    pub(crate) file: Option<String>,
}

impl AreaArgs {
    /// The area, if the flags name one, else `default`. A user without an area has none: all their images are included.
    pub(crate) fn area(&self, default: Option<Bbox>) -> Result<Option<Area>> {
        if let Some(file) = &self.area {
            return Ok(Some(file.area.clone()));
        }
        if let Some(found) = self.found_place.get() {
            return Ok(Some(found.area.clone()));
        }
        if let (Some(centre), Some(metres)) = (self.around, self.radius) {
            return Area::around(centre, metres).map(Some);
        }
        Ok(self.bbox.or(default.filter(|_| self.user.is_none())).map(Area::from))
    }

    /// Whether the flags name a user and no area.
    pub(crate) fn is_user_alone(&self) -> bool {
        let has_area =
            self.bbox.is_some() || self.area.is_some() || self.around.is_some() || self.place.is_some();
        self.user.is_some() && !has_area
    }

    /// The flags as command line arguments.
    pub(crate) fn to_cli_args(&self, default: Option<Bbox>) -> Vec<String> {
        let mut args = Vec::new();
        match (&self.area, self.around, self.radius) {
            (Some(file), ..) => args.push(format!("--area {}", file.path.display())),
            _ if self.place.is_some() => {
                args.extend(self.place.iter().map(|name| format!("--place {}", quoted(name))));
            }
            (None, Some(centre), Some(metres)) => {
                args.push(format!("--around {},{} --radius {metres}", centre.lon, centre.lat));
            }
            _ if self.is_user_alone() => {}
            _ => args.extend(self.bbox.or(default).map(|bbox| format!("--bbox {bbox}"))),
        }
        args.extend(self.owner_args());
        if self.is_user_alone() {
            return args;
        }
        args.push(format!("--min-zoom {} --max-zoom {}", self.min_zoom, self.max_zoom));
        let modes = [
            (self.lines_only, "--lines-only"),
            (self.thorough, "--thorough"),
            (self.exhaustive, "--exhaustive"),
        ];
        args.extend(modes.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag.to_owned()));
        args
    }

    fn owner_args(&self) -> impl Iterator<Item = String> {
        let org_ids = self.org_id.iter().map(|owner| format!("--org-id {owner}"));
        let user = self.user.iter().map(|name| format!("--user '{name}'"));
        user.chain(org_ids).chain(self.exclude_owner.iter().map(|owner| format!("--exclude-owner {owner}")))
    }

    /// A text that differs for other areas or owners, for the key of the response store.
    pub(crate) fn key(&self) -> Result<String> {
        let area = self.area(None)?.map_or_else(|| "no area".to_owned(), |area| area.key());
        let owners: Vec<_> = self.owner_args().collect();
        Ok(format!("{area} {}", owners.join(" ")))
    }

    /// Rejects flags that contradict each other, and a missing area.
    pub(crate) fn check(&self, has_default: bool) -> Result<()> {
        if self.area(None)?.is_none() && self.user.is_none() && !has_default {
            return Err(missing_area());
        }
        if let Some(both) = self.org_id.iter().find(|owner| self.exclude_owner.contains(owner)) {
            return Err(Error::new(ErrorKind::Usage, "choose the owners")
                .with_subject(both.as_str())
                .with_source("both `--org-id` and `--exclude-owner` contain it")
                .with_hint("remove it from one of them"));
        }
        if self.min_zoom > self.max_zoom {
            let why = format!("`--min-zoom {}` is deeper than `--max-zoom {}`", self.min_zoom, self.max_zoom);
            return Err(Error::new(ErrorKind::Usage, "choose the tile levels").with_source(why));
        }
        Ok(())
    }
}

/// The error if the flags name no area.
pub(crate) fn missing_area() -> Error {
    Error::new(ErrorKind::Usage, "choose the area").with_source("no area was given").with_hint(
        "set a box with `--bbox W,S,E,N`, such as `--bbox 32.19,34.52,34.18,35.49`, polygons with `--area FILE`, a place with `--place NAME`, or a circle with `--around LON,LAT --radius M`",
    )
}
