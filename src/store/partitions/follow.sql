-- Has the table of events by month follow each statement on ai_metrics, in the same transaction: what is erased there is erased here.
-- To create a trigger waits for those who write, so what they wrote before is up to `last`, and what they write later is followed.
do $do$
declare
    old constant regclass := 'ai_metrics';
    ns constant text := (select quote_ident(n.nspname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = old);
    columns text;
begin
    select string_agg(quote_ident(attname), ', ' order by attnum) into columns from pg_attribute
    where attrelid = old and attnum > 0 and not attisdropped and attgenerated = '';
    execute format($create$
        create or replace function %1$s.mlops_copy_follow() returns trigger
        language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
        begin
            if tg_op = 'TRUNCATE' then
                truncate %1$s.ai_metrics_by_month;
                return null;
            end if;
            if tg_op in ('UPDATE', 'DELETE') then
                execute 'delete from %1$s.ai_metrics_by_month m using was where m.id = was.id';
            end if;
            if tg_op in ('UPDATE', 'INSERT') then
                insert into %1$s.ai_metrics_by_month (%2$s) select %2$s from fresh;
            end if;
            return null;
        end $body$
    $create$, ns, columns);
    lock table ai_metrics in share row exclusive mode;
    create trigger mlops_copy_insert after insert on ai_metrics referencing new table as fresh
        for each statement execute function mlops_copy_follow();
    create trigger mlops_copy_update after update on ai_metrics referencing old table as was new table as fresh
        for each statement execute function mlops_copy_follow();
    create trigger mlops_copy_delete after delete on ai_metrics referencing old table as was
        for each statement execute function mlops_copy_follow();
    create trigger mlops_copy_truncate after truncate on ai_metrics
        for each statement execute function mlops_copy_follow();
    update mlops_partition_copy set last = (select coalesce(max(id), 0) from ai_metrics);
end $do$;
