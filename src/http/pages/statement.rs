//! The monthly statement of a business.

use askama::Template;
use axum::response::Response;

use super::page as respond;
use crate::http::extract::BusinessId;

#[derive(Template)]
#[template(path = "statement.html")]
struct StatementPage {
    business_id: String,
}

/// `GET /statement/{business_id}`: returns the statement of a business.
pub async fn page(business_id: BusinessId) -> Response {
    respond(&StatementPage { business_id: business_id.into_string() })
}
