//! Masks: a PNG of class numbers for each picture.

use std::path::PathBuf;

use super::classes::Class;
use super::options::Options;
use super::output::{Output, link_or_copy, write};
use super::png;
use super::report::Counts;
use super::sample::Sample;
use super::writer::Writer;
use crate::error::{Error, ErrorKind, Result};
use crate::raster::spans;

/// Maximum number of pixels of a mask. A panorama has up to 80 million.
const MAX_PIXELS: u64 = 100_000_000;

/// Classes from this number on need 16 bits: 255 often stands for pixels to ignore.
const MIN_WIDE_ID: u32 = 255;

pub(super) struct Masks {
    /// The folders of pictures and masks of each split.
    folders: Vec<(PathBuf, PathBuf)>,
    painter: Painter,
    must_copy: bool,
}

impl Masks {
    pub(super) fn new(output: &Output, options: &Options, classes: &[Class]) -> Result<Self> {
        let folder = |split: &&str| {
            Ok((output.folder(&format!("images/{split}"))?, output.folder(&format!("masks/{split}"))?))
        };
        let folders = options.split.names().iter().map(folder).collect::<Result<_>>()?;
        Ok(Self { folders, painter: Painter::new(classes), must_copy: options.must_copy })
    }
}

impl Writer for Masks {
    fn add(&mut self, sample: &Sample, counts: &mut Counts) -> Result<()> {
        let (pictures, masks) = &self.folders[sample.split];
        let mask = self.painter.paint(sample, counts)?;
        let target = pictures.join(&sample.picture.name);
        counts.copied += u64::from(link_or_copy(&sample.picture.path, &target, self.must_copy)?);
        write(&masks.join(&sample.picture.name).with_extension("png"), &mask)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Paints the mask of a picture.
pub(super) struct Painter {
    ids: Vec<u16>,
    is_wide: bool,
    labels: Vec<u16>,
}

impl Painter {
    pub(super) fn new(classes: &[Class]) -> Self {
        let ids = classes.iter().map(|class| u16::try_from(class.id).unwrap_or(u16::MAX)).collect();
        let is_wide = classes.iter().any(|class| class.id >= MIN_WIDE_ID);
        Self { ids, is_wide, labels: Vec::new() }
    }

    /// The mask as a PNG: small segments over large ones, and no traffic signs, which would cover segments.
    pub(super) fn paint(&mut self, sample: &Sample, counts: &mut Counts) -> Result<Vec<u8>> {
        let (width, height) = sample.size;
        let pixels = u64::from(width) * u64::from(height);
        let failed = |why: String| {
            Error::new(ErrorKind::Malformed, "paint the mask of")
                .with_subject(sample.image.as_str())
                .with_source(why)
        };
        if pixels > MAX_PIXELS {
            return Err(failed(format!("{width} × {height} pixels are more than the limit of {MAX_PIXELS}")));
        }
        self.labels.clear();
        self.labels.resize(usize::try_from(pixels).unwrap_or_default(), 0);
        let mut segments: Vec<_> =
            sample.annotations.iter().filter(|annotation| !annotation.is_sign).collect();
        counts.unpainted_signs += (sample.annotations.len() - segments.len()) as u64;
        segments.sort_by(|one, other| other.area.total_cmp(&one.area));
        for annotation in segments {
            let id = self.ids[annotation.class];
            for span in spans(&annotation.polygons, width, height) {
                let row = span.row as usize * width as usize;
                self.labels[row + span.start as usize..row + span.end as usize].fill(id);
            }
        }
        png::encode(&self.labels, width, height, self.is_wide).map_err(|error| failed(error.to_string()))
    }
}
