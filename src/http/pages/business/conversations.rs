//! The newest conversations of the page of a business.

use url::form_urlencoded::{Serializer, parse};

use crate::app::App;
use crate::http::analytics::conversations::{ConversationsQuery, find};
use crate::http::error::ApiError;
use crate::locale::Locale;
use crate::pages::{ConversationList, Selection};

/// The number of conversations of a page.
const PAGE: u32 = 10;

/// Reads the conversations that a reader selected; `None` if there is none to select from. `period` is the query string of the page.
pub(super) async fn list(
    app: &App,
    locale: &Locale,
    business_id: &str,
    period: &str,
    query: &ConversationsQuery,
) -> Result<Option<ConversationList>, ApiError> {
    // A form sends empty values for what does not matter.
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let [outcome, handoff, error, after] =
        [&query.outcome, &query.handoff, &query.error, &query.after].map(set);
    let query = ConversationsQuery { outcome, handoff, error, after, limit: Some(PAGE.to_string()) };
    let (found, next) = find(app, business_id, &query).await?;
    let selection = Selection {
        outcome: query.outcome.as_deref(),
        handoff: query.handoff.as_deref(),
        error: query.error.as_deref(),
    };
    if found.is_empty() && selection == Selection::default() && query.after.is_none() {
        return Ok(None);
    }
    let selected =
        [("outcome", selection.outcome), ("handoff", selection.handoff), ("error", selection.error)];
    let selected = selected.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let next = next.map(|after| {
        let mut older = Serializer::new(period.to_owned());
        format!("?{}#conversations", older.extend_pairs(selected).append_pair("after", &after).finish())
    });
    let hidden = parse(period.as_bytes()).into_owned().collect();
    let zone = app.store.profiles().current().zone(business_id);
    let shares_book = app.store.shares_book();
    Ok(Some(ConversationList::new(locale, zone, &found, shares_book, selection, hidden, next)))
}
