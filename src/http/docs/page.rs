//! What the pages show, read from the document and the calls that it is made of.

use askama::Template;
use serde_json::Value;
use strum::VariantArray;

use super::fields::{Field, fields, shape_in_words};
use super::samples::{Sample, samples};
use crate::config::Config;
use crate::http::openapi::{Call, Group, Parameter, Place, document};
use crate::http::routes::table;
use crate::pages::Frame;

/// The name of the overview.
pub(super) const INDEX: &str = "index";

#[derive(Template)]
#[template(path = "docs.html")]
struct IndexPage {
    page: Frame,
    groups: Vec<(Group, Vec<CallView>)>,
}

#[derive(Template)]
#[template(path = "docs_group.html")]
struct GroupPage {
    page: Frame,
    group: Group,
    groups: &'static [Group],
    calls: Vec<CallView>,
}

/// A call, as a page shows it.
#[derive(Debug, Clone)]
struct CallView {
    id: &'static str,
    method: String,
    path: &'static str,
    summary: &'static str,
    about: &'static str,
    access: String,
    quota: String,
    parameters: Vec<ParameterView>,
    body: Vec<Field>,
    media_types: String,
    answer: Option<(u16, String)>,
    returned: Vec<Field>,
    statuses: Vec<StatusView>,
    samples: Vec<Sample>,
}

#[derive(Debug, Clone)]
struct ParameterView {
    name: &'static str,
    place: &'static str,
    shape: String,
    default: String,
    about: String,
}

#[derive(Debug, Clone)]
struct StatusView {
    status: u16,
    error: String,
    when: String,
}

/// Returns the pages, by name.
pub(super) fn pages(config: &Config) -> Vec<(&'static str, String)> {
    let routes = table();
    let document = document(routes.rows(), config);
    let calls: Vec<Call> = routes.rows().iter().map(|row| Call::of(row, config)).collect();
    let of = |group: Group| -> Vec<CallView> {
        let calls = calls.iter().filter(|call| call.doc.group == group);
        calls.map(|call| CallView::of(call, &document, config)).collect()
    };
    let groups: Vec<(Group, Vec<CallView>)> =
        Group::VARIANTS.iter().map(|group| (*group, of(*group))).collect();
    let page = Frame::alone();
    let index = IndexPage { page, groups: groups.clone() }.render();
    let mut pages = vec![(INDEX, index.expect("its fields are plain text"))];
    for (group, calls) in groups {
        let page = GroupPage { page, group, groups: Group::VARIANTS, calls };
        pages.push((group.name(), page.render().expect("its fields are plain text")));
    }
    pages
}

impl CallView {
    fn of(call: &Call, document: &Value, config: &Config) -> Self {
        let (row, doc) = (&call.row, &call.doc);
        let success = call.answers.iter().find(|(status, _)| **status < 300);
        let json = success.and_then(|(status, answer)| {
            let body = answer.bodies().iter().find(|body| body.media_type == "application/json")?;
            Some((*status, body))
        });
        let answer = json.and_then(|(status, body)| Some((status, format!("{:#}", body.example.as_ref()?))));
        Self {
            id: doc.id,
            method: row.method.to_string(),
            path: row.path,
            summary: doc.summary,
            about: doc.about,
            access: call.access.clone(),
            quota: call.quota.clone().unwrap_or_else(|| "none".to_owned()),
            parameters: doc.parameters.iter().map(ParameterView::of).collect(),
            body: doc.bodies.first().map_or_else(Vec::new, |body| fields(&body.shape, document)),
            media_types: doc.bodies.iter().map(|body| body.media_type).collect::<Vec<_>>().join(" or "),
            answer,
            returned: json.map_or_else(Vec::new, |(_, body)| fields(&body.shape, document)),
            statuses: statuses(call),
            samples: samples(call, config),
        }
    }
}

impl ParameterView {
    fn of(parameter: &Parameter) -> Self {
        let about = parameter.shape["description"].as_str().unwrap_or_default();
        Self {
            name: parameter.name,
            place: match parameter.place {
                Place::Path => "path",
                Place::Query => "query",
                Place::Header => "header",
            },
            shape: shape_in_words(&parameter.shape),
            default: default_of(&parameter.shape),
            about: about.to_owned(),
        }
    }
}

/// Returns what an absent value stands for.
pub(super) fn default_of(shape: &Value) -> String {
    match shape.get("default") {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

fn statuses(call: &Call) -> Vec<StatusView> {
    let mut rows = Vec::new();
    for (status, answer) in &call.answers {
        let reply = answer.reply.iter();
        rows.extend(reply.map(|reply| StatusView {
            status: *status,
            error: String::new(),
            when: reply.meaning.clone(),
        }));
        rows.extend(answer.failures.iter().map(|failure| StatusView {
            status: *status,
            error: failure.body["error"].as_str().unwrap_or_default().to_owned(),
            when: failure.when.to_owned(),
        }));
    }
    rows
}
