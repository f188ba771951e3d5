//! Which map features are found.

use clap::Args;

use super::values::{Time, first_time, last_time, parsed, positive_count};
use streetflow::model::ValuePatterns;
use streetflow::stages::Dates;
use streetflow::{FeatureKind, MapFeature, Result};

#[derive(Debug, Args)]
#[command(next_help_heading = "Features")]
pub(crate) struct FeatureArgs {
    /// Only this kind: sign or object
    ///
    /// Signs and objects are in different tiles, so one kind needs half of the requests.
    #[arg(long, value_name = "KIND", value_parser = parsed::<FeatureKind>)]
    pub(crate) kind: Option<FeatureKind>,
    /// Only these classes; * stands for any text
    ///
    /// Such as regulatory--stop--g1 or object--support--*. Separate several with commas.
    #[arg(long, value_name = "PATTERN,…", value_parser = parsed::<ValuePatterns>)]
    pub(crate) values: Option<ValuePatterns>,
    /// Only features last seen at this time or later
    ///
    /// A day such as 2023-01-01, or a time such as 2023-01-01T08:00:00Z, in UTC. Features without a time are dropped.
    #[arg(long, value_name = "DATE", value_parser = first_time)]
    pub(crate) seen_from: Option<Time>,
    /// Only features first seen at this time or earlier
    #[arg(long, value_name = "DATE", value_parser = last_time)]
    pub(crate) seen_to: Option<Time>,
    /// Only features that N images saw; implies --details
    ///
    /// The number of images is the only measure of quality: the labels have no score.
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub(crate) min_images: Option<u64>,
    /// Also fetch exact coordinates, directions and images
    ///
    /// Adds the columns object_type, aligned_direction, n_images and image_ids. Needs a request for each 50 features.
    #[arg(long)]
    pub(crate) details: bool,
}

/// A filter of map features: its name in counts, and its test.
pub(crate) type FeatureFilter = (&'static str, Box<dyn Fn(&MapFeature) -> bool + Send>);

impl FeatureArgs {
    /// Whether the details of features are requested.
    pub(crate) fn needs_details(&self) -> bool {
        self.details || self.min_images.is_some()
    }

    /// The filters on values of tiles.
    pub(crate) fn tile_filters(&self) -> Result<Vec<FeatureFilter>> {
        let mut filters: Vec<FeatureFilter> = Vec::new();
        if let Some(patterns) = self.values.clone() {
            let test = move |feature: &MapFeature| {
                feature.value.as_deref().is_some_and(|value| patterns.matches(value))
            };
            filters.push(("values", Box::new(test)));
        }
        let (from, to) =
            (self.seen_from.as_ref().map(|at| at.millis), self.seen_to.as_ref().map(|at| at.millis));
        Dates::new(from, to)
            .map_err(|error| error.with_hint("`--seen-from` must not be after `--seen-to`"))?;
        if from.is_some() || to.is_some() {
            let test = move |feature: &MapFeature| {
                let since = from.is_none_or(|from| feature.last_seen_at.is_some_and(|at| at >= from));
                since && to.is_none_or(|to| feature.first_seen_at.is_some_and(|at| at <= to))
            };
            filters.push(("seen", Box::new(test)));
        }
        Ok(filters)
    }

    /// The filters on details.
    pub(crate) fn detail_filters(&self) -> Vec<FeatureFilter> {
        let min_images = self.min_images.map(|min| {
            let has_enough = move |feature: &MapFeature| {
                feature.n_images.and_then(|count| u64::try_from(count).ok()).is_some_and(|count| count >= min)
            };
            ("min_images", Box::new(has_enough) as Box<dyn Fn(&MapFeature) -> bool + Send>)
        });
        min_images.into_iter().collect()
    }

    /// The flags as command line arguments.
    pub(crate) fn to_cli_args(&self) -> Vec<String> {
        let mut args = Vec::new();
        args.extend(self.kind.map(|kind| format!("--kind {kind}")));
        args.extend(self.values.iter().map(|values| format!("--values '{values}'")));
        args.extend(self.seen_from.iter().map(|time| format!("--seen-from {}", time.text)));
        args.extend(self.seen_to.iter().map(|time| format!("--seen-to {}", time.text)));
        args.extend(self.min_images.map(|min| format!("--min-images {min}")));
        args
    }
}
