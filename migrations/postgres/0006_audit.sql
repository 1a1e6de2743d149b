-- The audit trail: each entry holds the hash of the one before it, so that a change shows. docs/audit.md tells the form.

create table mlops_audit (
    -- From 1, without a gap.
    seq bigint primary key,
    at timestamptz not null,
    actor text not null,
    action text not null,
    request_id text,
    -- The HMAC-SHA-256 that stands for the person it is about.
    subject bytea,
    -- A JSON object, kept as the text that was hashed.
    details text not null,
    previous bytea not null,
    hash bytea not null
);

create index mlops_audit_at on mlops_audit (at);
create index mlops_audit_subject on mlops_audit (subject) where subject is not null;
create index mlops_audit_purged on mlops_audit (seq) where action = 'audit.purged';

-- Nothing is changed, and nothing removed but by mlops_audit_purge. This holds for the owner too, against mishaps: who owns
-- a table can take its triggers away.
create function mlops_audit_keep() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'the audit trail is append-only: % is refused', tg_op;
end $$;

create trigger mlops_audit_keep before update or truncate on mlops_audit
for each statement execute function mlops_audit_keep();

-- What is removed must be old news to the chain: entries up to the one that the newest audit.purged entry names.
create function mlops_audit_keep_unpurged() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    purged bigint;
begin
    if current_user <> (select pg_get_userbyid(relowner) from pg_class where oid = tg_relid) then
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

create trigger mlops_audit_keep_unpurged after delete on mlops_audit referencing old table as gone
for each statement execute function mlops_audit_keep_unpurged();

-- Removes the entries that the newest audit.purged entry names, the oldest of the chain, all from before `before`. It does
-- so as its owner: the role of the service may call it, and may not delete. The path is fixed so that no other table or
-- function can slip in.
do $do$
begin
    execute format($create$
        create function mlops_audit_purge(before timestamptz) returns bigint
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
            delete from %1$I.mlops_audit where seq <= purged;
            get diagnostics removed = row_count;
            return removed;
        end $body$
    $create$, current_schema());
end $do$;

revoke execute on function mlops_audit_purge(timestamptz) from public;

-- Whoever was given every right to tables that are made here may read and append, and no more. The same goes for the table
-- of migrations, which they may read.
do $do$
declare
    held record;
begin
    for held in
        select c.oid::regclass as relation, a.grantee, a.privilege_type
        from pg_class c, aclexplode(c.relacl) a
        where c.oid in (to_regclass('mlops_audit'), to_regclass('_sqlx_migrations')) and a.grantee <> c.relowner
          and (a.privilege_type in ('UPDATE', 'DELETE', 'TRUNCATE')
               or a.privilege_type = 'INSERT' and c.oid = to_regclass('_sqlx_migrations'))
    loop
        execute format('revoke %s on %s from %s', held.privilege_type, held.relation,
            case held.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(held.grantee)) end);
    end loop;
end $do$;
