//! Analytics: periods, figures and rates, computed from the sums in the store. Handlers and pages show them as they are.
//!
//! docs/analytics.md defines each figure.

pub mod business_page;
pub mod include;
pub mod list;
pub mod money;
pub mod notable;
pub mod period;
mod price;
pub mod rate;
pub mod report;
mod sections;
pub mod statement;

pub use business_page::{BusinessPage, business_page};
pub use include::{Includes, Part, UnknownPart};
pub use money::Usd;
pub use notable::{Notable, NotableFigure, NotableValue};
pub use period::{Period, PeriodError, PeriodQuery};
pub use rate::Rate;
pub use report::{Report, report};
pub use sections::*;
pub use statement::{PrivacyRequests, Statement, StatementMonth, statement};
