//! The audit trail, on both databases.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use mlops_service::audit::chain::{Head, StoredEntry};
use mlops_service::audit::purge::LastPurged;
use mlops_service::audit::verify::{Broken, Fault, Verification};
use mlops_service::audit::{Action, Actor};
use mlops_service::auth::key::{KeyId, NamedKey};
use mlops_service::privacy::subject::SubjectHash;
use mlops_service::store::{Store, StoreError};

use crate::harness::{Backend, on_every_backend, real_now};

on_every_backend! {
    an_entry_comes_back_as_it_was_written,
    writers_on_every_replica_make_one_chain,
    what_was_changed_or_removed_is_named,
    a_trail_that_was_cut_off_or_made_anew_differs_from_its_noted_head,
    nothing_is_changed_or_removed_by_mishap,
    the_oldest_entries_are_purged_and_the_chain_still_holds,
    entries_of_thirty_days_are_kept_whatever_is_asked_for,
    entries_that_nothing_accounts_for_are_missing_not_purged,
    verifying_takes_no_longer_than_it_may,
    a_long_trail_is_verified_in_pages_and_purged_in_steps,
    a_purge_that_is_made_up_is_refused_and_found,
    a_row_of_somebody_else_is_refused_and_stops_nothing,
    an_end_that_was_cut_off_is_found_by_what_it_told_of,
}

/// Longer than verifying takes.
const LIMIT: Duration = Duration::from_secs(20);

async fn write(store: &Store, at: DateTime<Utc>, rows: i64) -> Head {
    let entry = Actor::service().entry(Action::RetentionRun).with("rows", rows);
    store.append_audit(at, &entry).await.unwrap()
}

/// As many entries, a minute apart, the last one written now.
async fn trail(store: &Store, entries: i64) -> Head {
    let (now, mut head) = (real_now(), Head::NONE);
    for rows in 0..entries {
        head = write(store, now - TimeDelta::minutes(entries - rows - 1), rows).await;
    }
    head
}

async fn verify(store: &Store) -> Verification {
    store.verify_audit(None, real_now(), LIMIT).await.unwrap()
}

async fn broken(store: &Store, noted: Option<Head>) -> Option<(i64, Fault)> {
    let found = store.verify_audit(noted, real_now(), LIMIT).await.unwrap();
    assert!(found.complete);
    found.broken.map(|Broken { seq, fault }| (seq, fault))
}

async fn all(store: &Store) -> Vec<StoredEntry> {
    let entries = store.audit(0, DateTime::UNIX_EPOCH, 1_000).await.unwrap();
    entries.into_iter().map(Result::unwrap).collect()
}

/// Runs `sql` as somebody who may do everything, and takes away first what is there against mishaps.
async fn tamper(backend: &Backend, sql: &str) {
    let unlock = match backend.is_postgres() {
        true => "alter table mlops_audit disable trigger user",
        false => {
            "drop trigger if exists mlops_audit_keep; drop trigger if exists mlops_audit_keep_unpurged;
             drop trigger if exists mlops_audit_follow; drop trigger if exists mlops_audit_purged"
        }
    };
    backend.execute(unlock).await;
    backend.execute(sql).await;
}

async fn an_entry_comes_back_as_it_was_written(backend: Backend) {
    let store = backend.store(&[]).await;
    let at = real_now().trunc_subsecs(6);
    let by = Actor { name: "key:0011223344556677".to_owned(), request_id: Some("r-1".to_owned()) };
    let subject = SubjectHash::from([200; 32]);
    let entry = by.entry(Action::PrivacyErase).about(subject).with("messages", 3).with("quoted", "a\"b\nü");
    let first = store.append_audit(at, &entry).await.unwrap();
    let second = store.append_audit(at, &Actor::command_line().entry(Action::KeyRevoked)).await.unwrap();
    let entries = all(&store).await;
    assert_eq!(entries[0], StoredEntry::after(Head::NONE, at, &entry));
    assert_eq!((entries[0].head(), entries[1].head()), (Some(first), Some(second)));
    assert_eq!(entries[0].details, r#"{"messages":3,"quoted":"a\"b\nü"}"#);
    assert_eq!((entries[1].seq, entries[1].previous.as_slice()), (2, first.hash.as_slice()));
    assert_eq!((entries[1].actor.as_str(), &entries[1].request_id), ("command line", &None));
    let found = verify(&store).await;
    assert!(found.is_intact());
    assert_eq!((found.entries, found.head), (2, second));
    let later = at + TimeDelta::seconds(1);
    assert_eq!(store.audit(2, DateTime::UNIX_EPOCH, 9).await.unwrap().len(), 1);
    assert_eq!(store.audit(1, at, 1).await.unwrap().len(), 1);
    assert_eq!(store.audit(1, later, 9).await.unwrap().len(), 0);
}

async fn writers_on_every_replica_make_one_chain(backend: Backend) {
    let mut replicas = Vec::new();
    for _ in 0..4 {
        replicas.push(backend.store(&[]).await);
    }
    let writers = replicas.iter().map(async |store| {
        for rows in 0..15 {
            write(store, real_now(), rows).await;
        }
    });
    futures_util::future::join_all(writers).await;
    let found = verify(&replicas[0]).await;
    assert!(found.is_intact(), "{found:?}");
    assert_eq!((found.entries, found.head.seq), (60, 60));
}

async fn what_was_changed_or_removed_is_named(backend: Backend) {
    let store = backend.store(&[]).await;
    trail(&store, 5).await;
    let copy = "create table copy as select * from mlops_audit";
    backend.execute(copy).await;
    let other = match backend.is_postgres() {
        true => "decode(repeat('ab', 32), 'hex')",
        false => "unhex('abababababababababababababababababababababababababababababababab')",
    };
    for (change, expected) in [
        ("update mlops_audit set details = '{\"rows\":7}' where seq = 3".to_owned(), (3, Fault::Changed)),
        ("update mlops_audit set actor = 'key:1' where seq = 5".to_owned(), (5, Fault::Changed)),
        (
            "update mlops_audit set at = '2001-01-01T00:00:00+00:00' where seq = 2".to_owned(),
            (2, Fault::Changed),
        ),
        ("update mlops_audit set at = '-infinity' where seq = 2".to_owned(), (2, Fault::Changed)),
        ("update mlops_audit set request_id = '' where seq = 2".to_owned(), (2, Fault::Changed)),
        (format!("update mlops_audit set hash = {other} where seq = 2"), (2, Fault::Changed)),
        (format!("update mlops_audit set subject = {other} where seq = 4"), (4, Fault::Changed)),
        (format!("update mlops_audit set previous = {other} where seq = 4"), (4, Fault::OutOfOrder)),
        ("delete from mlops_audit where seq = 3".to_owned(), (3, Fault::Missing)),
        ("delete from mlops_audit where seq = 1".to_owned(), (1, Fault::Missing)),
        ("update mlops_audit set seq = 9 where seq = 2".to_owned(), (2, Fault::Missing)),
        (
            "update mlops_audit set seq = 9 where seq = 2; update mlops_audit set seq = 2 where seq = 3;
             update mlops_audit set seq = 3 where seq = 9"
                .to_owned(),
            (2, Fault::OutOfOrder),
        ),
    ] {
        tamper(&backend, &change).await;
        assert_eq!(broken(&store, None).await, Some(expected), "{change}");
        backend.execute("delete from mlops_audit; insert into mlops_audit select * from copy").await;
        assert_eq!(broken(&store, None).await, None);
    }
    tamper(&backend, "update mlops_audit set details = '' where seq = 5").await;
    write(&store, real_now(), 6).await;
    assert_eq!(broken(&store, None).await, Some((5, Fault::Changed)), "the trail goes on, and tells");
}

async fn a_trail_that_was_cut_off_or_made_anew_differs_from_its_noted_head(backend: Backend) {
    let store = backend.store(&[]).await;
    let noted = trail(&store, 4).await;
    write(&store, real_now(), 4).await;
    assert_eq!(broken(&store, Some(noted)).await, None);
    tamper(&backend, "delete from mlops_audit where seq > 2").await;
    assert_eq!(broken(&store, None).await, None, "the chain alone does not show it");
    assert_eq!(broken(&store, Some(noted)).await, Some((3, Fault::CutOff)));
    for rows in 7..9 {
        write(&store, real_now(), rows).await;
    }
    assert_eq!(broken(&store, None).await, None);
    assert_eq!(broken(&store, Some(noted)).await, Some((4, Fault::Rewritten)));
}

async fn nothing_is_changed_or_removed_by_mishap(backend: Backend) {
    let store = backend.store(&[]).await;
    let head = trail(&store, 3).await;
    let mut mishaps = vec![
        "update mlops_audit set actor = 'nobody'",
        "update mlops_audit set actor = 'nobody' where seq = 2",
        "delete from mlops_audit",
        "delete from mlops_audit where seq = 3",
    ];
    if backend.is_postgres() {
        mishaps.extend([
            "truncate mlops_audit",
            "select mlops_audit_purge(now())",
            "select mlops_audit_purge(null)",
        ]);
    }
    for mishap in mishaps {
        assert!(backend.try_execute(mishap).await.is_err(), "{mishap}");
    }
    assert_eq!(verify(&store).await.head, head);
    assert_eq!(all(&store).await.len(), 3);
}

async fn the_oldest_entries_are_purged_and_the_chain_still_holds(backend: Backend) {
    let store = backend.store(&[]).await;
    let now = real_now();
    let days_ago = |days| now - TimeDelta::days(days);
    let mut hashes = Vec::new();
    for (rows, days) in [(0, 900), (1, 800), (2, 731), (3, 100), (4, 800), (5, 1)] {
        hashes.push(write(&store, days_ago(days), rows).await.hash);
    }
    let purge = async |days| store.purge_audit(days_ago(days), now, &Actor::service()).await.unwrap();
    assert_eq!(purge(1_000).await, None);
    let purged = purge(730).await.unwrap();
    assert_eq!((purged.rows, purged.last_seq, purged.last_hash), (3, 3, hashes[2]), "the beginning alone");
    assert_eq!(purge(730).await, None);
    let entries = all(&store).await;
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [4, 5, 6, 7]);
    assert_eq!((entries[3].action.as_str(), entries[3].actor.as_str()), ("audit.purged", "service"));
    assert!(entries[3].details.contains(r#""last_seq":3,"rows":3"#), "{}", entries[3].details);
    assert_eq!(broken(&store, None).await, None);
    assert_eq!(broken(&store, Some(Head { seq: 3, hash: hashes[2] })).await, None);
    assert_eq!(broken(&store, Some(Head { seq: 2, hash: hashes[1] })).await, Some((2, Fault::Purged)));
    // All that are left but the newest; the entry that accounted for those before it stays.
    assert_eq!(purge(90).await.unwrap().last_seq, 5);
    write(&store, now, 6).await;
    assert_eq!(broken(&store, None).await, None);
    assert_eq!(verify(&store).await.entries, 4);
    tamper(&backend, "delete from mlops_audit where seq = 6").await;
    assert_eq!(broken(&store, None).await, Some((6, Fault::Missing)));
}

async fn entries_of_thirty_days_are_kept_whatever_is_asked_for(backend: Backend) {
    let store = backend.store(&[]).await;
    let now = real_now();
    write(&store, now - TimeDelta::days(29), 1).await;
    let early = now - TimeDelta::days(28);
    let refused = store.purge_audit(early, now, &Actor::service()).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unusable(why) if why.contains("30 days")), "{refused}");
    if backend.is_postgres() {
        // Whoever lies about the time meets the server's.
        let later = now + TimeDelta::days(90);
        assert!(store.purge_audit(early, later, &Actor::service()).await.is_err());
    }
    assert_eq!(all(&store).await.len(), 1, "and nothing is said of a purge");
}

async fn entries_that_nothing_accounts_for_are_missing_not_purged(backend: Backend) {
    let store = backend.store(&[]).await;
    let now = real_now();
    for rows in 0..4 {
        write(&store, now - TimeDelta::days(800 - rows), rows).await;
    }
    write(&store, now, 4).await;
    store.purge_audit(now - TimeDelta::days(799), now, &Actor::service()).await.unwrap().unwrap();
    assert_eq!(broken(&store, None).await, None);
    tamper(&backend, "delete from mlops_audit where seq < 4").await;
    assert_eq!(broken(&store, None).await, Some((3, Fault::Missing)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outsider_verifies_with_the_documented_query() {
    let page = std::fs::read_to_string("docs/audit.md").unwrap();
    let query = page.split("```sql\n").nth(1).unwrap().split(";\n```").next().unwrap();
    let backend = Backend::postgres().await;
    let store = backend.store(&[]).await;
    trail(&store, 3).await;
    let by = Actor { name: "key:0011223344556677".to_owned(), request_id: Some("r-1".to_owned()) };
    let entry =
        by.entry(Action::PrivacyErase).about(SubjectHash::from([200; 32])).with("quoted", "a\"b\nü€🦀");
    store.append_audit(real_now(), &entry).await.unwrap();
    store.append_audit(real_now().trunc_subsecs(0), &entry).await.unwrap();
    let broken = format!("select count(*) from ({query}) broken");
    assert_eq!(backend.number(&broken).await, 0);
    tamper(&backend, "update mlops_audit set request_id = null where seq = 4").await;
    assert_eq!(backend.number(&broken).await, 1);
    tamper(&backend, "delete from mlops_audit where seq = 2").await;
    assert_eq!(backend.number(&format!("select sum(seq) from ({query}) broken")).await, 3 + 4);
}

/// Inserts `count` entries of long ago, chained as they should be.
async fn insert_old(backend: &Backend, count: i64) {
    let begun = real_now().trunc_subsecs(0) - TimeDelta::days(900);
    let entry = Actor::service().entry(Action::RetentionRun);
    let bytes = |bytes: &[u8]| match backend.is_postgres() {
        true => format!("'\\x{}'", hex::encode(bytes)),
        false => format!("x'{}'", hex::encode(bytes)),
    };
    let (mut head, mut rows) = (Head::NONE, Vec::new());
    for seconds in 0..count {
        let kept = StoredEntry::after(head, begun + TimeDelta::seconds(seconds), &entry);
        head = kept.head().unwrap();
        let at = kept.at.to_rfc3339();
        let (previous, hash) = (bytes(&kept.previous), bytes(&kept.hash));
        rows.push(format!("({}, '{at}', 'service', 'retention.run', '{{}}', {previous}, {hash})", kept.seq));
    }
    for rows in rows.chunks(1_000) {
        let values = rows.join(", ");
        let insert = "insert into mlops_audit (seq, at, actor, action, details, previous, hash) values";
        backend.execute(&format!("{insert} {values}")).await;
    }
}

async fn a_long_trail_is_verified_in_pages_and_purged_in_steps(backend: Backend) {
    let store = backend.store(&[]).await;
    insert_old(&backend, 12_500).await;
    let now = real_now();
    write(&store, now, 1).await;
    assert_eq!((verify(&store).await.entries, broken(&store, None).await), (12_501, None));
    let before = now - TimeDelta::days(730);
    let mut purged = Vec::new();
    while let Some(step) = store.purge_audit(before, now, &Actor::service()).await.unwrap() {
        purged.push((step.rows, step.last_seq));
        assert_eq!(broken(&store, None).await, None);
    }
    assert_eq!(purged, [(10_000, 10_000), (2_500, 12_500)]);
    assert_eq!(verify(&store).await.entries, 3);
    insert_again_and_break(&backend, &store).await;
}

/// Breaks an entry that is read with the second thousand.
async fn insert_again_and_break(backend: &Backend, store: &Store) {
    tamper(backend, "delete from mlops_audit").await;
    insert_old(backend, 2_500).await;
    tamper(backend, "update mlops_audit set details = '{\"rows\":1}' where seq = 1500").await;
    assert_eq!(broken(store, None).await, Some((1_500, Fault::Changed)));
}

async fn verifying_takes_no_longer_than_it_may(backend: Backend) {
    let store = backend.store(&[]).await;
    trail(&store, 2).await;
    let found = store.verify_audit(None, real_now(), Duration::ZERO).await.unwrap();
    assert_eq!((found.complete, found.entries, found.is_intact()), (false, 0, false));
}

/// Returns an SQL literal of bytes.
fn literal(backend: &Backend, bytes: &[u8]) -> String {
    match backend.is_postgres() {
        true => format!("'\\x{}'", hex::encode(bytes)),
        false => format!("x'{}'", hex::encode(bytes)),
    }
}

/// Returns the statement that inserts an entry as it is.
fn insert(backend: &Backend, entry: &StoredEntry) -> String {
    let StoredEntry { seq, actor, action, details, .. } = entry;
    let (previous, hash) = (literal(backend, &entry.previous), literal(backend, &entry.hash));
    let at = entry.at.to_rfc3339();
    format!(
        "insert into mlops_audit (seq, at, actor, action, details, previous, hash)
         values ({seq}, '{at}', '{actor}', '{action}', '{details}', {previous}, {hash})"
    )
}

async fn a_purge_that_is_made_up_is_refused_and_found(backend: Backend) {
    let store = backend.store(&[]).await;
    trail(&store, 3).await;
    let head = write(&store, real_now(), 3).await;
    let entries = all(&store).await;
    let made_up = Actor::service().entry(Action::AuditPurged).with("rows", 3).with("last_seq", 3);
    let made_up = made_up.with("last_hash", hex::encode(&entries[2].hash));
    let last = serde_json::to_value(LastPurged::of(&entries[2])).unwrap();
    let made_up = StoredEntry::after(head, real_now(), &made_up.with("last", last));
    let noted = entries[2].head();
    let sql = insert(&backend, &made_up);
    assert!(backend.try_execute(&sql).await.unwrap_err().to_string().contains("30 days"));
    if backend.is_postgres() {
        assert!(backend.try_execute("delete from mlops_audit where seq <= 3").await.is_err());
    } else {
        let replaced = sql.replace("insert into", "insert or replace into").replace("(5,", "(1,");
        assert!(backend.try_execute(&replaced).await.is_err(), "nothing is replaced");
    }
    // Whoever may do everything takes what is in the way.
    tamper(&backend, &sql).await;
    backend.execute("delete from mlops_audit where seq <= 3").await;
    assert_eq!(broken(&store, noted).await, Some((5, Fault::PurgedEarly)));
    assert_eq!(broken(&store, None).await, Some((5, Fault::PurgedEarly)));
}

async fn a_row_of_somebody_else_is_refused_and_stops_nothing(backend: Backend) {
    let store = backend.store(&[]).await;
    let head = trail(&store, 3).await;
    let entry = Actor::service().entry(Action::RetentionRun);
    let far = Head { seq: i64::MAX - 1, ..head };
    let foreign = insert(&backend, &StoredEntry::after(far, real_now(), &entry));
    assert!(backend.try_execute(&foreign).await.unwrap_err().to_string().contains("must follow"));
    tamper(&backend, &foreign).await;
    assert_eq!(write(&store, real_now(), 4).await.seq, 4, "the chain goes on where it ended");
    assert_eq!(store.audit_head().await.unwrap().unwrap().seq, 4);
    assert_eq!(broken(&store, None).await, Some((i64::MAX, Fault::Foreign)), "and the row is named");
}

async fn an_end_that_was_cut_off_is_found_by_what_it_told_of(backend: Backend) {
    let store = backend.store(&[]).await;
    trail(&store, 2).await;
    let created_at = real_now().trunc_subsecs(0) + TimeDelta::seconds(2);
    let key = NamedKey { id: KeyId(7), name: "a".to_owned(), created_at, ..NamedKey::placeholder() };
    let told = Actor::service().entry(Action::KeyCreated).with("key", key.id.to_string());
    assert!(store.add_key(&key, real_now(), &told).await.unwrap());
    assert_eq!(broken(&store, None).await, None);
    tamper(&backend, "delete from mlops_audit where seq = 3").await;
    assert_eq!(broken(&store, None).await, Some((3, Fault::Unrecorded)));
    write(&store, real_now(), 3).await;
    assert_eq!(broken(&store, None).await, Some((4, Fault::Unrecorded)), "whatever comes after");
    backend.execute("delete from mlops_audit").await;
    assert_eq!(broken(&store, None).await, Some((1, Fault::Empty)));
}
