//! Owns: the error envelope of the OpenAI dialect.

use crate::base::Error;
use serde::Serialize;

#[derive(Serialize)]
struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    code: &'static str,
}

/// `{"error": {"message", "type", "param", "code"}}`. The cause stays inside.
pub fn error_envelope(error: &Error) -> Vec<u8> {
    let body = Body { message: &error.message, kind: error.kind.envelope_type(), param: error.param.as_deref(), code: error.kind.code() };
    serde_json::to_vec(&Envelope { error: body }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorKind;

    #[test]
    fn shows_what_the_sdks_read_and_nothing_else() {
        let error = Error::new(ErrorKind::UnknownModel, "no \"x\"").with_param("model").with_cause("secret detail");
        let text = String::from_utf8(error_envelope(&error)).unwrap();
        assert_eq!(text, r#"{"error":{"message":"no \"x\"","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#);
    }
}
