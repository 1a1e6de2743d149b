//! TLS to Postgres.

use crate::harness::{Backend, KEY, Postgres, Service, Tls, command};

async fn on(server: &Postgres, query: &str) -> Backend {
    let backend = Backend::on(server).await;
    Backend { url: format!("{}{query}", backend.url), ..backend }
}

/// Returns the error output of a program that exits with code 1 because it refuses its database.
fn refused(backend: &Backend) -> String {
    let output = command(backend, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_without_sslmode_is_encrypted_and_plaintext_is_refused() {
    let encrypted = on(Postgres::shared(), "").await;
    let _service = Service::start(&encrypted, &[]);
    let plain = "select count(*) from pg_stat_ssl s join pg_stat_activity a using (pid)
                 where application_name = 'mlops-service' and datname = current_database()";
    assert!(encrypted.number(&format!("{plain} and s.ssl")).await > 0);
    assert_eq!(encrypted.number(&format!("{plain} and not s.ssl")).await, 0);

    let server = Postgres::start(Tls::Off);
    let told = refused(&on(&server, "").await);
    assert!(told.contains("server does not support TLS") && told.contains("sslmode=disable"), "{told}");
    drop(Service::start(&on(&server, "?sslmode=disable").await, &[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_verified_where_the_url_asks_for_it() {
    let server = Postgres::shared();
    let root = server.root_certificate();
    let root = root.display();
    for query in [format!("verify-full&sslrootcert={root}"), format!("require&sslrootcert={root}")] {
        drop(Service::start(&on(server, &format!("?sslmode={query}")).await, &[]));
    }
    let other = Postgres::start(Tls::On);
    let other = other.root_certificate();
    for mode in ["require", "verify-ca", "verify-full"] {
        let told = refused(&on(server, &format!("?sslmode={mode}&sslrootcert={}", other.display())).await);
        assert!(told.contains("certificate"), "{mode}: {told}");
    }
    refused(&on(server, "?sslmode=verify-full").await);
    let by_address = on(server, &format!("?sslmode=verify-full&sslrootcert={root}")).await;
    let by_address = Backend { url: by_address.url.replace("localhost", "127.0.0.1"), ..by_address };
    refused(&by_address);
}

#[tokio::test(flavor = "multi_thread")]
async fn production_warns_once_that_require_alone_trusts_anybody() {
    let production = [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", KEY)];
    let server = Postgres::shared();
    let warning = "the server is not verified";
    let service = Service::start(&on(server, "").await, &production);
    assert_eq!(service.log().matches(warning).count(), 1, "{}", service.log());
    let root = server.root_certificate();
    let verified = on(server, &format!("?sslmode=verify-full&sslrootcert={}", root.display())).await;
    let service = Service::start(&verified, &production);
    assert!(!service.log().contains(warning));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_reached_by_its_socket_and_by_an_ipv6_address() {
    let server = Postgres::shared();
    let backend = Backend::postgres().await;
    let database = backend.database().to_owned();
    let mut urls = vec![format!(
        "postgresql://postgres@/{database}?host={}&port={}",
        server.socket_folder().display(),
        server.port()
    )];
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        urls.push(format!("postgresql://postgres@[::1]:{}/{database}", server.port()));
    }
    for url in urls {
        let service = Service::start(&Backend { url: url.clone(), folder: backend.folder.clone() }, &[]);
        assert_eq!(super::requests::track(&service).await.0, 200, "{url}");
    }
}
