//! The flags of `crawl`, resolved.

use super::args::CrawlArgs;
use crate::args::{FetchDetectionArgs, NameArgs};
use crate::commands::map::{PAGE_NAME, PagePlace, listed};
use crate::job::{self, CountEstimate, IdList, PicturePlan, SequenceSource, TableOutputs};
use streetflow::map::{MapOptions, MapSink};
use streetflow::query::Selection;
use streetflow::{Fields, Quality, Query, Result, Step};
use tokio::runtime::Handle;

/// The steps of a crawl with `--detections`.
const WITH_DETECTIONS: [Step; 5] =
    [Step::SEQUENCES, Step::IMAGES, Step::METADATA, Step::DETECTIONS, Step::DOWNLOAD];

/// The flags of a crawl, resolved. The flow reads nothing else.
pub(super) struct CrawlPlan<'a> {
    pub(super) source: CrawlSource<'a>,
    pub(super) query: Query,
    /// The columns of the table of metadata.
    pub(super) columns: Fields,
    /// The fields to request: the columns, and those that filters, formats and pictures need.
    pub(super) request_fields: Fields,
    pub(super) outputs: TableOutputs<'a>,
    pub(super) names: &'a NameArgs,
    /// How detections are fetched, if they are.
    pub(super) detections: Option<&'a FetchDetectionArgs>,
    /// `None` stops after the metadata.
    pub(super) pictures: Option<PicturePlan<'a>>,
    /// The map page to write.
    pub(super) map: Option<PlannedMap>,
}

/// The map page of a crawl.
pub(super) struct PlannedMap {
    pub(super) sink: MapSink,
    pub(super) options: MapOptions,
    pub(super) place: PagePlace,
}

/// Where a crawl starts.
pub(super) enum CrawlSource<'a> {
    Area {
        sequences: Box<SequenceSource>,
        /// Reads sequences ahead, to know the number of pictures early.
        prefetch: bool,
    },
    Ids(IdList<'a>),
}

impl<'a> CrawlPlan<'a> {
    /// Resolves the flags. Flags that contradict each other are usage errors.
    pub(super) fn resolve(args: &'a CrawlArgs) -> Result<(Self, Selection)> {
        let source = CrawlSource::resolve(args)?;
        let query = source.query(args)?;
        let detections = args.detections.then_some(&args.fetch_detections);
        detections.map_or(Ok(()), |detections| detections.check(&args.tables.formats()))?;
        let outputs = TableOutputs::new(&args.files, &args.tables, Some(&args.geometry))?;
        let columns = columns(args)?;
        let selection = query.selection()?;
        let mut request_fields = selection.request_fields(outputs.request_fields(&columns)?)?;
        if !args.no_download {
            request_fields =
                args.pictures.required_fields().into_iter().try_fold(request_fields, Fields::with)?;
        }
        let count = match source {
            CrawlSource::Area { .. } => count_estimate(&query),
            CrawlSource::Ids(_) => CountEstimate::Unknown,
        };
        let plan = Self {
            outputs: outputs.query(&source.query_text(args, &columns)),
            source,
            query,
            columns,
            request_fields,
            names: &args.files.names,
            detections,
            map: planned_map(args),
            pictures: (!args.no_download).then_some(PicturePlan {
                args: &args.pictures,
                files: &args.files,
                count,
                shards: None,
            }),
        };
        Ok((plan, selection))
    }

    /// The steps, in order. A crawl from ids starts at the step that reads them.
    pub(super) fn steps(&self) -> &'static [Step] {
        let first = match self.source {
            CrawlSource::Area { .. } => 0,
            CrawlSource::Ids(IdList::Sequences(_) | IdList::Features(_) | IdList::Part(_)) => 1,
            CrawlSource::Ids(IdList::Images(_)) => 2,
        };
        let steps: &[Step] = if self.detections.is_some() { &WITH_DETECTIONS } else { &Step::ALL };
        &steps[first..steps.len() - usize::from(self.pictures.is_none())]
    }
}

/// The columns of the table of metadata. They include the picture URL for a download now, or with `--quality` later.
fn columns(args: &CrawlArgs) -> Result<Fields> {
    let fields = args.fetch.fields.clone();
    let shown: &[&str] = if args.map { &["geometry", "creator", "is_pano"] } else { &[] };
    let fields = shown.iter().try_fold(fields, |fields, name| fields.with(name))?;
    let needs_url = !args.no_download || args.pictures.quality != Quality::default();
    if needs_url { fields.with(args.pictures.quality.field()) } else { Ok(fields) }
}

/// The map page. Its sink ends after the pictures, so the page shows them.
fn planned_map(args: &CrawlArgs) -> Option<PlannedMap> {
    if !args.map {
        return None;
    }
    let files = &args.files;
    let shown = files.shown();
    let title = shown.file_name().map(|name| name.to_string_lossy().into_owned());
    let options = MapOptions {
        title: title.unwrap_or_default(),
        geometry: args.geometry.geometry.unwrap_or_default(),
        ..MapOptions::default()
    };
    let place = match &files.remote {
        Some(remote) => PagePlace::in_bucket(&remote.bucket),
        None => PagePlace::File(files.output.join(PAGE_NAME)),
    };
    let sink = MapSink::create(place.target()).options(options.clone());
    let sink = match &files.remote {
        Some(remote) => {
            let (bucket, folder) = (remote.bucket.clone(), files.names.image_downloads_folder.clone());
            // A page without pictures is better than none.
            sink.find_pictures(move || {
                Handle::current().block_on(listed(&bucket, &folder)).unwrap_or_default()
            })
        }
        None => sink.pictures(files.pictures()),
    };
    Some(PlannedMap { sink, options, place })
}

impl<'a> CrawlSource<'a> {
    fn resolve(args: &'a CrawlArgs) -> Result<Self> {
        if let Some(part) = &args.part {
            return Ok(Self::Ids(IdList::Part(part)));
        }
        if let Some(text) = &args.sequences {
            return Ok(Self::Ids(IdList::Sequences(text)));
        }
        if let Some(text) = &args.images {
            return Ok(Self::Ids(IdList::Images(text)));
        }
        if let Some(table) = &args.feature_table {
            return Ok(Self::Ids(IdList::Features(table)));
        }
        let sequences = SequenceSource::resolve(&args.area, Some(&args.filters), &args.network)?;
        let prefetch = sequences.reads_tiles() && !args.no_download && args.filters.limit.is_none();
        Ok(Self::Area { sequences: Box::new(sequences), prefetch })
    }

    fn query(&self, args: &CrawlArgs) -> Result<Query> {
        let mut query = match self {
            Self::Area { sequences, .. } => sequences.query().clone(),
            Self::Ids(IdList::Part(_)) => {
                let mut query = Query::default();
                args.area.fill(&mut query, None);
                args.filters.fill(&mut query);
                query
            }
            Self::Ids(ids) => {
                let mut query = Query::default();
                query.exclude_owner.clone_from(&args.area.exclude_owner);
                args.filters.dates()?;
                args.filters.fill(&mut query);
                match ids {
                    IdList::Sequences(list) => query.sequences = Some((*list).to_owned()),
                    IdList::Images(list) => query.images = Some((*list).to_owned()),
                    IdList::Features(table) => {
                        query.features = table.input.as_ref().map(|path| path.display().to_string());
                    }
                    IdList::Part(_) => {}
                }
                query
            }
        };
        args.fill_query(&mut query)?;
        Ok(query)
    }

    fn query_text(&self, args: &CrawlArgs, columns: &Fields) -> String {
        let query = |area| job::query_text("crawl", &args.network, area, Some(&args.filters), Some(columns));
        match self {
            Self::Area { .. } => query(Some(&args.area)),
            Self::Ids(ids) => format!("{} {}", query(None), ids.to_cli_args()),
        }
    }
}

/// What the tiles tell about the number of pictures.
fn count_estimate(query: &Query) -> CountEstimate {
    let is_exact = !query.clip && !query.needs_metadata() && query.reads_tile_images();
    if query.reads_tiles() && is_exact {
        CountEstimate::Tiles { max: query.limit.unwrap_or(u64::MAX) }
    } else {
        CountEstimate::Unknown
    }
}
