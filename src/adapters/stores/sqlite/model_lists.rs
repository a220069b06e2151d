//! Owns: the last model list of each provider, so that a start with a provider down still knows its models.

use super::connection::Database;
use crate::base::{Result, Timestamp};
use rusqlite::OptionalExtension;

impl Database {
    /// The stored list and when it was fetched.
    pub fn model_list(&self, provider: &str) -> Result<Option<(Vec<String>, Timestamp)>> {
        let stored: Option<(String, i64)> = self.with(|c| {
            c.prepare_cached("SELECT models, fetched_at FROM model_lists WHERE provider = ?1")?
                .query_row([provider], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })?;
        // A damaged list is only a missing one.
        Ok(stored.and_then(|(models, at)| Some((serde_json::from_str(&models).ok()?, Timestamp(at)))))
    }

    pub fn store_model_list(&self, provider: &str, models: &[String], now: Timestamp) -> Result<()> {
        let models = serde_json::to_string(models).unwrap_or_else(|_| "[]".into());
        self.change(|c| {
            c.prepare_cached(
                "INSERT INTO model_lists VALUES (?1, ?2, ?3) ON CONFLICT(provider) DO UPDATE SET models = ?2, fetched_at = ?3",
            )?
            .execute((provider, models, now.0))
            .map(drop)
        })
    }
}
