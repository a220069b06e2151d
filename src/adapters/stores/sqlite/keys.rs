//! Owns: virtual keys on SQLite.

use super::connection::Database;
use crate::base::{Error, ErrorKind, KeyId, Ratio, Result, Timestamp};
use crate::domain::identity::{KeyStore, ModelPattern, Scope, Scopes, UserPath, VirtualKey};
use rusqlite::{Connection, OptionalExtension, Row};

const COLUMNS: &str = "id, digest, name, hint, scopes, models, user_path, wallet, mode, created_at, expires_at, revoked_at, \
                       builder, builder_percent";

fn key(row: &Row<'_>) -> rusqlite::Result<VirtualKey> {
    let damaged = |column: usize, why: String| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why.into());
    let (scopes, models, path): (String, String, String) = (row.get(4)?, row.get(5)?, row.get(6)?);
    let models: Vec<String> = serde_json::from_str(&models).map_err(|error| damaged(5, error.to_string()))?;
    let mode: Option<String> = row.get(8)?;
    let builder: Option<(String, String)> = row.get::<_, Option<String>>(12)?.zip(row.get(13)?);
    let share = |(name, percent): (String, String)| Ok((name.into(), Ratio::from_percent(&percent)?));
    Ok(VirtualKey {
        id: KeyId(row.get(0)?),
        digest: row.get(1)?,
        name: row.get(2)?,
        hint: row.get(3)?,
        scopes: scopes.split(' ').filter_map(Scope::by_name).collect::<Scopes>(),
        models: models.into_iter().map(ModelPattern::new).collect(),
        user_path: UserPath::parse(&path).map_err(|error| damaged(6, error.message))?,
        wallet: row.get(7)?,
        mode: mode.map(|mode| mode.parse()).transpose().map_err(|error: Error| damaged(8, error.message))?,
        builder: builder.map(share).transpose().map_err(|why| damaged(13, why))?,
        created_at: Timestamp(row.get(9)?),
        expires_at: row.get::<_, Option<i64>>(10)?.map(Timestamp),
        revoked_at: row.get::<_, Option<i64>>(11)?.map(Timestamp),
    })
}

/// Tells running gateways that keys changed, in the same transaction as the change.
pub(super) fn bump(c: &Connection) -> rusqlite::Result<()> {
    c.execute("UPDATE control SET v = CAST(v AS INTEGER) + 1 WHERE k = 'version'", []).map(drop)
}

impl Database {
    /// Makes running gateways on this database read keys and prices again.
    pub fn announce(&self) -> Result<()> {
        self.change(|c| bump(c))
    }
}

impl KeyStore for Database {
    fn list_keys(&self) -> Result<Vec<VirtualKey>> {
        self.with(|c| c.prepare_cached(&format!("SELECT {COLUMNS} FROM keys ORDER BY created_at, id"))?.query_map([], key)?.collect())
    }

    fn insert_key(&self, key: &VirtualKey) -> Result<()> {
        let models: Vec<&str> = key.models.iter().map(ModelPattern::as_str).collect();
        let models = serde_json::to_string(&models)
            .map_err(|error| Error::new(ErrorKind::Internal, "the key cannot be stored").with_cause(error))?;
        self.change(|c| {
            c.execute(
                &format!("INSERT INTO keys({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"),
                (
                    key.id.0,
                    key.digest,
                    &key.name,
                    &key.hint,
                    key.scopes.names().join(" "),
                    models,
                    key.user_path.as_str(),
                    &key.wallet,
                    key.mode.map(crate::domain::catalog::Mode::name),
                    key.created_at.0,
                    key.expires_at.map(Timestamp::millis),
                    key.revoked_at.map(Timestamp::millis),
                    key.builder.as_ref().map(|(name, _)| &**name),
                    key.builder.as_ref().map(|(_, share)| share.to_percent()),
                ),
            )?;
            bump(c)
        })
    }

    fn revoke_key(&self, id: KeyId, now: Timestamp) -> Result<Option<VirtualKey>> {
        self.change(|c| {
            c.execute("UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL", (id.0, now.0))?;
            let found = c.query_row(&format!("SELECT {COLUMNS} FROM keys WHERE id = ?1"), [id.0], key).optional()?;
            bump(c).map(|()| found)
        })
    }
}
