//! Which images are included.

use std::fmt::Display;

use clap::Args;

use super::values::{Time, first_time, last_time, metres, non_empty, parsed, positive_count, quality_score};
use streetflow::Result;
use streetflow::stages::{Dates, Heading};

#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct FilterArgs {
    /// Only images captured on this day or later, in UTC
    ///
    /// A day such as 2024-06-01, or a time such as 2024-06-01T08:00:00Z.
    #[arg(long, value_name = "DATE", value_parser = first_time)]
    pub(crate) from: Option<Time>,
    /// Only images captured on this day or earlier
    ///
    /// Inclusive: a day includes the whole day.
    #[arg(long, value_name = "DATE", value_parser = last_time)]
    pub(crate) to: Option<Time>,
    /// Only panoramas
    #[arg(long, conflicts_with = "flat")]
    pub(crate) pano: bool,
    /// No panoramas
    #[arg(long)]
    pub(crate) flat: bool,
    /// Only images with at least this quality_score, 0 to 1
    #[arg(long, value_name = "Q", value_parser = quality_score, allow_hyphen_values = true, hide_short_help = true)]
    pub(crate) min_quality: Option<f64>,
    /// Only images facing this range of headings, in degrees clockwise from north
    ///
    /// By compass_angle. 315..45 is north.
    #[arg(long, value_name = "A..B", value_parser = parsed::<Heading>, allow_hyphen_values = true, hide_short_help = true)]
    pub(crate) heading: Option<Heading>,
    /// Only images of cameras of this maker
    ///
    /// Ignores case. Repeat the flag for several makers.
    #[arg(long, value_name = "NAME", value_parser = non_empty, hide_short_help = true)]
    pub(crate) make: Vec<String>,
    /// Only images of cameras of this model
    ///
    /// Ignores case. Repeat the flag for several models.
    #[arg(long, value_name = "NAME", value_parser = non_empty, hide_short_help = true)]
    pub(crate) model: Vec<String>,
    /// Thin sequences out to one image per this distance
    ///
    /// An image passes if it is this far from the last image of its sequence that passed.
    #[arg(long, value_name = "METRES", value_parser = metres, allow_hyphen_values = true)]
    pub(crate) every: Option<f64>,
    /// Stop after N images
    ///
    /// Tables of earlier steps may contain more, because those steps prefetch.
    #[arg(long, value_name = "N", value_parser = positive_count, allow_hyphen_values = true)]
    pub(crate) limit: Option<u64>,
}

impl FilterArgs {
    /// The capture period, if there is one. A start after the end is a usage error.
    pub(crate) fn dates(&self) -> Result<Option<Dates>> {
        let (from, to) =
            (self.from.as_ref().map(|time| time.millis), self.to.as_ref().map(|time| time.millis));
        let dates = (from.is_some() || to.is_some()).then(|| Dates::new(from, to)).transpose();
        dates.map_err(|error| error.with_hint("`--from` must not be after `--to`"))
    }

    /// Whether only panoramas are included (true), or only other images (false). `None` includes both.
    pub(crate) fn is_pano(&self) -> Option<bool> {
        (self.pano || self.flat).then_some(self.pano)
    }

    /// The flags as command line arguments.
    pub(crate) fn to_cli_args(&self) -> Vec<String> {
        fn arg(flag: &str, value: impl Display) -> String {
            format!("--{flag} {value}")
        }
        let mut args = Vec::new();
        args.extend(self.from.iter().map(|time| arg("from", &time.text)));
        args.extend(self.to.iter().map(|time| arg("to", &time.text)));
        args.extend(self.is_pano().map(|pano| if pano { "--pano" } else { "--flat" }.to_owned()));
        args.extend(self.min_quality.map(|score| arg("min-quality", score)));
        args.extend(self.heading.map(|heading| arg("heading", heading)));
        args.extend(self.make.iter().map(|name| arg("make", format_args!("'{name}'"))));
        args.extend(self.model.iter().map(|name| arg("model", format_args!("'{name}'"))));
        args.extend(self.every.map(|metres| arg("every", metres)));
        args.extend(self.limit.map(|limit| arg("limit", limit)));
        args
    }
}
