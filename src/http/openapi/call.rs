//! A call: a row of the route table with its description, and all that it may be answered.

use std::collections::BTreeMap;

use super::doc::Doc;
use super::parts::{Body, Failure, Parameter, Place, Reply};
use super::policy;
use crate::business::MAX_ID_CHARS;
use crate::config::Config;
use crate::http::routes::Row;
use crate::shape::Shape;

/// A call.
#[derive(Debug)]
pub struct Call {
    /// The row.
    pub row: Row,
    /// What its handler says.
    pub doc: Doc,
    /// Who may use it, in one sentence.
    pub access: String,
    /// Its quota, in words; `None` if it has none.
    pub quota: Option<String>,
    /// The responses, by status.
    pub answers: BTreeMap<u16, Answer>,
}

/// A response with one status.
#[derive(Debug)]
pub struct Answer {
    /// What it means, unless it is an error.
    pub reply: Option<Reply>,
    /// The errors with this status.
    pub failures: Vec<Failure>,
}

impl Call {
    /// Describes a row. Quotas are those of the settings.
    #[must_use]
    pub fn of(row: &Row, config: &Config) -> Self {
        let mut doc = (row.doc)();
        add_segments(row, &mut doc);
        let mut answers: BTreeMap<u16, Answer> = BTreeMap::new();
        for reply in doc.replies.drain(..).chain(policy::replies(row)) {
            answers.entry(reply.status).or_insert_with(Answer::empty).add(reply);
        }
        for failure in policy::failures(row, &doc, config).into_iter().chain(doc.failures.drain(..)) {
            answers.entry(failure.status).or_insert_with(Answer::empty).failures.push(failure);
        }
        Self {
            access: policy::access(row),
            quota: policy::quota(row, config),
            row: row.clone(),
            doc,
            answers,
        }
    }
}

impl Answer {
    const fn empty() -> Self {
        Self { reply: None, failures: Vec::new() }
    }

    fn add(&mut self, mut reply: Reply) {
        match &mut self.reply {
            None => self.reply = Some(reply),
            Some(first) => {
                first.meaning = format!("{}. {}", first.meaning, reply.meaning);
                first.bodies.append(&mut reply.bodies);
                first.headers.append(&mut reply.headers);
            }
        }
    }

    /// Returns the forms of the body, apart from those of errors.
    #[must_use]
    pub fn bodies(&self) -> &[Body] {
        self.reply.as_ref().map_or(&[], |reply| &reply.bodies)
    }
}

/// Adds the segments of the path that the description leaves out.
fn add_segments(row: &Row, doc: &mut Doc) {
    let segments = row.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let missing: Vec<&'static str> =
        segments.filter(|name| !doc.parameters.iter().any(|parameter| parameter.name == *name)).collect();
    let shape = |name| match name {
        "business_id" => {
            Shape::text(1..=MAX_ID_CHARS).about("The id of the business").such_as("test-business")
        }
        _ => Shape::string(),
    };
    let added =
        missing.into_iter().map(|name| Parameter { name, place: Place::Path, shape: shape(name).into() });
    doc.parameters.splice(0..0, added.collect::<Vec<_>>());
}
