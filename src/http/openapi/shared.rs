//! Moves responses that several operations have to the components of the document.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// From how many operations on a response is shared.
const MANY: usize = 3;

/// Replaces responses that several operations of `paths` have by references. Returns these responses, by names that begin with the
/// status and go on with the first operation that has them.
pub(super) fn share(paths: &mut Map<String, Value>) -> Map<String, Value> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for (_, response) in responses(paths).iter().flat_map(|(_, responses)| responses.iter()) {
        *counts.entry(response.to_string()).or_default() += 1;
    }
    let (mut shared, mut names) = (Map::new(), HashMap::new());
    for (id, responses) in responses(paths) {
        for (status, response) in responses {
            let text = response.to_string();
            if counts[&text] < MANY {
                continue;
            }
            let name = names.entry(text).or_insert_with(|| format!("{status}.{id}"));
            shared.entry(name.as_str()).or_insert_with(|| response.clone());
            *response = json!({"$ref": format!("#/components/responses/{name}")});
        }
    }
    shared
}

/// Returns the responses of each operation, with its id.
fn responses(paths: &mut Map<String, Value>) -> Vec<(String, &mut Map<String, Value>)> {
    let operations = paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    let responses = operations.filter_map(|operation| {
        let id = operation["operationId"].as_str()?.to_owned();
        Some((id, operation["responses"].as_object_mut()?))
    });
    responses.collect()
}
