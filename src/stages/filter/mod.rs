//! Which images stay.

mod heading;

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;

pub use self::heading::Heading;
use super::Stage;
use crate::dates::Dates;
use crate::error::{Error, ErrorKind, Result};
use crate::geo::{Area, LonLat};
use crate::model::{Metadata, OwnerId, SequenceId};
use crate::observe::{Event, Observer, Step};
use crate::sources::RecordStream;

/// A stage that lets some images pass and leaves the others out.
///
/// An image that lacks what a filter looks at is left out: nobody can say that
/// it fits. Errors pass. Filters stand behind [`FetchMetadata`](crate::FetchMetadata),
/// which must be asked for their [`fields`](Filter::fields).
///
/// ```
/// use streetflow::stages::Filter;
/// use streetflow::{Client, CsvSink, FetchMetadata, Fields, Flow, ListImages, TileSource};
///
/// # async fn crawl(client: Client) -> streetflow::Result<()> {
/// let filter = Filter::min_quality(0.6)?;
/// let fields: Fields = "captured_at,thumb_1024_url".parse()?;
/// Flow::from(TileSource::within(&client, "33.30,35.13,33.40,35.20".parse::<streetflow::Bbox>()?))
///     .then(ListImages::new(&client))
///     .then(FetchMetadata::new(&client).fields(&filter.asked(&fields)?))
///     .then(filter)
///     .into_sink(CsvSink::create("good.csv").fields(&fields))
///     .await?;
/// # Ok(()) }
/// ```
#[must_use]
pub struct Filter {
    name: &'static str,
    fields: &'static [&'static str],
    keep: Box<dyn FnMut(&Metadata) -> bool + Send>,
    observed: Option<(Step, Arc<dyn Observer>)>,
}

impl Filter {
    /// A filter of one's own; `name` is how counts call it, `fields` what it looks at.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let wide = Filter::new("wide", &["width"], |image| image.width >= Some(2000));
    /// let images = [1920, 2560].map(|width| Ok(Metadata { width: Some(width), ..Metadata::default() }));
    /// let kept: Vec<_> = Flow::from(stream::iter(images)).then(wide).try_collect().await?;
    /// assert_eq!(kept[0].width, Some(2560));
    /// # assert_eq!(kept.len(), 1); Ok(()) }
    /// ```
    pub fn new(
        name: &'static str,
        fields: &'static [&'static str],
        keep: impl FnMut(&Metadata) -> bool + Send + 'static,
    ) -> Self {
        Self { name, fields, keep: Box::new(keep), observed: None }
    }

    /// Images captured within a stretch of time.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::{Dates, Filter}};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let since_2024 = Filter::captured(Dates::parse(Some("2024-01-01"), None)?);
    /// let images = [1_500_000_000_000, 1_710_000_000_000]
    ///     .map(|at| Ok(Metadata { captured_at: Some(at), ..Metadata::default() }));
    /// let kept: Vec<_> = Flow::from(stream::iter(images)).then(since_2024).try_collect().await?;
    /// assert_eq!(kept.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn captured(dates: Dates) -> Self {
        Self::new("dates", &["captured_at"], move |image| {
            image.captured_at.is_some_and(|at| dates.contains(at))
        })
    }

    /// Panoramas only.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = [Some(true), Some(false), None].map(|is_pano| Ok(Metadata { is_pano, ..Metadata::default() }));
    /// let kept: Vec<_> = Flow::from(stream::iter(images)).then(Filter::panoramas()).try_collect().await?;
    /// assert_eq!(kept.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn panoramas() -> Self {
        Self::new("pano", &["is_pano"], |image| image.is_pano == Some(true))
    }

    /// No panoramas.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = [Some(true), Some(false), None].map(|is_pano| Ok(Metadata { is_pano, ..Metadata::default() }));
    /// let kept: Vec<_> = Flow::from(stream::iter(images)).then(Filter::flat()).try_collect().await?;
    /// assert_eq!(kept[0].is_pano, Some(false));
    /// # Ok(()) }
    /// ```
    pub fn flat() -> Self {
        Self::new("flat", &["is_pano"], |image| image.is_pano == Some(false))
    }

    /// Images whose predicted quality is so much at least, 0 to 1.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = [0.3, 0.8].map(|score| Ok(Metadata { quality_score: Some(score), ..Metadata::default() }));
    /// let kept: Vec<_> = Flow::from(stream::iter(images)).then(Filter::min_quality(0.6)?).try_collect().await?;
    /// assert_eq!(kept[0].quality_score, Some(0.8));
    /// assert!(Filter::min_quality(60.0).is_err());
    /// # Ok(()) }
    /// ```
    pub fn min_quality(least: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&least) {
            return Err(Error::new(ErrorKind::Usage, "use the quality score")
                .with_subject(least.to_string())
                .with_source("scores lie between 0 and 1"));
        }
        Ok(Self::new("min_quality", &["quality_score"], move |image| {
            image.quality_score.is_some_and(|score| score >= least)
        }))
    }

    /// Images that look in certain directions, by the heading that the device recorded.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = [5.0, 180.0, 355.0].map(|angle| Ok(Metadata { compass_angle: Some(angle), ..Metadata::default() }));
    /// let kept: Vec<_> =
    ///     Flow::from(stream::iter(images)).then(Filter::heading("350..10".parse()?)).try_collect().await?;
    /// assert_eq!(kept.len(), 2);
    /// # Ok(()) }
    /// ```
    pub fn heading(heading: Heading) -> Self {
        Self::new("heading", &["compass_angle"], move |image| {
            image.compass_angle.is_some_and(|degrees| heading.contains(degrees))
        })
    }

    /// Images of cameras of one of these makers; case and blanks around the name do not matter.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = ["GoPro", "Apple"].map(|make| Ok(Metadata { make: Some(make.into()), ..Metadata::default() }));
    /// let kept: Vec<_> = Flow::from(stream::iter(images)).then(Filter::make(["gopro"])).try_collect().await?;
    /// assert_eq!(kept[0].make.as_deref(), Some("GoPro"));
    /// # Ok(()) }
    /// ```
    pub fn make(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let names = lowered(names);
        Self::new("make", &["make"], move |image| is_one_of(image.make.as_deref(), &names))
    }

    /// Images of cameras of one of these models; case and blanks around the name do not matter.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = ["HERO11 Black ", "iPhone 13"]
    ///     .map(|model| Ok(Metadata { model: Some(model.into()), ..Metadata::default() }));
    /// let kept: Vec<_> = Flow::from(stream::iter(images)).then(Filter::model(["hero11 black"])).try_collect().await?;
    /// assert_eq!(kept.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn model(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let names = lowered(names);
        Self::new("model", &["model"], move |image| is_one_of(image.model.as_deref(), &names))
    }

    /// Images that lie in an area, by the place that the device recorded.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, LonLat, Metadata, geo::Area, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let around = Area::around(LonLat { lon: 33.36, lat: 35.17 }, 100.0)?;
    /// let images = [35.1701, 35.18].map(|lat| LonLat { lon: 33.36, lat });
    /// let images = images.map(|place| Ok(Metadata { geometry: Some(place), ..Metadata::default() }));
    /// let kept: Vec<_> = Flow::from(stream::iter(images)).then(Filter::inside(around)).try_collect().await?;
    /// assert_eq!(kept.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn inside(area: impl Into<Area>) -> Self {
        let area = area.into();
        Self::new("clip", &["geometry"], move |image| {
            image.geometry.is_some_and(|place| area.contains(place))
        })
    }

    /// No images of these organisations and users. One of nobody stays.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, Metadata, OwnerId, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = ["7", "8"].map(|id| Ok(Metadata { creator_id: Some(id.into()), ..Metadata::default() }));
    /// let others = Filter::not_owned_by([OwnerId::new("7")?]);
    /// let kept: Vec<_> = Flow::from(stream::iter(images)).then(others).try_collect().await?;
    /// assert_eq!(kept[0].creator_id.as_deref(), Some("8"));
    /// # Ok(()) }
    /// ```
    pub fn not_owned_by(owners: impl IntoIterator<Item = OwnerId>) -> Self {
        let owners: Vec<_> = owners.into_iter().collect();
        Self::new("exclude_owner", &["creator", "organization"], move |image| {
            let ids = [&image.creator_id, &image.organization_id];
            ids.into_iter().flatten().all(|id| owners.iter().all(|owner| owner.as_str() != id.as_str()))
        })
    }

    /// Thins sequences out: an image every so many metres.
    ///
    /// One stays if it lies so many metres at least from the last one of its sequence that stayed. It looks at the
    /// recorded place, and remembers one of each sequence.
    ///
    /// ```
    /// # use futures::{stream, TryStreamExt};
    /// # use streetflow::{Flow, LonLat, Metadata, stages::Filter};
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// // A metre and a tenth from one to the next.
    /// let images = (0..100).map(|step| LonLat { lon: 33.36, lat: 35.17 + f64::from(step) * 1e-5 });
    /// let images = images.map(|place| Ok(Metadata { geometry: Some(place), ..Metadata::default() }));
    /// let kept: Vec<_> = Flow::from(stream::iter(images)).then(Filter::every(10.5)?).try_collect().await?;
    /// assert_eq!(kept.len(), 10);
    /// # Ok(()) }
    /// ```
    pub fn every(metres: f64) -> Result<Self> {
        if !(metres.is_finite() && metres > 0.0) {
            return Err(Error::new(ErrorKind::Usage, "use the distance")
                .with_subject(metres.to_string())
                .with_source("it must be a number of metres above 0"));
        }
        let mut last: HashMap<SequenceId, LonLat> = HashMap::new();
        Ok(Self::new("every", &["geometry"], move |image| {
            let Some(place) = image.geometry else { return false };
            match last.get_mut(&image.seq_id) {
                Some(last) if last.metres_to(place) < metres => return false,
                Some(last) => *last = place,
                None => drop(last.insert(image.seq_id.clone(), place)),
            }
            true
        }))
    }

    /// How counts call it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The fields of the API that it looks at.
    pub fn fields(&self) -> &'static [&'static str] {
        self.fields
    }

    /// The fields to ask for so that it can look: those that are wanted, and its own.
    pub fn asked(&self, wanted: &crate::Fields) -> Result<crate::Fields> {
        self.fields.iter().try_fold(wanted.clone(), |fields, field| fields.with(field))
    }

    /// Tells an observer of each image that it leaves out, as [`Event::Filtered`] of a step.
    pub fn observe(mut self, step: Step, observer: Arc<dyn Observer>) -> Self {
        self.observed = Some((step, observer));
        self
    }

    fn passes(&mut self, image: &Metadata) -> bool {
        let keep = (self.keep)(image);
        if !keep && let Some((step, observer)) = &self.observed {
            observer.on_event(&Event::Filtered { step: *step, by: self.name });
        }
        keep
    }
}

impl Stage<Metadata> for Filter {
    type Out = Metadata;

    fn apply(mut self, images: RecordStream<Metadata>) -> RecordStream<Metadata> {
        images
            .filter(move |item| std::future::ready(item.as_ref().map_or(true, |image| self.passes(image))))
            .boxed()
    }
}

fn lowered(names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    names.into_iter().map(|name| name.as_ref().trim().to_lowercase()).collect()
}

fn is_one_of(name: Option<&str>, names: &[String]) -> bool {
    name.is_some_and(|name| names.contains(&name.trim().to_lowercase()))
}
