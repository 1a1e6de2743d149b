-- The business that a consent was given to, or that a request was made to. Null: every business.
alter table mlops_consents add column business_id text;
alter table mlops_privacy_requests add column business_id text;

-- Erased conversations and sessions, by keyed hashes: their events are counted and not kept.
create table mlops_tombstones (
    subject bytea primary key,
    until timestamptz not null
);

-- Returns whether any of the hashes has a tombstone. Until the end of the transaction no other one adds a tombstone. The function is
-- volatile, so that it sees what was committed while it waited for the lock, even within a statement that began before.
create function mlops_has_tombstone(subjects bytea[]) returns boolean language plpgsql volatile as $$
begin
    if cardinality(subjects) = 0 then
        return false;
    end if;
    perform pg_advisory_xact_lock_shared(hashtext('mlops_tombstones'));
    return exists (select from mlops_tombstones where subject = any(subjects));
end $$;
