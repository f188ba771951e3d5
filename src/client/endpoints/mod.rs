//! The endpoints of the API.

mod cached;
pub(crate) mod detections;
pub(crate) mod empty_responses;
pub(crate) mod features;
mod fetch;
pub(crate) mod id_list;
pub(crate) mod image_ids;
pub(crate) mod metadata;
mod missing;
pub(crate) mod next_page;
mod pictures;
pub(crate) mod tiles;
pub(crate) mod tileset;
pub(crate) mod url;
pub(crate) mod user;
