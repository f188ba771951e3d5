//! A budget of requests that several processes share: Python takes leases from a coordinator and grants them here.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use streetflow::client::{RateLimits, RateSource};
use streetflow::{Class, async_trait};
use tokio::sync::Semaphore;

/// The most calls of a lease.
const MAX_CALLS: usize = 1_000_000;

/// Permissions for requests of images, granted in leases. Other requests are not limited: workers ask for no tiles, and
/// each list of images goes with several requests of images.
#[pyclass(module = "streetflow._core", frozen)]
pub(crate) struct Leases(pub(crate) Arc<LeasedRate>);

pub(crate) struct LeasedRate {
    permits: Semaphore,
    /// Requests that wait for a permission.
    waiting: Mutex<usize>,
    changed: Condvar,
    limits: RateLimits,
}

/// A request that waits, until it is dropped.
struct Waiting<'a>(&'a LeasedRate);

impl LeasedRate {
    fn count(&self, change: impl FnOnce(&mut usize)) {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

impl<'a> Waiting<'a> {
    fn new(rate: &'a LeasedRate) -> Self {
        rate.count(|waiting| *waiting += 1);
        Self(rate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.count(|waiting| *waiting -= 1);
    }
}

#[async_trait]
impl RateSource for LeasedRate {
    async fn acquire(&self, class: Class, on_wait: &(dyn Fn(Duration) + Send + Sync)) {
        if class == Class::Entity {
            let permit = if let Ok(permit) = self.permits.try_acquire() {
                Some(permit)
            } else {
                let _waiting = Waiting::new(self);
                self.permits.acquire().await.ok()
            };
            permit.into_iter().for_each(tokio::sync::SemaphorePermit::forget);
        }
        // Pauses that the API asks for apply to leased requests, too.
        self.limits.acquire(class, on_wait).await;
    }

    fn pause(&self, class: Class, wait: Duration) {
        self.limits.pause(class, wait);
    }

    fn report_usage(&self, class: Class, percent: f64) -> bool {
        self.limits.report_usage(class, percent)
    }
}

#[pymethods]
impl Leases {
    #[new]
    fn new() -> Self {
        Self(Arc::new(LeasedRate {
            permits: Semaphore::new(0),
            waiting: Mutex::new(0),
            changed: Condvar::new(),
            limits: RateLimits::unlimited(),
        }))
    }

    /// Waits until a request needs a permission, for at most `seconds`. Returns whether one does.
    fn wanted(&self, py: Python<'_>, seconds: f64) -> bool {
        let timeout = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        py.detach(|| {
            let waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self.0.changed.wait_timeout_while(waiting, timeout, |waiting| *waiting == 0);
            let (waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
            *waiting > 0
        })
    }

    /// Permits so many requests.
    fn grant(&self, calls: usize) {
        self.0.permits.add_permits(calls.min(MAX_CALLS));
    }
}
