//! What the service may do with its database, and how it is connected to it.

use sqlx::FromRow;

use crate::store::{Db, READ_LIMIT, Store, StoreError};

/// How a connection is protected, as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Encryption {
    /// Whether it is encrypted.
    pub ssl: bool,
    /// The version of TLS.
    pub version: Option<String>,
}

/// What the role of the service could do beyond its work.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Privileges {
    /// It is a superuser, or may make databases or roles, or pass row security by.
    pub above_others: bool,
    /// It may create tables in the schema.
    pub creates: bool,
    /// Tables of the service that it, or a role that it can act for, owns, so that it can drop and alter them.
    pub owns: Vec<String>,
    /// Tables that it may empty at one blow.
    pub truncates: Vec<String>,
    /// What it may do to the audit trail beyond adding and reading.
    pub on_audit: Vec<String>,
    /// Whether there is an audit trail.
    pub has_audit: bool,
}

impl Store {
    /// How the connection is protected; `None` for an embedded file, which has none.
    pub async fn encryption(&self) -> Result<Option<Encryption>, StoreError> {
        const SQL: &str = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()";
        let Db::Postgres(db) = &self.read else { return Ok(None) };
        crate::store::on!(@run db, READ_LIMIT, conn, sqlx::query_as(SQL).fetch_optional(conn).await)
    }

    /// What the role could do; `None` for an embedded file, which has none.
    pub async fn privileges(&self) -> Result<Option<Privileges>, StoreError> {
        const SQL: &str = "
            with ours as (
                select c.oid, cast(c.relname as text) as name, c.relowner from pg_class c
                where c.relkind in ('r', 'p') and c.relnamespace = cast(current_schema() as regnamespace)
                  and (c.relname ~ '^(ai_|mlops_)' or c.relname = '_sqlx_migrations')
            )
            select
                (select r.rolsuper or r.rolcreatedb or r.rolcreaterole or r.rolbypassrls
                 from pg_roles r where r.rolname = current_user) as above_others,
                has_schema_privilege(current_schema(), 'create') as creates,
                array(select name from ours where pg_has_role(relowner, 'member') order by name) as owns,
                array(select name from ours where has_table_privilege(oid, 'truncate') order by name) as truncates,
                array(select privilege from unnest(array['update', 'delete', 'truncate']) privilege
                      where has_table_privilege(to_regclass('mlops_audit'), privilege)) as on_audit,
                to_regclass('mlops_audit') is not null as has_audit";
        let Db::Postgres(db) = &self.read else { return Ok(None) };
        crate::store::on!(@run db, READ_LIMIT, conn, sqlx::query_as(SQL).fetch_one(conn).await.map(Some))
    }
}
