//! The documentation agrees with the code: routes, metrics and quotas, each compared in both directions; and the log messages, tables and
//! files that its pages name are there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use mlops_service::audit::Actor;
use mlops_service::business::ProfileChange;
use mlops_service::config::VARIABLES;
use mlops_service::http::routes::{Access, QuotaOf, Row, table};
use mlops_service::store::Retained;
use serde_json::json;
use strum::VariantArray;

use crate::architecture::modules;
use crate::harness::{Backend, Redis, TestApp, event, eventually};

/// A row of a table in Markdown, without the backticks.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_matches('|');
    inner.split('|').map(|cell| cell.replace('`', "").trim().to_owned()).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The line of a page that is the row of `name` in a table.
fn row_of<'a>(page: &'a str, name: &str) -> &'a str {
    let begin = format!("| `{name}` |");
    page.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("there is no row of {name}"))
}

/// The quotas that a text names, such as `100 per hour`, in their order.
fn quotas(text: &str) -> Vec<String> {
    const UNITS: [&str; 4] = ["second", "minute", "hour", "day"];
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_quota =
        |words: &&[&str]| words[0].parse::<u32>().is_ok() && words[1] == "per" && UNITS.contains(&words[2]);
    words.windows(3).filter(is_quota).map(|words| words.join(" ")).collect()
}

/// The quotas of a route, in the words of the documentation.
fn quotas_of(row: &Row, app: &TestApp) -> Vec<String> {
    let quota = row.quota.quota(&app.app.config).map(ToString::to_string).unwrap_or_default();
    quotas(&quota.replace("per 1 ", "per "))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_page_lists_exactly_the_routes() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let page = fs::read_to_string("docs/api.md").unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("Routes\n")).unwrap();
    let listed: Vec<_> = section.lines().filter(|line| line.starts_with("| `")).map(cells).collect();
    let routes = table();
    let rows = routes.rows().iter().map(|row| {
        let access = match row.access {
            Access::Public => "public".to_owned(),
            Access::Page => "signed in".to_owned(),
            Access::Scope(scope) => format!("scope {}", scope.name()),
            Access::Personal(scope) => format!("scope {}, always", scope.name()),
        };
        let quotas = quotas_of(row, &app);
        let quota = if quotas.is_empty() { "none".to_owned() } else { quotas.join(" and ") };
        vec![format!("{} {}", row.method, row.path), access, quota]
    });
    assert_eq!(listed, rows.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sections_of_the_api_page_give_the_access_and_quota_of_their_routes() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let page = fs::read_to_string("docs/api.md").unwrap();
    let routes = table();
    let mut described = BTreeSet::new();
    for section in page.split("\n## `").skip(1) {
        let (heading, text) = section.split_once("\n\n").unwrap();
        let lead = text.split("\n\n").next().unwrap();
        let names: Vec<&str> = heading.split('`').step_by(2).collect();
        let is_named = |row: &&Row| {
            names.iter().any(|name| *name == row.path || *name == format!("{} {}", row.method, row.path))
        };
        let rows: Vec<&Row> = routes.rows().iter().filter(is_named).collect();
        assert!(!rows.is_empty(), "there is no route {heading}");
        for row in rows {
            described.insert(row.path);
            assert!(!lead.starts_with("Public") || row.access == Access::Public, "{heading}: {lead}");
            assert!(!lead.starts_with("Key") || row.access != Access::Public, "{heading}: {lead}");
            assert!(!lead.contains("no quota") || quotas_of(row, &app).is_empty(), "{heading}: {lead}");
            let stated = quotas(lead);
            assert!(stated.is_empty() || stated == quotas_of(row, &app), "{heading}: {lead}");
        }
    }
    // A route without a section of its own is described in that of the path above it.
    let is_described =
        |path: &str| described.iter().any(|own| path == *own || path.starts_with(&format!("{own}/")));
    let missing = routes.rows().iter().filter(|row| row.path != "/assets/{name}" && !is_described(row.path));
    assert_eq!(missing.map(|row| row.path).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn quotas_in_the_documentation_are_the_defaults_of_their_settings() {
    let default = |name: &str| {
        VARIABLES.iter().find(|variable| variable.name == name).map(|variable| quotas(variable.default))
    };
    let mut pages: Vec<_> = fs::read_dir("docs").unwrap().map(|page| page.unwrap().path()).collect();
    // Quotas on the API page are compared with the routes.
    pages.retain(|page| !page.ends_with("api.md"));
    pages.push("README.md".into());
    let mut compared = BTreeSet::new();
    for page in pages {
        for line in fs::read_to_string(&page).unwrap().lines() {
            let own = quoted(line).find_map(|name| Some((name, default(name)?)));
            // `NAME="…"` is an example of what may be set.
            for quota in quotas(line).into_iter().filter(|quota| !line.contains(&format!("=\"{quota}"))) {
                if let Some((name, default)) = &own {
                    assert!(default.contains(&quota), "{}: {line}\n{name} is {default:?}", page.display());
                    compared.insert((page.clone(), (*name).to_owned()));
                } else {
                    let is_default = VARIABLES.iter().any(|one| quotas(one.default).contains(&quota));
                    assert!(is_default, "{}: {line}\nno setting has this default", page.display());
                }
            }
        }
    }
    let names = |page: &str| compared.iter().filter(|(path, _)| path.ends_with(page)).count();
    assert!(
        names("README.md") >= 1 && names("configuration.md") >= 9 && names("access.md") >= 3,
        "{compared:?}"
    );
}

#[test]
fn the_configuration_page_lists_the_routes_of_each_quota() {
    let page = fs::read_to_string("docs/configuration.md").unwrap();
    let routes = table();
    for (variable, quota) in [
        ("RATE_LIMIT_HEALTH", QuotaOf::Health),
        ("RATE_LIMIT_HEALTH_DETAILED", QuotaOf::HealthDetailed),
        ("RATE_LIMIT_TRACK", QuotaOf::Track),
        ("RATE_LIMIT_ANALYTICS", QuotaOf::Analytics),
        ("RATE_LIMIT_REFRESH_METRICS", QuotaOf::RefreshMetrics),
        ("RATE_LIMIT_PAGES", QuotaOf::Pages),
    ] {
        let listed = quoted(row_of(&page, variable)).filter(|text| text.contains(" /")).map(str::to_owned);
        let rows = routes.rows().iter().filter(|row| row.quota == quota);
        let expected: BTreeSet<_> = rows.map(|row| format!("{} {}", row.method, row.path)).collect();
        assert_eq!(listed.collect::<BTreeSet<_>>(), expected, "{variable}");
    }
}

#[test]
fn the_access_page_lists_the_routes_of_each_scope() {
    let page = fs::read_to_string("docs/access.md").unwrap();
    for row in table().rows() {
        let (Access::Scope(scope) | Access::Personal(scope)) = row.access else { continue };
        let mut listed =
            quoted(row_of(&page, scope.name())).filter_map(|text| Some(&text[text.find('/')?..]));
        let is_listed = listed.any(|path| row.path == path || row.path.starts_with(&format!("{path}/")));
        assert!(is_listed, "{} of the scope {}", row.path, scope.name());
    }
}

#[test]
fn the_operations_page_lists_what_retention_deletes() {
    let page = fs::read_to_string("docs/operations.md").unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("Retention\n")).unwrap();
    let listed: BTreeSet<_> =
        section.lines().filter(|line| line.starts_with("| ")).flat_map(quoted).collect();
    let missing = Retained::VARIANTS.iter().map(|rows| rows.table()).filter(|table| !listed.contains(table));
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn the_operations_page_quotes_log_messages_as_they_are() {
    let page = fs::read_to_string("docs/operations.md").unwrap();
    let table = page.split("| message | meaning |").nth(1).unwrap().split("\n\n").next().unwrap();
    let code = modules().into_values().collect::<Vec<_>>().join("\n");
    // A text that goes on in the next line.
    let code = code.split("\\\n").enumerate();
    let code: String = code.map(|(index, part)| if index == 0 { part } else { part.trim_start() }).collect();
    let messages: Vec<&str> =
        table.lines().skip(2).filter_map(|row| row.split(" | ").next()).flat_map(quoted).collect();
    assert!(messages.len() > 20, "{messages:?}");
    // What a message says of the moment is left out on the page.
    let parts = messages
        .iter()
        .flat_map(|message| message.split('…'))
        .map(|part| part.trim_matches([' ', ':', ';', ',']));
    let missing = parts.filter(|part| !code.contains(part));
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn every_file_that_the_documentation_names_exists() {
    let mut pages: Vec<_> = ["ARCHITECTURE.md", "README.md", "SECURITY.md"].map(Into::into).into();
    pages.extend(fs::read_dir("docs").unwrap().map(|page| page.unwrap().path()));
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for name in quoted(&text) {
            let is_file =
                ["src/", "tests/", "bench/", "scripts/", "deploy/", "migrations/", "templates/", "docs/"]
                    .iter()
                    .any(|folder| name.starts_with(folder));
            if is_file && name.chars().all(|c| c.is_alphanumeric() || "_./-".contains(c)) {
                assert!(Path::new(name).exists(), "{} names {name}, which does not exist", page.display());
            }
        }
    }
}

/// The type and the labels of a metric.
type Family = (String, BTreeSet<String>);

/// Those of each metric in docs/metrics.md.
fn documented() -> BTreeMap<String, Family> {
    let page = fs::read_to_string("docs/metrics.md").unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let families = rows.map(|line| {
        let row: Vec<&str> = line.split(" |").collect();
        let kind = row[1].split([':', ',']).next().unwrap().trim().to_owned();
        let labels = row[2].split(':').next().unwrap().split('`').skip(1).step_by(2);
        (row[0].trim_matches(['|', ' ', '`']).to_owned(), (kind, labels.map(ToOwned::to_owned).collect()))
    });
    families.collect()
}

/// Those of each family with series in the text of `/metrics`.
fn shown(text: &str) -> BTreeMap<String, Family> {
    let families = text.split("# TYPE ").skip(1).map(|family| {
        let (head, series) = family.split_once('\n').unwrap();
        let (name, kind) = head.split_once(' ').unwrap();
        let series = series.lines().filter(|line| !line.starts_with('#'));
        let names = series.flat_map(|line| line.rsplit("=\"").skip(1));
        let labels = names.filter_map(|before| before.rsplit(['{', ',']).next());
        let labels = labels.filter(|label| *label != "le").map(ToOwned::to_owned).collect();
        (name.to_owned(), (kind.to_owned(), labels))
    });
    families.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_page_lists_exactly_the_metrics() {
    let backend = Backend::postgres().await;
    let redis = Redis::shared().url();
    let settings = [
        ("REDIS_URL", redis.as_str()),
        ("DATABASE_READ_URL", &backend.url),
        ("RATE_LIMIT_TRACK", "1/hour"),
        ("RATE_LIMIT_MODE", "shadow"),
    ];
    let app = TestApp::with(&backend, &settings).await;
    app.start_tasks();
    let mut budget = ProfileChange::default();
    budget.set_monthly_budget(50.0).unwrap();
    app.app.store.set_profile("acme", &budget, app.now(), &Actor::service()).await.unwrap();
    app.app.store.load_profiles().await.unwrap();
    for _ in 0..2 {
        app.track(&event(json!({"human_handoff_requested": true}))).await.ok();
    }
    let outcome = json!({"business_id": "acme", "conversation_id": "c-1", "outcome": "kept"});
    app.post("/outcomes").json(&outcome).send().await.ok();
    app.post("/refresh-metrics").send().await.ok();
    let is_overdue_shown = async || app.metrics().await.contains("retention_overdue_rows{");
    eventually("overdue rows are counted", is_overdue_shown).await;
    assert_eq!(shown(&app.metrics().await), documented());
    app.stop().await;
}
