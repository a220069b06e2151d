//! Owns: the model list of the OpenAI dialect.

use serde::Serialize;
use serde_json::value::RawValue;

/// One model as listed. `created` is 0 where nobody knows it.
#[derive(Clone, Debug, Serialize)]
pub struct ModelObject {
    pub id: String,
    pub object: &'static str,
    pub created: i64,
    pub owned_by: String,
    /// What the catalog knows beyond the dialect: window, prices, endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
}

pub fn model_object(id: String, owned_by: String, metadata: Option<Box<RawValue>>) -> ModelObject {
    ModelObject { id, object: "model", created: 0, owned_by, metadata }
}

pub fn model_list(models: &[ModelObject]) -> Vec<u8> {
    #[derive(Serialize)]
    struct List<'a> {
        object: &'static str,
        data: &'a [ModelObject],
    }
    serde_json::to_vec(&List { object: "list", data: models }).unwrap_or_default()
}
