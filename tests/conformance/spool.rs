//! The spool: what is in it is kept, in order, each event once, whatever becomes of its file.

use std::path::Path;

use chrono::DateTime;
use mlops_service::event::{Event, Report};
use mlops_service::rollup::Sum;
use mlops_service::spool::{Delivery, Spool, Spooled};
use serde_json::json;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use crate::harness::{event, real_now};

fn made(number: u32) -> Event {
    let changes = json!({
        "event_id": format!("8e03978e-40d5-43dd-bc93-{number:012x}"), "success_rate": null, "tokens_used": number,
        "api_cost_usd": 9_999.999_999, "business_id": "ü".repeat(255), "conversation_id": "🦀".repeat(255),
    });
    // The spool keeps microseconds.
    let received_at = DateTime::from_timestamp_micros(real_now().timestamp_micros()).unwrap();
    Report::parse(event(changes).to_string().as_bytes()).unwrap().into_event(None, received_at).unwrap()
}

async fn filled(folder: &Path, events: &[Event]) -> Spool {
    let spool = Spool::new(folder, 512);
    let added = spool.add(&events.iter().collect::<Vec<_>>(), Delivery::Unsent).await.unwrap();
    assert_eq!(added, vec![true; events.len()]);
    spool
}

async fn all(spool: &Spool) -> Vec<Spooled> {
    spool.next(Delivery::Unsent, 0, 10_000).await.unwrap()
}

fn events(spooled: &[Spooled]) -> Vec<Event> {
    spooled.iter().map(|spooled| spooled.event.clone()).collect()
}

#[tokio::test]
async fn events_come_out_as_they_went_in_each_once_and_in_order() {
    let folder = TempDir::new().unwrap();
    let sent: Vec<Event> = (0..300).map(made).collect();
    let spool = filled(folder.path(), &sent).await;
    assert_eq!(spool.add(&[&sent[7]], Delivery::Unsent).await.unwrap(), [false]);
    assert_eq!(events(&all(&spool).await), sent);
    spool.close().await;
    let again = Spool::new(folder.path(), 512);
    again.open().await.unwrap();
    let spooled = all(&again).await;
    assert_eq!(events(&spooled), sent);
    let (depth, oldest, sums) = {
        let state = again.state();
        (state.depth(), state.oldest(), state.totals().values().next().unwrap().clone())
    };
    assert_eq!((depth, oldest), (300, Some(sent[0].at)));
    assert_eq!((sums[Sum::Events], sums[Sum::Tokens]), (300, 299 * 300 / 2));
    again.remove(&spooled[..100]).await.unwrap();
    assert_eq!(again.known(&[sent[99].key(), sent[100].key()]).await.unwrap(), [sent[100].key()]);
    again.remove(&spooled[100..]).await.unwrap();
    assert_eq!(again.state().depth(), 0);
    assert!(again.state().totals().is_empty());
    again.close().await;
    let file = std::fs::read(folder.path().join("spool.db")).unwrap();
    assert!(!file.windows(12).any(|bytes| bytes == b"\"business_id"), "nothing of an event is left");
}

#[tokio::test]
async fn damage_costs_no_more_than_what_it_hit() {
    for hit in ["head", "tree", "record", "cut"] {
        let folder = TempDir::new().unwrap();
        let sent: Vec<Event> = (0..300).map(made).collect();
        filled(folder.path(), &sent).await.close().await;
        let path = folder.path().join("spool.db");
        let mut bytes = std::fs::read(&path).unwrap();
        let lost = damage(&mut bytes, hit);
        std::fs::write(&path, &bytes).unwrap();
        let spool = Spool::new(folder.path(), 512);
        spool.open().await.unwrap();
        let left = events(&all(&spool).await);
        assert!(left.len() >= sent.len() - lost, "{hit}: {} are left", left.len());
        assert!(left.iter().all(|event| sent.contains(event)), "{hit}: what is left is whole");
        assert_eq!(spool.add(&[&made(1_000)], Delivery::Unsent).await.unwrap(), [true], "{hit}: it goes on");
    }
}

/// Damages the bytes of a file; gives how many records that may cost.
fn damage(bytes: &mut Vec<u8>, hit: &str) -> usize {
    let length = bytes.len();
    match hit {
        "head" => bytes[..100].fill(0xff),
        "tree" => (0..length / 8_192).for_each(|page| bytes[page * 8_192..page * 8_192 + 8].fill(0xff)),
        "record" => {
            let at = bytes.windows(12).position(|bytes| bytes == b"\"business_id").unwrap();
            bytes[at + 20] ^= 0xff;
            return 1;
        }
        _ => {
            bytes.truncate(length - 8_192);
            return 3;
        }
    }
    0
}

#[tokio::test]
async fn a_full_spool_takes_nothing_and_keeps_what_it_has() {
    let folder = TempDir::new().unwrap();
    let spool = Spool::new(folder.path(), 1);
    let mut kept = 0;
    while spool.add(&[&made(kept)], Delivery::Unsent).await.is_ok() {
        kept += 1;
    }
    assert!(kept > 100, "{kept}");
    assert!(!spool.is_writable());
    let spooled = all(&spool).await;
    assert_eq!(spooled.len(), kept as usize);
    spool.remove(&spooled[..50]).await.unwrap();
    assert_eq!(spool.add(&[&made(kept)], Delivery::Unsent).await.unwrap(), [true], "there is room again");
}

#[tokio::test]
async fn a_spool_has_one_process_at_a_time() {
    let folder = TempDir::new().unwrap();
    let spool = filled(folder.path(), &[made(1)]).await;
    let other = Spool::new(folder.path(), 512);
    assert!(other.add(&[&made(2)], Delivery::Unsent).await.is_err());
    spool.close().await;
    assert_eq!(other.add(&[&made(2)], Delivery::Unsent).await.unwrap(), [true]);
    assert_eq!(all(&other).await.len(), 2);
}

#[tokio::test]
async fn a_full_one_gives_back_what_it_has() {
    let folder = TempDir::new().unwrap();
    let spool = Spool::new(folder.path(), 1);
    let mut number = 0;
    while spool.add(&[&made(number)], Delivery::Unsent).await.is_ok() {
        number += 1;
    }
    assert_eq!((spool.is_writable(), spool.has_pending()), (false, true));
    spool.remove(&all(&spool).await).await.unwrap();
    assert_eq!((spool.is_writable(), spool.has_pending()), (true, false));
}

#[tokio::test]
async fn events_of_an_earlier_version_are_known_by_their_business_too() {
    let folder = TempDir::new().unwrap();
    let sent = made(1);
    filled(folder.path(), std::slice::from_ref(&sent)).await.close().await;
    let path = folder.path().join("spool.db");
    let mut file = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::query("update events set id = $1").bind(sent.id).execute(&mut file).await.unwrap();
    file.close().await.unwrap();
    let again = Spool::new(folder.path(), 512);
    again.open().await.unwrap();
    assert_eq!(again.add(&[&sent], Delivery::Unsent).await.unwrap(), [false]);
    let other = Event { business_id: "another".to_owned(), ..sent.clone() };
    assert_eq!(again.add(&[&other], Delivery::Unsent).await.unwrap(), [true]);
    assert_eq!(events(&all(&again).await), [sent, other]);
}
