//! Owns: the scripted provider as Python holds it.

use crate::base::{Error, ErrorKind, Result};
use crate::twin;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::net::{Ipv4Addr, SocketAddr};

#[pyclass(frozen, module = "gotoai._core")]
pub(super) struct Twin(Mutex<twin::Twin>);

#[pymethods]
impl Twin {
    #[staticmethod]
    #[pyo3(signature = (port = 0))]
    fn start(py: Python<'_>, port: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        py.detach(|| twin::Twin::start(address))
            .map(|twin| Self(Mutex::new(twin)))
            .map_err(|error| Error::new(ErrorKind::Configuration, format!("the twin cannot listen on port {port}: {error}")))
    }

    #[getter]
    fn url(&self) -> String {
        self.0.lock().url()
    }

    fn script(&self, steps: &[u8]) -> Result<()> {
        self.0.lock().script(steps).map_err(|why| Error::new(ErrorKind::InvalidRequest, why))
    }

    fn requests<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.lock().requests_json())
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.lock().stop());
    }
}
