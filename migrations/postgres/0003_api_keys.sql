-- Named API keys. Of a secret only its SHA-256 is kept.

create table mlops_api_keys (
    id text primary key,
    name text not null,
    secret_hash bytea not null,
    -- The secret that was replaced, and until when it is still valid.
    previous_hash bytea,
    previous_until timestamptz,
    -- Names with a space in between.
    scopes text not null,
    -- Null: every business.
    business_id text,
    -- Null: the quota of the route.
    tier text,
    created_at timestamptz not null,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
