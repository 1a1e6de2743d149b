//! `CONSENT_REQUIRED`: what a customer has not agreed to is counted and not kept.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Backend, KEY, Reply, TestApp, event, eventually, insert_as_the_app, on_every_backend};

on_every_backend! {
    without_consent_an_event_is_counted_and_its_row_is_not_kept,
    with_consent_it_is_kept_until_that_is_withdrawn,
    a_withdrawal_holds_until_the_same_name_lifts_it,
    who_cannot_be_asked_has_not_consented,
    a_repeat_counts_once_whatever_was_said_in_between,
    a_batch_tells_how_many_are_not_kept,
    the_row_that_the_app_inserted_is_not_kept_either,
    ids_are_remembered_when_consent_is_not_required_any_more,
    totals_are_the_same_after_a_restart,
    once_a_withdrawal_is_answered_no_row_appears,
    an_erased_customer_does_not_come_back_by_a_repeat,
    a_consent_to_one_business_opens_nothing_for_another,
    a_withdrawal_reaches_conversations_whose_contact_comes_later,
}

const COUNTED: &str = "ai_response_time_seconds_count";

const OPEN: [(&str, &str); 4] = [
    ("MLOPS_API_KEY", KEY),
    ("RATE_LIMIT_DEFAULT", "off"),
    ("RATE_LIMIT_TRACK", "off"),
    ("RATE_LIMIT_REFRESH_METRICS", "off"),
];

async fn required(backend: &Backend) -> TestApp {
    let settings: Vec<_> = OPEN.into_iter().chain([("CONSENT_REQUIRED", "true")]).collect();
    TestApp::with(backend, &settings).await
}

async fn post(app: &TestApp, path: &str, body: &Value) -> Reply {
    app.post(path).header("x-api-key", KEY).json(body).send().await
}

async fn track(app: &TestApp, changes: Value) -> Value {
    post(app, "/track", &event(changes)).await.ok()
}

async fn say(app: &TestApp, subject: Value, granted: bool) {
    let statement = json!({"subject": subject, "purpose": "chat_storage", "policy_version": "1", "granted": granted,
                           "source": "test"});
    let reply = post(app, "/privacy/consents", &statement).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
}

/// Whether an answer says that the event is kept; it says so in one of two ways.
#[track_caller]
fn is_kept(answer: &Value) -> bool {
    assert_eq!((&answer["status"], &answer["prometheus_updated"]), (&json!("success"), &json!(true)));
    match (&answer["database_stored"], answer.get("reason")) {
        (Value::Bool(true), None) => true,
        (Value::Bool(false), Some(reason)) if reason == "no consent" => false,
        _ => panic!("{answer}"),
    }
}

async fn without_consent_an_event_is_counted_and_its_row_is_not_kept(backend: Backend) {
    let app = required(&backend).await;
    let mut answer = track(&app, json!({"tokens_used": 7})).await;
    assert_eq!(answer["timestamp"].take(), mlops_service::clock::timestamp(app.now()));
    let told = json!({"status": "success", "message": "Metrics tracked successfully", "prometheus_updated": true,
                      "database_stored": false, "reason": "no consent", "timestamp": null});
    assert_eq!(answer, told);
    assert_eq!(backend.rows().await, 0);
    assert_eq!(app.metric(COUNTED).await, Some(1.0));
    let tokens = r#"ai_tokens_used_total{business_id="acme",model_name="gemini-1.5-flash"}"#;
    assert_eq!(app.metric(tokens).await, Some(7.0));
    let analytics = app.get("/analytics/acme").header("x-api-key", KEY).send().await.ok();
    assert_eq!(analytics["metrics"]["total_conversations"], 1);
    let of_the_person = "select count(*) from mlops_counted_events";
    assert_eq!(backend.number(of_the_person).await, 1, "the id alone");
}

async fn with_consent_it_is_kept_until_that_is_withdrawn(backend: Backend) {
    let app = required(&backend).await;
    say(&app, json!({"conversation_id": "c-1"}), true).await;
    assert!(is_kept(&track(&app, json!({})).await));
    assert!(
        !is_kept(&track(&app, json!({"conversation_id": "c-2", "session_id": "s-2"})).await),
        "another one"
    );
    say(&app, json!({"conversation_id": "c-1"}), false).await;
    assert!(!is_kept(&track(&app, json!({})).await));
    assert_eq!(backend.rows().await, 1, "what was kept before stays lawful");
    say(&app, json!("c-1"), true).await;
    assert!(is_kept(&track(&app, json!({})).await));
    assert_eq!((backend.rows().await, app.metric(COUNTED).await), (2, Some(4.0)));
}

async fn a_withdrawal_holds_until_the_same_name_lifts_it(backend: Backend) {
    let app = required(&backend).await;
    for (subject, granted, kept) in [
        (json!({"session_id": "s-1"}), true, true),
        (json!({"conversation_id": "c-1"}), false, false),
        (json!({"session_id": "s-1"}), true, false),
        (json!({"conversation_id": "c-1"}), true, true),
        (json!({"session_id": "s-1"}), false, false),
        (json!({"conversation_id": "c-1"}), true, false),
    ] {
        say(&app, subject, granted).await;
        assert_eq!(is_kept(&track(&app, json!({})).await), kept);
    }
    assert!(!is_kept(&track(&app, json!({"conversation_id": null})).await), "the session alone has said no");
    let other = json!({"subject": "s-3", "purpose": "newsletter", "policy_version": "1", "granted": true, "source": "test"});
    assert_eq!(post(&app, "/privacy/consents", &other).await.status, 201);
    let changes = json!({"conversation_id": null, "session_id": "s-3"});
    assert!(!is_kept(&track(&app, changes).await), "another purpose is another consent");
}

async fn who_cannot_be_asked_has_not_consented(backend: Backend) {
    let app = required(&backend).await;
    for changes in [
        json!({"conversation_id": null, "session_id": null}),
        json!({"conversation_id": "", "session_id": ""}),
        json!({"conversation_id": "null", "session_id": "unknown"}),
    ] {
        assert!(!is_kept(&track(&app, changes).await));
    }
    assert_eq!((backend.rows().await, app.metric(COUNTED).await), (0, Some(3.0)));
}

async fn a_repeat_counts_once_whatever_was_said_in_between(backend: Backend) {
    let app = required(&backend).await;
    let ids = [(); 2].map(|()| Uuid::new_v4().to_string());
    let first = json!({"event_id": ids[0]});
    assert!(!is_kept(&track(&app, first.clone()).await));
    for granted in [None, Some(true), Some(false)] {
        if let Some(granted) = granted {
            say(&app, json!("c-1"), granted).await;
        }
        let again = track(&app, first.clone()).await;
        assert_eq!((is_kept(&again), &again["duplicate"]), (false, &json!(true)), "{granted:?}");
    }
    say(&app, json!("c-1"), true).await;
    let second = json!({"event_id": ids[1]});
    assert!(is_kept(&track(&app, second.clone()).await));
    for granted in [None, Some(false)] {
        if let Some(granted) = granted {
            say(&app, json!("c-1"), granted).await;
        }
        let again = track(&app, second.clone()).await;
        assert_eq!(
            (is_kept(&again), &again["duplicate"]),
            (true, &json!(true)),
            "its row is there: {granted:?}"
        );
    }
    let both = json!({"events": [event(first.clone()), event(first), event(second)]});
    assert_eq!(post(&app, "/track/batch", &both).await.ok()["duplicates"], 3);
    assert_eq!((backend.rows().await, app.metric(COUNTED).await), (1, Some(2.0)));
}

async fn a_batch_tells_how_many_are_not_kept(backend: Backend) {
    let app = required(&backend).await;
    say(&app, json!("s-1"), true).await;
    let of = |session: &str| event(json!({"session_id": session, "conversation_id": null}));
    let batch = async |events: Value| {
        let mut answer = post(&app, "/track/batch", &json!({ "events": events })).await.ok();
        answer["timestamp"].take();
        answer
    };
    let mixed = json!([of("s-2"), of("s-1"), {"business_id": "acme"}, of("s-2"), of("s-3"), of("s-1")]);
    let told = json!({
        "status": "success", "message": "Metrics tracked successfully", "accepted": 5, "duplicates": 0,
        "unkept": 3, "reason": "no consent",
        "rejected": [{"index": 2, "error": "Missing required field: response_time_ms"}],
        "prometheus_updated": true, "database_stored": false, "timestamp": null,
    });
    assert_eq!(batch(mixed).await, told);
    assert_eq!((backend.rows().await, app.metric(COUNTED).await), (2, Some(5.0)));
    assert_eq!(backend.number("select count(*) from ai_metrics where session_id = 's-1'").await, 2);
    let kept = batch(json!([of("s-1")])).await;
    assert_eq!(
        (kept["database_stored"].clone(), kept.get("unkept"), kept.get("reason")),
        (json!(true), None, None)
    );
    let many: Value = (0..1_000).map(|i| of(if i % 2 == 0 { "s-1" } else { "s-2" })).collect();
    assert_eq!(batch(many).await["unkept"], 500);
    assert_eq!((backend.rows().await, app.metric(COUNTED).await), (503, Some(1_006.0)));
}

async fn the_row_that_the_app_inserted_is_not_kept_either(backend: Backend) {
    let app = required(&backend).await;
    insert_as_the_app(&backend, "s-1", 0).await;
    insert_as_the_app(&backend, "s-1", 1).await;
    insert_as_the_app(&backend, "s-1", 11).await;
    assert!(!is_kept(&track(&app, json!({})).await));
    assert_eq!(backend.rows().await, 2, "one event, one row");
    assert_eq!(app.metric(COUNTED).await, Some(1.0), "and it counts once");
    assert_eq!(post(&app, "/refresh-metrics", &json!({})).await.ok()["status"], "success");
    assert_eq!(app.metric(COUNTED).await, Some(3.0), "the others are counted");
    assert!(!is_kept(&track(&app, json!({})).await));
    assert_eq!(
        (backend.rows().await, app.metric(COUNTED).await),
        (1, Some(3.0)),
        "one of them before it was reported"
    );
    assert!(!is_kept(&track(&app, json!({})).await), "what is too old is no event of today");
    assert_eq!((backend.rows().await, app.metric(COUNTED).await), (1, Some(4.0)));
    say(&app, json!("s-1"), true).await;
    insert_as_the_app(&backend, "s-1", 0).await;
    assert!(is_kept(&track(&app, json!({})).await));
    assert_eq!(
        (backend.rows().await, app.metric(COUNTED).await),
        (2, Some(5.0)),
        "with consent it becomes the event"
    );
    for _ in 0..3 {
        insert_as_the_app(&backend, "s-2", 0).await;
    }
    let three: Value =
        (0..3).map(|_| event(json!({"session_id": "s-2", "conversation_id": "c-2"}))).collect();
    assert_eq!(post(&app, "/track/batch", &json!({ "events": three })).await.ok()["unkept"], 3);
    assert_eq!(
        (backend.rows().await, app.metric(COUNTED).await),
        (2, Some(8.0)),
        "each event takes one of equal rows"
    );
}

async fn ids_are_remembered_when_consent_is_not_required_any_more(backend: Backend) {
    let named = json!({"event_id": Uuid::new_v4().to_string()});
    let app = required(&backend).await;
    assert!(!is_kept(&track(&app, named.clone()).await));
    app.stop().await;
    let app = TestApp::with(&backend, &OPEN).await;
    let again = track(&app, named.clone()).await;
    assert_eq!((&again["duplicate"], &again["database_stored"]), (&json!(true), &json!(false)));
    assert_eq!(again["reason"], "not kept");
    assert!(is_kept(&track(&app, json!({})).await), "new ones are kept");
    let mixed = json!({"events": [event(named), event(json!({"event_id": Uuid::new_v4().to_string()}))]});
    let answer = post(&app, "/track/batch", &mixed).await.ok();
    assert_eq!(
        (&answer["accepted"], &answer["duplicates"], &answer["unkept"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!((backend.rows().await, app.metric(COUNTED).await), (2, Some(3.0)));
}

async fn totals_are_the_same_after_a_restart(backend: Backend) {
    let app = required(&backend).await;
    say(&app, json!("s-1"), true).await;
    for i in 0..6 {
        track(&app, json!({"session_id": format!("s-{}", i % 2), "conversation_id": null, "tokens_used": i}))
            .await;
    }
    let counters = async |app: &TestApp| {
        let text = app.metrics().await;
        let lines = text.lines().filter(|line| line.starts_with("ai_") || line.starts_with("appointments_"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = counters(&app).await;
    app.stop().await;
    let again = required(&backend).await;
    assert_eq!(counters(&again).await, before);
    assert_eq!((backend.rows().await, again.metric(COUNTED).await), (3, Some(6.0)));
}

/// Reports race with a withdrawal. Once that is answered, what is stored is what stays stored.
async fn once_a_withdrawal_is_answered_no_row_appears(backend: Backend) {
    let app = required(&backend).await;
    let mut kept = 0;
    for round in 0..5 {
        let session = format!("s-{round}");
        say(&app, json!(session), true).await;
        let reports = (0..60).map(|_| track(&app, json!({"session_id": session, "conversation_id": null})));
        let reports = futures_util::future::join_all(reports);
        let withdrawal = async {
            // Somewhere in the middle of the reports.
            track(&app, json!({"session_id": session, "conversation_id": null})).await;
            say(&app, json!(session), false).await;
            backend.rows().await
        };
        let (answers, rows) = tokio::join!(reports, withdrawal);
        assert_eq!(backend.rows().await, rows, "no row appeared after the answer");
        kept += i64::try_from(answers.iter().filter(|answer| is_kept(answer)).count()).unwrap();
        let others = rows - kept;
        assert!((0..=round + 1).contains(&others), "{others}: answers say what became of their events");
    }
    assert_eq!(app.metric(COUNTED).await, Some(5.0 * 61.0));
}

async fn an_erased_customer_does_not_come_back_by_a_repeat(backend: Backend) {
    if backend.is_postgres() {
        backend.execute(CONVERSATIONS).await;
    }
    let mut counted = 0.0;
    for settings in [&OPEN[..], &[OPEN.as_slice(), &[("CONSENT_REQUIRED", "true")]].concat()] {
        let app = TestApp::with(&backend, settings).await;
        let named = json!({"event_id": Uuid::new_v4().to_string()});
        say(&app, json!("s-1"), true).await;
        say(&app, json!({"conversation_id": "c-1"}), true).await;
        assert!(is_kept(&track(&app, named.clone()).await));
        let whom = match backend.is_postgres() {
            true => json!({"email": "ana@example.com"}),
            false => json!({"session_id": "s-1"}),
        };
        let erased = post(&app, "/privacy/erase", &whom).await.ok();
        assert_eq!(
            (&erased["counts"]["ai_metrics"], &erased["counts"]["mlops_consents"]),
            (&json!(1), &json!(2))
        );
        for id in ["c-1", "c-9"] {
            say(&app, json!(id), true).await;
        }
        counted += 1.0;
        let again = track(&app, named.clone()).await;
        assert_eq!((&again["duplicate"], &again["database_stored"]), (&json!(true), &json!(false)));
        assert_eq!((backend.rows().await, app.metric(COUNTED).await), (0, Some(counted)));
        let next = json!({"session_id": "s-1", "conversation_id": "c-9"});
        let all = json!({"events": [event(named), event(json!({"session_id": "s-1"})), event(next)]});
        assert_eq!(post(&app, "/track/batch", &all).await.ok()["duplicates"], 1);
        counted += 2.0;
        assert_eq!(
            (backend.rows().await, app.metric(COUNTED).await),
            (1, Some(counted)),
            "the erased conversation stays erased, a new one is a new one"
        );
        assert_eq!(post(&app, "/privacy/erase", &json!({"conversation_id": "c-9"})).await.status, 200);
        backend.execute("delete from mlops_tombstones; delete from mlops_consents").await;
        if backend.is_postgres() {
            backend.execute("truncate conversations; insert into conversations (id, customer_email) values ('c-1', 'Ana@example.com')").await;
        }
        app.stop().await;
    }
}

async fn a_consent_to_one_business_opens_nothing_for_another(backend: Backend) {
    let app = required(&backend).await;
    let of = |business: &str| json!({"business_id": business, "conversation_id": null, "session_id": "s-1"});
    let say_to = async |business: Option<&str>, granted: bool| {
        let mut statement = json!({"subject": {"session_id": "s-1"}, "purpose": "chat_storage", "policy_version": "1",
                                   "granted": granted, "source": "test"});
        if let Some(business) = business {
            statement["business_id"] = json!(business);
        }
        let reply = post(&app, "/privacy/consents", &statement).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["business_id"]), (201, &json!(business)));
    };
    for (business, granted, kept) in [
        (Some("acme"), true, [true, false]),
        (Some("other"), false, [true, false]),
        (None, true, [true, true]),
        (Some("acme"), false, [false, true]),
        (None, false, [false, false]),
        (Some("other"), true, [false, true]),
    ] {
        say_to(business, granted).await;
        for (business, kept) in ["acme", "other"].into_iter().zip(kept) {
            assert_eq!(is_kept(&track(&app, of(business)).await), kept, "{business}");
        }
    }
    let search = json!({"subject": {"session_id": "s-1"}, "business_id": "other"});
    let found = post(&app, "/privacy/consents/search", &search).await.ok();
    let in_force = found["in_force"].as_array().unwrap();
    assert_eq!((in_force.len(), &in_force[0]["state"]), (1, &json!("granted")));
    assert_eq!(found["consents"].as_array().unwrap().len(), 4, "its own, and those to all");
}

async fn a_withdrawal_reaches_conversations_whose_contact_comes_later(backend: Backend) {
    let backend = backend.with_app_tables().await;
    let app = required(&backend).await;
    let conversations = "insert into conversations (id, business_id) values ('c-1', 'acme'), ('c-2', 'acme'), ('c-3', 'acme')";
    backend.execute(conversations).await;
    say(&app, json!("ana@example.com"), false).await;
    let of = |conversation: &str| json!({"conversation_id": conversation, "session_id": format!("s-{conversation}")});
    for conversation in ["c-1", "c-2", "c-3"] {
        say(&app, json!({"session_id": format!("s-{conversation}")}), true).await;
        assert!(is_kept(&track(&app, of(conversation)).await), "nobody knows whose it is");
        backend.plant_facts("acme", conversation).await;
    }
    let book = |id: &str, conversation: &str, email: &str| {
        format!(
            "insert into appointments (id, business_id, conversation_id, customer_name, customer_email, created_at)
             values ('{id}', 'acme', '{conversation}', 'x', '{email}', '{}')",
            app.now().format("%Y-%m-%d %H:%M:%S%.6f")
        )
    };
    for (id, conversation, email) in [
        ("a-1", "c-1", " Ana@example.com"),
        ("a-2", "c-2", "ben@example.com"),
        ("a-3", "c-3", "ana@example.com"),
        ("a-4", "c-3", "ben@example.com"),
    ] {
        backend.execute(&book(id, conversation, email)).await;
    }
    look_for_late_withdrawals(&app).await;
    let left = backend.texts("select conversation_id from ai_metrics order by conversation_id").await;
    assert_eq!(left, ["c-2", "c-3"], "rows that were stored while the withdrawal held went");
    let facts = "select conversation_id from mlops_conversations order by conversation_id";
    assert_eq!(backend.texts(facts).await, ["c-2", "c-3"], "with the facts that they led to");
    assert_eq!(app.metric(COUNTED).await, Some(3.0), "and stay counted");
    assert!(!is_kept(&track(&app, of("c-1")).await), "now it is known");
    say(&app, json!("ana@example.com"), true).await;
    assert!(is_kept(&track(&app, of("c-1")).await));
    look_for_late_withdrawals(&app).await;
    assert_eq!((backend.rows().await, app.metric(COUNTED).await), (3, Some(5.0)));
}

/// What the service does every `METRICS_REFRESH_SECONDS`.
async fn look_for_late_withdrawals(app: &TestApp) {
    let changed = app.app.store.changed_conversations(None).await.unwrap();
    app.app.store.delete_withdrawn(&changed, app.now()).await.unwrap();
}

/// The receptionist app's table of conversations.
const CONVERSATIONS: &str = "create table conversations (id text primary key, business_id text, customer_name text,
    customer_email text, customer_phone text, status text, created_at timestamptz default now(), updated_at timestamptz);
    insert into conversations (id, business_id, customer_name, customer_email, customer_phone) values
        ('c-1', 'acme', 'Ana', ' Ana@Example.com', '0049 151 234567'), ('c-2', 'acme', 'Bob', null, ''),
        ('c-3', 'acme', 'Ana', 'ana@example.com', null)";

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_of_the_apps_conversations_is_asked_too() {
    let backend = Backend::postgres().await;
    backend.execute(CONVERSATIONS).await;
    let app = required(&backend).await;
    let of = |conversation: &str| json!({"conversation_id": conversation, "session_id": format!("s-{conversation}")});
    for (subject, granted, kept) in [
        (json!("ana@example.com"), true, [true, false, true]),
        (json!({"phone": "+49 151 234567"}), false, [false, false, true]),
        (json!({"email": "ANA@example.com"}), true, [false, false, true]),
        (json!({"phone": "0049 (0)151 234567"}), true, [true, false, true]),
        (json!("c-1"), false, [false, false, true]),
        (json!("c-2"), true, [false, true, true]),
        (json!("ana@example.com"), false, [false, true, false]),
        (json!("c-1"), true, [false, true, false]),
    ] {
        say(&app, subject.clone(), granted).await;
        let mut found = [false; 3];
        for (conversation, found) in ["c-1", "c-2", "c-3"].into_iter().zip(&mut found) {
            *found = is_kept(&track(&app, of(conversation)).await);
        }
        assert_eq!(found, kept, "after {subject} {granted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_conversations_may_lack_columns_or_come_and_go() {
    let backend = Backend::postgres().await;
    let app = required(&backend).await;
    say(&app, json!("ana@example.com"), true).await;
    let of_ana = async || is_kept(&track(&app, json!({"conversation_id": "c-1", "session_id": "s-1"})).await);
    assert!(!of_ana().await, "nobody knows whose conversation it is");
    backend.execute(CONVERSATIONS).await;
    assert!(of_ana().await);
    backend.execute("alter table conversations drop column customer_phone").await;
    assert!(of_ana().await);
    backend.execute("alter table conversations drop column customer_email").await;
    assert!(!of_ana().await);
    backend.execute("drop table conversations; create table conversations (name text)").await;
    assert!(!of_ana().await);
    let id = Uuid::new_v4();
    let uuids = format!(
        "drop table conversations; create table conversations (id uuid primary key, customer_email varchar(255));
         insert into conversations values ('{id}', 'ana@example.com')"
    );
    backend.execute(&uuids).await;
    assert!(is_kept(&track(&app, json!({"conversation_id": id.to_string(), "session_id": "s-1"})).await));
    assert!(!of_ana().await, "an id that is no UUID is none of its rows");
    backend.execute("drop table conversations").await;
    assert!(!of_ana().await);
    assert_eq!(app.metric(COUNTED).await, Some(8.0));
}

/// Two replicas are told of the same events while consent comes and goes: each event counts once, and is either kept or
/// its id is.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_agree_about_an_event_whatever_is_said_meanwhile() {
    let backend = Backend::postgres().await;
    let replicas = [required(&backend).await, required(&backend).await];
    for round in 0..10_i32 {
        let events: Vec<Value> =
            (0..20).map(|_| event(json!({"event_id": Uuid::new_v4().to_string()}))).collect();
        let told = events.iter().flat_map(|event| {
            replicas
                .iter()
                .flat_map(move |replica| [post(replica, "/track", event), post(replica, "/track", event)])
        });
        let told = futures_util::future::join_all(told);
        let said = async {
            say(&replicas[0], json!("c-1"), round % 2 == 0).await;
            say(&replicas[1], json!("c-1"), round % 2 == 1).await;
        };
        let (told, ()) = tokio::join!(told, said);
        let answers: Vec<Value> = told.iter().map(Reply::ok).collect();
        let firsts = answers.iter().filter(|answer| answer.get("duplicate").is_none()).count();
        assert_eq!(firsts, 20, "one of four answers is the first");
        let all = i64::from(round + 1) * 20;
        assert_eq!(backend.number("select sum(events) from ai_totals_now").await, all);
        let known = "select (select count(*) from ai_metrics) + (select count(*) from mlops_counted_events)";
        assert_eq!(backend.number(known).await, all);
    }
    let rows = backend.rows().await;
    assert!(rows > 0 && rows < 200, "{rows}: some were kept, some were not");
}

/// Has whatever is inserted into a table wait for half a second.
async fn slow_down(backend: &Backend, table: &str) {
    let sql = format!(
        "create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(0.5); return new; end $$;
         create trigger wait before insert on {table} for each row execute function wait()"
    );
    backend.execute(&sql).await;
}

async fn is_waiting(backend: &Backend) {
    let waiting =
        "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
    eventually("the insert waits", async || backend.number(waiting).await == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_waits_for_the_batch_that_relies_on_the_consent() {
    let backend = Backend::postgres().await;
    let app = required(&backend).await;
    say(&app, json!("c-1"), true).await;
    slow_down(&backend, "ai_metrics").await;
    let withdraw = async {
        is_waiting(&backend).await;
        say(&app, json!("c-1"), false).await;
        assert_eq!(backend.rows().await, 1, "the row is there before the answer, not after it");
    };
    let (answer, ()) = tokio::join!(track(&app, json!({})), withdraw);
    assert!(is_kept(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_that_comes_in_between_makes_no_replica_count_twice() {
    let backend = Backend::postgres().await;
    let replicas = [required(&backend).await, required(&backend).await];
    slow_down(&backend, "mlops_counted_events").await;
    let named = json!({"event_id": Uuid::new_v4().to_string()});
    let other = async {
        is_waiting(&backend).await;
        say(&replicas[1], json!("c-1"), true).await;
        track(&replicas[1], named.clone()).await
    };
    let (first, second) = tokio::join!(track(&replicas[0], named.clone()), other);
    assert_eq!((first.get("duplicate"), second.get("duplicate")), (None, Some(&json!(true))));
    assert!(!is_kept(&first) && !is_kept(&second));
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 1);
}
