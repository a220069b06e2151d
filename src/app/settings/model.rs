//! Owns: what the file says of a provider's models.
//! Refuses to know: their prices (price), the price book, and the provider around them.

use super::ModelSettings;
use super::file::{Node, Section};
use super::price::read_prices;
use super::reference::{members, supply_reference};
use super::scalar::wrong;
use crate::base::Result;
use crate::domain::catalog::DataPolicy;

pub(super) const DATA_POLICIES: [(&str, DataPolicy); 3] =
    [("standard", DataPolicy::Standard), ("no_retention", DataPolicy::NoRetention), ("self_hosted", DataPolicy::SelfHosted)];

/// Tokens: more than any model has, and far from overflow.
const MAX_TOKENS: u64 = 1 << 40;

/// The provider's `models`: ids, or mappings with an id.
pub(super) fn read_models(provider: &Section) -> Result<Vec<ModelSettings>> {
    let mut models: Vec<ModelSettings> = Vec::new();
    for (i, node) in provider.list("models")?.iter().enumerate() {
        let place = format!("{}[{i}]", provider.path_of("models"));
        let model = match node {
            Node::Text(id) => ModelSettings { id: id.text.clone(), ..ModelSettings::default() },
            Node::Map(section) => read_model(section)?,
            Node::Null | Node::List(_) => return Err(wrong(&place, "must be a model's id, or a mapping with an id")),
        };
        if model.id.is_empty() || model.id.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong(&place, "a model's id is a name without spaces"));
        }
        if models.iter().any(|other| other.id == model.id) {
            return Err(wrong(&place, format!("'{}' is listed twice", model.id)));
        }
        models.push(model);
    }
    Ok(models)
}

fn read_model(section: &Section) -> Result<ModelSettings> {
    section.check_members(&members(supply_reference(), "providers.<name>.models[]"))?;
    let score = |name: &str| section.scalar(name)?.map(|text| text.whole(0..=100)).transpose();
    let tokens = |name: &str| section.scalar(name)?.map(|text| text.whole(1..=MAX_TOKENS)).transpose();
    Ok(ModelSettings {
        id: section.scalar("id")?.ok_or_else(|| wrong(&section.path_of("id"), "is missing: the provider's own name of the model"))?.text,
        prices: read_prices(section)?,
        context_window: tokens("context_window")?,
        max_output: tokens("max_output")?,
        quality: score("quality")?,
        code_quality: score("code_quality")?,
        data_policy: section.scalar("data_policy")?.map(|text| text.one_of(&DATA_POLICIES)).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::file::parse;
    use super::*;
    use std::collections::HashMap;

    fn read(models: &str) -> Result<Vec<ModelSettings>> {
        let file = parse(&format!("p:\n  models: {models}"), &HashMap::new()).unwrap();
        read_models(file.section("p").unwrap().unwrap())
    }

    fn fails(models: &str) -> String {
        read(models).unwrap_err().message
    }

    #[test]
    fn ids_and_mappings() {
        let models = read("[a, {id: b, quality: 80, context_window: 128000}]").unwrap();
        assert_eq!((models[0].id.as_str(), models[1].quality, models[1].context_window), ("a", Some(80), Some(128_000)));
    }

    #[test]
    fn what_is_wrong_has_a_path() {
        assert!(fails("[{id: a, qualty: 1}]").contains("p.models[0].qualty: there is no such setting; did you mean 'quality'?"));
        assert!(fails("[{quality: 1}]").starts_with("p.models[0].id: is missing"));
        assert!(fails("[a, a]").starts_with("p.models[1]: 'a' is listed twice"));
        assert!(fails("[[a]]").starts_with("p.models[0]: must be"));
        assert!(fails("a").starts_with("p.models: must be a list"));
        assert!(fails("[{id: a, quality: 101}]").starts_with("p.models[0].quality: '101' is not a whole number from 0 to 100"));
    }
}
