-- Retention: how far it is. One row, which the first start that looks for it makes.
create table mlops_retention (
    id integer primary key check (id = 1),
    waiting_since timestamptz not null, -- when it was first looked for: what was missed before is no run of ours
    begun_at timestamptz, -- when the run began that is under way, or was cut off
    done_at timestamptz -- when the last run began that came to its end
);

-- Rows that the run under way has deleted, written together with each deletion, so that a run that is cut off is told too.
create table mlops_retention_deleted (
    table_name text primary key,
    deleted bigint not null
);
