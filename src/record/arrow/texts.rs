//! Builds arrays of texts for streams.

use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};
use arrow_buffer::{Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use bytes::Bytes;
use memmap2::MmapMut;

/// From this length on, the bytes of an array have a memory mapping of their own.
const MIN_MAPPED_LEN: usize = 256 << 10;

/// Builds arrays of texts, one after the other, in the same memory.
///
/// A consumer drops arrays in another thread and in its own time. If their memory came from the allocator, it would be in
/// the middle of many small allocations of requests, and the next array, which has another length, would not fit into the
/// gap: glibc takes 15 MB for a stream of six fields in this way.
pub(super) struct TextsBuilder {
    bytes: Vec<u8>,
    ends: Vec<i32>,
    is_valid: NullBufferBuilder,
}

impl TextsBuilder {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), ends: Vec::new(), is_valid: NullBufferBuilder::new(0) }
    }

    /// Adds a text. A batch has far fewer than 2^31 bytes.
    pub(super) fn append(&mut self, text: Option<&str>) {
        self.bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
        self.ends.push(super::polygons::offset(self.bytes.len()));
        self.is_valid.append(text.is_some());
    }

    /// Returns the array of the texts added, and starts a new one.
    pub(super) fn finish(&mut self) -> ArrayRef {
        let offsets: ScalarBuffer<i32> = std::iter::once(0).chain(self.ends.iter().copied()).collect();
        // It cannot fail: the bytes are those of texts, and the offsets their ends.
        let array = StringArray::new(OffsetBuffer::new(offsets), buffer(&self.bytes), self.is_valid.finish());
        self.bytes.clear();
        self.ends.clear();
        Arc::new(array)
    }
}

/// Copies bytes, many of them into a mapping, which returns to the system when the array is dropped.
fn buffer(bytes: &[u8]) -> Buffer {
    if bytes.len() < MIN_MAPPED_LEN {
        return Buffer::from(bytes);
    }
    match MmapMut::map_anon(bytes.len()) {
        Ok(mut mapping) => {
            mapping.copy_from_slice(bytes);
            Buffer::from(Bytes::from_owner(mapping))
        }
        // The number of mappings of a process is limited.
        Err(_) => Buffer::from(bytes),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;

    use super::*;

    #[test]
    fn arrays_have_the_texts_that_were_added() {
        let long = "ü".repeat(MIN_MAPPED_LEN);
        let mut builder = TextsBuilder::new();
        for texts in [vec![Some("a"), None, Some(""), Some(&*long)], vec![], vec![Some("b")], vec![None; 9]] {
            texts.iter().for_each(|text| builder.append(*text));
            let array = builder.finish();
            assert_eq!(array.len(), texts.len());
            assert_eq!(array.as_string::<i32>().iter().collect::<Vec<_>>(), texts);
        }
    }
}
