//! What a handler says about its call, for the API document.

use serde_json::Value;
use utoipa::ToSchema;

use super::parts::{Body, Components, Failure, Group, Parameter, Place, Reply, name_of};
use crate::http::error::ApiError;
use crate::shape::Shape;

/// The description of a call.
#[derive(Debug, Clone)]
pub struct Doc {
    /// The name of the call, which does not change.
    pub id: &'static str,
    /// Its group.
    pub group: Group,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What else there is to know.
    pub about: &'static str,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// The forms of the body; none if it takes none.
    pub bodies: Vec<Body>,
    /// Whether there must be a body.
    pub needs_body: bool,
    /// Its responses, apart from errors.
    pub replies: Vec<Reply>,
    /// The errors that the handler returns.
    pub failures: Vec<Failure>,
    /// The schemas that it refers to.
    pub(super) components: Components,
}

impl Doc {
    /// Creates a description.
    #[must_use]
    pub const fn new(group: Group, id: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            group,
            summary,
            about: "",
            parameters: Vec::new(),
            bodies: Vec::new(),
            needs_body: false,
            replies: Vec::new(),
            failures: Vec::new(),
            components: Vec::new(),
        }
    }

    /// Says what else there is to know.
    #[must_use]
    pub fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    fn parameter(mut self, place: Place, name: &'static str, shape: Shape) -> Self {
        self.parameters.push(Parameter { name, place, shape: shape.into() });
        self
    }

    /// Adds a parameter of the query string.
    #[must_use]
    pub fn query(self, name: &'static str, shape: Shape) -> Self {
        self.parameter(Place::Query, name, shape)
    }

    /// Adds a header of the request.
    #[must_use]
    pub fn header(self, name: &'static str, shape: Shape) -> Self {
        self.parameter(Place::Header, name, shape)
    }

    /// Says what a segment of the path may be.
    #[must_use]
    pub fn path(self, name: &'static str, shape: Shape) -> Self {
        self.parameter(Place::Path, name, shape)
    }

    /// Requires a body in JSON, and gives its schema a name.
    #[must_use]
    pub fn body(self, name: &str, shape: Shape, example: Value) -> Self {
        Self { needs_body: true, ..self.optional_body(name, shape, example) }
    }

    /// The same for a body that may be absent.
    #[must_use]
    pub fn optional_body(self, name: &str, shape: Shape, example: Value) -> Self {
        self.component(name, shape).takes("application/json", Shape::component(name), Some(example))
    }

    /// Adds a form of the body.
    #[must_use]
    pub fn takes(mut self, media_type: &'static str, shape: Shape, example: Option<Value>) -> Self {
        self.bodies.push(Body { media_type, shape: shape.into(), example });
        self
    }

    /// Gives a schema a name.
    #[must_use]
    pub fn component(mut self, name: &str, shape: Shape) -> Self {
        self.components.push((name.to_owned(), shape.into()));
        self
    }

    /// Adds a response.
    #[must_use]
    pub fn replies(mut self, mut reply: Reply) -> Self {
        self.components.append(&mut reply.components);
        self.replies.push(reply);
        self
    }

    /// Adds an error, with when it is returned. Its message is an example.
    #[must_use]
    pub fn fails(mut self, error: impl Into<ApiError>, when: &'static str) -> Self {
        self.failures.push(Failure::of(&error.into(), when));
        self
    }

    /// The same for an error whose body has the form of `T`.
    #[must_use]
    pub fn fails_as<T: ToSchema>(mut self, error: impl Into<ApiError>, when: &'static str) -> Self {
        let schema = Some(name_of::<T>(&mut self.components));
        self.failures.push(Failure { schema, ..Failure::of(&error.into(), when) });
        self
    }
}
