//! Which row prices a model.

use mlops_service::pricing::{Prices, Verdict};

use super::{day, input, input_of, table};

const TODAY: &str = "2026-11-27";

#[track_caller]
fn assert_price(prices: &Prices, model: &str, expected: Option<&str>) {
    // Twice: the second time from memory.
    for _ in 0..2 {
        assert_eq!(input(prices, model, TODAY).as_deref(), expected, "{model}");
    }
}

#[test]
fn the_built_in_table_prices_the_models_of_receptionists() {
    let prices = Prices::built_in();
    for (model, row, dollars) in [
        ("gemini-1.5-flash", "contains gemini-1.5-flash", "0.075"),
        ("models/gemini-1.5-flash-002", "contains gemini-1.5-flash", "0.075"),
        ("Google/Gemini-2.5-Flash", "exact gemini-2.5-flash", "0.3"),
        ("models/google/gemini-2.5-pro-preview-06-05", "prefix gemini-2.5-pro", "1.25"),
        ("claude-sonnet-4-5-20250929", "prefix claude-sonnet-4-5", "3"),
        ("gpt-4o-mini", "exact gpt-4o-mini", "0.15"),
        ("openai/gpt-oss-120b", "exact gpt-oss-120b", "0.039"),
        ("groq/openai/gpt-oss-120b", "exact openai/gpt-oss-120b", "0.15"),
        ("claude-opus-4", "exact claude-opus-4", "15"),
    ] {
        let price = prices.of(model, day(TODAY), 100).unwrap_or_else(|| panic!("{model}"));
        assert_eq!((price.describe().as_str(), input_of(price).as_str()), (row, dollars), "{model}");
    }
    for model in ["", "models/", "unknown", "gpt", "google/gpt-4o", "openai/claude-3-haiku", "a b"] {
        assert_price(&prices, model, None);
    }
    assert!(prices.rows().count() > 500 && prices.rows().all(|price| !price.own));
}

#[test]
fn exact_comes_before_prefix_before_contains_and_the_longest_first() {
    let prices = table(&[
        "acme,contains,mod,,0,1,1,,,,",
        "acme,contains,model-a,,0,2,1,,,,",
        "acme,contains,odel-ab,,0,3,1,,,,",
        "acme,prefix,m,,0,4,1,,,,",
        "acme,prefix,model-abc,,0,5,1,,,,",
        "acme,exact,model-abcd,,0,6,1,,,,",
    ]);
    for (model, dollars) in [
        ("model-abcd", "6"),
        ("MODEL-ABCD", "6"),
        ("model-abcde", "5"),
        ("model-ab", "4"),
        ("a-model-ab", "2"),
        ("a-odel-ab", "3"),
        ("a-mod", "1"),
    ] {
        assert_price(&prices, model, Some(dollars));
    }
    assert_price(&prices, "a-mo", None);
}

#[test]
fn the_newest_price_that_holds_on_the_day_is_taken() {
    let prices = Prices::built_in();
    for model in ["gemini-3.6-flash", "gemini-3.7-flash"] {
        for (on, dollars) in [("2026-12-31", "0.75"), ("2027-01-01", "1.5"), ("2030-01-01", "1.5")] {
            assert_eq!(input(&prices, model, on).as_deref(), Some(dollars), "{model} on {on}");
        }
    }
    let dated = table(&[
        "acme,exact,dated,2026-03-01,0,3,1,,,,",
        "acme,exact,dated,2026-02-01,0,2,1,,,,",
        "acme,prefix,date,,0,1,1,,,,",
        "acme,exact,future,2027-01-01,0,9,1,,,,",
    ]);
    for (on, dollars) in [("2026-01-31", "1"), ("2026-02-01", "2"), ("2026-02-28", "2"), ("2026-03-01", "3")]
    {
        assert_eq!(input(&dated, "dated", on).as_deref(), Some(dollars), "{on}");
    }
    assert_eq!(input(&dated, "future", TODAY), None);
}

#[test]
fn the_highest_tier_that_the_prompt_exceeds_holds() {
    let prices = table(&[
        "acme,exact,tiered,,100,2,1,,,,",
        "acme,exact,tiered,,0,1,1,,,,",
        "acme,exact,tiered,,1000,3,1,,,,",
        "acme,exact,tiered,2026-06-01,0,5,1,,,,",
    ]);
    let price = |on: &str, tokens| prices.of("tiered", day(on), tokens).map(input_of).unwrap();
    for (tokens, dollars) in
        [(0, "1"), (1, "1"), (100, "1"), (101, "2"), (1_000, "2"), (1_001, "3"), (i32::MAX, "3")]
    {
        assert_eq!(price("2026-05-31", tokens), dollars, "{tokens} tokens");
    }
    assert_eq!(price("2026-06-01", 5_000), "5", "tiers of an earlier price are gone with it");
}

#[test]
fn a_provider_in_front_of_a_name_leaves_its_own_rows_only() {
    let prices = table(&[
        "acme,exact,shared,,0,1,1,,,,",
        "bolt,exact,shared,,0,2,1,,,,",
        "bolt,exact,lone,,0,3,1,,,,",
    ]);
    assert_price(&prices, "acme/shared", Some("1"));
    assert_price(&prices, "models/bolt/shared", Some("2"));
    assert_price(&prices, "bolt/models/shared", Some("2"));
    assert_price(&prices, "lone", Some("3"));
    assert_price(&prices, "acme/lone", None);
    assert_price(&prices, "nobody/lone", None);
}

#[test]
fn providers_that_ask_different_prices_leave_a_name_without_one() {
    let prices = table(&[
        "acme,exact,shared,,0,1,1,,,,",
        "bolt,exact,shared,,0,2,1,,,,",
        "acme,exact,same,,0,1,2,1,9,2,",
        "bolt,exact,same,,0,1,2,,,,2026-01-01",
        "acme,exact,later,,0,1,1,,,,",
        "bolt,exact,later,2027-01-01,0,2,1,,,,",
        "acme,prefix,share,,0,7,1,,,,",
    ]);
    assert_price(&prices, "shared", None);
    assert_price(&prices, "same", Some("1"));
    assert_price(&prices, "later", Some("1"));
    assert_eq!(input(&prices, "later", "2027-01-01"), None);
    let explanation = prices.explain("shared", day(TODAY));
    let verdicts: Vec<Verdict> = explanation.rules.iter().map(|(verdict, _)| *verdict).collect();
    assert_eq!(verdicts, [Verdict::Ambiguous, Verdict::Ambiguous, Verdict::Outranked]);
    assert!(explanation.rows.is_empty());
}

#[test]
fn what_the_operator_wrote_down_is_preferred_to_other_providers_of_the_built_in_table() {
    let prices = table(&["acme,exact,gpt-4o,,0,1.5,6,,,,"]);
    assert_price(&prices, "gpt-4o", Some("1.5"));
    assert_price(&prices, "openai/gpt-4o", Some("2.5"));
    let explanation = prices.explain("gpt-4o", day(TODAY));
    let found: Vec<(Verdict, &str)> =
        explanation.rules.iter().map(|(verdict, price)| (*verdict, price.provider.as_str())).collect();
    assert_eq!(found, [(Verdict::Beside, "openai"), (Verdict::Holds, "acme")]);
}

#[test]
fn more_names_than_are_remembered_find_their_prices_too() {
    let prices = table(&["acme,prefix,many-,,0,1,1,,,,"]);
    for round in 0..2 {
        for number in 0..3_000 {
            let model = format!("many-{number}");
            assert_eq!(input(&prices, &model, TODAY).as_deref(), Some("1"), "{model} in round {round}");
        }
    }
}
