//! The privacy notice; how it looks is in `browser`.

use std::collections::BTreeSet;

use mlops_service::privacy::purpose::SPOOL;
use serde_json::{Value, json};

use crate::harness::{Backend, Customer, TestApp, on_every_backend};

on_every_backend! {
    the_notice_and_an_export_name_the_same_basis_and_time_for_each_kind_of_data,
}

async fn notice(settings: &[(&str, &str)]) -> String {
    notice_of(&TestApp::with(&Backend::sqlite(), settings).await).await
}

async fn notice_of(app: &TestApp) -> String {
    let reply = app.get("/privacy").send().await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(reply.header("x-ratelimit-limit"), "", "nobody is kept from reading it");
    let policy = reply.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self';") && !policy.contains("script"),
        "{policy}"
    );
    reply.text().to_owned()
}

/// The row of the table that tells of `what`.
fn row<'p>(page: &'p str, what: &str) -> &'p str {
    let (_, row) = page.split_once(&format!("data-what=\"{what}\"")).unwrap();
    row.split_once("</tr>").unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notice_tells_all_that_the_law_asks_for() {
    let page = notice(&[]).await;
    assert!(page.starts_with("<!DOCTYPE html>"));
    for told in [
        "your chat messages are stored to provide this service",
        "Who is responsible",
        "ask the business you contacted",
        "Lawful basis",
        "How long",
        "Article 6(1)(b)",
        "Article 6(1)(f)",
        "Article 15",
        "Article 16",
        "Article 17",
        "Article 18",
        "Article 20",
        "Article 21",
        "Article 7(3)",
        "Article 77",
        "within one month",
        "backups",
        "Who else gets your data",
        "legal or similarly significant effect",
        "Article 22",
    ] {
        assert!(page.contains(told), "{told}");
    }
    for outside in ["http://", "https://", "<script", "style=\"", "onclick"] {
        assert!(!page.contains(outside), "{outside} in the page");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notice_shows_the_values_in_force() {
    let page = notice(&[]).await;
    for (what, time) in [
        ("events", "90 days"),
        ("chats", "no fixed time"),
        ("appointments", "no fixed time"),
        ("requests", "730 days"),
        ("audit", "730 days"),
    ] {
        assert!(row(&page, what).contains(&format!("<td>{time}</td>")), "{what}: {}", row(&page, what));
    }
    assert!(page.contains("means that no date is set"));
    assert!(
        row(&page, "events").contains("Article 6(1)(f)") && row(&page, "chats").contains("Article 6(1)(b)")
    );
    let page = notice(&[("CONSENT_REQUIRED", "true")]).await;
    assert!(row(&page, "events").contains("Your consent, GDPR Article 6(1)(a)"));
    assert!(row(&page, "chats").contains("Your consent, GDPR Article 6(1)(a)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notice_names_the_contact_and_links_it() {
    for (contact, shown) in [
        ("privacy@example.com", r#"<a href="mailto:privacy@example.com">privacy@example.com</a>"#),
        (
            "https://example.com/p?a=1&b=2",
            r#"<a href="https://example.com/p?a=1&#38;b=2">https://example.com/p?a=1&#38;b=2</a>"#,
        ),
        (
            "Ana <b>Doe</b>, \"Main Street\" 1",
            r#"<p class="contact">Ana &#60;b&#62;Doe&#60;/b&#62;, &#34;Main Street&#34; 1</p>"#,
        ),
        ("javascript:alert(1)", r#"<p class="contact">javascript:alert(1)</p>"#),
    ] {
        let page = notice(&[("PRIVACY_CONTACT", contact)]).await;
        assert!(page.contains(shown), "{contact}");
        assert!(!page.contains("ask the business"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notice_names_the_controller() {
    let settings =
        [("CONTROLLER_NAME", "Ana & Ben Dental"), ("CONTROLLER_ADDRESS", "1 Main Street, <Springfield>")];
    let page = notice(&settings).await;
    assert!(
        page.contains(r#"<strong class="controller">Ana &#38; Ben Dental</strong>, the business whose"#),
        "{page}"
    );
    assert!(page.contains("Address: 1 Main Street, &#60;Springfield&#62;."), "{page}");
    let page = notice(&settings[1..]).await;
    assert!(
        page.contains("<p>The business whose assistant you are talking to. Address: 1 Main Street"),
        "{page}"
    );
}

/// The kind of data in the notice that a category of an export is.
fn kind(category: &str) -> &str {
    match category {
        "conversations" | "messages" | "chat_messages" => "chats",
        "conversation_facts" => "facts",
        "appointment_book" => "outcomes",
        other => other,
    }
}

async fn the_notice_and_an_export_name_the_same_basis_and_time_for_each_kind_of_data(backend: Backend) {
    let ana = Customer { word: "zqana", email: "ana@example.com", phone: "+49 151 2345678" };
    let backend = backend.with_app_tables().await;
    ana.plant(&backend).await;
    for consent_required in ["false", "true"] {
        let settings = [
            ("ALLOW_UNAUTHENTICATED_PRIVACY", "true"),
            ("CONSENT_REQUIRED", consent_required),
            ("RETENTION_CHATS_DAYS", "365"),
            ("RETENTION_APPOINTMENTS_DAYS", "1"),
        ];
        let app = TestApp::with(&backend, &settings).await;
        let page = notice_of(&app).await;
        let export = app.post("/privacy/export").json(&json!({"email": ana.email})).send().await.ok();
        let text = |category: &Value, name: &str| category[name].as_str().unwrap().to_owned();
        let mut compared = BTreeSet::new();
        for category in export["categories"].as_array().unwrap() {
            let name = text(category, "category");
            let row = row(&page, kind(&name));
            for told in ["lawful_basis", "why", "kept_until"] {
                let told = text(category, told);
                assert!(row.contains(&format!("<td>{told}</td>")), "{name}: {told} is not in {row}");
            }
            let is_by_consent = text(category, "lawful_basis").contains("6(1)(a)");
            let follows_consent = ["chats", "events", "facts"].contains(&kind(&name));
            assert_eq!(is_by_consent, follows_consent && consent_required == "true", "{category}");
            compared.insert(kind(&name).to_owned());
        }
        assert_eq!(compared.len(), 8, "{compared:?}");
        let waiting = SPOOL.kind.lawful_basis(consent_required == "true");
        let waits = page.contains("data-what=\"waiting\"");
        assert_eq!(waits, backend.is_postgres(), "events wait for Postgres only");
        assert!(!waits || row(&page, "waiting").contains(&format!("<td>{waiting}</td>")));
        assert_eq!(
            page.matches("<tr data-what=").count(),
            compared.len() + 1 + usize::from(waits),
            "and the sums"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_own_notice_gets_the_values_in_its_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notice.html");
    let html = "\n<!doctype HTML>\n<link rel=\"stylesheet\" href=\"/assets/privacy.css\"><p>{{contact}}|{{controller_name}}|\
                {{controller_address}}|{{ retention_days }}|\
                {{retention_chats_days}}|{{retention_appointments_days}}|{{retention_audit_days}}|{{consent_required}}|\
                {{updated}}|{ {no place} }</p>";
    std::fs::write(&path, html).unwrap();
    let day = std::time::UNIX_EPOCH + std::time::Duration::from_hours(490_896 + 24);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(day).unwrap();
    let settings = [
        ("PRIVACY_NOTICE_FILE", path.to_str().unwrap()),
        ("PRIVACY_CONTACT", "<i>Ana</i>"),
        ("CONTROLLER_NAME", "Ana's Studio"),
        ("CONSENT_REQUIRED", "true"),
        ("RETENTION_DAYS", "60"),
        ("RETENTION_CHATS_DAYS", "365"),
    ];
    let page = notice(&settings).await;
    let values = "<p>&#60;i&#62;Ana&#60;/i&#62;|Ana&#39;s Studio|available on request|60 days|365 days|no fixed time|730 days|yes|2026-01-02|{ {no place} }</p>";
    assert!(page.ends_with(values), "{page}");
    assert!(page.starts_with("\n<!doctype HTML>\n<link rel=\"stylesheet\""), "the rest is as it was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_links_the_notice() {
    let backend = Backend::sqlite();
    let app = TestApp::open(&backend).await;
    assert!(app.get("/").send().await.text().contains("<a href=\"/privacy\">Privacy notice</a>"));
    let style = app.get("/assets/privacy.css").send().await;
    assert_eq!((style.status.as_u16(), style.header("content-type")), (200, "text/css; charset=utf-8"));
    assert!(style.text().contains("@media print"));
}
