-- Two Postgres roles for the service: an owner, as which `mlops-service migrate` runs (MIGRATION_DATABASE_URL), and one
-- for the service itself (DATABASE_URL), which cannot drop, alter or create anything and has only the rights it needs.
--
--     psql -d DATABASE -f migrations/roles.sql
--     psql -d DATABASE -v owner=mlops_owner -v service=mlops_service -v schema=public -f migrations/roles.sql
--
-- Run it as a superuser before the first migration and again after every upgrade. It is idempotent, and revokes every
-- right that the service's role does not need. Set the roles' passwords with \password.

\set ON_ERROR_STOP on
\if :{?owner}
\else
    \set owner mlops_owner
\endif
\if :{?service}
\else
    \set service mlops_service
\endif
\if :{?schema}
\else
    \set schema public
\endif

begin;

select format('create role %I login', name)
from unnest(array[:'owner', :'service']) name
where not exists (select from pg_roles where rolname = name) \gexec

alter role :"owner" nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
alter role :"service" nosuperuser nocreatedb nocreaterole noreplication nobypassrls;

-- Memberships would give the service's role the rights of other roles.
select format('revoke %I from %I', granted.rolname, :'service')
from pg_auth_members m join pg_roles granted on granted.oid = m.roleid
where m.member = :'service'::regrole \gexec

-- Before Postgres 15 every role may create in the schema public. Roles that own tables there keep the right.
select format('grant create on schema %I to %I', :'schema', r.rolname)
from pg_roles r
where not r.rolsuper and r.rolname <> :'service'
  and r.oid in (select relowner from pg_class where relnamespace = :'schema'::regnamespace)
  and has_schema_privilege(r.oid, :'schema', 'create') \gexec
revoke create on schema :"schema" from public, :"service";
grant usage, create on schema :"schema" to :"owner";
grant usage on schema :"schema" to :"service";
select format('grant connect on database %I to %I, %I', current_database(), :'owner', :'service') \gexec

-- If the tables are not in public, the roles need a search_path to find them.
select format('alter role %I in database %I set search_path = %I', name, current_database(), :'schema')
from unnest(array[:'owner', :'service']) name where :'schema' <> 'public' \gexec

-- Transfers the service's tables from a single role that owned everything.
select format('alter %s %I.%I owner to %I', case relkind when 'v' then 'view' else 'table' end, :'schema', relname, :'owner')
from pg_class
where relnamespace = :'schema'::regnamespace and relkind in ('r', 'v') and relowner <> :'owner'::regrole
  and relname ~ '^(ai_(rollup|totals|latency_daily|metric_labels|metric_series)|mlops_|_sqlx_migrations$)' \gexec
select format('alter function %s owner to %I', oid::regprocedure, :'owner')
from pg_proc
where pronamespace = :'schema'::regnamespace and proname ~ '^mlops_' and proowner <> :'owner'::regrole \gexec

-- ai_metrics belongs to the receptionist app. Migrations add columns and indexes, which only its owner may do, so the
-- migrating role becomes a member of the app's role. A superuser's table is transferred instead, so that no role becomes
-- a member of a superuser.
select case when r.rolsuper then format('alter table %s owner to %I', c.oid::regclass, :'owner')
            else format('grant %I to %I', r.rolname, :'owner') end
from pg_class c join pg_roles r on r.oid = c.relowner
where c.oid = to_regclass(format('%I.ai_metrics', :'schema')) and r.rolname <> :'owner'
  and (r.rolsuper or not pg_has_role(:'owner', r.oid, 'usage')) \gexec

-- The owner of a table can drop it, whatever was granted.
select count(*) > 0 as owns from pg_class
where relnamespace = :'schema'::regnamespace and relowner = :'service'::regrole \gset
\if :owns
    do $$ begin raise exception 'the role of the service owns tables of the app; give the service a role of its own'; end $$;
\endif

-- Exactly the rights that the service needs: a test takes each away and sees something fail. Missing tables are skipped.
create temporary table needed (name text, rights text) on commit drop;
insert into needed values
    -- Events and their sums. To lock a row, as before it is deleted, requires the right to update a column of the table.
    ('ai_metrics', 'select, insert, update, delete'),
    ('mlops_event_ids', 'select, delete'),
    ('ai_rollup_daily', 'select, insert, update'),
    ('ai_totals', 'select, insert, update'),
    ('ai_latency_daily', 'select, insert, update'),
    ('ai_rollup_pending', 'select, insert, delete, update (seq)'),
    ('ai_rollup_daily_now', 'select'),
    ('ai_totals_now', 'select'),
    ('ai_latency_daily_now', 'select'),
    ('ai_metric_labels', ''),
    ('ai_metric_series', 'select, insert'),
    ('mlops_counted_events', 'select, insert, delete'),
    ('mlops_tombstones', 'select, insert, update, delete'),
    -- Facts about conversations, and their sums.
    ('mlops_undigested', 'select, insert, delete'),
    ('mlops_conversations', 'select, insert, update, delete'),
    ('mlops_outcomes', 'select, insert, update (without_facts_on), delete'),
    ('mlops_book', 'select, insert, update, delete'),
    ('mlops_conversation_daily', 'select, insert, update'),
    ('mlops_hourly', 'select, insert, update'),
    ('mlops_intent_daily', 'select, insert, update'),
    ('mlops_cost_daily', 'select, insert, update'),
    ('mlops_first_latency_daily', 'select, insert, update'),
    ('mlops_outcome_daily', 'select, insert, update'),
    ('mlops_fact_totals', 'select, insert, update'),
    ('mlops_rebuild', 'select, insert, update'),
    -- Business profiles.
    ('mlops_businesses', 'select, insert, update'),
    -- Keys, sessions and links, privacy, retention and the audit trail.
    ('mlops_api_keys', 'select, insert, update'),
    ('mlops_sessions', 'select, insert, delete'),
    ('mlops_links', 'select, insert, update (revoked_at), delete'),
    ('mlops_privacy_requests', 'select, insert, update, delete'),
    ('mlops_consents', 'select, insert, delete'),
    ('mlops_retention', 'select, insert, update'),
    ('mlops_retention_deleted', 'select, insert, update, delete'),
    ('mlops_audit', 'select, insert'),
    ('_sqlx_migrations', 'select'),
    -- The receptionist app's tables: names and opening hours of businesses, for their profiles.
    ('businesses', 'select'),
    ('business_settings', 'select'),
    -- The receptionist app's tables, for access, erasure and retention. Conversations are locked before they are deleted,
    -- appointments may be anonymised.
    ('conversations', 'select, delete, update (id)'),
    ('messages', 'select, delete'),
    ('chat_messages', 'select, delete'),
    ('documents', 'select'),
    ('appointments', 'select, update, delete');

-- Of every table and view in the schema, also of those that an earlier version of this script granted rights on.
select format('revoke all on %s from %I', c.oid::regclass, :'service')
from pg_class c
where c.relnamespace = :'schema'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
order by c.relname \gexec
select format('grant %s on %s to %I', needed.rights, c.oid::regclass, :'service')
from needed join pg_class c on c.oid = to_regclass(format('%I.%I', :'schema', needed.name))
where needed.rights <> ''
order by c.relname \gexec

-- The sequence of ai_metrics.id.
select format('grant usage on sequence %s to %I', s.oid::regclass, :'service')
from pg_class s join pg_depend d on d.objid = s.oid and d.classid = 'pg_class'::regclass
where s.relkind = 'S' and d.refobjid = to_regclass(format('%I.ai_metrics', :'schema')) \gexec

select format('grant execute on function %s to %I', oid::regprocedure, :'service')
from pg_proc where pronamespace = :'schema'::regnamespace
  and proname in ('mlops_audit_purge', 'mlops_add_event_month', 'mlops_drop_event_month') \gexec

-- Objects created by later migrations are usable at once; running this script again revokes what is not needed.
alter default privileges for role :"owner" in schema :"schema"
    grant select, insert, update, delete on tables to :"service";
alter default privileges for role :"owner" in schema :"schema" grant usage on sequences to :"service";
alter default privileges for role :"owner" in schema :"schema" grant execute on functions to :"service";

commit;
