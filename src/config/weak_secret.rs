//! Tells secrets that somebody made up from those that a machine drew.

use std::collections::BTreeSet;

/// The least number of different characters. Of 32 random hexadecimal digits, fewer than eight differ once in 10¹¹ cases.
const MIN_DISTINCT: usize = 8;

/// Returns why `secret` can be guessed, if it can. `example` is the text that the documentation shows for it.
#[must_use]
pub fn weakness(secret: &str, example: &str) -> Option<&'static str> {
    let bytes = secret.as_bytes();
    let is_repeated = (1..=bytes.len() / 2).any(|unit| bytes.iter().zip(&bytes[unit..]).all(|(a, b)| a == b));
    let steps = bytes.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 1).count();
    if secret == example {
        return Some("is the example of the documentation");
    }
    if is_repeated {
        return Some("repeats a short text");
    }
    if bytes.iter().collect::<BTreeSet<_>>().len() < MIN_DISTINCT {
        return Some("has too few different characters");
    }
    // Of 31 steps between random hexadecimal digits, about six are that small.
    (steps * 3 > bytes.len() * 2).then_some("counts up or down")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_somebody_made_up_are_weak() {
        for weak in [
            "an-example-of-the-documentation-0",
            &"a".repeat(32),
            &"password".repeat(4),
            "0123456789abcdef0123456789abcdef",
            "aabbaabbaaabbbabababaabbbaabbaab",
            "abcdefghijklmnopqrstuvwxyz012345",
            "98765432109876543210zyxwvutsrqpo",
        ] {
            assert!(weakness(weak, "an-example-of-the-documentation-0").is_some(), "{weak}");
        }
        for strong in ["9a7f2c8e5d1b3f6a4e8c9d2f1a7b5c3e", "correct horse battery staple, and more"] {
            assert_eq!(weakness(strong, ""), None, "{strong}");
        }
    }
}
