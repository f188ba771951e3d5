//! The endpoints of the API.

pub(crate) mod empty_responses;
pub(crate) mod id_list;
pub(crate) mod image_ids;
pub(crate) mod metadata;
pub(crate) mod next_page;
pub(crate) mod tiles;
pub(crate) mod user;
