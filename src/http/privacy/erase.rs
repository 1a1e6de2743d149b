//! `POST /privacy/erase`: erases the data of a person (Art. 17 GDPR).

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::doc::of_search;
use super::export::with_search;
use super::subject_selector::{Purpose, SubjectSelector, person_and};
use super::{desk, in_time, truth};
use crate::app::App;
use crate::audit::Actor;
use crate::clock::timestamp;
use crate::http::error::ApiError;
use crate::http::extract::{BusinessLimit, JsonBody, Query, Subjects};
use crate::http::openapi::{Doc, Group, Reply};
use crate::privacy::{Receipt, Remarks};
use crate::shape::Shape;
use crate::store::{Counts, Erased, Mode};

/// The query string. Unknown parameters are rejected: one may be a mistyped `dry_run`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EraseQuery {
    dry_run: Option<String>,
}

/// The body of the response.
#[derive(Debug, Serialize, ToSchema)]
pub struct EraseResponse {
    status: &'static str,
    message: &'static str,
    dry_run: bool,
    mode: &'static str,
    receipt_id: String,
    /// The number of rows by table: those deleted, or in a dry run all rows of the person.
    counts: Counts,
    /// The number of rows that were anonymised, by table.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    anonymised: Option<Counts>,
    #[serde(flatten)]
    remarks: Remarks,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// `POST /privacy/erase`: erases the data of a person, or with `?dry_run=true` only counts the rows.
pub async fn erase(
    app: App,
    by: Actor,
    Subjects(hasher): Subjects,
    limit: BusinessLimit,
    Query(query): Query<EraseQuery>,
    JsonBody(subject): JsonBody<SubjectSelector>,
) -> Result<Json<EraseResponse>, ApiError> {
    let inquiry = subject.inquiry(Purpose::Erase, hasher.reader, &limit)?;
    let (mode, in_query) = (subject.mode()?, query.dry_run.as_deref());
    let dry_run = truth("dry_run", in_query)? | subject.dry_run()?;
    let desk = desk(&app, hasher, by);
    let answer = match dry_run {
        true => EraseResponse::counted(in_time(desk.count(&inquiry, mode)).await?, mode),
        false => EraseResponse::erased(in_time(desk.erase(&inquiry, mode)).await?, mode),
    };
    Ok(Json(EraseResponse { timestamp: timestamp(desk.now), ..answer }))
}

impl EraseResponse {
    fn counted(Receipt { id, done, remarks }: Receipt<Counts>, mode: Mode) -> Self {
        Self {
            status: "success",
            message: "Dry run: nothing was changed",
            dry_run: true,
            mode: mode.name(),
            receipt_id: id,
            counts: done,
            anonymised: None,
            remarks,
            timestamp: String::new(),
        }
    }

    fn erased(Receipt { id, done, remarks }: Receipt<Erased>, mode: Mode) -> Self {
        Self {
            message: "The person's data was erased",
            dry_run: false,
            counts: done.deleted,
            anonymised: Some(done.anonymised).filter(|_| mode == Mode::Anonymise),
            ..Self::counted(Receipt { id, done: Counts::default(), remarks }, mode)
        }
    }
}

/// What the API document says of [`erase`].
pub(in crate::http) fn doc() -> Doc {
    let example = json!({
        "status": "success",
        "message": "The person's data was erased",
        "dry_run": false,
        "mode": "delete",
        "receipt_id": "6f1c0a4e-5a4e-4c7b-9d0e-3b6a3f3c2c52",
        "counts": {"ai_metrics": 9, "appointments": 1, "conversations": 1, "messages": 12, "mlops_conversations": 1, "spool": 0},
        "businesses": ["acme"],
        "not_searched": ["invoices"],
        "timestamp": "2026-11-25T11:33:30.625757+00:00",
    });
    let dry_run =
        || Shape::flag().by_default(false).about("Whether rows are only counted, and nothing is changed");
    let modes =
        Shape::one_of([Mode::Delete, Mode::Anonymise].map(Mode::name)).by_default(Mode::Delete.name());
    let fields = |body| {
        let modes = modes
            .clone()
            .about("Whether rows are deleted, or appointments and events kept without the person");
        with_search(body).optional("mode", modes).optional("dry_run", dry_run())
    };
    let doc = Doc::new(Group::Privacy, "erasePerson", "Erase the data of a person")
        .about("Article 17 GDPR. Preview it with a dry run. What was erased does not come back: later events of the conversation are only counted.")
        .query("dry_run", dry_run())
        .body("PersonToErase", person_and(fields), json!({"email": "ana@example.com", "dry_run": true}))
        .replies(Reply::json::<EraseResponse>(200, "The data is erased; in a dry run, what would be", example))
        .fails(
            ApiError::Conflict("Rows in another table still refer to this person's rows, … Nothing was changed".to_owned()),
            "a constraint in this installation's database forbids it; nothing was changed",
        );
    of_search(doc)
}
