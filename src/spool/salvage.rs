//! Reads the intact events of a damaged spool.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::Path;

use super::PAGE_BYTES;
use super::frame;
use crate::event::Event;

/// What could be read from a damaged file.
#[derive(Debug, Default)]
pub(super) struct Salvaged {
    /// The intact events, by sequence number.
    pub(super) events: BTreeMap<i64, Event>,
    /// The number of broken frames.
    pub(super) broken: usize,
}

impl Salvaged {
    /// Reads the file page by page, whatever state it is in.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let (mut file, mut salvaged) = (File::open(path)?, Self::default());
        let mut page = Vec::with_capacity(PAGE_BYTES as usize);
        while (&mut file).take(PAGE_BYTES.into()).read_to_end(&mut page)? > 0 {
            let (found, broken) = frame::find(&page);
            salvaged.events.extend(found);
            salvaged.broken += broken;
            page.clear();
        }
        Ok(salvaged)
    }

    /// Returns the missing sequence numbers between those of the intact events: lost, or removed earlier.
    pub(super) fn missing(&self) -> Vec<RangeInclusive<i64>> {
        let numbers = self.events.keys();
        numbers
            .clone()
            .zip(numbers.skip(1))
            .filter(|(a, b)| *a + 1 < **b)
            .map(|(a, b)| a + 1..=b - 1)
            .collect()
    }
}
