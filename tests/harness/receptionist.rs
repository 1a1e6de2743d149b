//! The tables of the receptionist app, and people in them.

use super::Backend;

/// Creates the app's tables, on both databases: SQLite accepts any type name.
const TABLES: &str = "
    create table businesses (id text primary key, name text not null);
    create table business_settings (
        id text primary key, business_id text not null references businesses (id) on delete cascade,
        business_hours jsonb, welcome_message text);
    create table conversations (
        id text primary key, business_id text not null references businesses (id) on delete cascade,
        customer_name text, customer_email text, customer_phone text, status text default 'active',
        created_at timestamptz default current_timestamp, updated_at timestamptz default current_timestamp);
    create table messages (
        id text primary key, conversation_id text not null references conversations (id) on delete cascade,
        sender text not null, content text not null, message_type text default 'text', metadata jsonb,
        created_at timestamptz default current_timestamp);
    create table chat_messages (
        id text primary key, conversation_id text, session_id text, message text not null,
        created_at timestamptz default current_timestamp);
    create table appointments (
        id text primary key, business_id text not null references businesses (id) on delete cascade,
        conversation_id text references conversations (id) on delete set null,
        customer_name varchar(60) not null, customer_email text, customer_phone varchar(30), appointment_date date,
        appointment_time time, status text default 'booked', notes text, calendar_link text,
        created_at timestamptz default current_timestamp);
    insert into businesses values ('acme', 'Acme');";

/// A customer of the app. Every text about them contains `word`.
#[derive(Debug, Clone)]
pub(crate) struct Customer<'a> {
    /// A word that occurs in every text about them.
    pub(crate) word: &'a str,
    /// The e-mail address, as the app stores it.
    pub(crate) email: &'a str,
    /// The phone number, as the app stores it.
    pub(crate) phone: &'a str,
}

impl Customer<'_> {
    /// Returns the id of their conversation.
    pub(crate) fn conversation(&self) -> String {
        format!("conversation-{}", self.word)
    }

    /// Returns the id of their session.
    pub(crate) fn session(&self) -> String {
        format!("session-{}", self.word)
    }

    /// Inserts rows with personal data in every column of the app's tables that can contain it: a conversation, two
    /// messages, two chat messages, and two appointments, one of them without a conversation; and what the service keeps
    /// about the conversation.
    pub(crate) async fn plant(&self, backend: &Backend) {
        let Self { word, email, phone } = self;
        let (conversation, session) = (self.conversation(), self.session());
        let rows = format!(
            "insert into conversations (id, business_id, customer_name, customer_email, customer_phone, status)
                values ('{conversation}', 'acme', 'Name of {word}', '{email}', '{phone}', 'status of {word}');
             insert into messages (id, conversation_id, sender, content, metadata) values
                ('m-1-{word}', '{conversation}', 'sender {word}', '=said by {word}', '{{\"mail\": \"{email}\"}}'),
                ('m-2-{word}', '{conversation}', 'assistant', 'Dear {word}, call {phone}', null);
             insert into chat_messages (id, conversation_id, session_id, message) values
                ('c-1-{word}', '{conversation}', null, 'chat of {word}'),
                ('c-2-{word}', null, '{session}', 'session chat of {word}');
             insert into appointments (id, business_id, conversation_id, customer_name, customer_email, customer_phone,
                appointment_date, appointment_time, notes, calendar_link) values
                ('a-1-{word}', 'acme', '{conversation}', '{word}', null, null, '2026-03-01', '10:00', 'notes on {word}',
                    'https://calendar.example/{word}'),
                ('a-2-{word}', 'acme', null, '{word}', '{email}', '{phone}', '2026-04-01', '11:00', 'more on {word}', null)"
        );
        backend.execute(&rows).await;
        backend.plant_facts("acme", &conversation).await;
        backend.plant_booking(&format!("a-1-{word}"), "acme", &conversation).await;
    }
}

impl Backend {
    /// Inserts facts about a conversation, and an outcome of it that was posted.
    pub(crate) async fn plant_facts(&self, business: &str, conversation: &str) {
        let (at, id) = ("'2026-11-01T10:00:00+00:00'", self.new_uuid());
        let rows = format!(
            "insert into mlops_conversations (business_id, conversation_id, day, hour, first_at, last_at, first_response_ms,
                first_intent, answers, requested, claimed, handoff, error, tokens, cost_nanos, outcome, in_book, posted,
                value_micros)
             values ('{business}', '{conversation}', '2026-11-01', 10, {at}, {at}, 900, 'appointment', 1, true, true, false,
                false, 75, 2000000, 'kept', true, true, 120000000)
             on conflict (business_id, conversation_id) do nothing;
             insert into mlops_outcomes (business_id, outcome_id, conversation_id, outcome, value_micros, occurred_at)
             values ('{business}', {id}, '{conversation}', 'kept', 120000000, {at})"
        );
        self.execute(&rows).await;
    }

    /// Inserts what was read of an appointment.
    pub(crate) async fn plant_booking(&self, appointment: &str, business: &str, conversation: &str) {
        let row = format!(
            "insert into mlops_book (appointment_id, business_id, conversation_id, outcome, held_at)
             values ('{appointment}', '{business}', '{conversation}', 'kept', '2026-03-01T10:00:00')
             on conflict (appointment_id) do nothing"
        );
        self.execute(&row).await;
    }

    /// Returns the SQL for a new id.
    pub(crate) fn new_uuid(&self) -> &'static str {
        if self.is_postgres() { "gen_random_uuid()" } else { "randomblob(16)" }
    }

    /// Creates the app's tables.
    pub(crate) async fn with_app_tables(self) -> Self {
        // Creates the SQLite file.
        self.store(&[]).await.close().await;
        self.execute(TABLES).await;
        self
    }
}
