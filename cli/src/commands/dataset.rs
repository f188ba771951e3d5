//! `dataset`: builds a training set.

use std::path::PathBuf;

use clap::Args;

use super::offline;
use crate::args::{ClassNumber, DetectionArgs, DisplayArgs, FetchedTable, class_rules, parsed};
use crate::exit_code::Exit;
use crate::job::{RunContext, table_path};
use crate::terminal::format::{grouped, path_text, plural};
use crate::terminal::printer::Printer;
use streetflow::training::{self, ClassRules, Split, Target, Task, TrainingSet};
use streetflow::{Error, ErrorKind, Format, Report, Result, Step};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow dataset --to coco --task segment
  streetflow dataset --to yolo --classes 'vehicle=object--vehicle--*' --split 80,20
  streetflow dataset --to masks --classes classes.csv masks_of_plants";

#[derive(Debug, Args)]
pub(crate) struct DatasetArgs {
    /// Directory of the training set [default: dataset_<format> in the output directory]
    #[arg(value_name = "DIR")]
    target: Option<PathBuf>,
    /// Format: coco, yolo, masks, webdataset or hf
    ///
    /// coco is one JSON file per split, yolo a text file per picture, masks a PNG per picture, webdataset tar shards, hf
    /// a Hugging Face image folder.
    #[arg(long, value_name = "FORMAT", value_parser = parsed::<Target>)]
    to: Target,
    /// What a model learns: detect (boxes) or segment (outlines, masks)
    #[arg(long, value_name = "TASK", default_value_t = Task::Detect, value_parser = parsed::<Task>)]
    task: Task,
    /// Classes: PATTERN,… or NAME=PATTERN,… or a file [default: all]
    ///
    /// `*` stands for any text. NAME merges all classes that match. A file has one of these per line, or is a CSV table
    /// with the columns value, class and id, such as the classes.csv of another training set. It may be in a bucket.
    #[arg(long, value_name = "FILE|PATTERN,…")]
    classes: Option<String>,
    /// Numbers of classes in masks: CLASS=NUMBER, separated by `;`
    ///
    /// The setting of the Python toolset. It applies to `--to masks` without `--classes`.
    #[arg(long, value_name = "CLASS=NUMBER", value_delimiter = ';', value_parser = parsed::<ClassNumber>, hide_short_help = true)]
    detection_masks: Vec<ClassNumber>,
    /// Leave out detections below this fraction of the picture
    #[arg(long, value_name = "FRACTION", default_value = "0", value_parser = crate::args::fraction)]
    min_area: f64,
    /// Shares of train, val and test, by sequence [default: all in train]
    ///
    /// All images of a sequence are in the same split, because neighbours show the same scene.
    #[arg(long, value_name = "A,B,C", value_parser = parsed::<Split>)]
    split: Option<Split>,
    /// Another seed gives another split
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Include pictures that have detections of other classes only
    #[arg(long)]
    background: bool,
    /// Copy pictures instead of linking them
    ///
    /// By default pictures are hard links, which need no space, if the file system has them. A program that changes a
    /// picture in place then changes both.
    #[arg(long)]
    copy: bool,
    /// Samples per shard of webdataset
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u64).range(1..), hide_short_help = true)]
    shard_size: u64,
    /// Table with the sequences of the images [default: img_meta_dataset or img_dataset]
    ///
    /// May be in a bucket: s3://…, gs://… or az://….
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    images: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) detections: DetectionArgs,
    /// The copies of files in a bucket.
    #[arg(skip)]
    fetched: Vec<FetchedTable>,
}

impl DatasetArgs {
    /// Copies the tables and the file of classes from their buckets, if they are in one.
    pub(crate) async fn fetch(&mut self) -> Result<()> {
        self.detections.fetch().await?;
        if let Some(copy) =
            self.detections.fetch_file(self.images.as_ref().and_then(|path| path.to_str())).await?
        {
            self.images = Some(copy.path().to_owned());
            self.fetched.push(copy);
        }
        if let Some(copy) = self.detections.fetch_file(self.classes.as_deref()).await? {
            self.classes = Some(copy.path().display().to_string());
            self.fetched.push(copy);
        }
        Ok(())
    }
}

pub(crate) async fn run(args: &DatasetArgs, display: &DisplayArgs) -> Exit {
    offline::run(&args.detections, Step::DATASET, display, async |run| build(run, args).await).await
}

async fn build(run: &RunContext, args: &DatasetArgs) -> Result<Report> {
    let mut set = TrainingSet::new(args.to)
        .task(args.task)
        .classes(classes(args)?)
        .min_area(args.min_area)
        .shard_size(args.shard_size)
        .observer(run.observer());
    if args.background {
        set = set.background();
    }
    if args.copy {
        set = set.copy();
    }
    match (image_table(args), &args.split) {
        (Some(images), split) => {
            set = set.images(&images)?.split(split.clone().unwrap_or_default().seed(args.seed));
        }
        (None, Some(_)) => {
            return Err(Error::new(ErrorKind::Usage, "split the pictures")
                .with_source(format!(
                    "there is no table with sequences in {}",
                    path_text(&args.detections.output)
                ))
                .with_hint("name one with `--images`: img_dataset or img_meta_dataset"));
        }
        (None, None) => {}
    }
    let table = offline::table(&args.detections)?;
    let pictures = offline::pictures(&args.detections)?;
    let target = args.target.clone();
    let target = target.unwrap_or_else(|| args.detections.output.join(format!("dataset_{}", args.to)));
    let report = set.write(&table, &pictures, &target).await?;
    print_content(&run.monitor.printer, &report);
    let counts = &report.counts;
    let found = counts.pictures + counts.without_annotation + report.failures.count;
    offline::warn_without_pictures(run, &args.detections, found, counts.without_picture);
    let mut written = offline::written(target, report.counts.pictures, 0);
    written.failed = report.failures.count;
    Ok(written)
}

/// The classes of the flags, or for masks those of the setting.
fn classes(args: &DatasetArgs) -> Result<ClassRules> {
    match &args.classes {
        Some(text) => class_rules(text),
        None if args.to == Target::Masks => {
            args.detection_masks.iter().try_fold(ClassRules::default(), |rules, class| {
                rules.rule(&class.class, Some(&class.class), Some(class.number))
            })
        }
        None => Ok(ClassRules::default()),
    }
}

/// The table with the sequences of the images: the named one, else that of metadata, else that of images.
fn image_table(args: &DatasetArgs) -> Option<PathBuf> {
    let names = &args.detections.names;
    let tables = [&names.img_meta_out_file, &names.img_out_file].into_iter();
    let paths = tables.flat_map(|table| {
        Format::ALL.iter().map(move |&format| table_path(&args.detections.output, table, format))
    });
    args.images.clone().or_else(|| paths.into_iter().find(|path| path.is_file()))
}

/// Prints what is in the set, what was left out, and which split is empty.
fn print_content(printer: &Printer, report: &training::Report) {
    let counts = &report.counts;
    let counted = |count, one, many| format!("{} {}", grouped(count), plural(count, one, many));
    printer.note(&format!(
        "{} with {} of {}",
        counted(counts.pictures, "picture", "pictures"),
        counted(counts.annotations, "annotation", "annotations"),
        counted(report.classes.len() as u64, "class", "classes"),
    ));
    if report.splits.len() > 1 {
        let splits = report.splits.iter().map(|(name, count)| format!("{name} {}", grouped(*count)));
        printer.note(&format!("pictures by split: {}", splits.collect::<Vec<_>>().join(", ")));
    }
    let others =
        counts.listed().into_iter().filter(|(name, _, _)| !["pictures", "annotations"].contains(name));
    others.for_each(|(_, count, what)| printer.note(&format!("{} {what}", grouped(count))));
    if counts.pictures == 0 {
        return;
    }
    for (name, _) in report.splits.iter().filter(|(_, count)| *count == 0) {
        printer.warn(&format!("the split `{name}` has no picture: there are too few sequences"));
    }
}
