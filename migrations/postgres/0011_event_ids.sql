-- The id of an event names it within its business. Where a session runs migrations, the indexes were built before, while
-- events were written; what an interrupted build left is of no use.
do $$
begin
    if exists (select from pg_index where indexrelid = to_regclass('ai_metrics_business_event') and not indisvalid) then
        drop index ai_metrics_business_event;
    end if;
    if exists (select from pg_index where indexrelid = to_regclass('mlops_counted_events_key') and not indisvalid) then
        drop index mlops_counted_events_key;
    end if;
end $$;

create unique index if not exists ai_metrics_business_event on ai_metrics (event_id, business_id);
drop index ai_metrics_event_id;

-- Ids that were recorded without a business, '', hold for every business.
alter table mlops_counted_events add column if not exists business_id text not null default '';
create unique index if not exists mlops_counted_events_key on mlops_counted_events (event_id, business_id);
alter table mlops_counted_events drop constraint mlops_counted_events_pkey;
alter table mlops_counted_events
    add constraint mlops_counted_events_pkey primary key using index mlops_counted_events_key;
