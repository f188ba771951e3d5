//! A place among the items that have not failed yet.
//!
//! Steps start as many items as the client may have requests under way. An item that fails waits for its next attempt,
//! and meanwhile its place goes to another: bad items take no places of good ones.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use crate::client::handle::Client;

/// Held by an item until its first failure or its end.
pub(crate) struct Place(Mutex<Option<OwnedSemaphorePermit>>);

impl Place {
    fn give_back(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn is_given_back(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Client {
    /// The same client for the requests of one item, which holds a place until one of them fails.
    pub(crate) fn with_place(&self, place: OwnedSemaphorePermit) -> Self {
        Self { 2: Some(Arc::new(Place(Mutex::new(Some(place))))), ..self.clone() }
    }

    /// Takes note that a request for the item failed.
    pub(crate) fn give_place_back(&self) {
        if let Some(place) = &self.2 {
            place.give_back();
        }
    }

    /// Whether a request for this item failed before.
    pub(crate) fn has_failed_before(&self) -> bool {
        self.2.as_ref().is_some_and(|place| place.is_given_back())
    }
}
