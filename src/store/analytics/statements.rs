//! The statements that read the figures of the business `$1` from the day `$2` to the day `$3`.

use std::sync::LazyLock;

use super::Intent;
use crate::conversation::{CostSums, DailySums, SumRow as _};
use crate::store::rollups::analytics::{Summary, answer_columns, summed};
use crate::store::rollups::columns::list;

/// Sums over answers by day (`d`), model (`m`), intent (`i`) and response type (`t`), with this letter before the name.
pub(super) static ANSWERS: LazyLock<String> = LazyLock::new(|| {
    let sums = summed(Summary::COLUMNS);
    let by = |letter: &str, column: &str| {
        format!("select '{letter}' || {column} as name, {sums} from answers group by {column}")
    };
    let groups = [("d", "day"), ("m", "model_name"), ("i", "intent_detected"), ("t", "response_type")];
    format!(
        "with answers as materialized (
            select cast(day as text) as day, model_name, intent_detected, response_type, {}
            from ai_rollup_daily_now where business_id = $1 and day between $2 and $3
        ) {}",
        answer_columns(),
        groups.map(|(letter, column)| by(letter, column)).join(" union all ")
    )
});

/// Sums over answers by day alone, in the form of [`ANSWERS`].
pub(super) static ANSWERS_BY_DAY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select 'd' || cast(day as text) as name, {} from (
            select day, {} from ai_rollup_daily_now where business_id = $1 and day between $2 and $3
        ) answers group by day",
        summed(Summary::COLUMNS),
        answer_columns()
    )
});

pub(super) static FACTS: LazyLock<String> = LazyLock::new(|| {
    let columns = list(DailySums::COLUMNS);
    format!(
        "select day, {columns} from mlops_conversation_daily where business_id = $1 and day between $2 and $3"
    )
});

pub(super) static COSTS_BY_DAY: LazyLock<String> = LazyLock::new(|| costs("day"));

pub(super) static COSTS_BY_MODEL: LazyLock<String> = LazyLock::new(|| costs("model_name"));

fn costs(by: &str) -> String {
    let sums = summed(CostSums::COLUMNS);
    format!(
        "select {by}, {sums} from mlops_cost_daily where business_id = $1 and day between $2 and $3 group by {by}"
    )
}

/// The counted cost of some models by day, in billionths of a US dollar. The condition is that a text is in a list, which is `$2`; the days are from `$3` to `$4`.
pub(super) fn costs_of_models(condition: &str) -> String {
    format!(
        "select day, model_name, cast(sum(nanos) as bigint) from (
            select day, model_name, cost_micros * 1000 as nanos from ai_rollup_daily_now
            where business_id = $1 and model_name {condition} and day between $3 and $4
            union all
            select day, model_name, filled_nanos from mlops_cost_daily
            where business_id = $1 and model_name {condition} and day between $3 and $4
        ) costs where nanos <> 0 group by day, model_name"
    )
}

pub(super) static INTENTS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select intent_detected, cast(0 as bigint) as answers, cast(0 as bigint) as errors, {}
         from mlops_intent_daily where business_id = $1 and day between $2 and $3 group by intent_detected",
        summed(&Intent::COLUMNS[2..])
    )
});

pub(super) const OUTCOMES: &str = "select day, cast(sum(outcomes) as bigint) from mlops_outcome_daily
    where business_id = $1 and day between $2 and $3 group by day";

pub(super) const LATENCIES: &str = "select day, bucket, cast(events as bigint) from ai_latency_daily_now
    where business_id = $1 and day between $2 and $3";

pub(super) const FIRST_LATENCIES: &str =
    "select bucket, cast(sum(conversations) as bigint) from mlops_first_latency_daily
    where business_id = $1 and day between $2 and $3 group by bucket";

pub(super) const MONTH: &str = "select
    (select coalesce(cast(sum(cost_micros) as bigint), 0) from ai_rollup_daily_now
        where business_id = $1 and day between $2 and $3) as cost_micros,
    (select coalesce(cast(sum(filled_nanos) as bigint), 0) from mlops_cost_daily
        where business_id = $1 and day between $2 and $3) as filled_nanos";

/// A text that changes when the figures of the days from $2 to $3 do, which are before $4. It must cost little even where the days have many rows:
/// every answer is in the totals as well as on its day, so that the totals without those of the days since $4 tell of all earlier days.
/// Conversations have a single row for each day, and every other change of them is one of their outcomes, which are counted: so no two changes
/// can cancel each other out.
pub(super) static MARK: LazyLock<String> = LazyLock::new(|| {
    let answers = ["events", "response_time_ms", "tokens", "cost_micros"];
    let both = |alias: &str, columns: &[&str]| {
        columns.iter().map(|column| format!("{alias}.{column}")).collect::<Vec<_>>().join(" || ' ' || ")
    };
    let before = answers.map(|column| format!("(total.{column} - later.{column})")).join(" || ' ' || ");
    let sums = summed(&answers);
    format!(
        "select {before} || ' ' || facts.days || ' ' || {} || ' ' || waiting.outcomes || ' ' || settled.amount from
            (select {sums} from ai_totals_now where business_id = $1) total,
            (select {sums} from ai_rollup_daily_now where business_id = $1 and day >= $4) later,
            (select count(*) as days, {} from mlops_conversation_daily
                where business_id = $1 and day between $2 and $3) facts,
            (select {} from mlops_outcome_daily where business_id = $1 and day between $2 and $3) waiting,
            (select {} from mlops_fact_totals where business_id = $1 and kind = 'settled') settled",
        both("facts", DailySums::COLUMNS),
        summed(DailySums::COLUMNS),
        summed(&["outcomes"]),
        summed(&["amount"]),
    )
});
