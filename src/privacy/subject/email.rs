//! E-mail addresses as people write them.

use std::collections::HashSet;

use super::written::{folded, plain};

/// The maximum length of an e-mail address, in characters (RFC 5321 allows 254 bytes).
pub(super) const MAX_EMAIL_CHARS: usize = 254;

/// The scheme of a link to an address (RFC 6068).
const SCHEME: &str = "mailto:";

/// Parses one address: bare, as a `mailto:` link, or after a name as `Name <address>`.
pub(super) fn one(text: &str) -> Option<String> {
    let text = plain(text);
    let text = text.trim();
    let text =
        text.strip_suffix('>').map_or(Some(text), |named| named.rsplit_once('<').map(|(_, address)| address));
    address(text?)
}

/// Returns every address in a text, in order and each once.
pub(super) fn all(text: &str) -> Vec<String> {
    let text = plain(text);
    let parts = text.split(|c: char| c.is_whitespace() || c.is_control() || "<>(),;|\"[]".contains(c));
    let mut seen = HashSet::new();
    let addresses = parts.filter(|part| part.contains('@')).filter_map(address);
    addresses.filter(|address| seen.insert(address.clone())).collect()
}

/// Returns the normal form of an address: folded, its host in Unicode even where it is written in Punycode.
fn address(text: &str) -> Option<String> {
    let text = text.trim().trim_matches(|c| matches!(c, '.' | ':' | '\''));
    let linked = text.get(..SCHEME.len()).filter(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
    let text = match linked {
        Some(_) => unescaped(text[SCHEME.len()..].split('?').next().unwrap_or_default())?,
        None => text.to_owned(),
    };
    let (name, host) = text.rsplit_once('@')?;
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "<>(),;|\"".contains(c);
    if name.is_empty() || host.is_empty() || text.contains(is_odd) || text.chars().count() > MAX_EMAIL_CHARS {
        return None;
    }
    let (unicode, valid) = idna::domain_to_unicode(host);
    let host = if valid.is_ok() { &unicode } else { host };
    Some(folded(&format!("{name}@{host}")))
}

/// Returns a text with its percent-encoded bytes decoded.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.first_chunk::<2>().filter(|_| *first == b'%');
        if let Some(decoded) = pair.and_then(|pair| hex::decode(pair).ok()) {
            bytes.extend(decoded);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}
