//! The map features of a tile: objects and traffic signs.

use super::wire::{Fault, Feature, Layer, Value, Varints, layers};
use crate::geo::{Area, Clip, TileId};
use crate::model::{FeatureId, FeatureKind, MapFeature};
use crate::text::{printable, redact};

/// A tile with more features is damaged: a hundred times the number in the largest known tile.
const MAX_FEATURES: usize = 250_000;

/// A tile with more unusable features is damaged.
const MAX_UNUSABLE: usize = 1000;

/// Maximum length of an unusable id in messages.
const MAX_SHOWN_LEN: usize = 80;

/// The map features of a tile that are in the area, each once, sorted by id.
#[derive(Debug, Default, PartialEq)]
pub(in crate::sources) struct Features {
    pub(in crate::sources) features: Vec<MapFeature>,
    /// Features without a usable id, each with the reason.
    pub(in crate::sources) unusable: Vec<String>,
}

/// Reads the features of the layers `traffic_sign` and `point`. Other layers, such as `water`, are ignored.
///
/// A feature without a place may be in the area, so it is one of them. A feature outside the tile belongs to another
/// tile: the western and northern border belong to a tile, the others to its neighbours.
pub(in crate::sources) fn features(bytes: &[u8], tile: TileId, area: &Area) -> Result<Features, Fault> {
    let mut found = Features::default();
    for layer in layers(bytes) {
        let layer = layer?;
        let kind = match layer.name {
            "traffic_sign" => FeatureKind::Sign,
            "point" => FeatureKind::Object,
            _ => continue,
        };
        if layer.extent == 0 {
            return Err("a layer's extent is implausible");
        }
        let clip = area.clip(tile, layer.extent);
        let meanings: Vec<_> = layer.keys.iter().map(|key| Meaning::of(key)).collect();
        for feature in layer.features() {
            let read = match feature? {
                Ok(feature) => {
                    Read { layer: &layer, meanings: &meanings, kind }.feature(&feature, tile, &clip)
                }
                Err(_) => Err("a feature can't be read".to_owned()),
            };
            match read {
                Ok(Some(feature)) if found.features.len() < MAX_FEATURES => found.features.push(feature),
                Ok(Some(_)) => return Err("it has more than 250,000 map features"),
                Ok(None) => {}
                Err(_) if found.unusable.len() == MAX_UNUSABLE => {
                    return Err("it has more than 1,000 features that can't be used");
                }
                Err(why) => found.unusable.push(why),
            }
        }
    }
    // The server determines the order of features; files must not depend on it. Of two with one id, the first with a
    // place stays.
    let order = |feature: &MapFeature| (feature.feature_id.as_str().len(), feature.feature_id.clone());
    found.features.sort_by_key(|feature| (order(feature), feature.geometry.is_none()));
    found.features.dedup_by(|a, b| a.feature_id == b.feature_id);
    Ok(found)
}

/// The meaning of a key of a layer.
#[derive(Clone, Copy)]
enum Meaning {
    Nothing,
    Id,
    Class,
    FirstSeenAt,
    LastSeenAt,
}

impl Meaning {
    fn of(key: &[u8]) -> Self {
        match key {
            b"id" => Self::Id,
            b"value" => Self::Class,
            b"first_seen_at" => Self::FirstSeenAt,
            b"last_seen_at" => Self::LastSeenAt,
            _ => Self::Nothing,
        }
    }
}

/// Reads the features of a layer.
struct Read<'t, 'a> {
    layer: &'t Layer<'a>,
    meanings: &'t [Meaning],
    kind: FeatureKind,
}

impl Read<'_, '_> {
    /// Returns the feature, `None` if it is outside the tile or the area, or why it is unusable.
    fn feature(
        &self,
        feature: &Feature<'_>,
        tile: TileId,
        clip: &Clip,
    ) -> Result<Option<MapFeature>, String> {
        let mut found = MapFeature { kind: Some(self.kind), ..MapFeature::default() };
        if let Some((x, y)) = feature.point() {
            let inside = |at: i32| u32::try_from(at).is_ok_and(|at| at < self.layer.extent);
            if !inside(x) || !inside(y) || !(clip.is_whole() || clip.has_point(x, y)) {
                return Ok(None);
            }
            found.geometry = Some(tile.lonlat(x.into(), y.into(), self.layer.extent.into()));
        }
        let mut id = Value::None;
        let mut pairs = Varints(feature.tags);
        while let (Some(Ok(key)), Some(Ok(value))) = (pairs.next(), pairs.next()) {
            let (Some(meaning), Ok(index)) =
                (usize::try_from(key).ok().and_then(|key| self.meanings.get(key)), usize::try_from(value))
            else {
                continue;
            };
            let value = self.layer.values.get(index).map_or(Value::None, Value::read);
            match meaning {
                Meaning::Nothing => {}
                Meaning::Id => id = value,
                Meaning::Class => {
                    if let Value::Text(text) = value {
                        found.value = Some(text.to_owned());
                    }
                }
                Meaning::FirstSeenAt => found.first_seen_at = value.whole(),
                Meaning::LastSeenAt => found.last_seen_at = value.whole(),
            }
        }
        found.feature_id = feature_id(id)?;
        Ok(Some(found))
    }
}

/// The id of a feature. A number that a double may have rounded is none.
fn feature_id(id: Value<'_>) -> Result<FeatureId, String> {
    let text = match id {
        Value::Text(text) => text.to_owned(),
        Value::Whole(whole) => whole.to_string(),
        Value::None => return Err("a feature has no id".to_owned()),
        _ => id.id().map(|id| id.to_string()).ok_or_else(|| match id {
            Value::Double(number) => {
                format!("the id {number:.0} of a feature is a float, which loses digits")
            }
            _ => "the id of a feature is neither text nor a number".to_owned(),
        })?,
    };
    FeatureId::check(&text).map_err(|why| format!("`{}`: {why}", printable(&redact(&text), MAX_SHOWN_LEN)))
}
