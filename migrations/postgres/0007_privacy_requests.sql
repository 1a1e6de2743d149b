-- What customers asked for, and when it was done. Of the customer only the keyed hash is kept.

create table mlops_privacy_requests (
    id text primary key,
    -- export or erase
    kind text not null,
    -- What named the customer: email, phone, conversation_id or session_id.
    selector text not null,
    subject bytea not null,
    -- How it came: letter, …; api where nobody noted it before it was done.
    source text not null,
    received_at timestamptz not null,
    due_at timestamptz not null,
    done_at timestamptz,
    receipt_id text,
    -- A JSON object: rows by table.
    counts text
);

create index mlops_privacy_requests_subject on mlops_privacy_requests (subject, kind);

create index mlops_privacy_requests_open on mlops_privacy_requests (due_at) where done_at is null;
