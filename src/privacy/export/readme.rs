//! The text in an archive that tells a person what the files are, and what Art. 15 (1) GDPR asks for, in plain words.

use askama::Template;

use super::document::{Document, Section};
use crate::clock::timestamp;
use crate::privacy::information::{AUTOMATED_DECISIONS, COMPLAINT, Controller, RECIPIENTS, RIGHTS, Right};

#[derive(Template)]
#[template(path = "export.txt")]
struct Readme<'d> {
    made_at: String,
    receipt: &'d str,
    controller: &'d Controller,
    sections: Vec<Section<'d>>,
    not_searched: String,
    recipients: &'static str,
    rights: &'static [Right],
    complaint: Right,
    automated_decisions: &'static str,
}

/// Writes the text.
pub fn write(document: &Document) -> Result<String, askama::Error> {
    let readme = Readme {
        made_at: timestamp(document.generated_at),
        receipt: &document.receipt,
        controller: &document.information.controller,
        sections: document.sections(),
        not_searched: document.remarks.not_searched.join(", "),
        recipients: RECIPIENTS,
        rights: &RIGHTS,
        complaint: COMPLAINT,
        automated_decisions: AUTOMATED_DECISIONS,
    };
    readme.render()
}
