//! A full disk, for SQLite and for the spool.

use super::ledger::Answer;
use super::load::Load;
use super::requests::{assert_counters, drained, get, open_and};
use crate::harness::{Backend, Disk, Link, Service, TcpProxy, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_sqlite_refuses_and_harms_nothing() {
    let backend = Backend::sqlite();
    let disk = Disk::new(&backend.folder.path().join("data"));
    let service = Service::start(&backend, &open_and(&disk.settings()));
    let load = Load::begin(service.port);
    for _ in 0..2 {
        load.ledger.more_of(Answer::Stored, 600).await;
        disk.fill();
        load.ledger.more_of(Answer::Refused, 100).await;
        assert_eq!(get(&service, "/health").await.0, 200);
        assert_eq!(get(&service, "/analytics/b-0").await.0, 200, "what is stored can be read");
        disk.free();
    }
    load.ledger.more_of(Answer::Stored, 100).await;
    let ledger = load.end().await;
    ledger.check(&backend).await;
    assert_counters(&service, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_spool_refuses_and_harms_nothing() {
    let (proxy, backend) = TcpProxy::to_postgres().await;
    let view = proxy.view(&backend);
    let disk = Disk::new(&view.folder.path().join("data"));
    let disk_and = [disk.settings().as_slice(), &[("METRICS_REFRESH_SECONDS", "1")]].concat();
    let service = Service::start(&view, &open_and(&disk_and));
    let load = Load::begin(service.port);
    load.ledger.more_of(Answer::Stored, 300).await;
    disk.fill();
    load.ledger.more_of(Answer::Stored, 100).await;
    for _ in 0..2 {
        proxy.set(Link::Down);
        load.ledger.more_of(Answer::Refused, 100).await;
        eventually("it is not ready", async || get(&service, "/health/ready").await.0 == 503).await;
        disk.free();
        load.ledger.more_of(Answer::Spooled, 300).await;
        eventually("it is ready", async || get(&service, "/health/ready").await.0 == 200).await;
        disk.fill();
        load.ledger.more_of(Answer::Refused, 100).await;
        proxy.set(Link::Up);
        load.ledger.more_of(Answer::Stored, 100).await;
    }
    disk.free();
    let ledger = load.end().await;
    drained(&service).await;
    ledger.check_without_room(&backend).await;
    assert_counters(&service, &backend).await;
}
