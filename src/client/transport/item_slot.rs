//! A slot among the items in flight.
//!
//! A step starts as many items as the client may have requests in flight. An item that fails waits for its retry; in the
//! meantime its slot goes to another item, so that failing items do not hold up good ones.

use std::sync::Mutex;

use tokio::sync::OwnedSemaphorePermit;

use crate::sync::lock;

/// Held by an item until its first failure or its end.
pub(crate) struct ItemSlot(Mutex<Option<OwnedSemaphorePermit>>);

impl ItemSlot {
    pub(crate) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Mutex::new(Some(permit)))
    }

    /// Gives the slot to another item, because a request of this item failed.
    pub(crate) fn release(&self) {
        *lock(&self.0) = None;
    }

    /// Whether a request of this item failed before.
    pub(crate) fn is_released(&self) -> bool {
        lock(&self.0).is_none()
    }
}
