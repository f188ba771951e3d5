//! Images of an earlier run that have no rows in its table of detections, in memory.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::model::{ImageId, NoDetections};

/// An image without rows in a table of detections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmptyImage {
    /// Id of the image.
    pub img_id: ImageId,
    /// Why it has none.
    pub why: NoDetections,
    /// When its detections were requested, in seconds since 1970, UTC.
    pub requested_at: u64,
}

/// The images without rows in an earlier table of detections, for
/// [`FetchDetections::known_empty`](crate::FetchDetections::known_empty).
///
/// Memory holds 24 bytes for each image: a hash of the id, far too long for two ids to share one by chance, the reason
/// and the time.
///
/// ```
/// use streetflow::{ImageId, client::{EmptyImage, KnownEmpty}, model::NoDetections};
///
/// let image = EmptyImage { img_id: ImageId::new("7")?, why: NoDetections::NoneFound, requested_at: 1_700_000_000 };
/// let known: KnownEmpty = [image.clone()].into_iter().collect();
/// assert_eq!(known.get(&image.img_id), Some((NoDetections::NoneFound, 1_700_000_000)));
/// assert_eq!(known.get(&ImageId::new("8")?), None);
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct KnownEmpty {
    hashers: [RandomState; 2],
    /// Sorted by hash.
    entries: Arc<[Entry]>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: [u64; 2],
    /// The time, and in the lowest two bits the reason.
    value: u64,
}

impl KnownEmpty {
    /// Returns why an image has no rows, and when its detections were requested, in seconds since 1970.
    pub fn get(&self, id: &ImageId) -> Option<(NoDetections, u64)> {
        let hash = hash(&self.hashers, id);
        let at = self.entries.binary_search_by_key(&hash, |entry| entry.hash).ok()?;
        let value = self.entries[at].value;
        let why = NoDetections::ALL.into_iter().find(|why| *why as u64 == value & 3)?;
        Some((why, value >> 2))
    }

    /// Returns the number of images.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl FromIterator<EmptyImage> for KnownEmpty {
    /// Of several entries of an image, any one counts.
    fn from_iter<I: IntoIterator<Item = EmptyImage>>(images: I) -> Self {
        let hashers: [RandomState; 2] = Default::default();
        let entry = |image: EmptyImage| Entry {
            hash: hash(&hashers, &image.img_id),
            value: image.requested_at << 2 | image.why as u64,
        };
        let mut entries: Vec<_> = images.into_iter().map(entry).collect();
        entries.sort_unstable_by_key(|entry| entry.hash);
        entries.dedup_by_key(|entry| entry.hash);
        Self { hashers, entries: entries.into() }
    }
}

fn hash(hashers: &[RandomState; 2], id: &ImageId) -> [u64; 2] {
    hashers.each_ref().map(|hasher| hasher.hash_one(id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_found_with_its_reason_and_time() {
        let image = |number: u64| EmptyImage {
            img_id: ImageId::new(&number.to_string()).expect("an id"),
            why: NoDetections::ALL[usize::try_from(number % 4).expect("small")],
            requested_at: number * 1_000_003,
        };
        let known: KnownEmpty = (1..5_000).chain(1..10).map(image).collect();
        assert_eq!(known.len(), 4_999);
        for image in (1..5_000).map(image) {
            assert_eq!(known.get(&image.img_id), Some((image.why, image.requested_at)));
        }
        assert_eq!(known.get(&ImageId::new("5000").expect("an id")), None);
        assert!(KnownEmpty::default().is_empty());
    }
}
