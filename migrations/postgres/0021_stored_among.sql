-- Returns which of these events, counted from 1, are stored: mlops_is_stored for all events of a batch, which looks each of them up without
-- being called for each. The subqueries are not joins on purpose: a join that was planned while the table was empty does not suit
-- it later.
create function mlops_stored_among(events uuid[], businesses text[]) returns setof bigint language plpgsql stable as $$
begin
    if (select relkind from pg_class where oid = to_regclass('ai_metrics')) = 'p' then
        return query
            select k.n from unnest(events, businesses) with ordinality k(event_id, business_id, n)
            where (select true from mlops_event_ids i where i.event_id = k.event_id and i.business_id = k.business_id);
    else
        return query
            select k.n from unnest(events, businesses) with ordinality k(event_id, business_id, n)
            where (select true from ai_metrics m where m.event_id = k.event_id and m.business_id = k.business_id);
    end if;
end $$;
