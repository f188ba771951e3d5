//! A query: what a crawl selects, as data.
//!
//! - `selection` has the filters of images and the limit
//! - `id_list` reads lists of ids
//! - `values` converts single values from and to JSON
//! - `json` has the table of fields, and reads and writes a query
//! - `check` rejects fields that contradict each other
//! - `flows` makes the flows

mod check;
mod flows;
mod id_list;
mod json;
mod selection;
mod values;

pub use self::flows::images_of_features;
pub use self::flows::{fill_sequence, to_image};
pub use self::id_list::{open_features, open_images, open_sequences};
pub use self::selection::Selection;

use crate::geo::{Area, Bbox, LonLat, MAX_ZOOM};
use crate::model::{Fields, OwnerId};
use crate::record::GeometryChoice;
use crate::stages::Heading;

/// What a crawl selects: an area, a user or ids; owners, filters, a limit, and the fields of the metadata.
///
/// A query is data: it contains no token and no host, so it can be stored, sent to another machine and compared. The
/// fields have the names and the meaning of the flags of the command. As JSON it is an object with the fields that are
/// set; `report.json` and `plan.json` contain it as `query`.
///
/// A query starts from one of these: `bbox`, `area`, `around` with `radius`, `place` with the `area` that was found,
/// `user` alone, `sequences`, `images`, or `features`. [`Query::sequences`], [`Query::images`] and [`Query::metadata`] make the flow.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::TryStreamExt;
/// use streetflow::{Metadata, Query};
/// use streetflow_sandbox::Sandbox;
///
/// let query: Query = serde_json::from_str(
///     r#"{"bbox": [33.33, 35.15, 33.39, 35.19], "pano": true, "limit": 5, "fields": ["captured_at", "is_pano"]}"#,
/// )?;
/// let sandbox = Sandbox::start().await?;
/// let images: Vec<Metadata> = query.metadata(&sandbox.client()?).await?.try_collect().await?;
/// assert_eq!(images.len(), 5);
/// assert!(images.iter().all(|image| image.is_pano == Some(true)));
/// # Ok(()) }
/// ```
///
/// Errors name the field:
///
/// ```
/// use streetflow::Query;
///
/// let error = Query::from_json(r#"{"bbox": [33, 35, 34, 36], "every": -5}"#).unwrap_err();
/// assert_eq!(error.to_string(), "failed to read the query field `every`");
/// ```
#[derive(Clone)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command")]
pub struct Query {
    /// A box. JSON: four numbers, or the text `W,S,E,N`.
    pub bbox: Option<Bbox>,
    /// Polygons. JSON: GeoJSON with polygons, as an object, or the path of a GeoJSON file, which is read at once.
    pub area: Option<Area>,
    /// The centre of a circle; needs `radius`. JSON: two numbers, or the text `LON,LAT`.
    pub around: Option<LonLat>,
    /// The radius of the circle in metres.
    pub radius: Option<f64>,
    /// The name of a place. [`Query::find_place`] finds its polygons and sets `area`.
    pub place: Option<String>,
    /// The Nominatim server for `place`; `None` is the public one.
    pub place_url: Option<String>,
    /// Only images of this user. Without an area, all images of the user.
    pub user: Option<String>,
    /// Only sequences of these organizations or users; empty means all.
    pub org_id: Vec<OwnerId>,
    /// No sequences of these organizations or users.
    pub exclude_owner: Vec<OwnerId>,
    /// Starts from these sequences: the path of a table or of a list with one id per line, or ids separated by commas.
    /// JSON: such a text, or a list of ids.
    pub sequences: Option<String>,
    /// Starts from these images, given in the same ways.
    pub images: Option<String>,
    /// Starts from the images that saw the map features of this table: a path, or `-` for standard input. Images that
    /// the table does not name are requested.
    pub features: Option<String>,
    /// Only images captured on this day or later: a day or an RFC 3339 time, in UTC.
    pub from: Option<String>,
    /// Only images captured on this day or earlier. A day includes the whole day.
    pub to: Option<String>,
    /// Only panoramas.
    pub pano: bool,
    /// No panoramas.
    pub flat: bool,
    /// Only images with at least this quality score, 0 to 1.
    pub min_quality: Option<f64>,
    /// Only images facing this range of headings. JSON: two numbers, or the text `A..B`.
    pub heading: Option<Heading>,
    /// Only images of cameras of these makers; empty means all.
    pub make: Vec<String>,
    /// Only images of cameras of these models; empty means all.
    pub model: Vec<String>,
    /// Thins sequences out to one image per this distance in metres.
    pub every: Option<f64>,
    /// Ends after this many images.
    pub limit: Option<u64>,
    /// Only images inside the area. Without it, sequences that intersect the area are complete.
    pub clip: bool,
    /// The fields of the metadata. JSON: a list of names, or the text `a,b,c`.
    pub fields: Fields,
    /// The point of an image that becomes its geometry; its fields are requested too. `None` requests only `fields`.
    pub geometry: Option<GeometryChoice>,
    /// Images per metadata request.
    pub batch_size: usize,
    /// Coarsest tile level to request.
    pub min_zoom: u8,
    /// Tile level at which sequences are collected, 6 to 14.
    pub max_zoom: u8,
    /// Reads only level 10; see [`TileSource::lines_only`](crate::TileSource::lines_only).
    pub lines_only: bool,
    /// Reads levels 10 to 13 one by one; see [`TileSource::thorough`](crate::TileSource::thorough).
    pub thorough: bool,
    /// Prunes no tile; see [`TileSource::exhaustive`](crate::TileSource::exhaustive).
    pub exhaustive: bool,
}

/// Images per metadata request, if a query does not say.
const BATCH_SIZE: usize = 50;

impl Default for Query {
    fn default() -> Self {
        Self {
            bbox: None,
            area: None,
            around: None,
            radius: None,
            place: None,
            place_url: None,
            user: None,
            org_id: Vec::new(),
            exclude_owner: Vec::new(),
            sequences: None,
            images: None,
            features: None,
            from: None,
            to: None,
            pano: false,
            flat: false,
            min_quality: None,
            heading: None,
            make: Vec::new(),
            model: Vec::new(),
            every: None,
            limit: None,
            clip: false,
            fields: Fields::default(),
            geometry: None,
            batch_size: BATCH_SIZE,
            min_zoom: 1,
            max_zoom: MAX_ZOOM,
            lines_only: false,
            thorough: false,
            exhaustive: false,
        }
    }
}

impl Query {
    /// The query for all images in a box.
    ///
    /// ```
    /// use streetflow::Query;
    ///
    /// let nicosia = Query::within("33.33,35.15,33.39,35.19".parse()?);
    /// assert_eq!(nicosia.to_json(), serde_json::json!({ "bbox": [33.33, 35.15, 33.39, 35.19] }));
    /// # Ok::<(), streetflow::Error>(())
    /// ```
    pub fn within(bbox: Bbox) -> Self {
        Self { bbox: Some(bbox), ..Self::default() }
    }

    /// The query for all images in an area.
    pub fn inside(area: impl Into<Area>) -> Self {
        let area = area.into();
        match area.bbox().copied() {
            Some(bbox) => Self::within(bbox),
            None => Self { area: Some(area), ..Self::default() },
        }
    }

    /// The selected area. `None` for a user without an area, and for ids.
    pub fn selected_area(&self) -> crate::Result<Option<Area>> {
        if let Some(area) = &self.area {
            return Ok(Some(area.clone()));
        }
        if let (Some(centre), Some(metres)) = (self.around, self.radius) {
            return Area::around(centre, metres).map(Some);
        }
        Ok(self.bbox.map(Area::from))
    }

    /// Whether the query selects all images of a user, wherever they are.
    pub fn is_user_alone(&self) -> bool {
        let has_area =
            self.bbox.is_some() || self.area.is_some() || self.around.is_some() || self.place.is_some();
        self.user.is_some() && !has_area
    }

    /// Whether the sequences come from tiles, and not from ids or from the search by user.
    pub fn reads_tiles(&self) -> bool {
        self.sequences.is_none() && !self.starts_from_images() && !self.is_user_alone()
    }

    /// Whether the query starts from images, by their ids or from map features, so that it lists no sequences.
    pub fn starts_from_images(&self) -> bool {
        self.images.is_some() || self.features.is_some()
    }

    /// Whether tiles with images are read, and not lines alone.
    pub fn reads_tile_images(&self) -> bool {
        self.max_zoom == MAX_ZOOM && !self.lines_only
    }
}
