-- What customers agreed to and what they took back. Rows are only ever added: of a subject and purpose, the last one holds.
-- Times are UTC text.
create table mlops_consents (
    -- The order in which they were noted.
    seq integer primary key autoincrement,
    id text not null unique,
    -- The keyed hash of an e-mail address, a phone number, or the id of a conversation or session; see src/subject.rs.
    subject blob not null,
    purpose text not null,
    policy_version text not null,
    granted boolean not null,
    source text not null,
    at text not null
);

create index mlops_consents_subject on mlops_consents (subject, purpose, seq);

-- Ids of events that are counted while their rows are not kept, so that one that is sent again counts once all the same.
create table mlops_counted_events (
    event_id blob primary key,
    at text not null
) without rowid;

create index mlops_counted_events_at on mlops_counted_events (at);
