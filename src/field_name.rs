//! Names of fields that a caller made up, and that may be repeated to it.

/// The maximum length of a name that is repeated to its sender, in characters.
const MAX_CHARS: usize = 30;

/// Returns whether a name is a word or two, rather than something personal.
#[must_use]
pub(crate) fn is_like_a_field(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-');
    (1..=MAX_CHARS).contains(&name.len()) && name.chars().all(is_plain)
}
