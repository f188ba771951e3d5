//! Integration tests of the library, in one binary to link once.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "tests panic to fail")]

mod client {
    mod client_requests;
    mod matched_by_id;
    mod shared_rates;
    mod slow_pictures;
    mod users;
}
mod faults {
    mod api_errors;
}
mod flow {
    #[cfg(feature = "arrow")]
    mod batches;
    mod composition;
    mod crawl;
    mod detections;
    mod map_features;
    mod sinks;
    mod sources;
    mod stages;
    mod tile_walk;
}
mod formats {
    mod blocks;
    #[cfg(feature = "parquet")]
    mod columns;
    #[cfg(feature = "parquet")]
    mod geoparquet;
    #[cfg(feature = "parquet")]
    mod odd_shapes;
    mod round_trip;
}
mod training {
    mod overlays;
    mod sets;
    mod world;
}
mod examples;
mod layers;
mod recorded_api;
mod support;
