-- An entry must follow the last one, and one that tells of a purge must tell the truth: the trail can be purged of what is
-- older than thirty days, and nobody who may append can claim more.
create function mlops_audit_follow() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    holds boolean;
begin
    execute format(
        'select exists (select from %1$I.mlops_audit where seq = $1 - 1 and hash = $2)
             or $1 = 1 and not exists (select from %1$I.mlops_audit)', tg_table_schema)
        into holds using new.seq, new.previous;
    if not holds then
        raise exception 'an entry of the audit trail must follow the last one: INSERT is refused';
    end if;
    if new.action = 'audit.purged' then
        execute format(
            'select exists (select from %1$I.mlops_audit where seq = $1 and encode(hash, ''hex'') = $2)
                and not exists (select from %1$I.mlops_audit where seq <= $1 and at > least($3, now()) - interval ''30 days'')',
            tg_table_schema)
            into holds
            using cast(cast(new.details as json) ->> 'last_seq' as bigint), cast(new.details as json) ->> 'last_hash', new.at;
        if not holds then
            raise exception 'entries of the last 30 days are kept: INSERT of audit.purged is refused';
        end if;
    end if;
    return new;
end $$;

create trigger mlops_audit_follow before insert on mlops_audit
for each row execute function mlops_audit_follow();

-- Deletes only while mlops_audit_purge runs, the owner's as well.
create or replace function mlops_audit_keep_unpurged() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    purged bigint;
begin
    if current_user <> (select pg_get_userbyid(relowner) from pg_class where oid = tg_relid)
        or coalesce(current_setting('mlops.purging', true), '') <> 'on' then
        raise exception 'the audit trail is append-only: DELETE is refused';
    end if;
    execute format(
        'select cast(cast(details as json) ->> ''last_seq'' as bigint) from %I.mlops_audit
         where action = ''audit.purged'' order by seq desc limit 1', tg_table_schema) into purged;
    if exists (select from gone where seq > coalesce(purged, 0)) then
        raise exception 'the audit trail is append-only: DELETE is refused';
    end if;
    return null;
end $$;

do $do$
begin
    execute format($create$
        create or replace function mlops_audit_purge(before timestamptz) returns bigint
        language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
        declare
            purged bigint;
            removed bigint;
        begin
            if before is null or before > now() - interval '30 days' then
                raise exception 'entries of the last 30 days are kept';
            end if;
            select cast(cast(details as json) ->> 'last_seq' as bigint) into purged
            from %1$I.mlops_audit where action = 'audit.purged' order by seq desc limit 1;
            if exists (select from %1$I.mlops_audit where seq <= purged and at >= before) then
                raise exception 'entries that are not older than the given time are kept';
            end if;
            perform set_config('mlops.purging', 'on', true);
            delete from %1$I.mlops_audit where seq <= purged;
            get diagnostics removed = row_count;
            perform set_config('mlops.purging', '', true);
            return removed;
        end $body$
    $create$, current_schema());
end $do$;
