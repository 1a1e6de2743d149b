//! Repeated `kill -9` under load.

use super::load::Load;
pub(super) use super::requests::OPEN;
use super::requests::{assert_counters, drained};
use crate::harness::{Backend, Link, Service, TcpProxy, on_every_backend};

on_every_backend! {
    no_acknowledged_event_is_lost_or_doubled_by_kill_9,
}

/// Returns how many times to kill the service: 10, unless `scripts/crash` sets another number.
fn kills() -> usize {
    #[expect(clippy::disallowed_methods, reason = "it is no setting of the service")]
    let kills = std::env::var("CRASH_CYCLES");
    kills.map_or(10, |kills| kills.parse().unwrap())
}

/// The minimum number of events acknowledged between two kills.
const EVENTS: usize = 110;

async fn no_acknowledged_event_is_lost_or_doubled_by_kill_9(backend: Backend) {
    let mut service = Service::start(&backend, &OPEN);
    let load = Load::begin(service.port);
    for _ in 0..kills() {
        load.ledger.more(EVENTS).await;
        service = kill(service, &backend, &load);
    }
    load.ledger.more(EVENTS).await;
    let ledger = load.end().await;
    ledger.check(&backend).await;
    assert_counters(&service, &backend).await;
}

/// Kills the service and starts another one in its place.
fn kill(mut service: Service, backend: &Backend, load: &Load) -> Service {
    service.signal("KILL");
    service.wait();
    let service = Service::start(backend, &OPEN);
    load.move_to(service.port);
    service
}

/// Alternates between killing the service while the database is unavailable and while it replays the spool.
#[tokio::test(flavor = "multi_thread")]
async fn no_spooled_event_is_lost_or_doubled_by_kill_9() {
    let (proxy, backend) = TcpProxy::to_postgres().await;
    let view = proxy.view(&backend);
    let mut service = Service::start(&view, &OPEN);
    let load = Load::begin(service.port);
    for cycle in 0..kills() {
        proxy.set(if cycle % 2 == 0 { Link::Down } else { Link::Up });
        load.ledger.more(EVENTS).await;
        service = kill(service, &view, &load);
    }
    proxy.set(Link::Up);
    load.ledger.more(EVENTS).await;
    let ledger = load.end().await;
    drained(&service).await;
    ledger.check(&backend).await;
    assert_counters(&service, &backend).await;
}
