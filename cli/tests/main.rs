//! End-to-end tests of the built command, in one binary to link once.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "tests panic to fail")]

mod commands {
    #[cfg(feature = "parquet")]
    mod convert;
    mod crawl;
    mod crawl_features;
    mod detections;
    mod download_guard;
    mod estimate;
    mod features;
    #[cfg(all(unix, feature = "parquet"))]
    mod guide;
    mod help;
    mod map;
    #[cfg(feature = "object-store")]
    mod map_buckets;
    mod map_live;
    #[cfg(target_os = "linux")]
    mod stdout;
    mod usage_errors;
}
mod faults {
    mod bad_values;
    mod durable;
    mod empty_lists;
    mod end_to_end_faults;
    #[cfg(target_os = "linux")]
    mod file_system;
    mod hostile_input;
    mod missing_guard;
    mod passwords;
    mod token;
    #[cfg(unix)]
    mod unreachable;
}
mod formats {
    #[cfg(feature = "parquet")]
    mod foreign_parquet;
    #[cfg(feature = "parquet")]
    mod needed_columns;
    mod rounded_ids;
    mod spreadsheets;
}
mod pictures {
    mod attribution;
    mod duplicates;
    mod exif_and_layout;
    mod picture_files;
    mod shards;
    #[cfg(target_os = "linux")]
    mod sizes;
    mod training_sets;
}
mod report {
    mod failure_log;
    mod progress;
}
mod resources {
    #[cfg(target_os = "linux")]
    mod sandbox_memory;
    #[cfg(target_os = "linux")]
    mod syscalls;
    #[cfg(target_os = "linux")]
    mod threads;
}
mod runs {
    #[cfg(feature = "object-store")]
    mod bucket_detections;
    #[cfg(feature = "object-store")]
    mod bucket_partitions;
    #[cfg(feature = "object-store")]
    mod bucket_uploads;
    #[cfg(feature = "object-store")]
    mod buckets;
    mod coarse_tiles;
    mod filters;
    #[cfg(feature = "object-store")]
    mod google_buckets;
    mod other_query;
    mod output_folder;
    mod partitions;
    mod place;
    mod query;
    mod resume;
    mod retry_failed;
    mod settings;
    #[cfg(unix)]
    mod signals;
    mod start_from_ids;
    mod steady_speed;
    mod tile_cache;
    mod tile_walk;
    mod update;
    mod update_detections;
}
mod support;
