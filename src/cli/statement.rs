//! `statement`: links that open a statement, or the page of a business, without signing in.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::output::{finish, print, print_error, table};
use super::{EXIT_SETTINGS, fail, open};
use crate::audit::Actor;
use crate::clock::Clock;
use crate::config::Config;
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
    #[error("no link has this id")]
    Unknown,
    #[error("{0}")]
    Store(#[from] StoreError),
}

pub(super) async fn run(config: Config, verb: Verb) -> ExitCode {
    match verb {
        Verb::Link(options) => make(&config, options.into()).await,
        Verb::Links => {
            with_store(&config, async |store| {
                let listed = list(&all(store).await?, Clock::system().now());
                Ok(finish(listed, ExitCode::SUCCESS))
            })
            .await
        }
        Verb::Revoke { id } => {
            with_store(&config, async |store| {
                let revoked =
                    store.revoke_link(id, None, Clock::system().now(), &Actor::command_line()).await?;
                revoked.ok_or(LinkError::Unknown)?;
                Ok(finish(format!("revoked {id}"), ExitCode::SUCCESS))
            })
            .await
        }
    }
}

/// Opens the store, and does with it what the command is for.
async fn with_store(
    config: &Config,
    work: impl AsyncFnOnce(&Store) -> Result<ExitCode, LinkError>,
) -> ExitCode {
    let store = match open(config).await {
        Ok(store) => store,
        Err(code) => return code,
    };
    let done = work(&store).await;
    store.close().await;
    done.unwrap_or_else(fail)
}

/// Makes a link and prints its address. It alone goes to standard output, so that scripts can read it.
async fn make(config: &Config, wish: NewLink) -> ExitCode {
    let Some(public) = &config.public_url else {
        print_error(NO_PUBLIC_URL);
        return EXIT_SETTINGS.into();
    };
    let (now, by) = (Clock::system().now(), Actor::command_line());
    let (link, secret) = match wish.into_link(now, &by) {
        Ok(made) => made,
        Err(InvalidLink { field: "business_id", must_be }) => {
            return fail(format!("the id of the business {must_be}"));
        }
        Err(InvalidLink { field, must_be }) => return fail(format!("--{field} {must_be}")),
    };
    with_store(config, async |store| {
        store.add_link(&link, &secret.hash(), now, &by).await?;
        let (id, until) = (link.id, time(link.expires_at));
        print_error(format!(
            "Made link {id}, which works until {until}. Whoever has its address sees the page; it will not be shown again."
        ));
        let Err(error) = print(address(&public.origin(), &secret)) else { return Ok(ExitCode::SUCCESS) };
        store.revoke_link(id, None, now, &by).await?;
        Ok(fail(format!("cannot print the link: {error}; it was revoked again")))
    })
    .await
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
