//! The pages in a real browser.

mod dashboard;
mod driver;
mod figures;
mod keyboard;
mod notice;
mod print;
mod salon;
mod scriptless;
mod states;
mod weight;
