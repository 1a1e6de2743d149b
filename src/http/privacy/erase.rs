//! `POST /privacy/erase`: erases the data of a person (Art. 17 GDPR).

use axum::Json;
use serde::{Deserialize, Serialize};

use super::subject_selector::{Purpose, SubjectSelector};
use super::{desk, in_time, truth};
use crate::app::App;
use crate::audit::Actor;
use crate::clock::timestamp;
use crate::http::error::ApiError;
use crate::http::extract::{BusinessLimit, JsonBody, Query, Subjects};
use crate::privacy::{Receipt, Remarks};
use crate::store::{Counts, Erased, Mode};

/// The query string. Unknown parameters are rejected: one may be a mistyped `dry_run`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EraseQuery {
    dry_run: Option<String>,
}

/// The body of the response.
#[derive(Debug, Serialize)]
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
    anonymised: Option<Counts>,
    #[serde(flatten)]
    remarks: Remarks,
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
