-- The business that a consent was given to, or that a request was made to. Null: every business.
alter table mlops_consents add column business_id text;
alter table mlops_privacy_requests add column business_id text;

-- Erased conversations and sessions, by keyed hashes: their events are counted and not kept.
create table mlops_tombstones (
    subject bytea primary key,
    -- A short hash of the id alone, whatever the business.
    mark bigint not null,
    until timestamptz not null
);

create index mlops_tombstones_mark on mlops_tombstones (mark);

-- Returns whether a tombstone has any of the marks. Until the end of the transaction no other one adds a tombstone. The function is
-- volatile, so that it sees what was committed while it waited for the lock, even within a statement that began before.
create function mlops_has_tombstone(marks bigint[]) returns boolean language plpgsql volatile as $$
begin
    if cardinality(marks) = 0 then
        return false;
    end if;
    perform pg_advisory_xact_lock_shared(hashtext('mlops_tombstones'));
    return exists (select from mlops_tombstones where mark = any(marks));
end $$;
