//! The images in a response store, while a run in another process adds to them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::response_store::{Follower, store_error};
use crate::client::wire::batch::{Batch, Single};
use crate::error::Result;
use crate::model::{Image, ImageId, Metadata, SequenceId};

/// Responses that are read at once.
const MAX_RESPONSES: usize = 200;

/// Reads the images that a run has fetched so far, from its [`ResponseStore`](crate::client::ResponseStore) and without a lock.
///
/// Images come in the order of their responses, each once, with the fields that the run requests, before its filters.
/// Memory grows by about 100 bytes an image.
///
/// ```
/// use streetflow::client::{ResponseStore, StoredImages};
///
/// # fn main() -> streetflow::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// let store = ResponseStore::open(folder.path(), "all of Cyprus, 22 November")?;
/// let mut images = StoredImages::open(folder.path())?;
/// assert!(images.read().is_empty(), "the run has fetched nothing yet");
/// # Ok(()) }
/// ```
pub struct StoredImages {
    follower: Follower,
    /// The sequences of images whose metadata has not come yet.
    sequences: HashMap<ImageId, SequenceId>,
    seen: HashSet<ImageId>,
}

impl StoredImages {
    /// Opens the store in a folder. One that does not exist is an error of kind [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn open(folder: &Path) -> Result<Self> {
        let follower = Follower::open(folder).map_err(|error| store_error(folder, &error))?;
        Ok(Self { follower, sequences: HashMap::new(), seen: HashSet::new() })
    }

    /// Some of the images that have come since the last call; none if there are no further ones yet.
    pub fn read(&mut self) -> Vec<Metadata> {
        let mut images = Vec::new();
        for _ in 0..MAX_RESPONSES {
            let Some((key, response)) = self.follower.next() else { break };
            if let Some(sequence) = key.strip_prefix("images of ") {
                self.add_list(sequence, &response);
            } else if key.starts_with("batch ") {
                images.extend(self.batch(&response).unwrap_or_default());
            } else if let Some(request) = key.strip_prefix("image ") {
                images.extend(self.single(request, &response));
            }
        }
        images.retain(|image: &Metadata| self.seen.insert(image.img_id.clone()));
        images
    }

    fn add_list(&mut self, sequence: &str, ids: &[u8]) {
        let Ok(sequence) = SequenceId::new(sequence) else { return };
        let ids = std::str::from_utf8(ids).unwrap_or_default().lines();
        self.sequences.extend(ids.filter_map(|id| Some((ImageId::new(id).ok()?, sequence.clone()))));
    }

    fn batch(&mut self, response: &[u8]) -> Option<Vec<Metadata>> {
        let end = response.iter().position(|byte| *byte == b'\n')?;
        let mut batch: Batch = serde_json::from_slice(&response[end + 1..]).ok()?;
        let ids = std::str::from_utf8(&response[..end]).ok()?.split(',');
        let images: Vec<_> = ids.filter_map(|id| self.image(id)).collect();
        Some(images.iter().filter_map(|image| batch.take(image)).collect())
    }

    /// `request` is a list of fields and an id.
    fn single(&mut self, request: &str, response: &[u8]) -> Option<Metadata> {
        let image = self.image(request.rsplit(' ').next()?)?;
        serde_json::from_slice::<Single>(response).ok()?.into_record(&image)
    }

    fn image(&mut self, id: &str) -> Option<Image> {
        let img_id = ImageId::new(id).ok()?;
        let seq_id = self.sequences.remove(&img_id).unwrap_or_default();
        Some(Image { seq_id, img_id })
    }
}

#[cfg(test)]
mod tests {
    use super::super::response_store::ResponseStore;
    use super::*;

    fn ids(images: &[Metadata]) -> Vec<(&str, &str)> {
        images.iter().map(|image| (image.seq_id.as_str(), image.img_id.as_str())).collect()
    }

    #[test]
    fn images_come_once_with_their_sequences_while_the_store_grows() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = ResponseStore::open(folder.path(), "a query").expect("a store");
        let put = |key: &str, response: &str| store.put(key, &[response.as_bytes()]).expect("stored");
        let mut images = StoredImages::open(folder.path()).expect("open");
        assert!(images.read().is_empty());
        put("fields", "geometry");
        put("images of abc", "1\n2\n3");
        assert!(images.read().is_empty(), "a list is no metadata");
        put(
            "batch geometry 1",
            "1,2\n{\"1\":{\"id\":\"1\",\"geometry\":{\"type\":\"Point\",\"coordinates\":[33,35]}},\"2\":{\"id\":\"2\"}}",
        );
        let found = images.read();
        assert_eq!(ids(&found), [("abc", "1"), ("abc", "2")]);
        assert_eq!(found[0].geometry.map(|point| (point.lon, point.lat)), Some((33.0, 35.0)));
        put("batch geometry 1", "1\n{\"1\":{\"id\":\"1\"}}");
        put("batch geometry 9", "not JSON");
        put("batch geometry 8", "no list");
        put("image geometry 3", "{\"id\":\"3\"}");
        put("image geometry 7", "{\"id\":\"4\"}");
        put("image geometry ../7", "{}");
        assert_eq!(ids(&images.read()), [("abc", "3")], "each once; wrong ones are skipped");
        assert!(images.read().is_empty());
        let mut from_the_start = StoredImages::open(folder.path()).expect("open");
        assert_eq!(from_the_start.read().len(), 3);
    }

    #[test]
    fn a_record_in_progress_is_read_when_it_is_complete_and_a_damaged_response_costs_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = ResponseStore::open(folder.path(), "a query").expect("a store");
        store.put("image geometry 1", &[b"{\"id\":\"1\"}"]).expect("stored");
        let damaged = std::fs::metadata(folder.path().join("answers")).expect("a file").len();
        store.put("image geometry 2", &[b"{\"id\":\"2\"}"]).expect("stored");
        store.put("image geometry 3", &[b"{\"id\":\"3\"}"]).expect("stored");
        drop(store);
        let (index, answers) = (folder.path().join("index"), folder.path().join("answers"));
        let mut bytes = std::fs::read(&answers).expect("a file");
        let at = usize::try_from(damaged).expect("small");
        bytes[at] ^= 0xff;
        std::fs::write(&answers, bytes).expect("written");
        let whole = std::fs::read(&index).expect("a file");
        std::fs::write(&index, &whole[..whole.len() - 5]).expect("written");
        let mut images = StoredImages::open(folder.path()).expect("open");
        assert_eq!(ids(&images.read()), [("", "1")]);
        std::fs::write(&index, whole).expect("written");
        assert_eq!(ids(&images.read()), [("", "3")]);
        assert!(StoredImages::open(&folder.path().join("none")).is_err());
    }
}
