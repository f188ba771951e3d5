//! `crops`: cuts detections out of pictures.

use clap::Args;

use super::offline;
use crate::args::{DetectionArgs, DisplayArgs, file_name, parsed};
use crate::exit_code::Exit;
use crate::job::RunContext;
use streetflow::overlay::Crops;
use streetflow::training::ClassRules;
use streetflow::{Report, Result, Step};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow crops --values 'regulatory--*' --margin 0.2
  streetflow crops --min-size 32 --quality original";

#[derive(Debug, Args)]
pub(crate) struct CropsArgs {
    #[command(flatten)]
    pub(crate) detections: DetectionArgs,
    /// Name of the directory that is written, with one directory per class
    #[arg(long, value_name = "NAME", default_value = "cropped_images", value_parser = file_name, hide_short_help = true)]
    image_cropped_detections_folder: String,
    /// Cut out only these classes; `*` stands for any text
    #[arg(long, value_name = "PATTERN,…", value_parser = parsed::<ClassRules>, help_heading = "Detections")]
    values: Option<ClassRules>,
    /// Add this fraction of the box on each side
    #[arg(long, value_name = "FRACTION", default_value = "0", value_parser = crate::args::margin, help_heading = "Detections")]
    margin: f64,
    /// Leave out boxes narrower or lower than this
    #[arg(long, value_name = "PIXELS", default_value = "1", help_heading = "Detections")]
    min_size: u32,
}

pub(crate) async fn run(args: &CropsArgs, display: &DisplayArgs) -> Exit {
    offline::run(&args.detections, Step::CROPS, display, async |run| cut(run, args).await).await
}

async fn cut(run: &RunContext, args: &CropsArgs) -> Result<Report> {
    let table = offline::table(&args.detections)?;
    let pictures = offline::pictures(&args.detections)?;
    let folder = args.detections.output.join(&args.image_cropped_detections_folder);
    let mut crops = Crops::new().margin(args.margin).min_size(args.min_size).observer(run.observer());
    if let Some(values) = args.values.clone() {
        crops = crops.only(move |detection| values.selects(detection.value.as_deref().unwrap_or_default()));
    }
    let report = crops.write(&table, &pictures, &folder).await?;
    Ok(offline::drawn(run, &args.detections, &report, folder))
}
