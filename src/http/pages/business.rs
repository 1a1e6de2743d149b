//! The page of a business.

use askama::Template;
use axum::response::Response;

use super::page as respond;
use crate::http::extract::BusinessId;

#[derive(Template)]
#[template(path = "business.html")]
struct BusinessPage {
    business_id: String,
}

/// `GET /businesses/{business_id}`: returns the page of a business.
pub async fn page(business_id: BusinessId) -> Response {
    respond(&BusinessPage { business_id: business_id.into_string() })
}
