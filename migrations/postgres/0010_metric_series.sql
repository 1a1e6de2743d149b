-- Which series of the metrics are shown as they are: the first ones, in the order of their places. It takes the part of
-- ai_metric_labels, which versions that are still running during an upgrade go on using.
create table ai_metric_series (
    place bigint generated always as identity,
    kind text not null,
    business_id text not null,
    model_name text not null default '',
    intent_detected text not null default '',
    response_type text not null default '',
    unique (kind, business_id, model_name, intent_detected, response_type)
);

-- Those that are shown so far keep their places.
insert into ai_metric_series (kind, business_id)
select 'business', value from ai_metric_labels where label = 'business_id' order by place;

insert into ai_metric_series (kind, business_id, intent_detected, response_type)
select 'answers', coalesce(business.value, 'other'), coalesce(intent.value, 'other'), coalesce(type.value, 'other')
from ai_totals t
left join ai_metric_labels business on business.label = 'business_id' and business.value = t.business_id
left join ai_metric_labels intent on intent.label = 'intent' and intent.value = t.intent_detected
left join ai_metric_labels type on type.label = 'response_type' and type.value = t.response_type
group by 2, 3, 4 order by min(t.seq);

insert into ai_metric_series (kind, business_id, model_name)
select 'models', coalesce(business.value, 'other'), coalesce(model.value, 'other')
from ai_totals t
left join ai_metric_labels business on business.label = 'business_id' and business.value = t.business_id
left join ai_metric_labels model on model.label = 'model_name' and model.value = t.model_name
group by 2, 3 order by min(t.seq);
