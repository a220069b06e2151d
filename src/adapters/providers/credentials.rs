//! Owns: which of a provider's credentials a call uses, and how long one rests after a refusal.
//! Refuses to know: what is sent with it, and retries (execute).

use crate::base::Clock;
use http::{HeaderMap, StatusCode, header};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;

/// After 401 or 403: revoked, expired or out of credit; worth another look once somebody had time to act.
const REST_REFUSED: Duration = Duration::from_secs(300);
/// After 429 without Retry-After.
const REST_THROTTLED: Duration = Duration::from_secs(10);
/// A provider may say "tomorrow", but an operator may have raised the limit by then.
const REST_LONGEST: Duration = Duration::from_secs(3600);

/// A provider's credentials, used in turn. Atomics only: no call waits for another.
pub(super) struct Credentials {
    all: Box<[Credential]>,
    next: AtomicUsize,
    /// What `ready_at_ms` counts from.
    start: Instant,
}

struct Credential {
    /// Ready to be sent: the common headers with this credential among them.
    headers: HeaderMap,
    ready_at_ms: AtomicU64,
}

/// The place of a credential, to judge it by its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CredentialIndex(usize);

impl Credentials {
    /// One set of headers for each credential; a provider that needs none has one set without.
    pub(super) fn new(headers: Vec<HeaderMap>) -> Self {
        let all = headers.into_iter().map(|headers| Credential { headers, ready_at_ms: AtomicU64::new(0) });
        Self { all: all.collect(), next: AtomicUsize::new(0), start: Instant::now() }
    }

    /// The next ready one, or how long until the first is. A single one never rests: resting would only turn the
    /// provider's own answer into ours.
    pub(super) fn pick(&self) -> Result<(CredentialIndex, &HeaderMap), Duration> {
        if let [only] = &*self.all {
            return Ok((CredentialIndex(0), &only.headers));
        }
        let (count, now_ms) = (self.all.len().max(1), self.now_ms());
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let ready = (0..count).map(|step| first.wrapping_add(step) % count).find(|i| self.is_ready(*i, now_ms));
        match ready.and_then(|i| self.all.get(i).map(|credential| (CredentialIndex(i), &credential.headers))) {
            Some(picked) => Ok(picked),
            None => {
                let soonest_ms = self.all.iter().map(|credential| credential.ready_at_ms.load(Ordering::Relaxed)).min().unwrap_or(u64::MAX);
                Err(Duration::from_millis(soonest_ms.saturating_sub(now_ms)))
            }
        }
    }

    /// Any credential, for requests that are not a caller's.
    pub(super) fn any(&self) -> Option<&HeaderMap> {
        self.pick().ok().map(|(_, headers)| headers).or_else(|| self.all.first().map(|credential| &credential.headers))
    }

    /// A refusal makes the credential rest.
    pub(super) fn judge(&self, index: CredentialIndex, status: StatusCode, headers: &HeaderMap) {
        let rest = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => REST_REFUSED,
            StatusCode::TOO_MANY_REQUESTS => retry_after(headers).unwrap_or(REST_THROTTLED).min(REST_LONGEST),
            _ => return,
        };
        if let Some(credential) = self.all.get(index.0) {
            let until_ms = self.now_ms().saturating_add(u64::try_from(rest.as_millis()).unwrap_or(u64::MAX));
            credential.ready_at_ms.fetch_max(until_ms, Ordering::Relaxed);
        }
    }

    /// Is there one to try at once after a refusal? The refused one rests, so any that is ready is another.
    pub(super) fn has_ready(&self) -> bool {
        let now_ms = self.now_ms();
        self.all.len() > 1 && (0..self.all.len()).any(|i| self.is_ready(i, now_ms))
    }

    fn is_ready(&self, i: usize, now_ms: u64) -> bool {
        self.all.get(i).is_some_and(|credential| credential.ready_at_ms.load(Ordering::Relaxed) <= now_ms)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let now_ms = u64::try_from(Clock::system().now().millis()).unwrap_or_default();
    Some(until.saturating_sub(Duration::from_millis(now_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use tokio::time::advance;

    fn credentials(count: usize) -> Credentials {
        Credentials::new(vec![HeaderMap::new(); count])
    }

    fn retry_in(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(text))])
    }

    fn picks(credentials: &Credentials, count: usize) -> Vec<usize> {
        (0..count).map(|_| credentials.pick().unwrap().0.0).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn in_turn_and_around_those_that_rest() {
        let keys = credentials(3);
        assert_eq!(picks(&keys, 4), [0, 1, 2, 0]);
        keys.judge(CredentialIndex(1), StatusCode::UNAUTHORIZED, &HeaderMap::new());
        assert!(picks(&keys, 12).iter().all(|i| *i != 1));
        advance(REST_REFUSED).await;
        assert!(picks(&keys, 3).contains(&1));
    }

    #[tokio::test(start_paused = true)]
    async fn all_rest_until_the_first_is_back() {
        let keys = credentials(2);
        keys.judge(CredentialIndex(0), StatusCode::TOO_MANY_REQUESTS, &retry_in("60"));
        assert!(keys.has_ready());
        keys.judge(CredentialIndex(1), StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new());
        assert!(!keys.has_ready());
        assert_eq!(keys.pick().unwrap_err(), REST_THROTTLED);
        advance(REST_THROTTLED).await;
        assert_eq!(picks(&keys, 2), [1, 1]);
        assert!(keys.any().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_only_one_never_rests() {
        let keys = credentials(1);
        keys.judge(CredentialIndex(0), StatusCode::UNAUTHORIZED, &HeaderMap::new());
        assert_eq!(picks(&keys, 2), [0, 0]);
        assert!(!keys.has_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn other_replies_say_nothing_about_the_credential() {
        let keys = credentials(2);
        for status in [200, 400, 404, 500, 503] {
            keys.judge(CredentialIndex(0), StatusCode::from_u16(status).unwrap(), &retry_in("60"));
        }
        assert_eq!(picks(&keys, 2), [0, 1]);
    }

    #[test]
    fn retry_after_in_both_forms() {
        assert_eq!(retry_after(&retry_in("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&retry_in("Sun, 06 Nov 1994 08:49:37 GMT")), Some(Duration::ZERO));
        assert!(retry_after(&retry_in("Fri, 31 Dec 9999 23:59:59 GMT")).unwrap() > REST_LONGEST);
        assert_eq!(retry_after(&retry_in("soon")), None);
    }
}
