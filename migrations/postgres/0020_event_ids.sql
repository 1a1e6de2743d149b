-- What `mlops-service partition` needs to partition ai_metrics by month, and what the service needs from then on. Until then the
-- table is empty and the functions are not called, but mlops_is_stored.

-- The ids of events whose rows are in ai_metrics once that is partitioned: a unique index of a partitioned table must contain the
-- column it is partitioned by, and an id must be unique whatever its month.
create table mlops_event_ids (
    event_id uuid not null,
    business_id text not null,
    -- The first day of the month of the row. Null: it has no created_at.
    month date,
    primary key (event_id, business_id)
);

-- Returns whether the event of a business is stored. Partitioning has it look into mlops_event_ids.
create function mlops_is_stored(business text, event uuid) returns boolean language plpgsql stable as $$
begin
    return exists (select from ai_metrics m where m.event_id = event and m.business_id = business);
end $$;

do $do$
begin
    -- Has mlops_event_ids follow each statement on the partitioned table. Two rows with one id fail here. Programs that insert
    -- rows need no right to that table, so this runs as its owner. Deletions are planned each time: a plan that was made
    -- while the table was small does not suit it later.
    execute format($create$
        create function mlops_event_ids_follow() returns trigger
        language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
        begin
            if tg_op = 'TRUNCATE' then
                truncate %1$I.mlops_event_ids;
            elsif tg_op = 'DELETE' then
                execute 'delete from %1$I.mlops_event_ids k using was
                    where k.event_id = was.event_id and k.business_id = cast(was.business_id as text)';
            elsif tg_op = 'UPDATE' then
                execute 'with gone as (
                        select event_id, cast(business_id as text) as business_id, date_trunc(''month'', created_at) as month
                        from was where event_id is not null
                        except select event_id, cast(business_id as text), date_trunc(''month'', created_at) from fresh
                    ) delete from %1$I.mlops_event_ids k using gone
                    where k.event_id = gone.event_id and k.business_id = gone.business_id';
                insert into %1$I.mlops_event_ids (event_id, business_id, month)
                select event_id, business_id, cast(month as date) from (
                    select event_id, cast(business_id as text) as business_id, date_trunc('month', created_at) as month
                    from fresh where event_id is not null
                    except select event_id, cast(business_id as text), date_trunc('month', created_at) from was
                ) new order by event_id, business_id;
            else
                insert into %1$I.mlops_event_ids (event_id, business_id, month)
                select event_id, business_id, cast(date_trunc('month', created_at) as date)
                from fresh where event_id is not null order by event_id, business_id;
            end if;
            return null;
        end $body$
    $create$, current_schema());

    -- Makes the partition of a month, unless there is one, and moves the rows of that month out of the default partition. Returns
    -- whether it made one. It does so as the owner, so that the service can make the months ahead. While a table is being turned
    -- over, the partition is one of the new table.
    execute format($create$
        create function mlops_add_event_month(any_day date) returns boolean
        language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
        declare
            parent constant regclass :=
                coalesce(to_regclass('%1$I.ai_metrics_by_month'), to_regclass('%1$I.ai_metrics'));
            month constant timestamp := date_trunc('month', cast(any_day as timestamp));
            until constant timestamp := month + interval '1 month';
            name constant text := 'ai_metrics_' || to_char(month, 'YYYY_MM');
            catch_all regclass;
            columns text;
            move text;
        begin
            select nullif(partdefid, 0) into catch_all from pg_partitioned_table where partrelid = parent;
            if not found then
                raise exception 'ai_metrics is not partitioned';
            end if;
            if month not between now() - interval '12 years' and now() + interval '3 years' then
                raise exception 'a month is made at most 12 years back and 3 years ahead';
            end if;
            perform pg_advisory_xact_lock(hashtext('mlops_event_months'), hashtext('%1$I'));
            if exists (select from pg_inherits where inhrelid = to_regclass('%1$I.' || name) and inhparent = parent) then
                return false;
            end if;
            execute format('create table %1$I.%%I (like %%s including all excluding indexes excluding identity excluding statistics)',
                name, parent);
            execute format('alter table %1$I.%%I owner to %%I', name,
                (select pg_get_userbyid(relowner) from pg_class where oid = parent));
            -- Rows are reached through the parent alone: only there are their ids followed.
            execute coalesce((
                select string_agg(format('revoke all on %1$I.%%I from %%s', name,
                    case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end), '; ')
                from pg_class c, aclexplode(c.relacl) a
                where c.oid = to_regclass('%1$I.' || name) and a.grantee <> c.relowner), 'select 1');
            if catch_all is not null then
                select string_agg(quote_ident(attname), ', ' order by attnum) into columns from pg_attribute
                where attrelid = parent and attnum > 0 and not attisdropped and attgenerated = '';
                move := format('with moved as (delete from %%s where created_at >= %%L and created_at < %%L returning %%s)
                    insert into %1$I.%%I (%%s) select * from moved', catch_all, month, until, columns, name, columns);
                -- Most of them before the lock, those of others that were under way within it.
                execute move;
                execute format('lock table %%s in access exclusive mode', catch_all);
                execute move;
            end if;
            execute format('alter table %%s attach partition %1$I.%%I for values from (%%L) to (%%L)', parent, name, month, until);
            return true;
        end $body$
    $create$, current_schema());

    -- Drops the partition of a month that ended before `cutoff`. Returns false, and drops nothing, while rows of it are still to be
    -- counted or digested, or if there is no such partition. It does so as the owner, so that retention can.
    execute format($create$
        create function mlops_drop_event_month(any_day date, cutoff timestamptz) returns boolean
        language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
        declare
            month constant timestamp := date_trunc('month', cast(any_day as timestamp));
            name constant text := 'ai_metrics_' || to_char(month, 'YYYY_MM');
            part constant regclass := to_regclass('%1$I.' || name);
            is_needed boolean;
        begin
            if (month + interval '1 month') at time zone 'UTC' > cutoff then
                raise exception 'a month is dropped when all of it is from before the cutoff';
            end if;
            if not exists (select from pg_inherits where inhrelid = part and inhparent = to_regclass('%1$I.ai_metrics')) then
                return false;
            end if;
            lock table %1$I.ai_metrics in access exclusive mode;
            execute format('select coalesce(exists (select from %%1$s where event_id is null)
                or (select min(id) from %%1$s) < (select below from %1$I.mlops_rebuild)
                or exists (select from %%1$s where id = any(array(select unnest(event_rows) from %1$I.mlops_undigested))), false)', part)
                into is_needed;
            if is_needed then
                return false;
            end if;
            execute format('drop table %%s', part);
            return true;
        end $body$
    $create$, current_schema());
end $do$;

-- Of everybody, only those whom it was granted: migrations/roles.sql.
revoke execute on function mlops_add_event_month(date) from public;
revoke execute on function mlops_drop_event_month(date, timestamptz) from public;
