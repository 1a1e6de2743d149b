//! What the API document says of `/privacy/requests`.

use serde_json::{Value, json};
use strum::VariantArray;

use super::{DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET, PrivacyRequestList, PrivacyRequestResponse, SOURCES};
use crate::http::error::ApiError;
use crate::http::openapi::{Doc, Group, Reply};
use crate::http::paging::number_shape;
use crate::http::privacy::doc::of_body;
use crate::http::privacy::subject_selector::{business_shape, person_and};
use crate::privacy::RequestKind;
use crate::privacy::extension::{ExtensionError, ExtensionReason};
use crate::shape::Shape;

/// `GET /privacy/requests`.
pub(in crate::http) fn list() -> Doc {
    let example = json!({"open": 1, "overdue": 0, "requests": [request()], "next": null});
    let offset = number_shape(0, 0..=MAX_OFFSET)
        .about("How many requests to leave out: the `next` of the page before");
    let must_be = "must be a whole number from 1 to 500".to_owned();
    Doc::new(Group::Privacy, "listPrivacyRequests", "List customers' requests")
        .about("Overdue requests first, then by due date, then completed ones.")
        .query(
            "limit",
            number_shape(DEFAULT_LIMIT, 1..=MAX_LIMIT).about("How many entries to return at most"),
        )
        .query("offset", offset)
        .replies(Reply::json::<PrivacyRequestList>(200, "A page of the list", example).then(
            "listPrivacyRequests",
            "offset",
            "$response.body#/next",
        ))
        .fails(ApiError::InvalidField("limit", must_be), "a parameter is invalid; the text names it")
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}

/// `POST /privacy/requests`.
pub(in crate::http) fn note() -> Doc {
    let fields = |body: Shape| {
        let kinds = Shape::one_of([RequestKind::Export, RequestKind::Erase].map(RequestKind::name));
        let at = Shape::any_of([Shape::in_format("date"), Shape::in_format("date-time")]);
        body.required("kind", kinds.about("What the customer asks for"))
            .optional("business_id", business_shape())
            .optional("source", Shape::one_of(SOURCES).by_default(SOURCES[0]).about("How the request was received"))
            .optional("received_at", at.about("When it was received, a date in `TIME_ZONE` or a time, not in the future; by default now"))
    };
    let letter =
        json!({"kind": "erase", "email": "ana@example.com", "source": "letter", "received_at": "2026-11-20"});
    let noted = Reply::json::<PrivacyRequestResponse>(201, "The request", request()).then(
        "extendPrivacyRequest",
        "id",
        "$response.body#/id",
    );
    let doc = Doc::new(Group::Privacy, "notePrivacyRequest", "Record a customer's request")
        .about("Such as one that comes by letter, before it is handled. Only a hash of the person is stored. Exports and erasures complete it.")
        .body("PrivacyRequest", person_and(fields), letter)
        .replies(noted);
    of_body(doc)
}

/// `POST /privacy/requests/{id}/extension`.
pub(in crate::http) fn extend() -> Doc {
    let reasons = ExtensionReason::VARIANTS.iter().map(|reason| reason.name());
    let body = Shape::object().required("reason", Shape::one_of(reasons).about("Why it takes longer"));
    let mut extended = request();
    extended["due_at"] = "2027-02-20T23:59:59.999999+00:00".into();
    extended["due_on"] = "2027-02-20".into();
    extended["extended"] = json!({"at": "2026-12-01T09:00:00.000000+00:00", "reason": "complexity"});
    let must_be = "must be complexity or number of requests".to_owned();
    Doc::new(Group::Privacy, "extendPrivacyRequest", "Add two months to the time for a request")
        .about("Article 12 (3) GDPR: once, and only until its due date is over. Telling the person, with the reason, is up to you.")
        .path("id", Shape::string().about("The id of the request, a UUID").such_as("0b7e4b1c-7a1e-4c43-9d0e-5b1f0c9a7d52"))
        .body("Extension", body, json!({"reason": "complexity"}))
        .replies(Reply::json::<PrivacyRequestResponse>(200, "The request, as it is due now", extended))
        .fails(ApiError::InvalidField("reason", must_be), "the reason is another one")
        .fails(ApiError::InvalidBody("unknown field: why".to_owned()), "a field is unknown, or the body is no object")
        .fails(crate::event::Refusal::NotJson { line: 1, column: 8 }, "the body is not JSON")
        .fails(ExtensionError::Unknown, "there is no such request")
        .fails(ExtensionError::Extended, "the request is completed, was extended before, or its due date is over")
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}

fn request() -> Value {
    json!({
        "id": "0b7e4b1c-7a1e-4c43-9d0e-5b1f0c9a7d52",
        "kind": "erase",
        "selector": "email",
        "subject": "5f0c9a7d",
        "business_id": null,
        "source": "letter",
        "received_at": "2026-11-20T00:00:00.000000+00:00",
        "due_at": "2026-12-20T23:59:59.999999+00:00",
        "due_on": "2026-12-20",
        "overdue": false,
        "done_at": null,
        "receipt_id": null,
        "counts": null,
        "outcome": null,
        "extended": null,
    })
}
