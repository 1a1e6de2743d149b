-- Business profiles. What is null comes from the receptionist app's tables, where they are shared, or has a default.
create table mlops_businesses (
    business_id text primary key,
    name text,
    -- An IANA name.
    time_zone text,
    -- A JSON object: the opening and closing time of each weekday that is open.
    opening_hours text,
    monthly_budget_micros bigint
);

-- Facts about conversations, one row each, from the events that are stored. They can identify a person.
create table mlops_conversations (
    business_id text not null,
    conversation_id text not null,
    -- The day and hour of the first answer, in the time zone of the business.
    day text not null,
    hour smallint not null,
    first_at text not null,
    last_at text not null,
    -- Of the first answer.
    first_response_ms integer not null,
    first_intent text not null,
    answers bigint not null,
    requested boolean not null,
    claimed boolean not null,
    handoff boolean not null,
    error boolean not null,
    -- Null: the opening hours were not known.
    in_hours boolean,
    tokens bigint not null,
    cost_nanos bigint not null,
    -- What became of it: booked, kept, no_show or cancelled; null: nothing is known.
    outcome text,
    in_book boolean not null,
    posted boolean not null,
    value_micros bigint not null,
    primary key (business_id, conversation_id)
) without rowid;

create index mlops_conversations_newest on mlops_conversations (business_id, first_at desc, conversation_id);
create index mlops_conversations_last on mlops_conversations (last_at);

-- Events that are stored and not yet added to the tables below: the ids of their rows in ai_metrics, as JSON arrays, batch by batch.
create table mlops_undigested (
    seq integer primary key autoincrement,
    event_rows text not null
);

-- Sums over conversations by the day of their first answer, and over answers by their own day.
create table mlops_conversation_daily (
    business_id text not null,
    day text not null,
    conversations bigint not null,
    conversation_answers bigint not null,
    requested bigint not null,
    claimed bigint not null,
    booked bigint not null,
    claimed_not_booked bigint not null,
    in_book_not_claimed bigint not null,
    booked_not_claimed bigint not null,
    kept bigint not null,
    cancelled bigint not null,
    no_show bigint not null,
    dropped bigint not null,
    handoffs bigint not null,
    contained bigint not null,
    with_hours bigint not null,
    after_hours bigint not null,
    value_booked_micros bigint not null,
    value_kept_micros bigint not null,
    answers bigint not null,
    answers_without_conversation bigint not null,
    primary key (business_id, day)
) without rowid;

create index mlops_conversation_daily_day on mlops_conversation_daily (day);

-- The same by hour of the day.
create table mlops_hourly (
    business_id text not null,
    day text not null,
    hour smallint not null,
    conversations bigint not null,
    requested bigint not null,
    booked bigint not null,
    claimed_not_booked bigint not null,
    handoffs bigint not null,
    answers bigint not null,
    errors bigint not null,
    primary key (business_id, day, hour)
) without rowid;

-- Conversations by the intent of their first answer.
create table mlops_intent_daily (
    business_id text not null,
    day text not null,
    intent_detected text not null,
    conversations bigint not null,
    requested bigint not null,
    booked bigint not null,
    claimed_not_booked bigint not null,
    primary key (business_id, day, intent_detected)
) without rowid;

-- What answers cost by the price table. Costs are in billionths of a US dollar.
create table mlops_cost_daily (
    business_id text not null,
    day text not null,
    model_name text not null,
    answers bigint not null,
    -- Answers with a reported cost.
    reported bigint not null,
    -- Answers with a computed cost, and that cost.
    computed bigint not null,
    computed_nanos bigint not null,
    -- Of those, answers without a reported cost, for which the computed one counts.
    filled bigint not null,
    filled_nanos bigint not null,
    -- The reported cost of answers that have both, in millionths.
    both_reported_micros bigint not null,
    -- Answers with both token counts and no price.
    unpriced bigint not null,
    -- Answers without both token counts.
    not_computable bigint not null,
    -- Answers whose token counts are a guess.
    estimated bigint not null,
    primary key (business_id, day, model_name)
) without rowid;

-- Response times of first answers, in the buckets of ai_latency_daily.
create table mlops_first_latency_daily (
    business_id text not null,
    day text not null,
    bucket smallint not null,
    conversations bigint not null,
    primary key (business_id, day, bucket)
) without rowid;

-- Outcomes that were posted. They can identify a person.
create table mlops_outcomes (
    business_id text not null,
    outcome_id blob not null,
    conversation_id text not null,
    outcome text not null,
    value_micros bigint,
    occurred_at text not null,
    -- The day on which it counts in mlops_outcome_daily, because its conversation has no facts. Null: it has.
    without_facts_on text,
    primary key (business_id, outcome_id)
) without rowid;

create index mlops_outcomes_conversation on mlops_outcomes (business_id, conversation_id);
create index mlops_outcomes_occurred on mlops_outcomes (occurred_at);

-- What was last read of the receptionist app's appointments that came from conversations. They can identify a person.
create table mlops_book (
    appointment_id text primary key,
    business_id text not null,
    conversation_id text not null,
    -- booked, kept or cancelled
    outcome text not null,
    -- When it takes place, in the time zone of the business.
    held_at text,
    -- Whether the row in the app's table is gone because an erasure or retention took it: it counts on.
    settled boolean not null default false,
    -- As in mlops_outcomes.
    without_facts_on text
);

create index mlops_book_conversation on mlops_book (business_id, conversation_id);

-- Outcomes of conversations without facts, by the day on which they occurred.
create table mlops_outcome_daily (
    business_id text not null,
    day text not null,
    outcome text not null,
    outcomes bigint not null,
    primary key (business_id, day, outcome)
) without rowid;

-- Sums over all time, for metrics.
create table mlops_fact_totals (
    business_id text not null,
    -- conversations, computed_nanos by model, outcomes by outcome, or settled: changes of outcomes
    kind text not null,
    label text not null,
    amount bigint not null,
    primary key (business_id, kind, label)
) without rowid;

-- How far the tables above were built from events that were stored before they existed. One row.
create table mlops_rebuild (
    id integer primary key check (id = 1),
    -- Rows of ai_metrics with a smaller id are still to be added, from the newest to the oldest. 1: none is left.
    below bigint not null,
    -- The number of rows that were to be added.
    of_rows bigint not null,
    -- The day of the oldest row added so far.
    reached text,
    -- The first day of which every event was still stored. Null: of no day rows were missing.
    known_from text
);
