-- Browsers that are signed in. Of the value of a cookie only its SHA-256 is kept. Times are UTC text.
create table mlops_sessions (
    token_hash blob primary key,
    -- The public id of a named key. Null: a key of MLOPS_API_KEY.
    key_id text,
    -- The SHA-256 of the secret of the named key with which the browser signed in, or the fingerprint of the configured key. The
    -- session ends when that secret does.
    key_hash blob not null,
    created_at text not null,
    expires_at text not null
);

create index mlops_sessions_expires_at on mlops_sessions (expires_at);

-- Links that open a page without signing in. Of the secret in a link only its SHA-256 is kept. Times are UTC text.
create table mlops_links (
    id blob primary key,
    secret_hash blob not null unique,
    business_id text not null,
    -- statement or business.
    page text not null,
    -- Such as 2026-10. Null: the page shows its default period.
    month text,
    created_at text not null,
    expires_at text not null,
    revoked_at text,
    -- Who made it, as in the audit trail.
    created_by text not null
);

create index mlops_links_expires_at on mlops_links (expires_at);
