//! `POST /privacy/export`: everything that is stored about a person (Art. 15, 20 GDPR).

use std::time::Duration;

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::subject_selector::{Purpose, SubjectSelector};
use super::{desk, in_time};
use crate::app::App;
use crate::audit::Actor;
use crate::http::error::ApiError;
use crate::http::extract::{BusinessLimit, JsonBody, Query, Subjects};
use crate::privacy::export::archive;
use crate::privacy::export::document::Document;
use crate::privacy::information::Information;

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
