//! Owns: signed messages between servers, `t=SECONDS,v1=HEX`: an HMAC-SHA256 over `SECONDS.BODY`, made and checked, so that neither
//! can be changed, nor the message be sent again later. Our own alerts are signed so, and so are Stripe's events.
//! Refuses to know: what a message says, and in which header its signature comes.

use crate::base::{Error, ErrorKind, Result, Secret, Timestamp, hex};
use aws_lc_rs::{constant_time, hmac};

/// How far the signer's clock and ours may be apart, either way, and how long a message may be under way.
const TOLERANCE_SECONDS: u64 = 300;
/// While a secret is changed there are two; nobody needs many.
const SIGNATURES_MAX: usize = 16;

/// One secret, ready to sign and to check with.
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// The secret is taken as the text it is, prefix included.
    pub fn new(secret: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()))
    }

    /// The header of a message sent at `now`.
    pub fn sign(&self, body: &[u8], now: Timestamp) -> String {
        let seconds = now.seconds().to_string();
        format!("t={seconds},v1={}", self.tag(&seconds, body))
    }

    fn tag(&self, seconds: &str, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(seconds.as_bytes());
        context.update(b".");
        context.update(body);
        hex(context.sign().as_ref())
    }
}

/// Is the message whole, fresh, and signed with one of the keys? Several while a secret is being changed, on either side.
/// Errors: `InvalidSignature`, with what is wrong.
pub fn check_signature(keys: &[SigningKey], header: &str, body: &[u8], now: Timestamp) -> Result<()> {
    let refuse = |why: &str| Error::new(ErrorKind::InvalidSignature, why);
    let mut stamp = None;
    let mut given = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", value)) => stamp = Some(value),
            Some(("v1", value)) if given.len() < SIGNATURES_MAX => given.push(value),
            // Other schemes, older or yet to come, prove nothing to us.
            Some(_) | None => {}
        }
    }
    let form = "the signature is not of the form t=...,v1=...";
    let stamp = stamp.filter(|stamp| !stamp.is_empty() && stamp.bytes().all(|b| b.is_ascii_digit())).ok_or_else(|| refuse(form))?;
    let signed_at: i64 = stamp.parse().map_err(|_| refuse(form))?;
    if given.is_empty() {
        return Err(refuse(form));
    }
    let fits = |key: &SigningKey| {
        let wanted = key.tag(stamp, body);
        given.iter().any(|one| constant_time::verify_slices_are_equal(wanted.as_bytes(), one.as_bytes()).is_ok())
    };
    if !keys.iter().any(fits) {
        return Err(refuse(
            "the signature does not fit the message: it was made with another secret, or the message was changed on its way",
        ));
    }
    // Only now: of a forged message not even the time is believed.
    if now.seconds().abs_diff(signed_at) > TOLERANCE_SECONDS {
        return Err(refuse("the message was signed too long ago, or one of the two clocks is wrong"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"{\"id\":\"evt_1\"}";
    const NOW: Timestamp = Timestamp(1_700_000_000_999);

    fn key(secret: &str) -> SigningKey {
        SigningKey::new(&Secret::new(secret))
    }

    fn fault(keys: &[SigningKey], header: &str, body: &[u8], now: Timestamp) -> String {
        check_signature(keys, header, body, now).unwrap_err().message
    }

    #[test]
    fn the_signature_covers_time_and_body() {
        let signed = key("whsec_test").sign(BODY, NOW);
        // Python: hmac.new(b"whsec_test", b'1700000000.{"id":"evt_1"}', "sha256").hexdigest()
        assert_eq!(signed, "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925");
        let keys = [key("whsec_test")];
        assert_eq!(check_signature(&keys, &signed, BODY, NOW), Ok(()));
        assert!(fault(&keys, &signed, b"{\"id\":\"evt_2\"}", NOW).contains("changed"));
        assert!(fault(&keys, &signed.replace("t=1700000000", "t=1700000001"), BODY, NOW).contains("changed"));
        assert!(fault(&[key("whsec_other")], &signed, BODY, NOW).contains("another secret"));
        assert!(fault(&[], &signed, BODY, NOW).contains("another secret"));
    }

    #[test]
    fn it_is_good_for_five_minutes_either_way() {
        let keys = [key("s")];
        let signed = keys[0].sign(BODY, NOW);
        for (seconds, is_good) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
            let outcome = check_signature(&keys, &signed, BODY, Timestamp(NOW.0 + seconds * 1000));
            assert_eq!(outcome.is_ok(), is_good, "{seconds}: {outcome:?}");
        }
    }

    #[test]
    fn either_side_may_have_several_secrets_while_one_is_changed() {
        let (old, new) = (key("old"), key("new"));
        let both = format!("{},v1={}", old.sign(BODY, NOW), new.tag("1700000000", BODY));
        assert_eq!(check_signature(&[key("new")], &both, BODY, NOW), Ok(()));
        assert_eq!(check_signature(&[key("old")], &both, BODY, NOW), Ok(()));
        assert_eq!(check_signature(&[key("x"), old], &key("old").sign(BODY, NOW), BODY, NOW), Ok(()));
    }

    #[test]
    fn only_the_scheme_v1_counts() {
        let keys = [key("s")];
        let signed = keys[0].sign(BODY, NOW);
        let tag = signed.split_once("v1=").unwrap().1;
        assert_eq!(check_signature(&keys, &format!("t=1700000000, v1={tag} ,v0=aa"), BODY, NOW), Ok(()));
        for header in ["", "t=1700000000", "v1=aa", "t=,v1=aa", "t=-5,v1=aa", "t=99999999999999999999,v1=aa", "t=1 ,x", "garbage"] {
            assert!(fault(&keys, header, BODY, NOW).contains("of the form"), "{header}");
        }
        for header in [format!("t=1700000000,v0={tag},v1=aa"), format!("t=1700000000,v1={}", &tag[1..])] {
            assert!(fault(&keys, &header, BODY, NOW).contains("does not fit"), "{header}");
        }
    }
}
