//! Owns: providers and aliases from the file, overlaid by the environment, checked.
//! Refuses to know: the general settings (load), which it only takes defaults from.

use super::discover::{Found, discover};
use super::file::Section;
use super::layers::Layers;
use super::model::{DATA_POLICIES, read_models};
use super::reference::{members, reference, supply_reference};
use super::resilience::read_resilience;
use super::scalar::{Scalar, wrong};
use super::{AliasSettings, ModelSettings, ModelsMode, ProviderSettings};
use crate::base::{Result, Secret};
use crate::domain::catalog::DataPolicy;
use crate::domain::provider::Family;
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Uri};
use std::collections::HashMap;

/// Headers that belong to the connection or to the gateway; a provider's settings cannot replace them.
const OWN_HEADERS: [&str; 7] = ["connection", "content-length", "content-type", "accept-encoding", "host", "te", "transfer-encoding"];

/// Providers in order of declaration: the file's first, then what only the environment names, alphabetically.
pub(super) fn read_providers(file: &Section, env: &HashMap<String, String>, layers: &Layers) -> Result<Vec<ProviderSettings>> {
    let mut found = discover(env)?;
    let mut providers = Vec::new();
    for (name, node) in file.section("providers")?.map_or(&[][..], |section| &section.entries) {
        let place = format!("providers.{name}");
        check_name(name, &place)?;
        let section = node.section(&place)?.cloned().unwrap_or_else(|| Section { path: place, entries: Vec::new() });
        providers.extend(from_file(name, &section, found.remove(name), layers)?);
    }
    for (name, found) in found {
        providers.extend(from_environment(name, found, layers)?);
    }
    Ok(providers)
}

/// `aliases: {fast: openai/gpt-4o-mini}`.
pub(super) fn read_aliases(file: &Section) -> Result<Vec<AliasSettings>> {
    let mut aliases = Vec::new();
    let Some(section) = file.section("aliases")? else { return Ok(aliases) };
    for (name, _) in &section.entries {
        let place = section.path_of(name);
        let target = section.scalar(name)?.ok_or_else(|| wrong(&place, "names no model; write provider/model"))?;
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong(&place, "an alias is a name without spaces"));
        }
        if target.text == *name {
            return Err(wrong(&place, "an alias cannot stand for itself; write provider/model"));
        }
        aliases.push(AliasSettings { name: name.clone(), target: target.text });
    }
    Ok(aliases)
}

fn check_name(name: &str, place: &str) -> Result<()> {
    let valid = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
    if valid && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(wrong(place, "a provider's name consists of lower-case letters, digits, '-', '_' and '.', and begins with a letter or digit"))
}

/// `None`: its key is declared but not set (`${OPENAI_API_KEY:-}`), which leaves the provider out.
fn from_file(name: &str, section: &Section, found: Option<Found>, layers: &Layers) -> Result<Option<ProviderSettings>> {
    section.check_members(&members(supply_reference(), "providers.<name>"))?;
    let family = read_family(name, section)?;
    if let Some(found) = found.as_ref().filter(|found| found.family.name != family.name) {
        let problem = format!(
            "is of type {}, but {} makes a provider of the same name and of type {}; rename one of them",
            family.name, found.variable, found.family.name
        );
        return Err(wrong(&section.path, problem));
    }
    let declared_keys = read_keys(section)?;
    let declared_models = read_models(section)?;
    let (keys, base_url, models) = match found {
        Some(found) => (
            if found.keys.is_empty() { declared_keys } else { found.keys },
            found.base_url.or(section.scalar("base_url")?),
            // What the file says of a model holds for the environment's list too.
            if found.models.is_empty() { declared_models } else { overlay(&found.models, &declared_models) },
        ),
        None => (declared_keys, section.scalar("base_url")?, declared_models),
    };
    if family.needs_key && keys.is_empty() {
        if section.get("api_key").is_some() || section.get("api_keys").is_some() {
            return Ok(None);
        }
        let variable = format!("{}_API_KEY", name.to_ascii_uppercase().replace(['-', '.'], "_"));
        return Err(wrong(&section.path_of("api_key"), format!("type {} needs a key; write api_key: ${{{variable}}}", family.name)));
    }
    let data_policy = match section.scalar("data_policy")? {
        Some(policy) => policy.one_of(&DATA_POLICIES)?,
        None => default_policy(family),
    };
    let own_key = section.scalar("own_key")?.map(|flag| flag.one_of(&[("true", true), ("false", false)])).transpose()?.unwrap_or(false);
    let models_mode = section.scalar("models_mode")?.map_or_else(|| models_mode(&layers.get("models.mode")), |mode| models_mode(&mode))?;
    check_allowlist(models_mode, &models, &section.path_of("models"))?;
    let resilience = section.section("resilience")?.map(|own| own_resilience(own, layers)).transpose()?;
    Ok(Some(ProviderSettings {
        name: name.into(),
        family,
        base_url: read_base_url(family, base_url, &section.path_of("base_url"))?,
        keys: checked_keys(&keys)?,
        models,
        models_mode,
        data_policy,
        own_key,
        headers: read_headers(section)?,
        resilience,
    }))
}

/// `None`: not enough to make a provider. Base URLs and model lists without a key are other programs' variables as often
/// as ours (`OPENAI_BASE_URL` tells a client where this gateway is).
fn from_environment(name: String, found: Found, layers: &Layers) -> Result<Option<ProviderSettings>> {
    let family = found.family;
    if family.needs_key && found.keys.is_empty() {
        return Ok(None);
    }
    let prefix = name.to_ascii_uppercase().replace('-', "_");
    let models = overlay(&found.models, &[]);
    let models_mode = models_mode(&layers.get("models.mode"))?;
    check_allowlist(models_mode, &models, &format!("{prefix}_MODELS"))?;
    Ok(Some(ProviderSettings {
        base_url: read_base_url(family, found.base_url, &format!("{prefix}_BASE_URL"))?,
        keys: checked_keys(&found.keys)?,
        name,
        family,
        models,
        models_mode,
        data_policy: default_policy(family),
        own_key: false,
        headers: Vec::new(),
        resilience: None,
    }))
}

fn read_family(name: &str, section: &Section) -> Result<&'static Family> {
    let names: Vec<&str> = Family::all().iter().map(|family| family.name).collect();
    match section.scalar("type")? {
        Some(written) => Family::by_name(&written.text).ok_or_else(|| written.unknown("provider type", &names)),
        None => Family::by_name(name).ok_or_else(|| {
            wrong(&section.path_of("type"), format!("is missing, and '{name}' is no type itself; allowed: {}", names.join(", ")))
        }),
    }
}

fn read_keys(section: &Section) -> Result<Vec<Scalar>> {
    let one = section.scalar("api_key")?;
    let listed = section.list("api_keys")?;
    if one.is_some() && !listed.is_empty() {
        return Err(wrong(&section.path_of("api_keys"), "api_key is set as well; write all keys here"));
    }
    let mut keys: Vec<Scalar> = one.into_iter().collect();
    for (i, node) in listed.iter().enumerate() {
        keys.extend(node.scalar(&format!("{}[{i}]", section.path_of("api_keys")))?);
    }
    Ok(keys.into_iter().map(|key| Scalar { shown: None, ..key }).collect())
}

/// Without repeats; each can be sent as a header.
fn checked_keys(keys: &[Scalar]) -> Result<Vec<Secret>> {
    let mut checked: Vec<Secret> = Vec::with_capacity(keys.len());
    for key in keys {
        if key.text.contains("${") {
            return Err(key.fail("still holds a '${...}' that nobody filled in"));
        }
        if !key.text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(key.fail("holds a space or a character that no API key has"));
        }
        let key = Secret::new(key.text.as_str());
        if !checked.contains(&key) {
            checked.push(key);
        }
    }
    Ok(checked)
}

fn read_base_url(family: &Family, given: Option<Scalar>, place: &str) -> Result<String> {
    let Some(url) = given else {
        return family
            .base_url
            .map(str::to_owned)
            .ok_or_else(|| wrong(place, format!("type {} has no address of its own; set one, such as https://host/v1", family.name)));
    };
    let bare = url.text.trim_end_matches('/');
    let fail = |problem: &str| wrong(&url.place, format!("is not a usable base URL: {problem}; write https://host/v1"));
    let uri: Uri = bare.parse().map_err(|_| fail("it cannot be parsed"))?;
    if uri.scheme() != Some(&Scheme::HTTP) && uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(fail("it begins with neither http:// nor https://"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(fail("it carries a user name; put credentials into api_key or headers"));
    }
    if uri.query().is_some() || bare.contains('#') {
        return Err(fail("it carries a query or a fragment"));
    }
    Ok(bare.to_owned())
}

fn read_headers(section: &Section) -> Result<Vec<(String, Secret)>> {
    let mut headers = Vec::new();
    let Some(given) = section.section("headers")? else { return Ok(headers) };
    for (name, _) in &given.entries {
        let place = given.path_of(name);
        let lower = HeaderName::try_from(name.as_str()).map_err(|_| wrong(&place, "is not the name of a header"))?;
        if OWN_HEADERS.contains(&lower.as_str()) {
            return Err(wrong(&place, "the gateway sets this header itself"));
        }
        let Some(value) = given.scalar(name)? else { continue };
        HeaderValue::try_from(value.text.as_str()).map_err(|_| wrong(&place, "the value holds a character that no header may carry"))?;
        headers.push((lower.as_str().to_owned(), Secret::new(value.text)));
    }
    Ok(headers)
}

fn models_mode(text: &Scalar) -> Result<ModelsMode> {
    text.one_of(&[("fallback", ModelsMode::Fallback), ("allowlist", ModelsMode::Allowlist)])
}

fn check_allowlist(mode: ModelsMode, models: &[ModelSettings], place: &str) -> Result<()> {
    if mode == ModelsMode::Allowlist && models.is_empty() {
        return Err(wrong(place, "the mode is 'allowlist', but no model is listed, so none could be called; list some, or use 'fallback'"));
    }
    Ok(())
}

const fn default_policy(family: &Family) -> DataPolicy {
    if family.self_hosted { DataPolicy::SelfHosted } else { DataPolicy::Standard }
}

fn overlay(ids: &[Scalar], declared: &[ModelSettings]) -> Vec<ModelSettings> {
    let of = |id: &Scalar| declared.iter().find(|model| model.id == id.text).cloned();
    ids.iter().map(|id| of(id).unwrap_or_else(|| ModelSettings { id: id.text.clone(), ..ModelSettings::default() })).collect()
}

/// The provider's own members of `resilience`; the general settings hold for the rest.
fn own_resilience(own: &Section, layers: &Layers) -> Result<super::ResilienceSettings> {
    own.check_members(&members(reference(), "resilience"))?;
    for (name, node) in &own.entries {
        if let Some(inner) = node.section(&own.path_of(name))? {
            inner.check_members(&members(reference(), &format!("resilience.{name}")))?;
        }
    }
    read_resilience(&|name: &str| {
        let (group, member) = name.split_once('.').unwrap_or((name, ""));
        let written = own.section(group)?.map_or(Ok(None), |section| section.scalar(member))?;
        Ok(written.unwrap_or_else(|| layers.get(&format!("resilience.{name}"))))
    })
}
