//! What an expression refers to.

use crate::expression::template;
use crate::json::{Content, Node};
use crate::source::{Inner, Value};
use hcl_edit::expr::{ForExpr, Traversal, TraversalOperator};
use hcl_edit::structure::Block;
use hcl_edit::template::ForDirective;
use hcl_edit::visit::{self, Visit};
use std::collections::HashSet;

/// Collects what expressions refer to, leaving out what they name themselves (`for` and `dynamic`).
#[derive(Default)]
pub(crate) struct References {
    pub(crate) found: Vec<String>,
    seen: HashSet<String>,
    own: Vec<String>,
}

impl References {
    pub(crate) fn value(&mut self, value: &Value<'_>) {
        match value.inner {
            Inner::Native(expression) => self.visit_expr(expression),
            Inner::Json(node) => self.json(node),
        }
    }

    pub(crate) fn json(&mut self, node: &Node) {
        match &node.content {
            Content::String(text) if text.contains("${") || text.contains("%{") => self.visit_expr(&template(text)),
            Content::Array(items) => items.iter().for_each(|item| self.json(item)),
            Content::Object(members) => members.iter().for_each(|member| {
                if member.key.contains("${") {
                    self.visit_expr(&template(&member.key));
                }
                self.json(&member.value);
            }),
            _ => {}
        }
    }

    /// Runs `inside` while these names are the expression's own.
    fn with_own(&mut self, names: impl IntoIterator<Item = String>, inside: impl FnOnce(&mut Self)) {
        let before = self.own.len();
        self.own.extend(names);
        inside(self);
        self.own.truncate(before);
    }
}

impl Visit for References {
    fn visit_traversal(&mut self, node: &Traversal) {
        match node.expr.as_variable() {
            Some(root) if !self.own.iter().any(|own| own == root.as_str()) => {
                let mut name = root.as_str().to_owned();
                for operator in &node.operators {
                    if let TraversalOperator::GetAttr(attribute) = operator.value() {
                        name.push('.');
                        name.push_str(attribute.as_str());
                    }
                }
                if name.contains('.') && self.seen.insert(name.clone()) {
                    self.found.push(name);
                }
            }
            Some(_) => {}
            None => self.visit_expr(&node.expr),
        }
        for operator in &node.operators {
            self.visit_traversal_operator(operator);
        }
    }

    fn visit_for_expr(&mut self, node: &ForExpr) {
        self.visit_expr(&node.intro.collection_expr);
        let names = node
            .intro
            .key_var
            .iter()
            .chain([&node.intro.value_var])
            .map(|name| name.as_str().to_owned());
        self.with_own(names, |this| {
            node.key_expr.iter().for_each(|key| this.visit_expr(key));
            this.visit_expr(&node.value_expr);
            node.cond.iter().for_each(|condition| this.visit_expr(&condition.expr));
        });
    }

    fn visit_for_directive(&mut self, node: &ForDirective) {
        let intro = &node.for_expr;
        self.visit_expr(&intro.collection_expr);
        let names = intro
            .key_var
            .iter()
            .chain([&intro.value_var])
            .map(|name| name.as_str().to_owned());
        self.with_own(names, |this| this.visit_template(&intro.template));
    }

    fn visit_block(&mut self, node: &Block) {
        let own = (node.ident.as_str() == "dynamic").then(|| {
            let iterator = node
                .body
                .get_attribute("iterator")
                .and_then(|iterator| iterator.value.as_variable());
            let label = node.labels.first().map(|label| label.as_str());
            iterator
                .map(|name| name.as_str())
                .or(label)
                .unwrap_or_default()
                .to_owned()
        });
        self.with_own(own, |this| visit::visit_body(this, &node.body));
    }
}
