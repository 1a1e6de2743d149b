//! The service's privileges in its database, and the encryption of its connection.

use crate::store::{Db, READ_LIMIT, Store, StoreError};

/// The encryption of a connection, as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// Whether it is encrypted.
    pub ssl: bool,
    /// The TLS version.
    pub version: Option<String>,
}

from_row!(sqlx::postgres::PgRow => Encryption { ssl, version });

/// Privileges of the service's role that it does not need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privileges {
    /// Whether it is a superuser, can create databases or roles, or bypasses row-level security.
    pub above_others: bool,
    /// Whether it can create tables in the schema.
    pub creates: bool,
    /// Tables of the service that it can drop and alter, because it or a role it is a member of owns them.
    pub owns: Vec<String>,
    /// Tables that it can truncate.
    pub truncates: Vec<String>,
    /// Privileges on the audit trail other than inserting and reading.
    pub on_audit: Vec<String>,
    /// Whether the audit trail exists.
    pub has_audit: bool,
}

from_row!(sqlx::postgres::PgRow => Privileges { above_others, creates, owns, truncates, on_audit, has_audit });

impl Store {
    /// Returns the encryption of the connection; `None` for an embedded file.
    pub async fn encryption(&self) -> Result<Option<Encryption>, StoreError> {
        const SQL: &str = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()";
        let Db::Postgres(db) = &self.read else { return Ok(None) };
        crate::store::on!(@run db, READ_LIMIT, conn, sqlx::query_as(SQL).fetch_optional(conn).await)
    }

    /// Returns the unneeded privileges of the service's role; `None` for an embedded file, which has no
    /// roles.
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
