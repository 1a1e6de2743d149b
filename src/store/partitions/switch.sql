-- Puts the table of events by month in the place of ai_metrics, which is dropped: rows that it kept would not be found by an erasure.
do $do$
declare
    old constant regclass := 'ai_metrics';
    ns constant text := (select quote_ident(n.nspname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = old);
    renames text[];
    one record;
    statement text;
begin
    lock table ai_metrics in access exclusive mode;
    renames := array(
        select format('alter index %s.mlops_new_%s rename to %I', ns, indexrelid, i.relname)
        from pg_index join pg_class i on i.oid = indexrelid
        where indrelid = old and to_regclass(format('%s.mlops_new_%s', ns, indexrelid)) is not null);
    -- The sequence of its ids goes on with the new table.
    for one in
        select s.oid::regclass as sequence, a.attname
        from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'
        join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        where d.refobjid = old and d.classid = 'pg_class'::regclass and d.deptype = 'a'
    loop
        execute format('alter sequence %s owned by %s.ai_metrics_by_month.%I', one.sequence, ns, one.attname);
    end loop;
    execute format('drop table %s', old);
    execute format('alter table %s.ai_metrics_by_month rename to ai_metrics', ns);
    foreach statement in array renames loop
        execute statement;
    end loop;
    drop function mlops_copy_follow();
    drop table mlops_partition_copy;
    create or replace function mlops_is_stored(business text, event uuid) returns boolean language plpgsql stable as $body$
    begin
        return exists (select from mlops_event_ids k where k.event_id = event and k.business_id = business);
    end $body$;
end $do$;
