//! `overlay`: draws detections on pictures.

use clap::Args;

use super::offline;
use crate::args::{ClassColour, DetectionArgs, DisplayArgs, file_name, parsed};
use crate::exit_code::Exit;
use crate::job::RunContext;
use streetflow::overlay::Overlay;
use streetflow::training::ClassRules;
use streetflow::{Report, Result, Step};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow overlay
  streetflow overlay --values 'object--vehicle--*' --quality 1024
  streetflow overlay --detection-colours 'nature--water=0,0,255'";

#[derive(Debug, Args)]
pub(crate) struct OverlayArgs {
    #[command(flatten)]
    pub(crate) detections: DetectionArgs,
    /// Name of the directory that is written
    #[arg(long, value_name = "NAME", default_value = "images_with_detections", value_parser = file_name, hide_short_help = true)]
    image_detections_folder: String,
    /// Draw only these classes; `*` stands for any text
    #[arg(long, value_name = "PATTERN,…", value_parser = parsed::<ClassRules>, help_heading = "Detections")]
    values: Option<ClassRules>,
    /// Colour of a class: R,G,B or R,G,B,A or #rrggbb [default: by its name]
    ///
    /// A class may be a pattern with `*`. Separate several with `;`, or repeat the flag. A is the opacity of the fill,
    /// 128 by default; 255 hides what is below.
    #[arg(long, value_name = "CLASS=COLOUR", value_delimiter = ';', value_parser = parsed::<ClassColour>, help_heading = "Detections")]
    detection_colours: Vec<ClassColour>,
    /// Width of outlines in pixels; 0 for none [default: by the size of the picture]
    #[arg(long, value_name = "PIXELS", value_parser = crate::args::pixels, help_heading = "Detections")]
    outline: Option<f32>,
    /// Add no strip with the colours of the classes below pictures
    #[arg(long, help_heading = "Detections")]
    no_legend: bool,
}

pub(crate) async fn run(args: &OverlayArgs, display: &DisplayArgs) -> Exit {
    offline::run(&args.detections, Step::OVERLAY, display, async |run| draw(run, args).await).await
}

async fn draw(run: &RunContext, args: &OverlayArgs) -> Result<Report> {
    let table = offline::table(&args.detections)?;
    let pictures = offline::pictures(&args.detections)?;
    let folder = args.detections.output.join(&args.image_detections_folder);
    let colours = args.detection_colours.clone();
    let mut overlay = Overlay::new()
        .legend(!args.no_legend)
        .observer(run.observer())
        .colours(move |value| colours.iter().find(|class| class.matches(value)).map(ClassColour::colour));
    if let Some(outline) = args.outline {
        overlay = overlay.outline(outline);
    }
    if let Some(values) = args.values.clone() {
        overlay =
            overlay.only(move |detection| values.selects(detection.value.as_deref().unwrap_or_default()));
    }
    let report = overlay.write(&table, &pictures, &folder).await?;
    Ok(offline::drawn(run, &args.detections, &report, folder))
}
