-- The audit trail: each entry holds the hash of the one before it, so that a change shows. docs/audit.md tells the form.

create table mlops_audit (
    -- From 1, without a gap.
    seq integer primary key,
    at text not null,
    actor text not null,
    action text not null,
    request_id text,
    -- The HMAC-SHA-256 that stands for the person it is about.
    subject blob,
    -- A JSON object, kept as the text that was hashed.
    details text not null,
    previous blob not null,
    hash blob not null
);

create index mlops_audit_at on mlops_audit (at);
create index mlops_audit_subject on mlops_audit (subject) where subject is not null;
create index mlops_audit_purged on mlops_audit (seq) where action = 'audit.purged';

-- Nothing is changed, and nothing removed but what the newest audit.purged entry names. This is against mishaps: whoever
-- can write the file can take the triggers away.
create trigger mlops_audit_keep before update on mlops_audit
begin
    select raise(abort, 'the audit trail is append-only: UPDATE is refused');
end;

create trigger mlops_audit_keep_unpurged before delete on mlops_audit
when old.seq > coalesce((select json_extract(details, '$.last_seq') from mlops_audit
                         where action = 'audit.purged' order by seq desc limit 1), 0)
begin
    select raise(abort, 'the audit trail is append-only: DELETE is refused');
end;
