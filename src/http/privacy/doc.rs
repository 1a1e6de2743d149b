//! What the API document says of all calls about a person.

use axum::http::StatusCode;
use serde_json::{Map, json};
use utoipa::ToSchema;

use crate::http::error::ApiError;
use crate::http::openapi::Doc;
use crate::store::ListedRows;

/// The body of the error when nothing is stored about a person.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `ApiError::Detailed` writes")]
struct NothingStored {
    /// `Not Found`
    error: String,
    /// What is wrong and what to do.
    message: String,
    /// How many contacts differ by one letter or digit, or by the country.
    near_misses: Option<usize>,
    /// Rows of others that mention the person.
    #[schema(nullable = false)]
    mentioned: Option<Vec<ListedRows>>,
}

/// The body of the error when several people stand behind what names the person.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `ApiError::Detailed` writes")]
struct SeveralPeople {
    /// `Several people`
    error: String,
    /// What is wrong and what to do.
    message: String,
    /// At most 50 of them.
    contacts: Vec<Contact>,
    /// How many there are beside these.
    further_contacts: Option<usize>,
    /// What the same request sends to mean all of them.
    confirm: String,
}

/// One of several people.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `ApiError::Detailed` writes")]
struct Contact {
    /// The hash of the person.
    subject: String,
    /// How many rows there are.
    rows: u64,
}

/// Adds the errors of calls that look for a person.
pub(super) fn of_search(doc: Doc) -> Doc {
    let several = Map::from_iter([
        (
            "contacts".to_owned(),
            json!([{"subject": "5f".repeat(32), "rows": 7}, {"subject": "a0".repeat(32), "rows": 4}]),
        ),
        ("confirm".to_owned(), json!("9c".repeat(16))),
    ]);
    let detailed = |status, error, message: &str, details| {
        ApiError::Detailed(status, error, message.to_owned(), details)
    };
    let nothing =
        detailed(StatusCode::NOT_FOUND, "Not Found", "No data is stored about this person", Map::new());
    let several = detailed(
        StatusCode::CONFLICT,
        "Several people",
        "Several people stand behind this identifier. …",
        several,
    );
    of_body(doc)
        .fails_as::<NothingStored>(nothing, "nothing is stored about this person")
        .fails_as::<SeveralPeople>(several, "several people stand behind what names the person, and the request does not confirm that it means all")
        .fails(ApiError::TooLarge("This person has more than 100000 rows, …"), "there is more than one request can handle; name conversations one by one")
        .fails(ApiError::NotReady("Another program holds a lock on this person's rows. …"), "the database or the spool is busy; `message` says what was done")
}

/// Adds the errors of calls whose body is about a person.
pub(super) fn of_body(doc: Doc) -> Doc {
    let one =
        "the body must name one person with exactly one of email, phone, conversation_id and session_id";
    doc.fails(ApiError::InvalidBody(one.to_owned()), "none or several fields name a person, or a field is missing, unknown, there twice or of the wrong type")
        .fails(ApiError::InvalidField("email", "must be one e-mail address of at most 254 characters".to_owned()), "a field or a parameter is invalid; the text names it")
        .fails(crate::event::Refusal::NotJson { line: 1, column: 8 }, "the body is not JSON")
        .fails(ApiError::BusinessDenied, "the key is bound to another business")
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
        .fails(NO_HASH_KEY, "`PRIVACY_HASH_KEY` is not set, in production")
}

const NO_HASH_KEY: ApiError =
    ApiError::NotSetUp("PRIVACY_HASH_KEY is not set; set it to use this route in production");
