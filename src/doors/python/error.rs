//! Owns: the one conversion from an error of the core to a Python exception.

use crate::base::{Error, ErrorKind};
use pyo3::exceptions::PyException;
use pyo3::{PyErr, create_exception, pyfunction};
use std::borrow::Cow;

create_exception!(
    gotoai._core,
    CoreError,
    PyException,
    "Raised by every function of this module. ``args`` is ``(code, message, param, retry_after)``; see ``gotoai.errors``."
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        if let Some(cause) = &error.cause {
            tracing::warn!(code = error.kind.code(), %cause, "error handed to Python");
        }
        let retry_after_s = error.retry_after.map(|span| span.as_secs_f64());
        CoreError::new_err((error.kind.code(), error.message, error.param.map(Cow::into_owned), retry_after_s))
    }
}

/// Every error there is: `(code, HTTP status, envelope type)`. `gotoai.errors` builds on it, so that the list exists once.
#[pyfunction]
pub(super) fn error_kinds() -> Vec<(&'static str, u16, &'static str)> {
    ErrorKind::ALL.iter().map(|kind| (kind.code(), kind.status(), kind.envelope_type())).collect()
}
