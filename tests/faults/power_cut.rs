//! Power cuts, after which only synced data is left.

use std::fs;
use std::process::Command;

use super::ledger::Answer;
use super::load::Load;
use super::requests::{assert_counters, drained, open_and};
use crate::harness::{Backend, Disk, Link, Service, TcpProxy};

/// The number of power cuts.
const CUTS: usize = 4;

/// Tests the simulated disk itself.
#[test]
fn what_was_not_synced_is_gone_after_a_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(&folder.path().join("data"));
    let write = |name: &str, bytes: &str, conv: &str| {
        let written = Command::new("sh")
            .args(["-c", r#"printf %s "$1" | dd of="$2" conv="$3" status=none"#, "sh", bytes])
            .arg(folder.path().join("data").join(name))
            .arg(conv)
            .envs(disk.settings())
            .status();
        written.unwrap().success()
    };
    assert!(write("synced", "one", "fsync"));
    assert!(write("synced", "one two", "notrunc"));
    assert!(write("data-synced", "three", "fdatasync"));
    assert!(write("not-synced", "four", "notrunc"));
    for (name, and_then) in [("removed", "sync data"), ("not-removed", "true")] {
        assert!(write(name, "five", "fsync"));
        let remove = format!("rm data/{name} && {and_then}");
        let mut remove_it = Command::new("sh");
        remove_it.args(["-c", &remove]).current_dir(folder.path()).envs(disk.settings());
        assert!(remove_it.status().unwrap().success());
    }
    disk.fill();
    assert!(!write("synced", "one two three", "notrunc"), "the disk is full");
    assert!(write("synced", "ONE", "notrunc"), "there is room for what is there");
    disk.free();
    disk.cut_power();
    let read = |name: &str| fs::read_to_string(folder.path().join("data").join(name)).ok();
    assert_eq!(read("synced").as_deref(), Some("one"));
    assert_eq!(read("data-synced").as_deref(), Some("three"));
    assert_eq!(read("not-synced"), None);
    assert_eq!(read("removed"), None);
    assert_eq!(read("not-removed").as_deref(), Some("five"), "its folder was not synced");
}

/// Cuts the power of the service and starts another one in its place.
fn cut(mut service: Service, backend: &Backend, disk: &Disk, load: &Load) -> Service {
    service.signal("KILL");
    service.wait();
    disk.cut_power();
    let service = Service::start(backend, &open_and(&disk.settings()));
    load.move_to(service.port);
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_takes_no_event_from_sqlite() {
    let backend = Backend::sqlite();
    let disk = Disk::new(&backend.folder.path().join("data"));
    let mut service = Service::start(&backend, &open_and(&disk.settings()));
    let load = Load::begin(service.port);
    for _ in 0..CUTS {
        load.ledger.more(250).await;
        service = cut(service, &backend, &disk, &load);
    }
    load.ledger.more(50).await;
    let ledger = load.end().await;
    ledger.check(&backend).await;
    assert_counters(&service, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_takes_no_event_from_the_spool() {
    let (proxy, backend) = TcpProxy::to_postgres().await;
    let view = proxy.view(&backend);
    let disk = Disk::new(&view.folder.path().join("data"));
    let mut service = Service::start(&view, &open_and(&disk.settings()));
    let load = Load::begin(service.port);
    for cycle in 0..CUTS {
        proxy.set(Link::Down);
        load.ledger.more_of(Answer::Spooled, 250).await;
        if cycle % 2 == 1 {
            // Cut the power during a replay.
            proxy.set(Link::Up);
            load.ledger.more_of(Answer::Stored, 20).await;
        }
        service = cut(service, &view, &disk, &load);
    }
    proxy.set(Link::Up);
    load.ledger.more_of(Answer::Stored, 50).await;
    let ledger = load.end().await;
    drained(&service).await;
    ledger.check(&backend).await;
    assert_counters(&service, &backend).await;
}
