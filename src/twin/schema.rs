//! Owns: the simplest value that satisfies a JSON Schema as tools and response formats use it.
//! Refuses to know: who asked, and validation: a schema that asks for the impossible gets the nearest simple value.

use serde_json::{Map, Number, Value};

const DEPTH_MAX: usize = 16;
/// Schemas may refer to themselves many times over; the sum must stay small.
const NODES_MAX: usize = 4096;

/// A value by type: required members only, `const`, `default` and `enum` honoured, local `$ref` followed.
pub(super) fn sample(schema: &Value) -> Value {
    Sampler { root: schema, nodes_left: NODES_MAX }.value(schema, "value", 0)
}

struct Sampler<'a> {
    root: &'a Value,
    nodes_left: usize,
}

impl<'a> Sampler<'a> {
    #[expect(clippy::cast_possible_truncation, reason = "a saturated sample value is still an integer")]
    fn value(&mut self, schema: &'a Value, name: &str, depth: usize) -> Value {
        if depth > DEPTH_MAX || self.nodes_left == 0 {
            return Value::Null;
        }
        self.nodes_left -= 1;
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return target.map_or(Value::Null, |target| self.value(target, name, depth + 1));
        }
        if let Some(fixed) = schema.get("const").or_else(|| schema.get("default")) {
            return fixed.clone();
        }
        if let Some(first) = schema.get("enum").and_then(|allowed| allowed.get(0)) {
            return first.clone();
        }
        if let Some(branches) = ["anyOf", "oneOf"].iter().find_map(|word| schema.get(word)?.as_array()) {
            let branch = branches.iter().find(|branch| type_of(branch) != Some("null")).or(branches.first());
            return branch.map_or(Value::Null, |branch| self.value(branch, name, depth + 1));
        }
        match type_of(schema) {
            Some("object") => self.object(schema, depth),
            Some("array") => self.array(schema, name, depth),
            Some("integer") => Value::from(number(schema).ceil() as i64),
            Some("number") => Number::from_f64(number(schema)).map_or(Value::Null, Value::Number),
            Some("boolean") => Value::Bool(true),
            Some("null") => Value::Null,
            Some(_) | None => Value::String(string(schema, name)),
        }
    }

    fn object(&mut self, schema: &'a Value, depth: usize) -> Value {
        let mut members = Map::new();
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            if let Value::Object(more) = self.value(part, "value", depth + 1) {
                members.extend(more);
            }
        }
        let properties = schema.get("properties");
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            let member = properties.and_then(|p| p.get(name));
            let value = member.map_or_else(|| Value::String(name.to_owned()), |member| self.value(member, name, depth + 1));
            members.insert(name.to_owned(), value);
        }
        Value::Object(members)
    }

    fn array(&mut self, schema: &'a Value, name: &str, depth: usize) -> Value {
        let Some(items) = schema.get("items") else { return Value::Array(Vec::new()) };
        let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).clamp(1, 64);
        Value::Array((0..count).map(|_| self.value(items, name, depth + 1)).collect())
    }
}

/// The type a value should have; of several the first that is not null, and an untyped schema by what it describes.
fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => Some(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).find(|name| *name != "null").or(Some("null")),
        Some(_) | None if ["properties", "required", "allOf"].iter().any(|word| schema.get(word).is_some()) => Some("object"),
        Some(_) | None if schema.get("items").is_some() => Some("array"),
        Some(_) | None => None,
    }
}

fn number(schema: &Value) -> f64 {
    let bound = |word| schema.get(word).and_then(Value::as_f64);
    let low = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|low| low + 1.0));
    let high = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|high| high - 1.0));
    let value = 1.0_f64.max(low.unwrap_or(f64::MIN)).min(high.unwrap_or(f64::MAX));
    bound("multipleOf").filter(|step| *step > 0.0).map_or(value, |step| (value / step).ceil() * step)
}

fn string(schema: &Value, name: &str) -> String {
    let text = match schema.get("format").and_then(Value::as_str) {
        Some("date") => "2025-01-01".into(),
        Some("time") => "12:00:00Z".into(),
        Some("date-time") => "2025-01-01T12:00:00Z".into(),
        Some("email") => "twin@example.com".into(),
        Some("uri" | "url") => "https://example.com/".into(),
        Some("uuid") => "00000000-0000-4000-8000-000000000000".into(),
        Some("ipv4") => "127.0.0.1".into(),
        Some(_) | None => format!("some {name}"),
    };
    let length = |word| schema.get(word).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let missing = length("minLength").unwrap_or(0).min(4096).saturating_sub(text.chars().count());
    let text = text + &".".repeat(missing);
    text.chars().take(length("maxLength").unwrap_or(usize::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn required_members_by_type() {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}, "days": {"type": "integer", "minimum": 3},
                "exact": {"type": "boolean"}, "tags": {"type": "array", "items": {"type": ["null", "string"]}},
                "at": {"$ref": "#/$defs/point"}, "left_out": {"type": "string"}, "when": {"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]}
            },
            "required": ["city", "unit", "days", "exact", "tags", "at", "when", "undescribed"],
            "$defs": {"point": {"type": "object", "properties": {"x": {"type": "number", "maximum": 0.5}}, "required": ["x"]}}
        });
        let expected = json!({
            "city": "some city", "unit": "C", "days": 3, "exact": true, "tags": ["some tags"], "at": {"x": 0.5},
            "when": "2025-01-01", "undescribed": "undescribed"
        });
        assert_eq!(sample(&schema), expected);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let node = json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]});
        assert!(sample(&node).is_object());
        assert_eq!(sample(&json!({"$ref": "#"})), Value::Null);
    }

    #[test]
    fn lengths_are_kept() {
        assert_eq!(sample(&json!({"type": "string", "maxLength": 4})), "some");
        assert_eq!(sample(&json!({"type": "string", "minLength": 12})), "some value..");
        assert_eq!(sample(&json!({})), "some value");
        assert_eq!(sample(&json!({"type": "object"})), json!({}));
    }
}
