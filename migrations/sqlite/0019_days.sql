-- The costs of a few days of all businesses. Neither index changes with the sums of a row.
create index if not exists ai_rollup_daily_day on ai_rollup_daily (day);
create index if not exists mlops_cost_daily_day on mlops_cost_daily (day);
