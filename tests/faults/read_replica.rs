//! Analytics on a streaming replica that falls behind, is away, and comes back.

use serde_json::Value;

use super::requests::{get, metric, open_and, track};
use crate::harness::{Backend, Postgres, Service, Tls, command, eventually};

const IN_USE: &str = "database_replica_in_use";
const LAG: &str = "database_replica_lag_seconds";

/// A primary with a database, and its replica.
struct Servers {
    primary: Postgres,
    replica: Postgres,
    backend: Backend,
    read_url: String,
}

impl Servers {
    async fn start() -> Self {
        let primary = Postgres::start(Tls::On);
        let backend = Backend::on(&primary).await;
        let replica = primary.start_replica();
        let read_url = replica.url(backend.database());
        Self { primary, replica, backend, read_url }
    }

    fn serve(&self) -> Service {
        Service::start(&self.backend, &open_and(&[("DATABASE_READ_URL", &self.read_url)]))
    }

    /// The verdict of the check, and what it found.
    fn check(&self) -> (String, String) {
        let settings = [("DATABASE_READ_URL", self.read_url.as_str())];
        let output = command(&self.backend, &settings).args(["check", "--json"]).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = told["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["check"] == "read-replica").unwrap();
        (found["verdict"].as_str().unwrap().to_owned(), found["found"].as_str().unwrap().to_owned())
    }
}

/// What analytics says of the number of answers.
async fn answers(service: &Service) -> i64 {
    let (status, told) = get(service, "/analytics/acme").await;
    assert_eq!(status, 200, "{told}");
    told["metrics"]["total_conversations"].as_i64().unwrap()
}

async fn await_metric(service: &Service, value: f64) {
    eventually(&format!("{IN_USE} is {value}"), async || metric(service, IN_USE).await == Some(value)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn analytics_is_read_from_a_replica_while_that_is_fresh() {
    let servers = Servers::start().await;
    let service = servers.serve();
    await_metric(&service, 1.0).await;
    assert_eq!(track(&service).await.0, 200);
    eventually("the replica has it", async || answers(&service).await == 1).await;
    assert_eq!(servers.check().0, "ok");
    // It stays as it is, so what is read there is older.
    servers.replica.execute("postgres", "select pg_wal_replay_pause()").await;
    assert_eq!(track(&service).await.0, 200);
    assert_eq!(answers(&service).await, 1, "it is read from the replica");
    let totals = get(&service, "/health/detailed").await;
    assert_eq!(totals.0, 200);
    await_metric(&service, 0.0).await;
    assert_eq!(answers(&service).await, 2, "it is read from the primary");
    assert!(metric(&service, LAG).await.unwrap() > 10.0);
    let (verdict, found) = servers.check();
    assert!(verdict == "wrong" && found.contains("more than the 10 s"), "{verdict}: {found}");
    servers.replica.execute("postgres", "select pg_wal_replay_resume()").await;
    await_metric(&service, 1.0).await;
    assert_eq!(answers(&service).await, 2);
    let log = service.log();
    for line in ["cannot be used: it is more than 10 s behind", "analytics is read from the replica again"] {
        assert_eq!(log.matches(line).count(), 1, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn analytics_is_read_from_the_primary_while_the_replica_is_away() {
    let servers = Servers::start().await;
    let service = servers.serve();
    await_metric(&service, 1.0).await;
    assert_eq!(track(&service).await.0, 200);
    eventually("the replica has it", async || answers(&service).await == 1).await;
    servers.replica.stop();
    for path in ["/analytics/acme", "/analytics", "/analytics/acme/conversations"] {
        assert_eq!(get(&service, path).await.0, 200, "{path}");
    }
    assert_eq!(track(&service).await.0, 200);
    assert_eq!(answers(&service).await, 2);
    await_metric(&service, 0.0).await;
    assert_eq!(servers.check().0, "wrong");
    servers.replica.restart();
    await_metric(&service, 1.0).await;
    assert_eq!(answers(&service).await, 2);
    assert!(
        service.log().contains("analytics is read from the primary, as the replica of DATABASE_READ_URL")
    );
    // While it is away at the start, the service starts all the same.
    servers.replica.stop();
    let other = servers.serve();
    assert_eq!(answers(&other).await, 2);
    drop(servers.primary);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_replica_is_told() {
    let backend = Backend::postgres().await;
    drop(backend.store(&[]).await);
    let finding = |read_url: &str| {
        let output = command(&backend, &[("DATABASE_READ_URL", read_url)]).arg("check").output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        told.lines().find(|line| line.contains("read-replica")).unwrap().to_owned()
    };
    let line = finding(&backend.url);
    assert!(line.starts_with("WARNING") && line.contains("it follows no primary"), "{line}");
    let empty = Backend::postgres().await;
    let line = finding(&empty.url);
    assert!(line.starts_with("WRONG") && line.contains("_sqlx_migrations"), "{line}");
}
