//! The two conditions under which items are written, said once for the SDK's builders, each of which is a type of its own.

/// Nothing lies under the item's key.
macro_rules! if_absent {
    ($request:expr) => {
        $request
            .condition_expression("attribute_not_exists(#p)")
            .expression_attribute_names("#p", crate::item::PARTITION)
    };
}

/// The item still is the version that was seen.
macro_rules! if_unchanged {
    ($request:expr, $expected:expr) => {
        $request
            .condition_expression("#v = :expected")
            .expression_attribute_names("#v", crate::item::VERSION)
            .expression_attribute_values(
                ":expected",
                aws_sdk_dynamodb::types::AttributeValue::S($expected.as_str().to_owned()),
            )
    };
}
