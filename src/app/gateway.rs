//! STUB, replaced at merge: just enough of the gateway to build and test the doors.

use crate::app::settings::Settings;
use crate::base::{Error, ErrorKind, Result, Secret};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;

pub struct Gateway {
    settings: Settings,
    closed: AtomicBool,
}

impl Gateway {
    pub fn open(settings: Settings, _offline: bool, _runtime: Handle) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { settings, closed: AtomicBool::new(false) }))
    }

    pub async fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn admin(&self, operation: &str, arguments: &[u8]) -> Result<Vec<u8>> {
        match operation {
            "echo" => Ok(arguments.to_vec()),
            other => Err(Error::new(ErrorKind::NotFound, format!("No operation is called {other}."))),
        }
    }

    pub fn startup_notice(&self) -> Option<Secret> {
        None
    }
}
