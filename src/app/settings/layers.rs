//! Owns: which layer a setting is taken from: default < file < environment.
//! Refuses to know: what the settings mean.

use super::environment::{secret_variable, variable};
use super::file::Section;
use super::reference::{SettingRow, members, reference};
use super::scalar::Scalar;
use crate::base::Result;
use std::collections::HashMap;

/// Members of the file's top level that are not rows of the general table.
const SUPPLY_MEMBERS: [&str; 2] = ["providers", "aliases"];

/// The general settings, by their place in the file.
pub(super) struct Layers(HashMap<&'static str, Scalar>);

impl Layers {
    pub(super) fn new(file: &Section, env: &HashMap<String, String>) -> Result<Self> {
        check_members(file, "")?;
        let mut values = HashMap::new();
        for row in reference().iter().filter(|row| !row.yaml.is_empty()) {
            let given = if row.secret { secret_variable(env, row.env)? } else { variable(env, row.env) };
            let value = match given {
                Some(value) => Some(value),
                None => written(file, row)?,
            };
            values.extend(value.map(|value| (row.yaml, value)));
        }
        Ok(Self(values))
    }

    /// What was set, if it was.
    pub(super) fn set(&self, yaml: &str) -> Option<&Scalar> {
        self.0.get(yaml)
    }

    /// What was set, else the table's default.
    pub(super) fn get(&self, yaml: &str) -> Scalar {
        self.set(yaml).cloned().unwrap_or_else(|| {
            let default = reference().iter().find(|row| row.yaml == yaml).map_or("", |row| row.default);
            Scalar { place: yaml.into(), text: default.into(), shown: Some(default.into()) }
        })
    }
}

fn written(file: &Section, row: &SettingRow) -> Result<Option<Scalar>> {
    let (mut section, mut rest) = (file, row.yaml);
    while let Some((name, below)) = rest.split_once('.') {
        match section.section(name)? {
            Some(inner) => (section, rest) = (inner, below),
            None => return Ok(None),
        }
    }
    let value = section.scalar(rest)?;
    Ok(value.map(|value| if row.secret { Scalar { shown: None, ..value } } else { value }))
}

/// Every mapping of the general settings holds known members only.
fn check_members(section: &Section, place: &str) -> Result<()> {
    let mut allowed = members(reference(), place);
    if place.is_empty() {
        allowed.extend(SUPPLY_MEMBERS);
    }
    section.check_members(&allowed)?;
    for name in allowed {
        let below = if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
        if members(reference(), &below).is_empty() {
            continue;
        }
        if let Some(inner) = section.section(name)? {
            check_members(inner, &below)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::file::parse;
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
        let env = env(&[("PORT", "1"), ("HOST", ""), ("GOTOAI_LEDGER", " ")]);
        let file = parse("server: {port: 2, host: 0.0.0.0}\nledger: {enabled: off}", &env).unwrap();
        let layers = Layers::new(&file, &env).unwrap();
        let texts = ["server.port", "server.host", "ledger.enabled", "ledger.durability"].map(|name| layers.get(name).text);
        assert_eq!(texts, ["1", "0.0.0.0", "off", "strict"]);
        assert_eq!(layers.get("server.port").place, "PORT");
        assert!(layers.set("ledger.durability").is_none());
    }

    #[test]
    fn unknown_members_are_named_with_their_path() {
        let fails = |source: &str| Layers::new(&parse(source, &HashMap::new()).unwrap(), &HashMap::new()).err().map(|e| e.message);
        assert_eq!(fails("serve: {}"), Some("serve: there is no such setting; did you mean 'server'?".into()));
        assert_eq!(
            fails("resilience: {retry: {max_retires: 1}}"),
            Some("resilience.retry.max_retires: there is no such setting; did you mean 'max_retries'?".into())
        );
        assert_eq!(fails("server: 1"), Some("server: must be a mapping of names to values".into()));
        assert_eq!(fails("server: {port: [1]}"), Some("server.port: must be a single value".into()));
    }
}
