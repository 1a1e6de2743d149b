//! A salon with a past: what the tests of pages open in the browser.

use chrono::{Datelike, NaiveDate};
use serde_json::{Value, json};

use super::driver::Browser;
use crate::harness::{Backend, KEY, Service, event, eventually, http_client};

/// Conversations of each day.
const A_DAY: u32 = 6;

/// No quota stands in the way, and a machine that is busy with other tests has time.
const SETTINGS: [(&str, &str); 6] = [
    ("MLOPS_API_KEY", KEY),
    ("RATE_LIMIT_DEFAULT", "off"),
    ("RATE_LIMIT_PAGES", "off"),
    ("RATE_LIMIT_ANALYTICS", "off"),
    ("RATE_LIMIT_REFRESH_METRICS", "off"),
    ("STORE_TIMEOUT", "2.5s"),
];

/// A service that knows the salon `acme`.
pub(super) struct Salon {
    pub(super) backend: Backend,
    pub(super) service: Service,
}

impl Salon {
    /// Starts a service whose salon has had so many days of conversations.
    pub(super) async fn with_days(days: u32) -> Self {
        let backend = Backend::sqlite();
        let service = Service::start(&backend, &SETTINGS);
        let salon = Self { backend, service };
        salon.backend.execute(&past(days)).await;
        let all = i64::from(days * A_DAY);
        eventually("the past is counted", async || {
            let is_read = salon.call("POST", "/refresh-metrics", &Value::Null).await["status"] == "success";
            is_read
                && salon.analytics("days=366&include=conversations").await["conversations"]["conversations"]
                    == all
        })
        .await;
        let hours = json!({"open": "09:00", "close": "18:00"});
        let profile = json!({"name": "Acme Hair & Beauty", "monthly_budget_usd": 7.5, "opening_hours": {
            "tuesday": hours, "wednesday": hours, "friday": hours, "saturday": {"open": "10:00", "close": "16:00"}
        }});
        salon.call("PUT", "/admin/businesses/acme", &profile).await;
        let outcome = json!({"business_id": "acme", "conversation_id": "c-60", "outcome": "kept"});
        salon.call("POST", "/outcomes", &outcome).await;
        salon
    }

    /// Reports a conversation of the current day.
    pub(super) async fn converse(&self, business_id: &str, conversation_id: &str) {
        self.call(
            "POST",
            "/track",
            &event(json!({"business_id": business_id, "conversation_id": conversation_id})),
        )
        .await;
    }

    /// Returns the figures of the salon from the API.
    pub(super) async fn analytics(&self, query: &str) -> Value {
        self.call("GET", &format!("/analytics/acme?{query}"), &Value::Null).await
    }

    /// Makes a link that opens a page of the salon, and returns its address.
    pub(super) async fn link(&self, page: &str) -> String {
        let wish =
            json!({"business_id": "acme", "page": page, "month": month(self.today().await), "expires": "2h"});
        self.call("POST", "/admin/links", &wish).await["url"].as_str().unwrap().to_owned()
    }

    /// Returns the current day of the service.
    pub(super) async fn today(&self) -> NaiveDate {
        self.analytics("days=1&include=series").await["to"].as_str().unwrap().parse().unwrap()
    }

    /// Signs the browser in by the form of the start page.
    pub(super) async fn sign_in(&self, browser: &Browser) {
        browser.goto(&self.service.url("/")).await;
        browser.enter(".sign-in [name=key]", KEY).await;
        browser.click(".sign-in button").await;
        eventually("the form leads to the businesses", async || browser.location().await == "/businesses")
            .await;
    }

    pub(super) async fn open(&self, browser: &Browser, path: &str) {
        browser.goto(&self.service.url(path)).await;
    }

    /// Calls the API with the key, and returns the body of a successful answer.
    pub(super) async fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let call =
            http_client().request(method.parse().unwrap(), self.service.url(path)).header("x-api-key", KEY);
        let call = if body.is_null() { call } else { call.json(body) };
        let reply = call.send().await.unwrap();
        let (status, text) = (reply.status(), reply.text().await.unwrap());
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

/// Returns the month of a day, as the address of a statement has it.
pub(super) fn month(day: NaiveDate) -> String {
    format!("{}-{:02}", day.year(), day.month())
}

/// Returns the statement that inserts rows of another program: some conversations each day, at all hours, of which a third wants an
/// appointment, a sixth gets one, a tenth is handed to a person, and a fortieth has an error.
fn past(days: u32) -> String {
    format!(
        "with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < {})
        insert into ai_metrics (business_id, conversation_id, session_id, response_time_ms, success_rate, tokens_used,
            prompt_tokens, completion_tokens, api_cost_usd, model_name, intent_detected, appointment_requested,
            appointment_booked, human_handoff_requested, user_message_length, ai_response_length, response_type, created_at)
        select 'acme', 'c-' || i, 's-' || i, 200 + i * 7919 % 1500, case when i % 40 = 7 then 0 else 0.95 end, 75, 50, 25,
            0.01 + i % 7 / 100.0, case i % 3 when 0 then 'gemini-1.5-pro' when 1 then 'gemini-1.5-flash' else 'gpt-4o-mini' end,
            case i % 5 when 1 then 'prices' when 2 then 'opening hours' when 4 then 'parking' else 'appointment' end,
            i % 3 = 0, i % 6 = 0, i % 10 = 1, 40, 120, case when i % 40 = 7 then 'error' else 'answer' end,
            datetime('now', '-' || (i / {A_DAY}) || ' days', '-' || (i * 7919 % 1440) || ' minutes')
        from n",
        days * A_DAY
    )
}
