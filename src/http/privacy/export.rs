//! `POST /privacy/export`: everything that is stored about a person (Art. 15, 20 GDPR).

use std::time::Duration;

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::doc::of_search;
use super::subject_selector::{Purpose, SubjectSelector, business_shape, person_and};
use super::{desk, in_time};
use crate::app::App;
use crate::audit::Actor;
use crate::http::error::ApiError;
use crate::http::extract::{BusinessLimit, JsonBody, Query, Subjects};
use crate::http::openapi::{Doc, Group, Reply};
use crate::privacy::export::archive;
use crate::privacy::export::document::{Document, Serialized};
use crate::privacy::information::Information;
use crate::shape::Shape;

/// How long a request waits for other exports to finish.
const PATIENCE: Duration = Duration::from_secs(1);

/// The query string.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    format: Option<String>,
}

/// The format of the response.
#[derive(Debug, Clone, Copy)]
enum Format {
    Json,
    Zip,
}

/// `POST /privacy/export`: returns the data of a person, as JSON or, with `?format=zip`, as JSON and CSV
/// files.
pub async fn export(
    app: App,
    by: Actor,
    Subjects(hasher): Subjects,
    limit: BusinessLimit,
    Query(query): Query<ExportQuery>,
    JsonBody(subject): JsonBody<SubjectSelector>,
) -> Result<Response, ApiError> {
    let inquiry = subject.inquiry(Purpose::Export, hasher.reader, &limit)?;
    let format = Format::read(query.format.as_deref())?;
    // Each export may use a hundred megabytes while it is written.
    let permit = tokio::time::timeout(PATIENCE, app.exports.acquire()).await;
    let _permit = permit.ok().and_then(Result::ok).ok_or(ApiError::Overloaded)?;
    let desk = desk(&app, hasher, by);
    let document = in_time(desk.export(&inquiry, Information::of(&app.config))).await?;
    let name = format!("attachment; filename=\"privacy-export-{}.{}\"", document.receipt, format.ending());
    let written = spawn_blocking(move || format.write(&document)).await;
    let bytes = written.map_err(|_| ApiError::Internal)?.map_err(|error| {
        tracing::error!("{error}");
        ApiError::Internal
    })?;
    Ok(([(CONTENT_TYPE, format.media_type().to_owned()), (CONTENT_DISPOSITION, name)], bytes).into_response())
}

impl Format {
    fn read(text: Option<&str>) -> Result<Self, ApiError> {
        match text {
            None | Some("json") => Ok(Self::Json),
            Some("zip") => Ok(Self::Zip),
            Some(_) => Err(ApiError::InvalidField("format", "must be json or zip".to_owned())),
        }
    }

    fn write(self, document: &Document) -> Result<Vec<u8>, String> {
        match self {
            Self::Json => Ok(document.to_json()),
            Self::Zip => archive::write(document),
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Zip => "application/zip",
        }
    }

    const fn ending(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Zip => "zip",
        }
    }
}

/// Adds the fields of a body that looks for a person.
pub(super) fn with_search(body: Shape) -> Shape {
    body.optional("business_id", business_shape())
        .optional(
            "confirm",
            Shape::string().about("The `confirm` of a 409, to mean all the people that it lists"),
        )
        .optional(
            "nothing_held",
            Shape::flag()
                .by_default(false)
                .about("Whether a recorded request is completed although nothing is stored"),
        )
}

/// What the API document says of [`export`].
pub(in crate::http) fn doc() -> Doc {
    let right = |right: &str, article: &str| json!({"right": right, "what": "…", "article": article});
    let example = json!({
        "generated_at": "2026-11-25T11:33:30.625757+00:00",
        "receipt_id": "6f1c0a4e-5a4e-4c7b-9d0e-3b6a3f3c2c52",
        "found_by": "email",
        "about": "A copy of the data stored about one person (Articles 15 and 20 GDPR), by table",
        "controller": {"name": "Example Dental Ltd", "address": "1 Main Street, Springfield", "contact": "privacy@example.com"},
        "recipients": "…",
        "rights": [right("Access", "Article 15")],
        "complaint": right("Complaint", "Article 77"),
        "automated_decisions": "…",
        "categories": [{
            "category": "conversations",
            "table": "conversations",
            "what": "…",
            "why": "…",
            "lawful_basis": "GDPR Article 6(1)(b)",
            "source": "…",
            "kept_until": "365 days",
            "count": 1,
            "rows": [{"id": "c-1", "customer_email": "ana@example.com"}],
        }],
        "businesses": ["acme"],
        "mentioned": [],
        "undecided": [],
        "not_searched": [],
    });
    let found = Reply::json::<Serialized<'_>>(200, "The data, as a download", example)
        .of(("application/zip", Shape::string(), None))
        .with("Content-Disposition", "The name of the file");
    let doc = Doc::new(Group::Privacy, "exportPerson", "Export everything that is stored about a person")
        .about("Articles 15 and 20 GDPR. As JSON, or as a ZIP file with the same document, a text for the person, and CSV files.")
        .query("format", Shape::one_of(["json", "zip"]).by_default("json").about("The format of the response"))
        .body("PersonToExport", person_and(with_search), json!({"email": "ana@example.com"}))
        .replies(found);
    of_search(doc)
}
