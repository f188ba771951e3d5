//! A map page: one HTML file that shows the images of a table on a map, works offline and contacts no host.
//!
//! [`MapSink`] ends a flow in a page. The page contains the map library, the interface and the columns of the images,
//! compressed: about 15 bytes an image.
//!
//! ```
//! use streetflow::{Flow, ImageId, LonLat, Metadata, Result, map::MapSink};
//!
//! # #[tokio::main] async fn main() -> Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("map.html");
//! let image = Metadata {
//!     img_id: ImageId::new("728019821979741")?,
//!     geometry: Some(LonLat { lon: 33.36, lat: 35.17 }),
//!     ..Metadata::default()
//! };
//! let report = Flow::from(futures::stream::iter([Ok(image)])).into_sink(MapSink::create(&path)).await?;
//! assert_eq!(report.records, 1);
//! assert!(std::fs::read_to_string(&path).unwrap().starts_with("<!doctype html>"));
//! # Ok(()) }
//! ```

use crate::model::Fields;
use crate::record::GeometryChoice;

mod base64;
mod basemap;
mod columns;
mod dictionary;
mod ids;
mod images;
mod overlays;
mod packing;
mod page;
mod pictures;
mod sink;
#[cfg(test)]
mod tests;
mod values;

pub use self::basemap::Basemap;
pub use self::ids::ImageIds;
pub use self::images::MapImages;
pub use self::page::{MapOptions, PAGE_MARK, Page, Served, is_page};
pub use self::pictures::Pictures;
pub use self::sink::MapSink;

/// Most images that a page can contain without a server. Browsers open larger pages slowly or not at all.
pub const MAX_IMAGES_IN_PAGE: usize = 2_000_000;

/// The columns of a table of detections that the page shows.
pub const DETECTION_COLUMNS: [&str; 5] = ["value", "x", "y", "w", "h"];

/// The columns of a table of map features that the page shows.
pub const FEATURE_COLUMNS: [&str; 5] = ["value", "lon", "lat", "last_seen_at", "n_images"];

/// The columns of a table that the page shows. Others are not read.
pub const COLUMNS: [&str; 19] = [
    "seq_id",
    "img_id",
    "sequence",
    "lon",
    "lat",
    "computed_lon",
    "computed_lat",
    "captured_at",
    "compass_angle",
    "computed_compass_angle",
    "camera_type",
    "make",
    "model",
    "is_pano",
    "quality_score",
    "creator_id",
    "creator_username",
    "organization_id",
    "attribution",
];

/// Fields whose columns a table may have instead of others: ids of sequences, and names of users.
const SUBSTITUTES: [&str; 2] = ["sequence", "attribution"];

/// The fields of images that the page shows, to request them. `geometry` chooses their coordinates.
///
/// ```
/// use streetflow::{GeometryChoice, map};
///
/// assert!(map::fields(GeometryChoice::Original).names().contains(&"captured_at"));
/// assert!(map::fields(GeometryChoice::Best).names().contains(&"computed_geometry"));
/// ```
pub fn fields(geometry: GeometryChoice) -> Fields {
    let is_shown = |name: &str| name != "computed_geometry" || geometry.fields().contains(&name);
    Fields::from_columns(COLUMNS).retain(|name| !SUBSTITUTES.contains(&name) && is_shown(name))
}
