//! Owns: the TLS side of the listener: certificate, key, protocols offered.

use crate::app::settings::TlsSettings;
use crate::base::{Error, ErrorKind, Result};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Reads the certificate chain and its key, and checks that they belong together.
pub(super) fn acceptor(settings: &TlsSettings) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(&settings.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| unreadable("GOTOAI_TLS_CERT", &settings.cert, &e))?;
    if chain.is_empty() {
        return Err(unreadable("GOTOAI_TLS_CERT", &settings.cert, &pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|e| unreadable("GOTOAI_TLS_KEY", &settings.key, &e))?;

    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(rejected)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(rejected)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Start-up errors are for the operator, who named the path: so the message repeats it.
fn unreadable(variable: &str, path: &Path, error: &pem::Error) -> Error {
    let what = match error {
        pem::Error::Io(e) => format!("cannot be read ({})", e.kind()),
        pem::Error::NoItemsFound => "holds no such item in PEM form (-----BEGIN ...-----)".to_owned(),
        _ => "is not a valid PEM file".to_owned(),
    };
    Error::new(ErrorKind::Configuration, format!("{variable}: {} {what}.", path.display())).with_cause(error)
}

fn rejected(error: rustls::Error) -> Error {
    let message = "GOTOAI_TLS_CERT and GOTOAI_TLS_KEY do not work together: the key must be that of the first certificate in the chain.";
    Error::new(ErrorKind::Configuration, message).with_cause(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn message(cert: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let settings = TlsSettings { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
        if !cert.is_empty() {
            fs::write(&settings.cert, cert).unwrap();
        }
        acceptor(&settings).err().unwrap().message
    }

    #[test]
    fn says_which_file_is_wrong_and_how() {
        assert!(message(b"").contains("GOTOAI_TLS_CERT") && message(b"").contains("entity not found"), "{}", message(b""));
        assert!(message(b"hello").contains("PEM"), "{}", message(b"hello"));
        let cert = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(message(cert).contains("GOTOAI_TLS_KEY"), "{}", message(cert));
    }
}
