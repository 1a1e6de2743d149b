//! `kill -9` under load, again and again.

use super::load::Load;
pub(super) use super::requests::OPEN;
use super::requests::{assert_counters, drained};
use crate::harness::{Backend, Link, Service, TcpProxy, on_every_backend};

on_every_backend! {
    no_acknowledged_event_is_lost_or_doubled_by_kill_9,
}

/// How often the service is killed: 10 times, or as often as `scripts/crash` says.
fn kills() -> usize {
    #[expect(clippy::disallowed_methods, reason = "it is no setting of the service")]
    let kills = std::env::var("CRASH_CYCLES");
    kills.map_or(10, |kills| kills.parse().unwrap())
}

/// Events that are acknowledged between two kills.
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

/// Kills a service, and starts another one in its place.
fn kill(mut service: Service, backend: &Backend, load: &Load) -> Service {
    service.signal("KILL");
    service.wait();
    let service = Service::start(backend, &OPEN);
    load.move_to(service.port);
    service
}

/// Every second time the database is away when the service is killed and started; the other times the service is killed
/// while it replays what the spool holds.
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
