//! `business`: shows and changes business profiles.

use std::io::{self, Read};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::output::{finish, table};
use super::{fail, open};
use crate::audit::Actor;
use crate::business::{InvalidProfile, Profile, ProfileChange, ProfileField, is_business_id};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::businesses::BusinessResponse;
use crate::store::{Store, StoreError};

/// The number of businesses that are read at a time.
const PAGE: u32 = 500;

/// The maximum size of opening hours on standard input, in bytes.
const MAX_HOURS_BYTES: u64 = 64 * 1024;

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Verb {
    /// List the businesses with a profile or with events
    List,
    /// Print the profile of a business as JSON
    Show {
        /// The id of the business
        id: String,
    },
    /// Set or clear values of a profile; the others stay
    Set {
        /// The id of the business
        id: String,
        #[command(flatten)]
        values: Values,
    },
}

#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Values {
    /// Its name
    #[arg(long)]
    name: Option<String>,
    /// Its IANA time zone, such as Europe/Berlin, which decides the days of events from now on
    #[arg(long)]
    time_zone: Option<String>,
    /// Its opening hours as JSON, such as {"monday":{"open":"09:00","close":"17:00"}}, or - to read them from standard input
    #[arg(long, value_name = "JSON")]
    opening_hours: Option<String>,
    /// What its AI may cost in a calendar month, in US dollars
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    budget: Option<f64>,
    /// Clear a value: name, time-zone, opening-hours or budget. May be repeated
    #[arg(long, value_name = "FIELD", value_parser = cleared)]
    clear: Vec<ProfileField>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum BusinessError {
    #[error("--{} {}", option(.0.field), .0.must_be)]
    Invalid(#[from] InvalidProfile),
    #[error("--{0} and --clear {0} contradict each other; leave one of them out")]
    Contradiction(&'static str),
    #[error("the id of a business must be 1 to 255 characters, without control characters")]
    NoId,
    #[error("cannot read the opening hours from standard input: {0}")]
    NoInput(io::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Returns the name of the option that sets a value.
const fn option(field: ProfileField) -> &'static str {
    match field {
        ProfileField::Name => "name",
        ProfileField::TimeZone => "time-zone",
        ProfileField::OpeningHours => "opening-hours",
        ProfileField::MonthlyBudget => "budget",
    }
}

fn cleared(text: &str) -> Result<ProfileField, String> {
    let fields =
        [ProfileField::Name, ProfileField::TimeZone, ProfileField::OpeningHours, ProfileField::MonthlyBudget];
    let found = fields.into_iter().find(|field| text == option(*field) || text == field.name());
    found.ok_or_else(|| format!("must be one of {}", fields.map(option).join(", ")))
}

pub(super) async fn run(config: Config, verb: Verb) -> ExitCode {
    let store = match open(&config).await {
        Ok(store) => store,
        Err(code) => return code,
    };
    let done = perform(&store, verb).await;
    store.close().await;
    match done {
        Ok(text) => finish(text, ExitCode::SUCCESS),
        Err(error) => fail(error),
    }
}

/// Returns what is to be printed.
async fn perform(store: &Store, verb: Verb) -> Result<String, BusinessError> {
    match verb {
        Verb::List => Ok(list(&all(store).await?)),
        Verb::Show { id } => {
            let profile = store.profile(valid(&id)?).await?;
            let response = BusinessResponse::new(id, profile, store.profiles().current().default_zone());
            Ok(serde_json::to_string_pretty(&response).expect("a profile is JSON"))
        }
        Verb::Set { id, values } => {
            let change = values.into_change()?;
            let by = Actor::command_line();
            let changed = store.set_profile(valid(&id)?, &change, Clock::system().now(), &by).await?;
            let changed: Vec<&str> = changed.into_iter().map(option).collect();
            Ok(match changed.is_empty() {
                true => format!("nothing to change for {id}"),
                false => format!("changed {} of {id}", changed.join(", ")),
            })
        }
    }
}

fn valid(id: &str) -> Result<&str, BusinessError> {
    if is_business_id(id) { Ok(id) } else { Err(BusinessError::NoId) }
}

async fn all(store: &Store) -> Result<Vec<(String, Profile)>, StoreError> {
    let mut all: Vec<(String, Profile)> = Vec::new();
    loop {
        let after = all.last().map_or("", |(id, _)| id);
        let page = store.businesses(after, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

fn list(businesses: &[(String, Profile)]) -> String {
    let rows: Vec<[String; 6]> = businesses.iter().map(|(id, profile)| row(id, profile)).collect();
    table(["ID", "NAME", "TIME ZONE", "OPENING HOURS", "BUDGET", "FROM APP"], &rows)
}

#[expect(clippy::cast_precision_loss, reason = "no budget reaches 2^53 millionths")]
fn row(id: &str, profile: &Profile) -> [String; 6] {
    let none = || "none".to_owned();
    let from_app: Vec<&str> = profile.from_app.fields().map(option).collect();
    [
        id.to_owned(),
        profile.name.clone().unwrap_or_else(none),
        profile.time_zone.map_or_else(|| "default".to_owned(), |zone| zone.name().to_owned()),
        profile.opening_hours.as_ref().map_or_else(none, |_| "set".to_owned()),
        profile.monthly_budget_micros.map_or_else(none, |micros| format!("{:.2}", micros as f64 / 1e6)),
        if from_app.is_empty() { none() } else { from_app.join(",") },
    ]
}

impl Values {
    fn into_change(self) -> Result<ProfileChange, BusinessError> {
        let given = [
            (ProfileField::Name, self.name.is_some()),
            (ProfileField::TimeZone, self.time_zone.is_some()),
            (ProfileField::OpeningHours, self.opening_hours.is_some()),
            (ProfileField::MonthlyBudget, self.budget.is_some()),
        ];
        if let Some((field, _)) = given.iter().find(|(field, given)| *given && self.clear.contains(field)) {
            return Err(BusinessError::Contradiction(option(*field)));
        }
        let mut change = ProfileChange::default();
        for field in self.clear {
            change.clear(field);
        }
        self.name.map_or(Ok(()), |name| change.set_name(&name))?;
        self.time_zone.map_or(Ok(()), |zone| change.set_time_zone(&zone))?;
        self.budget.map_or(Ok(()), |usd| change.set_monthly_budget(usd))?;
        if let Some(hours) = self.opening_hours {
            let hours = if hours == "-" { read_input().map_err(BusinessError::NoInput)? } else { hours };
            change.set_opening_hours(&hours)?;
        }
        Ok(change)
    }
}

fn read_input() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().take(MAX_HOURS_BYTES).read_to_string(&mut text)?;
    Ok(text)
}
