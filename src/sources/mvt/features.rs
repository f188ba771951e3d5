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
        let mut pairs = Varints::new(feature.tags);
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

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes and zigzag numbers")]
mod tests {
    use super::*;
    use crate::geo::Bbox;

    const TILE: TileId = TileId { z: 14, x: 9710, y: 6475 };

    fn varint(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 128 {
            bytes.push((number & 127) as u8 | 128);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    fn block(field: u8, bytes: &[u8]) -> Vec<u8> {
        [&[field << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
    }

    /// A point whose `id` has the value with this index, and whose other tags are `value` and `first_seen_at`.
    fn point(id: u8, at: Option<(i32, i32)>) -> Vec<u8> {
        let zigzag = |step: i32| varint(u64::from(((step << 1) ^ (step >> 31)) as u32));
        let geometry = at.map(|(x, y)| block(4, &[vec![9], zigzag(x), zigzag(y)].concat()));
        let tags = block(2, &[0, id, 1, 0, 2, 1]);
        block(2, &[tags, vec![3 << 3, 1], geometry.unwrap_or_default()].concat())
    }

    /// A layer with the values of `value`, `first_seen_at` and these ids, from index 2.
    fn layer(name: &str, features: &[Vec<u8>], ids: &[Vec<u8>]) -> Vec<u8> {
        let text = |text: &str| block(4, &block(1, text.as_bytes()));
        let millis = block(4, &[vec![4 << 3], varint(1_600_000_000_123)].concat());
        let keys = ["id", "value", "first_seen_at"].map(|key| block(3, key.as_bytes())).concat();
        let ids: Vec<u8> = ids.iter().flat_map(|id| block(4, id)).collect();
        let name = block(1, name.as_bytes());
        block(3, &[name, features.concat(), keys, text("object--bench"), millis, ids].concat())
    }

    fn whole(number: u64) -> Vec<u8> {
        [vec![4 << 3], varint(number)].concat()
    }

    fn everywhere() -> Area {
        Area::from("-180,-85,180,85".parse::<Bbox>().expect("a box"))
    }

    fn read(bytes: &[u8]) -> Features {
        features(bytes, TILE, &everywhere()).expect("a tile")
    }

    #[test]
    fn layers_are_read_by_name_and_ids_beyond_doubles_are_exact() {
        let ids = [whole(36_028_797_018_963_971), block(1, b"17")];
        let water = layer("water", &[point(2, Some((0, 0)))], &ids);
        let signs = layer("traffic_sign", &[point(2, Some((4095, 0))), point(3, Some((7, 7)))], &ids);
        let points = layer("point", &[point(2, None)], &[whole(5)]);
        let found = read(&[water, signs, points].concat()).features;
        let seen: Vec<_> = found.iter().map(|found| (found.feature_id.as_str(), found.kind)).collect();
        let (sign, object) = (Some(FeatureKind::Sign), Some(FeatureKind::Object));
        assert_eq!(seen, [("5", object), ("17", sign), ("36028797018963971", sign)]);
        assert_eq!(found[0].geometry, None);
        assert_eq!(found[1].geometry, Some(TILE.lonlat(7.0, 7.0, 4096.0)));
        assert_eq!(found[1].first_seen_at, Some(1_600_000_000_123));
        assert!(found.iter().all(|found| found.value.as_deref() == Some("object--bench")));
    }

    #[test]
    fn a_border_belongs_to_one_tile_and_an_id_counts_once() {
        let ids: Vec<_> = (1..=5).map(whole).collect();
        let outside = [(-1, 5), (4096, 5), (5, -1), (5, 4096)];
        let mut all: Vec<_> = (2..6).zip(outside).map(|(id, at)| point(id, Some(at))).collect();
        all.extend([point(6, None), point(6, Some((0, 0))), point(6, Some((9, 9)))]);
        let found = read(&layer("point", &all, &ids)).features;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].geometry, Some(TILE.lonlat(0.0, 0.0, 4096.0)), "the first one with a place");
    }

    #[test]
    fn features_outside_the_area_are_dropped_and_those_without_a_place_are_kept() {
        let middle = TILE.lonlat(0.5, 0.5, 1.0);
        let west =
            Bbox::new(middle.lon - 1.0, middle.lat - 1.0, middle.lon, middle.lat + 1.0).expect("a box");
        let all = [point(2, Some((10, 10))), point(3, Some((4000, 10))), point(4, None)];
        let ids: Vec<_> = (1..=3).map(whole).collect();
        let found = features(&layer("point", &all, &ids), TILE, &west.into()).expect("a tile").features;
        let ids: Vec<_> = found.iter().map(|found| found.feature_id.as_str()).collect();
        assert_eq!(ids, ["1", "3"]);
    }

    #[test]
    fn an_unusable_id_costs_its_feature_only() {
        let float = [&[3 << 3 | 1][..], &36_028_797_018_963_968_f64.to_le_bytes()].concat();
        let exact = [&[3 << 3 | 1][..], &42_f64.to_le_bytes()].concat();
        let ids = [float, exact, block(1, b"abc"), vec![7 << 3, 1], whole(-7_i64 as u64)];
        let mut all: Vec<_> = (2..7).map(|id| point(id, Some((1, 1)))).collect();
        all.push(point(99, Some((1, 1))));
        all.push(block(2, &[0xFF]));
        let found = read(&layer("point", &all, &ids));
        assert_eq!(found.features.len(), 1);
        assert_eq!(found.features[0].feature_id.as_str(), "42");
        assert_eq!(found.unusable.len(), 6, "{:?}", found.unusable);
        assert!(found.unusable[0].contains("float"));
    }

    #[test]
    fn empty_and_hostile_tiles_are_no_panic() {
        assert_eq!(read(&[]), Features::default());
        assert_eq!(read(&layer("point", &[], &[])), Features::default());
        let zero_extent = block(3, &[block(1, b"point"), vec![5 << 3, 0]].concat());
        assert!(features(&zero_extent, TILE, &everywhere()).is_err());
        let full = layer("traffic_sign", &[point(2, Some((3, 3)))], &[whole(1)]);
        for end in 0..full.len() {
            features(&full[..end], TILE, &everywhere()).ok();
        }
        for index in 0..full.len() {
            for byte in [0, 0x7F, 0xFF] {
                let mut damaged = full.clone();
                damaged[index] = byte;
                features(&damaged, TILE, &everywhere()).ok();
            }
        }
        let many: Vec<_> = (0..1_200).map(|_| point(9, None)).collect();
        assert!(features(&layer("point", &many, &[]), TILE, &everywhere()).is_err());
    }
}
