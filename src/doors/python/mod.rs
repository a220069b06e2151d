//! The Python boundary: bytes in, bytes out. This file is the list of what `gotoai._core` exports, and nothing else.

mod blocking;
mod core;
mod door;
mod error;
mod exchange;
mod queue;
mod runtime;
mod signals;
mod simulation;
mod stream;
mod twin;

#[pyo3::pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::blocking::BlockingStream;
    #[pymodule_export]
    use super::core::Core;
    #[pymodule_export]
    use super::door::Door;
    #[pymodule_export]
    use super::error::{CoreError, error_kinds};
    #[pymodule_export]
    use super::simulation::simulate;
    #[pymodule_export]
    use super::stream::Stream;
    #[pymodule_export]
    use super::twin::Twin;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python spells it so")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
