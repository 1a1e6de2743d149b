//! What the service's role may do in its database beyond what `migrations/roles.sql` grants.

use crate::store::{Db, READ_LIMIT, Store, StoreError};

/// The script that lists the needed rights, a table on each line.
const ROLES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/roles.sql"));

/// Privileges of the service's role that it does not need, whether it has them itself, through a role it is a member of (whether it
/// inherits them or would have to `set role`), or as everybody has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privileges {
    /// Whether it is a superuser itself.
    pub is_superuser: bool,
    /// Its powers over other roles, databases and row-level security, such as `can create roles`.
    pub above_others: Vec<String>,
    /// The predefined roles of Postgres that it is a member of, such as `pg_read_all_data`.
    pub predefined: Vec<String>,
    /// Where it can create objects, such as `schemas`.
    pub creates: Vec<String>,
    /// What it can drop and alter, as its owner: tables and views in the schema, functions of the service, the schema, the database.
    pub owns: Vec<String>,
    /// Tables in the schema that it can truncate.
    pub truncates: Vec<String>,
    /// Tables in the schema that it can create triggers on.
    pub triggers: Vec<String>,
    /// Privileges on the audit trail, or on columns of it, other than inserting and reading.
    pub on_audit: Vec<String>,
    /// Triggers of the audit trail that are missing or disabled.
    pub unguarded: Vec<String>,
    /// Other rights to rows that it does not need, such as `update messages`.
    pub beyond: Vec<String>,
}

from_row!(sqlx::postgres::PgRow => Privileges {
    is_superuser, above_others, predefined, creates, owns, truncates, triggers, on_audit, unguarded, beyond
});

/// Roles in `roles` are those whose rights the service has or can take; a superuser is taken by itself. `$1` and `$2` are tables and
/// rights on them that are not needed, `$1` each.
const SQL: &str = "
    with me as (select oid, rolsuper from pg_roles where rolname = current_user),
    roles as (
        select r.* from pg_roles r, me
        where r.oid = me.oid or not me.rolsuper and pg_has_role(me.oid, r.oid, 'member')
    ), tables as (
        select c.oid, cast(c.relname as text) as name, c.relkind in ('r', 'p') as has_rows, c.relowner
        from pg_class c
        where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relnamespace = cast(current_schema() as regnamespace)
    ), owned as (
        select name, relowner as owner from tables
        union all select proname || '()', proowner from pg_proc
            where pronamespace = cast(current_schema() as regnamespace) and proname ~ '^mlops_'
        union all select 'the schema ' || nspname, nspowner from pg_namespace where nspname = any(current_schemas(false))
        union all select 'the database', datdba from pg_database where datname = current_database()
    ), audit as (select cast(to_regclass('mlops_audit') as oid) as oid)
    select
        (select rolsuper from me) as is_superuser,
        array(select power.what || case when r.oid = me.oid then '' else ' through the role ' || r.rolname end
              from roles r cross join me cross join lateral (values
                (r.rolsuper, 'is a superuser'),
                (r.rolcreatedb and not r.rolsuper, 'can create databases'),
                (r.rolcreaterole and not r.rolsuper, 'can create roles'),
                (r.rolbypassrls and not r.rolsuper, 'bypasses row-level security'),
                (r.rolreplication and not r.rolsuper, 'can replicate')) power(has, what)
              where power.has order by 1) as above_others,
        array(select cast(r.rolname as text) from roles r, me
              where r.rolname like 'pg\\_%' and r.oid <> me.oid order by 1) as predefined,
        array(select 'objects in the schema ' || n.nspname from pg_namespace n
              where n.nspname = any(current_schemas(false))
                and exists (select from roles r where has_schema_privilege(r.oid, n.oid, 'create'))
              union all select 'schemas'
              where exists (select from roles r where has_database_privilege(r.oid, current_database(), 'create'))
              order by 1) as creates,
        array(select cast(o.name as text) from owned o where o.owner in (select oid from roles) order by 1) as owns,
        array(select t.name from tables t
              where t.has_rows and exists (select from roles r where has_table_privilege(r.oid, t.oid, 'truncate'))
              order by 1) as truncates,
        array(select t.name from tables t
              where t.has_rows and exists (select from roles r where has_table_privilege(r.oid, t.oid, 'trigger'))
              order by 1) as triggers,
        array(select privilege from audit, unnest(array['update', 'delete', 'truncate']) privilege
              where exists (select from roles r where case privilege
                when 'update' then has_any_column_privilege(r.oid, audit.oid, privilege)
                else has_table_privilege(r.oid, audit.oid, privilege) end)) as on_audit,
        array(select guard from audit, unnest($3::text[]) guard
              where not exists (select from pg_trigger t
                where t.tgrelid = audit.oid and t.tgname = guard and t.tgenabled in ('O', 'A'))
              union all select 'all of them, by session_replication_role'
              where current_setting('session_replication_role') = 'replica') as unguarded,
        array(select u.privilege || ' ' || t.name
              from unnest($1::text[], $2::text[]) u(name, privilege) join tables t on t.name = u.name
              where exists (select from roles r where case u.privilege
                when 'delete' then has_table_privilege(r.oid, t.oid, u.privilege)
                when 'update of any column' then has_table_privilege(r.oid, t.oid, 'update')
                else has_any_column_privilege(r.oid, t.oid, u.privilege) end)
              order by t.name, u.privilege) as beyond";

/// The triggers that migrations put on the audit trail.
const GUARDS: [&str; 3] = ["mlops_audit_keep", "mlops_audit_keep_unpurged", "mlops_audit_follow"];

impl Store {
    /// Returns the unneeded privileges of the service's role; `None` for an embedded file, which has no
    /// roles.
    pub async fn privileges(&self) -> Result<Option<Privileges>, StoreError> {
        let Db::Postgres(db) = &self.read else { return Ok(None) };
        let (tables, rights): (Vec<&str>, Vec<&str>) = unneeded().into_iter().unzip();
        crate::store::on!(@run db, READ_LIMIT, conn, {
            let query = sqlx::query_as(SQL).bind(&tables).bind(&rights).bind(&GUARDS[..]);
            query.fetch_one(conn).await.map(Some)
        })
    }
}

/// Returns the rights to rows that the service does not need, each with its table.
fn unneeded() -> Vec<(&'static str, &'static str)> {
    // Lines such as `    ('conversations', 'select, delete, update (id)'),`.
    let rows = ROLES.lines().filter_map(|line| line.trim().strip_prefix("('")?.split_once("', '"));
    let rows = rows.filter_map(|(table, rest)| Some((table, rest.split_once('\'')?.0)));
    let unneeded = rows.flat_map(|(table, needed)| {
        let has = move |right: &str| needed.split(", ").any(|one| one.split(' ').next() == Some(right));
        let of_column = needed.contains("update (").then_some("update of any column");
        // What the trail allows is told by a check of its own.
        let all =
            ["select", "insert", "update", "delete"].into_iter().filter(move |_| table != "mlops_audit");
        all.filter(move |right| !has(right)).chain(of_column).map(move |right| (table, right))
    });
    unneeded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_says_what_is_not_needed() {
        let unneeded = unneeded();
        for right in [
            ("messages", "insert"),
            ("messages", "update"),
            ("conversations", "update of any column"),
            ("_sqlx_migrations", "delete"),
        ] {
            assert!(unneeded.contains(&right), "{right:?} in {unneeded:?}");
        }
        for right in [("ai_metrics", "update"), ("messages", "delete"), ("conversations", "update")] {
            assert!(!unneeded.contains(&right), "{right:?}");
        }
    }
}
