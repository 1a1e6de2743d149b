//! A network between the service and Postgres that loses answers, is slow, or swallows everything.

use std::time::Duration;

use super::book::Answer;
use super::calls::{OPEN, assert_counters, drained};
use super::load::Load;
use crate::harness::{Backend, Detour, Service, Weather};

/// A service that reaches its database on a way that a test disturbs.
struct Scene {
    way: Detour,
    backend: Backend,
    service: Service,
    load: Load,
}

impl Scene {
    async fn open() -> Self {
        let (way, backend) = Detour::to_postgres().await;
        let service = Service::start(&way.view(&backend), &OPEN);
        let load = Load::begin(service.port);
        load.book.more_of(Answer::Stored, 300).await;
        Self { way, backend, service, load }
    }

    /// Ends the fault and the load: nothing was refused, and everything is in the database once.
    async fn close(self) {
        self.way.set(Weather::Fair);
        self.load.book.more_of(Answer::Stored, 300).await;
        let book = self.load.end().await;
        drained(&self.service).await;
        assert_eq!(book.refused(), 0);
        assert!(book.longest() < Duration::from_secs(3), "an answer took {:?}", book.longest());
        book.check(&self.backend).await;
        assert_counters(&self.service, &self.backend).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_counts_once() {
    let scene = Scene::open().await;
    // The answers before the one that is lost: whichever statement of a transaction it is of.
    for answers in (0..4).cycle().take(24) {
        scene.way.cut_after(answers);
        scene.load.book.more(50).await;
    }
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_too_late_does_not_double_an_event() {
    let scene = Scene::open().await;
    for by in [300, 1_100, 2_500] {
        scene.way.set(Weather::Slow(Duration::from_millis(by)));
        scene.load.book.more(100).await;
        scene.way.set(Weather::Fair);
        scene.load.book.more_of(Answer::Stored, 50).await;
    }
    assert!(scene.load.book.count(Answer::Spooled) > 0);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_swallows_everything_does_not_hold_up_callers() {
    let scene = Scene::open().await;
    for _ in 0..2 {
        scene.way.set(Weather::Silent);
        scene.load.book.more_of(Answer::Spooled, 300).await;
        scene.way.set(Weather::Fair);
        scene.load.book.more_of(Answer::Stored, 100).await;
    }
    scene.close().await;
}
