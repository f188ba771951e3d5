//! The files that `map` reads and writes.

use std::path::{Path, PathBuf};

use futures::TryStreamExt;

use super::args::MapArgs;
use super::place::{PAGE_NAME, PagePlace};
use crate::args::{Bucket, FetchedTable, split_url};
use crate::job::{Input, table_path};
use streetflow::map::Pictures;
use streetflow::{Error, ErrorKind, Format, Result};

/// Name of the table in the folder of a crawl.
pub(crate) const TABLE: &str = "img_meta_dataset";

/// Names of the tables whose rows lie over the images.
const DETECTIONS: &str = "img_detections_dataset";
const FEATURES: &str = "map_features";

/// Name of the folder of pictures.
pub(super) const PICTURES: &str = "downloaded_images";

/// Most pictures of a bucket that are listed, a thousand a request.
const MAX_LISTED: usize = 2_000_000;

/// The files of a page.
pub(super) struct Found {
    pub(super) input: Input,
    pub(super) page: PagePlace,
    pub(super) pictures: FoundPictures,
    pub(super) title: String,
    /// The tables of detections and of map features beside that of images.
    pub(super) detections: Option<PathBuf>,
    pub(super) features: Option<PathBuf>,
    /// Copies of tables of a bucket, removed at the end.
    _fetched: Vec<FetchedTable>,
}

/// The pictures of the images.
pub(super) enum FoundPictures {
    Folder(PathBuf),
    /// Objects of a bucket.
    Objects {
        bucket: Bucket,
        pictures: Pictures,
    },
}

impl Found {
    /// Finds the table, and where the page and the pictures are.
    pub(super) async fn resolve(args: &MapArgs) -> Result<Self> {
        if let Some(pictures) = args.pictures.as_ref().filter(|pictures| !pictures.is_dir()) {
            return Err(Error::new(ErrorKind::Usage, "use `--pictures`")
                .with_subject(pictures.display().to_string())
                .with_source("there is no such folder"));
        }
        match args.table.to_str().filter(|text| Bucket::is_url(text)) {
            Some(url) => Self::in_bucket(url.trim_end_matches('/'), args).await,
            None => Self::local(args),
        }
    }

    fn local(args: &MapArgs) -> Result<Self> {
        let is_folder = args.table.is_dir();
        let is_pipe = args.table == Path::new("-");
        let input = if is_folder {
            Input::of_previous_step(&args.table, TABLE, args.input_format).map_err(|error| {
                error.with_hint("pass the table, such as `streetflow map outputs/img_meta_dataset.csv`")
            })?
        } else if is_pipe || args.table.exists() {
            Input::named(&args.table, args.input_format)?
        } else {
            return Err(Error::new(ErrorKind::Usage, "open the table")
                .with_subject(args.table.display().to_string())
                .with_source("there is no such file or folder")
                .with_hint("pass a table of images, or the folder of a crawl"));
        };
        let folder = match () {
            () if is_folder => args.table.clone(),
            () if is_pipe => PathBuf::new(),
            () => args.table.parent().map(Path::to_owned).unwrap_or_default(),
        };
        let title = match &input {
            Input::File(path, _) if !is_folder => {
                path.file_name().map(|name| name.to_string_lossy().into_owned())
            }
            Input::File(..) | Input::Shards(_) => std::fs::canonicalize(&folder)
                .ok()
                .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())),
            Input::Stdin(_) => None,
        };
        let beside = |table| (!is_pipe).then(|| beside(&folder, table)).flatten();
        let page = match &args.out {
            Some(out) => PagePlace::named(out, &args.storage)?,
            None => PagePlace::File(folder.join(PAGE_NAME)),
        };
        Ok(Self {
            input,
            page,
            detections: beside(DETECTIONS),
            features: beside(FEATURES),
            pictures: FoundPictures::Folder(args.pictures.clone().unwrap_or_else(|| folder.join(PICTURES))),
            title: title.unwrap_or_default(),
            _fetched: Vec::new(),
        })
    }

    /// The files of a table or a folder in a bucket. Tables are copied.
    async fn in_bucket(url: &str, args: &MapArgs) -> Result<Self> {
        let name = url.rsplit('/').next().unwrap_or_default();
        let has_extension = Path::new(name).extension().is_some();
        let is_table = if args.input_format.is_some() {
            has_extension
        } else {
            Format::from_path(Path::new(name)).is_ok()
        };
        let folder = if is_table { split_url(url)?.0 } else { url };
        let bucket = args.storage.open(folder)?;
        let objects = bucket.list_folder().await?;
        // The formats of one run have different times in a bucket, and the same rows.
        let newest = |table: &str, only: Option<Format>| {
            let is_allowed = |format: &&Format| only.is_none_or(|only| only == **format);
            let of_table = |format: &Format| {
                let name = table_path(Path::new(""), table, *format);
                objects.iter().find(|object| Path::new(&object.name) == name)
            };
            let found = Format::ALL
                .iter()
                .filter(is_allowed)
                .filter_map(of_table)
                .max_by_key(|object| object.modified);
            found.map(|object| format!("{folder}/{}", object.name))
        };
        let table = if is_table { Some(url.to_owned()) } else { newest(TABLE, args.input_format) };
        let table = table.ok_or_else(|| {
            Error::new(ErrorKind::Usage, "open the table")
                .with_subject(format!("{folder}/{TABLE}"))
                .with_source("the object does not exist, in any format")
                .with_hint("pass the URL of a table of images, or of the folder of a crawl")
        })?;
        let mut fetched = Vec::new();
        let mut fetch = async |url: Option<String>| -> Result<Option<PathBuf>> {
            let Some(url) = url else { return Ok(None) };
            let copy = args.storage.fetch(Path::new(&url), false).await?;
            let path = copy.as_ref().map(|copy| copy.path().to_owned());
            fetched.extend(copy);
            Ok(path)
        };
        let input = fetch(Some(table)).await?.unwrap_or_default();
        let detections = if args.no_ids { None } else { fetch(newest(DETECTIONS, None)).await? };
        let features = fetch(newest(FEATURES, None)).await?;
        let page = match &args.out {
            Some(out) => PagePlace::named(out, &args.storage)?,
            None => PagePlace::in_bucket(&bucket),
        };
        let pictures = match &args.pictures {
            Some(folder) => FoundPictures::Folder(folder.clone()),
            // A page elsewhere can't refer to them, and one without ids does not.
            None if args.no_ids || (args.out.is_some() && !args.serve) => {
                FoundPictures::Objects { pictures: Pictures::default(), bucket }
            }
            None => FoundPictures::Objects { pictures: listed(&bucket, PICTURES).await?, bucket },
        };
        Ok(Self {
            input: Input::named(&input, args.input_format)?,
            page,
            pictures,
            title: name.to_owned(),
            detections,
            features,
            _fetched: fetched,
        })
    }
}

/// The pictures in a folder of a bucket, beside the page.
pub(crate) async fn listed(bucket: &Bucket, folder: &str) -> Result<Pictures> {
    let mut names = Vec::new();
    let mut objects = std::pin::pin!(bucket.join(folder).list());
    while names.len() < MAX_LISTED
        && let Some(object) = objects.try_next().await?
    {
        names.push(object.name);
    }
    Ok(Pictures::named(folder, names))
}

/// The table of this name in a folder, in any format.
fn beside(folder: &Path, table: &str) -> Option<PathBuf> {
    let path = |format: &Format| table_path(folder, table, *format);
    Format::ALL.iter().map(path).find(|path| path.is_file())
}
