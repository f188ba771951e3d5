//! `classes`: counts the classes in a table of detections or of map features.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::args::{DisplayArgs, InputArgs, StorageArgs, parsed};
use crate::exit_code::Exit;
use crate::job::{Input, table_path};
use crate::terminal::format::{grouped, plural};
use crate::terminal::stdout::ignore_closed_pipe;
use streetflow::sources::HeaderOnly;
use streetflow::{
    Detection, DetectionKind, Error, ErrorKind, FeatureKind, Format, ImageId, MapFeature, Record, Result,
    Source, TableSource,
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow classes
  streetflow classes outputs/map_features.parquet
  streetflow classes s3://bucket/town/img_detections_dataset.parquet
  streetflow classes | head -20";

/// The tables that are looked for, without a name.
const TABLES: [&str; 2] = ["img_detections_dataset", "map_features"];

/// How many rows that can't be read are printed.
const MAX_MESSAGES: u64 = 20;

/// Most classes that are counted; known lists have less than 2,000.
const MAX_CLASSES: usize = 1_000_000;

#[derive(Debug, Args)]
pub(crate) struct ClassesArgs {
    /// Table of detections or map features, or its directory [default: outputs]; `-` is standard input
    ///
    /// May be in a bucket: s3://…, gs://… or az://….
    #[arg(value_name = "TABLE")]
    table: Option<PathBuf>,
    /// Format of the table, if its file name does not tell
    #[arg(long, value_name = "FORMAT", value_parser = parsed::<Format>)]
    input_format: Option<Format>,
    #[command(flatten)]
    storage: StorageArgs,
}

/// Counts the classes and prints them as CSV: the most frequent one first.
pub(crate) async fn run(args: &ClassesArgs, display: &DisplayArgs) -> Exit {
    let printer = display.printer();
    let mut unread = 0;
    let counted = count(args, |error| {
        unread += 1;
        if unread <= MAX_MESSAGES {
            printer.warn(&error.chain());
        }
    });
    let outcome = match counted.await {
        Ok(text) => {
            let mut out = io::stdout().lock();
            ignore_closed_pipe(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
        }
        Err(error) => Err(error),
    };
    let exit = match outcome {
        Ok(()) if unread > 0 => {
            let rows = plural(unread, "row was", "rows were");
            printer.warn(&format!(
                "{} {rows} not read and {} not counted",
                grouped(unread),
                plural(unread, "is", "are")
            ));
            Exit::SomeFailed
        }
        Ok(()) => Exit::Done,
        Err(error) => {
            printer.error(&error);
            if error.kind() == ErrorKind::Malformed { Exit::Usage } else { Exit::from(&error) }
        }
    };
    printer.end(exit as u8, None, None);
    exit
}

/// Counts the classes, as CSV. Calls `skip` for each row that can't be read.
async fn count(args: &ClassesArgs, skip: impl FnMut(Error)) -> Result<String> {
    let name = match &args.table {
        Some(folder) if folder.is_dir() => table_in(folder)?,
        Some(table) => table.clone(),
        None => table_in("outputs".as_ref())?,
    };
    let mut table = InputArgs::table(name, args.input_format);
    table.fetch(&args.storage).await?;
    let input = Input::find(&table, "".as_ref(), "")?;
    let table = input.open::<HeaderOnly>(&CancellationToken::new()).await?;
    if table.header().iter().any(|column| column == "feature_id") {
        // A table of another program may have no kinds. The class tells signs from objects.
        let kind = |feature: &MapFeature| {
            let by_class = |value: &str| match DetectionKind::of(value) {
                DetectionKind::Sign => FeatureKind::Sign,
                DetectionKind::Segment => FeatureKind::Object,
            };
            let kind = feature.kind.or_else(|| feature.value.as_deref().map(by_class));
            kind.map_or("", FeatureKind::name)
        };
        let mut counts = Counts::default();
        let table = table.retype::<MapFeature>()?.only(&["value", "kind"]);
        let read = |feature: MapFeature| (feature.value.clone(), kind(&feature), None);
        counts.read(table, read, skip).await?;
        return Ok(counts.csv(false));
    }
    let mut counts = Counts::default();
    let table = table.retype::<Detection>()?.only(&["value", "kind"]);
    let kind = |detection: &Detection| {
        let kind = detection.kind.or_else(|| detection.value.as_deref().map(DetectionKind::of));
        kind.map_or("", DetectionKind::name)
    };
    let read = |detection: Detection| (detection.value.clone(), kind(&detection), Some(detection.img_id));
    counts.read(table, read, skip).await?;
    Ok(counts.csv(true))
}

/// The first table of an output directory.
fn table_in(output: &Path) -> Result<PathBuf> {
    let paths = TABLES
        .iter()
        .flat_map(|name| Format::ALL.iter().map(move |format| table_path(output, name, *format)));
    paths.into_iter().find(|path| path.exists()).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "find a table of detections or map features")
            .with_subject(output.display().to_string())
            .with_source("the directory has none")
            .with_hint("run `streetflow detections` or `streetflow features` first, or name a table")
    })
}

/// The counts of a class.
#[derive(Default)]
struct Class {
    kind: &'static str,
    count: u64,
    images: u64,
    /// The image of the last row. The rows of an image follow each other.
    last: Option<ImageId>,
}

#[derive(Default)]
struct Counts(HashMap<String, Class>);

impl Counts {
    async fn read<T: Record>(
        &mut self,
        table: TableSource<T>,
        class_of: impl Fn(T) -> (Option<String>, &'static str, Option<ImageId>),
        mut skip: impl FnMut(Error),
    ) -> Result<()> {
        let mut rows = table.stream();
        while let Some(row) = rows.next().await {
            let row = match row {
                Err(error) if !error.is_fatal() => {
                    skip(error);
                    continue;
                }
                row => row?,
            };
            let (value, kind, image) = class_of(row);
            let value = value.unwrap_or_default();
            if self.0.len() == MAX_CLASSES && !self.0.contains_key(&value) {
                return Err(Error::new(ErrorKind::Malformed, "count the classes")
                    .with_source("the table has more than a million classes"));
            }
            let class = self.0.entry(value).or_default();
            (class.kind, class.count) = (kind, class.count + 1);
            if image.is_some() && class.last != image {
                (class.images, class.last) = (class.images + 1, image);
            }
        }
        Ok(())
    }

    fn csv(self, has_images: bool) -> String {
        let mut classes: Vec<_> = self.0.into_iter().collect();
        classes.sort_by(|(a, of_a), (b, of_b)| of_b.count.cmp(&of_a.count).then_with(|| a.cmp(b)));
        let mut text = if has_images { "value,kind,count,images\n" } else { "value,kind,count\n" }.to_owned();
        for (value, class) in classes {
            let value = if value.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", value.replace('"', "\"\""))
            } else {
                value
            };
            let count = if has_images {
                format!("{},{}", class.count, class.images)
            } else {
                class.count.to_string()
            };
            text.extend([value.as_str(), ",", class.kind, ",", &count, "\n"]);
        }
        text
    }
}
