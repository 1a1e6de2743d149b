//! The prices of models.

use crate::app::App;
use crate::pricing::Price;

/// Describes the price of a model today, for prompts of any length; `None` if there is none.
pub(super) fn price_of(app: &App, model_name: &str) -> Option<String> {
    let prices = app.config.prices();
    prices.of(model_name, app.clock.now().date_naive(), 0).map(Price::describe)
}
