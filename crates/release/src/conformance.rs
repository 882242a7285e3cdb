pub fn conformance(_make: &dyn Fn() -> Box<dyn crate::Store>) {}
