-- Named API keys. Of a secret only its SHA-256 is kept. Times are UTC text.

create table mlops_api_keys (
    id text primary key,
    name text not null,
    secret_hash blob not null,
    -- The secret that was replaced, and until when it is still valid.
    previous_hash blob,
    previous_until text,
    -- Names with a space in between.
    scopes text not null,
    -- Null: every business.
    business_id text,
    -- Null: the quota of the route.
    tier text,
    created_at text not null,
    expires_at text,
    last_used_at text,
    revoked_at text
);
