//! Owns: the one conversion from an error of the core to a Python exception.

use crate::base::{Error, ErrorKind};
use pyo3::exceptions::PyException;
use pyo3::{PyErr, create_exception, pyfunction};

create_exception!(
    gotoai._core,
    CoreError,
    PyException,
    "Raised by every function of this module. ``args`` is ``(code, message)``; see ``gotoai.errors``."
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        if let Some(cause) = &error.cause {
            tracing::warn!(code = error.kind.code(), %cause, "error handed to Python");
        }
        CoreError::new_err((error.kind.code(), error.message))
    }
}

/// Every error there is: `(code, HTTP status, envelope type)`. `gotoai.errors` builds on it, so that the list exists once.
#[pyfunction]
pub(super) fn error_kinds() -> Vec<(&'static str, u16, &'static str)> {
    ErrorKind::ALL.iter().map(|kind| (kind.code(), kind.status(), kind.envelope_type())).collect()
}
