//! From map features to the images that saw them.

use std::collections::HashSet;

use futures::{StreamExt, stream};

use super::Stage;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Image, ImageId, MapFeature, SequenceId};
use crate::observe::{Event, Step};
use crate::sources::RecordStream;

/// Lists the images that saw map features, each image once, in the order of the features.
///
/// The ids are those of [`MapFeature::image_ids`], which [`FetchFeatures`](super::FetchFeatures) fetches. The sequences
/// of the images are unknown. A feature without known images, or with an invalid id among them, is an error of kind
/// [`ErrorKind::Malformed`] after its valid images. Memory grows by about 50 bytes per image.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::{TryStreamExt, stream};
/// use streetflow::stages::ListFeatureImages;
/// use streetflow::{Client, Flow, Image, MapFeature, Token};
///
/// let client = Client::new(Token::new("MLY|1234|abcd")?)?;
/// let feature = |ids: &[&str]| {
///     Ok(MapFeature { image_ids: Some(ids.iter().map(ToString::to_string).collect()), ..MapFeature::default() })
/// };
/// let images: Vec<Image> = Flow::from(stream::iter([feature(&["7", "8"]), feature(&["8", "9"])]))
///     .then(ListFeatureImages::new(&client))
///     .try_collect()
///     .await?;
/// assert_eq!(images.iter().map(|image| image.img_id.as_str()).collect::<Vec<_>>(), ["7", "8", "9"]);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct ListFeatureImages {
    client: Client,
}

impl ListFeatureImages {
    /// Reports each feature as done to the observer of a client. Sends no requests.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone() }
    }
}

impl Stage<MapFeature> for ListFeatureImages {
    type Out = Image;

    fn apply(self, features: RecordStream<MapFeature>) -> RecordStream<Image> {
        let mut seen = HashSet::new();
        features
            .flat_map(move |feature| {
                let items = match feature {
                    Ok(feature) => images_of(&feature, &mut seen),
                    Err(error) => vec![Err(error)],
                };
                let is_done = items.last().is_none_or(Result::is_ok);
                let client = is_done.then(|| self.client.clone());
                let end = stream::once(async move {
                    if let Some(client) = client {
                        client.emit(&Event::InputDone { step: Step::IMAGES });
                    }
                });
                stream::iter(items).map(Some).chain(end.map(|()| None)).filter_map(std::future::ready)
            })
            .boxed()
    }
}

/// The images of a feature that were not seen before, then the error for the feature, if there is one.
fn images_of(feature: &MapFeature, seen: &mut HashSet<ImageId>) -> Vec<Result<Image>> {
    let error = || {
        Error::new(ErrorKind::Malformed, "list the images of map feature")
            .with_subject(feature.feature_id.as_str())
    };
    let Some(ids) = &feature.image_ids else {
        return vec![Err(match feature.n_images {
            Some(count) if count > 0 => {
                error().with_source(format!("its {count} images are too many for a list"))
            }
            _ => error()
                .with_source("its images are unknown")
                .with_hint("fetch them with `streetflow features --details`"),
        })];
    };
    let mut items = Vec::new();
    let mut invalid = None;
    for id in ids {
        match ImageId::check(id) {
            Ok(img_id) if seen.insert(img_id.clone()) => {
                items.push(Ok(Image { seq_id: SequenceId::default(), img_id }));
            }
            Ok(_) => {}
            Err(why) => invalid = invalid.or(Some(why)),
        }
    }
    items.extend(invalid.map(|why| Err(error().with_source(why))));
    items
}
