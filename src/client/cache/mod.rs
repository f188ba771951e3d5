//! Responses on disk: the response store of an unfinished run, and the tile cache of all runs.

pub(crate) mod cached_metadata;
pub(crate) mod known_empty;
pub(crate) mod known_records;
mod known_values;
pub(crate) mod response_cache;
pub(crate) mod response_store;
pub(crate) mod stored_images;
pub(crate) mod tile_cache;
mod tile_file;
mod tile_names;
