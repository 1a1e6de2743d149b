//! The table as routers.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, on};

use super::{Access, QuotaOf, Row};
use crate::app::App;
use crate::http::error::ApiError;
use crate::http::middleware::compression;
use crate::http::middleware::flood;
use crate::http::middleware::gate::Gate;
use crate::http::middleware::guard::{self, Policy};
use crate::http::openapi::Doc;

/// Adds the handler of a row to a router.
type Mount = Box<dyn FnOnce(&App, Router<App>) -> Router<App>>;

/// The table: the rows, and what they lead to.
#[derive(Default)]
pub struct Routes {
    rows: Vec<Row>,
    mounts: Vec<Mount>,
}

impl Routes {
    /// Adds a row.
    #[must_use]
    pub fn row<H: Handler<T, App>, T: 'static>(
        mut self,
        method: Method,
        path: &'static str,
        access: Access,
        quota: QuotaOf,
        handler: H,
        doc: fn() -> Doc,
    ) -> Self {
        let row = Row { method, path, access, quota, doc };
        let filter = MethodFilter::try_from(row.method.clone()).expect("the table uses standard methods");
        self.rows.push(row.clone());
        self.mounts.push(Box::new(move |app, router| {
            let policy = Arc::new(Policy::new(app, &row));
            // `Handler::layer` would do the same, but the guard would be compiled for every handler: routes all have one type.
            let mut methods = on(filter, handler).route_layer(from_fn_with_state(policy, guard::check));
            if row.is_compressed() {
                methods = methods.layer(compression::layer());
            }
            router.route(path, methods)
        }));
        self
    }

    /// Returns the paths of routes for people.
    #[must_use]
    pub fn pages(&self) -> Arc<[&'static str]> {
        self.rows.iter().filter(|row| row.is_page()).map(|row| row.path).collect()
    }

    /// Returns the rows.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Returns the router of these routes, with the flood guard around all but those of Prometheus and probes, and around unknown paths.
    pub fn into_router(self, app: &App) -> Router {
        // Routes with the flood guard, and those without.
        let mut limited = Router::new().fallback(async || ApiError::NoSuchRoute);
        let mut exempt = Router::new();
        for (row, mount) in self.rows.iter().zip(self.mounts) {
            match row.quota {
                QuotaOf::Nobody => exempt = mount(app, exempt),
                _ => limited = mount(app, limited),
            }
        }
        // Set before the guard is added, so that the guard covers unsupported methods too.
        let refuse = async || ApiError::MethodNotAllowed;
        let guard = Gate::new(flood::of_routes(app.clone()));
        let limited = limited.method_not_allowed_fallback(refuse).layer(guard);
        limited.merge(exempt.method_not_allowed_fallback(refuse)).with_state(app.clone())
    }
}
