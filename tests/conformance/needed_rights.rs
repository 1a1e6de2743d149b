//! Each right that `migrations/roles.sql` grants is needed: without it, something that the service does fails.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use mlops_service::audit::{Action, Actor, Entry};
use mlops_service::auth::key::{KeyId, NamedKey, PlainKey, Secret, SecretHash};
use mlops_service::business::{FromApp, ProfileChange};
use mlops_service::conversation::{self, ConversationKey, PostedOutcome};
use mlops_service::event::{Event, Report};
use mlops_service::link::NewLink;
use mlops_service::metrics::{Bounds, Series, SeriesKind};
use mlops_service::privacy::consent::{Consent, Purpose};
use mlops_service::privacy::subject::{Hasher, SubjectHash};
use mlops_service::rollup::Key;
use mlops_service::store::{
    Completion, ConsentFilter, ConversationFilter, DayRange, Erased, Erasure, FiguresQuery, ListRead, Mode,
    NewOutcome, RankedBy, Request, Retained, Search, Session, SessionKey, Store, TablePlan, Window,
};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use strum::VariantArray;
use uuid::Uuid;

use super::roles::{Roles, of_the_app};
use crate::harness::{KEY, event, real_now};

/// Longer than a write takes.
const LIMIT: Duration = Duration::from_secs(10);

/// What failed.
type Failed = Box<dyn std::error::Error>;

/// A part of what the service does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Events,
    Keys,
    People,
    Retention,
}

/// The service, with its role, and somebody who may do everything.
struct House {
    roles: Roles,
    admin: PgConnection,
    store: Store,
    /// The same with `CONSENT_REQUIRED`.
    consenting: Store,
    hasher: Hasher,
    /// Counts uses, so that each has rows and people of its own.
    uses: u64,
}

impl House {
    async fn new() -> Self {
        let roles = of_the_app().await;
        roles.apply();
        roles.migrate();
        roles.apply();
        roles.partition();
        let admin = PgConnection::connect(&roles.backend.url).await.unwrap();
        let serving = roles.serving();
        let required = [("CONSENT_REQUIRED", "true"), ("PRIVACY_HASH_KEY", KEY)];
        let store = Store::open(&serving.config(&[])).unwrap();
        let config = serving.config(&required);
        let hasher = config.hasher().unwrap();
        Self { roles, admin, store, consenting: Store::open(&config).unwrap(), hasher, uses: 0 }
    }

    async fn execute(&mut self, sql: &str) {
        self.admin
            .execute(AssertSqlSafe(sql.to_owned()))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Uses everything that the service does with its database, as its role, beginning with what most likely needs `right`.
    async fn use_everything(&mut self, right: &str) -> Result<(), Failed> {
        self.uses += 1;
        self.plant().await?;
        let n = self.uses;
        let first = match right.rsplit(' ').next().unwrap_or_default() {
            "mlops_api_keys" | "mlops_businesses" | "businesses" | "business_settings" | "mlops_sessions"
            | "mlops_links" => Part::Keys,
            _ if right.starts_with("delete on mlops_") || right.starts_with("execute") => Part::Retention,
            // The book is read before the people in it are erased.
            "mlops_book" if right.starts_with("insert") => Part::Events,
            "mlops_book"
            | "conversations"
            | "messages"
            | "appointments"
            | "documents"
            | "mlops_consents"
            | "mlops_privacy_requests" => Part::People,
            "chat_messages" | "mlops_retention" | "mlops_retention_deleted" | "mlops_audit" => {
                Part::Retention
            }
            _ => Part::Events,
        };
        for part in [first, Part::Events, Part::Keys, Part::People, Part::Retention].iter().enumerate() {
            match part {
                (index, part) if index > 0 && *part == first => {}
                (_, Part::Events) => self.write_events(n).await?,
                (_, Part::Keys) => {
                    self.manage_keys(n).await?;
                    self.manage_profiles(n).await?;
                    self.open_pages().await?;
                }
                (_, Part::People) => self.handle_people(n).await?,
                (_, Part::Retention) => self.retain().await?,
            }
        }
        Ok(())
    }

    /// Plants two people, `ana` and `bo`, rows of the app that nobody has counted, and what retention deletes.
    async fn plant(&mut self) -> Result<(), Failed> {
        let (n, service) = (self.uses, Actor::service());
        let (old, older) = ("now() - interval '900 days'", "now() - interval '901 days'");
        let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
        let person = |who: &str| {
            format!(
                "insert into conversations (id, business_id, customer_email) values ('{who}-{n}', 'acme', '{who}-{n}@example.com');
                 insert into messages (id, conversation_id, content) values ('{who}-{n}', '{who}-{n}', 'text');
                 insert into appointments (id, business_id, conversation_id, customer_email) values ('{who}-{n}', 'acme', '{who}-{n}', '{who}-{n}@example.com');
                 {}",
                facts_of(&format!("{who}-{n}"), "now()")
            )
        };
        let row = |session: &str, created_at: &str| {
            format!(
                "insert into ai_metrics (business_id, conversation_id, session_id, response_time_ms, success_rate, tokens_used,
                    api_cost_usd, model_name, intent_detected, user_message_length, ai_response_length, response_type, created_at)
                 values ('acme', 'c', '{session}-{n}', 150, 0.95, 75, 0.002, 'm', 'i', 42, 120, 'r', {created_at});"
            )
        };
        let rows = [
            person("ana"),
            person("bo"),
            row("claimed", "now()"),
            row("claimed-without-consent", "now()"),
            row("foreign", "now() - interval '1 day'"),
            row("old", old),
            facts_of(&format!("facts-{n}"), old),
            format!(
                "delete from mlops_rebuild; update mlops_book set settled = true where appointment_id = 'facts-{n}';
                 insert into conversations (id, updated_at, created_at) values ('old-{n}', {old}, {old});
                 insert into messages (id, conversation_id, created_at) values ('old-{n}', 'old-{n}', {old});
                 insert into chat_messages (id, created_at) values ('old-{n}', {old});
                 insert into appointments (id, appointment_date, created_at) values ('old-{n}', current_date - 900, {old});
                 insert into mlops_consents (id, subject, purpose, policy_version, granted, source, at) values
                    ('{first}', decode(repeat('01', 32), 'hex'), 'p', '1', true, 's', {older}), ('{second}', decode(repeat('01', 32), 'hex'), 'p', '1', false, 's', {old});
                 insert into mlops_privacy_requests (id, kind, selector, subject, source, received_at, due_at, done_at)
                    values ('old-{n}', 'export', 'email', decode(repeat('01', 32), 'hex'), 's', {older}, {old}, {old});
                 insert into mlops_counted_events (event_id, business_id, at) values (gen_random_uuid(), 'acme', {old});
                 insert into mlops_tombstones (subject, mark, until) values (decode(md5(random()::text), 'hex'), 1, {old});
                 alter table mlops_audit disable trigger user; truncate mlops_audit; alter table mlops_audit enable trigger user"
            ),
        ];
        self.execute(&[rows.concat(), months_with(n)].join("; ")).await;
        for days in [800, 1] {
            let at = real_now() - TimeDelta::days(days);
            self.store.append_audit(at, &service.entry(Action::RetentionRun)).await?;
        }
        Ok(())
    }

    async fn write_events(&self, n: u64) -> Result<(), Failed> {
        let now = real_now();
        self.store.check_migrations().await?;
        self.store.migrate().await?;
        self.store.probe().await?;
        let sent = [
            made(json!({"session_id": format!("s-{n}"), "conversation_id": format!("ana-{n}")}), now),
            made(json!({"session_id": format!("claimed-{n}"), "event_id": Uuid::new_v4().to_string()}), now),
        ];
        let written = self.store.write(&sent, false, LIMIT).await?;
        self.store.write(&sent, true, LIMIT).await?;
        self.store.stored(&sent.each_ref().map(Event::key)).await?;
        self.store.totals(&[], drop, |_, _| {}).await?;
        self.store.totals(&[Arc::new(written.counted.clone())], drop, |_, _| {}).await?;
        self.store.merge_rollup(&written.counted).await?;
        self.use_facts(n, now).await?;
        while self.store.count_foreign_rows(now).await?.more {}
        self.store.merge_leftover_rollups(i64::MAX, 100).await?;
        self.read_analytics(now).await?;
        let key = Key::from(["acme", "m", "i", "r"].map(str::to_owned));
        let series = Series { kind: SeriesKind::VARIANTS[0], key };
        self.store.add_series(&[(series, Bounds { all: 100, of_business: 100 })]).await?;
        self.store.series().await?;
        let silent = [
            made(json!({"session_id": format!("silent-{n}"), "event_id": Uuid::new_v4().to_string()}), now),
            made(
                json!({"session_id": format!("claimed-without-consent-{n}"), "event_id": Uuid::new_v4().to_string()}),
                now,
            ),
        ];
        self.consenting.write(&silent, false, LIMIT).await?;
        self.store.count_without_rows(&silent, now).await?;
        Ok(())
    }

    async fn use_facts(&self, n: u64, now: DateTime<Utc>) -> Result<(), Failed> {
        self.store.digest_all().await?;
        let outcome = |id: &str| NewOutcome {
            key: ConversationKey { business_id: "acme".to_owned(), conversation_id: id.to_owned() },
            posted: PostedOutcome {
                id: Uuid::new_v4(),
                outcome: conversation::Outcome::Booked,
                value_micros: None,
                occurred_at: now,
            },
        };
        let outcomes = [outcome(&format!("ana-{n}")), outcome(&format!("unknown-yet-{n}"))];
        self.store.post_outcomes(&outcomes, now).await?;
        let joined = made(json!({"conversation_id": format!("unknown-yet-{n}")}), now);
        self.store.write(&[joined], false, LIMIT).await?;
        self.store.digest_all().await?;
        while self.store.read_book(now).await? {}
        self.store.rebuild().await?;
        self.store.rebuild_some(1_000_000).await?;
        self.store.fact_totals().await?;
        Ok(())
    }

    async fn read_analytics(&self, now: DateTime<Utc>) -> Result<(), Failed> {
        let today = now.date_naive();
        let days = DayRange { from: today - TimeDelta::days(2), to: today };
        self.store.summary("acme", days).await?;
        let query = FiguresQuery {
            business_id: "acme",
            days,
            previous: Some(days),
            month: days,
            today,
            costliest: 5,
        };
        self.store.figures(&query).await?;
        let list = ListRead { days, today, ranked: Some(RankedBy::Costs), previous: Some(days) };
        self.store.list(list, |_| (vec!["acme".to_owned()], ())).await?;
        self.store.conversations("acme", &ConversationFilter::default(), 1).await?;
        Ok(())
    }

    async fn manage_keys(&self, n: u64) -> Result<(), Failed> {
        let (now, entry) = (real_now(), || Actor::service().entry(Action::KeyCreated));
        let key = NamedKey { id: KeyId(n), hash: PlainKey::generate().hash(), ..NamedKey::placeholder() };
        self.store.add_key(&key, now, &entry()).await?;
        self.store.key(key.id).await?;
        self.store.keys().await?;
        self.store.replace_secret(key.id, SecretHash([1; 32]), now, now, &entry()).await?;
        self.store.restore_secret(key.id, SecretHash([1; 32]), now, &entry()).await?;
        self.store.record_key_uses(&[(key.id, now)]).await?;
        self.store.revoke_key(key.id, false, now, |_| entry()).await?;
        Ok(())
    }

    async fn open_pages(&self) -> Result<(), Failed> {
        let (now, by) = (real_now(), Actor::service());
        let (cookie, hour) = (Secret::generate().hash(), TimeDelta::hours(1));
        let session = Session { key: SessionKey::Configured(7), created_at: now, expires_at: now + hour };
        self.store.add_session(&cookie, &session).await?;
        self.store.session(&cookie).await?.ok_or("the session is not there")?;
        self.store.end_session(&cookie).await?;
        let wish = NewLink {
            business_id: "acme".to_owned(),
            page: None,
            month: Some("2026-10".to_owned()),
            expires: None,
        };
        let (link, secret) = wish.into_link(now, &by)?;
        self.store.add_link(&link, &secret.hash(), now, &by).await?;
        self.store.linked(&secret.hash()).await?.ok_or("the link is not there")?;
        self.store.links(None, None, 10).await?;
        self.store.revoke_link(link.id, None, now, &by).await?.ok_or("the link is not there")?;
        Ok(())
    }

    async fn manage_profiles(&self, n: u64) -> Result<(), Failed> {
        let mut change = ProfileChange::default();
        // Once for a new row, and once for one that is there.
        for name in ["first", "second"] {
            change.set_name(name)?;
            self.store.set_profile(&format!("b-{n}"), &change, real_now(), &Actor::service()).await?;
        }
        self.store.load_profiles().await?;
        let listed = self.store.businesses("", 500).await?;
        let acme = listed.iter().find(|(id, _)| id == "acme").map(|(_, profile)| profile.from_app);
        if acme != Some(FromApp { name: true, opening_hours: true }) {
            return Err(format!("42501: the app's tables cannot be read: {acme:?}").into());
        }
        Ok(())
    }

    async fn handle_people(&self, n: u64) -> Result<(), Failed> {
        for (who, mode) in [("ana", Mode::Anonymise), ("bo", Mode::Delete)] {
            let (now, entry) = (real_now(), Actor::service().entry(Action::PrivacyErase));
            let selector = self.hasher.reader.email(&format!("{who}-{n}@example.com"))?;
            let search = Search { selector: &selector, business: None, hasher: &self.hasher };
            let subject = self.hasher.hash(&selector);
            self.ask_for_consent(subject, now).await?;
            let told = made(
                json!({"session_id": format!("{who}-{n}"), "conversation_id": format!("{who}-{n}")}),
                now,
            );
            self.consenting.write(&[told], false, LIMIT).await?;
            self.store.add_request(&request(subject, now), &entry, now).await?;
            self.store.requests(None, 0, 10).await?;
            self.store.open_requests(None, now).await?;
            let found = self.store.find_person(&search).await?;
            self.store.extract_person(&search, &found.traces).await?;
            self.store.near_misses(&search).await?;
            let mentions = self.store.mentions(&search, &found.traces).await?;
            if mentions.not_searched.contains(&"documents") {
                return Err("42501: documents cannot be searched".into());
            }
            let changed = self.consenting.changed_conversations(None).await?;
            self.consenting.delete_withdrawn(&changed, now).await?;
            self.store.bury(&found.traces, &self.hasher, now).await?;
            self.store.unbury(&found.traces, &self.hasher, now).await?;
            let erasure = Erasure {
                search,
                traces: &found.traces,
                mode,
                spooled: 0,
                at: now,
                until: now + TimeDelta::days(1),
                note: &|_: &Erased| noted(subject, now),
            };
            let erased = self.store.erase_person(&erasure).await?.ok_or("nobody was erased")?;
            assert_eq!(erased.deleted.of("messages"), 1, "{erased:?}");
        }
        Ok(())
    }

    async fn ask_for_consent(&self, subject: SubjectHash, at: DateTime<Utc>) -> Result<(), Failed> {
        let entry = Actor::service().entry(Action::PrivacyErase);
        let consent = Consent {
            id: Uuid::new_v4(),
            subject,
            business_id: None,
            purpose: Purpose::read("chat_storage")?,
            policy_version: "1".to_owned(),
            granted: true,
            source: "form".to_owned(),
            at,
        };
        self.store.add_consent(&consent, &entry).await?;
        self.store.consents(&ConsentFilter::default(), 10).await?;
        self.store.consents_in_force(&[subject], None, 10).await?;
        Ok(())
    }

    /// Drops the partition of a month, which has a row.
    async fn drop_month(
        &self,
        plan: &TablePlan,
        month: NaiveDate,
        cutoff: DateTime<Utc>,
    ) -> Result<(), Failed> {
        let all = Window::new(plan, &plan.range, cutoff, cutoff);
        let rows = self.store.forget_ids(all, month).await?;
        assert!(rows > 0, "{month}");
        self.store.may_drop(plan).await?;
        assert!(self.store.drop_month(month, cutoff, rows).await?);
        Ok(())
    }

    async fn retain(&self) -> Result<(), Failed> {
        let (now, by) = (real_now(), Actor::service());
        let cutoff = now - TimeDelta::days(800);
        self.store.retention_record().await?;
        self.store.ensure_retention_record(now).await?;
        self.store.begin_retention(now).await?;
        for kind in Retained::VARIANTS.iter().copied().filter(|kind| *kind != Retained::Audit) {
            let mut found = 0;
            for plan in self.store.plans(kind).await? {
                self.store.overdue(&plan, cutoff).await?;
                if let Some(month) = plan.past_month(cutoff) {
                    self.drop_month(&plan, month, cutoff).await?;
                    continue;
                }
                let window = Window::new(&plan, &plan.range, cutoff, now);
                let counts = self.store.count_window(window).await?;
                found += counts.old;
                let deleted = self.store.delete_old(window, now, counts, false).await?;
                assert_eq!(deleted.rows, counts.old.unsigned_abs(), "{kind:?}");
            }
            assert!(found > 0, "{kind:?}");
        }
        assert_eq!(self.store.add_event_months(now).await?, 1);
        self.store.finish_retention(now, Some(now), &by.entry(Action::RetentionRun)).await?;
        self.store.audit_head().await?;
        self.store.audit(0, DateTime::UNIX_EPOCH, 10).await?;
        self.store.verify_audit(None, now, LIMIT).await?;
        self.store.purge_audit(now - TimeDelta::days(730), now, &by).await?.ok_or("nothing was purged")?;
        Ok(())
    }
}

/// The statements that plant a month that retention drops, with an event, and take away a month that the service is to make.
fn months_with(n: u64) -> String {
    format!(
        "do $$ begin execute 'drop table if exists ai_metrics_' || to_char(now() + interval '12 months', 'YYYY_MM'); end $$;
         select mlops_add_event_month(cast(now() - interval '40 months' as date));
         insert into ai_metrics (event_id, business_id, session_id, response_time_ms, success_rate, tokens_used, api_cost_usd,
            model_name, intent_detected, user_message_length, ai_response_length, response_type, created_at)
         values (gen_random_uuid(), 'acme', 'past-{n}', 1, 1, 1, 0, 'm', 'i', 1, 1, 'r', now() - interval '40 months')"
    )
}

/// The statements that insert facts about a conversation, an outcome and what was read of its appointment, of that time.
fn facts_of(conversation: &str, at: &str) -> String {
    format!(
        "insert into mlops_conversations (business_id, conversation_id, day, hour, first_at, last_at, first_response_ms,
            first_intent, answers, requested, claimed, handoff, error, tokens, cost_nanos, in_book, posted, value_micros)
         values ('acme', '{conversation}', current_date, 0, {at}, {at}, 1, 'i', 1, true, true, false, false, 1, 1, true, true, 1);
         insert into mlops_outcomes (business_id, outcome_id, conversation_id, outcome, occurred_at)
         values ('acme', gen_random_uuid(), '{conversation}', 'booked', {at});
         insert into mlops_book (appointment_id, business_id, conversation_id, outcome, held_at)
         values ('{conversation}', 'acme', '{conversation}', 'booked', {at});"
    )
}

fn made(changes: Value, at: DateTime<Utc>) -> Event {
    Report::parse(event(changes).to_string().as_bytes()).unwrap().into_event(None, at).unwrap()
}

fn request(subject: SubjectHash, at: DateTime<Utc>) -> Request {
    Request {
        id: Uuid::new_v4().to_string(),
        kind: "erase".to_owned(),
        selector: "email".to_owned(),
        subject,
        business_id: None,
        source: "form".to_owned(),
        received_at: at,
        due_at: at,
        done_at: None,
        receipt_id: None,
        counts: None,
        extended: None,
    }
}

fn noted(subject: SubjectHash, at: DateTime<Utc>) -> (Entry, Completion) {
    let receipt_id = Some(Uuid::new_v4().to_string());
    let request = Request { done_at: Some(at), receipt_id, counts: Some(Map::new()), ..request(subject, at) };
    (
        Actor::service().entry(Action::PrivacyErase),
        Completion { request, subjects: vec![subject], listed: true },
    )
}

/// The rights that the script grants on tables, such as `update (id) on conversations`.
fn granted() -> Vec<String> {
    let script = std::fs::read_to_string("migrations/roles.sql").unwrap();
    let rows = script.lines().filter_map(|line| line.trim().strip_prefix("('")?.split_once("', '"));
    let rows = rows.map(|(table, rest)| (table.to_owned(), rest.split('\'').next().unwrap().to_owned()));
    rows.flat_map(|(table, rights)| {
        let rights: Vec<String> = rights
            .split(", ")
            .filter(|right| !right.is_empty())
            .map(|right| format!("{right} on {table}"))
            .collect();
        rights
    })
    .collect()
}

/// Takes each of these rights away in turn, and sees that something fails for want of it.
async fn assert_needed(rights: &[String]) {
    let mut house = House::new().await;
    house.use_everything("").await.unwrap();
    let service = format!("service_{}", house.roles.suffix);
    let mut superfluous = Vec::new();
    for right in rights {
        house.execute(&format!("revoke {right} from {service}")).await;
        match house.use_everything(right).await {
            Ok(()) => superfluous.push(right),
            Err(error) => assert!(error.to_string().contains("42501"), "without {right}: {error}"),
        }
        house.execute(&format!("grant {right} to {service}")).await;
    }
    assert!(
        superfluous.is_empty(),
        "nothing here needs {superfluous:?}: take them out of roles.sql, or add what needs them"
    );
    house.use_everything("").await.unwrap();
}

fn is_about_events(right: &str) -> bool {
    right.contains(" on ai_")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_right_on_events_and_sums_is_needed() {
    let mut rights: Vec<String> = granted().into_iter().filter(|right| is_about_events(right)).collect();
    assert!(rights.len() > 15, "{rights:?}");
    rights.push("usage on sequence ai_metrics_id_seq".to_owned());
    assert_needed(&rights).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_right_is_needed() {
    let mut rights: Vec<String> = granted().into_iter().filter(|right| !is_about_events(right)).collect();
    assert!(rights.len() > 25, "{rights:?}");
    let functions =
        ["audit_purge(timestamptz)", "add_event_month(date)", "drop_event_month(date, timestamptz)"];
    rights.extend(functions.map(|function| format!("execute on function mlops_{function}")));
    assert_needed(&rights).await;
}
