//! Network faults between the service and Postgres: lost responses, latency and stalls.

use std::time::Duration;

use super::ledger::Answer;
use super::load::Load;
use super::requests::{OPEN, assert_counters, drained};
use crate::harness::{Backend, Link, Service, TcpProxy};

/// A service under load that connects to its database through a [`TcpProxy`].
struct Scene {
    proxy: TcpProxy,
    backend: Backend,
    service: Service,
    load: Load,
}

impl Scene {
    async fn open() -> Self {
        let (proxy, backend) = TcpProxy::to_postgres().await;
        let service = Service::start(&proxy.view(&backend), &OPEN);
        let load = Load::begin(service.port);
        load.ledger.more_of(Answer::Stored, 300).await;
        Self { proxy, backend, service, load }
    }

    /// Ends the fault and the load. Asserts that nothing was refused and every event is stored exactly once.
    async fn close(self) {
        self.proxy.set(Link::Up);
        self.load.ledger.more_of(Answer::Stored, 300).await;
        let ledger = self.load.end().await;
        drained(&self.service).await;
        assert_eq!(ledger.refused(), 0);
        assert!(ledger.longest() < Duration::from_secs(3), "an answer took {:?}", ledger.longest());
        ledger.check(&self.backend).await;
        assert_counters(&self.service, &self.backend).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_counts_once() {
    let scene = Scene::open().await;
    // The number of responses before the lost one varies, so that any statement of a transaction is hit.
    for answers in (0..4).cycle().take(24) {
        scene.proxy.cut_after(answers);
        scene.load.ledger.more(50).await;
    }
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_too_late_does_not_double_an_event() {
    let scene = Scene::open().await;
    for by in [300, 1_100, 2_500] {
        scene.proxy.set(Link::Slow(Duration::from_millis(by)));
        scene.load.ledger.more(100).await;
        scene.proxy.set(Link::Up);
        scene.load.ledger.more_of(Answer::Stored, 50).await;
    }
    assert!(scene.load.ledger.count(Answer::Spooled) > 0);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_swallows_everything_does_not_hold_up_callers() {
    let scene = Scene::open().await;
    for _ in 0..2 {
        scene.proxy.set(Link::Stalled);
        scene.load.ledger.more_of(Answer::Spooled, 300).await;
        scene.proxy.set(Link::Up);
        scene.load.ledger.more_of(Answer::Stored, 100).await;
    }
    scene.close().await;
}
