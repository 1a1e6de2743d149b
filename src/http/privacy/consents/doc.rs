//! What the API document says of `/privacy/consents`.

use serde_json::{Value, json};

use super::{ConsentPage, ConsentSearchResponse, DEFAULT_LIMIT, MAX_LIMIT, NotedConsentResponse, SINCE};
use crate::http::error::ApiError;
use crate::http::openapi::{Doc, Group, Reply};
use crate::http::paging::number_shape;
use crate::http::privacy::doc::of_body;
use crate::http::privacy::subject_selector::{business_shape, named_person};
use crate::privacy::consent::{CHAT_STORAGE, MAX_NAME_CHARS, MAX_SOURCE_CHARS};
use crate::shape::Shape;

/// `POST /privacy/consents`.
pub(in crate::http) fn note() -> Doc {
    let source = Shape::matching(&format!("^[A-Za-z][A-Za-z .]{{0,{}}}$", MAX_SOURCE_CHARS - 1))
        .such_as("chat widget");
    let body = Shape::object()
        .required("subject", named_person().about("The customer, of whom only a hash is stored"))
        .optional("business_id", business_shape())
        .required("purpose", purpose())
        .required("policy_version", policy_version())
        .required("granted", Shape::flag().about("`false` withdraws"))
        .required("source", source.about("Where the customer said so. It must identify nobody: no `@`, and no number like a phone number's"));
    let statement = json!({
        "subject": "ana@example.com",
        "purpose": CHAT_STORAGE,
        "policy_version": "2026-01",
        "granted": true,
        "source": "chat widget",
    });
    let mut noted = consent();
    noted["named_by"] = "email".into();
    noted["state"] = "granted".into();
    let doc = Doc::new(Group::Privacy, "noteConsent", "Record a consent or its withdrawal")
        .about("Records are never changed: the latest one is in force. Once a withdrawal is answered, no event is stored on the basis of the earlier consent.")
        .body("Consent", body, statement)
        .replies(Reply::json::<NotedConsentResponse>(201, "The record, with the customer's current state", noted));
    of_body(doc)
}

/// `GET /privacy/consents`.
pub(in crate::http) fn list() -> Doc {
    let before = Shape::whole(i64::MIN..=i64::MAX).about("The `next` of the page before");
    Doc::new(Group::Privacy, "listConsents", "List consents of all customers")
        .about("The latest first.")
        .query("id", Shape::in_format("uuid").about("The id of a consent"))
        .query("subject", Shape::matching("^([0-9a-f]{2}){32}$").about("The hash of a customer"))
        .query("business_id", business_shape())
        .query("purpose", purpose())
        .query("policy_version", policy_version())
        .query("granted", Shape::flag().about("Whether it was granted rather than withdrawn"))
        .query(
            "since",
            Shape::in_format("date-time").about("Only those that were recorded from this time on"),
        )
        .query("before", before)
        .query("limit", limit())
        .replies(
            Reply::json::<ConsentPage>(
                200,
                "A page of the list",
                json!({"consents": [consent()], "next": null}),
            )
            .then("listConsents", "before", "$response.body#/next"),
        )
        .fails(ApiError::InvalidValue("since", SINCE), "a parameter is invalid; the text names it")
        .fails(ApiError::BusinessDenied, "the key is bound to another business")
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}

/// `POST /privacy/consents/search`.
pub(in crate::http) fn search() -> Doc {
    let before = Shape::whole(i64::MIN..=i64::MAX).or_null();
    let body = Shape::object()
        .required("subject", named_person().about("The customer"))
        .optional("business_id", business_shape())
        .optional("purpose", purpose().or_null())
        .optional("before", before.about("The `next` of the page before"))
        .optional("limit", limit().or_null());
    let in_force = json!({
        "purpose": CHAT_STORAGE,
        "business_id": null,
        "state": "granted",
        "policy_version": "2026-01",
        "since": "2026-11-25T11:33:30.625757+00:00",
    });
    let found =
        json!({"subject": "5f".repeat(32), "in_force": [in_force], "consents": [consent()], "next": null});
    let doc = Doc::new(Group::Privacy, "searchConsents", "Read the consents of a customer")
        .body("ConsentSearch", body, json!({"subject": "ana@example.com"}))
        .replies(Reply::json::<ConsentSearchResponse>(
            200,
            "The consents in force, and all that were recorded, the latest first",
            found,
        ));
    of_body(doc)
}

fn purpose() -> Shape {
    Shape::matching(&format!("^[a-z0-9_]{{1,{MAX_NAME_CHARS}}}$"))
        .about("What the consent is for, such as `chat_storage`")
}

fn policy_version() -> Shape {
    Shape::matching(&format!("^[A-Za-z0-9._-]{{1,{MAX_NAME_CHARS}}}$"))
        .about("The version of the policy that the customer saw")
}

fn limit() -> Shape {
    number_shape(DEFAULT_LIMIT, 1..=MAX_LIMIT).about("How many entries to return at most")
}

fn consent() -> Value {
    json!({
        "id": "019abb1c-7f42-7d10-9d0e-3b6a3f3c2c52",
        "subject": "5f".repeat(32),
        "business_id": null,
        "purpose": CHAT_STORAGE,
        "policy_version": "2026-01",
        "granted": true,
        "source": "chat widget",
        "at": "2026-11-25T11:33:30.625757+00:00",
    })
}
