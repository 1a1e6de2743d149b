//! All that the page of a business shows.

use strum::VariantArray as _;

use super::report::Reading;
use super::{CostByModel, Includes, Notable, Part, Period, Report};
use crate::app::App;
use crate::app::last_known::{Key, Remembered, Shown, shown};
use crate::store::StoreError;

/// The figures of the page of a business.
#[derive(Debug, Clone, PartialEq)]
pub struct BusinessPage {
    /// The report of the period, with all parts.
    pub report: Report,
    /// What models cost each day.
    pub cost_by_model: CostByModel,
    /// What changed most from the period before; `None` if every change may be noise.
    pub notable: Option<Notable>,
}

/// Computes what the page of a business shows; while the store is away, returns the last known figures. `own` is the only business that the reader
/// may see, if there is one.
pub async fn business_page(
    app: &App,
    own: Option<&str>,
    business_id: &str,
    period: &Period,
) -> Result<Shown<BusinessPage>, StoreError> {
    let key = Key::new(own, &(business_id, &period.name));
    shown(app, key, async || BusinessPage::of(app, business_id, period).await).await
}

impl BusinessPage {
    pub(super) async fn of(app: &App, business_id: &str, period: &Period) -> Result<Self, StoreError> {
        let all: Includes = Part::VARIANTS.iter().copied().collect();
        let reading = Reading::of(app, business_id, period, &all, CostByModel::MODELS).await?;
        let (current, previous) = (&reading.read.current, reading.read.previous.as_ref());
        let notable = |previous| Notable::find(current, previous, period, reading.today, reading.basis);
        Ok(Self {
            report: reading.report(&all),
            cost_by_model: CostByModel::of(current, period.days, reading.today),
            notable: previous.and_then(notable),
        })
    }
}

impl Remembered for BusinessPage {
    fn bytes(&self) -> usize {
        let (report, costs) = (&self.report, &self.cost_by_model);
        let groups = [
            texts(
                report
                    .by_model
                    .iter()
                    .flatten()
                    .map(|of| of.model_name.len() + of.price.as_ref().map_or(0, String::len)),
            ),
            texts(report.by_intent.iter().flatten().map(|of| of.intent.len())),
            texts(report.by_response_type.iter().flatten().map(|of| of.response_type.len())),
            texts(costs.models.iter().map(String::len)),
        ];
        // A day has a text of ten letters, and an amount for each model.
        let days = report.series.as_ref().map_or(0, Vec::len) * (size_of::<super::OfDay>() + 16);
        let costs = costs.days.len() * (size_of::<super::CostOfDay>() + 8 * CostByModel::MODELS);
        let hours = report.hours.iter().flatten().map(Vec::len).sum::<usize>() * size_of::<super::OfHour>();
        groups.iter().sum::<usize>() + days + costs + hours
    }
}

/// Returns roughly how many bytes groups take whose texts have these lengths.
fn texts(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.map(|length| length + 128).sum()
}
