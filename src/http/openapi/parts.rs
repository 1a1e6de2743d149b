//! What descriptions of calls consist of.

use serde_json::Value;
use strum::{IntoStaticStr, VariantArray};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::http::error::ApiError;
use crate::shape::Shape;

/// A group of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Group {
    /// Reporting.
    Events,
    /// Reading figures.
    Analytics,
    /// Health, metrics, and the API itself.
    Service,
    /// Persons' data and requests.
    Privacy,
    /// Keys, profiles, links and the audit trail.
    Administration,
    /// What people open in a browser.
    Pages,
}

impl Group {
    /// Returns its name in addresses.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns its title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Events => "Events and outcomes",
            Self::Analytics => "Analytics",
            Self::Service => "Health, metrics and this document",
            Self::Privacy => "Privacy",
            Self::Administration => "Administration",
            Self::Pages => "Pages and sessions",
        }
    }

    /// Returns what its calls are for.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Events => "Report what the AI answered, and what became of the appointments.",
            Self::Analytics => "Read what the reports of a business add up to.",
            Self::Service => "See whether the service works, and what it measures.",
            Self::Privacy => {
                "Export and erase the data of a person, keep track of requests, and record consents. The person is always in the \
                 body, never in the address, because addresses end up in logs."
            }
            Self::Administration => "Manage keys, business profiles and links, and read the audit trail.",
            Self::Pages => "What people open in a browser, where they sign in, and what pages load.",
        }
    }
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Place {
    /// In the path.
    Path,
    /// In the query string.
    Query,
    /// In a header.
    Header,
}

/// A parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it may be, with what it means.
    pub shape: Value,
}

/// A form of the body.
#[derive(Debug, Clone)]
pub struct Body {
    /// The media type.
    pub media_type: &'static str,
    /// What it may be.
    pub shape: Value,
    /// An example.
    pub example: Option<Value>,
}

/// A response.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// What it means.
    pub meaning: String,
    /// The forms of its body; none if it has none.
    pub bodies: Vec<Body>,
    /// Headers: name, meaning, and whether it always has them.
    pub headers: Vec<(&'static str, &'static str, bool)>,
    /// Calls that can follow: the id of the call, its parameter, and where in this response the value is.
    pub links: Vec<(&'static str, &'static str, &'static str)>,
    pub(super) components: Components,
}

/// An error.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The status code.
    pub status: u16,
    /// The body, as an example.
    pub body: Value,
    /// When it is returned.
    pub when: &'static str,
    /// The name of the schema of its body; `None` for that of most errors.
    pub schema: Option<String>,
}

impl Failure {
    /// Creates it from the error that handlers return.
    #[must_use]
    pub fn of(error: &ApiError, when: &'static str) -> Self {
        Self { status: error.status().as_u16(), body: error.to_json(), when, schema: None }
    }
}

/// Schemas that others refer to, by name.
pub(super) type Components = Vec<(String, Value)>;

impl Reply {
    /// Creates a response without a body.
    #[must_use]
    pub fn new(status: u16, meaning: &str) -> Self {
        Self {
            status,
            meaning: meaning.to_owned(),
            bodies: Vec::new(),
            headers: Vec::new(),
            links: Vec::new(),
            components: Vec::new(),
        }
    }

    /// Creates a response whose body, in JSON, has the form of `T`.
    #[must_use]
    pub fn json<T: ToSchema>(status: u16, meaning: &str, example: Value) -> Self {
        let mut reply = Self::new(status, meaning);
        let name = name_of::<T>(&mut reply.components);
        reply.of(("application/json", Shape::component(&name), Some(example)))
    }

    /// Creates a response with a page.
    #[must_use]
    pub fn page(status: u16, meaning: &str) -> Self {
        Self::new(status, meaning).of(("text/html", Shape::string(), None))
    }

    /// Creates the response to a browser that has the current version of a file.
    #[must_use]
    pub fn not_modified() -> Self {
        Self::new(
            304,
            "It has not changed since the version whose `ETag` the request sent in `If-None-Match`",
        )
        .tagged()
    }

    /// Adds a form of the body.
    #[must_use]
    pub fn of(mut self, (media_type, shape, example): (&'static str, Shape, Option<Value>)) -> Self {
        self.bodies.push(Body { media_type, shape: shape.into(), example });
        self
    }

    /// Adds a header that it always has.
    #[must_use]
    pub fn with(mut self, header: &'static str, meaning: &'static str) -> Self {
        self.headers.push((header, meaning, true));
        self
    }

    /// Adds a header that it may have.
    #[must_use]
    pub fn perhaps_with(mut self, header: &'static str, meaning: &'static str) -> Self {
        self.headers.push((header, meaning, false));
        self
    }

    /// Adds the entity tag.
    #[must_use]
    pub fn tagged(self) -> Self {
        self.with("ETag", "The version of the content")
    }

    /// Adds a call that can follow: its id, its parameter, and where in this response the value is.
    #[must_use]
    pub fn then(mut self, id: &'static str, parameter: &'static str, value: &'static str) -> Self {
        self.links.push((id, parameter, value));
        self
    }
}

/// Adds the schema of `T` and those that it refers to. Returns its name.
pub(super) fn name_of<T: ToSchema>(components: &mut Components) -> String {
    let mut schemas: Vec<(String, RefOr<Schema>)> = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    let written = schemas.into_iter().map(|(name, schema)| {
        let schema = serde_json::to_value(schema).expect("a schema is JSON");
        (name, schema)
    });
    components.extend(written);
    T::name().into_owned()
}
