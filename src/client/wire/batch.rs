//! The responses of `/?ids=` and `/<image>`.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::image::WireImage;
use super::lenient::{FromJson, Lenient};
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
pub(crate) struct Batch<T = WireImage> {
    images: HashMap<ImageId, Option<Box<T>>>,
    /// The number of keys that are not image ids.
    invalid_keys: usize,
}

impl Batch {
    /// Removes and returns the record of an image, if there is a usable one that does not name another id.
    pub(crate) fn take(&mut self, image: &Image) -> Option<Metadata> {
        self.take_object(&image.img_id)?.into_record(image)
    }
}

impl<T> Batch<T> {
    /// Removes and returns the object under an id, if there is a usable one.
    pub(crate) fn take_object(&mut self, id: &ImageId) -> Option<Box<T>> {
        self.images.remove(id)?
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

impl<'de, T> Deserialize<'de> for Batch<T>
where
    Box<T>: FromJson,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BatchVisitor(PhantomData))
    }
}

struct BatchVisitor<T>(PhantomData<T>);

impl<'de, T> Visitor<'de> for BatchVisitor<T>
where
    Box<T>: FromJson,
{
    type Value = Batch<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("images by id")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Batch<T>, A::Error> {
        let mut batch = Batch { images: HashMap::with_capacity(MAX_BATCH), invalid_keys: 0 };
        let mut entries = 0;
        while let Some((Lenient(id), Lenient(image))) =
            map.next_entry::<Lenient<ImageId>, Lenient<Box<T>>>()?
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
