//! Damage to the spool's file, which is corrupted or truncated while the service is down.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use uuid::Uuid;

use super::ledger::{Answer, Fault};
use super::load::Load;
use super::requests::{OPEN, assert_counters, drained};
use crate::harness::{Backend, Link, Service, TcpProxy};

/// An upper bound of the size of an event's frame, in bytes.
const RECORD: usize = 1_000;

/// The spool file of a service that is down.
struct Spool {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Spool {
    fn of(backend: &Backend) -> Self {
        let path = backend.folder.path().join("data/spool/spool.db");
        Self { bytes: fs::read(&path).unwrap(), path }
    }

    /// Returns the ids that occur in the file with their offsets, in order.
    fn places(&self) -> Vec<(usize, Uuid)> {
        let ids = self.bytes.windows(36).enumerate();
        ids.filter_map(|(at, id)| Some((at, Uuid::parse_str(str::from_utf8(id).ok()?).ok()?))).collect()
    }

    fn flip(&mut self, at: usize) {
        self.bytes[at] ^= 0x55;
    }

    fn write(self) {
        fs::write(self.path, self.bytes).unwrap();
    }
}

/// Damages the spool. Returns the events that may be lost.
type Damage = fn(&mut Spool) -> HashSet<Uuid>;

/// Kinds of damage, each with the signal that ends the service before it. After a kill, SQLite may roll back an
/// incomplete transaction, which may undo the damage.
const DAMAGES: [(&str, Damage); 6] = [
    ("TERM", in_the_head),
    ("TERM", in_records),
    ("TERM", in_the_tree),
    ("TERM", the_end),
    ("TERM", everywhere),
    ("KILL", everywhere),
];

/// Corrupts the database header, which contains no events.
fn in_the_head(spool: &mut Spool) -> HashSet<Uuid> {
    (0..100).for_each(|at| spool.flip(at));
    HashSet::new()
}

/// Corrupts three frames.
fn in_records(spool: &mut Spool) -> HashSet<Uuid> {
    let places = spool.places();
    let hit = [places[3], places[places.len() / 2], places[places.len() - 1]];
    for (at, _) in hit {
        spool.flip(at);
    }
    hit.iter().map(|(_, id)| *id).collect()
}

/// Corrupts the B-tree header of every other page.
fn in_the_tree(spool: &mut Spool) -> HashSet<Uuid> {
    (0..spool.bytes.len()).step_by(8_192).skip(1).step_by(2).for_each(|at| spool.flip(at));
    HashSet::new()
}

/// Truncates the file to half its size.
fn the_end(spool: &mut Spool) -> HashSet<Uuid> {
    let half = spool.bytes.len() / 2;
    let lost = spool.places().into_iter().filter(|(at, _)| at + RECORD > half).map(|(_, id)| id).collect();
    spool.bytes.truncate(half);
    lost
}

/// Corrupts every 5,003rd byte.
fn everywhere(spool: &mut Spool) -> HashSet<Uuid> {
    let hit: Vec<usize> = (0..spool.bytes.len()).step_by(5_003).collect();
    let near = |at: usize| hit.iter().any(|hit| at.abs_diff(*hit) < RECORD);
    let lost = spool.places().into_iter().filter(|(at, _)| near(*at)).map(|(_, id)| id).collect();
    for at in hit {
        spool.flip(at);
    }
    lost
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_spool_loses_the_damaged_events_alone() {
    let (proxy, backend) = TcpProxy::to_postgres().await;
    let view = proxy.view(&backend);
    let mut service = Service::start(&view, &OPEN);
    let load = Load::begin(service.port);
    load.ledger.more_of(Answer::Stored, 100).await;
    proxy.set(Link::Down);
    let mut may_be_lost = HashSet::new();
    for (signal, damage) in DAMAGES {
        load.ledger.more_of(Answer::Spooled, 300).await;
        service.signal(signal);
        service.wait();
        let mut spool = Spool::of(&view);
        may_be_lost.extend(damage(&mut spool));
        spool.write();
        service = Service::start(&view, &OPEN);
        let told = service.log().contains("the spool is damaged");
        assert!(told || signal == "KILL", "{}", service.log());
        load.move_to(service.port);
    }
    load.ledger.more_of(Answer::Spooled, 100).await;
    proxy.set(Link::Up);
    load.ledger.more_of(Answer::Stored, 100).await;
    let ledger = load.end().await;
    drained(&service).await;
    let stored: HashSet<Uuid> = backend.conversations().await.into_iter().collect();
    assert!(may_be_lost.iter().any(|id| !stored.contains(id)), "the damage did hit events");
    ledger.forget(&may_be_lost.difference(&stored).copied().collect());
    ledger.check(&backend).await;
    assert_counters(&service, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_of_garbage_does_not_keep_the_service_from_starting() {
    for garbage in [vec![], vec![0x2a], vec![0x55; 100_000]] {
        let backend = Backend::postgres().await;
        fs::create_dir_all(backend.folder.path().join("data/spool")).unwrap();
        fs::write(backend.folder.path().join("data/spool/spool.db"), garbage).unwrap();
        let service = Service::start(&backend, &OPEN);
        let load = Load::of(&[service.port], 1, 0);
        load.ledger.more_of(Answer::Stored, 5).await;
        let ledger = load.end().await;
        assert_eq!(ledger.faults(&backend).await, [Fault::TooFew(ledger.acknowledged())]);
    }
}
