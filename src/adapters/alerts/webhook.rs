//! Owns: one message to a webhook: its signature, the request, what counts as taken.
//! Refuses to know: what messages say, and when they are tried again.

use crate::adapters::providers::HttpClient;
use crate::base::{Error, ErrorKind, Result, Secret, Timestamp};
use crate::domain::ledger::hex;
use aws_lc_rs::hmac;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use std::time::Duration;

/// A receiver that takes longer is asked again later.
const TIMEOUT: Duration = Duration::from_secs(10);
const AGENT: &str = concat!("gotoai/", env!("CARGO_PKG_VERSION"));

/// Where messages go.
pub struct Webhook {
    client: HttpClient,
    url: Uri,
    key: hmac::Key,
}

impl Webhook {
    pub fn new(client: HttpClient, url: &str, secret: &Secret) -> Result<Self> {
        let url = url.parse().map_err(|_| Error::new(ErrorKind::Configuration, "alerts.webhook_url is not a URL"))?;
        Ok(Self { client, url, key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()) })
    }

    /// The host, for people.
    pub fn host(&self) -> &str {
        self.url.host().unwrap_or_default()
    }

    /// Sends the message once; a status of 200 to 299 says that it was taken.
    pub async fn send(&self, body: String, now: Timestamp) -> std::result::Result<(), String> {
        let signature = HeaderValue::from_str(&sign(&self.key, &body, now)).map_err(|error| error.to_string())?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert("gotoai-signature", signature);
        let answer = self.client.send(request, TIMEOUT).await.map_err(|fault| fault.to_string())?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("answered with status {}", status.as_u16())) }
    }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 over `SECONDS.BODY`, so that neither can be changed, nor the message be sent again later.
fn sign(key: &hmac::Key, body: &str, now: Timestamp) -> String {
    let seconds = now.seconds();
    let tag = hmac::sign(key, format!("{seconds}.{body}").as_bytes());
    format!("t={seconds},v1={}", hex(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_covers_time_and_body() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"whsec_test");
        let signed = sign(&key, "{\"id\":\"evt_1\"}", Timestamp(1_700_000_000_999));
        // Python: hmac.new(b"whsec_test", b'1700000000.{"id":"evt_1"}', "sha256").hexdigest()
        assert_eq!(signed, "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925");
        assert_ne!(signed, sign(&key, "{\"id\":\"evt_2\"}", Timestamp(1_700_000_000_999)));
    }
}
