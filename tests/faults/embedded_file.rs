//! The embedded file is removed or replaced while the service runs.

use std::fs;
use std::path::PathBuf;

use super::requests::{OPEN, get, track};
use crate::harness::{Backend, Service, eventually};

fn path(backend: &Backend) -> PathBuf {
    backend.url.strip_prefix("sqlite:").unwrap().into()
}

/// Waits until the service is ready, or not.
async fn ready(service: &Service, status: u16) {
    eventually("the service notices", async || get(service, "/health/ready").await.0 == status).await;
}

/// Removes the file and what SQLite keeps beside it.
fn remove(backend: &Backend) {
    for ending in ["", "-wal", "-shm"] {
        fs::remove_file(format!("{}{ending}", path(backend).display())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_accepted_into_a_file_that_was_removed_until_one_is_there_again() {
    let backend = Backend::sqlite();
    let service = Service::start(&backend, &OPEN);
    for _ in 0..3 {
        assert_eq!(track(&service).await.0, 200);
    }
    remove(&backend);
    for _ in 0..20 {
        assert_eq!(track(&service).await.0, 503);
    }
    ready(&service, 503).await;
    assert_eq!(get(&service, "/health/live").await.0, 200);
    let log = service.log();
    let told: Vec<_> =
        log.lines().filter(|line| line.contains("the database is unavailable: the file ")).collect();
    assert!(matches!(told[..], [line] if line.contains("was removed while it was in use")), "{log}");
    fs::write(path(&backend), "").unwrap();
    ready(&service, 200).await;
    for _ in 0..5 {
        assert_eq!(track(&service).await.0, 200);
    }
    assert_eq!(backend.rows().await, 5);
    let restarted = Service::start(&backend, &OPEN);
    ready(&restarted, 200).await;
    assert_eq!(super::requests::metric(&restarted, "ai_response_time_seconds_count").await, Some(5.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_moved_away_is_used_again_when_it_is_back() {
    let backend = Backend::sqlite();
    let service = Service::start(&backend, &OPEN);
    assert_eq!(track(&service).await.0, 200);
    let away = path(&backend).with_extension("away");
    fs::rename(path(&backend), &away).unwrap();
    assert_eq!(track(&service).await.0, 503);
    fs::rename(&away, path(&backend)).unwrap();
    ready(&service, 200).await;
    assert_eq!(track(&service).await.0, 200);
    assert_eq!(backend.rows().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_is_taken_up_with_what_it_holds() {
    let (backend, other) = (Backend::sqlite(), Backend::sqlite());
    let mut service = Service::start(&other, &OPEN);
    for _ in 0..7 {
        assert_eq!(track(&service).await.0, 200);
    }
    service.signal("TERM");
    service.wait();
    let service = Service::start(&backend, &OPEN);
    assert_eq!(track(&service).await.0, 200);
    fs::rename(path(&other), path(&backend)).unwrap();
    assert_eq!(track(&service).await.0, 503);
    assert!(service.log().contains("was replaced while it was in use"), "{}", service.log());
    ready(&service, 200).await;
    assert_eq!(track(&service).await.0, 200);
    assert_eq!(backend.rows().await, 8);
    assert_eq!(super::requests::metric(&service, "ai_response_time_seconds_count").await, Some(8.0));
}
