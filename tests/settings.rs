//! Settings: what is refused at start and how that is told, and that the documentation agrees with the code.

use secrecy::ExposeSecret;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

use mlops_service::config::{Config, Database, Problems, Source, Tls, VARIABLES, env_example};

use crate::harness::{Backend, KEY, Service, command, event, http_client};

fn read<const N: usize>(variables: [(&str, &str); N]) -> Result<Config, Problems> {
    Config::read(&Source::from(variables))
}

/// The names of the variables with problems.
fn problems<const N: usize>(variables: [(&str, &str); N]) -> Vec<String> {
    read(variables).unwrap_err().all().iter().map(|problem| problem.name.clone()).collect()
}

#[test]
fn nothing_needs_to_be_set() {
    let config = read([]).unwrap();
    assert_eq!((config.service_port, config.host().to_string().as_str()), (5001, "127.0.0.1"));
    assert!(matches!(&config.database_url, Database::Sqlite(path) if path.to_str() == Some("data/mlops.db")));
    let same = read([("SERVICE_PORT", ""), ("MLOPS_API_KEY", " , "), ("DATABASE_URL", "  ")]).unwrap();
    assert!(!same.authenticates());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_localhost_is_reached_over_both_families() {
    let service = Service::start(&Backend::sqlite(), &[]);
    let mut addresses = vec!["127.0.0.1"];
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        addresses.push("[::1]");
    }
    for address in addresses {
        let url = format!("http://{address}:{}/health", service.port);
        assert_eq!(http_client().get(url).send().await.unwrap().status(), 200, "{address}");
    }
}

#[test]
fn with_a_key_the_service_listens_everywhere_unless_told_otherwise() {
    assert_eq!(read([("MLOPS_API_KEY", "k")]).unwrap().host().to_string(), "0.0.0.0");
    let told = read([("MLOPS_API_KEY", "k"), ("SERVICE_HOST", "::1")]).unwrap();
    assert_eq!(told.host().to_string(), "::1");
}

#[test]
fn every_problem_is_told_at_once_with_an_example_and_without_the_value() {
    let wrong = [
        ("SERVICE_PORT", "s3cret-65536"),
        ("SERVICE_HOST", "s3cret"),
        ("PROMETHEUS_PORT", "s3cret"),
        ("MLOPS_API_KEY", "s3cret with spaces"),
        ("OIDC_ISSUER", "ftp://s3cret"),
        ("JWKS_URL", "s3cret"),
        ("DATABASE_URL", "mysql://user:s3cret@host/db"),
        ("MIGRATION_DATABASE_URL", "sqlite:s3cret"),
        ("PRIVACY_HASH_KEY", "s3cret-that-is-too-short"),
        ("ALLOW_UNAUTHENTICATED_PRIVACY", "s3cret"),
        ("DATABASE_CONNECTIONS", "0"),
        ("TIME_ZONE", "s3cret/Mars"),
        ("TRUSTED_PROXIES", "10.0.0.0/s3cret"),
        ("CORS_ALLOWED_ORIGINS", "ftp://s3cret"),
        ("RATE_LIMIT_TRACK", "s3cret per hour"),
        ("RATE_LIMIT_MODE", "s3cret"),
        ("REDIS_URL", "redis://:s3cret#1@host"),
        ("TIER_FREE", "s3cret"),
        ("TIER_GOLD", "s3cret"),
        ("TIER_STANDARD", "1/day"),
        ("FLOOD_LIMIT_PER_SECOND", "0"),
        ("SHUTDOWN_SECONDS", "301"),
        ("LOG_FORMAT", "s3cret"),
        ("CONSENT_REQUIRED", "s3cret"),
        ("PRIVACY_CONTACT", "s3cret\ns3cret"),
        ("PRIVACY_NOTICE_FILE", "/s3cret/notice.html"),
        ("RUST_LOG", "s3cret=s3cret=s3cret"),
    ];
    let told = read(wrong).unwrap_err();
    let mut names: Vec<_> = told.all().iter().map(|problem| problem.name.as_str()).collect();
    let mut expected = wrong.map(|(name, _)| name).to_vec();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert!(told.all().iter().all(|problem| !problem.example.is_empty() || problem.name == "TIER_STANDARD"));
    assert!(!told.to_string().contains("s3cret"), "{told}");
}

#[test]
fn a_notice_that_cannot_be_shown_is_told_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notice.html");
    let told = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        match read([("PRIVACY_NOTICE_FILE", path.to_str().unwrap()), ("SERVICE_PORT", "x")]) {
            Ok(_) => panic!("the port is wrong"),
            Err(problems) => problems
                .all()
                .iter()
                .find(|problem| problem.name == "PRIVACY_NOTICE_FILE")
                .map(|problem| problem.what.clone()),
        }
    };
    assert_eq!(told(b"<!DOCTYPE html><p>{{contact}}</p>"), None);
    let unknown = told(b"<!DOCTYPE html>\n<p>{{s3cret}}</p>").unwrap();
    assert!(
        unknown.contains("line 2") && unknown.contains("{{contact}}") && !unknown.contains("s3cret"),
        "{unknown}"
    );
    for (content, what) in [
        (&b"<p>{{contact}}</p>"[..], "<!DOCTYPE html>"),
        (b"", "<!DOCTYPE html>"),
        (b"<!DOCTYPE html>\xff", "cannot be read"),
        (&b"<!DOCTYPE html>".repeat(20_000), "256 KiB"),
    ] {
        let told = told(content).unwrap();
        assert!(told.contains(what), "{told}");
    }
    std::fs::remove_file(&path).unwrap();
    let missing = read([("PRIVACY_NOTICE_FILE", path.to_str().unwrap())]).unwrap_err().to_string();
    assert!(missing.contains("cannot be read") && !missing.contains("notice.html."), "{missing}");
}

#[test]
fn production_requires_consent_only_with_a_hash_key() {
    let production = [
        ("ENVIRONMENT", "production"),
        ("MLOPS_API_KEY", KEY),
        ("CONSENT_REQUIRED", "true"),
        ("PRIVACY_HASH_KEY", "3e5c7b1a2f9d8c4e6a3f1b5d8e2c7f9a"),
    ];
    assert!(read(production).is_ok());
    let [environment, key, required, _] = production;
    assert_eq!(problems([environment, key, required]), ["PRIVACY_HASH_KEY"]);
    assert!(read([required]).is_ok());
}

#[test]
fn production_refuses_secrets_that_can_be_guessed_or_stand_twice() {
    let production = ("ENVIRONMENT", "production");
    let (key, twice) = (("MLOPS_API_KEY", KEY), format!("{KEY},{KEY}"));
    for weak in [&"a".repeat(32), "0123456789abcdef0123456789abcdef", &"password".repeat(4), &twice] {
        assert_eq!(problems([production, ("MLOPS_API_KEY", weak)]), ["MLOPS_API_KEY"], "{weak}");
        assert!(read([("MLOPS_API_KEY", weak)]).is_ok(), "elsewhere the check names it");
    }
    for weak in ["your-generated-key-of-32-characters-or-more", KEY] {
        assert_eq!(problems([production, key, ("PRIVACY_HASH_KEY", weak)]), ["PRIVACY_HASH_KEY"], "{weak}");
    }
}

#[test]
fn production_insists_on_a_strong_key_and_on_encryption() {
    let production = ("ENVIRONMENT", "production");
    assert_eq!(problems([production]), ["MLOPS_API_KEY"]);
    assert_eq!(problems([production, ("MLOPS_API_KEY", "short")]), ["MLOPS_API_KEY"]);
    assert_eq!(problems([production, ("MLOPS_API_KEY", &format!("{KEY},short"))]), ["MLOPS_API_KEY"]);
    assert!(read([production]).unwrap_err().to_string().contains("openssl rand -hex 32"));
    let key = ("MLOPS_API_KEY", KEY);
    assert!(read([production, key]).is_ok());
    for mode in ["disable", "allow", "prefer"] {
        let url = format!("postgresql://u:p@h/d?sslmode={mode}");
        assert_eq!(problems([production, key, ("DATABASE_URL", &url)]), ["DATABASE_URL"], "{mode}");
        assert!(read([("DATABASE_URL", &url)]).is_ok(), "{mode} in development");
    }
    let owner = "postgresql://o:p@h/d?sslmode=prefer";
    let serving = ("DATABASE_URL", "postgresql://u:p@h/d?sslmode=require");
    let migrating = [production, key, serving, ("MIGRATION_DATABASE_URL", owner)];
    assert_eq!(problems(migrating), ["MIGRATION_DATABASE_URL"]);
    let reading = [production, key, serving, ("DATABASE_READ_URL", owner)];
    assert_eq!(problems(reading), ["DATABASE_READ_URL"]);
    let several =
        [production, ("SERVICE_PORT", "x"), ("DATABASE_URL", "postgresql://u:p@h/d?sslmode=disable")];
    assert_eq!(problems(several), ["SERVICE_PORT", "MLOPS_API_KEY", "DATABASE_URL"]);
}

#[test]
fn a_replica_is_one_of_postgres() {
    let replica = ("DATABASE_READ_URL", "postgresql://u:s3cret@replica/d");
    assert_eq!(problems([replica]), ["DATABASE_READ_URL"]);
    let several = read([replica, ("SERVICE_PORT", "x")]).unwrap_err().to_string();
    assert!(several.contains("SERVICE_PORT") && !several.contains("s3cret"), "{several}");
    assert!(read([replica, ("DATABASE_URL", "postgresql://u:p@h/d")]).is_ok());
}

#[test]
fn another_role_migrates_postgres_alone() {
    let owner = ("MIGRATION_DATABASE_URL", "postgresql://o:p@h/d");
    assert_eq!(problems([owner]), ["MIGRATION_DATABASE_URL"]);
    assert!(read([owner, ("DATABASE_URL", "postgresql://u:p@h/d")]).is_ok());
    assert_eq!(
        problems([("MIGRATION_DATABASE_URL", "postgresql://h/d?sslmode=x")]),
        ["MIGRATION_DATABASE_URL"]
    );
}

#[test]
fn a_postgres_url_is_encrypted_unless_it_says_otherwise() {
    for (query, tls) in [
        ("", Tls::Require),
        ("?sslmode=require&channel_binding=require", Tls::Require),
        ("?sslmode=require&sslrootcert=/ca.pem", Tls::VerifyCa),
        ("?sslrootcert=/ca.pem", Tls::VerifyCa),
        ("?sslmode=verify-ca&sslrootcert=/ca.pem", Tls::VerifyCa),
        ("?sslmode=verify-full", Tls::VerifyFull),
        ("?sslmode=disable", Tls::Optional("disable")),
    ] {
        let config =
            read([("DATABASE_URL", &format!("postgres://u:p%40ss@db.example:6432/shop{query}"))]).unwrap();
        let Database::Postgres(postgres) = config.database_url else { panic!("a Postgres URL") };
        assert_eq!((postgres.tls, postgres.place.as_str()), (tls, "db.example:6432/shop"), "{query}");
    }
    assert_eq!(problems([("DATABASE_URL", "postgres://h/d?sslmode=sometimes")]), ["DATABASE_URL"]);
}

#[test]
fn no_part_of_a_password_is_taken_for_the_place_or_for_a_parameter() {
    let place = |url: &str| match read([("DATABASE_URL", url)]).map(|config| config.database_url) {
        Ok(Database::Postgres(postgres)) => Some((postgres.place, postgres.url.expose_secret().to_owned())),
        _ => None,
    };
    assert_eq!(place("postgresql://user:2024/hunter2@host/db"), None, "it must be percent-encoded");
    let (shown, _) = place("postgresql://user:2024#hunter2@host/db").unwrap();
    assert_eq!(shown, "host:5432/db", "as libpq reads it");
    let (shown, url) = place("postgresql://u:p@host/db?sslmode=require&sslpassword=hunter2").unwrap();
    assert!(!shown.contains("hunter2"));
    assert!(!url.contains("hunter2"), "sqlx logs parameters that it does not know, values included");
}

#[test]
fn quotas_are_set_in_flask_limiters_notation_or_lifted() {
    let config = read([("RATE_LIMIT_TRACK", "5/minute; 100 per day"), ("RATE_LIMIT_HEALTH", "OFF")]).unwrap();
    assert_eq!(config.rate_limit_track.get().unwrap().to_string(), "5 per 1 minute; 100 per 1 day");
    assert!(config.rate_limit_health.get().is_none());
}

#[test]
fn env_example_is_what_the_code_says() {
    let file = std::fs::read_to_string(".env.example").unwrap();
    assert_eq!(file, env_example(), "write it anew: mlops-service env-example > .env.example");
    for variable in VARIABLES {
        assert!(file.contains(&format!("{}=", variable.name)), "{}", variable.name);
    }
}

#[test]
fn the_configuration_page_names_every_variable() {
    let page = std::fs::read_to_string("docs/configuration.md").unwrap();
    for variable in VARIABLES {
        let name = format!("| `{}` |", variable.name);
        let row = page.lines().find(|line| line.starts_with(&name));
        let row = row.unwrap_or_else(|| panic!("{name} is not in docs/configuration.md"));
        let default = format!("`{}`", variable.default);
        assert!(variable.default.is_empty() || row.contains(&default), "the default of {name} in {row}");
    }
}

#[test]
fn the_proxy_hands_on_what_the_service_needs_on_every_way_and_lets_its_own_machine_in() {
    let file = std::fs::read_to_string("deploy/nginx.conf").unwrap();
    let ways: Vec<&str> = file.split("location ").skip(1).collect();
    assert_eq!(ways.len(), 2);
    for way in &ways {
        for header in ["Host $host", "X-Forwarded-For $remote_addr", "Connection \"\""] {
            assert!(way.contains(&format!("proxy_set_header {header};")), "{header} in {way}");
        }
    }
    let inside = ways.iter().find(|way| way.contains("admin")).unwrap();
    assert!(inside.find("allow 127.0.0.1;").unwrap() < inside.find("deny all;").unwrap());
}

#[test]
fn no_debug_output_holds_a_secret() {
    let url = "postgresql://user:hunter2@host/db";
    let config = read([("MLOPS_API_KEY", KEY), ("DATABASE_URL", url)]).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains(KEY) && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn wrong_settings_end_the_process_with_code_2() {
    let backend = Backend::sqlite();
    let output = command(&backend, &[("SERVICE_PORT", "x"), ("ENVIRONMENT", "production")]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    for name in ["SERVICE_PORT", "MLOPS_API_KEY"] {
        assert!(told.contains(name), "{told}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn as_many_threads_as_are_set_do_the_work() {
    let threads = |set: &str| {
        let service = Service::start(&Backend::sqlite(), &[("WORKER_THREADS", set)]);
        std::fs::read_dir(format!("/proc/{}/task", service.child.id())).unwrap().count()
    };
    let (few, many) = (threads("1"), threads("41"));
    // Beside them are those that wait for files, a few that come and go.
    assert!(many > 41 && few < many - 30, "{few} threads where 1 is set, {many} where 41 are");
}

#[test]
fn a_dotenv_file_is_read_and_the_environment_wins() {
    let backend = Backend::sqlite();
    let dotenv = backend.folder.path().join(".env");
    std::fs::write(&dotenv, "SHUTDOWN_SECONDS=x\nTIME_ZONE=y\n").unwrap();
    let output = command(&backend, &[("TIME_ZONE", "UTC")]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("SHUTDOWN_SECONDS") && !told.contains("TIME_ZONE must"), "{told}");
    std::fs::write(&dotenv, "MLOPS_API_KEY=s3cret\n\nTIME_ZONE is s3cret\n").unwrap();
    let output = command(&backend, &[("SERVICE_PORT", "x")]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        told.contains(".env: line 3") && told.contains("SERVICE_PORT") && !told.contains("s3cret"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_url_events_are_kept_in_a_file_of_the_folder() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let service = Service::start(&Backend { url: String::new(), folder: folder.clone() }, &[]);
    assert!(service.banner.contains("💾 Database: SQLite at data/mlops.db"), "{}", service.banner);
    let call = http_client().post(service.url("/track")).json(&event(json!({})));
    assert_eq!(call.send().await.unwrap().status(), 200);
    let file = folder.path().join("data/mlops.db");
    assert_eq!(Backend { url: format!("sqlite:{}", file.display()), folder }.rows().await, 1);
}

#[test]
fn help_lists_every_variable_and_no_value() {
    let backend = Backend::sqlite();
    let settings = [("MLOPS_API_KEY", KEY), ("DATABASE_URL", "postgresql://user:hunter2@host/db")];
    let output = command(&backend, &settings).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(VARIABLES.iter().all(|variable| help.contains(variable.name)), "{help}");
    assert!(!help.contains(KEY) && !help.contains("hunter2"));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let backend = Backend::sqlite();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = command(&backend, &[("SERVICE_PORT", &port)]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("SERVICE_PORT"));
}

#[test]
fn tokens_need_an_issuer_and_an_audience_and_in_production_a_safe_way() {
    let issuer = ("OIDC_ISSUER", "http://login.example.com");
    assert_eq!(problems([issuer]), ["OIDC_AUDIENCE"]);
    let audience = ("OIDC_AUDIENCE", "mlops-service");
    assert_eq!(problems([audience]), ["OIDC_AUDIENCE"]);
    assert!(read([issuer, audience]).unwrap().authenticates());
    for name in ["OIDC_ISSUER", "JWKS_URL"] {
        for url in ["https://s3cret@login.example.com", "https://user:s3cret@login.example.com"] {
            let told = read([(name, url), audience]).unwrap_err().to_string();
            assert!(told.contains(name) && !told.contains("s3cret"), "{told}");
        }
    }
    let production = [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", KEY), audience];
    let with = |name, url| {
        Config::read(
            &production.into_iter().chain([(name, url)]).map(|(a, b)| (a.to_owned(), b.to_owned())).collect(),
        )
    };
    for name in ["OIDC_ISSUER", "JWKS_URL"] {
        assert!(with(name, "http://login.example.com").is_err());
        assert!(with(name, "https://login.example.com").is_ok());
        assert!(with(name, "http://127.0.0.1:8080").is_ok(), "nobody is on the way");
    }
}

/// Starts the program with this text as its `.env`. Returns its exit code, 0 where it would serve, and what it said.
fn with_dotenv(text: &[u8], environment: &[(&str, &str)]) -> (i32, String) {
    let backend = Backend::sqlite();
    let path = backend.folder.path().join(".env");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let output = command(&backend, environment).arg("migrate").output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_file_of_settings_that_others_can_read_is_warned_about() {
    let backend = Backend::sqlite();
    let path = backend.folder.path().join(".env");
    std::fs::write(&path, "TIME_ZONE=UTC\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let output = command(&backend, &[]).arg("migrate").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains("chmod 600 .env"), "{told}");
}

#[test]
fn a_secret_that_would_be_cut_refuses_the_start() {
    for line in [
        "MLOPS_API_KEY=#abc",
        "MLOPS_API_KEY= # your key",
        "MLOPS_API_KEY=abc #def",
        "MLOPS_API_KEY=${NOT_SET}",
        "MLOPS_API_KEY=\"\"",
    ] {
        let (code, told) = with_dotenv(format!("TIME_ZONE=UTC\n{line}\n").as_bytes(), &[]);
        assert_eq!(code, 2, "{line}");
        assert!(told.contains("MLOPS_API_KEY in line 2 of .env") && !told.contains("abc"), "{told}");
    }
    for line in
        ["PRIVACY_HASH_KEY=#abc", "REDIS_URL=redis://:p #w@h", "MIGRATION_DATABASE_URL=#postgresql://h/d"]
    {
        assert_eq!(with_dotenv(line.as_bytes(), &[]).0, 2, "{line}");
    }
    assert_eq!(with_dotenv(b"PRIVACY_CONTACT=\"\"\nLOG_FORMAT=text # or json\n", &[]).0, 0, "no secrets");
    // Without text there is no key, as in the lab; what the environment sets is not in doubt.
    assert_eq!(with_dotenv(b"MLOPS_API_KEY=\n", &[]), (0, String::new()));
    assert_eq!(with_dotenv(b"MLOPS_API_KEY=#abc\n", &[("MLOPS_API_KEY", KEY)]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_a_dollar_sign_is_the_key_that_is_written() {
    for (written, key) in
        [("$ecret-of-the-lab", "$ecret-of-the-lab"), ("Str0ng$ecret", "Str0ng$ecret"), ("'a#$b'", "a#$b")]
    {
        let backend = Backend::sqlite();
        let text = format!("\u{feff}MLOPS_API_KEY={written}\r\n");
        std::fs::write(backend.folder.path().join(".env"), text).unwrap();
        let service = Service::start(&backend, &[]);
        let status = async |key: &str| {
            let call = http_client().get(service.url("/analytics/acme")).header("X-API-Key", key);
            call.send().await.unwrap().status().as_u16()
        };
        assert_eq!(
            (status(key).await, status("").await, status("Str0ng").await),
            (200, 401, 403),
            "{written}"
        );
    }
}

#[test]
fn what_other_programs_write_into_the_file_or_environment_stops_no_start() {
    let file = b"no assignment\nmy-var: 1\nKEY=\"-----BEGIN\nabc\n-----END\"\nOPEN='\nFOO=bar baz\n";
    let (code, told) = with_dotenv(file, &[]);
    assert_eq!(code, 0, "{told}");
    for line in ["line 1 is not", "line 2 is not", "line 6 has a quote"] {
        assert!(told.contains(line), "{told}");
    }
    let kubernetes = [
        ("PROMETHEUS_PORT", "tcp://10.96.0.7:9090"),
        ("TIER_FREE_SERVICE_HOST", "10.96.0.8"),
        ("TIER_FREE_SERVICE_PORT", "80"),
        ("TIER_FREE_PORT_80_TCP_PROTO", "tcp"),
    ];
    let (code, told) = with_dotenv(b"", &kubernetes);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("PROMETHEUS_PORT is ignored: Kubernetes sets it"), "{told}");
    assert!(told.contains("TIER_FREE_PORT_80_TCP_PROTO is ignored"), "{told}");
}

#[test]
fn quotes_and_encodings_that_are_left_in_place_are_told() {
    for (name, value) in
        [("MLOPS_API_KEY", "\"abc\""), ("RATE_LIMIT_TRACK", "'5 per hour'"), ("OIDC_AUDIENCE", "\"a\"")]
    {
        let (code, told) = with_dotenv(b"", &[(name, value)]);
        assert!(code == 2 && told.contains(&format!("{name} is in quotes")), "{told}");
    }
    let utf16: Vec<u8> = "SERVICE_PORT=1".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (code, told) = with_dotenv(&utf16, &[]);
    assert!(code == 2 && told.contains(".env is not UTF-8 text"), "{told}");
}

#[test]
fn addresses_of_databases_are_read_as_libpq_reads_them() {
    let place = |url: &str| match read([("DATABASE_URL", url)]).map(|config| config.database_url) {
        Ok(Database::Postgres(postgres)) => Ok((postgres.place, postgres.tls)),
        Ok(Database::Sqlite(_)) => panic!("{url}"),
        Err(problems) => Err(problems.to_string()),
    };
    let ok = |place: &str, tls| Ok((place.to_owned(), tls));
    assert_eq!(place("postgresql://u:p@[::1]/db"), ok("[::1]:5432/db", Tls::Require));
    assert_eq!(place("postgresql://u:p@[::1]:6000/db"), ok("[::1]:6000/db", Tls::Require));
    assert_eq!(place("postgresql:///db?host=/run/postgresql"), ok("/run/postgresql:5432/db", Tls::Socket));
    assert_eq!(
        place("postgresql://u:p@/db?host=/run/postgresql"),
        ok("/run/postgresql:5432/db", Tls::Socket)
    );
    assert_eq!(place("postgresql://u@%2Frun%2Fpostgresql/db"), ok("/run/postgresql:5432/db", Tls::Socket));
    assert_eq!(place("postgresql://h/?dbname=a&port=6000"), ok("h:6000/a", Tls::Require));
    assert_eq!(place("postgresql://u:p#w?x$y@h/db"), ok("h:5432/db", Tls::Require));
    assert_eq!(place("postgresql://h/db?sslrootcert=system"), ok("h:5432/db", Tls::VerifyFull));
    for (url, reason) in [
        ("postgresql://h/db?sslrootcert=system&sslmode=require", "requires sslmode=verify-full"),
        ("postgresql+psycopg2://u:p@h/db", "names a driver, +psycopg2"),
        ("postgres+asyncpg://u:p@h/db", "names a driver, +asyncpg"),
        ("postgresql://h1,h2/db", "several hosts"),
        ("postgresql:///db", "has no host"),
        ("postgresql://u:p@/db", "has no host"),
        ("postgresql://u:p/w@h/db", "special character"),
    ] {
        let told = place(url).unwrap_err();
        assert!(told.contains(reason), "{url}: {told}");
    }
}
