//! The ends of lists inside a list.

use std::fmt;
use std::ops::Deref;

/// Ascending ends, in place if there is one: most shapes are one polygon with one ring.
#[derive(Clone)]
pub(crate) enum Ends {
    One(u32),
    /// None, or several.
    Many(Vec<u32>),
}

impl Ends {
    pub(crate) fn push(&mut self, end: u32) {
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, end]),
            // Memory that was reserved is used again.
            Self::Many(ends) if ends.is_empty() && ends.capacity() == 0 => *self = Self::One(end),
            Self::Many(ends) => ends.push(end),
        }
    }

    /// Removes all ends and keeps the memory.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::One(_) => *self = Self::default(),
            Self::Many(ends) => ends.clear(),
        }
    }
}

impl Default for Ends {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Deref for Ends {
    type Target = [u32];

    #[inline]
    fn deref(&self) -> &[u32] {
        match self {
            Self::One(end) => std::slice::from_ref(end),
            Self::Many(ends) => ends,
        }
    }
}

impl From<&[u32]> for Ends {
    fn from(ends: &[u32]) -> Self {
        match ends {
            [end] => Self::One(*end),
            ends => Self::Many(ends.to_vec()),
        }
    }
}

impl FromIterator<u32> for Ends {
    fn from_iter<I: IntoIterator<Item = u32>>(ends: I) -> Self {
        let mut all = Self::default();
        ends.into_iter().for_each(|end| all.push(end));
        all
    }
}

impl PartialEq for Ends {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_the_same_in_place_and_in_a_list() {
        let mut ends = Ends::default();
        assert!(ends.is_empty());
        for count in 1..4_u32 {
            ends.push(count);
            let expected: Vec<_> = (1..=count).collect();
            assert_eq!((&*ends, &ends), (&*expected, &Ends::from(&*expected)));
            assert_eq!(ends, expected.into_iter().collect());
        }
        // One end in reserved memory equals one in place.
        ends.clear();
        ends.push(7);
        assert_eq!((&*ends, &ends), (&[7][..], &Ends::from(&[7][..])));
        assert!(matches!((&ends, Ends::from(&*ends)), (Ends::Many(_), Ends::One(7))));
    }
}
