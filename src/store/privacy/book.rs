//! What was read of the app's appointments, when an erasure takes these or unlinks them from their conversation. Rows of the person's
//! conversations are deleted like the facts; those of other conversations stay, because the bookings in them count on.

use super::dynamic_sql::Rows;
use super::find::json_list;
use super::schema::{Schema, Table};
use super::traces::{Condition, SubjectTraces};

/// Has what was read of appointments count on: of those that are erased although their conversation is somebody else's, without their
/// id, whose number is returned, and of those that are left and lose their conversation.
pub(super) async fn let_stay<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    traces: &SubjectTraces,
) -> Result<u64, sqlx::Error> {
    unlink_others(conn, schema, traces).await?;
    if schema.columns(Table::Book).is_empty() {
        return Ok(0);
    }
    if !traces.app_conversations.is_empty() {
        let settle = format!(
            "update mlops_book set settled = true where not settled and conversation_id {}",
            C::any_text(1)
        );
        conn.run(settle, &[json_list(&traces.app_conversations)]).await?;
    }
    if traces.appointments.is_empty() {
        return Ok(0);
    }
    let Condition { sql: of_theirs, mut binds } = traces.conversation_links::<C>().unwrap_or_default();
    let of_others = if of_theirs.is_empty() { "true".to_owned() } else { format!("not ({of_theirs})") };
    binds.push(json_list(&traces.appointments));
    let settle = format!(
        "update mlops_book set settled = true, appointment_id = {} where {of_others} and appointment_id {}",
        C::RANDOM_TEXT,
        C::any_text(binds.len())
    );
    conn.run(settle, &binds).await
}

/// Unlinks the appointments of others from conversations that are deleted, as the app's foreign key does where there is one: the next
/// reading of the book would take them for new bookings.
async fn unlink_others<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    traces: &SubjectTraces,
) -> Result<(), sqlx::Error> {
    let link = schema.columns(Table::Appointments).iter().find(|column| column.name == "conversation_id");
    let can_be_null = link.is_some_and(|column| !column.must_be_set && !column.generated);
    if traces.app_conversations.is_empty() || !can_be_null || !schema.has(Table::Appointments, "id") {
        return Ok(());
    }
    let unlink = format!(
        "update appointments set conversation_id = null
         where cast(conversation_id as text) {} and not cast(id as text) {}",
        C::any_text(1),
        C::any_text(2)
    );
    conn.run(unlink, &[json_list(&traces.app_conversations), json_list(&traces.appointments)]).await.map(drop)
}
