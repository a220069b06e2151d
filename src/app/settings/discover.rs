//! Owns: providers named by the environment: `<FAMILY>[_<SUFFIX>]_API_KEY | _API_KEYS | _BASE_URL | _MODELS`.
//! Refuses to know: the settings file, and whether what was found makes a provider (supply).

use super::environment::{secret_variable, variable};
use super::scalar::Scalar;
use crate::base::Result;
use crate::domain::provider::Family;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the environment says of one provider.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) family: &'static Family,
    /// One of its variables, for messages.
    pub(super) variable: String,
    pub(super) keys: Vec<Scalar>,
    pub(super) base_url: Option<Scalar>,
    pub(super) models: Vec<Scalar>,
}

#[derive(Clone, Copy)]
enum Member {
    Keys,
    BaseUrl,
    Models,
}

/// Ends of variables; a longer one stands before one that it ends with.
const MEMBERS: [(&str, Member); 4] =
    [("API_KEYS", Member::Keys), ("API_KEY", Member::Keys), ("BASE_URL", Member::BaseUrl), ("MODELS", Member::Models)];

/// By name: `openai` from `OPENAI_API_KEY`, `openai-east` from `OPENAI_EAST_API_KEY`.
pub(super) fn discover(env: &HashMap<String, String>) -> Result<BTreeMap<String, Found>> {
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    // A set, because `X_API_KEY` and `X_API_KEY_FILE` are two ways to give one variable. Sorted, so that of several keys
    // `API_KEY` comes before `API_KEYS`, and messages do not change from run to run.
    let variables: BTreeSet<&str> = env.keys().map(|name| secret_name(name)).collect();
    for name in variables {
        let Some((family, provider, member)) = split(name) else { continue };
        let value = match member {
            Member::Keys => secret_variable(env, name)?,
            Member::BaseUrl | Member::Models => variable(env, name),
        };
        let Some(value) = value.filter(|value| !is_directory_of_ollama(family, member, value)) else { continue };
        let entry = found.entry(provider).or_insert_with(|| Found {
            family,
            variable: value.place.clone(),
            keys: Vec::new(),
            base_url: None,
            models: Vec::new(),
        });
        match member {
            Member::Keys => entry.keys.extend(items(&value)),
            Member::BaseUrl => entry.base_url = Some(value),
            Member::Models => entry.models.extend(items(&value)),
        }
    }
    Ok(found)
}

fn secret_name(name: &str) -> &str {
    match name.strip_suffix("_FILE") {
        Some(secret) if secret.ends_with("_API_KEY") || secret.ends_with("_API_KEYS") => secret,
        _ => name,
    }
}

/// `OPENAI_REGION_2_API_KEY` is (openai, `openai-region-2`, keys).
fn split(variable: &str) -> Option<(&'static Family, String, Member)> {
    let (family, rest) = Family::all().iter().find_map(|family| {
        let rest = variable.strip_prefix(&family.name.to_ascii_uppercase())?.strip_prefix('_')?;
        Some((family, rest))
    })?;
    MEMBERS.iter().find_map(|(end, member)| {
        let before = rest.strip_suffix(end)?;
        if before.is_empty() {
            return Some((family, family.name.to_owned(), *member));
        }
        let suffix = before.strip_suffix('_')?;
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        let valid = suffix.split('_').all(is_word);
        valid.then(|| (family, format!("{}-{}", family.name, suffix.to_ascii_lowercase().replace('_', "-")), *member))
    })
}

/// Ollama's own server reads a directory from `OLLAMA_MODELS`; on its machine that is no list of models.
fn is_directory_of_ollama(family: &Family, member: Member, value: &Scalar) -> bool {
    matches!(member, Member::Models) && family.name == "ollama" && value.text.starts_with(['/', '~', '.'])
}

/// The items of a list separated by commas, without repeats.
fn items(list: &Scalar) -> Vec<Scalar> {
    let mut items: Vec<Scalar> = Vec::new();
    for text in list.text.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        if items.iter().all(|item| item.text != text) {
            items.push(Scalar { place: list.place.clone(), text: text.into(), shown: list.shown.as_ref().map(|_| text.into()) });
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&str, &str)]) -> BTreeMap<String, Found> {
        discover(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()).unwrap()
    }

    fn texts(items: &[Scalar]) -> Vec<&str> {
        items.iter().map(|item| item.text.as_str()).collect()
    }

    #[test]
    fn suffixes_make_instances() {
        let found = found(&[
            ("OPENAI_API_KEY", "a"),
            ("OPENAI_EAST_API_KEY", "b"),
            ("OPENAI_EAST_BASE_URL", "http://x"),
            ("OPENAI_REGION_2_API_KEY", "c"),
            ("CUSTOM_TWIN_BASE_URL", "http://y"),
        ]);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["custom-twin", "openai", "openai-east", "openai-region-2"]);
        assert_eq!(texts(&found["openai-east"].keys), ["b"]);
        assert_eq!(found["openai-east"].base_url.as_ref().unwrap().text, "http://x");
    }

    #[test]
    fn several_keys_and_models_are_separated_by_commas() {
        let found = found(&[("GROQ_API_KEYS", "b, c,,a"), ("GROQ_API_KEY", "a"), ("GROQ_MODELS", "m1, m2,m1")]);
        assert_eq!(texts(&found["groq"].keys), ["a", "b", "c", "a"]);
        assert_eq!(texts(&found["groq"].models), ["m1", "m2"]);
        assert!(found["groq"].keys.iter().all(|key| key.shown.is_none()));
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        for name in [
            "OPENAI_ORG_ID",
            "OPENAI__API_KEY",
            "OPENAI_east_API_KEY",
            "MYOPENAI_API_KEY",
            "OPENAIX_API_KEY",
            "OPENAI_API_KEY_2",
            "API_KEY",
        ] {
            assert!(found(&[(name, "x")]).is_empty(), "{name}");
        }
        assert!(found(&[("OPENAI_API_KEY", " ")]).is_empty());
        assert!(found(&[("OLLAMA_MODELS", "/usr/share/ollama/models")]).is_empty());
    }
}
