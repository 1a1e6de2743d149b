//! `statement`: links that open a statement, or the page of a business, without signing in.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::output::{finish, print, print_error, table};
use super::{EXIT_SETTINGS, fail, open};
use crate::audit::Actor;
use crate::clock::Clock;
use crate::config::{Config, PublicUrl};
use crate::http::links::address;
use crate::link::{InvalidLink, Link, NewLink};
use crate::store::{Store, StoreError};

/// The number of links that are read at a time.
const PAGE: u32 = 500;

const NO_PUBLIC_URL: &str = "PUBLIC_URL is not set: a link needs the address at which people open this service. Set it, such as \
                             PUBLIC_URL=https://metrics.example.com, and make the link again.";

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Verb {
    /// Make a link and print its address, which is not shown again
    Link(NewLinkOptions),
    /// List links, without their addresses
    Links,
    /// Revoke a link
    Revoke {
        /// The link's public id
        id: Uuid,
    },
}

#[derive(Debug, Clone, Args)]
pub(super) struct NewLinkOptions {
    /// The id of the business
    business: String,
    /// The month that the page shows, such as 2026-10; required for a statement
    #[arg(long)]
    month: Option<String>,
    /// Lifetime, from 1h to 366d
    #[arg(long, default_value = "30d")]
    expires: String,
    /// What it opens: statement or business
    #[arg(long, default_value = "statement")]
    page: String,
}

impl From<NewLinkOptions> for NewLink {
    fn from(options: NewLinkOptions) -> Self {
        let NewLinkOptions { business, month, expires, page } = options;
        Self { business_id: business, page: Some(page), month, expires: Some(expires) }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("{} {}", option(.0.field), .0.must_be)]
    Invalid(#[from] InvalidLink),
    #[error("no link has this id")]
    Unknown,
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Returns how the command line names a field.
fn option(field: &str) -> String {
    if field == "business_id" { "the id of the business".to_owned() } else { format!("--{field}") }
}

pub(super) async fn run(config: Config, verb: Verb) -> ExitCode {
    let is_new = matches!(verb, Verb::Link(_));
    if is_new && config.public_url.is_none() {
        print_error(NO_PUBLIC_URL);
        return EXIT_SETTINGS.into();
    }
    let store = match open(&config).await {
        Ok(store) => store,
        Err(code) => return code,
    };
    let done = perform(&store, config.public_url.as_ref(), verb).await;
    store.close().await;
    match done {
        Ok(code) => code,
        Err(error) => fail(error),
    }
}

async fn perform(store: &Store, public: Option<&PublicUrl>, verb: Verb) -> Result<ExitCode, LinkError> {
    let (by, now) = (Actor::command_line(), Clock::system().now());
    match verb {
        Verb::Link(options) => {
            let (link, secret) = NewLink::from(options).into_link(now, &by)?;
            store.add_link(&link, &secret.hash(), now, &by).await?;
            let (id, until) = (link.id, time(link.expires_at));
            print_error(format!(
                "Made link {id}, which works until {until}. Whoever has its address sees the page; it will not be shown again."
            ));
            let printed = print(address(&public.map(PublicUrl::origin).unwrap_or_default(), &secret));
            let Err(error) = printed else { return Ok(ExitCode::SUCCESS) };
            store.revoke_link(link.id, None, now, &by).await?;
            Ok(fail(format!("cannot print the link: {error}; it was revoked again")))
        }
        Verb::Links => Ok(finish(list(&all(store).await?, now), ExitCode::SUCCESS)),
        Verb::Revoke { id } => {
            store.revoke_link(id, None, now, &by).await?.ok_or(LinkError::Unknown)?;
            Ok(finish(format!("revoked {id}"), ExitCode::SUCCESS))
        }
    }
}

async fn all(store: &Store) -> Result<Vec<Link>, StoreError> {
    let mut all: Vec<Link> = Vec::new();
    loop {
        let page = store.links(None, all.last().map(|link| link.id), PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

fn list(links: &[Link], now: DateTime<Utc>) -> String {
    let head = ["ID", "BUSINESS", "PAGE", "MONTH", "STATUS", "CREATED", "EXPIRES", "CREATED BY"];
    let rows: Vec<[String; 8]> = links.iter().map(|link| row(link, now)).collect();
    table(head, &rows)
}

fn row(link: &Link, now: DateTime<Utc>) -> [String; 8] {
    [
        link.id.to_string(),
        link.business_id.clone(),
        link.page.name().to_owned(),
        link.month.map_or_else(|| "none".to_owned(), |month| month.to_string()),
        link.status(now).to_owned(),
        time(link.created_at),
        time(link.expires_at),
        link.created_by.clone(),
    ]
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M").to_string()
}
