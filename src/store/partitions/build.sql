-- Makes the table of events by month beside ai_metrics: empty, with its columns, defaults, constraints, indexes and rights. What was
-- unique becomes plain: a unique index of a partitioned table must contain created_at. mlops_event_ids keeps ids of events unique.
do $do$
declare
    old constant regclass := 'ai_metrics';
    ns constant text := (select quote_ident(n.nspname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = old);
    owner constant text := (select quote_ident(pg_get_userbyid(relowner)) from pg_class where oid = old);
    new constant text := ns || '.ai_metrics_by_month';
    catch_all constant text := ns || '.ai_metrics_default';
    one record;
begin
    execute format('create table %s (like %s including all excluding indexes excluding identity) partition by range (created_at)', new, old);
    execute format('create table %s partition of %s default', catch_all, new);
    for one in select unnest(array[new, catch_all]) as relation loop
        execute format('alter table %s owner to %s', one.relation, owner);
    end loop;
    -- Nobody has rights that they did not have, and rows are reached through the new table alone.
    for one in
        select c.oid::regclass as relation, case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee
        from pg_class c, aclexplode(c.relacl) a
        where c.oid in (new::regclass, catch_all::regclass) and a.grantee <> c.relowner group by 1, 2
    loop
        execute format('revoke all on %s from %s', one.relation, one.grantee);
    end loop;
    for one in
        select a.privilege_type as privilege, null as attname, a.grantee, a.is_grantable
        from pg_class c, aclexplode(c.relacl) a where c.oid = old and a.grantee <> c.relowner
        union all
        select a.privilege_type, t.attname, a.grantee, a.is_grantable
        from pg_attribute t, aclexplode(t.attacl) a where t.attrelid = old and not t.attisdropped
    loop
        execute format('grant %s%s on %s to %s%s', one.privilege, coalesce(' (' || quote_ident(one.attname) || ')', ''), new,
            case one.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(one.grantee)) end,
            case when one.is_grantable then ' with grant option' else '' end);
    end loop;
    execute format('comment on table %s is %L', new, obj_description(old, 'pg_class'));
    for one in select conname, pg_get_constraintdef(oid) as definition from pg_constraint where conrelid = old and contype = 'f' loop
        execute format('alter table %s add constraint %I %s', new, one.conname, one.definition);
    end loop;
    -- They have their names once the others are gone.
    for one in
        select indexrelid, substring(pg_get_indexdef(indexrelid) from ' USING .*$') as definition
        from pg_index join pg_class i on i.oid = indexrelid
        where indrelid = old and indisvalid and i.relname <> 'ai_metrics_business_event'
    loop
        execute format('create index mlops_new_%s on %s%s', one.indexrelid, new, one.definition);
    end loop;
    execute format('create trigger mlops_event_ids_insert after insert on %s referencing new table as fresh
        for each statement execute function %s.mlops_event_ids_follow()', new, ns);
    execute format('create trigger mlops_event_ids_update after update on %s referencing old table as was new table as fresh
        for each statement execute function %s.mlops_event_ids_follow()', new, ns);
    execute format('create trigger mlops_event_ids_delete after delete on %s referencing old table as was
        for each statement execute function %s.mlops_event_ids_follow()', new, ns);
    execute format('create trigger mlops_event_ids_truncate after truncate on %s
        for each statement execute function %s.mlops_event_ids_follow()', new, ns);
    execute format('create table %s.mlops_partition_copy (
        id integer primary key check (id = 1), -- one row
        copied bigint not null, -- rows of ai_metrics up to this id are copied
        last bigint, -- up to this one they are to be: later ones follow by themselves; null: none does yet
        rows bigint not null, -- how many were copied
        of_rows bigint not null)', ns);
    execute format('insert into %s.mlops_partition_copy select 1, coalesce(min(id), 1) - 1, null, 0, count(*) from %s', ns, old);
end $do$;
