//! Files of assignments: `.tfvars` and `.tfvars.json`.

use serde_json::{Map, Value};

/// The values that a variable file assigns. Only literal values can stand in one.
///
/// # Errors
/// The file is no HCL or JSON of that shape; the message names the place, never a value.
pub fn parse_variable_file(name: &str, bytes: &[u8]) -> Result<Map<String, Value>, String> {
    if name.ends_with(".json") {
        return serde_json::from_slice(bytes)
            .map_err(|error| format!("{name}:{}:{}: it is no JSON object", error.line(), error.column()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{name}: it is not UTF-8"))?;
    let body = hcl::parse(text).map_err(|_| format!("{name}: it is no HCL"))?;
    let mut values = Map::new();
    for attribute in body.attributes() {
        if let Ok(value) = hcl::from_expression::<Value>(attribute.expr.clone()) {
            values.insert(attribute.key.to_string(), value);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_syntaxes_give_values() {
        let native = parse_variable_file("a.tfvars", b"password = \"s\"\ncount = 3\nzones = [\"a\", \"b\"]\n").unwrap();
        assert_eq!(native["password"], "s");
        assert_eq!(native["zones"][1], "b");
        let json = parse_variable_file("a.tfvars.json", br#"{"password":"s"}"#).unwrap();
        assert_eq!(json["password"], "s");
        let error = parse_variable_file("a.tfvars", b"password = \"hunter2").unwrap_err();
        assert!(!error.contains("hunter2"));
    }
}
