//! One of several partitions of a plan.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::storage::Bucket;

/// The largest number of partitions.
pub(crate) const MAX_PARTITIONS: u32 = 99_999;

/// Partition `index` of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Partition {
    /// From 0.
    pub(crate) index: u32,
    pub(crate) count: u32,
}

impl Partition {
    /// The rows of the partition in a table of `total` rows. The ranges of all partitions cover the table.
    pub(crate) fn rows(self, total: u64) -> Range<u64> {
        let edge = |index: u32| {
            let edge = u128::from(index) * u128::from(total) / u128::from(self.count);
            u64::try_from(edge).unwrap_or(total)
        };
        edge(self.index)..edge(self.index + 1)
    }

    /// The name of the output directory.
    pub(crate) fn name(self) -> String {
        format!("part-{:05}-of-{:05}", self.index, self.count)
    }

    /// The output directory of the partition: a path, or the URL of a folder in a bucket.
    pub(crate) fn directory(self, plan: &Path) -> PathBuf {
        match plan.to_str().filter(|text| Bucket::is_url(text)) {
            Some(url) => format!("{}/{}", url.trim_end_matches('/'), self.name()).into(),
            None => plan.join(self.name()),
        }
    }

    /// The partition of a directory name.
    pub(crate) fn from_directory(name: &str) -> Option<Self> {
        let (index, count) = name.strip_prefix("part-")?.split_once("-of-")?;
        parse(index, count)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

fn parse(index: &str, count: &str) -> Option<Partition> {
    let (index, count) = (index.parse().ok()?, count.parse().ok()?);
    (index < count && count <= MAX_PARTITIONS).then_some(Partition { index, count })
}

/// Parses a partition: `I/N`.
pub(crate) fn partition(text: &str) -> Result<Partition, String> {
    text.split_once('/').and_then(|(index, count)| parse(index.trim(), count.trim())).ok_or_else(|| {
        format!("a partition is I/N with I from 0 to N - 1 and N at most {MAX_PARTITIONS}, such as 0/8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_of_all_partitions_cover_the_table_once() {
        for (total, count) in [(0, 3), (1, 8), (7, 8), (8, 8), (1000, 7), (u64::MAX, 99_999)] {
            let mut next = 0;
            for index in 0..count {
                let rows = Partition { index, count }.rows(total);
                assert!(rows.start == next && rows.end >= rows.start, "{total} {count} {rows:?}");
                next = rows.end;
            }
            assert_eq!(next, total);
        }
    }

    #[test]
    fn a_partition_is_below_the_number_of_partitions() {
        let third = Partition { index: 3, count: 8 };
        assert_eq!(partition("3/8"), Ok(third));
        let directory = third.directory(Path::new("x"));
        assert_eq!(directory, Path::new("x/part-00003-of-00008"));
        let directory = third.directory(Path::new("s3://b/x/"));
        assert_eq!(directory, Path::new("s3://b/x/part-00003-of-00008"));
        assert_eq!(Partition::from_directory("part-00003-of-00008"), Some(third));
        for text in ["8/8", "0/0", "-1/8", "1", "1/100000", "a/b", ""] {
            assert!(partition(text).is_err(), "{text}");
        }
        assert_eq!(Partition::from_directory("part-8-of-8"), None);
    }
}
