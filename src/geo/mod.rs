//! Points, boxes, areas and tiles.
//!
//! Degrees are WGS84, longitude before latitude. Tiles are Web Mercator tiles: `y` grows southwards, `z` is from 0 to
//! [`MAX_ZOOM`].

mod area;
mod bbox;
mod cells;
pub(crate) mod crs;
mod lonlat;
mod tile;
#[cfg(feature = "arrow")]
pub(crate) mod wkb;

pub use self::area::Area;
pub(crate) use self::area::clip::Clip;
pub use self::bbox::Bbox;
pub(crate) use self::cells::Cells;
pub(crate) use self::lonlat::EARTH_RADIUS;
pub use self::lonlat::{LonLat, MAX_LATITUDE};
pub use self::tile::{MAX_ZOOM, TileId};
