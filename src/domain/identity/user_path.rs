//! Owns: the tenant tree's addresses, `/team/app`.

use crate::base::{Error, ErrorKind, Result};
use std::fmt;
use std::sync::Arc;

/// A normalised path: leading slash, no empty segment, no trailing slash, no `.` or `..`; `/` is everyone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserPath(Arc<str>);

impl UserPath {
    const MAX_BYTES: usize = 256;

    pub fn root() -> Self {
        Self("/".into())
    }

    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| Error::new(ErrorKind::InvalidRequest, format!("invalid user path: {why}")).with_param("user_path");
        if text.len() > Self::MAX_BYTES {
            return Err(refuse("longer than 256 bytes"));
        }
        let mut path = String::with_capacity(text.len() + 1);
        for segment in text.trim().split('/').filter(|segment| !segment.is_empty()) {
            if segment == "." || segment == ".." || segment.contains(':') || segment.chars().any(char::is_control) {
                return Err(refuse("'.', '..', ':' and control characters are not allowed"));
            }
            path.push('/');
            path.push_str(segment);
        }
        if path.is_empty() {
            path.push('/');
        }
        Ok(Self(path.into()))
    }

    /// Is `other` this path or below it? Segment by segment: `/team` holds `/team/a`, not `/team-a`.
    pub fn contains(&self, other: &Self) -> bool {
        &*self.0 == "/" || other.0.strip_prefix(&*self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_and_contains_by_segment() {
        let path = |text: &str| UserPath::parse(text).unwrap();
        assert_eq!(path(" team//alpha/ ").as_str(), "/team/alpha");
        assert_eq!(path("").as_str(), "/");
        assert!(path("/team").contains(&path("/team/a")) && !path("/team").contains(&path("/team-a")));
        assert!(UserPath::parse("/a/../b").is_err() && UserPath::parse("/a:b").is_err());
    }
}
