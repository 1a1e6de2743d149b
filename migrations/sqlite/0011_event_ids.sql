-- The id of an event names it within its business.
create unique index ai_metrics_business_event on ai_metrics (event_id, business_id);
drop index ai_metrics_event_id;

-- Ids that were recorded without a business, '', hold for every business.
create table mlops_counted_events_new (
    event_id blob not null,
    business_id text not null default '',
    at text not null,
    primary key (event_id, business_id)
) without rowid;
insert into mlops_counted_events_new (event_id, at) select event_id, at from mlops_counted_events;
drop table mlops_counted_events;
alter table mlops_counted_events_new rename to mlops_counted_events;
create index mlops_counted_events_at on mlops_counted_events (at);
