//! What the API document says of `/session`.

use super::HTTPS_NEEDED;
use crate::auth::key::Scope;
use crate::http::error::ApiError;
use crate::http::openapi::{Doc, Group, Reply};
use crate::shape::Shape;

/// `POST /session`.
pub(in crate::http) fn begin() -> Doc {
    let form = Shape::open().required("key", Shape::string().about("An API key with the scope `analytics`"));
    from_own_page(Doc::new(Group::Pages, "signIn", "Sign in with a key"))
        .about("For the form of `/`. The session ends by itself, and when the key is revoked.")
        .takes("application/x-www-form-urlencoded", form, None)
        .replies(
            Reply::new(303, "The browser is signed in; where no key is configured, it need not be")
                .with("Location", "The page that the key opens")
                .perhaps_with("Set-Cookie", "The cookie of the session"),
        )
        .fails(ApiError::KeyMissing, "the field is empty")
        .fails(ApiError::KeyInvalid, "the key is not valid")
        .fails(ApiError::ScopeLacking(Scope::Analytics), "the key lacks the scope")
        .fails(HTTPS_NEEDED, "the connection is neither HTTPS nor local")
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}

/// `POST /session/end`.
pub(in crate::http) fn end() -> Doc {
    from_own_page(Doc::new(Group::Pages, "signOut", "Sign out"))
        .replies(
            Reply::new(303, "The browser is signed out")
                .with("Location", "`/`")
                .with("Set-Cookie", "Takes the cookie away"),
        )
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}

fn from_own_page(doc: Doc) -> Doc {
    doc.header("Origin", Shape::string().about("The origin of the service itself, as browsers send it"))
        .fails(
            ApiError::Forbidden("This form was not sent by a page of this service"),
            "`Origin` is missing, or not that of the service",
        )
}
