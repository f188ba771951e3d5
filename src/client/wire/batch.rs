//! The responses of `/?ids=` and `/<image>`.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::image::WireImage;
use super::lenient::Lenient;
use crate::model::{Image, ImageId, Metadata};

/// The largest number of images in one batch request.
///
/// The official Python SDK requests 50 ids at a time (mapillary/mapillary-python-sdk).
pub const MAX_BATCH: usize = 50;

/// The largest number of images in a response to a batch request.
const MAX_BATCH_ENTRIES: usize = 1000;

/// The response of `/?ids=`: images by id.
///
/// Images are boxed because one is nearly a kilobyte and moves several times. A key with an unusable value, or one that
/// occurs twice, has no image: its image is requested alone.
#[derive(Default)]
pub(crate) struct Batch {
    images: HashMap<ImageId, Option<Box<WireImage>>>,
    /// The number of keys that are not image ids.
    invalid_keys: usize,
}

impl Batch {
    /// Removes and returns the record of an image, if there is a usable one that does not name another id.
    pub(crate) fn take(&mut self, image: &Image) -> Option<Metadata> {
        self.images.remove(&image.img_id)??.into_record(image)
    }

    /// Returns the images that remain after each requested image was taken.
    pub(crate) fn unrequested(self) -> Option<Unrequested> {
        let count = self.images.len() + self.invalid_keys;
        (count > 0).then(|| Unrequested { first: self.images.into_keys().min(), count })
    }
}

/// Images in a response that were not requested.
#[derive(Debug, PartialEq)]
pub(crate) struct Unrequested {
    /// The smallest of their ids; `None` if none is valid.
    pub(crate) first: Option<ImageId>,
    pub(crate) count: usize,
}

/// The response of `/<image>`.
pub(crate) type Single = Lenient<Box<WireImage>>;

impl Single {
    /// Returns the record of the requested image, or `None` if the response is about another one.
    pub(crate) fn into_record(self, image: &Image) -> Option<Metadata> {
        self.0?.into_record(image)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BatchVisitor)
    }
}

struct BatchVisitor;

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = Batch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("images by id")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Batch, A::Error> {
        let (mut batch, mut entries) = (Batch::default(), 0);
        batch.images.reserve(MAX_BATCH);
        while let Some((Lenient(id), Lenient(image))) =
            map.next_entry::<Lenient<ImageId>, Lenient<Box<WireImage>>>()?
        {
            if entries == MAX_BATCH_ENTRIES {
                return Err(A::Error::custom("it has more images than were requested"));
            }
            entries += 1;
            let Some(id) = id else {
                batch.invalid_keys += 1;
                continue;
            };
            // Nothing says which of two records under one id is right, so neither is used.
            batch.images.entry(id).and_modify(|first| *first = None).or_insert(image);
        }
        Ok(batch)
    }
}
