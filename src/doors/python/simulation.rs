//! Owns: the simulation as Python asks for it: a question in JSON, a summary in JSON, the GIL released in between.

use crate::base::{Error, ErrorKind};
use crate::sim::{self, Question};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::ops::ControlFlow;

/// `on_run(seeds, runs, orders, failures)` hears of each run when it is done; `seeds` are those that are done. An exception in it, Ctrl-C among them, ends the whole.
#[pyfunction]
#[pyo3(signature = (question, on_run = None))]
pub(super) fn simulate<'py>(py: Python<'py>, question: &[u8], on_run: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyBytes>> {
    let question: Question = serde_json::from_slice(question)
        .map_err(|error| Error::new(ErrorKind::InvalidRequest, format!("this cannot be simulated: {error}")))?;
    let mut raised = None;
    let summary = py.detach(|| {
        sim::simulate(&question, |so_far| {
            let told = Python::attach(|py| {
                py.check_signals()?;
                let counts = (so_far.seeds, so_far.runs, so_far.orders, so_far.failures.len());
                on_run.as_ref().map_or(Ok(()), |on_run| on_run.call1(py, counts).map(drop))
            });
            match told {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    raised = Some(error);
                    ControlFlow::Break(())
                }
            }
        })
    })?;
    if let Some(error) = raised {
        return Err(error);
    }
    let json =
        serde_json::to_vec(&summary).map_err(|error| Error::new(ErrorKind::Internal, "the summary cannot be written").with_cause(error))?;
    Ok(PyBytes::new(py, &json))
}
