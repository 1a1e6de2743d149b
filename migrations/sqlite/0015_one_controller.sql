-- The business that a consent was given to, or that a request was made to. Null: every business.
alter table mlops_consents add column business_id text;
alter table mlops_privacy_requests add column business_id text;

-- Erased conversations and sessions, by keyed hashes: their events are counted and not kept.
create table mlops_tombstones (
    subject blob primary key,
    -- A short hash of the id alone, whatever the business.
    mark integer not null,
    until text not null
);
