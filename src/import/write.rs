//! Writes a chunk of rows, or says which of them the database refuses.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use tokio::time::sleep;

use super::reader::Chunk;
use super::{RefusedRow, Tally};
use crate::event::EventKey;
use crate::store::{CountedRollup, ImportOutcome, ImportTerms, Imports, Store, StoreError};

/// The time limit of one transaction.
const LIMIT: Duration = Duration::from_secs(10);

/// The pause after a failure that may pass, and how often it is tried again before the import gives up.
const PAUSE: Duration = Duration::from_millis(500);
const TRIES: u32 = 60;

/// The number of rows that are written together even if the database is slow.
const FEW: usize = 50;

/// What became of a chunk.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) tally: Tally,
    pub(super) refused: Vec<RefusedRow>,
    pub(super) counted: CountedRollup,
    pub(super) position: u64,
    pub(super) ignored: Vec<String>,
}

/// What chunks are written with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'s> {
    pub(super) store: &'s Store,
    pub(super) terms: ImportTerms,
    pub(super) is_dry: bool,
}

impl Writer<'_> {
    /// Writes a chunk. Rows that the database refuses are found, and the others written.
    pub(super) async fn write(self, mut chunk: Chunk) -> Result<Done, StoreError> {
        let mut done = Done {
            position: chunk.position,
            ignored: std::mem::take(&mut chunk.ignored),
            refused: std::mem::take(&mut chunk.refused),
            ..Done::default()
        };
        done.tally.read = (chunk.events.len() + done.refused.len()) as u64;
        done.tally.redacted = chunk.redacted;
        done.tally.known = remove_repeated(&mut chunk);
        let mut tries = 0;
        let mut parts: Vec<Range<usize>> = std::iter::once(0..chunk.events.len()).collect();
        while let Some(part) = parts.pop().filter(|part| !part.is_empty()) {
            match self.write_part(&chunk, part.clone(), &mut done).await {
                Ok(()) => tries = 0,
                Err(error) if error.is_refusal() => {
                    if sort_by_business(&mut chunk, &part) {
                        parts.push(part);
                    } else {
                        refuse(&chunk, part, &error, &mut parts, &mut done);
                    }
                }
                Err(StoreError::TimedOut) if part.len() > FEW => split(part, &mut parts),
                Err(error) if tries < TRIES && may_pass(&error) => {
                    tries += 1;
                    parts.push(part);
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        done.tally.refused = done.refused.len() as u64;
        Ok(done)
    }

    async fn write_part(&self, chunk: &Chunk, part: Range<usize>, done: &mut Done) -> Result<(), StoreError> {
        let imports = Imports { events: &chunk.events[part.clone()], row_ids: &chunk.row_ids[part] };
        let outcomes = if self.is_dry {
            self.store.preview_import(imports, self.terms, LIMIT).await?
        } else {
            let imported = self.store.import(imports, self.terms, LIMIT).await?;
            done.counted.add(imported.counted);
            imported.outcomes
        };
        for outcome in outcomes {
            *match outcome {
                ImportOutcome::Stored => &mut done.tally.stored,
                ImportOutcome::Old => &mut done.tally.old,
                ImportOutcome::Unkept => &mut done.tally.unkept,
                ImportOutcome::Known => &mut done.tally.known,
            } += 1;
        }
        Ok(())
    }
}

/// Removes events that the chunk has before. Returns their number.
fn remove_repeated(chunk: &mut Chunk) -> u64 {
    let all = chunk.events.len();
    let mut keys: HashSet<EventKey> = HashSet::with_capacity(all);
    let is_first: Vec<bool> = chunk.events.iter().map(|event| keys.insert(event.key())).collect();
    if keys.len() < all {
        let mut first = is_first.iter();
        chunk.events.retain(|_| first.next() == Some(&true));
        let mut first = is_first.iter();
        chunk.row_ids.retain(|_| first.next() == Some(&true));
        let mut first = is_first.iter();
        chunk.lines.retain(|_| first.next() == Some(&true));
    }
    (all - keys.len()) as u64
}

/// Brings the rows of each business in a part together: if a business is unknown, all of its rows are refused at once. Returns whether they
/// were apart.
fn sort_by_business(chunk: &mut Chunk, part: &Range<usize>) -> bool {
    let events = &chunk.events[part.clone()];
    if events.is_sorted_by_key(|event| &event.business_id) {
        return false;
    }
    let rows = events.iter().zip(&chunk.row_ids[part.clone()]).zip(&chunk.lines[part.clone()]);
    let mut rows: Vec<_> = rows.map(|((event, row_id), line)| (event.clone(), *row_id, *line)).collect();
    rows.sort_by(|(a, ..), (b, ..)| a.business_id.cmp(&b.business_id));
    for (place, (event, row_id, line)) in part.clone().zip(rows) {
        (chunk.events[place], chunk.row_ids[place], chunk.lines[place]) = (event, row_id, line);
    }
    true
}

const fn may_pass(error: &StoreError) -> bool {
    matches!(error, StoreError::Conflict(_) | StoreError::Unavailable(_) | StoreError::TimedOut)
}

fn split(part: Range<usize>, parts: &mut Vec<Range<usize>>) {
    let middle = part.start + part.len() / 2;
    parts.extend([middle..part.end, part.start..middle]);
}

/// Splits a part with a row that the database refuses, or refuses the row that is alone.
fn refuse(
    chunk: &Chunk,
    part: Range<usize>,
    error: &StoreError,
    parts: &mut Vec<Range<usize>>,
    done: &mut Done,
) {
    let first = &chunk.events[part.start].business_id;
    let is_of_one = chunk.events[part.clone()].iter().all(|event| event.business_id == *first);
    let reason = match error {
        // Then none of its rows can be stored.
        StoreError::UnknownBusiness if is_of_one => {
            "Invalid value for field: business_id: business_id must be a known business".to_owned()
        }
        _ if part.len() == 1 => format!("The database refuses it: {error}"),
        _ => return split(part, parts),
    };
    let lines = &chunk.lines[part];
    done.refused.extend(lines.iter().map(|line| RefusedRow { line: *line, reason: reason.clone() }));
}
