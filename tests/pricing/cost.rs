//! What an answer costs.

use chrono::{DateTime, Utc};
use mlops_service::event::{Event, Report};
use mlops_service::pricing::{Computed, MAX_COST_NANOS, Prices, TokenCounts, computed_cost_nanos};
use serde_json::{Value, json};

use super::{day, table};
use crate::harness::event;

fn made(changes: Value, at: &str) -> Event {
    let at: DateTime<Utc> = at.parse().unwrap();
    Report::parse(event(changes).to_string().as_bytes()).unwrap().into_event(None, at).unwrap()
}

#[test]
fn each_kind_of_token_costs_its_own_price_or_that_of_its_side() {
    let prices = table(&[
        "acme,exact,plain,,0,1,10,,,,",
        "acme,exact,kinds,,0,1,10,0.1,99,100,",
        "acme,exact,tiny,,0,0.0005,0,,,,",
    ]);
    let cost = |model: &str, [prompt, completion, cached, reasoning]: [i32; 4]| {
        let price = prices.of(model, day("2026-11-27"), prompt).unwrap();
        price.cost_nanos(&TokenCounts { prompt, completion, cached, reasoning })
    };
    for (model, tokens, nanos) in [
        ("plain", [0, 0, 0, 0], 0),
        ("plain", [1_000, 100, 0, 0], 1_000_000 + 1_000_000),
        ("plain", [1_000, 100, 400, 50], 2_000_000),
        ("kinds", [1_000, 100, 400, 50], 600_000 + 40_000 + 500_000 + 5_000_000),
        ("kinds", [1_000, 100, 5_000, 500], 100_000 + 10_000_000),
        ("kinds", [-5, -5, -5, -5], 0),
        // Half a billionth is rounded up.
        ("tiny", [1, 0, 0, 0], 1),
        ("tiny", [3, 0, 0, 0], 2),
        ("tiny", [4, 0, 0, 0], 2),
    ] {
        assert_eq!(cost(model, tokens), nanos, "{model}: {tokens:?}");
    }
}

#[test]
fn an_answer_costs_no_more_than_may_be_reported() {
    let prices = table(&["acme,exact,dear,,0,10000,10000,,,,"]);
    let price = prices.of("dear", day("2026-11-27"), 0).unwrap();
    let cost =
        |prompt, completion| price.cost_nanos(&TokenCounts { prompt, completion, ..TokenCounts::default() });
    assert_eq!(cost(999_999, 0), 9_999_990_000_000);
    assert_eq!((cost(1_000_000, 0), cost(i32::MAX, i32::MAX)), (MAX_COST_NANOS, MAX_COST_NANOS));
    assert_eq!(MAX_COST_NANOS, 9_999_999_999 * 1_000);
}

#[test]
fn the_cost_of_an_event_follows_from_its_tokens_and_the_day_in_utc() {
    let prices = Prices::built_in();
    let of = |changes: Value, at: &str| computed_cost_nanos(&prices, &made(changes, at));
    let flash = json!({"prompt_tokens": 1_000, "completion_tokens": 200, "cached_tokens": 400});
    // 600 at 0.075, 400 at 0.01875 and 200 at 0.3 dollars per million.
    assert_eq!(of(flash, "2026-11-27T12:00:00Z"), Computed::Cost(45_000 + 7_500 + 60_000));
    let long = json!({"prompt_tokens": 128_001, "completion_tokens": 0});
    assert_eq!(of(long, "2026-11-27T12:00:00Z"), Computed::Cost(128_001 * 150));
    let changing = json!({"model_name": "gemini-3.7-flash", "prompt_tokens": 100, "completion_tokens": 0});
    assert_eq!(of(changing.clone(), "2026-12-31T23:59:59.999Z"), Computed::Cost(75_000));
    assert_eq!(of(changing.clone(), "2027-01-01T00:59:59+01:00"), Computed::Cost(75_000));
    assert_eq!(of(changing, "2027-01-01T00:00:00Z"), Computed::Cost(150_000));
    let none = json!({"prompt_tokens": 0, "completion_tokens": 0});
    assert_eq!(of(none, "2026-11-27T12:00:00Z"), Computed::Cost(0));
    assert_eq!(of(json!({"model_name": "nobody's"}), "2026-11-27T12:00:00Z"), Computed::Unpriced);
    for missing in ["prompt_tokens", "completion_tokens"] {
        let lacking = json!({missing: null, "model_name": "nobody's"});
        assert_eq!(of(lacking, "2026-11-27T12:00:00Z"), Computed::NotComputable);
    }
}
