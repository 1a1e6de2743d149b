-- Why ai_metrics cannot be turned over, each with what to do.
with events as (
    select c.oid, c.relkind, c.relrowsecurity, c.relhasrules, quote_ident(n.nspname) as ns, c.relowner,
           quote_ident(pg_get_userbyid(c.relowner)) as owner, quote_ident(current_user) as me, n.oid as ns_oid
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass('ai_metrics')
), reasons (place, reason) as (
    select 1, 'the server is Postgres ' || current_setting('server_version') || ': it needs 13 or newer'
    where cast(current_setting('server_version_num') as integer) < 130000
    union all select 2, 'ai_metrics is not a table: partition the table behind it'
    from events where relkind <> 'r'
    union all select 3, format('the role %s neither owns ai_metrics nor is a member of %s, which does: set MIGRATION_DATABASE_URL to a role that is',
                               me, owner)
    from events where not pg_has_role(relowner, 'usage')
    union all select 4, format('the role %s may not create tables in the schema %s: grant create on schema %2$s to %1$s', role, ns)
    from events, unnest(array[me, owner]) role where not has_schema_privilege(role, ns_oid, 'create')
    union all select 5, format('the column created_at is of type %s: it needs timestamp without time zone', format_type(atttypid, null))
    from events join pg_attribute on attrelid = events.oid and attname = 'created_at' and atttypid <> 'timestamp'::regtype
    union all select 6, format('the column %I is an identity: drop the identity and give it the default of a sequence', attname)
    from events join pg_attribute on attrelid = events.oid and attidentity <> ''
    union all select distinct 7, format('%s reads ai_metrics: drop it, and create it again afterwards', r.ev_class::regclass)
    from events join pg_depend d on d.refobjid = events.oid and d.classid = 'pg_rewrite'::regclass
    join pg_rewrite r on r.oid = d.objid where r.ev_class <> events.oid
    union all select 8, format('the foreign key %I of %s refers to ai_metrics: drop it, a partitioned table has no unique id to refer to',
                               conname, conrelid::regclass)
    from events join pg_constraint on confrelid = events.oid and contype = 'f'
    union all select 9, format('the constraint %I is not validated: alter table ai_metrics validate constraint %1$I', conname)
    from events join pg_constraint on conrelid = events.oid and not convalidated
    union all select 10, format('the index %s is unique, which it could not be in a partitioned table: drop it', indexrelid::regclass)
    from events join pg_index on indrelid = events.oid and (indisunique or indisexclusion) join pg_class i on i.oid = indexrelid
    where i.relname <> 'ai_metrics_business_event' and indexprs is null
      and not (indisprimary and cast(indkey as text) = (select cast(attnum as text) from pg_attribute
                                                        where attrelid = events.oid and attname = 'id'))
    union all select 10, format('the index %s is unique, which it could not be in a partitioned table: drop it', indexrelid::regclass)
    from events join pg_index on indrelid = events.oid and indisunique and indexprs is not null
    union all select 11, 'row security is on: alter table ai_metrics disable row level security' from events where relrowsecurity
    union all select 12, format('the publication %I names ai_metrics: drop the table from it, and add it again afterwards', p.pubname)
    from events join pg_publication_rel r on r.prrelid = events.oid join pg_publication p on p.oid = r.prpubid
    union all select 13, format('the trigger %I is on ai_metrics: drop it, and create it again afterwards', tgname)
    from events join pg_trigger on tgrelid = events.oid and not tgisinternal and tgname !~ '^mlops_copy_'
    union all select 14, 'there are rules on ai_metrics: drop them' from events where relhasrules
    union all select 15, format('%s inherits from ai_metrics, or the other way round: take them apart',
                                case inhrelid when events.oid then inhparent else inhrelid end::regclass)
    from events join pg_inherits on events.oid in (inhrelid, inhparent)
    union all select 16, format('the table %s has the name of a partition: rename it', c.oid::regclass)
    from events join pg_class c on c.relnamespace = ns_oid and c.relname ~ '^ai_metrics_(default|by_month|\d{4}_\d\d)$'
    where to_regclass('mlops_partition_copy') is null
)
select reason from reasons order by place, reason
