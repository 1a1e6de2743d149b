//! The roles of `migrations/roles.sql` on a real Postgres: what the service's role can do, and what it cannot.

use std::process::Command;

use chrono::TimeDelta;
use mlops_service::audit::{Action, Actor};
use mlops_service::store::Store;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::harness::{
    Backend, KEY, LAB_TABLE, Postgres, Service, command, event, eventually, http_client, insert_as_the_app,
    real_now,
};

/// The receptionist app's tables.
const APP: &str = "
    create table businesses (id text primary key, name text);
    create table business_settings (business_id text references businesses (id), business_hours jsonb);
    create table conversations (id text primary key, business_id text references businesses (id), customer_name text,
        customer_email text, customer_phone text, status text, created_at timestamptz default now(),
        updated_at timestamptz default now());
    create table messages (id text primary key, conversation_id text references conversations (id) on delete cascade,
        sender text, content text, message_type text, metadata jsonb, created_at timestamptz default now());
    create table chat_messages (id text primary key, content text, created_at timestamptz default now());
    create table documents (id text primary key, content text);
    create table appointments (id text primary key, business_id text references businesses (id),
        conversation_id text references conversations (id) on delete set null, customer_name text, customer_email text,
        customer_phone text, appointment_date date, appointment_time time, status text, notes text,
        created_at timestamptz default now());
    insert into businesses values ('acme', 'Acme');
    insert into business_settings values ('acme', '{\"monday\":{\"open\":\"09:00\",\"close\":\"17:00\"}}');
    insert into conversations (id, business_id) values ('c-1', 'acme');
    insert into messages (id, conversation_id) values ('m-1', 'c-1');
    insert into chat_messages (id) values ('m-2');
    insert into appointments (id, business_id) values ('a-1', 'acme');";

/// A database with roles of its own: the app's, the owner's and the service's.
pub(super) struct Roles {
    pub(super) backend: Backend,
    pub(super) suffix: String,
}

impl Roles {
    /// An empty database, in which the app's role may create tables.
    async fn new() -> Self {
        let backend = Backend::postgres().await;
        let suffix = backend.database().to_owned();
        let app = format!("create role app_{suffix} login; grant create on schema public to app_{suffix}");
        backend.execute(&app).await;
        Self { backend, suffix }
    }

    fn url(&self, role: &str) -> String {
        self.backend.url.replace("postgres@", &format!("{role}_{}@", self.suffix))
    }

    fn owner(&self) -> String {
        self.url("owner")
    }

    /// Runs roles.sql, as its head says.
    pub(super) fn apply(&self) {
        self.apply_with("service", "public").unwrap();
    }

    /// The same for a service whose role's name begins so, and for a schema. An error is what psql says.
    fn apply_with(&self, service: &str, schema: &str) -> Result<(), String> {
        let suffix = &self.suffix;
        let output = Command::new(Postgres::psql())
            .args(["-X", "-q", "-d", &self.backend.url, "-f", "migrations/roles.sql"])
            .args(["-v", &format!("owner=owner_{suffix}"), "-v", &format!("service={service}_{suffix}")])
            .args(["-v", &format!("schema={schema}")])
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        if output.status.success() { Ok(()) } else { Err(told) }
    }

    /// The database as the service sees it.
    pub(super) fn serving(&self) -> Backend {
        Backend { url: self.url("service"), folder: self.backend.folder.clone() }
    }

    /// Runs the program, and gives whether it worked and what it said.
    fn program(&self, settings: &[(&str, &str)], arguments: &[&str]) -> (bool, String) {
        let output = command(&self.serving(), settings).args(arguments).output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(told).unwrap())
    }

    pub(super) fn migrate(&self) {
        let (worked, told) = self.program(&[("MIGRATION_DATABASE_URL", &self.owner())], &["migrate"]);
        assert!(worked, "{told}");
    }

    /// Partitions the table of events.
    pub(super) fn partition(&self) {
        let (worked, told) =
            self.program(&[("MIGRATION_DATABASE_URL", &self.owner())], &["partition", "--yes"]);
        assert!(worked, "{told}");
    }

    /// How many events the service sees.
    async fn rows(&self) -> i64 {
        let mut conn = PgConnection::connect(&self.url("service")).await.unwrap();
        sqlx::query_scalar("select count(*) from ai_metrics").fetch_one(&mut conn).await.unwrap()
    }

    /// Runs statements as a role.
    async fn run(&self, role: &str, sql: &str) -> Result<(), sqlx::Error> {
        let mut conn = PgConnection::connect(&self.url(role)).await.unwrap();
        conn.execute(AssertSqlSafe(sql.to_owned())).await.map(drop)
    }

    async fn allowed(&self, role: &str, statements: &[&str]) {
        for sql in statements {
            self.run(role, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    /// Tries what must be refused for want of a permission.
    async fn denied(&self, statements: &[&str]) {
        for sql in statements {
            let error = self.run("service", sql).await.expect_err(sql);
            let code = error.as_database_error().unwrap().code().unwrap().into_owned();
            assert_eq!(code, "42501", "{sql}: {error}");
        }
    }
}

/// Uses the service from end to end.
async fn assert_serves(roles: &Roles, settings: &[(&str, &str)]) {
    let all = [&[("MLOPS_API_KEY", KEY), ("TIME_ZONE", "UTC")], settings].concat();
    let service = Service::start(&roles.serving(), &all);
    let send = async |call: reqwest::RequestBuilder| {
        let answer = call.header("x-api-key", KEY).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let client = http_client();
    let before = roles.rows().await;
    let tracked = send(client.post(service.url("/track")).json(&event(json!({})))).await;
    assert_eq!((tracked.0, &tracked.1["database_stored"]), (200, &json!(true)));
    assert_eq!(roles.rows().await, before + 1);
    let refreshed = send(client.post(service.url("/refresh-metrics"))).await;
    assert_eq!(refreshed.1["status"], "success");
    let analytics = send(client.get(service.url("/analytics/acme"))).await;
    assert_eq!(analytics.1["metrics"]["total_conversations"], before + 1);
    let made =
        send(client.post(service.url("/admin/keys")).json(&json!({"name": "k", "scopes": ["track"]}))).await;
    assert_eq!(made.0, 201, "{}", made.1);
    let revoke = client.delete(service.url(&format!("/admin/keys/{}", made.1["id"].as_str().unwrap())));
    assert_eq!(send(revoke).await.0, 200);
    let trail = send(client.get(service.url("/admin/audit"))).await;
    assert_eq!((trail.0, &trail.1["chain"]["intact"]), (200, &json!(true)));
    eventually("the start is told", async || service.log().contains("audit trail head")).await;
}

/// Uses the privacy desk: consent, export and erasure of the app's customer.
async fn assert_serves_the_desk(roles: &Roles) {
    let person = "update conversations set customer_email = 'ana@example.com' where id = 'c-1'";
    roles.run("app", person).await.unwrap();
    let service = Service::start(&roles.serving(), &[("MLOPS_API_KEY", KEY), ("CONSENT_REQUIRED", "true")]);
    let client = http_client();
    let post = async |path: &str, body: Value| {
        let answer =
            client.post(service.url(path)).header("x-api-key", KEY).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let consent = json!({"subject": "ana@example.com", "purpose": "chat_storage", "policy_version": "1",
                         "granted": true, "source": "chat"});
    for (path, body, status) in [
        ("/track", event(json!({"conversation_id": "c-9"})), 200),
        ("/privacy/consents", consent, 201),
        ("/track", event(json!({"conversation_id": "c-1"})), 200),
        ("/privacy/requests", json!({"kind": "erase", "email": "ana@example.com"}), 201),
        ("/privacy/export", json!({"email": "ana@example.com"}), 200),
        ("/privacy/erase?dry_run=true", json!({"email": "ana@example.com"}), 200),
        ("/privacy/erase", json!({"email": "ana@example.com"}), 200),
        ("/privacy/erase", json!({"email": "ana@example.com"}), 404),
    ] {
        let (answered, told) = post(path, body).await;
        assert_eq!(answered, status, "{path}: {told}\n{}", service.log());
    }
    let answer = client.get(service.url("/privacy/requests")).header("x-api-key", KEY).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(roles.backend.number("select count(*) from messages").await, 0);
}

/// Deletes what is old, of every table, the audit trail's beginning included.
async fn assert_retains(roles: &Roles) {
    let old = "insert into conversations (id, business_id, created_at, updated_at)
            values ('c-old', 'acme', now() - interval '900 days', now() - interval '900 days');
        insert into messages (id, conversation_id, created_at) values ('m-old', 'c-old', now() - interval '900 days');
        insert into chat_messages (id, created_at) values ('m-older', now() - interval '900 days');
        insert into appointments (id, business_id, appointment_date, created_at)
            values ('a-old', 'acme', current_date - 900, now() - interval '900 days');
        insert into ai_metrics (business_id, session_id, response_time_ms, success_rate, tokens_used, api_cost_usd,
            model_name, intent_detected, user_message_length, ai_response_length, response_type, created_at)
            values ('acme', 's-old', 1, 1, 1, 0, 'm', 'i', 1, 1, 'r', now() - interval '900 days')";
    roles.run("app", old).await.unwrap();
    let settings = [("RETENTION_CHATS_DAYS", "30"), ("RETENTION_APPOINTMENTS_DAYS", "30")];
    let (worked, told) = roles.program(&settings, &["retention", "run"]);
    assert!(worked, "{told}");
    let left = "select (select count(*) from conversations where id = 'c-old')
        + (select count(*) from messages where id = 'm-old') + (select count(*) from chat_messages where id = 'm-older')
        + (select count(*) from appointments where id = 'a-old')
        + (select count(*) from ai_metrics where session_id = 's-old')";
    assert_eq!(roles.backend.number(left).await, 0, "{told}");
}

/// A database of the app, with `ai_metrics` and two rows of the app's in it.
pub(super) async fn of_the_app() -> Roles {
    let roles = Roles::new().await;
    roles.run("app", APP).await.unwrap();
    roles.run("app", LAB_TABLE).await.unwrap();
    let app = Backend { url: roles.url("app"), folder: roles.backend.folder.clone() };
    for session in ["s-1", "s-2"] {
        insert_as_the_app(&app, session, 60).await;
    }
    roles
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_serves_with_a_role_that_can_do_nothing_else() {
    let roles = of_the_app().await;
    roles.apply();
    let owner = roles.owner();
    for settings in [&[][..], &[("MIGRATION_DATABASE_URL", owner.as_str())]] {
        let (worked, told) = roles.program(settings, &["serve"]);
        assert!(!worked && told.contains("run mlops-service migrate"), "{told}");
    }
    roles.migrate();
    assert_serves(&roles, &[]).await;
    roles.apply();
    roles.migrate();
    assert_serves(&roles, &[("MIGRATION_DATABASE_URL", &owner)]).await;
    assert_serves_the_desk(&roles).await;
    assert_retains(&roles).await;
    let (worked, told) = roles.program(&[], &["key", "create", "--name", "k", "--scopes", "track"]);
    assert!(worked, "{told}");
    let (worked, told) = roles.program(&[], &["audit", "verify"]);
    assert!(worked, "{told}");
    let (worked, told) = roles.program(&[], &["migrate"]);
    assert!(worked, "there is nothing to do: {told}");
    cannot_change_the_house(&roles).await;
    cannot_touch_what_it_does_not_need(&roles).await;
    let needed = [
        "select * from businesses, business_settings",
        "select * from conversations, messages, chat_messages, appointments",
        "select id from conversations for update",
        "update appointments set customer_name = null where id = 'a-1'",
        "delete from messages",
        "delete from chat_messages",
        "delete from appointments",
        "delete from conversations",
        "delete from ai_metrics where false",
    ];
    roles.allowed("service", &needed).await;
    // The app goes on as before.
    roles
        .allowed(
            "app",
            &["create table more (id int)", "alter table ai_metrics add column note text", "drop table more"],
        )
        .await;
}

async fn cannot_change_the_house(roles: &Roles) {
    let (service, owner) = (format!("service_{}", roles.suffix), format!("owner_{}", roles.suffix));
    let becoming = [
        format!("set role {owner}"),
        format!("alter role {service} superuser"),
        format!("alter role {service} createrole"),
        format!("grant select on mlops_audit to {owner}"),
    ];
    roles.denied(&becoming[..3].iter().map(String::as_str).collect::<Vec<_>>()).await;
    // Postgres warns, and grants nothing.
    roles.allowed("service", &[becoming[3].as_str()]).await;
    roles
        .denied(&[
            "create table more (id int)",
            "create view more as select 1",
            "create function more() returns int language sql as 'select 1'",
            "create schema more",
            "create role more",
            "create table copied as select * from ai_metrics",
            "drop table ai_metrics",
            "drop table mlops_api_keys",
            "drop table mlops_audit",
            "drop table conversations",
            "drop view ai_totals_now",
            "drop function mlops_audit_purge(timestamptz)",
            "drop schema public cascade",
            "alter table ai_metrics add column more int",
            "alter table mlops_audit disable trigger all",
            "alter table mlops_api_keys drop column secret_hash",
            "alter table conversations rename to more",
            "create index on ai_metrics (id)",
            "create trigger more before insert on mlops_audit for each row execute function mlops_audit_keep()",
            "drop trigger mlops_audit_keep on mlops_audit",
            "set session_replication_role = replica",
            "alter system set fsync = off",
            "copy (select 1) to program 'true'",
            "select pg_read_file('postgresql.conf')",
            "select * from pg_authid",
        ])
        .await;
}

async fn cannot_touch_what_it_does_not_need(roles: &Roles) {
    roles
        .denied(&[
            "update mlops_audit set actor = 'nobody'",
            "delete from mlops_audit",
            "truncate mlops_audit",
            "truncate ai_metrics",
            "truncate messages",
            "delete from mlops_api_keys",
            "delete from ai_totals",
            "delete from ai_rollup_daily",
            "delete from ai_latency_daily",
            "select * from ai_metric_labels",
            "insert into _sqlx_migrations select * from _sqlx_migrations",
            "update _sqlx_migrations set success = false",
            "delete from _sqlx_migrations",
            "insert into businesses values ('more')",
            "update businesses set name = 'more'",
            "delete from businesses",
            "update business_settings set business_hours = null",
            "delete from mlops_businesses",
            "insert into conversations (id) values ('more')",
            "update conversations set customer_email = null",
            "update messages set content = null",
            "update chat_messages set content = null",
            "update mlops_consents set granted = true",
            "insert into messages (id) values ('more')",
            "insert into appointments (id) values ('more')",
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_before_the_first_migration_is_enough_to_serve() {
    let roles = Roles::new().await;
    roles.apply();
    roles.migrate();
    assert_serves(&roles, &[("MIGRATION_DATABASE_URL", &roles.owner())]).await;
    roles
        .denied(&[
            "delete from mlops_audit",
            "update mlops_audit set actor = ''",
            "delete from _sqlx_migrations",
        ])
        .await;
    roles.denied(&["drop table ai_metrics", "create table more (id int)"]).await;
    // What a later migration makes is within reach.
    roles.allowed("owner", &["create table later (id serial, what text)"]).await;
    roles.allowed("service", &["insert into later (what) values ('more')", "delete from later"]).await;
    roles.denied(&["drop table later"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_where_one_role_had_everything_is_taken_over() {
    let roles = of_the_app().await;
    let everything = Backend { url: roles.url("app"), folder: roles.backend.folder.clone() };
    everything.store(&[]).await.close().await;
    roles.apply();
    roles.migrate();
    assert_serves(&roles, &[]).await;
    roles.denied(&["drop table ai_totals", "delete from mlops_audit", "drop table ai_metrics"]).await;
    let app = "insert into ai_metrics (business_id, session_id, response_time_ms, success_rate, tokens_used,
        api_cost_usd, model_name, intent_detected, user_message_length, ai_response_length, response_type)
        values ('acme', 's-9', 1, 1, 1, 0, 'm', 'i', 1, 1, 'r')";
    roles.allowed("app", &[app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_may_be_in_another_schema() {
    let roles = Roles::new().await;
    roles.backend.execute("create schema house").await;
    roles.apply_with("service", "house").unwrap();
    roles.migrate();
    roles.apply_with("service", "house").unwrap();
    assert_serves(&roles, &[]).await;
    assert_eq!(roles.backend.number("select count(*) from house.ai_metrics").await, 1);
    assert_eq!(roles.backend.number("select count(to_regclass('public.mlops_audit'))").await, 0);
    roles.denied(&["drop table ai_metrics", "create table more (id int)", "delete from mlops_audit"]).await;
    roles.allowed("service", &["select mlops_audit_purge(now() - interval '31 days')"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_the_app_is_not_the_services() {
    let roles = of_the_app().await;
    let refused = roles.apply_with("app", "public").unwrap_err();
    assert!(refused.contains("give the service a role of its own"), "{refused}");
    let made = format!("select count(*) from pg_roles where rolname = 'owner_{}'", roles.suffix);
    assert_eq!(roles.backend.number(&made).await, 0, "all or nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_acts_for_a_superuser() {
    let roles = Roles::new().await;
    roles.backend.execute(LAB_TABLE).await;
    roles.apply();
    roles.migrate();
    assert_serves(&roles, &[]).await;
    assert!(roles.run("owner", "set role postgres").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_append_only_even_for_whom_everything_was_granted() {
    let roles = Roles::new().await;
    roles.apply();
    roles.migrate();
    let store = Store::open(&roles.serving().config(&[])).unwrap();
    store.migrate().await.unwrap();
    let now = real_now();
    for days in [800, 790, 1] {
        store
            .append_audit(now - TimeDelta::days(days), &Actor::service().entry(Action::KeyCreated))
            .await
            .unwrap();
    }
    let grant = format!("grant all on all tables in schema public to service_{}", roles.suffix);
    roles.backend.execute(&grant).await;
    for sql in
        ["update mlops_audit set actor = ''", "delete from mlops_audit where seq = 1", "truncate mlops_audit"]
    {
        let error = roles.run("service", sql).await.expect_err(sql).to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
    let purged =
        store.purge_audit(now - TimeDelta::days(730), now, &Actor::service()).await.unwrap().unwrap();
    assert_eq!(purged.rows, 2);
    assert!(
        store.verify_audit(None, real_now(), std::time::Duration::from_secs(9)).await.unwrap().is_intact()
    );
    // The function alone removes nothing that no entry accounts for.
    roles.allowed("service", &["select mlops_audit_purge(now() - interval '31 days')"]).await;
    assert_eq!(roles.backend.number("select count(*) from mlops_audit").await, 2);
    let error = roles.run("service", "select mlops_audit_purge(now())").await.unwrap_err().to_string();
    assert!(error.contains("30 days"), "{error}");
    roles.apply();
    roles.denied(&["delete from mlops_audit", "truncate mlops_audit"]).await;
}

#[test]
fn every_table_and_view_of_the_migrations_has_its_rights() {
    let script = std::fs::read_to_string("migrations/roles.sql").unwrap();
    let mut found = 0;
    for file in std::fs::read_dir("migrations/postgres").unwrap() {
        let migration = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for made in migration.split("\ncreate ").skip(1) {
            let made = made.strip_prefix("table ").or_else(|| made.strip_prefix("view "));
            let made = made.map(|made| made.strip_prefix("if not exists ").unwrap_or(made));
            let Some(name) = made.and_then(|made| made.split([' ', '(']).next()) else { continue };
            assert!(script.contains(&format!("('{name}', '")), "{name} is not in migrations/roles.sql");
            found += 1;
        }
    }
    assert!(found >= 9, "{found}");
}
