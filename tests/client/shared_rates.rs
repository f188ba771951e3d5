//! Two clients that take their permissions from one source, counted at the server.

use std::sync::Arc;
use std::time::Duration;

use streetflow::client::RateSource;
use streetflow::{Class, async_trait};
use streetflow_sandbox::{Host, Sandbox};
use tokio::sync::Semaphore;

use crate::support::{builder, eventually, image_records};

/// A fixed number of permissions for requests of metadata.
struct Budget(Semaphore);

#[async_trait]
impl RateSource for Budget {
    async fn acquire(&self, class: Class, _: &(dyn Fn(Duration) + Send + Sync)) {
        assert_eq!(class, Class::Entity);
        self.0.acquire().await.unwrap().forget();
    }

    fn pause(&self, _: Class, _: Duration) {}

    fn report_usage(&self, _: Class, _: f64) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_together_send_no_more_than_their_source_permits() {
    let sandbox = Sandbox::start().await.unwrap();
    let budget = Arc::new(Budget(Semaphore::new(10)));
    let clients = [(); 2].map(|()| builder(&sandbox).rate_source(Arc::clone(&budget) as _).build().unwrap());
    let images: Vec<_> = image_records(1).collect();
    let mut requests = tokio::task::JoinSet::new();
    for client in clients {
        for _ in 0..20 {
            let (client, images) = (client.clone(), images.clone());
            requests.spawn(async move { client.images(&images, &"width".parse().unwrap()).await.map(drop) });
        }
    }
    let sent = || sandbox.requests_to(Host::Graph).len();
    eventually("ten requests", || sent() == 10 && budget.0.available_permits() == 0).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(sent(), 10);
    budget.0.add_permits(100);
    while let Some(ended) = requests.join_next().await {
        ended.unwrap().ok();
    }
    assert_eq!(sent() + budget.0.available_permits(), 110, "each request takes one permission");
    assert!(sent() >= 40);
}
