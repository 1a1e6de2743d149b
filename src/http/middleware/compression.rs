//! Compression of pages and of what they load.
//!
//! Compressing a secret together with text of an attacker's choice would let that attacker find the secret out by the length of
//! responses (BREACH, CVE-2013-3587). Pages hold no secret: the value of a cookie is in no page, and forms are protected by
//! `Origin`, not by a token. So this is for pages and assets alone, not for responses with keys in them, such as those of
//! `/admin/keys`.

use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

/// The least size of a body that is compressed, in bytes: smaller ones fit into one packet as they are.
const MIN_BYTES: u64 = 1_024;

/// Returns the layer that compresses with gzip where the client takes that, and adds `Vary: Accept-Encoding`.
#[must_use]
pub fn layer() -> CompressionLayer<SizeAbove> {
    CompressionLayer::new().compress_when(SizeAbove::new(MIN_BYTES))
}
