//! Pictures with their detections drawn on, and crops of detections. Needs no network.
//!
//! Both read a table of detections and a folder of pictures of any size: shapes are fractions of the picture as
//! displayed. A picture with an EXIF orientation is turned upright first, and the result has none.

mod crops;
mod draw;
mod legend;
mod palette;
mod picture;
mod workers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::crops::Crops;
use self::draw::{Shape, draw};
pub use self::palette::Colour;
use self::picture::{decode, encode};
pub use self::workers::Report;
use self::workers::{Plan, Scope, Work, run, write_file};
use crate::atomic_file::{is_file, output_error};
use crate::error::Result;
use crate::model::{Detection, DetectionKind};
use crate::observe::{Observer, Step};
use crate::pictures::{DetectionTable, PictureFile, PictureFolder};
use crate::record::Polygons;
use crate::text::printable;

/// Chooses a class's colour; `None` for that of [`Colour::for_class`].
type Colours = Arc<dyn Fn(&str) -> Option<Colour> + Send + Sync>;

/// Longest class in a legend, in characters.
const MAX_LEGEND_TEXT: usize = 80;

/// Draws detections on pictures: a translucent fill and an outline in the colour of the class, and a legend below.
///
/// Holes stay free, all parts are drawn, small shapes are above large ones, and signs above segments.
///
/// ```no_run
/// use streetflow::overlay::{Colour, Overlay};
/// use streetflow::pictures::{DetectionTable, PictureFolder};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// let table = DetectionTable::new("outputs/img_detections_dataset.csv")?;
/// let pictures = PictureFolder::open("outputs/downloaded_images".as_ref(), None)?;
/// let green: Colour = "0,255,0".parse()?;
/// let report = Overlay::new()
///     .colours(move |value| (value == "nature--vegetation").then_some(green))
///     .write(&table, &pictures, "outputs/images_with_detections")
///     .await?;
/// println!("{} pictures", report.written);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Overlay {
    legend: bool,
    outline: Option<f32>,
    colours: Option<Colours>,
    scope: Scope,
}

impl Default for Overlay {
    fn default() -> Self {
        Self { legend: true, outline: None, colours: None, scope: Scope::of(Step::OVERLAY) }
    }
}

impl Overlay {
    /// Draws all detections, with a legend.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether a strip with the colours of the classes is added below the picture.
    pub fn legend(mut self, legend: bool) -> Self {
        self.legend = legend;
        self
    }

    /// Sets the width of outlines in pixels; 0 for none. The default grows with the picture.
    pub fn outline(mut self, pixels: f32) -> Self {
        self.outline = Some(if pixels.is_finite() { pixels.clamp(0.0, 100.0) } else { 0.0 });
        self
    }

    /// Sets the colours of classes. Classes without one have that of [`Colour::for_class`].
    pub fn colours(mut self, colours: impl Fn(&str) -> Option<Colour> + Send + Sync + 'static) -> Self {
        self.colours = Some(Arc::new(colours));
        self
    }

    /// Draws only these detections.
    pub fn only(mut self, selects: impl Fn(&Detection) -> bool + Send + Sync + 'static) -> Self {
        self.scope.only(selects);
        self
    }

    /// Reports each image to an observer, as step [`Step::OVERLAY`].
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.scope.observe(observer);
        self
    }

    /// Draws detections on one picture. Returns a JPEG, upright and without EXIF.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use streetflow::{Detection, overlay::Overlay, pictures::JpegHeader, record::Polygons};
    ///
    /// let sandbox = streetflow_sandbox::Sandbox::start().await?;
    /// let image = sandbox.mock_data().sequences()[0].images().next().ok_or("an image")?;
    /// let jpeg = sandbox.mock_data().picture(&image.id(), Some(256)).ok_or("a picture")?;
    ///
    /// let corners = vec![[0.1, 0.1], [0.4, 0.1], [0.4, 0.4]];
    /// let detection = Detection { value: Some("nature--sky".to_owned()), ..Detection::default() }
    ///     .with_polygons(Some(Polygons::from(vec![vec![corners]])));
    /// let drawn = Overlay::new().legend(false).draw(&jpeg, &[detection])?;
    /// assert_eq!(JpegHeader::read(&mut drawn.as_slice())?.width, 256);
    /// # Ok(()) }
    /// ```
    pub fn draw(&self, jpeg: &[u8], detections: &[Detection]) -> Result<Vec<u8>> {
        let mut pixels = decode(jpeg)?;
        let mut entries = BTreeMap::new();
        let mut shapes = Vec::new();
        for detection in detections {
            let Some(polygons) = &detection.polygons else { continue };
            let value = detection.value.as_deref().unwrap_or("(no class)");
            let colour = self.colour(value);
            // A table of another program may have no kinds.
            let kind = detection.kind.unwrap_or_else(|| DetectionKind::of(value));
            shapes.push(Shape { polygons, colour, is_on_top: kind == DetectionKind::Sign });
            entries.insert(printable(value, MAX_LEGEND_TEXT), colour);
        }
        #[expect(clippy::cast_precision_loss, reason = "a width in pixels")]
        let outline = self.outline.unwrap_or_else(|| (pixels.width as f32 / 700.0).clamp(1.0, 12.0));
        draw(&mut pixels, &shapes, outline);
        if self.legend {
            legend::add(&mut pixels, &entries.into_iter().collect::<Vec<_>>());
        }
        encode(&pixels)
    }

    /// Draws the detections of a table on the pictures of a folder, into files with the same names below `folder`,
    /// which is created if necessary.
    ///
    /// Existing files are not changed. Pictures without detections in the table get no file.
    pub async fn write(
        self,
        table: &DetectionTable,
        pictures: &PictureFolder,
        folder: impl Into<PathBuf>,
    ) -> Result<Report> {
        run(self, table, pictures, folder.into()).await
    }

    fn colour(&self, value: &str) -> Colour {
        let chosen = self.colours.as_ref().and_then(|colours| colours(value));
        chosen.unwrap_or_else(|| Colour::for_class(value))
    }
}

impl Work for Overlay {
    const DOING: &'static str = "draw on the picture of image";
    const GIVES_MANY: bool = false;

    fn scope(&self) -> &Scope {
        &self.scope
    }

    fn plan(
        &self,
        folder: &Path,
        picture: &PictureFile,
        detections: Vec<Detection>,
        report: &mut Report,
    ) -> Result<Option<Plan>> {
        let target = folder.join(&picture.below).join(&picture.name);
        report.without_shape +=
            detections.iter().filter(|one| one.polygons.as_ref().is_none_or(Polygons::is_empty)).count()
                as u64;
        if is_file(&target).map_err(|error| output_error("write the picture", &target, error))? {
            report.already_exists += 1;
            return Ok(None);
        }
        Ok(Some(Plan { detections, targets: vec![target] }))
    }

    fn execute(&self, jpeg: &[u8], plan: Plan, report: &mut Report) -> Result<()> {
        let drawn = self.draw(jpeg, &plan.detections)?;
        for target in &plan.targets {
            write_file(target, &drawn)?;
            report.written += 1;
            report.bytes += drawn.len() as u64;
        }
        Ok(())
    }
}
