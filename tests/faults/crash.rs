//! `kill -9` under load.

use super::load::Load;
use crate::harness::{Backend, Service, on_every_backend};

on_every_backend! {
    no_acknowledged_event_is_lost_or_doubled_by_kill_9,
}

/// How often the service is killed.
const KILLS: usize = 4;

/// Settings that let load through, and have nothing between the service and its database.
pub(super) const OPEN: [(&str, &str); 4] = [
    ("RATE_LIMIT_TRACK", "off"),
    ("RATE_LIMIT_HEALTH_DETAILED", "off"),
    ("FLOOD_LIMIT_PER_SECOND", "off"),
    ("SPOOL_DIR", "off"),
];

async fn no_acknowledged_event_is_lost_or_doubled_by_kill_9(backend: Backend) {
    let mut service = Service::start(&backend, &OPEN);
    let load = Load::begin(service.port);
    for _ in 0..KILLS {
        load.book.more(300).await;
        service.signal("KILL");
        service.wait();
        service = Service::start(&backend, &OPEN);
        load.move_to(service.port);
    }
    load.book.more(100).await;
    let book = load.end().await;
    book.check(&backend).await;
}
