//! An item's JSON template, compiled once and rendered by pasting text.
//!
//! `"$name"` or `"$size.memory"` stands for a value, `"$size.gpu_info?"` for a member that is left out when
//! there is no value (or null), and `"cdn.${name}.example"` is filled in inside a string. Used whenever an item is
//! made: building a tree of values for each of 100,000 droplets would take several times as long.
//! It refuses logic: no conditions, no loops.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// A place in a template: a variable, and a member of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub name: String,
    pub field: Option<String>,
}

impl Slot {
    /// `$name`, `$name.field`, each with an optional `?`; second: whether it is optional.
    pub fn parse(text: &str) -> Option<(Self, bool)> {
        let rest = text.strip_prefix('$').filter(|rest| !rest.starts_with('{'))?;
        let (path, optional) = match rest.strip_suffix('?') {
            Some(path) => (path, true),
            None => (rest, false),
        };
        // `$TTL 1800` in a zone file is text.
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        (!path.is_empty() && path.chars().all(name)).then(|| (Self::dotted(path), optional))
    }

    fn dotted(path: &str) -> Self {
        match path.split_once('.') {
            Some((name, field)) => Self {
                name: name.to_owned(),
                field: Some(field.to_owned()),
            },
            None => Self {
                name: path.to_owned(),
                field: None,
            },
        }
    }
}

#[derive(Debug)]
enum Part {
    Text(String),
    /// A JSON value.
    Value(Slot),
    /// Characters inside a JSON string.
    Inside(Slot),
    /// `,"key":value`, or nothing.
    Member(String, Slot),
}

#[derive(Debug)]
pub struct Template {
    parts: Vec<Part>,
}

impl Template {
    pub fn compile(template: &Value) -> Self {
        let mut made = Self { parts: Vec::new() };
        made.value(template);
        made
    }

    /// Append the item to `out`. `resolve` appends a variable's JSON text and says whether there was one.
    pub fn render(&self, out: &mut String, resolve: &mut dyn FnMut(&Slot, &mut String) -> bool) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(slot) => {
                    if !resolve(slot, out) {
                        out.push_str("null");
                    }
                }
                Part::Inside(slot) => {
                    let mut text = String::new();
                    if resolve(slot, &mut text) {
                        out.push_str(unquoted(&text));
                    }
                }
                Part::Member(key, slot) => {
                    let before = out.len();
                    out.push_str(key);
                    let value = out.len();
                    // Null is no value here: a global load balancer has no region.
                    if !resolve(slot, out) || out.get(value..) == Some("null") {
                        out.truncate(before);
                    }
                }
            }
        }
    }

    /// The variables it uses.
    pub fn names(&self) -> BTreeSet<String> {
        let slots = self.parts.iter().filter_map(|part| match part {
            Part::Value(slot) | Part::Inside(slot) | Part::Member(_, slot) => Some(slot.name.clone()),
            Part::Text(_) => None,
        });
        slots.collect()
    }

    fn text(&mut self, text: &str) {
        match self.parts.last_mut() {
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Object(members) => self.object(members),
            Value::Array(values) => {
                self.text("[");
                for (position, value) in values.iter().enumerate() {
                    if position > 0 {
                        self.text(",");
                    }
                    self.value(value);
                }
                self.text("]");
            }
            Value::String(string) => self.string(string),
            other => self.text(&other.to_string()),
        }
    }

    /// Optional members come last: each brings its own comma.
    fn object(&mut self, members: &Map<String, Value>) {
        let optional = |value: &Value| {
            value
                .as_str()
                .and_then(Slot::parse)
                .filter(|(_, optional)| *optional)
        };
        self.text("{");
        let certain = members.iter().filter(|(_, value)| optional(value).is_none());
        for (position, (key, value)) in certain.enumerate() {
            let comma = if position > 0 { "," } else { "" };
            self.text(&format!("{comma}{}:", Value::from(key.as_str())));
            self.value(value);
        }
        for (key, value) in members {
            if let Some((slot, _)) = optional(value) {
                self.parts
                    .push(Part::Member(format!(",{}:", Value::from(key.as_str())), slot));
            }
        }
        self.text("}");
    }

    fn string(&mut self, string: &str) {
        if let Some((slot, _)) = Slot::parse(string) {
            self.parts.push(Part::Value(slot));
            return;
        }
        let mut pieces = string.split("${");
        let escaped = |piece: &str| unquoted(&Value::from(piece).to_string()).to_owned();
        self.text("\"");
        self.text(&escaped(pieces.next().unwrap_or_default()));
        for piece in pieces {
            match piece.split_once('}') {
                Some((path, rest)) => {
                    self.parts.push(Part::Inside(Slot::dotted(path)));
                    self.text(&escaped(rest));
                }
                None => self.text(&escaped(piece)),
            }
        }
        self.text("\"");
    }
}

/// JSON text of a string without its quotes (one on each side: an escaped one may stand inside).
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text)
}
