//! The arguments of `crawl`.

use std::path::PathBuf;

use clap::Args;

use crate::args::{
    AreaArgs, FetchArgs, FetchDetectionArgs, FilterArgs, GeometryArgs, InputArgs, NetworkArgs, ONE_RUN,
    OutputArgs, Partition, PictureArgs, QUERY_FLAGS, TableArgs, partition, read_query,
};
use crate::job::{PLAN_NAME, PlanDirectory, PlanPart};
use crate::runtime::block_on_current;
use streetflow::{Error, ErrorKind, Query, Result};

/// A partition ends with an error if this many images, or sequences, come first and are all gone: the token has no access.
const MAX_GONE_AT_START: usize = 200;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct CrawlArgs {
    #[command(flatten)]
    pub(crate) area: AreaArgs,
    /// Only images inside the area
    ///
    /// Without it, sequences that intersect the area are complete.
    #[arg(long, help_heading = "Area")]
    pub(crate) clip: bool,
    /// Start from these sequences instead of an area
    ///
    /// A file with one id per line, a table, ids separated by commas, or - for standard input.
    #[arg(long, value_name = "FILE|ID,…", help_heading = "Area", group = ONE_RUN, allow_hyphen_values = true, conflicts_with_all = ["location", "org_id", "user", "images", "features", "clip", "exhaustive", "thorough", "lines_only"])]
    pub(crate) sequences: Option<String>,
    /// Start from these images, given in the same ways
    #[arg(long, value_name = "FILE|ID,…", help_heading = "Area", group = ONE_RUN, hide_short_help = true, conflicts_with_all = ["location", "org_id", "user", "features", "clip", "exhaustive", "thorough", "lines_only"])]
    pub(crate) images: Option<String>,
    /// Start from the images that saw the map features of this table
    ///
    /// May be in a bucket; - is standard input. Without the column image_ids, which `features --details` writes, the
    /// images are requested.
    #[arg(long, value_name = "FILE", help_heading = "Area", group = ONE_RUN, hide_short_help = true, conflicts_with_all = ["location", "org_id", "user", "clip", "exhaustive", "thorough", "lines_only"])]
    pub(crate) features: Option<PathBuf>,
    /// The table of `features`, copied if it is in a bucket.
    #[arg(skip)]
    pub(crate) feature_table: Option<InputArgs>,
    /// Estimate the crawl instead of running it
    ///
    /// Reads only the tiles of the area, which the crawl then finds in the cache. Counts sequences, images and
    /// requests; time and disk space are guesses and marked as such.
    #[arg(long, help_heading = "Area", group = ONE_RUN, conflicts_with_all = ["sequences", "images"])]
    pub(crate) estimate: bool,
    /// Take the query from a file: a report.json, a plan.json, or a query
    ///
    /// The query contains the area or ids, the owners, the filters, the limit and the fields, and replaces their flags.
    #[arg(long, value_name = "FILE", help_heading = "Area", group = ONE_RUN, hide_short_help = true, conflicts_with_all = QUERY_FLAGS)]
    query: Option<PathBuf>,
    /// Crawl a partition of a plan: the directory that `streetflow plan` wrote
    ///
    /// Writes to DIR/part-<I>-of-<N>/. DIR may be in a bucket: s3://…, gs://… or az://…. Flags of the plan need not be
    /// repeated. A partition that is done is not run again.
    #[arg(long, value_name = "DIR", help_heading = "Files", group = ONE_RUN, hide_short_help = true, requires = "partition", conflicts_with_all = QUERY_FLAGS, conflicts_with_all = ["query", "estimate", "update", "output"])]
    pub(crate) plan: Option<PathBuf>,
    /// The partition: I of N, from 0
    #[arg(long, value_name = "I/N", help_heading = "Files", group = ONE_RUN, hide_short_help = true, requires = "plan", value_parser = partition)]
    partition: Option<Partition>,
    #[arg(skip)]
    pub(crate) part: Option<PlanPart>,
    /// Update the tables of an earlier crawl
    ///
    /// Lists sequences and images anew, but fetches metadata only of images, and fields, that the table lacks. Writes
    /// what is new and what is gone to changes.csv. The query must be that of the earlier crawl.
    #[arg(long, help_heading = "Area", group = ONE_RUN, conflicts_with_all = ["estimate", "limit"])]
    pub(crate) update: bool,
    #[command(flatten)]
    pub(crate) filters: FilterArgs,
    #[command(flatten)]
    pub(crate) fetch: FetchArgs,
    #[command(flatten)]
    pub(crate) pictures: PictureArgs,
    /// Also fetch the detections of the images
    #[arg(long, help_heading = "Detections")]
    pub(crate) detections: bool,
    #[command(flatten)]
    pub(crate) fetch_detections: FetchDetectionArgs,
    /// Stop after the metadata: no pictures
    #[arg(long, help_heading = "Pictures")]
    pub(crate) no_download: bool,
    /// Also write map.html, a map page
    ///
    /// The fields that the page shows are added: geometry, creator and is_pano.
    #[arg(long, help_heading = "Tables")]
    pub(crate) map: bool,
    /// Show that map while the crawl runs
    ///
    /// Prints an address that only this computer can open. The page grows as images arrive, and stays after the crawl
    /// until Ctrl-C.
    #[arg(long, help_heading = "Tables", group = ONE_RUN, requires = "map", conflicts_with = "estimate")]
    pub(crate) serve: bool,
    /// Open the page in the browser
    #[arg(long, help_heading = "Tables", group = ONE_RUN, requires = "serve", hide_short_help = true)]
    pub(crate) open: bool,
    /// Port of --serve [default: any free port]
    #[arg(long, value_name = "N", help_heading = "Tables", group = ONE_RUN, requires = "serve", hide_short_help = true)]
    pub(crate) port: Option<u16>,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    #[command(flatten)]
    pub(crate) geometry: GeometryArgs,
    #[command(flatten)]
    pub(crate) files: OutputArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

impl CrawlArgs {
    /// The first flag that has no meaning for a plan.
    pub(crate) fn flag_that_excludes_a_plan(&self) -> Option<&'static str> {
        let flags = [
            ("--sequences", self.sequences.is_some()),
            ("--images", self.images.is_some()),
            ("--features", self.features.is_some()),
            ("--estimate", self.estimate),
            ("--update", self.update),
            ("--plan", self.plan.is_some()),
        ];
        flags.into_iter().find_map(|(flag, is_given)| is_given.then_some(flag))
    }

    /// Copies the table of map features from its bucket, if it is in one.
    pub(crate) async fn fetch_features(&mut self) -> Result<()> {
        let Some(features) = &self.features else { return Ok(()) };
        let mut table = InputArgs::table(features.clone(), None);
        table.fetch(&self.files.storage).await?;
        self.feature_table = Some(table);
        Ok(())
    }

    /// Sets the fields of a query besides its start, its owners and its filters.
    pub(crate) fn fill_query(&self, query: &mut Query) -> Result<()> {
        self.fetch.fill(query);
        query.geometry = self.geometry.geometry;
        query.clip = self.clip;
        if query.clip && query.selected_area()?.is_none() {
            return Err(Error::new(ErrorKind::Usage, "use the flag")
                .with_subject("--clip")
                .with_source("it applies only to an area, and none was given")
                .with_hint("add an area with `--bbox`, `--area` or `--around`"));
        }
        Ok(())
    }

    /// Takes the query of `--query`, if it is given, into the flags.
    pub(crate) fn load_query(&mut self) -> Result<()> {
        let (query, path) = match (&self.query, &self.plan, self.partition) {
            (_, Some(directory), Some(partition)) => {
                let files = PlanDirectory::open(directory, &self.files.storage)?;
                let (plan, part) = block_on_current(async {
                    let plan = files.read_plan().await?;
                    let part = files.part(&plan, partition).await?;
                    Ok((plan, part))
                })?;
                self.part = Some(part);
                self.files.output = partition.directory(directory);
                // Whether nearly all is gone is decided over all partitions, by `merge`.
                self.network.trust_gone_after = Some(MAX_GONE_AT_START);
                (plan.query, directory.join(PLAN_NAME))
            }
            (Some(path), ..) => (read_query(path)?, path.clone()),
            _ => return Ok(()),
        };
        self.area.apply(&query, &path);
        self.filters.apply(&query)?;
        self.fetch.apply(&query);
        self.clip = query.clip;
        self.sequences.clone_from(&query.sequences);
        self.images.clone_from(&query.images);
        self.features = query.features.as_ref().map(PathBuf::from);
        let has_geometry = self.tables.format.iter().any(|format| format.has_geometry());
        self.geometry.geometry = self.geometry.geometry.or(query.geometry.filter(|_| has_geometry));
        Ok(())
    }
}
