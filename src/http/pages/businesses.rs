//! The page that lists businesses.

use askama::Template;
use axum::response::Response;

use super::{page as respond, path_of_business};
use crate::app::App;
use crate::http::extract::BusinessLimit;

#[derive(Template)]
#[template(path = "businesses.html")]
struct BusinessesPage {
    /// Ids of businesses, and the paths of their pages.
    businesses: Vec<(String, String)>,
}

/// `GET /businesses`: returns the businesses that the caller may see.
pub async fn page(app: App, limit: BusinessLimit) -> Response {
    let profiles = app.store.profiles().current();
    let ids: Vec<String> = match limit.own() {
        Some(own) => vec![own.to_owned()],
        None => profiles.iter().map(|(id, _)| id.to_owned()).collect(),
    };
    let businesses = ids.into_iter().map(|id| (path_of_business(&id), id)).map(|(path, id)| (id, path));
    respond(&BusinessesPage { businesses: businesses.collect() })
}
