-- Removes what a turnover that was not completed has made.
drop trigger if exists mlops_copy_insert on ai_metrics;
drop trigger if exists mlops_copy_update on ai_metrics;
drop trigger if exists mlops_copy_delete on ai_metrics;
drop trigger if exists mlops_copy_truncate on ai_metrics;
drop function if exists mlops_copy_follow();
drop table if exists ai_metrics_by_month;
drop table if exists mlops_partition_copy;
truncate mlops_event_ids;
