-- When two months were added to the time for a request, and why (Art. 12 (3) GDPR): complexity, or number of requests.
alter table mlops_privacy_requests add column extended_at text;
alter table mlops_privacy_requests add column extension_reason text;
