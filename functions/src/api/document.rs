//! The API described by itself: OpenAPI 3.1, made from the same values that the routes are made of.
//!
//! Each route stands in the router with its [`Operation`], and reads its query with the [`Parameter`]s of it, so what
//! is documented is what is accepted. Schemas are in [`schemas`]; integration tests hold every answer against them.
//! It refuses to describe what does not exist: there is no text about a route anywhere else.

#![expect(
    clippy::indexing_slicing,
    reason = "values made here: indexing an object by a name adds that member"
)]

pub mod reading;
pub mod schemas;

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};

use super::error::Problem;
use super::form::Form;
use super::query::Named;

/// One route and one method.
#[derive(Debug)]
pub struct Operation {
    /// In lower case.
    pub method: &'static str,
    /// As the router matches it.
    pub path: &'static str,
    /// Its `operationId`.
    pub id: &'static str,
    /// What it is about: a heading of the page.
    pub tag: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What else there is to know. May be empty.
    pub detail: &'static str,
    /// Who may.
    pub access: Access,
    /// Its query.
    pub parameters: &'static [Parameter],
    /// The schema of its body, if it reads one, and whether it must be given.
    pub body: Option<(&'static str, bool)>,
    /// What a good answer is.
    pub answer: Answer,
    /// What else can be answered, beside what all of its kind can.
    pub problems: &'static [u16],
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Anybody with a good token, within its scope.
    Caller,
    /// Operators.
    Operator,
}

/// What a good answer is.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// A document of this schema.
    Document(&'static str),
    /// `{"data": …}` of this schema, with its entity tag.
    One(&'static str),
    /// The same, and the work is done later: 202.
    Accepted(&'static str),
    /// `{"data": […]}` of these, all there are.
    Group(&'static str, &'static [Form]),
    /// A page of these.
    List(&'static str, &'static [Form]),
    /// A page of text, no envelope around it.
    Export(&'static [Form]),
    /// Something else, of this media type.
    Other(&'static str),
}

/// One parameter of a query.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub detail: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// A value of that.
    pub example: &'static str,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// Text, as it is.
    Text,
    /// A kind.
    Kind,
    /// An id of ours.
    Id,
    /// A time as in RFC 3339.
    Moment,
    /// A calendar date of 2010 to 2099.
    Date,
    /// DigitalOcean's uuid of an invoice, or `preview`.
    Invoice,
    /// `true` or `false`.
    Truth,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Some of these, with commas between them.
    ListOf(&'static [&'static str]),
    /// The size of a page.
    Limit,
    /// Where the page before ended.
    Cursor,
}

impl Named for Parameter {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl Parameter {
    /// How many items a page has at most.
    pub const LIMIT: Parameter = Parameter {
        name: "limit",
        detail: "How many items a page has at most.",
        takes: Takes::Limit,
        example: "50",
    };
    /// Where the page before ended.
    pub const CURSOR: Parameter = Parameter {
        name: "cursor",
        detail: "`next_cursor` of the page before, with the same filters and the same order.",
        takes: Takes::Cursor,
        example: "",
    };

    fn described(&self) -> Value {
        let mut described = json!({
            "name": self.name, "in": "query", "description": self.detail, "required": false,
            "schema": self.takes.schema()
        });
        if !self.example.is_empty() {
            described["example"] = match self.takes {
                Takes::Limit => self.example.parse::<i64>().map_or(Value::Null, Value::from),
                Takes::Truth => Value::from(self.example == "true"),
                _ => Value::from(self.example),
            };
        }
        described
    }
}

impl Takes {
    fn schema(self) -> Value {
        match self {
            Takes::Text => {
                json!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": schemas::PRINTABLE })
            }
            Takes::Kind => json!({ "type": "string", "pattern": "^[a-z][a-z0-9_]*$", "maxLength": 128 }),
            Takes::Id => json!({ "type": "string", "format": "uuid" }),
            Takes::Moment => json!({ "type": "string", "format": "date-time" }),
            // Of this century, from DigitalOcean's beginnings on.
            Takes::Date => json!({ "type": "string", "format": "date", "pattern": "^20[1-9]" }),
            Takes::Invoice => json!({ "type": "string", "pattern": "^[A-Za-z0-9-]+$", "maxLength": 64 }),
            Takes::Truth => json!({ "type": "boolean" }),
            Takes::OneOf(words) => json!({ "type": "string", "enum": words }),
            Takes::ListOf(words) => {
                let word = format!("({})", words.join("|"));
                json!({ "type": "string", "maxLength": 128, "pattern": format!("^{word}(,{word})*$") })
            }
            Takes::Limit => json!({ "type": "integer", "minimum": 1, "maximum": 500, "default": 100 }),
            Takes::Cursor => {
                json!({ "type": "string", "maxLength": 2_048, "pattern": "^[A-Za-z0-9_-]{32,}$" })
            }
        }
    }
}

impl Operation {
    /// The forms that a good answer has, best first: `Accept` chooses. None where it is not asked: what is public is one
    /// document each, and what an edit came to is told to whoever made it.
    pub fn forms(&self) -> &'static [Form] {
        if self.method != "get" || self.access == Access::Public {
            return &[];
        }
        match self.answer {
            Answer::List(_, forms) | Answer::Group(_, forms) | Answer::Export(forms) => forms,
            Answer::Document(_) | Answer::One(_) | Answer::Accepted(_) => &[Form::Json],
            Answer::Other(_) => &[],
        }
    }

    /// The one of them that the caller likes best.
    ///
    /// # Errors
    /// 406, if it accepts none of them.
    pub fn form(&self, headers: &HeaderMap) -> Result<Form, Problem> {
        Form::accepted(headers, self.forms())
    }

    fn described(&self) -> Value {
        let mut parameters: Vec<Value> = self.path_parameters();
        parameters.extend(self.parameters.iter().map(Parameter::described));
        parameters.extend(self.headers());
        let mut described = json!({
            "operationId": self.id, "tags": [self.tag], "summary": self.summary, "parameters": parameters,
            "responses": self.responses()
        });
        if !self.detail.is_empty() {
            described["description"] = self.detail.into();
        }
        if let Some((schema, required)) = self.body {
            described["requestBody"] = json!({
                "required": required,
                "content": { "application/json": { "schema": reference(schema), "example": schemas::example(schema) } }
            });
        }
        if self.access != Access::Public {
            described["security"] = json!([{ "bearer": [] }]);
        }
        described
    }

    fn path_parameters(&self) -> Vec<Value> {
        let names = self
            .path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        names
            .map(|name| {
                let takes = match name {
                    "kind" => Takes::Kind,
                    "uuid" => Takes::Invoice,
                    _ => Takes::Id,
                };
                json!({ "name": name, "in": "path", "required": true, "schema": takes.schema() })
            })
            .collect()
    }

    fn headers(&self) -> Vec<Value> {
        let header = |name: &str, detail: &str, schema: Value| {
            vec![
                json!({ "name": name, "in": "header", "required": false, "description": detail, "schema": schema }),
            ]
        };
        match (self.method, self.answer) {
            ("get", Answer::One(_)) => {
                let detail = "Entity tag of an earlier answer: 304 if nothing is different. What is no tag is never the same.";
                header("If-None-Match", detail, json!({ "type": "string" }))
            }
            ("patch", _) => {
                let detail =
                    "Entity tag of what was read, or its version in quotes: 412 if it has changed since.";
                header(
                    "If-Match",
                    detail,
                    json!({ "type": "string", "pattern": schemas::entity_tags() }),
                )
            }
            _ => Vec::new(),
        }
    }

    fn responses(&self) -> Value {
        let mut responses = Map::new();
        let headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" } });
        let mut good = json!({ "description": "As asked.", "headers": headers });
        match self.answer {
            Answer::Document(schema) => {
                good["content"] = json_content(reference(schema), schemas::example(schema));
                if self.method == "patch" {
                    good["headers"]["ETag"] = json!({ "$ref": "#/components/headers/ETag" });
                }
            }
            Answer::One(schema) | Answer::Accepted(schema) => {
                let example = json!({ "data": schemas::example(schema) });
                good["content"] = json_content(data(&reference(schema)), example);
                if self.method == "get" {
                    good["headers"]["ETag"] = json!({ "$ref": "#/components/headers/ETag" });
                    let unchanged = json!({
                        "description": "Nothing is different from the entity tag in If-None-Match.",
                        "headers": good["headers"]
                    });
                    responses.insert("304".to_owned(), unchanged);
                }
            }
            Answer::Group(schema, forms) => {
                let items = json!({ "type": "array", "items": reference(schema) });
                good["content"] = json_content(data(&items), json!({ "data": [schemas::example(schema)] }));
                add_forms(&mut good, forms);
            }
            Answer::List(schema, forms) => {
                let example = json!({ "data": [schemas::example(schema)], "page": schemas::example("Page") });
                let envelope = json!({
                    "type": "object", "required": ["data", "page"], "additionalProperties": false,
                    "properties": { "data": { "type": "array", "items": reference(schema) }, "page": reference("Page") }
                });
                good["content"] = json_content(envelope, example);
                add_forms(&mut good, forms);
                good["headers"]["Link"] = json!({ "$ref": "#/components/headers/Link" });
            }
            Answer::Export(forms) => add_forms(&mut good, forms),
            Answer::Other(media_type) => {
                let is = if media_type == "application/json" {
                    "object"
                } else {
                    "string"
                };
                good["content"] = json!({ media_type: { "schema": { "type": is } } });
            }
        }
        let status = if matches!(self.answer, Answer::Accepted(_)) {
            "202"
        } else {
            "200"
        };
        responses.insert(status.to_owned(), good);
        for status in self.statuses() {
            responses.insert(
                status.to_string(),
                json!({ "$ref": format!("#/components/responses/{status}") }),
            );
        }
        Value::Object(responses)
    }

    /// Everything that can go wrong here.
    pub fn statuses(&self) -> Vec<u16> {
        // A request that cannot be read, that is too long or too large, and our own fault, can happen anywhere.
        let mut statuses = vec![400, 413, 414, 431, 500];
        if self.access != Access::Public {
            statuses.extend([401, 403, 503]);
        }
        if !self.forms().is_empty() {
            statuses.push(406);
        }
        if self.path.contains('{') {
            statuses.push(404);
        }
        if self.body.is_some() {
            statuses.extend([415, 422]);
        }
        statuses.extend(self.problems);
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }
}

/// The forms that are not described by a schema.
fn add_forms(response: &mut Value, forms: &[Form]) {
    for form in forms.iter().filter(|form| **form != Form::Json) {
        response["content"][form.media_type()] = json!({ "schema": { "type": "string" } });
    }
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn data(schema: &Value) -> Value {
    json!({ "type": "object", "required": ["data"], "additionalProperties": false, "properties": { "data": schema } })
}

fn json_content(schema: Value, example: Value) -> Value {
    json!({ "application/json": { "schema": schema, "example": example } })
}

/// The whole document.
pub fn document(operations: &[&Operation]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = operation.described();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "arcadia-cloud",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A DigitalOcean account mirrored: what there is, whose it is, what has changed, and what cannot be \
                seen. Operators see everything, a tenant exactly its own. Times are RFC 3339 in UTC, money is a string. \
                Lists page by an opaque cursor; a page may be shorter than its limit, and is the last one only if \
                `next_cursor` is null. Parameters that are unknown, given twice or not readable are a 400 that names them."
        },
        "servers": [{ "url": "/" }],
        "tags": schemas::tags(),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "A token of arcadia-app, HS512. Role `platform_admin` makes an operator; otherwise \
                        `tenant_id` says whose things are shown."
                }
            },
            "headers": schemas::headers(),
            "responses": schemas::problems(),
            "schemas": schemas::schemas()
        }
    })
}
