-- The key that made this one, which is revoked with it. Null: the command line or MLOPS_API_KEY.
alter table mlops_api_keys add column parent text;
