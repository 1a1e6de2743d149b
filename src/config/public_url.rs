//! The address at which people open the service in a browser.

use url::Url;

use super::setting::parse;
use super::{Origin, Setting};

const MUST_BE: &str = "must be an origin without a path, such as https://metrics.example.com";

/// The origin of the service as browsers see it, such as `https://metrics.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(Url);

impl PublicUrl {
    /// Returns the origin as a browser sends it: without a slash at its end, and without the port that its scheme has anyway.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Returns the origin as a URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.0
    }
}

impl Setting for PublicUrl {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let origin = Origin::read(text).ok().filter(|origin| !origin.is_any());
        let origin = origin.ok_or_else(|| MUST_BE.to_owned())?;
        parse(origin.as_str(), MUST_BE).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_origin_without_a_path() {
        let origin = |text| PublicUrl::read(text).map(|url| url.origin());
        for text in ["https://metrics.example.com", "https://Metrics.Example.com:443/"] {
            assert_eq!(origin(text).unwrap(), "https://metrics.example.com", "{text}");
        }
        assert_eq!(origin("http://localhost:5001").unwrap(), "http://localhost:5001");
        for text in ["*", "metrics.example.com", "https://example.com/mlops", "ftp://example.com", "https://"]
        {
            assert_eq!(origin(text).unwrap_err(), MUST_BE, "{text}");
        }
    }
}
