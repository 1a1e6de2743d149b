-- An entry must follow the last one, and one that tells of a purge must tell the truth: the trail can be purged of what is
-- older than thirty days.
create trigger mlops_audit_follow before insert on mlops_audit
when exists (select 1 from mlops_audit where seq = new.seq)
  or not (exists (select 1 from mlops_audit where seq = new.seq - 1 and hash = new.previous)
          or new.seq = 1 and not exists (select 1 from mlops_audit))
begin
    select raise(abort, 'an entry of the audit trail must follow the last one: INSERT is refused');
end;

create trigger mlops_audit_purged before insert on mlops_audit
when new.action = 'audit.purged'
 and (not exists (select 1 from mlops_audit where seq = json_extract(new.details, '$.last_seq')
                                              and lower(hex(hash)) = json_extract(new.details, '$.last_hash'))
      or exists (select 1 from mlops_audit where seq <= json_extract(new.details, '$.last_seq')
                                             and julianday(at) > julianday(new.at) - 30))
begin
    select raise(abort, 'entries of the last 30 days are kept: INSERT of audit.purged is refused');
end;
