//! Owns: one message to a webhook: the request, what counts as taken.
//! Refuses to know: what messages say, how they are signed, and when they are tried again.

use crate::adapters::providers::HttpClient;
use crate::base::{Error, ErrorKind, Result, Secret, Timestamp};
use crate::protocol::SigningKey;
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
    key: SigningKey,
}

impl Webhook {
    pub fn new(client: HttpClient, url: &str, secret: &Secret) -> Result<Self> {
        let url = url.parse().map_err(|_| Error::new(ErrorKind::Configuration, "alerts.webhook_url is not a URL"))?;
        Ok(Self { client, url, key: SigningKey::new(secret) })
    }

    /// The host, for people.
    pub fn host(&self) -> &str {
        self.url.host().unwrap_or_default()
    }

    /// Sends the message once; a status of 200 to 299 says that it was taken.
    pub async fn send(&self, body: String, now: Timestamp) -> std::result::Result<(), String> {
        let signature = HeaderValue::from_str(&self.key.sign(body.as_bytes(), now)).map_err(|error| error.to_string())?;
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
