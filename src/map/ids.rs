//! Image ids as numbers.

use crate::model::ImageId;

/// First number of the ids that are not the decimal form of a 63-bit number. Their position in a list is added to it.
pub(super) const FIRST_OTHER_ID: u64 = 1 << 63;

/// The number of an id; `None` for ids with leading zeros or more than 63 bits, which a number can't represent.
pub(super) fn id_number(id: &ImageId) -> Option<u64> {
    let text = id.as_str();
    let number = text.parse().ok().filter(|number| *number < FIRST_OTHER_ID)?;
    (!text.starts_with('0') || text == "0").then_some(number)
}

/// The ids of the images of a page, to check the ids of requests.
#[derive(Debug, Clone)]
pub struct ImageIds {
    /// Sorted.
    numbers: Vec<u64>,
    others: Vec<String>,
}

impl ImageIds {
    /// `numbers` may contain those of `others`, which match no id.
    pub(super) fn new(mut numbers: Vec<u64>, mut others: Vec<String>) -> Self {
        numbers.sort_unstable();
        others.sort_unstable();
        Self { numbers, others }
    }

    /// Whether a page contains the image.
    pub fn contains(&self, id: &ImageId) -> bool {
        match id_number(id) {
            Some(number) => self.numbers.binary_search(&number).is_ok(),
            None => self.others.binary_search_by(|other| other.as_str().cmp(id.as_str())).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_by_its_text() {
        let ids = ImageIds::new(vec![7, FIRST_OTHER_ID, 3], vec!["007".to_owned()]);
        let has = |text: &str| ids.contains(&ImageId::new(text).expect("an id"));
        assert_eq!(["7", "3", "007", "07", "8"].map(has), [true, true, true, false, false]);
        assert!(!has("9223372036854775808"), "the number of another id is none");
    }
}
