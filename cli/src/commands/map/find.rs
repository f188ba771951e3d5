//! The files that `map` reads and writes.

use std::path::{Path, PathBuf};

use super::args::MapArgs;
use crate::job::Input;
use crate::terminal::format::path_text;
use streetflow::map::is_page;
use streetflow::{Error, ErrorKind, Result};

/// Name of the page.
pub(crate) const PAGE_NAME: &str = "map.html";

/// Name of the table in the folder of a crawl.
pub(crate) const TABLE: &str = "img_meta_dataset";

/// Name of the folder of pictures.
const PICTURES: &str = "downloaded_images";

/// The files of a page.
pub(super) struct Found {
    pub(super) input: Input,
    pub(super) page: PathBuf,
    pub(super) pictures: PathBuf,
    pub(super) title: String,
    /// The folder of the table, where further tables may be; `None` for standard input.
    pub(super) folder: Option<PathBuf>,
}

impl Found {
    /// Finds the table, and where the page and the pictures are.
    pub(super) fn resolve(args: &MapArgs) -> Result<Self> {
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
        if let Some(pictures) = args.pictures.as_ref().filter(|pictures| !pictures.is_dir()) {
            return Err(Error::new(ErrorKind::Usage, "use `--pictures`")
                .with_subject(pictures.display().to_string())
                .with_source("there is no such folder"));
        }
        let title = match &input {
            Input::File(path, _) if !is_folder => {
                path.file_name().map(|name| name.to_string_lossy().into_owned())
            }
            Input::File(..) | Input::Shards(_) => std::fs::canonicalize(&folder)
                .ok()
                .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())),
            Input::Stdin(_) => None,
        };
        Ok(Self {
            input,
            page: args.out.clone().unwrap_or_else(|| folder.join(PAGE_NAME)),
            pictures: args.pictures.clone().unwrap_or_else(|| folder.join(PICTURES)),
            title: title.unwrap_or_default(),
            folder: (!is_pipe).then_some(folder),
        })
    }
}

/// Rejects a page that would replace a file that `map` did not write.
pub(crate) fn check_output(page: &Path) -> Result<()> {
    let problem = |why: &str, hint: &'static str| {
        Err(Error::new(ErrorKind::Usage, "write the page")
            .with_subject(path_text(page))
            .with_source(why.to_owned())
            .with_hint(hint))
    };
    match std::fs::metadata(page) {
        Err(_) => Ok(()), // If it can't be created, writing it fails with the reason.
        Ok(found) if !found.is_file() => problem("it is not a file", "choose a file with `--out`"),
        Ok(_) if is_page(page).unwrap_or(false) => Ok(()),
        Ok(_) => problem(
            "the file exists and is not a page of `streetflow map`",
            "choose another file with `--out`, or remove it",
        ),
    }
}
