//! Texts that many images share, as numbers.

use std::collections::HashMap;
use std::hash::Hash;

/// Numbers distinct keys, from zero in the order of their first appearance, and counts them.
#[derive(Debug, Clone)]
pub(super) struct Dictionary<K> {
    numbers: HashMap<K, u32>,
    keys: Vec<K>,
    counts: Vec<u64>,
    /// The previous number: neighbours mostly have the same key.
    last: u32,
    /// Keys keep their numbers while further ones are added.
    is_stable: bool,
}

impl<K> Default for Dictionary<K> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), keys: Vec::new(), counts: Vec::new(), last: 0, is_stable: false }
    }
}

impl<K: Clone + Eq + Hash> Dictionary<K> {
    /// The number of a key. `is_key` compares a known key; `make` creates it.
    pub(super) fn number(&mut self, is_key: impl Fn(&K) -> bool, make: impl FnOnce() -> K) -> u32 {
        let is_last = self.keys.get(self.last as usize).is_some_and(is_key);
        if !is_last {
            let key = make();
            let next = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
            self.last = if let Some(number) = self.numbers.get(&key) {
                *number
            } else {
                self.numbers.insert(key.clone(), next);
                self.keys.push(key);
                self.counts.push(0);
                next
            };
        }
        self.counts[self.last as usize] += 1;
        self.last
    }

    pub(super) fn keys(&self) -> &[K] {
        &self.keys
    }

    /// Keeps the order of first appearance, for a page that grows.
    pub(super) fn keep_order(&mut self) {
        self.is_stable = true;
    }

    /// The new number of each old one, and the old numbers in the new order: the most frequent key comes first.
    pub(super) fn by_count(&self) -> (Vec<u32>, Vec<u32>) {
        let mut order: Vec<u32> = (0..u32::try_from(self.keys.len()).unwrap_or(u32::MAX)).collect();
        if self.is_stable {
            return (order.clone(), order);
        }
        order.sort_by_key(|number| std::cmp::Reverse(self.counts[*number as usize]));
        let mut new = vec![0; order.len()];
        for (rank, old) in (0..).zip(&order) {
            new[*old as usize] = rank;
        }
        (new, order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_once_and_ranked_by_frequency() {
        let mut names = Dictionary::<String>::default();
        let numbers = ["b", "a", "a", "b", "c", "a"]
            .map(|name| names.number(|known| known == name, || name.to_owned()));
        assert_eq!(numbers, [0, 1, 1, 0, 2, 1]);
        assert_eq!(names.keys(), ["b", "a", "c"]);
        assert_eq!(names.by_count(), (vec![1, 0, 2], vec![1, 0, 2]));
        names.keep_order();
        assert_eq!(names.by_count(), (vec![0, 1, 2], vec![0, 1, 2]));
    }
}
