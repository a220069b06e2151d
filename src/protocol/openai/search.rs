//! Owns: how many web searches a request lets its provider make, at most: they are billed by their number, beside the tokens.
//! Refuses to know: what a search costs, and how many were made (usage).

use super::plain::plain;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Searches of a tool that the caller sets no limit for. No provider documents a limit of its own for a search tool; the
/// highest documented number of tool calls in one request is ten (Groq, compound systems). What goes beyond it is charged as
/// an overrun.
const TOOL_SEARCHES: u64 = 10;
/// A caller's limit above this bounds nothing.
const MOST_SEARCHES: u64 = 1000;

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    max_uses: Option<u64>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    max_uses: Option<u64>,
}

#[derive(Deserialize)]
struct Plugin<'a> {
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(default = "on")]
    enabled: bool,
}

const fn on() -> bool {
    true
}

/// The members of a request that switch searching on, as they stand in it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Switches<'a> {
    /// One search before the answer (OpenAI's search models; `OpenRouter` for the models of others).
    pub(super) web_search_options: Option<&'a RawValue>,
    /// `OpenRouter`: the plugin `web` runs once a request.
    pub(super) plugins: Option<&'a RawValue>,
    /// Tools that the provider runs itself, as often as the model wants: `openrouter:web_search`, `web_search_20250305`,
    /// `browser_search`, `x_search`. A caller's own function is never one, whatever its name.
    pub(super) tools: Option<&'a RawValue>,
}

impl Switches<'_> {
    /// The most searches of the request, in all choices. What cannot be read as tools or plugins is the provider's to refuse.
    pub(super) fn most(&self, choices: u64) -> u64 {
        let once = self.web_search_options.is_some_and(|raw| raw.get() != "null");
        let plugins = named(self.plugins, b"web").map_or(0, plugin_searches);
        let tools = named(self.tools, b"search").map_or(0, tool_searches);
        u64::from(once).saturating_add(plugins).saturating_add(tools.saturating_mul(choices))
    }
}

/// The member, if the word stands in it at all: most tools are functions, and are not read for nothing.
fn named<'a>(raw: Option<&'a RawValue>, word: &[u8]) -> Option<&'a str> {
    raw.map(RawValue::get).filter(|text| memmem::find(plain(text).as_bytes(), word).is_some())
}

fn plugin_searches(json: &str) -> u64 {
    let plugins: Vec<Plugin<'_>> = serde_json::from_str(json).unwrap_or_default();
    plugins.iter().filter(|plugin| plugin.id == "web" && plugin.enabled).count() as u64
}

fn tool_searches(json: &str) -> u64 {
    // One by one: a function whose parameters are a schema is no reason to overlook a search tool beside it.
    let tools: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
    tools
        .into_iter()
        .filter_map(|tool| serde_json::from_str::<Tool<'_>>(tool.get()).ok())
        .map(|tool| uses(&tool))
        .fold(0, u64::saturating_add)
}

fn uses(tool: &Tool<'_>) -> u64 {
    if matches!(&*tool.kind, "function" | "custom") || !tool.kind.contains("search") {
        return 0;
    }
    let limit = tool.max_uses.or(tool.parameters.as_ref().and_then(|parameters| parameters.max_uses));
    limit.unwrap_or(TOOL_SEARCHES).min(MOST_SEARCHES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: Option<&str>) -> Option<Box<RawValue>> {
        json.map(|json| RawValue::from_string(json.to_owned()).unwrap())
    }

    fn most(options: Option<&str>, plugins: Option<&str>, tools: Option<&str>) -> u64 {
        let (options, plugins, tools) = (raw(options), raw(plugins), raw(tools));
        Switches { web_search_options: options.as_deref(), plugins: plugins.as_deref(), tools: tools.as_deref() }.most(2)
    }

    #[test]
    fn switches_that_search_once_a_request() {
        assert_eq!(most(None, None, None), 0);
        assert_eq!(most(Some("{}"), None, None), 1);
        assert_eq!(most(Some("null"), None, None), 0);
        assert_eq!(most(None, Some(r#"[{"id":"web","max_results":3},{"id":"file-parser"}]"#), None), 1);
        assert_eq!(most(None, Some(r#"[{"id":"web","enabled":false}]"#), None), 0);
        assert_eq!(most(None, Some(r#""web""#), None), 0, "no list: the provider refuses it");
    }

    #[test]
    fn tools_that_the_provider_runs() {
        let tools = |tools: &str| most(None, None, Some(tools));
        assert_eq!(tools(r#"[{"type":"openrouter:web_search"}]"#), 20, "ten in each of two choices");
        assert_eq!(tools(r#"[{"type":"web_search_20250305","name":"web_search","max_uses":3}]"#), 6);
        assert_eq!(tools(r#"[{"type":"openrouter:web_search","parameters":{"max_uses":1}},{"type":"x_search"}]"#), 22);
        assert_eq!(tools(r#"[{"type":"browser_search","max_uses":99999999999}]"#), 2000);
    }

    #[test]
    fn a_function_of_the_caller_is_no_search() {
        let function = r#"{"type":"function","function":{"name":"web_search","parameters":{"max_uses":{"type":"number"}}}}"#;
        assert_eq!(most(None, None, Some(&format!("[{function}]"))), 0);
        assert_eq!(most(None, None, Some(&format!(r#"[{{"type":5}},"search",{function},{{"type":"web_search"}}]"#))), 20);
        assert_eq!(most(None, None, Some(r#"[{"type":"function","parameters":{"max_uses":"search"}}]"#)), 0);
    }
}
