-- The lab's table as the service makes it where there is none: without the lab's four indexes.
drop index idx_ai_metrics_business_id, idx_ai_metrics_created_at, idx_ai_metrics_conversation_id, idx_ai_metrics_intent;
