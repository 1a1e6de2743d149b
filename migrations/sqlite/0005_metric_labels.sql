-- Which values of a metric's label are shown as they are: the first ones, in the order of their places.
create table ai_metric_labels (
    place integer primary key autoincrement,
    label text not null,
    value text not null,
    unique (label, value)
);

-- Those that are shown so far keep their places.
insert into ai_metric_labels (label, value)
select 'business_id', business_id from ai_totals group by business_id order by min(seq);
insert into ai_metric_labels (label, value)
select 'model_name', model_name from ai_totals group by model_name order by min(seq) limit 100;
insert into ai_metric_labels (label, value)
select 'intent', intent_detected from ai_totals group by intent_detected order by min(seq) limit 100;
insert into ai_metric_labels (label, value)
select 'response_type', response_type from ai_totals group by response_type order by min(seq) limit 100;
